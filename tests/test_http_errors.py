"""Every error under our paths is a plain sentence: whoever raises it, and whatever the request looks like."""

import errno
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, abort, redirect, request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from webclient import BOUNDARY, PNG, Visitor, assert_refused, encode, stored_names, visiting
from werkzeug.exceptions import HTTPException, TooManyRequests

from dropzone_app import Uploads, UploadSet
from dropzone_app.errors import MESSAGES
from dropzone_app.records import Records, database
from dropzone_app.storage import LocalStorage, StagedFile

#: Of those about the file of the database, and of many made-up requests to which the records are all one.
ON_SQLITE = pytest.mark.parametrize("database", ["SQLite"], indirect=True)

UNAVAILABLE = "The server cannot store files at the moment, and nothing was stored; try again later."
DISK_FULL = "The server has no room left, and nothing was stored; try again later or tell its owner."
INTERNAL = "Something went wrong on the server, and nothing was stored; try again."

STATUSES = (400, 401, 403, 404, 405, 411, 413, 415, 416, 429, 500, 503, 507)


@pytest.fixture
def visit(database: str, tmp_path: Path) -> Iterator[Callable[..., Visitor]]:
    """Whoever asks the records does so on each database."""
    with visiting(tmp_path) as visit:
        yield visit


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    return visit()


def host_app(tmp_path: Path, **config: Any) -> Flask:
    app = Flask("host")
    app.config.from_mapping(
        SECRET_KEY="s",
        UPLOADS_DURABLE=False,
        UPLOADS_STORAGE=f"file:{tmp_path / 'uploads'}",
        UPLOADS_DATABASE="sqlite:///:memory:",
        WTF_CSRF_ENABLED=False,
        **config,
    )
    return app


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


# ---- what the framework says


