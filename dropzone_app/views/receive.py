"""An upload set in a view of the host app's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

from flask import Request, g
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response

from .. import security, uploads
from ..batch import Batch, Verdict
from ..errors import Rejected, from_os_error
from ..intake import Part
from ..intake.chunks import is_chunk
from ..intake.request import INTAKE_OF_VIEW, Body, Intake, UploadRequestMixin
from ..naming import shown
from ..records import Record, from_database_error
from . import journal
from .base import check_upload, may, owner, site, site_with, token
from .files import delete, file_fields
from .upload import answer, chunk_opener, commit, take_chunk, told_chunk

_View = TypeVar("_View", bound=Callable[..., Any])


class ReceivedBatch:
    """What :meth:`UploadSet.receive` made of a request: ``verdicts`` of its parts, ``rejected`` when the request
    as a whole was refused (then there is no verdict, and nothing was stored), and :meth:`response`."""

    def __init__(
        self,
        batch: Batch | None = None,
        *,
        chunk: Verdict | None = None,
        rejected: Rejected | None = None,
    ) -> None:
        self._batch = batch
        self._chunk = chunk
        self.rejected = rejected

    @property
    def verdicts(self) -> list[Verdict]:
        """One for each part, in the order they came; of a chunk none while its file is not complete."""
        if self._batch:
            return self._batch.verdicts
        return [self._chunk] if self._chunk else []

    def response(self) -> Response:
        """The answer of ``POST /upload``: 201 with the files, 202 for a chunk, a plain-text refusal, or a page for a
        plain form."""
        if self.rejected:
            return security.refuse(self.rejected)
        return answer(self._batch) if self._batch else told_chunk(self._chunk)


class UploadSet(uploads.UploadSet):
    __doc__ = uploads.UploadSet.__doc__

    def parses(self, field: str | None = None) -> Callable[[_View], _View]:
        """A decorator for a view of your own that takes files of this set under ``field`` (None: every file field).

        Its multipart forms are then parsed by us, also where CSRFProtect or a FlaskForm reads them before
        :meth:`receive` does: strictly, and every part is staged as it arrives. ``request.files`` holds those as
        :class:`Part`, which reads as every ``FileStorage`` does; one that is refused is empty. A form that cannot be
        used raises the HTTPException of its status.
        """

        def mark(view: _View) -> _View:
            setattr(view, INTAKE_OF_VIEW, lambda: self._intake(field))
            return view

        return mark

    def _intake(self, field: str | None) -> Intake:
        here = site_with(self)
        return Intake(here.settings, here.rules[self.name], here.storage_of(self), field, leave_others=True)

    def _received(self, request: Request) -> bool:
        intake = getattr(request, "intake", None)
        return intake is not None and intake.rules is site().rules[self.name]

    def receive(self, request: Request, *, field: str | None = None, csrf: bool = True) -> ReceivedBatch:
        """Check and store the files of a request that a view of your own serves.

        ``field`` names the file field (``photo``, ``photo[0]`` … or ``photo[]``); None takes every file field.
        Parts are staged as they arrive, as at ``POST /upload``, where nothing has read the form yet; else they are
        copied. CSRFProtect reads it: see :meth:`parses`, or exempt the view. The CSRF token is looked at here all the
        same, by Flask-WTF's settings, unless ``csrf`` is False or CSRFProtect has done so.
        """
        here = site_with(self)
        journal.begin()
        try:
            return self._receive(here, request, field, csrf)
        finally:
            journal.end()

    def _receive(self, here: uploads.Site, request: Request, field: str | None, csrf: bool) -> ReceivedBatch:
        configured = here.sets[self.name]
        batch: Batch | None = None
        try:
            untouched = isinstance(request, UploadRequestMixin) and "files" not in request.__dict__
            if untouched:
                # From here on the body is ours: read to its end, also where it is refused.
                Body.of(request)
            checked = not csrf or token() is not None or g.get("csrf_valid", False)
            if not checked:
                security.check_origin(request)
                checked = security.check_csrf_header(request)
            check_upload(configured)
            if untouched:
                security.check_length(request, here.settings)
                cast(UploadRequestMixin, request).intake = replace(
                    self._intake(field), open_chunk=chunk_opener(configured)
                )
            if not checked:
                security.check_csrf(request.form.get(security.csrf_field()))
            files = [
                (key, file)
                for key, file in request.files.items(multi=True)
                if (field is None or _base(key) == field) and file.filename
            ]
            if not files and field is not None and any(file.filename for file in request.files.values()):
                raise Rejected.because("empty_field", field=shown(field))
            if is_chunk(request.form):
                return ReceivedBatch(chunk=take_chunk(configured, files[0][1] if files else None))
            batch = Batch(here, configured, owner=owner(), form=request.form)
            for key, file in files:
                if isinstance(file, Part) and not self._received(request):
                    raise RuntimeError(f"{key!r} was received by another upload set than {self.name!r}.")
                batch.add(key, file)
            commit(batch)
            return ReceivedBatch(batch)
        except Rejected as error:
            rejected = error
        except OSError as error:
            security.log_failure("storage failed")
            rejected = from_os_error(error)
        except SQLAlchemyError as error:
            security.log_failure("database failed")
            rejected = from_database_error(error)
        if batch is not None:
            batch.discard()
        journal.refused(self.name, rejected.code)
        return ReceivedBatch(rejected=rejected)

    def url(self, record: Record) -> str:
        """Where the bytes of a stored file of this set are found for good: in its storage where everyone may read
        them there, else with us, root-relative; for its owner, or for all where the set is ``public``.

        OSError where the storage is not one of this app's any more.
        """
        lasting = site_with(self).url_of(record, disposition="inline", expires=None)
        return lasting or str(file_fields(record)["url"])

    def delete(self, id: str | None) -> bool:
        """Delete a file that who is asking may delete, for good; False for any other id than of one in this set.

        Where its storage is away it is gone for everyone all the same, and removed there later. SQLAlchemyError where
        the database is.
        """
        here = site_with(self)
        record = here.records.file(id) if id else None
        return record is not None and record.set == self.name and may("delete", record) and delete(record)


def _base(key: str) -> str:
    return re.sub(r"\[[0-9]*\]$", "", key)
