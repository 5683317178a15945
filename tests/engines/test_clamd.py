"""A real clamd with a signature of our own: clean, found, too large to be scanned, killed, stopped, started again."""

import contextlib
import gzip
import io
import os
import random
import signal
import socket
import subprocess
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pictures
import pytest
from core import codes, commit, held, make_app, site_of, visible
from engines.fleet import wait_until
from support import free_port, require

from dropzone_app import ALL, Rejected, UploadSet
from dropzone_app.processing import Scanner, scan
from dropzone_app.uploads import Site

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
NOISE = random.Random(1).randbytes(400_000)


class Clamd:
    """A clamd process of our own, asked by its socket or its port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.socket = f"clamd:{folder}/clamd.sock"
        self.host = f"clamd://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        script = Path(__file__).with_name("clamd.sh")
        command = [str(script), require("clamd"), str(self.folder), str(self.port)]
        with (self.folder / "printed").open("ab") as printed:
            self._process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT)
        wait_until(self._answers, "clamd answers")

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(f"{self.folder}/clamd.sock")
                connection.sendall(b"zPING\0")
                return connection.recv(10) == b"PONG\0"
            except OSError:
                return False

    def send(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def shared_clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clamd]:
    clamd = Clamd(tmp_path_factory.mktemp("clamd"))
    yield clamd
    clamd.kill()


@pytest.fixture
def own_clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clamd]:
    """One that the test may kill."""
    clamd = Clamd(tmp_path_factory.mktemp("clamd"))
    yield clamd
    clamd.kill()


@pytest.fixture(params=["socket", "host"])
def address(request: pytest.FixtureRequest, shared_clamd: Clamd) -> str:
    found: str = getattr(shared_clamd, request.param)
    return found


def site_with(folder: Path, address: str, **options: object) -> Site:
    return site_of(make_app(folder, UploadSet("files", ALL, scan=address, **options)))  # type: ignore[arg-type]


def being_read(path: Path) -> int:
    """How many of this process's descriptors of a file have read some of it."""
    found = 0
    for fd in os.listdir("/proc/self/fd"):
        # Others come and go.
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"/proc/self/fd/{fd}") == str(path):
                found += "pos:\t0\n" not in Path(f"/proc/self/fdinfo/{fd}").read_text()
    return found


def zipped(content: bytes, depth: int = 1) -> bytes:
    for _ in range(depth):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inside.bin", content)
        content = out.getvalue()
    return content


def test_what_is_clean_is_stored_and_what_is_found_is_refused_by_itself(tmp_path: Path, address: str) -> None:
    site = site_with(tmp_path, address)
    batch = commit(
        site,
        ("clean.txt", b"a text"),
        ("plain.txt", EICAR),
        ("inside.bin", NOISE + EICAR),
        ("packed.zip", zipped(EICAR)),
        ("twice.zip", zipped(EICAR, 2)),
        ("empty.txt", b""),
    )
    assert codes(batch) == [None, "infected", "infected", "infected", "infected", None]
    assert visible(tmp_path) == ["files/clean.txt", "files/empty.txt"]
    assert held(tmp_path) == []
    refused = batch.verdicts[1].rejected
    assert refused
    assert refused.status == 422
    assert refused.text == (
        "a virus scanner found something in the file (Test.Eicar.Body.UNOFFICIAL), and it was not stored."
    )


@pytest.mark.parametrize("size", [600_000, 1_100_000, 20_000_000])
def test_what_is_over_a_limit_is_not_scanned_and_no_virus(tmp_path: Path, address: str, size: int) -> None:
    batch = commit(
        site_with(tmp_path, address), ("big.bin", NOISE * (size // len(NOISE) + 1)), ("a.txt", b"a")
    )
    assert codes(batch) == ["not_scannable", None]
    assert batch.verdicts[0].rejected
    assert batch.verdicts[0].rejected.status == 413
    assert "scanned" in batch.verdicts[0].rejected.text


def test_what_is_packed_over_a_limit_is_not_scanned(tmp_path: Path, address: str) -> None:
    batch = commit(
        site_with(tmp_path, address),
        ("deep.zip", zipped(EICAR, 25)),
        ("bomb.gz", gzip.compress(bytes(30_000_000) + EICAR)),
    )
    assert codes(batch) == ["not_scannable", "not_scannable"]


def test_what_arrived_is_scanned_also_where_something_else_is_stored(tmp_path: Path, address: str) -> None:
    site = site_with(tmp_path, address, strip_metadata=True)
    hidden = pictures.jpeg() + EICAR
    assert codes(commit(site, ("a.jpg", hidden), ("b.jpg", pictures.jpeg()))) == ["infected", None]


def test_a_scanner_that_is_gone_stores_nothing_and_one_that_is_back_does(
    tmp_path: Path, own_clamd: Clamd
) -> None:
    site = site_with(tmp_path, own_clamd.socket)
    assert codes(commit(site, ("a.txt", b"a"), uuid_0="first")) == [None]
    own_clamd.kill()
    assert codes(commit(site, ("b.txt", b"b"), uuid_0="second")) == ["not_scanned"]
    # What was stored is stored, and told so without asking anybody.
    assert codes(commit(site, ("a.txt", b"a"), uuid_0="first")) == [None]
    own_clamd.start()
    assert codes(commit(site, ("b.txt", b"b"), uuid_0="second")) == [None]
    assert visible(tmp_path) == ["files/a.txt", "files/b.txt"]


def test_a_scanner_that_is_killed_in_the_middle_stores_nothing(tmp_path: Path, own_clamd: Clamd) -> None:
    site = site_with(tmp_path, own_clamd.socket)
    own_clamd.send(signal.SIGSTOP)
    # Stopped, its kernel still takes the connection and what is sent.
    killer = threading.Timer(0.5, own_clamd.kill)
    killer.start()
    assert codes(commit(site, ("a.bin", NOISE))) == ["not_scanned"]
    killer.join()
    assert visible(tmp_path) == []
    assert held(tmp_path) == []
    own_clamd.start()


@pytest.mark.parametrize("way", ["socket", "host"])
def test_a_scanner_that_does_not_answer_is_given_up(tmp_path: Path, own_clamd: Clamd, way: str) -> None:
    site = site_with(tmp_path, f"{getattr(own_clamd, way)}?timeout=0.5")
    own_clamd.send(signal.SIGSTOP)
    began = time.monotonic()
    assert codes(commit(site, ("a.bin", NOISE), ("b.txt", b"b"))) == ["not_scanned", "not_scanned"]
    assert time.monotonic() - began < 30
    own_clamd.send(signal.SIGCONT)
    assert codes(commit(site, ("a.bin", NOISE))) == [None]


def test_no_more_scans_run_at_once_than_one_process_may(tmp_path: Path, own_clamd: Clamd) -> None:
    scanner = Scanner.parse("scan", own_clamd.socket + "?timeout=60")
    path = tmp_path / "file"
    path.write_bytes(NOISE)
    results: list[str] = []

    def ask() -> None:
        with path.open("rb") as file:
            try:
                scanner.scan(file)
                results.append("clean")
            except Rejected as rejected:
                results.append(rejected.code)

    own_clamd.send(signal.SIGSTOP)
    threads = [threading.Thread(target=ask) for _ in range(3 * scan.AT_ONCE)]
    for thread in threads:
        thread.start()
    wait_until(lambda: being_read(path) == scan.AT_ONCE, "as many scans as may are on their way")
    time.sleep(0.3)
    assert being_read(path) == scan.AT_ONCE
    own_clamd.send(signal.SIGCONT)
    for thread in threads:
        thread.join()
    assert results == ["clean"] * len(threads)
