"""Flask-Dropzone's keys: each of them, set before init, means in our zone what its documentation says."""

import html
import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import flask_dropzone
import pytest
from core import SAMPLES, make_app, post, site_of
from core import file_part as part
from core import form_body as form
from flask import Flask, render_template_string
from flask_dropzone import Dropzone
from markupsafe import Markup

from dropzone_app import IMAGES, SettingError, Uploads, UploadSet
from dropzone_app.dropzone import FAMILIES, KEYS
from dropzone_app.kinds import DEFAULT_TYPES, KINDS

QUOTED = '"说" l\'été `x` </script><b>{{ 7*7 }}'


class Zone(NamedTuple):
    """A zone as a page has it."""

    text: str
    options: dict[str, Any]

    @property
    def words(self) -> dict[str, Any]:
        words: dict[str, Any] = self.options["dropzone"]
        return words


def zone_of(app: Flask, call: str = "uploads.zone()") -> Zone:
    app.add_url_rule("/done", "done", str)
    app.add_url_rule("/own", "own", str, methods=["POST"])
    with app.test_request_context():
        text = render_template_string(f"{{{{ {call} }}}}")
    found = re.search(r'data-uploads-zone="([^"]*)"', text)
    return Zone(text, json.loads(html.unescape(found[1])) if found else {})


def zone(folder: Path, call: str = "uploads.zone()", **keys: Any) -> Zone:
    config = {f"DROPZONE_{key}": value for key, value in keys.items()}
    return zone_of(make_app(folder, UploadSet("photos"), **config), call)


def test_there_are_twenty_five_keys_and_the_table_has_them_all() -> None:
    probe = Flask("probe")
    Dropzone(probe)
    theirs = {key.removeprefix("DROPZONE_") for key in probe.config if key.startswith("DROPZONE_")}
    assert len(theirs) == 25
    assert set(TABLE) == theirs
    assert {f"DROPZONE_{key}" for key in theirs} == set(KEYS)


#: Key: other keys, a value, what is to be seen of it, and there.
TABLE: dict[str, tuple[dict[str, Any], Any, Any, Callable[[Zone], Any]]] = {
    "SERVE_LOCAL": (
        {},
        False,
        ["/uploads-static/"] * 7,
        lambda zone: re.findall(r'(?:src|href)="(/[\w-]+/)[^"]*"', zone.text.partition("<div")[0]),
    ),
    "MAX_FILE_SIZE": ({}, 0.25, 262_144, lambda zone: zone.options["maxFileSize"]),
    "INPUT_NAME": ({}, "photo", "photo", lambda zone: zone.options["field"]),
    "ALLOWED_FILE_CUSTOM": (
        {"ALLOWED_FILE_TYPE": ".pdf, .TXT"},
        True,
        ["pdf", "txt"],
        lambda zone: zone.options["extensions"],
    ),
    "ALLOWED_FILE_TYPE": ({}, "image", list(IMAGES), lambda zone: zone.options["extensions"]),
    "MAX_FILES": ({}, 7, 7, lambda zone: zone.options["maxFiles"]),
    "TIMEOUT": ({}, "2500", 2500, lambda zone: zone.words.get("timeout")),
    "REDIRECT_VIEW": ({}, "done", "/done", lambda zone: zone.options["redirect"]),
    "UPLOAD_MULTIPLE": ({}, True, (2, 1), lambda zone: batching(zone)),
    "PARALLEL_UPLOADS": ({}, 5, (1, 5), lambda zone: batching(zone)),
    "ENABLE_CSRF": ({}, False, True, lambda zone: len(zone.options["csrfToken"]) > 20),
    "UPLOAD_ACTION": ({"IN_FORM": True}, "own", "/own", lambda zone: zone.options["url"]),
    "UPLOAD_ON_CLICK": ({}, True, True, lambda zone: zone.options["onClick"]),
    "UPLOAD_BTN_ID": ({}, QUOTED, QUOTED, lambda zone: zone.options["button"]),
    "IN_FORM": ({}, True, [], lambda zone: re.findall("<form|</form", zone.text)),
    "DEFAULT_MESSAGE": ({}, QUOTED, True, lambda zone: str(Markup.escape(QUOTED)) in zone.text),
    "BROWSER_UNSUPPORTED": (
        {},
        QUOTED,
        True,
        lambda zone: f"<p>{Markup.escape(QUOTED)}</p>" in zone.text,
    ),
    **{
        key: ({}, QUOTED, QUOTED, lambda zone, option=option: zone.words.get(option))
        for key, option in {
            "INVALID_FILE_TYPE": "dictInvalidFileType",
            "FILE_TOO_BIG": "dictFileTooBig",
            "SERVER_ERROR": "dictResponseError",
            "MAX_FILE_EXCEED": "dictMaxFilesExceeded",
            "CANCEL_UPLOAD": "dictCancelUpload",
            "REMOVE_FILE": "dictRemoveFile",
            "CANCEL_CONFIRMATION": "dictCancelUploadConfirmation",
            "UPLOAD_CANCELED": "dictUploadCanceled",
        }.items()
    },
}


