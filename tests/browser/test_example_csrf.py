"""examples/csrf in a real Chromium: stock Dropzone, and a tooltip that says what is wrong with the token."""

from collections.abc import Callable
from pathlib import Path

import pytest
from browser.samples import png, write
from example_apps import EXAMPLES, flask_run, stored_in
from playwright.sync_api import Locator, Page, expect
from support import LiveServer


@pytest.fixture
def example(live_server: Callable[..., LiveServer]) -> LiveServer:
    command = flask_run(EXAMPLES / "csrf" / "app.py")
    return live_server(command=command, env={"FLASK_WTF_CSRF_TIME_LIMIT": "5"})


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return write(tmp_path, {"a.png": png(1, 2, 3)})[0]


def choose(page: Page, picture: Path) -> None:
    page.set_input_files("input.dz-hidden-input", picture)


def hovered(page: Page) -> Locator:
    """The tooltip of the refused thumbnail."""
    thumbnail = page.locator(".dz-preview.dz-error")
    thumbnail.hover()
    tooltip = thumbnail.locator(".dz-error-message")
    expect(tooltip).to_have_css("opacity", "1")
    return tooltip


def test_the_page_uploads_with_its_token(page: Page, example: LiveServer, picture: Path) -> None:
    page.goto(f"{example.url}/upload")
    choose(page, picture)
    expect(page.locator(".dz-preview.dz-success.dz-complete")).to_have_count(1)
    assert stored_in(example.folder) == ["files/a.png"]


def test_an_expired_token_is_the_tooltip(page: Page, example: LiveServer, picture: Path) -> None:
    page.goto(f"{example.url}/upload")
    page.wait_for_timeout(6_100)
    choose(page, picture)
    expect(hovered(page)).to_have_text("The CSRF token has expired; reload the page and try again.")
    page.reload()
    choose(page, picture)
    expect(page.locator(".dz-preview.dz-success.dz-complete")).to_have_count(1)


def test_a_token_without_its_session_is_the_tooltip(page: Page, example: LiveServer, picture: Path) -> None:
    page.goto(f"{example.url}/upload")
    page.context.clear_cookies()
    choose(page, picture)
    expect(hovered(page)).to_have_text(
        "The session has no CSRF token (are cookies allowed?); reload the page and try again."
    )
    assert stored_in(example.folder) == []


def test_a_missing_token_is_the_tooltip(page: Page, example: LiveServer, picture: Path) -> None:
    page.goto(f"{example.url}/upload")
    page.evaluate("delete document.querySelector('.dropzone').dropzone.options.headers['X-CSRF-Token']")
    choose(page, picture)
    expect(hovered(page)).to_have_text("The CSRF token is missing; reload the page and try again.")
    assert stored_in(example.folder) == []
