"""What keeps pods from starting is played as a cluster plays it: events, and phases that do not move on."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.emulator import EmulatorSettings, Scenario, SteppedClock, serve
from tests.emulator.conftest import Client

SECRET = {"environmentVariables": [{"name": "A", "secret": {"name": "wandb", "key": "k"}}]}


def played(spec: dict[str, Any], **settings: Any) -> tuple[str, list[str], str]:
    """Return phase and events after an hour, and the phase after a user has suspended it."""
    given = EmulatorSettings(clock=SteppedClock(), scenarios={"t": Scenario(None)}, **settings)
    with serve(given) as emulator:
        client = Client(emulator)
        created = client.create("t", **spec)
        emulator.advance(3600)
        phase = client.phase(created)
        events = client.get(f"/api/v1/workloads/{created}/events", limit=500)["events"]
        bad = [event["message"] for event in reversed(events) if event["type"] == "Warning"]
        client.post(f"/api/v1/workloads/trainings/{created}/suspend")
        emulator.advance(60)
        return phase, bad, client.phase(created)


def test_unknown_image_is_pulled_again_and_again() -> None:
    phase, said, later = played({"image": "reg/a:2"}, images=("reg/a:1", "reg/b:*"))
    assert (phase, later) == ("Initializing", "Stopped")
    assert said[0].startswith('Failed to pull image "reg/a:2": rpc error: code = NotFound')
    assert said[1:4] == [
        "Error: ErrImagePull",
        'Back-off pulling image "reg/a:2"',
        "Error: ImagePullBackOff",
    ]
    assert 10 <= said.count(said[2]) <= 30, "the pauses grow"


def test_known_image_and_no_list_start() -> None:
    assert played({"image": "reg/b:7"}, images=("reg/b:*",))[:2] == ("Running", [])
    assert played({"image": "reg/b:7", **SECRET})[:2] == ("Running", [])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (SECRET, 'Error: secret "wandb" not found'),
        (
            {"storage": {"secretVolume": [{"secret": "wandb", "mountPath": "/s"}]}},
            'MountVolume.SetUp failed for volume "wandb" : secret "wandb" not found',
        ),
    ],
)
def test_missing_secret_keeps_it_initializing(spec: dict[str, Any], message: str) -> None:
    phase, said, later = played(spec, secrets=("other",))
    assert (phase, later) == ("Initializing", "Stopped")
    assert set(said) == {message}
    assert played(spec, secrets=("wandb",))[0] == "Running"


def test_missing_claim_keeps_it_pending() -> None:
    claim = {"claimName": "data", "existingPvc": True, "path": "/data"}
    spec = {"storage": {"pvc": [claim]}}
    phase, said, later = played(spec, claims=())
    assert (phase, later) == ("Pending", "Stopped")
    assert said == ['0 nodes are available: persistentvolumeclaim "data" not found.']
    assert played(spec, claims=("data",))[0] == "Running"
