"""The main path in Firefox: the same page, the same server, another engine for all that browsers differ in."""

import contextlib
import gc
import shutil
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.samples import png, write
from support import LiveServer, free_port, require

with warnings.catch_warnings():
    # What it stands on calls a function that is old.
    warnings.simplefilter("ignore", DeprecationWarning)
    from marionette_driver.by import By
    from marionette_driver.marionette import Marionette

ZONE = "document.querySelector('[data-uploads-zone]').wrappedJSObject.batchUploader"


class Firefox:
    """Firefox itself, driven by Marionette, which it has inside: Playwright brings a Firefox of its own, if any."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page, as JSON can carry it."""
        return self._driver.execute_script(f"return {expression}")

    def until(self, condition: str, timeout: float = 90) -> None:
        """Wait until this expression is true in the page."""
        deadline = time.monotonic() + timeout
        while not self.evaluate(condition):
            assert time.monotonic() < deadline, f"it never came true: {condition}\n{self.text('body')}"
            time.sleep(0.05)

    def go(self, url: str) -> None:
        """Open an address."""
        self._driver.navigate(url)

    def open(self, url: str) -> None:
        """Open a page with a zone, and wait until that is ready."""
        self.go(url)
        self.until("document.querySelector('[data-uploads-ready]') !== null")

    def choose(self, *paths: Path) -> None:
        """Choose files as the button does, by Dropzone's own input."""
        self.find("input.dz-hidden-input").send_keys("\n".join(map(str, paths)))

    def finished(self, files: int) -> dict[str, int]:
        """Wait until all of so many files are decided; the counters."""
        self.until(f"{ZONE}.counts.files === {files} && {ZONE}.finished")
        counts: dict[str, int] = self.evaluate(f"Object.assign({{}}, {ZONE}.counts)")
        return counts

    def find(self, selector: str) -> Any:
        """The first element that fits."""
        return self._driver.find_element(By.CSS_SELECTOR, selector)

    def posts(self) -> int:
        """How many requests have brought files to the server."""
        resources = "performance.getEntriesByType('resource')"
        return int(self.evaluate(f"{resources}.filter((one) => one.name.endsWith('/upload/files')).length"))

    def text(self, selector: str) -> str:
        """What is seen of it."""
        text: str = self.evaluate(f"document.querySelector({selector!r}).innerText")
        return text

    def prefer(self, languages: str) -> None:
        """What the person has set as the languages they read."""
        self._driver.set_pref("intl.accept_languages", languages)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    program = require("firefox-esr", "firefox")
    home = tmp_path_factory.mktemp("firefox")
    with quietly():
        driver = Marionette(
            bin=program,
            host="127.0.0.1",
            port=free_port(),
            headless=True,
            gecko_log=str(home / "gecko.log"),
            workspace=str(home),
            startup_timeout=120,
        )
    try:
        with quietly():
            driver.start_session({"strictFileInteractability": False})
        yield Firefox(driver)
    finally:
        with quietly():
            with contextlib.suppress(Exception):
                driver.quit()
            driver.cleanup()
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Marionette knocks at Firefox until that is there, and leaves each socket for others to close."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
        gc.collect()


@pytest.fixture
def firefox(started: Firefox, server: LiveServer) -> Firefox:
    started.prefer("en-US, en")
    started.open(server.url)
    return started


