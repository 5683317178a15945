"""JPEG, PNG, GIF and WebP: a row of segments, of which some are left out.

Sources: ITU-T T.81 and T.871 (JPEG, JFIF), Exif 2.32, PNG third edition, GIF89a, the WebP container specification.
"""

from __future__ import annotations

import mmap
import re
import struct
import zlib
from collections.abc import Iterator

from ...errors import Rejected
from .stripped import MAX_BLOCKS, Stripped
from .tiff import only_orientation, orientation

# How far one search goes: it holds the interpreter's lock.
_STEP = 1 << 20
# Bytes of a block of EXIF that are looked at for the orientation: as many as it may have in a JPEG.
_EXIF = 1 << 16

# ---- JPEG

# A marker that ends entropy-coded data: not a stuffed zero, a restart marker or a fill byte (T.81, B.1.1.2).
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_EOI, _SOS, _COM = 0xD9, 0xDA, 0xFE


def jpeg(data: mmap.mmap) -> Stripped:
    found = Stripped("JPEG")
    found.keep(0, 2)
    sized, position = False, 2
    for _ in range(MAX_BLOCKS):
        marker_at = _next_marker(data, position)
        if marker_at < 0:
            break
        marker = data[marker_at + 1]
        if marker == _EOI:
            found.keep(marker_at, marker_at + 2)
            break
        if marker in (0x01, 0xD8):
            # These stand alone; one in the middle means nothing.
            position = marker_at + 2
            continue
        position = marker_at + 2 + int.from_bytes(data[marker_at + 2 : marker_at + 4], "big")
        if marker in _SOF and position <= len(data):
            height, width = struct.unpack_from(">HH", data, marker_at + 5)
            found.pixels, sized = max(found.pixels, width * height), True
        if marker == _SOS:
            found.whole = sized
            end = _next_marker(data, position)
            position = len(data) if end < 0 else end
        _jpeg_segment(data, found, marker_at, min(position, len(data)))
    return found


def _next_marker(data: mmap.mmap, position: int) -> int:
    """Where the next marker stands; -1 for nowhere. What stands before it is no segment, and skipped by readers too."""
    while position < len(data):
        match = _MARKER.search(data, position, position + _STEP)
        if match:
            return match.start()
        position += _STEP - 1
    return -1


def _jpeg_segment(data: mmap.mmap, found: Stripped, start: int, end: int) -> None:
    marker, begins = data[start + 1], data[start + 4 : start + 18]
    if marker == 0xE0 and begins.startswith(b"JFIF\0"):
        # Without its thumbnail (T.871, 10.1).
        if end - start > 18:
            found.put(b"\xff\xe0\0\x10" + begins[:12] + b"\0\0")
        else:
            found.keep(start, end)
    elif marker == 0xE1 and begins.startswith(b"Exif\0") and found.orientation == 1:
        found.orientation = orientation(data[start + 10 : end])
        if found.orientation != 1:
            exif = b"Exif\0\0" + only_orientation(found.orientation)
            found.put(b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif)
    elif marker == 0xE2 and begins.startswith(b"ICC_PROFILE\0"):
        found.keep(start, end)
    elif marker == 0xEE and begins.startswith(b"Adobe"):
        # It tells how the colours are coded.
        found.keep(start, end)
    elif not (0xE0 <= marker <= 0xEF or marker == _COM):
        found.keep(start, end)


# ---- PNG

_PNG_KEPT = frozenset(
    b"tRNS cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI bKGD hIST pHYs sPLT acTL fcTL fdAT".split()
)
#: What tells the colours and can be copied from one file into another.
PNG_COLOURS = frozenset({b"cHRM", b"gAMA", b"sRGB", b"cICP"})


def png(data: mmap.mmap) -> Stripped:
    found = Stripped("PNG")
    found.keep(0, 8)
    for name, start, end in png_chunks(data):
        if name == b"IHDR":
            width, height = struct.unpack_from(">II", data, start + 8)
            found.pixels = max(found.pixels, width * height)
        elif name == b"IDAT":
            found.whole = found.pixels > 0
        elif name == b"acTL":
            found.still = False
        elif name == b"eXIf" and found.orientation == 1:
            found.orientation = orientation(data[start + 8 : min(end - 4, start + _EXIF)])
            if found.orientation != 1:
                found.put(_png_chunk(b"eXIf", only_orientation(found.orientation)))
        # A capital letter: no reader can do without it.
        if name[:1].isupper() or name in _PNG_KEPT:
            found.keep(start, end)
    return found


