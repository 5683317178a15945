"""One declaration: what an upload set says, and what configuration may change of it."""

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from core import file_part, form_body, make_app, post, rows, site_of
from flask import Flask, request, request_finished
from flask_wtf.csrf import CSRFProtect
from webclient import EXE, PDF, PNG, CountingInput, Visitor, assert_refused, encode, stored_names, untraced
from werkzeug.routing import Rule
from werkzeug.wrappers import Response

from dropzone_app import (
    ALL,
    IMAGES,
    SCRIPTS,
    TEXT,
    AllExcept,
    Rejected,
    SettingError,
    Uploads,
    UploadSet,
    upload_deleted,
    upload_rejected,
    upload_stored,
    uploads,
)
from dropzone_app.errors import MESSAGES
from dropzone_app.storage import LocalStorage

#: Of those in which the records decide.
EACH_DATABASE = pytest.mark.usefixtures("database")


def store(app: Flask, *files: tuple[str, bytes], to: str = "/upload", **fields: str) -> list[dict[str, Any]]:
    """Upload and return the Files; the upload must be taken whole."""
    items: list[Any] = [(f"{name}[0]", value) for name, value in fields.items()]
    items += [(f"file[{index}]", filename, content) for index, (filename, content) in enumerate(files)]
    answer = app.test_client().post(
        to, data=encode(*items), content_type="multipart/form-data; boundary=----the-boundary-7f3a"
    )
    assert answer.status_code == 201, answer.text
    found: list[dict[str, Any]] = answer.get_json()["files"]
    return found


def keys(app: Flask, *files: tuple[str, bytes], **fields: str) -> list[str]:
    return [file["key"] for file in store(app, *files, **fields)]


def bare_app(tmp_path: Path, **config: Any) -> Flask:
    """A host that has set up nothing yet."""
    app = Flask("host", root_path=str(tmp_path))
    app.config.update(
        SECRET_KEY="x",
        WTF_CSRF_ENABLED=False,
        UPLOADS_STORAGE=f"file:{tmp_path / 'uploads'}",
        UPLOADS_DATABASE=f"sqlite:///{tmp_path / 'app.sqlite'}",
        **config,
    )
    return app


# ---- names and folders


def test_a_declared_set_lies_in_a_folder_of_its_name(tmp_path: Path) -> None:
    app = make_app(tmp_path, UploadSet("photos", IMAGES))
    assert keys(app, ("a.png", PNG)) == ["photos/a.png"]
    assert (tmp_path / "uploads/photos/a.png").read_bytes() == PNG


@EACH_DATABASE
def test_timestamps_are_names_and_two_at_once_are_two_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(tmp_path, UploadSet("photos", IMAGES, naming="timestamp", folder=""))
    (key,) = keys(app, ("IMG_1.PNG", PNG))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d-\d{6}\.png", key, re.IGNORECASE)
    monkeypatch.setitem(uploads._STEMS, "timestamp", lambda part: "2026-01-01")
    assert keys(app, ("a.png", PNG), ("b.png", PNG)) == ["2026-01-01.png", "2026-01-01_1.png"]


@EACH_DATABASE
def test_random_and_digest_names_keep_the_extension(tmp_path: Path) -> None:
    app = make_app(tmp_path, UploadSet("photos", IMAGES, naming="random", folder=""))
    assert re.fullmatch(r"[0-9a-f]{32}\.png", keys(app, ("a.png", PNG))[0])
    app = make_app(tmp_path / "other", UploadSet("photos", IMAGES, naming="digest", folder=""))
    (file,) = store(app, ("a.png", PNG))
    assert file["key"] == f"{file['sha256']}.png"


@pytest.mark.parametrize(
    ("made", "stored"),
    [
        ("plan", "plan.png"),
        ("plan.png", "plan.png"),
        ("plan.php", "plan.php.png"),
        ("../../etc/plan", ".._.._etc_plan.png"),
        ("", "file.png"),
        ("写真", "写真.png"),
    ],
)
def test_a_name_of_ones_own_is_made_safe_and_keeps_the_extension(
    tmp_path: Path, made: str, stored: str
) -> None:
    app = make_app(tmp_path, UploadSet("photos", IMAGES, naming=lambda part: made, folder=""))
    (key,) = keys(app, ("a.png", PNG))
    assert key.rpartition(".")[2] == "png"
    assert "/" not in key
    assert key.lstrip("._") == stored.lstrip("._")


