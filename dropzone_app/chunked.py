"""Files that arrive in pieces: the state each is in, from the first one to its commit. No SQL, no HTML, no Flask.

A file in chunks comes in any order, in several requests at once, through several processes, and over restarts. Its
first chunk settles what it is; each one is written to its place and then counts as a whole or not at all; the one that
completes the file commits it, as a batch of one part.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from werkzeug.datastructures import FileStorage

from .batch import Batch, Verdict
from .checks import Screening, check_announced, check_sha256
from .errors import Rejected
from .intake import Part, rewind
from .intake.chunks import Chunk, IncomingChunk, read_chunk
from .naming import display_name, display_path
from .records import COMMITTING, RECEIVING, REFUSED, STORED, Held, Record, Taken, Unfinished, new_id, now
from .storage import Chunks, ChunkStorage, Damaged, JoinedFile
from .uploads import Site, UploadSet

#: Seconds that the repeat of a chunk waits while another request commits the file: 5 GB are read once, and hashed.
COMMIT_PATIENCE = 60.0


class ReceivedChunk(IncomingChunk):
    """A chunk on its way, and what was known of its file when it began."""

    upload: Unfinished | None = None
    #: Whether its request began the file.
    first = False


class UnfinishedFiles:
    """The files of one owner and one upload set that arrive in pieces: how one begins, is committed and is refused."""

    def __init__(self, site: Site, upload_set: UploadSet, owner: str) -> None:
        self._site = site
        self._set = upload_set
        self._rules = site.rules[upload_set.name]
        self._owner = owner
        self._unfinished = site.records.unfinished

    def begin(self, *, refusal: str | None = None, **told: Any) -> Unfinished:
        """Put the row of a file, and make room for its bytes; or find the one that is there under its uuid.

        ``told``: the fields of :class:`Unfinished` that the client settles. ``refusal``: for what these are.
        """
        handle = "" if refusal else self._handle(told["size"], told["chunk_size"])
        wanted = Unfinished(
            owner=self._owner,
            set=self._set.name,
            storage=self._set.name if self._set.name in self._site.storages else "",
            handle=handle,
            created=now(),
            updated=now(),
            state=REFUSED if refusal else RECEIVING,
            refusal=refusal,
            **told,
        )
        begun: Unfinished | None = None
        try:
            begun = self._unfinished.begin(wanted)
        finally:
            if handle and (begun is None or begun.id != wanted.id):
                self._chunks().drop(handle)
        return begun

    def _begin(
        self, uuid: str, filename: str, path: str, size: int, chunk_size: int, sha256: str | None = None
    ) -> tuple[Unfinished, bool]:
        """The upload that a first piece begins, refused or not; False where another request has just begun it.

        ``sha256``: of the whole file, where it is known by now.
        """
        refusal: str | None = None
        filename = display_name(filename)
        try:
            check_announced(self._rules, filename, size)
        except Rejected as rejected:
            refusal = rejected.dumps()
        id = new_id()
        begun = self.begin(
            refusal=refusal,
            id=id,
            uuid=uuid,
            filename=filename,
            path=display_path(path),
            size=size,
            chunk_size=chunk_size,
            sha256=sha256,
        )
        return begun, begun.id == id

    def _handle(self, size: int, chunk_size: int) -> str:
        """What the storage calls the bytes of a new file."""
        return self._chunks().begin(size)

    def _chunks(self) -> Chunks:
        storage = self._site.storage_of(self._set)
        if not isinstance(storage, ChunkStorage):
            raise Rejected.because("no_chunks")
        return storage.chunks

    def _forget(self, upload: Unfinished) -> None:
        """Remove the row of a file whose bytes are gone. OSError where the whole storage is, and they may come back."""
        self._site.storage_of(self._set).check()
        self._unfinished.remove(upload.id)

    @staticmethod
    def cancel(site: Site, owner: str, uuid: str) -> Unfinished | None:
        """Forget what has arrived of the owner's upload, and take no more under its uuid until the sweep forgets that
        too; None where nothing has. Rejected while it is committed."""
        refusal = Rejected.because("upload_cancelled").dumps()
        upload = site.records.unfinished.cancel(owner, uuid, refusal)
        if upload and upload.state == COMMITTING:
            raise Rejected.because("uuid_busy")
        if upload:
            drop(site, upload)
        return upload

    def _commit(self, upload: Unfinished, last: Held, sha256: str | None) -> Verdict:
        """Commit a file of which all is there. Where that fails, its last chunk is missing again."""
        try:
            verdict = self._store(upload, last, sha256)
            if verdict.rejected and _may_pass(verdict.rejected):
                raise verdict.rejected
            if verdict.rejected:
                return self._refuse(upload, verdict.rejected)
        except BaseException:
            with contextlib.suppress(OSError):
                self._chunks().reopen(upload.handle)
            with contextlib.suppress(SQLAlchemyError):
                self._unfinished.reopen(upload.id)
            raise
        # The file is stored, and no answer may say otherwise. What fails here is done by the sweep.
        with contextlib.suppress(OSError, SQLAlchemyError):
            drop(self._site, upload)
            if verdict.record and (upload.tus_metadata is not None or verdict.record.uuid != upload.uuid):
                self._unfinished.store_as(upload.id, verdict.record.id)
            else:
                self._unfinished.remove(upload.id)
        return verdict

    def _store(self, upload: Unfinished, last: Held, sha256: str | None) -> Verdict:
        """The verdict of a whole file: read once, in order, through the same checks and steps as any part."""
        held = self._unfinished.held([upload.id])[upload.id]
        # It may speak for those that it goes on from as well.
        others = [one for one in held if not last.start <= one.start < last.end]
        chunks = sorted([*others, last])
        try:
            joined = self._join(upload, chunks)
        except Damaged:
            return Verdict("file", upload.filename, rejected=Rejected.because("damaged"))
        with contextlib.closing(joined):
            part = Part(
                self._rules,
                self._site.storage_of(self._set),
                key="file",
                filename=upload.filename,
                staged=joined,
            )
            try:
                self._read(part, joined, chunks)
                part.finish()
            except Damaged:
                part.reject(Rejected.because("damaged"))
            form = {"uuid": upload.uuid, "path": upload.path, "sha256": sha256 or upload.sha256 or ""}
            batch = Batch(self._site, self._set, owner=self._owner, form=form)
            batch.add("file", part)
            try:
                batch.commit()
            except Rejected as rejected:
                return Verdict("file", upload.filename, rejected=rejected)
            return batch.verdicts[0]

    def _read(self, part: Part, joined: JoinedFile, chunks: Sequence[Held]) -> None:
        """Have the rules look at a whole file. Damaged where it is not what arrived."""
        for data in joined.read_through(chunks):
            if not part.screen(data):
                break

    def _join(self, upload: Unfinished, chunks: Sequence[Held]) -> JoinedFile:
        try:
            return self._chunks().join(upload.handle, chunks)
        except FileNotFoundError:
            self._forget(upload)
            raise Rejected.because("upload_gone") from None

    def _refuse(self, upload: Unfinished, rejected: Rejected) -> Verdict:
        """Record a refusal, so that every chunk that still comes is told the same."""
        self._unfinished.refuse(upload.id, rejected.dumps())
        drop(self._site, upload)
        return Verdict("file", upload.filename, rejected=rejected)

    def _find(self, uuid: str) -> Unfinished | None:
        """The owner's upload with this uuid, unless the file that had the same bytes was deleted since."""
        upload = self._unfinished.find(self._owner, uuid)
        if upload and upload.state == STORED and self._same_bytes(upload) is None:
            self._unfinished.remove(upload.id)
            return None
        return upload

    def _record(self, uuid: str) -> Record | None:
        return self._site.records.of_uuids(self._owner, [uuid]).get(uuid)

    def _check_same(self, upload: Unfinished, *facts: tuple[str, object, object]) -> None:
        """Rejected unless what is told of a file (name of the fact, told, settled) is what began it."""
        for field, told, settled in (*facts, ("upload set", self._set.name, upload.set)):
            if told != settled:
                raise Rejected.because("chunk_changed", field=field)

    def _forget_if_lost(self, upload: Unfinished) -> None:
        """Rejected where somebody has cleared away what had arrived of a file; OSError where the storage is gone."""
        found = self._unfinished.find(self._owner, upload.uuid)
        if found and found.id == upload.id and found.state == RECEIVING:
            self._forget(upload)
            raise Rejected.because("upload_gone")

    def _outcome(self, uuid: str, size: int | None, key: str = "file") -> Verdict:
        """The verdict of a file that takes no more bytes; Rejected where that is not decided in time.

        ``size``: of the whole file, where it is told.
        """
        deadline = time.monotonic() + COMMIT_PATIENCE
        while True:
            # In this order: what is committed in between is found by the second look.
            upload = self._unfinished.find(self._owner, uuid)
            record = self._record(uuid)
            if record and record.state == STORED:
                if size is not None and not record.came_as(self._set.name, size, None):
                    raise Rejected.because("uuid_taken")
                return Verdict(key, record.filename, record=record, repeated=True)
            if upload and upload.refused:
                return _recorded(key, upload)
            if upload and upload.state == STORED and (record := self._same_bytes(upload)):
                return Verdict(key, upload.filename, record=record, repeated=True)
            if not record and not upload:
                raise Rejected.because("upload_gone")
            committing = any(row and row.state == COMMITTING for row in (upload, record))
            if not committing or time.monotonic() > deadline:
                raise Rejected.because("uuid_busy")
            time.sleep(0.05)

    def _same_bytes(self, upload: Unfinished) -> Record | None:
        return self._site.records.file(upload.file) if upload.file else None


