"""Lists of thousands: what stands in the document, what scrolls into it, and who keeps the focus."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser.samples import counts, drop, finished, png, row, until, write
from browser.test_looks import violations
from playwright.sync_api import Page, expect
from support import LiveServer

ROWS = ".uploads-list > .uploads-row"
ELEMENTS = "document.getElementsByTagName('*').length"


def add(page: Page, count: int, ending: str = "txt") -> None:
    """Give the zone, which sends nothing yet, so many files by the way a script would."""
    page.evaluate(
        """([count, ending]) => {
          const { batchUploader } = document.querySelector(".dropzone");
          batchUploader.pause();
          const from = batchUploader.counts.files;
          const names = Array.from({ length: count }, (_, index) => `file ${from + index + 1}.${ending}`);
          batchUploader.addFiles(names.map((name) => new File([name], name)));
        }""",
        [count, ending],
    )
    until(page, "document.querySelector('.dropzone').batchUploader.walks === 0")
    frame(page)


def frame(page: Page) -> None:
    """Let the page draw."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def scroll(page: Page, top: str) -> None:
    page.evaluate(f"scrollTo(0, {top})")
    frame(page)


def first_seen(page: Page) -> str:
    """The name in the row at the middle of the window."""
    found: str = page.evaluate(
        """() => [...document.querySelectorAll(".uploads-list > .uploads-row")]
          .find((row) => row.getBoundingClientRect().bottom > innerHeight / 2)
          .querySelector("[data-dz-name]").textContent"""
    )
    return found


def focused(page: Page) -> str:
    """The name in the row that has the focus."""
    found: str = page.evaluate(
        "document.activeElement.closest('.uploads-row')?.querySelector('[data-dz-name]').textContent ?? ''"
    )
    return found


def test_ten_thousand_files_are_fewer_than_three_thousand_elements_wherever_one_is(upload_page: Page) -> None:
    add(upload_page, 10_000)
    assert counts(upload_page)["files"] == 10_000
    for top in ("0", "300000", "document.body.scrollHeight"):
        scroll(upload_page, top)
        assert upload_page.evaluate(ELEMENTS) < 1000, top
        assert 8 < upload_page.locator(ROWS).count() < 50, top
    expect(row(upload_page, "file 10000.txt")).to_be_in_viewport()
    scroll(upload_page, "0")
    expect(row(upload_page, "file 1.txt")).to_have_count(1)


def test_a_window_full_of_rows_is_found_at_every_place(upload_page: Page) -> None:
    add(upload_page, 3000)
    for top in (20_000, 19_000, 90_000, 50_000, 120_000):
        scroll(upload_page, str(top))
        missing = upload_page.evaluate(
            """() => Array.from({ length: 9 }, (_, step) => 240 + step * (innerHeight - 250) / 8).filter(
              (y) => !document.elementFromPoint(200, y)?.closest(".uploads-row"))"""
        )
        assert missing == [], top


def test_up_to_64_files_all_stand_in_the_document(upload_page: Page) -> None:
    add(upload_page, 64)
    expect(upload_page.locator(ROWS)).to_have_count(64)
    assert upload_page.evaluate(
        "document.querySelector('.dropzone').dropzone.files.every(({ previewElement }) => previewElement.isConnected)"
    )
    add(upload_page, 1)
    assert upload_page.locator(ROWS).count() < 64


def test_a_row_is_no_more_than_a_dozen_elements(upload_page: Page) -> None:
    add(upload_page, 1)
    upload_page.evaluate("document.querySelector('.dropzone').batchUploader.resume()")
    expect(upload_page.locator(".dz-success")).to_have_count(1)
    assert upload_page.locator(".dz-success, .dz-success *").count() <= 12


def test_screen_readers_are_told_the_place_of_a_row_and_how_many_there_are(upload_page: Page) -> None:
    add(upload_page, 500)
    scroll(upload_page, "20000")
    places = upload_page.locator(ROWS).evaluate_all(
        "(rows) => rows.map((row) => [row.ariaPosInSet, row.ariaSetSize])"
    )
    first = int(places[0][0])
    assert first > 100
    assert places == [[str(first + step), "500"] for step in range(len(places))]
    assert upload_page.locator(ROWS).first.locator("[data-dz-name]").inner_text() == f"file {first}.txt"
    others = upload_page.locator(".uploads-list > :not(.uploads-row)")
    assert others.evaluate_all("(gaps) => gaps.every((gap) => gap.ariaHidden === 'true')")


