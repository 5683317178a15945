"""Files that go straight to the store: what a browser asks of us before and after it has sent them there."""

from __future__ import annotations

from flask import Response, jsonify, request
from werkzeug.wrappers import Response as BaseResponse

from .. import security
from ..checks import check_sha256
from ..direct import DirectUploads, Signed
from ..errors import Rejected
from ..intake.request import Body
from ..storage.signed import CONTENT_TYPE
from .base import check_upload_uuid, may_upload, owner, site
from .states import announced_file, read_question, state_fields, unkept
from .upload import tell_verdicts, told


def sign(name: str) -> Response:
    """Begin one file, or go on with it: where its next parts go, or what became of it."""
    upload_set, question = site().upload_set(name), read_question(Body.of(request))
    file = announced_file("", question)
    who = owner()
    if security.is_first_visit():
        # As for a chunk: what is asked next would be another owner's.
        raise Rejected.because("chunk_without_session")
    signed = DirectUploads(site(), upload_set, who).sign(file)
    if not isinstance(signed, Signed):
        return told([signed])
    parts = [part._asdict() for part in signed.parts]
    expires = site().settings.direct_minutes * 60
    more = {"parts": parts, "headers": {"Content-Type": CONTENT_TYPE}, "expires": expires}
    return unkept(jsonify(state_fields(signed.state) | more))


def complete(uuid: str) -> BaseResponse:
    """Store a file of which all is in the store, and say what became of it."""
    sha256 = read_question(Body.of(request)).get("sha256")
    if sha256 is not None:
        check_sha256("sha256", sha256 if isinstance(sha256, str) else "")
    me = owner()
    check_upload_uuid(uuid)
    begun = site().records.unfinished.find(me, uuid)
    record = site().records.of_uuids(me, [uuid]).get(uuid)
    known = begun or record
    upload_set = site().sets.get(known.set) if known else None
    if upload_set is None or not may_upload(upload_set):
        raise Rejected.because("unknown_upload")
    verdict = DirectUploads(site(), upload_set, me).complete(uuid, str(sha256).lower() if sha256 else None)
    security.note_commit()
    tell_verdicts(upload_set.declared, [verdict])
    return told([verdict])
