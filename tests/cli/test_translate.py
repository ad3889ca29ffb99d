"""`airflow runai translate`: the four forms mean the same as the line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_runai.core.command_line import parse_command
from airflow_runai.core.command_line.printing import normal
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.templates.text import documents
from tests.airflow.test_command_line import BY_ARGUMENTS, BY_ENVIRONMENT
from tests.cli.conftest import Airflow

LINES = (
    BY_ENVIRONMENT,
    BY_ARGUMENTS,
    "runai submit t --image i -e 'A=\"quoted\" {x} \\ é' -e B=no -e C=1e3 -e D= --pvc data:/data -- python -c 'a b'",
    "runai submit-dist pytorch d1 -i i --workers 3 -g 2 --node-type a100 --label a=b --backoff-limit 0 -- ./x.sh",
    "runai training submit v2 --image i --gpu-portion-request 0.5 --host-path path=/a,mount=/b --restart-policy Never",
)


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES)
def test_every_form_means_what_the_line_means(line: str, airflow: Airflow, tmp_path: Path) -> None:
    parsed = parse_command(line)
    shown = airflow("translate", "--to", "all", "-o", "json", line)
    assert shown.code == 0, shown.err
    forms = json.loads(shown.out)["forms"]
    assert _operator(forms["operator"], tmp_path).spec == parsed.spec
    assert yaml.safe_load(forms["yaml"]) == parsed.spec
    assert documents(forms["yaml"], "x")[0].value == parsed.spec
    assert WorkloadSpec.from_mapping(documents(forms["yaml"], "x")[0].value) == parsed.workload()
    assert (
        parse_command(forms["line"]).workload().fingerprint()
        == normal(parsed.workload()).fingerprint()
    )
    assert forms["json"] == {
        **({"name": parsed.name} if parsed.name else {}),
        **parsed.workload().to_wire(),
    }


def _operator(source: str, folder: Path) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    (folder / "translated.py").write_text(source)
    bag = DagBag(folder)
    assert bag.import_errors == {}
    (dag,) = bag.dags.values()
    return dag.get_task("train")


def test_operator_code_is_a_complete_dag_file(airflow: Airflow, tmp_path: Path) -> None:
    task = _operator(airflow("translate", "--to", "operator", BY_ENVIRONMENT).out, tmp_path)
    assert (task.dag_id, task.workload_name, task.project) == ("train1", "train1", "my-project")


@pytest.mark.parametrize(
    "line",
    [
        "runai submit --job-name-prefix acme -i x -g 1",
        "runai training submit --name-prefix acme -i x -g 1",
    ],
)
def test_a_name_prefix_survives_in_every_form(line: str, airflow: Airflow, tmp_path: Path) -> None:
    shown = airflow("translate", "--to", "all", "-o", "json", line)
    document = json.loads(shown.out)
    forms = document["forms"]
    assert (shown.code, document["name"], document["name_prefix"]) == (0, None, "acme")
    assert _operator(forms["operator"], tmp_path).workload_name == "acme"
    assert forms["yaml"].startswith("# name_prefix: acme\n")
    assert parse_command(forms["line"]).name_prefix == "acme"
    assert (forms["json"]["name"], forms["json"]["useGivenNameAsPrefix"]) == ("acme", True)
    assert "name prefix 'acme': written as workload_name" in shown.err


def test_what_is_no_key_of_a_specification_stands_above_it(airflow: Airflow) -> None:
    shown = airflow("translate", "--to", "yaml", "runai submit t -p team-a -i x")
    assert shown.out == "# name: t, project: team-a\nimage: x\n"
    assert shown.err == ""


MPI = "runai submit-mpi d -i x --processes 2 -g 2 -e A=1 -- mpirun -np 4 'python t.py'"


def test_an_mpi_job_keeps_its_launcher_in_every_form(airflow: Airflow, tmp_path: Path) -> None:
    parsed = parse_command(MPI)
    forms = json.loads(airflow("translate", "--to", "all", "-o", "json", MPI).out)["forms"]
    assert _operator(forms["operator"], tmp_path).spec == parsed.spec
    again = parse_command(forms["line"]).workload()
    assert again.fingerprint() == parsed.workload().fingerprint()
    assert "--master-gpu-devices-request 0" in forms["line"]
    assert forms["json"]["masterSpec"]["args"] == "mpirun -np 4 'python t.py'"


def test_secrets_in_a_line_are_named_and_not_repeated_in_warnings(airflow: Airflow) -> None:
    line = "runai submit t -i x -e DB=postgres://u:hush4hush@h/db -- ./s.sh --token hush4hush"
    shown = airflow("translate", "--to", "json", line)
    assert "-e DB: carries a password or token (not shown)" in shown.err
    assert "--token of the command: looks like a secret (not shown)" in shown.err
    assert "hush4hush" not in shown.err


def test_placeholders_of_a_page_are_named_all_at_once(airflow: Airflow) -> None:
    shown = airflow("translate", "runai submit <job-name> -i <image_name> -p <project> --gpus 1")
    assert shown.code == 1
    assert [
        name
        for name in ("<job-name>", "<image_name>", "<project>")
        if f"placeholder {name}" in shown.err
    ] == [
        "<job-name>",
        "<image_name>",
        "<project>",
    ]
    assert "--gpus: unknown flag" in shown.err


def test_line_may_come_as_words_as_one_text_or_from_standard_input(airflow: Airflow) -> None:
    words = airflow(
        "translate",
        "--to",
        "yaml",
        "runai",
        "submit",
        "t",
        "-i",
        "x",
        "-g",
        "2",
        "--",
        "a",
        "--to",
        "b",
    )
    text = airflow("translate", "--to", "yaml", "runai submit t -i x -g 2 -- a --to b")
    read = airflow(
        "translate", "--to", "yaml", "-", stdin="$ runai submit t -i x \\\n  -g 2 -- a --to b\n"
    )
    assert words.out == text.out == read.out
    assert yaml.safe_load(text.out)["args"] == "a --to b"


def test_warnings_go_to_standard_error_and_name_what_looks_like_a_secret(airflow: Airflow) -> None:
    shown = airflow(
        "translate", "--to", "yaml", "runai submit t -i x --tty -e API_TOKEN=abc -e EPOCHS=3"
    )
    assert shown.code == 0
    assert "--tty" in shown.err
    assert "environment.API_TOKEN looks like a secret" in shown.err
    assert "EPOCHS" not in shown.err
    assert "abc" not in shown.err
    assert "warning" not in shown.out


def test_form_that_cannot_say_it_is_an_error_and_the_others_are_printed(airflow: Airflow) -> None:
    shown = airflow("translate", "--to", "all", "runai submit t --template big -g 1")
    assert shown.code == 1
    assert 'template="big"' in shown.out
    assert "error: line: spec.image: missing" in shown.err
    assert "error: json: spec.image: missing" in shown.err


def test_word_that_is_no_text_is_shown_and_breaks_nothing(airflow: Airflow) -> None:
    shown = airflow(
        "translate", "runai", "submit", "t", "-i", "x", "-e", "A=\udcff", "--", "echo", "…"
    )
    assert shown.code == 0, shown.err
    assert "\\udcff" in shown.out
    assert airflow(
        "translate", "--to", "all", "-o", "json", "runai", "submit", "t", "-i", "x\udcff"
    ).code in (0, 1)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 2, "line: missing"),
        (("runai submit t -i x", "--to", "yaml"), 2, "--to: follows the line"),
        (("runai submit 't -i x",), 1, "column 14: ' is never closed"),
        (("runai list jobs",), 1, "list"),
        (("--to", "toml", "runai submit t -i x"), 2, "invalid choice"),
    ],
)
def test_bad_input_is_named(words: tuple[str, ...], code: int, says: str, airflow: Airflow) -> None:
    shown = airflow("translate", *words)
    assert shown.code == code
    assert says in shown.err
    assert "Traceback" not in shown.err


def test_forms_without_the_template_say_so(airflow: Airflow) -> None:
    line = "runai submit a -i x --template small"
    assert (
        "template 'small': what it holds is not part of json"
        in airflow("translate", "--to", "json", line).err
    )
    assert airflow("translate", line).err == "", "the operator's form names it"


@pytest.mark.parametrize("words", ["-- python eval.py", "--git-sync branch=dev", "--run-as-user"])
def test_what_only_a_line_can_say_over_a_template_is_told(words: str, airflow: Airflow) -> None:
    shown = airflow("translate", f"runai submit a -i x --template small {words}")
    assert "give the line itself as `command_line`" in shown.err
    assert "create_home_dir" not in shown.out, "that is for the template to say"


def test_option_behind_the_line_is_told_where_it_belongs(airflow: Airflow) -> None:
    shown = airflow("translate", "runai", "submit", "a", "-i", "x", "--to", "line")
    assert (shown.code, shown.out) == (2, "")
    assert "options of `translate` go before it" in shown.err
    assert (
        airflow("translate", "runai", "submit", "a", "-i", "x", "--", "run", "--to", "line").code
        == 0
    )
