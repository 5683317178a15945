"""What is not stored is never shown as stored, and says what to do."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser.samples import drop, finished, listed, png, row, states, write
from playwright.sync_api import Dialog, Page, Route, expect
from support import LiveServer


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return write(tmp_path, {"one.png": png(250, 180, 60), "two.txt": b"two\n", "three.txt": b"three\n"})


def sentences(page: Page) -> set[str]:
    """What the rows say, all of them."""
    return set(page.locator(".dz-preview [data-dz-errormessage]").all_inner_texts())


LOGIN = "<!doctype html><title>Sign in</title><form><input name=password></form>"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"status": 200, "content_type": "text/html", "body": LOGIN}, "did not come from the upload service"),
        ({"status": 200, "body": ""}, "did not come from the upload service"),
        ({"status": 200, "json": {"success": True}}, "did not come from the upload service"),
        ({"status": 201, "json": {"success": True, "files": []}}, "did not confirm"),
        ({"status": 200, "json": {"error": "no"}}, "did not come from the upload service"),
        ({"status": 500, "content_type": "text/html", "body": "<h1>Error</h1>"}, "failed (error 500)"),
        ({"status": 502, "content_type": "text/html", "body": "<h1>Bad gateway</h1>"}, "failed (error 502)"),
        (
            {"status": 507, "content_type": "text/plain", "body": "The server has no room left."},
            "The server has no room left.",
        ),
    ],
    ids=["login page", "empty", "no files", "none named", "foreign json", "500", "502", "507"],
)
def test_an_answer_that_does_not_name_the_files_is_never_green_and_can_be_retried(
    upload_page: Page, files: list[Path], answer: dict[str, Any], said: str
) -> None:
    upload_page.route("**/upload/*", lambda route: route.fulfill(**answer))
    drop(upload_page, *files)
    assert finished(upload_page, 3)["failed"] == 3
    expect(upload_page.locator(".dz-success")).to_have_count(0)
    [sentence] = sentences(upload_page)
    assert said in sentence
    assert "<" not in sentence
    expect(upload_page.locator(".dz-preview").get_by_role("button", name="Retry")).to_have_count(3)
    expect(upload_page.get_by_role("button", name="Retry 3 that can succeed")).to_be_visible()
    expect(upload_page.locator("[data-uploads-live]")).to_have_text("0 stored, 3 failed.")


def test_files_that_no_scanner_looks_at_are_tried_a_few_times_and_then_told(
    upload_page: Page, files: list[Path]
) -> None:
    said = "the file could not be scanned for viruses at the moment, and was not stored; try again later."
    sent = []

    def refuse(route: Route) -> None:
        sent.append(route.request.url)
        lines = [f'file[{n}] "{path.name}": {said}' for n, path in enumerate(files)]
        route.fulfill(
            status=503,
            content_type="text/plain",
            headers={"Upload-Verdicts": "per-part", "Upload-Codes": "not_scanned=(0 1 2)"},
            body="\n".join([*lines, "No file was stored."]),
        )

    # How the pauses grow is tested in node.
    upload_page.evaluate("document.querySelector('.dropzone').batchUploader.line.backoff.next = () => 50")
    upload_page.route(re.compile(r"/upload/files$"), refuse)
    drop(upload_page, *files)
    assert finished(upload_page, 3)["failed"] == 3
    assert sentences(upload_page) == {said.capitalize()}
    assert len(sent) == 3
    upload_page.unroute_all()
    upload_page.get_by_role("button", name="Retry 3 that can succeed").click()
    assert finished(upload_page, 3)["stored"] == 3


def test_a_redirect_to_a_login_page_is_never_green(upload_page: Page, files: list[Path]) -> None:
    def redirect(route: Route) -> None:
        if "sign-in" in route.request.url:
            route.fulfill(status=200, content_type="text/html", body=LOGIN)
        else:
            route.fulfill(status=302, headers={"Location": "/sign-in"})

    upload_page.route("**/upload/*", redirect)
    upload_page.route("**/sign-in", redirect)
    drop(upload_page, *files)
    assert finished(upload_page, 3)["stored"] == 0
    expect(upload_page.locator(".dz-success")).to_have_count(0)


def test_a_per_part_text_that_was_cut_off_proves_nothing(upload_page: Page, files: list[Path]) -> None:
    upload_page.route(
        "**/upload/*",
        lambda route: route.fulfill(
            status=415,
            content_type="text/plain",
            headers={"Upload-Verdicts": "per-part"},
            body='file[0] "one.png": the file is nam',
        ),
    )
    drop(upload_page, *files)
    assert finished(upload_page, 3)["failed"] == 3


def test_a_refusal_of_the_whole_request_paints_every_row_with_its_sentence(
    upload_page: Page, files: list[Path]
) -> None:
    text = "Uploads from another site (unknown) are not accepted; open the upload page itself."
    upload_page.route(
        "**/upload/*", lambda route: route.fulfill(status=403, content_type="text/plain", body=text)
    )
    drop(upload_page, *files)
    assert finished(upload_page, 3)["refused"] == 3
    assert sentences(upload_page) == {text}
    expect(upload_page.get_by_role("button", name="Retry")).to_have_count(0)


def test_a_413_is_shown_in_its_words(
    live_server: Callable[..., LiveServer], page: Page, tmp_path: Path
) -> None:
    small = live_server(env={"FLASK_MAX_CONTENT_LENGTH": "1 MB", "FLASK_UPLOADS_MAX_FILE_SIZE": "1 MB"})
    page.goto(small.url)
    # The zone is told a larger limit than the server holds, as after a change of settings while it is open.
    page.evaluate("""() => {
      const { options } = document.querySelector(".dropzone").batchUploader;
      options.maxFileSize = options.maxContentLength = null;
    }""")
    drop(page, *write(tmp_path, {"big.txt": b"many words\n" * 300_000}))
    assert finished(page, 1)["refused"] == 1
    [sentence] = sentences(page)
    assert "3.3 MB" in sentence and "1 MB" in sentence


def test_files_that_are_too_much_for_one_request_go_again_one_by_one(
    live_server: Callable[..., LiveServer], page: Page, tmp_path: Path
) -> None:
    small = live_server(env={"FLASK_UPLOADS_MAX_PARTS": "2"})
    page.goto(small.url)
    page.evaluate("document.querySelector('.dropzone').batchUploader.batches.packer.maxParts = 50")
    drop(page, *write(tmp_path, {f"{n}.txt": b"text\n" for n in range(5)}))
    assert finished(page, 5)["stored"] == 5


def test_a_page_left_open_renews_its_token_by_itself(
    live_server: Callable[..., LiveServer], page: Page, files: list[Path]
) -> None:
    server = live_server(env={"FLASK_WTF_CSRF_TIME_LIMIT": "1"})
    page.goto(server.url)
    page.locator("[data-uploads-ready]").wait_for()
    page.wait_for_timeout(2500)
    drop(page, *files)
    assert finished(page, 3)["stored"] == 3


def test_a_token_the_server_no_longer_takes_is_replaced_and_the_request_repeated_silently(
    upload_page: Page, files: list[Path]
) -> None:
    upload_page.evaluate("document.querySelector('.dropzone').batchUploader.token.value = 'stale'")
    answers: list[int] = []
    upload_page.on(
        "response", lambda answer: answers.append(answer.status) if "/upload/" in answer.url else None
    )
    drop(upload_page, *files)
    assert finished(upload_page, 3)["stored"] == 3
    assert answers == [400, 201]


def test_sent_but_not_answered_is_shown_as_checking_and_not_as_stored(
    upload_page: Page, files: list[Path]
) -> None:
    held: list[Route] = []
    upload_page.route("**/upload/*", lambda route: held.append(route))
    drop(upload_page, *files)
    expect(upload_page.locator(".dz-processing")).to_have_count(3)
    assert set(states(upload_page).values()) <= {"sending", "checking"}
    expect(upload_page.locator(".dz-success")).to_have_count(0)
    bar = upload_page.get_by_role("progressbar")
    assert int(bar.get_attribute("aria-valuenow") or 100) < 100
    held[0].continue_()
    assert finished(upload_page, 3)["stored"] == 3


@pytest.mark.parametrize("content", [b"two\n", b""], ids=["full", "empty"])
def test_a_file_that_vanished_after_it_was_chosen_fails_alone(
    upload_page: Page, files: list[Path], content: bytes
) -> None:
    files[1].write_bytes(content)
    upload_page.evaluate("document.querySelector('.dropzone').batchUploader.parallel = 0")
    drop(upload_page, *files)
    expect(upload_page.locator(".dz-preview")).to_have_count(3)
    files[1].unlink()
    upload_page.evaluate("""() => {
      const uploader = document.querySelector(".dropzone").batchUploader;
      uploader.parallel = 3;
      uploader.pump();
    }""")
    assert finished(upload_page, 3) | {"stored": 2, "refused": 1} == finished(upload_page, 3)
    expect(row(upload_page, "two.txt").locator("[data-dz-errormessage]")).to_contain_text(
        "is no longer there"
    )
    assert {file["filename"] for file in listed(upload_page)} == {"one.png", "three.txt"}


def test_leaving_the_page_while_files_are_on_their_way_asks_first(
    upload_page: Page, files: list[Path]
) -> None:
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    upload_page.on("dialog", answer)
    # Browsers ask only where a person has touched the page.
    upload_page.locator("summary").click()
    held: list[Route] = []
    upload_page.route("**/upload/*", lambda route: held.append(route))
    drop(upload_page, *files)
    expect(upload_page.locator(".dz-processing")).to_have_count(3)
    upload_page.reload()
    assert asked == ["beforeunload"]
    upload_page.locator("summary").click()
    upload_page.reload()
    assert asked == ["beforeunload"], "it asks although nothing is on its way"


@pytest.mark.expect_console_errors
def test_where_the_script_does_not_come_the_plain_form_takes_its_place(
    new_page: Callable[..., Page], server: LiveServer, files: list[Path]
) -> None:
    page = new_page(reduced_motion="reduce")
    page.route("**/js/tally.js", lambda route: route.abort())
    page.goto(server.url)
    choose = page.get_by_role("button", name="Choose files")
    plain = page.get_by_label("Files to upload")
    expect(choose).to_be_visible()
    expect(plain).to_be_hidden()
    # As after ten seconds.
    page.evaluate("for (const waiting of document.getAnimations()) waiting.finish()")
    expect(plain).to_be_visible()
    expect(choose).to_be_hidden()
    plain.set_input_files(files)
    page.get_by_role("button", name="Upload", exact=True).click()
    page.wait_for_url("**/batches/*")
    expect(page.get_by_role("heading", level=1)).to_have_text("All 3 files were stored")


@pytest.mark.expect_console_errors
def test_without_dropzone_the_plain_form_does_the_work(
    new_page: Callable[..., Page], server: LiveServer, files: list[Path]
) -> None:
    page = new_page()
    page.route("**/dropzone-min.js", lambda route: route.abort())
    page.goto(server.url)
    page.get_by_label("Files to upload").set_input_files(files)
    page.get_by_role("button", name="Upload", exact=True).click()
    page.wait_for_url("**/batches/*")
    expect(page.get_by_role("heading", level=1)).to_have_text("All 3 files were stored")
