from __future__ import annotations

from decimal import Decimal

import pytest

from airflow_runai.core.amounts import amount, cores, mebibytes, spelled


@pytest.mark.parametrize(
    ("quantity", "number"),
    [("500m", "0.5"), ("1k", "1000"), ("1Ki", "1024"), ("1.5Gi", "1610612736"), ("2", "2"), ("1E", "1e18")],
)  # fmt: skip
def test_a_quantity_amounts_to_a_number(quantity: str, number: str) -> None:
    assert amount(quantity) == Decimal(number)


@pytest.mark.parametrize("text", ["", "x", "1K", "1ki", "1 G", "-1", "1e3"])
def test_what_the_server_would_not_read_is_no_quantity(text: str) -> None:
    assert amount(text) is None


@pytest.mark.parametrize(
    ("written", "sent"), [("5K", "5k"), ("5ki", "5Ki"), ("5Gi", "5Gi"), ("5", "5")]
)
def test_spellings_that_run_ai_takes_are_translated(written: str, sent: str) -> None:
    assert spelled(written) == sent


@pytest.mark.parametrize(
    ("number", "text"), [(0.5, "500m"), (4.0, "4"), (0.0001, "1m"), (1.0005, "1001m"), (0.1 + 0.2, "301m")]
)  # fmt: skip
def test_cores_are_rounded_up_to_thousandths(number: float, text: str) -> None:
    assert cores(number) == text


@pytest.mark.parametrize(
    ("quantity", "count"), [("10G", 9537), ("1Gi", 1024), ("1", 1), ("1000K", 1)]
)
def test_memory_is_rounded_up_to_mebibytes(quantity: str, count: int) -> None:
    assert mebibytes(quantity) == count
