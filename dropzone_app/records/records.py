"""A file's row from its reservation on, and the reports of batches."""

from __future__ import annotations

import json
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    insert,
    literal_column,
    make_url,
    null,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from ..config import SettingError
from ..errors import Rejected
from ..naming import numbered
from ..processes import is_alive, this_process
from . import migrations
from .database import Database, NotSynced, Prepared, is_id, now
from .quota import Quota, Quotas, Room, changing
from .shares import Shares
from .tables import COMMITTING, STORED, UNDOING
from .tables import batches as _batches
from .tables import files as _files
from .tables import numbers as _numbers
from .tables import shares as _shares
from .tables import turns as _turns
from .tables import uploads as _uploads
from .tokens import Tokens
from .unfinished import CANCELLED, UnfinishedUploads

#: Tries to find a free key before a random one is taken.
_NUMBERED_TRIES = 3
#: Tries of a transaction that others stood in the way of.
_TRIES = 5
#: A batch's report is kept for a day.
BATCH_LIFETIME = 24 * 3600 * 1_000_000


@dataclass(frozen=True)
class Record:
    """A file that exists, or is just coming into existence."""

    id: str
    set: str
    owner: str
    uuid: str
    filename: str
    path: str
    key: str
    size: int
    type: str
    sha256: str | None
    created: int
    storage: str = ""
    once: bool = False
    mark: str | None = None
    state: str = COMMITTING
    #: What came, where something else was stored.
    arrived_size: int | None = None
    arrived_sha256: str | None = None
    #: Of a kind that may hold a script: whether it holds none; None where nobody has looked.
    inert: bool | None = None
    #: Where its storage told that everyone may fetch it, for good; None where it told nothing.
    url: str | None = None

    def came_as(self, set_name: str, size: int, sha256: str | None) -> bool:
        """Whether a file for this set, of this size and digest, can be the one that came; None in place of a digest
        is any.
        """
        if set_name != self.set:
            return False
        changed = self.arrived_size is not None
        digest = self.arrived_sha256 if changed else self.sha256
        return size == (self.arrived_size if changed else self.size) and len({sha256, digest} - {None}) < 2


def new_id() -> str:
    """A random 128-bit id, 32 hexadecimal digits."""
    return secrets.token_hex(16)


def new_ids(count: int) -> list[str]:
    """So many for rows that are put together: they ascend with the time, and 84 bits of each are random.

    Rows whose ids are near one another share a page of the index; of random ones each dirties a page of its own.
    """
    # Asking the system for random bytes costs as much as the rest of a row.
    digits = secrets.token_hex(11 * count)
    began = f"{now() // 1000:011x}"
    return [began + digits[at : at + 21] for at in range(0, 22 * count, 22)]


