"""Share links: who has one may read one file, until it ends or is taken back."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass

from sqlalchemy import Select, delete, func, insert, select

from ..errors import Rejected
from .database import Database, now
from .tables import shares as _shares

#: Links that one file may have at a time.
MAX_SHARES = 100


@dataclass(frozen=True)
class Share:
    """One link. ``file``: the id of the only file that it leads to."""

    id: str
    file: str
    created: int
    expires: int


class Shares:
    """The links of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read, self._write = database.read, database.write

    def create(self, file: str, lifetime: int) -> Share:
        """A link to a file, good for ``lifetime`` seconds. Rejected where it has as many as it may."""
        created = now()
        share = Share(secrets.token_hex(16), file, created, created + lifetime * 1_000_000)
        with self._write(final=True) as connection:
            connection.execute(delete(_shares).where(_shares.c.expires <= created))
            self._database.queue(connection, f"shares {file}")
            count = select(func.count()).select_from(_shares).where(_shares.c.file == file)
            if (connection.execute(count).scalar() or 0) >= MAX_SHARES:
                raise Rejected.because("too_many_shares", limit=MAX_SHARES)
            connection.execute(insert(_shares), asdict(share))
        return share

    def find(self, id: str) -> Share | None:
        """The link with this id; None where it was taken back or has ended."""
        return next(iter(self._found(select(_shares).where(_shares.c.id == id))), None)

    def of_file(self, file: str) -> list[Share]:
        """The links to a file that still work, newest first."""
        return self._found(select(_shares).where(_shares.c.file == file))

    def all(self) -> list[Share]:
        """All links that still work, newest first."""
        return self._found(select(_shares))

    def _found(self, query: Select[tuple[str, str, int, int]]) -> list[Share]:
        query = query.where(_shares.c.expires > now()).order_by(_shares.c.created.desc(), _shares.c.id)
        with self._read() as connection:
            return [Share(**row) for row in connection.execute(query).mappings()]

    def revoke(self, id: str, file: str | None = None) -> bool:
        """Take a link back, from now on; False where there is none with this id (and, where told, to this file)."""
        gone = delete(_shares).where(_shares.c.id == id)
        if file is not None:
            gone = gone.where(_shares.c.file == file)
        with self._write(final=True) as connection:
            return bool(connection.execute(gone).rowcount)
