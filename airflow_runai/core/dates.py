"""Moments as people read them."""

from __future__ import annotations

from datetime import datetime, timezone


def utc(moment: float) -> str:
    """Return a moment (epoch seconds) to the minute; ``never`` for one that no calendar has."""
    try:
        return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return "never"