class Records:
    """The records behind one database URL."""

    def __init__(self, url: str, *, durable: bool = True, quotas: Mapping[str, Quota] | None = None) -> None:
        """Connect to ``url``; SettingError where that cannot be, or its tables are not those of this version.

        ``quotas``: as :class:`Quotas` has them.
        """
        self._database = database = _open(url, durable=durable)
        self._engine = database.engine
        self._read, self._write = database.read, database.write
        sums = Quotas(database, quotas or {})
        #: What each owner may have; None where that is everything.
        self.quotas = sums or None
        try:
            migrations.prepare(database)
            sums.start()
        except SettingError:
            database.close()
            raise
        except SQLAlchemyError as error:
            database.close()
            # Some drivers tell it in several lines.
            reason = " ".join(str(error.__cause__ or error).split())
            raise SettingError(f"UPLOADS_DATABASE: {self} cannot be used: {reason}.") from error
        #: Uploads of which not all has arrived.
        self.unfinished = UnfinishedUploads(database, self.quotas)
        self.tokens = Tokens(database)
        self.shares = Shares(database)
        # What was cancelled is refused by the statement that puts all others.
        self._insert = Prepared(
            self._engine,
            database.upsert(_files)
            .from_select(
                list(_files.c),
                select(*(bindparam(column.name, type_=column.type) for column in _files.c)).where(
                    ~exists().where(
                        _uploads.c.owner == bindparam("owner", type_=_files.c.owner.type),
                        _uploads.c.uuid == bindparam("uuid", type_=_files.c.uuid.type),
                        _uploads.c.state == literal_column(f"'{CANCELLED}'"),
                    )
                ),
            )
            .on_conflict_do_nothing(),
        )
        self._store = Prepared(
            self._engine,
            update(_files)
            .where(_files.c.id == bindparam("reserved"), _files.c.state == literal_column(f"'{COMMITTING}'"))
            .values(state=literal_column(f"'{STORED}'"), process=null(), mark=null()),
        )

    def __str__(self) -> str:
        return str(self._database)

    def close(self) -> None:
        """Let go of all connections."""
        self._database.close()

    @property
    def database_file(self) -> Path | None:
        """The file of the database, where it is one of this machine."""
        return Path(self._database.file) if self._database.file else None

    def unsafe_setting(self) -> str | None:
        """A setting of the database that is off, so that a power cut takes what was committed."""
        return self._database.unsafe_setting()

    def check(self) -> None:
        """SQLAlchemyError unless the database answers."""
        self._database.check()

    def check_writable(self) -> None:
        """SQLAlchemyError unless the database answers and takes what is written."""
        self._database.check()
        self._database.check_writable()

    # ---- the two steps of a commit

    def wrote_nothing(self, error: DBAPIError) -> bool:
        """Whether it is certain of what failed so that nothing of it was written."""
        return self._database.wrote_nothing(error)

    def reserve(self, wanted: Sequence[Record]) -> list[Record | Rejected]:
        """Put rows in state ``committing``, each with a key of its own, in one transaction.

        A row whose (owner, uuid) is there already is not put: the row that is there comes back in its place,
        with its own id; of rows to be stored ``once`` also one whose owner has the same bytes in the same set. A key
        that is taken gets a number: ``photo.jpg``, ``photo_1.jpg``, … In place of a row for which its owner has no
        room, or whose upload was cancelled, there is the refusal.
        """
        for _ in range(_TRIES - 1):
            try:
                return self._reserve(wanted)
            except DBAPIError as error:
                if not self._database.may_repeat(error):
                    raise
        return self._reserve(wanted)

    def _reserve(self, wanted: Sequence[Record]) -> list[Record | Rejected]:
        simple = self.quotas is None and not any(row.once for row in wanted)
        if simple and self._database.change_each(self._insert, _rows(wanted)):
            # As nearly all are: new, under a name that is free.
            return list(wanted)
        reserved: dict[str, Record] = {}
        refused: dict[str, Rejected] = {}
        with self._write() as connection, changing(self.quotas, connection, wanted[0].owner) as room:
            if wanted[0].once:
                # Two that look at once would both find nothing.
                self._database.queue(connection, f"once {wanted[0].owner}")
                reserved |= self._same_bytes(connection, wanted)
            self._put(connection, [row for row in wanted if row.id not in reserved], reserved)
            for attempt in range(_NUMBERED_TRIES + 1):
                left = [row for row in wanted if row.id not in reserved]
                if not left:
                    break
                known = self._by_uuid(connection, left)
                reserved |= {
                    row.id: known[row.owner, row.uuid] for row in left if (row.owner, row.uuid) in known
                }
                cancelled = self._cancelled(connection, left)
                refused |= cancelled
                reserved |= {row.id: row for row in left if row.id in cancelled}
                left = [row for row in left if row.id not in reserved]
                if attempt < _NUMBERED_TRIES:
                    left = self._numbered(connection, left)
                else:
                    # Somebody has named files exactly as we number them. No probing: a random number is free.
                    left = [replace(row, key=numbered(row.key, secrets.token_hex(8))) for row in left]
                self._put(connection, left, reserved)
            if room:
                put = [row for row in wanted if reserved[row.id].id == row.id and row.id not in refused]
                refused |= self._hold_to(room, connection, put)
        # What is the same as another of this very call stands for what became of that one.
        stands = (reserved.get(reserved[row.id].id, reserved[row.id]) for row in wanted)
        return [refused.get(row.id, row) for row in stands]

    def _hold_to(self, room: Room, connection: Connection, put: Sequence[Record]) -> dict[str, Rejected]:
        """Take back those of the rows just put for which there is no room; by id, why."""
        assert self.quotas
        refused: dict[str, Rejected] = {}
        before = self.quotas.hand_over(connection, put[0].owner, [row.uuid for row in put]) if put else {}
        for row in put:
            had = before.get(row.uuid)
            try:
                if had is None:
                    room.take(row.set, row.size, row.created)
                else:
                    room.replace(row.set, had, row.size)
            except Rejected as rejected:
                refused[row.id] = rejected
        if refused:
            connection.execute(delete(_files).where(_files.c.id.in_(refused)))
        return refused

    def _same_bytes(self, connection: Connection, rows: Sequence[Record]) -> dict[str, Record]:
        """Those of ``rows`` whose bytes are there or come earlier among them, with the one that has them."""
        digests = {row.sha256 for row in rows}
        found = connection.execute(
            select(_files).where(_files.c.owner == rows[0].owner, _files.c.sha256.in_(digests), text("once"))
        ).mappings()
        known = {(row["set"], row["sha256"]): _record(row) for row in found}
        same: dict[str, Record] = {}
        for row in rows:
            first = known.setdefault((row.set, row.sha256), row)
            if first.id != row.id:
                same[row.id] = first
        return same

    def _put(self, connection: Connection, rows: Sequence[Record], reserved: dict[str, Record]) -> None:
        """Insert what conflicts with nothing, in one statement, and note it in ``reserved``."""
        if not rows:
            return
        if self._insert.run(connection, _rows(rows)) == len(rows):
            reserved |= {row.id: row for row in rows}
            return
        ids = [row.id for row in rows]
        put = set(connection.execute(select(_files.c.id).where(_files.c.id.in_(ids))).scalars())
        reserved |= {row.id: row for row in rows if row.id in put}

    def _by_uuid(self, connection: Connection, rows: Iterable[Record]) -> dict[tuple[str, str], Record]:
        uuids: dict[str, list[str]] = {}
        for row in rows:
            uuids.setdefault(row.owner, []).append(row.uuid)
        wanted = [and_(_files.c.owner == owner, _files.c.uuid.in_(of)) for owner, of in uuids.items()]
        found = connection.execute(select(_files).where(or_(*wanted))).mappings()
        return {(row["owner"], row["uuid"]): _record(row) for row in found}

    def _cancelled(self, connection: Connection, rows: Sequence[Record]) -> dict[str, Rejected]:
        """The refusals of those of ``rows`` whose uploads were cancelled before they came, by their ids."""
        if not rows:
            return {}
        found = connection.execute(
            select(_uploads.c.uuid, _uploads.c.refusal).where(
                _uploads.c.owner == rows[0].owner,
                _uploads.c.uuid.in_([row.uuid for row in rows]),
                _uploads.c.state == CANCELLED,
            )
        )
        refusals = {row.uuid: Rejected.loads(row.refusal) for row in found}
        return {row.id: refusals[row.uuid] for row in rows if row.uuid in refusals}

    def _numbered(self, connection: Connection, rows: list[Record]) -> list[Record]:
        """The rows with the next numbers of their keys; constant time, however many files share a name."""
        if not rows:
            return []
        counts = Counter(_place(row) for row in rows)
        firsts = self._database.upsert(_numbers).values(
            [{"key": key, "next": count + 1} for key, count in sorted(counts.items())]
        )
        after = connection.execute(
            firsts.on_conflict_do_update(
                index_elements=["key"], set_={"next": _numbers.c.next + firsts.excluded.next - 1}
            ).returning(_numbers.c.key, _numbers.c.next)
        )
        numbers = {key: iter(range(end - counts[key], end)) for key, end in after}
        return [replace(row, key=numbered(row.key, next(numbers[_place(row)]))) for row in rows]

    def rekey(self, record: Record, taken: str = "") -> Record:
        """Give a reserved row another key: a file lies at the one it had, or at ``taken``, a folder of it."""
        key = record.key
        if key.startswith(f"{taken}/"):
            # Always the same number, so that what was dropped together lies together. One that was cut to make room
            # for its number may be the very name that is taken.
            other = numbered(taken, 1)
            if len(other.encode()) <= len(taken.encode()):
                other = numbered(taken, crc32(taken.encode()))
            key = other + key.removeprefix(taken)
        key = numbered(key, secrets.token_hex(8))
        with self._write() as connection:
            connection.execute(update(_files).where(_files.c.id == record.id).values(key=key))
        return replace(record, key=key)

    def keep_urls(self, urls: Mapping[str, str]) -> None:
        """Note where the files of reserved rows can be fetched for good, by their ids."""
        told = update(_files).where(_files.c.id == bindparam("told")).values(url=bindparam("at"))
        with self._write() as connection:
            connection.execute(told, [{"told": id, "at": url} for id, url in urls.items()])

    def store(self, ids: Sequence[str]) -> None:
        """Make reserved rows ``stored``, all of them in one transaction, for good."""
        try:
            if not self._database.change_each(self._store, [{"reserved": id} for id in ids], final=True):
                raise SQLAlchemyError("a reservation was undone while it was being committed")
        except NotSynced:
            # Nobody is told that it is stored: then it must not be.
            with self._write() as connection:
                connection.execute(update(_files).where(_files.c.id.in_(ids)).values(_undoing()))
            raise
        except DBAPIError:
            # What was lost with a connection may be the answer only.
            with self._read() as connection:
                if list(_states(connection, ids).values()) != [STORED] * len(ids):
                    raise

    def settle(self) -> None:
        """Wait until what can be seen as stored by now is so for good: another's may be on its way to the disk."""
        self._database.settle()

    def withdraw(self, ids: Sequence[str]) -> dict[str, str]:
        """See that what is only reserved under ``ids`` is never stored. The states of those that have a row."""
        with self._write() as connection:
            # Where a lost connection's commit is not decided yet, this waits for it.
            connection.execute(
                update(_files).where(_files.c.id.in_(ids), _files.c.state == COMMITTING).values(_undoing())
            )
            return _states(connection, ids)

    def release(self, records: Iterable[Record]) -> None:
        """Remove reservations whose bytes are gone. Each of ``records`` is as it was before it was to be undone."""
        undone = {record.id: record for record in records}
        if not undone:
            return
        gone = delete(_files).where(_files.c.id.in_(undone), _files.c.state != STORED)
        with self._write() as connection:
            if not self.quotas:
                connection.execute(gone)
                return
            # In one order for everybody.
            for owner in sorted({record.owner for record in undone.values()}):
                with self.quotas.changing(connection, owner) as room:
                    ids = connection.execute(
                        gone.where(_files.c.owner == owner).returning(_files.c.id)
                    ).scalars()
                    self._count_no_more(room, connection, [undone[id] for id in ids])

    @staticmethod
    def _count_no_more(room: Room, connection: Connection, gone: Sequence[Record]) -> None:
        """Take files of one owner out of the sums."""
        failed = [record for record in gone if record.state == COMMITTING]
        # What came in chunks has not failed with its file: all but its last one is here.
        begun = set()
        if failed:
            begun = set(
                connection.execute(
                    select(_uploads.c.uuid).where(
                        _uploads.c.owner == failed[0].owner,
                        _uploads.c.uuid.in_([record.uuid for record in failed]),
                        _uploads.c.state != CANCELLED,
                    )
                ).scalars()
            )
        for record in gone:
            if record.state == COMMITTING and record.uuid not in begun:
                room.give_up(record.set, record.size, record.created)
            else:
                room.add(record.set, -record.size, -1)

    def claim_abandoned(self) -> list[Record]:
        """Reservations of processes that are gone, to be undone by the caller: nobody else is given them too."""
        # As a writer: a killed process may hold the lock for a last moment, and what it commits then counts.
        with self._write() as connection:
            unfinished = select(_files).where(_files.c.state.in_([COMMITTING, UNDOING]))
            # Where several may write: what another one is just claiming is not waited for.
            found = connection.execute(unfinished.with_for_update(skip_locked=True)).mappings()
            claimed = _of_dead_processes(found)
            if claimed:
                ids = [{"claimed": record.id} for record in claimed]
                claim = update(_files).where(_files.c.id == bindparam("claimed"))
                connection.execute(claim.values(_undoing()), ids)
            return claimed

    def abandoned(self) -> list[Record]:
        """The same, only told."""
        with self._read() as connection:
            unfinished = select(_files).where(_files.c.state.in_([COMMITTING, UNDOING]))
            return _of_dead_processes(connection.execute(unfinished).mappings())

    def take_turn(self, name: str, every: float) -> bool:
        """Whether it is this process's turn to do what ``name`` stands for: one's, every so many seconds."""
        turn = self._database.upsert(_turns).values(name=name, taken=now())
        turn = turn.on_conflict_do_update(
            index_elements=["name"],
            set_={"taken": turn.excluded.taken},
            where=_turns.c.taken < turn.excluded.taken - int(every * 1e6),
        )
        with self._write() as connection:
            return connection.execute(turn.returning(_turns.c.name)).first() is not None

    # ---- what is stored

    def file(self, id: str) -> Record | None:
        """The stored file with this id, whoever owns it."""
        found = self.reserved_or_stored(id)
        return found if found and found.state == STORED else None

    def reserved_or_stored(self, id: str) -> Record | None:
        """The file with this id, also while it is being committed; None once it is neither."""
        if not is_id(id):
            return None
        with self._read() as connection:
            found = connection.execute(select(_files).where(_files.c.id == id)).mappings().first()
            return _record(found) if found else None

    def existing(self, ids: Iterable[str]) -> set[str]:
        """Those of ``ids``, a thousand at most, that a row has in any state."""
        with self._read() as connection:
            return set(connection.execute(select(_files.c.id).where(_files.c.id.in_(ids))).scalars())

    def known_keys(self, storage: str, keys: Iterable[str]) -> set[str]:
        """Those of ``keys``, a thousand at most, that a row has in any state."""
        query = select(_files.c.key).where(_files.c.storage == storage, _files.c.key.in_(list(keys)))
        with self._read() as connection:
            return set(connection.execute(query).scalars())

    def of_uuids(self, owner: str, uuids: Iterable[str]) -> dict[str, Record]:
        """The owner's files that came under these uuids, also those being committed, by uuid."""
        # A client's words: a NUL is no text for PostgreSQL, and in no uuid.
        asked = [uuid for uuid in uuids if "\0" not in uuid]
        query = select(_files).where(_files.c.owner == owner, _files.c.uuid.in_(asked))
        with self._read() as connection:
            return {row["uuid"]: _record(row) for row in connection.execute(query).mappings()}

    def of_digests(self, owner: str, set_name: str, digests: Iterable[str]) -> dict[str, Record]:
        """The owner's stored files with these bytes, by digest, in a set that keeps the same bytes once."""
        query = select(_files).where(
            _files.c.owner == owner,
            _files.c.sha256.in_(list(digests)),
            text("once"),
            _files.c.set == set_name,
            _files.c.state == STORED,
        )
        with self._read() as connection:
            return {row["sha256"]: _record(row) for row in connection.execute(query).mappings()}

    def files(self, owner: str, *, limit: int, after: tuple[int, str] | None = None) -> list[Record]:
        """The owner's files, newest first; ``after``: (created, id) of the last one seen."""
        query = select(_files).where(_files.c.state == STORED, _files.c.owner == owner)
        if after is not None:
            # Compared as a pair, which an index can find; with "or" every newer file would be passed by.
            query = query.where(tuple_(_files.c.created, _files.c.id) < tuple_(*after))
        query = query.order_by(_files.c.created.desc(), _files.c.id.desc()).limit(limit)
        with self._read() as connection:
            return [_record(row) for row in connection.execute(query).mappings()]

    def everything(self) -> Iterator[Record]:
        """All stored files of all owners, newest first."""
        query = select(_files).where(_files.c.state == STORED)
        query = query.order_by(_files.c.created.desc(), _files.c.id.desc())
        with (
            self._read() as connection,
            # Closed also where the caller has seen enough: the server would keep its place in the list.
            connection.execution_options(yield_per=1000).execute(query) as found,
        ):
            for row in found.mappings():
                yield _record(row)

    def retire(self, id: str, owner: str) -> Record | None:
        """Make a stored file vanish for everyone, for good; None where the owner has none of this id.

        Its row stays as a reservation of ours, so that its bytes are removed even if this process dies now.
        """
        if not is_id(id):
            return None
        with self._write(final=True) as connection:
            row = connection.execute(
                update(_files)
                .where(_files.c.id == id, _files.c.owner == owner, _files.c.state == STORED)
                .values({**_undoing(), "mark": None})
                .returning(*_files.c)
            )
            found = row.mappings().first()
            if found:
                connection.execute(delete(_shares).where(_shares.c.file == id))
            return _record(found) if found else None

    # ---- what became of a batch

    def add_batch(self, owner: str, report: dict[str, Any]) -> str:
        """Keep a batch's report for a day; its id."""
        id, created = new_id(), now()
        with self._write() as connection:
            connection.execute(delete(_batches).where(_batches.c.created < created - BATCH_LIFETIME))
            connection.execute(
                insert(_batches), {"id": id, "owner": owner, "created": created, "report": json.dumps(report)}
            )
        return id

    def batch(self, id: str, owner: str | None) -> dict[str, Any] | None:
        """A batch's report, if it is ``owner``'s and not older than a day."""
        if not is_id(id):
            return None
        with self._read() as connection:
            found = connection.execute(
                select(_batches.c.report, _batches.c.created).where(
                    _batches.c.id == id,
                    _batches.c.owner == owner,
                    _batches.c.created > now() - BATCH_LIFETIME,
                )
            ).first()
            return {"id": id, "created": found.created, **json.loads(found.report)} if found else None


