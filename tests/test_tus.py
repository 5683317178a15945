"""The tus protocol over HTTP: uploads begin, go on where they stopped, become files, and never anything else."""

import hashlib
import os
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from core import database_url
from flask import Flask
from sqlalchemy.exc import OperationalError
from webclient import EXE, PNG, Visitor, assert_refused, host_visitor, stored_names, visiting
from werkzeug.http import parse_date
from werkzeug.test import TestResponse

from dropzone_app import IMAGES, Uploads, UploadSet, tus, upload_rejected, upload_stored
from dropzone_app.records import Records, upgrading
from dropzone_app.records.unfinished import UnfinishedUploads
from dropzone_app.storage.chunks import ChunkFolder, ChunkWriter

DATA = PNG + bytes(range(256)) * 16

# Each runs on each database.
pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def visit(database: str, tmp_path: Path) -> Iterator[Callable[..., Visitor]]:
    with upgrading(), visiting(tmp_path) as visit:
        yield partial(visit, UPLOADS_DATABASE=database_url(tmp_path))


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    return visit()


def ask(
    visitor: Visitor,
    method: str,
    path: str = "/tus/",
    body: bytes | BytesIO = b"",
    *,
    length: int | None = None,
    **headers: str | None,
) -> TestResponse:
    """A request as a tus client makes it: `upload_offset="0"` is a header; None leaves one out that all have.

    `length`: what is announced, where less comes.
    """
    told: dict[str, str | None] = {"tus-resumable": "1.0.0"}
    if body or method == "PATCH":
        told["content-type"] = "application/offset+octet-stream"
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {name: value for name, value in told.items() if value is not None}
    stream = BytesIO(body) if isinstance(body, bytes) else body
    announced = len(stream.getbuffer()) if length is None else length
    return visitor.client.open(
        visitor.prefix + path,
        method=method,
        headers=sent,
        environ_overrides={"wsgi.input": stream, "CONTENT_LENGTH": str(announced)},
        buffered=True,
    )


def metadata(**told: str) -> str:
    return ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in told.items())


def create(
    visitor: Visitor,
    size: int = len(DATA),
    body: bytes = b"",
    *,
    path: str = "/tus/",
    filename: str = "a.png",
    told: dict[str, str] | None = None,
    **headers: str | None,
) -> TestResponse:
    headers = {"upload_metadata": metadata(filename=filename, **(told or {})), **headers}
    return ask(visitor, "POST", path, body, upload_length=str(size), **headers)


def begun(visitor: Visitor, *args: Any, **more: Any) -> str:
    """The address of a new upload."""
    answer = create(visitor, *args, **more)
    assert answer.status_code == 201, answer.text
    location = answer.headers["Location"]
    assert location.startswith(f"{visitor.prefix}/tus/")
    return location.removeprefix(visitor.prefix)


def patch(visitor: Visitor, url: str, offset: int, body: bytes | BytesIO, **more: Any) -> TestResponse:
    return ask(visitor, "PATCH", url, body, upload_offset=str(offset), **more)


def offset(visitor: Visitor, url: str) -> int:
    answer = ask(visitor, "HEAD", url)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    return int(answer.headers["Upload-Offset"])


def content(folder: Path, file: dict[str, Any]) -> bytes:
    return (folder / "uploads" / file["key"]).read_bytes()


def staged(folder: Path) -> list[str]:
    return os.listdir(folder / "uploads" / ".staging")


# ---- a file


def test_an_upload_goes_on_where_it_stopped_and_becomes_a_file(visitor: Visitor, tmp_path: Path) -> None:
    url = begun(visitor, told={"filetype": "image/png", "relativePath": "holiday/day 1/a.png"})
    assert offset(visitor, url) == 0
    answer = patch(visitor, url, 0, DATA[:1000])
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "1000")
    assert offset(visitor, url) == 1000
    assert visitor.files() == []
    answer = patch(visitor, url, 1000, DATA[1000:])
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, str(len(DATA)))
    [file] = visitor.files()
    assert (file["filename"], file["path"], file["size"]) == ("a.png", "holiday/day 1", len(DATA))
    assert (file["type"], file["sha256"]) == ("image/png", hashlib.sha256(DATA).hexdigest())
    assert content(tmp_path, file) == DATA
    assert answer.headers["Upload-File"] == file["url"]
    assert stored_names(tmp_path) == ["a.png"]


