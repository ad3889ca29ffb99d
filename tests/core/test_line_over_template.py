"""
A command line over a template, as CLI v1 has it: templates are asked first, defaults come last, words replace words.

Held against what the vendor's source does: run-ai/runai-cli, ``submit_template_merger.go``,
``submit_mpi.go``.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from airflow_runai.core.command_line import parse_command
from airflow_runai.core.quota import gpus_requested
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.templates import (
    CALL,
    Effective,
    Template,
    import_configmap,
    library,
    load_template,
    resolve,
)
from airflow_runai.errors import SpecError
from airflow_runai.tasks.instructions import gather


def configmap(values: dict[str, Any], name: str = "t") -> Template:
    data = {"name": name, "values": yaml.safe_dump({"image": {"value": "a/b:1"}, **values})}
    return import_configmap(
        {"kind": "ConfigMap", "data": data, "metadata": {"name": name}}, "cm.yaml"
    )


def own(text: str, name: str = "t") -> Template:
    return load_template(f"name: {name}\n{text}", f"{name}.yaml")


def effective(
    template: Template, words: str, verb: str = "submit", admin: Template | None = None
) -> Effective:
    parsed = parse_command(f"runai {verb} x --template {template.name} {words}")
    return resolve(template.name, {template.name: template}, parsed.line.said, admin, parsed.line)


def spec_of(
    template: Template, words: str, verb: str = "submit", admin: Template | None = None
) -> dict[str, Any]:
    return effective(template, words, verb, admin).spec


def named(value: Any) -> dict[str, Any]:
    return {"value": value}


# --- defaults lie below templates
# -----------------------------------------------------------------------------------

FOUR = {"processes": named("4")}


@pytest.mark.parametrize("verb", ["submit-mpi", "mpi", "mj"])
@pytest.mark.parametrize(
    ("template", "words", "workers"),
    [
        (configmap(FOUR), "", 4),
        (configmap(FOUR), "--processes 2", 2),
        (configmap({}), "", 1),
        (own("spec: {distributed: {framework: MPI, workers: 4}}"), "-i x", 4),
        (own("spec: {working_dir: /w}"), "-i x", 1),
    ],
)
def test_workers_of_a_template_win_over_the_default_of_the_verb(
    verb: str, template: Template, words: str, workers: int
) -> None:
    assert spec_of(template, words, verb)["distributed"]["workers"] == workers


@pytest.mark.parametrize(
    ("template", "words", "home"),
    [
        (configmap({"create-home-dir": named("false")}), "--run-as-user", False),
        (
            configmap({"create-home-dir": named("true")}),
            "--run-as-user --create-home-dir=false",
            False,
        ),
        (configmap({}), "--run-as-user", True),
        (configmap({"run-as-user": named("true")}), "", True),
        (configmap({"run-as-user": named("true")}), "--create-home-dir=false", False),
        (own("spec: {create_home_dir: false}"), "-i x --run-as-user", False),
        (configmap({}), "", None),
    ],
)
def test_a_home_directory_is_made_only_where_nobody_says_otherwise(
    template: Template, words: str, home: bool | None
) -> None:
    assert spec_of(template, words).get("create_home_dir") is home


def test_a_default_of_a_template_s_own_flag_lies_below_the_admin_s_value() -> None:
    admin = configmap({"create-home-dir": named("false")}, "template-admin")
    assert (
        spec_of(configmap({"run-as-user": named("true")}), "", admin=admin)["create_home_dir"]
        is False
    )


def test_a_default_is_not_what_a_template_requires() -> None:
    template = configmap({"processes": {"required": True}})
    with pytest.raises(SpecError, match=r"spec\.distributed\.workers: missing; required by 't'"):
        effective(template, "", "submit-mpi")
    assert spec_of(template, "--processes 3", "submit-mpi")["distributed"]["workers"] == 3


def test_a_default_does_not_break_a_lock_and_an_own_word_does() -> None:
    admin = own("locked: [create_home_dir]", "admin")
    assert "create_home_dir" not in spec_of(configmap({}), "--run-as-user", admin=admin)
    with pytest.raises(SpecError, match=r"spec\.create_home_dir: the task tries True"):
        effective(configmap({}), "--create-home-dir", admin=admin)


def test_the_layer_that_fills_in_is_the_one_that_names_the_flag() -> None:
    assert effective(configmap({}), "--run-as-user").layers["create_home_dir"] == CALL
    found = effective(configmap(FOUR), "--run-as-user", "submit-mpi")
    assert found.layers["distributed.workers"] == "t"
    assert found.layers["distributed.framework"] == "t", "who only repeats a value does not count"


# --- one repository, field by field
# ---------------------------------------------------------------------------------

SOURCE = {"git-sync": {"source": named("https://git/a")}}
BRANCHED = {
    "git-sync": {"source": named("https://git/a"), "branch": named("dev"), "target": named("/src")}
}
PLAIN = {"repository": "https://git/a", "branch": "master", "path": "/code"}


@pytest.mark.parametrize(
    ("template", "words", "git"),
    [
        (configmap(SOURCE), "", [PLAIN]),
        (configmap(SOURCE), "--git-sync branch=dev", [{**PLAIN, "branch": "dev"}]),
        (
            configmap(SOURCE),
            "--git-sync source=https://git/a,branch=dev",
            [{**PLAIN, "branch": "dev"}],
        ),
        (
            configmap(SOURCE),
            "--git-sync source=https://git/b",
            [{**PLAIN, "repository": "https://git/b"}],
        ),
        (
            configmap(SOURCE),
            "--git-sync rev=abc,target=/x",
            [{**PLAIN, "revision": "abc", "path": "/x"}],
        ),
        (configmap(BRANCHED), "", [{**PLAIN, "branch": "dev", "path": "/src"}]),
        (
            configmap(BRANCHED),
            "--git-sync branch=next",
            [{**PLAIN, "branch": "next", "path": "/src"}],
        ),
        (
            configmap(BRANCHED),
            "--git-sync source=https://git/b",
            [{"repository": "https://git/b", "branch": "dev", "path": "/src"}],
        ),
        (configmap({}), "--git-sync source=https://git/a", [PLAIN]),
        (
            own("spec: {storage: {git: [{repository: https://git/a, path: /src}]}}"),
            "-i x --git-sync branch=dev",
            [{"repository": "https://git/a", "branch": "dev", "path": "/src"}],
        ),
        (
            own("spec: {storage: {git: [{repository: https://git/a, path: /code}]}}"),
            "-i x --git-sync source=https://git/b",
            [{"repository": "https://git/b", "path": "/code"}],
        ),
        (
            own("spec: {storage: {git: [{repository: https://git/tools, path: /tools}]}}"),
            "-i x --git-sync source=https://git/a",
            [{"repository": "https://git/tools", "path": "/tools"}, PLAIN],
        ),
    ],
)
def test_git_sync_completes_the_one_of_a_template(
    template: Template, words: str, git: list[dict[str, Any]]
) -> None:
    found = spec_of(template, words)
    assert found["storage"]["git"] == git
    WorkloadSpec.from_mapping(found)


def test_the_template_s_repository_completes_the_admin_s() -> None:
    admin = configmap(BRANCHED, "template-admin")
    found = spec_of(
        configmap({"git-sync": {"source": named("https://git/b")}}), "--git-sync rev=1", admin=admin
    )
    assert found["storage"]["git"] == [
        {"repository": "https://git/b", "branch": "dev", "path": "/src", "revision": "1"}
    ]


def test_git_sync_without_a_source_anywhere_is_named() -> None:
    with pytest.raises(SpecError, match=r"--git-sync: source missing; allowed: source=…,branch=…"):
        parse_command("runai submit a -i x --git-sync branch=dev")
    with pytest.raises(
        SpecError, match=r"spec\.storage\.git: --git-sync names no source, and no template has one"
    ):
        effective(configmap({}), "--git-sync branch=dev")


def test_a_lock_on_repositories_holds_git_sync_too() -> None:
    admin = own(
        "locked: [storage.git]\nspec: {storage: {git: [{repository: u, path: /code}]}}", "admin"
    )
    with pytest.raises(
        SpecError,
        match=r"spec\.storage\.git: the task tries .* but 'admin' \(admin\.yaml\) locks it",
    ):
        effective(own("spec: {image: x}"), "--git-sync branch=dev", admin=admin)
    with pytest.raises(SpecError, match=r"spec\.storage\.git: template 't' \(cm\.yaml\) tries"):
        effective(configmap(SOURCE), "", admin=admin)
    assert len(spec_of(own("spec: {image: x}"), "", admin=admin)["storage"]["git"]) == 1


def test_a_required_repository_may_come_of_either() -> None:
    template = configmap({"git-sync": {"source": {"value": "https://git/a", "required": True}}})
    assert spec_of(template, "")["storage"]["git"] == [PLAIN]


# --- words replace words
# --------------------------------------------------------------------------------------------

TRAIN = ["python", "train.py", "--lr", "0.1"]
COMMAND = {"command": named("true"), "extra-args": TRAIN}
ARGS = {"extra-args": ["--lr", "0.1"]}
OLD = {"command": ["./start.sh"], "args": ["--lr", "0.1"]}


def old(values: dict[str, Any]) -> Template:
    data = {"name": "t", "values": yaml.safe_dump({"image": "a/b:1", **values})}
    return import_configmap(
        {"kind": "ConfigMap", "data": data, "metadata": {"name": "t"}}, "cm.yaml"
    )


@pytest.mark.parametrize(
    ("template", "words", "command", "args"),
    [
        (configmap(COMMAND), "", "python train.py --lr 0.1", None),
        (configmap(COMMAND), "-- python eval.py", "python eval.py", None),
        (configmap(COMMAND), "--command -- python eval.py", "python eval.py", None),
        (configmap(COMMAND), "--command=false -- --lr 1", None, "--lr 1"),
        (configmap(COMMAND), "--command ./eval.sh --args a", "./eval.sh", "a"),
        (configmap(COMMAND), "--args a", "a", None),
        (configmap(ARGS), "", None, "--lr 0.1"),
        (configmap(ARGS), "-- --lr 1", None, "--lr 1"),
        (configmap(ARGS), "--command -- python eval.py", "python eval.py", None),
        (configmap(ARGS), "--command ./eval.sh", "./eval.sh", None),
        (configmap({"command": named("true")}), "-- python eval.py", "python eval.py", None),
        (configmap({"command": named("false")}), "-- a", None, "a"),
        (configmap({}), "-- a", None, "a"),
        (old(OLD), "", "./start.sh", "--lr 0.1"),
        (old(OLD), "-- --lr 1", None, "--lr 1"),
        (old(OLD), "--command -- ./eval.sh", "./eval.sh", None),
        (old(OLD), "--args=--lr --args=1", "./start.sh", "--lr 1"),
        (old(OLD), "--command ./eval.sh", "./eval.sh", "--lr 0.1"),
    ],
)
def test_words_of_a_line_replace_those_of_a_configmap_together(
    template: Template, words: str, command: str | None, args: str | None
) -> None:
    found = spec_of(template, words)
    assert (found.get("command"), found.get("args")) == (command, args)


def test_words_of_a_mapping_count_key_by_key() -> None:
    found = resolve("t", {"t": configmap(COMMAND)}, {"args": "--more"}, None)
    assert (found.spec["command"], found.spec["args"]) == ("python train.py --lr 0.1", "--more")


def test_templates_of_the_own_format_count_key_by_key_and_doubt_is_said() -> None:
    template = own("spec: {image: x, command: python train.py, args: --lr 0.1}", "base")
    found = effective(template, "--command -- python eval.py")
    assert (found.spec["command"], found.spec["args"]) == ("python eval.py", "--lr 0.1")
    assert found.warnings == (
        "template 'base': its args come behind the line's command; if they are not meant, name none there",
    )
    assert effective(template, "-- --lr 1").warnings == ()
    assert effective(own("spec: {image: x, args: --lr 0.1}"), "-e A=1").warnings == ()


# --- MPI jobs of CLI v1
# ---------------------------------------------------------------------------------------------


def wire(words: str, verb: str = "submit-mpi") -> dict[str, Any]:
    return parse_command(f"runai {verb} dist -i x {words}").workload().to_wire()


@pytest.mark.parametrize("verb", ["submit-mpi", "mpi", "mj", "submit-dist mpi"])
@pytest.mark.parametrize(
    ("words", "runs"),
    [
        ("-- mpirun -np 4 python train.py", {"args": "mpirun -np 4 python train.py"}),
        ("--command -- mpirun train", {"command": "mpirun train"}),
        ("--command mpirun --args train", {"command": "mpirun", "args": "train"}),
        ("", {}),
    ],
)
def test_the_launcher_alone_runs_the_command_and_has_no_gpu(
    verb: str, words: str, runs: dict[str, str]
) -> None:
    flag = "--workers" if " " in verb else "--processes"
    body = wire(f"{flag} 2 -g 2 -e A=1 --working-dir /w {words}", verb)
    assert not body["spec"].keys() & {"command", "args"}
    assert {key: body["masterSpec"].get(key) for key in runs} == runs
    assert body["masterSpec"]["compute"] == {"gpuDevicesRequest": 0}
    assert body["spec"]["compute"] == {"gpuDevicesRequest": 2}
    for key in ("image", "environmentVariables", "workingDir"):
        assert body["masterSpec"][key] == body["spec"][key], (
            "apart from that the launcher is as a worker"
        )


@pytest.mark.parametrize(
    ("gpus", "asked"),
    [
        ("-g 1", 3.0),
        ("-g 2", 6.0),
        ("-g 0.5", 1.5),
        ("", 0.0),
        ("--mig-profile 1g.5gb", 0.0),
        ("-g 0", 0.0),
    ],
)
def test_the_launcher_counts_no_gpu(gpus: str, asked: float) -> None:
    assert (
        gpus_requested(
            parse_command(f"runai submit-mpi d -i x --processes 3 {gpus} -- mpirun t").workload()
        )
        == asked
    )


def test_the_launcher_has_neither_share_nor_slice() -> None:
    share = wire("-g 0.5 --large-shm --cpu 2")["masterSpec"]["compute"]
    assert share == {"gpuDevicesRequest": 0, "largeShmRequest": True, "cpuCoreRequest": 2.0}
    memory = wire("--gpu-memory 5G")["masterSpec"]["compute"]
    assert memory == {"gpuDevicesRequest": 0}
    sliced = wire("--mig-profile 1g.5gb --extended-resource rdma/hca=1")["masterSpec"]["compute"]
    assert sliced["extendedResources"] == [{"resource": "rdma/hca", "quantity": "1"}]


@pytest.mark.parametrize("verb", ["training mpi submit", "mpi submit", "distributed submit -f MPI"])
def test_the_present_command_line_says_by_flags_what_its_master_is(verb: str) -> None:
    body = parse_command(f"runai {verb} d -i x --workers 2 -g 1 -- mpirun t").workload().to_wire()
    assert (body["masterSpecSameAsWorker"], body["spec"]["args"]) == (True, "mpirun t")


@pytest.mark.parametrize("verb", ["submit-dist pytorch", "submit-dist tf", "submit-dist xgboost"])
def test_other_launchers_run_the_command_everywhere(verb: str) -> None:
    body = wire("-g 1 -- python t.py", verb)
    assert (body["masterSpecSameAsWorker"], body["spec"]["args"]) == (True, "python t.py")


MPI = {
    "processes": named("4"),
    "gpu": named("2"),
    "command": named("true"),
    "extra-args": ["mpirun", "t"],
}


@pytest.mark.parametrize(
    ("template", "words", "verb", "runs"),
    [
        (configmap(MPI), "", "submit-mpi", {"command": "mpirun t"}),
        (configmap(MPI), "-- mpirun e", "submit-mpi", {"command": "mpirun e"}),
        (configmap(MPI), "", "submit", {"command": "mpirun t"}),
        (configmap({"gpu": named("2")}), "--processes 4 -- mpirun e", "submit-mpi", {"args": "mpirun e"}),
        (own("spec: {image: x, compute: {gpu_devices: 2}}"), "--processes 4 -- e", "submit-mpi", {"args": "e"}),
        (own("spec: {image: x, command: mpirun t, compute: {gpu_devices: 2}}"), "--processes 4", "mj",
         {"command": "mpirun t"}),
    ],
)  # fmt: skip
def test_templates_bring_the_launcher_s_command_too(
    template: Template, words: str, verb: str, runs: dict[str, str]
) -> None:
    found = effective(template, words, verb)
    spec = WorkloadSpec.from_mapping(found.spec)
    body = spec.to_wire()
    assert gpus_requested(spec) == 8
    assert body["spec"]["numWorkers"] == 4
    assert {
        key: body["masterSpec"][key] for key in ("command", "args") if key in body["masterSpec"]
    } == runs
    assert not body["spec"].keys() & {"command", "args"}
    assert set(found.layers) == {
        key for key in found.layers if not key.startswith(("command", "args"))
    }


def test_a_plain_submit_that_a_template_makes_an_mpi_job_is_warned_of() -> None:
    assert any(
        "has 'processes', so this becomes an MPI" in one
        for one in effective(configmap(MPI), "").warnings
    )
    assert effective(configmap(MPI), "", "submit-mpi").warnings == ()


def test_who_says_what_the_master_is_has_the_last_word() -> None:
    call = {
        "distributed": {
            "framework": "MPI",
            "master": {"args": "mine", "compute": {"gpu_devices": 1}},
        }
    }
    line = "runai submit-mpi d -i x -g 2 -- mpirun t"
    found = gather(call, line, None, None, lambda value: value).spec
    body = WorkloadSpec.from_mapping(found).to_wire()
    assert (body["masterSpec"]["args"], body["masterSpec"]["compute"]["gpuDevicesRequest"]) == (
        "mine",
        1,
    )


# --- as a task has it
# -----------------------------------------------------------------------------------------------


def gathered(
    line: str, spec: Any = None, template: str | None = None, **templates: Any
) -> dict[str, Any]:
    return dict(gather(spec, line, template, templates or None, lambda value: value).spec)


def test_a_task_s_own_template_and_keys_count_as_those_of_the_line_do() -> None:
    team = {
        "spec": {"compute": {"gpu_devices": 2}, "distributed": {"framework": "MPI", "workers": 4}}
    }
    for line, template in (("--template team", None), ("", "team")):
        spec = gathered(f"runai submit-mpi d -i x {line} -- mpirun t", None, template, team=team)
        assert spec["distributed"]["workers"] == 4
        assert spec["distributed"]["master"] == {"args": "mpirun t", "compute": {"gpu_devices": 0}}
    spec = gathered("runai submit-mpi d -i x -- mpirun t", {"compute": {"gpu_devices": 2}})
    assert spec["distributed"] == {
        "framework": "MPI",
        "workers": 1,
        "master": {"args": "mpirun t", "compute": {"gpu_devices": 0}},
    }
    assert (
        gathered("runai submit a -i x --run-as-user", {"create_home_dir": False})["create_home_dir"]
        is False
    )


def test_a_mapping_s_repositories_take_the_place_of_the_line_s() -> None:
    mine = {"storage": {"git": [{"repository": "mine", "path": "/m"}]}}
    assert gathered("runai submit a -i x --git-sync source=u", mine)["storage"] == mine["storage"]
    assert gathered("runai submit a -i x --git-sync source=https://git/a")["storage"] == {
        "git": [PLAIN]
    }


def test_jinja_in_git_sync_is_rendered() -> None:
    found = gather(
        None, "runai submit a -i x --git-sync 'source=u,branch={{ b }}'", None, None, _rendered
    )
    assert found.spec["storage"]["git"][0]["branch"] == "dev"


def _rendered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rendered(entry) for key, entry in value.items()}
    return value.replace("{{ b }}", "dev") if isinstance(value, str) else value


def test_a_line_with_a_template_leaves_to_it_what_it_does_not_say() -> None:
    parsed = parse_command("runai submit-mpi a --template t --run-as-user --git-sync branch=dev")
    assert parsed.spec["distributed"] == {"framework": "MPI"}
    assert "create_home_dir" not in parsed.spec
    assert parsed.spec["storage"]["git"] == [{"branch": "dev"}]


# --- ConfigMaps as they are kept
# ------------------------------------------------------------------------------------


def test_the_admin_s_template_says_that_it_lies_beneath() -> None:
    template = configmap({"prevent-privilege-escalation": named("true")}, "template-admin")
    assert template.name == "admin"
    assert "lies beneath the template that a task names" in template.warnings[0]
    assert "locked:" in template.warnings[0]


def test_a_listing_of_configmaps_is_read_item_by_item() -> None:
    item = {
        "kind": "ConfigMap",
        "data": {"name": "a", "values": "image: {value: x}"},
        "metadata": {"name": "a"},
    }
    other = {
        "kind": "ConfigMap",
        "data": {"name": "b", "values": "image: {value: y}"},
        "metadata": {"name": "b"},
    }
    listing = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [item, other]})
    assert sorted(library({"all.yaml": listing})) == ["a", "b"]
    broken = yaml.safe_dump(
        {"apiVersion": "v1", "kind": "List", "items": [item, {"kind": "Secret"}, 1]}
    )
    with pytest.raises(SpecError) as caught:
        library({"all.yaml": broken})
    assert {problem.partition(": ")[0] for problem in caught.value.problems} == {
        "all.yaml, items[1]",
        "all.yaml, items[2]",
    }


def test_a_template_that_was_the_default_is_named_where_none_is() -> None:
    values = yaml.safe_dump({"image": "a/b:1"})
    mapping = {
        "kind": "ConfigMap",
        "data": {"name": "old", "values": values},
        "metadata": {"name": "old", "annotations": {"runai/default": "true"}},
    }
    known = {"old": import_configmap(mapping)}
    assert "the command line took 'old'" in resolve(None, known, {"image": "x"}, None).warnings[0]


def test_a_template_of_the_control_plane_is_told_apart() -> None:
    with pytest.raises(
        SpecError, match=r"A template of the control plane is named as spec\.template_id"
    ):
        resolve("t", {}, {}, None)