def test_a_row_that_scrolls_away_keeps_the_focus_and_tab_goes_on_from_there(upload_page: Page) -> None:
    add(upload_page, 1000)
    row(upload_page, "file 3.txt").get_by_role("button", name="Cancel").focus()
    scroll(upload_page, "40000")
    assert focused(upload_page) == "file 3.txt"
    upload_page.keyboard.press("Tab")
    assert focused(upload_page) == "file 4.txt"
    expect(row(upload_page, "file 4.txt")).to_be_in_viewport()
    scroll(upload_page, "30000")
    upload_page.keyboard.press("Shift+Tab")
    assert focused(upload_page) == "file 3.txt"


def test_holding_tab_finds_every_row(upload_page: Page) -> None:
    add(upload_page, 200)
    row(upload_page, "file 1.txt").get_by_role("button", name="Cancel").focus()
    for number in range(2, 60):
        for name in ("Pause", "Cancel upload"):
            upload_page.keyboard.press("Tab")
            label = upload_page.evaluate("document.activeElement.getAttribute('aria-label')")
            assert label == f"{name} file {number}.txt"


def test_arrows_home_and_end_lead_through_the_whole_list(upload_page: Page) -> None:
    add(upload_page, 1000)
    row(upload_page, "file 1.txt").get_by_role("button", name="Cancel").focus()
    for key, number in (("ArrowDown", 2), ("PageDown", 12), ("End", 1000), ("ArrowUp", 999), ("Home", 1)):
        upload_page.keyboard.press(key)
        assert focused(upload_page) == f"file {number}.txt"
        expect(row(upload_page, f"file {number}.txt")).to_be_in_viewport()
        assert upload_page.evaluate("document.activeElement.matches('button')")


def test_the_row_after_one_that_is_taken_out_has_the_focus(upload_page: Page) -> None:
    add(upload_page, 300, ending="exe")
    row(upload_page, "file 1.exe").get_by_role("button", name="Remove").focus()
    upload_page.keyboard.press("End")
    upload_page.keyboard.press("ArrowUp")
    upload_page.keyboard.press("Enter")
    assert focused(upload_page) == "file 300.exe"
    assert counts(upload_page)["files"] == 299
    row(upload_page, "file 300.exe").get_by_role("button", name="Remove").press("Enter")
    assert focused(upload_page) == "file 298.exe"


@pytest.mark.parametrize("width", [360, 1280])
def test_rows_of_different_heights_stand_one_below_the_other(
    new_page: Callable[..., Any], server: LiveServer, width: int
) -> None:
    page = new_page(viewport={"width": width, "height": 740})
    page.goto(server.url)
    page.locator("[data-uploads-ready]").wait_for()
    for _ in range(6):
        add(page, 30)
        add(page, 20, ending="exe")
    gaps = """() => [...document.querySelectorAll(".uploads-list > li")].map((row) => row.getBoundingClientRect())
      .reduce((found, box, index, all) => found + (index ? Math.abs(box.top - all[index - 1].bottom) : 0), 0)"""
    heights = set()
    for top in ("4000", "12000", "document.body.scrollHeight", "9000", "0"):
        scroll(page, top)
        heights |= set(page.locator(ROWS).evaluate_all("(rows) => rows.map((row) => row.offsetHeight)"))
        assert page.evaluate(gaps) < 1
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert len(heights) > 1 or width == 1280
    scroll(page, "document.body.scrollHeight")
    expect(row(page, "file 300.exe")).to_be_in_viewport()


def test_what_is_read_stays_where_it_is_while_rows_above_it_grow(upload_page: Page) -> None:
    add(upload_page, 600)
    scroll(upload_page, "30000")
    before = first_seen(upload_page)
    upload_page.set_viewport_size({"width": 420, "height": 720})
    frame(upload_page)
    upload_page.set_viewport_size({"width": 1280, "height": 720})
    frame(upload_page)
    upload_page.mouse.wheel(0, -300)
    upload_page.mouse.wheel(0, 300)
    frame(upload_page)
    number = int(before.split()[1].removesuffix(".txt"))
    assert abs(int(first_seen(upload_page).split()[1].removesuffix(".txt")) - number) < 60


