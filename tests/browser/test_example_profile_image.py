"""examples/profile-image in a real Chromium: four steps, told as they are known."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser.samples import png, write
from example_apps import EXAMPLES, flask_run
from fakes.cloudinary import FakeCloudinary
from playwright.sync_api import Page, expect
from support import LiveServer


def open_page(page: Page, live_server: Callable[..., LiveServer], folder: Path, storage: str) -> LiveServer:
    env = {
        "FLASK_UPLOADS_STORAGE": storage,
        "FLASK_SQLALCHEMY_DATABASE_URI": f"sqlite:///{folder / 'users.sqlite'}",
    }
    server = live_server(command=flask_run(EXAMPLES / "profile-image" / "app.py"), env=env)
    page.goto(server.url)
    return server


def upload(page: Page, folder: Path, **files: bytes) -> None:
    (name,) = files
    page.get_by_label("New image").set_input_files(write(folder, {name.replace("_", "."): files[name]}))
    page.get_by_role("button", name="Upload").click()


def states(page: Page) -> list[str | None]:
    return [step.get_attribute("data-state") for step in page.locator("#steps li").all()]


def shown_width(page: Page) -> Any:
    return page.locator("#image").evaluate("image => image.decode().then(() => image.naturalWidth)")


@pytest.mark.parametrize("where", ["a folder", "Cloudinary"])
def test_the_image_goes_through_four_steps_and_is_shown(
    page: Page, live_server: Callable[..., LiveServer], tmp_path: Path, cloud: FakeCloudinary, where: str
) -> None:
    storage = f"file:{tmp_path / 'images'}" if where == "a folder" else cloud.empty(public="true")
    open_page(page, live_server, tmp_path, storage)
    for width in (40, 50):
        with page.expect_request("**/user/1/image") as asked:
            upload(page, tmp_path, me_png=png(width, width, 30, width))
        assert asked.value.method == "PUT"
        expect(page.get_by_role("status")).to_have_text("Saved.")
        assert states(page) == ["done"] * 4
        assert shown_width(page) == width
    page.reload()
    assert shown_width(page) == 50


@pytest.mark.expect_console_errors("503", "415")
def test_the_step_that_failed_says_why(
    page: Page, live_server: Callable[..., LiveServer], tmp_path: Path, cloud: FakeCloudinary
) -> None:
    open_page(page, live_server, tmp_path, cloud.empty(public="true", timeout="5"))
    upload(page, tmp_path, me_exe=b"MZ" + bytes(100))
    expect(page.get_by_role("status")).to_contain_text(".exe files are not accepted here.")
    assert states(page) == ["done", "failed", None, None]
    with cloud.failing("upload", "500"):
        upload(page, tmp_path, me_png=png(1, 40, 30))
        expect(page.get_by_role("status")).to_contain_text(re.compile("later", re.IGNORECASE))
    assert states(page) == ["done", "done", "failed", None]
    upload(page, tmp_path, me_png=png(1, 40, 30))
    expect(page.get_by_role("status")).to_have_text("Saved.")


@pytest.mark.expect_console_errors
def test_a_server_that_is_gone_is_told_at_the_first_step(
    page: Page, live_server: Callable[..., LiveServer], tmp_path: Path
) -> None:
    server = open_page(page, live_server, tmp_path, f"file:{tmp_path / 'images'}")
    server.stop()
    upload(page, tmp_path, me_png=png(1, 40, 30))
    expect(page.get_by_role("status")).to_have_text("The server cannot be reached; try again.")
    assert states(page) == ["failed", None, None, None]
