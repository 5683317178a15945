"""The files of an owner: listed, served, deleted."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from flask import Request, Response, current_app, jsonify, request, url_for
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.http import dump_options_header
from werkzeug.wsgi import FileWrapper

from .. import security, thumbnails
from ..errors import Rejected
from ..records import Record
from ..signals import upload_deleted
from .base import may, owner, page, permitted, site, tell

#: Files on one page of the list.
PAGE = 50
_BUFFER = 1 << 20
#: Seconds that a storage's own address of a file works: as long as it takes to begin.
ELSEWHERE = 300

#: What a browser may show in place: nothing that can hold a script, beside the files of which it is known that they do
#: not. The rest is offered for saving.
_INLINE = re.compile(r"image/(jpeg|png|gif|webp|avif|bmp)|audio/[a-z0-9.+-]+|video/[a-z0-9.+-]+")


def file_fields(record: Record, root: str = "") -> dict[str, Any]:
    """A File of the HTTP contract. ``root``: the path of all files, for a caller that asks for many."""
    return {
        "id": record.id,
        "uuid": record.uuid,
        "set": record.set,
        "filename": record.filename,
        "path": record.path,
        "key": record.key,
        "size": record.size,
        "type": record.type,
        "sha256": record.sha256,
        "created": iso_time(record.created),
        "url": f"{root or url_for('uploads.files')}/{record.id}/{quote(record.filename, safe='')}",
        "thumbnail": url_for("uploads.thumbnail", id=record.id) if thumbnails.possible(record) else None,
    }


def iso_time(microseconds: int) -> str:
    """A time of the records, as ISO 8601 in UTC."""
    return _iso_time(microseconds // 1000)


# All files of a batch were made in the same millisecond.
@lru_cache(16)
def _iso_time(milliseconds: int) -> str:
    time = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def files() -> Response | str:
    """My files, newest first: a page for people, JSON where it is asked for."""
    found, cursor = newest(request.args.get("cursor"))
    if security.wants_json(request):
        response = jsonify(files=found, next=cursor)
        response.headers["Cache-Control"] = "no-store"
        return response
    return page("files.html", files=found, next=cursor)


def newest(cursor: str | None = None) -> tuple[list[dict[str, Any]], str | None]:
    """One page of my files, and the cursor of the next page. Rejected for a cursor that is none of ours."""
    after = None
    if cursor:
        match = re.fullmatch(r"([0-9]{1,18})-([0-9a-f]{32})", cursor)
        if not match:
            raise Rejected.because("bad_cursor")
        after = int(match[1]), match[2]
    found = site().records.files(owner(), limit=PAGE + 1, after=after)
    shown = found[:PAGE]
    more = f"{shown[-1].created}-{shown[-1].id}" if len(found) > PAGE else None
    root = url_for("uploads.files")
    return [file_fields(record, root) for record in shown if may("list", record)], more


def file(id: str, filename: str) -> Response:
    """The bytes of a file that I may read, served so that a browser can run nothing in them."""
    record = permitted("read", id)
    if record.filename != filename:
        raise Rejected.because("unknown_file")
    return send(record)


def send(record: Record) -> Response:
    """The bytes of a file, for who was found to be allowed them. Rejected where they are gone."""
    inline = bool(record.inert or _INLINE.fullmatch(record.type)) and "download" not in request.args
    disposition = _disposition("inline" if inline else "attachment", record.filename)
    try:
        elsewhere = site().url_of(record, disposition=disposition, expires=ELSEWHERE)
        if elsewhere:
            return _redirect(elsewhere)
        opened = site().keeper(record).open(record.key)
    except FileNotFoundError:
        current_app.logger.exception("the bytes of a record are gone")
        raise Rejected.because("unknown_file") from None
    response = security.CookielessResponse(
        FileWrapper(opened, _BUFFER),
        mimetype=record.type,
        direct_passthrough=True,
    )
    response.call_on_close(opened.close)
    headers = response.headers
    headers["Content-Disposition"] = disposition
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Content-Security-Policy"] = (
        "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; "
        + _sandbox(record.type)
    )
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Cache-Control"] = "private, no-cache"
    if (location := site().settings.x_accel) and site().keeper(record) is site().storage:
        # Ranges, conditions and the ETag are the proxy's from here: those of two would contradict each other.
        opened.close()
        response.set_data(b"")
        headers["X-Accel-Redirect"] = location + quote(record.key)
        return response
    response.content_length = record.size
    response.set_etag(record.sha256 or record.id)
    response.last_modified = datetime.fromtimestamp(record.created // 1_000_000, UTC)
    try:
        response.make_conditional(
            _with_one_range(request, record.size), accept_ranges=True, complete_length=record.size
        )
        if response.status_code == 412:
            # Werkzeug would send the file along.
            raise Rejected.because("changed")
    except BaseException:
        opened.close()
        raise
    return response


def _redirect(url: str) -> Response:
    """To where the storage itself gives the bytes to who has the URL; it is nobody else's to keep."""
    response = security.CookielessResponse(status=302)
    response.location = url
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def thumbnail(id: str) -> Response:
    """The small picture of a file that I may read; made now where nobody has asked for it before."""
    record = permitted("read", id)
    etag = f"{thumbnails.RECIPE}-{record.id}"
    response = security.CookielessResponse(mimetype="image/webp")
    if etag in request.if_none_match:
        response.status_code = 304
    else:
        try:
            response.set_data(thumbnails.thumbnail_of(site(), record))
        except FileNotFoundError:
            current_app.logger.exception("the bytes of a record are gone")
            raise Rejected.because("unknown_file") from None
        except Rejected as rejected:
            refusal = security.refuse(rejected)
            if rejected.code == "thumbnail_later":
                refusal.headers["Retry-After"] = str(thumbnails.RETRY_AFTER)
            return refusal
    headers = response.headers
    headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    # The picture behind an id never changes, and is in nobody's list once it is deleted.
    headers["Cache-Control"] = "private, max-age=86400"
    response.set_etag(etag)
    return response


