"""Hostile files are refused, or served so that no browser runs anything in them, however they are opened."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from browser.hostile import LIVE, LIVE_PDFS, drawings
from playwright.sync_api import Error
from support import LiveServer

from dropzone_app import Rejected
from dropzone_app.processing import svg

FRAMES = ("iframe", "object", "embed")

#: How a page of the host's can bring in what lies at `url`.
WAYS = {
    **{
        tag: f"document.body.append(Object.assign(document.createElement('{tag}'), {{ {attribute}: url }}))"
        for tag, attribute in [
            ("img", "src"),
            ("iframe", "src"),
            ("object", "data"),
            ("embed", "src"),
            ("script", "src"),
            ("video", "src"),
            ("audio", "src"),
        ]
    },
    "typed object": "document.body.append(Object.assign(document.createElement('object'), "
    "{ data: url, type: 'image/svg+xml' }))",
    "typed script": "document.body.append(Object.assign(document.createElement('script'), "
    "{ src: url, type: 'text/javascript' }))",
    "module": "import(url).catch(() => {})",
    "style": "document.head.append(Object.assign(document.createElement('link'), { rel: 'stylesheet', href: url }))",
    "worker": "new Worker(url)",
    "service worker": "navigator.serviceWorker.register(url).then(() => console.log(`RAN ${name}`), () => {})",
    "svg use": "document.body.insertAdjacentHTML('beforeend', `<svg><use href='${url}#a'></use></svg>`)",
    "svg image": "document.body.insertAdjacentHTML('beforeend', `<svg><image href='${url}'></image></svg>`)",
}


@pytest.fixture(scope="module")
def browser(chromium: Any) -> Any:
    """The one that shows a PDF in a page."""
    return chromium


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    command = [sys.executable, str(Path(__file__).with_name("hostile_app.py")), "{port}"]
    env = {"PYTHONPATH": str(Path(__file__).parents[1])}
    with LiveServer(tmp_path_factory.mktemp("hostile"), command=command, env=env) as server:
        yield server


class Listener:
    """A page of the host's: the names of the files whose script has run in it or below it, and what it has saved."""

    def __init__(self, new_page: Callable[..., Any], host: LiveServer) -> None:
        self.ran: set[str] = set()
        self.saved: set[str] = set()
        self.asked: list[str] = []
        self.page = new_page()
        self.page.on("console", lambda message: self._hear(message.text))
        self.page.on("dialog", self._answer)
        self.page.on("download", lambda download: self.saved.add(download.suggested_filename))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(host.url)

    def _hear(self, said: str) -> None:
        word, _, name = said.partition(" ")
        if word == "RAN":
            self.ran.add(name)

    def _answer(self, dialog: Any) -> None:
        self._hear(dialog.message)
        dialog.dismiss()

    def open(self, way: str, urls: dict[str, str]) -> None:
        if way != "opened":
            # All in one page: they are many.
            loop = f"(urls) => {{ for (const [name, url] of urls) {{ {WAYS[way]} }} }}"
            self.page.evaluate(loop, list(urls.items()))
            return
        for url in urls.values():
            # What is offered for saving is no page to go to.
            with contextlib.suppress(Error):
                self.page.goto(urljoin(self.page.url, url))
                self.page.wait_for_timeout(50)

    def wait_for(self, fact: Callable[[], bool], seconds: float) -> bool:
        for _ in range(int(seconds * 20)):
            if fact():
                break
            self.page.wait_for_timeout(50)
        return fact()


def corpus(page: Any, host: LiveServer, how: str, *, pdf: bool = False) -> dict[str, str]:
    answer = page.request.get(urljoin(host.url, "/corpus")).json()
    return {name: urls[how] for name, urls in answer.items() if name.endswith(".pdf") == pdf}


@pytest.mark.expect_console_errors
@pytest.mark.parametrize(
    "ways",
    [["opened"], FRAMES, [way for way in WAYS if way not in FRAMES]],
    ids=["opened", "in frames", "as parts of a page"],
)
def test_no_script_runs_in_a_file_that_is_stored(
    new_page: Callable[..., Any], host: LiveServer, ways: list[str]
) -> None:
    listener = Listener(new_page, host)
    urls = corpus(listener.page, host, "served")
    for way in ways:
        listener.open(way, urls)
    listener.wait_for(lambda: bool(listener.ran), 1)
    assert listener.ran == set()


