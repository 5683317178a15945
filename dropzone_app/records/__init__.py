"""What is known of files: the tables and the only SQL. A file without a record in state ``stored`` does not exist.

Times are microseconds since 1970, UTC. Any failure of the database is :class:`sqlalchemy.exc.SQLAlchemyError`.
"""

from .migrations import upgrading
from .records import BATCH_LIFETIME, COMMITTING, STORED, UNDOING, Record, Records, new_id, now

__all__ = [
    "BATCH_LIFETIME",
    "COMMITTING",
    "STORED",
    "UNDOING",
    "Record",
    "Records",
    "new_id",
    "now",
    "upgrading",
]
