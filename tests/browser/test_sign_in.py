"""The access code, as a person meets it: asked for once, and in the middle of an upload."""

from collections.abc import Callable
from pathlib import Path

import pytest
from browser.samples import drop, finished, write
from browser.test_looks import violations
from playwright.sync_api import Page, expect
from support import LiveServer

CODE = "seven grey herons"


def show(page: Page, code: str) -> None:
    page.get_by_label("Access code").fill(code)
    page.keyboard.press("Enter")


@pytest.mark.expect_console_errors("401", "403", "Password forms")
def test_an_upload_waits_for_who_has_signed_out_and_goes_on_by_itself(
    live_server: Callable[..., LiveServer], new_page: Callable[..., Page], tmp_path: Path
) -> None:
    page = new_page(bypass_csp=True)
    server = live_server(env={"FLASK_UPLOADS_ACCESS_CODE": CODE})
    page.goto(server.url)
    expect(page.get_by_label("Access code")).to_be_focused()
    show(page, "seven grey geese")
    expect(page.get_by_role("alert")).to_have_text("That is not the access code; look it up and try again.")
    assert violations(page) == []
    show(page, CODE)
    page.locator("[data-uploads-ready]").wait_for()
    other = page.context.new_page()
    other.goto(server.url)
    other.get_by_role("button", name="Sign out").click()
    expect(other.get_by_label("Access code")).to_be_visible()
    drop(page, *write(tmp_path, {"a.txt": b"hello"}))
    banner = page.locator("[data-uploads-banner]")
    expect(banner).to_contain_text("You are signed out. 1 file waits")
    other.goto(banner.get_by_role("link", name="Sign in").get_attribute("href") or "")
    show(other, CODE)
    expect(other.get_by_role("button", name="Sign out")).to_be_visible()
    assert finished(page, 1)["stored"] == 1
