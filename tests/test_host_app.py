"""In an app of somebody's own: one declaration brings everything, and all that is theirs stays as it was."""

import html
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Request, jsonify, render_template_string, request, session
from flask_wtf.csrf import CSRFProtect
from jinja2 import StrictUndefined
from webclient import CONTENT_TYPE, EXE, PNG, Visitor, assert_refused, encode, hosting, stored_names
from werkzeug.datastructures import FileStorage

from dropzone_app import IMAGES, SettingError, Uploads, UploadSet

# Each runs on each database.
pytestmark = pytest.mark.usefixtures("database")

PAGE = "<!doctype html><title>t</title>{{ uploads.zone('photos') }}"


@pytest.fixture
def make(database: str, tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    with hosting(tmp_path) as make:
        yield make


# ---- what it brings


def test_the_declaration_of_the_readme_is_all_it_takes(make: Callable[..., Flask], tmp_path: Path) -> None:
    app = make()
    Uploads(app, UploadSet("photos", IMAGES, max_file_size="10 MB", max_files=200))
    visitor = Visitor(app)
    (file,) = visitor.store(("file", "a.png", PNG), path="/upload/photos")
    assert (file["set"], file["url"]) == ("photos", f"/files/{file['id']}/a.png")
    assert visitor.get(file["url"]).data == PNG
    assert_refused(visitor.upload(("file", "a.pdf", b"%PDF-1.7"), path="/upload/photos"), 415)
    assert visitor.upload(("file", "b.png", PNG)).get_json()["files"][0]["set"] == "photos"


def test_an_app_can_be_set_up_later(make: Callable[..., Flask]) -> None:
    uploads = Uploads()
    app = make()
    uploads.init_app(app, UploadSet("photos", IMAGES))
    assert len(Visitor(app).store(("file", "a.png", PNG))) == 1


def test_one_set_called_files_is_there_where_none_is_given(make: Callable[..., Flask]) -> None:
    app = make()
    Uploads(app)
    assert Visitor(app).store(("file", "a.png", PNG))[0]["set"] == "files"


def test_a_zone_sends_its_files_to_a_view_of_ones_own(make: Callable[..., Flask]) -> None:
    app = make()
    uploads = Uploads(app, UploadSet("photos", IMAGES))
    with app.test_request_context():
        page = str(uploads.zone("photos", action="/albums/1?a&b"))
    found = re.search('data-uploads-zone="([^"]+)"', page)
    assert found and json.loads(html.unescape(found[1]))["url"] == "/albums/1?a&b"
    assert 'action="/albums/1?a&amp;b"' in page


def test_all_addresses_move_below_the_prefix(make: Callable[..., Flask]) -> None:
    app = make()
    Uploads(app, UploadSet("photos", IMAGES), url_prefix="/in")
    visitor = Visitor(app, prefix="/in")
    (file,) = visitor.store(("file", "a.png", PNG))
    assert file["url"].startswith("/in/files/")
    answer = visitor.post(
        encode(("csrf_token", visitor.token()), ("file", "a.png", PNG)), headers={"Accept": "text/html"}
    )
    assert answer.headers["Location"].startswith("/in/batches/")
    ours = {rule.rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("uploads.")}
    assert all(rule.startswith("/in/") for rule in ours)


def test_several_sets_share_records_and_keep_their_own_rules(make: Callable[..., Flask]) -> None:
    app = make()
    Uploads(app, UploadSet("photos", ["png"]), UploadSet("notes", ["txt"], max_file_size=10))
    visitor = Visitor(app)
    visitor.store(("file", "a.png", PNG), path="/upload/photos")
    visitor.store(("file", "a.txt", b"short"), path="/upload/notes")
    assert_refused(visitor.upload(("file", "a.txt", b"x"), path="/upload/photos"), 415)
    assert_refused(visitor.upload(("file", "a.txt", b"far too long"), path="/upload/notes"), 413)
    assert {file["set"] for file in visitor.files()} == {"photos", "notes"}


def test_the_owner_is_whoever_the_app_says(make: Callable[..., Flask], tmp_path: Path) -> None:
    app = make()
    # Most apps number their users.
    Uploads(app, owner=lambda: session.get("user"))  # type: ignore[arg-type]
    app.add_url_rule("/login/<int:user>", "login", lambda user: session.update(user=user) or "")
    first, second, nobody = Visitor(app), Visitor(app), Visitor(app)
    first.get("/login/1")
    (file,) = first.store(("uuid", "u"), ("file", "a.png", PNG))
    assert first.store(("uuid", "u"), ("file", "a.png", PNG)) == [file]
    second.get("/login/1")
    assert second.get(file["url"]).data == PNG
    second.get("/login/2")
    assert_refused(second.get(file["url"]), 404)
    assert_refused(nobody.get("/files"), 401)
    assert_refused(nobody.post(encode(("file", "a.png", PNG))), 401)
    # Who has an empty name has none: all of them would share their files.
    for none in "", False:
        with nobody.client.session_transaction() as kept:
            kept["user"] = none
        assert_refused(nobody.get("/files"), 401)
    assert stored_names(tmp_path) == ["a.png"]


# ---- the zone


def test_a_view_finds_and_deletes_files_of_who_is_asking_only(
    make: Callable[..., Flask], tmp_path: Path
) -> None:
    app, photos, others = make(), UploadSet("photos", IMAGES), UploadSet("others", IMAGES)
    Uploads(app, photos, others, owner=lambda: session.get("name"))

    @app.get("/as/<name>")
    def sign_in(name: str) -> str:
        session["name"] = name
        return name

    @app.get("/url/<id>")
    def url(id: str) -> str:
        record = app.extensions["uploads"].records.file(id)
        return photos.url(record)

    @app.get("/delete/<which>/<id>")
    def delete(which: str, id: str) -> str:
        return str({"photos": photos, "others": others}[which].delete(id))

    ann, bob = Visitor(app), Visitor(app)
    ann.get("/as/ann")
    bob.get("/as/bob")
    (file,) = ann.store(("file", "a.png", PNG), path="/upload/photos")
    assert ann.get(f"/url/{file['id']}").text == file["url"]
    tries = [(bob, "photos", file["id"]), (ann, "others", file["id"]), (ann, "photos", "unknown")]
    assert [who.get(f"/delete/{which}/{id}").text for who, which, id in tries] == ["False"] * 3
    assert ann.get(file["url"]).status_code == 200
    assert [ann.get(f"/delete/photos/{file['id']}").text for _ in range(2)] == ["True", "False"]
    assert ann.get(file["url"]).status_code == 404
    assert stored_names(tmp_path) == []
    with app.test_request_context():
        assert photos.delete(None) is False


def zones(text: str) -> list[dict[str, Any]]:
    return [json.loads(html.unescape(data)) for data in re.findall(r'data-uploads-zone="([^"]*)"', text)]


def test_the_zone_renders_in_a_template_of_the_hosts(make: Callable[..., Flask]) -> None:
    app = make()
    Uploads(app, UploadSet("photos", ["png"], max_files=3), url_prefix="/in")
    app.add_url_rule("/", "home", lambda: render_template_string(PAGE))
    visitor = Visitor(app)
    text = visitor.get("/").text
    (zone,) = zones(text)
    assert (zone["url"], zone["maxFiles"]) == ("/in/upload/photos", 3)
    assert "/in/uploads-static/vendor/dropzone/dropzone-min.js" in text
    # The token and the session come with the page: nothing else must be fetched before the first upload.
    answer = visitor.post(
        encode(("file", "a.png", PNG)), "/in/upload", {zone["csrfHeader"]: zone["csrfToken"]}
    )
    assert answer.status_code == 201


def test_several_zones_on_one_page_bring_the_assets_once(make: Callable[..., Flask]) -> None:
    app = make()
    uploads = Uploads(app, UploadSet("photos", ["png"]), UploadSet("notes", ["txt"]))
    with app.test_request_context():
        text = render_template_string("{{ uploads.zone('photos') }}{{ uploads.zone('notes') }}")
        assert uploads.zone() is not None
    assert [zone["set"] for zone in zones(text)] == ["photos", "notes"]
    assert len(set(re.findall(r'id="(uploads-\w+)"', text))) == 2
    assert re.findall(r'aria-label="(Upload [^"]+)"', text) == ["Upload photos", "Upload notes"]
    for asset in (
        "dropzone.css",
        "dropzone-min.js",
        "css/base.css",
        "css/zone.css",
        "css/list.css",
        "js/zone.js",
    ):
        assert text.count(asset) == 1
    # The next page has them again.
    with app.test_request_context():
        assert "dropzone-min.js" in uploads.zone("photos")


def test_a_set_that_has_two_zones_on_a_page_has_an_id_for_each(make: Callable[..., Flask]) -> None:
    app = make()
    Uploads(app, UploadSet("photos", ["png"]), UploadSet("notes", ["txt"]))
    with app.test_request_context():
        text = render_template_string(
            "{{ uploads.zone('photos') }}{{ uploads.zone() }}{{ uploads.zone('notes') }}"
        )
    assert re.findall(r'id="(uploads-[^"]+)"', text) == [
        "uploads-photos",
        "uploads-photos-2",
        "uploads-notes",
    ]


@pytest.mark.parametrize(
    "nasty", ["</script><script>alert(1)</script>", '"\' onload=alert(1) x="', "{{ 7*7 }}&lt;b&gt;<b>"]
)
def test_nothing_that_is_configured_can_leave_the_zone(make: Callable[..., Flask], nasty: str) -> None:
    keys = {
        "DROPZONE_BROWSER_UNSUPPORTED": "dictFallbackMessage",
        "DROPZONE_CANCEL_UPLOAD": "dictCancelUpload",
        "DROPZONE_CANCEL_CONFIRMATION": "dictCancelUploadConfirmation",
        "DROPZONE_REMOVE_FILE": "dictRemoveFile",
        "DROPZONE_UPLOAD_CANCELED": "dictUploadCanceled",
    }
    app = make(**dict.fromkeys(keys, nasty))
    Uploads(app, UploadSet("photos", ["png"]))
    with app.test_request_context():
        text = render_template_string(PAGE)
    (zone,) = zones(text)
    assert {zone["dropzone"][name] for name in keys.values()} == {nasty}
    assert "<script>alert" not in text
    assert "<b>" not in text
    # As words of the page it may stand there, but in no tag.
    tags = re.findall(r"<[^>]*>", re.sub(r'"[^"]*"', "", text))
    assert not any("onload" in tag for tag in tags)


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ({}, 20_000_000_000 + 1024**2),
        ({"MAX_CONTENT_LENGTH": 16_000_000}, 16_000_000),
        ({"UPLOADS_MAX_FILE_SIZE": "30 GB"}, 20_000_000_000 + 1024**2),
    ],
)
def test_a_file_as_large_as_its_set_says_fits_into_a_body(
    make: Callable[..., Flask], config: dict[str, Any], limit: int
) -> None:
    app = make(**config)
    uploads = Uploads(
        app, UploadSet("small", ["png"], max_file_size=10), UploadSet("film", max_file_size="20 GB")
    )
    with app.test_request_context():
        assert zones(uploads.zone("film"))[0]["maxContentLength"] == limit


