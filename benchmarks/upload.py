"""Measure uploads over HTTP: dropzone_app as it ships beside the plain Flask way. Linux only.

python benchmarks/upload.py [--rounds 3] [--only seed,default] [--quick] [--save benchmarks/RESULTS.md]
python benchmarks/upload.py --peers  (installed by `make bench-full`)
python benchmarks/upload.py --only default,not-durable --against ../another-checkout

Rounds are interleaved (A B C, A B C, …) and every figure is a median. Server and client share one machine:
read the ratios, not the figures. Every server starts in a new folder, and every answer and every stored
file is checked.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Load:
    """What a client sends: ``files`` of ``size`` bytes, ``batch`` of them in one request."""

    name: str
    files: int
    size: int
    batch: int
    connections: int
    #: What the rate counts: bytes / 10**6, or files.
    unit: str

    @property
    def bytes(self) -> int:
        return self.files * self.size

    def rate(self, seconds: float) -> float:
        return (self.bytes / 1e6 if self.unit == "MB/s" else self.files) / seconds

    def __str__(self) -> str:
        size = f"{self.size >> 20:,} MiB" if self.size >> 20 else f"{self.size >> 10} KiB"
        parts = f"{self.batch} parts" if self.batch > 1 else "one part"
        return f"{self.files:,} × {size}, {parts} a request, {self.connections} connection(s)"


@dataclass(frozen=True)
class Server:
    """One contestant. ``{port}``, ``{bin}``, ``{peers}`` (where the peers lie) are filled into the command."""

    name: str
    command: str
    env: dict[str, str] = field(default_factory=dict)
    #: The checkout whose code runs.
    checkout: Path = HERE.parent
    #: How it takes files: in forms, each by a PUT, or each as its length and bytes.
    takes: str = "form"


GTHREAD = "{bin}/gunicorn -k gthread -w 2 --threads 4 -b 127.0.0.1:{port} --log-level error"
SHIPPED = "{bin}/python -m dropzone_app --port {port}"
SERVERS = [
    Server("seed", f"{GTHREAD} seed:app"),
    Server("default", SHIPPED),
    Server("not-durable", SHIPPED, {"FLASK_UPLOADS_DURABLE": "false"}),
    Server("no-digest", SHIPPED, {"FLASK_UPLOADS_DURABLE": "false", "FLASK_UPLOADS_DIGEST": "none"}),
    Server("gunicorn", f"{GTHREAD} dropzone_app:create_app()"),
]
PEERS = HERE / "peers"
INSTALLED = PEERS / "installed"
PEER_GTHREAD = GTHREAD.replace("{bin}", "{peers}/venv/bin")
PEER_SERVERS = [
    Server("reuploaded", f"{PEER_GTHREAD} reuploaded:app"),
    Server("django", f"{PEER_GTHREAD} django_app:app"),
    Server(
        "fastapi",
        "{peers}/venv/bin/uvicorn --host 127.0.0.1 --port {port} --workers 2 --log-level error --no-access-log "
        "fastapi_app:app",
    ),
    Server("multer", f"node {PEERS}/multer.cjs {{port}}"),
    Server(
        "copyparty",
        "{peers}/venv/bin/python -m copyparty -q -i 127.0.0.1 -p {port} -v uploads::rw --no-thumb --no-robots",
        takes="put",
    ),
    Server("nginx-put", f"{{bin}}/python {PEERS}/nginx.py {{port}}", takes="put"),
    Server("raw-c", "{peers}/rawsink {port}", takes="raw"),
]
WHAT = {
    "seed": "`f.save(…)` for each of `request.files`, gunicorn gthread 2 × 4",
    "default": "`python -m dropzone_app`: records, digest, sniffing, CSRF, fsync before the answer",
    "not-durable": "the same with `UPLOADS_DURABLE=false`",
    "no-digest": "the same with `UPLOADS_DURABLE=false` and `UPLOADS_DIGEST=none`, as the others are",
    "gunicorn": "dropzone_app with its defaults under gunicorn gthread 2 × 4",
    "reuploaded": "Flask-Reuploaded's `UploadSet.save`, gunicorn gthread 2 × 4",
    "django": "`FileSystemStorage.save` of temporary files on the same disk, gunicorn gthread 2 × 4",
    "fastapi": "`request.form()` and a copy in a thread, uvicorn with uvloop, 2 workers",
    "multer": "Express with multer's disk storage",
    "copyparty": "a PUT for each file",
    "nginx-put": "a PUT for each file, default buffers, 2 workers",
    "raw-c": "C: recv and write, no HTTP",
}
#: What each must reach, by load and server: the ratio to another.
BARS = {
    ("big", "default"): {"seed": 3.0, "nginx-put": 1.0},
    ("medium", "default"): {"seed": 1.5},
    ("small", "default"): {"seed": 0.7},
    ("big", "no-digest"): {"seed": 6.0, "nginx-put": 2.2, "raw-c": 0.5},
    ("small", "no-digest"): {"seed": 1.5, "nginx-put": 0.7},
    ("big", "gunicorn"): {"seed": 2.5},
}
#: What all are compared with, where it runs.
BASES = ("seed", "nginx-put", "raw-c")


@dataclass(frozen=True)
class Usage:
    """What a process and its children have used, from /proc."""

    cpu: float
    written: int
    rss: int
    peak: int


@dataclass(frozen=True)
class Run:
    """One timed upload of a whole load."""

    rate: float
    cpu_per_gib: float
    written: float
    growth: int


# ---- the server


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    found = [pid]
    for pid in found:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            found += [int(child) for child in children.read_text().split()]
    return found


def usage(pid: int, *, reset_peak: bool = False) -> Usage:
    cpu, written, rss, peak = 0.0, 0, 0, 0
    for member in family(pid):
        proc = Path(f"/proc/{member}")
        if reset_peak:
            (proc / "clear_refs").write_text("5")
        times = (proc / "stat").read_text().rpartition(")")[2].split()
        cpu += (int(times[11]) + int(times[12])) / TICKS
        written += number("write_bytes: ", proc / "io")
        rss += number("VmRSS:", proc / "status") << 10
        peak += number("VmHWM:", proc / "status") << 10
    return Usage(cpu, written, rss, peak)


def number(label: str, file: Path) -> int:
    match = re.search(rf"^{label}\s*(\d+)", file.read_text(), re.MULTILINE)
    return int(match[1]) if match else 0


@contextlib.contextmanager
def running(server: Server, folder: Path) -> Iterator[tuple[int, int]]:
    """Start the server in ``folder``; its port and process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # The spool of the plain Flask way has to lie where its files do, as in a deployment without tmpfs.
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    (folder / "uploads").mkdir(exist_ok=True)
    env = {key: value for key, value in os.environ.items() if not key.startswith("FLASK_")}
    env |= {
        "TMPDIR": str(folder / "tmp"),
        "PYTHONPATH": f"{server.checkout}:{HERE}:{PEERS}",
        "FLASK_UPLOADS_TYPES": "dat",
        "UPLOAD_DIR": str(folder / "uploads"),
    }
    command = server.command.format(port=port, bin=Path(sys.executable).parent, peers=INSTALLED).split()
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**env, "FLASK_SECRET_KEY": secrets.token_hex(16), **server.env},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{server.name} did not start:\n{(folder / 'server.log').read_text()}")
            time.sleep(0.05)
        yield port, process.pid
    except (OSError, RuntimeError) as error:
        error.add_note(f"{server.name} printed (exit status {process.poll()}):\n")
        error.add_note((folder / "server.log").read_text())
        raise
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# ---- the client

