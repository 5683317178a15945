"""The rules a part must meet, for every way that its bytes can be cut into pieces."""

import re
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from io import BytesIO
from itertools import pairwise

import pytest
from core import SAMPLES
from corpus.formats import exif, gif, office, pe, picture, zipped
from hypothesis import example, given
from hypothesis import strategies as st
from support import missing

from dropzone_app.checks import Rules, Screening, check_counts, check_name, listed
from dropzone_app.config import MAX_PIXELS, Size
from dropzone_app.content import libmagic
from dropzone_app.content.texts import TextProbe
from dropzone_app.errors import Rejected
from dropzone_app.kinds import DEFAULT_TYPES, HEAD
from dropzone_app.languages import capital


def rules(*extensions: str, **limits: int | None) -> Rules:
    given = {
        "max_file_size": 10_000_000,
        "max_files": None,
        "max_parts": 100,
        "max_total_size": None,
        "max_pixels": MAX_PIXELS,
        **limits,
    }
    sizes = {name: Size(given[name]) if given[name] else None for name in ("max_file_size", "max_total_size")}
    return Rules(extensions=extensions or DEFAULT_TYPES, **{**given, **sizes})


def screen(accepted: Rules, filename: str, *pieces: bytes) -> str | None:
    """The row of the table that refuses this file, None for one that is accepted."""
    screening = Screening(accepted, filename)
    for piece in pieces:
        screening.feed(piece)
    rejected = screening.finish(lambda: BytesIO(b"".join(pieces)))
    assert rejected is screening.rejected
    return rejected.code if rejected else None


def is_text(*pieces: bytes) -> bool:
    probe = TextProbe()
    # Not all(): a probe that has said no may be asked again.
    verdicts = [probe.feed(piece) for piece in pieces]
    return all(verdicts) and probe.finish()


# ---- names


@pytest.mark.parametrize("filename", ["photo.png", "PHOTO.PNG", "photo.Png", "a.exe.png", "photo.png. ."])
def test_an_accepted_extension_is_accepted_in_any_case(filename: str) -> None:
    check_name(rules("png"), filename)


@pytest.mark.parametrize(
    ("filename", "code", "status"),
    [
        ("", "empty_name", 400),
        ("photo", "no_extension", 415),
        (".png", "no_extension", 415),
        ("photo.png.exe", "extension", 415),
        ("photo.png.exe.", "extension", 415),
        ("photo.png\u200d", "extension", 415),
    ],
)
def test_what_has_no_accepted_extension_is_refused(filename: str, code: str, status: int) -> None:
    with pytest.raises(Rejected) as refused:
        check_name(rules("png"), filename)
    assert (refused.value.code, refused.value.status) == (code, status)


@pytest.mark.parametrize(
    "extension", ["html", "htm", "svg", "js", "php", "exe", "sh", "xhtml", "svgz", "mjs", "hta"]
)
def test_nothing_that_a_browser_or_server_runs_is_accepted_by_default(extension: str) -> None:
    assert screen(rules(), f"file.{extension}", b"hello") == "extension"


def test_a_refused_name_makes_every_further_byte_unwanted() -> None:
    screening = Screening(rules("png"), "notes.exe")
    assert screening.feed(b"x" * 100) is False
    assert screening.feed(b"y" * 100) is False
    assert screening.size == 200, "a refused part is counted all the same"


# ---- content


@pytest.mark.parametrize("extension", DEFAULT_TYPES)
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_a_real_file_is_accepted_however_its_bytes_arrive(extension: str, step: int) -> None:
    sample = SAMPLES[extension]
    pieces = [sample[at : at + step] for at in range(0, len(sample), step)]
    assert screen(rules(), f"file.{extension}", *pieces) is None


@pytest.mark.parametrize("extension", DEFAULT_TYPES)
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_a_program_is_refused_under_every_name(extension: str, step: int) -> None:
    program = pe()
    pieces = [program[at : at + step] for at in range(0, len(program), step)]
    assert screen(rules(), f"file.{extension}", *pieces) == "other_kind"


@pytest.mark.parametrize(
    "extension", ["jpg", "png", "gif", "webp", "pdf", "docx", "mp4", "mov", "ogg", "wav"]
)
def test_a_page_is_refused_under_the_name_of_what_is_no_text(extension: str) -> None:
    assert screen(rules(), f"file.{extension}", b"<!DOCTYPE html><script>alert(1)</script>") == "other_kind"


def test_the_refusal_says_what_the_file_really_is() -> None:
    screening = Screening(rules(), "photo.png")
    screening.feed(SAMPLES["jpg"])
    assert screening.rejected and screening.rejected.text == (
        "the file is named .png, but its content is a JPEG image, not a PNG image; "
        "give it its right name or choose another file."
    )


