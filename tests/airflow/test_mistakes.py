"""
The mistakes that a newcomer makes, each with the sentence that says what to do.

A row for each; the first are told when the DAG is parsed, the others in the task's log. What only
the platform knows of a workload (images, quotas, exit codes) is tested where its reasons are.
"""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowTimetableInvalid

from airflow_runai.emulator import Emulator
from airflow_runai.operators.checkpoint import RunaiSelectCheckpointOperator
from airflow_runai.operators.evaluation import RunaiEvaluationOperator
from airflow_runai.operators.orphans import RunaiReapOrphansOperator
from airflow_runai.operators.retention import RunaiCheckpointRetentionOperator
from airflow_runai.operators.training import RunaiTrainingOperator
from tests.airflow.running import Run, dag_of
from tests.airflow.task_logs import assert_readable
from tests.airflow.test_checkpoints import evaluating, publish, write

Runner = Callable[..., Run]
SPEC = {"image": "x"}
EVALUATION = {"checkpoint": "/shared/ckpt/step-1", "metrics": "/shared/metrics.json"}

AT_PARSE: dict[str, tuple[type, dict[str, Any], list[str]]] = {
    "typo in spec": (
        RunaiTrainingOperator,
        {"spec": {"comand": "x", "enviroment": {}, "compute": {"gpus": 1}}},
        [
            "spec.comand: unknown key; did you mean 'command'?",
            "spec.enviroment: unknown key; did you mean 'environment'?",
            "spec.compute.gpus: unknown key; did you mean 'spec.compute.gpu_devices'?",
        ],
    ),
    "a list": (RunaiTrainingOperator, {"spec": ["x"]}, ["spec: a list; allowed: a mapping of "]),
    "no number": (
        RunaiReapOrphansOperator,
        {"older_than": "1h"},
        ["older_than: '1h'; allowed: seconds, at least 0"],
    ),
    "keys at the top": (
        RunaiTrainingOperator,
        {"spec": {**SPEC, "gpu_devices": 1, "gpus": 1, "env": {}}},
        [
            "spec.gpu_devices: unknown key; did you mean 'spec.compute.gpu_devices'?",
            "spec.gpus: unknown key; did you mean 'spec.compute.gpu_devices'?",
            "spec.env: unknown key; did you mean 'spec.environment'?",
        ],
    ),
    "clocks and words": (
        RunaiTrainingOperator,
        {"spec": SPEC, "timeouts": {"queued": "7d"}, "on_kill": "delete"},
        [
            "on_kill: 'delete'; allowed: stop, suspend, keep",
            "timeouts.queued: unknown clock; allowed: queue, interruption, interrupted_total, "
            "running, total, starting",
        ],
    ),
    "unknown arguments": (
        RunaiEvaluationOperator,
        {**EVALUATION, "image": "x", "limit": {"queue": 1}, "polling_interval": 5},
        [
            "image: belongs in the specification: 'spec.image'",
            "limit: did you mean 'timeouts'?",
            "polling_interval: did you mean 'poll_interval'?",
        ],
    ),
    "unknown argument of an operator without spec": (
        RunaiCheckpointRetentionOperator,
        {"root": "/shared/ckpt", "keep_lats": 3, "image": "x"},
        ["keep_lats: did you mean 'keep_last'?", "image: allowed: "],
    ),
    "one missing argument": (
        RunaiSelectCheckpointOperator,
        {},
        ["missing keyword argument 'root'"],
    ),
    "missing arguments": (
        RunaiEvaluationOperator,
        {"spec": SPEC},
        ["missing keyword arguments 'checkpoint', 'metrics'"],
    ),
    "gate": (
        RunaiEvaluationOperator,
        {**EVALUATION, "spec": SPEC, "gates": ["accuracy > = 0.9"]},
        ["gates: 'accuracy > = 0.9' cannot be read; allowed: METRIC >=|<=|==|>|< NUMBER"],
    ),
}


