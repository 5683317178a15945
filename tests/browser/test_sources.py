"""Where files come from: folders and their odd entries, the clipboard, a camera, and the same file twice."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from browser.samples import counts, drop, finished, listed, png, row, until, write
from playwright.sync_api import Page, expect
from support import LiveServer


def test_empty_folders_and_files_left_out_are_told(upload_page: Page, tmp_path: Path) -> None:
    root = tmp_path / "holiday"
    write(root, {"plan.txt": b"plan\n", ".secret": b"s"})
    (root / "day 1" / "nothing").mkdir(parents=True)
    (root / "day 2").mkdir()
    drop(upload_page, root)
    assert finished(upload_page, 1)["stored"] == 1
    notes = upload_page.locator("[data-uploads-notes] > li")
    expect(notes).to_have_count(2)
    said = " ".join(notes.all_inner_texts())
    assert re.search(r'2 folders are empty, "holiday/day (1/nothing|2)" among them\.', said)
    assert 'One file was left out because its name begins with a dot: "holiday/.secret".' in said
    upload_page.get_by_role("button", name="Clear").click()
    expect(upload_page.locator("[data-uploads-notes]")).to_be_hidden()


def test_of_a_chosen_folder_the_same_is_left_out_and_told(upload_page: Page, tmp_path: Path) -> None:
    write(tmp_path / "holiday", {"day 1/plan.txt": b"plan\n", ".DS_Store": b"s"})
    upload_page.set_input_files("input[webkitdirectory]", tmp_path / "holiday")
    assert finished(upload_page, 1)["stored"] == 1
    expect(upload_page.locator("[data-uploads-notes]")).to_have_text(
        'One file was left out because its name begins with a dot: "holiday/.DS_Store".'
    )
    assert listed(upload_page)[0]["path"] == "holiday/day 1"


def test_a_drop_of_nothing_but_an_empty_folder_is_told_too(upload_page: Page, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    drop(upload_page, tmp_path / "nothing")
    expect(upload_page.locator("[data-uploads-notes]")).to_have_text('The folder "nothing" is empty.')
    expect(upload_page.locator("[role=status]")).to_contain_text(['The folder "nothing" is empty.'])
    assert counts(upload_page)["files"] == 0


def test_a_zone_that_a_script_has_disabled_takes_nothing_until_it_is_enabled(
    upload_page: Page, tmp_path: Path
) -> None:
    [file] = write(tmp_path, {"a.txt": b"a\n"})
    upload_page.evaluate("document.querySelector('.dropzone').dropzone.disable()")
    drop(upload_page, file)
    assert upload_page.evaluate(PASTE, ["b.txt", None]) is False
    assert counts(upload_page)["files"] == 0
    upload_page.evaluate("document.querySelector('.dropzone').dropzone.enable()")
    drop(upload_page, file)
    assert finished(upload_page, 1)["stored"] == 1


def test_entries_that_cannot_be_read_are_told_and_the_others_stored(upload_page: Page) -> None:
    # Root reads everything, so the entries are made here as the browser makes them.
    upload_page.evaluate("""() => {
      const refuse = (_, fail) => setTimeout(() => fail(new DOMException("no", "NotReadableError")), 0);
      const reader = (...rounds) => ({ readEntries: (give) => setTimeout(() => give(rounds.shift() ?? []), 0) });
      const file = (name) => ({ name, isFile: true, file: (give) => give(new File(["text"], name)) });
      const locked = { name: "locked.txt", isFile: true, file: refuse };
      const closed = { name: "closed", isDirectory: true, createReader: () => ({ readEntries: refuse }) };
      const rounds = [[file("a.txt"), locked], [closed, file("b.txt")]];
      const root = { name: "root", isDirectory: true, createReader: () => reader(...rounds) };
      document.querySelector(".dropzone").dropzone._addFilesFromDirectory(root, "root");
    }""")
    assert finished(upload_page, 2)["stored"] == 2
    notes = upload_page.locator("[data-uploads-notes]")
    expect(notes).to_contain_text('"root/locked.txt" could not be read from the disk, so it was not added.')
    expect(notes).to_contain_text('The folder "root/closed" could not be read, or not wholly.')


def test_of_a_folder_that_tells_all_it_holds_at_once_few_files_are_asked_for_at_a_time(
    upload_page: Page,
) -> None:
    found = upload_page.evaluate("""async () => {
      const { batchUploader, dropzone } = document.querySelector(".dropzone");
      batchUploader.pause();
      let [open, most] = [0, 0];
      const file = (name) => ({ name, isFile: true, file: (give) => {
        most = Math.max(most, (open += 1));
        setTimeout(() => {
          open -= 1;
          give(new File(["text"], name));
        }, 0);
      } });
      const rounds = [Array.from({ length: 200 }, (_, index) => file(`${index}.txt`))];
      const createReader = () => ({ readEntries: (give) => setTimeout(() => give(rounds.shift() ?? []), 0) });
      const files = await dropzone._addFilesFromDirectory({ name: "root", isDirectory: true, createReader }, "root");
      return [files.length, batchUploader.counts.files, most];
    }""")
    assert found[:2] == [200, 200]
    assert 1 < found[2] <= 25


def test_of_many_files_dropped_few_are_asked_what_they_are_and_folders_are_still_found(
    upload_page: Page, tmp_path: Path
) -> None:
    files = write(tmp_path, {f"{index}.txt": b"words\n" for index in range(450)})
    write(tmp_path, {"holiday/plan.txt": b"plan\n"})
    upload_page.evaluate("""() => {
      document.querySelector(".dropzone").batchUploader.pause();
      window.asked = 0;
      const { webkitGetAsEntry } = DataTransferItem.prototype;
      DataTransferItem.prototype.webkitGetAsEntry = function () {
        asked += 1;
        return webkitGetAsEntry.call(this);
      };
    }""")
    drop(upload_page, *files, tmp_path / "holiday")
    until(upload_page, "document.querySelector('.dropzone').dropzone.files.length === 451")
    assert upload_page.evaluate("asked") < 450
    assert upload_page.evaluate("document.querySelector('.dropzone').batchUploader.counts.refused") == 0


def test_the_same_file_dropped_twice_is_noticed_and_sent_only_on_demand(
    upload_page: Page, tmp_path: Path
) -> None:
    files = write(tmp_path, {"a.txt": b"a\n", "b.txt": b"b\n"})
    drop(upload_page, *files)
    finished(upload_page, 2)
    drop(upload_page, *files)
    assert finished(upload_page, 4) | {"stored": 2, "refused": 2} == counts(upload_page)
    assert len(listed(upload_page)) == 2
    again = upload_page.locator(".dz-error").filter(has_text="a.txt")
    expect(again.locator("[data-dz-errormessage]")).to_contain_text("The same file was added before")
    again.get_by_role("button", name="Send anyway").click()
    assert finished(upload_page, 4)["stored"] == 3
    assert [file["filename"] for file in listed(upload_page)].count("a.txt") == 2


def test_a_file_that_was_refused_or_changed_is_no_repetition(upload_page: Page, tmp_path: Path) -> None:
    [path] = write(tmp_path, {"a.txt": bytes(range(256))})
    drop(upload_page, path)
    assert finished(upload_page, 1)["refused"] == 1
    path.write_bytes(b"now it is text, and longer than it was before\n" * 8)
    drop(upload_page, path)
    assert finished(upload_page, 2)["stored"] == 1


PASTE = """([name, where]) => {
  const clipboardData = new DataTransfer();
  clipboardData.items.add(new File(["pasted"], name, { type: "text/plain" }));
  const target = where ? document.querySelector(where) : document.body;
  return !target.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
}"""


def test_files_are_taken_from_the_clipboard_but_not_from_a_field_one_writes_in(upload_page: Page) -> None:
    assert upload_page.evaluate(PASTE, ["image.txt", None]) is True
    assert finished(upload_page, 1)["stored"] == 1
    upload_page.evaluate("document.body.insertAdjacentHTML('beforeend', '<input id=field aria-label=Field>')")
    assert upload_page.evaluate(PASTE, ["other.txt", "#field"]) is False
    upload_page.wait_for_timeout(200)
    assert counts(upload_page)["files"] == 1


def test_a_phone_offers_its_camera_and_a_mouse_does_not(
    new_page: Callable[..., Any], server: LiveServer, tmp_path: Path
) -> None:
    desk = new_page()
    desk.goto(server.url)
    desk.locator("[data-uploads-ready]").wait_for()
    expect(desk.get_by_role("button", name="Take a photo")).to_have_count(0)
    phone = new_page(has_touch=True, is_mobile=True, viewport={"width": 360, "height": 740})
    phone.goto(server.url)
    with phone.expect_file_chooser() as chooser:
        phone.get_by_role("button", name="Take a photo").tap()
    element = chooser.value.element
    assert element.get_attribute("capture") == "environment"
    assert element.get_attribute("accept") == "image/*"
    chooser.value.set_files(write(tmp_path, {"image.jpg.png": png(9, 8, 7)}))
    assert finished(phone, 1)["stored"] == 1


def test_a_path_with_any_names_travels_and_shows(upload_page: Page, tmp_path: Path) -> None:
    root = tmp_path / "Фото & <b>"
    write(root, {"día 1/日本語 名.txt": b"x\n"})
    drop(upload_page, root)
    assert finished(upload_page, 1)["stored"] == 1
    expect(row(upload_page, "日本語 名.txt").locator(".uploads-path")).to_have_text("Фото & <b>/día 1")
    assert listed(upload_page)[0]["path"] == "Фото & <b>/día 1"


def test_a_file_that_changed_after_it_was_chosen_is_told_as_changed(
    upload_page: Page, tmp_path: Path
) -> None:
    good, changed = write(tmp_path, {"good.txt": b"good\n", "changed.txt": b"before\n"})
    upload_page.evaluate("document.querySelector('.dropzone').batchUploader.pause()")
    drop(upload_page, good, changed)
    until(upload_page, "document.querySelector('.dropzone').batchUploader.batches.packer.size === 2")
    changed.write_bytes(b"it has become another file\n" * 40)
    upload_page.evaluate("document.querySelector('.dropzone').batchUploader.resume()")
    assert finished(upload_page, 2, timeout=60_000) | {"stored": 1, "refused": 1} == counts(upload_page)
    said = row(upload_page, "changed.txt").locator("[data-dz-errormessage]")
    expect(said).to_contain_text("it was changed since it was chosen")
    expect(row(upload_page, "changed.txt").get_by_role("button", name="Retry")).to_have_count(0)
    assert [file["filename"] for file in listed(upload_page)] == ["good.txt"]
