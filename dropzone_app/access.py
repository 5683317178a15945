"""Who may come in: the access code of the standalone server, and what one address may send in a while."""

from __future__ import annotations

import hmac
import ipaddress
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any, cast

from flask import Flask, current_app, session

from .config import SettingError
from .errors import Rejected

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


class RateLimit:
    """How many requests that send files an address may make in a while.

    Flask-Limiter counts them: in each process, or for all of them where ``RATELIMIT_STORAGE_URI`` names a store.
    """

    def __init__(self, config: Mapping[str, Any], limit: str) -> None:
        """``limit`` in Flask-Limiter's own words. SettingError for others, and where it is not installed."""
        try:
            from flask_limiter import Limiter
            from limits import parse
        except ModuleNotFoundError as error:
            raise SettingError(
                "UPLOADS_RATE_LIMIT needs Flask-Limiter, which is not installed; "
                "run `pip install 'dropzone_app[limiter]'`."
            ) from error
        try:
            self._limit = parse(limit)
        except ValueError as error:
            raise SettingError(
                f"UPLOADS_RATE_LIMIT must be a limit such as '300 per minute'; it is {limit!r}."
            ) from error
        #: So many requests in so many seconds.
        self.rate = (self._limit.amount, self._limit.get_expiry())
        store = str(config.get("RATELIMIT_STORAGE_URI") or "memory://")
        options = config.get("RATELIMIT_STORAGE_OPTIONS")
        limiter = Limiter(lambda: "", storage_uri=store, storage_options=options)
        # In an app that nobody uses: what the host limits, and by which Limiter of its own, is not looked at here.
        limiter.init_app(Flask("probe"))
        self._counts = limiter.limiter

    def wait(self, address: str) -> int:
        """Count a request; 0, or the seconds until another one is taken. Rejected where the store is away."""
        name = _network(address)
        try:
            if self._counts.hit(self._limit, "uploads", name):
                return 0
            ends = self._counts.get_window_stats(self._limit, "uploads", name).reset_time
        except Exception:
            current_app.logger.exception("the store of the rate limit failed")
            raise Rejected.because("unavailable") from None
        return max(math.ceil(ends - time.time()), 1)


class UnderWay:
    """How many requests that send files each owner has under way in this process."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    def begin(self, owner: str) -> bool:
        """Count one more, which is to :meth:`end`; False where there are as many as may be."""
        with self._lock:
            if self._counts[owner] >= self.most:
                return False
            self._counts[owner] += 1
            return True

    def end(self, owner: str) -> None:
        with self._lock:
            self._counts[owner] -= 1
            if not self._counts[owner]:
                del self._counts[owner]


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