@pytest.mark.parametrize("mistake", AT_PARSE)
def test_an_import_error_names_task_line_and_remedy(mistake: str) -> None:
    cls, given, sentences = AT_PARSE[mistake]
    with DAG("dag", schedule=None), pytest.raises((ValueError, TypeError)) as refusal:
        cls(task_id="train", **given)
    words = str(refusal.value)
    assert words.startswith(f"task 'train' ({__file__}, line {refusal.traceback[0].lineno + 1}): ")
    assert [sentence for sentence in sentences if sentence not in words] == []
    assert words.count("task 'train'") == 1
    assert (refusal.value.__cause__, refusal.value.__context__) == (None, None)
    # Airflow shows the last two frames: its own, around each constructor, and this one of ours.
    ours = [frame for frame in refusal.traceback if "/airflow_runai/" in str(frame.path)]
    assert len(ours) == 1


#: Of what all instances of a mapped task get.
MAPPED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "typo in spec": (
        RunaiTrainingOperator,
        {"spec": {"imgae": "x"}},
        "spec.imgae: unknown key; did you mean 'image'?",
    ),
    "lambda": (
        RunaiTrainingOperator,
        {"on_stall": lambda context: None},
        "is a lambda, which has no name to import it by",
    ),
    "clock": (
        RunaiTrainingOperator,
        {"timeouts": {"queued": 5}},
        "timeouts.queued: unknown clock; allowed: queue",
    ),
    "word": (RunaiTrainingOperator, {"on_kill": "delete"}, "on_kill: 'delete'; allowed: stop"),
    "line": (RunaiTrainingOperator, {"command_line": "make train"}, "make"),
    "name": (RunaiTrainingOperator, {"workload_name": "No Name"}, "'No Name'"),
    "unknown argument": (
        RunaiTrainingOperator,
        {"storage_connid": "x"},
        "storage_connid: did you mean 'storage_conn_id'?",
    ),
    "gate": (
        RunaiEvaluationOperator,
        {**EVALUATION, "gates": ["accuracy > = 0.9"]},
        "gates: 'accuracy > = 0.9' cannot be read",
    ),
    "no wait": (
        RunaiEvaluationOperator,
        {**EVALUATION, "wait_for_completion": False},
        "wait_for_completion: False; allowed: True",
    ),
}


@pytest.mark.parametrize("mistake", MAPPED)
def test_a_mapped_task_is_checked_at_parse_as_far_as_its_instances_are_alike(mistake: str) -> None:
    cls, given, sentence = MAPPED[mistake]
    with DAG("dag", schedule=None), pytest.raises((ValueError, TypeError)) as refusal:
        cls.partial(task_id="train", **given)
    words = str(refusal.value)
    assert words.startswith(f"task 'train' ({__file__}, line {refusal.traceback[0].lineno + 1}): ")
    assert sentence in words
    assert (refusal.value.__cause__, refusal.value.__context__) == (None, None)


MY_DAG = """
from airflow.sdk import DAG
from airflow_runai.operators.training import RunaiTrainingOperator

with DAG("mine", schedule=None):
    RunaiTrainingOperator(task_id="first", spec={"image": "x"})
    RunaiTrainingOperator(task_id="second", spec={"imgae": "x"})
"""


@pytest.mark.slow
def test_the_import_error_in_airflow_is_short_and_names_the_line(
    database: None, tmp_path: Path
) -> None:
    from airflow.dag_processing.dagbag import DagBag

    file = tmp_path / "mine.py"
    file.write_text(MY_DAG)
    (shown,) = DagBag(str(tmp_path)).import_errors.values()
    assert f"task 'second' ({file}, line 7): 1 problem; nothing was submitted:" in shown
    assert shown.rstrip().endswith("  - spec.imgae: unknown key; did you mean 'image'?")
    assert shown.count("/airflow_runai/") == 1


FROM_FILE = """
from airflow.sdk import DAG
from airflow_runai.operators.training import RunaiTrainingOperator

with DAG("mine", schedule=None):
    RunaiTrainingOperator(task_id="first", command_line="runai submit -i x")
    RunaiTrainingOperator(task_id="second", command_line="train.sh")
"""


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (None, "command_line: 'train.sh' cannot be read; allowed: a text file beside the DAG"),
        ("runai submit -i x --gpuu 1", "--gpuu: unknown flag"),
    ],
)
def test_an_import_error_about_a_line_in_a_file_names_the_task_too(
    database: None, tmp_path: Path, line: str | None, problem: str
) -> None:
    from airflow.dag_processing.dagbag import DagBag

    file = tmp_path / "mine.py"
    file.write_text(FROM_FILE)
    if line is not None:
        (tmp_path / "train.sh").write_text(line)
    (shown,) = DagBag(str(tmp_path)).import_errors.values()
    assert f"task 'second' ({file}, line 7): 1 problem; nothing was submitted:" in shown
    assert f"  - {problem}" in shown
    assert shown.count("/airflow_runai/") <= 1


