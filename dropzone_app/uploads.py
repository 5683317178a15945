"""Upload sets, and what an app has declared with them. No SQL, no HTML, no Flask."""

from __future__ import annotations

import contextlib
import copy
import errno
import os
import re
import string
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal, NamedTuple, Self

from .checks import Rules
from .config import (
    MAX_FILE_SIZE,
    MAX_PARTS,
    MAX_PIXELS,
    SettingError,
    Settings,
    Size,
    Window,
    check_keys,
    parse_count,
    parse_extensions,
    parse_flag,
    parse_folder,
    parse_size,
    parse_window,
)
from .errors import Rejected
from .intake import Part
from .kinds import DEFAULT_TYPES, AllExcept
from .naming import shown, storage_key
from .processing import Processing, Scanner, Svg
from .records import STORED, Record, Records, new_id
from .storage import Bounded, Direct, DirectStorage, LocalStorage, Storage, Thumbnails

Check = Callable[[Part], None]
Batching = Literal["each", "all"]
Naming = Literal["original", "timestamp", "random", "digest"]
Duplicates = Literal["keep", "skip", "refuse"]


class UploadSet:
    """A named declaration of what may be uploaded; the same one may serve several apps and threads.

    - ``extensions``: a preset or any iterable of extensions, ``ALL`` or ``AllExcept(…)``.
    - ``max_file_size``, ``max_total_size``: bytes or "10 MB"; ``max_files`` of one drop, ``max_parts`` of one request.
    - ``max_pixels``: width times height of a picture, told from its header before anything decodes it.
    - ``quota``, ``quota_files``: bytes and files that one owner may have in this set; ``quota_window``: what one may
      send to it in a while, such as "1 GB and 500 files per hour". Beside what all sets together may have.
    - ``batch``: "each" (where nothing is said) stores every good part, "all" stores all parts or none.
    - ``naming``: what a file is called in the storage: "original" (where nothing is said), "timestamp", "random",
      "digest", or a function of the staged part. The extension is always the one that was checked.
    - ``folder``: where in the storage: a path that may hold ``{owner}``, ``{date}`` and ``{path}`` (the dropped
      folder), or a function of the staged part. The set's name where nothing is said.
    - ``duplicates``: what becomes of a file whose owner has the same bytes in this set already: "keep" it (where
      nothing is said), "skip" it (the answer names the one that is there) or "refuse" it.
    - ``storage``: a URL or a storage of its own.
    - ``public``: whether anyone who knows a file's URL may read it.
    - ``decode``: whether pictures are decoded to their end before they are stored, which finds damaged ones.
    - ``strip_metadata``: whether pictures lose EXIF, GPS, XMP, comments and previews, and are turned upright.
    - ``svg``: what becomes of SVG drawings where ``extensions`` name them: "refuse" them, "clean" them of scripts and
      foreign addresses, or keep them as they are, to be saved and never shown ("attachment", where nothing is said).
    - ``scan``: a virus scanner, ``clamd:/path/to/socket`` or ``clamd://host:port``.
    - ``direct``: whether large files go from the browser straight to the store, which is S3 then.
    - ``checks``: functions of a staged part that raise :class:`Rejected`.

    None leaves an option to the configuration of each app, as :data:`OPTIONS` has it. SettingError with a sentence
    for a declaration that cannot be used.
    """

    # None in what was declared where it says nothing; what :meth:`configured` returns has them all.
    extensions: tuple[str, ...] | AllExcept
    max_file_size: Size
    max_files: int | None
    max_parts: int
    max_total_size: Size | None
    max_pixels: int
    quota: Size | None
    quota_files: int | None
    quota_window: Window | None
    batch: Batching
    naming: Naming | Callable[[Part], str]
    #: None: the set's name.
    folder: str | Callable[[Part], str] | None
    duplicates: Duplicates
    storage: str | Storage | None
    public: bool
    decode: bool
    strip_metadata: bool
    svg: Svg
    scan: Scanner | None
    direct: bool

    def __init__(
        self,
        name: str,
        extensions: Iterable[str] | AllExcept | None = None,
        *,
        max_file_size: int | str | None = None,
        max_files: int | None = None,
        max_parts: int | None = None,
        max_total_size: int | str | None = None,
        max_pixels: int | None = None,
        quota: int | str | None = None,
        quota_files: int | None = None,
        quota_window: str | None = None,
        batch: Batching | None = None,
        naming: Naming | Callable[[Part], str] | None = None,
        folder: str | Callable[[Part], str] | None = None,
        duplicates: Duplicates | None = None,
        storage: str | Storage | None = None,
        public: bool | None = None,
        decode: bool | None = None,
        strip_metadata: bool | None = None,
        svg: Svg | None = None,
        scan: str | None = None,
        direct: bool | None = None,
        checks: Sequence[Check] = (),
    ) -> None:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_]{1,64}", name) or name == "check":
            raise SettingError(
                f"An upload set's name must be letters, digits and underscores, and not 'check'; it is {name!r}."
            )
        self.name = name
        given: dict[str, object] = {
            "extensions": extensions,
            "max_file_size": max_file_size,
            "max_files": max_files,
            "max_parts": max_parts,
            "max_total_size": max_total_size,
            "max_pixels": max_pixels,
            "quota": quota,
            "quota_files": quota_files,
            "quota_window": quota_window,
            "batch": batch,
            "naming": naming,
            "folder": folder,
            "duplicates": duplicates,
            "storage": storage,
            "public": public,
            "decode": decode,
            "strip_metadata": strip_metadata,
            "svg": svg,
            "scan": scan,
            "direct": direct,
        }
        for what, value in given.items():
            where = f"The upload set {name!r}: {what}"
            setattr(self, what, None if value is None else OPTIONS[what].parse(where, value))
        if not isinstance(checks, Iterable) or not all(map(callable, functions := tuple(checks))):
            raise SettingError(
                f"The upload set {name!r}: checks must be functions of a staged part, in a list; it is {checks!r}."
            )
        self.checks = functions
        self._declared: UploadSet | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def declared(self) -> UploadSet:
        """The set as it was declared, of one that :meth:`configured` made of it."""
        return self._declared or self

    def configured(self, settings: Settings) -> Self:
        """This set as it is in an app with these settings: nothing is left open. SettingError names a wrong one."""
        self._check_sizes(settings)
        here = copy.copy(self)
        here._declared = self.declared
        for what, option in OPTIONS.items():
            chosen = settings.choose(
                self.name,
                option.key,
                getattr(self, what),
                option.parse,
                of_all=option.of_all,
                blank=option.blank,
            )
            setattr(here, what, option.default if chosen is None else chosen)
        if here.max_total_size is not None:
            here.max_file_size = min(here.max_file_size, here.max_total_size)
        folder = self.destination(settings)
        if folder is not None:
            here.storage = _shared_folder(f"UPLOADED_{self.name.upper()}_DEST", folder, settings)
            here.folder = "" if here.folder is None else here.folder
        return here

    def _check_sizes(self, settings: Settings) -> None:
        """SettingError where the same one said how large a file may be, and that a request may not be as large."""
        keys = ("MAX_FILE_SIZE", "MAX_TOTAL_SIZE")
        declared = zip(keys, (self.max_file_size, self.max_total_size), strict=True)
        own = [settings.choose(self.name, key, size, parse_size, of_all=False) for key, size in declared]
        for file, total in (own, [settings.of_all(key, parse_size) for key in keys]):
            if file and total and total < file:
                raise SettingError(
                    f"The upload set {self.name!r}: max_total_size is {total} and max_file_size {file}; "
                    "no request could bring so large a file."
                )

    def destination(self, settings: Settings) -> str | None:
        """Flask-Reuploaded's word for where this set lies: a folder of its own that other programs may read.

        None where it is not set, or where our word for it, ``UPLOADED_<SET>_STORAGE``, says otherwise.
        """
        if settings.of_set(self.name, "STORAGE", _parse_storage) is not None:
            return None
        return settings.of_set(self.name, "DEST", parse_folder)

    def rules(self, settings: Settings) -> Rules:
        """What this set accepts in an app with these settings. SettingError where that is no file at all."""
        here = self if self._declared else self.configured(settings)
        # What is allowed by configuration beats what is denied, as in Flask-Reuploaded.
        allow = settings.extensions_of_set(self.name, "ALLOW")
        deny = settings.extensions_of_set(self.name, "DENY")
        refused = _SVG_REFUSED[here.svg]
        extensions: tuple[str, ...] | None = None
        if isinstance(here.extensions, AllExcept):
            deny = (*here.extensions.items, *deny)
        else:
            extensions = tuple(dict.fromkeys([*(e for e in here.extensions if e not in deny), *allow]))
            extensions = tuple(extension for extension in extensions if extension not in refused)
            if not any(extensions):
                raise SettingError(f"The upload set {self.name!r} has no extensions; a drop zone needs some.")
        return Rules(
            extensions=extensions,
            denied=tuple(dict.fromkeys([*(e for e in deny if e not in allow), *refused])),
            max_file_size=here.max_file_size,
            max_files=here.max_files,
            max_parts=here.max_parts,
            max_total_size=here.max_total_size,
            max_pixels=here.max_pixels,
        )

    @property
    def processing(self) -> Processing:
        """What is done with a part that passed its checks. SettingError where that needs what is not installed."""
        return Processing(
            self.name,
            scan=self.scan,
            svg=self.svg,
            strip_metadata=self.strip_metadata,
            decode=self.decode,
            max_pixels=self.max_pixels,
        )

    def check(self, part: Part) -> None:
        """Run the checks of the set's own on a part that is not refused yet. Rejected by the first that refuses it.

        TypeError for one that returns something: who forgot to raise would let everything in.
        """
        for check in self.checks:
            if part.rejected is not None:
                return
            said: object = check(part)
            if said is not None:
                raise TypeError(
                    f"The upload set {self.name!r}: a check must raise Rejected or return nothing; it gave {said!r}."
                )

    def key(self, part: Part, *, owner: str, path: str) -> str:
        """Where a part would like to lie in the storage; a taken key is numbered when it is reserved."""
        if callable(self.naming):
            wanted: str | None = self._told("naming", self.naming(part))
        else:
            wanted = _STEMS[self.naming](part)
        if callable(self.folder):
            folder = self._told("folder", self.folder(part))
        else:
            folder = self.name if self.folder is None else self.folder
            if "{" in folder:
                date = time.strftime("%Y/%m/%d", time.gmtime())
                folder = folder.format(owner=owner, path=path, date=date)
        return storage_key(part.filename or "", wanted=wanted, folder=folder)

    def _told(self, what: str, said: object) -> str:
        if not isinstance(said, str):
            raise TypeError(
                f"The upload set {self.name!r}: the function for {what} must return text; it gave {said!r}."
            )
        return said


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


