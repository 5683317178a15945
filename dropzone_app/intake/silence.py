"""Clients that are there and say nothing: their connection is ended, which ends the read that waits for them.

granian's read cannot be interrupted, and of a connection its environ has the client's address alone. So one thread
looks, while reads wait for long, at what the system knows of the process's own connections (tcp(7), ``TCP_INFO``), and
ends those that can only be the ones that are waited on: too slow, and no more of them than there are such reads. Where
others of the same address could be meant (a request that no thread has taken up yet, say) it waits for another window,
and then takes those that have been silent for longest; while a request of that address waits for its answer, none.

Linux alone tells this; elsewhere only servers that lend the connection let such clients go.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import stat
import struct
import termios
import threading
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Protocol
from weakref import WeakSet

from ..processes import own_sockets

#: Looks in a window of a client's rate.
_LOOKS = 10
#: Seconds by which the system's clock of a connection, which ticks, and ours may differ.
_TICK = 0.1
#: Seconds after which the system has said "100 Continue" to who asked for it.
_CONTINUED = 1.0

_log = logging.getLogger(__name__)


class Reader(Protocol):
    """A body that is being read."""

    #: Where the client is; "" where nobody knows.
    address: str
    #: The descriptor of its connection, where the server lends it.
    descriptor: int | None
    #: Bytes a second that have to come.
    rate: int
    #: Seconds on the monotonic clock: when it was first read from, when the read that waits was begun (None: none
    #: does), and when the last one ended.
    began: float
    since: float | None
    returned: float
    #: Bytes that came before, and that the waiting read has asked for.
    got: int
    asked: int
    #: Whether its client was told to go on.
    continued: bool
    #: Whether its answer is made.
    answered: bool
    #: Set when its connection may be one of those that were ended.
    ended: bool


@dataclass
class Connection:
    """One that this process has accepted, as the system sees it; times on the monotonic clock."""

    descriptor: int
    inode: int
    peer: str
    #: When the last byte came, and left (or when it was made).
    heard: float
    sent: float
    received: int
    #: Whether it brings less than it has to.
    slow: bool = False

    def may_be_of(self, reader: Reader) -> bool:
        """Whether this reader can be waiting on it: nothing was sent on it since its request came."""
        if reader.descriptor is not None:
            return self.descriptor == reader.descriptor
        until = reader.began + (_CONTINUED if reader.continued else _TICK)
        return self.peer == reader.address and self.sent <= until and self.received >= reader.got


class Watch:
    """Of the readers of one process; ``window``: the seconds over which a rate is averaged."""

    def __init__(self) -> None:
        self._readers: WeakSet[Any] = WeakSet()
        self._lock = threading.Lock()
        self._pid = 0
        #: What had come at each look, and when, of each connection.
        self._seen: dict[tuple[int, str], list[tuple[float, int]]] = {}

    def add(self, reader: Reader, window: float) -> None:
        """Watch this one until it is gone."""
        with self._lock:
            self._readers.add(reader)
            if self._pid != os.getpid() and os.path.isdir("/proc/self/fd"):
                self._pid = os.getpid()
                threading.Thread(target=self._run, args=(window,), name="silent clients", daemon=True).start()

    def _run(self, window: float) -> None:
        while True:
            time.sleep(window / _LOOKS)
            try:
                self._look(window, time.monotonic())
            except Exception:
                _log.exception("Cannot look after clients that say nothing.")

    def _look(self, window: float, now: float) -> None:
        with self._lock:
            readers: list[Reader] = list(self._readers)
        waiting = [one for one in readers if one.since is not None and now - one.since > window / _LOOKS]
        if not waiting:
            self._seen.clear()
            return
        connections = _connections({one.address for one in waiting}, now)
        self._judge(connections, window, min(one.rate for one in waiting), now)
        for connection in condemned(readers, connections, window, now):
            _end(connection)

    def _judge(self, connections: Iterable[Connection], window: float, rate: int, now: float) -> None:
        """Set which are slow: silent for a window, or with less than the least in the last one (see `condemned`)."""
        seen, self._seen = self._seen, {}
        for one in connections:
            looks = seen.get((one.inode, one.peer), [])
            # One that is old enough to judge by is all that is needed.
            while len(looks) > 1 and now - looks[1][0] >= window:
                del looks[0]
            self._seen[one.inode, one.peer] = [*looks, (now, one.received)]
            one.slow = now - one.heard >= window or bool(
                looks and now - looks[0][0] >= window and one.received - looks[0][1] < window * rate
            )


def condemned(
    readers: Collection[Reader], connections: Collection[Connection], window: float, now: float
) -> list[Connection]:
    """Which connections to end, so that the readers that wait on them do not wait any more; these are marked."""
    # Until then a look at the connection from after the read has begun is a window old, and tells whether it is slow.
    patience = window * (1 + 2 / _LOOKS)
    late = [one for one in readers if one.since is not None and now - one.since > patience]
    ended = []
    for address in {one.address for one in late}:
        certain, theirs = [], {}
        for reader in late:
            if reader.address != address:
                continue
            possible = [one for one in connections if one.may_be_of(reader)]
            # Of a client that was fast much is asked for at once, which may take its time.
            if possible and (reader.asked <= reader.rate * window or all(one.slow for one in possible)):
                certain.append(reader)
                theirs.update({one.inode: one for one in possible if one.slow})
        found = sorted(theirs.values(), key=lambda one: one.heard)
        if any(one.address == address and _unanswered(one, now) > window - _TICK for one in readers):
            # Its client is as silent.
            continue
        if len(found) > len(certain):
            # Requests that no thread has taken up yet, say: these came later.
            found = found[: sum(one.since is not None and now - one.since > 2 * window for one in certain)]
        if found:
            ended += found
            for reader in certain:
                reader.ended = True
    return ended


def _unanswered(reader: Reader, now: float) -> float:
    """Seconds since all of it came for which there is no answer yet."""
    return now - reader.returned if reader.since is None and not reader.answered else 0.0


def _connections(addresses: Collection[str], now: float) -> list[Connection]:
    """The connections with these that this process has accepted, and reads from."""
    ports, found = set(), []
    for one in own_sockets():
        with suppress(OSError):
            if one.family not in {socket.AF_INET, socket.AF_INET6} or one.type != socket.SOCK_STREAM:
                continue
            port = one.getsockname()[1]
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                ports.add(port)
                continue
            peer = plain_address(one.getpeername()[0])
            if peer not in addresses:
                continue
            told = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
            # struct tcp_info of <linux/tcp.h>: milliseconds since the last byte out and in, and all that came in.
            sent, heard = struct.unpack_from("I4xI", told, 44)
            (received,) = struct.unpack_from("Q", told, 128)
            (unread,) = struct.unpack("i", fcntl.ioctl(one, termios.FIONREAD, bytes(4)))
            if unread and heard > 1000:
                # Nobody waits for what it says.
                continue
            inode = os.fstat(one.fileno()).st_ino
            connection = Connection(
                one.fileno(), inode, peer, heard=now - heard / 1000, sent=now - sent / 1000, received=received
            )
            found.append((port, connection))
    # Connections that we have made ourselves, to a database say, go to others' ports.
    return [connection for port, connection in found if port in ports]


def _end(connection: Connection) -> None:
    """Take no more from it. Its client can still be told why."""
    with suppress(OSError):
        # Of our own, so that it is still the same when it is ended.
        copy = os.dup(connection.descriptor)
        state = os.fstat(copy)
        if not stat.S_ISSOCK(state.st_mode):
            # By now it is a file, perhaps of SQLite's: to close a copy of that would let go of its locks.
            return
        with socket.socket(fileno=copy) as one:
            if state.st_ino == connection.inode:
                one.shutdown(socket.SHUT_RD)


def plain_address(text: str) -> str:
    """An address in the form in which it can be compared; "" for what is none."""
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        return ""


#: Of this process.
watch = Watch()
