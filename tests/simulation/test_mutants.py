"""Each judge is awake: a package that lacks one defence is caught by at most 1,000 seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.simulation.mutants import Mutant

#: Remedies taken out one by one. A class that is open anyway (``open_classes.py``) would be found
#: without a mutant.
MUTANTS = (
    Mutant(
        "undeserved: nobody ended the task",
        "tasks/kill.py",
        "if state not in FINISHED_TASK_STATES:",
        "if False:",
        18,
    ),
    Mutant(
        "trigger raised",
        "triggers/workload.py",
        "except (RunaiError, AirflowException,",
        "except (ZeroDivisionError,",
        95,
    ),
    Mutant(
        "two alive",
        "core/submission.py",
        "        return _without(note, tries, on_clear, another)\n",
        "        return replace(another, generation=note.generation + 1)\n",
        149,
    ),
    Mutant("still writing", "tasks/submission.py", "if step.before:", "if False:", 237),
    Mutant(
        "false gone", "core/decision.py", "ABSENCE_SECONDS = 600.0", "ABSENCE_SECONDS = 60.0", 70
    ),
    Mutant(
        "wasted retry",
        "backends/submission.py",
        "if newest is None or newest[1].deleted:",
        "if True:",
        5,
        rare=True,
    ),
    Mutant(
        "undeserved: it runs again",
        "tasks/settlement.py",
        "now = decide(policy(), snapshot)",
        "now = outcome",
        430,
    ),
    Mutant(
        "success without training",
        "core/submission.py",
        "        return _begin(another)\n",
        "        return Adopt(*found[-1]) if found else _begin(another)\n",
        25,
    ),
    Mutant(
        "success without training: taken away",
        "core/decision.py",
        "        if kind is Meaning.SUCCEEDED and not policy.allow_exit_on_preemption:\n",
        "        if False:\n",
        16,
    ),
    Mutant(
        "wasted retry",
        "core/submission.py",
        "note.cut_short == workload.id",
        "note.cut_short == 0",
        16,
    ),
    Mutant("refused", "tasks/retries.py", "    if in_the_middle:\n", "    if False:\n", 61),
    Mutant(
        "limit forgotten",
        "operators/training.py",
        "self._defer(context, workload, self._policy())",
        "self._defer(context, workload, self._policy() if outcome is None else WaitPolicy())",
        36,
    ),
    Mutant(
        "limit not enforced",
        "tasks/settlement.py",
        "outcome.status, error\n        )\n        return None",
        "outcome.status, error\n        )\n        return outcome",
        36,
    ),
    Mutant(
        "undeserved: retries were edited",
        "core/submission.py",
        "    if note is None or note.max_tries is None:\n        return made_by",
        "    if True:\n        return made_by",
        328,
    ),
    Mutant(
        "lost",
        "core/orphans.py",
        "    return goes_on and one.mark",
        "    return False and one.mark",
    ),
    Mutant(
        "stranger touched",
        "core/naming.py",
        'r"([1-9]\\d{0,3})",',
        'r"([1-9]\\d{0,3}).*",',
        23,
    ),
    Mutant(
        "dirty text",
        "core/texts.py",
        "    if kept.isprintable():\n",
        "    if True:\n",
        2,
    ),
    Mutant(
        "hang",
        "core/decision.py",
        "    if kind in _ENDS:\n",
        "    if kind in _ENDS and kind is not Meaning.FAILED:\n",
        5,
    ),
    Mutant(
        "stranger changed",
        "backends/kubernetes/trainings/readings.py",
        "is_ours = bool(training.fingerprint)",
        "is_ours = True",
        9,
        platform="kubernetes",
    ),
    Mutant(
        "refused in a moment",
        "backends/kubernetes/known_cluster.py",
        "confirmed(discover)",
        "discover()",
        10,
        platform="kubernetes",
    ),
    Mutant(
        "false gone",
        "backends/kubernetes/watching/awaited_trainings.py",
        "if case is None or case.training.presence.is_gone or not case.has_ended:",
        "if case is None:",
        37,
        rare=True,
        platform="kubernetes",
    ),
    Mutant(
        "budget overdrawn",
        "backends/kubernetes/watching/reflector.py",
        "SILENCE = 90.0",
        "SILENCE = 90_000.0",
        231,
        rare=True,
        platform="kubernetes",
    ),
    Mutant(
        "two pods write",
        "backends/kubernetes/trainings/workloads.py",
        'yield from self._sight.attempt(project.id, "Pod", wait)',
        "yield from ()",
        833,
        rare=True,
        platform="kubernetes",
    ),
    Mutant(
        "success without training: cut short",
        "core/kubernetes/verdict.py",
        "if is_done else (FAILED, doubt)",
        "if True else (FAILED, doubt)",
        540,
        rare=True,
        platform="kubernetes",
    ),
)


def marked(mutant: Mutant) -> Any:
    mark = pytest.mark.qualify if mutant.rare else pytest.mark.slow
    return pytest.param(mutant, marks=mark, id=str(mutant))


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_mutant_finds_its_line(mutant: Mutant) -> None:
    assert mutant.text().count(mutant.before) == 1
    assert mutant.after != mutant.before


@pytest.mark.parametrize("mutant", [marked(mutant) for mutant in MUTANTS])
def test_mutant_is_caught(mutant: Mutant, tmp_path: Path) -> None:
    told = mutant.hunted(mutant.build(tmp_path), seeds=1000)
    assert f"caught: {mutant.kind}" in told, told