def test_a_zone_renders_for_someone_who_is_signed_out(make: Callable[..., Flask]) -> None:
    app = make()
    Uploads(app, UploadSet("photos", ["png"]), owner=lambda: None)
    app.add_url_rule("/", "home", lambda: render_template_string(PAGE))
    visitor = Visitor(app)
    text = visitor.get("/").text
    token = zones(text)[0]["csrfToken"]
    answer = visitor.post(encode(("file", "a.png", PNG)), headers={"X-CSRFToken": token})
    assert_refused(answer, 401, "You are signed out; sign in again and repeat the upload.")


# ---- what stays as it was


class OwnRequest(Request):
    """A host's own class, with a habit that must not be lost."""

    @property
    def shouted(self) -> str:
        return self.path.upper()


@pytest.fixture
def host(make: Callable[..., Flask]) -> Flask:
    app = make()
    app.request_class = OwnRequest
    CSRFProtect(app)

    @app.get("/")
    def home() -> str:
        return "<h1>home</h1>"

    @app.post("/form")
    def form() -> Any:
        file = next(iter(request.files.values()))
        return jsonify(
            kind=type(file).__name__,
            name=file.filename,
            text=file.read().decode(),
            field=request.form["a"],
            shouted=request.shouted,  # type: ignore[attr-defined]
        )

    @app.errorhandler(404)
    def not_found(error: Exception) -> tuple[str, int]:
        return "<h1>The host's own 404</h1>", 404

    @app.errorhandler(Exception)
    def broken(error: Exception) -> tuple[str, int]:
        return f"<h1>The host's own {type(error).__name__}</h1>", getattr(error, "code", 500)

    @app.get("/broken")
    def break_it() -> str:
        raise KeyError

    @app.context_processor
    def words() -> dict[str, str]:
        return {"csp_nonce": "the host's", "brand": "the host's"}

    @app.get("/words")
    def show_words() -> str:
        return render_template_string("{{ csp_nonce }} {{ brand }} {{ files }}{{ next }}")

    Uploads(app, UploadSet("photos", ["png"]), url_prefix="/in")
    return app


