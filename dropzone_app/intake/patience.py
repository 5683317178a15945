"""How long a client is waited for: a body that comes too slowly is given up.

A server's ``wsgi.input`` returns when all that was asked for is there, or the client gone, and no earlier. So a client
is asked for little at a time until it is known to be fast, and its rate is looked at after each piece. One that sends
nothing at all is noticed where the server lends the connection's socket (gunicorn, Werkzeug), or by ``silence``.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

from .silence import plain_address, watch

#: Seconds over which a client's rate is averaged.
WINDOW = 30.0

#: Bytes that are asked for at once of a client that is not known yet, or slow.
LEAST = 1024
#: A read that took less than the one asks for more next time, one that took more than the other for less: as much as
#: there may be only of clients with 20 MB/s.
_FAST, _SLOW = 0.02, 0.1
_STEP = 8


class TooSlow(Exception):
    """Less came than has to."""


class Patience:
    """Reads of one body, which must bring ``rate`` bytes a second, averaged over :data:`WINDOW`."""

    def __init__(
        self,
        read: Callable[[int], bytes],
        rate: int,
        connection: socket.socket | None = None,
        address: str = "",
        *,
        continued: bool = False,
    ) -> None:
        """``connection``: what ``read`` reads from, where that is known; ``address``: the client's.

        ``continued``: the client was told to go on when the first byte of its body was asked for (100 Continue).
        """
        self._read, self.rate, self._connection = read, rate, connection
        #: Seconds that the client may still bring nothing.
        self._credit = WINDOW
        self._piece = LEAST
        self.address, self.continued = plain_address(address), continued
        self.descriptor = connection.fileno() if connection else None
        self.began = self.returned = time.monotonic()
        self.since: float | None = None
        self.got = self.asked = 0
        self.answered = self.ended = False
        if self.address:
            watch.add(self, WINDOW)

    def read(self, size: int) -> bytes:
        """What ``read`` has, ``size`` bytes at most. TooSlow, and then no more is to be read."""
        size = self.asked = min(size, self._piece)
        began = self.since = time.monotonic()
        try:
            data = self._in_time(size)
        finally:
            self.since, self.returned = None, time.monotonic()
        took = self.returned - began
        self.got += len(data)
        self._credit = min(self._credit - took + len(data) / self.rate, WINDOW)
        if (data and self._credit <= 0) or (self.ended and len(data) < size):
            self._hang_up()
            raise TooSlow
        if took < _FAST and size == self._piece:
            self._piece *= _STEP
        elif took > _SLOW:
            self._piece = max(self._piece // _STEP, LEAST)
        return data

    def _in_time(self, size: int) -> bytes:
        if self._connection is None:
            return self._read(size)
        before = self._connection.gettimeout()
        # From one byte to the next.
        self._connection.settimeout(max(self._credit, LEAST / self.rate))
        try:
            return self._read(size)
        except TimeoutError:
            self._hang_up()
            raise TooSlow from None
        finally:
            # It may be closed by now.
            with contextlib.suppress(OSError):
                self._connection.settimeout(before)

    def _hang_up(self) -> None:
        """Take no more of the client; it is still told why. Its server would read what is left before it lets go."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RD)
