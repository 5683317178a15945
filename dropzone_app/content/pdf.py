"""Whether a PDF is inert: nothing in it runs, sends, starts or brings along anything, however a viewer reads it.

Which objects of a PDF count is told by tables, offsets and lengths, and where those are wrong each viewer mends them in
its own way. So none of them is believed. Whatever acts has a name (ISO 32000-1, 12.6), and a name stands in the file as
it is or inside an object stream (7.5.7): every byte is searched, and every object stream is inflated. A file whose
object streams are packed in any way but the usual one is not called inert.
"""

from __future__ import annotations

import mmap
import os
import re
import zlib
from collections.abc import Iterator
from typing import IO

# Searching a MiB takes some 3 ms, ...
_LARGEST = 64 << 20
# ... and other threads wait while such a piece is. Pieces overlap by more than is looked at of a name.
_PIECE, _OVERLAP = 1 << 20, 128
# All that the object streams of a file may hold, and how many there may be.
_INFLATED, _STREAMS = 16 << 20, 10_000
# Names with a ``#``, and keys that tell how a stream is packed; bytes that are read behind such a key, and all of them.
_ESCAPED, _KEYS, _AHEAD, _AHEAD_OF_ALL = 50_000, 50_000, 64 << 10, 8 << 20
# Keys that may be short ones: each costs a look at some hundred bytes.
_SHORTS = 500_000

_ACTS, _STREAM, _FIRST, _PARAMETERS, _SHORT = range(5)
_NAMES: dict[bytes, int] = {
    # Actions that do more than turn a page or name an address, and what holds them.
    **dict.fromkeys((b"JS", b"JavaScript", b"AA", b"Launch", b"SubmitForm", b"ImportData"), _ACTS),
    **dict.fromkeys((b"Named", b"Rendition", b"GoToE", b"XFA", b"OnInstantiate"), _ACTS),
    # What is hidden, or brought along.
    **dict.fromkeys((b"Encrypt", b"RichMedia", b"EmbeddedFile", b"EmbeddedFiles"), _ACTS),
    b"ObjStm": _STREAM,
    b"First": _FIRST,
    b"DecodeParms": _PARAMETERS,
    # Short forms of that and of Filter (8.9.7), which pdf.js knows for all streams, and believes first.
    b"DP": _PARAMETERS,
    b"F": _SHORT,
}
_BLANK = rb"[\0\t\n\f\r ]"
# To PDFium the last two are blanks.
_ENDS = rb"\0\t\n\f\r ()<>\[\]{}/%\x80\xff"
_END = rb"(?=[%b]|\Z)" % _ENDS
_NAME = re.compile(
    rb"/(?:(?P<plain>%b)%b|(?P<escaped>[^#%b]{0,15}+\#[^%b]{1,45}+))"
    % (b"|".join(sorted(_NAMES, reverse=True)), _END, _ENDS, _ENDS)
)
_ESCAPE = re.compile(rb"#([0-9A-Fa-f]{2})")
# Of all actions, viewers do only scripts and these unasked when they open a file: most turn a page, one prints.
_TURNS_PAGE = re.compile(rb"~*+/N~*+/(?!Print)[A-Za-z]++~*+>>".replace(b"~", _BLANK))
# Behind a key that may be short for Filter: a name of one, a list, or the number of an object, and not a file's string
# or flags. A comment may stand between; what is longer than anybody writes is not read, but taken for one of these.
_VALUE = rb"(?:/[ABCDFJLR#]|\[~{0,99}+[/%%0-9+.%b-]|[0-9Ee+.-]{1,99}+~{0,99}+[0-9Ee+.%%%b-])" % (
    *(b"\0\t\n\f\r ",) * 2,
)
_FILTER = re.compile(
    rb"~*+(?:%b|%%[^\r\n]{500}|%%[^\r\n]*+[\r\n]~{0,99}+(?:%b|%%|~))".replace(b"~", _BLANK)
    % (_VALUE.replace(b"~", _BLANK), _VALUE.replace(b"~", _BLANK))
)
#: As outlines have it; in an object stream it is a number, but to pdf.js that may stand elsewhere.
_FIRST_ITEM = re.compile(rb"%b++[0-9]++%b++[0-9]++%b++R%b" % (_BLANK, _BLANK, _BLANK, _END))
#: The dictionary of an object stream in which nothing can deceive, up to its data.
_PLAIN_STREAM = re.compile(
    rb"""<<(?: ~*+
        (?: /Type ~*+ /ObjStm
          | /(?:N|First|Length|DL|Extends) ~++ [0-9]++ (?: ~++ [0-9]++ ~++ R )?+
          | (?P<filter> /Filter ~*+ (?: /FlateDecode | \[ ~*+ /FlateDecode ~*+ \]) )
        ) (?= [/>] | ~ )
    )*+ ~*+ >> (?P<end>) ~*+ stream\r?\n""".replace(b"~", _BLANK),
    re.VERBOSE,
)
_TEXT = rb"[^()\\]++|\\."
_STRING = rb"\((?:%b|\((?:%b|\((?:%b)*+\))*+\))*+\)" % (_TEXT, _TEXT, _TEXT)
#: The next bracket of a dictionary, past comments, strings and all else.
_BRACKET = re.compile(rb"(?:[^<>(%%]++|%%[^\r\n]*+|%b|<(?!<)[^>]*+>)*+(<<|>>)" % _STRING, re.DOTALL)
_DATA = re.compile(rb"(?:[\0\t\n\f\r \x80\xff]|%%[^\r\n]*+)*+stream%b" % _END)


