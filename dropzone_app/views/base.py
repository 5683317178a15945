"""What every view asks: the site, the owner."""

from __future__ import annotations

from typing import cast

from flask import current_app

from .. import security
from ..errors import Rejected
from ..uploads import Site


def site() -> Site:
    """What the app of this request has set up."""
    return cast(Site, current_app.extensions["uploads"])


def owner() -> str:
    """The owner of this request. Rejected when the host app says that nobody is signed in."""
    ask: security.Owner = current_app.extensions["uploads_owner"]
    found = ask()
    if found is None:
        raise Rejected.because("signed_out")
    # Many apps number their users; a record keeps the owner as text.
    return str(found)
