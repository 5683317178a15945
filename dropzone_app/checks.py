"""The rules a part must meet. Pure: no disk, no Flask.

:class:`Screening` applies the rules of an upload set to one part while its bytes pass, so that a refused
part costs no disk and no waiting.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .config import Size, told_apart
from .errors import Rejected
from .kinds import HEAD, Kind, found_in, kind_of, names_of
from .naming import extension_of

#: Names that a refusal lists before it says "and 20 more kinds".
LISTED = 12


@dataclass(frozen=True)
class Rules:
    """What one upload set accepts, in one app: its declaration and the settings together."""

    #: Extensions in lower case; None accepts every one that is not denied.
    extensions: tuple[str, ...] | None
    max_file_size: Size
    max_files: int | None
    max_parts: int
    max_total_size: Size | None
    denied: tuple[str, ...] = ()

    def allows(self, extension: str) -> bool:
        """Whether a file with this extension may be one of the set."""
        return extension not in self.denied and (self.extensions is None or extension in self.extensions)

    def _kinds(self, limit: int) -> str:
        if self.extensions is not None:
            return listed(names_of(self.extensions), limit) or "none"
        return "files of every kind" + (
            f" but {listed(names_of(self.denied), LISTED)}" if self.denied else ""
        )

    @property
    def max_form_parts(self) -> int:
        """Parts and fields of one request: a file may bring uuid, size, sha256 and path with it."""
        return 5 * self.max_parts + 20

    @property
    def accepted(self) -> str:
        """The kinds as a sentence lists them: ``JPEG, PNG, GIF and 20 more kinds``."""
        return self._kinds(LISTED)

    @property
    def accept(self) -> str:
        """The ``accept`` attribute of a file input: ``.jpg,.jpeg,.png``.

        Only extensions: browsers on Windows and Android know no media type for many kinds.
        """
        return ",".join(f".{extension}" for extension in self.extensions or ())

    @property
    def sentence(self) -> str:
        """What the zone says under itself: ``JPEG, PNG, GIF and 20 more kinds, up to 5 GB each.``"""
        kinds = self._kinds(3)
        limits = [f"up to {self.max_file_size} each"]
        if self.max_files:
            limits.append(f"{self.max_files} at a time")
        return f"{kinds[:1].upper()}{kinds[1:]}, {', '.join(limits)}."


def listed(names: Sequence[str], limit: int) -> str:
    """``A, B, C`` or, past ``limit``, ``A, B and 3 more kinds``; a remainder of one is just named."""
    if len(names) <= limit + 1:
        return ", ".join(names)
    return f"{', '.join(names[:limit])} and {len(names) - limit} more kinds"


class Screening:
    """One part's way through the rules: :meth:`feed` its bytes, :meth:`finish`, read :attr:`rejected`."""

    def __init__(self, rules: Rules, filename: str) -> None:
        self.size = 0
        self.head = b""
        self.rejected: Rejected | None = None
        self._rules = rules
        self._extension = extension_of(filename)
        self._kind: Kind | None = None
        self._text: TextProbe | None = None
        try:
            check_name(rules, filename)
        except Rejected as rejected:
            self.rejected = rejected
        else:
            self._kind = kind_of(self._extension) if self._extension else None
            self._text = TextProbe() if self._kind and self._kind.text else None

    def feed(self, data: bytes) -> bool:
        """Take the next bytes of the part; whether anyone still wants them."""
        self.size += len(data)
        if self.rejected is None:
            try:
                self._look_at(data)
            except Rejected as rejected:
                self.rejected = rejected
        return self.rejected is None

    def finish(self) -> Rejected | None:
        """All bytes were there: the refusal, if there is one."""
        if self.size > self._rules.max_file_size and self._named():
            # Only now the true size is known.
            self.rejected = self._too_large()
        elif self.rejected is None:
            try:
                if self._kind and len(self.head) < HEAD:
                    self._check_head(self._kind)
                if self._text and not self._text.finish():
                    raise Rejected.because("not_text", extension=self._extension)
            except Rejected as rejected:
                self.rejected = rejected
        return self.rejected

    def _too_large(self) -> Rejected:
        return _too_large(self._rules, self.size)

    def _named(self) -> bool:
        """Whether the name was good: a wrong kind is the better reason to give than the size."""
        return self.rejected is None or self.rejected.code == "too_large"

    def _look_at(self, data: bytes) -> None:
        if self.size > self._rules.max_file_size:
            raise self._too_large()
        if len(self.head) < HEAD:
            self.head += data[: HEAD - len(self.head)]
            if self._kind and len(self.head) == HEAD:
                self._check_head(self._kind)
        if self._text and not self._text.feed(data):
            raise self._wrong_content()

    def _check_head(self, kind: Kind) -> None:
        if not kind.signatures:
            return
        if not self.head:
            raise Rejected.because("empty_file", kind=kind.name)
        if not kind.matches(self.head):
            raise self._wrong_content()

    def _wrong_content(self) -> Rejected:
        assert self._kind
        found = found_in(self.head)
        if found and found != self._kind.noun:
            return Rejected.because(
                "other_kind", extension=self._extension, kind=self._kind.noun, found=found
            )
        code = "not_text" if self._text else "not_the_kind"
        return Rejected.because(code, extension=self._extension, kind=self._kind.noun)


