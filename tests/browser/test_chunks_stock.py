"""Stock Dropzone with `chunking: true` against the server, in a real Chromium: both versions that people have."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Request, Route, expect
from support import LiveServer

CHUNK = 50_000
PICKER = "input.dz-hidden-input"


@pytest.fixture
def server(live_server: Callable[..., LiveServer]) -> Iterator[LiveServer]:
    command = [sys.executable, str(Path(__file__).parent / "chunks_app.py"), "{port}"]
    return live_server(command=command)


@pytest.fixture(params=["5", "6"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big film.bin"
    path.write_bytes(os.urandom(12 * CHUNK + 321))
    return path


def open_page(page: Page, server: LiveServer, version: str, *options: str) -> None:
    page.goto(f"{server.url}/{version}?{'&'.join(options)}")
    shown = page.evaluate("Dropzone.version")
    assert shown == {"5": "5.9.3", "6": "6.3.5"}[version]


def files(page: Page, server: LiveServer) -> list[dict[str, Any]]:
    """What the server has, newest first."""
    answer = page.request.get(f"{server.url}/files", headers={"Accept": "application/json"})
    found: list[dict[str, Any]] = answer.json()["files"]
    return found


def index_of(request: Request) -> int:
    """The index of the chunk that a request brings."""
    match = re.search(rb'name="dzchunkindex"\r\n\r\n([0-9]+)\r\n', request.post_data_buffer or b"")
    assert match
    return int(match[1])


def assert_stored(page: Page, server: LiveServer, path: Path) -> None:
    """One record, the same bytes, nothing left over."""
    [file] = [file for file in files(page, server) if file["filename"] == path.name]
    assert page.request.get(server.url + file["url"]).body() == path.read_bytes()
    assert list((server.folder / "uploads" / ".staging").iterdir()) == []


@pytest.mark.parametrize("options", [[], ["parallel"]])
def test_a_big_file_goes_in_chunks_beside_a_small_one(
    page: Page, server: LiveServer, version: str, big: Path, tmp_path: Path, options: list[str]
) -> None:
    small = tmp_path / "small.txt"
    small.write_text("small\n")
    open_page(page, server, version, *options)
    statuses: list[int] = []
    page.on("response", lambda answer: statuses.append(answer.status) if "/upload" in answer.url else None)
    page.set_input_files(PICKER, [big, small])
    expect(page.locator(".dz-success.dz-complete")).to_have_count(2)
    expect(page.locator(".dz-error")).to_have_count(0)
    assert sorted(statuses) == [201, 201] + [202] * 12
    assert_stored(page, server, big)
    assert_stored(page, server, small)
    assert len(files(page, server)) == 2


def test_every_file_may_be_forced_into_chunks(
    page: Page, server: LiveServer, version: str, tmp_path: Path
) -> None:
    paths = [tmp_path / name for name in ("one.txt", "exactly.bin", "写真.txt")]
    for path, size in zip(paths, (1, CHUNK, 2 * CHUNK), strict=True):
        path.write_bytes(b"x" * size)
    open_page(page, server, version, "force", "parallel")
    page.set_input_files(PICKER, paths)
    expect(page.locator(".dz-success.dz-complete")).to_have_count(3)
    for path in paths:
        assert_stored(page, server, path)


@pytest.mark.parametrize("options", [[], ["parallel"]])
@pytest.mark.parametrize("lost", ["request", "answer"])
def test_chunks_that_are_lost_on_the_way_are_sent_again_and_make_one_file(
    page: Page, server: LiveServer, version: str, big: Path, options: list[str], lost: str
) -> None:
    open_page(page, server, version, *options)
    failed: list[int] = []

    def lose(route: Route) -> None:
        index = index_of(route.request)
        if index in {0, 5, 12} and index not in failed:
            failed.append(index)
            if lost == "answer":
                # The server has it, and nobody learns.
                route.fetch()
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/upload", lose)
    page.set_input_files(PICKER, big)
    expect(page.locator(".dz-success.dz-complete")).to_have_count(1)
    assert sorted(failed) == [0, 5, 12]
    assert_stored(page, server, big)


def test_a_file_that_is_not_accepted_is_never_green_and_says_why(
    page: Page, server: LiveServer, version: str, tmp_path: Path
) -> None:
    path = tmp_path / "notes.exe"
    path.write_bytes(os.urandom(5 * CHUNK))
    open_page(page, server, version, "parallel")
    statuses: list[int] = []
    page.on("response", lambda answer: statuses.append(answer.status) if "/upload" in answer.url else None)
    page.set_input_files(PICKER, path)
    expect(page.locator(".dz-error .dz-error-message")).to_have_text(
        re.compile(r"\.exe files are not accepted here\. Accepted: ")
    )
    expect(page.locator(".dz-success")).to_have_count(0)
    # Retried, as stock Dropzone does with every refusal, and told the same each time.
    assert set(statuses) == {415}
    assert files(page, server) == []
    assert list((server.folder / "uploads" / ".staging").iterdir()) == []


def test_the_same_file_dropped_after_a_restart_of_the_server_is_stored(
    page: Page, server: LiveServer, version: str, big: Path
) -> None:
    open_page(page, server, version)
    seen: list[int] = []

    def kill(route: Route) -> None:
        index = index_of(route.request)
        seen.append(index)
        if index == 6 and seen.count(6) == 1:
            server.kill()
            server.start()
        route.continue_()

    page.route("**/upload", kill)
    page.set_input_files(PICKER, big)
    expect(page.locator(".dz-success.dz-complete")).to_have_count(1)
    assert_stored(page, server, big)
