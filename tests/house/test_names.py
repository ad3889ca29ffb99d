"""Names in the package mean one thing each. Every list of exceptions here may only shrink."""

from __future__ import annotations

from tests.house.package import ROOT, classes, code_tokens, package_files

#: Class names that still stand more than once.
AMBIGUOUS_CLASSES = {
    "Command",
    "Facts",
    "Finding",
    "Missing",
    "Moment",
    "Outcome",
    "Part",
    "Place",
    "Plan",
    "Run",
    "Standing",
    "Storage",
    "Watch",
    "_Reader",
}
#: Folders of the package in which a variable is still called `told`.
VAGUE_FOLDERS = {
    "backends",
    "checkpoints",
    "cli",
    "core",
    "drill",
    "operators",
    "sensors",
    "tasks",
    "triggers",
}
#: Words in -ing that are nouns of the field, so a module may carry them.
NOUNS_IN_ING = {
    "ending",
    "lightning",
    "listing",
    "merging",
    "naming",
    "paging",
    "parsing",
    "printing",
    "standing",
    "training",
    "waiting",
}


def test_no_class_name_stands_twice() -> None:
    twice = {name for name, count in classes().items() if count > 1}
    assert twice - AMBIGUOUS_CLASSES == set()
    assert AMBIGUOUS_CLASSES - twice == set(), "these are distinct now: remove them from the list"


def test_modules_are_nouns() -> None:
    gerunds = {path.stem for path in package_files() if path.stem.endswith("ing")}
    assert gerunds - NOUNS_IN_ING == set()
    assert NOUNS_IN_ING - gerunds == set(), "no module is called so: remove them from the list"


def test_no_variable_is_called_told() -> None:
    folders = {
        path.relative_to(ROOT / "airflow_runai").parts[0]
        for path in package_files()
        if any(token.string == "told" for token in code_tokens(path))
    }
    assert folders - VAGUE_FOLDERS == set()
    assert VAGUE_FOLDERS - folders == set(), "no `told` is left there: remove them from the list"
