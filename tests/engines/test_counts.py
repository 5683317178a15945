"""What a batch costs as the kernel and the network see it: counted, with a hundred parts as with ten."""

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from core import codes, commit, make_app, site_of
from engines.postgresql import PostgreSQL
from engines.wire import Visitor
from support import LiveServer, missing, require

from dropzone_app.storage.staged import Journal

CONTENT = os.urandom(10 << 10)


@contextmanager
def system_calls(server: LiveServer, trace: Path) -> Iterator[Counter[str]]:
    """What the server's processes ask of the kernel in this block, told at its end."""
    pids = [word for pid in server.pids() for word in ("-p", str(pid))]
    command = [require("strace"), "-f", "-qq", "-o", str(trace), *pids]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    seen = Counter[str]()
    try:
        while any("\nTracerPid:\t0\n" in status for status in _threads(server)):
            if tracer.poll() is not None:
                missing(f"strace may not look at a process here: {tracer.communicate()[1]}")
            time.sleep(0.01)
        yield seen
    finally:
        # It lets go of them, and they go on.
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=30)
    for line in trace.read_text().splitlines():
        if call := re.match(r"\d+ +(\w+)\(", line):
            seen[call[1]] += 1


def _threads(server: LiveServer) -> Iterator[str]:
    for pid in server.pids():
        for status in Path(f"/proc/{pid}/task").glob("*/status"):
            yield status.read_text()


class Line:
    """A long line to a database: answers come when nothing was asked for a while, so that each is a turn."""

    SILENCE = 0.03

    def __init__(self, database: PostgreSQL, folder: Path) -> None:
        self.turns = 0
        self._folder = folder
        self._real = database.folder
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(folder / ".s.PGSQL.5432"))
        self._door.listen()

    def url(self, url: str) -> str:
        """The same place in the database, at the end of this line."""
        return url.replace(f"host={self._real}", f"host={self._folder}")

    def __enter__(self) -> Self:
        threading.Thread(target=self._answer, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # Whoever waits in accept() is woken by this, and not by closing it.
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _answer(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._door.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            server.connect(str(self._real / ".s.PGSQL.5432"))
            while True:
                asked, _, _ = select.select([client], [], [], self.SILENCE)
                if asked:
                    said = client.recv(1 << 16)
                    if not said:
                        return
                    server.sendall(said)
                elif select.select([server], [], [], 0)[0]:
                    said = server.recv(1 << 20)
                    if not said:
                        return
                    client.sendall(said)
                    self.turns += 1


def test_a_part_more_is_six_calls_more(live_server: Callable[..., LiveServer], tmp_path: Path) -> None:
    """And with durability one or two for the disk: a journal's waits are for the batch, others' for each file."""
    server = live_server(env={"FLASK_UPLOADS_TYPES": "bin"})
    visitor = Visitor(server)
    visitor.upload([(f"warm {n}.bin", CONTENT) for n in range(10)])
    cost = {}
    for parts in (10, 100):
        with system_calls(server, tmp_path / f"{parts}") as cost[parts]:
            files = visitor.upload([(f"{parts} {n}.bin", CONTENT) for n in range(parts)]).files
        assert len(files) == parts
    print(*(sorted(seen.items()) for seen in cost.values()), sep="\n")
    more = Counter({call: cost[100][call] - cost[10][call] for call in cost[100]})
    # Threads that watch and wake each other call now and then too.
    for call in ("openat", "newfstatat", "linkat", "close"):
        assert abs(more[call] - 90) <= 10, call
    assert abs(more["write"] - 90) <= 30
    # Rows share the pages of the database's log.
    assert more["pwrite64"] <= 90
    # Nobody locks, or waits for the log of the database, by the part.
    assert more["flock"] + more["fcntl"] + more["fdatasync"] <= 10
    journal = Journal.of(server.folder)
    assert (more["sync_file_range"], more["fsync"]) == ((180, 0) if journal else (90, 90))


def test_a_hundred_parts_are_no_more_turns_with_postgresql_than_ten(
    postgresql: PostgreSQL, tmp_path: Path
) -> None:
    url = postgresql.empty(tables=True)
    with Line(postgresql, tmp_path) as line:
        site = site_of(make_app(tmp_path, UPLOADS_TYPES="bin", UPLOADS_DATABASE=line.url(url)))
        commit(site, ("warm.bin", CONTENT))
        cost = {}
        for parts in (10, 100):
            before = line.turns
            batch = commit(site, *[(f"{parts} {n}.bin", b"x") for n in range(parts)])
            assert codes(batch) == [None] * parts
            cost[parts] = line.turns - before
        site.records.close()
    print(cost)
    # A client that had to wait for a processor in the middle of what it says gets its answer in two turns.
    assert cost[100] <= cost[10] + 20
