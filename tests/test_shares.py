"""Share links: who has one reads one file, as safely as its owner does, until it ends or is taken back."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from core import site_of
from sqlalchemy import text
from webclient import PNG, Visitor, assert_refused, visiting
from werkzeug.test import TestResponse

from dropzone_app.records import shares

# Each runs on each database.
pytestmark = pytest.mark.usefixtures("database")

NOWHERE = "This link leads nowhere: it has ended, was taken back, or is not whole; ask for another one."
DAY = 24 * 3600


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Callable[..., Visitor]]:
    with visiting(tmp_path) as visit:
        yield visit


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    return visit()


def share(visitor: Visitor, file: dict[str, str], **told: object) -> TestResponse:
    token = {"X-CSRFToken": visitor.token()}
    return visitor.client.post(f"/shares/{file['id']}", headers=token, **({"json": told} if told else {}))


def rows(visitor: Visitor) -> int:
    with site_of(visitor.app).records._engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM shares")).scalar() or 0)


def test_who_has_the_link_reads_the_file_with_the_headers_of_any_other(visitor: Visitor) -> None:
    [file] = visitor.store(("file", "写真 1.png", PNG))
    answer = share(visitor, file, seconds=3600)
    made = answer.get_json()
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    assert made.keys() == {"id", "file", "created", "expires", "url"}
    stranger = Visitor(visitor.app)
    seen, own = stranger.get(made["url"]), visitor.get(file["url"])
    assert seen.data == own.data == PNG
    # Whose cookie it is changes nothing of what the link shows, and a second may have begun between the two.
    own.headers.remove("Vary")
    seen.headers["Date"] = own.headers["Date"]
    assert dict(seen.headers) == dict(own.headers) | {
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex",
    }
    assert seen.headers["Cache-Control"] == "private, no-cache"
    assert "sandbox" in seen.headers["Content-Security-Policy"]
    assert "Set-Cookie" not in seen.headers
    part = stranger.get(made["url"], headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.data) == (206, b"PNG")
    # It opens nothing else.
    assert stranger.get(file["url"]).status_code == 404
    assert stranger.get(f"/shares/{file['id']}").status_code == 404
    assert stranger.files() == []


def test_a_link_is_told_again_and_taken_back(visitor: Visitor) -> None:
    [file] = visitor.store(("file", "a.png", PNG))
    first, second = share(visitor, file).get_json(), share(visitor, file).get_json()
    assert first["url"] != second["url"]
    assert visitor.get(f"/shares/{file['id']}").get_json() == {"shares": [second, first]}
    assert visitor.delete(f"/shares/{file['id']}/{first['id']}").status_code == 204
    assert_refused(visitor.get(first["url"]), 404, NOWHERE)
    assert visitor.get(second["url"]).status_code == 200
    assert_refused(visitor.delete(f"/shares/{file['id']}/{first['id']}"), 404, NOWHERE)
    # Nor by way of another file.
    [other] = visitor.store(("file", "b.png", PNG))
    assert_refused(visitor.delete(f"/shares/{other['id']}/{second['id']}"), 404, NOWHERE)
    assert_refused(visitor.delete(f"/shares/{file['id']}/%00"), 404, NOWHERE)


def test_a_link_ends(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    [file] = visitor.store(("file", "a.png", PNG))
    made = share(visitor, file, seconds=DAY).get_json()
    usual = share(visitor, file).get_json()
    later = shares.now() + DAY * 1_000_000
    monkeypatch.setattr(shares, "now", lambda: later)
    assert_refused(visitor.get(made["url"]), 404, NOWHERE)
    assert visitor.get(usual["url"]).status_code == 200
    assert [one["id"] for one in visitor.get(f"/shares/{file['id']}").get_json()["shares"]] == [usual["id"]]
    # What has ended is cleared away with the next one.
    share(visitor, file)
    assert rows(visitor) == 2


def test_a_link_that_nobody_signed_is_not_even_looked_up(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    [file] = visitor.store(("file", "a.png", PNG))
    made = share(visitor, file).get_json()
    _, _, link, name = made["url"].split("/")
    id, _, signature = link.partition(".")
    monkeypatch.setattr(shares.Shares, "find", lambda *_: pytest.fail("it was looked up"))
    for forged in (
        id,
        f"{id}.",
        f"{id}.{signature[:-2]}",
        f"{'0' * 32}.{signature}",
        f"{id}.{signature}x",
        "é.ü",
    ):
        assert_refused(visitor.get(f"/shared/{forged}/{name}"), 404, NOWHERE)


def test_another_name_behind_a_link_leads_nowhere(visitor: Visitor) -> None:
    [file] = visitor.store(("file", "a.png", PNG))
    url = share(visitor, file).get_json()["url"]
    assert_refused(visitor.get(url.replace("a.png", "b.png")), 404, NOWHERE)


def test_links_go_with_their_file(visitor: Visitor) -> None:
    [file] = visitor.store(("file", "a.png", PNG))
    url = share(visitor, file).get_json()["url"]
    visitor.delete(f"/files/{file['id']}")
    assert_refused(Visitor(visitor.app).get(url), 404, NOWHERE)
    assert rows(visitor) == 0


@pytest.mark.parametrize("seconds", [0, -1, 1.5, True, "3600", None, 366 * DAY + 1, 10**30])
def test_how_long_a_link_is_good_is_a_number_of_seconds(visitor: Visitor, seconds: object) -> None:
    [file] = visitor.store(("file", "a.png", PNG))
    assert_refused(
        share(visitor, file, seconds=seconds),
        400,
        'The value of the field "seconds" must be a number from 1 to 31,622,400.',
    )


def test_a_link_is_made_with_the_csrf_token_only_and_from_a_small_body(visitor: Visitor) -> None:
    [file] = visitor.store(("file", "a.png", PNG))
    assert_refused(visitor.client.post(f"/shares/{file['id']}"), 400)
    assert_refused(share(visitor, file, seconds=3600, more="x" * 2000), 400)
    assert_refused(
        visitor.client.post(f"/shares/{file['id']}", data=b"[1]", headers={"X-CSRFToken": visitor.token()}),
        400,
    )
    assert rows(visitor) == 0


def test_a_file_has_so_many_links_and_no_more(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "MAX_SHARES", 2)
    [file] = visitor.store(("file", "a.png", PNG))
    assert [share(visitor, file).status_code for _ in range(3)] == [201, 201, 409]


def test_a_link_needs_no_access_code_and_survives_a_new_key_that_knows_the_old_one(
    visit: Callable[..., Visitor],
) -> None:
    visitor = visit(UPLOADS_ACCESS_CODE="seven grey herons")
    visitor.client.post("/sign-in", data={"code": "seven grey herons"})
    [file] = visitor.store(("file", "a.png", PNG))
    url = share(visitor, file).get_json()["url"]
    assert Visitor(visitor.app).get(url).data == PNG
    again = visit(SECRET_KEY="another key", SECRET_KEY_FALLBACKS=["a key for tests"])
    assert again.get(url).data == PNG
    assert_refused(visit(SECRET_KEY="another key").get(url), 404, NOWHERE)


def run(visitor: Visitor, *arguments: str) -> Result:
    return visitor.app.test_cli_runner().invoke(args=["uploads", "share", *arguments])


def test_an_operator_makes_lists_and_takes_back_links(visitor: Visitor) -> None:
    [file] = visitor.store(("file", "a.png", PNG))
    url = run(visitor, "create", file["id"], "--days", "2").stdout.strip()
    assert Visitor(visitor.app).get(url).data == PNG
    [told] = json.loads(run(visitor, "list", "--json").output)["shares"]
    assert (told["url"], told["file"]) == (url, file["id"])
    assert run(visitor, "list").output == f"{told['id']}  good until {told['expires']}  {url}\n"
    assert run(visitor, "revoke", told["id"]).exit_code == 0
    assert_refused(Visitor(visitor.app).get(url), 404, NOWHERE)
    for arguments, sentence in (
        (["revoke", told["id"]], "There is no link"),
        (["create", "x"], "There is no file"),
    ):
        failed = run(visitor, *arguments)
        assert failed.exit_code == 1
        assert sentence in failed.output
