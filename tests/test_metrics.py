"""What Prometheus is told: off unless a token is set, and one sum for all workers."""

import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from engines.wire import Visitor as Sender
from prometheus_client.parser import text_string_to_metric_families
from support import LiveServer, runs
from test_chunks import BYTES, send
from webclient import EXE, PNG, Visitor, assert_refused, encode, visiting

from dropzone_app import SettingError

TOKEN = "a token of ours"


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Callable[..., Visitor]]:
    with visiting(tmp_path) as visit:
        yield visit


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def read(text: str) -> dict[str, float]:
    """Each number by its name and labels, as in `uploads_parts_total files stored`."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def numbers(visitor: Visitor) -> dict[str, float]:
    answer = visitor.get("/metrics", headers=bearer())
    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    return read(answer.text)


def test_there_are_none_unless_a_token_is_set_and_none_without_it(visit: Callable[..., Visitor]) -> None:
    assert_refused(visit().get("/metrics", headers=bearer()), 404)
    for more in ({}, {"UPLOADS_ACCESS_CODE": "tell nobody this"}):
        visitor = visit(UPLOADS_METRICS_TOKEN=TOKEN, **more)
        for headers in ({}, bearer("another"), bearer(""), {"Authorization": TOKEN + "x"}, bearer("\xe9")):
            assert_refused(visitor.get("/metrics", headers=headers), 401)
        answer = visitor.get("/metrics", headers=bearer())
        assert answer.status_code == 200
        assert "Set-Cookie" not in answer.headers


def test_parts_bytes_and_refusals_are_counted(visit: Callable[..., Visitor]) -> None:
    visitor = visit(UPLOADS_METRICS_TOKEN=TOKEN, UPLOADS_TYPES="png")
    for _ in range(2):
        visitor.upload(("file[0]", "a.png", PNG), ("file[1]", "b.exe", EXE), ("uuid[0]", "u"))
    visitor.upload(("file", "c.png", PNG), headers={"X-CSRFToken": "no"})
    found = numbers(visitor)
    assert found["uploads_parts_total files stored"] == 1
    assert found["uploads_parts_total files repeated"] == 1
    assert found["uploads_parts_total files extension"] == 2
    assert found["uploads_bytes_total files"] == len(PNG)
    assert found["uploads_requests_refused_total csrf_invalid"] == 1
    assert found["uploads_in_flight"] == 0


def test_an_upload_is_in_flight_while_it_arrives(visit: Callable[..., Visitor]) -> None:
    visitor = visit(UPLOADS_METRICS_TOKEN=TOKEN, WTF_CSRF_ENABLED=False)
    body, seen = encode(("file", "a.png", PNG)), []

    class Slow(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            seen.append(numbers(visitor)["uploads_in_flight"])
            return super().read(size)

    answer = visitor.post(b"", input_stream=Slow(body), environ_overrides={"CONTENT_LENGTH": str(len(body))})
    assert answer.status_code == 201
    assert set(seen) == {1}
    assert numbers(visitor)["uploads_in_flight"] == 0


def test_what_waits_and_what_was_swept_is_told(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    visitor = visit(UPLOADS_METRICS_TOKEN=TOKEN)
    before = numbers(visitor)["uploads_staging_bytes"]
    assert send(visitor, BYTES, 0).status_code == 202
    assert numbers(visitor)["uploads_staging_bytes"] > before
    sweeper = visitor.app.extensions["uploads_sweeper"]
    assert numbers(visitor)["uploads_sweeps_total"] == 0
    for path in (tmp_path / "uploads" / ".staging").iterdir():
        os.utime(path, (1, 1))
    sweeper._age = 0
    sweeper._sweep()
    found = numbers(visitor)
    assert (found["uploads_sweeps_total"], found["uploads_swept_total"]) == (1, 1)
    assert found["uploads_swept_bytes_total"] > 0
    assert found["uploads_staging_bytes"] == before


def test_without_its_library_the_start_says_what_to_install(
    visit: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(SettingError, match=r"pip install 'dropzone_app\[metrics\]'"):
        visit(UPLOADS_METRICS_TOKEN=TOKEN)


def test_all_workers_are_one_sum_also_when_one_of_them_is_killed(
    live_server: Callable[..., LiveServer], tmp_path: Path
) -> None:
    server = live_server(workers=2, env={"FLASK_UPLOADS_METRICS_TOKEN": TOKEN, "TMPDIR": str(tmp_path)})

    def asked() -> dict[str, float]:
        request = urllib.request.Request(f"{server.url}/metrics", headers=bearer())
        with urllib.request.urlopen(request, timeout=30) as answer:
            return read(answer.read().decode())

    def upload(number: int) -> int:
        return Sender(server).upload([(f"{number}.txt", b"text")]).status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(upload, range(24))) == {201}
    # Whichever of them answers.
    for _ in range(6):
        assert asked()["uploads_parts_total files stored"] == 24
    _, *workers = server.pids()
    victim = workers[-1]
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + 60
    found: dict[str, float] = {}
    while runs(victim) or not found:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        # A connection that waits to be accepted by the one that was killed is reset.
        with suppress(OSError):
            found = asked()
    assert (found["uploads_parts_total files stored"], found["uploads_in_flight"]) == (24, 0)
    assert list(tmp_path.glob("dropzone_app-metrics-*"))
    # A worker that was just made may miss the word to stop.
    server.kill()
