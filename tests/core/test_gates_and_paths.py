from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.gates import ChampionValue, Gate, compares, judge, limits, parse_gates
from airflow_runai.core.paths import to_container, to_worker, worker_prefix
from airflow_runai.errors import InvalidArgument, MetricsError, SpecError


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("accuracy >= 0.95", Gate("accuracy", ">=", 0.95)),
        ("loss<1e-3", Gate("loss", "<", 0.001)),
        ("test.top-5/acc == .5", Gate("test.top-5/acc", "==", 0.5)),
        (" drift <= -2 ", Gate("drift", "<=", -2.0)),
        ("a >= champion.a", Gate("a", ">=", ChampionValue("a"))),
        ("a>champion.a -0.002", Gate("a", ">", ChampionValue("a", "-", 0.002))),
        ("a == champion.top-5", Gate("a", "==", ChampionValue("top-5"))),
        ("ms <= champion.p99/ms  * 1.1 ", Gate("ms", "<=", ChampionValue("p99/ms", "*", 1.1))),
        (
            "loss < champion.val.loss + 1e-3",
            Gate("loss", "<", ChampionValue("val.loss", "+", 1e-3)),
        ),
    ],
)
def test_a_gate_is_read(text: str, gate: Gate) -> None:
    assert parse_gates([text]) == (gate,)


@pytest.mark.parametrize(
    "text",
    [
        "accuracy",
        "accuracy => 1",
        "0.95 <= accuracy",
        "a >= b",
        "a >= nan",
        "",
        "a >= 1; x",
        "a >= 1e999",
        "a >= champion",
        "a >= champion.",
        "a >= champion.a *",
        "a >= champion.a-0.002",
        "a >= champion.a-.5",
        "a >= champion.a / 2",
        "a >= champion.a * 1e999",
        "a >= champion.a - champion.b",
        "a >= 2 * champion.a",
    ],
)
def test_a_gate_that_cannot_be_read_is_told_with_what_is_allowed(text: str) -> None:
    with pytest.raises(SpecError, match=r"gates: .* cannot be read; allowed: METRIC >=") as caught:
        parse_gates(["ok > 1", text, "also wrong"])
    assert len(caught.value.problems) == 2


def test_one_text_is_no_list_of_gates() -> None:
    with pytest.raises(SpecError, match="is one text; allowed: a list of texts"):
        parse_gates("accuracy >= 0.95")


METRICS = {"accuracy": 0.95, "steps": 10, "test.loss": 0.2}


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("accuracy >= 0.95", True),
        ("accuracy > 0.95", False),
        ("steps == 10", True),
        ("test.loss < 0.3", True),
        ("test.loss < 0.1", False),
    ],
)
def test_a_gate_is_passed_or_says_what_was_asked_for(text: str, passes: bool) -> None:
    found = judge(parse_gates([text]), METRICS)
    assert (not found) is passes
    assert passes or "the gate asks for" in found[0]


