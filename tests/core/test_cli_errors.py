"""What is wrong with a command line is said at once, with the flag, the value and the way out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_runai.core.command_line import parse_command
from airflow_runai.errors import SpecError


def problems(line: str | list[str]) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        parse_command(line)
    return caught.value.problems


V1, V2 = "runai submit a -i x ", "runai training submit a -i x "
WRONG = {
    "an unknown flag": (V1 + "--gup 1", "--gup: unknown flag; did you mean '--gpu'?"),
    "an unknown flag of v2": (V2 + "--gpu-device-request=1", "--gpu-device-request: unknown flag; did you mean"),
    "a flag of the other generation": (V2 + "--gpu 1", "--gpu: unknown flag; --gpu is a flag of CLI v1; here write"),
    "a short flag of the other one": (V2 + "-v /a:/b", "-v: unknown flag; -v is a flag of CLI v1; here write"),
    "a flag of v2 in v1": (V1 + "--priority low", "--priority: unknown flag; --priority is a flag of CLI v2"),
    "an unknown short flag": (V1 + "-z 1", "-z: unknown flag"),
    "one hyphen": (V1 + "-gpu 1", "-gpu: begins with one hyphen in place of two; write --gpu"),
    "a dash of a wiki": (V1 + "\u2013gpu 1", "\u2013gpu: begins with U+2013 in place of hyphens; write --gpu"),
    "two of them": (V1 + "\u2014\u2014gpu=1", "\u2014\u2014gpu: begins with U+2014 in place of hyphens; write --gpu"),
    "a short one": (V1 + "\u2013g 1", "\u2013g: begins with U+2013 in place of hyphens; write -g"),
    "a blank of a web page": (V1 + "\u00a0-g 1", "command line, line 1, column 21: U+00A0, which looks"),
    "a blank of no width": ("\u200brunai submit a -i x", "command line, line 1, column 1: U+200B, which looks"),
    "a byte that ends texts": (V1 + "-e A=\x00", "command line, line 1, column 26: U+0000, which looks"),
    "no value at the end": ("runai submit a -i", "-i: has no value, nothing follows; allowed: -i VALUE"),
    "a flag for a value": ("runai submit a --image --project p", "--image: has no value, followed by the flag"),
    "no value before the payload": ("runai submit a -i -- x", "-i: has no value, nothing follows"),
    "both name forms": (V1 + "--name b", "name: 2 given: 'a', 'b'; allowed: one"),
    "a name that is none": ("runai submit Train_1 -i x", "name: 'Train_1'; allowed: lower-case"),
    "words without hyphens": (V2 + "python train.py", "name: 3 given: 'a', 'python', 'train.py'"),
    "no image": ("runai submit a", "--image: missing; allowed: -i IMAGE"),
    "an interactive workload": (V1 + "--interactive", "--interactive: for interactive work"),
    "a notebook": ("runai submit a --jupyter -i x", "--jupyter: for interactive work"),
    "a service": (V1 + "-s nodeport --port 8080:80", "-s: for interactive work only"),
    "share and memory": (V1 + "-g 0.5 --gpu-memory 5G", "-g 0.5, --gpu-memory 5G: exclude each other"),
    "GPUs and a slice": (V1 + "-g 1 --mig-profile 1g.5gb", "-g 1, --mig-profile 1g.5gb: exclude each other"),
    "share and memory in v2": (
        V2 + "--gpu-portion-request 0.5 --gpu-memory-request 5G",
        "--gpu-portion-request 0.5, --gpu-memory-request 5G: exclude each other",
    ),
    "a share of two GPUs": (V2 + "-g 2 --gpu-portion-request 0.5", "-g 2: with --gpu-portion-request, a part of one"),
    "a type without its flag": (V2 + "--gpu-request-type memory", "--gpu-request-type: 'memory' beside none"),
    "a type of another flag": (
        V2 + "--gpu-request-type memory --gpu-portion-request 1",
        "--gpu-request-type: 'memory' beside ['gpu-portion-request']; allowed: portion with --gpu-portion-request",
    ),
    "more than a share": (V1 + "-g 1.5", "-g: 1.5; allowed: (0, 1]; for whole GPUs use gpu_devices"),
    "no number of GPUs": (V1 + "-g two", "-g: 'two'; allowed: a whole number of GPUs, or a share"),
    "too little memory": (V1 + "--gpu-memory 99M", "--gpu-memory: '99M' is less"),
    "no quantity": (V1 + "--memory much", "--memory: 'much'; allowed: a quantity"),
    "an unknown slice": (V1 + "--mig-profile 9g", "--mig-profile: '9g'; allowed: 1g.5gb"),
    "a volume of one part": (V1 + "-v /a", "-v: '/a'; allowed: SOURCE:TARGET"),
    "a server in the mode's place": (V1 + "-v /a:/b:host", "-v: '/a:/b:host' has the mode 'host'; allowed: ro, rw"),
    "a relative target": (V1 + "-v /a:b", "-v: mount_path: 'b'; allowed: an absolute path"),
    "a claim of one part": (V1 + "--pvc c", "--pvc: 'c'; allowed: CLAIM:TARGET"),
    "a claim with a bad mode": (V1 + "--pvc c:/p:rx", "--pvc: 'c:/p:rx' has the mode 'rx'; allowed: ro, rw"),
    "an unknown part": (V2 + "--nfs path=/a,server=s,mount=/b", "--nfs: 'mount' is not a part of it; did you mean"),
    "a missing part": (V2 + "--existing-pvc path=/a", "--existing-pvc: claimname missing; allowed: claimname=…,path=…"),
    "a secret without a key": (V1 + "-e A=SECRET:x", "-e: A=SECRET:… names no key"),
    "a bad port": (V1 + "--port 99999", "--port: '99999' is not a port"),
    "no duration": (V1 + "--ttl-after-finish 30", "--ttl-after-finish: '30' is not a duration"),
    "no whole number": (V1 + "--backoff-limit many", "--backoff-limit: 'many'; allowed: a whole number"),
    "a pull policy": (V1 + "--image-pull-policy always", "--image-pull-policy: 'always'; did you mean"),
    "parallel runs without a number": (V1 + "--parallelism 2", "--parallelism: more than 1 without --completions"),
    "elastic parallel runs": (V1 + "--parallelism 2 --completions 4 --elastic", "--elastic: together with"),
    "runs of a distributed one": ("runai mpi submit a -i x --runs 3", "--runs: not for MPI; allowed: single trainings"),
    "replicas elsewhere": ("runai submit-dist tf a -i x --min-replicas 1", "--min-replicas: not for TF; allowed:"),
    "workers of one pod": (V2 + "--workers 2", "--workers: not for single trainings (one pod); allowed: MPI, PyTorch"),
    "no launcher": ("runai distributed submit a -i x", "--framework: missing; allowed: -f PyTorch"),
    "an unknown launcher": ("runai distributed submit a -i x -f torch", "--framework: 'torch'; did you mean"),
    "two launchers": ("runai pytorch submit a -i x -f TF", "--framework: 'TF' in 'runai pytorch submit'"),
    "a command with nothing behind": (V2 + "--command", "--command: is boolean here and nothing follows --"),
    "a command with a value in v2": (V2 + "--command=start.sh", "--command: 'start.sh' is not a boolean"),
    "a command with a value beside hyphens": (V1 + "--command=start.sh -- a", "--command: 'start.sh' is not a boolean"),
    "an empty command": (V1 + "--command --", "--command: no words follow --"),
    "both pull flags": (V1 + "--local-image --always-pull-image", "--always-pull-image, --local-image: exclude each"),
    "both affinities": (
        V2 + "--preferred-pod-topology-key a --required-pod-topology-key b",
        "--preferred-pod-topology-key a, --required-pod-topology-key b: exclude each other",
    ),
    "a workspace": ("runai workspace submit a -i x", "runai workspace submit: makes an interactive workspace"),
    "an inference": ("runai inference submit a -i x", "runai inference submit: serves a model"),
    "a file": ("runai workload submit --file job.yaml", "runai workload submit: submits a file"),
    "a listing": ("runai list jobs", "runai list: submits nothing"),
    "a listing of trainings": ("runai training list", "runai training list: submits nothing"),
    "a misspelt verb": ("runai sumbit a -i x", "runai sumbit: submits nothing; did you mean 'submit'?"),
    "no verb": ("runai", "runai (no command): submits nothing; allowed: runai submit"),
    "another program": ("kubectl apply -f x", "command line: begins with 'kubectl'; allowed: one command of runai"),
    "an empty line": ("", "command line: empty; allowed: one command"),
    "only a comment": ("  # nothing\n", "command line: empty; allowed: one command"),
    "no words": ([], "command line: empty; allowed: one command"),
    "an open quote": ("runai submit a \\\n  -e 'A=b", "command line, line 2, column 6: ' is never closed"),
    "an open double quote": ('runai submit "a', 'command line, line 1, column 14: " is never closed'),
    "a lone backslash": ("runai submit a \\", "command line, line 1, column 16: a lone backslash"),
    "a pipe": ("runai submit a -i x | tee log", "command line, line 1, column 21: | is for a shell"),
    "two commands": ("runai submit a -i x && runai list", "command line, line 1, column 21: & is for a shell"),
    "two lines": ("runai submit a -i x\nrunai list", "command line, line 2, column 1: a second line"),
    "a substitution": ("runai submit a -i x -e A=$(date)", "command line, line 1, column 26: $( is for a shell"),
    "a quoted substitution": ('runai submit a -e "A=`date`"', "command line, line 1, column 19: a command"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "begins"), WRONG.values(), ids=WRONG.keys())
def test_a_mistake_is_named_with_its_place_and_the_way_out(
    line: str | list[str], begins: str
) -> None:
    found = problems(line)
    assert [problem for problem in found if problem.startswith(begins)], found
    assert len(found) == 1


def test_all_mistakes_are_listed_at_once() -> None:
    found = problems(
        "runai submit a b --gup 1 --interactive --pvc c -g 1 --gpu-memory 5G --large-shm=maybe --image"
    )
    assert [problem.partition(":")[0] for problem in found] == [
        "--gup", "--large-shm", "--image", "--interactive", "--pvc", "name", "-g 1, --gpu-memory 5G",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "runai submit a -i x --git-sync source=u,username=geheim,password=geheim",
        "runai submit a -i x --s3 bucket=b,key=geheim,secret=geheim,target=/s",
        "runai submit a -i x -e geheim",
        "runai submit a -i x -e =geheim",
        "runai training submit a -i x -e geheim",
        "runai submit a -i x -e 'A B=geheim'",
        "runai submit a -i x -e A=SECRET:geheim",
        "runai training submit a -i x --datasource geheim",
        "runai training submit a -i x --env-secret TOKEN=geheim",
        "runai submit a -i x --git-sync https://me:geheim@host/repo",
        "runai submit a -i x --gitsync=geheim",
    ],
)
def test_what_may_be_a_secret_is_never_repeated(line: str) -> None:
    assert "geheim" not in "\n".join(problems(line))


def test_a_wrong_type_is_named() -> None:
    with pytest.raises(SpecError, match="a list; allowed: one text, or a list of texts"):
        parse_command(["runai", 1])  # type: ignore[list-item]  # the mistake under test
    with pytest.raises(SpecError, match="a NoneType; allowed: one text, or a list of texts"):
        parse_command(None)  # type: ignore[arg-type]  # the mistake under test


_PIECES = [
    "runai",
    "submit",
    "training",
    "-i",
    "x",
    "--gpu",
    "-g",
    "=",
    "'",
    '"',
    "\\",
    "\n",
    " ",
    "--",
    "-",
    "-e",
    "A=1",
]


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([*_PIECES, "$(", "${A}", "#", "--pvc", ":", "é", "0.5"]), max_size=12)
)
def test_no_text_leads_to_anything_but_an_answer_or_a_readable_error(pieces: list[str]) -> None:
    for line in (
        " ".join(pieces),
        "".join(pieces),
        "runai submit a -i x " + " ".join(pieces),
        ["runai", *pieces],
    ):
        try:
            answer = str(parse_command(line).spec["image"])
        except SpecError as error:
            answer = str(error)
        assert answer
