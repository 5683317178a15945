"""PDFs that do something, or hide it: each in a way of its own. The code is JavaScript of the viewer's."""

import hashlib
import zlib
from collections.abc import Sequence

Objects = Sequence[bytes]

_PAGES = (
    b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
    b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>",
)


def opening(action: bytes) -> list[bytes]:
    """The objects of a page that begins with ``action``, or with an array that says where on the page."""
    return [b"<</Type/Catalog/Pages 2 0 R/OpenAction%b>>" % action, *_PAGES]


def script(code: str) -> bytes:
    return b"<</S/JavaScript/JS(%b)>>" % code.replace("(", "\\(").replace(")", "\\)").encode()


def file(objects: Objects) -> bytes:
    """The objects as they are, with a table of them (ISO 32000-1, 7.5.4)."""
    out, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    return bytes(
        out
    ) + b"xref\n0 %d\n0000000000 65535 f \n%btrailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (
        *(size, table, size, len(out)),
    )


def packed(
    objects: Objects,
    *,
    stream: bytes = b"/Filter/FlateDecode",
    before: bytes = b"",
    behind: Objects = (),
    pack: object = zlib.compress,
    trailer: bytes = b"",
) -> bytes:
    """The objects in an object stream (7.5.7), whose dictionary has these keys, and a stream for a table (7.5.8).

    ``before``: what stands in front of the stream's own object, and is where the table says that it begins.
    """
    assert callable(pack)
    numbers, content = b"", b""
    for number, inner in enumerate(objects, 1):
        numbers += b"%d %d " % (number, len(content))
        content += inner + b" "
    data = pack(numbers + content)
    out = bytearray(b"%PDF-1.7\n")
    places = [(0, 0, 65535), *((2, len(objects) + 1, index) for index in range(len(objects)))]
    kept = b"<</Type/ObjStm/N %d/First %d/Length %d%b>>\nstream\n%b\nendstream" % (
        *(len(objects), len(numbers), len(data), stream, data),
    )
    for number, outer in enumerate((kept, *behind), len(objects) + 1):
        places.append((1, len(out), 0))
        out += (before if outer is kept else b"") + b"%d 0 obj\n%b\nendobj\n" % (number, outer)
    places.append((1, len(out), 0))
    table = b"".join(
        kind.to_bytes(1, "big") + place.to_bytes(4, "big") + more.to_bytes(2, "big")
        for kind, place, more in places
    )
    start = len(out)
    out += (
        b"%d 0 obj\n<</Type/XRef/Size %d/W[1 4 2]/Root 1 0 R/Length %d%b>>\nstream\n%b\nendstream\nendobj\n"
        % (*(len(places) - 1, len(places), len(table), trailer, table),)
    )
    return bytes(out) + b"startxref\n%d\n%%%%EOF\n" % start


def predicted(data: bytes) -> bytes:
    """Deflated behind a predictor of PNG that changes nothing but adds a byte to each (7.4.4.4)."""
    return zlib.compress(b"".join(b"\0%c" % byte for byte in data))


def _rc4(key: bytes, data: bytes) -> bytes:
    box, j = list(range(256)), 0
    for i in range(256):
        j = (j + box[i] + key[i % len(key)]) & 255
        box[i], box[j] = box[j], box[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) & 255
        j = (j + box[i]) & 255
        box[i], box[j] = box[j], box[i]
        out.append(byte ^ box[(box[i] + box[j]) & 255])
    return bytes(out)


_PAD = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


def locked(objects: Objects) -> bytes:
    """Encrypted with an empty password (7.6.2, revision 2): anybody's viewer opens it, and no search finds anything."""
    owner = _rc4(hashlib.md5(_PAD).digest()[:5], _PAD)
    key = hashlib.md5(_PAD + owner + b"\xfc\xff\xff\xff" + bytes(16)).digest()[:5]
    number = len(objects) + 1
    of_object = hashlib.md5(key + number.to_bytes(3, "little") + b"\0\0").digest()[:10]
    lock = b"<</Filter/Standard/V 1/R 2/P -4/O<%b>/U<%b>>>" % (
        *(owner.hex().encode(), _rc4(key, _PAD).hex().encode()),
    )
    return packed(
        objects,
        pack=lambda data: _rc4(of_object, zlib.compress(data)),
        behind=[lock],
        trailer=b"/Encrypt %d 0 R/ID[<%b><%b>]" % (number + 1, b"00" * 16, b"00" * 16),
    )


def live(code: str) -> dict[str, bytes]:
    """PDFs that run ``code`` when Chromium opens them, by how they hide that."""
    acts = opening(script(code))
    escaped = opening(script(code).replace(b"/S/JavaScript/JS", b"/S/J#61vaScript/#4a#53"))
    return {
        "plain": file(acts),
        "escaped": file(escaped),
        "among names": file(
            [b"<</Type/Catalog/Pages 2 0 R/Names<</JavaScript<</Names[(a)%b]>>>>>>" % script(code), *_PAGES]
        ),
        "on a page": file(
            [b"<</Type/Catalog/Pages 2 0 R>>", _PAGES[0], _PAGES[1][:-2] + b"/AA<</O%b>>>>" % script(code)]
        ),
        "updated": file([b"<</Type/Catalog/Pages 2 0 R>>", *_PAGES]) + file(acts),
        "packed": packed(acts),
        "packed and escaped": packed(escaped),
        "packed in hexadecimal": packed(
            acts, stream=b"/Filter/ASCIIHexDecode", pack=lambda data: data.hex().encode() + b">"
        ),
        "packed twice": packed(
            acts,
            stream=b"/Filter[/FlateDecode/ASCIIHexDecode]",
            pack=lambda data: zlib.compress(data.hex().encode() + b">"),
        ),
        "packed behind a predictor": packed(
            acts,
            stream=b"/Filter/FlateDecode/DecodeParms<</Predictor 15/Columns 1>>",
            pack=predicted,
        ),
        # A viewer goes on in the dictionary that it has begun, whatever stands in it.
        "packed behind a predictor that stands before": packed(
            acts, before=b"4 0 obj\n<</DecodeParms<</Predictor 15/Columns 1>>/X\nendobj\n", pack=predicted
        ),
        "locked": locked(acts),
    }
