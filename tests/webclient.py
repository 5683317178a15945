"""Visitors of the real app: forms sent as exact bytes, answers judged by the one contract for errors."""

import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from core import database_url
from corpus.samples import SAMPLES
from flask import Flask
from werkzeug.test import TestResponse

from dropzone_app import Uploads, UploadSet, create_app
from dropzone_app.records import upgrading

BOUNDARY = "----the-boundary-7f3a"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"

PNG = SAMPLES["png"]
PDF = SAMPLES["pdf"]
EXE = b"MZ\x90\0" + b"\0" * 60

#: (field, value) or, for a file, (key, filename, bytes)
Item = tuple[str, str | bytes] | tuple[str, str, bytes]


def encode(*items: Item) -> bytes:
    """A multipart body as browsers write it, in exactly this order."""
    body = b""
    for name, *rest in items:
        disposition = f'form-data; name="{name}"'
        content = rest[-1] if isinstance(rest[-1], bytes) else str(rest[-1]).encode()
        if len(rest) == 2:
            assert isinstance(rest[0], str)
            filename = rest[0].replace('"', "%22")
            disposition += f'; filename="{filename}"\r\nContent-Type: application/octet-stream'
        body += f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


class CountingInput(io.BytesIO):
    """A ``wsgi.input`` that tells how much of it was read."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


class Visitor:
    """Someone with a cookie jar of their own."""

    def __init__(self, app: Flask, prefix: str = "") -> None:
        self.app = app
        self.prefix = prefix
        self.client = app.test_client()

    def get(self, path: str, **options: Any) -> TestResponse:
        # Buffered: an answer that is not read to its end would keep its file open.
        return self.client.get(self.prefix + path, **{"buffered": True, **options})

    def token(self) -> str:
        token: str = self.get("/csrf-token").get_json()["csrf_token"]
        return token

    def post(
        self,
        body: bytes | CountingInput,
        path: str = "/upload",
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> TestResponse:
        """Post these bytes, with no header but those given."""
        if isinstance(body, CountingInput):
            options["input_stream"] = body
        else:
            options["data"] = body
        options.setdefault("content_type", CONTENT_TYPE)
        return self.client.post(self.prefix + path, headers=dict(headers or {}), **options)

    def upload(
        self, *items: Item, path: str = "/upload", headers: Mapping[str, str] | None = None, **options: Any
    ) -> TestResponse:
        """Upload as Dropzone does: the token and X-Requested-With in headers."""
        usual = {
            "X-CSRFToken": self.token(),
            "X-Requested-With": "XMLHttpRequest",
            "Accept": "application/json",
        }
        return self.post(encode(*items), path, {**usual, **(headers or {})}, **options)

    def store(self, *items: Item, **options: Any) -> list[dict[str, Any]]:
        """Upload what is known to be good; its Files."""
        answer = self.upload(*items, **options)
        assert answer.status_code == 201, answer.text
        files: list[dict[str, Any]] = answer.get_json()["files"]
        return files

    def files(self) -> list[dict[str, Any]]:
        """All my Files, as the first page of the list tells them."""
        files: list[dict[str, Any]] = self.get("/files", headers={"Accept": "application/json"}).get_json()[
            "files"
        ]
        return files

    def delete(self, path: str, headers: Mapping[str, str] | None = None) -> TestResponse:
        return self.client.delete(
            self.prefix + path, headers={"X-CSRFToken": self.token(), **(headers or {})}
        )


def make_app(folder: Path, **config: Any) -> Flask:
    """The app of its own, with its data below ``folder``."""
    with upgrading():
        return create_app(
            {
                "UPLOADS_STORAGE": f"file:{folder / 'uploads'}",
                "UPLOADS_DATABASE": database_url(folder / "instance"),
                "SECRET_KEY": "a key for tests",
                # What is answered does not depend on it, and a disk that others use too makes tests wait.
                "UPLOADS_DURABLE": False,
                **config,
            }
        )


@contextmanager
def visiting(folder: Path) -> Iterator[Callable[..., Visitor]]:
    """Starts apps on one folder: `visit(UPLOADS_TYPES="png")` is a new visitor of a new app."""
    with ExitStack() as stack:

        def visit(**config: Any) -> Visitor:
            app = make_app(folder, **config)
            stack.callback(app.extensions["uploads"].records.close)
            return Visitor(app)

        yield visit


@contextmanager
def hosting(folder: Path) -> Iterator[Callable[..., Flask]]:
    """Makes apps of somebody's own on one folder, not yet set up: `make(DROPZONE_MAX_FILES=3)`."""
    apps: list[Flask] = []

    def make(name: str = "host", *, options: dict[str, Any] | None = None, **config: Any) -> Flask:
        app = Flask(name, **(options or {}))
        app.config.from_mapping(
            SECRET_KEY="s",
            UPLOADS_DURABLE=False,
            UPLOADS_STORAGE=f"file:{folder / 'uploads'}",
            UPLOADS_DATABASE=database_url(folder),
        )
        app.config.from_mapping(config)
        apps.append(app)
        return app

    yield make
    for app in apps:
        if "uploads" in app.extensions:
            app.extensions["uploads"].records.close()


def host_visitor(tmp_path: Path, upload_set: UploadSet, **config: object) -> Visitor:
    """A visitor of a host app with this set."""
    app = Flask("host")
    app.config.from_mapping(
        SECRET_KEY="s",
        UPLOADS_DURABLE=False,
        UPLOADS_STORAGE=f"file:{tmp_path / 'uploads'}",
        UPLOADS_DATABASE=database_url(tmp_path),
        **config,
    )
    Uploads(app, upload_set)
    return Visitor(app)


def stored_names(folder: Path) -> list[str]:
    """What lies in the storage, staged files included."""
    root = folder / "uploads"
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def untraced(text: str) -> str:
    """The sentence of a fault of the server's, without the request that it must name at its end."""
    told = re.fullmatch(
        r"(.+[.!?])(?: Request [A-Za-z0-9._-]{1,64}\.|请求编号：[A-Za-z0-9._-]{1,64}。)", text
    )
    assert told, text
    return told[1]


def assert_refused(answer: TestResponse, status: int, text: str | None = None) -> None:
    """The contract of every error: plain text for people, never empty, never HTML, no path, no trace."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.text.strip()
    assert re.search(r"[.!?]$", answer.text)
    for word in ("<", "Traceback", "Error:", "/tmp", ".py", "sqlite", "Errno"):
        assert word not in answer.text
    told = answer.text
    if status >= 500:
        told = untraced(told)
    if text is not None:
        assert told == text
