"""Flask-Dropzone's keys: those that somebody set, checked once, at start, and what they mean in our zone."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

from .config import SettingError, parse_count, parse_extensions, parse_flag
from .kinds import extensions_of_type

#: Flask-Dropzone's names for families of types.
FAMILIES = {
    "default": "image/*, audio/*, video/*, text/*, application/*",
    "image": "image/*",
    "audio": "audio/*",
    "video": "video/*",
    "text": "text/*",
    "app": "application/*",
}

#: Its keys that Dropzone has an option for, beside those that set limits.
OPTIONS = {
    "DROPZONE_TIMEOUT": "timeout",
    "DROPZONE_DEFAULT_MESSAGE": "dictDefaultMessage",
    "DROPZONE_INVALID_FILE_TYPE": "dictInvalidFileType",
    "DROPZONE_FILE_TOO_BIG": "dictFileTooBig",
    "DROPZONE_SERVER_ERROR": "dictResponseError",
    "DROPZONE_BROWSER_UNSUPPORTED": "dictFallbackMessage",
    "DROPZONE_MAX_FILE_EXCEED": "dictMaxFilesExceeded",
    "DROPZONE_CANCEL_UPLOAD": "dictCancelUpload",
    "DROPZONE_CANCEL_CONFIRMATION": "dictCancelUploadConfirmation",
    "DROPZONE_UPLOAD_CANCELED": "dictUploadCanceled",
    "DROPZONE_REMOVE_FILE": "dictRemoveFile",
}

#: What Flask-Dropzone takes where UPLOAD_MULTIPLE is set alone.
PARALLEL_UPLOADS = 2


def _parse_words(setting: str, value: object) -> object:
    """Text, or what becomes text when it is shown (a translation, say)."""
    if type(value).__str__ is object.__str__ or isinstance(value, bytes):
        raise SettingError(f"{setting} must be words; it is {value!r}.")
    return value


def _parse_name(setting: str, value: object) -> str:
    if not isinstance(value, str):
        raise SettingError(f"{setting} must be {_NAMES[setting]}, as text; it is {value!r}.")
    return value


_NAMES = {
    "DROPZONE_REDIRECT_VIEW": "an endpoint or a URL",
    "DROPZONE_UPLOAD_ACTION": "an endpoint or a URL",
    "DROPZONE_UPLOAD_BTN_ID": "the id of an element",
}

_PARSERS: dict[str, Callable[[str, object], object]] = {
    **dict.fromkeys(OPTIONS, _parse_words),
    "DROPZONE_TIMEOUT": parse_count,
    "DROPZONE_PARALLEL_UPLOADS": parse_count,
    "DROPZONE_UPLOAD_MULTIPLE": parse_flag,
    "DROPZONE_UPLOAD_ON_CLICK": parse_flag,
    "DROPZONE_IN_FORM": parse_flag,
    "DROPZONE_ALLOWED_FILE_CUSTOM": parse_flag,
    # Ours is always on, and nothing of ours comes from a CDN: these two change nothing, whatever they say.
    "DROPZONE_ENABLE_CSRF": parse_flag,
    "DROPZONE_SERVE_LOCAL": parse_flag,
    **dict.fromkeys(_NAMES, _parse_name),
}

_PREFIX = "DROPZONE_"

#: All that Flask-Dropzone reads.
KEYS = (
    *_PARSERS,
    "DROPZONE_ALLOWED_FILE_TYPE",
    "DROPZONE_INPUT_NAME",
    "DROPZONE_MAX_FILES",
    "DROPZONE_MAX_FILE_SIZE",
)


def read(given: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that somebody set, each checked; the types they name stand as extensions under ``DROPZONE_TYPES``.

    SettingError with a sentence for the first one that cannot be used.
    """
    keys: dict[str, Any] = {}
    for key, value in given.items():
        if key not in KEYS and (meant := _meant(key)):
            raise SettingError(f"{key} is no setting; did you mean {meant}?")
        # Dropzone's word for no timeout is 0.
        if value is None or value == "" or (key == "DROPZONE_TIMEOUT" and value in (0, "0")):
            continue
        keys[key] = _PARSERS[key](key, value) if key in _PARSERS else value
    types = _types(
        keys.get("DROPZONE_ALLOWED_FILE_TYPE"), custom=keys.get("DROPZONE_ALLOWED_FILE_CUSTOM", False)
    )
    if types:
        keys["DROPZONE_TYPES"] = types
    return keys


def _meant(key: str) -> str | None:
    """The key that this one is a slip of the finger from; a host may have quite other keys of its own."""
    words = [known.removeprefix(_PREFIX) for known in KEYS]
    near = difflib.get_close_matches(key.removeprefix(_PREFIX), words, 1, 0.85)
    return f"{_PREFIX}{near[0]}" if near else None


def _types(value: object, *, custom: bool) -> tuple[str, ...]:
    key = "DROPZONE_ALLOWED_FILE_TYPE"
    if not custom:
        if value is None:
            return ()
        if str(value) not in FAMILIES:
            raise SettingError(
                f"{key} must be one of {', '.join(FAMILIES)}, "
                f"or any types where DROPZONE_ALLOWED_FILE_CUSTOM is set; it is {value!r}."
            )
        value = FAMILIES[str(value)]
    words = [word.strip() for word in str(value or "").lower().split(",") if word.strip()]
    named = [
        parse_extensions(key, [word]) if word.startswith(".") else extensions_of_type(word) for word in words
    ]
    if not words or not all(named):
        raise SettingError(
            f"{key} must be types that are known here, such as 'image/*, .pdf, .txt'; it is {value!r}."
        )
    return tuple(dict.fromkeys(chain(*named)))


def options(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Dropzone's own options from those keys: words, and how long to wait."""
    found = {option: keys[key] for key, option in OPTIONS.items() if key in keys}
    # Words that are translated late are no str yet.
    return {option: value if isinstance(value, int) else str(value) for option, value in found.items()}


def batching(keys: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """(files of one request, requests in flight) as somebody wants them; None leaves it to the zone.

    With UPLOAD_MULTIPLE, PARALLEL_UPLOADS counts the files of a request, else the requests with one file each: it
    is never exceeded by the files in flight.
    """
    multiple, parallel = keys.get("DROPZONE_UPLOAD_MULTIPLE"), keys.get("DROPZONE_PARALLEL_UPLOADS")
    if multiple is None and parallel is None:
        return None, None
    parallel = parallel or PARALLEL_UPLOADS
    # Flask-Dropzone sends several files in a request wherever a click sends them.
    return (parallel, 1) if multiple or keys.get("DROPZONE_UPLOAD_ON_CLICK") else (1, parallel)
