"""The example `profile-image` over HTTP: on a folder, on S3 and on Cloudinary, by one setting."""

import json
import re
import sqlite3
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from core import SAMPLES
from example_apps import EXAMPLES, Answer, Person, flask_run, lines_of_code
from fakes.cloudinary import CLOUD, FakeCloudinary
from support import LiveServer
from webclient import CONTENT_TYPE, EXE, Item, encode

APP = EXAMPLES / "profile-image" / "app.py"
ONE, OTHER = SAMPLES["png"], SAMPLES["jpg"]


class Place:
    """Where the example keeps its images: the value of its one setting, and what lies there, asked past the app."""

    def __init__(self, name: str, request: pytest.FixtureRequest, folder: Path) -> None:
        self.name = name
        self.fake: FakeCloudinary | None = None
        if name == "folder":
            self.url = f"file:{folder / 'images'}"
            self.lying: Callable[[], list[bytes]] = lambda: [
                path.read_bytes() for path in (folder / "images").rglob("*") if path.is_file()
            ]
        elif name == "S3":
            rgw = request.getfixturevalue("rgw")
            self.url = rgw.empty()
            self.lying = lambda: [
                _sized(size) for key, size in rgw.lying(self.url).items() if not key.startswith(".")
            ]
        else:
            self.fake = request.getfixturevalue("cloud")
            self.url = self.fake.empty(public="true", timeout="5")
            self.lying = lambda: [_sized(size) for size in self.fake.lying(self.url).values()]  # type: ignore[union-attr]


def _sized(size: int) -> bytes:
    """Which of the two images has so many bytes."""
    return next(image for image in (ONE, OTHER) if len(image) == size)


