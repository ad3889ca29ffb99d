"""What a server of Kubernetes says, in its own words (v1.34), and which of our errors that is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_runai.backends.kubernetes.api.status import accept, error_in_stream
from airflow_runai.core.flow import Reply, Request
from airflow_runai.errors import (
    AlreadyExists,
    Conflict,
    Expired,
    Forbidden,
    KindMissing,
    NotFound,
    NotResolved,
    QuotaExceeded,
    Refused,
    RunaiError,
    Throttled,
    Unauthorized,
    Unreachable,
    Unreadable,
)
from tests.backends.kubernetes.world import JOBS, forbidden, status

JOB = f"{JOBS}/train-1"
LOG = "/api/v1/namespaces/team-a/pods/p-1/log"
QUEUE = "/apis/scheduling.run.ai/v2/queues/team-a"


def reply(code: int, body: Any, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(body, str):
        return Reply(code, 0.0, None, body, {"content-type": "text/plain", **named})
    return Reply(code, 0.0, body, json.dumps(body), {"content-type": "application/json", **named})


def refused(method: str, path: str, answer: Reply) -> RunaiError:
    with pytest.raises(RunaiError) as caught:
        accept(Request(method, path), answer)
    assert "\n\n" not in str(caught.value)
    return caught.value


def job_missing(name: str = "train-1", kind: str = "jobs") -> Any:
    return status(
        404, f'{kind} "{name}" not found', "NotFound", name=name, group="batch", kind=kind
    )


NO_KIND = status(404, "the server could not find the requested resource", "NotFound")
NO_NAMESPACE = status(404, 'namespaces "x" not found', "NotFound", name="x", kind="namespaces")


@pytest.mark.parametrize(
    ("method", "path", "body", "kind"),
    [
        ("GET", JOB, job_missing(), NotFound),
        ("DELETE", JOB, job_missing(), NotFound),
        ("PATCH", JOB, job_missing(), NotFound),
        ("GET", LOG, job_missing("p-1", "pods"), NotFound),
        ("GET", QUEUE, job_missing("team-a", "queues"), NotFound),
        ("GET", "/api/v1/namespaces/x", NO_NAMESPACE, NotFound),
        # Of another object, or of none, so it proves nothing.
        ("GET", JOB, job_missing("train-2"), NotResolved),
        ("GET", JOB, job_missing("train-1", "pods"), NotResolved),
        ("POST", JOBS, NO_NAMESPACE, NotResolved),
        ("POST", f"{JOBS}", job_missing(), NotResolved),
        ("GET", JOB, NO_KIND, KindMissing),
        ("GET", JOB, "404 page not found\n", KindMissing),
        ("GET", JOB, "<html>nginx</html>", Unreadable),
        ("GET", JOB, "", Unreadable),
        ("GET", JOB, {"message": "no such page"}, Unreadable),
        ("GET", JOB, {"kind": "Status", "details": "odd"}, KindMissing),
    ],
)
def test_only_a_404_that_names_the_object_says_that_it_is_gone(
    method: str, path: str, body: Any, kind: type[RunaiError]
) -> None:
    assert type(refused(method, path, reply(404, body))) is kind


def test_403_is_several_things() -> None:
    lacking = refused("GET", JOBS, reply(403, forbidden()))
    assert type(lacking) is Forbidden
    assert str(lacking).endswith(
        "let airflow list jobs.batch in namespace team-a (a Role and its RoleBinding)"
    )
    nobody = refused("GET", JOBS, reply(403, forbidden(user="system:anonymous")))
    assert type(nobody) is Unauthorized
    assert "no credentials arrived" in str(nobody)
    words = 'forbidden: User "system:anonymous" cannot get path "/apis"'
    nobody = refused("GET", "/apis", reply(403, status(403, words, "Forbidden")))
    assert type(nobody) is Unauthorized
    quota = (
        'jobs.batch "q2" is forbidden: exceeded quota: jobs, requested: count/jobs.batch=1, '
        "used: count/jobs.batch=1, limited: count/jobs.batch=1"
    )
    full = refused("POST", JOBS, reply(403, status(403, quota, "Forbidden", name="q2")))
    assert type(full) is QuotaExceeded
    assert "limited: count/jobs.batch=1" in str(full)
    ending = status(
        403,
        'jobs.batch "t1" is forbidden: unable to create new content in namespace team-a because '
        "it is being terminated",
        "Forbidden",
        causes=[{"reason": "NamespaceTerminating", "field": "metadata.namespace"}],
    )
    assert type(refused("POST", JOBS, reply(403, ending))) is NotResolved
    assert "use another namespace" in str(refused("POST", JOBS, reply(403, ending)))


def test_403_at_the_scope_of_the_cluster_names_the_cluster() -> None:
    sentence = (
        'queues.scheduling.run.ai is forbidden: User "airflow" cannot list resource "queues" in '
        'API group "scheduling.run.ai" at the cluster scope'
    )
    error = refused("GET", QUEUE, reply(403, status(403, sentence, "Forbidden")))
    assert "let airflow list queues.scheduling.run.ai in the cluster (a ClusterRole" in str(error)


def test_a_namespace_that_is_missing_is_to_be_made() -> None:
    error = refused("POST", JOBS, reply(404, NO_NAMESPACE))
    assert str(error).endswith("make the namespace, or name another one in the connection")


def test_403_of_a_webhook_has_no_advice_about_roles() -> None:
    error = refused(
        "POST", JOBS, reply(403, status(403, "admission webhook denied: no", "Forbidden"))
    )
    assert type(error) is Forbidden
    assert str(error) == f"POST {JOBS}: 403 admission webhook denied: no"


@pytest.mark.parametrize(
    ("code", "body", "kind"),
    [
        (401, status(401, "Unauthorized", "Unauthorized"), Unauthorized),
        (
            409,
            status(409, 'jobs.batch "a" already exists', "AlreadyExists", name="a"),
            AlreadyExists,
        ),
        (409, status(409, "the object has been modified", "Conflict", name="a"), Conflict),
        (410, status(410, "too old resource version", "Expired"), Expired),
        (405, status(405, "not allowed", "MethodNotAllowed"), Refused),
        (415, status(415, "415: Unsupported Media Type"), Refused),
        (429, status(429, "slow down", "TooManyRequests", retryAfterSeconds=7), Throttled),
        (500, status(500, "resourceVersion: Invalid value"), Unreachable),
        (503, "please try again", Unreachable),
        (504, status(504, "Too large resource version", retryAfterSeconds=1), Throttled),
        (502, "<html>bad gateway</html>", Unreachable),
        (302, "", Unreachable),
        (403, "<html>proxy</html>", Unreadable),
        (401, {"error": "login"}, Unreadable),
        (400, [], Unreadable),
    ],
)
def test_other_replies(code: int, body: Any, kind: type[RunaiError]) -> None:
    assert type(refused("GET", JOB, reply(code, body))) is kind


def test_pauses_are_the_servers() -> None:
    told = refused("GET", JOB, reply(429, status(429, "x", retryAfterSeconds=7), retry_after="3"))
    assert isinstance(told, Throttled)
    assert (told.retry_after, told.status) == (7.0, 429)
    later = refused("GET", JOB, reply(503, "not yet", retry_after="5"))
    assert isinstance(later, Throttled)
    assert (later.retry_after, later.status) == (5.0, 503)
    odd = refused(
        "GET", JOB, reply(429, status(429, "x", retryAfterSeconds=-1), retry_after="soon")
    )
    assert isinstance(odd, Throttled)
    assert odd.retry_after is None


def test_all_that_is_wrong_with_an_object_is_told_on_a_line_each() -> None:
    causes = [
        {
            "reason": "FieldValueInvalid",
            "field": "spec.backoffLimit",
            "message": "Invalid value: -1: must be greater than or equal to 0",
        },
        {
            "reason": "FieldValueRequired",
            "field": "spec.template.spec.restartPolicy",
            "message": "Required value",
        },
        "odd",
    ]
    body = status(422, 'Job.batch "x" is invalid: […]', "Invalid", name="x", causes=causes)
    error = refused("POST", JOBS, reply(422, body))
    assert isinstance(error, Refused)
    assert (error.status, str(error).splitlines()[1:]) == (
        422,
        [
            "  - spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0",
            "  - spec.template.spec.restartPolicy: Required value",
        ],
    )


def test_unknown_fields_are_named() -> None:
    message = (
        'Job in version "v1" cannot be handled as a Job: strict decoding error: unknown field '
        '"spec.template.spec.containers[0].comand", duplicate field "spec.backoffLimit"'
    )
    error = refused("POST", JOBS, reply(400, status(400, message, "BadRequest")))
    assert str(error).splitlines()[1:] == [
        "  - spec.template.spec.containers[0].comand: unknown field",
        "  - spec.backoffLimit: duplicate field",
    ]


def test_what_a_server_says_is_bounded_and_cleaned() -> None:
    many = [{"field": f"spec.f{n}", "message": "x\x00" * 5000} for n in range(500)]
    error = refused("POST", JOBS, reply(422, status(422, "y" * 10**6, "Invalid", causes=many)))
    assert len(str(error)) < 8000
    assert "\x00" not in str(error)
    assert "and 488 more problems" in str(error)
    long = refused("POST", JOBS, reply(422, status(422, "token=abcdefgh12345 " + "y" * 10**6)))
    assert len(str(long)) < 700


def test_good_replies() -> None:
    assert accept(Request("GET", JOB), reply(200, {"kind": "Job"})) == {"kind": "Job"}
    assert accept(Request("GET", LOG), Reply(204, 0.0)) is None
    with pytest.raises(Unreadable, match="does a gateway or login page answer"):
        accept(Request("GET", JOB), Reply(200, 0.0, None, "<h1>Sign in</h1>"))


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (status(410, "too old resource version: 1 (2888)", "Expired"), Expired),
        (status(500, "etcd is away"), Unreachable),
        (status(403, "is forbidden"), Forbidden),
        ({"kind": "Status", "code": "410"}, Unreachable),
        ({}, Unreachable),
        (None, Unreachable),
    ],
)
def test_errors_come_as_lines_of_a_watch_too(found: Any, kind: type[RunaiError]) -> None:
    assert type(error_in_stream(found, JOBS)) is kind
