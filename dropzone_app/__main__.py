"""``python -m dropzone_app``: the upload page behind the documented server, granian, on loopback."""

from __future__ import annotations

import argparse
import ctypes
import logging
import multiprocessing
import os
import re
import resource
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from tempfile import TemporaryDirectory
from typing import Any

from flask import Flask
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings

from . import cores, create_app
from .config import SettingError
from .processes import own_sockets
from .uploads import Site

#: Requests that one worker serves at once; a slow client holds one of them, and nobody waits for fewer than so many.
THREADS = 64
#: Seconds that a worker which is stopped may take to finish the requests it has.
STOP_SECONDS = 10
#: Bytes of a body that the server reads ahead on each connection, some five times of which stand in memory.
_READ_AHEAD = 64 << 10
_M_ARENA_MAX = -8
#: Files and connections that a worker may have open, where the system lets it.
_DESCRIPTORS = 65_536
#: Seconds of silence after which a client's machine is asked whether it is there.
_ASK_AFTER = 30
#: Seconds in which a client may take nothing of an answer, nor its machine say that it is there. A window of 6 MB,
#: which opens when a sixteenth is free, has room again sooner at 2 KB/s.
_TAKES_NOTHING = 300
#: Seconds between two looks of a worker whether its parent still lives.
_LOOK_FOR_PARENT = 0.5


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped; 1 with a sentence when a setting or the address cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m dropzone_app",
        description="Serve the upload page. Settings come from FLASK_… variables.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=5000, help="port to listen on (default: %(default)s)")
    parser.add_argument(
        "--workers",
        type=_workers,
        default=min(cores.count(), 4),
        help="processes (default: %(default)s)",
    )
    parser.add_argument(
        "--open",
        action="store_true",
        help="let anybody who can reach the address upload, without an access code",
    )
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        if os.environ.get("FLASK_UPLOADS_METRICS_TOKEN") and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            # Before the library is imported, which looks for it then: where the numbers of all workers are summed.
            folder = stack.enter_context(TemporaryDirectory(prefix="dropzone_app-metrics-"))
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        return _serve(options)


def _serve(options: argparse.Namespace) -> int:
    try:
        # Made once before any worker: a bad setting stops here, and the tables are there for all of them.
        app = create_app()
        listen_on = _free_address(options.host, options.port)
    except SettingError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        reason = f"cannot be listened on: {error.strerror}"
        print(
            f"{options.host}, port {options.port}, {reason}. Choose another with --port (or PORT= for make).",
            file=sys.stderr,
        )
        return 1
    site: Site = app.extensions["uploads"]
    if not (ip_address(listen_on).is_loopback or site.settings.access_code or options.open):
        print(
            f"{options.host} can be reached by others, and anybody could upload. Set FLASK_UPLOADS_ACCESS_CODE to a "
            "code that people have to know, or say --open where that is meant.",
            file=sys.stderr,
        )
        return 1
    site.records.close()
    descriptors = _raise_descriptor_limit()
    address = f"[{options.host}]" if ":" in options.host else options.host
    print(f"Upload page  http://{address}:{options.port}/")
    print(f"Files        {site.storage}")
    print(f"Records      {site.records}")
    print("Ctrl+C stops it.", flush=True)
    # Our threads wait for slow clients and disks, not for a core: granian's advice on their number is for others.
    logging.getLogger("_granian").addFilter(lambda record: "Python threads" not in record.getMessage())
    has_core = options.workers == cores.count() > 1
    _OneQueue(
        f"dropzone_app.__main__:{'worker_on_its_core' if has_core else 'worker'}",
        factory=True,
        address=listen_on,
        port=options.port,
        interface=Interfaces.WSGI,
        # Proxies and browsers speak HTTP/1 to it. While granian listens for either version, a connection on which no
        # byte comes is never ended, and with HTTP/2 one may hold all threads.
        http=HTTPModes.http1,
        workers=options.workers,
        blocking_threads=THREADS,
        # Connections of a worker: by themselves some hundreds, which idle ones alone would fill.
        backpressure=descriptors // 4,
        # One worker that the system kills (out of memory, say) does not end all the others' uploads.
        respawn_failed_workers=True,
        # Not for ever: a browser may keep its connection, and an upload its hour.
        workers_kill_timeout=STOP_SECONDS,
        log_level="warning",
        websockets=False,
        http1_settings=HTTP1Settings(max_buffer_size=_READ_AHEAD),
    ).serve()
    return 0