@pytest.fixture(params=["folder", pytest.param("S3", marks=pytest.mark.engines), "Cloudinary"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, request, tmp_path)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "users.sqlite"


@pytest.fixture
def example(live_server: Callable[..., LiveServer], place: Place, database: Path) -> LiveServer:
    env = {"FLASK_UPLOADS_STORAGE": place.url, "FLASK_SQLALCHEMY_DATABASE_URI": f"sqlite:///{database}"}
    return live_server(command=flask_run(APP), env=env)


class User(Person):
    """User 1, who has opened the page."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        page = self.get("/").text
        self.csrf = page.partition('name="csrf-token" content="')[2].partition('"')[0]

    def set_image(self, *items: Item, method: str = "PUT", user: int = 1, csrf: str | None = None) -> Answer:
        headers = {"Content-Type": CONTENT_TYPE, "X-CSRFToken": self.csrf if csrf is None else csrf}
        request = urllib.request.Request(
            f"{self.url}/user/{user}/image", encode(*items), headers, method=method
        )
        try:
            with self._opener.open(request, timeout=30) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())


def row(database: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        return dict(connection.execute("SELECT * FROM user").fetchone())


def fetched(user: User, url: str) -> bytes:
    """What the <img> of the page shows."""
    return user.get(url).body


def test_the_example_is_short() -> None:
    assert lines_of_code("profile-image") < 40


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_an_image_is_stored_and_its_url_saved_with_the_user(
    example: LiveServer, place: Place, database: Path, method: str
) -> None:
    user = User(example.url)
    answer = user.set_image(("profile_image", "me.png", ONE), method=method)
    assert answer.status == 200, answer.text
    saved = row(database)
    url = saved["profile_image_url"]
    assert answer.json() == {"id": 1, "email": "ada@example.com", "profile_image_url": url}
    if place.fake:
        assert re.match(f"http://{place.fake.address}/{CLOUD}/raw/upload/v[0-9]{{9,}}/", url)
    assert fetched(user, url) == ONE
    assert place.lying() == [ONE]
    assert url in user.get("/").text


def test_the_image_before_is_deleted(example: LiveServer, place: Place, database: Path) -> None:
    user = User(example.url)
    assert user.set_image(("profile_image", "me.png", ONE)).status == 200
    before = row(database)["profile_image_url"]
    assert user.set_image(("profile_image", "me.jpg", OTHER)).status == 200
    assert place.lying() == [OTHER]
    assert fetched(user, row(database)["profile_image_url"]) == OTHER
    assert user.get(before).status == 404


def test_the_same_upload_again_keeps_its_image(example: LiveServer, place: Place, database: Path) -> None:
    user = User(example.url)
    for _ in range(2):
        assert user.set_image(("profile_image", "me.png", ONE), ("uuid", "same")).status == 200
    assert place.lying() == [ONE]
    assert fetched(user, row(database)["profile_image_url"]) == ONE


def test_an_image_whose_user_cannot_be_saved_is_no_orphan(
    example: LiveServer, place: Place, database: Path
) -> None:
    user = User(example.url)
    assert user.set_image(("profile_image", "me.png", ONE)).status == 200
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(
            "CREATE TRIGGER broken BEFORE UPDATE ON user BEGIN SELECT RAISE(ABORT, 'disk on fire'); END"
        )
        connection.commit()
    answer = user.set_image(("profile_image", "me.jpg", OTHER))
    assert (answer.status, answer.headers["Content-Type"]) == (500, "text/plain; charset=utf-8")
    assert "fire" not in answer.text
    assert place.lying() == [ONE]
    assert fetched(user, row(database)["profile_image_url"]) == ONE


def test_of_many_changes_at_once_one_image_stays(example: LiveServer, place: Place, database: Path) -> None:
    user = User(example.url)
    statuses: list[int] = []

    def change() -> None:
        statuses.append(user.set_image(("profile_image", "me.png", ONE)).status)

    threads = [threading.Thread(target=change) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 409} and 200 in statuses
    assert place.lying() == [ONE]
    assert fetched(user, row(database)["profile_image_url"]) == ONE


@pytest.mark.parametrize(
    ("items", "status", "text"),
    [
        ([("file", "me.png", ONE)], 400, "Missing profile_image on the FormData"),
        ([("profile_image", "")], 400, "Missing profile_image on the FormData"),
        ([("profile_image", "me.exe", EXE)], 415, ".exe files are not accepted here."),
        (
            [("profile_image", "me.png", EXE)],
            415,
            "The file is named .png, but its content is a Windows program",
        ),
        (
            [("profile_image", "me.png", ONE + bytes(5_200_000))],
            413,
            "The file is 5.2 MB; the limit is 5 MB.",
        ),
    ],
)
@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_what_cannot_be_taken_says_why(
    example: LiveServer, place: Place, items: list[Item], status: int, text: str
) -> None:
    answer = User(example.url).set_image(*items)
    assert (answer.status, answer.headers.get_content_type()) == (status, "text/plain"), answer.text
    assert answer.text.startswith(text)
    assert place.lying() == []


@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_only_its_owner_changes_an_image(example: LiveServer, place: Place, database: Path) -> None:
    user = User(example.url)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("INSERT INTO user SELECT 2, 'bob@example.com', 'x', 1, NULL, NULL, 1")
        connection.commit()
    image = ("profile_image", "me.png", ONE)
    assert (user.set_image(image, user=2).status, user.set_image(image, user=99).status) == (403, 404)
    assert user.set_image(image, csrf="forged").status == 400
    assert User(example.url).set_image(image, user=2).text == "Only its owner may change a profile image."
    assert place.lying() == []


@pytest.mark.parametrize("place", ["Cloudinary"], indirect=True)
@pytest.mark.parametrize("how", ["500", "cut", "html"])
def test_while_the_third_party_is_away_nothing_changes(
    example: LiveServer, place: Place, database: Path, how: str
) -> None:
    user = User(example.url)
    assert user.set_image(("profile_image", "me.png", ONE)).status == 200
    before = row(database)
    assert place.fake
    with place.fake.failing("upload", how):
        answer = user.set_image(("profile_image", "me.jpg", OTHER))
    assert (answer.status, answer.headers.get_content_type()) == (503, "text/plain")
    assert row(database) == before
    assert place.lying() == [ONE]


@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_the_password_is_told_nowhere(example: LiveServer, place: Place, database: Path) -> None:
    user = User(example.url)
    answer = user.set_image(("profile_image", "me.png", ONE))
    assert set(json.loads(answer.text)) == {"id", "email", "profile_image_url"}
    assert row(database)["password"] not in answer.text + user.get("/").text
