"""The example `csrf` over HTTP: no upload without a good token, and a sentence for each way to lack one."""

import time
from collections.abc import Callable

import pytest
from example_apps import EXAMPLES, Person, flask_run, lines_of_code, stored_in
from support import LiveServer
from webclient import PNG

APP = EXAMPLES / "csrf" / "app.py"
FILE = ("file", "a.png", PNG)


@pytest.fixture
def example(live_server: Callable[..., LiveServer]) -> LiveServer:
    return live_server(command=flask_run(APP))


def token(person: Person) -> str:
    found: str = person.get("/csrf-token").json()["csrf_token"]
    return found


def test_the_example_is_short() -> None:
    assert lines_of_code("csrf") < 40


@pytest.mark.parametrize("header", ["X-CSRFToken", "X-CSRF-Token"])
def test_a_good_token_in_a_header_uploads(example: LiveServer, header: str) -> None:
    person = Person(example.url)
    assert person.post("/upload", FILE, headers={header: token(person)}).status == 201
    assert stored_in(example.folder) == ["files/a.png"]


@pytest.mark.parametrize(
    ("headers", "status", "sentence"),
    [
        ({}, 400, "The CSRF token is missing; reload the page and try again."),
        (
            {"X-CSRFToken": "made up"},
            400,
            "The CSRF token is not valid for this session; reload the page and try again.",
        ),
        (
            {"X-CSRFToken": "STRANGER"},
            400,
            "The CSRF token is not valid for this session; reload the page and try again.",
        ),
        (
            {"X-CSRFToken": "GOOD", "Origin": "https://elsewhere.example"},
            403,
            "Uploads from another site (https://elsewhere.example) are not accepted; open the upload page itself.",
        ),
    ],
)
def test_without_a_good_token_nothing_is_stored(
    example: LiveServer, headers: dict[str, str], status: int, sentence: str
) -> None:
    person = Person(example.url)
    tokens = {"GOOD": token(person), "STRANGER": token(Person(example.url))}
    answer = person.post("/upload", FILE, headers={name: tokens.get(v, v) for name, v in headers.items()})
    assert (answer.status, answer.headers.get_content_type()) == (status, "text/plain")
    assert answer.text == sentence
    assert stored_in(example.folder) == []


def test_a_token_expires(live_server: Callable[..., LiveServer]) -> None:
    example = live_server(command=flask_run(APP), env={"FLASK_WTF_CSRF_TIME_LIMIT": "1"})
    person = Person(example.url)
    old = token(person)
    time.sleep(2.1)
    answer = person.post("/upload", FILE, headers={"X-CSRFToken": old})
    assert answer.text == "The CSRF token has expired; reload the page and try again."
    assert person.post("/upload", FILE, headers={"X-CSRFToken": token(person)}).status == 201
