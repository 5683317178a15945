"""PostgreSQL through psycopg: many machines may write at once, and connections may be lost at any moment."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Iterator
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from .database import BUSY_TIMEOUT, Database

#: Seconds for one statement: what takes longer is answered 503, and does not hold a thread of the server.
_STATEMENT_TIMEOUT = 30
#: Seconds that an upgrade waits for what still uses the tables.
_UPGRADE_PATIENCE = 60

#: Of the session, where the URL says nothing else. A machine that vanishes frees its locks within a minute.
_OPTIONS = {
    "lock_timeout": f"{BUSY_TIMEOUT}s",
    "statement_timeout": f"{_STATEMENT_TIMEOUT}s",
    "default_transaction_isolation": r"read\ committed",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
#: The same from our side, and how long to wait for a server that does not answer.
_CONNECTION = {
    "connect_timeout": "5",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "application_name": "dropzone_app",
}

#: SQLSTATE of what succeeds when it is simply begun anew: serialization_failure, deadlock_detected.
_REPEATABLE = {"40001", "40P01"}

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def _forget_connections() -> None:
    """In a forked worker: its parent's connections are its parent's."""
    for engine in _engines:
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_connections)


class PostgreSQL(Database):
    """A database of a server. ModuleNotFoundError where psycopg is not installed."""

    upgrades_itself = False
    # relkind: a table, and one in partitions. attnum: what people have named.
    columns_sql = (
        "SELECT relname, attname FROM pg_catalog.pg_class "
        "JOIN pg_catalog.pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped "
        "WHERE relkind IN ('r', 'p') AND pg_catalog.pg_table_is_visible(pg_class.oid) AND relname IN :tables"
    )

    def __init__(self, url: URL, *, durable: bool) -> None:
        options = _OPTIONS if durable else {**_OPTIONS, "synchronous_commit": "off"}
        said = url.query.get("options", "")
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args={
                **{key: value for key, value in _CONNECTION.items() if key not in url.query},
                # What the URL says comes last, and wins.
                "options": " ".join([*(f"-c {key}={value}" for key, value in options.items()), str(said)]),
            },
            # As many as the documented server has threads. Each is asked whether it lives before it is used: after
            # a restart of the server none does.
            pool_size=8,
            max_overflow=8,
            pool_timeout=BUSY_TIMEOUT,
            pool_pre_ping=True,
            # We have no such columns, and to ask for the type costs each start a question.
            use_native_hstore=False,
        )
        super().__init__(engine, durable=durable)
        _engines.add(engine)

    @contextlib.contextmanager
    def write(self, *, final: bool = False) -> Iterator[Connection]:
        with self.engine.begin() as connection:
            if self.durable and not final:
                # The server's own setting is for what is final. What may be lost need not wait for its disk.
                connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            yield connection

    @contextlib.contextmanager
    def alone(self) -> Iterator[Connection]:
        with self.write(final=True) as connection:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_UPGRADE_PATIENCE}s'")
            self.queue(connection, "upgrade")
            yield connection

    def queue(self, connection: Connection, name: str) -> None:
        lock = func.pg_advisory_xact_lock(func.hashtextextended(f"dropzone_app {name}", 0))
        connection.execute(select(lock))

    def reserve_table(self, connection: Connection, table: Table) -> None:
        connection.exec_driver_sql(f'LOCK TABLE "{table.name}" IN EXCLUSIVE MODE')

    def upsert(self, table: Table) -> Any:
        return insert(table)

    def unsafe_setting(self) -> str | None:
        with self.read() as connection:
            for setting in ("fsync", "full_page_writes"):
                if connection.exec_driver_sql(f"SHOW {setting}").scalar() != "on":
                    return setting
        return None

    def may_repeat(self, error: DBAPIError) -> bool:
        return getattr(error.orig, "sqlstate", None) in _REPEATABLE
