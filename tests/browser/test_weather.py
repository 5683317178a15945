"""All that a line, a server and a person may do to a drop, as a seed decides: what is stored is what was dropped, once.

FUZZ_SEEDS=500 goes through so many seeds, from FUZZ_FIRST on, with chunks of FUZZ_CHUNK bytes, and writes into FUZZ_LOG
a line of JSON for each. A seed decides what befalls, and not when. Only chunks that have digests are altered.
"""

import contextlib
import hashlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from browser.samples import drop, everything, until
from playwright.sync_api import Error, Page
from proxy import UPLOADS, BrokenOff, Handler, Proxy
from support import LiveServer

FIRST = int(os.environ.get("FUZZ_FIRST", "1"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("FUZZ_SEEDS", "1")))
CHUNK = int(os.environ.get("FUZZ_CHUNK", "140000"))
LOG = Path(os.environ["FUZZ_LOG"]) if "FUZZ_LOG" in os.environ else None
#: Seconds for which a request may lie in a proxy that hands it on after all.
LONGEST = float(os.environ.get("FUZZ_LATE", "2"))
#: Seconds in which a drop is done once everything works again.
PATIENCE = 90

#: What happens to a request, and how often.
FATES = {
    "passes": 6,
    "is cut": 1,
    "is broken off": 1,
    "loses its answer": 1,
    "is late": 2,
    "comes twice": 2,
    "meets a proxy without a server": 1,
}

#: What a person does, with one file where it says so, and how often.
DEEDS = {
    "wait": 8,
    "pause": 1,
    "resume": 1,
    "pauseFile": 2,
    "resumeFile": 2,
    "cancel": 2,
    "remove": 1,
    "again": 2,
    "retryAll": 1,
    "offline": 1,
    "kill": 1,
    "reload": 1,
}

_DEED = """([deed, which]) => {
  const queue = document.querySelector("[data-uploads-zone]").batchUploader;
  const isOpen = ({ state }) => ["waiting", "paused", "sending", "checking"].includes(state);
  const one = (fits) => {
    const found = [...queue.entries.values()].filter(fits);
    return found[Math.floor(which * found.length)];
  };
  const deeds = {
    pause: () => queue.pause() ?? "all",
    resume: () => queue.resume() ?? "all",
    retryAll: () => queue.retryAll() ?? "all",
    pauseFile: (entry = one((entry) => queue.canPause(entry))) => entry && (queue.pause(entry), entry),
    resumeFile: (entry = one(({ paused }) => paused)) => entry && (queue.resume(entry), entry),
    cancel: (entry = one(isOpen)) => entry && (queue.dropzone.cancelUpload(entry.file), entry),
    again: (entry = one(({ state }) => state === "cancelled")) => entry && (queue.retry(entry), entry),
    remove: (entry = one(({ state }) => state !== "stored")) => entry && (queue.dropzone.removeFile(entry.file), entry),
  };
  const done = deeds[deed]();
  return done?.file ? `${done.path}/${done.name} ${done.uuid} ${done.state}` : done;
}"""

_GO_ON = """() => {
  const queue = document.querySelector("[data-uploads-zone]").batchUploader;
  queue.resume();
  for (const entry of queue.entries.values()) if (entry.paused) queue.resume(entry);
  queue.line.tryNow();
  queue.retryAll();
  return queue.walks === 0 && queue.finished && queue.counts.failed === 0;
}"""

_STATES = """() => {
  const queue = document.querySelector("[data-uploads-zone]").batchUploader;
  const files = Array.from(queue.entries.values(), (one) => [one.path, one.name, one.uuid, one.state, one.sentence]);
  const chunked = Array.from(queue.chunks.files.values(), (file) => ({
    name: file.entry.name,
    underWay: [...file.underWay.keys()],
    missing: [...file.missing],
    asked: file.asked,
    sha256: String(file.sha256),
  }));
  const { line, running, finished, precheck, batches } = queue;
  const waiting = { asking: precheck.running, asked: precheck.waiting.size, packed: batches.packer.size };
  const { reason, paused } = line;
  return { files, chunked, running, reason, paused, finished, ...waiting, requests: queue.requests.size };
}"""

