"""Clients that do on the wire exactly what a test says, and bodies for them to send."""

import contextlib
import http.client
import json
import socket
import struct
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from support import LiveServer

from dropzone_app.intake.request import DRAIN_SECONDS

BOUNDARY = "----engines"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
END = f"--{BOUNDARY}--\r\n".encode()

PATIENCE = 30
"""Seconds after which a server is taken to be silent for good."""


def part(key: str, filename: str, data: bytes) -> bytes:
    """One file of a form."""
    disposition = f'Content-Disposition: form-data; name="{key}"; filename="{filename}"'
    return f"--{BOUNDARY}\r\n{disposition}\r\n\r\n".encode() + data + b"\r\n"


def field(name: str, value: str) -> bytes:
    """One field of a form."""
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def form(files: Iterable[tuple[str, bytes]]) -> bytes:
    """A whole body: `file[0]`, `file[1]`, …"""
    parts = (part(f"file[{n}]", name, data) for n, (name, data) in enumerate(files))
    return b"".join(parts) + END


@dataclass(frozen=True)
class Answer:
    """What a client has read."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def files(self) -> list[dict[str, Any]]:
        """The files of a 201."""
        assert self.status == 201, self
        found: list[dict[str, Any]] = json.loads(self.text)["files"]
        return found


class Client:
    """A connection to a server, as a socket: what is sent is what the test wrote, and when."""

    def __init__(self, server: LiveServer) -> None:
        self.authority = server.url.removeprefix("http://")
        host, _, port = self.authority.partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send_head(self, headers: Mapping[str, str], path: str = "/upload", method: str = "POST") -> None:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_in_chunks(self, data: bytes, *, size: int, end: bool = True) -> None:
        """Send with chunked transfer coding; without `end`, more is announced to come."""
        # Many chunks in one packet: only how they are cut matters here.
        coded = bytearray()
        for start in range(0, len(data), size):
            chunk = data[start : start + size]
            coded += b"%x\r\n%s\r\n" % (len(chunk), chunk)
        self.send(bytes(coded) + (b"0\r\n\r\n" if end else b""))

    def read(self) -> Answer:
        """The answer, whole. http.client's errors where the server sent none."""
        response = http.client.HTTPResponse(self.socket, method="POST")
        with contextlib.closing(response):
            response.begin()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read().decode())

    def read_early(self) -> Answer:
        """The answer, whole, while nothing more is sent. TimeoutError where the server waits for more."""
        # Less than the server's own patience with a refused body: what comes after that was no early answer.
        self.socket.settimeout(DRAIN_SECONDS / 2)
        answer = self.read()
        self.socket.settimeout(PATIENCE)
        return answer

    def half_close(self) -> None:
        """Say that nothing more will be sent, and listen."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Go away: FIN."""
        self.socket.close()

    def reset(self) -> None:
        """Go away as a crashed program or an unplugged network does: RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Visitor:
    """Somebody with a session and a token of this server."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        with urllib.request.urlopen(f"{server.url}/csrf-token", timeout=PATIENCE) as response:
            self.token: str = json.load(response)["csrf_token"]
            self.cookie = response.headers["Set-Cookie"].partition(";")[0]

    def headers(self, length: int | None = None, **changes: str | None) -> dict[str, str]:
        """The headers of an upload. A change by name (`x_csrftoken="…"`) replaces one; None leaves it out."""
        headers: dict[str, str | None] = {
            "Cookie": self.cookie,
            "X-CSRFToken": self.token,
            "Content-Type": CONTENT_TYPE,
            "Content-Length": None if length is None else str(length),
        }
        known = {name.lower().replace("-", "_"): name for name in headers}
        headers |= {known.get(name, name.title().replace("_", "-")): value for name, value in changes.items()}
        return {name: value for name, value in headers.items() if value is not None}

    def upload(self, files: Iterable[tuple[str, bytes]]) -> Answer:
        """Send these files as one batch."""
        return self.send(form(files))

    def send(self, body: bytes, path: str = "/upload", **changes: str | None) -> Answer:
        """Send the whole body, then read, as a client does that never looks up before it has finished."""
        with Client(self.server) as client:
            client.send_head(self.headers(len(body), **changes), path)
            client.send(body)
            return client.read()

    def ask(self, path: str, question: object) -> Answer:
        """Ask what JSON asks."""
        return self.send(
            json.dumps(question).encode(), path, content_type="application/json", accept="application/json"
        )

    def delete(self, path: str) -> Answer:
        """Delete a file of theirs."""
        with Client(self.server) as client:
            client.send_head(self.headers(0), path, "DELETE")
            return client.read()

    def fetch(self, url: str) -> bytes:
        """The bytes behind a file's url."""
        request = urllib.request.Request(self.server.url + url, headers={"Cookie": self.cookie})
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            data: bytes = response.read()
            return data


def tus_offset(server: LiveServer, path: str) -> int:
    """How much of this upload by the tus protocol the server has."""
    request = urllib.request.Request(server.url + path, method="HEAD", headers={"Tus-Resumable": "1.0.0"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return int(answer.headers["Upload-Offset"])
