"""What must become of each file of the corpus."""

import bz2
import codecs
import gzip
import io
import json
import lzma
import plistlib
import struct
import tarfile
import zipfile
from typing import NamedTuple

from . import formats as f

GREETING = "Grüße, 世界\n"


class Case(NamedTuple):
    """A file, and what the server must say of it."""

    filename: str
    #: What is special about it, in words; unique together with the filename.
    what: str
    data: bytes
    #: The row of the table of sentences that refuses it; None where it is stored.
    verdict: str | None = None
    #: What the refusal must call it, where it is called something.
    found: str | None = None
    #: What becomes of it where pictures are decoded, if that differs.
    decoded: str | None = None


_ILLUSTRATOR = (
    b'<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://a.example/svg11.dtd" ['
    b'<!ENTITY ns "http://a.example/">]><svg xmlns="http://www.w3.org/2000/svg" xmlns:x="&ns;"/>'
)


def _good() -> list[Case]:
    picture = f.picture
    text = {
        "UTF-8": GREETING.encode() * 100,
        "UTF-8 with a mark": codecs.BOM_UTF8 + GREETING.encode(),
        "UTF-16": GREETING.encode("utf-16"),
        "UTF-16 of the other order": codecs.BOM_UTF16_BE + GREETING.encode("utf-16-be"),
        "UTF-32": GREETING.encode("utf-32"),
        "of one byte": b"a",
        "empty": b"",
        "of a mark alone": codecs.BOM_UTF16_LE,
        "in Latin-1": "Grüße aus Köln\r\n".encode("latin-1"),
        "in Windows-1252": "“Angebot” – 5 €\r\n".encode("cp1252"),
        "in Shift JIS": "日本語のテキスト\n".encode("shift_jis"),
        "in Windows-1251": "Привет, мир\n".encode("cp1251"),
        "with old escapes": b"page\x0cpage \x1b[1mbold\x1b[0m\x0b\n",
        "of one long line": b"word " * 4000,
        "about HTML": b"In HTML, <html> is the root and <script> runs; <!doctype html> begins it.\n",
        "about what it is not": b"BM, MZ, PK, ID3, GIF, OggS and RIFF are how some files begin.\n",
        "that begins like a bitmap": b"BM is how this letter begins.\n",
        "that begins like a program": b"MZ was the mark of Mark Zbikowski.\n" * 50,
        "that begins like a tag": b"ID3 tags, explained\n",
        "that begins with a hash": b"# a heading\n#!not a path\n",
        "of a scanner's test": rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$"
        + rb"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*",
        "with a page in the middle": b"Dear all,\n\n<html><body><script>alert(1)</script></body></html>\n",
        "that quotes XML": b"<note>not a page</note>\n",
    }
    mp3 = f.mp3()
    plist = {"name": "value", "list": [1, 2]}
    office = {kind: f.office(kind) for kind in ("docx", "xlsx", "pptx")}
    return [
        # ---- pictures
        *(
            Case(f"photo.{e}", "baseline", picture("JPEG", quality=80))
            for e in ("jpg", "jpeg", "jpe", "jfif")
        ),
        Case("photo.jpg", "progressive", picture("JPEG", progressive=True)),
        Case("photo.jpg", "grey", picture("JPEG", "L")),
        Case("photo.jpg", "of a printer", picture("JPEG", "CMYK")),
        Case("photo.jpg", "of a phone", picture("JPEG", exif=f.exif(6))),
        Case("photo.jpg", "with much before its size", picture("JPEG", exif=f.exif(1, 60_000))),
        Case("photo.jpg", "with bytes between segments", _with_gap(picture("JPEG"))),
        Case("photo.jpg", "with a film after it", picture("JPEG") + f.movie(b"mp42")),
        Case("photo.jpg", "of two frames", picture("MPO", frames=2)),
        *(
            Case("picture.png", f"in mode {mode}", picture("PNG", mode))
            for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
        ),
        Case("picture.png", "that moves", picture("PNG", frames=3)),
        Case("picture.png", "of one pixel", f.png(1, 1)),
        Case(
            "picture.png",
            "of Apple's tools",
            f.png(4, 4, f.png_chunk(b"CgBI", b"\x50\0\x20\6")),
        ),
        Case("picture.gif", "still", picture("GIF", "P")),
        Case("picture.gif", "that moves", picture("GIF", "P", frames=4, duration=50)),
        Case("picture.gif", "of 1987", b"GIF87a" + f.gif(1, 1)[6:]),
        Case("picture.gif", "with a comment", f.gif(1, 1, b"made by hand")),
        Case("picture.webp", "lossy", picture("WEBP")),
        Case("picture.webp", "lossless", picture("WEBP", lossless=True)),
        Case("picture.webp", "see-through", picture("WEBP", "RGBA")),
        Case("picture.webp", "that moves", picture("WEBP", frames=3)),
        Case("picture.webp", "with Exif", picture("WEBP", exif=f.exif())),
        Case("picture.avif", "still", picture("AVIF")),
        Case("picture.avif", "see-through", picture("AVIF", "RGBA")),
        Case("picture.avif", "that moves", picture("AVIF", frames=3)),
        Case("picture.heic", "of a phone", picture("HEIF", size=(128, 96))),
        Case("picture.heif", "of a phone", picture("HEIF", size=(128, 96))),
        Case("picture.heic", "of two pictures", picture("HEIF", frames=2, size=(128, 96))),
        Case(
            "picture.heif", "with the general brand", f.heif(b"mif1", b"mif1", b"jpeg"), decoded="undecodable"
        ),
        Case("picture.bmp", "plain", picture("BMP")),
        Case("picture.bmp", "of 256 colours", picture("BMP", "P")),
        Case("picture.bmp", "from top to bottom", f.bmp(8, -8)),
        Case("picture.bmp", "of OS/2", f.bmp_os2(8, 8)),
        *(Case(f"scan.{e}", "plain", picture("TIFF")) for e in ("tif", "tiff")),
        Case("scan.tif", "of a fax", picture("TIFF", "1", compression="group4")),
        Case("scan.tif", "packed", picture("TIFF", compression="tiff_lzw")),
        Case("scan.tif", "of three pages", picture("TIFF", frames=3)),
        Case("scan.tif", "big", picture("TIFF", big_tiff=True)),
        Case("scan.tif", "of a Macintosh", _big_endian_tiff()),
        # ---- documents
        Case("paper.pdf", "plain", f.pdf()),
        Case("paper.pdf", "after a preamble", f.pdf(before=b"%!PS-Adobe-3.0 PDF-1.4\n" + b"\r\n" * 200)),
        Case("paper.pdf", "after a printer's command", f.pdf(before=b"\x1b%-12345X@PJL SET COPIES=1\r\n")),
        Case("paper.pdf", "after a server's warning", f.pdf(before=b"<br />\n<b>Notice</b>: Undefined\n")),
        Case("paper.pdf", "padded with zeros", f.pdf(after=bytes(4000))),
        Case("paper.pdf", "with JavaScript", f.pdf(b"<</S/JavaScript/JS(app.alert\\(1\\))>>")),
        Case("paper.pdf", "with a ZIP behind it", f.pdf(after=f.zipped({"a.txt": "hello"}))),
        *(Case(f"file.{kind}", "plain", data) for kind, data in office.items()),
        *(
            Case(f"file.{kind}", "with its types last", f.office(kind, types_last=True))
            for kind in ("docx", "xlsx", "pptx")
        ),
        Case("file.docx", "written to a pipe", f.office("docx", streamed=True)),
        Case("file.docx", "with a comment", f.office("docx", comment=b"made by hand " * 40)),
        Case("file.xlsx", "with backslashes", f.office("xlsx").replace(b"xl/work", b"xl\\work")),
        Case(
            "file.pptx",
            "of many parts",
            f.office("pptx", extra={f"ppt/media/{n}.png": "" for n in range(900)}),
        ),
        *(Case(f"file.{e}", "with a password", f.ole("EncryptionInfo", "EncryptedPackage")) for e in office),
        Case("file.doc", "of 1997", f.ole("1Table", "WordDocument")),
        Case("file.doc", "with many streams", f.ole(*[f"stream {n}" for n in range(40)], "WordDocument")),
        Case("file.doc", "of big sectors", f.ole("WordDocument", big_sectors=True)),
        Case("file.doc", "in RTF", b"{\\rtf1\\ansi Hello}"),
        Case(
            "file.doc",
            "of 2003, in XML",
            b'<?xml version="1.0"?><?mso-application progid="Word.Document"?><w/>',
        ),
        Case("file.xls", "of 1997", f.ole("Workbook")),
        Case("file.xls", "of 1995", f.ole("Book")),
        Case(
            "file.xls", "without a container", struct.pack("<HHHHHH", 0x809, 8, 0x500, 0x10, 0, 0) + bytes(60)
        ),
        Case("file.ppt", "of 1997", f.ole("Current User", "PowerPoint Document")),
        *(
            Case(f"file.{e}", "plain", f.opendocument(kind))
            for e, kind in {
                "odt": "text",
                "ods": "spreadsheet",
                "odp": "presentation",
                "odf": "formula",
            }.items()
        ),
        Case("file.odt", "without its media type", f.opendocument("text", mimetype=False)),
        Case("letter.rtf", "plain", b"{\\rtf1\\ansi Hello}"),
        Case("book.epub", "plain", f.epub()),
        Case("book.epub", "without its media type", f.epub(mimetype=False)),
        Case("sheet.gnumeric", "packed", gzip.compress(b'<?xml version="1.0"?><gnm:Workbook/>')),
        Case("sheet.gnumeric", "not packed", b'<?xml version="1.0"?><gnm:Workbook/>'),
        Case("letter.abw", "plain", b'<?xml version="1.0"?><abiword/>'),
        Case("letter.abw", "packed", gzip.compress(b'<?xml version="1.0"?><abiword/>')),
        # ---- texts and data
        *(Case("notes.txt", what, data) for what, data in text.items()),
        Case("notes.md", "plain", b"# Heading\n\nText\n"),
        Case("README.md", "with HTML", b'<p align="center"><img src="logo.png"></p>\n\n# Name\n'),
        Case("README.md", "with a style", b"<style>h1 { color: red }</style>\n# Name\n"),
        Case("table.csv", "plain", b"name,size\r\na,1\r\n"),
        Case("table.csv", "of Excel in UTF-16", "name\tgröße\r\na\t1\r\n".encode("utf-16")),
        Case("table.csv", "of Excel in Windows-1252", "Name;Größe\r\na;1\r\n".encode("cp1252")),
        Case("table.csv", "empty", b""),
        Case("table.csv", "with quoted lines", b'name;note\r\na;"two\r\n""quoted"", lines"\r\n'),
        Case("table.csv", "with inches", b'name,size\npipe,5"\n"a" b,"c",6" x 7"\n'),
        Case("table.tsv", "plain", b"name\tsize\na\t1\n"),
        Case("data.json", "an object", json.dumps({"a": [1, 2.5, None, "ü"]}).encode()),
        Case("data.json", "a word", b" true\n"),
        Case("data.json", "with a mark", codecs.BOM_UTF8 + b"[1, 2]"),
        Case("data.json", "in UTF-16", '{"a": "ü"}'.encode("utf-16")),
        Case("data.json", "in Latin-1", '{"a": "ü"}'.encode("latin-1")),
        Case("data.json", "a value on each line", b'{"a": 1}\n{"a": 2}\n'),
        Case("data.json", "with comments", b'// settings\n{"url": "http://a/b", /* x */ "a": [1, 2,],}\n'),
        Case("data.json", "with a long number", b"[" + b"9" * 6000 + b"]"),
        Case("data.json", "with NaN", b'{"a": NaN}'),
        Case("data.json", "empty", b""),
        Case("data.json", "of two megabytes", b"[" + b'"some words", ' * 150_000 + b'""]\n'),
        Case("feed.xml", "plain", b'<?xml version="1.0"?>\n<feed><entry/></feed>\n'),
        Case(
            "feed.xml", "in UTF-16", '<?xml version="1.0" encoding="UTF-16"?><feed>ü</feed>'.encode("utf-16")
        ),
        Case(
            "feed.xml",
            "in Windows-1251",
            '<?xml version="1.0" encoding="windows-1251"?><a>Я</a>'.encode("cp1251"),
        ),
        Case(
            "feed.xml",
            "in Shift JIS",
            '<?xml version="1.0" encoding="shift_jis"?><a>日</a>'.encode("shift_jis"),
        ),
        Case("feed.xml", "after a blank line", b'\n<?xml version="1.0"?><feed/>'),
        Case("feed.xml", "with an entity", b'<!DOCTYPE a [<!ENTITY me "Ada &#38; Co">]><a>&me;</a>'),
        Case(
            "feed.xml", "with a DTD elsewhere", b'<!DOCTYPE a PUBLIC "-//A//B" "http://a.example/a.dtd"><a/>'
        ),
        Case("feed.xml", "empty", b""),
        Case("feed.xml", "of two megabytes", b"<a>" + b"<b>some words</b>" * 130_000 + b"</a>\n"),
        *(Case(f"settings.{e}", "plain", b"a: 1\nb: [2, 3]\n") for e in ("yaml", "yml")),
        Case("settings.toml", "plain", b'[section]\nname = "value"\n'),
        Case("settings.ini", "plain", b"; comment\n[section]\nname = value\n"),
        Case("settings.plist", "binary", plistlib.dumps(plist, fmt=plistlib.FMT_BINARY)),
        Case("settings.plist", "in XML", plistlib.dumps(plist)),
        Case("settings.plist", "of NeXT", b'{ name = "value"; }\n'),
        # ---- sound
        Case("song.mp3", "bare", mp3),
        Case("song.mp3", "with tags", f.id3(300) + mp3),
        Case("song.mp3", "with a picture in its tags", f.id3(9000) + mp3),
        Case("song.mp3", "with tags twice", f.id3() + f.id3(20, 4) + mp3),
        Case("song.mp3", "with old tags", mp3 + b"TAG".ljust(128, b"\0")),
        Case("song.mp3", "after zeros", bytes(700) + mp3),
        Case("song.mp3", "of half the rate", f.mp3(4, b"\xff\xf3\x40\xc0")),
        Case("song.mp3", "of layer II", f.mp3(4, b"\xff\xfd\x80\0")),
        Case("bells.wav", "16 bits", f.sound()),
        Case("bells.wav", "8 bits", f.sound(width=1)),
        Case(
            "bells.wav",
            "of a broadcaster",
            f.riff(
                b"WAVE",
                f.chunk(b"bext", bytes(602)),
                f.chunk(b"fmt ", f.WAVE_FORMAT),
                f.chunk(b"data", bytes(20)),
            ),
        ),
        Case(
            "bells.wav",
            "over 4 GB",
            b"RF64\xff\xff\xff\xffWAVE"
            + f.chunk(b"ds64", bytes(28))
            + f.chunk(b"fmt ", f.WAVE_FORMAT)
            + f.chunk(b"data", bytes(20)),
        ),
        Case(
            "bells.wav",
            "of the other byte order",
            b"RIFX\0\0\0\x34WAVEfmt \0\0\0\x10\0\1\0\1\0\0\x1f\x40\0\0\x1f\x40\0\1\0\x08data\0\0\0\x10"
            + bytes(16),
        ),
        Case("song.flac", "bare", f.flac()),
        Case("song.flac", "with foreign tags", f.id3(2000) + f.flac()),
        Case("song.m4a", "of iTunes", f.movie(b"M4A ", b"M4A ", b"mp42")),
        Case("song.m4a", "of a converter", f.movie(b"isom", b"isom", b"mp41", index_last=True)),
        Case("song.aac", "in frames", f.adts()),
        Case("song.aac", "with tags", f.id3(100) + f.adts()),
        Case("song.aac", "of one header", b"ADIF" + bytes(200)),
        Case("song.aac", "of a broadcast", f.loas()),
        Case("song.ogg", "Vorbis", f.ogg(f.VORBIS)),
        Case("song.ogg", "Theora with Vorbis", f.ogg(f.THEORA, f.VORBIS)),
        Case("song.oga", "FLAC", f.ogg(f.OGG_FLAC)),
        Case("song.oga", "Speex", f.ogg(f.SPEEX)),
        Case("song.opus", "Opus", f.ogg(f.OPUS)),
        Case("song.ogg", "Opus", f.ogg(f.OPUS)),
        # ---- film
        Case("film.mp4", "for the web", f.movie(b"isom", b"isom", b"iso2", b"avc1", b"mp41")),
        Case("film.mp4", "of a camera", f.movie(b"mp42", b"mp42", b"isom", index_last=True)),
        Case(
            "film.mp4",
            "over 4 GB, it says",
            f.ftyp(b"isom") + struct.pack(">I4sQ", 1, b"mdat", 216) + bytes(200) + f.moov(),
        ),
        Case(
            "film.mp4",
            "in fragments",
            f.ftyp(b"iso5", b"iso5", b"dash") + f.moov() + f.box(b"moof", bytes(8)) + f.MDAT,
        ),
        Case("film.mp4", "of QuickTime and for all", f.movie(b"qt  ", b"qt  ", b"mp42", b"isom")),
        Case("film.mp4", "of sound alone", f.movie(b"M4A ", b"isom")),
        Case("film.m4v", "of iTunes", f.movie(b"M4V ", b"M4V ", b"mp42")),
        Case("film.mov", "of a phone", f.movie(b"qt  ")),
        Case("film.mov", "of old, without a brand", f.moov() + f.MDAT),
        Case("film.mov", "of old, its index last", f.box(b"wide") + f.MDAT + f.moov()),
        Case("film.mov", "of a camera", f.movie(b"mp42", b"mp42", b"isom")),
        Case("film.3gp", "of a phone", f.movie(b"3gp5", b"3gp5", b"isom")),
        Case("film.3gp", "of a phone, as MP4", f.movie(b"mp42", b"mp42", b"3gp4")),
        Case("film.webm", "plain", f.matroska(b"webm")),
        Case("film.mkv", "plain", f.matroska(b"matroska")),
        Case("film.mkv", "of a browser", f.matroska(b"webm")),
        Case("film.mkv", "without a type", f.matroska(None)),
        Case("film.avi", "plain", f.avi()),
        *(
            Case(f"film.{e}", "a program stream", b"\0\0\1\xba\x44\0\4\0\4\1\1\x89\xc3\xf8" + bytes(200))
            for e in ("mpg", "mpeg")
        ),
        Case("film.mpg", "of a broadcast", (b"G\x40\0\x10" + bytes(184)) * 6),
        Case("film.mpg", "a letter that begins with G", b"G" + bytes(2000), "not_the_kind"),
        Case("film.mpg", "a video stream", b"\0\0\1\xb3\x16\0\xf0\xc4" + bytes(200)),
        Case("film.ogv", "Theora with Vorbis", f.ogg(f.THEORA, f.VORBIS)),
        Case("film.ogv", "Vorbis before Theora", f.ogg(f.VORBIS, f.THEORA)),
        # ---- archives
        Case("files.zip", "plain", f.zipped({"a.txt": "hello", "b/c.txt": "there"})),
        Case("files.zip", "not packed", f.zipped({"a.txt": "hello"}, stored=("a.txt",))),
        Case("files.zip", "empty", f.zipped({})),
        Case("files.zip", "with a long comment", f.zipped({"a.txt": "hello"}, comment=b"words " * 10_000)),
        Case("files.zip", "written to a pipe", f.zipped({"a.txt": "hello"}, streamed=True)),
        Case("files.zip", "of 64 bits", f.zip64({"a.txt": "hello"})),
        Case("files.zip", "of Word", office["docx"]),
        Case("files.gz", "plain", gzip.compress(b"hello")),
        Case("files.tgz", "plain", gzip.compress(f.tarred(tarfile.PAX_FORMAT, "a.txt"))),
        Case("files.bz2", "plain", bz2.compress(b"hello")),
        *(Case(f"files.{e}", "plain", lzma.compress(b"hello")) for e in ("xz", "txz")),
        Case("files.7z", "empty", f.seven_zip()),
        Case("files.tar", "of POSIX", f.tarred(tarfile.USTAR_FORMAT, "a.txt")),
        Case("files.tar", "of GNU", f.tarred(tarfile.GNU_FORMAT, "a" * 200)),
        Case("files.tar", "with long names", f.tarred(tarfile.PAX_FORMAT, "ü" * 200)),
        Case("files.tar", "of old", f.tar_of_old()),
        Case("files.tar", "empty", bytes(10240)),
        # ---- taken by their names
        Case("drawing.dwg", "unknown", b"AC1032\0\0" + bytes(500)),
        Case("drawing.dwg", "empty", b""),
        Case("drawing.dwg", "Java's mark", f.JAVA_CLASS),
        Case("firmware.bin", "zeros", bytes(2000)),
        Case("firmware.bin", "a program", f.ELF),
        Case("setup.exe", "a program", f.pe()),
        Case("tool", "a program", f.ELF),
        Case("code.py", "a script", b"#!/usr/bin/env python3\nprint(1)\n"),
        Case("page.html", "a page", b"<!doctype html><title>x</title>"),
        Case("drawing.svg", "plain", b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
        Case("drawing.svg", "of Illustrator", _ILLUSTRATOR),
    ]


def _with_gap(jpeg: bytes) -> bytes:
    """Bytes that belong to nothing after the first segment; decoders pass over them."""
    end = 4 + int.from_bytes(jpeg[4:6], "big")
    return jpeg[:end] + b"\0\0\0" + jpeg[end:]


def _big_endian_tiff() -> bytes:
    entries = [
        (256, 3, 4),
        (257, 3, 2),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 110),
        (277, 3, 1),
        (278, 3, 2),
    ]
    entries.append((279, 4, 8))
    body = b"".join(
        struct.pack(">HHI", tag, form, 1)
        + (struct.pack(">HH", value, 0) if form == 3 else struct.pack(">I", value))
        for tag, form, value in entries
    )
    head = b"MM\0*" + struct.pack(">IH", 8, len(entries)) + body + bytes(4)
    assert len(head) <= 122
    head = head.replace(struct.pack(">I", 110), struct.pack(">I", len(head)), 1)
    return head + bytes(8)


