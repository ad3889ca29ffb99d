"""
The keys of a ConfigMap of the command line: which flags they stand for, and of which year they are.

In 2020 they were camelCase with plain values; later kebab-case with ``{value, required}``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from airflow_runai.core.command_line.flags import Flag
from airflow_runai.core.command_line.table_v1 import V1
from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.values import nearest

#: A template cannot name another template; short forms of flags are not keys.
_FLAGS: dict[str, Flag] = {
    name: flag for flag in V1 for name in flag.names if len(name) > 1 and name != "template"
}
#: Keys that are not the name of a flag, even with camelCase undone.
_RENAMED = {
    "environments": "environment",
    "environment-default": "environment",
    "volume-default": "volume",
    "ports": "port",
    "ports-default": "port",
    "pvcs": "pvc",
    "persistent-volumes": "pvc",
    "backofflimit": "backoff-limit",
    "shm": "large-shm",
    "gpu-int": "gpu",
    "gpu-fraction": "gpu",
    "create-user-dir": "create-home-dir",
    "ttl-seconds-after-finished": "ttl-after-finish",
    "extra-args": "args",
}
#: Lists of 2020 that the command line's own replaced; those with ``Default`` in the name were
#: joined. Value: the keys of a specification.
REPLACEABLE = {
    "environment": "environment",
    "volume": "storage.host_path | storage.nfs",
    "ports": "raw.ports",
    "persistentVolumes": "storage.pvc",
}
_NEW_KEYS = {"environments", "volumes", "pvcs"}


def is_old(values: JsonMapping) -> bool:
    """Return whether the keys are those of 2020."""
    later = any(isinstance(value, Mapping) for value in values.values())
    return not later and not any(key in _NEW_KEYS or "-" in key for key in values)


def flag_of(key: str) -> Flag:
    """Return the flag of a key of either shape; ``ValueError`` with the nearest one."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", key).replace("_", "-").lower()
    name = _RENAMED.get(name, name)
    if name not in _FLAGS:
        raise ValueError(f"unknown key; {nearest(name, [*_FLAGS, *_RENAMED])}")
    return _FLAGS[name]
