"""Kill a server under load again and again, and count what is lost: `make soak`, or `make soak KILLS=500`."""

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from faults.load import Load
from faults.test_crash import started


def main() -> int:
    """0 where nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=120, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="of all dice")
    options = parser.parse_args()
    print(f"{options.kills} kills, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, started(Path(folder)) as server:
        load = Load(server, seed=options.seed)
        for number, how in enumerate(load.kills(options.kills, options.seed), start=1):
            load.kill(how)
            # As often as a deployment may.
            if number % 10 == 0:
                load.kill("stop")
                print(f"{number:4} kills  {told(load)}", flush=True)
            if load.losses:
                break
        load.finish()
        print(f"In all:     {told(load)}")
        for loss in load.losses:
            print(f"LOST: {loss}")
        if load.losses:
            print(server.log()[-5000:])
    return 1 if load.losses else 0


def told(load: Load) -> str:
    counts = load.counts
    kinds = ("kill_worker", "kill_master", "kill_all", "stop")
    numbers = [f"{counts[kind]} × {kind}" for kind in kinds]
    things = ("requests", "connections lost", "commits undone", "files", "deleted")
    numbers += [f"{counts[what]:,} {what}" for what in things]
    return ", ".join([*numbers, f"{counts['bytes'] / 1e6:,.0f} MB", f"{len(load.losses)} losses"])


if __name__ == "__main__":
    sys.exit(main())
