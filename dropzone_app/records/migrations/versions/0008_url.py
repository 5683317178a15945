"""Where a storage told that a file is, for everyone and for good."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    with op.batch_alter_table("files") as files:
        files.add_column(sa.Column("url", sa.Text))
