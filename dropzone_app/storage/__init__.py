"""Where bytes live. A storage is a plain object; :func:`open_storage` makes one from its URL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from ..config import SettingError
from .chunks import ChunkWriter, Damaged, JoinedFile
from .keys import is_direct
from .local import LocalStorage
from .staged import StagedFile
from .together import together

__all__ = [
    "Bounded",
    "ChunkStorage",
    "ChunkWriter",
    "Chunks",
    "Damaged",
    "Direct",
    "DirectStorage",
    "JoinedFile",
    "LocalStorage",
    "StagedFile",
    "Storage",
    "Sweepable",
    "Thumbnails",
    "is_direct",
    "open_storage",
    "together",
]


class Thumbnails(Protocol):
    """Small pictures beside the files, by the id of the record: out of reach of every key. Failures are OSError.

    Whatever is lost of them is made again, so nothing waits for a disk here; what is there may be cut short.
    """

    def get(self, id: str) -> bytes | None:
        """What was put; None when absent."""

    def put(self, id: str, content: bytes) -> None:
        """Keep ``content``, all of it or nothing; of two at once one wins."""

    def delete(self, id: str) -> None:
        """Remove; silent when absent."""

    def ids(self) -> Iterator[str]:
        """All that are kept, in any order."""


@runtime_checkable
class Storage(Protocol):
    """What the path of an upload needs of a place for bytes. Failures are OSError."""

    @property
    def thumbnails(self) -> Thumbnails | None:
        """Where the small pictures of its files are kept: in ``.thumbnails/``, which no key can name.

        None: elsewhere, because the place is not ours alone.
        """

    @property
    def at_once(self) -> int:
        """How many files of one batch are best committed at a time."""

    def stage(self) -> StagedFile:
        """Where the bytes of a part go as they arrive."""

    def unused_key(self, key: str, size: int) -> str:
        """The key to reserve for a file of ``size`` that would like to have ``key``.

        It has a random part where a commit of such a file could replace what lies there. Rejected for a file that
        cannot be kept here.
        """

    def commit(self, staged: StagedFile, key: str) -> str:
        """Make all bytes visible under the returned key, or nothing.

        Where the storage tells a URL that is everyone's and lasts, it is kept as ``staged.url``. FileExistsError:
        the key is taken; where a file lies at a folder of it, the error's ``filename`` is that folder's key.
        """

    def sync(self, committed: Iterable[tuple[StagedFile, str]]) -> None:
        """Wait until what was committed survives a power cut."""

    def open(self, key: str) -> BinaryIO:
        """The bytes, seekable. FileNotFoundError when absent."""

    def delete(self, key: str, mark: str | None = None) -> None:
        """Remove; silent when absent. With ``mark``, only the very file that was staged with it.

        OSError also while such a file may yet come to lie there.
        """

    def url(self, key: str, *, disposition: str, media_type: str, expires: int | None) -> str | None:
        """Where a client may fetch the bytes itself for ``expires`` seconds, with this Content-Disposition and type.

        ``expires`` None: for good, whoever it is. None: the app serves them.
        """

    def check(self) -> None:
        """OSError unless bytes can be written now."""

    def clear_left_overs(self) -> None:
        """Remove what processes that are gone had staged."""


class Chunks(Protocol):
    """Files that arrive in chunks, each under a handle; what is no longer there is FileNotFoundError."""

    def begin(self, size: int) -> str:
        """Make room for a file that will have ``size`` bytes; its handle."""

    def write(self, handle: str, offset: int | None, before: str = "") -> ChunkWriter:
        """Where the bytes of the chunk at ``offset`` go as they arrive; None: they are only looked at.

        ``before``: the mark of a chunk that ended there, and that it makes one with.
        """

    def join(self, handle: str, chunks: Sequence[tuple[int, int, str]]) -> JoinedFile:
        """The whole file, to be committed; no chunk changes it any more.

        ``chunks``: (start, end, mark) of those that it is made of, in order. Damaged where they are not there.
        """

    def reopen(self, handle: str) -> None:
        """Take again the chunk that completed it: the commit has failed."""

    def drop(self, handle: str) -> None:
        """Remove what is staged; silent where it is gone."""

    def handles(self) -> Iterator[str]:
        """All that are staged."""

    def abandoned(self, handle: str, age: float) -> int | None:
        """Bytes stored of a file that nobody has written for ``age`` seconds, or writes now; None of any other."""


@runtime_checkable
class Sweepable(Protocol):
    """A storage that can tell all that it has."""

    def left_overs(self, age: float, *, remove: bool) -> Iterator[tuple[str, int]]:
        """(name, bytes) of the staged parts that are ``age`` seconds old and that no process holds, perhaps removed."""

    def keys(self) -> Iterator[tuple[str, int]]:
        """(key, bytes) of all files, in any order."""

    def has(self, key: str) -> bool:
        """Whether there is a file."""


@runtime_checkable
class Bounded(Protocol):
    """A storage that receives files on a disk of this machine, some of which is to stay free."""

    def check_room(self, size: int) -> None:
        """OSError (ENOSPC) where that disk has no room for ``size`` more bytes beside what is to stay free."""


@runtime_checkable
class ChunkStorage(Storage, Protocol):
    """A storage that takes files in chunks."""

    @property
    def chunks(self) -> Chunks:
        """Those that are on their way."""


class Direct(Protocol):
    """Files that clients send to the store themselves, in parts. What is no longer there is FileNotFoundError.

    Their handles are among those of :class:`Chunks`, which drops and sweeps them.
    """

    def part_size(self, size: int, wanted: int) -> int:
        """Bytes of every part but the last of a file of ``size`` bytes: ``wanted``, or what the store takes."""

    def begin(self, part_size: int) -> str:
        """Make room for a file in such parts; its handle, of which :func:`is_direct` is true."""

    def held(self, handle: str, size: int) -> list[tuple[int, int]]:
        """The parts, half-open and in order, that the store has of a file of ``size`` bytes."""

    def sign(self, handle: str, ranges: Sequence[tuple[int, int]], expires: int) -> list[str]:
        """Where a client puts each of these parts, and nothing else, for ``expires`` seconds."""

    def join(self, handle: str, size: int) -> JoinedFile:
        """The whole file, to be committed; no client changes it any more. Damaged where parts are missing, OSError
        (ESTALE) where one is put anew at the same time.
        """

    @property
    def origin(self) -> str:
        """Scheme, host and port of what :meth:`sign` returns."""

    def origins(self) -> list[str]:
        """Of which sites the store lets pages send files; ``*``: of all."""

    def allow(self, origins: Sequence[str]) -> None:
        """Let pages of these sites send files to the store, in place of those that were allowed so before."""


@runtime_checkable
class DirectStorage(ChunkStorage, Protocol):
    """A storage that takes files from clients themselves."""

    @property
    def direct(self) -> Direct:
        """Those that are on their way."""


#: Where URLs of each scheme are opened, by ``open_url``: the module, imported when it is used, and the extra it needs.
SCHEMES: dict[str, tuple[str, str]] = {
    "file": (".local", ""),
    "s3": (".s3", "s3"),
    "cloudinary": (".cloudinary", "cloudinary"),
}


def open_storage(
    url: str,
    *,
    durable: bool = True,
    digest: bool = True,
    staging: str | Path = "instance",
    setting: str = "UPLOADS_STORAGE",
    min_free: int = 0,
) -> Storage:
    """The storage behind ``file:uploads`` or ``s3://bucket``. SettingError names ``setting`` for a URL of no use.

    ``staging``: the folder of this machine where files wait, in ``.staging``, that are on their way elsewhere.
    ``min_free``: bytes that are left free on the disk where files are received.
    """
    scheme = url.partition(":")[0]
    if scheme not in SCHEMES:
        raise SettingError(f"{setting} must be a URL such as 'file:uploads'; it is {url!r}.")
    module, extra = SCHEMES[scheme]
    try:
        opener = import_module(module, __package__)
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("dropzone_app"):
            raise
        raise SettingError(
            f"{setting} is {scheme}:, and {error.name} is not installed; run `pip install 'dropzone_app[{extra}]'`."
        ) from error
    storage: Storage = opener.open_url(
        url, setting=setting, durable=durable, digest=digest, staging=Path(staging), min_free=min_free
    )
    return storage