@pytest.mark.parametrize("option", ["naming", "folder"])
@pytest.mark.parametrize("said", [None, 5, b"name"])
def test_a_function_that_gives_no_name_is_told_in_the_log_and_stores_nothing(
    tmp_path: Path, option: str, said: object, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(tmp_path, UploadSet("photos", IMAGES, **{option: lambda part: said}))  # type: ignore[arg-type]
    answer = post(app, form_body(file_part("file", "a.png", PNG)))
    assert (answer.status_code, untraced(answer.text)) == (500, MESSAGES["internal"].text)
    assert f"the function for {option} must return text; it gave {said!r}" in caplog.text
    assert rows(site_of(app)) == []


def test_a_folder_may_name_owner_date_and_dropped_path(tmp_path: Path) -> None:
    app = make_app(tmp_path, UploadSet("photos", IMAGES, folder="{owner}/{date}/{path}"))
    (key,) = keys(app, ("a.png", PNG), path="holiday/../day 1/..")
    assert re.fullmatch(r"[0-9a-f]{32}/\d{4}/\d\d/\d\d/holiday/day 1/a\.png", key)
    assert (tmp_path / "uploads" / key).is_file()


def test_a_folder_of_ones_own_never_leaves_the_storage(tmp_path: Path) -> None:
    app = make_app(tmp_path, UploadSet("photos", IMAGES, folder=lambda part: "../../out/./.staging/\0x"))
    (key,) = keys(app, ("a.png", PNG))
    assert (tmp_path / "uploads" / key).resolve().is_relative_to(tmp_path / "uploads")
    assert not key.startswith(".")


@EACH_DATABASE
def test_a_folder_that_is_dropped_where_a_file_lies_gets_a_number_and_so_does_a_file(tmp_path: Path) -> None:
    app = make_app(tmp_path, UploadSet("all", ALL, folder="{path}"))
    assert keys(app, ("day", b"a file")) == ["day"]
    for content in (b"one", b"two"):
        (key,) = keys(app, ("sea.bin", content), path="day/early")
        assert re.fullmatch(r"day_1/early/sea(_1)?_[0-9a-f]{16}\.bin", key)
        assert (tmp_path / "uploads" / key).read_bytes() == content
    assert keys(app, ("early", b"x"), path="night") == ["night/early"]
    (key,) = keys(app, ("sea.bin", b"y"), path="night/early/late")
    assert re.fullmatch(r"night/early_1/late/sea_[0-9a-f]{16}\.bin", key)
    (key,) = keys(app, ("night", b"z"))
    assert re.fullmatch(r"night_[0-9a-f]{16}", key)
    assert (tmp_path / "uploads/day").read_bytes() == b"a file"


@EACH_DATABASE
def test_a_folder_finds_a_number_also_where_its_name_is_as_long_as_names_may_be(tmp_path: Path) -> None:
    app = make_app(tmp_path, UploadSet("all", ALL, folder="{path}"))
    taken = [keys(app, ("x" * 255, b"a file"))[0] for _ in range(3)]
    assert len(set(taken)) == 3
    found = [keys(app, ("sea.bin", b"one"), path="x" * 255)[0] for _ in range(2)]
    (folder,) = {key.rpartition("/")[0] for key in found}
    assert folder not in taken


# ---- what is accepted


def test_all_takes_every_file_and_its_zone_says_so(tmp_path: Path) -> None:
    app = make_app(tmp_path, UploadSet("things", ALL))
    assert keys(app, ("setup.exe", EXE), ("README", b"x")) == ["things/setup.exe", "things/README"]
    assert site_of(app).rules["things"].sentence == "Files of every kind, up to 5 GB each."


def test_all_except_refuses_what_it_names(tmp_path: Path) -> None:
    app = make_app(tmp_path, UploadSet("things", AllExcept(SCRIPTS)))
    answer = Visitor(app).post(encode(("file", "x.PHP", b"<?php")))
    assert answer.status_code == 415
    assert answer.text == (
        ".php files are not accepted here. Accepted: files of every kind but JS, PHP, PL, PY, RB, SH."
    )


def test_configuration_allows_and_denies_and_allowing_wins(tmp_path: Path) -> None:
    config = {"UPLOADED_PHOTOS_ALLOW": ["pdf", "gif"], "UPLOADED_PHOTOS_DENY": ("png", "gif")}
    app = make_app(tmp_path, UploadSet("photos", IMAGES), **config)
    extensions = site_of(app).rules["photos"].extensions
    assert extensions
    assert {"pdf", "gif", "jpg"} <= set(extensions)
    assert "png" not in extensions


@pytest.mark.parametrize(
    ("config", "declared", "limit"),
    [
        ({}, None, 5_000_000_000),
        ({"UPLOADS_MAX_FILE_SIZE": "4 MB"}, None, 4_000_000),
        ({"UPLOADS_MAX_FILE_SIZE": "4 MB", "DROPZONE_MAX_FILE_SIZE": 0.5}, None, 524_288),
        ({"UPLOADS_MAX_FILE_SIZE": "4 MB", "DROPZONE_MAX_FILE_SIZE": 3}, None, 3 * 1024**2),
        ({"UPLOADS_MAX_FILE_SIZE": "4 MB", "DROPZONE_MAX_FILE_SIZE": 3}, "2 MB", 2_000_000),
        ({"UPLOADED_PHOTOS_MAX_FILE_SIZE": "1 MB", "DROPZONE_MAX_FILE_SIZE": 3}, "2 MB", 1_000_000),
    ],
)
def test_a_limit_is_looked_up_in_order(
    tmp_path: Path, config: dict[str, Any], declared: str | None, limit: int
) -> None:
    app = make_app(tmp_path, UploadSet("photos", IMAGES, max_file_size=declared), **config)
    assert site_of(app).rules["photos"].max_file_size == limit


def test_what_flask_dropzone_wrote_itself_is_no_limit(tmp_path: Path) -> None:
    from flask_dropzone import Dropzone

    app = Flask("host", root_path=str(tmp_path))
    app.config.update(
        SECRET_KEY="x",
        UPLOADS_STORAGE=f"file:{tmp_path / 'uploads'}",
        UPLOADS_DATABASE=f"sqlite:///{tmp_path / 'app.sqlite'}",
    )
    Dropzone(app)
    assert app.config["DROPZONE_MAX_FILE_SIZE"] == 3
    Uploads(app, UploadSet("photos", IMAGES))
    assert site_of(app).rules["photos"].max_file_size == 5_000_000_000


def test_the_body_limit_has_room_for_the_largest_file_of_any_set(tmp_path: Path) -> None:
    app = make_app(
        tmp_path, UploadSet("a", IMAGES, max_file_size="1 MB"), UploadSet("b", max_file_size="20 GB")
    )
    assert site_of(app).settings.max_content_length == 20_000_000_000 + (1 << 20)


@pytest.mark.parametrize(
    ("declared", "config"),
    [
        ({"max_file_size": "10 MB", "max_total_size": "5 MB"}, {}),
        ({"max_file_size": "10 MB"}, {"UPLOADED_PHOTOS_MAX_TOTAL_SIZE": "5 MB"}),
        ({}, {"UPLOADS_MAX_FILE_SIZE": "10 MB", "UPLOADS_MAX_TOTAL_SIZE": "5 MB"}),
    ],
)
def test_a_file_larger_than_any_request_stops_the_start(
    tmp_path: Path, declared: dict[str, Any], config: dict[str, Any]
) -> None:
    with pytest.raises(
        SettingError, match="'photos': max_total_size is 5 MB and max_file_size 10 MB; no request"
    ):
        make_app(tmp_path, UploadSet("photos", IMAGES, **declared), **config)


def test_a_request_may_be_smaller_than_what_nobody_said_of_its_files(tmp_path: Path) -> None:
    photos = UploadSet("photos", IMAGES, max_total_size="5 MB")
    for config in ({}, {"UPLOADS_MAX_FILE_SIZE": "10 MB"}):
        here = site_of(make_app(tmp_path, photos, **config))
        # And says so: its page offered files that no request could bring.
        assert here.rules["photos"].max_file_size == 5_000_000


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "my photos"}, "letters, digits and underscores"),
        ({"name": "check"}, "not 'check'"),
        ({"name": None}, "letters, digits and underscores, and not 'check'; it is None"),
        ({"name": 5}, "it is 5"),
        ({"extensions": []}, "extensions must be extensions"),
        ({"extensions": 5}, "extensions must be extensions"),
        ({"extensions": [None]}, "extensions must be extensions such as 'png,jpg,pdf'; it is [None]"),
        ({"extensions": b"png"}, "extensions must be extensions such as 'png,jpg,pdf'; it is b'png'"),
        ({"extensions": ["png", 7]}, "extensions must be extensions"),
        ({"extensions": {"png": 1, None: 2}}, "extensions must be extensions"),
        ({"max_file_size": "huge"}, "max_file_size must be a size"),
        ({"max_file_size": 1.5}, "max_file_size must be a size"),
        ({"max_file_size": "1.5"}, "max_file_size must be a size"),
        ({"max_file_size": True}, "max_file_size must be a size"),
        ({"max_file_size": -1}, "max_file_size must be a size"),
        ({"max_file_size": float("nan")}, "max_file_size must be a size"),
        ({"max_file_size": float("inf")}, "max_file_size must be a size"),
        ({"max_files": 0}, "max_files must be a whole number"),
        ({"max_files": 1.5}, "max_files must be a whole number"),
        ({"max_files": True}, "max_files must be a whole number"),
        ({"max_files": [3]}, "max_files must be a whole number"),
        ({"max_parts": "many"}, "max_parts must be a whole number"),
        ({"max_total_size": -1}, "max_total_size must be a size"),
        ({"batch": "some"}, "batch must be one of 'each', 'all'"),
        ({"batch": ["all"]}, "batch must be one of 'each', 'all'"),
        ({"batch": len}, "batch must be one of 'each', 'all'"),
        ({"duplicates": "drop"}, "duplicates must be one of"),
        ({"naming": "alphabetical"}, "naming must be one of"),
        ({"naming": 5}, "'digest' or a function of a staged part; it is 5"),
        ({"strip_metadata": "please"}, "strip_metadata must be true or false; it is 'please'"),
        ({"folder": "{user}"}, "may hold {owner}, {date} and {path} only"),
        ({"folder": "date"}, "for one by date write '{date}'"),
        ({"folder": "albums/owner"}, "for one by owner write '{owner}'"),
        ({"folder": "{"}, "may hold {owner}, {date} and {path} only"),
        ({"folder": "{}"}, "may hold {owner}, {date} and {path} only"),
        ({"folder": "{owner.x}"}, "may hold {owner}, {date} and {path} only"),
        ({"folder": "{owner[0]}"}, "may hold {owner}, {date} and {path} only"),
        ({"folder": "{owner!r}"}, "may hold {owner}, {date} and {path} only"),
        ({"folder": "{date:>99}"}, "may hold {owner}, {date} and {path} only"),
        ({"folder": "/srv/photos"}, "folder must be a path in the storage, such as 'albums/{date}'"),
        ({"folder": "../photos"}, "folder must be a path in the storage"),
        ({"folder": "albums/../../photos"}, "folder must be a path in the storage"),
        ({"folder": "C:photos"}, "folder must be a path in the storage"),
        ({"folder": "albums\\photos"}, "folder must be a path in the storage"),
        ({"folder": "a\0b"}, "folder must be a path in the storage"),
        ({"folder": 5}, "folder must be a path or a function of a staged part; it is 5"),
        ({"folder": []}, "folder must be a path or a function of a staged part; it is []"),
        ({"storage": 5}, "storage must be a URL such as 'file:uploads' or a storage; it is 5"),
        ({"storage": object()}, "storage must be a URL such as 'file:uploads' or a storage; it is <object"),
        (
            {"storage": LocalStorage},
            "storage must be a URL such as 'file:uploads' or a storage; it is <class",
        ),
        ({"public": 5}, "public must be true or false; it is 5"),
        ({"public": "maybe"}, "public must be true or false; it is 'maybe'"),
        ({"checks": ["png"]}, "checks must be functions of a staged part, in a list; it is ['png']"),
        ({"checks": "png"}, "checks must be functions of a staged part, in a list; it is 'png'"),
        ({"checks": 5}, "checks must be functions of a staged part, in a list; it is 5"),
        ({"checks": len}, "checks must be functions of a staged part, in a list; it is <built-in"),
    ],
)
def test_a_wrong_declaration_stops_with_a_sentence(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError) as caught:
        UploadSet(**{"name": "photos", **wrong})
    assert said in str(caught.value)
    assert str(caught.value).endswith(".")


