"""What the records need of a database, whatever engine it is."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from sqlite3 import SQLITE_FULL
from typing import Any

from sqlalchemy import Connection, Engine, Table, bindparam, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ..errors import Rejected, from_os_error
from . import tables

#: Seconds that a writer waits for another one.
BUSY_TIMEOUT = 10


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def is_id(text: str) -> bool:
    """Whether this can be an id: what a client puts into an address may be no text for a database at all."""
    return len(text) == 32 and text.isascii() and text.isalnum()


class Prepared:
    """A statement for many rows, compiled once: for ten rows that costs Core more than running it costs SQLite."""

    def __init__(self, engine: Engine, statement: Any) -> None:
        compiled = statement.compile(dialect=engine.dialect)
        self.sql = str(compiled)
        # By position, where the driver takes them so; else by name. itemgetter() of one name gives no tuple.
        names = compiled.positiontup if compiled.positional else None
        self._values = itemgetter(*names) if names and len(names) > 1 else None
        self._name = names[0] if names and len(names) == 1 else None

    def values(self, row: Mapping[str, Any]) -> Any:
        """``row`` as the driver takes it."""
        if self._name is not None:
            return (row[self._name],)
        return self._values(row) if self._values else row

    def run(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> int:
        """Run it for each of ``rows``; how many rows of the table it changed."""
        return connection.exec_driver_sql(self.sql, [self.values(row) for row in rows]).rowcount


class NotSynced(SQLAlchemyError):
    """What was committed is there for everybody, and may not be after a power cut."""


def from_database_error(error: SQLAlchemyError) -> Rejected:
    """The refusal for a failure of the database: 507 where its disk has no room, else 503."""
    if isinstance(error.__cause__, OSError):
        return from_os_error(error.__cause__)
    said = error.orig if isinstance(error, DBAPIError) else None
    # disk_full of PostgreSQL (its documentation, appendix A).
    full = getattr(said, "sqlite_errorcode", 0) == SQLITE_FULL or getattr(said, "sqlstate", "") == "53100"
    return Rejected.because("disk_full" if full else "unavailable")


class Database:
    """Transactions of an engine, and what it has of its own. Failures are ``SQLAlchemyError``."""

    #: Whether a start may bring the tables to the newest revision by itself.
    upgrades_itself: bool
    #: What gives the name of each table in ``:tables`` that is there, with that of each of its columns.
    columns_sql: str
    #: Where it lies, for one that is a file of this machine.
    file: str | None = None

    def __init__(self, engine: Engine, *, durable: bool) -> None:
        self.engine = engine
        self.durable = durable
        tables.fit(engine.dialect.name)

    def __str__(self) -> str:
        """Its address, without a password."""
        return self.engine.url.set(query={}).render_as_string(hide_password=True)

    def write(self, *, final: bool = False) -> contextlib.AbstractContextManager[Connection]:
        """A transaction that writes. ``final``: what it wrote survives a power cut (where durable), or NotSynced."""
        raise NotImplementedError

    def change_each(
        self, statement: Prepared, rows: Sequence[Mapping[str, Any]], *, final: bool = False
    ) -> bool:
        """A :meth:`write` of one statement for each of ``rows``, if each changes one row of the table.

        False where one does not: then none was changed.
        """
        with self.write(final=final) as connection:
            changed = statement.run(connection, rows) == len(rows)
            if not changed and (transaction := connection.get_transaction()):
                transaction.rollback()
        return changed

    def settle(self) -> None:
        """Wait until all that can be seen by now survives a power cut (where durable). NotSynced where it may not."""

    def alone(self) -> contextlib.AbstractContextManager[Connection]:
        """A final transaction beside which no other of these runs, however long it takes."""
        raise NotImplementedError

    def queue(self, connection: Connection, name: str) -> None:
        """Wait until no other writing transaction has queued for ``name``; others wait until this one ends."""
        raise NotImplementedError

    def reserve_table(self, connection: Connection, table: Table) -> None:
        """Wait until nobody else has written to ``table`` and not yet ended; who wants to, waits for us."""
        raise NotImplementedError

    def may_repeat(self, error: DBAPIError) -> bool:
        """Whether a transaction that failed so may succeed when it is begun anew."""
        raise NotImplementedError

    def wrote_nothing(self, error: DBAPIError) -> bool:
        """Whether it is certain of a transaction that failed so that nothing of it is there."""
        return False

    def upsert(self, table: Table) -> Any:
        """An INSERT that knows ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""
        raise NotImplementedError

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self.engine.connect() as connection:
            yield connection

    def look(self) -> contextlib.AbstractContextManager[Connection]:
        """A connection that changes nothing, whoever's database it turns out to be."""
        return self.read()

    def columns(self, connection: Connection, tables: Iterable[str]) -> dict[str, set[str]]:
        """The columns of those of ``tables`` that are there, and are tables.

        In one plain question: SQLAlchemy's own inspection asks for more, and puts the words together anew each time.
        """
        statement = text(self.columns_sql).bindparams(bindparam("tables", expanding=True))
        found: dict[str, set[str]] = {}
        for table, column in connection.execute(statement, {"tables": list(tables)}):
            found.setdefault(table, set()).add(column)
        return found

    def unsafe_setting(self) -> str | None:
        """A setting of its server that is off, so that a power cut takes what was committed."""
        return None

    def check(self) -> None:
        """SQLAlchemyError unless it answers, and has the tables."""
        with self.read() as connection:
            connection.execute(text("SELECT 1 FROM files LIMIT 1"))

    def check_writable(self) -> None:
        """SQLAlchemyError unless it takes a transaction that writes; this one changes nothing."""
        with self.write() as connection:
            connection.execute(text("UPDATE files SET size = size WHERE 1 = 0"))

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()