#: Extensions that no list lets in. Nobody cleans a drawing that is compressed.
_SVG_REFUSED: dict[Svg, tuple[str, ...]] = {
    "refuse": ("svg", "svgz"),
    "clean": ("svgz",),
    "attachment": (),
}

#: What the template of a folder may name.
_FOLDER_FIELDS = ("owner", "date", "path")


def _one_of(*words: str, or_function: bool = False) -> Callable[[str, object], Any]:
    def parse(where: str, value: object) -> object:
        if not (isinstance(value, str) and value in words) and not (or_function and callable(value)):
            known = ", ".join(map(repr, words)) + (" or a function of a staged part" if or_function else "")
            raise SettingError(f"{where} must be one of {known}; it is {value!r}.")
        return value

    return parse


def _parse_types(where: str, value: object) -> tuple[str, ...] | AllExcept:
    return value if isinstance(value, AllExcept) else parse_extensions(where, value)


def _parse_folder(where: str, value: object) -> str | Callable[[Part], str]:
    if callable(value):
        return value
    if not isinstance(value, str):
        raise SettingError(f"{where} must be a path or a function of a staged part; it is {value!r}.")
    # It is a name in the storage, whatever that is; a folder of this machine is what a storage of its own is for.
    if value.startswith("/") or re.search(r"[\\\0]|^[A-Za-z]:", value) or {".", ".."} & set(value.split("/")):
        raise SettingError(
            f"{where} must be a path in the storage, such as 'albums/{{date}}'; it is {value!r}. "
            "Another folder of this machine is a storage, such as 'file:/srv/photos'."
        )
    if bare := next((segment for segment in value.split("/") if segment in _FOLDER_FIELDS), None):
        raise SettingError(
            f"{where} is {value!r}, without braces a folder called {bare!r}; for one by {bare} write '{{{bare}}}'. "
            f"Where it shall be called so, give a function that returns {value!r}."
        )
    try:
        # Anything after a name in braces (an attribute, an index, a format) is more than the name.
        plain = all(
            name is None or (name in _FOLDER_FIELDS and not spec and conversion is None)
            for _, name, spec, conversion in string.Formatter().parse(value)
        )
    except ValueError:
        plain = False
    if not plain:
        raise SettingError(f"{where} may hold {{owner}}, {{date}} and {{path}} only; it is {value!r}.")
    return value


