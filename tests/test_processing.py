"""What a set does with a good part before it is stored: pictures, drawings, a scanner that does not answer."""

import hashlib
import socket
import sys
import threading
from io import BytesIO
from pathlib import Path

import pictures
import pytest
from core import batch_of, codes, commit, held, make_app, site_of, visible
from pictures import SECRET
from PIL import Image
from webclient import Visitor, assert_refused, host_visitor
from werkzeug.test import TestResponse

from dropzone_app import ALL, IMAGES, TEXT, SettingError, UploadSet
from dropzone_app.batch import Batch
from dropzone_app.processing import svg
from dropzone_app.processing.scan import Scanner

# Each runs on each database.
pytestmark = pytest.mark.usefixtures("database")

SVG = "http://www.w3.org/2000/svg"
DRAWING = f'<svg xmlns="{SVG}" onload="top.ran=1"><script>top.ran=1</script><rect width="5" height="5"/></svg>'.encode()


def photos(**options: object) -> UploadSet:
    return UploadSet("photos", IMAGES + TEXT, strip_metadata=True, **options)  # type: ignore[arg-type]


def drawings(**options: object) -> UploadSet:
    return UploadSet("drawings", ["svg", "png"], **options)  # type: ignore[arg-type]


def ids(batch: Batch) -> list[str | None]:
    return [verdict.record.id if verdict.record else None for verdict in batch.verdicts]


def stored(folder: Path) -> list[bytes]:
    return [(folder / "uploads" / name).read_bytes() for name in visible(folder)]


# ---- metadata


def test_metadata_stays_where_nobody_asked_to_strip_it(tmp_path: Path) -> None:
    site = site_of(make_app(tmp_path, UploadSet("photos", IMAGES)))
    commit(site, ("a.jpg", pictures.jpeg(6)))
    assert stored(tmp_path) == [pictures.jpeg(6)]


def test_what_is_stored_is_what_is_recorded_and_served(tmp_path: Path) -> None:
    visitor = host_visitor(tmp_path, photos())
    sent = {"a.jpg": pictures.jpeg(), "b.png": pictures.png(6), "c.gif": pictures.gif(), "d.txt": b"a text"}
    files = visitor.store(*((f"file[{n}]", name, sent[name]) for n, name in enumerate(sent)))
    for file in files:
        served = visitor.get(file["url"]).data
        assert SECRET not in served
        assert (file["size"], file["sha256"]) == (len(served), hashlib.sha256(served).hexdigest())
    assert visitor.get(files[3]["url"]).data == sent["d.txt"]
    turned = Image.open(BytesIO(visitor.get(files[1]["url"]).data))
    assert turned.size == (64, 96)
    assert turned.getpixel((60, 4)) == (255, 0, 0)


def test_what_was_declared_is_compared_with_what_arrived(tmp_path: Path) -> None:
    site = site_of(make_app(tmp_path, photos()))
    picture = pictures.jpeg(6)
    digest = hashlib.sha256(picture).hexdigest()
    assert codes(commit(site, ("a.jpg", picture), size_0=str(len(picture)), sha256_0=digest)) == [None]
    assert codes(commit(site, ("a.jpg", picture), sha256_0="0" * 64)) == ["digest_differs"]


@pytest.mark.parametrize("digest", ["sha256", "none"])
def test_the_same_picture_again_is_the_recorded_file_and_another_is_refused(
    tmp_path: Path, digest: str
) -> None:
    app = make_app(tmp_path, photos(), UPLOADS_DIGEST=digest)
    site = site_of(app)
    for picture in (pictures.jpeg(6), pictures.png()):
        name = "a.jpg" if picture.startswith(b"\xff") else "a.png"
        first = commit(site, (name, picture), uuid_0=name[2:])
        again = commit(site, (name, picture), uuid_0=name[2:])
        assert ids(again) == ids(first)
        assert again.verdicts[0].repeated
        assert codes(commit(site, (name, picture + b"!"), uuid_0=name[2:])) == ["uuid_taken"]
    assert len(visible(tmp_path)) == 2
    assert held(tmp_path) == []


def test_twice_in_one_batch_is_one_file(tmp_path: Path) -> None:
    site = site_of(make_app(tmp_path, photos()))
    picture = pictures.jpeg(6)
    batch = commit(site, ("a.jpg", picture), ("a.jpg", picture), uuid_0="u", uuid_1="u")
    assert codes(batch) == [None, None]
    assert ids(batch)[0] == ids(batch)[1]
    assert len(visible(tmp_path)) == 1


