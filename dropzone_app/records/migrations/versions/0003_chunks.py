"""Uploads that arrive in chunks."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("uuid", sa.String(64), nullable=False),
        sa.Column("set", sa.String(64), nullable=False),
        sa.Column("storage", sa.String(64), nullable=False),
        sa.Column("handle", sa.Text, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("chunk_size", sa.BigInteger, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("updated", sa.BigInteger, nullable=False, index=True),
        sa.Column("sha256", sa.String(64)),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("refusal", sa.Text),
        sa.Column("file", sa.String(32)),
        sa.Column("process", sa.String(200)),
        sa.UniqueConstraint("owner", "uuid"),
    )
    op.create_table(
        "chunks",
        sa.Column("upload", sa.String(32), primary_key=True),
        sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("end", sa.BigInteger, nullable=False),
        sa.Column("mark", sa.Text, nullable=False),
    )
