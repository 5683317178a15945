"""Two nodes with disks of their own behind nginx, on one PostgreSQL and one S3 store: together they are as one."""

import contextlib
import copy
import hashlib
import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from engines.fleet import nginx
from engines.postgresql import PostgreSQL
from engines.rgw import KEYS, RADOSGateway
from engines.test_chunks_kill import chunk_form, missing_chunks, state
from engines.wire import END, Answer, Client, Visitor, form, part
from engines.wire import field as form_field
from pictures import jpeg
from support import LiveServer

#: Of the test of a node that is killed; more by TESTS_FILES=1000.
FILES = int(os.environ.get("TESTS_FILES", "240"))
PER_REQUEST = 6
CHUNK = 5 << 20
LOST = (OSError, http.client.HTTPException, AssertionError)
QUOTA_FILES = 2000


@dataclass
class Nodes:
    """Both nodes, and the door that everybody comes through."""

    first: LiveServer
    second: LiveServer
    door: LiveServer
    gateway: RADOSGateway
    store: str
    database: str
    env: dict[str, str] = field(repr=False)

    def run(self, node: LiveServer, *arguments: str, without: str = "") -> str:
        """What a command of ours prints on a node, ``without`` one of its settings."""
        command = [sys.executable, "-m", "flask", "--app", "dropzone_app", "uploads", *arguments]
        env = {name: value for name, value in {**os.environ, **self.env}.items() if name != without}
        done = subprocess.run(command, cwd=node.folder, env=env, capture_output=True, text=True, timeout=120)
        # The doctor may find something to mend about the machine of the tests.
        assert done.returncode == 0 or "doctor" in arguments, done.stderr
        return done.stdout

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database says, asked past the app."""
        url = self.database.replace("postgresql+psycopg", "postgresql")
        with psycopg.connect(url) as connection:
            return connection.execute(query).fetchall()  # type: ignore[call-overload,no-any-return]

    def disagreements(self) -> dict[str, object]:
        """Objects without a record, records without their object, what is half done: nothing, when all is well."""
        records = {key: size for key, size, state in self.rows("SELECT key, size, state FROM files") if state}
        lying = {key: size for key, size in self.gateway.lying(self.store).items() if key[0] != "."}
        found = {
            "no record": lying.items() - records.items(),
            "no object": records.items() - lying.items(),
            "not stored": self.rows("SELECT key FROM files WHERE state <> 'stored'"),
            "unfinished": self.rows(
                "SELECT uuid FROM uploads WHERE state NOT IN ('refused', 'cancelled', 'stored')"
            ),
            "parts": self.gateway.unfinished(self.store),
            "pieces": [
                key for key in self.gateway.lying(self.store) if key.startswith(".staging/") and "-" in key
            ],
            "staged": [
                name
                for node in (self.first, self.second)
                for name in os.listdir(node.folder / "instance" / ".staging")
            ],
        }
        return {what: names for what, names in found.items() if names}


@pytest.fixture(scope="module")
def nodes(
    tmp_path_factory: pytest.TempPathFactory, _rgw: RADOSGateway, postgresql: PostgreSQL
) -> Iterator[Nodes]:
    with ExitStack() as stack:
        database, store = postgresql.empty(tables=True), _rgw.empty()
        env = {
            **KEYS,
            "FLASK_UPLOADS_STORAGE": store,
            "FLASK_UPLOADS_DATABASE": database,
            "FLASK_SECRET_KEY": hashlib.sha256(os.urandom(8)).hexdigest(),
            "FLASK_UPLOADS_TYPES": "bin,txt,jpg",
            "FLASK_UPLOADS_QUOTA_FILES": str(QUOTA_FILES),
            "FLASK_UPLOADS_QUOTA": "200 MiB",
        }
        folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
        with ThreadPoolExecutor(2) as pool:
            first, second = (
                stack.enter_context(server)
                for server in pool.map(lambda folder: LiveServer(folder, env=env), folders)
            )
        door = stack.enter_context(nginx(tmp_path_factory.mktemp("nginx"), first, second))
        yield Nodes(first, second, door, _rgw, store, database, env)


def at(visitor: Visitor, server: LiveServer) -> Visitor:
    """The same person, with the same session and token, elsewhere."""
    same = copy.copy(visitor)
    same.server = server
    return same


def listed(visitor: Visitor) -> list[dict[str, Any]]:
    """All files of a person, page after page."""
    files: list[dict[str, Any]] = []
    more = ""
    while True:
        with Client(visitor.server) as client:
            headers = {"Cookie": visitor.cookie, "Accept": "application/json"}
            client.send_head(headers, f"/files{more}", "GET")
            page = json.loads(client.read().text)
        files += page["files"]
        if not page["next"]:
            return files
        more = f"?cursor={page['next']}"


def test_what_one_node_stores_the_other_lists_tells_reads_and_deletes(nodes: Nodes) -> None:
    here = Visitor(nodes.first)
    there = at(here, nodes.second)
    photo = jpeg()
    answer = there.send(
        form_field("uuid[0]", "one")
        + form_field("uuid[1]", "two")
        + part("file[0]", "a.txt", b"hello")
        + part("file[1]", "b.jpg", photo)
        + END
    )
    text, picture = answer.files
    assert [file["id"] for file in listed(here)] == [picture["id"], text["id"]]
    assert state(here, "one")["state"] == "stored"
    assert here.fetch(text["url"]) == there.fetch(text["url"]) == b"hello"
    assert here.fetch(picture["thumbnail"])[8:12] == b"WEBP"
    assert there.fetch(picture["thumbnail"]) == here.fetch(picture["thumbnail"])
    # The same upload again, elsewhere, is the same file.
    assert here.send(form_field("uuid[0]", "one") + part("file[0]", "a.txt", b"hello") + END).files == [text]
    assert listed(Visitor(nodes.second)) == [], "another person has nothing"
    forged = there.send(form([("a.txt", b"x")]), x_csrftoken="forged")
    assert forged.status == 400 and "CSRF" in forged.text.upper(), forged
    assert here.delete(f"/files/{text['id']}").status == 204
    assert there.delete("/uploads/two").status == 204
    assert listed(here) == listed(there) == []
    assert nodes.disagreements() == {}


def test_a_node_with_a_secret_key_of_its_own_is_told_that_others_refuse_its_sessions(nodes: Nodes) -> None:
    sentence = "another one refuses its sessions"
    told = nodes.run(nodes.first, "doctor")
    assert "secret key" in told and sentence not in told
    assert sentence in nodes.run(nodes.first, "doctor", without="FLASK_SECRET_KEY")


@pytest.mark.parametrize("size", [CHUNK, 1 << 20])
def test_chunks_go_to_any_node_and_any_node_goes_on(nodes: Nodes, size: int) -> None:
    data = os.urandom(3 * size + 1000)
    visitor, uuid = Visitor(nodes.door), f"chunks-{size}"
    met = set()
    for index in (2, 0, 3):
        answer = visitor.send(chunk_form(data, index, uuid=uuid, size=size))
        assert answer.status == 202, answer
        met.add(answer.headers["x-node"])
    assert len(met) == 2, "both nodes have taken some"
    for node in (nodes.first, nodes.second):
        assert missing_chunks(at(visitor, node), data, uuid, size) == [1]
        # None of it is on a disk of theirs.
        assert os.listdir(node.folder / "instance" / ".staging") == []
    [file] = visitor.send(chunk_form(data, 1, uuid=uuid, size=size)).files
    assert file["sha256"] == hashlib.sha256(data).hexdigest()
    assert visitor.fetch(file["url"]) == data
    assert visitor.delete(f"/files/{file['id']}").status == 204
    assert nodes.disagreements() == {}


def test_a_tus_upload_goes_on_at_the_other_node_wherever_it_was_cut(nodes: Nodes) -> None:
    lengths = [1000, 6 << 20, 77, 3 << 20]
    data = os.urandom(sum(lengths))
    visitor = Visitor(nodes.first)
    told = {"Tus-Resumable": "1.0.0", "Cookie": visitor.cookie}

    def ask(node: LiveServer, method: str, path: str, body: bytes = b"", **more: str) -> Answer:
        with Client(node) as client:
            headers = {name.replace("_", "-"): value for name, value in more.items()}
            client.send_head({**told, **headers, "Content-Length": str(len(body))}, path, method)
            client.send(body)
            return client.read()

    made = ask(
        nodes.first, "POST", "/tus/", Upload_Length=str(len(data)), Upload_Metadata="filename YS5iaW4="
    )
    assert made.status == 201, made
    path, at_ = made.headers["location"], 0
    for turn, length in enumerate(lengths):
        node = (nodes.first, nodes.second)[turn % 2]
        answer = ask(
            node,
            "PATCH",
            path,
            data[at_ : at_ + length],
            Upload_Offset=str(at_),
            Content_Type="application/offset+octet-stream",
        )
        at_ += length
        assert (answer.status, answer.headers.get("upload-offset")) == (204, str(at_)), answer
    assert visitor.fetch(answer.headers["upload-file"]) == data
    [file] = listed(visitor)
    assert visitor.delete(f"/files/{file['id']}").status == 204
    assert nodes.disagreements() == {}


def test_a_quota_holds_where_both_nodes_are_asked_at_once(nodes: Nodes) -> None:
    visitor = Visitor(nodes.first)
    data = bytes(60 << 20)

    def begin(number: int) -> int:
        node = (nodes.first, nodes.second)[number % 2]
        body = chunk_form(data[: 60 << 20], 11, uuid=f"quota-{number}", size=CHUNK)
        return at(visitor, node).send(body).status

    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(begin, range(6)))
    # 60 MiB each, of 200.
    assert statuses[:3] == [202] * 3 and all(status >= 400 for status in statuses[3:]), statuses
    for number in range(6):
        visitor.delete(f"/uploads/quota-{number}")
    assert nodes.disagreements() == {}


def test_neither_the_start_nor_the_sweep_of_a_node_touches_what_lives_on_the_other(nodes: Nodes) -> None:
    data = os.urandom(2 * CHUNK)
    visitor, other = Visitor(nodes.first), at(Visitor(nodes.first), nodes.second)
    assert visitor.send(chunk_form(data, 0, uuid="lives", size=CHUNK)).status == 202
    assert other.send(chunk_form(data, 0, uuid="abandoned", size=CHUNK)).status == 202
    body = chunk_form(data, 1, uuid="lives", size=CHUNK)
    with Client(nodes.first) as client:
        client.send_head(visitor.headers(len(body)))
        client.send(body[: len(body) // 2])
        # The other one starts, sweeps, and finds nothing that is a day old.
        nodes.second.restart()
        assert "0 removed" in nodes.run(nodes.second, "sweep")
        client.send(body[len(body) // 2 :])
        [file] = client.read().files
    assert visitor.fetch(file["url"]) == data
    swept = nodes.run(nodes.second, "sweep", "--age", "0")
    assert "receiving upload big.bin" in swept, swept
    assert "file without a record" not in swept and "record without its file" not in swept
    assert nodes.gateway.unfinished(nodes.store) == []
    assert visitor.delete(f"/files/{file['id']}").status == 204
    assert nodes.disagreements() == {}


class Crowd:
    """Somebody who sends many files and one big one through the door, and each again until it is answered for."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self.told: dict[str, str] = {}
        #: Set when the node is killed: half of all waits for that.
        self.killing = threading.Event()

    def send_batch(self, contents: dict[str, bytes], *, late: bool) -> None:
        assert not late or self.killing.wait(120)
        body = b"".join(form_field(f"uuid[{n}]", name) for n, name in enumerate(contents))
        files = self._until_stored(body + form((f"{name}.bin", data) for name, data in contents.items()))
        self.told |= {file["uuid"]: file["id"] for file in files}

    def _until_stored(self, body: bytes) -> list[dict[str, Any]]:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(*LOST):
                return self._visitor.send(body).files
            assert time.monotonic() < deadline, "never stored"
            time.sleep(0.2)

    def send_big(self, data: bytes) -> None:
        deadline = time.monotonic() + 120
        while "big" not in self.told:
            with contextlib.suppress(*LOST):
                waiting = missing_chunks(self._visitor, data, "big", CHUNK) if self.told.get("begun") else [0]
                for index in waiting or [0]:
                    assert index < 4 or self.killing.wait(120)
                    answer = self._visitor.send(chunk_form(data, index, uuid="big", size=CHUNK))
                    assert answer.status in {201, 202}, answer
                    self.told["begun"] = "yes"
                    if answer.status == 201:
                        self.told["big"] = answer.files[0]["id"]
            assert time.monotonic() < deadline, "never stored"


