"""Measure what slow clients cost a fast one: 64 that send 10 KB a second beside one that sends batches. Linux only.

python benchmarks/slow.py [--rounds 5] [--clients 64] [--batches 40] [--workers 2]

One documented server (`python -m dropzone_app`, its defaults). In turns the fast client uploads alone, and while the
slow ones are in the middle of their uploads; each slow client begins anew when it is done, and all that they send is
stored. Told are the means of its batches of ten files of 10 KiB and of a file of 64 MiB, and the ratios: at most 1.5.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from upload import SHIPPED, Load, Server, identity, machine, requests, running, source, upload, work_folder  # noqa: E402

BAR = 1.5
RATE = 10_000
#: Of the slow ones: ten seconds long.
SLOW = Load("slow", files=1, size=100_000, batch=1, connections=1, unit="")
BATCHES = Load("batch", files=10, size=10 << 10, batch=10, connections=1, unit="")
BIG = Load("big", files=1, size=64 << 20, batch=1, connections=1, unit="")


class Slow:
    """Clients that send a little every now and then, from one thread: they cost this program next to nothing."""

    STEP = 0.2

    def __init__(self, port: int, headers: list[str], clients: int) -> None:
        self.stored = 0
        self._port = port
        self._headers = headers
        self._clients = clients
        self._ends = threading.Event()
        self._under_way = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Slow:
        self._thread.start()
        # All have begun, and none is done.
        if not self._under_way.wait(60):
            raise RuntimeError("the slow clients do not get under way")
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _begin(self, size: int = SLOW.size) -> tuple[socket.socket, memoryview]:
        [[request]] = requests(replace(SLOW, size=size), b"s" * size, self._headers, self._port)
        assert isinstance(request, bytes)
        return socket.create_connection(("127.0.0.1", self._port), 60), memoryview(request)

    def _work(self) -> None:
        # As if they had come one after the other: some are nearly done, others have just begun.
        sizes = range(SLOW.size // self._clients, SLOW.size + 1, SLOW.size // self._clients)
        clients = [self._begin(size) for size in sizes]
        turn = 0
        due = time.monotonic()
        while not self._ends.is_set():
            for number, (connection, rest) in enumerate(clients):
                sent = connection.send(rest[: int(RATE * self.STEP)])
                clients[number] = connection, rest[sent:]
                if not rest[sent:]:
                    self._finish(connection)
                    clients[number] = self._begin()
            turn += 1
            if turn == 5:
                self._under_way.set()
            due += self.STEP
            self._ends.wait(max(0.0, due - time.monotonic()))
        for connection, _ in clients:
            connection.close()

    def _finish(self, connection: socket.socket) -> None:
        with connection:
            answer = connection.recv(1 << 16)
        if not answer.startswith(b"HTTP/1.1 201 "):
            raise RuntimeError(f"a slow client was answered {answer[:200]!r}")
        self.stored += 1


@contextlib.contextmanager
def crowd(port: int, headers: list[str], clients: int) -> Iterator[None]:
    """Slow clients, or nobody."""
    if not clients:
        yield
        return
    with Slow(port, headers, clients) as slow:
        yield
    if slow.stored < clients // 8:
        raise RuntimeError(f"only {slow.stored} of the slow uploads were stored")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--batches", type=int, default=40, help="of each turn")
    parser.add_argument("--workers", type=int, default=2, help="of the server")
    parser.add_argument("--dir", type=Path, help="where the server writes (default: the temporary folder)")
    options = parser.parse_args()
    took: dict[tuple[str, int], list[float]] = {}
    command = f"{SHIPPED} --workers {options.workers}"
    with work_folder(options.dir, keep=False) as work:
        big, content = source(BIG, work), os.urandom(BATCHES.size)
        with running(Server("default", command), work / "server") as (port, _):
            headers = identity(port)
            for turn in range(-1, options.rounds):
                for clients in (0, options.clients):
                    with crowd(port, headers, clients):
                        batches = [
                            upload(replace(BATCHES, name=f"{turn} {clients} {n}"), content, headers, port)
                            for n in range(options.batches)
                        ]
                        large = upload(replace(BIG, name=f"big {turn} {clients}"), big, headers, port)
                    if turn >= 0:
                        # Who waits for a slow one once has waited: no median of a turn's batches.
                        took.setdefault(("a batch of ten", clients), []).append(statistics.mean(batches))
                        took.setdefault(("a file of 64 MiB", clients), []).append(large)
        print(
            f"| beside {options.clients} clients of 10 KB/s | alone, ms | beside them, ms | ratio | at most |"
        )
        print("|---|--:|--:|--:|--:|")
        for what in ("a batch of ten", "a file of 64 MiB"):
            alone, beside = (statistics.median(took[what, clients]) for clients in (0, options.clients))
            print(f"| {what} | {alone * 1e3:.1f} | {beside * 1e3:.1f} | {beside / alone:.2f} | {BAR} |")
        print(f"\n{options.workers} workers. {machine(work)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