def test_a_list_that_is_moved_without_scrolling_is_filled(upload_page: Page) -> None:
    upload_page.evaluate("document.querySelector('main').style.paddingTop = '30000px'")
    add(upload_page, 1000)
    scroll(upload_page, "30000 + 20000")
    upload_page.evaluate(
        "document.documentElement.style.overflowAnchor = 'none'; document.querySelector('main').style.paddingTop = 0"
    )
    until(
        upload_page,
        "!!document.elementFromPoint(200, innerHeight / 2).closest('.uploads-row')",
    )


def test_the_filter_shows_what_was_refused_alone_and_leads_to_the_first(upload_page: Page) -> None:
    add(upload_page, 200)
    add(upload_page, 100, ending="exe")
    add(upload_page, 200)
    scroll(upload_page, "0")
    upload_page.get_by_role("button", name="Show 100 refused").click()
    assert focused(upload_page) == "file 201.exe"
    expect(row(upload_page, "file 1.txt")).to_have_count(0)
    assert upload_page.locator(ROWS).first.get_attribute("aria-setsize") == "100"
    assert upload_page.locator(f"{ROWS}:not([data-state=refused])").count() == 0
    upload_page.get_by_role("button", name="Show all").click()
    expect(upload_page.locator(ROWS).first).to_have_attribute("aria-setsize", "500")


def test_thumbnails_are_made_of_what_is_seen_alone_and_their_urls_given_back(
    upload_page: Page, tmp_path: Path
) -> None:
    upload_page.evaluate("""() => {
      window.made = { pictures: 0, running: 0, most: 0, urls: 0 };
      const { createImageBitmap } = window;
      window.createImageBitmap = async (...given) => {
        made.pictures += 1;
        made.most = Math.max(made.most, made.running += 1);
        return createImageBitmap.apply(window, given).finally(() => (made.running -= 1));
      };
      const { createObjectURL, revokeObjectURL } = URL;
      URL.createObjectURL = (blob) => { made.urls += 1; return createObjectURL.call(URL, blob); };
      URL.revokeObjectURL = (url) => { made.urls -= 1; revokeObjectURL.call(URL, url); };
      document.querySelector(".dropzone").batchUploader.pause();
    }""")
    files = write(tmp_path, {f"picture {n}.png": png(n % 250, 90, 200) for n in range(300)})
    upload_page.locator("input.dz-hidden-input").set_input_files(files)
    expect(row(upload_page, "picture 0.png").locator("img")).to_be_visible()
    until(upload_page, "made.running === 0 && made.urls === 0")
    made = upload_page.evaluate("made")
    assert 0 < made["pictures"] < 60
    assert made["most"] <= 2
    scroll(upload_page, "12000")
    until(upload_page, "made.running === 0 && made.urls === 0")
    assert made["pictures"] < upload_page.evaluate("made.pictures") < 120
    expect(row(upload_page, "picture 0.png")).to_have_count(0)


def test_all_are_listed_at_once_and_looked_at_a_slice_at_a_time(upload_page: Page) -> None:
    found = upload_page.evaluate("""() => {
      const { batchUploader, dropzone } = document.querySelector(".dropzone");
      batchUploader.pause();
      window.told = [];
      dropzone.on("addedfiles", () => told.push([dropzone.files.length, batchUploader.tally.bytes.total]));
      batchUploader.addFiles(Array.from({ length: 5000 }, (_, index) => new File(["words"], `${index}.txt`)));
      return [batchUploader.counts.files, dropzone.files.length, told.length];
    }""")
    assert found == [5000, 25, 0]
    until(upload_page, "told.length === 1")
    assert upload_page.evaluate("told") == [[5000, 25_000]]


