"""The app of its own: settings from defaults, environment and mapping, checked once, at start."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from webclient import PNG, Visitor, assert_refused

from dropzone_app import SettingError, create_app
from dropzone_app.uploads import Site


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and nothing of the developer's own settings."""
    for name in [name for name in os.environ if name.startswith("FLASK_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def apps() -> Iterator[list[Flask]]:
    apps: list[Flask] = []
    yield apps
    for app in apps:
        site(app).records.close()


@pytest.fixture
def start(apps: list[Flask]) -> Any:
    def start(**config: Any) -> Flask:
        apps.append(create_app(config))
        return apps[-1]

    return start


def site(app: Flask) -> Site:
    found: Site = app.extensions["uploads"]
    return found


def test_it_starts_without_a_single_setting_and_keeps_all_below_the_folder(start: Any, folder: Path) -> None:
    (file,) = Visitor(start()).store(("file", "a.png", PNG))
    assert (folder / "uploads" / file["key"]).read_bytes() == PNG
    assert sorted(path.name for path in folder.iterdir()) == ["instance", "uploads"]
    assert {"app.sqlite", "secret_key"} <= {path.name for path in (folder / "instance").iterdir()}


def test_it_prints_nothing(start: Any, capfd: pytest.CaptureFixture[str]) -> None:
    Visitor(start()).get("/")
    assert capfd.readouterr() == ("", "")


def test_paths_are_those_of_the_start_even_when_the_process_moves_on(
    start: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = start()
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    visitor = Visitor(app)
    visitor.store(("file", "a.png", PNG))
    assert len(visitor.files()) == 1
    assert (folder / "uploads" / "a.png").exists()
    assert list(elsewhere.iterdir()) == []


def test_the_mapping_wins_over_the_environment_and_that_over_the_defaults(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert site(start()).rules["files"].max_parts == 100
    monkeypatch.setenv("FLASK_UPLOADS_MAX_PARTS", "7")
    assert site(start()).rules["files"].max_parts == 7
    assert site(start(UPLOADS_MAX_PARTS=9)).rules["files"].max_parts == 9


def test_every_setting_can_come_from_the_environment(
    start: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "SECRET_KEY": "from the environment",
        "UPLOADS_STORAGE": "file:data/files",
        "UPLOADS_DATABASE": "sqlite:///data/records.sqlite",
        "UPLOADS_TYPES": "png, .JPG,odd",
        "UPLOADS_MAX_FILE_SIZE": "10 MB",
        "UPLOADS_MAX_TOTAL_SIZE": "0.5 GB",
        "UPLOADS_MAX_FILES": "200",
        "UPLOADS_MAX_PARTS": "20",
        "MAX_CONTENT_LENGTH": "12 MiB",
        "UPLOADS_DURABLE": "false",
        "UPLOADS_DIGEST": "none",
    }.items():
        monkeypatch.setenv(f"FLASK_{name}", value)
    app = start()
    settings, rules = site(app).settings, site(app).rules["files"]
    assert app.secret_key == "from the environment"
    assert not (folder / "data" / "secret_key").exists()
    assert rules.extensions == ("png", "jpg", "odd")
    assert (rules.max_file_size, rules.max_total_size) == (10_000_000, 500_000_000)
    assert (rules.max_files, rules.max_parts) == (200, 20)
    assert settings.max_content_length == 12 * 1024**2
    assert (settings.durable, settings.digest) == (False, False)
    visitor = Visitor(app)
    visitor.store(("file", "a.odd", b"taken by its name"))
    assert_refused(visitor.upload(("file", "a.txt", b"x")), 415)
    assert (folder / "data" / "files" / "a.odd").exists()
    assert (folder / "data" / "records.sqlite").exists()


@pytest.mark.parametrize("value", ["10000000", "10 MB", "10MB", "10mb", "0.01 GB", "9765.625 KiB"])
def test_a_size_may_be_bytes_or_words(start: Any, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FLASK_UPLOADS_MAX_FILE_SIZE", value)
    monkeypatch.setenv("FLASK_MAX_CONTENT_LENGTH", value)
    app = start()
    assert site(app).rules["files"].max_file_size == 10_000_000
    assert app.config["MAX_CONTENT_LENGTH"] == 10_000_000
    assert len(Visitor(app).store(("file", "a.png", PNG))) == 1


def test_a_body_may_have_one_file_and_a_mebibyte_where_nothing_is_set(start: Any) -> None:
    assert start().config["MAX_CONTENT_LENGTH"] == 5_000_000_000 + 1024**2
    assert start(UPLOADS_MAX_FILE_SIZE="1 MB").config["MAX_CONTENT_LENGTH"] == 1_000_000 + 1024**2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("UPLOADS_STORAGE", "uploads"),
        ("UPLOADS_STORAGE", "file:"),
        ("UPLOADS_STORAGE", "ftp://somewhere"),
        ("UPLOADS_STORAGE", "file:/dev/null/x"),
        ("UPLOADS_DATABASE", "nonsense"),
        ("UPLOADS_DATABASE", "oracle://somewhere"),
        ("UPLOADS_DATABASE", "postgresql://somewhere"),
        ("UPLOADS_DATABASE", "sqlite:////dev/null/x.sqlite"),
        ("UPLOADS_DATABASE", "sqlite:////"),
        ("UPLOADS_TYPES", "png,*"),
        ("UPLOADS_TYPES", "image/png"),
        ("UPLOADS_MAX_FILE_SIZE", "ten"),
        ("UPLOADS_MAX_FILE_SIZE", "-5"),
        ("UPLOADS_MAX_FILE_SIZE", "0"),
        ("UPLOADS_MAX_FILE_SIZE", "5 XB"),
        ("UPLOADS_MAX_TOTAL_SIZE", "[]"),
        ("UPLOADS_MAX_FILES", "0"),
        ("UPLOADS_MAX_FILES", "1.5"),
        ("UPLOADS_MAX_PARTS", "many"),
        ("UPLOADS_MAX_PARTS", "true"),
        ("MAX_CONTENT_LENGTH", "lots"),
        ("UPLOADS_DURABLE", "perhaps"),
        ("UPLOADS_DIGEST", "md5"),
        ("DROPZONE_INPUT_NAME", "a b"),
        ("DROPZONE_INPUT_NAME", "uuid"),
    ],
)
def test_a_bad_setting_stops_with_a_sentence_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"FLASK_{name}", value)
    with pytest.raises(SettingError) as error:
        create_app()
    assert name in str(error.value)
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)


def test_the_server_stops_with_that_sentence_and_no_trace(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dropzone_app"],
        cwd=folder,
        env={**os.environ, "FLASK_UPLOADS_MAX_FILE_SIZE": "ten"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"UPLOADS_MAX_FILE_SIZE must be a size .*\.\n", done.stderr)
    assert done.stdout == ""


# ---- the secret key


def test_the_key_is_made_once_and_kept_for_the_owner_alone(start: Any, folder: Path) -> None:
    first = start().secret_key
    kept = folder / "instance" / "secret_key"
    assert kept.read_text() == first
    assert len(first) == 64
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert start().secret_key == first


def test_the_key_lies_beside_the_database_wherever_that_is(start: Any, folder: Path) -> None:
    start(UPLOADS_DATABASE="sqlite:///elsewhere/my.sqlite")
    assert (folder / "elsewhere" / "secret_key").exists()
    assert not (folder / "instance").exists()


def test_processes_that_start_at_once_agree_on_one_key_and_one_database(folder: Path) -> None:
    program = (
        "import sys, dropzone_app; sys.stdin.read();"
        "app = dropzone_app.create_app(); print(app.secret_key);"
        "app.extensions['uploads'].records.close()"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for process in processes:
        assert process.stdin
        process.stdin.close()
        process.stdin = None
    answers = [process.communicate(timeout=180) for process in processes]
    assert [error for _, error in answers] == [""] * 6
    assert len({key for key, _ in answers}) == 1
    left = {path.name for path in (folder / "instance").iterdir()}
    assert {name for name in left if name.startswith("secret")} == {"secret_key"}


def test_a_key_of_digits_is_a_key(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_SECRET_KEY", "1234567890")
    app = start()
    assert app.secret_key == "1234567890"
    assert len(Visitor(app).store(("file", "a.png", PNG))) == 1


def test_a_key_survives_so_visitors_keep_their_files(start: Any) -> None:
    visitor = Visitor(start())
    visitor.store(("file", "a.png", PNG))
    cookie = visitor.client.get_cookie("session")
    assert cookie is not None
    later = Visitor(start())
    later.client.set_cookie("session", cookie.value)
    assert len(later.files()) == 1
