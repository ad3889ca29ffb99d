"""What a process knows of the cluster."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from airflow.sdk.definitions.connection import Connection

NAMESPACE = "team-a"
#: Nobody presents anything that it signed: with one of its own, a client need not read the system's.
_AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBTzCB9aADAgECAhQlxw+uwAzVBmSYfGNNcj7h2yZlBTAKBggqhkjOPQQDAjAc
MRowGAYDVQQDDBFzaW11bGF0ZWQgY2x1c3RlcjAgFw0yNjExMjUyMjU4MzRaGA8y
MDk2MTEwOTIyNTgzNFowHDEaMBgGA1UEAwwRc2ltdWxhdGVkIGNsdXN0ZXIwWTAT
BgcqhkjOPQIBBggqhkjOPQMBBwNCAAQQwrGsXGtUCf14LyJU9rqEvOyQoxhLJQ27
QR7LocBk5dXhtkDl9SBV0l+wuqhDRQjG7xh10g9uiHFjD1JiLJzzoxMwETAPBgNV
HRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQDhZsMDvZtorKoUfavaqSG3
e/g6/1+ALGW77Dxm91RcnAIhAIeLV7aGii2YPCf7eLorHfflSQl9Udnqj1N08jLn
+FSL
-----END CERTIFICATE-----
"""


def connection(login: str) -> dict[str, Connection]:
    """What a process knows of the cluster; processes with one login share a session."""
    authority = b64encode(_AUTHORITY.encode()).decode()
    server = {"server": "https://cluster.example:6443", "certificate-authority-data": authority}
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "simulated",
        "contexts": [{"name": "simulated", "context": {"cluster": "simulated", "user": "ours"}}],
        "clusters": [{"name": "simulated", "cluster": server}],
        "users": [{"name": "ours", "user": {"token": f"token-of-{login}"}}],
    }
    extra = {"kube_config": config, "namespace": NAMESPACE, "project": NAMESPACE}
    about: Any = {"conn_type": "kubernetes", "extra": json.dumps(extra)}
    return {"runai_default": Connection(conn_id="runai_default", **about)}
