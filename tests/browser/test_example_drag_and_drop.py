"""examples/drag-and-drop in a real Chromium: ten files dropped, one a request, each with its own verdict."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser.samples import drop, finished, gif, pdf, png, row, write
from example_apps import EXAMPLES, flask_run, posts_of, stored_in
from playwright.sync_api import Page, expect
from support import LiveServer


@pytest.fixture(scope="module")
def browser(chromium: Any) -> Any:
    """The whole one, as people have it."""
    return chromium


@pytest.fixture
def example(live_server: Callable[..., LiveServer]) -> LiveServer:
    return live_server(command=flask_run(EXAMPLES / "drag-and-drop" / "app.py"))


def test_ten_dropped_files_go_one_by_one_and_are_stored_by_the_time(
    page: Page, example: LiveServer, tmp_path: Path
) -> None:
    # The same name again and again, as cameras give it.
    files = write(tmp_path, {f"{n}/IMG_1.png": png(n, 9, 9) for n in range(7)})
    files += write(tmp_path, {"a.txt": b"a", "b.pdf": pdf("b"), "c.GIF": gif()})
    posts = posts_of(page)
    page.goto(example.url)
    page.locator("[data-uploads-ready]").wait_for()
    drop(page, *files)
    assert finished(page, 10)["stored"] == 10
    assert posts == [f"{example.url}/upload"] * 10
    names = stored_in(example.folder)
    assert all(re.fullmatch(r"\d{4}(-\d\d){5}-\d{6}\.(png|txt|pdf|gif)", name) for name in names)
    stored = sorted((example.folder / "uploads" / name).read_bytes() for name in names)
    assert stored == sorted(path.read_bytes() for path in files)


def test_what_cannot_be_taken_says_why_before_it_is_sent(
    page: Page, example: LiveServer, tmp_path: Path
) -> None:
    good = {f"{n}.txt": b"x" for n in range(10)}
    bad = {"notes.exe": b"MZ", "large.png": png(1, 2, 3) + bytes(5_200_000), "one more.txt": b"y"}
    posts = posts_of(page)
    page.goto(example.url)
    page.locator("[data-uploads-ready]").wait_for()
    drop(page, *write(tmp_path, good | bad))
    counts = finished(page, 13)
    assert (counts["stored"], counts["refused"]) == (10, 3)
    expect(row(page, "notes.exe")).to_contain_text(
        ".exe files are not accepted here. Accepted: text, PDF, PNG"
    )
    expect(row(page, "large.png")).to_contain_text("The file is 5.2 MB; the limit is 5 MB.")
    expect(row(page, "one more.txt")).to_contain_text("Only 10 can be taken at a time")
    assert len(posts) == len(stored_in(example.folder)) == 10


def test_without_javascript_a_file_is_chosen_and_sent(
    new_page: Callable[..., Page], example: LiveServer, tmp_path: Path
) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(example.url)
    page.get_by_label("Files to upload").set_input_files(write(tmp_path, {"a.txt": b"a"}))
    page.get_by_role("button", name="Upload", exact=True).click()
    expect(page.get_by_role("heading", name="The file was stored")).to_be_visible()
    assert len(stored_in(example.folder)) == 1
