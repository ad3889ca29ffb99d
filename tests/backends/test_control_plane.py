from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.backends import control_plane as cp
from airflow_runai.backends import organization
from airflow_runai.backends.paging import MAX_PAGES, PAGE, read_all
from airflow_runai.backends.pods import pods_now
from airflow_runai.core.flow import Reply, Request
from airflow_runai.core.project import Project
from airflow_runai.core.workload import Workload
from airflow_runai.errors import (
    Forbidden,
    InvalidArgument,
    NotResolved,
    Unauthorized,
    Unreachable,
    Unreadable,
)
from tests.backends.rest import PROJECT, Answers, html, item, reply
from tests.core.stage import NOON, Hand, acts

WORKLOAD = Workload("w-1", "w-1-g1", "Running", project_id="4501", kind="Training")


def projects(*found: tuple[str, str]) -> Reply:
    rows = [
        {"id": str(i), "name": name, "clusterId": cluster}
        for i, (name, cluster) in enumerate(found, 1)
    ]
    return reply({"projects": rows})


def clusters(*names: str) -> Reply:
    return reply([{"uuid": f"id-of-{name}", "name": name} for name in names])


def test_a_project_is_found_with_its_cluster_and_namespace() -> None:
    row = {
        "id": 4501,
        "name": "team-a",
        "clusterId": "c",
        "status": {"namespace": "runai-team-a"},
        "new": 1,
    }
    hand = Answers.hand(reply({"projects": [row]}))
    assert hand.run(organization.find_project("team-a")) == Project(
        "4501", "team-a", "c", "runai-team-a"
    )
    assert ("filterBy", "name==team-a") in hand.asked[0].params


@pytest.mark.parametrize("found", [(), (("Team-A", "c"), ("team-a-2", "c"))])
def test_an_unknown_project_is_a_clear_error(found: Any) -> None:
    with pytest.raises(NotResolved, match=r"project 'team-a': no such project.*check the spelling"):
        Answers.hand(projects(*found)).run(organization.find_project("team-a"))


def test_two_projects_of_one_name_ask_for_the_cluster_and_it_decides() -> None:
    two = projects(("team-a", "id-of-east"), ("team-a", "id-of-west"))
    with pytest.raises(
        NotResolved, match="2 projects have this name, on the clusters id-of-east, id-of-west; name"
    ):
        Answers.hand(two).run(organization.find_project("team-a"))
    found = Answers.hand(two, clusters("east", "west")).run(
        organization.find_project("team-a", "west")
    )
    assert found.cluster_id == "id-of-west"


def test_an_unknown_cluster_is_told_with_those_there_are() -> None:
    with pytest.raises(
        NotResolved, match="cluster 'north': 0 hits; the control plane has: east, west"
    ):
        Answers.hand(projects(("team-a", "x")), clusters("west", "east")).run(
            organization.find_project("team-a", "north")
        )


@pytest.mark.parametrize("name", ["a,b", "", "  "])
def test_a_name_that_a_filter_cannot_say_is_refused_before_it_is_sent(name: str) -> None:
    hand = Hand()
    with pytest.raises(InvalidArgument, match="allowed: a name without commas that is not empty"):
        hand.run(organization.find_project(name))
    assert not hand.asked


def test_a_project_without_id_is_unreadable_not_a_crash() -> None:
    with pytest.raises(Unreadable, match="without an id"):
        Answers.hand(reply({"projects": [{"name": "team-a"}]})).run(
            organization.find_project("team-a")
        )


class Pages:
    """
    Serves rows page by page; ``ignores_offset`` makes it a server that always shows the first page.
    """

    def __init__(
        self, rows: int, ignores_offset: bool = False, with_ids: bool = True, as_text: bool = False
    ) -> None:
        self.rows = [item(f"w-{i}") if with_ids else {"at": i} for i in range(rows)]
        self.ignores_offset, self.as_text = ignores_offset, as_text

    def __call__(self, request: Request) -> Reply:
        params = dict(request.params)
        offset = 0 if self.ignores_offset else int(params["offset"])
        rows = self.rows[offset : offset + int(params["limit"])]
        following: Any = int(params["offset"]) + PAGE
        more = self.ignores_offset or following < len(self.rows)
        return reply(
            {
                "workloads": rows,
                **({"next": str(following) if self.as_text else following} if more else {}),
            }
        )


