"""Cloudinary: the client library's own calls, to a fake that checks each; by the contract of every storage."""

import os
import re
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from contract_chunks import ChunksContract
from contract_rollback import RollbackContract, UndoContract
from contract_storage import SIZES, StorageContract, content_of, exists, put, staged_with
from core import SAMPLES, make_app, rows, site_of
from fakes.cloudinary import CLOUD, SECRET, FakeCloudinary
from flask import Flask
from sqlalchemy.exc import OperationalError
from webclient import Visitor

from dropzone_app import SettingError, UploadSet
from dropzone_app.errors import Rejected
from dropzone_app.records import Records
from dropzone_app.storage import cloudinary as module
from dropzone_app.storage import open_storage
from dropzone_app.storage.cloudinary import CHUNK, CloudinaryStorage

Open = Callable[..., CloudinaryStorage]
PNG = SAMPLES["png"]


@pytest.fixture
def opened(cloud: FakeCloudinary, tmp_path: Path) -> Open:
    def open_one(**options: str) -> CloudinaryStorage:
        storage = open_storage(cloud.empty(**options), staging=tmp_path)
        assert isinstance(storage, CloudinaryStorage)
        return storage

    return open_one


@pytest.fixture
def storage(opened: Open) -> CloudinaryStorage:
    return opened()


@pytest.fixture
def impatient(opened: Open) -> CloudinaryStorage:
    return opened(timeout="2")


class TestChunks(ChunksContract):
    pass


class TestContract(StorageContract):
    @pytest.mark.parametrize("size", SIZES[1:])
    def test_what_was_committed_is_what_is_read(self, storage: CloudinaryStorage, size: int) -> None:
        super().test_what_was_committed_is_what_is_read(storage, size)

    def test_an_empty_file_which_cloudinary_does_not_take_is_refused(
        self, storage: CloudinaryStorage
    ) -> None:
        with pytest.raises(Rejected, match="empty files cannot be kept"):
            storage.unused_key("a.bin", 0)
        with pytest.raises(Rejected), closing(staged_with(storage)) as staged:
            storage.commit(staged, "a.bin")


