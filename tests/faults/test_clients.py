"""Clients that break off, dawdle and lie, a thousand of each: all are refused in words or hung up on, and nothing
of them stays: no descriptor, no temporary file, no memory, no record.
"""

import asyncio
import contextlib
import os
import re
import resource
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engines.fleet import Engine, wait_until
from engines.wire import BOUNDARY, END, PATIENCE, Visitor, field, form, part
from support import LiveServer

from dropzone_app.__main__ import THREADS

COUNT = int(os.environ.get("CLIENTS", "1000"))
"""Of each kind."""
AT_ONCE = 48
MEMORY = 150_000
"""KiB that a worker may grow by, whatever comes."""

HUNG_UP = 0
"""In place of a status: no answer, the connection was closed."""
REFUSED = {400, 408, 411, 413, 414, 415, 417, 422, 431, HUNG_UP}
"""By us, or before us by the server: that has no words of ours, but a status."""

BODY = part("file[0]", "first.exe", b"1" * 20_000) + part("file[1]", "second.exe", b"2" * 40_000) + END

Send = Callable[[Visitor, int], list[bytes]]


def head(visitor: Visitor, length: int | None, *lines: str, **changes: str | None) -> bytes:
    headers = visitor.headers(length, **{"connection": "close", **changes})
    told = [f"{name}: {value}" for name, value in headers.items()]
    authority = visitor.server.url.removeprefix("http://")
    return "\r\n".join(["POST /upload HTTP/1.1", f"Host: {authority}", *told, *lines, "", ""]).encode()


def request(visitor: Visitor, body: bytes, *lines: str, **changes: str | None) -> bytes:
    return head(visitor, len(body), *lines, **changes) + body


