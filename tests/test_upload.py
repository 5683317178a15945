"""POST /upload over HTTP: a verdict for every part, and an answer that tells the whole truth."""

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from webclient import (
    CONTENT_TYPE,
    EXE,
    PDF,
    PNG,
    Visitor,
    assert_refused,
    encode,
    host_visitor,
    stored_names,
    visiting,
)

from dropzone_app import Rejected, UploadSet

# Each runs on each database.
pytestmark = pytest.mark.usefixtures("database")

KINDS = "Accepted: PNG, PDF, text."
EXE_REFUSED = f".exe files are not accepted here. {KINDS}"


@pytest.fixture
def visit(database: str, tmp_path: Path) -> Iterator[Callable[..., Visitor]]:
    with visiting(tmp_path) as visit:
        yield visit


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    return visit(UPLOADS_TYPES="png,pdf,txt", UPLOADS_MAX_FILE_SIZE="1 KB")


# ---- stored


def test_every_file_of_a_batch_is_stored_and_answered_in_order(visitor: Visitor, tmp_path: Path) -> None:
    answer = visitor.upload(
        ("file[0]", "a.png", PNG), ("file[1]", "b.pdf", PDF), ("file[2]", "c.txt", "äöü".encode())
    )
    assert answer.status_code == 201
    assert answer.mimetype == "application/json"
    body = answer.get_json()
    assert body["success"] is True
    assert [file["filename"] for file in body["files"]] == ["a.png", "b.pdf", "c.txt"]
    assert stored_names(tmp_path) == ["a.png", "b.pdf", "c.txt"]
    assert (tmp_path / "uploads" / "b.pdf").read_bytes() == PDF


def test_a_file_is_described_with_exactly_the_documented_fields(visitor: Visitor) -> None:
    (file,) = visitor.store(
        ("uuid[0]", "6f1c-4a"), ("path[0]", "holiday/day 1"), ("file[0]", "Fotó.png", PNG)
    )
    id = file.pop("id")
    assert re.fullmatch("[0-9a-f]{32}", id)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", file.pop("created"))
    assert re.fullmatch("/files/[0-9a-f]{32}/Fot%C3%B3.png", file.pop("url"))
    assert file == {
        "uuid": "6f1c-4a",
        "set": "files",
        "filename": "Fotó.png",
        "path": "holiday/day 1",
        "key": "Fotó.png",
        "size": len(PNG),
        "type": "image/png",
        "sha256": hashlib.sha256(PNG).hexdigest(),
        "thumbnail": f"/thumbnails/{id}.webp",
    }


def test_the_digest_can_be_left_out(visit: Callable[..., Visitor]) -> None:
    (file,) = visit(UPLOADS_DIGEST="none").store(("file", "a.png", PNG))
    assert file["sha256"] is None


@pytest.mark.parametrize("key", ["file", "file[]", "file[0]", "file[7]"])
def test_a_part_may_have_any_of_the_documented_keys(visitor: Visitor, key: str) -> None:
    assert visitor.store((key, "a.png", PNG))[0]["filename"] == "a.png"


def test_another_file_field_is_named_and_nothing_is_stored(visitor: Visitor, tmp_path: Path) -> None:
    answer = visitor.upload(("file[0]", "a.png", PNG), ("attachment", "b.png", PNG))
    assert_refused(answer, 400, 'The file field "attachment" is not known here; name it "file" or "file[0]".')
    assert stored_names(tmp_path) == []


def test_the_input_name_can_be_configured(visit: Callable[..., Visitor]) -> None:
    visitor = visit(DROPZONE_INPUT_NAME="photo")
    assert len(visitor.store(("photo[0]", "a.png", PNG), ("photo[1]", "b.png", PNG))) == 2
    assert_refused(
        visitor.upload(("file", "a.png", PNG)),
        400,
        'The file field "file" is not known here; name it "photo" or "photo[0]".',
    )