def test_a_repeat_is_told_by_what_came_even_if_it_would_be_stored_otherwise_today(tmp_path: Path) -> None:
    site = site_of(make_app(tmp_path, photos()))
    commit(site, ("a.jpg", pictures.jpeg(6)), uuid_0="u")
    plain = site_of(make_app(tmp_path, UploadSet("photos", IMAGES)))
    batch = commit(plain, ("a.jpg", pictures.jpeg(6)), uuid_0="u")
    assert codes(batch) == [None]
    assert batch.verdicts[0].repeated


def test_what_is_announced_again_is_known_by_the_size_it_was_sent_with(tmp_path: Path) -> None:
    visitor = host_visitor(tmp_path, photos())
    picture = pictures.jpeg()
    visitor.store(("file[0]", "a.jpg", picture), ("uuid[0]", "u"))

    def asked(size: int) -> dict[str, object]:
        answer = visitor.client.post(
            "/upload/check",
            json={"files": [{"uuid": "u", "filename": "a.jpg", "size": size}]},
            headers={"X-CSRFToken": visitor.token()},
        )
        state: dict[str, object] = answer.get_json()["uploads"]["u"]
        return state

    assert asked(len(picture))["state"] == "stored"
    assert asked(len(picture) - 1)["state"] == "refused"


def test_the_same_bytes_are_told_by_what_is_stored(tmp_path: Path) -> None:
    site = site_of(make_app(tmp_path, photos(duplicates="skip")))
    first = commit(site, ("a.jpg", pictures.jpeg()))
    again = commit(site, ("b.jpg", pictures.jpeg() + b"SECRET behind its end"))
    assert ids(again) == ids(first)
    assert len(visible(tmp_path)) == 1


#: Its size is there, and nothing after it.
DAMAGED = pictures.jpeg().partition(b"\xff\xda")[0]


def test_a_damaged_picture_is_refused_and_its_neighbours_are_stored(tmp_path: Path) -> None:
    visitor = host_visitor(tmp_path, photos())
    answer = visitor.upload(
        ("file[0]", "a.jpg", pictures.jpeg()),
        ("file[1]", "b.jpg", DAMAGED),
        ("file[2]", "c.txt", b"c"),
    )
    assert_refused(
        answer,
        422,
        'file[1] "b.jpg": the picture is damaged, so that its metadata cannot be removed; choose another file.\n'
        "The other 2 files were stored.",
    )
    assert answer.headers["Upload-Verdicts"] == "per-part"


def test_all_or_none_counts_what_is_found_while_a_part_is_processed(tmp_path: Path) -> None:
    site = site_of(make_app(tmp_path, photos(batch="all")))
    batch = commit(site, ("a.jpg", pictures.jpeg()), ("b.jpg", DAMAGED))
    assert codes(batch) == ["batch_refused", "damaged_picture"]
    assert visible(tmp_path) == []
    assert held(tmp_path) == []


def test_a_disk_that_fills_while_a_picture_is_rewritten_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of(make_app(tmp_path, photos()))
    batch = batch_of(site, ("a.jpg", pictures.jpeg()))
    storage = site.storage
    staged = storage.stage()
    monkeypatch.setattr(type(staged), "write", _no_room)
    staged.close()
    with pytest.raises(OSError, match="No space"):
        batch.commit()
    assert visible(tmp_path) == []
    assert held(tmp_path) == []


def _no_room(staged: object, data: bytes) -> int:
    raise OSError(28, "No space left on device")


def test_names_and_digests_of_the_storage_are_those_of_what_is_stored(tmp_path: Path) -> None:
    site = site_of(make_app(tmp_path, photos(naming="digest", folder="")))
    commit(site, ("a.jpg", pictures.jpeg()))
    [name], [content] = visible(tmp_path), stored(tmp_path)
    assert name == f"{hashlib.sha256(content).hexdigest()}.jpg"


@pytest.mark.parametrize("chunk_size", [1 << 20, 700])
def test_a_picture_that_comes_in_chunks_is_processed_like_any_other(tmp_path: Path, chunk_size: int) -> None:
    visitor = host_visitor(tmp_path, photos())
    assert chunks(visitor, pictures.jpeg(6), chunk_size).get_json()["files"][0]["size"] < len(
        pictures.jpeg(6)
    )
    assert SECRET not in stored(tmp_path)[0]


def test_a_file_in_chunks_that_nobody_could_scan_is_not_stored_and_can_be_finished_later(
    tmp_path: Path,
) -> None:
    guarded = host_visitor(tmp_path, photos(scan=f"clamd:{tmp_path}/no.sock"))
    answer = chunks(guarded, pictures.jpeg(6), 700)
    assert_refused(answer, 503)
    assert stored(tmp_path) == []
    assert guarded.get("/uploads/u").get_json()["state"] == "receiving"


