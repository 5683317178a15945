"""Hostile files are refused, or served so that no browser runs anything in them, however they are opened."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from browser.hostile import LIVE, drawings
from playwright.sync_api import Error
from support import LiveServer

from dropzone_app import Rejected
from dropzone_app.processing import svg

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
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    command = [sys.executable, str(Path(__file__).with_name("hostile_app.py")), "{port}"]
    env = {"PYTHONPATH": str(Path(__file__).parents[1])}
    with LiveServer(tmp_path_factory.mktemp("hostile"), command=command, env=env) as server:
        yield server


class Listener:
    """A page of the host's, and the names of the files whose script has run in it or below it."""

    def __init__(self, new_page: Callable[..., Any], host: LiveServer) -> None:
        self.ran: set[str] = set()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page = new_page()
        self.page.on("console", lambda message: self._hear(message.text))
        self.page.on("dialog", self._answer)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(host.url)

    def _hear(self, said: str) -> None:
        word, _, name = said.partition(" ")
        if word == "RAN":
            self.ran.add(name)

    def _answer(self, dialog: Any) -> None:
        self.said.append(dialog.message)
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


def corpus(page: Any, host: LiveServer, how: str) -> dict[str, str]:
    answer = page.request.get(urljoin(host.url, "/corpus")).json()
    return {name: urls[how] for name, urls in answer.items() if not name.endswith(".pdf")}


@pytest.mark.expect_console_errors
@pytest.mark.parametrize("way", ["opened", *WAYS])
def test_no_script_runs_in_a_file_that_is_stored(
    new_page: Callable[..., Any], host: LiveServer, way: str
) -> None:
    listener = Listener(new_page, host)
    listener.open(way, corpus(listener.page, host, "served"))
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
@pytest.mark.parametrize("way", ["opened", "iframe", "object"])
def test_the_script_of_a_pdf_does_not_come_out_of_the_viewer(
    new_page: Callable[..., Any], host: LiveServer, way: str
) -> None:
    listener = Listener(new_page, host)
    url = listener.page.request.get(urljoin(host.url, "/corpus")).json()["paper.pdf"]["served"]
    listener.open(way, {"paper.pdf": url})
    assert listener.wait_for(lambda: bool(listener.said), 15), "the viewer did not open"
    listener.page.wait_for_timeout(500)
    assert listener.said == ["in the viewer"]
    assert listener.ran == set()
    assert [asked for asked in listener.asked if "ran" in urlsplit(asked).path.split("/")] == []
    assert listener.page.url == (urljoin(host.url, url) if way == "opened" else urljoin(host.url, "/"))


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
    contents = drawings("drawing")
    ran = []
    for number, content in enumerate(contents):
        listener = Listener(new_page, host)
        body = cleaned(content) if clean else content
        listener.page.route(
            "**/drawing.svg",
            lambda route, *, body=body: route.fulfill(body=body, content_type="image/svg+xml"),
        )
        listener.open("opened", {"drawing": "/drawing.svg"})
        with contextlib.suppress(Error):
            listener.page.locator("a").first.click(timeout=300, force=True)
        if listener.wait_for(lambda: bool(listener.ran), 0.4):  # noqa: B023
            ran.append(number)
        listener.page.context.close()
    if clean:
        assert ran == []
        assert sum(bool(cleaned(content)) for content in contents) >= 10
    else:
        assert len(ran) >= 8, "these drawings must be live, or the test sees nothing"
