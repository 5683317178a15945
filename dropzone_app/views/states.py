"""What became of uploads: asked before they are sent, and after a connection, a server or a page was lost."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any

from flask import Response, jsonify, request, url_for

from .. import security
from ..checks import check_sha256, check_uuid
from ..chunked import ChunkedUploads
from ..config import Size
from ..direct import in_store
from ..errors import Rejected
from ..intake.request import Body
from ..languages import Phrase
from ..records import STORED
from ..state import Announced, State, announce, states
from .base import check_upload_uuid, may, may_upload, owner, site
from .files import delete, file_fields, iso_time

#: Files of one question.
MAX_ANNOUNCED = 1000
#: Uploads of one list.
MAX_UNFINISHED = 1000
#: Of those, how many that go straight to the store are looked up there.
MAX_IN_STORE = 20
#: Bytes of one question: a thousand of the longest names and paths, each character escaped, are less.
MAX_QUESTION = Size(8_000_000)


def check(name: str | None = None) -> Response:
    """What would become of the files that the body announces, before a byte of them is sent."""
    announced = _announced(read_question(Body.of(request)))
    return _told(announce(site(), site().upload_set(name), owner(), announced, _mine))


def unfinished() -> Response:
    """My uploads of which not all has arrived, the newest thousand."""
    found = site().records.unfinished.of_owner(owner(), MAX_UNFINISHED)
    known = states(site(), owner(), [upload.uuid for upload in found])
    with contextlib.suppress(OSError):
        # What is not told is asked of each one when it is gone on with.
        for upload in [one for one in found if one.direct and one.uuid in known][:MAX_IN_STORE]:
            known[upload.uuid] = in_store(site(), known[upload.uuid])
    return _told(
        {uuid: state for uuid, state in known.items() if state.state == "receiving" and _mine(state)}
    )


def state(uuid: str) -> Response:
    """One upload of mine."""
    found = states(site(), owner(), [uuid]).get(uuid)
    if found is None or not _mine(found):
        raise Rejected.because("unknown_upload")
    return unkept(jsonify(state_fields(in_store(site(), found))))


def _mine(state: State) -> bool:
    """Whether I may still know of an upload that I have begun."""
    if state.record is not None:
        return may("read", state.record)
    return state.upload is None or may_upload(site().sets.get(state.upload.set))


def cancel(uuid: str) -> Response:
    """Forget what has arrived of an upload of mine, or delete the file that it became, and take no more under its uuid.

    Also where nothing has arrived yet: somebody on the way may still hold it.
    """
    me = owner()
    check_upload_uuid(uuid)
    begun = site().records.unfinished.find(me, uuid)
    record = site().records.of_uuids(me, [uuid]).get(uuid)
    upload = None
    if (begun is None or may_upload(site().sets.get(begun.set))) and (
        record is None or may("delete", record)
    ):
        upload = ChunkedUploads.cancel(site(), me, uuid)
        # It may have come between.
        record = site().records.of_uuids(me, [uuid]).get(uuid)
    if record is not None and record.state != STORED:
        raise Rejected.because("uuid_busy")
    deleted = record is not None and may("delete", record) and delete(record)
    if not (deleted or upload):
        raise Rejected.because("unknown_upload")
    return Response(status=204)


def state_fields(state: State, root: str = "") -> dict[str, Any]:
    """A State of the HTTP contract. ``root``: the path of all files, for a caller that asks for many."""
    fields: dict[str, Any] = {"state": state.state}
    if state.rejected is not None:
        rejected = state.rejected
        fields["error"] = rejected.sentence_in(security.language())
        fields |= {"status": rejected.status, "code": rejected.code}
    if state.size is not None:
        fields["size"] = state.size
    if state.ranges is not None:
        fields["ranges"] = state.ranges
    if state.record is not None:
        fields["file"] = file_fields(state.record, root)
    if state.upload is not None:
        upload = state.upload
        fields |= {"set": upload.set, "filename": upload.filename, "path": upload.path}
        fields |= {"chunk_size": upload.chunk_size, "created": iso_time(upload.created)}
        if upload.direct:
            fields["direct"] = True
        if upload.sha256:
            fields["sha256"] = upload.sha256
    return fields


def _told(states: Mapping[str, State]) -> Response:
    root = url_for("uploads.files")
    return unkept(jsonify(uploads={uuid: state_fields(state, root) for uuid, state in states.items()}))


def unkept(response: Response) -> Response:
    """``response``, which is true now only."""
    response.headers["Cache-Control"] = "no-store"
    return response


def read_question(body: Body) -> dict[str, Any]:
    """What a body asks. Rejected where it cannot be understood."""
    text = b""
    while data := body.read():
        text += data
        if len(text) > MAX_QUESTION:
            raise Rejected.because("list_too_long", limit=MAX_QUESTION)
    try:
        question = json.loads(text)
    except (ValueError, RecursionError):
        raise Rejected.because("bad_list") from None
    if not isinstance(question, dict):
        raise Rejected.because("bad_list")
    return question


def _announced(question: Mapping[str, Any]) -> list[Announced]:
    """The files that a question names. Rejected where it cannot be understood."""
    files = question.get("files")
    if not isinstance(files, list) or not all(isinstance(file, dict) for file in files):
        raise Rejected.because("bad_list")
    if len(files) > MAX_ANNOUNCED:
        raise Rejected.because("list_too_long", limit=Phrase("{n} files", n=f"{MAX_ANNOUNCED:,}"))
    announced = [announced_file(f"files[{index}].", file) for index, file in enumerate(files)]
    if len({file.uuid for file in announced}) < len(announced):
        raise Rejected.because("bad_field", field="uuid", expected=Phrase("another one for each file"))
    return announced


def announced_file(where: str, fields: Mapping[str, Any]) -> Announced:
    """One file that a question names. ``where``: what its fields are called in front of their names."""
    uuid, filename, size, sha256 = (fields.get(key) for key in ("uuid", "filename", "size", "sha256"))
    check_uuid(f"{where}uuid", uuid if isinstance(uuid, str) else "")
    if not isinstance(filename, str):
        raise Rejected.because("bad_field", field=f"{where}filename", expected=Phrase("a text"))
    if not isinstance(size, int) or isinstance(size, bool) or not re.fullmatch("[0-9]{1,18}", str(size)):
        raise Rejected.because("bad_field", field=f"{where}size", expected=Phrase("a number of bytes"))
    if sha256 is not None:
        check_sha256(f"{where}sha256", sha256 if isinstance(sha256, str) else "")
    path = fields.get("path")
    return Announced(
        str(uuid),
        filename,
        size,
        str(sha256).lower() if sha256 else None,
        path if isinstance(path, str) else "",
    )