def check_name(rules: Rules, filename: str) -> None:
    """Raise Rejected unless ``filename`` is usable and its extension accepted."""
    if not filename:
        raise Rejected.because("empty_name")
    extension = extension_of(filename)
    if not rules.allows(extension):
        if not extension:
            raise Rejected.because("no_extension", accepted=rules.accepted)
        raise Rejected.because("extension", extension=extension[:20], accepted=rules.accepted)


def check_announced(rules: Rules, filename: str, size: int) -> None:
    """Raise Rejected for what is told of a file before any of its bytes: its name and its size."""
    check_name(rules, filename)
    if size > rules.max_file_size:
        raise _too_large(rules, size)
    if size == 0 and (kind := kind_of(extension_of(filename))).signatures:
        raise Rejected.because("empty_file", kind=kind.name)
    check_counts(rules, [size])


def _too_large(rules: Rules, size: int) -> Rejected:
    told, limit = told_apart(size, rules.max_file_size)
    return Rejected.because("too_large", size=told, limit=limit)


def check_uuid(field: str, value: str) -> None:
    """Raise Rejected unless ``value`` can be the id that a client gives a file."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
        raise Rejected.because(
            "bad_field", field=field, expected="up to 64 letters, digits, dashes or underscores"
        )


def check_sha256(field: str, value: str) -> None:
    """Raise Rejected unless ``value`` is a SHA-256 in hexadecimal digits."""
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", value):
        raise Rejected.because("bad_field", field=field, expected="64 hexadecimal digits")


def check_counts(rules: Rules, sizes: Iterable[int]) -> None:
    """Raise Rejected when the parts of one request are too many or too much together."""
    sizes = list(sizes)
    if rules.max_files and len(sizes) > rules.max_files:
        raise Rejected.because("too_many_files", limit=rules.max_files)
    if len(sizes) > rules.max_parts:
        raise Rejected.because("too_many_parts", limit=rules.max_parts)
    if rules.max_total_size and sum(sizes) > rules.max_total_size:
        raise Rejected.because("total_too_large", limit=rules.max_total_size)


# What no text has: C0 without tab, line feed, vertical tab, form feed, carriage return and escape.
_CONTROL = bytes([*range(0x09), *range(0x0E, 0x1B), *range(0x1C, 0x20)])
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
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
        encoding = next((name for bom, name in _BOMS if start.startswith(bom)), None)
        self._decoder = codecs.getincrementaldecoder(encoding)() if encoding else None

    def _take(self, data: bytes, final: bool = False) -> bool:
        if self._decoder is not None:
            try:
                data = self._decoder.decode(data, final).encode()
            except UnicodeDecodeError:
                return False
        return len(data.translate(None, _CONTROL)) == len(data)
