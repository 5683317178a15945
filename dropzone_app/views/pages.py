"""The pages people see, and the small answers around them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from flask import Response, current_app, jsonify, request, url_for
from markupsafe import Markup
from werkzeug.routing import BuildError

from .. import dropzone, security
from ..config import PARALLEL_REQUESTS, SettingError
from ..errors import MESSAGES, Rejected, traced
from ..kinds import icons, names_of
from ..languages import capital, languages, told
from ..storage import ChunkStorage
from ..uploads import UploadSet
from . import files, journal
from .base import may, owner, page, render, site, token

#: Refusals that the browser can make by itself, with the server's words.
_BROWSER_MESSAGES = ("extension", "no_extension", "empty_name", "too_large", "drop_full")


def index() -> str:
    """The page: a zone, and below it the visitor's files."""
    found, cursor = files.newest()
    return page("page.html", files=found, next=cursor)


def batch(id: str) -> str:
    """What became of a batch: where the plain form lands."""
    report, bearer = site().records.batch(id, owner()), token()
    if report is None or (bearer and bearer.set and bearer.set != report.get("set")):
        raise Rejected.because("unknown_batch")
    parts = []
    language = security.language()
    for part in report["parts"]:
        record = site().records.file(part["id"]) if part["id"] else None
        rejected = Rejected.loads(part["rejected"]) if part["rejected"] else None
        parts.append(
            {
                "key": part["key"],
                "filename": part["filename"],
                "sentence": (
                    traced(
                        rejected.sentence_in(language), rejected.status, report.get("request", ""), language
                    )
                    if rejected
                    else ""
                ),
                "stored": part["id"] is not None,
                "file": files.file_fields(record) if record and may("read", record) else None,
            }
        )
    stored = sum(part["stored"] for part in parts)
    created = datetime.fromtimestamp(report["created"] / 1_000_000, UTC).isoformat(timespec="seconds")
    return page(
        "batch.html",
        batch={
            "id": id,
            "created": created,
            "parts": parts,
            "stored": stored,
            "refused": len(parts) - stored,
        },
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


def readyz() -> Response:
    """200 when an upload can be taken now: the database takes what is written, each storage is there and has room."""
    site().check_ready()
    return security.CookielessResponse("ok\n", mimetype="text/plain")


def metrics() -> Response:
    """The numbers, for who brings the token of UPLOADS_METRICS_TOKEN. Rejected without it."""
    token, here = site().settings.metrics_token, journal.metrics()
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not (token and here and compare_digest(token.encode(), given.encode())):
        raise Rejected.because("token_wrong")
    text, media_type = here.text()
    response = security.CookielessResponse(text, content_type=media_type)
    response.headers["Cache-Control"] = "no-store"
    return response


def zone(upload_set: UploadSet, action: str | None = None) -> Markup:
    """The drop zone of a set, to be put into any template: markup, escaped options, and (once a page) assets.

    ``action``: where its files go instead of to our own view.
    """
    rules, options = site().rules[upload_set.name], zone_options(upload_set, action)
    zones: Counter[str] = request.environ.setdefault("dropzone_app.zones", Counter())
    zones[upload_set.name] += 1
    number = zones[upload_set.name]
    names, language = names_of(rules.extensions or ()), security.language()
    context = _form(upload_set) | {
        # No name of a set holds a dash.
        "id": f"uploads-{upload_set.name}" + (f"-{number}" if number > 1 else ""),
        "action": options["url"],
        "options": options,
        "rules": capital(rules.sentence.told(language)),
        "kinds": told(tuple(names), language) if len(names) > 3 else "",
        "invitation": site().settings.dropzone.get("DROPZONE_DEFAULT_MESSAGE"),
        "assets": assets(),
    }
    return Markup(render("zone.html", zone=context))


def fallback(upload_set: UploadSet) -> Markup:
    """The inputs of a set's plain form, as its zone has them inside."""
    return Markup(render("fallback.html", zone=_form(upload_set)))


def _form(upload_set: UploadSet) -> dict[str, Any]:
    """What a form of this set needs, with a script or without."""
    keys = site().settings.dropzone
    return {
        "field": site().settings.field,
        "accept": site().rules[upload_set.name].accept,
        "csrf_field": security.csrf_field(),
        "csrf_token": security.csrf_token(),
        "in_form": keys.get("DROPZONE_IN_FORM", False),
        "unsupported": keys.get("DROPZONE_BROWSER_UNSUPPORTED"),
    }


def zone_options(upload_set: UploadSet, action: str | None = None) -> dict[str, Any]:
    """What the browser needs to know of a set: the same limits and sentences the server has."""
    here, rules = site(), site().rules[upload_set.name]
    keys, language = here.settings.dropzone, security.language()
    parts, parallel = dropzone.batching(keys)
    takes_chunks = isinstance(here.storage_of(upload_set), ChunkStorage)
    in_form, on_click = (keys.get(f"DROPZONE_{key}", False) for key in ("IN_FORM", "UPLOAD_ON_CLICK"))
    own = action or (in_form and _address("DROPZONE_UPLOAD_ACTION"))
    # The session gets its owner with the page; whoever is signed out may look, and learns it when uploading.
    me = current_app.extensions["uploads_owner"]()
    return {
        "set": upload_set.name,
        "url": own or url_for("uploads.upload", name=upload_set.name),
        "field": here.settings.field,
        "extensions": rules.extensions,
        "accepted": rules.accepted.told(language),
        "maxFileSize": rules.max_file_size,
        "maxFiles": rules.max_files,
        "maxParts": rules.max_parts,
        "maxTotalSize": rules.max_total_size,
        "maxContentLength": here.settings.max_content_length,
        "chunkSize": here.settings.chunk_size if takes_chunks else None,
        "directUrl": url_for("uploads.direct", name=upload_set.name)
        if upload_set.direct and not own
        else None,
        "directDigest": here.settings.digest,
        "partsPerRequest": parts,
        "parallelRequests": parallel or PARALLEL_REQUESTS,
        "inForm": in_form,
        "onClick": on_click,
        "button": keys.get("DROPZONE_UPLOAD_BTN_ID", "upload"),
        "redirect": _address("DROPZONE_REDIRECT_VIEW"),
        "checkUrl": url_for("uploads.check", name=upload_set.name),
        # It answers for itself: only what came of a file before is asked, and not what would become of it.
        "ownView": bool(own),
        "uploadsUrl": url_for("uploads.unfinished"),
        "owner": sha256(f"zone {me}".encode()).hexdigest()[:16],
        "digests": upload_set.duplicates != "keep",
        "filesUrl": url_for("uploads.files"),
        "csrfUrl": url_for("uploads.csrf_token"),
        "csrfHeader": "X-CSRFToken",
        "csrfToken": security.csrf_token(),
        "csrfLifetime": current_app.config.get("WTF_CSRF_TIME_LIMIT", 3600),
        "icons": icons(),
        "messages": _messages(language),
        "dropzone": dropzone.options(keys),
    }


def _address(key: str) -> str | None:
    """The URL of the endpoint that a key names; what is a URL already stays as it is, as in Flask-Dropzone.

    SettingError for one that is none: an endpoint may be there only after the start.
    """
    view: str | None = site().settings.dropzone.get(key)
    if view is None or view.startswith(("http://", "https://", "/")):
        return view
    try:
        return url_for(view)
    except BuildError as error:
        raise SettingError(f"{key} names no endpoint of this app, and no URL: it is {view!r}.") from error


def _messages(language: str) -> dict[str, str]:
    rows = languages()[language].server
    return {code: rows.get(code, MESSAGES[code].text) for code in _BROWSER_MESSAGES}


def assets() -> Markup:
    """Dropzone and our own scripts and styles; empty where this page has them already."""
    if request.environ.get("dropzone_app.assets"):
        return Markup("")
    request.environ["dropzone_app.assets"] = True
    language = security.language()
    # Dropzone is a module here, asked for by zone.js: as a script it would take the place of one of the host's.
    return Markup(
        '<link rel="stylesheet" href="{}">\n'
        '<link rel="stylesheet" href="{}">\n'
        '<link rel="stylesheet" href="{}">\n'
        '<link rel="stylesheet" href="{}">\n'
        '<link rel="modulepreload" href="{}">\n'
        '<link rel="modulepreload" href="{}" data-uploads-language="{}">\n'
        '<script type="module" src="{}"></script>\n'
    ).format(
        _static("vendor/dropzone/dropzone.css"),
        *(_static(f"css/{name}.css") for name in ("base", "zone", "list")),
        _static("vendor/dropzone/dropzone-min.js"),
        _static(f"js/languages/{language}.js"),
        language,
        _static("js/zone.js"),
    )


def _static(filename: str) -> str:
    return url_for("uploads.static", filename=filename)
