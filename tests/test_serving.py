"""Files go out as they came in: by owner, in pieces, under their own name, and unable to run anything."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest
from corpus.samples import SAMPLES
from flask import session
from webclient import PDF, PNG, Visitor, assert_refused, host_visitor, stored_names, visiting
from werkzeug.http import http_date, parse_date, parse_options_header

from dropzone_app import UploadSet
from dropzone_app.errors import MESSAGES

# Each runs on each database.
pytestmark = pytest.mark.usefixtures("database")

UNKNOWN = "There is no such file here, or it is not yours."
TEXT = bytes(range(32, 127)) * 10


@pytest.fixture
def visitor(database: str, tmp_path: Path) -> Iterator[Visitor]:
    with visiting(tmp_path) as visit:
        yield visit()


@pytest.fixture
def url(visitor: Visitor) -> str:
    (file,) = visitor.store(("file", "letters.txt", TEXT))
    return str(file["url"])


# ---- names


@pytest.mark.parametrize(
    "name",
    [
        "plain.txt",
        "with space.txt",
        'quo"te.txt',
        "apo'strophe.txt",
        "per%20cent.txt",
        "semi;colon=.txt",
        "Übergröße.txt",
        "фото с отпуска.txt",
        "写真 2026.txt",
        "عطلة.txt",
        "תמונה.txt",
        "हिन्दी.txt",
        "👩‍👩‍👧 family 🏖️.txt",
        "question?hash#and&.txt",
        "..two dots.txt",
        "trailing.tar.txt",
        "<b>bold<b>.txt",
        "x" * 250 + ".txt",
    ],
)
def test_a_file_comes_back_under_its_own_name(visitor: Visitor, name: str) -> None:
    (file,) = visitor.store(("file", name.replace('"', "%22"), b"bytes"))
    answer = visitor.get(file["url"])
    assert answer.status_code == 200
    assert answer.data == b"bytes"
    kind, options = parse_options_header(answer.headers["Content-Disposition"])
    assert kind == "attachment"
    assert options["filename"] == file["filename"]
    assert answer.headers["Content-Disposition"].isascii()
    # Browsers send % and " of a name in either form; what is kept must be what is offered.
    assert unquote(file["url"]).endswith(f"/{file['filename']}")
    if "%" not in name and '"' not in name:
        assert file["filename"] == name


def test_the_name_for_old_clients_is_plain_and_quoted(visitor: Visitor) -> None:
    (file,) = visitor.store(("file", "100% né.txt", b"x"))
    assert visitor.get(file["url"]).headers["Content-Disposition"] == (
        "attachment; filename=\"100_ n_.txt\"; filename*=UTF-8''100%25%20n%C3%A9.txt"
    )


def test_only_the_recorded_name_leads_to_the_file(visitor: Visitor, url: str) -> None:
    assert_refused(visitor.get(url.replace("letters.txt", "other.html")), 404, UNKNOWN)
    assert_refused(visitor.get(url.rpartition("/")[0]), 405)


# ---- what a browser may do with it


@pytest.mark.parametrize(
    ("name", "content", "media_type", "disposition"),
    [
        ("a.png", PNG, "image/png", "inline"),
        ("a.jpg", SAMPLES["jpg"], "image/jpeg", "inline"),
        ("a.gif", SAMPLES["gif"], "image/gif", "inline"),
        ("a.pdf", PDF, "application/pdf", "inline"),
        ("a.mp3", SAMPLES["mp3"], "audio/mpeg", "inline"),
        ("a.mp4", SAMPLES["mp4"], "video/mp4", "inline"),
        ("a.txt", b"Or <script>alert(1)</script>", "text/plain", "attachment"),
        ("a.csv", b"a,b\n", "text/csv", "attachment"),
        ("a.json", b"{}", "application/json", "attachment"),
        ("a.xml", b"<?xml version='1.0'?><a/>", None, "attachment"),
    ],
)
def test_only_what_cannot_run_is_shown_in_place(
    visitor: Visitor, name: str, content: bytes, media_type: str | None, disposition: str
) -> None:
    (file,) = visitor.store(("file", name, content))
    answer = visitor.get(file["url"])
    assert answer.headers["Content-Disposition"].partition(";")[0] == disposition
    assert media_type in {None, answer.mimetype}
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "allow-scripts" not in policy
    assert visitor.get(f"{file['url']}?download").headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize("extension", ["html", "htm", "xhtml", "svg", "svgz", "js", "mjs", "xht", "shtml"])
def test_what_could_run_is_never_shown_even_where_a_set_takes_it(tmp_path: Path, extension: str) -> None:
    visitor = host_visitor(tmp_path, UploadSet("risky", [extension]))
    content = b"\x1f\x8b" if extension == "svgz" else b"<?xml version='1.0'?><svg onload='alert(1)'/>"
    (file,) = visitor.store(("file", f"a.{extension}", content))
    answer = visitor.get(file["url"])
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("extension", ["html", "htm", "svg", "js", "php", "exe", "sh", "bat", "swf"])
def test_the_default_set_takes_nothing_that_runs(visitor: Visitor, extension: str) -> None:
    answer = visitor.upload(("file", f"a.{extension.upper()}", b"text"))
    assert_refused(answer, 415)
    assert answer.text.startswith(f".{extension} files are not accepted here.")


# ---- conditions and pieces


def test_a_file_that_did_not_change_is_not_sent_again(visitor: Visitor, url: str) -> None:
    first = visitor.get(url)
    assert first.headers["Cache-Control"] == "private, no-cache"
    for headers in (
        {"If-None-Match": first.headers["ETag"]},
        {"If-None-Match": f'"other", W/{first.headers["ETag"]}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": first.headers["Last-Modified"]},
    ):
        again = visitor.get(url, headers=headers)
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
    older = http_date(parse_date(first.headers["Last-Modified"]) - timedelta(days=1))  # type: ignore[operator]
    for headers in ({"If-None-Match": '"other"'}, {"If-Modified-Since": older}):
        assert visitor.get(url, headers=headers).status_code == 200


def test_last_modified_is_when_it_was_stored(visitor: Visitor, url: str) -> None:
    moment = parse_date(visitor.get(url).headers["Last-Modified"])
    assert moment is not None
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=5)


def test_without_digests_the_etag_is_still_the_files_own(tmp_path: Path) -> None:
    visitor = host_visitor(tmp_path, UploadSet("files", ["txt"]), UPLOADS_DIGEST="none")
    first, second = visitor.store(("file[0]", "a.txt", b"same"), ("file[1]", "a.txt", b"same"))
    tags = {visitor.get(file["url"]).headers["ETag"] for file in (first, second)}
    assert len(tags) == 2


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, 950),
        ("bytes=949-", 949, 950),
        ("bytes=-1", 949, 950),
        ("bytes=-100", 850, 950),
        ("bytes=900-5000", 900, 950),
    ],
)
def test_one_range_is_answered_with_exactly_its_bytes(
    visitor: Visitor, url: str, asked: str, start: int, end: int
) -> None:
    answer = visitor.get(url, headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.data == TEXT[start:end]
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/950"
    assert answer.headers["Content-Length"] == str(end - start)
    assert answer.headers["Content-Disposition"] == "attachment; filename=letters.txt"
    assert "sandbox" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("asked", ["bytes=950-", "bytes=5000-6000"])
def test_a_range_outside_is_416_with_the_true_size(visitor: Visitor, url: str, asked: str) -> None:
    answer = visitor.get(url, headers={"Range": asked})
    assert_refused(answer, 416, "The file does not have the range of bytes that was asked for.")
    assert answer.headers["Content-Range"] == "bytes */950"
    assert "Content-Disposition" not in answer.headers


@pytest.mark.parametrize(
    "asked",
    ["bytes=-5000", "bytes=-0", "bytes=0-1,5-9", "bytes=0-0, -1", "items=0-5", "bytes=5-2", "bytes", "x"],
)
def test_a_range_nobody_must_understand_gets_the_whole_file(visitor: Visitor, url: str, asked: str) -> None:
    answer = visitor.get(url, headers={"Range": asked})
    assert (answer.status_code, answer.data) == (200, TEXT)


def test_a_range_of_another_version_gets_the_whole_file(visitor: Visitor, url: str) -> None:
    tag = visitor.get(url).headers["ETag"]
    assert visitor.get(url, headers={"Range": "bytes=0-1", "If-Range": tag}).data == TEXT[:2]
    assert visitor.get(url, headers={"Range": "bytes=0-1", "If-Range": '"other"'}).data == TEXT


def test_an_empty_file_is_served(visitor: Visitor) -> None:
    (file,) = visitor.store(("file", "empty.txt", b""))
    for headers in ({}, {"Range": "bytes=0-"}):
        answer = visitor.get(file["url"], headers=headers)
        assert (answer.status_code, answer.data, answer.headers["Content-Length"]) == (200, b"", "0")


def test_head_tells_the_same_without_the_bytes(visitor: Visitor, url: str) -> None:
    get, head = visitor.get(url), visitor.client.head(url, buffered=True)
    assert head.data == b""
    assert head.headers["Content-Length"] == "950"
    assert dict(head.headers) == dict(get.headers)


def test_a_big_file_comes_back_whole_and_in_pieces(visitor: Visitor) -> None:
    content = os.urandom(5_000_000)
    (file,) = visitor.store(("file", "noise.mp3", SAMPLES["mp3"] + content))
    assert visitor.get(file["url"]).data == SAMPLES["mp3"] + content
    piece = visitor.get(file["url"], headers={"Range": "bytes=1048570-3145740"})
    assert piece.data == (SAMPLES["mp3"] + content)[1048570:3145741]


# ---- whose it is


def test_another_owners_file_looks_exactly_like_a_missing_one(visitor: Visitor, url: str) -> None:
    stranger = Visitor(visitor.app)
    stranger.token()
    theirs = stranger.get(url)
    missing = stranger.get(f"/files/{'0' * 32}/letters.txt")
    assert_refused(theirs, 404, UNKNOWN)
    assert (theirs.data, dict(theirs.headers)) == (missing.data, dict(missing.headers))
    identity = url.split("/")[2]
    theirs, missing = stranger.delete(f"/files/{identity}"), stranger.delete(f"/files/{'0' * 32}")
    assert_refused(theirs, 404, UNKNOWN)
    assert (theirs.data, dict(theirs.headers)) == (missing.data, dict(missing.headers))
    assert visitor.get(url).status_code == 200


def test_nobody_without_the_session_has_the_file(visitor: Visitor, url: str) -> None:
    assert_refused(Visitor(visitor.app).get(url), 404, UNKNOWN)


def test_a_deleted_file_is_gone_for_good(visitor: Visitor, tmp_path: Path, url: str) -> None:
    identity = url.split("/")[2]
    answer = visitor.delete(f"/files/{identity}")
    assert (answer.status_code, answer.data) == (204, b"")
    assert_refused(visitor.get(url), 404, UNKNOWN)
    assert_refused(visitor.delete(f"/files/{identity}"), 404, UNKNOWN)
    assert visitor.files() == []
    assert stored_names(tmp_path) == []


def test_the_uuid_of_a_deleted_file_is_free_again(visitor: Visitor) -> None:
    (file,) = visitor.store(("uuid", "u1"), ("file", "a.png", PNG))
    visitor.delete(f"/files/{file['id']}")
    (again,) = visitor.store(("uuid", "u1"), ("file", "b.txt", b"other"))
    assert again["id"] != file["id"]
    assert visitor.get(again["url"]).data == b"other"


def test_a_file_that_someone_removed_by_hand_is_404(visitor: Visitor, tmp_path: Path, url: str) -> None:
    (tmp_path / "uploads" / "letters.txt").unlink()
    assert_refused(visitor.get(url), 404, UNKNOWN)
    assert visitor.delete(f"/files/{url.split('/')[2]}").status_code == 204


def test_a_record_whose_name_became_a_folder_is_404(visitor: Visitor, tmp_path: Path, url: str) -> None:
    path = tmp_path / "uploads" / "letters.txt"
    path.unlink()
    path.mkdir()
    assert_refused(visitor.get(url), 404, UNKNOWN)


# ---- no cookies


def test_no_answer_with_a_file_sets_a_cookie(visitor: Visitor, url: str) -> None:
    tag = visitor.get(url).headers["ETag"]
    for headers in ({}, {"Range": "bytes=0-1"}, {"If-None-Match": tag}):
        assert "Set-Cookie" not in visitor.get(url, headers=headers).headers


@pytest.mark.parametrize("path", ["FILE", "/healthz"])
def test_not_even_where_the_host_refreshes_its_session_with_every_answer(tmp_path: Path, path: str) -> None:
    visitor = host_visitor(tmp_path, UploadSet("files", ["txt"]), SESSION_REFRESH_EACH_REQUEST=True)

    def touch() -> None:
        session.permanent = True
        session["seen"] = session.get("seen", 0) + 1

    visitor.app.before_request(touch)
    (file,) = visitor.store(("file", "a.txt", b"x"))
    assert "Set-Cookie" in visitor.get("/csrf-token").headers
    answer = visitor.get(file["url"] if path == "FILE" else path)
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers


def test_a_visitor_keeps_the_files_over_a_restart_of_browser_and_server(
    tmp_path: Path, visitor: Visitor, url: str
) -> None:
    (cookie,) = Visitor(visitor.app).get("/").headers.getlist("Set-Cookie")
    assert "Expires=" in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    with visiting(tmp_path) as visit:
        again: Callable[..., Visitor] = visit
        later = again()
        kept = visitor.client.get_cookie("session")
        assert kept is not None
        later.client.set_cookie("session", kept.value)
        assert later.get(url).data == TEXT


def test_a_file_that_is_another_one_than_asked_for_is_closed_again(tmp_path: Path) -> None:
    visitor = host_visitor(tmp_path, UploadSet("files", ["txt"]))
    (file,) = visitor.store(("file", "a.txt", b"text"))
    assert_refused(visitor.get(file["url"], headers={"If-Match": '"other"'}), 412, MESSAGES["changed"].text)
    fds = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    held = [os.readlink(path) for path in fds if os.path.exists(path)]
    assert not [path for path in held if path.endswith("a.txt")]


def test_a_file_that_is_not_there_sets_no_cookie_either(tmp_path: Path) -> None:
    visitor = host_visitor(tmp_path, UploadSet("files", ["txt"]))
    answer = visitor.get(f"/files/{'0' * 32}/a.txt")
    assert_refused(answer, 404)
    assert "Set-Cookie" not in answer.headers
