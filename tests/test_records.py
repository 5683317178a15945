"""Records: reserved, stored, found again; at a cost that does not grow with what is there."""

import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from core import SAMPLES, codes, commit, database_url, make_app, rows, site_of
from sqlalchemy import event, text
from sqlalchemy.exc import SQLAlchemyError

from dropzone_app import SettingError, processes
from dropzone_app.records import BATCH_LIFETIME, UNDOING, Record, Records, new_id, now, upgrading
from dropzone_app.records import database as database_module
from dropzone_app.records import records as records_module
from dropzone_app.records import sqlite as sqlite_module
from dropzone_app.state import states
from dropzone_app.uploads import Site

TXT = b"hello"


def opened(folder: Path) -> Records:
    with upgrading():
        return Records(database_url(folder))


@pytest.fixture
def records(database: str, tmp_path: Path) -> Iterator[Records]:
    made = opened(tmp_path)
    yield made
    made.close()


@pytest.fixture
def other_records(records: Records, tmp_path: Path) -> Iterator[Records]:
    """The same database, as another process has it: with connections and a queue of its own."""
    made = opened(tmp_path)
    yield made
    made.close()


@pytest.fixture
def sqlite_records(tmp_path: Path) -> Iterator[Records]:
    made = Records(f"sqlite:///{tmp_path}/app.sqlite")
    yield made
    made.close()


@pytest.fixture
def site(database: str, tmp_path: Path) -> Iterator[Site]:
    made = site_of(make_app(tmp_path))
    yield made
    made.records.close()


def row(key: str = "a.txt", **fields: Any) -> Record:
    given = {"owner": "me", "uuid": new_id(), "created": now(), **fields}
    return Record(
        id=new_id(),
        set="files",
        filename=key,
        path="",
        key=key,
        size=1,
        type="text/plain",
        sha256=None,
        **given,
    )


def store(records: Records, *wanted: Record) -> list[Record]:
    reserved = records.reserve(wanted)
    records.store([record.id for record in reserved])
    return reserved


# ---- what a batch costs


@contextmanager
def statements(records: Records) -> Iterator[list[str]]:
    """Every statement sent to the database, in order."""
    sent: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        sent.append(statement)

    def change_each(connection: Any, sql: str, values: list[Any]) -> bool:
        sent.append(sql)
        return changes(connection, sql, values)

    changes = sqlite_module._change_each
    event.listen(records._engine, "before_cursor_execute", note)
    with patch.object(sqlite_module, "_change_each", change_each):
        yield sent
    event.remove(records._engine, "before_cursor_execute", note)


@contextmanager
def connecting(records: Records, prepare: Callable[..., None]) -> Iterator[None]:
    """Give every connection of SQLite to ``prepare``, also one that would have been kept."""
    records.close()
    event.listen(records._engine, "connect", prepare)
    try:
        yield
    finally:
        event.remove(records._engine, "connect", prepare)
        records.close()


@contextmanager
def steps(records: Records) -> Iterator[Callable[[], int]]:
    """What statements cost, whatever the machine is: how much is looked at, in a unit of the engine's own."""
    count = [0]

    def tick() -> int:
        count[0] += 1
        return 0

    def prepare(connection: Any, _: Any) -> None:
        # Ten steps of SQLite's virtual machine.
        connection.set_progress_handler(tick, 10)

    if records._engine.dialect.name == "sqlite":
        with connecting(records, prepare):
            yield lambda: count[0]
    else:
        before = touched(records)
        yield lambda: touched(records) - before


def touched(records: Records) -> int:
    """The pages of tables and indexes that PostgreSQL has looked at so far, for the records of this test."""
    with records._engine.connect() as connection:
        # Counts wait in each session for a while.
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        connection.commit()
        pages = "SELECT sum(heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit)"
        ours = "FROM pg_statio_user_tables WHERE schemaname = current_schema()"
        return int(connection.execute(text(f"{pages} {ours}")).scalar() or 0)


def tidy(records: Records) -> None:
    """Do at once what PostgreSQL does by itself within a minute: count its rows anew, and clear old ones away."""
    if records._engine.dialect.name == "postgresql":
        with records._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE files"))


def sent_for(site: Site, names: list[str], **form: str) -> int:
    with statements(site.records) as sent:
        assert codes(commit(site, *[(name, TXT) for name in names], **form)) == [None] * len(names)
    return len(sent)


def uuids(count: int, prefix: str) -> dict[str, str]:
    return {f"uuid_{n}": f"{prefix}{n}" for n in range(count)}