def test_duplicates_need_a_digest(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="UPLOADS_DIGEST must be 'sha256'"):
        make_app(tmp_path, UploadSet("photos", duplicates="skip"), UPLOADS_DIGEST="none")


# ---- what configuration changes of a declaration in one app


def test_configuration_decides_how_files_are_named_and_where_they_lie(tmp_path: Path) -> None:
    declared = UploadSet("photos", IMAGES, naming="random", folder="declared")
    there = {"UPLOADED_PHOTOS_NAMING": "digest", "UPLOADED_PHOTOS_FOLDER": "there/{path}"}
    (file,) = store(make_app(tmp_path / "a", declared, **there), ("a.png", PNG), path="holiday")
    assert file["key"] == f"there/holiday/{file['sha256']}.png"
    own = {"UPLOADED_PHOTOS_NAMING": lambda part: "own", "UPLOADED_PHOTOS_FOLDER": ""}
    assert keys(make_app(tmp_path / "b", declared, **own), ("a.png", PNG)) == ["own.png"]
    assert re.fullmatch(r"declared/\w{32}\.png", keys(make_app(tmp_path / "c", declared), ("a.png", PNG))[0])


def test_configuration_decides_whether_a_batch_belongs_together(tmp_path: Path) -> None:
    declared = UploadSet("photos", IMAGES, batch="each")
    two = encode(("file[0]", "a.png", PNG), ("file[1]", "x.exe", EXE))
    together = Visitor(make_app(tmp_path / "a", declared, UPLOADED_PHOTOS_BATCH="all")).post(two)
    assert together.text.endswith("\nNo file was stored.")
    alone = Visitor(make_app(tmp_path / "b", declared)).post(two)
    assert alone.text.endswith("\nThe other file was stored.")


@EACH_DATABASE
def test_configuration_decides_about_duplicates_and_readers(tmp_path: Path) -> None:
    config = {"UPLOADED_PHOTOS_DUPLICATES": "refuse", "UPLOADED_PHOTOS_PUBLIC": "yes"}
    app = make_app(tmp_path, UploadSet("photos", IMAGES), **config)
    visitor, stranger = Visitor(app), Visitor(app)
    file = visitor.post(encode(("file", "a.png", PNG))).get_json()["files"][0]
    assert visitor.post(encode(("file", "b.png", PNG))).status_code == 409
    assert stranger.get(file["url"]).data == PNG
    with pytest.raises(SettingError, match="UPLOADS_DIGEST must be 'sha256'"):
        make_app(tmp_path / "b", UploadSet("photos"), **config, UPLOADS_DIGEST="none")