def test_the_first_request_leaves_while_others_are_still_looked_at(upload_page: Page) -> None:
    upload_page.evaluate("""() => {
      const { batchUploader, dropzone } = document.querySelector(".dropzone");
      const { get } = Object.getOwnPropertyDescriptor(Blob.prototype, "size");
      // As slow as a disk, until something has left.
      Object.defineProperty(Blob.prototype, "size", { get() {
        const begun = performance.now();
        while (window.left === undefined && performance.now() - begun < 3);
        return get.call(this);
      } });
      dropzone.on("sending", () => (window.left ??= dropzone.files.length));
      const names = Array.from({ length: 1000 }, (_, index) => `${index}.txt`);
      batchUploader.addFiles(names.map((name) => new File(["words"], name)));
    }""")
    until(upload_page, "document.querySelector('.dropzone').batchUploader.counts.stored === 1000")
    assert upload_page.evaluate("left") < 1000


def test_a_script_that_adds_a_file_finds_it_added(upload_page: Page) -> None:
    assert upload_page.evaluate("""() => {
      const { dropzone } = document.querySelector(".dropzone");
      const file = new File(["words"], "words.txt");
      dropzone.addFile(file);
      return [file.upload.total, file.status, file.previewElement.querySelector("[data-dz-name]").textContent];
    }""") == [5, "queued", "words.txt"]


@pytest.mark.parametrize("method", ["cancelAll()", "clear()"])
def test_what_is_cancelled_or_taken_out_before_its_turn_is_never_sent(upload_page: Page, method: str) -> None:
    sent: list[Any] = []
    upload_page.on("request", lambda request: request.method == "POST" and sent.append(request))
    upload_page.evaluate(
        f"""() => {{
          const {{ batchUploader }} = document.querySelector(".dropzone");
          const names = Array.from({{ length: 300 }}, (_, index) => `${{index}}.txt`);
          batchUploader.addFiles(names.map((name) => new File(["words"], name)));
          batchUploader.cancelAll();
          batchUploader.{method};
        }}"""
    )
    until(upload_page, "document.querySelector('.dropzone').batchUploader.finished")
    left = 0 if method == "clear()" else 300
    assert counts(upload_page) == {**counts(upload_page), "files": left, "cancelled": left, "open": 0}
    assert sent == []
    if left:
        row(upload_page, "299.txt").get_by_role("button", name="Send again").wait_for(state="detached")
        scroll(upload_page, "document.body.scrollHeight")
        row(upload_page, "299.txt").get_by_role("button", name="Send again").click()
        until(upload_page, "document.querySelector('.dropzone').batchUploader.counts.stored === 1")


def test_what_was_stored_can_be_shown_alone_and_what_was_not_be_copied_with_its_reasons(
    upload_page: Page,
) -> None:
    upload_page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    add(upload_page, 3)
    add(upload_page, 2, ending="exe")
    upload_page.evaluate("document.querySelector('.dropzone').batchUploader.resume()")
    upload_page.get_by_role("button", name="Show 3 stored").click()
    expect(upload_page.locator(ROWS)).to_have_count(3)
    expect(upload_page.locator(".dz-success")).to_have_count(3)
    upload_page.get_by_role("button", name="Show 2 refused").click()
    expect(upload_page.locator(ROWS)).to_have_count(2)
    upload_page.get_by_role("button", name="Copy 2 as text").click()
    for place in ("[data-uploads-live]", "[data-uploads-question]"):
        expect(upload_page.locator(place)).to_contain_text("Copied")
    copied = upload_page.evaluate("navigator.clipboard.readText()")
    said = row(upload_page, "file 4.exe").locator("[data-dz-errormessage]").inner_text()
    assert copied.splitlines() == [f"file 4.exe: {said}", f"file 5.exe: {said}"]
    upload_page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error()); }")
    upload_page.get_by_role("button", name="Show all").click()
    expect(upload_page.locator(ROWS)).to_have_count(5)
    copy = upload_page.get_by_role("button", name="Copy 2 as text")
    copy.click()
    expect(copy).to_be_focused()
    assert upload_page.evaluate("navigator.clipboard.readText()") == copied