def test_after_the_last_byte_the_address_says_that_all_is_here_and_which_file_it_is(visitor: Visitor) -> None:
    url = begun(visitor)
    patch(visitor, url, 0, DATA)
    answer = ask(visitor, "HEAD", url)
    assert answer.headers["Upload-Offset"] == answer.headers["Upload-Length"] == str(len(DATA))
    [file] = visitor.files()
    assert answer.headers["Upload-File"] == file["url"]
    assert "Upload-Expires" not in answer.headers
    # The same upload for the one who asks by script.
    assert visitor.get(f"/uploads/{url.rpartition('/')[2]}").get_json() == {
        "state": "stored",
        "size": len(DATA),
        "file": file,
    }
    assert patch(visitor, url, len(DATA), b"").status_code == 204
    assert_refused(patch(visitor, url, 0, DATA), 409)
    assert len(visitor.files()) == 1


def test_the_first_bytes_may_come_with_the_creation(visitor: Visitor, tmp_path: Path) -> None:
    answer = create(visitor, body=DATA[:100])
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "100")
    answer = create(visitor, body=DATA)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, str(len(DATA)))
    [file] = visitor.files()
    assert answer.headers["Upload-File"] == file["url"]
    assert content(tmp_path, file) == DATA


def test_an_empty_file_is_there_once_it_is_begun(visitor: Visitor) -> None:
    answer = create(visitor, 0, filename="empty.txt")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "0")
    [file] = visitor.files()
    assert (file["filename"], file["size"]) == ("empty.txt", 0)


def test_bytes_one_by_one_are_the_same_file(visitor: Visitor, tmp_path: Path) -> None:
    url = begun(visitor, 20, filename="a.txt")
    for at in range(20):
        assert patch(visitor, url, at, b"%d" % (at % 10)).status_code == 204
    assert content(tmp_path, visitor.files()[0]) == b"01234567890123456789"


def test_what_came_before_a_cut_counts(visitor: Visitor, tmp_path: Path) -> None:
    url = begun(visitor)
    patch(visitor, url, 0, DATA[:1234], length=len(DATA))
    assert offset(visitor, url) == 1234
    patch(visitor, url, 1234, DATA[1234:])
    assert content(tmp_path, visitor.files()[0]) == DATA


class Stuck(BytesIO):
    """A body of which the rest never comes: by then `tell` is called."""

    def __init__(self, body: bytes, tell: Callable[[], None]) -> None:
        super().__init__(body)
        self._tell = tell

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(1000)
        if not data:
            self._tell()
            raise OSError
        return data


def test_what_came_counts_while_the_rest_is_on_its_way(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tus, "KEPT_BYTES", 2000)
    url, seen = begun(visitor), []
    body = Stuck(DATA[:3000], lambda: seen.append(offset(visitor, url)))
    patch(visitor, url, 0, body, length=len(DATA))
    assert seen == [2000]
    assert offset(visitor, url) == 3000


def test_a_restart_changes_nothing(visit: Callable[..., Visitor], visitor: Visitor) -> None:
    url = begun(visitor)
    patch(visitor, url, 0, DATA[:1000])
    other = visit()
    assert offset(other, url) == 1000
    assert patch(other, url, 1000, DATA[1000:]).status_code == 204
    # It is the one's who began it.
    assert len(visitor.files()) == 1
    assert other.files() == []


@pytest.mark.parametrize("name", ["by address", "by metadata"])
def test_the_set_is_named_by_the_address_or_by_the_metadata(tmp_path: Path, name: str) -> None:
    visitor = host_visitor(tmp_path, UploadSet("texts", ["txt"]), WTF_CSRF_ENABLED=True)
    told = {"set": "texts"} if name == "by metadata" else {}
    path = "/tus/texts" if name == "by address" else "/tus/"
    url = begun(visitor, 5, b"hello", filename="a.txt", told=told, path=path)
    assert offset(visitor, url) == 5
    assert visitor.files()[0]["set"] == "texts"
    assert_refused(create(visitor, path="/tus/other"), 404)
    assert_refused(create(visitor, told={"set": "other"}), 404)


