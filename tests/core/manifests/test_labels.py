"""Values of labels are readable, short enough, and differ where their texts do."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.manifests.labels import label_value, origin_labels

#: As the API server has it.
ALLOWED = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")


@given(st.text())
def test_any_text_becomes_the_value_of_a_label(text: str) -> None:
    value = label_value(text)
    assert ALLOWED.fullmatch(value)
    assert len(value) <= 63
    assert label_value(value) == value


@given(st.text(max_size=80), st.text(max_size=80))
def test_two_texts_have_two_values(one: str, other: str) -> None:
    assert (label_value(one) == label_value(other)) == (one == other) or one == label_value(other)


def test_the_labels_say_which_try_of_which_task_it_was() -> None:
    assert origin_labels("dag", "group.task", "scheduled__2026-11-27T00:00:00+00:00", 2, 3) == {
        "airflow-runai/dag": "dag",
        "airflow-runai/task": "group.task",
        "airflow-runai/run": "scheduled__2026-11-27T00-00-00-00-00-bde67f33",
        "airflow-runai/try": "2",
        "airflow-runai/map-index": "3",
    }
    assert "airflow-runai/map-index" not in origin_labels("dag", "task", "run", 1)
