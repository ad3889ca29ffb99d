"""What Airflow's discovery sees of the provider, and what that costs."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import os
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_runai.emulator import Emulator, serve
from airflow_runai.hooks.choice import settings_of
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.provider_info import get_provider_info
from tests.airflow.conftest import ROOT, SECRET, fast


def test_provider_info_fits_the_schema_of_airflow() -> None:
    import airflow
    import jsonschema  # type: ignore[import-untyped]  # ships no types

    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_guides_and_logo_are_in_the_repository() -> None:
    (integration,) = get_provider_info()["integrations"]
    paths = [*integration["how-to-guide"], integration["logo"]]
    assert [path for path in paths if not (ROOT / path.lstrip("/")).is_file()] == []


def test_operators_that_submit_are_durable_as_the_registry_of_airflow_reads_it() -> None:
    from airflow_runai.operators.evaluation import RunaiEvaluationOperator
    from airflow_runai.operators.training import RunaiTrainingOperator

    for cls in (RunaiTrainingOperator, RunaiEvaluationOperator):
        # On the class itself, for a class derived from it may have an `execute` of its own.
        assert vars(cls)[f"_{cls.__name__}__supports_durable_execution"] is True


def _public_classes(module: ModuleType) -> list[Any]:
    return [
        value
        for name, value in vars(module).items()
        if name.startswith("Runai") and value.__module__ == module.__name__
    ]


def test_every_module_with_a_public_class_is_announced_and_no_other() -> None:
    info = get_provider_info()
    for folder in ("hooks", "operators", "sensors", "triggers"):
        names = [
            f"airflow_runai.{folder}.{path.stem}"
            for path in sorted((ROOT / "airflow_runai" / folder).glob("*.py"))
            if path.stem != "__init__"
        ]
        public = [name for name in names if _public_classes(import_module(name))]
        assert info[folder][0]["python-modules"] == public


def _documented_as_templated(cls: type) -> Iterator[tuple[str, bool]]:
    """The parameters in the docstring, and whether it calls them templated."""
    _, *fields = re.split(r"^ *:param (\w+):", cls.__doc__ or "", flags=re.MULTILINE)
    for name, text in zip(fields[::2], fields[1::2], strict=True):
        yield name, "templated" in text


def test_the_docstrings_name_the_template_fields() -> None:
    for folder in ("operators", "sensors"):
        for name in get_provider_info()[folder][0]["python-modules"]:
            for cls in _public_classes(import_module(name)):
                # Templates hold no Jinja; they are a template field only to be shown.
                fields = set(cls.template_fields) - {"templates"}
                said = dict(_documented_as_templated(cls))
                assert said == {n: n in fields for n in said}, cls.__name__


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["providers", "list"], ["airflow-provider-runai"]),
        (
            ["providers", "get", "airflow-provider-runai", "--full"],
            ["connection-types", "verify_ssl"],
        ),
        (["providers", "hooks"], ["runai", "airflow_runai.hooks.runai.RunaiHook"]),
        (["providers", "links"], ["airflow_runai.links.RunaiWorkloadLink"]),
        (["config", "get-value", "runai", "workload_url"], ["{url}/workloads?search={name}"]),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, list) else None,
)
def test_command_line_of_airflow_shows_it(
    capsys: pytest.CaptureFixture[str], arguments: list[str], shown: list[str]
) -> None:
    from airflow.cli.cli_parser import get_parser

    as_json = ["-o", "json"] if "config" not in arguments else []
    command = get_parser().parse_args([*arguments, *as_json])
    command.func(command)
    printed = capsys.readouterr().out
    assert [word for word in shown if word not in printed] == []


def test_connection_form_has_its_fields() -> None:
    (form,) = get_provider_info()["connection-types"]
    ids = {"project_id", "cluster_id"}
    rest = {"verify_ssl", "ca_file", "timeout", "cluster_url", "kubernetes_conn_id"}
    assert set(form["conn-fields"]) == {"project", "cluster", *ids, *rest}
    assert set(form["ui-field-behaviour"]["relabeling"]) == {"host", "login", "password"}
    assert "port" not in form["ui-field-behaviour"]["hidden-fields"]


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("https://org.run.ai", None, "https://org.run.ai"),
        ("https://org.run.ai", 0, "https://org.run.ai"),
        ("https://org.run.ai/", 443, "https://org.run.ai:443"),
        ("https://org.run.ai:8443", 443, "https://org.run.ai:8443"),
        ("https://org.run.ai/api", 443, "https://org.run.ai:443/api"),
        ("https://org.run.ai:8443/api", 443, "https://org.run.ai:8443/api"),
        ("http://[::1]", 8080, "http://[::1]:8080"),
    ],
)
def test_port_completes_the_address_that_has_none(host: str, port: int | None, url: str) -> None:
    connection = Connection(
        conn_id="c", conn_type="runai", host=host, port=port, login="id", password="secret"
    )
    assert settings_of(connection).url == url


COUNT = """
import importlib, json, sys
for entry in importlib.metadata.entry_points(group="apache_airflow_provider"):
    if entry.name == "provider_info" and entry.value.startswith("airflow_runai"):
        assert entry.load()()