#: What stood there when the page was left, and whether it was done with its drop.
_NOTE = """addEventListener("pagehide", () => {
  const queue = document.querySelector("[data-uploads-zone]")?.batchUploader;
  const kept = queue?.memory.read()?.secret === window.secret;
  sessionStorage.setItem("left", JSON.stringify({ files: queue?.counts.files ?? 0, kept }));
});"""


#: What the page did, for whoever has to find out why.
_WATCH = """() => {
  const queue = document.querySelector("[data-uploads-zone]").batchUploader;
  const told = (window.told = []);
  const { change } = queue;
  queue.change = (entry, state, said = "") => {
    told.push([Date.now() % 1e6, entry.name, entry.uuid.slice(0, 8), `${entry.state} > ${state}`, said]);
    change.call(queue, entry, state, said);
  };
  const { once } = queue.transport;
  queue.transport.once = async (question, ...rest) => {
    const begun = Date.now() % 1e6;
    const answer = await once.call(queue.transport, question, ...rest);
    const { kind, status, code } = answer;
    told.push([Date.now() % 1e6, question.method, question.url.slice(-40), begun, `${kind} ${status} ${code}`]);
    return answer;
  };
}"""


#: Whether the first file is there; notes by which secret their uuids are made.
_LISTED = """(({ counts, memory }) => {
  window.secret = memory.secret;
  return counts.files > 0 && memory.secret !== "";
})(document.querySelector("[data-uploads-zone]").batchUploader)"""


class Weather:
    """What befalls the requests of one drop."""

    def __init__(self, proxy: Proxy, seed: int) -> None:
        self._random = Random(seed)
        self._lock = threading.Lock()
        # Of two drops one.
        self._fates = FATES | {"is altered": 3 * (seed % 2)}
        self.met: Counter[str] = Counter()
        self.under_way = 0
        #: When what befell which request.
        self.log: list[str] = []
        for method, path, share in (
            ("POST", UPLOADS, 0.7),
            ("POST", "/upload/.*check", 0.3),
            ("DELETE", "/uploads/.*", 0.4),
            ("GET", "/(csrf-token|uploads|uploads/.*)", 0.2),
        ):
            proxy.rule(
                lambda handler, share=share: self._befall(handler, share),
                method=method,
                path=path,
                times=float("inf"),
            )

    def note(self, what: str) -> None:
        self.log.append(f"{time.monotonic():.3f} {what}")

    def _befall(self, handler: Handler, share: float) -> None:
        with self._lock:
            fate, at, late = (
                "passes",
                self._random.randrange(handler.length + 1),
                LONGEST * self._random.random() ** 2,
            )
            if self._random.random() < share:
                [fate] = self._random.choices(list(self._fates), self._fates.values())
            place = self._random.random()
            self.met[fate] += 1
            self.under_way += 1
        self.note(f"{handler.command} {handler.path} {handler.length} {fate} at {at} late {late:.2f}")
        try:
            self._act(handler, fate, at, late, place)
        finally:
            with self._lock:
                self.under_way -= 1
            self.note(f"{handler.command} {handler.path} {handler.length} over")

    def _act(self, handler: Handler, fate: str, at: int, late: float, place: float) -> None:
        match fate:
            case "is cut":
                handler.drain(at)
                handler.reset()
            case "is broken off":
                handler.stop = at, BrokenOff
                with contextlib.suppress(BrokenOff):
                    handler.forward()
                if handler.stop is None:
                    handler.reset()
            case "loses its answer":
                handler.ask()
                handler.reset()
            case "meets a proxy without a server":
                handler.drain()
                handler.reply(502, {"Content-Type": "text/html"}, b"<html>")
            case "is late":
                if (body := handler.body()) is not None:
                    time.sleep(late)
                    handler.with_body(body).forward()
            case "is altered":
                if (body := handler.body()) is not None:
                    handler.with_body(altered(body, int(place * len(body)))).forward()
            case "comes twice":
                if (body := handler.body()) is not None:
                    handler.with_body(body).forward()
                    time.sleep(late)
                    handler.with_body(body).ask()
            case _:
                handler.forward()


