"""
A drill as a picture: starts as bars on their nodes, checkpoints, preemptions, lost work.

Drawn from the JSON report alone, so that a recorded one can be drawn again. SVG with its own
background; the reader's browser chooses colors for light or dark. Signs repeat what colors say, for
readers who cannot tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import chain
from typing import Any, NamedTuple

#: A part of the JSON report.
Json = Mapping[str, Any]

_WIDTH, _LEFT, _RIGHT = 960, 132, 24
_ROW, _BAR, _HEAD = 40, 22, 64
_STYLE = """
  .card { fill: #ffffff; stroke: #d0d7de; }
  text { fill: #1f2328; font: 13px system-ui, sans-serif; }
  .title { font-size: 15px; font-weight: 600; }
  .quiet { fill: #59636e; font-size: 12px; }
  .on { fill: #ffffff; }
  .run { fill: #2f7d1f; }
  .reference { fill: #6e7781; }
  .grace { fill: #bf8700; }
  .lost { fill: url(#hatch); }
  .stripe { stroke: #cf222e; }
  .signal { stroke: #cf222e; }
  .axis { stroke: #d0d7de; }
  .fall { fill: #cf222e; }
  .pass { fill: #2f7d1f; }
  .fail { fill: #cf222e; }
  .unknown { fill: #6e7781; }
  .edge { stroke: #ffffff; }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #30363d; }
    text { fill: #e6edf3; }
    .quiet { fill: #9198a1; }
    .on { fill: #ffffff; }
    .run { fill: #238636; }
    .reference { fill: #57606a; }
    .grace { fill: #9e6a03; }
    .axis { stroke: #30363d; }
    .stripe { stroke: #ff7b72; }
    .signal { stroke: #ff7b72; }
    .fall { fill: #ff7b72; }
    .edge { stroke: #0d1117; }
    .pass { fill: #238636; }
    .fail { fill: #da3633; }
    .unknown { fill: #6e7681; }
  }
"""
_HATCH = (
    '<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)">'
    '<path class="stripe" stroke-width="3" d="M0 0 V6"/></pattern>'
)
_SIGNS = {"pass": "✓", "fail": "✗", "unknown": "?"}
_ANSWERS = {"pass": "it survives", "fail": "it does not survive", "unknown": "not decided"}


def picture(report: Json) -> str:
    """
    Draw the timeline of a drill, and its checks below.

    :param report: what :func:`airflow_runai.drill.report.to_json` returns.
    :return: SVG text.
    """
    rows = _rows(report)
    scale = _Scale(max((start["ended_at"] for row in rows for start in row.starts), default=1.0))
    bottom = _HEAD + len(rows) * _ROW
    height = bottom + 62 + 22 * len(report["checks"])
    title = f"Drill of {report['script']}: {_ANSWERS[report['verdict']]}"
    body = chain(
        [_text(20, 32, title, "title")],
        _legend(),
        _axis(scale, bottom),
        *(_row(row, _HEAD + number * _ROW, scale) for number, row in enumerate(rows)),
        _checks(report["checks"], bottom + 58),
    )
    return _page(height, title, body)


class _Scale:
    """Seconds to pixels."""

    def __init__(self, seconds: float) -> None:
        self.seconds = max(seconds, 0.001)  # a run without any start has no length

    def x(self, at: float) -> float:
        share = min(at, self.seconds) / self.seconds
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * share, 1)


class _Row(NamedTuple):
    """
    A line of bars.

    :param style: class of the bars.
    :param lost: seconds of work lost, by the number of the start.
    """

    label: str
    style: str
    starts: Sequence[Json]
    checkpoints: Sequence[Json]
    lost: Mapping[int, float]


def _rows(report: Json) -> list[_Row]:
    """Return one row for the uninterrupted run, and one for each node of the drill."""
    # A second uninterrupted run looks like the first, so only that is drawn.
    by_kind = {run["kind"]: run for run in reversed(report["runs"])}
    reference, drill = by_kind["reference"], by_kind["drill"]
    lost = {loss["start"]: loss["lost_seconds"] for loss in report["preemptions"]}
    by_node: dict[str, list[Json]] = {}
    for start in drill["starts"]:
        by_node.setdefault(start["node"], []).append(start)
    return [
        _Row("uninterrupted", "reference", reference["starts"], reference["checkpoints"], lost={}),
        *(
            _Row(node, "run", starts, drill["checkpoints"], lost)
            for node, starts in sorted(by_node.items())
        ),
    ]


def _row(row: _Row, top: float, scale: _Scale) -> Iterator[str]:
    yield _text(20, top + 20, row.label, "quiet")
    for start in row.starts:
        lost = row.lost.get(start["number"], 0.0)
        yield from _bar(start, row.style, top, scale, lost)
        yield from _marks(row.checkpoints, start, top + _BAR + 8, scale)


def _marks(checkpoints: Sequence[Json], start: Json, y: float, scale: _Scale) -> Iterator[str]:
    begin, end = start["started_at"], start["ended_at"]
    for checkpoint in checkpoints:
        if begin <= checkpoint["at"] <= end:
            yield _mark(checkpoint, start, scale.x(checkpoint["at"]), y)


def _bar(start: Json, style: str, top: float, scale: _Scale, lost: float) -> Iterator[str]:
    begin, end, signal = start["started_at"], start["ended_at"], start["signalled_at"]
    preempted = signal is not None
    yield _rect(scale, begin, signal if preempted else end, top + 4, style)
    if preempted:
        yield _rect(scale, signal, end, top + 4, "grace")
    if lost:
        until = end if start["killed"] else signal
        # Above the grace, of which a part may be lost work.
        yield _rect(scale, max(begin, until - lost), until, top + 4, "lost")
    if preempted:
        x = scale.x(signal)
        yield f'<path class="signal" stroke-width="2" d="M{x} {top - 2} V{top + 30}"/>'
        yield f'<path class="fall" d="M{x - 5} {top - 6} h10 l-5 7z"/>'


def _mark(checkpoint: Json, start: Json, x: float, y: float) -> str:
    """Draw a diamond, or a square for a bad checkpoint; only the last of a start was read."""
    newest = (start["standing"] or {}).get("newest")
    is_broken = (
        newest is not None
        and newest["name"] == checkpoint["name"]
        and newest["verdict"] not in ("valid", "unverifiable")
    )
    label = checkpoint["name"]
    if checkpoint["in_place"]:
        label += " (written in place)"
    shape = f'<path class="pass edge" d="M{x} {y - 5} l5 5 -5 5 -5 -5z"/>'
    if checkpoint["in_place"] or is_broken:
        shape = f'<path class="fail edge" d="M{x - 5} {y - 5} h10 v10 h-10z"/>'
    return f"<g><title>{escape(label)}, {checkpoint['at']:.2f} s</title>{shape}</g>"


def _legend() -> Iterator[str]:
    x, y = 376, 28
    bar = f'y="{y - 6}" width="18" height="12" rx="2"/>'
    shapes = {
        "running": f'<rect class="run" x="{{x}}" {bar}',
        "SIGTERM": f'<path class="fall" d="M{{x}} {y - 4} h12 l-6 8z"/>',
        "grace": f'<rect class="grace" x="{{x}}" {bar}',
        "work lost": f'<rect class="lost" x="{{x}}" {bar}',
        "checkpoint": f'<path class="pass" d="M{{x}} {y} l6 -6 6 6 -6 6z"/>',
        "bad one": f'<path class="fail" d="M{{x}} {y - 5} h10 v10 h-10z"/>',
    }
    for label, shape in shapes.items():
        yield shape.format(x=x) + _text(x + 23, y + 4, label, "quiet")
        # About the width of a character at 12 pixels.
        x += 46 + round(6.4 * len(label))


def _axis(scale: _Scale, bottom: float) -> Iterator[str]:
    # At most ten marks, at round numbers.
    step = next(step for step in _steps() if scale.seconds / step <= 10)
    marks = [number * step for number in range(int(scale.seconds / step) + 1)]
    for at in marks:
        x = scale.x(at)
        yield f'<path class="axis" d="M{x} {_HEAD - 8} V{bottom + 4}"/>'
        yield _text(x, bottom + 20, f"{at:g} s", "quiet", "middle")


def _steps() -> Iterator[float]:
    size = 0.1
    while True:
        yield from (size, 2 * size, 5 * size)
        size *= 10


def _checks(checks: Sequence[Json], top: float) -> Iterator[str]:
    for number, check in enumerate(checks):
        y = top + 22 * number
        yield f'<circle class="{check["verdict"]}" cx="30" cy="{y - 4}" r="8"/>'
        yield _text(30, y, _SIGNS[check["verdict"]], "on", "middle") + _text(46, y, check["name"])
        yield _text(_LEFT, y, _shortened(check["reason"]), "quiet")


def _shortened(text: str, max_length: int = 132) -> str:
    return text if len(text) <= max_length else text[: max_length - 1] + "…"


def _rect(scale: _Scale, begin: float, end: float, top: float, style: str) -> str:
    x = scale.x(begin)
    # Wide enough to be seen, however short.
    width = max(1.5, round(scale.x(end) - x, 1))
    return f'<rect class="{style}" x="{x}" y="{top}" width="{width}" height="{_BAR}" rx="2"/>'


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _page(height: float, title: str, body: Iterator[str]) -> str:
    # A border on half pixels is sharp.
    size = f'width="{_WIDTH - 1}" height="{height - 1}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            f"<defs>{_HATCH}</defs>",
            f'<rect class="card" x="0.5" y="0.5" {size} rx="10"/>',
            *body,
            "</svg>\n",
        ]
    )
