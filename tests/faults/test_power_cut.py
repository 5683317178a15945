"""What was acknowledged is on the disk: the bytes that its device had been given are mounted and looked at."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from core import commit, make_app, site_of

from dropzone_app.records import Records
from dropzone_app.storage import LocalStorage
from dropzone_app.storage.staged import Journal

Mount = Callable[..., "Disk"]  # noqa: F821  # it stands in conftest.py

CONTENTS = {f"holiday/{number}.bin": os.urandom(4000 * number) for number in range(12)}


def put(storage: LocalStorage) -> list[tuple[object, str]]:
    """Some files, committed and not yet synced."""
    pairs = []
    for key, content in CONTENTS.items():
        staged = storage.stage()
        staged.write(content)
        storage.commit(staged, key)
        pairs.append((staged, key))
    return pairs


def after_power_cut(disk, mounted: Mount) -> Path:
    """The disk as it is found again when the machine loses its power now."""
    copies = sum(1 for _ in disk.image.parent.glob("after*"))
    copy = disk.image.with_name(f"after{copies}")
    shutil.copyfile(disk.image, copy)
    # As at the start of a machine: replays the journal, or mends what has none.
    subprocess.run(["e2fsck", "-fy", copy], capture_output=True, check=False)
    return mounted(image=copy).folder


def kept(root: Path) -> dict[str, bytes]:
    return {key: (root / key).read_bytes() for key in CONTENTS if (root / key).exists()}


def test_a_journal_is_known_where_there_is_one(mounted: Mount) -> None:
    assert Journal.of(mounted("ext4").folder) is not None
    assert Journal.of(mounted("ext4", "-O", "^has_journal").folder) is None
    assert Journal.of(Path("/proc")) is None


@pytest.mark.parametrize("options", [(), ("-O", "^has_journal")], ids=["journal", "no journal"])
def test_what_was_synced_survives_a_power_cut(mounted: Mount, options: tuple[str, ...]) -> None:
    disk = mounted("ext4", *options)
    storage = LocalStorage(disk.folder / "uploads")
    pairs = put(storage)
    assert kept(after_power_cut(disk, mounted) / "uploads") != CONTENTS, "nothing had to be synced"
    storage.sync(pairs)
    assert kept(after_power_cut(disk, mounted) / "uploads") == CONTENTS
    for staged, _ in pairs:
        staged.close()


def test_one_commit_of_the_journal_serves_a_whole_batch(
    mounted: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStorage(mounted("ext4").folder / "uploads")
    pairs = put(storage)
    calls: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(fd), real(fd)))
    storage.sync(pairs)
    assert len(calls) == 1
    for staged, _ in pairs:
        staged.close()


def test_what_another_commit_came_before_is_synced_all_the_same(mounted: Mount) -> None:
    """The journal is committed between linking and syncing: the transaction of the names is no longer the last."""
    disk = mounted("ext4")
    storage = LocalStorage(disk.folder / "uploads")
    pairs = put(storage)
    folder = os.open(disk.folder / "uploads" / "holiday", os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    storage.sync(pairs)
    assert kept(after_power_cut(disk, mounted) / "uploads") == CONTENTS
    for staged, _ in pairs:
        staged.close()


def test_an_acknowledged_batch_has_its_files_and_records_after_a_power_cut(mounted: Mount) -> None:
    disk = mounted("ext4")
    # Made by SQLite itself, as at a first start: it has to be on the disk as well.
    app = make_app(
        disk.folder, UPLOADS_TYPES="bin", UPLOADS_DATABASE=f"sqlite:///{disk.folder / 'records.sqlite'}"
    )
    parts = [(f"{number}.bin", os.urandom(10_000)) for number in range(10)]
    batch = commit(site_of(app), *parts)
    assert all(verdict.record for verdict in batch.verdicts)
    found = after_power_cut(disk, mounted)
    records = Records(f"sqlite:///{found}/records.sqlite")
    for (name, content), verdict in zip(parts, batch.verdicts, strict=True):
        assert verdict.record
        record = records.file(verdict.record.id)
        assert record and record.filename == name
        assert (found / "uploads" / record.key).read_bytes() == content
    records.close()
