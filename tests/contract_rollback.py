"""What holds of every storage with every database: whatever fails between the first byte and the answer, no file stays
without its record and no record without its file.

A test module makes a storage's own rows by subclassing: it defines the fixture ``backend``.
"""

import contextlib
import errno
import os
import signal
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

import pytest
from core import field_part, file_part, form_body, post, rows, site_of
from flask import Flask
from sqlalchemy.exc import OperationalError

from dropzone_app import UploadSet
from dropzone_app.storage import StagedFile
from dropzone_app.views import upload

#: What is sent, and how it is stored.
PARTS = (("a.txt", b"hello"), ("b.txt", b"world"), ("a.txt", b"hello"))
ALL = {"a.txt": 5, "b.txt": 5, "a_1.txt": 5}


class Backend(Protocol):
    """A storage with a database, both empty."""

    def app(self, *sets: UploadSet) -> Flask:
        """An app on them, as a process of its own would have it."""

    def lying(self) -> dict[str, int]:
        """All that lies in the storage, asked past the app: size by key. What is only staged is there too."""


class Moment(NamedTuple):
    """A call of a step of an upload, before it does anything or when all is done but its answer."""

    step: str
    when: str
    call: int = 1

    def __str__(self) -> str:
        return f"{self.when} {self.step} {self.call}"


_EACH = [(when, call) for when in ("before", "after") for call in (1, 3)]
RECEIVING = [
    *(Moment("stage", *each) for each in _EACH),
    *(Moment("write", *each) for each in _EACH),
    *(Moment("check", "before", call) for call in (1, 3)),
]
COMMITTING = [
    *(Moment("reserve", when) for when in ("before", "after")),
    *(Moment("link", *each) for each in _EACH),
    *(Moment("sync", when) for when in ("before", "after")),
    Moment("store", "before"),
]
STORED = [Moment("store", "after"), Moment("answer", "before")]

FAILURES: dict[str, Callable[[], BaseException]] = {
    "disk": lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "network": lambda: TimeoutError("timed out"),
    "database": lambda: OperationalError("COMMIT", None, Exception("server closed the connection")),
    "fault": lambda: RuntimeError("a fault of ours"),
    "stop": KeyboardInterrupt,
}
FAIL_AT = {
    **dict.fromkeys(("stage", "write", "link", "sync"), ("disk", "network", "fault", "stop")),
    **dict.fromkeys(("reserve", "store"), ("database", "fault", "stop")),
    **dict.fromkeys(("check", "answer"), ("fault", "stop")),
}


def _failing(moments: list[Moment]) -> list[Any]:
    return [
        pytest.param(moment, failure, id=f"{moment}: {failure}")
        for moment in moments
        for failure in FAIL_AT[moment.step]
    ]


HOST = SimpleNamespace(check=lambda part: None)
"""A check of the host's."""


def files() -> UploadSet:
    """The only set of these apps."""
    return UploadSet("files", ["txt"], folder="", checks=[lambda part: HOST.check(part)])


def hold(patch: pytest.MonkeyPatch, app: Flask, moment: Moment, do: Callable[[], None]) -> None:
    """Let something else happen at this moment of an upload, and at the same moment from then on."""
    site = site_of(app)
    places: dict[str, tuple[Any, str]] = {
        "stage": (site.storage, "stage"),
        "write": (StagedFile, "write"),
        "check": (HOST, "check"),
        "reserve": (site.records, "reserve"),
        "link": (site.storage, "commit"),
        "sync": (site.storage, "sync"),
        "store": (site.records, "store"),
        "answer": (upload, "answer"),
        "withdraw": (site.records, "withdraw"),
        "delete": (site.storage, "delete"),
    }
    owner, name = places[moment.step]
    real, calls = getattr(owner, name), [0]

    def step(*args: Any, **more: Any) -> Any:
        calls[0] += 1
        if moment.when == "before" and calls[0] >= moment.call:
            do()
        done = real(*args, **more)
        if moment.when == "after" and calls[0] >= moment.call:
            do()
        return done

    patch.setattr(owner, name, step)


def fail(patch: pytest.MonkeyPatch, app: Flask, moment: Moment, failure: str) -> None:
    def do() -> None:
        raise FAILURES[failure]()

    hold(patch, app, moment, do)


