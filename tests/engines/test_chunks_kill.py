"""A big file in chunks, over connections that are reset and servers that are killed: only what is missing is sent."""

import contextlib
import hashlib
import http.client
import json
import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from engines.fleet import STREAMING, Engine, Inventory, wait_until
from engines.wire import END, Answer, Client, Visitor, field, part
from support import LiveServer

CHUNK = 1 << 20
KILLED = (OSError, http.client.HTTPException)


def chunk_form(data: bytes, index: int, *, uuid: str, size: int = CHUNK) -> bytes:
    """The body of one chunk, as Dropzone sends it."""
    fields = {
        "dzuuid": uuid,
        "dzchunkindex": index,
        "dztotalfilesize": len(data),
        "dzchunksize": size,
        "dztotalchunkcount": count_of(data, size),
        "dzchunkbyteoffset": index * size,
    }
    text = b"".join(field(name, str(value)) for name, value in fields.items())
    return text + part("file", "big.bin", data[index * size : (index + 1) * size]) + END


def count_of(data: bytes, size: int = CHUNK) -> int:
    return -(-len(data) // size)


def state(visitor: Visitor, uuid: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(visitor.fetch(f"/uploads/{uuid}"))
    return found


def missing_chunks(visitor: Visitor, data: bytes, uuid: str, size: int = CHUNK) -> list[int]:
    """What the server says it has not."""
    ranges = state(visitor, uuid).get("ranges", [])
    assert isinstance(ranges, list)
    return [
        index
        for index in range(count_of(data, size))
        if not any(
            start <= index * size and min((index + 1) * size, len(data)) <= end for start, end in ranges
        )
    ]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    with LiveServer(tmp_path, workers=2, env={"FLASK_UPLOADS_TYPES": "bin"}) as started:
        yield started


class Sender:
    """Sends chunks of a file, several at once, as long as the server lives."""

    def __init__(self, visitor: Visitor, data: bytes) -> None:
        self._visitor = visitor
        self._data = data
        self.sent = 0
        self.taken = 0
        self.stored: list[Answer] = []

    def send(self, waiting: list[int]) -> None:
        """Send what is waiting, until that is all, or the connection is lost."""
        with contextlib.suppress(IndexError, *KILLED):
            while True:
                # list.pop is atomic: each chunk is one thread's.
                index = waiting.pop(0)
                self.sent += 1
                answer = self._visitor.send(chunk_form(self._data, index, uuid="u"))
                assert answer.status in {201, 202}, answer
                self.taken += 1
                if answer.status == 201:
                    self.stored.append(answer)


def test_a_server_killed_again_and_again_is_sent_only_what_it_has_not(server: LiveServer) -> None:
    data = random.Random(6).randbytes(60 * CHUNK + 12_345)
    visitor = Visitor(server)
    sender = Sender(visitor, data)
    sender.send([0])
    kills, parallel = 3, 3
    for attempt in range(kills + 1):
        waiting, wanted = missing_chunks(visitor, data, "u"), sender.taken + 10
        with ThreadPoolExecutor(parallel) as pool:
            threads = [pool.submit(sender.send, waiting) for _ in range(parallel)]
            if attempt < kills:
                wait_until(lambda wanted=wanted: sender.taken >= wanted, "ten chunks")  # type: ignore[misc]
                server.kill()
            for thread in threads:
                thread.result()
        if attempt < kills:
            server.start()
    [answer] = sender.stored
    [file] = answer.files
    assert file["sha256"] == hashlib.sha256(data).hexdigest()
    assert visitor.fetch(file["url"]) == data
    # What was on its way when the server died, and no more, came twice.
    assert sender.sent <= count_of(data) + kills * parallel
    inventory = Inventory(server.folder)
    assert not inventory.disagreements()
    assert len(inventory.records) == 1


def begun_to_commit(server: LiveServer) -> bool:
    staged = list((server.folder / "uploads" / ".staging").iterdir())
    return not any(path.suffix == ".chunks" for path in staged)


def test_a_server_killed_while_it_commits_has_all_or_lacks_one_chunk(server: LiveServer) -> None:
    size = 32 << 20
    data = os.urandom(4 * size)
    visitor = Visitor(server)
    undone = 0
    for killing in range(12):
        uuid = f"u{killing}"
        for index in range(3):
            assert visitor.send(chunk_form(data, index, uuid=uuid, size=size)).status == 202
        with Client(server) as client:
            body = chunk_form(data, 3, uuid=uuid, size=size)
            client.send_head(visitor.headers(len(body)))
            client.send(body)
            wait_until(lambda: begun_to_commit(server), "the commit")
            server.kill()
        server.start()
        if missing_chunks(visitor, data, uuid, size) == [3]:
            undone += 1
            assert state(visitor, uuid)["state"] == "receiving"
        answer = visitor.send(chunk_form(data, 3, uuid=uuid, size=size))
        assert answer.status == 201, answer
        assert answer.files[0]["sha256"] == hashlib.sha256(data).hexdigest()
        inventory = Inventory(server.folder)
        assert not inventory.disagreements()
        assert len(inventory.records) == 1
        assert visitor.delete(f"/uploads/{uuid}").status == 204
        if undone >= 3:
            break
    assert undone, "never killed in the middle of a commit"


@pytest.mark.parametrize("name", [name for name in STREAMING if "nginx" not in name])
def test_a_chunk_whose_connection_is_reset_does_not_count_and_its_repeat_does(
    name: str, request: pytest.FixtureRequest
) -> None:
    engine: Engine = request.getfixturevalue("living")(name, "60 MB")
    data = os.urandom(3 * CHUNK)
    visitor = engine.visitor()
    uuid = os.urandom(8).hex()
    assert visitor.send(chunk_form(data, 0, uuid=uuid)).status == 202
    body = chunk_form(data, 1, uuid=uuid)
    with Client(engine.door) as hanging, Client(engine.door) as client:
        for cut in (client, hanging):
            cut.send_head(visitor.headers(len(body)))
            cut.send(body[: len(body) // 2])
        client.reset()
        # The other one hangs, as half-open connections do, and its chunk comes again all the same.
        assert missing_chunks(visitor, data, uuid) == [1, 2]
        assert visitor.send(body).status == 202
        answer = visitor.send(chunk_form(data, 2, uuid=uuid))
        assert answer.status == 201
        # It wakes up when all is over, with other bytes.
        with contextlib.suppress(*KILLED):
            hanging.send(b"?" * 1000 + body[len(body) // 2 + 1000 :])
            assert hanging.read().status == 201
    [file] = answer.files
    assert visitor.fetch(file["url"]) == data
    assert not any("left over" in key for key in engine.inventory().disagreements())
