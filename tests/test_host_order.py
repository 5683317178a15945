"""Whatever a host sets up, before us or after us, works beside us or stops the start with a sentence."""

import html
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask, render_template_string
from flask_dropzone import Dropzone
from flask_wtf.csrf import CSRFProtect
from jinja2 import DictLoader, StrictUndefined
from markupsafe import Markup
from webclient import PNG, Visitor, assert_refused, encode, hosting

from dropzone_app import SettingError, Uploads, UploadSet

ZONE = "{{ uploads.zone() }}"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    with hosting(tmp_path) as make:
        yield make


def options_of(app: Flask, template: str = ZONE) -> dict[str, Any]:
    with app.test_request_context():
        (found,) = re.findall(r'data-uploads-zone="([^"]*)"', render_template_string(template))
    options: dict[str, Any] = json.loads(html.unescape(found))
    return options


# ---- CSRFProtect


@pytest.mark.parametrize("when", ["before", "after", "never"])
def test_the_hosts_csrf_protect_leaves_uploads_to_us(make: Callable[..., Flask], when: str) -> None:
    app = make()
    if when == "before":
        CSRFProtect(app)
    Uploads(app, UploadSet("photos", ["png"]))
    if when == "after":
        CSRFProtect(app)
    visitor = Visitor(app)
    # It would have read the body for this, and answered with its own page.
    assert_refused(visitor.post(encode(("file", "a.png", PNG))), 400)
    assert len(visitor.store(("file", "a.png", PNG))) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_hosts_csrf_protect_alone_says_which_of_its_views_are_exempt(
    make: Callable[..., Flask], when: str
) -> None:
    app, csrf = make(), CSRFProtect()
    if when == "before":
        csrf.init_app(app)
    Uploads(app)
    if when == "after":
        csrf.init_app(app)
    app.add_url_rule("/hook", "hook", csrf.exempt(lambda: "taken"), methods=["POST"])
    app.add_url_rule("/form", "form", lambda: "sent", methods=["POST"])
    app.view_functions["form"].__name__ = "form"
    client = Visitor(app).client
    assert client.post("/hook").text == "taken"
    assert client.post("/form").status_code == 400


# ---- Flask-Dropzone

CALLS = (
    "{{ dropzone.load_css() }}{{ dropzone.load_js() }}"
    "{{ dropzone.create('uploads.upload') }}{{ dropzone.config() }}"
)


@pytest.mark.parametrize("when", ["before", "after", "never"])
@pytest.mark.parametrize("options", [{}, {"static_folder": None}, {"static_url_path": "/assets"}])
def test_flask_dropzone_may_be_set_up_whenever(
    make: Callable[..., Flask], when: str, options: dict[str, Any]
) -> None:
    app = make(DROPZONE_SERVE_LOCAL=True, options=options)
    if options.get("static_folder", "") is None and when != "never":
        # Flask-Dropzone alone needs it.
        app.static_url_path = "/static"
    if when == "before":
        Dropzone(app)
    Uploads(app)
    if when == "after":
        Dropzone(app)
    with app.test_request_context():
        page = render_template_string(CALLS + ZONE)
    assert "maxFilesize: 3," in page
    files = re.findall(r'(?:src|href)="(/dropzone/[^"]*)"', page)
    assert len(files) == 2
    for file in files:
        assert Visitor(app).get(file).status_code == 200


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_key_counts_also_where_its_value_is_flask_dropzones_default(
    make: Callable[..., Flask], when: str
) -> None:
    app = make(
        DROPZONE_ALLOWED_FILE_TYPE="image",
        DROPZONE_MAX_FILE_SIZE=3,
        DROPZONE_REMOVE_FILE="Remove file",
        DROPZONE_PARALLEL_UPLOADS=2,
    )
    if when == "before":
        Dropzone(app)
    Uploads(app)
    options = options_of(app)
    assert (options["maxFileSize"], options["parallelRequests"]) == (3 * 1024**2, 2)
    assert options["dropzone"] == {"dictRemoveFile": "Remove file"}


def test_a_key_set_after_flask_dropzone_counts(make: Callable[..., Flask]) -> None:
    app = make()
    Dropzone(app)
    app.config["DROPZONE_MAX_FILES"] = 7
    Uploads(app)
    assert options_of(app)["maxFiles"] == 7


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("REDIRECT_VIEW", 7, "must be an endpoint or a URL, as text; it is 7"),
        ("UPLOAD_ACTION", ["own"], r"must be an endpoint or a URL, as text; it is \['own'\]"),
        ("UPLOAD_BTN_ID", {"id": "x"}, "must be the id of an element, as text"),
        ("REMOVE_FILE", ["Remove"], r"must be words; it is \['Remove'\]"),
        ("DEFAULT_MESSAGE", {"en": "Drop"}, "must be words"),
        ("FILE_TOO_BIG", b"big", "must be words; it is b'big'"),
        ("CANCEL_UPLOAD", True, "must be words; it is True"),
        ("SERVER_ERROR", lambda: "no", "must be words; it is <function"),
    ],
)
def test_a_key_of_the_wrong_kind_stops_the_start(
    make: Callable[..., Flask], key: str, value: object, sentence: str
) -> None:
    with pytest.raises(SettingError, match=f"^DROPZONE_{key} {sentence}"):
        Uploads(make(**{f"DROPZONE_{key}": value}))


