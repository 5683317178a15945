"""A PDF is called inert only where nothing in it acts, and then it is shown in place."""

import random
import re
import struct
import tempfile
import zlib
from pathlib import Path

import pytest
from core import site_of
from corpus import formats
from corpus.pdfs import file, live, opening, packed, predicted, script
from webclient import Visitor, host_visitor

from dropzone_app import UploadSet
from dropzone_app.content import pdf

ALERT = "app.alert('ran')"
LIVE = live(ALERT)
OPENING_VIEW = b"[3 0 R/XYZ 0 200 0]"
#: The dictionary of an object stream as its writers lay it out.
WRITERS = {
    "pdfTeX": b"\n/Filter /FlateDecode\n",
    "Adobe": b"/Filter/FlateDecode/Extends 9 0 R",
    "an array": b"/Filter [ /FlateDecode ]/DL 300",
}


def is_inert(content: bytes) -> bool:
    with tempfile.TemporaryFile() as opened:
        opened.write(content)
        opened.flush()
        return pdf.is_inert(opened)


def link(action: bytes) -> list[bytes]:
    """A page with a link, in an outline too."""
    return [
        b"<</Type/Catalog/Pages 2 0 R/Outlines 4 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Annots[<</Subtype/Link/Rect[0 0 9 9]/A%b>>]>>"
        % action,
        b"<</Type/Outlines/First 5 0 R/Last 5 0 R/Count 1>>",
        b"<</Title(One \\(or two\\))/Parent 4 0 R/A%b>>" % action,
    ]


HARMLESS = {
    "of one page": formats.pdf(),
    "beginning at a place": file(opening(OPENING_VIEW)),
    "beginning with a turn of the page": file(opening(b"<</S/GoTo/D[3 0 R/Fit]>>")),
    "beginning with an action elsewhere": file([*opening(b" 4 0 R"), b"<</S/GoTo/D[3 0 R/Fit]>>"]),
    "with a link": file(link(b"<</S/URI/URI(https://example.org/JSON)>>")),
    "with a button that turns the page": file(link(b"<</S/Named/N/NextPage>>")),
    "with names in hexadecimal": file([*opening(OPENING_VIEW), b"<</BaseFont/ABCDEF+Arial#2CBold/A#42 1>>"]),
    "with names that only begin alike": file(
        [*opening(OPENING_VIEW), b"<</JSX 1/AAB 2/Named1 3/JavaScripts 4>>"]
    ),
    "packed": packed(opening(OPENING_VIEW)),
    "packed, with a link": packed(link(b"<</S/URI/URI(https://example.org)>>")),
    "packed beside a picture": packed(
        opening(OPENING_VIEW),
        behind=[
            b"<</Subtype/Image/Filter/FlateDecode/DecodeParms<</Predictor 15/Columns 3>>/Width 1/Height 1"
            b"/ColorSpace[/Indexed/DeviceRGB 1(\\)>>%\\(a(b(c)))]/Length 1>>\nstream\nx\nendstream"
        ],
        trailer=b"/Info<</Title<feff>/Subject(a)>>%>>\n",
    ),
    **{
        f"packed as by {writer}": packed(opening(OPENING_VIEW), stream=keys)
        for writer, keys in WRITERS.items()
    },
}


@pytest.mark.parametrize("what", LIVE)
def test_a_script_is_found_wherever_it_hides(what: str) -> None:
    assert not is_inert(LIVE[what])


@pytest.mark.parametrize("what", HARMLESS)
def test_what_only_shows_pages_is_inert(what: str) -> None:
    assert is_inert(HARMLESS[what])


@pytest.mark.parametrize(
    "action",
    [
        b"<</S/Launch/F(a.exe)>>",
        b"<</S/SubmitForm/F(https://example.org)>>",
        b"<</S/ImportData/F(a.fdf)>>",
        b"<</S/Named/N/Print>>",
        b"<</S/Named/N(Print)>>",
        b"<</S/Named/N/NextPage/N/Print>>",
        b"<</S/Named/N/#50rint>>",
        b"<</S/#4eamed/N/Print>>",
        b"<</S/Rendition/JS(1)>>",
        b"<</S/GoToE/T<</R/C>>>>",
    ],
)
@pytest.mark.parametrize("keep", [file, packed])
def test_other_actions_than_to_turn_a_page_or_follow_a_link_are_found(keep: object, action: bytes) -> None:
    assert callable(keep)
    assert not is_inert(keep(link(action)))
    assert not is_inert(keep(opening(action)))