@pytest.mark.parametrize("path", ["/nothing", "/upload/a/b", "/files/x/y/z", "/batches", "/%00%ff<script>"])
def test_an_unknown_address_is_a_sentence(visitor: Visitor, path: str) -> None:
    for accept in ("text/html", "application/json", "*/*"):
        assert_refused(
            visitor.get(path, headers={"Accept": accept}), 404, "There is nothing at this address."
        )


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/upload", {"POST", "OPTIONS"}),
        ("PUT", "/upload/files", {"POST", "OPTIONS"}),
        ("DELETE", "/files", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/files/abc", {"DELETE", "OPTIONS"}),
        ("NONSENSE", "/", {"GET", "HEAD", "OPTIONS"}),
        ("TRACE", "/healthz", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_a_wrong_method_is_a_sentence_that_names_it(
    visitor: Visitor, method: str, path: str, allowed: set[str]
) -> None:
    answer = visitor.client.open(path, method=method)
    assert_refused(answer, 405, f"This address does not take {method} requests.")
    assert set(re.split(", *", answer.headers["Allow"])) == allowed


@pytest.mark.parametrize(
    "path", ["/uploads-static/nothing.js", "/uploads-static/../setup.cfg", "/uploads-static/%2e%2e/setup.cfg"]
)
def test_a_missing_asset_is_a_sentence(visitor: Visitor, path: str) -> None:
    assert_refused(visitor.get(path), 404)


@pytest.mark.parametrize("host", ["a b", "x/y", "<b>", "é.example", "[::1", ""])
def test_a_broken_host_header_breaks_nothing(visitor: Visitor, host: str) -> None:
    for method, path in (("GET", "/"), ("GET", "/files"), ("POST", "/upload"), ("GET", "/nothing")):
        answer = visitor.client.open(path, method=method, headers={"Host": host, "Origin": "http://x"})
        assert answer.status_code < 500
        if answer.status_code >= 400:
            assert_refused(answer, answer.status_code)


@pytest.mark.parametrize("status", STATUSES)
def test_abort_in_code_of_the_host_is_a_sentence(tmp_path: Path, status: int) -> None:
    class Error(HTTPException):
        code = status
        description = "/secret/path <b>detail</b>"

    app = host_app(tmp_path)
    Uploads(app, owner=raising(Error()))
    for method, path in (("GET", "/files"), ("POST", "/upload"), ("DELETE", "/files/x")):
        assert_refused(
            Visitor(app).client.open(
                path,
                method=method,
                data=encode(("file", "a.png", PNG)),
                content_type=f"multipart/form-data; boundary={BOUNDARY}",
            ),
            status,
        )


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("text", ["<h1>nginx</h1>", '{"error": "/etc"}', ""])
def test_an_error_page_of_the_host_becomes_a_sentence(tmp_path: Path, status: int, text: str) -> None:
    app = host_app(tmp_path)
    Uploads(app)
    app.before_request(lambda: (text, status))
    app.before_request_funcs[None].reverse()
    assert_refused(Visitor(app).post(encode(("file", "a.png", PNG))), status)


def test_an_error_that_no_row_names_is_a_sentence_too(tmp_path: Path) -> None:
    class Teapot(HTTPException):
        code = 418

    class BadGateway(HTTPException):
        code = 502

    for error, sentence in ((Teapot, MESSAGES["bad_request"].text), (BadGateway, INTERNAL)):
        app = host_app(tmp_path)
        Uploads(app, owner=raising(error()))
        assert_refused(Visitor(app).get("/files"), error.code, sentence)


def test_a_limiter_keeps_its_headers(tmp_path: Path) -> None:
    raised = host_app(tmp_path)
    Uploads(raised, owner=raising(TooManyRequests(retry_after=20)))
    returned = host_app(tmp_path)
    Uploads(returned)
    returned.before_request(lambda: ("<h1>Slow down</h1>", 429, {"Retry-After": "20"}))
    for app in (raised, returned):
        answer = Visitor(app).post(encode(("file", "a.png", PNG)))
        assert_refused(answer, 429, "Too many uploads at the moment; wait a little and try again.")
        assert answer.headers["Retry-After"] == "20"


# ---- what fails below


@pytest.mark.parametrize(
    ("number", "status", "sentence"),
    [
        (errno.ENOSPC, 507, DISK_FULL),
        (errno.EDQUOT, 507, DISK_FULL),
        (errno.EFBIG, 507, DISK_FULL),
        (errno.EIO, 503, UNAVAILABLE),
        (errno.EROFS, 503, UNAVAILABLE),
        (errno.EMFILE, 503, UNAVAILABLE),
    ],
)
@pytest.mark.parametrize(
    ("place", "step"), [(StagedFile, "write"), (LocalStorage, "commit"), (LocalStorage, "sync")]
)
def test_a_failing_disk_is_told_by_its_kind_and_stores_nothing(
    visitor: Visitor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: type,
    step: str,
    number: int,
    status: int,
    sentence: str,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(place, step, raising(OSError(number, "<secret>", "/secret/path")))
        answer = visitor.upload(("file[0]", "a.png", PNG), ("file[1]", "b.png", PNG))
    assert_refused(answer, status, sentence)
    assert "Upload-Verdicts" not in answer.headers
    assert stored_names(tmp_path) == []
    assert visitor.files() == []
    assert len(visitor.store(("file[0]", "a.png", PNG))) == 1


@ON_SQLITE
def test_a_locked_database_is_503_and_stores_nothing(
    visit: Callable[..., Visitor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.1)
    visitor = visit()
    other = sqlite3.connect(tmp_path / "instance" / "app.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        assert_refused(visitor.upload(("file[0]", "a.png", PNG)), 503, UNAVAILABLE)
    finally:
        other.close()
    assert stored_names(tmp_path) == []
    assert visitor.files() == []
    assert len(visitor.store(("file[0]", "a.png", PNG))) == 1


@pytest.mark.parametrize("step", ["reserve", "store"])
@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (OperationalError("INSERT INTO files", {}, Exception("/secret/app.sqlite")), 503, UNAVAILABLE),
        (RuntimeError("/secret <b>"), 500, INTERNAL),
    ],
)
def test_a_failing_database_is_a_sentence_and_stores_nothing(
    visitor: Visitor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    error: Exception,
    status: int,
    sentence: str,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Records, step, raising(error))
        answer = visitor.upload(("file[0]", "a.png", PNG))
    assert_refused(answer, status, sentence)
    assert stored_names(tmp_path) == []
    assert visitor.files() == []


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/files"), ("GET", "/batches/x")])
def test_pages_say_a_sentence_when_the_database_fails(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    broken = raising(OperationalError("SELECT", {}, Exception("/secret")))
    monkeypatch.setattr(Records, "files", broken)
    monkeypatch.setattr(Records, "batch", broken)
    assert_refused(visitor.client.open(path, method=method, headers={"Accept": "text/html"}), 503)


def test_health_tells_when_the_folder_is_gone_and_when_it_is_back(visitor: Visitor, tmp_path: Path) -> None:
    assert visitor.get("/healthz").status_code == 200
    root = tmp_path / "uploads"
    root.rename(tmp_path / "elsewhere")
    assert_refused(visitor.get("/healthz"), 503, UNAVAILABLE)
    root.write_text("no folder")
    assert_refused(visitor.get("/healthz"), 503, UNAVAILABLE)
    root.unlink()
    (tmp_path / "elsewhere").rename(root)
    assert visitor.get("/healthz").status_code == 200


@ON_SQLITE
def test_health_tells_when_the_database_is_gone(visitor: Visitor, tmp_path: Path) -> None:
    (tmp_path / "instance" / "app.sqlite").unlink()
    assert_refused(visitor.get("/healthz"), 503, UNAVAILABLE)


def test_health_tells_when_the_tables_are_gone(visitor: Visitor) -> None:
    with visitor.app.extensions["uploads"].records._database.write() as connection:
        connection.execute(text("DROP TABLE files"))
    assert_refused(visitor.get("/healthz"), 503, UNAVAILABLE)


# ---- whether it can take an upload


@ON_SQLITE
def test_it_is_not_ready_while_the_database_takes_nothing(
    visit: Callable[..., Visitor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.1)
    visitor = visit()
    with closing(sqlite3.connect(tmp_path / "instance" / "app.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert visitor.get("/healthz").status_code == 200, "it can be read"
        assert_refused(visitor.get("/readyz"), 503, UNAVAILABLE)
    assert visitor.get("/readyz").status_code == 200


def test_it_is_not_ready_where_the_database_may_only_be_read(visitor: Visitor, monkeypatch: Any) -> None:
    records = visitor.app.extensions["uploads"].records
    read_only = "PRAGMA query_only = ON" if records.database_file else "SET TRANSACTION READ ONLY"
    write = records._database.write

    @contextmanager
    def as_a_replica() -> Iterator[Any]:
        with write() as connection:
            connection.execute(text(read_only))
            try:
                yield connection
            finally:
                if records.database_file:
                    connection.execute(text("PRAGMA query_only = OFF"))

    monkeypatch.setattr(records._database, "write", as_a_replica)
    assert visitor.get("/healthz").status_code == 200
    assert_refused(visitor.get("/readyz"), 503, UNAVAILABLE)


def test_it_is_not_ready_without_its_folder_and_ready_once_it_is_back(
    visitor: Visitor, tmp_path: Path
) -> None:
    assert (visitor.get("/readyz").status_code, visitor.get("/readyz").text) == (200, "ok\n")
    (tmp_path / "uploads").rename(tmp_path / "elsewhere")
    assert_refused(visitor.get("/readyz"), 503, UNAVAILABLE)
    (tmp_path / "elsewhere").rename(tmp_path / "uploads")
    assert visitor.get("/readyz").status_code == 200


def test_it_is_not_ready_without_room_for_a_chunk_beside_what_is_to_stay_free(
    visit: Callable[..., Visitor],
) -> None:
    assert_refused(visit(UPLOADS_MIN_FREE="900 PB").get("/readyz"), 507, DISK_FULL)


def test_to_ask_leaves_nothing_and_changes_nothing(visitor: Visitor, tmp_path: Path) -> None:
    visitor.store(("file", "a.png", PNG))
    before = visitor.files(), stored_names(tmp_path)
    for _ in range(5):
        answer = visitor.get("/readyz")
        assert answer.status_code == 200
        assert "Set-Cookie" not in answer.headers
    assert (visitor.files(), stored_names(tmp_path)) == before


# ---- redirects


def redirecting_app(tmp_path: Path, *, how: str) -> Visitor:
    app = host_app(tmp_path)

    def to_login() -> Any:
        if request.path == "/login":
            return "<h1>Sign in</h1>"
        target = redirect("/login")
        return abort(target) if how == "abort" else target

    if how == "owner":
        Uploads(app, owner=lambda: abort(redirect("/login")))
    else:
        Uploads(app)
        app.before_request(to_login)
    return Visitor(app)


@pytest.mark.parametrize("how", ["return", "abort", "owner"])
def test_a_script_is_never_sent_to_a_login_page(tmp_path: Path, how: str) -> None:
    visitor = redirecting_app(tmp_path, how=how)
    sentence = "You are signed out; sign in again and repeat the upload."
    body = encode(("file", "a.png", PNG))
    xhr = {"X-Requested-With": "XMLHttpRequest", "Accept": "application/json"}
    assert_refused(visitor.post(body, headers=xhr), 401, sentence)
    assert_refused(visitor.post(body, headers={"Accept": "*/*"}), 401, sentence)
    assert_refused(visitor.client.delete("/files/x"), 401, sentence)
    assert_refused(visitor.get("/files", headers=xhr), 401, sentence)
    assert_refused(visitor.get("/files", headers={"Accept": "application/json"}), 401, sentence)
    assert stored_names(tmp_path) == []


def test_a_script_is_sent_to_where_a_storage_gives_the_file_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalStorage, "url", lambda *_, **__: "https://store.example/a.png")
    app = host_app(tmp_path)
    Uploads(app, UploadSet("files"))
    visitor = Visitor(app)
    (file,) = visitor.store(("file", "a.png", PNG))
    xhr = {"X-Requested-With": "XMLHttpRequest", "Accept": "application/json"}
    assert visitor.get(file["url"], headers=xhr).headers["Location"] == "https://store.example/a.png"


@pytest.mark.parametrize("how", ["return", "abort", "owner"])
def test_a_person_is_sent_to_the_login_page(tmp_path: Path, how: str) -> None:
    visitor = redirecting_app(tmp_path, how=how)
    html = {"Accept": "text/html,*/*;q=0.8"}
    assert visitor.get("/files", headers=html).headers["Location"] == "/login"
    assert visitor.post(encode(("file", "a.png", PNG)), headers=html).headers["Location"] == "/login"


def test_nobody_signed_in_is_401_before_the_body_is_read(tmp_path: Path) -> None:
    app = host_app(tmp_path)
    Uploads(app, UploadSet("files"), owner=lambda: None)
    visitor = Visitor(app)
    staged = tmp_path / "uploads"
    answer = visitor.post(encode(("file", "a.png", PNG)))
    assert_refused(answer, 401, "You are signed out; sign in again and repeat the upload.")
    assert_refused(visitor.get("/files"), 401)
    assert_refused(visitor.get("/files/x/y"), 401)
    assert stored_names(tmp_path) == []
    assert list(staged.glob(".staging/*")) == []


# ---- whatever a client sends

_WORDS = st.sampled_from(
    [
        "", "*", "*/*", "text/html", "application/json", ";q=", "0.5", "bytes=", "0-", "-1", "1-0", ",", '"', "\\",
        "W/", "null", "http://", "[::1", "%00", "é", "\t", "=", ";", "boundary=", BOUNDARY, "multipart/form-data",
        "gzip", "99999999999999999999", "-5", "Mon, 01 Jan 0000 00:00:00 GMT", "session", "chunked", "x" * 300,
    ]
)  # fmt: skip
_VALUE = st.lists(_WORDS, max_size=4).map("".join)
_HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "Accept", "Content-Type", "Content-Length", "Content-Encoding", "Cookie", "Host", "If-Match",
            "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Origin", "Range",
            "Sec-Fetch-Site", "Transfer-Encoding", "X-CSRFToken", "X-Forwarded-Host", "X-Requested-With",
        ]
    ),
    _VALUE,
    max_size=4,
)  # fmt: skip


@pytest.fixture
def open_to_all(visit: Callable[..., Visitor]) -> Visitor:
    """No tokens asked for, so that what is made up gets past the guard as well."""
    visitor = visit(WTF_CSRF_ENABLED=False)
    visitor.store(("uuid", "known"), ("file", 'a b%"é.png', PNG))
    return visitor


MADE_UP = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@ON_SQLITE
@settings(MADE_UP, max_examples=400)
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PATCH"]),
    path=st.sampled_from(
        ["/", "/upload", "/upload/x", "/files", "FILE", "/files/x", "/batches/x", "/healthz", "/readyz"]
    ),
    query=_VALUE,
    headers=_HEADERS,
    body=st.sampled_from(
        [
            b"",
            b"garbage",
            encode(("file", "a.png", PNG)),
            encode(("file", "\\", b"")),
            encode(("file", "a.png", PNG), ("uuid", "known")),
            encode(("file", "a.png", PNG))[:-9],
        ]
    ),
)
def test_no_request_gets_more_than_a_sentence_out_of_an_error(
    open_to_all: Visitor, method: str, path: str, query: str, headers: dict[str, str], body: bytes
) -> None:
    file = open_to_all.files()[-1]
    answer = open_to_all.client.open(
        file["url"] if path == "FILE" else path,
        method=method,
        query_string={"cursor": query},
        data=body,
        headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", **headers},
        buffered=True,
    )
    assert answer.status_code < 500
    if answer.status_code >= 400 and method != "HEAD":
        assert_refused(answer, answer.status_code)


_TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
_NAME = st.one_of(
    _TEXT,
    st.builds("{}{}".format, _TEXT, st.sampled_from([".txt", ".TXT", ".png", ".exe", ".", ". ", "/", "\\"])),
    st.sampled_from(
        ["..", "CON.txt", "\u202etxt.exe", "a\u0301.txt", "x" * 5000 + ".txt", "\0.txt", ".txt", "a..txt "]
    ),
)


@settings(MADE_UP, max_examples=150)
@given(
    names=st.lists(_NAME, min_size=1, max_size=3),
    fields=st.dictionaries(
        st.sampled_from(["uuid", "uuid[0]", "uuid[1]", "size[0]", "sha256[1]", "path[0]", "path", "csrf_token"]),
        st.one_of(_TEXT, st.sampled_from(["known", "1", "../..", "a" * 64])),
        max_size=3,
    ),
    key=st.sampled_from(["file", "file[]", "file[{}]", "file[0]", "file[00{}]", "file[{}9999999]"]),
)  # fmt: skip
def test_whatever_names_and_fields_are_sent_each_part_is_stored_or_has_its_line(
    open_to_all: Visitor, names: list[str], fields: dict[str, str], key: str
) -> None:
    items: list[Any] = [(key.format(n), name, b"bytes") for n, name in enumerate(names)]
    # A line break in a quoted string ends the header; browsers send it in this form.
    items = [(k, re.sub("[\r\n]", "%0A", name), content) for k, name, content in items]
    answer = open_to_all.post(encode(*items, *fields.items()))
    if answer.status_code == 201:
        files = answer.get_json()["files"]
        assert len(files) == len(names)
        for file in files:
            assert open_to_all.get(file["url"]).data == b"bytes"
        return
    assert 400 <= answer.status_code < 500
    if "Upload-Verdicts" not in answer.headers:
        assert_refused_whatever(answer)
        return
    lines = answer.text.splitlines()
    refused = [line for line in lines[:-1] if re.match(r'file\[\d+\] "', line)]
    assert refused == lines[:-1]
    stored = len(names) - len(refused)
    closing = {0: "No file was stored.", 1: "The other file was stored."}
    assert lines[-1] == closing.get(stored, f"The other {stored} files were stored.")


def assert_refused_whatever(answer: Any) -> None:
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert len(answer.text.splitlines()) == 1
