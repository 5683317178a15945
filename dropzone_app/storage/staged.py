"""Where a part's bytes go as they arrive: one temporary file in the storage's own file system."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import queue
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..cores import count, use_all

# A digest is worth a thread of its own from here on; below, starting one costs more than it saves.
_THREAD_FROM = 4 << 20
# Chunks of at most 1 MiB that may wait for the digest: memory stays flat when hashing is slower than the network.
_WAITING = 4
# Where as many hash as there are cores to use, one more would only take turns with them, and hold chunks meanwhile.
_threads = threading.BoundedSemaphore(count())
# What is written at once lies in one piece of the page cache where the file system can (large folios: XFS, and ext4
# from Linux 6.16 on). Up to eight pages the kernel has at hand, used a moment ago (PAGE_ALLOC_COSTLY_ORDER); larger
# pieces it cuts from memory that was long idle, which a virtual machine has to get back from its host first.
AT_ONCE = 32 << 10
# Write-back of what is fsynced begins this often, so that the fsync at the end finds little left to do.
_WRITEBACK = 1 << 20
# What was written out leaves the page cache this often; any other file's write-back begins then too.
_LET_GO = 8 << 20
# By the time that so much more has come, what was written out has left the page cache, unless the disk is slower.
_CACHED = 64 << 20

_NO_TMPFILE = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS}


class Digest:
    """A SHA-256 that moves to a second thread when the file is big: hashlib lets go of the GIL."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._size = 0
        self._queue: queue.Queue[bytes | None] | None = None
        self._thread: threading.Thread | None = None

    def update(self, data: bytes) -> None:
        self._size += len(data)
        if self._queue is None and self._size > _THREAD_FROM and _threads.acquire(blocking=False):
            self._queue = queue.Queue(_WAITING)
            self._thread = threading.Thread(target=self._work, args=(self._queue,), daemon=True)
            self._thread.start()
        if self._queue is not None:
            self._queue.put(data)
        else:
            self._hash.update(data)

    def hexdigest(self) -> str:
        """The digest of all bytes so far; ends the thread."""
        self.close()
        return self._hash.hexdigest()

    def close(self) -> None:
        """End the thread, if there is one. Idempotent."""
        if self._thread is not None and self._queue is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = self._queue = None
            _threads.release()

    def _work(self, waiting: queue.Queue[bytes | None]) -> None:
        use_all()
        while (data := waiting.get()) is not None:
            self._hash.update(data)


class StagedFile:
    """A part received into the staging area: counted, hashed, not visible to anyone.

    Has no name where the file system knows ``O_TMPFILE``: a killed process leaves nothing. Elsewhere
    it is a locked file in the staging folder (``named``, where that is another one than ``folder``).
    ``mode`` is what the process's umask takes from. OSError where the disk is full or failing.
    """

    #: Where everyone may fetch the committed bytes for good, as the storage told it; None where it told nothing.
    url: str | None = None

    def __init__(
        self,
        folder: Path,
        *,
        digest: bool,
        mode: int = 0o600,
        named: Path | None = None,
        min_free: int = 0,
        durable: bool = False,
        read_again: bool = False,
    ) -> None:
        """``min_free``: see :func:`leave_free`. ``durable``: it is fsynced as soon as all of it is there.
        ``read_again``: all of it will be, soon: it stays in the page cache.
        """
        self.size = 0
        #: Where the bytes are; None while they have no name.
        self.path: Path | None = None
        self._digest = Digest() if digest else None
        self._sha256: str | None = None
        self._fd = -1
        self._writeback = _WRITEBACK if durable else _LET_GO
        self._written_back = self._let_go = 0
        self._read_again = read_again
        self._mode = mode
        self._min_free = min_free
        try:
            self._fd = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode)
        except (AttributeError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in _NO_TMPFILE:
                raise
            self._open_named(named or folder)

    def _open_named(self, folder: Path) -> None:
        self.path = folder / f"{secrets.token_hex(16)}.part"
        self._fd = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, self._mode)
        # A lock dies with its process, however that died: what holds none is left over.
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        if not os.fstat(self._fd).st_nlink:
            # Another process has just swept, and came before the lock.
            os.close(self._fd)
            self._open_named(folder)

    @property
    def mark(self) -> str:
        """Proof that a file at some key is this one, once all is written."""
        return mark_of(os.fstat(self._fd))

    @property
    def sha256(self) -> str | None:
        """Hex digest of the bytes; None where none is kept."""
        if self._digest is not None:
            self._sha256, self._digest = self._digest.hexdigest(), None
        return self._sha256

    @property
    def closed(self) -> bool:
        return self._fd < 0

    def fileno(self) -> int:
        """The open descriptor; ValueError when closed."""
        if self._fd < 0:
            raise ValueError("the staged file is closed")
        return self._fd

    def write(self, data: bytes) -> int:
        """Append ``data``, all of it."""
        fd = self.fileno()
        if self._min_free:
            leave_free(fd, len(data), self._min_free)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest[:AT_ONCE]) :]
        self.size += len(data)
        if self._digest is not None:
            self._digest.update(data)
        if self.size - self._written_back >= self._writeback:
            start_writeback(fd, self._written_back, self.size - self._written_back)
            if self.size - self._let_go >= _LET_GO and not self._read_again:
                self._forget()
            self._written_back = self.size
        return len(data)

    def _forget(self) -> None:
        """Let go of what has been written out already.

        Memory that has just become free costs little to take again; that of a big file in one go has to be got from
        elsewhere first: on a virtual machine from its host, at up to ten times the cost.
        """
        before = min(self._written_back, _CACHED)
        if before and hasattr(os, "posix_fadvise"):
            # Only what is on the disk already goes: nobody waits here.
            os.posix_fadvise(self._fd, self._written_back - before, before, os.POSIX_FADV_DONTNEED)
        self._let_go = self.size

    def open(self) -> BinaryIO:
        """The bytes so far, from the beginning, to read; close it after use."""
        # A second description of the same file: reading moves no offset that writing uses.
        return open(f"/proc/self/fd/{self.fileno()}", "rb")

    def close(self) -> None:
        """Let go of the bytes: they vanish unless they were committed. Idempotent."""
        if self._digest is not None:
            self._digest.close()
            self._digest = None
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            if self.path is not None:
                with contextlib.suppress(FileNotFoundError):
                    self.path.unlink()
            os.close(fd)


