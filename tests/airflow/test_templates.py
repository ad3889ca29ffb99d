"""
Templates from where Airflow keeps them: a folder, a Variable, the DAG file.

No scheduler is needed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_runai.core.templates import MAX_CHARACTERS, resolve
from airflow_runai.errors import SpecError
from airflow_runai.tasks.template_library import template_library


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text("name: base\nspec: {image: 'x:1'}")
    (tmp_path / "more.yml").write_text(
        "name: small\nextends: base\n---\nname: large\nextends: base"
    )
    (tmp_path / "notes.txt").write_text("no template")
    (tmp_path / "deeper").mkdir()
    return tmp_path


def problems(**given: object) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        template_library(**given)  # type: ignore[arg-type]  # wrong arguments must be refused, too
    return caught.value.problems


def test_without_any_source_there_are_no_templates() -> None:
    assert template_library() == {}


def test_folder_variable_and_dag_file_make_one_library(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_RUNAI_TEMPLATES", "name: team\nspec: {node_pools: [a100]}")
    mine = {"mine": {"extends": "small", "spec": {"compute": {"gpu_devices": 1}}}}
    found = template_library(str(folder), "runai_templates", mine)
    assert {name: template.where for name, template in found.items()} == {
        "base": f"{folder}/base.yaml",
        "small": f"{folder}/more.yml",
        "large": f"{folder}/more.yml",
        "team": "Variable 'runai_templates'",
        "mine": "template 'mine' in the DAG file",
    }
    assert resolve("mine", found, {}, found.get("admin")).templates == ("base", "small", "mine")


def test_the_configured_folder_is_read_whatever_a_dag_names(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured = tmp_path_factory.mktemp("configured")
    (configured / "admin.yaml").write_text("name: admin\nspec: {priority: low}\nlocked: [priority]")
    monkeypatch.setenv("AIRFLOW__RUNAI__TEMPLATE_FOLDER", str(configured))
    assert template_library().keys() == {"admin"}
    found = template_library(str(folder))
    assert found["admin"].locked == ("priority",)
    assert template_library(str(configured)).keys() == {"admin"}
    (taken,) = problems(inline={"admin": {"spec": {"priority": "high"}}})
    assert taken.startswith("template 'admin' in the DAG file: name: 'admin' is taken by ")
    assert f"{configured}/admin.yaml" in taken


def test_mistakes_name_file_and_line(folder: Path) -> None:
    (folder / "bad.yaml").write_text("name: bad\nspec:\n  imgae: x")
    assert problems(folder=str(folder)) == (
        f"{folder}/bad.yaml, line 3: spec.imgae: unknown key; did you mean 'image'?",
    )


def test_a_folder_that_is_not_there_is_named(folder: Path) -> None:
    assert problems(folder=str(folder / "no"))[0].startswith(
        f"template folder '{folder}/no': no folder here"
    )
    assert problems(folder=str(folder / "base.yaml"))[0].startswith(
        f"template folder '{folder}/base.yaml': no folder"
    )


def test_a_file_that_is_too_large_or_no_text_is_named(folder: Path) -> None:
    (folder / "base.yaml").write_bytes(b"name: \xff\xfe")
    assert problems(folder=str(folder)) == (
        f"{folder}/base.yaml: no UTF-8 at byte 6; allowed: YAML in UTF-8",
    )
    (folder / "base.yaml").write_bytes(b" " * (4 * MAX_CHARACTERS + 1))
    (found,) = problems(folder=str(folder))
    assert found.startswith(
        f"{folder}/base.yaml: {4 * MAX_CHARACTERS + 1} bytes; allowed: {MAX_CHARACTERS} characters"
    )


def test_a_variable_that_is_not_set_is_named(database: None) -> None:
    assert problems(variable="no_such") == (
        "Variable 'no_such': not set; put the YAML of the templates into it",
    )


def test_a_variable_with_bad_yaml_is_named_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_RUNAI_TEMPLATES", "name: a\nname: b")
    (found,) = problems(variable="runai_templates")
    assert (
        found
        == "Variable 'runai_templates', line 2: name: stands twice, first in line 1; keep one of them"
    )


def test_a_template_in_the_dag_file_has_the_name_that_it_is_given() -> None:
    assert (
        template_library(inline={"a": {"name": "a"}})["a"].where == "template 'a' in the DAG file"
    )
    assert problems(inline={"a": {"name": "b"}})[0].startswith(
        "template 'a' in the DAG file: its name is 'b'"
    )
    assert problems(inline={"a": "image: x"})[0].startswith(
        "template 'a' in the DAG file: a str; allowed: a mapping"
    )
