"""Uploads of which not all has arrived: what the first chunk said, and which bytes are there.

A chunk costs the same however many came before it: one row of its own, and a sum that is kept.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from enum import Enum, auto
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, select, tuple_, update

from ..processes import is_alive, this_process
from ..storage import is_direct
from .database import Database, is_id, now
from .quota import Quotas, changing
from .tables import COMMITTING, STORED
from .tables import chunks as _chunks
from .tables import uploads as _uploads

RECEIVING, REFUSED, CANCELLED = "receiving", "refused", "cancelled"

#: Rows of one look at all uploads.
_AT_ONCE = 1000

#: Uploads of one owner that are remembered as cancelled without ever having begun.
_MOST_CANCELLED = 1000

#: Seconds that no commit lasts: where its end could not be written down, it is over all the same.
_COMMIT_LIMIT = 24 * 3600.0


@dataclass(frozen=True)
class Unfinished:
    """An upload that comes in pieces. What stands above ``sha256`` was settled by the first of them, for good."""

    id: str
    owner: str
    uuid: str
    set: str
    #: Which of the app's storages has the bytes, and what they are called there.
    storage: str
    handle: str
    filename: str
    path: str
    size: int
    #: Bytes of every chunk but the last; 0 where its bytes come in order, in pieces of any length.
    chunk_size: int
    created: int
    #: When the last chunk came.
    updated: int
    #: Of the whole file, as the client declared it.
    sha256: str | None = None
    #: Bytes that are there.
    received: int = 0
    #: RECEIVING, COMMITTING, REFUSED, CANCELLED or, where the same bytes were stored already, STORED as ``file``.
    state: str = RECEIVING
    #: The refusal, as whoever recorded it wrote it down.
    refusal: str | None = None
    file: str | None = None
    #: What a client of the tus protocol told of it; None where another client sends it.
    tus_metadata: str | None = None

    @property
    def direct(self) -> bool:
        """Whether its bytes go from the client straight to the store."""
        return is_direct(self.handle)

    @property
    def refused(self) -> bool:
        """Whether nothing comes of it any more, for the reason that ``refusal`` tells."""
        return self.state in (REFUSED, CANCELLED)


class Held(NamedTuple):
    """Bytes that are there: half-open, and the mark that the storage gave them."""

    start: int
    end: int
    mark: str


class Taken(Enum):
    """What became of a chunk whose bytes have arrived."""

    #: It counts from now on.
    KEPT = auto()
    #: The same chunk counted before.
    AGAIN = auto()
    #: It is the last one that was missing; the caller commits the file, and nobody else.
    LAST = auto()
    #: Other bytes counted at the same place.
    DIFFERENT = auto()
    #: It is neither one that counted nor beside them.
    OVERLAPPING = auto()
    #: Another digest of the whole file was declared before.
    REDECLARED = auto()
    #: The upload is being committed, stored, refused or gone.
    CLOSED = auto()


class UnfinishedUploads:
    """The uploads of one database of which not all has arrived."""

    def __init__(self, database: Database, quotas: Quotas | None = None) -> None:
        self._quotas = quotas
        self._read, self._write = database.read, database.write
        self._begin = database.upsert(_uploads).on_conflict_do_nothing()
        whole = database.upsert(_chunks)
        self._put_whole = whole.on_conflict_do_update(
            index_elements=["upload", "start"], set_={"end": whole.excluded.end, "mark": whole.excluded.mark}
        )

    def get(self, id: str) -> Unfinished | None:
        """The upload with this id, whoever's it is."""
        if not is_id(id):
            return None
        with self._read() as connection:
            row = connection.execute(select(_uploads).where(_uploads.c.id == id)).mappings().first()
            return _unfinished(row) if row else None

    def find(self, owner: str, uuid: str) -> Unfinished | None:
        """The owner's upload with this uuid."""
        return self.of_uuids(owner, [uuid]).get(uuid)

    def of_uuids(self, owner: str, uuids: Iterable[str]) -> dict[str, Unfinished]:
        """Those of the owner's uploads that have one of ``uuids``, by uuid."""
        # A client's words: a NUL is no text for PostgreSQL, and in no uuid.
        asked = [uuid for uuid in uuids if "\0" not in uuid]
        query = select(_uploads).where(_uploads.c.owner == owner, _uploads.c.uuid.in_(asked))
        with self._read() as connection:
            return {row["uuid"]: _unfinished(row) for row in connection.execute(query).mappings()}

    def of_owner(self, owner: str, limit: int) -> list[Unfinished]:
        """The owner's uploads that still receive chunks or are being committed, newest first."""
        query = select(_uploads).where(
            _uploads.c.owner == owner, _uploads.c.state.in_((RECEIVING, COMMITTING))
        )
        query = query.order_by(_uploads.c.created.desc(), _uploads.c.id.desc()).limit(limit)
        with self._read() as connection:
            return [_unfinished(row) for row in connection.execute(query).mappings()]

    def begin(self, upload: Unfinished) -> Unfinished:
        """Put a row, unless the owner has one with this uuid: then that one comes back in its place.

        Rejected, and nothing is put, where the owner has no room for it.
        """
        counts = bool(self._quotas) and upload.state == RECEIVING
        with self._write() as connection, changing(self._quotas, connection, upload.owner) as room:
            connection.execute(self._begin, {**asdict(upload), "process": None, "counts": counts})
            found = connection.execute(
                select(_uploads).where(_uploads.c.owner == upload.owner, _uploads.c.uuid == upload.uuid)
            )
            row = _unfinished(found.mappings().one())
            if room and counts and row.id == upload.id:
                room.take(upload.set, upload.size, upload.created)
            return row

    def _let_go(self, connection: Connection, ids: Sequence[str], *, counts: bool = False) -> None:
        """Take uploads out of their owners' sums, or with ``counts`` back into them."""
        if not self._quotas:
            return
        changed = _uploads.c.counts != counts
        owners = connection.execute(
            select(_uploads.c.owner).where(_uploads.c.id.in_(ids), changed).distinct()
        )
        # In one order for everybody.
        for owner in sorted(owners.scalars()):
            with self._quotas.changing(connection, owner) as room:
                done = update(_uploads).where(_uploads.c.id.in_(ids), _uploads.c.owner == owner, changed)
                for row in connection.execute(
                    done.values(counts=counts).returning(_uploads.c.set, _uploads.c.size, _uploads.c.created)
                ):
                    if counts:
                        room.add(row.set, row.size)
                    else:
                        room.give_up(*row)

    def holds(self, id: str, start: int, end: int) -> bool:
        """Whether exactly these bytes are there."""
        query = select(_chunks.c.end).where(_chunks.c.upload == id, _chunks.c.start == start)
        with self._read() as connection:
            return connection.execute(query).scalar() == end

    def held(self, ids: Sequence[str]) -> dict[str, list[Held]]:
        """The chunks of each of these uploads, in order."""
        query = select(_chunks).where(_chunks.c.upload.in_(ids)).order_by(_chunks.c.upload, _chunks.c.start)
        found: dict[str, list[Held]] = {id: [] for id in ids}
        with self._read() as connection:
            for row in connection.execute(query):
                found[row.upload].append(Held(row.start, row.end, row.mark))
        return found

    def take(self, id: str, chunk: Held, sha256: str | None) -> Taken:
        """Let a chunk count whose bytes are in their place, and the digest that was declared beside it.

        The last one that was missing does not count before the file is committed: where that fails, it is missing
        again, and whoever sends it again tries again.
        """
        with self._write() as connection:
            row = self._receiving(connection, id)
            if row is None:
                return Taken.CLOSED
            if sha256 and row.sha256 and sha256 != row.sha256:
                return Taken.REDECLARED
            before = self._before(connection, id, chunk.end)
            if before == chunk:
                return Taken.AGAIN
            if before and before[:2] == chunk[:2]:
                return Taken.DIFFERENT
            if before and before.end > chunk.start:
                return Taken.OVERLAPPING
            received = row.received + chunk.end - chunk.start
            values: dict[str, Any] = {"updated": now(), "sha256": sha256 or row.sha256}
            last = received == row.size
            if last:
                values |= {"state": COMMITTING, "process": this_process()}
            else:
                values["received"] = received
                connection.execute(insert(_chunks), {"upload": id, **chunk._asdict()})
            connection.execute(update(_uploads).where(_uploads.c.id == id).values(**values))
            return Taken.LAST if last else Taken.KEPT

    def extend(self, id: str, start: int, end: int, mark: str) -> Taken:
        """Let the bytes from ``start`` to ``end`` count, which go on where the last ones ended, as one row with them.

        ``mark``: of all bytes up to ``end``. OVERLAPPING where they do not go on there; the last ones are as in
        :meth:`take`.
        """
        with self._write() as connection:
            row = self._receiving(connection, id)
            if row is None:
                return Taken.CLOSED
            if row.received != start:
                return Taken.OVERLAPPING
            values: dict[str, Any] = {"updated": now()}
            if end == row.size:
                values |= {"state": COMMITTING, "process": this_process()}
            else:
                values["received"] = end
                whole = {"upload": id, "start": 0, "end": end, "mark": mark}
                connection.execute(self._put_whole, whole)
            connection.execute(update(_uploads).where(_uploads.c.id == id).values(**values))
            return Taken.LAST if end == row.size else Taken.KEPT

    def _receiving(self, connection: Connection, id: str) -> Unfinished | None:
        """The row of an upload that takes chunks, ours alone until the transaction ends."""
        found = connection.execute(
            select(_uploads).where(_uploads.c.id == id, _uploads.c.state == RECEIVING).with_for_update()
        )
        row = found.mappings().first()
        return _unfinished(row) if row else None

    def _before(self, connection: Connection, id: str, end: int) -> Held | None:
        """The last chunk that begins before ``end``: as none overlaps another, no other can touch what ends there."""
        found = connection.execute(
            select(_chunks.c.start, _chunks.c.end, _chunks.c.mark)
            .where(_chunks.c.upload == id, _chunks.c.start < end)
            .order_by(_chunks.c.start.desc())
            .limit(1)
        ).first()
        return Held(*found) if found else None

    def reopen(self, id: str) -> None:
        """Let an upload whose commit failed take chunks again. It has its place, whatever came meanwhile."""
        self._set(id, state=RECEIVING, process=None)

    def refuse(self, id: str, refusal: str) -> None:
        """Record the refusal of an upload; what had arrived of it is no longer needed."""
        self._set(id, state=REFUSED, process=None, refusal=refusal)

    def store_as(self, id: str, file: str) -> None:
        """Record that the upload's bytes were stored already, as another file, which is the answer from now on."""
        self._set(id, state=STORED, process=None, file=file)

    def _set(self, id: str, **values: Any) -> None:
        with self._write() as connection:
            self._let_go(connection, [id], counts=values["state"] == RECEIVING)
            connection.execute(update(_uploads).where(_uploads.c.id == id).values(**values))
            if values["state"] != RECEIVING:
                connection.execute(delete(_chunks).where(_chunks.c.upload == id))

    def remove(self, id: str) -> None:
        """Forget an upload."""
        with self._write() as connection:
            self._let_go(connection, [id])
            self._delete(connection, [id])

    def cancel(self, owner: str, uuid: str, refusal: str) -> Unfinished | None:
        """Refuse what comes under the owner's ``uuid`` from now on, unless it is being committed; what it was, or is.

        None where nothing had come, or where it was cancelled before. What is known by an address of the server's
        own is forgotten: no repeat begins it anew.
        """
        with self._write() as connection, changing(self._quotas, connection, owner) as room:
            self._expect_cancelled(connection, owner, uuid, refusal)
            found = connection.execute(
                select(_uploads).where(_uploads.c.owner == owner, _uploads.c.uuid == uuid).with_for_update()
            )
            row = found.mappings().first()
            upload = _unfinished(row) if row else None
            if not (row and upload) or upload.state == CANCELLED:
                return None
            if upload.state == COMMITTING:
                return upload
            if room and row["counts"]:
                room.give_up(upload.set, upload.size, upload.created)
            if upload.tus_metadata is None:
                connection.execute(delete(_chunks).where(_chunks.c.upload == upload.id))
                spent = {"state": CANCELLED, "refusal": refusal, "handle": "", "file": None, "counts": False}
                connection.execute(
                    update(_uploads).where(_uploads.c.id == upload.id).values(updated=now(), **spent)
                )
            else:
                self._delete(connection, [upload.id])
            return upload

    def _expect_cancelled(self, connection: Connection, owner: str, uuid: str, refusal: str) -> None:
        """Put the row of an upload that was cancelled before it came, unless there is one, or there are too many."""
        cancelled = select(_uploads.c.id).where(_uploads.c.owner == owner, _uploads.c.state == CANCELLED)
        count = select(func.count()).select_from(cancelled.limit(_MOST_CANCELLED).subquery())
        if connection.execute(count).scalar_one() >= _MOST_CANCELLED:
            return
        told: dict[str, Any] = dict.fromkeys(("set", "storage", "handle", "filename", "path"), "")
        upload = Unfinished(
            id=secrets.token_hex(16),
            owner=owner,
            uuid=uuid,
            size=0,
            chunk_size=0,
            created=now(),
            updated=now(),
            state=CANCELLED,
            refusal=refusal,
            **told,
        )
        connection.execute(self._begin, {**asdict(upload), "process": None, "counts": False})

    def _delete(self, connection: Connection, ids: Sequence[str]) -> None:
        rows = [{"removed": id} for id in ids]
        connection.execute(delete(_chunks).where(_chunks.c.upload == bindparam("removed")), rows)
        connection.execute(delete(_uploads).where(_uploads.c.id == bindparam("removed")), rows)

    def idle(self, before: int) -> Iterator[Unfinished]:
        """Uploads to which nothing was added since ``before``, and that are not being committed; longest idle first."""
        last: tuple[int, str] = (0, "")
        while True:
            query = select(_uploads).where(
                _uploads.c.updated <= before,
                _uploads.c.state != COMMITTING,
                tuple_(_uploads.c.updated, _uploads.c.id) > tuple_(*last),
            )
            with self._read() as connection:
                found = connection.execute(
                    query.order_by(_uploads.c.updated, _uploads.c.id).limit(_AT_ONCE)
                ).mappings()
                uploads = [_unfinished(row) for row in found]
            if not uploads:
                return
            yield from uploads
            last = uploads[-1].updated, uploads[-1].id

    def forget(self, upload: Unfinished) -> bool:
        """Remove an upload unless something happened to it since; whether it was removed."""
        with self._write() as connection, changing(self._quotas, connection, upload.owner) as room:
            found = connection.execute(
                delete(_uploads)
                .where(
                    _uploads.c.id == upload.id,
                    _uploads.c.updated == upload.updated,
                    _uploads.c.state == upload.state,
                )
                .returning(_uploads.c.counts)
            ).first()
            if not found:
                return False
            if room and found.counts:
                room.give_up(upload.set, upload.size, upload.created)
            connection.execute(delete(_chunks).where(_chunks.c.upload == upload.id))
            return True

    def with_handles(self, handles: Iterable[str]) -> set[str]:
        """Those of ``handles``, a thousand at most, that an upload has."""
        query = select(_uploads.c.handle).where(_uploads.c.handle.in_(list(handles)))
        with self._read() as connection:
            return set(connection.execute(query).scalars())

    def claim_abandoned(self) -> list[Unfinished]:
        """Uploads whose commit ended with its process, or is a day old, to be reopened by the caller alone."""
        with self._write() as connection:
            found = connection.execute(
                select(_uploads).where(_uploads.c.state == COMMITTING).with_for_update()
            ).mappings()
            claimed = []
            for row in found:
                age = (now() - row["updated"]) / 1e6
                if age > _COMMIT_LIMIT or not is_alive(row["process"] or "", age):
                    claimed.append(_unfinished(row))
            for upload in claimed:
                connection.execute(
                    update(_uploads)
                    .where(_uploads.c.id == upload.id)
                    .values(process=this_process(), updated=now())
                )
            return claimed


def _unfinished(row: Any) -> Unfinished:
    return Unfinished(**{field.name: row[field.name] for field in fields(Unfinished)})
