"""Each judge is awake: a package that lacks one defence is caught by at most 500 seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.mutants import Mutant

#: Remedies taken out one by one. A class that is open anyway (``open_classes.py``) would be found without a mutant.
MUTANTS = (
    Mutant("undeserved: nobody ended the task", "triggers/killing.py", "if state not in FINISHED:", "if False:"),
    Mutant(
        "trigger raised", "triggers/workload.py", "except (RunaiError, AirflowException,", "except (ZeroDivisionError,"
    ),
    Mutant(
        "two alive",
        "core/submission.py",
        "        return _without(note, tries, on_clear, newest, alive)\n",
        "        return Create(note.generation + 1, alive)\n",
    ),
    Mutant("still writing", "operators/submitting.py", "if step.before:", "if False:"),
    Mutant("false gone", "core/verdict.py", "ABSENCE_SECONDS = 600.0", "ABSENCE_SECONDS = 60.0"),
    Mutant("wasted retry", "backends/submission.py", "if newest is None or newest[1].deleted:", "if True:"),
    Mutant("undeserved: it runs again", "operators/settling.py", "now = decide(policy(), seen)", "now = outcome"),
    Mutant(
        "hang", "core/verdict.py", "    if kind in _ENDS:\n", "    if kind in _ENDS and kind is not Meaning.FAILED:\n"
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_mutant_is_caught(mutant: Mutant, tmp_path: Path) -> None:
    told = mutant.hunted(mutant.build(tmp_path), seeds=500)
    assert f"caught: {mutant.kind}" in told, told
