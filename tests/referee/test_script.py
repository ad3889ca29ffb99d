"""What the client did is known from its recording, and can be said again on another day."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest

from tests import recordings
from tests.recording_forms import Request
from tests.referee.another_day import another_day
from tests.referee.script import commands, listings, recast


@pytest.mark.slow
@pytest.mark.parametrize("name", recordings.names())
def test_every_command_fits_another_day(name: str, tmp_path: Path) -> None:
    recording, other = recordings.named(name), another_day(name, tmp_path)
    for command, wanted in zip(commands(recording), commands(other), strict=True):
        said = recast(command, recording, other.entries)
        if "nightly-bert-25-" in command.path:
            continue  # the blind client knows the pod's name from nobody
        assert said.path == unquote(wanted.path)
        assert without_version(said) == without_version(wanted)


def without_version(command: Request) -> object:
    body = command.body
    if isinstance(body, dict) and "resourceVersion" in body.get("metadata", {}):
        return body | {"metadata": {**body["metadata"], "resourceVersion": "of the last answer"}}
    return body


def test_a_client_lists_what_it_watches() -> None:
    assert [
        path.partition("?")[0].rpartition("/")[2]
        for path in listings(recordings.named("kai/02-fail-exit-code"))
    ] == [
        "jobs",
        "pods",
        "podgroups",
        "events",
    ]


def test_what_follows_from_a_lost_history_is_no_command() -> None:
    said = [
        command.method for command in commands(recordings.named("kai/18-watch-410-in-preemption"))
    ]
    assert said == ["POST", "GET", "GET", "GET"]


def test_requests_of_strangers_are_commands() -> None:
    recording = recordings.named("kai/26-wrong-token")
    assert listings(recording) == []
    assert len({command.user for command in commands(recording)}) == 3
