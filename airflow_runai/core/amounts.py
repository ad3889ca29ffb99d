"""Quantities of Kubernetes: the spellings that its server accepts, and what they amount to."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([kMGTPE]|[KMGTPE]i|m)?")
_POWERS = {letter: power for power, letter in enumerate("kMGTPE", 1)}


def spelled(quantity: str) -> str:
    """Return a quantity in Kubernetes' spelling, which knows neither ``K`` nor ``ki``."""
    return re.sub(r"ki$", "Ki", re.sub(r"K$", "k", quantity))


def amount(quantity: str) -> Decimal | None:
    """Return what a quantity amounts to; ``None`` if it is none."""
    found = _QUANTITY.fullmatch(quantity)
    if found is None:
        return None
    number, suffix = Decimal(found[1]), found[2] or ""
    if suffix == "m":
        return number / 1000
    if suffix.endswith("i"):
        return number * Decimal(1024) ** _POWERS[suffix[0].replace("K", "k")]
    return number * Decimal(1000) ** _POWERS.get(suffix, 0)


def cores(number: float) -> str:
    """Return CPU cores as a quantity, rounded up to thousandths."""
    thousandths = int((Decimal(str(number)) * 1000).to_integral_value(ROUND_CEILING))
    return str(thousandths // 1000) if thousandths % 1000 == 0 else f"{thousandths}m"


def mebibytes(quantity: str) -> int:
    """Return how many MiB hold a quantity of bytes."""
    size = amount(spelled(quantity)) or Decimal(0)
    return int((size / 2**20).to_integral_value(ROUND_CEILING))
