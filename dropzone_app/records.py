"""The tables and the only SQL. A file without a record in state ``stored`` does not exist for anyone.

Times are microseconds since 1970, UTC. Any failure of the database is :class:`sqlalchemy.exc.SQLAlchemyError`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    create_engine,
    delete,
    event,
    insert,
    inspect,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError

from .config import SettingError
from .naming import numbered
from .processes import is_alive, this_process

COMMITTING, STORED = "committing", "stored"

#: Seconds to wait for another process that writes to SQLite.
BUSY_TIMEOUT = 10
#: Tries to find a free key before a random one is taken.
_NUMBERED_TRIES = 3
#: A batch's report is kept for a day.
BATCH_LIFETIME = 24 * 3600 * 1_000_000

_metadata = MetaData()

_files = Table(
    "files",
    _metadata,
    Column("id", String(32), primary_key=True),
    Column("set", String(64), nullable=False),
    Column("owner", String(64), nullable=False),
    Column("uuid", String(64), nullable=False),
    Column("state", String(10), nullable=False),
    Column("filename", Text, nullable=False),
    Column("path", Text, nullable=False),
    # Which of the app's storages has it, and where.
    Column("storage", String(64), nullable=False),
    Column("key", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("type", String(100), nullable=False),
    Column("sha256", String(64)),
    # Whether its set keeps the same bytes only once for an owner.
    Column("once", Boolean, nullable=False),
    Column("created", BigInteger, nullable=False),
    # Who is committing, and the mark of the staged file: what a dead process left can be told from what is not ours.
    Column("process", String(200)),
    Column("mark", String(100)),
    UniqueConstraint("owner", "uuid"),
    UniqueConstraint("storage", "key"),
    # Only where a set tells duplicates: digests are random, and each would dirty a page of its own.
    Index("files_by_digest", "owner", "sha256", sqlite_where=text("once")),
    Index("files_of_owner", "owner", "created", "id"),
)
# The next number of a name that is taken: a second image.jpg costs as much as the ten-thousandth.
_numbers = Table(
    "numbers",
    _metadata,
    Column("key", Text, primary_key=True),
    Column("next", Integer, nullable=False),
)
_batches = Table(
    "batches",
    _metadata,
    Column("id", String(32), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("created", BigInteger, nullable=False, index=True),
    Column("report", Text, nullable=False),
)


@dataclass(frozen=True)
class Record:
    """A file that exists, or is just coming into existence."""

    id: str
    set: str
    owner: str
    uuid: str
    filename: str
    path: str
    key: str
    size: int
    type: str
    sha256: str | None
    created: int
    storage: str = ""
    once: bool = False
    mark: str | None = None
    state: str = COMMITTING


def new_id() -> str:
    """A random 128-bit id, 32 hexadecimal digits."""
    return secrets.token_hex(16)


def now() -> int:
    return time.time_ns() // 1000


class Records:
    """The records behind one database URL."""

    def __init__(self, url: str, *, durable: bool = True) -> None:
        """Connect to ``url`` and make the tables; SettingError where that cannot be."""
        self.durable = durable
        try:
            self._engine = _engine(url)
            # As a writer: workers that start together would find the same table missing.
            with self._engine.execution_options(uploads="write").begin() as connection:
                _metadata.create_all(connection)
                for table in _metadata.sorted_tables:
                    _check_columns(connection, table)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise SettingError(
                f"UPLOADS_DATABASE must be a URL such as 'sqlite:///instance/app.sqlite'; it is {url!r}."
            ) from error
        except SQLAlchemyError as error:
            self._engine.dispose()
            raise SettingError(
                f"UPLOADS_DATABASE: {self} cannot be used: {error.__cause__ or error}."
            ) from error
        self._writing = _Turn(self._engine.url.database)
        self._insert = _Prepared(self._engine, upsert(_files).on_conflict_do_nothing())
        self._store = _Prepared(
            self._engine,
            update(_files)
            .where(_files.c.id == bindparam("reserved"), _files.c.state == COMMITTING)
            .values(state=STORED, process=None, mark=None),
        )
        self._for_now = self._engine.execution_options(uploads="write")
        self._for_good = self._engine.execution_options(uploads="final")

    def __str__(self) -> str:
        return self._engine.url.database or self._engine.url.render_as_string()

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _write(self, *, final: bool = False) -> Iterator[Connection]:
        """A transaction that writes. ``final``: what it wrote survives a power cut (where durable)."""
        engine = self._for_good if final and self.durable else self._for_now
        with self._writing.taken(), engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            yield connection

    # ---- the two steps of a commit

    def reserve(self, wanted: Sequence[Record]) -> list[Record]:
        """Put rows in state ``committing``, each with a key of its own, in one transaction.

        A row whose (owner, uuid) is there already is not put: the row that is there comes back in its place,
        with its own id; of rows to be stored ``once`` also one whose owner has the same bytes in the same set. A key
        that is taken gets a number: ``photo.jpg``, ``photo_1.jpg``, …
        """
        reserved: dict[str, Record] = {}
        with self._write() as connection:
            if wanted and wanted[0].once:
                reserved |= self._same_bytes(connection, wanted)
            self._put(connection, [row for row in wanted if row.id not in reserved], reserved)
            for attempt in range(_NUMBERED_TRIES + 1):
                left = [row for row in wanted if row.id not in reserved]
                if not left:
                    break
                known = self._by_uuid(connection, left)
                reserved |= {
                    row.id: known[row.owner, row.uuid] for row in left if (row.owner, row.uuid) in known
                }
                left = [row for row in left if row.id not in reserved]
                if attempt < _NUMBERED_TRIES:
                    left = self._numbered(connection, left)
                else:
                    # Somebody has named files exactly as we number them. No probing: a random number is free.
                    left = [replace(row, key=_with_number(row.key, secrets.token_hex(8))) for row in left]
                self._put(connection, left, reserved)
        # What is the same as another of this very call stands for what became of that one.
        return [reserved.get(reserved[row.id].id, reserved[row.id]) for row in wanted]

    def _same_bytes(self, connection: Connection, rows: Sequence[Record]) -> dict[str, Record]:
        """Those of ``rows`` whose bytes are there or come earlier among them, with the one that has them."""
        digests = {row.sha256 for row in rows}
        found = connection.execute(
            select(_files).where(_files.c.owner == rows[0].owner, _files.c.sha256.in_(digests), text("once"))
        ).mappings()
        known = {(row["set"], row["sha256"]): _record(row) for row in found}
        same: dict[str, Record] = {}
        for row in rows:
            first = known.setdefault((row.set, row.sha256), row)
            if first.id != row.id:
                same[row.id] = first
        return same

    def _put(self, connection: Connection, rows: Sequence[Record], reserved: dict[str, Record]) -> None:
        """Insert what conflicts with nothing, in one statement, and note it in ``reserved``."""
        if not rows:
            return
        if self._insert.run(connection, [_row(row) for row in rows]) == len(rows):
            reserved |= {row.id: row for row in rows}
            return
        ids = [row.id for row in rows]
        put = set(connection.execute(select(_files.c.id).where(_files.c.id.in_(ids))).scalars())
        reserved |= {row.id: row for row in rows if row.id in put}

    def _by_uuid(self, connection: Connection, rows: Iterable[Record]) -> dict[tuple[str, str], Record]:
        uuids: dict[str, list[str]] = {}
        for row in rows:
            uuids.setdefault(row.owner, []).append(row.uuid)
        wanted = [and_(_files.c.owner == owner, _files.c.uuid.in_(of)) for owner, of in uuids.items()]
        found = connection.execute(select(_files).where(or_(*wanted))).mappings()
        return {(row["owner"], row["uuid"]): _record(row) for row in found}

    def _numbered(self, connection: Connection, rows: list[Record]) -> list[Record]:
        """The rows with the next numbers of their keys; constant time, however many files share a name."""
        if not rows:
            return []
        counts = Counter(_place(row) for row in rows)
        firsts = upsert(_numbers).values([{"key": key, "next": count + 1} for key, count in counts.items()])
        after = connection.execute(
            firsts.on_conflict_do_update(
                index_elements=["key"], set_={"next": _numbers.c.next + firsts.excluded.next - 1}
            ).returning(_numbers.c.key, _numbers.c.next)
        )
        numbers = {key: iter(range(end - counts[key], end)) for key, end in after}
        return [replace(row, key=_with_number(row.key, next(numbers[_place(row)]))) for row in rows]

    def rekey(self, record: Record) -> Record:
        """Give a reserved row another key: a file that no record names lies at the one it had."""
        key = _with_number(record.key, secrets.token_hex(8))
        with self._write() as connection:
            connection.execute(update(_files).where(_files.c.id == record.id).values(key=key))
        return replace(record, key=key)

    def store(self, ids: Sequence[str]) -> None:
        """Make reserved rows ``stored``, all of them in one transaction, for good."""
        with self._write(final=True) as connection:
            if self._store.run(connection, [{"reserved": id} for id in ids]) != len(ids):
                raise RuntimeError("a reservation was undone while it was being committed")

    def committing(self, ids: Sequence[str]) -> list[Record]:
        """Those of ``ids`` that are reserved and not stored."""
        with self._read() as connection:
            found = connection.execute(
                select(_files).where(_files.c.id.in_(ids), _files.c.state == COMMITTING)
            ).mappings()
            return [_record(row) for row in found]

    def release(self, ids: Sequence[str]) -> None:
        """Remove reservations whose bytes are gone."""
        if not ids:
            return
        with self._write() as connection:
            connection.execute(delete(_files).where(_files.c.id.in_(ids), _files.c.state == COMMITTING))

    def claim_abandoned(self) -> list[Record]:
        """Reservations of processes that are gone, to be undone by the caller: nobody else is given them too."""
        # As a writer: a killed process may hold the lock for a last moment, and what it commits then counts.
        with self._write() as connection:
            found = connection.execute(select(_files).where(_files.c.state == COMMITTING)).mappings()
            claimed = [
                _record(row)
                for row in found
                if not is_alive(row["process"] or "", (now() - row["created"]) / 1e6)
            ]
            if claimed:
                ids = [{"claimed": record.id} for record in claimed]
                claim = update(_files).where(_files.c.id == bindparam("claimed"))
                connection.execute(claim.values(process=this_process()), ids)
            return claimed

    # ---- what is stored

    def file(self, id: str) -> Record | None:
        """The stored file with this id, whoever owns it."""
        found = self.reserved_or_stored(id)
        return found if found and found.state == STORED else None

    def reserved_or_stored(self, id: str) -> Record | None:
        """The file with this id, also while it is being committed; None once it is neither."""
        with self._read() as connection:
            found = connection.execute(select(_files).where(_files.c.id == id)).mappings().first()
            return _record(found) if found else None

    def files(self, owner: str, *, limit: int, after: tuple[int, str] | None = None) -> list[Record]:
        """The owner's files, newest first; ``after``: (created, id) of the last one seen."""
        query = select(_files).where(_files.c.state == STORED, _files.c.owner == owner)
        if after is not None:
            # Compared as a pair, which an index can find; with "or" every newer file would be passed by.
            query = query.where(tuple_(_files.c.created, _files.c.id) < tuple_(*after))
        query = query.order_by(_files.c.created.desc(), _files.c.id.desc()).limit(limit)
        with self._read() as connection:
            return [_record(row) for row in connection.execute(query).mappings()]

    def everything(self) -> Iterator[Record]:
        """All stored files of all owners, newest first."""
        query = select(_files).where(_files.c.state == STORED)
        query = query.order_by(_files.c.created.desc(), _files.c.id.desc())
        with self._read() as connection:
            for row in connection.execution_options(yield_per=1000).execute(query).mappings():
                yield _record(row)

    def retire(self, id: str, owner: str) -> Record | None:
        """Make a stored file vanish for everyone, for good; None where the owner has none of this id.

        Its row stays as a reservation of ours, so that its bytes are removed even if this process dies now.
        """
        with self._write(final=True) as connection:
            row = connection.execute(
                update(_files)
                .where(_files.c.id == id, _files.c.owner == owner, _files.c.state == STORED)
                .values(state=COMMITTING, process=this_process(), mark=None, uuid=id)
                .returning(*_files.c)
            )
            found = row.mappings().first()
            return _record(found) if found else None

    # ---- what became of a batch

    def add_batch(self, owner: str, report: dict[str, Any]) -> str:
        """Keep a batch's report for a day; its id."""
        id, created = new_id(), now()
        with self._write() as connection:
            connection.execute(delete(_batches).where(_batches.c.created < created - BATCH_LIFETIME))
            connection.execute(
                insert(_batches), {"id": id, "owner": owner, "created": created, "report": json.dumps(report)}
            )
        return id

    def batch(self, id: str, owner: str | None) -> dict[str, Any] | None:
        """A batch's report, if it is ``owner``'s and not older than a day."""
        with self._read() as connection:
            found = connection.execute(
                select(_batches.c.report, _batches.c.created).where(
                    _batches.c.id == id,
                    _batches.c.owner == owner,
                    _batches.c.created > now() - BATCH_LIFETIME,
                )
            ).first()
            return {"id": id, "created": found.created, **json.loads(found.report)} if found else None

    def check(self) -> None:
        """SQLAlchemyError unless the database answers."""
        file = self._engine.url.database
        if file and file != ":memory:" and not Path(file).exists():
            # What is open still answers, and what it takes would be gone with this process.
            raise SQLAlchemyError("the file of the database is gone")
        with self._read() as connection:
            connection.execute(text("SELECT 1 FROM files LIMIT 1"))


