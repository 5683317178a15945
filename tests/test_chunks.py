"""Files that arrive in chunks, over HTTP: every order, every lie, two workers at once, and restarts."""

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from core import database_url
from sqlalchemy.exc import OperationalError
from webclient import PDF, PNG, Visitor, assert_refused, encode, host_visitor, stored_names, visiting
from werkzeug.test import TestResponse

from dropzone_app import IMAGES, Rejected, UploadSet, upload_rejected, upload_stored
from dropzone_app.records import Records, upgrading
from dropzone_app.records.unfinished import UnfinishedUploads
from dropzone_app.storage import LocalStorage
from dropzone_app.storage.chunks import ChunkFolder, ChunkWriter

BYTES = PNG + bytes(range(256)) * 16
SIZE = 1000


# Each runs on each database.
pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def visit(database: str, tmp_path: Path) -> Iterator[Callable[..., Visitor]]:
    with upgrading(), visiting(tmp_path) as visit:
        yield partial(visit, UPLOADS_DATABASE=database_url(tmp_path))


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    return visit()


def count_of(data: bytes, size: int = SIZE) -> int:
    return max(1, -(-len(data) // size))


def fields(data: bytes, index: int, *, uuid: str = "u", size: int = SIZE, **more: Any) -> dict[str, str]:
    """Dropzone's own, in its order."""
    told = {
        "dzuuid": uuid,
        "dzchunkindex": index,
        "dztotalfilesize": len(data),
        "dzchunksize": size,
        "dztotalchunkcount": count_of(data, size),
        "dzchunkbyteoffset": index * size,
        **more,
    }
    return {name: str(value) for name, value in told.items() if value is not None}


def send(
    visitor: Visitor,
    data: bytes,
    index: int,
    *,
    filename: str = "a.png",
    size: int = SIZE,
    chunk: bytes | None = None,
    path: str = "/upload",
    **more: Any,
) -> TestResponse:
    """One chunk, as Dropzone sends it; `chunk` are other bytes than belong there."""
    part = data[index * size : (index + 1) * size] if chunk is None else chunk
    return visitor.upload(
        *fields(data, index, size=size, **more).items(), ("file", filename, part), path=path
    )


def send_all(visitor: Visitor, data: bytes, **more: Any) -> TestResponse:
    """All chunks, in order; the last answer."""
    answers = [send(visitor, data, index, **more) for index in range(count_of(data, more.get("size", SIZE)))]
    assert [answer.status_code for answer in answers[:-1]] == [202] * (len(answers) - 1)
    return answers[-1]


def content(folder: Path, file: dict[str, Any]) -> bytes:
    return (folder / "uploads" / file["key"]).read_bytes()


def assert_only(folder: Path, *names: str) -> None:
    """Nothing but these files is there, staged ones included."""
    assert stored_names(folder) == sorted(names)


# ---- a file


def test_chunks_that_do_not_complete_a_file_are_202_and_the_one_that_does_is_201(
    visitor: Visitor, tmp_path: Path
) -> None:
    last = count_of(BYTES) - 1
    for index in range(last):
        answer = send(visitor, BYTES, index)
        assert (answer.status_code, answer.get_json()) == (202, {"success": True, "files": []})
        assert visitor.files() == []
    answer = send(visitor, BYTES, last)
    assert answer.status_code == 201
    [file] = answer.get_json()["files"]
    assert file == visitor.files()[0]
    assert (file["uuid"], file["filename"], file["size"]) == ("u", "a.png", len(BYTES))
    assert file["sha256"] == hashlib.sha256(BYTES).hexdigest()
    assert content(tmp_path, file) == BYTES
    assert_only(tmp_path, "a.png")


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_every_order_gives_the_same_file(visitor: Visitor, tmp_path: Path, order: tuple[int, ...]) -> None:
    data = BYTES[:3500]
    statuses = [send(visitor, data, index).status_code for index in order]
    assert statuses == [202, 202, 202, 201]
    [file] = visitor.files()
    assert content(tmp_path, file) == data


@pytest.mark.parametrize(
    ("length", "size"),
    [
        *((length, 1000) for length in (1, 999, 1000, 1001, 2000, 2001)),
        *((length, 10_000) for length in (1, 9999, 10_000, 10_001)),
        *((length, 1) for length in (1, 2, 30)),
        *((length, 7) for length in (1, 7, 8, 200)),
    ],
)
def test_every_size_of_file_and_chunk_comes_out_as_it_went_in(
    visitor: Visitor, tmp_path: Path, length: int, size: int
) -> None:
    data = b"x" * (length - 1) + b"\n"
    answer = send_all(visitor, data, size=size, filename="a.txt")
    assert answer.status_code == 201
    assert content(tmp_path, answer.get_json()["files"][0]) == data


def test_an_empty_file_is_one_empty_chunk(visitor: Visitor, tmp_path: Path) -> None:
    for _ in range(2):
        answer = send(visitor, b"", 0, filename="a.txt")
        assert answer.status_code == 201, answer.text
    assert len(visitor.files()) == 1
    assert_only(tmp_path, "a.txt")


def test_a_chunk_that_comes_again_is_harmless_before_and_after_the_end(
    visitor: Visitor, tmp_path: Path
) -> None:
    last = count_of(BYTES) - 1
    for index in range(last):
        assert [send(visitor, BYTES, index).status_code for _ in range(3)] == [202] * 3
    answers = [send(visitor, BYTES, index) for index in (last, last, 0, 2)]
    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({answer.get_json()["files"][0]["id"] for answer in answers}) == 1
    assert len(visitor.files()) == 1
    assert_only(tmp_path, "a.png")


def test_the_path_of_the_first_chunk_and_the_set_of_the_address_count(tmp_path: Path) -> None:
    visitor = host_visitor(tmp_path, UploadSet("photos", IMAGES))
    answer = send_all(visitor, BYTES, path="/upload/photos", **{"path[0]": "holiday/day 1"})
    [file] = answer.get_json()["files"]
    assert (file["set"], file["path"]) == ("photos", "holiday/day 1")
    assert content(tmp_path, file) == BYTES


def test_a_chunk_with_another_key_than_dropzones_is_a_chunk_too(visitor: Visitor) -> None:
    answer = visitor.upload(*fields(PNG, 0).items(), ("file[0]", "a.png", PNG))
    assert answer.status_code == 201


def test_files_of_one_name_are_two_files(visitor: Visitor, tmp_path: Path) -> None:
    for uuid in ("one", "two"):
        assert send_all(visitor, BYTES, uuid=uuid).status_code == 201
    assert_only(tmp_path, "a.png", "a_1.png")


def test_listeners_hear_of_a_file_once(visitor: Visitor) -> None:
    heard: list[str] = []

    def stored(app: Any, *, upload_set: UploadSet, record: Any) -> None:
        heard.append(f"stored {record.filename}")

    def rejected(app: Any, *, upload_set: UploadSet, filename: str, rejected: Rejected) -> None:
        heard.append(f"rejected {filename}")

    with upload_stored.connected_to(stored), upload_rejected.connected_to(rejected):
        send_all(visitor, BYTES)
        send(visitor, BYTES, 0)
        for index in (0, 1, 0):
            send(visitor, BYTES, index, uuid="v", filename="a.exe")
    assert heard == ["stored a.png", "rejected a.exe"]


# ---- whose it is


def test_chunks_that_leave_a_page_together_are_of_one_owner(visitor: Visitor, tmp_path: Path) -> None:
    """A page of the host's own has a CSRF token and no owner yet, and each answer brings a cookie of its own."""
    with visitor.client.session_transaction() as session:
        session["csrf_token"] = "the page's"
    cookie = visitor.client.get_cookie("session")
    assert cookie
    answers = []
    for index in range(count_of(BYTES)):
        tab = Visitor(visitor.app)
        tab.client.set_cookie("session", cookie.value)
        answers.append(send(tab, BYTES, index))
    assert [answer.status_code for answer in answers] == [202] * 4 + [201]
    assert content(tmp_path, answers[-1].get_json()["files"][0]) == BYTES


def test_a_chunk_without_a_session_is_refused_and_never_waits_for_others(
    visit: Callable[..., Visitor], tmp_path: Path
) -> None:
    visitor = visit(WTF_CSRF_ENABLED=False)
    body = encode(*fields(BYTES, 0).items(), ("file", "a.png", BYTES[:SIZE]))
    assert_refused(visitor.post(body), 400)
    assert_only(tmp_path)
    # Its answer brought one.
    assert visitor.post(body).status_code == 202


# ---- two at once


def test_chunks_that_come_at_once_through_two_workers_make_one_file(
    visit: Callable[..., Visitor], tmp_path: Path
) -> None:
    data = PNG + os.urandom(400_000)
    one, two = visit(), visit()
    two.client = one.client
    token = one.token()
    cookie = one.client.get_cookie("session")
    assert cookie

    def post(index: int) -> int:
        app = (one, two)[index % 2].app
        client = app.test_client()
        client.set_cookie("session", cookie.value)
        body = encode(
            *fields(data, index % 41, size=10_000).items(),
            ("file", "a.png", data[index % 41 * 10_000 : (index % 41 + 1) * 10_000]),
        )
        headers = {"X-CSRFToken": token, "X-Requested-With": "XMLHttpRequest"}
        content_type = "multipart/form-data; boundary=----the-boundary-7f3a"
        return client.post("/upload", data=body, headers=headers, content_type=content_type).status_code

    # Each chunk twice, by both workers.
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(post, range(82)))
    assert set(statuses) <= {201, 202}
    assert 201 in statuses
    [file] = one.files()
    assert content(tmp_path, file) == data
    assert_only(tmp_path, "a.png")


def test_the_last_chunk_twice_at_once_is_one_record_and_both_are_told(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = count_of(BYTES) - 1
    for index in range(last):
        send(visitor, BYTES, index)
    committing, go = threading.Event(), threading.Event()
    join = ChunkFolder.join

    def slow(self: ChunkFolder, handle: str, chunks: Any) -> Any:
        committing.set()
        assert go.wait(10)
        return join(self, handle, chunks)

    monkeypatch.setattr(ChunkFolder, "join", slow)
    other = Visitor(visitor.app)
    cookie = visitor.client.get_cookie("session")
    assert cookie
    other.client.set_cookie("session", cookie.value)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(send, visitor, BYTES, last)
        assert committing.wait(10)
        assert visitor_state(other)["state"] == "receiving"
        assert_refused(other.delete("/uploads/u"), 409)
        second = pool.submit(send, other, BYTES, last)
        go.set()
        answers = [first.result(), second.result()]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].get_json() == answers[1].get_json()


def visitor_state(visitor: Visitor, uuid: str = "u") -> dict[str, Any]:
    state: dict[str, Any] = visitor.get(f"/uploads/{uuid}").get_json()
    return state


# ---- refused


def test_name_and_size_are_refused_at_the_first_chunk_and_every_other_one_is_told_the_same(
    visit: Callable[..., Visitor], tmp_path: Path
) -> None:
    visitor = visit(UPLOADS_TYPES="png", UPLOADS_MAX_FILE_SIZE="4 KB")
    for uuid, filename, data in (("u", "a.exe", BYTES), ("v", "a.png", BYTES), ("w", "...", BYTES)):
        whole = visitor.upload(("file", filename, data))
        # Whichever comes first.
        for index in (3, 0, 1, 3):
            answer = send(visitor, data, index, uuid=uuid, filename=filename)
            assert_refused(answer, whole.status_code, whole.text)
        assert visitor_state(visitor, uuid) == {
            "state": "refused",
            "error": whole.text,
            "status": whole.status_code,
            "code": whole.headers["Upload-Codes"].partition("=")[0],
            "size": len(data),
        }
    assert_only(tmp_path)
    assert visitor.get("/uploads").get_json() == {"uploads": {}}


def test_wrong_content_is_refused_with_the_chunk_that_begins_the_file(
    visitor: Visitor, tmp_path: Path
) -> None:
    data = PDF + bytes(5000)
    whole = visitor.upload(("file", "a.png", data))
    assert send(visitor, data, 3, size=1500).status_code == 202
    for index in (0, 1, 3, 0):
        assert_refused(send(visitor, data, index, size=1500), 415, whole.text)
    assert_only(tmp_path)


@pytest.mark.parametrize("size", [100, 500, 10_000])
def test_content_that_only_the_whole_file_tells_is_refused_at_its_end(
    visitor: Visitor, tmp_path: Path, size: int
) -> None:
    data = b"text\n" * 300 + b"\0" + b"text\n" * 300
    whole = visitor.upload(("file", "a.txt", data))
    for index in range(count_of(data, size) - 1):
        assert send(visitor, data, index, size=size, filename="a.txt").status_code == 202
    for index in (count_of(data, size) - 1, 0):
        assert_refused(send(visitor, data, index, size=size, filename="a.txt"), 415, whole.text)
    assert_only(tmp_path)
    assert visitor.files() == []


def test_a_check_of_the_sets_own_sees_the_whole_file(tmp_path: Path) -> None:
    seen: list[tuple[int, bytes]] = []

    def check(part: Any) -> None:
        with part.open() as file:
            seen.append((part.size, file.read()))
        raise Rejected("PNG only!", 422)

    visitor = host_visitor(tmp_path, UploadSet("photos", IMAGES, checks=[check]))
    answer = send_all(visitor, BYTES)
    assert_refused(answer, 422, "PNG only!")
    assert_refused(send(visitor, BYTES, 1), 422, "PNG only!")
    assert seen == [(len(BYTES), BYTES)]
    assert_only(tmp_path)


@pytest.mark.parametrize("status", [503, 429])
def test_a_refusal_for_now_is_not_recorded(tmp_path: Path, status: int) -> None:
    down = True

    def check(part: Any) -> None:
        if down:
            raise Rejected("The scanner is away.", status)

    visitor = host_visitor(tmp_path, UploadSet("photos", IMAGES, checks=[check]))
    last = count_of(BYTES) - 1
    assert_refused(send_all(visitor, BYTES), status, "The scanner is away.")
    assert visitor_state(visitor)["ranges"] == [[0, last * SIZE]]
    down = False
    assert send(visitor, BYTES, last).status_code == 201
    assert_only(tmp_path, "photos/a.png")


@pytest.mark.parametrize("duplicates", ["skip", "refuse"])
def test_the_same_bytes_again_are_what_the_set_makes_of_them(tmp_path: Path, duplicates: Any) -> None:
    visitor = host_visitor(tmp_path, UploadSet("photos", IMAGES, duplicates=duplicates))
    [file] = visitor.store(("file", "a.png", BYTES))
    answers = [send_all(visitor, BYTES, filename="b.png"), send(visitor, BYTES, 1, filename="b.png")]
    for answer in answers:
        if duplicates == "refuse":
            assert_refused(answer, 409)
        else:
            assert (answer.status_code, answer.get_json()["files"]) == (201, [file])
            assert visitor_state(visitor)["file"] == file
    assert_only(tmp_path, "photos/a.png")
    assert visitor.get("/uploads").get_json() == {"uploads": {}}


def test_where_the_same_bytes_were_deleted_the_upload_begins_anew(tmp_path: Path) -> None:
    visitor = host_visitor(tmp_path, UploadSet("photos", IMAGES, duplicates="skip"))
    [file] = visitor.store(("file", "a.png", BYTES))
    send_all(visitor, BYTES, filename="b.png")
    visitor.delete(f"/files/{file['id']}")
    assert visitor.get("/uploads/u").status_code == 404
    assert send_all(visitor, BYTES, filename="b.png").status_code == 201
    assert [file["filename"] for file in visitor.files()] == ["b.png"]


# ---- lies


WRONG: list[tuple[dict[str, Any], int]] = [
    ({"dzuuid": "../../etc/passwd"}, 400),
    ({"dzuuid": ""}, 400),
    ({"dzuuid": None}, 400),
    ({"dzuuid": "x" * 65}, 400),
    ({"dzchunkindex": "-1"}, 400),
    ({"dzchunkindex": "1.0"}, 400),
    ({"dzchunkindex": "١"}, 400),
    ({"dzchunkindex": "²"}, 400),
    ({"dzchunkindex": "1e3"}, 400),
    ({"dzchunkindex": " 1"}, 400),
    ({"dzchunkindex": "1_0"}, 400),
    ({"dzchunkindex": "9" * 19}, 400),
    ({"dzchunkindex": "9" * 5000}, 400),
    ({"dzchunkindex": None}, 400),
    ({"dzchunkindex": 5}, 400),
    ({"dzchunkindex": 0}, 400),
    ({"dztotalfilesize": len(BYTES) - SIZE}, 400),
    ({"dztotalfilesize": len(BYTES) + SIZE}, 400),
    ({"dztotalfilesize": ""}, 400),
    ({"dztotalfilesize": None}, 400),
    ({"dzchunksize": 0}, 400),
    ({"dzchunksize": SIZE - 1}, 400),
    ({"dzchunksize": "0x3e8"}, 400),
    ({"dzchunksize": None}, 400),
    ({"dztotalchunkcount": 0}, 400),
    ({"dztotalchunkcount": 4}, 400),
    ({"dztotalchunkcount": 6}, 400),
    ({"dztotalchunkcount": "NaN"}, 400),
    ({"dztotalchunkcount": None}, 400),
    ({"dzchunkbyteoffset": 999}, 400),
    ({"dzchunkbyteoffset": 0}, 400),
    ({"dzchunkbyteoffset": 10**15}, 400),
    ({"dzchunkbyteoffset": None}, 400),
    ({"size[0]": 5}, 400),
    ({"size[0]": "x"}, 400),
    ({"dzchunksha256": "abc"}, 400),
    ({"sha256": "abc"}, 400),
]


# They are told from the fields alone, and what is then recorded is asked of each database by other tests.
@pytest.mark.parametrize("database", ["SQLite"], indirect=True)
@pytest.mark.parametrize(("wrong", "status"), WRONG)
def test_fields_that_do_not_agree_are_a_sentence_and_change_nothing(
    visitor: Visitor, tmp_path: Path, wrong: dict[str, Any], status: int
) -> None:
    assert send(visitor, BYTES, 0).status_code == 202
    assert_refused(send(visitor, BYTES, 1, **wrong), status)
    assert visitor_state(visitor)["ranges"] == [[0, SIZE]]
    for index in range(1, count_of(BYTES)):
        answer = send(visitor, BYTES, index)
    assert answer.status_code == 201
    assert content(tmp_path, visitor.files()[0]) == BYTES
    assert_only(tmp_path, "a.png")


def test_no_wrong_field_begins_an_upload(visitor: Visitor, tmp_path: Path) -> None:
    for wrong, status in WRONG:
        if "sha256" not in wrong:
            assert_refused(send(visitor, BYTES, 1, **wrong), status)
    assert visitor.get("/uploads").get_json() == {"uploads": {}}
    assert_only(tmp_path)


def test_more_chunks_than_can_be_counted_are_refused(visitor: Visitor) -> None:
    data = bytes(10)
    told = {"dztotalfilesize": 100_001, "dztotalchunkcount": 100_001, "dzchunkbyteoffset": 3}
    assert_refused(send(visitor, data, 3, size=1, **told), 400)


@pytest.mark.parametrize("chunk", [b"", b"x", BYTES[:999], BYTES[:1001], BYTES[:3000]])
def test_a_chunk_of_another_length_does_not_count_and_touches_no_neighbour(
    visitor: Visitor, tmp_path: Path, chunk: bytes
) -> None:
    assert send(visitor, BYTES, 2).status_code == 202
    assert_refused(send(visitor, BYTES, 1, chunk=chunk), 400)
    assert visitor_state(visitor)["ranges"] == [[2 * SIZE, 3 * SIZE]]
    for index in (0, 1, 3, 4):
        answer = send(visitor, BYTES, index)
    assert answer.status_code == 201
    assert content(tmp_path, visitor.files()[0]) == BYTES


@pytest.mark.parametrize(
    ("data", "more", "told"),
    [
        (BYTES + b"x", {}, "dztotalfilesize"),
        (BYTES, {"size": 1001}, "dzchunksize"),
        (BYTES, {"filename": "b.png"}, "filename"),
        (BYTES, {"path": "/upload/other"}, "upload set"),
    ],
)
def test_what_the_first_chunk_settled_no_other_one_changes(
    tmp_path: Path, data: bytes, more: dict[str, Any], told: str
) -> None:
    from flask import Flask

    from dropzone_app import Uploads

    app = Flask("host")
    app.config.from_mapping(
        SECRET_KEY="s",
        UPLOADS_STORAGE=f"file:{tmp_path / 'uploads'}",
        UPLOADS_DATABASE=database_url(tmp_path),
    )
    Uploads(app, UploadSet("photos", IMAGES, folder=""), UploadSet("other", IMAGES))
    visitor = Visitor(app)
    assert send(visitor, BYTES, 0).status_code == 202
    answer = send(visitor, data, 1, **more)
    assert_refused(answer, 409)
    assert told in answer.text
    for index in range(1, count_of(BYTES)):
        answer = send(visitor, BYTES, index)
    assert answer.status_code == 201
    assert_only(tmp_path, "a.png")


def test_two_versions_of_a_file_are_refused_and_never_mixed(visitor: Visitor, tmp_path: Path) -> None:
    other = BYTES[:1500] + b"!" + BYTES[1501:]
    assert send(visitor, BYTES, 0).status_code == 202
    assert send(visitor, BYTES, 1).status_code == 202
    for index in (1, 0, 2, 3, 4, 1):
        answer = send(visitor, other, index)
        assert_refused(answer, 409)
        assert "two versions" in answer.text.lower()
    assert_only(tmp_path)
    assert visitor.files() == []


def test_another_owners_uuid_is_as_if_unknown(visitor: Visitor, tmp_path: Path) -> None:
    stranger = Visitor(visitor.app)
    theirs = BYTES[::-1].replace(BYTES[:100][::-1], b"")
    theirs = PNG + theirs
    assert send(visitor, BYTES, 0).status_code == 202
    assert stranger.get("/uploads/u").status_code == 404
    assert stranger.get("/uploads").get_json() == {"uploads": {}}
    assert send_all(stranger, theirs).status_code == 201
    assert Visitor(visitor.app).delete("/uploads/u").status_code == 404
    for index in range(1, count_of(BYTES)):
        answer = send(visitor, BYTES, index)
    assert answer.status_code == 201
    assert content(tmp_path, visitor.files()[0]) == BYTES
    assert content(tmp_path, stranger.files()[0]) == theirs


def test_a_uuid_of_a_file_that_came_in_one_part_takes_no_chunks_of_another(
    visitor: Visitor, tmp_path: Path
) -> None:
    [file] = visitor.store(("uuid[0]", "u"), ("file[0]", "a.png", BYTES))
    answer = send(visitor, BYTES, 2)
    assert (answer.status_code, answer.get_json()["files"]) == (201, [file])
    assert_refused(send(visitor, BYTES + b"x", 2), 409)
    assert_only(tmp_path, "a.png")


def test_a_file_that_comes_in_one_part_while_its_chunks_come_is_stored_once(
    visitor: Visitor, tmp_path: Path
) -> None:
    send(visitor, BYTES, 0)
    [file] = visitor.store(("uuid[0]", "u"), ("file[0]", "a.png", BYTES))
    for index in range(1, count_of(BYTES)):
        assert send(visitor, BYTES, index).get_json()["files"] == [file]
    assert_only(tmp_path, "a.png")


@pytest.mark.parametrize(
    "items",
    [
        [("file", "a.png", PNG), *fields(PNG, 0).items()],
        [*list(fields(PNG, 0).items())[:3], ("file", "a.png", PNG), *list(fields(PNG, 0).items())[3:]],
        [*fields(PNG, 0).items(), ("file", "a.png", PNG), ("file", "b.png", PNG)],
        [("file", "b.png", PNG), *fields(PNG, 0).items(), ("file", "a.png", PNG)],
        [*fields(PNG, 0).items()],
        [*fields(PNG, 0).items(), ("other", "a.png", PNG)],
    ],
)
def test_a_form_that_is_not_one_chunk_after_its_fields_is_refused(
    visitor: Visitor, tmp_path: Path, items: list[Any]
) -> None:
    assert_refused(visitor.upload(*items), 400)
    assert visitor.files() == []
    assert [name for name in stored_names(tmp_path) if ".staging" not in name] == []


# ---- integrity


def test_a_chunk_that_is_not_what_its_digest_says_is_refused_and_sent_again_alone(
    visitor: Visitor, tmp_path: Path
) -> None:
    digests = [hashlib.sha256(BYTES[at : at + SIZE]).hexdigest().upper() for at in range(0, len(BYTES), SIZE)]
    send(visitor, BYTES, 0, dzchunksha256=digests[0])
    bad = bytes([BYTES[1000] ^ 1]) + BYTES[1001:2000]
    answer = send(visitor, BYTES, 1, chunk=bad, dzchunksha256=digests[1])
    assert_refused(answer, 422)
    assert answer.headers["Upload-Error"] == "chunk_digest"
    assert visitor_state(visitor)["ranges"] == [[0, SIZE]]
    for index in range(1, count_of(BYTES)):
        answer = send(visitor, BYTES, index, dzchunksha256=digests[index])
    assert answer.status_code == 201
    assert content(tmp_path, visitor.files()[0]) == BYTES


@pytest.mark.parametrize("digest", ["sha256", "none"])
@pytest.mark.parametrize("told_at", [0, 2, 4])
def test_the_whole_files_digest_may_come_with_any_chunk_and_is_compared(
    visit: Callable[..., Visitor], tmp_path: Path, told_at: int, digest: str
) -> None:
    visitor = visit(UPLOADS_DIGEST=digest)
    for uuid, told in (("good", hashlib.sha256(BYTES).hexdigest()), ("bad", "0" * 64)):
        for index in range(count_of(BYTES)):
            answer = send(visitor, BYTES, index, uuid=uuid, sha256=told if index == told_at else None)
        if uuid == "good":
            assert answer.status_code == 201
        else:
            assert_refused(answer, 422)
            assert_refused(send(visitor, BYTES, 0, uuid=uuid), 422, answer.text)
    assert_only(tmp_path, "a.png")


def test_another_digest_of_the_whole_file_is_refused(visitor: Visitor) -> None:
    send(visitor, BYTES, 0, sha256="0" * 64)
    assert_refused(send(visitor, BYTES, 1, sha256="1" * 64), 409)


def test_bytes_that_changed_on_the_disk_are_not_stored(visitor: Visitor, tmp_path: Path) -> None:
    last = count_of(BYTES) - 1
    for index in range(last):
        send(visitor, BYTES, index)
    [staged] = (tmp_path / "uploads" / ".staging").iterdir()
    with staged.open("r+b") as file:
        file.seek(1500)
        file.write(b"!")
    for index in (last, 0):
        assert_refused(send(visitor, BYTES, index), 422)
    assert_only(tmp_path)


def test_a_request_that_hangs_cannot_write_once_the_file_is_committed(
    visitor: Visitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers: list[ChunkWriter] = []
    write = ChunkFolder.write

    def remembered(self: ChunkFolder, handle: str, offset: int | None) -> ChunkWriter:
        if offset == SIZE:
            writers.append(write(self, handle, offset))
        return write(self, handle, offset)

    monkeypatch.setattr(ChunkFolder, "write", remembered)
    assert send_all(visitor, BYTES).status_code == 201
    with pytest.raises(FileNotFoundError):
        writers[0].write(b"<script>")
    writers[0].close()
    assert content(tmp_path, visitor.files()[0]) == BYTES


def test_what_a_hanging_request_writes_over_a_chunk_that_counted_is_found_at_the_end(
    visitor: Visitor, tmp_path: Path
) -> None:
    last = count_of(BYTES) - 1
    send(visitor, BYTES, 0)
    [staged] = (tmp_path / "uploads" / ".staging").iterdir()
    hanging = ChunkWriter(staged, SIZE)
    for index in range(1, last):
        send(visitor, BYTES, index)
    hanging.write(b"!")
    hanging.close()
    for index in (last, 0):
        assert_refused(
            send(visitor, BYTES, index),
            422,
            "What had arrived of this file was damaged; send the file again.",
        )
    assert_only(tmp_path)


def test_a_chunk_that_is_cut_is_as_if_it_never_came(visitor: Visitor, tmp_path: Path) -> None:
    send(visitor, BYTES, 0)
    body = encode(*fields(BYTES, 1).items(), ("file", "a.png", b"?" * SIZE))
    for cut in (len(body) - 60, len(body) - 500, len(body) - 5):
        answer = visitor.post(body[:cut], headers={"X-CSRFToken": visitor.token()})
        assert_refused(answer, 400)
        assert visitor_state(visitor)["ranges"] == [[0, SIZE]]
    for index in range(1, count_of(BYTES)):
        answer = send(visitor, BYTES, index)
    assert answer.status_code == 201
    assert content(tmp_path, visitor.files()[0]) == BYTES


# ---- states


def test_what_has_arrived_is_told_as_ranges(visitor: Visitor) -> None:
    for index, ranges in (
        (1, [[1000, 2000]]),
        (3, [[1000, 2000], [3000, 4000]]),
        (2, [[1000, 4000]]),
        (4, [[1000, len(BYTES)]]),
    ):
        assert send(visitor, BYTES, index, **{"path[0]": "day 1"}).status_code == 202
        state = visitor_state(visitor)
        assert (state["state"], state["size"], state["ranges"]) == ("receiving", len(BYTES), ranges)
    assert (state["filename"], state["path"], state["set"]) == ("a.png", "day 1", "files")
    assert (state["chunk_size"], state.get("sha256")) == (1000, None)
    assert visitor.get("/uploads").get_json() == {"uploads": {"u": state}}
    [told] = (
        visitor.client.post(
            "/upload/check",
            json={"files": [{"uuid": "u", "filename": "a.png", "size": len(BYTES)}]},
            headers={"X-CSRFToken": visitor.token()},
        )
        .get_json()["uploads"]
        .values()
    )
    assert told == state
    assert visitor.files() == []
    assert send(visitor, BYTES, 0).status_code == 201
    assert visitor_state(visitor)["state"] == "stored"
    assert visitor.get("/uploads").get_json() == {"uploads": {}}


def test_a_digest_that_was_declared_is_told(visitor: Visitor) -> None:
    digest = hashlib.sha256(BYTES).hexdigest()
    send(visitor, BYTES, 1, sha256=digest)
    assert visitor_state(visitor)["sha256"] == digest


def test_another_size_under_the_uuid_of_an_unfinished_upload_is_refused_by_check(visitor: Visitor) -> None:
    send(visitor, BYTES, 1)
    [told] = (
        visitor.client.post(
            "/upload/check",
            json={"files": [{"uuid": "u", "filename": "a.png", "size": 5}]},
            headers={"X-CSRFToken": visitor.token()},
        )
        .get_json()["uploads"]
        .values()
    )
    assert (told["state"], told["status"]) == ("refused", 409)


@pytest.mark.parametrize("filename", ["a.png", "refused.exe"])
def test_a_cancelled_upload_is_gone_and_no_late_chunk_begins_it_anew(
    visitor: Visitor, tmp_path: Path, filename: str
) -> None:
    send(visitor, BYTES, 0, filename=filename)
    assert visitor.delete("/uploads/u").status_code == 204
    assert visitor.delete("/uploads/u").status_code == 404
    for index in (0, 1):
        assert_refused(
            send(visitor, BYTES, index),
            410,
            "The upload of this file was cancelled; drop the file again to send it after all.",
        )
    assert_only(tmp_path)
    assert visitor.get("/uploads").get_json() == {"uploads": {}}
    assert (visitor_state(visitor)["state"], visitor_state(visitor)["code"]) == (
        "refused",
        "upload_cancelled",
    )
    # Another owner's is nobody's business, and this one has others.
    assert send(Visitor(visitor.app), BYTES, 0).status_code == 202
    assert send_all(visitor, BYTES, uuid="v").status_code == 201


def test_what_was_cancelled_before_it_came_does_not_begin(visitor: Visitor, tmp_path: Path) -> None:
    for _ in range(2):
        assert_refused(visitor.delete("/uploads/u"), 404)
        assert_refused(send(visitor, BYTES, 0), 410)
        assert_refused(visitor.upload(("uuid[0]", "u"), ("file[0]", "a.png", BYTES)), 410)
    answer = visitor.upload(
        ("uuid[0]", "v"), ("uuid[1]", "u"), ("file[0]", "a.png", BYTES), ("file[1]", "a.png", BYTES)
    )
    assert (answer.status_code, answer.headers["Upload-Codes"]) == (410, "upload_cancelled=(1)")
    assert [file["uuid"] for file in visitor.files()] == ["v"]
    assert visitor.get("/uploads").get_json() == {"uploads": {}}
    assert visitor.delete("/uploads/v").status_code == 204
    assert_only(tmp_path)
    assert_refused(send(visitor, BYTES, 0, uuid="v"), 410)
    assert_refused(visitor.delete("/uploads/no%00uuid"), 404)
    assert send_all(Visitor(visitor.app), BYTES).status_code == 201


def test_so_many_uploads_of_one_owner_are_remembered_as_cancelled_and_no_more(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dropzone_app.records.unfinished._MOST_CANCELLED", 2)
    for uuid in "abc":
        assert visitor.delete(f"/uploads/{uuid}").status_code == 404
    assert [send(visitor, BYTES, 0, uuid=uuid).status_code for uuid in "abc"] == [410, 410, 202]
    assert visitor.delete("/uploads/c").status_code == 204
    assert send(visitor, BYTES, 0, uuid="c").status_code == 410


def test_a_cancelled_upload_is_forgotten_in_time(visitor: Visitor) -> None:
    send(visitor, BYTES, 0)
    visitor.delete("/uploads/u")
    result = visitor.app.test_cli_runner().invoke(args=["uploads", "sweep", "--age", "0"])
    assert result.exit_code == 0, result.output
    assert send_all(visitor, BYTES).status_code == 201


def test_an_upload_that_is_cancelled_while_its_chunk_arrives_is_told_so(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    send(visitor, BYTES, 0)
    write = ChunkFolder.write
    other = Visitor(visitor.app)
    cookie = visitor.client.get_cookie("session")
    assert cookie
    other.client.set_cookie("session", cookie.value)
    cancelled: list[int] = []

    def cancel(self: ChunkFolder, handle: str, offset: int | None) -> ChunkWriter:
        writer = write(self, handle, offset)
        cancelled.append(threaded(lambda: other.delete("/uploads/u").status_code))
        return writer

    monkeypatch.setattr(ChunkFolder, "write", cancel)
    assert_refused(send(visitor, BYTES, 1), 410)
    assert cancelled == [204]
    assert_only(tmp_path)


def threaded(work: Callable[[], int]) -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def test_where_somebody_has_emptied_the_staging_folder_the_file_begins_anew(
    visitor: Visitor, tmp_path: Path
) -> None:
    for index in (0, 1):
        send(visitor, BYTES, index)
        for path in (tmp_path / "uploads" / ".staging").iterdir():
            path.unlink()
        (tmp_path / "uploads" / ".staging").rmdir()
        assert_refused(send(visitor, BYTES, 2), 409)
        assert visitor.get("/uploads/u").status_code == 404
    for index in (0, 1, 2, 3):
        send(visitor, BYTES, index)
    next((tmp_path / "uploads" / ".staging").iterdir()).unlink()
    assert_refused(send(visitor, BYTES, 4), 409)
    assert send_all(visitor, BYTES).status_code == 201


# ---- failures


def failing_once(error: BaseException) -> tuple[list[int], Callable[..., Any]]:
    """Something to put in place of a method: it fails the first time, and then does what that did."""
    calls: list[int] = []

    def around(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            calls.append(1)
            if len(calls) == 1:
                raise error
            return real(*arguments, **more)

        return call

    return calls, around


@pytest.mark.parametrize(
    ("owner", "name", "error", "index", "status"),
    [
        (os, "pwrite", OSError(errno.ENOSPC, "full"), 1, 507),
        (os, "pwrite", OSError(errno.EIO, "broken"), 1, 503),
        (ChunkFolder, "begin", OSError(errno.EDQUOT, "full"), 0, 507),
        (UnfinishedUploads, "begin", OperationalError("", None, Exception()), 0, 503),
        (UnfinishedUploads, "find", OperationalError("", None, Exception()), 1, 503),
        (UnfinishedUploads, "take", OperationalError("", None, Exception()), 1, 503),
        (UnfinishedUploads, "take", OperationalError("", None, Exception()), 4, 503),
        (UnfinishedUploads, "held", OperationalError("", None, Exception()), 4, 503),
        (ChunkFolder, "join", OSError(errno.EIO, "broken"), 4, 503),
        (LocalStorage, "commit", OSError(errno.ENOSPC, "full"), 4, 507),
        (LocalStorage, "sync", OSError(errno.EIO, "broken"), 4, 503),
        (Records, "reserve", OperationalError("", None, Exception()), 4, 503),
        (Records, "store", OperationalError("", None, Exception()), 4, 503),
    ],
)
def test_what_fails_for_now_is_told_and_the_same_chunk_again_is_all_it_takes(
    visitor: Visitor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    error: BaseException,
    index: int,
    status: int,
) -> None:
    for before in range(index):
        assert send(visitor, BYTES, before).status_code == 202
    calls, around = failing_once(error)
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, around(getattr(owner, name)))
        assert_refused(send(visitor, BYTES, index), status)
    assert calls
    assert visitor.files() == []
    if index:
        assert visitor_state(visitor)["ranges"] == [[0, index * SIZE]]
    else:
        assert_only(tmp_path)
    for after in range(index, count_of(BYTES)):
        answer = send(visitor, BYTES, after)
    assert answer.status_code == 201
    assert content(tmp_path, visitor.files()[0]) == BYTES
    assert_only(tmp_path, "a.png")


@pytest.mark.parametrize("name", ["remove", "drop"])
def test_what_fails_after_the_commit_takes_nothing_back(
    visitor: Visitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for index in range(4):
        send(visitor, BYTES, index)
    owner: Any = UnfinishedUploads if name == "remove" else ChunkFolder
    error = OperationalError("", None, Exception()) if name == "remove" else OSError(errno.EIO, "broken")
    _, around = failing_once(error)
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, around(getattr(owner, name)))
        answers = [send(visitor, BYTES, index) for index in (4, 4, 0)]
    assert [answer.status_code for answer in answers] == [201] * 3
    [file] = visitor.files()
    assert content(tmp_path, file) == BYTES
    assert visitor_state(visitor)["state"] == "stored"
    assert visitor.get("/uploads").get_json() == {"uploads": {}}


# ---- restarts


def test_a_restart_in_between_loses_nothing(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    before = visit()
    for index in (0, 3):
        send(before, BYTES, index)
    cookie = before.client.get_cookie("session")
    assert cookie
    after = visit()
    after.client.set_cookie("session", cookie.value)
    assert visitor_state(after)["ranges"] == [[0, 1000], [3000, 4000]]
    assert [send(after, BYTES, index).status_code for index in (1, 2, 4)] == [202, 202, 201]
    assert content(tmp_path, after.files()[0]) == BYTES
    assert_only(tmp_path, "a.png")


# ---- a view of the host's own


@pytest.mark.parametrize("parsed_before", [False, True])
def test_a_view_of_the_hosts_own_takes_chunks(tmp_path: Path, parsed_before: bool) -> None:
    from flask import Flask, request

    from dropzone_app import Uploads

    app = Flask("host")
    app.config.from_mapping(
        SECRET_KEY="s",
        UPLOADS_STORAGE=f"file:{tmp_path / 'uploads'}",
        UPLOADS_DATABASE=database_url(tmp_path),
        WTF_CSRF_ENABLED=False,
    )
    photos = UploadSet("photos", IMAGES, folder="")
    Uploads(app, photos)
    seen: list[tuple[int, bool]] = []

    @app.post("/album")
    def album() -> Any:
        if parsed_before:
            assert request.files
        batch = photos.receive(request)
        seen.append((len(batch.verdicts), batch.rejected is None))
        return batch.response()

    visitor = Visitor(app)
    visitor.get("/csrf-token")
    assert send_all(visitor, BYTES, path="/album").status_code == 201
    assert seen == [(0, True)] * 4 + [(1, True)]
    assert content(tmp_path, visitor.files()[0]) == BYTES
    assert_refused(send(visitor, BYTES, 0, path="/album", filename="a.exe", uuid="v"), 415)
    assert_refused(send(visitor, BYTES, 0, path="/album", uuid="v", dzchunksize=3), 400)
    assert seen[-2:] == [(1, True), (0, False)]
    assert_only(tmp_path, "a.png")
