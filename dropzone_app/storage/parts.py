"""Files that arrive in chunks for a bucket of S3, kept in it from the first byte: any node takes any chunk.

Each file is a multipart upload below ``.staging/``, where no key leads. A chunk that is long enough is a part of it, by
whichever node it came. One that is shorter than a store takes parts is an object beside it: where bytes come in order,
the next ones go on from there; else they become parts when the file is whole. To join is to complete the upload: from
then on no late writer can change a byte of it, and what is checked is what is stored.

The parts are joined under a name of their own and copied, inside the store, when the file is committed: under which
key is settled by its bytes and by the records, and a commit that is taken back takes the key away, not the parts.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import time
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from .chunks import ChunkWriter, Damaged, JoinedFile
from .keys import DIRECT
from .slices import Slice
from .staged import Digest, StagedFile

if TYPE_CHECKING:
    from .s3 import S3Storage

#: Bytes of the shortest part that a store takes before the last one.
SHORTEST = 5 << 20
#: Bytes of a file of which a copy is made here while it is committed: what looks at it may want to map it.
_COPIED = 64 << 20

_READ = 1 << 20
_HANDLE = re.compile(rf"[0-9a-f]{{32}}-([0-9a-f]{{6,12}})({DIRECT})?")


class StoredChunks:
    """The files of an :class:`S3Storage` that arrive in chunks, each under a handle of its own.

    A handle ends with the bytes from which on a piece is a part. A part's number comes from where it begins: pieces
    do not overlap, so two of that length never have the same one.
    """

    def __init__(self, storage: S3Storage, *, part: int, most: int, digest: bool) -> None:
        """``part``: bytes of the parts of a piece that is longer than one; ``most``: how many a file may have."""
        self._storage = storage
        self._part = part
        self._most = most
        self._digest = digest

    def begin(self, size: int) -> str:
        handle = f"{secrets.token_hex(16)}-{max(SHORTEST, -(-size // self._most)):x}"
        self._storage.ask("create_multipart_upload", self.name(handle))
        return handle

    def write(self, handle: str, offset: int | None, before: str = "") -> ChunkWriter:
        if offset is None:
            return StoredChunkWriter(None, 0, "")
        if (id := self.upload(handle)) is None:
            # It was whole, and its commit has failed: what comes now has come before.
            whole = self._storage.open_name(self.name(handle))
            return StoredChunkWriter(None, offset, before, beginning=whole)
        writer = StoredChunkWriter(_Open(self, handle, id), offset, before)
        try:
            if before:
                self._go_on(writer, handle, offset, before)
        except BaseException:
            writer.close()
            raise
        return writer

    def _go_on(self, writer: StoredChunkWriter, handle: str, offset: int, before: str) -> None:
        """Let a writer go on from the short piece that ends at ``offset``, where one does."""
        for end, mark, start in self._pieces(handle):
            if (end, mark) == (offset, before):
                writer.take_over(start, self._content(self._piece(handle, start, end, mark), end - start))
            elif end < offset:
                # What came after it counts, and has its bytes.
                self._storage.ask("delete_object", self._piece(handle, start, end, mark))

    def join(self, handle: str, chunks: Sequence[tuple[int, int, str]]) -> JoinedFile:
        name = self.name(handle)
        with contextlib.suppress(FileNotFoundError):
            return self.joined(handle)
        if (id := self.upload(handle)) is None:
            raise FileNotFoundError(errno.ENOENT, "the file is gone")
        parts = self._compose(handle, id, chunks)
        if parts:
            # Another one where the answer was lost, and the upload is complete.
            with contextlib.suppress(FileNotFoundError):
                self._storage.ask(
                    "complete_multipart_upload", name, UploadId=id, MultipartUpload={"Parts": parts}
                )
        else:
            self._abort(name)
        return self.joined(handle)

    def joined(self, handle: str) -> StoredFile:
        """A file that was joined. FileNotFoundError where it is gone."""
        return StoredFile(self._storage, self.name(handle), mark=handle, digest=self._digest)

    def _compose(self, handle: str, id: str, chunks: Sequence[tuple[int, int, str]]) -> list[dict[str, Any]]:
        """The parts that make the whole file; none where it is too short for any, and was put as it is.

        Damaged where bytes are missing.
        """
        unit, found = (
            unit_of(handle),
            {part["PartNumber"]: part for part in self.parts(self.name(handle), id)},
        )
        pieces = {(end, mark): start for end, mark, start in self._pieces(handle)}
        parts: list[dict[str, Any]] = []
        with contextlib.closing(_Open(self, handle, id)) as rest:
            for at, end, mark in chunks:
                start = pieces.get((end, mark), end)
                while at < start:
                    part = found.get(at // unit + 1)
                    if part is None or not part["Size"]:
                        raise Damaged
                    parts.append({"PartNumber": part["PartNumber"], "ETag": part["ETag"]})
                    at += part["Size"]
                if at != start:
                    raise Damaged
                if start < end:
                    rest.append(start, self._content(self._piece(handle, start, end, mark), end - start))
                    parts += rest.put_parts(self._part + unit)
            if parts:
                parts += rest.put_parts(1)
            else:
                rest.put_whole(self.name(handle))
        return parts

    def reopen(self, handle: str) -> None:
        """The file is whole already: the chunk that completed it is looked at when it comes again."""

    def drop(self, handle: str) -> None:
        name = self.name(handle)
        self._abort(name)
        for kept, _, _ in self._storage.listed_since(f"{self._folder(handle)}/"):
            self._storage.ask("delete_object", kept)

    def handles(self) -> Iterator[str]:
        prefix = self._storage.name_in_staging("")
        seen: set[str] = set()
        for names in (
            (upload["Key"] for upload in self._uploads(prefix)),
            (name for name, _, _ in self._storage.listed_since(prefix)),
        ):
            for name in names:
                handle = name.removeprefix(prefix).partition("/")[0]
                if _HANDLE.fullmatch(handle) and handle not in seen:
                    seen.add(handle)
                    yield handle

    def abandoned(self, handle: str, age: float) -> int | None:
        """Bytes in the store of a file that nobody has put a chunk of for ``age`` seconds; None of any other."""
        found: list[tuple[int, datetime]] = []
        for upload in self._uploads(self.name(handle)):
            found.append((0, upload["Initiated"]))
            # It may be completed between the two looks.
            with contextlib.suppress(FileNotFoundError):
                parts = self.parts(upload["Key"], upload["UploadId"])
                found += [(part["Size"], part["LastModified"]) for part in parts]
        objects = self._storage.listed_since(f"{self._folder(handle)}/")
        found += [(size, changed) for _, size, changed in objects]
        latest = datetime.fromtimestamp(time.time() - age, UTC)
        if age and any(changed > latest for _, changed in found):
            return None
        return sum(size for size, _ in found)

    # ---- what the store has of a file

    def _folder(self, handle: str) -> str:
        return self._storage.name_in_staging(handle)

    def name(self, handle: str) -> str:
        """What the upload is called, and the whole file."""
        return f"{self._folder(handle)}/whole"

    def _piece(self, handle: str, start: int, end: int, mark: str) -> str:
        """What a piece is called that is too short for a part."""
        return f"{self._folder(handle)}/{end:x}-{mark}-{start:x}"

    def _pieces(self, handle: str) -> Iterator[tuple[int, str, int]]:
        """(end, mark, start) of the short pieces."""
        for name, _, _ in self._storage.listed_since(f"{self._folder(handle)}/"):
            if found := re.fullmatch(r"([0-9a-f]+)-([0-9a-f]{8})-([0-9a-f]+)", name.rpartition("/")[2]):
                yield int(found[1], 16), found[2], int(found[3], 16)

    def _content(self, name: str, size: int) -> Iterator[bytes]:
        """All bytes of a short piece."""
        try:
            with contextlib.closing(self._storage.open_name(name)) as file:
                while data := file.read(_READ):
                    size -= len(data)
                    yield data
        except FileNotFoundError:
            # Others have gone on from it since, or dropped the file: who looks again is told which.
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE)) from None
        if size:
            raise OSError(errno.EIO, "the store has another piece than was put")

    def _uploads(self, prefix: str) -> Iterator[dict[str, Any]]:
        return self._storage.pages("list_multipart_uploads", "Uploads", Prefix=prefix)

    def upload(self, handle: str) -> str | None:
        """The id of the upload; None where it was completed or aborted."""
        unit_of(handle)
        # The first one: a store may have begun another where the answer was lost, and does so late.
        found = [(upload["Initiated"], upload["UploadId"]) for upload in self._uploads(self.name(handle))]
        return str(min(found)[1]) if found else None

    def parts(self, name: str, id: str) -> Iterator[dict[str, Any]]:
        """What the store has of an upload, in order."""
        return self._storage.pages("list_parts", "Parts", Key=name, UploadId=id)

    def _abort(self, name: str) -> None:
        for upload in self._uploads(name):
            with contextlib.suppress(FileNotFoundError):
                self._storage.ask("abort_multipart_upload", name, UploadId=upload["UploadId"])

    # ---- what is put there

    def buffer(self) -> StagedFile:
        """Where bytes wait until they are put."""
        return self._storage.buffer()

    def put_parts(self, handle: str, id: str, waiting: StagedFile, offset: int) -> list[dict[str, Any]]:
        """Put what begins at ``offset`` of the file and is long enough, as one part or more: those."""
        name, unit = self.name(handle), unit_of(handle)
        length = max(self._part, unit)
        parts, at = [], 0
        while at < waiting.size:
            left = waiting.size - at
            # None is left that is too short.
            content = Slice(waiting, at, length if left >= length + unit else left)
            number = (offset + at) // unit + 1
            answer = self._storage.ask(
                "upload_part", name, UploadId=id, PartNumber=number, Body=content, ContentMD5=content.md5()
            )
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
            at += content.length
        return parts

    def put_piece(self, handle: str, waiting: StagedFile, offset: int, mark: str) -> None:
        """Put what is too short for a part."""
        self.put_object(self._piece(handle, offset, offset + waiting.size, mark), waiting)

    def put_object(self, name: str, waiting: StagedFile) -> None:
        content = Slice(waiting, 0, waiting.size)
        self._storage.ask("put_object", name, Body=content, ContentMD5=content.md5())


class _Open:
    """An upload that takes pieces, and the bytes that wait here to be put: on the disk, not in memory."""

    def __init__(self, chunks: StoredChunks, handle: str, id: str) -> None:
        self._chunks = chunks
        self._handle = handle
        self._id = id
        self._waiting: StagedFile | None = None
        self._start = 0

    def append(self, offset: int, data: Iterator[bytes]) -> None:
        """Take bytes from ``offset`` on: where those end that wait, if there are any."""
        if self._waiting is None:
            self._waiting, self._start = self._chunks.buffer(), offset
        if self._start + self._waiting.size != offset:
            raise Damaged
        for piece in data:
            self._waiting.write(piece)

    def put_parts(self, least: int) -> list[dict[str, Any]]:
        """Put what waits, where that is ``least`` bytes, and the parts that it has become."""
        if self._waiting is None or self._waiting.size < least:
            return []
        parts = self._chunks.put_parts(self._handle, self._id, self._waiting, self._start)
        self.close()
        return parts

    def put(self, mark: str) -> None:
        """Put what waits. What is too short for a part goes on waiting here too, for more."""
        if not self.put_parts(unit_of(self._handle)) and self._waiting is not None:
            self._chunks.put_piece(self._handle, self._waiting, self._start, mark)

    def put_whole(self, name: str) -> None:
        """Put what waits as an object of its own."""
        self._waiting = self._waiting or self._chunks.buffer()
        self._chunks.put_object(name, self._waiting)

    def beginning(self, size: int) -> bytes:
        if self._waiting is None or self._start:
            return b""
        with self._waiting.open() as file:
            return file.read(size)

    def close(self) -> None:
        if self._waiting is not None:
            self._waiting.close()
            self._waiting = None


class StoredChunkWriter(ChunkWriter):
    """Takes the bytes of one chunk, and puts them in the store when they are to be kept."""

    keeps_at_once = False

    def __init__(
        self, upload: _Open | None, offset: int, before: str, beginning: BinaryIO | None = None
    ) -> None:
        """``upload`` None: the bytes are only looked at; ``beginning``: of a file that has them already."""
        self._upload = upload
        self._beginning = beginning
        self._end = offset
        self._sum = int(before or "0", 16)

    def take_over(self, start: int, data: Iterator[bytes]) -> None:
        """Have the bytes before one's own wait here too."""
        assert self._upload
        self._upload.append(start, data)

    def write(self, data: bytes) -> None:
        self._sum = zlib.crc32(data, self._sum)
        if self._upload:
            self._upload.append(self._end, iter((data,)))
            self._end += len(data)

    def keep(self) -> str:
        if self._upload:
            self._upload.put(self.mark)
        return self.mark

    def beginning(self, size: int) -> bytes:
        if self._beginning:
            return self._beginning.read(size)
        return self._upload.beginning(size) if self._upload else b""

    def close(self) -> None:
        if self._upload:
            self._upload.close()
        if self._beginning:
            self._beginning.close()


