"""What one address may send in a while, and one owner at once: told before a body is read, with the time to wait."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from core import make_app
from webclient import PNG, CountingInput, Visitor, assert_refused, encode

from dropzone_app import SettingError

TOO_OFTEN = "Too many uploads at the moment; wait a little and try again."


def test_over_the_limit_an_upload_is_told_when_to_come_again(tmp_path: Path) -> None:
    app = make_app(tmp_path, UPLOADS_RATE_LIMIT="2 per hour")
    visitor = Visitor(app)
    for _ in range(2):
        visitor.store(("file", "a.png", PNG))
    body = CountingInput(encode(("file", "a.png", PNG + bytes(3_000_000))))
    with visitor.post(body) as answer:
        assert body.taken == 0
        assert_refused(answer, 429, TOO_OFTEN)
    assert 1 <= int(answer.headers["Retry-After"]) <= 3600
    begin = {"Tus-Resumable": "1.0.0", "Upload-Length": "9", "Upload-Metadata": "filename YS5wbmc="}
    assert_refused(visitor.client.post("/tus/", headers=begin), 429, TOO_OFTEN)
    # Whoever only looks is not counted, and another address has its own.
    assert len(visitor.files()) == 2
    assert visitor.client.post("/upload/check", json={"files": []}).status_code == 200
    other = Visitor(app)
    other.client.environ_base["REMOTE_ADDR"] = "192.0.2.7"
    other.store(("file", "a.png", PNG))


def test_the_addresses_of_one_network_count_together(tmp_path: Path) -> None:
    visitor = Visitor(make_app(tmp_path, UPLOADS_RATE_LIMIT="1/minute"))
    statuses = []
    for address in ("2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1"):
        visitor.client.environ_base["REMOTE_ADDR"] = address
        statuses.append(visitor.upload(("file", "a.png", PNG)).status_code)
    assert statuses == [201, 429, 201]


def test_what_is_no_limit_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="UPLOADS_RATE_LIMIT must be a limit such as '300 per minute'"):
        make_app(tmp_path, UPLOADS_RATE_LIMIT="often")


def test_without_flask_limiter_the_start_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "flask_limiter", None)
    with pytest.raises(SettingError, match=r"pip install 'dropzone_app\[limiter\]'"):
        make_app(tmp_path, UPLOADS_RATE_LIMIT="2 per hour")
    make_app(tmp_path)


class Held(CountingInput):
    """A body that comes when it is let."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.begun, self.goes_on = threading.Event(), threading.Event()

    def read(self, size: int | None = -1) -> bytes:
        self.begun.set()
        assert self.goes_on.wait(60)
        return super().read(size)


def test_one_owner_has_so_many_uploads_under_way_and_others_have_their_own(tmp_path: Path) -> None:
    app = make_app(tmp_path, UPLOADS_CONCURRENT=2)
    visitor, other = Visitor(app), Visitor(app)
    visitor.token()
    with visitor.client.session_transaction() as session:
        mine = dict(session)

    def send(body: CountingInput) -> int:
        same = Visitor(app)
        with same.client.session_transaction() as session:
            session.update(mine)
        with same.post(body) as answer:
            return answer.status_code

    held = [Held(encode(("file", "a.png", PNG))) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        under_way = [pool.submit(send, body) for body in held]
        try:
            assert all(body.begun.wait(60) for body in held)
            unread = CountingInput(encode(("file", "a.png", PNG)))
            with visitor.post(unread) as answer:
                assert unread.taken == 0
                assert_refused(
                    answer,
                    429,
                    "You have 2 uploads under way, and may have no more at once; send this one when one has ended.",
                )
            assert answer.headers["Retry-After"] == "1"
            other.store(("file", "a.png", PNG))
        finally:
            for body in held:
                body.goes_on.set()
        assert [sent.result() for sent in under_way] == [201, 201]
    # Refused ones end too, and leave their place.
    for _ in range(3):
        assert visitor.upload(("file", "a.exe", b"MZ")).status_code == 415
    visitor.store(("file", "a.png", PNG))
    assert app.extensions["uploads_under_way"]._counts == {}