class ChunkedUploads(UnfinishedFiles):
    """The files of one owner and one upload set that arrive in chunks.

    For each chunk: :meth:`receive` before its bytes, and :meth:`take` when they are all there.
    """

    def open(self, fields: Mapping[str, str], key: str, filename: str) -> ReceivedChunk:
        """:meth:`receive` for the fields that stand beside a chunk of Dropzone's."""
        path = fields.get("path") or fields.get("path[0]") or ""
        return self.receive(read_chunk(fields), key=key, filename=filename, path=path)

    def copy(self, fields: Mapping[str, str], file: FileStorage) -> ReceivedChunk:
        """A chunk from a file that another parser has received."""
        incoming = self.open(fields, file.name or "file", file.filename or "")
        try:
            rewind(file)
            while data := file.stream.read(1 << 20):
                incoming.feed(data)
        except BaseException:
            incoming.discard()
            raise
        return incoming

    def receive(self, chunk: Chunk, *, key: str, filename: str, path: str = "") -> ReceivedChunk:
        """Where the bytes of ``chunk`` go as they arrive. ``key`` and ``filename`` are those of its part.

        Rejected where the chunk cannot be one of its file; OSError or SQLAlchemyError where storage or database fail.
        """
        incoming = ReceivedChunk(chunk, key=key, filename=filename)
        # In this order: a file that is stored between the two looks is found by the second.
        upload = self._find(chunk.uuid)
        if record := self._record(chunk.uuid):
            if upload and upload.state == RECEIVING and record.state == STORED:
                # The same file has come in one part since.
                self._unfinished.remove(upload.id)
                drop(self._site, upload)
            return incoming
        if upload is None:
            upload, incoming.first = self._begin(
                chunk.uuid, incoming.filename, path, chunk.size, chunk.chunk_size
            )
        incoming.upload = upload
        if upload.state != RECEIVING:
            return incoming
        if upload.direct:
            raise Rejected.because("other_way")
        self._check_same(
            upload,
            ("dztotalfilesize", chunk.size, upload.size),
            ("dzchunksize", chunk.chunk_size, upload.chunk_size),
            ("filename", incoming.filename, upload.filename),
        )
        chunks = self._chunks()
        try:
            if self._unfinished.holds(upload.id, chunk.start, chunk.end):
                incoming.write_to(chunks.write(upload.handle, None))
            elif chunk.start:
                incoming.write_to(chunks.write(upload.handle, chunk.start))
            else:
                screening = Screening(self._rules, incoming.filename)
                incoming.write_to(chunks.write(upload.handle, 0), screening)
        except FileNotFoundError:
            self._forget_if_lost(upload)
            incoming.late = True
        return incoming

    def finish(self, incoming: ReceivedChunk, fields: Mapping[str, str]) -> Verdict | None:
        """:meth:`take` with the digest of the whole file that stands beside a chunk, if one does."""
        sha256 = fields.get("sha256") or fields.get("sha256[0]")
        if sha256:
            check_sha256("sha256", sha256)
        return self.take(incoming, sha256.lower() if sha256 else None)

    def take(self, incoming: ReceivedChunk, sha256: str | None = None) -> Verdict | None:
        """Let a chunk count whose bytes have all arrived; the verdict of its file, None while other chunks are missing.

        ``sha256``: of the whole file, where the client knows it by now. Rejected for a chunk that does not count,
        and says nothing about its file.
        """
        try:
            return self._take(incoming, sha256)
        finally:
            incoming.close()

    def _take(self, incoming: ReceivedChunk, sha256: str | None) -> Verdict | None:
        upload, chunk = incoming.upload, incoming.chunk
        if incoming.rejected and upload:
            return self._refuse(upload, incoming.rejected)
        if upload and upload.refused:
            verdict = _recorded(incoming.name, upload)
            verdict.repeated = not incoming.first
            return verdict
        incoming.check()
        if upload is None or upload.state != RECEIVING or incoming.late:
            return self._outcome(chunk.uuid, chunk.size, incoming.name)
        try:
            held = Held(chunk.start, chunk.end, incoming.keep())
        except FileNotFoundError:
            return self._outcome(chunk.uuid, chunk.size, incoming.name)
        match self._unfinished.take(upload.id, held, sha256):
            case Taken.KEPT | Taken.AGAIN:
                return None
            case Taken.LAST:
                return self._commit(upload, held, sha256)
            case Taken.DIFFERENT:
                return self._refuse(upload, Rejected.because("chunk_differs"))
            case Taken.OVERLAPPING:
                raise Rejected.because("chunk_overlaps")
            case Taken.REDECLARED:
                raise Rejected.because("chunk_changed", field="sha256")
            case Taken.CLOSED:
                return self._outcome(chunk.uuid, chunk.size, incoming.name)


