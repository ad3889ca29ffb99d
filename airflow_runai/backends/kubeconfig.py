"""
What is wrong with a kubeconfig, said before a library trips over it.

Only the way from the context to its cluster and its user is looked at; everything else is the
library's matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_runai.core.texts import cut


def problems(config: object, context: str | None = None) -> Iterator[str]:
    """
    Yield a sentence for each mistake.

    :param context: the one that the connection names; ``None`` for the file's current one.
    """
    if not isinstance(config, Mapping):
        yield f"a {type(config).__name__}; allowed: a kubeconfig in YAML or JSON"
        return
    wanted = context or config.get("current-context")
    names = _names(config, "contexts")
    if not wanted:
        yield (
            f"names no current context; set `cluster_context` in the connection, or "
            f"current-context in the file, to one of: {names}"
        )
        return
    chosen = _named(config, "contexts", wanted, "context")
    if chosen is None:
        place = "cluster_context" if context else "current-context"
        yield f"{place}: {cut(str(wanted), 80)!r} is no context of it; allowed: {names}"
        return
    yield from _cluster_problems(config, chosen)
    yield from _user_problems(config, chosen)


def _cluster_problems(config: Mapping[str, Any], context: Mapping[str, Any]) -> Iterator[str]:
    name = context.get("cluster")
    cluster = _named(config, "clusters", name, "cluster")
    if cluster is None:
        allowed = _names(config, "clusters")
        yield f"cluster of the context: {cut(str(name), 80)!r} is not in it; allowed: {allowed}"
        return
    server = str(cluster.get("server") or "")
    if not server.startswith(("https://", "http://")):
        yield (
            f"server: {cut(server, 120)!r} of cluster {cut(str(name), 80)!r}; allowed: an address "
            "with https://"
        )


def _user_problems(config: Mapping[str, Any], context: Mapping[str, Any]) -> Iterator[str]:
    name = context.get("user")
    user = _named(config, "users", name, "user")
    if user is None:
        allowed = _names(config, "users")
        yield f"user of the context: {cut(str(name), 80)!r} is not in it; allowed: {allowed}"
        return
    plugin = user.get("exec")
    if isinstance(plugin, Mapping) and plugin.get("interactiveMode") == "Always":
        yield (
            f"exec plug-in {cut(str(plugin.get('command')), 80)!r} of user {cut(str(name), 80)!r} "
            "asks for a terminal (interactiveMode: Always), and workers have none; use one that "
            "works without, such as a service account's token"
        )


def _named(config: Mapping[str, Any], place: str, name: object, key: str) -> Any:
    """Return the entry with a name in a list of a kubeconfig; ``None`` if there is none."""
    for entry in _entries(config, place):
        if entry.get("name") == name:
            found = entry.get(key)
            return found if isinstance(found, Mapping) else {}
    return None


def _names(config: Mapping[str, Any], place: str) -> str:
    return cut(", ".join(str(entry.get("name")) for entry in _entries(config, place))) or "none"


def _entries(config: Mapping[str, Any], place: str) -> list[Mapping[str, Any]]:
    listed = config.get(place)
    entries = listed if isinstance(listed, list) else []
    return [entry for entry in entries if isinstance(entry, Mapping)]