def test_names_and_paths_are_cleaned(visitor: Visitor) -> None:
    for told in ({"path": "a/../b"}, {"relativePath": "a/../b/x.png"}, {"relativePath": "a\\..\\b\\x.png"}):
        begun(visitor, body=DATA, filename="../../写真.png", told=told)
    assert {(file["filename"], file["path"]) for file in visitor.files()} == {("写真.png", "a/b")}


def test_a_client_that_says_null_has_no_path(visitor: Visitor) -> None:
    # Uppy, of a file that was chosen.
    begun(visitor, body=DATA, told={"relativePath": "null", "name": "a.png"})
    assert visitor.files()[0]["path"] == ""


def test_the_name_may_be_called_name(visitor: Visitor) -> None:
    answer = create(visitor, body=DATA, upload_metadata=metadata(name="b.png"))
    assert answer.status_code == 201
    assert visitor.files()[0]["filename"] == "b.png"


def test_listeners_hear_of_a_file_and_of_a_refusal_once(visitor: Visitor) -> None:
    heard: list[str] = []
    with (
        upload_stored.connected_to(lambda app, upload_set, record: heard.append(record.filename)),
        upload_rejected.connected_to(lambda app, upload_set, filename, rejected: heard.append(rejected.code)),
    ):
        begun(visitor, body=DATA)
        url = begun(visitor)
        for _ in range(2):
            assert_refused(patch(visitor, url, 0, EXE * 30), 415)
    assert heard == ["a.png", "other_kind"]


# ---- what the protocol asks for


def test_options_say_what_is_spoken(visitor: Visitor) -> None:
    for path in ("/tus/", "/tus", "/tus/files", "/tus/whatever"):
        answer = ask(visitor, "OPTIONS", path, tus_resumable=None)
        assert answer.status_code == 204
        assert answer.headers["Tus-Resumable"] == answer.headers["Tus-Version"] == "1.0.0"
        assert answer.headers["Tus-Extension"].split(",") == [
            "creation",
            "creation-with-upload",
            "checksum",
            "termination",
            "expiration",
        ]
        assert answer.headers["Tus-Checksum-Algorithm"] == "sha1,sha256"
        assert answer.headers["Tus-Max-Size"] == "5000000000"
        # Whether another site may: nobody says so.
        assert not any(name.lower().startswith("access-control") for name, _ in answer.headers)


def test_every_answer_says_its_version(visitor: Visitor) -> None:
    url = begun(visitor)
    for answer in (
        create(visitor),
        create(visitor, filename="a.exe"),
        ask(visitor, "HEAD", url),
        ask(visitor, "HEAD", "/tus/unknown"),
        patch(visitor, url, 5, b"x"),
        patch(visitor, url, 0, b"x"),
    ):
        assert answer.headers["Tus-Resumable"] == "1.0.0"


@pytest.mark.parametrize("version", [None, "", "0.2.2", "1.0.1"])
def test_another_version_is_412_and_changes_nothing(visitor: Visitor, version: str | None) -> None:
    url = begun(visitor)
    for answer in (
        create(visitor, tus_resumable=version),
        patch(visitor, url, 0, DATA, tus_resumable=version),
        ask(visitor, "DELETE", url, tus_resumable=version),
    ):
        assert_refused(answer, 412)
        assert answer.headers["Tus-Version"] == "1.0.0"
    assert ask(visitor, "HEAD", url, tus_resumable=version).status_code == 412
    assert offset(visitor, url) == 0


def test_what_begins_elsewhere_is_409_and_changes_nothing(visitor: Visitor) -> None:
    url = begun(visitor)
    patch(visitor, url, 0, DATA[:10])
    for at in (0, 9, 11, len(DATA)):
        assert_refused(
            patch(visitor, url, at, DATA[:5]),
            409,
            "10 bytes of this upload are here, and what came begins elsewhere; ask for its offset, and go on there.",
        )
    assert offset(visitor, url) == 10


