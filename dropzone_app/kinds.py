"""The one table of kinds: extension, name, media type, preset, and what the first bytes must be.

It drives the checks, the ``accept`` attribute, the sentence under the zone and the served content type.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from .config import parse_extensions

#: Alternatives; each is a list of (offset, bytes) that must all be there.
Signatures = tuple[tuple[tuple[int, bytes], ...], ...]

#: Bytes at the beginning of a file that the table looks at.
HEAD = 1024


@dataclass(frozen=True)
class Kind:
    """One kind of file, as a person and as a machine know it."""

    #: Said in sentences: "JPEG".
    name: str
    media_type: str
    #: Said where a file is or is not one: "a JPEG image".
    noun: str
    #: Empty: taken by its name.
    signatures: Signatures = ()
    #: Must decode as text.
    text: bool = False

    def matches(self, head: bytes) -> bool:
        """Whether a file that begins with ``head`` can be of this kind."""
        if not self.signatures or _fits(self.signatures, head):
            return True
        # Readers of PDF take up to 1,024 bytes before the header (ISO 32000-1, annex H, note 13).
        return self.media_type == "application/pdf" and b"%PDF-" in head


def _fits(signatures: Signatures, head: bytes) -> bool:
    return any(
        all(head.startswith(magic, offset) for offset, magic in alternative) for alternative in signatures
    )


def _at(*pairs: tuple[int, bytes]) -> tuple[tuple[int, bytes], ...]:
    return pairs


def _begins(*magics: bytes) -> Signatures:
    return tuple(((0, magic),) for magic in magics)


def _riff(form: bytes) -> Signatures:
    return (_at((0, b"RIFF"), (8, form)),)


def _brands(*brands: bytes) -> Signatures:
    return tuple(_at((4, b"ftyp"), (8, brand)) for brand in brands)


_ZIP = _begins(b"PK\x03\x04", b"PK\x05\x06")
_GZIP = _begins(b"\x1f\x8b")
_OLE = _begins(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
_XML = _begins(b"<?xml", b"\xef\xbb\xbf<?xml")
_MPEG_AUDIO = _begins(b"ID3", *(bytes([0xFF, b]) for b in (0xE2, 0xE3, 0xF2, 0xF3, 0xFA, 0xFB)))
_AAC = _begins(b"\xff\xf0", b"\xff\xf1", b"\xff\xf8", b"\xff\xf9", b"ADIF", b"ID3")
# QuickTime files of old have no ftyp box; they begin with one of these.
_QUICKTIME = tuple(_at((4, box)) for box in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"))
_OFFICE = "application/vnd.openxmlformats-officedocument."
_ODF = "application/vnd.oasis.opendocument."

_JPEG = Kind("JPEG", "image/jpeg", "a JPEG image", _begins(b"\xff\xd8\xff"))
_TIFF = Kind("TIFF", "image/tiff", "a TIFF image", _begins(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"))
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_HEIC = Kind("HEIC", "image/heic", "a HEIC image", _brands(*_HEIF_BRANDS))
_MP4 = Kind("MP4", "video/mp4", "an MP4 video", _brands(b""))
_MPEG = Kind("MPEG", "video/mpeg", "an MPEG video", _begins(b"\0\0\1\xba", b"\0\0\1\xb3", b"\0\0\1\xb0"))
_OGG = Kind("Ogg", "audio/ogg", "an Ogg file", _begins(b"OggS"))
_YAML = Kind("YAML", "application/yaml", "a YAML file", text=True)

#: Preset → extension → kind. The order within a preset is the order in sentences.
PRESETS: dict[str, dict[str, Kind]] = {
    "IMAGES": {
        "jpg": _JPEG,
        "jpeg": _JPEG,
        "jpe": _JPEG,
        "jfif": _JPEG,
        "png": Kind("PNG", "image/png", "a PNG image", _begins(b"\x89PNG\r\n\x1a\n")),
        "gif": Kind("GIF", "image/gif", "a GIF image", _begins(b"GIF87a", b"GIF89a")),
        "webp": Kind("WebP", "image/webp", "a WebP image", _riff(b"WEBP")),
        "avif": Kind("AVIF", "image/avif", "an AVIF image", _brands(b"avif", b"avis", b"mif1", b"msf1")),
        "heic": _HEIC,
        "heif": _HEIC,
        "bmp": Kind("BMP", "image/bmp", "a BMP image", _begins(b"BM")),
        "tif": _TIFF,
        "tiff": _TIFF,
    },
    "DOCUMENTS": {
        "pdf": Kind("PDF", "application/pdf", "a PDF", _begins(b"%PDF-")),
        "docx": Kind("Word", _OFFICE + "wordprocessingml.document", "a Word document", _ZIP),
        "doc": Kind("Word", "application/msword", "a Word document", _OLE),
        "xlsx": Kind("Excel", _OFFICE + "spreadsheetml.sheet", "an Excel sheet", _ZIP),
        "xls": Kind("Excel", "application/vnd.ms-excel", "an Excel sheet", _OLE),
        "pptx": Kind("PowerPoint", _OFFICE + "presentationml.presentation", "a PowerPoint file", _ZIP),
        "ppt": Kind("PowerPoint", "application/vnd.ms-powerpoint", "a PowerPoint file", _OLE),
        "odt": Kind("OpenDocument", _ODF + "text", "an OpenDocument text", _ZIP),
        "ods": Kind("OpenDocument", _ODF + "spreadsheet", "an OpenDocument sheet", _ZIP),
        "odp": Kind("OpenDocument", _ODF + "presentation", "an OpenDocument presentation", _ZIP),
        "odf": Kind("OpenDocument", _ODF + "formula", "an OpenDocument formula", _ZIP),
        "rtf": Kind("RTF", "application/rtf", "an RTF document", _begins(b"{\\rtf")),
        "epub": Kind("EPUB", "application/epub+zip", "an EPUB book", _ZIP),
        "gnumeric": Kind("Gnumeric", "application/x-gnumeric", "a Gnumeric sheet", _GZIP + _XML),
        "abw": Kind(
            "AbiWord", "application/x-abiword", "an AbiWord document", _GZIP + _XML + _begins(b"<abiword")
        ),
    },
    "TEXT": {
        "txt": Kind("text", "text/plain", "text", text=True),
        "md": Kind("Markdown", "text/markdown", "a Markdown text", text=True),
    },
    "AUDIO": {
        "mp3": Kind("MP3", "audio/mpeg", "an MP3 file", _MPEG_AUDIO),
        "wav": Kind("WAV", "audio/wav", "a WAV file", _riff(b"WAVE") + _begins(b"RF64")),
        "flac": Kind("FLAC", "audio/flac", "a FLAC file", _begins(b"fLaC", b"ID3")),
        "m4a": Kind("M4A", "audio/mp4", "an M4A file", _brands(b"")),
        "aac": Kind("AAC", "audio/aac", "an AAC file", _AAC),
        "ogg": _OGG,
        "oga": _OGG,
        "opus": _OGG,
    },
    "VIDEO": {
        "mp4": _MP4,
        "m4v": _MP4,
        "mov": Kind("QuickTime", "video/quicktime", "a QuickTime video", _QUICKTIME),
        "webm": Kind("WebM", "video/webm", "a WebM video", _begins(b"\x1a\x45\xdf\xa3")),
        "mkv": Kind("Matroska", "video/x-matroska", "a Matroska video", _begins(b"\x1a\x45\xdf\xa3")),
        "avi": Kind("AVI", "video/x-msvideo", "an AVI video", _riff(b"AVI ")),
        "mpg": _MPEG,
        "mpeg": _MPEG,
        "ogv": Kind("Ogg", "video/ogg", "an Ogg video", _begins(b"OggS")),
        "3gp": Kind("3GP", "video/3gpp", "a 3GP video", _brands(b"")),
    },
    "DATA": {
        "csv": Kind("CSV", "text/csv", "a CSV table", text=True),
        "tsv": Kind("TSV", "text/tab-separated-values", "a TSV table", text=True),
        "json": Kind("JSON", "application/json", "JSON", text=True),
        "xml": Kind("XML", "application/xml", "XML", text=True),
        "yaml": _YAML,
        "yml": _YAML,
        "toml": Kind("TOML", "application/toml", "a TOML file", text=True),
        "ini": Kind("INI", "text/plain", "an INI file", text=True),
        "plist": Kind(
            "plist", "application/x-plist", "a property list", _begins(b"bplist", b"<?xml", b"<!DOC", b"{")
        ),
    },
    "ARCHIVES": {
        "zip": Kind("ZIP", "application/zip", "a ZIP archive", _ZIP),
        "gz": Kind("gzip", "application/gzip", "a gzip file", _GZIP),
        "tgz": Kind("gzip", "application/gzip", "a gzip file", _GZIP),
        "bz2": Kind("bzip2", "application/x-bzip2", "a bzip2 file", _begins(b"BZh")),
        "xz": Kind("xz", "application/x-xz", "an xz file", _begins(b"\xfd7zXZ\0")),
        "txz": Kind("xz", "application/x-xz", "an xz file", _begins(b"\xfd7zXZ\0")),
        "7z": Kind("7-Zip", "application/x-7z-compressed", "a 7-Zip archive", _begins(b"7z\xbc\xaf\x27\x1c")),
        "tar": Kind("tar", "application/x-tar", "a tar archive", (_at((257, b"ustar")),)),
    },
    # Never in a default: what a browser would run. Here so that the table can say what they are.
    "ACTIVE": {
        "svg": Kind("SVG", "image/svg+xml", "an SVG drawing", text=True),
        "html": Kind("HTML", "text/html", "an HTML page", text=True),
        "htm": Kind("HTML", "text/html", "an HTML page", text=True),
    },
}

KINDS: dict[str, Kind] = {extension: kind for kinds in PRESETS.values() for extension, kind in kinds.items()}

IMAGES = tuple(PRESETS["IMAGES"])
DOCUMENTS = tuple(PRESETS["DOCUMENTS"])
TEXT = tuple(PRESETS["TEXT"])
AUDIO = tuple(PRESETS["AUDIO"])
VIDEO = tuple(PRESETS["VIDEO"])
DATA = tuple(PRESETS["DATA"])
ARCHIVES = tuple(PRESETS["ARCHIVES"])
# These are taken by their names alone: what is in them has no signature, or is of no help to a browser.
SCRIPTS = ("js", "php", "pl", "py", "rb", "sh")
EXECUTABLES = ("so", "exe", "dll")
SOURCE = tuple(
    "c cpp c++ h hpp h++ cxx hxx hdl ada rs go f for f90 f95 f03 d dd di java hs cs fs cbl cob asm s".split()  # noqa: SIM905
)


class AllExcept:
    """Every extension but those in ``items``: ``AllExcept(SCRIPTS + EXECUTABLES)``. SettingError for what are none."""

    def __init__(self, items: Iterable[str]) -> None:
        self.items = parse_extensions("AllExcept", items) if items != () else ()

    def __contains__(self, extension: object) -> bool:
        return extension not in self.items


#: Every extension, and files without one.
ALL = AllExcept(())

#: What is accepted where nothing is declared: nothing that a browser or a server would run.
DEFAULT_TYPES = IMAGES + DOCUMENTS + TEXT + AUDIO + VIDEO + DATA

# fmt: off
_TELLING = (
    "jpg", "png", "gif", "webp", "tif", "pdf", "rtf", "wav", "ogg", "webm", "avi",
    "zip", "gz", "bz2", "xz", "7z", "tar",
)
# fmt: on

#: What a refused file is called, first match first. Only signatures that belong to nothing else: a ZIP may be
#: a Word document too, and "BM" may begin a letter.
_KNOWN = (
    *((KINDS[extension].signatures, KINDS[extension].noun) for extension in _TELLING),
    (_OLE, "an old Office document"),
    (_brands(b"avif", b"avis"), "an AVIF image"),
    # The brands mif1 and msf1 say no more than that: an AVIF image may have them too.
    (_brands(*_HEIF_BRANDS), "a HEIF image"),
    (_brands(b"M4A "), "an M4A file"),
    (_brands(b"qt  "), "a QuickTime video"),
    (_brands(b""), "an MP4 video"),
    (_begins(b"fLaC"), "a FLAC file"),
    (_begins(b"ID3"), "an MP3 file"),
    (_begins(b"MZ"), "a Windows program"),
    (_begins(b"\x7fELF"), "a program"),
    (_begins(b"#!"), "a script"),
)
#: The same for what is text; case does not matter there.
_KNOWN_TEXT = (
    (b"<?php", "a PHP script"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<svg", "an SVG drawing"),
)


@lru_cache(1024)
def kind_of(extension: str) -> Kind:
    """The kind behind an extension; one that is taken by its name where the table has none."""
    return KINDS.get(extension) or Kind(extension.upper(), "application/octet-stream", f"a .{extension} file")


def found_in(head: bytes) -> str | None:
    """What a file that begins with ``head`` is, as a noun; None where nothing tells for sure."""
    for signatures, noun in _KNOWN:
        if _fits(signatures, head):
            return noun
    start = head.lstrip()[:32].lower()
    return next((noun for magic, noun in _KNOWN_TEXT if start.startswith(magic)), None)


def names_of(extensions: Iterable[str]) -> list[str]:
    """The names a sentence lists for these extensions, each once: JPEG, PNG, …"""
    names = (kind_of(extension).name if extension else "files without one" for extension in extensions)
    return list(dict.fromkeys(names))


def extensions_of_type(media_type: str) -> tuple[str, ...]:
    """The extensions of a media type, ``image/png`` or ``image/*``; none where the table knows none.

    What a browser would run belongs to no family; only its own type names it.
    """
    family = media_type.removesuffix("*") if media_type.endswith("/*") else None
    return tuple(
        extension
        for extension, kind in KINDS.items()
        if kind.media_type == media_type
        or (family and kind.media_type.startswith(family) and extension not in PRESETS["ACTIVE"])
    )
