"""Files that go from their client straight to the store: begun, signed for, completed. No SQL, no HTML, no Flask.

They are unfinished uploads like those in chunks, with the same rows, quota, checks and owners; only their bytes come
another way. Whatever a client says of them, what counts is what the store has.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .batch import Verdict
from .chunked import UnfinishedFiles
from .config import Size
from .errors import Rejected
from .intake import Part
from .kinds import HEAD
from .languages import Phrase
from .naming import display_name
from .records import RECEIVING, Held, Taken, Unfinished
from .state import Announced, State, of_upload
from .storage import Direct, DirectStorage, JoinedFile
from .uploads import Site

#: Parts that are signed at a time: what a browser sends in some minutes, and a gigabyte in parts of 16 MiB.
SIGNED = 64


class SignedPart(NamedTuple):
    """Where the bytes from ``start`` to before ``end`` go."""

    start: int
    end: int
    url: str


@dataclass(frozen=True)
class Signed:
    """An upload, what the store has of it, and where the next parts go."""

    state: State
    parts: Sequence[SignedPart]


class DirectUploads(UnfinishedFiles):
    """The files of one owner and one upload set whose bytes go straight to the store."""

    def _direct(self) -> Direct:
        storage = self._site.storage_of(self._set)
        if not (self._set.direct and isinstance(storage, DirectStorage)):
            raise Rejected.because("not_direct")
        return storage.direct

    def _handle(self, size: int, chunk_size: int) -> str:
        return self._direct().begin(chunk_size)

    def sign(self, file: Announced) -> Signed | Verdict:
        """Begin a file, or go on with it; its verdict where it has one.

        Rejected where the file cannot be the one that was begun, or there is no room for it; OSError or SQLAlchemyError
        where storage or database fail.
        """
        direct = self._direct()
        if not file.size:
            raise Rejected.because("bad_field", field="size", expected=Phrase("more than nothing"))
        upload = self._find(file.uuid)
        if self._record(file.uuid):
            return self._outcome(file.uuid, file.size)
        if upload is None:
            part_size = direct.part_size(file.size, self._site.settings.chunk_size)
            upload, _ = self._begin(file.uuid, file.filename, file.path, file.size, part_size, file.sha256)
        if upload.state != RECEIVING:
            return self._outcome(file.uuid, file.size)
        self._check_direct(upload)
        filename = display_name(file.filename)
        self._check_same(upload, ("size", file.size, upload.size), ("filename", filename, upload.filename))
        self._check_digest(upload, file.sha256)
        held = self._held(upload)
        missing = _missing(upload, held)[:SIGNED]
        minutes = self._site.settings.direct_minutes
        try:
            urls = direct.sign(upload.handle, missing, minutes * 60) if missing else []
        except FileNotFoundError:
            # Cancelled, swept or completed since that look.
            raise Rejected.because("uuid_busy") from None
        parts = [SignedPart(start, end, url) for (start, end), url in zip(missing, urls, strict=True)]
        return Signed(of_upload(upload, held), parts)

    def complete(self, uuid: str, sha256: str | None) -> Verdict:
        """The verdict of a file of which all is in the store: it is read and checked there before it is stored.

        ``sha256``: of the whole file, where the client knows it. Rejected where parts are missing, which says nothing
        about the file.
        """
        upload = self._find(uuid)
        if upload is None and self._record(uuid) is None:
            raise Rejected.because("unknown_upload")
        if upload and upload.state == RECEIVING:
            self._check_direct(upload)
            self._check_digest(upload, sha256)
            there = sum(end - start for start, end, _ in self._held(upload))
            if there < upload.size:
                raise Rejected.because("parts_missing", there=Size(there), size=Size(upload.size))
            if self._unfinished.extend(upload.id, 0, upload.size, "") is Taken.LAST:
                return self._commit(upload, Held(0, upload.size, ""), sha256)
        return self._outcome(uuid, None)

    def _held(self, upload: Unfinished) -> list[Held]:
        try:
            held = self._direct().held(upload.handle, upload.size)
        except FileNotFoundError:
            self._forget_if_lost(upload)
            raise Rejected.because("uuid_busy") from None
        return [Held(start, end, "") for start, end in held]

    def _join(self, upload: Unfinished, chunks: Sequence[Held]) -> JoinedFile:
        try:
            return self._direct().join(upload.handle, upload.size)
        except FileNotFoundError:
            self._forget(upload)
            raise Rejected.because("upload_gone") from None
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            raise Rejected.because("uuid_busy") from None

    def _read(self, part: Part, joined: JoinedFile, chunks: Sequence[Held]) -> None:
        if joined.wants_all or part.wants_all:
            super()._read(part, joined, chunks)
        elif part.screen(joined.beginning(HEAD)):
            part.skip(joined.size - part.size)

    @staticmethod
    def _check_direct(upload: Unfinished) -> None:
        if not upload.direct:
            raise Rejected.because("other_way")

    def _check_digest(self, upload: Unfinished, sha256: str | None) -> None:
        if sha256 and upload.sha256:
            self._check_same(upload, ("sha256", sha256, upload.sha256))


def _missing(upload: Unfinished, held: Sequence[Held]) -> list[tuple[int, int]]:
    there = {one.start for one in held}
    if [(one.start, one.end) for one in held] == [(0, upload.size)]:
        # It was joined, and its commit has failed.
        return []
    starts = range(0, upload.size, upload.chunk_size)
    return [(start, min(start + upload.chunk_size, upload.size)) for start in starts if start not in there]


def in_store(site: Site, state: State) -> State:
    """``state`` with what the store has of an upload that goes straight there; nothing is asked of any other."""
    upload = state.upload
    if upload is None or not upload.direct or upload.state != RECEIVING:
        return state
    storage = site.storages.get(upload.storage)
    if not isinstance(storage, DirectStorage):
        return state
    try:
        held = storage.direct.held(upload.handle, upload.size)
    except FileNotFoundError:
        # It is told when it is gone on with.
        return state
    return of_upload(upload, [Held(start, end, "") for start, end in held])
