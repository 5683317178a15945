"""How bytes come in: what is stored is what was sent, however a client or a server cuts it into pieces."""

import errno
import os
import tracemalloc
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest
from core import (
    BOUNDARY,
    SAMPLES,
    Dribble,
    assert_nothing_is_kept,
    assert_records_and_files_agree,
    field_part,
    file_part,
    form_body,
    held,
    make_app,
    post,
    rows,
    site_of,
    visible,
)
from flask import Flask, Request, request
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.datastructures import FileStorage
from werkzeug.test import EnvironBuilder

from dropzone_app import Rejected, UploadSet
from dropzone_app.intake import Part, receive_part
from dropzone_app.intake import request as intake_request
from dropzone_app.intake.request import Body, Intake, UploadRequestMixin
from dropzone_app.uploads import Site

PNG = SAMPLES["png"]


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    return make_app(tmp_path, UPLOADS_TYPES="txt,png,bin")


@pytest.fixture
def site(app: Flask) -> Site:
    return site_of(app)


class UploadRequest(UploadRequestMixin, Request):
    pass


def parsed(site: Site, body: bytes, stream: Any = None) -> UploadRequest:
    """A request as our endpoints see it, without an app around it."""
    environ = EnvironBuilder(method="POST").get_environ()
    environ["wsgi.input"] = stream or BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["CONTENT_TYPE"] = f"multipart/form-data; boundary={BOUNDARY}"
    made = UploadRequest(environ)
    made.intake = Intake(site.settings, site.rules["files"], site.storage, "file")
    return made


def received(made: UploadRequest) -> list[tuple[str, str, bytes]]:
    """(key, filename, content) of each part; then they are let go of."""
    found = []
    for key, part in made.files.items(multi=True):
        assert isinstance(part, Part)
        assert part.rejected is None, part.rejected
        with part.open() as file:
            found.append((key, part.filename or "", file.read()))
        assert part.size == len(found[-1][2])
        assert part.sha256 == sha256(found[-1][2]).hexdigest()
    made.close()
    return found


def padded(length: int, *, name: str = "a.bin") -> tuple[bytes, bytes]:
    """A body of exactly this length, and the content of its one file."""
    overhead = len(form_body(file_part("file[0]", name)))
    content = (bytes(range(256)) * (length // 256 + 1))[: length - overhead]
    body = form_body(file_part("file[0]", name, content))
    assert len(body) == length
    return body, content


# ---- the bytes stored are the bytes sent


@pytest.mark.parametrize("blocks", [1, 2, 3, 16])
@pytest.mark.parametrize("more", range(-3, 8))
def test_a_body_of_any_length_is_stored_as_it_was_sent(
    app: Flask, tmp_path: Path, blocks: int, more: int
) -> None:
    """Bodies of 65536·k + 3 bytes got one byte more from Werkzeug's own parser."""
    body, content = padded(65536 * blocks + more)
    assert post(app, body).status_code == 201
    assert (tmp_path / "uploads" / "a.bin").read_bytes() == content


@pytest.mark.parametrize("read", [1 << 16, 1000, 4093])
@pytest.mark.parametrize("more", [2, 3, 4])
def test_nor_does_it_matter_how_much_the_server_hands_over(
    app: Flask, tmp_path: Path, read: int, more: int
) -> None:
    body, content = padded(65536 + more)
    assert post(app, body, stream=Dribble(body, [read] * (len(body) // read + 2))).status_code == 201
    assert (tmp_path / "uploads" / "a.bin").read_bytes() == content


@pytest.mark.parametrize(
    "content", [b"", b"\r", b"\n", b"\r\n", b"-", b"--", b"\r\n--", b"\r\n\r\n", b"x\r\n"]
)
def test_what_looks_like_a_line_end_is_content(site: Site, content: bytes) -> None:
    body = form_body(file_part("file[0]", "a.bin", content), file_part("file[1]", "b.bin", content))
    assert [found for _, _, found in received(parsed(site, body))] == [content, content]


def test_a_body_that_comes_byte_by_byte_is_the_same(site: Site) -> None:
    body = form_body(
        field_part("uuid[0]", "some-uuid"),
        file_part("file[0]", "a.bin", b"\r\n--frontie"),
        file_part("file[1]", "Größe.png", PNG),
    )
    made = parsed(site, body, Dribble(body, [1] * len(body)))
    assert made.form.to_dict() == {"uuid[0]": "some-uuid"}
    assert received(made) == [("file[0]", "a.bin", b"\r\n--frontie"), ("file[1]", "Größe.png", PNG)]


MARK = b"\r\n--" + BOUNDARY.encode()
FRAGMENTS = [MARK[:at] for at in range(1, len(MARK))] + [MARK[at:] for at in range(1, len(MARK))]
FRAGMENTS += [b"\r", b"\n", b"\r\n", b"-", b"--", b"\0", b"x" * 50, MARK[2:] + b"--", MARK[:-1] + b"X"]
CONTENTS = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=8)), max_size=12).map(b"".join)
CONTENTS = CONTENTS.filter(lambda content: MARK not in content)
READS = st.lists(st.integers(1, 40), max_size=300)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Path]]:
    """One site for the many bodies of a property test; each of them leaves it empty."""
    folder = tmp_path_factory.mktemp("shared")
    site = site_of(make_app(folder, UPLOADS_TYPES="bin"))
    yield site, folder
    site.records.close()