def batching(zone: Zone) -> tuple[int | None, int]:
    return zone.options["partsPerRequest"], zone.options["parallelRequests"]


@pytest.mark.parametrize("key", TABLE)
def test_a_key_means_in_our_zone_what_it_says(tmp_path: Path, key: str) -> None:
    others, value, expected, seen = TABLE[key]
    assert seen(zone(tmp_path, **others, **{key: value})) == expected


@pytest.mark.parametrize("key", sorted(set(TABLE) - {"SERVE_LOCAL", "ENABLE_CSRF"}))
def test_without_the_key_the_zone_is_another(tmp_path: Path, key: str) -> None:
    others, _, expected, seen = TABLE[key]
    if key == "ALLOWED_FILE_CUSTOM":
        with pytest.raises(SettingError, match="DROPZONE_ALLOWED_FILE_CUSTOM"):
            zone(tmp_path, **others)
        return
    assert seen(zone(tmp_path, **others)) != expected


def test_what_flask_dropzone_wrote_itself_says_nothing(tmp_path: Path) -> None:
    plain = zone(tmp_path)
    app = Flask("host", root_path=str(tmp_path))
    app.config.update(
        SECRET_KEY="x",
        UPLOADS_STORAGE=f"file:{tmp_path / 'uploads'}",
        UPLOADS_DATABASE=f"sqlite:///{tmp_path / 'app.sqlite'}",
    )
    Dropzone(app)
    Uploads(app, UploadSet("photos"))
    found = zone_of(app)
    site_of(app).records.close()
    session = {"csrfToken": "", "owner": ""}
    assert found.options | session == plain.options | session
    assert found.words == {}


# ---- types


def test_the_families_are_flask_dropzone_s() -> None:
    assert flask_dropzone.allowed_file_extensions == FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_the_known_kinds_of_it_in_browser_and_server(tmp_path: Path, family: str) -> None:
    app = make_app(tmp_path, UploadSet("photos"), DROPZONE_ALLOWED_FILE_TYPE=family)
    extensions = zone_of(app).options["extensions"]
    prefixes = [word.strip().removesuffix("*") for word in FAMILIES[family].split(",")]
    for extension, sample in SAMPLES.items():
        belongs = any(KINDS[extension].media_type.startswith(prefix) for prefix in prefixes)
        assert (extension in extensions) is belongs, extension
        answer = post(app, form(part("file", f"a.{extension}", sample)))
        assert answer.status_code == (201 if belongs else 415), extension
    assert not {"svg", "html", "htm"} & set(extensions), "what a browser would run is in no family"


@pytest.mark.parametrize(
    ("types", "extensions"),
    [
        ("image/*, .pdf, .txt", [*IMAGES, "pdf", "txt"]),
        ("image/png,IMAGE/JPEG , ", ["png", "jpg", "jpeg", "jpe", "jfif"]),
        (".dwg,.C++", ["dwg", "c++"]),
        (".png,image/png,.png", ["png"]),
        (".svg", ["svg"]),
        ("image/svg+xml", ["svg"]),
    ],
)
def test_types_of_one_s_own(tmp_path: Path, types: str, extensions: list[str]) -> None:
    found = zone(tmp_path, ALLOWED_FILE_CUSTOM=True, ALLOWED_FILE_TYPE=types)
    assert found.options["extensions"] == extensions
    accept = ",".join(f".{extension}" for extension in extensions)
    assert f'accept="{accept}"' in found.text


def test_what_a_set_declares_is_over_the_keys_and_they_are_over_ours(tmp_path: Path) -> None:
    app = make_app(
        tmp_path,
        UploadSet("photos", ["gif"]),
        UploadSet("rest"),
        DROPZONE_ALLOWED_FILE_TYPE="audio",
        UPLOADS_TYPES="pdf",
    )
    rules = site_of(app).rules
    assert rules["photos"].extensions == ("gif",)
    assert rules["rest"].extensions == tuple(e for e in DEFAULT_TYPES if KINDS[e].media_type[:6] == "audio/")


