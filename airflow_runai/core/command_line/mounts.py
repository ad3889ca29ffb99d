"""
Data sources on a command line: the comma-separated forms of both generations, and the colon-separated ones of CLI v1.

Access modes and read-only flags are written out even where the command line has a default, because
the server's own default is another one, or is described in two ways.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_runai.core.command_line.draft import Draft
from airflow_runai.core.command_line.values import Form

#: What CLI v1 takes for a size in the second of three parts of ``--pvc`` (its own expression).
_SIZE = re.compile(r"[+-]?[0-9.]+[eEinumkKMGTP]*[-+]?[0-9]*")
_MODES = {"": False, "rw": False, "ro": True}
_LITERAL = "a credential in a command line ends in DAG files and logs; store it in Run:ai, then set {} to its name"

_CLAIM = {"claimname": "claim", "path": "path"}
EXISTING_CLAIM = Form(_CLAIM, needed=("claimname", "path"), defaults={"existing": True})
NEW_CLAIM = Form(
    {"claimname": "claim", "storageclass": "storage_class", "size": "size", "path": "path"},
    needed=("size", "path"),
    words={
        "accessmode-rwo": ("access_mode", "ReadWriteOnce"),
        "accessmode-rom": ("access_mode", "ReadOnlyMany"),
        "accessmode-rwm": ("access_mode", "ReadWriteMany"),
        "ro": ("read_only", True),
        "ephemeral": ("ephemeral", True),
    },
    defaults={"existing": False, "access_mode": "ReadWriteOnce"},
)
HOST_PATH = Form(
    {"path": "path", "mount": "mount_path", "mount-propagation": "mount_propagation"},
    needed=("path", "mount"),
    words={"readwrite": ("read_only", False)},
    defaults={"read_only": True},
)
NFS = Form(
    {"path": "path", "server": "server", "mountpath": "mount_path"},
    needed=("path", "server", "mountpath"),
    words={"readwrite": ("read_only", False)},
    defaults={"read_only": True},
)
_ENTRY_NAME = {"name": "only labels the entry in Run:ai; left out"}
GIT = Form(
    {"repository": "repository", "path": "path", "secret": "secret", "rev": "revision"},
    needed=("repository", "path"),
    idle=_ENTRY_NAME,
)
#: A template may have the rest of it.
GIT_V1 = Form(
    {"source": "repository", "branch": "branch", "rev": "revision", "target": "path"},
    idle={"image": "Run:ai brings its own image for cloning; left out"},
    refused=dict.fromkeys(("username", "password"), _LITERAL.format("storage.git[].secret")),
)
S3 = Form(
    {"bucket": "bucket", "path": "path", "accesskey": "secret", "url": "url"},
    needed=("bucket", "path"),
    idle=_ENTRY_NAME,
)
S3_V1 = Form(
    {"bucket": "bucket", "target": "path", "url": "url"},
    needed=("bucket", "target"),
    refused=dict.fromkeys(("key", "secret"), _LITERAL.format("storage.s3[].secret")),
)
CONFIG_MAP = Form(
    {"name": "name", "path": "mount_path", "subpath": "sub_path"},
    needed=("name", "path"),
    refused={
        "default-mode": "the specification has no place for it; set raw.storage.configMapVolume"
    },
)
SECRET = Form({"path": "mount_path", "name": "name"}, needed=("path", "name"))
EMPTY_DIR = Form(
    {"path": "path", "medium": "medium", "size-limit": "size_limit"},
    needed=("path",),
    idle=_ENTRY_NAME,
)
TOLERATION = Form(
    {key: key for key in ("operator", "key", "value", "effect", "seconds")}, needed=("key",)
)


def as_existing_claim(entry: dict[str, Any]) -> dict[str, Any] | None:
    """Return the entry if ``--existing-pvc`` is for it."""
    return None if _is_new(entry) else {"existing": True, **_without_false(entry)}


def as_new_claim(entry: dict[str, Any]) -> dict[str, Any] | None:
    """Return the entry if ``--new-pvc`` is for it; without an access mode our wire form says ReadWriteMany."""
    own = {
        "access_mode": "ReadWriteMany",
        **_without_false(entry),
        "existing": bool(entry.get("existing")),
    }
    return own if _is_new(entry) else None


def _is_new(entry: Mapping[str, Any]) -> bool:
    return entry.get("existing") is False or bool(
        entry.keys() & {"size", "storage_class", "access_mode"}
    )


def _without_false(entry: Mapping[str, Any]) -> dict[str, Any]:
    # The API describes false as the default of these two, so saying it and leaving it out is the
    # same.
    return {k: v for k, v in entry.items() if not (k in ("read_only", "ephemeral") and v is False)}


def git_sync(draft: Draft, value: str) -> None:
    """``--git-sync source=…,branch=…,rev=…,target=…``, of which a template may have said a part."""
    draft.git.update(GIT_V1.read(value, draft.warn))


def volume(draft: Draft, value: str) -> None:
    """``-v SOURCE:TARGET[:ro|rw][:NFS-SERVER]``; the mode may be empty before a server."""
    parts = value.split(":")
    if not 2 <= len(parts) <= 4 or not all(parts[:2]):
        raise ValueError(
            f"{value!r}; allowed: SOURCE:TARGET, SOURCE:TARGET:ro|rw, SOURCE:TARGET:[ro|rw]:NFS-SERVER"
        )
    source, target, mode, server = [*parts, "", ""][:4]
    if source.startswith(("$", "~", ".")):
        raise ValueError(
            f"{source!r} is no place of the node: your shell would have filled it in, and none does here; write the "
            "whole path, or a Jinja template"
        )
    entry = {"path": source, "mount_path": target, "read_only": _read_only(mode, value)}
    server = server or draft.told.get("nfs-server", "")
    if server:
        draft.add("storage.nfs", {**entry, "server": server})
    else:
        draft.add("storage.host_path", entry)


def claim(draft: Draft, value: str) -> None:
    """``--pvc CLAIM:TARGET[:ro|rw]`` or ``--pvc [CLASS]:SIZE:TARGET[:ro|rw]``, told apart as CLI v1 does."""
    parts = value.split(":")
    new = len(parts) == 4 or (len(parts) == 3 and (not parts[0] or bool(_SIZE.fullmatch(parts[1]))))
    if not 2 <= len(parts) <= 4:
        raise ValueError(f"{value!r}; allowed: CLAIM:TARGET[:ro|rw] or [CLASS]:SIZE:TARGET[:ro|rw]")
    if not new:
        name, target, mode = [*parts, ""][:3]
        draft.add(
            "storage.pvc", {"claim": name, "path": target, "existing": True} | _mode(mode, value)
        )
        return
    storage_class, size, target, mode = [*parts, ""][:4]
    entry = {
        "size": size,
        "path": target,
        "existing": False,
        "access_mode": "ReadWriteOnce",
    } | _mode(mode, value)
    draft.add("storage.pvc", {**entry, "storage_class": storage_class} if storage_class else entry)


def _mode(mode: str, value: str) -> dict[str, bool]:
    return {"read_only": True} if _read_only(mode, value) else {}


def _read_only(mode: str, value: str) -> bool:
    if mode not in _MODES:
        raise ValueError(
            f"{value!r} has the mode {mode!r}; allowed: ro, rw (an NFS server stands fourth: /a:/b::host)"
        )
    return _MODES[mode]