def _undoing() -> dict[str, Any]:
    """What makes a row one that is being undone: it stands in the way of no other upload, however long that takes."""
    return {"state": UNDOING, "process": this_process(), "uuid": _files.c.id, "once": False}


def _states(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """The states of those of ``ids`` that have a row."""
    found = connection.execute(select(_files.c.id, _files.c.state).where(_files.c.id.in_(ids)))
    return {row.id: row.state for row in found}


def _place(record: Record) -> str:
    """A key among the keys of all storages."""
    return f"{record.storage}/{record.key}"


def _rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    # In one order for everybody, so that seldom two wait for each other.
    process = this_process()
    return [{**record.__dict__, "process": process} for record in sorted(records, key=_place)]


def _of_dead_processes(rows: Iterable[Any]) -> list[Record]:
    return [
        _record(row) for row in rows if not is_alive(row["process"] or "", (now() - row["created"]) / 1e6)
    ]


def _record(row: Any) -> Record:
    return Record(**{name: row[name] for name in Record.__dataclass_fields__})


def _open(url: str, *, durable: bool) -> Database:
    try:
        parsed = make_url(url)
        scheme = parsed.drivername
        # Here and not above: neither needs anything of the other.
        if scheme.partition("+")[0] == "sqlite":
            from .sqlite import SQLite

            return SQLite(parsed, durable=durable)
        if scheme in {"postgresql+psycopg", "postgresql", "postgres"}:
            from .postgresql import PostgreSQL

            return PostgreSQL(parsed, durable=durable)
    except ModuleNotFoundError as error:
        if error.name == "psycopg":
            raise SettingError(
                "UPLOADS_DATABASE is PostgreSQL, and psycopg is not installed; "
                "run `pip install 'dropzone_app[postgresql]'`."
            ) from error
    except (ArgumentError, ValueError):
        pass
    # A password may stand in it.
    shown = re.sub(r"(?<=//)[^@/]*@", "***@", url)
    raise SettingError(
        "UPLOADS_DATABASE must be a URL such as 'sqlite:///instance/app.sqlite' or "
        f"'postgresql+psycopg://user@host/name'; it is {shown!r}."
    )
