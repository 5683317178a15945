"""Write the corpus into a folder: ``PYTHONPATH=tests python -m corpus FOLDER``."""

import sys
from pathlib import Path

from .cases import CASES

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for case in CASES:
        path = folder / (case.verdict or "stored") / case.what / case.filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(case.data)
    print(f"{len(CASES)} files in {folder}")
