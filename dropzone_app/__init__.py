"""Batch uploads by drag and drop for Flask: every file gets its own verdict.

from flask import Blueprint, Flask, url_for
from dropzone_app import IMAGES, Uploads, UploadSet

app = Flask(__name__)
app.config["SECRET_KEY"] = "…"
uploads = Uploads(app, UploadSet("photos", IMAGES, max_file_size="10 MB"))
# in a template: {{ uploads.zone("photos") }}
"""

from __future__ import annotations

import os
import re
import secrets
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, url_for
from flask_dropzone import Dropzone
from markupsafe import Markup

from . import chunked, cli, dropzone, security
from .access import Access, RateLimit, UnderWay
from .config import DEFAULTS, SettingError, Settings, absolute_sqlite
from .errors import Rejected
from .intake import Part
from .intake.request import UploadRequestMixin
from .kinds import (
    ALL,
    ARCHIVES,
    AUDIO,
    DATA,
    DOCUMENTS,
    EXECUTABLES,
    IMAGES,
    SCRIPTS,
    SOURCE,
    TEXT,
    VIDEO,
    AllExcept,
)
from .metrics import Metrics
from .records import ALL_SETS, Quota, Records
from .signals import upload_deleted, upload_rejected, upload_stored
from .storage import DirectStorage, Storage, open_storage
from .sweep import Sweeper
from .uploads import Site, check_sets
from .views import finish_answers, make_blueprint, pages
from .views.base import owner as owner_of_request
from .views.base import site
from .views.receive import UploadSet

__all__ = [
    "ALL",
    "ARCHIVES",
    "AUDIO",
    "DATA",
    "DOCUMENTS",
    "EXECUTABLES",
    "IMAGES",
    "SCRIPTS",
    "SOURCE",
    "TEXT",
    "VIDEO",
    "AllExcept",
    "Part",
    "Rejected",
    "SettingError",
    "UploadSet",
    "Uploads",
    "create_app",
    "upload_deleted",
    "upload_rejected",
    "upload_stored",
]


#: Segments that are the same on both sides of every proxy.
_PREFIX = r"(?:/(?!\.\.?(?:/|$))[\w.~-]+)*"


