"""Drop, choose, and what becomes of every file."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser.samples import Dragging, bmp, counts, drop, finished, listed, middle, png, row, states, write
from playwright.sync_api import Page, Request, expect
from support import LiveServer


def uploads_of(page: Page) -> list[Request]:
    """The upload requests that the page makes from now on."""
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    return sent


@pytest.fixture
def mixed(tmp_path: Path) -> list[Path]:
    """Ten files, of which the server refuses three, each for a reason of its own that no browser can see."""
    good = {f"picture {n}.png": png(n * 20, 90, 200) for n in range(6)} | {"plan.txt": b"A plan.\n"}
    bad = {
        "not a picture.png": b"This is text and no picture.\n" * 4,
        "binary.txt": bytes(range(256)) * 4,
        "really a bitmap.pdf": bmp(),
    }
    files = list((good | bad).items())
    # The bad ones stand between the good ones, not at the end.
    return write(tmp_path, dict(files[:3] + files[7:8] + files[3:5] + files[8:] + files[5:7]))


BAD = {"not a picture.png", "binary.txt", "really a bitmap.pdf"}


def test_twenty_dropped_files_are_stored_and_download_the_same_bytes(
    upload_page: Page, good_files: list[Path]
) -> None:
    drop(upload_page, *good_files)
    assert finished(upload_page, 20)["stored"] == 20
    expect(upload_page.locator(".dz-preview.dz-success.dz-complete")).to_have_count(20)
    expect(upload_page.locator(".dz-error")).to_have_count(0)
    for path in good_files:
        link = row(upload_page, path.name).get_by_role("link", name="Open")
        answer = upload_page.request.get(upload_page.evaluate("a => a.href", link.element_handle()))
        assert answer.status == 200, path.name
        assert answer.body() == path.read_bytes(), path.name


def test_a_drop_of_small_files_leaves_in_one_request(upload_page: Page, good_files: list[Path]) -> None:
    sent = uploads_of(upload_page)
    drop(upload_page, *good_files)
    finished(upload_page, 20)
    assert len(sent) == 1


def test_a_dropped_folder_is_walked_and_its_paths_are_shown_and_kept(
    upload_page: Page, tmp_path: Path
) -> None:
    root = tmp_path / "holiday"
    write(
        root,
        {
            "plan.txt": b"plan\n",
            "day 1/morning.png": png(250, 200, 90),
            "day 1/late/evening.png": png(30, 30, 120),
            "day 2/notes.txt": b"notes\n",
            ".hidden.txt": b"not for anybody\n",
        },
    )
    drop(upload_page, root)
    assert finished(upload_page, 4)["stored"] == 4
    expect(row(upload_page, "evening.png").locator(".uploads-path")).to_have_text("holiday/day 1/late")
    expect(row(upload_page, "plan.txt").locator(".uploads-path")).to_have_text("holiday")
    assert {(file["path"], file["filename"]) for file in listed(upload_page)} == {
        ("holiday", "plan.txt"),
        ("holiday/day 1", "morning.png"),
        ("holiday/day 1/late", "evening.png"),
        ("holiday/day 2", "notes.txt"),
    }


def test_in_a_batch_of_ten_exactly_the_three_bad_ones_turn_red_each_with_its_own_sentence(
    upload_page: Page, mixed: list[Path]
) -> None:
    sent = uploads_of(upload_page)
    drop(upload_page, *mixed)
    assert finished(upload_page, 10) == {
        "files": 10,
        "stored": 7,
        "refused": 3,
        "failed": 0,
        "cancelled": 0,
        "deleted": 0,
        "open": 0,
    }
    assert len(sent) == 1, "the ten did not go as one batch"
    assert {name for name, state in states(upload_page).items() if state == "refused"} == BAD
    expect(upload_page.locator(".dz-error")).to_have_count(3)
    expect(upload_page.locator(".dz-success")).to_have_count(7)
    sentences = {name: row(upload_page, name).locator("[data-dz-errormessage]").inner_text() for name in BAD}
    assert len(set(sentences.values())) == 3
    assert "PNG" in sentences["not a picture.png"]
    assert "not text" in sentences["binary.txt"]
    assert "PDF" in sentences["really a bitmap.pdf"]
    for sentence in sentences.values():
        assert "file[" not in sentence and sentence[0].isupper()


def test_the_stored_ones_of_a_mixed_batch_get_their_link(upload_page: Page, mixed: list[Path]) -> None:
    drop(upload_page, *mixed)
    finished(upload_page, 10)
    expect(upload_page.locator(".dz-success").get_by_role("link", name="Open")).to_have_count(7)
    expect(upload_page.locator("[data-uploads-files-list] > li")).to_have_count(7)


def test_the_outcome_is_written_and_said_politely(upload_page: Page, mixed: list[Path]) -> None:
    drop(upload_page, *mixed)
    finished(upload_page, 10)
    expect(upload_page.locator("[data-uploads-summary-words]")).to_have_text("7 stored, 3 refused.")
    live = upload_page.locator("[data-uploads-live]")
    expect(live).to_have_text("7 stored, 3 refused.")
    expect(live).to_have_attribute("aria-live", "polite")
    bar = upload_page.get_by_role("progressbar")
    expect(bar).to_have_attribute("aria-valuenow", "100")
    for part in ("stored", "lost"):
        assert bar.locator(f"[data-part={part}]").bounding_box()["width"] > 5  # type: ignore[index]


@pytest.mark.parametrize("how", ["hover", "focus"])
def test_a_refused_thumbnail_tells_its_sentence(upload_page: Page, mixed: list[Path], how: str) -> None:
    drop(upload_page, *mixed)
    finished(upload_page, 10)
    tips = upload_page.get_by_role("tooltip")
    expect(tips).to_have_count(0)
    for name in BAD:
        refused = row(upload_page, name)
        thumbnail = refused.locator(".dz-image")
        if how == "hover":
            thumbnail.hover()
        else:
            tab_to(upload_page, f"Why {name} was refused")
        tip = refused.get_by_role("tooltip")
        expect(tip).to_be_visible()
        assert tip.inner_text() == refused.locator("[data-dz-errormessage]").inner_text()
        assert thumbnail.get_attribute("aria-describedby") == tip.get_attribute("id")
        expect(tips).to_have_count(1)
        upload_page.keyboard.press("Escape")
        expect(tips).to_have_count(0)


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the element of this accessible name has the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == name:
            return
    raise AssertionError(f"{name} cannot be reached by Tab")


def test_the_pointer_may_move_onto_the_tooltip(upload_page: Page, mixed: list[Path]) -> None:
    drop(upload_page, *mixed)
    finished(upload_page, 10)
    refused = row(upload_page, "binary.txt")
    refused.locator(".dz-image").hover()
    tip = refused.get_by_role("tooltip")
    tip.hover()
    upload_page.wait_for_timeout(300)
    expect(tip).to_be_visible()
    upload_page.mouse.move(5, 5)
    expect(tip).to_be_hidden()


def test_a_tap_opens_the_tooltip(new_page: Callable[..., Any], server: LiveServer, mixed: list[Path]) -> None:
    page = new_page(has_touch=True, viewport={"width": 360, "height": 740}, is_mobile=True)
    page.goto(server.url)
    page.set_input_files("input.dz-hidden-input", mixed)
    finished(page, 10)
    refused = row(page, "binary.txt")
    expect(refused.locator("[data-dz-errormessage]")).to_be_visible()
    refused.locator(".dz-image").tap()
    expect(refused.get_by_role("tooltip")).to_be_visible()


@pytest.mark.expect_console_errors("not served: 404")
def test_a_picture_that_cannot_be_decoded_hides_no_text_of_the_server(
    upload_page: Page, tmp_path: Path
) -> None:
    broken = png(1, 2, 3)[:60] + b"\0" * 200
    drop(upload_page, *write(tmp_path, {"no.png": b"plain text, no picture", "broken.png": broken}))
    finished(upload_page, 2)
    expect(row(upload_page, "no.png").locator("[data-dz-errormessage]")).to_contain_text("its content is")
    # Signature and size are right, so the server keeps it; that no picture can be drawn is no refusal.
    stored = row(upload_page, "broken.png")
    expect(stored).to_have_attribute("data-state", "stored")
    expect(stored.locator("[data-dz-errormessage]")).to_have_count(0)
    assert "corrupt" not in upload_page.locator(".uploads-zone").inner_text()


def test_what_the_browser_can_refuse_is_not_sent(upload_page: Page, tmp_path: Path) -> None:
    sent = uploads_of(upload_page)
    files = write(tmp_path, {"setup.exe": b"MZ\0\0", "huge.png": bytes(2_500_000), "noextension": b"text"})
    drop(upload_page, *files)
    assert finished(upload_page, 3)["refused"] == 3
    assert not sent
    said = {
        path.name: row(upload_page, path.name).locator("[data-dz-errormessage]").inner_text()
        for path in files
    }
    assert said["setup.exe"].startswith(".exe files are not accepted here. Accepted: ")
    assert said["huge.png"] == "The file is 2.5 MB; the limit is 2 MB."
    assert said["noextension"].startswith("Files without an extension are not accepted here.")


def test_pictures_show_a_thumbnail_before_the_server_has_them(
    upload_page: Page, good_files: list[Path]
) -> None:
    drop(upload_page, *good_files)
    finished(upload_page, 20)
    picture = row(upload_page, "beach at dawn.jpg").locator("img[data-dz-thumbnail]")
    picture.scroll_into_view_if_needed()
    expect(picture).to_have_js_property("naturalWidth", 112)
    expect(row(upload_page, "notes.txt").locator("img")).to_have_count(0)


def test_choose_files_opens_the_chooser_for_many(upload_page: Page, good_files: list[Path]) -> None:
    with upload_page.expect_file_chooser() as chooser:
        upload_page.get_by_role("button", name="Choose files").click()
    assert chooser.value.is_multiple()
    chooser.value.set_files(good_files[:3])
    assert finished(upload_page, 3)["stored"] == 3


def test_choose_folder_takes_its_files_with_their_paths(upload_page: Page, tmp_path: Path) -> None:
    write(tmp_path / "album", {"one.txt": b"1\n", "inner/two.txt": b"2\n"})
    with upload_page.expect_file_chooser() as chooser:
        upload_page.get_by_role("button", name="Choose folder").click()
    chooser.value.set_files(tmp_path / "album")
    assert finished(upload_page, 2)["stored"] == 2
    expect(row(upload_page, "two.txt").locator(".uploads-path")).to_have_text("album/inner")


def test_the_page_can_be_used_by_keyboard_alone(upload_page: Page, good_files: list[Path]) -> None:
    # Listened for from the start: the browser must know of it before a key opens the dialog.
    choosers: list[Any] = []
    upload_page.on("filechooser", lambda chooser: choosers.append(chooser))
    choose = upload_page.get_by_role("button", name="Choose files")
    for _ in range(3):
        upload_page.keyboard.press("Tab")
        if choose.evaluate("(button) => button === document.activeElement"):
            break
    expect(choose).to_be_focused()
    outline = upload_page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "the focus cannot be seen"
    upload_page.keyboard.press("Enter")
    for _ in range(200):
        if choosers:
            break
        upload_page.wait_for_timeout(50)
    (chooser,) = choosers
    chooser.set_files(good_files[0])
    finished(upload_page, 1)
    upload_page.get_by_role("button", name=re.compile("^Delete")).focus()
    upload_page.keyboard.press("Enter")
    expect(upload_page.get_by_role("button", name="Delete", exact=True)).to_be_focused()
    upload_page.keyboard.press("Enter")
    expect(upload_page.locator("[data-uploads-files-list] > li")).to_have_count(0)
    assert upload_page.evaluate("document.activeElement !== document.body"), "the focus was lost"


def test_the_focus_stays_near_when_what_had_it_goes_away(upload_page: Page, mixed: list[Path]) -> None:
    drop(upload_page, *mixed)
    finished(upload_page, 10)
    focused = "document.activeElement.closest('li')?.querySelector('[data-dz-name]').textContent"
    names = list(states(upload_page))
    place = names.index("binary.txt")
    row(upload_page, "binary.txt").get_by_role("button", name="Remove file").press("Enter")
    expect(upload_page.locator(".dz-preview")).to_have_count(9)
    assert upload_page.evaluate(focused) == names[place + 1]
    expect(upload_page.locator("[data-uploads-summary-words]")).to_have_text("7 stored, 2 refused.")


def test_while_files_are_dragged_over_the_window_the_page_says_so(
    upload_page: Page, good_files: list[Path]
) -> None:
    dragging = Dragging(upload_page, good_files[:1])
    said = upload_page.get_by_text("Drop to upload")
    expect(said).to_be_hidden()
    dragging.over(20, 500)
    expect(said).to_be_visible()
    dragging.over(*middle(upload_page.locator(".uploads-prompt")))
    expect(said).to_be_visible()
    dragging.over(-10, -10)
    expect(said).to_be_hidden()


def test_a_drag_that_ended_without_a_sign_leaves_no_mark(upload_page: Page) -> None:
    # As when the element under the pointer was taken out of the page: no dragleave comes.
    upload_page.evaluate("""() => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(["x"], "x.txt"));
      document.body.dispatchEvent(new DragEvent("dragenter", { dataTransfer, bubbles: true }));
    }""")
    said = upload_page.get_by_text("Drop to upload")
    expect(said).to_be_visible()
    upload_page.mouse.move(30, 30)
    expect(said).to_be_hidden()


def test_a_drag_without_files_changes_nothing(upload_page: Page) -> None:
    dragging = Dragging(upload_page, [], items=[{"mimeType": "text/plain", "data": "some words"}])
    x, y = middle(upload_page.locator(".uploads-prompt"))
    dragging.over(20, 500)
    expect(upload_page.get_by_text("Drop to upload")).to_be_hidden()
    dragging.drop(x, y)
    assert counts(upload_page)["files"] == 0


def test_a_drop_beside_the_zone_uploads_too(upload_page: Page, good_files: list[Path]) -> None:
    dragging = Dragging(upload_page, good_files[:2])
    dragging.over(20, 500)
    dragging.drop(20, 500)
    assert finished(upload_page, 2)["stored"] == 2


def test_a_second_drop_joins_the_first(upload_page: Page, good_files: list[Path]) -> None:
    drop(upload_page, *good_files[:3])
    finished(upload_page, 3)
    drop(upload_page, *good_files[3:5])
    expect(upload_page.locator(".dz-preview")).to_have_count(5)
    expect(upload_page.locator("[data-uploads-summary-words]")).to_have_text("5 stored.")


def test_scripts_written_for_dropzone_see_its_events(upload_page: Page, mixed: list[Path]) -> None:
    upload_page.evaluate("""() => {
      const zone = document.querySelector(".dropzone");
      window.seen = {};
      for (const name of ["addedfile", "processing", "sending", "success", "error", "complete", "queuecomplete"])
        zone.dropzone.on(name, () => (window.seen[name] = (window.seen[name] ?? 0) + 1));
      zone.addEventListener("batchuploader:done", (event) => (window.done = event.detail));
    }""")
    drop(upload_page, *mixed)
    finished(upload_page, 10)
    assert upload_page.evaluate("window.seen") == {
        "addedfile": 10,
        "processing": 10,
        "sending": 10,
        "success": 7,
        "error": 3,
        "complete": 10,
        "queuecomplete": 1,
    }
    assert upload_page.evaluate("window.done.stored") == 7
    assert (
        upload_page.evaluate("""() => document.querySelector(".dropzone").dropzone.files
      .filter((file) => file.status === "success").length""")
        == 7
    )


def test_a_file_taken_out_of_a_running_request_leaves_its_neighbours_alone(
    upload_page: Page, good_files: list[Path]
) -> None:
    sent = uploads_of(upload_page)
    held: list[Any] = []
    upload_page.route("**/upload/*", lambda route: held.append(route), times=1)
    with upload_page.expect_request("**/upload/*"):
        drop(upload_page, *good_files[:4])
    name = good_files[1].name
    row(upload_page, name).get_by_role("button", name="Cancel").click()
    held[0].continue_()
    assert finished(upload_page, 4)["stored"] == 3
    assert states(upload_page)[name] == "cancelled"
    assert len(listed(upload_page)) == 3, "what was cancelled is on the server"
    assert len(sent) == 1, "the neighbours were sent twice"
