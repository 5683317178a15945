"""Names: what a person called a file, and what it is called in the storage. Pure functions."""

from __future__ import annotations

import re
import unicodedata

#: Bytes that a name may have on every file system in use.
MAX_NAME_BYTES = 255

#: Characters of a shown name in an answer.
SHOWN = 60

#: Bytes of the folder part of a key: room for any root below PATH_MAX.
MAX_FOLDER_BYTES = 1024

#: Characters of a folder path that is recorded.
MAX_PATH = 1000

# Characters that Windows forbids, and both slashes.
_FORBIDDEN = re.compile(r'[\\/:*?"<>|]')
_SLASH = re.compile(r"[\\/]")
_SPACES = re.compile(" {2,}")
_DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|CLOCK\$|CONIN\$|CONOUT\$|COM[0-9¹²³]|LPT[0-9¹²³])", re.IGNORECASE)


def _printable(text: str) -> str:
    """NFC, without control, format (bidi), surrogate, private-use and line-separating characters."""
    if text.isascii() and text.isprintable():
        return text
    kept = (
        " " if character.isspace() else character
        for character in text
        # A zero-width joiner is a format character too, but emoji and several scripts need it.
        if character.isspace()
        or character == "\u200d"
        or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    )
    # Last: what stood between a letter and its accent may just have gone.
    return unicodedata.normalize("NFC", "".join(kept))


def display_name(raw: str) -> str:
    """The name as shown, recorded and offered on download: the last segment of ``raw``, printable.

    Browsers of old send whole paths, and any client can. ``""`` where nothing usable is left.
    """
    name = _printable(_SLASH.split(raw)[-1]).strip(" ")
    name = _SPACES.sub(" ", name)
    if not name.strip(". ") or not any(character.isalnum() or character > "\x7f" for character in name):
        return ""
    # 255 characters and 255 bytes are both common limits; the record keeps what the storage can.
    return _shortened(name, MAX_NAME_BYTES)


def display_path(raw: str) -> str:
    """The folder path a file was dropped with, ``holiday/day 1``: relative, printable, without ``..``."""
    segments = (_printable(segment).strip(" ") for segment in re.split(r"[\\/]", raw))
    return "/".join(segment for segment in segments if segment.strip("."))[:MAX_PATH].rstrip("/")


def extension_of(name: str) -> str:
    """The last suffix in lower case without its dot; ``""`` where there is none.

    Dots and spaces at the end do not count: Windows drops them, and ``evil.exe.`` would run there.
    """
    stem, _, extension = name.rstrip(". ").rpartition(".")
    return extension.lower() if stem.strip(". ") else ""


def storage_name(filename: str) -> str:
    """``filename`` made safe for any file system, with its extension kept: the last segment of a key.

    Letters of every script stay. No control or bidi characters, none of ``\\ / : * ? " < > |``, no device
    names, no dot or dash in front, no dot or space at the end, at most 255 bytes of UTF-8.
    """
    name = _FORBIDDEN.sub("_", _printable(filename)).rstrip(". ")
    extension = extension_of(name)
    stem = name.rpartition(".")[0] if extension else name
    stem = stem.lstrip(".- ") or "file"
    if _DEVICE.fullmatch(stem.partition(".")[0].strip()):
        stem = f"_{stem}"
    return _shortened(f"{stem}.{name.rpartition('.')[2]}" if extension else stem, MAX_NAME_BYTES)


def storage_folder(path: str) -> str:
    """``path`` made safe like a name, segment by segment; what is deeper than 1,024 bytes is left out."""
    segments = [storage_name(segment) for segment in display_path(path).split("/") if segment]
    folder = ""
    for segment in segments:
        longer = f"{folder}/{segment}" if folder else segment
        if len(longer.encode()) > MAX_FOLDER_BYTES:
            break
        folder = longer
    return folder


def stored_name(wanted: str, filename: str) -> str:
    """``wanted`` as a storage name with the extension of ``filename``: what was checked is what is stored."""
    name = storage_name(wanted)
    extension = extension_of(filename)
    if extension_of(name) == extension:
        return name
    return storage_name(f"{name}.{extension}") if extension else name.replace(".", "_")


def numbered(name: str, number: int | str) -> str:
    """``photo.jpg`` → ``photo_2.jpg``, still within 255 bytes."""
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > MAX_NAME_BYTES // 2:
        # What is so long is no extension that anybody checked by its letters.
        stem, dot, extension = name, "", ""
    tail = f"_{number}{dot}{extension}"
    return _cut(stem, MAX_NAME_BYTES - len(tail.encode())) + tail


def shown(name: str, length: int = SHOWN) -> str:
    """``name`` in at most ``length`` characters, shortened in the middle so that the extension stays."""
    name = _printable(name)
    if len(name) <= length:
        return name
    back = max(length // 3, 1)
    return f"{name[: length - back - 1]}…{name[-back:]}"


def _shortened(name: str, limit: int) -> str:
    if len(name.encode()) <= limit:
        return name
    stem, dot, extension = name.rpartition(".")
    tail = f"{dot}{extension}"
    if not stem or len(tail.encode()) > limit // 2:
        return _cut(name, limit)
    return _cut(stem, limit - len(tail.encode())) + tail


def _cut(text: str, limit: int) -> str:
    """At most ``limit`` bytes of UTF-8, whole characters, with no mark or joiner left hanging off the end."""
    cut = text.encode()[:limit].decode(errors="ignore")
    return cut.rstrip(" .\u200d") or cut
