"""What an operator learns of each batch: one line of JSON in the log ``dropzone_app.batches``.

``request`` is the id that a sentence of a 5xx names, ``owner`` the first half of the SHA-256 of who sent it: the same
for the same person, and no address or session. Of what came with the request only names stand there: no token, no
cookie, no other header, no body.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import cast

from flask import current_app, request

from .. import security
from ..batch import Verdict
from ..metrics import Metrics
from ..naming import shown

_BEGAN = "dropzone_app.began"
_OWNER = "dropzone_app.owner"
_TOLD = "dropzone_app.told"

#: Names that stand in one line; how many files there were stands beside them.
NAMES = 10

_log = logging.getLogger("dropzone_app.batches")


def begin() -> None:
    """An upload has come to us; what is told of it later says how long it took."""
    if _BEGAN not in request.environ:
        request.environ[_BEGAN] = time.monotonic()
        if here := metrics():
            here.in_flight.inc()


def end() -> None:
    """The request that :meth:`begin` was told of, if any, is over."""
    if request.environ.pop(_BEGAN, None) and (here := metrics()):
        here.in_flight.dec()


def metrics() -> Metrics | None:
    """What counts for Prometheus in this app; None where nothing does."""
    return cast("Metrics | None", current_app.extensions.get("uploads_metrics"))


def note_owner(owner: str) -> None:
    request.environ[_OWNER] = owner


def batch(upload_set: str, verdicts: Sequence[Verdict]) -> None:
    """Tell what became of the files of a request."""
    codes = Counter(verdict.rejected.code if verdict.rejected else _stored(verdict) for verdict in verdicts)
    kept = [verdict.record.size for verdict in verdicts if verdict.record and not verdict.repeated]
    names = [shown(verdict.filename) for verdict in verdicts[:NAMES]]
    if here := metrics():
        here.batch(upload_set, codes, sum(kept))
    _tell(upload_set, files=len(verdicts), size=sum(kept), codes=codes, names=names)


def refused(upload_set: str | None, code: str) -> None:
    """Tell that a request was refused as a whole, unless something was told of it already."""
    if _TOLD not in request.environ:
        if here := metrics():
            here.refused(code)
        _tell(upload_set, files=0, size=0, codes={code: 1}, names=[])


def _stored(verdict: Verdict) -> str:
    return "repeated" if verdict.repeated else "stored"


def _tell(
    upload_set: str | None, *, files: int, size: int, codes: dict[str, int], names: Sequence[str]
) -> None:
    request.environ[_TOLD] = True
    if not _log.isEnabledFor(logging.INFO):
        return
    owner = request.environ.get(_OWNER)
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "event": "batch",
        "request": security.request_id(),
        "owner": opaque(owner) if owner else None,
        "set": upload_set,
        "files": files,
        "bytes": size,
        "seconds": round(time.monotonic() - request.environ.get(_BEGAN, time.monotonic()), 3),
        "codes": codes,
        "names": names,
    }
    # JSON in ASCII has no line end and no escape of a terminal in it; the one control character that it leaves is DEL.
    _log.info("%s", json.dumps(line).replace("\x7f", "\\u007f"))


def opaque(owner: str) -> str:
    """What the log calls an owner, whose id may be an address."""
    return sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()[:32]
