"""Request in, response out: the blueprint, and what all of its views share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

from flask import Blueprint, Flask, Response, current_app, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.wrappers import Response as BaseResponse

from .. import security
from ..access import RateLimit
from ..errors import Rejected, from_os_error
from ..intake.request import INTAKE_OF_VIEW, Body, Intake, UploadRequestMixin
from ..records import from_database_error
from ..uploads import UploadSet
from . import direct, files, journal, pages, shares, sign_in, states, tus, upload
from .base import begin_sending, check_upload, end_sending, owner, site, token

_PACKAGE = Path(__file__).parent.parent

#: Inside the package in an installed wheel; beside it in a checkout.
_ROOT = _PACKAGE if (_PACKAGE / "templates").is_dir() else _PACKAGE.parent


def make_blueprint(
    url_prefix: str | None, *, with_index: bool, with_sign_in: bool = False, with_metrics: bool = False
) -> Blueprint:
    """The routes of DESIGN's HTTP table; ``/`` and the sign-in only where the app is ours alone."""
    blueprint = Blueprint(
        "uploads",
        __name__,
        url_prefix=url_prefix,
        template_folder=str(_ROOT / "templates"),
        static_folder=str(_ROOT / "static"),
        static_url_path="/uploads-static",
    )
    if with_index:
        blueprint.add_url_rule("/", "index", pages.index)
    if with_sign_in:
        blueprint.add_url_rule("/sign-in", "sign_in", sign_in.sign_in, methods=["GET", "POST"])
        blueprint.add_url_rule("/sign-out", "sign_out", sign_in.sign_out, methods=["POST"])
    blueprint.add_url_rule("/upload", "upload", upload.upload, methods=["POST"])
    blueprint.add_url_rule("/upload/<name>", "upload", upload.upload, methods=["POST"])
    blueprint.add_url_rule("/upload/check", "check", states.check, methods=["POST"])
    blueprint.add_url_rule("/upload/<name>/check", "check", states.check, methods=["POST"])
    blueprint.add_url_rule("/upload/<name>/direct", "direct", direct.sign, methods=["POST"])
    blueprint.add_url_rule("/uploads", "unfinished", states.unfinished)
    blueprint.add_url_rule("/uploads/<uuid>", "state", states.state)
    blueprint.add_url_rule("/uploads/<uuid>", "complete", direct.complete, methods=["POST"])
    blueprint.add_url_rule("/uploads/<uuid>", "cancel", states.cancel, methods=["DELETE"])
    tus_methods = ["OPTIONS", "POST", "HEAD", "PATCH", "DELETE"]
    for rule, methods in (("/tus/", tus_methods[:2]), ("/tus/<name>", tus_methods)):
        blueprint.add_url_rule(
            rule, "tus", tus.tus, methods=methods, strict_slashes=False, provide_automatic_options=False
        )
    blueprint.add_url_rule("/files", "files", files.files)
    blueprint.add_url_rule("/files/<id>/<filename>", "file", files.file)
    blueprint.add_url_rule("/files/<id>", "delete_file", files.delete_file, methods=["DELETE"])
    blueprint.add_url_rule("/shares/<id>", "shares", shares.shares)
    blueprint.add_url_rule("/shares/<id>", "share", shares.create, methods=["POST"])
    blueprint.add_url_rule("/shares/<id>/<share>", "revoke_share", shares.revoke, methods=["DELETE"])
    blueprint.add_url_rule("/shared/<link>/<filename>", "shared", shares.shared)
    blueprint.add_url_rule("/thumbnails/<id>.webp", "thumbnail", files.thumbnail)
    blueprint.add_url_rule("/batches/<id>", "batch", pages.batch)
    blueprint.add_url_rule("/csrf-token", "csrf_token", pages.csrf_token)
    blueprint.add_url_rule("/healthz", "healthz", pages.healthz)
    blueprint.add_url_rule("/readyz", "readyz", pages.readyz)
    if with_metrics:
        blueprint.add_url_rule("/metrics", "metrics", pages.metrics)
    blueprint.before_request(_guard)
    blueprint.teardown_request(lambda _: journal.end())
    blueprint.teardown_request(end_sending)
    blueprint.teardown_request(lambda _: current_app.extensions["uploads_sweeper"]())
    blueprint.register_error_handler(Rejected, security.refuse)
    blueprint.register_error_handler(HTTPException, _http_error)
    blueprint.register_error_handler(OSError, _os_error)
    blueprint.register_error_handler(SQLAlchemyError, _database_error)
    blueprint.register_error_handler(Exception, _unexpected)
    return blueprint


def _guard() -> BaseResponse | None:
    """Refuse before the body is read what can be refused by then."""
    if _sends():
        journal.begin()
    if request.endpoint not in sign_in.OPEN:
        token()
    elsewhere = sign_in.guard()
    if elsewhere is not None:
        return elsewhere
    if _sends() or request.endpoint == "uploads.direct":
        _check_rate()
    if request.endpoint == "uploads.tus":
        tus.guard()
    elif request.method not in {"GET", "HEAD", "OPTIONS"} and not sign_in.is_form():
        _guard_body()
    return None


