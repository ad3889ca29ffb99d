"""What one cluster calls things that a specification names in Run:ai's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.manifests.labels import SUBDOMAIN, is_label_key
from airflow_runai.core.texts import cut
from airflow_runai.core.values import image_name, named_texts
from airflow_runai.errors import ConnectionSettingsError, InvalidArgument


def _label_key(value: Any) -> str:
    if not isinstance(value, str) or not is_label_key(value):
        raise ValueError(f"{cut(repr(value), 80)}; allowed: the name of a label of nodes")
    return value


def _object_name(value: Any) -> str:
    if not isinstance(value, str) or not SUBDOMAIN.fullmatch(value):
        raise ValueError(f"{cut(repr(value), 80)}; allowed: the name of an object of the cluster")
    return value


def _classes(value: Any) -> dict[str, str]:
    return {word: _object_name(name) for word, name in named_texts(value).items()}


@dataclass(frozen=True)
class ClusterTerms:
    """
    What one cluster calls things; the connection says it.

    :param priority_classes: a word of ``spec.priority`` to the class of the cluster.
    :param node_type_label: label of nodes that ``spec.node_type`` selects.
    :param git_image: image that has ``git`` and ``sh``, for ``spec.storage.git``.
    :param service_account: of the pods; by default the namespace's own.
    """

    priority_classes: Mapping[str, str] = field(default_factory=dict, hash=False)
    node_type_label: str | None = None
    git_image: str | None = None
    service_account: str | None = None

    @classmethod
    def from_extra(cls, extra: JsonMapping) -> ClusterTerms:
        """
        Read what the extra of a connection says; other keys in it are left alone.

        :raises ConnectionSettingsError: listing everything that cannot be used.
        """
        found: dict[str, Any] = {}
        problems = []
        for name, check in _CHECKS.items():
            if extra.get(name) is not None:
                try:
                    found[name] = check(extra[name])
                except ValueError as error:
                    problems.append(f"{name}: {error}")
        if problems:
            raise ConnectionSettingsError(str(InvalidArgument(problems)))
        return cls(**found)


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "priority_classes": _classes,
    "node_type_label": _label_key,
    "git_image": image_name,
    "service_account": _object_name,
}
