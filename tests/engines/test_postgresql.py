"""PostgreSQL that is killed, restarted, slow to decide, behind or shared: no upload is half there, and all heals."""

import contextlib
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from core import assert_records_and_files_agree, batch_of, codes, commit, make_app, site_of, visible
from engines.fleet import SERVERS, wait_until
from engines.postgresql import PostgreSQL
from engines.wire import Visitor
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from support import LiveServer, free_port
from test_records import row
from webclient import untraced

from dropzone_app import SettingError
from dropzone_app.errors import MESSAGES
from dropzone_app.records import Records, migrations, upgrading
from dropzone_app.records.tables import metadata

TXT = b"hello"


@pytest.fixture
def url(postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty place on the server of all tests; `make_app` uses it."""
    url = postgresql.empty()
    monkeypatch.setenv("TESTS_DATABASE", url)
    return url


@pytest.fixture
def own() -> Iterator[PostgreSQL]:
    """A server that a test may kill."""
    with PostgreSQL() as server:
        yield server


@contextlib.contextmanager
def opened(url: str) -> Iterator[Records]:
    with upgrading(), contextlib.closing(Records(url)) as records:
        yield records


def upgrade(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`flask uploads upgrade`, as a person runs it."""
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", "dropzone_app", "uploads", "upgrade"],
        cwd=folder,
        env={**os.environ, "FLASK_UPLOADS_DATABASE": url},
        capture_output=True,
        text=True,
        timeout=60,
    )


def server(folder: Path, url: str, **options: Any) -> LiveServer:
    env = {"FLASK_UPLOADS_DATABASE": url, "FLASK_UPLOADS_TYPES": "txt"}
    return LiveServer(folder, env=env, **options)


def health(server: LiveServer) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"{server.url}/healthz", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


# ---- its tables


def test_a_start_stops_with_what_to_do_until_it_was_done(url: str, tmp_path: Path) -> None:
    with pytest.raises(
        SettingError, match=r"UPLOADS_DATABASE: .* has no tables.*run `flask uploads upgrade`"
    ):
        Records(url)
    done = upgrade(url, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(" are up to date.\n")
    with server(tmp_path, url) as running:
        assert Visitor(running).upload([("a.txt", TXT)]).status == 201
    with contextlib.closing(Records(url)) as records, records._write() as connection:
        connection.execute(text("UPDATE uploads_version SET version_num = '0001'"))
    with pytest.raises(SettingError, match=r"has revision 0001 of the tables, and .* is needed; run `flask"):
        Records(url)


def test_the_revisions_make_what_the_code_declares(url: str) -> None:
    with opened(url) as records, records._write(final=True) as connection:
        metadata.drop_all(connection)
        # Noted as begun and with nothing done, so that Alembic runs them all.
        connection.execute(text("CREATE TABLE uploads_version (version_num VARCHAR(32) PRIMARY KEY)"))
    with opened(url) as records, records._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "uploads_version"})
        assert compare_metadata(context, metadata) == []
        at = connection.execute(text("SELECT version_num FROM uploads_version")).scalar()
        assert at == migrations.HEAD


@pytest.mark.parametrize("begun", [False, True], ids=["empty", "by all revisions"])
def test_processes_that_upgrade_at_once_do_it_once(url: str, tmp_path: Path, begun: bool) -> None:
    if begun:
        with opened(url) as records, records._write(final=True) as connection:
            metadata.drop_all(connection)
            connection.execute(text("CREATE TABLE uploads_version (version_num VARCHAR(32) PRIMARY KEY)"))
    with ThreadPoolExecutor(4) as pool:
        for done in pool.map(lambda _: upgrade(url, tmp_path), range(4)):
            assert done.returncode == 0, done.stderr
    with contextlib.closing(Records(url)) as records, records._engine.connect() as connection:
        assert list(connection.execute(text("SELECT version_num FROM uploads_version")).scalars()) == [
            migrations.HEAD
        ]


