"""Slow clients and too slow ones, side by side on one server: the first are stored, the others let go."""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from engines.wire import Client, Visitor, form
from support import LiveServer

#: Seconds, in place of thirty: nobody here is silent for so long who shall be stored.
WINDOW = 5

APP = f"""
from dropzone_app import create_app
from dropzone_app.intake import patience

patience.WINDOW = {WINDOW}.0
app = create_app({{"UPLOADS_TYPES": "txt", "WTF_CSRF_ENABLED": False}})
"""

SERVERS = {
    "granian": ["granian", "--interface", "wsgi", "--port", "{port}", "--blocking-threads", "16", "--no-ws"],
    "gunicorn": ["gunicorn", "--worker-class", "gthread", "--threads", "16", "--bind", "127.0.0.1:{port}"],
}
SENTENCE = "The upload came too slowly, less than 1 KB a second;"


def descriptors(server: LiveServer) -> int:
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in server.pids())


@pytest.mark.parametrize("name", SERVERS)
def test_sixty_four_clients_of_10_kb_a_second_are_stored_while_slower_ones_are_let_go(
    name: str, live_server: Callable[..., LiveServer], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("slow")
    (folder / "slow_app.py").write_text(APP)
    program, *options = SERVERS[name]
    server = live_server(folder=folder, command=[sys.executable, "-m", program, *options, "slow_app:app"])
    visitor = Visitor(server)
    before = descriptors(server)
    body = form([("slow.txt", b"x" * (10_000 * (WINDOW + 1)))])

    def slow(_: int) -> int:
        with Client(server) as client:
            client.send_head(visitor.headers(len(body)))
            for start in range(0, len(body), 2_000):
                client.send(body[start : start + 2_000])
                time.sleep(0.2)
            client.socket.settimeout(90)
            return client.read().status

    def too_slow(bytes_a_second: int) -> tuple[int, bool]:
        with Client(server) as client:
            client.send_head(visitor.headers(5_000_000))
            sending = form([("slower.txt", b"x" * 5_000_000)])
            client.socket.settimeout(0.2)
            deadline, answer = time.monotonic() + 90, None
            while not answer and time.monotonic() < deadline:
                taken = bytes_a_second // 5
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    client.send(sending[:taken])
                sending = sending[taken:]
                with contextlib.suppress(TimeoutError):
                    client.socket.recv(1, socket.MSG_PEEK)
                    client.socket.settimeout(30)
                    answer = client.read()
            assert answer
            return answer.status, answer.text.startswith(SENTENCE)

    rates = [300, 300, 0, 0]
    with ThreadPoolExecutor(72) as pool:
        cut = pool.map(too_slow, rates)
        patient = pool.map(slow, range(64))
        assert list(cut) == [(408, True)] * len(rates)
        assert list(patient) == [201] * 64
    assert len(list((folder / "uploads").glob("*.txt"))) == 64
    deadline = time.monotonic() + 30
    # Kept for the next request: connections to the database.
    while descriptors(server) > before + 8 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert descriptors(server) <= before + 8
