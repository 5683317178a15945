"""Which files of the corpus are judged right, and in how long: our checks, filetype, puremagic and libmagic.

python benchmarks/kinds.py [--save benchmarks/KINDS.md]

Each file of `tests/corpus` is judged by its name and content. The others tell a media type; a file is taken for what it
is named where that type belongs to its extension. Where they know nothing a text is given the benefit of the doubt
(it is what none of the first two claims to know), anything else is refused; files taken by their names alone are left
out, because nobody looks into them, as are those whose verdict is about damage or size, which is no question of type.

The verdicts of the corpus are ours: that we meet them all is held by a test, and says nothing about files that are not
in it. What the others miss there is the point.

The second table is what our checks cost beside the rest of an upload: one request with one file of 10 KiB, in process.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import filetype
import magic
import puremagic

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from core import file_part, form_body, make_app, post  # noqa: E402
from corpus.cases import CASES, Case  # noqa: E402
from corpus.formats import exif, picture  # noqa: E402

from dropzone_app import ALL, UploadSet, checks  # noqa: E402
from dropzone_app.checks import Rules, Screening  # noqa: E402
from dropzone_app.config import MAX_PIXELS, Size  # noqa: E402
from dropzone_app.kinds import kind_of  # noqa: E402
from dropzone_app.naming import extension_of  # noqa: E402

RULES = Rules(None, Size(1 << 30), None, 100, None, MAX_PIXELS)
#: Names of one type: what a tool says, and what an extension's own type is.
SAME = [
    {"image/heic", "image/heif"},
    {"image/bmp", "image/x-ms-bmp", "image/x-bmp"},
    {"audio/wav", "audio/x-wav", "audio/vnd.wave", "audio/wave"},
    {"audio/flac", "audio/x-flac"},
    {"audio/mp4", "audio/x-m4a", "video/mp4", "video/x-m4v", "video/3gpp", "audio/m4a"},
    {"audio/aac", "audio/x-hx-aac-adts", "audio/x-hx-aac-adif", "audio/x-aac"},
    {"audio/ogg", "video/ogg", "application/ogg", "audio/opus", "audio/x-flac+ogg"},
    {"video/quicktime", "video/mp4"},
    {"video/x-msvideo", "video/avi", "video/vnd.avi"},
    {"video/mpeg", "video/mpv", "video/mp2p", "video/mp1s", "video/mpeg4-generic"},
    {"application/gzip", "application/x-gzip"},
    {"application/x-bzip2", "application/x-bzip"},
    {"application/rtf", "text/rtf"},
    {"application/xml", "text/xml"},
    {"application/x-plist", "application/x-bplist", "text/xml", "text/plain"},
    {"application/x-gnumeric", "application/gzip", "application/x-gzip", "text/xml"},
    {"application/x-abiword", "application/gzip", "application/x-gzip", "text/xml"},
    {
        "application/msword",
        "application/x-ole-storage",
        "application/CDFV2",
        "application/encrypted",
        "text/rtf",
    },
    {"application/vnd.ms-excel", "application/x-ole-storage", "application/CDFV2", "application/encrypted"},
    {"application/vnd.ms-powerpoint", "application/x-ole-storage", "application/CDFV2"},
    {"image/svg+xml", "text/xml", "application/xml"},
]
#: What is said of nearly everything, or of nothing.
VAGUE = {None, "", "application/octet-stream", "application/x-empty", "inode/x-empty"}


def agrees(extension: str, told: str | None) -> bool:
    """Whether what was told of a file lets it go by this extension."""
    kind = kind_of(extension)
    if told in VAGUE:
        return kind.text
    if told == kind.media_type or any({told, kind.media_type} <= names for names in SAME):
        return True
    # CSV, JSON, TOML and the like: told apart by few, and never wrong as text.
    return kind.text and (told == "text/plain" or told in {"application/json", "text/csv", "application/csv"})


def ours(case: Case) -> bool:
    screening = Screening(RULES, case.filename)
    screening.feed(case.data)
    return screening.finish(lambda: io.BytesIO(case.data)) is None


def by_filetype(case: Case) -> bool:
    return agrees(extension_of(case.filename), filetype.guess_mime(case.data))


def by_puremagic(case: Case) -> bool:
    try:
        told = puremagic.from_string(case.data, mime=True)
    except (puremagic.PureError, ValueError):
        told = None
    return agrees(extension_of(case.filename), told)


def by_libmagic(case: Case) -> bool:
    return agrees(extension_of(case.filename), magic.from_buffer(case.data, mime=True))


JUDGES: dict[str, Callable[[Case], bool]] = {
    "dropzone_app": ours,
    f"filetype {version('filetype')}": by_filetype,
    f"puremagic {version('puremagic')}": by_puremagic,
    f"libmagic {magic.version() / 100:.2f}": by_libmagic,
}


def compared() -> str:
    """The table of judges."""
    about_type = {None, "other_kind", "not_the_kind", "not_text"}
    cases = [c for c in CASES if c.verdict in about_type and not kind_of(extension_of(c.filename)).by_name]
    good = sum(case.verdict is None for case in cases)
    lines = [
        f"{len(cases)} files, {good} good and {len(cases) - good} under a wrong name:",
        "",
        "| | right | wrong: good ones refused | wrong: others accepted | median µs | slowest, ms |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, judge in JUDGES.items():
        refused = accepted = 0
        times = []
        for case in cases:
            rounds = []
            for _ in range(5):
                begun = time.perf_counter()
                verdict = judge(case)
                rounds.append(time.perf_counter() - begun)
            times.append(min(rounds))
            refused += case.verdict is None and not verdict
            accepted += case.verdict is not None and verdict
        lines.append(
            f"| {name} | {len(cases) - refused - accepted} | {refused} | {accepted} "
            f"| {statistics.median(times) * 1e6:.0f} | {max(times) * 1e3:.1f} |"
        )
    return "\n".join(lines)


def plain_files() -> dict[str, bytes]:
    photo = picture("JPEG", size=(240, 160), quality=95, exif=exif(1, 3000))
    return {
        "a.bin": bytes(range(256)) * 40,
        "a.txt": b"plain words, and more of them\n" * 341,
        "a.jpg": photo.ljust(10_240, b"\0")[:10_240],
        "a.docx": next(case.data for case in CASES if case.filename == "file.docx"),
        "a.json": b"[" + b'{"name": "value", "size": 12345},\n' * 300 + b"{}]",
    }


class _Names(Screening):
    """What is left of the rules without a look at any content: names and sizes."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._kind = kind_of("bin")
        self._text = None
        self._open = False


