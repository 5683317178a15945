"""Measure upload pages in a real Chromium: ours, complete and before our real server, beside those of others.

python benchmarks/browser/run.py [--rounds 3] [--loads small,many] [--only ours,floor] [--save benchmarks/BROWSER.md]
python benchmarks/browser/run.py --loads many --only ours --profile

`make bench-browser` sets up what it needs. Files are put into each page's own file input, pages take turns
(A B C, A B C, …), each visit has a new browser with a new profile, and ours a new server in a new folder too. The
others post to a server that counts and throws away (gunicorn, one process, 8 threads): theirs is the lighter work.
What every server has got is counted, for ours on the disk and in its records. Browser, server and this program
share one machine: read the ratios. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[1:1] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

from loads import LOADS, Load  # noqa: E402
from report import Measured, report  # noqa: E402
from support import LiveServer  # noqa: E402
from upload import machine, work_folder  # noqa: E402
from visit import Page, Visit, visit  # noqa: E402

#: Ours is asked for what it tells scripts; a list of which no row stands in the document shows nothing.
COUNTS = "document.querySelector('.dropzone').batchUploader.counts"
DROPZONE_PICTURES = (".dz-preview", ".dz-image img[src]")
UPPY_INPUT = "input.uppy-Dashboard-input:not([webkitdirectory])"
UPPY_PICTURES = (".uppy-Dashboard-Item", ".uppy-Dashboard-Item-previewImg")
PAGES = [
    Page(
        "ours",
        "`python -m dropzone_app` without a setting: the whole page, and every file stored, digested and synced",
        "/",
        "input.dz-hidden-input",
        added=f"document.querySelector('[data-uploads-list] .uploads-row') ? {COUNTS}.files : 0",
        stored=f"{COUNTS}.stored",
        done=f"{COUNTS}.files >= count && {COUNTS}.open === 0",
        pictures=(".uploads-row", "img[data-dz-thumbnail]"),
        ours=True,
    ),
    Page(
        "flask-dropzone",
        "Flask-Dropzone with its own Dropzone 5.9.3, uploadMultiple, 3 files a request; its limits lifted",
        "/flask-dropzone",
        "input.dz-hidden-input",
        pictures=DROPZONE_PICTURES,
    ),
    Page(
        "dropzone-100",
        "Dropzone 6.3.5, uploadMultiple, 100 files a request",
        "/dropzone",
        "input.dz-hidden-input",
        pictures=DROPZONE_PICTURES,
    ),
    Page("uppy", "Uppy's Dashboard, 6 requests of one file", "/uppy", UPPY_INPUT, pictures=UPPY_PICTURES),
    Page(
        "uppy-bundle",
        "the same with `bundle`: one request for everything",
        "/uppy?bundle",
        UPPY_INPUT,
        pictures=UPPY_PICTURES,
    ),
    Page(
        "floor",
        "6 requests of up to 50 files or 16 MiB from an empty page: no list, no progress, no verdicts",
        "/empty",
        "#floor",
        floor="",
    ),
    Page(
        "floor-ours",
        "the floor's script before our server: what of our time is the server's",
        "/csrf-token",
        "#floor",
        ours=True,
        floor="/csrf-token",
    ),
]


# ---- servers, and what they have got


def stored_by_ours(folder: Path) -> tuple[int, int]:
    """Files and bytes, on the disk and in the records. RuntimeError where these two differ."""
    uploads = folder / "uploads"
    sizes = [
        path.stat().st_size
        for path in uploads.rglob("*")
        if path.is_file() and not path.relative_to(uploads).parts[0].startswith(".")
    ]
    with contextlib.closing(sqlite3.connect(folder / "instance" / "app.sqlite")) as database:
        rows = database.execute(
            "SELECT count(*), coalesce(sum(size), 0) FROM files WHERE state = 'stored'"
        ).fetchone()
    if rows != (len(sizes), sum(sizes)):
        raise RuntimeError(f"{rows} files and bytes in the records, {len(sizes)}, {sum(sizes)} on the disk")
    return len(sizes), sum(sizes)


def counted_by_peers(url: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{url}/counted", timeout=60) as answer:
        found: dict[str, int] = json.load(answer)
        return found


@contextlib.contextmanager
def slowed(port: int) -> Iterator[str]:
    """The URL of a slow line to this port."""
    command = [sys.executable, str(HERE / "slow_line.py"), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as line:
        try:
            assert line.stdout
            yield f"http://127.0.0.1:{line.stdout.readline().strip()}"
        finally:
            line.terminate()


class Measurer:
    def __init__(self, work: Path, peers: LiveServer, options: argparse.Namespace) -> None:
        self.work = work
        self.peers = peers
        self.options = options

    def measure(self, page: Page, load: Load, files: list[Path], turn: int) -> Visit:
        """One visit. A page that says that all is stored counts as not done where its server has got something else."""
        if not page.ours:
            counted_by_peers(self.peers.url)
            found = self._visit(page, load, files, self.peers)
            came = counted_by_peers(self.peers.url)
            found.requests = came["requests"]
            self._compare(page, files, found, (came["files"], came["bytes"]))
            return found
        folder = self.work / f"{load.name}-{turn}-{page.name}"
        folder.mkdir()
        command = [sys.executable, "-m", "dropzone_app", "--port", "{port}"]
        with LiveServer(folder, command=command) as server:
            found = self._visit(page, load, files, server)
        self._compare(page, files, found, stored_by_ours(folder))
        return found

    def _visit(self, page: Page, load: Load, files: list[Path], server: LiveServer) -> Visit:
        os.sync()
        options = self.options
        page = page if load.pictures else replace(page, pictures=None)
        picture = options.pictures / f"{load.name}-{page.name}.png" if options.pictures else None
        with slowed(server.port) if load.slow else contextlib.nullcontext(server.url) as url:
            return visit(page, url, files, options.limit, profile=options.profile, picture=picture)

    def _compare(self, page: Page, files: list[Path], found: Visit, got: tuple[int, int]) -> None:
        sent = (len(files), sum(file.stat().st_size for file in files))
        if found.stored == len(files) and got != sent:
            found.wall = None
            found.errors.append(f"says that all is stored; {sent} files and bytes were sent, {got} came")


# ---- the run


def chosen(names: str, known: list[str], parser: argparse.ArgumentParser, option: str) -> list[str]:
    wanted = names.split(",") if names else known
    if not set(wanted) <= set(known):
        parser.error(f"{option} takes {', '.join(known)}")
    return [name for name in known if name in wanted]


def versions(browser: str) -> str:
    npm = json.loads((HERE / "package.json").read_text())["devDependencies"]
    packages = ", ".join(f"{name} {number}" for name, number in npm.items() if name != "esbuild")
    return f"{browser}, Flask-Dropzone {version('Flask-Dropzone')}, {packages}."


def measure_all(options: argparse.Namespace, work: Path) -> list[Measured]:
    """Every page with every load in turn, each told as soon as it is done."""
    found = []
    (work / "peers").mkdir()
    gunicorn = [
        sys.executable,
        "-m",
        "gunicorn",
        "-k",
        "gthread",
        "-w",
        "1",
        "--threads",
        "8",
        "--keep-alive",
        "75",
    ]
    command = [*gunicorn, "--timeout", "600", "--log-level", "error", "-b", "127.0.0.1:{port}", "peers:app"]
    with LiveServer(
        work / "peers", command=command, env={"PYTHONPATH": str(HERE)}, ready="/counted"
    ) as peers:
        measurer = Measurer(work, peers, options)
        for load in (load for load in LOADS if load.name in options.loads):
            files = load.files(options.files or work)
            for turn in range(options.rounds):
                for page in (page for page in PAGES if page.name in options.only):
                    measured = Measured(
                        load.name, page.name, measurer.measure(page, load, files, turn), os.getloadavg()[0]
                    )
                    tell(measured)
                    found.append(measured)
                    if options.visits:
                        with options.visits.open("a") as visits:
                            visits.write(json.dumps(asdict(measured)) + "\n")
    return found


def tell(measured: Measured) -> None:
    visit = measured.visit
    wall = f"{visit.wall:.2f} s" if visit.wall is not None else f"not done, {visit.stored} stored"
    print(
        f"{measured.load} {measured.page}: {wall}, longest task {visit.longest:.2f} s",
        *visit.errors,
        flush=True,
    )
    if visit.hot:
        print(f"  script {visit.script:.2f} s, style and layout {visit.layout:.2f} s; self time by function:")
        for what, took in visit.hot.items():
            print(f"    {took:7.3f} {what}")
        print(f"  in {visit.long_tasks} tasks of more than 100 ms, with all that each function called:")
        for what, took in visit.blamed.items():
            print(f"    {took:7.3f} {what}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    loads, pages = [load.name for load in LOADS], [page.name for page in PAGES]
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loads", default="", metavar="NAMES", help=", ".join(loads))
    parser.add_argument("--only", default="", metavar="NAMES", help=", ".join(pages))
    parser.add_argument("--limit", type=float, default=180, help="seconds after which a visit is given up")
    parser.add_argument(
        "--files", type=Path, metavar="DIR", help="where the files are kept for the next time"
    )
    parser.add_argument("--dir", type=Path, help="where our server writes (default: the temporary folder)")
    parser.add_argument("--profile", action="store_true", help="tell what the time went to; slows all down")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="a screenshot of the end of each visit")
    parser.add_argument(
        "--visits",
        type=Path,
        metavar="FILE",
        help="JSON lines: report those that are there, too, and add these",
    )
    parser.add_argument("--note", default="", help="a sentence about the circumstances, for the report")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the report there too")
    options = parser.parse_args()
    options.only = chosen(options.only, pages, parser, "--only")
    options.loads = chosen(options.loads, loads, parser, "--loads")
    found = []
    if options.visits and options.visits.exists():
        found = [Measured.read(line) for line in options.visits.read_text().splitlines()]
    with work_folder(options.dir, keep=False) as work:
        about = machine(work)
        if options.rounds:
            found += measure_all(options, work)
    if not found:
        parser.error("no visit was made, so there is nothing to report")
    text = report(found, LOADS, PAGES)
    about = " ".join(part for part in (options.note, about, versions(found[-1].visit.version)) if part)
    print(f"\n{text}\n\n{about}")
    if options.save:
        options.save.write_text(HEADER + text + f"\n\n{about}\n")
    return 0


HEADER = """\
# Results of `browser/run.py`

Upload pages in a real Chromium, ours before our server and the others before one that counts and throws away. Medians
of visits that took turns. Browser, server and program share one machine: the ratios count, not the figures.

"""

if __name__ == "__main__":
    sys.exit(main())
