"""Flags of CLI v2 that need more than a table can say: variables from several sources, ports, external addresses."""

from __future__ import annotations

import re
from typing import Any

from airflow_runai.core.command_line.draft import Draft
from airflow_runai.core.command_line.flags import Disposition, FlagTarget
from airflow_runai.core.command_line.rows_shared import port
from airflow_runai.core.command_line.values import Form, pair, show_pair

ASSET = "an asset of Run:ai cannot be named over the API; write out what it holds"
_PORT = Form(
    {"service-type": "serviceType", "container": "container", "external": "external"},
    ("container",),
)
_URL = Form(
    {"container": "container", "url": "url", "authusers": "users", "authgroups": "groups"},
    ("container",),
)
_CREDENTIAL = Form(
    {"type": "type", "name": "name", "credential-name": "credential", "key": "key"},
    ("type", "name", "credential-name"),
)


def variables(path: str) -> FlagTarget:
    """Set a variable from ``KEY=VALUE``."""

    def apply(draft: Draft, value: str) -> None:
        if "=" not in value:
            raise ValueError(f"has no '=' (the value is not shown); allowed: KEY=VALUE. {ASSET}")
        name, text = pair(value)
        if text.startswith("SECRET:"):
            draft.warn(
                f"{name}=SECRET:… is a form of CLI v1 and a plain text here; write --env-secret"
            )
        draft.name(path, name, text)

    return FlagTarget(
        Disposition.LANDS,
        path,
        apply,
        lambda item: show_pair(item) if isinstance(item[1], str) else None,
        dict.items,
    )


def _source(kind: str, read: Any, show: Any) -> FlagTarget:
    """Set a variable from one source; ``read`` gives name and source, ``show`` is its inverse."""

    def written(item: tuple[str, Any]) -> str | None:
        return (
            str(show(item[0], item[1][kind]))
            if isinstance(item[1], dict) and kind in item[1]
            else None
        )

    def apply(draft: Draft, value: str) -> None:
        name, source = read(value, draft)
        draft.name("environment", name, {kind: source})

    return FlagTarget(Disposition.LANDS, "environment", apply, written, dict.items)


def _read_secret(value: str, draft: Draft) -> tuple[str, dict[str, str]]:
    found = re.fullmatch(r"([^=,]+)=([^,]+),key=([^,]+)", value)
    if not found:
        raise ValueError(
            "found another form (not shown, it may be a secret); allowed: VARIABLE=SECRET-NAME,key=KEY"
        )
    return found[1], {"name": found[2], "key": found[3]}


def _show_secret(name: str, source: dict[str, str]) -> str:
    if "," in source["name"] + source["key"]:
        raise ValueError(f"{name}: a comma cannot stand in the flag")
    return f"{name}={source['name']},key={source['key']}"


def _read_credential(value: str, draft: Draft) -> tuple[str, dict[str, str]]:
    found = _CREDENTIAL.read(value, draft.warn)
    if found["type"] != "genericSecret" or "key" not in found:
        raise ValueError(
            f"type={found['type']!r}, or no key; allowed here: type=genericSecret with a key"
        )
    draft.warn("a credential of a person; Airflow's application must have one of this name")
    return found["name"], {"name": found["credential"], "key": found["key"]}


def _show_credential(name: str, source: dict[str, str]) -> str:
    found = {
        "type": "genericSecret",
        "name": name,
        "credential": source["name"],
        "key": source["key"],
    }
    return _CREDENTIAL.show(found)


def _port(draft: Draft, value: str) -> None:
    found = _PORT.read(value, draft.warn)
    kind = {"serviceType": found["serviceType"]} if "serviceType" in found else {}
    draft.add("raw.ports", {**kind, **port(found["container"], found.get("external"))})


def _url(draft: Draft, value: str) -> None:
    found = _URL.read(value, draft.warn)
    entry: dict[str, Any] = {
        **port(found["container"]),
        **({"url": found["url"]} if "url" in found else {}),
    }
    for key, kind in (("users", "authorizedUsers"), ("groups", "authorizedGroups")):
        if key in found:
            entry |= {"authorizationType": kind, kind: [found[key]]}
    draft.add("raw.exposedUrls", entry)


def _show_url(entry: dict[str, Any]) -> str:
    own = {key: value for key, value in entry.items() if key in ("container", "url")}
    kind = entry.get("authorizationType")
    if kind in ("authorizedUsers", "authorizedGroups") and len(entry.get(kind, ())) == 1:
        own |= {"users" if kind == "authorizedUsers" else "groups": entry[kind][0]}
        entry = {
            key: value for key, value in entry.items() if key not in ("authorizationType", kind)
        }
    return _URL.show(own | {key: value for key, value in entry.items() if key not in own})


def group_ids(value: str) -> str:
    """Accept numbers with commas between."""
    if not re.fullmatch(r"\d+(,\d+)*", value):
        raise ValueError(f"{value!r}; allowed: numbers with commas between, such as 10,20")
    return value


FROM_SECRET = _source("secret", _read_secret, _show_secret)
FROM_CREDENTIAL = _source("credential", _read_credential, _show_credential)
FROM_POD_FIELD = _source(
    "pod_field", lambda value, draft: pair(value), lambda name, field: f"{name}={field}"
)
PORT = FlagTarget(Disposition.LANDS, "raw.ports", _port, _PORT.show, iter)
URL = FlagTarget(Disposition.LANDS, "raw.exposedUrls", _url, _show_url, iter)
