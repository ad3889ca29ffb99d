"""The documentation is true: snippets run, commands exist, links resolve, tables are fresh."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest
import yaml

from airflow_runai.core.command_line import parse_command
from airflow_runai.core.options import OPTIONS
from airflow_runai.core.spec import WorkloadSpec

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    ROOT / "CODE_OF_CONDUCT.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "dags" / "digits" / "README.md",
]
FENCE = re.compile(r"^ *```([^\n]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
OURS = re.compile(r"`((?:airflow_runai|dags|demo|docs|tests)/[\w./-]*\w/?)`")
#: Nothing is published yet.
INSTALLED_FROM = {".", ".[openlineage]", "dist/airflow_provider_runai-*.whl"}
#: Commands of other programs, which are not checked here; `api` is that of docs/beliefs.md, whose uses
#: test_beliefs.py checks.
FOREIGN = {"export", "helm", "openssl", "api()"}
CATEGORIES = {
    "python run",
    "python dag",
    "python spec",
    "python torch",  # these three: tests/training/test_training_page.py
    "python transformers",
    "python lightning",
    "sql",  # tests/airflow/test_instance_name.py
    "bash",
    "bash run",  # tests/end_to_end/test_first_hour.py
    "console",
    "dockerfile",
    "json",
    "yaml",
    "yaml kai",
    "",
}
#: A DAG file that a block of commands writes.
WRITTEN = re.compile(r"^cat > dags/\w+\.py <<'END'\n(.*?)^END$", re.MULTILINE | re.DOTALL)

# Airflow takes seconds to import: one process checks all DAG files and all `airflow` commands.
AIRFLOW_SIDE = """
import json, sys
from airflow.cli.cli_parser import get_parser
from airflow.dag_processing.dagbag import DagBag
request = json.load(sys.stdin)
for path in request["files"]:
    bag = DagBag(path)
    assert not bag.import_errors, bag.import_errors
    assert bag.dags and all(dag.task_dict for dag in bag.dags.values()), f"{path}: no DAG with tasks in it"
for arguments in request["commands"]:
    get_parser().parse_args(arguments)
"""


class Snippet(NamedTuple):
    """A fenced block: its place, the category behind the fence, its text."""

    place: str
    category: str
    text: str


def snippets(*categories: str) -> list[Snippet]:
    blocks = [block for page in PAGES for block in _blocks(page)]
    return [block for block in blocks if not categories or block.category in categories]


def _blocks(page: Path) -> Iterator[Snippet]:
    text = page.read_text()
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Snippet(f"{page.relative_to(ROOT)}:{line}", match[1].strip(), match[2])


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield all command lines, split; in console blocks those that follow the prompt."""
    for place, category, text in snippets("bash", "console"):
        for line in textwrap.dedent(text).splitlines():
            if category == "bash" or line.startswith("$ "):
                yield place, shlex.split(line.removeprefix("$ "), comments=True)


def run(
    *words: str | Path, cwd: Path = ROOT, stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **variables}
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        env=environment,
    )


@cache
def help_of(*words: str) -> str:
    """Return the help of one of our command lines; fail if there is none."""
    done = run(*words, "--help")
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def test_every_snippet_has_a_category_that_is_checked() -> None:
    assert [s.place for s in snippets() if s.category not in CATEGORIES] == []
    assert len(snippets("python run")) >= 4
    assert len(snippets("python dag")) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("snippet", snippets("python run"), ids=lambda snippet: snippet.place)
