"""A batch: check every part, then commit the good ones; and what its verdicts say. No SQL, no HTML, no Flask."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from werkzeug.datastructures import FileStorage

from .checks import check_counts, check_sha256, check_uuid
from .config import FIELDS, told_apart
from .errors import Rejected, traced
from .intake import Part, receive_part
from .kinds import Kind, kind_of
from .languages import ENGLISH, Phrase
from .naming import display_path, extension_of, shown
from .records import COMMITTING, STORED, Record, check_together, new_ids, now
from .storage import StagedFile, together
from .uploads import Site, UploadSet

#: Other keys that are tried where a file lies at one, or at a folder of one: each folder may need a number.
_REKEYS = 16
#: Seconds that a repeated upload waits for the first one to be committed.
TWIN_PATIENCE = 10.0


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
    #: "" where the client gave none.
    uuid: str = ""
    path: str = ""
    #: Where it is to lie in the storage.
    key: str = ""
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
        """The set whose rules these parts were held to, as it was declared."""
        return self._set.declared

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
        self._try(lambda entry: self._set.check(entry.part), entry)

    def commit(self) -> None:
        """Make the good parts permanent and visible: reserve, link, record.

        Rejected where the whole request is refused; OSError or SQLAlchemyError where storage or database
        fail. Then nothing of the batch is stored.
        """
        if not self._entries:
            raise Rejected.because("no_file")
        try:
            parts = [entry.part for entry in self._entries]
            check_counts(self._rules, (0 if part.rejected else part.size for part in parts))
            self._number()
            for entry in self._entries:
                self._try(self._declare, entry)
            self._process()
            for entry in self._good():
                self._try(self._name, entry)
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

    def _try(self, step: Callable[[_Entry], None], entry: _Entry) -> None:
        try:
            step(entry)
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
        if uuid:
            check_uuid(f"uuid[{index}]", uuid)
        if size and not re.fullmatch(r"[0-9]{1,18}", size):
            raise Rejected.because("bad_field", field=f"size[{index}]", expected=Phrase("a number of bytes"))
        if sha256:
            check_sha256(f"sha256[{index}]", sha256)
        entry.uuid = uuid
        entry.path = display_path(path)
        if part.rejected is not None:
            return
        if size and int(size) != part.size:
            received, declared = told_apart(part.size, int(size))
            raise Rejected.because("size_differs", received=received, declared=declared)
        if sha256 and sha256.lower() != (part.digest()):
            raise Rejected.because("digest_differs")

    def _field(self, name: str, index: int) -> str:
        value = self._form.get(f"{name}[{index}]")
        if value is None and index == 0:
            value = self._form.get(name)
        return value or ""

    def _process(self) -> None:
        """Scan, clean and strip the good parts, as the set says. What came before has its verdict already."""
        processing = self._site.processing[self._set.name]
        if not processing:
            return
        entries = self._good()
        known = self._records.of_uuids(self._owner, [entry.uuid for entry in entries if entry.uuid])
        for entry in entries:
            entry.twin = known.get(entry.uuid)
            if entry.twin is None:
                self._try(lambda entry: processing.run(entry.part, self._storage), entry)

    def _name(self, entry: _Entry) -> None:
        assert entry.part.staged
        key = self._set.key(entry.part, owner=self._owner, path=entry.path)
        entry.key = self._storage.unused_key(key, entry.part.staged.size)

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
            self._storage.sync(together(self._link, put, self._storage.at_once))
            if put:
                linked = [entry.record for entry in put if entry.record]
                if urls := {record.id: record.url for record in linked if record.url}:
                    self._records.keep_urls(urls)
                self._records.store([record.id for record in linked])
            else:
                self._records.settle()
        except BaseException:
            self._take_back(put)
            raise
        with contextlib.suppress(OSError, SQLAlchemyError):
            # Storage and database work: so may what could not be undone when they did not.
            self._site.catch_up()
        for entry in self._good():
            first = own.get(entry.twin.id, entry) if entry.twin else entry
            entry.verdict.record = first.record
            entry.verdict.repeated = entry.twin is not None

    def _meet_twins(self, entries: list[_Entry], own: Mapping[str, _Entry]) -> None:
        """Refuse each part that is not the same as what came first under its uuid, in this batch or before.

        Where duplicates are told by their bytes, what came first may have another uuid.
        """
        for entry in entries:
            self._try(lambda entry: self._meet_twin(entry, own), entry)

    def _meet_twin(self, entry: _Entry, own: Mapping[str, _Entry]) -> None:
        if entry.twin is None:
            return
        if entry.twin.id not in own:
            entry.twin = entry.record = self._recorded(entry, entry.twin)
        if entry.twin.uuid != entry.uuid:
            if self._set.duplicates == "refuse":
                raise Rejected.because("duplicate", filename=shown(entry.twin.filename))
        elif not entry.twin.came_as(self._set.name, entry.part.size, entry.part.arrived_sha256):
            raise Rejected.because("uuid_taken")

    def _refuse_the_others(self) -> None:
        for entry in self._good():
            entry.part.reject(Rejected.because("batch_refused"))

    def _reserve(self, entries: list[_Entry], put: list[_Entry]) -> None:
        """Rows in state ``committing`` for ``entries``; those that are ours to link go into ``put``."""
        entries = [entry for entry in entries if entry.twin is None]
        if not entries:
            return
        created = now()
        wanted = [
            self._wanted(entry, id, created + position)
            for position, (entry, id) in enumerate(zip(entries, new_ids(len(entries)), strict=True))
        ]
        for entry, mine in zip(entries, wanted, strict=True):
            entry.record = mine
        # Until the answer is here all may be in the table, and would have to be taken back.
        put += entries
        try:
            reserved = self._records.reserve(wanted)
        except DBAPIError as error:
            if self._records.wrote_nothing(error):
                # To take it back would wait as long again.
                put.clear()
            raise
        put.clear()
        for entry, mine, got in zip(entries, wanted, reserved, strict=True):
            if isinstance(got, Rejected):
                entry.record = None
                entry.part.reject(self._in_vain(got, wanted))
            elif got.id == mine.id:
                entry.record = got
                put.append(entry)
            else:
                entry.record, entry.twin = None, got

    def _in_vain(self, refused: Rejected, wanted: Sequence[Record]) -> Rejected:
        """``refused``, or why to wait would not help: files that belong together and are more than any while takes."""
        if self._set.batch == "all" and refused.code == "window_full":
            try:
                windows = (self._site.settings.quota_window, self._set.quota_window)
                check_together(windows, [row.size for row in wanted])
            except Rejected as rejected:
                return rejected
        return refused

    def _wanted(self, entry: _Entry, id: str, created: int) -> Record:
        part, filename = entry.part, entry.verdict.filename
        assert part.staged
        sha256, arrived_sha256 = part.sha256, part.arrived_sha256
        replaced = arrived_sha256 != sha256
        kind = kind_of(extension_of(filename))
        return Record(
            id=id,
            set=self._set.name,
            owner=self._owner,
            # One of our own begins with the time: all of a batch land on one page of the index.
            uuid=entry.uuid or f"{created:013x}{id[13:]}",
            filename=filename,
            path=entry.path,
            key=entry.key,
            storage=self._set.name if self._set.name in self._site.storages else "",
            size=part.staged.size,
            type=kind.media_type,
            sha256=sha256,
            once=self._set.duplicates != "keep",
            created=created,
            mark=part.staged.mark,
            arrived_size=part.size if replaced else None,
            arrived_sha256=arrived_sha256 if replaced else None,
            inert=_is_inert(kind, part),
        )

    def _link(self, entry: _Entry) -> tuple[StagedFile, str]:
        assert entry.part.staged and entry.record
        for _ in range(_REKEYS):
            try:
                self._storage.commit(entry.part.staged, entry.record.key)
                break
            except FileExistsError as taken:
                # A file that no record names lies there: it is not ours, and stays. Or one lies at a folder.
                entry.record = self._records.rekey(entry.record, str(taken.filename or ""))
        else:
            self._storage.commit(entry.part.staged, entry.record.key)
        if url := entry.part.staged.url:
            entry.record = replace(entry.record, url=url)
        return entry.part.staged, entry.record.key

    def _take_back(self, put: list[_Entry]) -> None:
        """Undo a commit that failed half-way. What cannot be undone now the site keeps in mind."""
        with contextlib.suppress(OSError, SQLAlchemyError):
            self._site.undo([entry.record for entry in put if entry.record])

    def _recorded(self, entry: _Entry, twin: Record) -> Record:
        """The stored file of a request that came first with this uuid. Rejected while that is not decided."""
        deadline = time.monotonic() + TWIN_PATIENCE
        found: Record | None = twin
        while found is not None and found.state == COMMITTING and time.monotonic() < deadline:
            time.sleep(0.02)
            found = self._records.reserved_or_stored(twin.id)
        if found is None or found.state != STORED:
            raise Rejected.because("uuid_busy")
        return found


def _is_inert(kind: Kind, part: Part) -> bool | None:
    if kind.inert is None:
        return None
    with part.open() as file:
        return kind.inert(file)


@lru_cache(256)
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
    #: Row of the table → the parts that it refused, by their index: what a text in any language does not tell a script.
    codes: Mapping[str, Sequence[int]]


def refusal(verdicts: Sequence[Verdict], language: str = ENGLISH, request: str = "") -> Refusal | None:
    """The answer that tells the whole truth about ``verdicts`` in ``language``; None when every part was stored.

    ``request``: the id by which the log knows it.
    """
    refused = [(verdict, verdict.rejected) for verdict in verdicts if verdict.rejected]
    if not refused:
        return None
    statuses = {rejected.status for _, rejected in refused}
    status = statuses.pop() if len(statuses) == 1 else 422
    codes: dict[str, list[int]] = {}
    for verdict, rejected in refused:
        codes.setdefault(rejected.code, []).append(index_of(verdict.key) or 0)
    if len(verdicts) == 1:
        sentence = traced(refused[0][1].sentence_in(language), status, request, language)
        return Refusal(sentence, status, per_part=False, codes=codes)
    lines = [
        f'{verdict.key} "{shown(verdict.filename)}": '
        + traced(rejected.told(language), rejected.status, request, language)
        for verdict, rejected in refused
    ]
    stored = len(verdicts) - len(refused)
    if stored == 0:
        closing = Phrase("No file was stored.")
    elif stored == 1:
        closing = Phrase("The other file was stored.")
    else:
        closing = Phrase("The other {n} files were stored.", n=stored)
    return Refusal("\n".join([*lines, closing.told(language)]), status, per_part=True, codes=codes)