def _place(record: Record) -> str:
    """A key among the keys of all storages."""
    return f"{record.storage}/{record.key}"


class _Turn:
    """Writers of SQLite wait here for each other, threads and processes alike, in order and without polling.

    What excludes is SQLite's own lock; this only queues. Where the folder cannot be locked (some network
    file systems) or the descriptor is shared (workers forked after it was opened), SQLite's polling remains;
    so it does for a thread that has waited for long: behind somebody who does not come to an end, a queue of
    waiters that each had their whole busy timeout would be answered in minutes.
    """

    def __init__(self, database: str | None) -> None:
        self._thread = threading.Lock()
        self._folder = os.path.dirname(database) if database and database != ":memory:" else None
        self._fd = -1

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        if not self._thread.acquire(timeout=BUSY_TIMEOUT):
            yield
            return
        try:
            with contextlib.suppress(OSError):
                if self._folder and self._fd < 0:
                    # The folder: closing a descriptor of the database itself would drop SQLite's locks.
                    self._fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                if self._fd >= 0:
                    fcntl.flock(self._fd, fcntl.LOCK_EX)
            yield
        finally:
            with contextlib.suppress(OSError):
                if self._fd >= 0:
                    fcntl.flock(self._fd, fcntl.LOCK_UN)
            self._thread.release()


