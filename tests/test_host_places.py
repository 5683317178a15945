"""Where an app may stand and what it may be like: behind a prefix, in threads, async, strict, trapping, failing."""

import html
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import flask_login
import pytest
from flask import Flask, Response, render_template_string, request
from webclient import CONTENT_TYPE, EXE, PNG, Visitor, assert_refused, encode, hosting, stored_names
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client, TestResponse

from dropzone_app import Uploads, UploadSet

HTML = {"Accept": "text/html"}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    with hosting(tmp_path) as make:
        yield make


def zone_of(text: str) -> dict[str, Any]:
    (found,) = re.findall(r'data-uploads-zone="([^"]*)"', text)
    zone: dict[str, Any] = json.loads(html.unescape(found))
    return zone


# ---- where it stands


@pytest.mark.parametrize("prefix", ["", "/in"])
def test_below_another_app_every_address_begins_with_the_mount_point(
    make: Callable[..., Flask], prefix: str
) -> None:
    app = make()
    Uploads(app, UploadSet("photos", ["png"]), url_prefix=prefix)
    app.add_url_rule("/page", "page", lambda: render_template_string("{{ uploads.zone() }}"))
    client = Client(DispatcherMiddleware(Flask("root"), {"/shop": app}))

    def get(path: str) -> TestResponse:
        return client.get(path, buffered=True)

    page = get("/shop/page").text
    zone = zone_of(page)
    root = f"/shop{prefix}"
    assert (zone["url"], zone["filesUrl"]) == (f"{root}/upload/photos", f"{root}/files")
    for asset in re.findall(r'(?:src|href)="([^"]+\.(?:js|css))"', page):
        assert get(asset).status_code == 200
    headers = {"X-CSRFToken": zone["csrfToken"]}
    post: dict[str, Any] = {"data": encode(("file", "a.png", PNG)), "content_type": CONTENT_TYPE}
    (file,) = client.post(zone["url"], headers=headers, **post).get_json()["files"]
    assert file["url"] == f"{root}/files/{file['id']}/a.png"
    assert get(file["url"]).data == PNG
    location = client.post(zone["url"], headers=headers | HTML, **post).headers["Location"]
    assert location.startswith(f"{root}/batches/")
    assert get(location).status_code == 200
    assert_refused(get(f"{root}/files/x/y/z"), 404)
    # Of the app around it nothing is ours.
    assert "html" in get("/files/x/y/z").content_type


def test_slashes_at_the_end_may_be_allowed(make: Callable[..., Flask]) -> None:
    app = make()
    app.url_map.strict_slashes = False
    Uploads(app, UploadSet("photos", ["png"]))
    visitor = Visitor(app)
    (file,) = visitor.store(("file", "a.png", PNG), path="/upload/photos/")
    assert visitor.get("/files/").status_code == 200
    assert visitor.get(file["url"]).data == PNG
    assert_refused(visitor.upload(("file", "a.exe", EXE), path="/upload/"), 415)


def test_a_context_that_stays_open_around_requests_mixes_nothing(make: Callable[..., Flask]) -> None:
    app = make()
    Uploads(app, UploadSet("photos", ["png"]))
    app.add_url_rule("/page", "page", lambda: render_template_string("{{ uploads.zone() }}"))
    # As fixtures of many test suites have it.
    with app.app_context():
        visitor = Visitor(app)
        pages = [visitor.get("/page").text for _ in range(2)]
        nonces = {visitor.get("/files").headers["Content-Security-Policy"] for _ in range(2)}
    assert all("js/zone.js" in page for page in pages)
    assert len(nonces) == 2


# ---- what it is like


def test_one_set_serves_two_apps_in_many_threads(make: Callable[..., Flask], tmp_path: Path) -> None:
    shared = UploadSet("photos", ["png"])
    visitors = []
    for name, limit in (("first", "1 MB"), ("second", 20)):
        folder = tmp_path / name
        app = make(
            name,
            UPLOADS_STORAGE=f"file:{folder / 'uploads'}",
            UPLOADS_DATABASE=f"sqlite:///{folder}/app.sqlite",
            UPLOADED_PHOTOS_MAX_FILE_SIZE=limit,
        )
        Uploads(app, shared)
        visitors.append(Visitor(app))
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda n: Visitor(visitors[n % 2].app).upload(("file", "a.png", PNG)), range(40))
        )
    assert [answer.status_code for answer in answers] == [201, 413] * 20
    assert len(stored_names(tmp_path / "first")) == 20
    assert stored_names(tmp_path / "second") == []


