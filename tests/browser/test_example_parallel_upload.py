"""examples/parallel-upload in a real Chromium: stock Dropzone, three parts a request, and the whole truth on hover."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser.samples import png
from playwright.sync_api import Page, expect
from support import LiveServer

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "parallel-upload"


@pytest.fixture
def example(live_server: Callable[..., LiveServer]) -> Iterator[LiveServer]:
    command = [sys.executable, "-m", "flask", "--app", str(EXAMPLE / "app.py"), "run", "--port", "{port}"]
    return live_server(command=command)


def open_example(page: Page, example: LiveServer) -> None:
    """The page, open, keeping a note of the keys of the files in each request that leaves."""
    page.add_init_script(
        """window.sent = [];
        const send = XMLHttpRequest.prototype.send;
        XMLHttpRequest.prototype.send = function (form) {
          window.sent.push([...form].filter(([, value]) => value instanceof File).map(([key]) => key));
          return send.call(this, form);
        };"""
    )
    page.goto(f"{example.url}/upload")


def drop(page: Page, files: list[Path]) -> None:
    page.set_input_files("input.dz-hidden-input", files)


def test_seven_files_leave_in_requests_of_at_most_three_and_are_all_stored(
    page: Page, example: LiveServer, tmp_path: Path
) -> None:
    files = []
    for number in range(7):
        path = tmp_path / f"photo {number}.png"
        path.write_bytes(png(number * 30, 90, 160))
        files.append(path)
    open_example(page, example)
    drop(page, files)
    expect(page.locator(".dz-preview.dz-success.dz-complete")).to_have_count(7)
    expect(page.locator(".dz-preview.dz-error")).to_have_count(0)
    assert page.evaluate("window.sent") == [
        ["file[0]", "file[1]", "file[2]"],
        ["file[0]", "file[1]", "file[2]"],
        ["file[0]"],
    ]
    stored = page.request.get(f"{example.url}/files", headers={"Accept": "application/json"}).json()["files"]
    assert {file["filename"] for file in stored} == {path.name for path in files}
    assert {file["set"] for file in stored} == {"photos"}
    for path in files:
        assert (example.folder / "uploads/photos" / path.name).read_bytes() == path.read_bytes()


def test_one_bad_file_in_a_batch_and_the_tooltip_tells_the_whole_truth(
    page: Page, example: LiveServer, tmp_path: Path
) -> None:
    files = [tmp_path / name for name in ("a.png", "notes.txt", "b.png")]
    for path in files:
        path.write_bytes(b"no picture" if path.suffix == ".txt" else png(200, 60, 30))
    open_example(page, example)
    drop(page, files)
    thumbnail = page.locator(".dz-preview", has=page.locator("[data-dz-name]", has_text="notes.txt"))
    tooltip = thumbnail.locator(".dz-error-message")
    expect(tooltip).to_have_css("opacity", "0")
    thumbnail.hover()
    expect(tooltip).to_have_css("opacity", "1")
    text = tooltip.inner_text().strip()
    assert re.fullmatch(
        r'file\[1\] "notes\.txt": \.txt files are not accepted here\. Accepted: JPEG, PNG, .*\.'
        r"\s+The other 2 files were stored\.",
        text,
    )
    assert page.evaluate("window.sent") == [["file[0]", "file[1]", "file[2]"]]
    stored = page.request.get(f"{example.url}/files", headers={"Accept": "application/json"}).json()["files"]
    assert {file["filename"] for file in stored} == {"a.png", "b.png"}
