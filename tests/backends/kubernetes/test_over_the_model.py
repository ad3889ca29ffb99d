"""The flows, the real driver and the model of Kubernetes together, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from airflow_runai.backends import drivers
from airflow_runai.backends.kubernetes.api import writes
from airflow_runai.backends.kubernetes.api.paths import JOBS, discover
from airflow_runai.backends.kubernetes.watching.bells import Bells
from airflow_runai.backends.kubernetes.watching.reflector import Reflector
from airflow_runai.core.flow import Flow, Wait
from airflow_runai.core.kubernetes.mirror import Mirror
from airflow_runai.errors import AlreadyExists
from tests.model.cluster import Cluster
from tests.model.conftest import job
from tests.model.test_transport import play

HERE = JOBS.collection("team-b")
JOB = JOBS.object("team-b", "nightly")


def own_uid(found: Mapping[str, Any]) -> str:
    return str(found["metadata"]["uid"])


@pytest.mark.parametrize("restarts", [False, True])
def test_a_wait_sees_the_end_of_its_job_whatever_the_server_does(restarts: bool) -> None:
    async def act(cluster: Cluster, client: httpx.AsyncClient) -> tuple[Any, ...]:
        bells = Bells()
        facts = Mirror()
        reflector = Reflector("Job", HERE, [], facts, bells)
        found = await drivers.arun(discover(), client)
        made = await drivers.arun(writes.create(HERE, job("nightly", "team-b", 1)), client)
        with pytest.raises(AlreadyExists):
            await drivers.arun(writes.create(HERE, job("nightly", "team-b", 1)), client)
        uid = own_uid(made.object)

        def waiting() -> Flow[bool]:
            with bells.bell(uid) as bell:
                while True:
                    case = facts.case(uid)
                    if case and case.training.now and case.training.now.is_over:
                        return case.training.success is not None
                    yield Wait(bell, 3600.0)
                    bell.still()

        watching = asyncio.create_task(drivers.arun(reflector.run(), client))
        if restarts:
            for second in range(1, 200, 7):
                cluster.clock.after(float(second), cluster.server.restart)
        seen = await drivers.arun(waiting(), client)
        gone = await drivers.arun(writes.delete(JOB, uid), client)
        again = await drivers.arun(writes.delete(JOB, uid), client)
        watching.cancel()
        return found.dialect, seen, gone, again

    dialect, seen, gone, again = play(act)
    assert dialect == "kai"
    assert seen
    assert (gone, again) == (True, False)
