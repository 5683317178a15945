"""The example `drag-and-drop` over HTTP: one file a request, named by the moment it came, never over another."""

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from corpus.samples import SAMPLES
from example_apps import EXAMPLES, Person, flask_run, lines_of_code, stored_in
from flask.cli import ScriptInfo
from support import LiveServer
from webclient import EXE, PDF, PNG, Visitor

import dropzone_app.uploads

APP = EXAMPLES / "drag-and-drop" / "app.py"


@pytest.fixture
def example(live_server: Callable[..., LiveServer]) -> LiveServer:
    return live_server(command=flask_run(APP))


def test_the_example_is_short() -> None:
    assert lines_of_code("drag-and-drop") < 40


@pytest.mark.parametrize("key", ["file", "file[0]"])
def test_a_file_is_stored_by_the_time_and_keeps_its_name_for_people(example: LiveServer, key: str) -> None:
    person = Person(example.url)
    before = datetime.now(UTC)
    answer = person.upload("/", "/upload", (key, "IMG_1.JPEG", SAMPLES["jpg"]))
    assert (answer.status, answer.json()["success"]) == (201, True)
    (name,) = stored_in(example.folder)
    stamp = datetime.strptime(name, "%Y-%m-%d-%H-%M-%S-%f.jpeg").replace(tzinfo=UTC)
    assert before <= stamp <= datetime.now(UTC)
    assert [file["filename"] for file in person.files()] == ["IMG_1.JPEG"]


def test_the_page_is_at_the_address_of_the_upload_too(example: LiveServer) -> None:
    person = Person(example.url)
    page = person.get("/upload")
    assert (
        '<form class="dropzone uploads-zone" id="uploads-files" action="/upload" method="post"' in page.text
    )
    assert "unsafe" not in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("filename", "content", "status", "sentence"),
    [
        (
            "notes.exe",
            EXE,
            415,
            ".exe files are not accepted here. Accepted: text, PDF, PNG, JPEG, GIF.",
        ),
        ("a.png", PNG + bytes(5_200_000), 413, "The file is 5.2 MB; the limit is 5 MB."),
        ("txt", b"a", 415, "Files without an extension are not accepted here."),
        ("a.pdf", PNG, 415, "The file is named .pdf, but its content is a PNG image, not a PDF"),
    ],
)
def test_a_refusal_is_a_readable_sentence(
    example: LiveServer, filename: str, content: bytes, status: int, sentence: str
) -> None:
    answer = Person(example.url).upload("/", "/upload", ("file", filename, content))
    assert (answer.status, answer.headers.get_content_type()) == (status, "text/plain")
    assert answer.text.startswith(sentence)
    assert stored_in(example.folder) == []


def test_two_files_do_not_fit_into_one_request(example: LiveServer) -> None:
    answer = Person(example.url).upload("/", "/upload", ("file", "a.pdf", PDF), ("file", "b.pdf", PDF))
    assert (answer.status, answer.text) == (
        413,
        "Too many files in one request: the limit is 1, and nothing was stored; send fewer at a time.",
    )
    assert stored_in(example.folder) == []


def test_files_of_one_microsecond_are_as_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class StoppedClock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "StoppedClock":
            return cls(2013, 6, 26, 15, 17, 0, 123, UTC)

    monkeypatch.setattr(dropzone_app.uploads, "datetime", StoppedClock)
    monkeypatch.chdir(tmp_path)
    app = ScriptInfo(app_import_path=str(APP)).load_app()
    answers: list[int] = []

    def upload(number: int) -> None:
        answer = Visitor(app).upload(("file", "IMG_1.txt", b"%d" % number))
        answers.append(answer.status_code)

    threads = [threading.Thread(target=upload, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    app.extensions["uploads"].records.close()
    assert answers == [201] * 8
    names = stored_in(tmp_path)
    assert len(names) == 8
    assert all(re.fullmatch(r"2013-06-26-15-17-00-000123(_\d+)?\.txt", name) for name in names)
    assert sorted((tmp_path / "uploads" / name).read_bytes() for name in names) == [
        b"%d" % n for n in range(8)
    ]