class Uploads:
    """The extension: upload sets of an app, their routes, and :meth:`zone` for its templates.

    ``owner`` names who is asking (``lambda: current_user.get_id()``), None when nobody is signed in;
    by default every session is an owner of its own. The app brings its own ``SECRET_KEY``.

    ``authorize(action, upload_set, record)`` says who may do what: True, False, or None for what holds without it (an
    owner may do everything with their own files, and anybody read those of a public set). ``action`` is ``"upload"``
    (then there is no record; False is a sentence, 403), ``"list"``, ``"read"``, ``"share"`` (by a link) or ``"delete"``
    (False is what is told of a file that does not exist). True lets somebody at another owner's file too; a list only
    ever has their own.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *sets: UploadSet,
        url_prefix: str | None = None,
        owner: security.Owner = security.owner_of_session,
        authorize: security.Authorize | None = None,
    ) -> None:
        if app is not None:
            self.init_app(app, *sets, url_prefix=url_prefix, owner=owner, authorize=authorize)
        elif sets or url_prefix is not None or authorize or owner is not security.owner_of_session:
            raise SettingError("Uploads() without an app takes nothing; give it all to init_app(app, …).")

    def init_app(
        self,
        app: Flask,
        *sets: UploadSet,
        url_prefix: str | None = None,
        owner: security.Owner = security.owner_of_session,
        authorize: security.Authorize | None = None,
    ) -> None:
        """Set up ``app``, once: one set called "files" where none is given. SettingError says what cannot be used."""
        if not isinstance(app, Flask):
            raise SettingError(f"Uploads takes the Flask app first, Uploads(app, photos); it got {app!r}.")
        if "uploads" in app.jinja_env.globals and "uploads" not in app.extensions:
            raise SettingError(
                "The app's templates have a global named 'uploads' already; "
                "give it another name, this one is for {{ uploads.zone(…) }}."
            )
        _set_up(
            app,
            sets or (UploadSet("files", folder=""),),
            url_prefix=url_prefix,
            owner=owner,
            authorize=authorize,
            with_index=False,
        )
        app.jinja_env.globals["uploads"] = self

    def zone(self, name: str | None = None, *, action: str | None = None) -> Markup:
        """The drop zone of a set (the first one without a name). Rejected for a set nobody declared, RuntimeError
        in an app that was not set up.

        ``action``: the URL of a view of your own that receives the files (:meth:`UploadSet.receive`).
        """
        return pages.zone(site().upload_set(name), action)

    def assets(self) -> Markup:
        """The styles and scripts that :meth:`zone` brings along, once a page: for a page whose zones a script makes."""
        site()
        return pages.assets()

    def options(self, name: str | None = None, *, action: str | None = None) -> dict[str, Any]:
        """What ``new BatchUploader(element, options)`` takes, for ``|tojson``: the set's rules, addresses, sentences.

        Arguments and errors are those of :meth:`zone`.
        """
        upload_set = site().upload_set(name)
        return {**pages.zone_options(upload_set, action), "accept": site().rules[upload_set.name].accept}

    def owner(self) -> str:
        """The owner of this request. Rejected when nobody is signed in."""
        return owner_of_request()

    def fallback(self, name: str | None = None) -> Markup:
        """The inputs of a set's plain form, as the zone has them inside: for a form that works without JavaScript."""
        return pages.fallback(site().upload_set(name))


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """The upload page as an app of its own: defaults, then ``FLASK_…`` from the environment, then ``config``.

    Files go to ``./uploads``, records to ``./instance/app.sqlite``, unless told otherwise; a secret key is
    made beside the database where none is given. SettingError says what cannot be used.
    """
    # Flask-Dropzone hangs its own files below static_url_path; ours come from the blueprint.
    app = Flask(__name__, static_folder=None, static_url_path="/static", template_folder=None)
    app.session_interface = security.Sessions()
    app.config.from_mapping(DEFAULTS)
    # A page left open for weeks still knows its files; only an answer that changes the session sets the cookie.
    app.config.from_mapping(SESSION_COOKIE_SAMESITE="Lax", SESSION_REFRESH_EACH_REQUEST=False)
    app.config.from_prefixed_env("FLASK")
    app.config.from_mapping(config)
    if not app.config.get("SECRET_KEY"):
        app.config["SECRET_KEY"] = _kept_secret(str(app.config["UPLOADS_DATABASE"]))
    elif not isinstance(app.config["SECRET_KEY"], str | bytes):
        # Values from the environment are read as JSON; a key of digits alone would be a number.
        app.config["SECRET_KEY"] = str(app.config["SECRET_KEY"])
    uploads = Uploads()
    _set_up(
        app,
        (UploadSet("files", folder=""),),
        url_prefix=None,
        owner=security.owner_of_lasting_session,
        with_index=True,
    )
    app.jinja_env.globals["uploads"] = uploads
    return app


