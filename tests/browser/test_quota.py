"""A page whose person has no room left: each file is told so once, and nothing is sent again."""

from collections.abc import Callable
from pathlib import Path

from browser.samples import finished, row, write
from playwright.sync_api import Page, expect
from proxy import Proxy
from support import LiveServer


def test_what_has_no_room_is_told_on_its_row_and_sent_once(
    page: Page, live_server: Callable[..., LiveServer], tmp_path: Path
) -> None:
    env = {
        "FLASK_UPLOADS_QUOTA": "200 KB",
        "FLASK_UPLOADS_CHUNK_SIZE": "100 KB",
        "FLASK_UPLOADS_TYPES": "txt",
    }
    server = live_server(env=env)
    with Proxy(server.url) as proxy:
        page.goto(proxy.url)
        page.locator("[data-uploads-ready]").wait_for()
        picker = "input.dz-hidden-input"
        page.set_input_files(picker, write(tmp_path, {"first.txt": b"a" * 60_000}))
        assert finished(page, 1)["stored"] == 1
        # One by itself, one in chunks.
        page.set_input_files(picker, write(tmp_path, {"big.txt": b"b" * 190_000, "small.txt": b"c" * 90_000}))
        found = finished(page, 3)
        assert (found["stored"], found["refused"]) == (2, 1)
        sentence = "There is no room for this file (190 KB): all your files may have 200 KB together"
        expect(row(page, "big.txt")).to_contain_text(sentence)
        expect(row(page, "small.txt")).to_have_attribute("data-state", "stored")
        # Each file once; of the one without room no more chunks than leave together.
        assert len(proxy.uploads()) <= 4


def test_what_may_not_be_sent_yet_waits_as_long_as_the_server_says_and_is_stored(
    page: Page, live_server: Callable[..., LiveServer], tmp_path: Path
) -> None:
    env = {
        "FLASK_UPLOADS_QUOTA_WINDOW": "200 KB per 2 seconds",
        "FLASK_UPLOADS_CHUNK_SIZE": "100 KB",
        "FLASK_UPLOADS_TYPES": "txt",
    }
    with Proxy(live_server(env=env).url) as proxy:
        page.goto(proxy.url)
        page.locator("[data-uploads-ready]").wait_for()
        # Two by themselves and one in chunks, in which no two fit; and one that never will.
        files = {
            "a.txt": b"a" * 90_000,
            "big.txt": b"b" * 190_000,
            "c.txt": b"c" * 90_000,
            "d.txt": b"d" * 210_000,
        }
        page.set_input_files("input.dz-hidden-input", write(tmp_path, files))
        found = finished(page, 4)
        assert (found["stored"], found["refused"]) == (3, 1)
        expect(row(page, "d.txt")).to_contain_text("The file is 210 KB, and you may send 200 KB in 2 seconds")
        # It waits, and does not ask and ask.
        assert len(proxy.uploads()) <= 12
