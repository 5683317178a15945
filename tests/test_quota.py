"""What an owner may have: counted before bytes leave, in the transaction of the rows, and given back with them."""

import random
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from core import batch_of, codes, commit, database_url, make_app, site_of
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError
from webclient import Visitor, assert_refused, visiting

from dropzone_app import Rejected, SettingError, UploadSet
from dropzone_app.chunked import ChunkedUploads
from dropzone_app.intake.chunks import Chunk
from dropzone_app.records import Records, upgrading
from dropzone_app.records.unfinished import UnfinishedUploads
from dropzone_app.uploads import Site

# Each runs on each database.
pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def visit(database: str, tmp_path: Path) -> Iterator[Callable[..., Visitor]]:
    with upgrading(), visiting(tmp_path) as visit:
        yield partial(visit, UPLOADS_DATABASE=database_url(tmp_path), UPLOADS_TYPES="txt")


def used(visitor: Visitor | Site) -> list[tuple[int, int]]:
    """(bytes, files) of each owner who has anything."""
    site = visitor if isinstance(visitor, Site) else site_of(visitor.app)
    with site.records._engine.connect() as connection:
        query = text("SELECT bytes, files FROM usage WHERE files <> 0 OR bytes <> 0 ORDER BY bytes")
        return [tuple(row) for row in connection.execute(query)]


def chunk(visitor: Visitor, index: int, *, size: int, uuid: str = "u", of: int = 10) -> object:
    """One chunk of a text of `size` bytes."""
    fields = {
        "dzuuid": uuid,
        "dzchunkindex": index,
        "dztotalfilesize": size,
        "dzchunksize": of,
        "dztotalchunkcount": -(-size // of),
        "dzchunkbyteoffset": index * of,
    }
    items = [(name, str(value)) for name, value in fields.items()]
    return visitor.upload(*items, ("file", f"{uuid}.txt", b"x" * min(of, size - index * of)))


def tus(visitor: Visitor, size: int) -> object:
    name = b64encode(b"a.txt").decode()
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(size), "Upload-Metadata": f"filename {name}"}
    return visitor.client.post("/tus/", headers=headers)


def text_of(size: int, n: int = 0) -> tuple[str, str, bytes]:
    return f"file[{n}]", f"{n}.txt", b"x" * size


def test_what_fits_is_stored_and_what_does_not_is_told_why(visit: Callable[..., Visitor]) -> None:
    visitor = visit(UPLOADS_QUOTA=100)
    visitor.store(text_of(60))
    answer = visitor.upload(text_of(50))
    assert_refused(
        answer,
        403,
        "There is no room for this file (50 bytes): all your files may have 100 bytes together, and have 60 bytes "
        "with those that are still on their way. Delete some, then send it again.",
    )
    # Of a batch as many as fit, in their order.
    answer = visitor.upload(text_of(30, 0), text_of(30, 1), text_of(10, 2))
    assert answer.status_code == 403
    assert answer.text.splitlines()[0].startswith(
        'file[1] "1.txt": there is no room for this file (30 bytes)'
    )
    assert answer.text.splitlines()[-1] == "The other 2 files were stored."
    assert used(visitor) == [(100, 3)]
    # Another one's are another one's.
    assert visit(UPLOADS_QUOTA=100).upload(text_of(100)).status_code == 201


def test_files_are_counted_too(visit: Callable[..., Visitor]) -> None:
    visitor = visit(UPLOADS_QUOTA_FILES=2)
    visitor.store(text_of(1, 0), text_of(1, 1))
    assert_refused(
        visitor.upload(text_of(1)),
        403,
        "There is no room for one more file: the most that you may have is 2, with those that are still on their "
        "way. Delete some, then send it again.",
    )


def test_what_is_deleted_makes_room(visit: Callable[..., Visitor]) -> None:
    visitor = visit(UPLOADS_QUOTA=100)
    [file] = visitor.store(text_of(100))
    assert visitor.upload(text_of(1)).status_code == 403
    visitor.delete(f"/files/{file['id']}")
    assert used(visitor) == []
    assert visitor.upload(text_of(100)).status_code == 201


