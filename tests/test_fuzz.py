"""Whatever bytes, fields and headers come: a sentence or the file that was sent, and nothing stays of the rest.

A few seconds of `make test`; `make fuzz` asks until something breaks.
"""

import hashlib
import json
import secrets
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from core import (
    Dribble,
    assert_records_and_files_agree,
    field_part,
    file_part,
    form_body,
    held,
    make_app,
    post,
    site_of,
)
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from test_tus import ask
from webclient import BOUNDARY, PNG, Visitor, assert_refused, encode
from werkzeug.test import TestResponse

MADE_UP = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

SENT = form_body(
    field_part("uuid[0]", "first"),
    field_part("path[0]", "holiday/day 1"),
    file_part("file[0]", "a.txt", b"some text\r\n" * 40, "Content-Type: text/plain"),
    field_part("size[1]", str(len(PNG))),
    file_part("file[1]", "Größe.png", PNG),
    file_part("file[2]", "c.bin", b"\r\n--frontie\r\n--\r\n"),
)


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """One who has a session, of an app that all examples share; in the end each of its files has its record."""
    folder = tmp_path_factory.mktemp("fuzzed")
    app = make_app(folder, UPLOADS_TYPES="txt,png,bin", UPLOADS_DURABLE=False, UPLOADS_CHUNK_SIZE=16)
    visitor = Visitor(app)
    visitor.get("/csrf-token")
    yield visitor
    site = site_of(app)
    for upload in site.records.unfinished.idle(1 << 62):
        assert visitor.delete(f"/uploads/{upload.uuid}").status_code in {204, 404}
    assert_records_and_files_agree(folder, site)
    site.records.close()


def assert_answered(visitor: Visitor, answer: TestResponse, *, known: tuple[bytes, ...] = ()) -> None:
    """A sentence, or files that hold what they say; `known` bytes where those are the only ones that came."""
    event(
        f"{answer.status_code} {answer.headers.get('Upload-Error') or answer.headers.get('Upload-Codes', '')}"
    )
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        if answer.headers.get("Upload-Verdicts"):
            assert answer.mimetype == "text/plain"
            assert answer.text.splitlines()[-1].endswith(("stored.", "was stored."))
        elif answer.text:
            assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
            assert len(answer.text.splitlines()) == 1
    elif answer.status_code == 201 and answer.is_json:
        for file in answer.get_json()["files"]:
            stored = visitor.get(file["url"]).data
            assert (len(stored), hashlib.sha256(stored).hexdigest()) == (file["size"], file["sha256"])
            assert not known or stored in known
    assert held(Path(site_of(visitor.app).settings.storage.removeprefix("file:"))) == []


# ---- bodies


PIECES = [
    *(
        b"\r\n",
        b"\r",
        b"\n",
        b"--",
        b"--frontier",
        b"\r\n--frontier\r\n",
        b"\r\n--frontier--",
        b"\0",
        b";",
        b'"',
    ),
    *(
        b"\\",
        b"=",
        b":",
        b"name=",
        b'filename="',
        b"filename*=UTF-8''%00",
        b"Content-Disposition: form-data; ",
    ),
    *(b"Content-Transfer-Encoding: base64\r\n", b"Content-Type: multipart/mixed; boundary=frontier\r\n"),
    *(b"\xff\xfe", "é".encode(), b"A" * 9000, b"\r\n\r\n", b" ", b"\t"),
]
AT = st.integers(0, len(SENT))
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("put"), AT, st.one_of(st.sampled_from(PIECES), st.binary(max_size=20))),
        st.tuples(st.just("cut"), AT, st.integers(1, 200)),
        st.tuples(st.just("set"), AT, st.binary(min_size=1, max_size=4)),
        st.tuples(st.just("again"), AT, st.integers(1, 400)),
    ),
    min_size=1,
    max_size=5,
)


def changed(body: bytes, changes: list[tuple[str, int, Any]]) -> bytes:
    for how, at, what in changes:
        match how:
            case "put":
                body = body[:at] + what + body[at:]
            case "cut":
                body = body[:at] + body[at + what :]
            case "set":
                body = body[:at] + what + body[at + len(what) :]
            case "again":
                body = body[: at + what] + body[at:]
    return body


