"""Pictures: the structure that leads to their size, which is read without decoding anything."""

from __future__ import annotations

from .view import Mismatch, Pixels, View

# Pages of a TIFF whose sizes are read; each costs a decoder what the first one does.
_PAGES = 16
_TABLES = {0xC4, 0xC8, 0xCC}


def jpeg(view: View) -> Pixels:
    """ITU-T T.81, B.1 and B.2: segments up to the frame header."""
    at = 2
    while True:
        mark, code = view.at(at, 2)
        if mark != 0xFF:
            # What stands between two segments is passed over by decoders too.
            skipped = view.upto(at, 1024).find(b"\xff")
            if skipped < 0:
                raise Mismatch
            at += skipped
        elif code == 0xFF:
            at += 1
        elif code in {0x00, 0x01} or 0xD0 <= code <= 0xD8:
            at += 2
        elif code in {0xD9, 0xDA}:
            raise Mismatch
        elif 0xC0 <= code <= 0xCF and code not in _TABLES:
            height, width = view.unpack(">HH", at + 5)
            return Pixels(width, height)
        else:
            (length,) = view.unpack(">H", at + 2)
            at += 2 + max(length, 2)


def png(view: View) -> Pixels:
    """RFC 2083, 4.1.1: the image header comes first (Apple's own chunk may stand before it)."""
    at = 8
    if view.at(12, 4) == b"CgBI":
        at += 12 + view.unpack(">I", 8)[0]
    length, name, width, height = view.unpack(">I4sII", at)
    if (length, name) != (13, b"IHDR") or not width or not height:
        raise Mismatch
    return Pixels(width, height)


def gif(view: View) -> Pixels:
    """GIF89a, 17 to 20: the logical screen, then a block of one of three kinds."""
    width, height, flags = view.unpack("<HHB", 6)
    table = 3 << ((flags & 7) + 1) if flags & 0x80 else 0
    if view.at(13 + table, 1) not in b"!,;":
        raise Mismatch
    return Pixels(width, height)


def bmp(view: View) -> Pixels:
    """The information header of Windows, or the shorter one of OS/2."""
    (length,) = view.unpack("<I", 14)
    if length == 12:
        return Pixels(*view.unpack("<HH", 18))
    if not 16 <= length <= 4096:
        raise Mismatch
    width, height = view.unpack("<ii", 18)
    # Lines that run from top to bottom have a negative height.
    return Pixels(abs(width), abs(height))


def webp(view: View) -> Pixels:
    """RFC 9649, 2: a lossy, a lossless or an extended picture."""
    chunk = view.at(12, 4)
    if chunk == b"VP8X":
        data = view.at(24, 6)
        return Pixels(int.from_bytes(data[:3], "little") + 1, int.from_bytes(data[3:], "little") + 1)
    if chunk == b"VP8L":
        mark, bits = view.unpack("<BI", 20)
        if mark == 0x2F:
            return Pixels((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if chunk == b"VP8 ":
        code, width, height = view.unpack("<3sHH", 23)
        if code == b"\x9d\x01\x2a":
            return Pixels(width & 0x3FFF, height & 0x3FFF)
    raise Mismatch


def tiff(view: View) -> Pixels:
    """TIFF 6.0, 2, and BigTIFF: the largest of the first pages."""
    order = "<" if view.at(0, 1) == b"I" else ">"
    big = view.unpack(f"{order}H", 2)[0] == 43
    counts, entry, offset = ("Q", "HHQ", "Q") if big else ("H", "HHI", "I")
    head, step = (8, 20) if big else (2, 12)
    (at,) = view.unpack(f"{order}{offset}", 8 if big else 4)
    sizes: list[Pixels] = []
    while at and len(sizes) < _PAGES:
        (entries,) = view.unpack(f"{order}{counts}", at)
        if not 0 < entries <= 4096:
            raise Mismatch
        size = {256: 0, 257: 0}
        for index in range(entries):
            place = at + head + index * step
            tag, form, _ = view.unpack(f"{order}{entry}", place)
            if tag in size:
                (size[tag],) = view.unpack(
                    f"{order}{'H' if form == 3 else 'I'}", place + step - (8 if big else 4)
                )
            elif tag > 257:
                break
        if not all(size.values()):
            raise Mismatch
        sizes.append(Pixels(size[256], size[257]))
        (at,) = view.unpack(f"{order}{offset}", at + head + entries * step)
    if not sizes:
        raise Mismatch
    return max(sizes, key=lambda pixels: pixels.total)
