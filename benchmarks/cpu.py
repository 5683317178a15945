"""CPU that one batch of ten files of 10 KiB takes the app, without a server: steady where the wall clock is not.

python benchmarks/cpu.py [--batches 500] [--dir /dev/shm] [--against ../another-checkout]

Blocks of 25 batches; told are the best, the quarter and the median, in milliseconds a batch. In --dir lie the files: in
memory the file system costs least, and what is left is ours and SQLite's. Without durability: waiting is no CPU.
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

BLOCK, PARTS, SIZE = 25, 10, 10 << 10


def body(number: int, boundary: str) -> bytes:
    """A request's body: files that nobody has sent before."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="file[{index}]"; '
        f'filename="small {number * PARTS + index:06d}.dat"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + os.urandom(SIZE)
        + b"\r\n"
        for index in range(PARTS)
    ]
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


def measure(batches: int) -> list[float]:
    """Milliseconds of CPU for a batch, one figure for each block, in order of size."""
    from dropzone_app import create_app

    app = create_app({"UPLOADS_TYPES": "dat", "UPLOADS_DURABLE": False, "SECRET_KEY": secrets.token_hex(16)})
    client = app.test_client()
    answer = client.get("/csrf-token")
    boundary = "----geckoformboundary" + secrets.token_hex(8)
    environ = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/upload",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "HTTP_ACCEPT": "application/json",
        "HTTP_COOKIE": answer.headers["Set-Cookie"].partition(";")[0],
        "HTTP_X_CSRFTOKEN": answer.json["csrf_token"],
        "CONTENT_TYPE": f"multipart/form-data; boundary={boundary}",
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }

    def send(content: bytes) -> None:
        statuses: list[str] = []
        given = {**environ, "wsgi.input": BytesIO(content), "CONTENT_LENGTH": str(len(content))}
        iterable = app(given, lambda status, headers, error=None: statuses.append(status))
        text = b"".join(iterable)
        iterable.close()
        if not statuses[0].startswith("201"):
            raise RuntimeError(f"{statuses[0]}: {text[:300]!r}")

    blocks = []
    for first in range(0, batches + BLOCK, BLOCK):
        contents = [body(number, boundary) for number in range(first, first + BLOCK)]
        start = time.process_time()
        for content in contents:
            send(content)
        blocks.append((time.process_time() - start) / BLOCK * 1e3)
    # The first one warms up.
    return sorted(blocks[1:])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, default=500)
    parser.add_argument("--dir", type=Path, default=Path("/dev/shm"), help="where the files go")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="measure another checkout in turns")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        blocks = measure(options.batches)
        best, quarter, median = (blocks[len(blocks) * part // 4] for part in (0, 1, 2))
        print(f"{best:.2f} {quarter:.2f} {median:.2f} ms")
        return 0
    own = Path(__file__).absolute()
    checkouts = [own.parent.parent, *([options.against.absolute()] if options.against else [])]
    for checkout in checkouts * (3 if options.against else 1):
        with tempfile.TemporaryDirectory(dir=options.dir) as folder:
            command = [sys.executable, own, "--here", "--batches", str(options.batches)]
            env = {**os.environ, "PYTHONPATH": str(checkout)}
            told = subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.PIPE, text=True)
        print(f"{checkout.name}: best, quarter, median {told.stdout.strip()}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