@settings(MADE_UP)
@given(CHANGES, st.lists(st.integers(1, 60), max_size=200))
@example([("cut", 0, 2)], [1] * 200)
def test_a_form_that_was_damaged_on_its_way_is_refused_or_some_of_what_it_says(
    visitor: Visitor, changes: list[tuple[str, int, Any]], reads: list[int]
) -> None:
    body = changed(SENT.replace(b"first", secrets.token_hex(8).encode()), changes)
    answer = post(visitor.app, body, Dribble(body, reads), client=visitor.client)
    assert_answered(visitor, answer)
    for file in answer.get_json()["files"] if answer.status_code == 201 else []:
        assert visitor.get(file["url"]).data in body
        assert visitor.delete(f"/files/{file['id']}").status_code == 204


PARAMETERS = st.lists(
    st.one_of(
        st.sampled_from(PIECES),
        st.sampled_from([b'; name="file[0]"', b'; filename="a.txt"', b"; name=file", b"; filename=", b"form-data"]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=9).map(str.encode),
        st.binary(max_size=9),
    ),
    max_size=9,
).map(b"".join)  # fmt: skip


@settings(MADE_UP)
@given(st.lists(PARAMETERS, min_size=1, max_size=3))
def test_whatever_the_headers_of_a_part_say_the_answer_is_a_sentence_or_its_file(
    visitor: Visitor, headers: list[bytes]
) -> None:
    content = b"what the part holds"
    body = form_body(
        *(b"Content-Disposition: form-data" + header + b"\r\n\r\n" + content for header in headers)
    )
    answer = post(visitor.app, body, client=visitor.client)
    assert_answered(visitor, answer)


BOUNDARIES = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=90),
    st.sampled_from(['"', '"a b"', "a;b", "=", "x" * 4000, "--", "\t", "*=UTF-8''a", "é"]),
)


@settings(MADE_UP)
@given(BOUNDARIES)
def test_whatever_the_boundary_is_called_the_answer_is_a_sentence_or_the_file(
    visitor: Visitor, boundary: str
) -> None:
    body = form_body(file_part("file", "a.txt", b"text"), boundary="x").replace(
        b"--x", b"--" + boundary.encode("latin-1")
    )
    answer = post(
        visitor.app, body, client=visitor.client, content_type=f"multipart/form-data; boundary={boundary}"
    )
    assert_answered(visitor, answer, known=(b"text",))


# ---- fields and headers


NUMBERS = st.one_of(
    st.integers(-2, 70).map(str),
    st.sampled_from(["", " 1", "1 ", "+1", "-0", "1.0", "1e3", "0x10", "٣", "²", "１", "1_0", "9" * 400, "NaN", "\0"]),
    st.sampled_from([str(number) for number in (2**31, 2**53, 2**63 - 1, 2**63, 10**18)]),
)  # fmt: skip
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.sampled_from(["u", "../..", "/etc/passwd", "a/../b", "%2e%2e", "x" * 300, "'; DROP TABLE files; --", "\0"]),
    st.text("0123456789abcdef", min_size=64, max_size=64),
)  # fmt: skip


def lies_of(**kinds: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, str]]:
    """One or two of these, so that many get past the first look."""
    one = st.one_of([st.tuples(st.just(name), values) for name, values in kinds.items()])
    return st.lists(one, max_size=2).map(dict)


CHUNK = lies_of(
    **dict.fromkeys(
        ("dzchunkindex", "dztotalfilesize", "dzchunksize", "dztotalchunkcount", "dzchunkbyteoffset"), NUMBERS
    ),
    **dict.fromkeys(("dzuuid", "dzchunksha256", "sha256", "path", "uuid", "size"), TEXTS),
)


@settings(MADE_UP)
@given(CHUNK, TEXTS, st.integers(0, 2), st.booleans())
@example({"dzchunkindex": "1"}, "a.txt", 1, True)
def test_whatever_the_fields_of_a_chunk_say_no_file_is_mixed_of_others(
    visitor: Visitor, lies: dict[str, str], filename: str, index: int, fits: bool
) -> None:
    data = b"sixteen bytes, tw" + b"o, and a few more."
    piece = data[index * 16 : (index + 1) * 16]
    told = {
        "dzuuid": "u",
        "dzchunkindex": str(index),
        "dztotalfilesize": str(len(data)),
        "dzchunksize": "16",
        "dztotalchunkcount": "3",
        "dzchunkbyteoffset": str(index * 16),
    }
    body = form_body(
        *(field_part(name, value) for name, value in (told | lies).items()),
        file_part("file", "a.txt" if fits else filename.replace("\r", " ").replace("\n", " "), piece),
    )
    answer = post(visitor.app, body, client=visitor.client)
    assert_answered(visitor, answer, known=(data, *(data[n * 16 : (n + 1) * 16] for n in range(3))))
    for file in answer.get_json()["files"] if answer.status_code == 201 else []:
        assert visitor.delete(f"/files/{file['id']}").status_code == 204


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)
ANNOUNCED = st.fixed_dictionaries(
    {"uuid": TEXTS | st.just("u"), "filename": TEXTS.map("{}.txt".format), "size": st.integers(0, 99)},
    optional={"type": VALUES, "path": TEXTS | VALUES, "sha256": TEXTS | VALUES},
) | st.dictionaries(
    st.sampled_from(["uuid", "filename", "size", "type", "path", "sha256"]), st.one_of(VALUES, NUMBERS)
)