def test_the_same_upload_again_takes_no_more_room(visit: Callable[..., Visitor]) -> None:
    visitor = visit(UPLOADS_QUOTA=100)
    for _ in range(2):
        visitor.store(("uuid[0]", "u"), text_of(100))
    assert used(visitor) == [(100, 1)]


def test_the_same_bytes_kept_once_take_no_more_room(tmp_path: Path) -> None:
    site = site_of(make_app(tmp_path, UploadSet("texts", ["txt"], duplicates="skip"), UPLOADS_QUOTA=100))
    commit(site, ("a.txt", b"x" * 90))
    assert codes(commit(site, ("b.txt", b"x" * 90), ("c.txt", b"y" * 20))) == [None, "quota_bytes"]
    assert used(site) == [(90, 1)]


def test_a_batch_that_belongs_together_is_refused_together(tmp_path: Path) -> None:
    site = site_of(make_app(tmp_path, UploadSet("texts", ["txt"], batch="all"), UPLOADS_QUOTA=100))
    batch = commit(site, ("a.txt", b"x" * 60), ("b.txt", b"x" * 60))
    assert codes(batch) == ["batch_refused", "quota_bytes"]
    assert used(site) == []
    assert codes(commit(site, ("a.txt", b"x" * 60), ("b.txt", b"x" * 40))) == [None, None]


@pytest.mark.parametrize("window", ["100 per hour", "2 files per hour"])
def test_who_sends_together_what_no_while_takes_is_not_told_to_wait(tmp_path: Path, window: str) -> None:
    texts = UploadSet("texts", ["txt"], batch="all", quota_window=window)
    site = site_of(make_app(tmp_path, texts))
    three = [(f"{n}.txt", b"x" * 40) for n in range(3)]
    batch = commit(site, *three)
    assert codes(batch) == ["batch_refused", "batch_refused", "window_too_small_together"]
    assert used(site) == []
    assert codes(commit(site, *three[:2])) == [None, None]
    assert codes(commit(site, *three[1:])) == ["window_full", "window_full"]


def test_it_is_told_before_bytes_leave(visit: Callable[..., Visitor]) -> None:
    visitor = visit(UPLOADS_QUOTA=100)
    visitor.store(("uuid[0]", "stored"), text_of(50))
    files = [("stored", 50), ("a", 30), ("b", 30), ("c", 20)]
    answer = visitor.client.post(
        "/upload/check",
        json={"files": [{"uuid": uuid, "filename": "0.txt", "size": size} for uuid, size in files]},
        headers={"X-CSRFToken": visitor.token()},
    )
    told = answer.get_json()["uploads"]
    assert {uuid: state["state"] for uuid, state in told.items()} == {
        "stored": "stored",
        "a": "new",
        "b": "refused",
        "c": "new",
    }
    assert told["b"]["status"] == 403
    assert "and have 80 bytes with those" in told["b"]["error"]


def test_an_unfinished_upload_counts_as_large_as_it_will_be(visit: Callable[..., Visitor]) -> None:
    visitor = visit(UPLOADS_QUOTA=100)
    assert chunk(visitor, 0, size=70).status_code == 202
    assert used(visitor) == [(70, 1)]
    for refused in (chunk(visitor, 0, size=40, uuid="v"), tus(visitor, 40), visitor.upload(text_of(40))):
        assert_refused(refused, 403)
        assert "have 70 bytes with those" in refused.text
    # A refusal of now is no refusal for good.
    assert visitor.delete("/uploads/u").status_code == 204
    assert used(visitor) == []
    assert chunk(visitor, 0, size=40, uuid="v").status_code == 202
    assert tus(visitor, 60).status_code == 201
    assert used(visitor) == [(100, 2)]


def test_a_file_in_chunks_takes_the_place_of_its_upload(visit: Callable[..., Visitor]) -> None:
    visitor = visit(UPLOADS_QUOTA=100, UPLOADS_QUOTA_FILES=1)
    answers = [chunk(visitor, index, size=100, of=50) for index in range(2)]
    assert [answer.status_code for answer in answers] == [202, 201]
    assert used(visitor) == [(100, 1)]
    [file] = visitor.files()
    visitor.delete(f"/files/{file['id']}")
    assert used(visitor) == []


