"""examples/classic-form in a real Chromium, with and without JavaScript."""

from collections.abc import Callable
from pathlib import Path

import pytest
from browser.samples import png, write
from example_apps import EXAMPLES, flask_run, posts_of, stored_in
from playwright.sync_api import Page, expect
from support import LiveServer


@pytest.fixture
def example(live_server: Callable[..., LiveServer]) -> LiveServer:
    return live_server(command=flask_run(EXAMPLES / "classic-form" / "app.py"))


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Path, Path]:
    """One that is too large, and a good one."""
    large, good = write(tmp_path, {"large.png": png(9, 9, 9) + bytes(600_000), "写真.png": png(1, 2, 3)})
    return large, good


def test_a_file_that_is_too_large_does_not_leave_the_browser(
    page: Page, example: LiveServer, pictures: tuple[Path, Path]
) -> None:
    large, good = pictures
    posted = posts_of(page)
    page.goto(f"{example.url}/upload")
    chooser = page.get_by_label("A picture")
    chooser.set_input_files(large)
    page.get_by_role("button", name="Upload").click()
    assert chooser.evaluate("(input) => input.validationMessage") == "File too large; the limit is 524 KB."
    assert not posted
    assert page.url == f"{example.url}/upload"
    chooser.set_input_files(good)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", name="The file was stored")).to_be_visible()
    assert posted == [f"{example.url}/upload"]
    assert stored_in(example.folder) == ["images/写真.png"]


def test_without_javascript_the_server_says_the_same(
    new_page: Callable[..., Page], example: LiveServer, pictures: tuple[Path, Path]
) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(f"{example.url}/upload")
    for picture, heading in zip(pictures, ["No file was stored", "The file was stored"], strict=True):
        page.get_by_label("A picture").set_input_files(picture)
        page.get_by_role("button", name="Upload").click()
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
        if picture.name == "large.png":
            expect(page.get_by_text("The file is 600 KB; the limit is 524 KB.")).to_be_visible()
        page.get_by_role("link", name="Back").click()
        expect(page).to_have_url(f"{example.url}/upload")
    assert stored_in(example.folder) == ["images/写真.png"]
