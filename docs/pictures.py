"""
The documentation's drawings, made by a few lines each, so that they can be changed like text.

SVG with its own background, and colors for light and dark chosen by the reader's browser.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from airflow_runai.drill.picture import picture as draw_drill
from docs.drill_table import recorded

_STYLE = """
  .card { fill: #ffffff; stroke: #d0d7de; } text { fill: #1f2328; font: 13px system-ui, sans-serif; }
  .title { font-size: 15px; font-weight: 600; } .quiet { fill: #59636e; font-size: 12px; } .on { fill: #ffffff; }
  .line { stroke: #59636e; stroke-width: 1.5; fill: none; } .head { fill: #59636e; }
  .queue { fill: #bf8700; } .run { fill: #2f7d1f; } .gone { fill: #cf222e; } .air { fill: #0969da; }
  .wait { fill: #6e7781; } .soft { fill: #f6f8fa; stroke: #d0d7de; }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #30363d; } text { fill: #e6edf3; } .quiet { fill: #9198a1; }
    .on { fill: #ffffff; } .line { stroke: #9198a1; } .head { fill: #9198a1; } .soft { fill: #161b22; stroke: #30363d; }
    .queue { fill: #9e6a03; } .run { fill: #238636; } .gone { fill: #da3633; } .air { fill: #1f6feb; }
  }
"""


def _page(width: int, height: int, title: str, *shapes: str) -> str:
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="head" d="M0 0 8 4 0 8z"/></marker></defs>\n'
        f'<rect class="card" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="10"/>\n{body}\n</svg>\n'
    )


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _bar(x: float, y: float, width: float, kind: str, text: str, height: float = 30) -> str:
    rect = f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="4"/>'
    return rect + _text(x + width / 2, y + height / 2 + 4.5, text, "on", "middle")


def _box(x: float, y: float, width: float, height: float, *lines: str) -> str:
    """A box with a headline and quiet lines below it."""
    rect = f'<rect class="soft" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>'
    top = y + height / 2 + 4.5 - 9 * (len(lines) - 1)
    words = [
        _text(x + width / 2, top + 18 * n, line, "quiet" if n else "", "middle")
        for n, line in enumerate(lines)
    ]
    return rect + "".join(words)


def _arrow(path: str) -> str:
    return f'<path class="line" d="{path}" marker-end="url(#tip)"/>'


def _checkpoint(x: float, step: str, kind: str = "run", sign: str = "✓") -> str:
    mark = f'<circle class="{kind}" cx="{x}" cy="152" r="9"/>' + _text(
        x, 156.5, sign, "on", "middle"
    )
    return mark + _text(x, 178, step, "quiet", "middle")


def timeline() -> str:
    """
    One retraining: queued, running, preempted, resumed elsewhere, checked, evaluated, promoted.
    """
    saved = [
        (232, "100"),
        (286, "200"),
        (340, "300"),
        (376, "374"),
        (520, "450"),
        (576, "550"),
        (632, "650"),
    ]
    return _page(
        960,
        266,
        "Timeline of a retraining that is preempted once",
        _text(20, 32, "One run of digits_retraining", "title"),
        _text(940, 32, "time →", "quiet", "end"),
        *(
            _text(20, y, name, "quiet")
            for y, name in ((84, "Run:ai"), (157, "checkpoints"), (224, "Airflow"))
        ),
        _bar(110, 64, 68, "queue", "queued"),
        _bar(180, 64, 204, "run", "running on node-1"),
        _bar(386, 64, 88, "gone", "preempted"),
        _bar(476, 64, 214, "run", "running on node-2"),
        _bar(716, 64, 76, "run", "evaluate"),
        _text(382, 113, "SIGTERM: saved, step 374", "quiet", "end"),
        _text(478, 113, "resumed from step 374", "quiet"),
        *(_checkpoint(x, step) for x, step in saved),
        _checkpoint(678, "690", "gone", "✗"),
        _text(700, 156.5, "torn: refused, step 650 is taken", "quiet"),
        _bar(
            110, 204, 580, "air", "train: deferred, no worker slot held, try 1 from end to end", 32
        ),
        _bar(694, 204, 18, "air", "✓", 32),
        _bar(716, 204, 76, "air", "evaluate", 32),
        _bar(796, 204, 132, "air", "promote step 650", 32),
        _text(712, 253, "checkpoint", "quiet", "end"),
        _text(720, 253, "accuracy ≥ 0.95", "quiet"),
    )


def waiting() -> str:
    """What a wait can see, which clock ticks meanwhile, and the six ways in which it ends."""
    ends = ("succeeded", "failed", "gone", "stopped", "timed_out", "stalled")
    whens = (
        "phase Completed",
        "phase Failed, after Run:ai's own restarts",
        "deleted by someone else",
        "suspended, and when_suspended='end'",
        "a limit or the deadline was reached",
        "too long in a phase that should pass",
    )
    return _page(
        960,
        392,
        "States of a wait and its outcomes",
        _text(40, 36, "What the wait sees, and which clock ticks", "title"),
        _text(590, 36, "The only ways in which it ends", "title"),
        _box(40, 64, 190, 62, "queued", "clock: queue"),
        _box(330, 64, 190, 62, "running", "clock: running"),
        _box(330, 184, 190, 62, "interrupted", "clocks: interruption,", "interrupted_total"),
        _box(40, 184, 190, 62, "suspended", "by a person, from any state", "clock as interrupted"),
        _box(
            40,
            304,
            480,
            62,
            "unknown phase, or no answer",
            "nobody knows which clocks tick: only total counts",
        ),
        _arrow("M230 95 H326"),
        _text(278, 86, "first run", "quiet", "middle"),
        _arrow("M385 126 V180"),
        _text(377, 158, "preempted, evicted", "quiet", "end"),
        _arrow("M465 184 V130"),
        _text(473, 158, "resumed", "quiet"),
        _arrow("M230 215 H326"),
        _text(278, 206, "resume", "quiet", "middle"),
        _text(280, 280, "from and to any of these: waits on, whatever it lasts", "quiet", "middle"),
        *(
            _ending(64 + 52 * n, name, when)
            for n, (name, when) in enumerate(zip(ends, whens, strict=True))
        ),
    )


def _ending(y: float, name: str, when: str) -> str:
    kind = {"succeeded": "run", "timed_out": "queue", "stalled": "queue", "stopped": "wait"}.get(
        name, "gone"
    )
    return _bar(590, y, 92, kind, name, 34) + _text(696, y + 21.5, when, "quiet")


PICTURES: dict[str, Callable[[], str]] = {
    "timeline.svg": timeline,
    "waiting.svg": waiting,
    "drill-survives.svg": lambda: draw_drill(recorded("survives")),
    "drill-ignores-sigterm.svg": lambda: draw_drill(recorded("ignores-sigterm")),
}
