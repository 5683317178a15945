"""Bodies that come too slowly are given up, and those that come slowly are not."""

import socket
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from core import assert_nothing_is_kept, make_app, post, site_of
from webclient import Visitor, assert_refused

from dropzone_app import SettingError
from dropzone_app.intake import patience
from dropzone_app.intake.patience import WINDOW, Patience, TooSlow

MEBIBYTE = 1 << 20
SLOW = "The upload came too slowly, less than 1 KB a second; look at the connection, and send what is missing again."


class Client:
    """Sends so many bytes a second, by a clock of its own; `ask` is read by who waits."""

    def __init__(self, rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rate, self.now, self.asked = rate, 0.0, []
        self.asked: list[int] = []
        monkeypatch.setattr(patience.time, "monotonic", lambda: self.now)

    def read(self, size: int) -> bytes:
        self.asked.append(size)
        self.now += size / self.rate
        return bytes(size)


def read(reads: Patience, size: int) -> None:
    while size > 0:
        size -= len(reads.read(MEBIBYTE))


@pytest.mark.parametrize("rate", [1_000, 1_100, 10_000, 300_000, 10_000_000])
def test_who_is_fast_enough_is_never_cut(rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(rate, monkeypatch)
    # A hundred windows, or what takes a second to make up.
    size = min(rate * WINDOW * 100, 500_000_000)
    read(Patience(client.read, 1_000), int(size))
    assert client.now * rate >= size - 1


def test_less_than_the_least_is_cut_once_it_has_used_up_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(500, monkeypatch)
    with pytest.raises(TooSlow):
        read(Patience(client.read, 1_000), 10_000_000)
    # Of each second it lacks a half.
    assert WINDOW < client.now <= 3 * WINDOW


def test_a_fast_client_that_grows_slow_is_not_cut_for_what_was_asked_of_it_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Client(100_000_000, monkeypatch)
    reads = Patience(client.read, 1_000)
    read(reads, 10 * MEBIBYTE)
    assert client.asked[-1] == MEBIBYTE
    client.rate = 10_000
    read(reads, 10 * MEBIBYTE)
    # From then on little is asked at once, so that it is soon seen when nothing comes.
    assert client.asked[-1] <= 16 * patience.LEAST


def test_what_is_asked_at_once_fits_the_clients_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    for rate, least, most in ((5_000, 0, 1024), (1_000_000, 0, 8 * 65_536), (60_000_000, 65_536, MEBIBYTE)):
        client = Client(rate, monkeypatch)
        read(Patience(client.read, 1_000), 20 * MEBIBYTE if rate > 5_000 else MEBIBYTE)
        assert least <= client.asked[-2] <= most, rate


class Trickle:
    """A `wsgi.input` that has these bytes, and then brings nothing for longer than anybody waits."""

    def __init__(self, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        self._data, self._now = data, 0.0
        monkeypatch.setattr(patience.time, "monotonic", lambda: self._now)

    def read(self, size: int) -> bytes:
        data, self._data = self._data[:size], self._data[size:]
        if not data:
            self._now += 2 * WINDOW
        return data or b"x"


def test_a_connection_that_is_lent_is_not_waited_on_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "WINDOW", 0.05)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reads = Patience(ours.recv, 1_000_000, ours)
        theirs.sendall(b"some bytes")
        assert reads.read(100) == b"some bytes"
        with pytest.raises(TooSlow):
            reads.read(100)
        # Whoever reads on, the server say, finds its end, and the answer still goes out.
        assert ours.gettimeout() is None
        assert ours.recv(1) == b""
        ours.sendall(b"408")
        assert theirs.recv(3) == b"408"


def test_a_failure_of_the_connection_is_told_as_it_is() -> None:
    def fail(_: int) -> bytes:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        Patience(fail, 1_000).read(10)


def test_a_batch_that_comes_too_slowly_is_a_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(tmp_path)
    head = b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nsome text'
    assert_refused(post(app, b"", Trickle(head, monkeypatch), length=5_000_000), 408, SLOW)
    assert_nothing_is_kept(tmp_path, site_of(app))


def test_of_a_tus_upload_that_comes_too_slowly_what_came_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = Visitor(make_app(tmp_path))
    version = {"Tus-Resumable": "1.0.0"}
    name = b64encode(b"a.txt").decode()
    told = {**version, "Upload-Length": "20", "Upload-Metadata": f"filename {name}"}
    url = visitor.client.post("/tus/", headers=told).headers["Location"]
    answer = visitor.client.patch(
        url,
        headers={**version, "Upload-Offset": "0"},
        environ_overrides={
            "wsgi.input": Trickle(b"0123456789", monkeypatch),
            "CONTENT_LENGTH": "20",
            "CONTENT_TYPE": "application/offset+octet-stream",
        },
    )
    assert_refused(answer, 408, SLOW)
    assert visitor.client.head(url, headers=version).headers["Upload-Offset"] == "10"


@pytest.mark.parametrize("rate", ["none", 0, "0"])
def test_it_can_be_switched_off(tmp_path: Path, rate: Any) -> None:
    assert site_of(make_app(tmp_path, UPLOADS_MIN_RATE=rate)).settings.min_rate is None


def test_what_is_no_rate_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="UPLOADS_MIN_RATE"):
        make_app(tmp_path, UPLOADS_MIN_RATE="fast")
