"""`airflow runai logs` with a connection of type ``kubernetes``: the log, and what comes to it."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Airflow
from tests.model.conftest import job
from tests.model.kubelet import Life
from tests.model.resources import JOBS, PODS
from tests.model.serving import served
from tests.support.waiting import wait_until

LINES = "2026-01-01T00:00:01.1Z step 1\n2026-01-01T00:00:01.2Z step 2\n"


@pytest.mark.slow
def test_a_log_is_read_and_followed_to_the_end(
    airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(life_of=lambda pod: Life(run=1.0)) as model:
        connection = model.connection(project="team-b", runai_dialect="kai")
        monkeypatch.setenv("AIRFLOW_CONN_RUNAI_DEFAULT", connection)
        made = job("train", "team-b", 1)
        made["metadata"]["namespace"] = "team-b"
        with model.lock:
            model.cluster.server.log_of = lambda pod: LINES
            model.cluster.store.create(JOBS, made)

        def has_ended() -> bool:
            with model.lock:
                phases = [one["status"]["phase"] for one in model.cluster.store.all(PODS)]
            return phases == ["Succeeded"]

        wait_until(has_ended, "the end of the pod")
        assert airflow("logs", "train").out == "step 1\nstep 2\n"
        assert airflow("logs", "train", "--tail", "1").out == "step 2\n"
        followed = airflow("logs", "train", "--follow")
        assert (followed.code, followed.out) == (0, "step 1\nstep 2\n")
        assert any("follow=true" in line for line in model.asked)
