"""S3, on a real store: by the contract of every storage, through HTTP, and when the store fails."""

import errno
import os
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from contract_chunks import ChunksContract, write
from contract_storage import StorageContract, content_of, exists, put, staged_with
from engines.rgw import BUCKET, RADOSGateway

from dropzone_app.storage import Sweepable, open_storage, s3
from dropzone_app.storage.parts import SHORTEST
from dropzone_app.storage.s3 import PART, S3Storage

Open = Callable[..., S3Storage]


@pytest.fixture
def opened(rgw: RADOSGateway, tmp_path: Path) -> Open:
    """Open storages on a new place: `opened(presigned="true")`."""

    def open_one(**options: str) -> S3Storage:
        storage = open_storage(rgw.empty(**options), staging=tmp_path)
        assert isinstance(storage, S3Storage)
        return storage

    return open_one


@pytest.fixture
def storage(opened: Open) -> S3Storage:
    return opened()


@pytest.fixture
def impatient(opened: Open) -> S3Storage:
    return opened(timeout="1")


class TestContract(StorageContract):
    pass


class TestChunks(ChunksContract):
    pass


def test_a_staging_folder_that_somebody_removed_is_not_taken_for_a_lost_file(
    storage: S3Storage, tmp_path: Path
) -> None:
    handle = storage.chunks.begin(10)
    (tmp_path / ".staging").rmdir()
    assert write(storage.chunks, handle, 0, b"0123456789")[:2] == (0, 10)


