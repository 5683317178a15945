"""A bad network, a busy server, an ended session: the queue waits, says so, and goes on by itself."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.samples import counts, drop, everything, finished, listed, png, row, states, until, write
from playwright.sync_api import Locator, Page, expect
from proxy import Handler, Proxy
from support import LiveServer


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return write(tmp_path, {"one.png": png(250, 180, 60), "two.txt": b"two\n", "three.txt": b"three\n"})


@pytest.fixture
def proxy(server: LiveServer) -> Iterator[Proxy]:
    with Proxy(server.url) as started:
        yield started


def opened(page: Page, url: str) -> Page:
    page.goto(url)
    page.locator("[data-uploads-ready]").wait_for()
    return page


@pytest.fixture
def proxied(page: Page, proxy: Proxy) -> Page:
    """The page behind the proxy, open and ready."""
    return opened(page, proxy.url)


def banner(page: Page) -> Locator:
    return page.locator("[data-uploads-banner]")


def choose(page: Page, *paths: Path) -> None:
    page.set_input_files("input.dz-hidden-input", list(paths))


def stored_by_now(page: Page, files: int) -> None:
    """Wait until the server has so many, whatever the page knows."""
    for _ in range(100):
        if len(listed(page)) == files:
            break
        time.sleep(0.05)
    assert len(listed(page)) == files


def stored_bytes(server: LiveServer) -> list[bytes]:
    """What lies in the server's storage, without what is its own."""
    uploads = server.folder / "uploads"
    return sorted(
        path.read_bytes()
        for path in uploads.rglob("*")
        if path.is_file() and not path.relative_to(uploads).parts[0].startswith(".")
    )


# ---- the server goes away


@pytest.mark.parametrize("where", ["while bytes travel", "before an answer"])
def test_a_server_killed_in_the_middle_of_500_files_and_started_again_has_each_once(
    live_server: Callable[..., LiveServer], page: Page, tmp_path: Path, where: str
) -> None:
    server = live_server()
    contents = {f"{n}.txt": f"file {n}\n".encode() * (1 + n % 97) for n in range(500)}
    paths = write(tmp_path / "many", contents)
    with Proxy(server.url) as proxy:
        opened(page, proxy.url)
        if where == "before an answer":
            proxy.lose(times=2)
        else:
            proxy.slow(400_000, times=4)
        choose(page, *paths)
        until(page, "document.querySelector('.dropzone').batchUploader.counts.stored >= 50")
        server.kill()
        expect(banner(page)).to_contain_text("The connection to the server is broken.", timeout=60_000)
        assert counts(page)["failed"] == 0
        server.start()
        assert finished(page, 500, timeout=90_000) | {"stored": 500} == counts(page)
        found = everything(page)
    assert len(found) == 500
    assert len({file["uuid"] for file in found}) == 500
    assert stored_bytes(server) == sorted(contents.values())


def test_a_lost_answer_costs_nothing_but_a_moment(proxied: Page, proxy: Proxy, files: list[Path]) -> None:
    # Chromium itself repeats a request that was lost on a connection used before, so each is, until the page asks.
    lost = proxy.lose(times=float("inf"))
    drop(proxied, *files)
    for _ in range(200):
        if any(seen.path == "/csrf-token" for seen in proxy.seen):
            break
        proxied.wait_for_timeout(50)
    proxy.clear()
    assert finished(proxied, 3)["stored"] == 3
    assert lost.met == len(proxy.uploads()) > 0, "the bytes were sent again although the server had them"
    assert len(listed(proxied)) == 3
    expect(proxied.locator(".dz-success").get_by_role("link", name="Open")).to_have_count(3)


def test_a_connection_that_is_cut_is_made_again_with_the_same_ids(
    proxied: Page, proxy: Proxy, tmp_path: Path
) -> None:
    [film] = write(tmp_path, {"film.txt": b"frame\n" * 300_000})
    proxy.cut(after=900_000)
    drop(proxied, film)
    uuid = "document.querySelector('.dropzone').dropzone.files[0].upload.uuid"
    before = proxied.evaluate(uuid)
    assert finished(proxied, 1)["stored"] == 1
    assert [file["uuid"] for file in listed(proxied)] == [before]
    assert len(proxy.uploads()) == 2


