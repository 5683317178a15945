"""Files in a bucket of S3, or of a store that speaks as S3 does: staged in a folder here, put when they are committed.

A small file is one put that refuses a taken key (``If-None-Match: *``, RFC 9110, 13.1.2) and carries its Content-MD5
(RFC 1864), which every store compares; not every one compares newer checksums. A big file is a multipart upload. Not
every store refuses a taken key when that is completed, so its key is one that nobody else can have.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import io
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, unquote, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
)

from ..config import SettingError, parse_flag
from ..naming import numbered
from .far import FarFile
from .keys import STAGING, THUMBNAILS, check_id, check_key, is_id
from .local import LocalStorage
from .parts import StoredChunks, StoredFile
from .signed import CONTENT_TYPE, SignedParts
from .slices import Slice, md5
from .staged import StagedFile
from .together import together

#: Bytes of a part; what has more is put in parts. A store takes 10,000 of them, of 5 MiB at least.
PART = 16 << 20
MAX_PARTS = 10_000
#: Bytes that a store copies at one word: some for free, others as fast as it reads. What has more is copied in parts.
COPIED_WHOLE = 1 << 30
COPIED_PART = 64 << 20
#: Parts of one file, and files of one batch, that are on their way at once.
PARTS_AT_ONCE = 4
FILES_AT_ONCE = 8
#: Bytes of a whole name in the bucket. What :func:`numbered` adds has to fit as well.
MAX_NAME_BYTES = 1024
_NUMBER_BYTES = 32
#: Tries of one request, and seconds a store may be silent in each of them.
TRIES = 3
TIMEOUT = 20.0
#: Seconds after which a store begins no request any more that was signed so long ago (AWS, Signature Version 4).
SIGNATURE_LIFETIME = 15 * 60
#: Bytes that are fetched when a file is opened, and at most at a time from then on.
_FIRST_READ = 64 << 10
_LONGEST_READ = 16 << 20

_OPTIONS = ("endpoint_url", "region", "addressing", "presigned", "timeout")
_TAKEN = {"PreconditionFailed", "ConditionalRequestConflict"}
_ABSENT = {"404", "NoSuchKey", "NoSuchUpload", "NoSuchCORSConfiguration"}
_ERRNO = {"QuotaExceeded": errno.EDQUOT, "InvalidRange": errno.ERANGE, "InvalidPart": errno.ESTALE}


def open_url(
    url: str, *, setting: str, durable: bool, digest: bool, staging: Path, min_free: int
) -> S3Storage:
    """The storage of ``s3://bucket/prefix?endpoint_url=…``. SettingError says what of it cannot be used."""
    try:
        split = urlsplit(url)
        prefix = unquote(split.path).strip("/")
        if prefix:
            check_key(prefix)
    except ValueError:
        raise SettingError(f"{setting} must be a URL such as 's3://bucket/prefix'.") from None
    if "@" in split.netloc:
        # The value is not shown: what stands before the @ is a secret.
        raise SettingError(
            f"{setting} must name the bucket alone; keys go where boto3 looks for them, such as AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY in the environment."
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", split.netloc):
        raise SettingError(f"{setting} must name a bucket, 's3://bucket/prefix'; it is {url!r}.")
    options = dict(parse_qsl(split.query, keep_blank_values=True))
    for name in options.keys() - set(_OPTIONS):
        near = difflib.get_close_matches(name, _OPTIONS, 1, 0)[0]
        raise SettingError(f"{setting}: {name!r} is no option of s3://; did you mean {near}?")
    try:
        timeout = float(options.get("timeout", TIMEOUT))
        if not 0 < timeout <= 3600:
            raise ValueError
    except ValueError:
        raise SettingError(
            f"{setting}: timeout must be the seconds that the store may be silent, such as 20; "
            f"it is {options['timeout']!r}."
        ) from None
    endpoint = options.get("endpoint_url")
    # Amazon's certificate is for names without dots. With "auto" boto3 presigns for no region.
    addressing = options.get("addressing", "path" if endpoint or "." in split.netloc else "virtual")
    if addressing not in {"path", "virtual"}:
        raise SettingError(f"{setting}: addressing must be path or virtual; it is {addressing!r}.")
    presigned = parse_flag(f"{setting}: presigned", options.get("presigned", "false"))
    config = Config(
        signature_version="s3v4",
        connect_timeout=min(5.0, timeout),
        read_timeout=timeout,
        retries={"mode": "standard", "total_max_attempts": TRIES},
        max_pool_connections=64,
        # Some stores know no other checksum than Content-MD5, and refuse or ignore it.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": addressing},
    )

    def connect() -> Any:
        # A session of its own: the one of boto3 is not to be shared by threads.
        session = boto3.session.Session()
        if session.get_credentials() is None:
            raise SettingError(
                f"{setting} is s3://, and there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "or give them in another way that boto3 knows."
            )
        return session.client("s3", endpoint_url=endpoint, region_name=options.get("region"), config=config)

    try:
        local = LocalStorage(staging, durable=False, digest=digest, min_free=min_free, read_again=True)
        return S3Storage(connect, split.netloc, prefix, local=local, presigned=presigned, digest=digest)
    except OSError as error:
        raise SettingError(f"UPLOADS_STAGING: {staging} cannot be written: {error.strerror}.") from error
    except SettingError:
        raise
    except (BotoCoreError, ValueError) as error:
        raise SettingError(f"{setting}: boto3 cannot use it: {error}.") from error


class S3Storage:
    """A bucket, or what lies below a prefix in it. Nothing is asked of the store before it is used."""

    at_once = FILES_AT_ONCE

    def __init__(
        self,
        connect: Callable[[], Any],
        bucket: str,
        prefix: str = "",
        *,
        local: LocalStorage,
        presigned: bool = False,
        digest: bool = True,
    ) -> None:
        """``connect`` makes a boto3 client, files are staged in ``local``; ``presigned``: :meth:`url` gives URLs."""
        #: Files that arrive in chunks: in the store, where every node finds them.
        self.chunks = StoredChunks(self, part=PART, most=MAX_PARTS, digest=digest)
        #: Those that their clients put there themselves.
        self.direct = SignedParts(self, self.chunks, most=MAX_PARTS)
        self.bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._local = local
        self._presigned = presigned
        self._connect = connect
        self._clients: dict[int, Any] = {}
        self._lost = _Lost()
        # Puts that the store may yet carry out, although nobody waits for them: until when, and whether one looked.
        self._unsettled: dict[str, tuple[float, bool]] = {}
        # Now, and not with the first request: it tells of missing credentials.
        assert self.client

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self._prefix}".rstrip("/")

    @property
    def thumbnails(self) -> S3Thumbnails:
        return S3Thumbnails(self)

    def stage(self) -> StagedFile:
        return self._local.stage()

    def buffer(self) -> StagedFile:
        """Where bytes wait on this machine of which nobody asks for the digest."""
        return self._local.buffer()

    def check_room(self, size: int) -> None:
        """On this machine, where files are staged."""
        self._local.check_room(size)

    def unused_key(self, key: str, size: int) -> str:
        check_key(key)
        if size > PART:
            key = numbered(key, secrets.token_hex(8))
        while "/" in key and len(f"{self._prefix}{key}".encode()) > MAX_NAME_BYTES - _NUMBER_BYTES:
            folder, _, name = key.rpartition("/")
            key = f"{folder.rpartition('/')[0]}/{name}".lstrip("/")
        return key

    def commit(self, staged: StagedFile, key: str) -> str:
        name = self.name_of(key)
        if staged.size <= PART:
            content = Slice(staged, 0, staged.size)
            self._put("put_object", staged, name, Body=content, ContentMD5=content.md5(), IfNoneMatch="*")
            return key
        if self._mark_at(name) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        if isinstance(staged, StoredFile) and staged.size <= COPIED_WHOLE:
            source = {"Bucket": self.bucket, "Key": staged.name}
            self._put("copy_object", staged, name, CopySource=source, MetadataDirective="REPLACE")
        else:
            self._put_parts(staged, name)
        return key

    def _put(self, operation: str, staged: StagedFile, name: str, **how: Any) -> None:
        """Put a file at one word."""
        self._lost.begin()
        try:
            self.ask(operation, name, Metadata={"mark": staged.mark}, **how)
        except FileExistsError:
            # Our own, where the answer to the first try was lost.
            if not self._lost.any or self._mark_at(name) != staged.mark:
                raise
        except OSError:
            if self._lost.any:
                self._unsettled[name] = time.monotonic() + SIGNATURE_LIFETIME, False
            raise

    def _put_parts(self, staged: StagedFile, name: str) -> None:
        id = self.ask("create_multipart_upload", name, Metadata={"mark": staged.mark})["UploadId"]
        there = isinstance(staged, StoredFile)
        length = max(COPIED_PART if there else PART, -(-staged.size // MAX_PARTS))
        starts = range(0, staged.size, length)

        def put(number: int) -> dict[str, Any]:
            start, part = starts[number], {"UploadId": id, "PartNumber": number + 1}
            size = min(length, staged.size - start)
            if isinstance(staged, StoredFile):
                source = {"Bucket": self.bucket, "Key": staged.name}
                which = f"bytes={start}-{start + size - 1}"
                copied = self.ask("upload_part_copy", name, CopySource=source, CopySourceRange=which, **part)
                etag = copied["CopyPartResult"]["ETag"]
            else:
                content = Slice(staged, start, size)
                etag = self.ask("upload_part", name, Body=content, ContentMD5=content.md5(), **part)["ETag"]
            return {"PartNumber": number + 1, "ETag": etag}

        try:
            parts = together(put, range(len(starts)), PARTS_AT_ONCE)
            try:
                self.ask(
                    "complete_multipart_upload",
                    name,
                    UploadId=id,
                    MultipartUpload={"Parts": parts},
                    IfNoneMatch="*",
                )
            except (FileExistsError, FileNotFoundError):
                # Our own, where the answer to the first try was lost.
                if self._mark_at(name) != staged.mark:
                    raise
            # The answer may come without anything that tells what was made of the parts.
            size = self.ask("head_object", name)["ContentLength"]
            if size != staged.size:
                raise OSError(errno.EIO, f"the store made {size} bytes of {staged.size}")
        except BaseException:
            with contextlib.suppress(OSError):
                self.ask("abort_multipart_upload", name, UploadId=id)
            raise

    def sync(self, committed: Iterable[tuple[StagedFile, str]]) -> None:
        """A store answers when it has the bytes for good."""

    def open(self, key: str) -> BinaryIO:
        return self.open_name(self.name_of(key))

    def delete(self, key: str, mark: str | None = None) -> None:
        name = self.name_of(key)
        if mark is None:
            self.ask("delete_object", name)
            return
        until, looked = self._unsettled.get(name, (0.0, True))
        unsettled = time.monotonic() < until
        if not (unsettled and looked):
            self._abort_uploads(name)
            found = self._mark_at(name)
            if found == mark:
                self.ask("delete_object", name)
            unsettled = unsettled and found is None
        if unsettled:
            # A store that hangs may carry out what it was asked for when it wakes up.
            self._unsettled[name] = until, True
            raise OSError(errno.EAGAIN, "a put of this file may yet be carried out")
        self._unsettled.pop(name, None)

    def _abort_uploads(self, name: str) -> None:
        """Abort what was begun under a key that a reservation of ours has for itself."""
        for upload in self.pages("list_multipart_uploads", "Uploads", Prefix=name):
            if upload["Key"] == name:
                with contextlib.suppress(FileNotFoundError):
                    self.ask("abort_multipart_upload", name, UploadId=upload["UploadId"])

    def _mark_at(self, name: str) -> str | None:
        """The mark of what lies there, "" where it has none; None where nothing does."""
        try:
            return str(self.ask("head_object", name)["Metadata"].get("mark", ""))
        except FileNotFoundError:
            return None

    def url(self, key: str, *, disposition: str, media_type: str, expires: int | None) -> str | None:
        if not self._presigned or expires is None:
            return None
        return self.presigned(
            "get_object",
            expires,
            Key=self.name_of(key),
            ResponseContentDisposition=disposition,
            ResponseContentType=media_type,
            ResponseCacheControl="private, no-store",
        )

    def check(self) -> None:
        self._local.check()
        probe = self.name_in_staging("check")
        # Once it is there each one is refused. A store that takes a second one would let one file replace another.
        for _ in range(2):
            try:
                self.ask("put_object", probe, Body=b"", IfNoneMatch="*")
            except FileExistsError:
                return
        raise OSError(errno.ENOTSUP, "the store does not know If-None-Match, and would replace files")

    def clear_left_overs(self) -> None:
        self._local.clear_left_overs()

    def left_overs(self, age: float, *, remove: bool) -> Iterator[tuple[str, int]]:
        return self._local.left_overs(age, remove=remove)

    def keys(self) -> Iterator[tuple[str, int]]:
        for name, size in self.listed(self._prefix):
            key = name.removeprefix(self._prefix)
            # As in a folder, what begins with a dot is ours.
            if not key.startswith("."):
                yield key, size

    def has(self, key: str) -> bool:
        return self._mark_at(self.name_of(key)) is not None

    # ---- what is asked of the store

    @property
    def client(self) -> Any:
        """The client of this process: a forked one must not go on with the connections of its parent."""
        pid = os.getpid()
        if pid not in self._clients:
            client = self._connect()
            for operation in ("PutObject", "CopyObject"):
                client.meta.events.register(f"needs-retry.s3.{operation}", self._lost.note)
            client.meta.events.register("before-sign.s3.UploadPart", _sign_content_type)
            self._clients = {pid: client}
        return self._clients[pid]

    def name_of(self, key: str) -> str:
        """What ``key`` is called in the bucket. ValueError for what is no key."""
        return self._prefix + check_key(key)

    def thumbnail_name(self, id: str = "") -> str:
        """What the thumbnail of ``id`` is called in the bucket, or the beginning of all of them."""
        return f"{self._prefix}{THUMBNAILS}/{id}"

    def name_in_staging(self, name: str) -> str:
        """What is called ``name`` among what is on its way, or with "" the beginning of all of that."""
        return f"{self._prefix}{STAGING}/{name}"

    def open_name(self, name: str) -> BinaryIO:
        """The bytes of what is called so in the bucket. FileNotFoundError when absent."""
        return io.BufferedReader(_S3File(self, name), _FIRST_READ)

    def listed(self, prefix: str) -> Iterator[tuple[str, int]]:
        """(name, bytes) of all in the bucket whose name begins so."""
        return ((name, size) for name, size, _ in self.listed_since(prefix))

    def listed_since(self, prefix: str) -> Iterator[tuple[str, int, datetime]]:
        """:meth:`listed` with when each was put."""
        for entry in self.pages("list_objects_v2", "Contents", Prefix=prefix):
            yield entry["Key"], entry["Size"], entry["LastModified"]

    def pages(self, operation: str, what: str, **more: Any) -> Iterator[dict[str, Any]]:
        """All that the store lists, a page after the other."""
        pages = self.client.get_paginator(operation).paginate(Bucket=self.bucket, **more)
        with failures():
            for page in pages:
                yield from page.get(what, ())

    def ask(self, operation: str, name: str, **more: Any) -> Any:
        """The store's answer; what it refuses or does not answer is an OSError."""
        return self.ask_bucket(operation, Key=name, **more)

    def ask_bucket(self, operation: str, **more: Any) -> Any:
        """The same of what has no name."""
        with failures():
            return getattr(self.client, operation)(Bucket=self.bucket, **more)

    def presigned(self, operation: str, expires: int, **more: Any) -> str:
        """A URL by which anybody may ask this of the store for ``expires`` seconds."""
        with failures():
            url: str = self.client.generate_presigned_url(
                operation, {"Bucket": self.bucket, **more}, ExpiresIn=expires
            )
            return url


def _sign_content_type(request: Any, signature_version: object, **_: object) -> None:
    """Have the URL of a part hold for one Content-Type; boto3 knows no such argument."""
    if str(signature_version).endswith("-query"):
        request.headers["Content-Type"] = CONTENT_TYPE


class _Lost(threading.local):
    """Whether a try of this thread's request reached the store, perhaps, and got no answer."""

    any = False

    def begin(self) -> None:
        self.any = False

    def note(self, caught_exception: Exception | None = None, **_: object) -> None:
        """What boto3 tells after each try."""
        never_sent = (ConnectTimeoutError, EndpointConnectionError)
        self.any = self.any or (caught_exception is not None and not isinstance(caught_exception, never_sent))


class S3Thumbnails:
    """The thumbnails of an :class:`S3Storage`: an object for each, below the same prefix."""

    def __init__(self, storage: S3Storage) -> None:
        self._storage = storage

    def get(self, id: str) -> bytes | None:
        try:
            answer = self._storage.ask("get_object", self._name(id))
        except FileNotFoundError:
            return None
        with failures(), contextlib.closing(answer["Body"]) as body:
            content: bytes = body.read()
            return content

    def put(self, id: str, content: bytes) -> None:
        self._storage.ask("put_object", self._name(id), Body=content, ContentMD5=md5([content]))

    def delete(self, id: str) -> None:
        self._storage.ask("delete_object", self._name(id))

    def ids(self) -> Iterator[str]:
        prefix = self._storage.thumbnail_name()
        names = (name.removeprefix(prefix) for name, _ in self._storage.listed(prefix))
        yield from filter(is_id, names)

    def _name(self, id: str) -> str:
        return self._storage.thumbnail_name(check_id(id))


class _S3File(FarFile):
    """An object, fetched in pieces that grow while it is read in order; all of them of one version of it.

    The first piece comes with the opening: a small file needs no second request, and is not lost to who deletes it.
    """

    def __init__(self, storage: S3Storage, name: str) -> None:
        self._storage = storage
        self._name = name
        self._at = 0
        self._head, self._etag, self._size = self._first_piece()
        # The piece that is on its way, where its next byte stands in the file, and how long the next one is.
        self._piece: Any = None
        self._piece_at = 0
        self._length = 4 * _FIRST_READ

    def _first_piece(self) -> tuple[bytes, str, int]:
        try:
            answer = self._storage.ask("get_object", self._name, Range=f"bytes=0-{_FIRST_READ - 1}")
        except OSError as error:
            # RFC 9110, 14.1.2: no range lies in nothing.
            if error.errno != errno.ERANGE:
                raise
            return b"", "", 0
        with failures(), contextlib.closing(answer["Body"]) as body:
            return body.read(), answer["ETag"], int(answer["ContentRange"].rpartition("/")[2])

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        data = self._head[self._at : self._at + wanted] or self._read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _read(self, wanted: int) -> bytes:
        for tries_left in reversed(range(TRIES)):
            try:
                if self._piece is None or self._piece_at != self._at:
                    self._fetch()
                with failures():
                    data: bytes = self._piece.read(wanted)
                if data:
                    self._piece_at += len(data)
                    return data
                # The piece has ended; there is more of the file.
                self._drop()
            except Unanswered:
                # What was read so far is right, and the rest can be asked for.
                self._drop()
                if not tries_left:
                    raise
        raise OSError(errno.EIO, "the store sent less than it has")

    def _fetch(self) -> None:
        self._drop()
        last = min(self._at + self._length, self._size) - 1
        try:
            answer = self._storage.ask(
                "get_object", self._name, Range=f"bytes={self._at}-{last}", IfMatch=self._etag
            )
        except FileExistsError:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE)) from None
        self._piece, self._piece_at = answer["Body"], self._at
        self._length = min(2 * self._length, _LONGEST_READ)

    def _drop(self) -> None:
        if self._piece is not None:
            self._piece.close()
            self._piece = None

    def close(self) -> None:
        if not self.closed:
            self._drop()
        super().close()


class Unanswered(OSError):
    """The store did not answer in time, or not to the end."""


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """What fails in boto3 as the OSError that it is. Its text has no key, address or secret."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _ABSENT:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
        if code in _TAKEN:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        raise OSError(_ERRNO.get(code, errno.EIO), f"{error.operation_name}: {code}") from error
    except BotoCoreError as error:
        raise Unanswered(errno.EHOSTUNREACH, type(error).__name__) from error
