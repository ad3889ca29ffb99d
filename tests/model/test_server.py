"""The model's API server answers in the words and with the gaps of a real one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.model.conftest import JOB_PATH, POD_PATH, Stage, job
from tests.model.kubelet import Life
from tests.model.resources import JOBS
from tests.model.server import Answer
from tests.model.store import RING, YOUNG
from tests.model.watching import Watch

JOBS_HERE = JOB_PATH.format("team-b")
MANAGED = "app.kubernetes.io/managed-by=airflow-runai"


def types(stream: Watch) -> list[str]:
    return [line["type"] for line in stream.lines]


def test_a_watch_replays_what_is_kept(stage: Stage) -> None:
    version = stage.ask("GET", JOBS_HERE)["metadata"]["resourceVersion"]
    stage.submit("nightly", Life(run=1.0))
    stage.clock.advance(10.0)
    late = stage.watch(JOBS_HERE, version)
    assert types(late)[0] == "ADDED"
    assert set(types(late)[1:]) == {"MODIFIED"}
    assert late.lines[-1]["object"] == stage.cluster.job("team-b", "nightly")


def test_a_watch_from_a_forgotten_version_says_410_within_200(stage: Stage) -> None:
    version = stage.ask("GET", JOBS_HERE)["metadata"]["resourceVersion"]
    stage.submit("nightly", suspend=True)
    for number in range(RING):
        stage.patch("nightly", {"metadata": {"annotations": {"n": str(number)}}})
    assert not stage.watch(JOBS_HERE, version).is_over, "what is young is kept"
    stage.clock.advance(YOUNG + 1)
    stage.patch("nightly", {"metadata": {"annotations": {"n": "last"}}})
    stream = stage.watch(JOBS_HERE, version)
    assert types(stream) == ["ERROR"]
    assert stream.lines[0]["object"]["code"] == 410
    assert stream.is_over
    assert not stream.was_cut


def test_a_restart_cuts_streams_and_forgets_all_but_events(stage: Stage) -> None:
    stage.submit("nightly")
    version = stage.ask("GET", JOBS_HERE)["metadata"]["resourceVersion"]
    stream = stage.watch(JOBS_HERE, version)
    stage.clock.advance(2.0)
    stage.cluster.server.restart()
    assert stream.is_over
    assert stream.was_cut
    assert types(stage.watch(JOBS_HERE, version)) == ["ERROR"]
    assert "ERROR" not in types(stage.watch("/api/v1/namespaces/team-b/events", version))


def test_bookmarks_come_once_a_minute_but_never_of_events(stage: Stage) -> None:
    jobs, events = stage.watch(JOBS_HERE), stage.watch("/api/v1/namespaces/team-b/events")
    stage.clock.advance(121.0)
    assert (types(jobs), types(events)) == (["BOOKMARK", "BOOKMARK"], [])


def test_a_version_of_the_future_is_silence(stage: Stage) -> None:
    stream = stage.watch(JOBS_HERE, "999999999", timeoutSeconds="200")
    stage.submit("nightly")
    stage.clock.advance(150.0)
    assert not stream.lines
    assert not stream.is_over
    stage.clock.advance(60.0)
    assert stream.is_over


def test_a_label_that_goes_is_a_deletion_for_those_who_select_by_it(stage: Stage) -> None:
    stage.submit("nightly", suspend=True)
    stream = stage.watch(JOBS_HERE, labelSelector=MANAGED)
    key = MANAGED.partition("=")[0]
    stage.patch("nightly", {"metadata": {"labels": {key: None}}})
    stage.patch("nightly", {"metadata": {"labels": {key: "airflow-runai"}}})
    assert types(stream) == ["DELETED", "ADDED"]


def test_all_pages_show_the_state_of_the_first(stage: Stage) -> None:
    for number in range(5):
        stage.submit(f"nightly-{number}", suspend=True)
    first = stage.ask("GET", JOBS_HERE, limit="2")
    stage.submit("late", suspend=True)
    rest = stage.ask("GET", JOBS_HERE, limit="9", **{"continue": first["metadata"]["continue"]})
    names = [one["metadata"]["name"] for page in (first, rest) for one in page["items"]]
    assert names == [f"nightly-{number}" for number in range(5)]
    assert first["metadata"]["resourceVersion"] == rest["metadata"]["resourceVersion"]
    assert "kind" not in first["items"][0]
    stage.cluster.server.restart()
    again = stage.answer("GET", JOBS_HERE, **{"continue": first["metadata"]["continue"]})
    assert again.status == 410


def _job(**metadata: Any) -> dict[str, Any]:
    made = job("nightly", "team-b", 1)
    return {**made, "metadata": {**made["metadata"], **metadata}}


def _terminating(stage: Stage) -> Answer:
    stage.submit("lasts")
    stage.clock.advance(3.0)
    stage.cluster.namespaces.delete("team-b")
    return stage.answer("POST", JOBS_HERE, _job())


def _full(stage: Stage) -> Answer:
    stage.cluster.server.most_jobs = 0
    return stage.answer("POST", JOBS_HERE, _job())


def _forbidden(stage: Stage) -> Answer:
    stage.cluster.server.forbidden = {("create", "jobs")}
    return stage.answer("POST", JOBS_HERE, _job())


def _wrong_uid(stage: Stage) -> Answer:
    stage.submit("nightly")
    return stage.answer("DELETE", f"{JOBS_HERE}/nightly", {"preconditions": {"uid": "other"}})


def _twice(stage: Stage) -> Answer:
    stage.submit("nightly")
    return stage.answer("POST", JOBS_HERE, _job())


def _stale(stage: Stage) -> Answer:
    stage.submit("nightly")
    return stage.answer(
        "PATCH", f"{JOBS_HERE}/nightly", {"metadata": {"resourceVersion": "1"}, "spec": {}}
    )


def _fixed(stage: Stage) -> Answer:
    stage.submit("nightly")
    return stage.answer("PATCH", f"{JOBS_HERE}/nightly", {"spec": {"completions": 3}})


def _no_token(stage: Stage) -> Answer:
    stage.cluster.server.tokens_are_bad = True
    return stage.answer("GET", JOBS_HERE)


REFUSALS: dict[str, tuple[Callable[[Stage], Answer], int, str, str]] = {
    "unknown object": (lambda s: s.answer("GET", f"{JOBS_HERE}/no"), 404, "NotFound", '"no" not'),
    "unknown namespace": (
        lambda s: s.answer("POST", JOB_PATH.format("no"), _job(namespace="no")),
        404,
        "NotFound",
        "namespaces",
    ),
    "twice": (_twice, 409, "AlreadyExists", "already exists"),
    "another uid": (_wrong_uid, 409, "Conflict", "UID in the precondition"),
    "stale": (_stale, 409, "Conflict", "has been modified"),
    "fixed field": (_fixed, 422, "Invalid", "field is immutable"),
    "name": (lambda s: s.answer("POST", JOBS_HERE, _job(name="A")), 422, "Invalid", "RFC 1123"),
    "other namespace": (
        lambda s: s.answer("POST", JOBS_HERE, _job(namespace="team-a")),
        400,
        "BadRequest",
        "does not match",
    ),
    "no right": (_forbidden, 403, "Forbidden", "cannot create resource"),
    "quota": (_full, 403, "Forbidden", "exceeded quota:"),
    "terminating namespace": (_terminating, 403, "Forbidden", "being terminated"),
    "token": (_no_token, 401, "Unauthorized", "Unauthorized"),
}


@pytest.mark.parametrize(("act", "code", "reason", "words"), REFUSALS.values(), ids=REFUSALS)
def test_it_refuses_in_the_words_of_a_real_one(
    stage: Stage, act: Callable[[Stage], Answer], code: int, reason: str, words: str
) -> None:
    answer = act(stage)
    assert isinstance(answer.body, dict)
    assert (answer.status, answer.body["code"], answer.body["reason"]) == (code, code, reason)
    assert words in answer.body["message"]


def test_an_unknown_group_is_a_404_in_plain_text(stage: Stage) -> None:
    assert stage.answer("GET", "/apis/no.io/v1/things") == Answer(404, "404 page not found\n")


def test_a_dry_run_stores_nothing(stage: Stage) -> None:
    made = stage.ask("POST", JOBS_HERE, _job(), dryRun="All")
    assert made["metadata"]["uid"]
    assert list(stage.cluster.store.all(JOBS)) == []


def test_a_patch_that_changes_nothing_is_no_change(stage: Stage) -> None:
    stage.submit("nightly", suspend=True)
    stage.clock.advance(1.0)
    version = stage.cluster.store.version
    stage.patch("nightly", {"spec": {"suspend": True}})
    assert stage.cluster.store.version == version


def test_rights_are_told_once_for_a_namespace(stage: Stage) -> None:
    stage.cluster.server.forbidden = {("watch", "pods"), ("*", "events")}
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    told = stage.ask("POST", path, {"spec": {"namespace": "team-b"}})["status"]["resourceRules"]
    rights = {one["resources"][0]: one["verbs"] for one in told}
    assert "watch" not in rights["pods"]
    assert "events" not in rights
    assert "watch" in rights["jobs"]


def test_the_log_of_a_pod_is_text(stage: Stage) -> None:
    stage.submit("nightly")
    stage.clock.advance(3.0)
    stage.cluster.server.log_of = lambda pod: f"{pod['status']['phase']}\n"
    (pod,) = stage.pods("nightly")
    path = f"{POD_PATH.format('team-b')}/{pod['metadata']['name']}/log"
    assert stage.answer("GET", path) == Answer(200, "Running\n")


def test_an_address_without_its_namespace_is_refused(stage: Stage) -> None:
    stage.submit("nightly", suspend=True)
    answer = stage.answer("GET", f"{JOB_PATH.format('')}/nightly")
    assert isinstance(answer.body, dict)
    assert (answer.status, answer.body["message"]) == (400, "Namespace parameter required.")
