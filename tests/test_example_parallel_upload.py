"""The example `parallel-upload` over HTTP: page and upload on one URL, and a verdict for every part of a request."""

import json
import re
from collections.abc import Callable

import pytest
from example_apps import EXAMPLES, Person, flask_run, lines_of_code, stored_in
from support import LiveServer
from webclient import PNG


@pytest.fixture
def example(live_server: Callable[..., LiveServer]) -> LiveServer:
    return live_server(command=flask_run(EXAMPLES / "parallel-upload" / "app.py"))


def test_the_example_is_short() -> None:
    assert lines_of_code("parallel-upload") < 40


def test_the_page_sends_three_files_a_request_to_its_own_url(example: LiveServer) -> None:
    person = Person(example.url)
    page = person.get("/upload").text
    assert re.search('<form action="/upload" method="post" class="dropzone"', page)
    assert re.search(r"uploadMultiple: true,\s+parallelUploads: 3,", page)
    found = re.search(r'"X-CSRF-Token": (".+?")', page)
    assert found
    parts = [(f"file[{index}]", f"{index}.png", PNG) for index in range(3)]
    answer = person.post("/upload", *parts, headers={"X-CSRF-Token": json.loads(found[1])})
    assert [file["filename"] for file in answer.json()["files"]] == ["0.png", "1.png", "2.png"]
    assert stored_in(example.folder) == ["photos/0.png", "photos/1.png", "photos/2.png"]


def test_a_bad_part_does_not_fail_its_neighbours(example: LiveServer) -> None:
    person = Person(example.url)
    token = person.get("/csrf-token").json()["csrf_token"]
    parts = [("file[0]", "a.png", PNG), ("file[1]", "../b.exe", b"MZ"), ("file[2]", "../../c.png", PNG)]
    answer = person.post("/upload", *parts, headers={"X-CSRF-Token": token})
    assert (answer.status, answer.headers.get_content_type()) == (415, "text/plain")
    assert answer.text.startswith('file[1] "b.exe": .exe files are not accepted here. Accepted: JPEG, PNG')
    assert answer.text.endswith("\nThe other 2 files were stored.")
    assert stored_in(example.folder) == ["photos/a.png", "photos/c.png"]
