"""Batches: every part gets its own verdict, and what is not stored is not there at all."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from core import (
    SAMPLES,
    assert_nothing_is_kept,
    assert_records_and_files_agree,
    batch_of,
    codes,
    commit,
    file_part,
    forbid_tmpfile,
    form_body,
    held,
    keys,
    make_app,
    post,
    rows,
    site_of,
    visible,
)
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from werkzeug.datastructures import FileStorage

from dropzone_app import Rejected, UploadSet
from dropzone_app.batch import Batch, Verdict, index_of, refusal
from dropzone_app.intake import Part
from dropzone_app.records import sqlite as sqlite_module
from dropzone_app.uploads import Site

PNG = SAMPLES["png"]
TXT = b"hello"


# Each runs on each database.
pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def site(database: str, tmp_path: Path) -> Site:
    return site_of(make_app(tmp_path))


@pytest.fixture
def all_or_none(database: str, tmp_path: Path) -> Site:
    return site_of(make_app(tmp_path, UploadSet("files", batch="all", folder="")))


# ---- verdicts


def test_one_bad_part_does_not_fail_its_neighbours(site: Site, tmp_path: Path) -> None:
    batch = commit(site, ("a.png", PNG), ("b.exe", b"MZ"), ("c.txt", TXT))
    assert codes(batch) == [None, "extension", None]
    assert keys(batch) == ["a.png", "c.txt"]
    assert_records_and_files_agree(tmp_path, site)


def test_in_a_batch_of_ten_with_three_bad_ones_seven_are_stored(site: Site, tmp_path: Path) -> None:
    bad = {1: ("1.exe", b"MZ"), 4: ("4.png", b"GIF89a"), 9: ("...", b"x")}
    batch = commit(site, *[bad.get(n, (f"{n}.txt", str(n).encode())) for n in range(10)])
    assert codes(batch) == [
        *(None, "extension", None, None, "other_kind"),
        *(None, None, None, None, "empty_name"),
    ]
    assert_records_and_files_agree(tmp_path, site)
    for verdict in batch.verdicts:
        assert (verdict.record is None) == (verdict.rejected is not None)


def test_a_record_tells_all_about_its_file(site: Site) -> None:
    batch = commit(site, ("C:\\pictures\\Me.PNG", PNG), path_0="holiday/day 1", uuid_0="some-uuid")
    (record,) = site.records.everything()
    assert batch.verdicts[0].record and batch.verdicts[0].record.id == record.id
    assert (record.filename, record.key, record.path) == ("Me.PNG", "Me.PNG", "holiday/day 1")
    assert (record.size, record.type, record.sha256) == (len(PNG), "image/png", sha256(PNG).hexdigest())
    assert (record.owner, record.uuid, record.set, record.state) == ("me", "some-uuid", "files", "stored")
    assert len(record.id) == 32


def test_the_verdict_holds_what_is_recorded(site: Site) -> None:
    batch = commit(site, ("a.png", PNG), ("b.png", PNG))
    recorded = {record.id: record for record in site.records.everything()}
    for verdict in batch.verdicts:
        assert verdict.record
        found = recorded[verdict.record.id]
        for name in ("uuid", "set", "filename", "path", "key", "size", "type", "sha256", "created"):
            assert getattr(found, name) == getattr(verdict.record, name)


def test_an_empty_batch_is_refused(site: Site) -> None:
    with pytest.raises(Rejected) as refused:
        commit(site)
    assert refused.value.code == "no_file"


def test_a_batch_over_its_counts_is_refused_whole(tmp_path: Path) -> None:
    app = make_app(
        tmp_path,
        UploadSet("files", max_files=2),
        UploadSet("parts", max_parts=2),
        UploadSet("total", max_total_size=10),
    )
    for name, code in (
        ("files", "too_many_files"),
        ("parts", "too_many_parts"),
        ("total", "total_too_large"),
    ):
        with pytest.raises(Rejected) as refused:
            commit(site_of(app), *[(f"{n}.txt", b"12345") for n in range(3)], name=name)
        assert refused.value.code == code
        assert_nothing_is_kept(tmp_path, site_of(app))


# ---- checks of one's own


def test_a_check_of_ones_own_refuses_one_part(tmp_path: Path) -> None:
    seen: list[tuple[str | None, int, bytes, str | None]] = []

    def even_only(part: Part) -> None:
        with part.open() as file:
            content = file.read()
        seen.append((part.filename, part.size, content, part.sha256))
        if part.size % 2:
            raise Rejected("Even sizes only!", 422)

    app = make_app(tmp_path, UploadSet("files", checks=[even_only]))
    batch = commit(site_of(app), ("a.txt", b"12"), ("b.txt", b"123"), ("c.exe", b""), ("d.txt", b"1234"))
    assert codes(batch) == [None, "custom", "extension", None]
    assert seen[0] == ("a.txt", 2, b"12", sha256(b"12").hexdigest())
    assert [filename for filename, *_ in seen] == ["a.txt", "b.txt", "d.txt"], (
        "what is refused is not looked at"
    )
    assert_records_and_files_agree(tmp_path, site_of(app))


def test_after_a_refusal_no_further_check_is_asked(tmp_path: Path) -> None:
    asked = []

    def no(part: Part) -> None:
        raise Rejected("no")

    app = make_app(tmp_path, UploadSet("files", checks=[no, asked.append]))
    assert codes(commit(site_of(app), ("a.txt", b"12"))) == ["custom"]
    assert asked == []


def test_a_check_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    def broken(part: Part) -> None:
        raise ZeroDivisionError

    app = make_app(tmp_path, UploadSet("files", checks=[broken]), PROPAGATE_EXCEPTIONS=False)
    site = site_of(app)
    batch = Batch(site, site.upload_set(None), owner="me", form={})
    with pytest.raises(ZeroDivisionError):
        batch_of(site, ("a.txt", b"12"))
    batch.discard()
    assert post(app, form_body(file_part("file[0]", "a.txt", b"12"))).status_code == 500
    assert visible(tmp_path) == [] and rows(site) == []


# ---- what was declared


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"size_0": "5"}, None),
        ({"size_0": "005"}, None),
        ({"size_0": "4"}, "size_differs"),
        ({"size_0": "6"}, "size_differs"),
        ({"size_0": "five"}, "bad_field"),
        ({"size_0": "-5"}, "bad_field"),
        ({"size_0": "٥"}, "bad_field"),
        ({"size_0": "9" * 19}, "bad_field"),
        ({"sha256_0": sha256(TXT).hexdigest()}, None),
        ({"sha256_0": sha256(TXT).hexdigest().upper()}, None),
        ({"sha256_0": sha256(b"other").hexdigest()}, "digest_differs"),
        ({"sha256_0": "abc"}, "bad_field"),
        ({"uuid_0": "a/b"}, "bad_field"),
        ({"uuid_0": "x" * 65}, "bad_field"),
        ({"uuid_0": "a\n"}, "bad_field"),
        ({"uuid_0": "3f2504e0-4f89-41d3-9a0c-0305e82c3301"}, None),
        ({"size_0": "", "sha256_0": "", "uuid_0": "", "path_0": ""}, None),
        ({"size_1": "1", "sha256_7": "abc"}, None),
    ],
)
def test_what_is_declared_is_compared(
    site: Site, tmp_path: Path, form: dict[str, str], code: str | None
) -> None:
    assert codes(commit(site, ("a.txt", TXT), **form)) == [code]
    if code:
        assert_nothing_is_kept(tmp_path, site)


def test_a_digest_is_compared_where_none_is_kept(tmp_path: Path) -> None:
    site = site_of(make_app(tmp_path, UPLOADS_DIGEST="none"))
    assert codes(commit(site, ("a.txt", TXT), sha256_0=sha256(TXT).hexdigest())) == [None]
    assert codes(commit(site, ("b.txt", TXT), sha256_0=sha256(b"x").hexdigest())) == ["digest_differs"]
    assert [record.sha256 for record in site.records.everything()] == [None]


def test_a_field_belongs_to_the_part_of_its_index(site: Site) -> None:
    batch = commit(site, ("a.txt", b"1"), ("b.txt", b"22"), size_0="1", size_1="1", path_1="x", uuid_1="u")
    assert codes(batch) == [None, "size_differs"]
    batch = commit(site, ("a.txt", b"1"), ("b.txt", b"22"), path_1="x", uuid_1="u")
    assert [(v.record.path, v.record.uuid == "u") for v in batch.verdicts if v.record] == [
        ("", False),
        ("x", True),
    ]


def test_a_path_leads_nowhere(site: Site, tmp_path: Path) -> None:
    batch = commit(site, ("a.txt", b"1"), path_0="../../etc/\x00cron.d")
    assert batch.verdicts[0].record and batch.verdicts[0].record.path == "etc/cron.d"
    assert visible(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("key", "index"),
    [
        ("file[0]", 0),
        ("file[12]", 12),
        ("file", None),
        ("file[]", None),
        ("file[a]", None),
        ("file[1][2]", None),
    ],
)
def test_the_index_stands_in_the_key(key: str, index: int | None) -> None:
    assert index_of(key) == index


# ---- one name, many files


def test_ten_equal_names_in_a_batch_are_ten_files(site: Site, tmp_path: Path) -> None:
    batch = commit(site, *[("image.jpg", SAMPLES["jpg"] + bytes([n])) for n in range(10)])
    assert sorted(keys(batch)) == sorted(["image.jpg", *[f"image_{n}.jpg" for n in range(1, 10)]])
    assert {verdict.record.filename for verdict in batch.verdicts if verdict.record} == {"image.jpg"}
    for n, verdict in enumerate(batch.verdicts):
        assert verdict.record
        assert (tmp_path / "uploads" / verdict.record.key).read_bytes()[-1] == n
    assert_records_and_files_agree(tmp_path, site)


def test_fifty_uploads_of_one_name_at_once_are_fifty_files(site: Site, tmp_path: Path) -> None:
    together, failures = threading.Barrier(50), []

    def upload(number: int) -> None:
        batch = batch_of(site, ("image.jpg", SAMPLES["jpg"] + bytes([number])))
        together.wait()
        try:
            batch.commit()
            assert codes(batch) == [None]
        except BaseException as error:
            failures.append(error)

    run_at_once(*[lambda number=number: upload(number) for number in range(50)])
    assert failures == []
    last_bytes = {path.read_bytes()[-1] for path in (tmp_path / "uploads").glob("image*.jpg")}
    assert last_bytes == set(range(50))
    assert_records_and_files_agree(tmp_path, site)


def run_at_once(*calls: Callable[[], Any]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_names_shaped_like_numbered_ones_are_in_nobodys_way(site: Site, tmp_path: Path) -> None:
    names = ["a_1.txt", "a_2.txt", "a_1_1.txt", "a.txt", "a.txt", "a.txt", "a_1.txt", "a_3.txt", "a_3.txt"]
    first = commit(site, *[(name, TXT) for name in names])
    again = commit(site, *[(name, TXT) for name in names])
    assert codes(first) + codes(again) == [None] * 18
    assert len(set(keys(first) + keys(again))) == 18
    assert_records_and_files_agree(tmp_path, site)


def test_long_names_that_differ_at_their_end_are_in_nobodys_way(site: Site, tmp_path: Path) -> None:
    names = ["x" * 248 + f"{n}.txt" for n in range(9)] * 3
    batch = commit(site, *[(name, TXT) for name in names])
    assert codes(batch) == [None] * 27
    assert max(len(key) for key in keys(batch)) <= 255
    assert_records_and_files_agree(tmp_path, site)


def test_a_number_freed_by_a_deletion_hurts_nobody(site: Site, tmp_path: Path) -> None:
    commit(site, *[("a.txt", TXT)] * 3)
    record = next(r for r in site.records.everything() if r.key == "a_1.txt")
    (tmp_path / "uploads" / "a_1.txt").unlink()
    site.records.retire(record.id, "me")
    site.records.release([record])
    assert codes(commit(site, *[("a.txt", TXT)] * 3)) == [None] * 3
    assert_records_and_files_agree(tmp_path, site)


def test_foreign_files_are_neither_replaced_nor_removed(site: Site, tmp_path: Path) -> None:
    foreign = {"a.txt": "one", "a_1.txt": "two", "a_2.txt": "three", "b.png": "no image"}
    for name, content in foreign.items():
        (tmp_path / "uploads" / name).write_text(content)
    batch = commit(site, ("a.txt", TXT), ("a.txt", TXT), ("a.txt", TXT), ("b.png", PNG))
    assert codes(batch) == [None] * 4
    for name, content in foreign.items():
        assert (tmp_path / "uploads" / name).read_text() == content
    assert_records_and_files_agree(tmp_path, site, foreign=list(foreign))
    for verdict in batch.verdicts:
        assert verdict.record and (tmp_path / "uploads" / verdict.record.key).exists()


# ---- the same upload again


def test_the_same_upload_again_gets_the_recorded_verdict_and_no_second_file(
    site: Site, tmp_path: Path
) -> None:
    first = commit(site, ("a.txt", TXT), uuid_0="u")
    again = commit(site, ("a.txt", TXT), uuid_0="u")
    assert codes(again) == [None]
    assert again.verdicts[0].record and first.verdicts[0].record
    assert again.verdicts[0].record.id == first.verdicts[0].record.id
    assert again.verdicts[0].record.key == "a.txt"
    assert visible(tmp_path) == ["a.txt"]
    assert_records_and_files_agree(tmp_path, site)


@pytest.mark.parametrize("content", [b"other", b"longer than it was"])
def test_other_bytes_under_the_same_uuid_are_refused(site: Site, tmp_path: Path, content: bytes) -> None:
    commit(site, ("a.txt", TXT), uuid_0="u")
    again = commit(site, ("a.txt", content), ("b.txt", content), uuid_0="u")
    assert codes(again) == ["uuid_taken", None]
    assert again.verdicts[0].rejected and again.verdicts[0].rejected.status == 409
    assert again.verdicts[0].record is None
    assert (tmp_path / "uploads" / "a.txt").read_bytes() == TXT
    assert_records_and_files_agree(tmp_path, site)


def test_a_uuid_is_the_owners_own(site: Site, tmp_path: Path) -> None:
    commit(site, ("a.txt", TXT), uuid_0="u")
    batch = Batch(site, site.upload_set(None), owner="someone else", form={"uuid[0]": "u"})
    batch.add("file[0]", FileStorage(BytesIO(b"other"), "a.txt", "file[0]"))
    batch.commit()
    assert codes(batch) == [None]
    assert visible(tmp_path) == ["a.txt", "a_1.txt"]


def test_twins_in_one_batch_are_one_file(site: Site, tmp_path: Path) -> None:
    batch = commit(site, ("a.txt", TXT), ("b.txt", TXT), uuid_0="u", uuid_1="u")
    assert codes(batch) == [None, None]
    assert keys(batch) == ["a.txt", "a.txt"]
    assert_records_and_files_agree(tmp_path, site)


def test_twins_in_one_batch_with_other_bytes_are_told_apart(site: Site, tmp_path: Path) -> None:
    batch = commit(site, ("a.txt", TXT), ("b.txt", b"HELLO"), uuid_0="u", uuid_1="u")
    assert codes(batch) == [None, "uuid_taken"]
    assert_records_and_files_agree(tmp_path, site)


def test_the_same_upload_twice_at_once_is_one_file(site: Site, tmp_path: Path) -> None:
    together, verdicts = threading.Barrier(8), []

    def upload() -> None:
        batch = batch_of(site, ("a.txt", TXT), uuid_0="u")
        together.wait()
        batch.commit()
        verdicts.append(batch.verdicts[0])

    run_at_once(*[upload] * 8)
    assert len({verdict.record.id for verdict in verdicts if verdict.record}) == 1
    assert [verdict.rejected for verdict in verdicts] == [None] * 8
    assert visible(tmp_path) == ["a.txt"]
    assert_records_and_files_agree(tmp_path, site)


def test_a_repeated_upload_waits_for_the_first_to_be_stored(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked, go_on, real = threading.Event(), threading.Event(), site.storage.sync

    def slow(committed: Any) -> None:
        if not linked.is_set():
            linked.set()
            go_on.wait(10)
        real(committed)

    monkeypatch.setattr(site.storage, "sync", slow)
    first, again = batch_of(site, ("a.txt", TXT), uuid_0="u"), batch_of(site, ("a.txt", TXT), uuid_0="u")
    one = threading.Thread(target=first.commit)
    one.start()
    assert linked.wait(10)
    other = threading.Thread(target=again.commit)
    other.start()
    other.join(0.1)
    assert other.is_alive(), "it answered before the first was stored"
    go_on.set()
    one.join()
    other.join()
    assert codes(first) == codes(again) == [None]
    assert first.verdicts[0].record and again.verdicts[0].record
    assert first.verdicts[0].record.id == again.verdicts[0].record.id


def test_a_repeated_upload_whose_first_one_fails_can_be_sent_again(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked, go_on, real = threading.Event(), threading.Event(), site.storage.sync

    def fails_once(committed: Any) -> None:
        if not linked.is_set():
            linked.set()
            go_on.wait(10)
            raise OSError(errno.EIO, "broken")
        real(committed)

    monkeypatch.setattr(site.storage, "sync", fails_once)
    failures: list[BaseException] = []

    def first() -> None:
        try:
            commit(site, ("a.txt", TXT), uuid_0="u")
        except OSError as error:
            failures.append(error)

    again = batch_of(site, ("a.txt", TXT), ("b.txt", TXT), uuid_0="u")
    one, other = threading.Thread(target=first), threading.Thread(target=again.commit)
    one.start()
    assert linked.wait(10)
    other.start()
    other.join(0.1)
    go_on.set()
    one.join()
    other.join()
    assert len(failures) == 1
    assert codes(again) == ["uuid_busy", None]
    assert codes(commit(site, ("a.txt", TXT), uuid_0="u")) == [None]
    assert_records_and_files_agree(tmp_path, site)


def test_once_a_part_is_stored_nothing_of_its_batch_can_fail(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer of 503 says that nothing was stored: what may fail for a twin fails before."""
    linked, go_on, real = threading.Event(), threading.Event(), site.storage.sync

    def slow(committed: Any) -> None:
        linked.set()
        go_on.wait(10)
        real(committed)

    def broken(*args: Any) -> None:
        raise OperationalError("SELECT", {}, Exception("broken"))

    with monkeypatch.context() as patch:
        patch.setattr(site.storage, "sync", slow)
        first = threading.Thread(target=commit, args=(site, ("a.txt", TXT)), kwargs={"uuid_0": "u"})
        first.start()
        assert linked.wait(10)
        patch.setattr(site.records, "reserved_or_stored", broken)
        with pytest.raises(SQLAlchemyError, match="broken"):
            commit(site, ("a.txt", TXT), ("b.txt", TXT), uuid_0="u")
        go_on.set()
        first.join()
    assert visible(tmp_path) == ["a.txt"]
    assert_records_and_files_agree(tmp_path, site)


