"""What every storage promises, whatever it keeps its bytes in.

A test module makes a storage's own rows by subclassing: it defines the fixture ``storage``.
"""

import hashlib
import threading
from typing import BinaryIO

import pytest

from dropzone_app.storage import StagedFile, Storage, Thumbnails

SIZES = [0, 1, 1000, (1 << 20) + 3, 9 << 20]


def staged_with(storage: Storage, *pieces: bytes) -> StagedFile:
    staged = storage.stage()
    for piece in pieces:
        staged.write(piece)
    return staged


def put(storage: Storage, key: str, content: bytes) -> str:
    """Commit `content` and let go of the staged file; the key it is found under, and its mark."""
    staged = staged_with(storage, content)
    try:
        key = storage.commit(staged, key)
        storage.sync([(staged, key)])
        return key
    finally:
        staged.close()


def content_of(storage: Storage, key: str) -> bytes:
    with storage.open(key) as file:
        return file.read()


def exists(storage: Storage, key: str) -> bool:
    try:
        storage.open(key).close()
    except FileNotFoundError:
        return False
    return True


def kept_beside(storage: Storage) -> Thumbnails:
    assert storage.thumbnails
    return storage.thumbnails


class StorageContract:
    """The tests. Keys are taken fresh in each: a real server may hold those of others."""

    @pytest.mark.parametrize("size", SIZES)
    def test_what_was_committed_is_what_is_read(self, storage: Storage, size: int) -> None:
        content = bytes(range(256)) * (size // 256 + 1)
        key = put(storage, "a.bin", content[:size])
        assert content_of(storage, key) == content[:size]

    @pytest.mark.parametrize("size", SIZES)
    def test_a_staged_file_knows_its_size_and_digest(self, storage: Storage, size: int) -> None:
        content = b"\xa5" * size
        staged = staged_with(storage, *[content[at : at + 100_000] for at in range(0, size, 100_000)])
        assert staged.size == size
        assert staged.sha256 == hashlib.sha256(content).hexdigest()
        assert staged.sha256 == hashlib.sha256(content).hexdigest(), "it may be asked twice"
        staged.close()

    def test_a_staged_file_can_be_read_while_it_grows(self, storage: Storage) -> None:
        staged = staged_with(storage, b"first")
        with staged.open() as file:
            assert file.read() == b"first"
        staged.write(b", second")
        with staged.open() as file:
            assert file.read() == b"first, second"
        staged.close()

    def test_nothing_is_visible_before_the_commit(self, storage: Storage) -> None:
        staged = staged_with(storage, b"secret")
        assert not exists(storage, "a.bin")
        staged.close()
        assert not exists(storage, "a.bin")

    def test_what_was_let_go_of_is_gone(self, storage: Storage) -> None:
        staged = staged_with(storage, b"x")
        staged.close()
        staged.close()
        assert staged.closed
        with pytest.raises(ValueError, match="closed"):
            staged.write(b"y")

    def test_what_was_committed_stays_when_the_staged_file_is_let_go_of(self, storage: Storage) -> None:
        staged = staged_with(storage, b"kept")
        key = storage.commit(staged, "a.bin")
        staged.close()
        assert content_of(storage, key) == b"kept"

    def test_a_commit_never_replaces_what_is_there(self, storage: Storage) -> None:
        put(storage, "a.bin", b"first")
        staged = staged_with(storage, b"second")
        with pytest.raises(FileExistsError):
            storage.commit(staged, "a.bin")
        assert content_of(storage, "a.bin") == b"first"
        # The staged file is as good as before.
        assert storage.commit(staged, "b.bin") == "b.bin"
        staged.close()
        assert content_of(storage, "b.bin") == b"second"

    def test_one_of_many_that_commit_at_once_to_one_key_wins(self, storage: Storage) -> None:
        outcomes: list[str] = []
        together = threading.Barrier(8)

        def commit(number: int) -> None:
            staged = staged_with(storage, f"{number}".encode() * 1000)
            together.wait()
            try:
                storage.commit(staged, "a.bin")
                outcomes.append(f"{number}")
            except FileExistsError:
                pass
            finally:
                staged.close()

        threads = [threading.Thread(target=commit, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(outcomes) == 1
        assert content_of(storage, "a.bin") == outcomes[0].encode() * 1000

    def test_a_key_may_have_folders(self, storage: Storage) -> None:
        put(storage, "holiday/day 1/beach.jpg", b"sand")
        put(storage, "holiday/day 1/sea.jpg", b"water")
        assert content_of(storage, "holiday/day 1/beach.jpg") == b"sand"
        assert content_of(storage, "holiday/day 1/sea.jpg") == b"water"

    @pytest.mark.parametrize(
        "key", ["Фото.jpg", "文件 (1).pdf", "😀.png", "a'b&c%20d#e+f.txt", "é" * 120 + ".txt"]
    )
    def test_a_key_may_be_in_any_script(self, storage: Storage, key: str) -> None:
        put(storage, key, key.encode())
        assert content_of(storage, key) == key.encode()

    def test_a_file_can_be_read_from_anywhere(self, storage: Storage) -> None:
        put(storage, "a.bin", b"0123456789")
        with storage.open("a.bin") as file:
            file.seek(7)
            assert file.read() == b"789"
            file.seek(2)
            assert file.read(3) == b"234"
            file.seek(0, 2)
            assert file.tell() == 10

    @pytest.mark.parametrize("key", ["missing.bin", "no/such/folder.bin", "a.bin/below.bin", "folder"])
    def test_what_is_absent_is_not_found_and_can_be_deleted(self, storage: Storage, key: str) -> None:
        put(storage, "a.bin", b"x")
        put(storage, "folder/b.bin", b"x")
        with pytest.raises(FileNotFoundError):
            storage.open(key)
        if key != "folder":
            storage.delete(key)
            storage.delete(key, "some mark")
        assert content_of(storage, "a.bin") == b"x"
        assert content_of(storage, "folder/b.bin") == b"x"

    def test_what_is_deleted_is_gone_and_its_key_is_free(self, storage: Storage) -> None:
        put(storage, "a.bin", b"first")
        storage.delete("a.bin")
        assert not exists(storage, "a.bin")
        put(storage, "a.bin", b"second")
        assert content_of(storage, "a.bin") == b"second"

    def test_a_reader_keeps_what_is_deleted_meanwhile(self, storage: Storage) -> None:
        put(storage, "a.bin", b"still here")
        file: BinaryIO = storage.open("a.bin")
        storage.delete("a.bin")
        assert file.read() == b"still here"
        file.close()

    def test_with_its_mark_only_the_very_file_is_deleted(self, storage: Storage) -> None:
        staged = staged_with(storage, b"ours")
        mark = staged.mark
        storage.commit(staged, "ours.bin")
        put(storage, "other.bin", b"not ours")
        storage.delete("other.bin", mark)
        assert content_of(storage, "other.bin") == b"not ours"
        assert content_of(storage, "ours.bin") == b"ours"
        storage.delete("ours.bin", mark)
        assert not exists(storage, "ours.bin")
        staged.close()

    @pytest.mark.parametrize(
        "key",
        ["", "/", "/etc/passwd", "../outside", "a/../../outside", "a//b", "a/", "./a", "a/.", "a\\b", "a\0b"],
    )
    def test_no_key_leads_out_of_the_storage(self, storage: Storage, key: str) -> None:
        self.assert_no_key(storage, key)

    @pytest.mark.parametrize("key", [".staging/x", ".thumbnails/x", ".hidden"])
    def test_no_key_leads_into_what_is_the_storages_own(self, storage: Storage, key: str) -> None:
        self.assert_no_key(storage, key)

    @staticmethod
    def assert_no_key(storage: Storage, key: str) -> None:
        staged = staged_with(storage, b"x")
        with pytest.raises(ValueError, match="not a key"):
            storage.commit(staged, key)
        staged.close()
        with pytest.raises(ValueError, match="not a key"):
            storage.open(key)
        with pytest.raises(ValueError, match="not a key"):
            storage.delete(key)

    def test_a_thumbnail_is_kept_replaced_and_removed_beside_the_files(self, storage: Storage) -> None:
        thumbnails, id = kept_beside(storage), "0123456789abcdef" * 2
        assert thumbnails.get(id) is None
        assert list(thumbnails.ids()) == []
        thumbnails.delete(id)
        for content in (b"first", b"", b"another" * 10_000):
            thumbnails.put(id, content)
            assert thumbnails.get(id) == content
        thumbnails.put("f" * 32, b"other")
        put(storage, "a.bin", b"file")
        assert sorted(thumbnails.ids()) == [id, "f" * 32]
        assert not exists(storage, id)
        thumbnails.delete(id)
        assert thumbnails.get(id) is None
        assert list(thumbnails.ids()) == ["f" * 32]
        assert content_of(storage, "a.bin") == b"file"

    @pytest.mark.parametrize(
        "id", ["", "..", "../a.bin", "a.bin", "g" * 32, "A" * 32, "0" * 31, "0" * 32 + "\n"]
    )
    def test_only_the_id_of_a_record_names_a_thumbnail(self, storage: Storage, id: str) -> None:
        thumbnails = kept_beside(storage)
        for use in (thumbnails.get, thumbnails.delete, lambda id: thumbnails.put(id, b"")):
            with pytest.raises(ValueError, match="not the id"):
                use(id)

    def test_of_thumbnails_that_are_put_at_once_one_is_kept(self, storage: Storage) -> None:
        together = threading.Barrier(8)

        def keep(number: int) -> None:
            together.wait()
            kept_beside(storage).put("0" * 32, b"%d" % number * 1000)

        threads = [threading.Thread(target=keep, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert kept_beside(storage).get("0" * 32) in {b"%d" % number * 1000 for number in range(8)}

    def test_what_living_processes_stage_is_no_left_over(self, storage: Storage) -> None:
        staged = staged_with(storage, b"half of")
        storage.clear_left_overs()
        staged.write(b" it")
        storage.commit(staged, "a.bin")
        staged.close()
        storage.clear_left_overs()
        assert content_of(storage, "a.bin") == b"half of it"

    def test_a_healthy_storage_says_so_and_keeps_nothing_of_the_question(self, storage: Storage) -> None:
        storage.check()
        put(storage, "a.bin", b"x")
        storage.check()
        assert content_of(storage, "a.bin") == b"x"