def test_what_is_cut_again_and_again_fails_in_words_and_retry_stores_it_once(
    proxied: Page, proxy: Proxy, files: list[Path]
) -> None:
    proxy.cut(times=float("inf"))
    drop(proxied, *files)
    assert finished(proxied, 3, timeout=60_000)["failed"] == 3
    said = row(proxied, "two.txt").locator("[data-dz-errormessage]").inner_text()
    assert said == "The connection broke. Retry; nothing is stored twice."
    expect(proxied.locator(".dz-success")).to_have_count(0)
    before = proxied.evaluate("document.querySelector('.dropzone').dropzone.files.map((f) => f.upload.uuid)")
    proxy.clear()
    proxied.get_by_role("button", name="Retry 3 that can succeed").click()
    assert finished(proxied, 3)["stored"] == 3
    expect(proxied.locator(".dz-error")).to_have_count(0)
    assert sorted(file["uuid"] for file in listed(proxied)) == sorted(before)


def test_one_file_can_be_retried_by_keyboard_and_keeps_the_focus(
    proxied: Page, proxy: Proxy, files: list[Path]
) -> None:
    proxy.answer(500, "Something went wrong.")
    drop(proxied, *files)
    assert finished(proxied, 3)["failed"] == 3
    row(proxied, "two.txt").get_by_role("button", name="Retry").press("Enter")
    expect(row(proxied, "two.txt")).to_have_attribute("data-state", "stored")
    assert counts(proxied)["failed"] == 2
    assert proxied.evaluate("document.activeElement.closest('.dz-preview') !== null"), "the focus was lost"
    # Of what is shown alone, one that is tried again is no more.
    proxied.get_by_role("button", name="Show 2 not stored").click()
    row(proxied, "one.png").get_by_role("button", name="Retry").press("Enter")
    expect(row(proxied, "three.txt")).to_be_focused()
    row(proxied, "three.txt").get_by_role("button", name="Retry").press("Enter")
    assert finished(proxied, 3)["stored"] == 3
    assert proxied.evaluate("document.activeElement !== document.body"), "the focus was lost"


def test_the_focus_stays_among_the_buttons_for_all(proxied: Page, proxy: Proxy, files: list[Path]) -> None:
    proxy.answer(500, "Something went wrong.")
    drop(proxied, *files[1:])
    finished(proxied, 2)
    # Each that had the focus goes.
    proxied.get_by_role("button", name="Retry 2 that can succeed").press("Enter")
    assert finished(proxied, 2)["stored"] == 2
    expect(proxied.get_by_role("button", name="Clear")).to_be_focused()


def test_without_a_network_everything_waits_and_goes_on_with_it(proxied: Page, files: list[Path]) -> None:
    proxied.context.set_offline(True)
    drop(proxied, *files)
    expect(banner(proxied)).to_contain_text("You are offline. 3 files wait and will go on by themselves.")
    expect(banner(proxied)).to_contain_text("Trying again in")
    assert counts(proxied)["failed"] == 0
    proxied.context.set_offline(False)
    assert finished(proxied, 3)["stored"] == 3
    expect(banner(proxied)).to_be_hidden()


# ---- the server says later


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_left_alone_as_long_as_it_asks_for(
    proxied: Page, proxy: Proxy, files: list[Path], status: int
) -> None:
    proxy.answer(status, "Later.", {"Retry-After": "3"})
    drop(proxied, *files)
    expect(banner(proxied)).to_contain_text("The server is busy. 3 files wait and will go on by themselves.")
    expect(banner(proxied)).to_contain_text("Going on in")
    assert finished(proxied, 3)["stored"] == 3
    first, second = proxy.uploads()
    assert second.at - first.at >= 3


