"""Flask-Dropzone's keys in our zone: each does in a browser what its documentation says."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from browser.samples import counts, finished, listed, row, states, write
from playwright.sync_api import Dialog, Page, Route, expect
from support import LiveServer

Host = Callable[..., str]


@pytest.fixture
def host(live_server: Callable[..., LiveServer]) -> Host:
    """Start the host app with these keys: `host(UPLOAD_ON_CLICK=True)` is the address of its page."""

    def start(**keys: Any) -> str:
        env = {
            f"FLASK_DROPZONE_{key}": value if isinstance(value, str) else json.dumps(value)
            for key, value in keys.items()
        }
        command = [sys.executable, str(Path(__file__).parent / "keys_app.py"), "{port}"]
        return live_server(command=command, env=env).url

    return start


def texts(folder: Path, number: int) -> list[Path]:
    return write(folder, {f"{n}.txt": f"text {n}\n".encode() for n in range(number)})


def choose(page: Page, *files: Path, zone: str = "photos") -> None:
    page.locator(f"#uploads-{zone}[data-uploads-ready]").wait_for()
    chooser = page.evaluate_handle(f"document.getElementById('uploads-{zone}').dropzone.hiddenFileInput")
    chooser.as_element().set_input_files(list(files))


def settle(page: Page) -> None:
    """Longer than the zone waits for more files before it sends."""
    page.wait_for_timeout(300)


class Uploads:
    """What leaves for an address: the files of each request, and how many requests were under way at once."""

    WATCH = """() => {
      window.most = 0;
      let running = 0;
      const send = XMLHttpRequest.prototype.send;
      XMLHttpRequest.prototype.send = function (body) {
        window.most = Math.max(window.most, (running += 1));
        this.addEventListener("readystatechange", () => (running -= this.readyState === 4));
        return send.call(this, body);
      };
    }"""

    def __init__(self, page: Page, address: str = "**/upload/*") -> None:
        self.files: list[int] = []
        self._page = page
        page.evaluate(self.WATCH)
        page.route(address, self._began)

    @property
    def most(self) -> int:
        return int(self._page.evaluate("window.most"))

    def _began(self, route: Route) -> None:
        body = (route.request.post_data_buffer or b"").decode("latin-1")
        self.files.append(len(set(re.findall(r'name="(\w+\[\d+\])"; filename=', body))))
        route.continue_()


def hold(page: Page, **options: Any) -> list[Route]:
    """The uploads that leave from now on, each held until its `continue_()`."""
    held: list[Route] = []
    page.route("**/upload/*", lambda route: held.append(route), **options)
    return held


# ---- upload on a click


def test_a_click_sends_the_whole_queue(page: Page, host: Host, tmp_path: Path) -> None:
    page.goto(host(UPLOAD_ON_CLICK=True, UPLOAD_BTN_ID="send \"them\" 'all'"))
    sent = Uploads(page)
    files = texts(tmp_path, 5)
    choose(page, *files[:3])
    choose(page, *files[3:])
    settle(page)
    assert sent.files == []
    assert set(states(page).values()) == {"waiting"}
    page.get_by_role("button", name="Send them").click()
    assert finished(page, 5)["stored"] == 5
    assert {file["filename"] for file in listed(page)} == {path.name for path in files}


def test_a_click_sends_the_whole_queue_in_requests_of_as_many_as_are_set(
    page: Page, host: Host, tmp_path: Path
) -> None:
    page.goto(host(UPLOAD_ON_CLICK=True, PARALLEL_UPLOADS=2))
    sent = Uploads(page)
    choose(page, *texts(tmp_path, 5))
    settle(page)
    page.locator("#upload").click()
    assert finished(page, 5)["stored"] == 5
    assert sent.files == [2, 2, 1]


def test_what_is_added_after_a_click_waits_for_the_next(page: Page, host: Host, tmp_path: Path) -> None:
    page.goto(host(UPLOAD_ON_CLICK=True))
    files = texts(tmp_path, 3)
    choose(page, *files[:2])
    page.locator("#upload").click()
    finished(page, 2)
    choose(page, files[2])
    settle(page)
    assert states(page)["2.txt"] == "waiting"
    page.locator("#upload").click()
    assert finished(page, 3)["stored"] == 3


def test_a_file_taken_out_before_the_click_is_not_sent(page: Page, host: Host, tmp_path: Path) -> None:
    page.goto(host(UPLOAD_ON_CLICK=True))
    choose(page, *texts(tmp_path, 3))
    row(page, "1.txt").get_by_role("button", name="Cancel upload").click()
    page.locator("#upload").click()
    assert finished(page, 3)["stored"] == 2
    assert {file["filename"] for file in listed(page)} == {"0.txt", "2.txt"}


def test_until_the_click_no_more_files_are_taken_than_the_limit(
    page: Page, host: Host, tmp_path: Path
) -> None:
    page.goto(host(UPLOAD_ON_CLICK=True, MAX_FILES=3, MAX_FILE_EXCEED="Only {{maxFiles}}!"))
    files = texts(tmp_path, 4)
    choose(page, *files[:2])
    choose(page, *files[2:])
    assert row(page, "3.txt").locator("[data-dz-errormessage]").inner_text() == "Only 3!"
    page.locator("#upload").click()
    assert finished(page, 4) | {"files": 0} == {
        "files": 0,
        "stored": 3,
        "refused": 1,
        "failed": 0,
        "cancelled": 0,
        "deleted": 0,
        "open": 0,
    }


def test_the_zone_has_a_button_where_the_page_has_none(page: Page, host: Host, tmp_path: Path) -> None:
    page.goto(urljoin(host(UPLOAD_ON_CLICK=True), "/?without"))
    choose(page, *texts(tmp_path, 2))
    page.get_by_role("button", name="Upload", exact=True).click()
    assert finished(page, 2)["stored"] == 2


def test_a_script_of_the_hosts_may_send_the_queue(page: Page, host: Host, tmp_path: Path) -> None:
    page.goto(host(UPLOAD_ON_CLICK=True))
    choose(page, *texts(tmp_path, 5))
    page.evaluate("document.querySelector('.dropzone').dropzone.processQueue()")
    assert finished(page, 5)["stored"] == 5


# ---- in a form

IN_FORM = {"IN_FORM": True, "UPLOAD_ON_CLICK": True, "UPLOAD_BTN_ID": "any button"}


@pytest.mark.parametrize("query", ["", "?button", "?set=photos&set=notes"])
def test_the_form_waits_until_its_files_are_stored(
    page: Page, host: Host, tmp_path: Path, query: str
) -> None:
    page.goto(urljoin(host(**IN_FORM), f"/form{query}"))
    held = hold(page)
    files = texts(tmp_path, 3)
    choose(page, *files[:2])
    choose(page, files[2], zone="notes" if "notes" in query else "photos")
    page.get_by_label("Title").fill("Summer")
    settle(page)
    assert held == []
    page.get_by_role("button", name="Save").click()
    settle(page)
    assert held
    for route in held:
        assert page.url.endswith(f"/form{query}"), "the form went before its files"
        route.continue_()
        settle(page)
    # A button that submits nothing by itself adds nothing to the form.
    how = "None" if query == "?button" else "saved"
    expect(page.locator("body")).to_have_text(f"Summer, {how}: 3 files were stored before.")


def test_a_form_without_files_goes_at_the_first_click(page: Page, host: Host) -> None:
    page.goto(urljoin(host(**IN_FORM), "/form"))
    page.get_by_label("Title").fill("Nothing")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("body")).to_have_text("Nothing, saved: 0 files were stored before.")


def test_the_enter_key_waits_as_the_button_does(page: Page, host: Host, tmp_path: Path) -> None:
    page.goto(urljoin(host(**IN_FORM), "/form"))
    choose(page, *texts(tmp_path, 2))
    page.get_by_label("Title").fill("Enter")
    page.get_by_label("Title").press("Enter")
    expect(page.locator("body")).to_have_text("Enter, saved: 2 files were stored before.")


def test_a_form_that_is_not_filled_in_sends_no_files(page: Page, host: Host, tmp_path: Path) -> None:
    page.goto(urljoin(host(**IN_FORM), "/form"))
    choose(page, *texts(tmp_path, 2))
    page.get_by_role("button", name="Save").click()
    settle(page)
    assert set(states(page).values()) == {"waiting"}


def test_a_failed_upload_does_not_send_the_form_and_the_next_click_tries_again(
    page: Page, host: Host, tmp_path: Path
) -> None:
    page.goto(urljoin(host(**IN_FORM), "/form"))
    page.route("**/upload/*", lambda route: route.fulfill(status=500, body="Not today."), times=1)
    page.get_by_label("Title").fill("Twice")
    choose(page, *texts(tmp_path, 2))
    page.get_by_role("button", name="Save").click()
    assert finished(page, 2)["failed"] == 2
    note = page.get_by_role("alert")
    expect(note).to_contain_text("The form was not sent, because not every file was stored.")
    settle(page)
    assert page.url.endswith("/form")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("body")).to_have_text("Twice, saved: 2 files were stored before.")


def test_a_file_that_the_server_refuses_keeps_the_form_back_once(
    page: Page, host: Host, tmp_path: Path
) -> None:
    page.goto(urljoin(host(**IN_FORM), "/form"))
    page.get_by_label("Title").fill("Mixed")
    choose(page, *write(tmp_path, {"a.txt": b"text", "b.txt": bytes(range(256))}))
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert states(page) == {"a.txt": "stored", "b.txt": "refused"}
    settle(page)
    assert page.url.endswith("/form")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("body")).to_have_text("Mixed, saved: 1 files were stored before.")


def test_a_form_waits_for_files_that_left_without_a_click_too(page: Page, host: Host, tmp_path: Path) -> None:
    page.goto(urljoin(host(IN_FORM=True, REDIRECT_VIEW="done"), "/form"))
    held = hold(page)
    choose(page, *texts(tmp_path, 2))
    settle(page)
    page.get_by_label("Title").fill("At once")
    page.get_by_role("button", name="Save").click()
    settle(page)
    assert page.url.endswith("/form")
    (route,) = held
    route.continue_()
    expect(page.locator("body")).to_have_text("At once, saved: 2 files were stored before.")


def test_files_of_a_form_go_to_the_view_that_is_set(page: Page, host: Host, tmp_path: Path) -> None:
    page.goto(urljoin(host(UPLOAD_ACTION="own", **IN_FORM), "/form"))
    sent = Uploads(page, "**/own")
    page.get_by_label("Title").fill("Own")
    choose(page, *texts(tmp_path, 2))
    page.get_by_role("button", name="Save").click()
    expect(page.locator("body")).to_have_text("Own, saved: 2 files were stored before.")
    assert sent.files == [2]


# ---- afterwards


def test_the_page_is_left_only_when_something_was_stored(page: Page, host: Host, tmp_path: Path) -> None:
    page.goto(host(REDIRECT_VIEW="done", MAX_FILE_SIZE=0.5))
    address = page.url
    exe, fake, big, good = write(
        tmp_path,
        {"a.exe": b"MZ", "b.txt": bytes(range(256)), "c.txt": b"x" * 600_000, "d.txt": b"text"},
    )
    for number, file in enumerate((exe, fake, big), start=1):
        choose(page, file)
        expect(page.locator(".dz-error")).to_have_count(number)
    settle(page)
    assert page.url == address
    choose(page, good)
    page.wait_for_url("**/done")
    expect(page.locator("body")).to_have_text("All done.")


# ---- requests


def test_so_many_files_go_in_one_request(page: Page, host: Host, tmp_path: Path) -> None:
    page.goto(host(UPLOAD_MULTIPLE=True, PARALLEL_UPLOADS=3, INPUT_NAME="photo"))
    sent = Uploads(page)
    choose(page, *texts(tmp_path, 7))
    assert finished(page, 7)["stored"] == 7
    assert sent.files == [3, 3, 1]
    assert sent.most == 1


def test_so_many_requests_of_one_file_are_under_way(page: Page, host: Host, tmp_path: Path) -> None:
    page.goto(host(PARALLEL_UPLOADS=2))
    sent = Uploads(page)
    choose(page, *texts(tmp_path, 7))
    assert finished(page, 7)["stored"] == 7
    assert sent.files == [1] * 7
    assert sent.most == 2


@pytest.mark.expect_console_errors
def test_the_browser_waits_as_long_as_it_is_told(page: Page, host: Host, tmp_path: Path) -> None:
    page.goto(host(TIMEOUT=400))
    held = hold(page)
    choose(page, *texts(tmp_path, 1))
    assert finished(page, 1)["failed"] == 1
    assert len(held) == 3, "it gives up too early, or never"
    assert "took too long" in row(page, "0.txt").locator("[data-dz-errormessage]").inner_text()
    for route in held:
        route.abort()


# ---- limits and words

WORDS = {
    "DEFAULT_MESSAGE": '把文件拖到"这里", l\'équipe `!` </script><b>',
    "INVALID_FILE_TYPE": '不接受"这种"文件, c\'est dommage {extension}',
    "FILE_TOO_BIG": '文件 "{{filesize}}" 太大, l\'max: {{maxFilesize}} MB',
    "MAX_FILE_EXCEED": '"最多" {{maxFiles}} l\'fichiers',
    "SERVER_ERROR": '"服务器" l\'erreur: {{statusCode}}',
    "CANCEL_UPLOAD": '"取消" l\'envoi',
    "REMOVE_FILE": '"删除" l\'fichier',
    "CANCEL_CONFIRMATION": '"真的" l\'annuler?',
    "UPLOAD_CANCELED": '"已取消" l\'envoi',
}


@pytest.fixture
def talking(page: Page, host: Host) -> Page:
    """A zone with the host's words, that takes two pictures or PDFs of half a megabyte."""
    types = {"ALLOWED_FILE_CUSTOM": True, "ALLOWED_FILE_TYPE": "image/*, .pdf, text/plain"}
    page.goto(host(MAX_FILE_SIZE=0.5, MAX_FILES=2, **types, **WORDS))
    return page


