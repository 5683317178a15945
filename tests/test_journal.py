"""What an operator learns of a batch, and by which name the log knows a request."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from flask import request
from test_chunks import send_all
from webclient import EXE, PNG, Visitor, assert_refused, encode, host_visitor, hosting, visiting

from dropzone_app import IMAGES, SettingError, Uploads, UploadSet
from dropzone_app.records import Records


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Callable[..., Visitor]]:
    with visiting(tmp_path) as visit:
        yield visit


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    caplog.set_level(logging.INFO, "dropzone_app.batches")

    def read() -> list[dict[str, Any]]:
        found = [record.getMessage() for record in caplog.records if record.name == "dropzone_app.batches"]
        for line in found:
            assert re.fullmatch("[ -~]+", line), "a line of printable ASCII"
        return [json.loads(line) for line in found]

    return read


def test_a_batch_is_one_line_that_says_who_sent_what_and_what_became_of_it(
    visit: Callable[..., Visitor], lines: Callable[[], list[dict[str, Any]]]
) -> None:
    visitor = visit(UPLOADS_TYPES="png,txt")
    items = [("file[0]", "a.png", PNG), ("file[1]", "b.exe", EXE), ("file[2]", "c.txt", b"text")]
    answer = visitor.upload(*items, ("uuid[0]", "first"))
    again = visitor.upload(("file[0]", "a.png", PNG), ("uuid[0]", "first"))
    first, second = lines()
    assert first["codes"] == {"stored": 2, "extension": 1}
    assert (first["event"], first["set"], first["files"], first["bytes"]) == (
        "batch",
        "files",
        3,
        len(PNG) + 4,
    )
    assert first["names"] == ["a.png", "b.exe", "c.txt"]
    assert first["request"] == answer.headers["X-Request-ID"]
    assert first["seconds"] >= 0
    assert (second["codes"], second["bytes"]) == ({"repeated": 1}, 0)
    assert second["request"] == again.headers["X-Request-ID"] != first["request"]
    assert second["owner"] == first["owner"]
    assert re.fullmatch("[0-9a-f]{32}", first["owner"])
    with visitor.client.session_transaction() as session:
        assert first["owner"] != session["uploads_owner"]


def test_who_is_signed_in_at_the_host_stands_there_only_as_a_digest(
    tmp_path: Path, lines: Callable[[], list[dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    with hosting(tmp_path) as make:
        app = make()
        photos = UploadSet("photos", IMAGES)
        Uploads(app, photos, owner=lambda: "ann@example.org")

        @app.extensions["csrf"].exempt
        def mine() -> Any:
            return photos.receive(request, csrf=False).response()

        app.add_url_rule("/mine", view_func=mine, methods=["POST"])
        visitor = Visitor(app)
        visitor.upload(("file", "a.png", PNG))
        visitor.post(encode(("file", "b.png", PNG)), "/mine")
        visitor.post(b"no form", "/mine")
    ours, theirs, broken = lines()
    assert ours["owner"] == theirs["owner"] == sha256(b"ann@example.org").hexdigest()[:32]
    assert theirs["codes"] == {"stored": 1}
    assert (broken["set"], broken["codes"]) == ("photos", {"malformed": 1})
    assert "ann@" not in caplog.text


def test_a_name_cannot_forge_a_line_or_reach_a_terminal(
    visit: Callable[..., Visitor], lines: Callable[[], list[dict[str, Any]]]
) -> None:
    visitor = visit(UPLOADS_TYPES="txt")
    nasty = 'a\x1b[2J\u009b31m\u2028\u202e\x7f\\n"}{"event": "batch"\u0085.txt'
    visitor.upload(("file", nasty, b"text"))
    visitor.upload(("file", "写真\ud83d.txt".encode("utf-8", "replace").decode(), b"text"))
    visitor.upload(("file", "x" * 5000 + ".exe", b"text"))
    told = lines()
    # That each is one line of printable ASCII is asked where they are read.
    assert [line["files"] for line in told] == [1, 1, 1]
    assert all(len(name) <= 60 for line in told for name in line["names"])


def test_a_large_batch_is_a_short_line(
    visit: Callable[..., Visitor], lines: Callable[[], list[dict[str, Any]]]
) -> None:
    visit().upload(*((f"file[{n}]", f"{n}.txt", b"text") for n in range(100)))
    (line,) = lines()
    assert (line["files"], line["codes"], len(line["names"])) == (100, {"stored": 100}, 10)


def test_a_file_in_chunks_is_one_line(
    visit: Callable[..., Visitor], lines: Callable[[], list[dict[str, Any]]]
) -> None:
    assert send_all(visit(), b"some text " * 900, filename="a.txt").status_code == 201
    (line,) = lines()
    assert (line["files"], line["bytes"], line["codes"]) == (1, 9000, {"stored": 1})


def test_a_request_that_is_refused_whole_has_its_line_too(
    visit: Callable[..., Visitor], lines: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = visit()
    visitor.upload(path="/upload/no-such-set")
    visitor.upload(("file", "a.txt", b"text"), headers={"X-CSRFToken": "secret-token"})
    visitor.client.patch("/tus/0123456789abcdef0123456789abcdef", headers={"Tus-Resumable": "1.0.0"})
    with monkeypatch.context() as patch:
        patch.setattr(Records, "reserve", lambda *_: 1 / 0)
        answer = visitor.upload(("file", "a.txt", b"text"))
    unknown, forged, lost, failed = lines()
    assert (unknown["set"], unknown["files"], unknown["codes"]) == (None, 0, {"unknown_set": 1})
    assert forged["codes"] == {"csrf_invalid": 1}
    # Its address is all that somebody needs to go on with it.
    assert lost["set"] is None
    assert failed["codes"] == {"internal": 1}
    assert failed["request"] in answer.text


def test_no_token_cookie_or_body_gets_into_the_log(
    visit: Callable[..., Visitor], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    visitor = visit()
    token = visitor.token()
    cookie = visitor.client.get_cookie("session")
    assert cookie
    for broken in (False, True):
        with monkeypatch.context() as patch:
            if broken:
                patch.setattr(Records, "reserve", lambda *_: 1 / 0)
            visitor.upload(
                ("file", "a.txt", b"what the body says"), ("path", "folder"), ("csrf_token", token)
            )
            visitor.post(encode(("csrf_token", token), ("file", "a.txt", b"what the body says")))
    assert "division by zero" in caplog.text
    for secret in (token, cookie.value, "what the body says"):
        assert secret not in caplog.text


# ---- the request


def test_each_5xx_names_its_request_and_the_log_has_it(
    visit: Callable[..., Visitor], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = visit()
    monkeypatch.setattr(Records, "reserve", lambda *_: 1 / 0)
    answer = visitor.upload(("file", "a.txt", b"text"))
    assert_refused(answer, 500)
    name = answer.headers["X-Request-ID"]
    assert answer.text.endswith(f" Request {name}.")
    (failure,) = [record for record in caplog.records if record.exc_info]
    assert f"request {name}: unexpected: POST /upload" in failure.getMessage()
    # It is another one each time.
    assert name not in visitor.upload(("file", "a.txt", b"text")).text


def test_the_page_of_a_plain_form_names_the_request_of_its_upload(tmp_path: Path) -> None:
    visitor = host_visitor(tmp_path, UploadSet("files", ["txt"], scan=f"clamd:{tmp_path}/no.sock"))
    form = encode(("csrf_token", visitor.token()), ("file", "a.txt", b"text"))
    answer = visitor.post(form, headers={"Accept": "text/html"})
    assert answer.status_code == 303
    page = visitor.get(answer.headers["Location"], headers={"Accept": "text/html"})
    assert f"try again later. Request {answer.headers['X-Request-ID']}." in page.text


@pytest.mark.parametrize(
    ("setting", "sent", "taken"),
    [
        ("X-Request-ID", "7f.3a-B_1", True),
        ("X-Request-ID", "x" * 64, True),
        (None, "7f3a", False),
        ("X-Trace", "7f3a", False),
        ("X-Request-ID", "x" * 65, False),
        ("X-Request-ID", "", False),
        ("X-Request-ID", "a b", False),
        ("X-Request-ID", "a\x1b[2J", False),
        ("X-Request-ID", "ä", False),
        ("X-Request-ID", '"}{"', False),
    ],
)
def test_a_proxys_name_of_a_request_is_taken_where_it_is_trusted_short_and_plain(
    visit: Callable[..., Visitor],
    lines: Callable[[], list[dict[str, Any]]],
    setting: str | None,
    sent: str,
    taken: bool,
) -> None:
    visitor = visit(UPLOADS_REQUEST_ID=setting)
    options = {"environ_overrides": {"HTTP_X_REQUEST_ID": sent.encode().decode("latin-1")}}
    answer = visitor.upload(("file", "a.txt", b"text"), **options)
    (line,) = lines()
    assert line["request"] == answer.headers["X-Request-ID"]
    assert (line["request"] == sent) is taken
    assert taken or re.fullmatch("[0-9a-f]{16}", line["request"])


@pytest.mark.parametrize("value", ["X Request", "", "X-Request-ID\n", 7])
def test_what_is_no_name_of_a_header_stops_the_start(visit: Callable[..., Visitor], value: object) -> None:
    if value == "":
        visit(UPLOADS_REQUEST_ID=value)
        return
    with pytest.raises(SettingError, match="UPLOADS_REQUEST_ID must be the name of a header"):
        visit(UPLOADS_REQUEST_ID=value)
