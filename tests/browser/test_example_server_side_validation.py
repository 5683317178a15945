"""examples/server-side-validation in a real Chromium: the check's own sentence on the thumbnail it is about."""

from collections.abc import Callable
from pathlib import Path

import pytest
from browser.samples import drop, finished, png, row, write
from example_apps import EXAMPLES, flask_run, posts_of, stored_in
from playwright.sync_api import Page, expect
from support import LiveServer


@pytest.fixture
def example(live_server: Callable[..., LiveServer]) -> LiveServer:
    return live_server(command=flask_run(EXAMPLES / "server-side-validation" / "app.py"))


def test_png_only_is_said_on_each_thumbnail_that_is_none(
    page: Page, example: LiveServer, tmp_path: Path
) -> None:
    picture = png(9, 90, 160)
    files = {"a.b.png": picture, "notes.txt": b"words", "x.png.exe": b"MZ", "nodot": b"?", "c.png": picture}
    posts = posts_of(page)
    page.goto(example.url)
    page.locator("[data-uploads-ready]").wait_for()
    drop(page, *write(tmp_path, files))
    counts = finished(page, 5)
    assert (counts["stored"], counts["refused"]) == (2, 3)
    for name in ("notes.txt", "x.png.exe", "nodot"):
        expect(row(page, name).locator("[data-dz-errormessage]")).to_have_text("PNG only!")
    for name in ("a.b.png", "c.png"):
        expect(row(page, name)).to_contain_text("Stored")
        expect(row(page, name).locator("[data-dz-errormessage]")).to_have_count(0)
    assert set(posts) == {f"{example.url}/"}
    assert stored_in(example.folder) == ["pictures/a.b.png", "pictures/c.png"]


def test_a_single_file_has_the_sentence_alone(page: Page, example: LiveServer, tmp_path: Path) -> None:
    page.goto(example.url)
    page.locator("[data-uploads-ready]").wait_for()
    with page.expect_response(lambda response: response.request.method == "POST") as answered:
        drop(page, *write(tmp_path, {"notes.txt": b"words"}))
    assert (answered.value.status, answered.value.text()) == (400, "PNG only!")
    expect(row(page, "notes.txt").locator("[data-dz-errormessage]")).to_have_text("PNG only!")
