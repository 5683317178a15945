"""A zone in somebody else's page: it works there, and leaves the page as it is."""

import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin

import pytest
from browser.samples import Dragging, middle, png, write
from playwright.sync_api import Page, expect
from support import LiveServer


@pytest.fixture
def host(live_server: Callable[..., LiveServer]) -> LiveServer:
    return live_server(
        command=[sys.executable, str(Path(__file__).parent / "host_app.py"), "{port}"], ready="/in/healthz"
    )


PHOTOS = "input.dz-hidden-input[form=uploads-photos]"

LOOKS = """() => ["body", "h1", "p", "a", "ul", "li", "button", "input"].map((selector) => {
  const style = getComputedStyle(document.querySelector(selector));
  return [selector, ...["font", "color", "margin", "padding", "background", "boxSizing", "listStyle", "border"]
    .map((property) => style[property])].join(" | ");
})"""


def test_the_zone_brings_no_style_to_the_rest_of_the_page(page: Page, host: LiveServer) -> None:
    page.goto(urljoin(host.url, "/without"))
    before = page.evaluate(LOOKS)
    page.goto(host.url)
    page.locator("[data-uploads-ready]").first.wait_for()
    assert page.evaluate(LOOKS) == before
    zone = page.locator(".uploads-zone").first
    assert "Georgia" in zone.evaluate("(element) => getComputedStyle(element).fontFamily"), (
        "fonts are the host's"
    )


def test_two_zones_of_one_page_have_their_own_rules_and_lists(
    page: Page, host: LiveServer, tmp_path: Path
) -> None:
    page.goto(host.url)
    drops = page.locator(".uploads-drop")
    expect(drops).to_have_count(2)
    assert page.locator("link[href*='dropzone-min']").count() == 1
    picture, note = write(tmp_path, {"a.png": png(9, 9, 9), "b.txt": b"b"})
    for number, (name, stored, refused) in enumerate(
        [("photos", "a.png", "b.txt"), ("notes", "b.txt", "a.png")]
    ):
        page.set_input_files(f"input.dz-hidden-input[form=uploads-{name}]", [picture, note])
        rows = drops.nth(number).locator(".dz-preview")
        expect(rows).to_have_count(2)
        expect(drops.nth(number).locator(".dz-success [data-dz-name]")).to_have_text(stored)
        expect(drops.nth(number).locator(".dz-error [data-dz-name]")).to_have_text(refused)


def test_of_one_drop_only_as_many_files_are_taken_as_the_set_allows(
    page: Page, host: LiveServer, tmp_path: Path
) -> None:
    page.goto(host.url)
    files = write(tmp_path, {f"{n}.png": png(n, 9, 9) for n in range(3)})
    drop_area = page.locator(".uploads-drop").first
    page.set_input_files(PHOTOS, files)
    expect(drop_area.locator(".dz-success")).to_have_count(2)
    expect(drop_area.locator(".dz-error [data-dz-errormessage]")).to_contain_text("Only 2")
    # A second drop is counted anew.
    page.set_input_files(PHOTOS, files[2])
    expect(drop_area.locator(".dz-success")).to_have_count(3)


@pytest.mark.parametrize(("where", "taken"), [("h1", 0), ("[data-uploads-list]", 1)])
def test_only_zone_and_list_take_drops_in_a_host_page(
    page: Page, host: LiveServer, tmp_path: Path, where: str, taken: int
) -> None:
    page.goto(host.url)
    first, second = write(tmp_path, {"a.png": png(1, 2, 3), "b.png": png(3, 2, 1)})
    page.set_input_files(PHOTOS, first)
    rows = page.locator(".uploads-drop").first.locator(".dz-preview")
    expect(rows).to_have_count(1)
    # Over the heading the browser itself would open the file; the drag is enough to see who takes it.
    page.evaluate("""() => window.addEventListener("dragover", (event) => {
      setTimeout(() => (window.taken = event.defaultPrevented));
    }, { capture: true })""")
    x, y = middle(page.locator(where).first)
    dragging = Dragging(page, [second])
    dragging.over(x, y)
    page.wait_for_timeout(100)
    assert page.evaluate("window.taken") is bool(taken)
    if taken:
        dragging.drop(x, y)
        expect(rows).to_have_count(2)


@pytest.mark.parametrize("order", ["ours-last", "ours-first", "ours-between"])
def test_a_form_on_flask_dropzones_own_dropzone_works_beside_the_zone(
    page: Page, live_server: Callable[..., LiveServer], tmp_path: Path, order: str
) -> None:
    command = [sys.executable, str(Path(__file__).parent / "stock_app.py"), "{port}"]
    server = live_server(command=command)
    page.goto(urljoin(server.url, order))
    page.locator("[data-uploads-ready]").wait_for()
    assert page.evaluate("Dropzone.version") == "5.9.3"
    (note,) = write(tmp_path, {"a.txt": b"a"})
    page.set_input_files("input.dz-hidden-input[form=uploads-my_photos]", note)
    expect(page.locator(".uploads-drop .dz-success [data-dz-name]")).to_have_text("a.txt")
    theirs = page.locator("#myDropzone")
    expect(theirs).to_contain_text("Theirs")
    chooser = page.evaluate_handle("document.getElementById('myDropzone').dropzone.hiddenFileInput")
    chooser.as_element().set_input_files(note)
    page.wait_for_url("**/theirs-done")
    expect(page.locator("body")).to_have_text("Theirs is done: ['a.txt']")
