"""
Which training step this is, and whether all places that say so agree.

Reads names and claims only. A mixed-precision run may skip optimizer steps, so a place may be
allowed to lag, never to lead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from airflow_runai.checkpoints.checking.examination import Examination, StepClaim

__all__ = ["judge_steps", "step_in_name"]

# 100k and 1M are no numbers of which the size is known: whoever writes so may round. step-00000042,
# checkpoint-40 (Hugging Face), epoch=3-step=40.ckpt (Lightning), global_step40 (DeepSpeed),
# iter_0000040
_STEP = re.compile(
    r"(?:^|[^a-z])(?:global_?step|step|checkpoint|ckpt|iter)[-_=]?(\d{1,18})(?!\d|(?:\.\d+)?[kmgb](?![a-z]))",
    re.IGNORECASE,
)


def step_in_name(name: str) -> int | None:
    """Training step that a file or directory name tells, if it tells one; a name of digits alone (Orbax) is one."""
    if re.fullmatch(r"\d{1,18}", name, re.ASCII):
        return int(name)
    found = _STEP.findall(name)
    return int(found[-1]) if found else None


def judge_steps(claims: Sequence[StepClaim], seen: Examination, path: str) -> int | None:
    """
    Compare all claims, note disagreement, and return the step.

    The first binding claim is the reference; without one, the first of all.
    """
    heard = [claim for claim in claims if claim.weight != "hint"]
    if not heard:
        return None
    reference = next((claim for claim in heard if claim.weight == "binding"), heard[0])
    for claim in heard:
        if claim.step != reference.step:
            _note(claim, reference, seen, path)
    return reference.step


def _note(claim: StepClaim, reference: StepClaim, seen: Examination, path: str) -> None:
    lags = claim.at_most and claim.step < reference.step
    code = "step-disagrees" if claim.weight == "binding" and not lags else "step-differs"
    text = f"{claim.place} says step {claim.step}, {reference.place} says {reference.step}"
    seen.note(code, path, f"{text}; parts of it may belong to another checkpoint")
