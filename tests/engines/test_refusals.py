"""What can be refused by its headers is refused before its body is read, and the client reads why."""

from collections.abc import Callable

import pytest
from engines.fleet import STREAMING, Engine
from engines.wire import Client, form

BODY = form([("big.bin", bytes(50_000_000))])

REFUSALS: dict[str, tuple[dict[str, str | None], int, str]] = {
    "a wrong token": (
        {"x_csrftoken": "wrong"},
        400,
        "The CSRF token is not valid for this session; reload the page and try again.",
    ),
    "no session": (
        {"cookie": None},
        400,
        "The session has no CSRF token (are cookies allowed?); reload the page and try again.",
    ),
    "a foreign origin": (
        {"origin": "http://evil.example"},
        403,
        "Uploads from another site (http://evil.example) are not accepted; open the upload page itself.",
    ),
    "no form": (
        {"content_type": "application/octet-stream"},
        415,
        "Uploads must be sent as a multipart/form-data form with a boundary.",
    ),
}

TOO_LONG: tuple[dict[str, str | None], int, str] = (
    {},
    413,
    "The upload is 50 MB; the limit for one request is 2 MB. Send fewer or smaller files.",
)


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_client_that_writes_everything_first_can_read_the_refusal(engine: Engine, refusal: str) -> None:
    changes, status, sentence = REFUSALS[refusal]
    answer = engine.visitor().send(BODY, **changes)
    assert (answer.status, answer.text) == (status, sentence)


def test_a_body_without_any_token_is_refused_after_it_was_read(engine: Engine) -> None:
    before = engine.inventory()
    answer = engine.visitor().send(BODY, x_csrftoken=None)
    assert (answer.status, answer.text) == (
        400,
        "The CSRF token is missing; reload the page and try again.",
    )
    engine.wait_until_staged(0)
    assert vars(engine.inventory()) == vars(before)


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize("refusal", [*REFUSALS, "too long"])
def test_the_refusal_comes_when_a_fiftieth_of_the_body_was_sent(
    living: Callable[[str, str], Engine], name: str, refusal: str
) -> None:
    changes, status, sentence = REFUSALS.get(refusal, TOO_LONG)
    engine = living(name, "2 MB" if refusal == "too long" else "60 MB")
    headers = engine.visitor().headers(len(BODY), **changes)
    with Client(engine.door) as client:
        client.send_head(headers)
        client.send(BODY[:1_000_000])
        answer = client.read_early()
        # Whoever goes on all the same is not cut off.
        client.send(BODY[1_000_000:])
    assert (answer.status, answer.text) == (status, sentence)