def test_snippet_runs(snippet: Snippet, tmp_path: Path) -> None:
    done = run("-c", snippet.text, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("snippet", snippets("python spec"), ids=lambda snippet: snippet.place)
def test_specification_in_a_snippet_is_accepted(snippet: Snippet) -> None:
    assert WorkloadSpec.from_mapping(ast.literal_eval(snippet.text)).to_wire()["spec"]


@pytest.mark.parametrize("snippet", snippets("json"), ids=lambda snippet: snippet.place)
def test_json_in_a_snippet_can_be_read(snippet: Snippet) -> None:
    assert json.loads(snippet.text)


def test_values_for_the_chart_set_options_that_exist() -> None:
    (values,) = (yaml.safe_load(snippet.text) for snippet in snippets("yaml"))
    assert set(values["config"]["runai"]) <= set(OPTIONS)
    assert values["volumeMounts"][0]["name"] == values["volumes"][0]["name"]
    version = re.escape(values["airflowVersion"])
    (image,) = (snippet.text for snippet in snippets("dockerfile"))
    compose = (ROOT / "docker-compose.yaml").read_text()
    assert re.findall(rf"^FROM (\S+:{version}\S*)$", image, re.MULTILINE) == re.findall(
        r"FROM (apache/airflow:\S+)", compose
    )


def test_values_for_the_chart_of_kai_are_yaml() -> None:
    (values,) = (yaml.safe_load(snippet.text) for snippet in snippets("yaml kai"))
    (flag,) = values["scheduler"]["additionalArgs"]
    # The name under which the behaviour was recorded with the real scheduler.
    assert flag in (ROOT / "tests" / "rig" / "record.py").read_text()


@pytest.mark.slow
def test_dags_in_snippets_parse_and_airflow_knows_its_commands(tmp_path: Path) -> None:
    dags = [(snippet.place, snippet.text) for snippet in snippets("python dag")]
    dags += [
        (one.place, text) for one in snippets("bash run") for text in WRITTEN.findall(one.text)
    ]
    files = [tmp_path / f"{number}.py" for number, _ in enumerate(dags)]
    for path, (place, text) in zip(files, dags, strict=True):
        path.write_text(f"# {place}\n{text}")
    airflow = [words[1:] for _, words in commands() if words[0] == "airflow"]
    request = json.dumps({"files": [str(path) for path in files], "commands": airflow})
    done = run("-c", AIRFLOW_SIDE, stdin=request, AIRFLOW_HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(airflow) >= 2


@pytest.mark.slow
def test_commands_of_ours_exist_with_these_options() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for place, words in commands():
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets, f"{place}: {words}"
        elif words[0].startswith("python"):
            _check_python(place, words[1:])
        elif words[0] == "kubectl":
            assert place.startswith(("docs/contributing.md", "docs/on-kubernetes.md")), (
                f"{place}: tests/rig/test_page.py runs those of two pages"
            )
        elif words[0] == "runai":
            assert parse_command(shlex.join(words)).spec, f"{place}: {words}"
        elif words[:2] == ["pip", "install"]:
            assert words[2] in INSTALLED_FROM, f"{place}: {words}"
        else:
            assert words[0] in FOREIGN | {"airflow"}, (
                f"{place}: say here how {words[0]!r} can be checked"
            )


def _check_python(place: str, words: list[str]) -> None:
    if words[0] == "-m":
        assert importlib.util.find_spec(words[1]), f"{place}: no module {words[1]}"
        program, rest = words[:2], words[2:]
    else:
        found = [path for path in ROOT.rglob(Path(words[0]).name) if ".venv" not in path.parts]
        assert found, f"{place}: no file {words[0]}"
        program, rest = [str(found[0])], words[1:]
    if rest and re.fullmatch("[a-z]+", rest[0]):
        usage = help_of(*program)
        assert rest[0] in usage, f"{place}: {rest[0]} is none of its commands"
        # Actions that take options of their own have a help of their own.
        program = [*program, rest[0]] if program[0] == "-m" else program
    options = [word.split("=")[0] for word in rest if word.startswith("--")]
    assert [option for option in options if option not in help_of(*program)] == [], place


def test_links_and_images_lead_somewhere() -> None:
    lost = [f"{page.relative_to(ROOT)}: {target}" for page in PAGES for target in _dead_links(page)]
    assert lost == []


def _dead_links(page: Path) -> Iterator[str]:
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in _anchors(there)):
            yield target


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_files_that_are_named_exist() -> None:
    named = {(page.name, path) for page in PAGES for path in OURS.findall(page.read_text())}
    assert sorted(pair for pair in named if not (ROOT / pair[1]).exists()) == []


def test_every_page_can_be_reached_from_the_index() -> None:
    linked = set(LINK.findall((ROOT / "docs" / "index.md").read_text()))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - linked == {"index.md"}


@pytest.mark.slow
def test_generated_tables_and_pictures_are_fresh() -> None:
    done = run("-m", "docs.generate", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_pictures_are_well_formed_and_have_a_title() -> None:
    pictures = list((ROOT / "docs" / "images").glob("*.svg"))
    assert pictures
    for picture in pictures:
        root = ElementTree.fromstring(picture.read_text())
        assert root.find("{http://www.w3.org/2000/svg}title") is not None, picture.name


def test_pictures_of_pages_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in (ROOT / "docs" / "images").glob("*.png")}
    assert len(sizes) >= 6
    assert {name: size for name, size in sizes.items() if size >= 150_000} == {}
