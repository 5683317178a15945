"""What every view asks: the site, the owner."""

from __future__ import annotations

from typing import Any, cast

from blinker import NamedSignal
from flask import current_app, render_template, url_for

from .. import security
from ..errors import Rejected
from ..uploads import Site


def site() -> Site:
    """What the current app has set up. RuntimeError where that is nothing."""
    try:
        return cast(Site, current_app.extensions["uploads"])
    except KeyError:
        raise RuntimeError("This app has no uploads; set them up with Uploads(app, …).") from None


def page(template: str, **context: Any) -> str:
    """An HTML page of ours: with its nonce, and the way home (the page itself, or the files in a host app)."""
    home = "uploads.index" if "uploads.index" in current_app.view_functions else "uploads.files"
    return render_template(
        f"dropzone_app/{template}", home=url_for(home), csp_nonce=security.csp_nonce(), **context
    )


def tell(signal: NamedSignal, **facts: Any) -> None:
    """Send a signal; a listener's failure changes nothing of what happened."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    for listener in signal.receivers_for(app):
        try:
            listener(app, **facts)
        except Exception:
            app.logger.exception("a listener of %s failed", signal.name)


def owner() -> str:
    """The owner of this request. Rejected when the host app says that nobody is signed in."""
    ask: security.Owner = current_app.extensions["uploads_owner"]
    found = ask()
    if found is None:
        raise Rejected.because("signed_out")
    # Many apps number their users; a record keeps the owner as text.
    return str(found)
