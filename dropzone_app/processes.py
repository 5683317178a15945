"""Which process a reservation belongs to, and whether that process still lives."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path

#: Seconds after which a process of another machine, which cannot be asked, is taken for dead.
_PATIENCE = 24 * 3600.0


@cache
def _host() -> str:
    """This machine since its last start."""
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()}/{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"
    return socket.gethostname()


def _started(pid: int) -> str:
    """When a running process began, in clock ticks since boot; "" where the system does not tell."""
    with contextlib.suppress(OSError):
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # One that was killed keeps its number until its parent looks; in a container that may be never.
        return "" if state in {"Z", "X"} else fields[18]
    return ""


@cache
def _name_of(pid: int) -> str:
    return f"{_host()} {pid} {_started(pid)}"


def this_process() -> str:
    """The mark of this process: its machine, its number, when it began."""
    return _name_of(os.getpid())


def runs(pid: int) -> bool:
    """Whether a process of this machine has this number, and has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return bool(_started(pid)) or not os.path.isdir("/proc/self")


def is_alive(process: str, age: float) -> bool:
    """Whether the process that made a reservation ``age`` seconds ago may still finish it."""
    if not process:
        return False
    host, _, rest = process.partition(" ")
    pid, _, started = rest.partition(" ")
    if host.partition("/")[0] != _host().partition("/")[0]:
        # Another machine's; it cannot be asked. Nobody commits for a day.
        return age < _PATIENCE
    if host != _host() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _started(int(pid)) == started


def own_sockets() -> Iterator[socket.socket]:
    """Each socket that this process has open, for as long as the loop looks at it; none where nothing tells of them."""
    names = []
    with contextlib.suppress(OSError):
        names = os.listdir("/proc/self/fd")
    for name in names:
        try:
            # No copy: closing one of a file of SQLite's would let go of its locks.
            found = socket.socket(fileno=int(name))
        except OSError:
            continue
        try:
            yield found
        finally:
            found.detach()