# ---- requests


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, (None, 3)),
        ({"UPLOAD_MULTIPLE": True, "PARALLEL_UPLOADS": 7}, (7, 1)),
        ({"UPLOAD_MULTIPLE": False, "PARALLEL_UPLOADS": 7}, (1, 7)),
        ({"UPLOAD_MULTIPLE": "true"}, (2, 1)),
        ({"UPLOAD_MULTIPLE": False}, (1, 2)),
        ({"UPLOAD_ON_CLICK": True}, (None, 3)),
        ({"UPLOAD_ON_CLICK": True, "PARALLEL_UPLOADS": 7}, (7, 1)),
    ],
)
def test_parallel_uploads_is_never_exceeded(
    tmp_path: Path, keys: dict[str, Any], expected: tuple[int | None, int]
) -> None:
    assert batching(zone(tmp_path, **keys)) == expected


def test_more_files_than_the_limit_are_refused_by_the_server_too(tmp_path: Path) -> None:
    app = make_app(tmp_path, UploadSet("photos"), DROPZONE_MAX_FILES=2)
    parts = [part(f"file[{n}]", f"{n}.txt", b"x") for n in range(3)]
    assert post(app, form(*parts[:2])).status_code == 201
    answer = post(app, form(*parts))
    assert answer.status_code == 422
    assert answer.text.startswith("Too many files at once: the limit is 2, and")


@pytest.mark.parametrize("none", [None, "null"])
def test_no_limit_of_files_is_said_as_flask_dropzone_says_it(tmp_path: Path, none: str | None) -> None:
    assert zone(tmp_path, MAX_FILES=none).options["maxFiles"] is None


@pytest.mark.parametrize("none", [None, 0, ""])
def test_no_timeout_is_said_as_dropzone_says_it(tmp_path: Path, none: object) -> None:
    assert "timeout" not in zone(tmp_path, TIMEOUT=none).words


# ---- what cannot be used

CUSTOM = {"ALLOWED_FILE_CUSTOM": True}


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (
            {"ALLOWED_FILE_TYPE": "pictures"},
            "ALLOWED_FILE_TYPE must be one of default, image, audio, video, ",
        ),
        ({"ALLOWED_FILE_TYPE": ["image"]}, "ALLOWED_FILE_TYPE must be one of default"),
        ({"ALLOWED_FILE_TYPE": "image/*"}, "ALLOWED_FILE_TYPE .* where DROPZONE_ALLOWED_FILE_CUSTOM is set"),
        ({"ALLOWED_FILE_CUSTOM": True}, "ALLOWED_FILE_TYPE must be types that are known here"),
        (CUSTOM | {"ALLOWED_FILE_TYPE": "image"}, "ALLOWED_FILE_TYPE must be types .*; it is 'image'"),
        (CUSTOM | {"ALLOWED_FILE_TYPE": ".png,model/obj"}, "ALLOWED_FILE_TYPE .*; it is '.png,model/obj'"),
        (CUSTOM | {"ALLOWED_FILE_TYPE": ".tar.gz"}, "ALLOWED_FILE_TYPE must be extensions"),
        (CUSTOM | {"ALLOWED_FILE_TYPE": " ,"}, "ALLOWED_FILE_TYPE must be types"),
        ({"ALLOWED_FILE_CUSTOM": "perhaps"}, "ALLOWED_FILE_CUSTOM must be true or false"),
        ({"TIMEOUT": "soon"}, "TIMEOUT must be a whole number of at least 1; it is 'soon'"),
        ({"TIMEOUT": -1}, "TIMEOUT must be"),
        ({"PARALLEL_UPLOADS": 0}, "PARALLEL_UPLOADS must be"),
        ({"UPLOAD_MULTIPLE": "several"}, "UPLOAD_MULTIPLE must be true or false"),
        ({"UPLOAD_ON_CLICK": 2}, "UPLOAD_ON_CLICK must be true or false"),
        ({"IN_FORM": "yes please"}, "IN_FORM must be true or false"),
        ({"MAX_FILE_SIZE": "big"}, "MAX_FILE_SIZE must be a number of megabytes"),
        ({"MAX_FILE_SIZE": 0}, "MAX_FILE_SIZE must be a number of megabytes"),
        ({"MAX_FILES": "none"}, "MAX_FILES must be"),
    ],
)
def test_a_value_that_cannot_be_used_stops_the_start(
    tmp_path: Path, keys: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SettingError, match=f"^DROPZONE_{sentence}"):
        zone(tmp_path, **keys)


# ---- markup


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("MAX_FILESIZE", "MAX_FILE_SIZE"),
        ("MAX_FILE", "MAX_FILES"),
        ("MAX_FILE_EXCEEDED", "MAX_FILE_EXCEED"),
        ("ALLOWED_FILE_TYPES", "ALLOWED_FILE_TYPE"),
        ("TIME_OUT", "TIMEOUT"),
        ("IN_FROM", "IN_FORM"),
    ],
)
def test_a_slip_of_the_finger_stops_the_start(tmp_path: Path, slip: str, meant: str) -> None:
    with pytest.raises(SettingError, match=f"DROPZONE_{slip} is no setting; did you mean DROPZONE_{meant}"):
        make_app(tmp_path, **{f"DROPZONE_{slip}": 1})


