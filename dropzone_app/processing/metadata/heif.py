"""HEIC and AVIF: boxes that point into the file, so that nothing may move. What tells is blanked in its place.

Sources: ISO/IEC 14496-12 (boxes, items), ISO/IEC 23008-12 (HEIF).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator

from ...errors import Rejected
from .stripped import MAX_BLOCKS, Blank, Stripped, blanked

HEIF_BRANDS = frozenset(b"heic heix heim heis hevc hevx mif1 msf1 avif avis".split())
_HEIF_TOP = frozenset({b"ftyp", b"meta", b"moov", b"mdat", b"free", b"skip"})
_HEIF_TELLING = frozenset({b"udta", b"meta", b"uuid"})
#: Names, creation and change times, descriptions among the properties of items.
_HEIF_PROPERTIES = frozenset({b"udes", b"crtt", b"mdft", b"altt", b"uuid"})
_HEIF_ITEMS = frozenset({b"Exif", b"mime", b"uri "})


def heif(data: mmap.mmap) -> Stripped:
    found = Stripped("HEIF")
    blanks: list[Blank] = []
    for name, start, body, end in _boxes(data, 0, len(data)):
        if name == b"meta":
            found.whole = True
            _heif_meta(data, body + 4, end, blanks)
        elif name == b"moov":
            found.whole = True
            _heif_film(data, body, end, blanks)
        elif name not in _HEIF_TOP:
            blanks.append(_freed(start, body, end))
    return blanked(found, len(data), blanks)


def _freed(start: int, body: int, end: int) -> Blank:
    """A box that becomes free space of the same size (ISO/IEC 14496-12, 8.1.2)."""
    # A box of 16 bytes of header has its size behind its name.
    return (start + 4, end, b"free") if body - start == 8 else (start, end, _header(end - start))


def _header(size: int) -> bytes:
    return struct.pack(">I4sQ", 1, b"free", size)


def _boxes(data: mmap.mmap, position: int, limit: int) -> Iterator[tuple[bytes, int, int, int]]:
    """(type, start, start of the content, end) of each box in a range."""
    for _ in range(MAX_BLOCKS):
        if position + 8 > limit:
            return
        size, name = struct.unpack_from(">I4s", data, position)
        start, body = position, position + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, body)
            body += 8
        position = limit if size == 0 else start + size
        if not body <= position <= limit:
            raise Rejected.because("damaged_picture")
        yield name, start, body, position


def _heif_film(data: mmap.mmap, body: int, end: int, blanks: list[Blank]) -> None:
    for name, start, inside, until in _boxes(data, body, end):
        if name in _HEIF_TELLING:
            blanks.append(_freed(start, inside, until))
        elif name == b"trak":
            _heif_film(data, inside, until, blanks)


def _heif_meta(data: mmap.mmap, body: int, end: int, blanks: list[Blank]) -> None:
    """Blank the items that are metadata: their bytes, wherever they lie, and their type."""
    inside = {name: (content, until) for name, _, content, until in _boxes(data, body, end)}
    telling: set[int] = set()
    for name, start, content, until in _boxes(data, body, end):
        if name == b"iinf":
            entries = content + (6 if data[content] == 0 else 8)
            for _, entry, _, entry_end in _boxes(data, entries, until):
                # infe: version and flags, the item's id, its protection, its type (ISO/IEC 23008-12).
                wide = data[entry + 8] >= 3
                id = int.from_bytes(data[entry + 12 : entry + (16 if wide else 14)], "big")
                type_at = entry + (18 if wide else 16)
                if data[entry + 8] >= 2 and data[type_at : type_at + 4] in _HEIF_ITEMS:
                    telling.add(id)
                    blanks.append((type_at, entry_end, b"skip"))
        elif name == b"iprp":
            for kind, _, first, last in _boxes(data, content, until):
                if kind == b"ipco":
                    blanks += [
                        _freed(*place)
                        for what, *place in _boxes(data, first, last)
                        if what in _HEIF_PROPERTIES
                    ]
        elif name in (b"uuid", b"xml ", b"bxml"):
            blanks.append(_freed(start, content, until))
    if telling and b"iloc" in inside:
        idat = inside.get(b"idat", (len(data), len(data)))
        blanks += _item_places(data, *inside[b"iloc"], telling, idat[0])


def _item_places(data: mmap.mmap, body: int, end: int, wanted: set[int], idat: int) -> Iterator[Blank]:
    """Where the bytes of items lie, by the iloc box (ISO/IEC 14496-12, 8.11.3)."""
    version = data[body]
    sizes = int.from_bytes(data[body + 4 : body + 6], "big")
    offset_size, length_size, base_size = sizes >> 12 & 15, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version in (1, 2) else 0
    position = body + 6

    def number(size: int) -> int:
        nonlocal position
        if position + size > end:
            raise Rejected.because("damaged_picture")
        position += size
        return int.from_bytes(data[position - size : position], "big")

    for _ in range(number(2 if version < 2 else 4)):
        id = number(2 if version < 2 else 4)
        method = number(2) & 15 if version in (1, 2) else 0
        number(2)
        base = number(base_size)
        for _ in range(number(2)):
            number(index_size)
            start, length = base + number(offset_size), number(length_size)
            if id not in wanted:
                continue
            if method > 1:
                # Cut out of another item: nobody writes metadata so.
                raise Rejected.because("damaged_picture")
            start += idat if method == 1 else 0
            yield start, (start + length if length else len(data)), b""
