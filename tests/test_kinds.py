"""The table of kinds: every row is right about a real file, and none of them lets in another."""

import re
from pathlib import Path

import pytest
from core import SAMPLES

from dropzone_app import kinds
from dropzone_app.content import Mismatch, View
from dropzone_app.kinds import (
    ARCHIVES,
    DEFAULT_TYPES,
    HEAD,
    IMAGES,
    KINDS,
    PRESETS,
    found_in,
    icons,
    kind_of,
    names_of,
)

#: What the sheet of icons draws.
ICONS = set(re.findall(r'id="([a-z]+)"', (Path(__file__).parents[1] / "static/img/icons.svg").read_text()))


def test_every_kind_that_can_be_declared_has_a_sample() -> None:
    assert set(SAMPLES) == set(DEFAULT_TYPES + ARCHIVES)


@pytest.mark.parametrize("extension", SAMPLES)
def test_a_file_matches_its_own_kind(extension: str) -> None:
    assert kind_of(extension).matches(SAMPLES[extension][:HEAD])


@pytest.mark.parametrize("extension", SAMPLES)
def test_a_file_is_called_what_it_is_or_nothing_at_all(extension: str) -> None:
    """A noun may be broader than the kind (a Word file is a ZIP archive too), never another one."""
    found = found_in(SAMPLES[extension][:HEAD])
    broader = {
        **dict.fromkeys(("docx", "xlsx", "pptx"), "an Office document"),
        **dict.fromkeys(("doc", "xls", "ppt"), "an old Office document"),
        **dict.fromkeys(("mp4", "m4v", "3gp"), "an MP4 video"),
        **dict.fromkeys(("gnumeric", "tgz"), "a gzip file"),
        **dict.fromkeys(("oga", "opus", "ogv"), "an Ogg file"),
    }
    assert found in {None, kind_of(extension).noun, broader.get(extension)}


@pytest.mark.parametrize("extension", IMAGES)
def test_an_image_is_no_other_image(extension: str) -> None:
    data = SAMPLES[extension]
    for other in IMAGES:
        kind, is_one = kind_of(other), True
        try:
            assert kind.matches(data[:HEAD]) and kind.check
            kind.check(View(data, len(data)))
        except (AssertionError, Mismatch):
            is_one = False
        assert is_one == (kind.noun == kind_of(extension).noun), other


def test_no_default_is_anything_that_a_browser_runs() -> None:
    assert not set(DEFAULT_TYPES) & set(PRESETS["ACTIVE"])
    for extension in DEFAULT_TYPES:
        assert kind_of(extension).media_type not in {"text/html", "image/svg+xml", "text/javascript"}


@pytest.mark.parametrize("extension", KINDS)
def test_a_row_is_complete(extension: str) -> None:
    kind = KINDS[extension]
    assert re.fullmatch(r"[a-z]+/[a-z0-9.+-]+", kind.media_type)
    assert kind.name and kind.noun
    assert extension == extension.lower() and re.fullmatch(r"[a-z0-9]+", extension)
    assert kind.icon in ICONS
    assert kind.by_name == (extension in PRESETS["OTHERS"]), "nothing would be checked"
    for alternative in kind.signatures:
        assert alternative
        for offset, magic in alternative:
            assert offset + len(magic) <= HEAD


def test_each_known_extension_has_one_drawing() -> None:
    drawn = [extension for extensions in icons().values() for extension in extensions.split()]
    assert sorted(drawn) == sorted(KINDS)
    assert set(icons()) <= ICONS


def test_an_extension_stands_in_one_preset_only() -> None:
    assert sum(map(len, PRESETS.values())) == len(KINDS)


def test_an_unknown_extension_is_a_kind_of_its_own_taken_by_its_name() -> None:
    kind = kind_of("dwg")
    assert (kind.name, kind.media_type, kind.noun) == ("DWG", "application/octet-stream", "a .dwg file")
    assert kind.matches(b"anything")


@pytest.mark.parametrize(
    ("head", "noun"),
    [
        (b"MZ\x90\0", "a Windows program"),
        (b"\x7fELF\2", "a program"),
        (b"#!/bin/sh\n", "a script"),
        (b"  \n<?PHP echo", "a PHP script"),
        (b"<!doctype HTML>", "an HTML page"),
        (b"<html>", "an HTML page"),
        (b"<svg xmlns=", "an SVG drawing"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
        (b"BM is how this letter begins", None),
        (b"Dear Sir", None),
        (b"", None),
    ],
)
def test_a_refused_file_is_named_only_where_its_bytes_tell_for_sure(head: bytes, noun: str | None) -> None:
    assert found_in(head) == noun


def test_a_sentence_lists_each_name_once() -> None:
    assert names_of(["jpg", "jpeg", "png", "dwg"]) == ["JPEG", "PNG", "DWG"]


def test_presets_are_names_of_the_package() -> None:
    for name in PRESETS:
        if name not in {"ACTIVE", "OTHERS"}:
            assert getattr(kinds, name) == tuple(PRESETS[name])
