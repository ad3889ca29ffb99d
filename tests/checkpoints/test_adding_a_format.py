"""What a new format needs beside its module; each test names what is missing."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from airflow_runai.checkpoints import check, formats
from airflow_runai.checkpoints.checking.context import Format
from airflow_runai.checkpoints.checking.findings import CODES
from docs import finding_codes, format_table
from tests.checkpoints.samples import GOLDEN

NAMES = {form.name for form in formats.FORMATS}
#: Directories that tests put together from files of other formats.
COMPOSED = {"directory", "fsdp", "published"}


def test_every_format_has_its_line_in_the_registry() -> None:
    modules = [
        import_module(f"{formats.__name__}.{it.name}") for it in iter_modules(formats.__path__)
    ]
    written = {
        value.name
        for module in modules
        for value in vars(module).values()
        if isinstance(value, Format)
    }
    assert written - NAMES == set(), "lines in FORMATS, checkpoints/formats/__init__.py"


def test_every_format_has_a_row_in_the_documentation() -> None:
    assert NAMES ^ set(format_table.ROWS) == set(), "rows in docs/format_table.py"
    assert all(all(row) for row in format_table.ROWS.values())


def test_every_finding_code_has_its_meaning_in_the_documentation() -> None:
    assert set(CODES) ^ set(finding_codes.MEANINGS) == set(), "meanings in docs/finding_codes.py"


def test_every_format_has_a_good_file_by_the_real_library() -> None:
    files = [path for path in GOLDEN.rglob("*") if path.name != "VERSIONS" and path.suffix != ".py"]
    good = {check(path, level=1).format for path in files}
    assert NAMES - good <= COMPOSED, "a file in tests/checkpoints/golden/"
