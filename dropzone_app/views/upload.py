"""A batch comes in."""

from __future__ import annotations

from flask import Response, current_app, jsonify, redirect, request, url_for
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response as BaseResponse

from .. import security
from ..batch import Batch, refusal
from ..signals import upload_rejected, upload_stored
from .base import owner, site, tell
from .files import file_fields


def upload(name: str | None = None) -> BaseResponse:
    """Give every part of the request its verdict, store the good ones, and say what became of each."""
    batch = Batch(site(), site().upload_set(name), owner=owner(), form=request.form)
    for key, part in request.files.items(multi=True):
        batch.add(key, part)
    commit(batch)
    return answer(batch)


def commit(batch: Batch) -> None:
    """Commit a batch, and tell who listens what became of its parts."""
    batch.commit()
    for verdict in batch.verdicts:
        if verdict.rejected:
            tell(
                upload_rejected,
                upload_set=batch.upload_set,
                filename=verdict.filename,
                rejected=verdict.rejected,
            )
        elif not verdict.repeated:
            tell(upload_stored, upload_set=batch.upload_set, record=verdict.record)


def answer(batch: Batch) -> BaseResponse:
    """What a client is told: 201 with the files, the refusals in plain text, or a page for a plain form."""
    return _plain_form_answer(batch) if security.is_plain_form(request) else _answer(batch)


def _answer(batch: Batch) -> Response:
    refused = refusal(batch.verdicts)
    if refused is None:
        root = url_for("uploads.files")
        stored = [file_fields(verdict.record, root) for verdict in batch.verdicts if verdict.record]
        response = jsonify(success=True, files=stored)
        response.status_code = 201
        return response
    response = security.plain_text(refused.text, refused.status)
    if refused.per_part:
        response.headers["Upload-Verdicts"] = "per-part"
    return response


def _plain_form_answer(batch: Batch) -> BaseResponse:
    """303 to the batch's page: reloading it sends nothing again."""
    parts = [
        {
            "key": verdict.key,
            "filename": verdict.filename,
            "sentence": verdict.rejected.sentence if verdict.rejected else None,
            "id": verdict.record.id if verdict.record else None,
        }
        for verdict in batch.verdicts
    ]
    try:
        id = site().records.add_batch(owner(), {"parts": parts})
    except SQLAlchemyError:
        # The files are stored all the same, and no answer may say otherwise.
        current_app.logger.exception("the report of a batch could not be kept")
        return _answer(batch)
    return redirect(url_for("uploads.batch", id=id), 303)
