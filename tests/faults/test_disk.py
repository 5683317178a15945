"""Disks that are full, read-only or broken: a sentence, nothing half kept, and all is well again without a restart."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from engines.fleet import Engine, Inventory
from engines.wire import Client, form
from fakes.cloudinary import FakeCloudinary
from faults.conftest import Faults
from faults.ways import WAYS, Way, assert_heals, assert_told, in_a_batch, kept
from support import LiveServer

from dropzone_app.errors import FULL

Mount = Callable[..., Path]

DATA = os.urandom(400_000)

each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@pytest.mark.parametrize(
    "number", [errno.EIO, errno.EDQUOT, errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get
)
@pytest.mark.parametrize(
    ("call", "word"),
    [
        ("write", "/uploads"),
        ("sync", "/uploads"),
        ("link", "/uploads"),
        ("write", "app.sqlite"),
        ("sync", "app.sqlite"),
    ],
)
@each_way
def test_what_a_disk_refuses_is_a_sentence_and_leaves_nothing(
    faults: Faults, way: Way, call: str, word: str, number: int
) -> None:
    engine, uuid = faults.engine, os.urandom(8).hex()
    visitor, pids = engine.visitor(), engine.door.pids()
    [old] = visitor.upload([("old.bin", DATA)]).files
    before = engine.inventory()
    with faults.failing(call, number, word):
        answer = way(visitor, uuid, DATA)
        # SQLite knows of no other way to be full than ENOSPC.
        full = FULL if (call, word) != ("write", "app.sqlite") else {errno.ENOSPC}
        assert_told(answer, "disk_full" if number in full else "unavailable")
        assert visitor.fetch(old["url"]) == DATA
    after = engine.inventory()
    assert after.records == before.records
    if word == "/uploads":
        assert kept(after) == kept(before)
    assert_heals(engine, way, uuid, DATA)
    assert engine.door.pids() == pids


def fill(folder: Path) -> Path:
    """Take all room there is; the file that has it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                    raise
    return ballast


def on(disk: Path, folder: Path, **more: str) -> LiveServer:
    """A server with its files on this disk."""
    env = {"FLASK_UPLOADS_TYPES": "bin", "FLASK_UPLOADS_STORAGE": f"file:{disk / 'uploads'}", **more}
    return LiveServer(folder, workers=2, env=env)


def inventory_of(disk: Path, folder: Path) -> Inventory:
    if not (folder / "uploads").exists():
        (folder / "uploads").symlink_to(disk / "uploads")
    return Inventory(folder)