class Visitor:
    """Somebody who sends files, and the same again: to whichever process there is."""

    def __init__(self) -> None:
        self._session: str | None = None

    def send(self, app: Flask, *parts: tuple[str, bytes], uuid: str = "u") -> Any:
        """The answer; None where the process was stopped instead."""
        client = self._client(app)
        body = form_body(
            *(
                part
                for index, (name, content) in enumerate(parts or PARTS)
                for part in (
                    field_part(f"uuid[{index}]", f"{uuid}{index}"),
                    file_part(f"file[{index}]", name, content),
                )
            )
        )
        with contextlib.suppress(KeyboardInterrupt):
            return post(app, body, client=client)
        return None

    def files(self, app: Flask) -> dict[str, int]:
        """What is stored, as this visitor is told: size by key."""
        answer = self._client(app).get("/files", headers={"Accept": "application/json"})
        assert answer.status_code == 200, answer.text
        return {file["key"]: file["size"] for file in answer.get_json()["files"]}

    def delete(self, app: Flask) -> int:
        """Delete the newest file; the status of the answer."""
        client = self._client(app)
        newest = client.get("/files", headers={"Accept": "application/json"}).get_json()["files"][0]
        status: int = client.delete(f"/files/{newest['id']}").status_code
        return status

    def _client(self, app: Flask) -> Any:
        client = app.test_client()
        if self._session is None:
            # The page gives a visitor a session, and all uploads of it one owner.
            client.get("/csrf-token")
            client.get("/files")
            cookie = client.get_cookie("session")
            assert cookie
            self._session = cookie.value
        client.set_cookie("session", self._session)
        return client


