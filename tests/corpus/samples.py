"""One good file of each kind that can be declared."""

import bz2
import gzip
import lzma
import plistlib
import tarfile

from . import formats as f

_JPEG = f.picture("JPEG", quality=80)
_HEIC = f.picture("HEIF", size=(128, 96))
_TIFF = f.picture("TIFF")
_VORBIS = f.ogg(f.VORBIS)
_MP4 = f.movie(b"isom", b"isom", b"iso2", b"avc1", b"mp41")
_MPEG = b"\0\0\1\xba\x44\0\4\0\4\1\1\x89\xc3\xf8" + bytes(200)
_XZ = lzma.compress(b"hello")
_TEXT = "Grüße, 世界\n".encode() * 100

SAMPLES: dict[str, bytes] = {
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif"), _JPEG),
    "png": f.picture("PNG"),
    "gif": f.picture("GIF", "P"),
    "webp": f.picture("WEBP"),
    "avif": f.picture("AVIF"),
    **dict.fromkeys(("heic", "heif"), _HEIC),
    "bmp": f.picture("BMP"),
    **dict.fromkeys(("tif", "tiff"), _TIFF),
    "pdf": f.pdf(),
    **{kind: f.office(kind) for kind in ("docx", "xlsx", "pptx")},
    "doc": f.ole("1Table", "WordDocument"),
    "xls": f.ole("Workbook"),
    "ppt": f.ole("Current User", "PowerPoint Document"),
    "odt": f.opendocument("text"),
    "ods": f.opendocument("spreadsheet"),
    "odp": f.opendocument("presentation"),
    "odf": f.opendocument("formula"),
    "rtf": b"{\\rtf1\\ansi Hello}",
    "epub": f.epub(),
    "gnumeric": gzip.compress(b'<?xml version="1.0"?><gnm:Workbook/>'),
    "abw": b'<?xml version="1.0"?><abiword/>',
    "txt": _TEXT,
    "md": b"# Heading\n\n" + _TEXT,
    "csv": b"name,size\r\na,1\r\n" * 100,
    "tsv": b"name\tsize\na\t1\n" * 100,
    "json": b'{"a": [1, 2.5, null, "\xc3\xbc"]}',
    "xml": b'<?xml version="1.0"?>\n<feed><entry/></feed>\n',
    **dict.fromkeys(("yaml", "yml"), b"a: 1\nb: [2, 3]\n"),
    "toml": b'[section]\nname = "value"\n',
    "ini": b"; comment\n[section]\nname = value\n",
    "plist": plistlib.dumps({"name": "value"}, fmt=plistlib.FMT_BINARY),
    "mp3": f.mp3(),
    "wav": f.sound(),
    "flac": f.flac(),
    "m4a": f.movie(b"M4A ", b"M4A ", b"mp42"),
    "aac": f.adts(),
    **dict.fromkeys(("ogg", "oga"), _VORBIS),
    "opus": f.ogg(f.OPUS),
    **dict.fromkeys(("mp4", "m4v"), _MP4),
    "mov": f.movie(b"qt  "),
    "webm": f.matroska(b"webm"),
    "mkv": f.matroska(b"matroska"),
    "avi": f.avi(),
    **dict.fromkeys(("mpg", "mpeg"), _MPEG),
    "ogv": f.ogg(f.THEORA, f.VORBIS),
    "3gp": f.movie(b"3gp5", b"3gp5", b"isom"),
    "zip": f.zipped({"a.txt": "hello", "b/c.txt": "there"}),
    "gz": gzip.compress(b"hello"),
    "tgz": gzip.compress(f.tarred(tarfile.PAX_FORMAT, "a.txt")),
    "bz2": bz2.compress(b"hello"),
    **dict.fromkeys(("xz", "txz"), _XZ),
    "7z": f.seven_zip(),
    "tar": f.tarred(tarfile.USTAR_FORMAT, "a.txt"),
}
