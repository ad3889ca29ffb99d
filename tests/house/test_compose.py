"""The compose file is valid, keeps no secret, opens nothing to the network, and its parts fit together."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.fernet import Fernet

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yaml"
LOCAL_DEFAULT = re.compile(r"\$\{[A-Z_]+:-([^}]+)\}")
SECRET_NAME = re.compile(r"SECRET|PASSWORD|TOKEN|_KEY$")

Compose = dict[str, Any]


@pytest.fixture(scope="module")
def compose() -> Compose:
    text: Compose = yaml.safe_load(FILE.read_text())
    return text


def schema_errors(path: Path) -> str:
    """Return the errors by the Compose specification's JSON schema, as check-jsonschema ships it."""
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        str(path),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def secrets(compose: Compose) -> Iterator[tuple[str, str]]:
    """Yield the places that hold a secret, and their values."""
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            if SECRET_NAME.search(variable):
                yield f"{name}.{variable}", value
            elif variable.startswith("AIRFLOW_CONN_"):
                yield f"{name}.{variable}", json.loads(value)["password"]
            elif match := re.search(r"://[^:/]*:(.*)@", str(value)):
                yield f"{name}.{variable}", match[1]
        for argument in service.get("command", []):
            if match := re.match(r"--[a-z-]*(?:secret|password|token)=(.*)", argument):
                yield f"{name}.command", match[1]


def literal_secrets(compose: Compose) -> list[str]:
    return [place for place, value in secrets(compose) if not LOCAL_DEFAULT.fullmatch(value)]


def copy_of(compose: Compose) -> Compose:
    # Unlike deepcopy, this separates the parts that anchors share.
    copy: Compose = json.loads(json.dumps(compose))
    return copy


def default_of(text: str) -> str:
    return LOCAL_DEFAULT.sub(r"\1", text)


@pytest.mark.slow
def test_file_is_valid_by_the_compose_specifications_schema() -> None:
    assert schema_errors(FILE) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        lambda compose: compose.update(servces=compose.pop("services")),
        lambda compose: compose["services"]["postgres"].update(imge="postgres:16"),
        lambda compose: compose["services"]["runai"].update(ports={"8710": 8710}),
        lambda compose: compose["services"]["runai"]["healthcheck"].update(test=5),
        lambda compose: compose["services"]["triggerer"]["depends_on"]["runai"].update(
            condition="soon"
        ),
    ],
)
def test_broken_copy_is_refused(
    tmp_path: Path, compose: Compose, damage: Callable[[Compose], object]
) -> None:
    broken = copy_of(compose)
    damage(broken)
    (tmp_path / "docker-compose.yaml").write_text(yaml.safe_dump(broken))
    assert "Schema validation errors" in schema_errors(tmp_path / "docker-compose.yaml")


def test_every_secret_is_a_variable_with_a_local_default(compose: Compose) -> None:
    assert literal_secrets(compose) == []
    assert {place.split(".")[1] for place, _ in secrets(compose)} == {
        "AIRFLOW__API__SECRET_KEY",
        "AIRFLOW__API_AUTH__JWT_SECRET",
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "AIRFLOW_CONN_RUNAI_DEFAULT",
        "POSTGRES_PASSWORD",
        "command",
    }


@pytest.mark.parametrize(
    ("service", "variable", "value"),
    [
        ("postgres", "POSTGRES_PASSWORD", "hunter2"),
        ("scheduler", "AIRFLOW__API_AUTH__JWT_SECRET", "prefix-${JWT_SECRET:-x}"),
        ("triggerer", "AIRFLOW_CONN_RUNAI_DEFAULT", '{"password": "hunter2"}'),
        (
            "api-server",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
            "postgresql://airflow:hunter2@postgres/airflow",
        ),
    ],
)
def test_literal_secret_would_be_seen(
    compose: Compose, service: str, variable: str, value: str
) -> None:
    broken = copy_of(compose)
    broken["services"][service]["environment"][variable] = value
    assert literal_secrets(broken) == [f"{service}.{variable}"]


def test_ports_are_published_on_loopback_only(compose: Compose) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert not any("network_mode" in service for service in compose["services"].values())


def test_every_lasting_service_has_a_health_check(compose: Compose) -> None:
    services = compose["services"]
    unchecked = [name for name, service in services.items() if "healthcheck" not in service]
    assert unchecked == ["airflow-init"]
    assert services["airflow-init"]["restart"] == "no"


def test_services_wait_for_what_they_need(compose: Compose) -> None:
    services = compose["services"]
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            lasting = "healthcheck" in services[needed]
            expected = "service_healthy" if lasting else "service_completed_successfully"
            assert how["condition"] == expected, f"{name} on {needed}"
    assert set(services["triggerer"]["depends_on"]) == {"airflow-init", "api-server", "runai"}
    assert set(services["airflow-init"]["depends_on"]) == {"postgres"}


def test_airflows_connection_fits_the_embedded_runai(compose: Compose) -> None:
    connection = json.loads(
        compose["services"]["triggerer"]["environment"]["AIRFLOW_CONN_RUNAI_DEFAULT"]
    )
    arguments = dict(item[2:].split("=", 1) for item in compose["services"]["runai"]["command"][3:])
    assert connection["host"] == f"http://runai:{arguments['port']}"
    assert connection["login"] == arguments["client-id"]
    assert connection["password"] == arguments["client-secret"]
    projects = [
        item for item in compose["services"]["runai"]["command"] if item.startswith("--project=")
    ]
    assert projects == ["--project=team-a:2", "--project=team-b:2"]
    assert connection["extra"]["project"] == "team-a"


def test_embedded_runai_and_airflow_see_the_shared_directory_under_one_path(
    compose: Compose,
) -> None:
    for name in ("runai", "scheduler", "triggerer"):
        assert {"shared:/shared", "./dags/digits:/shared/code:ro"} <= set(
            compose["services"][name]["volumes"]
        )
    assert "--volume=/shared=/shared" in compose["services"]["runai"]["command"]


def test_local_defaults_are_of_use(compose: Compose) -> None:
    environment = compose["services"]["scheduler"]["environment"]
    Fernet(default_of(environment["AIRFLOW__CORE__FERNET_KEY"]))
    # SHA-512 signatures require it.
    assert len(default_of(environment["AIRFLOW__API_AUTH__JWT_SECRET"])) >= 64


def test_image_is_built_from_files_that_exist(compose: Compose) -> None:
    recipe = compose["services"]["scheduler"]["build"]["dockerfile_inline"]
    assert recipe.startswith("FROM apache/airflow:3.3.")
    copied = [
        name for line in re.findall(r"^COPY (.*) \S+$", recipe, re.M) for name in line.split()[1:]
    ]
    assert copied
    assert [name for name in copied if not (ROOT / name).exists()] == []
    # Compose would replace a single dollar, by nothing.
    assert "$${AIRFLOW_VERSION}" in recipe