def chunks(visitor: Visitor, content: bytes, size: int) -> TestResponse:
    """Send a file in chunks of this size; the answer to the last."""
    count = -(-len(content) // size)
    for index in range(count):
        beside = {
            "dzuuid": "u",
            "dzchunkindex": index,
            "dztotalfilesize": len(content),
            "dzchunksize": size,
            "dztotalchunkcount": count,
            "dzchunkbyteoffset": index * size,
        }
        answer = visitor.upload(
            *((name, str(value)) for name, value in beside.items()),
            ("file", "a.jpg", content[index * size : (index + 1) * size]),
        )
    return answer


# ---- drawings


def test_a_refused_drawing_is_on_no_list(tmp_path: Path) -> None:
    visitor = host_visitor(tmp_path, drawings(svg="refuse"))
    assert_refused(
        visitor.upload(("file", "a.svg", DRAWING)), 415, ".svg files are not accepted here. Accepted: PNG."
    )
    rules = visitor.app.extensions["uploads"].rules["drawings"]
    assert rules.accept == ".png"


@pytest.mark.parametrize("name", ["a.svg", "A.SVG", "a.svgz"])
def test_a_set_of_all_kinds_refuses_drawings_too(tmp_path: Path, name: str) -> None:
    site = site_of(make_app(tmp_path, UploadSet("files", ALL, svg="refuse")))
    assert codes(commit(site, (name, DRAWING))) == ["extension"]


def test_no_configuration_of_extensions_lets_a_refused_drawing_in(tmp_path: Path) -> None:
    site = site_of(make_app(tmp_path, drawings(svg="refuse"), UPLOADED_DRAWINGS_ALLOW="svg"))
    assert codes(commit(site, ("a.svg", DRAWING))) == ["extension"]


def test_a_cleaned_drawing_still_draws_and_has_no_script(tmp_path: Path) -> None:
    visitor = host_visitor(tmp_path, drawings(svg="clean"))
    embedded = b"data:image/png;base64,iVBORw0KGgo="
    drawing = DRAWING.replace(b"</svg>", b'<image href="' + embedded + b'"/></svg>')
    [file] = visitor.store(("file", "a.svg", drawing))
    served = visitor.get(file["url"])
    assert b"<rect" in served.data
    assert embedded in served.data
    for running in (b"script", b"onload", b"ran"):
        assert running not in served.data
    assert file["size"] == len(served.data)
    assert served.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"no drawing", "bad_syntax"),
        (b"<svg", "bad_syntax"),
        (b"<html><body/></html>", "other_kind"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>&undeclared;</svg>", "bad_syntax"),
        (f'<svg xmlns="{SVG}">{"<g>" * 20_000}{"</g>" * 20_000}</svg>'.encode(), "unsafe_svg"),
        # 11 KB of which 5 MB would be made.
        (f'<svg xmlns="{SVG}">{"<g>" * 1600}{"</g>" * 1600}</svg>'.encode(), "unsafe_svg"),
        (
            f'<!DOCTYPE svg [<!ENTITY a "{"x" * 99_999}">]><svg xmlns="{SVG}"><text>&a;&a;</text></svg>'.encode(),
            "harmful_entities",
        ),
    ],
    ids=["text", "cut", "html", "entity", "deep", "indented", "growing"],
)
def test_what_cannot_be_cleaned_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    site = site_of(make_app(tmp_path, drawings(svg="clean")))
    assert codes(commit(site, ("a.svg", content))) == [code]
    assert visible(tmp_path) == []


def test_a_drawing_too_large_to_be_cleaned_is_refused_with_both_sizes(tmp_path: Path) -> None:
    site = site_of(make_app(tmp_path, drawings(svg="clean")))
    [verdict] = commit(site, ("a.svg", b"<svg>" + b" " * svg.MAX_SIZE + b"</svg>")).verdicts
    assert verdict.rejected
    assert verdict.rejected.code == "svg_too_large"
    assert "5 MB" in verdict.rejected.text


def test_drawings_stay_as_they_are_where_nothing_is_said_and_are_never_shown(tmp_path: Path) -> None:
    visitor = host_visitor(tmp_path, drawings())
    [file] = visitor.store(("file", "a.svg", DRAWING))
    served = visitor.get(file["url"])
    assert served.data == DRAWING
    assert served.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in served.headers["Content-Security-Policy"]


# ---- declarations


