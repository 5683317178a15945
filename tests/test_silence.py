"""Which connections are ended for readers that wait in vain: those that can be no others'."""

from dataclasses import dataclass, replace
from io import BufferedReader, BytesIO
from pathlib import Path

import pytest
from core import make_app, post

from dropzone_app.intake import patience, silence
from dropzone_app.intake.patience import LEAST
from dropzone_app.intake.silence import Connection, Watch, condemned

WINDOW, NOW = 30.0, 1000.0


@dataclass(eq=False)
class Reader:
    address: str = "192.0.2.1"
    descriptor: int | None = None
    rate: int = 1000
    began: float = NOW - 50
    since: float | None = NOW - 45
    returned: float = NOW - 45
    got: int = 4000
    asked: int = LEAST
    continued: bool = False
    answered: bool = False
    ended: bool = False


SILENT = Connection(7, 70, "192.0.2.1", heard=NOW - 45, sent=NOW - 70, received=5000, slow=True)


def ended(readers: list[Reader], *connections: Connection) -> list[int]:
    return [one.descriptor for one in condemned(readers, connections, WINDOW, NOW)]


def another(descriptor: int, **changes: float | str | bool) -> Connection:
    return replace(SILENT, descriptor=descriptor, inode=descriptor * 10, **changes)  # type: ignore[arg-type]


def test_the_connection_that_is_waited_on_is_ended() -> None:
    reader = Reader()
    assert ended([reader], SILENT) == [7]
    assert reader.ended


@pytest.mark.parametrize(
    "change",
    [
        {"peer": "192.0.2.2"},
        # An answer went out on it since, or it was made since.
        {"sent": NOW - 20},
        # Less came on it than was read.
        {"received": 3999},
        {"slow": False},
    ],
    ids=lambda change: next(iter(change)),
)
def test_one_that_cannot_be_it_is_not(change: dict[str, float | str | bool]) -> None:
    reader = Reader()
    assert not ended([reader], another(8, **change))
    assert not reader.ended
    assert ended([reader], SILENT, another(8, **change)) == [7]


def test_nobody_is_ended_before_the_window_has_gone_by() -> None:
    assert not ended([Reader(since=NOW - WINDOW - 1)], SILENT)


def test_while_one_of_the_same_address_waits_for_its_answer_none_is_ended() -> None:
    waits = Reader(since=None, returned=NOW - 100)
    assert not ended([Reader(), waits], SILENT, another(8))
    assert ended([Reader(), replace(waits, answered=True)], SILENT) == [7]
    assert ended([Reader(), replace(waits, address="192.0.2.2")], SILENT) == [7]


def test_a_reader_whose_connection_is_not_among_ours_speaks_for_none() -> None:
    assert not ended([Reader(), Reader(got=10**9)], SILENT, another(8))


def test_of_more_than_are_waited_on_those_silent_for_longest_are_ended_after_another_window() -> None:
    later = another(8, heard=NOW - 44)
    assert not ended([Reader()], later, SILENT)
    assert ended([Reader(since=NOW - 61, began=NOW - 61), Reader()], later, SILENT, another(9)) == [7]


def test_a_fast_client_of_whom_much_is_asked_is_waited_for_while_it_may_be_the_one_that_sends() -> None:
    much = Reader(asked=1 << 20)
    assert ended([much], SILENT) == [7]
    assert not ended([much], SILENT, another(8, slow=False, received=1 << 30))


def test_a_connection_that_is_lent_is_that_one() -> None:
    assert ended([Reader(descriptor=8)], SILENT, another(8)) == [8]


@pytest.mark.parametrize(("rate", "looked_after"), [(1000, 1), ("none", 0)])
def test_no_thread_looks_where_clients_may_take_their_time(
    rate: int | str, looked_after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[str] = []
    monkeypatch.setattr(patience, "watch", Watch())
    monkeypatch.setattr(silence.threading.Thread, "start", lambda thread: began.append(thread.name))
    app = make_app(tmp_path, UPLOADS_MIN_RATE=rate)
    for _ in range(2):
        post(app, b"", BufferedReader(BytesIO(b"--frontier\r\n")), length=5000)
    assert began.count("silent clients") == looked_after
