"""Every setting is read and checked once, and a bad value stops with a sentence that names it."""

from pathlib import Path
from typing import Any

import pytest
from core import make_app, site_of
from hypothesis import given
from hypothesis import strategies as st

from dropzone_app import SettingError, Uploads, UploadSet, create_app
from dropzone_app.config import (
    DEFAULTS,
    Settings,
    Size,
    absolute_sqlite,
    parse_count,
    parse_extensions,
    parse_flag,
    parse_size,
    told_apart,
)
from dropzone_app.kinds import DEFAULT_TYPES


def settings(**config: Any) -> Settings:
    return Settings.from_config({**DEFAULTS, **config})


# ---- sizes


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (1, 1),
        (10485760, 10485760),
        (5e6, 5_000_000),
        ("10485760", 10485760),
        ("10 MB", 10_000_000),
        ("10MB", 10_000_000),
        (" 10 mb ", 10_000_000),
        ("10 M", 10_000_000),
        ("10 MiB", 10 * 1024**2),
        ("0.5 GB", 500_000_000),
        ("5GB", 5_000_000_000),
        ("1 TiB", 1024**4),
        ("12 B", 12),
    ],
)
def test_a_size_is_a_number_or_a_number_with_a_unit(value: object, size: int) -> None:
    assert parse_size("X", value) == size


@pytest.mark.parametrize(
    "value",
    [
        "",
        "MB",
        "ten MB",
        "10 XB",
        "-1",
        -1,
        0,
        "0",
        "0 MB",
        "0.0001 KB",
        1.5,
        "1.5",
        "2.5 B",
        True,
        None,
        [],
        "1e9",
        "nan",
        "inf",
        "9" * 400,
        "٣ MB",
        float("inf"),
        float("nan"),
        10**400,
    ],
)
def test_what_is_no_size_is_named(value: object) -> None:
    with pytest.raises(SettingError, match=r"^UPLOADS_X must be a size such as 10485760 or '10 MB'"):
        parse_size("UPLOADS_X", value)


def test_a_size_in_bytes_is_taken_exactly() -> None:
    assert parse_size("X", 2**59 + 1) == 2**59 + 1


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1 KB"),
        (1500, "1.5 KB"),
        (99_949, "99.9 KB"),
        (99_950, "100 KB"),
        (999_499, "999 KB"),
        (999_999, "1 MB"),
        (12_100_000, "12.1 MB"),
        (10_000_000, "10 MB"),
        (5_000_000_000, "5 GB"),
        (2 * 10**15, "2 PB"),
    ],
)
def test_a_size_is_shown_as_people_read_it(size: int, shown: str) -> None:
    assert str(Size(size)) == shown
    assert f"{Size(size)}" == shown
    assert f"{Size(size):d}" == str(size), "it is a number all the same"


@given(st.integers(1, 10**17))
def test_a_size_shown_is_close_to_the_size(size: int) -> None:
    shown = str(Size(size))
    if "byte" not in shown:
        assert abs(parse_size("X", shown) - size) <= size * 0.06
        assert len(shown.split()[0]) <= 4


@given(st.integers(0, 10**7), st.integers(-2000, 2000))
def test_two_sizes_that_differ_read_differently(size: int, more: int) -> None:
    one, other = told_apart(size, abs(size + more))
    assert (one == other) == (size == abs(size + more))


# ---- flags, counts, extensions


@pytest.mark.parametrize("value", [True, "true", "True", " YES ", "on", 1, "1"])
def test_yes_is_said_in_several_ways(value: object) -> None:
    assert parse_flag("X", value) is True


@pytest.mark.parametrize("value", [False, "false", "No", "OFF", 0, "0"])
def test_no_is_said_in_several_ways(value: object) -> None:
    assert parse_flag("X", value) is False


@pytest.mark.parametrize("value", ["", "maybe", 2, None, "tru"])
def test_what_is_neither_is_named(value: object) -> None:
    with pytest.raises(SettingError, match=r"^UPLOADS_X must be true or false; it is "):
        parse_flag("UPLOADS_X", value)


@pytest.mark.parametrize(("value", "count"), [(1, 1), ("20", 20), (" 7 ", 7)])
def test_a_count_is_a_whole_number(value: object, count: int) -> None:
    assert parse_count("X", value) == count


@pytest.mark.parametrize("value", [0, -1, 1.5, "1.5", "", "ten", True, None, "٣", 10**10])
def test_what_is_no_count_is_named(value: object) -> None:
    with pytest.raises(SettingError, match=r"^UPLOADS_X must be a whole number of at least 1; it is "):
        parse_count("UPLOADS_X", value)


@pytest.mark.parametrize(
    ("value", "extensions"),
    [
        ("png", ("png",)),
        ("png, JPG,.pdf", ("png", "jpg", "pdf")),
        ("png jpg\tpdf", ("png", "jpg", "pdf")),
        (["PNG", ".jpg", "png"], ("png", "jpg")),
        (("c++", "7z"), ("c++", "7z")),
    ],
)
def test_extensions_are_a_list_or_a_text(value: object, extensions: tuple[str, ...]) -> None:
    assert parse_extensions("X", value) == extensions