def _sends() -> bool:
    """Whether the request brings files, or what is the end of one."""
    endpoints = {"uploads.upload", "uploads.tus", "uploads.complete"}
    return request.endpoint in endpoints and request.method in {"POST", "PATCH"}


def _check_rate() -> None:
    """Rejected for one more request that sends files, where an address has sent too many lately."""
    limit: RateLimit | None = current_app.extensions["uploads_rate_limit"]
    wait = limit.wait(request.remote_addr or "") if limit else 0
    if wait:
        raise Rejected.because("too_often").for_seconds(wait)


def _guard_body() -> None:
    settings = site().settings
    is_upload, is_completion = (request.endpoint == f"uploads.{view}" for view in ("upload", "complete"))
    asks = request.endpoint in {"uploads.check", "uploads.direct", "uploads.complete"}
    if is_upload:
        security.check_form(request)
    elif asks:
        security.check_json(request)
    security.check_origin(request)
    # Of itself no browser sends an API token along: what comes with one was meant.
    by_header = token() is not None or security.check_csrf_header(request)
    if is_upload or asks:
        security.check_length(request, settings)
    if is_upload or (asks and not is_completion):
        upload_set = _upload_set()
        check_upload(upload_set)
    if is_upload or is_completion:
        begin_sending(owner())
    if is_upload:
        site().check_room(upload_set, request.content_length or 0)
        cast(UploadRequestMixin, request).intake = replace(
            _intake(), open_chunk=upload.chunk_opener(upload_set)
        )
    if not by_header:
        security.check_csrf(request.form.get(security.csrf_field()) if is_upload else None)


def _upload_set() -> UploadSet:
    return site().upload_set((request.view_args or {}).get("name"))


def _intake() -> Intake:
    """For ``POST /upload``. Rejected for a set that nobody declared."""
    here, upload_set = site(), _upload_set()
    return Intake(
        here.settings, here.rules[upload_set.name], here.storage_of(upload_set), here.settings.field
    )


# Code of the host's may read the form before the guard does.
setattr(upload.upload, INTAKE_OF_VIEW, _intake)


def _http_error(error: HTTPException) -> Response:
    return security.refuse_http_error(error, site().settings)


def _os_error(error: OSError) -> Response:
    security.log_failure("storage failed")
    return security.refuse(from_os_error(error))


def _database_error(error: SQLAlchemyError) -> Response:
    security.log_failure("database failed")
    return security.refuse(from_database_error(error))


def _unexpected(error: Exception) -> Response:
    security.log_failure("unexpected")
    return security.refuse_http_error(InternalServerError(), site().settings)


def finish_answers(app: Flask, blueprint: Blueprint, *, everywhere: bool) -> None:
    """Let every answer under our paths keep the contract, also the framework's own 404 and 405.

    ``everywhere``: the app has no other paths than ours.
    """
    prefix = (blueprint.url_prefix or "").rstrip("/")
    roots = {
        rule.rule.removeprefix(prefix).split("/")[1]
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("uploads.")
    } - {""}

    def is_ours() -> bool:
        if everywhere:
            return True
        if request.endpoint:
            return request.blueprint == "uploads"
        below = request.path.removeprefix(prefix)
        return request.path.startswith(f"{prefix}/") and below.split("/")[1] in roots

    @app.after_request
    def finish(response: Response) -> Response:
        if Body.begun(request):
            Body.of(request).answered()
        return security.varied(finished(response))

    def finished(response: Response) -> Response:
        if not is_ours():
            # Of the host's own views only those have a Body that received the files of a set.
            received = Body.begun(request) and not response.direct_passthrough
            return security.drained(response, request) if received else response
        # A wrong code is said in the page that asks for it.
        is_asked = request.endpoint == "uploads.sign_in" and response.mimetype == "text/html"
        ours = response if is_asked else security.answered_in_text(response, request, site().settings)
        if ours is not response:
            # What it would have sent may be an open file.
            response.close()
            response = ours
        if request.endpoint == "uploads.tus":
            tus.finish(response)
        if _sends():
            response.headers.setdefault("X-Request-ID", security.request_id())
            if code := response.headers.get("Upload-Error"):
                # Of an upload by tus the name is an address that lets anybody go on with it.
                name = (request.view_args or {}).get("name")
                journal.refused(name if name in site().sets else None, code)
        # An uploaded file is no page of ours, whatever its type: it keeps its own, narrower policy.
        if request.endpoint in {"uploads.file", "uploads.shared", "uploads.thumbnail"}:
            response = security.without_cookie(response)
        elif response.mimetype == "text/html":
            security.guard_page(response)
        return security.drained(response, request)
