"""Share links: made, told and taken back by who may share a file; followed by anybody who has one."""

from __future__ import annotations

import hashlib
import json
from typing import Any, cast
from urllib.parse import quote

from flask import Response, current_app, jsonify, request, url_for
from itsdangerous import BadSignature, Signer

from ..errors import Rejected
from ..intake.request import Body
from ..languages import Phrase
from ..records import Record, Share
from .base import permitted, site
from .files import iso_time, send

#: Seconds that a link is good where nobody says how long, and at most.
LIFETIME, LONGEST = 7 * 24 * 3600, 366 * 24 * 3600
#: Bytes of what is posted to make one.
_MAX_BODY = 1000


def create(id: str) -> Response:
    """A link to a file that I may share. The body may be JSON, ``{"seconds": 3600}``."""
    record = permitted("share", id)
    share = site().records.shares.create(record.id, _seconds(Body.of(request)))
    response = _unkept(jsonify(share_fields(share, record)))
    response.status_code = 201
    return response


def shares(id: str) -> Response:
    """The links to a file that I may share, newest first."""
    record = permitted("share", id)
    found = site().records.shares.of_file(record.id)
    return _unkept(jsonify(shares=[share_fields(share, record) for share in found]))


def revoke(id: str, share: str) -> Response:
    """Take back a link to a file that I may share."""
    record = permitted("share", id)
    if "\0" in share or not site().records.shares.revoke(share, record.id):
        raise Rejected.because("unknown_share")
    return Response(status=204)


def shared(link: str, filename: str) -> Response:
    """The bytes of a file, for who has a link to it: served like any other file, and to nobody's cache but theirs."""
    record = _record(link)
    if record is None or record.filename != filename:
        raise Rejected.because("unknown_share")
    response = send(record)
    # The address is a secret: no other site is told it, and no search engine keeps it.
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex"
    return response


def share_fields(share: Share, record: Record) -> dict[str, Any]:
    """What is told of a link."""
    signed = _signer().sign(share.id).decode()
    root = url_for("uploads.shared", link=signed, filename="-").removesuffix("-")
    return {
        "id": share.id,
        "file": share.file,
        "created": iso_time(share.created),
        "expires": iso_time(share.expires),
        "url": root + quote(record.filename, safe=""),
    }


def _record(link: str) -> Record | None:
    try:
        # Nothing is asked of the database for what nobody of us has signed.
        id = _signer().unsign(link).decode()
    except (BadSignature, UnicodeError):
        return None
    share = site().records.shares.find(id)
    return site().records.file(share.file) if share else None


def _signer() -> Signer:
    key = cast("str | bytes", current_app.secret_key)
    # As Flask's own sessions: what was signed with a key of before is still good.
    keys = [*(current_app.config.get("SECRET_KEY_FALLBACKS") or ()), key]
    return Signer(keys, salt="dropzone_app.share", key_derivation="hmac", digest_method=hashlib.sha256)


def _seconds(body: Body) -> int:
    text = b""
    while len(text) <= _MAX_BODY and (data := body.read()):
        text += data
    try:
        told = json.loads(text or b"{}") if len(text) <= _MAX_BODY else None
    except (ValueError, RecursionError):
        told = None
    seconds = told.get("seconds", LIFETIME) if isinstance(told, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 1 <= seconds <= LONGEST:
        raise Rejected.because(
            "bad_field", field="seconds", expected=Phrase("a number from 1 to {most}", most=f"{LONGEST:,}")
        )
    return seconds


def _unkept(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
