"""One measured visit: files are put into a page's own file input, and the page is watched until all have a verdict."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import time
from collections import Counter
from concurrent.futures import TimeoutError as NotAnswered
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chromium import Chromium, DevTools

HERE = Path(__file__).parent
CLICK_EVERY = 0.25
#: A task that keeps the page from painting for longer is told function by function.
LONG_MS = 100


@dataclass(frozen=True)
class Page:
    """A page and how it is asked. The JavaScript is evaluated every 20 ms, so it has to be cheap."""

    name: str
    what: str
    path: str
    #: CSS selector of its file input.
    input: str
    #: JavaScript: how many files its list shows, how many were stored, and whether all of `count` have a verdict.
    added: str = "window.__bench.added"
    stored: str = "window.__bench.stored"
    done: str = "window.__bench.finished && window.__bench.stored + window.__bench.failed >= count"
    #: CSS selectors of a row and of the picture in it, where it shows thumbnails.
    pictures: tuple[str, str] | None = None
    #: Whether it posts to our server and not to the one that throws all away.
    ours: bool = False
    #: For the floor alone, which is put into an empty page: where it gets its CSRF token.
    floor: str | None = None


@dataclass
class Visit:
    """What came of it; seconds, and bytes. `wall` and what is not known of a page that did not end is None."""

    stored: int
    wall: float | None = None
    #: From `change` to the frame in which the whole list is shown.
    listed: float | None = None
    #: From `change` until all files whose row is on the screen have their thumbnail.
    seen: float | None = None
    requests: int = 0
    #: The longest task from `change` on, without what Chromium itself does before that event.
    longest: float = 0.0
    #: How many tasks of more than 100 ms.
    long_tasks: int = 0
    clicks: int = 0
    clicks_in_time: int = 0
    worst_click: float = 0.0
    elements: int = 0
    memory: int = 0
    #: Seconds of the main thread: all, script, style and layout.
    busy: float = 0.0
    script: float = 0.0
    layout: float = 0.0
    errors: list[str] = field(default_factory=list)
    #: With a profile: self seconds by function, and the seconds that each had a share in of the long tasks.
    hot: dict[str, float] = field(default_factory=dict)
    blamed: dict[str, float] = field(default_factory=dict)
    version: str = ""


def visit(
    page: Page,
    url: str,
    files: list[Path],
    limit: float,
    *,
    profile: bool = False,
    picture: Path | None = None,
) -> Visit:
    """Open ``url`` in a new browser and add ``files``; give up after ``limit`` seconds."""
    count = len(files)
    with Chromium() as chromium:
        tools = chromium.page
        input_id = _open(tools, page, url, count)
        width, height = tools.evaluate("[innerWidth, innerHeight]")
        if profile:
            tools.call("Profiler.enable")
            tools.call("Profiler.setSamplingInterval", interval=1000)
            tools.call("Profiler.start")
        before = tools.metrics()
        tools.post("DOM.setFileInputFiles", files=[str(file) for file in files], objectId=input_id)
        clicked = _wait(tools, limit, (width - 20, height - 15))
        try:
            return _read(chromium, page, before, limit, clicked, profile, picture)
        except NotAnswered:
            return Visit(stored=0, errors=["the page does not answer any more"], version=chromium.version)


def _open(tools: DevTools, page: Page, url: str, count: int) -> str:
    tools.call("Page.enable")
    tools.call("Performance.enable")
    # Only the floor needs it: it is put into a page that allows no script.
    tools.call("Page.setBypassCSP", enabled=page.floor is not None)
    tools.call("Page.addScriptToEvaluateOnNewDocument", source=(HERE / "probe.js").read_text())
    tools.call("Page.navigate", url=url + page.path)
    ready = "document.readyState === 'complete' && !!window.__probe"
    _until(tools, ready, f"{page.name}: {url + page.path} does not load")
    if page.floor is not None:
        floor = "\n".join(
            line for line in (HERE / "floor.js").read_text().splitlines() if not line.startswith("//")
        )
        tools.evaluate(f"({floor})({json.dumps(page.floor)})")
    _until(tools, f"!!document.querySelector({json.dumps(page.input)})", f"{page.name}: no {page.input}")
    tools.evaluate("__probe.begin()")
    # What a page does when it opens is no part of the upload.
    time.sleep(0.7)
    rows = ", ".join(json.dumps(selector) for selector in page.pictures or ())
    tools.evaluate(
        f"__probe.watch({count}, () => ({page.added}), (count) => ({page.done}){', ' + rows if rows else ''})"
    )
    found: str = tools.evaluate(f"document.querySelector({json.dumps(page.input)})", by_value=False)
    return found


def _until(tools: DevTools, expression: str, problem: str) -> None:
    for _ in range(600):
        with contextlib.suppress(RuntimeError):  # the document of before is gone
            if tools.evaluate(expression):
                return
        time.sleep(0.05)
    raise RuntimeError(problem)


def _wait(tools: DevTools, limit: float, button: tuple[int, int]) -> int:
    """Click all the time, so often as is returned, until it is done; wait for no answer of a page that is busy."""
    begun = time.monotonic()
    clicked = 0
    next_click = begun + CLICK_EVERY / 2
    look = None
    while (now := time.monotonic()) < begun + limit:
        if now >= next_click:
            next_click += CLICK_EVERY
            clicked += 1
            for kind in ("mousePressed", "mouseReleased"):
                x, y = button
                tools.post("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        if look is None:
            look = tools.post("Runtime.evaluate", expression="__probe.done !== null", returnByValue=True)
            looked = now
        elif look.done() and now > looked + 0.2:
            if look.result().get("result", {}).get("result", {}).get("value"):
                break
            look = None
        time.sleep(0.05)
    return clicked


def _read(
    chromium: Chromium,
    page: Page,
    before: dict[str, float],
    limit: float,
    clicked: int,
    profile: bool,
    picture: Path | None,
) -> Visit:
    tools = chromium.page
    if page.pictures:
        # Thumbnails may come after the last answer.
        with contextlib.suppress(RuntimeError):
            _until_seen(tools)
    after = tools.metrics()
    samples = tools.call("Profiler.stop")["profile"] if profile else None
    time.sleep(0.3)
    probe = json.loads(tools.evaluate("__probe.told()"))
    change = probe["change"]
    if change is None:
        return Visit(stored=0, errors=["no change event"], version=chromium.version)
    # A page that hangs answers after its limit, and may have ended meanwhile.
    end = change + limit * 1000
    if probe["done"] is not None and probe["done"] <= end:
        end = probe["done"]
    else:
        probe["done"] = None
    tasks = [
        (max(start, change), start + took)
        for start, took in probe["tasks"]
        if start + took > change and start < end
    ]
    clicks = [took for at, took in probe["clicks"] if change <= at <= end]
    unanswered = clicked - len(probe["clicks"]) if probe["done"] is None else 0
    spent = {name: after[name] - before[name] for name in after}
    long = [task for task in tasks if task[1] - task[0] > LONG_MS]
    result = Visit(
        stored=tools.evaluate(page.stored),
        wall=_since(change, probe["done"]),
        listed=_since(change, probe["listed"]),
        seen=_since(change, probe["seen"]),
        requests=probe["requests"],
        longest=max((stop - start for start, stop in tasks), default=0.0) / 1000,
        long_tasks=len(long),
        clicks=len(clicks) + unanswered,
        clicks_in_time=sum(took <= 200 for took in clicks),
        worst_click=max(clicks, default=0.0) / 1000,
        elements=tools.evaluate("document.getElementsByTagName('*').length"),
        memory=chromium.renderer_peak(),
        busy=spent["TaskDuration"],
        script=spent["ScriptDuration"],
        layout=spent["LayoutDuration"] + spent["RecalcStyleDuration"],
        errors=probe["errors"][:5],
        version=chromium.version,
    )
    if samples:
        result.hot, result.blamed = _blame(samples, long, after["NavigationStart"])
    if picture:
        picture.write_bytes(base64.b64decode(tools.call("Page.captureScreenshot")["data"]))
    return result


def _until_seen(tools: DevTools) -> None:
    for _ in range(100):
        if tools.evaluate("__probe.seen !== null"):
            return
        time.sleep(0.1)


def _since(change: float, moment: float | None) -> float | None:
    return None if moment is None else (moment - change) / 1000


def _blame(
    samples: dict[str, Any], tasks: list[tuple[float, float]], origin: float
) -> tuple[dict[str, float], dict[str, float]]:
    """Self seconds by function, and for the long tasks the seconds in which each function was on the stack."""
    name, parent = {}, {}
    for node in samples["nodes"]:
        frame = node["callFrame"]
        where = f" {os.path.basename(frame['url'])}:{frame['lineNumber'] + 1}" if frame["url"] else ""
        name[node["id"]] = f"{frame['functionName'] or 'anonymous'}{where}"
        for child in node.get("children", ()):
            parent[child] = node["id"]
    hot: Counter[str] = Counter()
    blamed: Counter[str] = Counter()
    now = samples["startTime"]
    for node, took in zip(samples["samples"], samples["timeDeltas"], strict=True):
        now += took
        hot[name[node]] += took
        at = (now / 1e6 - origin) * 1000
        if any(start <= at <= stop for start, stop in tasks):
            stack = {name[node]}
            above = node
            while (above := parent.get(above)) is not None:
                stack.add(name[above])
            blamed.update(dict.fromkeys(stack, took))
    return _most(hot), _most(blamed)


def _most(found: Counter[str]) -> dict[str, float]:
    return {what: round(took / 1e6, 3) for what, took in found.most_common(25) if took > 5000}
