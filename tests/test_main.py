"""`python -m dropzone_app`, started in ways that people start it."""

import http.cookiejar
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from core import BOUNDARY, SAMPLES, file_part, form_body
from support import LiveServer, runs


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def start(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it where it is expected to end by itself."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("FLASK_")}
    command = [sys.executable, "-m", "dropzone_app", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=30)


def test_a_port_that_is_taken_ends_it_with_a_sentence(tmp_path: Path, taken_port: int) -> None:
    ended = start(tmp_path, "--port", str(taken_port))
    assert ended.returncode == 1
    assert ended.stderr == (
        f"127.0.0.1, port {taken_port}, cannot be listened on: Address already in use. "
        "Choose another with --port (or PORT= for make).\n"
    )
    assert ended.stdout == ""


def test_an_address_of_another_machine_ends_it_with_a_sentence(tmp_path: Path) -> None:
    ended = start(tmp_path, "--host", "192.0.2.1")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert ended.stderr.startswith("192.0.2.1, port 5000, cannot be listened on: ")


def test_an_address_that_others_reach_is_not_opened_to_everybody_by_mistake(tmp_path: Path) -> None:
    ended = start(tmp_path, "--host", "0.0.0.0", "--port", "0x")
    assert ended.returncode == 2
    ended = start(tmp_path, "--host", "0.0.0.0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "0.0.0.0 can be reached by others, and anybody could upload. Set FLASK_UPLOADS_ACCESS_CODE to a code that "
        "people have to know, or say --open where that is meant.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--port", "0"], "'0' is not a port from 1 to 65535"),
        (["--port", "65536"], "'65536' is not a port from 1 to 65535"),
        (["--port", "-1"], "'-1' is not a port from 1 to 65535"),
        (["--port", "http"], "'http' is not a port from 1 to 65535"),
        (["--workers", "0"], "'0' is not a number of processes, at least 1"),
        (["--worker-class", "gthread"], "unrecognized arguments"),
    ],
)
def test_an_argument_that_cannot_be_used_is_named(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    ended = start(tmp_path, *arguments)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == [], "nothing is made for a server that does not start"


def test_help_tells_every_option_and_its_default(tmp_path: Path) -> None:
    told = start(tmp_path, "--help").stdout
    for words in ("--host", "--port", "--workers", "default: 127.0.0.1", "default: 5000"):
        assert words in told


class Visitor:
    """A browser's cookie jar and token, over real HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(jar)

    def get(self, path: str) -> bytes:
        with self._opener.open(self.url + path, timeout=30) as answer:
            content: bytes = answer.read()
            return content

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        token = json.loads(self.get("/csrf-token"))["csrf_token"]
        headers = {"X-CSRFToken": token, "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        body = form_body(file_part("file[0]", name, content))
        request = urllib.request.Request(f"{self.url}/upload", body, headers)
        with self._opener.open(request, timeout=30) as answer:
            file: dict[str, Any] = json.loads(answer.read())["files"][0]
            return file


def test_what_was_uploaded_outlives_a_killed_server(live_server: Callable[..., LiveServer]) -> None:
    server = live_server(workers=2)
    visitor = Visitor(server.url)
    files = [visitor.upload("photo.png", SAMPLES["png"] + bytes([n])) for n in range(4)]
    server.kill()
    server.start()
    assert [visitor.get(file["url"]) for file in files] == [SAMPLES["png"] + bytes([n]) for n in range(4)]
    assert {file["key"] for file in files} == {"photo.png", "photo_1.png", "photo_2.png", "photo_3.png"}


def test_a_killed_worker_is_replaced_and_the_others_go_on(live_server: Callable[..., LiveServer]) -> None:
    server = live_server(workers=2)
    parent, *workers = server.pids()
    os.kill(workers[0], signal.SIGKILL)
    deadline = time.monotonic() + 30
    while set(map(runs, workers)) == {True} or len(server.pids()) <= len(workers):
        assert runs(parent) and time.monotonic() < deadline, server.log()
        time.sleep(0.05)

    def stored() -> set[str]:
        visitor = Visitor(server.url)
        return {visitor.upload(f"{n}.txt", b"x")["filename"] for n in range(6)}

    while True:
        # What the killed worker had accepted is lost to its clients; they ask again.
        try:
            assert stored() == {f"{n}.txt" for n in range(6)}
            break
        except OSError:
            assert time.monotonic() < deadline, server.log()
            time.sleep(0.05)


def test_all_workers_know_each_others_visitors(live_server: Callable[..., LiveServer]) -> None:
    """They share the secret key: else a token of one would be forged for the other."""
    visitor = Visitor(live_server(workers=3).url)
    files = [visitor.upload(f"{n}.txt", b"x") for n in range(12)]
    listed = {file["filename"] for file in files}
    assert listed == {f"{n}.txt" for n in range(12)}


def test_data_lie_in_the_folder_it_is_started_in_and_only_its_user_reads_them(
    live_server: Callable[..., LiveServer],
) -> None:
    server = live_server()
    Visitor(server.url).upload("a.txt", b"x")
    assert (server.folder / "uploads" / "a.txt").read_bytes() == b"x"
    assert (server.folder / "instance" / "app.sqlite").exists()
    assert (server.folder / "instance" / "secret_key").stat().st_mode & 0o777 == 0o600
    assert (server.folder / "instance").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("host", ["localhost", "::1"])
def test_it_listens_on_a_name_and_on_ipv6(live_server: Callable[..., LiveServer], host: str) -> None:
    if host == "::1" and not has_ipv6():
        pytest.skip("This machine has no IPv6 loopback.")
    command = [sys.executable, "-m", "dropzone_app", "--host", host, "--port", "{port}", "--workers", "1"]
    server = live_server(command=command, start=False)
    shown = f"[{host}]" if ":" in host else host
    server._ready = f"http://{shown}:{server.port}/healthz"
    server.start()
    assert f"http://{shown}:{server.port}/" in server.log()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_many_open_files_are_allowed(live_server: Callable[..., LiveServer]) -> None:
    """Every part in flight is one; the usual limit is 1,024, and a server may have ten batches of a hundred."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    server = live_server()
    for pid in server.pids():
        soft, _ = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        assert soft >= min(hard, 65_536) if hard > 0 else soft >= 65_536
