"""Who may ask what, decided before a body is read, and what every answer of ours carries."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from hashlib import sha256
from typing import Any, Literal, cast

from flask import Flask, Request, Response, current_app, request, session
from flask.sessions import SecureCookieSessionInterface
from flask_wtf.csrf import CSRFProtect, generate_csrf, validate_csrf
from werkzeug.exceptions import HTTPException
from wtforms import ValidationError

from .config import Settings, Size
from .errors import BY_STATUS, Rejected, traced
from .intake.request import Body, body_limit
from .languages import Phrase
from .naming import shown
from .records import Record
from .uploads import Site, UploadSet

#: Names the host app's owner of a request; None means that nobody is signed in.
Owner = Callable[[], str | None]
#: What somebody would like to do: ``upload`` to a set, or ``list``, ``read``, ``share`` or ``delete`` a record.
Action = Literal["upload", "list", "read", "share", "delete"]
#: The host app's word on it; None leaves it to us. The set is None where the app has it no more, the record for
#: ``upload``.
Authorize = Callable[[Action, UploadSet | None, Record | None], bool | None]

_SESSION_OWNER = "uploads_owner"
_COMMITTED = "dropzone_app.committed"
_LANGUAGE = "dropzone_app.language"
_FIRST_VISIT = "dropzone_app.first_visit"
_REQUEST_ID = "dropzone_app.request_id"
_CSRF_HEADERS = ("X-CSRFToken", "X-CSRF-Token")
#: Seconds that a good token may be taken for good without another look.
_LOOK_AGAIN = 5
#: Flask-WTF's words for what is wrong with a token, and our row for each.
_CSRF_CODES = {
    "The CSRF token is missing.": "csrf_missing",
    "The CSRF session token is missing.": "csrf_session",
    "The CSRF token has expired.": "csrf_expired",
    "The CSRF token is invalid.": "csrf_invalid",
    "The CSRF tokens do not match.": "csrf_invalid",
}


# ---- who


def owner_of_session() -> str:
    """The owner by signed session: an id made at the first visit.

    Requests that leave a page together are of one owner, whichever of their cookies comes last: all of them have the
    CSRF token that came with the page.
    """
    owner = session.get(_SESSION_OWNER)
    if not isinstance(owner, str):
        token = session.get(csrf_field())
        request.environ[_FIRST_VISIT] = not token
        secret = token if isinstance(token, str) else secrets.token_hex(16)
        owner = session[_SESSION_OWNER] = sha256(f"{_SESSION_OWNER} {secret}".encode()).hexdigest()[:32]
    return owner


def is_first_visit() -> bool:
    """Whether this request came without a session, so that another one sent with it has another owner."""
    return bool(request.environ.get(_FIRST_VISIT, False))


class Sessions(SecureCookieSessionInterface):
    """Flask's sessions, whose cookie never travels in the clear once it came over TLS (``Secure``)."""

    def get_cookie_secure(self, app: Flask) -> bool:
        return super().get_cookie_secure(app) or request.is_secure


def owner_of_lasting_session() -> str:
    """The owner by a session that outlives the browser: a visitor comes back to the same files."""
    if not session.permanent:
        session.permanent = True
    return owner_of_session()


# ---- before the body is read


def check_origin(request: Request) -> None:
    """Rejected for a request that another site made.

    Host and port are compared with ``Host``; the scheme is the proxy's affair (it may end TLS).
    """
    origin = request.headers.get("Origin")
    if origin is None:
        if request.headers.get("Sec-Fetch-Site") == "cross-site":
            raise Rejected.because("foreign_origin", origin=Phrase("unknown"))
        return
    scheme, _, authority = origin.lower().partition("://")
    default = {"http": ":80", "https": ":443"}.get(scheme)
    # A proxy may have put either default port into Host; an origin leaves out only that of its own scheme.
    host = request.host.lower().removesuffix(":80").removesuffix(":443")
    if default is None or authority.removesuffix(default) != host:
        # What is none is not told again.
        known = re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://[\w.:\[\]-]+", origin)
        raise Rejected.because("foreign_origin", origin=shown(origin) if known else Phrase("unknown"))


def check_form(request: Request) -> None:
    """Rejected for a body that no upload can have, told from its headers."""
    check_encoding(request)
    if request.mimetype != "multipart/form-data" or not request.mimetype_params.get("boundary"):
        raise Rejected.because("not_multipart")


def check_json(request: Request) -> None:
    """Rejected for a body that no list of files can have, told from its headers."""
    check_encoding(request)
    if request.mimetype != "application/json":
        raise Rejected.because("not_json")


