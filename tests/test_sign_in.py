"""The access code of the standalone server: what is seen without it, how it is shown, and what guessing costs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from core import post
from flask import Flask
from test_patience import SLOW, Trickle
from webclient import PNG, CountingInput, Visitor, assert_refused, encode, visiting
from werkzeug.test import TestResponse

from dropzone_app import SettingError, Uploads, access
from dropzone_app.errors import MESSAGES

CODE = "seven grey herons"
PERSON = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Callable[..., Visitor]]:
    with visiting(tmp_path) as made:
        yield made


@pytest.fixture
def stranger(visit: Callable[..., Visitor]) -> Visitor:
    return visit(UPLOADS_ACCESS_CODE=CODE)


def show(visitor: Visitor, code: str, *, path: str = "/sign-in", **headers: str) -> TestResponse:
    return visitor.client.post(path, data={"code": code}, headers=headers)


def ours(app: Flask) -> list[tuple[str, str]]:
    """(method, path) of every route, with something where its variables are."""
    return [
        (
            method,
            str(rule).replace("<name>", "files").replace("<id>", "0" * 32).replace("<filename>", "a.png"),
        )
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}
        if rule.endpoint.startswith("uploads.") and rule.endpoint != "uploads.static"
    ]


def test_without_the_code_every_address_answers_that_nobody_is_signed_in(stranger: Visitor) -> None:
    asked = 0
    for method, path in ours(stranger.app):
        if path in {"/sign-in", "/sign-out", "/healthz", "/readyz"} or path.startswith("/shared/"):
            continue
        answer = stranger.client.open(path.replace("<uuid>", "0" * 32), method=method)
        assert (answer.status_code, answer.text) == (401, MESSAGES["signed_out"].text), (method, path)
        asked += 1
    assert asked > 15


def test_an_upload_without_the_code_is_refused_before_its_body_is_read(stranger: Visitor) -> None:
    body = CountingInput(encode(("file[0]", "a.png", PNG + bytes(5_000_000))))
    with stranger.client.post(
        "/upload", input_stream=body, content_type="multipart/form-data; boundary=x"
    ) as answer:
        assert answer.status_code == 401
        assert body.taken == 0


def test_a_person_is_sent_to_the_sign_in_and_on_to_where_they_were_going(stranger: Visitor) -> None:
    sent = stranger.get("/files?cursor=x", headers=PERSON)
    assert (sent.status_code, sent.location) == (303, "/sign-in?next=/files?cursor%3Dx")
    asked = stranger.get(sent.location, headers=PERSON)
    assert asked.status_code == 200
    assert '<input type="password" name="code"' in asked.text
    assert CODE not in asked.text
    shown = show(stranger, CODE, path=sent.location, **PERSON)
    assert (shown.status_code, shown.location) == (303, "/files?cursor=x")
    assert stranger.get("/", headers=PERSON).status_code == 200
    assert [file["filename"] for file in stranger.store(("file[0]", "a.png", PNG))] == ["a.png"]


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.test/", "//evil.test", "/\\evil.test", "/\t/evil.test", "evil"]
)
def test_nobody_is_sent_to_another_site_after_signing_in(stranger: Visitor, elsewhere: str) -> None:
    answer = stranger.client.post(
        "/sign-in", query_string={"next": elsewhere}, data={"code": CODE}, headers=PERSON
    )
    assert answer.location == "/"


def test_a_script_signs_in_with_one_request(stranger: Visitor) -> None:
    assert show(stranger, CODE).status_code == 204
    assert stranger.files() == []


def test_the_page_never_gets_a_redirect_while_it_uploads(stranger: Visitor) -> None:
    answer = stranger.get("/files", headers={**PERSON, "X-Requested-With": "XMLHttpRequest"})
    assert (answer.status_code, answer.mimetype) == (401, "text/plain")


def test_a_wrong_code_is_said_in_the_page_and_in_text(stranger: Visitor) -> None:
    told = show(stranger, "seven grey geese", **PERSON)
    assert told.status_code == 403
    assert f'role="alert">{MESSAGES["code_wrong"].text}' in told.text
    told = show(stranger, "")
    assert (told.status_code, told.text) == (403, MESSAGES["code_wrong"].text)
    assert stranger.get("/files").status_code == 401


def test_who_guesses_has_to_wait_and_others_need_not(
    visit: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = visit(UPLOADS_ACCESS_CODE=CODE)
    now = 1000.0
    monkeypatch.setattr(access.time, "monotonic", lambda: now)
    statuses = [show(stranger, f"guess number {n}").status_code for n in range(7)]
    assert statuses == [403] * 5 + [429] * 2
    told = show(stranger, CODE)
    assert (told.status_code, told.headers["Retry-After"]) == (429, "61")
    assert told.text == "Too many wrong codes came from there; try again in 61 seconds."
    other = stranger.client.post("/sign-in", data={"code": CODE}, environ_base={"REMOTE_ADDR": "192.0.2.7"})
    assert other.status_code == 204
    now += 61
    assert show(stranger, CODE).status_code == 204


def test_addresses_of_one_customer_count_together_and_few_are_remembered() -> None:
    tries = access.Tries(most=2, seconds=60, addresses=3)
    assert [tries.begin(f"2001:db8::{n}") > 0 for n in (1, 2, 3)] == [False, False, True]
    assert tries.begin("2001:db8:0:1::1") == 0
    for n in range(1000):
        tries.begin(f"192.0.2.{n % 250}")
    assert len(tries._tries) == 3


def test_a_new_code_signs_everybody_out_and_their_files_wait_for_them(
    visit: Callable[..., Visitor],
) -> None:
    before = visit(UPLOADS_ACCESS_CODE=CODE)
    show(before, CODE)
    before.store(("file[0]", "a.png", PNG))
    after = visit(UPLOADS_ACCESS_CODE="another code by now")
    cookie = before.client.get_cookie("session")
    assert cookie is not None
    assert CODE not in cookie.value
    after.client.set_cookie("session", cookie.value)
    assert after.get("/files").status_code == 401
    show(after, "another code by now")
    assert [file["filename"] for file in after.files()] == ["a.png"]


def test_signing_out_ends_it(stranger: Visitor) -> None:
    show(stranger, CODE)
    assert "Sign out" in stranger.get("/", headers=PERSON).text
    answer = stranger.client.post("/sign-out", headers=PERSON)
    assert (answer.status_code, answer.location) == (303, "/sign-in")
    assert stranger.get("/files").status_code == 401
    assert "Sign out" not in stranger.get("/sign-in", headers=PERSON).text


def test_another_site_signs_nobody_in_or_out(stranger: Visitor) -> None:
    foreign = {"Origin": "https://evil.test"}
    assert show(stranger, CODE, **foreign).status_code == 403
    show(stranger, CODE)
    assert stranger.client.post("/sign-out", headers=foreign).status_code == 403
    assert stranger.files() == []


def test_a_large_body_is_no_code(stranger: Visitor) -> None:
    assert show(stranger, "x" * 100_000).status_code == 413
    for odd in ("\udcff" * 20, "☃" * 20, "\0"):
        assert (
            stranger.client.post("/sign-in", data=b"code=" + odd.encode("utf-8", "surrogatepass")).status_code
            == 403
        )


def test_the_cookie_is_for_this_site_alone_and_stays_on_tls_where_it_came_by_it(stranger: Visitor) -> None:
    plain = show(stranger, CODE).headers["Set-Cookie"]
    assert "HttpOnly" in plain
    assert "SameSite=Lax" in plain
    assert "Secure" not in plain
    over_tls = stranger.client.post("/sign-in", data={"code": CODE}, base_url="https://localhost")
    assert "Secure" in over_tls.headers["Set-Cookie"]


@pytest.mark.parametrize("code", ["short", "       ", 1234567, True, ["a list of words"], "line\nbreak here"])
def test_a_code_that_is_soon_guessed_stops_the_start_and_is_not_told(
    visit: Callable[..., Visitor], code: object
) -> None:
    with pytest.raises(SettingError, match=r"^UPLOADS_ACCESS_CODE must be at least 8 characters") as stopped:
        visit(UPLOADS_ACCESS_CODE=code)
    assert str(code) not in str(stopped.value)


def test_a_host_signs_people_in_itself() -> None:
    app = Flask("host")
    app.config.update(SECRET_KEY="x", UPLOADS_ACCESS_CODE=CODE)
    with pytest.raises(SettingError, match="owner="):
        Uploads(app)


def test_who_sends_the_code_too_slowly_is_let_go(stranger: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_refused(
        post(stranger.app, b"", Trickle(b"code=", monkeypatch), url="/sign-in", length=5000), 408, SLOW
    )
