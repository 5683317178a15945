"""Who may do what: another owner's things are as if there were none, and a host app has the last word."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from webclient import PNG, Visitor, assert_refused, encode, hosting

from dropzone_app import SettingError, Uploads, UploadSet
from dropzone_app.records import Record

#: Addresses that are the same for everybody: nothing of anybody's is behind them.
OPEN = {"static", "csrf_token", "healthz", "readyz", "shared"}
UNKNOWN_FILE = "There is no such file here, or it is not yours."
UNKNOWN_UPLOAD = "There is no such upload here, or it is not yours."
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Upload-Offset": "2", "Content-Type": "application/offset+octet-stream"}


class Host:
    """An app that knows Ada and Ben by a header, and says who may do what."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.says: Callable[[str, UploadSet | None, Record | None], object] = lambda *_: None
        self.photos = UploadSet("photos", ["png"])
        self.texts = UploadSet("texts", ["txt"], public=True)
        self.uploads = Uploads(app, self.photos, self.texts, owner=self.owner, authorize=self.authorize)

    def owner(self) -> str | None:
        from flask import request

        return request.headers.get("Person")

    def authorize(self, action: str, upload_set: UploadSet | None, record: Record | None) -> Any:
        assert upload_set in (None, self.photos, self.texts)
        self.asked.append((action, upload_set and upload_set.name, record and record.id))
        return self.says(action, upload_set, record)

    def visitor(self, person: str | None) -> Visitor:
        visitor = Visitor(self.app)
        if person:
            visitor.client.environ_base["HTTP_PERSON"] = person
        return visitor


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosting(tmp_path) as make:
        yield Host(make(WTF_CSRF_ENABLED=False))


