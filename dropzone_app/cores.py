"""Which processor cores a worker runs on. Linux; elsewhere all of them.

granian receives in one thread and calls the app in another: for each piece of a body one wakes the other. On another
core that is an interrupt, for which a virtual machine has to ask its host, and the piece is fetched from that core's
cache. So a worker keeps to one core where there are as many of both; what computes beside it may use all.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: The cores that this process may use, once it keeps to one of them.
_all: set[int] = set()
_held: list[socket.socket] = []
#: Seconds until a process that found no core free looks again.
_LOOK_AGAIN = 1.0


def count() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_to_one(server: int) -> None:
    """Have this process, and the threads that it starts from now on, run on a core to which no other one of the same
    ``server`` keeps, any number. Where none is free, because the one whose place it takes has still to end, it uses
    all until one is.
    """
    if hasattr(os, "sched_setaffinity") and _keep(server) is None:
        threading.Thread(target=_keep_later, args=(server,), daemon=True).start()


def _keep(server: int) -> int | None:
    """The core that the calling thread now keeps to; None where none is free."""
    cores = os.sched_getaffinity(0)
    for core in sorted(cores):
        place = socket.socket(socket.AF_UNIX)
        try:
            # A name without a file (unix(7)): free again when this process ends, however that happens.
            place.bind(f"\0dropzone_app {_numbering()} {server} core {core}")
            os.sched_setaffinity(0, {core})
        except OSError:
            place.close()
        else:
            _held.append(place)
            _all.update(cores)
            return core
    return None


def _keep_later(server: int) -> None:
    while (core := _keep(server)) is None:
        time.sleep(_LOOK_AGAIN)
    # Twice: one that was not there yet may have been started by one that used all.
    for _ in range(2):
        for thread in os.listdir("/proc/self/task"):
            # It may have ended.
            with suppress(OSError):
                os.sched_setaffinity(int(thread), {core})


def _numbering() -> int:
    """Whose process numbers these are: containers that share a network, and with it such names, all have a 1."""
    with suppress(OSError):
        return os.stat("/proc/self/ns/pid").st_ino
    return 0


def use_all() -> None:
    """Let the calling thread, and what it starts, run on each core that the process may use."""
    if _all:
        with suppress(OSError):
            os.sched_setaffinity(0, _all)


@contextmanager
def all_used() -> Iterator[None]:
    """Let what the calling thread starts meanwhile run on each core that the process may use."""
    own = os.sched_getaffinity(0) if _all else None
    use_all()
    try:
        yield
    finally:
        if own:
            with suppress(OSError):
                os.sched_setaffinity(0, own)
