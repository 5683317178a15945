"""A batch comes in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Response, current_app, jsonify, redirect, request, url_for
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response as BaseResponse

from .. import security
from ..batch import Batch, Verdict, refusal
from ..chunked import ChunkedUploads, ReceivedChunk
from ..errors import Rejected
from ..intake import Part
from ..intake.chunks import is_chunk
from ..signals import upload_rejected, upload_stored
from ..uploads import UploadSet
from . import journal
from .base import owner, site, tell
from .files import file_fields

#: Bytes of the header ``Upload-Codes``; nginx gives all headers of an answer 4 KiB where nobody has said more.
MAX_CODES = 2000


def upload(name: str | None = None) -> BaseResponse:
    """Give every part of the request its verdict, store the good ones, and say what became of each."""
    upload_set = site().upload_set(name)
    if is_chunk(request.form):
        return told_chunk(take_chunk(upload_set, next(iter(request.files.values()), None)))
    batch = Batch(site(), upload_set, owner=owner(), form=request.form)
    for key, part in request.files.items(multi=True):
        batch.add(key, part)
    commit(batch)
    return answer(batch)


def chunk_opener(upload_set: UploadSet) -> Callable[[Mapping[str, str], str, str], ReceivedChunk]:
    """What the parser asks where the bytes of a chunk go."""

    def open_chunk(fields: Mapping[str, str], key: str, filename: str) -> ReceivedChunk:
        who = owner()
        if security.is_first_visit():
            # Each chunk that left with it would begin a file of its own, and none would ever be complete.
            raise Rejected.because("chunk_without_session")
        return ChunkedUploads(site(), upload_set, who).open(fields, key, filename)

    return open_chunk


def take_chunk(upload_set: UploadSet, file: Any) -> Verdict | None:
    """Let the request's chunk count; the verdict of its file, None while other chunks are missing."""
    if file is None:
        raise Rejected.because("no_file")
    if isinstance(file, Part):
        raise Rejected.because("chunk_late")
    uploads = ChunkedUploads(site(), upload_set, owner())
    chunk = file if isinstance(file, ReceivedChunk) else uploads.copy(request.form, file)
    verdict = uploads.finish(chunk, request.form)
    security.note_commit()
    if verdict:
        tell_verdicts(upload_set.declared, [verdict])
    return verdict


def commit(batch: Batch) -> None:
    """Commit a batch, and tell who listens what became of its parts."""
    batch.commit()
    security.note_commit()
    tell_verdicts(batch.upload_set, batch.verdicts)


def tell_verdicts(upload_set: UploadSet, verdicts: Sequence[Verdict]) -> None:
    """Tell the log and who listens what became of parts. ``upload_set``: as it was declared."""
    journal.batch(upload_set.name, verdicts)
    for verdict in verdicts:
        if verdict.repeated:
            continue
        if verdict.rejected:
            tell(upload_rejected, upload_set=upload_set, filename=verdict.filename, rejected=verdict.rejected)
        else:
            tell(upload_stored, upload_set=upload_set, record=verdict.record)


def answer(batch: Batch) -> BaseResponse:
    """What a client is told: 201 with the files, the refusals in plain text, or a page for a plain form."""
    return _plain_form_answer(batch) if security.is_plain_form(request) else told(batch.verdicts)


def told_chunk(verdict: Verdict | None) -> Response:
    """What a script is told of a chunk: 202 where others are missing."""
    if verdict:
        return told([verdict])
    response = jsonify(success=True, files=[])
    response.status_code = 202
    return response


def told(verdicts: Sequence[Verdict]) -> Response:
    """What a script is told of these verdicts."""
    if not any(verdict.rejected for verdict in verdicts):
        root = url_for("uploads.files")
        stored = [file_fields(verdict.record, root) for verdict in verdicts if verdict.record]
        response = jsonify(success=True, files=stored)
        response.status_code = 201
        return response
    language = security.language()
    refused = refusal(verdicts, language, security.request_id())
    assert refused
    response = security.plain_text(refused.text, refused.status, language)
    response.headers["Upload-Codes"] = _codes(refused.codes)
    waits = [verdict.rejected.retry_after or 0 for verdict in verdicts if verdict.rejected]
    if any(waits):
        response.headers["Retry-After"] = str(max(waits))
    if refused.per_part:
        response.headers["Upload-Verdicts"] = "per-part"
    return response


def _codes(codes: Mapping[str, Sequence[int]]) -> str:
    """Which row of the table refused which parts, as a dictionary of RFC 9651: ``extension=(1 4), uuid_busy=(7)``.

    What does not fit is left out, beginning with what refused most: a proxy takes so much of headers, and no more.
    """
    told, room = [], MAX_CODES
    for code, indexes in sorted(codes.items(), key=lambda item: len(item[1])):
        entry = f"{code}=({' '.join(map(str, indexes))})"
        room -= len(entry) + 2
        if room >= 0 and re.fullmatch("[a-z][a-z0-9_]*", code):
            told.append(entry)
    return ", ".join(told)


def _plain_form_answer(batch: Batch) -> BaseResponse:
    """303 to the batch's page: reloading it sends nothing again."""
    parts = [
        {
            "key": verdict.key,
            "filename": verdict.filename,
            "rejected": verdict.rejected.dumps() if verdict.rejected else None,
            "id": verdict.record.id if verdict.record else None,
        }
        for verdict in batch.verdicts
    ]
    try:
        told_of = {"set": batch.upload_set.name, "parts": parts, "request": security.request_id()}
        id = site().records.add_batch(owner(), told_of)
    except SQLAlchemyError:
        # The files are stored all the same, and no answer may say otherwise.
        current_app.logger.exception("the report of a batch could not be kept")
        return told(batch.verdicts)
    return redirect(url_for("uploads.batch", id=id), 303)