def test_undo_counts_along_and_can_be_stopped(upload_page: Page) -> None:
    add(upload_page, 9)
    upload_page.evaluate("document.querySelector('.dropzone').batchUploader.resume()")
    upload_page.get_by_role("button", name="Undo this drop").click()
    held: list[Any] = []
    upload_page.route("**/uploads/*", lambda route: held.append(route))
    upload_page.get_by_role("button", name="Delete", exact=True).click()
    stop = upload_page.get_by_role("button", name="Stop")
    expect(stop).to_be_focused()
    expect(upload_page.locator("[data-uploads-question]")).to_contain_text("0 of 9 files deleted.")
    for _ in range(100):
        if len(held) == 6:
            break
        upload_page.wait_for_timeout(20)
    held.pop().continue_()
    expect(upload_page.locator("[data-uploads-question]")).to_contain_text("1 of 9 files deleted.")
    stop.click()
    while held:
        held.pop().continue_()
        upload_page.wait_for_timeout(20)
    expect(stop).to_have_count(0)
    found = counts(upload_page)
    assert found["stored"] + found["deleted"] == 9
    assert 6 <= found["deleted"] <= 7
    expect(upload_page.locator("[data-uploads-files-list] > li")).to_have_count(found["stored"])


def test_a_folder_folds_to_one_line_with_its_own_counts(upload_page: Page, tmp_path: Path) -> None:
    holiday = {f"holiday/day {n % 2}/{n}.txt": b"%d\n" % n for n in range(70)} | {"holiday/virus.exe": b"MZ"}
    write(tmp_path, holiday | {"work/plan.txt": b"plan\n", "alone.txt": b"alone\n"})
    drop(upload_page, tmp_path / "alone.txt", tmp_path / "holiday", tmp_path / "work")
    finished(upload_page, 73)
    fold = upload_page.get_by_role("button", name="holiday", exact=False).and_(
        upload_page.locator("[aria-expanded]")
    )
    expect(fold).to_contain_text("70 stored, 1 refused")
    fold.focus()
    upload_page.keyboard.press("Enter")
    expect(fold).to_have_attribute("aria-expanded", "false")
    expect(fold).to_be_focused()
    expect(upload_page.locator(ROWS)).to_have_count(2)
    upload_page.keyboard.press("ArrowDown")
    expect(upload_page.locator("[aria-expanded]").filter(has_text="work")).to_be_focused()
    upload_page.get_by_role("button", name="Show 1 refused").click()
    assert focused(upload_page) == "virus.exe"
    upload_page.get_by_role("button", name="Show all").click()
    row(upload_page, "plan.txt").wait_for()
    expect(row(upload_page, "virus.exe")).to_have_count(0)
    fold.click()
    assert upload_page.locator(ROWS).first.get_attribute("aria-setsize") == "75"
    upload_page.get_by_role("button", name="Clear").click()
    expect(upload_page.locator("[data-uploads-list]")).to_be_hidden()


def test_on_a_phone_the_sum_that_stays_in_view_leaves_room_for_the_list(
    new_page: Callable[..., Any], server: LiveServer
) -> None:
    page = new_page(viewport={"width": 360, "height": 740})
    page.goto(server.url)
    page.locator("[data-uploads-ready]").wait_for()
    add(page, 100)
    add(page, 30, ending="exe")
    scroll(page, "3000")
    box = page.locator("[data-uploads-summary]").bounding_box()
    assert box["y"] >= 0 and box["y"] + box["height"] < 230, "a third of the window"
    page.evaluate("document.querySelector('.dropzone').batchUploader.cancelAll()")
    frame(page)
    scroll(page, "3000")
    expect(page.locator("[data-uploads-summary]")).not_to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_axe_finds_nothing_in_a_window_of_a_long_list(
    new_page: Callable[..., Any], server: LiveServer, width: int, scheme: str
) -> None:
    page = new_page(bypass_csp=True, color_scheme=scheme, viewport={"width": width, "height": 800})
    page.goto(server.url)
    page.locator("[data-uploads-ready]").wait_for()
    page.evaluate("""() => {
      const { batchUploader } = document.querySelector(".dropzone");
      batchUploader.pause();
      batchUploader.addFiles(Array.from({ length: 150 }, (_, index) => {
        const file = new File(["words"], `${index}.${index % 3 ? "txt" : "exe"}`);
        return index % 2 ? file : Object.assign(file, { fullPath: `letters/${file.name}` });
      }));
    }""")
    until(page, "document.querySelector('.dropzone').batchUploader.walks === 0")
    scroll(page, "4000")
    assert violations(page) == []
    page.locator("[data-uploads-list] button").first.focus()
    scroll(page, "document.body.scrollHeight")
    assert violations(page) == [], "with the focus far away"
