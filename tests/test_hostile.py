"""Files made to do harm are refused, or stored and served with all that keeps a browser from running them."""

from pathlib import Path

import pytest
from browser.hostile import CORPUS
from webclient import assert_refused, host_visitor

from dropzone_app import ALL, AUDIO, DATA, DOCUMENTS, IMAGES, TEXT, VIDEO, UploadSet

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
            assert headers["Content-Type"] in (
                "image/gif",
                "image/jpeg",
                "image/png",
                "application/pdf",
                "video/mp4",
            )
    assert refused >= MISLABELLED
