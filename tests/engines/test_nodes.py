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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from engines.fleet import nginx
from engines.postgresql import PostgreSQL
from engines.rgw import KEYS, RADOSGateway
from engines.test_chunks_kill import chunk_form, missing_chunks, state
from engines.test_direct import put
from engines.wire import END, Answer, Client, Visitor, form, part
from engines.wire import field as form_field
from pictures import jpeg
from support import LiveServer

#: Of the test of a node that is killed.
FILES = 1000
PER_REQUEST = 25
CHUNK = 5 << 20
#: Chunks of the big file that are there before the kill; of the next one half is on its way.
EARLY = 3
GONE = (OSError, http.client.HTTPException)
LOST = (*GONE, AssertionError)
QUOTA_FILES = 2000
QUOTA = 200 << 20


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
            "FLASK_UPLOADS_QUOTA": str(QUOTA),
            "FLASK_UPLOADS_DIRECT": "true",
            "FLASK_UPLOADS_CHUNK_SIZE": str(CHUNK),
        }
        folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
        with ThreadPoolExecutor(2) as pool:
            first, second = (
                stack.enter_context(server)
                for server in pool.map(lambda folder: LiveServer(folder, env=env), folders)
            )
        for node in (first, second):
            # A plain end takes seconds.
            stack.callback(node.kill)
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


@pytest.mark.parametrize("way", ["files", "bytes"])
def test_a_quota_holds_where_both_nodes_are_asked_at_once_in_every_way(nodes: Nodes, way: str) -> None:
    visitor = Visitor(nodes.first)
    large, small = bytes(8 * CHUNK + 1000), b"x" * 100_000
    visitor.send(form_field("uuid[0]", f"{way}-known") + part("file[0]", "a.bin", small) + END)
    [(owner,)] = nodes.rows(f"SELECT owner FROM files WHERE uuid = '{way}-known'")
    if way == "files":
        # As if nearly all were there.
        nodes.rows(f"UPDATE usage SET files = {QUOTA_FILES - 7} WHERE owner = '{owner}' RETURNING files")

    def batch(node: Visitor, uuid: str) -> None:
        fields = b"".join(form_field(f"uuid[{n}]", f"{uuid}-{n}") for n in range(3))
        node.send(fields + form((f"{uuid}-{n}.bin", small) for n in range(3)))

    def chunk(node: Visitor, uuid: str) -> None:
        node.send(chunk_form(large, 8, uuid=uuid, size=CHUNK))

    def direct(node: Visitor, uuid: str) -> None:
        node.ask("/upload/files/direct", {"uuid": uuid, "filename": "a.bin", "size": len(large)})

    def begin(number: int) -> None:
        node = at(visitor, (nodes.first, nodes.second)[number % 2])
        (chunk, direct, batch)[number // 2 % 3](node, f"{way}-{number}")

    wanted = {f"{way}-{n}": len(large) for n in range(12) if n // 2 % 3 < 2}
    wanted |= {f"{way}-{n}-{m}": len(small) for n in range(12) if n // 2 % 3 == 2 for m in range(3)}
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(begin, range(12)))
    found = nodes.rows(
        f"SELECT uuid, size FROM files WHERE owner = '{owner}' AND state = 'stored' UNION "
        f"SELECT uuid, size FROM uploads WHERE owner = '{owner}' AND state = 'receiving'"
    )
    taken = dict(found)
    del taken[f"{way}-known"]
    refused = wanted.keys() - taken
    assert taken.items() <= wanted.items() and taken and refused, taken
    [(used, count)] = nodes.rows(f"SELECT bytes, files FROM usage WHERE owner = '{owner}' AND set = ''")
    assert used == sum(taken.values()) + len(small) <= QUOTA
    if way == "files":
        assert (count, len(taken)) == (QUOTA_FILES, 7)
    else:
        # Whatever was refused has no room beside what was not.
        assert all(used + wanted[uuid] > QUOTA for uuid in refused), refused
    for uuid in (*taken, f"{way}-known"):
        assert at(visitor, nodes.second).delete(f"/uploads/{uuid}").status == 204
    [left] = nodes.rows(f"SELECT bytes, files FROM usage WHERE owner = '{owner}' AND set = ''")
    assert left == (0, QUOTA_FILES - 8 if way == "files" else 0)
    assert nodes.disagreements() == {}


def test_a_direct_file_is_signed_for_by_one_node_and_goes_on_at_the_other(nodes: Nodes) -> None:
    here = Visitor(nodes.first)
    there = at(here, nodes.second)
    data = os.urandom(2 * CHUNK + 1000)
    told = {"uuid": "direct", "filename": "a.bin", "size": len(data)}

    def parts(node: Visitor, **other: str) -> list[dict[str, Any]]:
        answer = node.ask("/upload/files/direct", {**told, **other})
        assert answer.status == 200, answer
        signed: list[dict[str, Any]] = json.loads(answer.text)["parts"]
        return signed

    def send(signed: dict[str, Any]) -> tuple[int, str]:
        return put(signed["url"], data[signed["start"] : signed["end"]])

    first, *others = parts(here)
    assert send(first) == (200, "")
    # As after a reload: what the page asks goes to the other one.
    assert state(there, "direct")["ranges"] == [[0, CHUNK]]
    assert json.loads(there.fetch("/uploads"))["uploads"]["direct"]["ranges"] == [[0, CHUNK]]
    assert [(one["start"], one["end"]) for one in parts(there)] == [
        (one["start"], one["end"]) for one in others
    ]
    assert there.ask("/uploads/direct", {}).status == 409
    for one in others:
        assert send(one) == (200, "")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda node: node.ask("/uploads/direct", {}), (here, there) * 2))
    [file] = {json.dumps(answer.files): answer.files[0] for answer in answers}.values()
    assert file["sha256"] == hashlib.sha256(data).hexdigest()
    assert here.fetch(file["url"]) == there.fetch(file["url"]) == data

    first, *others = parts(here, uuid="cancelled")
    assert send(first) == (200, "")
    assert there.delete("/uploads/cancelled").status == 204
    assert send(others[0]) == (404, "NoSuchUpload")
    assert here.ask("/uploads/cancelled", {}).status == 410
    assert here.delete(f"/files/{file['id']}").status == 204
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
        nodes.second.kill()
        nodes.second.start()
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


