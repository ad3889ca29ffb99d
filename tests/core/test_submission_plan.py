from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from airflow_runai.core.naming import generation_name
from airflow_runai.core.note import Note
from airflow_runai.core.phases import FINAL, Meaning
from airflow_runai.core.submission import (
    Adopt,
    Create,
    Numbered,
    Tries,
    begins_anew,
    differences,
    plan_submission,
)
from airflow_runai.core.workload import Workload
from airflow_runai.errors import ForeignWorkload, Missing

BASE = "train-0123456789"


def made(generation: int, phase: str = "Running", by: int | None = 1, **more: Any) -> Workload:
    identity = more.pop("id", f"id-{generation}")
    return Workload(identity, generation_name(BASE, generation), phase, try_number=by, **more)


G1, G2 = made(1), made(2, by=2)
FAILED, DONE = made(1, "Failed"), made(1, "Completed")
DELETING, DELETED = made(1, "Deleting"), made(1, "Running", deleted=True)
STOPPED, ODD = made(1, "Stopped"), made(1, "Hibernating")

INTENDED = Note(1, 1, max_tries=1, begun=1000)
OLDER, LATER = made(1, "Completed", created_at=900.0), made(1, "Completed", created_at=995.0)

#: Of an earlier life of the run, which had come to a second generation.
EARLIER = made(2, by=2, id="earlier", deleted=True, created_at=900.0)
EARLIER_1 = made(1, id="earlier", deleted=True, created_at=900.0)
NOW, NOW_FAILED = made(1, created_at=1005.0), made(1, "Failed", created_at=1005.0)

NOTED = Note(1, 1, "id-1", max_tries=1)
SAME, CLEARED = Tries(2, 1, 1), Tries(2, 2, 2)

