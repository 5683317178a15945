"""S3: nothing half stays, whatever fails; also a store that really hangs or ends in the middle."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from contract_rollback import PARTS, Moment, RollbackContract, UndoContract, Visitor, files, hold
from core import make_app, site_of
from engines.rgw import RADOSGateway
from flask import Flask

from dropzone_app import UploadSet
from dropzone_app.storage import s3


class S3:
    """A place in the bucket, staged for in a folder."""

    def __init__(self, rgw: RADOSGateway, folder: Path) -> None:
        self.rgw = rgw
        self._folder = folder
        self._url = rgw.empty(timeout="1")

    def app(self, *sets: UploadSet) -> Flask:
        return make_app(
            self._folder, *sets, UPLOADS_STORAGE=self._url, UPLOADS_STAGING=str(self._folder / "staging")
        )

    def lying(self) -> dict[str, int]:
        staged = {
            path.name: path.stat().st_size for path in (self._folder / "staging").rglob("*") if path.is_file()
        }
        assert self.rgw.unfinished(self._url) == []
        return staged | self.rgw.lying(self._url)


@pytest.fixture
def backend(database: str, rgw: RADOSGateway, tmp_path: Path) -> S3:
    return S3(rgw, tmp_path)


class AtTheNextStart(UndoContract):
    """What a start remembers stands in the records, whatever the storage: of all moments the store's own are asked."""

    test_or_at_the_next_start = None

    @pytest.mark.parametrize("moment", [Moment("link", "after", 3), Moment("sync", "before")], ids=str)
    def test_what_the_store_kept_is_undone_at_the_next_start(
        self, backend: S3, visitor: Visitor, monkeypatch: pytest.MonkeyPatch, moment: Moment
    ) -> None:
        self.assert_undone_at_the_next_start(backend, visitor, monkeypatch, moment, "delete")


@pytest.mark.parametrize("database", ["PostgreSQL"], indirect=True)
class TestUndoOnPostgreSQL(AtTheNextStart):
    """What differs with the database is who remembers what is still to be undone: Cloudinary's tests ask for it all."""

    test_what_cannot_be_undone_is_seen_by_nobody_and_undone_with_the_next_upload = None


@pytest.mark.parametrize("database", ["SQLite"], indirect=True)
class TestContract(AtTheNextStart, RollbackContract):
    @pytest.mark.parametrize("how", ["hangs", "ends"])
    def test_a_store_that_fails_in_the_middle_has_nothing_of_it_when_it_is_back(
        self, backend: S3, visitor: Visitor, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        monkeypatch.setattr(s3, "SIGNATURE_LIFETIME", 10)
        app, rgw = backend.app(files()), backend.rgw
        stop, go_on = {
            "hangs": (rgw.stop_gateway, rgw.continue_gateway),
            "ends": (rgw.kill_gateway, rgw.start_gateway),
        }[how]
        with monkeypatch.context() as patch:
            hold(patch, app, Moment("link", "before", 3), once(stop))
            answer = visitor.send(app)
        try:
            assert answer.status_code == 503, answer.text
            assert visitor.files(app) == {}
        finally:
            go_on()
        # The same again, at once: nothing that is still to be undone stands in its way.
        assert visitor.send(app).status_code == 201
        stored = visitor.files(app)
        assert sorted(stored.values()) == sorted(len(content) for _, content in PARTS)
        deadline = time.monotonic() + 30
        while site_of(app)._unfinished:
            assert time.monotonic() < deadline, "what was to be undone is undone"
            time.sleep(0.2)
            assert visitor.send(app, ("more.txt", b"more"), uuid=f"{time.monotonic_ns()}").status_code == 201
        self.assert_only(backend, app, visitor, visitor.files(app))


def once(do: Callable[[], None]) -> Callable[[], None]:
    """It, where it is asked for the first time."""
    left = [do]
    return lambda: left.pop()() if left else None