@pytest.mark.parametrize("rows", [0, 1, 499, 500, 501, 1201])
@pytest.mark.parametrize("as_text", [False, True])
def test_all_pages_are_read(rows: int, as_text: bool) -> None:
    hand = Hand(answer=Pages(rows, as_text=as_text))
    found = hand.run(cp.list_workloads([]))
    assert [w.id for w in found] == [f"w-{i}" for i in range(rows)]
    assert len(hand.asked) == max(1, -(-rows // PAGE))


@pytest.mark.parametrize("with_ids", [True, False])
def test_a_server_that_ignores_the_offset_does_not_hold_us(with_ids: bool) -> None:
    hand = Hand(answer=Pages(PAGE, ignores_offset=True, with_ids=with_ids))
    found = hand.run(read_all("/api/v1/workloads", "workloads", []))
    assert (len(found), len(hand.asked)) == (PAGE, 2)


def test_a_list_that_never_ends_is_an_error_not_a_part() -> None:
    endless = Hand(
        answer=lambda r: reply({"workloads": [item(str(len(r.params)))], "next": _offset(r) + 1})
    )
    moving = Hand(
        answer=lambda r: reply({"workloads": [item(f"w-{_offset(r)}")], "next": _offset(r) + 1})
    )
    assert len(endless.run(cp.list_workloads([]))) == 1
    with pytest.raises(Unreadable, match="goes on after"):
        moving.run(cp.list_workloads([]))
    assert len(moving.asked) == MAX_PAGES


def _offset(request: Request) -> int:
    return int(dict(request.params)["offset"])


def test_rows_that_move_between_pages_are_kept_once() -> None:
    first = reply({"workloads": [item("w-1"), item("w-2")], "next": 2})
    second = reply({"workloads": [item("w-2", "Failed"), item("w-3")]})
    found = Answers.hand(first, second).run(cp.list_workloads([]))
    assert [(w.id, w.phase) for w in found] == [
        ("w-1", "Running"),
        ("w-2", "Running"),
        ("w-3", "Running"),
    ]


@pytest.mark.parametrize(
    "broken", [None, 5, "x", {}, {"id": 7, "phase": "Running"}, {"id": "w", "phase": ["Running"]}]
)
def test_a_broken_row_hurts_only_itself(broken: Any) -> None:
    found = Answers.hand(reply({"workloads": [item("w-1"), broken, item("w-2")]})).run(
        cp.list_workloads([])
    )
    assert [w.id for w in found] == ["w-1", "w-2"]


@pytest.mark.parametrize("body", [{}, {"workloads": None}, {"workloads": []}, []])
def test_a_list_that_says_nothing_is_there_is_empty(body: Any) -> None:
    assert Answers.hand(reply(body)).run(cp.find(PROJECT, "x")) == []


@pytest.mark.parametrize(
    "answer", [reply(None), reply({"workloads": "many"}), html(200), html(404)]
)
def test_a_list_that_says_nothing_at_all_is_not_empty(answer: Reply) -> None:
    with pytest.raises(Unreadable):
        Answers.hand(answer).run(cp.find(PROJECT, "x"))


def test_a_name_is_compared_again_whatever_the_server_found() -> None:
    rows = [
        item("a", name="train-g1"),
        item("b", name="train-g10"),
        item("c", name="Train-g1"),
        item("d", name="xtrain-g1"),
    ]
    hand = Answers.hand(reply({"workloads": rows}))
    assert [w.id for w in hand.run(cp.find(PROJECT, "train-g1", exact=True))] == ["a"]
    assert [w.id for w in hand.run(cp.find(PROJECT, "train-g1"))] == ["a", "b"]
    filters = [dict(request.params)["filterBy"] for request in hand.asked]
    assert filters == ["projectId==4501,name==train-g1", "projectId==4501,name=^train-g1"]


def test_what_the_deleted_list_shows_is_deleted_even_if_it_does_not_say_so() -> None:
    hand = Answers.hand(reply({"workloads": [item("a", "Running"), item("b", "Completed")]}))
    found = hand.run(cp.find(PROJECT, "", deleted=True))
    assert [(w.deleted, w.meaning.value) for w in found] == [
        (True, "deleting"),
        (True, "succeeded"),
    ]
    assert ("deleted", "true") in hand.asked[0].params


SINGLE = {
    "workloadId": "w-1",
    "actualPhase": "Running",
    "name": "n",
    "projectId": "1",
    "clusterId": "c",
}
LISTED = {"id": "w-1", "phase": "Running", "name": "n", "projectId": "1", "clusterId": "c"}


@pytest.mark.parametrize("shape", [SINGLE, LISTED])
def test_both_shapes_are_read_alike(shape: Any) -> None:
    found = Workload.from_wire(shape)
    assert (found.id, found.phase, found.name, found.project_id, found.cluster_id) == (
        "w-1",
        "Running",
        "n",
        "1",
        "c",
    )


@pytest.mark.parametrize(
    "variables",
    [
        {"environmentVariables": {"AIRFLOW_RUNAI_FINGERPRINT": "f", "AIRFLOW_RUNAI_TRY": "2", "TOKEN": "x"}},
        {"spec": {"environmentVariables": [
            {"name": "AIRFLOW_RUNAI_FINGERPRINT", "value": "f"}, {"name": "AIRFLOW_RUNAI_TRY", "value": "2"},
            {"name": "S", "secret": {"name": "a", "key": "b"}}, None, "odd",
        ]}},
    ],
)  # fmt: skip
def test_our_own_variables_are_read_from_both_shapes(variables: Any) -> None:
    found = Workload.from_wire({**LISTED, **variables})
    assert (found.fingerprint, found.try_number) == ("f", 2)


@pytest.mark.parametrize("text", ["x", "", None, "-1", "9" * 5000, "1.5"])
def test_a_try_that_is_no_number_counts_as_missing(text: Any) -> None:
    assert (
        Workload.from_wire(
            {**LISTED, "environmentVariables": {"AIRFLOW_RUNAI_TRY": text}}
        ).try_number
        is None
    )


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        ("2026-01-01T00:00:00Z", NOON),
        ("2026-01-01T00:00:00.123456789Z", NOON + 0.123456),
        ("2026-01-01T00:00:00.5Z", NOON + 0.5),
        ("2026-01-01T01:00:00+01:00", NOON),
        ("2026-01-01T00:00:00", NOON),
        (NOON, NOON),
        ("0001-01-01T00:00:00Z", None),
        (-5, None),
        (float("inf"), None),
        (float("nan"), None),
        (10**400, None),
        (True, None),
        ("yesterday", None),
        ("", None),
        (None, None),
        ({}, None),
    ],
)
def test_moments_of_every_kind_are_read_or_left_out(moment: Any, seconds: float | None) -> None:
    assert Workload.from_wire(
        {**LISTED, "phaseUpdatedAt": moment}
    ).phase_updated_at == pytest.approx(seconds)


