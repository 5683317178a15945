"""What libmagic says, where it is installed: only asked what it is that was refused already."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def _magic() -> Any:
    # The module without the library is an ImportError too.
    try:
        import magic
    except ImportError:
        return None
    return magic


def type_of(head: bytes) -> str | None:
    """The media type of a file that begins with ``head``; None where libmagic is not there or does not know."""
    if (magic := _magic()) is None:
        return None
    try:
        found = magic.from_buffer(head, mime=True)
    except magic.MagicException:
        return None
    # These say no more than that it is some file.
    return None if found in {"application/octet-stream", "text/plain", "application/x-empty"} else str(found)