@pytest.mark.parametrize("key", [b"XFA", b"AA", b"EmbeddedFiles", b"RichMedia", b"Encrypt"])
def test_what_brings_more_than_pages_along_is_found(key: bytes) -> None:
    assert not is_inert(file(opening(OPENING_VIEW + b"/%b 4 0 R" % key)))
    assert not is_inert(packed(opening(OPENING_VIEW + b"/%b 4 0 R" % key)))


@pytest.mark.parametrize(
    "keys",
    [
        b"",
        b"/Filter/LZWDecode",
        b"/Filter/Fl",
        b"/Filter[/FlateDecode/FlateDecode]",
        b"/Filter/FlateDecode/DP<<>>",
        b"/Filter/FlateDecode/F/ASCIIHexDecode",
        b"/Filter/FlateDecode/Decode#50arms<<>>",
        b"/Filter/FlateDecode%a comment\n",
        b"/Filter/FlateDecode/X(a string)",
        b"/Length/Filter/FlateDecode 1",
        b"/Filter/FlateDecode/X<</A 1>>",
    ],
)
def test_an_object_stream_that_is_packed_in_another_way_is_not_trusted(keys: bytes) -> None:
    assert not is_inert(packed(opening(OPENING_VIEW), stream=keys))


@pytest.mark.parametrize(
    "before",
    [
        b"4 0 obj<</DecodeParms 9 0 R/X endobj ",
        b"4 0 obj<</DecodeParms 9 0 R/X[endobj ",
        b"4 0 obj<</DecodeParms 9 0 R/X<</Length 0>>stream\nendstream ",
        b"4 0 obj<</DecodeParms 9 0 R/X(>>stream\n)/Y endobj ",
        b"4 0 obj<</DecodeParms 9 0 R%>>stream\n/Y endobj ",
        b"4 0 obj<</DecodeParms 9 0 R/X<a>>stream\n>/Y endobj ",
        b"4 0 obj<</DecodeParms 9 0 R/X((((>>)))) endobj ",
    ],
)
def test_a_dictionary_that_began_before_it_seems_to_is_not_trusted(before: bytes) -> None:
    assert not is_inert(packed(opening(OPENING_VIEW), before=before))
    assert is_inert(packed(opening(OPENING_VIEW), before=before.replace(b"DecodeParms", b"Other")))


def hexadecimal(data: bytes) -> bytes:
    """Deflated without packing, with the data as digits in hexadecimal, and none before them."""
    digits = data.hex().encode() + b">"
    while set(sizes := struct.pack("<HH", len(digits), len(digits) ^ 0xFFFF)) & set(
        b"0123456789abcdefABCDEF>"
    ):
        digits += b" "
    return b"x\1\1" + sizes + digits + zlib.adler32(digits).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("keys", "pack"),
    [
        (b"/DP<</Predictor 15/Columns 1>>", predicted),
        (b"/DP 9 0 R", predicted),
        (b"/F/ASCIIHexDecode", hexadecimal),
        (b"/F /AHx", hexadecimal),
        (b"/F[/AHx]", hexadecimal),
        (b"/F[ 9 0 R ]", hexadecimal),
        (b"/F 9 0 R", hexadecimal),
        (b"/F +9%\n0 R", hexadecimal),
        (b"/F%\n/AHx", hexadecimal),
        (b"/F%a\r\n%b\n/AHx", hexadecimal),
        (b"/F%" + 500 * b"a" + b"\n/AHx", hexadecimal),
        (b"/F%" + 499 * b"a" + b"\n [/AHx]", hexadecimal),
        (b"/F%\n" + 100 * b" " + b"/AHx", hexadecimal),
        (b"/F 9" + 100 * b" " + b"0 R", hexadecimal),
        (b"/F/#41Hx", hexadecimal),
        (b"/#46/AHx", hexadecimal),
    ],
)
def test_short_keys_of_a_dictionary_that_began_before_are_found(keys: bytes, pack: object) -> None:
    for end in (b"", b"endobj"):
        before = b"4 0 obj\n<<%b/X\n%b\n" % (keys, end)
        assert not is_inert(packed(opening(script(ALERT)), before=before, pack=pack))


@pytest.mark.parametrize(
    "keys", [b"/F 4", b"/F 4/H/I", b"/F(a.pdf)", b"/F <feff>", b"/F<</F(a)>>", b"/F/Name"]
)
def test_flags_and_names_of_files_are_no_filters(keys: bytes) -> None:
    assert is_inert(packed(opening(OPENING_VIEW), behind=[b"<<%b>>" % keys]))


