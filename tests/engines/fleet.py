"""The real servers, alone and behind nginx, and what lies in their folders."""

import contextlib
import getpass
import os
import shutil
import sqlite3
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from engines.wire import PATIENCE, Visitor
from support import LiveServer, require

DEPLOY = Path(__file__).parents[2] / "deploy"

SERVERS: dict[str, list[str]] = {
    "granian": [sys.executable, "-m", "dropzone_app", "--port", "{port}", "--workers", "2"],
    "gunicorn": [
        *(sys.executable, "-m", "gunicorn", "--config", str(DEPLOY / "gunicorn.conf.py")),
        *("--bind", "127.0.0.1:{port}"),
    ],
    "waitress": [
        *(sys.executable, "-m", "waitress", "--listen", "127.0.0.1:{port}", "--call"),
        "dropzone_app:create_app",
    ],
    "flask": [sys.executable, "-m", "flask", "--app", "dropzone_app", "run", "--port", "{port}"],
}
"""The documented server, and those that people bring."""

PROXIED = [
    f"nginx {how} {server}" for server in ("granian", "gunicorn") for how in ("buffering", "streaming")
]

EVERYWHERE = [*SERVERS, *PROXIED]

STREAMING = [name for name in EVERYWHERE if name != "waitress" and "buffering" not in name]
"""Where the app gets a body while it arrives. The others have it whole before the app is asked."""

NGINX_LIMIT = 100 << 20


class Engine:
    """A server, perhaps behind a proxy: where to knock, and the folder where files and records lie."""

    def __init__(self, name: str, app: LiveServer, proxy: LiveServer | None = None) -> None:
        self.streams = name in STREAMING
        self.door = proxy or app
        self.folder = app.folder
        self._processes = [app, proxy] if proxy else [app]

    def visitor(self) -> Visitor:
        """Somebody new, who comes through the proxy where there is one."""
        return Visitor(self.door)

    def inventory(self) -> "Inventory":
        return Inventory(self.folder)

    def lives(self) -> bool:
        """Whether it still answers. OSError where not even that can be asked."""
        with urllib.request.urlopen(f"{self.door.url}/healthz", timeout=PATIENCE) as response:
            answers: bool = response.status == 200
            return answers

    def descriptors(self) -> list[str]:
        """What all its processes have open, but for connections to the database: those are kept in a pool."""
        links = []
        for pid in (pid for server in self._processes for pid in server.pids()):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                # One may be closed between the listing and the look.
                with contextlib.suppress(FileNotFoundError):
                    links.append(os.readlink(link))
        return [link for link in links if "/app.sqlite" not in link]

    def staged(self) -> int:
        """Parts that are being received now: what has no name yet is open in the staging folder."""
        staging = f"{self.folder}/uploads/.staging/"
        return sum(link.startswith(staging) for link in self.descriptors())

    def wait_until_staged(self, parts: int) -> None:
        """Wait until exactly so many parts are being received."""
        wait_until(lambda: self.staged() == parts, f"{parts} staged parts")


class Inventory:
    """What a folder holds, by its files and its database; no server is asked. Sizes by key."""

    def __init__(self, folder: Path, *, after_a_crash: bool = False) -> None:
        """`after_a_crash`: read a copy of the database, and leave its recovery to the server."""
        database = folder / "instance" / "app.sqlite"
        with tempfile.TemporaryDirectory() as copies:
            if after_a_crash:
                for file in (database, database.with_name("app.sqlite-wal")):
                    shutil.copy(file, copies)
                database = Path(copies, "app.sqlite")
            with contextlib.closing(sqlite3.connect(database)) as connection:
                rows = connection.execute("SELECT key, size, state FROM files").fetchall()
        self.records = {key: size for key, size, state in rows if state == "stored"}
        self.unfinished = {key for key, _, state in rows if state != "stored"}
        root = folder / "uploads"
        paths = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
        self.left_over = {key for key in paths if key.startswith(".staging/")}
        self.files = {key: path.stat().st_size for key, path in paths.items() if key not in self.left_over}

    def disagreements(self) -> dict[str, object]:
        """Files without a record, records without their file, what is half done: nothing, when all is well."""
        found = {
            "no record": self.files.items() - self.records.items(),
            "no file": self.records.items() - self.files.items(),
            "unfinished": self.unfinished,
            "left over": self.left_over,
        }
        return {what: keys for what, keys in found.items() if keys}


