"""The stock `kubernetes` connection, read by the stock hook, and what comes of it."""

from __future__ import annotations

import ast
import asyncio
import json
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from airflow_runai.errors import ConnectionSettingsError
from airflow_runai.hooks import kubernetes
from tests.backends.kubernetes.certificates import Issued, issue
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return issue(tmp_path_factory.mktemp("authority"), "authority", ("localhost",))


def kubeconfig(user: dict[str, Any], **cluster: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "prod",
        "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://localhost:6443", **cluster}}],
        "users": [{"name": "u", "user": user}],
    }


def plugin(folder: Path, script: str) -> dict[str, Any]:
    file = folder / "plugin"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(file),
            "interactiveMode": "Never",
        }
    }


def refusal(extras: dict[str, Any], timeout: float = 60.0) -> str:
    with pytest.raises(ConnectionSettingsError) as caught:
        kubernetes.access("gpu", extras, timeout)
    words = str(caught.value)
    assert words.startswith("connection 'gpu': ")
    assert "hidden" not in words
    return words.removeprefix("connection 'gpu': ")


def test_a_kubeconfig_as_text_with_everything(authority: Issued) -> None:
    config = kubeconfig(
        {"token": "hidden"},
        **{
            "certificate-authority": str(authority.certificate),
            "tls-server-name": "api.cluster",
            "proxy-url": "http://proxy:3128",
        },
    )
    for text in (json.dumps(config), yaml.safe_dump(config), config):
        found = kubernetes.access("gpu", {"kube_config": text})
        assert found.host == "https://localhost:6443"
        assert found.authorization == "Bearer hidden"
        assert found.ca == authority.certificate.read_text()
        assert (found.server_name, found.proxy) == ("api.cluster", "http://proxy:3128")
        assert found.verify


def test_fields_may_have_their_old_names(authority: Issued) -> None:
    config = kubeconfig({"token": "t"}) | {"current-context": ""}
    extras = {"kube_config": config, "cluster_context": "prod", "disable_verify_ssl": True}
    old = {f"extra__kubernetes__{name}": value for name, value in extras.items()}
    assert kubernetes.access("gpu", extras) == kubernetes.access("gpu", old)
    assert not kubernetes.access("gpu", extras).verify


def test_a_path_with_a_token_file_that_is_rotated(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(kubeconfig({"tokenFile": str(token)})))
    obtain = kubernetes.obtaining("gpu", {"kube_config_path": str(file)})
    assert obtain().authorization == "Bearer first"
    token.write_text("second\n")
    assert obtain().authorization == "Bearer second"


def test_the_environments_kubeconfig_is_the_last_resort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert refusal({}).startswith(f"KUBECONFIG: '{tmp_path}/none' is no file on this machine")


def test_a_plug_in_gives_a_token_or_a_certificate(tmp_path: Path, authority: Issued) -> None:
    answer = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "from-plug-in"},
    }
    given = plugin(tmp_path, f"echo '{json.dumps(answer)}'")
    found = kubernetes.access("gpu", {"kube_config": kubeconfig(given)})
    assert found.authorization == "Bearer from-plug-in"
    pem = {
        "clientCertificateData": authority.certificate.read_text(),
        "clientKeyData": authority.key.read_text(),
    }
    (tmp_path / "answer").write_text(json.dumps(answer | {"status": pem}))
    given = plugin(tmp_path, f"cat {tmp_path}/answer")
    found = kubernetes.access("gpu", {"kube_config": kubeconfig(given)})
    assert found.authorization == ""
    assert found.certificate
    assert Path(found.certificate[0]).read_text() == pem["clientCertificateData"]


def test_a_plug_in_that_fails_is_told_with_its_words(tmp_path: Path) -> None:
    given = plugin(tmp_path, "echo 'session expired, password=hidden' >&2; exit 3")
    assert refusal({"kube_config": kubeconfig(given)}) == (
        "exec plug-in of the kubeconfig: process returned 3. session expired, password=***; run it "
        "by hand as Airflow's user, on a worker and a triggerer, without a terminal"
    )
    given = plugin(tmp_path, "read answer || { echo 'who are you?' >&2; exit 1; }")
    assert "process returned 1. who are you?" in refusal({"kube_config": kubeconfig(given)})
    given = plugin(tmp_path, "echo no json")
    assert "failed to decode process output" in refusal({"kube_config": kubeconfig(given)})


def test_a_plug_in_that_is_missing_is_named(tmp_path: Path) -> None:
    given = plugin(tmp_path, "")
    given["exec"]["command"] = "/no/such/plug-in"
    words = refusal({"kube_config": kubeconfig(given)})
    assert words.startswith("kubeconfig: cannot use '/no/such/plug-in' (No such file or directory)")