def leave_free(place: int | str | Path, size: int, least: int) -> None:
    """OSError (ENOSPC) where ``size`` more bytes would leave less than ``least`` free on the disk of ``place``."""
    disk = os.statvfs(place)
    if disk.f_bavail * disk.f_frsize - size < least:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def mark_of(status: os.stat_result) -> str:
    """What tells a file from every other that comes to lie at its key.

    Inode numbers are given again at once, with another time; devices are numbered anew when a machine starts.
    """
    return f"{status.st_ino}:{status.st_mtime_ns}"


def is_old(status: os.stat_result, age: float) -> bool:
    """Whether a file was not touched for so many seconds; 0: each is, also by a clock that was set back since."""
    return not age or time.time() - status.st_mtime >= age


def left_over(folder: Path) -> Iterator[Path]:
    """Staging files in ``folder`` that no living process holds."""
    for path in folder.glob("*.part"):
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield path
            finally:
                os.close(fd)


def _find_sync_file_range() -> Any:
    try:
        function = ctypes.CDLL(None, use_errno=True).sync_file_range
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return function


_sync_file_range = _find_sync_file_range()
# SYNC_FILE_RANGE_WAIT_BEFORE | _WRITE | _WAIT_AFTER
_WRITE, _WRITE_AND_WAIT = 2, 7


def start_writeback(fd: int, offset: int = 0, length: int = 0) -> None:
    """Ask the kernel to begin writing these bytes out, and do not wait. ``length`` 0: to the end."""
    if _sync_file_range is not None:
        _sync_file_range(fd, offset, length, _WRITE)


class Journal:
    """The journal of an ext4 file system: one commit of it makes many files durable.

    fsync of ten files costs ten cache flushes of the disk, although the first has already committed the one journal
    that all ten share. Here the bytes of all are written and waited for (sync_file_range(2), which flushes nothing),
    and then one inode that was changed last is fsynced: transactions are committed in order, each behind a flush
    (Linux, Documentation/filesystems/ext4/journal.rst).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @staticmethod
    def of(folder: Path) -> Journal | None:
        """The one that ``folder`` is in; None where its file system has none, or another kind of one."""
        if _sync_file_range is None:
            return None
        with contextlib.suppress(OSError, AttributeError):
            device = os.stat(folder).st_dev
            name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").readlink().name
            if (Path("/proc/fs/ext4") / name).is_dir() and any(Path("/proc/fs/jbd2").glob(f"{name}-*")):
                return Journal(folder)
        return None

    def commit(self, files: Iterable[int]) -> None:
        """Wait until these open files survive a power cut, and all that was done to their names."""
        for fd in files:
            if _sync_file_range(fd, 0, 0, _WRITE_AND_WAIT):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Its new time is in the running transaction: that one is committed, with all before it.
            os.utime(fd)
            os.fsync(fd)
        finally:
            os.close(fd)
