"""The rules a part must meet. Pure: no disk, no Flask.

:class:`Screening` applies the rules of an upload set to one part while its bytes pass, so that a refused
part costs no disk and no waiting.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from .config import Size, told_apart
from .content import (
    CutOff,
    Harmful,
    Malformed,
    Mismatch,
    More,
    Opener,
    Pixels,
    View,
    libmagic,
)
from .content.texts import TextProbe
from .errors import Rejected
from .kinds import HEAD, Kind, found_in, kind_of, names_of, noun_of_type
from .languages import Phrase, phrase
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
    #: Of one picture.
    max_pixels: int | None = None
    denied: tuple[str, ...] = ()

    def allows(self, extension: str) -> bool:
        """Whether a file with this extension may be one of the set."""
        return extension not in self.denied and (self.extensions is None or extension in self.extensions)

    def _kinds(self, limit: int, *, begins: bool = False) -> Phrase:
        if self.extensions is not None:
            return listed(names_of(self.extensions), limit) or Phrase("none")
        if self.denied:
            names = listed(names_of(self.denied), LISTED)
            if begins:
                return Phrase("Files of every kind but {kinds}", kinds=names)
            return Phrase("files of every kind but {kinds}", kinds=names)
        return Phrase("Files of every kind") if begins else Phrase("files of every kind")

    @property
    def max_form_parts(self) -> int:
        """Parts and fields of one request: a file may bring uuid, size, sha256 and path with it."""
        return 5 * self.max_parts + 20

    @property
    def accepted(self) -> Phrase:
        """The kinds as a sentence lists them: ``JPEG, PNG, GIF and 20 more kinds``."""
        return self._kinds(LISTED)

    @property
    def accept(self) -> str:
        """The ``accept`` attribute of a file input: ``.jpg,.jpeg,.png``.

        Only extensions: browsers on Windows and Android know no media type for many kinds.
        """
        return ",".join(f".{extension}" for extension in self.extensions or ())

    @property
    def sentence(self) -> Phrase:
        """What the zone says under itself: ``JPEG, PNG, GIF and 20 more kinds, up to 5 GB each.``"""
        limits = {"kinds": self._kinds(3, begins=True), "size": self.max_file_size}
        if self.max_files:
            return Phrase("{kinds}, up to {size} each, {n} at a time.", **limits, n=self.max_files)
        return Phrase("{kinds}, up to {size} each.", **limits)


def listed(names: Sequence[Phrase], limit: int) -> Phrase:
    """``A, B, C`` or, past ``limit``, ``A, B and 3 more kinds``; a remainder of one is just named."""
    if len(names) <= limit + 1:
        return Phrase("{names}", names=tuple(names))
    return Phrase("{names} and {n} more kinds", names=tuple(names[:limit]), n=len(names) - limit)


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
        #: Whether the structure is still to be looked at.
        self._open = False
        try:
            check_name(rules, filename)
        except Rejected as rejected:
            self.rejected = rejected
        else:
            self._kind = kind_of(self._extension)
            self._open = True
            self._text = TextProbe() if self._kind.text else None

    def feed(self, data: bytes) -> bool:
        """Take the next bytes of the part; whether anyone still wants them."""
        self.size += len(data)
        if self.rejected is None:
            try:
                self._look_at(data)
            except Rejected as rejected:
                self.rejected = rejected
        return self.rejected is None

    @property
    def wants_all(self) -> bool:
        """Whether each byte is looked at, and not only the first ones."""
        return self._text is not None

    def skip(self, size: int) -> None:
        """Take so many bytes for seen."""
        self.size += size

    def finish(self, opener: Opener) -> Rejected | None:
        """All bytes were there: the refusal, if there is one. ``opener`` is called where more than the head must tell.

        OSError where the bytes cannot be read again.
        """
        if self.size > self._rules.max_file_size and self._named():
            # Only now the true size is known.
            self.rejected = _too_large(self._rules, self.size)
        elif self.rejected is None:
            try:
                self._look_at_all(opener)
            except Rejected as rejected:
                self.rejected = rejected
        return self.rejected

    def _named(self) -> bool:
        """Whether the name was good: a wrong kind is the better reason to give than the size."""
        return self.rejected is None or self.rejected.code == "too_large"

    def _look_at(self, data: bytes) -> None:
        if self.size > self._rules.max_file_size:
            raise _too_large(self._rules, self.size)
        if len(self.head) < HEAD:
            self.head += data[: HEAD - len(self.head)]
            if self._kind and len(self.head) == HEAD:
                self._check_head(self._kind)
                self._check_structure(self._kind, View(self.head))
        if self._text and not self._text.feed(data):
            raise self._wrong_content()

    def _look_at_all(self, opener: Opener) -> None:
        kind = self._kind
        assert kind
        if len(self.head) < HEAD:
            self._check_head(kind)
        if self._text and not self._text.finish():
            raise Rejected.because("not_text", extension=self._extension)
        if self._open and self.size:
            if len(self.head) == self.size:
                self._check_structure(kind, View(self.head, self.size))
            else:
                with opener() as file:
                    self._check_structure(kind, View(self.head, self.size, file))

    def _check_head(self, kind: Kind) -> None:
        if not self.head and not kind.may_be_empty:
            raise Rejected.because("empty_file", kind=phrase(kind.name))
        if not kind.matches(self.head):
            raise self._wrong_content()

    def _check_structure(self, kind: Kind, view: View) -> None:
        """What ``view`` tells; if that is not all, the structure stays open until the part is complete."""
        if not self._open or kind.check is None:
            self._open = False
            return
        named = {"extension": self._extension, "kind": phrase(kind.noun)}
        try:
            pixels = kind.check(view)
        except More:
            return
        except Mismatch as wrong:
            raise self._wrong_content(wrong.found) from None
        except CutOff:
            raise Rejected.because("cut_off", **named) from None
        except Malformed as wrong:
            raise Rejected.because("bad_syntax", **named, line=wrong.line, column=wrong.column) from None
        except Harmful:
            raise Rejected.because("harmful_entities") from None
        self._open = False
        limit = self._rules.max_pixels
        if pixels and limit and pixels.total > limit:
            raise _too_many_pixels(pixels, limit)

    def _wrong_content(self, found: str | None = None) -> Rejected:
        assert self._kind
        found = found or found_in(self.head)
        if found is None and (media_type := libmagic.type_of(self.head)):
            found = noun_of_type(media_type)
        named = {"extension": self._extension, "kind": phrase(self._kind.noun)}
        if found and found != self._kind.noun:
            return Rejected.because("other_kind", **named, found=phrase(found))
        return Rejected.because("not_text" if self._text else "not_the_kind", **named)


def _too_many_pixels(pixels: Pixels, limit: int) -> Rejected:
    size = Phrase("{width} × {height} pixels", width=f"{pixels.width:,}", height=f"{pixels.height:,}")
    # With all six decimals where the two would read the same: "100 megapixels; the limit is 100 megapixels".
    decimals = 1 if _mega(pixels.total, 1) != _mega(limit, 1) else 6
    megapixels, most = _mega(pixels.total, decimals), _mega(limit, decimals)
    return Rejected.because("too_many_pixels", size=size, megapixels=megapixels, limit=most)


def _mega(pixels: int, decimals: int) -> str:
    return f"{Decimal(pixels) / 1_000_000:,.{decimals}f}".rstrip("0").removesuffix(".")


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
    if size == 0 and not (kind := kind_of(extension_of(filename))).may_be_empty:
        raise Rejected.because("empty_file", kind=phrase(kind.name))
    check_counts(rules, [size])


def _too_large(rules: Rules, size: int) -> Rejected:
    told, limit = told_apart(size, rules.max_file_size)
    return Rejected.because("too_large", size=told, limit=limit)


def check_uuid(field: str, value: str) -> None:
    """Raise Rejected unless ``value`` can be the id that a client gives a file."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
        expected = Phrase("up to 64 letters, digits, dashes or underscores")
        raise Rejected.because("bad_field", field=field, expected=expected)


def check_sha256(field: str, value: str) -> None:
    """Raise Rejected unless ``value`` is a SHA-256 in hexadecimal digits."""
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", value):
        raise Rejected.because("bad_field", field=field, expected=Phrase("64 hexadecimal digits"))


def check_counts(rules: Rules, sizes: Iterable[int]) -> None:
    """Raise Rejected when the parts of one request are too many or too much together.

    ``sizes``: 0 for a part that is refused by itself.
    """
    sizes = list(sizes)
    if rules.max_files and len(sizes) > rules.max_files:
        raise Rejected.because("too_many_files", limit=rules.max_files)
    if len(sizes) > rules.max_parts:
        raise Rejected.because("too_many_parts", limit=rules.max_parts)
    if rules.max_total_size and sum(sizes) > rules.max_total_size:
        raise Rejected.because("total_too_large", limit=rules.max_total_size)
