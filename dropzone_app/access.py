"""One access code for all who may use the standalone server: who has shown it, and who has guessed too often."""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections import OrderedDict
from threading import Lock
from typing import cast

from flask import current_app, session

_SESSION_MARK = "uploads_access"


class Tries:
    """How often an address was wrong lately: whoever guesses has to wait.

    Each process counts by itself, so that the limit is that of all of them together. Addresses of IPv6 count by
    their /64 network, which is what one customer has.
    """

    def __init__(self, most: int = 5, seconds: float = 60, addresses: int = 10_000) -> None:
        """``most`` tries in ``seconds``; the ``addresses`` that tried last are remembered."""
        self._most, self._seconds, self._addresses = most, seconds, addresses
        self._tries: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = Lock()

    def begin(self, address: str) -> float:
        """Count a try before it is looked at; 0, or the seconds until one may be made."""
        now, name = time.monotonic(), _network(address)
        with self._lock:
            tries = [at for at in self._tries.pop(name, []) if at > now - self._seconds]
            self._tries[name] = tries
            if len(self._tries) > self._addresses:
                self._tries.popitem(last=False)
            if len(tries) >= self._most:
                return tries[0] + self._seconds - now
            tries.append(now)
            return 0

    def forget(self, address: str) -> None:
        """Somebody there knew the code."""
        with self._lock:
            self._tries.pop(_network(address), None)


def _network(address: str) -> str:
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        # A socket of the system's has no address.
        return ""
    return str(ipaddress.ip_network((known, 64), strict=False)) if known.version == 6 else str(known)


class Access:
    """Who has shown the access code. ``code`` is never kept in a session; a new one signs everybody out."""

    def __init__(self, code: str) -> None:
        self._code = code
        self.tries = Tries()

    def knows(self, given: str) -> bool:
        """Whether ``given`` is the code, told in constant time."""
        return hmac.compare_digest(self._code.encode(), given.encode("utf-8", "surrogatepass"))

    def is_signed_in(self) -> bool:
        return hmac.compare_digest(self._mark(), str(session.get(_SESSION_MARK, "")))

    def sign_in(self) -> None:
        session.permanent = True
        session[_SESSION_MARK] = self._mark()

    @staticmethod
    def sign_out() -> None:
        session.pop(_SESSION_MARK, None)

    def _mark(self) -> str:
        key = cast("str | bytes", current_app.secret_key)
        key = key.encode() if isinstance(key, str) else key
        return hmac.digest(key, f"{_SESSION_MARK} {self._code}".encode(), "sha256").hex()


def access() -> Access | None:
    """What guards this app; None where anybody may use it, or a host decides."""
    return cast("Access | None", current_app.extensions.get("uploads_access"))


def may_sign_out() -> bool:
    """For our templates: whether somebody has signed in here."""
    here = access()
    return here is not None and here.is_signed_in()