def test_the_set_is_named_in_the_address_and_the_first_one_without(visitor: Visitor) -> None:
    assert visitor.store(("file", "a.png", PNG), path="/upload/files")[0]["set"] == "files"
    assert_refused(
        visitor.upload(("file", "a.png", PNG), path="/upload/nothing"),
        404,
        'There is no upload set called "nothing".',
    )


# ---- the refusal text


def test_one_part_is_refused_with_its_sentence_alone(visitor: Visitor) -> None:
    answer = visitor.upload(("file[0]", "notes.exe", EXE))
    assert_refused(answer, 415, EXE_REFUSED)
    assert "Upload-Verdicts" not in answer.headers


def test_one_bad_part_does_not_fail_its_neighbours(visitor: Visitor, tmp_path: Path) -> None:
    answer = visitor.upload(
        ("file[0]", "a.png", PNG),
        ("file[1]", "notes.exe", EXE),
        ("file[2]", "b.png", PNG),
        ("file[3]", "c.png", PNG),
    )
    assert_refused(answer, 415, f'file[1] "notes.exe": {EXE_REFUSED}\nThe other 3 files were stored.')
    assert answer.headers["Upload-Verdicts"] == "per-part"
    assert stored_names(tmp_path) == ["a.png", "b.png", "c.png"]


def test_in_a_batch_of_ten_exactly_the_three_bad_ones_have_a_line(visitor: Visitor) -> None:
    bad = {2: ("x.exe", EXE), 5: ("huge.txt", b"a" * 2100), 8: ("fake.png", b"just text")}
    answer = visitor.upload(*((f"file[{n}]", *bad.get(n, (f"good{n}.png", PNG))) for n in range(10)))
    assert_refused(
        answer,
        422,
        f'file[2] "x.exe": {EXE_REFUSED}\n'
        'file[5] "huge.txt": the file is 2.1 KB; the limit is 1 KB.\n'
        'file[8] "fake.png": the file is named .png, but its content is not a PNG image; choose another file.\n'
        "The other 7 files were stored.",
    )
    assert [file["filename"] for file in visitor.files()] == [
        f"good{n}.png" for n in reversed(range(10)) if n not in bad
    ]


@pytest.mark.parametrize(
    ("good", "closing"),
    [(0, "No file was stored."), (1, "The other file was stored."), (2, "The other 2 files were stored.")],
)
def test_the_closing_line_counts_what_was_stored(visitor: Visitor, good: int, closing: str) -> None:
    parts = [(f"file[{n}]", f"{n}.png", PNG) for n in range(good)]
    answer = visitor.upload(*parts, ("file[8]", "a.exe", EXE), ("file[9]", "b.exe", EXE))
    assert_refused(answer, 415)
    assert answer.text.splitlines() == [
        f'file[8] "a.exe": {EXE_REFUSED}',
        f'file[9] "b.exe": {EXE_REFUSED}',
        closing,
    ]


def test_a_common_status_is_kept_and_mixed_ones_become_422(visitor: Visitor) -> None:
    huge = ("file[1]", "b.txt", b"a" * 5000)
    assert visitor.upload(("file[0]", "a.txt", b"a" * 5000), huge).status_code == 413
    assert visitor.upload(("file[0]", "a.exe", EXE), huge).status_code == 422


def test_a_long_name_is_shortened_to_60_characters_in_the_middle(visitor: Visitor) -> None:
    answer = visitor.upload(("file[0]", "a.png", PNG), ("file[1]", "n" * 100 + "-end.exe", EXE))
    name = re.match(r'file\[1\] "(.*?)":', answer.text)
    assert name
    assert len(name[1]) == 60
    assert name[1].endswith("-end.exe")


def test_no_line_is_ever_left_out(visit: Callable[..., Visitor]) -> None:
    answer = visit(UPLOADS_TYPES="png").upload(
        *((f"file[{n}]", f"{'x' * 200}{n}.exe", EXE) for n in range(100))
    )
    lines = answer.text.splitlines()
    assert [line.partition(" ")[0] for line in lines[:-1]] == [f"file[{n}]" for n in range(100)]
    assert lines[-1] == "No file was stored."