def _parse_storage(where: str, value: object) -> str | Storage:
    # A class has the methods of its objects.
    if isinstance(value, type) or not isinstance(value, str | Storage):
        raise SettingError(f"{where} must be a URL such as 'file:uploads' or a storage; it is {value!r}.")
    return value


def _shared_folder(setting: str, folder: str, settings: Settings) -> Storage:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise SettingError(f"{setting}: {folder} cannot be made: {error.strerror}.") from error
    return LocalStorage(
        folder,
        durable=settings.durable,
        digest=settings.digest,
        shared=True,
        min_free=settings.min_free or 0,
    )


class Option(NamedTuple):
    """What one argument of an upload set takes, in code as in the configuration of an app."""

    #: The X of ``UPLOADED_<SET>_X``, which is over the declaration, and of ``UPLOADS_X``, which is under it.
    key: str
    #: What was written made usable; SettingError names where it was written.
    parse: Callable[[str, object], Any]
    #: What holds where nobody says anything.
    default: Any = None
    #: Whether ``UPLOADS_X`` speaks for all sets that say nothing.
    of_all: bool = True
    #: Whether ``""`` in the configuration is a value, and not the same as nothing.
    blank: bool = False


#: By the name of the argument.
OPTIONS: dict[str, Option] = {
    "extensions": Option("TYPES", _parse_types, DEFAULT_TYPES),
    "max_file_size": Option("MAX_FILE_SIZE", parse_size, MAX_FILE_SIZE),
    "max_files": Option("MAX_FILES", parse_count),
    "max_parts": Option("MAX_PARTS", parse_count, MAX_PARTS),
    "max_total_size": Option("MAX_TOTAL_SIZE", parse_size),
    "max_pixels": Option("MAX_PIXELS", parse_count, MAX_PIXELS),
    # UPLOADS_QUOTA is of all sets together.
    "quota": Option("QUOTA", parse_size, of_all=False),
    "quota_files": Option("QUOTA_FILES", parse_count, of_all=False),
    "quota_window": Option("QUOTA_WINDOW", parse_window, of_all=False),
    "batch": Option("BATCH", _one_of("each", "all"), "each"),
    "naming": Option("NAMING", _one_of(*_STEMS, or_function=True), "original"),
    "folder": Option("FOLDER", _parse_folder, of_all=False, blank=True),
    "duplicates": Option("DUPLICATES", _one_of("keep", "skip", "refuse"), "keep"),
    # UPLOADS_STORAGE is the one that all sets share who have none of their own.
    "storage": Option("STORAGE", _parse_storage, of_all=False),
    "public": Option("PUBLIC", parse_flag, False),
    "decode": Option("DECODE", parse_flag, False),
    "strip_metadata": Option("STRIP_METADATA", parse_flag, False),
    "svg": Option("SVG", _one_of("refuse", "clean", "attachment"), "attachment"),
    "scan": Option("SCAN", Scanner.parse),
    "direct": Option("DIRECT", parse_flag, False),
}


