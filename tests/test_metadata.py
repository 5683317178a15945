"""Pictures lose what they tell beside the picture, and nothing else."""

import resource
import struct
from io import BytesIO
from pathlib import Path

import pictures
import pytest
from pictures import ICC, SECRET, TELLING
from PIL import Image, ImageChops, ImageOps, ImageStat

from dropzone_app import Rejected
from dropzone_app.processing import metadata
from dropzone_app.processing.metadata import streams, stripped


def strip(folder: Path, content: bytes, extension: str = "") -> bytes:
    """What is stored in place of this content, before it is turned."""
    path = folder / "picture"
    path.write_bytes(content)
    with path.open("rb") as file:
        found = metadata.strip(file, named_tiff=extension in ("tif", "tiff"))
        return b"".join(found.chunks(file)) if found else content


def strip_and_turn(folder: Path, content: bytes) -> bytes | None:
    """The picture as it is coded anew; None where only its tag can say how it stands."""
    path = folder / "picture"
    path.write_bytes(content)
    with path.open("rb") as file:
        found = metadata.strip(file, named_tiff=False)
        assert found
        assert found.orientation != 1
        clean = b"".join(found.chunks(file))
    path.write_bytes(clean)
    with path.open("rb") as file:
        return metadata.upright(file, found)


def left_of(folder: Path, content: bytes, extension: str) -> bytes:
    """What is stored of a file that may be damaged: nothing, where it is refused for that."""
    try:
        return strip(folder, content, extension)
    except Rejected as rejected:
        if rejected.code != "damaged_picture":
            raise
        return b""


def opened(content: bytes) -> Image.Image:
    return Image.open(BytesIO(content))


def every_frame(content: bytes) -> list[bytes]:
    picture = opened(content)
    found = []
    for number in range(getattr(picture, "n_frames", 1)):
        picture.seek(number)
        found.append(picture.convert("RGBA").tobytes())
    return found


def difference(one: Image.Image, other: Image.Image) -> float:
    """Root mean square, in steps of 255, of the channel that differs most."""
    assert one.size == other.size
    apart = ImageChops.difference(one.convert("RGB"), other.convert("RGB"))
    return max(ImageStat.Stat(apart).rms)


@pytest.mark.parametrize("name", TELLING)
def test_nothing_that_tells_is_left_and_no_pixel_or_colour_changes(name: str, tmp_path: Path) -> None:
    extension, make = TELLING[name]
    before = make()
    assert SECRET in before
    after = strip(tmp_path, before, extension)
    assert SECRET not in after
    assert every_frame(after) == every_frame(before)
    assert opened(after).info.get("icc_profile") == opened(before).info.get("icc_profile")
    assert not set(opened(after).getexif()) & {0x010E, 0x013B, 0x8825, 0x8769}
    if extension != "gif":
        assert opened(before).info["icc_profile"] == ICC


@pytest.mark.parametrize("name", TELLING)
def test_what_was_stripped_has_nothing_more_to_lose(name: str, tmp_path: Path) -> None:
    extension, make = TELLING[name]
    once = strip(tmp_path, make(), extension)
    (tmp_path / "again").write_bytes(once)
    with (tmp_path / "again").open("rb") as file:
        found = metadata.strip(file, named_tiff=extension.startswith("tif"))
        assert found is None or b"".join(found.chunks(file)) == once


@pytest.mark.parametrize("make", [pictures.jpeg, pictures.png, pictures.webp])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_picture_on_its_side_is_turned_in_its_pixels(make, orientation: int, tmp_path: Path) -> None:
    before = make(orientation)
    after = strip_and_turn(tmp_path, before)
    assert after
    assert SECRET not in after
    picture = opened(after)
    assert not picture.getexif()
    assert picture.info["icc_profile"] == ICC
    assert difference(ImageOps.exif_transpose(opened(before)), picture) < 4


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_jpegs_are_turned_in_their_own_colours(mode: str, tmp_path: Path) -> None:
    before = pictures.jpeg(6, mode)
    picture = opened(strip_and_turn(tmp_path, before) or b"")
    assert picture.mode == mode
    assert difference(ImageOps.exif_transpose(opened(before)), picture) < 1


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_a_turned_jpeg_loses_next_to_nothing(subsampling: str, tmp_path: Path) -> None:
    before = pictures.jpeg(8, quality=80, subsampling=subsampling)
    after = strip_and_turn(tmp_path, before) or b""
    assert difference(ImageOps.exif_transpose(opened(before)), opened(after)) < 4
    assert len(after) < 1.3 * len(before)


def test_lossless_pictures_are_turned_without_loss(tmp_path: Path) -> None:
    for before in (
        pictures.png(7),
        pictures.png(5, "RGBA"),
        pictures.png(6, "P"),
        pictures.webp(7, lossless=True),
    ):
        after = opened(strip_and_turn(tmp_path, before) or b"")
        assert (
            after.convert("RGBA").tobytes()
            == ImageOps.exif_transpose(opened(before)).convert("RGBA").tobytes()
        )