@pytest.mark.parametrize("own", ["VERSION", "THUMBNAIL_WIDTH", "UPLOAD_FOLDER", "PARALLEL_CHUNK_UPLOADS"])
def test_a_key_of_the_host_s_own_is_none_of_ours(tmp_path: Path, own: str) -> None:
    make_app(tmp_path, **{f"DROPZONE_{own}": 1})


def test_words_may_be_translated_late_or_be_markup(tmp_path: Path) -> None:
    class Late:
        def __str__(self) -> str:
            return "später"

    found = zone(tmp_path, REMOVE_FILE=Late(), DEFAULT_MESSAGE=Markup("Drop<br>here"))
    assert found.words["dictRemoveFile"] == "später"
    assert "Drop<br>here" in found.text


def test_addresses_may_be_urls(tmp_path: Path) -> None:
    found = zone(tmp_path, REDIRECT_VIEW="/album?a=1&b=2", UPLOAD_ACTION="https://a.example/up", IN_FORM=True)
    assert found.options["redirect"] == "/album?a=1&b=2"
    assert found.options["url"] == "https://a.example/up"


def test_outside_a_form_uploads_go_to_the_set(tmp_path: Path) -> None:
    assert zone(tmp_path, UPLOAD_ACTION="own").options["url"] == "/upload/photos"


def test_a_zone_without_an_action_in_a_form_has_ours(tmp_path: Path) -> None:
    assert zone(tmp_path, IN_FORM=True).options["url"] == "/upload/photos"


def test_an_action_of_the_template_is_over_the_key(tmp_path: Path) -> None:
    found = zone(tmp_path, "uploads.zone(action='/mine')", UPLOAD_ACTION="own", IN_FORM=True)
    assert found.options["url"] == "/mine"


@pytest.mark.parametrize("in_form", [False, True])
def test_the_fallback_is_the_block_that_the_zone_has_inside(tmp_path: Path, in_form: bool) -> None:
    app = make_app(tmp_path, UploadSet("notes", ["txt"]), DROPZONE_IN_FORM=in_form, WTF_CSRF_ENABLED=True)
    with app.test_request_context():
        block = render_template_string("{{ uploads.fallback('notes') }}")
        whole = render_template_string("{{ uploads.zone('notes') }}")
    assert block in whole
    assert re.findall(r'<input type="file" name="file" multiple accept=".txt">', block)
    assert re.findall(r'<input type="hidden" name="csrf_token" value="[\w.-]{20,}">', block)
    # In a form of the host's the button is the host's.
    assert ('type="submit"' in block) is not in_form


def test_a_form_of_one_s_own_works_with_the_fallback_alone(tmp_path: Path) -> None:
    app = make_app(tmp_path, UploadSet("notes", ["txt"]), WTF_CSRF_ENABLED=True)
    app.add_url_rule("/", "home", lambda: render_template_string("<form>{{ uploads.fallback() }}</form>"))
    client = app.test_client()
    fields = dict(re.findall(r'name="(\w+)" value="([^"]+)"', client.get("/").text))
    body = form(
        *(
            f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
            for name, value in fields.items()
        ),
        part("file", "a.txt", b"text"),
    )
    assert post(app, body, client=client).status_code == 201


# ---- beside us


def test_flask_dropzone_s_own_calls_work_beside_the_zone(tmp_path: Path) -> None:
    app = make_app(
        tmp_path,
        UploadSet("photos"),
        WTF_CSRF_ENABLED=True,
        DROPZONE_MAX_FILE_SIZE=5,
        DROPZONE_ALLOWED_FILE_TYPE="image",
        DROPZONE_ENABLE_CSRF=True,
        DROPZONE_SERVE_LOCAL=True,
        DROPZONE_REDIRECT_VIEW="done",
        DROPZONE_TIMEOUT=9000,
    )
    calls = "dropzone.load_css() ~ dropzone.load_js() ~ dropzone.create('uploads.upload') ~ dropzone.config()"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = zone_of(app, f"{calls} ~ dropzone.style('border: 0') ~ uploads.zone()").text
    assert '<form action="/upload" method="post" class="dropzone" id="myDropzone"' in text
    for line in ("maxFilesize: 5,", 'acceptedFiles: "image/*",', "timeout: 9000,", "maxFiles: null,"):
        assert line in text
    assert 'window.location = "/done";' in text
    assert 'headers: {"X-CSRF-Token": "' in text
    local = re.findall(r'(?:src|href)="(/dropzone/[^"]*)"', text)
    assert len(local) == 2
    for address in local:
        answer = app.test_client().get(address)
        assert answer.status_code == 200
        answer.close()