def test_a_tus_upload_counts_once_also_while_its_address_is_known(visit: Callable[..., Visitor]) -> None:
    visitor = visit(UPLOADS_QUOTA=100)
    url = tus(visitor, 100).headers["Location"]
    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
    }
    assert visitor.client.patch(url, data=b"x" * 100, headers=headers).status_code == 204
    assert used(visitor) == [(100, 1)]
    visitor.app.test_cli_runner().invoke(args=["uploads", "sweep", "--age", "0"])
    assert used(visitor) == [(100, 1)]


def test_a_refused_and_a_swept_upload_give_their_room_back(visit: Callable[..., Visitor]) -> None:
    visitor = visit(UPLOADS_QUOTA=2000)
    chunk(visitor, 0, size=1000, of=600)
    visitor.app.test_cli_runner().invoke(args=["uploads", "sweep", "--age", "0"])
    assert used(visitor) == []
    fields = {"dzuuid": "v", "dzchunkindex": 0, "dztotalfilesize": 2000, "dzchunksize": 1500}
    fields |= {"dztotalchunkcount": 2, "dzchunkbyteoffset": 0}
    items = [(name, str(value)) for name, value in fields.items()]
    assert visitor.upload(*items, ("file", "v.txt", b"MZ\0" * 500)).status_code == 415
    assert used(visitor) == []


