"""Every setting once: its default, its unit, and why.

Ours begin with ``UPLOADS_``; Flask's, Flask-WTF's and Flask-Dropzone's keep their documented meaning.
Sizes are bytes, as a number or as ``"10 MB"`` (1000-based; ``"10 MiB"`` is 1024-based).
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from .languages import Phrase, languages

_T = TypeVar("_T")


class SettingError(ValueError):
    """A setting that cannot be used. The sentence names the setting and what it takes."""


class Size(int):
    """A number of bytes that is shown as people read it: ``str(Size(12_100_000)) == "12.1 MB"``."""

    def __str__(self) -> str:
        if self < 1000:
            return _in_bytes(self)
        # Rounding comes first: 999,999 bytes are 1 MB, not 1000 KB.
        power = next((power for power in range(1, 5) if round(self / 1000**power) < 1000), 5)
        value = self / 1000**power
        digits = f"{value:.0f}" if value >= 99.95 else f"{value:.1f}".removesuffix(".0")
        return f"{digits} {'KMGTP'[power - 1]}B"

    def told(self, language: str) -> str:
        """The same in ``language``."""
        return str(self) if self >= 1000 else _in_bytes(self).told(language)


def _in_bytes(size: int) -> Phrase:
    return Phrase("1 byte") if size == 1 else Phrase("{n} bytes", n=f"{int(size):,}")


def told_apart(one: int, other: int) -> tuple[Size | Phrase, Size | Phrase]:
    """Two sizes for one sentence: in bytes where they differ and would read the same ("10 MB; the limit is 10 MB")."""
    if one != other and str(Size(one)) == str(Size(other)):
        return _in_bytes(one), _in_bytes(other)
    return Size(one), Size(other)


class Window(NamedTuple):
    """So much in so many seconds; None is any number."""

    seconds: int
    bytes: Size | None = None
    files: int | None = None


#: Seconds of each unit, one of it, and several.
_SPANS: dict[str, tuple[int, Phrase, Callable[[int], Phrase]]] = {
    "day": (86_400, Phrase("1 day"), lambda n: Phrase("{n} days", n=n)),
    "hour": (3600, Phrase("1 hour"), lambda n: Phrase("{n} hours", n=n)),
    "minute": (60, Phrase("1 minute"), lambda n: Phrase("{n} minutes", n=n)),
    "second": (1, Phrase("1 second"), lambda n: Phrase("{n} seconds", n=n)),
}


def span(seconds: int, *, about: bool = False) -> Phrase:
    """A time as people say it: "90 minutes"; ``about``: what is long a little longer, "5 hours"."""
    if about:
        least = next((length for length, *_ in _SPANS.values() if seconds > 3 * length), 1)
        seconds = -(-seconds // least) * least
    length, one, many = next(unit for unit in _SPANS.values() if seconds % unit[0] == 0)
    return one if seconds == length else many(seconds // length)


_UNITS = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGTP", start=1):
    _UNITS |= {_letter: 1000**_power, f"{_letter}B": 1000**_power, f"{_letter}IB": 1024**_power}


def parse_size(setting: str, value: object) -> Size:
    """Bytes from ``10485760``, ``"10 MB"``, ``"10 MiB"`` or ``"0.5 GB"``; SettingError names ``setting``."""
    match = (
        re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*([A-Za-z]*)\s*", str(value), re.ASCII)
        if isinstance(value, int | float | str) and not isinstance(value, bool)
        else None
    )
    unit = _UNITS.get(match[2].upper()) if match else None
    # Decimal: a float does not tell the bytes of 9 PB apart.
    size = Decimal(match[1]) * unit if match and unit else Decimal(0)
    # Half a byte is a mistake: who writes 1.5 means megabytes.
    if size < 1 or (unit == 1 and size % 1):
        raise SettingError(
            f"{setting} must be a size such as 10485760 or '10 MB', and more than nothing; it is {value!r}."
        )
    return Size(size)


def parse_flag(setting: str, value: object) -> bool:
    """A bool from true, yes, on, 1 and their opposites, in any case; SettingError names ``setting``."""
    word = str(value).strip().lower()
    if word in {"true", "yes", "on", "1"}:
        return True
    if word in {"false", "no", "off", "0"}:
        return False
    raise SettingError(f"{setting} must be true or false; it is {value!r}.")


def parse_count(setting: str, value: object) -> int:
    """A whole number of at least 1; SettingError names ``setting``."""
    if isinstance(value, bool) or not re.fullmatch(r"\s*[1-9]\d{0,8}\s*", str(value), re.ASCII):
        raise SettingError(f"{setting} must be a whole number of at least 1; it is {value!r}.")
    return int(str(value))


def parse_minutes(setting: str, value: object) -> int:
    """Minutes for which a signed address is good, a week at most; SettingError names ``setting``."""
    minutes = parse_count(setting, value)
    if minutes > 7 * 24 * 60:
        raise SettingError(f"{setting} must be 10080, a week, at most; it is {value!r}.")
    return minutes


def parse_window(setting: str, value: object) -> Window:
    """What ``"1 GB per day"``, ``"500 files per hour"`` or ``"1 GB and 500 files per 2 hours"`` say; SettingError names
    ``setting``."""
    amounts, _, period = str(value).strip().lower().partition(" per ")
    match = re.fullmatch(rf"(?:([1-9]\d{{0,5}}) )?({'|'.join(_SPANS)})s?", period, re.ASCII)
    sizes, counts = [], []
    for amount in re.split(r"\s*,\s*|\s+and\s+", amounts) if match else ():
        count = re.fullmatch(r"([1-9]\d{0,8}) files?", amount, re.ASCII)
        if count:
            counts.append(int(count[1]))
        else:
            sizes.append(parse_size(setting, amount))
    if not match or len(sizes) > 1 or len(counts) > 1:
        raise SettingError(
            f"{setting} must be so much in a while, such as '1 GB per day' or '1 GB and 500 files per hour'; "
            f"it is {value!r}."
        )
    seconds = int(match[1] or 1) * _SPANS[match[2]][0]
    return Window(seconds, sizes[0] if sizes else None, counts[0] if counts else None)


def parse_rate(setting: str, value: object) -> Size | None:
    """Bytes a second, None for 0 or "none"; SettingError names ``setting``."""
    return None if str(value).strip().lower() in {"0", "none"} else parse_size(setting, value)


def parse_extensions(setting: str, value: object) -> tuple[str, ...]:
    """Extensions in lower case without the dot, from ``"png, jpg"`` or any iterable of them."""
    words = re.split(r"[\s,]+", value.strip()) if isinstance(value, str) else value
    try:
        found = dict.fromkeys(word.strip().lstrip(".").lower() for word in words)  # type: ignore[attr-defined]
    except (TypeError, AttributeError):
        found = {}
    if not found or not all(re.fullmatch(r"\w[\w+-]{0,15}", word) for word in found):
        raise SettingError(f"{setting} must be extensions such as 'png,jpg,pdf'; it is {value!r}.")
    return tuple(found)


def parse_folder(setting: str, value: object) -> str:
    """An absolute path from any path; SettingError names ``setting``."""
    path = str(os.fspath(value)) if isinstance(value, str | os.PathLike) else ""
    if not path or "\0" in path:
        raise SettingError(f"{setting} must be a folder; it is {value!r}.")
    # Flask serves relative folders from beside the app's module, and files are written from where it was started.
    return os.path.abspath(path)


def parse_location(setting: str, value: object) -> str:
    """A path with a slash at both ends, as ``location`` of nginx has it; SettingError names ``setting``."""
    if not isinstance(value, str) or not re.fullmatch(r"/(?:(?!\.\.?/)[\w.~-]+/)+", value, re.ASCII):
        raise SettingError(f"{setting} must be a path such as '/protected/'; it is {value!r}.")
    return value


def parse_header(setting: str, value: object) -> str:
    """The name of a header; SettingError names ``setting``."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,63}", value):
        raise SettingError(f"{setting} must be the name of a header such as 'X-Request-ID'; it is {value!r}.")
    return value


