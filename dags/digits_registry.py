"""
After a promotion, hand the champion over to a model registry: MLflow, without a server.

`register` makes a version of the registered model `digits`, with the checkpoint's digest as a tag.
If a version has this digest, it makes none: a task that is repeated or cleared registers nothing
twice, and neither does another run that promotes the same checkpoint. The alias `champion` follows.

MLflow may need older packages than Airflow has, so the task runs in the Python that the Airflow
variable `mlflow_python` names (default: Airflow's own), with `mlflow-skinny`, `sqlalchemy` and
`alembic`. The registry is a SQLite file on the shared storage; a server's address works as well.
"""

from __future__ import annotations

import sys
from datetime import datetime

from airflow.sdk import DAG, task

from airflow_runai.task_groups.retraining import runai_retraining

SHARED = "{{ var.value.get('runai_shared', '/shared') }}"
PYTHON = f"{{{{ var.value.get('mlflow_python', '{sys.executable}') }}}}"
CONTAINER = {
    "image": "python:3.12",
    "working_dir": "/shared/code",
    "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
    "termination_grace_period": 30,
}


@task.external_python(python=PYTHON, expect_airflow=False, retries=2)
def register(champion: dict, model: str, registry: str) -> dict:
    """Register a checkpoint, unless a version has its digest."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=registry, registry_uri=registry)
    same = f"name = '{model}' and tags.digest = '{champion['digest']}'"
    found = client.search_model_versions(same)
    if not found:
        try:
            client.create_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        run = champion["run"]
        tags = {
            "digest": champion["digest"],
            "step": champion["step"],
            "airflow_run": f"{run['dag_id']}/{run['run_id']}",
            **{f"metric.{name}": value for name, value in champion["metrics"].items()},
        }
        # With its tags at once: a try that dies here leaves a version that the next one finds.
        text = {name: str(value) for name, value in tags.items()}
        found = [client.create_model_version(model, champion["uri"], tags=text)]
    client.set_registered_model_alias(model, "champion", found[0].version)
    return {"version": str(found[0].version), "digest": champion["digest"]}


with DAG(
    "digits_registry",
    description="Retrain in one call, then register the champion by its digest.",
    schedule=None,
    start_date=datetime(2025, 1, 1),
    max_active_runs=1,  # MLflow would let two runs register one digest at the same time
    tags=["runai", "example"],
    doc_md=__doc__,
):
    chain = runai_retraining(
        run_root="/shared/runs/{{ dag.dag_id }}/{{ run_id }}",
        path_map={"/shared": SHARED},
        spec=CONTAINER,
        train={
            "command": "./startup.sh",
            "args": "number-of-epochs=10 batch-size=64",
            "compute": {"gpu_devices": 1},
        },
        evaluate={"command": "./evaluate.sh", "compute": {"gpu_devices": 1}},
        gates=["accuracy >= 0.9"],
        champion="/shared/registered.json",
    )
    register(chain.promote.output, model="digits", registry=f"sqlite:///{SHARED}/mlflow.db")