def test_a_bad_cron_expression_is_called_that_by_airflow() -> None:
    with pytest.raises(
        AirflowTimetableInvalid, match=r"\[0 25 \* \* \*\] is not acceptable, out of range"
    ):
        DAG("dag", schedule="0 25 * * *").validate()


def training(**given: Any) -> Callable[[], RunaiTrainingOperator]:
    return lambda: RunaiTrainingOperator(**{"task_id": "task", "spec": SPEC, **given})


SUBMITTED_WRONGLY: dict[str, tuple[dict[str, Any], list[str]]] = {
    "values": (
        {
            "spec": {
                **SPEC,
                "command": ["a", "b"],
                "compute": {"gpu_devices": "two", "gpu_portion": 1.5},
            }
        },
        [
            "  - spec.command: ['a', 'b'] is a list; allowed: one text, as a shell would read it; "
            "join it with shlex.join([...])",
            "  - spec.compute.gpu_devices: 'two'",
            "  - spec.compute.gpu_portion: 1.5",
        ],
    ),
    "no image": ({"spec": {"command": "x"}}, ["spec.image: missing; name the container image"]),
    "wrong project": (
        {"project": "team-x"},
        [
            "project 'team-x': no such project, or this identity may not see it; it sees "
            "team-b, team-a; check the spelling (case matters) and the scope of the access rule"
        ],
    ),
    "connection missing": (
        {"runai_conn_id": "runai_prod"},
        [
            "connection 'runai_prod': not defined; make it in Airflow (Admin → Connections, type "
            "Run:ai), set AIRFLOW_CONN_RUNAI_PROD, or name another one as `runai_conn_id`"
        ],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", SUBMITTED_WRONGLY)
def test_what_is_wrong_with_a_submission_is_told_with_its_remedy(
    run: Runner, emulator: Emulator, capfd: pytest.CaptureFixture[str], mistake: str
) -> None:
    given, sentences = SUBMITTED_WRONGLY[mistake]
    words = assert_readable(run(dag_of(training(**given))), capfd)
    assert [sentence for sentence in sentences if sentence not in words] == []
    assert emulator.workloads_named("") == []


class NoControlPlane(http.server.BaseHTTPRequestHandler):
    """Another web server: it has none of our addresses."""

    def do_POST(self) -> None:
        self.send_error(405)

    def log_message(self, format: str, *args: Any) -> None:
        """Be quiet."""


@pytest.fixture
def web_server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), NoControlPlane) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


CONNECTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "wrong secret": (
        {"secret": "another"},
        "the control plane refuses client id and client secret",
    ),
    "unreachable": ({"host": "http://127.0.0.1:9"}, "refused; check the connection's host"),
    "no scheme": (
        {"host": "org.run.ai"},
        "connection 'runai_default': control plane URL (host): 'org.run.ai' has no scheme or no "
        "host; allowed: an address with http:// or https://, such as https://org.run.ai",
    ),
    "another server": ({}, "405; is this the control plane's URL? check the connection's host"),
}


@pytest.mark.parametrize("mistake", CONNECTIONS)
def test_what_is_wrong_with_a_connection_is_told_with_its_remedy(
    run: Runner,
    emulator: Emulator,
    web_server: str,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    mistake: str,
) -> None:
    given, sentence = CONNECTIONS[mistake]
    monkeypatch.setenv("AIRFLOW__RUNAI__SUBMISSION_PATIENCE", "0")
    connect(**{"host": web_server if mistake == "another server" else emulator.url, **given})
    words = assert_readable(run(dag_of(training())), capfd)
    assert sentence in words
    assert "check the connection" in words or "allowed: " in words


def choosing(root: str, path_map: dict[str, str] | None) -> Callable[[], Any]:
    return lambda: RunaiSelectCheckpointOperator(task_id="task", root=root, path_map=path_map)