def test_a_plug_in_that_waits_for_an_answer_is_given_up_and_ends(tmp_path: Path) -> None:
    given = plugin(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 1000")
    extras = {"kube_config": kubeconfig(given)}
    assert "has not answered within 2 s; it must work without a terminal" in refusal(extras, 2.0)
    pid = tmp_path / "pid"
    wait_until(lambda: not pid.exists() or not psutil.pid_exists(int(pid.read_text())))


def test_a_plug_in_that_wants_a_terminal_is_not_even_run(tmp_path: Path) -> None:
    given = plugin(tmp_path, f"touch {tmp_path}/ran")
    given["exec"]["interactiveMode"] = "Always"
    assert "asks for a terminal" in refusal({"kube_config": kubeconfig(given)})
    assert not (tmp_path / "ran").exists()


def test_client_certificates_are_read_and_their_end_is_noticed(tmp_path: Path) -> None:
    def extras(issued: Issued) -> dict[str, Any]:
        pair = {"client-certificate": str(issued.certificate), "client-key": str(issued.key)}
        return {"kube_config": kubeconfig(pair)}

    good = issue(tmp_path, "good")
    first = kubernetes.access("gpu", extras(good))
    assert first.certificate == good.pair
    assert kubernetes.access("gpu", extras(good)) == first
    assert kubernetes.access("gpu", extras(issue(tmp_path, "good"))).needs_new_connections(first)
    words = refusal(extras(issue(tmp_path, "old", days=-1)))
    assert words.startswith("client certificate of the kubeconfig: has expired on 20")


@pytest.mark.parametrize(
    ("extras", "words"),
    [
        ({"in_cluster": True, "kube_config": "x"}, "in_cluster, kube_config: allowed: one of them"),
        ({"in_cluster": True}, "in_cluster: Service host/port is not set; it works only in a pod"),
        ({"in_cluster": "perhaps"}, "in_cluster: 'perhaps'"),
        ({"kube_config": "a: [b"}, "kube_config: is not YAML in line 1"),
        ({"kube_config": "just text"}, "kube_config: a str; allowed: a kubeconfig"),
        ({"kube_config_path": "/no/such"}, "kube_config_path: '/no/such' is no file"),
        ({"kube_config": {**kubeconfig({}), "current-context": ""}}, "names no current context"),
        ({"kube_config": kubeconfig({"token": "hid\x00den"})}, "no header can carry"),
        ({"kube_config": kubeconfig({"tokenFile": "/no/such/token"})}, "'/no/such/token'"),
        (
            {"kube_config": kubeconfig({}, **{"certificate-authority": "/no/such/ca"})},
            "kubeconfig: File does not exists: /no/such/ca",
        ),
    ],
)
def test_what_is_wrong_with_a_connection_is_told(
    extras: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert words in refusal(extras)


def test_on_an_event_loop_others_go_on_meanwhile(tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    answer = '{"apiVersion":"client.authentication.k8s.io/v1","kind":"E","status":{"token":"t"}}'
    script = f"while [ ! -e {go_on} ]; do sleep 0.05; done; echo '{answer}'"
    extras = {"kube_config": kubeconfig(plugin(tmp_path, script))}

    async def main() -> str:
        asked = asyncio.create_task(kubernetes.access_on_loop("gpu", extras))
        await asyncio.sleep(0)
        go_on.touch()  # only reached if the loop is free
        return (await asked).authorization

    assert asyncio.run(main()) == "Bearer t"


def test_only_one_module_knows_the_stock_provider_and_only_inside_functions() -> None:
    found = {}
    for file in (ROOT / "airflow_runai").rglob("*.py"):
        text = file.read_text()
        tree = ast.parse(text if "kubernetes" in text else "")
        names = [name for node in ast.walk(tree) for name in imported(node) if is_theirs(name)]
        at_top = [name for node in tree.body for name in imported(node) if is_theirs(name)]
        if names:
            found[file.relative_to(ROOT).as_posix()] = (set(names), at_top)
    stock = {"airflow.providers.cncf.kubernetes.hooks.kubernetes"}
    assert found == {"airflow_runai/hooks/kubernetes.py": (stock, [])}


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [node.module or ""]
    return [name.name for name in node.names] if isinstance(node, ast.Import) else []


def is_theirs(name: str) -> bool:
    theirs = ("kubernetes", "kubernetes_asyncio", "airflow.providers.cncf")
    return any(name == one or name.startswith(f"{one}.") for one in theirs)
