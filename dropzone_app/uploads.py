"""Upload sets, and what an app has declared with them. No SQL, no HTML, no Flask."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from .checks import Rules
from .config import (
    MAX_FILE_SIZE,
    MAX_PARTS,
    SettingError,
    Settings,
    parse_count,
    parse_extensions,
    parse_size,
)
from .errors import Rejected
from .intake import Part
from .kinds import DEFAULT_TYPES, AllExcept
from .naming import extension_of, shown, storage_folder, storage_name, stored_name
from .records import Record, Records, new_id
from .storage import Storage

Check = Callable[[Part], None]

_T = TypeVar("_T")
_V = TypeVar("_V")


class UploadSet:
    """A named declaration of what may be uploaded; the same one may serve several apps and threads.

    - ``extensions``: a preset or any iterable of extensions, ``ALL`` or ``AllExcept(…)``; None takes the setting's.
    - ``max_file_size``, ``max_total_size``: bytes or "10 MB"; ``max_files`` of one drop, ``max_parts`` of one request.
    - ``batch``: "each" stores every good part, "all" stores all parts or none.
    - ``naming``: what a file is called in the storage: "original", "timestamp", "random", "digest", or a function of
      the staged part. The extension is always the one that was checked.
    - ``folder``: where in the storage: a path that may hold ``{owner}``, ``{date}`` and ``{path}`` (the dropped
      folder), or a function of the staged part. The set's name where nothing is said.
    - ``duplicates``: what becomes of a file whose owner has the same bytes in this set already: "keep" it,
      "skip" it (the answer names the one that is there) or "refuse" it.
    - ``storage``: a URL or a storage of its own.
    - ``public``: whether anyone who knows a file's URL may read it.
    - ``checks``: functions of a staged part that raise :class:`Rejected`.

    SettingError with a sentence for a declaration that cannot be used.
    """

    def __init__(
        self,
        name: str,
        extensions: Iterable[str] | AllExcept | None = None,
        *,
        max_file_size: int | str | None = None,
        max_files: int | None = None,
        max_parts: int | None = None,
        max_total_size: int | str | None = None,
        batch: Literal["each", "all"] = "each",
        naming: Literal["original", "timestamp", "random", "digest"] | Callable[[Part], str] = "original",
        folder: str | Callable[[Part], str] | None = None,
        duplicates: Literal["keep", "skip", "refuse"] = "keep",
        storage: str | Storage | None = None,
        public: bool = False,
        checks: Sequence[Check] = (),
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_]{1,64}", name) or name == "check":
            raise SettingError(
                f"An upload set's name must be letters, digits and underscores, and not 'check'; it is {name!r}."
            )
        where = f"The upload set {name!r}:"

        def declared(what: str, value: _V | None, parse: Callable[[str, object], _T]) -> _T | None:
            return None if value is None else parse(f"{where} {what}", value)

        def one_of(what: str, value: object, words: tuple[object, ...]) -> None:
            if value not in words:
                raise SettingError(
                    f"{where} {what} must be one of {', '.join(map(repr, words))}; it is {value!r}."
                )

        one_of("batch", batch, ("each", "all"))
        one_of("duplicates", duplicates, ("keep", "skip", "refuse"))
        one_of("public", public, (True, False))
        if not callable(naming):
            one_of("naming", naming, NAMINGS)
        if isinstance(folder, str):
            _check_template(f"{where} folder", folder)
        if not all(callable(check) for check in checks):
            raise SettingError(f"{where} checks must be functions of a staged part.")
        self.name = name
        self.extensions = (
            extensions
            if isinstance(extensions, AllExcept)
            else declared("extensions", extensions, parse_extensions)
        )
        self.max_file_size = declared("max_file_size", max_file_size, parse_size)
        self.max_files = declared("max_files", max_files, parse_count)
        self.max_parts = declared("max_parts", max_parts, parse_count)
        self.max_total_size = declared("max_total_size", max_total_size, parse_size)
        self.batch = batch
        self.naming = naming
        self.folder = folder
        self.duplicates = duplicates
        self.storage = storage
        self.public = public
        self.checks = tuple(checks)

    def rules(self, settings: Settings) -> Rules:
        """What this set accepts in an app with these settings."""
        name, choose = self.name, settings.choose
        declared: Any = self.extensions
        types: tuple[str, ...] | AllExcept | None = choose(name, "TYPES", declared, parse_extensions)
        # What is allowed by configuration beats what is denied, as in Flask-Reuploaded.
        allow = _extensions_of(f"UPLOADED_{name.upper()}_ALLOW", settings.of_set(name, "ALLOW"))
        deny = _extensions_of(f"UPLOADED_{name.upper()}_DENY", settings.of_set(name, "DENY"))
        extensions: tuple[str, ...] | None = None
        if isinstance(types, AllExcept):
            deny = (*types.items, *deny)
        else:
            extensions = tuple(dict.fromkeys([*(t for t in types or DEFAULT_TYPES if t not in deny), *allow]))
        return Rules(
            extensions=extensions,
            denied=tuple(dict.fromkeys(extension for extension in deny if extension not in allow)),
            max_file_size=choose(name, "MAX_FILE_SIZE", self.max_file_size, parse_size) or MAX_FILE_SIZE,
            max_files=choose(name, "MAX_FILES", self.max_files, parse_count),
            max_parts=choose(name, "MAX_PARTS", self.max_parts, parse_count) or MAX_PARTS,
            max_total_size=choose(name, "MAX_TOTAL_SIZE", self.max_total_size, parse_size),
        )

    def key(self, part: Part, *, owner: str, path: str) -> str:
        """Where a part would like to lie in the storage; a taken key is numbered when it is reserved."""
        filename = part.filename or ""
        if callable(self.naming):
            name = stored_name(self.naming(part), filename)
        else:
            stem = _STEMS[self.naming](part)
            name = (
                storage_name(filename) if stem is None else stored_name(stem, f"x.{extension_of(filename)}")
            )
        if callable(self.folder):
            folder = self.folder(part)
        else:
            template = self.name if self.folder is None else self.folder
            folder = template.format(owner=owner, path=path, date=time.strftime("%Y/%m/%d", time.gmtime()))
        folder = storage_folder(folder)
        return f"{folder}/{name}" if folder else name


NAMINGS = ("original", "timestamp", "random", "digest")


def _timestamp(part: Part) -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d-%H-%M-%S-%f")


def _content(part: Part) -> str:
    return part.sha256 or part.digest()


_STEMS: dict[str, Callable[[Part], str | None]] = {
    "original": lambda part: None,
    "timestamp": _timestamp,
    "random": lambda part: new_id(),
    "digest": _content,
}


def _check_template(where: str, folder: str) -> None:
    try:
        folder.format(owner="o", path="p", date="d")
    except (KeyError, IndexError, ValueError):
        raise SettingError(
            f"{where} may hold {{owner}}, {{date}} and {{path}} only; it is {folder!r}."
        ) from None


def _extensions_of(setting: str, value: object) -> tuple[str, ...]:
    return () if value is None or value in ("", (), []) else parse_extensions(setting, value)


@dataclass(frozen=True)
class Site:
    """What the upload sets of one app share: settings, rules, storages, records; the first set is the default."""

    settings: Settings
    sets: Mapping[str, UploadSet]
    rules: Mapping[str, Rules]
    #: By the name of the set that has one of its own; "" is everyone else's.
    storages: Mapping[str, Storage]
    records: Records

    @property
    def storage(self) -> Storage:
        """The storage of every set that has none of its own."""
        return self.storages[""]

    def storage_of(self, upload_set: UploadSet) -> Storage:
        """Where the files of this set go."""
        return self.storages.get(upload_set.name, self.storage)

    def keeper(self, record: Record) -> Storage:
        """The storage that holds a recorded file. FileNotFoundError when the app no longer has it."""
        try:
            return self.storages[record.storage]
        except KeyError:
            raise FileNotFoundError(f"no storage for the set {record.storage!r}") from None

    def upload_set(self, name: str | None) -> UploadSet:
        """The set called ``name``, the first one for None. Rejected when there is none."""
        if name is None:
            return next(iter(self.sets.values()))
        try:
            return self.sets[name]
        except KeyError:
            raise Rejected.because("unknown_set", name=shown(name)) from None

    def recover(self) -> None:
        """Undo what dead processes had begun to commit, and remove what they had staged."""
        self.undo(self.records.claim_abandoned())
        for storage in self.storages.values():
            storage.clear_left_overs()

    def undo(self, reserved: Sequence[Record]) -> None:
        """Take back reservations: first the bytes, then the rows, so that a row never outlives its own undoing."""
        for record in reserved:
            with contextlib.suppress(FileNotFoundError):
                self.keeper(record).delete(record.key, record.mark)
        self.records.release([record.id for record in reserved])