def _set_up(
    app: Flask,
    sets: tuple[UploadSet, ...],
    *,
    url_prefix: str | None,
    owner: security.Owner,
    authorize: security.Authorize | None = None,
    with_index: bool,
) -> None:
    check_sets(sets, app.config)
    if "uploads" in app.extensions:
        raise SettingError(
            "This app has its uploads already; give all upload sets to one Uploads(app, photos, texts)."
        )
    if not callable(owner):
        raise SettingError(f"owner must be a function that names who is asking; it is {owner!r}.")
    if not (authorize is None or callable(authorize)):
        raise SettingError(
            f"authorize must be a function of an action, an upload set and a record; it is {authorize!r}."
        )
    if not isinstance(url_prefix, str | None) or not re.fullmatch(_PREFIX, url_prefix or ""):
        raise SettingError(f"url_prefix must be a path such as '/files-in' or '/a/b'; it is {url_prefix!r}.")
    for key, value in DEFAULTS.items():
        app.config.setdefault(key, value)
    settings = Settings.from_config(app.config, dropzone.read(_set_dropzone_keys(app)))
    if not app.config.get("SECRET_KEY"):
        raise SettingError("SECRET_KEY is not set; sessions and CSRF tokens are signed with it.")
    if settings.access_code and not with_index:
        raise SettingError(
            "UPLOADS_ACCESS_CODE is for the standalone server; your app signs people in itself, and says who is "
            "asking with Uploads(app, …, owner=…)."
        )
    blueprint = make_blueprint(
        url_prefix,
        with_index=with_index,
        with_sign_in=bool(settings.access_code),
        with_metrics=bool(settings.metrics_token),
    )
    if blueprint.name in app.blueprints:
        raise SettingError(
            f"The app has a blueprint named {blueprint.name!r} already; register it under another name, "
            "app.register_blueprint(…, name='…')."
        )
    app.register_blueprint(blueprint)
    _refuse_taken_rules(app, blueprint.name, url_prefix)
    if "csrf" not in app.extensions:
        security.StandInCSRFProtect(app)
    if "dropzone" not in app.extensions:
        _lend_dropzone(app)
    sets = tuple(upload_set.configured(settings) for upload_set in sets)
    rules = {upload_set.name: upload_set.rules(settings) for upload_set in sets}
    largest = max(rule.max_file_size for rule in rules.values())
    settings = settings.with_room_for(largest)
    if with_index or app.config.get("MAX_CONTENT_LENGTH") is not None:
        # Flask reads its own setting as a number.
        app.config["MAX_CONTENT_LENGTH"] = int(settings.max_content_length)
    quotas = {one.name: Quota(one.quota, one.quota_files, one.quota_window) for one in sets}
    quotas[ALL_SETS] = Quota(settings.quota, settings.quota_files, settings.quota_window)
    records = Records(
        _with_folder(settings.database),
        durable=settings.durable,
        quotas={name: quota for name, quota in quotas.items() if quota != Quota()},
    )
    here = Site(
        settings=settings,
        sets={upload_set.name: upload_set for upload_set in sets},
        rules=rules,
        processing={upload_set.name: upload_set.processing for upload_set in sets},
        storages=_storages(settings, sets),
        records=records,
    )
    here.recover()
    chunked.recover(here)
    app.extensions["uploads"] = here
    metrics = Metrics(here) if settings.metrics_token else None
    app.extensions["uploads_metrics"] = metrics
    app.extensions["uploads_sweeper"] = Sweeper(here, settings.sweep_age, metrics.swept if metrics else None)
    app.extensions["uploads_owner"] = owner
    app.extensions["uploads_authorize"] = authorize
    app.extensions["uploads_rate_limit"] = (
        RateLimit(app.config, settings.rate_limit) if settings.rate_limit else None
    )
    app.extensions["uploads_under_way"] = UnderWay(settings.concurrent) if settings.concurrent else None
    app.extensions["uploads_access"] = Access(settings.access_code) if settings.access_code else None
    app.request_class = type("UploadRequest", (UploadRequestMixin, app.request_class), {})
    _watch_later_set_up(app, blueprint, url_prefix)
    finish_answers(app, blueprint, everywhere=with_index)
    app.cli.add_command(cli.uploads)


@cache
def _flask_dropzone(static_url_path: str) -> Flask:
    """What Flask-Dropzone brings, in an app that nobody uses: its files, template calls and defaults."""
    probe = Flask("probe", static_url_path=static_url_path)
    Dropzone(probe)
    return probe


def _dropzone_of(app: Flask) -> Flask:
    """The same, as it is for ``app``."""
    # It hangs its files below the static ones, also in an app that has none.
    return _flask_dropzone(app.static_url_path or "/static")


def _dropzone_keys(app: Flask) -> dict[str, Any]:
    return {key: value for key, value in app.config.items() if key.startswith("DROPZONE_")}


def _set_dropzone_keys(app: Flask) -> dict[str, Any]:
    """The ``DROPZONE_…`` keys that somebody set; Flask-Dropzone writes its defaults into the config as well."""
    keys = _dropzone_keys(app)
    if "dropzone" not in app.extensions:
        return keys
    defaults = _dropzone_keys(_dropzone_of(app))
    # It adds what is missing in an order of its own, behind what was there: what breaks that order was there.
    places = [list(defaults).index(key) for key in keys if key in defaults]
    breaks = [number for number in range(1, len(places)) if places[number] < places[number - 1]]
    given = [key for key in keys if key in defaults][: max(breaks, default=0)]
    return {key: value for key, value in keys.items() if key in given or defaults.get(key) != value}


