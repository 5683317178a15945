"""Thumbnails: upright, small and in the right colours; made once, for who may see the file; whatever the picture is."""

import errno
import io
import os
import signal
import struct
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import pillow_heif
import pytest
from core import make_app, site_of
from corpus.formats import bmp
from PIL import Image, ImageCms
from webclient import Visitor, assert_refused
from werkzeug.test import TestResponse

from dropzone_app import IMAGES, UploadSet, decoder, thumbnails
from dropzone_app.storage import LocalStorage

pillow_heif.register_heif_opener()

RED, GREEN, BLUE, WHITE = (220, 20, 30), (20, 180, 40), (20, 40, 210), (250, 250, 250)
NONE = "There is no small picture of this file; open the file itself."
UNKNOWN = "There is no such file here, or it is not yours."
LATER = "The small picture cannot be made at the moment; ask again in a few seconds."


def picture(size: tuple[int, int] = (600, 400)) -> Image.Image:
    """Four colours: red | green over blue | white."""
    width, height = size
    made = Image.new("RGB", size, WHITE)
    made.paste(RED, (0, 0, width // 2, height // 2))
    made.paste(GREEN, (width // 2, 0, width, height // 2))
    made.paste(BLUE, (0, height // 2, width // 2, height))
    return made


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    """Left and right above, left and right below."""
    right, low = image.width * 3 // 4, image.height * 3 // 4
    places = [
        (image.width // 4, image.height // 4),
        (right, image.height // 4),
        (image.width // 4, low),
        (right, low),
    ]
    return [image.getpixel(place) for place in places]  # type: ignore[misc]


def assert_like(found: list[tuple[int, ...]], *colours: tuple[int, ...], by: int = 12) -> None:
    for one, other in zip(found, colours, strict=True):
        assert len(one) == len(other), (found, colours)
        assert all(abs(a - b) <= by for a, b in zip(one, other, strict=True)), (found, colours)


@pytest.fixture
def visitor(tmp_path: Path) -> Visitor:
    return Visitor(make_app(tmp_path))


def stored(visitor: Visitor, content: bytes, name: str = "a.jpg") -> dict[str, Any]:
    (file,) = visitor.store(("file", name, content))
    return file


def asked(visitor: Visitor, content: bytes, name: str = "a.jpg") -> TestResponse:
    return visitor.get(stored(visitor, content, name)["thumbnail"])


def opened(answer: TestResponse) -> Image.Image:
    assert answer.status_code == 200, answer.text
    assert answer.mimetype == "image/webp"
    made = Image.open(io.BytesIO(answer.data), formats=["WEBP"])
    made.load()
    return made


# ---- what is made of what


@pytest.mark.parametrize(
    ("name", "form"),
    [
        *[("a.jpg", "JPEG"), ("a.png", "PNG"), ("a.gif", "GIF"), ("a.webp", "WEBP"), ("a.avif", "AVIF")],
        *[("a.bmp", "BMP"), ("a.tif", "TIFF"), ("a.heic", "HEIF")],
    ],
)
def test_every_kind_of_picture_becomes_a_small_one(visitor: Visitor, name: str, form: str) -> None:
    made = opened(asked(visitor, encoded(picture(), form), name))
    assert made.size == (256, 171)
    assert_like(corners(made), RED, GREEN, BLUE, WHITE)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("name", "form"), [("a.jpg", "JPEG"), ("a.png", "PNG"), ("a.webp", "WEBP"), ("a.tif", "TIFF")]
)
def test_a_picture_stands_upright(visitor: Visitor, name: str, form: str, orientation: int) -> None:
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        # As a camera stores it that was turned: the tag tells what undoes it.
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    as_stored = picture().transpose(turns[orientation]) if orientation > 1 else picture()
    exif = Image.Exif()
    exif[0x0112] = orientation
    made = opened(asked(visitor, encoded(as_stored, form, exif=exif), name))
    assert made.size == (256, 171)
    assert_like(corners(made), RED, GREEN, BLUE, WHITE)


def test_of_what_moves_the_first_frame_is_shown(visitor: Visitor) -> None:
    frames = [Image.new("RGB", (300, 300), colour) for colour in (RED, GREEN, BLUE)]
    for name, form in (("a.gif", "GIF"), ("a.webp", "WEBP"), ("a.png", "PNG")):
        made = opened(asked(visitor, encoded(frames[0], form, save_all=True, append_images=frames[1:]), name))
        assert not getattr(made, "is_animated", False)
        assert_like(corners(made), RED, RED, RED, RED)


def palette_with_alpha() -> Image.Image:
    image = Image.new("P", (300, 200), 1)
    image.putpalette([0, 0, 0, *RED])
    image.paste(0, (150, 0, 300, 200))
    return image


@pytest.mark.parametrize(
    ("name", "content", "left", "right"),
    [
        ("a.jpg", encoded(Image.new("CMYK", (300, 200), (0, 255, 255, 0)), "JPEG"), (254, 0, 0), (254, 0, 0)),
        ("a.png", encoded(Image.new("I;16", (300, 200), 32768), "PNG"), (127,) * 3, (127,) * 3),
        ("a.png", encoded(Image.new("1", (300, 200), 1), "PNG"), (255,) * 3, (255,) * 3),
        ("a.png", encoded(Image.new("L", (300, 200), 90), "PNG"), (90,) * 3, (90,) * 3),
        (
            "a.png",
            encoded(Image.new("LA", (300, 200), (90, 128)), "PNG"),
            (90, 90, 90, 128),
            (90, 90, 90, 128),
        ),
        (
            *("a.png", encoded(palette_with_alpha(), "PNG", transparency=bytes([0, 255]))),
            *((*RED, 255), (0, 0, 0, 0)),
        ),
        (
            "a.png",
            encoded(Image.new("RGB", (300, 200), GREEN), "PNG", transparency=GREEN),
            (0,) * 4,
            (0,) * 4,
        ),
    ],
    ids=[
        "CMYK",
        "16 bits",
        "bilevel",
        "grey",
        "grey and alpha",
        "palette and alpha",
        "one colour transparent",
    ],
)
def test_every_mode_keeps_its_colours(
    visitor: Visitor, name: str, content: bytes, left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    found = corners(opened(asked(visitor, content, name)))
    # What cannot be seen has no colour.
    found = [colour if colour[3:] != (0,) else (0,) * 4 for colour in found]
    if left[3:] == (0,):
        left = (0,) * 4
    assert_like(found, left, right, left, right, by=14)


def test_colours_of_another_profile_are_converted(visitor: Visitor) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # A profile whose red is what others call green, and the other way round.
    profile = profile.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")
    made = opened(
        asked(visitor, encoded(Image.new("RGB", (300, 200), RED), "PNG", icc_profile=profile), "a.png")
    )
    assert_like(corners(made)[:1], (RED[1], RED[0], RED[2]))
    broken = encoded(Image.new("RGB", (300, 200), RED), "PNG", icc_profile=b"no profile" * 30)
    assert_like(corners(opened(asked(visitor, broken, "b.png")))[:1], RED)


@pytest.mark.parametrize(
    ("name", "form"), [("a.jpg", "JPEG"), ("a.png", "PNG"), ("a.webp", "WEBP"), ("a.tif", "TIFF")]
)
def test_nothing_but_the_picture_is_in_a_thumbnail(visitor: Visitor, name: str, form: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SECRETMAKER"
    exif.get_ifd(0x8825)[1] = "N"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    more: dict[str, Any] = {"xmp": b"<x:xmpmeta>SECRETPLACE</x:xmpmeta>"} if form in {"JPEG", "WEBP"} else {}
    content = encoded(picture(), form, exif=exif, icc_profile=profile, **more)
    assert b"SECRETMAKER" in content
    data = asked(visitor, content, name).data
    chunks, at = [], 12
    while at < len(data):
        chunks.append(data[at : at + 4])
        at += 8 + (int.from_bytes(data[at + 4 : at + 8], "little") + 1) // 2 * 2
    assert set(chunks) <= {b"VP8 ", b"VP8L", b"VP8X", b"ALPH"}
    assert b"SECRET" not in data


def test_a_small_picture_keeps_its_size(visitor: Visitor) -> None:
    assert opened(asked(visitor, encoded(picture((16, 8)), "PNG"), "a.png")).size == (16, 8)
    assert opened(asked(visitor, encoded(picture((4000, 3)), "PNG"), "b.png")).size == (256, 1)


# ---- pictures that are none, or too much


def png(
    width: int, height: int, line: bytes, *chunks: tuple[bytes, bytes], depth: int = 8, mode: int = 2
) -> bytes:
    """A PNG of equal lines, packed without ever being in memory as a whole."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(b"\0" + line) for _ in range(height)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, mode, 0, 0, 0))
    middle = b"".join(chunk(*one) for one in chunks)
    return b"\x89PNG\r\n\x1a\n" + header + middle + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def with_size(content: bytes, at: int, form: str, width: int, height: int) -> bytes:
    """`content` with another size written into its header."""
    return content[:at] + struct.pack(form, width, height) + content[at + struct.calcsize(form) :]


def many_scans(scans: int) -> bytes:
    """A progressive JPEG whose second scan comes again and again: few bytes, and each time the whole picture."""
    content = encoded(Image.new("RGB", (4000, 4000), RED), "JPEG", progressive=True)
    starts = [at for at in range(len(content)) if content[at : at + 2] == b"\xff\xda"]
    again = content[starts[1] : content.index(b"\xff\xc4", starts[1])]
    return content[: starts[1]] + again * scans + content[starts[1] :]


SMALL_JPEG = encoded(Image.new("RGB", (64, 64), RED), "JPEG")
BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "30,000 by 30,000 PNG": ("PNG", lambda: png(30_000, 30_000, bytes(3750), depth=1, mode=0)),
    "65,500 by 65,500 JPEG": (
        *("JPEG", lambda: with_size(SMALL_JPEG, SMALL_JPEG.index(b"\xff\xc0") + 5, ">HH", 65_500, 65_500)),
    ),
    "30,000 by 30,000 GIF": ("GIF", lambda: with_size(encoded(picture(), "GIF"), 6, "<HH", 30_000, 30_000)),
    "30,000 by 30,000 BMP": ("BMP", lambda: with_size(encoded(picture(), "BMP"), 18, "<ii", 30_000, 30_000)),
    "a text of 300 MB in a PNG": (
        "PNG",
        lambda: png(9, 9, bytes(27), (b"zTXt", b"a\0\0" + zlib.compress(bytes(300_000_000), 1))),
    ),
    "a profile of 300 MB in a PNG": (
        "PNG",
        lambda: png(9, 9, bytes(27), (b"iCCP", b"a\0\0" + zlib.compress(bytes(300_000_000), 1))),
    ),
    "100 megapixels with transparency": ("PNG", lambda: png(10_000, 9_999, bytes(40_000), mode=6)),
}


# What the system counts for a process begins with what its parent had; this begins anew.
TELL_MEMORY = """
import re, runpy, sys
del sys.argv[0]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print(re.search(r"VmHWM:\\s+([0-9]+) kB", open("/proc/self/status").read())[1], file=sys.stderr)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_given_up_in_bounded_memory(tmp_path: Path, name: str) -> None:
    form, make = BOMBS[name]
    script, bomb = tmp_path / "tell_memory.py", tmp_path / "bomb"
    script.write_text(TELL_MEMORY)
    bomb.write_bytes(make())
    python, *flags, thumbnailer, _, edge, pixels, memory, seconds, folder = decoder.command(
        form, thumbnails.EDGE, thumbnails.MAX_PIXELS
    )
    bounds = [form, edge, pixels, memory, seconds, folder]
    with bomb.open("rb") as file:
        child = subprocess.run(
            [python, *flags, str(script), thumbnailer, *bounds], stdin=file, capture_output=True
        )
    assert child.returncode == 65
    assert child.stdout == b""
    # What is refused by its header costs little more than the interpreter.
    most = decoder.MAX_MEMORY if "transparency" in name else 40 << 20
    assert 0 < int(child.stderr.split()[-1]) * 1024 < most


def test_a_picture_that_keeps_its_decoder_busy_is_given_up(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder, "MAX_SECONDS", 1)
    content = many_scans(1000)
    assert len(content) < 3_000_000
    assert_refused(asked(visitor, content), 404, NONE)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jpg", encoded(Image.effect_noise((800, 600), 90), "JPEG")[:100_000]),
        ("a.jpg", encoded(picture(), "JPEG").partition(b"\xff\xda")[0] + bytes(2000)),
        ("a.png", encoded(picture(), "PNG")[:-700]),
        # Only the decoder of the kind that it was stored as may look at it.
        ("a.bmp", bmp(800, 600, rows=0) + encoded(picture(), "PNG")),
    ],
    ids=["cut", "empty", "cut PNG", "another kind"],
)
def test_what_cannot_be_decoded_is_tried_once_and_told(
    visitor: Visitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes
) -> None:
    file = stored(visitor, content, name)
    assert_refused(visitor.get(file["thumbnail"]), 404, NONE)
    monkeypatch.setattr(subprocess, "run", fail)
    answer = visitor.get(file["thumbnail"])
    assert_refused(answer, 404, NONE)
    assert answer.headers["Cache-Control"] == "no-store"
    assert (tmp_path / "uploads/.thumbnails" / file["id"]).stat().st_size < 100
    assert visitor.delete(f"/files/{file['id']}").status_code == 204
    assert os.listdir(tmp_path / "uploads/.thumbnails") == []


def fail(*args: Any, **options: Any) -> NoReturn:
    raise AssertionError("nothing is to be made now")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGSEGV, 404), (signal.SIGKILL, 503)])
def test_a_decoder_that_crashes_is_not_asked_again_and_one_that_was_killed_is(
    visitor: Visitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    script = tmp_path / "crash.py"
    script.write_text(f"import os\nos.kill(os.getpid(), {int(number)})")
    file = stored(visitor, encoded(picture(), "JPEG"))
    with monkeypatch.context() as patch:
        patch.setattr(decoder.thumbnailer, "__file__", str(script))
        answer = visitor.get(file["thumbnail"])
        assert_refused(answer, status, NONE if status == 404 else LATER)
        assert answer.headers.get("Retry-After") == (None if status == 404 else "2")
    assert visitor.get(file["thumbnail"]).status_code == (404 if status == 404 else 200)


def test_a_child_knows_nothing_of_the_servers_secrets(
    visitor: Visitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "tell.py"
    script.write_text(f"import os\nopen({str(tmp_path / 'told')!r}, 'w').write(repr(dict(os.environ)))")
    monkeypatch.setenv("FLASK_SECRET_KEY", "very secret")
    monkeypatch.setattr(decoder.thumbnailer, "__file__", str(script))
    asked(visitor, encoded(picture(), "JPEG"))
    assert "secret" not in (tmp_path / "told").read_text().lower()


# ---- who may see it, and how it is sent


def test_only_pictures_have_one(visitor: Visitor) -> None:
    file = stored(visitor, b"words", "a.txt")
    assert file["thumbnail"] is None
    assert_refused(visitor.get(f"/thumbnails/{file['id']}.webp"), 404, NONE)


def test_without_pillow_there_is_none_and_all_else_works(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder, "_folder_of", lambda package: None)
    file = stored(visitor, encoded(picture(), "JPEG"))
    assert file["thumbnail"] is None
    assert visitor.files() == [file]
    assert_refused(visitor.get(f"/thumbnails/{file['id']}.webp"), 404, NONE)


def test_the_list_names_them_also_below_a_prefix(tmp_path: Path) -> None:
    visitor = Visitor(make_app(tmp_path))
    file = stored(visitor, encoded(picture(), "JPEG"))
    assert file["thumbnail"] == f"/thumbnails/{file['id']}.webp"
    assert visitor.files() == [file]


def test_another_owners_picture_looks_exactly_like_a_missing_one(visitor: Visitor) -> None:
    file = stored(visitor, encoded(picture(), "JPEG"))
    stranger = Visitor(visitor.app)
    for _ in range(2):
        for url in (file["thumbnail"], f"/thumbnails/{'0' * 32}.webp"):
            assert_refused(stranger.get(url), 404, UNKNOWN)
            assert_refused(stranger.get(url, headers={"If-None-Match": "*"}), 404, UNKNOWN)
        assert visitor.get(file["thumbnail"]).status_code == 200


def test_a_public_sets_pictures_are_seen_by_anyone(tmp_path: Path) -> None:
    app = make_app(tmp_path, UploadSet("open", IMAGES, public=True))
    file = stored(Visitor(app), encoded(picture(), "JPEG"))
    assert opened(Visitor(app).get(file["thumbnail"])).size == (256, 171)


def test_it_is_sent_so_that_it_can_do_nothing_and_need_not_be_sent_again(visitor: Visitor) -> None:
    file = stored(visitor, encoded(picture(), "JPEG"))
    answer = visitor.get(file["thumbnail"])
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["Cache-Control"] == "private, max-age=86400"
    assert "Set-Cookie" not in answer.headers
    assert answer.content_length == len(answer.data)
    again = visitor.get(file["thumbnail"], headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == answer.headers["ETag"]
    assert visitor.get(file["thumbnail"], headers={"If-None-Match": '"other"'}).data == answer.data
    head = visitor.client.head(file["thumbnail"])
    assert (head.status_code, head.data, head.content_length) == (200, b"", len(answer.data))


# ---- kept, and gone with its file


def test_it_is_made_once(visitor: Visitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = stored(visitor, encoded(picture(), "JPEG"))
    first = visitor.get(file["thumbnail"]).data
    monkeypatch.setattr(subprocess, "run", fail)
    assert visitor.get(file["thumbnail"]).data == first
    kept = tmp_path / "uploads/.thumbnails" / file["id"]
    assert kept.read_bytes() == first
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700


def test_one_that_is_kept_stays_where_it_is_when_the_same_is_made_again(
    visitor: Visitor, tmp_path: Path
) -> None:
    file = stored(visitor, encoded(picture(), "JPEG"))
    made = visitor.get(file["thumbnail"]).data
    kept = tmp_path / "uploads/.thumbnails" / file["id"]
    place = kept.stat().st_ino
    beside = site_of(visitor.app).storage.thumbnails
    assert beside
    beside.put(file["id"], made)
    assert kept.stat().st_ino == place
    beside.put(file["id"], b"another")
    assert kept.read_bytes() == b"another"


@pytest.mark.parametrize("left", [0, 4, 100])
def test_what_a_power_cut_has_shortened_is_made_again(visitor: Visitor, tmp_path: Path, left: int) -> None:
    file = stored(visitor, encoded(picture(), "JPEG"))
    first = visitor.get(file["thumbnail"]).data
    os.truncate(tmp_path / "uploads/.thumbnails" / file["id"], left)
    assert visitor.get(file["thumbnail"]).data == first


def test_it_is_shown_also_where_it_cannot_be_kept(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    file = stored(visitor, encoded(picture(), "JPEG"))

    def full(self: LocalStorage) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(LocalStorage, "stage", full)
    assert opened(visitor.get(file["thumbnail"])).size == (256, 171)


def test_it_goes_with_its_file(visitor: Visitor, tmp_path: Path) -> None:
    one, other = (stored(visitor, encoded(picture(), "JPEG"), name) for name in ("a.jpg", "b.jpg"))
    for file in (one, other):
        assert visitor.get(file["thumbnail"]).status_code == 200
    assert visitor.delete(f"/files/{one['id']}").status_code == 204
    assert os.listdir(tmp_path / "uploads/.thumbnails") == [other["id"]]
    assert_refused(visitor.get(one["thumbnail"]), 404, UNKNOWN)


def test_a_delete_that_was_cut_off_is_finished_at_the_next_start(visitor: Visitor, tmp_path: Path) -> None:
    file = stored(visitor, encoded(picture(), "JPEG"))
    assert visitor.get(file["thumbnail"]).status_code == 200
    site = site_of(visitor.app)
    (record,) = site.records.everything()
    # In a process that ends right after it.
    child = os.fork()
    if child == 0:
        os._exit(
            0
            if make_app(tmp_path) and site_of(make_app(tmp_path)).records.retire(record.id, record.owner)
            else 1
        )
    assert os.waitpid(child, 0)[1] == 0
    assert os.listdir(tmp_path / "uploads/.thumbnails") == [file["id"]]
    make_app(tmp_path)
    assert os.listdir(tmp_path / "uploads/.thumbnails") == []
    assert not (tmp_path / "uploads/a.jpg").exists()


def test_a_picture_deleted_while_its_thumbnail_is_made_leaves_none(
    visitor: Visitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = stored(visitor, encoded(picture(), "JPEG"))
    real = subprocess.run

    def run(*args: Any, **options: Any) -> Any:
        done = real(*args, **options)
        assert visitor.delete(f"/files/{file['id']}").status_code == 204
        return done

    monkeypatch.setattr(subprocess, "run", run)
    visitor.get(file["thumbnail"])
    assert os.listdir(tmp_path / "uploads/.thumbnails") == []


def test_the_sweep_removes_what_no_row_has_and_nothing_else(visitor: Visitor, tmp_path: Path) -> None:
    file = stored(visitor, encoded(picture(), "JPEG"))
    assert visitor.get(file["thumbnail"]).status_code == 200
    site, folder = site_of(visitor.app), tmp_path / "uploads/.thumbnails"
    for number in range(2500):
        (folder / f"{number:032x}").write_bytes(b"orphan")
    (folder / "a note of the owner's").write_text("stays")
    assert thumbnails.sweep(site, dry_run=True) == 2500
    assert len(os.listdir(folder)) == 2502
    assert thumbnails.sweep(site) == 2500
    assert sorted(os.listdir(folder)) == sorted([file["id"], "a note of the owner's"])
    assert thumbnails.sweep(site) == 0


def test_a_picture_whose_bytes_are_gone_is_404(visitor: Visitor, tmp_path: Path) -> None:
    file = stored(visitor, encoded(picture(), "JPEG"))
    (tmp_path / "uploads/a.jpg").unlink()
    assert_refused(visitor.get(file["thumbnail"]), 404, UNKNOWN)


class Remote(LocalStorage):
    """A storage whose files come over a network: what it opens no other process can read."""

    def open(self, key: str) -> BinaryIO:
        with super().open(key) as file:
            return io.BytesIO(file.read())


def test_a_file_that_has_no_descriptor_is_copied_for_it(tmp_path: Path) -> None:
    app = make_app(tmp_path, UploadSet("far", IMAGES, storage=Remote(tmp_path / "far")))
    file = stored(Visitor(app), encoded(picture(), "JPEG"))
    visitor = Visitor(app)
    file = stored(visitor, encoded(picture(), "JPEG"))
    assert opened(visitor.get(file["thumbnail"])).size == (256, 171)
    assert os.listdir(tmp_path / "far/.thumbnails") == [file["id"]]


def test_of_a_folder_that_others_read_too_they_are_kept_in_the_apps_own(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    app = make_app(tmp_path, UploadSet("photos", IMAGES), UPLOADED_PHOTOS_DEST=str(shared))
    visitor = Visitor(app)
    file = stored(visitor, encoded(picture(), "JPEG"))
    assert opened(visitor.get(file["thumbnail"])).size == (256, 171)
    assert os.listdir(shared) == [file["key"]]
    assert os.listdir(tmp_path / "uploads/.thumbnails") == [file["id"]]
    assert visitor.delete(f"/files/{file['id']}").status_code == 204
    assert os.listdir(tmp_path / "uploads/.thumbnails") == []


# ---- many at once


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    found: list[Any] = [None] * len(calls)

    def work(place: int) -> None:
        found[place] = calls[place]()

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def same_visitor(visitor: Visitor) -> Visitor:
    """The same person in another connection: a test client is for one thread."""
    other = Visitor(visitor.app)
    cookie = visitor.client.get_cookie("session")
    assert cookie
    other.client.set_cookie("session", cookie.value)
    return other


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, list[int]]]:
    """Thumbnails wait until the event; the list grows with each that is begun."""
    go, begun, real = threading.Event(), [], subprocess.run

    def run(*args: Any, **options: Any) -> Any:
        begun.append(1)
        assert go.wait(30)
        return real(*args, **options)

    monkeypatch.setattr(subprocess, "run", run)
    yield go, begun
    go.set()


def test_asked_for_by_many_at_once_it_is_made_at_most_twice_and_the_same_for_all(
    visitor: Visitor, held: tuple[threading.Event, list[int]]
) -> None:
    go, begun = held
    url = stored(visitor, encoded(picture(), "JPEG"))["thumbnail"]
    go.set()
    answers = at_once(*[partial(same_visitor(visitor).get, url) for _ in range(6)])
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.data for answer in answers}) == 1
    assert 1 <= len(begun) <= thumbnails.AT_ONCE


def test_too_many_are_told_to_come_again_and_uploads_go_on(
    visitor: Visitor, held: tuple[threading.Event, list[int]]
) -> None:
    go, begun = held
    most = thumbnails.AT_ONCE + thumbnails.WAITING
    urls = [stored(visitor, encoded(picture(), "JPEG"), f"{n}.jpg")["thumbnail"] for n in range(most + 1)]
    answers: list[TestResponse] = []
    asking = threading.Thread(
        target=lambda: answers.extend(
            at_once(*[partial(same_visitor(visitor).get, url) for url in urls[:-1]])
        )
    )
    asking.start()
    while thumbnails._places._value:  # type: ignore[attr-defined]
        threading.Event().wait(0.005)
    late = visitor.get(urls[-1])
    assert_refused(late, 503, LATER)
    assert late.headers["Retry-After"] == "2"
    assert len(begun) == thumbnails.AT_ONCE
    assert stored(visitor, b"words", "a.txt")["size"] == 5
    assert answers == []
    go.set()
    asking.join()
    assert [answer.status_code for answer in answers] == [200] * most
    assert visitor.get(urls[-1]).status_code == 200