@pytest.mark.parametrize("asked", ["", "Wed, 21 Oct 2015 07:28:00 GMT"], ids=["", "past"])
def test_a_busy_server_that_does_not_say_how_long_is_left_alone_longer_each_time(
    proxied: Page, proxy: Proxy, files: list[Path], asked: str
) -> None:
    proxied.evaluate("""() => {
      const { backoff } = document.querySelector(".dropzone").batchUploader.line;
      const next = backoff.next.bind(backoff);
      window.pauses = [];
      backoff.random = () => 1;
      backoff.next = () => window.pauses.push(next()) && 0;
    }""")
    proxy.answer(503, "<h1>Busy</h1>", {"Retry-After": asked}, kind="text/html", times=3)
    drop(proxied, *files)
    assert finished(proxied, 3)["stored"] == 3
    assert proxied.evaluate("window.pauses") == [1000, 2000, 4000]


@pytest.mark.parametrize("what", ["busy", "lost", "signed out"])
def test_no_byte_leaves_before_the_question_was_answered(
    proxied: Page, proxy: Proxy, tmp_path: Path, what: str
) -> None:
    check = r"/upload/\w+/check"
    if what == "busy":
        proxy.answer(429, "Later.", {"Retry-After": "1"}, path=check)
    elif what == "lost":
        # Chromium itself repeats what was lost on a connection used before.
        proxy.answer(502, "<h1>Bad gateway</h1>", path=check)
    else:
        proxy.answer(401, "Sign in.", path=check)
    choose(proxied, *write(tmp_path, {f"{n}.txt": b"%d" % n for n in range(60)}))
    assert finished(proxied, 60)["stored"] == 60
    posts = [seen.path for seen in proxy.seen if seen.method == "POST"]
    assert [path.endswith("/check") for path in posts[:3]] == [True, True, False]


def test_who_does_not_want_to_wait_tries_now(proxied: Page, proxy: Proxy, files: list[Path]) -> None:
    proxy.answer(503, "Later.", {"Retry-After": "300"})
    drop(proxied, *files)
    banner(proxied).get_by_role("button", name="Try now").press("Enter")
    assert finished(proxied, 3)["stored"] == 3
    expect(proxied.get_by_role("button", name="Clear")).to_be_focused()


def test_a_full_disk_stops_the_queue_and_a_person_starts_it(
    proxied: Page, proxy: Proxy, tmp_path: Path
) -> None:
    proxied.evaluate("""() => {
      const { batchUploader } = document.querySelector(".dropzone");
      batchUploader.batches.packer.maxParts = 2;
      batchUploader.parallel = 1;
    }""")
    proxy.answer(507, "The server has no room left, and nothing was stored; try again later.")
    paths = write(tmp_path, {f"{n}.txt": b"text\n" for n in range(6)})
    choose(proxied, *paths)
    expect(banner(proxied)).to_contain_text("The server has no room left. 4 files wait")
    assert counts(proxied)["failed"] == 2
    assert len(proxy.uploads()) == 1, "it goes on filling a full disk"
    banner(proxied).get_by_role("button", name="Try again").click()
    assert finished(proxied, 6)["stored"] == 4
    proxied.get_by_role("button", name="Retry 2 that can succeed").click()
    assert finished(proxied, 6)["stored"] == 6


def test_after_a_full_disk_retry_is_enough_and_so_is_another_drop(
    proxied: Page, proxy: Proxy, files: list[Path]
) -> None:
    proxy.answer(507, "The server has no room left, and nothing was stored; try again later.", times=2)
    choose(proxied, files[0])
    assert finished(proxied, 1)["failed"] == 1
    choose(proxied, files[1])
    assert finished(proxied, 2)["failed"] == 2
    row(proxied, "one.png").get_by_role("button", name="Retry").click()
    assert finished(proxied, 2)["stored"] == 1


# ---- too much at once


def test_a_proxy_that_takes_less_is_given_less_and_what_is_too_large_by_itself_goes_in_chunks(
    proxied: Page, proxy: Proxy, tmp_path: Path
) -> None:
    proxy.larger_than(400_000)
    contents = {f"{n}.txt": bytes([65 + n]) * 90_000 for n in range(10)} | {"big.txt": b"x" * 700_000}
    choose(proxied, *write(tmp_path, contents))
    assert finished(proxied, 11)["stored"] == 11
    refused = [seen for seen in proxy.uploads() if seen.length > 400_000]
    # Halved each time, and what was learned holds for the next drop.
    assert len(refused) <= 4
    before = len(proxy.uploads())
    choose(proxied, *write(tmp_path / "more", {f"{n}.txt": bytes([75 + n]) * 90_000 for n in range(5)}))
    assert finished(proxied, 16)["stored"] == 16
    assert all(seen.length <= 400_000 for seen in proxy.uploads()[before:])