def test_a_node_killed_among_many_files_and_a_big_one_loses_none_and_none_is_stored_twice(
    nodes: Nodes,
) -> None:
    shuffled = random.Random(8)
    contents = {f"f{n}": shuffled.randbytes(shuffled.randrange(20_000)) for n in range(FILES)}
    big = shuffled.randbytes(8 * CHUNK + 4321)
    visitor = Visitor(nodes.door)
    crowd = Crowd(visitor)
    names = list(contents)
    batches = [names[start : start + PER_REQUEST] for start in range(0, FILES, PER_REQUEST)]

    late = batches[len(batches) // 2 :]
    with ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(crowd.send_big, big)]
        jobs += [
            pool.submit(crowd.send_batch, {name: contents[name] for name in batch}, late=batch in late)
            for batch in batches
        ]
        deadline = time.monotonic() + 120
        while len(crowd.told) < FILES / 4 or "begun" not in crowd.told:
            assert time.monotonic() < deadline, "too few files"
            time.sleep(0.01)
        crowd.killing.set()
        nodes.first.kill()
        nodes.first.start()
        for job in jobs:
            job.result()
    assert crowd.told.pop("begun")
    files = {file["uuid"]: file for file in listed(visitor)}
    assert {uuid: file["id"] for uuid, file in files.items()} == crowd.told
    expected = {**contents, "big": big}
    assert {uuid: file["sha256"] for uuid, file in files.items()} == {
        uuid: hashlib.sha256(data).hexdigest() for uuid, data in expected.items()
    }
    assert visitor.fetch(files["big"]["url"]) == big
    for uuid in shuffled.sample(names, 10):
        assert visitor.fetch(files[uuid]["url"]) == contents[uuid]
    # What the killed one had begun is undone by it when it starts; what it had staged is told by nobody.
    nodes.run(nodes.first, "sweep", "--age", "0")
    assert nodes.disagreements() == {}
