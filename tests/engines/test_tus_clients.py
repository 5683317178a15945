"""Programs that speak the tus protocol upload to the real server, are cut, and go on."""

import hashlib
import json
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines.fleet import Inventory, wait_until
from engines.wire import Visitor, tus_offset
from proxy import Proxy, Seen
from support import LiveServer, require

HERE = Path(__file__).parent / "tus"
UPLOAD = r"/tus/\w+"
DATA = random.Random(7).randbytes(6_000_000)
CUT = 40 << 16


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("tus")
    with LiveServer(folder, workers=2, env={"FLASK_UPLOADS_TYPES": "bin"}) as started:
        yield started


@pytest.fixture(params=["tus-js-client", "tuspy"])
def program(request: pytest.FixtureRequest) -> list[str]:
    if request.param == "tuspy":
        return [sys.executable, str(HERE / "tuspy_client.py")]
    return [require("node"), str(HERE / "tus_js_client.js")]


def sent(proxy: Proxy) -> list[Seen]:
    return [seen for seen in proxy.seen if seen.method == "PATCH"]


def test_a_client_goes_on_after_a_cut_a_killed_server_and_its_own_end(
    server: LiveServer, program: list[str], tmp_path: Path
) -> None:
    big = tmp_path / "big.bin"
    big.write_bytes(DATA)
    visitor = Visitor(server)
    before = len(Inventory(server.folder).records)
    wakes = threading.Event()
    with Proxy(server.url) as proxy:
        arguments = [f"{proxy.url}/tus/", str(big), str(tmp_path / "store"), visitor.cookie]

        def until_it_counts(path: str) -> None:
            wait_until(lambda: tus_offset(server, path) > 0, "the bytes before the cut to count")

        proxy.break_off(CUT, until_it_counts, method="PATCH", path=UPLOAD)
        proxy.stall(2_200_000, wakes, 1_500_000, method="PATCH", path=UPLOAD)
        client = subprocess.Popen([*program, *arguments])
        try:
            wait_until(lambda: len(sent(proxy)) >= 2, "the client to come again")
            first, second = sent(proxy)
            cut_at = int(second.headers["Upload-Offset"])
            assert int(first.headers["Upload-Offset"]) == 0
            # What came before the cut is not sent again.
            assert CUT - (1 << 20) <= cut_at <= CUT
            wait_until(lambda: tus_offset(server, second.path) > cut_at, "bytes that count while others come")
            server.kill()
        finally:
            client.kill()
            client.wait()
        wakes.set()
        server.start()
        done = subprocess.run([*program, *arguments], check=True, capture_output=True, text=True, timeout=60)
        third = sent(proxy)[2]
        assert third.path == second.path
        assert int(third.headers["Upload-Offset"]) > cut_at
    assert visitor.fetch(done.stdout.strip()) == DATA
    state = json.loads(visitor.fetch(f"/uploads/{second.path.rpartition('/')[2]}"))
    assert state["file"]["url"] == done.stdout.strip()
    assert state["file"]["filename"] == "big film.bin"
    assert state["file"]["sha256"] == hashlib.sha256(DATA).hexdigest()
    inventory = Inventory(server.folder)
    assert not inventory.disagreements()
    assert len(inventory.records) == before + 1


def test_a_client_may_send_checksums(server: LiveServer, tmp_path: Path) -> None:
    big = tmp_path / "big.bin"
    big.write_bytes(DATA)
    visitor = Visitor(server)
    arguments = [f"{server.url}/tus/", str(big), str(tmp_path / "store"), visitor.cookie, "checksums"]
    command = [sys.executable, str(HERE / "tuspy_client.py"), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert visitor.fetch(done.stdout.strip()) == DATA
