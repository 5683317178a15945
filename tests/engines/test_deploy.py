"""What lies in deploy/ does what it says, run by the programs that it is for."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from core import SAMPLES
from engines.fleet import DEPLOY, nginx
from engines.wire import PATIENCE, Answer, Client, Visitor, form, part
from support import LiveServer, missing, require

from dropzone_app.__main__ import THREADS
from dropzone_app.errors import MESSAGES

PDF = SAMPLES["pdf"]
HTML = b"<script>alert(1)</script>" * 100
PROMISED = [
    *("content-disposition", "content-type", "content-length", "cache-control", "accept-ranges"),
    *("content-security-policy", "cross-origin-resource-policy", "x-content-type-options"),
]
"""Headers of a download that are the same whoever sends the bytes."""


def get(
    server: LiveServer, url: str, visitor: Visitor, **headers: str
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers by their names in lower case, and bytes."""
    asked = {"Cookie": visitor.cookie} | {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(server.url + url, headers=asked)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return response.status, _by_name(response), response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _by_name(error), error.read()


def _by_name(response: object) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveServer, LiveServer]]:
    """The app with UPLOADS_X_ACCEL, and the nginx before it."""
    env = {
        "FLASK_UPLOADS_X_ACCEL": "/protected/",
        "FLASK_UPLOADS_TYPES": "pdf,html,txt",
        "FLASK_UPLOADS_REQUEST_ID": "X-Request-ID",
    }
    with ExitStack() as stack:
        app = stack.enter_context(LiveServer(tmp_path_factory.mktemp("app"), env=env))
        yield app, stack.enter_context(nginx(tmp_path_factory.mktemp("nginx"), app))


@pytest.fixture
def proxy(behind: tuple[LiveServer, LiveServer]) -> LiveServer:
    return behind[1]


@pytest.fixture
def visitor(proxy: LiveServer) -> Visitor:
    return Visitor(proxy)


# ---- uploads


def staged(app: LiveServer) -> int:
    """Files on their way."""
    count = 0
    for pid in app.pids():
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(FileNotFoundError):
                count += ".staging" in os.readlink(f"/proc/{pid}/fd/{name}")
    return count


