"""Cloudinary for tests, where there is no such server to run: the calls that we make, as its documents have them.

It believes nothing: signatures, their age, keys, chunks and their order are checked, by code of its own.
"""

import base64
import contextlib
import hashlib
import json
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn, Self
from urllib.parse import quote, unquote

from werkzeug.exceptions import HTTPException
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

CLOUD, KEY, SECRET = "tests", "123456", "a-secret"
LEAST_CHUNK = 5 << 20
SIGNATURE_LIFETIME = 3600


class Refused(Exception):
    """A status and Cloudinary's way to say why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Asset:
    content: bytes
    version: int
    context: dict[str, str]

    @property
    def etag(self) -> str:
        return hashlib.md5(self.content).hexdigest()


@dataclass
class Sending:
    """Chunks of one file, so far."""

    total: int
    content: bytearray = field(default_factory=bytearray)


class FakeCloudinary:
    """A server in threads of this process. `url` is what UPLOADS_STORAGE takes, `settings` CLOUDINARY_URL."""

    def __init__(self, algorithm: str = "sha1") -> None:
        self._algorithm = algorithm
        self._lock = threading.Lock()
        self._assets: dict[tuple[str, str], Asset] = {}
        self._sendings: dict[str, Sending] = {}
        self._failures: dict[str, tuple[str, int]] = {}
        self._go_on = threading.Event()
        #: Every call that was answered, by the step that it is: upload, chunk, destroy, resource, download, ping, list.
        self.calls: list[str] = []
        self._server = make_server("127.0.0.1", 0, self._app, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.address = f"127.0.0.1:{self._server.port}"
        self.settings = (
            f"cloudinary://{KEY}:{SECRET}@{CLOUD}?upload_prefix=http://{self.address}"
            f"&secure=false&cname={self.address}&signature_algorithm={algorithm}"
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._go_on.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    # ---- for tests

    def empty(self, **options: str) -> str:
        """The URL of a new place without files; options are those of `cloudinary://`."""
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"cloudinary://{CLOUD}/{secrets.token_hex(6)}" + (f"?{query}" if query else "")

    def lying(self, url: str) -> dict[str, int]:
        """All that lies there, asked past the app: size by public_id below the prefix."""
        prefix = url.partition("?")[0].removeprefix(f"cloudinary://{CLOUD}/") + "/"
        with self._lock:
            return {
                name.removeprefix(prefix): len(asset.content)
                for (_, name), asset in self._assets.items()
                if name.startswith(prefix)
            }

    @contextlib.contextmanager
    def failing(self, step: str, how: str, after: int = 0) -> Iterator[None]:
        """Let all calls of a step fail but the first `after`.

        `how`: a status such as "500"; "html", no JSON; "cut", the connection ends unanswered; "lost", the same when
        all is done; "hang", no answer until the block ends; "wrong", another file's answer.
        """
        self._go_on.clear()
        self._failures[step] = how, after
        try:
            yield
        finally:
            del self._failures[step]
            self._go_on.set()

    # ---- the server

    @property
    def _app(self) -> Any:
        @Request.application
        def app(request: Request) -> Response:
            try:
                return self._answer(request)
            except Refused as refused:
                return _json({"error": {"message": str(refused)}}, refused.status)
            except HTTPException as error:
                return _json({"error": {"message": error.name}}, error.code or 500)

        return app

    def _answer(self, request: Request) -> Response:
        # Read to its end, so that a refusal does not reset the connection.
        request.get_data(cache=True, parse_form_data=True)
        step, work = self._route(request)
        how = self._failure(step)
        if how == "hang":
            self._go_on.wait(30)
        if how == "cut":
            _hang_up(request)
        if how == "html":
            return Response("<h1>Bad gateway</h1>", 502, mimetype="text/html")
        if how.isdigit():
            raise Refused(int(how), "Failed as a test has asked for")
        response = work()
        self.calls.append(step)
        if how == "lost":
            _hang_up(request)
        if how == "wrong":
            return _json({**json.loads(response.get_data()), "etag": "0" * 32})
        return response

    def _failure(self, step: str) -> str:
        with self._lock:
            how, left = self._failures.get(step, ("", 0))
            if left:
                self._failures[step] = how, left - 1
                return ""
            return how

    def _route(self, request: Request) -> tuple[str, Any]:
        path = unquote(request.path)
        if found := re.fullmatch(f"/v1_1/{CLOUD}/raw/(upload|destroy)", path):
            if request.method != "POST":
                raise Refused(405, "Method not allowed")
            self._check_signature(request.form.to_dict())
            if found[1] == "destroy":
                return "destroy", lambda: self._destroy(request.form.to_dict())
            step = "chunk" if "Content-Range" in request.headers else "upload"
            return step, lambda: self._upload(request)
        if path == f"/v1_1/{CLOUD}/raw/download":
            self._check_signature(request.args.to_dict())
            return "download", lambda: self._download(request)
        if found := re.fullmatch(f"/{CLOUD}/raw/(upload|authenticated)/(?:v[0-9]+/)?(.+)", path):
            if found[1] == "authenticated":
                raise Refused(401, "Unauthorized")
            return "delivery", lambda: self._send(request, found[1], found[2])
        self._check_basic(request)
        if path == f"/v1_1/{CLOUD}/ping":
            return "ping", lambda: _json({"status": "ok"})
        if found := re.fullmatch(f"/v1_1/{CLOUD}/resources/raw/(upload|authenticated)(?:/(.+))?", path):
            if found[2]:
                return "resource", lambda: _json(self._details(found[1], found[2]))
            return "list", lambda: self._list(found[1], request)
        raise Refused(404, f"No such call: {request.method} {path}")

    def _check_signature(self, given: dict[str, str]) -> None:
        """https://cloudinary.com/documentation/authentication_signatures"""
        unsigned = {"file", "cloud_name", "resource_type", "api_key", "signature"}
        if given.get("api_key") != KEY:
            raise Refused(401, "Unknown API key")
        text = "&".join(
            f"{name}={given[name]}".replace("&", "%26") for name in sorted(given) if name not in unsigned
        )
        if hashlib.new(self._algorithm, (text + SECRET).encode()).hexdigest() != given.get("signature"):
            raise Refused(401, f"Invalid Signature {given.get('signature')}. String to sign - '{text}'.")
        age = time.time() - int(given.get("timestamp", "0"))
        if not -SIGNATURE_LIFETIME < age < SIGNATURE_LIFETIME:
            raise Refused(400, "Stale request")

    def _check_basic(self, request: Request) -> None:
        expected = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {expected}":
            raise Refused(401, "api_secret mismatch")

    def _upload(self, request: Request) -> Response:
        form, file = request.form.to_dict(), request.files.get("file")
        content = file.read() if file else b""
        if not content:
            raise Refused(400, "Empty file")
        name, kind = form["public_id"], form.get("type", "upload")
        if len(name) > 255 or re.search(r"[?&#\\%<>+]", name) or name != name.strip(" /"):
            raise Refused(400, f"public_id ({name}) is invalid")
        if told := request.headers.get("Content-Range"):
            whole = self._take_chunk(request.headers["X-Unique-Upload-Id"], told, content)
            if whole is None:
                return _json({"done": False, "public_id": name, "bytes": len(content), "kind": "upload"})
            content = whole
        context = dict(pair.split("=", 1) for pair in form.get("context", "").split("|") if pair)
        with self._lock:
            taken = (kind, name) in self._assets
            if not taken or form.get("overwrite") not in {"0", "false"}:
                taken = False
                self._assets[kind, name] = Asset(content, time.time_ns() // 1_000_000_000, context)
        return _json({**self._details(kind, name), **({"existing": True} if taken else {})})

    def _take_chunk(self, id: str, told: str, content: bytes) -> bytes | None:
        """All bytes, with the last chunk."""
        found = re.fullmatch(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)", told)
        if not found:
            raise Refused(400, "Invalid Content-Range")
        start, last, total = map(int, found.groups())
        with self._lock:
            sending = self._sendings.setdefault(id, Sending(total))
            if (sending.total, len(sending.content)) != (total, start) or last - start + 1 != len(content):
                raise Refused(400, "Invalid chunk: out of order, or of another length")
            if last + 1 < total and len(content) < LEAST_CHUNK:
                raise Refused(400, "All parts except EOF-chunk must be larger than 5mb")
            sending.content += content
            if last + 1 < total:
                return None
            return bytes(self._sendings.pop(id).content)

    def _found(self, kind: str, name: str) -> Asset:
        with self._lock:
            try:
                return self._assets[kind, name]
            except KeyError:
                raise Refused(404, f"Resource not found - {name}") from None

    def _details(self, kind: str, name: str) -> dict[str, Any]:
        asset = self._found(kind, name)
        return {
            "public_id": name,
            "version": asset.version,
            "resource_type": "raw",
            "type": kind,
            "bytes": len(asset.content),
            "etag": asset.etag,
            "secure_url": f"http://{self.address}/{CLOUD}/raw/{kind}/v{asset.version}/{quote(name)}",
            **({"context": {"custom": asset.context}} if asset.context else {}),
        }

    def _destroy(self, form: dict[str, str]) -> Response:
        with self._lock:
            gone = self._assets.pop((form.get("type", "upload"), form["public_id"]), None)
        return _json({"result": "ok" if gone else "not found"})

    def _list(self, kind: str, request: Request) -> Response:
        prefix, most = request.args.get("prefix", ""), int(request.args.get("max_results", "10"))
        with self._lock:
            names = sorted(name for each, name in self._assets if each == kind and name.startswith(prefix))
        after = request.args.get("next_cursor", "")
        names = [name for name in names if name > after]
        more = {"next_cursor": names[most - 1]} if len(names) > most else {}
        return _json({"resources": [self._details(kind, name) for name in names[:most]], **more})

    def _download(self, request: Request) -> Response:
        if int(request.args.get("expires_at", "0")) < time.time():
            raise Refused(401, "The URL has expired")
        return self._send(request, request.args.get("type", "upload"), request.args["public_id"])

    def _send(self, request: Request, kind: str, name: str) -> Response:
        asset = self._found(kind, name)
        response = Response(_slowly(asset.content), mimetype="application/octet-stream")
        response.content_length = len(asset.content)
        response.set_etag(asset.etag)
        return response.make_conditional(request, accept_ranges=True, complete_length=len(asset.content))


def _slowly(content: bytes) -> Iterable[bytes]:
    for start in range(0, len(content), 1 << 16):
        yield content[start : start + (1 << 16)]


def _json(value: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(value), status, mimetype="application/json")


def _hang_up(request: Request) -> NoReturn:
    connection: socket.socket = request.environ["werkzeug.socket"]
    connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError
