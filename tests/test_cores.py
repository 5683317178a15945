"""Where the workers of `python -m dropzone_app` run, and how clients come to them. Linux only."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from support import LiveServer, runs

CORES = os.sched_getaffinity(0)


def cores_of(pid: int) -> set[frozenset[int]]:
    """Those that the threads of a process may use."""
    return {frozenset(os.sched_getaffinity(int(task.name))) for task in Path(f"/proc/{pid}/task").iterdir()}


def workers_of(server: LiveServer) -> list[int]:
    return [pid for pid in server.pids()[1:] if b"--port" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def answered(server: LiveServer) -> bool:
    with socket.create_connection(("127.0.0.1", server.port), 30) as client:
        return ask(client)


def ask(client: socket.socket) -> bool:
    client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    return client.recv(64).startswith(b"HTTP/1.1 200 ")


def test_each_worker_keeps_to_a_core_of_its_own_and_who_follows_it_too(
    live_server: Callable[..., LiveServer],
) -> None:
    server = live_server(workers=len(CORES))
    # Threads are made as they are needed.
    assert all(answered(server) for _ in range(20))
    each = [{frozenset({core})} for core in sorted(CORES)]

    def found() -> list[set[frozenset[int]]]:
        return sorted((cores_of(pid) for pid in workers_of(server)), key=str)

    assert found() == each
    assert cores_of(server.pid) == {frozenset(CORES)}
    victim = workers_of(server)[-1]
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while runs(victim) or found() != each:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_after_a_reload_each_keeps_to_a_core_again(live_server: Callable[..., LiveServer]) -> None:
    """Each is made while the one before it still has its core."""
    server = live_server(workers=len(CORES))
    each = [{frozenset({core})} for core in sorted(CORES)]
    before = set(workers_of(server))
    os.kill(server.pid, signal.SIGHUP)
    deadline = time.monotonic() + 60
    while (
        before & set(workers := workers_of(server))
        or sorted((cores_of(pid) for pid in workers), key=str) != each
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert all(answered(server) for _ in range(20))
    # Threads that were made since, too.
    assert sorted((cores_of(pid) for pid in workers), key=str) == each


def test_a_server_of_another_container_takes_no_core(tmp_path: Path) -> None:
    """Containers may share the network, and in each the server's number is 1: what tells them apart is whose it is."""
    keep = """if True:
        import os, sys
        from dropzone_app import cores
        cores._numbering = {!r}.__len__
        cores.keep_to_one(1)
        print(*os.sched_getaffinity(0), flush=True)
        sys.stdin.read()
    """
    found = []
    with ExitStack() as stack:
        for namespace in "a", "a", "other":
            running = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", keep.format(namespace)],
                    cwd=tmp_path,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            assert running.stdout
            found.append(running.stdout.readline())
    first, second, elsewhere = found
    assert first == elsewhere == f"{min(CORES)}\n"
    assert len(CORES) == 1 or second != first


def test_as_many_hash_as_may_run(tmp_path: Path) -> None:
    show = "from dropzone_app.storage.staged import _threads; print(_threads._value)"
    for cores in CORES, {max(CORES)}:
        some = ",".join(str(core) for core in cores)
        command = ["taskset", "-c", some, sys.executable, "-c", show]
        assert subprocess.check_output(command, cwd=tmp_path, text=True) == f"{len(cores)}\n"


def test_where_not_each_can_have_one_all_use_all(live_server: Callable[..., LiveServer]) -> None:
    server = live_server(workers=len(CORES) + 1)
    assert answered(server)
    assert all(cores_of(pid) == {frozenset(CORES)} for pid in workers_of(server))


BESIDE = """
import json, os, subprocess, sys, time
from dropzone_app import cores
from dropzone_app.storage.staged import Digest
from dropzone_app.storage.together import together

def mine(*_):
    return sorted(os.sched_getaffinity(0))

def child():
    show = "import os; print(*sorted(os.sched_getaffinity(0)))"
    return [int(core) for core in subprocess.check_output([sys.executable, "-c", show]).split()]

cores.keep_to_one(os.getpid())
told = {"itself": mine(), "its threads": together(mine, [0], 1)[0], "its children": child()}
with cores.all_used():
    told["a decoder"] = child()
told["then"] = mine()
told["what waits for a store"] = together(mine, [0, 1], 2)[0]
digest = Digest()
for _ in range(6):
    digest.update(bytes(1 << 20))
while not digest._queue.empty():
    time.sleep(0.01)
told["a digest"] = sorted(os.sched_getaffinity(digest._thread.native_id))
digest.close()
print(json.dumps(told))
"""


def test_what_computes_beside_may_use_all(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", BESIDE], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    told = json.loads(run.stdout)
    everywhere, [one] = sorted(CORES), told["itself"]
    assert one in everywhere
    assert told == {
        "itself": [one],
        "its threads": [one],
        "its children": [one],
        "a decoder": everywhere,
        "then": [one],
        "what waits for a store": everywhere,
        "a digest": everywhere,
    }


def test_who_waits_to_be_accepted_waits_for_any_worker(live_server: Callable[..., LiveServer]) -> None:
    """Also where one is killed meanwhile: its like would have taken those that wait in its own queue with it."""
    server = live_server(workers=2)
    assert answered(server)
    first, second = workers_of(server)
    for worker in first, second:
        os.kill(worker, signal.SIGSTOP)
    clients = [socket.create_connection(("127.0.0.1", server.port), 30) for _ in range(12)]
    try:
        os.kill(first, signal.SIGKILL)
        os.kill(second, signal.SIGCONT)
        assert all(ask(client) for client in clients)
    finally:
        for client in clients:
            client.close()
