"""Upload sets and batches: check every part, then commit the good ones. No SQL, no HTML, no Flask."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import file_digest
from typing import Any, Literal, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from werkzeug.datastructures import FileStorage

from .checks import Rules, check_counts
from .config import (
    FIELDS,
    MAX_FILE_SIZE,
    MAX_PARTS,
    SettingError,
    Settings,
    parse_count,
    parse_extensions,
    parse_size,
    told_apart,
)
from .errors import Rejected
from .intake import Part, receive_part
from .kinds import DEFAULT_TYPES, AllExcept, kind_of
from .naming import display_path, extension_of, shown, storage_folder, storage_name, stored_name
from .records import COMMITTING, Record, Records, new_id, now
from .storage import StagedFile, Storage

Check = Callable[[Part], None]

_T = TypeVar("_T")
_V = TypeVar("_V")

#: Seconds that a repeated upload waits for the first one to be committed.
TWIN_PATIENCE = 10.0


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
    return part.sha256 or _digest(part)


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

    def batch(self, upload_set: UploadSet, owner: str, form: Mapping[str, str] | None = None) -> Batch:
        """An empty batch for ``owner``; ``form`` holds the fields beside the parts."""
        return Batch(self, upload_set, owner=owner, form=form)

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


@dataclass
class Verdict:
    """What became of one part: ``record`` of the stored file, or ``rejected``."""

    key: str
    filename: str
    record: Record | None = None
    rejected: Rejected | None = None
    #: The same upload, or for a set without duplicates the same bytes, was there already.
    repeated: bool = False


@dataclass
class _Entry:
    """A part on its way through a batch."""

    part: Part
    verdict: Verdict
    uuid: str = ""
    path: str = ""
    record: Record | None = None
    #: The same upload, stored or being stored already, perhaps by this very batch.
    twin: Record | None = None


class Batch:
    """The parts of one request: :meth:`add` each, :meth:`commit` once, read :attr:`verdicts`.

    Either every good part is stored with its record, or (another failure than a refusal) nothing is.
    """

    def __init__(
        self, site: Site, upload_set: UploadSet, *, owner: str, form: Mapping[str, str] | None = None
    ) -> None:
        self._site = site
        self._set = upload_set
        self._rules = site.rules[upload_set.name]
        self._storage = site.storage_of(upload_set)
        self._records = site.records
        self._owner = owner
        self._form = dict((form or {}).items())
        self._entries: list[_Entry] = []

    @property
    def upload_set(self) -> UploadSet:
        """The set whose rules these parts were held to."""
        return self._set

    @property
    def verdicts(self) -> list[Verdict]:
        """One for each part, in the order they came."""
        return [entry.verdict for entry in self._entries]

    def add(self, key: str, file: FileStorage) -> None:
        """Take a part and run the set's own checks on it; those of the rules run while its bytes pass.

        A file that another parser has received is copied into the staging area first.
        """
        part = file if isinstance(file, Part) else receive_part(self._storage, self._rules, file)
        entry = _Entry(part, Verdict(key, part.filename or ""))
        self._entries.append(entry)
        with self._rejecting(entry):
            for check in self._set.checks:
                if part.rejected is None:
                    check(part)

    def commit(self) -> None:
        """Make the good parts permanent and visible: reserve, link, record.

        Rejected where the whole request is refused; OSError or SQLAlchemyError where storage or database
        fail. Then nothing of the batch is stored.
        """
        if not self._entries:
            raise Rejected.because("no_file")
        try:
            check_counts(self._rules, (entry.part.size for entry in self._entries))
            self._number()
            for entry in self._entries:
                with self._rejecting(entry):
                    self._declare(entry)
            if self._set.batch == "all" and any(entry.part.rejected for entry in self._entries):
                self._refuse_the_others()
            self._store()
        finally:
            self.discard()
        for entry in self._entries:
            entry.verdict.rejected = entry.part.rejected

    def discard(self) -> None:
        """Let go of what is staged. Idempotent; what was committed stays."""
        for entry in self._entries:
            entry.part.discard()

    @contextlib.contextmanager
    def _rejecting(self, entry: _Entry) -> Iterator[None]:
        try:
            yield
        except Rejected as rejected:
            entry.part.reject(rejected)

    def _good(self) -> list[_Entry]:
        return [entry for entry in self._entries if entry.part.rejected is None]

    def _number(self) -> None:
        """Settle the key of each part: by position where a key has no index or comes twice."""
        keys = [entry.verdict.key for entry in self._entries]
        indexes = {index_of(key) for key in keys} - {None}
        if len(keys) == 1 or len(indexes) == len(keys):
            return
        for position, entry in enumerate(self._entries):
            entry.verdict.key = f"{keys[position].partition('[')[0]}[{position}]"

    def _declare(self, entry: _Entry) -> None:
        """Read the fields that came beside the part, and compare what they say with what arrived."""
        part, index = entry.part, index_of(entry.verdict.key) or 0
        uuid, size, sha256, path = (self._field(name, index) for name in FIELDS)
        if uuid and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", uuid):
            raise Rejected.because(
                "bad_field",
                field=f"uuid[{index}]",
                expected="up to 64 letters, digits, dashes or underscores",
            )
        if size and not re.fullmatch(r"[0-9]{1,18}", size):
            raise Rejected.because("bad_field", field=f"size[{index}]", expected="a number of bytes")
        if sha256 and not re.fullmatch(r"[0-9A-Fa-f]{64}", sha256):
            raise Rejected.because("bad_field", field=f"sha256[{index}]", expected="64 hexadecimal digits")
        entry.uuid = uuid or new_id()
        entry.path = display_path(path)
        if part.rejected is not None:
            return
        if size and int(size) != part.size:
            received, declared = told_apart(part.size, int(size))
            raise Rejected.because("size_differs", received=received, declared=declared)
        if sha256 and sha256.lower() != (part.sha256 or _digest(part)):
            raise Rejected.because("digest_differs")

    def _field(self, name: str, index: int) -> str:
        value = self._form.get(f"{name}[{index}]")
        if value is None and index == 0:
            value = self._form.get(name)
        return value or ""

    def _store(self) -> None:
        entries = self._good()
        if not entries:
            return
        put: list[_Entry] = []
        try:
            self._reserve(entries, put)
            # Before anything is stored: from then on nothing may fail or be refused.
            own = {entry.record.id: entry for entry in put if entry.record}
            self._meet_twins(entries, own)
            if self._set.batch == "all" and any(entry.part.rejected for entry in entries):
                self._take_back(put)
                self._refuse_the_others()
                return
            committed = [(self._link(entry), entry.record.key) for entry in put if entry.record]
            self._storage.sync(committed)
            if put:
                self._records.store([entry.record.id for entry in put if entry.record])
        except BaseException:
            self._take_back(put)
            raise
        for entry in self._good():
            first = own.get(entry.twin.id, entry) if entry.twin else entry
            entry.verdict.record = first.record
            entry.verdict.repeated = entry.twin is not None

    def _meet_twins(self, entries: list[_Entry], own: Mapping[str, _Entry]) -> None:
        """Refuse each part that is not the same as what came first under its uuid, in this batch or before.

        Where duplicates are told by their bytes, what came first may have another uuid.
        """
        for entry in entries:
            if entry.twin is None:
                continue
            with self._rejecting(entry):
                if entry.twin.id not in own:
                    entry.twin = entry.record = self._recorded(entry, entry.twin)
                if entry.twin.uuid != entry.uuid and self._set.duplicates == "refuse":
                    raise Rejected.because("duplicate", filename=shown(entry.twin.filename))
                digests = {entry.twin.sha256, entry.part.sha256} - {None}
                if entry.twin.size != entry.part.size or len(digests) > 1:
                    raise Rejected.because("uuid_taken")

    def _refuse_the_others(self) -> None:
        for entry in self._good():
            entry.part.reject(Rejected.because("batch_refused"))

    def _reserve(self, entries: list[_Entry], put: list[_Entry]) -> None:
        """Rows in state ``committing`` for ``entries``; those that are ours to link go into ``put``."""
        created = now()
        wanted = [self._wanted(entry, created + position) for position, entry in enumerate(entries)]
        for entry, mine, got in zip(entries, wanted, self._records.reserve(wanted), strict=True):
            if got.id == mine.id:
                entry.record = got
                put.append(entry)
            else:
                entry.twin = got

    def _wanted(self, entry: _Entry, created: int) -> Record:
        part, filename = entry.part, entry.verdict.filename
        assert part.staged
        return Record(
            id=new_id(),
            set=self._set.name,
            owner=self._owner,
            uuid=entry.uuid,
            filename=filename,
            path=entry.path,
            key=self._set.key(part, owner=self._owner, path=entry.path),
            storage=self._set.name if self._set.name in self._site.storages else "",
            size=part.size,
            type=kind_of(extension_of(filename)).media_type,
            sha256=part.sha256,
            once=self._set.duplicates != "keep",
            created=created,
            mark=part.staged.mark,
        )

    def _link(self, entry: _Entry) -> StagedFile:
        assert entry.part.staged and entry.record
        try:
            self._storage.commit(entry.part.staged, entry.record.key)
        except FileExistsError:
            # A file that no record names lies there. It is not ours, and stays.
            entry.record = self._records.rekey(entry.record)
            self._storage.commit(entry.part.staged, entry.record.key)
        return entry.part.staged

    def _take_back(self, put: list[_Entry]) -> None:
        """Undo a commit that failed half-way. What cannot be undone now is undone at the next start."""
        ids = [entry.record.id for entry in put if entry.record]
        if not ids:
            return
        with contextlib.suppress(OSError, SQLAlchemyError):
            self._site.undo(self._records.committing(ids))

    def _recorded(self, entry: _Entry, twin: Record) -> Record:
        """The stored file of a request that came first with this uuid. Rejected while that is not decided."""
        deadline = time.monotonic() + TWIN_PATIENCE
        found: Record | None = twin
        while found is not None and found.state == COMMITTING and time.monotonic() < deadline:
            time.sleep(0.02)
            found = self._records.reserved_or_stored(twin.id)
        if found is None or found.state == COMMITTING:
            raise Rejected.because("uuid_busy")
        return found


def _digest(part: Part) -> str:
    with part.open() as file:
        return file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # it has readinto


def index_of(key: str) -> int | None:
    """``file[12]`` → 12; None for ``file`` and ``file[]``."""
    match = re.fullmatch(r"[^\[\]]+\[([0-9]{1,9})\]", key)
    return int(match[1]) if match else None


@dataclass(frozen=True)
class Refusal:
    """The plain-text answer to a batch of which not everything was stored."""

    text: str
    status: int
    #: Whether the text has a line for each part not stored, so that a part without one was stored.
    per_part: bool


def refusal(verdicts: Sequence[Verdict]) -> Refusal | None:
    """The answer that tells the whole truth about ``verdicts``; None when every part was stored."""
    refused = [(verdict, verdict.rejected) for verdict in verdicts if verdict.rejected]
    if not refused:
        return None
    statuses = {rejected.status for _, rejected in refused}
    status = statuses.pop() if len(statuses) == 1 else 422
    if len(verdicts) == 1:
        return Refusal(refused[0][1].sentence, status, per_part=False)
    lines = [f'{verdict.key} "{shown(verdict.filename)}": {rejected.text}' for verdict, rejected in refused]
    stored = len(verdicts) - len(refused)
    if stored == 0:
        lines.append("No file was stored.")
    elif stored == 1:
        lines.append("The other file was stored.")
    else:
        lines.append(f"The other {stored} files were stored.")
    return Refusal("\n".join(lines), status, per_part=True)
