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
        "hang", "core/verdict.py", "    if kind in _ENDS:\n", "    if kind in _ENDS and kind is not Meaning.FAILED:\n"
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_mutant_is_caught(mutant: Mutant, tmp_path: Path) -> None:
    told = mutant.hunted(mutant.build(tmp_path), seeds=500)
    assert f"caught: {mutant.kind}" in told, told
