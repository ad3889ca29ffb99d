"""Ports and external addresses on a command line; the specification has them in ``raw`` only."""

from __future__ import annotations

from airflow_runai.core.command_line.draft import Draft
from airflow_runai.core.command_line.flags import Disposition, FlagTarget, Takes
from airflow_runai.core.command_line.form import Form
from airflow_runai.core.json_merge import JsonMapping, JsonObject

_PORT = Form(
    {"service-type": "serviceType", "container": "container", "external": "external"},
    required=("container",),
)
_URL = Form(
    {"container": "container", "url": "url", "authusers": "users", "authgroups": "groups"},
    required=("container",),
)
#: Part of ``--external-url`` → what the server calls those who may open it.
_AUTHORIZED = {"users": "authorizedUsers", "groups": "authorizedGroups"}


def port_v1(draft: Draft, value: str) -> None:
    """Read ``[EXTERNAL:]CONTAINER``."""
    external, _, container = value.rpartition(":")
    draft.add("raw.ports", _port(container, external or None))


def _port(container: str, external: str | None = None) -> JsonObject:
    """Return an exposed port as the server spells it."""
    entry = {"container": _port_number(container)}
    if external:
        entry["external"] = _port_number(external)
    return entry


def _port_number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ValueError(f"{text!r} is not a port; allowed: 1 to 65535")
    return int(text)


def _read_port(draft: Draft, value: str) -> None:
    parts = _PORT.read(value, draft.warn)
    service = {"serviceType": parts["serviceType"]} if "serviceType" in parts else {}
    draft.add("raw.ports", {**service, **_port(parts["container"], parts.get("external"))})


def _read_url(draft: Draft, value: str) -> None:
    parts = _URL.read(value, draft.warn)
    entry = _port(parts["container"])
    if "url" in parts:
        entry["url"] = parts["url"]
    for part, kind in _AUTHORIZED.items():
        if part in parts:
            # The API knows one type for each address.
            entry["authorizationType"] = kind
            entry[kind] = [parts[part]]
    draft.add("raw.exposedUrls", entry)


def _show_url(entry: JsonMapping) -> str:
    parts = dict(entry)
    for part, kind in _AUTHORIZED.items():
        if parts.get("authorizationType") == kind and len(parts.get(kind, ())) == 1:
            del parts["authorizationType"]
            parts[part] = parts.pop(kind)[0]
    return _URL.show(parts)


PORT = FlagTarget(Disposition.SPEC, "raw.ports", _read_port, Takes.MANY, _PORT.show, iter)
URL = FlagTarget(Disposition.SPEC, "raw.exposedUrls", _read_url, Takes.MANY, _show_url, iter)
