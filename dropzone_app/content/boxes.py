"""The ISO base media file format (ISO/IEC 14496-12) and QuickTime: boxes, and brands that tell their families."""

from __future__ import annotations

from collections.abc import Iterator

from .view import CutOff, Mismatch, Pixels, Structure, View

_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_AVIF = {b"avif", b"avis"}
_IMAGES = {b"mif1", b"mif2", b"msf1", b"miaf"}
#: What begins a file without a brand: QuickTime of old, and pieces of a stream.
UNBRANDED = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp")

NOUNS = {
    "avif": "an AVIF image",
    "heic": "a HEIC image",
    "heif": "a HEIF image",
    "raw": "a Canon raw image",
    "m4a": "an M4A file",
    "mov": "a QuickTime video",
    "3gp": "a 3GP video",
    "mp4": "an MP4 video",
}


def family(view: View) -> str | None:
    """To what a file with ``ftyp`` belongs, a key of :data:`NOUNS`; None for one without a brand."""
    length, name, major = view.unpack(">I4s4s", 0)
    if name != b"ftyp":
        return None
    rest = view.upto(16, min(max(length - 16, 0), 1024))
    brands = {major, *(rest[at : at + 4] for at in range(0, len(rest), 4))}
    if major in _AVIF or (major in _IMAGES and brands & _AVIF):
        return "avif"
    if major in _HEIC or (major in _IMAGES and brands & _HEIC):
        return "heic"
    if major in _IMAGES:
        return "heif"
    if major == b"crx ":
        return "raw"
    if major in {b"M4A ", b"M4B ", b"M4P "}:
        return "m4a"
    if major == b"qt  " and not any(brand[:3] in {b"iso", b"mp4"} for brand in brands):
        return "mov"
    return "3gp" if major[:2] == b"3g" else "mp4"


def image(*families: str) -> Structure:
    """A check for a picture of one of these families: its size is that of the largest item or track."""

    def check(view: View) -> Pixels:
        _belongs(view, families)
        found = [
            Pixels(*view.unpack(">II", at + 4)) for at in _paths(view, b"meta", b"iprp", b"ipco", b"ispe")
        ]
        if not found:
            # A sequence without a still picture has tracks only; their sizes are 16.16 fixed-point numbers.
            for at in _paths(view, b"moov", b"trak", b"tkhd"):
                (version,) = view.at(at, 1)
                width, height = view.unpack(">II", at + (88 if version else 76))
                found.append(Pixels(width >> 16, height >> 16))
        if not found:
            raise CutOff
        return max(found, key=lambda pixels: pixels.total)

    return check


def movie(*families: str) -> Structure:
    """A check for sound or film of one of these families, or without a brand, that has all of its index (``moov``)."""

    def check(view: View) -> None:
        _belongs(view, (*families, None))
        ends = (end for name, _, end in _boxes(view, 0, None) if name in {b"moov", b"moof"})
        # Without all of its index nothing of it can be played; without the end of its media, the beginning can.
        if (end := next(ends, None)) is None:
            raise CutOff
        view.at(end - 1, 1)

    return check


def _belongs(view: View, families: tuple[str | None, ...]) -> None:
    found = family(view)
    if found not in families:
        raise Mismatch(NOUNS[found] if found else None)


def _boxes(view: View, start: int, end: int | None) -> Iterator[tuple[bytes, int, int]]:
    """(name, first byte after the header, end) of each box. CutOff where one reaches past the end of the file."""
    end = view.size if end is None else end
    while end is None or start + 8 <= end:
        length, name = view.unpack(">I4s", start)
        header = 8
        if length == 1:
            (length,) = view.unpack(">Q", start + 8)
            header = 16
        elif length == 0:
            length = (view.end() if end is None else end) - start
        if length < header:
            raise Mismatch
        yield name, start + header, start + length
        start += length
    if start > end:
        raise CutOff


def _paths(view: View, *path: bytes) -> list[int]:
    """Where the contents begin of every box on this path: of that box in that box."""
    places: list[tuple[int, int | None]] = [(0, None)]
    for depth, name in enumerate(path):
        inner: list[tuple[int, int | None]] = []
        for start, end in places:
            for found, first, last in _boxes(view, start, end):
                if found == name:
                    # `meta` has a version before its boxes.
                    inner.append((first + 4 if name == b"meta" else first, last))
                    if depth == 0:
                        break
        places = inner
    return [start for start, _ in places]