PAGE = b"<!DOCTYPE html>\n<html><body><script>alert(1)</script></body></html>\n"


def _mislabelled(good: dict[tuple[str, str], bytes]) -> list[Case]:
    """A good file under the name of another kind: refused, and called what it is."""

    def under(extensions: str, filename: str, what: str, found: str) -> list[Case]:
        data = good[filename, what]
        return [Case(f"not-{filename}.{e}", what, data, "other_kind", found) for e in extensions.split()]

    return [
        *under(
            "png gif pdf docx mp4 mov mp3 zip tif txt csv json xml heic",
            "photo.jpg",
            "baseline",
            "a JPEG image",
        ),
        *under("jpg webp txt bmp avif plist", "picture.png", "in mode RGB", "a PNG image"),
        *under("jpg png txt", "picture.gif", "still", "a GIF image"),
        *under("jpg wav avi", "picture.webp", "lossy", "a WebP image"),
        *under("jpg heic mp4 mov m4a 3gp", "picture.avif", "still", "an AVIF image"),
        *under("jpg avif mp4 mov m4a", "picture.heic", "of a phone", "a HEIC image"),
        *under("png jpg txt docx zip csv", "paper.pdf", "plain", "a PDF"),
        *under("xlsx pptx odt epub", "file.docx", "plain", "a Word document"),
        *under("jpg pdf gz", "file.docx", "plain", "an Office document"),
        *under("docx ods", "file.xlsx", "with its types last", "an Excel sheet"),
        *under("docx xlsx", "file.pptx", "plain", "a PowerPoint file"),
        *under("ods odp docx epub jpg", "file.odt", "plain", "an OpenDocument text"),
        *under("odt docx", "book.epub", "plain", "an EPUB book"),
        *under("docx xlsx pptx odt epub", "files.zip", "plain", "a ZIP archive"),
        *under("xls ppt", "file.doc", "of 1997", "an old Word document"),
        *under("doc docx", "file.xls", "of 1997", "an old Excel sheet"),
        *under("pdf txt", "file.doc", "of 1997", "an old Office document"),
        *under("doc xls", "file.docx", "with a password", "an Office document with a password"),
        *under("txt pdf docx", "letter.rtf", "plain", "an RTF document"),
        *under("mp4 wav ogg", "song.mp3", "with tags", "an MP3 file"),
        *under("flac aac", "song.mp3", "with tags", "an MP3 file"),
        *under("aac", "song.mp3", "bare", "an MP3 file"),
        *under("mp3", "song.aac", "in frames", "an AAC file"),
        *under("mp3 wav", "song.flac", "bare", "a FLAC file"),
        *under("mp3 aac", "song.flac", "with foreign tags", "a FLAC file"),
        *under("mp3 avi webp", "bells.wav", "16 bits", "a WAV file"),
        *under("opus", "song.ogg", "Vorbis", "an Ogg sound file"),
        *under("ogv", "song.ogg", "Vorbis", "an Ogg sound file"),
        *under("oga opus", "film.ogv", "Theora with Vorbis", "an Ogg video"),
        *under("mp3", "song.ogg", "Vorbis", "an Ogg file"),
        *under("mp4 3gp m4a", "film.mov", "of a phone", "a QuickTime video"),
        *under("webm avi jpg", "film.mp4", "for the web", "an MP4 video"),
        *under("webm mp4", "film.mkv", "plain", "a Matroska video"),
        *under("mp4 avi", "film.webm", "plain", "a WebM video"),
        *under("mp4 wav", "film.avi", "plain", "an AVI video"),
        *under("zip tgz txt", "files.gz", "plain", "a gzip file"),
        *under("zip gz", "files.7z", "empty", "a 7-Zip archive"),
        *under("zip", "files.tar", "of POSIX", "a tar archive"),
        *under("zip dwg py pdf txt jpg", "firmware.bin", "a program", "a program"),
        *under("zip dwg py pdf txt jpg", "setup.exe", "a program", "a Windows program"),
        *under("xml txt csv json", "drawing.svg", "plain", "an SVG drawing"),
        *under("svg txt json", "page.html", "a page", "an HTML page"),
    ]


