"""What a try asks a platform for: one generation, by name, with all that its workload carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_runai.core.marks import Mark
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.workload import FINGERPRINT_VARIABLE, TRY_VARIABLE


@dataclass(frozen=True)
class SubmissionRequest:
    """
    One generation, ready to be submitted.

    :param try_number: of the Airflow try that submits it.
    :param mark: how the workload may end when its task has.
    """

    name: str
    spec: WorkloadSpec
    try_number: int
    mark: Mark | None = None

    @property
    def fingerprint(self) -> str:
        """Return what tells this specification from any other."""
        return self.spec.fingerprint()

    @property
    def own_variables(self) -> dict[str, str]:
        """Variables that hold fingerprint, try and mark."""
        own = {FINGERPRINT_VARIABLE: self.fingerprint, TRY_VARIABLE: str(self.try_number)}
        return own | (self.mark.to_environment() if self.mark else {})

    @property
    def marked_spec(self) -> WorkloadSpec:
        """The specification with these variables."""
        return self.spec.with_environment(self.own_variables)

    def body(self) -> dict[str, Any]:
        """Return what is submitted, in Run:ai's words."""
        return self.marked_spec.to_wire()
