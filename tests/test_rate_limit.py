"""What one address may send in a while: told before a body is read, with the time to wait."""

import sys
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
