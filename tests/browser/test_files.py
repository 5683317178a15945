"""Your files: newest first, opened, downloaded, deleted; also without a script."""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from browser.samples import drop, finished, png, row, write
from playwright.sync_api import Page, expect
from support import LiveServer

from dropzone_app.config import Size


def names(page: Page) -> list[str]:
    """What the list shows, top first."""
    return page.locator("[data-uploads-files-list] > li .uploads-file-name").all_text_contents()


def test_stored_files_come_to_the_top_and_a_reload_shows_the_same_order(
    upload_page: Page, tmp_path: Path
) -> None:
    expect(upload_page.get_by_text("Nothing here yet.")).to_be_visible()
    first, second, third = write(tmp_path, {"a.txt": b"a", "b.png": png(9, 120, 90), "c.txt": b"c"})
    drop(upload_page, first)
    finished(upload_page, 1)
    drop(upload_page, second, third)
    expect(upload_page.locator("[data-uploads-files-list] > li")).to_have_count(3)
    expect(upload_page.get_by_text("Nothing here yet.")).to_be_hidden()
    shown = names(upload_page)
    assert shown[2] == "a.txt"
    upload_page.reload()
    assert names(upload_page) == shown


def test_a_file_shows_its_picture_size_and_age_and_downloads_under_its_name(
    upload_page: Page, tmp_path: Path
) -> None:
    [path] = write(tmp_path, {"Grüße aus Köln.png": png(250, 210, 10)})
    drop(upload_page, path)
    item = upload_page.locator("[data-uploads-files-list] > li")
    expect(item.locator("img")).to_have_js_property("naturalWidth", 64)
    expect(item.locator("time")).to_have_text("just now")
    expect(item.locator("[data-file-size]")).to_have_text(f"{path.stat().st_size} bytes")
    with upload_page.expect_download() as download:
        item.get_by_role("link", name=re.compile("^Download")).click()
    assert download.value.suggested_filename == path.name
    assert Path(download.value.path()).read_bytes() == path.read_bytes()
    upload_page.reload()
    expect(item.locator("img")).to_have_js_property("naturalWidth", 64)


def test_delete_asks_first_and_then_the_file_is_gone(upload_page: Page, tmp_path: Path) -> None:
    drop(upload_page, *write(tmp_path, {"keep.txt": b"keep", "go.txt": b"go"}))
    items = upload_page.locator("[data-uploads-files-list] > li")
    expect(items).to_have_count(2)
    item = items.filter(has_text="go.txt")
    url = item.locator(".uploads-file-name").get_attribute("href") or ""
    delete = item.get_by_role("button", name="Delete go.txt")

    delete.click()
    item.get_by_role("button", name="Keep").click()
    expect(items).to_have_count(2)
    expect(delete).to_be_focused()

    delete.click()
    upload_page.keyboard.press("Escape")
    expect(item.get_by_role("group")).to_have_count(0)

    delete.click()
    item.get_by_role("button", name="Delete", exact=True).click()
    expect(items).to_have_count(1)
    expect(upload_page.locator("[data-uploads-files-live]")).to_have_text("go.txt was deleted.")
    assert upload_page.request.get(urljoin(upload_page.url, url)).status == 404
    # The drop above says so too, and the same file may come again.
    gone = row(upload_page, "go.txt")
    expect(gone).to_have_attribute("data-state", "deleted")
    expect(gone.get_by_role("link", name="Open")).to_have_count(0)
    drop(upload_page, tmp_path / "go.txt")
    assert finished(upload_page, 3) | {"stored": 2, "deleted": 1, "refused": 0} == finished(upload_page, 3)
    expect(items).to_have_count(2)
    upload_page.reload()
    assert names(upload_page) == ["go.txt", "keep.txt"]


def test_a_delete_that_fails_says_so_and_keeps_the_file(upload_page: Page, tmp_path: Path) -> None:
    drop(upload_page, *write(tmp_path, {"stays.txt": b"stays"}))
    item = upload_page.locator("[data-uploads-files-list] > li")
    upload_page.route(
        "**/files/*",
        lambda route: route.fulfill(status=503, content_type="text/plain", body="Try again later."),
    )
    item.get_by_role("button", name="Delete stays.txt").click()
    item.get_by_role("button", name="Delete", exact=True).click()
    expect(item.get_by_role("group")).to_contain_text("Try again later.")
    expect(item).to_have_count(1)


def test_show_more_goes_on_where_the_list_ends(upload_page: Page, tmp_path: Path) -> None:
    files = write(tmp_path, {f"{n:02}.txt": b"%d" % n for n in range(60)})
    drop(upload_page, *files)
    finished(upload_page, 60)
    upload_page.reload()
    upload_page.locator("[data-uploads-ready]").wait_for()
    first = names(upload_page)
    assert len(first) < 60
    upload_page.get_by_role("link", name="Show more").click()
    expect(upload_page.locator("[data-uploads-files-list] > li")).to_have_count(60)
    assert names(upload_page)[: len(first)] == first
    assert sorted(names(upload_page)) == sorted(path.name for path in files)
    expect(upload_page.get_by_role("link", name="Show more")).to_have_count(0)


def test_without_javascript_the_plain_form_uploads_and_tells_what_became_of_each(
    new_page: Callable[..., Any], server: LiveServer, tmp_path: Path
) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(server.url)
    expect(page.get_by_text("Drop files or folders here")).to_be_hidden()
    good, bad, *_ = write(tmp_path, {"good.png": png(40, 160, 90), "bad.png": b"no picture at all"})
    page.get_by_label("Files to upload").set_input_files([good, bad])
    page.get_by_role("button", name="Upload", exact=True).click()
    page.wait_for_url("**/batches/*")
    expect(page.get_by_role("heading", level=1)).to_have_text("1 stored, 1 refused")
    rows = page.get_by_role("listitem")
    expect(rows.filter(has_text="good.png")).to_contain_text("Stored")
    refused = rows.filter(has_text="bad.png")
    expect(refused).to_contain_text("Refused")
    expect(refused.locator("[data-dz-errormessage]")).to_contain_text("its content is")
    link = rows.filter(has_text="good.png").get_by_role("link", name="Open").get_attribute("href")
    assert page.request.get(urljoin(page.url, link)).body() == good.read_bytes()
    page.get_by_role("link", name="Back").click()
    page.wait_for_url(server.url + "/")
    expect(page.locator("[data-uploads-files-list] > li")).to_have_count(1)


def test_with_javascript_the_plain_form_is_not_seen(upload_page: Page) -> None:
    expect(upload_page.get_by_label("Files to upload")).to_have_count(0)
    expect(upload_page.get_by_text("Drop files or folders here")).to_be_visible()


def test_sizes_are_said_alike_by_server_page_and_script(upload_page: Page) -> None:
    chance = random.Random(1)
    sizes = [chance.randrange(10 ** chance.randrange(1, 14)) for _ in range(3000)]
    # Ties, where the rounding of Python and of JavaScript differ.
    sizes += [250 * n for n in range(4000)] + [250_000 * n for n in range(4000)]
    by_script = upload_page.evaluate(
        """(sizes) => import(new URL("format.js", document.querySelector("script[src*='js/zone.js']").src))
          .then(({ humanSize }) => sizes.map(humanSize))""",
        sizes,
    )
    by_server = [str(Size(size)) for size in sizes]
    assert by_script == by_server
    assert [Size(size).told("en") for size in sizes] == by_server