class Person:
    """Who drops files, and does what people do until everything works again."""

    def __init__(
        self, page: Page, server: LiveServer, weather: Weather, random: Random, folder: Path
    ) -> None:
        self.page, self.server, self.weather, self.random, self.folder = page, server, weather, random, folder
        #: Whether the page was left when it was done with its drop.
        self.over = False
        #: Files that were cancelled, whatever came after.
        self.cancelled: set[str] = set()
        self.done: Counter[str] = Counter()

    def open(self, url: str) -> None:
        self.page.on("dialog", lambda dialog: dialog.accept())
        self.page.add_init_script(_NOTE)
        self.page.goto(url)
        self.page.locator("[data-uploads-ready]").wait_for()
        self._drop()

    def act(self) -> None:
        """Do one thing."""
        [deed] = self.random.choices(list(DEEDS), DEEDS.values())
        match deed:
            case "wait":
                self.page.wait_for_timeout(self.random.randrange(400))
                return
            case "offline":
                self.weather.note(deed)
                self.page.context.set_offline(True)
                self.page.wait_for_timeout(self.random.randrange(700))
                self.page.context.set_offline(False)
                done = ""
            case "kill":
                self.weather.note(deed)
                self.server.kill()
                self.page.wait_for_timeout(self.random.randrange(400))
                self.server.start()
                done = ""
            case "reload":
                self.weather.note(deed)
                done = self._reload()
            case _:
                done = self.page.evaluate(_DEED, [deed, self.random.random()])
                if not done:
                    return
                if deed in ("cancel", "remove"):
                    self.cancelled.add(done.split(" ")[0])
        self.done[deed] += 1
        self.weather.note(f"{deed} {done}")

    def _reload(self) -> str:
        # Until the proxy lets the page itself through.
        while True:
            with contextlib.suppress(Error):
                self.page.reload()
                self.page.locator("[data-uploads-ready]").wait_for(timeout=5000)
                break
        left = json.loads(self.page.evaluate("sessionStorage.getItem('left')") or "{}")
        self.over = not left.get("kept") and left.get("files", 0) > 0
        if not self.over:
            self._drop()
        return json.dumps(left)

    def _drop(self) -> None:
        self.page.evaluate(_WATCH)
        drop(self.page, self.folder)
        until(self.page, _LISTED)

    def states(self) -> dict[str, Any]:
        found: dict[str, Any] = self.page.evaluate(_STATES)
        return found | {"files": [file for file in found["files"] if file[3] != "stored"]}

    def go_on(self) -> None:
        """See to it that the drop comes to its end."""
        deadline = time.monotonic() + PATIENCE
        while not self.page.evaluate(_GO_ON):
            assert time.monotonic() < deadline, f"it never ends: {json.dumps(self.states())}"
            self.page.wait_for_timeout(100)


def altered(body: bytes, at: int) -> bytes:
    """A chunk that has a digest, with one bit of its file turned over: its bytes alone are not ASCII."""
    if b'name="dzchunksha256"' not in body:
        return body
    for place in (*range(at, len(body)), *range(at)):
        if body[place] >= 0x80:
            return body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
    return body


