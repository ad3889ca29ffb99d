"""What the compose file starts works together, and trains; only its engine is not tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.compose import ByHand
from tests.end_to_end.database import postgres
from tests.end_to_end.rest import Rest, Run

DAG_ID = "digits_from_ui"


@pytest.mark.qualify
def test_services_become_healthy_in_their_order_and_train(tmp_path: Path) -> None:
    with postgres() as database:
        services = ByHand(tmp_path, database)
        try:
            services.up()
            assert services.started[0] == "postgres"
            assert set(services.started) == set(services.services)
            _train(services)
            for name in services.services:
                services.is_well(name)
        except BaseException:
            print(
                *(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in tmp_path.glob("*.log"))
            )
            raise
        finally:
            services.down()


def _train(services: ByHand) -> None:
    rest = Rest(services.airflow_url)
    rest.has_parsed(DAG_ID)
    rest.patch(f"/dags/{DAG_ID}", {"is_paused": False})
    run = Run.start(rest, DAG_ID, epochs=2)
    run.is_watched()
    run.succeeds("train")
    run.succeeds("checkpoint")
    assert run.xcom("checkpoint")["verdict"] == "valid"
