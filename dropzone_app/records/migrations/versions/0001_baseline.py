"""The tables as they were when revisions began."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("set", sa.String(64), nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("uuid", sa.String(64), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("storage", sa.String(64), nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("type", sa.String(100), nullable=False),
        sa.Column("sha256", sa.String(64)),
        sa.Column("once", sa.Boolean, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("process", sa.String(200)),
        sa.Column("mark", sa.String(100)),
        sa.UniqueConstraint("owner", "uuid"),
        sa.UniqueConstraint("storage", "key"),
    )
    once = sa.text("once")
    op.create_index("files_by_digest", "files", ["owner", "sha256"], sqlite_where=once, postgresql_where=once)
    op.create_index("files_of_owner", "files", ["owner", "created", "id"])
    op.create_table(
        "numbers",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("next", sa.Integer, nullable=False),
    )
    op.create_table(
        "batches",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False, index=True),
        sa.Column("report", sa.Text, nullable=False),
    )
