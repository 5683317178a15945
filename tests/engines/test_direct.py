"""Files that go straight to a real store: the server signs for them, looks at them there, and records them."""

import contextlib
import hashlib
import http.client
import json
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from engines.rgw import BUCKET, KEYS, RADOSGateway
from engines.wire import Visitor as WireVisitor
from flask import Flask
from proxy import Proxy
from support import LiveServer
from webclient import EXE, Visitor, assert_refused, visiting
from werkzeug.test import TestResponse

from dropzone_app import SettingError, Uploads, UploadSet, doctor
from dropzone_app.storage.parts import SHORTEST
from dropzone_app.storage.signed import CONTENT_TYPE

#: Two parts, of which the last is short.
SIZE = SHORTEST + 1000
CONTENT = random.Random(7).randbytes(SIZE)


def put(
    url: str, data: bytes, *, method: str = "PUT", media_type: str | None = CONTENT_TYPE, **more: str
) -> tuple[int, str]:
    """Send bytes to the store as a browser does; its status, and the code of what it refuses."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=60)
    try:
        headers = more if media_type is None else {"Content-Type": media_type, **more}
        connection.request(method, f"{address.path}?{address.query}", data, headers)
        answer = connection.getresponse()
        code = re.search(rb"<Code>(\w+)", answer.read())
        return answer.status, code[1].decode() if code else ""
    finally:
        connection.close()


class Person(Visitor):
    """Somebody whose files go straight to the store, and what lies there, asked past the app."""

    gateway: RADOSGateway
    url: str

    def ask(self, path: str, question: object) -> TestResponse:
        return self.post(
            json.dumps(question).encode(),
            path,
            {"X-CSRFToken": self.token(), "Accept": "application/json"},
            content_type="application/json",
        )

    def sign(self, filename: str = "a.bin", size: int = SIZE, uuid: str = "u1", **more: Any) -> TestResponse:
        return self.ask("/upload/files/direct", {"uuid": uuid, "filename": filename, "size": size, **more})

    def begin(self, filename: str = "a.bin", size: int = SIZE, uuid: str = "u1", **more: Any) -> Any:
        """What is signed for a file that is taken."""
        answer = self.sign(filename, size, uuid, **more)
        assert answer.status_code == 200, answer.text
        return answer.get_json()

    def send(self, content: bytes = CONTENT, filename: str = "a.bin", uuid: str = "u1", **more: Any) -> None:
        """Send a whole file to the store."""
        for part in self.begin(filename, len(content), uuid, **more)["parts"]:
            assert put(part["url"], content[part["start"] : part["end"]]) == (200, "")

    def complete(self, uuid: str = "u1", **told: Any) -> TestResponse:
        return self.ask(f"/uploads/{uuid}", told)

    def state(self, uuid: str = "u1") -> Any:
        answer = self.get(f"/uploads/{uuid}")
        return answer.get_json() if answer.status_code == 200 else answer.status_code

    def lying(self) -> dict[str, int]:
        """All that lies in the store, without what the app looks with whether it takes files."""
        found = self.gateway.lying(self.url)
        found.pop(".staging/check", None)
        return found

    def unfinished(self) -> list[str]:
        return self.gateway.unfinished(self.url)


@pytest.fixture
def visit(rgw: RADOSGateway, tmp_path: Path) -> Iterator[Callable[..., Person]]:
    """Starts apps on a new place of the store: `visit(UPLOADS_QUOTA="6 MiB")`."""
    with visiting(tmp_path) as start:

        def one(**config: Any) -> Person:
            url = config.setdefault("UPLOADS_STORAGE", rgw.empty())
            config = {"UPLOADS_TYPES": "bin,png,txt", "UPLOADS_DIRECT": True, **config}
            config = {"UPLOADS_CHUNK_SIZE": "5 MiB", "UPLOADS_STAGING": str(tmp_path / "staging"), **config}
            person = Person(start(**config).app)
            person.gateway, person.url = rgw, url
            return person

        yield one


@pytest.fixture
def person(visit: Callable[..., Person]) -> Person:
    return visit()


def sweep(person: Person) -> str:
    done = person.app.test_cli_runner().invoke(args=["uploads", "sweep", "--age", "0"])
    assert done.exit_code == 0, done.output
    return str(done.output)


def test_a_file_goes_to_the_store_and_is_recorded_when_it_was_looked_at_there(person: Person) -> None:
    signed = person.begin(path="holiday")
    assert (signed["state"], signed["ranges"], signed["chunk_size"]) == ("receiving", [], SHORTEST)
    assert [(part["start"], part["end"]) for part in signed["parts"]] == [(0, SHORTEST), (SHORTEST, SIZE)]
    first, last = signed["parts"]
    assert put(first["url"], CONTENT[:SHORTEST]) == (200, "")
    state = person.state()
    assert (state["state"], state["direct"], state["ranges"]) == ("receiving", True, [[0, SHORTEST]])

    early = person.complete()
    assert_refused(early, 409)
    assert early.headers["Upload-Error"] == "parts_missing"
    assert person.files() == []

    assert put(last["url"], CONTENT[SHORTEST:]) == (200, "")
    digest = hashlib.sha256(CONTENT).hexdigest()
    stored = person.complete(sha256=digest)
    assert stored.status_code == 201, stored.text
    (file,) = person.files()
    assert (file["size"], file["sha256"], file["path"]) == (SIZE, digest, "holiday")
    assert stored.get_json()["files"] == [file]
    assert person.get(file["url"]).data == CONTENT
    assert person.lying() == {file["key"]: SIZE}
    assert person.unfinished() == []
    # Twice is once.
    for again in (person.complete(), person.sign()):
        assert (again.status_code, again.get_json()["files"]) == (201, [file])
    assert person.state()["file"] == file
    # And what was signed for it is good for nothing more.
    assert put(first["url"], CONTENT[:SHORTEST])[0] == 404


def test_what_is_signed_is_good_for_that_part_and_nothing_else(visit: Callable[..., Person]) -> None:
    person = visit(UPLOADS_DIRECT_MINUTES=1)
    first = person.begin()["parts"][0]["url"]
    data, other = CONTENT[:SHORTEST], person.begin(uuid="u2")["parts"][0]["url"]
    refused = (403, "SignatureDoesNotMatch")
    assert put(first, data[:-1]) == refused
    assert put(first, data + b"x") == refused
    assert put(first, data, media_type="text/html") == refused
    assert put(first, data, media_type=None) == refused
    assert put(first.replace("partNumber=1", "partNumber=2"), data) == refused
    assert put(first.replace(urlsplit(first).path, urlsplit(other).path), data)[0] in (403, 404)
    assert put(first.replace(urlsplit(first).path, f"/{BUCKET}/a.bin"), data) == refused
    assert put(first.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"), data) == refused
    assert put(first.partition("?")[0], data)[0] == 403
    for method in ("GET", "DELETE", "POST"):
        assert put(first, data, method=method)[0] == 403
    assert person.state()["ranges"] == []


def test_what_is_signed_takes_no_bytes_from_another_object(person: Person) -> None:
    client = person.gateway.client
    client.put_object(Bucket=BUCKET, Key="anothers", Body=bytes(SHORTEST))
    try:
        url = person.begin()["parts"][0]["url"]
        for length in (0, SHORTEST):
            # The store may look at the header before the signature.
            status, _ = put(url, bytes(length), **{"x-amz-copy-source": f"{BUCKET}/anothers"})
            assert status >= 400
            assert person.state()["ranges"] == []
    finally:
        client.delete_object(Bucket=BUCKET, Key="anothers")


def test_what_was_signed_too_long_ago_is_refused_and_signed_anew(person: Person) -> None:
    person.begin()
    storage = person.app.extensions["uploads"].storage
    (handle,) = storage.chunks.handles()
    (old,) = storage.direct.sign(handle, [(0, SHORTEST)], 1)
    deadline = time.monotonic() + 30
    while (answer := put(old, CONTENT[:SHORTEST])) != (403, "AccessDenied"):
        assert time.monotonic() < deadline, answer
        time.sleep(0.3)
    person.send()
    assert person.complete().status_code == 201


@pytest.mark.parametrize("came", [0, 1])
def test_only_what_is_missing_is_signed_again_whichever_part_came_first(person: Person, came: int) -> None:
    one = person.begin()["parts"][came]
    start, end = one["start"], one["end"]
    assert put(one["url"], CONTENT[start:end]) == (200, "")
    again = person.begin()
    assert again["ranges"] == [[start, end]]
    (part,) = again["parts"]
    assert put(part["url"], CONTENT[part["start"] : part["end"]]) == (200, "")
    assert person.begin()["parts"] == []
    assert person.complete().status_code == 201


@pytest.mark.parametrize("digest", ["sha256", "none"])
def test_content_that_is_not_what_its_name_says_is_deleted_there(
    visit: Callable[..., Person], digest: str
) -> None:
    person = visit(UPLOADS_DIGEST=digest)
    content = EXE + CONTENT
    person.send(content, "a.png")
    refused = person.complete()
    assert_refused(refused, 415)
    assert refused.headers["Upload-Codes"].startswith("other_kind=")
    assert (person.lying(), person.unfinished(), person.files()) == ({}, [], [])
    # Its sentence stays, whatever comes under its uuid.
    for again in (person.complete(), person.sign("a.png", len(content))):
        assert (again.status_code, again.text) == (415, refused.text)
    assert person.state()["error"] == refused.text


def test_without_a_digest_the_first_bytes_are_enough(visit: Callable[..., Person]) -> None:
    person = visit(UPLOADS_DIGEST="none")
    # A store's log would be the proof; that it was never hashed is what the record tells.
    person.send()
    stored = person.complete()
    assert stored.status_code == 201, stored.text
    (file,) = person.files()
    assert (file["sha256"], file["size"]) == (None, SIZE)
    assert person.get(file["url"]).data == CONTENT
    # Each byte of a text is looked at all the same.
    person.send(b"x" * SHORTEST + b"\0" * 10, "a.txt", "u2")
    assert_refused(person.complete("u2"), 415)


def test_another_file_than_was_announced_is_refused(person: Person) -> None:
    person.send()
    refused = person.complete(sha256="0" * 64)
    assert_refused(refused, 422)
    digest = hashlib.sha256(CONTENT).hexdigest()
    for changed in ({"size": SIZE + 1}, {"filename": "b.bin"}, {"sha256": "0" * 64}):
        person.begin(uuid="u2", sha256=digest.upper())
        refused = person.sign(uuid="u2", **changed)
        assert (refused.status_code, refused.headers["Upload-Error"]) == (409, "chunk_changed")
    # What was announced first is compared in the end.
    person.send(b"?" + CONTENT[1:], uuid="u2", sha256=digest)
    assert_refused(person.complete("u2", sha256="0" * 64), 409)
    assert_refused(person.complete("u2"), 422)
    assert (person.lying(), person.files()) == ({}, [])


def test_what_the_rules_refuse_begins_nothing_in_the_store(visit: Callable[..., Person]) -> None:
    person = visit(UPLOADS_MAX_FILE_SIZE="6 MB")
    assert_refused(person.sign("a.exe"), 415)
    assert_refused(person.sign("a.bin", 6_000_001, "u2"), 413)
    assert_refused(person.sign("a.bin", 0, "u3"), 400)
    assert_refused(person.ask("/upload/files/direct", {"files": []}), 400)
    assert_refused(person.ask("/upload/nothing/direct", {}), 404)
    assert (person.lying(), person.unfinished()) == ({}, [])


def test_another_persons_upload_is_as_unknown(person: Person) -> None:
    person.send()
    other = Person(person.app)
    assert_refused(other.complete(), 404)
    assert_refused(other.complete("nobody-has-this"), 404)
    assert other.state() == 404
    # Under the same uuid it is a file of their own.
    assert other.begin()["ranges"] == []
    assert other.delete("/uploads/u1").status_code == 204
    assert person.complete().status_code == 201


def test_nothing_is_signed_without_a_session_that_will_know_it_again(visit: Callable[..., Person]) -> None:
    person = visit(WTF_CSRF_ENABLED=False)
    question = json.dumps({"uuid": "u1", "filename": "a.bin", "size": SIZE}).encode()
    answer = person.post(question, "/upload/files/direct", content_type="application/json")
    assert_refused(answer, 400)
    assert answer.headers["Upload-Error"] == "chunk_without_session"
    assert person.unfinished() == []


def test_nothing_is_signed_or_stored_without_a_token(person: Person) -> None:
    person.send()
    question = json.dumps({"uuid": "u2", "filename": "a.bin", "size": SIZE}).encode()
    for path in ("/upload/files/direct", "/uploads/u1"):
        answer = person.post(question, path, content_type="application/json")
        assert_refused(answer, 400)
        assert answer.headers["Upload-Error"] == "csrf_missing"
        headers = {"X-CSRFToken": person.token(), "Origin": "https://elsewhere.example"}
        assert_refused(person.post(question, path, headers, content_type="application/json"), 403)
    assert person.files() == []


def test_a_cancelled_upload_is_aborted_and_stays_so(person: Person) -> None:
    first, last = person.begin()["parts"]
    assert put(first["url"], CONTENT[:SHORTEST]) == (200, "")
    assert person.delete("/uploads/u1").status_code == 204
    assert (person.lying(), person.unfinished()) == ({}, [])
    assert put(last["url"], CONTENT[SHORTEST:]) == (404, "NoSuchUpload")
    for answer in (person.sign(), person.complete()):
        assert_refused(answer, 410)


def test_what_is_never_completed_is_swept_and_aborted(person: Person) -> None:
    person.send(uuid="u1")
    person.begin(uuid="u2")
    # Of a process that died before it wrote down what it had begun.
    storage = person.app.extensions["uploads"].storage
    storage.direct.begin(SHORTEST)
    assert len(person.unfinished()) == 3
    young = person.app.test_cli_runner().invoke(args=["uploads", "sweep"])
    assert "0 removed" in young.output
    assert len(person.unfinished()) == 3
    assert "3 removed" in sweep(person)
    assert (person.lying(), person.unfinished(), person.state()) == ({}, [], 404)
    # Somebody has cleared the store itself.
    person.begin(uuid="u3")
    prefix = person.url.partition("?")[0].removeprefix(f"s3://{BUCKET}/")
    for upload in person.gateway.client.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix)["Uploads"]:
        person.gateway.client.abort_multipart_upload(
            Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"]
        )
    gone = person.sign(uuid="u3")
    assert (gone.status_code, gone.headers["Upload-Error"]) == (409, "upload_gone")
    assert person.begin(uuid="u3")["ranges"] == []


def test_the_quota_holds_when_it_is_raced(visit: Callable[..., Person]) -> None:
    person = visit(UPLOADS_QUOTA=3 * SIZE)
    person.token()
    with ThreadPoolExecutor(8) as pool:
        copies = [Person(person.app) for _ in range(8)]
        for copy in copies:
            copy.client = person.client.application.test_client()  # type: ignore[union-attr]
            copy.client._cookies = person.client._cookies
        answers = list(pool.map(lambda n: copies[n].sign(uuid=f"q{n}"), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [403] * 5
    assert len(person.unfinished()) == 3
    sweep(person)
    assert person.sign(uuid="later").status_code == 200


def test_two_that_complete_at_once_store_one_file(person: Person) -> None:
    person.send()
    person.token()
    copies = [Person(person.app) for _ in range(4)]
    for copy in copies:
        copy.client._cookies = person.client._cookies
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda copy: copy.complete(), copies))
    assert [answer.status_code for answer in answers] == [201] * 4, [answer.text for answer in answers]
    assert len({answer.get_json()["files"][0]["id"] for answer in answers}) == 1
    assert list(person.lying().values()) == [SIZE]


def test_a_part_that_is_put_anew_while_the_file_is_completed_counts_as_the_store_has_it(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = person.begin()["parts"]
    for part in parts:
        assert put(part["url"], CONTENT[part["start"] : part["end"]]) == (200, "")
    storage = person.app.extensions["uploads"].storage
    ask, other = storage.ask, bytes(SHORTEST)

    def late(operation: str, name: str, **more: Any) -> Any:
        if operation == "complete_multipart_upload":
            monkeypatch.undo()
            assert put(parts[0]["url"], other) == (200, "")
        return ask(operation, name, **more)

    monkeypatch.setattr(storage, "ask", late)
    busy = person.complete()
    assert_refused(busy, 409)
    assert busy.headers["Upload-Error"] == "uuid_busy"
    (file,) = person.complete().get_json()["files"]
    assert file["sha256"] == hashlib.sha256(other + CONTENT[SHORTEST:]).hexdigest()
    assert person.get(file["url"]).data == other + CONTENT[SHORTEST:]
    assert person.lying() == {file["key"]: SIZE}


def test_a_store_that_is_away_at_any_step_is_told_and_the_file_goes_on_when_it_is_back(
    rgw: RADOSGateway, visit: Callable[..., Person]
) -> None:
    with Proxy(rgw.endpoint) as store:
        person = visit(UPLOADS_STORAGE=rgw.empty().replace(rgw.endpoint, store.url))
        person.send()
        first = person.begin(uuid="u2")["parts"][0]
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
            store.cut(method=method, path=".*", times=float("inf"))
        for answer in (
            person.complete(),
            person.sign(uuid="u2"),
            person.sign(uuid="u3"),
            person.get("/uploads/u1"),
        ):
            assert_refused(answer, 503)
        told = person.get("/uploads").get_json()["uploads"]
        assert {uuid: one["state"] for uuid, one in told.items()} == {"u1": "receiving", "u2": "receiving"}
        store.clear()
        assert person.complete().status_code == 201
        assert put(first["url"], CONTENT[:SHORTEST]) == (200, "")
        assert person.begin(uuid="u2")["ranges"] == [[0, SHORTEST]]
        assert person.delete("/uploads/u2").status_code == 204
    assert (list(person.lying().values()), person.unfinished()) == ([SIZE], [])


def test_a_file_goes_one_way_only(person: Person) -> None:
    person.begin()
    fields = {"dzchunkindex": 0, "dztotalfilesize": SIZE, "dzchunksize": SHORTEST, "dztotalchunkcount": 2}
    fields |= {"dzuuid": "u1", "dzchunkbyteoffset": 0}
    items = [(name, str(value)) for name, value in fields.items()]
    refused = person.upload(*items, ("file", "a.bin", CONTENT[:SHORTEST]))
    assert (refused.status_code, refused.headers["Upload-Error"]) == (409, "other_way")
    kept = person.upload(("dzuuid", "u2"), *items[:-2], items[-1], ("file", "a.bin", CONTENT[:SHORTEST]))
    assert kept.status_code == 202, kept.text
    for answer in (person.sign(uuid="u2"), person.complete("u2")):
        assert (answer.status_code, answer.headers["Upload-Error"]) == (409, "other_way")
    # Small files come as to any set.
    assert len(person.store(("file", "small.bin", b"small"))) == 1


def test_a_server_killed_before_it_has_recorded_the_file_loses_and_doubles_nothing(
    rgw: RADOSGateway, live_server: Callable[..., LiveServer]
) -> None:
    url = rgw.empty()
    env = {**KEYS, "FLASK_UPLOADS_STORAGE": url, "FLASK_UPLOADS_DIRECT": "true", "FLASK_UPLOADS_TYPES": "bin"}
    server = live_server(env={**env, "FLASK_UPLOADS_CHUNK_SIZE": "5 MiB", "FLASK_SECRET_KEY": "x" * 32})
    visitor = WireVisitor(server)

    ask = visitor.ask
    content = os.urandom(3 * SHORTEST + 5)
    told = {"uuid": "k1", "filename": "a.bin", "size": len(content)}
    first, *others = json.loads(ask("/upload/files/direct", told).text)["parts"]
    assert put(first["url"], content[: first["end"]]) == (200, "")
    server.kill()
    # The store takes them while there is no server at all.
    for part in others[:-1]:
        assert put(part["url"], content[part["start"] : part["end"]]) == (200, "")
    server.start()
    (last,) = json.loads(ask("/upload/files/direct", told).text)["parts"]
    assert put(last["url"], content[last["start"] : last["end"]]) == (200, "")
    done: list[Any] = []

    def complete() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            done.append(ask("/uploads/k1", {}))

    # Somewhere on the way between the store's file and our record.
    thread = threading.Thread(target=complete)
    thread.start()
    deadline = time.monotonic() + 60
    while rgw.unfinished(url):
        assert time.monotonic() < deadline
    server.kill()
    thread.join()
    server.start()
    deadline = time.monotonic() + 60
    while (answer := ask("/uploads/k1", {})).status == 409:
        assert time.monotonic() < deadline, answer
        time.sleep(0.2)
    (file,) = answer.files
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert hashlib.sha256(visitor.fetch(file["url"])).hexdigest() == file["sha256"]
    found = {key: size for key, size in rgw.lying(url).items() if not key.startswith(".staging/check")}
    assert found.pop(file["key"]) == len(content)
    # What the process had not tidied up before it was killed the sweep finds.
    assert all(key.startswith(".staging/") for key in found)


def test_a_set_is_direct_only_where_the_store_takes_files_from_browsers(
    tmp_path: Path, person: Person
) -> None:
    app = Flask("host")
    app.config.from_mapping(SECRET_KEY="s", UPLOADS_STORAGE=f"file:{tmp_path / 'u'}")
    with pytest.raises(SettingError, match="'files' is direct, and its storage is no store"):
        Uploads(app, UploadSet("files", direct=True))


def test_a_set_that_is_not_direct_signs_nothing(visit: Callable[..., Person]) -> None:
    person = visit(UPLOADS_DIRECT=False)
    refused = person.sign()
    assert (refused.status_code, refused.headers["Upload-Error"]) == (400, "not_direct")
    assert "connect-src 'self';" in person.get("/").headers["Content-Security-Policy"]


def test_the_page_may_connect_to_the_store_and_the_store_lets_it_when_an_operator_says_so(
    person: Person,
) -> None:
    policy = person.get("/").headers["Content-Security-Policy"]
    assert f"connect-src 'self' {person.gateway.endpoint};" in policy
    site = person.app.extensions["uploads"]

    def finding(url: str | None = None) -> tuple[str, str]:
        found = {one.check: one for one in doctor.examine(site, "x", url)}["store of files"]
        return found.level, found.mend

    other = {"ID": "theirs", "AllowedMethods": ["GET"], "AllowedOrigins": ["https://other.example"]}
    client = person.gateway.client
    before = {"CORSRules": []}
    with contextlib.suppress(client.exceptions.ClientError):
        before = {"CORSRules": client.get_bucket_cors(Bucket=BUCKET)["CORSRules"]}
    client.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": [other]})
    try:
        assert finding()[0] == "problem"
        page = "http://127.0.0.1:1"
        run = person.app.test_cli_runner().invoke
        assert run(args=["uploads", "cors", "files.example.org"]).exit_code == 1
        for origins in (["https://a.example"], [page, "https://b.example"]):
            done = run(args=["uploads", "cors", *origins])
            assert done.exit_code == 0, done.output
        assert finding()[0] == "ok"
        assert finding(page)[0] == "ok"
        assert finding("https://a.example") == ("problem", "flask uploads cors https://a.example")
        rules = client.get_bucket_cors(Bucket=BUCKET)["CORSRules"]
        assert [rule["ID"] for rule in rules if rule["ID"] == "theirs"] == ["theirs"]
        assert [rule["AllowedOrigins"] for rule in rules if rule["ID"] != "theirs"] == [
            [page, "https://b.example"]
        ]
    finally:
        client.delete_bucket_cors(Bucket=BUCKET)
        if before["CORSRules"]:
            client.put_bucket_cors(Bucket=BUCKET, CORSConfiguration=before)