def test_configuration_gives_a_set_a_storage_of_its_own(tmp_path: Path) -> None:
    config = {"UPLOADED_PHOTOS_STORAGE": f"file:{tmp_path / 'own'}"}
    app = make_app(tmp_path, UploadSet("photos", IMAGES), UploadSet("texts", TEXT), **config)
    assert keys(app, ("a.png", PNG)) == ["photos/a.png"]
    assert (tmp_path / "own/photos/a.png").read_bytes() == PNG
    store(app, ("a.txt", b"x"), to="/upload/texts")
    assert (tmp_path / "uploads/texts/a.txt").read_bytes() == b"x"


def test_what_no_set_says_the_settings_say_for_all(tmp_path: Path) -> None:
    config = {"UPLOADS_NAMING": "digest", "UPLOADS_PUBLIC": True}
    app = make_app(
        tmp_path, UploadSet("photos", IMAGES), UploadSet("texts", TEXT, naming="original"), **config
    )
    (photo,) = store(app, ("a.png", PNG))
    assert photo["key"] == f"photos/{photo['sha256']}.png"
    assert Visitor(app).get(photo["url"]).data == PNG
    assert store(app, ("a.txt", b"x"), to="/upload/texts")[0]["key"] == "texts/a.txt"


def test_one_declaration_is_another_set_in_each_app_and_stays_as_it_was_declared(tmp_path: Path) -> None:
    photos = UploadSet("photos", IMAGES, max_file_size="2 MB")
    small = make_app(tmp_path / "a", photos, UPLOADED_PHOTOS_MAX_FILE_SIZE="1 MB")
    large = make_app(tmp_path / "b", photos)
    assert site_of(small).rules["photos"].max_file_size == 1_000_000
    assert site_of(large).rules["photos"].max_file_size == 2_000_000
    assert photos.max_file_size == 2_000_000
    assert all(site_of(app).sets["photos"].declared is photos for app in (small, large))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("BATCH", "some", "UPLOADED_PHOTOS_BATCH must be one of 'each', 'all'; it is 'some'."),
        ("NAMING", "x", "UPLOADED_PHOTOS_NAMING must be one of 'original', 'timestamp', 'random', 'digest'"),
        ("FOLDER", "{id}", "UPLOADED_PHOTOS_FOLDER may hold {owner}, {date} and {path} only; it is '{id}'."),
        ("DUPLICATES", 1, "UPLOADED_PHOTOS_DUPLICATES must be one of 'keep', 'skip', 'refuse'; it is 1."),
        ("STORAGE", 5, "UPLOADED_PHOTOS_STORAGE must be a URL such as 'file:uploads' or a storage; it is 5."),
        ("PUBLIC", "perhaps", "UPLOADED_PHOTOS_PUBLIC must be true or false; it is 'perhaps'."),
        ("MAX_FILES", "ten", "UPLOADED_PHOTOS_MAX_FILES must be a whole number of at least 1; it is 'ten'."),
        ("DENY", ".*", "UPLOADED_PHOTOS_DENY must be extensions"),
    ],
)
def test_a_wrong_value_for_one_set_stops_the_start(
    tmp_path: Path, key: str, value: object, said: str
) -> None:
    with pytest.raises(SettingError) as caught:
        make_app(tmp_path, UploadSet("photos", IMAGES), **{f"UPLOADED_PHOTOS_{key}": value})
    assert str(caught.value).startswith(said)


def test_a_set_of_which_configuration_leaves_nothing_has_no_zone(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="'photos' has no extensions; a drop zone needs some"):
        make_app(tmp_path, UploadSet("photos", ["png"]), UPLOADED_PHOTOS_DENY="png")


@pytest.mark.parametrize("items", [None, 5, [None], b"png", ["a/b"], [[]]])
def test_what_are_no_extensions_cannot_be_excepted(items: Any) -> None:
    with pytest.raises(SettingError, match="AllExcept must be extensions such as"):
        AllExcept(items)


# ---- what an app is given


def test_an_app_without_csrf_protection_gets_it_for_its_own_forms_too(tmp_path: Path) -> None:
    app = bare_app(tmp_path)
    app.config["WTF_CSRF_ENABLED"] = True
    Uploads(app, UploadSet("photos", IMAGES))

    @app.post("/mine")
    def mine() -> str:
        return "taken"

    @app.post("/exempt")
    @app.extensions["csrf"].exempt
    def exempt() -> str:
        return "taken"

    visitor = Visitor(app)
    token = visitor.get("/csrf-token").get_json()["csrf_token"]
    assert visitor.client.post("/mine", data={"name": "Ann"}).status_code == 400
    assert visitor.client.post("/mine", data={"name": "Ann", "csrf_token": token}).text == "taken"
    assert visitor.client.post("/exempt", data={"name": "Ann"}).text == "taken"


@pytest.mark.parametrize(
    ("sets", "options", "said"),
    [
        (["photos"], {}, "Uploads(app, photos, texts); it got 'photos'."),
        ([[UploadSet("a"), UploadSet("b")]], {}, "Uploads takes upload sets one after another"),
        ([None], {}, "it got None."),
        ([UploadSet], {}, "Uploads takes upload sets one after another"),
        ([UploadSet("photos"), UploadSet("Photos")], {}, "same name: Photos, photos. Case is no difference"),
        ([], {"owner": "bob"}, "owner must be a function that names who is asking; it is 'bob'."),
        ([], {"owner": None}, "owner must be a function"),
        ([], {"url_prefix": 5}, "url_prefix must be a path such as '/files-in' or '/a/b'; it is 5."),
        ([], {"url_prefix": "in"}, "it is 'in'."),
        ([], {"url_prefix": "/"}, "it is '/'."),
        ([], {"url_prefix": "//a"}, "it is '//a'."),
        ([], {"url_prefix": "/a/"}, "it is '/a/'."),
        ([], {"url_prefix": "/a<x>"}, "it is '/a<x>'."),
        ([], {"url_prefix": "/a/../b"}, "it is '/a/../b'."),
        ([], {"url_prefix": "/a?b"}, "it is '/a?b'."),
        ([], {"url_prefix": "/a b"}, "it is '/a b'."),
        ([], {"url_prefix": "/a\n"}, "url_prefix must be a path"),
    ],
)
def test_what_an_app_cannot_use_stops_the_start(
    tmp_path: Path, sets: list[Any], options: dict[str, Any], said: str
) -> None:
    app = bare_app(tmp_path)
    with pytest.raises(SettingError) as caught:
        Uploads(app, *sets, **options)
    assert said in str(caught.value)
    assert not app.blueprints


@pytest.mark.parametrize("prefix", ["", "/in", "/a/b", "/files-in", "/v1.0", "/bilder/größe"])
def test_a_prefix_is_a_path(tmp_path: Path, prefix: str) -> None:
    app = bare_app(tmp_path)
    Uploads(app, UploadSet("photos", IMAGES), url_prefix=prefix)
    assert store(app, ("a.png", PNG), to=f"{prefix}/upload")[0]["url"].endswith("/a.png")


