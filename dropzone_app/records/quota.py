"""What an owner may have here, and send in a while: sums, one row for each owner, in all sets together or in one.

A sum is kept only where there is a quota, in the same transaction as the rows that it is of. Whoever changes it takes
its row first, so that all who change the same one wait in a queue.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection, and_, delete, func, literal, select, union_all, update

from ..config import Size, Window, span
from ..errors import Rejected
from ..languages import Phrase
from .database import Database, now
from .tables import files as _files
from .tables import uploads as _uploads
from .tables import usage as _usage

#: In place of a set's name: all sets together.
ALL_SETS = ""
#: In place of a set's name where that of a quota's set stands in place of an owner: since when these sums are kept.
_KEPT = "+"
#: Microseconds for which processes that know nothing of a new quota may still write.
_ALONE_AFTER = 3600 * 1_000_000


@dataclass(frozen=True)
class Quota:
    """What one owner may have; None is any number."""

    #: Of all files, and of unfinished uploads as large as they will be.
    bytes: int | None = None
    files: int | None = None
    #: What may be begun in a while, whether it is still there or not.
    window: Window | None = None


@dataclass
class Sums:
    """A row: what an owner has, and what was begun since ``began`` and not given up."""

    bytes: int = 0
    files: int = 0
    #: Microseconds since 1970.
    began: int = 0
    sent_bytes: int = 0
    sent_files: int = 0

    def check_room(self, quota: Quota, name: str, size: int) -> None:
        """Rejected where there is no room for a file of ``size`` bytes."""
        files, most = quota.files, quota.bytes
        if files is not None and self.files >= files:
            raise Rejected.because("quota_files_of_set" if name else "quota_files", limit=files, name=name)
        if most is not None and self.bytes + size > most:
            raise Rejected.because(
                "quota_bytes_of_set" if name else "quota_bytes",
                size=Size(size),
                limit=Size(most),
                used=Size(self.bytes),
                name=name,
            )

    def check_window(self, window: Window, size: int, at: int) -> None:
        """Rejected where a file of ``size`` bytes may not begin ``at`` that time."""
        length = window.seconds * 1_000_000
        # A clock may have been wrong by years; that of another machine is a little.
        if abs(at - self.began) >= length:
            self.began, self.sent_bytes, self.sent_files = at, 0, 0
        if window.bytes is not None and size > window.bytes:
            raise Rejected.because(
                "window_too_small", size=Size(size), limit=window.bytes, period=span(window.seconds)
            )
        limit = _exceeded(window, self.sent_bytes + size, self.sent_files + 1)
        if limit is not None:
            seconds = max(math.ceil((self.began + length - at) / 1_000_000), 1)
            told = {"limit": limit, "period": span(window.seconds), "wait": span(seconds, about=True)}
            raise Rejected.because("window_full", **told).for_seconds(seconds)


def check_together(windows: Iterable[Window | None], sizes: Collection[int]) -> None:
    """Rejected where files of these sizes can never begin in one window, however long somebody waits."""
    for window in windows:
        limit = window and _exceeded(window, sum(sizes), len(sizes))
        if window and limit is not None:
            raise Rejected.because("window_too_small_together", limit=limit, period=span(window.seconds))


def _exceeded(window: Window, size: int, files: int) -> Size | Phrase | None:
    """Which of its limits so much is over, None where it is over none."""
    if window.bytes is not None and size > window.bytes:
        return window.bytes
    if window.files is not None and files > window.files:
        return Phrase("1 file") if window.files == 1 else Phrase("{n} files", n=f"{window.files:,}")
    return None


class Room:
    """What an owner has, and may have."""

    def __init__(self, quotas: Mapping[str, Quota], sums: Mapping[str, Sums]) -> None:
        """Both by the name of the set, or :data:`ALL_SETS`."""
        self._quotas = quotas
        self.sums = sums

    def _of(self, upload_set: str) -> list[str]:
        return [name for name in (ALL_SETS, upload_set) if name in self._quotas]

    def take(self, upload_set: str, size: int, at: int) -> None:
        """Count a file of ``size`` bytes that begins ``at`` that time. Rejected where there is no room for it."""
        for name in self._of(upload_set):
            self.sums[name].check_room(self._quotas[name], name, size)
            if window := self._quotas[name].window:
                self.sums[name].check_window(window, size, at)
        self.add(upload_set, size)
        for name in self._of(upload_set):
            self.sums[name].sent_bytes += size
            self.sums[name].sent_files += 1

    def add(self, upload_set: str, size: int, files: int = 1) -> None:
        """Count a file that has its place already; ``files`` -1 with less than nothing: one that is gone."""
        for name in self._of(upload_set):
            self.sums[name].bytes += size
            self.sums[name].files += files

    def replace(self, upload_set: str, before: int, size: int) -> None:
        """Count a file of ``size`` bytes in the place of its upload of ``before``. Rejected where it is larger, and
        there is no room for that; the upload counts no more either way."""
        self.add(upload_set, -before, -1)
        for name in self._of(upload_set) if size > before else ():
            self.sums[name].check_room(self._quotas[name], name, size)
        self.add(upload_set, size)

    def give_up(self, upload_set: str, size: int, begun: int) -> None:
        """Count no more what never became a file; where its window lasts, as if it had not begun."""
        self.add(upload_set, -size, -1)
        for name in self._of(upload_set):
            sums = self.sums[name]
            if begun >= sums.began:
                sums.sent_bytes = max(sums.sent_bytes - size, 0)
                sums.sent_files = max(sums.sent_files - 1, 0)


class Quotas:
    """The sums of one database."""

    def __init__(self, database: Database, quotas: Mapping[str, Quota]) -> None:
        """``quotas``: by the name of the set, or :data:`ALL_SETS`."""
        self._database = database
        # In one order for everybody.
        self._quotas = dict(sorted(quotas.items()))
        self._fields = (_usage.c.set, *(_usage.c[name] for name in asdict(Sums())))

    def room(self, owner: str) -> Room:
        """What the owner has at the moment."""
        query = select(*self._fields).where(_usage.c.owner == owner, _usage.c.set.in_(self._quotas))
        with self._database.read() as connection:
            found = {name: Sums(*sums) for name, *sums in connection.execute(query)}
        return Room(self._quotas, {name: found.get(name, Sums()) for name in self._quotas})

    @contextlib.contextmanager
    def changing(self, connection: Connection, owner: str) -> Iterator[Room]:
        """The owner's sums, nobody else's until the transaction ends; what they are at the end is kept."""
        rows = [{"owner": owner, "set": name, **asdict(Sums())} for name in self._quotas]
        # What changes nothing still locks the rows.
        take = (
            self._database.upsert(_usage)
            .values(rows)
            .on_conflict_do_update(index_elements=["owner", "set"], set_={"bytes": _usage.c.bytes})
        )
        found = {name: Sums(*sums) for name, *sums in connection.execute(take.returning(*self._fields))}
        room = Room(self._quotas, {name: replace(sums) for name, sums in found.items()})
        yield room
        for name, sums in room.sums.items():
            if sums != found[name]:
                row = update(_usage).where(_usage.c.owner == owner, _usage.c.set == name)
                connection.execute(row.values(**asdict(sums)))

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

    def __bool__(self) -> bool:
        return bool(self._quotas)

    def start(self) -> None:
        """See that the sums are true, as they are not where the database was used without one of these quotas.

        Every start counts until one has an hour after the first: then those who did not know the quota are gone.
        """
        marks = select(_usage.c.owner, _usage.c.sent_files).where(_usage.c.set == _KEPT)
        with self._database.read() as connection:
            kept = {name: bool(surely) for name, surely in connection.execute(marks)}
        if not all(kept.get(name) for name in self._quotas):
            self.recount()
        elif self or kept:
            with self._database.write() as connection:
                self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        """Take away what is no quota any more, and those who have nothing and whose while has ended."""
        others = and_(_usage.c.set == _KEPT, _usage.c.owner.not_in(self._quotas))
        connection.execute(delete(_usage).where(others))
        if self:
            windows = [quota.window.seconds for quota in self._quotas.values() if quota.window]
            ended = now() - max(windows, default=0) * 1_000_000
            nothing = and_(_usage.c.bytes == 0, _usage.c.files == 0, _usage.c.began <= ended)
            connection.execute(delete(_usage).where(nothing, _usage.c.set != _KEPT))

    def recount(self) -> None:
        """Make the sums true, whatever they were: one look at every record.

        What was sent in a while stays as it is: no start begins it anew.
        """
        counted = union_all(
            select(_files.c.owner, _files.c.set, _files.c.size),
            select(_uploads.c.owner, _uploads.c.set, _uploads.c.size).where(_uploads.c.counts),
        ).subquery()
        owner, upload_set, size = counted.c
        zeros = [literal(0)] * 3
        of_all = select(owner, literal(ALL_SETS), func.sum(size), func.count(), *zeros).group_by(owner)
        of_each = select(owner, upload_set, func.sum(size), func.count(), *zeros)
        of_each = of_each.where(upload_set.in_(self._quotas)).group_by(owner, upload_set)
        sums = union_all(of_all, of_each) if ALL_SETS in self._quotas else of_each
        marks = [{"owner": name, "set": _KEPT, **asdict(Sums(began=now()))} for name in self._quotas]
        mark = self._database.upsert(_usage).values(marks)
        with self._database.write() as connection:
            self._database.reserve_table(connection, _usage)
            connection.execute(update(_uploads).where(_uploads.c.state == "receiving").values(counts=True))
            connection.execute(update(_usage).values(bytes=0, files=0))
            self._forget(connection)
            put = self._database.upsert(_usage).from_select(
                ["owner", *(one.name for one in self._fields)], sums
            )
            connection.execute(
                put.on_conflict_do_update(
                    index_elements=["owner", "set"],
                    set_={"bytes": put.excluded.bytes, "files": put.excluded.files},
                )
            )
            connection.execute(
                mark.on_conflict_do_update(
                    index_elements=["owner", "set"],
                    set_={"sent_files": 1},
                    where=_usage.c.began <= mark.excluded.began - _ALONE_AFTER,
                )
            )


@contextlib.contextmanager
def changing(quotas: Quotas | None, connection: Connection, owner: str) -> Iterator[Room | None]:
    """:meth:`Quotas.changing`; None where there is no quota."""
    if quotas:
        with quotas.changing(connection, owner) as room:
            yield room
    else:
        yield None
