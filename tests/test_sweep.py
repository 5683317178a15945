"""What was abandoned goes, what is alive stays, and what is not understood is only told."""

import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from core import database_url
from support import LiveServer
from test_chunks import BYTES, SIZE, count_of, send
from webclient import PNG, Visitor, assert_refused, stored_names, visiting

from dropzone_app.records import Record, Unfinished, new_id, now, upgrading
from dropzone_app.storage.chunks import ChunkFolder, ChunkWriter
from dropzone_app.sweep import Finding, Sweeper, disagreements, sweep
from dropzone_app.uploads import Site

DAY = 24 * 3600


@pytest.fixture
def visit(database: str, tmp_path: Path) -> Iterator[Callable[..., Visitor]]:
    with upgrading(), visiting(tmp_path) as visit:
        yield partial(visit, UPLOADS_DATABASE=database_url(tmp_path))


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    return visit()


def site_of(visitor: Visitor) -> Site:
    site: Site = visitor.app.extensions["uploads"]
    return site


def run(visitor: Visitor, *arguments: str) -> Result:
    done: Result = visitor.app.test_cli_runner().invoke(args=["uploads", *arguments])
    assert done.exit_code == 0, done.output
    return done


def swept(visitor: Visitor, age: float = 0, *, dry_run: bool = False) -> list[tuple[str, str]]:
    return [(found.what, found.name) for found in sweep(site_of(visitor), age=age, dry_run=dry_run)]


def make_old(visitor: Visitor, folder: Path, seconds: float) -> None:
    """Let all that is staged, and all that the database knows of uploads, be so much older."""
    for path in (folder / "uploads" / ".staging").iterdir():
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))
    with site_of(visitor).records._database.write() as connection:
        connection.exec_driver_sql(f"UPDATE uploads SET updated = updated - {int(seconds * 1e6)}")


def test_an_abandoned_upload_is_removed_when_it_is_old_enough(visitor: Visitor, tmp_path: Path) -> None:
    send(visitor, BYTES, 0)
    make_old(visitor, tmp_path, 1000)
    assert swept(visitor, 2000) == []
    assert swept(visitor, 900, dry_run=True) == [("receiving upload", "a.png")]
    assert len(stored_names(tmp_path)) == 1
    assert swept(visitor, 900) == [("receiving upload", "a.png")]
    assert stored_names(tmp_path) == []
    assert visitor.get("/uploads/u").status_code == 404
    assert swept(visitor) == []
    # It begins anew.
    assert [send(visitor, BYTES, index).status_code for index in range(5)] == [202] * 4 + [201]


def test_a_chunk_keeps_its_upload_young(visitor: Visitor, tmp_path: Path) -> None:
    send(visitor, BYTES, 0)
    make_old(visitor, tmp_path, 2 * DAY)
    send(visitor, BYTES, 1)
    assert swept(visitor, DAY) == []
    assert send(visitor, BYTES, 2).status_code == 202


def test_a_refusal_is_forgotten_with_its_age(visitor: Visitor, tmp_path: Path) -> None:
    send(visitor, BYTES, 0, filename="a.exe")
    make_old(visitor, tmp_path, 100)
    assert swept(visitor, 200) == []
    assert swept(visitor, 50) == [("refused upload", "a.exe")]
    assert visitor.get("/uploads/u").status_code == 404


def test_what_a_process_holds_is_alive_at_any_age(visitor: Visitor, tmp_path: Path) -> None:
    send(visitor, BYTES, 0)
    part = site_of(visitor).storage.stage()
    [staged] = (tmp_path / "uploads" / ".staging").glob("*.chunks")
    writer = ChunkWriter(staged, SIZE)
    make_old(visitor, tmp_path, 9 * DAY)
    assert swept(visitor, DAY) == []
    assert swept(visitor, 0) == []
    writer.write(BYTES[SIZE : 2 * SIZE])
    writer.close()
    part.close()
    assert swept(visitor, 0) == [("receiving upload", "a.png")]


