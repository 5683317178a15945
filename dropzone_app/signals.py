"""What happened to a file, told to whoever listens (blinker). The sender is the app.

- ``upload_stored(app, upload_set=…, record=…)``: a file was stored, for good. Not for a repeated upload of it.
- ``upload_rejected(app, upload_set=…, filename=…, rejected=…)``: a part was refused.
- ``upload_deleted(app, record=…)``: its owner deleted a file.

A listener that fails is logged: what was stored stays stored, and the answer says so.
"""

from __future__ import annotations

from blinker import Namespace

_signals = Namespace()

upload_stored = _signals.signal("upload-stored")
upload_rejected = _signals.signal("upload-rejected")
upload_deleted = _signals.signal("upload-deleted")