@pytest.mark.expect_console_errors
@pytest.mark.parametrize("way", LIVE)
def test_the_same_files_do_run_where_they_are_served_without_a_thought(
    new_page: Callable[..., Any], host: LiveServer, way: str
) -> None:
    listener = Listener(new_page, host)
    urls = corpus(listener.page, host, "bare")
    listener.open(way, {name: urls[name] for name in LIVE[way]})
    assert listener.wait_for(lambda: LIVE[way] <= listener.ran, 10), LIVE[way] - listener.ran


@pytest.mark.expect_console_errors
@pytest.mark.parametrize("way", ["opened", *FRAMES])
def test_a_pdf_in_which_a_script_hides_is_saved_and_not_shown(
    new_page: Callable[..., Any], host: LiveServer, way: str
) -> None:
    listener = Listener(new_page, host)
    urls = corpus(listener.page, host, "served", pdf=True)
    listener.open(way, {name: urls[name] for name in LIVE_PDFS})
    assert listener.wait_for(lambda: listener.saved >= LIVE_PDFS, 10), LIVE_PDFS - listener.saved
    assert listener.ran == set()


@pytest.mark.expect_console_errors
def test_the_script_of_such_a_pdf_runs_where_it_is_shown(
    new_page: Callable[..., Any], host: LiveServer
) -> None:
    listener = Listener(new_page, host)
    urls = corpus(listener.page, host, "bare", pdf=True)
    shown = {"plain.pdf", "locked.pdf", "packed behind a predictor that stands before.pdf"}
    listener.open("iframe", {name: urls[name] for name in shown & LIVE_PDFS})
    assert listener.wait_for(lambda: shown <= listener.ran, 20), shown - listener.ran


@pytest.mark.expect_console_errors
def test_any_other_pdf_is_shown_in_place_and_goes_nowhere_by_itself(
    new_page: Callable[..., Any], host: LiveServer
) -> None:
    listener = Listener(new_page, host)
    url = urljoin(host.url, corpus(listener.page, host, "served", pdf=True)["address.pdf"])
    listener.page.goto(url)
    # The page, Chromium's viewer in it, and what the viewer draws.
    assert listener.wait_for(lambda: len(listener.page.frames) == 3, 10)
    assert listener.page.frames[1].url.startswith("chrome-extension:")
    listener.page.wait_for_timeout(500)
    assert listener.page.url == url
    assert [asked for asked in listener.asked if "ran" in urlsplit(asked).path.split("/")] == []
    assert listener.saved == set()


def cleaned(drawing: bytes) -> bytes:
    try:
        return svg.clean(BytesIO(drawing), len(drawing))
    except Rejected:
        return b""


@pytest.mark.expect_console_errors
@pytest.mark.parametrize("clean", [False, True], ids=["as they are", "cleaned"])
def test_cleaned_drawings_run_nothing_even_where_they_are_served_without_a_thought(
    new_page: Callable[..., Any], host: LiveServer, clean: bool
) -> None:
    count = len(drawings(""))
    contents = [drawings(str(number))[number] for number in range(count)]
    bodies = {f"/{n}.svg": cleaned(content) if clean else content for n, content in enumerate(contents)}
    listener = Listener(new_page, host)
    listener.page.route(
        "**/*.svg",
        lambda route: route.fulfill(
            body=bodies[urlsplit(route.request.url).path], content_type="image/svg+xml"
        ),
    )
    listener.open("iframe", {path: path for path in bodies})
    listener.wait_for(lambda: len(listener.page.frames) > count, 5)
    for frame in listener.page.frames:
        if frame.locator("a").count():
            frame.locator("a").first.click(timeout=1000, force=True)
    if clean:
        listener.wait_for(lambda: bool(listener.ran), 1)
        assert listener.ran == set()
        assert sum(map(bool, bodies.values())) >= 10
    else:
        # These drawings must be live, or the test sees nothing.
        assert listener.wait_for(lambda: len(listener.ran) >= 8, 10), listener.ran
