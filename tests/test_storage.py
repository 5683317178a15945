"""The local storage, by the contract of every storage and by what only a folder can show."""

import configparser
import errno
import importlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from contract_chunks import ChunksContract
from contract_storage import StorageContract, content_of, exists, put, staged_with
from core import forbid_tmpfile, held, visible
from support import missing

from dropzone_app import SettingError
from dropzone_app.storage import SCHEMES, LocalStorage, StagedFile, open_storage, staged
from dropzone_app.storage.staged import Journal

FAILURES = [errno.ENOSPC, errno.EIO, errno.EDQUOT]


@pytest.fixture(params=["tmpfile", "named"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStorage:
    """Both ways to stage: a file without a name, and the fallback where the file system knows none."""
    if request.param == "named":
        forbid_tmpfile(monkeypatch)
    made = LocalStorage(tmp_path / "uploads")
    probe = made.stage()
    is_named = probe.path is not None
    probe.close()
    if request.param == "tmpfile" and is_named:
        missing("The file system of the temporary folder has no O_TMPFILE.")
    return made


class TestContract(StorageContract):
    pass


class TestChunks(ChunksContract):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> LocalStorage:
        return LocalStorage(tmp_path / "uploads")


# ---- the folder


def test_the_root_and_its_parents_are_made(tmp_path: Path) -> None:
    LocalStorage(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / ".staging").is_dir()


def test_what_is_stored_is_for_the_servers_user_only(storage: LocalStorage) -> None:
    put(storage, "holiday/a.bin", b"x")
    assert (storage.root / "holiday" / "a.bin").stat().st_mode & 0o777 == 0o600
    assert (storage.root / "holiday").stat().st_mode & 0o777 == 0o700
    assert (storage.root / ".staging").stat().st_mode & 0o777 == 0o700


def test_the_folder_holds_the_file_and_nothing_else(storage: LocalStorage, tmp_path: Path) -> None:
    put(storage, "a.bin", b"x")
    assert visible(tmp_path) == ["a.bin"]
    assert os.listdir(storage.root / ".staging") == []
    assert (storage.root / "a.bin").stat().st_nlink == 1
    assert held(tmp_path) == []


@pytest.mark.parametrize("lies_there", ["file", "folder", "link", "dangling link"])
def test_nothing_that_lies_at_a_key_is_replaced_or_followed(
    storage: LocalStorage, tmp_path: Path, lies_there: str
) -> None:
    path, outside = storage.root / "a.bin", tmp_path / "outside"
    if lies_there == "folder":
        path.mkdir()
    elif lies_there == "file":
        path.write_bytes(b"foreign")
    else:
        path.symlink_to(outside)
        if lies_there == "link":
            outside.write_bytes(b"foreign")
    before = os.lstat(path)
    ours = staged_with(storage, b"ours")
    with pytest.raises(FileExistsError):
        storage.commit(ours, "a.bin")
    storage.delete("a.bin", ours.mark)
    ours.close()
    assert os.lstat(path).st_ino == before.st_ino
    assert outside.exists() == (lies_there == "link")
    if lies_there in {"file", "link"}:
        assert path.read_bytes() == b"foreign"


def test_a_mark_is_not_that_of_a_later_file_with_the_same_inode(storage: LocalStorage) -> None:
    """Inode numbers are used again at once; what somebody puts at a key that a dead process had is not ours."""
    ours = staged_with(storage, b"ours")
    mark = ours.mark
    storage.commit(ours, "a.bin")
    ours.close()
    # The same inode, as a file of another time would have it.
    os.utime(storage.root / "a.bin", (1_000_000_000, 1_000_000_000))
    storage.delete("a.bin", mark)
    assert exists(storage, "a.bin")


def test_a_mark_outlives_the_staged_file_and_the_process(storage: LocalStorage) -> None:
    ours = staged_with(storage, b"ours")
    mark = ours.mark
    storage.commit(ours, "a.bin")
    ours.close()
    with storage.open("a.bin") as file:
        file.read()
    LocalStorage(storage.root).delete("a.bin", mark)
    assert not exists(storage, "a.bin")


def test_a_folder_emptied_by_somebody_is_made_anew(storage: LocalStorage) -> None:
    (storage.root / ".staging").rmdir()
    put(storage, "a.bin", b"x")
    assert content_of(storage, "a.bin") == b"x"


# ---- failures


@pytest.mark.parametrize("number", FAILURES)
def test_a_failing_write_is_told_by_its_number(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, number: int, tmp_path: Path
) -> None:
    ours = staged_with(storage, b"first")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing(number))
        with pytest.raises(OSError, match=os.strerror(number)) as failed:
            ours.write(b"second")
    assert failed.value.errno == number
    ours.close()
    assert os.listdir(storage.root / ".staging") == []
    assert held(tmp_path) == []


def failing(number: int) -> Any:
    def fail(*args: Any, **more: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("taken", [1, 7, 4096])
def test_a_disk_that_takes_few_bytes_at_a_time_gets_them_all(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    real, content = os.write, bytes(range(256)) * 20
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: real(fd, data[:taken]))
        put(storage, "a.bin", content)
    assert content_of(storage, "a.bin") == content


@pytest.mark.parametrize("number", FAILURES)
def test_a_failing_link_leaves_nothing(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, number: int, tmp_path: Path
) -> None:
    ours = staged_with(storage, b"x")
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", failing(number))
        with pytest.raises(OSError, match=os.strerror(number)):
            storage.commit(ours, "a.bin")
    ours.close()
    assert visible(tmp_path) == []
    assert held(tmp_path) == []


def test_a_full_disk_is_not_taken_for_a_file_system_without_tmpfile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = LocalStorage(tmp_path / "uploads")
    forbid_tmpfile(monkeypatch, errno.ENOSPC)
    with pytest.raises(OSError, match="No space"):
        made.stage()


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS])
def test_a_file_system_without_tmpfile_says_so_in_several_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    forbid_tmpfile(monkeypatch, number)
    put(LocalStorage(tmp_path / "uploads"), "a.bin", b"x")
    assert visible(tmp_path) == ["a.bin"]


