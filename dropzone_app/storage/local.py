"""Files in a folder: staged in its own file system, linked into place, never overwritten."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from ..config import SettingError
from .chunks import ChunkFolder
from .keys import STAGING, THUMBNAILS, check_id, check_key, is_id
from .staged import Journal, StagedFile, is_old, leave_free, left_over, mark_of, start_writeback


def open_url(
    url: str, *, setting: str, durable: bool, digest: bool, staging: Path, min_free: int
) -> LocalStorage:
    """The storage of ``file:uploads``; it stages in itself. SettingError where the folder cannot be used."""
    root = url.partition(":")[2]
    if not root or "\0" in root:
        raise SettingError(f"{setting} must be a URL such as 'file:uploads'; it is {url!r}.")
    try:
        return LocalStorage(root, durable=durable, digest=digest, min_free=min_free)
    except OSError as error:
        raise SettingError(
            f"{setting}: {Path(root).absolute()} cannot be written: {error.strerror}."
        ) from error


class LocalStorage:
    """A folder. Keys are paths relative to it, with ``/`` between their segments."""

    at_once = 1

    def __init__(
        self,
        root: str | Path,
        *,
        durable: bool = True,
        digest: bool = True,
        shared: bool = False,
        min_free: int = 0,
        read_again: bool = False,
    ) -> None:
        """Make ``root`` where it is missing; OSError where that cannot be.

        ``shared``: a folder that is there and that other programs read and list. The umask decides who may, and
        nothing of ours lies in it unless its file system cannot do without. ``min_free``: bytes of the disk that are
        left free; what would take of them is refused as a full disk does (ENOSPC). ``read_again``: what is staged is
        read whole soon, as before it goes elsewhere, and stays in memory as long as that lets it.
        """
        self.root = Path(root).absolute()
        self._prefix = os.path.join(self.root, "")
        self.durable = durable
        self._digest = digest
        self._staging = self.root / STAGING
        self._shared = shared
        self._min_free = min_free
        self._read_again = read_again
        self._journal: Journal | None = None
        #: Files that arrive in chunks.
        self.chunks = ChunkFolder(self._staging, digest=digest, min_free=min_free)
        if shared:
            return
        self._staging.mkdir(mode=0o700, parents=True, exist_ok=True)
        if durable:
            self._journal = Journal.of(self._staging)

    def __str__(self) -> str:
        return str(self.root)

    @property
    def thumbnails(self) -> LocalThumbnails | None:
        return None if self._shared else LocalThumbnails(self)

    def stage(self) -> StagedFile:
        try:
            return self._staged()
        except FileNotFoundError:
            # Somebody emptied the folder while we run. Where the root itself is gone (a volume was unmounted, say),
            # a new one would take files to a place that nobody looks at.
            self._staging.mkdir(mode=0o700, exist_ok=True)
            return self._staged()

    def buffer(self) -> StagedFile:
        """Where bytes wait of which nobody asks for the digest, and which are lost with nothing but their request."""
        self._staging.mkdir(mode=0o700, parents=True, exist_ok=True)
        return StagedFile(self._staging, digest=False, min_free=self._min_free, read_again=True)

    def _staged(self) -> StagedFile:
        if self._shared:
            return StagedFile(
                self.root,
                digest=self._digest,
                mode=0o666,
                named=self._staging,
                min_free=self._min_free,
                durable=self.durable,
                read_again=self._read_again,
            )
        return StagedFile(
            self._staging,
            digest=self._digest,
            min_free=self._min_free,
            durable=self.durable,
            read_again=self._read_again,
        )

    def unused_key(self, key: str, size: int) -> str:
        return key

    def commit(self, staged: StagedFile, key: str) -> str:
        path = self._path(key)
        try:
            try:
                self.link(staged, path)
            except FileNotFoundError:
                self._make_folders(Path(path).parent)
                self.link(staged, path)
        except NotADirectoryError:
            raise self._folder_taken(Path(path)) from None
        return key

    def _folder_taken(self, path: Path) -> FileExistsError:
        """The refusal of a key with a folder where a file lies: its ``filename`` is the folder's key."""
        folders = [
            folder for folder in path.parents if folder.is_relative_to(self.root) and folder != self.root
        ]
        taken = next(folder for folder in reversed(folders) if not folder.is_dir())
        return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(taken.relative_to(self.root)))

    def link(self, staged: StagedFile, path: str) -> None:
        """Give the staged file its name. A link is atomic and never replaces what is there."""
        if staged.path is not None:
            os.link(staged.path, path)
            return
        # Without dst_dir_fd CPython calls link(), which does not follow the symbolic link in /proc. With an
        # absolute path the descriptor itself does not count.
        os.link(f"/proc/self/fd/{staged.fileno()}", path, dst_dir_fd=staged.fileno(), follow_symlinks=True)

    def _make_folders(self, folder: Path) -> None:
        missing = [folder, *folder.parents]
        missing = missing[: missing.index(self.root)]
        for path in reversed(missing):
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o777 if self._shared else 0o700)
                if self.durable:
                    _sync_folder(path.parent)

    def sync(self, committed: Iterable[tuple[StagedFile, str]]) -> None:
        if not self.durable:
            return
        pairs = list(committed)
        files = [staged.fileno() for staged, _ in pairs]
        folders = {os.path.dirname(self._path(key)) for _, key in pairs}
        # All writing begins before the first wait: the disk sees one round, not one after another.
        for fd in files:
            start_writeback(fd)
        if self._journal is not None:
            self._journal.commit(files)
            return
        # The folder first: its journal entry holds the new files too, and the waits for them become short.
        for folder in folders:
            _sync_folder(folder)
        for fd in files:
            os.fsync(fd)

    def open(self, key: str) -> BinaryIO:
        try:
            return open(self._path(key), "rb")
        except (IsADirectoryError, NotADirectoryError):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None

    def delete(self, key: str, mark: str | None = None) -> None:
        path = self._path(key)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if mark is None or mark == mark_of(os.lstat(path)):
                Path(path).unlink()

    def url(self, key: str, *, disposition: str, media_type: str, expires: int | None) -> str | None:
        return None

    def check(self) -> None:
        if not self.root.is_dir():
            # A folder that was made anew would look healthy, and have none of the files.
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        self.stage().close()

    def check_room(self, size: int) -> None:
        if self._min_free:
            leave_free(self.root, size, self._min_free)

    def clear_left_overs(self) -> None:
        """Remove staging files of processes that are gone."""
        for _ in self.left_overs(0, remove=True):
            pass

    def left_overs(self, age: float, *, remove: bool) -> Iterator[tuple[str, int]]:
        for path in left_over(self._staging):
            status = path.stat()
            if is_old(status, age):
                if remove:
                    path.unlink(missing_ok=True)
                yield path.name, status.st_blocks * 512

    def keys(self) -> Iterator[tuple[str, int]]:
        for folder, folders, names in os.walk(self.root):
            here = Path(folder)
            if here == self.root:
                # No name of ours begins with a dot: staging, thumbnails, and what a checkout or a backup keeps here.
                for found in folders, names:
                    found[:] = [name for name in found if not name.startswith(".")]
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    yield (here / name).relative_to(self.root).as_posix(), os.lstat(here / name).st_size

    def has(self, key: str) -> bool:
        return os.path.lexists(self._path(key))

    def _path(self, key: str) -> str:
        """Where ``key`` lies. ValueError for one that would leave the root or enter what is ours."""
        return f"{self._prefix}{check_key(key)}"


class LocalThumbnails:
    """The thumbnails of a :class:`LocalStorage`: one folder in its root, a file for each."""

    def __init__(self, storage: LocalStorage) -> None:
        self._storage = storage
        self._folder = storage.root / THUMBNAILS

    def get(self, id: str) -> bytes | None:
        try:
            return self._path(id).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, id: str, content: bytes) -> None:
        path = self._path(id)
        with contextlib.closing(self._storage.stage()) as staged:
            staged.write(content)
            try:
                self._link(staged, path)
            except FileExistsError:
                # Most likely the same, and taken away it would be missed by who looks meanwhile.
                if self.get(id) == content:
                    return
                path.unlink(missing_ok=True)
                with contextlib.suppress(FileExistsError):
                    self._link(staged, path)

    def delete(self, id: str) -> None:
        self._path(id).unlink(missing_ok=True)

    def _link(self, staged: StagedFile, path: Path) -> None:
        try:
            self._storage.link(staged, str(path))
        except FileNotFoundError:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._storage.link(staged, str(path))

    def ids(self) -> Iterator[str]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            yield from (entry.name for entry in entries if is_id(entry.name))

    def _path(self, id: str) -> Path:
        return self._folder / check_id(id)


def _sync_folder(folder: str | Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
