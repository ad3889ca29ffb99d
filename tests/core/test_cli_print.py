"""What is printed is read back as the same; what cannot be printed is named."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_runai.core.command_line import parse_command, print_command
from airflow_runai.core.command_line.printing import normal
from airflow_runai.core.json_merge import canonical
from airflow_runai.core.spec import WorkloadSpec, key_table
from airflow_runai.errors import SpecError
from tests.core.test_cli_grammar import BY_ARGUMENTS, BY_ENVIRONMENT

IMAGE = {"image": "img"}

# --- everything that CLI v2 can say
# ---------------------------------------------------------------------------------

WORD = st.text(st.sampled_from("adgipZ09_-./:=,$'\"\\ \n#é{}*~|"), min_size=1, max_size=8)
TEXT = WORD.filter(lambda text: bool(text.strip()))
#: What may stand between commas.
PART = st.text(st.sampled_from("aZ09_-./:=$'\"é"), min_size=1, max_size=8)
PATH = PART.map(lambda text: f"/{text}")
NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True).filter(
    lambda name: not name.startswith("AIRFLOW")
)
LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,9}[a-z0-9])?", fullmatch=True)
COUNT = st.integers(1, 2**31 - 1)
QUANTITY = st.from_regex(r"[1-9][0-9]{0,2}(\.[0-9])?([kMGT]i?)?", fullmatch=True)
SHARE = st.floats(0.0, 1.0, exclude_min=True)
CORES = st.floats(0.0, 1e6, exclude_min=True)
PAIRS = st.dictionaries(NAME, WORD, min_size=1, max_size=3)
PORT = st.integers(1, 65535)


def some(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


def entry(
    needed: dict[str, st.SearchStrategy[Any]], **more: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    return st.lists(st.fixed_dictionaries(needed, optional=more), min_size=1, max_size=2)


def shell_text() -> st.SearchStrategy[str]:
    return st.lists(WORD, min_size=1, max_size=4).map(shlex.join)


BOOLEAN = st.booleans()
VARIABLE = st.one_of(
    TEXT,
    st.fixed_dictionaries({"secret": st.fixed_dictionaries({"name": PART, "key": PART})}),
    st.fixed_dictionaries({"credential": st.fixed_dictionaries({"name": PART, "key": PART})}),
    st.fixed_dictionaries({"pod_field": TEXT}),
)
SIZES = {
    "cpu_cores": CORES, "cpu_cores_limit": CORES, "cpu_memory": QUANTITY, "cpu_memory_limit": QUANTITY,
    "extended_resources": PAIRS,
}  # fmt: skip
COMPUTE = st.one_of(
    some(
        gpu_devices=st.integers(0, 64), gpu_portion_limit=SHARE, gpu_memory_limit=QUANTITY, **SIZES
    ),
    some(
        gpu_portion=SHARE,
        gpu_devices=st.just(1),
        gpu_portion_limit=SHARE,
        large_shm=BOOLEAN,
        **SIZES,
    ),
    some(gpu_memory=QUANTITY, gpu_memory_limit=QUANTITY, large_shm=BOOLEAN, **SIZES),
)
CLAIM = st.one_of(
    st.fixed_dictionaries({"claim": PART, "path": PATH}, optional={"existing": st.just(True)}),
    st.fixed_dictionaries(
        {"size": QUANTITY, "path": PATH},
        optional={
            "claim": PART, "storage_class": PART, "read_only": BOOLEAN, "ephemeral": BOOLEAN,
            "existing": st.just(False),
            "access_mode": st.sampled_from(["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"]),
        },
    ),
)  # fmt: skip
STORAGE = some(
    pvc=st.lists(CLAIM, min_size=1, max_size=3),
    nfs=entry({"path": PATH, "server": PART, "mount_path": PATH, "read_only": BOOLEAN}),
    host_path=entry(
        {"path": PATH, "mount_path": PATH, "read_only": BOOLEAN},
        mount_propagation=st.sampled_from(["None", "HostToContainer"]),
    ),
    git=entry({"repository": PART, "path": PATH}, revision=PART, secret=PART),
    s3=entry({"bucket": PART, "path": PATH}, url=PART, secret=PART),
    config_map=entry({"name": PART, "mount_path": PATH}, sub_path=PART),
    secret=entry({"name": PART, "mount_path": PATH}),
    empty_dir=entry({"path": PATH}, medium=PART, size_limit=QUANTITY),
)
SECURITY = some(
    run_as_uid=COUNT, run_as_gid=COUNT, run_as_non_root=BOOLEAN, host_ipc=BOOLEAN, host_network=BOOLEAN,
    supplemental_groups=st.lists(st.integers(0, 99999).map(str), min_size=1, max_size=3).map(",".join),
    uid_gid_source=st.sampled_from(["fromTheImage", "fromIdpToken", "custom"]),
    capabilities=st.lists(TEXT, min_size=1, max_size=2), allow_privilege_escalation=BOOLEAN, seccomp_profile=TEXT,
)  # fmt: skip
RAW = some(
    ports=st.lists(
        st.fixed_dictionaries(
            {"container": PORT}, optional={"external": PORT, "serviceType": st.sampled_from(["NodePort", "ClusterIP"])}
        ),
        min_size=1, max_size=2,
    ),
    exposedUrls=st.lists(
        st.one_of(
            st.fixed_dictionaries({"container": PORT}, optional={"url": PART}),
            st.fixed_dictionaries(
                {
                    "container": PORT, "authorizationType": st.just("authorizedGroups"),
                    "authorizedGroups": st.lists(PART, min_size=1, max_size=1),
                }
            ),
        ),
        min_size=1, max_size=2,
    ),
    podAffinity=st.fixed_dictionaries({"type": st.sampled_from(["Preferred", "Required"]), "key": TEXT}),
)  # fmt: skip
RESTART = st.sampled_from(["Always", "Never", "OnFailure"])
MASTER_COMPUTE = st.one_of(
    some(gpu_devices=st.integers(0, 8), gpu_portion_limit=SHARE, **SIZES),
    some(gpu_portion=SHARE, **SIZES),
)
MASTER = some(
    command=shell_text(), args=shell_text(), environment=st.dictionaries(NAME, TEXT, min_size=1, max_size=2),
    compute=MASTER_COMPUTE.filter(bool), restart_policy=RESTART, storage=st.just({"pvc": []}),
).filter(bool)  # fmt: skip
COMMON: dict[str, st.SearchStrategy[Any]] = {
    "image_pull_policy": st.sampled_from(["Always", "Never", "IfNotPresent"]),
    "working_dir": TEXT.map(lambda text: f"/{text}"),
    "environment": st.dictionaries(NAME, VARIABLE, min_size=1, max_size=4),
    "compute": COMPUTE.filter(bool), "storage": STORAGE.filter(bool), "security": SECURITY.filter(bool),
    "preemptibility": st.sampled_from(["preemptible", "semi-preemptible", "non-preemptible"]),
    "priority": TEXT, "node_pools": st.lists(TEXT, min_size=1, max_size=3), "node_type": TEXT,
    "tolerations": entry(
        {"key": PART},
        operator=st.sampled_from(["Equal", "Exists"]), value=PART, seconds=COUNT,
        effect=st.sampled_from(["NoSchedule", "NoExecute", "PreferNoSchedule", "Any"]),
    ),
    "backoff_limit": st.integers(0, 100), "restart_policy": RESTART,
    "termination_grace_period": COUNT, "auto_deletion": st.integers(0, 2**31),
    "labels": PAIRS, "annotations": PAIRS, "create_home_dir": BOOLEAN, "raw": RAW.filter(bool),
}  # fmt: skip
LAUNCHED = st.one_of(
    st.fixed_dictionaries(
        {"framework": st.just("PyTorch")},
        optional={"workers": COUNT, "min_replicas": COUNT, "max_replicas": COUNT, "master": MASTER},
    ),
    st.fixed_dictionaries(
        {"framework": st.just("MPI")},
        optional={"workers": COUNT, "slots_per_worker": COUNT, "master": MASTER},
    ),
    st.fixed_dictionaries(
        {"framework": st.sampled_from(["TF", "XGBoost"])},
        optional={
            "workers": COUNT,
            "clean_pod_policy": st.sampled_from(["None", "All", "Running"]),
        },
    ),
)
RUN: st.SearchStrategy[dict[str, str]] = st.one_of(
    st.just({}), st.fixed_dictionaries({"command": shell_text()}), st.fixed_dictionaries({"args": shell_text()}),
    st.fixed_dictionaries({"command": shell_text(), "args": shell_text()}),
)  # fmt: skip
KIND = st.one_of(
    st.fixed_dictionaries({"distributed": LAUNCHED}),
    some(completions=COUNT),
    st.fixed_dictionaries({"completions": COUNT, "parallelism": COUNT}),
)
SPEC = st.tuples(st.fixed_dictionaries({"image": TEXT}, optional=COMMON), RUN, KIND).map(
    lambda parts: {**parts[0], **parts[1], **parts[2]}
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(SPEC, st.none() | LABEL, st.none() | TEXT)
def test_reading_what_was_printed_gives_the_same_specification(
    spec: dict[str, Any], name: str | None, project: str | None
) -> None:
    line = print_command(spec, name=name, project=project)
    parsed = parse_command(line)
    ours, theirs = normal(WorkloadSpec.from_mapping(spec)), WorkloadSpec.from_mapping(parsed.spec)
    assert canonical(theirs.to_wire()) == canonical(ours.to_wire())
    assert (parsed.name, parsed.project, parsed.kind == "distributed") == (
        name,
        project,
        "distributed" in spec,
    )
    assert print_command(parsed.spec, name=name, project=project) == line


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(WORD | st.just(""), max_size=6))
def test_a_shell_s_quoting_is_undone_exactly(words: list[str]) -> None:
    line = shlex.join(["runai", "submit", "a", "-i", "x", "--", *words])
    parsed = parse_command(line)
    assert shlex.split(parsed.spec.get("args", "")) == words


@pytest.mark.parametrize("line", [BY_ENVIRONMENT, BY_ARGUMENTS], ids=["environment", "arguments"])
def test_the_lines_of_the_article_come_back(line: str) -> None:
    parsed = parse_command(line)
    printed = print_command(parsed.spec, name=parsed.name, project=parsed.project)
    again = parse_command(printed)
    ours, theirs = (normal(WorkloadSpec.from_mapping(p.spec)) for p in (parsed, again))
    assert theirs == ours
    assert (again.name, again.project, again.warnings) == ("train1", "my-project", ())
    assert printed.startswith(
        "runai training submit train1 --project my-project --image nvcr.io/nvidia/tensorflow:20.03"
    )


def test_command_and_arguments_become_one_command() -> None:
    line = print_command({**IMAGE, "command": "./run.sh", "args": "--lr 0.1"})
    assert line == "runai training submit --image img --command -- ./run.sh --lr 0.1"


def test_a_share_of_a_gpu_names_its_type() -> None:
    line = print_command(
        WorkloadSpec.from_mapping({**IMAGE, "compute": {"gpu_portion": 0.5}}), name="a"
    )
    assert (
        line
        == "runai training submit a --image img --gpu-request-type portion --gpu-portion-request 0.5"
    )


@pytest.mark.parametrize(
    ("framework", "verb"),
    [("PyTorch", "pytorch"), ("TF", "tensorflow"), ("MPI", "mpi"), ("XGBoost", "xgboost")],
)
def test_a_launcher_is_named_by_the_verb(framework: str, verb: str) -> None:
    line = print_command({**IMAGE, "distributed": {"framework": framework, "workers": 2}}, name="a")
    assert line == f"runai training {verb} submit a --image img --workers 2"


CANNOT: dict[str, tuple[dict[str, Any], str]] = {
    "a template": ({"template_id": "t"}, "spec.template_id: no flag"),
    "pull secrets": ({"image_pull_secrets": ["s"]}, "spec.image_pull_secrets: no flag"),
    "the end at a preemption": ({"terminate_after_preemption": False}, "spec.terminate_after_preemption: no flag"),
    "a read-only root": ({"security": {"read_only_root": True}}, "spec.security.read_only_root: no flag"),
    "a data volume": ({"storage": {"data_volume": [{"id": "d"}]}}, "spec.storage.data_volume: no flag"),
    "a branch": (
        {"storage": {"git": [{"repository": "u", "path": "/g", "branch": "b"}]}},
        "spec.storage.git: branch='b': the flag has no part for it",
    ),
    "an unsaid mode": (
        {"storage": {"nfs": [{"path": "/a", "server": "s", "mount_path": "/b"}]}},
        "spec.storage.nfs: read_only: not set, and the flag always says one or the other; set it",
    ),
    "a comma": (
        {"storage": {"pvc": [{"claim": "c", "path": "/a,b"}]}},
        "spec.storage.pvc: path='/a,b': a comma or outer blank cannot stand in the flag",
    ),
    "a read-only existing claim": (
        {"storage": {"pvc": [{"claim": "c", "path": "/a", "read_only": True}]}},
        "spec.storage.pvc: read_only=True: the flag has no part for it",
    ),
    "a new claim without size": (
        {"storage": {"pvc": [{"claim": "c", "path": "/a", "existing": False}]}},
        "spec.storage.pvc: size: missing; the flag needs",
    ),
    "a config map's variable": (
        {"environment": {"A": {"config_map": {"name": "m", "key": "k"}}}},
        "spec.environment: no flag of the command line says it in this form",
    ),
    "a label with an equals sign": ({"labels": {"a=b": "c"}}, "spec.labels: 'a=b' cannot stand before a '='"),
    "named tolerations": ({"tolerations": [{"name": "n", "key": "k"}]}, "spec.tolerations: name='n': the flag has no"),
    "a launcher": ({"distributed": {"framework": "JAX"}}, "spec.distributed.framework: 'JAX': the command line has no"),
    "a master's image": (
        {"distributed": {"framework": "MPI", "master": {"image": "m"}}},
        "spec.distributed.master.image: no flag",
    ),
    "an empty master": ({"distributed": {"framework": "MPI", "master": {}}}, "spec: the command line would change"),
    "other raw fields": ({"raw": {"probes": {}}}, "spec.raw.probes: no flag"),
    "ports of another shape": ({"raw": {"ports": [{"container": 80, "toolType": "x"}]}}, "spec.raw.ports: toolType="),
    "ports as text": ({"raw": {"ports": [{"container": "80"}]}}, "spec: the command line would change ports"),
    "ports that are none": ({"raw": {"ports": 80}}, "spec.raw.ports: 'int' object is not iterable"),
    "replicas of another launcher": (
        {"distributed": {"framework": "MPI", "min_replicas": 1}},
        "--min-replicas: not for MPI; allowed: PyTorch. Leave it out; or send it as JSON",
    ),
    "broken quotes": ({"command": "echo 'a"}, "spec.command: No closing quotation; close the quotes"),
}  # fmt: skip


@pytest.mark.parametrize(("more", "begins"), CANNOT.values(), ids=CANNOT.keys())
def test_what_the_command_line_cannot_say_is_named(more: dict[str, Any], begins: str) -> None:
    with pytest.raises(SpecError) as caught:
        print_command({**IMAGE, **more}, name="a")
    assert [p for p in caught.value.problems if p.startswith(begins)], caught.value.problems
    assert begins.startswith("spec.command") or "WorkloadSpec.to_wire" in str(caught.value)


def test_all_that_cannot_be_said_is_listed_at_once() -> None:
    spec = {
        **IMAGE,
        "template_id": "t",
        "image_pull_secrets": ["s"],
        "distributed": {"framework": "JAX"},
    }
    with pytest.raises(SpecError) as caught:
        print_command(spec)
    assert len(caught.value.problems) == 3


def test_every_key_of_a_specification_can_be_printed_or_is_known_not_to_be() -> None:
    generated = {*COMMON, "image", "command", "args", "distributed", "completions", "parallelism"}
    unsaid = {"template_id", "image_pull_secrets", "terminate_after_preemption"}
    assert {key for key, _, _ in key_table() if "." not in key} == generated | unsaid


def test_a_specification_that_is_wrong_is_not_printed() -> None:
    with pytest.raises(SpecError, match=r"spec\.imag: unknown key; did you mean 'image'\?"):
        print_command({"imag": "x"})
