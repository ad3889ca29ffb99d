"""Every rule but those on scripts: what it finds, and what it must not mistake for it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.core.lint import (
    RULES,
    SEVERITIES,
    LintFinding,
    Script,
    Subject,
    check_codes,
    lint,
)
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.errors import SpecError

CLAIM = {"claim": "shared", "path": "/shared"}


def spec(**keys: Any) -> dict[str, Any]:
    """A specification without a finding, changed where a case wants it."""
    sound = {
        "image": "registry.example/train:7",
        "command": "./startup.sh",
        "environment": {"CHECKPOINTS": "/shared/ckpt"},
        "working_dir": "/shared/code",
        "storage": {"pvc": [CLAIM]},
        "termination_grace_period": 60,
        "backoff_limit": 0,
    }
    return {key: value for key, value in {**sound, **keys}.items() if value is not None}


def bare(**keys: Any) -> dict[str, Any]:
    return {"image": "registry.example/train:7", **keys}


def on(kind: str, **entry: Any) -> dict[str, Any]:
    return spec(storage={kind: [entry]})


def gpus(count: Any, **keys: Any) -> dict[str, Any]:
    return spec(compute={"gpu_devices": count}, **keys)


#: code: (subjects in which it is found, subjects in which it is not).
Subjects = tuple[list[dict[str, Any]], list[dict[str, Any]]]
CASES: dict[str, Subjects] = {
    "no-checkpoint-path": (
        [
            {"spec": bare()},
            {"spec": bare(command="python train.py", args="--epochs 3", working_dir="/app")},
            {"spec": spec(environment={"CHECKPOINT_EVERY": 50, "EPOCHS": "3"}, working_dir=None)},
            {"spec": spec(environment={"OUTPUT_DIR": "/tmp/out"}, working_dir="/app")},
            {"spec": spec(environment={"RESUME_FROM_CHECKPOINT": "true"}, working_dir="/app")},
            {"spec": spec(environment=None, storage={"pvc": [{**CLAIM, "read_only": True}]})},
        ],
        [
            {"spec": spec()},
            {"spec": bare(), "whole": False},
            {"spec": bare(), "evaluates": True},
            {"spec": bare(template_id="abc")},
            {"spec": bare(preemptibility="non-preemptible")},
            {"spec": bare(preemptibility="{{ params.kind }}")},
            {"spec": bare(environment="{{ params.environment }}")},
            {"spec": bare(environment={"CHECKPOINTS": {"config_map": {"name": "a", "key": "b"}}})},
            {"spec": bare(environment={"CKPT_DIR": "s3://bucket/ckpt"})},
            {"spec": bare(command="python train.py --output_dir {{ params.out }}")},
            {"spec": bare(args="{{ params.args }}")},
            {"spec": spec(environment=None, args="--save-dir=/shared/out")},
            {"spec": spec(environment=None, args="trainer.default_root_dir=/shared/out")},
            {
                "spec": spec(
                    environment=None, command="bash -c 'cd /x && CKPT=/shared/c python t.py'"
                )
            },
            {"spec": bare(storage={"pvc": [{"claim": "a", "path": "/checkpoints"}]})},
            {"spec": bare(raw={"environmentVariables": [{"name": "CKPT", "value": "/c"}]})},
            {
                "spec": bare(
                    distributed={
                        "framework": "PyTorch",
                        "master": {"environment": {"CKPT_DIR": "/c"}},
                    }
                )
            },
            {
                "spec": bare(),
                "script": Script("s.sh", '#!/bin/sh\nexec python t.py --ckpt-dir /shared/c "$@"\n'),
            },
            {"spec": spec(environment=None)},
            {"spec": None},
        ],
    ),
    "checkpoint-path-implied": (
        [
            {"spec": spec(environment=None)},
            {"spec": spec(environment=None, storage={"nfs": [{"mount_path": "/shared"}]})},
        ],
        [{"spec": spec()}, {"spec": bare()}, {"spec": spec(environment=None), "evaluates": True}],
    ),
    "checkpoint-path-not-persistent": (
        [
            {"spec": spec(storage=None)},
            {"spec": spec(environment={"CHECKPOINTS": "/ckpt/{{ run_id }}"})},
            {"spec": spec(environment={"CKPT_DIR": "ckpt"}, working_dir="/app")},
            {"spec": spec(environment={"CHECKPOINTS": "/shared/../ckpt"})},
            {"spec": spec(environment={"CHECKPOINTS": "/sharedx"})},
            {"spec": spec(environment=None, args="--checkpoint-dir /ckpt")},
            {"spec": spec(environment=None, args="checkpoint.dirpath=/ckpt")},
            {"spec": WorkloadSpec.from_mapping(spec(storage=None))},
        ],
        [
            {"spec": spec()},
            {"spec": spec(storage=None), "whole": False},
            {"spec": spec(storage=None), "evaluates": True},
            {"spec": spec(storage="{{ params.storage }}")},
            {"spec": spec(storage={"pvc": [{"claim": "a", "path": "{{ params.mount }}"}]})},
            {"spec": spec(environment={"CHECKPOINTS": "/shar{{ params.ed }}"})},
            {"spec": spec(environment={"CHECKPOINTS": "{{ params.root }}/ckpt"})},
            {"spec": spec(environment={"CHECKPOINTS": "$(ROOT)/ckpt"})},
            {"spec": spec(environment={"CKPT_DIR": "ckpt"})},
            {"spec": spec(environment={"CKPT_DIR": "ckpt"}, working_dir=None)},
            {"spec": spec(environment={"CHECKPOINTS": "gs://bucket/ckpt"})},
            {"spec": spec(environment={"PRETRAINED_CHECKPOINT": "/models/base"})},
            {"spec": spec(environment={"CHECKPOINT_EVERY": "50", "OUTPUT_DIR": "/tmp/x"})},
            {"spec": spec(storage={"nfs": [{"path": "/x", "mount_path": "/shared/"}]})},
            {"spec": spec(raw={"storage": {"pvc": []}}, storage=None)},
        ],
    ),
    "checkpoint-path-scratch": (
        [
            {"spec": on("empty_dir", path="/shared")},
            {"spec": spec(storage={"pvc": [CLAIM], "empty_dir": [{"path": "/shared/ckpt"}]})},
            {"spec": on("pvc", claim="a", path="/shared", ephemeral=True)},
            {"spec": on("git", repository="u", path="/shared")},
            {"spec": bare(storage={"empty_dir": [{"path": "/checkpoints"}]})},
        ],
        [
            {"spec": spec()},
            {"spec": spec(storage={"pvc": [CLAIM], "empty_dir": [{"path": "/shared/tmp"}]})},
            {
                "spec": spec(
                    storage={"pvc": [CLAIM], "empty_dir": [{"path": "/shared/{{ params.x }}"}]}
                )
            },
            {"spec": on("s3", bucket="b", path="/shared")},
            {"spec": on("data_volume", id="b", mount_path="/shared")},
        ],
    ),
    "checkpoint-path-read-only": (
        [
            {"spec": on("pvc", **CLAIM, read_only=True)},
            {"spec": on("nfs", path="/x", mount_path="/shared", read_only="true")},
        ],
        [
            {"spec": spec()},
            {"spec": on("pvc", **CLAIM, read_only="{{ params.x }}")},
            {
                "spec": spec(
                    storage={
                        "pvc": [
                            CLAIM,
                            {"claim": "b", "path": "/shared/checkpoints", "read_only": True},
                        ]
                    }
                )
            },
        ],
    ),
    "checkpoint-path-on-node": (
        [{"spec": on("host_path", path="/nfs/john", mount_path="/shared")}],
        [{"spec": spec()}, {"spec": on("host_path", path="/nfs/john", mount_path="/data")}],
    ),
    "working-dir-not-persistent": (
        [
            {"spec": spec(working_dir="/app")},
            {"spec": spec(storage={"empty_dir": [{"path": "/shared"}]})},
        ],
        [
            {"spec": spec()},
            {"spec": spec(working_dir=None)},
            {"spec": spec(working_dir="{{ params.home }}")},
            {"spec": spec(working_dir="/app"), "whole": False},
            {
                "spec": spec(
                    working_dir="/mydir/",
                    storage={"host_path": [{"path": "/nfs", "mount_path": "/mydir"}]},
                )
            },
        ],
    ),
    "claim-for-one-node": (
        [
            {
                "spec": on("pvc", **CLAIM, size="1G", access_mode="ReadWriteOnce")
                | {"parallelism": 2}
            },
            {
                "spec": on("pvc", **CLAIM, size="1G", access_mode="ReadWriteOnce")
                | {"distributed": {"framework": "PyTorch", "workers": 2}}
            },
        ],
        [
            {"spec": on("pvc", **CLAIM, size="1G", access_mode="ReadWriteOnce")},
            {"spec": on("pvc", **CLAIM, size="1G") | {"parallelism": 2}},
            {
                "spec": on("pvc", **CLAIM, access_mode="ReadWriteOnce")
                | {"parallelism": "{{ params.n }}"}
            },
        ],
    ),
    "grace-too-short": (
        [
            {"spec": spec(), "save_seconds": 61.0},
            {"spec": spec(termination_grace_period=None), "save_seconds": 30.0},
            {"spec": spec(termination_grace_period="20"), "save_seconds": 25.0},
            {"spec": spec(raw={"terminationGracePeriodSeconds": 10}), "save_seconds": 25.0},
            {"spec": spec(termination_grace_period=0)},
        ],
        [
            {"spec": spec()},
            {"spec": spec(), "save_seconds": 1.0},
            {"spec": spec(), "save_seconds": 40.0},
            {"spec": spec(termination_grace_period="{{ params.grace }}"), "save_seconds": 999.0},
            {"spec": spec(termination_grace_period=None), "save_seconds": 999.0, "whole": False},
        ],
    ),
    "grace-tight": (
        [
            {"spec": spec(), "save_seconds": 40.0},
            {"spec": spec(termination_grace_period=None), "save_seconds": 20.0},
        ],
        [
            {"spec": spec(), "save_seconds": 36.0},
            {"spec": spec(), "save_seconds": 60.0},
            {"spec": spec()},
        ],
    ),
    "grace-default": (
        [{"spec": spec(termination_grace_period=None)}],
        [
            {"spec": spec()},
            {"spec": spec(termination_grace_period=None), "save_seconds": 1.0},
            {"spec": spec(termination_grace_period=None), "whole": False},
            {"spec": spec(termination_grace_period=None), "evaluates": True},
        ],
    ),
    "grace-mismatch": (
        [
            {"spec": spec(environment={"RUNAI_GRACE_SECONDS": "120", "CKPT": "/shared/c"})},
            {
                "spec": spec(
                    environment={"TERMINATION_GRACE_PERIOD_SECONDS": 61, "CKPT": "/shared/c"}
                )
            },
        ],
        [
            {"spec": spec(environment={"RUNAI_GRACE_SECONDS": "60", "CKPT": "/shared/c"})},
            {
                "spec": spec(
                    environment={"RUNAI_GRACE_SECONDS": "{{ params.x }}", "CKPT": "/shared/c"}
                )
            },
        ],
    ),
    "backoff-times-retries": (
        [
            {"spec": spec(backoff_limit=2), "retries": 3},
            {"spec": spec(backoff_limit="2"), "retries": 1},
        ],
        [
            {"spec": spec(), "retries": 3},
            {"spec": spec(backoff_limit=6), "retries": 0},
            {"spec": spec(backoff_limit=6)},
            {"spec": spec(backoff_limit="{{ params.x }}"), "retries": 3},
        ],
    ),
    "backoff-default": (
        [{"spec": spec(backoff_limit=None), "retries": 2}],
        [
            {"spec": spec(), "retries": 2},
            {"spec": spec(backoff_limit=None), "retries": 0},
            {"spec": spec(backoff_limit=None), "retries": 2, "whole": False},
            {"spec": spec(backoff_limit=None, raw={"backoffLimit": 0}), "retries": 2},
        ],
    ),
    "timeouts-contradict": (
        [
            {"timeouts": {"queue": 100, "total": 99}},
            {"timeouts": {"interruption": 100, "interrupted_total": 99.5}},
            {"timeouts": {"interrupted_total": "100", "total": 50}},
            {"timeouts": {"running": 100, "total": 50}},
            {"timeouts": {"starting": 100, "total": 50}},
        ],
        [
            {
                "timeouts": {
                    "queue": 100,
                    "total": 100,
                    "running": 50,
                    "interruption": 3,
                    "interrupted_total": 9,
                }
            },
            {"timeouts": {"queue": "{{ params.x }}", "total": 1}},
            {"timeouts": {"queue": object(), "total": 1}},
            {"timeouts": "{{ params.limits }}"},
            {"timeouts": None},
        ],
    ),
    "timeout-keeps-workload": (
        [{"timeouts": {"total": 9}, "on_kill": "keep"}],
        [
            {"timeouts": {"total": 9}, "on_kill": "stop"},
            {"timeouts": {}, "on_kill": "keep"},
            {"on_kill": "keep"},
        ],
    ),
    "holds-worker-slot": ([{"deferrable": False}], [{"deferrable": True}, {}]),
    "gpus-over-limit": (
        [
            {"spec": gpus(9), "gpu_limit": 8.0},
            {"spec": gpus("9"), "gpu_limit": 8.0},
            {"spec": gpus(1, parallelism=3), "gpu_limit": 2.0},
            {"spec": gpus(4, distributed={"framework": "PyTorch", "workers": 2}), "gpu_limit": 8.0},
            {
                "spec": gpus(
                    4,
                    distributed={
                        "framework": "MPI",
                        "workers": 2,
                        "master": {"compute": {"gpu_devices": 1}},
                    },
                ),
                "gpu_limit": 8.0,
            },
            {"spec": spec(compute={"gpu_portion": 0.5}), "gpu_limit": 0.0},
        ],
        [
            {"spec": gpus(8), "gpu_limit": 8.0},
            {"spec": gpus(9), "gpu_limit": -1.0},
            {"spec": gpus(9)},
            {"spec": gpus("{{ params.gpus }}"), "gpu_limit": 1.0},
            {"spec": gpus(9), "gpu_limit": 1.0, "whole": False},
            {"spec": gpus(9, raw={"compute": {"gpuDevicesRequest": 1}}), "gpu_limit": 1.0},
            {"spec": gpus(1, parallelism="{{ params.n }}"), "gpu_limit": 0.5},
            {"spec": spec(compute={"gpu_memory": "5G"}), "gpu_limit": 0.0},
            {
                "spec": gpus(
                    4,
                    distributed={
                        "framework": "MPI",
                        "workers": 2,
                        "master": {"compute": {"gpu_devices": 0}},
                    },
                ),
                "gpu_limit": 8.0,
            },
            {
                "spec": gpus(4, distributed={"framework": "MPI", "workers": 2, "master": "?"}),
                "gpu_limit": 8.0,
            },
        ],
    ),
    "gpus-over-quota": (
        [{"spec": gpus(3, preemptibility="non-preemptible"), "gpu_quota": 2.0}],
        [
            {"spec": gpus(3), "gpu_quota": 2.0},
            {"spec": gpus(2, preemptibility="non-preemptible"), "gpu_quota": 2.0},
            {"spec": gpus(3, preemptibility="non-preemptible")},
        ],
    ),
    "terminate-after-preemption": (
        [
            {"spec": spec(terminate_after_preemption=True)},
            {"spec": spec(terminate_after_preemption="yes")},
            {"spec": spec(raw={"terminateAfterPreemption": True})},
        ],
        [
            {"spec": spec(terminate_after_preemption=False)},
            {"spec": spec(terminate_after_preemption="{{ params.x }}")},
            {"spec": spec()},
        ],
    ),
    "not-preemptible": (
        [{"spec": spec(preemptibility="non-preemptible")}],
        [
            {"spec": spec(preemptibility="preemptible")},
            {"spec": spec(preemptibility="semi-preemptible")},
        ],
    ),
    "priority-not-preemptible": (
        [{"spec": spec(priority="very-high")}, {"spec": spec(priority="build")}],
        [
            {"spec": spec(priority="medium-high")},
            {"spec": spec(priority="{{ params.p }}")},
            {"spec": spec(priority="high", preemptibility="non-preemptible")},
        ],
    ),
    "interactive-flag": (
        [
            {"spec": spec(raw={"tty": True})},
            {"spec": spec(raw={"stdin": True})},
            {"warnings": ("--attach: left out: there is no terminal",)},
        ],
        [{"spec": spec(raw={"tty": False})}, {"warnings": ("--user: left out: something",)}],
    ),
    "command-line-differs": (
        [{"warnings": ("--user: left out: x",)}],
        [{"warnings": ("-t: left out: y",)}, {}],
    ),
    "endless-command": (
        [
            {"spec": spec(command="sleep infinity")},
            {"spec": spec(command="jupyter lab --ip=0.0.0.0")},
            {"spec": spec(command="/opt/conda/bin/jupyter-lab")},
            {"spec": spec(command="tail", args="-f /dev/null")},
            {"spec": spec(command="/bin/bash")},
        ],
        [
            {"spec": spec()},
            {"spec": spec(command="bash startup.sh")},
            {"spec": spec(command="jupyter_train.sh")},
            {"spec": spec(command="bash"), "whole": False},
            {"spec": spec(command="bash", args="{{ params.args }}")},
            {"spec": spec(command="sleep 60")},
        ],
    ),
    "command-needs-shell": (
        [
            {"spec": spec(command="cd /code && python train.py")},
            {"spec": spec(command="python train.py | tee log")},
            {"spec": spec(command="python train.py", args="> /shared/log 2>&1")},
            {"spec": spec(command="pip install x; python train.py")},
            {"spec": spec(command="source env.sh")},
        ],
        [
            {"spec": spec(command="bash -c 'cd /code && python train.py'")},
            {"spec": spec(command="sh", args="-c 'a | b'")},
            {"spec": spec(command="python train.py --filter 'a|b' --expr 'x > 3'")},
            {"spec": spec(command=None, args="a && b")},
            {"spec": spec(command="'broken")},
            {"spec": spec(command="{{ params.command }}")},
        ],
    ),
    "restart-always": (
        [{"spec": spec(restart_policy="Always")}],
        [
            {"spec": spec(restart_policy="Never")},
            {"spec": spec()},
            {"spec": spec(restart_policy="{{ params.x }}")},
        ],
    ),
    "deleted-before-seen": (
        [{"spec": spec(auto_deletion=30)}, {"spec": spec(auto_deletion="0")}],
        [
            {"spec": spec(auto_deletion=86400)},
            {"spec": spec()},
            {"spec": spec(auto_deletion="{{ params.x }}")},
        ],
    ),
    "image-moves": (
        [
            {"spec": spec(image="a/b")},
            {"spec": spec(image="a/b:latest")},
            {"spec": spec(image="host:5000/a/b")},
        ],
        [
            {"spec": spec(image="a/b:1.2")},
            {"spec": spec(image="a@sha256:00")},
            {"spec": spec(image="a:{{ params.tag }}")},
            {"spec": spec(image="{{ params.image }}")},
            {"spec": {"template_id": "x"}},
        ],
    ),
    "image-on-one-node": (
        [{"spec": spec(image_pull_policy="Never")}],
        [{"spec": spec(image_pull_policy="IfNotPresent")}, {"spec": spec()}],
    ),
}
HITS = [(code, subject) for code, (hits, _) in CASES.items() for subject in hits]
MISSES = [(code, subject) for code, (_, misses) in CASES.items() for subject in misses]


def found(subject: dict[str, Any]) -> list[LintFinding]:
    return list(lint(Subject(**subject)))


def test_every_rule_has_cases_here_or_among_the_scripts() -> None:
    assert {code for code in RULES if not code.startswith("script-")} == set(CASES)
    assert all(hits and misses for hits, misses in CASES.values())


def test_the_sound_specification_has_no_finding() -> None:
    assert (
        found(
            {
                "spec": spec(),
                "retries": 2,
                "timeouts": {"total": 9},
                "deferrable": True,
                "on_kill": "stop",
            }
        )
        == []
    )


@pytest.mark.parametrize(
    ("code", "subject"), HITS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_rule_finds_it(code: str, subject: dict[str, Any]) -> None:
    (hit,) = [finding for finding in found(subject) if finding.code == code][:1]
    assert hit.severity == RULES[code].severity
    assert hit.where
    assert hit.message
    assert hit.section == f"docs/lint.md#{code}"


@pytest.mark.parametrize(
    ("code", "subject"), MISSES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_rule_does_not_mistake_something_for_it(code: str, subject: dict[str, Any]) -> None:
    assert [finding for finding in found(subject) if finding.code == code] == []


def test_findings_name_place_value_and_remedy() -> None:
    (first, *_) = found({"spec": spec(environment={"CHECKPOINTS": "/ckpt"})})
    assert first.where == "spec.environment.CHECKPOINTS"
    assert "/ckpt" in first.message
    assert "mount a claim" in first.message


def test_the_gravest_comes_first() -> None:
    grades = [
        SEVERITIES.index(f.severity)
        for f in found({"spec": bare(terminate_after_preemption=True), "retries": 1})
    ]
    assert grades == sorted(grades)
    assert len(set(grades)) == 3


def test_silenced_codes_are_not_reported() -> None:
    subject = Subject(spec=bare())
    codes = {finding.code for finding in lint(subject)}
    assert {finding.code for finding in lint(subject, ["no-checkpoint-path"])} == codes - {
        "no-checkpoint-path"
    }


def test_unknown_codes_are_refused_with_the_nearest() -> None:
    with pytest.raises(
        SpecError,
        match=r"lint_ignore: 'grace-tigth' is not the code of a lint rule.*'grace-tight'",
    ):
        check_codes(["grace-tight", "grace-tigth"], "lint_ignore")
    with pytest.raises(SpecError, match="no-such"):
        lint(Subject(), ["no-such"])


def test_nothing_known_is_nothing_found() -> None:
    assert lint(Subject()) == ()


def test_no_message_shows_a_value_that_may_be_secret() -> None:
    secret = "hush-hush"
    told = spec(
        command=f"jupyter lab --token={secret}; export KEY={secret};",
        args=f"&& {secret}",
        environment={"PASSWORD": secret, "CHECKPOINTS": "/x"},
    )
    script = Script(
        "s.sh",
        f"#!/bin/sh\nTOKEN={secret} python --key={secret} {secret} $@ | tee x\necho {secret}\n",
    )
    findings = found({"spec": told, "script": script})
    assert {"command-needs-shell", "script-no-exec", "script-splits-arguments"} <= {
        f.code for f in findings
    }
    assert secret not in str(findings)