#: A request is sent piece by piece: bytes, or a file by sendfile.
Piece = bytes | IO[bytes]


def identity(port: int) -> list[str]:
    """The headers that an upload needs: session cookie and CSRF token, where the server has them."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/csrf-token", timeout=30) as answer:
            token = json.load(answer)["csrf_token"]
            return [f"X-CSRFToken: {token}", f"Cookie: {answer.headers['Set-Cookie'].partition(';')[0]}"]
    except urllib.error.HTTPError:
        return []


def requests(
    load: Load, content: Piece, headers: list[str], port: int, takes: str = "form"
) -> list[list[Piece]]:
    """The load as requests, made before the clock starts."""
    if takes != "form":
        return [_single(load, number, content, port, takes) for number in range(load.files)]
    boundary = f"----geckoformboundary{secrets.token_hex(8)}"
    made: list[list[Piece]] = []
    for first in range(0, load.files, load.batch):
        pieces: list[Piece] = []
        for index in range(load.batch):
            pieces += [
                f'--{boundary}\r\nContent-Disposition: form-data; name="file[{index}]"; '
                f'filename="{load.name} {first + index:05d}.dat"\r\n'
                "Content-Type: application/octet-stream\r\n\r\n".encode(),
                content,
                b"\r\n",
            ]
        pieces.append(f"--{boundary}--\r\n".encode())
        length = sum(len(piece) if isinstance(piece, bytes) else load.size for piece in pieces)
        head = [
            "POST /upload HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Accept: application/json",
            *headers,
            f"Content-Type: multipart/form-data; boundary={boundary}",
            f"Content-Length: {length}",
        ]
        pieces.insert(0, "\r\n".join([*head, "", ""]).encode())
        made.append([b"".join(pieces)] if isinstance(content, bytes) else pieces)  # type: ignore[arg-type]
    return made


def _single(load: Load, number: int, content: Piece, port: int, takes: str) -> list[Piece]:
    """One file for a server that knows no forms."""
    if takes == "raw":
        head = load.size.to_bytes(8, "big")
    else:
        name = f"/{load.name}-{number:05d}.dat"
        lines = [f"PUT {name} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Length: {load.size}"]
        head = "\r\n".join([*lines, "", ""]).encode()
    return [head + content] if isinstance(content, bytes) else [head, content]


class Connection:
    """A connection that is kept alive; http.client would cost more than some of the servers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def send(self, pieces: list[Piece]) -> None:
        """Send a request and read its answer; RuntimeError unless that is a 201, of a chunk 202, or a raw "ok"."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), 120)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            if isinstance(piece, bytes):
                self._socket.sendall(piece)
            else:
                self._socket.sendfile(piece)
        head, body = self._answer(self._socket)
        if not head.startswith((b"HTTP/1.1 201 ", b"HTTP/1.1 202 ", b"ok\n")):
            raise RuntimeError(f"{head[:40]!r} {body[:300]!r}")
        if b"\r\nconnection: close" in head.lower():
            self.close()

    def _answer(self, connection: socket.socket) -> tuple[bytes, bytes]:
        received = b""
        while b"\r\n\r\n" not in received and received != b"ok\n":
            received += connection.recv(65536) or self._ended(received)
        head, _, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        while length and len(body) < int(length[1]):
            body += connection.recv(65536) or self._ended(body)
        return head, body

    def _ended(self, received: bytes) -> bytes:
        raise RuntimeError(f"the server closed the connection after {received[:300]!r}")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def upload(load: Load, content: Piece, headers: list[str], port: int, takes: str = "form") -> float:
    """Send the whole load; the seconds it took."""
    waiting = iter(requests(load, content, headers, port, takes))
    lock = threading.Lock()
    failures: list[Exception] = []

    def work() -> None:
        connection = Connection(port)
        try:
            while not failures:
                with lock:
                    pieces = next(waiting, None)
                if pieces is None:
                    return
                connection.send(pieces)
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(load.connections)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    if failures:
        raise failures[0]
    return seconds


# ---- one measurement


def measure(server: Server, load: Load, content: Piece, folder: Path) -> Run:
    """Start the server in ``folder``, warm it up, time one upload of ``load``, and count what it stored."""
    with running(server, folder) as (port, pid):
        headers = identity(port) if server.takes == "form" else []
        warm = Load("warm-up", files=160, size=1000, batch=5, connections=4, unit="files/s")
        upload(warm, b"w" * warm.size, headers, port, server.takes)
        with settled(load):
            before = usage(pid, reset_peak=True)
            seconds = upload(load, content, headers, port, server.takes)
            after = usage(pid)
    sizes = [path.stat().st_size for path in (folder / "uploads").rglob("*") if path.is_file()]
    sizes = [size for size in sizes if size == load.size]
    if sizes != [load.size] * load.files:
        raise RuntimeError(f"{server.name} stored {len(sizes)} of {load.files} files, {sum(sizes):,} bytes")
    return Run(
        rate=load.rate(seconds),
        cpu_per_gib=(after.cpu - before.cpu) / (load.bytes / 2**30),
        written=(after.written - before.written) / load.bytes,
        growth=after.peak - before.rss,
    )


@contextlib.contextmanager
def work_folder(parent: Path | None, *, keep: bool) -> Iterator[Path]:
    """A new folder, removed at the end: ext4 creates files slowly for minutes where it has just freed inodes."""
    work = Path(tempfile.mkdtemp(prefix="upload-benchmark-", dir=parent))
    # So marked, ext4 spreads the folders in it.
    subprocess.run(["chattr", "+T", work], stderr=subprocess.DEVNULL, check=False)
    try:
        yield work
    finally:
        if not keep:
            shutil.rmtree(work)


@contextlib.contextmanager
def settled(load: Load) -> Iterator[None]:
    """Leave nothing of an earlier run to be paid for in the next one, nor what the machine does to free memory.

    A virtual machine gives memory that has been free for two seconds back to its host; getting it again slows writes
    into the page cache up to nine times, at random. So as much as a load needs is held until then, and let go at the
    pace at which free memory is taken.
    """
    os.sync()
    with open(os.memfd_create("warm"), "wb", buffering=0) as held:
        block = bytearray(1 << 20)
        held.writelines(block for _ in range(int(2.3 * load.bytes) >> 20))
        over = threading.Event()
        keeper = threading.Thread(target=let_go, args=(held.fileno(), over))
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join()


def let_go(held: int, over: threading.Event, ahead: int = 16 << 20) -> None:
    """Shorten the file ``held`` so that there is always ``ahead`` more free memory than now, until it is empty."""
    size, before = os.fstat(held).st_size, free_memory()
    while size and not over.is_set():
        taken = before + ahead - free_memory()
        if taken > 0:
            size = max(size - taken, 0)
            os.ftruncate(held, size)
        over.wait(0.01)


def free_memory() -> int:
    """Bytes that are used by nothing, not even the page cache."""
    return int(re.search(r"MemFree: +(\d+) kB", Path("/proc/meminfo").read_text())[1]) * 1024


def source(load: Load, folder: Path) -> Piece:
    """Random bytes for one file: in memory where it is small, else a file that sendfile reads from the cache."""
    if load.size < 1 << 20:
        return os.urandom(load.size)
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
    block = os.urandom(min(16 << 20, load.size))
    for _ in range(load.size // len(block)):
        file.write(block)
    file.flush()
    return file


# ---- the report


def table(load: Load, runs: dict[str, list[Run]]) -> str:
    medians = {name: statistics.median(run.rate for run in measured) for name, measured in runs.items()}
    bases = [base for base in BASES if base in medians]
    lines = [
        f"| {load.name}: {load} | {load.unit} | min … max | {' | '.join(f'of {base}' for base in bases)} | at least "
        "| server CPU s/GiB | written/uploaded | RSS growth |",
        f"|---|--:|--:|{'--:|' * len(bases)}---|--:|--:|--:|",
    ]
    for name, measured in sorted(runs.items(), key=lambda run: -medians[run[0]]):
        rates = [run.rate for run in measured]
        ratios = "".join(f" {medians[name] / medians[base]:.2f} |" for base in bases)
        bars = [
            f"{least} of {base}{'' if medians[name] >= least * medians[base] else ': **not met**'}"
            for base, least in BARS.get((load.name, name), {}).items()
            if base in medians
        ]
        cpu, written, growth = (
            statistics.median(getattr(run, figure) for run in measured)
            for figure in ("cpu_per_gib", "written", "growth")
        )
        lines.append(
            f"| {name} | {medians[name]:,.0f} | {min(rates):,.0f} … {max(rates):,.0f} |{ratios} {', '.join(bars)} "
            f"| {cpu:.2f} | {written:.2f} | {growth / 2**20:.0f} MiB |"
        )
    return "\n".join(lines)


def machine(folder: Path) -> str:
    """What the figures were measured on and with."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)", info, re.MULTILINE)
    memory = number("MemTotal:", Path("/proc/meminfo")) / 2**20
    file_system = subprocess.run(
        ["df", "--output=fstype", folder], capture_output=True, text=True, check=True
    ).stdout.split()[-1]
    packages = "Flask", "Werkzeug", "multipart", "SQLAlchemy", "granian", "gunicorn"
    return (
        f"{time.strftime('%d %B %Y', time.gmtime())}; {os.cpu_count()} cores"
        f"{f' ({model[1]})' if model else ''}, {memory:.0f} GiB, {file_system}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, "
        + ", ".join(f"{package} {version(package)}" for package in packages)
        + "."
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", metavar="NAMES", help=", ".join(WHAT))
    parser.add_argument("--load", choices=["big", "medium", "small"], help="only this load")
    parser.add_argument(
        "--peers", action="store_true", help="the peers too, as `make bench-full` installs them"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the load, one round")
    parser.add_argument("--dir", type=Path, help="where the servers write (default: the temporary folder)")
    parser.add_argument(
        "--against", type=Path, metavar="CHECKOUT", help="measure another checkout beside this one"
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave the stored files: what is deleted slows the next ones down"
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the report there too")
    options = parser.parse_args()
    servers = SERVERS + (PEER_SERVERS if options.peers else [])
    chosen = [s for s in servers if not options.only or s.name in options.only.split(",")]
    if not chosen:
        parser.error(f"--only takes {', '.join(WHAT)}")
    if options.against:
        other = options.against.absolute()
        chosen += [
            replace(server, name=f"{server.name} of {other.name}", checkout=other)
            for server in chosen
            if server.name != "seed"
        ]
    rounds = 1 if options.quick else options.rounds
    loads = [
        Load("big", 1, (128 if options.quick else 1024) << 20, batch=1, connections=1, unit="MB/s"),
        Load("medium", 20 if options.quick else 200, 1 << 20, batch=5, connections=4, unit="MB/s"),
        Load("small", 200 if options.quick else 2000, 10 << 10, batch=10, connections=4, unit="files/s"),
    ]
    tables = []
    with work_folder(options.dir, keep=options.keep) as work:
        about = machine(work)
        for load in loads:
            if options.load not in (None, load.name):
                continue
            content = source(load, work)
            runs: dict[str, list[Run]] = {server.name: [] for server in chosen}
            for turn in range(rounds):
                for server in chosen:
                    folder = work / f"{load.name}-{turn}-{server.name}"
                    run = measure(server, load, content, folder)
                    runs[server.name].append(run)
                    print(
                        f"{load.name} {turn + 1}/{rounds} {server.name}: {run.rate:,.0f} {load.unit}",
                        flush=True,
                    )
                    if load.size >= 1 << 20:
                        shutil.rmtree(folder)
            tables.append(table(load, runs))
    report = "\n\n".join(
        [*tables, "\n".join(f"* {s.name}: {WHAT[s.name]}" for s in chosen if s.name in WHAT), about]
    )
    print(f"\n{report}")
    if options.save:
        # What other programs have measured stands behind it.
        rest = options.save.read_text().partition("\n# ")[2] if options.save.exists() else ""
        options.save.write_text(
            HEADER.format(rounds=rounds) + report + "\n" + (f"\n# {rest}" if rest else "")
        )
    return 0


HEADER = """\
# Results of `upload.py`

Medians of {rounds} interleaved rounds on one machine that server and client share: the ratios count, not the figures.
"at least" is what each is meant to reach. Measure on a file system of its own: where thousands of files have just been
deleted, ext4 creates new ones up to fifty times slower, at random; the CPU column then shows it, and no ratio counts.

"""

if __name__ == "__main__":
    sys.exit(main())
