"""What is left of a picture: pieces of its file, told without copying them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from ...errors import Rejected

#: Chunks, segments or boxes of one file. No camera or editor comes near; a file made to cost time does.
MAX_BLOCKS = 4_000_000
# …and what stands between those that go.
_MAX_PIECES = 100_000

_COPY = 1 << 20


@dataclass
class Stripped:
    """A picture without its metadata: pieces of the file that was there, and bytes that replace some of it."""

    #: Pillow's name of the format.
    format: str
    #: How it must be turned to stand upright, 1 to 8 as in EXIF; the pieces keep that as their only tag.
    orientation: int = 1
    pixels: int = 0
    #: (start, end) of the file, bytes, or a number of zeros.
    pieces: list[tuple[int, int] | bytes | int] = field(default_factory=list)
    #: Whether a picture was found.
    whole: bool = False
    still: bool = True

    def keep(self, start: int, end: int) -> None:
        last = self.pieces[-1] if self.pieces else None
        if isinstance(last, tuple) and last[1] == start:
            self.pieces[-1] = (last[0], end)
        elif end > start:
            self.put((start, end))

    def put(self, piece: tuple[int, int] | bytes | int) -> None:
        if len(self.pieces) >= _MAX_PIECES:
            raise Rejected.because("damaged_picture")
        self.pieces.append(piece)

    def chunks(self, file: BinaryIO) -> Iterator[bytes]:
        """The bytes, at most 1 MiB at a time, from the file that was planned for."""
        for piece in self.pieces:
            if isinstance(piece, bytes):
                yield piece
            elif isinstance(piece, int):
                for start in range(0, piece, _COPY):
                    yield bytes(min(_COPY, piece - start))
            else:
                file.seek(piece[0])
                for start in range(*piece, _COPY):
                    yield file.read(min(_COPY, piece[1] - start))


#: (start, end, the bytes that go to the start): the rest up to the end becomes zeros.
Blank = tuple[int, int, bytes]


def blanked(found: Stripped, size: int, blanks: list[Blank]) -> Stripped:
    """The whole file in its old size, with these ranges blanked: offsets elsewhere in it point past them."""
    position = 0
    for start, end, instead in sorted(blanks):
        # Pieces that overlap are in no honest file; the first counts.
        start, end = max(start, position), min(end, size)
        if start >= end:
            continue
        found.keep(position, start)
        instead = instead[: end - start]
        if instead:
            found.put(instead)
        if end - start > len(instead):
            found.put(end - start - len(instead))
        position = end
    found.keep(position, size)
    return found