def test_an_upload_that_is_being_committed_is_alive(
    visitor: Visitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    join = ChunkFolder.join
    found: list[Any] = []

    def swept_meanwhile(self: ChunkFolder, handle: str, chunks: Any) -> Any:
        joined = join(self, handle, chunks)
        make_old(visitor, tmp_path, 1000)
        found.extend(swept(visitor))
        return joined

    monkeypatch.setattr(ChunkFolder, "join", swept_meanwhile)
    statuses = [send(visitor, BYTES, index).status_code for index in range(count_of(BYTES))]
    assert (statuses[-1], found) == (201, [])


def test_an_upload_whose_chunk_is_swept_away_under_it_is_told_so(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(visitor, BYTES, 0)
    write = ChunkFolder.write

    def sweep_first(self: ChunkFolder, handle: str, offset: int | None) -> ChunkWriter:
        thread = threading.Thread(target=swept, args=(visitor,))
        thread.start()
        thread.join()
        return write(self, handle, offset)

    monkeypatch.setattr(ChunkFolder, "write", sweep_first)
    assert_refused(send(visitor, BYTES, 1), 409)


def test_staged_files_that_nobody_knows_are_removed(visitor: Visitor, tmp_path: Path) -> None:
    staging = tmp_path / "uploads" / ".staging"
    names = [f"{'0' * 32}.chunks", f"{'1' * 32}.joined", f"{'2' * 32}.part"]
    for name in names:
        (staging / name).write_bytes(bytes(5000))
    (staging / "notes.txt").write_text("not ours")
    assert swept(visitor, DAY) == []
    found = list(sweep(site_of(visitor), age=0))
    assert sorted(finding.name for finding in found) == ["0" * 32, "1" * 32, names[2]]
    assert all(finding.size >= 5000 for finding in found)
    assert [path.name for path in staging.iterdir()] == ["notes.txt"]


def test_an_upload_whose_bytes_somebody_removed_is_forgotten(visitor: Visitor, tmp_path: Path) -> None:
    send(visitor, BYTES, 0)
    next((tmp_path / "uploads" / ".staging").iterdir()).unlink()
    assert swept(visitor) == [("receiving upload", "a.png")]


RESERVE = """
import sys
from dropzone_app.records import Record, Records, new_id
Records(sys.argv[1]).reserve([
    Record(new_id(), "files", "owner", new_id(), "a.bin", "", "a.bin", 1, "application/octet-stream", None, 1)
])
"""


def test_what_a_dead_process_had_reserved_is_undone(visitor: Visitor, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", RESERVE, database_url(tmp_path)], check=True)
    row = Record(
        new_id(), "files", "me", "mine", "b.bin", "", "b.bin", 7, "application/octet-stream", None, now()
    )
    site_of(visitor).records.reserve([row])
    for dry_run in (True, True, False):
        assert swept(visitor, dry_run=dry_run) == [("reservation", "a.bin")]
    assert swept(visitor) == []
    assert site_of(visitor).records.reserved_or_stored(row.id), "this process lives"


COMMIT = """
import os, sys
from dropzone_app import create_app
from dropzone_app.chunked import ChunkedUploads
from dropzone_app.intake.chunks import Chunk
from dropzone_app.batch import Batch

app = create_app({"UPLOADS_STORAGE": sys.argv[1], "UPLOADS_DATABASE": sys.argv[2], "SECRET_KEY": "k"})
site = app.extensions["uploads"]
Batch.commit = lambda self: os._exit(9)
uploads = ChunkedUploads(site, site.upload_set(None), "me")
for index in range(2):
    incoming = uploads.receive(Chunk("u", 10, 5, index * 5, index * 5 + 5), key="file", filename="a.txt")
    incoming.feed(b"hello")
    uploads.take(incoming)
"""


def test_a_commit_that_ended_with_its_process_lacks_one_chunk_again(visitor: Visitor, tmp_path: Path) -> None:
    storage, database = f"file:{tmp_path / 'uploads'}", database_url(tmp_path)
    done = subprocess.run([sys.executable, "-c", COMMIT, storage, database], check=False)
    assert done.returncode == 9
    unfinished = site_of(visitor).records.unfinished
    [upload] = unfinished.of_owner("me", 5)
    assert upload.state == "committing"
    assert swept(visitor, DAY) == []
    [upload] = unfinished.of_owner("me", 5)
    assert (upload.state, upload.received) == ("receiving", 5)
    assert swept(visitor) == [("receiving upload", "a.txt")]
    assert stored_names(tmp_path) == []


def test_what_is_not_understood_is_told_and_left(visitor: Visitor, tmp_path: Path) -> None:
    [kept, lost] = visitor.store(("file[0]", "a.png", PNG), ("file[1]", "b.png", PNG))
    (tmp_path / "uploads" / lost["key"]).unlink()
    (tmp_path / "uploads" / "folder").mkdir()
    (tmp_path / "uploads" / "folder" / "strange.png").write_bytes(b"12345")
    (tmp_path / "uploads" / ".gitkeep").touch()
    assert list(disagreements(site_of(visitor))) == [
        Finding("file without a record", "folder/strange.png", 5, abandoned=False),
        Finding("record without its file", "b.png", len(PNG), abandoned=False),
    ]
    output = run(visitor, "sweep", "--age", "0").output
    assert output.splitlines() == [
        "Left alone: file without a record folder/strange.png (5 bytes)",
        f"Left alone: record without its file b.png ({len(PNG)} bytes)",
        "0 removed (0 bytes), 2 left alone.",
    ]
    assert stored_names(tmp_path) == [".gitkeep", "a.png", "folder/strange.png"]
    assert {file["id"] for file in visitor.files()} == {kept["id"], lost["id"]}


def test_the_command_tells_what_it_does_and_how_many_bytes(visitor: Visitor, tmp_path: Path) -> None:
    send(visitor, BYTES, 0)
    assert run(visitor, "sweep").output == "0 removed (0 bytes), 0 left alone.\n"
    for arguments, verb, end in (
        (("--dry-run", "--age", "0"), "Would remove", "would be removed"),
        (("--age", "0"), "Removed", "removed"),
    ):
        lines = run(visitor, "sweep", *arguments).output.splitlines()
        assert lines == [f"{verb}: receiving upload a.png (4.1 KB)", f"1 {end} (4.1 KB), 0 left alone."]
    assert stored_names(tmp_path) == []
    assert visitor.app.test_cli_runner().invoke(args=["uploads", "sweep", "--age", "-1"]).exit_code == 2


def test_thousands_of_unfinished_uploads_are_swept_in_pages(visitor: Visitor, tmp_path: Path) -> None:
    unfinished = site_of(visitor).records.unfinished
    for number in range(2100):
        send_row(visitor, number)
    assert len(swept(visitor, dry_run=True)) == 2100
    assert len(swept(visitor)) == 2100
    assert list(unfinished.idle(now())) == []


def send_row(visitor: Visitor, number: int) -> None:
    site_of(visitor).records.unfinished.begin(
        Unfinished(new_id(), "me", f"u{number}", "files", "", "", "a.txt", "", 10, 5, created=1, updated=1)
    )


# ---- by itself


def test_of_two_processes_one_sweeps_and_each_only_when_it_is_due(
    visit: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = site_of(visit()), site_of(visit())
    assert one.records.take_turn("sweep", 1000)
    assert not two.records.take_turn("sweep", 1000)
    assert not one.records.take_turn("sweep", 1000)
    assert two.records.take_turn("another", 1000)
    assert two.records.take_turn("sweep", -1)
    sweeper = Sweeper(one, DAY)
    begun: list[object] = []
    monkeypatch.setattr(Sweeper, "_sweep", lambda self: begun.append(self))
    sweeper()
    assert begun == []
    monkeypatch.setattr("dropzone_app.sweep.time.monotonic", lambda: sweeper._due + 1)
    sweeper()
    monkeypatch.setattr("dropzone_app.sweep.time.monotonic", lambda: sweeper._due - 1)
    sweeper()
    deadline = time.time() + 10
    while not begun and time.time() < deadline:
        time.sleep(0.01)
    assert len(begun) == 1


def test_a_sweep_that_fails_is_logged_and_harms_nobody(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("the disk is away")

    monkeypatch.setattr("dropzone_app.sweep.sweep", fail)
    Sweeper(site_of(visitor), DAY)._sweep()
    assert "the next one tries again" in caplog.text


def test_a_started_server_sweeps_by_itself(live_server: Callable[..., LiveServer]) -> None:
    server = live_server(workers=2, env={"FLASK_UPLOADS_SWEEP_AGE": "1"})
    left = server.folder / "uploads" / ".staging" / f"{'0' * 32}.chunks"
    left.write_bytes(b"abandoned")
    deadline = time.monotonic() + 30
    while left.exists():
        assert time.monotonic() < deadline
        urllib.request.urlopen(f"{server.url}/files").close()
        time.sleep(0.1)