@pytest.mark.parametrize(
    "name",
    [
        'a\\"b.exe',
        "evil\u2028file[0].exe",
        "a.png\u202eexe.exe",
        "file[0] x: stored.exe",
        "x" * 60 + "\x85The other 9 files were stored.exe",
    ],
)
def test_a_name_cannot_forge_a_line_of_the_answer(visitor: Visitor, name: str) -> None:
    answer = visitor.upload(("file[0]", "a.png", PNG), ("file[1]", name, EXE))
    lines = re.split(r"[\n\r\x85\u2028\u2029]", answer.text)
    assert len(lines) == 2
    assert lines[0].startswith('file[1] "')
    assert lines[1] == "The other file was stored."


def test_a_part_without_a_name_is_refused_by_itself(visitor: Visitor) -> None:
    answer = visitor.upload(("file[0]", "a.png", PNG), ("file[1]", "", b"content"))
    assert_refused(
        answer,
        400,
        'file[1] "": the file has no usable name; rename it and send it again.\nThe other file was stored.',
    )


# ---- keys and the fields beside the parts


def test_repeated_keys_are_numbered_by_position(visitor: Visitor) -> None:
    answer = visitor.upload(("file[0]", "a.png", PNG), ("file[0]", "b.exe", EXE), ("file[0]", "c.exe", EXE))
    assert [line.partition(" ")[0] for line in answer.text.splitlines()[:-1]] == ["file[1]", "file[2]"]


@pytest.mark.parametrize("key", ["file", "file[]"])
def test_keys_without_index_are_numbered_by_position(visitor: Visitor, key: str) -> None:
    answer = visitor.upload((key, "a.png", PNG), (key, "b.exe", EXE))
    assert answer.text.startswith('file[1] "b.exe"')


def test_fields_follow_the_index_of_the_key_not_the_position(visitor: Visitor) -> None:
    stored = visitor.store(
        ("file[7]", "a.png", PNG),
        ("file[3]", "b.png", PNG),
        ("uuid[3]", "three"),
        ("uuid[7]", "seven"),
        ("path[3]", "trip"),
    )
    assert [(file["uuid"], file["path"]) for file in stored] == [("seven", ""), ("three", "trip")]


def test_fields_of_repeated_keys_follow_the_position(visitor: Visitor) -> None:
    stored = visitor.store(
        ("uuid[0]", "zero"),
        ("uuid[1]", "one"),
        ("file[0]", "a.png", PNG),
        ("file[0]", "b.png", PNG),
    )
    assert [file["uuid"] for file in stored] == ["zero", "one"]


def test_fields_without_index_are_those_of_the_first_part(visitor: Visitor) -> None:
    (file,) = visitor.store(
        ("uuid", "mine"), ("path", "a/b"), ("size", str(len(PNG))), ("file", "a.png", PNG)
    )
    assert (file["uuid"], file["path"]) == ("mine", "a/b")


def test_fields_count_wherever_they_stand_in_the_body(visitor: Visitor) -> None:
    (file,) = visitor.store(("file[0]", "a.png", PNG), ("uuid[0]", "late"))
    assert file["uuid"] == "late"


def test_a_part_that_brings_no_uuid_gets_one(visitor: Visitor) -> None:
    first, second = visitor.store(("file[0]", "a.png", PNG), ("file[1]", "b.png", PNG))
    assert len({first["uuid"], second["uuid"], ""}) == 3


def test_a_repeated_uuid_gives_the_recorded_file_and_no_second_one(visitor: Visitor, tmp_path: Path) -> None:
    first = visitor.store(("uuid[0]", "u1"), ("file[0]", "a.png", PNG))
    again = visitor.store(("uuid", "u1"), ("file", "renamed.png", PNG))
    assert again == first
    assert stored_names(tmp_path) == ["a.png"]


def test_other_bytes_under_a_stored_uuid_are_a_conflict(visitor: Visitor, tmp_path: Path) -> None:
    visitor.store(("uuid", "u1"), ("file", "a.png", PNG))
    answer = visitor.upload(("uuid", "u1"), ("file", "a.png", PNG + b"!"))
    assert_refused(
        answer,
        409,
        "Another file was already stored under this upload's uuid; drop the file again.",
    )
    assert stored_names(tmp_path) == ["a.png"]


