"""What is known of files: the tables and the only SQL. A file without a record in state ``stored`` does not exist.

Times are microseconds since 1970, UTC. Any failure of the database is :class:`sqlalchemy.exc.SQLAlchemyError`.
"""

from .database import from_database_error, now
from .migrations import upgrading
from .quota import ALL_SETS, Quota, Room, check_together
from .records import BATCH_LIFETIME, Record, Records, new_id, new_ids
from .shares import Share
from .tables import COMMITTING, STORED, UNDOING
from .tokens import PREFIX, Token
from .unfinished import CANCELLED, RECEIVING, REFUSED, Held, Taken, Unfinished

__all__ = [
    "ALL_SETS",
    "BATCH_LIFETIME",
    "CANCELLED",
    "COMMITTING",
    "PREFIX",
    "RECEIVING",
    "REFUSED",
    "STORED",
    "UNDOING",
    "Held",
    "Quota",
    "Record",
    "Records",
    "Room",
    "Share",
    "Taken",
    "Token",
    "Unfinished",
    "check_together",
    "from_database_error",
    "new_id",
    "new_ids",
    "now",
    "upgrading",
]