def dropped(folder: Path, random: Random) -> dict[str, bytes]:
    """The files of one drop, and their digests by path: small ones, and some of one and of many chunks."""
    sizes = [
        random.choice([0, 1, random.randrange(3000), random.randrange(40_000)])
        for _ in range(random.randrange(2, 70))
    ]
    sizes += [CHUNK * random.randrange(1, 3) + random.randrange(-1, 2) for _ in range(random.randrange(4))]
    sizes += [random.randrange(2 * CHUNK, 12 * CHUNK) for _ in range(random.randrange(4))]
    found = {}
    for number, size in enumerate(sizes):
        path = folder / random.choice(["", "a", "b/c"]) / f"{number}-{size}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.randbytes(size).translate(bytes(0x80 | byte for byte in range(256))))
        found[str(path.relative_to(folder.parent))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    env = {"FLASK_UPLOADS_CHUNK_SIZE": str(CHUNK), "FLASK_UPLOADS_TYPES": "bin"}
    with LiveServer(tmp_path_factory.mktemp("weather"), env=env, workers=2) as started:
        yield started


# A worker of the page is fetched while the server is killed.
@pytest.mark.expect_console_errors("not served: 502")
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_befalls_a_drop_each_file_of_it_is_stored_once_as_it_was(
    page: Page, server: LiveServer, tmp_path: Path, seed: int
) -> None:
    random = Random(seed)
    wanted = dropped(tmp_path / "drop", random)
    with Proxy(server.url, keep_alive=random.random() < 0.7) as proxy:
        weather = Weather(proxy, seed)
        person = Person(page, server, weather, random, tmp_path / "drop")
        wrong = ""
        try:
            person.open(proxy.url)
            for _ in range(random.randrange(5, 30)):
                person.act()
                if person.over:
                    break
            proxy.clear()
            if not person.over:
                person.go_on()
            check(person, wanted)
        except BaseException as error:
            wrong = f"{type(error).__name__}: {error}"
            with contextlib.suppress(Error):
                weather.log += [json.dumps(line) for line in page.evaluate("window.told")]
            print("\n".join(weather.log))
            raise
        finally:
            if LOG:
                told = {"seed": seed, "files": len(wanted), **weather.met, **person.done, "wrong": wrong}
                with LOG.open("a") as log:
                    log.write(json.dumps(told) + "\n")
                if wrong:
                    LOG.with_suffix(f".{seed}").write_text("\n".join([*weather.log, wrong]))


def check(person: Person, wanted: dict[str, str]) -> None:
    page = person.page
    deadline = time.monotonic() + LONGEST + PATIENCE
    while person.weather.under_way:
        assert time.monotonic() < deadline, "a request never ends"
        page.wait_for_timeout(50)
    patient = time.monotonic() + 5
    files = [] if person.over else page.evaluate(_STATES)["files"]
    told = {f"{path}/{name}": state for path, name, _, state, _ in files}
    while True:
        found: dict[str, list[str]] = {}
        for file in everything(page):
            found.setdefault(f"{file['path']}/{file['filename']}", []).append(file["sha256"])
            content = person.server.folder / "uploads" / file["key"]
            assert hashlib.sha256(content.read_bytes()).hexdigest() == file["sha256"]
        wrong = {}
        for path, sha256 in wanted.items():
            expected = [[sha256]]
            if path in person.cancelled and person.over:
                expected = [[], [sha256]]
            elif not person.over and told.get(path) != "stored":
                # What an earlier page has stored stays, where it was cancelled before the server told.
                expected = [[], [sha256]] if person.done["reload"] else [[]]
                if path in told and told[path] != "cancelled":
                    wrong[path] = ["state", told[path]]
            if found.get(path, []) not in expected:
                wrong[path] = [told.get(path), sha256[:8], *(digest[:8] for digest in found.get(path, []))]
        wrong |= {path: ["unknown"] for path in found.keys() - wanted.keys()}
        # What the server has answered by now may still be deleted.
        if not wrong or time.monotonic() > patient:
            break
        page.wait_for_timeout(300)
    assert not wrong, json.dumps(wrong)
