"""`flask uploads doctor`: each mistake is found, named, and has its mend; a healthy server has none."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from webclient import Visitor, visiting

from dropzone_app import doctor

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Callable[..., Visitor]]:
    with visiting(tmp_path) as made:
        yield made


def ask(visitor: Visitor, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit status, and by what was looked at the finding that is not good."""
    result = visitor.app.test_cli_runner().invoke(args=["uploads", "doctor", "--json", *arguments])
    findings = json.loads(result.output)["findings"]
    assert all(finding["mend"] for finding in findings if finding["level"] != "ok")
    return result.exit_code, {finding["check"]: finding for finding in findings if finding["level"] != "ok"}


def healthy(**config: Any) -> dict[str, Any]:
    return {"SECRET_KEY": KEY, "UPLOADS_MAX_FILE_SIZE": "1 MB", **config}


@pytest.fixture(autouse=True)
def on_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever this machine has its temporary files."""
    monkeypatch.setattr(doctor, "_file_system", lambda path: "ext4")


def test_a_healthy_server_has_nothing_to_mend(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    visitor = visit(**healthy())
    (tmp_path / "instance").chmod(0o700)
    before = sorted(tmp_path.rglob("*"))
    assert ask(visitor) == (0, {})
    assert sorted(tmp_path.rglob("*")) == before
    told = visitor.app.test_cli_runner().invoke(args=["uploads", "doctor"]).output
    assert [line.split()[0] for line in told.splitlines()] == ["ok"] * 4


@pytest.mark.parametrize("key", ["dev", "secret", "change me please", "aaaaaaaaaaaaaaaaaaaaaaaa", b"short"])
def test_a_key_that_can_be_guessed_is_a_problem_and_is_not_told(
    visit: Callable[..., Visitor], key: Any
) -> None:
    status, found = ask(visit(**healthy(SECRET_KEY=key)))
    assert (status, found["secret key"]["level"]) == (1, "problem")
    assert str(key) not in found["secret key"]["says"]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"MAX_CONTENT_LENGTH": 500_000}, "takes files of 1 MB, and one request 500 KB"),
        ({"UPLOADS_QUOTA": "800 KB"}, "nobody may have more than 800 KB (UPLOADS_QUOTA)"),
        ({"UPLOADS_QUOTA_WINDOW": "800 KB per day"}, "more than 800 KB (UPLOADS_QUOTA_WINDOW)"),
        ({"UPLOADED_FILES_QUOTA": "700 KB"}, "more than 700 KB (quota of the set)"),
        ({"UPLOADED_FILES_QUOTA_WINDOW": "600 KB per day"}, "more than 600 KB (quota_window of the set)"),
        (
            {"UPLOADS_QUOTA": "5 MB", "UPLOADED_FILES_QUOTA": "6 MB"},
            "one owner may have 6 MB, and in all sets together 5 MB",
        ),
        ({"UPLOADS_CONCURRENT": 2}, "may have 2 uploads under way, and our page keeps 3"),
        (
            {"UPLOADS_RATE_LIMIT": "9 per 2 minutes", "UPLOADS_CHUNK_SIZE": "100 KB"},
            "comes in 10 chunks, and an address may send 9 requests in 2 minutes",
        ),
        ({"UPLOADS_MIN_RATE": "none"}, "may take all the time it likes"),
        ({"UPLOADS_MIN_RATE": "1 MB"}, "Who sends less than 1 MB a second is given up"),
        ({"UPLOADS_MAX_TOTAL_SIZE": "9 MB"}, "may have 9 MB together, and the request itself 2 MB"),
        ({"UPLOADS_SWEEP_AGE": 600}, "removed after 600 seconds"),
    ],
)
def test_limits_that_contradict_one_another_are_told(
    visit: Callable[..., Visitor], config: dict[str, Any], says: str
) -> None:
    status, found = ask(visit(**healthy(**config)))
    assert (status, found["limits"]["level"]) == (0, "warning")
    assert says in found["limits"]["says"]


def test_a_database_that_everybody_may_open_is_a_problem(visit: Callable[..., Visitor]) -> None:
    visitor = visit(**healthy())
    database = visitor.app.extensions["uploads"].records.database_file
    os.chmod(database, 0o644)
    os.chmod(database.parent, 0o755)
    status, found = ask(visitor)
    assert (status, list(found), found["database"]["level"]) == (1, ["database"], "problem")
    assert found["database"]["mend"] == f"chmod 600 {database}"


def test_a_folder_that_is_gone_is_a_problem(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    visitor = visit(**healthy())
    (tmp_path / "uploads").rename(tmp_path / "elsewhere")
    status, found = ask(visitor)
    assert (status, found["storage"]["level"]) == (1, "problem")
    assert "takes no file: No such file or directory" in found["storage"]["says"]


def test_a_disk_with_less_room_than_one_file_is_told(visit: Callable[..., Visitor]) -> None:
    status, found = ask(visit(**healthy(UPLOADS_MAX_FILE_SIZE="900 TB")))
    assert (status, found["storage"]["level"]) == (0, "warning"), found
    assert "and one file may have 900 TB" in found["storage"]["says"]


def test_a_disk_on_which_all_is_to_stay_free_takes_nothing_and_that_is_a_problem(
    visit: Callable[..., Visitor],
) -> None:
    status, found = ask(visit(**healthy(UPLOADS_MIN_FREE="900 TB")))
    assert (status, found["storage"]["level"]) == (1, "problem")
    assert "and 900 TB are to stay so: no file is taken" in found["storage"]["says"]


@pytest.mark.parametrize(("kind", "level"), [("tmpfs", "problem"), ("nfs4", "problem")])
def test_a_database_that_a_restart_takes_or_that_cannot_be_locked_is_a_problem(
    visit: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch, kind: str, level: str
) -> None:
    monkeypatch.setattr(doctor, "_file_system", lambda path: kind)
    status, found = ask(visit(**healthy()))
    assert (status, found["database"]["level"]) == (1, level)
    assert f"({kind})" in found["database"]["says"]


def test_a_clock_that_is_off_is_told(visit: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = visit(**healthy())
    now = doctor.time.time()
    monkeypatch.setattr(doctor.time, "time", lambda: now - 500)
    _, found = ask(visitor)
    assert "seconds off" in found["storage"]["says"]


@pytest.mark.parametrize("url", ["ftp://here", "here", "http://", "http://127.0.0.1:9"])
def test_an_address_where_nobody_answers_is_a_problem(visit: Callable[..., Visitor], url: str) -> None:
    status, found = ask(visit(**healthy()), "--url", url)
    assert (status, found["proxy"]["level"]) == (1, "problem")
