"""
Data sources on a command line.

Both generations have comma-separated forms; CLI v1 has colon-separated ones, too. Access modes and
read-only flags are written out even where the command line has a default, because the server's own
default differs, or is documented in two ways.
"""

from __future__ import annotations

import re

from airflow_runai.core.command_line.draft import Draft
from airflow_runai.core.command_line.form import Form
from airflow_runai.core.json_merge import JsonMapping, JsonObject

#: A size in the second of three parts of ``--pvc``, by CLI v1's own expression.
_SIZE = re.compile(r"[+-]?[0-9.]+[eEinumkKMGTP]*[-+]?[0-9]*")
_MODES = {"": False, "rw": False, "ro": True}
_LITERAL = (
    "a credential in a command line ends in DAG files and logs; "
    "store it in Run:ai, then set {} to its name"
)

_CLAIM = {"claimname": "claim", "path": "path"}
EXISTING_CLAIM = Form(_CLAIM, required=("claimname", "path"), defaults={"existing": True})
NEW_CLAIM = Form(
    {"claimname": "claim", "storageclass": "storage_class", "size": "size", "path": "path"},
    required=("size", "path"),
    switches={
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
    required=("path", "mount"),
    switches={"readwrite": ("read_only", False)},
    defaults={"read_only": True},
)
NFS = Form(
    {"path": "path", "server": "server", "mountpath": "mount_path"},
    required=("path", "server", "mountpath"),
    switches={"readwrite": ("read_only", False)},
    defaults={"read_only": True},
)
_ENTRY_NAME = {"name": "only labels the entry in Run:ai; left out"}
GIT = Form(
    {"repository": "repository", "path": "path", "secret": "secret", "rev": "revision"},
    required=("repository", "path"),
    ignored=_ENTRY_NAME,
)
#: Nothing is required: a template may have the rest.
GIT_V1 = Form(
    {"source": "repository", "branch": "branch", "rev": "revision", "target": "path"},
    ignored={"image": "Run:ai brings its own image for cloning; left out"},
    refused=dict.fromkeys(("username", "password"), _LITERAL.format("storage.git[].secret")),
)
S3 = Form(
    {"bucket": "bucket", "path": "path", "accesskey": "secret", "url": "url"},
    required=("bucket", "path"),
    ignored=_ENTRY_NAME,
)
S3_V1 = Form(
    {"bucket": "bucket", "target": "path", "url": "url"},
    required=("bucket", "target"),
    refused=dict.fromkeys(("key", "secret"), _LITERAL.format("storage.s3[].secret")),
)
CONFIG_MAP = Form(
    {"name": "name", "path": "mount_path", "subpath": "sub_path"},
    required=("name", "path"),
    refused={
        "default-mode": "the specification has no place for it; set raw.storage.configMapVolume"
    },
)
SECRET = Form({"path": "mount_path", "name": "name"}, required=("path", "name"))
EMPTY_DIR = Form(
    {"path": "path", "medium": "medium", "size-limit": "size_limit"},
    required=("path",),
    ignored=_ENTRY_NAME,
)
TOLERATION = Form(
    {key: key for key in ("operator", "key", "value", "effect", "seconds")}, required=("key",)
)


def as_existing_claim(entry: JsonObject) -> JsonObject | None:
    """Return the entry if ``--existing-pvc`` is for it."""
    return None if _is_new(entry) else {"existing": True, **_without_false(entry)}


def as_new_claim(entry: JsonObject) -> JsonObject | None:
    """Return the entry if ``--new-pvc`` is for it."""
    if not _is_new(entry):
        return None
    existing = bool(entry.get("existing"))
    # Without an access mode the specification sends ReadWriteMany; the flag's default differs.
    return {"access_mode": "ReadWriteMany", **_without_false(entry), "existing": existing}


def _is_new(entry: JsonMapping) -> bool:
    keys_of_new = {"size", "storage_class", "access_mode"}
    return entry.get("existing") is False or not keys_of_new.isdisjoint(entry)


def _without_false(entry: JsonMapping) -> JsonObject:
    # The API documents false as the default of these two, so leaving it out means the same.
    optional = ("read_only", "ephemeral")
    return {key: value for key, value in entry.items() if value is not False or key not in optional}


def git_sync(draft: Draft, value: str) -> None:
    """Read ``--git-sync source=…,branch=…,rev=…,target=…``; a template may supply the rest."""
    draft.git.update(GIT_V1.read(value, draft.warn))


def volume(draft: Draft, value: str) -> None:
    """Read ``-v SOURCE:TARGET[:ro|rw][:NFS-SERVER]``; the mode may be empty before a server."""
    parts = value.split(":")
    if not 2 <= len(parts) <= 4 or not all(parts[:2]):
        raise ValueError(
            f"{value!r}; allowed: SOURCE:TARGET, SOURCE:TARGET:ro|rw, "
            "SOURCE:TARGET:[ro|rw]:NFS-SERVER"
        )
    source, target, mode, server = [*parts, "", ""][:4]
    _check_node_path(source)
    entry = {"path": source, "mount_path": target, "read_only": _read_only(mode, value)}
    # A server within the value wins over --nfs-server, which is for all volumes.
    server = server or draft.outside_spec.get("nfs-server", "")
    if server:
        draft.add("storage.nfs", {**entry, "server": server})
    else:
        draft.add("storage.host_path", entry)


def _check_node_path(path: str) -> None:
    if path.startswith(("$", "~", ".")):
        raise ValueError(
            f"{path!r} is not a path on the node: your shell would have filled it in, and none "
            "does here; write the whole path, or a Jinja template"
        )


def claim(draft: Draft, value: str) -> None:
    """Read ``--pvc CLAIM:TARGET[:ro|rw]`` or ``--pvc [CLASS]:SIZE:TARGET[:ro|rw]``."""
    parts = value.split(":")
    if not 2 <= len(parts) <= 4:
        raise ValueError(f"{value!r}; allowed: CLAIM:TARGET[:ro|rw] or [CLASS]:SIZE:TARGET[:ro|rw]")
    is_new = _names_size(parts)
    entry = _new_claim(*parts[:2]) if is_new else {"claim": parts[0], "existing": True}
    target, mode = [*parts, ""][2:4] if is_new else [*parts, ""][1:3]
    if _read_only(mode, value):
        entry["read_only"] = True
    draft.add("storage.pvc", {**entry, "path": target})


def _new_claim(storage_class: str, size: str) -> JsonObject:
    entry = {"size": size, "existing": False, "access_mode": "ReadWriteOnce"}
    return {**entry, "storage_class": storage_class} if storage_class else entry


def _names_size(parts: list[str]) -> bool:
    # CLI v1 itself decides so: of three parts, the second is a size if it looks like one.
    if len(parts) == 3:
        return not parts[0] or bool(_SIZE.fullmatch(parts[1]))
    return len(parts) == 4


def _read_only(mode: str, value: str) -> bool:
    if mode not in _MODES:
        raise ValueError(
            f"{value!r} has the mode {mode!r}; "
            "allowed: ro, rw (an NFS server stands fourth: /a:/b::host)"
        )
    return _MODES[mode]
