"""The tus protocol: its headers in, its headers and statuses out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from flask import Response, request, url_for
from werkzeug.http import http_date

from .. import security
from ..errors import Rejected
from ..intake.request import Body
from ..tus import CHECKSUMS, EXTENSIONS, VERSION, TusUpload, read_announced, read_checksum, read_number
from .base import begin_sending, check_upload, may_upload, owner, owner_is_by_session, site
from .files import file_fields
from .upload import tell_verdicts

_BYTES = "application/offset+octet-stream"


def tus(name: str | None = None) -> Response:
    """Begin an upload (``name``: in which set), or go on with the one that has this id."""
    match _method():
        case "OPTIONS":
            return _options(name)
        case "POST":
            return _create(name)
        case _ if name is None:
            raise Rejected.because("unknown_upload")
        case "HEAD":
            return _told(_found(name), 200)
        case "PATCH":
            return _append(_found(name))
        case "DELETE":
            _found(name).terminate()
            return _answer(204)
        case method:
            raise Rejected.because("method", method=method)


def guard() -> None:
    """Refuse before the body is read what can be refused by then. Of any other site's page a browser would ask first
    (CORS) whether it may send ``Tus-Resumable``, and nobody here says yes: that stands in place of the CSRF token.
    """
    method = _method()
    if method == "OPTIONS":
        return
    if request.headers.get("Tus-Resumable") != VERSION:
        raise Rejected.because("tus_version")
    if method != "HEAD":
        security.check_origin(request)
    if method == "PATCH" or _has_bytes():
        security.check_encoding(request)
        security.check_length(request, site().settings)
        if not _has_bytes():
            raise Rejected.because("tus_type")


def finish(response: Response) -> Response:
    """``response`` with what every answer of this protocol carries."""
    response.headers["Tus-Resumable"] = VERSION
    response.headers["Tus-Version"] = VERSION
    response.headers["Cache-Control"] = "no-store"
    return response


def _answer(status: int) -> Response:
    """One without a body."""
    return Response(status=status, mimetype="text/plain")


def _method() -> str:
    """The request's, or the one that stands for it where something on the way knows neither PATCH nor DELETE."""
    override = request.headers.get("X-HTTP-Method-Override", "") if request.method == "POST" else ""
    return override.upper() or request.method


def _has_bytes() -> bool:
    return request.mimetype == _BYTES


def _options(name: str | None) -> Response:
    here = site()
    rules = [here.rules[name]] if name and name in here.rules else here.rules.values()
    largest = max(rule.max_file_size for rule in rules)
    response = _answer(204)
    response.headers["Tus-Extension"] = EXTENSIONS
    response.headers["Tus-Checksum-Algorithm"] = ",".join(CHECKSUMS)
    response.headers["Tus-Max-Size"] = str(int(largest))
    return response


def _found(id: str) -> TusUpload:
    """An upload to go on with: where a session says who asks its address is enough, else it is its owner's alone."""
    me = None if owner_is_by_session() else owner()
    upload = TusUpload.find(site(), id)
    if (me is not None and upload.owner != me) or not may_upload(upload.upload_set):
        raise Rejected.because("unknown_upload")
    return upload


def _create(name: str | None) -> Response:
    for header in ("Upload-Concat", "Upload-Defer-Length"):
        if header in request.headers:
            raise Rejected.because("tus_extension", header=header)
    size = read_number("Upload-Length", request.headers.get("Upload-Length", ""))
    told = read_announced(size, request.headers.get("Upload-Metadata", ""))
    upload_set = site().upload_set(name or told.upload_set)
    check_upload(upload_set)
    begin_sending(owner())
    site().check_room(upload_set, size)
    upload = TusUpload.create(site(), upload_set, owner(), told)
    begun = False
    try:
        begun = _take(upload, 0) if _has_bytes() or size == 0 else True
    finally:
        if not begun and not upload.record:
            # Nobody is told its address.
            with contextlib.suppress(Rejected):
                upload.terminate()
    response = _told(upload, 201)
    response.headers["Location"] = url_for("uploads.tus", name=upload.id)
    return response


def _append(upload: TusUpload) -> Response:
    begin_sending(upload.owner)
    _take(upload, read_number("Upload-Offset", request.headers.get("Upload-Offset", "")))
    return _told(upload, 204)


def _take(upload: TusUpload, offset: int) -> bool:
    """Take the body's bytes; whether it came whole. Rejected where the file is."""
    body, announced = Body.of(request), request.content_length or 0
    received = 0
    slow: Rejected | None = None

    def pieces() -> Iterator[bytes]:
        nonlocal received, slow
        try:
            while data := body.read():
                received += len(data)
                yield data
        except Rejected as rejected:
            # What came counts all the same.
            slow = rejected

    checksum = request.headers.get("Upload-Checksum")
    verdict = upload.append(
        offset, pieces(), length=announced, checksum=read_checksum(checksum) if checksum else None
    )
    if verdict:
        security.note_commit()
        tell_verdicts(upload.upload_set, [verdict])
        if verdict.rejected:
            raise verdict.rejected
    if slow:
        raise slow
    return received >= announced


def _told(upload: TusUpload, status: int) -> Response:
    """Where an upload is; of a complete one, which file it has become."""
    response = _answer(status)
    response.headers["Upload-Offset"] = str(upload.offset)
    response.headers["Upload-Length"] = str(upload.size)
    if upload.metadata:
        response.headers["Upload-Metadata"] = upload.metadata
    if upload.record:
        response.headers["Upload-File"] = file_fields(upload.record)["url"]
    else:
        response.headers["Upload-Expires"] = http_date(upload.expires)
    return response