def test_routes_of_the_host_answer_as_before(host: Flask) -> None:
    visitor = Visitor(host)
    answer = visitor.get("/")
    assert answer.text == "<h1>home</h1>"
    assert set(answer.headers.keys()) == {"Content-Type", "Content-Length"}


def test_a_request_of_the_hosts_is_of_its_own_class_and_parsed_its_own_way(host: Flask) -> None:
    visitor = Visitor(host, prefix="/in")
    body = encode(("a", "field"), ("csrf_token", visitor.token()), ("any name", "x.exe", b"bytes"))
    answer = visitor.client.post("/form", data=body, content_type=CONTENT_TYPE)
    assert answer.get_json() == {
        "kind": FileStorage.__name__,
        "name": "x.exe",
        "text": "bytes",
        "field": "field",
        "shouted": "/FORM",
    }


def test_the_hosts_forms_stay_protected(host: Flask) -> None:
    answer = Visitor(host).client.post("/form", data=encode(("a", "x")), content_type=CONTENT_TYPE)
    assert (answer.status_code, answer.text) == (400, "<h1>The host's own CSRFError</h1>")


@pytest.mark.parametrize(
    "path", ["/nothing", "/upload", "/files", "/in", "/in/nothing", "/inside", "/in/uploading"]
)
def test_the_hosts_404_page_stands_on_all_other_paths(host: Flask, path: str) -> None:
    answer = Visitor(host).get(path)
    assert (answer.status_code, answer.text) == (404, "<h1>The host's own 404</h1>")


