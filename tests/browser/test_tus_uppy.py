"""Uppy, with its own plugin for the tus protocol, against the server, in a real Chromium."""

import hashlib
import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engines.fleet import wait_until
from engines.wire import tus_offset
from playwright.sync_api import Page, expect
from proxy import Proxy
from support import LiveServer, missing

HERE = Path(__file__).parent
UPLOAD = r"/tus/\w+"
CUT = 40 << 16


@pytest.fixture
def server(live_server: Callable[..., LiveServer], tmp_path: Path) -> LiveServer:
    modules = HERE.parents[1] / "node_modules"
    bundler = next(modules.glob("@esbuild/*/bin/esbuild"), None)
    if bundler is None:
        missing("esbuild is not installed; `make test` installs it with npm.")
    script = tmp_path / "uppy.js"
    subprocess.run(
        [
            bundler,
            HERE / "uppy_page.js",
            "--bundle",
            "--format=esm",
            "--log-level=error",
            f"--outfile={script}",
        ],
        check=True,
    )
    command = [sys.executable, str(HERE / "uppy_app.py"), "{port}", str(script)]
    return live_server(command=command)


def files(page: Page) -> list[dict[str, Any]]:
    """What the server has, newest first."""
    answer = page.request.get("/files", headers={"Accept": "application/json"})
    found: list[dict[str, Any]] = answer.json()["files"]
    return found


@pytest.mark.expect_console_errors("tus:", "[Uppy]")
def test_uppy_goes_on_after_a_cut_a_killed_server_and_a_reload_and_shows_a_refusal(
    new_page: Callable[..., Page], server: LiveServer, tmp_path: Path
) -> None:
    big = tmp_path / "big film.bin"
    big.write_bytes(random.Random(7).randbytes(6_000_000))
    fake = tmp_path / "fake.png"
    fake.write_bytes(b"MZ" + bytes(2000))
    wakes = threading.Event()

    def until_it_counts(path: str) -> None:
        wait_until(lambda: tus_offset(server, path) > 0, "the bytes before the cut to count")

    with Proxy(server.url, keep_alive=False) as proxy:
        page = new_page(base_url=proxy.url)
        page.goto("/")
        log = page.locator("#log")
        page.set_input_files("input", fake)
        expect(log).to_contain_text(
            "refused fake.png The file is named .png, but its content is a Windows program, not a PNG image"
        )
        proxy.break_off(CUT, until_it_counts, method="PATCH", path=UPLOAD)
        proxy.stall(2_200_000, wakes, 1_500_000, method="PATCH", path=UPLOAD)
        page.set_input_files("input", big)

        def offsets() -> list[int]:
            """Where what was sent of the big file began."""
            return [
                int(seen.headers["Upload-Offset"])
                for seen in proxy.seen
                if seen.method == "PATCH" and seen.length > 10_000
            ]

        wait_until(lambda: len(offsets()) == 2, "the second request")
        server.kill()
        page.goto("about:blank")
        wakes.set()
        server.start()
        page.goto("/")
        page.set_input_files("input", big)
        expect(log).to_contain_text(re.compile("stored big film.bin .*/tus/[0-9a-f]{32}"))
        [file] = files(page)
        assert file["sha256"] == hashlib.sha256(big.read_bytes()).hexdigest()
        # What had come was not sent again.
        first, second, third = offsets()
        assert 0 == first < second <= third
    assert list((server.folder / "uploads" / ".staging").iterdir()) == []
