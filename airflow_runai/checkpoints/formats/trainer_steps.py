"""
How far the parts of a Trainer's checkpoint may lag behind its step.

Updates whose gradients overflowed are skipped: by the gradient scaler (``scaler.pt``), or by
DeepSpeed, which counts them. A training that was resumed from a checkpoint without optimizer
(``save_only_model``) begins optimizer and scheduler anew, both at once and for the rest of the
training. That looks like two stale files; the learning rate that the Trainer logs tells the cases
apart (transformers 5.23 logs the rate of the step, before the scheduler moves on).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.step_claim import StepClaim
from airflow_runai.checkpoints.storage.listing import Listing

_PARTS = (" in optimizer.pt", " in scheduler.pt", " in optimizer.bin")
_SCALER = "scaler.pt"
_Rate = tuple[int, float]
_SCHEDULER = "scheduler.pt"


@dataclass(frozen=True)
class Log:
    """
    The log in ``trainer_state.json``.

    :param rates: (step, learning rate) as logged, in ascending order.
    :param complete: whether it was logged up to the step, as often as the state says.
    """

    step: int
    rates: tuple[_Rate, ...]
    complete: bool

    @classmethod
    def of(cls, state: dict[str, Any]) -> Log:
        """Read the log from the content of the file."""
        step = state["global_step"]
        rates = _rates(state.get("log_history"))
        every = state.get("logging_steps")
        # A share of all steps, and logging by epochs, say nothing about the last entry.
        if type(every) is not int or every <= 0 or not rates:
            return cls(step, rates, complete=True)
        regular = all(at % every == 0 for at, _ in rates[:-1])
        last_due = step - step % every
        return cls(step, rates, complete=not regular or rates[-1][0] >= last_due)

    def speaks_against(self, count: int, rate: float | None) -> bool:
        """
        Whether optimizer and scheduler cannot have begun anew, ``count`` steps ago.

        :param rate: the scheduler's; ``None`` where it has none.
        """
        begun = self.step - count
        since = [(at, logged) for at, logged in self.rates if at > begun + 1]
        if not self.complete or rate is None or not since:
            return not self.complete
        distance = abs(rate - since[-1][1])
        if len(since) >= 2:
            before, last = since[-2:]
            if before[0] > begun and distance <= self._reach(before, last):
                return False
        # A stale rate is that of the log at its count.
        stale = [logged for at, logged in self.rates if at <= count + 1]
        return bool(stale) and distance > 2 * abs(rate - stale[-1]) + 1e-9 * abs(rate)

    def _reach(self, before: _Rate, last: _Rate) -> float:
        """How far a rate may have moved on since the last entry, at twice its last speed."""
        at_before, rate_before = before
        at_last, rate_last = last
        # The rate of its own schedule is one step beyond the last one logged.
        steps = self.step - at_last + 1
        return 2 * steps * abs(rate_last - rate_before) / (at_last - at_before)


def _rates(history: object) -> tuple[_Rate, ...]:
    rates: dict[int, float] = {}
    for entry in history if isinstance(history, list) else []:
        match entry:
            case {"step": int(step), "learning_rate": float(rate)} if math.isfinite(rate):
                rates[step] = rate
    return tuple(sorted(rates.items()))


def bind_steps(tree: Listing, context: CheckContext, log: Log | None) -> None:
    """
    Say of optimizer and scheduler whether they have to be at the Trainer's step.

    :param log: of the Trainer; ``None`` if it is missing or damaged.
    """
    account = context.account
    bound = [claim for claim in account.steps if _is_part(claim)]
    anew = _begun_anew(bound, log, account.learning_rates.get(_SCHEDULER))
    # Gradients that overflowed were not applied.
    scaled = tree.has_top_level(_SCALER)
    for claim in bound:
        lag = log.step - claim.step if log else 0
        at_most = scaled or (anew and lag > 0)
        weighed = replace(claim, weight="binding", at_most=at_most)
        if account.skipped_steps and 0 <= lag <= account.skipped_steps:
            weighed = replace(claim, weight="hint")
        account.steps[account.steps.index(claim)] = weighed


def _is_part(claim: StepClaim) -> bool:
    return claim.place.endswith(_PARTS) or claim.place.startswith("optimizer in optimizer_")


def _begun_anew(claims: list[StepClaim], log: Log | None, rate: float | None) -> bool:
    """Whether all parts lag alike, and nothing speaks against that they began anew."""
    counts = {claim.step for claim in claims}
    return log is not None and len(counts) == 1 and not log.speaks_against(counts.pop(), rate)
