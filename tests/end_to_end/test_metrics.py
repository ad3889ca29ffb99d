"""What waits see is counted where the site counts everything else: at a StatsD socket."""

from __future__ import annotations

from collections import Counter

from tests.end_to_end.installation import Airflow
from tests.end_to_end.site import Start
from tests.end_to_end.statsd import Statsd
from tests.support.waiting import wait_until


def test_the_triggerer_counts_waits_preemptions_errors_and_kills(
    airflow: Airflow, statsd: Statsd, start: Start
) -> None:
    here, run = start()
    workload = here.runs_deferred(run)
    before = statsd.counts()
    here.emulator.faults.add("status", status=503)
    here.is_hit("the triggerer is refused")
    here.preempt(workload)
    wait_until(lambda: _new(statsd, before)["runai.preemptions"] >= 1, "the preemption counts")
    assert _new(statsd, before)["runai.interruptions"] == 1
    assert _new(statsd, before)["runai.preemptions"] == 1
    assert _new(statsd, before)["runai.api_errors"] >= 1
    run.mark("failed")
    wait_until(lambda: workload.deleted_at is not None, "the workload is ended")
    wait_until(lambda: _new(statsd, before)["runai.kills"] >= 1, "the kill counts")


def test_a_wait_counts_when_it_begins_and_when_it_ends(statsd: Statsd, start: Start) -> None:
    before = statsd.counts()
    here, run = start()
    here.runs_deferred(run)
    here.finish()
    run.succeeds()
    wait_until(lambda: _new(statsd, before)["runai.waits.ended"] >= 1, "the end counts")
    assert _new(statsd, before)["runai.waits.started"] >= 1


def _new(statsd: Statsd, before: Counter[str]) -> Counter[str]:
    return statsd.counts() - before
