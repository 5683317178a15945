"""Real pictures, with everything in them that tells of more than the picture. What tells holds the word SECRET."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pillow_heif
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

pillow_heif.register_heif_opener()

SECRET = b"SECRET"
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>SECRET</a></x:xmpmeta>'
SIZE = 96, 64


def drawn(mode: str = "RGB") -> Image.Image:
    """A picture without any symmetry: a gradient, red at the upper left."""
    picture = Image.linear_gradient("L").resize(SIZE).convert("RGB")
    picture.paste((255, 0, 0), (0, 0, 40, 24))
    return picture.convert(mode)


def frames() -> list[Image.Image]:
    return [drawn().rotate(angle) for angle in (0, 20, 40)]


def exif(orientation: int = 1) -> bytes:
    """A block of EXIF with the place, the camera, the photographer and a preview."""
    block = Image.Exif()
    block[0x0112] = orientation
    block[0x010E] = block[0x013B] = "SECRET"
    place = block.get_ifd(0x8825)
    place[1], place[2], place[29] = "N", (50.0, 30.0, 20.0), "SECRET"
    details = block.get_ifd(0x8769)
    details[0x9286], details[0x927C] = b"ASCII\0\0\0SECRET", b"SECRET"
    return block.tobytes()


def saved(kind: str, picture: Image.Image | None = None, **options: Any) -> bytes:
    """A picture as Pillow writes this format."""
    out = BytesIO()
    (picture or drawn()).save(out, kind, **options)
    return out.getvalue()


def jpeg(orientation: int = 1, mode: str = "RGB", **options: Any) -> bytes:
    """A JPEG with EXIF, XMP, IPTC, a comment, a thumbnail in JFIF, a private segment and something behind its end."""
    plain = saved(
        "JPEG", drawn(mode), exif=exif(orientation), icc_profile=ICC, comment=b"SECRET", xmp=XMP, **options
    )
    if plain[2:4] == b"\xff\xe0":
        thumbnail = b"JFIF\0\1\1\0\0\1\0\1\2\1" + b"SECRET"
        plain = plain[:2] + b"\xff\xe0" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + plain[20:]
    more = b"".join(
        b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content
        for marker, content in [
            (0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0b\x1c\x02\x69\0\x06SECRET"),
            (0xE2, b"FPXR\0SECRET"),
            (0xE7, b"SECRET"),
        ]
    )
    start = plain.index(b"\xff\xdb")
    return plain[:start] + more + plain[start:] + b"SECRET of a motion photo"


def png(orientation: int = 1, mode: str = "RGB", **options: Any) -> bytes:
    """A PNG with EXIF, XMP, three kinds of text, a private chunk and something behind its end."""
    info = PngInfo()
    info.add_text("Comment", "SECRET")
    info.add_text("Comment", "SECRET", zip=True)
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    info.add(b"tIME", b"\x07\xea\1\1\1\1\1")
    info.add(b"gAMA", struct.pack(">I", 45455))
    info.add(b"seCr", b"SECRET")
    whole = saved("PNG", drawn(mode), exif=exif(orientation), icc_profile=ICC, pnginfo=info, **options)
    return whole + b"SECRET"


def webp(orientation: int = 1, **options: Any) -> bytes:
    """A WebP with EXIF, XMP and a chunk that nobody knows."""
    whole = saved("WEBP", exif=exif(orientation), icc_profile=ICC, xmp=XMP, **options)
    whole += b"SECR" + struct.pack("<I", 6) + SECRET
    return whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:]


def gif(**options: Any) -> bytes:
    """A moving GIF with a comment, XMP and something behind its end."""
    first, *others = frames()
    whole = saved("GIF", first, save_all=True, append_images=others, loop=0, duration=50, comment=b"SECRET")
    xmp = b"\x21\xff\x0bXMP DataXMP" + XMP + bytes([1, *range(255, -1, -1), 0])
    return whole[:-1] + xmp + b"\x3bSECRET"


def tiff(**options: Any) -> bytes:
    """A TIFF with tags that tell."""
    tags = {270: "SECRET", 315: "SECRET", 33432: "SECRET", 274: 6, 700: XMP}
    return saved("TIFF", icc_profile=ICC, tiffinfo=tags, **options)


def tiff_with_exif() -> bytes:
    """A TIFF with a directory of EXIF, and one of GPS, below its own."""
    return saved("TIFF", icc_profile=ICC, exif=exif())


def _moving(**options: Any) -> dict[str, Any]:
    return {"save_all": True, "append_images": frames()[1:], "duration": 50, **options}


#: Pictures that are told apart by their names here, each with the extension of its kind.
TELLING: dict[str, tuple[str, Callable[[], bytes]]] = {
    "jpeg": ("jpg", jpeg),
    "progressive jpeg": ("jpg", lambda: jpeg(progressive=True)),
    "grey jpeg": ("jpg", lambda: jpeg(mode="L")),
    "cmyk jpeg": ("jpg", lambda: jpeg(mode="CMYK")),
    "png": ("png", png),
    "png with a palette": ("png", lambda: png(mode="P")),
    "png with alpha": ("png", lambda: png(mode="RGBA")),
    "moving png": ("png", lambda: png(**_moving())),
    "gif": ("gif", gif),
    "webp": ("webp", webp),
    "lossless webp": ("webp", lambda: webp(lossless=True)),
    "moving webp": ("webp", lambda: webp(**_moving())),
    "tiff": ("tif", tiff),
    "tiff of several pages": ("tiff", lambda: tiff(save_all=True, append_images=frames()[1:])),
    "packed tiff": ("tif", lambda: tiff(compression="tiff_lzw")),
    "tiff of jpegs": ("tif", lambda: tiff(compression="jpeg")),
    "big tiff": ("tif", lambda: tiff(big_tiff=True)),
    "tiff with exif": ("tif", tiff_with_exif),
    "avif": ("avif", lambda: saved("AVIF", exif=exif(), icc_profile=ICC, xmp=XMP)),
    "moving avif": ("avif", lambda: saved("AVIF", exif=exif(), icc_profile=ICC, xmp=XMP, **_moving())),
    "heic": ("heic", lambda: saved("HEIF", exif=exif(), icc_profile=ICC, xmp=XMP)),
}


def sixteen_bit_png(orientation: int) -> bytes:
    """A PNG of one red pixel row of 16 bits a colour, which Pillow cannot write."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    rows = b"\0" + struct.pack(">6H", 0xFFFE, 1, 2, 0xABCD, 3, 4)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
        + chunk(b"eXIf", exif(orientation).removeprefix(b"Exif\0\0"))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