TABLE: dict[str, tuple[list[Workload], Tries, Note | None, str, Create | Adopt]] = {
    "first try": ([], Tries(1), None, "restart", Create(1)),
    "first try, after another life of the run that went well": (
        [DONE],
        Tries(1),
        None,
        "restart",
        Create(2, (), DONE),
    ),
    "first try, after another life that was deleted": (
        [DELETED],
        Tries(1),
        None,
        "restart",
        Create(2, (), DELETED),
    ),
    "second try of a life whose first could note nothing": (
        [DONE],
        SAME,
        None,
        "restart",
        Create(2, (), DONE),
    ),
    "an older one has the name that was intended": (
        [OLDER],
        SAME,
        INTENDED,
        "restart",
        Create(2, (), OLDER),
    ),
    "crash between create and note, seen late": (
        [LATER],
        SAME,
        INTENDED,
        "restart",
        Adopt(1, LATER),
    ),
    "what was not ours has ended": (
        [FAILED],
        Tries(2),
        Note(0, 1),
        "restart",
        Create(2, (), FAILED),
    ),
    "crash before the create": ([], Tries(2), Note(1, 1), "restart", Create(1)),
    "crash between create and note": ([G1], Tries(2), Note(1, 1), "restart", Adopt(1, G1)),
    "crash after the note": ([G1], SAME, NOTED, "restart", Adopt(1, G1)),
    "note lost": ([G1], Tries(2), None, "restart", Adopt(1, G1)),
    "note lost, nothing there": ([], Tries(3), None, "restart", Create(1)),
    "finished while nobody looked": ([DONE], SAME, NOTED, "restart", Adopt(1, DONE)),
    "failed while nobody looked, same try": (
        [FAILED],
        Tries(1, 1, 1),
        NOTED,
        "restart",
        Adopt(1, FAILED),
    ),
    "retry after exit code 0 in the middle": (
        [DONE],
        SAME,
        replace(NOTED, cut_short="id-1"),
        "restart",
        Create(2, (), DONE),
    ),
    "another one was cut short": (
        [DONE],
        SAME,
        replace(NOTED, cut_short="id-0"),
        "restart",
        Adopt(1, DONE),
    ),
    "cut short, same try": (
        [DONE],
        Tries(1, 1, 1),
        replace(NOTED, cut_short="id-1"),
        "restart",
        Adopt(1, DONE),
    ),
    "retry after failure": ([FAILED], SAME, NOTED, "restart", Create(2, (), FAILED)),
    "retry after failure, note lost": ([FAILED], Tries(2), None, "restart", Create(2, (), FAILED)),
    "retry after deletion": ([DELETED], SAME, NOTED, "restart", Create(2, (), DELETED)),
    "retry while it is being deleted": (
        [DELETING],
        Tries(2),
        None,
        "restart",
        Create(2, (DELETING,), DELETING),
    ),
    "deleted, same try": ([DELETED], Tries(1, 1, 1), NOTED, "restart", Adopt(1, DELETED)),
    "clear after it was missed": ([], CLEARED, replace(NOTED, missed_at=1), "restart", Create(2)),
    "clear: restart": ([G1], CLEARED, NOTED, "restart", Create(2, (G1,), G1)),
    "clear: restart, note lost": ([G1], CLEARED, None, "restart", Create(2, (G1,), G1)),
    "clear: restart, note of an older version": (
        [G1],
        CLEARED,
        Note(1, 1, "id-1"),
        "restart",
        Create(2, (G1,), G1),
    ),
    "clear: restart of what is done": ([DONE], CLEARED, NOTED, "restart", Create(2, (), DONE)),
    "clear: restart of what is suspended": (
        [STOPPED],
        CLEARED,
        NOTED,
        "restart",
        Create(2, (STOPPED,), STOPPED),
    ),
    "clear: reattach": ([G1], CLEARED, NOTED, "reattach", Adopt(1, G1, cleared=True)),
    "clear: reattach to what is done": (
        [DONE],
        CLEARED,
        NOTED,
        "reattach",
        Adopt(1, DONE, cleared=True),
    ),
    "clear: reattach to what failed": ([FAILED], CLEARED, NOTED, "reattach", Create(2, (), FAILED)),
    "retries lowered in the DAG": ([G1], Tries(2, 2, 1), NOTED, "restart", Adopt(1, G1)),
    "clear, crash while the old one goes": (
        [DELETING],
        Tries(3, 2, 2),
        NOTED,
        "restart",
        Create(2, (DELETING,), DELETING),
    ),
    "clear, crash after the old one went": (
        [DELETED],
        Tries(3, 2, 2),
        Note(2, 2, max_tries=2),
        "restart",
        Create(2, (), DELETED),
    ),
    "clear of what is done, crash before the create": (
        [DONE],
        Tries(3, 2, 2),
        Note(2, 2, max_tries=2),
        "restart",
        Create(2, (), DONE),
    ),
    "clear, crash after the create": (
        [DELETED, G2],
        Tries(3, 2, 2),
        Note(2, 2, max_tries=2),
        "restart",
        Adopt(2, G2),
    ),
    "two generations alive": ([G2, G1], Tries(2), None, "restart", Adopt(2, G2, (G1,))),
    "two generations alive, cleared": (
        [G2, G1],
        Tries(3, 3),
        None,
        "restart",
        Create(3, (G1, G2), G2),
    ),
    "name used again after a deletion": (
        [made(1, deleted=True, created_at=5.0), made(1, id="new", created_at=9.0)],
        Tries(2),
        None,
        "restart",
        Adopt(1, made(1, id="new", created_at=9.0)),
    ),
    "made again, crash between create and note": (
        [EARLIER, NOW],
        SAME,
        INTENDED,
        "restart",
        Adopt(1, NOW),
    ),
    "made again, crash before the create": (
        [EARLIER],
        SAME,
        INTENDED,
        "restart",
        Create(1, (), EARLIER),
    ),
    # Its name may be free, so that our create may have arrived: only the same name is safe.
    "made again, crash before the create of a name that was used": (
        [EARLIER_1],
        SAME,
        INTENDED,
        "restart",
        Create(1, (), EARLIER_1),
    ),
    "made again, retry after failure": (
        [EARLIER, NOW_FAILED],
        SAME,
        replace(NOTED, begun=1000),
        "restart",
        Create(3, (), NOW_FAILED),
    ),
    "made again, retry after failure, crash before the create": (
        [EARLIER, NOW_FAILED],
        SAME,
        Note(3, 2, max_tries=1, begun=1000),
        "reattach",
        Create(3, (), NOW_FAILED),
    ),
    "made again, note lost": ([EARLIER, NOW], Tries(2), None, "restart", Adopt(1, NOW)),
    "unknown phase is alive": ([ODD], Tries(2), None, "restart", Adopt(1, ODD)),
    "the server hides variables, the note helps": (
        [made(1, by=None)],
        Tries(3, 3, 3),
        NOTED,
        "restart",
        Create(2, (made(1, by=None),), made(1, by=None)),
    ),
    "the server hides variables, no note: no reason to restart": (
        [made(1, by=None)],
        Tries(3, 3),
        None,
        "restart",
        Adopt(1, made(1, by=None)),
    ),
}


def numbered(existing: list[Workload]) -> list[Numbered]:
    return [(int(workload.name.rpartition("-g")[2]), workload) for workload in existing]


@pytest.mark.parametrize("case", TABLE)
def test_what_is_submitted_follows_from_what_there_is(case: str) -> None:
    existing, tries, note, on_clear, expected = TABLE[case]
    assert plan_submission(numbered(existing), tries, note, on_clear) == expected


