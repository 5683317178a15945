"""The app as it comes, with its files in S3: everything a person does, over HTTP."""

import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
from core import make_app
from engines.rgw import RADOSGateway
from example_apps import Person
from pictures import jpeg
from support import LiveServer
from webclient import PDF, PNG, Visitor, assert_refused, visiting

from dropzone_app import UploadSet
from dropzone_app.storage.s3 import PART


def test_a_person_sends_lists_reads_and_deletes(
    rgw: RADOSGateway, live_server: Callable[..., LiveServer]
) -> None:
    url = rgw.empty()
    server = live_server(workers=2, env={"FLASK_UPLOADS_STORAGE": url})
    person = Person(server.url)
    assert person.get("/").status == 200
    log, photo = os.urandom(PART // 2 + 1000).hex().encode(), jpeg()
    answer = person.upload(
        "/",
        "/upload",
        ("file[0]", "写真.jpg", photo),
        ("file[1]", "log.txt", log),
        ("file[2]", "a.png", PNG),
        ("file[3]", "a.png", b"no picture"),
        ("file[4]", "a.png", PNG),
    )
    assert answer.status == 415
    assert answer.text.endswith("The other 4 files were stored.")
    files = {file["key"]: file for file in person.files()}
    (key,) = (key for key in files if key.startswith("log_"))
    assert sorted(files) == ["a.png", "a_1.png", key, "写真.jpg"]
    assert rgw.lying(url) == {file["key"]: file["size"] for file in files.values()} | {".staging/check": 0}

    whole = person.get(files[key]["url"])
    assert whole.body == log
    assert whole.headers["Content-Security-Policy"].startswith("default-src 'none'")
    some = person.get(files[key]["url"], {"Range": "bytes=1000000-1000999"})
    assert (some.status, some.body) == (206, log[1_000_000:1_001_000])
    assert person.get(files[key]["url"], {"Range": "bytes=-5"}).body == log[-5:]
    assert person.get(files["写真.jpg"]["thumbnail"]).headers["Content-Type"] == "image/webp"
    assert [kept for kept in rgw.lying(url) if kept.startswith(".thumbnails/")] != []
    assert Person(server.url).get(files[key]["url"]).status == 404

    for file in files.values():
        request = urllib.request.Request(
            urljoin(server.url, f"/files/{file['id']}"),
            method="DELETE",
            headers={"X-CSRFToken": person.token("/")},
        )
        with person._opener.open(request) as done:
            assert done.status == 204
    assert person.files() == []
    assert rgw.lying(url) == {".staging/check": 0}
    staged = server.folder / "instance" / ".staging"
    assert os.listdir(staged) == []


@pytest.fixture
def visit(rgw: RADOSGateway, tmp_path: Path) -> Iterator[Callable[..., Visitor]]:
    """A visitor of an app with its files in a new place: `visit(timeout="1")`, options being those of `s3://`."""
    with visiting(tmp_path) as start:

        def one(**options: str) -> Visitor:
            return start(UPLOADS_STORAGE=rgw.empty(**options), UPLOADS_STAGING=str(tmp_path / "staging"))

        yield one


def test_a_file_in_chunks_ends_in_the_store(visit: Callable[..., Visitor]) -> None:
    visitor, content = visit(), os.urandom(125_000).hex().encode()
    size = len(content)
    for index in range(3):
        start = index * 100_000
        fields = {
            "dzuuid": "u1",
            "dzchunkindex": index,
            "dztotalfilesize": size,
            "dzchunksize": 100_000,
            "dztotalchunkcount": 3,
            "dzchunkbyteoffset": start,
        }
        answer = visitor.upload(
            *((name, str(value)) for name, value in fields.items()),
            ("file", "a.txt", content[start : start + 100_000]),
        )
        assert answer.status_code == (201 if index == 2 else 202), answer.text
    (file,) = visitor.files()
    assert visitor.get(file["url"]).data == content


def test_a_presigned_download_is_a_redirect_for_the_owner_alone(visit: Callable[..., Visitor]) -> None:
    visitor = visit(presigned="true")
    pdf, text = visitor.store(("file[0]", "Ф.pdf", PDF), ("file[1]", "a.txt", b"hello"))
    for file, kind in ((pdf, "inline"), (text, "attachment")):
        answer = visitor.get(file["url"])
        assert answer.status_code == 302
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert "Set-Cookie" not in answer.headers
        with urllib.request.urlopen(answer.location) as found:
            assert found.headers["Content-Disposition"].startswith(f"{kind}; filename=")
            assert found.headers["Content-Type"] == file["type"]
    assert Visitor(visitor.app).get(text["url"]).status_code == 404
    assert visitor.delete(f"/files/{text['id']}").status_code == 204
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(answer.location)


def test_a_store_that_is_down_is_one_sentence_and_nothing_is_recorded(
    visit: Callable[..., Visitor], rgw: RADOSGateway, caplog: pytest.LogCaptureFixture
) -> None:
    visitor = visit(timeout="1")
    (before,) = visitor.store(("file", "a.png", PNG))
    rgw.kill_gateway()
    try:
        sentence = "The server cannot store files at the moment, and nothing was stored; try again later."
        assert_refused(visitor.upload(("file", "b.png", PNG), ("uuid", "u")), 503, sentence)
        assert_refused(visitor.get(before["url"]), 503)
        assert_refused(visitor.get("/healthz"), 503)
        assert [file["id"] for file in visitor.files()] == [before["id"]], "the list needs no store"
    finally:
        rgw.start_gateway()
    assert "testsecret" not in caplog.text
    assert visitor.get("/healthz").status_code == 200
    assert visitor.get(before["url"]).data == PNG
    (after,) = visitor.store(("file", "b.png", PNG), ("uuid", "u"))
    assert len(visitor.files()) == 2
    assert visitor.get(after["url"]).data == PNG


def test_a_set_may_have_a_bucket_of_its_own(rgw: RADOSGateway, tmp_path: Path, database: str) -> None:
    url = rgw.empty()
    app = make_app(
        tmp_path,
        UploadSet("here", ["txt"]),
        UploadSet("there", ["txt"], storage=url),
        UPLOADS_STAGING=str(tmp_path / "staging"),
        WTF_CSRF_ENABLED=True,
    )
    visitor = Visitor(app)
    for name in ("here", "there"):
        visitor.store(("file", "a.txt", b"hello"), path=f"/upload/{name}")
    assert rgw.lying(url) == {"there/a.txt": 5}
    assert (tmp_path / "uploads" / "here" / "a.txt").read_bytes() == b"hello"
    for file in visitor.files():
        assert visitor.get(file["url"]).data == b"hello"
        assert visitor.delete(f"/files/{file['id']}").status_code == 204
    assert rgw.lying(url) == {}
