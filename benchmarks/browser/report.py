"""The visits as tables, and what our page is meant to reach beside what it reached."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from loads import Load
from visit import Page, Visit

OURS, FLOOR = "ours", "floor"
#: Pages that are no peers: ours, and those without a list.
ALONE = (OURS, FLOOR, "floor-ours")


@dataclass(frozen=True)
class Measured:
    load: str
    page: str
    visit: Visit
    #: The machine's, so that a crowded hour can be told from a quiet one.
    load_average: float

    @classmethod
    def read(cls, line: str) -> Self:
        found = json.loads(line)
        return cls(**{**found, "visit": Visit(**found["visit"])})


@dataclass(frozen=True)
class Bar:
    """``figure`` of our page may be at most ``times`` what ``of`` gives."""

    what: str
    figure: Callable[[Visit], float | None]
    times: float
    #: "floor", "peer" for the best of them, or "" where `times` is the limit itself.
    of: str = ""
    unit: str = "s"


def wall(visit: Visit) -> float | None:
    return visit.wall


def listed(visit: Visit) -> float | None:
    return visit.listed


def late(visit: Visit) -> float | None:
    """Percent of the clicks."""
    return 100 * (1 - visit.clicks_in_time / visit.clicks) if visit.clicks else 0.0


BARS = {
    "small": [
        Bar("all stored, of the floor", wall, 2, FLOOR),
        Bar("all stored, of the best peer", wall, 0.7, "peer"),
    ],
    "small-slow": [Bar("all stored, of the floor", wall, 1.15, FLOOR)],
    "many": [Bar("list shown", listed, 1), Bar("all stored, of the floor", wall, 2, FLOOR)],
    "big": [Bar("all stored, of the best peer", wall, 1.1, "peer")],
    "photographs": [
        Bar("all stored, of the floor", wall, 2, FLOOR),
        Bar("thumbnails of what is seen", lambda visit: visit.seen, 1),
    ],
}
EVERYWHERE = [
    Bar("longest own task", lambda visit: visit.longest * 1000, 100, unit="ms"),
    Bar("clicks answered later than in 200 ms", late, 5, unit="%"),
    Bar("elements", lambda visit: visit.elements, 2999, unit=""),
    Bar("renderer's memory", lambda visit: visit.memory / 1e6, 299, unit="MB"),
]


def report(found: Sequence[Measured], loads: Sequence[Load], pages: Sequence[Page]) -> str:
    """Markdown: the bars, a table for each load, and what the pages are."""
    measured = [load for load in loads if any(one.load == load.name for one in found)]
    shown = [page for page in pages if any(one.page == page.name for one in found)]
    parts = [table(load, found, shown) for load in measured]
    if any(one.page == OURS for one in found):
        parts.insert(0, bars(found, measured))
    parts.append("\n".join(f"* {page.name}: {page.what}" for page in shown))
    return "\n\n".join(parts)


# ---- the bars


def bars(found: Sequence[Measured], loads: Sequence[Load]) -> str:
    lines = ["| load | our page | at most | is | |", "|---|---|--:|--:|---|"]
    for load in loads:
        mine = [one for one in found if one.load == load.name]
        lines += [row(bar, load, mine) for bar in [*BARS[load.name], *EVERYWHERE]]
    return "\n".join(lines)


def row(bar: Bar, load: Load, found: Sequence[Measured]) -> str:
    mine = visits(found, OURS)
    ours = middle(bar.figure, mine)
    limit, told, most = (
        f"{bar.times:,g} {bar.unit}".strip(),
        f"{number(ours, bar.unit)} {bar.unit}".strip(),
        bar.times,
    )
    if bar.of:
        limit = f"{bar.times:g} ×"
        name = FLOOR if bar.of == FLOOR else best(found)
        base = middle(bar.figure, visits(found, name))
        if base is None:
            return f"| {load.what} | {bar.what} | {limit} | {told} | not compared |"
        most *= base
        if ours is not None:
            told = f"{ours / base:.2f} × ({told}; {name} {number(base, bar.unit)} {bar.unit})"
    if not mine:
        return f"| {load.what} | {bar.what} | {limit} | – | not measured |"
    met = ours is not None and ours <= most
    return f"| {load.what} | {bar.what} | {limit} | {told} | {'met' if met else '**not met**'} |"


def best(found: Sequence[Measured]) -> str:
    """The quickest peer, or "" where none has ended."""
    peers = {one.page for one in found if one.page not in ALONE}
    walls = {name: seconds for name in peers if (seconds := middle(wall, visits(found, name))) is not None}
    return min(walls, key=walls.__getitem__, default="")


# ---- the tables


def table(load: Load, found: Sequence[Measured], pages: Sequence[Page]) -> str:
    mine = [one for one in found if one.load == load.name]
    floor = middle(wall, visits(mine, FLOOR))
    head = ["all stored s", "min … max", "of the floor", "list shown s", "longest own task ms", "over 100 ms"]
    head += [
        "clicks in 200 ms",
        "worst click ms",
        "elements",
        "renderer MB",
        "main thread busy s",
        "requests",
    ]
    if load.pictures:
        head.insert(4, "seen thumbnails s")
    lines = [f"| {load.name}: {load.what} | {' | '.join(head)} |", f"|---|{'--:|' * len(head)}"]
    lines += [
        f"| {page.name} | {' | '.join(cells(made, floor, load))} |"
        for page in pages
        if (made := visits(mine, page.name))
    ]
    errors = {f"* {one.page}: {error}" for one in mine for error in one.visit.errors}
    lines += ["", *sorted(errors)] if errors else []
    averages = [one.load_average for one in mine]
    lines += ["", f"Load average of the machine: {min(averages):.1f} to {max(averages):.1f}."]
    return "\n".join(lines)


def cells(made: Sequence[Visit], floor: float | None, load: Load) -> list[str]:
    walls = [visit.wall for visit in made if visit.wall is not None]
    all_stored = middle(wall, made)
    if all_stored is None:
        stored = max(visit.stored for visit in made)
        done, spread, ratio = f"not done: {stored:,} of {load.count:,}", "–", "–"
    else:
        done, spread = f"{all_stored:.2f}", f"{min(walls):.2f} … {max(walls):.2f}"
        ratio = f"{all_stored / floor:.2f}" if floor else "–"
    if not any(visit.elements for visit in made):
        return [done] + ["–"] * (12 if load.pictures else 11)
    in_time, clicks = sum(visit.clicks_in_time for visit in made), sum(visit.clicks for visit in made)
    found = [done, spread, ratio, number(middle(listed, made))]
    if load.pictures:
        found.append(number(middle(lambda visit: visit.seen, made)))
    return [
        *found,
        number(middle(lambda visit: visit.longest * 1000, made), "ms"),
        number(middle(lambda visit: visit.long_tasks, made), ""),
        f"{in_time} of {clicks}",
        number(middle(lambda visit: visit.worst_click * 1000, made), "ms"),
        number(middle(lambda visit: visit.elements, made), ""),
        number(middle(lambda visit: visit.memory / 1e6, made), "MB"),
        number(middle(lambda visit: visit.busy, made)),
        number(middle(lambda visit: visit.requests, made), ""),
    ]


def visits(found: Sequence[Measured], page: str) -> list[Visit]:
    return [one.visit for one in found if one.page == page]


def middle(figure: Callable[[Visit], float | None], made: Sequence[Visit]) -> float | None:
    """The median; None where a visit has none: what did not end is no quick one."""
    values = [figure(visit) for visit in made]
    return statistics.median(values) if values and None not in values else None  # type: ignore[type-var]


def number(value: float | None, unit: str = "s") -> str:
    """Seconds with two digits, anything else with none."""
    if value is None:
        return "–"
    return f"{value:.2f}" if unit == "s" else f"{value:,.0f}"