def test_a_batch_costs_as_many_statements_with_a_hundred_parts_as_with_one(site: Site) -> None:
    costs = [sent_for(site, [f"{count}-{n}.txt" for n in range(count)]) for count in (1, 10, 100)]
    assert costs[0] == costs[1] == costs[2]


def test_so_does_a_batch_of_one_name(site: Site) -> None:
    commit(site, ("image.jpg", SAMPLES["jpg"]), ("a.txt", TXT))
    costs = [sent_for(site, ["a.txt"] * count) for count in (1, 10, 100)]
    assert costs[0] == costs[1] == costs[2]


def test_so_does_a_batch_of_which_every_name_is_taken(site: Site) -> None:
    commit(site, *[(f"{n}.txt", TXT) for n in range(100)])
    costs = [sent_for(site, [f"{n}.txt" for n in range(count)]) for count in (1, 10, 100)]
    assert costs[0] == costs[1] == costs[2]


def test_so_does_a_batch_that_is_sent_again(site: Site) -> None:
    names = [f"{n}.txt" for n in range(100)]
    commit(site, *[(name, TXT) for name in names], **uuids(100, "u"))
    costs = [sent_for(site, names[:count], **uuids(count, "u")) for count in (1, 10, 100)]
    assert costs[0] == costs[1] == costs[2]


def test_the_ten_thousandth_file_of_a_name_costs_as_much_as_the_tenth(site: Site) -> None:
    def cost() -> int:
        with steps(site.records) as count:
            commit(site, ("image.jpg", SAMPLES["jpg"]))
            return count()

    store(site.records, *[row("image.jpg") for _ in range(10)])
    cost()
    early = cost()
    assert early > 0
    store(site.records, *[row("image.jpg") for _ in range(10_000)])
    assert cost() <= early * 2 + 20


def test_a_batch_costs_no_more_where_much_is_stored(site: Site) -> None:
    def cost(prefix: str) -> int:
        with steps(site.records) as count:
            commit(site, *[(f"{prefix}{n}.txt", TXT) for n in range(10)])
            return count()

    # Not from nothing: the first rows of all give the trees their height.
    store(site.records, *[row(f"{n}.pdf") for n in range(1000)])
    tidy(site.records)
    cost("first")
    early = cost("early")
    assert early > 0
    store(site.records, *[row(f"{n}.bin") for n in range(10_000)])
    tidy(site.records)
    assert cost("late") <= early * 2 + 20


def test_a_page_of_files_costs_the_same_wherever_it_is_in_the_list(records: Records) -> None:
    def cost(after: tuple[int, str] | None) -> int:
        with steps(records) as count:
            assert len(records.files("me", limit=50, after=after)) == 50
            return count()

    store(records, *[row(f"{n}.txt", created=n) for n in range(60)])
    few = cost(None)
    store(records, *[row(f"{n + 100}.txt", created=n + 100) for n in range(8000)])
    store(records, *[row(f"{n}.bin", owner="someone else", created=10**6) for n in range(2000)])
    tidy(records)
    first = cost(None)
    deep = records.files("me", limit=1, after=(1000, "f" * 32))[0]
    assert first <= few * 2 + 20
    assert cost((deep.created, deep.id)) <= first * 2 + 20


def test_a_batch_of_thousands_is_no_trouble(records: Records) -> None:
    wanted = [row(f"{n % 7}.txt", uuid=f"u{n}") for n in range(3000)]
    reserved = store(records, *wanted)
    assert len({record.key for record in reserved}) == 3000
    # All of them again: the rows that are there come back.
    again = records.reserve([row(f"{n % 7}.txt", uuid=f"u{n}") for n in range(3000)])
    assert [record.id for record in again] == [record.id for record in reserved]


# ---- the two steps


def test_what_is_reserved_exists_for_nobody(records: Records) -> None:
    (reserved,) = records.reserve([row()])
    assert records.file(reserved.id) is None
    assert records.files("me", limit=10) == []
    assert list(records.everything()) == []
    assert records.retire(reserved.id, "me") is None
    assert records.reserved_or_stored(reserved.id) == reserved
    records.store([reserved.id])
    assert records.file(reserved.id) is not None


def test_keys_are_numbered_in_the_table(records: Records) -> None:
    reserved = [records.reserve([row("a.txt")])[0].key for _ in range(4)]
    assert reserved == ["a.txt", "a_1.txt", "a_2.txt", "a_3.txt"]
    assert records.reserve([row("x/a.txt"), row("x/a.txt")])[1].key == "x/a_1.txt"


