"""What no storage takes for a key, and what of ours lies where no key leads."""

from __future__ import annotations

import re

# Looked for between slashes: empty, "." and ".." segments, a dot in front of all, "\\", NUL.
_UNSAFE = re.compile(r"//|/\.\.?/|^/\.|[\\\0]")

_ID = re.compile("[0-9a-f]{32}")

#: All of ours in a storage that is no stored file.
STAGING = ".staging"
THUMBNAILS = ".thumbnails"

#: How the handle of an upload ends whose bytes its client sends to the store itself.
DIRECT = "-direct"


def is_direct(handle: str) -> bool:
    """Whether the bytes of this upload go straight to the store."""
    return handle.endswith(DIRECT)


def check_key(key: str) -> str:
    """``key``; ValueError for one that would leave the storage or enter what is ours."""
    if _UNSAFE.search(f"/{key}/"):
        raise ValueError("not a key of this storage")
    return key


def is_id(name: str) -> bool:
    """Whether this is the id of a record, as thumbnails are named."""
    return bool(_ID.fullmatch(name))


def check_id(id: str) -> str:
    """``id``; ValueError where it is no id of a record."""
    if not is_id(id):
        raise ValueError("not the id of a record")
    return id
