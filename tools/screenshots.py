"""Picture the page in its states: two for the README into docs/, all into screenshots/.

They are taken from the real server with real files, so a picture cannot show what the page does not do.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser import samples  # noqa: E402
from conftest import CHROMIUM_FLAGS  # noqa: E402
from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402
from proxy import Proxy  # noqa: E402
from support import LiveServer, require  # noqa: E402

OUT = ROOT / "screenshots"
DOCS = ROOT / "docs"
IN_README = ("done-light-1600", "mixed-light-1600")
SIZES = {360: 780, 768: 1024, 1600: 1000}


def photographs(folder: Path, page: Page) -> list[Path]:
    """What somebody brings home from a weekend."""
    contents = {
        "beach at dawn.jpg": samples.painted(page, "image/jpeg", 20),
        "lighthouse.jpg": samples.painted(page, "image/jpeg", 205),
        "the old stone bridge with all of us on it, second try.jpg": samples.painted(page, "image/jpeg", 265),
        "vineyard.webp": samples.painted(page, "image/webp", 95),
        "写真.jpg": samples.painted(page, "image/jpeg", 330),
        "route.pdf": samples.pdf("Route" + " " * 184_000),
        "packing list.docx": samples.office("docx"),
        "expenses.csv": b"date,what,amount\n" + b"2026-11-14,ferry,38.50\n" * 900,
        "church bells.wav": samples.sound(30),
    }
    return samples.write(folder, contents)


def refused(folder: Path) -> list[Path]:
    """Three that are not taken, each for another reason."""
    return samples.write(
        folder,
        {
            "setup.exe": b"MZ" + bytes(48_000),
            "map.png": samples.pdf("A map") + b"\n" * 9_000,
            "film of the crossing.mp4": b"\0\0\0\x18ftypmp42" + bytes(12_100_000),
        },
    )


class Studio:
    """A browser before the server, and the files to drop."""

    def __init__(self, browser: Browser, server: LiveServer, folder: Path) -> None:
        self.browser, self.server, self.folder = browser, server, folder
        page = browser.new_page()
        self.good = photographs(folder / "weekend", page)
        page.close()
        self.bad = refused(folder)
        self.films = samples.write(
            folder,
            {f"film {n} of the crossing.mp4": b"\0\0\0\x18ftypmp42" + bytes(2_400_000) for n in (1, 2, 3)},
        )

    @contextmanager
    def page(self, scheme: str, width: int, url: str = "", **options: Any) -> Iterator[Page]:
        """The page, opened by somebody who comes for the first time."""
        touch = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2} if width < 500 else {}
        context = self.browser.new_context(
            color_scheme=scheme,  # type: ignore[arg-type]
            **{"viewport": {"width": width, "height": SIZES[width]}, "locale": "en-GB", **touch, **options},
        )
        page = context.new_page()
        page.goto(url or self.server.url)
        yield page
        context.close()

    def mixed(self, page: Page) -> None:
        self.add(page, [*self.good[:3], *self.bad, *self.good[3:]])

    def add(self, page: Page, paths: list[Path]) -> None:
        page.set_input_files("input.dz-hidden-input", paths)
        samples.finished(page, len(paths))
        # What is stored comes to the other list together, and its pictures after the rows.
        page.wait_for_timeout(1600)
        samples.until(
            page,
            """[...document.querySelectorAll("[data-uploads-files-list] img")]
              .filter((image) => image.getBoundingClientRect().top < innerHeight)
              .every(({ complete, naturalWidth }) => complete && naturalWidth > 0)""",
        )


def shoot(page: Page, name: str, full: bool = False) -> None:
    page.screenshot(path=OUT / f"{name}.png", full_page=full)
    print(name, flush=True)


def slow_line(page: Page, bytes_per_second: int) -> None:
    """Let the browser send slowly, so that there is something to see."""
    page.context.new_cdp_session(page).send(
        "Network.emulateNetworkConditions",
        {
            "offline": False,
            "latency": 40,
            "downloadThroughput": -1,
            "uploadThroughput": bytes_per_second,
        },
    )


def waiting(studio: Studio, scheme: str, width: int) -> None:
    """The queue held up by all that can hold it, each with 40 files that wait."""
    look = f"{scheme}-{width}"
    many = samples.write(
        studio.folder / "many", {f"holiday {n:03}.txt": b"text\n" * 300 * n for n in range(1, 41)}
    )
    refusals: dict[str, dict[str, Any]] = {
        "server-busy": {"status": 503, "body": "Later.", "headers": {"Retry-After": "20"}},
        "signed-out": {"status": 401, "body": "You are signed out."},
        "disk-full": {"status": 507, "body": "The server has no room left, and nothing was stored."},
    }
    for name, refusal in refusals.items():
        with Proxy(studio.server.url) as proxy, studio.page(scheme, width, proxy.url) as page:
            if name == "signed-out":
                proxy.answer(401, "You are signed out.", method="GET", path="/csrf-token", times=9)
            samples.until(page, "document.querySelector('.dropzone').batchUploader")
            page.evaluate("document.querySelector('.dropzone').batchUploader.batches.packer.maxParts = 10")
            page.evaluate("document.querySelector('.dropzone').batchUploader.parallel = 1")
            page.set_input_files("input.dz-hidden-input", studio.good[:3])
            samples.finished(page, 3)
            proxy.answer(**refusal, times=99)
            page.set_input_files("input.dz-hidden-input", many)
            page.locator("[data-uploads-banner]").wait_for()
            page.wait_for_timeout(300)
            shoot(page, f"{name}-{look}")
    with studio.page(scheme, width) as page:
        page.set_input_files("input.dz-hidden-input", studio.good[:3])
        samples.finished(page, 3)
        page.context.set_offline(True)
        page.set_input_files("input.dz-hidden-input", many)
        page.locator("[data-uploads-banner]").wait_for()
        page.wait_for_timeout(300)
        shoot(page, f"offline-{look}")
    with studio.page(scheme, width) as page:
        slow_line(page, bytes_per_second=400_000)
        page.set_input_files("input.dz-hidden-input", [*many[:20], *studio.films, *studio.bad[:1]])
        page.wait_for_timeout(2500)
        page.get_by_role("button", name="Pause").click()
        shoot(page, f"paused-{look}")
    with studio.page(scheme, width) as page:
        page.set_input_files("input.dz-hidden-input", [*studio.good[:3], *studio.bad])
        samples.finished(page, 6)
        page.get_by_role("button", name="Show 3 refused").click()
        page.wait_for_timeout(300)
        shoot(page, f"only-refused-{look}")
        page.get_by_role("button", name="Undo this drop").click()
        shoot(page, f"undo-{look}")


def everything(studio: Studio) -> None:
    for scheme, width in (("light", 1600), ("dark", 768), ("light", 360)):
        waiting(studio, scheme, width)
    for scheme in ("light", "dark"):
        for width in SIZES:
            look = f"{scheme}-{width}"
            with studio.page(scheme, width) as page:
                shoot(page, f"empty-{look}")
                studio.add(page, studio.good)
                page.mouse.move(2, 2)
                shoot(page, f"done-{look}")
            with studio.page(scheme, width) as page:
                studio.mixed(page)
                thumbnail = samples.row(page, "map.png").locator(".dz-image")
                thumbnail.scroll_into_view_if_needed()
                thumbnail.focus()
                shoot(page, f"mixed-{look}")
    for width in SIZES:
        with studio.page("light", width) as page:
            slow_line(page, bytes_per_second=900_000)
            page.set_input_files("input.dz-hidden-input", [*studio.good[:3], *studio.films, *studio.bad[:2]])
            page.wait_for_timeout(2500)
            shoot(page, f"busy-light-{width}")
        thousand = samples.write(
            studio.folder / "archive", {f"letter {n:04}.txt": b"Dear all,\n" * 300 for n in range(1, 1001)}
        )
        with studio.page("light", width) as page:
            slow_line(page, bytes_per_second=900_000)
            page.set_input_files("input.dz-hidden-input", [*thousand, *studio.bad])
            samples.until(page, "document.querySelector('.dropzone').batchUploader.counts.stored >= 300")
            shoot(page, f"busy-with-1000-light-{width}")
    with studio.page("light", 1600) as page:
        samples.Dragging(page, studio.good[:1]).over(700, 260)
        page.wait_for_timeout(300)
        shoot(page, "dragging-light-1600")
    with studio.page("dark", 1600) as page:
        samples.Dragging(page, studio.good[:1]).over(700, 260)
        page.wait_for_timeout(300)
        shoot(page, "dragging-dark-1600")
    for width in (360, 1600):
        with studio.page("light", width) as page:
            page.route("**/upload/*", lambda route: route.abort())
            page.set_input_files("input.dz-hidden-input", studio.good[:4])
            samples.finished(page, 4)
            page.wait_for_timeout(400)
            shoot(page, f"not-sent-light-{width}")
        with studio.page("light", width) as page:
            studio.add(page, studio.good[:4])
            page.get_by_role("button", name="Delete").nth(1).click()
            page.locator("summary").click()
            shoot(page, f"deleting-light-{width}", full=True)
        with studio.page("light", width, java_script_enabled=False) as page:
            shoot(page, f"no-script-light-{width}")
            page.get_by_label("Files to upload").set_input_files([*studio.good[:3], *studio.bad[:2]])
            page.get_by_role("button", name="Upload", exact=True).click()
            page.wait_for_url("**/batches/*")
            shoot(page, f"no-script-result-light-{width}")
    for_everyone(studio)


def for_everyone(studio: Studio) -> None:
    """The same drop in another language, in few colours, from right to left, and at 200 %."""
    small = {"viewport": {"width": 640, "height": 500}, "device_scale_factor": 2}
    for name, width, options in (
        ("forced-colours-768", 768, {"forced_colors": "active"}),
        ("chinese-1600", 1600, {"locale": "zh-CN"}),
        ("chinese-360", 360, {"locale": "zh-CN"}),
        ("right-to-left-1600", 1600, {}),
        ("right-to-left-360", 360, {}),
        ("zoomed-640", 768, small),
    ):
        with studio.page("light", width, **options) as page:
            if name.startswith("right-to-left"):
                page.evaluate("document.documentElement.dir = 'rtl'")
            studio.mixed(page)
            samples.row(page, "map.png").locator(".dz-image").focus()
            shoot(page, name)


def main() -> None:
    OUT.mkdir(exist_ok=True)
    (DOCS / "screenshots").mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        LiveServer(Path(folder), env={"FLASK_UPLOADS_MAX_FILE_SIZE": "10 MB"}) as server,
        sync_playwright() as playwright,
    ):
        chromium = require("chromium", "chromium-browser", "google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        everything(Studio(browser, server, Path(folder)))
        browser.close()
    for name in IN_README:
        shutil.copyfile(OUT / f"{name}.png", DOCS / "screenshots" / f"{name}.png")


if __name__ == "__main__":
    main()
