"""Two at once, on a real server with several workers: whoever comes first, what is told is what is there."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from engines.fleet import Engine
from engines.wire import END, Answer, Client, Visitor, field, form, part
from faults.load import Load
from faults.test_crash import started

ROUNDS = 8
TOGETHER = 6


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with started(tmp_path_factory.mktemp("races")) as server:
        yield Engine("granian", server)


def upload(visitor: Visitor, uuid: str, data: bytes) -> Answer:
    return visitor.send(field("uuid[0]", uuid) + part("file[0]", "a.bin", data) + END)


def busy(answer: Answer) -> bool:
    return answer.status == 409 and answer.headers.get("upload-codes") == "uuid_busy=(0)"


@pytest.mark.parametrize("same", [True, False], ids=["the same bytes", "other bytes"])
def test_one_uuid_at_once_is_one_file(engine: Engine, same: bool) -> None:
    visitor = engine.visitor()
    for n in range(ROUNDS):
        before, together = len(engine.inventory().records), Barrier(TOGETHER)

        def send(k: int, n: int = n, together: Barrier = together) -> Answer:
            together.wait()
            return upload(visitor, f"{same}-{n}", b"x" * (200_000 if same else 200_000 + k))

        with ThreadPoolExecutor(TOGETHER) as pool:
            answers = list(pool.map(send, range(TOGETHER)))
        told = [answer.files[0]["id"] for answer in answers if answer.status == 201]
        assert len({*told}) == 1
        if same:
            assert all(answer.status == 201 or busy(answer) for answer in answers)
        else:
            assert sorted(answer.status for answer in answers) == [201] + [409] * (TOGETHER - 1)
        assert len(engine.inventory().records) == before + 1
    assert not engine.inventory().disagreements()


def test_a_file_that_is_deleted_while_it_is_downloaded_arrives_whole(engine: Engine) -> None:
    visitor, data = engine.visitor(), os.urandom(20_000_000)
    [file] = visitor.upload([("big.bin", data)]).files
    with Client(engine.door) as client:
        client.send_head({"Cookie": visitor.cookie, "Connection": "close"}, file["url"], "GET")
        got = client.socket.recv(1 << 16)
        assert visitor.delete(f"/files/{file['id']}").status == 204
        while more := client.socket.recv(1 << 20):
            got += more
    assert got.partition(b"\r\n\r\n")[2] == data
    assert visitor.delete(f"/files/{file['id']}").status == 404
    assert not engine.inventory().disagreements()


def test_to_delete_while_others_send_again_leaves_one_file_or_none(engine: Engine) -> None:
    visitor, data = engine.visitor(), b"x" * 100_000
    for n in range(ROUNDS):
        uuid, together = f"retry-{n}", Barrier(TOGETHER)
        [first] = upload(visitor, uuid, data).files
        before = len(engine.inventory().records)

        def act(k: int, uuid: str = uuid, together: Barrier = together) -> Answer:
            together.wait()
            return upload(visitor, uuid, data) if k else visitor.delete(f"/uploads/{uuid}")

        with ThreadPoolExecutor(TOGETHER) as pool:
            deleted, *answers = pool.map(act, range(TOGETHER))
        assert deleted.status == 204
        # 410: it was cancelled, and who sends it all the same may have been held back.
        assert not [answer for answer in answers if answer.status not in {201, 410} and not busy(answer)]
        again = {answer.files[0]["id"] for answer in answers if answer.status == 201} - {first["id"]}
        assert len(again) <= 1
        assert len(engine.inventory().records) == before - 1 + len(again)
    assert not engine.inventory().disagreements()


def test_two_sweeps_beside_uploads_remove_what_is_abandoned_and_nothing_else(tmp_path: Path) -> None:
    with started(tmp_path) as server:
        staging = tmp_path / "uploads" / ".staging"
        abandoned = [staging / f"{n:032x}.part" for n in range(50)]
        abandoned += [staging / f"{n:032x}.chunks" for n in range(50, 100)]
        for path in abandoned:
            path.write_bytes(b"x")
            os.utime(path, (0, 0))
        load = Load(server, seed=1, batches=2, chunked=2)
        load.run()
        sweep = [sys.executable, "-m", "flask", "--app", "dropzone_app", "uploads", "sweep", "--age", "600"]
        env = {**os.environ, "FLASK_UPLOADS_TYPES": "bin"}
        sweeps = [subprocess.Popen(sweep, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL) for _ in range(2)]
        assert [sweep.wait(120) for sweep in sweeps] == [0, 0]
        load.finish()
        assert load.counts["files"] and not load.losses
        assert not [path for path in abandoned if path.exists()]


def test_two_servers_on_one_folder_leave_each_others_work_alone(tmp_path: Path) -> None:
    with started(tmp_path) as one:
        load = Load(one, seed=2)
        load.run()
        for _ in range(3):
            # Starting, it undoes what the dead had begun; the other one is at it meanwhile, and lives.
            with started(tmp_path) as other, Client(other) as client:
                visitor, body = Visitor(other), form([("cut.bin", b"x" * 3_000_000)])
                client.send_head(visitor.headers(len(body)))
                client.send(body[:2_500_000])
                load.wait_for(10)
                other.kill()
        load.finish()
        assert not load.losses
