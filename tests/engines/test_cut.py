"""Clients that go away: nothing of theirs stays, neither on disk nor in the servers' memory."""

from collections.abc import Callable

import pytest
from engines.fleet import Engine, wait_until
from engines.wire import END, Client, form, part

CUT_OFF = "The upload was cut off or is malformed, and nothing was stored; send the files again."

# Servers hand the app up to 1 MiB at once: that much of each part has to be there for the app to have begun it.
FIRST = part("file[0]", "first.bin", b"1" * 1_500_000)
SECOND = part("file[1]", "second.bin", b"2" * 3_000_000)
WHOLE = FIRST + SECOND + END

CUTS = {"after the first part": (FIRST, 1), "within the second part": (FIRST + SECOND[:1_500_000], 2)}


@pytest.mark.parametrize("leave", [Client.close, Client.reset], ids=["FIN", "RST"])
@pytest.mark.parametrize("cut", CUTS)
def test_nothing_is_left_of_a_client_that_goes_away(
    engine: Engine, cut: str, leave: Callable[[Client], None]
) -> None:
    sent, parts = CUTS[cut]
    visitor = engine.visitor()
    before = engine.inventory()
    with Client(engine.door) as client:
        client.send_head(visitor.headers(len(WHOLE)))
        client.send(sent)
        if engine.streams:
            engine.wait_until_staged(parts)
        leave(client)
    engine.wait_until_staged(0)
    [stored] = visitor.upload([("after.bin", b"after")]).files
    after = engine.inventory()
    assert not after.disagreements()
    assert after.records == before.records | {stored["key"]: len(b"after")}


def test_two_hundred_clients_that_go_away_leave_no_descriptor_open(engine: Engine) -> None:
    visitor = engine.visitor()
    for n in range(20):
        assert visitor.upload([(f"before{n}.bin", b"x")]).status == 201
    before = len(engine.descriptors())
    for n in range(200):
        sent, _ = CUTS[[*CUTS][n % 2]] if n % 10 < 2 else (part("file[0]", "small.bin", b"1" * n), 1)
        with Client(engine.door) as client:
            client.send_head(visitor.headers(len(WHOLE)))
            client.send(sent)
            if n % 4 < 2:
                client.reset()
    wait_until(lambda: len(engine.descriptors()) <= before, f"no more than {before} open descriptors")
    assert not engine.inventory().disagreements()


HALVES = {
    "with nothing sent": b"",
    "within a header": FIRST + SECOND[:30],
    "within a part": FIRST[:70_000],
    "between two parts": FIRST,
    "before the last line": FIRST + SECOND,
}


@pytest.mark.parametrize("name", ["granian", "gunicorn", "flask"])
@pytest.mark.parametrize("half", HALVES)
def test_a_body_shorter_than_its_length_is_refused_in_words(
    living: Callable[[str, str], Engine], name: str, half: str
) -> None:
    engine = living(name, "60 MB")
    visitor = engine.visitor()
    before = engine.inventory()
    with Client(engine.door) as client:
        client.send_head(visitor.headers(len(WHOLE)))
        client.send(HALVES[half])
        client.half_close()
        answer = client.read()
    nothing_came = "No file arrived, or the upload was cut off; send the files again."
    assert (answer.status, answer.text) == (400, CUT_OFF if HALVES[half] else nothing_came)
    assert vars(engine.inventory()) == vars(before)


def test_nothing_is_stored_of_chunks_that_stop_between_two_parts(engine: Engine) -> None:
    visitor = engine.visitor()
    before = engine.inventory()
    with Client(engine.door) as client:
        client.send_head(visitor.headers(transfer_encoding="chunked"))
        client.send_in_chunks(FIRST, size=65_536, end=False)
        if engine.streams:
            engine.wait_until_staged(1)
        client.close()
    engine.wait_until_staged(0)
    assert engine.lives()
    assert vars(engine.inventory()) == vars(before)


def test_nothing_is_stored_of_a_form_whose_last_chunk_comes_too_early(engine: Engine) -> None:
    visitor = engine.visitor()
    before = engine.inventory()
    with Client(engine.door) as client:
        client.send_head(visitor.headers(transfer_encoding="chunked"))
        client.send_in_chunks(FIRST, size=65_536)
        answer = client.read()
    assert (answer.status, answer.text) == (400, CUT_OFF)
    assert vars(engine.inventory()) == vars(before)


def test_a_body_that_is_cut_off_behind_its_last_line_is_no_reason_to_lose_files(engine: Engine) -> None:
    body = form([("whole.bin", b"whole")]) + b"an epilogue, which means nothing"
    [stored] = engine.visitor().send(body).files
    assert stored["size"] == len(b"whole")