@pytest.mark.parametrize(
    ("option", "module", "sentence"),
    [
        ({"strip_metadata": True}, "PIL", "needs Pillow: pip install 'dropzone_app[images]'"),
        ({"svg": "clean"}, "py_svg_hush", "needs svg-hush: pip install 'dropzone_app[svg]'"),
    ],
)
def test_what_is_not_installed_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: dict[str, object], module: str, sentence: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SettingError) as caught:
        make_app(tmp_path, UploadSet("photos", IMAGES, **option))  # type: ignore[arg-type]
    assert "'photos'" in str(caught.value)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        "clamd",
        "clamd:",
        "clamd:relative/socket",
        "clamd:///run/clamd.ctl",
        "clamd://host",
        "clamd://host:port",
        "clamd://host:123456",
        "clamd://host:0",
        "clamd:/run/clamd.ctl?timeout=soon",
        "clamd:/run/clamd.ctl?timeout=0",
        "clamd:/run/clamd.ctl?patience=3",
        "http://host:3310",
        5,
    ],
)
def test_an_address_that_is_none_stops_the_start(value: object) -> None:
    with pytest.raises(SettingError, match=r"scan must be clamd:/path/to/socket or clamd://host:port"):
        UploadSet("files", ALL, scan=value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "address", "timeout"),
    [
        ("clamd:/run/clamav/clamd.ctl", "/run/clamav/clamd.ctl", 130.0),
        ("clamd:/run/clamd.ctl?timeout=2.5", "/run/clamd.ctl", 2.5),
        ("clamd://127.0.0.1:3310", ("127.0.0.1", 3310), 130.0),
        ("clamd://[::1]:3310?timeout=9", ("::1", 3310), 9.0),
    ],
)
def test_an_address_is_a_socket_or_a_host(value: str, address: object, timeout: float) -> None:
    assert Scanner.parse("scan", value) == Scanner(address, timeout)  # type: ignore[arg-type]


def test_the_configuration_of_an_app_is_over_the_declaration(tmp_path: Path) -> None:
    app = make_app(
        tmp_path,
        UploadSet("photos", IMAGES),
        UPLOADED_PHOTOS_STRIP_METADATA="yes",
        UPLOADED_PHOTOS_SVG="clean",
        UPLOADED_PHOTOS_SCAN="clamd:/nowhere",
    )
    processing = site_of(app).processing["photos"]
    assert (processing.strip_metadata, processing.svg) == (True, "clean")
    assert processing.scan == Scanner("/nowhere", 130.0)


def test_all_sets_of_an_app_can_be_scanned_by_one_setting(tmp_path: Path) -> None:
    site = site_of(make_app(tmp_path, UPLOADS_SCAN="clamd:/nowhere"))
    assert codes(commit(site, ("a.txt", b"a"))) == ["not_scanned"]
    with pytest.raises(SettingError, match="UPLOADS_SCAN must be clamd"):
        make_app(tmp_path, UPLOADS_SCAN="yes")


# ---- a scanner that does not answer (one that does is in tests/engines)


@pytest.mark.parametrize("address", ["clamd:{folder}/no.sock", "clamd://127.0.0.1:1"])
def test_nothing_is_stored_while_the_scanner_is_down(tmp_path: Path, address: str) -> None:
    scan = address.format(folder=tmp_path)
    visitor = host_visitor(tmp_path, UploadSet("files", ALL, scan=scan))
    answer = visitor.upload(("file", "a.txt", b"a"))
    assert_refused(
        answer,
        503,
        "The file could not be scanned for viruses at the moment, and was not stored; try again later.",
    )
    answer = visitor.upload(("file[0]", "a.txt", b"a"), ("file[1]", "b.txt", b"b"))
    assert answer.status_code == 503
    assert answer.headers["Upload-Verdicts"] == "per-part"
    assert answer.text.endswith("No file was stored.")
    assert visible(tmp_path) == []
    assert held(tmp_path) == []


def test_who_listens_and_says_nothing_of_sense_is_no_scanner(tmp_path: Path) -> None:
    for said in (
        b"",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"stream: OK not\0",
        b"stream: lstat() failed ERROR\0",
    ):
        path = tmp_path / "fake.sock"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(str(path))
            door.listen()

            def answer(door: socket.socket = door, said: bytes = said) -> None:
                with door.accept()[0] as caller:
                    caller.recv(100_000)
                    caller.sendall(said)

            thread = threading.Thread(target=answer)
            thread.start()
            site = site_of(make_app(tmp_path, UploadSet("files", ALL, scan=f"clamd:{path}")))
            assert codes(commit(site, ("a.txt", b"a"))) == ["not_scanned"], said
            thread.join()
