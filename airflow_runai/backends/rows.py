"""
Pages of the list of workloads, decoded into a few fields a row.

A list holds whole workloads, 2 to 3 kB each, most of them nobody waits for. Decoding five hundred
of them into mappings takes 40 ms and wakes Python's garbage collector; these rows take 2 ms.

Import it where a list is read, not where a DAG is parsed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import msgspec

from airflow_runai.core.workload import Workload


class Row(msgspec.Struct, gc=False):
    """
    What a list says of a workload, as it says it.

    Nothing is checked here: one odd value must not cost the page. :func:`workload_of` checks.
    """

    id: Any = None
    name: Any = None
    phase: Any = None
    phaseMessage: Any = None  # the vendor's names
    phaseUpdatedAt: Any = None
    createdAt: Any = None
    deletedAt: Any = None
    projectId: Any = None
    clusterId: Any = None
    type: Any = None
    guaranteedRuntimeEndsAt: Any = None


class Holding(msgspec.Struct, gc=False):
    """The same of the GPUs that a workload has or asks for; ``room.py`` checks."""

    id: Any = None
    name: Any = None
    phase: Any = None
    allocatedResources: Any = None
    workloadRequestedResources: Any = None
    currentNodePools: Any = None
    requestedNodePools: Any = None


R = TypeVar("R")


class Page(msgspec.Struct, Generic[R], gc=False):
    """
    One page.

    :param workloads: ``None`` where the server says so; an empty list to us.
    :param next: where the next page begins, as the server says it.
    """

    workloads: list[R] | None = None
    next: Any = None


_ROWS = msgspec.json.Decoder(Page[Row])
_HOLDINGS = msgspec.json.Decoder(Page[Holding])


def decode_page(content: bytes | bytearray) -> Page[Row]:
    """
    Decode a page; a row that is no object is left out.

    :raises ValueError: for what is not JSON, or holds no list.
    """
    try:
        return _ROWS.decode(content)
    except msgspec.DecodeError:
        return _page_of(Row, json.loads(content))


def decode_holdings(content: bytes | bytearray) -> Page[Holding]:
    """Decode a page as :func:`decode_page` does, for what workloads hold."""
    try:
        return _HOLDINGS.decode(content)
    except msgspec.DecodeError:
        return _page_of(Holding, json.loads(content))


def _page_of(kind: type[R], body: Any) -> Page[R]:
    """Read a page that is odd somewhere."""
    rows = body.get("workloads") if isinstance(body, Mapping) else body
    if not isinstance(rows, list):
        raise ValueError("no list of workloads")
    following = body.get("next") if isinstance(body, Mapping) else None
    return Page([_row_of(kind, row) for row in rows if isinstance(row, Mapping)], following)


def _row_of(kind: Any, item: Mapping[str, Any]) -> Any:
    return kind(**{name: item.get(name) for name in kind.__struct_fields__})


def workload_of(row: Row) -> Workload:
    """Return the reading in a row; raises ``Unreadable`` like :meth:`Workload.from_wire`."""
    return Workload.from_wire(msgspec.structs.asdict(row))
