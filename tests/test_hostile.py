"""Files made to do harm are refused, or stored and served with all that keeps a browser from running them."""

import re
import tarfile
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from browser.hostile import CORPUS
from webclient import assert_refused, host_visitor, stored_names

from dropzone_app import ALL, ARCHIVES, AUDIO, DATA, DOCUMENTS, IMAGES, TEXT, VIDEO, UploadSet

KNOWN = (*IMAGES, *DOCUMENTS, *TEXT, *DATA, *AUDIO, *VIDEO, "svg")

#: Where the content is not at all what the name says.
MISLABELLED = {
    *(f"page.{extension}" for extension in "jpg png gif webp avif bmp pdf mp4 webm mp3 ogg wav".split()),  # noqa: SIM905
    *("drawing.jpg", "code.png", "two.svg.png"),
}


@pytest.mark.parametrize("extensions", [KNOWN, ALL], ids=["known", "all"])
def test_hostile_files_are_refused_or_served_inert(tmp_path: Path, extensions: object) -> None:
    visitor = host_visitor(tmp_path, UploadSet("files", extensions))  # type: ignore[arg-type]
    refused = set()
    for name, content in CORPUS.items():
        answer = visitor.upload(("file", name, content))
        if answer.status_code != 201:
            assert_refused(answer, answer.status_code)
            refused.add(name)
            continue
        served = visitor.get(answer.get_json()["files"][0]["url"])
        assert served.data == content
        headers = served.headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "sandbox" in headers["Content-Security-Policy"]
        if headers["Content-Disposition"].startswith("inline"):
            shown = r"image/(gif|jpeg|png|webp|bmp|avif)|application/pdf|(audio|video)/[a-z0-9-]+"
            assert re.fullmatch(shown, headers["Content-Type"])
    assert refused >= MISLABELLED
    taken = {name for name in CORPUS if name.startswith("whole.")} - refused
    assert len(taken) >= 10, "they pass every check, so that serving them has to be safe"


def climbing() -> bytes:
    """A ZIP whose members lie outside of where it is unpacked, and one that is a link there."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in ("../../outside.txt", "/tmp/outside.txt", "C:\\outside.txt", "in/side.txt"):
            archive.writestr(name, "text")
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return out.getvalue()


def linking() -> bytes:
    """A tar with links, a device and a path that climbs."""
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, kind, target in (
            ("link", tarfile.SYMTYPE, "/etc/passwd"),
            ("hard", tarfile.LNKTYPE, "../../outside"),
            ("device", tarfile.CHRTYPE, ""),
            ("../outside.txt", tarfile.REGTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "make"), [("a.zip", climbing), ("a.tgz", linking)], ids=["zip slip", "links in a tar"]
)
def test_an_archive_with_links_and_paths_that_climb_is_kept_as_it_came_and_never_unpacked(
    tmp_path: Path, name: str, make: Callable[[], bytes]
) -> None:
    folder = tmp_path / "here"
    visitor = host_visitor(folder, UploadSet("files", ARCHIVES, decode=True, strip_metadata=True))
    content = make()
    (file,) = visitor.store(("file", name, content))
    assert visitor.get(file["url"]).data == content
    assert stored_names(folder) == [file["key"]]
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))
