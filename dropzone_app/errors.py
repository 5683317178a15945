"""Every sentence a client can get, in one table, and the one exception that carries them.

A sentence names the reason, the limit and what to do. It begins in lower case where it may follow a
file's name (``"huge.png": the file is 12.1 MB; …``); :attr:`Rejected.sentence` is the form that stands alone.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Mapping
from typing import NamedTuple, Self

from .languages import ENGLISH, Phrase, capital, languages, told


class Message(NamedTuple):
    """A row of the table: HTTP status and sentence, with ``{placeholders}``."""

    status: int
    text: str


#: The browser reads the same rows (see ``options["messages"]`` of a zone), so that one fact has one sentence.
MESSAGES: dict[str, Message] = {
    # One part. The other parts of its batch are not touched by it.
    "empty_name": Message(400, "the file has no usable name; rename it and send it again."),
    "no_extension": Message(415, "files without an extension are not accepted here. Accepted: {accepted}."),
    "extension": Message(415, ".{extension} files are not accepted here. Accepted: {accepted}."),
    "too_large": Message(413, "the file is {size}; the limit is {limit}."),
    "empty_file": Message(422, "the file is empty; an empty {kind} file cannot be opened."),
    "not_the_kind": Message(
        415, "the file is named .{extension}, but its content is not {kind}; choose another file."
    ),
    "other_kind": Message(
        415,
        "the file is named .{extension}, but its content is {found}, not {kind}; "
        "give it its right name or choose another file.",
    ),
    "not_text": Message(
        415, "the file is named .{extension}, but its content is not text; choose another file."
    ),
    "cut_off": Message(
        422, "the file is named .{extension}, but it ends before {kind} is complete; choose the whole file."
    ),
    "bad_syntax": Message(
        422,
        "the file is named .{extension}, but its content is not {kind}: line {line}, column {column} breaks the "
        "rules; correct it or choose another file.",
    ),
    "harmful_entities": Message(
        422,
        "the file defines entities that are made of others, are very long or lie elsewhere, which harms programs "
        "that read it; remove them and send it again.",
    ),
    "too_many_pixels": Message(
        422,
        "the picture has {megapixels} megapixels ({size}); the limit is {limit} megapixels. Make it smaller.",
    ),
    "undecodable": Message(
        422, "the picture cannot be decoded: it is damaged, cut off or too large; choose another file."
    ),
    "not_decoded": Message(
        503, "the picture could not be checked at the moment, and was not stored; try again later."
    ),
    "damaged_picture": Message(
        422, "the picture is damaged, so that its metadata cannot be removed; choose another file."
    ),
    "unsafe_svg": Message(
        422, "the drawing cannot be read as SVG, so that it cannot be made safe; choose another file."
    ),
    "svg_too_large": Message(
        413, "the drawing is {size}; up to {limit} can be made safe here. Choose a smaller one."
    ),
    "infected": Message(
        422, "a virus scanner found something in the file ({signature}), and it was not stored."
    ),
    "not_scannable": Message(
        413,
        "the file is too large, or packed too deeply, to be scanned for viruses, and was not stored; "
        "send it smaller or unpacked.",
    ),
    "not_scanned": Message(
        503, "the file could not be scanned for viruses at the moment, and was not stored; try again later."
    ),
    "size_differs": Message(400, "{received} arrived, but {declared} should have; send the file again."),
    "digest_differs": Message(
        422, "what arrived is not what was announced (its SHA-256 differs); send the file again."
    ),
    "bad_field": Message(400, 'the value of the field "{field}" must be {expected}.'),
    "uuid_taken": Message(
        409, "another file was already stored under this upload's uuid; drop the file again."
    ),
    "uuid_busy": Message(
        409, "this file is just being stored by another request; try again in a few seconds."
    ),
    "drop_full": Message(422, "only {limit} can be taken at a time; add this one in another drop."),
    "duplicate": Message(409, 'the same file is already here as "{filename}"; it need not be sent again.'),
    "quota_bytes": Message(
        403,
        "there is no room for this file ({size}): all your files may have {limit} together, and have {used} with "
        "those that are still on their way. Delete some, then send it again.",
    ),
    "quota_files": Message(
        403,
        "there is no room for one more file: the most that you may have is {limit}, with those that are still on "
        "their way. Delete some, then send it again.",
    ),
    "quota_bytes_of_set": Message(
        403,
        'there is no room for this file ({size}): your files in "{name}" may have {limit} together, and have {used} '
        "with those that are still on their way. Delete some, then send it again.",
    ),
    "quota_files_of_set": Message(
        403,
        'there is no room for one more file: the most that you may have in "{name}" is {limit}, with those that are '
        "still on their way. Delete some, then send it again.",
    ),
    "window_full": Message(
        429, "you may send {limit} in {period}, and this file would be more; send it again in {wait}."
    ),
    "window_too_small": Message(
        403, "the file is {size}, and you may send {limit} in {period}; choose a smaller one."
    ),
    "window_too_small_together": Message(
        403,
        "the files of this batch belong together, and you may send {limit} in {period}, which is less; "
        "choose fewer or smaller ones.",
    ),
    # One chunk of a file: it does not count, and the file may still come.
    "chunk_fields": Message(
        400,
        'the fields of this chunk do not agree: "{field}" should be {expected}; reload the page and send it again.',
    ),
    "chunk_length": Message(
        400, "{received} of this chunk arrived, but {declared} belong to it; send it again."
    ),
    "chunk_digest": Message(
        422, "this chunk is not what was announced (its SHA-256 differs); send it again."
    ),
    "chunk_changed": Message(
        409,
        "this is of another file than what came first under its uuid ({field} differs); drop the file again.",
    ),
    "chunk_overlaps": Message(
        409, "this chunk overlaps another one that is here; ask what is here, and send the rest."
    ),
    "upload_gone": Message(
        409, "what had arrived of this file is gone: it was cancelled or cleared away; send the file again."
    ),
    # Also when a chunk comes that somebody on the way has held back.
    "upload_cancelled": Message(
        410, "the upload of this file was cancelled; drop the file again to send it after all."
    ),
    # A file that goes straight to the store.
    "not_direct": Message(400, "files cannot go straight to the store here; send this one to the server."),
    "other_way": Message(
        409, "a part of this file came another way before; cancel that upload, then send the file again."
    ),
    "parts_missing": Message(
        409, "{there} of this file are in the store, and it has {size}; send what is missing."
    ),
    "no_chunks": Message(400, "files cannot be sent in chunks here; send the file in one piece."),
    # A request of the tus protocol; the upload may go on.
    "tus_version": Message(
        412,
        "Uploads by the tus protocol must have the header Tus-Resumable: 1.0.0; use a client of that version.",
    ),
    "tus_extension": Message(
        400, "{header} belongs to an extension of the tus protocol that is not offered here; send it without."
    ),
    "tus_type": Message(415, "The bytes of an upload must be sent as application/offset+octet-stream."),
    "tus_offset": Message(
        409,
        "{held} of this upload are here, and what came begins elsewhere; ask for its offset, and go on there.",
    ),
    "tus_excess": Message(
        413,
        "more arrived than the {size} that were announced of this file; send it again from the beginning.",
    ),
    # The status is the protocol's own.
    "tus_checksum": Message(460, "what arrived is not what its checksum says; send it again."),
    "tus_stored": Message(403, "The upload is complete, and its file is stored; delete it among your files."),
    "tus_gone": Message(
        410, "This upload was refused, or its file was deleted; choose a file and begin an upload of its own."
    ),
    # A file in chunks, for good.
    "chunk_differs": Message(
        409, "two versions of this file arrived: it may have changed while it was sent; drop it again."
    ),
    "damaged": Message(422, "what had arrived of this file was damaged; send the file again."),
    "batch_refused": Message(
        422, "not stored, because another file of this batch was refused and they belong together."
    ),
    "empty_not_kept": Message(422, "the file is empty, and empty files cannot be kept here."),
    # A whole request. Nothing of it was stored.
    "no_file": Message(400, "No file arrived, or the upload was cut off; send the files again."),
    "malformed": Message(
        400, "The upload was cut off or is malformed, and nothing was stored; send the files again."
    ),
    "wrong_field": Message(
        400, 'The file field "{field}" is not known here; name it "{name}" or "{name}[0]".'
    ),
    # Of a form of the host's own, whose other fields are not ours to speak of.
    "empty_field": Message(400, 'No file arrived in the field "{field}"; choose one and send it again.'),
    "too_many_parts": Message(
        413,
        "Too many files in one request: the limit is {limit}, and nothing was stored; send fewer at a time.",
    ),
    "too_many_files": Message(
        422, "Too many files at once: the limit is {limit}, and nothing was stored; choose fewer."
    ),
    "total_too_large": Message(
        413,
        "The files of one request may have {limit} together, and nothing was stored; send fewer at a time.",
    ),
    "too_many_fields": Message(
        413, "One request may hold {limit} form fields at most, and nothing was stored; send fewer."
    ),
    "field_too_large": Message(
        413, 'The form field "{field}" is longer than {limit}, and nothing was stored; shorten it.'
    ),
    "body_too_large": Message(
        413, "The upload is {size}; the limit for one request is {limit}. Send fewer or smaller files."
    ),
    "body_over_limit": Message(
        413, "The upload is larger than {limit}, the limit for one request. Send fewer or smaller files."
    ),
    "one_chunk": Message(
        400, "A request with a chunk may hold no other file; send them in requests of their own."
    ),
    "chunk_without_session": Message(
        400,
        "The pieces of a file belong to the session that sends them, and this request has none; reload the page and "
        "try again.",
    ),
    "chunk_late": Message(400, "The fields of a chunk must stand before its file in the form."),
    "not_multipart": Message(415, "Uploads must be sent as a multipart/form-data form with a boundary."),
    "content_encoding": Message(415, "Uploads must be sent without Content-Encoding."),
    "foreign_origin": Message(
        403, "Uploads from another site ({origin}) are not accepted; open the upload page itself."
    ),
    "csrf_missing": Message(400, "The CSRF token is missing; reload the page and try again."),
    "csrf_expired": Message(400, "The CSRF token has expired; reload the page and try again."),
    "csrf_invalid": Message(
        400, "The CSRF token is not valid for this session; reload the page and try again."
    ),
    "csrf_session": Message(
        400, "The session has no CSRF token (are cookies allowed?); reload the page and try again."
    ),
    "not_json": Message(415, "The list of files must be sent as application/json."),
    "bad_list": Message(
        400,
        'The list of files cannot be read; send JSON with "files", each with "uuid", "filename" and "size".',
    ),
    "list_too_long": Message(413, "The list of files is longer than {limit}; send it in shorter pieces."),
    "unknown_set": Message(404, 'There is no upload set called "{name}".'),
    "unknown_file": Message(404, "There is no such file here, or it is not yours."),
    "unknown_upload": Message(404, "There is no such upload here, or it is not yours."),
    "unknown_batch": Message(404, "There is no such batch here, or it is older than a day."),
    "unknown_share": Message(
        404, "This link leads nowhere: it has ended, was taken back, or is not whole; ask for another one."
    ),
    "too_many_shares": Message(
        409, "This file has {limit} links already, and may have no more; take one of them back first."
    ),
    "no_thumbnail": Message(404, "There is no small picture of this file; open the file itself."),
    "thumbnail_later": Message(
        503, "The small picture cannot be made at the moment; ask again in a few seconds."
    ),
    "bad_cursor": Message(400, "This page of the list cannot be found; begin again at the first page."),
    # What the server or the framework says; found by status where Flask raises them.
    "bad_request": Message(400, "The request could not be understood; reload the page and try again."),
    "signed_out": Message(401, "You are signed out; sign in again and repeat the upload."),
    "token_wrong": Message(
        401, "The API token is not valid here: it may have expired or been revoked; ask for another one."
    ),
    "code_wrong": Message(403, "That is not the access code; look it up and try again."),
    "code_wait": Message(429, "Too many wrong codes came from there; try again in {seconds} seconds."),
    "not_authorized": Message(
        403, 'You may not upload anything to "{name}"; ask whoever looks after this place.'
    ),
    "forbidden": Message(403, "You may not do this here."),
    "not_found": Message(404, "There is nothing at this address."),
    "method": Message(405, "This address does not take {method} requests."),
    "too_slow": Message(
        408,
        "The upload came too slowly, less than {rate} a second; look at the connection, and send what is missing "
        "again.",
    ),
    "length_required": Message(411, "The upload must say its length; send it with Content-Length."),
    "changed": Message(412, "The file is another one than you asked for; ask for it anew."),
    "range": Message(416, "The file does not have the range of bytes that was asked for."),
    "too_often": Message(429, "Too many uploads at the moment; wait a little and try again."),
    "too_many_at_once": Message(
        429,
        "You have {limit} uploads under way, and may have no more at once; send this one when one has ended.",
    ),
    "internal": Message(500, "Something went wrong on the server, and nothing was stored; try again."),
    "internal_stored": Message(
        500,
        "Something went wrong on the server after the files had been dealt with; look at your files before you "
        "send any again.",
    ),
    "body_taken": Message(
        500,
        "Other code of this app has read the upload before it could be received, and nothing was stored; "
        "tell its owner.",
    ),
    "unavailable": Message(
        503, "The server cannot store files at the moment, and nothing was stored; try again later."
    ),
    "disk_full": Message(
        507, "The server has no room left, and nothing was stored; try again later or tell its owner."
    ),
}

#: The row that speaks for an HTTP error which came from the framework.
BY_STATUS: dict[int, str] = {
    400: "bad_request",
    401: "signed_out",
    403: "forbidden",
    404: "not_found",
    405: "method",
    411: "length_required",
    412: "changed",
    413: "body_over_limit",
    415: "not_multipart",
    416: "range",
    429: "too_often",
    500: "internal",
    503: "unavailable",
    507: "disk_full",
}


class Rejected(Exception):
    """A refusal: one sentence for the person, and the HTTP status it is answered with.

    A check of your own raises ``Rejected("PNG only!")``; the table's rows are raised by
    :meth:`because`. ``code`` is the row's name, ``"custom"`` for a sentence of your own.

    A row is answered in the reader's language, a sentence of your own as you wrote it, or as ``translations`` says it
    (language → sentence).
    """

    def __init__(
        self,
        text: str,
        status: int = 400,
        code: str = "custom",
        translations: Mapping[str, str] | None = None,
    ) -> None:
        if not 400 <= status <= 599:
            raise ValueError(f"a refusal has a 4xx or 5xx status, not {status}")
        # A refusal is one line of the answer: a line break in it could begin another part's line.
        text = _one_line(text) or MESSAGES["bad_request"].text
        super().__init__(text)
        self.text = text
        self.status = status
        self.code = code
        #: Seconds that it holds, where that is known.
        self.retry_after: int | None = None
        self._translations = {language: _one_line(one) for language, one in (translations or {}).items()}
        self._values: Mapping[str, object] | None = None

    @classmethod
    def because(cls, code: str, **values: object) -> Rejected:
        """The table's row ``code``, its placeholders filled from ``values``. KeyError for an unknown row."""
        message = MESSAGES[code]
        rejected = cls(message.text.format(**values), message.status, code)
        rejected._values = values
        return rejected

    def for_seconds(self, seconds: int) -> Self:
        """This refusal, which holds so long: the answer tells it as ``Retry-After`` (RFC 9110, 10.2.3)."""
        self.retry_after = seconds
        return self

    def told(self, language: str) -> str:
        """The text in ``language``; as it was written where it is not known in that one."""
        if language not in self._translations and self._values is not None:
            template = languages()[language].server.get(self.code, MESSAGES[self.code].text)
            values = {name: told(value, language) for name, value in self._values.items()}
            self._translations[language] = _one_line(template.format(**values))
        return self._translations.get(language) or self.text

    def sentence_in(self, language: str) -> str:
        """:meth:`told` as it stands alone: with a capital letter."""
        return capital(self.told(language))

    @property
    def translations(self) -> dict[str, str]:
        """The text in every other language than its own."""
        return {tag: text for tag in languages() if tag != ENGLISH and (text := self.told(tag)) != self.text}

    def dumps(self) -> str:
        """The refusal as text that can be kept."""
        kept = {
            "text": self.text,
            "status": self.status,
            "code": self.code,
            "translations": self.translations,
        }
        return json.dumps(kept)

    @classmethod
    def loads(cls, text: str) -> Rejected:
        """The refusal that :meth:`dumps` wrote down."""
        return cls(**json.loads(text))

    @property
    def sentence(self) -> str:
        """The text as it stands alone: with a capital letter."""
        return capital(self.text)


def traced(sentence: str, status: int, request: str, language: str) -> str:
    """``sentence``, which for a fault of the server's (5xx) names the request by which its log knows it."""
    if status < 500 or not request:
        return sentence
    return sentence + Phrase(" Request {id}.", id=request).told(language)


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


#: No room: the disk (ENOSPC), the user's share of it (EDQUOT), or the largest file it can hold (EFBIG).
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def from_os_error(error: OSError) -> Rejected:
    """The refusal for a failure of disk or storage: 507 where room is missing, else 503.

    The error's own text is not told: it holds paths.
    """
    return Rejected.because("disk_full" if error.errno in FULL else "unavailable")