def test_a_turned_png_keeps_what_tells_its_colours(tmp_path: Path) -> None:
    assert opened(strip_and_turn(tmp_path, pictures.png(6)) or b"").info["gamma"] == 0.45455


@pytest.mark.parametrize(
    "make",
    [
        lambda: pictures.webp(6, **pictures._moving()),
        lambda: pictures.png(6, **pictures._moving()),
        lambda: pictures.sixteen_bit_png(6),
        lambda: pictures.jpeg(6, quality=95)[:-600],
    ],
    ids=["moving webp", "moving png", "16 bits", "truncated"],
)
def test_what_cannot_be_turned_keeps_its_orientation_as_the_only_tag(make, tmp_path: Path) -> None:
    before = make()
    assert strip_and_turn(tmp_path, before) is None
    after = strip(tmp_path, before)
    assert SECRET not in after
    assert dict(opened(after).getexif()) == {0x0112: 6}


def test_a_picture_of_more_pixels_than_are_decoded_keeps_its_tag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "dropzone_app.processing.metadata.turning.MAX_TURNED",
        dict.fromkeys(["JPEG", "PNG", "WEBP"], 96 * 64 - 1),
    )
    for make in (pictures.jpeg, pictures.png, pictures.webp):
        assert strip_and_turn(tmp_path, make(6)) is None


def test_a_header_that_lies_about_the_size_is_not_decoded(tmp_path: Path) -> None:
    bomb = bytearray(pictures.png(6))
    bomb[16:24] = struct.pack(">II", 30_000, 30_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert strip_and_turn(tmp_path, bytes(bomb)) is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_what_has_nothing_to_lose_is_left_as_it_is(tmp_path: Path) -> None:
    first, *others = pictures.frames()
    plain = [
        pictures.saved("JPEG", icc_profile=ICC),
        pictures.saved("JPEG", progressive=True),
        pictures.saved("PNG", icc_profile=ICC),
        pictures.saved("WEBP"),
        pictures.saved("GIF", first, save_all=True, append_images=others, loop=0),
        pictures.saved("BMP"),
        b"a text",
        b"",
    ]
    for content in plain:
        path = tmp_path / "plain"
        path.write_bytes(content)
        with path.open("rb") as file:
            assert metadata.strip(file, named_tiff=False) is None


def test_a_raw_picture_of_a_camera_is_no_tiff(tmp_path: Path) -> None:
    raw = pictures.tiff()
    assert strip(tmp_path, raw, "nef") == raw
    assert strip(tmp_path, raw, "tif") != raw


@pytest.mark.parametrize("name", TELLING)
def test_no_cut_file_costs_more_than_a_refusal(name: str, tmp_path: Path) -> None:
    extension, make = TELLING[name]
    whole = make()
    for length in range(0, len(whole), max(1, len(whole) // 150)):
        assert len(left_of(tmp_path, whole[:length], extension)) <= length + 40


@pytest.mark.parametrize("name", TELLING)
def test_no_changed_byte_costs_more_than_a_refusal(name: str, tmp_path: Path) -> None:
    extension, make = TELLING[name]
    whole = make()
    for position in range(0, min(len(whole), 1500), 7):
        for value in (0, 0xFF):
            changed = bytearray(whole)
            changed[position] = value
            left_of(tmp_path, bytes(changed), extension)


@pytest.mark.parametrize(
    "head",
    [
        b"\xff\xd8\xff\xe0\0\x10JFIF\0",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"GIF89a=1;alert(1)//",
        b"RIFF\0\1\0\0WEBPVP8X",
        b"\0\0\0\x18ftypheic",
        b"II*\0\x08\0\0\0",
    ],
)
def test_what_only_begins_as_a_picture_is_refused(head: bytes, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="damaged"):
        strip(tmp_path, head + bytes(2000), "tif")


def test_a_file_of_countless_pieces_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripped, "_MAX_PIECES", 50)
    kept = b"\xff\xdd\0\4\0\0"
    many = pictures.jpeg()[:2] + (kept + b"\xff\xfe\0\2") * 51
    with pytest.raises(Rejected, match="damaged"):
        strip(tmp_path, many + pictures.jpeg()[2:])


def test_a_search_for_a_marker_goes_on_over_the_edge_of_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pictures.jpeg(progressive=True)
    expected = strip(tmp_path, whole)
    for step in range(2, 12):
        monkeypatch.setattr(streams, "_STEP", step)
        assert strip(tmp_path, whole) == expected


def test_a_directory_that_points_to_itself_comes_to_an_end(tmp_path: Path) -> None:
    # One entry, the width; its next directory is this one.
    endless = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 256, 3, 1, 5, 0, 8)
    with pytest.raises(Rejected, match="damaged"):
        strip(tmp_path, endless, "tif")
