"""What a set does with a part that passed its checks and is not stored yet: scan, clean, take its metadata away."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ..config import MAX_PIXELS, SettingError
from ..decoder import with_descriptor
from ..intake import Part
from ..kinds import kind_of
from ..storage import Storage
from . import decoding, metadata, svg
from .scan import Scanner

__all__ = ["Processing", "Scanner", "Svg"]

Svg = Literal["refuse", "clean", "attachment"]


@dataclass(frozen=True)
class Processing:
    """The steps that one upload set has chosen. SettingError where one of them lacks what it needs."""

    #: Of the set, for sentences.
    name: str
    scan: Scanner | None = None
    svg: Svg = "attachment"
    strip_metadata: bool = False
    #: Whether pictures must decode to their end, and with how many pixels at most.
    decode: bool = False
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if self.svg == "clean":
            svg.check_cleaner(f"The upload set {self.name!r}: svg")
        if self.decode:
            decoding.check_available(f"The upload set {self.name!r}: decode")
        if self.strip_metadata:
            try:
                import PIL  # noqa: F401
            except ImportError:
                raise SettingError(
                    f"The upload set {self.name!r}: strip_metadata needs Pillow: pip install 'dropzone_app[images]'."
                ) from None

    def __bool__(self) -> bool:
        return self.scan is not None or self.svg == "clean" or self.strip_metadata or self.decode

    def run(self, part: Part, storage: Storage) -> None:
        """Do the steps to a part. Rejected where one of them refuses it; OSError where the storage fails."""
        if self.scan is not None:
            # First, and what arrived: nothing of ours has yet read a file that may be made to harm what reads it.
            with part.open() as file:
                self.scan.scan(file)
        if self.decode and (form := kind_of(part.extension).decoder):
            with part.open() as file:
                decoding.decode(file, form, self.max_pixels)
        if self.svg == "clean" and part.extension == "svg":
            with part.open() as file:
                _replace(part, storage, [svg.clean(file, part.size)])
        if self.strip_metadata:
            _strip(part, storage)


def _strip(part: Part, storage: Storage) -> None:
    with part.open() as opened, with_descriptor(opened) as file:
        found = metadata.strip(file, named_tiff=kind_of(part.extension).media_type == "image/tiff")
        if found is None:
            return
        _replace(part, storage, found.chunks(file))
    if found.orientation == 1:
        return
    with part.open() as opened, with_descriptor(opened) as file:
        upright = metadata.upright(file, found)
    if upright is not None:
        _replace(part, storage, [upright])


def _replace(part: Part, storage: Storage, chunks: Iterable[bytes]) -> None:
    staged = storage.stage()
    try:
        for chunk in chunks:
            staged.write(chunk)
    except BaseException:
        staged.close()
        raise
    part.replace(staged)
