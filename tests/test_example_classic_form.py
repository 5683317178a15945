"""The example `classic-form` over HTTP: one URL, four checks, and nothing trusted that the client says."""

from collections.abc import Callable

import pytest
from example_apps import EXAMPLES, Person, flask_run, lines_of_code, stored_in
from support import LiveServer
from webclient import EXE, PNG

LIMIT = 512 * 1024
FORM = {"Accept": "text/html"}


@pytest.fixture
def example(live_server: Callable[..., LiveServer]) -> LiveServer:
    return live_server(command=flask_run(EXAMPLES / "classic-form" / "app.py"))


def padded(size: int) -> bytes:
    return PNG + bytes(size - len(PNG))


def test_the_example_is_short() -> None:
    assert lines_of_code("classic-form") < 40


def test_a_picture_is_taken_by_the_url_that_shows_the_form(example: LiveServer) -> None:
    person = Person(example.url)
    form = person.get("/upload")
    assert '<form action="/upload" method="post" enctype="multipart/form-data">' in form.text
    assert "unsafe" not in form.headers["Content-Security-Policy"]
    result = person.post(
        "/upload", ("csrf_token", person.token("/upload")), ("image", "a.png", PNG), headers=FORM
    )
    assert (result.status, result.headers.get_content_type()) == (200, "text/html")
    assert "The file was stored" in result.text
    assert person.get(person.files()[0]["url"]).body == PNG
    assert stored_in(example.folder) == ["images/a.png"]


@pytest.mark.parametrize(
    ("filename", "content", "status", "sentence"),
    [
        ("", b"", 400, "No file arrived, or the upload was cut off; send the files again."),
        ("...", PNG, 400, "The file has no usable name; rename it and send it again."),
        ("a.gif", b"GIF89a", 415, ".gif files are not accepted here. Accepted: JPEG, PNG."),
        ("x.png.exe", EXE, 415, ".exe files are not accepted here. Accepted: JPEG, PNG."),
        ("png", PNG, 415, "Files without an extension are not accepted here. Accepted: JPEG, PNG."),
        ("a.png", padded(LIMIT + 100_000), 413, "The file is 624 KB; the limit is 524 KB."),
        ("a.png", padded(LIMIT + 1), 413, "The file is 524,289 bytes; the limit is 524,288 bytes."),
    ],
)
def test_what_a_check_refuses_is_a_sentence_and_not_stored(
    example: LiveServer, filename: str, content: bytes, status: int, sentence: str
) -> None:
    person = Person(example.url)
    answer = person.upload("/upload", "/upload", ("image", filename, content))
    assert (answer.status, answer.text) == (status, sentence)
    assert stored_in(example.folder) == []


def test_a_picture_of_just_the_limit_is_taken(example: LiveServer) -> None:
    answer = Person(example.url).upload("/upload", "/upload", ("image", "a.PNG", padded(LIMIT)))
    assert answer.status == 201
    assert answer.json()["files"][0]["size"] == LIMIT


def test_a_name_is_no_path_and_never_overwrites_another_file(example: LiveServer) -> None:
    person = Person(example.url)
    for name, content in [("../../x.png", PNG), ("x.png", PNG + b"2"), ("写真.png", PNG)]:
        assert person.upload("/upload", "/upload", ("image", name, content)).status == 201
    assert stored_in(example.folder) == ["images/x.png", "images/x_1.png", "images/写真.png"]
    assert (example.folder / "uploads/images/x.png").read_bytes() == PNG


def test_another_sites_form_has_no_token(example: LiveServer) -> None:
    person = Person(example.url)
    person.get("/upload")
    answer = person.post("/upload", ("image", "a.png", PNG), headers=FORM)
    assert (answer.status, answer.text) == (
        400,
        "The CSRF token is missing; reload the page and try again.",
    )
    assert stored_in(example.folder) == []