def test_clients_that_send_nothing_any_more_hold_the_app_as_long_as_nginx_waits_for_them(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("silent")
    with (
        LiveServer(folder, workers=1, env={"FLASK_UPLOADS_TYPES": "txt"}) as app,
        nginx(tmp_path_factory.mktemp("nginx"), app, silence=3) as proxy,
        ExitStack() as stack,
    ):
        visitor = Visitor(proxy)
        # More than it has threads: without an end to them nobody else would be served.
        silent = [stack.enter_context(Client(proxy)) for _ in range(THREADS + 4)]
        for client in silent:
            client.send_head(visitor.headers(100_000))
            client.send(form([("a.txt", b"x" * 5000)])[:4000])
        deadline = time.monotonic() + 3
        while staged(app) < THREADS and time.monotonic() < deadline:
            time.sleep(0.05)
        assert visitor.upload([("after.txt", b"after")]).status == 201
        assert [path.name for path in (folder / "uploads").glob("*.txt")] == ["after.txt"]


# ---- downloads


@pytest.mark.parametrize("name", ["a.pdf", "a.html"])
def test_a_download_that_nginx_sends_is_as_safe_as_the_apps_own(
    proxy: LiveServer, visitor: Visitor, tmp_path: Path, name: str
) -> None:
    data = PDF if name.endswith("pdf") else HTML
    with LiveServer(tmp_path, env={"FLASK_UPLOADS_TYPES": "pdf,html"}) as alone:
        somebody = Visitor(alone)
        (file,) = somebody.upload([(name, data)]).files
        status, by_app, sent = get(alone, file["url"], somebody)
    assert (status, sent) == (200, data)
    (file,) = visitor.upload([(name, data)]).files
    status, by_nginx, sent = get(proxy, file["url"], visitor)
    assert (status, sent) == (200, data)
    renamed = {header: re.sub(r" \(\d+\)", "", by_nginx[header]) for header in PROMISED}
    assert renamed == {header: by_app[header] for header in PROMISED}
    assert "x-accel-redirect" not in by_nginx and "set-cookie" not in by_nginx


def test_the_app_sends_no_byte_of_a_download_by_itself(
    behind: tuple[LiveServer, LiveServer], visitor: Visitor
) -> None:
    app, _ = behind
    (file,) = visitor.upload([("x.pdf", PDF)]).files
    status, headers, sent = get(app, file["url"], visitor)
    assert (status, sent) == (200, b"")
    assert headers["x-accel-redirect"] == f"/protected/{file['key']}"


@pytest.mark.parametrize(
    "name", ["写真 2026.pdf", "100% ?#&;=+.pdf", "..two dots.pdf", "a'b$1$host.pdf", "é" * 120 + ".pdf"]
)
def test_every_name_finds_its_file(proxy: LiveServer, visitor: Visitor, name: str) -> None:
    (file,) = visitor.upload([(name, PDF)]).files
    assert get(proxy, file["url"], visitor)[::2] == (200, PDF)


def test_a_long_name_in_a_long_path_fits_into_the_headers(
    behind: tuple[LiveServer, LiveServer], tmp_path_factory: pytest.TempPathFactory
) -> None:
    env = {"FLASK_UPLOADS_X_ACCEL": "/protected/", "FLASK_UPLOADS_TYPES": "pdf"}
    app_py = (
        "from flask import Flask\nfrom dropzone_app import Uploads, UploadSet\n"
        "app = Flask(__name__)\napp.config['SECRET_KEY'] = 'x'\napp.config.from_prefixed_env()\n"
        "Uploads(app, UploadSet('scans', ['pdf'], folder='{path}'))\n"
    )
    folder = tmp_path_factory.mktemp("own")
    (folder / "app.py").write_text(app_py)
    command = [sys.executable, "-m", "flask", "--app", "app.py", "run", "--port", "{port}"]
    with (
        LiveServer(folder, env=env, command=command) as app,
        nginx(tmp_path_factory.mktemp("nginx"), app) as proxy,
    ):
        visitor = Visitor(proxy)
        path = "/".join(["写" * 60] * 5)
        fields = f'Content-Disposition: form-data; name="path[0]"\r\n\r\n{path}\r\n'
        body = b"------engines\r\n" + fields.encode() + part("file[0]", "真" * 80 + ".pdf", PDF)
        answer = visitor.send(body + form([]))
        (file,) = answer.files
        assert len(file["key"].encode()) > 1_000
        assert get(proxy, file["url"], visitor)[::2] == (200, PDF)


def test_ranges_and_conditions_are_nginxs_own(proxy: LiveServer, visitor: Visitor) -> None:
    (file,) = visitor.upload([("r.pdf", PDF)]).files
    url = file["url"]
    etag = get(proxy, url, visitor)[1]["etag"]
    status, headers, sent = get(proxy, url, visitor, Range="bytes=10-19", If_Range=etag)
    assert (status, sent, headers["content-range"]) == (206, PDF[10:20], f"bytes 10-19/{len(PDF)}")
    assert headers["x-content-type-options"] == "nosniff" and "sandbox" in headers["content-security-policy"]
    assert get(proxy, url, visitor, Range="bytes=10-19", If_Range='"another"')[::2] == (200, PDF)
    assert get(proxy, url, visitor, Range="bytes=0-1,5-6")[::2] == (200, PDF)
    assert get(proxy, url, visitor, If_None_Match=etag)[::2] == (304, b"")


@pytest.mark.parametrize(
    ("headers", "code"), [({"Range": "bytes=99999999-"}, "range"), ({"If_Match": '"another"'}, "changed")]
)
def test_what_nginx_refuses_of_a_download_is_our_sentence(
    proxy: LiveServer, visitor: Visitor, headers: dict[str, str], code: str
) -> None:
    (file,) = visitor.upload([("s.pdf", PDF)]).files
    status, answer, sent = get(proxy, file["url"], visitor, **headers)
    assert (status, sent.decode()) == (MESSAGES[code].status, MESSAGES[code].text)
    assert answer["content-type"] == "text/plain; charset=utf-8"


def test_a_request_has_nginxs_name_in_the_log_of_the_app_whatever_the_client_says(
    behind: tuple[LiveServer, LiveServer], proxy: LiveServer, visitor: Visitor
) -> None:
    name = visitor.send(form([("named.pdf", PDF)]), x_request_id="forged").headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", name)
    assert f'"request": "{name}"' in behind[0].log()


def test_nobody_gets_past_the_app(proxy: LiveServer, visitor: Visitor) -> None:
    (file,) = visitor.upload([("mine.pdf", PDF)]).files
    assert get(proxy, file["url"], Visitor(proxy))[0] == 404
    for path in (
        f"/protected/{file['key']}",
        "/protected/",
        "/protected/../protected/mine.pdf",
        "//protected/mine.pdf",
    ):
        status, _, sent = get(proxy, path, visitor)
        assert status == 404 and PDF[:20] not in sent, path
    # What a client sends under the name of the app's own header is nothing.
    status, _, sent = get(proxy, "/healthz", visitor, X_Accel_Redirect=f"/protected/{file['key']}")
    assert (status, sent) == (200, b"ok\n")


@pytest.mark.parametrize(
    ("worker", "status", "said"),
    [
        ("daemon", 503, "The file cannot be read at the moment; try again later."),
        ("root", 404, "There is no such file here, or it is not yours."),
    ],
    ids=["not its user", "another folder"],
)
def test_a_file_that_nginx_cannot_read_is_a_sentence(
    behind: tuple[LiveServer, LiveServer], visitor: Visitor, worker: str, status: int, said: str
) -> None:
    if os.geteuid() != 0:
        missing("nginx's workers can only be another user where it is started by root.")
    app, _ = behind
    (file,) = visitor.upload([("lost.pdf", PDF)]).files
    # pytest's own folders are closed to other users.
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        if worker == "daemon":
            (folder / "elsewhere").mkdir()
            shutil.copy(app.folder / "uploads" / file["key"], folder / "elsewhere")
            (folder / "elsewhere" / file["key"]).chmod(0o600)
        proxy = stack.enter_context(nginx(folder, app, files=folder / "elsewhere", worker=worker))
        answer, headers, sent = get(proxy, file["url"], visitor)
    assert (answer, headers["content-type"]) == (status, "text/plain; charset=utf-8")
    assert sent.decode() == said


# ---- servers


def upload_and_fetch(server: LiveServer) -> None:
    visitor = Visitor(server)
    answer: Answer = visitor.upload([("a.txt", b"one"), ("b.txt", b"two")])
    assert [visitor.fetch(file["url"]) for file in answer.files] == [b"one", b"two"]


def test_gunicorn_serves_by_its_configuration(tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "gunicorn", "--config", str(DEPLOY / "gunicorn.conf.py")),
        *("--bind", "127.0.0.1:{port}"),
    ]
    with LiveServer(tmp_path, command=command, env={"WEB_CONCURRENCY": "3"}) as server:
        upload_and_fetch(server)
        assert len(server.pids()) == 4
        for pid in server.pids()[1:]:
            limits = Path(f"/proc/{pid}/limits").read_text()
            soft, hard = re.search(r"Max open files +(\d+) +(\d+)", limits).groups()  # type: ignore[union-attr]
            assert int(soft) == min(int(hard), 65_536)


