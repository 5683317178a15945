"""A server that is killed, with all its workers, in the middle of its work: what it had answered is there,
and the next one tidies up what it had not."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from engines.fleet import Engine, Inventory
from engines.wire import Client, Visitor, form
from support import LiveServer

from dropzone_app.records import Records


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