def test_a_uuid_that_is_there_brings_back_its_own_row(records: Records) -> None:
    (first,) = records.reserve([row(uuid="u")])
    other, mine = records.reserve([row(uuid="u"), row()])
    assert other.id == first.id
    assert mine.key == "a_1.txt"
    assert records.reserve([row(uuid="u", owner="someone else")])[0].id != first.id


def test_many_threads_reserve_without_losing_a_row(records: Records) -> None:
    reserved: list[Record] = []
    together = threading.Barrier(16)

    def reserve() -> None:
        together.wait()
        reserved.extend(records.reserve([row("a.txt"), row("b.txt"), row("a.txt", uuid="shared")]))

    threads = [threading.Thread(target=reserve) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reserved) == 48
    assert len({record.id for record in reserved}) == 33
    assert len({record.key for record in reserved}) == 33


def test_two_processes_on_one_database_do_not_get_the_same_key(
    records: Records, other_records: Records
) -> None:
    got: list[str] = []
    together = threading.Barrier(2)

    def reserve(mine: Records) -> None:
        together.wait()
        got.extend(mine.reserve([row()])[0].key for _ in range(50))

    threads = [threading.Thread(target=reserve, args=(mine,)) for mine in (records, other_records)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(got)) == 100


def test_storing_is_all_or_nothing(records: Records) -> None:
    one, other = records.reserve([row("a.txt"), row("b.txt")])
    records.release([other])
    with pytest.raises(SQLAlchemyError, match="undone"):
        records.store([one.id, other.id])
    assert records.file(one.id) is None
    assert records.withdraw([one.id, other.id]) == {one.id: UNDOING}
    with pytest.raises(SQLAlchemyError, match="undone"):
        records.store([one.id])


def test_a_reservation_taken_back_frees_its_key_and_uuid(records: Records) -> None:
    (reserved,) = records.reserve([row(uuid="u")])
    records.release([reserved])
    (again,) = records.reserve([row(uuid="u")])
    assert (again.key, again.id != reserved.id) == ("a.txt", True)


def test_what_is_being_undone_keeps_its_key_and_stands_in_no_other_way(records: Records) -> None:
    (undoing,) = records.reserve([replace(row(uuid="u", once=True), sha256="d" * 64)])
    records.withdraw([undoing.id])
    assert records.of_uuids(undoing.owner, ["u"]) == {}
    (again,) = records.reserve([replace(row(uuid="u", once=True), sha256="d" * 64)])
    assert (again.key, again.id != undoing.id) == ("a_1.txt", True)


def test_what_is_stored_cannot_be_released(records: Records) -> None:
    (stored,) = store(records, row())
    records.release([stored])
    assert records.file(stored.id)


def test_another_key_is_given_where_a_foreign_file_lies(records: Records) -> None:
    (reserved,) = records.reserve([row("holiday/a.txt")])
    moved = records.rekey(reserved)
    assert moved.key.startswith("holiday/a_") and moved.key.endswith(".txt")
    assert records.reserved_or_stored(reserved.id) == moved


# ---- what survives


