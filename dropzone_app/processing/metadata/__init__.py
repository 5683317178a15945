"""Pictures without what they tell beside the picture: EXIF, GPS, XMP, IPTC, comments, previews, what is appended.

The coded picture itself is copied bit by bit, with its colours (ICC profile) and its animation. Only a still picture
that its EXIF says lies on its side is decoded, and coded anew upright (:func:`upright`).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from typing import BinaryIO

from ...errors import Rejected
from .heif import HEIF_BRANDS, heif
from .streams import gif, jpeg, png, webp
from .stripped import Stripped
from .tiff import TIFF_HEADS, tiff
from .turning import upright

__all__ = ["Stripped", "strip", "upright"]


def strip(file: BinaryIO, *, named_tiff: bool) -> Stripped | None:
    """What to store in place of ``file``; None where nothing must go, or it is no picture known here.

    ``named_tiff``: whether it is a TIFF by its name; raw pictures of cameras begin alike, and would be lost without
    what is in them. Rejected where it begins as a picture and has none.
    """
    head = file.read(12)
    find = _finder(head, named_tiff)
    if find is None:
        return None
    # The descriptor is ours and nobody shortens the file: mapped, it takes no memory that the kernel cannot reclaim.
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            found = find(data)
        except (struct.error, IndexError):
            raise Rejected.because("damaged_picture") from None
        if not found.whole:
            raise Rejected.because("damaged_picture")
        return None if found.pieces == [(0, len(data))] else found


def _finder(head: bytes, named_tiff: bool) -> Callable[[mmap.mmap], Stripped] | None:
    if head.startswith(b"\xff\xd8\xff"):
        return jpeg
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return png
    if head.startswith((b"GIF87a", b"GIF89a")):
        return gif
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return webp
    if head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS:
        return heif
    if named_tiff and head[:4] in TIFF_HEADS:
        return tiff
    return None
