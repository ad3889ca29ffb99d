"""
The full report of a selection as a JSON file, and the ledger in it that the next selection is compared with.

One file for one training. It carries what is too large for anything else: all findings, and an
entry for each tensor. Where nothing was accepted, the ledger of before is kept.
"""

from __future__ import annotations

import json
from typing import Any

from airflow_runai.checkpoints.checking.ledger import Ledger
from airflow_runai.checkpoints.checking.report import Report
from airflow_runai.checkpoints.checking.requirements import Expected, RequirementError, Requirements
from airflow_runai.checkpoints.choosing.selection import Selection
from airflow_runai.checkpoints.storage.listing import Location
from airflow_runai.checkpoints.storage.small_files import SmallFile

__all__ = ["read_ledger", "read_requirements", "write_report"]

SCHEMA = "runai-checkpoint-report/1"
#: An entry takes about 100 bytes, and a ledger holds at most 100,000; anything larger is some other
#: file.
LARGEST_REPORT = 256 * 1024 * 1024


def read_ledger(path: Location | SmallFile) -> Ledger | None:
    """
    Return the ledger of the last accepted checkpoint, or ``None`` if there is no report yet.

    :raises ValueError: if there is something, but it is no report of ours: it must not be
        overwritten.
    :raises OSError: if it cannot be read.
    """
    advice = "move it away to begin a new ledger, or name another file"
    try:
        found = _read(path)
        if found.get("schema") != SCHEMA:
            raise ValueError(f"schema {SCHEMA!r} is expected")
        return None if found.get("ledger") is None else Ledger.from_json(found["ledger"])
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is no checkpoint report ({error}); {advice}") from None


def read_requirements(path: Location | SmallFile) -> Requirements:
    """
    Read what is asked of a checkpoint from a JSON file: a mapping, or a report whose tensors must be as they were.

    :raises RequirementError: if it is neither, or not there.
    :raises OSError: if it cannot be read; storage libraries raise other errors, too.
    """
    try:
        found = _read(path)
        if found.get("schema") != SCHEMA:
            return Requirements.from_mapping(found)
        known = Ledger.from_json(found.get("ledger")).tensors
    except RequirementError as error:
        raise RequirementError([f"{path}: {problem}" for problem in error.problems]) from None
    except (ValueError, RecursionError) as error:
        raise RequirementError(
            [f"{path}: {error}; a JSON object, or a checkpoint report, is allowed"]
        ) from None
    except FileNotFoundError:
        raise RequirementError(
            [f"{path}: does not exist; a JSON object, or a checkpoint report, is expected"]
        ) from None
    return Requirements(
        tensors={name: Expected(entry.dtype, entry.shape) for (_, name), entry in known.items()}
    )


def _read(path: Location | SmallFile) -> dict[str, Any]:
    raw = SmallFile.of(path).read(LARGEST_REPORT)
    if len(raw) > LARGEST_REPORT:
        raise ValueError(f"more than {LARGEST_REPORT} bytes")
    found = json.loads(raw)
    if not isinstance(found, dict):
        raise ValueError("is not a JSON object")
    return found


def write_report(path: Location | SmallFile, selection: Selection, before: Ledger | None) -> None:
    """
    Replace the report in one step.

    :raises OSError: if it cannot be written.
    """
    ledger = before if selection.chosen is None else selection.chosen.ledger
    told = {
        "schema": SCHEMA,
        "chosen": None if selection.chosen is None else _full(selection.chosen),
        "rejected": [_full(report) for report in selection.rejected],
        "ledger": None if ledger is None else ledger.to_json(),
    }
    SmallFile.of(path).replace(json.dumps(told, indent=1) + "\n")


def _full(report: Report) -> dict[str, object]:
    return {**report.to_json(), "world_size": report.world_size, "metrics": dict(report.metrics)}
