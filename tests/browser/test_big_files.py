"""Files that our page sends in chunks, in Chromium: beside small ones, over pauses, cuts, restarts and reloads."""

import contextlib
import hashlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from browser.samples import counts, drop, everything, finished, listed, row, states, until, write
from playwright.sync_api import Error, Page, expect
from proxy import UPLOADS, Proxy
from support import LiveServer

CHUNK = 140_000
#: Of the film that most tests send.
CHUNKS = 9
#: Of those, how many a stalled line lets through.
PASSING = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The real server with small chunks. Each page is its own owner."""
    env = {"FLASK_UPLOADS_CHUNK_SIZE": str(CHUNK), "FLASK_UPLOADS_TYPES": "bin,txt,png"}
    with LiveServer(tmp_path_factory.mktemp("big-files"), env=env) as started:
        yield started


@pytest.fixture
def proxy(server: LiveServer) -> Iterator[Proxy]:
    with Proxy(server.url) as started:
        yield started


@pytest.fixture
def big(tmp_path: Path) -> Path:
    return film(tmp_path, (CHUNKS - 1) * CHUNK + 321)


@pytest.fixture
def proxied(page: Page, proxy: Proxy) -> Page:
    """The page behind the proxy, open and ready."""
    return opened(page, proxy.url)


def film(folder: Path, size: int, name: str = "big film.bin") -> Path:
    [path] = write(folder, {name: os.urandom(size)})
    return path


def opened(page: Page, url: str) -> Page:
    page.goto(url)
    page.locator("[data-uploads-ready]").wait_for()
    return page


def note_chunks(page: Page) -> None:
    """Let the page keep the fields of each chunk that it sends from now on, for `chunks`."""
    page.evaluate("""() => {
      window.chunks = [];
      document.querySelector(".dropzone").dropzone.on("sending", (file, xhr, body) => {
        if (body.has("dzuuid")) window.chunks.push(Object.fromEntries(body));
      });
    }""")


def chunks(page: Page) -> list[dict[str, str]]:
    found: list[dict[str, str]] = page.evaluate("window.chunks")
    return found


def again(page: Page) -> None:
    """Load the page anew, as a person does who has lost patience."""
    page.once("dialog", lambda dialog: dialog.accept())
    page.reload()
    page.locator("[data-uploads-ready]").wait_for()


class Stalled:
    """A line that lets some chunks through, and then nothing more until `release`."""

    def __init__(self, proxy: Proxy, passing: int = PASSING, path: str = UPLOADS, **which: Any) -> None:
        self._released = threading.Event()
        proxy.slow(100_000_000, times=passing, path=path, **which)
        self._rule = proxy.block(self._released, times=float("inf"), path=path)

    def wait(self, page: Page, passed: int = PASSING) -> dict[str, Any]:
        """Wait until the server has so many chunks of the one file that is on its way.

        Its state, with its uuid and the indexes of the chunks that are missing: neighbours may overtake one another.
        """
        deadline = time.monotonic() + 90
        while True:
            left = unfinished(page)
            for uuid, state in left.items():
                there = {at // CHUNK for start, end in state["ranges"] for at in range(start, end, CHUNK)}
                if len(there) == passed:
                    missing = sorted(set(range(-(-state["size"] // CHUNK))) - there)
                    return {**state, "uuid": uuid, "missing": missing}
            assert time.monotonic() < deadline, json.dumps(left)
            page.wait_for_timeout(50)

    def release(self) -> None:
        self._rule.times = 0
        self._released.set()


def indexes(page: Page) -> list[int]:
    return sorted(int(chunk["dzchunkindex"]) for chunk in chunks(page))


def assert_stored(page: Page, path: Path) -> dict[str, Any]:
    """One record, the same bytes, nothing left over; the record."""
    [file] = [file for file in listed(page) if file["filename"] == path.name]
    assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert page.request.get(urljoin(page.url, file["url"])).body() == path.read_bytes()
    assert_nothing_unfinished(page)
    return file


def assert_nothing_unfinished(page: Page) -> None:
    """What a proxy has let through after all is taken away a moment later."""
    deadline = time.monotonic() + 60
    while left := unfinished(page):
        assert time.monotonic() < deadline, left
        page.wait_for_timeout(100)


def unfinished(page: Page) -> dict[str, Any]:
    """What the server has begun to receive for the person at this page."""
    found: dict[str, Any] = page.request.get(urljoin(page.url, "/uploads")).json()["uploads"]
    return found


# ---- on a good day


def test_a_big_file_goes_in_chunks_while_small_ones_go_in_batches(
    page: Page, server: LiveServer, tmp_path: Path, big: Path
) -> None:
    small = write(tmp_path / "small", {f"{n}.txt": b"small\n" * n for n in range(1, 61)})
    opened(page, server.url)
    note_chunks(page)
    drop(page, big, *small)
    assert finished(page, 61)["stored"] == 61
    file = assert_stored(page, big)
    assert len(listed(page)) >= 50
    sent = chunks(page)
    assert indexes(page) == list(range(CHUNKS))
    assert {chunk["dzuuid"] for chunk in sent} == {file["uuid"]}
    assert all(len(chunk["dzchunksha256"]) == 64 for chunk in sent)
    assert [chunk.get("sha256") for chunk in sent if chunk["dzchunkindex"] == str(CHUNKS - 1)] == [
        file["sha256"]
    ]


def test_a_file_in_a_folder_keeps_its_path_and_is_undone_as_any_other(
    page: Page, server: LiveServer, tmp_path: Path
) -> None:
    path = film(tmp_path / "holiday" / "day 1", 3 * CHUNK)
    opened(page, server.url)
    drop(page, tmp_path / "holiday")
    assert finished(page, 1)["stored"] == 1
    assert assert_stored(page, path)["path"] == "holiday/day 1"
    page.get_by_role("button", name="Undo this drop").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    until(page, "document.querySelector('.dropzone').batchUploader.counts.deleted === 1")
    assert listed(page) == []


def test_a_refusal_costs_one_chunk_and_is_told_as_any_other(
    page: Page, server: LiveServer, tmp_path: Path
) -> None:
    [fake] = write(tmp_path, {"fake.png": b"no picture" * (CHUNK // 2)})
    opened(page, server.url)
    note_chunks(page)
    drop(page, fake)
    assert finished(page, 1)["refused"] == 1
    expect(row(page, "fake.png").locator("[data-dz-errormessage]")).to_contain_text("its content is not")
    assert indexes(page) == [0]
    assert unfinished(page) == {}


# ---- pauses and ends


def test_one_file_is_paused_and_goes_on_where_it_was(
    proxied: Page, proxy: Proxy, tmp_path: Path, big: Path
) -> None:
    other = film(tmp_path, 3 * CHUNK, "other.bin")
    note_chunks(proxied)
    line = Stalled(proxy)
    drop(proxied, big)
    line.wait(proxied)
    row(proxied, big.name).get_by_role("button", name="Pause").click()
    expect(row(proxied, big.name)).to_contain_text("Paused")
    assert states(proxied)[big.name] == "paused"
    line.release()
    drop(proxied, other)
    until(proxied, "document.querySelector('.dropzone').batchUploader.counts.stored === 1")
    assert states(proxied) == {big.name: "paused", other.name: "stored"}
    row(proxied, big.name).get_by_role("button", name="Resume").click()
    assert finished(proxied, 2)["stored"] == 2
    assert_stored(proxied, big)
    # What was under way left once more.
    assert len(indexes(proxied)) <= CHUNKS + 3 + 3


def test_a_pause_of_all_stops_a_big_file_too(proxied: Page, proxy: Proxy, big: Path) -> None:
    note_chunks(proxied)
    line = Stalled(proxy)
    drop(proxied, big)
    line.wait(proxied)
    proxied.locator("[data-uploads-actions]").get_by_role("button", name="Pause").click()
    expect(proxied.locator("[data-uploads-banner]")).to_have_text("Paused.")
    sent = len(indexes(proxied))
    line.release()
    proxied.wait_for_timeout(400)
    assert len(indexes(proxied)) == sent
    proxied.locator("[data-uploads-actions]").get_by_role("button", name="Resume").click()
    assert finished(proxied, 1)["stored"] == 1
    assert len(indexes(proxied)) <= CHUNKS + 3
    assert_stored(proxied, big)


def test_a_cancelled_file_leaves_nothing_on_the_server(proxied: Page, proxy: Proxy, big: Path) -> None:
    note_chunks(proxied)
    line = Stalled(proxy)
    drop(proxied, big)
    line.wait(proxied)
    row(proxied, big.name).get_by_role("button", name="Cancel").click()
    line.release()
    assert finished(proxied, 1)["cancelled"] == 1
    assert_nothing_unfinished(proxied)
    row(proxied, big.name).get_by_role("button", name="Send again").click()
    assert finished(proxied, 1)["stored"] == 1
    assert_stored(proxied, big)


# ---- on a bad day


def test_after_a_cut_only_what_is_missing_is_sent(proxied: Page, proxy: Proxy, big: Path) -> None:
    note_chunks(proxied)
    proxy.slow(2_000_000, times=6)
    # Chromium itself repeats a request that was lost on a connection used before, so each is, until the page asks.
    cut = proxy.cut(after=30_000, times=float("inf"))
    drop(proxied, big)
    expect(proxied.locator("[data-uploads-banner]")).to_contain_text("is broken")
    proxy.clear()
    assert finished(proxied, 1, timeout=60_000)["stored"] == 1
    assert cut.met > 0
    assert_stored(proxied, big)
    assert CHUNKS < len(indexes(proxied)) <= CHUNKS + 2 * 3, "all of it was sent again"


def test_a_chunk_that_is_altered_on_its_way_goes_again_alone(proxied: Page, proxy: Proxy, big: Path) -> None:
    note_chunks(proxied)
    rule = proxy.alter(times=1)
    drop(proxied, big)
    assert finished(proxied, 1)["stored"] == 1
    assert rule.met == 1
    assert len(indexes(proxied)) == CHUNKS + 1
    assert_stored(proxied, big)


def test_a_chunk_that_is_altered_each_time_fails_and_can_be_retried(
    proxied: Page, proxy: Proxy, big: Path
) -> None:
    rule = proxy.alter(times=3)
    drop(proxied, big)
    assert finished(proxied, 1)["failed"] == 1
    assert rule.met == 3
    row(proxied, big.name).get_by_role("button", name="Retry").click()
    assert finished(proxied, 1)["stored"] == 1
    assert_stored(proxied, big)


@pytest.mark.expect_console_errors("not served: 502")
def test_chunks_have_digests_again_once_the_script_that_hashes_is_served(
    proxied: Page, proxy: Proxy, big: Path
) -> None:
    proxy.answer(502, method="GET", path=".*/digest-worker.js")
    note_chunks(proxied)
    drop(proxied, big)
    assert finished(proxied, 1)["stored"] == 1
    told = ["dzchunksha256" in chunk for chunk in chunks(proxied)]
    assert (told[0], told[-1]) == (False, True)
    assert_stored(proxied, big)


def test_a_proxy_with_a_smaller_limit_gets_smaller_chunks(proxied: Page, proxy: Proxy, big: Path) -> None:
    proxy.larger_than(CHUNK * 3 // 4)
    note_chunks(proxied)
    drop(proxied, big)
    assert finished(proxied, 1)["stored"] == 1
    assert [chunk["dzchunksize"] for chunk in chunks(proxied)] == [str(CHUNK)] + [str(CHUNK // 2)] * (
        2 * CHUNKS - 1
    )
    assert_stored(proxied, big)


def test_a_file_that_began_anew_is_known_after_a_reload(
    proxied: Page, proxy: Proxy, big: Path, tmp_path: Path
) -> None:
    queue = "document.querySelector('.dropzone').batchUploader"
    [small] = write(tmp_path, {"small.txt": b"small"})
    proxied.evaluate(f"{queue}.pause()")
    drop(proxied, small)
    # So that the drop is not done before the reload.
    row(proxied, "small.txt").get_by_role("button", name="Pause").click()
    proxied.evaluate(f"{queue}.resume()")
    # The first chunk is there before the others are too large.
    proxy.slow(100_000_000, times=1)
    proxy.larger_than(CHUNK * 3 // 4)
    drop(proxied, big)
    until(proxied, f"{queue}.counts.stored === 1")
    proxy.clear()
    again(proxied)
    note_chunks(proxied)
    drop(proxied, big, small)
    assert finished(proxied, 2)["stored"] == 2
    assert chunks(proxied) == []
    assert_stored(proxied, big)


def test_a_busy_server_an_ended_session_and_a_full_disk_cost_only_what_was_on_its_way(
    proxied: Page, proxy: Proxy, big: Path
) -> None:
    note_chunks(proxied)
    proxy.slow(100_000_000, times=2)
    busy = proxy.answer(503, "Later.", {"Retry-After": "1"}, times=float("inf"))
    signed_out = proxy.answer(401, "You are signed out.", times=0)
    full = proxy.answer(507, "The server has no room left.", times=0)
    drop(proxied, big)
    banner = proxied.locator("[data-uploads-banner]")
    expect(banner).to_contain_text("The server is busy.")
    full.times, signed_out.times, busy.times = float("inf"), 1, 0
    until(proxied, "document.querySelector('.dropzone').batchUploader.counts.failed === 1")
    assert busy.met >= signed_out.met == 1
    expect(row(proxied, big.name).locator("[data-dz-errormessage]")).to_contain_text("no room left")
    full.times = 0
    row(proxied, big.name).get_by_role("button", name="Retry").click()
    assert finished(proxied, 1)["stored"] == 1
    assert len(indexes(proxied)) <= CHUNKS + 4 * 3
    assert_stored(proxied, big)


def test_a_big_file_that_no_scanner_looks_at_is_told_and_can_be_retried(
    proxied: Page, proxy: Proxy, big: Path
) -> None:
    note_chunks(proxied)
    down = proxy.answer(
        503, "The file could not be scanned.", {"Upload-Error": "not_scanned"}, times=float("inf")
    )
    drop(proxied, big)
    until(proxied, "document.querySelector('.dropzone').batchUploader.counts.failed === 1")
    expect(row(proxied, big.name).locator("[data-dz-errormessage]")).to_contain_text("could not be scanned")
    down.times = 0
    row(proxied, big.name).get_by_role("button", name="Retry").click()
    assert finished(proxied, 1)["stored"] == 1
    assert_stored(proxied, big)


def test_a_file_that_changes_on_the_disk_while_it_is_sent_says_so(
    proxied: Page, proxy: Proxy, big: Path
) -> None:
    note_chunks(proxied)
    line = Stalled(proxy)
    drop(proxied, big)
    line.wait(proxied)
    big.write_bytes(b"another film")
    line.release()
    assert finished(proxied, 1)["refused"] == 1
    said = row(proxied, big.name).locator("[data-dz-errormessage]").inner_text()
    assert said.startswith("The file cannot be read: it was changed since it was chosen")


def test_two_pages_may_send_one_file_and_it_is_stored_once(proxied: Page, proxy: Proxy, big: Path) -> None:
    line = Stalled(proxy)
    note_chunks(proxied)
    drop(proxied, big)
    line.wait(proxied)
    other = opened(proxied.context.new_page(), proxy.url)
    expect(other.get_by_role("group", name="Unfinished uploads").get_by_role("listitem")).to_have_count(1)
    drop(other, big)
    line.release()
    assert finished(other, 1)["stored"] == finished(proxied, 1)["stored"] == 1
    assert_stored(proxied, big)


# ---- on the next page


def test_a_folder_dropped_again_after_a_reload_sends_what_is_missing(
    proxied: Page, proxy: Proxy, tmp_path: Path
) -> None:
    folder = tmp_path / "holiday"
    path = film(folder, CHUNKS * CHUNK)
    small = write(folder, {f"{n}.txt": f"{n:04}\n".encode() * 400 for n in range(120)})
    # One request full of small files, one chunk, and no more; folders are listed in any order.
    proxy.slow(100_000_000, lengths=range(CHUNK))
    line = Stalled(proxy, passing=1, lengths=range(CHUNK, 2 * CHUNK))
    drop(proxied, folder)
    left = line.wait(proxied, passed=1)
    until(proxied, "document.querySelector('.dropzone').batchUploader.counts.stored > 0")
    sent = counts(proxied)["stored"]
    again(proxied)
    line.release()
    taken = proxy.taken
    note_chunks(proxied)
    drop(proxied, folder)
    assert finished(proxied, 121)["stored"] == 121
    rest = (120 - sent) * small[0].stat().st_size + (CHUNKS - 1) * CHUNK
    # The question about 121 files, and what stands around each of those that are sent.
    assert proxy.taken - taken <= rest + 30_000 + 1_000 * (120 - sent) + 2_000 * CHUNKS
    assert indexes(proxied) == left["missing"]
    assert {chunk["dzuuid"] for chunk in chunks(proxied)} == {left["uuid"]}
    assert len(everything(proxied)) == 121
    assert assert_stored(proxied, path)["path"] == "holiday"
    # All is done: the same files, dropped on yet another page, are meant to be sent once more.
    again(proxied)
    drop(proxied, small[0])
    finished(proxied, 1)
    assert len(everything(proxied)) == 122


def test_a_zone_with_a_view_of_the_hosts_own_sends_only_what_is_missing_too(
    page: Page, live_server: Callable[..., LiveServer], tmp_path: Path
) -> None:
    command = [sys.executable, str(Path(__file__).parent / "keys_app.py"), "{port}"]
    server = live_server(command=command, env={"FLASK_UPLOADS_CHUNK_SIZE": str(CHUNK)})
    path = film(tmp_path / "holiday", CHUNKS * CHUNK, "film.txt")
    path.write_bytes(path.read_bytes().hex()[: CHUNKS * CHUNK].encode())
    small = write(tmp_path / "holiday", {f"{n}.txt": b"%04d" % n * 250 for n in range(60)})
    with Proxy(server.url) as proxy:
        opened(page, urljoin(proxy.url, "/zone"))
        proxy.slow(100_000_000, path="/own", lengths=range(CHUNK), times=float("inf"))
        line = Stalled(proxy, path="/own")
        drop(page, tmp_path / "holiday")
        left = line.wait(page)
        until(page, "document.querySelector('.dropzone').batchUploader.counts.stored === 60")
        again(page)
        line.release()
        note_chunks(page)
        taken = proxy.taken
        drop(page, tmp_path / "holiday")
        assert finished(page, 61)["stored"] == 61
        assert indexes(page) == list(range(PASSING, CHUNKS))
        assert proxy.taken - taken < (CHUNKS - PASSING) * (CHUNK + 2_000) + 20_000, "small ones went again"
        assert len(everything(page)) == len(small) + 1
        assert assert_stored(page, path)["uuid"] == left["uuid"]

        # What was refused under its uuid for good begins anew here, too.
        [other] = write(tmp_path, {"other.txt": b"another film\n" * (CHUNK // 3)})
        line = Stalled(proxy, 1, path="/own")
        drop(page, other)
        line.wait(page, 1)
        again(page)
        line.release()
        group = page.get_by_role("group", name="Unfinished uploads")
        group.get_by_role("button", name="Discard").click()
        group.get_by_role("group").get_by_role("button", name="Discard").click()
        expect(group).to_be_hidden()
        drop(page, other)
        assert finished(page, 1)["stored"] == 1
        assert_stored(page, other)


def leave_unfinished(page: Page, proxy: Proxy, path: Path) -> dict[str, Any]:
    """Begin to send a file, lose the page, and open it again; what the server has of the file."""
    # The chunks after the first one tell the digest.
    hashed = threading.Event()
    proxy.hold(hashed, lengths=range(CHUNK, 2 * CHUNK))
    line = Stalled(proxy, passing=PASSING - 1)
    drop(page, path)
    files = "document.querySelector('.dropzone').batchUploader.chunks.files"
    until(page, f"[...{files}.values()].some(({{ sha256 }}) => sha256)")
    hashed.set()
    left = line.wait(page)
    again(page)
    line.release()
    expect(page.get_by_role("group", name="Unfinished uploads").get_by_role("listitem")).to_have_count(1)
    note_chunks(page)
    return left


def test_what_was_left_unfinished_is_listed_apart_and_goes_on_with_the_right_file(
    proxied: Page, proxy: Proxy, big: Path, tmp_path: Path
) -> None:
    left = leave_unfinished(proxied, proxy, big)
    rows = proxied.get_by_role("group", name="Unfinished uploads").get_by_role("listitem")
    expect(rows).to_contain_text(re.compile(r"big film\.bin.* of 1\.1 MB"))
    wrong = film(tmp_path / "wrong", 5000, "short film.bin")
    for path in (wrong, big):
        with proxied.expect_file_chooser() as chooser:
            rows.get_by_role("button", name="Resume").click()
        chooser.value.set_files(path)
        if path == wrong:
            expect(rows.get_by_role("alert")).to_contain_text(
                'That is "short film.bin", 5 KB. To go on, choose'
            )
    assert finished(proxied, 1)["stored"] == 1
    expect(rows).to_have_count(0)
    assert indexes(proxied) == left["missing"]
    assert assert_stored(proxied, big)["uuid"] == left["uuid"]


def test_what_was_left_unfinished_is_discarded_when_a_person_means_it(
    proxied: Page, proxy: Proxy, big: Path
) -> None:
    leave_unfinished(proxied, proxy, big)
    group = proxied.get_by_role("group", name="Unfinished uploads")
    group.get_by_role("button", name="Discard").click()
    group.get_by_role("button", name="Keep").click()
    group.get_by_role("button", name="Discard").click()
    group.get_by_role("group").get_by_role("button", name="Discard").click()
    expect(group).to_be_hidden()
    assert_nothing_unfinished(proxied)
    drop(proxied, big)
    assert finished(proxied, 1)["stored"] == 1
    assert indexes(proxied) == list(range(CHUNKS))
    assert_stored(proxied, big)


def test_a_file_that_was_begun_in_another_browser_is_known_by_its_digest(
    proxied: Page, proxy: Proxy, big: Path
) -> None:
    left = leave_unfinished(proxied, proxy, big)
    proxied.evaluate("localStorage.clear()")
    drop(proxied, big)
    assert finished(proxied, 1)["stored"] == 1
    assert indexes(proxied) == left["missing"]
    assert assert_stored(proxied, big)["uuid"] == left["uuid"]


def test_a_file_that_was_changed_since_it_was_begun_is_never_mixed_with_what_it_was(
    proxied: Page, proxy: Proxy, big: Path
) -> None:
    left = leave_unfinished(proxied, proxy, big)
    big.write_bytes(os.urandom(big.stat().st_size))
    drop(proxied, big)
    assert finished(proxied, 1)["stored"] == 1
    assert left["sha256"] != hashlib.sha256(big.read_bytes()).hexdigest()
    assert indexes(proxied) == list(range(CHUNKS)), "its digest did not tell before anything was sent"
    assert_stored(proxied, big)


def test_a_film_and_200_photographs_arrive_over_a_cut_a_kill_and_a_reload(
    live_server: Callable[..., LiveServer], page: Page, tmp_path: Path
) -> None:
    """The promise as a whole: what is sent twice is what was on its way, and what is stored is stored once."""
    chunk, parallel = 2 * 1024**2, 3
    server = live_server(env={"FLASK_UPLOADS_CHUNK_SIZE": str(chunk), "FLASK_UPLOADS_TYPES": "bin,txt"})
    folder = tmp_path / "wedding"
    path = film(folder, 300_000_000)
    small = write(folder, {f"{n}.txt": f"{n}\n".encode() * 400 for n in range(200)})
    size = path.stat().st_size
    reached = f"""document.querySelector('.dropzone').dropzone.files.some(
      ({{ size, upload }}) => size === {size} && upload.progress >= PERCENT)"""
    with Proxy(server.url) as proxy:
        opened(page, proxy.url)
        # Slow enough that nothing is over before it is interrupted.
        proxy.slow(15_000_000, times=float("inf"))
        drop(page, folder)
        banner = page.locator("[data-uploads-banner]")

        until(page, reached.replace("PERCENT", "40"), 60)
        page.context.set_offline(True)
        expect(banner).to_contain_text("You are offline.")
        page.context.set_offline(False)

        until(page, reached.replace("PERCENT", "60"), 60)
        server.kill()
        expect(banner).to_contain_text("The connection to the server is broken.")
        server.start()
        with contextlib.suppress(Error):
            banner.get_by_role("button", name="Try now").click(timeout=1000)

        until(page, reached.replace("PERCENT", "80"), 60)
        again(page)
        assert unfinished(page), "it was over too soon to be interrupted"
        drop(page, folder)
        assert finished(page, 201, timeout=60_000)["stored"] == 201

        found = everything(page)
        assert sorted(file["filename"] for file in found) == sorted(file.name for file in [path, *small])
        [file] = [file for file in found if file["filename"] == path.name]
        assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        stored = [one for one in (server.folder / "uploads").rglob(path.stem + "*") if one.is_file()]
        assert [one.stat().st_size for one in stored] == [size]
        assert_nothing_unfinished(page)
        # Fields and headers of 144 chunks, 200 small files, and the questions about them.
        around = 2_000 * (size // chunk) + 200 * 3_000 + 200_000
        assert proxy.taken <= size + 3 * parallel * chunk + around
