"""No field of a specification is lost: each is mapped or refused by name, and the mapping says the truth."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.core.manifests import DIALECTS, MAPPING, REFUSALS
from airflow_runai.core.manifests.field_places import FieldPlace
from airflow_runai.errors import SpecError
from tests.core.manifests.examples import EXAMPLES
from tests.core.manifests.fields import applies, covers, leaves
from tests.core.manifests.requests import KINDS, changed_paths, manifests

LEAVES = sorted(leaves())
PAIRS = [(dialect, kind) for dialect in DIALECTS for kind in KINDS]


def rows_of(leaf: str, dialect: str, kind: str) -> list[FieldPlace]:
    return [
        row
        for row in MAPPING
        if covers(row.field, leaf) and dialect in row.dialects and kind in row.kinds
    ]


def is_refused(leaf: str, dialect: str) -> bool:
    return any(
        row.is_total and dialect in row.dialects and covers(row.field, leaf) for row in REFUSALS
    )


def test_the_fields_are_found_in_the_tables_of_the_specification() -> None:
    assert {"image", "compute.gpu_devices", "storage.pvc[].claim", "tolerations[].key"} < set(
        LEAVES
    )
    assert set(EXAMPLES) == set(LEAVES), "each field needs an example"


@pytest.mark.parametrize(("dialect", "kind"), PAIRS)
def test_every_field_is_either_mapped_once_or_refused(dialect: str, kind: str) -> None:
    odd = {
        leaf: (len(rows_of(leaf, dialect, kind)), is_refused(leaf, dialect))
        for leaf in LEAVES
        if applies(leaf, kind)
        and len(rows_of(leaf, dialect, kind)) + is_refused(leaf, dialect) != 1
    }
    assert odd == {}


def test_the_tables_name_no_field_that_does_not_exist() -> None:
    # A variable's source and a field of the master have no declaration of their own.
    named = {row.field for row in MAPPING} | {
        row.field.partition(".*")[0].replace("distributed.master.", "") for row in REFUSALS
    }
    assert [field for field in named if not any(covers(field, leaf) for leaf in LEAVES)] == []


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_field_goes_where_the_table_says_and_nowhere_else(leaf: str) -> None:
    for dialect, kind in PAIRS:
        if not applies(leaf, kind):
            continue
        before, after = ({**KINDS[kind], **one} for one in example(leaf, dialect))
        if is_refused(leaf, dialect):
            with pytest.raises(SpecError):
                manifests(after, dialect)
        else:
            changed = changed_paths(manifests(before, dialect), manifests(after, dialect))
            (row,) = rows_of(leaf, dialect, kind)
            check_places(changed, row, kind)


def example(leaf: str, dialect: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return two specifications that the dialect can express, where it can express the field at all."""
    if dialect in ("kueue", "plain") and leaf == "compute.gpu_portion":
        return {}, {"compute": {"gpu_portion": 1}}
    if dialect in ("kueue", "plain") and leaf == "preemptibility":
        return {}, {"preemptibility": "preemptible"}
    return EXAMPLES[leaf]


def check_places(changed: set[str], row: FieldPlace, kind: str) -> None:
    strays = {path for path in changed if not any(_is_at(path, at) for at in row.paths(kind))}
    assert strays == set(), f"{row.field} ({kind}): besides {row.places}"
    for place in row.places:
        homes = FieldPlace("", (place,)).paths(kind)
        found = any(_is_at(path, home) for path in changed for home in homes)
        assert found, f"{row.field} ({kind}): not at {place}"


def _is_at(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}.")