@given(st.lists(st.tuples(st.booleans(), CONTENTS), max_size=5), READS)
@example([(True, b"\r"), (True, b"")], [1] * 300)
def test_contents_made_of_delimiters_arrive_as_they_were_sent(
    shared: tuple[Site, Path], contents: list[tuple[bool, bytes]], reads: list[int]
) -> None:
    site, folder = shared
    files = [content for is_file, content in contents if is_file]
    fields = [content for is_file, content in contents if not is_file]
    parts = [
        file_part("file[]", "a.bin", content) if is_file else field_part("x", content)
        for is_file, content in contents
    ]
    body = form_body(*parts)
    made = parsed(site, body, Dribble(body, reads))
    try:
        sent = [field.decode() for field in fields]
    except UnicodeDecodeError:
        with pytest.raises(Rejected) as refused:
            made.form  # noqa: B018
        assert refused.value.code == "malformed"
    else:
        assert made.form.getlist("x") == sent
        assert [content for _, _, content in received(made)] == files
    made.close()
    assert held(folder) == []


@given(
    st.lists(st.sampled_from([*FRAGMENTS, MARK, MARK + b"\r\n", MARK + b"--"]), max_size=20).map(b"".join),
    READS,
)
@example(MARK[2:] + b"--" + MARK + b"\r\n", [])
@example(b"\r", [1])
@example(b"-x" + MARK + b"--", [1])
def test_a_body_that_is_no_form_is_refused_or_has_no_part_and_how_it_is_read_decides_nothing(
    shared: tuple[Site, Path], body: bytes, reads: list[int]
) -> None:
    site, folder = shared

    def verdict(stream: Any) -> object:
        made = parsed(site, body, stream)
        try:
            return [(part.filename, part.size) for part in made.files.values()], made.form.to_dict()
        except Rejected as rejected:
            return rejected.code
        finally:
            made.close()

    whole = verdict(BytesIO(body))
    assert whole in ("malformed", "no_file", ([], {}))
    assert verdict(Dribble(body, reads)) == whole
    assert held(folder) == []


# ---- cut and malformed bodies


SMALL = form_body(
    field_part("uuid[0]", "u"),
    file_part("file[0]", "a.txt", b"first"),
    file_part("file[1]", "b.png", PNG[:24]),
)


@pytest.mark.parametrize("says", ["the whole length", "what arrives"])
def test_a_body_cut_anywhere_is_refused_and_leaves_nothing(
    app: Flask, site: Site, tmp_path: Path, says: str
) -> None:
    client = app.test_client()
    # Without its last line break a form is whole.
    for cut in range(len(SMALL) - 2):
        length = len(SMALL) if says == "the whole length" else cut
        answer = post(app, SMALL[:cut], length=length, client=client)
        assert answer.status_code == 400, cut
        assert answer.mimetype == "text/plain"
        assert answer.text.endswith("; send the files again.")
    assert_nothing_is_kept(tmp_path, site)


@pytest.mark.parametrize("cut", [len(SMALL) - 2, len(SMALL) - 1, len(SMALL)])
def test_a_form_without_its_last_line_break_is_whole(app: Flask, cut: int) -> None:
    assert post(app, SMALL[:cut]).status_code == 201