def test_a_full_disk_is_507_in_every_way_and_takes_files_again(
    disk: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with on(disk, tmp_path) as server:
        engine = Engine("granian", server)
        visitor, pids = engine.visitor(), server.pids()
        [old] = visitor.upload([("old.bin", DATA)]).files
        before = inventory_of(disk, tmp_path)
        ballast = fill(disk)
        # Over its quota the disk itself has room.
        assert (shutil.disk_usage(disk).free > 8 << 20) == ("quota" in request.node.name)
        for way in WAYS.values():
            assert_told(way(visitor, "full", DATA), "disk_full")
        with Client(server) as client:
            body = form([("a.bin", DATA)])
            client.send_head(visitor.headers(transfer_encoding="chunked"))
            client.send_in_chunks(body, size=65_536)
            assert_told(client.read(), "disk_full")
        assert visitor.fetch(old["url"]) == DATA
        assert kept(inventory_of(disk, tmp_path)) == kept(before)
        engine.wait_until_staged(0)
        # To delete makes room, which takes none.
        assert visitor.delete(f"/files/{old['id']}").status == 204
        ballast.unlink()
        for name, way in WAYS.items():
            assert_heals(engine, way, f"full-{name}", DATA)
        assert server.pids() == pids


def test_files_and_records_on_one_full_disk_agree_and_heal(tmpfs: Mount) -> None:
    disk = tmpfs(mib=24)
    with LiveServer(disk, workers=2, env={"FLASK_UPLOADS_TYPES": "bin"}) as server:
        engine = Engine("granian", server)
        visitor = engine.visitor()
        [old] = visitor.upload([("old.bin", DATA)]).files
        # Bit by bit, so that now the files and now the database have no room.
        ballast = fill(disk)
        for room in range(0, 200, 4):
            os.truncate(ballast, ballast.stat().st_size - 4096)
            answer = in_a_batch(visitor, f"full-{room}", DATA[: 4096 * (room % 7)])
            if answer.status != 201:
                assert_told(answer, "disk_full")
        assert visitor.fetch(old["url"]) == DATA
        ballast.unlink()
        assert_heals(engine, in_a_batch, "full", DATA)


def test_a_disk_that_is_mounted_read_only_is_503_and_takes_files_again(tmpfs: Mount, tmp_path: Path) -> None:
    disk = tmpfs(mib=16)
    with on(disk, tmp_path) as server:
        engine = Engine("granian", server)
        visitor, pids = engine.visitor(), server.pids()
        [old] = visitor.upload([("old.bin", DATA)]).files
        before = inventory_of(disk, tmp_path)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for way in WAYS.values():
            assert_told(way(visitor, "read-only", DATA), "unavailable")
        assert visitor.fetch(old["url"]) == DATA
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        assert kept(inventory_of(disk, tmp_path)) == kept(before)
        for name, way in WAYS.items():
            assert_heals(engine, way, f"read-only-{name}", DATA)
        assert server.pids() == pids


def test_a_full_disk_where_files_wait_for_a_far_storage_is_507(
    tmpfs: Mount, tmp_path: Path, cloud: FakeCloudinary
) -> None:
    disk = tmpfs(mib=16)
    far = {"FLASK_UPLOADS_STORAGE": "cloudinary://tests/full", "FLASK_UPLOADS_STAGING": str(disk)}
    with LiveServer(tmp_path, workers=2, env={"FLASK_UPLOADS_TYPES": "bin", **far}) as server:
        visitor, pids = Engine("granian", server).visitor(), server.pids()
        ballast = fill(disk)
        for way in WAYS.values():
            assert_told(way(visitor, "full", DATA), "disk_full")
        assert cloud.lying("cloudinary://tests/full") == {}
        ballast.unlink()
        for name, way in WAYS.items():
            assert way(visitor, f"full-{name}", DATA).status == 201
        assert server.pids() == pids


LEAST = 16 << 20


def test_what_is_to_stay_free_stays_free(tmpfs: Mount, tmp_path: Path) -> None:
    disk = tmpfs(mib=40)
    with on(disk, tmp_path, FLASK_UPLOADS_MIN_FREE=str(LEAST)) as server:
        engine = Engine("granian", server)
        visitor = engine.visitor()
        data = bytes(3_000_000)
        files = [visitor.upload([("a.bin", data)]).files[0] for _ in range(7)]
        before = inventory_of(disk, tmp_path)
        body = form([("a.bin", data * 2)])
        with Client(server) as client:
            # By its header, before a byte of it is there.
            client.send_head(visitor.headers(len(body)))
            assert_told(client.read_early(), "disk_full")
        with Client(server) as client:
            # While it comes, where the length is not told.
            client.send_head(visitor.headers(transfer_encoding="chunked"))
            client.send_in_chunks(body, size=65_536)
            assert_told(client.read(), "disk_full")
        assert kept(inventory_of(disk, tmp_path)) == kept(before)
        # Who comes together finds the same room free, and gets it once.
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: visitor.upload([("a.bin", data[:1_000_000])]), range(8)))
        assert {answer.status for answer in answers} == {201, 507}
        # Each thread may have looked before the others wrote a piece.
        assert shutil.disk_usage(disk).free >= LEAST - 8 * (1 << 20)
        for way in WAYS.values():
            assert_told(way(visitor, "no-room", data * 2), "disk_full")
        assert visitor.delete(f"/files/{files[0]['id']}").status == 204
        assert visitor.delete(f"/files/{files[1]['id']}").status == 204
        for name, way in WAYS.items():
            assert_heals(engine, way, f"room-{name}", DATA)
