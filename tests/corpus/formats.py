"""Small files of many formats: by real encoders where Python has them, else by hand after the specifications."""

import io
import struct
import tarfile
import wave
import zipfile
import zlib
from typing import Any

from PIL import Image, ImageDraw
from pillow_heif import register_heif_opener

register_heif_opener()


def drawing(mode: str = "RGB", size: tuple[int, int] = (48, 32), hue: int = 0) -> Image.Image:
    """A picture with something to see in it."""
    image = Image.new("RGB", size, (40 + hue % 200, 90, 160))
    pen = ImageDraw.Draw(image)
    pen.ellipse((4, 4, size[0] - 8, size[1] - 6), fill=(250, 200 - hue % 150, 60))
    pen.line((0, size[1], size[0], 0), fill=(20, 30, 40), width=2)
    return image.convert("L").convert(mode) if mode == "I;16" else image.convert(mode)


def picture(form: str, mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    size = options.pop("size", (48, 32))
    frames = options.pop("frames", 1)
    more = [drawing(mode, size, 60 * frame) for frame in range(1, frames)]
    if more:
        options |= {"save_all": True, "append_images": more}
    drawing(mode, size).save(out, form, **options)
    return out.getvalue()


def exif(orientation: int = 6, padding: int = 0) -> bytes:
    """Exif with an orientation and, to make it long, a comment."""
    data = Image.Exif()
    data[0x0112] = orientation
    if padding:
        data[0x010E] = "x" * padding
    return data.tobytes()


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *before: bytes) -> bytes:
    """A black one-bit PNG of any size; `before` are chunks that stand before the image header."""
    lines = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    data = b"".join(lines.compress(row) for _ in range(height)) + lines.flush()
    return (
        b"\x89PNG\r\n\x1a\n"
        + b"".join(before)
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
        + png_chunk(b"IDAT", data)
        + png_chunk(b"IEND", b"")
    )


