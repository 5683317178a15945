"""Measure what it costs that much is stored: a store of a million records beside one of a few hundred. Linux only.

python benchmarks/grow.py [--rounds 7] [--records 1000000] [--files 100000] [--only SQLite] [--dir FOLDER]

On SQLite and on PostgreSQL, as the tests start it. Half of the records are of the one who uploads and looks, the others
of a thousand others; all lie in the one folder that the new files go to, and --files of them are really there. Quotas
are on, so that their sums are kept. Servers take turns, and every figure is the ratio of two medians of the same run.
The records are put by SQL, in seconds. Prints how long starts took, too: the first one after that sums up every record,
as it does where a quota is new; the others have the sums.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import secrets
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

import psycopg  # noqa: E402
from engines.postgresql import PostgreSQL  # noqa: E402
from upload import (  # noqa: E402
    SHIPPED,
    Connection,
    Load,
    Server,
    identity,
    machine,
    requests,
    running,
    upload,
    work_folder,
)

#: What one visit does, and at most how many times as long it may take where much is stored.
BAR = 1.2
BATCH = Load("new", files=50, size=10 << 10, batch=10, connections=1, unit="")
FEW = replace(BATCH, name="old", files=300)
LOOKS = 20
#: Microseconds since 1970 of the newest of the records that are put, one each microsecond.
BEGAN = 1_600_000_000_000_000

ROW = """
INSERT INTO files (id, "set", owner, uuid, state, filename, path, storage, key, size, type, sha256, once, created)
SELECT {id}, 'files', CASE WHEN n % 2 = 0 THEN '{owner}' ELSE 'other ' || n % 1000 END, {uuid}, 'stored',
       'old ' || n || '.dat', '', '', 'old ' || n || '.dat', 10240, 'application/octet-stream', {digest},
       {no}, {began} + n
FROM {numbers}
"""
#: Where a quota is new, starts sum up for an hour.
LONG_AGO = """UPDATE usage SET began = 0, sent_files = 0 WHERE "set" = '+'"""
SQLITE = {
    "id": "lower(hex(randomblob(16)))",
    "uuid": "lower(hex(randomblob(16)))",
    "digest": "lower(hex(randomblob(32)))",
    "no": "0",
    "numbers": "(WITH RECURSIVE counted(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n + 1 < {records}) "
    "SELECT n FROM counted)",
}
POSTGRESQL = {
    "id": "md5('id' || n)",
    "uuid": "md5('uuid' || n)",
    "digest": "md5('a' || n) || md5('b' || n)",
    "no": "false",
    "numbers": "generate_series(0, {records} - 1) AS n",
}


@dataclass
class Store:
    """A server, and how long things took on it, in milliseconds."""

    engine: str
    much: bool
    folder: Path
    env: dict[str, str]
    port: int = 0
    #: Seconds of its starts.
    starts: list[float] = field(default_factory=list)
    took: dict[str, list[float]] = field(default_factory=dict)

    def note(self, what: str, seconds: list[float]) -> None:
        self.took.setdefault(what, []).append(statistics.median(seconds) * 1e3)


def fill(store: Store, owner: str, records: int, files: int) -> None:
    """A million records, and the folder that some of them lie in."""
    kind = SQLITE if store.engine == "SQLite" else POSTGRESQL
    numbers = kind["numbers"].format(records=records)
    insert = ROW.format(**{**kind, "numbers": numbers}, owner=owner, began=BEGAN)
    if store.engine == "SQLite":
        with contextlib.closing(sqlite3.connect(store.folder / "instance" / "app.sqlite")) as database:
            database.execute("PRAGMA cache_size = -400000")
            with database:
                database.execute(insert)
                database.execute(LONG_AGO)
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    else:
        url = store.env["FLASK_UPLOADS_DATABASE"].replace("postgresql+psycopg", "postgresql")
        with psycopg.connect(url, autocommit=True) as database:
            database.execute(insert)  # type: ignore[call-overload]
            database.execute(LONG_AGO)
            # As it does by itself within a minute.
            database.execute("VACUUM ANALYZE files")
    for number in range(files):
        os.close(os.open(store.folder / "uploads" / f"old {number}.dat", os.O_CREAT | os.O_WRONLY))


def get(port: int, headers: list[str], path: str, body: bytes | None = None) -> Callable[[], float]:
    """Ask for JSON on a kept connection; each call tells the seconds that it took."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    told = dict(line.split(": ", 1) for line in headers)
    told |= {"Accept": "application/json", "Content-Type": "application/json"}

    def ask() -> float:
        start = time.perf_counter()
        connection.request("POST" if body else "GET", path, body, told)
        answer = connection.getresponse()
        text = answer.read()
        seconds = time.perf_counter() - start
        if answer.status != 200 or (b'"files"' not in text and b'"new"' not in text):
            raise RuntimeError(f"{path}: {answer.status} {text[:300]!r}")
        return seconds

    return ask