def test_an_upgrade_does_not_wait_for_ever_for_somebody_who_uses_the_tables(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dropzone_app.records.postgresql._UPGRADE_PATIENCE", 1)
    with opened(url) as records:
        with records._write(final=True) as connection:
            connection.execute(text("UPDATE uploads_version SET version_num = '0001'"))
        with records._write() as somebody:
            somebody.execute(text("SELECT * FROM files"))
            with pytest.raises(SettingError, match="canceling statement due to lock timeout"), opened(url):
                pass


# ---- its address


@pytest.mark.parametrize(
    "wrong",
    [
        "postgresql+psycopg://me:geheim@/x?host=/nowhere",
        "postgresql+psycopg2://me:geheim@h/x",
        "mysql://me:geheim@h/x",
        "//me:geheim@h/x",
    ],
)
def test_no_sentence_tells_the_password(wrong: str) -> None:
    with pytest.raises(SettingError, match=r"^UPLOADS_DATABASE") as told:
        Records(wrong)
    assert "geheim" not in str(told.value)
    assert "\n" not in str(told.value)


def test_without_psycopg_the_start_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from dropzone_app.records import Records\nRecords('postgresql+psycopg://me@/x')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].endswith(
        "UPLOADS_DATABASE is PostgreSQL, and psycopg is not installed; "
        "run `pip install 'dropzone_app[postgresql]'`."
    )


def test_what_the_url_says_of_a_session_wins(url: str) -> None:
    with (
        opened(f"{url}%20-clock_timeout%3D3s&application_name=mine") as records,
        records._read() as connection,
    ):
        said = {
            name: connection.execute(text(f"SHOW {name}")).scalar()
            for name in ("lock_timeout", "application_name", "transaction_isolation", "statement_timeout")
        }
    assert said == {
        "lock_timeout": "3s",
        "application_name": "mine",
        "transaction_isolation": "read committed",
        "statement_timeout": "30s",
    }


@pytest.mark.parametrize("path", ["/files/{}/x", "/batches/{}", "/uploads/{}", "/files/{}"])
def test_an_address_that_no_database_takes_as_text_is_not_found(url: str, tmp_path: Path, path: str) -> None:
    client = make_app(tmp_path).test_client()
    for id in ("%00" * 32, "a%00", "%ff", "é" * 32, "a" * 5000):
        answer = client.get(path.format(id)) if path != "/files/{}" else client.delete(path.format(id))
        assert answer.status_code == 404, (id, answer.text)


# ---- lost connections


def test_a_database_that_is_killed_is_a_sentence_and_heals(own: PostgreSQL, tmp_path: Path) -> None:
    url = own.empty()
    assert upgrade(url, tmp_path).returncode == 0
    with server(tmp_path, url, workers=2) as running:
        visitor = Visitor(running)
        assert visitor.upload([("a.txt", TXT)]).status == 201
        own.kill()
        for _ in range(4):
            answer = visitor.upload([("b.txt", TXT)])
            assert (answer.status, untraced(answer.text)) == (503, MESSAGES["unavailable"].text)
            status, text = health(running)
            assert (status, untraced(text)) == (503, MESSAGES["unavailable"].text)
        own.start()
        # From the first one on, whichever worker takes it and whatever connections it still holds.
        for _ in range(4):
            assert health(running)[0] == 200
            assert visitor.upload([("c.txt", TXT)]).status == 201
        own.stop()
        own.start()
        assert visitor.upload([("d.txt", TXT)]).status == 201
    assert visible(tmp_path) == ["a.txt", "c.txt", "c_1.txt", "c_2.txt", "c_3.txt", "d.txt"]


def test_sessions_that_an_operator_ends_cost_no_upload(
    postgresql: PostgreSQL, url: str, tmp_path: Path
) -> None:
    site = site_of(make_app(tmp_path))
    for number in range(3):
        end_sessions(postgresql)
        assert codes(commit(site, (f"{number}.txt", TXT))) == [None]
    assert_records_and_files_agree(tmp_path, site)


def end_sessions(postgresql: PostgreSQL) -> None:
    with postgresql.connection() as operator:
        operator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'dropzone_app' AND pid <> pg_backend_pid()"
        )