def test_bytes_must_be_sent_as_such(visitor: Visitor) -> None:
    url = begun(visitor)
    for kind in (None, "application/octet-stream", "multipart/form-data; boundary=x"):
        assert_refused(patch(visitor, url, 0, DATA, content_type=kind), 415)
    assert_refused(patch(visitor, url, 0, DATA, content_encoding="gzip"), 415)
    assert_refused(ask(visitor, "PATCH", url, DATA), 400)
    assert offset(visitor, url) == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"upload_length": None},
        {"upload_length": "-1"},
        {"upload_length": "1e3"},
        {"upload_length": "١"},
        {"upload_length": "1" * 19},
        {"upload_metadata": "filename ???"},
        {"upload_metadata": "schlüssel eA==,filename YS5wbmc="},
        {"upload_metadata": "filename " + b64encode(b"\xff.png").decode()},
        {"upload_metadata": metadata(filename="a.png", sha256="no digest")},
        {"upload_metadata": metadata(filename="a" * 20_000)},
        {"upload_metadata": None},
        {"upload_metadata": metadata(filename="..")},
        {"upload_concat": "partial"},
        {"upload_defer_length": "1"},
    ],
)
def test_what_cannot_be_understood_begins_nothing(
    visitor: Visitor, tmp_path: Path, headers: dict[str, str | None]
) -> None:
    headers = {key: value.encode().decode("latin-1") if value else value for key, value in headers.items()}
    told = {"upload_length": "9", "upload_metadata": metadata(filename="a.png"), **headers}
    assert_refused(ask(visitor, "POST", "/tus/", **told), 400)
    assert staged(tmp_path) == []
    assert visitor.get("/uploads").get_json() == {"uploads": {}}


def test_name_type_and_size_are_refused_before_a_byte_comes(
    visit: Callable[..., Visitor], tmp_path: Path
) -> None:
    visitor = visit(UPLOADS_TYPES="png,txt", UPLOADS_MAX_FILE_SIZE="1 MB")
    assert_refused(
        create(visitor, filename="a.exe"), 415, ".exe files are not accepted here. Accepted: PNG, text."
    )
    assert_refused(create(visitor, 1_000_001), 413)
    assert_refused(create(visitor, 0), 422)
    assert ask(visitor, "OPTIONS").headers["Tus-Max-Size"] == "1000000"
    assert staged(tmp_path) == []


def test_more_than_was_announced_is_413(visitor: Visitor) -> None:
    url = begun(visitor)
    assert_refused(patch(visitor, url, 0, DATA + b"x"), 413)
    patch(visitor, url, 0, DATA[:10])
    assert_refused(patch(visitor, url, 10, DATA), 413)
    assert offset(visitor, url) == 10


def test_content_is_refused_as_soon_as_its_first_bytes_are_there(visitor: Visitor, tmp_path: Path) -> None:
    url = begun(visitor, 10_000)
    patch(visitor, url, 0, b"MZ" + b"\0" * 500)
    refused = patch(visitor, url, 502, b"\0" * 600)
    assert_refused(refused, 415)
    # From now on, and nothing is kept of it.
    again = patch(visitor, url, 502, b"\0" * 600)
    assert_refused(again, 415, refused.text)
    assert ask(visitor, "HEAD", url).status_code == 410
    assert staged(tmp_path) == []
    state = visitor.get(f"/uploads/{url.rpartition('/')[2]}").get_json()
    assert (state["state"], state["error"]) == ("refused", refused.text)


def test_content_is_checked_as_a_whole_when_all_is_there(visitor: Visitor, tmp_path: Path) -> None:
    url = begun(visitor, 5000, filename="a.json")
    patch(visitor, url, 0, b"[" + b"1," * 1000)
    assert_refused(patch(visitor, url, 2001, b"1," * 1499 + b"}"), 422)
    assert visitor.files() == []
    assert staged(tmp_path) == []


def test_a_refusal_at_the_creation_leaves_nothing(visitor: Visitor, tmp_path: Path) -> None:
    assert_refused(create(visitor, body=EXE * 60, size=9000), 415)
    assert staged(tmp_path) == []
    assert visitor.get("/uploads").get_json() == {"uploads": {}}


def test_a_cut_creation_leaves_nothing_as_nobody_knows_its_address(visitor: Visitor, tmp_path: Path) -> None:
    told = {"upload_length": str(len(DATA)), "upload_metadata": metadata(filename="a.png")}
    ask(visitor, "POST", "/tus/", DATA[:100], length=len(DATA), **told)
    assert staged(tmp_path) == []
    assert visitor.get("/uploads").get_json() == {"uploads": {}}


