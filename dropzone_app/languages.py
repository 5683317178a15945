"""Languages: all that is said in one of them stands in one file, ``static/js/languages/<tag>.js``, for page and server.

English stands where it is meant: the server's sentences in :data:`errors.MESSAGES`, words that go into them as
:class:`Phrase`; its file has only what the page says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

#: Everything is said in it; what another language lacks is said in it too.
ENGLISH = "en"

_PACKAGE = Path(__file__).parent
_STATIC = (_PACKAGE if (_PACKAGE / "static").is_dir() else _PACKAGE.parent) / "static"
_FOLDER = _STATIC / "js" / "languages"


@dataclass(frozen=True)
class Language:
    """One language; ``language`` is its tag (BCP 47)."""

    language: str
    #: The page's words, for templates and scripts.
    words: Mapping[str, str]
    #: What only the browser can see.
    sentences: Mapping[str, str]
    #: The rows of :data:`errors.MESSAGES`.
    server: Mapping[str, str] = field(default_factory=dict)
    #: English → this language: what the server puts into its sentences.
    phrases: Mapping[str, str] = field(default_factory=dict)


@cache
def languages() -> dict[str, Language]:
    """Every language there is a file of, English first."""
    found = (_read(path) for path in sorted(_FOLDER.glob("*.js")))
    return {one.language: one for one in sorted(found, key=lambda one: one.language != ENGLISH)}


def _read(path: Path) -> Language:
    # A module of the browser's, whose only value is JSON.
    text = path.read_text(encoding="utf-8").strip()
    return Language(**json.loads(text.removeprefix("export default").removesuffix(";")))


def word(language: str, code: str, **values: object) -> str:
    """A word of the page. KeyError for a code that no language has."""
    here = languages()[language].words
    return _filled(here.get(code) or languages()[ENGLISH].words[code], values, language)


class Phrase(str):
    """Words that go into a sentence: a text in English, which :meth:`told` says in another language.

    ``Phrase("{n} more kinds", n=3)``: the template is what is looked up, its values are told too.
    """

    _template: str
    _values: Mapping[str, object]

    def __new__(cls, template: str, **values: object) -> Phrase:
        made = super().__new__(cls, _filled(template, values, ENGLISH))
        made._template, made._values = template, values
        return made

    def told(self, language: str) -> str:
        """The phrase in ``language``; in English where that has none."""
        template = languages()[language].phrases.get(self._template, self._template)
        return _filled(template, self._values, language)

    def __reduce__(self) -> Any:
        return _again, (self._template, dict(self._values))


def _again(template: str, values: dict[str, object]) -> Phrase:
    return Phrase(template, **values)


def phrase(text: str) -> Phrase:
    """A text as a phrase: one that is fixed, or a phrase already."""
    return text if isinstance(text, Phrase) else Phrase(text)


def told(value: object, language: str) -> str:
    """A value as it is said: a phrase or a size in ``language``, several of them as a list, all else as it stands."""
    if isinstance(value, tuple):
        return (
            languages()[language].phrases.get(", ", ", ").join(told(one, language).strip() for one in value)
        )
    say = getattr(value, "told", None)
    return str(say(language)) if say else str(value)


def capital(text: str) -> str:
    """A text as it begins a line."""
    return text[:1].upper() + text[1:]


def _filled(template: str, values: Mapping[str, object], language: str) -> str:
    # One without values may be a name, with braces of its own.
    return (
        template.format(**{name: told(value, language) for name, value in values.items()})
        if values
        else template
    )