def test_flask_login_says_who_owns_a_file_in_one_line(make: Callable[..., Flask]) -> None:
    app = make()
    Uploads(app, UploadSet("photos", ["png"]), owner=lambda: flask_login.current_user.get_id())
    login = flask_login.LoginManager(app)

    class User(flask_login.UserMixin):  # type: ignore[misc]  # Flask-Login ships no types
        def __init__(self, id: str) -> None:
            self.id = id

    login.user_loader(User)
    app.add_url_rule("/login/<id>", "login", lambda id: str(flask_login.login_user(User(id))))
    ada, bob, nobody = Visitor(app), Visitor(app), Visitor(app)
    ada.get("/login/1")
    bob.get("/login/2")
    (file,) = ada.store(("file", "a.png", PNG))
    assert ada.get(file["url"]).data == PNG
    assert_refused(bob.get(file["url"]), 404)
    assert_refused(nobody.get(file["url"]), 401)
    assert_refused(nobody.post(encode(("file", "a.png", PNG))), 401)


def test_a_host_that_asks_everyone_to_sign_in_first_is_no_success(make: Callable[..., Flask]) -> None:
    app = make()
    token = []
    app.before_request(lambda: Response(status=302, headers={"Location": "/login"}) if token else None)
    Uploads(app, UploadSet("photos", ["png"]))
    visitor = Visitor(app)
    token.append(visitor.token())
    answer = visitor.post(
        encode(("file", "a.png", PNG)),
        headers={"X-CSRFToken": token[0], "X-Requested-With": "XMLHttpRequest"},
    )
    assert_refused(answer, 401)
    assert visitor.get("/files", headers=HTML).status_code == 302


def test_an_async_view_receives(make: Callable[..., Flask]) -> None:
    app, photos = make(), UploadSet("photos", ["png"])
    Uploads(app, photos)

    @app.post("/own")
    async def own() -> Any:
        return photos.receive(request).response()

    app.extensions["csrf"].exempt(own)
    assert len(Visitor(app).store(("file", "a.png", PNG), path="/own")) == 1


@pytest.mark.parametrize(
    "config",
    [
        {"TESTING": True},
        {"DEBUG": True},
        {"PROPAGATE_EXCEPTIONS": True},
        {"TRAP_HTTP_EXCEPTIONS": True},
        {"TRAP_BAD_REQUEST_ERRORS": True},
        {"MAX_CONTENT_LENGTH": 2000},
    ],
    ids=str,
)
def test_no_switch_for_errors_changes_what_a_client_reads(
    make: Callable[..., Flask], config: dict[str, Any]
) -> None:
    app = make(**config)

    def pages(error: HTTPException) -> tuple[str, int]:
        return "<h1>ours</h1>", error.code or 500

    for kind in (404, 413, 405, HTTPException, Exception):
        app.register_error_handler(kind, pages)
    Uploads(app, UploadSet("photos", ["png"], max_file_size="2 kB"))
    visitor = Visitor(app)
    assert_refused(visitor.get("/files/a/b"), 404)
    assert_refused(visitor.get("/upload"), 405)
    assert_refused(visitor.get("/files/a/b/c/d"), 404)
    assert_refused(visitor.post(encode(("file", "a.png", PNG))), 400)
    assert_refused(visitor.upload(("file", "a.png", PNG + bytes(3000))), 413)
    assert visitor.get("/nothing").text == "<h1>ours</h1>"


def test_a_view_that_fails_after_its_form_was_read_leaves_no_file_open(
    make: Callable[..., Flask], tmp_path: Path
) -> None:
    app, photos = make(), UploadSet("photos", ["png"])
    Uploads(app, photos)

    @app.post("/own")
    @photos.parses()
    def own() -> None:
        assert len(list(request.files.items(multi=True))) == 20
        raise KeyError

    app.extensions["csrf"].exempt(own)
    visitor = Visitor(app)
    body = encode(*((f"file[{n}]", "a.png", PNG) for n in range(20)))
    assert visitor.post(body, "/own").status_code == 500
    before = len(os.listdir("/proc/self/fd"))
    assert visitor.post(body, "/own").status_code == 500
    assert len(os.listdir("/proc/self/fd")) == before
    assert stored_names(tmp_path) == []


@pytest.mark.parametrize("registered", ["before", "after"])
def test_a_hosts_after_request_that_fails_does_not_make_us_lie(
    make: Callable[..., Flask], tmp_path: Path, registered: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = make()
    broken: list[bool] = []

    def fail(response: Response) -> Response:
        if broken:
            raise KeyError("the host's")
        return response

    if registered == "before":
        app.after_request(fail)
    Uploads(app, UploadSet("photos", ["png"]))
    if registered == "after":
        app.after_request(fail)
    visitor = Visitor(app)
    headers = {"X-CSRFToken": visitor.token()}
    body = encode(("uuid", "u"), ("file", "a.png", PNG))
    broken.append(True)
    with caplog.at_level(logging.CRITICAL + 1):
        answer = visitor.post(body, headers=headers)
        assert_refused(visitor.get("/files"), 500)
    assert_refused(answer, 500)
    assert stored_names(tmp_path) == ["photos/a.png"]
    assert "nothing was stored" not in answer.text
    broken.clear()
    # Whoever sends it again all the same has the recorded answer.
    assert visitor.post(body, headers=headers).status_code == 201
    assert stored_names(tmp_path) == ["photos/a.png"]
