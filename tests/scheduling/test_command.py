"""``python -m tests.scheduling``: one line of JSON for each file, one sentence for each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scheduling.__main__ import main

SCENARIOS = Path(__file__).parent / "scenarios"


def test_every_file_gets_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    files = [
        str(SCENARIOS / name) for name in ("h14-equal-borrowers.json", "h21-consolidation.json")
    ]
    assert main(files) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["file"] for line in lines] == files
    assert lines[0] == {
        "file": files[0],
        "steps": 7,
        "same_running": 7,
        "same_gpus": 7,
        "evicting_steps": 2,
        "same_victims": 2,
    }


def test_the_embedded_scheduler_can_be_compared_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = str(SCENARIOS / "h53-rank-by-head.json")
    assert main([file]) == main(["--without-flaws", file]) == 0
    exact, right = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (exact["same_running"], right["same_running"]) == (6, 5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        ("{", "is not JSON"),
        ("[]", "is not a scenario: $: [] is not of type 'object'"),
        ('{"nodes": [], "queues": []}', "is not a scenario: $: 'steps' is a required property"),
        (
            '{"nodes": [], "queues": [], "steps": [{"do": "dance"}]}',
            "is not a scenario: $.steps[0]",
        ),
        (
            '{"nodes": [{"name": "n1", "gpus": -1}], "queues": [], "steps": []}',
            "is not a scenario: $.nodes[0].gpus",
        ),
        ("[" * 100_000, "is not JSON"),
        ("\udcff", "is not JSON"),
    ],
)
def test_wrong_input_gets_one_sentence(
    content: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.json"
    if content is not None:
        file.write_text(content, errors="surrogateescape")
    assert main([str(file)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"python -m tests.scheduling: error: {file}: {message}")
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"priority": "urgent"}, "$.steps[0]"),
        ({"queue": "nowhere"}, "$.steps[0]: there is no queue 'nowhere'"),
        ({"name": "b1"}, "$.steps[0]: of job 'a1', 1 pods run, but 0 were made"),
    ],
)
def test_names_that_mean_nothing_are_a_mistake(
    changes: dict[str, str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = {"name": "a1", "queue": "q1", "pods": 1, "gpus": 1, "priority": "train"} | changes
    step = {
        "do": "submit",
        "job": job,
        "real": {"running": {"a1": ["n1"]}, "evicted": [], "gpus": {"q1": 1}},
    }
    scenario = {
        "nodes": [{"name": "n1", "gpus": 1}],
        "queues": [{"name": "q1", "deserved": 1}],
        "steps": [step],
    }
    file = tmp_path / "file.json"
    file.write_text(json.dumps(scenario))
    assert main([str(file)]) == 2
    assert f"{file}: is not a scenario: {message}" in capsys.readouterr().err
