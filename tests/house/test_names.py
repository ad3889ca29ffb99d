"""Names in the package mean one thing each. Every list of exceptions here may only shrink."""

from __future__ import annotations

import pytest

from tests.house.package import classes, code_tokens, package_files

#: Class names that still stand more than once.
AMBIGUOUS_CLASSES: set[str] = set()
#: Words in -ing that are nouns of the field, so a module may carry them.
NOUNS_IN_ING = {
    "ending",
    "halving",
    "lightning",
    "listing",
    "merging",
    "naming",
    "paging",
    "parsing",
    "printing",
    "ranking",
    "retraining",
    "training",
    "waiting",
}


@pytest.mark.slow
def test_no_class_name_stands_twice() -> None:
    twice = {name for name, count in classes().items() if count > 1}
    assert twice - AMBIGUOUS_CLASSES == set()
    assert AMBIGUOUS_CLASSES - twice == set(), "these are distinct now: remove them from the list"


def test_modules_are_nouns() -> None:
    gerunds = {path.stem for path in package_files() if path.stem.endswith("ing")}
    assert gerunds - NOUNS_IN_ING == set()
    assert NOUNS_IN_ING - gerunds == set(), "no module is called so: remove them from the list"


@pytest.mark.slow
def test_no_variable_is_called_told() -> None:
    vague = [
        path.name
        for path in package_files()
        if any(token.string == "told" for token in code_tokens(path))
    ]
    assert vague == []
