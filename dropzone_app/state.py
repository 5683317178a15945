"""What became of an upload, or what would become of it: told before a byte of it is sent. No SQL, no HTML, no Flask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .checks import check_announced
from .errors import Rejected
from .naming import display_name, shown
from .records import COMMITTING, STORED, Held, Record, Unfinished, now
from .uploads import Site, UploadSet


@dataclass(frozen=True)
class Announced:
    """A file that a client would like to send."""

    uuid: str
    filename: str
    size: int
    sha256: str | None = None
    path: str = ""


@dataclass(frozen=True)
class State:
    """An upload as its owner may know it: ``new``, ``refused``, ``receiving`` or ``stored``."""

    state: str
    #: Bytes of the whole file.
    size: int | None = None
    #: What of it has arrived, half-open, in order.
    ranges: Sequence[tuple[int, int]] | None = None
    rejected: Rejected | None = None
    record: Record | None = None

    #: What an upload on its way is called, for a page that no longer has the file.
    upload: Unfinished | None = None


NEW = State("new")


def of_record(record: Record) -> State:
    """The state of a file that is stored, or whose bytes are all there and being committed."""
    if record.state != STORED:
        return State("receiving", record.size, [(0, record.size)] if record.size else [])
    return State("stored", record.size, record=record)


def of_upload(upload: Unfinished, held: Sequence[Held]) -> State:
    """The state of a file that arrives in chunks."""
    if upload.refused and upload.refusal:
        return State("refused", upload.size, rejected=Rejected.loads(upload.refusal))
    ranges: list[tuple[int, int]] = []
    if upload.direct and upload.state == COMMITTING:
        ranges = [(0, upload.size)]
    for start, end, _ in held:
        if ranges and ranges[-1][1] == start:
            start = ranges.pop()[0]
        ranges.append((start, end))
    return State("receiving", upload.size, ranges, upload=upload)


def states(site: Site, owner: str, uuids: Sequence[str]) -> dict[str, State]:
    """The states of those of the owner's uploads that are known, by uuid."""
    # In this order: a file that is stored between the two looks is found by the second.
    uploads = site.records.unfinished.of_uuids(owner, uuids)
    records = site.records.of_uuids(owner, uuids)
    held = site.records.unfinished.held([upload.id for upload in uploads.values()])
    found: dict[str, State] = {}
    for uuid, upload in uploads.items():
        if not upload.file:
            found[uuid] = of_upload(upload, held[upload.id])
        elif record := site.records.file(upload.file):
            found[uuid] = of_record(record)
    found |= {uuid: of_record(record) for uuid, record in records.items()}
    if any(state.record for state in found.values()):
        site.records.settle()
    return found


def announce(
    site: Site,
    upload_set: UploadSet,
    owner: str,
    files: Sequence[Announced],
    may_know: Callable[[State], bool],
) -> dict[str, State]:
    """What would become of ``files`` of one drop, by uuid: refused by name, size or count, or there already.

    What only the bytes can tell is told when they come; nothing of what is there and who asks may not know of.
    """
    rules = site.rules[upload_set.name]
    there = states(site, owner, [file.uuid for file in files])
    known = {uuid: state for uuid, state in there.items() if may_know(state)}
    same: dict[str, Record] = {}
    if upload_set.duplicates != "keep":
        digests = [file.sha256 for file in files if file.sha256]
        same = site.records.of_digests(owner, upload_set.name, digests)
        if same:
            site.records.settle()

    def judged(file: Announced) -> State:
        if file.uuid in known:
            return _repeated(file, known[file.uuid], upload_set.name)
        check_announced(rules, display_name(file.filename), file.size)
        twin = same.get(file.sha256 or "")
        if twin is None or not may_know(of_record(twin)):
            return NEW
        if upload_set.duplicates == "refuse":
            raise Rejected.because("duplicate", filename=shown(twin.filename))
        return of_record(twin)

    quotas = site.records.quotas
    room = quotas.room(owner) if quotas else None
    told: dict[str, State] = {}
    taken = 0
    for file in files:
        try:
            state = judged(file)
            if rules.max_files and taken >= rules.max_files:
                raise Rejected.because("drop_full", limit=rules.max_files)
            if room and state is NEW:
                room.take(upload_set.name, file.size, now())
            taken += 1
        except Rejected as rejected:
            state = State("refused", file.size, rejected=rejected)
        told[file.uuid] = state
    return told


def _repeated(file: Announced, known: State, set_name: str) -> State:
    """The state of a file whose uuid came before. Rejected when it came with another file, or was refused."""
    if known.record and not known.record.came_as(set_name, file.size, file.sha256):
        raise Rejected.because("uuid_taken")
    if known.upload and known.upload.size != file.size:
        raise Rejected.because("chunk_changed", field="size")
    if known.rejected:
        raise known.rejected
    return known