@pytest.mark.parametrize(
    "value", ["", [], ",", "png,,", "*", "tar.gz", "image/png", 3, None, "a" * 20, ["a b"]]
)
def test_what_are_no_extensions_is_named(value: object) -> None:
    with pytest.raises(
        SettingError, match=r"^UPLOADS_TYPES must be extensions such as 'png,jpg,pdf'; it is "
    ):
        parse_extensions("UPLOADS_TYPES", value)


# ---- all of them together


def test_what_holds_where_nothing_is_set() -> None:
    found = settings()
    assert found.storage == "file:uploads"
    assert found.database == "sqlite:///instance/app.sqlite"
    assert found.durable and found.digest
    assert found.field == "file"
    rules = UploadSet("files").rules(found)
    assert rules.extensions == DEFAULT_TYPES
    assert rules.max_file_size == 5_000_000_000
    assert (rules.max_total_size, rules.max_files, rules.max_parts) == (None, None, 100)
    assert found.with_room_for(rules.max_file_size).max_content_length == 5_000_000_000 + (1 << 20)


def test_the_body_limit_follows_the_largest_file_unless_it_is_set() -> None:
    assert settings().with_room_for(Size(10_000_000)).max_content_length == 10_000_000 + (1 << 20)
    found = settings(MAX_CONTENT_LENGTH="2 GB").with_room_for(Size(10_000_000))
    assert found.max_content_length == 2_000_000_000


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("UPLOADS_MAX_FILE_SIZE", "big"),
        ("UPLOADS_MAX_TOTAL_SIZE", "-5"),
        ("UPLOADS_MAX_FILES", "many"),
        ("UPLOADS_MAX_PARTS", 0),
        ("MAX_CONTENT_LENGTH", "0"),
        ("UPLOADS_TYPES", "*.png"),
        ("UPLOADS_DURABLE", "perhaps"),
        ("UPLOADS_DIGEST", "md5"),
        ("DROPZONE_INPUT_NAME", "uuid"),
        ("DROPZONE_INPUT_NAME", "a[0]"),
        ("DROPZONE_INPUT_NAME", True),
        ("DROPZONE_INPUT_NAME", []),
        ("UPLOADS_STORAGE", "ftp://somewhere"),
        ("UPLOADS_STORAGE", "file:"),
        ("UPLOADS_DATABASE", "no url"),
        ("UPLOADS_DATABASE", "nosuch://db"),
    ],
)
def test_a_bad_value_stops_the_start_with_its_name(tmp_path: Path, setting: str, value: object) -> None:
    with pytest.raises(SettingError, match=f"^{setting} must be .*; it is "):
        make_app(tmp_path, **{setting: value})


@pytest.mark.parametrize("key", ["UPLOADED_PHOTOS_MAX_FILES", "DROPZONE_MAX_FILES", "UPLOADS_MAX_FILES"])
def test_a_bad_value_stops_the_start_also_where_another_one_holds(tmp_path: Path, key: str) -> None:
    with pytest.raises(SettingError, match=f"^{key} must be a whole number of at least 1; it is 'many'"):
        make_app(tmp_path, UploadSet("photos", max_files=3), **{key: "many"})


def test_the_environment_is_over_the_defaults_and_the_mapping_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLASK_UPLOADS_MAX_FILE_SIZE", "10 MB")
    monkeypatch.setenv("FLASK_UPLOADS_TYPES", "png,jpg")
    monkeypatch.setenv("FLASK_UPLOADS_MAX_FILES", "7")
    monkeypatch.setenv("FLASK_UPLOADS_DURABLE", "false")
    monkeypatch.setenv("FLASK_MAX_CONTENT_LENGTH", "20 MB")
    monkeypatch.setenv("FLASK_UPLOADS_STORAGE", "file:elsewhere")
    app = create_app({"UPLOADS_MAX_FILES": 3, "SECRET_KEY": "test"})
    site = site_of(app)
    rules = site.rules["files"]
    assert (rules.max_file_size, rules.extensions, rules.max_files) == (10_000_000, ("png", "jpg"), 3)
    assert not site.settings.durable
    assert app.config["MAX_CONTENT_LENGTH"] == 20_000_000
    assert (tmp_path / "elsewhere").is_dir()
    site.records.close()


def test_paths_are_made_absolute_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    site = site_of(create_app({"SECRET_KEY": "test"}))
    monkeypatch.chdir("/")
    assert str(site.storage) == str(tmp_path / "uploads")
    assert str(site.records) == str(tmp_path / "instance" / "app.sqlite")
    site.storage.check()
    site.records.check()
    site.records.close()


def test_a_folder_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(
        SettingError, match=r"^UPLOADS_STORAGE: .*/taken/x cannot be written: Not a directory\.$"
    ):
        make_app(tmp_path, UPLOADS_STORAGE=f"file:{tmp_path}/taken/x")
    with pytest.raises(SettingError, match=r"^UPLOADS_DATABASE: .*/taken cannot be made: "):
        make_app(tmp_path, UPLOADS_DATABASE=f"sqlite:///{tmp_path}/taken/app.sqlite")


