"""
The picture of the sweep in ``docs/first-sweep.md``.

Names, ranks and what failed come from the code that a run uses; a test runs the page's DAG and
compares.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.sweep.draw import draw
from airflow_runai.core.sweep.ranking import Result, table
from airflow_runai.core.sweep.trials import Trial, make_trials
from docs.svg import arrow, bar, page, text

SPACE = {"learning-rate": {"log_uniform": [0.002, 2.0], "points": 4}}
#: As a run of it had them; the last is below the gate.
ACCURACY = (0.8, 0.953, 0.972, None)
_TOP, _STEP = 92, 46


def rows() -> list[JsonObject]:
    """Return the table of all trials."""
    trials = make_trials(draw(SPACE, "grid", 100))
    pairs = zip(trials, ACCURACY, strict=True)
    return table([_result(trial, value) for trial, value in pairs], "accuracy", "max")


def _result(trial: Trial, accuracy: float | None) -> Result:
    if accuracy is None:
        return Result(trial, None, "below its gate")
    return Result(trial, {"accuracy": accuracy})


def sweep() -> str:
    """Draw four trials, the comparison and the promotion."""
    found = rows()
    middle = _TOP + _STEP * (len(found) - 1) / 2
    (winner,) = (row for row in found if row["rank"] == 1)
    return page(
        960,
        _TOP + _STEP * len(found) + 18,
        "A sweep of four trials",
        text(20, 32, "One run of second_sweep", "title"),
        *(
            text(x, 66, words, "quiet", "middle")
            for x, words in ((290, "train"), (395, "select"), (490, "evaluate"), (600, "accuracy"))
        ),
        *(shape for number, row in enumerate(found) for shape in _trial(number, row)),
        bar(696, middle - 4, 92, "air", "best", 32),
        arrow(f"M792 {middle + 12} H826"),
        bar(830, middle - 4, 110, "air", "promote", 32),
        text(885, middle + 48, f"champion: trial {winner['trial']}", "quiet", "middle"),
    )


def _trial(number: int, row: JsonObject) -> Iterator[str]:
    top = _TOP + _STEP * number
    middle = top + 14
    failed = row["score"] is None
    (label,) = (f"{name}={value}" for name, value in row["parameters"].items())
    yield text(20, middle + 4.5, label)
    yield bar(220, top, 140, "run", row["name"], 28)
    yield bar(378, top, 34, "air", "✓", 28)
    yield bar(450, top, 80, "gone" if failed else "run", "gate" if failed else "✓", 28)
    yield text(600, middle + 4.5, "–" if failed else f"{row['score']:.3f}", "", "middle")
    if row["rank"]:
        yield text(650, middle + 4.5, f"#{row['rank']}", "quiet", "middle")