def test_the_hosts_other_error_pages_stand(host: Flask) -> None:
    visitor = Visitor(host)
    assert visitor.get("/broken").text == "<h1>The host's own KeyError</h1>"
    answer = visitor.client.delete("/")
    assert (answer.status_code, answer.text) == (405, "<h1>The host's own MethodNotAllowed</h1>")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/in/files/a/b/c", 404),
        ("GET", "/in/files/a/b", 404),
        ("GET", "/in/upload", 405),
        ("GET", "/in/batches/x", 404),
        ("GET", "/in/uploads-static/nothing.js", 404),
        ("POST", "/in/upload", 415),
    ],
)
def test_below_our_paths_the_hosts_error_pages_do_not_speak(
    host: Flask, method: str, path: str, status: int
) -> None:
    assert_refused(Visitor(host).client.open(path, method=method), status)


def test_a_host_that_catches_every_exception_does_not_catch_a_refusal(host: Flask) -> None:
    visitor = Visitor(host, prefix="/in")
    answer = visitor.upload(("file[0]", "a.png", PNG), ("file[1]", "b.exe", EXE))
    assert_refused(answer, 415)
    assert answer.text.endswith("\nThe other file was stored.")
    assert_refused(visitor.post(encode(("file", "a.png", PNG))), 400)


def test_words_of_the_hosts_templates_are_its_own(host: Flask) -> None:
    assert Visitor(host).get("/words").text == "the host&#39;s the host&#39;s "


def test_our_pages_keep_their_policy_in_a_host_with_words_of_its_own(host: Flask) -> None:
    answer = Visitor(host, prefix="/in").get("/files")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_settings_of_the_host_are_left_alone(make: Callable[..., Flask]) -> None:
    app = make()
    before = dict(app.config)
    Uploads(app)
    changed = {name for name in before if app.config[name] != before[name]}
    assert changed == set()
    added = app.config.keys() - before.keys()
    assert {name.split("_")[0] for name in added} <= {"UPLOADS", "DROPZONE", "WTF"}


def test_a_session_of_the_hosts_does_not_become_permanent(make: Callable[..., Flask]) -> None:
    app = make()
    Uploads(app)
    cookie = Visitor(app).get("/csrf-token").headers["Set-Cookie"]
    assert "Expires" not in cookie


def test_no_index_is_registered(make: Callable[..., Flask]) -> None:
    app = make()
    Uploads(app)
    assert Visitor(app).get("/").status_code == 404
    assert "html" in Visitor(app).get("/").content_type


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_host_that_reads_every_form_first_still_gets_its_verdicts(
    make: Callable[..., Flask], tmp_path: Path, when: str
) -> None:
    app = make()

    def peek() -> None:
        request.form.get("anything")

    if when == "before":
        app.before_request(peek)
    Uploads(app, UploadSet("photos", ["png"], max_parts=2))
    if when == "after":
        app.before_request(peek)
    visitor = Visitor(app)
    answer = visitor.upload(("file[0]", "a.png", PNG), ("file[1]", "b.exe", EXE))
    assert_refused(answer, 415)
    assert answer.text.endswith("\nThe other file was stored.")
    assert_refused(visitor.upload(*((f"file[{n}]", "a.png", PNG) for n in range(3))), 413)
    assert stored_names(tmp_path) == ["photos/a.png"]