def test_a_database_that_is_none_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "app.sqlite").write_bytes(b"these are no pages of a database" * 100)
    with pytest.raises(
        SettingError, match=r"^UPLOADS_DATABASE: .*app\.sqlite cannot be used: file is not a database\.$"
    ):
        make_app(tmp_path)


def test_a_set_says_for_itself_what_the_settings_say_for_all(tmp_path: Path) -> None:
    app = make_app(
        tmp_path,
        UploadSet("photos", "png", max_file_size="1 MB", max_files=2, max_parts=3, max_total_size="2 MB"),
        UploadSet("rest"),
        UPLOADS_MAX_FILE_SIZE="5 MB",
        UPLOADS_MAX_FILES=50,
    )
    photos, rest = site_of(app).rules["photos"], site_of(app).rules["rest"]
    assert (photos.extensions, photos.max_file_size, photos.max_files) == (("png",), 1_000_000, 2)
    assert (photos.max_parts, photos.max_total_size) == (3, 2_000_000)
    assert (rest.extensions, rest.max_file_size, rest.max_files) == (DEFAULT_TYPES, 5_000_000, 50)
    assert (rest.max_parts, rest.max_total_size) == (100, None)


@pytest.mark.parametrize(
    "make",
    [
        lambda: UploadSet("check"),
        lambda: UploadSet("a/b"),
        lambda: UploadSet(""),
        lambda: UploadSet("x" * 65),
        lambda: UploadSet("photos\n"),
        lambda: UploadSet("photos", []),
        lambda: UploadSet("photos", max_file_size=0),
        lambda: UploadSet("photos", max_files=0),
        lambda: UploadSet("photos", max_parts=-1),
        lambda: UploadSet("photos", max_total_size="much"),
        lambda: UploadSet("photos", batch="some"),  # type: ignore[arg-type]
    ],
)
def test_a_declaration_that_cannot_be_used_stops_with_a_sentence(make: Any) -> None:
    with pytest.raises(SettingError, match=r"[Uu]pload set.* (must be|extensions)"):
        make()


def test_two_sets_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="same name: photos, photos"):
        make_app(tmp_path, UploadSet("photos"), UploadSet("photos"))


def test_an_app_that_embeds_us_brings_its_own_secret(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"^SECRET_KEY is not set"):
        make_app(tmp_path, UploadSet("photos"), SECRET_KEY="")


def test_one_extension_serves_several_apps(tmp_path: Path) -> None:
    photos = UploadSet("photos")
    one = make_app(tmp_path / "one", photos, UPLOADS_MAX_FILE_SIZE="1 MB")
    other = make_app(tmp_path / "other", photos, UPLOADS_MAX_FILE_SIZE="2 MB")
    assert site_of(one).rules["photos"].max_file_size == 1_000_000
    assert site_of(other).rules["photos"].max_file_size == 2_000_000
    assert callable(Uploads().init_app)


def test_only_a_path_of_sqlite_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_sqlite("sqlite:///a/b.sqlite") == f"sqlite:///{tmp_path}/a/b.sqlite"
    for url in ("sqlite:////srv/b.sqlite", "sqlite:///:memory:", "sqlite:///", "postgresql+psycopg://db/app"):
        assert absolute_sqlite(url) == url


# ---- X-Accel-Redirect


@pytest.mark.parametrize("value", ["/protected/", "/a/b.c/", "/~x_y-z/"])
def test_where_a_proxy_sends_files_is_a_path_between_slashes(value: str) -> None:
    assert settings(UPLOADS_X_ACCEL=value).x_accel == value


@pytest.mark.parametrize(
    "value", ["/", "protected/", "/protected", "//x/", "/../", "/a?b/", "/a b/", "/é/", True]
)
def test_what_is_no_such_path_is_refused(value: object) -> None:
    with pytest.raises(SettingError, match=r"^UPLOADS_X_ACCEL must be a path such as '/protected/'; it is "):
        settings(UPLOADS_X_ACCEL=value)


def test_a_proxy_sends_files_of_a_folder_only() -> None:
    with pytest.raises(
        SettingError, match=r"^UPLOADS_X_ACCEL is for files in a folder; UPLOADS_STORAGE is none"
    ):
        settings(UPLOADS_X_ACCEL="/protected/", UPLOADS_STORAGE="s3://bucket")


def test_nobody_sends_files_for_the_app_unless_told() -> None:
    assert settings().x_accel is None and settings(UPLOADS_X_ACCEL="").x_accel is None


@pytest.mark.parametrize("value", [0, "0.5", -1, 10_081, "soon"])
def test_what_is_signed_is_good_for_minutes_and_never_for_more_than_a_week(value: object) -> None:
    assert settings(UPLOADS_DIRECT_MINUTES="10080").direct_minutes == 10_080
    with pytest.raises(SettingError, match=r"^UPLOADS_DIRECT_MINUTES must be .*; it is "):
        settings(UPLOADS_DIRECT_MINUTES=value)