def check_sets(sets: Sequence[object], config: Mapping[str, Any]) -> None:
    """SettingError unless these are upload sets that one app can tell apart, and all keys for them are known."""
    for one in sets:
        if not isinstance(one, UploadSet):
            raise SettingError(
                f"Uploads takes upload sets one after another, Uploads(app, photos, texts); it got {one!r}."
            )
    names = [one.name for one in sets if isinstance(one, UploadSet)]
    if len({name.upper() for name in names}) < len(names):
        raise SettingError(
            f"Two upload sets have the same name: {', '.join(sorted(names))}. "
            "Case is no difference: their settings would have the same keys."
        )
    check_option_keys(config, names)


def check_option_keys(config: Mapping[str, Any], names: Collection[str]) -> None:
    """SettingError for a key of these sets, or of all, that is no setting."""
    check_keys(
        config,
        names,
        of_all=[option.key for option in OPTIONS.values() if option.of_all],
        of_set=[option.key for option in OPTIONS.values()],
    )


@dataclass(frozen=True)
class Site:
    """What the upload sets of one app share: settings, rules, storages, records; the first set is the default."""

    settings: Settings
    #: As they are in this app, see :meth:`UploadSet.configured`.
    sets: Mapping[str, UploadSet]
    rules: Mapping[str, Rules]
    processing: Mapping[str, Processing]
    #: By the name of the set that has one of its own; "" is everyone else's.
    storages: Mapping[str, Storage]
    records: Records
    #: What is to be undone and could not be, by id.
    _unfinished: dict[str, Record] = field(default_factory=dict, init=False, repr=False)
    _undoing: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def storage(self) -> Storage:
        """The storage of every set that has none of its own."""
        return self.storages[""]

    def storage_of(self, upload_set: UploadSet) -> Storage:
        """Where the files of this set go."""
        return self.storages.get(upload_set.name, self.storage)

    @property
    def direct(self) -> dict[str, Direct]:
        """The stores that browsers send files to themselves, by the name of the set."""
        kept = {name: self.storage_of(one) for name, one in self.sets.items() if one.direct}
        return {name: storage.direct for name, storage in kept.items() if isinstance(storage, DirectStorage)}

    @cached_property
    def direct_origins(self) -> list[str]:
        """Where those stores are, as a browser names it."""
        return sorted({store.origin for store in self.direct.values()})

    def check_room(self, upload_set: UploadSet, size: int) -> None:
        """OSError (ENOSPC) where ``size`` bytes of this set would take of what is to stay free on the disk."""
        storage = self.storage_of(upload_set)
        if self.settings.min_free and isinstance(storage, Bounded):
            storage.check_room(size)

    def keeper(self, record: Record) -> Storage:
        """The storage that holds a recorded file. FileNotFoundError when the app no longer has it."""
        try:
            return self.storages[record.storage]
        except KeyError:
            raise FileNotFoundError(f"no storage for the set {record.storage!r}") from None

    def url_of(self, record: Record, *, disposition: str, expires: int | None) -> str | None:
        """Where a client may fetch a recorded file itself, as :meth:`Storage.url` has it; None: the app serves it.

        FileNotFoundError as in :meth:`keeper`.
        """
        keeper = self.keeper(record)
        url = keeper.url(record.key, disposition=disposition, media_type=record.type, expires=expires)
        # What the storage told of this file, before what can be said of all of them.
        return url and (record.url or url)

    def thumbnails_of(self, record: Record) -> Thumbnails | None:
        """Where the thumbnail of a recorded file is kept: beside it, or in the app's own storage."""
        return self.keeper(record).thumbnails or self.storage.thumbnails

    def upload_set(self, name: str | None) -> UploadSet:
        """The set called ``name``, the first one for None. Rejected when there is none."""
        if name is None:
            return next(iter(self.sets.values()))
        try:
            return self.sets[name]
        except KeyError:
            raise Rejected.because("unknown_set", name=shown(str(name))) from None

    def check_ready(self) -> None:
        """SQLAlchemyError or OSError where no upload can be taken now. It leaves nothing."""
        self.records.check_writable()
        for storage in self.storages.values():
            storage.check()
            if isinstance(storage, Bounded):
                storage.check_room(self.settings.chunk_size)

    def recover(self) -> None:
        """Undo what dead processes had begun to commit, and remove what they had staged."""
        with contextlib.suppress(OSError):
            self.undo(self.records.claim_abandoned())
        for storage in self.storages.values():
            storage.clear_left_overs()

    def undo(self, reserved: Iterable[Record]) -> None:
        """Take back reservations: first the bytes, then the rows, so that a row never outlives its own undoing.

        OSError or SQLAlchemyError where that cannot be done now. Then it is done later: with a batch that
        succeeds, with :meth:`recover`, or by another process when this one has ended.
        """
        self._unfinished.update((record.id, record) for record in reserved)
        self.catch_up()

    def catch_up(self) -> None:
        """Undo what could not be undone before. OSError or SQLAlchemyError for what still cannot."""
        if not self._unfinished:
            return
        # One after the other: what one has undone may be somebody else's before the other looks.
        with self._undoing:
            left = list(self._unfinished.values())
            if not left:
                return
            states = self.records.withdraw([record.id for record in left])
            failure: OSError | None = None
            gone: list[Record] = []
            silent: set[str] = set()
            for record in left:
                if record.storage in silent:
                    # One time-out is enough for somebody who waits for an answer, or for the start.
                    continue
                try:
                    self._remove(record, states.get(record.id))
                    gone.append(record)
                except OSError as error:
                    failure = error
                    if error.errno == errno.EHOSTUNREACH:
                        silent.add(record.storage)
            self.records.release(gone)
            for record in gone:
                del self._unfinished[record.id]
        if failure:
            raise failure

    def _remove(self, record: Record, state: str | None) -> None:
        """Remove the bytes of what is not stored; without a row (a database may lose one) only by their mark."""
        if state != STORED and (state or record.mark):
            with contextlib.suppress(FileNotFoundError):
                self.keeper(record).delete(record.key, record.mark)
                if kept := self.thumbnails_of(record):
                    kept.delete(record.id)
