"""The traps of the grammars, and lines as people copy them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.core.command_line import ParsedCommand, parse_command
from airflow_runai.core.command_line.values import seconds
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.errors import SpecError

ARTICLE = (
    "runai submit train1 -i nvcr.io/nvidia/tensorflow:20.03-tf1-py3 --project my-project -v /nfs/john:/mydir -g 1 "
    "--command ./startup.sh --working-dir /mydir/ "
)
BY_ENVIRONMENT = ARTICLE + "-e 'EPOCHS=30' -e 'LEARNING_RATE=0.02'"
BY_ARGUMENTS = ARTICLE + "--args='number-of-epochs=30' --args='batch-size=64'"
ARTICLE_SPEC: dict[str, Any] = {
    "image": "nvcr.io/nvidia/tensorflow:20.03-tf1-py3",
    "storage": {"host_path": [{"path": "/nfs/john", "mount_path": "/mydir", "read_only": False}]},
    "compute": {"gpu_devices": 1},
    "working_dir": "/mydir/",
    "command": "./startup.sh",
}


def v1(words: str, verb: str = "submit") -> ParsedCommand:
    return parse_command(f"runai {verb} train1 -i img {words}")


def v2(words: str, verb: str = "training submit") -> ParsedCommand:
    return parse_command(f"runai {verb} train1 -i img {words}")


def run_of(parsed: ParsedCommand) -> tuple[Any, Any]:
    return parsed.spec.get("command"), parsed.spec.get("args")


def refusal(line: str | list[str]) -> str:
    with pytest.raises(SpecError) as caught:
        parse_command(line)
    return "\n".join(caught.value.problems)


def test_the_two_lines_of_the_article_mean_what_they_say() -> None:
    first, second = parse_command(BY_ENVIRONMENT), parse_command(BY_ARGUMENTS)
    assert first.spec == {**ARTICLE_SPEC, "environment": {"EPOCHS": "30", "LEARNING_RATE": "0.02"}}
    assert second.spec == {**ARTICLE_SPEC, "args": "number-of-epochs=30 batch-size=64"}
    for parsed in (first, second):
        assert (parsed.name, parsed.project, parsed.kind) == ("train1", "my-project", "training")
        assert parsed.warnings == ()
        assert parsed.name_prefix is parsed.template is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--command ./a.sh --args b --args c", ("./a.sh", "b c")),
        ("--command=./a.sh --args=--lr --args 0.1", ("./a.sh", "--lr 0.1")),
        ("--command python --command train.py", ("python train.py", None)),
        ("--args a", (None, "a")),
        ("--args --project --args -p", (None, "--project -p")),
        ("-- a b", (None, "a b")),
        ("--command -- a b", ("a b", None)),
        ("--command=true -- a b", ("a b", None)),
        ("--command=false -- a b", (None, "a b")),
        ("--command -- python -p 80 --port -- --image", ("python -p 80 --port -- --image", None)),
        ("--", (None, None)),
        ("", (None, None)),
    ],
)
def test_command_and_arguments_of_v1_follow_their_grammar(
    words: str, expected: tuple[Any, Any]
) -> None:
    assert run_of(v1(words)) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-- a 'b c'", (None, "a 'b c'")),
        ("--command -- a b", ("a b", None)),
        ("-c -- a -c", ("a -c", None)),
        ("-c=false -- a", (None, "a")),
    ],
)
def test_command_of_v2_is_always_boolean(words: str, expected: tuple[Any, Any]) -> None:
    assert run_of(v2(words)) == expected


def test_words_after_the_bare_hyphens_win_over_legacy_arguments() -> None:
    parsed = v1("--args a -- b")
    assert run_of(parsed) == (None, "b")
    assert parsed.warnings == ("--args: not used, because the words after -- win",)


def test_a_command_with_blanks_is_one_word_as_in_2020_and_warned_about() -> None:
    parsed = v1("--command 'python train.py'")
    assert parsed.spec["command"] == "'python train.py'"
    assert "one word" in parsed.warnings[0]


@pytest.mark.parametrize(
    "words", ["-t small", "-t=small", "-tsmall", "-t small --command x --args y"]
)
def test_short_t_was_the_template_in_2020(words: str) -> None:
    parsed = v1(words)
    assert parsed.template == "small"
    assert "read as --template small" in parsed.warnings[0]


@pytest.mark.parametrize("words", ["-t", "-t --stdin", "-t -- small", "-t=true", "-t --label a=b"])
def test_short_t_is_a_terminal_ever_since(words: str) -> None:
    parsed = v1(words)
    assert parsed.template is None
    assert parsed.warnings[0].startswith("-t: left out")


def test_a_word_after_t_in_a_younger_line_is_a_second_name() -> None:
    assert "2 given: 'train1', 'small'" in refusal("runai submit train1 -i img -t small -l a=b")


@pytest.mark.parametrize(
    ("value", "name", "kept"),
    [
        ("A=b=c=d", "A", "b=c=d"),
        ("A=", "A", ""),
        ("A=1,B=2", "A", "1,B=2"),
        ("A=SECRET:db,password", "A", {"secret": {"name": "db", "key": "password"}}),
        ("A=${HOME}/x", "A", "${HOME}/x"),
    ],
)
def test_variables_are_split_on_the_first_equals_only(value: str, name: str, kept: Any) -> None:
    assert v1(f"-e '{value}'").spec["environment"] == {name: kept}


def test_variables_of_v2_are_plain_even_where_v1_would_see_a_secret() -> None:
    parsed = v2("-e A=SECRET:db,password")
    assert parsed.spec["environment"] == {"A": "SECRET:db,password"}
    assert "--env-secret" in parsed.warnings[0]


def test_of_a_variable_that_is_set_twice_the_last_one_counts() -> None:
    parsed = v1("-e A=1 -e A=2")
    assert parsed.spec["environment"] == {"A": "2"}
    assert parsed.warnings == ("-e: A is set twice; the last one counts",)


HOST, NFS = "storage.host_path", "storage.nfs"


@pytest.mark.parametrize(
    ("words", "kind", "entry"),
    [
        ("-v /a:/b", "host_path", {"read_only": False}),
        ("-v /a:/b:rw", "host_path", {"read_only": False}),
        ("-v /a:/b:ro", "host_path", {"read_only": True}),
        ("--volume /a:/b::nfs.x", "nfs", {"read_only": False, "server": "nfs.x"}),
        ("-v=/a:/b:ro:nfs.x", "nfs", {"read_only": True, "server": "nfs.x"}),
        ("-v /a:/b --nfs-server n", "nfs", {"read_only": False, "server": "n"}),
        ("--nfs-server n --volumes /a:/b::own", "nfs", {"read_only": False, "server": "own"}),
    ],
)
def test_volumes_have_two_to_four_parts(words: str, kind: str, entry: dict[str, Any]) -> None:
    assert v1(words).spec["storage"] == {kind: [{"path": "/a", "mount_path": "/b", **entry}]}


NEW = {"existing": False, "access_mode": "ReadWriteOnce", "claim": "pvc-train1-0"}


@pytest.mark.parametrize(
    ("value", "entry"),
    [
        ("c:/p", {"claim": "c", "path": "/p", "existing": True}),
        ("c:/p:ro", {"claim": "c", "path": "/p", "existing": True, "read_only": True}),
        ("c:/p:rw", {"claim": "c", "path": "/p", "existing": True}),
        (":3Gi:/p", {"size": "3Gi", "path": "/p", **NEW}),
        ("fast:3Gi:/p", {"size": "3Gi", "path": "/p", "storage_class": "fast", **NEW}),
        (":3Gi:/p:ro", {"size": "3Gi", "path": "/p", "read_only": True, **NEW}),
        ("fast:100M:/p:rw", {"size": "100M", "path": "/p", "storage_class": "fast", **NEW}),
    ],
)
def test_claims_are_told_apart_by_their_parts(value: str, entry: dict[str, Any]) -> None:
    assert v1(f"--pvc {value}").spec["storage"]["pvc"] == [entry]


def test_a_new_claim_without_a_known_name_is_named_by_the_server() -> None:
    parsed = parse_command("runai submit -i img --pvc :3Gi:/p")
    assert "claim" not in parsed.spec["storage"]["pvc"][0]


@pytest.mark.parametrize(
    ("words", "compute"),
    [
        ("-g 2", {"gpu_devices": 2}),
        ("-g1", {"gpu_devices": 1}),
        ("-g=1.0", {"gpu_devices": 1}),
        ("--gpu=0", {"gpu_devices": 0}),
        ("-g 0.5", {"gpu_portion": 0.5}),
        ("-g .25", {"gpu_portion": 0.25}),
        ("--gpu-memory 10G", {"gpu_memory": "10G"}),
        ("--gpu-memory 10Gi", {"gpu_memory": "10Gi"}),
    ],
)
def test_gpus_are_whole_or_a_share(words: str, compute: dict[str, Any]) -> None:
    parsed = v1(words)
    assert parsed.spec["compute"] == compute
    assert parsed.warnings == ()


@pytest.mark.parametrize(
    ("written", "read"),
    [("10GB", "10G"), ("10gb", "10G"), ("512MiB", "512Mi"), ("900kB", "900k"), ("1.5TB", "1.5T")],
)
def test_a_quantity_with_a_b_is_read_without_it_and_said_so(written: str, read: str) -> None:
    parsed = v1(f"--memory {written}")
    assert parsed.spec["compute"] == {"cpu_memory": read}
    assert f"--memory: read as {read}" in parsed.warnings[0]
    assert v2(f"--gpu-memory-request {written}").spec["compute"] == {"gpu_memory": read}


@pytest.mark.parametrize("value", ["1", "t", "T", "TRUE", "true", "True"])
def test_go_booleans_are_on(value: str) -> None:
    assert v1(f"--large-shm={value}").spec["compute"] == {"large_shm": True}


@pytest.mark.parametrize("value", ["0", "f", "F", "FALSE", "false", "False"])
def test_go_booleans_are_off(value: str) -> None:
    assert v1(f"--large-shm={value}").spec["compute"] == {"large_shm": False}


def test_a_boolean_takes_no_value_from_the_next_word() -> None:
    assert "--flag=false" in refusal("runai submit train1 -i img --large-shm false")
    assert "'yes' is not a boolean" in refusal("runai submit train1 -i img --large-shm=yes")


@pytest.mark.parametrize(
    "line", ["runai submit a -p=x -i=y", "runai submit a -px -iy", "runai submit -p x -i y a"]
)
def test_short_forms_are_written_in_three_ways(line: str) -> None:
    parsed = parse_command(line)
    assert (parsed.name, parsed.project, parsed.spec) == ("a", "x", {"image": "y"})


def test_short_booleans_can_be_bundled_before_one_with_a_value() -> None:
    assert v2("-qdg2").spec["compute"] == {"gpu_devices": 2}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("90s", 90),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("1m500ms", 60),
        ("1m600ms", 61),
        ("0", 0),
        ("4d", 345600),
    ],
)
def test_durations_are_go_s_and_days(text: str, count: int) -> None:
    assert seconds(text) == count


@pytest.mark.parametrize(
    ("verb", "distributed"),
    [
        ("submit-mpi", {"framework": "MPI", "workers": 1}),
        ("mpi", {"framework": "MPI", "workers": 1}),
        ("mj", {"framework": "MPI", "workers": 1}),
        ("submit-dist mpi", {"framework": "MPI"}),
        ("submit-dist pytorch", {"framework": "PyTorch"}),
        ("submit-dist tf", {"framework": "TF"}),
        ("submit-dist xgboost", {"framework": "XGBoost"}),
        ("training pytorch submit", {"framework": "PyTorch"}),
        ("training tensorflow submit", {"framework": "TF"}),
        ("training mpi submit", {"framework": "MPI"}),
        ("training xgboost submit", {"framework": "XGBoost"}),
        ("distributed submit -f TF", {"framework": "TF"}),
        ("distributed submit --framework=PyTorch", {"framework": "PyTorch"}),
        ("pytorch submit", {"framework": "PyTorch"}),
        ("mpi submit", {"framework": "MPI"}),
    ],
)
def test_every_verb_of_distributed_training_names_its_launcher(
    verb: str, distributed: dict[str, Any]
) -> None:
    parsed = v1("", verb)
    assert parsed.kind == "distributed"
    assert parsed.spec["distributed"] == distributed


@pytest.mark.parametrize("verb", ["submit", "training submit", "training standard submit"])
def test_every_verb_of_single_training_is_known(verb: str) -> None:
    assert v1("", verb) == ParsedCommand({"image": "img"}, "train1", None, None, None, "training")


@pytest.mark.parametrize(
    "line", ["runai --loglevel debug submit a -i x", "runai --loglevel=debug submit a -i x"]
)
def test_global_flags_may_stand_before_the_command(line: str) -> None:
    parsed = parse_command(line)
    assert (parsed.name, parsed.spec) == ("a", {"image": "x"})
    assert parsed.warnings[0].startswith("--loglevel: left out")


def test_environment_is_variables_or_an_asset_depending_on_the_equals() -> None:
    assert v2("--environment A=1").spec["environment"] == {"A": "1"}
    assert "asset" in refusal("runai training submit a -i x --environment pytorch-env")


def test_a_name_wins_over_a_prefix_in_v1_and_excludes_it_in_v2() -> None:
    parsed = v1("--job-name-prefix pre")
    assert (parsed.name, parsed.name_prefix) == ("train1", None)
    assert "--job-name-prefix: not used" in parsed.warnings[0]
    assert "--name-prefix: together with a name" in refusal(
        "runai training submit a -i x --name-prefix b"
    )


def test_a_template_may_bring_the_image() -> None:
    parsed = parse_command("runai submit train1 --template small -g 1")
    assert (parsed.template, parsed.spec) == ("small", {"compute": {"gpu_devices": 1}})


def test_a_scalar_that_is_given_twice_counts_last_and_is_said() -> None:
    parsed = v1("-g 1 --gpu 2")
    assert parsed.spec["compute"] == {"gpu_devices": 2}
    assert parsed.warnings == ("--gpu: given 2 times; the last one counts",)
    pools = v1("--node-pools 'a b' --node-pools c")
    assert pools.spec["node_pools"] == ["c"], "a list in one value is a scalar, too"
    assert pools.warnings == ("--node-pools: given 2 times; the last one counts",)


def test_quotes_of_word_processors_are_kept_and_said() -> None:
    parsed = v1("-e A=\u201cb\u201d")
    assert parsed.spec["environment"] == {"A": "\u201cb\u201d"}
    assert parsed.warnings == (
        "\u201c \u201d: kept as it stands, because it is not a quote to a shell; type ' or \" instead",
    )
    assert v1("-e 'A=\u201cb\u201d'").warnings == ()


COPIED = {
    "a prompt": "$ runai submit a -i x -e 'A=b c'",
    "a long prompt": "(base) me@host:~/code$ runai submit a -i x -e 'A=b c'",
    "empty lines and comments around": "\n\n# train it\n  runai submit a -i x -e A='b c'  # done\n\n",
    "continued lines": "runai submit a \\\n    -i x \\\n    -e A=b\\ c\n",
    "continuation prompts": "$ runai submit a \\\n> -i x \\\n> -e 'A=b c'",
    "blanks after the backslash": "runai submit a \\  \n -i x \\ \n -e 'A=b c'",
    "Windows line ends": 'runai submit a \\\r\n  -i x -e "A=b c"\r\n',
    "double quotes in the middle": 'runai submit a -i x -e A="b c"',
    "a path to the program": "/usr/local/bin/runai submit a -i x -e 'A=b c'",
}


@pytest.mark.parametrize("line", COPIED.values(), ids=COPIED.keys())
def test_copied_lines_are_read_as_a_shell_would(line: str) -> None:
    parsed = parse_command(line)
    assert (parsed.name, parsed.spec) == ("a", {"image": "x", "environment": {"A": "b c"}})
    assert parsed.warnings == ()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"'it'\''s'", "it's"),
        (r'"a \"b\" \\ \n"', r'a "b" \ \n'),
        ('"two\\\nlines"', "twolines"),
        ("'two\nlines'", "two\nlines"),
        ("''", ""),
        ("a#b", "a#b"),
        ("'#' # comment", "#"),
        (r"\$X", "$X"),
        ("{a}{b", "{a}{b"),
        ("/x/{{ run_id | lower }}/y", "/x/{{ run_id | lower }}/y"),
        ("{% if a %}b{% endif %}", "{% if a %}b{% endif %}"),
    ],
)
def test_quotes_mean_what_they_mean_in_a_shell(written: str, read: str) -> None:
    spec = parse_command(["runai", "submit", "a", "-i", "x", "--", read]).spec
    assert parse_command(f"runai submit a -i x -- {written}").spec == spec


@pytest.mark.parametrize(
    "argument", ["${RUNAI_JOB_NAME}", '"${RUNAI_JOB_NAME}"', "'${RUNAI_JOB_NAME}'"]
)
def test_variables_are_never_expanded(argument: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNAI_JOB_NAME", "wrong")
    parsed = v2(f"-- train.py {argument}")
    assert parsed.spec["args"] == "train.py '${RUNAI_JOB_NAME}'"
    assert bool(parsed.warnings) == (not argument.startswith("'"))
    assert all("${RUNAI_JOB_NAME}: kept as it stands" in warning for warning in parsed.warnings)


def test_a_home_directory_is_not_expanded_either() -> None:
    assert "~/: kept as it stands" in v1("--args ~/x").warnings[0]


def test_words_are_taken_as_they_are() -> None:
    words = ["runai", "submit", "a", "-i", "x", "-e", "A=$(date) | tee", "--", "b c", "'"]
    parsed = parse_command(words)
    assert parsed.spec["environment"] == {"A": "$(date) | tee"}
    assert parsed.spec["args"] == """'b c' ''"'"''"""
    assert parsed.warnings == ()


def test_what_was_read_is_a_plain_mapping_that_the_specification_accepts() -> None:
    parsed = v2(
        "--toleration key=a,seconds=30 --existing-pvc claimname=c,path=/c --gpu-portion-request 0.5"
    )
    assert parsed.workload() == WorkloadSpec.from_mapping(parsed.spec)
    assert parsed.workload().to_wire()["spec"]["tolerations"] == [{"key": "a", "seconds": 30}]
