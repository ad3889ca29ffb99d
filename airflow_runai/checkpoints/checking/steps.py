"""
Which training step a checkpoint holds, and whether all places that state it agree.

Reads names and claims only. A mixed-precision run may skip optimizer steps, so a place may be
allowed to lag, never to lead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from airflow_runai.checkpoints.checking.step_claim import StepClaim

# step-00000042, checkpoint-40 (Hugging Face), epoch=3-step=40.ckpt (Lightning), global_step40
# (DeepSpeed), iter_0000040 (Megatron). 100k and 1M may be rounded, so they are no steps.
_STEP = re.compile(
    r"(?:^|[^a-z])(?:global_?step|step|checkpoint|ckpt|iter)[-_=]?(\d{1,18})(?!\d|(?:\.\d+)?[kmgb](?![a-z]))",
    re.IGNORECASE,
)


def step_in_name(name: str) -> int | None:
    """Return the training step in a file or directory name; digits alone (Orbax) are one."""
    if re.fullmatch(r"\d{1,18}", name, re.ASCII):
        return int(name)
    found = _STEP.findall(name)
    return int(found[-1]) if found else None


def reference_claim(claims: Sequence[StepClaim]) -> StepClaim | None:
    """Return the claim that decides the step: the first binding one, or the first non-hint."""
    heard = [claim for claim in claims if claim.weight != "hint"]
    binding = [claim for claim in heard if claim.weight == "binding"]
    return next(iter(binding or heard), None)


def disagreements(claims: Sequence[StepClaim]) -> Iterator[tuple[str, str]]:
    """Compare all claims with the one that decides; yield codes and messages of findings."""
    reference = reference_claim(claims)
    if reference is None:
        return
    for claim in claims:
        if claim.weight != "hint" and claim.step != reference.step:
            lags = claim.at_most and claim.step < reference.step
            code = "step-disagrees" if claim.weight == "binding" and not lags else "step-differs"
            text = f"{claim.place} says step {claim.step}, {reference.place} says {reference.step}"
            yield code, f"{text}; parts of it may belong to another checkpoint"
