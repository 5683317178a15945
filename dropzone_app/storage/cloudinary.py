"""Files at Cloudinary, by its own client library: staged in a folder here, sent when they are committed.

They are kept as what Cloudinary calls raw: every byte as it came, whatever it is. A key is a ``public_id``, with a part
that nobody can guess or have twice. Who may read is decided here: files are ``authenticated`` there and come through
the app, unless the URL says ``public=true``; then each has a lasting ``secure_url``, kept with its record.

https://cloudinary.com/documentation/image_upload_api_reference, https://cloudinary.com/documentation/admin_api
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import re
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, unquote, urlsplit

import urllib3

from ..config import SettingError, parse_flag
from ..errors import Rejected
from ..naming import numbered
from .chunks import ChunkFolder
from .far import FarFile
from .keys import check_key
from .local import LocalStorage, LocalThumbnails
from .staged import StagedFile

try:
    import cloudinary
    from cloudinary import api, exceptions, uploader, utils
    from cloudinary.api_client import call_api
except ValueError as error:
    # It reads its settings when it is imported, and its own words would show the secret.
    raise SettingError("CLOUDINARY_URL must be cloudinary://key:secret@cloud.") from error

#: Bytes of a chunk, held in memory; what has more is sent in chunks. Cloudinary takes none under 5 MiB but the last.
CHUNK = 8 << 20
#: Characters of a ``public_id``, and what :func:`numbered` may add to one.
MAX_ID = 255
_NUMBER = 12
FILES_AT_ONCE = 4
#: Seconds that Cloudinary may be silent.
TIMEOUT = 60.0
#: Seconds after which Cloudinary takes no request any more that was signed so long ago.
SIGNATURE_LIFETIME = 60 * 60
#: Seconds that the answer to :meth:`CloudinaryStorage.check` is good for: such questions are counted there by the hour.
CHECKED = 60.0
#: Seconds within which the app itself fetches what it has signed.
_FETCH = 600

_OPTIONS = {"public", "timeout"}
_CREDENTIALS = ("api_key", "api_secret", "upload_prefix", "signature_algorithm")
_ERRNO: list[tuple[type[Exception], int]] = [
    (exceptions.NotFound, errno.ENOENT),
    (exceptions.AlreadyExists, errno.EEXIST),
    (exceptions.RateLimited, errno.EAGAIN),
    (exceptions.AuthorizationRequired, errno.EACCES),
    (exceptions.NotAllowed, errno.EACCES),
]
_pool = urllib3.PoolManager(**cloudinary.CERT_KWARGS)


def _forget_connections() -> None:
    """In a forked worker: its parent's connections are its parent's."""
    for pool in (_pool, uploader._http, call_api._http):
        pool.clear()


os.register_at_fork(after_in_child=_forget_connections)


def open_url(
    url: str, *, setting: str, durable: bool, digest: bool, staging: Path, min_free: int
) -> CloudinaryStorage:
    """The storage of ``cloudinary://cloud/prefix?public=true``. SettingError says what of it cannot be used."""
    try:
        split = urlsplit(url)
        prefix = unquote(split.path).strip("/")
        if prefix:
            check_key(prefix)
    except ValueError:
        raise SettingError(f"{setting} must be a URL such as 'cloudinary://cloud/prefix'.") from None
    if "@" in split.netloc:
        # The value is not shown: what stands before the @ is a secret.
        raise SettingError(f"{setting} must name the cloud alone; key and secret go into CLOUDINARY_URL.")
    if not re.fullmatch(r"[\w-]{1,128}", split.netloc, re.ASCII):
        raise SettingError(f"{setting} must name a cloud, 'cloudinary://cloud'; it is {url!r}.")
    options = dict(parse_qsl(split.query, keep_blank_values=True))
    for name in options.keys() - _OPTIONS:
        raise SettingError(f"{setting}: {name!r} is no option of cloudinary://; it has public and timeout.")
    try:
        timeout = float(options.get("timeout", TIMEOUT))
        if not 0 < timeout <= 3600:
            raise ValueError
    except ValueError:
        raise SettingError(
            f"{setting}: timeout must be the seconds that Cloudinary may be silent, such as 60; "
            f"it is {options['timeout']!r}."
        ) from None
    try:
        config = cloudinary.Config()
    except ValueError:
        raise SettingError("CLOUDINARY_URL must be cloudinary://key:secret@cloud.") from None
    if not (config.api_key and config.api_secret):
        raise SettingError(
            f"{setting} is cloudinary://, and there are no credentials; "
            "set CLOUDINARY_URL=cloudinary://key:secret@cloud in the environment."
        )
    if config.cloud_name != split.netloc:
        raise SettingError(
            f"{setting} names the cloud {split.netloc!r}, and CLOUDINARY_URL {config.cloud_name!r}."
        )
    try:
        local = LocalStorage(staging, durable=False, digest=digest, min_free=min_free, read_again=True)
    except OSError as error:
        raise SettingError(f"UPLOADS_STAGING: {staging} cannot be written: {error.strerror}.") from error
    return CloudinaryStorage(
        config,
        prefix,
        local=local,
        public=parse_flag(f"{setting}: public", options.get("public", "false")),
        timeout=timeout,
    )


