"""Measure two nodes beside one, behind nginx, on one PostgreSQL and one S3 store. Linux only.

python benchmarks/nodes.py [--rounds 3] [--quick]

Nodes are documented servers with folders of their own; PostgreSQL and Ceph's RADOS Gateway (its objects in memory) run
as the tests start them, nginx with the configuration of deploy/. Everything shares one machine: where its processors
are busy with one node, two are no faster. What counts is that two cost no more than one for the same bytes: the
processor time of the nodes for a GiB, and how the rate compares.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

import psycopg  # noqa: E402
from engines.fleet import nginx  # noqa: E402
from engines.postgresql import PostgreSQL  # noqa: E402
from engines.rgw import KEYS, RADOSGateway  # noqa: E402
from support import LiveServer  # noqa: E402
from upload import Load, identity, machine, source, upload, usage, work_folder  # noqa: E402

LOADS = [
    Load("big", files=8, size=32 << 20, batch=1, connections=4, unit="MB/s"),
    Load("small", files=400, size=10 << 10, batch=10, connections=4, unit="files/s"),
]
WARM = Load("warm-up", files=40, size=1000, batch=5, connections=4, unit="")


@contextmanager
def fleet(work: Path, count: int, store: str, database: str) -> Iterator[tuple[int, list[int]]]:
    """So many nodes: the port of their door, and the process ids of the nodes."""
    env = {
        **KEYS,
        "FLASK_UPLOADS_STORAGE": store,
        "FLASK_UPLOADS_DATABASE": database,
        "FLASK_SECRET_KEY": "of all nodes",
        "FLASK_UPLOADS_TYPES": "dat",
    }
    with ExitStack() as stack:
        folders = [work / f"node-{number}" for number in range(count)] + [work / "nginx"]
        for folder in folders:
            folder.mkdir(parents=True)
        nodes = [stack.enter_context(LiveServer(folder, workers=2, env=env)) for folder in folders[:-1]]
        door = stack.enter_context(nginx(folders[-1], *nodes))
        yield door.port, [node.pid for node in nodes]


def measure(
    work: Path, count: int, load: Load, gateway: RADOSGateway, database: PostgreSQL
) -> tuple[float, float]:
    """The rate of a load, and the processor time of all nodes for a GiB."""
    store, url = gateway.empty(), database.empty(tables=True)
    with fleet(work, count, store, url) as (port, pids):
        headers = identity(port)
        upload(WARM, b"w" * WARM.size, headers, port)
        before = sum(usage(pid).cpu for pid in pids)
        seconds = upload(load, source(load, work), headers, port)
        cpu = sum(usage(pid).cpu for pid in pids) - before
        with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as connection:
            counted = "SELECT count(*) FROM files WHERE state = 'stored' AND size = %s"
            [(stored,)] = connection.execute(counted, [load.size]).fetchall()
        if stored != load.files:
            raise RuntimeError(f"{count} nodes stored {stored} of {load.files} files")
    gateway.remove(store)
    return load.rate(seconds), cpu / (load.bytes / 2**30)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="an eighth of the load, one round")
    options = parser.parse_args()
    loads = [replace(load, files=load.files // 8) for load in LOADS] if options.quick else LOADS
    runs: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with work_folder(None, keep=False) as work, RADOSGateway() as gateway, PostgreSQL() as database:
        for turn in range(1 if options.quick else options.rounds):
            for load in loads:
                for count in (1, 2):
                    place = work / f"{load.name}-{turn}-{count}"
                    run = measure(place, count, load, gateway, database)
                    runs.setdefault((load.name, count), []).append(run)
        about = machine(work)
    print("| load | nodes | rate | of one node | server CPU s/GiB |")
    print("|---|--:|--:|--:|--:|")
    for load in loads:
        one = statistics.median(rate for rate, _ in runs[load.name, 1])
        for count in (1, 2):
            rate, cpu = (statistics.median(figures) for figures in zip(*runs[load.name, count], strict=True))
            print(
                f"| {load.name}: {load} | {count} | {rate:,.0f} {load.unit} | {rate / one:.2f} | {cpu:.2f} |"
            )
    print(f"\n{about}")
    return 0


if __name__ == "__main__":
    os.environ |= KEYS
    sys.exit(main())