def test_a_commit_that_fails_gives_back_what_it_took_and_an_upload_keeps_its_place(
    visit: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("", None, Exception())

    visitor = visit(UPLOADS_QUOTA=200)
    chunk(visitor, 0, size=100, of=50)
    with monkeypatch.context() as broken:
        broken.setattr(Records, "store", fail)
        assert visitor.upload(text_of(50)).status_code == 503
        assert chunk(visitor, 1, size=100, of=50).status_code == 503
    assert used(visitor) == [(100, 1)]
    assert chunk(visitor, 1, size=100, of=50).status_code == 201
    assert used(visitor) == [(100, 1)]


def test_what_a_dead_process_had_reserved_is_given_back(
    visit: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise SystemExit

    visitor = visit(UPLOADS_QUOTA=200)
    chunk(visitor, 0, size=90, of=50)
    with monkeypatch.context() as dying:
        dying.setattr(Records, "store", die)
        # Nobody is there to take it back.
        dying.setattr(Site, "undo", lambda *_: None)
        dying.setattr(UnfinishedUploads, "reopen", lambda *_: None)
        for send in (lambda: visitor.upload(text_of(30)), lambda: chunk(visitor, 1, size=90, of=50)):
            with pytest.raises(SystemExit):
                send()
    assert used(visitor) == [(120, 2)]
    for module in ("records", "unfinished"):
        monkeypatch.setattr(f"dropzone_app.records.{module}.is_alive", lambda *_: False)
    again = visit(UPLOADS_QUOTA=200)
    assert used(again) == [(90, 1)]


def test_two_workers_never_exceed_it_together(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    visitor = visit(UPLOADS_QUOTA=1000)
    sites = [site_of(visitor.app), site_of(visit(UPLOADS_QUOTA=1000).app)]
    start = threading.Barrier(8)

    def send(n: int) -> int:
        start.wait()
        done = 0
        for _ in range(6):
            batch = batch_of(sites[n % 2], ("a.txt", b"x" * 30), ("b.txt", b"x" * 17))
            batch.commit()
            done += sum(verdict.record.size for verdict in batch.verdicts if verdict.record)
        return done

    with ThreadPoolExecutor(8) as pool:
        stored = sum(pool.map(send, range(8)))
    # The last one that would still fit was tried.
    assert 1000 - 17 < stored <= 1000
    assert [size for size, _ in used(sites[0])] == [stored]
    assert sum(record.size for record in sites[1].records.everything()) == stored


def test_whatever_happens_at_once_the_sums_are_what_is_there(visit: Callable[..., Visitor]) -> None:
    visitor = visit(UPLOADS_QUOTA=2000, UPLOADS_QUOTA_FILES=40)
    sites = [site_of(visitor.app), site_of(visit(UPLOADS_QUOTA=2000, UPLOADS_QUOTA_FILES=40).app)]

    def act(n: int) -> None:
        site, chance = sites[n % 2], random.Random(n)
        uploads = ChunkedUploads(site, site.upload_set(None), "me")
        for _ in range(12):
            uuid = f"u{chance.randrange(6)}"
            match chance.randrange(4):
                case 0:
                    commit(site, ("a.txt", b"x" * chance.randrange(1, 200)), ("b.txt", b"xyz"), uuid_0=uuid)
                case 1:
                    with suppress(Rejected):
                        # Complete with it, or not.
                        size = chance.choice([50, 90])
                        told = Chunk(uuid, size, 50, 0, 50)
                        incoming = uploads.receive(told, key="file", filename="c.txt")
                        incoming.feed(b"x" * 50)
                        uploads.take(incoming)
                case 2:
                    with suppress(Rejected):
                        ChunkedUploads.cancel(site, "me", uuid)
                case _:
                    for record in site.records.files("me", limit=2):
                        if retired := site.records.retire(record.id, "me"):
                            site.undo([retired])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, range(4)))
    kept = used(sites[0])
    assert kept
    records = sites[0].records
    assert records.quotas
    records.quotas.recount()
    assert used(sites[0]) == kept


def test_sums_are_true_again_after_a_time_without_a_quota(visit: Callable[..., Visitor]) -> None:
    visitor = visit(UPLOADS_QUOTA=1000)
    [file] = visitor.store(text_of(100))
    without = visit()
    # The same session.
    without.client._cookies = visitor.client._cookies
    without.store(text_of(300))
    chunk(without, 0, size=70)
    without.delete(f"/files/{file['id']}")
    assert used(without) == [(100, 1)]
    assert used(visit(UPLOADS_QUOTA=1000)) == [(370, 2)]


@pytest.fixture
def counted() -> Iterator[list[str]]:
    """The statements that look at all records for their sums."""
    seen: list[str] = []

    def note(*given: object) -> None:
        if "INSERT INTO usage" in str(given[2]) and "FROM files" in str(given[2]):
            seen.append(str(given[2]))

    event.listen(Engine, "before_cursor_execute", note)
    yield seen
    event.remove(Engine, "before_cursor_execute", note)


def test_starts_count_all_records_until_nobody_writes_without_the_quota(
    visit: Callable[..., Visitor], clock: list[int], counted: list[str]
) -> None:
    def counts(**config: object) -> bool:
        counted.clear()
        visit(**config)
        return bool(counted)

    assert not counts()
    assert counts(UPLOADS_QUOTA=1000)
    clock[0] += 59 * MINUTE
    assert counts(UPLOADS_QUOTA=1000), "processes of before may have been there"
    clock[0] += MINUTE
    assert counts(UPLOADS_QUOTA=1000), "what they wrote is counted by nobody else"
    for limit in (1000, 2000):
        clock[0] += MINUTE
        assert not counts(UPLOADS_QUOTA=limit, UPLOADS_QUOTA_FILES=7)
    assert not counts()
    assert counts(UPLOADS_QUOTA=1000)


def test_a_new_quota_of_one_set_counts_and_leaves_that_of_all(
    tmp_path: Path, clock: list[int], counted: list[str]
) -> None:
    def counts(quota: int | None) -> bool:
        counted.clear()
        site = site_of(make_app(tmp_path, UploadSet("n" * 64, ["txt"], quota=quota), UPLOADS_QUOTA=100))
        batch_of(site, ("a.txt", b"x")).commit()
        assert {sums.bytes for sums in site.records.quotas.room("me").sums.values()} == {next(stored)}
        return bool(counted)

    stored = iter(range(1, 9))
    with upgrading():
        for _ in range(2):
            assert counts(None)
            clock[0] += 60 * MINUTE
        assert not counts(None)
        for _ in range(2):
            assert counts(50)
            clock[0] += 60 * MINUTE
        assert not counts(50)
        assert not counts(None)
        assert counts(50)


def test_what_those_who_do_not_know_a_new_quota_still_write_is_counted(visit: Callable[..., Visitor]) -> None:
    without = visit()
    assert used(visit(UPLOADS_QUOTA=1000)) == []
    without.store(text_of(300))
    assert used(visit(UPLOADS_QUOTA=1000)) == [(300, 1)]


def test_without_a_quota_no_sum_is_kept(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.store(text_of(100))
    chunk(visitor, 0, size=70)
    assert used(visitor) == []


@pytest.mark.parametrize("setting", ["UPLOADS_QUOTA", "UPLOADS_QUOTA_FILES"])
def test_a_quota_of_nothing_stops_the_start(visit: Callable[..., Visitor], setting: str) -> None:
    for value in (0, -1, "some"):
        with pytest.raises(SettingError, match=f"{setting} must be"):
            visit(**{setting: value})


# ---- in a while, and of one set


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What time it is, in microseconds: put another in its place."""
    at = [1_800_000_000_000_000]
    for module in ("batch", "state", "chunked", "records.quota"):
        monkeypatch.setattr(f"dropzone_app.{module}.now", lambda: at[0])
    return at


MINUTE = 60_000_000


def sent(site: Site, name: str = "") -> tuple[int, int]:
    with site.records._engine.connect() as connection:
        query = text('SELECT sent_bytes, sent_files FROM usage WHERE "set" = :name').bindparams(name=name)
        return tuple(connection.execute(query).one())


def test_what_is_sent_in_a_while_is_bounded_whether_it_is_deleted_or_not(
    visit: Callable[..., Visitor], clock: list[int]
) -> None:
    visitor = visit(UPLOADS_QUOTA_WINDOW="100B and 3 files per hour")
    [file] = visitor.store(text_of(60))
    visitor.delete(f"/files/{file['id']}")
    clock[0] += 25 * MINUTE
    answer = visitor.upload(text_of(50))
    assert_refused(
        answer,
        429,
        "You may send 100 bytes in 1 hour, and this file would be more; send it again in 35 minutes.",
    )
    assert (answer.headers["Retry-After"], answer.headers["Upload-Codes"]) == ("2100", "window_full=(0)")
    answer = visitor.upload(text_of(10, 0), text_of(10, 1), text_of(1, 2), ("file[3]", "x.exe", b"MZ"))
    assert answer.status_code == 422
    assert answer.headers["Retry-After"] == "2100"
    assert answer.text.splitlines()[0].startswith('file[2] "2.txt": you may send 3 files in 1 hour')
    assert_refused(
        visitor.upload(text_of(101)),
        403,
        "The file is 101 bytes, and you may send 100 bytes in 1 hour; choose a smaller one.",
    )
    clock[0] += 35 * MINUTE
    assert visitor.upload(text_of(100)).status_code == 201
    # Another one's hour is another one's.
    assert visit(UPLOADS_QUOTA_WINDOW="100B per hour").upload(text_of(100)).status_code == 201


def test_no_start_and_no_clock_that_was_wrong_changes_a_while(
    visit: Callable[..., Visitor], clock: list[int]
) -> None:
    window = {"UPLOADS_QUOTA_WINDOW": "1 file per day"}
    clock[0] += 400 * 24 * 60 * MINUTE
    visitor = visit(**window)
    visitor.store(text_of(1))
    again = visit(**window)
    again.client._cookies = visitor.client._cookies
    assert again.upload(text_of(1)).headers["Retry-After"] == "86400"
    clock[0] -= 400 * 24 * 60 * MINUTE
    assert again.upload(text_of(1)).status_code == 201


def test_what_never_became_a_file_was_not_sent(
    visit: Callable[..., Visitor], clock: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("", None, Exception())

    visitor = visit(UPLOADS_QUOTA_WINDOW="1 KB per hour")
    site = site_of(visitor.app)
    chunk(visitor, 0, size=100, of=50)
    assert sent(site) == (100, 1)
    with monkeypatch.context() as broken:
        broken.setattr(Records, "store", fail)
        assert visitor.upload(text_of(50)).status_code == 503
        assert chunk(visitor, 1, size=100, of=50).status_code == 503
    # What came in chunks is on its way still.
    assert sent(site) == (100, 1)
    assert chunk(visitor, 1, size=100, of=50).status_code == 201
    chunk(visitor, 0, size=300, uuid="v")
    assert sent(site) == (400, 2)
    visitor.delete("/uploads/v")
    assert sent(site) == (100, 1)
    # What was begun before it began does not count in it, and takes nothing from it.
    chunk(visitor, 0, size=70, of=50, uuid="w")
    clock[0] += 61 * MINUTE
    visitor.store(text_of(20))
    assert chunk(visitor, 1, size=70, of=50, uuid="w").status_code == 201
    assert sent(site) == (20, 1)


def test_what_would_have_to_wait_is_told_before_bytes_leave(visit: Callable[..., Visitor]) -> None:
    visitor = visit(UPLOADS_QUOTA_WINDOW="100B per hour")
    files = [
        {"uuid": name, "filename": "0.txt", "size": size} for name, size in (("a", 60), ("b", 50), ("c", 101))
    ]
    answer = visitor.client.post(
        "/upload/check", json={"files": files}, headers={"X-CSRFToken": visitor.token()}
    )
    told = answer.get_json()["uploads"]
    assert [(told[name]["state"], told[name].get("status"), told[name].get("code")) for name in "abc"] == [
        ("new", None, None),
        ("refused", 429, "window_full"),
        ("refused", 403, "window_too_small"),
    ]
    for begun in (chunk(visitor, 0, size=100), tus(visitor, 10)):
        assert begun.status_code in {202, 429}
    assert begun.headers["Retry-After"] in {"3599", "3600"}


def test_a_set_has_a_quota_of_its_own_beside_that_of_all(tmp_path: Path, clock: list[int]) -> None:
    site = site_of(
        make_app(
            tmp_path,
            UploadSet("notes", ["txt"], quota=50, quota_window="2 files per minute"),
            UploadSet("texts", ["txt"], quota_files=9),
            UPLOADS_QUOTA=100,
            UPLOADED_TEXTS_QUOTA_FILES=1,
        )
    )

    def send(name: str, *sizes: int) -> list[str | None]:
        batch = batch_of(site, *((f"{size}.txt", b"x" * size) for size in sizes), name=name)
        batch.commit()
        return codes(batch)

    assert send("notes", 30, 21, 20, 0) == [None, "quota_bytes_of_set", None, "window_full"]
    assert send("texts", 51) == ["quota_bytes"]
    assert send("texts", 50, 0) == [None, "quota_files_of_set"]
    assert [sums.bytes for sums in site.records.quotas.room("me").sums.values()] == [100, 50, 50]
    for record in site.records.files("me", limit=9):
        site.undo([site.records.retire(record.id, "me")])
    assert [sums.files for sums in site.records.quotas.room("me").sums.values()] == [0, 0, 0]
    assert sent(site, "notes") == (50, 2)
    site.records.quotas.recount()
    assert sent(site, "notes") == (50, 2)


def test_two_workers_never_send_more_in_a_while(visit: Callable[..., Visitor], clock: list[int]) -> None:
    config = {"UPLOADS_QUOTA_WINDOW": "1 KB per hour"}
    sites = [site_of(visit(**config).app) for _ in range(2)]
    start = threading.Barrier(8)

    def send(n: int) -> int:
        start.wait()
        done = 0
        for _ in range(6):
            batch = batch_of(sites[n % 2], ("a.txt", b"x" * 30), ("b.txt", b"x" * 17))
            batch.commit()
            for verdict in batch.verdicts:
                done += verdict.record.size if verdict.record else 0
                if verdict.record and n % 3 == 0:
                    sites[n % 2].undo([sites[n % 2].records.retire(verdict.record.id, "me")])
        return done

    with ThreadPoolExecutor(8) as pool:
        stored = sum(pool.map(send, range(8)))
    assert 1000 - 17 < stored <= 1000
    assert sent(sites[0])[0] == stored
    with sites[0].records._engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM usage WHERE owner = 'me'")).scalar() == 1


@pytest.mark.parametrize(
    "value", ["1 GB", "per day", "0 files per day", "1 GB, 2 GB per day", "1 GB per 0 days", "x per day", 7]
)
def test_what_is_no_while_stops_the_start(visit: Callable[..., Visitor], value: object) -> None:
    with pytest.raises(SettingError, match="UPLOADS_QUOTA_WINDOW must be"):
        visit(UPLOADS_QUOTA_WINDOW=value)