def in_pieces(data: bytes, count: int) -> list[bytes]:
    """To be sent one by one, with time between them."""
    size = -(-len(data) // count)
    return [data[at : at + size] for at in range(0, len(data), size)]


CUTS = [0, 10, 60, 120, 10_000, 20_150, 20_300, 40_000, len(BODY) - 70, len(BODY) - 20]
"""Where a body ends too early: within each thing that it consists of."""


def cut(visitor: Visitor, n: int) -> list[bytes]:
    return [head(visitor, len(BODY)) + BODY[: CUTS[n % len(CUTS)]]]


def cut_in_chunked_coding(visitor: Visitor, n: int) -> list[bytes]:
    start = head(visitor, None, transfer_encoding="chunked")
    piece = BODY[: CUTS[n % len(CUTS)] or 1]
    return [
        start + b"%x\r\n%s\r\n%s" % (len(piece), piece, (b"0\r\n\r\n", b"", b"ffff\r\n", b"zz\r\n")[n % 4])
    ]


def lying_length(visitor: Visitor, n: int) -> list[bytes]:
    lengths = [str(len(BODY) - 1000), "-1", "1e3", "0x10", "9" * 18, "9" * 40, "", "1, 2"]
    length = lengths[n % len(lengths)]
    return [head(visitor, None, f"Content-Length: {length}") + BODY]


def two_lengths(visitor: Visitor, n: int) -> list[bytes]:
    others = (
        f"Content-Length: {len(BODY) - 7}",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
    )
    return [request(visitor, BODY, others[n % len(others)])]


def wrong_boundary(visitor: Visitor, n: int) -> list[bytes]:
    told = (
        "boundary=other",
        "boundary=",
        "",
        f"boundary={'b' * 4000}",
        "boundary=\xe9",
        f"boundary={BOUNDARY}x",
    )
    return [request(visitor, BODY, content_type=f"multipart/form-data; {told[n % len(told)]}")]


PARTS = b"".join(part(f"file[{n}]", "a.exe", b"x") for n in range(2000))
FIELDS = b"".join(field(f"uuid[{n}]", "x") for n in range(2000))


def thousands_of_parts(visitor: Visitor, n: int) -> list[bytes]:
    return [request(visitor, PARTS + END)]


def thousands_of_fields(visitor: Visitor, n: int) -> list[bytes]:
    return [request(visitor, FIELDS + BODY)]


def long_field(visitor: Visitor, n: int) -> list[bytes]:
    return [request(visitor, field("path[0]", "x" * 200_000) + BODY)]


def huge_headers(visitor: Visitor, n: int) -> list[bytes]:
    more = [f"X-{i}: {'x' * 1000}" for i in range(300)] if n % 2 else ["X: " + "x" * 600_000]
    return [request(visitor, BODY, *more)]


def huge_header_of_a_part(visitor: Visitor, n: int) -> list[bytes]:
    lines = f'Content-Disposition: form-data; name="file[0]"; filename="{"x" * 30_000}.exe"\r\n\r\n'
    return [request(visitor, f"--{BOUNDARY}\r\n{lines}".encode() + b"\r\n" + END)]


def repeated_keys(visitor: Visitor, n: int) -> list[bytes]:
    body = field("uuid[0]", "a") + field("uuid[0]", "b") + part("file[0]", "a.exe", b"a") * 3 + END
    return [request(visitor, body)]


def foreign_keys(visitor: Visitor, n: int) -> list[bytes]:
    keys = ("other", "file[x]", "file[0][1]", "../file", "file[" + "9" * 40 + "]", "\x00")
    return [request(visitor, part(keys[n % len(keys)], "a.bin", b"a") + END)]


def content_encoding(visitor: Visitor, n: int) -> list[bytes]:
    return [request(visitor, BODY, content_encoding=("gzip", "br", "deflate, gzip", "x" * 500)[n % 4])]


def pipelined(visitor: Visitor, n: int) -> list[bytes]:
    first = request(visitor, BODY, connection=None)
    return [first * (1 + n % 3) + request(visitor, BODY)]


def garbage(visitor: Visitor, n: int) -> list[bytes]:
    kinds = (
        b"\x16\x03\x01\x02\x00\x01\x00" + os.urandom(300),
        b"\r\n" * 2000,
        os.urandom(2000),
        b"POST /upload\r\n\r\n",
    )
    return [kinds[n % len(kinds)] + b"\r\n\r\n"]


def slow_headers(visitor: Visitor, n: int) -> list[bytes]:
    return in_pieces(request(visitor, BODY, content_encoding="gzip"), 6)[: 6 - n % 6]


def slow_body(visitor: Visitor, n: int) -> list[bytes]:
    return [head(visitor, len(BODY)), *in_pieces(BODY, 6)[: 6 - n % 6]]


KINDS: dict[str, Send] = {
    function.__name__.replace("_", " "): function
    for function in (
        *(cut, cut_in_chunked_coding, lying_length, two_lengths, wrong_boundary, thousands_of_parts),
        *(thousands_of_fields, long_field, huge_headers, huge_header_of_a_part, repeated_keys, foreign_keys),
        *(content_encoding, pipelined, garbage, slow_headers, slow_body),
    )
}


async def visit(visitor: Visitor, pieces: list[bytes], n: int) -> int:
    """Send, and leave: by turns listening, with FIN, and with RST. The status that was told."""
    reader, writer = await asyncio.open_connection("127.0.0.1", visitor.server.port)
    try:
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                if len(pieces) > 1:
                    await asyncio.sleep(0.02)
            match n % 4:
                case 0 | 1:
                    writer.write_eof()
                    text = await asyncio.wait_for(reader.read(1 << 20), PATIENCE)
                case 2:
                    return HUNG_UP
                case _:
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    return HUNG_UP
        except OSError:
            return HUNG_UP
    finally:
        writer.close()
    return int(text.split(b" ", 2)[1]) if text.startswith(b"HTTP/1.1 ") else HUNG_UP


def all_visit(visitor: Visitor, send: Send, count: int) -> Counter[int]:
    async def run() -> list[int]:
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(n: int) -> int:
            async with turn:
                return await visit(visitor, send(visitor, n), n)

        return await asyncio.gather(*map(one, range(count)))

    return Counter(asyncio.run(run()))


def sockets(engine: Engine) -> int:
    return sum(link.startswith("socket:") for link in engine.descriptors())


def files(engine: Engine) -> int:
    return sum(link.startswith("/") for link in engine.descriptors())


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    env = {"FLASK_UPLOADS_TYPES": "bin"}
    with LiveServer(tmp_path_factory.mktemp("clients"), workers=2, env=env) as server:
        engine = Engine("granian", server)
        visitor = engine.visitor()
        for n in range(20):
            assert visitor.upload([("before.bin", b"x" * n)]).status == 201
        engine.idle = sockets(engine)  # type: ignore[attr-defined]
        # What a first visit brings into memory stays there, and threads are begun as they are needed.
        for send in KINDS.values():
            all_visit(visitor, send, AT_ONCE)
        yield engine


def most_memory(engine: Engine) -> list[int]:
    """KiB that each worker had at most since it began."""
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in engine.door.pids()[1:]]
    return [int(text.partition("VmHWM:")[2].split()[0]) for text in texts]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_stays_of_a_thousand_clients(engine: Engine, kind: str) -> None:
    visitor = engine.visitor()
    wait_until(lambda: engine.staged() == 0, "the others to be gone")
    before, memory = engine.inventory(), most_memory(engine)
    open_before = files(engine)
    told = all_visit(visitor, KINDS[kind], COUNT)
    assert told.keys() <= REFUSED, told
    engine.wait_until_staged(0)
    wait_until(lambda: sockets(engine) <= engine.idle, "their connections to be gone")  # type: ignore[attr-defined]
    assert files(engine) <= open_before
    assert vars(engine.inventory()) == vars(before)
    grown = [peak - first for peak, first in zip(most_memory(engine), memory, strict=True)]
    assert max(grown) < MEMORY, grown
    assert visitor.upload([("after.bin", b"after")]).status == 201


