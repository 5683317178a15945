"""Measure one big file in chunks: by us, by the tus protocol at ours and at @tus/server, and in one part. Linux only.

python benchmarks/chunks.py [--full] [--rounds 3] [--save benchmarks/CHUNKS.md]

128 MiB, or 1 GiB with `--full`, in chunks of 32 MiB. Rounds are interleaved (A B C, A B C, …) and every figure is a
median. Server and client share one machine: read the ratios, not the figures. tus-js-client runs in node and sends one
chunk after the other; what is sent without it comes from sockets of this program, chunks three at a time as from our
page. Every server starts in a new folder, and the stored file's digest is compared.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from upload import (  # noqa: E402
    SHIPPED,
    Connection,
    Load,
    Piece,
    Run,
    Server,
    identity,
    machine,
    running,
    settled,
    upload,
    usage,
    work_folder,
)

CHUNK = 32 << 20
PARALLEL = 3
NODE = HERE / "tus"

OURS = Server("ours", SHIPPED)
NOT_DURABLE = Server("ours", SHIPPED, {"FLASK_UPLOADS_DURABLE": "false"})
THEIRS = Server("@tus/server", f"node {NODE / 'server.js'} {{port}} uploads")


def in_one_part(file: Path, port: int) -> float:
    """Seconds that the file takes as the one part of one request."""
    with file.open("rb") as content:
        return upload(load_of(file), content, identity(port), port)


def in_chunks(file: Path, port: int) -> float:
    """Seconds that it takes in chunks with Dropzone's fields."""
    size, headers, uuid = file.stat().st_size, identity(port), secrets.token_hex(16)
    waiting = iter(range(-(-size // CHUNK)))
    failures: list[Exception] = []

    def work() -> None:
        connection = Connection(port)
        try:
            with file.open("rb") as content:
                while not failures and (index := next(waiting, None)) is not None:
                    connection.send(chunk(content.read, content.seek, index, size, uuid, headers, port))
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(PARALLEL)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    if failures:
        raise failures[0]
    return seconds


def chunk(
    read: Callable[[int], bytes],
    seek: Callable[[int], object],
    index: int,
    size: int,
    uuid: str,
    headers: list[str],
    port: int,
) -> list[Piece]:
    """One request."""
    seek(index * CHUNK)
    content, boundary = read(CHUNK), f"----{secrets.token_hex(8)}"
    fields = {
        "dzuuid": uuid,
        "dzchunkindex": index,
        "dztotalfilesize": size,
        "dzchunksize": CHUNK,
        "dztotalchunkcount": -(-size // CHUNK),
        "dzchunkbyteoffset": index * CHUNK,
    }
    before = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    before += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="big 00000.dat"\r\n\r\n'
    after = f"\r\n--{boundary}--\r\n"
    head = [
        "POST /upload HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Accept: application/json",
        *headers,
        f"Content-Type: multipart/form-data; boundary={boundary}",
        f"Content-Length: {len(before) + len(content) + len(after)}",
    ]
    return ["\r\n".join([*head, "", before]).encode(), content, after.encode()]


def by_tus(file: Path, port: int) -> float:
    """Seconds that it takes tus-js-client."""
    cookie = next((one.partition(" ")[2] for one in identity(port) if one.startswith("Cookie")), "")
    arguments = [f"http://127.0.0.1:{port}/tus/", file, str(CHUNK), cookie]
    done = subprocess.run(
        ["node", NODE / "client.js", *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return float(done.stdout)


CONTESTANTS: dict[str, tuple[Server, Callable[[Path, int], float]]] = {
    "@tus/server, by tus-js-client": (THEIRS, by_tus),
    "ours, by tus-js-client": (OURS, by_tus),
    "the same, UPLOADS_DURABLE=false": (NOT_DURABLE, by_tus),
    "ours, in chunks": (OURS, in_chunks),
    "ours, in one part": (OURS, in_one_part),
}


def load_of(file: Path) -> Load:
    return Load("big", 1, file.stat().st_size, batch=1, connections=1, unit="MB/s")


def measure(name: str, file: Path, folder: Path, digest: str) -> Run:
    """Start the server, send the file, and see that it is there."""
    server, send = CONTESTANTS[name]
    load = load_of(file)
    with running(server, folder) as (port, pid), settled(load):
        before = usage(pid, reset_peak=True)
        seconds = send(file, port)
        after = usage(pid)
    [stored] = [
        path
        for path in (folder / "uploads").rglob("*")
        if path.is_file() and path.stat().st_size == load.size
    ]
    with stored.open("rb") as content:
        if hashlib.file_digest(content, "sha256").hexdigest() != digest:
            raise RuntimeError(f"{name} stored something else")
    return Run(
        rate=load.rate(seconds),
        cpu_per_gib=(after.cpu - before.cpu) / (load.bytes / 2**30),
        written=(after.written - before.written) / load.bytes,
        growth=after.peak - before.rss,
    )


def table(load: Load, runs: dict[str, list[Run]]) -> str:
    """The report: ratios are to @tus/server."""
    lines = [
        f"| {load.size >> 20:,} MiB in chunks of {CHUNK >> 20} MiB | MB/s | min … max | of @tus/server "
        "| server CPU s/GiB | of @tus/server | written/uploaded | RSS growth |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    first = next(iter(runs.values()))
    base_rate, base_cpu = (
        statistics.median(getattr(run, figure) for run in first) for figure in ("rate", "cpu_per_gib")
    )
    for name, measured in runs.items():
        rate, cpu, written, growth = (
            statistics.median(getattr(run, figure) for run in measured)
            for figure in ("rate", "cpu_per_gib", "written", "growth")
        )
        rates = [run.rate for run in measured]
        lines.append(
            f"| {name} | {rate:,.0f} | {min(rates):,.0f} … {max(rates):,.0f} | {rate / base_rate:.2f} | {cpu:.2f} "
            f"| {cpu / base_cpu:.2f} | {written:.2f} | {growth / 2**20:.0f} MiB |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="1 GiB in place of 128 MiB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", type=Path, help="where the servers write (default: the temporary folder)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the report there too")
    options = parser.parse_args()
    runs: dict[str, list[Run]] = {name: [] for name in CONTESTANTS}
    busy: list[float] = []
    with work_folder(options.dir, keep=False) as work:
        about, file, digest = machine(work), work / "big.dat", hashlib.sha256()
        with file.open("wb") as content:
            for _ in range(64 if options.full else 8):
                block = os.urandom(16 << 20)
                digest.update(block)
                content.write(block)
        for turn in range(options.rounds):
            for number, name in enumerate(CONTESTANTS):
                busy.append(os.getloadavg()[0])
                folder = work / f"{turn}-{number}"
                run = measure(name, file, folder, digest.hexdigest())
                runs[name].append(run)
                print(
                    f"{turn + 1}/{options.rounds} {name}: {run.rate:,.0f} MB/s, {run.cpu_per_gib:.2f} s/GiB",
                    flush=True,
                )
                shutil.rmtree(folder)
        load = load_of(file)
    report = (
        f"{table(load, runs)}\n\nLoad of the machine before each upload: {min(busy):.1f} to {max(busy):.1f}, "
        f"{statistics.median(busy):.1f} in the middle, what is measured included.\n\n{about}"
    )
    print(f"\n{report}")
    if options.save:
        options.save.write_text(HEADER.format(rounds=options.rounds) + report + "\n")
    return 0


HEADER = """\
# Results of `chunks.py`

Medians of {rounds} interleaved rounds on one machine that server and client share: the ratios count, not the figures.
tus-js-client sends one chunk after the other from node; chunks of ours come three at a time from plain sockets, and the
one part from one. @tus/server writes bytes and does nothing else with them: no digest, no look at content, no record,
no fsync.

"""

if __name__ == "__main__":
    sys.exit(main())