def test_a_refusal_is_never_sent_twice(proxied: Page, proxy: Proxy, files: list[Path]) -> None:
    proxy.answer(403, "Not you.", times=float("inf"))
    drop(proxied, *files)
    assert finished(proxied, 3)["refused"] == 3
    proxied.wait_for_timeout(1500)
    assert len(proxy.uploads()) == 1
    expect(proxied.get_by_role("button", name="Retry")).to_have_count(0)


# ---- the session ends


def ended(proxy: Proxy, how: str) -> None:
    """The session is over: uploads and tokens get what hosts answer then."""
    uploads: dict[str, Any] = {"path": r"/upload/\w+(/check)?", "times": float("inf")}
    token: dict[str, Any] = {"method": "GET", "path": "/csrf-token", "times": float("inf")}
    for which in (uploads, token):
        if how == "401":
            proxy.answer(401, "You are signed out; sign in again.", **which)
        elif how == "redirect":
            proxy.answer(302, "", {"Location": "/sign-in"}, **which)
        else:
            proxy.answer(200, "<!doctype html><title>Sign in</title>", kind="text/html", **which)
    proxy.answer(
        200,
        "<!doctype html><title>Sign in</title>",
        kind="text/html",
        method="GET",
        path="/sign-in",
        times=float("inf"),
    )


@pytest.mark.parametrize("how", ["401", "redirect", "login page"])
def test_an_ended_session_keeps_the_queue_until_the_person_signed_in_in_another_tab(
    proxied: Page, proxy: Proxy, files: list[Path], how: str
) -> None:
    ended(proxy, how)
    drop(proxied, *files)
    expect(banner(proxied)).to_contain_text("You are signed out. 3 files wait")
    expect(banner(proxied).get_by_role("link", name="Sign in")).to_be_visible()
    assert counts(proxied) | {"stored": 0, "failed": 0, "refused": 0, "open": 3} == counts(proxied)
    # In another tab somebody signs in, and lands on a page of ours.
    proxy.clear()
    other = proxied.context.new_page()
    other.goto(proxy.url)
    assert finished(proxied, 3)["stored"] == 3
    expect(banner(proxied)).to_be_hidden()
    assert len(listed(proxied)) == 3


def test_a_session_that_was_replaced_heals_silently(proxied: Page, files: list[Path]) -> None:
    # As when another tab has signed in as somebody: the page's token belongs to a session that is gone.
    proxied.context.clear_cookies()
    drop(proxied, *files)
    assert finished(proxied, 3)["stored"] == 3
    assert len(listed(proxied)) == 3


# ---- the person decides


def test_a_pause_lets_nothing_leave_until_it_ends(
    proxied: Page, proxy: Proxy, files: list[Path], tmp_path: Path
) -> None:
    answered = threading.Event()
    proxy.hold(answered)
    drop(proxied, files[0])
    expect(row(proxied, "one.png")).to_have_attribute("data-state", "checking")
    proxied.get_by_role("button", name="Pause").click()
    expect(banner(proxied)).to_contain_text("Paused. 1 file already on its way will still finish.")
    choose(proxied, *files[1:])
    answered.set()
    expect(row(proxied, "one.png")).to_have_attribute("data-state", "stored")
    proxied.wait_for_timeout(400)
    assert len(proxy.uploads()) == 1
    assert states(proxied)["two.txt"] == "waiting"
    expect(banner(proxied)).to_contain_text("Paused.")
    proxied.get_by_role("button", name="Resume").click()
    assert finished(proxied, 3)["stored"] == 3


