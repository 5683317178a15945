"""What a batch costs is counted, never timed: two short transactions and one round to the disk, however many parts it
has, and of each part only what it cannot do without.
"""

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest
from core import file_part, form_body, make_app, post, site_of
from flask import Flask
from sqlalchemy import event

from dropzone_app.intake import request as intake_request
from dropzone_app.storage import staged
from dropzone_app.storage.staged import Journal

BATCHES = (1, 10, 100)
CONTENT = os.urandom(10 << 10)
CALLS = ("open", "write", "link", "fsync", "fdatasync", "mkdir", "rename", "unlink", "listdir", "scandir")


def app_in(folder: Path) -> Flask:
    app = make_app(folder, UPLOADS_TYPES="bin")
    # What is only set up once is no cost of a batch.
    send(app, 2, "warm")
    return app


def send(app: Flask, parts: int, name: str) -> None:
    """Post so many files in one request; all are stored."""
    body = form_body(*(file_part(f"file[{n}]", f"{name} {n}.bin", CONTENT) for n in range(parts)))
    answer = post(app, body)
    assert answer.status_code == 201, answer.text
    assert len(answer.get_json()["files"]) == parts


@contextmanager
def statements(app: Flask) -> Iterator[Counter[str]]:
    """How often SQLite itself ran each kind of statement, on all connections."""
    engine, seen = site_of(app).records._engine, Counter[str]()

    def trace(connection: sqlite3.Connection, _: Any) -> None:
        connection.set_trace_callback(lambda sql: seen.update([sql.split()[0]]))

    site_of(app).records.close()
    event.listen(engine, "connect", trace)
    try:
        with engine.connect():
            # A new connection sets itself up.
            pass
        site_of(app).records.check_writable()
        seen.clear()
        yield seen
    finally:
        event.remove(engine, "connect", trace)
        site_of(app).records.close()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each call to the system was made from Python."""
    seen = Counter[str]()

    def counted(name: str, real: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            seen[name] += 1
            return real(*args, **more)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, counted(name, getattr(os, name)))
    # Bodies that other tests have left half read would make the pieces of ours smaller.
    monkeypatch.setattr(intake_request, "_coming", WeakSet())
    monkeypatch.setattr(staged, "_sync_file_range", counted("sync_file_range", staged._sync_file_range))
    return seen


def test_a_batch_is_two_transactions_and_two_statements_a_part(tmp_path: Path) -> None:
    app = app_in(tmp_path)
    with statements(app) as seen:
        for parts in BATCHES:
            seen.clear()
            send(app, parts, f"of {parts}")
            assert seen == {"BEGIN": 2, "INSERT": parts, "UPDATE": parts, "COMMIT": 2}


def test_a_refused_batch_is_no_transaction(tmp_path: Path) -> None:
    app = app_in(tmp_path)
    with statements(app) as seen:
        answer = post(app, form_body(*(file_part(f"file[{n}]", "a.exe", CONTENT) for n in range(10))))
        assert answer.status_code == 415
        assert seen == {}


def cost(app: Flask, calls: Counter[str], parts: int) -> dict[str, int]:
    calls.clear()
    send(app, parts, f"of {parts}")
    return dict(calls)


def writes(parts: int) -> int:
    """One for a file, and one for each end of a read that falls into one."""
    return parts + parts * len(CONTENT) // intake_request._FIRST_CHUNK


def test_with_a_journal_a_batch_waits_for_the_disk_twice(
    tmp_path: Path, calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for all its files and their names, once for its records."""
    monkeypatch.setattr(Journal, "of", lambda folder: Journal(folder))
    app = app_in(tmp_path)
    for parts in BATCHES:
        each = {"write": writes(parts), "link": parts, "sync_file_range": 2 * parts}
        # The folder whose journal it is, and the database's log.
        assert cost(app, calls, parts) == {**each, "open": parts + 2, "fsync": 1, "fdatasync": 1}


def test_without_a_journal_each_file_is_synced_and_their_folder_once(
    tmp_path: Path, calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Journal, "of", lambda folder: None)
    app = app_in(tmp_path)
    for parts in BATCHES:
        each = {"write": writes(parts), "link": parts, "sync_file_range": parts}
        assert cost(app, calls, parts) == {**each, "open": parts + 2, "fsync": parts + 1, "fdatasync": 1}


def test_where_durability_is_off_nothing_is_waited_for(tmp_path: Path, calls: Counter[str]) -> None:
    app = make_app(tmp_path, UPLOADS_TYPES="bin", UPLOADS_DURABLE=False)
    send(app, 2, "warm")
    for parts in BATCHES:
        assert cost(app, calls, parts) == {"open": parts, "write": writes(parts), "link": parts}
