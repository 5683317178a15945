"""A request's body, read once: ``request.files`` of our endpoints comes from a strict parser that stages parts.

The parser is :class:`multipart.PushMultipartParser`. Werkzeug's own (3.1.5 to 3.1.9) adds a stray byte to the
last file of some bodies, takes a cut body for an empty one, and writes every byte twice (pallets/werkzeug#3285).
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any, cast
from weakref import WeakSet

from flask import Request, current_app
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser
from werkzeug.datastructures import Headers, MultiDict
from werkzeug.exceptions import (
    ClientDisconnected,
    InternalServerError,
    RequestEntityTooLarge,
    default_exceptions,
)
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from ..checks import Rules
from ..config import MAX_FIELD_SIZE, Settings, Size
from ..errors import Rejected
from ..naming import shown
from ..storage import Storage
from . import OtherFile, Part
from .chunks import IncomingChunk, is_chunk
from .patience import Patience, TooSlow

# One read of the input. Each stands in memory some three times (the server's, the parser's, the digest's): bodies that
# come at once take smaller ones, and each begins with some that fit a processor's cache. More is asked for as more has
# come; of gunicorn at once: it copies its whole read-ahead on every read, so that small ones are dear.
_CHUNK = 1 << 20
_FIRST_CHUNK = 1 << 17
_GROWTH = 32
_LEAST_CHUNK = 1 << 15
_CHUNKS_TOGETHER = 1 << 20
# Of whose bytes there were that many at once: who is slow is asked for little (see Patience), and takes none of it.
_coming: WeakSet[Body] = WeakSet()

# A refused body is still read, so that the client sees the answer and not a reset; but not without end.
DRAIN_BYTES = 1 << 30
DRAIN_SECONDS = 30.0


class Body:
    """A request's body: what was read of it, and what is left. ``stream``: in place of the server's own.

    ``min_rate``: bytes a second that have to come; None: the client may take its time.
    """

    def __init__(
        self, environ: dict[str, Any], stream: IO[bytes] | None = None, min_rate: Size | None = None
    ) -> None:
        source = stream or environ["wsgi.input"]
        self._read: Callable[[int], bytes] = source.read
        self._min_rate = min_rate
        self._patience: Patience | None = None
        # What is in memory is there.
        if min_rate and not isinstance(source, BytesIO):
            connection = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
            # What a proxy says of the client's address is not whose connection it is.
            direct = environ.get("werkzeug.proxy_fix.orig", environ).get("REMOTE_ADDR") or ""
            continued = "HTTP_EXPECT" in environ
            self._patience = Patience(source.read, min_rate, connection, direct, continued=continued)
            self._read = self._patience.read
        length = environ.get("CONTENT_LENGTH") or ""
        #: Bytes left to read; None where only the stream knows the end (chunked).
        self.left: int | None = int(length) if length.isascii() and length.isdigit() else 0
        if stream or (not length and environ.get("wsgi.input_terminated")):
            self.left = None
        #: Whether other code may have read some of it, and kept nothing.
        self.shared = False
        self._first = _CHUNK if "gunicorn.socket" in environ else _FIRST_CHUNK
        self._received = 0

    @staticmethod
    def of(request: Request) -> Body:
        """The one Body of this request: what ``get_data()`` has kept where other code called it first."""
        body = request.environ.get("dropzone_app.body")
        if body is None:
            # Once touched, Werkzeug's own stream alone knows where the body ends.
            touched = request._get_stream_for_parsing() if "stream" in request.__dict__ else None
            min_rate = current_app.extensions["uploads"].settings.min_rate if current_app else None
            body = request.environ["dropzone_app.body"] = Body(request.environ, touched, min_rate)
            body.shared = touched is not None and touched is request.stream
        return cast(Body, body)

    @staticmethod
    def begun(request: Request) -> bool:
        """Whether the body of this request is ours to read to its end."""
        return "dropzone_app.body" in request.environ

    def answered(self) -> None:
        """The answer is made: nobody waits for it any more."""
        if self._patience:
            self._patience.answered = True

    def read(self, size: int = _CHUNK) -> bytes:
        """The next bytes; b"" at the end, and when the client went away. Rejected when it is too slow: that was all."""
        size = min(
            size,
            max(self._first, self._received // _GROWTH),
            max(_LEAST_CHUNK, _CHUNKS_TOGETHER // max(1, len(_coming))),
        )
        if self.left is not None:
            size = min(size, self.left)
        try:
            data = self._read(size) if size else b""
        except (OSError, ClientDisconnected):
            data = b""
        except TooSlow:
            self.left = 0
            raise Rejected.because("too_slow", rate=self._min_rate) from None
        self._received += len(data)
        if not data:
            self.left = 0
        elif self.left is not None:
            self.left -= len(data)
        if len(data) >= _LEAST_CHUNK and self.left != 0:
            _coming.add(self)
        else:
            _coming.discard(self)
        return data

    def drain(self) -> None:
        """Read and forget what is left, within :data:`DRAIN_BYTES` and :data:`DRAIN_SECONDS`."""
        budget, deadline = DRAIN_BYTES, time.monotonic() + DRAIN_SECONDS
        with contextlib.suppress(RequestEntityTooLarge, Rejected):
            while self.left != 0 and budget > 0 and time.monotonic() < deadline:
                budget -= len(self.read())


def body_limit(request: Request, settings: Settings) -> Size:
    """The most bytes that this body may have: what the settings say, or less where the host says so of its request."""
    own = request.max_content_length
    return settings.max_content_length if own is None else min(settings.max_content_length, Size(own))


@dataclass(frozen=True)
class Intake:
    """What the parser must know of the endpoint it parses for."""

    settings: Settings
    rules: Rules
    storage: Storage
    #: The file field that is ours, with or without an index; None: every one.
    field: str | None
    #: What becomes of a file under another field: refuse the request, or leave it to the view, whose form it is.
    leave_others: bool = False
    #: Takes the fields of a chunk, its key and its filename: where its bytes go. None: nobody can say yet.
    open_chunk: Callable[[Mapping[str, str], str, str], IncomingChunk] | None = None


#: The attribute of a view that has its forms parsed by us, whoever reads them first.
INTAKE_OF_VIEW = "uploads_intake"


class UploadRequestMixin(Request):
    """Over an app's own request class: parses for our endpoints and for views that ask for it, and leaves every
    other request alone.
    """

    #: Set by the endpoint's guard before anything touches the body.
    intake: Intake | None = None
    _refused: Rejected | None = None

    def make_form_data_parser(self) -> FormDataParser:
        if self.intake is not None:
            return _PartParser(self, self.intake)
        view = current_app.view_functions.get(self.endpoint or "")
        wanted: Callable[[], Intake] | None = getattr(view, INTAKE_OF_VIEW, None)
        if wanted is None or self.mimetype != "multipart/form-data":
            return super().make_form_data_parser()
        self.intake = wanted()
        return (_FormParser if self.intake.leave_others else _PartParser)(self, self.intake)


_File = Part | IncomingChunk | OtherFile


class _PartParser(FormDataParser):
    """Parses a multipart form into fields and staged :class:`Part`s.

    Rejected for what makes the whole request unusable; then nothing stays staged.
    """

    def __init__(self, request: UploadRequestMixin, intake: Intake) -> None:
        super().__init__(cls=request.parameter_storage_class)
        self._request = request
        # Before Werkzeug touches the stream to hand it over.
        self._body = Body.of(request)
        self._intake = intake
        #: Files of ours that have begun.
        self._received = 0
        host_limit = request.max_form_memory_size
        if intake.leave_others:
            # The form is the host's.
            self._field_limit = host_limit or intake.settings.max_content_length
        else:
            self._field_limit = min(MAX_FIELD_SIZE, host_limit or MAX_FIELD_SIZE)
        name = ".*" if intake.field is None else re.escape(intake.field) + r"(?:\[[0-9]{0,9}\])?"
        self._field_name = re.compile(name, re.DOTALL)

    def parse(
        self,
        stream: IO[bytes],
        mimetype: str,
        content_length: int | None,
        options: dict[str, str] | None = None,
    ) -> tuple[IO[bytes], MultiDict[str, str], MultiDict[str, Any]]:
        boundary = (options or {}).get("boundary", "")
        if mimetype != "multipart/form-data" or not boundary or not boundary.isascii():
            raise Rejected.because("not_multipart")
        if self._request._refused is not None:
            # Somebody asks again after the refusal; the rest of the body is no form.
            raise self._request._refused
        parts: list[_File] = []
        try:
            fields = self._parse(boundary, parts)
        except BaseException as error:
            for part in parts:
                part.discard()
            if isinstance(error, Rejected):
                self._request._refused = error
            raise
        # The parser names the empty input of a form without a choice: a part without name and bytes is none.
        named = [
            part
            for part in parts
            if not isinstance(part, Part) or part.filename or part.size or part.sent_name
        ]
        # The given stream does not know that its bytes were taken past it, and would wait for them.
        return BytesIO(), self.cls(fields), self.cls([(part.name or "", part) for part in named])

    def _parse(self, boundary: str, parts: list[_File]) -> list[tuple[str, str]]:
        """Read the body; parts go into ``parts`` as they begin, so that a failure can let go of them."""
        settings = self._intake.settings
        body = self._body
        parser = PushMultipartParser(
            boundary,
            max_segment_count=self._intake.rules.max_form_parts,
            max_header_size=8192,
            # Read as bytes, so that a name in another encoding is one part's refusal and not the whole request's.
            header_charset="latin-1",
        )
        fields: list[tuple[str, str]] = []
        # Of a field that comes twice the first one counts, as in request.form.
        beside: dict[str, str] = {}
        part: _File | None = None
        field: _Field | None = None
        most, limit = self._intake.rules.max_total_size, body_limit(self._request, settings)
        total = received = 0
        begun = b""
        try:
            while data := body.read():
                received += len(data)
                if received > limit:
                    raise Rejected.because("body_over_limit", limit=limit)
                if len(begun) < len(boundary) + 4:
                    begun += data[: len(boundary) + 4]
                    if not _begins_form(begun, boundary):
                        raise Rejected.because("body_taken") if body.shared else Rejected.because("malformed")
                for event in parser.parse(data):
                    if isinstance(event, MultipartSegment):
                        filename = _filename(event)
                        if filename is None:
                            field = _Field(_utf8(event.name), self._field_limit)
                        else:
                            part = self._open(event, filename, beside)
                            parts.append(part)
                    elif event is None:
                        if part is not None:
                            part.finish()
                            total += _kept(part)
                        elif field is not None:
                            fields.append((field.name, field.value()))
                            beside.setdefault(*fields[-1])
                        part = field = None
                    elif part is not None:
                        part.feed(event)
                        if most and total + _kept(part) > most:
                            raise Rejected.because("total_too_large", limit=most)
                    elif field is not None:
                        field.feed(event)
            if not begun:
                raise Rejected.because("body_taken") if body.shared else Rejected.because("no_file")
            parser.close()
        except ParserLimitReached as error:
            if "segment count" in str(error):
                raise Rejected.because("too_many_fields", limit=self._intake.rules.max_form_parts) from error
            raise Rejected.because("malformed") from error
        except MultipartError as error:
            raise Rejected.because("malformed") from error
        return fields

    def _open(self, segment: MultipartSegment, sent: str, beside: Mapping[str, str]) -> _File:
        """A part for a file segment. Rejected when the whole request is wrong to have it."""
        key = _utf8(segment.name)
        if not self._field_name.fullmatch(key):
            if self._intake.leave_others:
                return OtherFile(key=key, filename=sent, headers=_headers(segment))
            raise Rejected.because("wrong_field", field=shown(key), name=self._intake.settings.field)
        if is_chunk(beside):
            if self._intake.open_chunk:
                if self._received:
                    raise Rejected.because("one_chunk")
                self._received += 1
                return self._intake.open_chunk(beside, key, sent)
            # Whose chunk it is, is not known yet; it is copied once it is received.
            return OtherFile(key=key, filename=sent, headers=_headers(segment))
        rules = self._intake.rules
        if rules.max_files and self._received >= rules.max_files:
            raise Rejected.because("too_many_files", limit=rules.max_files)
        if self._received >= rules.max_parts:
            raise Rejected.because("too_many_parts", limit=rules.max_parts)
        self._received += 1
        return Part(
            rules,
            self._intake.storage,
            key=key,
            filename=sent,
            headers=_headers(segment),
        )


class _FormParser(_PartParser):
    """For a form that code of the host's reads: what makes the request unusable is the host's to answer."""

    def parse(self, *given: Any, **named: Any) -> tuple[IO[bytes], MultiDict[str, str], MultiDict[str, Any]]:
        try:
            return super().parse(*given, **named)
        except Rejected as rejected:
            raise default_exceptions.get(rejected.status, InternalServerError)(
                rejected.sentence
            ) from rejected


class _Field:
    """A form field that is not a file, as it arrives."""

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self._limit = limit
        self._value = bytearray()

    def feed(self, data: bytes) -> None:
        self._value += data
        if len(self._value) > self._limit:
            raise Rejected.because("field_too_large", field=shown(self.name), limit=Size(self._limit))

    def value(self) -> str:
        try:
            return self._value.decode()
        except UnicodeDecodeError as error:
            raise Rejected.because("malformed") from error


def _kept(part: _File) -> int:
    """How much of what the set may take in one request this part takes: nothing where it is refused by itself."""
    return 0 if isinstance(part, OtherFile) or part.rejected else part.size


def _headers(segment: MultipartSegment) -> Headers:
    try:
        return Headers(segment.headerlist)
    except ValueError as error:
        # Half of a line's end stands in one.
        raise Rejected.because("malformed") from error


def _filename(segment: MultipartSegment) -> str | None:
    """The filename as sent; None for a field that is not a file, "" for a name that is no UTF-8."""
    disposition = segment.header("Content-Disposition", "")
    if segment.filename is None and "filename*" in disposition:
        # RFC 7578 forbids this form, and some clients send it all the same for names that are not ASCII.
        return parse_options_header(disposition)[1].get("filename")
    return None if segment.filename is None else _utf8(segment.filename)


def _utf8(header: str | None) -> str:
    """A header's value, which was read as latin-1, in the encoding that RFC 7578 asks for; "" where it is not."""
    try:
        return (header or "").encode("latin-1").decode()
    except UnicodeDecodeError:
        return ""


def _begins_form(data: bytes, boundary: str) -> bool:
    """Whether a body can begin so. The parser would look for the boundary in all of a body that has none."""
    start = b"--" + boundary.encode()
    return data.startswith((start[: len(data)], (b"\r\n" + start)[: len(data)]))