class _OneQueue(Granian):  # type: ignore[misc, valid-type]  # one of two, as Python was built
    """All workers accept from one socket: whoever has time takes the next client, and none waits to be accepted by one
    that is stopped, or killed. On Linux granian would give each a socket of its own, and clients by chance. (A worker
    whose threads are all held still accepts: granian looks at its connections alone, of which idle ones are many.)
    """

    _ssp: Any
    _shd: Any

    def _init_shared_socket(self) -> None:
        super()._init_shared_socket()
        if self._shd is None:
            # As it does on other systems.
            self._shd = self._ssp.build()
            self._sfd = self._shd.get_fd()
            self._sso = socket.socket(fileno=self._sfd)
            self._sso.set_inheritable(True)
            self._ssp = None


def worker() -> Flask:
    """The app of one worker process."""
    # Ctrl+C in a terminal reaches every process, and the parent ends its workers by itself: granian's worker
    # may wait for ever when it is told twice at the same moment.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    # Until granian listens, the handler that came with the parent would swallow the parent's word to stop.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _share_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _print_batches()
    threading.Thread(target=_notice_dead_clients, daemon=True).start()
    while True:
        try:
            return create_app()
        except SettingError as error:
            # The parent has started with the same settings, so that a database or a store has just gone away. A
            # worker that ends as it starts would end granian, and the uploads of all the others with it.
            print(error, file=sys.stderr, flush=True)
            time.sleep(1)


def worker_on_its_core() -> Flask:
    """The app of a worker process beside which each core has one."""
    cores.keep_to_one(os.getppid())
    return worker()


def _end_with_parent() -> None:
    """Stop this worker when its parent is gone, however that ended: else it would keep the port, nobody could stop it,
    and the server could not be started anew.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    # Its sentinel would not tell: workers that were forked later hold the other end of it too.
    while os.getppid() == parent.pid:
        time.sleep(_LOOK_FOR_PARENT)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os._exit(1)


def _share_memory() -> None:
    """Let threads take memory from two places in all: each of dozens would keep megabytes that it has had once.

    For glibc's allocator (mallopt(3), M_ARENA_MAX); others do not do this.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def _notice_dead_clients() -> None:
    """Look after the clients of the socket that is listened on, which granian makes once it has the app, and lends to
    nobody.
    """
    while os.path.isdir("/proc/self/fd"):
        for found in own_sockets():
            with suppress(OSError):
                if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    look_after_clients(found)
                    return
        time.sleep(0.1)


def look_after_clients(listening: socket.socket) -> None:
    """Let the system ask a client that is silent for long whether it is still there, and let go of one that takes
    nothing of what it asked for: else either holds its thread for ever. Accepted connections are as this one (tcp(7)).
    """
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _ASK_AFTER)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _ASK_AFTER // 3)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _TAKES_NOTHING * 1000)


def _print_batches() -> None:
    """A line of JSON on standard error for each batch."""
    batches = logging.getLogger("dropzone_app.batches")
    batches.addHandler(logging.StreamHandler())
    batches.setLevel(logging.INFO)
    batches.propagate = False


def _port(text: str) -> int:
    return _number(text, "a port from 1 to 65535", 65_535)


def _workers(text: str) -> int:
    return _number(text, "a number of processes, at least 1", 1000)


def _number(text: str, what: str, most: int) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return int(text)


def _free_address(host: str, port: int) -> str:
    """The IP address behind ``host``. OSError where nobody can listen there: granian would answer with a panic."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        # As granian will: a port is free although connections of the last server are still being closed.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
    return str(address[0])


def _raise_descriptor_limit() -> int:
    """Every part of a batch in flight is an open file; the usual soft limit of 1,024 is for another age."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        soft = min(hard, _DESCRIPTORS) if hard > 0 else _DESCRIPTORS
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(soft, _DESCRIPTORS)


if __name__ == "__main__":
    sys.exit(main())
