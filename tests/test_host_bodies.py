"""Code of the host's own that reads a request before us: the files arrive all the same, or a sentence says why not."""

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask, request
from support import LiveServer
from webclient import (
    BOUNDARY,
    CONTENT_TYPE,
    EXE,
    PNG,
    Visitor,
    assert_refused,
    encode,
    hosting,
    stored_names,
)

from dropzone_app import Uploads, UploadSet


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    with hosting(tmp_path) as make:
        yield make


#: What apps do for a log, a signature or an audit before any view runs.
READS = {
    "data": lambda: request.get_data(),
    "text": lambda: request.get_data(as_text=True),
    "form": lambda: request.form.get("x"),
    "files": lambda: [file.read() for file in request.files.values()],
    "values": lambda: request.values.get("x"),
    "data, then form": lambda: (request.get_data(), request.form.get("x")),
    "form, then data": lambda: request.get_data(parse_form_data=True),
    "json": lambda: request.get_json(silent=True),
    "stream untouched": lambda: request.stream,
}


def reading(make: Callable[..., Flask], read: Callable[[], object]) -> tuple[Flask, UploadSet]:
    app, photos = make(), UploadSet("photos", ["png"], max_parts=3)
    app.before_request(lambda: (read(), None)[1])
    Uploads(app, photos)
    app.extensions["csrf"].exempt(
        app.route("/own", methods=["POST"], endpoint="own")(lambda: photos.receive(request).response())
    )
    return app, photos


@pytest.mark.parametrize("path", ["/upload", "/own"])
@pytest.mark.parametrize("reads", READS)
def test_files_arrive_where_the_host_has_read_the_request(
    make: Callable[..., Flask], tmp_path: Path, reads: str, path: str
) -> None:
    app, _ = reading(make, READS[reads])
    answer = Visitor(app).upload(("file[0]", "a.png", PNG), ("file[1]", "b.exe", EXE), path=path)
    assert_refused(answer, 415)
    assert answer.text.endswith("\nThe other file was stored.")
    assert stored_names(tmp_path) == ["photos/a.png"]
    assert (tmp_path / "uploads/photos/a.png").read_bytes() == PNG


@pytest.mark.parametrize("blocks", [1, 2])
def test_every_byte_arrives_where_the_host_has_read_the_form(
    make: Callable[..., Flask], tmp_path: Path, blocks: int
) -> None:
    app, _ = reading(make, READS["form"])
    fill = (65_536 * blocks + 3 - len(encode(("file", "a.png", PNG)))) % 65_536
    body = encode(("file", "a.png", PNG + b"p" * fill))
    assert len(body) % 65_536 == 3, "where Werkzeug adds one"
    visitor = Visitor(app)
    assert visitor.post(body, headers={"X-CSRFToken": visitor.token()}).status_code == 201
    assert (tmp_path / "uploads/photos/a.png").read_bytes() == PNG + b"p" * fill


def test_what_the_host_has_read_is_held_to_the_same_rules(make: Callable[..., Flask], tmp_path: Path) -> None:
    app, _ = reading(make, READS["files"])
    visitor = Visitor(app)
    assert_refused(visitor.upload(*((f"file[{n}]", "a.png", PNG) for n in range(4))), 413)
    known = 'The file field "photo" is not known here; name it "file" or "file[0]".'
    assert_refused(visitor.upload(("photo", "a.png", PNG)), 400, known)
    assert_refused(
        visitor.upload(("file", "", b"")),
        400,
        "No file arrived, or the upload was cut off; send the files again.",
    )
    unknown = 'There is no upload set called "nothing".'
    assert_refused(visitor.upload(("file", "a.png", PNG), path="/upload/nothing"), 404, unknown)
    assert stored_names(tmp_path) == []