from airflow.providers_manager import ProvidersManager
manager = ProvidersManager()
assert "runai" in manager.hooks, list(manager.hooks)
manager.extra_links_class_names
for path in {paths}:
    spec = importlib.util.spec_from_file_location("example", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(json.dumps(sorted(sys.modules)))
"""
HEAVY = (
    *("aiohttp", "kubernetes", "kubernetes_asyncio", "numpy", "runai", "safetensors", "sklearn"),
    *("starlette", "torch", "uvicorn"),
)
THEIRS = (
    *("airflow_runai.emulator", "airflow_runai.checkpoints", "airflow_runai.training"),
    *("airflow_runai.backends.kubernetes", "airflow_runai.core.kubernetes"),
    *("airflow_runai.core.manifests", "airflow_runai.hooks.kubernetes", "airflow.providers.cncf"),
)


@pytest.mark.slow
def test_parsing_and_discovery_import_nothing_heavy(tmp_path: Path) -> None:
    plain = tmp_path / "plain.py"
    plain.write_text(
        "from airflow.sdk import DAG, Asset, BaseOperator, BaseSensorOperator, Param, task\n"
    )
    before, after = _modules([plain]), _modules(sorted((ROOT / "dags").glob("*.py")))
    brought = sorted(after - before)
    assert "airflow_runai.operators.training" in brought
    heavy = [name for name in brought if name.split(".")[0] in HEAVY or name.startswith(THEIRS)]
    assert heavy == []


def _modules(paths: list[Path]) -> set[str]:
    code = "import importlib.metadata, importlib.util\n" + COUNT.replace(
        "{paths}", repr([str(p) for p in paths])
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return set(json.loads(done.stdout.splitlines()[-1]))


def said() -> str:
    """What 'test connection' says; it must never hold a secret."""
    good, words = RunaiHook().test_connection()
    assert SECRET not in words
    assert "Traceback" not in words
    return f"{good}: {words}"


def test_good_connection_says_what_it_sees(emulator: Emulator) -> None:
    assert said().startswith(f"True: Logged in to {emulator.url}; clusters: embedded")
    assert "project team-a found (project_id 4501, cluster_id " in said()


@pytest.mark.slow
def test_wrong_settings_are_told_with_what_to_do(
    emulator: Emulator, connect: Callable[..., None]
) -> None:
    connect(emulator.url, secret="another-secret")
    words = said()
    assert words.startswith("False: the control plane refuses client id and client secret")
    assert "check the connection" in words
    assert "another-secret" not in words
    connect("org.run.ai")
    assert said().startswith("False: control plane URL (host): 'org.run.ai' has no scheme")
    connect("https://[org.run.ai")
    assert said().startswith("False: control plane URL (host): 'https://[org.run.ai' is not")
    connect(emulator.url, project="team-x")
    assert "'team-x': no such project" in said()
    connect(emulator.url, project_id="77", cluster_id="c-1")
    assert "project_id, cluster_id: '77', 'c-1'; project 'team-a' has " in said()
    connect(emulator.url, project_id="77")
    assert "project_id: given without the rest" in said()
    connect(emulator.url, timeout="soon")
    assert "timeout: 'soon'" in said()
    connect(emulator.url.replace("http:", "https:"), ca_file="/nowhere.pem")
    assert "'/nowhere.pem'" in said()
    connect("http://127.0.0.1:9")
    assert "check the control plane URL, and that this machine may reach it" in said()


def test_two_projects_of_one_name_ask_for_the_cluster(
    shared: Path, connect: Callable[..., None]
) -> None:
    projects = ("team-a@one:2", "team-a@two:2")
    with serve(fast(shared, clusters=("one", "two"), projects=projects)) as emulator:
        connect(emulator.url)
        assert "2 projects have this name" in said()
        assert "name the cluster" in said()
        connect(emulator.url, cluster="two")
        assert said().startswith("True")


class Gateway(http.server.BaseHTTPRequestHandler):
    """Answers everything with a page."""

    def do_POST(self) -> None:
        body = b"<html><body>Please log in</body></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Be quiet."""


@pytest.fixture
def gateway() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()


def test_html_instead_of_json_is_called_that(
    gateway: http.server.ThreadingHTTPServer, connect: Callable[..., None]
) -> None:
    connect(f"http://127.0.0.1:{gateway.server_port}")
    assert "answered text/html where JSON is expected" in said()
    assert "is this the control plane's URL" in said()


def test_self_signed_certificate_is_refused_until_its_file_is_named(
    gateway: http.server.ThreadingHTTPServer, connect: Callable[..., None], tmp_path: Path
) -> None:
    certificate = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    gateway.socket = context.wrap_socket(gateway.socket, server_side=True)
    address = f"https://127.0.0.1:{gateway.server_port}"
    connect(address)
    assert "certificate is not trusted" in said()
    assert "name its CA file in the connection" in said()
    connect(address, ca_file=str(certificate))
    assert "answered text/html" in said(), "the certificate is no longer the trouble"
    connect(address, verify_ssl=False)
    assert "answered text/html" in said()


def self_signed(folder: Path) -> Path:
    """Make a throw-away certificate with its key in one file."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "embedded")])
    now = dt.datetime.now(dt.timezone.utc)
    addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=1))
    signed = made.add_extension(addresses, critical=False).sign(key, hashes.SHA256())
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    target = folder / "server.pem"
    pem = serialization.Encoding.PEM
    target.write_bytes(key.private_bytes(pem, *plain) + signed.public_bytes(pem))
    os.chmod(target, 0o600)
    return target
