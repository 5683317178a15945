"""Measure uploads that end in a real S3 store: through dropzone_app, and straight to the store with its signature,
beside boto3's own `upload_fileobj`. Linux only.

python benchmarks/s3.py [--rounds 3]

The store is Ceph's RADOS Gateway, as the tests start it, with its objects in memory. boto3 sends the files straight to
it with as many threads as the server's clients have connections, and checks, records and lists nothing: what is above
it in time is the price of all that, and of passing every byte once more. Straight to the store a file goes as our page
sends it, three parts at once; the server then reads it there, whole for its digest or only where it begins.

Rounds are interleaved and every figure is a median; client, server and store share one machine: read the ratios, not
the figures.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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

#: How a big file goes straight to the store → UPLOADS_DIGEST.
STRAIGHT = {"direct": "sha256", "direct, without digest": "none"}


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


def straight_to_the_store(
    load: Load, content: Piece, gateway: RADOSGateway, folder: Path, digest: str
) -> tuple[float, float]:
    """The same for a file of a direct set: from the first question to the answer that it is stored."""
    assert not isinstance(content, bytes)
    url = gateway.empty()
    settings = {"FLASK_UPLOADS_STORAGE": url, "FLASK_UPLOADS_DIRECT": "true", "FLASK_UPLOADS_DIGEST": digest}
    server = Server("s3", SHIPPED, {**settings, "FLASK_UPLOADS_TYPES": "dat", **KEYS})

    def ask(connection: http.client.HTTPConnection, path: str, question: dict[str, Any]) -> dict[str, Any]:
        headers = dict(line.split(": ", 1) for line in identified) | {"Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(question), headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status not in (200, 201):
            raise RuntimeError(f"{path} answers {answer.status}: {text.decode()}")
        told: dict[str, Any] = json.loads(text)
        return told

    def put(part: dict[str, Any]) -> None:
        address = urlsplit(part["url"])
        store = http.client.HTTPConnection(address.netloc, timeout=120)
        body = os.pread(content.fileno(), part["end"] - part["start"], part["start"])
        store.request("PUT", f"{address.path}?{address.query}", body, signed["headers"])
        status = store.getresponse().status
        store.close()
        if status != 200:
            raise RuntimeError(f"the store answers {status}")

    with running(server, folder) as (port, pid), ThreadPoolExecutor(3) as pool:
        identified = identity(port)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        file = {"uuid": "direct", "filename": f"{load.name} 00000.dat", "size": load.size}
        before, start = usage(pid), time.perf_counter()
        signed = ask(connection, "/upload/files/direct", file)
        list(pool.map(put, signed["parts"]))
        ask(connection, "/uploads/direct", {})
        seconds = time.perf_counter() - start
        cpu = usage(pid).cpu - before.cpu
        connection.close()
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
                runs.setdefault((load.name, "through the server"), []).append(through)
                if load.files > 1:
                    continue
                for way, digest in STRAIGHT.items():
                    straight = straight_to_the_store(load, content, gateway, folder / digest, digest)
                    runs.setdefault((load.name, way), []).append(straight)
        print(machine(work))
    for load in LOADS:
        print(f"\n{load.name}: {load}")
        base = statistics.median(seconds for seconds, _ in runs[load.name, "boto3"])
        for who in ("boto3", "through the server", *STRAIGHT):
            if (load.name, who) not in runs:
                continue
            seconds, cpu = (statistics.median(figures) for figures in zip(*runs[load.name, who], strict=True))
            print(
                f"  {who:24}  {load.rate(seconds):8,.0f} {load.unit:7}  {base / seconds:5.2f} of boto3's  "
                f"{cpu / (load.bytes / 2**30):7.2f} s of processor time per GiB"
            )


if __name__ == "__main__":
    os.environ |= KEYS
    main()