def png_chunks(data: mmap.mmap) -> Iterator[tuple[bytes, int, int]]:
    position = 8
    for _ in range(MAX_BLOCKS):
        if position + 12 > len(data):
            return
        length, name = struct.unpack_from(">I4s", data, position)
        start, position = position, position + 12 + length
        yield name, start, min(position, len(data))
        if name == b"IEND":
            return


def _png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


# ---- GIF

_GIF_APPLICATIONS = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012")


def gif(data: mmap.mmap) -> Stripped:
    found = Stripped("GIF")
    position = 13 + _colours(data[10])
    found.keep(0, position)
    for _ in range(MAX_BLOCKS):
        start = position
        introducer = data[start : start + 1]
        if introducer == b"\x21":
            label = data[start + 1]
            position = _after_blocks(data, start + 2)
            application = label == 0xFF and data[start + 3 : start + 14] in _GIF_APPLICATIONS
            if label == 0xF9 or application:
                found.keep(start, position)
        elif introducer == b"\x2c":
            position = _after_blocks(data, start + 11 + _colours(data[start + 9]))
            found.keep(start, position)
            found.whole = True
        else:
            break
    if data[position : position + 1] == b"\x3b":
        found.keep(position, position + 1)
    else:
        found.put(b"\x3b")
    return found


def _colours(flags: int) -> int:
    """Bytes of a colour table that these flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_blocks(data: mmap.mmap, position: int) -> int:
    for _ in range(MAX_BLOCKS):
        length = data[position]
        position += 1 + length
        if not length:
            return position
    raise Rejected.because("damaged_picture")


# ---- WebP

_WEBP_KEPT = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"})
_WEBP_EXIF, _WEBP_XMP = 0x08, 0x04


def webp(data: mmap.mmap) -> Stripped:
    found, after = Stripped("WEBP"), Stripped("WEBP")
    for name, start, end in riff_chunks(data):
        if name == b"EXIF" and found.orientation == 1:
            found.orientation = orientation(
                data[start + 8 : min(end, start + _EXIF)].removeprefix(b"Exif\0\0")
            )
            if found.orientation != 1:
                exif = only_orientation(found.orientation)
                after.put(b"EXIF" + struct.pack("<I", len(exif)) + exif)
        elif name in (b"VP8 ", b"VP8L", b"ANMF"):
            found.whole = True
            found.still = found.still and name != b"ANMF"
        if name in _WEBP_KEPT and name != b"VP8X":
            after.keep(start, end)
    extended = data[12:30] if data[12:16] == b"VP8X" else b""
    if extended:
        width, height = (int.from_bytes(extended[at : at + 3], "little") for at in (12, 15))
        found.pixels = (width + 1) * (height + 1)
        flags = extended[8] & ~(_WEBP_XMP | (_WEBP_EXIF if found.orientation == 1 else 0))
        extended = extended[:8] + bytes([flags]) + extended[9:]
    size = 4 + len(extended) + sum(_length(piece) for piece in after.pieces)
    head = b"RIFF" + struct.pack("<I", size) + b"WEBP" + extended
    if data[: len(head)] == head:
        found.keep(0, len(head))
    else:
        found.put(head)
    for piece in after.pieces:
        if isinstance(piece, tuple):
            found.keep(*piece)
        else:
            found.put(piece)
    return found


def riff_chunks(data: mmap.mmap) -> Iterator[tuple[bytes, int, int]]:
    position = 12
    for _ in range(MAX_BLOCKS):
        if position + 8 > len(data):
            return
        name, length = struct.unpack_from("<4sI", data, position)
        start, position = position, position + 8 + length + length % 2
        yield name, start, min(position, len(data))


def _length(piece: tuple[int, int] | bytes | int) -> int:
    if isinstance(piece, tuple):
        return piece[1] - piece[0]
    return len(piece) if isinstance(piece, bytes) else piece