# ---- all or none


def test_all_good_parts_of_a_batch_that_belongs_together_are_stored(
    all_or_none: Site, tmp_path: Path
) -> None:
    assert codes(commit(all_or_none, ("a.txt", TXT), ("b.png", PNG))) == [None, None]
    assert_records_and_files_agree(tmp_path, all_or_none)


@pytest.mark.parametrize("bad", [("b.exe", b"MZ"), ("b.png", b"GIF89a"), ("", b"x")])
def test_one_bad_part_refuses_a_batch_that_belongs_together(
    all_or_none: Site, tmp_path: Path, bad: tuple[str, bytes]
) -> None:
    batch = commit(all_or_none, ("a.txt", TXT), bad, ("c.txt", TXT))
    assert [code == "batch_refused" for code in codes(batch)] == [True, False, True]
    assert None not in codes(batch)
    assert_nothing_is_kept(tmp_path, all_or_none)


def test_a_wrong_declaration_refuses_a_batch_that_belongs_together(all_or_none: Site, tmp_path: Path) -> None:
    batch = commit(all_or_none, ("a.txt", TXT), ("b.txt", TXT), size_1="7")
    assert codes(batch) == ["batch_refused", "size_differs"]
    assert_nothing_is_kept(tmp_path, all_or_none)


