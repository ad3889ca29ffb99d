"""Environment variables on a command line: plain values, and values from secrets or fields."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from airflow_runai.core.command_line.draft import Draft
from airflow_runai.core.command_line.flags import Disposition, FlagTarget, Takes
from airflow_runai.core.command_line.form import Form
from airflow_runai.core.command_line.values import pair, show_pair

ASSET = "an asset of Run:ai cannot be named over the API; write out what it holds"
_CREDENTIAL = Form(
    {"type": "type", "name": "name", "credential-name": "credential", "key": "key"},
    required=("type", "name", "credential-name"),
)


def environment_v1(draft: Draft, value: str) -> None:
    """Read ``NAME=VALUE`` or ``NAME=SECRET:SECRET-NAME,KEY``."""
    name, text = pair(value)
    secret = re.fullmatch(r"SECRET:([^,]+),([^,]+)", text)
    if secret:
        draft.name("environment", name, {"secret": {"name": secret[1], "key": secret[2]}})
    elif text.startswith("SECRET:"):
        raise ValueError(f"{name}=SECRET:… names no key; allowed: {name}=SECRET:NAME,KEY")
    else:
        draft.name("environment", name, text)


def variables(path: str) -> FlagTarget:
    """Set a variable from ``KEY=VALUE``, as CLI v2 does."""

    def apply(draft: Draft, value: str) -> None:
        if "=" not in value:
            raise ValueError(f"has no '=' (the value is not shown); allowed: KEY=VALUE. {ASSET}")
        name, text = pair(value)
        if text.startswith("SECRET:"):
            draft.warn(
                f"{name}=SECRET:… is a form of CLI v1 and a plain text here; write --env-secret"
            )
        draft.name(path, name, text)

    def show(item: tuple[str, Any]) -> str | None:
        name, value = item
        # Another flag writes a variable that comes from a source.
        return show_pair((name, value)) if isinstance(value, str) else None

    return FlagTarget(Disposition.SPEC, path, apply, Takes.MANY, show, dict.items)


def _from_source(
    kind: str,
    read: Callable[[str, Draft], tuple[str, Any]],
    write: Callable[[str, Any], str],
) -> FlagTarget:
    """Set a variable from one source; ``write`` is the inverse of ``read``."""

    def apply(draft: Draft, value: str) -> None:
        name, source = read(value, draft)
        draft.name("environment", name, {kind: source})

    def show(item: tuple[str, Any]) -> str | None:
        name, value = item
        return write(name, value[kind]) if isinstance(value, dict) and kind in value else None

    return FlagTarget(Disposition.SPEC, "environment", apply, Takes.MANY, show, dict.items)


def _read_secret(value: str, draft: Draft) -> tuple[str, dict[str, str]]:
    match = re.fullmatch(r"([^=,]+)=([^,]+),key=([^,]+)", value)
    if not match:
        raise ValueError(
            "found another form (not shown, it may be a secret); "
            "allowed: VARIABLE=SECRET-NAME,key=KEY"
        )
    return match[1], {"name": match[2], "key": match[3]}


def _write_secret(name: str, source: dict[str, str]) -> str:
    if "," in source["name"] + source["key"]:
        raise ValueError(f"{name}: a comma cannot stand in the flag")
    return f"{name}={source['name']},key={source['key']}"


def _read_credential(value: str, draft: Draft) -> tuple[str, dict[str, str]]:
    parts = _CREDENTIAL.read(value, draft.warn)
    if parts["type"] != "genericSecret" or "key" not in parts:
        raise ValueError(
            f"type={parts['type']!r}, or no key; allowed here: type=genericSecret with a key"
        )
    draft.warn("a credential of a person; Airflow's application must have one of this name")
    return parts["name"], {"name": parts["credential"], "key": parts["key"]}


def _write_credential(name: str, source: dict[str, str]) -> str:
    parts = {
        "type": "genericSecret",
        "name": name,
        "credential": source["name"],
        "key": source["key"],
    }
    return _CREDENTIAL.show(parts)


FROM_SECRET = _from_source("secret", _read_secret, _write_secret)
FROM_CREDENTIAL = _from_source("credential", _read_credential, _write_credential)
FROM_POD_FIELD = _from_source(
    "pod_field", lambda value, draft: pair(value), lambda name, field: f"{name}={field}"
)