def test_an_app_has_one_uploads(tmp_path: Path) -> None:
    app = bare_app(tmp_path)
    Uploads(app, UploadSet("photos", IMAGES))
    with pytest.raises(SettingError, match=r"has its uploads already; give all upload sets to one"):
        Uploads(app, UploadSet("texts", TEXT), url_prefix="/texts")
    assert keys(app, ("a.png", PNG)) == ["photos/a.png"]


@pytest.mark.parametrize("app", [UploadSet("photos"), "app", UploadSet])
def test_what_is_no_app_is_told(app: Any) -> None:
    with pytest.raises(SettingError, match="takes the Flask app first"):
        Uploads(app)


@pytest.mark.parametrize("options", [{"url_prefix": "/in"}, {"owner": lambda: "ann"}])
def test_what_is_given_without_an_app_is_not_lost(options: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="give it all to init_app"):
        Uploads(None, **options)
    with pytest.raises(SettingError, match="give it all to init_app"):
        Uploads(None, UploadSet("photos"))


def test_an_app_that_was_not_set_up_is_told(tmp_path: Path) -> None:
    photos, elsewhere = UploadSet("photos"), Uploads(bare_app(tmp_path))
    with Flask("other").test_request_context("/", method="POST"):
        for call in (elsewhere.zone, elsewhere.fallback, lambda: photos.receive(request)):
            with pytest.raises(RuntimeError, match=r"has no uploads; set them up with Uploads\(app"):
                call()


@pytest.mark.parametrize("name", [5, "phots", ""])
def test_a_zone_of_no_set_is_told(tmp_path: Path, name: Any) -> None:
    app = bare_app(tmp_path)
    uploads = Uploads(app, UploadSet("photos"))
    with app.test_request_context("/"):
        for call in (uploads.zone, uploads.fallback):
            with pytest.raises(Rejected, match=f'There is no upload set called "{name}"'):
                call(name)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("UPLOADS_DURABEL", "UPLOADS_DURABLE"),
        ("UPLOADS_MAX_SIZE", "UPLOADS_MAX_FILE_SIZE"),
        ("UPLOADS_DEFAULT_DST", "UPLOADS_DEFAULT_DEST"),
        ("UPLOADED_PHOTOS_MAX_SIZ", "UPLOADED_PHOTOS_MAX_FILE_SIZE"),
        ("UPLOADED_PHOTOS_DENNY", "UPLOADED_PHOTOS_DENY"),
        ("UPLOADED_PHOTO_MAX_FILES", "UPLOADED_PHOTOS_MAX_FILES"),
        ("UPLOADED_photos_MAX_FILES", "UPLOADED_PHOTOS_MAX_FILES"),
        ("UPLOADED_PHOTOS_OLD_TYP", "UPLOADED_PHOTOS_OLD_TYPES"),
    ],
)
def test_a_misspelt_setting_stops_the_start(tmp_path: Path, key: str, nearest: str) -> None:
    with pytest.raises(SettingError) as caught:
        Uploads(bare_app(tmp_path, **{key: "1"}), UploadSet("photos", IMAGES), UploadSet("photos_old"))
    assert str(caught.value).startswith(f"{key} is no setting; did you mean {nearest}")


@pytest.mark.parametrize(
    ("key", "some"),
    [
        ("UPLOADED_PHOTOS_CHECKS", "ALLOW, BATCH, "),
        ("UPLOADED_PHOTOS_", "TYPES, URL."),
        ("UPLOADS_X", "AUTOSERVE"),
    ],
)
def test_a_key_that_is_near_to_no_setting_gets_no_silly_advice(tmp_path: Path, key: str, some: str) -> None:
    with pytest.raises(SettingError) as caught:
        Uploads(bare_app(tmp_path, **{key: "1"}), UploadSet("photos", IMAGES))
    assert str(caught.value).startswith(f"{key} is no setting; behind {key.rpartition('_')[0]}_ may stand ")
    assert some in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        "UPLOADED_PHOTOS_OLD_MAX_FILES",
        "UPLOADED_MEDIA_DEST",
        "UPLOADED_PHOTO_URL",
        "UPLOADED_BY",
        "UPLOAD_FOLDER",
        "UPLOADS",
        "UPLOADS_DEFAULT_URL",
    ],
)
def test_a_setting_of_something_else_is_left_alone(tmp_path: Path, key: str) -> None:
    sets = UploadSet("photos", IMAGES), UploadSet("photos_old")
    assert make_app(tmp_path, *sets, **{key: "1"})


def test_a_misspelt_setting_of_the_page_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="UPLOADS_TIPES is no setting; did you mean UPLOADS_TYPES"):
        make_app(tmp_path, UPLOADS_TIPES="png")


# ---- Flask-Reuploaded's word for a folder


def test_a_destination_is_the_folder_of_the_set_itself(tmp_path: Path) -> None:
    config = {"UPLOADED_PHOTOS_DEST": tmp_path / "pictures"}
    app = make_app(
        tmp_path, UploadSet("photos", IMAGES, storage="file:elsewhere"), UploadSet("texts", TEXT), **config
    )
    visitor = Visitor(app)
    file = visitor.post(encode(("file", "a.png", PNG))).get_json()["files"][0]
    assert file["key"] == "a.png"
    assert visitor.get(file["url"]).data == PNG
    store(app, ("a.txt", b"x"), to="/upload/texts")
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["a.png"]
    assert (tmp_path / "uploads/texts/a.txt").is_file()


def test_our_own_word_for_a_storage_is_over_a_destination(tmp_path: Path) -> None:
    config = {
        "UPLOADED_PHOTOS_DEST": tmp_path / "dest",
        "UPLOADED_PHOTOS_STORAGE": f"file:{tmp_path / 'own'}",
    }
    assert keys(make_app(tmp_path, UploadSet("photos", IMAGES), **config), ("a.png", PNG)) == ["photos/a.png"]
    assert (tmp_path / "own/photos/a.png").is_file()
    assert not (tmp_path / "dest").exists()


def test_the_folder_below_a_destination_is_the_declared_one(tmp_path: Path) -> None:
    photos = UploadSet("photos", IMAGES, folder="{path}")
    app = make_app(tmp_path, photos, UPLOADED_PHOTOS_DEST=str(tmp_path / "dest"))
    assert keys(app, ("a.png", PNG), path="holiday") == ["holiday/a.png"]


