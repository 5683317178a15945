"""Files made to run a script where they are opened. Each says `RAN` and its name on the console, once it runs."""

import gzip
from collections.abc import Callable

from corpus import formats as f
from corpus.pdfs import live, opening, packed

XHTML = "http://www.w3.org/1999/xhtml"


def script(name: str) -> str:
    """Of one statement that stands in HTML, in XML and in quotes."""
    return f"console.log(`RAN {name}`)"


def page(name: str) -> bytes:
    return f"<!doctype html><html><body onload='{script(name)}'><script>{script(name)}</script></body></html>".encode()


def xhtml(name: str) -> bytes:
    return f'<?xml version="1.0"?>\n<html xmlns="{XHTML}"><script>{script(name)}</script></html>'.encode()


def drawing(name: str) -> bytes:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onload="{script(name)}">'
        f'<script>{script(name)}</script><rect width="9" height="9"/>'
        f'<foreignObject><body xmlns="{XHTML}"><iframe srcdoc="&lt;script&gt;{script(name)}&lt;/script&gt;"/></body>'
        "</foreignObject></svg>"
    ).encode()


def drawings(name: str) -> list[bytes]:
    """SVG that runs a script in each of the ways that cleaners are known to miss."""
    run = script(name)
    inside = [
        f"<script>{run}</script>",
        f"<script href='data:text/javascript,{run}'/>",
        f"<script xmlns='{XHTML}'>{run}</script>",
        f"<g xmlns:h='{XHTML}'><h:script>{run}</h:script><h:img src='x' onerror='{run}'/></g>",
        f"<image href='x' onerror='{run}'/>",
        f"<rect width='9' height='9'><animate attributeName='x' begin='0s' dur='1s' onbegin='{run}'/></rect>",
        f"<a href='javascript:{run}'><rect width='9' height='9'/></a>",
        f"<foreignObject><iframe xmlns='{XHTML}' src='javascript:parent.{run}'/></foreignObject>",
        f"<foreignObject><iframe xmlns='{XHTML}' srcdoc='&lt;script&gt;{run}&lt;/script&gt;'/></foreignObject>",
        f"<style><![CDATA[</style><script>{run}</script>]]></style>",
        f"<set attributeName='onload' to='{run}'/>",
    ]
    whole = [f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{part}</svg>' for part in inside]
    whole += [
        f'<svg xmlns="http://www.w3.org/2000/svg" onload="{run}"/>',
        f'<!DOCTYPE svg [<!ENTITY e "<script>{run}</script>">]><svg xmlns="http://www.w3.org/2000/svg">&e;</svg>',
        f'<!DOCTYPE svg [<!ATTLIST svg onload CDATA "{run}">]><svg xmlns="http://www.w3.org/2000/svg"/>',
        stylesheet(name).decode(),
        xhtml(name).decode(),
    ]
    return [drawing.encode() for drawing in whole]


def stylesheet(name: str) -> bytes:
    """XML that is its own XSLT, and becomes a page with a script."""
    return (
        '<?xml version="1.0"?>\n<?xml-stylesheet type="text/xml" href="#s"?>\n'
        '<!DOCTYPE d [<!ATTLIST xsl:stylesheet id ID #REQUIRED>]>\n<d><xsl:stylesheet id="s" version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">'
        f'<xsl:template match="/"><html xmlns="{XHTML}"><script>{script(name)}</script></html></xsl:template>'
        "</xsl:stylesheet></d>"
    ).encode()


def code(name: str) -> bytes:
    return f"{script(name)};\n".encode()


def gif_code(name: str) -> bytes:
    """A GIF of 10,799 columns that is a program too: its width is the beginning of a comment."""
    return b"GIF89a/*\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\0;*/=1;" + script(name).encode()


def jpeg_code(name: str) -> bytes:
    """A JPEG whose first segment is the beginning of a comment."""
    comment = b"*/=1;" + script(name).encode() + b";/*"
    return (
        b"\xff\xd8\xff\xe0/*JFIF"
        + bytes(0x2F2A - 6)
        + b"\xff\xfe"
        + (len(comment) + 2).to_bytes(2, "big")
        + comment
    )


def behind(magic: bytes) -> Callable[[str], bytes]:
    """What begins as another kind, with a page behind that."""
    return lambda name: magic + b"\n" + page(name)


def in_viewer(name: str) -> str:
    """As a script of a PDF says it: the viewer has no console."""
    return f"app.alert('RAN {name}')"


_OTHERS = "txt csv tsv md json xml yaml toml ini jpg png gif webp avif bmp pdf mp4 webm mp3 ogg wav"

_MAKERS: dict[str, Callable[[str], bytes]] = {
    # Under their own names.
    "page.html": page,
    "page.htm": page,
    "page.xhtml": xhtml,
    "page.xht": xhtml,
    "page.shtml": page,
    "page.mht": lambda name: b"MIME-Version: 1.0\nContent-Type: text/html\n\n" + page(name),
    "drawing.svg": drawing,
    "drawing.svgz": lambda name: gzip.compress(drawing(name)),
    "sheet.xml": stylesheet,
    "sheet.xsl": stylesheet,
    "feed.rss": xhtml,
    "code.js": code,
    "code.mjs": code,
    **{f"{way}.pdf": lambda name, way=way: live(in_viewer(name))[way] for way in live("")},  # type: ignore[misc]
    # No viewer goes there before somebody clicks.
    "address.pdf": lambda name: packed(opening(b"<</S/URI/URI(http://127.0.0.1:9/ran)>>")),
    "no extension": page,
    "two.svg.png": drawing,
    # A page under other names.
    **{f"page.{extension}": page for extension in _OTHERS.split()},
    "xhtml.xml": xhtml,
    "xhtml.txt": xhtml,
    "drawing.xml": drawing,
    "drawing.txt": drawing,
    "drawing.jpg": drawing,
    # A program under other names.
    **{f"code.{extension}": code for extension in "txt csv json md xml png css wasm ini".split()},  # noqa: SIM905
    # Two kinds at once.
    "both.gif": gif_code,
    "both.jpg": jpeg_code,
    "behind.gif": behind(b"GIF89a\1\0\1\0\0\0\0"),
    "behind.png": behind(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
    "behind.pdf": behind(b"%PDF-1.7"),
    "behind.mp4": behind(b"\0\0\0\x18ftypmp42"),
    "behind.zip": behind(b"PK\3\4"),
    # Whole files of their kind, which pass every check, with a page in them or behind them.
    **{
        f"whole.{extension}": (lambda name, whole=whole: whole() + page(name))  # type: ignore[misc]
        for extension, whole in {
            "png": lambda: f.png(4, 4),
            "jpg": lambda: f.picture("JPEG"),
            "webp": lambda: f.picture("WEBP"),
            "bmp": lambda: f.bmp(4, 4),
            "avif": lambda: f.picture("AVIF"),
            "tif": lambda: f.picture("TIFF"),
            "mp4": lambda: f.movie(b"isom"),
            "wav": f.sound,
            "mp3": f.mp3,
            "ogg": lambda: f.ogg(f.VORBIS),
            "webm": lambda: f.matroska(b"webm"),
            "zip": lambda: f.zipped({"index.html": page("in whole.zip")}),
            "docx": lambda: f.office("docx"),
            "doc": lambda: f.ole("WordDocument"),
        }.items()
    },
    "comment.gif": lambda name: f.gif(4, 4, page(name)[:255]),
    "comment.png": lambda name: f.png(4, 4, f.png_chunk(b"tEXt", b"Comment\0" + page(name))),
    "exif.jpg": lambda name: f.picture("JPEG", exif=b"Exif\0\0" + page(name)),
    "string.pdf": lambda name: f.pdf(
        b"<</A(" + page(name).replace(b"(", b"\\(").replace(b")", b"\\)") + b")>>"
    ),
    "marked.txt": behind(b"\xef\xbb\xbf"),
    "wide.txt": lambda name: page(name).decode().encode("utf-16"),
    "seven.txt": lambda name: page(name).decode().encode("utf-7"),
}

#: What a careless server would have a browser run, by the way it is opened: else the tests would see nothing.
LIVE: dict[str, set[str]] = {
    "opened": {"page.html", "page.xhtml", "drawing.svg", "sheet.xml", "xhtml.xml", "drawing.xml"},
    "iframe": {"page.html", "page.xhtml", "drawing.svg", "sheet.xml", "xhtml.xml", "drawing.xml"},
    "object": {"page.html", "drawing.svg", "drawing.xml"},
    "embed": {"page.html", "drawing.svg", "drawing.xml"},
    "script": {"code.js", "code.txt", "code.json", "code.xml"},
    "module": {"code.js", "code.mjs"},
    "worker": {"code.js", "code.txt", "code.json"},
    "service worker": {"code.js", "code.mjs"},
}

#: The same, of PDFs, however a page brings in what is opened.
LIVE_PDFS = {name for name in _MAKERS if name.removesuffix(".pdf") in live("")}

#: Name → content.
CORPUS: dict[str, bytes] = {name: make(name) for name, make in _MAKERS.items()}
