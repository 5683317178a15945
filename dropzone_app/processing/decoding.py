"""Pictures that are decoded from beginning to end before they are stored, so that none is damaged or cut off."""

from __future__ import annotations

import threading
from typing import IO

from .. import decoder
from ..config import SettingError
from ..errors import Rejected

#: Decoders at once in one process of the server. The other threads are for uploads and pages.
AT_ONCE = 2
#: Seconds that a part waits for its turn.
PATIENCE = 60.0

_turns = threading.BoundedSemaphore(AT_ONCE)


def check_available(where: str) -> None:
    """SettingError unless pictures can be decoded here."""
    if not decoder.available("JPEG"):
        raise SettingError(f"{where} needs Pillow: pip install 'dropzone_app[images]'.")


def decode(file: IO[bytes], form: str, max_pixels: int) -> None:
    """Rejected unless every frame of this picture can be decoded. A format without a decoder here is let be."""
    if not decoder.available(form):
        return
    if not _turns.acquire(timeout=PATIENCE):
        raise Rejected.because("not_decoded")
    try:
        if decoder.decode(file, form, pixels=max_pixels) is None:
            raise Rejected.because("undecodable")
    except decoder.Undecided:
        raise Rejected.because("not_decoded") from None
    finally:
        _turns.release()