@pytest.mark.parametrize("transaction", [1, 2])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_that_is_lost_at_a_commit_leaves_all_or_nothing(
    postgresql: PostgreSQL, url: str, tmp_path: Path, transaction: int, when: str
) -> None:
    site = site_of(make_app(tmp_path))
    commits: list[int] = []

    def lose(connection: Any) -> None:
        commits.append(1)
        if len(commits) == transaction:
            if when == "after":
                connection.connection.driver_connection.commit()
                raise OperationalError("COMMIT", None, Exception("the connection is lost"))
            end_sessions(postgresql)

    event.listen(site.records._engine, "commit", lose)
    batch = batch_of(site, ("a.txt", TXT), ("b.txt", TXT), uuid_0="u")
    if (transaction, when) == (2, "after"):
        # Only the answer of the last commit was lost: it is asked for again.
        batch.commit()
        assert codes(batch) == [None, None]
    else:
        with pytest.raises(Exception, match=r"terminating connection|the connection is lost"):
            batch.commit()
        assert list(site.records.everything()) == []
    batch.discard()
    assert_records_and_files_agree(tmp_path, site)
    assert codes(commit(site, ("a.txt", TXT), ("b.txt", TXT), uuid_0="u")) == [None, None]
    assert_records_and_files_agree(tmp_path, site)


