"""Small pictures of stored pictures: made when somebody first asks, kept beside the files, gone with them.

Pictures are decoded in a process of their own (:mod:`decoder`); in the server there is never more of it than the
finished thumbnail.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from itertools import islice

from . import decoder
from .errors import Rejected
from .kinds import kind_of
from .naming import extension_of
from .records import Record
from .storage import Thumbnails
from .uploads import Site

#: Pixels of the longer edge. Smaller pictures keep their size.
EDGE = 256
#: Made at once in one process of the server, each in a child of its own.
AT_ONCE = 2
#: Requests that wait for one of these; with them six of a worker's sixteen threads, so that uploads have the others.
WAITING = 4
#: Seconds that a request waits for its turn.
PATIENCE = 20.0
#: What is said to who is too many, in seconds.
RETRY_AFTER = 2
#: Bytes of a picture.
MAX_BYTES = 200_000_000
#: Pixels of a picture, from its header.
MAX_PIXELS = 100_000_000
#: Changes when thumbnails of old shall not be shown again.
RECIPE = "1"

_turns = threading.BoundedSemaphore(AT_ONCE)
_places = threading.BoundedSemaphore(AT_ONCE + WAITING)


def possible(record: Record) -> bool:
    """Whether there may be a thumbnail of this file, by its kind, its size and what is installed."""
    return record.size <= MAX_BYTES and decoder.available(_form_of(record))


def _form_of(record: Record) -> str:
    return kind_of(extension_of(record.filename)).decoder


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
    pillow_heif = version("pillow-heif") if decoder.available("HEIF") else "-"
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
    try:
        with site.keeper(record).open(record.key) as file:
            made = decoder.decode(file, _form_of(record), edge=EDGE, pixels=MAX_PIXELS) or _none()
    except decoder.Undecided:
        raise Rejected.because("thumbnail_later") from None
    # A full disk is no reason not to show it.
    with contextlib.suppress(OSError):
        beside.put(record.id, made)
        if site.records.file(record.id) is None:
            # Deleted meanwhile, and what was removed then was not there yet.
            beside.delete(record.id)
    return made