def test_the_digest_of_the_whole_file_is_compared(visitor: Visitor) -> None:
    good, bad = hashlib.sha256(DATA).hexdigest(), "0" * 64
    begun(visitor, body=DATA, told={"sha256": good.upper()})
    url = begun(visitor, told={"sha256": bad})
    assert_refused(patch(visitor, url, 0, DATA), 422)
    assert len(visitor.files()) == 1


# ---- checksums


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_wrong_checksum_is_460_and_the_same_bytes_may_come_again(
    visitor: Visitor, algorithm: str, tmp_path: Path
) -> None:
    url = begun(visitor)
    first, rest = DATA[:1000], DATA[1000:]
    good = b64encode(hashlib.new(algorithm, first).digest()).decode()
    for wrong in (rest[:1000], first[:-1] + b"?"):
        assert_refused(
            patch(visitor, url, 0, wrong, upload_checksum=f"{algorithm} {good}"),
            460,
            "What arrived is not what its checksum says; send it again.",
        )
        assert offset(visitor, url) == 0
    # A cut one too.
    patch(visitor, url, 0, first[:10], length=1000, upload_checksum=f"{algorithm} {good}")
    assert offset(visitor, url) == 0
    assert patch(visitor, url, 0, first, upload_checksum=f"{algorithm} {good}").status_code == 204
    patch(visitor, url, 1000, rest)
    assert content(tmp_path, visitor.files()[0]) == DATA


@pytest.mark.parametrize("value", ["md5 XrY7u+Ae7tCTyyK7j1rNww==", "sha1", "sha1 ???", "sha1 YQ=="])
def test_an_unknown_checksum_is_400(visitor: Visitor, value: str) -> None:
    url = begun(visitor)
    assert_refused(patch(visitor, url, 0, DATA, upload_checksum=value), 400)
    assert offset(visitor, url) == 0


def test_a_wrong_checksum_at_the_creation_leaves_nothing(visitor: Visitor, tmp_path: Path) -> None:
    digest = b64encode(hashlib.sha1(b"else").digest()).decode()
    assert_refused(create(visitor, body=DATA, upload_checksum=f"sha1 {digest}"), 460)
    assert staged(tmp_path) == []


# ---- termination, expiration


def test_a_terminated_upload_is_gone_with_its_bytes(visitor: Visitor, tmp_path: Path) -> None:
    url = begun(visitor)
    patch(visitor, url, 0, DATA[:1000])
    assert ask(visitor, "DELETE", url).status_code == 204
    assert ask(visitor, "HEAD", url).status_code == 404
    assert_refused(patch(visitor, url, 1000, DATA[1000:]), 404)
    assert_refused(ask(visitor, "DELETE", url), 404)
    assert staged(tmp_path) == []


def test_who_knows_an_address_does_not_delete_the_file_with_it(visitor: Visitor) -> None:
    url = begun(visitor, body=DATA)
    assert_refused(ask(visitor, "DELETE", url), 403)
    [file] = visitor.files()
    visitor.delete(f"/files/{file['id']}")
    assert ask(visitor, "HEAD", url).status_code == 410


def test_the_owner_cancels_it_as_any_unfinished_upload(visitor: Visitor, tmp_path: Path) -> None:
    url = begun(visitor, told={"path": "holiday"})
    patch(visitor, url, 0, DATA[:1000])
    uuid = url.rpartition("/")[2]
    [state] = visitor.get("/uploads").get_json()["uploads"].values()
    assert (state["state"], state["filename"], state["path"]) == ("receiving", "a.png", "holiday")
    assert state["ranges"] == [[0, 1000]]
    assert visitor.delete(f"/uploads/{uuid}").status_code == 204
    assert ask(visitor, "HEAD", url).status_code == 404
    assert staged(tmp_path) == []


def test_it_is_told_when_an_upload_expires(visit: Callable[..., Visitor]) -> None:
    visitor = visit(UPLOADS_SWEEP_AGE=3600)
    answer = create(visitor)
    first = parse_date(answer.headers["Upload-Expires"])
    created = parse_date(answer.headers["Date"]) if "Date" in answer.headers else None
    url = answer.headers["Location"]
    answer = patch(visitor, url, 0, DATA[:10])
    later = parse_date(answer.headers["Upload-Expires"])
    assert first and later and later >= first
    assert created is None or 3590 <= (first - created).total_seconds() <= 3610
    assert parse_date(ask(visitor, "HEAD", url).headers["Upload-Expires"]) == later


