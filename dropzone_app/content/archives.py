"""Archives, and documents that are archives: told by the names of what is inside, which is never extracted."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from .view import CutOff, Mismatch, Structure, View

# Bytes of a ZIP's directory that are read: the names of some 10,000 entries.
_DIRECTORY = 1 << 20
_PIECE = 64 << 10
# Sectors of an OLE directory, four entries each at least.
_SECTORS = 64

NOUNS = {
    "zip": "a ZIP archive",
    "docx": "a Word document",
    "docm": "a Word document with macros",
    "xlsx": "an Excel sheet",
    "xlsm": "an Excel sheet with macros",
    "pptx": "a PowerPoint file",
    "pptm": "a PowerPoint file with macros",
    "odt": "an OpenDocument text",
    "ods": "an OpenDocument sheet",
    "odp": "an OpenDocument presentation",
    "odf": "an OpenDocument formula",
    "opendocument": "an OpenDocument file",
    "epub": "an EPUB book",
    "jar": "a Java archive",
    "apk": "an Android app",
    "doc": "an old Word document",
    "xls": "an old Excel sheet",
    "ppt": "an old PowerPoint file",
    "msg": "an Outlook message",
    "msi": "a Windows installer",
    "encrypted": "an Office document with a password",
    "ole": "an old Office document",
}
_OPENDOCUMENT = b"application/vnd.oasis.opendocument."
#: What stands in the entry `mimetype`: the first one, and not compressed (OpenDocument 1.3, part 2, 3.3; OCF 3.3, 4.3).
_MEDIA_TYPES = {
    b"application/epub+zip": "epub",
    _OPENDOCUMENT + b"text": "odt",
    _OPENDOCUMENT + b"spreadsheet": "ods",
    _OPENDOCUMENT + b"presentation": "odp",
    _OPENDOCUMENT + b"formula": "odf",
    _OPENDOCUMENT: "opendocument",
}
_OFFICE = ((b"word/", "doc"), (b"xl/", "xls"), (b"ppt/", "ppt"))
_OLE_STREAMS = (
    ("EncryptedPackage", "encrypted"),
    ("WordDocument", "doc"),
    ("Workbook", "xls"),
    ("Book", "xls"),
    ("PowerPoint Document", "ppt"),
    ("__properties_version1.0", "msg"),
    ("\u4840\u3f3f\u4577\u446c\u3e6a\u44b2\u482f", "msi"),
)


def zipped(*kinds: str) -> Structure:
    """A check for a ZIP of one of these kinds, keys of :data:`NOUNS`; ``zip`` is every one.

    A document of Office 2007 and later that has a password is no ZIP but an OLE file.
    """

    def check(view: View) -> None:
        if "zip" in kinds:
            _directory(view)
            return
        found = _first(_ole_kinds(view)) if view.at(0, 8) == OLE else _zip_kind(view)
        if found not in kinds:
            raise Mismatch(NOUNS[found])

    return check


def noun_of_zip(head: bytes) -> str:
    """What a ZIP is called of which only the beginning is known."""
    first = head[30 : 30 + int.from_bytes(head[26:28], "little")].replace(b"\\", b"/").lower()
    if first == b"mimetype" and (kind := _by_media_type(head[38:100])):
        return NOUNS[kind]
    for folder, office in _OFFICE:
        if first.startswith(folder):
            return NOUNS[f"{office}x"]
    if first in {b"[content_types].xml", b"_rels/.rels"}:
        return "an Office document"
    if first.startswith(b"meta-inf/manifest.mf"):
        return NOUNS["jar"]
    return NOUNS["apk" if first == b"androidmanifest.xml" else "zip"]


def _by_media_type(text: bytes) -> str | None:
    return next((kind for media_type, kind in _MEDIA_TYPES.items() if text.startswith(media_type)), None)


def _zip_kind(view: View) -> str:
    start, length = _directory(view)
    if view.at(30, 8) == b"mimetype" and (told := _by_media_type(view.upto(38, 80))):
        return told
    found: dict[str, None] = {}
    for name in _names(view, start, length):
        for folder, office in _OFFICE:
            if name.startswith(folder):
                found[office] = None
        if name == b"[content_types].xml":
            found["office"] = None
        elif name.endswith(b"/vbaproject.bin"):
            found["macros"] = None
        elif name == b"meta-inf/container.xml":
            found["epub"] = None
        elif name == b"meta-inf/manifest.xml":
            found["opendocument"] = None
        elif name == b"androidmanifest.xml":
            found["apk"] = None
        elif name == b"meta-inf/manifest.mf":
            found["jar"] = None
    for _, office in _OFFICE:
        if {office, "office"} <= found.keys():
            return f"{office}{'m' if 'macros' in found else 'x'}"
    return next((kind for kind in ("epub", "opendocument", "apk", "jar") if kind in found), "zip")


def _directory(view: View) -> tuple[int, int]:
    """(start, length) of the central directory. APPNOTE 6.3.10, 4.3.12 to 4.3.16. CutOff where it is missing."""
    size = view.end()
    at, record = size - 22, view.upto(max(size - 22, 0), 22)
    if record[:4] != b"PK\5\6" or record[20:] != b"\0\0":
        # A comment of up to 65,535 bytes follows.
        begin = max(size - 22 - 0xFFFF, 0)
        tail = view.upto(begin, size - begin)
        found = tail.rfind(b"PK\5\6", 0, max(len(tail) - 18, 0))
        if found < 0:
            raise CutOff
        at, record = begin + found, tail[found : found + 22]
    entries, length = struct.unpack("<10xHI", record[:16])
    if entries == 0xFFFF or length == 0xFFFFFFFF:
        locator = view.upto(max(at - 20, 0), 20)
        if locator[:4] == b"PK\6\7":
            (at,) = struct.unpack("<8xQ4x", locator)
            magic, entries, length = view.unpack("<4s28xQQ", at)
            if magic != b"PK\6\6":
                raise CutOff
    start = at - length
    if start < 0 or (entries and view.at(start, 4) != b"PK\1\2"):
        raise CutOff
    return start, length


def _names(view: View, start: int, length: int) -> Iterator[bytes]:
    """The names of the entries, in lower case and with plain slashes; at most those of :data:`_DIRECTORY` bytes."""
    end = start + min(length, _DIRECTORY)
    buffer, at = b"", 0
    while True:
        if len(buffer) - at < 46 + 0xFFFF and start < end:
            buffer, at = buffer[at:] + view.upto(start, min(_PIECE * 2, end - start)), 0
            start += _PIECE * 2
        if buffer[at : at + 4] != b"PK\1\2" or len(buffer) - at < 46:
            return
        name, extra, comment = struct.unpack_from("<HHH", buffer, at + 28)
        yield buffer[at + 46 : at + 46 + name].replace(b"\\", b"/").lower()
        at += 46 + name + extra + comment
        if at > len(buffer):
            start += at - len(buffer)
            buffer, at = b"", 0


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def ole(*kinds: str) -> Structure:
    """A check for a compound file with the streams of one of these kinds."""

    def check(view: View) -> None:
        # RTF and XML of Office 2003 go by these names too.
        if view.at(0, 8) != OLE:
            return
        found = _ole_kinds(view)
        if not any(kind in found for kind in kinds):
            raise Mismatch(NOUNS[_first(found)])

    return check


def _first(kinds: list[str]) -> str:
    return kinds[0] if kinds else "ole"


def _ole_kinds(view: View) -> list[str]:
    """The kinds whose streams a compound file has ([MS-CFB] 2.2, 2.3, 2.6)."""
    (shift,) = view.unpack("<H", 30)
    if shift not in {9, 12}:
        raise Mismatch
    (sector,) = view.unpack("<I", 48)
    tables = view.unpack("<109I", 76)
    names = set()
    for _ in range(_SECTORS):
        if sector > 0xFFFFFFF9:
            break
        entries = view.upto((sector + 1) << shift, 1 << shift)
        for at in range(0, len(entries) - 127, 128):
            length = int.from_bytes(entries[at + 64 : at + 66], "little")
            names.add(entries[at : at + max(min(length, 64) - 2, 0)].decode("utf-16-le", "replace"))
        index, place = divmod(sector, 1 << (shift - 2))
        if index >= len(tables) or tables[index] > 0xFFFFFFF9:
            break
        (sector,) = view.unpack("<I", ((tables[index] + 1) << shift) + place * 4)
    return list(dict.fromkeys(kind for name, kind in _OLE_STREAMS if name in names))


def gzip(view: View) -> None:
    """RFC 1952, 2.3: the one method there is, and no flag that is not."""
    method, flags = view.at(2, 2)
    if method != 8 or flags & 0xE0:
        raise Mismatch


def gzipped_tar(view: View) -> None:
    """A gzip file that begins with the header of a tar archive."""
    gzip(view)
    if not _is_tar(_inflated(view, 512)):
        raise Mismatch("a gzip file")


def gzipped_xml(view: View) -> None:
    """XML, as it is or in a gzip file."""
    if view.at(0, 2) == b"\x1f\x8b":
        gzip(view)
        if not _inflated(view, 64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            raise Mismatch("a gzip file")


def _inflated(view: View, length: int) -> bytes:
    """The first ``length`` bytes inside a gzip file. Never more, whatever it would grow to."""
    data = view.upto(0, 4096)
    try:
        return zlib.decompressobj(wbits=31).decompress(data, length)
    except zlib.error:
        raise Mismatch from None


def tar(view: View) -> None:
    """POSIX.1-2017, pax, and the older form without its mark: a header whose sum is right, or no entry at all."""
    if not _is_tar(view.at(0, 512)):
        raise Mismatch


def _is_tar(header: bytes) -> bool:
    if len(header) < 512:
        return False
    try:
        told = int(header[148:156].strip(b"\0 ") or b"0", 8)
    except ValueError:
        return False
    rest = header[:148] + header[156:]
    # The sum counts its own field as spaces; some programs of old added signed bytes.
    unsigned = sum(rest) + 8 * 32
    return told in {unsigned, unsigned - 256 * sum(byte > 127 for byte in rest)} or not any(header)
