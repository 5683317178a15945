"""What an owner may have here: the sums of all files and unfinished uploads, one row for each owner.

A sum is kept only where there is a quota, in the same transaction as the rows that it is of. Whoever changes it takes
its row first, so that all who change the same one wait in a queue.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, union_all, update

from ..config import Size
from ..errors import Rejected
from .database import Database
from .tables import files as _files
from .tables import uploads as _uploads
from .tables import usage as _usage


@dataclass(frozen=True)
class Quota:
    """What one owner may have; None is any number."""

    #: Of all files, and of unfinished uploads as large as they will be.
    bytes: int | None = None
    files: int | None = None


@dataclass
class Room:
    """What an owner has, and may have."""

    quota: Quota
    bytes: int
    files: int

    def take(self, size: int) -> None:
        """Count a file of ``size`` bytes. Rejected where there is no room for it."""
        files, most = self.quota.files, self.quota.bytes
        if files is not None and self.files >= files:
            raise Rejected.because("quota_files", limit=files)
        if most is not None and self.bytes + size > most:
            raise Rejected.because("quota_bytes", size=Size(size), limit=Size(most), used=Size(self.bytes))
        self.add(size)

    def add(self, size: int, files: int = 1) -> None:
        """Count a file that has its place already; ``files`` -1 with less than nothing: one that is gone."""
        self.bytes += size
        self.files += files


class Quotas:
    """The sums of one database."""

    def __init__(self, database: Database, quota: Quota) -> None:
        self._database = database
        self._quota = quota
        taken = database.upsert(_usage)
        # What changes nothing still locks the row.
        self._take = taken.on_conflict_do_update(
            index_elements=["owner"], set_={"bytes": _usage.c.bytes}
        ).returning(_usage.c.bytes, _usage.c.files)

    def room(self, owner: str) -> Room:
        """What the owner has at the moment."""
        query = select(_usage.c.bytes, _usage.c.files).where(_usage.c.owner == owner)
        with self._database.read() as connection:
            found = connection.execute(query).first()
        return Room(self._quota, *(found or (0, 0)))

    @contextlib.contextmanager
    def changing(self, connection: Connection, owner: str) -> Iterator[Room]:
        """The owner's sums, nobody else's until the transaction ends; what they are at the end is kept."""
        found = connection.execute(self._take, {"owner": owner, "bytes": 0, "files": 0}).one()
        room = Room(self._quota, *found)
        yield room
        if (room.bytes, room.files) != tuple(found):
            connection.execute(
                update(_usage).where(_usage.c.owner == owner).values(bytes=room.bytes, files=room.files)
            )

    def hand_over(self, connection: Connection, owner: str, uuids: Iterable[str]) -> dict[str, int]:
        """The sizes of unfinished uploads that become files now, by uuid: they count no more."""
        done = connection.execute(
            update(_uploads)
            .where(_uploads.c.owner == owner, _uploads.c.uuid.in_(list(uuids)), _uploads.c.counts)
            .where(_uploads.c.state == "committing")
            .values(counts=False)
            .returning(_uploads.c.uuid, _uploads.c.size)
        )
        return {row.uuid: row.size for row in done}

    def recount(self) -> None:
        """Make the sums true, as they are not where the database was used without a quota: once, at the start."""
        counted = union_all(
            select(_files.c.owner, _files.c.size),
            select(_uploads.c.owner, _uploads.c.size).where(_uploads.c.counts),
        ).subquery()
        sums = select(counted.c.owner, func.sum(counted.c.size), func.count()).group_by(counted.c.owner)
        with self._database.write() as connection:
            self._database.reserve_table(connection, _usage)
            connection.execute(update(_uploads).where(_uploads.c.state == "receiving").values(counts=True))
            connection.execute(delete(_usage))
            connection.execute(insert(_usage).from_select(["owner", "bytes", "files"], sums))


@contextlib.contextmanager
def changing(quotas: Quotas | None, connection: Connection, owner: str) -> Iterator[Room | None]:
    """:meth:`Quotas.changing`; None where there is no quota."""
    if quotas:
        with quotas.changing(connection, owner) as room:
            yield room
    else:
        yield None
