"""The code in the README works as it is pasted."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from corpus.samples import SAMPLES
from example_apps import Person, flask_run, stored_in
from flask import Flask, render_template_string, request
from flask_wtf.csrf import CSRFProtect
from support import LiveServer, require
from webclient import EXE, PNG, Visitor, encode

from dropzone_app import Uploads

README = (Path(__file__).parents[1] / "README.md").read_text()
JPEG = SAMPLES["jpg"]


def blocks(heading: str) -> list[str]:
    """The Python blocks from this heading to the next of its rank."""
    rank = heading.partition(" ")[0]
    _, found, rest = README.partition(f"\n{heading}\n")
    assert found, f"no section {heading}"
    section = rest.partition(f"\n{rank} ")[0]
    return re.findall("^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)


@contextmanager
def pasted(folder: Path, code: str, **names: Any) -> Iterator[dict[str, Any]]:
    """What this code defines, in an app that keeps its data in `folder`."""
    app = Flask("pasted")
    app.config.update(
        SECRET_KEY="x",
        UPLOADS_STORAGE=f"file:{folder / 'uploads'}",
        UPLOADS_DATABASE=f"sqlite:///{folder / 'app.sqlite'}",
    )
    space: dict[str, Any] = {"__name__": "pasted", "app": app, **names}
    exec(code, space)
    yield space
    app.extensions["uploads"].records.close()


def test_ten_lines_in_an_empty_file_are_an_app(
    live_server: Callable[..., LiveServer], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("empty")
    code = blocks("## In your own app")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    assert "start it with `flask --app app.py run`" in README
    (folder / "app.py").write_text(code)
    server = live_server(folder=folder, command=flask_run(Path("app.py")))
    person = Person(server.url)
    page = person.get("/").text
    action = re.search('<form [^>]*action="([^"]+)"', page)
    assert action
    answer = person.upload("/", action[1], ("file[0]", "a.png", PNG), ("file[1]", "写真.jpg", JPEG))
    assert (answer.status, answer.json()["success"]) == (201, True)
    assert stored_in(folder) == ["photos/a.png", "photos/写真.jpg"]
    assert {file["filename"] for file in person.files()} == {"a.png", "写真.jpg"}
    for source in re.findall('(?:src|href)="([^"]+)"', page):
        assert person.get(source).status == 200, source
    refused = person.upload("/", action[1], ("file", "x.exe", EXE))
    assert refused.text.startswith(".exe files are not accepted here.")


def test_the_check_refuses_in_its_own_words(tmp_path: Path) -> None:
    (code,) = blocks("### Upload sets")
    with pasted(tmp_path, code) as names:
        Uploads(names["app"], names["photos"])
        visitor = Visitor(names["app"])
        refused = visitor.upload(("file", "a.jpg", JPEG))
        assert (refused.status_code, refused.text) == (400, "PNG only!")
        assert len(visitor.store(("file", "a.png", PNG))) == 1


def test_a_view_of_ones_own_receives_what_its_zone_sends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (check,) = blocks("### Upload sets")
    (view,) = blocks("### A view of your own")
    given = "csrf = CSRFProtect(app)\nuploads = Uploads(app, photos)\n"
    names = {
        "CSRFProtect": CSRFProtect,
        "Uploads": Uploads,
        "render_template_string": render_template_string,
        "request": request,
    }
    with pasted(tmp_path, check + given + view, **names) as space:
        visitor = Visitor(space["app"])
        page = visitor.get("/album").text
        assert 'action="/album"' in page
        field = re.search('type="file" name="([^"]+)"', page)
        assert field
        body = encode((f"{field[1]}[0]", "a.png", PNG), (f"{field[1]}[1]", "b.jpg", JPEG))
        assert visitor.post(body, "/album").status_code == 400
        answer = visitor.post(body, "/album", {"X-CSRFToken": visitor.token()})
    assert answer.text == 'file[1] "b.jpg": PNG only!\nThe other file was stored.'
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("a.png Record(") and printed[1:] == ["b.jpg PNG only!"]


def test_the_lines_of_curl_upload_two_files(live_server: Callable[..., LiveServer], tmp_path: Path) -> None:
    require("curl")
    lines = re.search("\nWith curl:\n\n((?:    .*\n)+)", README)
    assert lines
    server = live_server()
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"I am {name}")
    script = lines[1].replace("http://127.0.0.1:5000", server.url)
    assert script.count(server.url) == 2
    shell = shutil.which("sh")
    assert shell
    done = subprocess.run([shell, "-ec", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert '"success":true' in done.stdout, done.stderr + done.stdout
    assert stored_in(server.folder) == ["a.txt", "b.txt"]
    assert (server.folder / "uploads/b.txt").read_text() == "I am b.txt"