def check_encoding(request: Request) -> None:
    """Rejected for a body that is coded: what is stored is what was sent."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Rejected.because("content_encoding")


def check_length(request: Request, settings: Settings) -> None:
    """Rejected for a body that says it is too long, or in HTTP/1 nothing of its length (RFC 9110, 15.5.12)."""
    told = request.environ.get("CONTENT_LENGTH") or "Transfer-Encoding" in request.headers
    if not told and request.environ.get("SERVER_PROTOCOL", "").startswith("HTTP/1"):
        raise Rejected.because("length_required")
    length, limit = request.content_length or 0, body_limit(request, settings)
    if length > limit:
        raise Rejected.because("body_too_large", size=Size(length), limit=limit)


def csrf_enabled() -> bool:
    """Whether tokens are asked for, by Flask-WTF's own setting."""
    return bool(current_app.config.get("WTF_CSRF_ENABLED", True))


def check_csrf_header(request: Request) -> bool:
    """Whether a token came in a header, and then a good one. Rejected for a bad one, before the body is read."""
    if not csrf_enabled():
        return True
    names = (*_CSRF_HEADERS, *current_app.config.get("WTF_CSRF_HEADERS", ()))
    token = next((request.headers[name] for name in names if name in request.headers), None)
    if token is None:
        return False
    check_csrf(token)
    return True


def check_csrf(token: str | None) -> None:
    """Rejected unless ``token`` is this session's and fresh, by Flask-WTF's settings."""
    config = current_app.config
    secret = config.get("WTF_CSRF_SECRET_KEY") or current_app.secret_key
    limit = config.get("WTF_CSRF_TIME_LIMIT", 3600)
    try:
        _validate(
            token, session.get(csrf_field()), csrf_field(), secret, limit, int(time.time() / _LOOK_AGAIN)
        )
    except ValidationError as error:
        raise Rejected.because(_CSRF_CODES.get(str(error), "csrf_invalid")) from error


@lru_cache(256)
def _validate(token: str | None, *_: object) -> None:
    """Ask Flask-WTF, once for all requests that come together: a batch of small files takes not much longer.

    What its answer depends on are the arguments, the time among them. Only a good token is kept.
    """
    validate_csrf(token)


def csrf_field() -> str:
    """The name of the form field that carries the token."""
    return str(current_app.config.get("WTF_CSRF_FIELD_NAME", "csrf_token"))


def csrf_token() -> str:
    """This session's token, made where there is none."""
    return str(generate_csrf())


class StandInCSRFProtect(CSRFProtect):  # type: ignore[misc]  # Flask-WTF ships no types
    """The protection of a host that has set up none; gives way to one it sets up later, with its own exemptions."""

    def protect(self, *given: Any, **named: Any) -> None:
        if current_app.extensions["csrf"] is self:
            super().protect(*given, **named)


# ---- answers


def is_plain_form(request: Request) -> bool:
    """Whether a person's browser posted this as a form without a script."""
    named = any(value == "text/html" for value, _ in request.accept_mimetypes)
    return named and "X-Requested-With" not in request.headers


def wants_json(request: Request) -> bool:
    """Whether a script asked for JSON by its name."""
    return any(value == "application/json" for value, _ in request.accept_mimetypes)


def refuse(rejected: Rejected) -> Response:
    """The answer to a refused request: its sentence as plain text, its row's name in ``Upload-Error``."""
    spoken = language()
    sentence = traced(rejected.sentence_in(spoken), rejected.status, request_id(), spoken)
    response = plain_text(sentence, rejected.status, spoken)
    response.headers["Upload-Error"] = rejected.code
    if rejected.retry_after:
        response.headers["Retry-After"] = str(rejected.retry_after)
    if rejected.status == 401:
        # RFC 6750, 3: what a script may show.
        error = ' error="invalid_token"' if rejected.code == "token_wrong" else ""
        response.headers["WWW-Authenticate"] = f"Bearer{error}"
    return response


def plain_text(text: str, status: int, language: str) -> Response:
    response = Response(text, status, mimetype="text/plain")
    response.content_language.add(language)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    return response


def request_id() -> str:
    """By which name the log knows this request: that of the proxy where ``UPLOADS_REQUEST_ID`` says so, else a new one.

    One that is long, or holds more than letters, digits and ``._-``, would forge lines of a log, and is not taken.
    """
    if _REQUEST_ID not in request.environ:
        header = cast(Site, current_app.extensions["uploads"]).settings.request_id
        given = request.headers.get(header, "") if header else ""
        is_plain = re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given)
        request.environ[_REQUEST_ID] = given if is_plain else secrets.token_hex(8)
    return str(request.environ[_REQUEST_ID])