def _lend_dropzone(app: Flask) -> None:
    """Flask-Dropzone's template calls, where the host has not set it up: in a way that it still may."""
    lent = _dropzone_of(app)
    app.register_blueprint(lent.blueprints["dropzone"], name="uploads_dropzone")
    app.extensions["dropzone"] = lent.extensions["dropzone"]
    app.context_processor(Dropzone.context_processor)
    for key, value in _dropzone_keys(lent).items():
        app.config.setdefault(key, value)

    def build(error: Exception, endpoint: str, values: dict[str, Any]) -> str:
        if endpoint != "dropzone.static":
            raise error
        return url_for("uploads_dropzone.static", **values)

    app.url_build_error_handlers.append(build)


def _storages(settings: Settings, sets: tuple[UploadSet, ...]) -> dict[str, Storage]:
    """The storages of an app: everyone's under "", and those of sets that have one of their own."""

    def opened(url: str, setting: str) -> Storage:
        return open_storage(
            url,
            durable=settings.durable,
            digest=settings.digest,
            staging=settings.staging,
            setting=setting,
            min_free=settings.min_free or 0,
        )

    storages = {"": opened(settings.storage, "UPLOADS_STORAGE")}
    for upload_set in sets:
        own = upload_set.storage
        if own is not None:
            name = f"The storage of the upload set {upload_set.name!r}"
            storages[upload_set.name] = opened(own, name) if isinstance(own, str) else own
        if upload_set.direct and not isinstance(storages.get(upload_set.name, storages[""]), DirectStorage):
            raise SettingError(
                f"The upload set {upload_set.name!r} is direct, and its storage is no store that takes files from "
                "browsers; set UPLOADS_STORAGE to 's3://…', or leave direct out."
            )
        if upload_set.duplicates != "keep" and not settings.digest:
            raise SettingError(
                f"The upload set {upload_set.name!r} tells duplicates by digest; UPLOADS_DIGEST must be 'sha256'."
            )
    return storages


def _watch_later_set_up(app: Flask, blueprint: Blueprint, url_prefix: str | None) -> None:
    """See at the first request, when all is set up, that nothing which came after us stands in our way."""
    app.extensions["csrf"].exempt(blueprint)
    seen = False
    turn = threading.Lock()

    @app.before_request
    def look() -> None:
        nonlocal seen
        if seen:
            return
        with turn:
            if not seen:
                _refuse_taken_rules(app, blueprint.name, url_prefix)
                # The host's own CSRFProtect, where it comes after us, does not know of us yet.
                app.extensions["csrf"].exempt(blueprint)
                seen = True


def _refuse_taken_rules(app: Flask, name: str, url_prefix: str | None) -> None:
    """SettingError where a route of the host's hides one of ours, or the other way round."""
    ours: dict[tuple[str, str], str] = {}
    theirs: dict[tuple[str, str], str] = {}
    for rule in app.url_map.iter_rules():
        found = ours if rule.endpoint.startswith(f"{name}.") else theirs
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            # What a variable is called makes no other route.
            found[re.sub(r"<\w+>", "<>", rule.rule), method] = rule.rule
    if taken := sorted(theirs[route] for route in ours.keys() & theirs.keys()):
        raise SettingError(
            f"The app has the route {taken[0]} itself; give Uploads another url_prefix "
            f"(it is {url_prefix or ''!r}), for example url_prefix='/files-in'."
        )


def _with_folder(url: str) -> str:
    """The database URL, absolute, with the folder of a SQLite file made."""
    url = absolute_sqlite(url)
    path = url.removeprefix("sqlite:///")
    if path != url and path and not path.startswith(":"):
        try:
            Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SettingError(
                f"UPLOADS_DATABASE: {Path(path).parent} cannot be made: {error.strerror}."
            ) from error
    return url


def _kept_secret(database: str) -> str:
    """A secret key kept beside the database, mode 0600: made once, whichever process comes first."""
    url = _with_folder(database)
    path = (
        Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:////") else Path("instance/app.sqlite")
    )
    kept = path.absolute().parent / "secret_key"
    kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not kept.exists():
        draft = kept.with_name(f"secret_key.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, kept)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return kept.read_text()
