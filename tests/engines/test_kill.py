"""A server that is killed, with all its workers, in the middle of its work: what it had answered is there,
and the next one tidies up what it had not."""

import contextlib
import http.client
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engines.fleet import Engine, Inventory, wait_until
from engines.wire import Client, Visitor, form
from support import LiveServer

from dropzone_app.records import Records

KILLED = (OSError, http.client.HTTPException)
"""What a client sees of it."""


def granian(folder: Path) -> LiveServer:
    return LiveServer(folder, workers=2, env={"FLASK_UPLOADS_TYPES": "bin"})


def test_a_killed_server_leaves_nothing_of_a_large_file_and_takes_it_again(tmp_path: Path) -> None:
    data = bytes(40_000_000)
    body = form([("first.bin", b"1" * 2_000_000), ("large.bin", data)])
    with granian(tmp_path) as server:
        visitor = Visitor(server)
        [kept] = visitor.upload([("before.bin", b"before")]).files
        with Client(server) as client:
            client.send_head(visitor.headers(len(body)))
            client.send(body[:20_000_000])
            Engine("granian", server).wait_until_staged(2)
            server.kill()
        server.start()
        inventory = Inventory(tmp_path)
        assert not inventory.disagreements()
        assert inventory.records == {kept["key"]: len(b"before")}
        # The secret was kept too: session and token still hold.
        assert visitor.fetch(kept["url"]) == b"before"
        assert [file["size"] for file in visitor.send(body).files] == [2_000_000, len(data)]


def test_a_server_killed_amid_many_batches_has_all_that_it_acknowledged(tmp_path: Path) -> None:
    acknowledged: dict[str, bytes] = {}
    undone = 0
    with granian(tmp_path) as server:
        visitor = Visitor(server)
        for killing in range(20):
            with ThreadPoolExecutor(4) as pool:
                for thread in range(4):
                    pool.submit(send_until_killed, visitor, f"{killing}-{thread}", acknowledged)
                wait_for_a_commit(tmp_path, after=len(acknowledged) + 40, acknowledged=acknowledged)
                server.kill()
            undone += len(Inventory(tmp_path, after_a_crash=True).unfinished)
            server.start()
            inventory = Inventory(tmp_path)
            assert not inventory.disagreements()
            assert acknowledged.keys() <= inventory.records.keys()
            if killing >= 4 and undone:
                break
        assert undone, "never killed between reservation and record"
    for key, data in acknowledged.items():
        assert Path(tmp_path, "uploads", key).read_bytes() == data


def send_until_killed(visitor: Visitor, name: str, acknowledged: dict[str, bytes]) -> None:
    """Send batches of ten, and note what is answered to be stored."""
    with contextlib.suppress(*KILLED):
        for n in range(10_000):
            files = [(f"{name}.bin", f"{name} {n} {position}".encode() * 700) for position in range(10)]
            answer = visitor.upload(files)
            for file, (_, data) in zip(answer.files, files, strict=True):
                acknowledged[file["key"]] = data


def wait_for_a_commit(folder: Path, *, after: int, acknowledged: dict[str, bytes]) -> None:
    """Wait until so many files are acknowledged, and then for a moment when a batch is half committed."""
    wait_until(lambda: len(acknowledged) >= after, f"{after} acknowledged files")
    uri = f"file:{folder}/instance/app.sqlite?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
        for _ in range(100_000):
            if database.execute("SELECT 1 FROM files WHERE state = 'committing' LIMIT 1").fetchone():
                return
    raise AssertionError("no batch was ever seen half committed")


RESERVE = """
import sys
from dropzone_app.records import Record, Records, new_id
Records(sys.argv[1]).reserve([
    Record(new_id(), "files", "owner", new_id(), "a.bin", "", "a.bin", 1, "application/octet-stream", None, 1)
])
"""


def test_what_a_dead_process_had_begun_is_given_to_one_that_undoes_it_and_to_no_other(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/app.sqlite"
    process = subprocess.Popen([sys.executable, "-c", RESERVE, url])
    # It has ended, and nobody has collected it yet: in a container without an init that stays so.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with contextlib.closing(Records(url)) as one, contextlib.closing(Records(url)) as other:
        assert [record.key for record in one.claim_abandoned()] == ["a.bin"]
        assert other.claim_abandoned() == []
    assert process.wait() == 0