def test_who_goes_on_too_late_from_a_piece_is_not_told_that_the_file_is_gone(
    storage: S3Storage, rgw: RADOSGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = storage.chunks.begin(10)
    *_, mark = write(storage.chunks, handle, 0, b"01234")
    pieces = storage.chunks._pieces

    def gone_meanwhile(handle: str) -> list[tuple[int, str, int]]:
        found = list(pieces(handle))
        for name in lying(rgw, storage):
            rgw.client.delete_object(
                Bucket=BUCKET, Key=storage.name_in_staging(name.removeprefix(".staging/"))
            )
        return found

    monkeypatch.setattr(storage.chunks, "_pieces", gone_meanwhile)
    with pytest.raises(OSError, match=r".") as caught:
        storage.chunks.write(handle, 5, mark)
    assert caught.value.errno == errno.ESTALE


def lying(rgw: RADOSGateway, storage: S3Storage) -> dict[str, int]:
    return rgw.lying(str(storage))


def unfinished(rgw: RADOSGateway, storage: S3Storage) -> list[str]:
    return rgw.unfinished(str(storage))


# ---- big files


@pytest.fixture
def big(storage: S3Storage) -> Iterator[Any]:
    """A staged file of four parts."""
    staged = staged_with(storage, *[os.urandom(PART) for _ in range(3)], b"the last part")
    yield staged
    staged.close()


def test_a_big_file_goes_in_parts_and_comes_out_as_it_was(
    storage: S3Storage, rgw: RADOSGateway, big: Any
) -> None:
    key = storage.commit(big, storage.unused_key("film.mp4", big.size))
    assert lying(rgw, storage) == {key: big.size}
    assert "-4" in rgw.client.head_object(Bucket=BUCKET, Key=storage.name_of(key))["ETag"], "four parts"
    with storage.open(key) as found, big.open() as sent:
        while piece := sent.read(1 << 20):
            assert found.read(1 << 20) == piece
        assert found.read() == b""


@pytest.fixture
def joined(storage: S3Storage) -> Iterator[Any]:
    """A file of 17 MiB that has come in chunks, and lies in the store."""
    content = os.urandom(PART + SHORTEST)
    handle = storage.chunks.begin(len(content))
    chunks = [
        write(storage.chunks, handle, start, content[start : start + PART])
        for start in range(0, len(content), PART)
    ]
    file = storage.chunks.join(handle, chunks)
    yield file
    file.close()
    storage.chunks.drop(handle)


@pytest.mark.parametrize("whole", [True, False])
def test_a_file_that_lies_in_the_store_is_copied_there(
    storage: S3Storage, rgw: RADOSGateway, joined: Any, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    asked: list[str] = []
    for operation in ("CopyObject", "UploadPartCopy", "UploadPart", "PutObject"):
        storage.client.meta.events.register(
            f"before-call.s3.{operation}", lambda model, **_: asked.append(model.name)
        )
    if not whole:
        monkeypatch.setattr(s3, "COPIED_WHOLE", joined.size - 1)
    key = storage.commit(joined, storage.unused_key("film.mp4", joined.size))
    assert asked == ["CopyObject" if whole else "UploadPartCopy"]
    with storage.open_name(joined.name) as sent:
        content = sent.read()
    with pytest.raises(FileExistsError):
        storage.commit(joined, key)
    # It goes on when what it was copied from is gone.
    rgw.client.delete_object(Bucket=BUCKET, Key=joined.name)
    assert lying(rgw, storage) == {key: joined.size}
    assert content_of(storage, key) == content
    storage.delete(key, "of another")
    assert storage.has(key)
    storage.delete(key, joined.mark)
    assert not storage.has(key)


def test_a_copy_that_got_no_answer_may_yet_be_made_and_is_taken_back_then(
    storage: S3Storage, rgw: RADOSGateway, joined: Any
) -> None:
    key = storage.unused_key("film.mp4", joined.size)

    def lose(params: dict[str, Any], **_: object) -> None:
        storage._lost.note(caught_exception=TimeoutError())
        raise OSError(errno.EHOSTUNREACH, "no answer")

    events = storage.client.meta.events
    events.register("before-call.s3.CopyObject", lose)
    with pytest.raises(OSError, match="no answer"):
        storage.commit(joined, key)
    events.unregister("before-call.s3.CopyObject", lose)
    with pytest.raises(OSError, match="may yet be carried out"):
        storage.delete(key, joined.mark)
    # The store wakes up.
    storage.commit(joined, key)
    assert lying(rgw, storage).keys() >= {key}
    storage._unsettled.update(dict.fromkeys(storage._unsettled, (time.monotonic(), True)))
    storage.delete(key, joined.mark)
    assert not storage.has(key)


def test_keys_of_big_files_are_nobody_elses(storage: S3Storage) -> None:
    assert storage.unused_key("holiday/film.mp4", PART) == "holiday/film.mp4"
    first, second = (storage.unused_key("holiday/film.mp4", PART + 1) for _ in range(2))
    assert first != second
    assert first.startswith("holiday/film_") and first.endswith(".mp4")


def test_a_big_file_replaces_nothing_even_where_it_is_put_under_a_taken_key(
    storage: S3Storage, big: Any
) -> None:
    put(storage, "a.bin", b"first")
    with pytest.raises(FileExistsError):
        storage.commit(big, "a.bin")
    assert content_of(storage, "a.bin") == b"first"


def test_a_key_that_is_too_long_for_a_store_loses_folders_and_keeps_its_name(storage: S3Storage) -> None:
    name = "é" * 120 + ".txt"
    key = storage.unused_key("/".join(["ф" * 100] * 8) + f"/{name}", 5)
    assert key.endswith(f"/{name}")
    assert len(storage.name_of(key).encode()) <= 1024
    put(storage, key, b"hello")
    assert content_of(storage, key) == b"hello"


@pytest.mark.parametrize("step", ["UploadPart", "CompleteMultipartUpload", "HeadObject"])
def test_a_multipart_upload_that_fails_is_aborted(
    storage: S3Storage, rgw: RADOSGateway, big: Any, step: str
) -> None:
    calls: list[int] = []

    def cut(params: dict[str, Any], **_: object) -> None:
        calls.append(1)
        # The first look at a key is before anything is begun.
        if step != "HeadObject" or len(calls) > 1:
            raise OSError(errno.ECONNRESET, "cut")

    storage.client.meta.events.register(f"before-call.s3.{step}", cut)
    key = storage.unused_key("film.mp4", big.size)
    with pytest.raises(OSError, match="cut"):
        storage.commit(big, key)
    storage.client.meta.events.unregister(f"before-call.s3.{step}", cut)
    assert unfinished(rgw, storage) == []
    # What was complete is taken back as every file is.
    storage.delete(key, big.mark)
    assert lying(rgw, storage) == {}
    storage.commit(big, key)
    assert lying(rgw, storage) == {key: big.size}


@pytest.mark.parametrize("second", [FileExistsError, FileNotFoundError], ids=["taken", "no such upload"])
def test_a_multipart_upload_whose_answer_was_lost_is_found_to_have_been_completed(
    storage: S3Storage, rgw: RADOSGateway, big: Any, monkeypatch: pytest.MonkeyPatch, second: type[OSError]
) -> None:
    """boto3 asks again, and a store may say then that the key is taken, or that it knows of no such upload."""
    ask = storage.ask

    def asked_twice(operation: str, name: str, **more: Any) -> Any:
        answer = ask(operation, name, **more)
        if operation == "complete_multipart_upload":
            raise second
        return answer

    monkeypatch.setattr(storage, "ask", asked_twice)
    key = storage.unused_key("film.mp4", big.size)
    assert storage.commit(big, key) == key
    assert lying(rgw, storage) == {key: big.size}


def test_what_a_dead_process_had_begun_is_aborted_when_it_is_taken_back(
    storage: S3Storage, rgw: RADOSGateway, big: Any
) -> None:
    key = storage.unused_key("film.mp4", big.size)
    for name in (key, f"{key}x"):
        rgw.client.create_multipart_upload(Bucket=BUCKET, Key=storage.name_of(name))
    storage.delete(key, big.mark)
    assert unfinished(rgw, storage) == [f"{key}x"], "only its own"


def test_all_files_are_told_and_nothing_of_ours(storage: S3Storage) -> None:
    storage.check()
    storage.thumbnails.put("0" * 32, b"small")
    put(storage, "a.txt", b"hello")
    put(storage, "Ф/b c.txt", b"")
    assert isinstance(storage, Sweepable)
    assert sorted(storage.keys()) == [("a.txt", 5), ("Ф/b c.txt", 0)]
    assert (storage.has("a.txt"), storage.has("b.txt"), storage.has("Ф")) == (True, False, False)


# ---- what arrives


@pytest.mark.parametrize("size", [5, PART + 5])
def test_bytes_that_change_on_their_way_are_refused_by_the_store(
    storage: S3Storage, rgw: RADOSGateway, size: int
) -> None:
    staged = staged_with(storage, b"x" * size)

    def change(params: dict[str, Any], **_: object) -> None:
        params["headers"]["Content-MD5"] = "XUFAKrxLKna5cZ2REBfFkg=="

    for operation in ("PutObject", "UploadPart"):
        storage.client.meta.events.register(f"before-call.s3.{operation}", change)
    with pytest.raises(OSError, match="BadDigest"):
        storage.commit(staged, "a.bin")
    staged.close()
    assert (lying(rgw, storage), unfinished(rgw, storage)) == ({}, [])


def test_a_put_whose_answer_was_lost_is_found_to_have_been_done(
    storage: S3Storage, rgw: RADOSGateway
) -> None:
    staged = staged_with(storage, b"hello")
    lost: list[int] = []

    def lose(response: Any, **_: object) -> int | None:
        """Says after the first try that there was no answer, so that boto3 tries again."""
        lost.append(1)
        if len(lost) > 1:
            return None
        storage._lost.note(caught_exception=TimeoutError())
        return 0

    storage.client.meta.events.register_last("needs-retry.s3.PutObject", lose)
    # The one of boto3 itself finds nothing wrong, and would win.
    storage.client.meta.events.unregister("needs-retry.s3.PutObject", unique_id="retry-config-s3")
    assert storage.commit(staged, "a.bin") == "a.bin"
    assert len(lost) == 2
    staged.close()
    assert lying(rgw, storage) == {"a.bin": 5}


# ---- reading


def test_of_a_big_file_only_what_is_asked_for_is_fetched(storage: S3Storage, rgw: RADOSGateway) -> None:
    content = os.urandom(8 << 20)
    put(storage, "a.bin", content)
    asked: list[str] = []
    storage.client.meta.events.register(
        "before-call.s3.GetObject", lambda params, **_: asked.append(params["headers"]["Range"])
    )
    with storage.open("a.bin") as file:
        file.seek(5_000_000)
        assert file.read(1000) == content[5_000_000:5_001_000]
    assert len(asked) == 2
    fetched = sum(
        int(last) - int(first) + 1 for first, last in (a.removeprefix("bytes=").split("-") for a in asked)
    )
    assert fetched < 1 << 20


def test_a_file_that_was_replaced_while_it_is_read_is_not_mixed(
    storage: S3Storage, rgw: RADOSGateway
) -> None:
    put(storage, "a.bin", b"1" * 1_000_000)
    with storage.open("a.bin") as file:
        assert file.read(10) == b"1" * 10
        rgw.client.put_object(Bucket=BUCKET, Key=storage.name_of("a.bin"), Body=b"2" * 1_000_000)
        with pytest.raises(OSError, match="Stale"):
            file.read()


def test_reading_goes_on_where_a_connection_was_cut(
    storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(3_000_000)
    put(storage, "a.bin", content)
    with storage.open("a.bin") as file:
        found = file.read(300_000)
        # The socket of the piece that is just coming.
        file.raw._piece._raw_stream._fp.close()  # type: ignore[attr-defined]
        assert found + file.read() == content


# ---- presigned addresses


def test_the_app_gives_the_bytes_unless_told_otherwise(storage: S3Storage) -> None:
    assert storage.url("a.txt", disposition="attachment", media_type="text/plain", expires=60) is None


def test_a_presigned_address_gives_the_bytes_as_the_app_would(opened: Open) -> None:
    storage = opened(presigned="true")
    put(storage, "a.html", b"<script>")
    disposition = "attachment; filename=_.txt; filename*=UTF-8''%D0%A4.txt"
    url = storage.url("a.html", disposition=disposition, media_type="text/plain", expires=60)
    assert url
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"<script>"
        assert answer.headers["Content-Disposition"] == disposition
        assert answer.headers["Content-Type"] == "text/plain"
    for changed in (url.replace("attachment", "inline"), url.replace("a.html", "b.html")):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(changed)


def test_a_presigned_address_ends(opened: Open) -> None:
    storage = opened(presigned="true")
    put(storage, "a.txt", b"x")
    url = storage.url("a.txt", disposition="attachment", media_type="text/plain", expires=1)
    assert url
    time.sleep(2.1)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(url)


# ---- a store that fails


def test_a_store_that_is_down_is_an_os_error_and_heals(impatient: S3Storage, rgw: RADOSGateway) -> None:
    put(impatient, "a.bin", b"first")
    staged = staged_with(impatient, b"second")
    rgw.kill_gateway()
    try:
        for use in (
            lambda: impatient.open("a.bin"),
            lambda: impatient.delete("a.bin"),
            lambda: impatient.commit(staged, "b.bin"),
            lambda: impatient.thumbnails.get("0" * 32),
            impatient.check,
        ):
            with pytest.raises(s3.Unanswered):
                use()
    finally:
        rgw.start_gateway()
    # Nobody had heard of the second: it is sure not to come.
    impatient.delete("b.bin", staged.mark)
    impatient.check()
    assert content_of(impatient, "a.bin") == b"first"
    staged.close()


def test_what_a_store_does_when_it_wakes_up_is_taken_back(impatient: S3Storage, rgw: RADOSGateway) -> None:
    staged = staged_with(impatient, b"too late")
    rgw.stop_gateway()
    try:
        with pytest.raises(s3.Unanswered):
            impatient.commit(staged, "a.bin")
        with pytest.raises(s3.Unanswered):
            impatient.delete("a.bin", staged.mark)
    finally:
        rgw.continue_gateway()
    deadline = time.monotonic() + 30
    while not exists(impatient, "a.bin"):
        assert time.monotonic() < deadline, "what was sent is carried out, after all"
    impatient.delete("a.bin", staged.mark)
    assert lying(rgw, impatient) == {}
    staged.close()


def test_a_put_that_may_yet_be_carried_out_is_not_forgotten(
    impatient: S3Storage, rgw: RADOSGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "SIGNATURE_LIFETIME", 3)
    staged = staged_with(impatient, b"too late")

    def never_sent(request: Any, **_: object) -> None:
        # As a network does it: taken, and lost somewhere.
        raise s3.BotoCoreError

    impatient.client.meta.events.register("before-send.s3.PutObject", never_sent)
    with pytest.raises(s3.Unanswered):
        impatient.commit(staged, "a.bin")
    for _ in range(2):
        with pytest.raises(OSError, match="yet be carried out"):
            impatient.delete("a.bin", staged.mark)
    # It comes after one has looked.
    rgw.client.put_object(
        Bucket=BUCKET, Key=impatient.name_of("a.bin"), Body=b"too late", Metadata={"mark": staged.mark}
    )
    time.sleep(3)
    impatient.delete("a.bin", staged.mark)
    assert lying(rgw, impatient) == {}
    staged.close()


def test_a_full_store_says_so(storage: S3Storage, rgw: RADOSGateway) -> None:
    rgw.admin("quota", "set", "--quota-scope=user", "--uid=test", "--max-objects=0")
    rgw.admin("quota", "enable", "--quota-scope=user", "--uid=test")
    staged = staged_with(storage, b"x")
    try:
        with pytest.raises(OSError, match="QuotaExceeded") as failure:
            storage.commit(staged, "a.bin")
        assert failure.value.errno == errno.EDQUOT
    finally:
        rgw.admin("quota", "disable", "--quota-scope=user", "--uid=test")
        staged.close()


def test_a_bucket_that_is_not_there_is_no_healthy_storage(rgw: RADOSGateway, tmp_path: Path) -> None:
    storage = open_storage(f"s3://nowhere?endpoint_url={rgw.endpoint}", staging=tmp_path)
    with pytest.raises(OSError, match="NoSuchBucket"):
        storage.check()


def test_a_store_that_would_replace_files_is_no_healthy_storage(storage: S3Storage) -> None:
    def ignore(params: dict[str, Any], **_: object) -> None:
        params["headers"].pop("If-None-Match", None)

    storage.client.meta.events.register("before-call.s3.PutObject", ignore)
    with pytest.raises(OSError, match="If-None-Match"):
        storage.check()


def test_a_forked_process_has_connections_of_its_own(storage: S3Storage) -> None:
    put(storage, "a.bin", b"x" * 1000)
    pid = os.fork()
    if pid == 0:
        ended = 1
        try:
            ended = 0 if all(content_of(storage, "a.bin") == b"x" * 1000 for _ in range(20)) else 1
        finally:
            os._exit(ended)
    for _ in range(20):
        assert content_of(storage, "a.bin") == b"x" * 1000
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
