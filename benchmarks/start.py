"""Measure how long it takes until something can be uploaded: the import, and the start of the server. Linux only.

python benchmarks/start.py [--rounds 9]

The CPU that the import of dropzone_app takes beside that of the packages that it cannot do without (those of its
required ones that it imports before they are used: not Alembic, not granian), each in a process of its own, in turns,
compiled before. The start is that of `python -m dropzone_app` in a folder that has a database already, from its first
instruction until it answers.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from upload import SHIPPED, Server, machine, running, work_folder  # noqa: E402

OURS = "dropzone_app"
REQUIRED = "flask, flask_dropzone, flask_wtf, itsdangerous, multipart, sqlalchemy, sqlite3, werkzeug"
TIMED = "import time; start = time.process_time(); import {}; print(time.process_time() - start)"
#: Of what is required; seconds.
IMPORT_BAR, START_BAR = 1.3, 1.5


def importing(modules: str, compiled: Path) -> float:
    """The seconds of CPU that these imports take a new process."""
    command = [sys.executable, "-c", TIMED.format(modules)]
    # Where the environment forbids to keep what is compiled, ours would be compiled each time, and what pip has
    # installed would not.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = str(compiled)
    return float(
        subprocess.run(command, check=True, capture_output=True, text=True, cwd=HERE.parent, env=env).stdout
    )


def starting(folder: Path) -> float:
    """The seconds until a new server answers."""
    start = time.perf_counter()
    with (
        running(Server("default", SHIPPED), folder) as (port, _),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=30),
    ):
        return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with work_folder(None, keep=False) as work:
        # The first of each compiles, and makes what is missing.
        compiled = work / "compiled"
        importing(f"{OURS}, {REQUIRED}", compiled)
        starting(work)
        ours, required, starts = [], [], []
        for _ in range(rounds):
            required.append(importing(REQUIRED, compiled))
            ours.append(importing(OURS, compiled))
            starts.append(starting(work))
        least, all_of_it, start = map(statistics.median, (required, ours, starts))
        print("| | s | at most |")
        print("|---|--:|--:|")
        print(f"| CPU to import what is required | {least:.2f} | |")
        ratio = all_of_it / least
        print(f"| CPU to `import dropzone_app` | {all_of_it:.2f}, {ratio:.2f} × that | {IMPORT_BAR} × |")
        print(f"| start of the server | {start:.2f} | {START_BAR} |")
        print(f"\n{machine(work)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
