"""The pages and the small answers around them."""

import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from webclient import PNG, Visitor, assert_refused, encode, visiting

# Each runs on each database.
pytestmark = pytest.mark.usefixtures("database")

JSON = {"Accept": "application/json"}


@pytest.fixture
def visit(database: str, tmp_path: Path) -> Iterator[Callable[..., Visitor]]:
    with visiting(tmp_path) as visit:
        yield visit


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    return visit()


class Page(HTMLParser):
    """What a page loads, and what of it a strict policy would forbid."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.meta: dict[str, str] = {}
        self.loads: list[str] = []
        self.inline: list[str] = []
        self.zones: list[dict[str, Any]] = []
        self._script: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        fields = {name: value or "" for name, value in attrs}
        if tag == "meta" and "name" in fields:
            self.meta[fields["name"]] = fields["content"]
        if tag in {"script", "img", "iframe"}:
            self.loads += [fields["src"]] if "src" in fields else []
        if tag in {"link", "use"}:
            self.loads.append(fields["href"])
        if tag == "style" or (tag == "script" and "src" not in fields):
            self.inline.append(tag)
        self.inline += [name for name in fields if name.startswith("on") or name == "style"]
        if "data-uploads-zone" in fields:
            self.zones.append(json.loads(fields["data-uploads-zone"]))


@pytest.fixture
def batch_url(visitor: Visitor) -> str:
    body = encode(("csrf_token", visitor.token()), ("file", "a.png", PNG))
    return visitor.post(body, headers={"Accept": "text/html"}).headers["Location"]


@pytest.mark.parametrize("path", ["/", "/files", "BATCH"])
def test_every_page_has_a_strict_policy_and_keeps_it(visitor: Visitor, batch_url: str, path: str) -> None:
    answer = visitor.get(batch_url if path == "BATCH" else path, headers={"Accept": "text/html"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert re.fullmatch(r"'self' 'nonce-[\w-]{20,}'", policy["script-src"])
    assert policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert policy["form-action"] == "'self'"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "no-store"
    page = Page(answer.text)
    assert page.inline == []
    assert page.loads
    assert all(load.startswith("/") and not load.startswith("//") for load in page.loads)


@pytest.mark.parametrize("path", ["/", "/files", "BATCH"])
def test_everything_a_page_loads_is_served(visitor: Visitor, batch_url: str, path: str) -> None:
    page = Page(visitor.get(batch_url if path == "BATCH" else path).text)
    for load in set(page.loads):
        answer = visitor.get(load.partition("#")[0])
        assert answer.status_code == 200, load
        if load.endswith(".js"):
            assert answer.mimetype == "text/javascript"


def test_every_page_has_a_nonce_of_its_own(visitor: Visitor) -> None:
    assert len({visitor.get("/").headers["Content-Security-Policy"] for _ in range(3)}) == 3


def test_the_page_carries_a_token_that_works(visitor: Visitor) -> None:
    token = Page(visitor.get("/").text).meta["csrf-token"]
    answer = visitor.post(encode(("file", "a.png", PNG)), headers={"X-CSRFToken": token})
    assert answer.status_code == 201


def test_the_zone_knows_the_limits_of_the_server(visit: Callable[..., Visitor]) -> None:
    visitor = visit(
        UPLOADS_TYPES="png,jpg",
        UPLOADS_MAX_FILE_SIZE="10 MB",
        UPLOADS_MAX_FILES=200,
        UPLOADS_MAX_PARTS=7,
        UPLOADS_MAX_TOTAL_SIZE="50 MB",
        MAX_CONTENT_LENGTH="60 MB",
        DROPZONE_TIMEOUT=5000,
    )
    text = visitor.get("/").text
    (zone,) = Page(text).zones
    assert zone["url"] == "/upload/files"
    assert zone["field"] == "file"
    assert zone["extensions"] == ["png", "jpg"]
    assert (zone["maxFileSize"], zone["maxFiles"], zone["maxParts"]) == (10_000_000, 200, 7)
    assert (zone["maxTotalSize"], zone["maxContentLength"]) == (50_000_000, 60_000_000)
    assert zone["dropzone"]["timeout"] == 5000
    assert 'accept=".png,.jpg"' in text
    assert "PNG, JPEG, up to 10 MB each, 200 at a time." in text


def test_words_for_the_zone_cannot_leave_its_attribute(visit: Callable[..., Visitor]) -> None:
    nasty = "\"'></form><script>alert(1)</script>&amp;{{ 7*7 }}"
    text = visit(DROPZONE_REMOVE_FILE=nasty).get("/").text
    (zone,) = Page(text).zones
    assert zone["dropzone"]["dictRemoveFile"] == nasty
    assert "<script>alert" not in text


@pytest.mark.parametrize("name", ["<script>alert(1)</script>.png", "a&b'\".png", "{{ 7*7 }}.png"])
def test_a_name_is_shown_as_it_is_and_runs_nothing(visitor: Visitor, name: str) -> None:
    visitor.store(("file", name.replace('"', "%22").replace("/", "∕"), PNG))
    for path in ("/", "/files"):
        text = visitor.get(path, headers={"Accept": "text/html"}).text
        assert Page(text).inline == []
        assert "<script>alert" not in text


# ---- the list


def test_the_list_is_html_unless_json_is_named(visitor: Visitor) -> None:
    for accept, mimetype in [
        ("text/html", "text/html"),
        ("*/*", "text/html"),
        ("", "text/html"),
        ("application/*", "text/html"),
        ("application/json", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
    ]:
        assert visitor.get("/files", headers={"Accept": accept}).mimetype == mimetype


def test_an_empty_list_is_no_error(visitor: Visitor) -> None:
    answer = visitor.get("/files", headers=JSON)
    assert answer.get_json() == {"files": [], "next": None}
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Nothing here yet." in visitor.get("/files").text


def test_the_list_goes_by_pages_newest_first_and_names_every_file_once(visitor: Visitor) -> None:
    for batch in range(3):
        visitor.store(*((f"file[{n}]", f"{batch:02}-{n:02}.txt", b"x") for n in range(40)))
    seen: list[str] = []
    cursor: str | None = ""
    sizes = []
    while cursor is not None:
        page = visitor.get(
            "/files", headers=JSON, query_string={"cursor": cursor} if cursor else {}
        ).get_json()
        sizes.append(len(page["files"]))
        seen += [file["filename"] for file in page["files"]]
        cursor = page["next"]
    assert sizes == [50, 50, 20]
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 120


def test_what_arrives_meanwhile_does_not_shift_the_pages(visitor: Visitor) -> None:
    visitor.store(*((f"file[{n}]", f"{n:02}.txt", b"x") for n in range(60)))
    first = visitor.get("/files", headers=JSON).get_json()
    visitor.store(("file", "new.txt", b"x"))
    visitor.delete(f"/files/{first['files'][-1]['id']}")
    second = visitor.get("/files", headers=JSON, query_string={"cursor": first["next"]}).get_json()
    assert [file["filename"] for file in second["files"]] == [f"{n:02}.txt" for n in reversed(range(10))]


def test_exactly_one_page_has_no_next(visitor: Visitor) -> None:
    visitor.store(*((f"file[{n}]", f"{n}.txt", b"x") for n in range(50)))
    page = visitor.get("/files", headers=JSON).get_json()
    assert (len(page["files"]), page["next"]) == (50, None)


def test_more_is_a_link_that_works_without_a_script(visitor: Visitor) -> None:
    visitor.store(*((f"file[{n}]", f"{n:02}.txt", b"x") for n in range(60)))
    for path in ("/", "/files"):
        found = re.search(r'href="(/files\?cursor=[^"]+)"', visitor.get(path).text)
        assert found
        text = visitor.get(found[1]).text
        assert "09.txt" in text
        assert "10.txt" not in text


@pytest.mark.parametrize("cursor", ["x", "1", "-1-x", "' OR 1=1 --", "9" * 30 + "-" + "0" * 32])
def test_a_cursor_of_nobodys_is_refused(visitor: Visitor, cursor: str) -> None:
    for headers in (JSON, {"Accept": "text/html"}):
        assert_refused(
            visitor.get("/files", headers=headers, query_string={"cursor": cursor}),
            400,
            "This page of the list cannot be found; begin again at the first page.",
        )


def test_a_cursor_of_another_visitor_shows_nothing_of_theirs(visitor: Visitor) -> None:
    visitor.store(*((f"file[{n}]", f"{n}.txt", b"x") for n in range(60)))
    cursor = visitor.get("/files", headers=JSON).get_json()["next"]
    stranger = Visitor(visitor.app)
    page = stranger.get("/files", headers=JSON, query_string={"cursor": cursor}).get_json()
    assert page == {"files": [], "next": None}


# ---- the rest


def test_a_token_is_answered_as_json_and_never_kept(visitor: Visitor) -> None:
    answer = visitor.get("/csrf-token")
    assert list(answer.get_json()) == ["csrf_token"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_health_is_a_word_and_no_cookie(visitor: Visitor) -> None:
    answer = visitor.get("/healthz")
    assert (answer.status_code, answer.text, answer.mimetype) == (200, "ok\n", "text/plain")
    assert "Set-Cookie" not in answer.headers


def test_a_page_of_a_visitor_with_a_broken_cookie_is_a_first_visit(visitor: Visitor) -> None:
    visitor.client.set_cookie("session", "nonsense.é.%00")
    assert visitor.get("/").status_code == 200
    assert visitor.files() == []
