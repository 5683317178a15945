"""`new BatchUploader(element, options)`: what a script of the host's makes, reads and hears."""

import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin

import pytest
from browser.samples import png, until, write
from playwright.sync_api import Page, Route, expect
from support import LiveServer


@pytest.fixture
def scripted(live_server: Callable[..., LiveServer], page: Page) -> Page:
    app = Path(__file__).with_name("scripted_app.py")
    server = live_server(command=[sys.executable, str(app), "{port}"], ready="/in/healthz")
    page.goto(server.url)
    expect(page.locator("[data-uploads-ready]")).to_have_count(2)
    return page


def choose(page: Page, zone: str, *paths: Path) -> None:
    chooser = page.evaluate_handle(f"document.getElementById('{zone}').dropzone.hiddenFileInput")
    chooser.as_element().set_input_files(list(paths))


def test_a_zone_made_by_a_script_has_all_that_one_of_the_template_has(scripted: Page, tmp_path: Path) -> None:
    assert scripted.evaluate("document.getElementById('one').batchUploader === one")
    expect(scripted.locator("#one.dropzone")).to_be_visible()
    assert scripted.locator("input.dz-hidden-input").count() == 2
    scripted.evaluate("""() => {
      window.heard = [];
      for (const name of ["stored", "done"])
        document.addEventListener(`batchuploader:${name}`, ({ detail, target }) => {
          window.heard.push([name, target.id, detail.file?.filename ?? detail]);
        });
    }""")
    good, bad = write(tmp_path, {"a.png": png(1, 2, 3), "b.exe": b"MZ"})
    choose(scripted, "one", good, bad)
    until(scripted, "window.heard.length === 2")
    expected = {
        "files": 2,
        "stored": 1,
        "refused": 1,
        "failed": 0,
        "cancelled": 0,
        "deleted": 0,
        "open": 0,
    }
    assert scripted.evaluate("window.heard") == [["stored", "one", "a.png"], ["done", "one", expected]]
    assert scripted.evaluate("one.counts") == expected
    rows = scripted.locator("#one ~ [data-uploads-list] .dz-preview")
    expect(rows).to_have_count(2)
    expect(rows.filter(has_text="b.exe").locator("[data-dz-errormessage]")).to_contain_text(".exe files are")
    expect(scripted.locator("#two ~ [data-uploads-list] .dz-preview")).to_have_count(0)


def test_an_address_alone_is_enough_and_the_server_decides(scripted: Page, tmp_path: Path) -> None:
    good, bad = write(tmp_path, {"a.txt": b"a\n", "b.png": png(1, 2, 3)})
    choose(scripted, "two", good, bad)
    until(scripted, "two.counts.stored === 1 && two.counts.refused === 1")
    message = scripted.locator("#two ~ [data-uploads-list] .dz-error [data-dz-errormessage]")
    expect(message).to_contain_text(".png files are not accepted here")
    expect(scripted.get_by_role("button", name="Undo this drop")).to_have_count(0)


def test_a_script_may_add_hold_and_go_on(scripted: Page) -> None:
    scripted.evaluate("""() => {
      two.pause();
      two.addFiles([new File(["text"], "made.txt"), new File(["more"], "more.txt")]);
    }""")
    scripted.wait_for_timeout(300)
    assert scripted.evaluate("two.counts.open") == 2
    scripted.evaluate("two.resume()")
    until(scripted, "two.counts.stored === 2")
    answer = scripted.request.get(urljoin(scripted.url, "/in/files"), headers={"Accept": "application/json"})
    assert {file["filename"] for file in answer.json()["files"]} == {"made.txt", "more.txt"}


def test_what_is_missing_is_said_to_the_programmer(scripted: Page) -> None:
    said = scripted.evaluate("""() => {
      try {
        new BatchUploader("#nowhere", { url: "/" });
      } catch (error) {
        return error.message;
      }
    }""")
    assert said == "BatchUploader: there is no element #nowhere"


def test_an_address_and_a_size_are_enough_for_chunks_over_a_lost_connection(
    scripted: Page, tmp_path: Path
) -> None:
    [big] = write(tmp_path, {"big.txt": b"a line of it\n" * 20_000})
    scripted.evaluate("""() => {
      const zone = document.body.appendChild(Object.assign(document.createElement("div"), { id: "three" }));
      window.three = new BatchUploader(zone, { url: two.options.url, chunkSize: 50_000 });
      window.sent = [];
      three.dropzone.on("sending", (file, xhr, body) => window.sent.push(body.get("dzchunkindex")));
    }""")
    lost: list[str] = []

    def lose(route: Route) -> None:
        if len(scripted.evaluate("window.sent")) >= 4 and not lost:
            lost.append(route.request.url)
            route.abort("connectionreset")
        else:
            route.continue_()

    scripted.route("**/upload/notes", lose)
    choose(scripted, "three", big)
    until(scripted, "three.counts.stored === 1")
    assert len(lost) == 1
    assert 6 < len(scripted.evaluate("window.sent")) <= 6 + 3, "what was there was sent again"
    answer = scripted.request.get(urljoin(scripted.url, "/in/files"), headers={"Accept": "application/json"})
    [file] = answer.json()["files"]
    assert scripted.request.get(urljoin(scripted.url, file["url"])).body() == big.read_bytes()
