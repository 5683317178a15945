"""What holds for every name there can be: safe on disk, never over another, and the same wherever it is met again."""

import html.parser
import itertools
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import core
import pytest
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from webclient import Visitor
from werkzeug.http import parse_options_header

from dropzone_app import ALL, AllExcept, UploadSet
from dropzone_app.kinds import DEFAULT_TYPES
from dropzone_app.naming import (
    MAX_NAME_BYTES,
    MAX_PATH,
    display_name,
    display_path,
    extension_of,
    numbered,
    shown,
    storage_key,
    storage_name,
)

# Beside any character: those that the rules are about, often.
NASTY = (
    "".join(map(chr, range(32)))
    + '\\/:*?"<>|.- \x7f\x85\u00a0\u200b\u200c\u200d\u202e\u2066\u2028\ufeff\u0338\u0301\u030c'
    + "\u2065\ufdd0\uffff\U0002fffe\U000e0020\U000e007f\U000e0080"
)
SCOTLAND = "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in "gbsct") + "\U000e007f"
#: Of a plane in which Unicode has assigned nothing, so that no Python knows it.
NEWER = "\U0004abcd"
NAMES = st.one_of(
    st.text(st.characters(), max_size=400),
    st.text(st.sampled_from(NASTY + "aEéJİ中😀ß"), max_size=60),
    st.tuples(
        st.text(max_size=300), st.sampled_from(["jpg", "TXT", "Png", "tar.gz", "csv", "jp\u200bg"])
    ).map(".".join),
    st.tuples(
        st.sampled_from(["con", "NUL", "com1", "LPT9", "COM¹", "conin$", "-", "."]), st.text(max_size=9)
    ).map("".join),
    # Names at the limit, where every letter that is put in pushes another one out.
    st.tuples(
        st.sampled_from(["con.", "-.", "x", ""]),
        st.integers(90, 130),
        st.sampled_from([".exe", ".jpg", "."]),
        st.sampled_from(["\u200d", "é", "a", " .", SCOTLAND, NEWER]),
        st.integers(20, 130),
    ).map(lambda p: p[0] + "A" * p[1] + p[2] + p[3] * p[4] + "y"),
)
PATHS = st.one_of(NAMES, st.lists(NAMES, max_size=9).map("/".join))
DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"} | {
    f"{device}{digit}" for device in ("COM", "LPT") for digit in "0123456789¹²³"
}
#: Checked as `exe`, this one would have been stored as one: the joiners go when the last letter is cut off.
PUSHED_OUT = "con." + "A" * 117 + ".exe" + "\u200d" * 43 + "y"


def assert_safe_on_every_file_system(name: str) -> None:
    """The rules for a name on disk, each written down once more, in other words than the code's."""
    assert name
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert unicodedata.is_normalized("NFC", name)
    for character in name:
        assert character not in '\\/:*?"<>|'
        assert unicodedata.category(character) not in {"Cc", "Cs", "Cn", "Co", "Zl", "Zp"}
        assert unicodedata.bidirectional(character) not in {
            *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        }
        assert character not in "\u200e\u200f\u061c", "an invisible mark that turns the direction"
    assert name[0] not in ".- "
    assert name[-1] not in ". "
    assert name.partition(".")[0].strip().upper() not in DEVICES


# ---- the pure functions


@given(NAMES)
@example("e\u200b\u0301.txt")
@example("\u2066a\u0301")
@example("con .txt")
@example("-con.txt")
@example("a." + "b" * 300)
@example(". .")
@example("\udc80.png")
@example(NEWER)
@example("x" * 240 + SCOTLAND)
def test_any_string_becomes_a_name_that_is_safe_everywhere(raw: str) -> None:
    assert_safe_on_every_file_system(storage_name(raw))
    assert_safe_on_every_file_system(storage_name(display_name(raw)))


