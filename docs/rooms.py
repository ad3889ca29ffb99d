"""
Draws the rooms of the package and the imports between them, as they are.

``python -m docs.rooms`` prints who imports whom; ``python -m docs.generate`` draws it. Every arrow
points down: a room stands just above the rooms that it imports. An arrow that follows from two
others is left out, because it would add a line and no information.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from random import Random
from statistics import fmean
from textwrap import fill
from typing import NamedTuple

import grimp
from importlinter import api

from docs.svg import arrow, box, line, page, text

PACKAGE = "airflow_runai"
CAPTION = "An arrow means: imports. An arrow that follows from two others is left out."
WIDTH, ROW, BOX, GAP = 960, 84, (124, 42), 18


class Spot(NamedTuple):
    """A place in a row: a room, or where an arrow to a room in a lower row passes."""

    room: str
    row: int


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph(PACKAGE, cache_dir=None)


def modules(parent: str) -> dict[str, set[str]]:
    """Return the rooms of a package, with the modules in each."""
    return {
        module.rpartition(".")[2]: {module, *_graph().find_descendants(module)}
        for module in sorted(_graph().find_children(parent))
    }


def imports(parent: str) -> dict[str, set[str]]:
    """Return the rooms that each room imports."""
    home = {module: room for room, held in modules(parent).items() for module in held}
    found: dict[str, set[str]] = {room: set() for room in home.values()}
    for module, room in home.items():
        targets = _graph().find_modules_directly_imported_by(module)
        found[room] |= {home[target] for target in targets if target in home} - {room}
    return found


def reachable(imported: Mapping[str, set[str]], room: str) -> set[str]:
    """Return every room that a room needs, through others too."""
    return imported[room].union(*(reachable(imported, other) for other in imported[room]))


def essential(imported: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Yield the imports that do not follow from others."""
    for room, targets in imported.items():
        implied = set[str]().union(*(reachable(imported, target) for target in targets))
        yield from ((room, target) for target in sorted(targets - implied))


def layers(imported: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the rooms in rows, each row above everything that it imports."""

    @cache
    def height(room: str) -> int:
        return 1 + max(map(height, imported[room]), default=-1)

    rows: list[list[str]] = [[] for _ in range(max(map(height, imported)) + 1)]
    for room in imported:
        rows[-1 - height(room)].append(room)
    return rows


def strokes(imported: Mapping[str, set[str]], rows: list[list[str]]) -> set[tuple[Spot, Spot]]:
    """Return the arrows, cut at each row; arrows to the same room share their way."""
    row_of = {room: number for number, row in enumerate(rows) for room in row}
    pieces = set()
    for room, target in essential(imported):
        start = Spot(room, row_of[room])
        for number in range(row_of[room] + 1, row_of[target] + 1):
            end = Spot(target, number)
            pieces.add((start, end))
            start = end
    return pieces


def places(rows: list[list[str]], pieces: set[tuple[Spot, Spot]]) -> dict[Spot, float]:
    """Return the middle of each spot: the best of many tries, each from a beginning by chance."""
    tries = (_settled(rows, pieces, Random(seed)) for seed in range(300))
    best = min(tries, key=lambda middle: sum(abs(middle[a] - middle[b]) ** 1.5 for a, b in pieces))
    offset = WIDTH / 2 - (min(best.values()) + max(best.values())) / 2
    return {spot: x + offset for spot, x in best.items()}


def _settled(
    rows: list[list[str]], pieces: set[tuple[Spot, Spot]], chance: Random
) -> dict[Spot, float]:
    """Move each spot near to its neighbours, again and again, and none over another."""
    near: dict[Spot, list[Spot]] = {Spot(r, n): [] for n, row in enumerate(rows) for r in row}
    for above, below in sorted(pieces):
        near.setdefault(above, []).append(below)
        near.setdefault(below, []).append(above)
    middle = {spot: chance.uniform(0, WIDTH) for spot in near}
    order = [*range(len(rows)), *reversed(range(len(rows)))]
    for number in order * 12:
        row = [spot for spot in near if spot.row == number]
        wish = {s: fmean(middle[other] for other in near[s] or near) for s in row}
        middle |= _apart(wish, rows[number])
    return middle


def _apart(wish: Mapping[Spot, float], rooms: list[str]) -> dict[Spot, float]:
    order = sorted(wish, key=lambda spot: (wish[spot], spot))
    result: dict[Spot, float] = {}
    edge = float("-inf")
    for spot in order:
        half = (BOX[0] if spot.room in rooms else 0) / 2
        result[spot] = max(wish[spot], edge + half)
        edge = result[spot] + half + GAP
    shift = fmean(result[spot] - wish[spot] for spot in order)
    return {spot: x - shift for spot, x in result.items()}


def picture(parent: str, title: str) -> str:
    """Draw one package: a box for each room, rows as layers, arrows as imports."""
    imported = imports(parent)
    rows = layers(imported)
    pieces = strokes(imported, rows)
    middle = places(rows, pieces)
    shapes = [text(20, 32, title, "title"), text(20, 52, CAPTION, "quiet")]
    shapes += [_stroke(start, end, rows, middle) for start, end in sorted(pieces)]
    for number, row in enumerate(rows):
        for room in row:
            x, y = middle[Spot(room, number)] - BOX[0] / 2, _top(number)
            shapes.append(box(round(x), y, *BOX, room, _size(parent, room)))
    return page(WIDTH, 84 + ROW * len(rows), title, *shapes)


def _size(parent: str, room: str) -> str:
    count = len(modules(parent)[room])
    return f"{count} modules" if count > 1 else "1 module"


def _top(row: int) -> int:
    return 72 + ROW * row


def _stroke(start: Spot, end: Spot, rows: list[list[str]], middle: Mapping[Spot, float]) -> str:
    """Draw one piece of an arrow; one that only passes a row goes straight through it."""
    x, y, to_x, to_y = middle[start], _top(start.row) + BOX[1], middle[end], _top(end.row)
    bend = (to_y - y) / 2
    curve = f"M{x:.0f} {y} C{x:.0f} {y + bend} {to_x:.0f} {to_y - bend} {to_x:.0f} {to_y}"
    if end.room in rows[end.row]:
        return arrow(curve)
    return line(f"{curve} V{to_y + BOX[1]}")


def contract() -> str:
    """Return the order of the rooms that the import contracts demand, top first."""
    settings = api.read_configuration(str(Path(__file__).parents[1] / "pyproject.toml"))
    (layers,) = (
        contract["layers"]
        for contract in settings["contracts_options"]
        if contract.get("containers") == [PACKAGE]
    )
    return fill(" → ".join(row.strip("()").replace(" | ", " · ") for row in layers), 100)


PICTURES: dict[str, Callable[[], str]] = {
    "rooms.svg": partial(picture, PACKAGE, "The rooms of airflow_runai"),
    "rooms-checkpoints.svg": partial(
        picture, f"{PACKAGE}.checkpoints", "The rooms of airflow_runai.checkpoints"
    ),
}


if __name__ == "__main__":
    for importer, imported_rooms in imports(PACKAGE).items():
        print(f"{importer}: {', '.join(sorted(imported_rooms)) or '-'}")