def wait_until(fact: Callable[[], bool], name: str) -> None:
    """Wait for a fact; fail with its name when it does not come true."""
    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline, f"waited in vain for {name}"
        time.sleep(0.01)


class Fleet:
    """All servers of a run, each started when the first test asks for it."""

    def __init__(self, factory: pytest.TempPathFactory, stack: ExitStack) -> None:
        self._factory = factory
        self._stack = stack
        self._apps: dict[tuple[str, str], LiveServer] = {}
        self._engines: dict[tuple[str, str], Engine] = {}

    def engine(self, name: str, limit: str) -> Engine:
        """The engine called `name` whose MAX_CONTENT_LENGTH is `limit`."""
        if (name, limit) not in self._engines:
            app = self._app(name.split()[-1], limit)
            proxy = self._proxy(app, buffering="buffering" in name) if name in PROXIED else None
            self._engines[name, limit] = Engine(name, app, proxy)
        return self._engines[name, limit]

    def _app(self, name: str, limit: str) -> LiveServer:
        if (name, limit) not in self._apps:
            self._apps[name, limit] = self._stack.enter_context(
                LiveServer(
                    self._factory.mktemp(name),
                    env={"FLASK_MAX_CONTENT_LENGTH": limit, "FLASK_UPLOADS_TYPES": "bin,txt"},
                    command=SERVERS[name],
                )
            )
        return self._apps[name, limit]

    def _proxy(self, app: LiveServer, *, buffering: bool) -> LiveServer:
        return self._stack.enter_context(nginx(self._factory.mktemp("nginx"), app, buffering=buffering))


def nginx(
    folder: Path,
    app: LiveServer,
    *others: LiveServer,
    buffering: bool = False,
    files: Path | None = None,
    worker: str | None = None,
    silence: int = 30,
) -> LiveServer:
    """nginx in front of a server, or of several in turn, configured as people are told to, but for ports and a limit.

    `files`: where it takes the files to be that it sends itself, where that is not the app's own folder; `worker`: the
    user that its workers are, in place of ours, where we are root; `silence`: seconds that it waits for a client.
    """
    command = [require("nginx"), "-p", f"{folder}/", "-e", "stderr", "-c", f"{folder}/nginx.conf"]
    proxy = LiveServer(folder, command=command, start=False)
    site = (DEPLOY / "nginx.conf").read_text()
    for told, here in (
        ("listen 127.0.0.1:80;", f"listen 127.0.0.1:{proxy.port};"),
        ("proxy_pass http://127.0.0.1:5000;", f"proxy_pass {'http://nodes' if others else app.url};"),
        ("alias /var/lib/dropzone_app/uploads/;", f"alias {files or app.folder / 'uploads'}/;"),
        ("client_max_body_size 6g;", f"client_max_body_size {NGINX_LIMIT};"),
        ("client_body_timeout 30s;", f"client_body_timeout {silence}s;"),
        ("proxy_request_buffering off;", f"proxy_request_buffering {'on' if buffering else 'off'};"),
    ):
        assert site.count(told) == 1, told
        site = site.replace(told, here)
    if others:
        nodes = " ".join(f"server 127.0.0.1:{server.port} fail_timeout=1s;" for server in (app, *others))
        site = f"upstream nodes {{ {nodes} }}\nadd_header X-Node $upstream_addr always;\n{site}"
    # Only root can become somebody else, who could then not enter this folder.
    user = f"user {worker or getpass.getuser()};" if os.geteuid() == 0 else ""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {kind}_temp;\n" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; worker_processes 1; pid nginx.pid;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{folders}{site}}}\n"
    )
    proxy.start()
    return proxy
