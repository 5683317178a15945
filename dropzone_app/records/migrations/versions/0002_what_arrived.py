"""What came, where something else was stored."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("files") as files:
        files.add_column(sa.Column("arrived_size", sa.BigInteger))
        files.add_column(sa.Column("arrived_sha256", sa.String(64)))
