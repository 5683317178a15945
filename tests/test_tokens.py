"""API tokens: made and shown once, good on every route without a session, and no more once they end."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from core import site_of
from flask import request
from sqlalchemy import text
from test_access import BYTES, TUS, Things
from webclient import PNG, CountingInput, Visitor, assert_refused, encode, hosting, visiting

from dropzone_app import Uploads, UploadSet
from dropzone_app.records import tokens

# Each runs on each database.
pytestmark = pytest.mark.usefixtures("database")

WRONG = "The API token is not valid here: it may have expired or been revoked; ask for another one."


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Callable[..., Visitor]]:
    with visiting(tmp_path) as visit:
        yield visit


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    return visit()


def run(visitor: Visitor, *arguments: str) -> Result:
    return visitor.app.test_cli_runner().invoke(args=["uploads", "token", *arguments])


def create(visitor: Visitor, *arguments: str, owner: str = "backup") -> str:
    made = run(visitor, "create", "--owner", owner, *arguments)
    assert made.exit_code == 0, made.output
    return str(made.stdout.strip())


class Script(Visitor):
    """What sends a token, and keeps no cookies."""

    def __init__(self, visitor: Visitor, token: str) -> None:
        self.app, self.prefix = visitor.app, visitor.prefix
        self.client = visitor.app.test_client(use_cookies=False)
        self.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"

    def token(self) -> str:
        return "none"


@pytest.fixture
def script(visitor: Visitor) -> Script:
    return Script(visitor, create(visitor))


def test_a_token_is_shown_once_and_kept_as_its_digest(visitor: Visitor) -> None:
    made = run(visitor, "create", "--owner", "backup", "--note", "nightly", "--days", "30")
    assert re.fullmatch(r"dza_[0-9a-f]{16}_[0-9a-f]{64}\n", made.stdout)
    assert "nobody can show it again" in made.stderr
    secret = made.stdout.strip().rpartition("_")[2]
    with site_of(visitor.app).records._engine.connect() as connection:
        kept = [str(tuple(row)) for row in connection.execute(text("SELECT * FROM tokens"))]
    assert len(kept) == 1
    assert secret not in kept[0]
    told = run(visitor, "list").output + run(visitor, "list", "--json").output
    assert secret not in told
    [one] = json.loads(run(visitor, "list", "--json").output)["tokens"]
    assert one.keys() == {"id", "owner", "set", "note", "created", "expires"}
    assert (one["owner"], one["set"], one["note"]) == ("backup", None, "nightly")
    assert f"{one['id']}  good until {one['expires']}  all sets  backup  nightly\n" in told


def test_everything_is_done_with_a_token_alone(visitor: Visitor, script: Script) -> None:
    things = Things(script)
    assert {file["filename"] for file in script.files()} == {"a.png", "b.png"}
    assert script.get(things.file["url"]).data == PNG
    assert script.get("/uploads/stored").get_json()["state"] == "stored"
    assert list(script.get("/uploads").get_json()["uploads"]) == sorted(["begun", things.tus])
    # The chunks that are missing, and the rest of the tus upload.
    chunks = -(-len(PNG) // 10)
    answers = [Things.chunk(script, "begun", index) for index in range(1, chunks)]
    assert [answer.status_code for answer in answers] == [202] * (chunks - 2) + [201]
    assert script.client.head(f"/tus/{things.tus}", headers=TUS).headers["Upload-Offset"] == "2"
    answer = script.client.patch(f"/tus/{things.tus}", headers=BYTES, data=PNG[2:4])
    assert answer.headers["Upload-Offset"] == "4"
    check = script.client.post(
        "/upload/check", json={"files": [{"uuid": "stored", "filename": "a.png", "size": 1}]}
    )
    assert check.get_json()["uploads"]["stored"]["code"] == "uuid_taken"
    assert script.delete(f"/files/{things.file['id']}").status_code == 204
    assert script.delete("/uploads/begun").status_code == 204
    assert [file["filename"] for file in script.files()] == ["b.png"]
    # Nobody else sees any of it, and no answer has begun a session.
    assert visitor.files() == []
    assert "Set-Cookie" not in script.upload(("file", "d.png", PNG)).headers


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "x",
        "dza_",
        "dza_" + "0" * 16 + "_" + "0" * 64,
        "dza_Ä_\x7f",
        lambda good: good[:-1] + ("0" if good[-1] != "0" else "1"),
        lambda good: good.upper(),
        lambda good: good + "0",
    ],
)
def test_a_wrong_one_is_401_before_the_body_is_read(visitor: Visitor, shown: Any) -> None:
    wrong = Script(visitor, shown(create(visitor)) if callable(shown) else shown)
    body = CountingInput(encode(("file", "a.png", PNG + bytes(3_000_000))))
    with wrong.post(body) as answer:
        assert body.taken == 0
        assert_refused(answer, 401, WRONG)
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert_refused(wrong.get("/files"), 401, WRONG)
    # What anybody may see needs no look at it.
    assert wrong.get("/healthz").status_code == 200


def test_nothing_but_a_good_token_stands_in_for_the_csrf_token(visitor: Visitor) -> None:
    token = create(visitor)
    for header in (f"Basic {token}", token, f"Bearer{token}"):
        answer = visitor.post(encode(("file", "a.png", PNG)), headers={"Authorization": header})
        assert (answer.status_code, answer.headers["Upload-Error"]) == (400, "csrf_missing"), header
    assert (
        visitor.post(
            encode(("file", "a.png", PNG)), headers={"Authorization": f"bearer  {token}"}
        ).status_code
        == 201
    )


def test_another_site_sends_nothing_even_with_a_token(script: Script) -> None:
    assert_refused(script.post(encode(("file", "a.png", PNG)), headers={"Origin": "https://evil.test"}), 403)


def test_a_token_that_is_revoked_or_has_expired_is_none(
    visitor: Visitor, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert script.files() == []
    [id] = [line.split()[0] for line in run(visitor, "list").output.splitlines()]
    assert run(visitor, "revoke", id).exit_code == 0
    assert_refused(script.get("/files"), 401, WRONG)
    again = run(visitor, "revoke", id)
    assert (again.exit_code, again.output) == (
        1,
        f"Error: There is no token {id}; `flask uploads token list` shows them.\n",
    )
    shortlived = Script(visitor, create(visitor, "--days", "1"))
    assert shortlived.files() == []
    later = tokens.now() + 24 * 3600 * 1_000_000
    monkeypatch.setattr(tokens, "now", lambda: later)
    assert_refused(shortlived.get("/files"), 401, WRONG)


def test_a_token_opens_what_an_access_code_closes(visit: Callable[..., Visitor]) -> None:
    visitor = visit(UPLOADS_ACCESS_CODE="seven grey herons")
    script = Script(visitor, create(visitor))
    assert [file["filename"] for file in script.store(("file", "a.png", PNG))] == ["a.png"]
    assert visitor.get("/files").headers["WWW-Authenticate"] == "Bearer"
    assert_refused(Script(visitor, "dza_x").get("/files"), 401, WRONG)


def test_a_token_of_one_set_is_good_for_that_one(tmp_path: Path) -> None:
    with hosting(tmp_path) as make:
        app = make()
        Uploads(app, UploadSet("photos", ["png"]), UploadSet("texts", ["txt"]), owner=lambda: "ada")
        ada = Visitor(app)
        [photo] = ada.store(("file", "a.png", PNG))
        [note] = ada.store(("file", "a.txt", b"text"), path="/upload/texts")
        script = Script(ada, create(ada, "--set", "texts", owner="ada"))
        assert [file["id"] for file in script.files()] == [note["id"]]
        assert script.get(note["url"]).data == b"text"
        assert script.get(photo["url"]).status_code == 404
        assert script.delete(f"/files/{photo['id']}").status_code == 404
        assert_refused(script.upload(("file", "b.png", PNG)), 403)
        assert script.upload(("file", "b.txt", b"x"), path="/upload/texts").status_code == 201
        assert len(ada.files()) == 3
        about = {"files": [{"uuid": photo["uuid"], "filename": "a.png", "size": len(PNG)}]}
        asked = script.client.post("/upload/texts/check", json=about).get_json()["uploads"]
        assert photo["id"] not in str(asked)
        form = {"Accept": "text/html", "X-CSRFToken": ada.token()}
        page = ada.post(encode(("file", "c.png", PNG)), headers=form).headers["Location"]
        assert ada.get(page).status_code == 200
        assert script.get(page).status_code == 404
        page = ada.post(encode(("file", "c.txt", b"c")), "/upload/texts", form)
        assert script.get(page.headers["Location"]).status_code == 200


def test_a_hosts_own_bearer_tokens_and_views_stay_its_own(tmp_path: Path) -> None:
    with hosting(tmp_path) as make:
        app, photos = make(), UploadSet("photos", ["png"])
        Uploads(app, photos, owner=lambda: request.headers.get("Authorization"))

        @app.post("/album")
        def album() -> Any:
            return photos.receive(request).response()

        app.extensions["csrf"].exempt(album)
        theirs = Script(Visitor(app), "eyJhbGciOi.of.the-host")
        assert theirs.files() == []
        # It is the host's, so that its request needs the CSRF token.
        assert theirs.upload(("file", "a.png", PNG)).headers["Upload-Error"].startswith("csrf_")
        ours = Script(Visitor(app), create(Visitor(app)))
        assert ours.upload(("file", "a.png", PNG), path="/album").status_code == 201
        assert ours.files()[0]["filename"] == "a.png"
        assert_refused(
            Script(Visitor(app), "dza_no").upload(("file", "a.png", PNG), path="/album"), 401, WRONG
        )


def test_what_cannot_be_a_token_is_told_why(visitor: Visitor) -> None:
    for arguments, sentence in (
        (["--owner", " "], "--owner is not empty"),
        (["--owner", "a\nb"], "in one line"),
        (["--owner", "a", "--set", "other"], "There is no upload set 'other'; there are files."),
    ):
        made = run(visitor, "create", *arguments)
        assert made.exit_code == 1
        assert sentence in made.output
    assert run(visitor, "list").output == ""
