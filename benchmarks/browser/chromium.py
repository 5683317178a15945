"""A Chromium of one's own and a DevTools connection that never waits for a page unless it is told to. Linux only."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

import websocket

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--disable-features=Translate,OptimizationHints",
    "--window-size=1280,900",
    "--remote-debugging-port=0",
]


def binary() -> str:
    """RuntimeError where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise RuntimeError("There is no Chromium on this machine. Install it, or run `make test-programs`.")


class DevTools:
    def __init__(self, url: str) -> None:
        self._socket = websocket.create_connection(url, suppress_origin=True)
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._last = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, websocket.WebSocketException, ValueError):
            while text := self._socket.recv():
                message = json.loads(text)
                if waiting := self._waiting.pop(message.get("id"), None):
                    waiting.set_result(message)

    def post(self, method: str, **parameters: Any) -> Future[dict[str, Any]]:
        """Send a command, and do not wait for what comes of it."""
        answer: Future[dict[str, Any]] = Future()
        with self._lock:
            self._last += 1
            self._waiting[self._last] = answer
            self._socket.send(json.dumps({"id": self._last, "method": method, "params": parameters}))
        return answer

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """TimeoutError where the page does not answer for a minute, RuntimeError where it says no."""
        answer = self.post(method, **parameters).result(60)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def evaluate(self, expression: str, *, by_value: bool = True) -> Any:
        """The value, promises waited for; or with ``by_value=False`` the id of the object."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=by_value, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression[:100]}: {answer['exceptionDetails']}")
        return answer["result"].get("value") if by_value else answer["result"]["objectId"]

    def metrics(self) -> dict[str, float]:
        return {one["name"]: one["value"] for one in self.call("Performance.getMetrics")["metrics"]}

    def close(self) -> None:
        with contextlib.suppress(OSError, websocket.WebSocketException):
            self._socket.close()


class Chromium:
    """A new browser with a new profile and one page; use it in a ``with``."""

    def __init__(self) -> None:
        self._profile = Path(tempfile.mkdtemp(prefix="browser-benchmark-"))
        self._process = subprocess.Popen(
            [binary(), *FLAGS, f"--user-data-dir={self._profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            port, path = self._address()
            self.version = _get(f"http://127.0.0.1:{port}/json/version")["Browser"]
            pages = [one for one in _get(f"http://127.0.0.1:{port}/json/list") if one["type"] == "page"]
            self.browser = DevTools(f"ws://127.0.0.1:{port}{path}")
            self.page = DevTools(pages[0]["webSocketDebuggerUrl"])
        except BaseException:
            self._end()
            raise

    def _address(self) -> tuple[str, str]:
        file = self._profile / "DevToolsActivePort"
        for _ in range(600):
            if file.exists() and "\n" in (text := file.read_text()):
                port, _, path = text.partition("\n")
                return port, path
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError("Chromium did not start.")

    def renderer_peak(self) -> int:
        """The most bytes that the page's process has had in memory."""
        peak = 0
        for one in self.browser.call("SystemInfo.getProcessInfo")["processInfo"]:
            if one["type"] != "renderer":
                continue
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{one['id']}/status").read_text().splitlines():
                    if line.startswith("VmHWM:"):
                        peak = max(peak, int(line.split()[1]) << 10)
        return peak

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.page.close()
        self.browser.close()
        self._end()

    def _end(self) -> None:
        for kind in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, kind)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        shutil.rmtree(self._profile, ignore_errors=True)


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)
