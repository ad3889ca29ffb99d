"""
All cases of the contract by name, and why one is not played here.

The numbers of the plan are the order of this list.
"""

from __future__ import annotations

from collections.abc import Mapping

CASES = (
    # submission
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
    "refused_by_policy_names_field",
    "forbidden_names_missing_right",
    "unknown_project_or_queue_told_before_submit",
    "inexpressible_field_refused_offline",
    "two_airflows_in_one_project_never_meet",
    "mapped_tasks_have_own_workloads",
    "quota_of_objects_exceeded_is_waited_for",
    # ends and interruptions
    "runs_to_success",
    "fails_with_exit_code",
    "fails_then_succeeds_within_budget",
    "failure_budget_exceeded_fails_once",
    "queued_then_runs_queue_clock",
    "reclaimed_and_resumed_is_one_preemption",
    "preempted_by_priority_in_own_project",
    "preempted_three_times_never_fails",
    "preemptions_leave_failure_budget_alone",
    "failure_and_preemption_are_told_apart",
    "evicted_while_starting",
    "evicted_and_exits_zero_is_no_success",
    "ignores_sigterm_killed_after_grace",
    "eviction_without_words_is_interruption_not_preemption",
    "node_lost_is_interruption",
    "suspended_by_person_is_waited_for",
    "suspended_by_person_ends_when_asked",
    "resumed_counts_one_interruption",
    "deleted_by_person_is_gone",
    "removed_after_success_is_success",
    "unknown_phase_or_condition_is_not_final",
    "terminate_after_preemption_ends",
    "non_preemptible_is_never_reclaimed",
    "replacement_starts_only_after_old_is_gone",
    # limits and reasons
    "queue_limit_times_out_and_stops",
    "running_limit_times_out_and_stops",
    "total_limit_ends_even_unreachable",
    "interruption_limit_times_out",
    "starting_limit_is_stalled",
    "image_error_names_image",
    "out_of_memory_is_named",
    "missing_secret_or_config_map_is_named",
    "non_preemptible_over_quota_is_told",
    "queue_does_not_exist_is_told",
    "last_log_lines_in_failure",
    # outages and memory
    "unreachable_for_minutes_is_survived",
    "credentials_refused_renewed_once_for_all_waits",
    "credentials_rotated_while_waiting",
    "asked_to_slow_down_is_obeyed",
    "html_and_5xx_are_no_failure",
    "dropped_stream_or_page_loses_nothing",
    "history_too_old_lists_again",
    "triggerer_restart_keeps_clocks",
    "preempted_and_finished_while_nobody_looked",
    "preempted_twice_while_nobody_looked_counts_at_least_one",
    "server_restart_keeps_everything",
    "one_unreadable_object_hurts_one_wait",
    "newer_server_fields_survive",
    "blind_identity_degrades_and_says_so",
    # kill and lifecycle
    "kill_stops",
    "kill_suspends",
    "kill_keep",
    "kill_of_finished_is_harmless",
    "stop_returns_only_when_nothing_writes",
    "suspend_resume_delete_repeatable",
    "delete_never_hits_a_successor",
    # many, parts, gangs
    "hundred_waits_one_conversation",
    "end_seen_within_bound",
    "gang_starts_together",
    "gang_member_evicted_gang_returns",
    "completions_parallelism_partly_preempted",
    "share_of_gpu_is_carried",
    # what people see
    "timeline_has_incarnations_with_node_and_words",
    "logs_follow_over_preemption_no_gap_no_double",
    "logs_of_one_incarnation_and_since_cursor",
    "no_secret_in_any_text_or_object",
    "checkpoint_chain_trains_validates_evaluates_promotes_over_a_preemption",
)

#: Cases that are not played here, and why.
OPEN: Mapping[str, str] = {
    "checkpoint_chain_trains_validates_evaluates_promotes_over_a_preemption": (
        "a chain of tasks needs Airflow, which no case has: shown with real trainings for Run:ai by "
        "tests/airflow/test_dags.py, for both platforms by tests/end_to_end/test_demo.py"
    ),
}
