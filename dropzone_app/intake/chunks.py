"""A chunk of a file, as Dropzone names it in its fields, and its bytes while they arrive."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..checks import Screening, check_sha256, check_uuid
from ..config import told_apart
from ..errors import Rejected
from ..languages import Phrase
from ..naming import display_name
from ..storage import ChunkWriter
from ..storage.staged import Digest

#: Dropzone's own fields, all of them beside every chunk.
FIELDS = (
    "dzuuid",
    "dzchunkindex",
    "dztotalfilesize",
    "dzchunksize",
    "dztotalchunkcount",
    "dzchunkbyteoffset",
)

#: Each one is a row; 5 GB in Dropzone's own chunks of 2 MiB are 2,385.
MAX_CHUNKS = 100_000


@dataclass(frozen=True)
class Chunk:
    """The bytes from ``start`` to before ``end`` of the file that its client calls ``uuid``."""

    uuid: str
    #: Of the whole file.
    size: int
    #: Of every chunk but the last.
    chunk_size: int
    start: int
    end: int
    #: Of this chunk, where the client says it.
    sha256: str | None = None

    @property
    def length(self) -> int:
        """Bytes of this chunk."""
        return self.end - self.start


def is_chunk(fields: Mapping[str, str]) -> bool:
    """Whether these fields stand beside a chunk."""
    return bool(fields) and any(field in fields for field in FIELDS)


def read_chunk(fields: Mapping[str, str]) -> Chunk:
    """What Dropzone's fields say, and ``dzchunksha256``. Rejected unless they all agree."""
    uuid = fields.get("dzuuid", "")
    check_uuid("dzuuid", uuid)
    index, size, chunk_size, count, offset = (_number(fields, field) for field in FIELDS[1:])
    if chunk_size < 1:
        raise Rejected.because("bad_field", field="dzchunksize", expected=Phrase("more than nothing"))
    if count > MAX_CHUNKS:
        expected = Phrase("{n} at most", n=f"{MAX_CHUNKS:,}")
        raise Rejected.because("bad_field", field="dztotalchunkcount", expected=expected)
    sha256 = fields.get("dzchunksha256")
    if sha256:
        check_sha256("dzchunksha256", sha256)
    # An empty file is one empty chunk.
    _agree("dztotalchunkcount", count, max(1, -(-size // chunk_size)))
    if index >= count:
        raise Rejected.because("bad_field", field="dzchunkindex", expected=Phrase("less than {n}", n=count))
    _agree("dzchunkbyteoffset", offset, index * chunk_size)
    if told := fields.get("size") or fields.get("size[0]"):
        _agree("size", _number({"size": told}, "size"), size)
    end = min(offset + chunk_size, size)
    return Chunk(uuid, size, chunk_size, offset, end, sha256.lower() if sha256 else None)


def _number(fields: Mapping[str, str], field: str) -> int:
    value = fields.get(field, "")
    if not re.fullmatch(r"[0-9]{1,18}", value):
        expected = Phrase("a whole number of at most 18 digits")
        raise Rejected.because("bad_field", field=field, expected=expected)
    return int(value)


def _agree(field: str, told: int, expected: int) -> None:
    if told != expected:
        raise Rejected.because("chunk_fields", field=field, expected=expected)


class IncomingChunk:
    """One chunk of a request: looked at and written to its place while it arrives."""

    def __init__(self, chunk: Chunk, *, key: str, filename: str) -> None:
        """Nobody wants the bytes before :meth:`write_to`."""
        self.chunk = chunk
        self.name = key
        #: The file's name, cleaned.
        self.filename = display_name(filename)
        #: Bytes that arrived.
        self.size = 0
        #: The refusal of the whole file for what its first bytes are.
        self.rejected: Rejected | None = None
        #: Whether the file was committed, cancelled or swept while the chunk arrived.
        self.late = False
        self._writer: ChunkWriter | None = None
        self._screening: Screening | None = None
        self._digest = Digest() if chunk.sha256 else None

    def write_to(self, writer: ChunkWriter, screening: Screening | None = None) -> None:
        """Where the bytes go; ``screening`` looks at the first ones of a file."""
        self._writer = writer
        self._screening = screening

    def keep(self) -> str:
        """Have the bytes where whoever commits the file will find them; what the storage gave for them.

        FileNotFoundError where the file takes no more chunks.
        """
        assert self._writer
        return self._writer.keep()

    def feed(self, data: bytes) -> None:
        """Take the next bytes. OSError where the disk is full or failing."""
        self.size += len(data)
        # What is longer than it says would reach into the next chunk.
        if self.rejected or self.size > self.chunk.length:
            return
        if self._digest:
            self._digest.update(data)
        if self._writer is None or self.late:
            return
        if self._screening and not self._screening.feed(data):
            self.rejected = self._screening.rejected
            return
        try:
            self._writer.write(data)
        except FileNotFoundError:
            self.late = True

    def finish(self) -> None:
        """All bytes were there."""

    def check(self) -> None:
        """Rejected unless the chunk is what it was said to be."""
        if self.size != self.chunk.length:
            received, declared = told_apart(self.size, self.chunk.length)
            raise Rejected.because("chunk_length", received=received, declared=declared)
        if self._digest and self._digest.hexdigest() != self.chunk.sha256:
            raise Rejected.because("chunk_digest")

    def discard(self) -> None:
        """Let go of the file; what was written of it does not count before it is taken. Idempotent."""
        if self._digest:
            self._digest.close()
        if self._writer:
            self._writer.close()

    close = discard