def test_a_chunk_counts_where_the_host_has_read_the_form(make: Callable[..., Flask], tmp_path: Path) -> None:
    app, _ = reading(make, READS["form"])
    visitor, data = Visitor(app), PNG.ljust(600)
    statuses = []
    for index, start in enumerate((0, 400)):
        fields = {"dzuuid": "u", "dzchunkindex": index, "dztotalfilesize": len(data), "dzchunksize": 400}
        fields |= {"dztotalchunkcount": 2, "dzchunkbyteoffset": start}
        items = [*((key, str(value)) for key, value in fields.items())]
        statuses.append(visitor.upload(*items, ("file", "a.png", data[start : start + 400])).status_code)
    assert statuses == [202, 201]
    assert (tmp_path / "uploads/photos/a.png").read_bytes() == data


@pytest.mark.parametrize("path", ["/upload", "/own"])
def test_a_limit_that_the_host_sets_for_one_request_is_the_one_that_is_told(
    make: Callable[..., Flask], path: str
) -> None:
    def limit() -> None:
        request.max_content_length = 1000

    app, _ = reading(make, limit)
    answer = Visitor(app).upload(("file", "a.png", PNG + bytes(1000)), path=path)
    assert_refused(answer, 413)
    assert "the limit for one request is 1 KB" in answer.text


@pytest.mark.parametrize("path", ["/upload", "/own"])
def test_a_token_in_the_form_is_found_where_the_host_has_read_it(
    make: Callable[..., Flask], path: str
) -> None:
    app, _ = reading(make, READS["data"])
    visitor = Visitor(app)
    body = encode(("csrf_token", visitor.token()), ("file", "a.png", PNG))
    assert visitor.post(body, path, {"Accept": "text/html"}).status_code == 303
    assert_refused(visitor.post(encode(("file", "a.png", PNG)), path), 400)


@pytest.mark.parametrize("path", ["/upload", "/own"])
@pytest.mark.parametrize(
    "read",
    [lambda: request.stream.read(), lambda: request.get_data(cache=False), lambda: request.stream.read(9)],
)
def test_what_the_host_has_read_and_not_kept_is_told_as_that(
    make: Callable[..., Flask], tmp_path: Path, read: Callable[[], bytes], path: str
) -> None:
    app, _ = reading(make, read)
    answer = Visitor(app).upload(("file", "a.png", PNG), path=path)
    assert_refused(answer, 500)
    assert "Other code of this app has read the upload" in answer.text
    assert stored_names(tmp_path) == []


@pytest.mark.parametrize("path", ["/upload", "/own"])
def test_a_body_cut_off_is_no_less_refused_where_the_host_has_read_it(
    make: Callable[..., Flask], tmp_path: Path, path: str
) -> None:
    app, _ = reading(make, lambda: request.get_data(cache=True))
    body = encode(("file", "a.png", PNG))[: -len(BOUNDARY) - 20]
    visitor = Visitor(app)
    assert_refused(visitor.post(body, path, {"X-CSRFToken": visitor.token()}), 400)
    assert stored_names(tmp_path) == []


HOST = """
import sys
from flask import Flask, request
from dropzone_app import Uploads, UploadSet

app = Flask(__name__)
app.config.update(SECRET_KEY="s", UPLOADS_DURABLE=False, WTF_CSRF_ENABLED=False)
photos = UploadSet("photos")

@app.before_request
def audit():
    request.get_data() if "data" in request.args else request.stream.read()

Uploads(app, photos)

@app.post("/own")
def own():
    return photos.receive(request).response()

app.run(port=int(sys.argv[1]), threaded=True)
"""


@pytest.mark.parametrize(("query", "status"), [("data", b"201"), ("stream", b"500")])
@pytest.mark.parametrize("path", ["/upload", "/own"])
def test_on_a_connection_that_stays_open_nobody_waits_for_what_was_read(
    live_server: Callable[..., LiveServer], tmp_path: Path, path: str, query: str, status: bytes
) -> None:
    program = tmp_path / "host.py"
    program.write_text(HOST)
    server = live_server(command=[sys.executable, str(program), "{port}"])
    body = encode(("file", "a.txt", b"words"))
    head = (
        f"POST {path}?{query} HTTP/1.1\r\nHost: {urlsplit(server.url).netloc}\r\n"
        f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head.encode() + body)
        assert connection.recv(100).split()[1] == status
