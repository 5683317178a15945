"""The server that `make run` starts, as a person at a terminal meets it."""

import json
from collections.abc import Callable

import pytest
from engines.wire import Visitor
from support import LiveServer, runs


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_the_server_and_its_workers(live_server: Callable[..., LiveServer], workers: int) -> None:
    server = live_server(workers=workers)
    pids = server.pids()
    assert len(pids) > workers
    server.press_ctrl_c()
    assert not any(map(runs, pids))


def test_it_says_where_the_page_is_and_where_the_data_lie(live_server: Callable[..., LiveServer]) -> None:
    server = live_server()
    assert f"{server.url}/" in server.log()
    assert str(server.folder / "uploads") in server.log()
    assert str(server.folder / "instance" / "app.sqlite") in server.log()


def test_it_prints_a_line_of_json_for_each_batch(live_server: Callable[..., LiveServer]) -> None:
    server = live_server()
    assert Visitor(server).upload([("a.txt", b"text")]).status == 201
    (line,) = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    assert (line["event"], line["codes"], line["names"]) == ("batch", {"stored": 1}, ["a.txt"])


def test_a_bad_setting_ends_it_with_a_sentence(live_server: Callable[..., LiveServer]) -> None:
    with pytest.raises(RuntimeError, match="UPLOADS_MAX_FILE_SIZE") as failure:
        live_server(env={"FLASK_UPLOADS_MAX_FILE_SIZE": "ten apples"})
    assert "Traceback" not in str(failure.value)
