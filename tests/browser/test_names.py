"""Names in any language: dropped, shown and downloaded in a real browser as the person wrote them."""

import re
import unicodedata
from pathlib import Path

import pytest
from browser.samples import drop, finished, listed, write
from playwright.sync_api import Page, expect

NAMES = [
    "写真.txt",
    "Фото с отпуска.txt",
    "😀 family.txt",
    "عطلة الصيف.txt",
    "תמונה (1).txt",
    "हिन्दी.txt",
    "100% per%20cent %e5%86%99.txt",
    "it's #1 & a=b;c+d, [x] {y} ~ ^ `z`.txt",
    "two  ..\u202fdots\u3000.tar.txt",
    unicodedata.normalize("NFC", "Übergröße é.txt"),
    unicodedata.normalize("NFD", "Übergröße ü.txt"),
    "x" * 251 + ".txt",
    "写" * 83 + ".txt",
]
#: Those that a browser writes otherwise on its own disk, and how Chromium does.
REWRITTEN = {
    "👩\u200d👩\u200d👧 family 🏖️.txt": "👩_👩_👧 family 🏖️.txt",
    "نامه\u200cها.txt": "نامه_ها.txt",
    'say "hi": 1<2?.txt': "say _hi__ 1_2_.txt",
    ".hidden.txt": "hidden.txt",
}
ALL = [*NAMES, *REWRITTEN]


def download(page: Page, shown: str) -> tuple[str, bytes]:
    item = page.locator("[data-uploads-files-list] > li").filter(
        has=page.locator(f".uploads-file-name[title={quoted(shown)}]")
    )
    with page.expect_download() as waiting:
        item.get_by_role("link", name=re.compile("^Download")).click()
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# Chromium takes ten downloads of a page and then wants to be asked.
@pytest.mark.parametrize("names", [ALL[at : at + 4] for at in range(0, len(ALL), 4)])
def test_a_file_is_shown_and_downloaded_under_the_name_it_was_dropped_with(
    upload_page: Page, tmp_path: Path, names: list[str]
) -> None:
    # What is recorded is NFC, in whatever form it was sent.
    contents = {name: b"%d" % number for number, name in enumerate(names)}
    drop(upload_page, *write(tmp_path, contents))
    counted = finished(upload_page, len(contents))
    assert counted["stored"] == len(contents)
    for _ in range(2):
        for name, content in contents.items():
            kept = unicodedata.normalize("NFC", name)
            saved, data = download(upload_page, kept)
            assert data == content, name
            assert saved == REWRITTEN.get(name, kept)
        # What the script has built, and then what the server has.
        upload_page.reload()
        expect(upload_page.locator("[data-uploads-files-list] > li")).to_have_count(len(contents))
    told = {file["filename"] for file in listed(upload_page)}
    assert told == {unicodedata.normalize("NFC", name) for name in contents}


@pytest.mark.parametrize("folder", ["休暇/一日目", "100% خاص/é"])
def test_a_dropped_folder_keeps_its_path(upload_page: Page, tmp_path: Path, folder: str) -> None:
    write(tmp_path, {f"{folder}/写真.txt": b"x"})
    drop(upload_page, tmp_path / folder.partition("/")[0])
    finished(upload_page, 1)
    (file,) = listed(upload_page)
    assert (file["path"], file["filename"]) == (folder, "写真.txt")
    expect(upload_page.locator("[data-file-path]").first).to_have_text(folder)
