"""What libmagic says, where it is installed: only asked for the name of what is refused already."""

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


def noun_of(head: bytes) -> str | None:
    """What a file that begins with ``head`` is; None where libmagic is not there or does not know."""
    if (magic := _magic()) is None:
        return None
    try:
        found = magic.from_buffer(head, mime=True)
    except magic.MagicException:
        return None
    # These say no more than that it is some file.
    unknown = found in {"application/octet-stream", "text/plain", "application/x-empty"}
    return None if unknown else f"a file of the type {found}"