@given(NAMES, st.one_of(st.none(), NAMES), PATHS)
@example("a.jpg", "../../x", "../.staging")
@example("a.jpg", None, "/etc/" + "d" * 300 + "/" + "写" * 900)
@example(PUSHED_OUT, PUSHED_OUT, "con/nul.txt/.thumbnails")
def test_any_three_strings_become_a_key_inside_the_storage(raw: str, wanted: str | None, folder: str) -> None:
    key = storage_key(display_name(raw), wanted, folder)
    assert len(key.encode()) < 4096 - 1024, "room for a root below PATH_MAX"
    for segment in key.split("/"):
        assert_safe_on_every_file_system(segment)
    assert os.path.normpath(key) == key


@given(NAMES, st.one_of(st.none(), NAMES), st.one_of(st.integers(1, 10**6), st.just("0123456789abcdef")))
@example(PUSHED_OUT, None, 1)
@example("x.b*c", None, 1)
@example("a.J\u030c", "random", 1)
@example("a." + "İ" * 50, "random", 1)
@example("Dr. " + "m" * 150, "x.php", 1)
@example("README", "x.php", 1)
@example(f"x.ex{NEWER}e", None, 1)
@example("x." + 30 * NEWER, None, 1)
def test_the_extension_checked_is_the_extension_stored(
    raw: str, wanted: str | None, number: int | str
) -> None:
    filename = display_name(raw)
    checked = extension_of(filename)
    key = storage_key(filename, wanted, "folder.exe")
    assert extension_of(key.rpartition("/")[2]) == checked
    again = numbered(key, number)
    assert again != key
    assert extension_of(again.rpartition("/")[2]) == checked
    assert_safe_on_every_file_system(again.rpartition("/")[2])


@given(NAMES)
@example("e\u200b\u0301.txt")
@example("a  \u200b  b")
@example("x" * 240 + SCOTLAND)
@example(PUSHED_OUT)
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


@given(PATHS)
@example("../../a")
@example("a/\u202e../b")
@example("\u200b.\u200b./x")
@example("x" * 2000)
@example("x" * (MAX_PATH - 3) + "/..x")
@example("x" * (MAX_PATH - 1) + " x")
@example("x" * (MAX_PATH - 4) + SCOTLAND)
def test_a_dropped_path_is_relative_printable_and_leads_nowhere_up(raw: str) -> None:
    path = display_path(raw)
    assert len(path) <= MAX_PATH
    assert not path.startswith("/") and not path.endswith("/") and "\\" not in path
    assert unicodedata.is_normalized("NFC", path)
    for segment in path.split("/") if path else []:
        assert segment.strip(". ")
        assert all(unicodedata.category(c) not in {"Cc", "Cs", "Zl", "Zp"} for c in segment)
    assert display_path(path) == path


@given(NAMES, st.integers(10, 80))
def test_a_name_in_an_answer_is_short_and_one_line(raw: str, length: int) -> None:
    name = shown(raw, length)
    assert len(name) <= length
    assert len(name.splitlines()) <= 1


on_one_app = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
"""All examples of a test go to the same one."""


# ---- through storage and records


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"folder": "{path}"},
        {"folder": "{owner}/{date}/{path}"},
        {"naming": lambda part: "always the same"},
        {"naming": lambda part: part.filename[::-1], "folder": lambda part: part.filename},
        {"naming": "digest", "folder": ""},
        {"naming": "timestamp"},
        {"naming": "random"},
    ],
    ids=["name", "path", "owner and date", "one name", "backwards", "digest", "timestamp", "random"],
)
def test_no_file_is_ever_stored_over_another(tmp_path: Path, options: dict[str, Any]) -> None:
    app = core.make_app(tmp_path, UploadSet("all", ALL, **options), UPLOADS_DURABLE=False)
    site = core.site_of(app)
    kept: dict[str, bytes] = {}
    # Few letters: many of these names differ in a way that the storage's own do not.
    alike = st.text(st.sampled_from("aA.:_-*\u0301é e1"), min_size=1, max_size=6)

    @given(st.lists(st.tuples(st.one_of(alike, NAMES), st.one_of(st.just(""), alike, PATHS)), max_size=8))
    @example([("a:b", ""), ("a*b", ""), ("a_b", ""), ("a_b", "x"), ("a_b_1", ""), ("é", ""), ("e\u0301", "")])
    def drop(files: list[tuple[str, str]]) -> None:
        contents = [b"%d of %d" % (n, len(kept)) for n in range(len(files))]
        parts = [(name, content) for (name, _), content in zip(files, contents, strict=True)]
        paths = {f"path_{n}": path for n, (_, path) in enumerate(files)}
        if not parts:
            return
        for verdict, content in zip(core.commit(site, *parts, **paths).verdicts, contents, strict=True):
            if verdict.record is None:
                # It has no name, or one that promises another content.
                assert verdict.rejected and verdict.rejected.status in {400, 415, 422}
                continue
            assert verdict.record.key not in kept
            kept[verdict.record.key] = content

    drop()
    assert len(kept) > 7
    assert core.visible(tmp_path) == sorted(kept)
    for key, content in kept.items():
        assert (tmp_path / "uploads" / key).read_bytes() == content


