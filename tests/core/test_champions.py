from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.champions import refuse_changed, refuse_older, rollback_target, same
from airflow_runai.errors import InvalidArgument, PromotionRefused


def champion(uri: str, number: int = 1, back_to: int | None = None, **more: Any) -> dict[str, Any]:
    rolled_back = {} if back_to is None else {"rollback": {"to": back_to}}
    return {"uri": uri, "step": 1, "digest": uri, "number": number, **rolled_back, **more}


def line(*entries: str) -> dict[int, dict[str, Any]]:
    """A history: a letter is a promotion, ``A<1`` a rollback to A's promotion as number 1."""
    found = {}
    for number, entry in enumerate(entries, 1):
        uri, _, back_to = entry.partition("<")
        found[number] = champion(uri, number, int(back_to) if back_to else None)
    return found


def test_a_checkpoint_is_what_its_name_step_and_digest_say() -> None:
    assert same(champion("a", 1, metrics={"x": 1}), champion("a", 2))
    assert not same(champion("a"), champion("b"))
    assert not same(champion("a"), champion("a", digest="other"))
    assert not same(champion("a"), None)
    assert same(None, None)


@pytest.mark.parametrize(
    ("judged", "present", "words"),
    [
        ("a", "b", "judged against a, but b is the champion now; evaluate again"),
        (None, "b", "judged against no champion, but b is the champion now"),
        ("a", None, "judged against a, but no champion is the champion now"),
    ],
)
def test_a_judgement_holds_for_one_champion(
    judged: str | None, present: str | None, words: str
) -> None:
    one, other = (champion(uri) if uri else None for uri in (judged, present))
    with pytest.raises(PromotionRefused, match=words):
        refuse_changed(one, other)
    refuse_changed(one, one)
    refuse_changed(other, other)


def test_a_former_champion_is_not_promoted_unnoticed() -> None:
    history = line("a", "b", "c")
    with pytest.raises(
        PromotionRefused,
        match=r"evaluation: a was the champion before \(number 1\) and c has replaced it; roll back",
    ):
        refuse_older(champion("a"), history[3], history)
    refuse_older(champion("d"), history[3], history)
    refuse_older(champion("a", digest="another content"), history[3], history)
    refuse_older(champion("a"), None, {})


def test_a_checkpoint_of_an_older_run_is_not_promoted_unnoticed() -> None:
    present = champion("a", run={"run_after": 1_700_000_000.0})
    with pytest.raises(
        PromotionRefused,
        match=r"its DAG run is of 2023-11-14 22:13:19\+00:00, older than that of the champion a "
        r"\(2023-11-14 22:13:20\+00:00\); set allow_older=True",
    ):
        refuse_older(champion("b", run={"run_after": 1_699_999_999.0}), present, {1: present})
    for run in ({"run_after": 1_700_000_000.0}, {}, None, {"run_after": "old"}):
        refuse_older(champion("b", run=run), present, {1: present})


LINES = [
    (("a", "b", "c"), None, 2),
    (("a", "b", "c"), 1, 1),
    (("a", "b", "c"), 3, 3),
    # Back from c to b; again, to a and not to c.
    (("a", "b", "c", "b<2"), None, 1),
    # d came after b, not after c, which was rolled back.
    (("a", "b", "c", "b<2", "d"), None, 2),
    (("a", "b", "c", "b<2", "d", "b<2"), None, 1),
    # A number that is itself a rollback means what it led to.
    (("a", "b", "c", "b<2", "d"), 4, 2),
]


@pytest.mark.parametrize(("entries", "to", "number"), LINES)
def test_a_rollback_leads_to_the_champion_before(
    entries: tuple[str, ...], to: int | None, number: int
) -> None:
    history = line(*entries)
    assert rollback_target(history, history[len(entries)], to) == number


def test_a_rollback_to_nothing_is_told_with_what_there_is() -> None:
    history = line("a", "b")
    with pytest.raises(InvalidArgument, match="to: 7; the history has: 1, 2"):
        rollback_target(history, history[2], 7)
    with pytest.raises(InvalidArgument, match="there is no champion before a; the history has: 1"):
        rollback_target({1: history[1]}, history[1], None)
    with pytest.raises(InvalidArgument, match="the history has: nothing"):
        rollback_target({}, history[1], 1)
    forged = champion("x", 2, rollback={"to": "theirs"})
    with pytest.raises(InvalidArgument, match="there is no champion before x"):
        rollback_target({2: forged}, forged, None)


@given(steps=st.lists(st.booleans(), max_size=12))
def test_rollbacks_undo_promotions_one_by_one(steps: list[bool]) -> None:
    history, alive = line("0"), [1]
    for promotes in steps:
        number = len(history) + 1
        if promotes:
            alive.append(number)
            history[number] = champion(str(number), number)
        elif len(alive) > 1:
            target = rollback_target(history, history[number - 1], None)
            alive.pop()
            assert target == alive[-1]
            history[number] = champion(str(target), number, back_to=target)
