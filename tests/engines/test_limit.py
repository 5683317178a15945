"""A body over the limit is refused in words, and every client gets to read them."""

import http.client
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from engines.fleet import NGINX_LIMIT, PROXIED, SERVERS, Engine, Fleet, nginx
from engines.wire import Client, form
from support import LiveServer, require

TOO_LONG = form([("big.bin", bytes(50_000_000))])
TELLING = "The upload is 50 MB; the limit for one request is 2 MB. Send fewer or smaller files."
COUNTING = "The upload is larger than 2 MB, the limit for one request. Send fewer or smaller files."
"""Said where the client did not tell the length, and nobody on the way has."""


def curl(engine: Engine, *arguments: str) -> tuple[str, str]:
    """What curl prints of an upload: the answer, and its status with its media type."""
    visitor = engine.visitor()
    done = subprocess.run(
        [
            *(require("curl"), "--silent", "--show-error", "--write-out", "\n%{http_code} %{content_type}"),
            *("--cookie", visitor.cookie, "--header", f"X-CSRFToken: {visitor.token}"),
            *(*arguments, f"{engine.door.url}/upload"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    text, _, verdict = done.stdout.rpartition("\n")
    return text, verdict


@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"], ids=["asks first", "just sends"])
def test_curl_reads_why_a_body_is_too_long(tight_engine: Engine, big_file: Path, expect: str) -> None:
    text, verdict = curl(tight_engine, "--header", expect, "--form", f"file[0]=@{big_file}")
    assert (text, verdict) == (TELLING, "413 text/plain; charset=utf-8")


@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"], ids=["asks first", "just sends"])
def test_curl_reads_why_a_body_in_chunks_is_too_long(
    tight_engine: Engine, big_file: Path, expect: str
) -> None:
    text, verdict = curl(
        tight_engine,
        *("--header", "Transfer-Encoding: chunked", "--header", expect),
        *("--form", f"file[0]=@{big_file}"),
    )
    assert text in {TELLING, COUNTING}
    assert verdict == "413 text/plain; charset=utf-8"


def test_a_client_that_writes_everything_first_can_read_why_it_was_too_much(tight_engine: Engine) -> None:
    answer = tight_engine.visitor().send(TOO_LONG)
    assert (answer.status, answer.text) == (413, TELLING)


def test_what_follows_a_refused_body_is_never_taken_for_more_of_it(tight_engine: Engine) -> None:
    visitor = tight_engine.visitor()
    with Client(tight_engine.door) as client:
        client.send_head(visitor.headers(len(TOO_LONG)))
        client.send(TOO_LONG)
        refused = client.read()
        assert refused.status == 413
        if refused.headers.get("connection") == "close":
            return
        try:
            client.send_head({}, path="/healthz", method="GET")
            healthy = client.read()
        except (http.client.RemoteDisconnected, ConnectionError):
            # nginx hangs up without a word, which leaves nothing to confuse either.
            return
    assert (healthy.status, healthy.text) == (200, "ok\n")


def test_nothing_of_a_body_over_the_limit_is_stored(tight_engine: Engine) -> None:
    visitor = tight_engine.visitor()
    before = tight_engine.inventory()
    body = form([("first.txt", b"x" * 1_500_000), ("second.txt", b"y" * 1_500_000)])
    with Client(tight_engine.door) as client:
        client.send_head(visitor.headers(transfer_encoding="chunked"))
        client.send_in_chunks(body, size=65_536)
        answer = client.read()
    assert answer.status == 413
    tight_engine.wait_until_staged(0)
    assert vars(tight_engine.inventory()) == vars(before)


SEND_BLOB = """async ([how, size]) => {
    const form = new FormData();
    form.append('file[0]', new Blob([new Uint8Array(size)]), 'big.bin');
    const headers = {'X-CSRFToken': document.querySelector('meta[name=csrf-token]').content};
    if (how === 'fetch') {
        const response = await fetch('/upload', {method: 'POST', body: form, headers});
        return [response.status, await response.text()];
    }
    return new Promise(resolve => {
        const request = new XMLHttpRequest();
        request.open('POST', '/upload');
        request.setRequestHeader('X-CSRFToken', headers['X-CSRFToken']);
        request.onload = () => resolve([request.status, request.responseText]);
        request.onerror = () => resolve([request.status, 'the connection broke']);
        request.send(form);
    });
}"""


def test_chromium_reads_why_a_body_is_too_long_every_time(tight_engine: Engine, page: Any) -> None:
    page.goto(tight_engine.door.url)
    got = [page.evaluate(SEND_BLOB, [how, 30_000_000]) for how in ("xhr", "fetch") * 2]
    said = "The upload is 30 MB; the limit for one request is 2 MB. Send fewer or smaller files."
    assert got == [[413, said]] * 4


@pytest.mark.parametrize("name", [name for name in PROXIED if name.endswith("granian")])
def test_what_nginx_refuses_by_itself_is_a_sentence_too(
    fleet: Fleet, name: str, tmp_path: Path, page: Any
) -> None:
    engine = fleet.engine(name, "2 MB")
    too_long = tmp_path / "big.bin"
    with too_long.open("wb") as file:
        file.truncate(NGINX_LIMIT + 1)
    said = "The upload is larger than 6 GB, the limit for one request. Send fewer or smaller files."
    assert curl(engine, "--form", f"file[0]=@{too_long}") == (said, "413 text/plain; charset=utf-8")
    page.goto(engine.door.url)
    assert page.evaluate(SEND_BLOB, ["xhr", NGINX_LIMIT + 1]) == [413, said]


def test_nginx_says_in_a_sentence_that_the_app_is_away(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "nginx").mkdir()
    with ExitStack() as stack:
        app = stack.enter_context(LiveServer(tmp_path / "app", command=SERVERS["flask"]))
        proxy = stack.enter_context(nginx(tmp_path / "nginx", app))
        app.stop()
        with Client(proxy) as client:
            client.send_head({"Content-Length": "0"})
            answer = client.read()
    assert (answer.status, answer.headers["content-type"]) == (503, "text/plain; charset=utf-8")
    assert answer.text == "The server does not answer at the moment; try again later."