@pytest.mark.parametrize(
    ("tries", "note", "anew"),
    [
        (Tries(1), None, True),
        (Tries(1), INTENDED, False),
        (Tries(1), Note(0, 1), False),
        (Tries(2), None, False),
        (CLEARED, None, False),
        (SAME, NOTED, False),
    ],
)
def test_only_a_first_try_without_a_note_cannot_have_submitted_anything(
    tries: Tries, note: Note | None, anew: bool
) -> None:
    assert begins_anew(tries, note) is anew


@pytest.mark.parametrize("on_clear", ["restart", "reattach"])
@pytest.mark.parametrize("tries", [Tries(1), Tries(2, 1, 1), Tries(2, 2, 2)])
def test_what_lives_and_was_not_submitted_by_this_run_is_never_taken(
    tries: Tries, on_clear: str
) -> None:
    note = None if tries.current == 1 else Note(0, 1)
    with pytest.raises(
        ForeignWorkload, match=r"the run was deleted in Airflow.*another Airflow has the same"
    ):
        plan_submission(numbered([G1]), tries, note, on_clear)


@pytest.mark.parametrize(
    ("existing", "tries", "note", "on_clear"),
    [
        ([], SAME, NOTED, "restart"),
        ([], CLEARED, NOTED, "restart"),
        ([], CLEARED, replace(NOTED, missed_at=2), "restart"),
        ([], CLEARED, replace(NOTED, missed_at=1), "reattach"),
        ([DELETED], SAME, Note(2, 1, "id-2", max_tries=1), "restart"),
    ],
)
def test_what_cannot_be_found_is_no_reason_to_begin_another(
    existing: list[Workload], tries: Tries, note: Note, on_clear: str
) -> None:
    with pytest.raises(
        Missing, match=r"no second one is begun.*clear the task with on_clear='restart'"
    ):
        plan_submission(numbered(existing), tries, note, on_clear)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "1",
        5,
        [],
        {},
        {"generation": "1"},
        {"generation": None},
        {"generation": True},
        {"generation": -1},
    ],
)
def test_a_note_that_is_not_ours_counts_as_lost(value: object) -> None:
    assert Note.from_json(value) is None


@pytest.mark.parametrize("damage", ["x", -1, [], {}, 1.5, "a\x00b"])
def test_what_is_damaged_in_a_note_counts_as_not_written(damage: object) -> None:
    whole = {**NOTED.to_json(), "instance": "a", "missed_at": 1}
    for key in whole:
        found = Note.from_json({**whole, key: damage})
        if key == "generation":
            assert found is None
        elif damage != "x" or key in ("try_number", "max_tries", "missed_at"):
            assert found == Note.from_json(
                {name: value for name, value in whole.items() if name != key}
            )


def test_a_note_crosses_the_state_store() -> None:
    note = Note(3, 2, "id-3", "train-x-g3", "prod", "runai_default", "0123", 4, 5)
    assert Note.from_json(note.to_json()) == note


@dataclass
class Made:
    """What the platform really has."""

    id: str
    generation: int
    by: int
    phase: str = "Running"
    listed: bool = True
    deleted: bool = False

    @property
    def lives(self) -> bool:
        return not self.deleted and self.phase not in ("Failed", "Completed")

    def seen(self) -> Workload:
        return made(
            self.generation,
            self.phase,
            self.by,
            id=self.id,
            deleted=self.deleted,
            created_at=float(self.by),
        )


CRASHES = st.sampled_from(
    ["", "", "before the end of the old one", "before create", "after create"]
)


