"""`flask uploads`: what an operator asks."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from core import site_of
from webclient import PNG, Visitor, visiting

# Each runs on each database.
pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def visitor(tmp_path: Path) -> Iterator[Visitor]:
    with visiting(tmp_path) as visit:
        yield visit()


def run(visitor: Visitor, *arguments: str) -> Result:
    return visitor.app.test_cli_runner().invoke(args=["uploads", *arguments])


def test_the_list_as_json_is_every_file_of_every_owner_newest_first(visitor: Visitor) -> None:
    mine = visitor.store(("path", "trip"), ("file", "Фото.png", PNG))
    theirs = Visitor(visitor.app).store(("file", "Фото.png", PNG))
    result = run(visitor, "list", "--format", "json")
    assert result.exit_code == 0
    assert json.loads(result.output) == {"files": theirs + mine}
    assert {file["key"] for file in mine + theirs} == {"Фото.png", "Фото_1.png"}


def test_the_list_is_whole_however_long(visitor: Visitor) -> None:
    for batch in range(11):
        visitor.store(*((f"file[{n}]", f"{batch}-{n}.txt", b"x") for n in range(100)))
    files = json.loads(run(visitor, "list", "--format", "json").output)["files"]
    assert len({file["id"] for file in files}) == 1100


def test_an_empty_list_is_still_json(visitor: Visitor) -> None:
    assert json.loads(run(visitor, "list", "--format", "json").output) == {"files": []}
    assert run(visitor, "list").output == ""


def test_the_list_for_people_has_a_line_for_each_file(visitor: Visitor) -> None:
    files = visitor.store(("file[0]", "a.png", PNG), ("file[1]", "b.txt", b"x" * 12_100))
    lines = run(visitor, "list").output.splitlines()
    assert [line.split("  ")[0] for line in lines] == [file["id"] for file in reversed(files)]
    assert lines[0].endswith("12.1 KB  b.txt")


def test_deleted_files_are_not_listed(visitor: Visitor) -> None:
    (file,) = visitor.store(("file", "a.png", PNG))
    visitor.delete(f"/files/{file['id']}")
    assert run(visitor, "list").output == ""


def test_the_sweep_removes_thumbnails_without_a_file_and_can_only_tell(visitor: Visitor) -> None:
    (file,) = visitor.store(("file", "a.png", PNG))
    assert visitor.get(file["thumbnail"]).status_code == 200
    folder = site_of(visitor.app).storage.root / ".thumbnails"  # type: ignore[attr-defined]
    (folder / ("0" * 32)).write_bytes(b"orphan")
    assert run(visitor, "sweep", "--dry-run").output.startswith("Would remove: thumbnail without a file")
    assert len(os.listdir(folder)) == 2
    assert run(visitor, "sweep").output.startswith("Removed: thumbnail without a file")
    assert os.listdir(folder) == [file["id"]]
    assert run(visitor, "sweep").output == "0 removed (0 bytes), 0 left alone.\n"


def test_an_unknown_format_is_refused(visitor: Visitor) -> None:
    assert run(visitor, "list", "--format", "xml").exit_code == 2


def test_the_command_works_from_the_folder_alone(tmp_path: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FLASK_")}
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "dropzone_app", "uploads", "list", "--format", "json"],
        cwd=tmp_path,
        env=inherited,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"files": []}
