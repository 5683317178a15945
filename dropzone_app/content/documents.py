"""Documents that are neither archives nor plain text, and programs that hide under other names."""

from __future__ import annotations

from .texts import xml
from .view import CutOff, Mismatch, View

# Readers look for the header in this many bytes (ISO 32000-1, annex H, note 13) ...
PREAMBLE = 1024
# ... and for the end in as many; scanners and mailers pad it with more.
_TRAILER = 32 << 10

_MACH_O = (b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe")


def pdf(view: View) -> None:
    """ISO 32000-1, 7.5.5: a trailer, which says where the reader begins, stands at the end."""
    size = view.end()
    tail = view.upto(max(size - _TRAILER, 0), min(size, _TRAILER))
    if b"startxref" not in tail and b"%%EOF" not in tail:
        raise CutOff


_XML_PLIST = xml("plist")


def plist(view: View) -> None:
    """A property list of Apple: binary, XML, or the old form, which is only known by its braces."""
    head = view.upto(0, 6)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        _XML_PLIST(view)


def no_program(view: View) -> None:
    """A kind that is taken by its name is anything but a program."""
    if found := program(view):
        raise Mismatch(found)


def program(view: View) -> str | None:
    """The noun of a program of Linux, Windows or macOS; None for anything else."""
    start = view.upto(0, 4)
    if start == b"\x7fELF":
        return "a program"
    if start in _MACH_O:
        return "a macOS program"
    # Java's classes have the same mark, and a version where a program for several processors has their number.
    if start == b"\xca\xfe\xba\xbe" and 0 < int.from_bytes(view.upto(4, 4), "big") < 40:
        return "a macOS program"
    if start[:2] == b"MZ":
        try:
            (place,) = view.unpack("<I", 60)
            if view.at(place, 2) in {b"PE", b"NE", b"LE", b"LX"}:
                return "a Windows program"
        except CutOff:
            pass
    return None