class _Prepared:
    """A statement for many rows, compiled once: for ten rows that costs Core more than running it costs SQLite."""

    def __init__(self, engine: Engine, statement: Any) -> None:
        compiled = statement.compile(dialect=engine.dialect)
        self._sql = str(compiled)
        self._names: Sequence[str] = compiled.positiontup
        self._fixed = dict(compiled.params)
        self._values = itemgetter(*self._names)

    def run(self, connection: Connection, rows: Iterable[dict[str, Any]]) -> int:
        """Run it for each of ``rows``; how many rows of the table it changed."""
        return connection.exec_driver_sql(
            self._sql, [self._values({**self._fixed, **row}) for row in rows]
        ).rowcount


def _with_number(key: str, number: int | str) -> str:
    folder, slash, name = key.rpartition("/")
    return f"{folder}{slash}{numbered(name, number)}"


def _row(record: Record) -> dict[str, Any]:
    return {**record.__dict__, "process": this_process()}


def _record(row: Any) -> Record:
    return Record(**{name: row[name] for name in Record.__dataclass_fields__})


def _engine(url: str) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name != "sqlite":
        engine.dispose()
        raise SettingError(f"UPLOADS_DATABASE must be a SQLite URL; it is {url!r}.")
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT, "isolation_level": None}, pool_size=32)

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        _use_wal(connection)
        connection.execute("PRAGMA synchronous=NORMAL")
        # A checkpoint waits for the disk, behind all that was just uploaded: seldom is better. 32 MB of log at most.
        connection.execute("PRAGMA wal_autocheckpoint=8000")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("uploads")
        execute = connection.connection.cursor().execute
        try:
            if mode:
                # NORMAL survives a killed process; FULL a power cut, at the price of an fsync.
                execute(f"PRAGMA synchronous={'FULL' if mode == 'final' else 'NORMAL'}")
            # A reader that turns writer half-way can fail at once, busy timeout or not; a declared writer waits.
            execute("BEGIN IMMEDIATE" if mode else "BEGIN")
        except sqlite3.Error as error:
            raise OperationalError("BEGIN", None, error) from error

    return engine


def _check_columns(connection: Connection, table: Table) -> None:
    """SQLAlchemyError where the table lacks a column: said at the start, and not in the middle of an upload."""
    lacking = set(table.c.keys()) - {column["name"] for column in inspect(connection).get_columns(table.name)}
    if lacking:
        raise SQLAlchemyError(
            f"another version made it (its table {table.name} has no {min(lacking)}); move it away or name another"
        )


def _use_wal(connection: sqlite3.Connection) -> None:
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            # The one lock that SQLite does not wait for: processes that start together on a new file want it.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
