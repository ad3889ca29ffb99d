"""What a submission says while an admission webhook is away, over the model in virtual time."""

from __future__ import annotations

import httpx
import pytest

from airflow_runai.errors import Unreachable
from tests.contract.model import ModelRig
from tests.contract.rig import name_of
from tests.contract.waits import submit
from tests.model.faults import Fault
from tests.model.refusals import Refusal

#: What Kueue's webhook does to every new Job while Kueue does not run.
AWAY = (
    'Internal error occurred: failed calling webhook "mjob.kb.io": failed to call webhook: Post '
    '"https://127.0.0.1:9443/mutate-batch-v1-job": dial tcp 127.0.0.1:9443: connection refused'
)
#: The model's time begins at midnight, and a submission has ten minutes.
SAID = (
    f"POST /apis/batch/v1/namespaces/team-a/jobs: 500 {AWAY}; "
    "trying again until 2026-01-01 00:10 UTC"
)


def refuse(request: httpx.Request) -> httpx.Response:
    return httpx.Response(500, json=Refusal(500, "InternalError", AWAY).body)


def said(rig: ModelRig) -> list[str]:
    return [one.text for one in rig.told if one.kind == "retry"]


def test_it_says_at_once_what_it_waits_for_and_until_when() -> None:
    rig = ModelRig()
    rig.wire.faults.append(Fault(refuse, "POST", 1))
    submit(rig)
    assert said(rig) == [SAID]
    assert rig.names() == [name_of()]


def test_it_says_so_again_about_once_a_minute() -> None:
    rig = ModelRig()
    rig.wire.faults.append(Fault(refuse, "POST", float("inf")))
    with pytest.raises(Unreachable, match=r'failed calling webhook "mjob\.kb\.io"'):
        submit(rig)
    assert set(said(rig)) == {SAID}
    assert 5 <= len(said(rig)) <= 10
    assert rig.names() == []