@pytest.mark.parametrize("folder", [5, "\0", "/proc/none"])
def test_a_destination_that_is_none_stops_the_start(tmp_path: Path, folder: object) -> None:
    with pytest.raises(SettingError, match=r"^UPLOADED_PHOTOS_DEST"):
        make_app(tmp_path, UploadSet("photos", IMAGES), UPLOADED_PHOTOS_DEST=folder)


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        (
            "ftp://x",
            "The storage of the upload set 'photos' must be a URL such as 'file:uploads'; it is 'ftp://x'.",
        ),
        ("file:/proc/none", "The storage of the upload set 'photos': /proc/none cannot be written"),
    ],
)
def test_a_storage_of_its_own_that_is_none_names_the_set(tmp_path: Path, storage: str, said: str) -> None:
    with pytest.raises(SettingError) as caught:
        make_app(tmp_path, UploadSet("photos", IMAGES, storage=storage))
    assert str(caught.value).startswith(said)


# ---- duplicates


@EACH_DATABASE
def test_a_duplicate_is_skipped_and_the_answer_names_what_is_there(tmp_path: Path) -> None:
    visitor = Visitor(make_app(tmp_path, UploadSet("photos", IMAGES, duplicates="skip")))
    first = visitor.post(encode(("file", "a.png", PNG))).get_json()["files"][0]
    again = visitor.post(encode(("file[0]", "b.png", PNG), ("file[1]", "c.png", PNG + b"!")))
    assert [file["filename"] for file in again.get_json()["files"]] == ["a.png", "c.png"]
    assert again.get_json()["files"][0] == first
    assert sorted(path.name for path in (tmp_path / "uploads/photos").iterdir()) == ["a.png", "c.png"]


@EACH_DATABASE
def test_two_equal_files_of_one_batch_are_one(tmp_path: Path) -> None:
    app = make_app(tmp_path, UploadSet("photos", IMAGES, duplicates="skip"))
    files = store(app, ("a.png", PNG), ("b.png", PNG))
    assert files[0] == files[1]
    assert len(list((tmp_path / "uploads/photos").iterdir())) == 1


@EACH_DATABASE
def test_a_duplicate_is_refused_by_the_name_it_has_here(tmp_path: Path) -> None:
    visitor = Visitor(make_app(tmp_path, UploadSet("photos", IMAGES, duplicates="refuse")))
    visitor.post(encode(("file", "a.png", PNG)))
    again = visitor.post(encode(("file", "b.png", PNG)))
    assert (again.status_code, again.text) == (
        409,
        'The same file is already here as "a.png"; it need not be sent again.',
    )


@EACH_DATABASE
def test_a_repeated_upload_is_no_duplicate(tmp_path: Path) -> None:
    visitor = Visitor(make_app(tmp_path, UploadSet("photos", IMAGES, duplicates="refuse")))
    body = encode(("uuid[0]", "u1"), ("file[0]", "a.png", PNG))
    assert visitor.post(body).get_json() == visitor.post(body).get_json()


@EACH_DATABASE
def test_owners_may_have_the_same_file_each(tmp_path: Path) -> None:
    app = make_app(tmp_path, UploadSet("photos", IMAGES, duplicates="refuse"))
    assert keys(app, ("a.png", PNG)) + keys(app, ("a.png", PNG)) == ["photos/a.png", "photos/a_1.png"]


# ---- storage and readers


def test_a_set_may_have_a_storage_of_its_own(tmp_path: Path) -> None:
    vault = UploadSet("vault", TEXT, storage=f"file:{tmp_path / 'vault'}", folder="")
    app = make_app(tmp_path, UploadSet("photos", IMAGES, folder=""), vault)
    visitor = Visitor(app)
    file = visitor.post(encode(("file", "a.txt", b"secret")), "/upload/vault").get_json()["files"][0]
    assert (tmp_path / "vault/a.txt").read_bytes() == b"secret"
    assert visitor.get(file["url"]).data == b"secret"
    assert visitor.client.delete(f"/files/{file['id']}").status_code == 204
    assert not (tmp_path / "vault/a.txt").exists()


def test_the_same_key_in_two_storages_is_two_files(tmp_path: Path) -> None:
    sets = (
        UploadSet("one", TEXT, storage=f"file:{tmp_path / 'one'}", folder=""),
        UploadSet("two", TEXT, storage=f"file:{tmp_path / 'two'}", folder=""),
    )
    app = make_app(tmp_path, *sets)
    for name in ("one", "two"):
        assert store(app, ("a.txt", b"x"), to=f"/upload/{name}")[0]["key"] == "a.txt"


def test_a_public_file_is_read_by_anyone_and_deleted_by_its_owner_only(tmp_path: Path) -> None:
    app = make_app(tmp_path, UploadSet("photos", IMAGES, public=True))
    owner, stranger = Visitor(app), Visitor(app)
    file = owner.post(encode(("file", "a.png", PNG))).get_json()["files"][0]
    assert stranger.get(file["url"]).data == PNG
    assert stranger.client.delete(f"/files/{file['id']}").status_code == 404
    assert stranger.get("/files", headers={"Accept": "application/json"}).get_json()["files"] == []


# ---- in a view of one's own


def host(tmp_path: Path, photos: UploadSet, *, owner: Any = None, **config: Any) -> Flask:
    app = bare_app(tmp_path, **config)
    Uploads(app, photos, **({"owner": owner} if owner else {}))

    @app.post("/mine")
    def mine() -> Response:
        if "peek" in request.args:
            request.form.get("anything")
        return photos.receive(request, field=request.args.get("field")).response()

    return app


@pytest.mark.parametrize("path", ["/mine", "/mine?peek=1"])
def test_a_view_of_ones_own_answers_like_ours(tmp_path: Path, path: str) -> None:
    visitor = Visitor(host(tmp_path, UploadSet("photos", IMAGES)))
    answer = visitor.post(encode(("photo[0]", "a.png", PNG), ("photo[1]", "x.exe", EXE)), path)
    assert answer.status_code == 415
    assert answer.text.startswith('photo[1] "x.exe": .exe files are not accepted here.')
    assert answer.text.endswith("\nThe other file was stored.")
    assert answer.headers["Upload-Verdicts"] == "per-part"
    assert (tmp_path / "uploads/photos/a.png").read_bytes() == PNG


def test_only_the_named_field_is_received(tmp_path: Path) -> None:
    visitor = Visitor(host(tmp_path, UploadSet("photos", IMAGES)))
    answer = visitor.post(encode(("cv", "cv.pdf", PDF), ("photo", "a.png", PNG)), "/mine?field=photo")
    assert [file["filename"] for file in answer.get_json()["files"]] == ["a.png"]
    assert list((tmp_path / "uploads/.staging").iterdir()) == []


