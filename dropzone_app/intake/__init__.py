"""How bytes come in: a part is staged and screened while it arrives."""

from __future__ import annotations

import contextlib
from hashlib import file_digest
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, BinaryIO, cast

from werkzeug.datastructures import FileStorage, Headers

from ..checks import Rules, Screening
from ..errors import Rejected
from ..naming import display_name, extension_of
from ..storage import StagedFile, Storage

# Bytes of a file that is none of ours before it goes to a temporary file; Werkzeug's own number.
_IN_MEMORY = 500 * 1024


class Part(FileStorage):
    """One file of a request: ``filename`` (cleaned), ``extension``, ``size``, ``head``, ``sha256`` and :meth:`open`.

    Bytes go to the storage's staging area as they pass; from the moment the part is refused they go nowhere.
    """

    staged: StagedFile | None
    _reader: IO[bytes] | None = None

    def __init__(
        self,
        rules: Rules,
        storage: Storage,
        *,
        key: str,
        filename: str,
        headers: Headers | None = None,
        staged: StagedFile | None = None,
    ) -> None:
        """``staged``: where the bytes are already; each is still to be given to :meth:`screen`."""
        #: The name as it was sent.
        self.sent_name = filename
        cleaned = display_name(filename)
        self._screening = Screening(rules, cleaned)
        self.staged = staged
        if self._screening.rejected:
            self.discard()
        elif staged is None:
            self.staged = storage.stage()
        self._arrived_sha256: str | None = None
        super().__init__(filename=cleaned, name=key, headers=headers)

    @property
    def stream(self) -> IO[bytes]:
        """What arrived, for code that knows no :meth:`open`; nothing once the part is refused."""
        if self._reader is None:
            self._reader = self.open() if self.staged else BytesIO()
        return self._reader

    @stream.setter
    def stream(self, stream: IO[bytes]) -> None:
        # FileStorage sets one of its own.
        pass

    @property
    def extension(self) -> str:
        """The last extension of the name, as the rules see it: ``jpg`` of ``a.b.JPG``, "" where there is none."""
        return extension_of(self.filename or "")

    @property
    def size(self) -> int:
        """Bytes that arrived, also of a refused part."""
        return self._screening.size

    @property
    def head(self) -> bytes:
        """The first bytes, up to 1,024."""
        return self._screening.head

    @property
    def sha256(self) -> str | None:
        """Hex digest of what will be stored; None where none is kept."""
        return self.staged.sha256 if self.staged else None

    def digest(self) -> str:
        """Hex SHA-256 of what will be stored, read again where none was kept. ValueError once the part is refused."""
        if self.sha256:
            return self.sha256
        with self.open() as file:
            return file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # it has readinto

    @property
    def arrived_sha256(self) -> str | None:
        """Hex digest of what arrived, also where something else will be stored; None where none is kept."""
        return self._arrived_sha256 or self.sha256

    @property
    def rejected(self) -> Rejected | None:
        return self._screening.rejected

    def feed(self, data: bytes) -> None:
        """Take the next bytes. OSError where the disk is full or failing."""
        if self.screen(data):
            assert self.staged
            self.staged.write(data)

    def screen(self, data: bytes) -> bool:
        """Look at the next bytes, which are staged elsewhere; whether anyone still wants them."""
        wanted = self._screening.feed(data)
        if not wanted:
            self.discard()
        return wanted

    @property
    def wants_all(self) -> bool:
        """Whether the rules look at each byte; else :meth:`skip` may stand for those after the first ones."""
        return self._screening.wants_all

    def skip(self, size: int) -> None:
        """Take so many bytes for seen."""
        self._screening.skip(size)

    def finish(self) -> None:
        """All bytes were there. OSError where they cannot be read again."""
        if self._screening.finish(self.open):
            self.discard()

    def replace(self, staged: StagedFile) -> None:
        """Have ``staged`` stored in place of what arrived."""
        self._arrived_sha256 = self._arrived_sha256 or self.digest()
        self.discard()
        self.staged = staged

    def reject(self, rejected: Rejected) -> None:
        """Refuse the part for what was found after it had arrived."""
        self._screening.rejected = rejected
        self.discard()

    def discard(self) -> None:
        """Let go of the bytes. Idempotent."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self.staged is not None:
            self.staged.close()
            self.staged = None

    def open(self) -> BinaryIO:
        """The bytes, from the beginning. ValueError once the part is refused."""
        if self.staged is None:
            raise ValueError("the part was refused; its bytes are gone")
        return self.staged.open()

    def close(self) -> None:
        self.discard()


class OtherFile(FileStorage):
    """A file of a form that is for the view and not for a set: kept as Werkzeug keeps one."""

    def __init__(self, *, key: str, filename: str, headers: Headers) -> None:
        stream = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # closed by discard()
        super().__init__(cast(IO[bytes], stream), filename=filename, name=key, headers=headers)

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self.stream.write(data)

    def finish(self) -> None:
        """All bytes were there."""
        self.stream.seek(0)

    def discard(self) -> None:
        """Let go of the bytes. Idempotent."""
        self.close()


def rewind(file: FileStorage) -> None:
    """To the beginning of a file that other code may have looked into; a stream of the host's own need not go back."""
    with contextlib.suppress(AttributeError, OSError):
        file.stream.seek(0)


def receive_part(storage: Storage, rules: Rules, file: FileStorage) -> Part:
    """A part from a file that another parser has already received: its bytes are copied."""
    part = Part(rules, storage, key=file.name or "file", filename=file.filename or "", headers=file.headers)
    try:
        rewind(file)
        while data := file.stream.read(1 << 20):
            part.feed(data)
        part.finish()
    except BaseException:
        part.discard()
        raise
    return part
