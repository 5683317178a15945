"""What an owner has in one set, and sends in a while."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    # A start with a quota counts anew what is there.
    op.drop_table("usage")
    op.create_table(
        "usage",
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("set", sa.String(64), primary_key=True),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("bytes", "files", "began", "sent_bytes", "sent_files")
        ),
    )