def test_a_taken_uuid_refuses_a_batch_that_belongs_together(all_or_none: Site, tmp_path: Path) -> None:
    commit(all_or_none, ("old.txt", b"old"), uuid_0="u")
    batch = commit(all_or_none, ("a.txt", TXT), ("b.txt", TXT), uuid_1="u")
    assert codes(batch) == ["batch_refused", "uuid_taken"]
    assert visible(tmp_path) == ["old.txt"]
    assert_records_and_files_agree(tmp_path, all_or_none)


def test_twins_with_other_bytes_refuse_a_batch_that_belongs_together(
    all_or_none: Site, tmp_path: Path
) -> None:
    batch = commit(all_or_none, ("a.txt", TXT), ("b.txt", b"HELLO"), ("c.txt", TXT), uuid_0="u", uuid_1="u")
    assert codes(batch) == ["batch_refused", "uuid_taken", "batch_refused"]
    assert_nothing_is_kept(tmp_path, all_or_none)


def test_a_batch_that_belongs_together_can_be_sent_again(all_or_none: Site, tmp_path: Path) -> None:
    parts = [("a.txt", TXT), ("b.png", PNG)]
    first = commit(all_or_none, *parts, uuid_0="u", uuid_1="v")
    again = commit(all_or_none, *parts, uuid_0="u", uuid_1="v")
    assert codes(again) == [None, None]
    assert keys(again) == keys(first)
    assert_records_and_files_agree(tmp_path, all_or_none)


