"""The documentation's drawings, each in a few lines, so that you can edit them like text."""

from __future__ import annotations

from collections.abc import Callable

from airflow_runai.drill.picture import picture as draw_drill
from docs import sweep_picture
from docs.drill_table import recorded
from docs.svg import arrow, bar, box, page, text


def _checkpoint(x: float, step: str, kind: str = "run", sign: str = "✓") -> str:
    mark = f'<circle class="{kind}" cx="{x}" cy="152" r="9"/>' + text(
        x, 156.5, sign, "on", "middle"
    )
    return mark + text(x, 178, step, "quiet", "middle")


def timeline() -> str:
    """Draw one retraining that is preempted, resumed elsewhere, checked, evaluated, promoted."""
    saved = [
        (232, "100"),
        (286, "200"),
        (340, "300"),
        (376, "374"),
        (520, "450"),
        (576, "550"),
        (632, "650"),
    ]
    return page(
        960,
        266,
        "Timeline of a retraining that is preempted once",
        text(20, 32, "One run of digits_retraining", "title"),
        text(940, 32, "time →", "quiet", "end"),
        *(
            text(20, y, name, "quiet")
            for y, name in ((84, "Run:ai"), (157, "checkpoints"), (224, "Airflow"))
        ),
        bar(110, 64, 68, "queue", "queued"),
        bar(180, 64, 204, "run", "running on node-1"),
        bar(386, 64, 88, "gone", "preempted"),
        bar(476, 64, 214, "run", "running on node-2"),
        bar(716, 64, 76, "run", "evaluate"),
        text(382, 113, "SIGTERM: saved, step 374", "quiet", "end"),
        text(478, 113, "resumed from step 374", "quiet"),
        *(_checkpoint(x, step) for x, step in saved),
        _checkpoint(678, "690", "gone", "✗"),
        text(700, 156.5, "torn: refused, step 650 is chosen", "quiet"),
        bar(
            110,
            204,
            580,
            "air",
            "train: deferred, holds no worker slot, one try from start to end",
            32,
        ),
        bar(694, 204, 18, "air", "✓", 32),
        bar(716, 204, 76, "air", "evaluate", 32),
        bar(796, 204, 132, "air", "promote step 650", 32),
        text(712, 253, "checkpoint", "quiet", "end"),
        text(720, 253, "accuracy ≥ 0.95", "quiet"),
    )


def waiting() -> str:
    """Draw the states of a wait, the clock that runs in each, and the six outcomes."""
    ends = ("succeeded", "failed", "gone", "stopped", "timed_out", "stalled")
    whens = (
        "phase Completed",
        "phase Failed, after Run:ai's own restarts",
        "deleted by someone else",
        "suspended, and when_suspended='end'",
        "a timeout or the deadline was reached",
        "too long in a phase that should pass",
    )
    return page(
        960,
        392,
        "States of a wait and its outcomes",
        text(40, 36, "State of the workload, and which clock runs", "title"),
        text(590, 36, "The only outcomes", "title"),
        box(40, 64, 190, 62, "queued", "clock: queue"),
        box(330, 64, 190, 62, "running", "clock: running"),
        box(330, 184, 190, 62, "interrupted", "clocks: interruption,", "interrupted_total"),
        box(40, 184, 190, 62, "suspended", "by a person, from any state", "clock as interrupted"),
        box(
            40,
            304,
            480,
            62,
            "unknown phase, or no answer",
            "clocks cannot be told apart: only total counts",
        ),
        arrow("M230 95 H326"),
        text(278, 86, "first run", "quiet", "middle"),
        arrow("M385 126 V180"),
        text(377, 158, "preempted, evicted", "quiet", "end"),
        arrow("M465 184 V130"),
        text(473, 158, "resumed", "quiet"),
        arrow("M230 215 H326"),
        text(278, 206, "resume", "quiet", "middle"),
        text(280, 280, "from and to any of these: keeps waiting, however long", "quiet", "middle"),
        *(
            _ending(64 + 52 * n, name, when)
            for n, (name, when) in enumerate(zip(ends, whens, strict=True))
        ),
    )


def _ending(y: float, name: str, when: str) -> str:
    kind = {"succeeded": "run", "timed_out": "queue", "stalled": "queue", "stopped": "wait"}.get(
        name, "gone"
    )
    return bar(590, y, 92, kind, name, 34) + text(696, y + 21.5, when, "quiet")


PICTURES: dict[str, Callable[[], str]] = {
    "timeline.svg": timeline,
    "waiting.svg": waiting,
    "sweep.svg": sweep_picture.sweep,
    "drill-survives.svg": lambda: draw_drill(recorded("survives")),
    "drill-ignores-sigterm.svg": lambda: draw_drill(recorded("ignores-sigterm")),
}