class CloudinaryStorage:
    """A cloud, or what lies below a prefix in it. Nothing is asked of it before it is used."""

    at_once = FILES_AT_ONCE

    def __init__(
        self,
        config: Any,
        prefix: str = "",
        *,
        local: LocalStorage,
        public: bool = False,
        timeout: float = TIMEOUT,
    ) -> None:
        """``config``: the client library's; files are staged in ``local``."""
        self.cloud = str(config.cloud_name)
        self._prefix = f"{prefix}/" if prefix else ""
        self._local = local
        self._public = public
        self._timeout = urllib3.Timeout(connect=min(5.0, timeout), read=timeout)
        self._kind = {"resource_type": "raw", "type": "upload" if public else "authenticated"}
        given = {name: getattr(config, name) for name in _CREDENTIALS}
        self._account = {"cloud_name": self.cloud} | {name: value for name, value in given.items() if value}
        # All settings of a CLOUDINARY_URL are text.
        self._delivery = {"secure": str(config.secure).lower() != "false", "cname": config.cname}
        self._checked = -CHECKED
        # Uploads that may yet be carried out, although nobody waits for them: until when, and whether one looked.
        self._unsettled: dict[str, tuple[float, bool]] = {}
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return f"cloudinary://{self.cloud}/{self._prefix}".rstrip("/")

    @property
    def thumbnails(self) -> LocalThumbnails | None:
        """On this machine: what is lost of them is made again, and what is kept there is counted by the piece."""
        return self._local.thumbnails

    @property
    def chunks(self) -> ChunkFolder:
        """Files that arrive in chunks: in the staging folder of this machine."""
        return self._local.chunks

    def stage(self) -> StagedFile:
        return self._local.stage()

    def check_room(self, size: int) -> None:
        """On this machine, where files are staged."""
        self._local.check_room(size)

    def unused_key(self, key: str, size: int) -> str:
        """Rejected for an empty file: Cloudinary takes none."""
        check_key(key)
        if not size:
            raise Rejected.because("empty_not_kept")
        token = secrets.token_hex(8)
        key = numbered(key, token)
        while len(self.name_of(key)) > MAX_ID - _NUMBER and "/" in key:
            folder, _, name = key.rpartition("/")
            key = f"{folder.rpartition('/')[0]}/{name}".lstrip("/")
        if len(self.name_of(key)) > MAX_ID - _NUMBER:
            _, dot, extension = key.rpartition(".")
            key = f"{token}{dot}{extension[:16]}" if dot else token
        return key

    def commit(self, staged: StagedFile, key: str) -> str:
        name = self.name_of(key)
        if not staged.size:
            raise Rejected.because("empty_not_kept")
        answer = self._upload(staged, name)
        if answer.get("existing"):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        if (answer.get("public_id"), answer.get("bytes"), answer.get("etag")) != (
            name,
            staged.size,
            _md5(staged),
        ):
            # Whatever it made of the bytes, they are not these.
            with contextlib.suppress(OSError):
                self._destroy(name)
            raise OSError(errno.EIO, "Cloudinary kept something else than it was sent")
        if self._public:
            # Of the account's own host, and of this version: what was cached under this name is another one.
            staged.url = answer.get("secure_url")
        return key

    def _upload(self, staged: StagedFile, name: str) -> Any:
        send = uploader.upload if staged.size <= CHUNK else uploader.upload_large
        try:
            with _failures(), staged.open() as content:
                return send(
                    content,
                    public_id=name,
                    filename="file",
                    overwrite=False,
                    context={"mark": staged.mark},
                    chunk_size=CHUNK,
                    timeout=self._timeout,
                    **self._kind,
                    **self._account,
                )
        except Unanswered:
            with self._lock:
                self._unsettled[name] = time.monotonic() + SIGNATURE_LIFETIME, False
            raise

    def sync(self, committed: Iterable[tuple[StagedFile, str]]) -> None:
        """Cloudinary answers when it has the bytes for good."""

    def open(self, key: str) -> BinaryIO:
        return io.BufferedReader(_Download(self, self.name_of(key)), 64 << 10)

    def delete(self, key: str, mark: str | None = None) -> None:
        name = self.name_of(key)
        if mark is None:
            self._destroy(name)
            return
        until, looked = self._unsettled.get(name, (0.0, True))
        unsettled = time.monotonic() < until
        if not (unsettled and looked):
            found = self._resource(name)
            if found is not None and found.get("context", {}).get("custom", {}).get("mark") == mark:
                self._destroy(name)
            unsettled = unsettled and found is None
        with self._lock:
            if unsettled:
                self._unsettled[name] = until, True
                raise OSError(errno.EAGAIN, "an upload of this file may yet be carried out")
            self._unsettled.pop(name, None)

    def url(self, key: str, *, disposition: str, media_type: str, expires: int | None) -> str | None:
        if not self._public:
            return None
        url, _ = utils.cloudinary_url(
            self.name_of(key), cloud_name=self.cloud, **self._kind, **self._delivery
        )
        return str(url)

    def check(self) -> None:
        self._local.check()
        if time.monotonic() - self._checked < CHECKED:
            return
        with _failures():
            api.ping(timeout=self._timeout, **self._account)
        self._checked = time.monotonic()

    def clear_left_overs(self) -> None:
        self._local.clear_left_overs()

    def left_overs(self, age: float, *, remove: bool) -> Iterator[tuple[str, int]]:
        return self._local.left_overs(age, remove=remove)

    def keys(self) -> Iterator[tuple[str, int]]:
        cursor = None
        while True:
            with _failures():
                found = api.resources(
                    prefix=self._prefix,
                    max_results=500,
                    next_cursor=cursor,
                    timeout=self._timeout,
                    **self._kind,
                    **self._account,
                )
            for entry in found["resources"]:
                yield _unescaped(entry["public_id"].removeprefix(self._prefix)), entry["bytes"]
            cursor = found.get("next_cursor")
            if not cursor:
                return

    def has(self, key: str) -> bool:
        return self._resource(self.name_of(key)) is not None

    # ---- what is asked of Cloudinary

    def name_of(self, key: str) -> str:
        """The ``public_id`` of ``key``. ValueError for what is no key."""
        return self._prefix + _escaped(check_key(key))

    def _destroy(self, name: str) -> None:
        with _failures():
            # What a public URL showed goes from the caches too.
            uploader.destroy(name, invalidate=True, timeout=self._timeout, **self._kind, **self._account)

    def _resource(self, name: str) -> Any:
        """What Cloudinary knows of it; None where it has no such file."""
        try:
            with _failures():
                return api.resource(name, timeout=self._timeout, **self._kind, **self._account)
        except FileNotFoundError:
            return None

    def fetch(self, name: str, start: int) -> Any:
        """The answer that brings a file's bytes, where Cloudinary does so from ``start`` on, by a URL signed now."""
        expires_at = int(time.time()) + _FETCH
        url = utils.private_download_url(name, "", expires_at=expires_at, **self._kind, **self._account)
        try:
            answer = _pool.request(
                "GET",
                url,
                headers={"Range": f"bytes={start}-"} if start else {},
                timeout=self._timeout,
                retries=urllib3.Retry(connect=2, read=0, redirect=3),
                preload_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            # Its text has the signed URL.
            raise Unanswered(errno.EHOSTUNREACH, type(error).__name__) from None
        if answer.status in {200, 206}:
            return answer
        answer.close()
        if answer.status == 404:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        raise OSError(
            errno.EAGAIN if answer.status in {420, 429} else errno.EIO, f"download: {answer.status}"
        )


class _Download(FarFile):
    """A file there, read as it comes; from another place by another request."""

    def __init__(self, storage: CloudinaryStorage, name: str) -> None:
        self._storage = storage
        self._name = name
        self._answer = storage.fetch(name, 0)
        self._at = self._next = 0
        self._etag = self._answer.headers.get("ETag")
        self._size = int(self._answer.headers["Content-Length"])

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        if self._answer is None or self._next != self._at:
            self._go_to(self._at)
        data = self._read(wanted)
        if not data:
            raise OSError(errno.EIO, "Cloudinary sent less than it has")
        buffer[: len(data)] = data
        self._at = self._next
        return len(data)

    def _go_to(self, at: int) -> None:
        self._drop()
        self._answer = self._storage.fetch(self._name, at)
        if self._answer.headers.get("ETag") != self._etag:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        self._next = at if self._answer.status == 206 else 0
        while self._next < at and self._read(min(1 << 20, at - self._next)):
            pass

    def _read(self, wanted: int) -> bytes:
        try:
            data: bytes = self._answer.read(wanted)
        except urllib3.exceptions.HTTPError as error:
            self._drop()
            raise Unanswered(errno.EHOSTUNREACH, type(error).__name__) from None
        self._next += len(data)
        return data

    def _drop(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def close(self) -> None:
        if not self.closed:
            self._drop()
        super().close()


class Unanswered(OSError):
    """Cloudinary did not answer in time, or nothing that could be understood."""


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    """What fails in the client library as the OSError that it is."""
    try:
        yield
    except exceptions.Error as error:
        for kind, code in _ERRNO:
            if isinstance(error, kind):
                raise OSError(code, os.strerror(code)) from error
        if isinstance(error, exceptions.BadRequest):
            raise OSError(errno.EIO, f"Cloudinary: {error}") from error
        raise Unanswered(errno.EHOSTUNREACH, type(error).__name__) from error


def _md5(staged: StagedFile) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with staged.open() as content:
        while piece := content.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _escaped(key: str) -> str:
    """``key`` without what a ``public_id`` may not have (``?&#\\%<>+``), nor anything else that URLs quote in ASCII."""
    return re.sub(r"[^\w./-]", lambda found: "".join(f"~{byte:02X}" for byte in found[0].encode()), key)


def _unescaped(name: str) -> str:
    return re.sub(
        r"(?:~[0-9A-F]{2})+",
        lambda found: bytes.fromhex(found[0].replace("~", "")).decode(errors="replace"),
        name,
    )
