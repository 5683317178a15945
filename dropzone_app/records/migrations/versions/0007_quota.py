"""What an owner has, in sums."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("files", sa.BigInteger, nullable=False),
    )
    with op.batch_alter_table("uploads") as uploads:
        uploads.add_column(sa.Column("counts", sa.Boolean, nullable=False, server_default=sa.text("false")))
