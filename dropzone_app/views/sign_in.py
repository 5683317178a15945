"""The sign-in of the standalone server: who has not shown the access code sees nothing and sends nothing."""

from __future__ import annotations

from io import BytesIO
from typing import cast

from flask import Response, current_app, redirect, request, url_for
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response as BaseResponse

from .. import security
from ..access import Access, access
from ..errors import Rejected
from ..intake.request import Body
from .base import page, token

#: What anybody may see: the way in, what its page is made of, whether the server is well and ready, what was shared.
OPEN = {
    f"uploads.{view}" for view in ("sign_in", "sign_out", "static", "healthz", "readyz", "metrics", "shared")
}
#: Bytes of a form with a code in it.
_MAX_FORM = 10_000


def guard() -> BaseResponse | None:
    """Let in who has shown the code, or an API token; others are sent to the sign-in, where a person looks at a page,
    or Rejected."""
    here = access()
    if here is None or request.endpoint in OPEN or token() or here.is_signed_in():
        return None
    if request.method == "GET" and security.is_plain_form(request):
        return redirect(url_for("uploads.sign_in", next=request.full_path.removesuffix("?")), 303)
    raise Rejected.because("signed_out")


def is_form() -> bool:
    """Whether this request is one of our small forms; what comes from elsewhere, or is large, is refused here.

    They need no token: the code is the secret of one of them, and nobody is hurt by the other.
    """
    if request.endpoint not in {"uploads.sign_in", "uploads.sign_out"}:
        return False
    security.check_origin(request)
    request.max_content_length = _MAX_FORM
    return True


def sign_in() -> BaseResponse | str:
    """The page that asks for the code, and what it posts to. A script gets 204 and a session."""
    here = cast(Access, access())
    if request.method in {"GET", "HEAD"}:
        return page("sign_in.html", sentence="")
    address = request.remote_addr or ""
    wait = here.tries.begin(address)
    if wait:
        return _refused(Rejected.because("code_wait", seconds=int(wait) + 1), int(wait) + 1)
    if not here.knows(_sent_code()):
        return _refused(Rejected.because("code_wrong"))
    here.tries.forget(address)
    here.sign_in()
    if not security.is_plain_form(request):
        return Response(status=204)
    return redirect(_next(), 303)


def _sent_code() -> str:
    """What somebody takes for the code. Rejected or RequestEntityTooLarge for a body that is too slow or too large."""
    body, form = Body.of(request), b""
    while (request.content_length or len(form)) <= _MAX_FORM and (data := body.read()):
        form += data
    if body.left != 0 or len(form) > _MAX_FORM:
        raise RequestEntityTooLarge
    request.environ.update({"wsgi.input": BytesIO(form), "CONTENT_LENGTH": str(len(form))})
    return request.form.get("code", "")


def sign_out() -> BaseResponse:
    """End the session's access; its files stay its own."""
    Access.sign_out()
    return (
        redirect(url_for("uploads.sign_in"), 303) if security.is_plain_form(request) else Response(status=204)
    )


def _refused(rejected: Rejected, wait: int | None = None) -> Response:
    if security.is_plain_form(request):
        sentence = rejected.sentence_in(security.language())
        response = current_app.make_response((page("sign_in.html", sentence=sentence), rejected.status))
    else:
        response = security.refuse(rejected)
    if wait is not None:
        response.headers["Retry-After"] = str(wait)
    return response


def _next() -> str:
    """Where the person was going: a path of this very app, and no address that a browser reads as another's."""
    path = request.args.get("next", "")
    local = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if local else url_for("uploads.index")
