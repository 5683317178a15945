"""What the records need of a database, whatever engine it is."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Engine, Table, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

#: Seconds that a writer waits for another one.
BUSY_TIMEOUT = 10


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def is_id(text: str) -> bool:
    """Whether this can be an id: what a client puts into an address may be no text for a database at all."""
    return len(text) == 32 and text.isascii() and text.isalnum()


class NotSynced(SQLAlchemyError):
    """What was committed is there for everybody, and may not be after a power cut."""


class Database:
    """Transactions of an engine, and what it has of its own. Failures are ``SQLAlchemyError``."""

    #: Whether a start may bring the tables to the newest revision by itself.
    upgrades_itself: bool

    def __init__(self, engine: Engine, *, durable: bool) -> None:
        self.engine = engine
        self.durable = durable

    def __str__(self) -> str:
        """Its address, without a password."""
        return self.engine.url.set(query={}).render_as_string(hide_password=True)

    def write(self, *, final: bool = False) -> contextlib.AbstractContextManager[Connection]:
        """A transaction that writes. ``final``: what it wrote survives a power cut (where durable), or NotSynced."""
        raise NotImplementedError

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

    def check(self) -> None:
        """SQLAlchemyError unless it answers, and has the tables."""
        with self.read() as connection:
            connection.execute(text("SELECT 1 FROM files LIMIT 1"))

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()