def parse_code(setting: str, value: object) -> str:
    """An access code that is not guessed in a day; SettingError names ``setting``, and never tells the code."""
    # Values from the environment are read as JSON: digits alone come as a number.
    code = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if len(code) < 8 or not code.isprintable():
        raise SettingError(f"{setting} must be at least 8 characters; take a few words that nobody guesses.")
    return code


def parse_languages(setting: str, value: object) -> tuple[str, ...]:
    """Tags of languages there are, the one for all other readers first; SettingError names ``setting``."""
    words = re.split(r"[\s,]+", value.strip()) if isinstance(value, str) else value
    spoken = tuple(dict.fromkeys(words)) if isinstance(words, list | tuple) else ()
    if not spoken or not all(isinstance(word, str) and word in languages() for word in spoken):
        there = ", ".join(languages())
        raise SettingError(f"{setting} must be languages that there are ({there}); it is {value!r}.")
    return spoken


#: A file of 5 GB goes through one request when nothing is set; chunks come with their own, smaller, bodies.
MAX_FILE_SIZE = Size(5_000_000_000)

#: What a body needs beside its files: part headers, and a uuid, size, digest and path for each part.
BODY_OVERHEAD = 1 << 20

#: Pixels of one picture: what a camera makes, and not what makes a decoder fill the memory (4 bytes each).
MAX_PIXELS = 100_000_000

