"""Discovery, lists, writes and rights, answered by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pytest

from airflow_runai.backends.kubernetes.api import rights, writes
from airflow_runai.backends.kubernetes.api.lists import read_all
from airflow_runai.backends.kubernetes.api.paths import (
    JOBS,
    JOBSETS,
    KUEUE_WORKLOADS,
    POD_LOGS,
    PODS,
    PRIORITY_CLASSES,
    QUEUES,
    Discovery,
    ResourceKind,
    discover,
)
from airflow_runai.backends.kubernetes.api.rights import Right
from airflow_runai.backends.kubernetes.known_cluster import KnownCluster
from airflow_runai.backends.kubernetes.settings import ClusterSettings
from airflow_runai.backends.kubernetes.trainings import evidence
from airflow_runai.core.flow import Flow, Reply, Request
from airflow_runai.errors import (
    AlreadyExists,
    Conflict,
    Expired,
    Forbidden,
    NotFound,
    QuotaExceeded,
    Refused,
    RightMissing,
    Unreadable,
)
from tests.backends.flows import Flows
from tests.backends.kubernetes.world import forbidden, status

T = TypeVar("T")
COLLECTION = JOBS.collection("team-a")
JOB = JOBS.object("team-a", "train-1")


def reply(body: Any, code: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(code, 0.0, body, json.dumps(body), headers or {})


def play(
    flow: Flow[T], answers: Callable[[Request], Reply] | list[Reply], seconds: float = 600
) -> Any:
    """Return the result of a flow and what it has asked."""
    if isinstance(answers, list):
        left = iter(answers)
        flows = Flows(lambda request: next(left))
    else:
        flows = Flows(answers)
    one = flows.start(flow)
    flows.run(seconds)
    if one.error:
        raise one.error
    assert one.is_done
    return one.result, flows.asked


def job(uid: str = "u-1", version: str = "7", **more: Any) -> dict[str, Any]:
    return {
        "kind": "Job",
        "metadata": {"uid": uid, "name": "train-1", "resourceVersion": version},
        **more,
    }


# Where things are.


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (COLLECTION, "/apis/batch/v1/namespaces/team-a/jobs"),
        (JOB, "/apis/batch/v1/namespaces/team-a/jobs/train-1"),
        (POD_LOGS.object("a b", "p/1"), "/api/v1/namespaces/a%20b/pods/p%2F1/log"),
        (PODS.collection("x"), "/api/v1/namespaces/x/pods"),
        (QUEUES.object(None, "q"), "/apis/scheduling.run.ai/v2/queues/q"),
        (PRIORITY_CLASSES.collection(None), "/apis/scheduling.k8s.io/v1/priorityclasses"),
    ],
)
def test_paths(path: str, expected: str) -> None:
    assert path == expected


def groups(*names: str, version: str = "v1") -> dict[str, Any]:
    one = [
        {"name": name, "versions": [{"version": version}], "preferredVersion": {"version": version}}
        for name in names
    ]
    return {"kind": "APIGroupList", "groups": one}


@pytest.mark.parametrize(
    ("names", "dialect"),
    [
        (["batch"], "plain"),
        (["batch", "kueue.x-k8s.io"], "kueue"),
        (["batch", "kueue.x-k8s.io", "scheduling.run.ai"], "kai"),
        (["scheduling.run.ai", "run.ai", "batch"], "runai"),
    ],
)
def test_the_groups_of_a_cluster_suggest_its_dialect(names: list[str], dialect: str) -> None:
    found, asked = play(discover(), [reply(groups(*names))])
    assert found.dialect == dialect
    assert [request.path for _, request in asked] == ["/apis"]
    assert found.serves(JOBS) is ("batch" in names)
    assert found.serves(PODS)


def test_a_kind_is_taken_in_the_version_that_a_cluster_has() -> None:
    found = Discovery({"kueue.x-k8s.io": ("v1beta1",), "jobset.x-k8s.io": ("v1beta1", "v1alpha2")})
    assert found.version_of(KUEUE_WORKLOADS) == ResourceKind(
        "kueue.x-k8s.io", "v1beta1", "workloads"
    )
    assert found.version_of(JOBSETS) is JOBSETS
    assert found.version_of(JOBS) is None
    assert JOBSETS.api_version == "jobset.x-k8s.io/v1alpha2"
    assert PODS.api_version == "v1"


@pytest.mark.parametrize("body", [None, [], {"groups": None}, {"paths": []}])
def test_something_else_than_a_list_of_groups_is_unreadable(body: Any) -> None:
    with pytest.raises(Unreadable):
        play(discover(), [reply(body) if body is not None else Reply(200, 0.0)])


def test_a_server_that_has_just_started_refuses_its_groups_only_for_a_moment() -> None:
    words = 'forbidden: User "airflow" cannot get path "/apis"'
    refusal = reply(status(403, words, "Forbidden"), 403)
    cluster = KnownCluster(ClusterSettings("c"))
    found, asked = play(cluster.discovery(), [refusal, refusal, reply(groups("batch"))])
    assert found.serves(JOBS)
    assert [request.path for _, request in asked] == ["/apis"] * 3
    with pytest.raises(RightMissing, match="let airflow get /apis in the cluster"):
        play(KnownCluster(ClusterSettings("c")).discovery(), lambda request: refusal)


def test_odd_groups_are_passed_over() -> None:
    body = groups("batch")
    body["groups"] += [None, "x", {"name": "odd", "versions": "?", "preferredVersion": None}]
    found, _ = play(discover(), [reply(body)])
    assert found.groups == {"batch": ("v1",), "odd": ()}


# Lists.


def page(request: Request, uids: list[str], token: str = "", version: str = "5") -> Reply:
    body = {"metadata": {"resourceVersion": version, "continue": token}}
    items = [{"metadata": {"uid": uid, "managedFields": ["long"]}} for uid in uids]
    assert request.decode
    return Reply(200, 0.0, request.decode(json.dumps(body | {"items": items}).encode()), "{")


def uids(found: Mapping[str, Any]) -> str:
    assert "managedFields" not in found["metadata"]
    return str(found["metadata"]["uid"])


def test_a_list_that_expires_in_the_middle_begins_anew() -> None:
    pages = iter(["a:1", "expired", "a:2", "b:"])

    def answer(request: Request) -> Reply:
        name, _, token = next(pages).partition(":")
        if name == "expired":
            return reply(status(410, "too old", "Expired"), 410)
        return page(request, [f"{name}{token}"], token)

    found, asked = play(read_all(COLLECTION, [("labelSelector", "x")], uids), answer)
    assert found == ["a2", "b"]
    assert [dict(request.params).get("continue") for _, request in asked] == [None, "1", None, "2"]
    assert all(dict(request.params)["labelSelector"] == "x" for _, request in asked)


def test_a_list_that_always_expires_is_given_up() -> None:
    with pytest.raises(Expired):
        play(read_all(COLLECTION, [], uids), lambda _: reply(status(410, "x", "Expired"), 410))


def test_a_list_that_never_ends_is_given_up() -> None:
    with pytest.raises(Unreadable, match="a page that was read already"):
        play(read_all(COLLECTION, [], uids), lambda request: page(request, ["a"], "again"))


def test_a_list_without_a_version_is_none() -> None:
    with pytest.raises(Unreadable, match="no list with a resourceVersion"):
        play(read_all(COLLECTION, [], uids), lambda request: page(request, [], version=""))


# Writes.


def test_create_is_strict_and_sent_once() -> None:
    warned = {"warning": '299 - "a name with dots", 299 - "and \\"this\\""'}
    made, asked = play(writes.create(COLLECTION, {"spec": {}}), [reply(job(), 201, warned)])
    assert made.object == job()
    assert made.warnings == ("a name with dots", 'and "this"')
    ((_, request),) = asked
    assert (request.method, request.path, request.json) == ("POST", COLLECTION, {"spec": {}})
    assert dict(request.params) == {"fieldManager": "airflow-runai", "fieldValidation": "Strict"}


def test_a_dry_run_says_so() -> None:
    _, asked = play(writes.create(COLLECTION, {}, dry_run=True), [reply(job(), 201)])
    assert dict(asked[0][1].params)["dryRun"] == "All"


@pytest.mark.parametrize(
    ("code", "body", "kind"),
    [
        (409, status(409, "exists", "AlreadyExists"), AlreadyExists),
        (403, status(403, "exceeded quota: jobs", "Forbidden"), QuotaExceeded),
        (403, status(403, "admission webhook denied the request", "Forbidden"), Forbidden),
        (422, status(422, "is invalid", "Invalid"), Refused),
        (201, {"kind": "Job"}, Unreadable),
    ],
)
def test_a_create_that_fails_is_not_repeated(code: int, body: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        play(writes.create(COLLECTION, {}), [reply(body, code)])


def test_a_refusal_is_final_only_after_30_s() -> None:
    moments: list[float] = []

    def answer(request: Request) -> Reply:
        return reply(forbidden("create"), 403)

    flows = Flows(answer)
    one = flows.start(writes.create(COLLECTION, {}))
    flows.run(600)
    moments = [at - flows.asked[0][0] for at, _ in flows.asked]
    assert isinstance(one.error, Forbidden)
    assert 30 <= moments[-1] <= 33
    found, _ = play(
        writes.create(COLLECTION, {}), [reply(forbidden("create"), 403), reply(job(), 201)]
    )
    assert found.object == job()


def test_read_compares_the_uid() -> None:
    found, _ = play(writes.read(JOB, "u-1"), [reply(job(extra=1))])
    assert found["extra"] == 1
    with pytest.raises(NotFound, match="another object has this name now"):
        play(writes.read(JOB, "u-1"), [reply(job("u-2"))])


def test_a_change_is_decided_anew_when_somebody_else_was_faster() -> None:
    def more(found: Mapping[str, Any]) -> dict[str, Any]:
        count = int(found["metadata"].get("annotations", {}).get("n", 0))
        return {"metadata": {"annotations": {"n": str(count + 1)}}, "spec": {"suspend": True}}

    stale = reply(status(409, "the object has been modified", "Conflict"), 409)
    second = job(version="8")
    second["metadata"]["annotations"] = {"n": "4"}
    found, asked = play(
        writes.change(JOB, "u-1", more),
        [reply(job()), stale, reply(second), reply(job(version="9"))],
    )
    assert found["metadata"]["resourceVersion"] == "9"
    patches = [request for _, request in asked if request.method == "PATCH"]
    assert [patch.json for patch in patches] == [
        {
            "metadata": {"annotations": {"n": "1"}, "resourceVersion": "7"},
            "spec": {"suspend": True},
        },
        {
            "metadata": {"annotations": {"n": "5"}, "resourceVersion": "8"},
            "spec": {"suspend": True},
        },
    ]
    assert patches[0].headers == {"Content-Type": "application/merge-patch+json"}


def test_a_change_that_is_none_sends_nothing() -> None:
    found, asked = play(writes.change(JOB, "u-1", lambda found: None), [reply(job())])
    assert found == job()
    assert len(asked) == 1


def test_a_change_among_many_others_is_given_up() -> None:
    def answer(request: Request) -> Reply:
        stale = status(409, "the object has been modified", "Conflict")
        return reply(job()) if request.method == "GET" else reply(stale, 409)

    with pytest.raises(Conflict):
        play(writes.change(JOB, "u-1", lambda found: {"spec": {}}), answer)


PRECONDITION = (
    'Operation cannot be fulfilled on Job.batch "train-1": the UID in the precondition (u-1) does '
    "not match the UID in record (u-2). The object might have been deleted and then recreated"
)
GONE = status(404, 'jobs.batch "train-1" not found', "NotFound", name="train-1", kind="jobs")


@pytest.mark.parametrize(
    ("code", "body", "was_there"),
    [
        (200, job(), True),
        (202, {"kind": "Status", "status": "Success"}, True),
        (404, GONE, False),
        (409, status(409, PRECONDITION, "Conflict", name="train-1"), False),
    ],
)
def test_delete_hits_no_successor(code: int, body: Any, was_there: bool) -> None:
    found, asked = play(writes.delete(JOB, "u-1"), [reply(body, code)])
    assert found is was_there
    ((_, request),) = asked
    assert (request.method, request.json) == (
        "DELETE",
        {"propagationPolicy": "Foreground", "preconditions": {"uid": "u-1"}},
    )


def test_a_delete_that_conflicts_otherwise_says_so() -> None:
    with pytest.raises(Conflict):
        play(writes.delete(JOB, "u-1"), [reply(status(409, "being modified", "Conflict"), 409)])


# Evidence.


def test_pods_that_are_left_are_found_by_their_label_and_counted_while_they_may_write() -> None:
    def answer(request: Request) -> Reply:
        assert dict(request.params)["labelSelector"] == "batch.kubernetes.io/controller-uid=u-1"
        pods = [{"metadata": {"uid": "p"}, "status": {"phase": phase}} for phase in phases]
        body = {"metadata": {"resourceVersion": "1"}, "items": [*pods, {"status": None}]}
        assert request.decode
        return Reply(200, 0.0, request.decode(json.dumps(body).encode()))

    phases = ["Running", "Pending", "Succeeded", "Failed", "Unknown"]
    count, asked = play(evidence.writers("team-a", "u-1"), answer)
    assert count == 4  # and the one that says nothing
    assert asked[0][1].path == "/api/v1/namespaces/team-a/pods"


def test_events_are_asked_for_by_their_object() -> None:
    flow = evidence.events_about("team-a", "PodGroup", name="pg-1")
    found, asked = play(flow, lambda request: page(request, ["e-1"]))
    assert [uids(event) for event in found] == ["e-1"]
    assert asked[0][1].path == "/api/v1/namespaces/team-a/events"
    assert dict(asked[0][1].params)["fieldSelector"] == (
        "involvedObject.kind=PodGroup,involvedObject.name=pg-1"
    )


# Rights.

NEEDED = [
    Right(JOBS, ("get", "list", "watch", "create"), needed=True),
    Right(PODS, ("list", "watch"), "reasons and exit codes are not known"),
    Right(POD_LOGS, ("get",), "logs are not shown"),
]


def rule(groups: str, resources: str, verbs: str, **more: Any) -> dict[str, Any]:
    lists = {"apiGroups": groups, "resources": resources, "verbs": verbs}
    return {name: text.split(",") for name, text in lists.items()} | more


@pytest.mark.parametrize(
    ("rules", "lacking"),
    [
        ([rule("*", "*", "*")], []),
        ([rule("batch", "jobs", "get,list,watch,create"), rule("", "pods,pods/log", "*")], []),
        ([rule("batch", "*", "*"), rule("", "pods", "list,watch"), rule("", "*/log", "get")], []),
        (
            [rule("batch", "jobs", "get,list"), rule("", "pods", "list,watch")],
            ["watch, create jobs of API group batch", "get pods/log"],
        ),
        (
            [rule("batch", "jobs", "*", resourceNames=["one"]), rule("", "*", "*")],
            ["get, list, watch, create jobs of API group batch"],
        ),
        ([None, {}, {"verbs": "*"}], [str(right) for right in NEEDED]),
    ],
)
def test_one_review_tells_what_is_missing(rules: list[Any], lacking: list[str]) -> None:
    body = {"status": {"resourceRules": rules, "incomplete": False}}
    found, asked = play(rights.missing("team-a", NEEDED), [reply(body, 201)])
    assert [str(right) for right in found] == lacking
    ((_, request),) = asked
    assert request.path == "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    assert request.json == {"spec": {"namespace": "team-a"}}


@pytest.mark.parametrize(
    "answer",
    [
        reply(forbidden("create"), 403),
        reply({"status": {"resourceRules": [], "incomplete": True}}, 201),
        reply({}, 201),
    ],
)
def test_what_a_review_cannot_tell_is_taken_for_allowed(answer: Reply) -> None:
    assert play(rights.missing("team-a", NEEDED), [answer])[0] == ()


def test_missing_rights_are_told_in_one_sentence() -> None:
    assert rights.sentence("team-a", NEEDED[1:]) == (
        "the connection's identity lacks rights in namespace 'team-a': list, watch pods (reasons "
        "and exit codes are not known); get pods/log (logs are not shown); allow these verbs in a "
        "Role, and bind it to the identity"
    )