def said(page: Page, name: str) -> str:
    return row(page, name).locator("[data-dz-errormessage]").inner_text()


def test_the_host_s_words_stand_as_they_were_written(talking: Page, tmp_path: Path) -> None:
    expect(talking.locator(".uploads-invitation")).to_contain_text(WORDS["DEFAULT_MESSAGE"])
    files = write(
        tmp_path,
        {"a.mp4": b"", "b.txt": b"x" * 600_000, "c.txt": b"c", "d.txt": b"d", "e.txt": b"e"},
    )
    choose(talking, *files)
    assert finished(talking, 5)["stored"] == 2
    assert said(talking, "a.mp4") == WORDS["INVALID_FILE_TYPE"]
    assert said(talking, "b.txt") == '文件 "0.57" 太大, l\'max: 0.5 MB'
    assert said(talking, "e.txt") == '"最多" 2 l\'fichiers'
    remove = row(talking, "a.mp4").get_by_role("button", name=WORDS["REMOVE_FILE"])
    remove.click()
    expect(row(talking, "a.mp4")).to_have_count(0)


def test_the_limit_is_the_byte_in_browser_and_server(talking: Page, tmp_path: Path) -> None:
    fits, over = write(tmp_path, {"fits.txt": b"x" * 524_288, "over.txt": b"x" * 524_289})
    choose(talking, fits, over)
    assert finished(talking, 2)["stored"] == 1
    assert states(talking) == {"fits.txt": "stored", "over.txt": "refused"}
    answer = talking.request.post(
        urljoin(talking.url, "/upload/photos"),
        multipart={"file": {"name": "over.txt", "mimeType": "text/plain", "buffer": over.read_bytes()}},
        headers={
            "X-CSRFToken": talking.request.get(urljoin(talking.url, "/csrf-token")).json()["csrf_token"]
        },
    )
    assert answer.status == 413
    assert answer.text() == "The file is 524,289 bytes; the limit is 524,288 bytes."


