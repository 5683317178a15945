"""What was found in a file that may hold a script."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    with op.batch_alter_table("files") as files:
        files.add_column(sa.Column("inert", sa.Boolean))