@pytest.mark.parametrize("path", ["/mine?field=photo", "/mine?field=photo&peek=1"])
def test_a_form_with_files_in_other_fields_alone_is_told_the_field(tmp_path: Path, path: str) -> None:
    visitor = Visitor(host(tmp_path, UploadSet("photos", IMAGES)))
    for body in encode(("file[0]", "a.png", PNG)), encode(("cv", "cv.pdf", PDF), ("photo", "", b"")):
        answer = visitor.post(body, path)
        assert (answer.status_code, answer.mimetype) == (400, "text/plain")
        assert answer.text == 'No file arrived in the field "photo"; choose one and send it again.'


@pytest.mark.parametrize("path", ["/mine", "/mine?peek=1"])
def test_a_form_without_a_file_is_a_sentence(tmp_path: Path, path: str) -> None:
    visitor = Visitor(host(tmp_path, UploadSet("photos", IMAGES)))
    answer = visitor.post(encode(("name", "Ann"), ("photo", "", b"")), path)
    assert (answer.status_code, answer.mimetype) == (400, "text/plain")
    assert answer.text == "No file arrived, or the upload was cut off; send the files again."


def test_of_a_body_too_large_for_a_view_of_ones_own_the_rest_is_read_after_the_answer(tmp_path: Path) -> None:
    visitor = Visitor(host(tmp_path, UploadSet("photos", IMAGES, max_file_size="1 KB")))
    body = CountingInput(encode(("photo", "a.png", PNG + bytes(3_000_000))))
    answer = visitor.post(body, "/mine")
    # The test client takes an answer to its first byte; what is drained is drained after it.
    assert body.taken == 0
    assert answer.text.startswith("The upload is 3 MB; the limit for one request is 1 MB.")
    assert body.taken == len(body.getvalue())


def test_a_set_of_another_app_is_told(tmp_path: Path) -> None:
    app = host(tmp_path, UploadSet("photos", IMAGES))
    with (
        app.test_request_context("/mine", method="POST"),
        pytest.raises(RuntimeError, match="not one of this app's"),
    ):
        UploadSet("photos", IMAGES).receive(request)


def test_the_host_says_whose_it_is(tmp_path: Path) -> None:
    app = host(tmp_path, UploadSet("photos", IMAGES), owner=lambda: request.headers.get("X-User"))
    visitor = Visitor(app)
    body = encode(("file", "a.png", PNG))
    assert visitor.post(body, "/mine").status_code == 401
    file = visitor.post(body, "/mine", {"X-User": "ann"}).get_json()["files"][0]
    assert visitor.get(file["url"], headers={"X-User": "ann"}).status_code == 200
    assert visitor.get(file["url"], headers={"X-User": "bob"}).status_code == 404


def guarded(tmp_path: Path, *, exempt: bool, **options: Any) -> Visitor:
    """A visitor of an app with CSRFProtect and a view of its own at /mine."""
    app = Flask("host", root_path=str(tmp_path))
    app.config.update(
        SECRET_KEY="x",
        UPLOADS_STORAGE=f"file:{tmp_path / 'uploads'}",
        UPLOADS_DATABASE=f"sqlite:///{tmp_path / 'app.sqlite'}",
    )
    csrf = CSRFProtect(app)
    photos = UploadSet("photos", IMAGES)
    Uploads(app, photos)

    def mine() -> Response:
        return photos.receive(request, **options).response()

    app.post("/mine")(csrf.exempt(mine) if exempt else mine)
    return Visitor(app)


@pytest.mark.parametrize("exempt", [True, False])
def test_a_view_of_ones_own_asks_for_the_token(tmp_path: Path, exempt: bool) -> None:
    visitor = guarded(tmp_path, exempt=exempt)
    photo = ("photo", "a.png", PNG)
    answer = visitor.post(encode(photo), "/mine")
    assert answer.status_code == 400 and "The CSRF token is missing" in answer.text
    answer = visitor.post(encode(("csrf_token", "made up"), photo), "/mine")
    assert answer.status_code == 400 and "CSRF" in answer.text
    assert not (tmp_path / "uploads/photos").exists()
    assert visitor.post(encode(photo), "/mine", {"X-CSRFToken": visitor.token()}).status_code == 201
    assert visitor.post(encode(("csrf_token", visitor.token()), photo), "/mine").status_code == 201
    assert list((tmp_path / "uploads/.staging").iterdir()) == []


def test_an_exempt_view_refuses_a_bad_token_or_origin_before_the_body_is_read(tmp_path: Path) -> None:
    visitor = guarded(tmp_path, exempt=True)
    for headers, code in [
        ({"X-CSRFToken": "made up"}, "csrf_invalid"),
        ({"X-CSRFToken": visitor.token(), "Origin": "https://elsewhere.example"}, "foreign_origin"),
    ]:
        body = CountingInput(encode(("photo", "a.png", PNG)))
        answer = visitor.post(body, "/mine", headers)
        assert body.taken == 0
        assert answer.headers["Upload-Error"] == code
        assert answer.text and body.taken == len(body.getvalue())


def test_an_exempt_view_stores_every_length_of_body_unchanged(tmp_path: Path) -> None:
    visitor = guarded(tmp_path, exempt=True)
    # Three bytes more than a multiple of what Werkzeug reads at once.
    content = PNG + bytes(65536 + 3 - len(encode(("photo", "a.png", PNG))))
    body = encode(("photo", "a.png", content))
    assert len(body) == 65539
    assert visitor.post(body, "/mine", {"X-CSRFToken": visitor.token()}).status_code == 201
    assert (tmp_path / "uploads/photos/a.png").read_bytes() == content


def test_a_view_without_sessions_can_do_without_the_token(tmp_path: Path) -> None:
    visitor = guarded(tmp_path, exempt=True, csrf=False)
    assert visitor.post(encode(("photo", "a.png", PNG)), "/mine").status_code == 201


# ---- signals


def test_a_request_refused_as_a_whole_is_told_by_flasks_own_signal(tmp_path: Path) -> None:
    app = make_app(tmp_path, UploadSet("photos", IMAGES, max_files=1))
    told: list[Any] = []

    def refused(sender: Flask, **facts: Any) -> None:
        told.append(facts)

    def finished(sender: Flask, response: Response, **facts: Any) -> None:
        told.append((response.status_code, response.headers["Upload-Error"]))

    with upload_rejected.connected_to(refused, app), request_finished.connected_to(finished, app):
        Visitor(app).post(encode(("file[0]", "a.png", PNG), ("file[1]", "b.png", PNG)))
    assert told == [(422, "too_many_files")]