def test_a_check_fails_where_nothing_can_be_written(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "open", failing(errno.EROFS))
    with pytest.raises(OSError, match="Read-only"):
        storage.check()


# ---- durability


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths behind every fsync, in order."""
    real, paths = os.fsync, []

    def fsync(fd: int) -> None:
        paths.append(os.readlink(f"/proc/self/fd/{fd}"))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    return paths


def test_without_a_journal_each_file_and_each_folder_is_synced_once(
    tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Journal, "of", lambda folder: None)
    storage = LocalStorage(tmp_path / "another")
    batch = [(staged_with(storage, b"x"), f"{number}.bin") for number in range(5)]
    for ours, key in batch:
        storage.commit(ours, key)
    assert synced == []
    storage.sync(batch)
    assert len(synced) == 6
    assert synced.count(str(storage.root)) == 1
    for ours, _ in batch:
        ours.close()


def test_a_new_folder_is_synced_where_it_stands(storage: LocalStorage, synced: list[str]) -> None:
    ours = staged_with(storage, b"x")
    storage.commit(ours, "holiday/day 1/a.bin")
    assert synced == [str(storage.root), str(storage.root / "holiday")]
    ours.close()


def test_nothing_is_synced_where_that_is_not_wanted(tmp_path: Path, synced: list[str]) -> None:
    made = LocalStorage(tmp_path / "uploads", durable=False)
    put(made, "holiday/a.bin", b"x")
    assert synced == []


def test_a_failing_sync_is_told(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = staged_with(storage, b"x")
    storage.commit(ours, "a.bin")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(errno.EIO))
        with pytest.raises(OSError, match="Input/output"):
            storage.sync([(ours, "a.bin")])
    ours.close()


Call = tuple[str, int, int]


@pytest.fixture
def to_disk(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """What the kernel was asked to do with pieces of 64 KiB, and with which bytes."""
    calls: list[Call] = []
    real, forget = staged._sync_file_range, os.posix_fadvise

    def sync_file_range(fd: int, offset: int, length: int, flags: int) -> int:
        calls.append(("wait" if flags == staged._WRITE_AND_WAIT else "begin", offset, offset + length))
        return int(real(fd, offset, length, flags))

    def posix_fadvise(fd: int, offset: int, length: int, advice: int) -> None:
        calls.append(("forget", offset, offset + length))
        forget(fd, offset, length, advice)

    monkeypatch.setattr(staged, "_sync_file_range", sync_file_range)
    monkeypatch.setattr(os, "posix_fadvise", posix_fadvise)
    monkeypatch.setattr(staged, "_WRITEBACK", 65_536)
    monkeypatch.setattr(staged, "_LET_GO", 131_072)
    monkeypatch.setattr(staged, "_CACHED", 131_072)
    return calls


def test_a_big_file_is_written_out_as_it_comes_and_let_go_of(
    storage: LocalStorage, to_disk: list[Call]
) -> None:
    pieces = [os.urandom(65_536) for _ in range(6)]
    ours = staged_with(storage, *pieces)
    begun = [("begin", start, start + 65_536) for start in range(0, 6 * 65_536, 65_536)]
    assert to_disk == [
        *begun[:2],
        ("forget", 0, 65_536),
        *begun[2:4],
        ("forget", 65_536, 3 * 65_536),
        *begun[4:],
        ("forget", 3 * 65_536, 5 * 65_536),
    ]
    with ours.open() as file:
        assert file.read() == b"".join(pieces)
    ours.close()


def test_what_nobody_waits_for_is_written_out_later(tmp_path: Path, to_disk: list[Call]) -> None:
    staged_with(LocalStorage(tmp_path / "uploads", durable=False), *[bytes(65_536)] * 4).close()
    assert to_disk == [("begin", 0, 131_072), ("begin", 131_072, 262_144), ("forget", 0, 131_072)]


def test_nothing_large_is_written_at_once(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a part, and not a chunk: large pieces of the page cache may be ten times as dear."""
    written: list[int] = []
    write, pwrite = os.write, os.pwrite

    def writing(fd: int, data: memoryview) -> int:
        written.append(len(data))
        return write(fd, data)

    def pwriting(fd: int, data: memoryview, offset: int) -> int:
        written.append(len(data))
        return pwrite(fd, data, offset)

    monkeypatch.setattr(os, "write", writing)
    monkeypatch.setattr(os, "pwrite", pwriting)
    content = os.urandom(100_000)
    ours = staged_with(storage, content)
    assert written == [32_768] * 3 + [1_696]
    with ours.open() as file:
        assert file.read() == content
    ours.close()
    written.clear()
    handle = storage.chunks.begin(len(content))
    writer = storage.chunks.write(handle, 0)
    writer.write(content)
    writer.close()
    assert written == [32_768] * 3 + [1_696]
    joined = storage.chunks.join(handle, [(0, len(content), writer.mark)])
    with joined.open() as file:
        assert file.read() == content
    joined.close()


