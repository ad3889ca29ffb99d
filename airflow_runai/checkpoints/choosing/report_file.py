"""
The full report of a selection as a JSON file, with the ledger for the next selection.

One file for each training. It holds what is too large elsewhere: all findings, and an entry for
each tensor. If nothing was accepted, the previous ledger is kept.
"""

from __future__ import annotations

import json
from typing import Any

from airflow_runai.checkpoints.checking.ledger import Ledger
from airflow_runai.checkpoints.checking.report import Report
from airflow_runai.checkpoints.checking.requirements import (
    RequirementError,
    Requirements,
    TensorRequirement,
)
from airflow_runai.checkpoints.choosing.selection import Selection
from airflow_runai.checkpoints.storage.small_files import FilePlace, SmallFile

SCHEMA = "runai-checkpoint-report/1"
#: An entry takes about 100 bytes and a ledger holds at most 100,000; a larger file is another one.
MAX_REPORT_SIZE = 256 * 1024 * 1024


def read_ledger(path: FilePlace) -> Ledger | None:
    """
    Return the ledger of the last accepted checkpoint, or ``None`` if there is no report yet.

    :raises ValueError: if the file is no report of ours, and so must not be overwritten.
    :raises OSError: if it cannot be read.
    """
    advice = "move it away to begin a new ledger, or name another file"
    try:
        document = _read(path)
        if document.get("schema") != SCHEMA:
            raise ValueError(f"schema {SCHEMA!r} is expected")
        return None if document.get("ledger") is None else Ledger.from_json(document["ledger"])
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is no checkpoint report ({error}); {advice}") from None


def read_requirements(path: FilePlace) -> Requirements:
    """
    Read requirements from a JSON file: a mapping, or a report whose tensors must be as they were.

    :raises RequirementError: if it is neither, or does not exist.
    :raises OSError: if it cannot be read; storage libraries raise other errors, too.
    """
    try:
        document = _read(path)
        if document.get("schema") != SCHEMA:
            return Requirements.from_mapping(document)
        tensors = Ledger.from_json(document.get("ledger")).tensors
    except RequirementError as error:
        raise RequirementError([f"{path}: {problem}" for problem in error.problems]) from None
    except (ValueError, RecursionError) as error:
        problem = f"{path}: {error}; a JSON object, or a checkpoint report, is allowed"
        raise RequirementError([problem]) from None
    except FileNotFoundError:
        problem = f"{path}: does not exist; a JSON object, or a checkpoint report, is expected"
        raise RequirementError([problem]) from None
    pairs = ((name, entry) for (_, name), entry in tensors.items())
    required = {name: TensorRequirement(entry.dtype, entry.shape) for name, entry in pairs}
    return Requirements(tensors=required)


def _read(path: FilePlace) -> dict[str, Any]:
    content = SmallFile.of(path).read(MAX_REPORT_SIZE)
    if len(content) > MAX_REPORT_SIZE:
        raise ValueError(f"more than {MAX_REPORT_SIZE} bytes")
    document = json.loads(content)
    if not isinstance(document, dict):
        raise ValueError("is not a JSON object")
    return document


def write_report(path: FilePlace, selection: Selection, before: Ledger | None) -> None:
    """
    Replace the report in one step.

    :raises OSError: if it cannot be written.
    """
    chosen = selection.chosen
    ledger = before if chosen is None else chosen.ledger
    document = {
        "schema": SCHEMA,
        "chosen": None if chosen is None else _full(chosen),
        "rejected": [_full(report) for report in selection.rejected],
        "ledger": None if ledger is None else ledger.to_json(),
    }
    SmallFile.of(path).replace(json.dumps(document, indent=1) + "\n")


def _full(report: Report) -> dict[str, object]:
    document = report.to_json()
    document["world_size"] = report.world_size
    document["metrics"] = dict(report.metrics)
    return document
