"""Bytes of a file by their place, and what a structure check may say of them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import IO, Any, NamedTuple

#: What one check may ask for: more than any real file needs, and a few milliseconds at most.
READS = 4096
BYTES = 8 << 20

#: Opens the bytes of a file that is complete.
Opener = Callable[[], AbstractContextManager[IO[bytes]]]


class Pixels(NamedTuple):
    """The size of a picture."""

    width: int
    height: int

    @property
    def total(self) -> int:
        return self.width * self.height


class Findings(Exception):
    """What is wrong with a file, or what is missing to say so."""


class More(Findings):
    """The bytes that would tell have not come yet."""


class Mismatch(Findings):
    """The file is of another kind; ``found`` is the noun of that, None where nothing tells."""

    def __init__(self, found: str | None = None) -> None:
        super().__init__(found)
        self.found = found


class CutOff(Findings):
    """The file ends before one of its kind can end."""


class Malformed(Findings):
    """A text that breaks the rules of its format, first in this line and column, both counted from 1."""

    def __init__(self, line: int, column: int) -> None:
        super().__init__(line, column)
        self.line = line
        self.column = column


class Harmful(Findings):
    """An XML text whose entities grow without end, or fetch what is none of the file's."""


#: A check of a kind: the size of a picture, None for what has none. Raises Findings.
Structure = Callable[["View"], Pixels | None]


class View:
    """A file: its first bytes ``head``, and once ``size`` is known all the others, from ``file``.

    Mismatch once :data:`READS` or :data:`BYTES` are spent: no real file asks for as much.
    """

    def __init__(self, head: bytes, size: int | None = None, file: IO[bytes] | None = None) -> None:
        self.head = head
        #: None while the file still arrives.
        self.size = size
        self._file = file
        self._reads = READS
        self._bytes = BYTES

    def at(self, offset: int, length: int) -> bytes:
        """These bytes, all of them. CutOff where the file ends before, More where it has not come so far."""
        data = self.upto(offset, length)
        if len(data) < length:
            raise CutOff
        return data

    def upto(self, offset: int, length: int) -> bytes:
        """These bytes, fewer where the file ends before. More where it has not come so far."""
        end = offset + length
        if end <= len(self.head):
            return self.head[offset:end]
        if self.size is None:
            raise More
        if self.size <= len(self.head) or offset >= self.size:
            return self.head[offset:end]
        self._reads -= 1
        self._bytes -= length
        if self._reads < 0 or self._bytes < 0:
            raise Mismatch
        if self._file is None:
            raise More
        self._file.seek(offset)
        return self._file.read(length)

    def end(self) -> int:
        """The size of the file. More while it is not known."""
        if self.size is None:
            raise More
        return self.size

    def unpack(self, form: str, offset: int) -> tuple[Any, ...]:
        """The values of a :mod:`struct` at this place."""
        return struct.unpack(form, self.at(offset, struct.calcsize(form)))
