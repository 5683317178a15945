"""The example `upload-sets` does over HTTP what its document describes, in two apps and many threads at once."""

import http.cookiejar
import importlib.util
import re
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from corpus.samples import SAMPLES
from webclient import CONTENT_TYPE, EXE, PNG, encode
from werkzeug.serving import make_server

EXAMPLE = Path(__file__).parents[1] / "examples" / "upload-sets"
SOUND = SAMPLES["mp3"]


@pytest.fixture
def example():
    spec = importlib.util.spec_from_file_location("upload_sets_example", EXAMPLE / "app.py")
    module = importlib.util.module_from_spec(spec)
    # Flask looks there for the folder that a module lies in.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def serve(example, tmp_path):
    """Start the example as a server of its own with its data in a folder; its URL."""
    servers = []

    def start(name):
        folder = tmp_path / name
        app = example.create_app(UPLOADED_PHOTOS_DEST=folder / "photos", UPLOADED_MEDIA_DEST=folder / "media")
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


class Person:
    """Somebody with a browser: cookies, a token from the page, and links to follow."""

    def __init__(self, url):
        self.url = url
        self.opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        )

    def get(self, path="/", data=None, headers=()):
        request = urllib.request.Request(urllib.request.urljoin(self.url, path), data, dict(headers))
        with self.opener.open(request, timeout=20) as response:
            return response.read()

    def upload(self, *items):
        token = re.search('name="csrf_token" value="([^"]+)"', self.get().decode())[1]
        body = encode(("csrf_token", token), *items)
        return self.get(data=body, headers={"Content-Type": CONTENT_TYPE}).decode()

    def saved(self, *items):
        """The links of what was saved."""
        return re.findall('<li><a href="([^"]+)">', self.upload(*items))

    def status_of(self, path, **options):
        try:
            self.get(path, **options)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        return 200


def found_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_example_is_short():
    code = (EXAMPLE / "app.py").read_text().splitlines()
    assert len(code) < 40


def test_photos_and_sounds_are_saved_by_user_and_served(serve, tmp_path):
    person = Person(serve("one"))
    photo, sound = person.saved(("photo", "写真 1.PNG", PNG), ("sound", "song.MP3", SOUND))
    assert re.search("/_uploads/photos/[0-9a-f]{16}/%E5%86%99%E7%9C%9F_1.png$", photo)
    assert re.search("/media/[0-9a-f]{16}/song.mp3$", sound)
    assert (person.get(photo), person.get(sound)) == (PNG, SOUND)
    (again,) = person.saved(("sound", "song.mp3", SOUND * 2))
    assert again.endswith("/song_1.mp3") and person.get(again) == SOUND * 2
    user = sound.split("/")[-2]
    assert found_in(tmp_path / "one") == [
        f"media/{user}/song.mp3", f"media/{user}/song_1.mp3", f"photos/{user}/写真_1.png",
    ]  # fmt: skip


def test_a_sound_is_its_owners_alone_and_is_not_served_beside_the_view(serve):
    url = serve("one")
    person, other = Person(url), Person(url)
    (sound,) = person.saved(("sound", "song.mp3", SOUND))
    (others,) = other.saved(("sound", "song.mp3", SOUND))
    assert [person.status_of(url) for url in (sound, others)] == [200, 404]
    assert [other.status_of(url) for url in (sound, others)] == [404, 200]
    assert person.status_of(sound.replace("/media/", "/_uploads/media/")) == 404


def test_a_refusal_is_a_sentence_and_nothing_is_saved(serve, tmp_path):
    person = Person(serve("one"))
    answer = person.upload(("photo", "notes.exe", EXE), ("sound", "x.png", PNG))
    assert "notes.exe: .exe files are not accepted here. Accepted: JPEG," in answer
    assert "x.png: .png files are not accepted here. Accepted: WAV," in answer
    assert "its content is a Windows program" in person.upload(("photo", "notes.png", EXE))
    assert person.saved(("photo", "", b"")) == []
    without_token = encode(("photo", "a.png", PNG))
    assert person.status_of("/", data=without_token, headers={"Content-Type": CONTENT_TYPE}) == 400
    assert found_in(tmp_path) == []


def test_two_apps_share_the_sets_and_many_people_the_apps(serve, tmp_path):
    links = {}

    def work(name, url):
        person = Person(url)
        links[name, person] = [person.saved(("photo", "image.png", PNG))[0] for _ in range(5)]

    threads = [
        threading.Thread(target=work, args=(name, url))
        for name, url in {"one": serve("one"), "two": serve("two")}.items()
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(links) == 8
    names = ["image.png", *(f"image_{number}.png" for number in range(1, 5))]
    for saved in links.values():
        assert [link.rpartition("/")[2] for link in saved] == names
    for name in ("one", "two"):
        users = {link.split("/")[-2] for (app, _), saved in links.items() if app == name for link in saved}
        assert found_in(tmp_path / name) == sorted(f"photos/{user}/{one}" for user in users for one in names)
        assert len(users) == 4