def test_a_near_miss_shows_enough_digits_to_see_it() -> None:
    assert judge(parse_gates(["accuracy >= 0.95"]), {"accuracy": 0.9499999}) == [
        "accuracy is 0.9499999, the gate asks for accuracy >= 0.95"
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("comparison", [">=", "<=", ">", "<", "=="])
def test_what_is_not_finite_never_passes(value: float, comparison: str) -> None:
    assert judge([Gate("x", comparison, 1.0)], {"x": value})


@pytest.mark.parametrize("metrics", [{}, {"accurracy": 1}, {"accuracy.x": 1}])
def test_a_metric_that_was_not_written_is_an_error(metrics: dict[str, float]) -> None:
    with pytest.raises(
        MetricsError, match="gate on 'accuracy': the evaluation did not write this metric"
    ):
        judge(parse_gates(["accuracy >= 0.9"]), metrics)


@pytest.mark.parametrize(
    ("text", "value", "passes"),
    [
        ("a >= champion.a", 0.9, True),
        ("a > champion.a", 0.9, False),
        ("a == champion.a", 0.9, True),
        ("a >= champion.a - 0.2", 0.7, True),
        ("a > champion.a - 0.2", 0.7, False),
        ("a >= champion.a - 0.2", 0.69999, False),
        ("a <= champion.ms * 1.1", 22.0, True),
        ("a <= champion.ms * 1.1", 22.1, False),
        ("a < champion.ms + 1", 21.0, False),
    ],
)
def test_a_gate_compares_with_the_champion_and_a_tie_is_one(
    text: str, value: float, passes: bool
) -> None:
    found = judge(parse_gates([text]), {"a": value}, {"a": 0.9, "ms": 20})
    assert (not found) is passes


def test_a_failure_shows_both_numbers_and_the_gate_at_its_end() -> None:
    assert judge(parse_gates(["a >= champion.a - 0.002"]), {"a": 0.9}, {"a": 0.95}) == [
        "a is 0.9 against 0.948, the gate asks for a >= champion.a - 0.002"
    ]


def test_without_a_champion_only_the_other_gates_judge() -> None:
    gates = parse_gates(["a >= champion.a", "a >= 0.5"])
    assert compares(gates)
    assert not compares(gates[1:])
    assert judge(gates, {"a": 0.6}) == []
    assert judge(gates, {"a": 0.4}) == ["a is 0.4, the gate asks for a >= 0.5"]
    assert judge(gates[:1], {"a": float("nan")})
    with pytest.raises(MetricsError, match="gate on 'a': the evaluation did not write"):
        judge(gates, {})
    with pytest.raises(MetricsError, match="gate on 'ab': the evaluation did not write"):
        judge(parse_gates(["a >= champion.ab"]), {"a": 1})


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_metric_that_the_champion_lacks_is_an_error_that_names_it(value: float | None) -> None:
    champion = {"accuracy": 1.0} | ({} if value is None else {"acuracy": value})
    with pytest.raises(
        MetricsError, match=r"gate on 'champion\.acuracy': the champion has no such number; did"
    ):
        limits(parse_gates(["accuracy >= champion.acuracy"]), champion)


_HUNDREDTHS = st.integers(-(10**6), 10**6)


@given(ours=_HUNDREDTHS, theirs=_HUNDREDTHS, by=st.integers(0, 10**6))
def test_ties_are_those_that_a_person_reads(ours: int, theirs: int, by: int) -> None:
    gates = parse_gates([f"a >= champion.a - {by / 100}", f"a == champion.a - {by / 100}"])
    failed = judge(gates, {"a": ours / 100}, {"a": theirs / 100})
    assert len(failed) == (ours < theirs - by) + (ours != theirs - by)


_NAMES = st.from_regex(r"[a-z_]([a-z0-9_./]|-[a-z_]){0,8}", fullmatch=True)
_CHANGED = st.tuples(st.sampled_from("+-*"), st.floats(0, 1e300)).map(" {0[0]} {0[1]!r}".format)


@given(
    name=_NAMES,
    comparison=st.sampled_from([">=", "<=", "==", ">", "<"]),
    threshold=st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.builds("champion.{}{}".format, _NAMES, _CHANGED | st.just("")),
)
def test_a_gate_is_shown_as_it_is_written(name: str, comparison: str, threshold: str) -> None:
    (gate,) = parse_gates([f"{name}{comparison}{threshold}"])
    assert gate.metric == name
    assert compares([gate]) is threshold.startswith("champion.")
    assert str(parse_gates([str(gate)])[0]) == str(gate)


MAP = {"/workspace": "/mnt/nfs/ws", "/workspace/ckpt/": "s3://bucket/ckpt", "/data": "/"}


@pytest.mark.parametrize(
    ("container", "worker"),
    [
        ("/workspace/a", "/mnt/nfs/ws/a"),
        ("/workspace", "/mnt/nfs/ws"),
        ("/workspace/ckpt", "s3://bucket/ckpt"),
        ("/workspace/ckpt/step-1/", "s3://bucket/ckpt/step-1/"),
        ("/workspaces/a", "/workspaces/a"),
        ("/data/x", "/x"),
        ("/data", "/"),
        ("relative", "relative"),
    ],
)
def test_the_longest_prefix_of_whole_segments_wins(container: str, worker: str) -> None:
    assert to_worker(container, MAP) == worker


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/workspace/a/../b", "/mnt/nfs/ws/b"),
        ("/workspace/a/../../workspace", None),
        ("/workspace/a/./../b/..", "/mnt/nfs/ws"),
        ("/workspace/ckpt/../x", None),
        ("/workspace/../../../etc/passwd", None),
        ("/workspace/..", None),
        ("/workspace/a//../../..", None),
        ("/workspace/...", "/mnt/nfs/ws/..."),
        ("/workspace/a..b/..c", "/mnt/nfs/ws/a..b/..c"),
        ("/data/../etc", None),
        ("/elsewhere/../workspace/a", None),
        ("../relative", None),
        ("s3://bucket/a/../../other", None),
    ],
)
def test_two_dots_never_lead_out_of_a_prefix(path: str, found: str | None) -> None:
    if found is not None:
        assert to_worker(path, MAP) == found
        return
    with pytest.raises(InvalidArgument, match=r"path: '.*'; .*'\.\.'"):
        to_worker(path, MAP)


SEGMENTS = st.sampled_from(["a", "..", ".", "", "...", "b c", "..\n", "é", "workspace", "ckpt"])


@pytest.mark.slow
@given(st.lists(SEGMENTS, max_size=8), st.sampled_from([*MAP, "/else", "", "s3:/", "/workspace/a"]))
def test_whatever_a_path_is_made_of_it_stays_below_its_prefix(
    segments: list[str], first: str
) -> None:
    path = "/".join([first, *segments])
    try:
        found = to_worker(path, MAP)
    except InvalidArgument:
        assert ".." in segments
        return
    prefix = worker_prefix(path, MAP)
    assert ".." not in found.split("/")
    if prefix is None:
        assert found == path
    else:
        assert f"{found}/".startswith(prefix.rstrip("/") + "/")


@pytest.mark.slow
@given(st.lists(st.sampled_from(["a", "b c", "ckpt", "step-1"]), max_size=4))
def test_a_path_that_goes_there_comes_back(segments: list[str]) -> None:
    path = "/".join(["/workspace", *segments])
    one = {"/workspace": "s3://bucket/ws/"}
    assert to_container(to_worker(path, one), one) == path
