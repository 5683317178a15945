"""Every file of the corpus takes the real way in, and meets the verdict that is written beside it."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from core import file_part, form_body, make_app, post, rows, site_of
from corpus.cases import CASES, Case
from flask import Flask

from dropzone_app import ALL, UploadSet
from dropzone_app.content import libmagic
from dropzone_app.errors import MESSAGES, Rejected
from dropzone_app.kinds import PRESETS, kind_of
from dropzone_app.naming import extension_of


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the help of libmagic, which not everybody has: what it calls a file changes with its version."""
    monkeypatch.setattr(libmagic, "type_of", lambda head: None)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    app = make_app(tmp_path_factory.mktemp("corpus"), UploadSet("files", ALL), UPLOADS_DURABLE=False)
    yield app
    site_of(app).records.close()


def send(app: Flask, *cases: Case) -> Any:
    return post(app, form_body(*(file_part(f"file[{n}]", c.filename, c.data) for n, c in enumerate(cases))))


def words_of(code: str) -> str:
    """The sentence of this row as a pattern."""
    return re.sub(r"\\{\w+\\}", ".+", re.escape(MESSAGES[code].text))


@pytest.mark.parametrize("case", CASES, ids=[f"{case.filename} {case.what}" for case in CASES])
def test_a_file_of_the_corpus_meets_its_verdict(app: Flask, case: Case) -> None:
    answer = send(app, case)
    if case.verdict is None:
        assert answer.status_code == 201, answer.text
        assert answer.json["files"][0]["size"] == len(case.data)
        return
    assert answer.status_code == MESSAGES[case.verdict].status, answer.text
    assert re.fullmatch(words_of(case.verdict), answer.text, re.IGNORECASE), answer.text
    assert case.found is None or case.found in answer.text
    assert len(answer.text) < 300


def test_the_corpus_is_large_and_knows_every_kind() -> None:
    assert len(CASES) >= 500
    assert [name for name, count in Counter((c.filename, c.what) for c in CASES).items() if count > 1] == []
    stored = {case.filename.rpartition(".")[2] for case in CASES if case.verdict is None}
    declared = {extension for preset, kinds in PRESETS.items() if preset != "OTHERS" for extension in kinds}
    assert declared - {"htm"} <= stored
    assert {case.verdict for case in CASES} >= {None, "other_kind", "not_the_kind", "cut_off", "bad_syntax"}


@pytest.fixture(scope="module")
def decoding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    folder = tmp_path_factory.mktemp("decoded")
    app = make_app(folder, UploadSet("files", ALL, decode=True), UPLOADS_DURABLE=False)
    yield app
    site_of(app).records.close()


PICTURES = [case for case in CASES if case.verdict is None and kind_of(extension_of(case.filename)).decoder]


@pytest.mark.parametrize("case", PICTURES, ids=[f"{case.filename} {case.what}" for case in PICTURES])
def test_a_picture_is_decoded_where_the_set_asks_for_it(decoding: Flask, case: Case) -> None:
    answer = send(decoding, case)
    if case.decoded is None:
        assert answer.status_code == 201, answer.text
    else:
        assert answer.text == Rejected.because(case.decoded).sentence


def test_a_batch_of_the_whole_corpus_keeps_exactly_the_good(tmp_path: Path) -> None:
    """In requests of many parts, so that one bad part has the chance to spoil its neighbours."""
    app = make_app(tmp_path, UploadSet("files", ALL), UPLOADS_DURABLE=False)
    stored = 0
    for start in range(0, len(CASES), 90):
        cases = CASES[start : start + 90]
        answer = send(app, *cases)
        lines = answer.text.splitlines() if answer.status_code != 201 else []
        refused = {int(line[5 : line.index("]")]) for line in lines if line.startswith("file[")}
        assert refused == {n for n, case in enumerate(cases) if case.verdict}
        stored += len(cases) - len(refused)
    assert [state for _, state in rows(site_of(app))] == ["stored"] * stored