class Cloud:
    """A place at the fake, staged for in a folder."""

    def __init__(self, fake: FakeCloudinary, folder: Path) -> None:
        self._fake, self._folder = fake, folder
        self._url = fake.empty(timeout="5")

    def app(self, *sets: UploadSet) -> Flask:
        staging = str(self._folder / "staging")
        return make_app(self._folder, *sets, UPLOADS_STORAGE=self._url, UPLOADS_STAGING=staging)

    def lying(self) -> dict[str, int]:
        folder = self._folder / "staging"
        staged = {path.name: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
        return staged | self._fake.lying(self._url)


@pytest.fixture
def backend(database: str, cloud: FakeCloudinary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    # The contract knows its keys.
    monkeypatch.setattr(CloudinaryStorage, "unused_key", lambda self, key, size: key)
    return Cloud(cloud, tmp_path)


@pytest.mark.parametrize("database", ["SQLite"], indirect=True)
class TestRollback(RollbackContract):
    pass


@pytest.mark.parametrize("database", ["PostgreSQL"], indirect=True)
class TestUndoOnPostgreSQL(UndoContract):
    pass


# ---- keys


def test_a_key_is_nobody_elses_and_fits(storage: CloudinaryStorage) -> None:
    first, second = (storage.unused_key("holiday/day 1/a.png", 5) for _ in range(2))
    assert first != second and first.startswith("holiday/day 1/a_") and first.endswith(".png")
    for key in (
        "写" * 80 + "/" + "真" * 80 + ".png",
        "/".join(["f" * 100] * 5) + "/a.png",
        "%" * 250 + ".png",
    ):
        mine = storage.unused_key(key, 5)
        assert mine.endswith(".png")
        put(storage, mine, PNG)
        assert content_of(storage, mine) == PNG


@pytest.mark.parametrize(
    "key", ["a~20b.txt", "~.txt", "a ?&#\\%<>+b.txt".replace("\\", ""), "e\u0301 हिन्दी.txt"]
)
def test_every_key_is_listed_as_it_is(storage: CloudinaryStorage, key: str) -> None:
    put(storage, key, b"content")
    assert list(storage.keys()) == [(key, 7)]
    assert storage.has(key) and not storage.has(f"{key}x")


def test_more_files_than_one_answer_lists_are_listed(
    storage: CloudinaryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.api, "resources", _of_two(module.api.resources))
    for number in range(5):
        put(storage, f"{number}.txt", b"x")
    assert sorted(dict(storage.keys())) == [f"{number}.txt" for number in range(5)]


def _of_two(resources: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **options: resources(**{**options, "max_results": 2})


# ---- big files


def test_a_big_file_goes_in_chunks_and_comes_out_as_it_was(
    storage: CloudinaryStorage, cloud: FakeCloudinary
) -> None:
    content = os.urandom(2 * CHUNK + 1)
    before = len(cloud.calls)
    put(storage, "film.mp4", content)
    assert cloud.calls[before:] == ["chunk"] * 3
    with storage.open("film.mp4") as file:
        assert file.read() == content
        assert file.seek(CHUNK + 5) and file.read(10) == content[CHUNK + 5 : CHUNK + 15]


@pytest.mark.parametrize("sent", [0, 1, 2])
@pytest.mark.parametrize("how", ["500", "cut", "html"])
def test_nothing_is_visible_of_a_big_file_that_failed(
    storage: CloudinaryStorage, cloud: FakeCloudinary, sent: int, how: str
) -> None:
    with closing(staged_with(storage, bytes(2 * CHUNK + 1))) as staged:
        with cloud.failing("chunk", how, after=sent), pytest.raises(OSError, match=r"."):
            storage.commit(staged, "film.mp4")
        assert cloud.lying(str(storage)) == {}
        assert storage.commit(staged, "film.mp4") == "film.mp4"


# ---- what fails

STEPS: dict[str, Callable[[CloudinaryStorage], object]] = {
    "upload": lambda storage: put(storage, "new.bin", b"new"),
    "download": lambda storage: content_of(storage, "a.bin"),
    "destroy": lambda storage: storage.delete("a.bin"),
    "resource": lambda storage: storage.delete("a.bin", "mark"),
    "list": lambda storage: list(storage.keys()),
    "ping": lambda storage: storage.check(),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("how", ["500", "420", "401", "cut", "html", "hang"])
def test_a_call_that_fails_is_an_os_error_without_a_secret(
    impatient: CloudinaryStorage, cloud: FakeCloudinary, step: str, how: str
) -> None:
    put(impatient, "a.bin", b"old")
    with cloud.failing(step, how), pytest.raises(OSError, match=r".") as raised:
        STEPS[step](impatient)
    assert not isinstance(raised.value, FileNotFoundError | FileExistsError)
    assert SECRET not in f"{raised.value!r} {raised.value.__cause__!r}"
    if (step, how) != ("destroy", "hang"):
        assert content_of(impatient, "a.bin") == b"old"


def test_a_lost_answer_is_undone(impatient: CloudinaryStorage, cloud: FakeCloudinary) -> None:
    with closing(staged_with(impatient, b"mine")) as staged:
        with cloud.failing("upload", "lost"), pytest.raises(OSError, match=r"."):
            impatient.commit(staged, "a.bin")
        assert exists(impatient, "a.bin")
        impatient.delete("a.bin", staged.mark)
        assert cloud.lying(str(impatient)) == {}


def test_an_upload_that_may_yet_be_carried_out_is_remembered(
    impatient: CloudinaryStorage, cloud: FakeCloudinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SIGNATURE_LIFETIME", 8)
    with closing(staged_with(impatient, b"mine")) as staged:
        with cloud.failing("upload", "hang"):
            with pytest.raises(OSError, match=r"."):
                impatient.commit(staged, "a.bin")
            for _ in range(2):
                with pytest.raises(OSError, match="may yet be carried out"):
                    impatient.delete("a.bin", staged.mark)
        deadline = time.monotonic() + 30
        while not exists(impatient, "a.bin"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        while exists(impatient, "a.bin"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
            with suppress(BlockingIOError):
                impatient.delete("a.bin", staged.mark)


def test_what_cloudinary_kept_otherwise_is_not_stored(
    storage: CloudinaryStorage, cloud: FakeCloudinary
) -> None:
    with cloud.failing("upload", "wrong"), pytest.raises(OSError, match="something else"):
        put(storage, "a.bin", b"content")
    assert cloud.lying(str(storage)) == {}


def test_a_clock_that_is_wrong_is_refused_by_the_age_of_the_signature(
    storage: CloudinaryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.utils, "now", lambda: str(int(time.time()) - 4000))
    with pytest.raises(OSError, match="Stale"):
        put(storage, "a.bin", b"content")


def test_newer_signatures_are_used_where_the_account_asks_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeCloudinary("sha256") as strict:
        monkeypatch.setenv("CLOUDINARY_URL", strict.settings)
        storage = open_storage(strict.empty(), staging=tmp_path)
        put(storage, "a & b=c.bin", b"content")
        assert content_of(storage, "a & b=c.bin") == b"content"
        monkeypatch.setenv("CLOUDINARY_URL", strict.settings.replace("sha256", "sha1"))
        with pytest.raises(OSError, match=r"."):
            put(open_storage(strict.empty(), staging=tmp_path), "a.bin", b"content")


# ---- through the app


def visit(folder: Path, url: str) -> Visitor:
    return Visitor(make_app(folder, UPLOADS_STORAGE=url, UPLOADS_STAGING=str(folder)))


def test_files_go_up_come_down_and_go(cloud: FakeCloudinary, tmp_path: Path) -> None:
    url = cloud.empty()
    client = visit(tmp_path, url)
    (file,) = client.store(("file", "写真 1.png", PNG))
    assert len(cloud.lying(url)) == 1
    got = client.get(file["url"], headers={"Range": "bytes=0-3"})
    assert (got.status_code, got.data, got.headers["X-Content-Type-Options"]) == (206, PNG[:4], "nosniff")
    assert client.delete(f"/files/{file['id']}").status_code == 204
    assert cloud.lying(url) == {}
    assert client.get("/healthz").status_code == 200


def test_an_empty_file_does_not_fail_its_neighbours(cloud: FakeCloudinary, tmp_path: Path) -> None:
    answer = visit(tmp_path, cloud.empty()).upload(("file[0]", "a.txt", b"a"), ("file[1]", "empty.txt", b""))
    assert (answer.status_code, answer.text) == (
        422,
        'file[1] "empty.txt": the file is empty, and empty files cannot be kept here.\nThe other file was stored.',
    )


@pytest.mark.parametrize("how", ["500", "cut", "hang", "html"])
def test_while_cloudinary_is_away_the_answer_is_a_sentence(
    cloud: FakeCloudinary, tmp_path: Path, how: str
) -> None:
    client = visit(tmp_path, cloud.empty(timeout="2"))
    with cloud.failing("upload", how):
        answer = client.upload(("file", "a.png", PNG))
    assert (answer.status_code, answer.mimetype) == (503, "text/plain")
    assert client.get("/files", headers={"Accept": "application/json"}).get_json()["files"] == []
    assert client.upload(("file", "a.png", PNG)).status_code == 201


def test_only_what_is_public_has_a_url_of_its_own(cloud: FakeCloudinary, tmp_path: Path) -> None:
    for public in ("false", "true"):
        client = visit(tmp_path / public, cloud.empty(public=public))
        (file,) = client.store(("file", "a.png", PNG))
        answer = client.get(file["url"])
        assert answer.status_code == (302 if public == "true" else 200)
        (record,) = site_of(client.app).records.everything()
        url = record.url or ""
        assert url == (answer.location if public == "true" else "")
        if public == "true":
            assert re.match(f"http://{cloud.address}/{CLOUD}/raw/upload/v[0-9]{{9,}}/", url), "as it was told"
            with urllib.request.urlopen(url) as got:
                assert got.read() == PNG


def test_a_file_whose_url_cannot_be_kept_is_taken_back(
    cloud: FakeCloudinary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("UPDATE files", {}, Exception())

    url = cloud.empty(public="true")
    client = visit(tmp_path, url)
    with monkeypatch.context() as broken:
        broken.setattr(Records, "keep_urls", fail)
        assert client.upload(("file", "a.png", PNG)).status_code == 503
    assert (client.files(), rows(site_of(client.app)), cloud.lying(url)) == ([], [], {})
    assert client.upload(("file", "a.png", PNG)).status_code == 201


# ---- settings


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("cloudinary://", "must name a cloud"),
        ("cloudinary://key:hidden@tests", "key and secret go into CLOUDINARY_URL"),
        ("cloudinary://tests?publik=true", "'publik' is no option"),
        ("cloudinary://tests?timeout=no", "timeout must be the seconds"),
        ("cloudinary://tests?public=maybe", "public must be true or false"),
        ("cloudinary://another", "names the cloud 'another', and CLOUDINARY_URL 'tests'"),
        ("cloudinary://tests/../x", "must be a URL such as"),
    ],
)
def test_a_url_of_no_use_stops_with_a_sentence(
    cloud: FakeCloudinary, tmp_path: Path, url: str, sentence: str
) -> None:
    with pytest.raises(SettingError, match=f"^UPLOADS_STORAGE.*{sentence}") as raised:
        open_storage(url, staging=tmp_path)
    assert "hidden" not in str(raised.value)


def test_missing_and_broken_credentials_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CLOUDINARY_URL", raising=False)
    with pytest.raises(SettingError, match="there are no credentials"):
        open_storage("cloudinary://tests", staging=tmp_path)
    monkeypatch.setenv("CLOUDINARY_URL", "https://key:secret@cloud")
    with pytest.raises(SettingError, match=r"^CLOUDINARY_URL must be cloudinary://key:secret@cloud\."):
        open_storage("cloudinary://tests", staging=tmp_path)
