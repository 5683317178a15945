"""Save one name into one folder, over and over: does the last file cost what the first did? Linux only.

python benchmarks/save.py [--saves 100000] [--peer-saves 5000] [--folder /dev/shm] [--durable]

Saves `image.jpg` with `dropzone_app.reuploaded`, and with Flask-Reuploaded, which is installed by name into a
throw-away environment; it tries every number anew, so it gets fewer saves. The last thousand saves alternate with the
first thousand into a new folder, so that both meet the same machine, however busy it is; medians are compared.

In memory by default: on ext4 a folder has luck or not with the part of the disk that its inodes come from (what was
deleted there in the last seconds is searched through, one by one), and that hides all else. Neither waits for the
disk, unless `--durable` makes ours. Read the ratios only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

PEER = "flask-reuploaded==1.6.0"
CHECKOUT = Path(__file__).parents[1]
#: How much more the last thousand may cost than the first.
BAR = 1.2

# One program for both: it knows nothing but the documented calls.
PROGRAM = """if True:
    import importlib, io, json, sys, time
    from flask import Flask
    from werkzeug.datastructures import FileStorage
    module, folder, count, durable = sys.argv[1:]
    package = importlib.import_module(module)
    full, new = package.UploadSet("full", package.IMAGES), package.UploadSet("new", package.IMAGES)
    app = Flask("benchmark")
    app.config.update(UPLOADS_DEFAULT_DEST=folder, UPLOADS_DURABLE=durable)
    package.configure_uploads(app, (full, new))
    content, took = b"x" * 1_000, {"full": [], "new": []}
    with app.app_context():
        for number in range(int(count)):
            for photos in (full, new)[: 1 if number < int(count) - 1000 else 2]:
                file = FileStorage(io.BytesIO(content), "image.jpg")
                begin = time.perf_counter()
                photos.save(file)
                took[photos.name].append(time.perf_counter() - begin)
    json.dump({"first": took["new"], "last": took["full"][-1000:], "all": sum(took["full"])}, sys.stdout)
"""


@dataclass
class Run:
    """Seconds of the first thousand saves, of the last, and of all together."""

    first: list[float]
    last: list[float]
    all: float


def measure(python: str, module: str, saves: int, where: Path, durable: bool = False) -> Run:
    """Save so often into a new folder below `where`. RuntimeError where a file was lost."""
    with tempfile.TemporaryDirectory(dir=where.absolute()) as folder:
        command = [python, "-c", PROGRAM, module, folder, str(saves), str(durable)]
        done = subprocess.run(command, cwd=CHECKOUT, stdout=subprocess.PIPE, check=True)
        stored = sum(path.stat().st_size == 1_000 for path in Path(folder, "full").iterdir())
        if stored != saves:
            raise RuntimeError(f"{saves} files were saved, {stored} are there.")
        return Run(**json.loads(done.stdout))


def install_peer(folder: Path) -> str:
    """A Python that has the peer; its path."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", PEER], check=True)
    return python


def told(name: str, saves: int, run: Run) -> float:
    """Print a row of the table; the ratio of the last thousand saves to the first."""
    first, last = statistics.median(run.first), statistics.median(run.last)
    row = f"{saves:,} | {first * 1e6:,.0f} µs | {last * 1e6:,.0f} µs | {last / first:.2f} | {run.all:,.0f} s"
    print(f"| {name} | {row} |", flush=True)
    return last / first


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--saves", type=int, default=100_000)
    parser.add_argument("--peer-saves", type=int, default=5_000)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="on the disk to measure")
    parser.add_argument("--durable", action="store_true", help="wait for the disk, as it ships")
    options = parser.parse_args()
    if min(options.saves, options.peer_saves) < 2000:
        parser.error("2,000 saves are the fewest: a first thousand, and a last")
    print("| | saves | median of the first 1,000 | of the last 1,000 | ratio | in all |")
    print("| --- | --- | --- | --- | --- | --- |")
    run = measure(sys.executable, "dropzone_app.reuploaded", options.saves, options.folder, options.durable)
    ratio = told("dropzone_app", options.saves, run)
    with tempfile.TemporaryDirectory() as environment:
        python = install_peer(Path(environment))
        told(PEER, options.peer_saves, measure(python, "flask_uploads", options.peer_saves, options.folder))
    print(f"\nThe bar is {BAR}: {'met' if ratio <= BAR else 'missed'}.")
    return 0 if ratio <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
