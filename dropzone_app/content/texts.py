"""Texts: bytes that decode, that are no page or program under another name, and formats that follow their rules."""

from __future__ import annotations

import codecs
import json
import re
from typing import Any
from xml.parsers import expat

from .view import CutOff, Harmful, Malformed, Mismatch, Structure, View

#: Bytes up to which a text is parsed as a whole; of a longer one, beginning and end.
WHOLE = 1 << 20
# Bytes at the beginning that tell what a text really is.
_START = 1024
_TAIL = 4096
# Characters of an XML entity: those of people stand for a letter or a name.
_ENTITY = 1024
_REFERENCE = re.compile(r"&[^#\s&;][^\s&;]*;")

# What no text has: C0 without tab, line feed, vertical tab, form feed, carriage return and escape.
_CONTROL = bytes([*range(0x09), *range(0x0E, 0x1B), *range(0x1C, 0x20)])
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)


class TextProbe:
    """Whether bytes are text, told while they pass: UTF-16 or UTF-32 with a byte order mark, UTF-8, or an
    older 8-bit encoding (Excel still saves CSV so). None of them has NUL or other control characters."""

    def __init__(self) -> None:
        #: Only for what has a byte order mark: any other bytes without control characters are text in some encoding.
        self._decoder: codecs.IncrementalDecoder | None = None
        self._start: bytes | None = b""

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; False as soon as they cannot be text."""
        if self._start is not None:
            # A byte order mark has up to four bytes, and they may come one at a time.
            data = self._start + data
            if len(data) < 4:
                self._start = data
                return True
            self._begin(data)
        return self._take(data)

    def finish(self) -> bool:
        """Whether all of it was text."""
        start = self._start or b""
        if self._start is not None:
            self._begin(start)
        return self._take(start, final=True)

    def _begin(self, start: bytes) -> None:
        self._start = None
        encoding = _encoding(start)
        self._decoder = codecs.getincrementaldecoder(encoding)() if encoding in {"utf-16", "utf-32"} else None

    def _take(self, data: bytes, final: bool = False) -> bool:
        if self._decoder is not None:
            try:
                data = self._decoder.decode(data, final).encode()
            except UnicodeDecodeError:
                return False
        return len(data.translate(None, _CONTROL)) == len(data)


def _encoding(start: bytes) -> str | None:
    return next((name for bom, name in _BOMS if start.startswith(bom)), None)


def _decoded(data: bytes) -> str:
    """``data`` as text: by its byte order mark, as UTF-8, or byte by byte."""
    encoding = _encoding(data)
    if encoding:
        return data.decode(encoding, "replace")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


_BEFORE = r"(?>\s+|<!--(?>.*?-->)|<\?xml(?>.*?\?>))*+"
_PAGE = r"(?P<page><!doctype\s+html\b|<html[\s>])"
_PIECE = r"(?P<piece><(?:head|body|script|iframe|frameset|title|meta|link|style|base)[\s/>])"
_DRAWING = r"(?P<drawing><!doctype\s+svg\b|<(?:svg:)?svg[\s>])"
_SCRIPT = r"(?P<php><\?(?:php\b|=))|(?P<script>#!\s*/)|(?P<batch>@echo\s+off\b)"
_OTHER = r"(?P<pdf>%PDF-\d)|(?P<rtf>\{\\rtf\d)|(?P<gif>GIF8[79]a)"
_NOUNS = {
    "page": "an HTML page",
    "piece": "an HTML page",
    "drawing": "an SVG drawing",
    "php": "a PHP script",
    "script": "a script",
    "batch": "a Windows script",
    "pdf": "a PDF",
    "rtf": "an RTF document",
    "gif": "a GIF image",
}
_FLAGS = re.IGNORECASE | re.DOTALL
_UNPLAIN = re.compile(f"{_BEFORE}(?:{_PAGE}|{_PIECE}|{_DRAWING}|{_SCRIPT}|{_OTHER})", _FLAGS)
# Markdown may begin with a piece of HTML, but not with a page.
_UNMARKED = re.compile(f"{_BEFORE}(?:{_PAGE}|{_SCRIPT}|{_OTHER})", _FLAGS)


def noun_of(head: bytes) -> str | None:
    """What a file is whose text says so itself: a page, a drawing, a script; None for any other text."""
    return _noun(_UNPLAIN, head)


def _noun(pattern: re.Pattern[str], head: bytes) -> str | None:
    found = pattern.match(_decoded(head[:_START]).lstrip("\ufeff"))
    return _NOUNS[found.lastgroup] if found and found.lastgroup else None


def plain(view: View) -> None:
    """Not what browsers or interpreters run."""
    if noun := _noun(_UNPLAIN, view.upto(0, _START)):
        raise Mismatch(noun)


def markdown(view: View) -> None:
    """The same, but pieces of HTML are part of Markdown."""
    if noun := _noun(_UNMARKED, view.upto(0, _START)):
        raise Mismatch(noun)


# All up to a field that begins with a quotation mark and does not end with one; what parts the fields is not told.
_CLOSED = re.compile(r'[^"]*+(?:(?:"(?<![^,;|\t\r\n]")[^"]*+(?:""[^"]*+)*+"|"(?<=[^,;|\t\r\n]"))[^"]*+)*+')


def csv_text(view: View) -> None:
    """RFC 4180, 2: a field that begins with a quotation mark ends with one. Else all the rest would be one field."""
    plain(view)
    size = view.end()
    if size > WHOLE:
        return
    text = _decoded(view.at(0, size)).lstrip("\ufeff")
    found = _CLOSED.match(text)
    closed = found[0] if found else ""
    if closed != text:
        raise Malformed(closed.count("\n") + 1, len(closed) - closed.rfind("\n"))


# What editors allow in JSON and the standard does not: comments, and a comma after the last value.
# A string without an end goes to that of the text, whatever is there: else one would be looked for from every quote on.
_QUOTED = r'"(?:\\.|[^"\\])*+(?:"|\\?\Z)'
_ASIDE = re.compile(_QUOTED + r"|//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_LAST_COMMA = re.compile(_QUOTED + r"|,(?=\s*[\]}])", re.DOTALL)
_BLANK = re.compile(r"\s*")


def json_text(view: View) -> None:
    """RFC 8259, one value or several in a row (JSON Lines). Comments, as editors allow them, are let be."""
    plain(view)
    size = view.end()
    if size > WHOLE:
        start = _decoded(view.at(0, _START)).lstrip("\ufeff \t\r\n")
        if start[:1] not in {*'{["-/tfn', *"0123456789"}:
            raise Malformed(1, 1)
        if start[:1] in {"{", "["} and not _ends(view, b"}]/"):
            raise CutOff
        return
    text = _decoded(view.at(0, size)).lstrip("\ufeff")
    try:
        _parse_json(text)
    except Malformed:
        # Not before: it takes longer than all the rest.
        bare = _LAST_COMMA.sub(_kept, _ASIDE.sub(_kept, text))
        if bare == text:
            raise
        _parse_json(bare)


def _ends(view: View, characters: bytes) -> bool:
    """Whether the last character that is no space is one of these; UTF-16 has a NUL beside each."""
    return view.at(view.end() - _TAIL, _TAIL).rstrip(b"\0 \t\r\n")[-1:] in {
        bytes([one]) for one in characters
    }


def _kept(found: re.Match[str]) -> str:
    return found[0] if found[0].startswith('"') else " "


def _parse_json(text: str) -> None:
    # Numbers of any length: Python's own integers refuse to be longer than 4,300 digits.
    decoder = json.JSONDecoder(parse_int=float)
    at = _after_blank(text, 0)
    try:
        while at < len(text):
            _, at = decoder.raw_decode(text, at)
            at = _after_blank(text, at)
    except json.JSONDecodeError as error:
        raise Malformed(error.lineno, error.colno) from None
    except RecursionError:
        raise Malformed(1, 1) from None


def _after_blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def xml(*roots: str) -> Structure:
    """A check for well-formed XML 1.0, with one of these root elements where they are given.

    Entities are never expanded. Harmful where one is made of others, is long, or comes from elsewhere.
    """

    def check(view: View) -> None:
        size = view.end()
        if not size:
            return
        try:
            found = _root(view.at(0, min(size, WHOLE)), final=size <= WHOLE)
        except Malformed:
            noun = noun_of(view.upto(0, _START))
            if noun and not (noun == _ROOT_NOUNS["svg"] and "svg" in roots):
                raise Mismatch(noun) from None
            raise
        if size > WHOLE and not _ends(view, b">"):
            raise CutOff
        if roots and found not in roots:
            raise Mismatch(_ROOT_NOUNS.get(found, "XML"))
        if not roots and found in _ROOT_NOUNS:
            raise Mismatch(_ROOT_NOUNS[found])

    return check


_ROOT_NOUNS = {"html": "an HTML page", "svg": "an SVG drawing"}


def _root(data: bytes, *, final: bool) -> str:
    """The local name of the root element, in lower case. Malformed or Harmful where the text is."""
    roots: list[str] = []
    parser = expat.ParserCreate()

    def start(name: str, attributes: dict[str, str]) -> None:
        roots.append(name)
        parser.StartElementHandler = None

    def entity(name: str, parameter: bool, value: str | None, *rest: Any) -> None:
        if value is None or parameter or len(value) > _ENTITY or _REFERENCE.search(value):
            raise Harmful
        # Without it expat would put the text of entities in place of their names.
        parser.DefaultHandler = lambda text: None

    parser.StartElementHandler = start
    parser.EntityDeclHandler = entity
    # A byte order mark may stand before the declaration, blank lines may not; yet many files have them.
    try:
        parser.Parse(data.lstrip(b" \t\r\n"), final)
    except expat.ExpatError as error:
        raise Malformed(error.lineno, error.offset + 1) from None
    except (ValueError, LookupError):
        # An encoding of several bytes that expat does not know.
        return ""
    return roots[0].rpartition(":")[2].lower() if roots else ""
