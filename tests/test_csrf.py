"""CSRF and origin: decided from headers before a byte of the body is read, and answered in sentences."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask_wtf.csrf import validate_csrf
from itsdangerous.timed import TimestampSigner
from webclient import PNG, CountingInput, Visitor, assert_refused, encode, stored_names, visiting

from dropzone_app import security

MISSING = "The CSRF token is missing; reload the page and try again."
EXPIRED = "The CSRF token has expired; reload the page and try again."
INVALID = "The CSRF token is not valid for this session; reload the page and try again."
NO_SESSION = "The session has no CSRF token (are cookies allowed?); reload the page and try again."

BODY = encode(("file[0]", "a.png", PNG.ljust(250_000)))


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Callable[..., Visitor]]:
    with visiting(tmp_path) as visit:
        yield visit


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    return visit()


def old_token(visitor: Visitor, monkeypatch: pytest.MonkeyPatch, age: int) -> str:
    with monkeypatch.context() as patch:
        patch.setattr(TimestampSigner, "get_timestamp", lambda _: int(time.time()) - age)
        return visitor.token()


# ---- the token


@pytest.mark.parametrize("header", ["X-CSRFToken", "X-CSRF-Token", "x-csrftoken"])
def test_both_spellings_of_the_header_are_taken(visitor: Visitor, header: str) -> None:
    assert visitor.post(BODY, headers={header: visitor.token()}).status_code == 201


def test_a_header_that_the_host_configured_is_taken_too(visit: Callable[..., Visitor]) -> None:
    visitor = visit(WTF_CSRF_HEADERS=["X-Our-Token"])
    assert visitor.post(BODY, headers={"X-Our-Token": visitor.token()}).status_code == 201
    assert_refused(visitor.post(BODY, headers={"X-Our-Token": "bad"}), 400, INVALID)


@pytest.mark.parametrize("position", ["first", "last"])
def test_the_form_field_counts_where_no_header_is(visitor: Visitor, position: str) -> None:
    items = [("csrf_token", visitor.token()), ("file", "a.png", PNG)]
    if position == "last":
        items.reverse()
    assert visitor.post(encode(*items)).status_code == 201


def test_the_field_may_have_the_name_that_flask_wtf_was_given(visit: Callable[..., Visitor]) -> None:
    visitor = visit(WTF_CSRF_FIELD_NAME="guard")
    assert visitor.post(encode(("guard", visitor.token()), ("file", "a.png", PNG))).status_code == 201
    assert_refused(visitor.post(encode(("csrf_token", visitor.token()), ("file", "a.png", PNG))), 400)


@pytest.mark.parametrize("position", ["first", "last"])
def test_a_bad_form_field_stores_nothing(visitor: Visitor, tmp_path: Path, position: str) -> None:
    visitor.token()
    items = [("csrf_token", "bad"), ("file", "a.png", PNG)]
    if position == "last":
        items.reverse()
    assert_refused(visitor.post(encode(*items)), 400, INVALID)
    assert stored_names(tmp_path) == []
    assert visitor.files() == []


def test_no_token_at_all_is_refused(visitor: Visitor, tmp_path: Path) -> None:
    visitor.token()
    assert_refused(visitor.post(BODY), 400, MISSING)
    assert_refused(visitor.post(BODY, headers={"X-CSRFToken": ""}), 400, MISSING)
    assert stored_names(tmp_path) == []


def test_a_token_of_another_session_is_refused(visitor: Visitor) -> None:
    stranger = Visitor(visitor.app)
    token = stranger.token()
    assert_refused(visitor.post(BODY, headers={"X-CSRFToken": token}), 400, NO_SESSION)
    visitor.token()
    assert_refused(visitor.post(BODY, headers={"X-CSRFToken": token}), 400, INVALID)


def test_a_good_token_is_looked_at_once_for_requests_that_come_together(
    visit: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    monkeypatch.setattr(security.time, "time", lambda: 1_000_000.0)
    monkeypatch.setattr(security, "validate_csrf", lambda token: looks.append(token) or validate_csrf(token))
    visitor, other = visit(), visit()
    token = visitor.token()
    for _ in range(3):
        assert visitor.post(BODY, headers={"X-CSRFToken": token}).status_code == 201
    assert looks == [token]
    other.token()
    assert_refused(other.post(BODY, headers={"X-CSRFToken": token}), 400, INVALID)
    assert_refused(visitor.post(BODY, headers={"X-CSRFToken": token[:-1]}), 400, INVALID)
    assert_refused(visitor.post(BODY, headers={"X-CSRFToken": token[:-1]}), 400, INVALID)
    assert looks[1:] == [token, token[:-1], token[:-1]], "a bad one is looked at each time"
    monkeypatch.setattr(security.time, "time", lambda: 1_000_000.0 + 5)
    assert visitor.post(BODY, headers={"X-CSRFToken": token}).status_code == 201
    assert len(looks) == 5


def test_a_token_lives_an_hour(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    young = old_token(visitor, monkeypatch, 3500)
    assert visitor.post(BODY, headers={"X-CSRFToken": young}).status_code == 201
    old = old_token(visitor, monkeypatch, 3700)
    assert_refused(visitor.post(BODY, headers={"X-CSRFToken": old}), 400, EXPIRED)
    assert_refused(visitor.post(encode(("csrf_token", old), ("file", "a.png", PNG))), 400, EXPIRED)


def test_the_lifetime_is_flask_wtfs_setting(
    visit: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = visit(WTF_CSRF_TIME_LIMIT=60)
    assert_refused(short.post(BODY, headers={"X-CSRFToken": old_token(short, monkeypatch, 90)}), 400, EXPIRED)
    endless = visit(WTF_CSRF_TIME_LIMIT=None)
    token = old_token(endless, monkeypatch, 10**6)
    assert endless.post(BODY, headers={"X-CSRFToken": token}).status_code == 201


def test_an_expired_token_is_replaced_by_asking_again(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = visitor.post(BODY, headers={"X-CSRFToken": old_token(visitor, monkeypatch, 3700)})
    # A script can tell this from a wrong file without reading a sentence that may be translated.
    assert answer.headers["Upload-Error"] == "csrf_expired"
    fresh = visitor.get("/csrf-token")
    assert fresh.headers["Cache-Control"] == "no-store"
    assert visitor.post(BODY, headers={"X-CSRFToken": fresh.get_json()["csrf_token"]}).status_code == 201


def test_deleting_needs_a_token_in_a_header(visitor: Visitor) -> None:
    (file,) = visitor.store(("file", "a.png", PNG))
    for headers in ({}, {"X-CSRFToken": "bad"}):
        assert_refused(visitor.client.delete(f"/files/{file['id']}", headers=headers), 400)
    assert len(visitor.files()) == 1
    assert visitor.delete(f"/files/{file['id']}").status_code == 204


def test_csrf_can_be_switched_off_as_flask_wtf_has_it(visit: Callable[..., Visitor]) -> None:
    assert visit(WTF_CSRF_ENABLED=False).post(BODY).status_code == 201


# ---- before the body


@pytest.mark.parametrize(
    ("status", "headers", "content_type"),
    [
        (400, {"X-CSRFToken": "bad"}, None),
        (403, {"Origin": "https://elsewhere.example"}, None),
        (403, {"Sec-Fetch-Site": "cross-site"}, None),
        (415, {"Content-Encoding": "gzip"}, None),
        (415, {}, "application/json"),
        (415, {}, "multipart/form-data"),
        (415, {}, "application/x-www-form-urlencoded"),
        (413, {"X-CSRFToken": "good"}, None),
        (404, {"X-CSRFToken": "good"}, None),
    ],
)
def test_what_headers_tell_is_refused_before_the_body_is_read(
    visit: Callable[..., Visitor], status: int, headers: dict[str, str], content_type: str | None
) -> None:
    visitor = visit(MAX_CONTENT_LENGTH="100 KB") if status == 413 else visit()
    token = visitor.token()
    if headers.get("X-CSRFToken") == "good":
        headers = {"X-CSRFToken": token}
    body = CountingInput(BODY)
    answer = visitor.post(
        body,
        "/upload/nothing" if status == 404 else "/upload",
        headers,
        **({"content_type": content_type} if content_type else {}),
    )
    # The test client takes an answer to its first byte; what is drained is drained after it.
    assert body.taken == 0
    assert_refused(answer, status)
    assert body.taken == len(BODY)


def test_a_body_over_the_limit_is_told_the_limit(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    visitor = visit(MAX_CONTENT_LENGTH="100 KB")
    answer = visitor.post(BODY, headers={"X-CSRFToken": visitor.token()})
    assert_refused(
        answer,
        413,
        "The upload is 250 KB; the limit for one request is 100 KB. Send fewer or smaller files.",
    )
    assert stored_names(tmp_path) == []


def test_a_bad_token_comes_before_a_long_body(visit: Callable[..., Visitor]) -> None:
    visitor = visit(MAX_CONTENT_LENGTH="100 KB")
    visitor.token()
    assert_refused(visitor.post(BODY, headers={"X-CSRFToken": "bad"}), 400, INVALID)


# ---- the origin


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("uploads.example", "https://uploads.example"),
        ("uploads.example", "http://uploads.example"),
        ("uploads.example:8080", "http://uploads.example:8080"),
        ("uploads.example:8080", "https://uploads.example:8080"),
        ("UPLOADS.example", "https://uploads.EXAMPLE"),
        ("uploads.example:443", "https://uploads.example"),
        ("uploads.example:80", "https://uploads.example"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_the_pages_own_origin_is_taken_whatever_the_proxy_does(
    visit: Callable[..., Visitor], host: str, origin: str
) -> None:
    visitor = visit(WTF_CSRF_ENABLED=False)
    assert visitor.post(BODY, headers={"Host": host, "Origin": origin}).status_code == 201


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("uploads.example", "https://elsewhere.example"),
        ("uploads.example", "https://uploads.example.elsewhere.example"),
        ("uploads.example", "https://uploads.example:8443"),
        ("uploads.example", "http://uploads.example:443"),
        ("uploads.example", "https://uploads.example:80"),
        ("uploads.example:8080", "http://uploads.example"),
        ("uploads.example:8080", "http://uploads.example:8081"),
        ("uploads.example", "https://user@uploads.example"),
        ("uploads.example", "https://uploads.example@elsewhere.example"),
        ("uploads.example", "null"),
        ("uploads.example", ""),
        ("uploads.example", "uploads.example"),
        ("uploads.example", "file://"),
        ("uploads.example", "chrome-extension://uploads.example"),
        ("uploads.example", "http://[::1"),
        ("uploads.example", "https://"),
    ],
)
def test_a_foreign_origin_is_refused_even_with_a_good_token(
    visit: Callable[..., Visitor], tmp_path: Path, host: str, origin: str
) -> None:
    visitor = visit(WTF_CSRF_ENABLED=False)
    answer = visitor.post(BODY, headers={"Host": host, "Origin": origin})
    assert_refused(answer, 403)
    assert answer.text.startswith("Uploads from another site (")
    assert stored_names(tmp_path) == []


def test_a_foreign_origin_may_not_delete(visitor: Visitor) -> None:
    (file,) = visitor.store(("file", "a.png", PNG))
    answer = visitor.delete(f"/files/{file['id']}", headers={"Origin": "https://elsewhere.example"})
    assert_refused(answer, 403)
    assert len(visitor.files()) == 1


def test_a_browser_that_says_cross_site_without_an_origin_is_refused(visitor: Visitor) -> None:
    assert_refused(visitor.upload(("file", "a.png", PNG), headers={"Sec-Fetch-Site": "cross-site"}), 403)
    assert len(visitor.store(("file", "a.png", PNG), headers={"Sec-Fetch-Site": "same-origin"})) == 1
