"""What `flask uploads doctor --url` finds on the way to the server: asked of real nginx."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from engines.fleet import NGINX_LIMIT, nginx
from support import LiveServer
from webclient import visiting

from dropzone_app import doctor


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("app")) as server:
        yield server


@pytest.mark.parametrize(
    ("limit", "buffering", "level", "says"),
    [
        (NGINX_LIMIT, False, "ok", "nothing is wrong"),
        (NGINX_LIMIT + 1, False, "problem", "refuses a body of 105 MB, and the server would take it"),
        (NGINX_LIMIT, True, "warning", "waits for all of an upload"),
    ],
)
def test_what_nginx_lets_through_is_told_without_sending_it(
    app: LiveServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
    buffering: bool,
    level: str,
    says: str,
) -> None:
    monkeypatch.setattr(doctor, "_PATIENCE", 3)
    with ExitStack() as stack:
        proxy = stack.enter_context(nginx(tmp_path, app, buffering=buffering))
        visit = stack.enter_context(visiting(tmp_path / "site"))
        site = visit(MAX_CONTENT_LENGTH=limit).app.extensions["uploads"]
        found = {one.check: one for one in doctor.examine(site, "x", proxy.url)}["proxy"]
    assert found.level == level
    assert says in found.says


def test_an_address_that_takes_no_uploads_is_told(app: LiveServer, tmp_path: Path) -> None:
    with visiting(tmp_path) as visit:
        site = visit().app.extensions["uploads"]
        found = {one.check: one for one in doctor.examine(site, "x", f"{app.url}/elsewhere")}["proxy"]
    assert (found.level, "answers 404" in found.says) == ("problem", True)