# ---- failures: nothing is half kept


def fail_at_call(monkeypatch: pytest.MonkeyPatch, name: str, call: int, number: int) -> None:
    """Let `os.<name>` fail from its n-th call in the storage on."""
    real, calls = getattr(os, name), []

    def sometimes(*args: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) >= call:
            raise OSError(number, os.strerror(number), "/secret/path")
        return real(*args, **more)

    monkeypatch.setattr(os, name, sometimes)


@pytest.mark.parametrize("batch_policy", ["each", "all"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize(
    ("name", "call"),
    [("write", 1), ("write", 3), ("link", 1), ("link", 3), ("fsync", 1), ("fsync", 3), ("fsync", 4)],
)
@pytest.mark.parametrize("way", ["tmpfile", "named"])
def test_a_failing_disk_leaves_nothing_at_any_step(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    call: int,
    number: int,
    batch_policy: Any,
    way: str,
) -> None:
    site = site_of(make_app(tmp_path, UploadSet("files", batch=batch_policy)))
    (tmp_path / "uploads" / "foreign.txt").write_text("foreign")
    parts = [("a.txt", TXT), ("b.png", PNG), ("a.txt", b"again")]
    with monkeypatch.context() as patch:
        if way == "named":
            forbid_tmpfile(patch)
        fail_at_call(patch, name, call, number)
        batch = Batch(site, site.upload_set(None), owner="me", form={"uuid[0]": "u"})
        with pytest.raises(OSError, match=os.strerror(number)):
            add_and_commit(batch, parts)
        batch.discard()
    assert_nothing_is_kept(tmp_path, site, foreign=["foreign.txt"])
    # The same again, on a disk that works: as if nothing had been.
    assert codes(commit(site, *parts, uuid_0="u")) == [None] * 3
    assert_records_and_files_agree(tmp_path, site, foreign=["foreign.txt"])


def add_and_commit(batch: Any, parts: list[tuple[str, bytes]]) -> None:
    for index, (filename, content) in enumerate(parts):
        batch.add(f"file[{index}]", FileStorage(BytesIO(content), filename, f"file[{index}]"))
    batch.commit()


# A real database that refuses, at each of its steps.
BREAKS = {
    "reserve": "BEFORE INSERT ON files FOR EACH ROW",
    "reserve the third": "BEFORE INSERT ON files FOR EACH ROW WHEN (new.filename = 'c.txt')",
    "number": "BEFORE INSERT ON numbers FOR EACH ROW",
    "store": "BEFORE UPDATE ON files FOR EACH ROW WHEN (new.state = 'stored')",
    "store the third": "BEFORE UPDATE ON files FOR EACH ROW WHEN (new.state = 'stored' AND new.filename = 'c.txt')",
}
REFUSES = {
    "SQLite": ["CREATE TRIGGER broken {when} BEGIN SELECT RAISE(ABORT, 'broken'); END"],
    "PostgreSQL": [
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'broken'; END $$",
        "CREATE TRIGGER broken {when} EXECUTE FUNCTION broken()",
    ],
}
ALLOWS = {"SQLite": "DROP TRIGGER broken", "PostgreSQL": "DROP FUNCTION broken CASCADE"}


def break_database(site: Site, database: str, how: str) -> None:
    with site.records._engine.begin() as connection:
        for statement in REFUSES[database]:
            connection.execute(text(statement.format(when=BREAKS[how])))


def mend_database(site: Site, database: str) -> None:
    with site.records._engine.begin() as connection:
        connection.execute(text(ALLOWS[database]))


@pytest.mark.parametrize("batch_policy", ["each", "all"])
@pytest.mark.parametrize("how", BREAKS)
def test_a_failing_database_leaves_nothing_at_any_step(
    tmp_path: Path, database: str, how: str, batch_policy: Any
) -> None:
    site = site_of(make_app(tmp_path, UploadSet("files", batch=batch_policy)))
    parts = [("a.txt", TXT), ("a.txt", b"again"), ("c.txt", TXT)]
    break_database(site, database, how)
    with pytest.raises(SQLAlchemyError, match="broken"):
        commit(site, *parts, uuid_0="u")
    assert_nothing_is_kept(tmp_path, site)
    mend_database(site, database)
    assert codes(commit(site, *parts, uuid_0="u")) == [None] * 3
    assert_records_and_files_agree(tmp_path, site)


@pytest.mark.parametrize("final", [1, 2])
def test_a_commit_of_the_database_that_fails_leaves_nothing(
    site: Site, tmp_path: Path, final: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = []

    def fail(connection: Any) -> None:
        commits.append(1)
        if len(commits) == final:
            raise OperationalError("COMMIT", {}, Exception("disk I/O error"))

    class Failing:
        """A connection of SQLite's driver."""

        def __init__(self, real: Any) -> None:
            self.executemany = real.executemany
            self._execute = real.execute

        def execute(self, sql: str) -> Any:
            commits.extend([1] if sql == "COMMIT" else [])
            if sql == "COMMIT" and len(commits) == final:
                raise sqlite3.OperationalError("disk I/O error")
            return self._execute(sql)

    changes = sqlite_module._change_each
    monkeypatch.setattr(sqlite_module, "_change_each", lambda real, *rest: changes(Failing(real), *rest))
    event.listen(site.records._engine, "commit", fail)
    try:
        with pytest.raises(SQLAlchemyError, match="disk I/O error"):
            commit(site, ("a.txt", TXT), ("b.txt", TXT), uuid_0="u")
    finally:
        event.remove(site.records._engine, "commit", fail)
    assert_nothing_is_kept(tmp_path, site)
    assert codes(commit(site, ("a.txt", TXT), uuid_0="u")) == [None]


def test_what_cannot_be_taken_back_now_is_invisible_and_undone_at_the_next_start(
    tmp_path: Path,
) -> None:
    """Storing fails, and so does removing the reservation: the program below dies in that state."""
    site = site_of(make_app(tmp_path))
    run_child(tmp_path, STORES_WITH_A_DATABASE_THAT_BREAKS, expect=3)
    assert rows(site) == [("a.txt", "committing")]
    assert list(site.records.everything()) == []
    site.recover()
    assert_nothing_is_kept(tmp_path, site)


def test_a_file_that_cannot_be_taken_back_keeps_its_reservation(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nobody would know whose it is, nor undo it when that can be done."""
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", fail_with_eio)
        fail_at_call(patch, "fsync", 1, errno.EIO)
        with pytest.raises(OSError, match="Input/output"):
            commit(site, ("a.txt", TXT), uuid_0="u")
    assert rows(site) == [("a.txt", "undoing")]
    assert list(site.records.everything()) == []
    # With the next batch that succeeds.
    assert codes(commit(site, ("b.txt", TXT))) == [None]
    assert rows(site) == [("b.txt", "stored")]
    assert_records_and_files_agree(tmp_path, site)


def fail_with_eio(*args: Any, **more: Any) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


# ---- killed processes

CHILD = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from core import SAMPLES, commit, make_app, site_of
from dropzone_app.storage import LocalStorage
from sqlalchemy import text
site = site_of(make_app(Path(sys.argv[1])))
def die(*args, **options):
    os.kill(os.getpid(), signal.SIGKILL)
"""
DIES = {
    "before the link": "LocalStorage.commit = die",
    "between link and sync": "LocalStorage.sync = die",
    "between the links": """
real = LocalStorage.commit
def second(self, staged, key):
    if key == "b.png":
        die()
    return real(self, staged, key)
LocalStorage.commit = second
""",
    "between sync and store": "type(site.records).store = die",
    "before it is reserved": "type(site.records).reserve = die",
}
COMMITS = """
commit(site, ("a.txt", b"hello"), ("b.png", SAMPLES["png"]), ("a.txt", b"hello"), uuid_0="u")
sys.exit("it lives")
"""
STORES_WITH_A_DATABASE_THAT_BREAKS = (
    CHILD
    + """
def broken(*args):
    raise OSError(5, "broken")
type(site.records).store = type(site.records).withdraw = broken
try:
    commit(site, ("a.txt", b"hello"))
except OSError:
    os._exit(3)
"""
)
WAITS_BEFORE_STORING = (
    CHILD
    + """
real = type(site.records).store
def slowly(self, ids):
    print("linked", flush=True)
    sys.stdin.readline()
    return real(self, ids)
type(site.records).store = slowly
commit(site, ("a.txt", b"hello"), uuid_0="u")
print("stored", flush=True)
"""
)


def run_child(tmp_path: Path, program: str, *, expect: int) -> None:
    tests = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path, tests], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == expect, done.stderr


@pytest.mark.parametrize("moment", DIES)
def test_what_a_killed_process_began_is_undone_at_the_next_start(tmp_path: Path, moment: str) -> None:
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "foreign.txt").write_text("foreign")
    run_child(tmp_path, CHILD + DIES[moment] + COMMITS, expect=-signal.SIGKILL)
    site = site_of(make_app(tmp_path))
    assert_nothing_is_kept(tmp_path, site, foreign=["foreign.txt"])
    assert codes(commit(site, ("a.txt", TXT), uuid_0="u")) == [None]
    assert_records_and_files_agree(tmp_path, site, foreign=["foreign.txt"])


def test_a_file_put_at_the_key_of_a_killed_reservation_is_not_removed(tmp_path: Path) -> None:
    run_child(tmp_path, CHILD + DIES["before the link"] + COMMITS, expect=-signal.SIGKILL)
    (tmp_path / "uploads" / "a.txt").write_text("put here by hand")
    (tmp_path / "uploads" / "a_1.txt").write_text("and this")
    site = site_of(make_app(tmp_path))
    assert (tmp_path / "uploads" / "a.txt").read_text() == "put here by hand"
    assert_nothing_is_kept(tmp_path, site, foreign=["a.txt", "a_1.txt"])


def test_what_a_living_process_began_is_left_alone(tmp_path: Path) -> None:
    make_app(tmp_path)
    tests = str(Path(__file__).parent)
    child = subprocess.Popen(
        [sys.executable, "-c", WAITS_BEFORE_STORING, tmp_path, tests],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdin and child.stdout
        assert child.stdout.readline() == b"linked\n"
        site = site_of(make_app(tmp_path))
        assert rows(site) == [("a.txt", "committing")]
        assert visible(tmp_path) == ["a.txt"]
        child.stdin.write(b"\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"stored\n"
        assert_records_and_files_agree(tmp_path, site)
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


def test_a_killed_process_that_nobody_has_collected_counts_as_gone(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            CHILD + DIES["between sync and store"] + COMMITS,
            tmp_path,
            str(Path(__file__).parent),
        ]
    )
    try:
        assert os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert_nothing_is_kept(tmp_path, site_of(make_app(tmp_path)))
    finally:
        child.wait()


# ---- the answer in words


def verdict(key: str, filename: str, rejected: Rejected | None = None) -> Verdict:
    return Verdict(key, filename, rejected=rejected)


TOO_LARGE = Rejected.because("too_large", size="12.1 MB", limit="10 MB")
NOT_ACCEPTED = Rejected.because("extension", extension="exe", accepted="JPEG, PNG, GIF, WebP")


def test_where_all_is_stored_there_is_nothing_to_refuse() -> None:
    assert refusal([verdict("file[0]", "a.png"), verdict("file[1]", "b.png")]) is None


def test_of_one_part_the_answer_is_its_sentence_alone() -> None:
    answer = refusal([verdict("file", "a.exe", Rejected("PNG only!"))])
    assert answer and (answer.text, answer.status, answer.per_part) == ("PNG only!", 400, False)
    answer = refusal([verdict("file", "huge.png", TOO_LARGE)])
    assert answer and answer.text == "The file is 12.1 MB; the limit is 10 MB."


def test_of_several_parts_the_answer_has_a_line_for_each_that_was_not_stored() -> None:
    answer = refusal(
        [
            verdict("file[0]", "a.png"),
            verdict("file[1]", "notes.exe", NOT_ACCEPTED),
            verdict("file[2]", "b.png"),
            verdict("file[3]", "c.png"),
            verdict("file[4]", "huge.png", TOO_LARGE),
        ]
    )
    assert answer and answer.per_part and answer.status == 422
    assert answer.text == (
        'file[1] "notes.exe": .exe files are not accepted here. Accepted: JPEG, PNG, GIF, WebP.\n'
        'file[4] "huge.png": the file is 12.1 MB; the limit is 10 MB.\n'
        "The other 3 files were stored."
    )


@pytest.mark.parametrize(
    ("stored", "closing"),
    [(0, "No file was stored."), (1, "The other file was stored."), (2, "The other 2 files were stored.")],
)
def test_the_closing_line_counts_what_was_stored(stored: int, closing: str) -> None:
    answer = refusal(
        [verdict(f"file[{n}]", "a.exe", NOT_ACCEPTED) for n in range(2)]
        + [verdict(f"file[{n + 2}]", "a.png") for n in range(stored)]
    )
    assert answer and answer.text.splitlines()[2:] == [closing]
    assert answer.status == 415, "the status that all refusals share"


def test_no_line_is_cut_however_many_there_are() -> None:
    answer = refusal([verdict(f"file[{n}]", "x" * 200 + ".exe", NOT_ACCEPTED) for n in range(1000)])
    assert answer
    lines = answer.text.splitlines()
    assert len(lines) == 1001
    for n, line in enumerate(lines[:-1]):
        name = line.partition('"')[2].partition('": ')[0]
        assert line.startswith(f'file[{n}] "') and len(name) == 60 and name.endswith(".exe")


@pytest.mark.parametrize(
    "name", ['a.exe": stored\nfile[0] "b.exe', "a\r\nb", "a\u2028b", "\x85a", "", "a\x0bb"]
)
def test_no_filename_can_begin_a_line_of_another_part(name: str) -> None:
    answer = refusal([verdict("file[0]", name, NOT_ACCEPTED), verdict("file[1]", "b.png")])
    assert answer and len(answer.text.splitlines()) == 2


# ---- keys


def test_parts_whose_keys_repeat_or_have_no_index_are_numbered_by_position(site: Site) -> None:
    for sent, settled in (
        (["file[0]", "file[0]", "file[0]"], ["file[0]", "file[1]", "file[2]"]),
        (["file", "file"], ["file[0]", "file[1]"]),
        (["file[]", "file[]"], ["file[0]", "file[1]"]),
        (["file[5]", "file"], ["file[0]", "file[1]"]),
        (["file[0]", "file[00]"], ["file[0]", "file[1]"]),
        (["file[3]", "file[7]"], ["file[3]", "file[7]"]),
        (["file"], ["file"]),
        (["file[4]"], ["file[4]"]),
    ):
        batch = Batch(site, site.upload_set(None), owner="me", form={"path[0]": "first", "path[1]": "second"})
        for key in sent:
            batch.add(key, FileStorage(BytesIO(TXT), "a.txt", key))
        batch.commit()
        assert [verdict.key for verdict in batch.verdicts] == settled
        if settled[:2] == ["file[0]", "file[1]"]:
            paths = [verdict.record.path for verdict in batch.verdicts if verdict.record]
            assert paths[:2] == ["first", "second"]


def test_a_discarded_batch_leaves_nothing(site: Site, tmp_path: Path) -> None:
    batch = batch_of(site, ("a.txt", TXT), ("b.png", PNG))
    assert len(held(tmp_path)) == 2
    batch.discard()
    batch.discard()
    assert_nothing_is_kept(tmp_path, site)


def test_a_set_that_nobody_declared_is_refused(site: Site) -> None:
    with pytest.raises(Rejected) as refused:
        site.upload_set("nonsense")
    assert (refused.value.code, refused.value.status) == ("unknown_set", 404)
    assert site.upload_set(None).name == "files"
