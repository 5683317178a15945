"""Small pictures of stored pictures: made when somebody first asks, kept beside the files, gone with them.

Pictures are decoded in a process of their own (:mod:`thumbnailer`), with bounds on its memory and time that hold
whatever the picture is; in the server there is never more of it than the finished thumbnail.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import IO

from . import thumbnailer
from .errors import Rejected
from .records import Record
from .storage import Thumbnails
from .uploads import Site

#: Pixels of the longer edge. Smaller pictures keep their size.
EDGE = 256
#: Made at once in one process of the server, each in a child of its own.
AT_ONCE = 2
#: Requests that wait for one of these; with them six of a worker's sixteen threads, so that uploads have the others.
WAITING = 4
#: Seconds after which a request is told to come again, be it waiting or being worked on.
PATIENCE = 20.0
#: What is said to who is too many, in seconds.
RETRY_AFTER = 2
#: Bytes of a child's memory (a picture of 100 megapixels in colour, or 40 with transparency) and of its input.
MAX_MEMORY = 512 << 20
MAX_BYTES = 200_000_000
#: Pixels of a picture, from its header.
MAX_PIXELS = 100_000_000
#: Seconds of processor time of a child.
MAX_SECONDS = 10
#: Changes when thumbnails of old shall not be shown again.
RECIPE = "1"

#: Media type → the one format that Pillow may take the file for.
_FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
    "image/heic": "HEIF",
}

_turns = threading.BoundedSemaphore(AT_ONCE)
_places = threading.BoundedSemaphore(AT_ONCE + WAITING)
_log = logging.getLogger(__name__)


def possible(record: Record) -> bool:
    """Whether there may be a thumbnail of this file, by its kind, its size and what is installed."""
    form = _FORMATS.get(record.type)
    needed = ("PIL", "pillow_heif") if form == "HEIF" else ("PIL",)
    return bool(form and record.size <= MAX_BYTES and sys.executable and all(map(_folder_of, needed)))


def thumbnail_of(site: Site, record: Record) -> bytes:
    """The thumbnail of a stored picture, WebP: the kept one, or a new one.

    Rejected where none can be made or too many are being made, FileNotFoundError where the file is gone,
    OSError where it cannot be read.
    """
    beside = site.thumbnails_of(record)
    if beside is None or not possible(record):
        raise Rejected.because("no_thumbnail")
    kept = _kept(beside, record)
    if kept is None:
        with _turn():
            # While this one waited another may have made it.
            kept = _kept(beside, record) or _make(site, record, beside)
    if kept == _none():
        raise Rejected.because("no_thumbnail")
    return kept


def sweep(site: Site, *, dry_run: bool = False) -> int:
    """Remove the thumbnails that no row has any more, and say how many.

    There is one where the process died that had just made it for a file which was being deleted.
    """
    removed = 0
    for beside in filter(None, (storage.thumbnails for storage in site.storages.values())):
        ids = beside.ids()
        while some := set(islice(ids, 1000)):
            for id in some - site.records.existing(some):
                removed += 1
                if not dry_run:
                    beside.delete(id)
    return removed


def _kept(beside: Thumbnails, record: Record) -> bytes | None:
    content = beside.get(record.id) or b""
    # RIFF tells its length: what a power cut has shortened is made again.
    whole = content[:4] == b"RIFF" and int.from_bytes(content[4:8], "little") + 8 == len(content)
    return content if whole or content == _none() else None


@cache
def _none() -> bytes:
    """What is kept where no picture can be made, so that it is not tried again by the same means."""
    pillow_heif = version("pillow-heif") if _folder_of("pillow_heif") else "-"
    return f"none {RECIPE} {version('Pillow')} {pillow_heif}".encode()


@contextlib.contextmanager
def _turn() -> Iterator[None]:
    """Rejected where too many wait, or one has waited for long."""
    if not _places.acquire(blocking=False):
        raise Rejected.because("thumbnail_later")
    try:
        if not _turns.acquire(timeout=PATIENCE):
            raise Rejected.because("thumbnail_later")
        try:
            yield
        finally:
            _turns.release()
    finally:
        _places.release()


def _make(site: Site, record: Record, beside: Thumbnails) -> bytes:
    with site.keeper(record).open(record.key) as file, _with_descriptor(file) as source:
        made = _run(source, _FORMATS[record.type])
    # A full disk is no reason not to show it.
    with contextlib.suppress(OSError):
        beside.put(record.id, made)
        if site.records.file(record.id) is None:
            # Deleted meanwhile, and what was removed then was not there yet.
            beside.delete(record.id)
    return made


def _run(source: IO[bytes], form: str) -> bytes:
    """The thumbnail, or what is kept where there can be none. Rejected where it is not known which."""
    # Nothing of the server's environment: keys and passwords are often there.
    env = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    try:
        done = subprocess.run(command(form), stdin=source, capture_output=True, timeout=PATIENCE, env=env)
    except subprocess.TimeoutExpired:
        raise Rejected.because("thumbnail_later") from None
    if done.returncode == 0:
        return done.stdout
    if done.returncode == thumbnailer.EX_DATAERR or -done.returncode in thumbnailer.DATA_SIGNALS:
        return _none()
    _log.error("a thumbnail failed (%s): %s", done.returncode, done.stderr.decode(errors="replace"))
    raise Rejected.because("thumbnail_later")


def command(form: str) -> list[str]:
    """The child that makes one thumbnail, with its bounds."""
    bounds = (EDGE, MAX_PIXELS, MAX_MEMORY, MAX_SECONDS)
    folders = dict.fromkeys(filter(None, (_folder_of("PIL"), _folder_of("pillow_heif"))))
    return [sys.executable, "-I", "-S", thumbnailer.__file__, form, *map(str, bounds), *folders]


@contextlib.contextmanager
def _with_descriptor(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """``file`` itself where another process can read it, else a copy."""
    try:
        file.fileno()
    except OSError:
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(file, copy)
            copy.seek(0)
            yield copy
    else:
        yield file


@cache
def _folder_of(package: str) -> str | None:
    """The folder that a package is installed in; None where it is not."""
    spec = find_spec(package)
    return str(Path(spec.origin).parent.parent) if spec and spec.origin else None
