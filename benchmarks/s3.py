"""Measure uploads that end in a real S3 store: through dropzone_app beside boto3's own `upload_fileobj`. Linux only.

python benchmarks/s3.py [--rounds 3]

The store is Ceph's RADOS Gateway, as the tests start it, with its objects in memory. boto3 sends the files straight to
it with as many threads as the server's clients have connections, and checks, records and lists nothing: what is above
it in time is the price of all that, and of passing every byte once more. Rounds are interleaved and every figure is
a median; client, server and store share one machine: read the ratios, not the figures.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

from engines.rgw import BUCKET, KEYS, RADOSGateway  # noqa: E402
from upload import (  # noqa: E402
    SHIPPED,
    Load,
    Piece,
    Server,
    identity,
    machine,
    running,
    source,
    upload,
    usage,
)

LOADS = [
    Load("big", files=1, size=256 << 20, batch=1, connections=1, unit="MB/s"),
    Load("small", files=400, size=10 << 10, batch=10, connections=4, unit="files/s"),
]


def through_the_server(
    load: Load, content: Piece, gateway: RADOSGateway, folder: Path
) -> tuple[float, float]:
    """Seconds that the load took, and of the server's processor time."""
    url = gateway.empty()
    server = Server("s3", SHIPPED, {"FLASK_UPLOADS_STORAGE": url, **KEYS})
    with running(server, folder) as (port, pid):
        headers = identity(port)
        upload(
            Load("warm-up", files=20, size=1000, batch=5, connections=4, unit=""), b"w" * 1000, headers, port
        )
        before = usage(pid)
        seconds = upload(load, content, headers, port)
        cpu = usage(pid).cpu - before.cpu
    check(load, gateway, url)
    return seconds, cpu


def by_boto3(load: Load, content: Piece, gateway: RADOSGateway) -> tuple[float, float]:
    """The same for `upload_fileobj`, of this process."""
    url, client = gateway.empty(), gateway.client
    prefix = url.partition("?")[0].removeprefix(f"s3://{BUCKET}/")

    def send(number: int) -> None:
        if isinstance(content, bytes):
            body: Any = BytesIO(content)
        else:
            content.seek(0)
            body = content
        client.upload_fileobj(body, BUCKET, f"{prefix}/{load.name} {number:05d}.dat")

    client.put_object(Bucket=BUCKET, Key="warm-up", Body=b"w" * 1000)
    before, start = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(load.connections) as pool:
        for _ in pool.map(send, range(load.files)):
            pass
    seconds, cpu = time.perf_counter() - start, time.process_time() - before
    check(load, gateway, url)
    return seconds, cpu


def check(load: Load, gateway: RADOSGateway, url: str) -> None:
    """RuntimeError unless the store has all of it; then make room."""
    found = gateway.lying(url)
    sizes = [size for key, size in found.items() if key.startswith(load.name)]
    if sizes != [load.size] * min(load.files, 1000):
        raise RuntimeError(f"the store has {len(sizes)} of {load.files} files")
    gateway.remove(url)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    runs: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with RADOSGateway() as gateway, tempfile.TemporaryDirectory() as name:
        work = Path(name)
        contents = {load.name: source(load, work) for load in LOADS}
        for number in range(rounds):
            for load in LOADS:
                content = contents[load.name]
                runs.setdefault((load.name, "boto3"), []).append(by_boto3(load, content, gateway))
                if not isinstance(content, bytes):
                    content.seek(0)
                folder = work / f"{load.name} {number}"
                through = through_the_server(load, content, gateway, folder)
                runs.setdefault((load.name, "dropzone_app"), []).append(through)
        print(machine(work))
    for load in LOADS:
        print(f"\n{load.name}: {load}")
        base = statistics.median(seconds for seconds, _ in runs[load.name, "boto3"])
        for who in ("boto3", "dropzone_app"):
            seconds, cpu = (statistics.median(figures) for figures in zip(*runs[load.name, who], strict=True))
            print(
                f"  {who:12}  {load.rate(seconds):8,.0f} {load.unit:7}  {base / seconds:5.2f} of boto3's  "
                f"{cpu / (load.bytes / 2**30):7.2f} s of processor time per GiB"
            )


if __name__ == "__main__":
    os.environ |= KEYS
    main()
