"""Processes that start together on an empty folder: each makes what is missing, and none stands in another's way."""

import contextlib
import sqlite3
import threading
from pathlib import Path

from engines.fleet import SERVERS, wait_until
from engines.wire import Visitor
from support import LiveServer

from dropzone_app.records import Records


def test_a_new_database_that_another_process_is_just_setting_up_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    with contextlib.closing(other):
        other.execute("BEGIN IMMEDIATE")
        done = threading.Timer(0.3, other.execute, ["COMMIT"])
        done.start()
        with contextlib.closing(Records(f"sqlite:///{path}")) as records:
            records.check()
        done.join()


def test_eight_workers_start_together_on_an_empty_folder(tmp_path: Path) -> None:
    command = [*SERVERS["gunicorn"], "--workers", "8"]
    with LiveServer(tmp_path, command=command, env={"FLASK_UPLOADS_TYPES": "txt"}) as server:
        wait_until(lambda: len(server.pids()) == 9, "a parent with eight workers")
        assert Visitor(server).upload([("first.txt", b"first")]).status == 201
        assert len(server.pids()) == 9
        log = server.log()
    assert "exited" not in log
    assert log.count("Booting worker") == 8