#: Files of one request. Dropzone holds as many in flight, and an open descriptor each on the server.
MAX_PARTS = 100

#: Bytes of one form field that is not a file. Flask's own setting MAX_FORM_MEMORY_SIZE wins where it is lower.
MAX_FIELD_SIZE = 64 * 1024

#: Requests that the page keeps in flight at once.
PARALLEL_REQUESTS = 3


@dataclass(frozen=True)
class Settings:
    """The settings of one app, read and checked once, at start."""

    storage: str
    #: The folder where files wait, in ``.staging``, that go to a storage on another machine.
    staging: str
    database: str
    #: Whether an answer waits until disk and database have the bytes (fsync).
    durable: bool
    #: Whether every file gets a SHA-256.
    digest: bool
    #: One request body; 0 until :meth:`with_room_for` has settled it.
    max_content_length: Size
    #: Our page sends larger files in chunks of so much.
    chunk_size: Size
    #: Seconds after which what was abandoned is removed.
    sweep_age: int
    #: What one owner may have, in bytes and in files.
    quota: Size | None
    quota_files: int | None
    #: What one owner may begin to send in a while.
    quota_window: Window | None
    #: Bytes of the disk where files are received that are left free.
    min_free: Size | None
    #: Bytes a second that have to come of a body; None: a client may take its time.
    min_rate: Size | None
    #: What one address may send in a while, in Flask-Limiter's words.
    rate_limit: str | None
    #: Requests that send files which one owner may have under way in a process.
    concurrent: int | None
    #: Minutes for which a client may send a part straight to the store once it was signed.
    direct_minutes: int
    #: What people show to use the standalone server; None: anybody may.
    access_code: str | None
    #: Below which path a proxy sends the files of ``storage`` itself (nginx: X-Accel-Redirect); None: the app does.
    x_accel: str | None
    #: The header in which a proxy names each request, for the log; None: nobody on the way is believed.
    request_id: str | None
    #: What Prometheus brings to read ``/metrics``; None: there are none.
    metrics_token: str | None
    #: The name of the file field, Dropzone's ``paramName``.
    field: str
    #: What this app speaks; the first one to readers of none of them.
    languages: tuple[str, ...]
    #: The ``DROPZONE_…`` keys that somebody set, checked by :func:`dropzone.read`.
    dropzone: Mapping[str, Any]
    _config: Mapping[str, Any]

    @classmethod
    def from_config(cls, config: Mapping[str, Any], dropzone: Mapping[str, Any] | None = None) -> Settings:
        """Read ``config``; SettingError with a sentence for the first value that cannot be used.

        ``dropzone``: those ``DROPZONE_…`` keys that somebody set; Flask-Dropzone writes its defaults among them.
        """
        field = config.get("DROPZONE_INPUT_NAME")
        field = "file" if field in (None, "") else field
        if not isinstance(field, str) or not re.fullmatch(r"[A-Za-z][\w.-]{0,63}", field) or field in FIELDS:
            raise SettingError(
                f"DROPZONE_INPUT_NAME must be a plain name other than {', '.join(FIELDS)}; it is {field!r}."
            )
        digest = str(config.get("UPLOADS_DIGEST") or "none").lower()
        if digest not in {"sha256", "none"}:
            raise SettingError(f"UPLOADS_DIGEST must be 'sha256' or 'none'; it is {digest!r}.")
        x_accel = _given("UPLOADS_X_ACCEL", config, parse_location)
        if x_accel and not str(config["UPLOADS_STORAGE"]).startswith("file:"):
            raise SettingError("UPLOADS_X_ACCEL is for files in a folder; UPLOADS_STORAGE is none.")
        return cls(
            storage=str(config["UPLOADS_STORAGE"]),
            staging=parse_folder("UPLOADS_STAGING", config["UPLOADS_STAGING"]),
            database=str(config["UPLOADS_DATABASE"]),
            durable=parse_flag("UPLOADS_DURABLE", config["UPLOADS_DURABLE"]),
            digest=digest == "sha256",
            chunk_size=parse_size("UPLOADS_CHUNK_SIZE", config["UPLOADS_CHUNK_SIZE"]),
            sweep_age=parse_count("UPLOADS_SWEEP_AGE", config["UPLOADS_SWEEP_AGE"]),
            quota=_given("UPLOADS_QUOTA", config, parse_size),
            quota_files=_given("UPLOADS_QUOTA_FILES", config, parse_count),
            quota_window=_given("UPLOADS_QUOTA_WINDOW", config, parse_window),
            min_free=_given("UPLOADS_MIN_FREE", config, parse_size),
            min_rate=_given("UPLOADS_MIN_RATE", config, parse_rate),
            rate_limit=str(config.get("UPLOADS_RATE_LIMIT") or "") or None,
            concurrent=_given("UPLOADS_CONCURRENT", config, parse_count),
            direct_minutes=parse_minutes("UPLOADS_DIRECT_MINUTES", config["UPLOADS_DIRECT_MINUTES"]),
            access_code=_given("UPLOADS_ACCESS_CODE", config, parse_code),
            x_accel=x_accel,
            metrics_token=_given("UPLOADS_METRICS_TOKEN", config, parse_code),
            request_id=_given("UPLOADS_REQUEST_ID", config, parse_header),
            max_content_length=_given("MAX_CONTENT_LENGTH", config, parse_size) or Size(0),
            field=field,
            languages=parse_languages("UPLOADS_LANGUAGES", config["UPLOADS_LANGUAGES"]),
            dropzone=dict(dropzone or {}),
            _config=dict(config),
        )

    def with_room_for(self, largest: Size) -> Settings:
        """These settings with a limit for bodies: the one that was set, else what a file of ``largest`` needs."""
        limit = self.max_content_length or Size(largest + BODY_OVERHEAD)
        # A chunk has to fit into a body, fields and all.
        room = max(limit - BODY_OVERHEAD, limit // 2, 1)
        return replace(self, max_content_length=limit, chunk_size=Size(min(self.chunk_size, room)))

    def choose(
        self,
        set_name: str,
        what: str,
        declared: _T | None,
        parse: Callable[[str, object], _T],
        *,
        of_all: bool = True,
        blank: bool = False,
    ) -> _T | None:
        """An option of a set, by precedence: ``UPLOADED_<SET>_X``, the declaration, and unless ``of_all`` is False
        ``DROPZONE_X``, ``UPLOADS_X``. Where ``blank`` is true, ``""`` is a value too. SettingError for any of them that
        cannot be used, also where another one holds."""
        said: list[_T | None] = [_given(_key(set_name, what), self._config, parse, blank), declared]
        if of_all:
            said.append(_given(f"DROPZONE_{what}", self.dropzone, _DROPZONE.get(what, parse)))
            said.append(_given(f"UPLOADS_{what}", self._config, parse, blank))
        return next((value for value in said if value is not None), None)

    def of_all(self, what: str, parse: Callable[[str, object], _T]) -> _T | None:
        """What ``UPLOADS_X`` says; None where it is not set."""
        return _given(f"UPLOADS_{what}", self._config, parse)

    def of_set(self, set_name: str, what: str, parse: Callable[[str, object], _T]) -> _T | None:
        """What ``UPLOADED_<SET>_X`` says; None where it is not set."""
        return _given(_key(set_name, what), self._config, parse)

    def extensions_of_set(self, set_name: str, what: str) -> tuple[str, ...]:
        """The extensions in ``UPLOADED_<SET>_X``; none where it is not set."""
        return extensions_at(_key(set_name, what), self._config)


def extensions_at(key: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The extensions that a setting names; none where it is not set, or empty."""
    value = config.get(key)
    return () if value is None or value in ("", (), []) else parse_extensions(key, value)


def _key(set_name: str, what: str) -> str:
    return f"UPLOADED_{set_name.upper()}_{what}"


def _given(
    key: str, config: Mapping[str, Any], parse: Callable[[str, object], _T], blank: bool = False
) -> _T | None:
    value = config.get(key)
    return None if value is None or (value == "" and not blank) else parse(key, value)


def _mebibytes(setting: str, value: object) -> Size:
    """Dropzone counts ``maxFilesize`` in units of 1024 × 1024 bytes, and fractions of them."""
    try:
        size = float(str(value)) * 1024**2
    except ValueError:
        size = 0
    if not 1 <= size < 1e18:
        raise SettingError(f"{setting} must be a number of megabytes such as 0.5 or 3; it is {value!r}.")
    return Size(size)


def _files(setting: str, value: object) -> int | None:
    """Flask-Dropzone's own word for no limit is the string "null"."""
    return None if value == "null" else parse_count(setting, value)


_DROPZONE: dict[str, Any] = {"MAX_FILE_SIZE": _mebibytes, "MAX_FILES": _files}

#: Fields that may stand beside a part, with or without its index.
FIELDS = ("uuid", "size", "sha256", "path")

#: What holds where nothing is set. Paths are relative to the folder the app is started in.
DEFAULTS: dict[str, Any] = {
    "UPLOADS_STORAGE": "file:uploads",
    "UPLOADS_STAGING": "instance",
    "UPLOADS_DATABASE": "sqlite:///instance/app.sqlite",
    "UPLOADS_DURABLE": True,
    "UPLOADS_DIGEST": "sha256",
    "UPLOADS_TYPES": None,
    "UPLOADS_MAX_FILE_SIZE": None,
    "UPLOADS_MAX_TOTAL_SIZE": None,
    "UPLOADS_MAX_FILES": None,
    "UPLOADS_MAX_PIXELS": None,
    "UPLOADS_MAX_PARTS": None,
    "UPLOADS_CHUNK_SIZE": "32 MiB",
    "UPLOADS_SWEEP_AGE": 24 * 3600,
    "UPLOADS_QUOTA": None,
    "UPLOADS_QUOTA_FILES": None,
    "UPLOADS_QUOTA_WINDOW": None,
    "UPLOADS_MIN_FREE": None,
    "UPLOADS_MIN_RATE": 1000,
    "UPLOADS_RATE_LIMIT": None,
    "UPLOADS_CONCURRENT": None,
    "UPLOADS_ACCESS_CODE": None,
    "UPLOADS_X_ACCEL": None,
    "UPLOADS_LANGUAGES": "en,zh",
    "UPLOADS_REQUEST_ID": None,
    "UPLOADS_METRICS_TOKEN": None,
    "UPLOADS_DECODE": None,
    "UPLOADS_STRIP_METADATA": None,
    "UPLOADS_SVG": None,
    "UPLOADS_SCAN": None,
    "UPLOADS_DIRECT": None,
    "UPLOADS_DIRECT_MINUTES": 15,
}


#: Flask-Reuploaded's keys: for all sets, and the X of ``UPLOADED_<SET>_X``.
REUPLOADED = ("UPLOADS_DEFAULT_DEST", "UPLOADS_DEFAULT_URL", "UPLOADS_AUTOSERVE")
REUPLOADED_OF_SET = ("DEST", "URL", "ALLOW", "DENY")


def check_keys(
    config: Mapping[str, Any], sets: Collection[str], *, of_all: Collection[str], of_set: Collection[str]
) -> None:
    """SettingError for a key that begins like a setting and is none: a slip of the finger changes nothing else.

    ``of_all`` and ``of_set`` are the X of ``UPLOADS_X`` and ``UPLOADED_<SET>_X``. Keys of other sets than ``sets``
    are not ours to judge (Flask-Reuploaded's are not given to ``Uploads``), unless the name is nearly one of these
    and the rest is none of Flask-Reuploaded's.
    """
    words_of_all = {key.removeprefix("UPLOADS_") for key in (*DEFAULTS, *REUPLOADED)} | {*of_all}
    words = {*of_set, *REUPLOADED_OF_SET}
    names = [name.upper() for name in sets]
    known = {f"UPLOADS_{word}" for word in words_of_all}
    known |= {f"UPLOADED_{name}_{word}" for name in names for word in words}
    for key in config.keys() - known:
        if key.startswith("UPLOADS_"):
            raise _no_setting(key, "UPLOADS_", words_of_all)
        if not key.startswith("UPLOADED_"):
            continue
        rest = key.removeprefix("UPLOADED_").upper()
        mine = max((name for name in names if rest.startswith(f"{name}_")), key=len, default=None)
        if mine is not None:
            raise _no_setting(key, f"UPLOADED_{mine}_", words)
        word = next((word for word in of_set if rest.endswith(f"_{word}")), "")
        near = difflib.get_close_matches(rest.removesuffix(f"_{word}"), names, 1, 0.8) if word else []
        if near:
            raise SettingError(f"{key} is no setting; did you mean UPLOADED_{near[0]}_{word}?")


def _no_setting(key: str, prefix: str, words: Collection[str]) -> SettingError:
    """What to say of a key with this prefix: the nearest of ``words``, or all of them where none is near."""
    near = difflib.get_close_matches(key[len(prefix) :].upper(), words, 1)
    if near:
        return SettingError(f"{key} is no setting; did you mean {prefix}{near[0]}?")
    return SettingError(f"{key} is no setting; behind {prefix} may stand {', '.join(sorted(words))}.")


def absolute_sqlite(url: str) -> str:
    """A SQLite URL with its path made absolute; any other URL as it is."""
    prefix = "sqlite:///"
    if not url.startswith(prefix) or url == prefix or url.startswith(f"{prefix}:memory:"):
        return url
    return prefix + str(Path(url.removeprefix(prefix)).absolute())