def test_an_expired_upload_is_swept(visitor: Visitor, tmp_path: Path) -> None:
    url = begun(visitor)
    patch(visitor, url, 0, DATA[:1000])
    visitor.app.test_cli_runner().invoke(args=["uploads", "sweep", "--age", "0"])
    assert ask(visitor, "HEAD", url).status_code == 404
    assert staged(tmp_path) == []


# ---- whose


def test_another_site_begins_goes_on_and_ends_nothing(visitor: Visitor) -> None:
    url = begun(visitor)
    for headers in ({"origin": "https://evil.example"}, {"sec_fetch_site": "cross-site"}):
        assert_refused(create(visitor, **headers), 403)
        assert_refused(patch(visitor, url, 0, DATA, **headers), 403)
        assert_refused(ask(visitor, "DELETE", url, **headers), 403)
    assert offset(visitor, url) == 0


def test_an_upload_in_chunks_has_no_address_here(visitor: Visitor) -> None:
    fields = {"dzuuid": "u", "dzchunkindex": 0, "dztotalfilesize": len(DATA), "dzchunksize": 1000}
    fields |= {"dztotalchunkcount": -(-len(DATA) // 1000), "dzchunkbyteoffset": 0}
    items = [(name, str(value)) for name, value in fields.items()]
    assert visitor.upload(*items, ("file", "a.png", DATA[:1000])).status_code == 202
    records: Records = visitor.app.extensions["uploads"].records
    [upload] = records.unfinished.idle(1 << 62)
    assert ask(visitor, "HEAD", f"/tus/{upload.id}").status_code == 404


def test_chunks_do_not_mix_with_it(visitor: Visitor) -> None:
    url = begun(visitor)
    patch(visitor, url, 0, DATA[:1000])
    fields = {"dzuuid": url.rpartition("/")[2], "dzchunkindex": 0, "dztotalfilesize": len(DATA)}
    fields |= {"dzchunksize": len(DATA), "dztotalchunkcount": 1, "dzchunkbyteoffset": 0}
    items = [(name, str(value)) for name, value in fields.items()]
    assert_refused(visitor.upload(*items, ("file", "a.png", DATA)), 409)
    assert offset(visitor, url) == 1000


@pytest.mark.parametrize("id", ["x", "0" * 32, "%00" * 32, "é" * 32, "a/b"])
def test_an_address_that_nobody_was_given_is_404(visitor: Visitor, id: str) -> None:
    assert ask(visitor, "HEAD", f"/tus/{id}").status_code == 404
    assert_refused(patch(visitor, f"/tus/{id}", 0, b"x"), 404)


def test_methods_may_be_named_in_a_header(visitor: Visitor) -> None:
    url = begun(visitor)
    answer = ask(
        visitor,
        "POST",
        url,
        DATA[:10],
        x_http_method_override="PATCH",
        upload_offset="0",
    )
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "10")
    assert ask(visitor, "POST", url, x_http_method_override="DELETE").status_code == 204
    assert ask(visitor, "HEAD", url).status_code == 404
    assert_refused(ask(visitor, "POST", url, x_http_method_override="TRACE"), 405)
    assert_refused(ask(visitor, "POST", x_http_method_override="DELETE"), 404)


def test_where_the_app_knows_who_asks_only_they_begin_an_upload_and_go_on_with_it(tmp_path: Path) -> None:
    app = Flask("host")
    app.config.from_mapping(
        SECRET_KEY="s",
        UPLOADS_STORAGE=f"file:{tmp_path / 'uploads'}",
        UPLOADS_DATABASE=database_url(tmp_path),
    )
    user: list[str | None] = ["ann"]
    Uploads(app, UploadSet("photos", IMAGES), url_prefix="/in", owner=lambda: user[0])
    visitor = Visitor(app, "/in")
    url = begun(visitor)
    user[0] = None
    assert_refused(create(visitor), 401)
    assert_refused(patch(visitor, url, 0, DATA), 401)
    user[0] = "bob"
    assert_refused(patch(visitor, url, 0, DATA), 404)
    user[0] = "ann"
    assert patch(visitor, url, 0, DATA).status_code == 204
    assert len(visitor.files()) == 1


# ---- when something fails


def test_a_commit_that_fails_lets_the_last_bytes_come_again(
    visitor: Visitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = begun(visitor)
    patch(visitor, url, 0, DATA[:1000])
    with monkeypatch.context() as broken:
        broken.setattr(Records, "store", fail_database)
        assert_refused(patch(visitor, url, 1000, DATA[1000:]), 503)
    assert offset(visitor, url) == 1000
    assert patch(visitor, url, 1000, DATA[1000:]).status_code == 204
    assert content(tmp_path, visitor.files()[0]) == DATA


def fail_database(*_: object, **__: object) -> None:
    raise OperationalError("", None, Exception())


def test_an_empty_file_that_cannot_be_stored_was_never_begun(
    visitor: Visitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Records, "store", fail_database)
        assert_refused(create(visitor, 0, filename="a.txt"), 503)
    assert visitor.get("/uploads").get_json() == {"uploads": {}}
    assert staged(tmp_path) == []


def test_a_full_disk_is_507_and_works_again_when_there_is_room(
    visitor: Visitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "no space")

    url = begun(visitor)
    patch(visitor, url, 0, DATA[:1000])
    with monkeypatch.context() as broken:
        broken.setattr(ChunkWriter, "write", full)
        assert_refused(patch(visitor, url, 1000, DATA[1000:]), 507)
    assert offset(visitor, url) == 1000
    assert patch(visitor, url, 1000, DATA[1000:]).status_code == 204
    assert content(tmp_path, visitor.files()[0]) == DATA


def test_bytes_that_somebody_has_cleared_away_are_told_and_begun_again(
    visitor: Visitor, tmp_path: Path
) -> None:
    url = begun(visitor)
    patch(visitor, url, 0, DATA[:1000])
    for name in staged(tmp_path):
        (tmp_path / "uploads" / ".staging" / name).unlink()
    # 409: a client asks for the offset again, and is told that there is no such upload.
    assert_refused(patch(visitor, url, 1000, DATA[1000:]), 409)
    assert ask(visitor, "HEAD", url).status_code == 404


def test_a_server_that_dies_after_the_commit_still_knows_the_file(
    visit: Callable[..., Visitor], visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = begun(visitor)
    with monkeypatch.context() as dying:
        # What comes after the commit never comes.
        dying.setattr(UnfinishedUploads, "store_as", fail_database)
        dying.setattr(ChunkFolder, "drop", lambda *_: None)
        assert patch(visitor, url, 0, DATA).status_code == 204
    monkeypatch.setattr("dropzone_app.records.unfinished.is_alive", lambda *_: False)
    again = visit()
    assert offset(again, url) == len(DATA)
    assert len(visitor.files()) == 1


def test_of_two_that_go_on_at_once_one_does(visitor: Visitor, tmp_path: Path) -> None:
    url = begun(visitor)
    answers: list[TestResponse] = []

    def other() -> None:
        answers.append(patch(visitor, url, 0, DATA[:2000]))

    late = patch(visitor, url, 0, Stuck(DATA[:1000], other), length=len(DATA))
    assert answers[0].status_code == 204
    assert_refused(late, 409)
    assert offset(visitor, url) == 2000
    patch(visitor, url, 2000, DATA[2000:])
    assert content(tmp_path, visitor.files()[0]) == DATA


def test_two_versions_are_never_mixed(visitor: Visitor, tmp_path: Path) -> None:
    url = begun(visitor)

    def other() -> None:
        patch(visitor, url, 0, DATA[:2000])

    class Late(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            # It goes on with other bytes when the other one's are there.
            if self.tell() == 1000:
                other()
            return super().read(1000)

    body = DATA[:1000] + b"?" * 500
    answer = patch(visitor, url, 0, Late(body), length=len(body))
    assert_refused(answer, 409)
    assert_refused(patch(visitor, url, 2000, DATA[2000:]), 422)
    assert visitor.files() == []
    assert staged(tmp_path) == []