def bmp_os2(width: int, height: int) -> bytes:
    row = bytes((width * 3 + 3) // 4 * 4)
    data = row * height
    return struct.pack("<2sIHHIIHHHH", b"BM", 26 + len(data), 0, 0, 26, 12, width, height, 1, 24) + data


def bmp(width: int, height: int, rows: int | None = None) -> bytes:
    """A BMP with any numbers in its header, and as many rows as asked for."""
    data = bytes((abs(width) * 3 + 3) // 4 * 4 * (abs(height) if rows is None else rows))
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(data), 2835, 2835, 0, 0)
    return struct.pack("<2sIHHI", b"BM", 54 + len(data), 0, 0, 54) + info + data


def gif(width: int, height: int, comment: bytes = b"") -> bytes:
    """One white pixel on a screen of any size."""
    extension = b"!\xfe" + bytes([len(comment)]) + comment + b"\0" if comment else b""
    return (
        struct.pack("<6sHHBBB", b"GIF89a", width, height, 0x80, 0, 0)
        + b"\xff\xff\xff\0\0\0"
        + extension
        + b",\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
    )


def pdf(*objects: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """A PDF of one page, with further objects."""
    content = b"BT /F1 24 Tf 72 720 Td (Hello) Tj ET"
    numbered = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        *objects,
    ]
    out = bytearray(before + b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(numbered, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj%sendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(numbered) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(numbered) + 1, start)
    return bytes(out) + after


class _Pipe(io.RawIOBase):
    """Cannot seek: zipfile then writes sizes after the data."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += data
        return len(data)


def zipped(
    members: dict[str, bytes | str],
    *,
    stored: tuple[str, ...] = (),
    comment: bytes = b"",
    streamed: bool = False,
) -> bytes:
    """A ZIP of these members, in this order."""
    out: Any = _Pipe() if streamed else io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            method = zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED
            archive.writestr(zipfile.ZipInfo(name), content, method)
        archive.comment = comment
    return bytes(out.data) if streamed else out.getvalue()


def zip64(members: dict[str, bytes | str]) -> bytes:
    """A ZIP whose end is told in the records of ZIP64, as of archives with more than 65,535 entries."""
    plain = zipped(members)
    end = plain.rindex(b"PK\5\6")
    entries, length, start = struct.unpack("<10xHII2x", plain[end:])
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, entries, entries, length, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    last = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return plain[:end] + record + locator + last


_MAIN = "application/vnd.openxmlformats-officedocument."
_PARTS = {
    "docx": ("word/document.xml", _MAIN + "wordprocessingml.document.main+xml"),
    "xlsx": ("xl/workbook.xml", _MAIN + "spreadsheetml.sheet.main+xml"),
    "pptx": ("ppt/presentation.xml", _MAIN + "presentationml.presentation.main+xml"),
}
_HEADER = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'


def office(
    kind: str, *, types_last: bool = False, extra: dict[str, bytes | str] | None = None, **how: Any
) -> bytes:
    """A document of Office 2007 and later, with the parts that it must have (ECMA-376, part 2)."""
    part, content_type = _PARTS[kind]
    body = {
        "docx": '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>'
        "<w:p><w:r><w:t>Hello</w:t></w:r></w:p></w:body></w:document>",
        "xlsx": '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheets/></workbook>',
        "pptx": '<p:presentation xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"/>',
    }[kind]
    types = {
        "[Content_Types].xml": f'{_HEADER}<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/{part}" ContentType="{content_type}"/></Types>'
    }
    rest: dict[str, bytes | str] = {
        "_rels/.rels": f'{_HEADER}<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/'
        f'officeDocument" Target="{part}"/></Relationships>',
        part: _HEADER + body,
        **(extra or {}),
    }
    return zipped({**rest, **types} if types_last else {**types, **rest}, **how)


def opendocument(kind: str, *, mimetype: bool = True) -> bytes:
    """An OpenDocument file; programs that are careless leave its media type out."""
    media_type = f"application/vnd.oasis.opendocument.{kind}"
    members: dict[str, bytes | str] = {"mimetype": media_type} if mimetype else {}
    members |= {
        "content.xml": f'{_HEADER}<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:'
        'office:1.0"><office:body/></office:document-content>',
        "META-INF/manifest.xml": f'{_HEADER}<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:'
        f'manifest:1.0"><manifest:file-entry manifest:full-path="/" manifest:media-type="{media_type}"/>'
        "</manifest:manifest>",
    }
    return zipped(members, stored=("mimetype",))


def epub(*, mimetype: bool = True) -> bytes:
    members: dict[str, bytes | str] = {"mimetype": "application/epub+zip"} if mimetype else {}
    members |= {
        "META-INF/container.xml": f'{_HEADER}<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:'
        'container"><rootfiles><rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles>'
        "</container>",
        "book.opf": f'{_HEADER}<package xmlns="http://www.idpf.org/2007/opf" version="3.0"/>',
    }
    return zipped(members, stored=("mimetype",))


def ole(*streams: str, big_sectors: bool = False) -> bytes:
    """A compound file with empty streams of these names ([MS-CFB])."""
    shift = 12 if big_sectors else 9
    size = 1 << shift
    entries = b""
    for index, name in enumerate(("Root Entry", *streams)):
        text = name.encode("utf-16-le")
        entries += struct.pack(
            "<64sHBBIII16sIQQIQ",
            text,
            len(text) + 2,
            5 if index == 0 else 2,
            1,
            0xFFFFFFFF,
            0xFFFFFFFF if index == 0 or index == len(streams) else index + 1,
            1 if index == 0 and streams else 0xFFFFFFFF,
            bytes(16),
            0,
            0,
            0,
            0xFFFFFFFE,
            0,
        )
    per = size // 128
    sectors = -(-len(entries) // size)
    entries = entries.ljust(sectors * per * 128, b"\0")
    chain = [0xFFFFFFFD, *range(2, 1 + sectors), 0xFFFFFFFE]
    table = struct.pack(f"<{len(chain)}I", *chain).ljust(size, b"\xff")
    header = struct.pack(
        "<8s16sHHHHH6sIIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        bytes(16),
        0x3E,
        4 if big_sectors else 3,
        0xFFFE,
        shift,
        6,
        bytes(6),
        0,
        1,
        1,
        0,
        4096,
        0xFFFFFFFE,
        0,
        0xFFFFFFFE,
        0,
        0,
    )
    header = header[:76] + struct.pack("<I", 0) + b"\xff" * (108 * 4)
    return header.ljust(size, b"\0") + table + entries


def sound(seconds: float = 0.05, width: int = 2) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(width)
        file.setframerate(8000)
        file.writeframes(bytes(int(8000 * seconds) * width))
    return out.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def riff(form: bytes, *chunks: bytes) -> bytes:
    body = form + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


WAVE_FORMAT = struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)


def avi() -> bytes:
    main = struct.pack("<14I", 40000, 0, 0, 0x10, 1, 0, 1, 0, 16, 16, 0, 0, 0, 0)
    return riff(b"AVI ", chunk(b"LIST", b"hdrl" + chunk(b"avih", main)), chunk(b"LIST", b"movi"))


def id3(length: int = 10, version: int = 3) -> bytes:
    size = bytes(length >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3" + bytes([version, 0, 0]) + size + bytes(length)


def mp3(frames: int = 4, header: bytes = b"\xff\xfb\x90\0") -> bytes:
    """Silent frames: 128 kbit/s at 44,100 Hz, 417 bytes each, unless the header says another thing."""
    lengths = {b"\xff\xfb\x90\0": 417, b"\xff\xf3\x40\xc0": 104, b"\xff\xfd\x80\0": 417}
    return header.ljust(lengths[header], b"\0") * frames


def adts(frames: int = 4, length: int = 64) -> bytes:
    head = bytes([0xFF, 0xF1, 0x50, 0x80 | length >> 11, length >> 3 & 0xFF, (length & 7) << 5 | 0x1F, 0xFC])
    return head.ljust(length, b"\0") * frames


def loas(frames: int = 4, length: int = 300) -> bytes:
    return ((0x2B7 << 13 | length).to_bytes(3, "big") + bytes(length)) * frames


def flac() -> bytes:
    info = struct.pack(">HH3s3sQ16s", 4096, 4096, bytes(3), bytes(3), 44100 << 44 | 15 << 36, bytes(16))
    return b"fLaC" + b"\x80\0\0\x22" + info + b"\xff\xf8\x69\x08\0\0" + bytes(64)


def ogg(*first_packets: bytes) -> bytes:
    """The first pages of a stream for each of these packets, then one page of data."""
    out = b""
    for serial, packet in enumerate(first_packets, start=1):
        out += struct.pack("<4sBBQIIIB", b"OggS", 0, 2, 0, serial, 0, 0, 1) + bytes([len(packet)]) + packet
    return out + struct.pack("<4sBBQIIIB", b"OggS", 0, 4, 0, 1, 1, 0, 1) + b"\x40" + bytes(64)


VORBIS = b"\x01vorbis" + struct.pack("<IBIiiiBB", 0, 1, 44100, 0, 64000, 0, 0xB8, 1)
OPUS = b"OpusHead" + struct.pack("<BBHIHB", 1, 1, 0, 48000, 0, 0)
THEORA = b"\x80theora\3\2\1" + bytes(32)
OGG_FLAC = b"\x7fFLAC\1\0\0\1fLaC\0\0\0\x22" + bytes(34)
SPEEX = b"Speex   1.2" + bytes(69)


def box(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), name) + body


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    return box(b"ftyp", major, bytes(4), *(compatible or (major,)))


def moov() -> bytes:
    header = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, 0), bytes(80))
    track = box(
        b"tkhd", struct.pack(">IIIIII", 7, 0, 0, 1, 0, 0), bytes(52), struct.pack(">II", 16 << 16, 16 << 16)
    )
    return box(b"moov", header, box(b"trak", track))


MDAT = box(b"mdat", bytes(200))


def movie(major: bytes, *compatible: bytes, index_last: bool = False) -> bytes:
    head = ftyp(major, *compatible)
    return head + (MDAT + moov() if index_last else moov() + MDAT)


def heif(major: bytes, *compatible: bytes, width: int = 48, height: int = 32) -> bytes:
    """The boxes that tell a HEIF picture's size; its pixels are nothing."""
    ispe = box(b"ispe", struct.pack(">III", 0, width, height))
    properties = box(b"iprp", box(b"ipco", ispe))
    handler = box(b"hdlr", bytes(8), b"pict", bytes(13))
    return ftyp(major, *compatible) + box(b"meta", bytes(4), handler, properties) + MDAT


def _element(identity: bytes, data: bytes) -> bytes:
    return identity + bytes([0x80 | len(data)]) + data


def matroska(doc_type: bytes | None) -> bytes:
    """An EBML header, and a segment of unknown length."""
    body = _element(b"\x42\x86", b"\1") + _element(b"\x42\xf7", b"\1") + _element(b"\x42\xf2", b"\4")
    if doc_type:
        body += _element(b"\x42\x82", doc_type)
    return _element(b"\x1a\x45\xdf\xa3", body) + b"\x18\x53\x80\x67\x01" + b"\xff" * 7 + bytes(64)


def tarred(form: int, *names: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 5
            archive.addfile(member, io.BytesIO(b"hello"))
    return out.getvalue()


def tar_of_old() -> bytes:
    """The format before POSIX: no mark, only a sum."""
    header = bytearray(tarred(tarfile.USTAR_FORMAT, "a.txt"))
    header[257:512] = bytes(255)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    return bytes(header)


def seven_zip() -> bytes:
    """The signature header of an empty archive (7zFormat.txt)."""
    start = struct.pack("<QQI", 0, 0, 0)
    return b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<I", zlib.crc32(start)) + start


def pe() -> bytes:
    """The headers of a Windows program."""
    return (
        (b"MZ\x90\0" + bytes(56) + struct.pack("<I", 128)).ljust(128, b"\0") + b"PE\0\0\x64\x86" + bytes(400)
    )


ELF = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHI", 2, 62, 1) + bytes(500)
MACH_O = b"\xcf\xfa\xed\xfe\7\0\0\1\3\0\0\0\2\0\0\0" + bytes(500)
MACH_O_FAT = b"\xca\xfe\xba\xbe\0\0\0\2" + bytes(500)
JAVA_CLASS = b"\xca\xfe\xba\xbe\0\0\0\x41" + bytes(500)
