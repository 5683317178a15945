"""Uploads by the tus protocol (https://tus.io/protocols/resumable-upload, 1.0.0): bytes come in order, each request
goes on where the last one ended, and whatever of it came counts. No SQL, no HTML, no Flask.

They are unfinished uploads like those in chunks, with the same staging, checks, records and owners.
"""

from __future__ import annotations

import binascii
import contextlib
import hashlib
import time
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from .batch import Verdict
from .checks import Screening, check_announced, check_sha256
from .chunked import COMMIT_PATIENCE, UnfinishedFiles
from .config import Size
from .errors import Rejected
from .kinds import HEAD
from .languages import Phrase
from .naming import display_name, display_path
from .records import COMMITTING, RECEIVING, REFUSED, STORED, Held, Record, Taken, Unfinished, new_id, now
from .storage import ChunkWriter
from .uploads import Site, UploadSet

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,checksum,termination,expiration"

#: Of ``Upload-Checksum``. Of SHA-1 the protocol says that every server must know it.
CHECKSUMS: dict[str, Callable[[], Any]] = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}

#: What a killed server may lose of a request: so many bytes, and seconds where the storage keeps a few at no cost.
KEPT_BYTES = 8 << 20
KEPT_SECONDS = 1.0

#: Characters of ``Upload-Metadata``.
_MAX_METADATA = 16 * 1024


@dataclass(frozen=True)
class Announced:
    """What a client tells of a file before it sends it."""

    filename: str
    path: str
    size: int
    sha256: str | None
    #: As it was sent.
    metadata: str
    upload_set: str | None = None


@dataclass(frozen=True)
class Checksum:
    """Of the body of one request."""

    algorithm: str
    digest: bytes


def read_number(header: str, value: str) -> int:
    """A number of bytes. Rejected for anything else."""
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise Rejected.because(
            "bad_field", field=header, expected=Phrase("a whole number of at most 18 digits")
        )
    return int(value)


def read_checksum(value: str) -> Checksum:
    """What ``Upload-Checksum`` says. Rejected for another algorithm than those of :data:`CHECKSUMS`."""
    algorithm, _, text = value.strip().partition(" ")
    try:
        digest = b64decode(text, validate=True)
    except binascii.Error:
        digest = b""
    if algorithm not in CHECKSUMS or len(digest) != CHECKSUMS[algorithm]().digest_size:
        names = "/".join(CHECKSUMS)
        raise Rejected.because(
            "bad_field", field="Upload-Checksum", expected=Phrase("{names}, a blank and Base64", names=names)
        )
    return Checksum(algorithm, digest)


def read_metadata(value: str) -> dict[str, str]:
    """The pairs of ``Upload-Metadata``, decoded. Rejected where it is no list of keys with Base64 of UTF-8."""
    found: dict[str, str] = {}
    try:
        # It is told again in a header.
        if len(value) > _MAX_METADATA or not (value.isascii() and value.isprintable()):
            raise ValueError
        for pair in filter(None, (pair.strip() for pair in value.split(","))):
            key, _, text = pair.partition(" ")
            found[key] = b64decode(text, validate=True).decode()
    except ValueError:
        raise Rejected.because(
            "bad_field",
            field="Upload-Metadata",
            expected=Phrase("keys, each with a blank and Base64 of UTF-8"),
        ) from None
    return found


def read_announced(size: int, metadata: str) -> Announced:
    """What the headers of a creation say of the file. Rejected for what cannot be understood."""
    told = read_metadata(metadata)
    path = told.get("path")
    if path is None:
        # With the file's own name at its end.
        path = told.get("relativePath", "").replace("\\", "/").rpartition("/")[0]
    sha256 = told.get("sha256")
    if sha256:
        check_sha256("sha256", sha256)
    filename = told.get("filename") or told.get("name") or ""
    return Announced(
        filename=display_name(filename),
        path=display_path(path),
        size=size,
        sha256=sha256.lower() if sha256 else None,
        metadata=metadata,
        upload_set=told.get("set") or None,
    )


