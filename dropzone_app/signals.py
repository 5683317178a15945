"""What happened to a file, told to whoever listens (blinker). The sender is the app.

- ``upload_stored(app, upload_set=…, record=…)``: a file was stored, for good. Not for a repeated upload of it.
- ``upload_rejected(app, upload_set=…, filename=…, rejected=…)``: a part was refused. Not for a request that was refused
  as a whole (a missing token, a body over the limit, no file): that may be before anybody knows a set or a filename;
  Flask's ``request_finished`` tells of it, its response has the header ``Upload-Error`` with the row of the table.
- ``upload_deleted(app, record=…)``: its owner deleted a file.

A listener that fails is logged: what was stored stays stored, and the answer says so.
"""

from __future__ import annotations

from blinker import Namespace

_signals = Namespace()

upload_stored = _signals.signal("upload-stored")
upload_rejected = _signals.signal("upload-rejected")
upload_deleted = _signals.signal("upload-deleted")