def test_a_client_that_goes_away_leaves_nothing(app: Flask, site: Site, tmp_path: Path) -> None:
    class Gone(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            data = super().read(min(size or 0, 10))
            if not data:
                raise ConnectionResetError(errno.ECONNRESET, "reset by peer")
            return data

    answer = post(app, b"", stream=Gone(SMALL[:-20]), length=len(SMALL))
    assert (answer.status_code, answer.mimetype) == (400, "text/plain")
    assert_nothing_is_kept(tmp_path, site)


ONE = file_part("file[0]", "a.txt", b"x")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "no_file"),
        (form_body(), "no_file"),
        (form_body(field_part("a", "b")), "no_file"),
        (b"garbage", "malformed"),
        (b"garbage\r\n" + form_body(ONE), "malformed"),
        (b"\r\n\r\n" + form_body(ONE), "malformed"),
        (form_body(ONE, boundary="other"), "malformed"),
        (form_body(ONE, boundary=BOUNDARY + "x"), "malformed"),
        (form_body(ONE).replace(b"\r\n", b"\n"), "malformed"),
        (form_body(b"\r\nno headers"), "malformed"),
        (form_body(b"Content-Type: text/plain\r\n\r\nno disposition"), "malformed"),
        (form_body(b'Content-Disposition: attachment; filename="a.txt"\r\n\r\nx'), "malformed"),
        (form_body(b"no colon\r\n\r\nx"), "malformed"),
        (form_body(file_part("file[0]", "a.txt", b"x", "Content-Length: 2")), "malformed"),
        (form_body(file_part("file[0]", "a.txt", b"xyz", "Content-Length: 2")), "malformed"),
        (form_body(file_part("file[0]", "a.txt", b"x", "Content-Length: -1")), "malformed"),
        (form_body(file_part("file[0]", "a\nb.txt", b"x")), "malformed"),
        (form_body(file_part("file[0]", "a.txt", b"x", "X: a\rb")), "malformed"),
        (form_body(file_part("file[0]", "a.txt", b"x", "X: " + "y" * 9000)), "malformed"),
        (form_body(file_part("file[0]", "a.txt", b"x", *["X: y"] * 20)), "malformed"),
        (form_body(file_part("file[0]", "x" * 9000 + ".txt", b"x")), "malformed"),
        (form_body(ONE, field_part("uuid[0]", b"\xff")), "malformed"),
        (form_body(ONE, field_part("note", "x" * 70_000)), "field_too_large"),
        (form_body(ONE, *[field_part("a", "b")] * 600), "too_many_fields"),
        (form_body(*[ONE] * 101), "too_many_parts"),
    ],
)
@pytest.mark.parametrize("read", [1 << 20, 7])
def test_what_is_no_upload_is_refused_whole(
    app: Flask, site: Site, tmp_path: Path, body: bytes, code: str, read: int
) -> None:
    answer = post(app, body, stream=Dribble(body, [read] * (len(body) // read + 2)))
    assert answer.headers["Upload-Error"] == code
    assert answer.status_code in {400, 413}
    assert "Upload-Verdicts" not in answer.headers
    assert_nothing_is_kept(tmp_path, site)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\xe9",
        "multipart/mixed; boundary=frontier",
        "application/x-www-form-urlencoded",
        "text/plain",
        "",
    ],
)
def test_what_is_no_multipart_form_is_refused(app: Flask, content_type: str) -> None:
    answer = post(app, SMALL, content_type=content_type)
    assert (answer.status_code, answer.headers["Upload-Error"]) == (415, "not_multipart")


def test_what_follows_the_form_is_not_looked_at(app: Flask, tmp_path: Path) -> None:
    hidden = form_body(file_part("file[1]", "hidden.txt", b"x"))
    assert post(app, form_body(ONE) + hidden).status_code == 201
    assert visible(tmp_path) == ["a.txt"]


def test_a_request_that_was_refused_once_is_refused_again(site: Site) -> None:
    made = parsed(site, form_body(ONE, file_part("picture", "b.txt", b"x")))
    for _ in range(2):
        with pytest.raises(Rejected, match="picture"):
            made.files  # noqa: B018


# ---- keys and names


@pytest.mark.parametrize("key", ["file", "file[]", "file[0]", "file[3]", "file[999999999]"])
def test_a_file_may_have_any_key_of_the_configured_name(app: Flask, key: str) -> None:
    answer = post(app, form_body(file_part(key, "a.txt", b"x")))
    assert answer.status_code == 201
    assert answer.json["files"][0]["filename"] == "a.txt"


@pytest.mark.parametrize(
    "key", ["picture", "files", "file[a]", "file[-1]", "file[0][1]", "xfile", "file ", "", "FILE"]
)
def test_a_file_under_another_key_is_refused_by_name(
    app: Flask, site: Site, tmp_path: Path, key: str
) -> None:
    answer = post(app, form_body(ONE, file_part(key, "b.txt", b"x")))
    assert answer.status_code == 400
    assert answer.text == f'The file field "{key}" is not known here; name it "file" or "file[0]".'
    assert_nothing_is_kept(tmp_path, site)


def test_the_name_of_the_field_can_be_configured(tmp_path: Path) -> None:
    app = make_app(tmp_path, DROPZONE_INPUT_NAME="photo.x")
    assert post(app, form_body(file_part("photo.x[0]", "a.txt", b"x"))).status_code == 201
    assert post(app, form_body(file_part("photoyx[0]", "a.txt", b"x"))).status_code == 400
    assert post(app, form_body(file_part("file[0]", "a.txt", b"x"))).status_code == 400


def test_parts_that_share_a_key_all_arrive(app: Flask, tmp_path: Path) -> None:
    body = form_body(*[file_part("file[0]", f"{n}.txt", b"x") for n in range(3)])
    assert [file["filename"] for file in post(app, body).json["files"]] == ["0.txt", "1.txt", "2.txt"]
    assert visible(tmp_path) == ["0.txt", "1.txt", "2.txt"]


def test_an_empty_file_input_is_no_part(app: Flask, tmp_path: Path) -> None:
    nothing = file_part("file", "", b"", "Content-Type: application/octet-stream")
    answer = post(app, form_body(nothing))
    assert (answer.status_code, answer.headers["Upload-Error"]) == (400, "no_file")
    assert post(app, form_body(nothing, ONE)).status_code == 201
    assert visible(tmp_path) == ["a.txt"]


def test_bytes_without_a_name_are_a_part_that_is_refused(app: Flask) -> None:
    answer = post(app, form_body(file_part("file", "", b"bytes")))
    assert (answer.status_code, answer.text) == (
        400,
        "The file has no usable name; rename it and send it again.",
    )


@pytest.mark.parametrize(
    ("header", "filename"),
    [
        ('filename="C:\\Users\\me\\a.txt"', "a.txt"),
        ('filename="/etc/passwd/a.txt"', "a.txt"),
        ('filename="..\\..\\a.txt"', "a.txt"),
        ('filename="%22quoted%22.txt"', '"quoted".txt'),
        ('filename="Größe.txt"', "Größe.txt"),
        ('filename="100%.txt"', "100%.txt"),
        ("filename=plain.txt", "plain.txt"),
        ("filename*=UTF-8''%E4%B8%96%E7%95%8C.txt", "世界.txt"),
        ("filename*=utf-8''..%2F..%2Fa.txt", "a.txt"),
        ("filename*=UTF-8''a%0D%0Ab.txt", "a  b.txt"),
    ],
)
def test_the_filename_is_what_the_person_called_the_file(app: Flask, header: str, filename: str) -> None:
    part = f'Content-Disposition: form-data; name="file[0]"; {header}\r\n\r\nx'.encode()
    answer = post(app, form_body(part))
    assert answer.status_code == 201, answer.text
    assert answer.json["files"][0]["filename"] == filename


def test_a_part_knows_the_headers_it_came_with(site: Site) -> None:
    more = ("Content-Type: Image/PNG; x=y", f"Content-Length: {len(PNG)}")
    made = parsed(site, form_body(file_part("file[0]", "a.png", PNG, *more)))
    part = made.files["file[0]"]
    assert (part.content_length, part.mimetype, part.name) == (len(PNG), "image/png", "file[0]")
    assert part.headers["Content-Disposition"].startswith("form-data")
    made.close()


def test_fields_and_files_come_in_any_order(app: Flask, site: Site) -> None:
    body = form_body(
        file_part("file[0]", "a.txt", b"x"), field_part("uuid[0]", "u"), field_part("path[0]", "p")
    )
    assert post(app, body).status_code == 201
    (record,) = site.records.everything()
    assert (record.uuid, record.path) == ("u", "p")


# ---- limits of the framework that still hold


def test_the_limit_of_the_framework_for_a_field_holds_where_it_is_lower(tmp_path: Path) -> None:
    app = make_app(tmp_path, MAX_FORM_MEMORY_SIZE=100)
    answer = post(app, form_body(ONE, field_part("note", "x" * 101)))
    assert (answer.status_code, answer.headers["Upload-Error"]) == (413, "field_too_large")
    assert post(app, form_body(ONE, field_part("note", "x" * 100))).status_code == 201


def test_a_full_batch_may_bring_every_field_of_every_part(tmp_path: Path) -> None:
    app = make_app(tmp_path, UploadSet("files", max_parts=250))
    parts = []
    for n in range(250):
        digest = sha256(b"%d" % n).hexdigest()
        for name, value in (("uuid", f"u{n}"), ("size", f"{len(str(n))}"), ("sha256", digest), ("path", "p")):
            parts.append(field_part(f"{name}[{n}]", value))
        parts.append(file_part(f"file[{n}]", f"{n}.txt", b"%d" % n))
    answer = post(app, form_body(*parts))
    assert answer.status_code == 201, answer.text
    assert len(answer.json["files"]) == 250


def test_other_forms_of_the_host_are_parsed_as_ever(tmp_path: Path) -> None:
    app = make_app(tmp_path, UploadSet("photos"))

    @app.post("/own")
    def own() -> dict[str, str]:
        file = request.files["anything"]
        return {"kind": type(file).__name__, "content": file.read().decode(), "field": request.form["a"]}

    answer = post(app, form_body(field_part("a", "b"), file_part("anything", "x.exe", b"MZ")), url="/own")
    assert answer.json == {"kind": "FileStorage", "content": "MZ", "field": "b"}


# ---- what a refused part costs


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The length of every write to a file, SQLite's aside: that one writes by itself."""
    real, lengths = os.write, []

    def write(fd: int, data: Any) -> int:
        lengths.append(real(fd, data))
        return lengths[-1]

    monkeypatch.setattr(os, "write", write)
    return lengths


def test_every_accepted_byte_is_written_once(app: Flask, tmp_path: Path, written: list[int]) -> None:
    content = os.urandom(5 << 20)
    assert post(app, form_body(file_part("file[0]", "a.bin", content))).status_code == 201
    assert sum(written) == len(content)
    assert (tmp_path / "uploads" / "a.bin").read_bytes() == content


def test_the_whole_process_writes_hardly_more_than_that(app: Flask) -> None:
    def written_by_process() -> int:
        found = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return int(found["wchar"])

    body = form_body(file_part("file[0]", "a.bin", bytes(32 << 20)))
    before = written_by_process()
    assert post(app, body).status_code == 201
    assert written_by_process() - before <= 1.05 * len(body)


def test_a_part_of_a_refused_name_is_drained_and_its_neighbours_are_kept(
    app: Flask, site: Site, tmp_path: Path, written: list[int]
) -> None:
    body = form_body(
        file_part("file[0]", "a.txt", b"first"),
        file_part("file[1]", "big.exe", bytes(5 << 20)),
        file_part("file[2]", "c.txt", b"third"),
    )
    answer = post(app, body)
    assert answer.status_code == 415
    assert answer.headers["Upload-Verdicts"] == "per-part"
    assert sum(written) == len(b"firstthird")
    assert_records_and_files_agree(tmp_path, site)
    assert visible(tmp_path) == ["a.txt", "c.txt"]


def test_a_part_over_its_limit_is_cut_off_and_its_neighbours_are_kept(
    tmp_path: Path, written: list[int]
) -> None:
    app = make_app(tmp_path, UPLOADS_MAX_FILE_SIZE="1 MB", UPLOADS_TYPES="bin", MAX_CONTENT_LENGTH="20 MB")
    body = form_body(
        file_part("file[0]", "a.bin", bytes(1_000_000)),
        file_part("file[1]", "b.bin", bytes(9_000_000)),
        file_part("file[2]", "c.bin", b"third"),
    )
    answer = post(app, body)
    assert answer.text.splitlines()[0] == 'file[1] "b.bin": the file is 9 MB; the limit is 1 MB.'
    assert sum(written) <= 1_000_000 + 1_000_000 + 5
    assert visible(tmp_path) == ["a.bin", "c.bin"]
    assert_records_and_files_agree(tmp_path, site_of(app))


def test_a_part_of_the_wrong_content_is_cut_off_after_its_first_bytes(
    app: Flask, tmp_path: Path, written: list[int]
) -> None:
    body = form_body(file_part("file[0]", "a.png", b"MZ" + bytes(9 << 20)))
    assert post(app, body, stream=Dribble(body, [65536] * 1000)).status_code == 415
    assert sum(written) <= 65536
    assert visible(tmp_path) == []


def test_over_the_total_the_request_is_refused_before_it_is_read_to_its_end(tmp_path: Path) -> None:
    app = make_app(tmp_path, UPLOADS_MAX_TOTAL_SIZE="1 MB", UPLOADS_TYPES="bin")
    site = site_of(app)
    body = form_body(*[file_part(f"file[{n}]", "a.bin", bytes(600_000)) for n in range(2)])
    answer = post(app, body)
    assert (answer.status_code, answer.headers["Upload-Error"]) == (413, "total_too_large")
    assert_nothing_is_kept(tmp_path, site)


def test_a_part_that_is_refused_by_itself_takes_nothing_of_the_total(tmp_path: Path) -> None:
    limits = {"UPLOADS_MAX_FILE_SIZE": 600, "UPLOADS_MAX_TOTAL_SIZE": 1000, "UPLOADS_TYPES": "bin"}
    app = make_app(tmp_path, **limits)
    sizes = (400, 5000, 600)
    body = form_body(*[file_part(f"file[{n}]", f"{n}.bin", bytes(size)) for n, size in enumerate(sizes)])
    answer = post(app, body)
    assert answer.text.splitlines()[0] == 'file[1] "1.bin": the file is 5 KB; the limit is 600 bytes.'
    assert visible(tmp_path) == ["0.bin", "2.bin"]


def test_a_full_disk_while_bytes_arrive_is_507_and_leaves_nothing(
    app: Flask, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.write, []

    def full(fd: int, data: Any) -> int:
        calls.append(1)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, "No space left on device", "/secret/path")
        return real(fd, data)

    body = form_body(file_part("file[0]", "a.txt", b"x"), file_part("file[1]", "b.bin", bytes(3 << 20)))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        answer = post(app, body)
    assert (answer.status_code, answer.mimetype) == (507, "text/plain")
    assert "/" not in answer.text
    assert_nothing_is_kept(tmp_path, site)
    assert post(app, body).status_code == 201


def test_a_refused_token_in_the_form_leaves_nothing_of_what_was_staged(tmp_path: Path) -> None:
    app = make_app(tmp_path, WTF_CSRF_ENABLED=True)
    answer = post(app, form_body(ONE, field_part("csrf_token", "forged")))
    assert answer.status_code == 400
    assert_nothing_is_kept(tmp_path, site_of(app))


# ---- memory


class Made:
    """A form with one big file, made while it is read."""

    def __init__(self, size: int, filename: str) -> None:
        whole = form_body(file_part("file[0]", filename, b"SPLIT"))
        self._head, self._tail = whole.split(b"SPLIT")
        self._left = size
        self.length = len(self._head) + size + len(self._tail)
        # Not of one byte: a copy must be a copy.
        self._block = bytes(range(256)) * 4096

    def read(self, size: int = -1) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        if self._left:
            block = bytes(bytearray(self._block[: min(size, self._left)]))
            self._left -= len(block)
            return block
        tail, self._tail = self._tail, b""
        return tail


@pytest.mark.parametrize("filename", ["big.bin", "big.exe"])
def test_memory_stays_flat_however_big_a_part_is(app: Flask, filename: str) -> None:
    post(app, form_body(ONE))
    made = Made(64 << 20, filename)
    tracemalloc.start()
    try:
        answer = post(app, b"", stream=made, length=made.length)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status_code == (201 if filename == "big.bin" else 415)
    assert peak < 8 << 20


# ---- the body and what is left of it


def body_of(data: bytes, **environ: Any) -> Body:
    return Body({"wsgi.input": BytesIO(data), **environ})


def test_a_body_is_read_to_its_announced_length_and_no_further() -> None:
    body = body_of(b"0123456789", CONTENT_LENGTH="7")
    assert (body.read(4), body.left) == (b"0123", 3)
    assert (body.read(), body.left) == (b"456", 0)
    assert body.read() == b""


def test_more_is_read_at_once_as_more_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    # Others may still lie about, half-read.
    monkeypatch.setattr(intake_request, "_coming", WeakSet())
    body = body_of(bytes(40 << 20), CONTENT_LENGTH=str(40 << 20))
    pieces = []
    while data := body.read():
        pieces.append(len(data))
    assert pieces[0] == pieces[30] == 128 << 10
    assert pieces == [*sorted(pieces[:-1]), pieces[-1]]
    assert max(pieces) == 1 << 20


@pytest.mark.parametrize(("piece", "most"), [(1000, 1 << 17), (1 << 20, 1 << 15)])
def test_bodies_that_come_at_once_take_less_of_it_each_and_slow_ones_do_not_count(
    monkeypatch: pytest.MonkeyPatch, piece: int, most: int
) -> None:
    monkeypatch.setattr(intake_request, "_coming", WeakSet())

    class Sending:
        def read(self, size: int) -> bytes:
            return bytes(min(size, piece))

    others = [Body({"wsgi.input": Sending(), "CONTENT_LENGTH": str(9 << 20)}) for _ in range(64)]
    for other in others:
        other.read()
        other.read()
    body = body_of(bytes(9 << 20), CONTENT_LENGTH=str(9 << 20))
    assert len(body.read()) == most


@pytest.mark.parametrize("length", ["", "-5", "abc", "٣", None])
def test_a_body_without_a_usable_length_is_not_read(length: str | None) -> None:
    body = body_of(b"0123", **({} if length is None else {"CONTENT_LENGTH": length}))
    assert (body.left, body.read()) == (0, b"")


def test_a_body_whose_end_the_server_knows_is_read_to_that_end() -> None:
    body = body_of(b"0123", **{"wsgi.input_terminated": True})
    assert body.left is None
    assert (body.read(3), body.read(3), body.read(3), body.left) == (b"012", b"3", b"", 0)


def test_what_is_left_is_read_and_forgotten() -> None:
    body = body_of(bytes(5 << 20), CONTENT_LENGTH=str(5 << 20))
    body.read(10)
    body.drain()
    assert body.left == 0


def test_draining_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_request, "DRAIN_BYTES", 3 << 20)
    body = body_of(bytes(9 << 20), CONTENT_LENGTH=str(9 << 20))
    body.drain()
    assert body.left == 6 << 20
    monkeypatch.setattr(intake_request, "DRAIN_SECONDS", -1)
    body.drain()
    assert body.left == 6 << 20


# ---- files that another parser has received


def test_a_file_that_another_parser_received_is_checked_and_copied(site: Site, tmp_path: Path) -> None:
    part = receive_part(site.storage, site.rules["files"], FileStorage(BytesIO(PNG), "C:\\a.png", "file[0]"))
    assert (part.filename, part.size, part.rejected) == ("a.png", len(PNG), None)
    assert part.sha256 == sha256(PNG).hexdigest()
    assert part.head == PNG[:1024]
    part.close()
    part.close()
    with pytest.raises(ValueError, match="gone"):
        part.open()
    refused = receive_part(site.storage, site.rules["files"], FileStorage(BytesIO(b"MZ"), "a.exe", "file[0]"))
    assert refused.rejected and refused.size == 2
    assert held(tmp_path) == []
    assert rows(site) == []


def test_a_file_that_cannot_be_read_leaves_nothing(site: Site, tmp_path: Path) -> None:
    class Broken(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(errno.EIO, "broken")

    with pytest.raises(OSError, match="broken"):
        receive_part(site.storage, site.rules["files"], FileStorage(Broken(), "a.png", "file[0]"))
    assert held(tmp_path) == []