def test_a_stream_is_an_object_stream_also_where_its_numbers_stand_elsewhere() -> None:
    acts = opening(script(ALERT))
    (first,) = re.findall(rb"/First ([0-9]+)", packed(acts))
    for before in (b"", b"4 0 obj\n<</First 5 0 R/X\n"):
        indirect = packed(acts, before=before, behind=[first])
        indirect = indirect.replace(b"/Type/ObjStm", b"").replace(b"/First " + first, b"/First 5 0 R")
        assert not is_inert(indirect)


def test_a_stream_is_an_object_stream_also_by_what_another_object_says() -> None:
    typed = packed(opening(OPENING_VIEW), behind=[b"/ObjStm"])
    assert not is_inert(typed)
    assert not is_inert(packed([*opening(OPENING_VIEW), b"/ObjStm"]))
    untyped = packed(opening(b"<</S/JavaScript/JS(1)>>")).replace(b"/Type/ObjStm", b"")
    assert not is_inert(untyped)


def test_a_name_is_found_wherever_it_lies_in_a_large_file() -> None:
    for shift in range(1, 40):
        assert not is_inert(bytes(pdf._PIECE - shift) + b"/Java#53cript 5" + bytes(300)), shift
        assert is_inert(bytes(pdf._PIECE - shift) + b"/Named /N /NextPage >>" + bytes(300)), shift


def test_random_bytes_such_as_pictures_have_are_no_names() -> None:
    picture = random.Random(1).randbytes(5_000_000)
    assert is_inert(picture)
    assert is_inert(packed(opening(OPENING_VIEW)) + picture)


def test_what_would_grow_or_last_without_end_is_given_up() -> None:
    stream = b"<</Type/ObjStm/N 1/First 4/Filter/FlateDecode>>stream\n"
    assert not is_inert(stream + zlib.compress(b"1 0 " + bytes(20 << 20), 9))
    assert not is_inert(stream + zlib.compress(b"1 0 <<>>")[:-5])
    assert not is_inert((stream + zlib.compress(b"1 0 <<>>")) * (pdf._STREAMS + 1))
    good = stream + zlib.compress(b"1 0 <<>>")
    assert is_inert(good)
    assert not is_inert(good + b"/DecodeParms" + b"<<" * 40_000)
    assert not is_inert(good + (b"(" + b"/DecodeParms " * 2000 + b")>>") * 2)
    assert not is_inert(b"/a#41" * (pdf._ESCAPED + 1))
    assert not is_inert(b"/F%" * (pdf._SHORTS + 1) + b"\n)")
    with tempfile.TemporaryFile() as large:
        large.truncate(pdf._LARGEST + 1)
        assert not pdf.is_inert(large)
        large.truncate(0)
        assert not pdf.is_inert(large)


def test_a_dictionary_is_read_once_however_many_keys_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    plain_stream = pdf._plain_stream
    monkeypatch.setattr(pdf, "_plain_stream", lambda data, at: read.append(at) or plain_stream(data, at))
    assert is_inert(2 * packed(opening(OPENING_VIEW), stream=b"/Filter/FlateDecode" + b"/First 12" * 5000))
    assert len(read) == 2


# ---- and so it is served


@pytest.fixture
def visitor(database: str, tmp_path: Path) -> Visitor:
    return host_visitor(tmp_path, UploadSet("files", ["pdf"]))


def disposition(visitor: Visitor, url: str) -> str:
    return visitor.get(url).headers["Content-Disposition"].partition(";")[0]


def test_only_an_inert_pdf_is_shown_in_place(visitor: Visitor) -> None:
    contents = [HARMLESS["with a link"], LIVE["packed"], HARMLESS["packed"], LIVE["locked"]]
    files = visitor.store(*((f"file[{n}]", "a.pdf", content) for n, content in enumerate(contents)))
    shown = ["inline", "attachment", "inline", "attachment"]
    assert [disposition(visitor, file["url"]) for file in files] == shown


def test_of_a_pdf_that_was_stored_before_anybody_looked_nothing_is_known(visitor: Visitor) -> None:
    (stored,) = visitor.store(("file", "a.pdf", HARMLESS["of one page"]))
    assert disposition(visitor, stored["url"]) == "inline"
    records = site_of(visitor.app).records
    with records._write() as connection:
        connection.exec_driver_sql("UPDATE files SET inert = NULL")
    assert disposition(visitor, stored["url"]) == "attachment"