def receives(node: LiveServer) -> int:
    """Bytes of the largest thing that a node is just receiving."""
    sizes = [0]
    for pid in node.pids():
        for link in Path(f"/proc/{pid}/fd").iterdir():
            # One may be closed between the listing and the look.
            with contextlib.suppress(FileNotFoundError):
                if "/instance/.staging/" in os.readlink(link):
                    sizes.append(link.stat().st_size)
    return max(sizes)


class Crowd:
    """Somebody who sends many files and two big ones through the door, and each again until it is answered for."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        #: Ids by uuid.
        self.told: dict[str, str] = {}
        #: Big files of which more than the first byte has come.
        self.begun: set[str] = set()
        #: Set when the node is dead: half of all waits for that.
        self.killed = threading.Event()

    def _until_told(self, uuids: set[str], attempt: Callable[[], None]) -> None:
        deadline = time.monotonic() + 120
        while not uuids <= self.told.keys():
            with contextlib.suppress(*LOST):
                attempt()
            assert time.monotonic() < deadline, "never stored"

    def _take(self, answer: Answer) -> None:
        self.told |= {file["uuid"]: file["id"] for file in answer.files}

    def send_batch(self, contents: dict[str, bytes], *, late: bool) -> None:
        assert not late or self.killed.wait(120)
        body = b"".join(form_field(f"uuid[{n}]", name) for n, name in enumerate(contents))
        body += form((f"{name}.bin", data) for name, data in contents.items())
        self._until_told(set(contents), lambda: self._take(self._visitor.send(body)))

    def send_big(self, data: bytes) -> None:
        for index in range(EARLY):
            answer = self._visitor.send(chunk_form(data, index, uuid="big", size=CHUNK))
            assert answer.status == 202, answer
        self.begun.add("big")
        assert self.killed.wait(120)

        def attempt() -> None:
            for index in missing_chunks(self._visitor, data, "big", CHUNK) or [0]:
                answer = self._visitor.send(chunk_form(data, index, uuid="big", size=CHUNK))
                assert answer.status in {201, 202}, answer
                if answer.status == 201:
                    self._take(answer)

        self._until_told({"big"}, attempt)

    def send_direct(self, data: bytes) -> None:
        def attempt() -> None:
            told = {"uuid": "direct", "filename": "a.bin", "size": len(data)}
            for one in json.loads(self._visitor.ask("/upload/files/direct", told).text).get("parts", []):
                assert not one["start"] or self.killed.wait(120)
                assert put(one["url"], data[one["start"] : one["end"]]) == (200, "")
                self.begun.add("direct")
            self._take(self._visitor.ask("/uploads/direct", {}))

        self._until_told({"direct"}, attempt)


def test_a_node_killed_among_many_files_and_half_a_chunk_loses_none_and_none_is_stored_twice(
    nodes: Nodes,
) -> None:
    shuffled = random.Random(8)
    contents = {f"f{n}": shuffled.randbytes(shuffled.randrange(20_000)) for n in range(FILES)}
    big, direct = (shuffled.randbytes(count * CHUNK + 4321) for count in (EARLY + 2, 1))
    visitor = Visitor(nodes.door)
    crowd = Crowd(visitor)
    names = list(contents)
    batches = [names[start : start + PER_REQUEST] for start in range(0, FILES, PER_REQUEST)]

    late = batches[len(batches) // 2 :]
    with ThreadPoolExecutor(6) as pool, Client(nodes.door) as half:
        jobs = [pool.submit(crowd.send_big, big), pool.submit(crowd.send_direct, direct)]
        jobs += [
            pool.submit(crowd.send_batch, {name: contents[name] for name in batch}, late=batch in late)
            for batch in batches
        ]
        deadline = time.monotonic() + 120
        while len(crowd.told) < FILES / 4 or len(crowd.begun) < 2:
            assert time.monotonic() < deadline, "too few files"
            time.sleep(0.01)
        # Of the next chunk half is on its way to the node that is killed, whichever that is.
        body = chunk_form(big, EARLY, uuid="big", size=CHUNK)
        half.send_head(visitor.headers(len(body)))
        half.send(body[: len(body) // 2])
        while not (killed := [node for node in (nodes.first, nodes.second) if receives(node) > CHUNK / 4]):
            assert time.monotonic() < deadline, "half a chunk has come nowhere"
        [dead] = killed
        [alive] = {nodes.first, nodes.second} - {dead}
        dead.kill()
        # Half a chunk is none.
        assert missing_chunks(at(visitor, alive), big, "big", CHUNK) == [EARLY, EARLY + 1, EARLY + 2]
        with contextlib.suppress(*GONE):
            half.send(body[len(body) // 2 :])
            assert half.read().status >= 500
        crowd.killed.set()
        dead.start()
        for job in jobs:
            job.result()
    files = {file["uuid"]: file for file in listed(visitor)}
    assert {uuid: file["id"] for uuid, file in files.items()} == crowd.told
    expected = {**contents, "big": big, "direct": direct}
    assert {uuid: file["sha256"] for uuid, file in files.items()} == {
        uuid: hashlib.sha256(data).hexdigest() for uuid, data in expected.items()
    }
    for uuid in ("big", "direct", *shuffled.sample(names, 10)):
        assert visitor.fetch(files[uuid]["url"]) == expected[uuid]
    # What the killed one had begun is undone by it when it starts; what it had staged is told by nobody.
    nodes.run(dead, "sweep", "--age", "0")
    assert nodes.disagreements() == {}
