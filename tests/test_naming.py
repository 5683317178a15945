"""Names: what a person sees, and what lies in the storage, for any string that a client can send."""

import unicodedata

import core  # noqa: F401  # its settings of hypothesis
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dropzone_app.kinds import DEFAULT_TYPES
from dropzone_app.naming import (
    MAX_NAME_BYTES,
    MAX_PATH,
    display_name,
    display_path,
    extension_of,
    numbered,
    shown,
    storage_name,
)

# Beside any character: those that the rules are about, often.
NASTY = (
    "".join(map(chr, range(32)))
    + '\\/:*?"<>|.- \x7f\x85\u00a0\u200b\u200d\u202e\u2066\u2028\ufeff\u0338\u0301'
)
NAMES = st.one_of(
    st.text(st.characters(), max_size=400),
    st.text(st.sampled_from(NASTY + "aEé中😀ß"), max_size=60),
    st.tuples(
        st.text(max_size=300), st.sampled_from(["jpg", "TXT", "Png", "tar.gz", "csv", "jp\u200bg"])
    ).map(".".join),
    st.tuples(
        st.sampled_from(["con", "NUL", "com1", "LPT9", "COM¹", "conin$", "-", "."]), st.text(max_size=9)
    ).map("".join),
)
DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"} | {
    f"{device}{digit}" for device in ("COM", "LPT") for digit in "0123456789¹²³"
}


def assert_safe_on_every_file_system(name: str) -> None:
    """The rules for a name on disk, each written down once more, in other words than the code's."""
    assert name
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert unicodedata.is_normalized("NFC", name)
    for character in name:
        assert character not in '\\/:*?"<>|'
        assert unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"}
        assert unicodedata.bidirectional(character) not in {
            *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        }
        assert character not in "\u200e\u200f\u061c", "an invisible mark that turns the direction"
    assert name[0] not in ".- "
    assert name[-1] not in ". "
    assert name.partition(".")[0].strip().upper() not in DEVICES


@given(NAMES)
@example("e\u200b\u0301.txt")
@example("\u2066a\u0301")
@example("con .txt")
@example("-con.txt")
@example("a." + "b" * 300)
@example(". .")
@example("\udc80.png")
def test_any_string_becomes_a_name_that_is_safe_everywhere(raw: str) -> None:
    assert_safe_on_every_file_system(storage_name(raw))
    assert_safe_on_every_file_system(storage_name(display_name(raw)))


@given(NAMES)
def test_the_extension_checked_is_the_extension_stored(raw: str) -> None:
    filename = display_name(raw)
    checked = extension_of(filename)
    if checked in DEFAULT_TYPES:
        assert extension_of(storage_name(filename)) == checked


@given(NAMES)
@example("e\u200b\u0301.txt")
@example("a  \u200b  b")
def test_a_name_once_cleaned_stays_as_it_is(raw: str) -> None:
    once = display_name(raw)
    assert display_name(once) == once
    safe = storage_name(raw)
    assert storage_name(safe) == safe


@given(NAMES)
def test_a_shown_name_is_normalised_has_no_path_and_nothing_that_cannot_be_seen(raw: str) -> None:
    name = display_name(raw)
    assert unicodedata.is_normalized("NFC", name)
    assert not set(name) & set("/\\")
    assert all(unicodedata.category(c) not in {"Cc", "Cs", "Zl", "Zp"} for c in name)
    assert name == name.strip(" ")
    assert len(name.encode()) <= MAX_NAME_BYTES