class StoredFile(JoinedFile):
    """A whole file in the store that is not committed yet: read from there, once, in order."""

    def __init__(self, storage: S3Storage, name: str, *, mark: str, digest: bool) -> None:
        """FileNotFoundError where there is none."""
        self.size = int(storage.ask("head_object", name)["ContentLength"])
        #: What it is called in the bucket.
        self.name = name
        self.path = None
        self._storage = storage
        self._mark = mark
        self._digest = Digest() if digest else None
        self._sha256 = None
        self._copy: StagedFile | None = None
        self._closed = False

    @property
    def mark(self) -> str:
        return self._mark

    @property
    def closed(self) -> bool:
        return self._closed

    def fileno(self) -> int:
        """Of a copy on this machine, of all of it."""
        if self._closed:
            raise ValueError("the staged file is closed")
        if self._copy is None:
            copy = self._storage.buffer()
            try:
                with contextlib.closing(self._storage.open_name(self.name)) as file:
                    while data := file.read(_READ):
                        copy.write(data)
            except BaseException:
                copy.close()
                raise
            self._copy = copy
        return self._copy.fileno()

    def beginning(self, size: int) -> bytes:
        with contextlib.closing(self._storage.open_name(self.name)) as file:
            return file.read(size)

    def open(self) -> BinaryIO:
        if self.size <= _COPIED:
            return super().open()
        return self._storage.open_name(self.name)

    def close(self) -> None:
        if self._digest is not None:
            self._digest.close()
            self._digest = None
        if self._copy is not None:
            self._copy.close()
            self._copy = None
        self._closed = True


def unit_of(handle: str) -> int:
    """Bytes from which on a piece is a part. FileNotFoundError for what is no handle of ours."""
    found = _HANDLE.fullmatch(handle)
    if not found:
        raise FileNotFoundError(errno.ENOENT, "the file is gone")
    return int(found[1], 16)