def test_what_is_read_again_soon_stays_in_memory(tmp_path: Path, to_disk: list[Call]) -> None:
    made = LocalStorage(tmp_path / "uploads", read_again=True)
    staged_with(made, *[bytes(65_536)] * 4).close()
    staged_with(made, bytes(65_535)).close()
    assert [kind for kind, *_ in to_disk] == ["begin"] * 4


# ---- digests


def test_without_a_digest_none_is_made(tmp_path: Path) -> None:
    ours = staged_with(LocalStorage(tmp_path / "uploads", digest=False), b"x")
    assert ours.sha256 is None
    assert ours.size == 1
    ours.close()


def test_a_big_file_let_go_of_ends_its_thread(storage: LocalStorage) -> None:
    before = set(threading.enumerate())
    ours = staged_with(storage, *[bytes(1 << 20)] * 6)
    assert len(set(threading.enumerate()) - before) == 1
    ours.close()
    assert set(threading.enumerate()) == before


# ---- what a killed process leaves


STAGES_AND_WAITS = """
import errno, os, sys, time
if sys.argv[2] == "named":
    real = os.open
    def without_tmpfile(path, flags, *args, **more):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no")
        return real(path, flags, *args, **more)
    os.open = without_tmpfile
from dropzone_app.storage import LocalStorage
staged = LocalStorage(sys.argv[1]).stage()
staged.write(b"half")
print("staged", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("way", ["tmpfile", "named"])
def test_only_the_left_overs_of_a_killed_process_are_removed(tmp_path: Path, way: str) -> None:
    root = tmp_path / "uploads"
    child = subprocess.Popen([sys.executable, "-c", STAGES_AND_WAITS, root, way], stdout=subprocess.PIPE)
    try:
        assert child.stdout and child.stdout.readline() == b"staged\n"
        made = LocalStorage(root)
        foreign = root / ".staging" / "notes.txt"
        foreign.write_text("a foreign file")
        staging = [path for path in (root / ".staging").iterdir() if path != foreign]
        assert len(staging) == (1 if way == "named" else 0)
        made.clear_left_overs()
        assert all(path.exists() for path in staging), "its process lives"
        child.send_signal(signal.SIGKILL)
        child.wait()
        made.clear_left_overs()
        assert os.listdir(root / ".staging") == ["notes.txt"]
        assert visible(tmp_path) == []
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_a_staging_file_swept_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its making and its lock a staging file looks like one of a dead process."""
    forbid_tmpfile(monkeypatch)
    made = LocalStorage(tmp_path / "uploads")
    real, sweeps = staged.fcntl.flock, []

    def swept_first(fd: int, how: int) -> None:
        if not sweeps:
            sweeps.append(1)
            LocalStorage(made.root).clear_left_overs()
        real(fd, how)

    monkeypatch.setattr(staged.fcntl, "flock", swept_first)
    put(made, "a.bin", b"x")
    assert sweeps
    assert content_of(made, "a.bin") == b"x"


