"""Small pictures in "Your files": shown where they can be, an icon where not, and nothing moves for them."""

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser.samples import drop, finished, listed, write
from browser.test_looks import violations
from corpus import formats
from PIL import Image
from playwright.sync_api import Page, expect
from support import LiveServer


def jpeg(hue: int, size: tuple[int, int] = (1200, 800)) -> bytes:
    """A photograph of nothing, as a camera held upright writes it: lying on its side."""
    above = Image.new("HSV", (size[0], size[1] // 2), (hue % 256, 160, 230)).convert("RGB")
    whole = Image.new("RGB", size, (40, 60, 40))
    whole.paste(above, (0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    whole.transpose(Image.Transpose.ROTATE_90).save(out, "JPEG", exif=exif)
    return out.getvalue()


def clear_png() -> bytes:
    out = io.BytesIO()
    Image.new("RGBA", (300, 300), (0, 0, 0, 0)).save(out, "PNG")
    return out.getvalue()


#: Its header is good.
BROKEN = formats.picture("JPEG").partition(b"\xff\xda")[0] + random.Random(1).randbytes(5000)


def items(page: Page) -> Any:
    return page.locator("[data-uploads-files-list] > li")


def test_pictures_are_shown_small_and_upright_before_and_after_a_reload(
    upload_page: Page, tmp_path: Path
) -> None:
    drop(upload_page, *write(tmp_path, {"写真.jpg": jpeg(20), "clear.png": clear_png(), "a.txt": b"words"}))
    finished(upload_page, 3)
    for _ in range(2):
        for name, width, height in (("写真.jpg", 256, 171), ("clear.png", 256, 256)):
            item = items(upload_page).filter(has_text=name[-5:])
            image = item.locator("img")
            expect(image).to_have_js_property("naturalWidth", width)
            expect(image).to_have_js_property("naturalHeight", height)
            assert "/thumbnails/" in (image.get_attribute("src") or "")
            box = image.bounding_box()
            assert box and (box["width"], box["height"]) == (48, 48)
            # It would be seen through what is transparent.
            expect(item.locator("[data-file-picture] .uploads-icon")).to_have_count(0)
        words = items(upload_page).filter(has_text="a.txt")
        expect(words.locator("[data-file-picture] .uploads-icon")).to_be_visible()
        expect(words.locator("img")).to_have_count(0)
        upload_page.reload()


@pytest.mark.expect_console_errors("not served: 404")
def test_a_picture_that_cannot_be_decoded_shows_its_icon(
    new_page: Callable[..., Any], upload_page: Page, server: LiveServer, tmp_path: Path
) -> None:
    drop(upload_page, *write(tmp_path, {"broken.jpg": BROKEN}))
    finished(upload_page, 1)
    for _ in range(2):
        expect(items(upload_page).locator("img")).to_have_count(0)
        expect(items(upload_page).locator("[data-file-picture] .uploads-icon")).to_be_visible()
        upload_page.reload()
    without = new_page(java_script_enabled=False)
    without.context.add_cookies(upload_page.context.cookies())
    without.goto(f"{server.url}/files")
    icon = without.locator("[data-file-picture] .uploads-icon")
    expect(icon).to_be_visible()
    # Nothing lies on top of it: a click on its middle meets it.
    box = icon.bounding_box()
    image = without.locator("[data-file-picture] img").bounding_box()
    assert box
    assert (
        image is None
        or image["width"] * image["height"] == 0
        or not without.evaluate(
            "getComputedStyle(document.querySelector('[data-file-picture] img')).backgroundColor !== 'rgba(0, 0, 0, 0)'"
        )
    )


def test_a_picture_that_the_server_has_no_time_for_comes_later(upload_page: Page, tmp_path: Path) -> None:
    busy, asked = True, 0

    def answer(route: Any) -> None:
        nonlocal asked
        asked += 1
        if busy:
            headers = {"Retry-After": "0.2", "Cache-Control": "no-store"}
            route.fulfill(status=503, content_type="text/plain", headers=headers, body="Later.")
        else:
            route.continue_()

    upload_page.route("**/thumbnails/*", answer)
    drop(upload_page, *write(tmp_path, {"a.jpg": jpeg(90)}))
    finished(upload_page, 1)
    expect(items(upload_page).locator("[data-file-picture] .uploads-icon")).to_be_visible()
    for _ in range(500):
        if asked:
            break
        upload_page.wait_for_timeout(20)
    busy = False
    expect(items(upload_page).locator("img")).to_have_js_property("naturalWidth", 256)
    expect(items(upload_page).locator("[data-file-picture] .uploads-icon")).to_have_count(0)
    assert asked > 1


def test_only_pictures_near_the_window_are_asked_for_and_nothing_moves_when_they_come(
    new_page: Callable[..., Any], upload_page: Page, server: LiveServer, tmp_path: Path
) -> None:
    drop(upload_page, *write(tmp_path, {f"{n:02}.jpg": jpeg(n * 5, (300, 200)) for n in range(50)}))
    finished(upload_page, 50, timeout=60_000)
    page = new_page(viewport={"width": 800, "height": 400})
    page.context.add_cookies(upload_page.context.cookies())
    asked: list[str] = []
    page.on("request", lambda sent: "/thumbnails/" in sent.url and asked.append(sent.url))
    page.add_init_script(
        """window.shifts = 0;
        new PerformanceObserver((list) => list.getEntries().forEach((one) => (window.shifts += one.value)))
          .observe({ type: "layout-shift", buffered: true });"""
    )
    page.goto(f"{server.url}/files")
    expect(items(page)).to_have_count(50)
    expect(items(page).first.locator("img")).to_have_js_property("naturalWidth", 256)
    assert 0 < len(set(asked)) < 50
    items(page).last.scroll_into_view_if_needed()
    expect(items(page).last.locator("img")).to_have_js_property("naturalWidth", 256, timeout=120_000)
    assert page.evaluate("window.shifts") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1600])
def test_axe_finds_nothing_in_a_list_of_pictures(
    new_page: Callable[..., Any], server: LiveServer, tmp_path: Path, scheme: str, width: int
) -> None:
    page = new_page(bypass_csp=True, color_scheme=scheme, viewport={"width": width, "height": 900})
    page.goto(server.url)
    page.locator("[data-uploads-ready]").wait_for()
    files = {"写真.jpg": jpeg(20), "beach.jpg": jpeg(150), "clear.png": clear_png(), "notes.txt": b"words"}
    drop(page, *write(tmp_path, files))
    finished(page, 4)
    page.reload()
    for image in items(page).locator("img").all():
        image.scroll_into_view_if_needed()
        expect(image).not_to_have_js_property("naturalWidth", 0)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_many_at_once_all_come_and_uploads_are_taken_meanwhile(
    new_page: Callable[..., Any], live_server: Callable[..., LiveServer], tmp_path: Path
) -> None:
    server = live_server(workers=1)
    pages = [new_page(viewport={"width": 800, "height": 3000}) for _ in range(2)]
    for number, page in enumerate(pages):
        page.goto(server.url)
        page.locator("[data-uploads-ready]").wait_for()
        drop(page, *write(tmp_path, {f"{number}/{n:02}.jpg": jpeg(n, (4000, 3000)) for n in range(8)}))
    for page in pages:
        expect(items(page)).to_have_count(8, timeout=60_000)
    drop(pages[0], *write(tmp_path, {"meanwhile.txt": b"words"}))
    expect(items(pages[0])).to_have_count(9, timeout=60_000)
    for page in pages:
        for image in items(page).locator("img").all():
            image.scroll_into_view_if_needed()
            expect(image).to_have_js_property("naturalWidth", 256, timeout=60_000)
    assert all(listed(page) for page in pages)