def test_the_host_s_words_speak_for_a_server_that_says_nothing(talking: Page, tmp_path: Path) -> None:
    talking.route(
        "**/upload/*", lambda route: route.fulfill(status=502, content_type="text/html", body="<h1>")
    )
    choose(talking, *texts(tmp_path, 1))
    finished(talking, 1)
    assert said(talking, "0.txt") == '"服务器" l\'erreur: 502'


@pytest.mark.parametrize("sure", [False, True])
def test_the_host_asks_before_an_upload_is_cancelled(talking: Page, tmp_path: Path, sure: bool) -> None:
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.accept() if sure else dialog.dismiss()

    talking.on("dialog", answer)
    held = hold(talking)
    choose(talking, *texts(tmp_path, 1))
    settle(talking)
    row(talking, "0.txt").get_by_role("button", name=WORDS["CANCEL_UPLOAD"]).click()
    assert asked == [WORDS["CANCEL_CONFIRMATION"]]
    if sure:
        assert finished(talking, 1)["cancelled"] == 1
        assert said(talking, "0.txt") == WORDS["UPLOAD_CANCELED"]
    else:
        assert counts(talking)["open"] == 1
        held[0].continue_()
        assert finished(talking, 1)["stored"] == 1


def test_a_browser_that_cannot_drop_gets_the_host_s_words_and_the_plain_form(
    new_page: Callable[..., Any], host: Host
) -> None:
    words = '"抱歉" l\'ancien navigateur </form>'
    url = host(BROWSER_UNSUPPORTED=words)
    page = new_page(java_script_enabled=False)
    page.goto(url)
    expect(page.get_by_text(words)).to_be_visible()
    expect(page.get_by_label("Files to upload")).to_be_visible()
    page = new_page()
    page.add_init_script("delete window.FileList")
    page.goto(url)
    expect(page.get_by_text(words)).to_be_visible()
    expect(page.get_by_label("Files to upload")).to_be_visible()
