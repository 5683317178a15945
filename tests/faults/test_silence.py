"""Clients that are there and send nothing any more, on granian alone: they are let go, and nobody else is."""

import contextlib
import json
import socket
import sys
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from engines.fleet import Engine, wait_until
from engines.wire import Client, Visitor, form
from support import LiveServer

from dropzone_app import __main__ as main
from dropzone_app.__main__ import THREADS

#: Seconds, in place of thirty: nobody here is silent for so long who shall be stored.
WINDOW = 5
APP = f"""
import time
from flask import Flask
from dropzone_app import Uploads, UploadSet
from dropzone_app.__main__ import _print_batches
from dropzone_app.intake import patience

def judge(part):
    time.sleep({2 * WINDOW})

patience.WINDOW = {WINDOW}.0
app = Flask(__name__)
app.config.update(SECRET_KEY="x", UPLOADS_CHUNK_SIZE="8 MB")
Uploads(app, UploadSet("texts", ("txt",), public=True), UploadSet("judged", ("txt",), checks=[judge]))
_print_batches()
"""
SENTENCE = "The upload came too slowly, less than 1 KB a second;"
BODY = form([("a.txt", b"x" * 5_000_000)])


def served(folder: Path, *options: str) -> LiveServer:
    """The documented way to serve an app of one's own, with one worker."""
    (folder / "silent_app.py").write_text(APP)
    script = Path(__file__).parents[2] / "deploy" / "granian.sh"
    env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "WEB_CONCURRENCY": "1"}
    command = ["env", "PORT={port}", "sh", str(script), *options, "silent_app:app"]
    return LiveServer(folder, env=env, command=command)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with served(tmp_path_factory.mktemp("silence")) as server:
        yield Engine("granian", server)


def refusals(engine: Engine) -> Counter[str]:
    lines = (engine.folder / "server.log").read_text().splitlines()
    codes: Counter[str] = Counter()
    for line in lines:
        if line.startswith("{"):
            codes.update(json.loads(line)["codes"])
    return codes


def fall_silent(visitor: Visitor, client: Client, n: int) -> None:
    """Begin an upload of one kind or another, and stop."""
    tus = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": "90000",
        "Upload-Metadata": f"filename {b64encode(b'a.txt').decode()}",
    }
    match n % 6:
        case 0:
            client.send_head(visitor.headers(len(BODY)))
            client.send(BODY[:4000])
        case 1:
            client.send_head(visitor.headers(len(BODY)))
        case 2:
            # So fast that the server asks for much at once.
            client.send_head(visitor.headers(len(BODY)))
            client.send(BODY[:1_500_000])
        case 3:
            client.send_head(visitor.headers(transfer_encoding="chunked"))
            client.send_in_chunks(BODY[:4000], size=1000, end=False)
        case 4:
            headers = {**visitor.headers(90000, content_type="application/offset+octet-stream"), **tus}
            client.send_head(headers, "/tus/")
            client.send(b"x" * 4000)
        case 5:
            client.send_head(visitor.headers(len(BODY), expect="100-continue"))


def read_last(client: Client) -> tuple[int, bool]:
    """The answer after any "100 Continue"."""
    client.socket.settimeout(10 * WINDOW)
    answer = client.read()
    return answer.status, answer.text.startswith(SENTENCE)


def test_as_many_silent_clients_as_there_are_threads_are_let_go_and_their_threads_serve_again(
    engine: Engine,
) -> None:
    visitor = engine.visitor()
    with ExitStack() as stack, ThreadPoolExecutor(THREADS) as pool:
        silent = [stack.enter_context(Client(engine.door)) for _ in range(THREADS)]
        for n, client in enumerate(silent):
            fall_silent(visitor, client, n)
        done = threading.Event()

        def trickle() -> None:
            while not done.wait(0.5):
                for client in silent[:12:6]:
                    with contextlib.suppress(OSError):
                        client.send(b"x")

        trickling = pool.submit(trickle)
        assert visitor.upload([("good.txt", b"good")]).status == 201
        answers = [read_last(client) for client in silent]
        done.set()
        trickling.result()
        assert answers == [(408, True)] * THREADS
    wait_until(lambda: engine.staged() == 0, "nothing of them")
    assert refusals(engine)["too_slow"] == THREADS
    # Each of these holds a thread of its own, which it could not if one were lost.
    body = form([("b.txt", b"x" * 90_000)])
    with ExitStack() as stack:
        together = [stack.enter_context(Client(engine.door)) for _ in range(THREADS)]
        for client in together:
            client.send_head(visitor.headers(len(body)))
            client.send(body[:40_000])
        engine.wait_until_staged(THREADS)
        for client in together:
            client.send(body[40_000:])
        assert [client.read().status for client in together] == [201] * THREADS
    assert not engine.inventory().disagreements()