def test_a_uuid_is_the_owners_own(visitor: Visitor) -> None:
    (mine,) = visitor.store(("uuid", "u1"), ("file", "a.png", PNG))
    (theirs,) = Visitor(visitor.app).store(("uuid", "u1"), ("file", "other.txt", b"other"))
    assert (theirs["filename"], theirs["id"] == mine["id"]) == ("other.txt", False)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        (
            "uuid[1]",
            "../../etc",
            'the value of the field "uuid[1]" must be up to 64 letters, digits, dashes or underscores.',
        ),
        ("uuid[1]", "x" * 65, None),
        ("size[1]", "-1", 'the value of the field "size[1]" must be a number of bytes.'),
        ("size[1]", "1e3", None),
        ("size[1]", "٣", None),
        ("sha256[1]", "abc", 'the value of the field "sha256[1]" must be 64 hexadecimal digits.'),
    ],
)
def test_a_field_that_makes_no_sense_refuses_its_part_alone(
    visitor: Visitor, field: str, value: str, sentence: str | None
) -> None:
    answer = visitor.upload(("file[0]", "a.png", PNG), ("file[1]", "b.png", PNG), (field, value))
    assert_refused(answer, 400)
    assert answer.text.startswith('file[1] "b.png": the value of the field ')
    assert answer.text.endswith("\nThe other file was stored.")
    if sentence:
        assert sentence in answer.text


def test_a_size_that_differs_refuses_the_part(visitor: Visitor, tmp_path: Path) -> None:
    answer = visitor.upload(("size[0]", "300"), ("file[0]", "a.txt", b"x" * 299))
    assert_refused(answer, 400, "299 bytes arrived, but 300 bytes should have; send the file again.")
    assert stored_names(tmp_path) == []


@pytest.mark.parametrize("digest", ["sha256", "none"])
def test_a_digest_that_differs_refuses_the_part(
    visit: Callable[..., Visitor], tmp_path: Path, digest: str
) -> None:
    visitor = visit(UPLOADS_DIGEST=digest)
    good = hashlib.sha256(b"bytes").hexdigest().upper()
    visitor.store(("sha256", good), ("file", "a.txt", b"bytes"))
    answer = visitor.upload(("sha256", good), ("file", "b.txt", b"bytez"))
    assert_refused(
        answer, 422, "What arrived is not what was announced (its SHA-256 differs); send the file again."
    )
    assert stored_names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("sent", "recorded"),
    [
        ("holiday/day 1", "holiday/day 1"),
        ("/etc/cron.d/", "etc/cron.d"),
        ("../../x", "x"),
        ("C:\\Users\\me", "C:/Users/me"),
        ("a\u202e/b\0", "a/b"),
    ],
)
def test_a_path_is_recorded_and_never_followed(
    visitor: Visitor, tmp_path: Path, sent: str, recorded: str
) -> None:
    (file,) = visitor.store(("path", sent), ("file", "a.png", PNG))
    assert (file["path"], file["key"]) == (recorded, "a.png")
    assert stored_names(tmp_path) == ["a.png"]


def test_an_empty_file_input_is_no_part(visitor: Visitor) -> None:
    assert len(visitor.store(("file[0]", "a.png", PNG), ("file[1]", "", b""))) == 1
    assert_refused(
        visitor.upload(("file", "", b"")),
        400,
        "No file arrived, or the upload was cut off; send the files again.",
    )


def test_a_form_of_fields_alone_is_refused(visitor: Visitor) -> None:
    assert_refused(visitor.upload(("uuid[0]", "u1")), 400)


def test_names_that_a_path_hides_in_are_stripped(visitor: Visitor, tmp_path: Path) -> None:
    for name in ("../../up.txt", "C:\\dir\\win.txt", "/etc/abs.txt", "dir/sub/deep.txt"):
        visitor.store(("file", name, b"x"))
    assert stored_names(tmp_path) == ["abs.txt", "deep.txt", "up.txt", "win.txt"]