@pytest.mark.parametrize("database", ["SQLite"], indirect=True)
def test_two_apps_in_one_process_do_not_mix(make: Callable[..., Flask], tmp_path: Path) -> None:
    shared = UploadSet("photos", ["png"])
    first, second = make("first"), make("second", UPLOADS_MAX_FILE_SIZE=20)
    second.config.update(
        UPLOADS_STORAGE=f"file:{tmp_path / 'other'}", UPLOADS_DATABASE=f"sqlite:///{tmp_path / 'b.sqlite'}"
    )
    Uploads(first, shared)
    Uploads(second, shared)
    Visitor(first).store(("file", "a.png", PNG))
    assert_refused(Visitor(second).upload(("file", "a.png", PNG)), 413)
    with sqlite3.connect(tmp_path / "b.sqlite") as records:
        assert records.execute("SELECT count(*) FROM files").fetchone() == (0,)
    records.close()


# ---- what stops the start


@pytest.mark.parametrize(
    ("rule", "methods"),
    [
        ("/upload", ["POST"]),
        ("/upload/<kind>", ["POST"]),
        ("/files", ["GET"]),
        ("/files/<number>/<title>", ["GET"]),
        ("/files/<number>", ["DELETE"]),
        ("/healthz", ["GET"]),
        ("/readyz", ["GET"]),
    ],
)
def test_a_rule_that_is_taken_stops_the_start_and_names_url_prefix(
    make: Callable[..., Flask], rule: str, methods: list[str]
) -> None:
    app = make()
    app.add_url_rule(rule, "mine", lambda **_: "", methods=methods)
    with pytest.raises(SettingError, match=re.escape(rule)) as error:
        Uploads(app)
    assert "url_prefix" in str(error.value)
    Uploads(make(), url_prefix="/in")


def test_the_same_path_for_another_method_is_not_taken(make: Callable[..., Flask]) -> None:
    app = make()
    app.add_url_rule("/upload", "mine", lambda: "the host's page", methods=["GET"])
    Uploads(app)
    assert Visitor(app).get("/upload").text == "the host's page"
    assert len(Visitor(app).store(("file", "a.png", PNG))) == 1


@pytest.mark.parametrize(
    ("arrange", "word"),
    [
        (lambda app: app.config.update(SECRET_KEY=None), "SECRET_KEY"),
        (lambda app: app.config.update(UPLOADS_MAX_PARTS=0), "UPLOADS_MAX_PARTS"),
    ],
)
def test_a_host_that_lacks_something_is_told_in_a_sentence(
    make: Callable[..., Flask], arrange: Callable[[Flask], None], word: str
) -> None:
    app = make()
    arrange(app)
    with pytest.raises(SettingError, match=word):
        Uploads(app)


def test_the_declaration_itself_is_checked(make: Callable[..., Flask]) -> None:
    with pytest.raises(SettingError, match="same name: a, a, b"):
        Uploads(make(), UploadSet("a"), UploadSet("b"), UploadSet("a"))
    with pytest.raises(SettingError, match="check"):
        UploadSet("check")
    with pytest.raises(SettingError, match="url_prefix"):
        Uploads(make(), url_prefix="in")


def test_an_app_without_a_static_folder_can_be_a_host(make: Callable[..., Flask]) -> None:
    app = make(options={"static_folder": None})
    Uploads(app)
    assert len(Visitor(app).store(("file", "a.png", PNG))) == 1


def test_pages_stand_where_a_host_is_strict_about_what_is_undefined(make: Callable[..., Flask]) -> None:
    app = make()
    app.jinja_env.undefined = StrictUndefined
    Uploads(app, UploadSet("photos", ["png"]))
    app.add_url_rule("/", "home", lambda: render_template_string(PAGE))
    visitor = Visitor(app)
    assert visitor.get("/").status_code == 200
    page = visitor.get("/files")
    assert page.status_code == 200
    assert 'class="uploads-brand" href="/files"' in page.text
