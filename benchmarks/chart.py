"""Draw the tables of `upload.py` as bars: python benchmarks/chart.py benchmarks/RESULTS.md docs/upload-speed.svg

Needs matplotlib, which `make bench-full` installs beside the peers.
"""

import re
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "upload-speed"

from matplotlib import pyplot  # noqa: E402

OURS = {"default", "not-durable", "no-digest", "gunicorn"}


def tables(text: str) -> list[tuple[str, dict[str, float]]]:
    """The title of each table of loads, and its ratios to the seed by server."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, _, *rows = [
            [cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines()
        ]
        if "of seed" in head:
            column = head.index("of seed")
            found.append((head[0], {row[0]: float(row[column]) for row in rows}))
    return found


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    found = tables(source.read_text())
    figure, axes = pyplot.subplots(
        1, len(found), figsize=(4.5 * len(found), 4.5), layout="constrained", squeeze=False
    )
    for plot, (title, ratios) in zip(axes[0], found, strict=True):
        names = sorted(ratios, key=lambda name: ratios[name])
        colours = ["#2563eb" if name in OURS else "#9ca3af" for name in names]
        bars = plot.barh(names, [ratios[name] for name in names], color=colours)
        plot.bar_label(bars, fmt="%.1f ×", padding=3)
        plot.set_title(title.partition(", ")[0], fontsize="medium")
        plot.set_xlabel("times as fast as request.files and save()")
        plot.margins(x=0.15)
        plot.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main()
