"""TIFF, and EXIF, which is one: directories of tags that point into the file. What tells is blanked in its place.

Sources: TIFF 6.0 and its supplements, BigTIFF, Exif 2.32.
"""

from __future__ import annotations

import mmap
import struct

from ...errors import Rejected
from .stripped import Blank, Stripped, blanked

TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
#: What a reader needs to draw a page (TIFF 6.0; its supplements; JPEG, YCbCr, tiles, CMYK), and the ICC profile.
_TIFF_KEPT = frozenset(
    [
        *(*range(254, 260), *range(262, 267), 273, 274, *range(277, 285), *range(288, 294), 296, 297, 301),
        *(
            *range(317, 329),
            330,
            332,
            334,
            336,
            *range(338, 348),
            351,
            *range(512, 522),
            *range(529, 533),
            34675,
        ),
    ]
)
_TIFF_TYPES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_ORIENTATION, _SUB_IFDS, _EXIF_IFDS = 274, 330, frozenset({34665, 34853, 40965})


class _Ifds:
    """The directories of a TIFF, with offsets of four bytes or, in a BigTIFF, of eight."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self.data = data
        self.order = "<" if data[:2] == b"II" else ">"
        self.big = data[2:4] in (b"+\0", b"\0+")
        self.first = self.number(8, 8) if self.big else self.number(4, 4)

    def number(self, position: int, size: int) -> int:
        found: int = struct.unpack_from(self.order + {2: "H", 4: "I", 8: "Q"}[size], self.data, position)[0]
        return found

    @property
    def _sizes(self) -> tuple[int, int, int]:
        """Bytes of the count of entries, of an entry, of an offset."""
        return (8, 20, 8) if self.big else (2, 12, 4)

    def entries(self, ifd: int) -> tuple[range, int]:
        """Where the entries of a directory stand, and the offset of the next directory."""
        count_size, entry_size, offset_size = self._sizes
        count = self.number(ifd, count_size)
        if count > 10_000:
            raise Rejected.because("damaged_picture")
        first = ifd + count_size
        end = first + count * entry_size
        return range(first, end, entry_size), self.number(end, offset_size)

    def value(self, entry: int) -> tuple[int, int]:
        """Where the value of an entry lies: (start, end), in the entry itself where it has room."""
        offset_size = self._sizes[2]
        size = _TIFF_TYPES.get(self.number(entry + 2, 2), 1) * self.number(entry + 4, offset_size)
        inline = entry + 4 + offset_size
        start = inline if size <= offset_size else self.number(inline, offset_size)
        return start, start + size

    def offsets(self, entry: int) -> list[int]:
        """The value of an entry that points to other directories."""
        start, end = self.value(entry)
        size = _TIFF_TYPES.get(self.number(entry + 2, 2), 1)
        return (
            [self.number(at, size) for at in range(start, min(end, start + 1000 * size), size)]
            if size >= 4
            else []
        )

    def without(self, ifd: int, entries: range, kept: list[int], following: int) -> Blank:
        """A directory that holds only the kept entries, in the place of all."""
        count_size, entry_size, offset_size = self._sizes
        pack = {2: "H", 4: "I", 8: "Q"}
        head = struct.pack(self.order + pack[count_size], len(kept))
        body = b"".join(self.data[entry : entry + entry_size] for entry in kept)
        return (
            ifd,
            entries.stop + offset_size,
            head + body + struct.pack(self.order + pack[offset_size], following),
        )


def tiff(data: mmap.mmap) -> Stripped:
    found = Stripped("TIFF")
    ifds = _Ifds(data)
    blanks: list[Blank] = []
    # A directory, and whether it tells of the picture alone, as those below the EXIF tag do not.
    waiting, seen = [(ifds.first, True)], set[int]()
    while waiting:
        ifd, pictures = waiting.pop()
        if not ifd or ifd in seen:
            continue
        seen.add(ifd)
        if len(seen) > 10_000:
            raise Rejected.because("damaged_picture")
        entries, following = ifds.entries(ifd)
        kept = []
        for entry in entries:
            tag = ifds.number(entry, 2)
            if pictures and tag in _TIFF_KEPT:
                kept.append(entry)
                found.whole = found.whole or tag in (273, 324, 513)
                waiting += [(offset, True) for offset in ifds.offsets(entry)] if tag == _SUB_IFDS else []
                continue
            start, end = ifds.value(entry)
            blanks.append((start, end, b""))
            waiting += [(offset, False) for offset in ifds.offsets(entry)] if tag in _EXIF_IFDS else []
        if len(kept) < len(entries):
            blanks.append(ifds.without(ifd, entries, kept, following if pictures else 0))
        waiting.append((following, pictures))
    return blanked(found, len(data), blanks)


def orientation(exif: bytes) -> int:
    """The orientation that a block of EXIF tells, 1 where it tells none."""
    if exif[:4] not in TIFF_HEADS[:2]:
        return 1
    try:
        ifds = _Ifds(exif)
        for entry in ifds.entries(ifds.first)[0]:
            if ifds.number(entry, 2) == _ORIENTATION:
                told = ifds.number(ifds.value(entry)[0], 2)
                return told if 1 <= told <= 8 else 1
    except (struct.error, Rejected):
        pass
    return 1


def only_orientation(orientation: int) -> bytes:
    """A block of EXIF with this one tag."""
    return struct.pack("<4sIHHHIHHI", b"II*\0", 8, 1, _ORIENTATION, 3, 1, orientation, 0, 0)
