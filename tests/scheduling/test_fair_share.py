"""How a cluster's GPUs are divided between queues."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.emulator.scheduler import Queue
from airflow_runai.emulator.scheduling.fair_share import fair_shares

CASES = {
    "the quota first": (4, [Queue("a", 3), Queue("b", 1)], (9, 9), (3, 1)),
    "no more than asked for": (4, [Queue("a", 3), Queue("b", 1)], (1, 9), (1, 3)),
    "what nobody is guaranteed, in equal parts": (
        6,
        [Queue("a", 1), Queue("b", 1)],
        (9, 9),
        (3, 3),
    ),
    "in parts by weight": (4, [Queue("a", 0, weight=1), Queue("b", 0, weight=3)], (9, 9), (1, 3)),
    "nothing over quota without weight": (
        4,
        [Queue("a", 1, weight=0), Queue("b", 0)],
        (9, 9),
        (1, 3),
    ),
    "no more than the limit": (6, [Queue("a", 0, limit=2), Queue("b", 0)], (9, 9), (2, 4)),
    "a quota above the limit does not count": (
        6,
        [Queue("a", 4, limit=2), Queue("b", 0)],
        (9, 9),
        (2, 4),
    ),
    "what one does not want, to the others": (
        9,
        [Queue("a", 0), Queue("b", 0), Queue("c", 0)],
        (1, 9, 9),
        (1, 4, 4),
    ),
    "the odd one to the larger remainder": (
        4,
        [Queue("a", 0, weight=1), Queue("b", 0, weight=2)],
        (9, 9),
        (1, 3),
    ),
    "of equal remainders, to the older": (3, [Queue("a", 0), Queue("b", 0)], (9, 9), (2, 1)),
    "overcommitted quotas are not cut": (2, [Queue("a", 2), Queue("b", 2)], (9, 9), (2, 2)),
    "parts of a GPU": (1, [Queue("a", 0.3), Queue("b", 0.3)], (0.3, 9), (0.3, 0.7)),
}


@pytest.mark.parametrize("case", CASES)
def test_share_is(case: str) -> None:
    gpus, queues, asked, shares = CASES[case]
    names = [queue.name for queue in queues]
    assert fair_shares(gpus, queues, dict(zip(names, asked, strict=True))) == pytest.approx(
        dict(zip(names, shares, strict=True))
    )


_ASKED = st.integers(0, 12)
_WEIGHTS = st.sampled_from((0.0, 1.0, 1.0, 2.0, 3.0, 0.1, 1 / 3))


@given(
    gpus=st.integers(0, 20),
    drawn=st.lists(
        st.tuples(st.integers(0, 6), st.none() | st.integers(0, 8), _WEIGHTS, _ASKED), max_size=6
    ),
)
def test_nobody_gets_too_much_and_nothing_is_left_that_somebody_wants(
    gpus: int, drawn: list[tuple[int, int | None, float, int]]
) -> None:
    queues = [
        Queue(str(number), quota, limit, weight)
        for number, (quota, limit, weight, _) in enumerate(drawn)
    ]
    asked = {str(number): float(one[3]) for number, one in enumerate(drawn)}
    shares = fair_shares(gpus, queues, asked)
    wanted = {queue.name: min(asked[queue.name], queue.ceiling) for queue in queues}
    guaranteed = {queue.name: min(queue.deserved, wanted[queue.name]) for queue in queues}
    for queue in queues:
        assert guaranteed[queue.name] <= shares[queue.name] <= wanted[queue.name]
    assert sum(shares.values()) <= max(gpus, sum(guaranteed.values()))
    hungry = [queue for queue in queues if queue.weight and shares[queue.name] < wanted[queue.name]]
    assert not hungry or sum(shares.values()) >= gpus
