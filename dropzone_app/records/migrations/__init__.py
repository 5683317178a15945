"""The revisions of the tables, and how a database comes to the newest one.

To add a revision:

1. Change ``records/tables.py`` to what shall be.
2. Write ``versions/0002_what_changes.py`` after the pattern of the newest file there: ``revision`` is the next number
   (four digits), ``down_revision`` the one before, ``upgrade()`` is portable (``op.batch_alter_table`` for a column of
   SQLite) and quick: it runs in one transaction, while nobody can write.
3. Set ``HEAD`` below to that number.

``tests/test_migrations.py`` compares what the revisions make with ``tables.py``, on every engine. A revision that was
released is never changed.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path

from sqlalchemy import Connection, insert, inspect
from sqlalchemy.exc import SQLAlchemyError

from ...config import SettingError
from ..database import Database
from ..tables import metadata, version

#: The columns of tables, by their names.
_Columns = Mapping[str, set[str]]

#: The revision that ``tables.py`` stands for.
HEAD = "0011"

#: The tables as they were before there were revisions.
_BASELINE = "0001"
_OF_BASELINE = {
    "files": {
        *("id", "set", "owner", "uuid", "state", "filename", "path", "storage", "key", "size", "type"),
        *("sha256", "once", "created", "process", "mark"),
    },
    "numbers": {"key", "next"},
    "batches": {"id", "owner", "created", "report"},
}

_OF_HEAD = {table.name: set(table.c.keys()) for table in metadata.sorted_tables}

_asked_for = ContextVar("upgrade asked for", default=False)

# Alembic's `op` and `context` are the module's, not the thread's.
_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def upgrading() -> Iterator[None]:
    """Within this, every database that is opened is brought to ``HEAD``, whatever engine it is."""
    token = _asked_for.set(True)
    try:
        yield
    finally:
        _asked_for.reset(token)


def prepare(database: Database) -> None:
    """See that the tables are at ``HEAD``, and bring a database there that upgrades itself.

    SettingError, with what to do, for any other that is behind; SQLAlchemyError where the tables are not ours.
    """
    with database.look() as connection:
        there = database.columns(connection, _OF_HEAD)
        at = _revision(connection, there)
        if at == HEAD:
            _check_columns(there, _OF_HEAD)
            return
        if at is None:
            # Before anything is changed: they may be another program's.
            inspector = inspect(connection)
            names = {*inspector.get_table_names(), *inspector.get_view_names()}
            # From before there were revisions; or with nothing of ours, what is called so is not ours either.
            ours = _OF_HEAD | _OF_BASELINE if "files" in names else _OF_HEAD
            _check_columns(there, {name: of for name, of in ours.items() if name in names})
    if not (database.upgrades_itself or _asked_for.get()):
        raise SettingError(
            f"UPLOADS_DATABASE: {database} has {f'revision {at} of the tables' if at else 'no tables'}, and {HEAD} "
            "is needed; run `flask uploads upgrade` once, then start again."
        )
    upgrade(database)


def upgrade(database: Database) -> None:
    """Bring the tables to ``HEAD``, in one transaction. Of processes that try at once one does, the others wait."""
    with database.alone() as connection:
        there = database.columns(connection, _OF_HEAD)
        if version.name not in there:
            _begin(connection, there)
            there = database.columns(connection, _OF_HEAD)
        if _revision(connection, there) != HEAD:
            _run(connection)
            there = database.columns(connection, _OF_HEAD)
        _check_columns(there, _OF_HEAD)


def _revision(connection: Connection, there: _Columns) -> str | None:
    """The revision that the tables are at; None where none was ever noted."""
    if version.name not in there:
        return None
    at: str | None = connection.exec_driver_sql(f"SELECT version_num FROM {version.name}").scalar()
    if at and at > HEAD:
        raise SQLAlchemyError(
            f"a newer version made it (its tables are at {at}, here {HEAD} is known); install that"
        )
    return at


def _begin(connection: Connection, there: _Columns) -> None:
    """Note the first revision: of all tables, made now, or of those that are there from before."""
    if "files" in there:
        version.create(connection)
        connection.execute(insert(version).values(version_num=_BASELINE))
    else:
        metadata.create_all(connection)
        connection.execute(insert(version).values(version_num=HEAD))


def _run(connection: Connection) -> None:
    """Let Alembic run what is missing, inside the transaction of ``connection``."""
    # Here and not above: it costs a start that needs no upgrade more than all else of the records.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    with _one_at_a_time:
        command.upgrade(config, "head")


def _check_columns(there: _Columns, tables: _Columns) -> None:
    """SQLAlchemyError where a table lacks a column: said at the start, and not in the middle of an upload."""
    for table, columns in tables.items():
        lacking = columns - there.get(table, set())
        if lacking:
            raise SQLAlchemyError(
                f"its table {table} is not ours (it has no {min(lacking)}), but another program's or "
                "another version's; name another database"
            )