# ---- its address


def test_a_storage_is_opened_by_its_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = open_storage("file:here", durable=False, digest=False)
    assert isinstance(made, LocalStorage)
    assert (made.root, made.durable) == (tmp_path / "here", False)
    assert (
        open_storage(f"file:{tmp_path}/there").url(
            "a.bin", disposition="inline", media_type="text/plain", expires=60
        )
        is None
    )


@pytest.mark.parametrize("url", ["", "uploads", "file:", "s4://bucket", "http://x"])
def test_a_url_that_nobody_knows_stops_with_a_sentence(url: str) -> None:
    with pytest.raises(SettingError, match=r"^UPLOADS_STORAGE must be a URL such as 'file:uploads'; it is "):
        open_storage(url)


def test_a_staged_file_is_of_the_storages_own_file_system(storage: LocalStorage) -> None:
    ours = storage.stage()
    assert isinstance(ours, StagedFile)
    assert os.fstat(ours.fileno()).st_dev == storage.root.stat().st_dev
    ours.close()


@pytest.mark.parametrize(("scheme", "row"), SCHEMES.items())
def test_a_storage_is_one_file_one_extra_and_one_row(scheme: str, row: tuple[str, str]) -> None:
    module, extra = row
    assert callable(importlib.import_module(module, "dropzone_app.storage").open_url)
    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[1] / "setup.cfg")
    assert not extra or extra in config["options.extras_require"]
