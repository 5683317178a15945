"""A small proxy before a real server that does to requests what networks and proxies do: cut, lose, delay, refuse."""

import contextlib
import copy
import http.client
import io
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

UPLOADS = r"/upload(/\w+)?"
_BLOCK = 64 * 1024


@dataclass
class Rule:
    """What happens to the next `times` requests that fit by method, path and length; how many it met is in `met`."""

    act: Callable[["Handler"], None]
    method: str
    path: str
    times: float
    lengths: range
    met: int = 0


@dataclass
class Seen:
    """One request that came."""

    method: str
    path: str
    length: int
    headers: Mapping[str, str] = field(repr=False)
    at: float = field(default_factory=time.monotonic)


class Proxy:
    """Stands before the server at `upstream` and answers at `url`, in a `with`.

    A rule holds from when it is made; of several that fit, the first that is not used up.
    """

    def __init__(self, upstream: str, *, keep_alive: bool = True) -> None:
        """`keep_alive`: on a connection that it has used before, Chromium repeats by itself what was reset."""
        self.upstream = upstream
        self.seen: list[Seen] = []
        #: Bytes of bodies that came, whatever became of them.
        self.taken = 0
        self._rules: list[Rule] = []
        self.lock = threading.Lock()
        version = "HTTP/1.1" if keep_alive else "HTTP/1.0"
        handler = type("Bound", (Handler,), {"proxy": self, "protocol_version": version})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        # Else the system takes in megabytes that nobody has read, and a slow line is quick.
        self._server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BLOCK)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def uploads(self, path: str = UPLOADS) -> list[Seen]:
        """The posts of files that came."""
        return [seen for seen in self.seen if seen.method == "POST" and re.fullmatch(path, seen.path)]

    # What may happen to requests

    def answer(
        self,
        status: int,
        body: str = "",
        headers: Mapping[str, str] | None = None,
        *,
        kind: str = "text/plain; charset=utf-8",
        **which: Any,
    ) -> Rule:
        """Read the request to its end and answer it here."""

        def act(handler: Handler) -> None:
            handler.drain()
            handler.reply(status, {"Content-Type": kind, **(headers or {})}, body.encode())

        return self.rule(act, **which)

    def larger_than(self, limit: int) -> Rule:
        """Refuse bodies over `limit` bytes for good, as nginx does: 413 with a page of HTML."""

        def act(handler: Handler) -> None:
            if handler.length <= limit:
                handler.forward()
                return
            handler.drain()
            page = b"<html><h1>413 Request Entity Too Large</h1></html>"
            handler.reply(413, {"Content-Type": "text/html"}, page)

        return self.rule(act, times=float("inf"))

    def cut(self, after: int = 0, **which: Any) -> Rule:
        """Reset the connection when so many bytes of the body have come."""

        def act(handler: Handler) -> None:
            handler.drain(after)
            handler.reset()

        return self.rule(act, **which)

    def alter(self, **which: Any) -> Rule:
        """Forward the request with one bit of its file turned over."""

        def act(handler: Handler) -> None:
            handler.altered = True
            handler.forward()

        return self.rule(act, **which)

    def break_off(self, after: int, then: Callable[[str], object] = str, **which: Any) -> Rule:
        """Hand on so many bytes of the body, then lose both connections: the client's when `then(path)` is done."""

        def act(handler: Handler) -> None:
            handler.stop = after, BrokenOff
            with contextlib.suppress(BrokenOff):
                handler.forward()
            if handler.stop is None:
                then(handler.path)
                handler.reset()

        return self.rule(act, **which)

    def stall(self, after: int, until: threading.Event, bytes_per_second: int, **which: Any) -> Rule:
        """Hand on so many bytes of the body at this pace, and the rest when `until` is set."""

        def wait() -> Exception | None:
            until.wait(60)
            return None

        def act(handler: Handler) -> None:
            handler.pace = bytes_per_second
            handler.stop = after, wait
            handler.forward()

        return self.rule(act, **which)

    def lose(self, until: threading.Event | None = None, **which: Any) -> Rule:
        """Let the server do as asked, and reset the connection in place of an answer when `until` is set."""

        def act(handler: Handler) -> None:
            handler.ask()
            if until:
                until.wait(60)
            handler.reset()

        return self.rule(act, **which)

    def hold(self, until: threading.Event, **which: Any) -> Rule:
        """Forward the request, and give the answer when `until` is set."""

        def act(handler: Handler) -> None:
            answer = handler.ask()
            until.wait(60)
            handler.reply(*answer)

        return self.rule(act, **which)

    def block(self, until: threading.Event, **which: Any) -> Rule:
        """Take nothing of the request, and reset its connection when `until` is set."""

        def act(handler: Handler) -> None:
            until.wait(60)
            handler.reset()

        return self.rule(act, **which)

    def slow(self, bytes_per_second: int, **which: Any) -> Rule:
        """Take the body at this pace."""

        def act(handler: Handler) -> None:
            handler.pace = bytes_per_second
            handler.forward()

        return self.rule(act, **which)

    def clear(self) -> None:
        """Let everything through from now on."""
        with self.lock:
            self._rules.clear()

    def rule(
        self,
        act: Callable[["Handler"], None],
        *,
        method: str = "POST",
        path: str = UPLOADS,
        times: float = 1,
        lengths: range = range(sys.maxsize),
    ) -> Rule:
        rule = Rule(act, method, path, times, lengths)
        with self.lock:
            self._rules.append(rule)
        return rule

    def rule_for(self, method: str, path: str, length: int) -> Rule | None:
        with self.lock:
            for rule in self._rules:
                fits = rule.method == method and re.fullmatch(rule.path, path) and length in rule.lengths
                if fits and rule.met < rule.times:
                    rule.met += 1
                    return rule
        return None

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class BrokenOff(Exception):
    """The rest of a request is not handed on."""