def cost() -> str:
    """The table of what the checks cost; requests with and without them take turns."""
    lines = ["| 10 KiB of | check, µs | request with it, µs | without, µs | share |", "|---|--:|--:|--:|--:|"]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        app = make_app(Path(folder), UploadSet("files", ALL), UPLOADS_DURABLE=False)
        for name, data in plain_files().items():
            case = Case(name, "", data)
            alone = min(_timed(lambda case=case: ours(case)) for _ in range(2000))
            body = form_body(file_part("file[0]", name, data))
            times: dict[type, list[float]] = {Screening: [], _Names: []}
            for turn in random.sample(range(1200), 1200):
                screening = (Screening, _Names)[turn % 2]
                _use(screening)
                times[screening].append(_timed(lambda body=body: post(app, body)))
            _use(Screening)
            # What other work on the machine adds is in the upper deciles.
            whole, bare = (statistics.quantiles(times[kind], n=10)[0] for kind in (Screening, _Names))
            lines.append(
                f"| {name} | {alone * 1e6:.1f} | {whole * 1e6:.0f} | {bare * 1e6:.0f} | {(whole - bare) / bare:.1%} |"
            )
    return "\n".join(lines)


def _use(screening: type) -> None:
    from dropzone_app import intake

    intake.Screening = screening  # type: ignore[attr-defined]


def _timed(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    # libmagic is measured by itself, and not as our help.
    checks.libmagic.type_of = lambda head: None
    tables = f"{compared()}\n\n{cost()}"
    busy = ", ".join(f"{load:.0f}" for load in os.getloadavg())
    report = (
        f"# Results of `kinds.py`\n\n{datetime.now(UTC):%d %B %Y, %H:%M} UTC; Python {platform.python_version()}, "
        f"Linux {platform.release()}; {os.cpu_count()} processors, for which {busy} processes waited at the end "
        f"(means of 1, 5 and 15 minutes).\n\n{tables}\n"
    )
    print(report)
    if options.save:
        options.save.write_text(report)


if __name__ == "__main__":
    main()
