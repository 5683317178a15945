"""The one table of kinds: extension, name, media type, preset, icon, and what must be inside.

It drives the checks, the ``accept`` attribute, the sentence under the zone, the icons and the served content type.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import IO

from .config import parse_extensions
from .content import Findings, Structure, View, archives, boxes, documents, media, pdf, pictures, texts
from .languages import Phrase

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
    #: Empty: told by its structure, or taken by its name.
    signatures: Signatures = ()
    #: What must hold beyond the first bytes.
    check: Structure | None = None
    #: Must decode as text.
    text: bool = False
    #: Pillow's name of the one decoder that may open it, where it is a picture.
    decoder: str = ""
    #: Of a kind that may hold a script: whether a file on the disk holds none, nor anything else that acts by itself.
    inert: Callable[[IO[bytes]], bool] | None = None
    #: The drawing that stands for it where there is no picture of it.
    icon: str = "file"

    @property
    def by_name(self) -> bool:
        """Whether nothing is known of what must be inside."""
        return not self.signatures and not self.text and self.check in {None, documents.no_program}

    @property
    def may_be_empty(self) -> bool:
        """Whether a file of no bytes can be of this kind."""
        return self.text or self.by_name

    def matches(self, head: bytes) -> bool:
        """Whether a file that begins with ``head`` can be of this kind."""
        if not self.signatures or _fits(self.signatures, head):
            return True
        # Readers find a PDF behind anything; behind the beginning of another kind it would be two at once.
        preceded = self.media_type == "application/pdf" and b"%PDF-" in head[: documents.PREAMBLE]
        return preceded and found_in(head) in {None, self.noun}


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


def _boxes(*names: bytes) -> Signatures:
    return tuple(_at((4, name)) for name in names)


_ZIP = _begins(b"PK\x03\x04", b"PK\x05\x06")
_GZIP = _begins(b"\x1f\x8b")
_XZ = _begins(b"\xfd7zXZ\0")
_OLE = _begins(archives.OLE)
_XML = _begins(b"<?xml", b"\xef\xbb\xbf<?xml")
_BRANDED = _boxes(b"ftyp")
_MOVIE = _boxes(b"ftyp", *boxes.UNBRANDED)
_EBML = _begins(b"\x1a\x45\xdf\xa3")
_OGGS = _begins(b"OggS\0")
_OFFICE = "application/vnd.openxmlformats-officedocument."
_ODF = "application/vnd.oasis.opendocument."


def _office(name: str, media_type: str, noun: str, kind: str) -> Kind:
    # A document with a password is kept in the older container.
    return Kind(name, _OFFICE + media_type, noun, _ZIP + _OLE, archives.zipped(kind, "encrypted"))


def _opendocument(media_type: str, noun: str, kind: str) -> Kind:
    return Kind("OpenDocument", _ODF + media_type, noun, _ZIP, archives.zipped(kind, "opendocument"))


def _named(name: str, media_type: str, noun: str) -> Kind:
    return Kind(name, media_type, noun, check=documents.no_program)


def _text(name: str, media_type: str, noun: str, check: Structure = texts.plain) -> Kind:
    return Kind(name, media_type, noun, check=check, text=True)


_JPEG = Kind("JPEG", "image/jpeg", "a JPEG image", _begins(b"\xff\xd8\xff"), pictures.jpeg, decoder="JPEG")
_PNG = Kind("PNG", "image/png", "a PNG image", _begins(b"\x89PNG\r\n\x1a\n"), pictures.png, decoder="PNG")
_GIF = Kind("GIF", "image/gif", "a GIF image", _begins(b"GIF87a", b"GIF89a"), pictures.gif, decoder="GIF")
_WEBP = Kind("WebP", "image/webp", "a WebP image", _riff(b"WEBP"), pictures.webp, decoder="WEBP")
_BMP = Kind("BMP", "image/bmp", "a BMP image", _begins(b"BM"), pictures.bmp, decoder="BMP")
_TIFF_BEGINS = _begins(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFF = Kind("TIFF", "image/tiff", "a TIFF image", _TIFF_BEGINS, pictures.tiff, decoder="TIFF")
_AVIF = Kind("AVIF", "image/avif", "an AVIF image", _BRANDED, boxes.image("avif"), decoder="AVIF")
_HEIC = Kind("HEIC", "image/heic", "a HEIC image", _BRANDED, boxes.image("heic", "heif"), decoder="HEIF")
_MP4 = Kind("MP4", "video/mp4", "an MP4 video", _MOVIE, boxes.movie("mp4", "m4a", "3gp"))
_WAVES = _riff(b"WAVE") + _begins(b"RF64", b"BW64") + (_at((0, b"RIFX"), (8, b"WAVE")),)
# A program stream, one of video, and as broadcasts are recorded: packets of 188 bytes (ISO/IEC 13818-1, 2.4.3).
_MPEGS = (
    *_begins(b"\0\0\1\xba", b"\0\0\1\xb3", b"\0\0\1\xb0"),
    _at(*((188 * packet, b"G") for packet in range(5))),
)
_MPEG = Kind("MPEG", "video/mpeg", "an MPEG video", _MPEGS)
_OGG = Kind("Ogg", "audio/ogg", "an Ogg file", _OGGS, media.ogg())
_OGA = replace(_OGG, noun="an Ogg sound file", check=media.ogg(film=False))
_OPUS = replace(_OGG, name="Opus", noun="an Opus file", check=media.ogg(only=b"OpusHead"))
_YAML = _text("YAML", "application/yaml", "a YAML file")
_GZ = Kind("gzip", "application/gzip", "a gzip file", _GZIP, archives.gzip)
_TXZ = Kind("xz", "application/x-xz", "an xz file", _XZ)
# Word and Excel write and read other things under these names, and did so more often once.
_DOC = _OLE + _begins(b"{\\rtf") + _XML
_XLS = _OLE + _XML + _begins(b"\x09\x08", b"\x09\0\4\0", b"\x09\2\6\0", b"\x09\4\6\0")

#: Preset → extension → kind. The order within a preset is the order in sentences.
_TABLE: dict[str, dict[str, Kind]] = {
    "IMAGES": {
        "jpg": _JPEG,
        "jpeg": _JPEG,
        "jpe": _JPEG,
        "jfif": _JPEG,
        "png": _PNG,
        "gif": _GIF,
        "webp": _WEBP,
        "avif": _AVIF,
        "heic": _HEIC,
        "heif": _HEIC,
        "bmp": _BMP,
        "tif": _TIFF,
        "tiff": _TIFF,
    },
    "DOCUMENTS": {
        "pdf": Kind("PDF", "application/pdf", "a PDF", _begins(b"%PDF-"), documents.pdf, inert=pdf.is_inert),
        "docx": _office("Word", "wordprocessingml.document", "a Word document", "docx"),
        "doc": Kind("Word", "application/msword", "a Word document", _DOC, archives.ole("doc")),
        "xlsx": _office("Excel", "spreadsheetml.sheet", "an Excel sheet", "xlsx"),
        "xls": Kind("Excel", "application/vnd.ms-excel", "an Excel sheet", _XLS, archives.ole("xls")),
        "pptx": _office("PowerPoint", "presentationml.presentation", "a PowerPoint file", "pptx"),
        "ppt": Kind(
            "PowerPoint", "application/vnd.ms-powerpoint", "a PowerPoint file", _OLE, archives.ole("ppt")
        ),
        "odt": _opendocument("text", "an OpenDocument text", "odt"),
        "ods": _opendocument("spreadsheet", "an OpenDocument sheet", "ods"),
        "odp": _opendocument("presentation", "an OpenDocument presentation", "odp"),
        "odf": _opendocument("formula", "an OpenDocument formula", "odf"),
        "rtf": Kind("RTF", "application/rtf", "an RTF document", _begins(b"{\\rtf")),
        "epub": Kind("EPUB", "application/epub+zip", "an EPUB book", _ZIP, archives.zipped("epub")),
        "gnumeric": Kind(
            "Gnumeric", "application/x-gnumeric", "a Gnumeric sheet", _GZIP + _XML, archives.gzipped_xml
        ),
        "abw": Kind(
            "AbiWord",
            "application/x-abiword",
            "an AbiWord document",
            _GZIP + _XML + _begins(b"<abiword"),
            archives.gzipped_xml,
        ),
    },
    "TEXT": {
        "txt": _text("text", "text/plain", "text"),
        "md": _text("Markdown", "text/markdown", "a Markdown text", texts.markdown),
    },
    "AUDIO": {
        "mp3": Kind("MP3", "audio/mpeg", "an MP3 file", check=media.mp3),
        "wav": Kind("WAV", "audio/wav", "a WAV file", _WAVES, media.wave),
        "flac": Kind("FLAC", "audio/flac", "a FLAC file", _begins(b"fLaC", b"ID3"), media.flac),
        "m4a": Kind("M4A", "audio/mp4", "an M4A file", _MOVIE, boxes.movie("m4a", "mp4", "3gp")),
        "aac": Kind("AAC", "audio/aac", "an AAC file", check=media.aac),
        "ogg": _OGG,
        "oga": _OGA,
        "opus": _OPUS,
    },
    "VIDEO": {
        "mp4": _MP4,
        "m4v": _MP4,
        "mov": Kind(
            # QuickTime's readers take what was derived from it.
            "QuickTime",
            "video/quicktime",
            "a QuickTime video",
            _MOVIE,
            boxes.movie("mov", "mp4", "3gp"),
        ),
        "webm": Kind("WebM", "video/webm", "a WebM video", _EBML, media.matroska(b"webm")),
        "mkv": Kind(
            "Matroska", "video/x-matroska", "a Matroska video", _EBML, media.matroska(b"matroska", b"webm")
        ),
        "avi": Kind("AVI", "video/x-msvideo", "an AVI video", _riff(b"AVI "), media.avi),
        "mpg": _MPEG,
        "mpeg": _MPEG,
        "ogv": Kind("Ogg", "video/ogg", "an Ogg video", _OGGS, media.ogg(sound=False)),
        "3gp": Kind("3GP", "video/3gpp", "a 3GP video", _MOVIE, boxes.movie("3gp", "mp4")),
    },
    "DATA": {
        "csv": _text("CSV", "text/csv", "a CSV table", texts.csv_text),
        "tsv": _text("TSV", "text/tab-separated-values", "a TSV table"),
        "json": _text("JSON", "application/json", "JSON", texts.json_text),
        "xml": _text("XML", "application/xml", "XML", texts.xml()),
        "yaml": _YAML,
        "yml": _YAML,
        "toml": _text("TOML", "application/toml", "a TOML file"),
        "ini": _text("INI", "text/plain", "an INI file"),
        "plist": Kind(
            "plist",
            "application/x-plist",
            "a property list",
            _begins(b"bplist", b"<", b"\xef\xbb\xbf<", b"{", b"(", b"/"),
            documents.plist,
        ),
    },
    "ARCHIVES": {
        "zip": Kind("ZIP", "application/zip", "a ZIP archive", _ZIP, archives.zipped("zip")),
        "gz": _GZ,
        "tgz": replace(_GZ, noun="a gzipped tar archive", check=archives.gzipped_tar),
        "bz2": Kind("bzip2", "application/x-bzip2", "a bzip2 file", _begins(b"BZh")),
        "xz": _TXZ,
        "txz": _TXZ,
        "7z": Kind("7-Zip", "application/x-7z-compressed", "a 7-Zip archive", _begins(b"7z\xbc\xaf\x27\x1c")),
        "tar": Kind("tar", "application/x-tar", "a tar archive", check=archives.tar),
    },
    # Never in a default: what a browser would run. Here so that the table can say what they are.
    "ACTIVE": {
        "svg": _text("SVG", "image/svg+xml", "an SVG drawing", texts.xml("svg")),
        "html": Kind("HTML", "text/html", "an HTML page", text=True),
        "htm": Kind("HTML", "text/html", "an HTML page", text=True),
    },
    # Taken by their names, in no preset of people's: what they are called, served as, and drawn with.
    "OTHERS": {
        "aiff": _named("AIFF", "audio/aiff", "an AIFF file"),
        "ico": _named("icon", "image/vnd.microsoft.icon", "an icon"),
        "log": _named("log", "text/plain", "a log"),
        "mid": _named("MIDI", "audio/midi", "a MIDI file"),
        "parquet": _named("Parquet", "application/vnd.apache.parquet", "a Parquet table"),
        "rar": _named("RAR", "application/vnd.rar", "a RAR archive"),
        "rst": _named("reStructuredText", "text/x-rst", "a reStructuredText"),
        "sql": _named("SQL", "application/sql", "an SQL file"),
        "tex": _named("TeX", "text/x-tex", "a TeX document"),
        "wma": _named("WMA", "audio/x-ms-wma", "a WMA file"),
        "wmv": _named("WMV", "video/x-ms-wmv", "a WMV video"),
        "zst": _named("Zstandard", "application/zstd", "a Zstandard file"),
    },
}
# Where one differs from the rest of its preset.
_ICONS = {
    "IMAGES": "image",
    "DOCUMENTS": "document",
    "TEXT": "document",
    "AUDIO": "audio",
    "VIDEO": "video",
    "DATA": "table",
    "ARCHIVES": "archive",
    "ACTIVE": "document",
    **dict.fromkeys(("xlsx", "xls", "ods", "gnumeric"), "table"),
    "svg": "image",
    "OTHERS": "document",
    **dict.fromkeys(("aiff", "mid", "wma"), "audio"),
    "ico": "image",
    **dict.fromkeys(("parquet", "sql"), "table"),
    **dict.fromkeys(("rar", "zst"), "archive"),
    "wmv": "video",
}

#: Preset → extension → kind. The order within a preset is the order in sentences.
PRESETS: dict[str, dict[str, Kind]] = {
    preset: {e: replace(kind, icon=_ICONS.get(e, _ICONS[preset])) for e, kind in kinds.items()}
    for preset, kinds in _TABLE.items()
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

#: Extensions under which a program is what its name says, or at least no surprise. Those of Linux have none.
PROGRAMS = frozenset(
    "app appimage axf bin bundle com cpl dll drv dylib efi elf exe ko msi mui node o ocx out pyd run scr so sys".split()  # noqa: SIM905
) | {""}

_TELLING = ("jpg", "png", "gif", "tif", "pdf", "rtf", "bz2", "xz", "7z")

#: What a refused file is called, first match first: signatures of nothing else ("BM" may begin a letter).
_KNOWN: tuple[tuple[Signatures, str], ...] = (
    *((KINDS[extension].signatures, KINDS[extension].noun) for extension in _TELLING),
    (_riff(b"WEBP"), "a WebP image"),
    (_riff(b"WAVE"), "a WAV file"),
    (_riff(b"AVI "), "an AVI video"),
    (_OGGS, "an Ogg file"),
    (_GZIP, "a gzip file"),
    (_begins(b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22"), "a FLAC file"),
    (_begins(b"ID3\2", b"ID3\3", b"ID3\4"), "an MP3 file"),
    ((_at((257, b"ustar")),), "a tar archive"),
    (_OLE, archives.NOUNS["ole"]),
    (_begins(b"MZ"), "a Windows program"),
    (_begins(b"\x7fELF"), "a program"),
    (_begins(b"#!/"), "a script"),
)


@lru_cache(1024)
def kind_of(extension: str) -> Kind:
    """The kind behind an extension; one that is taken by its name where the table has none."""
    return KINDS.get(extension) or Kind(
        extension.upper(),
        "application/octet-stream",
        Phrase("a .{extension} file", extension=extension),
        check=None if extension in PROGRAMS else documents.no_program,
    )


def found_in(head: bytes) -> str | None:
    """What a file that begins with ``head`` is, as a noun; None where nothing tells for sure."""
    view = View(head, len(head))
    with contextlib.suppress(Findings):
        if _fits(_ZIP, head):
            return archives.noun_of_zip(head)
        if _fits(_BRANDED, head):
            return boxes.NOUNS[boxes.family(view) or "mp4"]
        if _fits(_EBML, head):
            return "a WebM video" if media.doc_type(view) == b"webm" else "a Matroska video"
    for signatures, noun in _KNOWN:
        if _fits(signatures, head):
            return noun
    return documents.program(view) or texts.noun_of(head)


@cache
def icons() -> dict[str, str]:
    """Drawing → the extensions that it stands for, with spaces between them; ``file`` stands for all others."""
    found: dict[str, list[str]] = {}
    for extension, kind in KINDS.items():
        found.setdefault(kind.icon, []).append(extension)
    return {icon: " ".join(extensions) for icon, extensions in found.items()}


def noun_of_type(media_type: str) -> str:
    """What a file of this media type is called."""
    nouns = (kind.noun for kind in KINDS.values() if kind.media_type == media_type)
    return next(nouns, Phrase("a file of the type {type}", type=media_type))


def names_of(extensions: Iterable[str]) -> list[Phrase]:
    """The names a sentence lists for these extensions, each once: JPEG, PNG, …"""
    names = (kind_of(extension).name if extension else "files without one" for extension in extensions)
    return [Phrase(name) for name in dict.fromkeys(names)]


def extensions_of_type(media_type: str) -> tuple[str, ...]:
    """The extensions of a media type, ``image/png`` or ``image/*``; none where the table knows none.

    What a browser would run belongs to no family, nor what is not looked into; only its own type names it.
    """
    family = media_type.removesuffix("*") if media_type.endswith("/*") else None
    alone = {*PRESETS["ACTIVE"], *PRESETS["OTHERS"]}
    return tuple(
        extension
        for extension, kind in KINDS.items()
        if kind.media_type == media_type
        or (family and kind.media_type.startswith(family) and extension not in alone)
    )
