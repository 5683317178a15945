"""Names: what a person sees, and what lies in the storage; what holds for all stands in test_naming_properties.py."""

import pytest

from dropzone_app.naming import (
    MAX_NAME_BYTES,
    display_name,
    display_path,
    extension_of,
    numbered,
    shown,
    storage_name,
)


@pytest.mark.parametrize(
    ("sent", "displayed"),
    [
        ("C:\\Users\\me\\notes.txt", "notes.txt"),
        ("../../etc/passwd", "passwd"),
        ("holiday/day 1/beach.jpg", "beach.jpg"),
        ("u\u0308ber.txt", "über.txt"),
        ("e\u200b\u0301te\u0301.txt", "été.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("two\r\nlines.txt", "two  lines.txt"),
        ("  spaced    out .txt ", "spaced    out .txt"),
        # As macOS names screenshots, and an ideographic blank.
        ("Screenshot at 1.02.03\u202fPM.png", "Screenshot at 1.02.03\u202fPM.png"),
        ("\u3000旅行\u3000写真.jpg\xa0", "旅行\u3000写真.jpg"),
        ("👩\u200d👩\u200d👧.png", "👩\u200d👩\u200d👧.png"),
        # Persian with the joint that it needs, and the flag of Scotland.
        ("نامه\u200cها.pdf", "نامه\u200cها.pdf"),
        (
            "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f.png",
            "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f.png",
        ),
        # The same letters where they say something unseen, and what is newer than this Python.
        ("a\U000e0067\U000e007f\U0001f3f4.png", "a\U0001f3f4.png"),
        ("\U0004abcd.png", "\U0004abcd.png"),
        ("\uffff\U0010fffe\ufdd0a.png", "a.png"),
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
        # Some systems refuse letters that they do not know yet.
        ("\U0004abcd a.\U0004abcd", "_ a._"),
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


def test_the_number_stands_before_the_extension() -> None:
    assert numbered("photo.jpg", 2) == "photo_2.jpg"
    assert numbered("archive.tar.gz", 2) == "archive.tar_2.gz"
    assert numbered("README", 2) == "README_2"


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