def test_nobody_else_of_the_same_address_is_cut(engine: Engine) -> None:
    visitor = engine.visitor()
    text = b"y" * 30_000_000
    [file] = visitor.upload([("big.txt", text)]).files

    def slow_upload(_: int) -> int:
        body = form([("slow.txt", b"x" * 10_000 * 2 * WINDOW)])
        with Client(engine.door) as client:
            client.send_head(visitor.headers(len(body)))
            for start in range(0, len(body), 2000):
                client.send(body[start : start + 2000])
                time.sleep(0.2)
            return client.read().status

    def waits_for_its_answer() -> int:
        body = form([("judged.txt", b"x")])
        with Client(engine.door) as client:
            client.send_head(visitor.headers(len(body)), "/upload/judged")
            client.send(body)
            return client.read().status

    def slow_download() -> int:
        with Client(engine.door) as client:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            client.send_head({"Cookie": visitor.cookie}, file["url"], "GET")
            time.sleep(2 * WINDOW)
            return len(client.read().text)

    def keeps_its_connection() -> list[int]:
        with Client(engine.door) as client:
            client.send_head({"Cookie": visitor.cookie}, "/csrf-token", "GET")
            before = client.read().status
            time.sleep(2 * WINDOW)
            client.send_head({"Cookie": visitor.cookie}, "/csrf-token", "GET")
            return [before, client.read().status]

    with ThreadPoolExecutor(16) as pool, Client(engine.door) as silent:
        slow = pool.map(slow_upload, range(8))
        others = [pool.submit(one) for one in (slow_download, keeps_its_connection, waits_for_its_answer)]
        fall_silent(visitor, silent, 0)
        assert read_last(silent) == (408, True)
        assert list(slow) == [201] * 8
        assert [one.result() for one in others] == [len(text), [200, 200], 201]


def test_who_stops_in_the_head_or_before_it_is_let_go_by_granian(tmp_path: Path) -> None:
    with served(tmp_path, "--http1-header-read-timeout", "1000") as server, ExitStack() as stack:
        clients = [stack.enter_context(Client(server)) for _ in range(4)]
        clients[1].send(b"POST /upl")
        clients[2].send(b"POST /upload HTTP/1.1\r\nHost: a\r\n")
        # HTTP/2, which has no such end, and lets one connection hold all threads.
        clients[3].send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert [client.socket.recv(8) for client in clients] == [b""] * 4


def test_who_takes_nothing_of_an_answer_is_let_go_and_who_takes_little_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(main, "_TAKES_NOTHING", 1)
    answer = bytes(20_000_000)
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        main.look_after_clients(listening)
        theirs = [stack.enter_context(socket.create_connection(listening.getsockname())) for _ in range(2)]
        ours = [stack.enter_context(listening.accept()[0]) for _ in range(2)]
        nothing, little = (pool.submit(one.sendall, answer) for one in ours)
        for one in theirs:
            one.settimeout(30)
        while not nothing.done():
            assert theirs[1].recv(100_000)
            time.sleep(0.1)
        with pytest.raises(TimeoutError):
            nothing.result()
        with contextlib.suppress(TimeoutError):
            # All may be there before the sender says that it is done.
            theirs[1].settimeout(2)
            while not little.done():
                theirs[1].recv(1_000_000)
        little.result(30)