def test_a_short_file_is_judged_when_it_ends() -> None:
    assert screen(rules(), "a.png", b"\x89PN") == "not_the_kind"
    assert screen(rules(), "a.png", b"\x89PNG\r\n\x1a\n") == "cut_off"


def test_content_is_judged_as_soon_as_its_head_is_there() -> None:
    screening = Screening(rules(), "a.png")
    assert screening.feed(b"x" * (HEAD - 1)) is True
    assert screening.feed(b"x") is False


@pytest.mark.parametrize("extension", ["png", "pdf", "docx", "mp3"])
def test_an_empty_file_is_refused_where_its_kind_cannot_be_empty(extension: str) -> None:
    assert screen(rules(), f"a.{extension}") == "empty_file"
    assert screen(rules(), f"a.{extension}", b"") == "empty_file"


@pytest.mark.parametrize("extension", ["txt", "csv", "json", "md"])
def test_an_empty_text_is_a_text(extension: str) -> None:
    assert screen(rules(), f"a.{extension}") is None


def test_a_pdf_may_have_a_preamble() -> None:
    assert screen(rules(), "a.pdf", b"\n" * 1000 + SAMPLES["pdf"]) is None
    assert screen(rules(), "a.pdf", b"\n" * 1020 + SAMPLES["pdf"]) == "not_the_kind"


def test_an_extension_without_a_signature_is_taken_by_its_name() -> None:
    assert screen(rules("dwg"), "plan.dwg", b"\0\1\2") is None
    assert screen(rules("dwg"), "plan.dwg") is None


# ---- structure


