"""
Which rights an identity lacks in a namespace: asked once, before anything is submitted.

One review tells all of them, and everybody may ask for it. What it cannot tell is taken for
allowed: the call itself will say. A server that has just started tells too little for a moment, so
what would stop a task must be missing for a while.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_runai.backends.kubernetes.api.paths import ResourceKind
from airflow_runai.backends.kubernetes.api.refusals import PAUSE, LastingRefusal
from airflow_runai.backends.kubernetes.api.status import accept
from airflow_runai.backends.throttle import ENDED
from airflow_runai.core.flow import Flow, Request, Sleep, now
from airflow_runai.errors import Refused

_REVIEW = ResourceKind("authorization.k8s.io", "v1", "selfsubjectrulesreviews")


@dataclass(frozen=True, slots=True)
class Right:
    """
    What an identity may do with one kind of object, and what for.

    :param verbs: as RBAC names them: ``get``, ``list``, ``watch``, …
    :param without: what does not work without it, as a clause: "logs are not shown".
    :param needed: nothing is submitted without it.
    :param in_cluster: the objects belong to no namespace: it takes a ClusterRole.
    """

    kind: ResourceKind
    verbs: tuple[str, ...]
    without: str = ""
    needed: bool = False
    in_cluster: bool = False

    def __str__(self) -> str:
        group = f" of API group {self.kind.group}" if self.kind.group else ""
        place = " in the whole cluster" if self.in_cluster else ""
        return f"{', '.join(self.verbs)} {self.kind.resource}{group}{place}"


def missing_for_good(namespace: str, rights: Sequence[Right]) -> Flow[tuple[Right, ...]]:
    """Return the same as :func:`missing`; look again at what is needed until that has lasted."""
    refusal = LastingRefusal()
    while True:
        lacking = yield from missing(namespace, rights)
        if not any(right.needed for right in lacking) or refusal.is_final((yield from now())):
            return lacking
        yield Sleep(PAUSE, jitter=0.5)


def missing(namespace: str, rights: Iterable[Right]) -> Flow[tuple[Right, ...]]:
    """Return the rights, each with its missing verbs only, that this identity lacks."""
    body = {"spec": {"namespace": namespace}}
    request = Request("POST", _REVIEW.collection(None), json=body, rank=ENDED)
    try:
        review = accept(request, (yield request))
    except Refused:
        return ()
    status = review.get("status") if isinstance(review, Mapping) else None
    if not isinstance(status, Mapping) or status.get("incomplete"):
        return ()
    rules = [rule for rule in status.get("resourceRules") or () if isinstance(rule, Mapping)]
    return tuple(_lacking(rights, rules))


def _lacking(rights: Iterable[Right], rules: Sequence[Mapping[str, Any]]) -> Iterator[Right]:
    for right in rights:
        verbs = tuple(verb for verb in right.verbs if not _is_allowed(right.kind, verb, rules))
        if verbs:
            yield replace(right, verbs=verbs)


def _is_allowed(kind: ResourceKind, verb: str, rules: Sequence[Mapping[str, Any]]) -> bool:
    part = kind.resource.partition("/")[2]
    resources = {kind.resource, "*", *({f"*/{part}"} if part else set())}
    return any(
        # A rule for certain names only says nothing of names that are still to be made.
        not rule.get("resourceNames")
        and _names(rule, "verbs") & {verb, "*"}
        and _names(rule, "apiGroups") & {kind.group, "*"}
        and _names(rule, "resources") & resources
        for rule in rules
    )


def _names(rule: Mapping[str, Any], key: str) -> set[str]:
    listed = rule.get(key)
    return {name for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()


def sentence(namespace: str, lacking: Sequence[Right]) -> str:
    """Return what to tell an author, once, about rights that are missing."""
    parts = [f"{right}{f' ({right.without})' if right.without else ''}" for right in lacking]
    roles = {"a ClusterRole" if right.in_cluster else "a Role" for right in lacking}
    return (
        f"the connection's identity lacks rights in namespace {namespace!r}: {'; '.join(parts)}; "
        f"allow these verbs in {' and '.join(sorted(roles, reverse=True))}, and bind it to the "
        "identity"
    )