@settings(MADE_UP)
@given(
    st.one_of(
        VALUES, st.fixed_dictionaries({"files": VALUES | st.lists(ANNOUNCED, min_size=1, max_size=3)})
    ).map(lambda question: json.dumps(question).encode())
    | st.binary(max_size=60)
)
@example(b'{"files": [{"uuid": "u", "filename": "\\ud800.txt", "size": 1}]}')
@example(b"[" * 100_000)
def test_whatever_a_list_of_files_says_the_answer_is_a_sentence_or_their_states(
    visitor: Visitor, question: bytes
) -> None:
    answer = visitor.post(question, "/upload/check", content_type="application/json")
    assert_answered(visitor, answer)
    if answer.status_code == 200:
        assert {state["state"] for state in answer.get_json()["uploads"].values()} <= {
            *("new", "refused", "receiving", "stored")
        }


PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40)
METADATA = st.lists(
    st.one_of(
        st.builds(
            lambda name, value: f"{name} {b64encode(value.encode()).decode()}",
            st.sampled_from(["filename", "name", "path", "relativePath", "set", "sha256", "filename"]),
            TEXTS,
        ),
        PLAIN,
        st.sampled_from(["filename YS50eHQ=", "filename", "filename ", "filename !", "set ZmlsZXM=", ","]),
    ),
    max_size=4,
).map(",".join)
TUS = lies_of(
    upload_length=NUMBERS | PLAIN,
    upload_offset=NUMBERS | PLAIN,
    upload_metadata=METADATA,
    upload_checksum=st.sampled_from(["sha1 x", "sha256 ", "md5 AAAA", "sha1 " + "A" * 28]) | PLAIN,
    upload_concat=PLAIN,
    x_http_method_override=st.sampled_from(["PATCH", "DELETE", "HEAD", "put", "é"]) | PLAIN,
)


@settings(MADE_UP)
@given(TUS, st.sampled_from(["POST", "PATCH", "HEAD", "DELETE"]), st.binary(max_size=40))
def test_whatever_the_headers_of_tus_say_the_answer_is_a_sentence_or_the_protocols(
    visitor: Visitor, lies: dict[str, str], method: str, content: bytes
) -> None:
    usual = {"upload_length": "40", "upload_metadata": "filename YS50eHQ="}
    path = ask(visitor, "POST", **usual).headers["Location"]
    # What cannot stand in a header never gets past a server.
    told = (usual if method == "POST" else {"upload_offset": "0"}) | {
        name: value for name, value in lies.items() if value.isprintable() and max(value, default="") < "Ā"
    }
    answer = ask(visitor, method, "/tus/" if method == "POST" else path, content, **told)
    assert_answered(visitor, answer)
    made = {path, answer.headers.get("Location", path)}
    for left in made:
        assert ask(visitor, "DELETE", left).status_code in {204, 403, 404, 410}


UPLOAD = st.dictionaries(
    st.sampled_from(
        [
            *(
                "X-CSRFToken",
                "Origin",
                "Cookie",
                "Content-Encoding",
                "Accept-Language",
                "Content-Type",
                "Accept",
            ),
            *("X-Requested-With", "Authorization", "If-None-Match", "X-Request-ID"),
        ]
    ),
    PLAIN,
    max_size=4,
)


@settings(MADE_UP)
@given(UPLOAD)
@example({"Origin": "<"})
def test_whatever_the_headers_of_an_upload_say_it_is_stored_whole_or_refused_in_a_sentence(
    visitor: Visitor, headers: dict[str, str]
) -> None:
    usual = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    answer = visitor.post(encode(("file", "a.png", PNG)), headers=usual | headers, content_type=None)
    if answer.status_code == 201:
        (file,) = answer.get_json()["files"]
        assert file["size"] == len(PNG)
    elif answer.status_code != 303:
        assert_refused(answer, answer.status_code)
        assert answer.status_code < 500
    assert b"\r" not in answer.headers.get("X-Request-ID", "").encode()