class _Doubt(Exception):
    """Something cannot be told for sure."""


def is_inert(file: IO[bytes]) -> bool:
    """Whether all that a viewer can do with this PDF is to show it; one that is not larger lies on the disk.

    False too where that is not sure, and for a file of more than 64 MiB.
    """
    size = file.seek(0, os.SEEK_END)
    if not 0 < size <= _LARGEST:
        return False
    with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as data:
        try:
            for content in _object_streams(data):
                if any(kind == _STREAM for kind, _ in _marks(content)):
                    return False
        except (_Doubt, zlib.error):
            return False
    return True


def _object_streams(data: mmap.mmap) -> Iterator[bytearray]:
    """What is in the object streams. _Doubt where something outside of them acts, or that is not all there is."""
    streams: dict[int, int] = {}
    parameters: set[int] = set()
    items: set[int] = set()
    short = _SHORTS
    end = 0
    for kind, name in _marks(data):
        if kind == _SHORT:
            short -= 1
            if _FILTER.match(data, name.end()):
                parameters.add(name.end())
        elif kind == _PARAMETERS:
            parameters.add(name.end())
        elif kind == _FIRST and _FIRST_ITEM.match(data, name.end()):
            items.add(name.end())
        elif name.start() >= end:
            # Every other key up to its end is of the same dictionary.
            end, start = _plain_stream(data, name.start())
            streams[end] = start
        if len(streams) > _STREAMS or len(parameters) + len(items) > _KEYS or short < 0:
            raise _Doubt
    ahead = _AHEAD_OF_ALL
    for at in items | parameters if streams else items:
        outer = _end_of_dictionary(data, at)
        ahead -= outer - at
        if ahead < 0 or outer in streams or (at in items and _DATA.match(data, outer)):
            raise _Doubt
    left = _INFLATED
    for start in streams.values():
        content = _inflated(data, start, left)
        left -= len(content)
        yield content


def _marks(data: mmap.mmap | bytearray) -> Iterator[tuple[int, re.Match[bytes]]]:
    """The names that matter, and where they stand. _Doubt where one is of what acts."""
    escaped = _ESCAPED
    for start in range(0, len(data), _PIECE):
        end = start + _PIECE
        for name in _NAME.finditer(data, start, end + _OVERLAP):
            if name.start() >= end:
                break
            if name["plain"]:
                kind = _NAMES[name["plain"]]
                if kind != _ACTS:
                    yield kind, name
                elif not (name["plain"] == b"Named" and _TURNS_PAGE.match(data, name.end())):
                    raise _Doubt
                continue
            escaped -= 1
            if escaped < 0 or _decoded(name["escaped"]) in _NAMES:
                # Nobody has to write one of these so.
                raise _Doubt


def _decoded(name: bytes) -> bytes:
    """A name with bytes in hexadecimal (7.3.5)."""
    return _ESCAPE.sub(lambda escape: bytes.fromhex(escape[1].decode()), name)


def _plain_stream(data: mmap.mmap, at: int) -> tuple[int, int]:
    """Of the object stream with a key at ``at``: where its dictionary ends, and its data begin."""
    begin = data.rfind(b"<<", max(at - _AHEAD, 0), at)
    match = _PLAIN_STREAM.match(data, begin) if begin >= 0 else None
    if match is None or match.start("end") < at or not match["filter"]:
        raise _Doubt
    return match.start("end"), match.end()


def _end_of_dictionary(data: mmap.mmap, at: int) -> int:
    """Where the dictionary ends that has a key at ``at``: that is the same wherever a viewer took it to begin."""
    depth, limit = 1, at + _AHEAD
    while bracket := _BRACKET.match(data, at, limit):
        at = bracket.end()
        depth += 1 if bracket[1] == b"<<" else -1
        if not depth:
            return at
        if bracket[1] == b">>" and _DATA.match(data, at, limit):
            # No stream can be inside a dictionary, but some viewers see one there.
            break
    raise _Doubt


def _inflated(data: mmap.mmap, at: int, limit: int) -> bytearray:
    inflate, content = zlib.decompressobj(), bytearray()
    while not inflate.eof:
        piece = data[at : at + (16 << 10)]
        content += inflate.decompress(piece, limit + 1 - len(content))
        if not piece or len(content) > limit:
            raise _Doubt
        at += len(piece)
    return content
