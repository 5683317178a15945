"""`make audit`: which known holes has what is installed? Asks PyPI (else OSV) and npm, and says who could be asked.

Exit status: 0 nothing known, 1 a hole is known, 2 none is known, and not all could be asked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Half:
    """What is known of one kind of packages: holes, and why not all was looked up."""

    looked_up: int = 0
    holes: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def python_half(report: str) -> Half:
    """What pip-audit tells as JSON; of nothing, that it could not ask."""
    half = Half()
    try:
        dependencies: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except ValueError:
        return Half(unknown=["no answer"])
    for one in dependencies:
        if "skip_reason" in one:
            half.unknown.append(one["name"])
            continue
        half.looked_up += 1
        for hole in one["vulns"]:
            mended = ", ".join(hole["fix_versions"]) or "no version yet"
            half.holes.append(f"{one['name']} {one['version']}: {hole['id']}, mended in {mended}")
    return half


def npm_half(report: str) -> Half:
    """What `npm audit --json` tells."""
    try:
        told: dict[str, Any] = json.loads(report)
        holes = told["vulnerabilities"]
        count = told["metadata"]["dependencies"]["total"]
    except (ValueError, KeyError):
        return Half(unknown=["no answer"])
    return Half(count, [f"{name}: {hole['severity']}" for name, hole in holes.items()])


def verdict(halves: dict[str, Half]) -> tuple[list[str], int]:
    """A sentence for each half, and the exit status."""
    said: list[str] = []
    for name, half in halves.items():
        said += [f"{name}: {hole}" for hole in half.holes]
        known = f"{len(half.holes)} known holes" if half.holes else "no known hole"
        if half.looked_up:
            said.append(f"{name}: {known} in {half.looked_up} packages.")
        if half.unknown == ["no answer"]:
            said.append(f"{name}: NOT audited: there is no answer to be had of known holes from here.")
        elif half.unknown:
            names = ", ".join(half.unknown[:5]) + (" …" if len(half.unknown) > 5 else "")
            said.append(
                f"{name}: NOT audited, because it is not known there: {len(half.unknown)} packages ({names})."
            )
    holes = any(half.holes for half in halves.values())
    unknown = any(half.unknown for half in halves.values())
    return said, 1 if holes else 2 if unknown else 0


def main() -> int:
    program, installed = sys.argv[1:]
    python = Half(unknown=["no answer"])
    for service in ("pypi", "osv"):
        report = Path(installed).with_suffix(f".{service}.json")
        report.unlink(missing_ok=True)
        command = [program, "--vulnerability-service", service, "--disable-pip", "--no-deps"]
        command += ["--progress-spinner", "off", "--format", "json", "--output", str(report)]
        subprocess.run([*command, "--requirement", installed], capture_output=True)
        asked = python_half(report.read_text() if report.exists() else "")
        if asked.looked_up > python.looked_up or asked.holes:
            python = asked
        if not python.unknown:
            break
    npm = subprocess.run(["npm", "audit", "--json"], capture_output=True, text=True)
    said, status = verdict({"Python": python, "npm": npm_half(npm.stdout)})
    print("\n".join(said))
    return status


if __name__ == "__main__":
    sys.exit(main())