class Things:
    """One of everything that somebody can have: a file, its small picture, a batch, chunks, a tus upload."""

    def __init__(self, visitor: Visitor) -> None:
        [self.file] = visitor.store(("uuid", "stored"), ("file", "a.png", PNG))
        self.share = visitor.client.post(f"/shares/{self.file['id']}").get_json()["id"]
        page = visitor.post(encode(("file", "b.png", PNG)), headers={"Accept": "text/html"})
        self.batch = page.headers["Location"].rpartition("/")[2]
        assert self.chunk(visitor, "begun", 0).status_code == 202
        answer = visitor.client.post(
            "/tus/",
            headers={**TUS, "Upload-Length": "20", "Upload-Metadata": "filename YS5wbmc=", **BYTES},
            data=PNG[:2],
        )
        assert answer.status_code == 201, answer.text
        self.tus = answer.headers["Location"].rpartition("/")[2]

    @staticmethod
    def chunk(visitor: Visitor, uuid: str, index: int, path: str = "/upload") -> Any:
        told = {"dzuuid": uuid, "dzchunkindex": index, "dztotalfilesize": len(PNG), "dzchunksize": 10}
        told |= {"dztotalchunkcount": -(-len(PNG) // 10), "dzchunkbyteoffset": 10 * index}
        fields = [(name, str(value)) for name, value in told.items()]
        return visitor.upload(*fields, ("file", "c.png", PNG[10 * index : 10 * index + 10]), path=path)


class NoThings:
    """Addresses of the same shape behind which there never was anything."""

    def __init__(self) -> None:
        self.file = {"id": "0" * 32, "filename": "a.png", "uuid": "never"}
        self.batch = self.tus = self.share = "0" * 32


Step = Callable[[Visitor, Any], Any]

#: (method, rule) → what is asked of somebody's thing, and what it is for whom it is not there.
STEPS: dict[tuple[str, str], tuple[Step, int, str | None]] = {
    ("GET", "/files/<id>/<filename>"): (
        lambda v, t: v.get(f"/files/{t.file['id']}/a.png"),
        404,
        UNKNOWN_FILE,
    ),
    ("DELETE", "/files/<id>"): (lambda v, t: v.client.delete(f"/files/{t.file['id']}"), 404, UNKNOWN_FILE),
    ("GET", "/thumbnails/<id>.webp"): (
        lambda v, t: v.get(f"/thumbnails/{t.file['id']}.webp"),
        404,
        UNKNOWN_FILE,
    ),
    ("GET", "/shares/<id>"): (lambda v, t: v.get(f"/shares/{t.file['id']}"), 404, UNKNOWN_FILE),
    ("POST", "/shares/<id>"): (lambda v, t: v.client.post(f"/shares/{t.file['id']}"), 404, UNKNOWN_FILE),
    ("DELETE", "/shares/<id>/<share>"): (
        lambda v, t: v.client.delete(f"/shares/{t.file['id']}/{t.share}"),
        404,
        UNKNOWN_FILE,
    ),
    ("GET", "/batches/<id>"): (
        lambda v, t: v.get(f"/batches/{t.batch}"),
        404,
        "There is no such batch here, or it is older than a day.",
    ),
    ("GET", "/uploads/<uuid>"): (
        lambda v, t: v.get("/uploads/" + ("stored" if t.file["uuid"] == "stored" else "never")),
        404,
        UNKNOWN_UPLOAD,
    ),
    ("POST", "/uploads/<uuid>"): (
        lambda v, t: v.client.post(
            "/uploads/" + ("begun" if t.file["uuid"] == "stored" else "never"), json={}
        ),
        404,
        UNKNOWN_UPLOAD,
    ),
    ("DELETE", "/uploads/<uuid>"): (
        lambda v, t: v.client.delete("/uploads/" + ("begun" if t.file["uuid"] == "stored" else "never")),
        404,
        UNKNOWN_UPLOAD,
    ),
    ("GET", "/uploads"): (lambda v, t: v.get("/uploads"), 200, None),
    ("GET", "/files"): (lambda v, t: v.get("/files", headers={"Accept": "application/json"}), 200, None),
    ("HEAD", "/tus/<name>"): (lambda v, t: v.client.head(f"/tus/{t.tus}", headers=TUS), 404, None),
    ("PATCH", "/tus/<name>"): (
        lambda v, t: v.client.patch(f"/tus/{t.tus}", headers=BYTES, data=PNG[2:4]),
        404,
        UNKNOWN_UPLOAD,
    ),
    ("DELETE", "/tus/<name>"): (
        lambda v, t: v.client.delete(f"/tus/{t.tus}", headers=TUS),
        404,
        UNKNOWN_UPLOAD,
    ),
}
#: (method, rule) → how something is sent there.
SENDING: dict[tuple[str, str], Step] = {
    ("POST", "/upload"): lambda v, _: v.post(encode(("file", "n.png", PNG))),
    ("POST", "/upload/<name>"): lambda v, _: v.post(encode(("file", "n.png", PNG)), "/upload/photos"),
    ("POST", "/upload/check"): lambda v, _: v.client.post("/upload/check", json={"files": []}),
    ("POST", "/upload/<name>/check"): lambda v, _: v.client.post("/upload/photos/check", json={"files": []}),
    ("POST", "/upload/<name>/direct"): lambda v, _: v.client.post("/upload/photos/direct", json={}),
    ("POST", "/tus/"): lambda v, _: v.client.post(
        "/tus/", headers={**TUS, "Upload-Length": "9", "Upload-Metadata": "filename YS5wbmc="}
    ),
    ("POST", "/tus/<name>"): lambda v, _: v.client.post(
        "/tus/photos", headers={**TUS, "Upload-Length": "9", "Upload-Metadata": "filename YS5wbmc="}
    ),
}


def told(answer: Any) -> tuple[int, dict[str, str], bytes]:
    """All that an answer tells, but for the id of its own request."""
    headers = {name: value for name, value in answer.headers.items() if name != "X-Request-ID"}
    return answer.status_code, headers, answer.data


def test_the_tables_name_every_route_of_ours(host: Host) -> None:
    routes = {
        (method, rule.rule)
        for rule in host.app.url_map.iter_rules()
        if rule.endpoint.startswith("uploads.") and rule.endpoint.partition(".")[2] not in OPEN
        for method in (rule.methods or set()) - {"OPTIONS"}
        if method != "HEAD" or rule.endpoint == "uploads.tus"
    }
    # An address of one upload begins none, and the other way round.
    routes -= {(method, "/tus/") for method in ("HEAD", "PATCH", "DELETE")}
    assert routes == STEPS.keys() | SENDING.keys()


@pytest.mark.parametrize("route", STEPS, ids=" ".join)
def test_what_is_another_owners_answers_as_what_does_not_exist(host: Host, route: tuple[str, str]) -> None:
    step, status, sentence = STEPS[route]
    ada, ben = host.visitor("ada"), host.visitor("ben")
    things = Things(ada)
    theirs, missing = step(ben, things), step(ben, NoThings())
    assert told(theirs) == told(missing)
    assert theirs.status_code == status
    if sentence:
        assert_refused(theirs, status, sentence)
    # It is there all the same, for who has it.
    assert told(step(ada, things)) != told(missing)


@pytest.mark.parametrize("route", STEPS, ids=" ".join)
def test_what_the_host_forbids_answers_as_what_does_not_exist(host: Host, route: tuple[str, str]) -> None:
    step, _, _ = STEPS[route]
    ada = host.visitor("ada")
    things = Things(ada)
    missing = step(ada if route[1] not in {"/files", "/uploads"} else host.visitor("ben"), NoThings())
    host.says = lambda *_: False
    host.asked.clear()
    answer = step(ada, things)
    if route == ("GET", "/batches/<id>"):
        # The report itself is who sent the batch's; nothing in it leads to the file any more.
        assert (
            "b.png" in answer.text
            and "/files/" not in answer.text.partition("<main")[2].partition("b.png")[2]
        )
    else:
        assert told(answer) == told(missing)
    assert host.asked
    host.says = lambda *_: None
    assert told(step(ada, things)) != told(missing)


@pytest.mark.parametrize("route", SENDING, ids=" ".join)
def test_who_may_not_upload_is_told_so_in_a_sentence(host: Host, route: tuple[str, str]) -> None:
    ada = host.visitor("ada")
    host.says = lambda action, *_: action != "upload"
    sentence = 'You may not upload anything to "photos"; ask whoever looks after this place.'
    assert_refused(SENDING[route](ada, None), 403, sentence)
    assert host.asked == [("upload", "photos", None)]
    assert SENDING[route](host.visitor(None), None).status_code == 401
    host.says = lambda *_: None
    # No set of this app takes files straight to a store: who may is told so.
    assert SENDING[route](ada, None).status_code < (401 if route[1].endswith("/direct") else 300)


@pytest.mark.parametrize("route", STEPS, ids=" ".join)
def test_who_is_signed_out_learns_nothing_of_what_is_there(host: Host, route: tuple[str, str]) -> None:
    step, _, _ = STEPS[route]
    things, nobody = Things(host.visitor("ada")), host.visitor(None)
    theirs, missing = step(nobody, things), step(nobody, NoThings())
    assert told(theirs) == told(missing)
    assert theirs.status_code == 401


def test_a_question_before_sending_tells_nothing_of_what_may_not_be_read(host: Host) -> None:
    ada = host.visitor("ada")
    things = Things(ada)
    about = {"files": [{"uuid": uuid, "filename": "a.png", "size": len(PNG)} for uuid in ("stored", "begun")]}
    host.says = lambda action, _, record: action == "upload" and record is None
    asked = ada.client.post("/upload/check", json=about).get_json()["uploads"]
    assert asked["stored"] == {"state": "new"}
    host.says = lambda *_: None
    asked = ada.client.post("/upload/check", json=about).get_json()["uploads"]
    assert (asked["stored"]["file"]["id"], asked["begun"]["state"]) == (things.file["id"], "receiving")


def test_who_may_not_delete_a_file_does_not_cancel_its_upload_either(host: Host) -> None:
    ada = host.visitor("ada")
    things = Things(ada)
    host.says = lambda action, *_: False if action == "delete" else None
    assert_refused(ada.client.delete("/uploads/stored"), 404, UNKNOWN_UPLOAD)
    again = ada.upload(("uuid", "stored"), ("file", "a.png", PNG))
    assert (again.status_code, again.get_json()["files"][0]["id"]) == (201, things.file["id"])


def test_another_owners_chunk_begins_a_file_of_its_own(host: Host) -> None:
    ada, ben = host.visitor("ada"), host.visitor("ben")
    Things(ada)
    assert told(Things.chunk(ben, "begun", 0)) == told(Things.chunk(ben, "never", 0))
    assert ben.get("/uploads").get_json()["uploads"].keys() == {"never", "begun"}
    assert ada.get("/uploads/begun").get_json()["ranges"] == [[0, 10]]


def test_the_host_may_let_others_at_a_file(host: Host) -> None:
    ada, ben = host.visitor("ada"), host.visitor("ben")
    file = Things(ada).file
    host.says = lambda action, upload_set, record: True if record is not None else None
    assert ben.get(file["url"]).data == PNG
    assert host.visitor(None).get(file["url"]).data == PNG
    assert [one["filename"] for one in ben.files()] == []
    assert ben.delete(f"/files/{file['id']}").status_code == 204
    assert file["id"] not in [one["id"] for one in ada.files()]


def test_the_host_is_asked_about_public_sets_too(host: Host) -> None:
    ada = host.visitor("ada")
    [file] = ada.store(("file", "a.txt", b"text"), path="/upload/texts")
    assert host.visitor(None).get(file["url"]).status_code == 200
    host.says = lambda *_: False
    assert host.visitor("ben").get(file["url"]).status_code == 404


def test_a_view_of_the_hosts_own_goes_through_it_too(host: Host) -> None:
    from flask import request

    @host.app.post("/album")
    def album() -> Any:
        return host.photos.receive(request).response()

    ada = host.visitor("ada")
    [file] = ada.store(("file", "a.png", PNG), path="/album")
    with host.app.test_request_context(headers={"Person": "ada"}):
        assert host.uploads.owner() == "ada"
        host.says = lambda *_: False
        assert not host.photos.delete(file["id"])
        host.says = lambda *_: None
        assert host.photos.delete(file["id"])
        assert not host.photos.delete(file["id"])
    host.says = lambda *_: False
    assert_refused(ada.upload(("file", "a.png", PNG), path="/album"), 403)


def test_what_is_no_function_stops_the_start(tmp_path: Path) -> None:
    with hosting(tmp_path) as make, pytest.raises(SettingError, match="authorize must be a function of"):
        Uploads(make(), UploadSet("photos", ["png"]), authorize=True)  # type: ignore[arg-type]
