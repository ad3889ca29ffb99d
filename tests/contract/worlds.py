"""Which case is played in which world: all on the stepped clock; on the rig now what only a real server proves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

from tests.contract.cases import CASES
from tests.contract.embedded import AwaitingRig, EmbeddedRig
from tests.contract.given import GivenCluster, GivenControlPlane, GivenRig
from tests.contract.hybrid import HybridRig
from tests.contract.lane_rig import ConditionRig, KueueRig, LaneRig, PlainRig
from tests.contract.model import AwaitingModelRig, ModelRig

World = type[EmbeddedRig] | type[ModelRig] | type[LaneRig] | type[GivenRig]
STEPPED: Mapping[str, World] = {
    "embedded, blocking": EmbeddedRig,
    "embedded, awaiting": AwaitingRig,
    "model, blocking": ModelRig,
    "model, awaiting": AwaitingModelRig,
}
#: Run:ai whose pods Kubernetes shows, and the cases in which that may make a difference.
HYBRID = frozenset(
    {
        "submit_creates_exactly_one",
        "runs_to_success",
        "fails_with_exit_code",
        "reclaimed_and_resumed_is_one_preemption",
        "evicted_and_exits_zero_is_no_success",
        "image_error_names_image",
        "missing_secret_or_config_map_is_named",
        "non_preemptible_over_quota_is_told",
        "last_log_lines_in_failure",
        "kill_stops",
        "stop_returns_only_when_nothing_writes",
        "timeline_has_incarnations_with_node_and_words",
        "logs_follow_over_preemption_no_gap_no_double",
        "logs_of_one_incarnation_and_since_cursor",
        "no_secret_in_any_text_or_object",
    }
)
ON_THE_RIG: Mapping[str, type[LaneRig]] = {
    "rig, kai": LaneRig,
    "rig, condition": ConditionRig,
    "rig, plain": PlainRig,
    "rig, kueue": KueueRig,
}
#: Cases that `make test` plays on the rig: under 20 s each, and no model proves them.
SOON: Mapping[str, frozenset[str]] = {
    "rig, kai": frozenset(
        {
            "submit_creates_exactly_one",
            "submit_again_adopts",
            "lost_reply_after_create_adopts",
            "same_name_other_specification_is_foreign_with_readable_difference",
            "two_airflows_in_one_project_never_meet",
            "quota_of_objects_exceeded_is_waited_for",
            "failure_budget_exceeded_fails_once",
            "reclaimed_and_resumed_is_one_preemption",
            "evicted_and_exits_zero_is_no_success",
            "eviction_without_words_is_interruption_not_preemption",
            "suspended_by_person_ends_when_asked",
            "resumed_counts_one_interruption",
            "deleted_by_person_is_gone",
            "replacement_starts_only_after_old_is_gone",
            "starting_limit_is_stalled",
            "image_error_names_image",
            "out_of_memory_is_named",
            "server_restart_keeps_everything",
            "kill_stops",
        }
    ),
    "rig, condition": frozenset({"reclaimed_and_resumed_is_one_preemption"}),
    "rig, plain": frozenset({"reclaimed_and_resumed_is_one_preemption"}),
    "rig, kueue": frozenset({"reclaimed_and_resumed_is_one_preemption"}),
}
_DIFFERENT = frozenset(
    {
        "submit_creates_exactly_one",
        "runs_to_success",
        "queued_then_runs_queue_clock",
        "reclaimed_and_resumed_is_one_preemption",
        "preempted_by_priority_in_own_project",
        "preempted_three_times_never_fails",
        "evicted_and_exits_zero_is_no_success",
        "suspended_by_person_is_waited_for",
        "terminate_after_preemption_ends",
        "kill_stops",
        "kill_suspends",
        "suspend_resume_delete_repeatable",
        "queue_does_not_exist_is_told",
        "gang_starts_together",
        "gang_member_evicted_gang_returns",
    }
)
#: Cases that each of them plays at all. A hundred Jobs are more than a lane that is shared can be
#: rid of at once; `make bench PLATFORM=kubernetes` has a cluster of its own for a thousand.
PLAYED: Mapping[str, frozenset[str]] = {
    "rig, kai": frozenset(CASES) - {"hundred_waits_one_conversation"},
    "rig, condition": _DIFFERENT,
    "rig, plain": _DIFFERENT,
    "rig, kueue": _DIFFERENT,
}
#: Cases that need nobody's hands on the platform, and no work that is kept.
HANDLESS = frozenset(
    {
        "submit_creates_exactly_one",
        "submit_again_adopts",
        "lost_reply_after_create_adopts",
        "reset_before_create_creates_once",
        "same_name_other_specification_is_foreign_with_readable_difference",
        "crash_between_note_and_create",
        "crash_between_create_and_note",
        "retry_after_failure_makes_next_generation",
        "retry_after_success_adopts",
        "clear_restart_ends_old_before_new_starts",
        "clear_reattach_adopts",
        "deleted_and_made_again_by_other_is_not_ours",
        "unknown_project_or_queue_told_before_submit",
        "two_airflows_in_one_project_never_meet",
        "mapped_tasks_have_own_workloads",
        "runs_to_success",
        "fails_with_exit_code",
        "failure_budget_exceeded_fails_once",
        "suspended_by_person_is_waited_for",
        "suspended_by_person_ends_when_asked",
        "resumed_counts_one_interruption",
        "deleted_by_person_is_gone",
        "running_limit_times_out_and_stops",
        "interruption_limit_times_out",
        "unreachable_for_minutes_is_survived",
        "kill_stops",
        "kill_suspends",
        "kill_keep",
        "kill_of_finished_is_harmless",
        "stop_returns_only_when_nothing_writes",
        "suspend_resume_delete_repeatable",
        "delete_never_hits_a_successor",
        "end_seen_within_bound",
    }
)
#: Run:ai remembers what was deleted, so a case that begins with nothing finds those before it.
_AMNESIC = frozenset({"crash_between_note_and_create"})
#: World, the variable that names it, and its cases; `make contract` sets the variables.
GIVEN: Mapping[str, tuple[type[GivenRig], str, frozenset[str]]] = {
    "given cluster": (GivenCluster, "RUNAI_CONTRACT_CLUSTER", HANDLESS),
    "given control plane": (GivenControlPlane, "RUNAI_CONTRACT_URL", HANDLESS - _AMNESIC),
}


def worlds_of(case: str) -> list[Any]:
    """Return the worlds of a case, as parameters of a test."""
    stepped: list[Any] = [
        pytest.param(kind, id=name, marks=[] if kind is EmbeddedRig else [pytest.mark.slow])
        for name, kind in STEPPED.items()
    ]
    if case in HYBRID:
        stepped.append(pytest.param(HybridRig, id="hybrid", marks=pytest.mark.slow))
    on_the_rig = [_on_the_rig(name, case) for name in ON_THE_RIG if case in PLAYED[name]]
    given = [
        pytest.param(kind, id=name, marks=pytest.mark.qualify)
        for name, (kind, variable, cases) in GIVEN.items()
        if os.environ.get(variable) and case in cases
    ]
    return [*stepped, *on_the_rig, *given]


def _on_the_rig(name: str, case: str) -> Any:
    later = [] if case in SOON[name] else [pytest.mark.qualify]
    marks = [pytest.mark.rig, pytest.mark.slow, *later]
    return pytest.param(ON_THE_RIG[name], id=name, marks=marks)