@pytest.mark.parametrize("key", ["REDIRECT_VIEW", "UPLOAD_ACTION"])
def test_an_endpoint_may_come_later_and_is_told_where_it_never_came(
    make: Callable[..., Flask], key: str
) -> None:
    app = make(DROPZONE_IN_FORM=True, **{f"DROPZONE_{key}": "album"})
    Uploads(app)
    with pytest.raises(SettingError, match=f"^DROPZONE_{key} names no endpoint of this app.*'album'"):
        options_of(app)
    app.add_url_rule("/album", "album", str, methods=["GET", "POST"])
    assert "/album" in options_of(app).values()


# ---- names


def test_a_blueprint_of_the_name_of_ours_stops_the_start(make: Callable[..., Flask]) -> None:
    theirs = Blueprint("uploads", __name__)
    app = make()
    app.register_blueprint(theirs)
    with pytest.raises(SettingError, match=r"blueprint named 'uploads' already.*name='…'"):
        Uploads(app)
    app = make()
    app.register_blueprint(theirs, name="their_uploads")
    Uploads(app)
    # The other way round Flask says as much.
    with pytest.raises(ValueError, match="'uploads' is already registered"):
        app.register_blueprint(theirs)


def test_a_word_of_the_hosts_templates_is_not_taken_from_it(make: Callable[..., Flask]) -> None:
    app = make()
    app.jinja_env.globals["uploads"] = theirs = ["a", "b"]
    with pytest.raises(SettingError, match=r"global named 'uploads' already"):
        Uploads(app)
    assert app.jinja_env.globals["uploads"] is theirs
    assert "uploads" not in app.extensions


def test_a_route_that_comes_later_and_would_be_hidden_is_told_at_the_first_request(
    make: Callable[..., Flask],
) -> None:
    app = make(TESTING=True)
    Uploads(app)
    app.add_url_rule("/files", "mine", lambda: "the host's page")
    app.add_url_rule("/", "home", lambda: "home")
    for _ in range(2):
        with pytest.raises(SettingError, match="route /files itself; give Uploads another url_prefix"):
            Visitor(app).get("/")
        assert_refused(Visitor(app).get("/files"), 500)


# ---- templates

#: What a host may have made of Jinja, and how its own page then writes the zone.
JINJA = {
    "delimiters": (
        {"variable_start_string": "[[", "variable_end_string": "]]", "block_start_string": "<%"}
        | {"block_end_string": "%>", "comment_start_string": "<#", "comment_end_string": "#>"},
        "[[ uploads.zone() ]]",
    ),
    "lines": ({"line_statement_prefix": "<", "line_comment_prefix": "class"}, ZONE),
    "blanks": ({"trim_blocks": True, "lstrip_blocks": True, "newline_sequence": "\r\n"}, ZONE),
    "strict": ({"undefined": StrictUndefined}, ZONE),
    "finalize": ({"finalize": Markup("*{}*").format}, ZONE),
    "async": ({"enable_async": True}, ZONE),
    "no escaping": ({"autoescape": False}, ZONE),
}


@pytest.mark.parametrize("what", JINJA)
def test_our_templates_are_read_as_they_were_written(make: Callable[..., Flask], what: str) -> None:
    plain = make("plain", UPLOADS_DATABASE="sqlite:///:memory:")
    options, template = JINJA[what]
    app = make()
    app.jinja_options = options
    for each, page in ((plain, ZONE), (app, template)):
        Uploads(each, UploadSet("photos", ["png"]))
        each.add_url_rule("/", "home", lambda page=page: render_template_string(page))

    def texts(app: Flask) -> list[str]:
        visitor = Visitor(app)
        visitor.store(("file", "<b>a&.png", PNG))
        answers = [visitor.get("/"), visitor.get("/files")]
        assert {answer.status_code for answer in answers} == {200}
        found = " ".join(answer.text for answer in answers).strip("*")
        for secret in (r"[\w.-]{60,}", r"[0-9a-f]{16,32}", r"\d{4}-\d\d-\d\d.\d\d:\d\d(:\d\d\.\d+Z)?"):
            found = re.sub(secret, "", found)
        return found.replace("*", "").split()

    assert texts(app) == texts(plain)


def test_words_of_a_hosts_context_do_not_break_our_pages(make: Callable[..., Flask]) -> None:
    app = make()
    Uploads(app)
    app.context_processor(
        lambda: {"csrf_token": "a string", "request": None, "zone": 1, "files": 2, "batch": 3, "home": 4}
    )
    app.add_url_rule("/", "home", lambda: render_template_string(ZONE))
    visitor = Visitor(app)
    assert visitor.get("/").status_code == 200
    assert visitor.get("/files").status_code == 200
    body = encode(("csrf_token", visitor.token()), ("file", "a.png", PNG))
    location = visitor.post(body, headers={"Accept": "text/html"}).headers["Location"]
    assert "All" in visitor.get(location).text or "The file was" in visitor.get(location).text


def test_a_host_may_put_a_template_of_its_own_in_place_of_ours(make: Callable[..., Flask]) -> None:
    app = make()
    app.jinja_loader = DictLoader({"dropzone_app/files.html": "{{ brand }}: {{ files|length }} files"})  # type: ignore[misc]
    app.context_processor(lambda: {"brand": "Ours"})
    Uploads(app)
    assert Visitor(app).get("/files").text == "Ours: 0 files"