def in_another_process(do: Callable[[], None]) -> int:
    """Run it in a process that ends without tidying up; its exit code, negative for a signal."""
    with warnings.catch_warnings():
        # From Python 3.12 on: other threads of this one are none of the child's business.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            do()
        finally:
            os._exit(3)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class UndoContract:
    """Rows for one kind of storage, where it or the database is away when something is to be undone."""

    @pytest.fixture
    def visitor(self) -> Visitor:
        return Visitor()

    @staticmethod
    def assert_only(backend: Backend, app: Flask, visitor: Visitor, files: dict[str, int]) -> None:
        """Exactly these files are stored: so say the app, the table and the storage."""
        assert visitor.files(app) == files
        assert rows(site_of(app)) == [(key, "stored") for key in sorted(files)]
        assert backend.lying() == files
        assert site_of(app)._unfinished == {}

    def assert_goes_in(self, backend: Backend, app: Flask, visitor: Visitor) -> None:
        """The same upload goes in now, each file once."""
        answer = visitor.send(app)
        assert answer.status_code == 201, answer.text
        stored = visitor.files(app)
        assert sorted(stored.values()) == [5, 5, 5]
        self.assert_only(backend, app, visitor, stored)

    def assert_undone_at_the_next_start(
        self, backend: Backend, visitor: Visitor, patch: pytest.MonkeyPatch, moment: Moment, down: str
    ) -> None:
        """A process ends that could not undo what failed at this moment, and the next one has nothing of it."""
        visitor.files(backend.app(files()))

        def fail_and_end() -> None:
            app = backend.app(files())
            fail(patch, app, moment, FAIL_AT[moment.step][0])
            fail(patch, app, Moment(down, "before"), "database" if down == "withdraw" else "network")
            os._exit(0 if visitor.send(app).status_code in {503, 507} else 1)

        assert in_another_process(fail_and_end) == 0
        app = backend.app(files())
        self.assert_only(backend, app, visitor, {})
        self.assert_goes_in(backend, app, visitor)

    @pytest.mark.parametrize("down", ["withdraw", "delete"])
    @pytest.mark.parametrize("moment", COMMITTING, ids=str)
    def test_what_cannot_be_undone_is_seen_by_nobody_and_undone_with_the_next_upload(
        self, backend: Backend, visitor: Visitor, monkeypatch: pytest.MonkeyPatch, moment: Moment, down: str
    ) -> None:
        app = backend.app(files())
        with monkeypatch.context() as patch:
            fail(patch, app, moment, FAIL_AT[moment.step][0])
            fail(patch, app, Moment(down, "before"), "database" if down == "withdraw" else "network")
            answer = visitor.send(app)
        assert answer.status_code in {503, 507}, answer.text
        assert visitor.files(app) == {}
        assert visitor.send(app, ("c.txt", b"next"), uuid="other").status_code == 201
        self.assert_only(backend, app, visitor, {"c.txt": 4})
        assert visitor.send(app).status_code == 201
        assert sorted(visitor.files(app).values()) == [4, 5, 5, 5]

    @pytest.mark.parametrize("down", ["withdraw", "delete"])
    @pytest.mark.parametrize("moment", COMMITTING, ids=str)
    def test_or_at_the_next_start(
        self, backend: Backend, visitor: Visitor, monkeypatch: pytest.MonkeyPatch, moment: Moment, down: str
    ) -> None:
        self.assert_undone_at_the_next_start(backend, visitor, monkeypatch, moment, down)

    def test_a_deleted_file_whose_bytes_cannot_be_removed_is_gone_and_removed_later(
        self, backend: Backend, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = backend.app(files())
        assert visitor.send(app, ("a.txt", b"hello")).status_code == 201
        with monkeypatch.context() as patch:
            fail(patch, app, Moment("delete", "before"), "network")
            assert visitor.delete(app) == 204
        assert visitor.files(app) == {}
        assert visitor.send(app, ("a.txt", b"a new one")).status_code == 201
        self.assert_only(backend, app, visitor, {"a_1.txt": 9})


class RollbackContract(UndoContract):
    """All rows for one kind of storage."""

    @pytest.mark.parametrize(("moment", "failure"), _failing(RECEIVING + COMMITTING))
    def test_nothing_stays_of_what_failed(
        self,
        backend: Backend,
        visitor: Visitor,
        monkeypatch: pytest.MonkeyPatch,
        moment: Moment,
        failure: str,
    ) -> None:
        app = backend.app(files())
        with monkeypatch.context() as patch:
            fail(patch, app, moment, failure)
            answer = visitor.send(app)
        assert answer is None or answer.status_code in {500, 503, 507}, answer.text
        self.assert_only(backend, app, visitor, {})
        self.assert_goes_in(backend, app, visitor)

    @pytest.mark.parametrize(("moment", "failure"), _failing(STORED))
    def test_what_is_stored_is_whole_although_its_answer_was_lost(
        self,
        backend: Backend,
        visitor: Visitor,
        monkeypatch: pytest.MonkeyPatch,
        moment: Moment,
        failure: str,
    ) -> None:
        app = backend.app(files())
        with monkeypatch.context() as patch:
            fail(patch, app, moment, failure)
            answer = visitor.send(app)
        assert answer is None or answer.status_code >= 500
        self.assert_only(backend, app, visitor, ALL)
        self.assert_goes_in(backend, app, visitor)

    @pytest.mark.parametrize("moment", RECEIVING + COMMITTING, ids=str)
    def test_a_process_killed_before_the_last_commit_leaves_nothing_to_the_next(
        self, backend: Backend, visitor: Visitor, monkeypatch: pytest.MonkeyPatch, moment: Moment
    ) -> None:
        visitor.files(backend.app(files()))
        assert in_another_process(self.killed_at(backend, visitor, monkeypatch, moment)) == -signal.SIGKILL
        app = backend.app(files())
        self.assert_only(backend, app, visitor, {})
        self.assert_goes_in(backend, app, visitor)

    @pytest.mark.parametrize("moment", STORED, ids=str)
    def test_a_process_killed_after_it_leaves_all(
        self, backend: Backend, visitor: Visitor, monkeypatch: pytest.MonkeyPatch, moment: Moment
    ) -> None:
        visitor.files(backend.app(files()))
        assert in_another_process(self.killed_at(backend, visitor, monkeypatch, moment)) == -signal.SIGKILL
        app = backend.app(files())
        self.assert_only(backend, app, visitor, ALL)

    @staticmethod
    def killed_at(
        backend: Backend, visitor: Visitor, patch: pytest.MonkeyPatch, moment: Moment
    ) -> Callable[[], None]:
        def send_and_die() -> None:
            app = backend.app(files())
            hold(patch, app, moment, lambda: os.kill(os.getpid(), signal.SIGKILL))
            visitor.send(app)

        return send_and_die
