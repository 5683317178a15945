"""A SQLite database that is locked, read-only, gone and back: short locks are waited out, all else is a sentence."""

import contextlib
import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from engines.fleet import Engine
from engines.wire import Answer
from faults.conftest import Faults
from faults.ways import WAYS, assert_heals, assert_told, kept
from support import LiveServer

DATA = os.urandom(200_000)


def database_of(engine: Engine) -> Path:
    return engine.folder / "instance" / "app.sqlite"


@contextlib.contextmanager
def locked(engine: Engine) -> Iterator[None]:
    """Somebody else writes, and does not come to an end."""
    with contextlib.closing(sqlite3.connect(database_of(engine), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def all_ways_at_once(engine: Engine, uuid: str) -> Callable[[ThreadPoolExecutor], list[Answer]]:
    visitor = engine.visitor()
    jobs = [(way, f"{uuid}-{name}-{n}") for name, way in WAYS.items() for n in range(3)]
    return lambda pool: list(pool.map(lambda job: job[0](visitor, job[1], DATA), jobs))


def test_short_locks_are_waited_out(faults: Faults) -> None:
    engine = faults.engine
    send = all_ways_at_once(engine, "short")
    with ThreadPoolExecutor(10) as pool:
        with locked(engine):
            answers = pool.submit(send, ThreadPoolExecutor(9))
            time.sleep(1.5)
            assert not answers.done()
        assert {answer.status for answer in answers.result()} == {201}


def test_a_long_lock_is_503_and_who_only_reads_waits_for_nobody(faults: Faults) -> None:
    engine = faults.engine
    visitor = engine.visitor()
    [old] = visitor.upload([("old.bin", DATA)]).files
    before = engine.inventory()
    send = all_ways_at_once(engine, "long")
    with ThreadPoolExecutor(10) as pool, locked(engine):
        answers = pool.submit(send, ThreadPoolExecutor(9))
        assert visitor.fetch(old["url"]) == DATA
        assert b"old.bin" in visitor.fetch("/files")
        assert not answers.done()
        for answer in answers.result():
            assert_told(answer, "unavailable")
        assert kept(engine.inventory()) == kept(before)
    for name, way in WAYS.items():
        assert_heals(engine, way, f"long-{name}-0", DATA)


@pytest.mark.parametrize("replaced", [False, True], ids=["the same", "a copy"])
def test_a_database_that_is_gone_is_503_and_one_that_is_back_takes_files(
    faults: Faults, replaced: bool
) -> None:
    engine = faults.engine
    visitor, pids = engine.visitor(), engine.door.pids()
    [old] = visitor.upload([("old.bin", DATA)]).files
    before = engine.inventory()
    database = database_of(engine)
    away = database.parent.with_name("away")
    database.parent.rename(away)
    for way in WAYS.values():
        assert_told(way(visitor, f"gone-{replaced}", DATA), "unavailable")
    assert_told(visitor.delete(f"/files/{old['id']}"), "unavailable")
    if replaced:
        # As from a backup.
        subprocess.run(["cp", "-a", away, database.parent], check=True)
    else:
        away.rename(database.parent)
    assert kept(engine.inventory()) == kept(before)
    for name, way in WAYS.items():
        assert_heals(engine, way, f"gone-{replaced}-{name}", DATA)
    assert visitor.fetch(old["url"]) == DATA
    assert visitor.delete(f"/files/{old['id']}").status == 204
    assert engine.door.pids() == pids


def test_a_server_on_a_disk_that_is_read_only_from_the_start_gives_out_what_is_there(
    tmpfs: Callable[..., Path], tmp_path: Path
) -> None:
    disk = tmpfs(mib=8)
    env = {
        "FLASK_UPLOADS_TYPES": "bin",
        "FLASK_UPLOADS_STORAGE": f"file:{disk}/uploads",
        "FLASK_UPLOADS_DATABASE": f"sqlite:///{disk}/app.sqlite",
    }
    server = LiveServer(tmp_path, workers=1, env=env, ready="/csrf-token")
    with server:
        visitor = Engine("granian", server).visitor()
        [old] = visitor.upload([("old.bin", DATA)]).files
        server.stop()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        server.start()
        assert visitor.fetch(old["url"]) == DATA
        for way in WAYS.values():
            assert_told(way(visitor, "read-only", DATA), "unavailable")
