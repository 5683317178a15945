"""SVG drawings without what runs, loads from elsewhere or leads there, by svg-hush."""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO
from xml.parsers import expat

from ..config import SettingError, Size
from ..errors import Rejected

#: A drawing is cleaned in memory, and for a second at worst nothing else runs in the process.
MAX_SIZE = Size(5_000_000)

# What the cleaner may have to write: entities expand, and it indents by depth. 10 MB can ask for a terabyte, and what
# is larger by so much than what was sent is larger than its set allows.
_MAX_WRITTEN, _MAX_GROWTH = 20_000_000, 10
# Any small drawing may have.
_ALWAYS = 10_000

_PICTURES = {"image": ["png", "jpeg", "gif", "webp", "avif"]}


def check_cleaner(where: str) -> None:
    """SettingError where svg-hush is not installed."""
    try:
        import py_svg_hush  # noqa: F401
    except ImportError:
        raise SettingError(
            f"{where} is 'clean', which needs svg-hush: pip install 'dropzone_app[svg]'."
        ) from None


def clean(file: BinaryIO, size: int) -> bytes:
    """The drawing with nothing but what draws. Rejected where it cannot be read as SVG or is over :data:`MAX_SIZE`."""
    import py_svg_hush

    if size > MAX_SIZE:
        raise Rejected.because("svg_too_large", size=Size(size), limit=MAX_SIZE)
    drawing = file.read()
    try:
        _measure(drawing)
        return bytes(py_svg_hush.filter_svg(drawing, keep_data_url_mime_types=_PICTURES))
    except (ValueError, LookupError, expat.ExpatError):
        raise Rejected.because("unsafe_svg") from None


def _measure(drawing: bytes) -> None:
    """ValueError for what would grow past all measure while it is cleaned."""
    most = min(_MAX_WRITTEN, _ALWAYS + _MAX_GROWTH * len(drawing))
    written = depth = 0

    def wrote(characters: int) -> None:
        nonlocal written
        written += characters
        if written > most:
            raise ValueError("grows past all measure")

    def begin(name: str, attributes: Mapping[str, str]) -> None:
        nonlocal depth
        depth += 1
        wrote(4 * depth + sum(map(len, attributes.values())))

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler = lambda text: wrote(len(text))
    parser.Parse(drawing, True)