def _hostile() -> list[Case]:
    page, script = "an HTML page", "a script"
    laughs = b"<!DOCTYPE a [<!ENTITY b0 'ha'>" + b"".join(
        b"<!ENTITY b%d '%s'>" % (n, b"&b%d;" % (n - 1) * 10) for n in range(1, 10)
    )
    jpeg = f.picture("JPEG")
    frame = jpeg.index(b"\xff\xc0") + 5
    webp_lossless = b"VP8L" + struct.pack("<IBI", 10, 0x2F, 16382 | 16382 << 14) + bytes(5)
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(50):
            archive.writestr(f"{number}.bin", bytes(2_000_000))
    # One gzip file behind the other is one gzip file (RFC 1952, 2.2).
    gz = gzip.compress(bytes(1 << 20)) * 200
    return [
        # ---- pages and scripts under other names
        *(
            Case(f"page.{e}", "a page", PAGE, "other_kind", page)
            for e in (
                "txt",
                "csv",
                "tsv",
                "md",
                "jpg",
                "png",
                "gif",
                "pdf",
                "docx",
                "xls",
                "mp4",
                "mp3",
                "zip",
                "yaml",
                "ini",
                "toml",
                "heic",
                "doc",
            )
        ),
        Case("page.xml", "a page", PAGE, "other_kind", page),
        Case(
            "page.xml",
            "XHTML",
            b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>',
            "other_kind",
            page,
        ),
        Case("page.txt", "after a mark", codecs.BOM_UTF8 + PAGE, "other_kind", page),
        Case("page.txt", "in UTF-16", PAGE.decode().encode("utf-16"), "other_kind", page),
        Case("page.txt", "after blanks", b"\r\n \t\n" * 20 + PAGE, "other_kind", page),
        Case("page.txt", "after comments", b"<!-- a --> <!-- b -->" * 20 + PAGE, "other_kind", page),
        Case("page.txt", "a script element", b"<script>alert(1)</script>", "other_kind", page),
        Case("page.txt", "in capitals", b"<HTML><BODY ONLOAD=alert(1)>", "other_kind", page),
        Case("page.csv", "a frame", b'<iframe src="//a.example"></iframe>', "other_kind", page),
        Case("page.svg", "a page", b'<html xmlns="http://www.w3.org/1999/xhtml"/>', "other_kind", page),
        Case("run.txt", "of a shell", b"#!/bin/sh\nrm -rf /\n", "other_kind", script),
        Case("run.csv", "of a shell", b"#! /usr/bin/env python3\n", "other_kind", script),
        Case("run.txt", "of PHP", b"<?php system($_GET[0]);", "other_kind", "a PHP script"),
        Case("run.jpg", "of PHP", b"<?php system($_GET[0]);", "other_kind", "a PHP script"),
        Case("run.txt", "of Windows", b"@echo off\r\ndel *.*\r\n", "other_kind", "a Windows script"),
        *(
            Case(f"macho.{e}", "of a Macintosh", f.MACH_O, "other_kind", "a macOS program")
            for e in ("jpg", "dwg", "zip")
        ),
        Case("macho.dwg", "for two processors", f.MACH_O_FAT, "other_kind", "a macOS program"),
        Case(
            "far.dwg",
            "its header far inside",
            b"MZ".ljust(60, b"\0") + struct.pack("<I", 3000) + bytes(2936) + b"PE\0\0" + bytes(90),
            "other_kind",
            "a Windows program",
        ),
        *(
            Case(
                f"macro.{e}",
                "with macros",
                f.office(e, extra={f"{folder}/vbaProject.bin": "x"}),
                "other_kind",
                "with macros",
            )
            for e, folder in (("docx", "word"), ("xlsx", "xl"), ("pptx", "ppt"))
        ),
        Case(
            "java.docx",
            "of Java",
            f.zipped({"META-INF/MANIFEST.MF": "Manifest-Version: 1.0\n", "A.class": "x"}),
            "other_kind",
            "a Java archive",
        ),
        Case(
            "app.docx",
            "of Android",
            f.zipped({"AndroidManifest.xml": "x", "classes.dex": "x"}),
            "other_kind",
            "an Android app",
        ),
        Case("app.jpg", "of Android", f.zipped({"AndroidManifest.xml": "x"}), "other_kind", "an Android app"),
        Case("mail.doc", "of Outlook", f.ole("__properties_version1.0"), "other_kind", "an Outlook message"),
        Case("other.doc", "of nobody", f.ole("Contents"), "other_kind", "an old Office document"),
        Case("raw.heic", "of a camera", f.heif(b"crx ", b"crx ", b"isom"), "other_kind", "a Canon raw image"),
        # ---- two kinds at once: stored where the name is true, and served so that the other is nothing
        Case("both.gif", "a script in it", f.gif(1, 1, b"*/=1;alert(1)/*")),
        Case(
            "both.gif",
            "a script in its size",
            b"GIF89a/*" + b"\0\0\0\0\0!\xfe\4*/=1\0;",
            None,
            decoded="undecodable",
        ),
        Case("both.gif", "a script alone", b"GIF89a=1;alert(1)//", "not_the_kind"),
        Case("both.jpg", "a page in it", _with_comment(jpeg, PAGE)),
        Case("both.jpg", "a page behind it", jpeg + PAGE),
        Case("both.png", "PHP behind it", f.png(4, 4) + b"<?php system($_GET[0]);"),
        Case("both.pdf", "a page in it", f.pdf(b"<</A(<script>alert(1)</script>)>>")),
        Case("both.pdf", "a page before it", f.pdf(before=PAGE), "other_kind", "an HTML page"),
        Case("both.pdf", "PHP before it", f.pdf(before=b"<?php system(1);?>"), "other_kind", "a PHP script"),
        Case("both.pdf", "a script before it", f.pdf(before=b"#!/bin/sh\nexit\n"), "other_kind", "a script"),
        Case("both.pdf", "a program around it", f.pe()[:700] + f.pdf(), "other_kind", "a Windows program"),
        Case("both.pdf", "a picture around it", jpeg[:700] + f.pdf(), "other_kind", "a JPEG image"),
        Case("both.zip", "a PDF before it", f.pdf() + f.zipped({"a.txt": "x"}), "other_kind", "a PDF"),
        Case("both.jpg", "an archive behind it", jpeg + f.zipped({"A.class": "x"})),
        # ---- cut off
        Case("cut.jpg", "in the middle", f.picture("JPEG", size=(256, 256))[:-400], decoded="undecodable"),
        Case("cut.png", "in the middle", f.picture("PNG", size=(256, 256))[:-400], decoded="undecodable"),
        Case(
            "cut.webp",
            "in the middle",
            f.picture("WEBP", size=(256, 256), lossless=True)[:-200],
            decoded="undecodable",
        ),
        Case(
            "cut.gif", "in the middle", f.picture("GIF", "P", size=(256, 256))[:-300], decoded="undecodable"
        ),
        Case("cut.avif", "in the middle", f.picture("AVIF", size=(256, 256))[:-100], decoded="undecodable"),
        Case("cut.heic", "in the middle", f.picture("HEIF", size=(256, 256))[:-100], decoded="undecodable"),
        Case("cut.tif", "in the middle", f.picture("TIFF", size=(64, 64))[:-4000], decoded="undecodable"),
        Case("cut.bmp", "in the middle", f.picture("BMP", size=(64, 64))[:-4000], decoded="undecodable"),
        Case("cut.jpg", "before its size", f.picture("JPEG", exif=f.exif(1, 60_000))[:40_000], "cut_off"),
        Case("cut.png", "after its mark", b"\x89PNG\r\n\x1a\n", "cut_off"),
        Case("cut.png", "in its mark", b"\x89PN", "not_the_kind"),
        Case("cut.gif", "after its mark", b"GIF89a", "cut_off"),
        Case("cut.webp", "after its mark", b"RIFF\x10\0\0\0WEBP", "cut_off"),
        Case("cut.bmp", "after its mark", b"BM\0\0", "cut_off"),
        Case("cut.tif", "after its mark", b"II*\0\x08\0\0\0", "cut_off"),
        Case("cut.pdf", "in the middle", f.pdf(b"<</A(" + b"x" * 3000 + b")>>")[:3000], "cut_off"),
        Case("cut.pdf", "after its mark", b"%PDF-1.7\n", "cut_off"),
        *(Case(f"cut.{e}", "in the middle", f.office(e)[:-60], "cut_off") for e in ("docx", "xlsx", "pptx")),
        Case("cut.odt", "in the middle", f.opendocument("text")[:-60], "cut_off"),
        Case("cut.epub", "in the middle", f.epub()[:-60], "cut_off"),
        Case(
            "cut.zip",
            "in the middle",
            f.zipped({"a.txt": "hello " * 2000}, stored=("a.txt",))[:5000],
            "cut_off",
        ),
        Case("cut.doc", "after its mark", f.ole("WordDocument")[:20], "cut_off"),
        Case("cut.mp4", "before its index", f.movie(b"isom", index_last=True)[:150], "cut_off"),
        Case("cut.mp4", "in its index", f.movie(b"isom", index_last=True)[:-5], "cut_off"),
        Case(
            "cut.mp4",
            "in its index, which comes first",
            f.movie(b"isom")[: len(f.ftyp(b"isom")) + 12],
            "cut_off",
        ),
        Case("cut.mp4", "in its media, behind its index", f.movie(b"isom")[:-50]),
        Case("cut.mov", "before its index", f.box(b"wide") + f.MDAT, "cut_off"),
        Case("cut.m4a", "before its index", f.ftyp(b"M4A ") + f.MDAT[:100], "cut_off"),
        Case("cut.wav", "before its format", b"RIFF\x10\0\0\0WAVE", "cut_off"),
        Case("cut.webm", "after its mark", b"\x1a\x45\xdf\xa3", "cut_off"),
        Case("cut.ogg", "in its first page", f.ogg(f.VORBIS)[:20], "cut_off"),
        Case("cut.tar", "in its first header", f.tarred(tarfile.USTAR_FORMAT, "a")[:300], "cut_off"),
        Case("cut.json", "in the middle", b'{"a": [1, 2', "bad_syntax"),
        Case("cut.json", "of two megabytes", b"[" + b'"some words", ' * 150_000, "cut_off"),
        Case("cut.xml", "in the middle", b"<feed><entry>", "bad_syntax"),
        Case("cut.xml", "of two megabytes", b"<a>" + b"<b>some words</b>" * 130_000 + b"<b", "cut_off"),
        Case("cut.txt", "in a character", "Grüße".encode("utf-16")[:-1], "not_text"),
        *(
            Case(f"empty.{e}", "empty", b"", "empty_file")
            for e in (
                "jpg",
                "png",
                "gif",
                "webp",
                "avif",
                "heic",
                "bmp",
                "tif",
                "pdf",
                "docx",
                "doc",
                "odt",
                "epub",
                "mp3",
                "wav",
                "aac",
                "mp4",
                "mov",
                "webm",
                "zip",
                "gz",
                "tar",
            )
        ),
        *(
            Case(f"byte.{e}", "of one byte", b"x", "not_the_kind")
            for e in ("jpg", "png", "pdf", "docx", "mp4", "zip", "gz")
        ),
        # ---- not what a text is
        Case("notes.txt", "with a zero", b"text\0", "not_text"),
        Case("notes.txt", "UTF-16 without a mark", "no mark".encode("utf-16-le"), "not_text"),
        Case("notes.csv", "with control characters", b"a,b\n\x01,\x02\n", "not_text"),
        Case("data.json", "words", b"Hello, world\n", "bad_syntax"),
        Case("data.json", "one quotation mark too few", b'{\n  "a": "b,\n  "c": 1\n}\n', "bad_syntax"),
        Case("data.json", "no comma, but an address", b'{"a": "http://a.example" "b": 1}', "bad_syntax"),
        Case("table.csv", "with a mark that is not closed", b'name,note\na,"b\nc,d\n', "bad_syntax"),
        Case("feed.xml", "words", b"Hello, world\n", "bad_syntax"),
        Case("feed.xml", "an element that is not closed", b"<a>\n<b></a>\n", "bad_syntax"),
        Case("settings.plist", "another XML", b"<feed/>", "other_kind", "XML"),
        # ---- bombs: small here, large or endless for whoever opens them
        Case("bomb.png", "of 900 megapixels", f.png(30_000, 30_000), "too_many_pixels"),
        Case(
            "bomb.png",
            "of 4 gigapixels, it says",
            b"\x89PNG\r\n\x1a\n"
            + f.png_chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)),
            "too_many_pixels",
        ),
        Case(
            "bomb.png",
            "of no width",
            b"\x89PNG\r\n\x1a\n" + f.png_chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 9, 8, 2, 0, 0, 0)),
            "not_the_kind",
        ),
        Case("bomb.gif", "of 65,535 pixels a side", f.gif(65_535, 65_535), "too_many_pixels"),
        Case(
            "bomb.jpg",
            "of 65,500 pixels a side",
            jpeg[:frame] + struct.pack(">HH", 65_500, 65_500) + jpeg[frame + 4 :],
            "too_many_pixels",
        ),
        Case("bomb.webp", "lossless", f.riff(b"WEBP", webp_lossless), "too_many_pixels"),
        Case(
            "bomb.webp",
            "extended",
            f.riff(b"WEBP", f.chunk(b"VP8X", bytes(4) + b"\xff\xff\xff" * 2)),
            "too_many_pixels",
        ),
        Case("bomb.bmp", "in its header", f.bmp(60_000, 60_000, rows=0), "too_many_pixels"),
        Case("bomb.bmp", "from top to bottom", f.bmp(60_000, -60_000, rows=0), "too_many_pixels"),
        Case("bomb.tif", "on its second page", _tiff_bomb(), "too_many_pixels"),
        Case("bomb.avif", "in its header", f.heif(b"avif", width=40_000, height=40_000), "too_many_pixels"),
        Case("bomb.heic", "in its header", f.heif(b"heic", width=40_000, height=40_000), "too_many_pixels"),
        Case("bomb.jpg", "of a thousand segments", b"\xff\xd8" + b"\xff\xe1\0\2" * 9000, "not_the_kind"),
        Case("bomb.tif", "whose pages are a circle", _tiff_circle(), decoded="undecodable"),
        Case("bomb.mp3", "that could begin anywhere", b"\xff" * 9000, "not_the_kind"),
        Case("bomb.mp4", "of empty boxes", f.ftyp(b"isom") + f.box(b"free") * 9000, "not_the_kind"),
        Case("bomb.zip", "100 MB in 100 KB", many.getvalue()),
        Case("bomb.docx", "100 MB in 100 KB", many.getvalue(), "other_kind", "a ZIP archive"),
        Case(
            "bomb.docx",
            "of endless names",
            f.zipped({"n" * 60_000 + str(n): "" for n in range(40)}),
            "other_kind",
            "a ZIP archive",
        ),
        Case("bomb.gz", "200 MB in 200 KB", gz),
        Case("bomb.tgz", "200 MB in 200 KB", gz),
        Case("bomb.gnumeric", "200 MB in 200 KB", gz, "other_kind", "a gzip file"),
        Case("bomb.json", "of deep lists", b"[" * 100_000 + b"]" * 100_000, "bad_syntax"),
        Case("bomb.xml", "a billion laughs", laughs + b"]><a>&b9;</a>", "harmful_entities"),
        Case(
            "bomb.xml",
            "of one long entity",
            b"<!DOCTYPE a [<!ENTITY b '" + b"a" * 90_000 + b"'>]><a>" + b"&b;" * 9000 + b"</a>",
            "harmful_entities",
        ),
        Case(
            "bomb.xml",
            "that fetches a file",
            b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
            "harmful_entities",
        ),
        Case(
            "bomb.xml",
            "that fetches rules",
            b'<!DOCTYPE a [<!ENTITY % b SYSTEM "http://a.example/"> %b;]><a/>',
            "harmful_entities",
        ),
        Case(
            "bomb.svg",
            "a billion laughs",
            laughs.replace(b"DOCTYPE a", b"DOCTYPE svg") + b"]><svg>&b9;</svg>",
            "harmful_entities",
        ),
        Case("bomb.xml", "of deep elements", b"<a>" * 100_000 + b"</a>" * 100_000),
        # ---- what Windows would hide, or a name would
        Case("photo.jpg.exe", "two extensions", f.pe()),
        Case("photo.exe.jpg", "two extensions", f.pe(), "other_kind", "a Windows program"),
        Case("photo\u202egpj.exe", "written backwards", jpeg),
        Case("PHOTO.JPG", "in capitals", jpeg),
    ]


def _with_comment(jpeg: bytes, comment: bytes) -> bytes:
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", 2 + len(comment)) + comment + jpeg[2:]


def _tiff(*pages: tuple[int, int], circle: bool = False) -> bytes:
    """Directories of this width and height, without any pixels."""
    data, at = b"II*\0\x08\0\0\0", 8
    for index, (width, height) in enumerate(pages):
        at += 2 + 2 * 12 + 4
        last = index == len(pages) - 1
        following = (8 if circle else 0) if last else at
        data += struct.pack("<HHHIIHHIII", 2, 256, 4, 1, width, 257, 4, 1, height, following)
    return data


def _tiff_bomb() -> bytes:
    return _tiff((10, 10), (100_000, 100_000))


def _tiff_circle() -> bytes:
    return _tiff((10, 10), (20, 20), circle=True)


GOOD = _good()
good = {(case.filename, case.what): case.data for case in GOOD}
CASES = (*GOOD, *_mislabelled(good), *_hostile())
