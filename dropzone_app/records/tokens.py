"""API tokens: what a script shows in place of a session. Kept is the digest of each, never the token."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import asdict, dataclass
from hashlib import sha256

from sqlalchemy import delete, insert, select

from .database import Database, now
from .tables import tokens as _tokens

#: By its beginning a token is known as one of ours, by people, by programs that look for lost secrets, and by an app
#: that has bearer tokens of its own.
PREFIX = "dza_"


@dataclass(frozen=True)
class Token:
    """What is known of a token. ``set``: the only upload set that it is for; None: all of them."""

    id: str
    owner: str
    set: str | None
    note: str
    created: int
    expires: int


class Tokens:
    """The tokens of one database."""

    def __init__(self, database: Database) -> None:
        self._read, self._write = database.read, database.write

    def create(self, owner: str, *, set_name: str | None, note: str, lifetime: int) -> tuple[Token, str]:
        """A token of ``owner``'s that is good for ``lifetime`` seconds, and the text to show, which nobody can tell
        again."""
        # The secret has 256 random bits: no salt and no slow digest makes it any harder to guess.
        secret, created = secrets.token_hex(32), now()
        expires = created + lifetime * 1_000_000
        token = Token(secrets.token_hex(8), owner, set_name, note, created, expires)
        with self._write(final=True) as connection:
            connection.execute(insert(_tokens), {**asdict(token), "digest": _digest(secret)})
        return token, f"{PREFIX}{token.id}_{secret}"

    def find(self, text: str) -> Token | None:
        """The token that is shown as ``text``; None for any other text, and once it has expired.

        It is found by its public id, and its secret compared in constant time.
        """
        match = re.fullmatch(f"{PREFIX}([0-9a-f]{{16}})_([0-9a-f]{{64}})", text)
        if not match:
            return None
        with self._read() as connection:
            row = connection.execute(select(_tokens).where(_tokens.c.id == match[1])).mappings().first()
        # The id is no secret; what stands behind it is.
        if row is None or not hmac.compare_digest(row["digest"], _digest(match[2])):
            return None
        token = Token(**{name: row[name] for name in Token.__dataclass_fields__})
        return token if token.expires > now() else None

    def all(self) -> list[Token]:
        """Every token that was not revoked, newest first; expired ones too."""
        query = select(*(_tokens.c[name] for name in Token.__dataclass_fields__))
        with self._read() as connection:
            found = connection.execute(query.order_by(_tokens.c.created.desc(), _tokens.c.id)).mappings()
            return [Token(**row) for row in found]

    def revoke(self, id: str) -> bool:
        """Let a token be none any more, from now on; False where there is none with this id."""
        with self._write(final=True) as connection:
            return bool(connection.execute(delete(_tokens).where(_tokens.c.id == id)).rowcount)


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