#: Path map (``{tmp}`` is a directory that exists), and what is said below the first line.
ROOTS: dict[str, tuple[dict[str, str] | None, list[str]]] = {
    "nothing saved": (
        {"/shared": "{tmp}"},
        [
            "in the container it is /shared/ckpt, here {tmp}/ckpt: "
            "path_map leads from /shared to {tmp}",
            "{tmp} exists, without ckpt: has it been written, and to this place?",
        ],
    ),
    "not mounted": (
        {"/shared": "{tmp}/nfs/john"},
        [
            "in the container it is /shared/ckpt, here {tmp}/nfs/john/ckpt: "
            "path_map leads from /shared to {tmp}/nfs/john",
            "{tmp}/nfs does not exist; is the volume mounted on this worker?",
        ],
    ),
    "no prefix matches": (
        {"/share": "{tmp}", "/data": "{tmp}"},
        [
            "in the container it is /shared/ckpt, here /shared/ckpt: "
            "no prefix in path_map (/share, /data) is above it, so both are the same",
            "/shared does not exist; is the volume mounted on this worker?",
        ],
    ),
    "no map": (
        None,
        [
            "in the container it is /shared/ckpt, here /shared/ckpt: "
            "there is no path_map, so both are the same",
            "/shared does not exist; is the volume mounted on this worker?",
        ],
    ),
}


@pytest.mark.parametrize("mistake", ROOTS)
def test_a_root_that_is_not_there_says_where_it_was_looked_for(
    run: Runner,
    database: None,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    mistake: str,
) -> None:
    path_map, lines = ROOTS[mistake]
    here = {
        prefix: place.replace("{tmp}", str(tmp_path)) for prefix, place in (path_map or {}).items()
    }
    words = assert_readable(run(dag_of(choosing("/shared/ckpt", here or None))), capfd)
    head, *told = words.splitlines()
    assert "does not exist; a directory with checkpoints is expected" in head
    assert told == [f"  - {line.replace('{tmp}', str(tmp_path))}" for line in lines]


def test_a_root_one_folder_too_high_says_what_it_holds_and_which_one_to_name(
    run: Runner, database: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    publish(tmp_path / "checkpoints", 7)
    (tmp_path / "logs").mkdir()
    words = assert_readable(run(dag_of(choosing(str(tmp_path), None))), capfd)
    assert words.endswith(
        "2 entries ('checkpoints', 'logs'), no checkpoint, but some lie below: checkpoints; "
        "name one of these"
    )


JUDGED: dict[str, tuple[str, list[str], str]] = {
    "nothing written": (
        "true",
        [],
        "missing; the evaluation must write its metrics to the path in $METRICS\n"
        "  - in the container it is /shared/",
    ),
    "not numbers, and no gate": (
        write('{"accuracy": "high"}'),
        [],
        "'accuracy' is a text; allowed: printable names of at most 200 characters, and numbers",
    ),
    "misspelt metric": (
        write('{"accuracy": 0.9}'),
        ["acuracy >= 0.5"],
        "gate on 'acuracy': the evaluation did not write this metric; did you mean 'accuracy'?",
    ),
    "gates not passed": (
        write('{"accuracy": 0.9175, "loss": 2.0}'),
        ["accuracy >= 0.99", "loss < 1"],
        "the checkpoint did not pass:\n"
        "  - accuracy is 0.9175, the gate asks for accuracy >= 0.99\n"
        "  - loss is 2, the gate asks for loss < 1",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", JUDGED)
def test_what_is_wrong_with_metrics_is_told_with_its_remedy(
    run: Runner, emulator: Emulator, capfd: pytest.CaptureFixture[str], mistake: str
) -> None:
    command, gates, sentence = JUDGED[mistake]
    words = assert_readable(run(dag_of(evaluating(command, gates=gates))), capfd)
    assert sentence in words
    (name,) = (workload.name for workload in emulator.workloads_named("task"))
    assert words.splitlines()[-2:] == [
        f"  - its page: {emulator.url}/workloads?search={name}",
        f"  - its logs: `airflow runai logs {name} --project team-a` "
        f"or `runai training logs {name} -p team-a`",
    ]


@pytest.mark.slow
def test_metrics_that_are_not_finite_are_never_silent(
    run: Runner, emulator: Emulator, capfd: pytest.CaptureFixture[str]
) -> None:
    done = run(dag_of(evaluating(write('{"accuracy": NaN, "loss": 1.5}'), gates=[])))
    assert done.xcom()["metrics"] == {"loss": 1.5}
    log = capfd.readouterr().out
    assert "no gates: any number passes" in log
    assert "not finite, so missing from the result: accuracy" in log