def test_signals_tell_what_happened_to_a_file(tmp_path: Path) -> None:
    photos = UploadSet("photos", IMAGES)
    visitor = Visitor(make_app(tmp_path, photos))
    told: list[tuple[Any, ...]] = []

    def stored(app: Flask, upload_set: UploadSet, record: Any) -> None:
        told.append(("stored", upload_set, record.filename))

    def rejected(app: Flask, upload_set: UploadSet, filename: str, rejected: Rejected) -> None:
        told.append(("rejected", upload_set, filename, rejected.code))

    def deleted(app: Flask, record: Any) -> None:
        told.append(("deleted", record.filename))

    with (
        upload_stored.connected_to(stored),
        upload_rejected.connected_to(rejected),
        upload_deleted.connected_to(deleted),
    ):
        body = encode(("uuid[0]", "u"), ("file[0]", "a.png", PNG), ("file[1]", "x.exe", EXE))
        visitor.post(body)
        visitor.post(encode(("uuid", "u"), ("file", "a.png", PNG)))
        (file,) = visitor.get("/files", headers={"Accept": "application/json"}).get_json()["files"]
        visitor.client.delete(f"/files/{file['id']}")
    assert told == [
        ("stored", photos, "a.png"),
        ("rejected", photos, "x.exe", "extension"),
        ("deleted", "a.png"),
    ]


def test_a_failing_listener_changes_no_answer(tmp_path: Path) -> None:
    app = make_app(tmp_path, UploadSet("photos", IMAGES))

    def fail(app: Flask, **facts: Any) -> None:
        raise RuntimeError("listener")

    with upload_stored.connected_to(fail):
        assert keys(app, ("a.png", PNG)) == ["photos/a.png"]


# ---- several apps and threads


def test_one_set_serves_several_apps_at_once(tmp_path: Path) -> None:
    photos = UploadSet("photos", IMAGES)
    apps = [make_app(tmp_path / str(number), photos) for number in range(2)]
    assert site_of(apps[0]).storage is not site_of(apps[1]).storage

    def work(app: Flask) -> None:
        for _ in range(10):
            store(app, ("a.png", PNG))

    threads = [threading.Thread(target=work, args=(app,)) for app in apps for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(2):
        assert len(list((tmp_path / str(number) / "uploads/photos").iterdir())) == 30


def test_a_first_request_makes_no_routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In CPython 3.11 two threads that make one at once fail, also for two apps (SystemError of ast)."""
    app = make_app(tmp_path, UploadSet("photos", IMAGES))
    monkeypatch.setattr(Rule, "compile", lambda rule: pytest.fail(f"{rule} is made late"))
    store(app, ("a.png", PNG))


def test_a_check_of_ones_own_refuses_with_its_sentence(tmp_path: Path) -> None:
    def png_only(part: Any) -> None:
        with part.open() as file:
            if file.read(4) != b"\x89PNG":
                raise Rejected("PNG only!")

    visitor = Visitor(make_app(tmp_path, UploadSet("photos", ALL, checks=[png_only])))
    assert visitor.post(encode(("file", "a.txt", b"text"))).text == "PNG only!"
    assert visitor.post(encode(("file", "a.png", PNG))).status_code == 201


@pytest.mark.parametrize("said", [False, "PNG only!", Rejected("PNG only!"), True])
def test_a_check_that_returns_where_it_should_raise_lets_nothing_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, said: object
) -> None:
    photos = UploadSet("photos", ["png"], checks=[lambda part: said])  # type: ignore[list-item, return-value]
    visitor = Visitor(make_app(tmp_path, photos))
    assert_refused(visitor.post(encode(("file", "a.png", PNG))), 500)
    assert f"a check must raise Rejected or return nothing; it gave {said!r}" in caplog.text
    assert stored_names(tmp_path) == []


# ---- what is for the view, and for another set


def test_what_one_set_has_is_no_answer_to_who_sends_it_to_another(tmp_path: Path) -> None:
    """Its file lies elsewhere, under other rules; a token for one set learns nothing of another's."""
    photos, drafts = UploadSet("photos", IMAGES), UploadSet("drafts", IMAGES)
    visitor = Visitor(make_app(tmp_path, photos, drafts))
    body = encode(("uuid", "u"), ("file", "a.png", PNG))
    assert visitor.post(body, "/upload/photos").status_code == 201
    repeated = visitor.post(body, "/upload/photos")
    assert repeated.status_code == 201
    other = visitor.post(body, "/upload/drafts")
    assert_refused(other, 409)
    assert "Another file was already stored under this upload's uuid" in other.text
    asked = json.dumps({"files": [{"uuid": "u", "filename": "a.png", "size": len(PNG)}]}).encode()
    for name, state in (("photos", "stored"), ("drafts", "refused")):
        answer = visitor.post(asked, f"/upload/{name}/check", content_type="application/json")
        assert answer.get_json()["uploads"]["u"]["state"] == state
    assert not list((tmp_path / "uploads" / "drafts").glob("*"))


def test_other_file_fields_are_left_to_the_view_as_they_came(tmp_path: Path) -> None:
    photos, notes = UploadSet("photos", IMAGES), UploadSet("notes", TEXT)
    app = make_app(tmp_path, photos, notes)
    seen: list[Any] = []

    def mine() -> Response:
        batches = [photos.receive(request, field="photo"), notes.receive(request, field="note")]
        seen.append([[verdict.rejected for verdict in batch.verdicts] for batch in batches])
        seen.append((request.files["cv"].filename, request.files["cv"].read()))
        return batches[0].response()

    app.add_url_rule("/mine", "mine", mine, methods=["POST"])
    body = encode(("cv", "my cv.pdf", PDF), ("photo", "a.png", PNG), ("note", "a.txt", b"text"))
    assert Visitor(app).post(body, "/mine").status_code == 201
    assert seen == [[[None], [None]], ("my cv.pdf", PDF)]
    assert (tmp_path / "uploads/notes/a.txt").read_bytes() == b"text"


@pytest.mark.parametrize("items", ["exe", ["EXE"], (".Exe",)])
def test_all_except_reads_extensions_as_sets_do(tmp_path: Path, items: Any) -> None:
    visitor = Visitor(make_app(tmp_path, UploadSet("things", AllExcept(items))))
    assert visitor.post(encode(("file", "setup.exe", EXE))).status_code == 415
    assert visitor.post(encode(("file", "e", b"x"))).status_code == 201


@pytest.mark.parametrize("public", [False, "false", "no", 0, None])
def test_a_set_is_private_where_its_word_says_no(tmp_path: Path, public: Any) -> None:
    app = make_app(tmp_path, UploadSet("photos", IMAGES, public=public))
    owner, stranger = Visitor(app), Visitor(app)
    file = owner.post(encode(("file", "a.png", PNG))).get_json()["files"][0]
    assert stranger.get(file["url"]).status_code == 404
