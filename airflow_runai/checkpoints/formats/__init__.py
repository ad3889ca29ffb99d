"""
The formats that can be read, most specific first.

To add one: a module here with ``detect`` and ``examine``, and one line below. Detection goes by content; the name
of a file only decides what a damaged file was meant to be.
"""

from __future__ import annotations

from airflow_runai.checkpoints.examination import Format
from airflow_runai.checkpoints.formats.torch_zip import TORCH_ZIP

__all__ = ["FORMATS"]

FORMATS: tuple[Format, ...] = (TORCH_ZIP,)
