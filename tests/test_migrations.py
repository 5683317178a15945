"""The tables come to the newest revision: from nothing, from a database of before, with two at once, or not at all."""

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from core import make_app, site_of
from sqlalchemy import Connection, inspect, text

from dropzone_app import SettingError
from dropzone_app.records import Records, migrations
from dropzone_app.records.tables import metadata

# What version 0.1 made, as sqlite3 prints it: never changed.
BEFORE = """
CREATE TABLE files (
    id VARCHAR(32) NOT NULL, "set" VARCHAR(64) NOT NULL, owner VARCHAR(64) NOT NULL, uuid VARCHAR(64) NOT NULL,
    state VARCHAR(10) NOT NULL, filename TEXT NOT NULL, path TEXT NOT NULL, storage VARCHAR(64) NOT NULL,
    "key" TEXT NOT NULL, size BIGINT NOT NULL, type VARCHAR(100) NOT NULL, sha256 VARCHAR(64),
    once BOOLEAN NOT NULL, created BIGINT NOT NULL, process VARCHAR(200), mark VARCHAR(100),
    PRIMARY KEY (id), UNIQUE (owner, uuid), UNIQUE (storage, "key")
);
CREATE INDEX files_of_owner ON files (owner, created, id);
CREATE INDEX files_by_digest ON files (owner, sha256) WHERE once;
CREATE TABLE numbers ("key" TEXT NOT NULL, next INTEGER NOT NULL, PRIMARY KEY ("key"));
CREATE TABLE batches (
    id VARCHAR(32) NOT NULL, owner VARCHAR(64) NOT NULL, created BIGINT NOT NULL, report TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX ix_batches_created ON batches (created);
INSERT INTO files VALUES ('0123456789abcdef0123456789abcdef', 'files', 'me', 'u', 'stored', 'a.txt', '', '', 'a.txt',
    5, 'text/plain', NULL, 0, 1700000000000000, NULL, NULL);
INSERT INTO numbers VALUES ('/b.txt', 3);
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "app.sqlite"


def make(file: Path, statements: str) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.executescript(statements)


@contextlib.contextmanager
def opened(file: Path) -> Iterator[Records]:
    with contextlib.closing(Records(f"sqlite:///{file}")) as records:
        yield records


def revision(file: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return [at for (at,) in connection.execute("SELECT version_num FROM uploads_version")]


def tables(file: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def assert_as_declared(records: Records, *, from_before: bool = False) -> None:
    """No difference that Alembic sees between the tables that are there and those in tables.py.

    Types aside for a SQLite file from before: it holds nobody to the length of a VARCHAR, and owners may be longer now.
    """
    opts = {"version_table": "uploads_version", "compare_type": not from_before}
    with records._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, metadata) == []


def test_the_newest_revision_is_the_one_that_the_code_stands_for() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert scripts.get_heads() == [migrations.HEAD]
    # Compared as text, to tell newer from older.
    numbers = [script.revision for script in scripts.walk_revisions()]
    assert numbers == [f"{number:04}" for number in range(len(numbers), 0, -1)]


def test_a_new_database_has_the_newest_revision_and_costs_no_alembic(file: Path) -> None:
    program = (
        "import sys; from dropzone_app.records import Records; Records(sys.argv[1]).close();"
        "sys.exit('alembic' in sys.modules)"
    )
    for _ in ("new", "known"):
        subprocess.run([sys.executable, "-c", program, f"sqlite:///{file}"], check=True)
        assert revision(file) == [migrations.HEAD]


def test_the_revisions_make_what_the_code_declares(file: Path) -> None:
    # Noted as begun and with nothing done, so that Alembic runs them all.
    make(file, "CREATE TABLE uploads_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);")
    with opened(file) as records:
        assert_as_declared(records)
    assert revision(file) == [migrations.HEAD]


def test_a_database_of_before_is_upgraded_and_keeps_what_it_has(file: Path, tmp_path: Path) -> None:
    make(file, BEFORE)
    site = site_of(make_app(tmp_path))
    assert revision(file) == [migrations.HEAD]
    assert_as_declared(site.records, from_before=True)
    (record,) = site.records.everything()
    assert (record.key, record.owner, record.size) == ("a.txt", "me", 5)


def test_tables_of_someone_else_are_not_taken_for_ours_and_stay_as_they_are(file: Path) -> None:
    make(file, "CREATE TABLE files (name TEXT); INSERT INTO files VALUES ('theirs');")
    before = file.read_bytes()
    with pytest.raises(
        SettingError, match=r"UPLOADS_DATABASE.*its table files is not ours \(it has no created\)"
    ):
        Records(f"sqlite:///{file}")
    assert file.read_bytes() == before, "also the mode of its journal is theirs"


@pytest.mark.parametrize("name", sorted(metadata.tables.keys() - {"files", "uploads_version"}))
def test_a_foreign_table_of_another_name_of_ours_changes_nothing_either(file: Path, name: str) -> None:
    make(file, f"CREATE TABLE {name} (theirs INTEGER)")
    before = file.read_bytes()
    with pytest.raises(SettingError, match=rf"its table {name} is not ours \(it has no \w+\)"):
        Records(f"sqlite:///{file}")
    assert file.read_bytes() == before


def test_a_foreign_view_is_not_taken_for_a_table_of_ours(file: Path) -> None:
    make(file, "CREATE VIEW files AS SELECT 1 AS id")
    before = file.read_bytes()
    with pytest.raises(SettingError, match="its table files is not ours"):
        Records(f"sqlite:///{file}")
    assert file.read_bytes() == before


def test_a_newer_database_stops_the_start_with_a_sentence(file: Path) -> None:
    with opened(file) as records, records._write() as connection:
        connection.execute(text("UPDATE uploads_version SET version_num = '9999'"))
    with pytest.raises(SettingError, match="a newer version made it"):
        Records(f"sqlite:///{file}")
    assert revision(file) == ["9999"]


def test_the_hosts_own_migrations_are_left_alone(file: Path) -> None:
    """A host that uses Alembic in the same database has its own version table, under the usual name."""
    make(
        file,
        "CREATE TABLE alembic_version (version_num VARCHAR(32)); INSERT INTO alembic_version VALUES ('x');",
    )
    with opened(file):
        pass
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("x",)]


UPGRADES = """
import sys
from dropzone_app.records import Records
print("ready", flush=True)
sys.stdin.readline()
Records(sys.argv[1]).close()
"""


@pytest.mark.parametrize(
    "before", ["", BEFORE, "CREATE TABLE uploads_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);"]
)
def test_processes_that_upgrade_at_once_do_it_once(file: Path, before: str) -> None:
    make(file, before)
    command = [sys.executable, "-c", UPGRADES, f"sqlite:///{file}"]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout and process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    assert revision(file) == [migrations.HEAD]
    with opened(file) as records:
        assert_as_declared(records, from_before=before == BEFORE)


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(file, BEFORE)
    before = tables(file)

    run = migrations._run

    def fail(connection: Connection) -> None:
        run(connection)
        assert "uploads" in inspect(connection).get_table_names()
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(migrations, "_run", fail)
    with pytest.raises(sqlite3.OperationalError):
        Records(f"sqlite:///{file}")
    assert tables(file) == before


def test_the_command_says_that_all_is_done(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    result = app.test_cli_runner().invoke(args=["uploads", "upgrade"])
    assert result.exit_code == 0
    assert result.output == f"The tables of {tmp_path}/app.sqlite are up to date.\n"
