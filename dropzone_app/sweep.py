"""Remove what was abandoned: unfinished uploads, left-overs of staging, reservations of dead processes, thumbnails.

What is alive is never touched: an upload whose last chunk is young, or of which a chunk arrives now, or which is being
committed. What only looks wrong (a file that no record names, a record whose file is gone) is reported, not removed.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from . import chunked, thumbnails
from .records import now
from .storage import ChunkStorage, Sweepable
from .uploads import Site

#: Names that are looked up together.
_AT_ONCE = 1000

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    """Something that a sweep came across."""

    what: str
    name: str
    #: Bytes on the disk.
    size: int
    #: Whether it is the sweep's to remove; else it is left alone.
    abandoned: bool = True


def sweep(site: Site, *, age: float, dry_run: bool = False) -> Iterator[Finding]:
    """Remove what was abandoned and is older than ``age`` seconds, and tell what; ``dry_run``: only tell.

    OSError or SQLAlchemyError where storage or database fail; what was told by then is done.
    """
    if dry_run:
        reserved = site.records.abandoned()
    else:
        reserved = site.records.claim_abandoned()
        site.undo(reserved)
        chunked.recover(site)
    yield from (Finding("reservation", record.key, record.size) for record in reserved)
    yield from _uploads(site, age, dry_run)
    for storage in site.storages.values():
        if isinstance(storage, ChunkStorage):
            yield from _chunks(site, storage, age, dry_run)
        if isinstance(storage, Sweepable):
            for name, size in storage.left_overs(age, remove=not dry_run):
                yield Finding("staged file", name, size)
    count = thumbnails.sweep(site, dry_run=dry_run)
    yield from (Finding("thumbnail", "without a file", 0) for _ in range(count))


def _uploads(site: Site, age: float, dry_run: bool) -> Iterator[Finding]:
    """Uploads to which nothing was added for ``age`` seconds."""
    for upload in site.records.unfinished.idle(now() - int(age * 1e6)):
        storage = site.storages.get(upload.storage)
        size: int | None = 0
        if upload.handle and isinstance(storage, ChunkStorage):
            size = storage.chunks.abandoned(upload.handle, age)
        if size is None or not (dry_run or site.records.unfinished.forget(upload)):
            continue
        if not dry_run:
            chunked.drop(site, upload)
        yield Finding(f"{upload.state} upload", upload.filename, size)


def _chunks(site: Site, storage: ChunkStorage, age: float, dry_run: bool) -> Iterator[Finding]:
    """Bytes of uploads that no row knows: the process died between the two, or the row was lost."""
    handles = storage.chunks.handles()
    while some := set(islice(handles, _AT_ONCE)):
        for handle in some - site.records.unfinished.with_handles(some):
            size = storage.chunks.abandoned(handle, age)
            if size is not None:
                if not dry_run:
                    storage.chunks.drop(handle)
                yield Finding("staged file", handle, size)


def disagreements(site: Site) -> Iterator[Finding]:
    """Files that no record ever named, and records whose file is gone. Nobody removes them: they are not understood."""
    for name, storage in site.storages.items():
        if not isinstance(storage, Sweepable):
            continue
        keys = storage.keys()
        # The files first: each has its row before it is there.
        while some := dict(islice(keys, _AT_ONCE)):
            for key in some.keys() - site.records.known_keys(name, some):
                yield Finding("file without a record", key, some[key], abandoned=False)
    for record in site.records.everything():
        kept = site.storages.get(record.storage)
        gone = kept is None or (isinstance(kept, Sweepable) and not kept.has(record.key))
        # It may have been deleted since it was listed.
        if gone and site.records.file(record.id):
            yield Finding("record without its file", record.key, record.size, abandoned=False)


class Sweeper:
    """Sweeps now and then, as long as somebody asks: of all processes on one database one does, in a thread."""

    def __init__(self, site: Site, age: float, told: Callable[[int, int], None] | None = None) -> None:
        """``told`` is called after each sweep, with how many things it found and their bytes."""
        self._told = told
        self._site = site
        self._age = age
        self._every = min(3600.0, age / 2)
        self._due = time.monotonic() + self._later()

    def __call__(self) -> None:
        """Begin a sweep if one is due; whoever calls does not wait for it."""
        if time.monotonic() > self._due:
            self._due = time.monotonic() + self._later()
            threading.Thread(target=self._sweep, daemon=True).start()

    def _later(self) -> float:
        # Processes that started together do not ask together.
        return self._every * random.uniform(1, 1.2)

    def _sweep(self) -> None:
        try:
            if not self._site.records.take_turn("sweep", self._every):
                return
            found = list(sweep(self._site, age=self._age))
        except Exception:
            _log.exception("the sweep failed; the next one tries again")
            return
        size = sum(finding.size for finding in found)
        if self._told:
            self._told(len(found), size)
        if found:
            _log.info("swept %d things, %d bytes", len(found), size)
