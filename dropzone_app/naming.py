"""Names: what a person called a file, and what it is called in the storage. Pure functions."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

#: Bytes that a name may have on every file system in use.
MAX_NAME_BYTES = 255

#: Characters of a shown name in an answer.
SHOWN = 60

#: Bytes of what is taken for an extension: a sentence with a dot in it has none.
MAX_EXTENSION_BYTES = 100

#: Bytes of the folder part of a key: room for any root below PATH_MAX.
MAX_FOLDER_BYTES = 1024

#: Characters of a folder path that is recorded.
MAX_PATH = 1000

# Characters that Windows forbids, and both slashes.
_FORBIDDEN = re.compile(r'[\\/:*?"<>|]')
_SLASH = re.compile(r"[\\/]")
# Control, format (bidi), surrogate, private-use and line-separating characters.
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
# Format characters too, without which Persian, scripts of India and many emoji are misspelt.
_JOINERS = "\u200c\u200d"
# As are these, where they make another one of a black flag: that of Scotland, say (UTS #51, ED-14a).
_TAGS = "".join(map(chr, range(0xE0020, 0xE0080)))
_FLAG = re.compile(f"(\U0001f3f4[{_TAGS[0]}-{_TAGS[-2]}]+{_TAGS[-1]})")
# Of what Unicode has not assigned these will never be seen; all others may be letters that are newer than this Python.
_NEVER_SEEN = re.compile("[\u2065\ufdd0-\ufdef\ufff0-\ufff8\U000e0000-\U000e0fff]")
_DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|CLOCK\$|CONIN\$|CONOUT\$|COM[0-9¹²³]|LPT[0-9¹²³])", re.IGNORECASE)


def _printable(text: str) -> str:
    """NFC, without what has no place in a line: a blank for what parts words, nothing for the rest."""
    if text.isascii() and text.isprintable():
        return text
    # Every second piece is a flag.
    pieces = _FLAG.split(text)
    pieces[::2] = ("".join(map(_printed, piece)) for piece in pieces[::2])
    # Composed last: what stood between a letter and its accent may just have gone.
    return unicodedata.normalize("NFC", "".join(pieces))


def _printed(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cn":
        return "" if ord(character) & 0xFFFE == 0xFFFE or _NEVER_SEEN.match(character) else character
    if category not in _UNPRINTABLE or character in _JOINERS:
        return character
    return " " if character.isspace() else ""


def _safe(text: str) -> str:
    """``text`` in characters that every file system takes; some refuse those that are newer than they are."""
    text = _FORBIDDEN.sub("_", text)
    if text.isascii():
        return text
    return "".join("_" if unicodedata.category(character) == "Cn" else character for character in text)


def display_name(raw: str) -> str:
    """The name as shown, recorded and offered on download: the last segment of ``raw``, printable.

    Browsers of old send whole paths, and any client can. ``""`` where nothing usable is left.
    """
    name = _printable(_SLASH.split(raw)[-1]).strip()
    if not name.strip(". ") or not any(character.isalnum() or character > "\x7f" for character in name):
        return ""
    # 255 characters and 255 bytes are both common limits; the record keeps what the storage can.
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > MAX_EXTENSION_BYTES:
        return _joined(name, "")
    return _joined(stem, dot + extension)


def display_path(raw: str) -> str:
    """The folder path a file was dropped with, ``holiday/day 1``: relative, printable, without ``..``."""
    if not raw:
        return ""
    segments = (_printable(segment).strip() for segment in re.split(r"[\\/]", raw))
    path = "/".join(segment for segment in segments if segment.strip("."))
    # What a cut leaves of `..x` must not be `..`, nor half a flag.
    return path if len(path) <= MAX_PATH else path[:MAX_PATH].rstrip(f"/. {_TAGS}")


# Every name is asked for its extension several times on its way, and soon never again.
@lru_cache(256)
def extension_of(name: str) -> str:
    """The last suffix in lower case without its dot; ``""`` where there is none.

    Dots and spaces at the end do not count: Windows drops them, and ``evil.exe.`` would run there. It is the
    extension of the stored name too, whatever that has to change: what is checked is what is stored.
    """
    return _lower(_split(name)[1])


def _lower(extension: str) -> str:
    # Small letters may compose where capitals do not: J and a caron stay two characters, j and a caron are one.
    return unicodedata.normalize("NFC", extension.lower())


def _split(name: str) -> tuple[str, str]:
    """Stem and extension, as the extension will be stored."""
    name = name.rstrip(". ")
    stem, _, extension = name.rpartition(".")
    extension = _safe(extension)
    if not stem.strip(". ") or len(_lower(extension).encode(errors="replace")) > MAX_EXTENSION_BYTES:
        return name, ""
    return stem, extension


def storage_key(filename: str, wanted: str | None = None, folder: str = "") -> str:
    """The key of a file: the stored name of every upload is made here, from nothing but these three.

    ``wanted`` is what its set calls it (None: what the person does), ``folder`` where it shall lie. All may be any
    text: each segment is safe on every file system, none leads out of the storage, and the extension is that of
    ``filename``. Where the key is taken it gets a number, see :func:`numbered`.
    """
    name = storage_name(filename) if wanted is None else stored_name(wanted, filename)
    folder = storage_folder(folder)
    return f"{folder}/{name}" if folder else name


def storage_name(filename: str) -> str:
    """``filename`` made safe for any file system, with its extension kept: the last segment of a key.

    Letters of every script that this Python knows stay. No control or bidi characters, none of
    ``\\ / : * ? " < > |``, no device names, no dot or dash in front, no dot or space at the end, at most 255 bytes of
    UTF-8.
    """
    stem, extension = _split(_safe(_printable(filename)))
    stem = stem.lstrip(".- ") or "file"
    if not extension:
        # What is left of a suffix too long to be an extension might be one when it is cut.
        stem = stem.replace(".", "_")
    if _DEVICE.fullmatch(stem.partition(".")[0].strip()):
        stem = f"_{stem}"
    return _joined(stem, f".{extension}" if extension else "")


@lru_cache(256)
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


def numbered(key: str, number: int | str) -> str:
    """``day 1/photo.jpg`` → ``day 1/photo_2.jpg``, the name still within 255 bytes."""
    folder, slash, name = key.rpartition("/")
    stem, extension = _split(name)
    return folder + slash + _joined(stem, f"_{number}.{extension}" if extension else f"_{number}")


def shown(name: str, length: int = SHOWN) -> str:
    """``name`` in at most ``length`` characters, shortened in the middle so that the extension stays."""
    name = _printable(name)
    if len(name) <= length:
        return name
    back = max(length // 3, 1)
    return f"{name[: length - back - 1]}…{name[-back:]}"


def _joined(stem: str, tail: str) -> str:
    """``stem`` and ``tail`` in at most 255 bytes of UTF-8, the stem cut after a whole character where it must be."""
    limit = MAX_NAME_BYTES - len(tail.encode())
    if len(stem.encode()) <= limit:
        return stem + tail
    cut = stem.encode()[:limit].decode(errors="ignore")
    # No joiner is left hanging off the end, nor half a flag.
    return (cut.rstrip(f" .{_JOINERS}{_TAGS}") or cut) + tail