@pytest.mark.parametrize("body", [None, [], "w", {}, {"id": "w", "phase": 5}, {"phase": "Running"}])
def test_a_workload_that_cannot_be_read_is_unreadable(body: Any) -> None:
    with pytest.raises(Unreadable):
        Workload.from_wire(body)


def test_a_create_that_is_answered_before_there_is_a_phase_is_made() -> None:
    hand = Answers.hand(reply({"workloadId": "w-1", "actualPhase": None}, 202))
    made = hand.run(cp.create(PROJECT, "trainings", "train-g1", {"spec": {}}))
    assert (made.id, made.name, made.phase, made.project_id) == (
        "w-1",
        "train-g1",
        "Unknown",
        "4501",
    )
    assert hand.asked[0].json == {
        "name": "train-g1",
        "projectId": "4501",
        "clusterId": "cluster-1",
        "spec": {},
    }


@pytest.mark.parametrize(
    ("kind", "path"),
    [("Training", "trainings"), ("Distributed", "distributed"), ("distributed-training", "distributed"),
     ("Workspace", "workspaces"), ("", "trainings"), ("New", "trainings")],
)  # fmt: skip
def test_the_type_decides_the_path_of_its_calls(kind: str, path: str) -> None:
    hand = Answers.hand(reply({}, 202))
    workload = Workload("w-1", "n", "Running", kind=kind)
    for flow in (cp.suspend(workload), cp.resume(workload), cp.delete(workload)):
        hand.run(flow)
    base = f"/api/v1/workloads/{path}/w-1"
    expected = [("POST", f"{base}/suspend"), ("POST", f"{base}/resume"), ("DELETE", base)]
    assert [(r.method, r.path) for r in hand.asked] == expected


def test_deleting_twice_is_done_once_and_silence_is_consent() -> None:
    assert Answers.hand(reply(None, 204)).run(cp.delete(WORKLOAD)) is None
    assert Answers.hand(reply({"message": "not found"}, 404)).run(cp.delete(WORKLOAD)) is None


@pytest.mark.parametrize("answer", [html(404), html(200)])
def test_a_gateways_page_does_not_pass_for_a_deletion(answer: Reply) -> None:
    with pytest.raises(Unreadable):
        Answers.hand(answer).run(cp.delete(WORKLOAD))


