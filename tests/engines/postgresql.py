"""A real PostgreSQL: started once for all tests that ask, on a socket in a folder of its own."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Self

import psycopg
from sqlalchemy import create_mock_engine
from support import missing, runs

from dropzone_app.records.migrations import HEAD
from dropzone_app.records.tables import metadata, version


class PostgreSQL:
    """A server that can be stopped, killed and started again. Its data need not survive a power cut.

    Use it in a `with`: however the block ends, the server and its folder are gone.
    """

    def __init__(self) -> None:
        # Short, for the path of a socket has a hundred characters; and entered by the server's own user.
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        self._user: list[str] = []
        if os.geteuid() == 0:
            # The server refuses to run as root.
            postgres = pwd.getpwnam("postgres")
            os.chown(self.folder, postgres.pw_uid, postgres.pw_gid)
            self._user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self._data = self.folder / "data"
        self._log = self.folder / "log"
        self._server: subprocess.Popen[bytes] | None = None
        self._with_tables: list[str] = []
        self._used: list[str] = []
        self._as_made: tuple[int, ...] | None = None
        how = ["--username=test", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
        self._run("initdb", "-D", str(self._data), *how).wait()

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [*self._user, program_of_postgresql(program), *arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "autovacuum": "off",
        }
        options = [f"--{key}={value}" for key, value in settings.items()]
        self._server = self._run("postgres", "-D", str(self._data), *options)
        deadline = time.monotonic() + 30
        while True:
            try:
                with self.connection():
                    return
            except psycopg.OperationalError:
                assert self._server.poll() is None and time.monotonic() < deadline, self._log.read_text()
                time.sleep(0.02)

    def stop(self) -> None:
        """End all sessions, then the server, in order."""
        assert self._server
        self._server.send_signal(signal.SIGINT)
        self._server.wait(30)

    def kill(self) -> None:
        """End it and all its sessions at once; they are gone on return."""
        assert self._server
        children = Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children").read_text().split()
        pids = [self._server.pid, *map(int, children)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._server.wait()
        deadline = time.monotonic() + 10
        while any(map(runs, pids)):
            assert time.monotonic() < deadline, "a killed PostgreSQL does not go away"
            time.sleep(0.01)

    @contextlib.contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """A session of our own, in which every statement stands for itself."""
        with psycopg.connect(
            host=str(self.folder), user="test", dbname="postgres", autocommit=True
        ) as connection:
            yield connection

    def count(self) -> int:
        """How many sessions there are beside the one that asks."""
        with self.connection() as connection:
            others = (
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> %s"
            )
            [(count,)] = connection.execute(others, [connection.info.backend_pid]).fetchall()
            return int(count)

    def empty(self, *, tables: bool = False) -> str:
        """The URL of a new place: a schema, without tables or with those of the newest revision."""
        return self._url(self._schemas(1, _tables() if tables else "")[0])

    @contextlib.contextmanager
    def lent(self) -> Iterator[str]:
        """The URL of an empty place with the tables of the newest revision, which may be somebody else's afterwards.

        To make one means forty files, and to remove it as many: what hundreds of tests have used is emptied for others.
        """
        self._with_tables = self._with_tables or self._emptied() or self._schemas(20, _tables())
        name = self._with_tables.pop()
        yield self._url(name)
        self._used.append(name)

    def _url(self, name: str) -> str:
        return f"postgresql+psycopg://test@/postgres?host={self.folder}&options=-csearch_path%3D{name}"

    def _schemas(self, number: int, filled: str = "") -> list[str]:
        names = _names(number)
        with self.connection() as connection:
            for name in names:
                connection.execute(f"CREATE SCHEMA {name}; SET search_path = {name}; {filled}")
            if filled and self._as_made is None:
                self._as_made = self._look(connection, names[0])
        return names

    def _emptied(self) -> list[str]:
        """Those that were lent and are as they were made, without their rows; under new names, so that nobody who still
        goes on with one finds it."""
        if len(self._used) < 20 or self.count():
            return []
        used, self._used = self._used, []
        names = []
        with self.connection() as connection:
            for old, new in zip(used, _names(len(used)), strict=True):
                if self._look(connection, old) == self._as_made:
                    connection.execute(
                        f"ALTER SCHEMA {old} RENAME TO {new}; SET search_path = {new}; {_NO_ROWS}"
                    )
                    names.append(new)
        return names

    @staticmethod
    def _look(connection: psycopg.Connection, name: str) -> tuple[int, ...]:
        """What tells a schema in which something was changed, or that holds more than a megabyte."""
        found = connection.execute(
            """
            SELECT count(DISTINCT pg_class.oid), count(*),
                (SELECT count(*) FROM pg_proc WHERE pronamespace = %(schema)s::regnamespace),
                (SELECT count(*) FROM pg_trigger JOIN pg_class AS its ON its.oid = tgrelid
                    WHERE its.relnamespace = %(schema)s::regnamespace),
                (SELECT sum(pg_relation_size(its.oid)) > 1000000 FROM pg_class AS its
                    WHERE its.relnamespace = %(schema)s::regnamespace)::int
            FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND NOT attisdropped
            WHERE relnamespace = %(schema)s::regnamespace
            """,
            {"schema": name},
        )
        return tuple(found.fetchall()[0])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server and self._server.poll() is None:
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait(30)
        shutil.rmtree(self.folder)


_NO_ROWS = "; ".join(f"DELETE FROM {table.name}" for table in metadata.sorted_tables if table is not version)


def _names(number: int) -> list[str]:
    return [f"t{secrets.token_hex(6)}" for _ in range(number)]


@cache
def _tables() -> str:
    """All that makes the tables, as the server is told."""
    statements: list[str] = []
    engine = create_mock_engine(
        "postgresql+psycopg://",
        lambda made, *_, **__: statements.append(str(made.compile(dialect=engine.dialect))),
    )
    metadata.create_all(engine, checkfirst=False)
    return ";".join([*statements, f"INSERT INTO {version.name} VALUES ('{HEAD}')"])


def program_of_postgresql(name: str) -> str:
    """The path of one of its programs: Debian keeps them out of PATH, since several versions may be there."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    path = str(found[-1]) if found else shutil.which(name)
    if not path:
        missing("PostgreSQL is not installed; `make test` installs it as root on Debian.")
    return path
