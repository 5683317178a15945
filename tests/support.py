"""What tests share besides fixtures: the real server as a process, free ports, programs that may lack."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn, Self

import pytest

IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def missing(sentence: str) -> NoReturn:
    """Skip the test with this sentence on a person's machine; fail it in CI, where nothing may be missing."""
    if IN_CI:
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


def require(*programs: str) -> str:
    """Return the path of the first of these programs that is installed; see `missing` for when none is."""
    # Where a machine has no node, the set-up has put one beside this Python.
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:{Path(sys.executable).parent}"
    for program in programs:
        if found := shutil.which(program, path=path):
            return found
    missing(f"{' or '.join(programs)} is not installed; `make test` installs it as root on Debian.")


def free_port() -> int:
    """Return a TCP port of the loopback interface that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def runs(pid: int) -> bool:
    """Whether this process still runs: not when it has ended and only waits to be collected (Linux only)."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


class LiveServer:
    """A real server process in a folder of its own, answering at `url` from the moment it is made.

    The default is the documented one, `python -m dropzone_app`. `command` runs another: a list in which
    `{port}` is filled in. Use it in a `with`: however the block ends, the process and its workers are gone.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 1,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
        ready: str = "/healthz",
        start: bool = True,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._ready = self.url + ready
        self._log = folder / "server.log"
        default = [sys.executable, "-m", "dropzone_app", "--port", "{port}", "--workers", str(workers)]
        self._command = [word.replace("{port}", str(self.port)) for word in command or default]
        # A person's own settings must not decide what a test sees.
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("FLASK_")}
        self._env = {**inherited, "PYTHONUNBUFFERED": "1", **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None
        if start:
            self.start()

    @property
    def pid(self) -> int:
        """The process id of the server that runs now: with workers, of their parent."""
        assert self._process, "the server does not run"
        return self._process.pid

    def pids(self) -> list[int]:
        """The server's process and all that it started, parent first (Linux only)."""
        found = [self.pid]
        for pid in found:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                # A thread may end while it is looked at.
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    found += [int(child) for child in children.read_text().split()]
        return found

    def start(self) -> None:
        """Start the server on the same port and folder and wait until it answers."""
        assert not self._process, "the server runs already"
        with self._log.open("ab") as log:
            # A group of its own, so that workers end with their parent even when that one is killed.
            self._process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + 90
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{' '.join(self._command)} did not come up:\n{self.log()}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self._ready, timeout=5) as response:
                ok: bool = response.status == 200
                return ok
        except (OSError, urllib.error.URLError):
            return False

    def log(self) -> str:
        """All that the server has printed so far, over restarts."""
        return self._log.read_text(errors="replace")

    def press_ctrl_c(self) -> None:
        """Do what a terminal does: interrupt the server and all its workers. Fail if it then goes on."""
        assert self._process, "the server does not run"
        os.killpg(self.pid, signal.SIGINT)
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the server goes on:\n{self.log()}", pytrace=False)

    def terminate(self) -> None:
        """Ask the server to end, and do not wait."""
        assert self._process, "the server does not run"
        self._process.terminate()

    def stop(self) -> None:
        """Ask the server to end, as Ctrl-C or a service manager would, and wait until it has."""
        if not self._process:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        self.kill()

    def kill(self) -> None:
        """End the server and its workers at once, without a chance to tidy up; they are gone on return."""
        if not self._process:
            return
        pids = self.pids()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        # Orphans are not ours to wait for, but they hold the port and the database until they are gone.
        deadline = time.monotonic() + 30
        while any(map(runs, pids)):
            assert time.monotonic() < deadline, "a killed server does not go away"
            time.sleep(0.01)
        self._process = None

    def restart(self) -> None:
        """Stop and start again: same URL, same folder, same settings."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def is_loopback(url: str) -> bool:
    """Whether a request to this URL stays on this machine (or needs no network at all)."""
    return bool(
        re.match(
            r"(data|blob|about|chrome-error|chrome|chrome-extension):|(https?|wss?)://(127\.|localhost[:/]|\[::1\])",
            url,
        )
    )