@pytest.mark.parametrize(
    ("sent", "displayed"),
    [
        ("C:\\Users\\me\\notes.txt", "notes.txt"),
        ("../../etc/passwd", "passwd"),
        ("holiday/day 1/beach.jpg", "beach.jpg"),
        ("u\u0308ber.txt", "über.txt"),
        ("e\u200b\u0301te\u0301.txt", "été.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("two\r\nlines.txt", "two lines.txt"),
        ("  spaced    out .txt ", "spaced out .txt"),
        ("👩\u200d👩\u200d👧.png", "👩\u200d👩\u200d👧.png"),
        ("Документ №1.pdf", "Документ №1.pdf"),
        ("文件.pdf", "文件.pdf"),
        ('say "hi": 1<2?.txt', 'say "hi": 1<2?.txt'),
        (".bashrc", ".bashrc"),
    ],
)
def test_what_a_person_sees_is_the_last_segment_of_what_was_sent(sent: str, displayed: str) -> None:
    assert display_name(sent) == displayed


@pytest.mark.parametrize(
    "sent", ["", " ", ".", "..", "...", "a/", "/", "\\", "\x00", "\u202e", "-_-", '"?"', "?*"]
)
def test_a_name_of_which_nothing_can_be_read_is_no_name(sent: str) -> None:
    assert display_name(sent) == ""


@pytest.mark.parametrize(
    ("filename", "stored"),
    [
        ("photo.jpg", "photo.jpg"),
        ("Фото.JPG", "Фото.JPG"),
        ('a\\b/c:d*e?f"g<h>i|j.txt', "a_b_c_d_e_f_g_h_i_j.txt"),
        (".htaccess", "htaccess"),
        ("--help.txt", "help.txt"),
        (". -x.txt", "x.txt"),
        ("-.png", "file.png"),
        ("evil.exe. . .", "evil.exe"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("Com1.tar.txt", "_Com1.tar.txt"),
        ("lpt².csv", "_lpt².csv"),
        ("-aux.md", "_aux.md"),
        ("aux .md", "_aux .md"),
        ("console.txt", "console.txt"),
        ("com10.txt", "com10.txt"),
    ],
)
def test_the_name_on_disk_is_the_persons_own_made_safe(filename: str, stored: str) -> None:
    assert storage_name(filename) == stored


@pytest.mark.parametrize("letter", ["a", "é", "中", "😀"])
def test_a_long_name_is_cut_between_characters_and_keeps_its_extension(letter: str) -> None:
    name = storage_name(letter * 300 + ".jpeg")
    assert name.endswith(letter + ".jpeg")
    assert MAX_NAME_BYTES - 4 < len(name.encode()) <= MAX_NAME_BYTES


@pytest.mark.parametrize(
    ("filename", "extension"),
    [
        ("a.JPG", "jpg"),
        ("a.tar.gz", "gz"),
        ("photo.jpg.exe", "exe"),
        ("evil.exe.", "exe"),
        ("evil.exe . ", "exe"),
        ("noextension", ""),
        (".png", ""),
        ("..png", ""),
        (" .png", ""),
        ("a.", ""),
        ("a .png", "png"),
        ("a. png", " png"),
    ],
)
def test_the_extension_is_the_last_suffix_as_windows_would_see_it(filename: str, extension: str) -> None:
    assert extension_of(filename) == extension


@given(NAMES, st.one_of(st.integers(1, 10**6), st.just("0123456789abcdef")))
@example("x" * 255, 1)
@example("x" * 251 + ".jpg", 999_999)
@example("." * 3, 1)
def test_a_numbered_name_is_as_safe_as_the_first(raw: str, number: int | str) -> None:
    name = storage_name(raw)
    checked = extension_of(name)
    again = numbered(name, number)
    assert again != name
    if len(checked) <= 16:
        assert_safe_on_every_file_system(again)
        assert extension_of(again) == checked


def test_the_number_stands_before_the_extension() -> None:
    assert numbered("photo.jpg", 2) == "photo_2.jpg"
    assert numbered("archive.tar.gz", 2) == "archive.tar_2.gz"
    assert numbered("README", 2) == "README_2"


@given(st.one_of(NAMES, st.lists(NAMES, max_size=9).map("/".join)))
@example("../../a")
@example("a/\u202e../b")
@example("\u200b.\u200b./x")
@example("x" * 2000)
def test_a_dropped_path_is_relative_printable_and_leads_nowhere_up(raw: str) -> None:
    path = display_path(raw)
    assert len(path) <= MAX_PATH
    assert not path.startswith("/") and not path.endswith("/") and "\\" not in path
    assert unicodedata.is_normalized("NFC", path)
    for segment in path.split("/") if path else []:
        assert segment.strip(". ")
        assert all(unicodedata.category(c) not in {"Cc", "Cs", "Zl", "Zp"} for c in segment)
    assert display_path(path) == path


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        ("holiday/day 1", "holiday/day 1"),
        ("C:\\Users\\me", "C:/Users/me"),
        ("/etc/../x/./y//z/", "etc/x/y/z"),
        ("..", ""),
        ("", ""),
        ("a\nb/c", "a b/c"),
    ],
)
def test_a_path_is_shown_as_it_was_dropped(sent: str, path: str) -> None:
    assert display_path(sent) == path


@given(NAMES, st.integers(10, 80))
def test_a_name_in_an_answer_is_short_and_one_line(raw: str, length: int) -> None:
    name = shown(raw, length)
    assert len(name) <= length
    assert len(name.splitlines()) <= 1


def test_a_shortened_name_keeps_its_beginning_and_its_extension() -> None:
    name = shown("a very long name of a photograph that somebody took on a beach in summer.jpeg")
    assert len(name) == 60
    assert name.startswith("a very long name") and name.endswith("in summer.jpeg") and "…" in name
    assert shown("x" * 60) == "x" * 60


@pytest.mark.parametrize("name", ["a." + "x" * 250, "a." + "写" * 84, "x" * 255, "a.jpg", "file"])
def test_a_number_never_makes_a_name_too_long(name: str) -> None:
    made = numbered(name, "0" * 16)
    assert len(made.encode()) <= 255
    assert made != name
    assert "0" * 16 in made