def test_a_reservation_that_a_crash_of_the_database_has_lost_leaves_no_file(
    postgresql: PostgreSQL, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not final does not wait for the server's disk, so a server that is killed may forget it."""
    site = site_of(make_app(tmp_path))

    def forget(committed: Any) -> None:
        assert visible(tmp_path) == ["a.txt"]
        with site.records._engine.begin() as connection:
            connection.execute(text("DELETE FROM files"))

    with monkeypatch.context() as patch:
        patch.setattr(site.storage, "sync", forget)
        with pytest.raises(Exception, match="a reservation was undone"):
            commit(site, ("a.txt", TXT))
    assert visible(tmp_path) == []
    assert_records_and_files_agree(tmp_path, site)


def test_a_start_without_the_database_says_so(own: PostgreSQL, tmp_path: Path) -> None:
    url = own.empty()
    assert upgrade(url, tmp_path).returncode == 0
    own.stop()
    done = subprocess.run(
        [sys.executable, "-m", "dropzone_app", "--port", str(free_port())],
        cwd=tmp_path,
        env={**os.environ, "FLASK_UPLOADS_DATABASE": url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    own.start()
    assert done.returncode == 1
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith("UPLOADS_DATABASE: postgresql+psycopg://test@/postgres cannot be used: ")


def test_a_server_killed_amid_uploads_leaves_no_file_without_record_and_none_the_other_way(
    own: PostgreSQL, tmp_path: Path
) -> None:
    url = own.empty()
    assert upgrade(url, tmp_path).returncode == 0
    acknowledged: set[str] = set()
    with server(tmp_path, url, workers=1) as running:
        visitor = Visitor(running)
        ended = threading.Event()

        def send(thread: int) -> None:
            number = 0
            while not ended.is_set():
                number += 1
                answer = visitor.upload([(f"{thread}-{number}-{part}.txt", TXT) for part in range(5)])
                assert answer.status in {201, 503}, answer
                if answer.status == 201:
                    acknowledged.update(file["key"] for file in answer.files)

        with ThreadPoolExecutor(4) as pool:
            senders = [pool.submit(send, thread) for thread in range(4)]
            for _ in range(5):
                enough = len(acknowledged) + 50
                wait_until(lambda enough=enough: len(acknowledged) >= enough, "uploads that go in")
                own.kill()
                time.sleep(0.1)
                own.start()
            ended.set()
            for sender in senders:
                sender.result()
        # What could not be undone is undone with the next upload that succeeds.
        assert visitor.upload([("last.txt", TXT)]).status == 201
        with opened(url) as records:
            recorded = {record.key for record in records.everything()}
            assert acknowledged <= recorded
            assert recorded == {path.name for path in (tmp_path / "uploads").glob("*.txt")}
            with records._read() as connection:
                unfinished = "SELECT count(*) FROM files WHERE state <> 'stored'"
                assert connection.execute(text(unfinished)).scalar() == 0
    assert list((tmp_path / "uploads" / ".staging").iterdir()) == []


# ---- several at once


def test_two_that_want_each_others_rows_get_them_one_after_the_other(
    postgresql: PostgreSQL, url: str
) -> None:
    with opened(url) as records, postgresql.connection() as other:
        (first, second) = (row("x.txt", uuid="1"), row("y.txt", uuid="2"))
        schema = url.rpartition("%3D")[2]
        # The deadlock is found by the one that asks first, and that shall be ours.
        other.execute("SET deadlock_timeout = '60s'")
        other.execute(f"SET search_path = {schema}")

        def insert(key: str, uuid: str) -> None:
            other.execute(
                "INSERT INTO files"
                " (id, set, owner, uuid, state, filename, path, storage, key, size, type, once, created)"
                " VALUES (%s, 'files', 'me', %s, 'stored', '', '', '', %s, 1, '', false, 1)",
                [f"{uuid:0>32}", uuid, key],
            )

        with ThreadPoolExecutor(1) as pool:
            other.execute("BEGIN")
            insert("theirs-2.txt", "2")
            reserved = pool.submit(records.reserve, [first, second])
            wait_until(lambda: waiting(postgresql) == 1, "a reservation that waits")
            insert("theirs-1.txt", "1")
            other.execute("COMMIT")
            assert [record.key for record in reserved.result(30)] == ["theirs-1.txt", "theirs-2.txt"]


def waiting(postgresql: PostgreSQL) -> int:
    with postgresql.connection() as operator:
        locked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        [(count,)] = operator.execute(locked).fetchall()
        return int(count)


@pytest.mark.parametrize("decision", ["COMMIT", "ROLLBACK"])
def test_what_is_taken_back_while_its_commit_is_undecided_waits_for_the_decision(
    postgresql: PostgreSQL, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decision: str
) -> None:
    """A lost connection's transaction may still be at work in the server."""
    site = site_of(make_app(tmp_path))
    schema = url.rpartition("%3D")[2]
    with postgresql.connection() as lost, ThreadPoolExecutor(1) as pool:
        lost.execute(f"SET search_path = {schema}")

        def store(ids: list[str]) -> None:
            lost.execute("BEGIN")
            lost.execute("UPDATE files SET state = 'stored', process = NULL WHERE id = ANY(%s)", [ids])
            raise TimeoutError("connection lost")

        with monkeypatch.context() as patch:
            patch.setattr(site.records, "store", store)
            committed = pool.submit(commit, site, ("a.txt", TXT), uuid_0="u")
            wait_until(lambda: waiting(postgresql) == 1, "an undoing that waits")
            assert visible(tmp_path) == ["a.txt"]
            lost.execute(decision)
            with pytest.raises(TimeoutError):
                committed.result(30)
    assert visible(tmp_path) == (["a.txt"] if decision == "COMMIT" else [])
    assert_records_and_files_agree(tmp_path, site)
    assert codes(commit(site, ("a.txt", TXT), uuid_0="u")) == [None]
    assert_records_and_files_agree(tmp_path, site)


def test_workers_forked_from_a_loaded_app_use_no_connection_together(own: PostgreSQL, tmp_path: Path) -> None:
    url = own.empty()
    assert upgrade(url, tmp_path).returncode == 0
    command = [*SERVERS["gunicorn"], "--preload"]
    with server(tmp_path, url, command=command) as running:
        visitor = Visitor(running)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: visitor.upload([(f"{n}.txt", TXT)]), range(80)))
        assert [answer.status for answer in answers] == [201] * 80
        assert own.count() <= 2 * 16 + 1


def test_a_database_that_a_power_cut_would_empty_is_told(url: str) -> None:
    # As these tests run it: they wait for no disk.
    with opened(url) as records:
        assert records.unsafe_setting() == "fsync"
        assert records.database_file is None