# ---- limits of a whole request


def test_too_many_parts_refuse_the_whole_request(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    visitor = visit(UPLOADS_MAX_PARTS=2)
    assert len(visitor.store(*((f"file[{n}]", f"{n}.png", PNG) for n in range(2)))) == 2
    answer = visitor.upload(*((f"file[{n}]", f"more{n}.png", PNG) for n in range(3)))
    assert_refused(
        answer,
        413,
        "Too many files in one request: the limit is 2, and nothing was stored; send fewer at a time.",
    )
    assert "Upload-Verdicts" not in answer.headers
    assert stored_names(tmp_path) == ["0.png", "1.png"]


def test_one_request_larger_than_max_files_is_refused(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    visitor = visit(UPLOADS_MAX_FILES=2)
    answer = visitor.upload(*((f"file[{n}]", f"{n}.png", PNG) for n in range(3)))
    assert_refused(
        answer,
        422,
        "Too many files at once: the limit is 2, and nothing was stored; choose fewer.",
    )
    assert stored_names(tmp_path) == []


def test_the_bytes_of_all_parts_together_have_a_limit(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    visitor = visit(UPLOADS_MAX_TOTAL_SIZE="1 KB")
    text = b"a" * 500
    assert len(visitor.store(("file[0]", "a.txt", text), ("file[1]", "b.txt", text))) == 2
    answer = visitor.upload(
        ("file[0]", "c.txt", text), ("file[1]", "d.txt", text), ("file[2]", "e.txt", b"e")
    )
    assert_refused(
        answer,
        413,
        "The files of one request may have 1 KB together, and nothing was stored; send fewer at a time.",
    )
    assert stored_names(tmp_path) == ["a.txt", "b.txt"]


def test_every_part_may_bring_all_its_fields(visit: Callable[..., Visitor]) -> None:
    visitor = visit(UPLOADS_MAX_PARTS=30)
    items = [
        item
        for n in range(30)
        for item in (
            (f"uuid[{n}]", f"u{n}"),
            (f"size[{n}]", str(len(PNG))),
            (f"sha256[{n}]", hashlib.sha256(PNG).hexdigest()),
            (f"path[{n}]", "holiday"),
            (f"file[{n}]", f"{n}.png", PNG),
        )
    ]
    others = [(f"other{n}", "x") for n in range(20)]
    assert len(visitor.store(*others, *items)) == 30
    assert_refused(
        visitor.upload(*others, ("one", "more"), *items),
        413,
        "One request may hold 170 form fields at most, and nothing was stored; send fewer.",
    )


def test_a_set_with_more_parts_than_the_app_may_bring_their_fields_too(tmp_path: Path) -> None:
    visitor = host_visitor(tmp_path, UploadSet("many", max_parts=300))
    items = [
        item
        for n in range(300)
        for item in ((f"uuid[{n}]", f"u{n}"), (f"size[{n}]", "1"), (f"file[{n}]", f"{n}.txt", b"x"))
    ]
    assert len(visitor.store(*items)) == 300


def test_a_field_that_is_too_long_refuses_the_request(visitor: Visitor) -> None:
    answer = visitor.upload(("path[0]", "x" * 70_000), ("file[0]", "a.png", PNG))
    assert_refused(answer, 413)
    assert answer.text.startswith('The form field "path[0]" is longer than 65.5 KB')


# ---- sets


def png_only(part: object) -> None:
    if not getattr(part, "head", b"").startswith(b"\x89PNG"):
        raise Rejected("PNG only!")


def test_a_check_of_ones_own_has_its_sentence_shown_as_it_is(tmp_path: Path) -> None:
    visitor = host_visitor(tmp_path, UploadSet("photos", ["png", "txt"], checks=[png_only]))
    assert_refused(visitor.upload(("file", "a.txt", b"x")), 400, "PNG only!")
    answer = visitor.upload(("file[0]", "a.txt", b"x"), ("file[1]", "a.png", PNG))
    assert_refused(answer, 400, 'file[0] "a.txt": PNG only!\nThe other file was stored.')


def test_a_set_of_all_or_none_stores_none_and_gives_every_part_a_line(tmp_path: Path) -> None:
    visitor = host_visitor(tmp_path, UploadSet("pair", ["png"], batch="all"))
    answer = visitor.upload(("file[0]", "a.png", PNG), ("file[1]", "b.exe", EXE), ("file[2]", "c.png", PNG))
    assert_refused(answer, 422)
    belong = "not stored, because another file of this batch was refused and they belong together."
    lines = answer.text.splitlines()
    assert lines[0] == f'file[0] "a.png": {belong}'
    assert lines[1].startswith('file[1] "b.exe": .exe files are not accepted')
    assert lines[2] == f'file[2] "c.png": {belong}'
    assert lines[3] == "No file was stored."
    assert answer.headers["Upload-Verdicts"] == "per-part"
    assert stored_names(tmp_path) == []


def test_a_check_that_breaks_is_a_500_sentence_and_stores_nothing(tmp_path: Path) -> None:
    def broken(part: object) -> None:
        raise KeyError("/etc/passwd <b>secret</b>")

    visitor = host_visitor(tmp_path, UploadSet("files", ["png"], checks=[broken]))
    answer = visitor.upload(("file[0]", "a.png", PNG), ("file[1]", "b.png", PNG))
    assert_refused(answer, 500, "Something went wrong on the server, and nothing was stored; try again.")
    assert stored_names(tmp_path) == []


# ---- bytes


@pytest.mark.parametrize("offset", range(-3, 6))
@pytest.mark.parametrize("blocks", [1, 2, 16])
def test_the_bytes_stored_are_the_bytes_sent_for_every_body_length(
    visitor: Visitor, tmp_path: Path, blocks: int, offset: int
) -> None:
    visitor = Visitor(visitor.app)
    rules = visitor.app.extensions["uploads"].rules
    rules["files"] = UploadSet("files", ["txt"], max_file_size="5 MB").rules(
        visitor.app.extensions["uploads"].settings
    )
    around = len(encode(("file", "a.txt", b"")))
    content = b"x" * (65536 * blocks + offset - around)
    (file,) = visitor.store(("file", "a.txt", content))
    assert (tmp_path / "uploads" / file["key"]).read_bytes() == content


def test_a_cut_body_is_refused_and_leaves_nothing(visitor: Visitor, tmp_path: Path) -> None:
    body = encode(("file[0]", "a.png", PNG), ("file[1]", "b.png", PNG))
    headers = {"X-CSRFToken": visitor.token()}
    for length in (1, 60, 200, len(body) // 2, len(body) - 3):
        answer = visitor.post(body[:length], headers=headers)
        assert_refused(answer, 400)
    assert stored_names(tmp_path) == []
    assert visitor.files() == []


def test_a_name_that_is_not_utf_8_is_one_parts_refusal(tmp_path: Path) -> None:
    visitor = host_visitor(tmp_path, UploadSet("files", ["txt"]))
    body = encode(("file[0]", "good.txt", b"x"), ("file[1]", "LATIN.txt", b"y"))
    answer = visitor.post(body.replace(b"LATIN", b"lat\xe9n"), headers={"X-CSRFToken": visitor.token()})
    assert_refused(answer, 400)
    assert answer.text == (
        'file[1] "": the file has no usable name; rename it and send it again.\nThe other file was stored.'
    )


def test_a_request_that_says_nothing_of_its_length_is_411(tmp_path: Path) -> None:
    visitor = host_visitor(tmp_path, UploadSet("files", ["txt"]))
    answer = visitor.client.post(
        "/upload",
        content_type=CONTENT_TYPE,
        headers={"X-CSRFToken": visitor.token()},
        environ_overrides={"CONTENT_LENGTH": ""},
    )
    assert_refused(answer, 411, "The upload must say its length; send it with Content-Length.")
