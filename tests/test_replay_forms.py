"""
A recording may be cut anywhere, and say the same in other forms: no claim is wrong, and none changes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_runai.core.kubernetes.case import Case
from airflow_runai.core.kubernetes.incarnations import incarnations
from airflow_runai.core.kubernetes.verdict import verdict
from tests import recordings, replay
from tests.recording_forms import Label
from tests.test_replay import lines, whole

NAMES = recordings.names()
_TIME = re.compile(r'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z"')
_VERSION = re.compile(r'(resourceVersion": ")(\d+)')
_INDIA = timezone(timedelta(hours=5, minutes=30))
_UNKNOWN = {"type": "Unheard", "status": "True", "reason": "Preempted", "message": "Preempted"}
_EVENT_FORM = {"involvedObject": "regarding", "message": "note", "count": "deprecatedCount"}


def in_nanoseconds(entry: Any) -> Any:
    return json.loads(_TIME.sub(r'"\1.000000000Z"', json.dumps(entry)))


def in_another_zone(entry: Any) -> Any:
    def shifted(found: re.Match[str]) -> str:
        when = datetime.fromisoformat(found[1]).replace(tzinfo=timezone.utc)
        return f'"{when.astimezone(_INDIA).isoformat()}"'

    return json.loads(_TIME.sub(shifted, json.dumps(entry)))


def in_an_old_cluster(entry: Any) -> Any:
    """Versions are numbers of a store that may have seen much."""
    return json.loads(
        _VERSION.sub(lambda found: f"{found[1]}{int(found[2]) * 7 + 10**12}", json.dumps(entry))
    )


def by_a_newer_server(entry: Any) -> Any:
    """Fields and conditions that nobody knows yet, everywhere."""
    if isinstance(entry, list):
        return [by_a_newer_server(one) for one in entry]
    if not isinstance(entry, dict):
        return entry
    newer = {key: by_a_newer_server(value) for key, value in entry.items()}
    if isinstance(newer.get("conditions"), list):
        newer["conditions"] = [_UNKNOWN, *newer["conditions"]]
    return {**newer, "unheard": {"reason": "Evict"}}


def with_events_of_the_new_api(entry: Any) -> Any:
    """The kind Event of events.k8s.io has other names for the same, and counts in series."""
    if isinstance(entry, list):
        return [with_events_of_the_new_api(one) for one in entry]
    if not isinstance(entry, dict):
        return entry
    if "involvedObject" not in entry:
        return {key: with_events_of_the_new_api(value) for key, value in entry.items()}
    new = {_EVENT_FORM.get(key, key): value for key, value in entry.items()}
    when = new.pop("lastTimestamp") or new["eventTime"]
    first = new.pop("firstTimestamp") or new["eventTime"]
    return {**new, "eventTime": first, "series": {"count": 2, "lastObservedTime": when}}


FORMS: dict[str, Callable[[Any], Any]] = {
    "nanoseconds": in_nanoseconds,
    "another zone": in_another_zone,
    "an old cluster": in_an_old_cluster,
    "a newer server": by_a_newer_server,
    "the new API for events": with_events_of_the_new_api,
}


def in_form(name: str, form: str) -> list[replay.Json]:
    """Say what the server says in another form; the client's own words stay."""
    return [
        {
            key: FORMS[form](value) if key in ("line", "body") and "method" not in entry else value
            for key, value in entry.items()
        }
        for entry in lines(name)
    ]


@pytest.mark.parametrize("form", FORMS)
def test_another_form_is_another(form: str) -> None:
    name = "kai/08-reclaim-and-resume"
    entries = in_form(name, form)
    assert entries != list(lines(name))
    assert json.dumps(replay.readings(entries), sort_keys=True) == whole(name)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_the_same_in_another_form_is_read_alike(name: str, form: str) -> None:
    assert json.dumps(replay.readings(in_form(name, form)), sort_keys=True) == whole(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_wherever_a_recording_is_cut_nothing_that_is_settled_is_wrong(name: str) -> None:
    labels = {label.uid: label for label in recordings.named(name).labels}
    client = replay.replayed(lines(name)[:1])
    for entry in lines(name)[1:]:
        client.read(entry)
        for case in client.trainings():
            assert list(mistakes(case, labels[case.training.uid])) == [], entry


def mistakes(case: Case, label: Label) -> Iterator[str]:
    """Say what is claimed too early, and turns out to be wrong."""
    lives = incarnations(case)
    judged = verdict(case, lives)
    if judged.final and judged.is_settled and judged.final != label.final:
        yield f"final {judged.final}, not {label.final}"
    if judged.failures > label.failures_to_charge:
        yield f"{judged.failures} failures of {label.failures_to_charge}"
    real = {one.pod_uid: one for one in label.incarnations}
    for one in lives:
        known = real[one.uid]
        # What nobody has explained yet is removed.
        if one.ended not in ("", "removed", known.ended, known.readable_as):
            yield f"{one.name} {one.ended}, not {known.ended}"
        if one.exit_code not in (None, known.exit_code):
            yield f"{one.name} exit code {one.exit_code}, not {known.exit_code}"
