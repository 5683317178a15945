"""A picture that lies on its side, coded anew as it is looked at."""

from __future__ import annotations

import mmap
import struct
import threading
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

from .streams import PNG_COLOURS, png_chunks, riff_chunks
from .stripped import Stripped

if TYPE_CHECKING:
    from PIL.Image import Image

#: Pixels of a picture that is decoded to be turned, by format: a photograph of a phone, in seconds. A larger
#: one keeps its orientation as the only tag.
MAX_TURNED = {"JPEG": 50_000_000, "PNG": 12_000_000, "WEBP": 12_000_000}

# One at a time in a process: at eight bytes a pixel, each may take 400 MB.
_turning = threading.Lock()

_Options = dict[str, Any]


def _jpeg_options(image: Image, file: BinaryIO, sideways: bool) -> _Options | None:
    from PIL.JpegImagePlugin import get_sampling

    def table(values: list[int]) -> list[int]:
        # A block on its side has its frequencies on their side: nearly nothing is lost a second time.
        return [values[8 * (at % 8) + at // 8] for at in range(64)] if sideways else values

    # Pillow knows no 4:4:0, which 4:2:2 on its side would be.
    sampling = get_sampling(image)
    return {
        "qtables": {id: table(list(values)) for id, values in image.quantization.items()},  # type: ignore[attr-defined]
        "subsampling": sampling if sampling in (0, 2) else 0,
        "progressive": bool(image.info.get("progressive")),
        "optimize": True,
        "dpi": image.info.get("dpi", (0, 0)),
    }


def _png_options(image: Image, file: BinaryIO, sideways: bool) -> _Options | None:
    from PIL.PngImagePlugin import PngInfo

    kept = PngInfo()
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[24] > 8:
            # Pillow would make eight bits of a colour's sixteen.
            return None
        for name, start, end in png_chunks(data):
            if name in PNG_COLOURS:
                kept.add(name, data[start + 8 : end - 4])
    options: _Options = {"pnginfo": kept, "dpi": image.info.get("dpi"), "compress_level": 4}
    if "transparency" in image.info:
        options["transparency"] = image.info["transparency"]
    return options


def _webp_options(image: Image, file: BinaryIO, sideways: bool) -> _Options | None:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        lossless = any(name == b"VP8L" for name, _, _ in riff_chunks(data))
    return {"lossless": True, "exact": True} if lossless else {"quality": 90}


_SAVING: dict[str, Callable[[Image, BinaryIO, bool], _Options | None]] = {
    "JPEG": _jpeg_options,
    "PNG": _png_options,
    "WEBP": _webp_options,
}


#: What Pillow raises for a picture that is not as it should be.
_UNREADABLE = (
    ArithmeticError,
    LookupError,
    MemoryError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)


def _turn(orientation: int) -> Any:
    from PIL.Image import Transpose as To

    turns = (
        *(To.FLIP_LEFT_RIGHT, To.ROTATE_180, To.FLIP_TOP_BOTTOM),
        *(To.TRANSPOSE, To.ROTATE_270, To.TRANSVERSE, To.ROTATE_90),
    )
    return turns[orientation - 2]


def upright(file: BinaryIO, found: Stripped) -> bytes | None:
    """A stripped picture coded anew, turned as its orientation says; None where only the tag can say it.

    That is so for what moves, for more than :data:`MAX_TURNED` pixels, and for what Pillow cannot read in full.
    ``file``: the stripped picture, so that no metadata comes before Pillow.
    """
    from PIL import Image as Pillow

    if not found.still or found.pixels > MAX_TURNED[found.format] or not found.pixels:
        return None
    with _turning:
        try:
            with Pillow.open(file, formats=[found.format]) as image:
                options = _SAVING[found.format](image, file, found.orientation > 4)
                if options is None:
                    return None
                turned = image.transpose(_turn(found.orientation))
                turned.info = {}
                options["icc_profile"] = image.info.get("icc_profile")
                image.close()
                out = BytesIO()
                turned.save(out, found.format, **options)
                return out.getvalue()
        except (*_UNREADABLE, Pillow.DecompressionBombError):
            # What viewers show of it they turn themselves.
            return None
