"""The form that works without a script: it always lands on a page that tells what became of every file."""

from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from webclient import EXE, PNG, Item, Visitor, assert_refused, encode, stored_names, visiting
from werkzeug.test import TestResponse

from dropzone_app.records import Records, records

# Each runs on each database.
pytestmark = pytest.mark.usefixtures("database")

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture
def visit(database: str, tmp_path: Path) -> Iterator[Callable[..., Visitor]]:
    with visiting(tmp_path) as visit:
        yield visit


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    return visit()


def send(visitor: Visitor, *items: Item, **headers: str) -> TestResponse:
    return visitor.post(
        encode(("csrf_token", visitor.token()), *items), headers={**BROWSER, **headers}, buffered=True
    )


class Form(HTMLParser):
    """The upload form of a page, as a browser without scripts would send it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: list[dict[str, str | None]] = []
        self.inputs: list[dict[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"form", "input"}:
            getattr(self, f"{tag}s").append(dict(attrs))


def test_the_page_itself_holds_a_form_that_works(visitor: Visitor, tmp_path: Path) -> None:
    form = Form(visitor.get("/").text)
    (attributes,) = form.forms
    assert attributes["method"] == "post"
    assert attributes["enctype"] == "multipart/form-data"
    (token,) = [field for field in form.inputs if field["type"] == "hidden"]
    (file,) = [field for field in form.inputs if field["type"] == "file"]
    assert "multiple" in file
    body = encode(
        (str(token["name"]), str(token["value"])),
        (str(file["name"]), "a.png", PNG),
        (str(file["name"]), "b.png", PNG),
    )
    answer = visitor.post(body, str(attributes["action"]), headers=BROWSER)
    assert answer.status_code == 303
    assert stored_names(tmp_path) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("parts", "title"),
    [
        ([("file", "a.png", PNG)], "1 stored, 0 refused"),
        ([("file", "a.png", PNG), ("file", "b.exe", EXE)], "1 stored, 1 refused"),
        ([("file", "b.exe", EXE)], "0 stored, 1 refused"),
    ],
)
def test_every_verdict_lands_on_the_page_of_the_batch(
    visitor: Visitor, parts: list[Item], title: str
) -> None:
    answer = send(visitor, *parts)
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/batches/")
    page = visitor.get(answer.headers["Location"])
    assert page.status_code == 200
    assert page.mimetype == "text/html"
    assert f"<title>{title}</title>" in page.text


def test_the_page_of_the_batch_has_every_sentence_and_a_link_to_what_is_stored(visitor: Visitor) -> None:
    answer = send(visitor, ("file", "a.png", PNG), ("file", "b.exe", EXE), ("file", "<i>&.exe", EXE))
    page = visitor.get(answer.headers["Location"]).text
    assert page.count(".exe files are not accepted here.") == 2
    assert f'href="{visitor.files()[0]["url"]}"' in page
    assert "<i>" not in page


def test_a_deleted_file_of_the_batch_has_no_link_any_more(visitor: Visitor) -> None:
    location = send(visitor, ("file", "a.png", PNG)).headers["Location"]
    (file,) = visitor.files()
    visitor.delete(f"/files/{file['id']}")
    page = visitor.get(location)
    assert page.status_code == 200
    assert str(file["url"]) not in page.text


def test_the_page_of_the_batch_is_the_owners_alone(visitor: Visitor) -> None:
    location = send(visitor, ("file", "a.png", PNG)).headers["Location"]
    stranger = Visitor(visitor.app)
    stranger.token()
    theirs, missing = stranger.get(location), stranger.get(f"/batches/{'0' * 32}")
    assert_refused(theirs, 404, "There is no such batch here, or it is older than a day.")
    assert (theirs.data, dict(theirs.headers)) == (missing.data, dict(missing.headers))


def test_the_page_of_the_batch_is_kept_for_a_day(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    location = send(visitor, ("file", "a.png", PNG)).headers["Location"]
    sent = records.now()
    monkeypatch.setattr(records, "now", lambda: sent + 23 * 3600 * 1_000_000)
    assert visitor.get(location).status_code == 200
    monkeypatch.setattr(records, "now", lambda: sent + 25 * 3600 * 1_000_000)
    assert_refused(visitor.get(location), 404)
    # The next form takes old reports away, not only out of sight.
    send(visitor, ("file", "b.png", PNG))
    monkeypatch.setattr(records, "now", lambda: sent)
    assert_refused(visitor.get(location), 404)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Accept": "text/html"}, 303),
        ({"Accept": "text/html;q=0.1, application/json"}, 303),
        ({"Accept": "*/*"}, 201),
        ({"Accept": "text/*"}, 201),
        ({"Accept": ""}, 201),
        ({"Accept": "text/html", "X-Requested-With": "XMLHttpRequest"}, 201),
    ],
)
def test_a_form_is_what_names_html_and_is_no_script(
    visitor: Visitor, headers: dict[str, str], status: int
) -> None:
    body = encode(("csrf_token", visitor.token()), ("file", "a.png", PNG))
    assert visitor.post(body, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("items", "status", "start"),
    [
        ([("csrf_token", "bad"), ("file", "a.png", PNG)], 400, "The CSRF token"),
        ([("file", "", b"")], 400, "No file arrived"),
        ([("attachment", "a.png", PNG)], 400, "The file field"),
        ([("file", f"{n}.png", PNG) for n in range(4)], 413, "Too many files in one request: the limit is 3"),
    ],
)
def test_what_refuses_the_whole_request_is_text_for_a_form_too(
    visit: Callable[..., Visitor], tmp_path: Path, items: list[Item], status: int, start: str
) -> None:
    visitor = visit(UPLOADS_MAX_PARTS=3)
    token: list[Item] = [] if items[0][0] == "csrf_token" else [("csrf_token", visitor.token())]
    visitor.token()
    answer = visitor.post(encode(*token, *items), headers=BROWSER)
    assert_refused(answer, status)
    assert answer.text.startswith(start)
    assert stored_names(tmp_path) == []


def test_a_form_that_was_posted_twice_by_uuid_stores_once(visitor: Visitor, tmp_path: Path) -> None:
    for _ in range(2):
        assert send(visitor, ("uuid", "u1"), ("file", "a.png", PNG)).status_code == 303
    assert stored_names(tmp_path) == ["a.png"]


def test_files_are_never_called_lost_because_their_report_could_not_be_kept(
    visitor: Visitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> str:
        raise OperationalError("INSERT", {}, Exception("database is locked"))

    monkeypatch.setattr(Records, "add_batch", locked)
    answer = send(visitor, ("file", "a.png", PNG))
    assert answer.status_code == 201
    assert [file["filename"] for file in answer.get_json()["files"]] == ["a.png"]
    answer = send(visitor, ("file", "b.png", PNG), ("file", "c.exe", EXE))
    assert_refused(answer, 415)
    assert answer.text.endswith("\nThe other file was stored.")
    assert stored_names(tmp_path) == ["a.png", "b.png"]