def visit(store: Store, headers: list[str], turn: int, records: int) -> None:
    """Upload some batches, look at the list, ask before an upload; note what each took."""
    connection = Connection(store.port)
    seconds = []
    for pieces in requests(replace(BATCH, name=f"new {turn}"), os.urandom(BATCH.size), headers, store.port):
        start = time.perf_counter()
        connection.send(pieces)
        seconds.append(time.perf_counter() - start)
    connection.close()
    store.note("a batch of ten", seconds)
    # The same page where there are a few: the second, in the middle of all there is.
    deep = get(store.port, headers, "/files")
    if store.much:
        deep = get(store.port, headers, f"/files?cursor={BEGAN + records // 2}-{'f' * 32}")
    announced = [{"uuid": secrets.token_hex(16), "filename": f"{n}.dat", "size": 10_240} for n in range(10)]
    check = get(store.port, headers, "/upload/check", json.dumps({"files": announced}).encode())
    for what, ask in (
        ("first page", get(store.port, headers, "/files")),
        ("a page deep in the list", deep),
        ("check of ten, with the quota", check),
    ):
        ask()
        store.note(what, [ask() for _ in range(LOOKS)])


@contextlib.contextmanager
def stores(work: Path, engines: list[str]) -> Iterator[list[Store]]:
    """A store with little and one with much on each engine, none of them running."""
    key = {"FLASK_UPLOADS_QUOTA": "1 TB", "FLASK_UPLOADS_QUOTA_FILES": "100000000"}
    with ExitStack() as stack:
        made = []
        database = stack.enter_context(PostgreSQL()) if "PostgreSQL" in engines else None
        for engine in engines:
            for much in (False, True):
                env = dict(key)
                if database and engine == "PostgreSQL":
                    env["FLASK_UPLOADS_DATABASE"] = database.empty(tables=True)
                made.append(Store(engine, much, work / f"{engine} {'much' if much else 'little'}", env))
        yield made


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--only", choices=["SQLite", "PostgreSQL"], help="this engine alone")
    parser.add_argument("--dir", type=Path, help="where the servers write (default: the temporary folder)")
    options = parser.parse_args()
    engines = [options.only] if options.only else ["SQLite", "PostgreSQL"]
    # One person on all of them.
    secret = secrets.token_hex(16)
    with work_folder(options.dir, keep=False) as work, stores(work, engines) as made, ExitStack() as stack:
        headers: list[str] = []
        for store in made:
            server = Server(store.engine, SHIPPED, {**store.env, "FLASK_SECRET_KEY": secret})
            # Makes what is missing, and tells who uploads.
            with running(server, store.folder) as (port, _):
                headers = headers or identity(port)
                upload(FEW, os.urandom(FEW.size), headers, port)
            if store.much:
                start = time.perf_counter()
                fill(store, owner_of(store), options.records, options.files)
                print(f"{store.engine}: filled in {time.perf_counter() - start:.0f} s", flush=True)
        # What was filled is not to be written beside what is measured.
        os.sync()
        for store in made:
            server = Server(store.engine, SHIPPED, {**store.env, "FLASK_SECRET_KEY": secret})
            for turn in range(2):
                start = time.perf_counter()
                with ExitStack() as until:
                    store.port, _ = until.enter_context(running(server, store.folder))
                    get(store.port, headers, "/files")()
                    store.starts.append(time.perf_counter() - start)
                    if turn:
                        stack.push(until.pop_all())
        for turn in range(-1, options.rounds):
            for store in made:
                if turn < 0:
                    visit(replace(store, took={}), headers, turn, options.records)
                else:
                    visit(store, headers, turn, options.records)
        print(report(made, options.records, options.files))
        print(f"\n{machine(work)}")
    return 0


def owner_of(store: Store) -> str:
    """Who has uploaded there."""
    if store.engine == "SQLite":
        with contextlib.closing(sqlite3.connect(store.folder / "instance" / "app.sqlite")) as database:
            [(owner,)] = database.execute("SELECT DISTINCT owner FROM files").fetchall()
    else:
        url = store.env["FLASK_UPLOADS_DATABASE"].replace("postgresql+psycopg", "postgresql")
        with psycopg.connect(url) as connection:
            [(owner,)] = connection.execute("SELECT DISTINCT owner FROM files").fetchall()
    return str(owner)


def report(made: list[Store], records: int, files: int) -> str:
    lines = [
        f"| {records:,} records, {files:,} files in one folder | few, ms | many, ms | ratio | at most |",
        "|---|--:|--:|--:|--:|",
    ]
    for little, much in zip(made[::2], made[1::2], strict=True):
        for what, few in little.took.items():
            before, after = statistics.median(few), statistics.median(much.took[what])
            lines.append(
                f"| {little.engine}: {what} | {before:.2f} | {after:.2f} | {after / before:.2f} | {BAR} |"
            )
        for what, before, after in zip(
            ("start that sums up", "start"), little.starts, much.starts, strict=True
        ):
            figures = f"{before * 1e3:,.0f} | {after * 1e3:,.0f} | {after / before:.2f}"
            lines.append(f"| {little.engine}: {what} | {figures} | |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
