"""SQLite: write-ahead log, one writer at a time, writers in a queue."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import URL, Connection, Table, create_engine, event
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from . import database
from .database import Database, NotSynced, Prepared


class SQLite(Database):
    """A file, or ``:memory:``."""

    upgrades_itself = True
    columns_sql = (
        "SELECT made.name, has.name FROM sqlite_master AS made, pragma_table_info(made.name) AS has "
        "WHERE made.type = 'table' AND made.name IN :tables"
    )

    def __init__(self, url: URL, *, durable: bool) -> None:
        engine = create_engine(
            url, connect_args={"timeout": database.BUSY_TIMEOUT, "isolation_level": None}, pool_size=32
        )
        super().__init__(engine, durable=durable)
        event.listen(engine, "do_connect", lambda *_: self._check_place())
        event.listen(engine, "connect", _connected)
        event.listen(engine, "begin", _begin)
        self.writers = engine.execution_options(uploads="write")
        self.file = None if url.database in {None, "", ":memory:"} else url.database
        #: Device and inode of the file that is open.
        self.place: tuple[int, int] | None = None
        self.writing = _Turn(self.file)
        #: The connection of whoever has the turn: to take one from the pool costs as much as a statement.
        self.kept: Connection | None = None
        #: The place of the file that it is to.
        self.kept_of: tuple[int, int] | None = None

    def __str__(self) -> str:
        return self.file or super().__str__()

    def _check_place(self) -> None:
        """sqlite3.OperationalError where the file is not at its place: what is open would still take everything, and
        nobody would find it again. One that was put there since, from a backup say, is opened in its stead.
        """
        if self.file is None:
            return
        try:
            status = os.stat(self.file)
        except FileNotFoundError:
            if self.place is not None:
                raise sqlite3.OperationalError("the file of the database is gone") from None
            return
        place = status.st_dev, status.st_ino
        if self.place != place:
            if self.place is not None:
                self.engine.dispose()
            self.place = place

    def check_place(self) -> None:
        """The same, with OperationalError as SQLAlchemy has it."""
        try:
            self._check_place()
        except (sqlite3.Error, OSError) as error:
            raise OperationalError("open", None, error) from error

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        self.check_place()
        with super().read() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self, *, final: bool = False) -> Iterator[Connection]:
        with _Writing(self) as connection, connection.begin():
            yield connection
        if final:
            self.settle()

    def change_each(
        self, statement: Prepared, rows: Sequence[Mapping[str, Any]], *, final: bool = False
    ) -> bool:
        values = [statement.values(row) for row in rows]
        with _Writing(self) as connection:
            # By the driver: Core takes longer for an empty transaction than SQLite for ten rows.
            changed = _change_each(connection.connection.driver_connection, statement.sql, values)
        if final:
            self.settle()
        return changed

    def settle(self) -> None:
        # After the turn: SQLite's own way (synchronous=FULL) has all other writers wait for the disk too, and the
        # disk for one of them after the other. What is no longer in the log was synced when it left it
        # (sqlite.org/wal.html, 3.2).
        if not self.durable or self.file is None:
            return
        try:
            with contextlib.suppress(FileNotFoundError):
                # SQLite follows links before it names its log.
                fd = os.open(f"{os.path.realpath(self.file)}-wal", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fdatasync(fd)
                finally:
                    os.close(fd)
        except OSError as error:
            raise NotSynced(f"the log of the database: {error.strerror}") from error

    @contextlib.contextmanager
    def look(self) -> Iterator[Connection]:
        # One that has not switched the file to WAL.
        plain = create_engine(
            self.engine.url, connect_args={"timeout": database.BUSY_TIMEOUT}, poolclass=NullPool
        )
        with plain.connect() as connection:
            yield connection

    def alone(self) -> contextlib.AbstractContextManager[Connection]:
        return self.write(final=True)

    def queue(self, connection: Connection, name: str) -> None:
        # Whoever writes is the only one that does.
        pass

    def reserve_table(self, connection: Connection, table: Table) -> None:
        # As above.
        pass

    def may_repeat(self, error: DBAPIError) -> bool:
        return False

    def upsert(self, table: Table) -> Any:
        return insert(table)

    def close(self) -> None:
        if self.kept is not None:
            self.kept.close()
            self.kept = None
        super().close()

    def wrote_nothing(self, error: DBAPIError) -> bool:
        # Extended codes have it in their lowest byte (sqlite.org/rescode.html).
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


class _Turn:
    """Writers of SQLite wait here for each other, threads and processes alike, in order and without polling.

    What excludes is SQLite's own lock; this only queues. Where the folder cannot be locked (some network
    file systems) or the descriptor is shared (workers forked after it was opened), SQLite's polling remains;
    so it does for a thread that has waited for long: behind somebody who does not come to an end, a queue of
    waiters that each had their whole busy timeout would be answered in minutes.
    """

    def __init__(self, file: str | None) -> None:
        self._thread = threading.Lock()
        self._folder = os.path.dirname(file) if file else None
        self._fd = -1

    def take(self) -> bool:
        """Wait for the turn; whether no other thread has it. Who has it must :meth:`leave` it."""
        if not self._thread.acquire(timeout=database.BUSY_TIMEOUT):
            return False
        with contextlib.suppress(OSError):
            if self._folder and self._fd < 0:
                # The folder: closing a descriptor of the database itself would drop SQLite's locks.
                self._fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            if self._fd >= 0:
                fcntl.flock(self._fd, fcntl.LOCK_EX)
        return True

    def leave(self) -> None:
        """Let the next one write."""
        with contextlib.suppress(OSError):
            if self._fd >= 0:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
        self._thread.release()


class _Writing:
    """A turn and its connection, which is in no transaction yet. No generator: those cost as much as a statement."""

    def __init__(self, sqlite: SQLite) -> None:
        self._sqlite = sqlite

    def __enter__(self) -> Connection:
        sqlite = self._sqlite
        began = time.monotonic()
        self._alone = sqlite.writing.take()
        waited = time.monotonic() - began
        kept = None
        try:
            sqlite.check_place()
            self._place = sqlite.place
            if self._alone:
                kept, sqlite.kept = sqlite.kept, None
            if kept and sqlite.kept_of != self._place:
                kept.close()
                kept = None
            self._connection = kept or sqlite.writers.connect()
            # All waiting together is one busy timeout, and a second more for who had to wait behind others.
            self._hurries = waited > 1
            if self._hurries:
                _wait_at_most(self._connection, max(database.BUSY_TIMEOUT - waited, 1))
        except BaseException:
            if self._alone:
                sqlite.writing.leave()
            raise
        return self._connection

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        try:
            if self._hurries:
                _wait_at_most(self._connection, database.BUSY_TIMEOUT)
            if self._alone and failure is None and self._sqlite.file:
                self._sqlite.kept, self._sqlite.kept_of = self._connection, self._place
            else:
                # To the pool, which rolls back.
                self._connection.close()
        finally:
            if self._alone:
                self._sqlite.writing.leave()


def _wait_at_most(connection: Connection, seconds: float) -> None:
    """How long SQLite itself waits for a lock."""
    driver: Any = connection.connection.driver_connection
    driver.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")


def _connected(connection: Any, _: Any) -> None:
    if _use_wal(connection):
        # Survives a killed process; what must survive a power cut waits for the log.
        connection.execute("PRAGMA synchronous=NORMAL")
    # A checkpoint waits for the disk, behind all that was just uploaded: seldom is better. 32 MB of log at most.
    connection.execute("PRAGMA wal_autocheckpoint=8000")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("uploads")
    try:
        # A reader that turns writer half-way can fail at once, busy timeout or not; a declared writer waits.
        connection.connection.cursor().execute("BEGIN IMMEDIATE" if writes else "BEGIN")
    except sqlite3.Error as error:
        raise OperationalError("BEGIN", None, error) from error


def _change_each(connection: Any, sql: str, rows: list[Any]) -> bool:
    """A transaction of its own that does nothing unless each of ``rows`` changes one of the table."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        changed: bool = connection.executemany(sql, rows).rowcount == len(rows)
        connection.execute("COMMIT" if changed else "ROLLBACK")
    except sqlite3.Error as error:
        # Whoever gives the connection back rolls back.
        raise OperationalError(sql, None, error) from error
    return changed


def _use_wal(connection: sqlite3.Connection) -> bool:
    """Whether this database has a write-ahead log now: some file systems cannot share its memory."""
    deadline = time.monotonic() + database.BUSY_TIMEOUT
    while True:
        try:
            mode: str = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            return mode == "wal"
        except sqlite3.OperationalError as error:
            # The one lock that SQLite does not wait for: processes that start together on a new file want it.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