def test_a_file_may_be_paused_by_itself_before_it_leaves(
    proxied: Page, proxy: Proxy, files: list[Path], tmp_path: Path
) -> None:
    # Those that wait to be asked about too.
    large = write(tmp_path, {"long.txt": b"a line\n" * 200_000, "also.txt": b"also\n"})
    queue = "document.querySelector('.dropzone').batchUploader"
    proxied.evaluate(f"{queue}.pause()")
    drop(proxied, *files)
    until(proxied, f"{queue}.batches.packer.closed")
    drop(proxied, *large)
    for name in ("two.txt", "three.txt", "also.txt"):
        row(proxied, name).get_by_role("button", name="Pause").click()
    expect(row(proxied, "two.txt")).to_contain_text("Paused")
    proxied.evaluate(f"{queue}.resume()")
    until(proxied, f"{queue}.counts.stored === 2")
    proxied.wait_for_timeout(300)
    assert sorted(name for name, state in states(proxied).items() if state == "paused") == [
        "also.txt",
        "three.txt",
        "two.txt",
    ]
    assert len(listed(proxied)) == 2
    for name in ("two.txt", "also.txt"):
        row(proxied, name).get_by_role("button", name="Resume").press("Enter")
        # It is gone, and what has come to its place ends the file.
        assert not proxied.evaluate("document.activeElement?.matches('[aria-label^=Cancel]')")
    until(proxied, f"{queue}.counts.stored === 4")
    row(proxied, "three.txt").get_by_role("button", name="Cancel").click()
    assert finished(proxied, 5) | {"stored": 4, "cancelled": 1} == counts(proxied)
    assert len(listed(proxied)) == 4


def test_cancel_ends_what_is_open_and_what_was_stored_meanwhile_is_not_kept(
    proxied: Page, proxy: Proxy, files: list[Path]
) -> None:
    answered = threading.Event()
    proxy.hold(answered)
    drop(proxied, *files)
    expect(row(proxied, "two.txt")).to_have_attribute("data-state", "checking")
    # The server has them all by now; only its answer is missing.
    stored_by_now(proxied, 3)
    proxied.get_by_role("button", name="Cancel", exact=True).click()
    assert set(states(proxied).values()) == {"cancelled"}
    answered.set()
    until(proxied, "document.querySelector('.dropzone').batchUploader.finished")
    assert listed(proxied) == [], "what was cancelled is on the server"
    # A cancelled one may be sent after all, as a new file.
    row(proxied, "two.txt").get_by_role("button", name="Send again").click()
    assert finished(proxied, 3) | {"stored": 1, "cancelled": 2} == counts(proxied)
    assert [file["filename"] for file in listed(proxied)] == ["two.txt"]


def test_a_proxy_that_has_just_lost_its_server_ends_no_cancelling(
    proxied: Page, proxy: Proxy, files: list[Path]
) -> None:
    answered = threading.Event()
    proxy.hold(answered)
    rule = proxy.answer(502, "<h1>Bad gateway</h1>", method="DELETE", path="/uploads/.*")
    drop(proxied, files[0])
    expect(row(proxied, files[0].name)).to_have_attribute("data-state", "checking")
    row(proxied, files[0].name).get_by_role("button", name="Cancel").click()
    answered.set()
    assert finished(proxied, 1)["cancelled"] == 1
    assert rule.met == 1
    assert listed(proxied) == []


def test_what_is_cancelled_while_its_answer_is_lost_is_not_kept_and_what_is_wanted_again_is(
    page: Page, server: LiveServer, files: list[Path]
) -> None:
    lost = threading.Event()
    with Proxy(server.url, keep_alive=False) as proxy:
        opened(page, proxy.url)
        proxy.lose(lost)
        drop(page, *files)
        expect(row(page, "two.txt")).to_have_attribute("data-state", "checking")
        stored_by_now(page, 3)
        for name in ("two.txt", "three.txt"):
            row(page, name).get_by_role("button", name="Cancel").click()
        row(page, "three.txt").get_by_role("button", name="Send again").click()
        expect(row(page, "three.txt")).to_have_attribute("data-state", "stored")
        lost.set()
        assert finished(page, 3) | {"stored": 2, "cancelled": 1} == counts(page)
        assert sorted(file["filename"] for file in listed(page)) == ["one.png", "three.txt"]


