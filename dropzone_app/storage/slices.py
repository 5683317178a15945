"""Some of the bytes of a staged file, on their way to a store."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable

from .staged import StagedFile

_READ = 1 << 20


class Slice:
    """``length`` bytes to be sent: read in any thread, and again where a request is repeated."""

    def __init__(self, staged: StagedFile, start: int, length: int) -> None:
        self._fd = staged.fileno()
        self._start = start
        self.length = length
        self._at = 0

    def md5(self) -> str:
        """Their Content-MD5."""
        digest = md5(iter(lambda: self.read(_READ), b""))
        self.seek(0)
        return digest

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.length}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = self.length - self._at
        data = os.pread(self._fd, left if size < 0 else min(size, left), self._start + self._at)
        self._at += len(data)
        return data


def md5(pieces: Iterable[bytes]) -> str:
    """The Content-MD5 of these bytes (RFC 1864)."""
    digest = hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        digest.update(piece)
    return base64.b64encode(digest.digest()).decode()
