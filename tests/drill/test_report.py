"""Report and picture of drills that were never held."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from airflow_runai.drill.facts import DrillFacts
from airflow_runai.drill.judgement import judge
from airflow_runai.drill.picture import picture
from airflow_runai.drill.report import text, to_json

from .samples import GOOD, REFERENCE, but, facts, lying, writes
from .test_judgement import CASES, NOTHING

SVG = "{http://www.w3.org/2000/svg}"


def report(seen: DrillFacts) -> dict[str, Any]:
    """What a reader of the JSON file gets."""
    found: dict[str, Any] = json.loads(json.dumps(to_json(judge(seen))))
    return found


def drawn(seen: DrillFacts) -> ElementTree.Element:
    return ElementTree.fromstring(picture(report(seen)))


def shapes(seen: DrillFacts, kind: str) -> list[ElementTree.Element]:
    """The bars of the timeline with one meaning; the legend stands above it."""
    return [
        one
        for one in drawn(seen).iter(f"{SVG}rect")
        if one.get("class") == kind and float(one.get("y", 0)) > 60
    ]


@pytest.mark.parametrize("case", CASES)
def test_every_outcome_can_be_told_and_drawn(case: str) -> None:
    found = report(CASES[case][0])
    shown = text(found)
    assert max(map(len, shown.splitlines())) <= 120
    for check in found["checks"]:
        assert f"{check['name']:<9} " in shown
    title = ElementTree.fromstring(picture(found)).find(f"{SVG}title")
    assert title is not None
    assert title.text
    assert title.text.startswith("Drill of startup.sh: ")


def test_head_and_table_tell_the_essence() -> None:
    shown = text(report(facts(but(GOOD, 1, killed=True, ended_at=9.2))))
    assert shown.splitlines()[0] == "Will startup.sh survive? no"
    assert "1      node-1  6.0 s  3.20 s   killed  3.0 s (30 steps)  1.0 s" in shown.splitlines()


def test_a_training_that_keeps_nothing_is_told_what_that_means() -> None:
    assert "never ends" in text(report(facts(NOTHING, replace(REFERENCE, writes=()))))
    assert "never ends" not in text(report(facts()))


def test_a_training_that_begins_anew_is_not_priced_by_the_drill_s_few_seconds() -> None:
    for seen in (
        CASES["begins anew"][0],
        CASES["nothing saved"][0],
        CASES["always the same first step"][0],
    ):
        found = report(seen)
        assert found["cost"] is None
        shown = " ".join(text(found).split())
        assert (
            "At 10 preemptions a day: everything since the start, each time (2.4 h of work, on average)."
            in shown
        )
        assert "% of it" not in shown
    assert "% of it" in text(report(facts()))
    blind = facts(replace(NOTHING, blind="it saved elsewhere"))
    assert "preemptions a day" not in text(report(blind)), "what was not seen is not judged"


def test_one_bar_for_each_start_and_a_stretch_of_grace_for_each_preemption() -> None:
    assert len(shapes(facts(), "run")) == 3
    assert len(shapes(facts(), "reference")) == 1
    assert len(shapes(facts(), "grace")) == 2
    assert shapes(facts(), "lost") == []


def test_lost_work_is_hatched_up_to_the_signal() -> None:
    run = replace(GOOD, writes=GOOD.writes[:2] + GOOD.writes[3:])
    (lost,) = shapes(facts(but(run, 1, standing=lying(40))), "lost")
    run_bar = shapes(facts(), "run")[0]
    ends = [float(bar.get("x", 0)) + float(bar.get("width", 0)) for bar in (lost, run_bar)]
    assert ends[0] == pytest.approx(ends[1], abs=0.2)


def test_names_of_checkpoints_cannot_break_the_picture() -> None:
    bad = replace(GOOD, writes=(replace(GOOD.writes[0], name="<script>&.pt"), *GOOD.writes[1:]))
    titles = [one.text for one in drawn(facts(bad)).iter(f"{SVG}title")]
    assert "<script>&.pt, 3.00 s" in titles


def test_checkpoints_in_place_are_marked_by_shape_not_by_color_alone() -> None:
    good, bad = (
        marks(facts(replace(GOOD, writes=writes((3, 20), in_place=place))))
        for place in (False, True)
    )
    assert good != bad


def marks(seen: DrillFacts) -> list[str | None]:
    """The outlines of the checkpoints in the timeline."""
    return [
        one.get("d") for one in drawn(seen).iter(f"{SVG}path") if "edge" in one.get("class", "")
    ]