def test_a_refusal_of_each_kind_is_a_sentence(engine: Engine) -> None:
    visitor, read = engine.visitor(), 0
    for send in KINDS.values():
        for n in range(0, 12, 4):
            [data] = [b"".join(send(visitor, n))]
            with socket.create_connection(("127.0.0.1", visitor.server.port), PATIENCE) as client:
                text = b""
                with contextlib.suppress(OSError):
                    client.sendall(data)
                    client.shutdown(socket.SHUT_WR)
                    while more := client.recv(1 << 16):
                        text += more
            told, _, sentence = text.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", told)
            # What the server says by itself has no words, and who is hung up on may miss the end of ours.
            if length and 0 < int(length[1]) <= len(sentence):
                assert b"content-type: text/plain; charset=utf-8" in told, (send, text)
                assert int(length[1]) > 20, (send, text)
                read += 1
    assert read > len(KINDS)


def test_who_holds_connections_open_in_silence_keeps_nobody_else_out(engine: Engine) -> None:
    visitor = engine.visitor()
    started = head(visitor, len(BODY))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # More than granian by itself takes to two workers at once.
    silent = [socket.create_connection(("127.0.0.1", visitor.server.port)) for _ in range(2 * COUNT)]
    try:
        for n, client in enumerate(silent):
            # Nothing, half a head, and half a body of so few that no worker can have all its threads held by them.
            client.sendall(b"" if n % 2 else started[: n % len(started)])
            if n < THREADS - 4:
                client.sendall(
                    started[n % len(started) if n % 2 == 0 else 0 :] + form([("a.bin", b"x")])[:50]
                )
        for _ in range(5):
            assert visitor.upload([("after.bin", b"after")]).status == 201
        # Granian ends them after 30 s; the others were not served because of that.
        silent[-1].setblocking(False)
        with pytest.raises(BlockingIOError):
            silent[-1].recv(1)
    finally:
        for client in silent:
            client.close()
    engine.wait_until_staged(0)
    assert not engine.inventory().disagreements()


def test_a_client_that_is_gone_without_a_word_is_asked_for(engine: Engine) -> None:
    """TCP's own timer (02 in /proc/net/tcp) runs for an upload that says no more; without it, for ever nothing does."""
    port = engine.visitor().server.port
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(head(engine.visitor(), len(BODY)))
        ends = [f"0100007F:{number:04X}" for number in (port, client.getsockname()[1])]

        def timer() -> str:
            rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
            return next((row[5] for row in rows if row[1:3] == ends), "")

        wait_until(lambda: timer().startswith("02:"), "a connection that is watched")
