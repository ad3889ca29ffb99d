"""Why a path that is there in the container is not there on a worker, as far as it can be seen."""

from __future__ import annotations

from pathlib import Path

from airflow_runai.core.paths import PathMap, mapped_prefix
from airflow_runai.core.texts import cut
from airflow_runai.tasks.locations import location

#: Prefixes of a path map that are shown.
_MAX_PREFIXES = 5


def why_missing(path: str, path_map: PathMap | None, storage_conn_id: str | None = None) -> str:
    """
    Return lines about a path that does not exist: its names, the mapping, and the first gap.

    :param path: as the container calls it, or a URI.
    """
    here = location(path, path_map, storage_conn_id)
    lines = [f"in the container it is {path}, here {here}: {_mapping(path, path_map or {})}"]
    if isinstance(here, Path):
        lines.append(_first_gap(here.absolute()))
    return "".join(f"\n  - {cut(line, 2000)}" for line in lines)


def _mapping(path: str, path_map: PathMap) -> str:
    if not path_map:
        return "there is no path_map, so both are the same"
    prefix = mapped_prefix(path, path_map)
    if prefix is not None:
        return f"path_map leads from {prefix} to {path_map[prefix]}"
    prefixes = ", ".join(list(path_map)[:_MAX_PREFIXES])
    return f"no prefix in path_map ({prefixes}) is above it, so both are the same"


def _first_gap(here: Path) -> str:
    # From the top down, so that a mount that is absent is named and not what lies on it.
    gap = next((each for each in (*reversed(here.parents), here) if not each.exists()), here)
    if gap == here:
        return f"{here.parent} exists, without {here.name}: has it been written, and to this place?"
    return f"{gap} does not exist; is the volume mounted on this worker?"
