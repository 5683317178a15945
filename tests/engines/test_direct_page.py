"""The page whose files go straight to a real store on another origin, in Chromium."""

import hashlib
import os
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from browser.samples import drop, finished, listed, row, states, until, write
from engines.rgw import BUCKET, KEYS, RADOSGateway
from playwright.sync_api import Page, Route, expect
from proxy import Proxy, Seen
from support import LiveServer

PART = 5 << 20
LAST = 4321
#: What is put into the store by its client: nothing of the server's own has such a name.
PARTS = r"/.*-direct/whole"
QUEUE = "document.querySelector('.dropzone').batchUploader"


class Place:
    """A server whose files go straight to a store, the line to that store, and what lies there."""

    def __init__(self, gateway: RADOSGateway, store: Proxy, server: LiveServer, url: str) -> None:
        self.gateway, self.store, self.server, self.url = gateway, store, server, url
        #: What other tests have left there.
        self.before: set[str] = set()

    def parts(self) -> list[Seen]:
        """The parts that clients have sent to the store since the test began."""
        return [seen for seen in self.store.seen if seen.method == "PUT" and re.fullmatch(PARTS, seen.path)]

    def staged(self) -> list[str]:
        """What the store has of files that are not stored."""
        lying = [key for key in self.gateway.lying(self.url) if key.endswith("/whole")]
        return sorted({*lying, *self.gateway.unfinished(self.url)} - self.before)


