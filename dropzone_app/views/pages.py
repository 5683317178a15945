"""The pages people see, and the small answers around them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Response, current_app, g, jsonify, render_template, url_for
from markupsafe import Markup

from .. import security
from ..config import PARALLEL_REQUESTS
from ..errors import MESSAGES, Rejected
from ..kinds import names_of
from ..uploads import UploadSet
from . import files
from .base import owner, site

#: Flask-Dropzone's keys for what the page says and waits for, and Dropzone's options that they stand for.
_DROPZONE_OPTIONS = {
    "DROPZONE_TIMEOUT": "timeout",
    "DROPZONE_DEFAULT_MESSAGE": "dictDefaultMessage",
    "DROPZONE_INVALID_FILE_TYPE": "dictInvalidFileType",
    "DROPZONE_FILE_TOO_BIG": "dictFileTooBig",
    "DROPZONE_SERVER_ERROR": "dictResponseError",
    "DROPZONE_BROWSER_UNSUPPORTED": "dictFallbackMessage",
    "DROPZONE_MAX_FILE_EXCEED": "dictMaxFilesExceeded",
    "DROPZONE_CANCEL_UPLOAD": "dictCancelUpload",
    "DROPZONE_CANCEL_CONFIRMATION": "dictCancelUploadConfirmation",
    "DROPZONE_UPLOAD_CANCELED": "dictUploadCanceled",
    "DROPZONE_REMOVE_FILE": "dictRemoveFile",
    "DROPZONE_PARALLEL_UPLOADS": "parallelUploads",
    "DROPZONE_UPLOAD_MULTIPLE": "uploadMultiple",
}

#: Refusals that the browser can make by itself, with the server's words.
_BROWSER_MESSAGES = ("extension", "no_extension", "empty_name", "too_large", "too_many_files")


def index() -> str:
    """The page: a zone, and below it the visitor's files."""
    found, cursor = files.newest()
    return render_template("dropzone_app/page.html", files=found, next=cursor, csp_nonce=security.csp_nonce())


def batch(id: str) -> str:
    """What became of a batch: where the plain form lands."""
    report = site().records.batch(id, owner())
    if report is None:
        raise Rejected.because("unknown_batch")
    parts = []
    for part in report["parts"]:
        record = site().records.file(part["id"]) if part["id"] else None
        parts.append(
            {
                "key": part["key"],
                "filename": part["filename"],
                "sentence": part["sentence"],
                "stored": part["id"] is not None,
                "file": files.file_fields(record) if record else None,
            }
        )
    stored = sum(part["stored"] for part in parts)
    created = datetime.fromtimestamp(report["created"] / 1_000_000, UTC).isoformat(timespec="seconds")
    return render_template(
        "dropzone_app/batch.html",
        batch={
            "id": id,
            "created": created,
            "parts": parts,
            "stored": stored,
            "refused": len(parts) - stored,
        },
        csp_nonce=security.csp_nonce(),
    )


def csrf_token() -> Response:
    """A fresh token for a page that was open for long, or for a script."""
    owner()
    response = jsonify(csrf_token=security.csrf_token())
    response.headers["Cache-Control"] = "no-store"
    return response


def healthz() -> Response:
    """200 when storage and database answer; 503 is the error handlers' answer."""
    site().records.check()
    for storage in site().storages.values():
        storage.check()
    return security.CookielessResponse("ok\n", mimetype="text/plain")


def zone(upload_set: UploadSet, action: str | None = None) -> Markup:
    """The drop zone of a set, to be put into any template: markup, escaped options, and (once a page) assets.

    ``action``: where its files go instead of to our own view.
    """
    rules = site().rules[upload_set.name]
    options = zone_options(upload_set, action)
    context = {
        "id": f"uploads-{upload_set.name}",
        "set": upload_set.name,
        "action": options["url"],
        "field": options["field"],
        "accept": rules.accept,
        "rules": rules.sentence,
        "kinds": names_of(rules.extensions or ()),
        "csrf_field": security.csrf_field(),
        "csrf_token": options["csrfToken"],
        "options": options,
        "assets": _assets(),
    }
    return Markup(render_template("dropzone_app/zone.html", zone=context))


def zone_options(upload_set: UploadSet, action: str | None = None) -> dict[str, Any]:
    """What the browser needs to know of a set: the same limits and sentences the server has."""
    here, rules = site(), site().rules[upload_set.name]
    # The session gets its owner with the page; whoever is signed out may look, and learns it when uploading.
    current_app.extensions["uploads_owner"]()
    return {
        "set": upload_set.name,
        "url": action or url_for("uploads.upload", name=upload_set.name),
        "field": here.settings.field,
        "extensions": rules.extensions,
        "accepted": rules.accepted,
        "maxFileSize": rules.max_file_size,
        "maxFiles": rules.max_files,
        "maxParts": rules.max_parts,
        "maxTotalSize": rules.max_total_size,
        "maxContentLength": here.settings.max_content_length,
        "parallelRequests": PARALLEL_REQUESTS,
        "filesUrl": url_for("uploads.files"),
        "csrfUrl": url_for("uploads.csrf_token"),
        "csrfHeader": "X-CSRFToken",
        "csrfToken": security.csrf_token(),
        "csrfLifetime": current_app.config.get("WTF_CSRF_TIME_LIMIT", 3600),
        "messages": {code: MESSAGES[code].text for code in _BROWSER_MESSAGES},
        "dropzone": dropzone_options(),
    }


def dropzone_options() -> dict[str, Any]:
    """Dropzone's own options from those of Flask-Dropzone's keys that somebody set; limits come from the rules."""
    chosen = site().settings.dropzone
    return {option: chosen[key] for key, option in _DROPZONE_OPTIONS.items() if chosen.get(key) is not None}


def _assets() -> Markup:
    """Dropzone and our own scripts and styles; empty where this page has them already."""
    if g.get("uploads_assets"):
        return Markup("")
    g.uploads_assets = True
    dropzone = current_app.extensions["dropzone"]
    return Markup("").join(
        [
            dropzone.load_css(css_url=_static("vendor/dropzone/dropzone.css")),
            dropzone.load_js(js_url=_static("vendor/dropzone/dropzone-min.js")),
            Markup('<link rel="stylesheet" href="{}">\n').format(_static("css/zone.css")),
            Markup('<script type="module" src="{}"></script>\n').format(_static("js/zone.js")),
        ]
    )


def _static(filename: str) -> str:
    return url_for("uploads.static", filename=filename)