class OneTaskInstance(RuleBasedStateMachine):
    """Airflow, a worker that crashes anywhere, and a platform; the worker does what ``operators`` do with a plan."""

    def __init__(self) -> None:
        super().__init__()
        self.platform: list[Made] = []
        self.note: Note | None = None
        self.forgotten = True
        self.intended = 0
        self.tries = Tries(1, 1, 3)
        self.on_clear = "restart"

    @rule(crash=CRASHES)
    def execute(self, crash: str) -> None:
        existing = [m.seen() for m in self.platform if m.listed]
        self.forgotten = self.note is None or self.note.generation == 0
        self.intended = self.note.generation if self.note else 0
        try:
            step = plan_submission(numbered(existing), self.tries, self.note, self.on_clear)
        except Missing:
            assert self.note is not None, "only what was noted is missed"
            self.note = replace(self.note, missed_at=self.tries.max_tries)
            return
        except ForeignWorkload:
            self.note = Note(0, self.tries.current)
            return
        for older in step.ends:
            if not self._end(older.id, crash):
                return
        if isinstance(step, Adopt):
            return
        self.note = Note(step.generation, self.tries.current, max_tries=self.tries.max_tries)
        if crash == "before create":
            return
        workload = self._create(step.generation)
        if crash != "after create":
            self.note = replace(self.note, workload_id=workload.id)

    def _end(self, identity: str, crash: str) -> bool:
        old = next(m for m in self.platform if m.id == identity)
        old.phase = "Deleting"
        if crash == "before the end of the old one":
            return False
        old.deleted = True
        return True

    def _create(self, generation: int) -> Made:
        same = [m for m in self.platform if m.generation == generation and not m.deleted]
        assert not same, "the plan asked for a name that exists"
        newest = max(self.platform, key=lambda m: m.generation, default=None)
        assert newest is None or self._is_cause(newest), f"{newest} was no reason to submit again"
        self.platform.append(Made(f"id-{len(self.platform)}", generation, self.tries.current))
        return self.platform[-1]

    def _is_cause(self, newest: Made) -> bool:
        ended_badly = newest.deleted or newest.phase in ("Failed", "Deleting")
        cleared = newest.by < self.tries.first and self.on_clear == "restart"
        other_life = self.forgotten and not newest.lives
        decided = newest.generation < self.intended  # by an execution that died before its create
        retried = ended_badly and newest.by < self.tries.current
        return cleared or other_life or decided or retried or not newest.listed

    @rule()
    def retry(self) -> None:
        self.tries = replace(self.tries, current=self.tries.current + 1)

    @rule(meaning_of_clear=st.sampled_from(["restart", "reattach"]))
    def clear(self, meaning_of_clear: str) -> None:
        self.on_clear = meaning_of_clear
        # What has a retry left is cleared to the same number of tries more.
        self.tries = Tries(self.tries.current + 1, self.tries.current + 1, self.tries.current + 3)

    @rule()
    def lose_the_note(self) -> None:
        self.note = None

    @precondition(lambda self: any(m.lives for m in self.platform))
    @rule(
        phase=st.sampled_from(
            ["Failed", "Completed", "Stopped", "Pending", "Deleting", "Hibernating"]
        )
    )
    def something_happens(self, phase: str) -> None:
        workload = next(m for m in self.platform if m.lives)
        if workload.phase != "Deleting":
            workload.phase = phase

    @precondition(lambda self: any(not m.deleted for m in self.platform))
    @rule()
    def somebody_deletes_it(self) -> None:
        next(m for m in self.platform if not m.deleted).deleted = True

    @precondition(lambda self: any(m.deleted and m.listed for m in self.platform))
    @rule()
    def the_platform_forgets_the_deleted(self) -> None:
        for workload in self.platform:
            workload.listed = workload.listed and not workload.deleted

    @invariant()
    def never_two_living_workloads(self) -> None:
        assert sum(m.lives for m in self.platform) <= 1, self.platform


OneTaskInstance.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestNeverTwoAndNeverWithoutCause = OneTaskInstance.TestCase


def test_final_phases_are_what_the_model_takes_for_dead() -> None:
    assert frozenset({Meaning.SUCCEEDED, Meaning.FAILED}) == FINAL


def test_differences_name_places_and_never_values_of_variables() -> None:
    ours = {
        "image": "new:2",
        "compute": {"gpuDevicesRequest": 2, "largeShmRequest": True},
        "environmentVariables": [
            {"name": "TOKEN", "value": "hunter2"},
            {"name": "SAME", "value": "x"},
            {"name": "NEW", "value": "hunter3"},
            {"name": "AIRFLOW_RUNAI_TRY", "value": "2"},
        ],
    }
    theirs = {
        "image": "old:1",
        "compute": {"gpuDevicesRequest": 1, "largeShmRequest": True},
        "environmentVariables": [
            {"name": "TOKEN", "value": "hunter1"},
            {"name": "SAME", "value": "x"},
        ],
        "backoffLimit": 6,
    }
    found = list(differences(ours, theirs))
    assert found == [
        "spec.image: running with 'old:1', now 'new:2'",
        "spec.compute.gpuDevicesRequest: running with 1, now 2",
        "spec.environmentVariables[NEW]: another value (not shown)",
        "spec.environmentVariables[TOKEN]: another value (not shown)",
    ]
    assert "hunter" not in "".join(found)


@pytest.mark.parametrize("theirs", [None, "text", [], {}, {"environmentVariables": "odd"}])
def test_differences_from_something_odd_still_hide_variables(theirs: object) -> None:
    variables = {"environmentVariables": {"TOKEN": "hunter2"}}
    assert "hunter" not in "".join(differences({**variables, "compute": {"x": 1}}, theirs))


def test_a_huge_difference_is_cut() -> None:
    assert len(next(differences({"args": "x" * 9999}, {"args": "y" * 9999}))) < 700
