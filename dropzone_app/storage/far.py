"""A file in a store elsewhere, as a file to read and to seek in."""

from __future__ import annotations

import errno
import io
import os


class FarFile(io.RawIOBase):
    """Keeps the place in a file of ``_size`` bytes; ``readinto`` is the store's own."""

    _at: int
    _size: int

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if at < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._at = at
        return at