def test_each_file_gets_its_verdict_with_its_sentence_and_its_link(firefox: Firefox, tmp_path: Path) -> None:
    firefox.choose(
        *write(tmp_path, {"a.txt": b"1", "b.exe": b"MZ", "c.png": b"no", "写真.png": png(9, 9, 9)})
    )
    counts = firefox.finished(4)
    assert (counts["stored"], counts["refused"], counts["open"]) == (2, 2, 0)
    assert firefox.text("[data-uploads-summary-words]") == "2 stored, 2 refused."
    assert firefox.text("[data-uploads-live]").strip() == "2 stored, 2 refused."
    rows = "[...document.querySelectorAll('.dz-preview')]"
    assert firefox.evaluate(f"{rows}.map(({{dataset}}) => dataset.state)") == [
        "stored",
        "refused",
        "refused",
        "stored",
    ]
    said = firefox.evaluate(
        "[...document.querySelectorAll('[data-dz-errormessage]')].map((one) => one.innerText)"
    )
    assert said[0].startswith(".exe files are not accepted here.")
    assert "its content is not a PNG image" in said[1]

    thumb = "document.querySelector('.dz-error .dz-image')"
    firefox.evaluate(f"{thumb}.focus()")
    assert firefox.evaluate("document.querySelector('.uploads-tooltip:not([hidden])').innerText") == said[0]
    assert (
        firefox.evaluate(f"document.getElementById({thumb}.getAttribute('aria-describedby')).textContent")
        == said[0]
    )
    # A picture of what was sent, and the bytes behind its link.
    firefox.until("document.querySelector('.dz-image img')?.naturalWidth > 0")
    links = "document.querySelectorAll('.dz-preview .uploads-link')"
    firefox.until(f"{links}.length === 2")
    firefox.go(firefox.evaluate(f"{links}[1].href"))
    assert firefox.evaluate("document.images[0].naturalWidth") == 64


def test_a_folder_s_worth_of_files_goes_in_few_requests_and_all_are_listed(
    firefox: Firefox, tmp_path: Path
) -> None:
    firefox.choose(*write(tmp_path, {f"{n:03}.txt": b"%d" % n for n in range(120)}))
    assert firefox.finished(120)["stored"] == 120
    assert firefox.posts() <= 4


def test_a_server_that_goes_away_is_waited_for_nothing_is_stored_twice_and_big_files_go_in_chunks(
    started: Firefox, tmp_path: Path
) -> None:
    files = tmp_path / "chosen"
    files.mkdir()
    with LiveServer(tmp_path, env={"FLASK_UPLOADS_CHUNK_SIZE": "300 KB"}) as own:
        started.open(own.url)
        own.kill()
        started.choose(*write(files, {f"{n}.txt": b"%d" % n for n in range(6)}))
        started.until("!document.querySelector('[data-uploads-banner]').hidden")
        assert "The connection to the server is broken." in started.text("[data-uploads-banner]")
        own.start()
        assert started.finished(6)["stored"] == 6

        before = started.posts()
        started.choose(*write(files, {"big.txt": b"line\n" * 250_000}))
        assert started.finished(7)["stored"] == 7
        assert started.posts() - before == 5
    kept = [path for path in (tmp_path / "uploads").rglob("*.txt") if ".staging" not in path.parts]
    stored = {path.name: path.stat().st_size for path in kept}
    assert len(kept) == 7
    assert stored == {**{f"{n}.txt": 1 for n in range(6)}, "big.txt": 1_250_000}


def test_what_was_stored_is_deleted_and_undone(firefox: Firefox, tmp_path: Path) -> None:
    firefox.choose(*write(tmp_path, {"a.txt": b"1", "b.txt": b"2"}))
    firefox.finished(2)
    undo = "[...document.querySelectorAll('.uploads-actions button')].find((one) => one.innerText === 'Undo this drop')"
    firefox.evaluate(f"{undo}.click()")
    firefox.evaluate("document.querySelector('.uploads-danger').click()")
    firefox.until("document.querySelectorAll('[data-state=deleted]').length === 2")


def test_the_person_s_language_is_spoken(started: Firefox, server: LiveServer, tmp_path: Path) -> None:
    started.prefer("zh-CN, zh, en")
    started.open(server.url)
    started.choose(*write(tmp_path, {"a.txt": b"1", "b.exe": b"MZ"}))
    started.finished(2)
    assert started.text("[data-uploads-summary-words]") == "已保存 1 个，被拒绝 1 个。"
    assert started.text("[data-dz-errormessage]").startswith("此处不接受 .exe 文件。")