def test_what_is_cancelled_while_it_waits_for_another_try_is_not_kept(
    page: Page, server: LiveServer, files: list[Path]
) -> None:
    with Proxy(server.url, keep_alive=False) as proxy:
        opened(page, proxy.url)
        proxy.lose()
        there = threading.Event()
        proxy.hold(there, method="GET", path="/csrf-token")
        drop(page, *files)
        expect(banner(page)).to_contain_text("The connection to the server is broken.")
        row(page, "two.txt").get_by_role("button", name="Cancel").click()
        there.set()
        assert finished(page, 3) | {"stored": 2, "cancelled": 1} == counts(page)
        assert sorted(file["filename"] for file in listed(page)) == ["one.png", "three.txt"]


def test_what_was_cancelled_and_sent_again_is_known_after_a_reload(
    proxied: Page, proxy: Proxy, files: list[Path]
) -> None:
    queue = "document.querySelector('.dropzone').batchUploader"
    proxied.evaluate(f"{queue}.pause()")
    drop(proxied, *files)
    # So that the drop is not done before the reload.
    row(proxied, "one.png").get_by_role("button", name="Pause").click()
    answered = threading.Event()
    proxy.hold(answered)
    proxied.evaluate(f"{queue}.resume()")
    expect(row(proxied, "two.txt")).to_have_attribute("data-state", "checking")
    row(proxied, "two.txt").get_by_role("button", name="Cancel").click()
    answered.set()
    until(proxied, f"{queue}.counts.stored === 1 && {queue}.deletions.underWay.size === 0")
    assert [file["filename"] for file in listed(proxied)] == ["three.txt"]
    row(proxied, "two.txt").get_by_role("button", name="Send again").click()
    until(proxied, f"{queue}.counts.stored === 2")
    proxied.once("dialog", lambda dialog: dialog.accept())
    proxied.reload()
    drop(proxied, *files)
    assert finished(proxied, 3)["stored"] == 3
    assert len(listed(proxied)) == 3


def test_a_deletion_that_comes_after_a_reload_takes_nothing_that_was_sent_since(
    proxied: Page, proxy: Proxy, files: list[Path]
) -> None:
    queue = "document.querySelector('.dropzone').batchUploader"
    late, over, answered = threading.Event(), threading.Event(), threading.Event()

    def hand_on_late(handler: Handler) -> None:
        late.wait(60)
        try:
            handler.forward()
        finally:
            over.set()

    rule = proxy.rule(hand_on_late, method="DELETE", path="/uploads/.*")
    proxy.hold(answered)
    proxied.evaluate(f"{queue}.pause()")
    drop(proxied, *files)
    # So that the drop is not done before the reload.
    row(proxied, "one.png").get_by_role("button", name="Pause").click()
    proxied.evaluate(f"{queue}.resume()")
    expect(row(proxied, "two.txt")).to_have_attribute("data-state", "checking")
    row(proxied, "two.txt").get_by_role("button", name="Cancel").click()
    answered.set()
    until(proxied, f"{queue}.counts.stored === 1")
    while not rule.met:
        proxied.wait_for_timeout(20)
    proxied.once("dialog", lambda dialog: dialog.accept())
    proxied.reload()
    drop(proxied, *files)
    assert finished(proxied, 3)["stored"] == 3
    late.set()
    assert over.wait(30)
    assert sorted(file["filename"] for file in listed(proxied)) == ["one.png", "three.txt", "two.txt"]


