from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.backends.kubeconfig import problems

GOOD: dict[str, Any] = {
    "current-context": "prod",
    "contexts": [
        {"name": "prod", "context": {"cluster": "c", "user": "u"}},
        {"name": "lost", "context": {"cluster": "x", "user": "y"}},
        {"name": "terminal", "context": {"cluster": "c", "user": "asks"}},
    ],
    "clusters": [{"name": "c", "cluster": {"server": "https://api:6443"}}],
    "users": [
        {"name": "u", "user": {"token": "hidden"}},
        {"name": "asks", "user": {"exec": {"command": "login", "interactiveMode": "Always"}}},
    ],
}


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name != key}


@pytest.mark.parametrize(
    ("config", "context", "words"),
    [
        (GOOD, None, []),
        (GOOD | {"current-context": None}, "prod", []),
        (
            without("current-context"),
            None,
            [
                "names no current context; set `cluster_context` in the connection, or "
                "current-context in the file, to one of: prod, lost, terminal"
            ],
        ),
        (
            GOOD,
            "dev",
            ["cluster_context: 'dev' is no context of it; allowed: prod, lost, terminal"],
        ),
        (
            GOOD | {"current-context": "dev"},
            None,
            ["current-context: 'dev' is no context of it; allowed: prod, lost, terminal"],
        ),
        (
            GOOD,
            "lost",
            [
                "cluster of the context: 'x' is not in it; allowed: c",
                "user of the context: 'y' is not in it; allowed: u, asks",
            ],
        ),
        (
            GOOD,
            "terminal",
            [
                "exec plug-in 'login' of user 'asks' asks for a terminal (interactiveMode: "
                "Always), and workers have none; use one that works without, such as a service "
                "account's token"
            ],
        ),
        (
            GOOD | {"clusters": [{"name": "c", "cluster": {"server": "api:6443"}}]},
            None,
            ["server: 'api:6443' of cluster 'c'; allowed: an address with https://"],
        ),
        (
            {"current-context": "prod", "contexts": "odd"},
            None,
            ["current-context: 'prod' is no context of it; allowed: none"],
        ),
        ([], None, ["a list; allowed: a kubeconfig in YAML or JSON"]),
        (None, None, ["a NoneType; allowed: a kubeconfig in YAML or JSON"]),
    ],
)
def test_mistakes_are_told_with_what_is_allowed(
    config: Any, context: str | None, words: list[str]
) -> None:
    assert list(problems(config, context)) == words
    assert "hidden" not in " ".join(words)
