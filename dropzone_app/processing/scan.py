"""A virus scanner: ClamAV's clamd, asked by its INSTREAM command.

Source: clamd(8), "COMMANDS". Fails closed: what was not scanned is not stored.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import parse_qsl

from ..config import SettingError
from ..errors import Rejected

#: Scans of one process at once. clamd itself has ten threads (MaxThreads) for all who ask.
AT_ONCE = 4
_slots = threading.BoundedSemaphore(AT_ONCE)

#: Seconds that clamd may be silent; a scan that takes longer (MaxScanTime, 120 by default) it ends itself.
TIMEOUT = 130.0

_CHUNK = 1 << 18
# Far more than any answer: "stream: <signature> FOUND".
_ANSWER = 4096

_EXPECTED = "must be clamd:/path/to/socket or clamd://host:port, with ?timeout=SECONDS if need be"


@dataclass(frozen=True)
class Scanner:
    """clamd at ``address``: the path of its socket, or (host, port)."""

    address: str | tuple[str, int]
    timeout: float

    @classmethod
    def parse(cls, where: str, value: object) -> Scanner:
        """The scanner behind ``clamd:/run/clamav/clamd.ctl`` or ``clamd://host:3310``; SettingError names ``where``."""
        if isinstance(value, Scanner):
            return value
        match = re.fullmatch(
            r"clamd:(?:(/[^/?\0][^?\0]*)|//([\w.-]+|\[[0-9a-fA-F:]+\]):([0-9]{1,5}))(?:\?(.*))?", str(value)
        )
        words = dict(parse_qsl(match[4] or "", keep_blank_values=True)) if match else {}
        seconds = words.pop("timeout", str(TIMEOUT))
        port = int(match[3] or 1) if match else 0
        good = 0 < port < 65536 and not words and re.fullmatch(r"[0-9]{1,4}(\.[0-9]+)?", seconds)
        if not match or not good or not float(seconds):
            raise SettingError(f"{where} {_EXPECTED}; it is {value!r}.")
        address = match[1] or (match[2].strip("[]"), port)
        return cls(address, float(seconds))

    def scan(self, file: BinaryIO) -> None:
        """Return when clamd says that ``file`` is clean. Rejected for anything else that it says, and for silence."""
        if not _slots.acquire(timeout=self.timeout):
            raise Rejected.because("not_scanned")
        try:
            answer = self._ask(file)
        except OSError:
            raise Rejected.because("not_scanned") from None
        finally:
            _slots.release()
        _judge(answer)

    def _ask(self, file: BinaryIO) -> str:
        with self._connected() as connection:
            # Over StreamMaxLength clamd answers and hangs up while we still send: then the answer counts.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for piece in _instream(file):
                    connection.sendall(piece)
            return _read(connection)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        if isinstance(self.address, tuple):
            connection = socket.create_connection(self.address, self.timeout)
        else:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with connection:
            connection.settimeout(self.timeout)
            if isinstance(self.address, str):
                connection.connect(self.address)
            yield connection


def _instream(file: BinaryIO) -> Iterator[bytes]:
    yield b"zINSTREAM\0"
    while data := file.read(_CHUNK):
        yield struct.pack(">I", len(data)) + data
    yield struct.pack(">I", 0)


def _read(connection: socket.socket) -> str:
    answer = b""
    while b"\0" not in answer and len(answer) < _ANSWER:
        data = connection.recv(_ANSWER)
        if not data:
            break
        answer += data
    return answer.partition(b"\0")[0].decode("utf-8", "replace").strip()


def _judge(answer: str) -> None:
    if answer == "stream: OK":
        return
    found = re.fullmatch(r"stream: (.+) FOUND", answer)
    if found and not found[1].startswith("Heuristics.Limits.Exceeded"):
        # Whoever wrote the signature is not asked to write a sentence of ours.
        raise Rejected.because("infected", signature=re.sub(r"[^\w.:-]+", "_", found[1], flags=re.ASCII)[:60])
    if found or answer.startswith("INSTREAM size limit exceeded"):
        raise Rejected.because("not_scannable")
    raise Rejected.because("not_scanned")