class Counted(BytesIO):
    """A file that tells what was read of it."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def test_what_the_first_bytes_tell_is_not_read_again() -> None:
    opened: list[bytes] = []

    def opener() -> BytesIO:
        opened.append(b"")
        return BytesIO()

    for name, data in {
        **{f"a.{kind}": SAMPLES[kind] + bytes(9000) for kind in ("png", "gif", "webm", "mp4")},
        "a.dwg": b"AC1032" + bytes(9000),
        "a.txt": b"words " * 1000,
        "a.tsv": b"a\tb\n" * 1000,
    }.items():
        screening = Screening(rules(*DEFAULT_TYPES, "dwg"), name)
        screening.feed(data)
        assert screening.finish(opener) is None, name
    assert opened == []


@pytest.mark.parametrize(
    ("name", "made", "most"),
    [
        ("a.jpg", lambda: picture("JPEG", exif=exif(1, 60_000)) + bytes(20_000_000), 4096),
        ("a.pdf", lambda: SAMPLES["pdf"] + bytes(20_000_000) + b"%%EOF", 40_000),
        (
            "a.zip",
            lambda: zipped({f"{n}.txt": "x" for n in range(5000)} | {"big": bytes(8)}, comment=b"x" * 60_000),
            140_000,
        ),
        ("a.docx", lambda: office("docx", extra={f"word/{n}.xml": "" for n in range(30_000)}), 2_100_000),
        ("a.json", lambda: b"[" + b"1," * 10_000_000 + b"1]", 10_000),
        ("a.xml", lambda: b"<a>" + b"<b/>" * 5_000_000 + b"</a>", 1_100_000),
        ("a.mp3", lambda: b"\xff" * 10_000_000, 100_000),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_however_large_a_file_is_little_of_it_is_read_again(
    name: str, made: Callable[[], bytes], most: int
) -> None:
    data = made()
    counted = Counted(data)
    screening = Screening(rules(*DEFAULT_TYPES, "zip", max_file_size=1_000_000_000), name)
    for at in range(0, len(data), 1 << 20):
        screening.feed(data[at : at + (1 << 20)])
    screening.finish(lambda: counted)
    assert counted.taken <= most


@pytest.mark.parametrize("piece", [b'"\\', b'"', b"/*", b"/", b", ", b"[,", b'"\\"', b"\\"])
def test_json_is_judged_in_a_moment_whatever_has_no_end_in_it(piece: bytes) -> None:
    # By the square of its length this would take hours.
    assert screen(rules("json"), "a.json", b"[" + piece * (1_000_000 // len(piece))) == "bad_syntax"


def test_a_picture_with_too_many_pixels_is_told_both_numbers() -> None:
    screening = Screening(rules("gif", max_pixels=12_000_000), "a.gif")
    screening.feed(gif(30_000, 30_000))
    rejected = screening.finish(BytesIO)
    assert rejected and rejected.text == (
        "the picture has 900 megapixels (30,000 × 30,000 pixels); the limit is 12 megapixels. Make it smaller."
    )


def test_a_picture_with_hardly_too_many_pixels_is_told_numbers_that_differ() -> None:
    screening = Screening(rules("gif", max_pixels=100_000_000), "a.gif")
    screening.feed(gif(10_001, 10_000))
    rejected = screening.finish(BytesIO)
    assert (
        rejected and "has 100.01 megapixels" in rejected.text and "limit is 100 megapixels" in rejected.text
    )


def test_the_last_number_of_pixels_is_accepted() -> None:
    for limit, code in ((4001, None), (4000, None), (3999, "too_many_pixels")):
        assert screen(rules("gif", max_pixels=limit), "a.gif", gif(80, 50)) == code


def test_a_mistake_in_data_is_told_by_its_place() -> None:
    screening = Screening(rules("json"), "a.json")
    screening.feed(b'{\n  "a": 1\n  "b": 2\n}\n')
    rejected = screening.finish(BytesIO)
    assert rejected and "line 3, column 3" in rejected.text


@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_no_broken_file_breaks_the_check(extension: str, data: st.DataObject) -> None:
    """A good file with bytes changed, removed and added anywhere has a verdict, whatever that is."""
    content = bytearray(SAMPLES[extension][:4000])
    for _ in range(data.draw(st.integers(0, 8))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    screen(rules(*SAMPLES), f"a.{extension}", bytes(content))


@given(st.sampled_from(sorted(SAMPLES)), st.binary(max_size=3000))
def test_no_bytes_behind_a_good_beginning_break_the_check(extension: str, tail: bytes) -> None:
    for length in (4, 8, 12, 30, 100):
        screen(rules(*SAMPLES), f"a.{extension}", SAMPLES[extension][:length] + tail)


# ---- libmagic


def test_libmagic_names_what_the_table_does_not_know() -> None:
    try:
        import magic  # noqa: F401
    except ImportError:
        missing("libmagic1 is not installed; `make test` installs it as root on Debian.")
    screening = Screening(rules("png"), "a.png")
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE a (b)")
        screening.feed(database.serialize())
    assert screening.rejected and re.search(
        r"its content is a file of the type application/[a-z.-]*sqlite3, not a PNG image",
        screening.rejected.text,
    )


@pytest.mark.parametrize(
    ("told", "code", "said"),
    [
        (
            "application/x-foo",
            "other_kind",
            "its content is a file of the type application/x-foo, not a PNG image",
        ),
        ("audio/mpeg", "other_kind", "its content is an MP3 file, not a PNG image"),
        ("image/png", "not_the_kind", "its content is not a PNG image"),
        (None, "not_the_kind", "its content is not a PNG image"),
    ],
)
def test_what_libmagic_says_is_only_a_name(
    monkeypatch: pytest.MonkeyPatch, told: str | None, code: str, said: str
) -> None:
    monkeypatch.setattr(libmagic, "type_of", lambda head: told)
    screening = Screening(rules("png", "txt"), "a.png")
    screening.feed(bytes(2000))
    assert screening.rejected and (screening.rejected.code, said in screening.rejected.text) == (code, True)
    assert screen(rules(), "a.txt", b"whatever it says of this\n" * 100) is None


def test_nothing_is_missed_where_libmagic_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "magic", None)
    libmagic._magic.cache_clear()
    try:
        assert libmagic.type_of(SAMPLES["png"]) is None
        assert screen(rules("png"), "a.png", bytes(2000)) == "not_the_kind"
    finally:
        libmagic._magic.cache_clear()


# ---- sizes


@pytest.mark.parametrize("step", [1, 7, 100])
def test_the_limit_is_the_last_size_that_is_accepted(step: int) -> None:
    accepted = rules("dwg", max_file_size=100)
    for size, code in ((99, None), (100, None), (101, "too_large")):
        assert (
            screen(accepted, "a.dwg", *[b"x" * min(step, size - at) for at in range(0, size, step)]) == code
        )


def test_a_refusal_for_its_size_tells_the_true_size() -> None:
    screening = Screening(rules("dwg", max_file_size=10_000_000), "a.dwg")
    assert screening.feed(bytes(10_000_000)) is True
    assert screening.feed(b"x") is False
    screening.feed(bytes(2_099_999))
    rejected = screening.finish(BytesIO)
    assert rejected and rejected.text == "the file is 12.1 MB; the limit is 10 MB."


def test_a_size_just_over_the_limit_is_told_so_that_both_numbers_differ() -> None:
    screening = Screening(rules("dwg", max_file_size=10_000_000), "a.dwg")
    screening.feed(bytes(10_000_001))
    rejected = screening.finish(BytesIO)
    assert rejected and rejected.text == "the file is 10,000,001 bytes; the limit is 10,000,000 bytes."


def test_a_wrong_name_is_the_better_reason_than_a_size() -> None:
    assert screen(rules("dwg", max_file_size=10), "a.exe", bytes(100)) == "extension"


# ---- text


CONTROLS = [*range(0x09), *range(0x0E, 0x1B), *range(0x1C, 0x20)]


@pytest.mark.parametrize(
    "data",
    [
        b"plain",
        "Grüße, 世界, 😀\r\n\t".encode(),
        "\ufeffwith a mark".encode(),
        b"tables\x0bwith\x0cold\x1b[1mescapes",
        "Grüße".encode("latin-1"),
        "“Windows” – €".encode("cp1252"),
        "Привет".encode("cp1251"),
        "日本語".encode("shift_jis"),
        "Grüße, 😀".encode("utf-16"),
        b"\xfe\xff" + "Grüße, 😀".encode("utf-16-be"),
        "Grüße, 😀".encode("utf-32"),
        b"\0\0\xfe\xff" + "Grüße, 😀".encode("utf-32-be"),
        b"\xff\xfe",
        b"",
        b"a",
        b"\xc3",
        b"caf\xe9",
        "é".encode() * 3 + b"\xff",
    ],
)
def test_text_is_text_wherever_it_is_split(data: bytes) -> None:
    assert is_text(data)
    assert is_text(*[data[at : at + 1] for at in range(len(data))])
    for at in range(len(data)):
        assert is_text(data[:at], data[at:])


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        b"text\0",
        b"some text\0and more",
        b"\x01\x02\x03",
        b"\x01text caf\xe9",
        b"caf\xe9 \x01",
        "Grüße \x02".encode(),
        b"\x89PNG\r\n\x1a\n",
        b"\x7fELF\x02\x01",
        "no mark".encode("utf-16-le"),
        "a NUL \0".encode("utf-16"),
        "a \x01".encode("utf-32"),
        "cut".encode("utf-16")[:-1],
        "cut".encode("utf-32")[:-1],
        b"\xff\xfe\x00\xd8a\x00",
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_text_is_none_wherever_it_is_split(data: bytes) -> None:
    assert not is_text(data)
    assert not is_text(*[data[at : at + 1] for at in range(len(data))])
    for at in range(len(data)):
        assert not is_text(data[:at], data[at:])


@pytest.mark.parametrize("control", CONTROLS)
def test_no_text_has_this_control_character(control: int) -> None:
    assert not is_text(b"plain" + bytes([control]))
    assert not is_text(b"caf\xe9" + bytes([control]))
    assert not is_text(("Grüße" + chr(control)).encode("utf-16"))


@given(
    st.one_of(
        st.binary(max_size=40),
        st.text().map(str.encode),
        st.text().map(lambda t: t.encode("utf-16", "replace")),
    ),
    st.lists(st.integers(0, 40)),
)
@example(b"\x01aaa\xe9", [4])
def test_where_bytes_are_split_decides_nothing(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges)]
    assert is_text(*pieces) == is_text(data)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters=[chr(c) for c in CONTROLS])))
def test_every_unicode_text_is_text(text: str) -> None:
    assert is_text(text.encode())
    assert is_text(text.encode("utf-16"))
    assert is_text(text.encode("utf-32"))


@given(st.binary(max_size=200))
def test_bytes_are_text_by_the_rule(data: bytes) -> None:
    """The rule written down once more: decoded as a whole, then looked at."""
    for mark, encoding in (
        (b"\xff\xfe\0\0", "utf-32"),
        (b"\0\0\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if data.startswith(mark):
            try:
                text = data.decode(encoding)
            except UnicodeDecodeError:
                assert not is_text(data)
                return
            break
    else:
        text = data.decode("latin-1")
    assert is_text(data) == (not {ord(character) for character in text} & set(CONTROLS))


# ---- counts and sentences


def test_counts_are_held_in_the_order_of_what_helps_most() -> None:
    check_counts(rules(max_files=2, max_parts=3, max_total_size=100), [50, 50])
    for limits, sizes, code in (
        ({"max_files": 2}, [1, 1, 1], "too_many_files"),
        ({"max_parts": 2}, [1, 1, 1], "too_many_parts"),
        ({"max_total_size": 100}, [50, 51], "total_too_large"),
    ):
        with pytest.raises(Rejected) as refused:
            check_counts(rules(**limits), sizes)
        assert refused.value.code == code


def test_a_list_names_a_rest_of_one_and_counts_a_longer_one() -> None:
    assert listed(["A", "B"], 2) == "A, B"
    assert listed(["A", "B", "C"], 2) == "A, B, C"
    assert listed(["A", "B", "C", "D"], 2) == "A, B and 2 more kinds"


def test_what_is_accepted_is_said_in_a_sentence_and_an_attribute() -> None:
    accepted = rules("jpg", "jpeg", "png", max_file_size=5_000_000_000)
    assert accepted.sentence == "JPEG, PNG, up to 5 GB each."
    assert accepted.accept == ".jpg,.jpeg,.png"
    assert accepted.accepted == "JPEG, PNG"
    assert capital(rules("txt", max_files=20).sentence) == "Text, up to 10 MB each, 20 at a time."