@pytest.fixture(scope="module")
def _place(_rgw: RADOSGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("direct")
    with Proxy(_rgw.endpoint) as store:
        url = f"s3://{BUCKET}/{secrets.token_hex(6)}?endpoint_url={store.url}"
        env = {
            **KEYS,
            "FLASK_UPLOADS_STORAGE": url,
            "FLASK_UPLOADS_DIRECT": "true",
            "FLASK_UPLOADS_CHUNK_SIZE": "5 MiB",
            "FLASK_UPLOADS_TYPES": "bin,png,txt",
        }
        with LiveServer(folder, env=env) as server:
            command = [sys.executable, "-m", "flask", "--app", "dropzone_app", "uploads", "cors", server.url]
            subprocess.run(command, cwd=folder, env={**os.environ, **env}, check=True, timeout=60)
            yield Place(_rgw, store, server, url)


@pytest.fixture
def place(_place: Place) -> Iterator[Place]:
    _place.store.seen.clear()
    _place.before = set()
    _place.before = set(_place.staged())
    yield _place
    _place.store.clear()


@pytest.fixture
def opened(page: Page, place: Place) -> Page:
    page.goto(place.server.url)
    page.locator("[data-uploads-ready]").wait_for()
    return page


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Three parts, of which the last is short."""
    [path] = write(tmp_path, {"film.bin": os.urandom(2 * PART + LAST)})
    return path


def assert_stored(page: Page, place: Place, path: Path) -> None:
    [file] = [file for file in listed(page) if file["filename"] == path.name]
    assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert place.gateway.lying(place.url)[file["key"]] == path.stat().st_size
    assert place.staged() == []


def test_a_large_file_goes_to_the_store_and_small_ones_to_the_server(
    opened: Page, place: Place, film: Path, tmp_path: Path
) -> None:
    sent: list[tuple[str, str]] = []
    opened.on("request", lambda request: sent.append((request.method, request.url)))
    small = write(tmp_path, {f"{number}.txt": b"small" for number in range(5)})
    drop(opened, film, *small)
    assert finished(opened, 6)["stored"] == 6
    assert sorted(seen.length for seen in place.parts()) == [LAST, PART, PART]
    # Nothing of ours goes along: no cookie, no token.
    for seen in place.parts():
        names = {name.lower() for name in seen.headers}
        assert not {"cookie", "x-csrftoken", "x-requested-with", "authorization"} & names
    assert len([url for method, url in sent if method == "POST" and url.endswith("/upload/files")]) <= 3
    assert_stored(opened, place, film)


def test_parts_go_beside_one_another_and_whichever_comes_last_lets_the_file_be_completed(
    opened: Page, place: Place, film: Path
) -> None:
    released = threading.Event()
    held = place.store.hold(released, method="PUT", path=PARTS, lengths=range(PART, PART + 1))
    drop(opened, film)
    until(opened, f"[...{QUEUE}.chunks.files.values()].some(({{ missing }}) => missing.size === 1)")
    assert held.met == 1
    assert listed(opened) == []
    released.set()
    assert finished(opened, 1)["stored"] == 1
    assert sorted(seen.length for seen in place.parts()) == [LAST, PART, PART]
    assert_stored(opened, place, film)


def test_a_verdict_is_told_as_of_any_other_file(opened: Page, place: Place, tmp_path: Path) -> None:
    [fake] = write(tmp_path, {"fake.png": b"no picture" * (PART // 8)})
    drop(opened, fake)
    assert finished(opened, 1)["refused"] == 1
    expect(row(opened, "fake.png").locator("[data-dz-errormessage]")).to_contain_text("its content is not")
    assert (listed(opened), place.staged()) == ([], [])


def test_after_a_cut_only_what_is_missing_is_sent(opened: Page, place: Place, film: Path) -> None:
    ready = threading.Event()
    # Chromium itself repeats what was lost on a connection that it has used before.
    cut = place.store.block(
        ready, method="PUT", path=PARTS, lengths=range(LAST, LAST + 1), times=float("inf")
    )
    drop(opened, film)
    until(opened, f"[...{QUEUE}.chunks.files.values()].some(({{ missing }}) => missing.size === 1)")
    ready.set()
    expect(opened.locator("[data-uploads-banner]")).to_contain_text("is broken")
    place.store.clear()
    assert finished(opened, 1)["stored"] == 1
    assert cut.met > 0
    assert [seen.length for seen in place.parts()].count(PART) == 2
    assert_stored(opened, place, film)


def test_a_store_that_is_busy_is_waited_for(opened: Page, place: Place, film: Path) -> None:
    headers = {"Access-Control-Allow-Origin": place.server.url}
    busy = place.store.answer(503, "", headers, method="PUT", path=PARTS)
    drop(opened, film)
    assert finished(opened, 1)["stored"] == 1
    assert busy.met == 1
    assert_stored(opened, place, film)


def test_what_was_signed_too_long_ago_is_signed_anew_in_silence(
    opened: Page, place: Place, film: Path
) -> None:
    asked: list[str] = []

    def age(route: Route) -> None:
        answer = route.fetch()
        asked.append(route.request.url)
        text = answer.text()
        if len(asked) == 1:
            text = re.sub("X-Amz-Signature=[0-9a-f]{8}", "X-Amz-Signature=00000000", text)
            text = re.sub('"expires":[0-9]+', '"expires":0', text)
        route.fulfill(response=answer, body=text)

    opened.route("**/direct", age)
    drop(opened, film)
    assert finished(opened, 1)["stored"] == 1
    assert (len(asked), len(place.parts())) == (2, 3)
    assert_stored(opened, place, film)


def test_what_the_store_refuses_for_good_is_said_and_retried_by_hand(
    opened: Page, place: Place, film: Path
) -> None:
    headers = {"Access-Control-Allow-Origin": place.server.url}
    refused = place.store.answer(403, "", headers, method="PUT", path=PARTS, times=float("inf"))
    drop(opened, film)
    assert finished(opened, 1)["failed"] == 1
    # Each of three parts as it was signed first, and signed anew, unless another was told first that it is for good.
    assert 2 <= refused.met <= 6
    said = row(opened, film.name).locator("[data-dz-errormessage]")
    expect(said).to_contain_text("The store refused this (error 403).")
    place.store.clear()
    row(opened, film.name).get_by_role("button", name="Retry").click()
    assert finished(opened, 1)["stored"] == 1
    assert_stored(opened, place, film)


def test_it_is_paused_and_goes_on_and_after_a_reload_too(opened: Page, place: Place, film: Path) -> None:
    released = threading.Event()
    place.store.slow(100_000_000, method="PUT", path=PARTS)
    place.store.block(released, method="PUT", path=PARTS, times=float("inf"))
    drop(opened, film)
    until(opened, f"[...{QUEUE}.chunks.files.values()].some(({{ missing }}) => missing.size === 2)")
    row(opened, film.name).get_by_role("button", name="Pause").click()
    expect(row(opened, film.name)).to_contain_text("Paused")
    assert states(opened)[film.name] == "paused"
    opened.once("dialog", lambda dialog: dialog.accept())
    opened.reload()
    opened.locator("[data-uploads-ready]").wait_for()
    place.store.clear()
    released.set()
    # The page knows what is in the store before it is told which file it was.
    expect(opened.locator("[data-uploads-unfinished]")).to_contain_text("5.2 MB of 10.5 MB")
    place.store.seen.clear()
    drop(opened, film)
    assert finished(opened, 1)["stored"] == 1
    assert sorted(seen.length for seen in place.parts()) == [LAST, PART]
    assert_stored(opened, place, film)


def test_what_is_cancelled_is_aborted_there(opened: Page, place: Place, film: Path) -> None:
    released = threading.Event()
    place.store.block(released, method="PUT", path=PARTS, lengths=range(LAST, LAST + 1), times=float("inf"))
    drop(opened, film)
    until(opened, f"[...{QUEUE}.chunks.files.values()].some(({{ missing }}) => missing.size === 1)")
    assert place.staged() != []
    row(opened, film.name).get_by_role("button", name="Cancel").click()
    assert finished(opened, 1)["cancelled"] == 1
    released.set()
    assert place.staged() == []
    place.store.clear()
    row(opened, film.name).get_by_role("button", name="Send again").click()
    assert finished(opened, 1)["stored"] == 1
    assert_stored(opened, place, film)


def test_an_answer_that_was_lost_is_asked_for_again_and_nothing_is_stored_twice(
    opened: Page, place: Place, film: Path
) -> None:
    lost: list[Any] = []

    def lose(route: Route) -> None:
        if route.request.method != "POST" or lost:
            route.continue_()
            return
        lost.append(route.fetch().status)
        route.abort("connectionreset")

    opened.route(urljoin(place.server.url, "/uploads/*"), lose)
    drop(opened, film)
    assert finished(opened, 1)["stored"] == 1
    assert lost == [201]
    assert len(listed(opened)) == 1
    assert_stored(opened, place, film)
