"""What holds for every subject: no error, and the less is known, the less is said."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_runai.core.lint import RULES, Script, Subject, lint
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.errors import SpecError

TEMPLATE = "{{ params.something }}"
#: The one rule that looks at a script and is silenced by what is known of its arguments, namely
#: that there are none.
EXCEPTION = {"script-drops-arguments"}


class Reference:
    """Stands for an Airflow reference to another task's result."""


def some(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


PATHS = st.sampled_from(
    ["/shared", "/shared/ckpt", "/checkpoints", "/tmp", "/", "/shared/{{ run_id }}", "/a/$X/b"]
)
NAMES = st.sampled_from(
    [
        "CHECKPOINTS",
        "CKPT_DIR",
        "OUTPUT_DIR",
        "CHECKPOINT_EVERY",
        "RUNAI_GRACE_SECONDS",
        "LOAD",
        "X",
    ]
)
VALUES = (
    st.sampled_from(["ckpt", "/shared/x", "s3://b/c", "50", "", TEMPLATE])
    | PATHS
    | st.integers(0, 200)
    | st.booleans()
)
VARIABLES = st.dictionaries(
    NAMES, VALUES | st.just({"secret": {"name": "s", "key": "k"}}), max_size=4
)
WORDS = st.sampled_from(
    [
        "./startup.sh",
        "python train.py --ckpt-dir /tmp/c",
        "bash -c 'a && b'",
        "sleep infinity",
        "a | b",
        "'",
        "--x=1",
    ]
)
STORAGE = some(
    pvc=st.lists(
        some(claim=st.just("c"), path=PATHS, read_only=st.booleans(), ephemeral=st.booleans()),
        max_size=2,
    ),
    nfs=st.lists(
        some(path=PATHS, mount_path=PATHS, read_only=st.sampled_from(["true", TEMPLATE])),
        max_size=1,
    ),
    host_path=st.lists(some(path=PATHS, mount_path=PATHS), max_size=1),
    empty_dir=st.lists(some(path=PATHS), max_size=1),
    s3=st.lists(some(path=PATHS), max_size=1),
)
COMPUTE = some(
    gpu_devices=st.integers(0, 9), gpu_portion=st.sampled_from([0.5, 1]), gpu_memory=st.just("5G")
)
RAW = some(
    terminationGracePeriodSeconds=st.integers(0, 99) | st.none(),
    backoffLimit=st.integers(0, 2),
    tty=st.booleans(),
    storage=st.just({"pvc": []}),
    preemptibility=st.just("non-preemptible"),
)
BASIC: dict[str, st.SearchStrategy[Any]] = {
    "image": st.sampled_from(["a/b", "a/b:1", TEMPLATE]),
    "command": WORDS,
    "args": WORDS,
    "working_dir": PATHS,
    "environment": VARIABLES,
    "compute": COMPUTE,
    "storage": STORAGE,
    "preemptibility": st.sampled_from(["preemptible", "non-preemptible", "semi-preemptible"]),
    "priority": st.sampled_from(["low", "build"]),
    "backoff_limit": st.integers(0, 7) | st.just("3"),
    "restart_policy": st.sampled_from(["Always", "Never"]),
    "termination_grace_period": st.integers(0, 99) | st.just("60"),
    "terminate_after_preemption": st.booleans() | st.just("yes"),
    "auto_deletion": st.integers(0, 999),
    "parallelism": st.integers(1, 4),
    "template_id": st.just("t"),
    "raw": RAW,
}
MASTER = some(**{key: BASIC[key] for key in ("environment", "compute", "command")})
DISTRIBUTED = some(framework=st.just("PyTorch"), workers=st.integers(1, 4), master=MASTER)
SPECS = some(**BASIC, distributed=DISTRIBUTED)
AROUND: dict[str, st.SearchStrategy[Any]] = {
    "retries": st.integers(0, 3),
    "timeouts": st.dictionaries(
        st.sampled_from(["queue", "total", "running"]), st.integers(1, 9) | st.just(TEMPLATE)
    ),
    "deferrable": st.booleans(),
    "on_kill": st.sampled_from(["stop", "keep"]),
    "save_seconds": st.floats(0, 99),
    "gpu_limit": st.integers(-1, 9).map(float),
    "gpu_quota": st.integers(-1, 9).map(float),
    "evaluates": st.booleans(),
    "script": st.sampled_from(
        [Script("s.sh", "#!/bin/sh\npython t.py\n"), Script("s.sh", "", 0o644, ("setup.py",))]
    ),
}


def codes(spec: Any, **around: Any) -> set[str]:
    return {finding.code for finding in lint(Subject(spec=spec, **around))}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a specification at which Airflow could still have to render something."""
    if path:
        yield path
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, entry in items:
        yield from leaves(entry, (*path, key))


def replaced(spec: dict[str, Any], path: tuple[Any, ...], value: object) -> dict[str, Any]:
    changed = copy.deepcopy(spec)
    at: Any = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return changed


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(SPECS, some(**AROUND))
def test_accepted_specifications_are_looked_at_in_either_form_with_the_same_result(
    spec: dict[str, Any], around: dict[str, Any]
) -> None:
    try:
        read = WorkloadSpec.from_mapping(spec)
    except SpecError:
        read = None
    seen = codes(spec, **around)
    assert seen <= set(RULES)
    assert read is None or codes(read, **around) == seen


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(SPECS, some(**AROUND), st.data())
def test_what_is_still_a_template_leads_to_no_further_finding(
    spec: dict[str, Any], around: dict[str, Any], data: st.DataObject
) -> None:
    places = list(leaves(spec))
    if places:
        path = data.draw(st.sampled_from(places))
        unknown = data.draw(st.sampled_from([TEMPLATE, Reference()]))
        assert codes(replaced(spec, path, unknown), **around) <= codes(spec, **around) | EXCEPTION


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(SPECS, some(**AROUND))
def test_what_a_template_beneath_may_set_leads_to_no_further_finding(
    spec: dict[str, Any], around: dict[str, Any]
) -> None:
    assert codes(spec, whole=False, **around) <= codes(spec, **around) | EXCEPTION


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.just(TEMPLATE),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*BASIC, "distributed", "x"]), ANYTHING, max_size=5), ANYTHING
)
def test_nonsense_is_left_to_the_specification(spec: dict[str, Any], timeouts: Any) -> None:
    assert codes(spec, timeouts=timeouts, retries=1) <= set(RULES)
