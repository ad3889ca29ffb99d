"""The table of known causes, in the order in which they are told."""

from __future__ import annotations

import re

from airflow_runai.core.reasons import CAUSES


def rows() -> list[tuple[str, str, str]]:
    """Return code, sentence and advice of each cause."""
    return [(f"`{one.code}`", _shown(one.what), _shown(one.advice)) for one in CAUSES]


def _shown(text: str) -> str:
    """Show a placeholder as the word that stands for what the platform says there."""
    return re.sub(r"\{(\w+)\}", lambda found: "…" if found[1] == "said" else found[1].upper(), text)