class Handler(BaseHTTPRequestHandler):
    """One request, for what a rule does to it."""

    proxy: Proxy
    pace: int | None = None
    altered = False
    #: After so many bytes of the body are handed on this is called; what it returns is raised.
    stop: tuple[int, Callable[[], Exception | None]] | None = None

    def handle_any(self) -> None:
        self.length = self.left = int(self.headers.get("Content-Length") or 0)
        path = urlsplit(self.path).path
        self.proxy.seen.append(Seen(self.command, path, self.length, self.headers))
        rule = self.proxy.rule_for(self.command, path, self.length)
        # Either side may go away at any time: that is what this proxy is for.
        with contextlib.suppress(ConnectionError):
            rule.act(self) if rule else self.forward()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = handle_any  # noqa: N815

    def read(self, size: int) -> bytes:
        data = self.rfile.read(min(size, self.left))
        self.left -= len(data)
        with self.proxy.lock:
            self.proxy.taken += len(data)
        if self.pace:
            time.sleep(len(data) / self.pace)
        return data

    def drain(self, size: int | None = None) -> None:
        """Read so much of the body, or all of it."""
        wanted = self.length if size is None else min(size, self.length)
        while self.length - self.left < wanted and self.read(min(_BLOCK, wanted)):
            pass

    def body(self) -> bytes | None:
        """All of it; None where the client did not send all of it."""
        data = b"".join(iter(lambda: self.read(_BLOCK), b""))
        return None if self.left else data

    def with_body(self, data: bytes) -> Self:
        """The same request with a body that has come already."""
        other = copy.copy(self)
        other.rfile, other.left = io.BytesIO(data), len(data)
        other._headers_buffer = []  # type: ignore[attr-defined]
        return other

    def ask(self) -> tuple[int, Mapping[str, str], bytes]:
        """The server's answer to this request; 502 where it is not there."""
        address = urlsplit(self.proxy.upstream)
        upstream = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "connection":
                    upstream.putheader(name, value)
            upstream.endheaders()
            while self.left > 0 and (data := self.read(_BLOCK)):
                # Far from what stands around the file.
                if self.altered and len(data) == _BLOCK:
                    middle = len(data) // 2
                    data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
                    self.altered = False
                upstream.send(data)
                if self.stop and self.length - self.left >= self.stop[0]:
                    error, self.stop = self.stop[1](), None
                    if error:
                        raise error
            if self.left > 0:
                raise ConnectionResetError("the client is gone")
            answer = upstream.getresponse()
            headers = {
                name: value
                for name, value in answer.getheaders()
                if name.lower() not in {"transfer-encoding", "connection"}
                # That of a HEAD is of what is not sent.
                and (name.lower() != "content-length" or self.command == "HEAD")
            }
            return answer.status, headers, answer.read()
        except OSError:
            self.drain()
            return 502, {"Content-Type": "text/html"}, b"<html><h1>502 Bad Gateway</h1></html>"
        finally:
            upstream.close()

    def forward(self) -> None:
        self.reply(*self.ask())

    def reply(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204 and "content-length" not in map(str.lower, headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reset(self) -> None:
        """End the connection as a broken line does: by RST, not by FIN."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RD)
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Nothing: what came stands in `seen`."""
