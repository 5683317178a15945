"""What the records need of a database, whatever engine it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Engine, Table, text

#: Seconds that a writer waits for another one.
BUSY_TIMEOUT = 10


class Database:
    """Transactions of an engine, and what it has of its own. Failures are ``SQLAlchemyError``."""

    #: Whether a start may bring the tables to the newest revision by itself.
    upgrades_itself: bool

    def __init__(self, engine: Engine, *, durable: bool) -> None:
        self.engine = engine
        self.durable = durable

    def __str__(self) -> str:
        """Its address, without a password."""
        return self.engine.url.render_as_string(hide_password=True)

    def write(self, *, final: bool = False) -> contextlib.AbstractContextManager[Connection]:
        """A transaction that writes. ``final``: what it wrote survives a power cut (where durable)."""
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
