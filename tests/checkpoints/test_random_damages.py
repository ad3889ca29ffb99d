"""Three hundred random damages against the real loaders: where bytes can decide, nothing bad is called valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.checkpoints.random_damages import BASES, EACH, judged

DOCS = Path(__file__).parents[2] / "docs" / "checkpoints.md"


@pytest.mark.slow
@pytest.mark.parametrize("base", BASES)
def test_nothing_that_differs_is_called_valid(base: str) -> None:
    for library in ("torch", "safetensors", *(["gguf"] if base == "GGUF" else [])):
        pytest.importorskip(library)
    row = judged(base)
    assert (row.wrong, row.counts["valid, fails"]) == ([], 0)
    assert row.counts.total() == EACH


def test_the_table_of_the_documentation_is_of_these_damages() -> None:
    found = re.search(
        r"<!-- measured: random-damages -->\n(.*?)\n<!-- end -->", DOCS.read_text(), re.DOTALL
    )
    assert found is not None
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()[2:]
    ]
    assert [(row[0], row[1], row[5], row[6]) for row in rows] == [
        (base, str(EACH), "0", "0") for base in BASES
    ]


def test_there_are_three_hundred_of_them() -> None:
    assert len(BASES) * EACH == 300
