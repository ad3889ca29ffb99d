"""
What a platform cannot express: one table, from which messages, lint and documentation are made.

A field that has neither a row here nor one in the mapping would be lost without a word; a test
compares both with the fields of the specification.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from airflow_runai.core.jinja import is_templated
from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.manifests.author_form import find
from airflow_runai.core.manifests.dialects import DIALECTS
from airflow_runai.core.manifests.terms import ClusterTerms
from airflow_runai.core.mask import hidden
from airflow_runai.core.texts import cut

ALL = tuple(DIALECTS)
#: Run:ai's words for priorities.
PRIORITY_WORDS = ("very-low", "low", "medium-low", "medium", "medium-high", "high", "very-high")
#: Tells whether a value is refused; the terms are unknown while a DAG is parsed.
Condition = Callable[[Any, "ClusterTerms | None"], bool]


@dataclass(frozen=True)
class FieldRefusal:
    """
    A field, or some values of it, that dialects cannot express.

    :param code: a stable name.
    :param field: path in the specification, such as ``storage.git[].secret``.
    :param allowed: what is allowed and what to do.
    :param refuses: which values; all by default.
    :param values: the same in words, for the documentation.
    """

    code: str
    field: str
    dialects: tuple[str, ...]
    allowed: str
    refuses: Condition = lambda value, terms: True
    values: str = ""

    @property
    def is_total(self) -> bool:
        """Whether every value is refused."""
        return not self.values


class RefusedField(NamedTuple):
    """A row of the table that a specification has hit: its code, and a sentence."""

    code: str
    sentence: str


def refused(
    form: JsonMapping, dialect: str, terms: ClusterTerms | None = None
) -> Iterator[RefusedField]:
    """
    Yield what a dialect cannot express of a specification.

    :param form: as the author writes it; values may still be templates.
    :param terms: of the cluster; without them nothing is refused that they could allow.
    """
    yield from _refused(form, dialect, terms, "spec")
    several = form.get("distributed")
    master = several.get("master") if isinstance(several, Mapping) else None
    if isinstance(master, Mapping):
        yield from _refused(master, dialect, terms, "spec.distributed.master")


def _refused(
    form: JsonMapping, dialect: str, terms: ClusterTerms | None, place: str
) -> Iterator[RefusedField]:
    for row in REFUSALS:
        if dialect in row.dialects:
            for at, value in find(form, row.field, place):
                if row.is_total or (not _is_open(value) and row.refuses(value, terms)):
                    yield RefusedField(row.code, f"{at}: {_shown(value)}; allowed: {row.allowed}")


def _is_open(value: Any) -> bool:
    """Tell whether a value is still a template, so that nothing is known of it."""
    return isinstance(value, str) and is_templated(value)


def _shown(value: Any) -> str:
    """Return a value without the secrets in it, and of a mapping or list only how much it holds."""
    if isinstance(value, Mapping):
        return f"the keys {cut(', '.join(map(str, value)), 80)}"
    if isinstance(value, (list, tuple)):
        return f"{len(value)} entr{'y' if len(value) == 1 else 'ies'}"
    return cut(hidden(repr(value)), 80)


def _one_of(*words: str) -> Condition:
    return lambda value, terms: value in words


def _none_of(*words: str) -> Condition:
    return lambda value, terms: value not in words


def _lacks_class(value: Any, terms: ClusterTerms | None) -> bool:
    return terms is not None and value in PRIORITY_WORDS and value not in terms.priority_classes


_NO_SHARES = (
    "whole GPUs, because no scheduler there shares one; take compute.gpu_devices, or a cluster "
    "with KAI or Run:ai"
)
_OBJECTS_OF_RUNAI = "only with a connection to Run:ai, whose control plane keeps it"
_WHOLE = "belongs to all pods together; set it beside 'distributed'"
#: What a gang has once, so that its master cannot differ in it.
_ONCE = (
    "auto_deletion backoff_limit completions node_pools parallelism preemptibility priority raw "
    "terminate_after_preemption"
)

REFUSALS: tuple[FieldRefusal, ...] = (
    FieldRefusal(
        "gpu-share",
        "compute.gpu_portion",
        ("kueue", "plain"),
        _NO_SHARES,
        lambda value, terms: value not in (1, "1", "1.0"),
        "below 1",
    ),
    FieldRefusal("gpu-share", "compute.gpu_memory", ("kueue", "plain"), _NO_SHARES),
    *(
        FieldRefusal(
            "gpu-limit",
            f"compute.{name}",
            ALL,
            "only with a connection to Run:ai; elsewhere what is asked for is also the most that "
            "one gets: leave it out",
        )
        for name in ("gpu_portion_limit", "gpu_memory_limit")
    ),
    FieldRefusal(
        "semi-preemptible",
        "preemptibility",
        ("kai", "kueue", "plain"),
        "'preemptible', or 'non-preemptible' with KAI; KAI drops this word without telling",
        _one_of("semi-preemptible"),
        "`semi-preemptible`",
    ),
    FieldRefusal(
        "non-preemptible",
        "preemptibility",
        ("kueue", "plain"),
        "'preemptible'; whether a workload is preempted depends on its priority there",
        _one_of("non-preemptible"),
        "`non-preemptible`",
    ),
    FieldRefusal(
        "one-node-pool",
        "node_pools",
        ("kai", "runai"),
        "one node pool, because a pod's label has room for one name",
        lambda value, terms: isinstance(value, (list, tuple)) and len(value) > 1,
        "several",
    ),
    FieldRefusal(
        "no-node-pools",
        "node_pools",
        ("kueue", "plain"),
        "only with KAI or Run:ai; select nodes by node_type, or by a nodeSelector in "
        "raw.kubernetes",
    ),
    FieldRefusal(
        "node-type-label",
        "node_type",
        ("kai", "kueue", "plain"),
        "only if the connection says which label of the nodes it is: node_type_label",
        lambda value, terms: terms is not None and terms.node_type_label is None,
        "without `node_type_label` in the connection",
    ),
    FieldRefusal(
        "priority-word",
        "priority",
        ("kai", "kueue", "plain"),
        "the name of a priority class of the cluster, or a word that the connection translates: "
        "priority_classes",
        _lacks_class,
        "`very-low` … `very-high`, without `priority_classes` in the connection",
    ),
    FieldRefusal(
        "restart-policy",
        "restart_policy",
        ALL,
        "'Never', because only ended pods can be counted and told apart; leave it out",
        _one_of("Always", "OnFailure"),
        "`Always`, `OnFailure`",
    ),
    FieldRefusal(
        "git-image",
        "storage.git",
        ALL,
        "only if the connection names an image that has git: git_image",
        lambda value, terms: bool(value) and terms is not None and terms.git_image is None,
        "without `git_image` in the connection",
    ),
    FieldRefusal("git-secret", "storage.git[].secret", ALL, _OBJECTS_OF_RUNAI),
    FieldRefusal(
        "s3",
        "storage.s3",
        ALL,
        "only with a connection to Run:ai; take storage.pvc with a class that mounts buckets, or "
        "read the bucket in the container",
    ),
    FieldRefusal("data-volume", "storage.data_volume", ALL, _OBJECTS_OF_RUNAI),
    FieldRefusal(
        "credential",
        "environment.*.credential",
        ALL,
        f"{_OBJECTS_OF_RUNAI}; elsewhere {{'secret': {{'name', 'key'}}}}",
    ),
    FieldRefusal("template-id", "template_id", ALL, f"{_OBJECTS_OF_RUNAI}; or template='…'"),
    FieldRefusal(
        "user-of-token",
        "security.uid_gid_source",
        ALL,
        "'fromTheImage' or 'custom'; only Run:ai knows who has signed in",
        _one_of("fromIdpToken"),
        "`fromIdpToken`",
    ),
    FieldRefusal(
        "seccomp-profile",
        "security.seccomp_profile",
        ALL,
        "'RuntimeDefault' or 'Unconfined'; set another one in raw.kubernetes",
        _none_of("RuntimeDefault", "Unconfined"),
        "all but `RuntimeDefault`, `Unconfined`",
    ),
    FieldRefusal(
        "raw-of-rest",
        "raw",
        ALL,
        "the key 'kubernetes' alone; the others are fields of Run:ai's API, which this platform "
        "does not have",
        lambda value, terms: not isinstance(value, Mapping) or set(value) != {"kubernetes"},
        "keys other than `kubernetes`",
    ),
    FieldRefusal(
        "framework",
        "distributed.framework",
        ALL,
        "'PyTorch'; a JobSet has no launcher for the others",
        _none_of("PyTorch"),
        "all but `PyTorch`",
    ),
    *(
        FieldRefusal(
            "elastic", f"distributed.{name}", ALL, "a fixed number of workers: leave it out"
        )
        for name in ("min_replicas", "max_replicas")
    ),
    FieldRefusal("slots", "distributed.slots_per_worker", ALL, "only with MPI on Run:ai"),
    FieldRefusal(
        "clean-pods",
        "distributed.clean_pod_policy",
        ALL,
        "pods go with their JobSet: leave it out, or set auto_deletion",
    ),
    *(FieldRefusal("master", f"distributed.master.{name}", ALL, _WHOLE) for name in _ONCE.split()),
)