def _with_one_range(request: Request, size: int) -> dict[str, Any]:
    """The request's environ, without a Range that is broken, of another unit, or of several pieces.

    Those may be answered with the whole file, as must be the last bytes of one that has fewer (RFC 9110, 14);
    416 is for a range that lies outside of the file.
    """
    asked = request.range
    if asked and asked.units == "bytes" and len(asked.ranges) == 1 and asked.ranges[0][0] >= -size:
        return request.environ
    return {name: value for name, value in request.environ.items() if name != "HTTP_RANGE"}


def _sandbox(media_type: str) -> str:
    """No scripts, forms or origin of ours for what is served.

    Chromium's own player fetches the sound or film once more, and may not from a sandbox without an origin.
    """
    player = media_type.startswith(("audio/", "video/"))
    return "sandbox allow-same-origin" if player else "sandbox"


def _disposition(kind: str, filename: str) -> str:
    """RFC 6266: a plain ``filename`` for old clients, ``filename*`` (RFC 8187) for every script."""
    plain = re.sub(r"[^ -~]|[\"\\%]", "_", filename)
    options = {"filename": plain}
    if plain != filename:
        options["filename*"] = f"UTF-8''{quote(filename, safe='!#$&+-.^_`|~')}"
    return dump_options_header(kind, options)


def delete_file(id: str) -> Response:
    """Delete a file that I may delete."""
    if not delete(permitted("delete", id)):
        raise Rejected.because("unknown_file")
    return Response(status=204)


def delete(record: Record) -> bool:
    """Delete a file: first the record, so that nobody sees one that is half gone. False where it is gone by now."""
    retired = site().records.retire(record.id, record.owner)
    if retired is None:
        return False
    try:
        site().undo([retired])
    except (OSError, SQLAlchemyError):
        # It is gone for everyone; what is left of it is removed at the next start.
        current_app.logger.exception("the bytes of a deleted file could not be removed")
    tell(upload_deleted, record=retired)
    return True