def log_failure(what: str) -> None:
    """Log the exception that is being handled, with the name of the request that is answered 5xx for it.

    The rule and not the path: an address may be all that somebody needs.
    """
    current_app.logger.exception(
        "request %s: %s: %s %s", request_id(), what, request.method, request.url_rule
    )


def language() -> str:
    """The reader's language, of those that this app speaks (RFC 9110, 12.5.4; RFC 4647, 3.4)."""
    if _LANGUAGE not in request.environ:
        spoken = cast(Site, current_app.extensions["uploads"]).settings.languages
        # Best first. Werkzeug's own match puts `zh` before the `en-GB` that somebody would rather have.
        wanted = (tag.partition("-")[0].lower() for tag, quality in request.accept_languages if quality)
        request.environ[_LANGUAGE] = next((tag for tag in wanted if tag in spoken), spoken[0])
    return str(request.environ[_LANGUAGE])


def varied(response: Response) -> Response:
    """``response``, which tells caches where the reader's language was looked at for it."""
    if _LANGUAGE in request.environ:
        response.vary.add("Accept-Language")
    return response


def note_commit() -> None:
    """From here on no answer may say that nothing was stored."""
    request.environ[_COMMITTED] = True


def refuse_http_error(error: HTTPException, settings: Settings) -> Response:
    """Our sentence for an error of the framework's, with the headers that belong to it (Allow, Content-Range)."""
    status = error.code if error.code and 400 <= error.code <= 599 else 500
    return _refuse_status(status, error.get_headers(request.environ), settings)


def _refuse_status(status: int, headers: Iterable[tuple[str, str]], settings: Settings) -> Response:
    code = BY_STATUS.get(status, "bad_request" if status < 500 else "internal")
    if code == "internal" and request.environ.get(_COMMITTED):
        code = "internal_stored"
    values = {"method": shown(request.method), "limit": body_limit(request, settings)}
    rejected = Rejected.because(code, **values)
    rejected.status = status
    response = refuse(rejected)
    ours = {name.lower() for name, _ in response.headers} | {"content-length", "content-encoding"}
    # A host may have other ways in.
    ours.discard("www-authenticate")
    for name, value in headers:
        if name.lower() not in ours:
            response.headers.add(name, value)
    return response


class CookielessResponse(Response):
    """An answer that a cache may keep: the session is read for it and never sent with it."""

    def set_cookie(self, *args: object, **kwargs: object) -> None:
        """Does nothing; Flask's session is saved through here."""

    delete_cookie = set_cookie


def without_cookie(response: Response) -> Response:
    """``response`` as one that sets no cookie."""
    return cast(Response, CookielessResponse.force_type(response))


def csp_nonce() -> str:
    """The nonce of this answer's Content-Security-Policy."""
    # Of the request: several share a `g` where an app's context is pushed around them, in a test say.
    return str(request.environ.setdefault("dropzone_app.nonce", secrets.token_urlsafe(16)))


def guard_page(response: Response) -> None:
    """The headers of an HTML page of ours."""
    response.content_language.add(language())
    here = cast(Site, current_app.extensions["uploads"])
    stores = "".join(f" {origin}" for origin in here.direct_origins)
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' 'nonce-{csp_nonce()}'; style-src 'self'; "
        f"img-src 'self' data: blob:; connect-src 'self'{stores}; media-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store"


def drained(response: Response, request: Request) -> Response:
    """``response``, sent first; then the rest of the request's body is read, within bounds.

    A server that closes with unread bytes resets the connection, and the client may never see the answer.
    """
    if not Body.begun(request) and "stream" in request.__dict__:
        # A parser of the host's has read it; to read on would wait for what never comes.
        return response
    body = Body.of(request)
    if body.left == 0 or request.method in {"GET", "HEAD", "OPTIONS"}:
        return response
    text = response.get_data()

    def answer() -> Iterator[bytes]:
        yield text
        body.drain()

    response.response = answer()
    response.content_length = len(text)
    return response


def answered_in_text(response: Response, request: Request, settings: Settings) -> Response:
    """``response`` or, where it is no answer for a script that uploads, ours in its place.

    A redirect (to a login page, say) would be followed and taken for success; an HTML error would be shown as source.
    """
    if request.method in {"GET", "HEAD"}:
        watched = "X-Requested-With" not in request.headers and not wants_json(request)
    else:
        watched = is_plain_form(request)
    # Ours, to where a storage gives a file itself, leads to no page.
    elsewhere = isinstance(response, CookielessResponse)
    if response.status_code in {301, 302, 303, 307, 308} and not watched and not elsewhere:
        return refuse(Rejected.because("signed_out"))
    if response.status_code >= 400 and response.mimetype != "text/plain":
        return _refuse_status(response.status_code, response.headers, settings)
    return response
