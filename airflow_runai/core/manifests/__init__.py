"""
A specification as Kubernetes objects: a Job, or a JobSet for a distributed training. Pure.

:func:`render` writes them, for one of the :data:`DIALECTS`. What a platform cannot express is a
row of :data:`REFUSALS`, and where everything else goes is a row of :data:`MAPPING`; the
documentation and the tests are made from both.
"""

from __future__ import annotations

from airflow_runai.core.manifests.dialects import DIALECTS, Dialect
from airflow_runai.core.manifests.field_places import MAPPING
from airflow_runai.core.manifests.labels import origin_labels
from airflow_runai.core.manifests.objects import Manifests, Precondition, render
from airflow_runai.core.manifests.refusals import REFUSALS, refused
from airflow_runai.core.manifests.request import ManifestRequest
from airflow_runai.core.manifests.terms import ClusterTerms

__all__ = [
    "DIALECTS",
    "MAPPING",
    "REFUSALS",
    "ClusterTerms",
    "Dialect",
    "ManifestRequest",
    "Manifests",
    "Precondition",
    "origin_labels",
    "refused",
    "render",
]
