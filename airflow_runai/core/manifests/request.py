"""What manifests are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_runai.core.manifests.terms import ClusterTerms
from airflow_runai.core.naming import digest_in, generation_name
from airflow_runai.core.spec import WorkloadSpec


@dataclass(frozen=True)
class ManifestRequest:
    """
    One generation of a workload, to be written as Kubernetes objects.

    :param base: name without the generation; see :func:`airflow_runai.core.naming.base_name`.
    :param generation: from 1.
    :param queue: of the scheduler; the Run:ai project.
    :param labels: besides the author's, such as :func:`origin_labels`; on every object.
    :param variables: set by the provider, as by :meth:`WorkloadSpec.with_environment`; not part
        of the fingerprint.
    """

    spec: WorkloadSpec
    base: str
    generation: int
    namespace: str
    queue: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    terms: ClusterTerms = field(default_factory=ClusterTerms)

    @property
    def name(self) -> str:
        """Name of the Job or JobSet."""
        return generation_name(self.base, self.generation)

    @property
    def identity(self) -> str:
        """What all generations of a task instance share, whatever the readable part of the name."""
        return digest_in(self.name) or self.base