@pytest.mark.parametrize("target", ["app.py's app", "a factory"])
def test_granian_serves_an_app_of_ones_own(tmp_path: Path, target: str) -> None:
    code = (
        "from flask import Flask\nfrom dropzone_app import Uploads\n"
        "def make():\n    app = Flask(__name__)\n    app.config['SECRET_KEY'] = 'x'\n    Uploads(app)\n    return app\n"
    )
    (tmp_path / "shop.py").write_text(code if target == "a factory" else f"{code}app = make()\n")
    what = ["--factory", "shop:make"] if target == "a factory" else ["shop:app"]
    programs = str(Path(sys.executable).parent)
    command = [
        "env",
        "PORT={port}",
        "sh",
        "-c",
        f'PATH="{programs}:$PATH" exec {DEPLOY}/granian.sh "$@"',
        "-",
        *what,
    ]
    with LiveServer(tmp_path, command=command) as server:
        upload_and_fetch(server)


def settings_of(unit: str) -> dict[str, str]:
    found = re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE)
    assert len({name for name, _ in found}) == len(found)
    return dict(found)


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    analyze = require("systemd-analyze")
    unit = (DEPLOY / "dropzone_app.service").read_text()
    python = "/opt/dropzone_app/bin/python"
    assert unit.count(python) == 1
    file = tmp_path / "dropzone_app.service"
    file.write_text(unit.replace(python, sys.executable))
    done = subprocess.run(
        [analyze, "verify", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_what_the_unit_starts_serves_with_the_settings_beside_it(tmp_path: Path) -> None:
    unit = settings_of((DEPLOY / "dropzone_app.service").read_text())
    assert unit["EnvironmentFile"] == "/etc/dropzone_app.env"
    assert f"alias {unit['WorkingDirectory']}/uploads/;" in (DEPLOY / "nginx.conf").read_text()
    assert unit["WorkingDirectory"] == f"/var/lib/{unit['StateDirectory']}"
    lines = (DEPLOY / "dropzone_app.env").read_text().splitlines()
    env = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    offered = dict(line[1:].split("=", 1) for line in lines if re.match("#FLASK_", line))
    assert env and offered
    command = (
        unit["ExecStart"].replace("/opt/dropzone_app/bin/python", sys.executable).replace("5000", "{port}")
    )
    with LiveServer(tmp_path / "app", command=shlex.split(command), env=env, start=False) as app:
        app.folder.mkdir()
        app.start()
        (tmp_path / "nginx").mkdir()
        with nginx(tmp_path / "nginx", app) as proxy:
            upload_and_fetch(proxy)