def recover(site: Site) -> None:
    """Let uploads whose commit ended with its process take chunks again; after :meth:`Site.recover`."""
    for upload in site.records.unfinished.claim_abandoned():
        storage = site.storages.get(upload.storage)
        record = site.records.of_uuids(upload.owner, [upload.uuid]).get(upload.uuid)
        if record and record.state == STORED:
            # It ended between the commit and the tidying up.
            if upload.tus_metadata is None:
                site.records.unfinished.remove(upload.id)
            else:
                site.records.unfinished.store_as(upload.id, record.id)
            drop(site, upload)
        elif isinstance(storage, ChunkStorage):
            # Where the bytes are gone, the next chunk finds that out.
            with contextlib.suppress(FileNotFoundError):
                storage.chunks.reopen(upload.handle)
            site.records.unfinished.reopen(upload.id)


def drop(site: Site, upload: Unfinished) -> None:
    """Remove what is staged of an upload."""
    storage = site.storages.get(upload.storage)
    if upload.handle and isinstance(storage, ChunkStorage):
        storage.chunks.drop(upload.handle)


def _recorded(key: str, upload: Unfinished) -> Verdict:
    assert upload.refusal
    return Verdict(key, upload.filename, rejected=Rejected.loads(upload.refusal), repeated=True)


def _may_pass(rejected: Rejected) -> bool:
    """Whether a refusal is for now only, and says nothing about the file."""
    return rejected.status >= 500 or rejected.status == 429 or rejected.code == "uuid_busy"