@on_one_app
@given(NAMES)
@example(PUSHED_OUT)
def test_what_is_denied_by_its_extension_is_never_stored_with_it(denying: Any, raw: str) -> None:
    site = core.site_of(denying)
    for verdict in core.commit(site, (raw, b"x"), (f"{raw}.exe", b"x")).verdicts:
        assert verdict.record is None or not verdict.record.key.lower().rstrip(". ").endswith(".exe")


@pytest.fixture
def denying(database: str, tmp_path: Path) -> Any:
    return core.make_app(tmp_path, UploadSet("all", AllExcept(("exe",))), UPLOADS_DURABLE=False)


# ---- there and back


class Texts(html.parser.HTMLParser):
    """The title of each shown name on a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.titles: list[str] = []
        self.texts: list[str] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if "uploads-file-name" in (found.get("class") or ""):
            self.titles.append(found["title"] or "")
            self.texts.append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "a"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[-1] += data


@pytest.fixture
def there(database: str, tmp_path: Path) -> tuple[Path, Flask, Iterator[int]]:
    """A folder, the app that has its data there, and what tells one content from every other."""
    return tmp_path, core.make_app(tmp_path, UPLOADS_DURABLE=False), itertools.count()


@on_one_app
@given(NAMES.filter(lambda raw: not re.search("[\ud800-\udfff\r\n\0]|%22", raw)), PATHS)
@example("写真", "休暇/一日目")
@example("👩\u200d👩\u200d👧 family 🏖️", "x")
@example("نامه\u200cها", "می\u200cخواهم")
@example(SCOTLAND, NEWER)
@example(NEWER, SCOTLAND)
@example('say "hi" & <b>100%</b>; a=b', "'")
@example("صورة", "עברית/תמונה")
@example("e\u0301\u0323", "e\u0301")
@example("x" * 300, "y" * 3000)
def test_a_name_is_the_same_in_json_page_disk_and_download(
    there: tuple[Path, Flask, Iterator[int]], raw: str, path: str
) -> None:
    folder, app, numbers = there
    name, visitor, content = f"{raw}.txt", Visitor(app), b"%d" % next(numbers)
    path = path.encode(errors="replace").decode()
    answer = visitor.upload(("file[0]", name, content), ("path[0]", path))
    if not display_name(name):
        assert answer.status_code == 400
        return
    if extension_of(display_name(name)) not in DEFAULT_TYPES:
        assert answer.status_code == 415
        return
    assert answer.status_code == 201, answer.text
    (told,) = answer.get_json()["files"]
    assert told["filename"] == display_name(name)
    assert told["path"] == display_path(path)
    assert visitor.files() == [told]

    page = Texts(visitor.get("/files", headers={"Accept": "text/html"}).text)
    # The last one is the empty row that the script fills for what is stored later.
    assert page.titles == page.texts == [told["filename"], ""]

    assert (folder / "uploads" / told["key"]).read_bytes() == content
    served = visitor.get(told["url"])
    assert served.data == content
    assert unquote(told["url"].rpartition("/")[2]) == told["filename"]
    _, options = parse_options_header(served.headers["Content-Disposition"])
    assert options["filename"] == told["filename"]
