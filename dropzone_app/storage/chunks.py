"""A file that arrives in chunks: one file in the staging folder, each chunk written at its place, nothing copied.

Whoever writes and whoever commits may be different processes, and a connection that hangs may wake up long after
the same chunk has come by another one. So nobody waits for a writer: a writer may write while the file has the name it
was begun under, and looks before each write. To commit is to take that name away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .staged import AT_ONCE, Digest, StagedFile, is_old, leave_free, start_writeback

_READ = 1 << 20

_NAME = re.compile(r"[0-9a-f]{32}\.(chunks|joined)")

# Bytes of the file that stand for what is locked. The locks belong to an open descriptor (Linux), and so to one
# request, whichever thread and process serves it; they end with it.
_WRITING, _ALIVE = 0, 1


class Damaged(Exception):
    """Bytes that had arrived are no longer what they were."""


class ChunkWriter:
    """Takes the bytes of one chunk. ``offset`` None: they are only looked at, since the chunk is there."""

    #: Whether :meth:`keep` costs next to nothing, however few bytes came since the last time.
    keeps_at_once = True

    def __init__(self, path: Path, offset: int | None, before: str = "", *, min_free: int = 0) -> None:
        """FileNotFoundError where the file no longer takes chunks. ``before``: see :meth:`ChunkFolder.write`."""
        self._min_free = min_free
        self._path = path
        self._sum = int(before or "0", 16)
        self._offset = self._at = offset
        self._fd = -1
        if offset is not None:
            self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            _lock(self._fd, _ALIVE, fcntl.F_RDLCK)

    def write(self, data: bytes) -> None:
        """Take the next bytes. FileNotFoundError from the moment the file no longer takes chunks."""
        self._sum = zlib.crc32(data, self._sum)
        if self._at is None:
            return
        if self._min_free:
            leave_free(self._fd, len(data), self._min_free)
        rest = memoryview(data)
        with _locked(self._fd, _WRITING, fcntl.F_RDLCK):
            if not _is_at(self._fd, self._path):
                raise FileNotFoundError("the file takes no more chunks")
            while rest:
                written = os.pwrite(self._fd, rest[:AT_ONCE], self._at)
                self._at += written
                rest = rest[written:]

    def keep(self) -> str:
        """Have all that was written where whoever goes on will find it; its mark.

        FileNotFoundError where the file no longer takes chunks.
        """
        return self.mark

    def beginning(self, size: int) -> bytes:
        """The first ``size`` bytes of the file, which this chunk goes on from."""
        return os.pread(self._fd, size, 0)

    @property
    def mark(self) -> str:
        """What tells these bytes from others at their place, by accident changed."""
        return f"{self._sum:08x}"

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        if self._fd >= 0:
            if self._offset is not None and self._at is not None and self._at > self._offset:
                # So that the fsync of the commit finds little left to do.
                start_writeback(self._fd, self._offset, self._at - self._offset)
            os.close(self._fd)
            self._fd = -1


class JoinedFile(StagedFile):
    """A file whose chunks have all arrived, ready to be committed. Closing it removes nothing."""

    def __init__(self, path: Path, *, digest: bool) -> None:
        self.path = path
        self._digest = Digest() if digest else None
        self._sha256 = None
        self._min_free = 0
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.size = os.fstat(self._fd).st_size

    @property
    def wants_all(self) -> bool:
        """Whether its digest is only known when all its bytes were read."""
        return self._digest is not None

    def beginning(self, size: int) -> bytes:
        """The first ``size`` bytes."""
        return os.pread(self._fd, size, 0)

    def read_through(self, chunks: Iterable[tuple[int, int, str]]) -> Iterator[bytes]:
        """All its bytes, once and in order, hashed on the way; ``chunks``: (start, end, mark) of each, in order.

        Damaged where they are not what arrived; a mark "" tells nothing of it.
        """
        at = 0
        with self.open() as file:
            for start, end, mark in chunks:
                if start != at:
                    raise Damaged
                found = 0
                while at < end:
                    data = file.read(min(_READ, end - at))
                    if not data:
                        raise Damaged
                    found = zlib.crc32(data, found) if mark else 0
                    if self._digest is not None:
                        self._digest.update(data)
                    at += len(data)
                    yield data
                if mark and f"{found:08x}" != mark:
                    raise Damaged
        if at != self.size:
            raise Damaged

    def close(self) -> None:
        if self._digest is not None:
            self._digest.close()
            self._digest = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class ChunkFolder:
    """The files of a staging folder that arrive in chunks, each under a handle of its own."""

    def __init__(self, folder: Path, *, digest: bool, min_free: int = 0) -> None:
        self._folder = folder
        self._min_free = min_free
        self._digest = digest

    def begin(self, size: int) -> str:
        """Make an empty file; its handle. ``size``: of the whole file, one day."""
        handle = secrets.token_hex(16)
        try:
            self._make(handle)
        except FileNotFoundError:
            # As for parts: the staging folder may be made anew, the root not.
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._make(handle)
        return handle

    def _make(self, handle: str) -> None:
        os.close(os.open(self._open(handle), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))

    def write(self, handle: str, offset: int | None, before: str = "") -> ChunkWriter:
        """A writer for the chunk that begins at ``offset``. FileNotFoundError where the file takes no more.

        ``before``: the mark of a chunk that ended there, which the writer's mark then speaks for as well.
        """
        return ChunkWriter(self._open(handle), offset, before, min_free=self._min_free)

    def join(self, handle: str, chunks: Sequence[tuple[int, int, str]]) -> JoinedFile:
        """The whole file: from now on nobody can write it. FileNotFoundError where it is gone.

        ``chunks``: (start, end, mark) of each, in order; here they lie so already.
        """
        fd = os.open(self._open(handle), os.O_RDWR | os.O_CLOEXEC)
        try:
            # For a moment only, until those who are just writing have looked up.
            with _locked(fd, _WRITING, fcntl.F_WRLCK):
                self._open(handle).rename(self._joined(handle))
        finally:
            os.close(fd)
        return JoinedFile(self._joined(handle), digest=self._digest)

    def reopen(self, handle: str) -> None:
        """Take chunks again. FileNotFoundError where the file is gone."""
        if not self._open(handle).exists():
            self._joined(handle).rename(self._open(handle))

    def drop(self, handle: str) -> None:
        """Remove the file under both of its names; silent where it is gone."""
        for path in (self._open(handle), self._joined(handle)):
            path.unlink(missing_ok=True)

    def handles(self) -> Iterator[str]:
        """All that are there, under whichever name."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            yield from (entry.name.rpartition(".")[0] for entry in entries if _NAME.fullmatch(entry.name))

    def abandoned(self, handle: str, age: float) -> int | None:
        """Bytes on the disk of a file that nobody has written for ``age`` seconds, or writes now; None of any other."""
        size = 0
        for path in (self._open(handle), self._joined(handle)):
            with contextlib.suppress(FileNotFoundError):
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    held = not _lock(fd, _ALIVE, fcntl.F_WRLCK, wait=False)
                    if held or not is_old(os.fstat(fd), age):
                        return None
                    size += os.fstat(fd).st_blocks * 512
                finally:
                    os.close(fd)
        return size

    def _open(self, handle: str) -> Path:
        return self._folder / f"{handle}.chunks"

    def _joined(self, handle: str) -> Path:
        return self._folder / f"{handle}.joined"


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _lock(fd: int, byte: int, kind: int, *, wait: bool = True) -> bool:
    """Whether the lock was taken, which is always so where it is waited for."""
    command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
    try:
        # struct flock of fcntl(2): type, whence, start, length, pid.
        fcntl.fcntl(fd, command, struct.pack("hhqqi4x", kind, os.SEEK_SET, byte, 1, 0))
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _locked(fd: int, byte: int, kind: int) -> Iterator[None]:
    _lock(fd, byte, kind)
    try:
        yield
    finally:
        _lock(fd, byte, fcntl.F_UNLCK)