@pytest.mark.parametrize("identity", ["a/../b", "a b", "x?y#z", "ä", "../trainings/w-1/suspend"])
def test_an_id_never_leaves_its_place_in_the_path(identity: str) -> None:
    hand = Answers.hand(reply(item()))
    hand.run(cp.get(identity))
    assert hand.asked[0].path.count("/") == 4
    assert not set("?# ä") & set(hand.asked[0].path)


def records(*phases: tuple[float, str, str]) -> Reply:
    rows: list[Any] = [
        {
            "meta": {"creationTimestamp": NOON + at},
            "spec": {"phaseUpdate": {"phase": phase, "phaseMessage": words}},
        }
        for at, phase, words in phases
    ]
    odd = [
        {},
        {"spec": {"event": {}}, "meta": {}},
        {"meta": None, "spec": None},
        5,
        {"spec": {"phaseUpdate": {"phase": 1}}},
    ]
    return reply({"records": [*odd, *rows]})


def test_the_history_is_read_oldest_first_and_skips_what_is_no_phase() -> None:
    answer = records((60, "Running", ""), (0, "Pending", "no GPUs"), (30, "Pending", ""))
    assert Answers.hand(answer).run(cp.history("w-1")) == acts(
        (0, "Pending", "no GPUs"), (60, "Running")
    )


@pytest.mark.parametrize(
    "answer", [reply({"message": "not found"}, 404), html(404), reply({}, 403), reply({}, 405)]
)
def test_a_server_without_history_has_an_empty_one(answer: Reply) -> None:
    assert Answers.hand(answer).run(cp.history("w-1")) == ()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (html(200), Unreadable),
        (html(502), Unreachable),
        (reply({}, 401), Unauthorized),
        (reply({}, 429), Unreachable),
    ],
)
def test_a_history_that_cannot_be_read_now_is_not_empty(
    answer: Reply, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Answers.hand(answer).run(cp.history("w-1"))


def test_the_eyes_find_a_deleted_workload_by_name_and_id() -> None:
    rows = [item("w-0", name="w-1-g1"), item("w-1", "Completed")]
    hand = Answers.hand(reply({"workloads": rows}))
    found = hand.run(cp.ControlPlaneReader(WORKLOAD).find_deleted("w-1"))
    assert found is not None
    assert (found.id, found.phase) == ("w-1", "Completed")
    assert hand.run(cp.ControlPlaneReader(WORKLOAD).find_deleted("w-9")) is None


def test_pods_come_as_the_server_words_them() -> None:
    rows = [{"id": "1", "nodeName": "node-1"}]
    assert Answers.hand(reply({"pods": rows})).run(pods_now("w-1")) == rows


@pytest.mark.parametrize("key", ["id", "projectId", "clusterId"])
def test_one_of_ours_that_cannot_be_read_is_no_absence(key: str) -> None:
    rows = [item("w-0", name="other\0"), item("w-1", name="train-g1", **{key: "a\0"})]
    with pytest.raises(Unreadable, match="workload's"):
        Answers.hand(reply({"workloads": rows})).run(cp.find(PROJECT, "train-g"))
    assert Answers.hand(reply({"workloads": rows})).run(cp.find(PROJECT, "another-g")) == []


def test_a_specification_that_the_server_does_not_tell_is_empty() -> None:
    assert Answers.hand(reply({"spec": None})).run(cp.get_spec(WORKLOAD)) == {}
    assert Answers.hand(reply({"spec": {"image": "a"}})).run(cp.get_spec(WORKLOAD)) == {
        "image": "a"
    }


def test_a_refusal_names_the_call_and_what_is_missing() -> None:
    with pytest.raises(
        Forbidden, match=r"POST .*/suspend: 403 no; the identity of the connection lacks a role"
    ):
        Answers.hand(reply({"message": "no"}, 403)).run(cp.suspend(WORKLOAD))


def test_a_workload_is_resolved_by_name_or_id() -> None:
    uuid = "6f3b0f0e-8a0c-4e43-9a55-3c1d1f5b7a10"
    assert Answers.hand(reply(item(uuid))).run(cp.resolve(PROJECT, uuid)).id == uuid
    two = reply({"workloads": [item("old", name="n"), item("new", name="n")]})
    assert Answers.hand(two).run(cp.resolve(PROJECT, "n")).id == "new"
    for answer, name in ((reply({"workloads": []}), "n"), (reply({}, 404), uuid)):
        with pytest.raises(NotResolved, match="project 'team-a' has none of this name or id"):
            Answers.hand(answer).run(cp.resolve(PROJECT, name))
