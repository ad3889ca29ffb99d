"""
A drill as a picture: starts as bars on their nodes, checkpoints, preemptions, lost work.

Drawn from the JSON report alone, so that a recorded one can be drawn again. SVG with its own
background, and colors for light and dark chosen by the reader's browser; signs beside the colors,
for those who see none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import chain
from typing import Any

_WIDTH, _LEFT, _RIGHT = 960, 132, 24
_ROW, _BAR, _HEAD = 40, 22, 64
_STYLE = """
  .card { fill: #ffffff; stroke: #d0d7de; } text { fill: #1f2328; font: 13px system-ui, sans-serif; }
  .title { font-size: 15px; font-weight: 600; } .quiet { fill: #59636e; font-size: 12px; } .on { fill: #ffffff; }
  .run { fill: #2f7d1f; } .reference { fill: #6e7781; } .grace { fill: #bf8700; } .lost { fill: url(#hatch); }
  .stripe { stroke: #cf222e; } .signal { stroke: #cf222e; } .axis { stroke: #d0d7de; } .fall { fill: #cf222e; }
  .pass { fill: #2f7d1f; } .fail { fill: #cf222e; } .unknown { fill: #6e7781; } .edge { stroke: #ffffff; }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #30363d; } text { fill: #e6edf3; } .quiet { fill: #9198a1; } .on { fill: #ffffff; }
    .run { fill: #238636; } .reference { fill: #57606a; } .grace { fill: #9e6a03; } .axis { stroke: #30363d; }
    .stripe { stroke: #ff7b72; } .signal { stroke: #ff7b72; } .fall { fill: #ff7b72; } .edge { stroke: #0d1117; }
    .pass { fill: #238636; } .fail { fill: #da3633; } .unknown { fill: #6e7681; }
  }
"""
_SIGNS = {"pass": "✓", "fail": "✗", "unknown": "?"}
_ANSWERS = {"pass": "it survives", "fail": "it does not survive", "unknown": "not decided"}


def picture(report: Mapping[str, Any]) -> str:
    """
    Draw the timeline of a drill, and its checks below.

    :param report: what :func:`airflow_runai.drill.report.to_json` returns.
    :return: SVG text.
    """
    shown = [run for run in report["runs"] if run["kind"] in ("reference", "drill")]
    runs = [shown[0], next(run for run in shown if run["kind"] == "drill")]
    scale = _Scale(max((start["ended_at"] for run in runs for start in run["starts"]), default=1.0))
    rows = _rows(runs)
    bottom = _HEAD + len(rows) * _ROW
    height = bottom + 62 + 22 * len(report["checks"])
    title = f"Drill of {report['script']}: {_ANSWERS[report['verdict']]}"
    body = chain(
        [_text(20, 32, title, "title")],
        _legend(),
        _axis(scale, bottom),
        *(_row(run, node, number, scale, report) for number, (run, node) in enumerate(rows)),
        _checks(report["checks"], bottom + 58),
    )
    return _page(height, title, body)


class _Scale:
    """Seconds to pixels."""

    def __init__(self, seconds: float) -> None:
        self.seconds = max(seconds, 0.001)

    def x(self, at: float) -> float:
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * min(at, self.seconds) / self.seconds, 1)


def _rows(runs: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], str]]:
    """One row for the uninterrupted run, one for each node of the drill."""
    reference, drill = runs
    return [
        (reference, ""),
        *((drill, node) for node in sorted({start["node"] for start in drill["starts"]})),
    ]


def _row(
    run: Mapping[str, Any], node: str, number: int, scale: _Scale, report: Mapping[str, Any]
) -> Iterator[str]:
    top = _HEAD + number * _ROW
    yield _text(20, top + 20, node or "uninterrupted", "quiet")
    starts = [start for start in run["starts"] if not node or start["node"] == node]
    lost = {one["start"]: one["lost_seconds"] for one in report["preemptions"]} if node else {}
    for start in starts:
        yield from _start(
            start, "run" if node else "reference", top, scale, lost.get(start["number"], 0.0)
        )
        written = [
            one
            for one in run["checkpoints"]
            if start["started_at"] <= one["at"] <= start["ended_at"]
        ]
        yield from _ticks(written, start, top, scale)


def _start(
    start: Mapping[str, Any], kind: str, top: float, scale: _Scale, lost: float
) -> Iterator[str]:
    begin, end, signal = start["started_at"], start["ended_at"], start["signalled_at"]
    yield _rect(scale, begin, end if signal is None else signal, top + 4, kind)
    if signal is not None:
        yield _rect(scale, signal, end, top + 4, "grace")
    if lost:
        until = end if start["killed"] else signal
        yield _rect(scale, max(begin, until - lost), until, top + 4, "lost")
    if signal is not None:
        x = scale.x(signal)
        yield f'<path class="signal" stroke-width="2" d="M{x} {top - 2} V{top + 30}"/>'
        yield f'<path class="fall" d="M{x - 5} {top - 6} h10 l-5 7z"/>'


def _ticks(
    written: Sequence[Mapping[str, Any]], start: Mapping[str, Any], top: float, scale: _Scale
) -> Iterator[str]:
    """
    Checkpoints under a start's bar; the last one with its sign, since it was read after the end.
    """
    newest = (start["standing"] or {}).get("newest")
    y = top + _BAR + 8
    for one in written:
        whole = (
            newest is None
            or newest["name"] != one["name"]
            or newest["verdict"] in ("valid", "unverifiable")
        )
        kind = "fail" if one["in_place"] or not whole else "pass"
        told = f"{one['name']}{' (written in place)' if one['in_place'] else ''}, {one['at']:.2f} s"
        x = scale.x(one["at"])
        mark = (
            f'<path class="{kind} edge" d="M{x} {y - 5} l5 5 -5 5 -5 -5z"/>'
            if kind == "pass"
            else f'<path class="{kind} edge" d="M{x - 5} {y - 5} h10 v10 h-10z"/>'
        )
        yield f"<g><title>{escape(told)}</title>{mark}</g>"


def _legend() -> Iterator[str]:
    y, x = 28, 376
    shapes = (
        ("running", f'<rect class="run" x="{{x}}" y="{y - 6}" width="18" height="12" rx="2"/>'),
        ("SIGTERM", f'<path class="fall" d="M{{x}} {y - 4} h12 l-6 8z"/>'),
        ("grace", f'<rect class="grace" x="{{x}}" y="{y - 6}" width="18" height="12" rx="2"/>'),
        ("work lost", f'<rect class="lost" x="{{x}}" y="{y - 6}" width="18" height="12" rx="2"/>'),
        ("checkpoint", f'<path class="pass" d="M{{x}} {y} l6 -6 6 6 -6 6z"/>'),
        ("bad one", f'<path class="fail" d="M{{x}} {y - 5} h10 v10 h-10z"/>'),
    )
    for name, shape in shapes:
        yield shape.format(x=x) + _text(x + 23, y + 4, name, "quiet")
        x += 46 + round(6.4 * len(name))


def _axis(scale: _Scale, bottom: float) -> Iterator[str]:
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


def _checks(checks: Sequence[Mapping[str, Any]], top: float) -> Iterator[str]:
    for number, check in enumerate(checks):
        y = top + 22 * number
        yield f'<circle class="{check["verdict"]}" cx="30" cy="{y - 4}" r="8"/>'
        yield _text(30, y, _SIGNS[check["verdict"]], "on", "middle") + _text(46, y, check["name"])
        yield _text(_LEFT, y, _cut(check["reason"]), "quiet")


def _cut(text: str, most: int = 132) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _rect(scale: _Scale, begin: float, end: float, top: float, kind: str) -> str:
    x = scale.x(begin)
    width = max(1.5, round(scale.x(end) - x, 1))
    return f'<rect class="{kind}" x="{x}" y="{top}" width="{width}" height="{_BAR}" rx="2"/>'


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _page(height: float, title: str, body: Iterator[str]) -> str:
    lines = "\n".join(body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n"
        '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<path class="stripe" stroke-width="3" d="M0 0 V6"/></pattern></defs>\n'
        f'<rect class="card" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="10"/>\n{lines}\n</svg>\n'
    )
