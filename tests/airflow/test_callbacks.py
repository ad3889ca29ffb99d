"""What a trigger can call becomes plain data; all else is refused by name when the DAG is parsed."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from datetime import datetime
from types import MappingProxyType
from typing import Any

import pytest
from airflow.sdk import Context
from airflow.sdk.definitions.callback import AsyncCallback, SyncCallback

from airflow_runai.errors import SpecError
from airflow_runai.operators.training import RunaiTrainingOperator
from airflow_runai.tasks.callbacks import callbacks_of, rendered
from tests.airflow import heard


def _call(name: str, **kwargs: Any) -> dict[str, Any]:
    return {"path": f"tests.airflow.heard.{name}", "kwargs": kwargs}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (heard.note, [_call("note")]),
        (heard.anote, [_call("anote")]),
        ("tests.airflow.heard.note", [_call("note")]),
        (
            "a.module.that.only.triggerers.have",
            [{"path": "a.module.that.only.triggerers.have", "kwargs": {}}],
        ),
        (AsyncCallback(heard.anote, {"to": "x"}), [_call("anote", to="x")]),
        (SyncCallback(heard.note, {"n": [1, {"a": None}]}), [_call("note", n=[1, {"a": None}])]),
        (heard.Pager("{{ run_id }}"), [_call("Pager", text="{{ run_id }}", channel="ops")]),
        (AsyncCallback(heard.Pager, {"text": "a"}), [_call("Pager", text="a")]),
        (
            [heard.note, heard.Pager("a", channel="b")],
            [_call("note"), _call("Pager", text="a", channel="b")],
        ),
    ],
)
def test_each_form_becomes_path_and_arguments(given: Any, expected: list[dict[str, Any]]) -> None:
    found = callbacks_of({"on_resume": given, "on_stall": None})
    assert found == {"on_resume": expected}
    assert json.loads(json.dumps(found)) == found


def _closure() -> Callable[..., None]:
    def inside(context: Any) -> None: ...

    return inside


def _in_a_dag_file() -> Callable[..., None]:
    def alert(context: Any) -> None: ...

    alert.__module__, alert.__qualname__ = "unusual_prefix_0a1b_train", "alert"
    return alert


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda context: None, "is a lambda, which has no name to import it by"),
        (_closure(), "is defined inside a function, and cannot be imported"),
        (
            _in_a_dag_file(),
            "'alert' is defined in the DAG file, which a triggerer does not have; move it",
        ),
        (
            functools.partial(heard.note, token="s3cr3t"),
            "an object of type partial has no name to import it by; use AsyncCallback or",
        ),
        ({"token": "s3cr3t"}, "an object of type dict cannot be called"),
        (
            heard.Outer().method,
            "'tests.airflow.heard.Outer.method' is not at the top of its module",
        ),
        (
            heard.Outer.Inner("x"),
            "'tests.airflow.heard.Outer.Inner' is not at the top of its module",
        ),
        ("no path", "'no path' is no import path"),
        ("module", "'module' is no import path"),
        (
            SyncCallback(heard.note, {"when": object()}),
            "its argument 'when' is of type object, and a trigger carries only",
        ),
        (heard.Pager(object()), "its argument 'text' is of type object"),  # type: ignore[arg-type]  # on purpose
        (
            heard.Forgetful("sales"),
            "the arguments of Forgetful cannot be read back (_channel would be lost); write AsyncCallback(Forgetful, {...})",
        ),
        (7, "7 cannot be called"),
        (heard.Pager, "Pager is a class; give an instance: Pager(...)"),
        (heard.Outer, "Outer is a class; give a function"),
    ],
)
def test_what_a_trigger_cannot_call_is_refused_by_name(given: Any, words: str) -> None:
    with pytest.raises(SpecError) as refused:
        RunaiTrainingOperator(task_id="task", spec={"image": "x"}, on_long_queue=given)
    assert words in str(refused.value)
    assert "allowed: an Airflow notifier, AsyncCallback, SyncCallback" in str(refused.value)
    assert "s3cr3t" not in str(refused.value)


def test_what_a_template_has_become_is_checked_again() -> None:
    later = {"on_stall": [_call("note", when=object()), _call("note", to="x")]}
    with pytest.raises(SpecError) as refused:
        rendered({**later, "on_resume": [_call("note", who={"a": [datetime.now()]})]})
    assert [line.split(", and")[0] for line in refused.value.problems] == [
        "on_stall, after its templates are rendered: tests.airflow.heard.note: "
        "its argument 'when' is of type object",
        "on_resume, after its templates are rendered: tests.airflow.heard.note: "
        "its argument 'who' is of type dict",
    ]


def test_relatives_of_a_mapping_become_ones_that_a_trigger_carries() -> None:
    given = {"on_stall": [_call("note", params=MappingProxyType({"a": (1, 2)}))]}
    carried = rendered(given)
    assert carried == {"on_stall": [_call("note", params={"a": [1, 2]})]}
    assert json.loads(json.dumps(carried)) == carried


class Natively(RunaiTrainingOperator):
    """Renders templates as objects, the second time another one."""

    values: list[object] = []

    def render_template(self, content: Any, *_: Any, **__: Any) -> Any:
        return {"on_stall": [_call("note", to=self.values.pop(0))]}


def test_what_cannot_be_carried_costs_no_workload(capfd: pytest.CaptureFixture[str]) -> None:
    task = Natively(task_id="task", spec={"image": "x"}, on_stall=heard.Pager("{{ dag }}"))
    task.values = [object(), object()]
    with pytest.raises(SpecError):
        task._rendered_callbacks(Context())
    assert task._voice(Context()) is None
    assert (
        "nobody will be told what happens to the workload (on_stall, after its templates are "
        "rendered: tests.airflow.heard.note: its argument 'to' is of type object"
    ) in capfd.readouterr().out


def test_all_mistakes_are_listed_at_once() -> None:
    with pytest.raises(SpecError) as refused:
        callbacks_of({"on_resume": [7, heard.note, 8], "on_stall": 9})
    assert [line.split(";")[0] for line in refused.value.problems] == [
        "on_resume: 7 cannot be called",
        "on_resume: 8 cannot be called",
        "on_stall: 9 cannot be called",
    ]


def test_without_a_wait_nobody_would_hear() -> None:
    with pytest.raises(SpecError, match="on_resume: set, with wait_for_completion=False"):
        RunaiTrainingOperator(
            task_id="task", spec={"image": "x"}, on_resume=heard.note, wait_for_completion=False
        )
