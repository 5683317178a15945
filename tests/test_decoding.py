"""Pictures that a set wants decoded before they are stored."""

import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from core import SAMPLES, codes, commit, held, make_app, site_of, visible
from corpus.formats import picture

from dropzone_app import IMAGES, UploadSet, decoder
from dropzone_app.config import SettingError
from dropzone_app.processing import decoding
from dropzone_app.uploads import Site

WHOLE = picture("JPEG", size=(256, 256))
CUT = WHOLE[:-400]


def site_for(tmp_path: Path, **options: Any) -> Site:
    return site_of(make_app(tmp_path, UploadSet("photos", (*IMAGES, "txt"), decode=True, **options)))


def test_a_cut_picture_is_refused_and_its_neighbours_are_stored(tmp_path: Path) -> None:
    batch = commit(site_for(tmp_path), ("a.jpg", WHOLE), ("b.jpg", CUT), ("c.txt", b"words"))
    assert codes(batch) == [None, "undecodable", None]
    assert visible(tmp_path) == ["photos/a.jpg", "photos/c.txt"]
    assert held(tmp_path) == []


def test_all_or_none_holds_for_what_decoding_finds(tmp_path: Path) -> None:
    batch = commit(site_for(tmp_path, batch="all"), ("a.jpg", WHOLE), ("b.jpg", CUT))
    assert codes(batch) == ["batch_refused", "undecodable"]
    assert visible(tmp_path) == []


def test_without_the_option_nothing_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    site = site_of(make_app(tmp_path, UploadSet("photos", IMAGES)))
    assert codes(commit(site, ("a.jpg", CUT))) == [None]


def test_configuration_decides_whether_pictures_are_decoded(tmp_path: Path) -> None:
    site = site_of(make_app(tmp_path, UploadSet("photos", IMAGES), UPLOADED_PHOTOS_DECODE="yes"))
    assert codes(commit(site, ("a.jpg", CUT))) == ["undecodable"]


def test_frames_of_more_pixels_than_the_set_allows_are_not_decoded(tmp_path: Path) -> None:
    """The header of a JPEG may say less than its second frame has."""
    small, large = picture("JPEG", size=(16, 16)), picture("MPO", frames=2, size=(300, 300))
    batch = commit(site_for(tmp_path, max_pixels=10_000), ("a.jpg", small), ("b.jpg", large))
    assert codes(batch) == [None, "too_many_pixels"]


def test_a_decoder_that_fails_for_no_fault_of_the_picture_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_for(tmp_path)
    script = tmp_path / "killed.py"
    script.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    monkeypatch.setattr(decoder.thumbnailer, "__file__", str(script))
    batch = commit(site, ("a.jpg", WHOLE), ("c.txt", b"words"))
    assert codes(batch) == ["not_decoded", None]
    assert batch.verdicts[0].rejected and batch.verdicts[0].rejected.status == 503


def test_who_waits_too_long_for_a_decoder_is_told_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "PATIENCE", 0.01)
    monkeypatch.setattr(decoding, "_turns", threading.BoundedSemaphore(1))
    with decoding._turns:
        assert codes(commit(site_for(tmp_path), ("a.jpg", WHOLE))) == ["not_decoded"]
    assert codes(commit(site_for(tmp_path), ("a.jpg", WHOLE))) == [None]


def test_a_set_that_decodes_needs_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "_folder_of", lambda package: None)
    with pytest.raises(
        SettingError, match=r"'photos': decode needs Pillow: pip install 'dropzone_app\[images\]'"
    ):
        site_for(tmp_path)


def test_heic_is_held_to_its_header_alone_without_its_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = decoder._folder_of
    monkeypatch.setattr(decoder, "_folder_of", lambda package: real(package) if package == "PIL" else None)
    cut = SAMPLES["heic"][:-60]
    assert codes(commit(site_for(tmp_path), ("a.heic", cut), ("b.jpg", CUT))) == [None, "undecodable"]
    monkeypatch.undo()
    assert codes(commit(site_for(tmp_path), ("c.heic", cut))) == ["undecodable"]