def test_the_last_commit_of_an_upload_waits_for_the_disk_and_no_other_does(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert waits_of(site, monkeypatch) == ["commit", "commit", "disk"]


def test_it_does_not_wait_where_that_is_not_wanted(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of(make_app(tmp_path, UPLOADS_DURABLE=False))
    assert waits_of(site, monkeypatch) == ["commit", "commit"]


def waits_of(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commits of one batch, and where one waits for the disk of the database."""
    steps: list[str] = []
    real = os.fdatasync

    def fdatasync(fd: int) -> None:
        assert os.readlink(f"/proc/self/fd/{fd}").endswith("/app.sqlite-wal")
        database = site.records._database
        assert isinstance(database, sqlite_module.SQLite)
        assert not database.writing._thread.locked(), "nobody waits with it"
        real(fd)
        steps.append("disk")

    def trace(connection: Any, _: Any) -> None:
        connection.set_trace_callback(lambda sql: steps.append("commit") if sql == "COMMIT" else None)

    def ask(connection: Any) -> None:
        asked = connection.connection.cursor().execute("SHOW synchronous_commit").fetchone()
        steps.extend(["commit", "disk"] if asked[0] == "on" else ["commit"])

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    if site.records._engine.dialect.name == "postgresql":
        event.listen(site.records._engine, "commit", ask)
        assert codes(commit(site, ("a.txt", TXT), ("b.txt", TXT))) == [None, None]
    else:
        with connecting(site.records, trace):
            assert codes(commit(site, ("a.txt", TXT), ("b.txt", TXT))) == [None, None]
    return steps


def test_a_repeat_waits_for_what_the_first_one_may_still_be_waiting_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of(make_app(tmp_path, UPLOADS_DATABASE=f"sqlite:///{tmp_path}/here.sqlite"))
    commit(site, ("a.txt", TXT), uuid_0="u")
    waits: list[int] = []
    monkeypatch.setattr(os, "fdatasync", waits.append)
    (verdict,) = commit(site, ("a.txt", TXT), uuid_0="u").verdicts
    assert verdict.repeated and len(waits) == 1
    assert states(site, "me", ["u"])["u"].record and len(waits) == 2
    assert states(site, "me", ["another"]) == {} and len(waits) == 2


def test_what_the_disk_of_the_database_refuses_is_not_stored(
    sqlite_records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    reserved = sqlite_records.reserve([row("a.txt"), row("b.txt")])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(SQLAlchemyError, match="Input/output error"):
            sqlite_records.store([record.id for record in reserved])
    assert list(sqlite_records.everything()) == []
    sqlite_records.release(reserved)
    assert [record.key for record in store(sqlite_records, row("a.txt"))] == ["a.txt"]


def test_a_database_without_a_log_waits_for_the_disk_by_itself(tmp_path: Path) -> None:
    sent: list[str] = []
    connection = sqlite3.connect(":memory:")
    connection.set_trace_callback(sent.append)
    sqlite_module._connected(connection, None)
    connection.close()
    assert "PRAGMA journal_mode=WAL" in sent
    assert not any("synchronous" in statement for statement in sent), "SQLite's own is FULL"


def test_the_database_is_in_wal_mode_and_waits_when_it_is_busy(sqlite_records: Records) -> None:
    with sqlite_records._engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 10_000


def test_readers_do_not_wait_for_a_writer(records: Records, other_records: Records) -> None:
    (stored,) = store(records, row())
    with other_records._write() as connection:
        connection.execute(text("UPDATE files SET filename = 'changed'"))
        found = records.file(stored.id)
        assert found and found.filename == "a.txt"
    found = records.file(stored.id)
    assert found and found.filename == "changed"


def test_what_was_stored_is_there_after_a_restart(tmp_path: Path, records: Records) -> None:
    (stored,) = store(records, row())
    records.close()
    again = opened(tmp_path)
    assert [record.id for record in again.everything()] == [stored.id]
    again.close()


# ---- whose reservation it is


def test_a_reservation_of_a_living_process_is_nobodys_to_undo(records: Records) -> None:
    records.reserve([row()])
    assert records.claim_abandoned() == []


@pytest.mark.parametrize(
    "process",
    [
        "{host} 999999999 1",
        "{host} {pid} 12345",
        "{host} {pid}",
        "{name}/another-start {pid} {started}",
        "",
        None,
    ],
)
def test_a_reservation_of_a_process_that_is_gone_is_claimed_once(
    records: Records, process: str | None
) -> None:
    """Gone: no such process; its number given to another one; the machine started anew; never named."""
    (reserved,) = records.reserve([row()])
    host, pid, started = processes.this_process().split(" ")
    if process is not None:
        name = host.partition("/")[0]
        process = process.format(host=host, name=name, pid=os.getpid(), started=started)
    assert pid == str(os.getpid())
    with records._write() as connection:
        connection.execute(text("UPDATE files SET process = :process"), {"process": process})
    assert [record.id for record in records.claim_abandoned()] == [reserved.id]
    assert records.claim_abandoned() == [], "another process must not undo it a second time"


def test_what_many_claim_at_once_is_given_to_each_of_them_once(
    records: Records, other_records: Records
) -> None:
    reserved = records.reserve([row(f"{n}.txt") for n in range(200)])
    with records._write() as connection:
        connection.execute(text("UPDATE files SET process = ''"))
    together = threading.Barrier(4)

    def claim(mine: Records) -> list[str]:
        together.wait()
        return [record.id for record in mine.claim_abandoned()]

    with ThreadPoolExecutor(4) as pool:
        claimed = list(pool.map(claim, [records, other_records] * 2))
    assert sorted(id for ids in claimed for id in ids) == sorted(record.id for record in reserved)


def test_the_same_bytes_at_once_are_one_file_where_they_are_kept_once(
    records: Records, other_records: Records
) -> None:
    for attempt in range(20):
        together = threading.Barrier(4)
        wanted = [replace(row(f"{attempt}-{n}.txt"), once=True, sha256=f"{attempt:064}") for n in range(4)]

        def reserve(mine: Records, one: Record, together: threading.Barrier = together) -> str:
            together.wait()
            return mine.reserve([one])[0].id

        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(reserve, [records, other_records] * 2, wanted))
        assert len(set(got)) == 1


def test_a_reservation_of_another_machine_is_given_a_day(records: Records) -> None:
    young, old = records.reserve([row("a.txt"), row("b.txt", created=now() - BATCH_LIFETIME - 10**6)])
    with records._write() as connection:
        connection.execute(text("UPDATE files SET process = 'elsewhere/boot 1 1'"))
    assert [record.id for record in records.claim_abandoned()] == [old.id]
    assert young.id


# ---- finding files


def test_files_are_listed_newest_first_and_page_by_page(records: Records) -> None:
    stored = store(records, *[row(f"{n}.txt", created=n // 3) for n in range(20)])
    store(records, row("other.txt", owner="someone else"))
    expected = sorted(stored, key=lambda record: (record.created, record.id), reverse=True)
    found: list[Record] = []
    while page := records.files("me", limit=7, after=(found[-1].created, found[-1].id) if found else None):
        found += page
    assert [record.id for record in found] == [record.id for record in expected]


def test_a_file_knows_its_owner(records: Records) -> None:
    (stored,) = store(records, row())
    found = records.file(stored.id)
    assert found and found.owner == "me"
    assert records.file("0" * 32) is None


def test_a_retired_file_is_gone_for_everyone_and_its_uuid_is_free(records: Records) -> None:
    (stored,) = store(records, row(uuid="u"))
    assert records.retire(stored.id, "someone else") is None
    retired = records.retire(stored.id, "me")
    assert retired and retired.key == "a.txt"
    assert records.retire(stored.id, "me") is None
    assert records.file(stored.id) is None
    assert list(records.everything()) == []
    assert records.reserve([row(uuid="u")])[0].key == "a_1.txt", "its bytes may still lie there"
    records.release([stored])


def test_text_of_every_script_comes_back_as_it_was(records: Records) -> None:
    wanted = replace(row('世界 😀\'s "file"; DROP TABLE files.txt'), path="Größe/день")
    (stored,) = store(records, wanted)
    found = records.file(stored.id)
    assert found and (found.key, found.filename, found.path) == (wanted.key, wanted.filename, wanted.path)


# ---- reports


def test_a_report_is_kept_a_day_for_its_owner(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    start = now()
    id = records.add_batch("me", {"parts": [1, 2]})
    report = records.batch(id, "me")
    assert report and report["parts"] == [1, 2] and report["id"] == id
    assert records.batch(id, "someone else") is None
    assert records.batch("0" * 32, "me") is None
    monkeypatch.setattr(records_module, "now", lambda: start + BATCH_LIFETIME - 10**9)
    assert records.batch(id, "me")
    monkeypatch.setattr(records_module, "now", lambda: start + BATCH_LIFETIME + 10**9)
    assert records.batch(id, "me") is None
    records.add_batch("me", {})
    with records._engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM batches")).scalar() == 1, "old ones are removed"


# ---- the database itself


def test_a_database_that_is_gone_is_told(tmp_path: Path, records: Records) -> None:
    records.check()
    with records._write() as connection:
        connection.execute(text("DROP TABLE files"))
    with pytest.raises(SQLAlchemyError):
        records.check()


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg2://x/y", "postgresql+asyncpg://x/y", "mysql://x/y", "nonsense", "", "sqlite"]
)
def test_a_database_that_cannot_be_used_stops_with_a_sentence(url: str) -> None:
    with pytest.raises(SettingError, match=r"^UPLOADS_DATABASE must be a "):
        Records(url)


def test_ids_are_random_and_128_bits_long() -> None:
    made = {new_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(len(id) == 32 and int(id, 16) >= 0 for id in made)


def test_no_row_is_left_behind_by_a_batch(site: Site) -> None:
    commit(site, ("a.txt", TXT), ("b.exe", b"MZ"))
    assert rows(site) == [("a.txt", "stored")]


def test_a_database_of_another_version_stops_the_start_with_a_sentence(
    records: Records, tmp_path: Path
) -> None:
    with records._engine.begin() as connection:
        connection.execute(text("ALTER TABLE files DROP COLUMN mark"))
    with pytest.raises(SettingError, match=r"its table files is not ours \(it has no mark\).*name another"):
        opened(tmp_path)


def test_a_writer_that_has_waited_for_long_goes_past_the_queue(
    sqlite_records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT", 0.05)
    # Else writers behind one that does not end would be refused one after another, each after its whole timeout.
    assert sqlite_records._database.writing.take()
    reserved: list[Record] = []
    writer = threading.Thread(target=lambda: reserved.extend(sqlite_records.reserve([row()])))
    writer.start()
    writer.join(30)
    sqlite_records._database.writing.leave()
    assert [record.key for record in reserved] == ["a.txt"]
