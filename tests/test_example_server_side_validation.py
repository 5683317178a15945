"""The example `server-side-validation` over HTTP: one URL, and the sentence of a check of its own."""

from collections.abc import Callable

import pytest
from example_apps import EXAMPLES, Person, flask_run, lines_of_code, stored_in
from support import LiveServer
from webclient import EXE, PNG


@pytest.fixture
def example(live_server: Callable[..., LiveServer]) -> LiveServer:
    return live_server(command=flask_run(EXAMPLES / "server-side-validation" / "app.py"))


def test_the_example_is_short() -> None:
    assert lines_of_code("server-side-validation") < 40


@pytest.mark.parametrize("filename", ["a.txt", "x.png.exe", "png", "no dot at all", ".png"])
def test_what_is_no_png_by_its_name_is_refused_in_its_own_words(example: LiveServer, filename: str) -> None:
    answer = Person(example.url).upload("/", "/", ("file", filename, b"a"))
    assert (answer.status, answer.text) == (400, "PNG only!")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert stored_in(example.folder) == []


@pytest.mark.parametrize("filename", ["a.png", "a.b.png", "A.PNG"])
def test_a_png_is_stored_by_the_url_that_shows_the_page(example: LiveServer, filename: str) -> None:
    person = Person(example.url)
    answer = person.upload("/", "/", ("file", filename, PNG))
    assert (answer.status, answer.json()["files"][0]["filename"]) == (201, filename)
    assert stored_in(example.folder) == [f"pictures/{filename}"]


def test_a_program_that_is_named_png_is_refused(example: LiveServer) -> None:
    answer = Person(example.url).upload("/", "/", ("file", "a.png", EXE))
    assert answer.status == 415
    assert answer.text.startswith("The file is named .png, but its content is a Windows program")


def test_without_a_token_or_without_a_file_nothing_happens(example: LiveServer) -> None:
    person = Person(example.url)
    assert person.post("/", ("file", "a.png", PNG)).status == 400
    answer = person.upload("/", "/", ("file", "", b""))
    assert (answer.status, answer.text) == (
        400,
        "No file arrived, or the upload was cut off; send the files again.",
    )
    assert stored_in(example.folder) == []
