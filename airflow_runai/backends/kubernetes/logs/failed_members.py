"""The last words of members of a gang that failed by themselves, beside the log of its leader."""

from __future__ import annotations

from collections.abc import Container, Sequence

from airflow_runai.backends.kubernetes.api.writes import Object
from airflow_runai.backends.kubernetes.logs.pod_log import tail
from airflow_runai.backends.kubernetes.logs.pod_source import PodSource
from airflow_runai.backends.kubernetes.logs.pods import log_of, redaction_of
from airflow_runai.backends.log_parts import without_secrets
from airflow_runai.core.flow import Flow
from airflow_runai.core.kubernetes.pod_facts import PodFacts, read_pod
from airflow_runai.core.kubernetes.presence import Presence
from airflow_runai.core.log_reader import LogQuery, MemberEnd
from airflow_runai.core.texts import cut
from airflow_runai.errors import NotFound

#: Members of one incarnation that are shown, and lines of each.
MOST, LINES_OF_EACH = 3, 20


def last_words(
    source: PodSource, others: Sequence[Object], shown: Sequence[str]
) -> Flow[tuple[MemberEnd, ...]]:
    """
    Return the ends of the logs of those that failed, without secrets; at most :data:`MOST` in all.

    :param others: the pods of one incarnation without its leader.
    :param shown: names of those that were shown before.
    """
    found: list[MemberEnd] = []
    for pod in others:
        facts = read_pod(pod, Presence())
        if len(shown) + len(found) >= MOST or not _has_failed(facts, shown):
            continue
        try:
            end = yield from source.ask(tail(log_of(pod), LogQuery(tail=LINES_OF_EACH)))
        except NotFound:
            continue  # its log is gone with it
        lines = without_secrets([line.text for line in end.lines], redaction_of(pod))
        found.append(MemberEnd(cut(facts.name), cut(facts.node), lines))
    return tuple(found)


def _has_failed(pod: PodFacts, shown: Container[str]) -> bool:
    """Whether a member of a JobSet failed before anybody took it, and was not shown yet."""
    end = pod.end
    if not pod.set_uid or end is None or cut(pod.name) in shown:
        return False
    is_own = pod.disruption is None and not pod.status_reason and end.at < pod.began
    return end.code > 0 and is_own