@pytest.mark.parametrize("taken_out", ["cancelled", "removed", "cancelled where nobody can be asked"])
def test_what_an_earlier_page_has_stored_is_not_stored_again_where_it_was_taken_out_before_the_server_told(
    proxied: Page, files: list[Path], taken_out: str
) -> None:
    queue = "document.querySelector('.dropzone').batchUploader"
    proxied.evaluate(f"{queue}.pause()")
    drop(proxied, *files)
    # So that the drop is not done before the reload.
    row(proxied, "one.png").get_by_role("button", name="Pause").click()
    proxied.evaluate(f"{queue}.resume()")
    until(proxied, f"{queue}.counts.stored === 2")
    proxied.once("dialog", lambda dialog: dialog.accept())
    proxied.reload()
    if taken_out == "cancelled where nobody can be asked":
        proxied.evaluate(f"delete {queue}.options.checkUrl")
    proxied.evaluate(f"{queue}.pause()")
    drop(proxied, *files)
    row(proxied, "two.txt").get_by_role("button", name="Cancel").click()
    if taken_out == "removed":
        proxied.evaluate(f"{queue}.clear()")
    proxied.evaluate(f"{queue}.resume()")
    until(proxied, f"{queue}.counts.stored === 2 && {queue}.finished")
    if taken_out == "removed":
        drop(proxied, files[1])
    else:
        row(proxied, "two.txt").get_by_role("button", name="Send again").click()
    assert finished(proxied, 3)["stored"] == 3
    assert len(listed(proxied)) == 3


def test_a_cancelled_big_file_stops_at_once(
    live_server: Callable[..., LiveServer], page: Page, tmp_path: Path
) -> None:
    # More than what the system takes in before anybody reads it.
    [film] = write(tmp_path, {"film.txt": b"x" * 40_000_000})
    with Proxy(live_server().url) as proxy:
        opened(page, proxy.url)
        proxy.slow(2_000_000)
        drop(page, film)
        until(page, "document.querySelector('.dropzone').batchUploader.tally.bytes.sent > 0")
        row(page, "film.txt").get_by_role("button", name="Cancel").click()
        assert finished(page, 1)["cancelled"] == 1
        page.wait_for_timeout(500)
        assert listed(page) == []


def test_undo_deletes_what_the_drop_stored_and_nothing_else(
    proxied: Page, files: list[Path], tmp_path: Path
) -> None:
    drop(proxied, files[0])
    finished(proxied, 1)
    proxied.get_by_role("button", name="Clear").click()
    expect(proxied.locator(".dz-preview")).to_have_count(0)
    drop(proxied, *files[1:], *write(tmp_path, {"bad.exe": b"MZ"}))
    finished(proxied, 3)
    undo = proxied.get_by_role("button", name="Undo this drop")
    undo.click()
    proxied.get_by_role("button", name="Keep").click()
    expect(undo).to_be_focused()
    assert len(listed(proxied)) == 3
    undo.click()
    expect(proxied.get_by_text("Delete the 2 files that this drop stored?")).to_be_visible()
    proxied.get_by_role("button", name="Delete", exact=True).click()
    expect(proxied.locator("[data-uploads-summary-words]")).to_have_text("0 stored, 1 refused, 2 deleted.")
    assert [file["filename"] for file in listed(proxied)] == ["one.png"]
    expect(proxied.locator("[data-uploads-files-list] > li")).to_have_count(1)
    expect(proxied.locator(".dz-preview").get_by_role("link", name="Open")).to_have_count(0)


def test_what_could_not_be_undone_is_told_and_stays(proxied: Page, proxy: Proxy, files: list[Path]) -> None:
    drop(proxied, *files[1:])
    finished(proxied, 2)
    proxy.answer(403, "This is not yours.", method="DELETE", path="/uploads/.+", times=2)
    proxied.get_by_role("button", name="Undo this drop").click()
    proxied.get_by_role("button", name="Delete", exact=True).click()
    told = proxied.locator("[data-uploads-summary]").get_by_text("2 files could not be deleted.")
    expect(told).to_have_text("2 files could not be deleted. This is not yours.")
    assert counts(proxied)["stored"] == len(listed(proxied)) == 2
    drop(proxied, files[0])
    expect(told).to_have_count(0)


# ---- what people are told on the way


