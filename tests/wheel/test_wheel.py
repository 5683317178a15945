"""The package as it is installed: built from clean sources, used where nothing knows of the checkout."""

import json
import re
import shutil
import subprocess
import sys
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from support import LiveServer
from webclient import CONTENT_TYPE, PNG, encode

CHECKOUT = Path(__file__).parents[2]
PACKAGED = ("dropzone_app", "templates", "static")


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}"
    return done.stdout


def tracked(*folders: str) -> list[str]:
    """The files that belong to the project, also those that are new and not committed yet."""
    listed = run(
        "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *folders, cwd=CHECKOUT
    )
    return [name for name in listed.split("\0") if name and (CHECKOUT / name).exists()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built through the sdist in a copy: nothing an earlier build left decides what is in it."""
    sources = tmp_path_factory.mktemp("sources")
    vendor = [path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "static/vendor").glob("*/*")]
    for name in [*tracked(), *vendor]:
        (sources / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CHECKOUT / name, sources / name)
    run(sys.executable, "-m", "build", "--outdir", sources / "dist", ".", cwd=sources)
    (built,) = (sources / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds this wheel, what it needs, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return python


@pytest.fixture(scope="module")
def server(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    command = [str(python), "-m", "dropzone_app", "--port", "{port}"]
    with LiveServer(tmp_path_factory.mktemp("elsewhere"), command=command) as server:
        yield server


class Links(HTMLParser):
    """The addresses of scripts and stylesheets that a page loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "script" and attributes.get("src"):
            self.found.append(attributes["src"] or "")
        if tag == "link" and attributes.get("rel") in {"stylesheet", "modulepreload"}:
            self.found.append(attributes["href"] or "")


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        body: bytes = response.read()
        return body.decode()


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    expected = {
        name if name.startswith("dropzone_app/") else f"dropzone_app/{name}" for name in tracked(*PACKAGED)
    } | {
        f"dropzone_app/static/vendor/{name}"
        for name in (
            *("dropzone/dropzone-min.js", "dropzone/dropzone.css", "dropzone/LICENSE"),
            *("hash-wasm/sha256.umd.min.js", "hash-wasm/LICENSE"),
        )
    }
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == expected


def test_the_page_and_all_it_loads_come_out_of_the_wheel(server: LiveServer) -> None:
    waiting = [urljoin(server.url, link) for link in Links(get(server.url)).found]
    assert waiting, "the page loads no script"
    loaded: dict[str, str] = {}
    while waiting:
        url = waiting.pop()
        assert url.startswith(server.url), f"{url} is not ours"
        if url not in loaded:
            loaded[url] = get(url)
            if url.partition("?")[0].endswith(".js"):
                modules = re.findall(r"""(?:from|import)\s*\(?\s*["'](\.{1,2}/[^"']+)["']""", loaded[url])
                waiting += [urljoin(url, module) for module in modules]
    (dropzone,) = [text for url, text in loaded.items() if "dropzone-min.js" in url]
    assert "6.3.5" in dropzone
    assert any("/js/" in url for url in loaded), f"no module of ours among {list(loaded)}"
    assert any(url.partition("?")[0].endswith(".css") for url in loaded)


def test_an_uploaded_file_is_stored_listed_and_comes_back_byte_for_byte(server: LiveServer) -> None:
    client = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    token = json.load(client.open(f"{server.url}/csrf-token"))["csrf_token"]
    sent = "A naïve table\n".encode() * 20_000
    head = (
        'Content-Disposition: form-data; name="file"; filename="naïve table.txt"\r\nContent-Type: text/plain'
    )
    body = b"--cut\r\n" + head.encode() + b"\r\n\r\n" + sent + b"\r\n--cut--\r\n"
    request = urllib.request.Request(
        f"{server.url}/upload",
        data=body,
        headers={"Content-Type": "multipart/form-data; boundary=cut", "X-CSRFToken": token},
    )
    with client.open(request) as response:
        assert response.status == 201
        (stored,) = json.load(response)["files"]
    listing = urllib.request.Request(f"{server.url}/files", headers={"Accept": "application/json"})
    assert [file["id"] for file in json.load(client.open(listing))["files"]] == [stored["id"]]
    assert client.open(urljoin(server.url, stored["url"])).read() == sent
    assert [path.read_bytes() for path in (server.folder / "uploads").glob("*.txt")] == [sent]


def upload_picture(server: LiveServer) -> tuple[urllib.request.OpenerDirector, dict[str, Any]]:
    """Who uploaded a picture, and the File it became."""
    client = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    token = json.load(client.open(f"{server.url}/csrf-token"))["csrf_token"]
    request = urllib.request.Request(
        f"{server.url}/upload",
        data=encode(("file", "a.png", PNG)),
        headers={"Content-Type": CONTENT_TYPE, "X-CSRFToken": token},
    )
    with client.open(request) as response:
        (stored,) = json.load(response)["files"]
    return client, stored


def test_without_the_extra_for_pictures_they_are_stored_and_have_no_thumbnail(server: LiveServer) -> None:
    client, stored = upload_picture(server)
    assert stored["thumbnail"] is None
    assert client.open(urljoin(server.url, stored["url"])).read() == PNG


def test_with_the_extra_they_have_one(python: Path, tmp_path: Path) -> None:
    with_pictures = tmp_path / "pictures"
    run(python, "-m", "pip", "install", "--quiet", "--target", with_pictures, "Pillow>=12", cwd=tmp_path)
    command = [str(python), "-m", "dropzone_app", "--port", "{port}"]
    with LiveServer(tmp_path, command=command, env={"PYTHONPATH": str(with_pictures)}) as server:
        client, stored = upload_picture(server)
        with client.open(urljoin(server.url, stored["thumbnail"])) as thumbnail:
            assert thumbnail.headers["Content-Type"] == "image/webp"
            assert thumbnail.read().startswith(b"RIFF")


def test_the_flask_command_serves_it_from_any_folder(python: Path, tmp_path: Path) -> None:
    command = [str(python.with_name("flask")), "--app", "dropzone_app", "run", "--port", "{port}"]
    with LiveServer(tmp_path, command=command) as server:
        assert "dropzone" in get(server.url)
