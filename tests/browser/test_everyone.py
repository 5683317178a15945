"""Nobody comes second: keyboard alone, screen reader, finger, large letters, few colours, from right to left."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser.samples import drop, finished, write
from browser.test_looks import open_page, violations
from playwright.sync_api import Page, expect
from support import LiveServer

REFUSED = "[data-state=refused]"
FOCUSED = "document.activeElement"


def mixed(page: Page, tmp_path: Path) -> None:
    """Two stored, two refused."""
    drop(page, *write(tmp_path, {"a.txt": b"1", "b.exe": b"MZ", "c.png": b"no", "d.txt": b"4"}))
    finished(page, 4)


def named(page: Page) -> str:
    """What has the focus, as a screen reader would call it."""
    name: str = page.evaluate(f"{FOCUSED}.ariaLabel || {FOCUSED}.title || {FOCUSED}.textContent.trim()")
    return name


def tab_to(page: Page, name: str, key: str = "Tab") -> list[str]:
    """Tab until this has the focus; what had it on the way."""
    passed: list[str] = []
    for _ in range(40):
        page.keyboard.press(key)
        found = named(page)
        if found == name:
            return passed
        passed.append(found)
    raise AssertionError(f"{name!r} cannot be reached by {key}: {passed}")


def test_the_keyboard_alone_does_everything_in_the_order_of_the_page(
    new_page: Callable[..., Any], server: LiveServer, tmp_path: Path
) -> None:
    page = open_page(new_page, server)
    # The browser has to know of this before the key: on a busy machine it came too late at times.
    page.on("filechooser", lambda _: None)
    tab_to(page, "Choose files")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(write(tmp_path, {"a.txt": b"1", "b.exe": b"MZ", "c.png": b"no", "d.txt": b"4"}))
    finished(page, 4)
    # Your files are told of what is stored a moment later.
    expect(page.locator("[data-uploads-files-list] > li")).to_have_count(2)

    # Down the page: what can be done with the drop, then its files, then those of before.
    passed = tab_to(page, "Open a.txt")
    places = [passed.index(name) for name in ("Choose folder", "Show 2 refused", "Undo this drop", "Clear")]
    assert places == sorted(places)
    passed = tab_to(page, "Why c.png was refused")
    assert passed == ["Why b.exe was refused", "Remove file b.exe"]
    assert tab_to(page, "Delete d.txt")[-1] == "Download d.txt"
    # And up again.
    tab_to(page, "Show 2 refused", "Shift+Tab")

    page.keyboard.press("Enter")
    assert named(page) == "Why b.exe was refused", "the focus goes to the first failure"
    expect(page.locator(".dz-preview")).to_have_count(2)
    expect(page.get_by_role("tooltip")).to_contain_text(".exe files are not accepted here.")
    page.keyboard.press("Escape")
    expect(page.get_by_role("tooltip")).to_have_count(0)

    # What is taken away leaves the focus to what came into its place.
    tab_to(page, "Remove file b.exe")
    page.keyboard.press("Enter")
    assert page.evaluate(f"{FOCUSED}.innerText").startswith("c.png")
    tab_to(page, "Show all", "Shift+Tab")
    page.keyboard.press("Space")
    expect(page.locator(".dz-preview")).to_have_count(3)

    tab_to(page, "Delete d.txt")
    page.keyboard.press("Enter")
    assert named(page) == "Delete"
    page.keyboard.press("Escape")
    assert named(page) == "Delete d.txt"
    tab_to(page, "Undo this drop", "Shift+Tab")
    page.keyboard.press("Enter")
    assert named(page) == "Delete"
    page.keyboard.press("Escape")
    assert named(page) == "Undo this drop"
    page.keyboard.press("Enter")
    assert named(page) == "Delete"
    page.keyboard.press("Enter")
    expect(page.locator("[data-state=deleted]")).to_have_count(2)
    expect(page.locator("[data-uploads-live]")).to_have_text("2 files deleted again.")
    assert named(page) == "Clear"
    page.keyboard.press("Enter")
    assert named(page) == "Choose files"


def test_each_refused_file_is_described_by_its_sentence_and_the_sum_is_said_politely(
    new_page: Callable[..., Any], server: LiveServer, tmp_path: Path
) -> None:
    page = open_page(new_page, server)
    live = page.locator("[data-uploads-live]")
    assert (live.get_attribute("aria-live"), live.get_attribute("role")) == ("polite", "status")
    mixed(page, tmp_path)
    expect(live).to_have_text("2 stored, 2 refused.")
    for row in page.locator(REFUSED).all():
        said = row.locator("[data-dz-errormessage]").inner_text()
        expect(row.get_by_role("button", name="Why")).to_have_accessible_description(said)
    # In words and a drawing, never by colour alone.
    assert page.locator(".uploads-state").all_inner_texts() == ["Stored", "Refused", "Refused", "Stored"]


def test_a_long_drop_is_spoken_of_less_and_less_often(upload_page: Page) -> None:
    said = upload_page.evaluate("""async () => {
      const uploader = document.querySelector(".dropzone").batchUploader;
      const live = document.querySelector("[data-uploads-live]");
      const frame = () => new Promise(requestAnimationFrame);
      uploader.pause();
      uploader.addFiles([new File(["text"], "a.txt")]);
      let seconds = performance.now() / 1000 + 5;
      performance.now = () => seconds * 1000;
      const said = [];
      // Ten minutes, in which something comes to its end every five seconds.
      for (let n = 1; n <= 120; n += 1) {
        seconds += 5;
        uploader.counts.stored = n;
        uploader.view.counted();
        await frame();
        await frame();
        if (live.textContent !== said.at(-1)) said.push(live.textContent);
      }
      uploader.counts.stored = 0;
      uploader.cancelAll();
      return said;
    }""")
    assert 10 <= len(said) <= 15
    assert said[0].startswith("1 of 1 stored")


def test_a_sentence_shows_by_pointer_by_focus_and_by_finger(
    new_page: Callable[..., Any], server: LiveServer, tmp_path: Path
) -> None:
    page = open_page(new_page, server, has_touch=True, viewport={"width": 390, "height": 844})
    mixed(page, tmp_path)
    why = page.get_by_role("button", name="Why b.exe was refused")
    tip = page.get_by_role("tooltip")
    why.hover()
    expect(tip).to_contain_text("not accepted here")
    tip.hover()
    expect(tip).to_be_visible()
    page.mouse.move(1, 1)
    expect(tip).to_have_count(0)
    why.focus()
    expect(tip).to_be_visible()
    why.blur()
    expect(tip).to_have_count(0)
    why.tap()
    expect(tip).to_be_visible()
    box = tip.bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390
    page.get_by_role("heading", name="Your files").tap()
    expect(tip).to_have_count(0)


CUT_OFF = """() => [...document.querySelectorAll("button, a, p, h1, h2, summary, .uploads-state, .dz-error-message")]
  .filter((element) => element.checkVisibility() && !element.closest(".uploads-hidden"))
  .filter(({ scrollWidth, clientWidth, scrollHeight, clientHeight, className }) =>
    clientWidth > 0 && !/uploads-(name|path)/.test(className) &&
    (scrollWidth > clientWidth + 1 || scrollHeight > clientHeight + 2))
  .filter((element) => getComputedStyle(element).overflow !== "visible")
  .map((element) => element.outerHTML.slice(0, 200))"""


@pytest.mark.parametrize("how", ["zoom", "letters"])
def test_at_200_percent_nothing_is_cut_off_or_out_of_reach(
    new_page: Callable[..., Any], server: LiveServer, tmp_path: Path, how: str
) -> None:
    # A window of 1280 pixels at 200 % has the room of 640 (WCAG 2.2, 1.4.4); of letters alone the room stays.
    zoomed = {"viewport": {"width": 640, "height": 450}, "device_scale_factor": 2}
    page = open_page(
        new_page, server, **(zoomed if how == "zoom" else {"viewport": {"width": 1280, "height": 900}})
    )
    if how == "letters":
        page.evaluate("document.documentElement.style.fontSize = '200%'")
    mixed(page, tmp_path)
    page.locator(f"{REFUSED} .dz-image").first.focus()
    width = page.evaluate("innerWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CUT_OFF) == []
    for button in page.get_by_role("button").or_(page.get_by_role("link")).all():
        box = button.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= width + 1, button


def test_a_finger_finds_every_button(
    new_page: Callable[..., Any], server: LiveServer, tmp_path: Path
) -> None:
    page = open_page(new_page, server, has_touch=True, is_mobile=True, viewport={"width": 360, "height": 800})
    mixed(page, tmp_path)
    small = page.evaluate("""() => [...document.querySelectorAll("button, a, summary, [role=button]")]
      .filter((element) => element.checkVisibility({visibilityProperty: true}) && element.tabIndex >= 0)
      .filter((element) => {
        const { width, height } = element.getBoundingClientRect();
        return width < 43.5 || height < 43.5;
      }).map((element) => `${element.className} ${element.getBoundingClientRect().width} × ${
        element.getBoundingClientRect().height}`)""")
    assert small == []


def test_with_few_colours_all_is_still_seen(
    new_page: Callable[..., Any], server: LiveServer, tmp_path: Path
) -> None:
    page = open_page(new_page, server, forced_colors="active")
    mixed(page, tmp_path)
    page.locator(f"{REFUSED} .dz-image").first.focus()
    unseen = page.evaluate("""() => {
      const canvas = getComputedStyle(document.body).backgroundColor;
      return [...document.querySelectorAll(".uploads-icon, .uploads-bar > span")]
        .filter((element) => element.checkVisibility() && element.getBoundingClientRect().width > 0)
        .filter((element) => getComputedStyle(element).backgroundColor === canvas)
        .map((element) => element.outerHTML);
    }""")
    assert unseen == []
    zone, tip = page.locator(".uploads-prompt"), page.get_by_role("tooltip")
    for drawn in (zone, tip):
        assert drawn.evaluate("(element) => parseFloat(getComputedStyle(element).borderTopWidth)") >= 1
    outline = page.evaluate(f"getComputedStyle({FOCUSED}).outlineStyle")
    assert outline != "none"
    assert violations(page) == []


#: The letters of an element in the order in which they are seen, from left to right.
SEEN = """(element) => {
  const letters = [], walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    for (let index = 0; index < node.length; index += 1) {
      const range = document.createRange();
      range.setStart(node, index);
      range.setEnd(node, index + 1);
      const { left, top, width } = range.getBoundingClientRect();
      if (width > 0) letters.push({ left, line: Math.round(top / 8), letter: node.data[index] });
    }
  }
  letters.sort((one, other) => one.line - other.line || one.left - other.left);
  return letters.map(({ letter }) => letter).join("").replaceAll("\\n", "").trim();
}"""


@pytest.mark.parametrize("width", [360, 1280])
def test_from_right_to_left_the_page_is_a_mirror_and_its_words_stay_readable(
    new_page: Callable[..., Any], server: LiveServer, tmp_path: Path, width: int
) -> None:
    page = open_page(new_page, server, viewport={"width": width, "height": 900})
    row = page.locator(".uploads-row")

    def sides() -> list[float]:
        boxes = [
            row.first.locator(part).bounding_box()
            for part in (".dz-image", ".uploads-name", ".uploads-row-actions")
        ]
        return [box["x"] + box["width"] / 2 for box in boxes if box]

    names = ["lighthouse.txt", "film of the crossing.exe", "صورة من العطلة الأخيرة.txt"]
    drop(page, *write(tmp_path, dict.fromkeys(names, b"1" * 1500)))
    finished(page, 3)
    left_to_right = sides()
    page.evaluate("document.documentElement.dir = 'rtl'")
    page.locator(f"{REFUSED} .dz-image").focus()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert left_to_right == sorted(left_to_right)
    assert sides() == sorted(sides(), reverse=True)

    seen = {
        shown.evaluate(SEEN) for shown in page.locator(".uploads-row .uploads-name, .uploads-file-name").all()
    }
    assert {"lighthouse.txt", "film of the crossing.exe"} <= seen
    assert row.locator(".uploads-size").first.evaluate(SEEN) == "1.5 KB"
    assert page.locator("[data-file-size]").first.evaluate(SEEN) == "1.5 KB"
    assert page.locator("[data-uploads-summary-words]").evaluate(SEEN) == "2 stored, 1 refused."
    # A name in Arabic reads from its right: the ending stands at the left.
    arabic = row.locator(".uploads-name").filter(has_text="صورة")
    assert arabic.evaluate(SEEN).startswith("txt.")

    thumbnail, tip = row.locator(".dz-image:focus").bounding_box(), page.get_by_role("tooltip").bounding_box()
    assert thumbnail and tip
    assert tip["x"] >= 0 and tip["x"] <= thumbnail["x"] and tip["x"] + tip["width"] <= width
    assert tip["x"] + tip["width"] >= thumbnail["x"] + thumbnail["width"] / 2, "it stands by its thumbnail"
    # What stands beside one another stands apart.
    sentence = page.locator(f"{REFUSED} .dz-error-message")
    first_line = sentence.evaluate("(told) => told.getClientRects()[0].right")
    size = page.locator(f"{REFUSED} .uploads-size").bounding_box()
    assert size and size["x"] - first_line >= 4
    # Progress grows from where reading begins.
    stored = page.locator("[data-uploads-bar] [data-part=stored]").bounding_box()
    bar = page.locator("[data-uploads-bar]").bounding_box()
    assert stored and bar
    assert stored["x"] + stored["width"] == pytest.approx(bar["x"] + bar["width"], abs=2)
    assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_dragging_offline_done_in_the_list_and_without_a_script(
    new_page: Callable[..., Any], server: LiveServer, tmp_path: Path, scheme: str
) -> None:
    page = open_page(new_page, server, color_scheme=scheme)
    page.evaluate("""() => {
      const dragged = new DataTransfer();
      dragged.items.add(new File(["1"], "a.txt"));
      window.dispatchEvent(new DragEvent("dragenter", { dataTransfer: dragged, bubbles: true }));
    }""")
    expect(page.locator(".uploads-while-dragging")).to_be_visible()
    assert violations(page) == [], "dragging"
    page.evaluate("window.dispatchEvent(new DragEvent('drop'))")

    page.context.set_offline(True)
    drop(page, *write(tmp_path, {"a.txt": b"1", "b.txt": b"2"}))
    expect(page.locator("[data-uploads-banner]")).to_contain_text("You are offline.")
    assert violations(page) == [], "offline"
    page.context.set_offline(False)
    finished(page, 2)
    assert violations(page) == [], "done"

    page.goto(f"{server.url}/files")
    expect(page.get_by_role("link", name="Open")).to_have_count(0)
    assert violations(page) == [], "files"

    # axe is a script itself: so the page has scripts here, but cannot use them, and shows the same form.
    page.route("**/dropzone-min.js", lambda route: route.abort())
    page.goto(server.url)
    expect(page.get_by_label("Files to upload")).to_be_visible()
    assert violations(page) == [], "no script"


def test_without_a_script_the_keyboard_uploads_and_reads_what_became_of_each(
    new_page: Callable[..., Any], server: LiveServer, tmp_path: Path
) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(server.url)
    files = page.get_by_label("Files to upload")
    files.set_input_files(write(tmp_path, {"a.txt": b"1", "b.exe": b"MZ", "c.png": b"no"}))
    files.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/batches/*")
    expect(page.get_by_role("heading", level=1)).to_have_text("1 stored, 2 refused")
    rows = page.get_by_role("listitem").all_inner_texts()
    assert re.search(r"a\.txt[\s\S]*Stored", rows[0])
    assert re.search(r"b\.exe[\s\S]*\.exe files are not accepted here\. Accepted: [\s\S]*Refused", rows[1])
    assert re.search(r"c\.png[\s\S]*its content is text, not a PNG image|not a PNG image", rows[2])
    page.get_by_role("link", name="Open a.txt").focus()
    page.keyboard.press("Tab")
    assert named(page) == "Back"
