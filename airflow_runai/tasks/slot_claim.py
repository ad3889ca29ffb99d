"""
A worker's claim of a slot in its run, before the look that decides: so that no two take the last.

Each worker first says that its workload may be there in a moment, then reads what the others say,
then looks at the platform. Of two that do this at the same time at least one sees the other. Claims
are XComs of the tasks, so they need nothing but Airflow, and it forgets them with the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from airflow_runai.core.slots import Claim, RunSlots
from airflow_runai.errors import Unreachable

if TYPE_CHECKING:
    from airflow.sdk import Context

KEY = "runai_slot"
#: A claim whose worker says no more counts for so many times its patience with the control plane:
#: the look and the create may each take that long.
_PATIENCES = 3
#: Seconds for which a list may not show what was submitted.
LAG = 60.0
_READS, _PAUSE = 5, 0.5


@dataclass(frozen=True)
class SlotClaim:
    """
    The claim of one try.

    :param name: of the workload that it will submit.
    :param patience: seconds for which a request is repeated that the control plane does not answer.
    :param sleep: called with seconds; raises if the worker is told to stop.
    """

    context: Context
    slots: RunSlots
    name: str
    patience: float
    sleep: Callable[[float], None]

    def make(self, moment: float) -> list[Claim]:
        """
        Claim a slot, and return what others have claimed.

        :param moment: epoch seconds.
        :raises Unreachable: if Airflow does not return the claim: then others may not see it.
        """
        own = Claim(self.name, moment + _PATIENCES * self.patience)
        self._push(own)
        for _ in range(_READS):
            claims = self._read()
            if own in claims:
                return [one for one in claims if one.name != self.name]
            self.sleep(_PAUSE)
        raise Unreachable(
            f"the XCom {KEY!r} was written and cannot be read back, so others cannot see it either"
        )

    def withdraw(self) -> None:
        """Let others have the slot."""
        self._push(Claim(self.name, 0.0))

    def settle(self, moment: float) -> None:
        """Leave it to the lists: the submission is over, however it ended."""
        self._push(Claim(self.name, moment + LAG))

    def _push(self, claim: Claim) -> None:
        self.context["ti"].xcom_push(key=KEY, value=asdict(claim))

    def _read(self) -> list[Claim]:
        # One's own task first: what was written after that can see this claim.
        ti = self.context["ti"]
        tasks = sorted(self.slots.task_ids, key=lambda task_id: task_id != ti.task_id)
        found = ti.xcom_pull(task_ids=tasks, key=KEY) or []
        return [claim for value in found if (claim := Claim.from_json(value))]