def test_the_bar_never_goes_back_over_losses_and_retries(proxied: Page, proxy: Proxy, tmp_path: Path) -> None:
    paths = write(tmp_path, {f"{n}.txt": bytes([65 + n]) * 700_000 for n in range(10)})
    proxied.evaluate("""() => {
      window.seen = [];
      window.told = [];
      const { tally, dropzone } = document.querySelector(".dropzone").batchUploader;
      dropzone.on("totaluploadprogress", (percent) => tally.counts.files === 10 && window.told.push(percent));
      const look = () => {
        const { stored, sent, lost } = tally.shares();
        if (tally.counts.files === 10) window.seen.push([stored + sent + lost, tally.bytes.sent]);
        requestAnimationFrame(look);
      };
      look();
    }""")
    proxy.cut(after=400_000, times=2)
    proxy.lose(times=1)
    proxy.slow(2_000_000, times=float("inf"))
    choose(proxied, *paths)
    title = proxied.title()
    until(proxied, "document.title.includes('%')")
    assert finished(proxied, 10, timeout=60_000)["stored"] == 10
    seen = proxied.evaluate("window.seen")
    assert len(seen) > 20
    for earlier, now in itertools.pairwise(seen):
        assert now[0] >= earlier[0] - 1e-9, "the bar went back"
        assert now[1] >= earlier[1] - 1e-3, "the bytes went back"
    told = proxied.evaluate("window.told")
    assert told == sorted(told) and told[-1] == 100
    assert any(0 < percent < 100 for percent in told), "scripts hear nothing on the way"
    until(proxied, "!document.title.includes('%')")
    assert proxied.title() == title


def test_speed_and_time_are_told_while_it_lasts(proxied: Page, proxy: Proxy, tmp_path: Path) -> None:
    proxy.slow(3_000_000, times=float("inf"))
    contents = {f"{n}.txt": bytes([65 + n]) * 1_900_000 for n in range(24)}
    choose(proxied, *write(tmp_path, contents))
    detail = proxied.locator("[data-uploads-summary-detail]")
    expect(detail).to_contain_text("of 45.6 MB · ", timeout=60_000)
    expect(detail).to_contain_text("/s · ")
    expect(detail).to_contain_text("left")
    assert finished(proxied, 24, timeout=60_000)["stored"] == 24
    expect(detail).to_have_text("45.6 MB")


def test_the_server_is_asked_before_the_bytes_of_a_large_drop_leave(
    proxied: Page, proxy: Proxy, tmp_path: Path
) -> None:
    # The browser's own rules are switched off, so that the server's answer decides.
    proxied.evaluate("document.querySelector('.dropzone').batchUploader.options.maxFileSize = null")
    proxied.evaluate("document.querySelector('.dropzone').batchUploader.options.maxContentLength = null")
    proxied.evaluate("document.querySelector('.dropzone').batchUploader.options.extensions = null")
    bad = {"big.txt": b"x" * 2_100_000, "setup.exe": b"MZ"}
    good = {f"{n}.txt": b"text\n" for n in range(60)}
    choose(proxied, *write(tmp_path, bad | good))
    assert finished(proxied, 62) | {"stored": 60, "refused": 2} == counts(proxied)
    said = row(proxied, "big.txt").locator("[data-dz-errormessage]").inner_text()
    assert said == "The file is 2.1 MB; the limit is 2 MB."
    assert sum(seen.length for seen in proxy.uploads()) < 100_000, "refused bytes have travelled"
    first = next(seen for seen in proxy.seen if seen.method == "POST")
    assert first.path.endswith("/check")


def test_a_server_without_that_question_gets_the_files_all_the_same(
    proxied: Page, proxy: Proxy, tmp_path: Path
) -> None:
    asked = proxy.answer(404, "There is nothing here.", path=r"/upload/\w+/check", times=float("inf"))
    choose(proxied, *write(tmp_path, {f"{n}.txt": b"text\n" for n in range(120)}))
    assert finished(proxied, 120)["stored"] == 120
    assert asked.met == 1


def test_the_first_request_leaves_while_the_rest_is_still_added(proxied: Page, proxy: Proxy) -> None:
    proxied.evaluate("""async () => {
      const { batchUploader } = document.querySelector(".dropzone");
      for (let n = 0; n < 300; n += 1) {
        batchUploader.addFiles([new File([`text ${n}`], `${n}.txt`)]);
        await new Promise((resolve) => setTimeout(resolve, 5));
        if (n === 290) window.before = batchUploader.counts.stored;
      }
    }""")
    assert finished(proxied, 300)["stored"] == 300
    assert proxied.evaluate("window.before") > 0
    assert len(proxy.uploads()) <= 12, "what trickles in leaves in crumbs"
