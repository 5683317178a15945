"""What is told of uploads before they are sent, and after the answer to one was lost."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from core import database_url
from webclient import EXE, PNG, CountingInput, Visitor, assert_refused, host_visitor, visiting
from werkzeug.test import TestResponse

from dropzone_app import IMAGES, UploadSet
from dropzone_app.records import Record, new_id, now
from dropzone_app.views.states import MAX_QUESTION

# Each runs on each database.
pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Callable[..., Visitor]]:
    with visiting(tmp_path) as visit:
        yield visit


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    return visit()


def ask(visitor: Visitor, body: Any, path: str = "/upload/check", **options: Any) -> TestResponse:
    """Put a question, as a script does."""
    data = body if isinstance(body, bytes | str | CountingInput) else json.dumps(body)
    headers = {"X-CSRFToken": visitor.token(), "X-Requested-With": "XMLHttpRequest", **options}
    return visitor.post(data, path, headers, content_type="application/json")  # type: ignore[arg-type]


def check(visitor: Visitor, *files: dict[str, Any], path: str = "/upload/check") -> list[dict[str, Any]]:
    """The states of these files, each with the uuid of its place unless it has one of its own."""
    files = tuple({"uuid": f"u{index}", **file} for index, file in enumerate(files))
    answer = ask(visitor, {"files": files}, path)
    assert answer.status_code == 200, answer.text
    uploads = answer.get_json()["uploads"]
    assert len(uploads) == len(files)
    return [uploads[file["uuid"]] for file in files]


# ---- before a byte is sent


def test_each_file_has_a_state_of_its_own_and_good_ones_are_new(visit: Callable[..., Visitor]) -> None:
    visitor = visit(UPLOADS_TYPES="png,txt", UPLOADS_MAX_FILE_SIZE="1 MB")
    states = check(
        visitor,
        {"filename": "a.png", "size": 10, "type": "image/png", "path": "holiday"},
        {"filename": "a.exe", "size": 10},
        {"filename": "b.png", "size": 1_000_001},
        {"filename": "c.png", "size": 1_000_000},
        {"filename": "d.png", "size": 0},
        {"filename": "e.txt", "size": 0},
        {"filename": "..", "size": 1},
    )
    assert [state["state"] for state in states] == [
        *("new", "refused", "refused", "new", "refused", "new", "refused")
    ]
    assert [state.get("status") for state in states] == [None, 415, 413, None, 422, None, 400]


def test_a_refusal_is_the_sentence_that_sending_the_file_would_get(visit: Callable[..., Visitor]) -> None:
    visitor = visit(UPLOADS_TYPES="png", UPLOADS_MAX_TOTAL_SIZE="1 KB")
    bigger = visit(UPLOADS_TYPES="png", UPLOADS_MAX_FILE_SIZE="1 KB")
    for filename, content in (
        ("a.exe", EXE),
        ("noext", PNG),
        ("a.png", PNG + bytes(1500)),
        ("empty.png", b""),
        ("...", PNG),
    ):
        for asked in (visitor, bigger):
            [state] = check(asked, {"filename": filename, "size": len(content)})
            sent = asked.upload(("file", filename, content))
            assert (state["error"], state["status"]) == (sent.text, sent.status_code)


def test_a_question_keeps_nothing(visitor: Visitor, tmp_path: Path) -> None:
    check(visitor, {"filename": "a.png", "size": 10})
    assert list((tmp_path / "uploads").rglob("*")) == [tmp_path / "uploads" / ".staging"]
    assert check(visitor, {"filename": "a.png", "size": 10}) == [{"state": "new"}]


def test_files_beyond_those_of_one_drop_are_refused_and_the_first_are_taken(
    visit: Callable[..., Visitor],
) -> None:
    visitor = visit(UPLOADS_MAX_FILES=2)
    names = ("a.exe", "a.png", "b.png", "c.png", "d.exe")
    states = check(visitor, *({"filename": name, "size": 10} for name in names))
    assert [state["state"] for state in states] == ["refused", "new", "new", "refused", "refused"]
    assert states[3]["error"] == "Only 2 can be taken at a time; add this one in another drop."
    assert ".exe" in states[4]["error"], "what will never do is said first"


def test_the_set_that_is_named_is_the_one_whose_rules_hold(tmp_path: Path) -> None:
    visitor = host_visitor(tmp_path, UploadSet("photos", IMAGES))
    for path in ("/upload/check", "/upload/photos/check"):
        states = check(visitor, {"filename": "a.png", "size": 9}, {"filename": "a.pdf", "size": 9}, path=path)
        assert [state["state"] for state in states] == ["new", "refused"]
    assert_refused(
        ask(visitor, {"files": []}, "/upload/films/check"), 404, 'There is no upload set called "films".'
    )


# ---- what is there already


def test_what_is_stored_under_the_uuid_is_told_with_its_file(visitor: Visitor) -> None:
    [file] = visitor.store(("uuid[0]", "mine"), ("file[0]", "a.png", PNG))
    stored = {"state": "stored", "size": len(PNG), "file": file}
    assert check(visitor, {"uuid": "mine", "filename": "a.png", "size": len(PNG)}) == [stored]
    answer = visitor.get("/uploads/mine")
    assert (answer.status_code, answer.get_json()) == (200, stored)
    assert answer.headers["Cache-Control"] == "no-store"
    # The unfinished ones are others.
    assert visitor.get("/uploads").get_json() == {"uploads": {}}


@pytest.mark.parametrize("other", [{"size": 5}, {"sha256": "0" * 64}])
def test_another_file_under_a_stored_uuid_is_refused(visitor: Visitor, other: dict[str, Any]) -> None:
    visitor.store(("uuid[0]", "mine"), ("file[0]", "a.png", PNG))
    [state] = check(visitor, {"uuid": "mine", "filename": "a.png", "size": len(PNG), **other})
    assert (state["state"], state["status"]) == ("refused", 409)


@pytest.mark.parametrize(
    ("duplicates", "expected"), [("keep", "new"), ("skip", "stored"), ("refuse", "refused")]
)
def test_the_same_bytes_are_there_already_as_far_as_the_set_minds(
    tmp_path: Path, duplicates: Any, expected: str
) -> None:
    visitor = host_visitor(tmp_path, UploadSet("photos", IMAGES, duplicates=duplicates))
    [file] = visitor.store(("file", "a.png", PNG))
    digest = hashlib.sha256(PNG).hexdigest()
    for sha256 in (digest, digest.upper()):
        [state] = check(visitor, {"filename": "b.png", "size": len(PNG), "sha256": sha256})
        assert state["state"] == expected
        if expected == "stored":
            assert state["file"] == file
        if expected == "refused":
            assert state["error"].startswith('The same file is already here as "a.png"')
            assert state["error"] == visitor.upload(("file", "b.png", PNG)).text
    assert check(visitor, {"filename": "b.png", "size": 3}) == [{"state": "new"}]
    stranger = Visitor(visitor.app)
    assert check(stranger, {"filename": "b.png", "size": len(PNG), "sha256": digest}) == [{"state": "new"}]


def test_another_owners_uuid_is_as_if_unknown(visitor: Visitor) -> None:
    visitor.store(("uuid[0]", "mine"), ("file[0]", "a.png", PNG))
    stranger = Visitor(visitor.app)
    unknown = "There is no such upload here, or it is not yours."
    assert check(stranger, {"uuid": "mine", "filename": "a.png", "size": 1}) == [{"state": "new"}]
    assert_refused(stranger.get("/uploads/mine"), 404, unknown)
    assert_refused(stranger.delete("/uploads/mine"), 404, unknown)
    assert_refused(stranger.get("/uploads/nothing"), 404, unknown)
    assert len(visitor.files()) == 1


def test_a_file_that_is_being_committed_is_told_as_arrived_and_cannot_be_cancelled(visitor: Visitor) -> None:
    visitor.token()
    with visitor.client.session_transaction() as session:
        me = session["uploads_owner"]
    row = Record(
        new_id(), "files", me, "mine", "a.bin", "", "a.bin", 7, "application/octet-stream", None, now()
    )
    visitor.app.extensions["uploads"].records.reserve([row])
    state = {"state": "receiving", "size": 7, "ranges": [[0, 7]]}
    assert visitor.get("/uploads/mine").get_json() == state
    assert check(visitor, {"uuid": "mine", "filename": "a.bin", "size": 7}) == [state]
    assert_refused(visitor.delete("/uploads/mine"), 409)


def test_to_cancel_what_is_stored_deletes_it_for_good(visitor: Visitor, tmp_path: Path) -> None:
    [file] = visitor.store(("uuid[0]", "mine"), ("file[0]", "a.png", PNG))
    assert visitor.delete("/uploads/mine").status_code == 204
    assert not (tmp_path / "uploads" / file["key"]).exists()
    assert_refused(visitor.delete("/uploads/mine"), 404)
    # Whoever has held the request back on its way hands it on in vain.
    assert visitor.get("/uploads/mine").get_json()["code"] == "upload_cancelled"
    [told] = check(visitor, {"uuid": "mine", "filename": "a.png", "size": 1})
    assert (told["state"], told["code"]) == ("refused", "upload_cancelled")
    assert_refused(visitor.upload(("uuid[0]", "mine"), ("file[0]", "a.png", PNG)), 410)
    [again] = visitor.store(("uuid[0]", "another"), ("file[0]", "a.png", PNG))
    assert visitor.delete(f"/files/{again['id']}").status_code == 204
    assert visitor.get("/uploads/another").status_code == 404
    visitor.store(("uuid[0]", "another"), ("file[0]", "a.png", PNG))


# ---- who may ask, and what


def test_a_question_without_a_token_or_of_another_site_is_refused_unread(visitor: Visitor) -> None:
    headers = {"X-Requested-With": "XMLHttpRequest"}
    for refused, status in (
        (headers, 400),
        ({**headers, "X-CSRFToken": "nonsense"}, 400),
        ({**headers, "X-CSRFToken": visitor.token(), "Origin": "http://evil.example"}, 403),
    ):
        body = CountingInput(b'{"files": []}')
        answer = visitor.post(body, "/upload/check", refused, content_type="application/json")
        assert_refused(answer, status)
    assert_refused(visitor.client.delete("/uploads/mine"), 400)


def test_who_is_signed_out_is_told_so(tmp_path: Path) -> None:
    from flask import Flask

    from dropzone_app import Uploads

    app = Flask("host")
    app.config.from_mapping(
        SECRET_KEY="s",
        UPLOADS_STORAGE=f"file:{tmp_path / 'uploads'}",
        UPLOADS_DATABASE=database_url(tmp_path),
        WTF_CSRF_ENABLED=False,
    )
    Uploads(app, owner=lambda: None)
    visitor = Visitor(app)
    json_body = {"data": b'{"files": []}', "content_type": "application/json"}
    assert_refused(visitor.client.post("/upload/check", **json_body), 401)  # type: ignore[arg-type]
    for method in ("GET", "DELETE"):
        assert_refused(visitor.client.open("/uploads/mine", method=method), 401)
    assert_refused(visitor.get("/uploads"), 401)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"files": {}}',
        b'{"files": [1]}',
        b'{"files": null}',
        b"[" * 100_000,
        b'{"files": [' + b"9" * 5000 + b"]}",
    ],
)
def test_what_is_no_list_of_files_is_a_sentence(visitor: Visitor, body: bytes) -> None:
    assert_refused(ask(visitor, body), 400)


GOOD = {"uuid": "u", "filename": "a.png", "size": 1}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"uuid": "../../etc"}, "files[1].uuid"),
        ({"uuid": ""}, "files[1].uuid"),
        ({"uuid": 7}, "files[1].uuid"),
        ({"uuid": "x" * 65}, "files[1].uuid"),
        ({"filename": None}, "files[1].filename"),
        ({"filename": ["a.png"]}, "files[1].filename"),
        ({"size": -1}, "files[1].size"),
        ({"size": 1.5}, "files[1].size"),
        ({"size": "10"}, "files[1].size"),
        ({"size": True}, "files[1].size"),
        ({"size": None}, "files[1].size"),
        ({"size": 10**18}, "files[1].size"),
        ({"sha256": "abc"}, "files[1].sha256"),
        ({"sha256": 5}, "files[1].sha256"),
    ],
)
def test_a_wrong_value_is_named(visitor: Visitor, wrong: dict[str, Any], field: str) -> None:
    answer = ask(visitor, {"files": [{**GOOD, "uuid": "first"}, {**GOOD, **wrong}]})
    assert_refused(answer, 400)
    assert f'"{field}"' in answer.text


def test_two_files_cannot_share_a_uuid(visitor: Visitor) -> None:
    assert_refused(ask(visitor, {"files": [GOOD, GOOD]}), 400)


@pytest.mark.parametrize("filename", ["a\0b.png", "\ud800.png", "‮gnp.exe", "a/../b.png", "x" * 5000 + ".png"])
def test_an_odd_name_is_judged_like_any_other(visitor: Visitor, filename: str) -> None:
    [state] = check(visitor, {"filename": filename, "size": 5})
    assert state["state"] in {"new", "refused"}


def test_a_thousand_files_are_one_question_and_more_are_not(visitor: Visitor) -> None:
    files = [{"filename": "\u4e16" * 80 + ".png", "size": n, "path": "\u4e16" * 1000} for n in range(1, 1001)]
    states = check(visitor, *files)
    assert {state["state"] for state in states} == {"new"}
    more = [{**GOOD, "uuid": f"u{n}"} for n in range(1001)]
    answer = ask(visitor, {"files": more})
    assert_refused(answer, 413, "The list of files is longer than 1,000 files; send it in shorter pieces.")


def test_a_question_that_never_ends_is_refused_in_time(visitor: Visitor) -> None:
    answer = ask(visitor, b" " * (MAX_QUESTION + 1))
    assert_refused(answer, 413, "The list of files is longer than 8 MB; send it in shorter pieces.")


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data; boundary=x", ""])
def test_a_question_that_a_form_of_another_site_could_post_is_refused(
    visitor: Visitor, content_type: str
) -> None:
    headers = {"X-CSRFToken": visitor.token()}
    answer = visitor.post(b'{"files": []}', "/upload/check", headers, content_type=content_type)
    assert_refused(answer, 415, "The list of files must be sent as application/json.")


def test_a_deleted_digest_is_not_there(tmp_path: Path) -> None:
    visitor = host_visitor(tmp_path, UploadSet("photos", IMAGES, duplicates="skip"))
    [file] = visitor.store(("file", "a.png", PNG))
    visitor.delete(f"/files/{file['id']}")
    digest = hashlib.sha256(PNG).hexdigest()
    assert check(visitor, {"filename": "b.png", "size": len(PNG), "sha256": digest}) == [{"state": "new"}]
