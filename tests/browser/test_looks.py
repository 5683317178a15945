"""For everybody: contrast and names by axe, every width, reduced motion, both schemes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser.samples import drop, finished, write
from playwright.sync_api import Page, expect
from support import LiveServer

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"


def open_page(new_page: Callable[..., Any], server: LiveServer, **options: Any) -> Any:
    # The page's own policy forbids foreign scripts, axe among them; test_drop.py holds the policy.
    page = new_page(bypass_csp=True, **options)
    page.goto(server.url)
    page.locator("[data-uploads-ready]").wait_for()
    return page


def violations(page: Page) -> list[str]:
    """What axe finds wrong with the page as it stands."""
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run().then((found) => found.violations)")
    return [f"{rule['id']}: {node['html'][:200]}" for rule in found for node in rule["nodes"]]


def mixed_drop(page: Page, good_files: list[Path], tmp_path: Path) -> None:
    bad = write(tmp_path, {"setup.exe": b"MZ\0", "no picture.png": b"text", "binary.txt": bytes(300)})
    drop(page, *good_files[:5], *bad)
    finished(page, 8)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1600])
def test_axe_finds_nothing_empty_busy_mixed_and_deleting(
    new_page: Callable[..., Any],
    server: LiveServer,
    good_files: list[Path],
    tmp_path: Path,
    scheme: str,
    width: int,
) -> None:
    page = open_page(new_page, server, color_scheme=scheme, viewport={"width": width, "height": 900})
    assert violations(page) == [], "empty"

    held: list[Any] = []
    page.route("**/upload/*", lambda route: held.append(route), times=1)
    drop(page, *good_files[:3])
    page.locator(".dz-processing").first.wait_for()
    assert violations(page) == [], "busy"
    held[0].continue_()
    finished(page, 3)
    page.reload()
    page.locator("[data-uploads-ready]").wait_for()

    mixed_drop(page, good_files, tmp_path)
    page.locator(".dz-error .dz-image").first.focus()
    page.get_by_role("button", name="Delete").first.click()
    assert violations(page) == [], "mixed"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1600), ("dark", 360)])
@pytest.mark.parametrize(
    ("status", "said"),
    [
        (503, "The server is busy."),
        (401, "You are signed out."),
        (507, "The server has no room left."),
        (0, "Paused."),
    ],
)
def test_axe_finds_nothing_while_the_queue_waits(
    new_page: Callable[..., Any],
    server: LiveServer,
    tmp_path: Path,
    scheme: str,
    width: int,
    status: int,
    said: str,
) -> None:
    page = open_page(new_page, server, color_scheme=scheme, viewport={"width": width, "height": 900})
    answer = {"status": status or 500, "content_type": "text/plain", "body": "No."}
    page.route("**/upload/*", lambda route: route.fulfill(**answer))
    if status == 401:
        page.route("**/csrf-token", lambda route: route.fulfill(**answer))
    page.evaluate("document.querySelector('.dropzone').batchUploader.batches.packer.maxParts = 1")
    page.evaluate("document.querySelector('.dropzone').batchUploader.parallel = 1")
    if not status:
        page.evaluate("document.querySelector('.dropzone').batchUploader.pause()")
    drop(page, *write(tmp_path, {f"{n}.txt": b"text\n" for n in range(3)}))
    expect(page.locator("[data-uploads-banner]")).to_contain_text(said)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [320, 360, 768, 1600])
def test_nothing_is_wider_than_the_window(
    new_page: Callable[..., Any], server: LiveServer, good_files: list[Path], tmp_path: Path, width: int
) -> None:
    page = open_page(new_page, server, viewport={"width": width, "height": 800})
    long_name = "a very long name without an end " * 6 + ".txt"
    unbroken = "x" * 200 + ".bin"
    drop(page, *good_files[:6], *write(tmp_path, {long_name: b"1", unbroken: b"2"}))
    finished(page, 8)
    for thumbnail in page.locator(".dz-error .dz-image").all():
        thumbnail.focus()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("group").or_(page.locator("summary")).first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_batch_page_is_sound_too(
    new_page: Callable[..., Any], server: LiveServer, good_files: list[Path], tmp_path: Path
) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(server.url)
    page.get_by_label("Files to upload").set_input_files(
        [*good_files[:2], *write(tmp_path, {"bad.png": b"no"})]
    )
    page.get_by_role("button", name="Upload", exact=True).click()
    page.wait_for_url("**/batches/*")
    url, cookies = page.url, page.context.cookies()
    scripted = new_page(bypass_csp=True)
    scripted.context.add_cookies(cookies)
    scripted.goto(url)
    assert violations(scripted) == []


def test_reduced_motion_moves_nothing(
    new_page: Callable[..., Any], server: LiveServer, good_files: list[Path]
) -> None:
    page = open_page(new_page, server, reduced_motion="reduce")
    drop(page, *good_files[:3])
    finished(page, 3)
    moving = page.evaluate("""() => [...document.querySelectorAll("*")].filter((element) => {
      const style = getComputedStyle(element);
      return style.transitionDuration.split(",").some((time) => parseFloat(time) > 0) || style.animationName !== "none";
    }).length""")
    assert moving == 0


def test_a_row_keeps_its_height_when_its_state_changes(
    new_page: Callable[..., Any], server: LiveServer, good_files: list[Path], tmp_path: Path
) -> None:
    page = open_page(new_page, server, viewport={"width": 1600, "height": 900})
    held: list[Any] = []
    page.route("**/upload/*", lambda route: held.append(route), times=1)
    drop(page, *good_files[:2], *write(tmp_path, {"no picture.png": b"text"}))
    page.locator(".dz-processing").nth(2).wait_for()
    heights = [box.bounding_box()["height"] for box in page.locator(".dz-preview").all()]
    held[0].continue_()
    finished(page, 3)
    assert [box.bounding_box()["height"] for box in page.locator(".dz-preview").all()] == heights


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_scheme_of_the_system(
    new_page: Callable[..., Any], server: LiveServer, scheme: str
) -> None:
    page = open_page(new_page, server, color_scheme=scheme)
    red, green, blue = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).slice(0, 3).map(Number)"
    )
    assert (red + green + blue > 600) == (scheme == "light")
