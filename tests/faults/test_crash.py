"""Kill -9 and SIGTERM under a load of batches, chunks and deletions: what was acknowledged is there, and nothing else.

`make soak` does the same a hundred and more times.
"""

from contextlib import ExitStack
from pathlib import Path

from engines.fleet import Engine
from engines.wire import Client, form
from faults.load import WORKERS, Load
from support import LiveServer

KILLS = 10


def started(folder: Path) -> LiveServer:
    return LiveServer(folder, workers=WORKERS, env={"FLASK_UPLOADS_TYPES": "bin"})


def test_ten_kills_and_two_restarts_under_load_lose_nothing(tmp_path: Path) -> None:
    with started(tmp_path) as server:
        load = Load(server, seed=10)
        for how in [*load.kills(KILLS, seed=10), "stop", "stop"]:
            load.kill(how)
            assert not load.losses
        for _ in range(20):
            if load.counts["commits undone"]:
                break
            load.kill("kill_all")
        assert load.counts["commits undone"], "never killed between reservation and record"
        load.finish()
        assert not load.losses


def test_what_a_server_had_accepted_when_it_was_told_to_stop_is_stored(tmp_path: Path) -> None:
    body = form([("a.bin", b"a" * 3_000_000), ("b.bin", b"b" * 1_000_000)])
    with started(tmp_path) as server, ExitStack() as stack:
        engine = Engine("granian", server)
        visitor = engine.visitor()
        clients = [stack.enter_context(Client(server)) for _ in range(6)]
        for client in clients:
            client.send_head(visitor.headers(len(body)))
            client.send(body[:2_500_000])
        engine.wait_until_staged(len(clients))
        server.terminate()
        for client in clients:
            client.send(body[2_500_000:])
        assert [len(client.read().files) for client in clients] == [2] * len(clients)
        server.stop()
        assert not engine.inventory().disagreements()
        assert len(engine.inventory().records) == 2 * len(clients)
