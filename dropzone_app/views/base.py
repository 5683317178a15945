"""What every view asks: the site, the owner."""

from __future__ import annotations

from typing import Any, cast

from blinker import NamedSignal
from flask import current_app, request, url_for
from jinja2 import Undefined, defaults

from .. import security
from ..access import UnderWay, may_sign_out
from ..checks import check_uuid
from ..config import Size
from ..errors import Rejected
from ..kinds import icons, kind_of
from ..languages import word
from ..naming import extension_of
from ..records import PREFIX, Record, Token
from ..uploads import Site, UploadSet
from . import journal

#: Jinja's own: every option that changes what the text of a template means.
_SYNTAX: dict[str, Any] = {
    name.lower(): value
    for name, value in vars(defaults).items()
    if name.isupper() and not name.startswith("DEFAULT_")
}


_TOKEN = "dropzone_app.token"
_SENDING = "dropzone_app.sending"


def site() -> Site:
    """What the current app has set up. RuntimeError where that is nothing."""
    try:
        return cast(Site, current_app.extensions["uploads"])
    except KeyError:
        raise RuntimeError("This app has no uploads; set them up with Uploads(app, …).") from None


def site_with(upload_set: UploadSet) -> Site:
    """:func:`site`, which has this very set. RuntimeError where another app has it, or none."""
    here = site()
    configured = here.sets.get(upload_set.name)
    if configured is None or configured.declared is not upload_set:
        raise RuntimeError(
            f"The upload set {upload_set.name!r} is not one of this app's; give it to Uploads(app, …)."
        )
    return here


def page(template: str, **context: Any) -> str:
    """An HTML page of ours: with its nonce, and the way home (the page itself, or the files in a host app)."""
    home = "uploads.index" if "uploads.index" in current_app.view_functions else "uploads.files"
    return render(template, home=url_for(home), csp_nonce=security.csp_nonce(), **context)


def render(template: str, **context: Any) -> str:
    """A template of ours. It is found as the host's are, and read as it was written: whatever the host has made of
    Jinja's delimiters, of what is undefined or escaped, or of our words.
    """
    app = current_app
    if "uploads_templates" not in app.extensions:
        ours = app.extensions["uploads_templates"] = app.jinja_env.overlay(
            **_SYNTAX, autoescape=True, undefined=Undefined, finalize=None, enable_async=False
        )
        ours.globals = app.jinja_env.globals | _OURS
    context |= _OURS | {
        "request": request,
        "language": security.language(),
        "csrf_token": security.csrf_token,
    }
    app.update_template_context(context)
    text: str = app.extensions["uploads_templates"].get_template(f"dropzone_app/{template}").render(context)
    return text


def _word(code: str, **values: Any) -> str:
    return word(security.language(), code, **values)


def _size(length: int) -> str:
    return Size(length).told(security.language())


def _icon_of(filename: str) -> str:
    return kind_of(extension_of(filename)).icon


#: What our templates call; a host has words of its own by these names.
_OURS: dict[str, Any] = {
    "icon_of": _icon_of,
    "icons": icons,
    "word": _word,
    "size": _size,
    "may_sign_out": may_sign_out,
}


def tell(signal: NamedSignal, **facts: Any) -> None:
    """Send a signal; a listener's failure changes nothing of what happened."""
    if not signal.receivers:
        return
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    for listener in signal.receivers_for(app):
        try:
            listener(app, **facts)
        except Exception:
            app.logger.exception("a listener of %s failed", signal.name)


def token() -> Token | None:
    """The API token that came with this request, None without one. Rejected for one that is not good, or no longer."""
    if _TOKEN not in request.environ:
        request.environ[_TOKEN] = _token()
    return cast("Token | None", request.environ[_TOKEN])


def _token() -> Token | None:
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    is_standalone = "uploads.index" in current_app.view_functions
    if scheme.lower() != "bearer" or not (is_standalone or shown.strip().startswith(PREFIX)):
        # A host may have bearer tokens of its own.
        return None
    found = site().records.tokens.find(shown.strip())
    if found is None:
        raise Rejected.because("token_wrong")
    return found


def owner() -> str:
    """The owner of this request. Rejected when the host app says that nobody is signed in."""
    if bearer := token():
        journal.note_owner(bearer.owner)
        return bearer.owner
    ask: security.Owner = current_app.extensions["uploads_owner"]
    found: object = ask()
    # "" and False (`user.is_authenticated and user.id`) are nobody too: else all of them would share their files.
    if found is None or found is False or found == "":
        raise Rejected.because("signed_out")
    # Many apps number their users; a record keeps the owner as text.
    journal.note_owner(str(found))
    return str(found)


def owner_is_by_session() -> bool:
    """Whether the owner is whoever has the session's cookie, and clients without one are each another."""
    by_session = (security.owner_of_session, security.owner_of_lasting_session)
    return token() is None and current_app.extensions["uploads_owner"] in by_session


def check_upload_uuid(uuid: str) -> None:
    """Rejected, as for an upload that is not there, for what cannot be the uuid of one."""
    try:
        check_uuid("uuid", uuid)
    except Rejected:
        raise Rejected.because("unknown_upload") from None


def may_upload(upload_set: UploadSet | None) -> bool:
    """Whether who asks may send files to a set, also what is missing of one."""
    return _authorized("upload", upload_set, None) is not False


def check_upload(upload_set: UploadSet) -> None:
    """Rejected unless somebody is signed in who may upload."""
    owner()
    if not may_upload(upload_set):
        raise Rejected.because("not_authorized", name=upload_set.name)


def begin_sending(owner: str) -> None:
    """Count this request among those that send files of ``owner``, until it ends. Rejected where there are too many."""
    limit: UnderWay | None = current_app.extensions["uploads_under_way"]
    if limit is None:
        return
    if not limit.begin(owner):
        raise Rejected.because("too_many_at_once", limit=limit.most).for_seconds(1)
    request.environ[_SENDING] = owner


def end_sending(_: BaseException | None = None) -> None:
    """Count it no more."""
    sender = request.environ.pop(_SENDING, None)
    if sender is not None:
        current_app.extensions["uploads_under_way"].end(sender)


def may(action: security.Action, record: Record) -> bool:
    """Whether who asks may do this with a stored file: what the host says, else its owner may, and anybody read what
    is of a public set. Rejected when nobody is signed in and the answer is not yes.
    """
    upload_set = site().sets.get(record.set)
    allowed = _authorized(action, upload_set, record)
    if allowed is None:
        is_public = action == "read" and upload_set is not None and upload_set.public
        allowed = is_public or record.owner == owner()
    if not allowed:
        # Whoever is signed out learns no more about a file that is there than about one that is not.
        owner()
    return allowed


def permitted(action: security.Action, id: str) -> Record:
    """The stored file with this id. Rejected alike for one with which who asks may not do this, and for none."""
    record = site().records.file(id)
    if record is None:
        owner()
    if record is None or not may(action, record):
        raise Rejected.because("unknown_file")
    return record


def _authorized(action: security.Action, upload_set: UploadSet | None, record: Record | None) -> bool | None:
    bearer = token()
    if bearer and bearer.set and (upload_set is None or bearer.set != upload_set.name):
        return False
    ask: security.Authorize | None = current_app.extensions["uploads_authorize"]
    said = ask(action, upload_set and upload_set.declared, record) if ask else None
    return None if said is None else bool(said)