class TusUpload(UnfinishedFiles):
    """One upload, by the id that its address carries: whoever knows that may go on with it."""

    def __init__(self, site: Site, upload_set: UploadSet, upload: Unfinished) -> None:
        super().__init__(site, upload_set, upload.owner)
        self._upload = upload
        #: The file that it has become.
        self.record: Record | None = self._same_bytes(upload)

    @classmethod
    def create(cls, site: Site, upload_set: UploadSet, owner: str, told: Announced) -> TusUpload:
        """Begin an upload of ``owner``'s. Rejected for what is told of the file."""
        check_announced(site.rules[upload_set.name], told.filename, told.size)
        id = new_id()
        upload = UnfinishedFiles(site, upload_set, owner).begin(
            id=id,
            uuid=id,
            filename=told.filename,
            path=told.path,
            size=told.size,
            chunk_size=0,
            sha256=told.sha256,
            tus_metadata=told.metadata,
        )
        return cls(site, upload_set, upload)

    @classmethod
    def find(cls, site: Site, id: str) -> TusUpload:
        """The upload with this id; one that is being committed is waited for. Rejected where there is none."""
        deadline = time.monotonic() + COMMIT_PATIENCE
        while True:
            upload = site.records.unfinished.get(id)
            if upload is None or upload.tus_metadata is None or upload.set not in site.sets:
                raise Rejected.because("unknown_upload")
            if upload.state != COMMITTING:
                return cls(site, site.sets[upload.set], upload)
            if time.monotonic() > deadline:
                raise Rejected.because("uuid_busy")
            time.sleep(0.02)

    @property
    def id(self) -> str:
        """Random, and told to nobody but who has begun it."""
        return self._upload.id

    @property
    def owner(self) -> str:
        return self._upload.owner

    @property
    def filename(self) -> str:
        return self._upload.filename

    @property
    def upload_set(self) -> UploadSet:
        """The set, as it was declared."""
        return self._set.declared

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self._upload.size

    @property
    def expires(self) -> float:
        """When it is removed, in seconds since 1970, where nothing more comes by then."""
        return self._upload.updated / 1e6 + self._site.settings.sweep_age

    @property
    def metadata(self) -> str:
        """``Upload-Metadata``, as it was sent."""
        return self._upload.tus_metadata or ""

    @property
    def offset(self) -> int:
        """Bytes that are here. Rejected where nothing more can come."""
        if self._upload.state == REFUSED or (self._upload.state == STORED and not self.record):
            raise Rejected.because("tus_gone")
        return self.size if self.record else self._upload.received

    def append(
        self, offset: int, data: Iterable[bytes], *, length: int = 0, checksum: Checksum | None = None
    ) -> Verdict | None:
        """Take bytes that begin at ``offset``; the verdict of the file, None while some are missing.

        ``length``: how many there will be, where that is known. What came counts, however few, and counts now and
        then while it comes; with a ``checksum`` all of it or nothing does. Rejected where the bytes do not go on
        where the last ones ended; OSError where the disk is full or failing.
        """
        if self._upload.state == REFUSED and self._upload.refusal:
            raise Rejected.loads(self._upload.refusal)
        self._check_offset(offset, self.offset)
        if length > self.size - offset:
            raise Rejected.because("tus_excess", size=Size(self.size))
        if self.record:
            return None
        held = self._unfinished.held([self.id])[self.id]
        self._check_offset(offset, held[-1].end if held else 0)
        with self._closed_in_time():
            writer = self._chunks().write(self._upload.handle, offset, held[-1].mark if held else "")
        with contextlib.closing(writer):
            return self._append(offset, data, writer, checksum)

    def _append(
        self, offset: int, data: Iterable[bytes], writer: ChunkWriter, checksum: Checksum | None
    ) -> Verdict | None:
        kept, kept_at = offset, time.monotonic()
        digest = CHECKSUMS[checksum.algorithm]() if checksum else None
        screening = Screening(self._rules, self.filename)
        looking = offset < HEAD
        if looking:
            screening.feed(writer.beginning(offset))
        for piece in data:
            if looking and screening.size < HEAD and not screening.feed(piece):
                assert screening.rejected
                return self._refuse(self._upload, screening.rejected)
            if offset + len(piece) > self.size:
                raise Rejected.because("tus_excess", size=Size(self.size))
            with self._closed_in_time():
                writer.write(piece)
            offset += len(piece)
            if digest:
                digest.update(piece)
            elif offset < self.size and (
                offset - kept >= KEPT_BYTES
                or (writer.keeps_at_once and time.monotonic() - kept_at >= KEPT_SECONDS)
            ):
                self._keep(kept, offset, writer)
                kept, kept_at = offset, time.monotonic()
        if checksum and digest and digest.digest() != checksum.digest:
            raise Rejected.because("tus_checksum")
        return self._keep(kept, offset, writer)

    def _keep(self, start: int, end: int, writer: ChunkWriter) -> Verdict | None:
        """Let bytes count; the verdict of the file, where that was all of it."""
        if start == end < self.size:
            return None
        with self._closed_in_time():
            mark = writer.keep()
        match self._unfinished.extend(self.id, start, end, mark):
            case Taken.KEPT:
                self._upload = replace(self._upload, received=end, updated=now())
                return None
            case Taken.LAST:
                verdict = self._commit(self._upload, Held(0, end, mark), None)
                self.record = verdict.record
                return verdict
            case Taken.OVERLAPPING:
                # Another request has brought them since.
                self._check_offset(start, self.find(self._site, self.id).offset)
        raise Rejected.because("uuid_busy")

    @staticmethod
    def _check_offset(told: int, held: int) -> None:
        if told != held:
            raise Rejected.because("tus_offset", held=Size(held))

    @contextlib.contextmanager
    def _closed_in_time(self) -> Iterator[None]:
        """Rejected where the file takes no more bytes: it was committed, cancelled or swept since it was found."""
        try:
            yield
        except FileNotFoundError:
            found = self._unfinished.get(self.id)
            if found and found.state != RECEIVING:
                raise Rejected.because("uuid_busy") from None
            if found:
                # Somebody has cleared the staging folder.
                self._forget(found)
            raise Rejected.because("upload_gone") from None

    def terminate(self) -> None:
        """Forget the upload and what has come of it. Rejected once it is a file."""
        if self.record:
            raise Rejected.because("tus_stored")
        self.cancel(self._site, self._upload.owner, self._upload.uuid)
