"""The tables, as they are after the newest revision in ``migrations/versions``."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

#: A row of a file is reserved, then stored; or it is being undone, and is never stored any more.
COMMITTING, STORED, UNDOING = "committing", "stored", "undoing"

files = Table(
    "files",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("set", String(64), nullable=False),
    Column("owner", Text, nullable=False),
    Column("uuid", String(64), nullable=False),
    Column("state", String(10), nullable=False),
    Column("filename", Text, nullable=False),
    Column("path", Text, nullable=False),
    # Which of the app's storages has it, and where.
    Column("storage", String(64), nullable=False),
    Column("key", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("type", String(100), nullable=False),
    Column("sha256", String(64)),
    # What came, where something else was stored: sending it again is no other file.
    Column("arrived_size", BigInteger),
    Column("arrived_sha256", String(64)),
    # Of a kind that may hold a script: whether it holds none. NULL where nobody has looked.
    Column("inert", Boolean),
    # Where its storage told that everyone may fetch it, for good. NULL where it told nothing.
    Column("url", Text),
    # Whether its set keeps the same bytes only once for an owner.
    Column("once", Boolean, nullable=False),
    Column("created", BigInteger, nullable=False),
    # Who is committing, and the mark of the staged file: what a dead process left can be told from what is not ours.
    Column("process", String(200)),
    Column("mark", String(100)),
    UniqueConstraint("owner", "uuid"),
    UniqueConstraint("storage", "key"),
    Index("files_by_digest", "owner", "sha256"),
    Index("files_of_owner", "owner", "created", "id"),
)
# The next number of a name that is taken: a second image.jpg costs as much as the ten-thousandth.
numbers = Table(
    "numbers",
    metadata,
    Column("key", Text, primary_key=True),
    Column("next", Integer, nullable=False),
)
batches = Table(
    "batches",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("created", BigInteger, nullable=False, index=True),
    Column("report", Text, nullable=False),
)
# What arrives in chunks, until all of it is there.
uploads = Table(
    "uploads",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("uuid", String(64), nullable=False),
    Column("set", String(64), nullable=False),
    Column("storage", String(64), nullable=False),
    # What the storage calls the bytes.
    Column("handle", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("chunk_size", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False, index=True),
    Column("sha256", String(64)),
    # The sum of its chunks, kept.
    Column("received", BigInteger, nullable=False),
    Column("state", String(10), nullable=False),
    Column("refusal", Text),
    # The file that had the same bytes already.
    Column("file", String(32)),
    # Who is committing.
    Column("process", String(200)),
    # What a client of the tus protocol told of it, to be told again; NULL where another client sends it.
    Column("tus_metadata", Text),
    # Whether it is in the sums of its owner; as soon as a file stands for it, that is.
    Column("counts", Boolean, nullable=False, server_default=text("false")),
    UniqueConstraint("owner", "uuid"),
)
chunks = Table(
    "chunks",
    metadata,
    Column("upload", String(32), primary_key=True),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("end", BigInteger, nullable=False),
    # What the storage gave for its bytes: a checksum, or a part's name.
    Column("mark", Text, nullable=False),
)
# What the files and unfinished uploads of an owner take together, where there is a quota; and since when that is kept.
usage = Table(
    "usage",
    metadata,
    Column("owner", Text, primary_key=True),
    # "" for all of them together.
    Column("set", String(64), primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("files", BigInteger, nullable=False),
    # What was begun since then.
    Column("began", BigInteger, nullable=False),
    Column("sent_bytes", BigInteger, nullable=False),
    Column("sent_files", BigInteger, nullable=False),
)
# What scripts show in place of a session, by their digests.
tokens = Table(
    "tokens",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("owner", Text, nullable=False),
    # The only one that it is for.
    Column("set", String(64)),
    Column("note", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
)
# Who has a link may read the file, whoever they are.
shares = Table(
    "shares",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("file", String(32), nullable=False, index=True),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False, index=True),
)
# What one process does for all, and when one did it last.
turns = Table(
    "turns",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("taken", BigInteger, nullable=False),
)
# Alembic's own table, under a name that leaves the usual one to the host app's migrations.
version = Table(
    "uploads_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="uploads_version_pkc"),
)


def fit(engine: str) -> None:
    """Add what is said to each engine in its own words; said above, it would import the dialects of all of them."""
    (by_digest,) = (index for index in files.indexes if index.name == "files_by_digest")
    # Only where a set tells duplicates: digests are random, and each would dirty a page of its own.
    by_digest.dialect_kwargs[f"{engine}_where"] = text("once")
