"""Why a workload waits or failed: each known cause has its sentence, the rest is passed on, bounded."""

from __future__ import annotations

import signal
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.phases import PHASES
from airflow_runai.core.reasons import CAUSES, MAX_REASONS, PLATFORM, Evidence, reasons
from airflow_runai.core.reasons.exit_codes import EXIT_CODES
from airflow_runai.emulator.obstacles import not_started
from tests.core.stage import NOON

POD = "train-0-0"
PODS = [{"name": POD, "nodeName": "node-2", "k8sPhase": "Pending"}]


def event(reason: str, message: str, at: float = NOON, kind: str = "Warning") -> dict[str, Any]:
    about = {"kind": "Pod", "name": POD}
    return {
        "type": kind,
        "reason": reason,
        "message": message,
        "createdAt": at,
        "involvedObject": about,
    }


def told(phase: str, *events: dict[str, Any], **workload: Any) -> list[tuple[str, str]]:
    evidence = Evidence.gather(phase, workload, events, PODS, since=NOON)
    return [(reason.code, reason.sentence) for reason in reasons(evidence)]


RUNC = (
    "Error: failed to create containerd task: failed to create shim task: OCI runtime create "
    "failed: runc create failed: unable to start container process: "
)
#: Phase, reason and message of an event as Kubernetes says it: code, and part of the sentence.
SAID_BY_KUBERNETES = [
    (
        "Initializing",
        "Failed",
        'Failed to pull image "reg.example/a:1": rpc error: code = NotFound desc = failed to pull '
        'and unpack image "reg.example/a:1": failed to resolve reference "reg.example/a:1": '
        "reg.example/a:1: not found",
        "image-missing",
        "image 'reg.example/a:1' cannot be pulled: its registry has no such name or tag "
        "(pod train-0-0 on node-2); correct `image`",
    ),
    (
        "Initializing",
        "Failed",
        'Failed to pull image "a": Error response from daemon: pull access denied for a, '
        "repository does not exist or may require 'docker login'",
        "image-refused",
        "image 'a' cannot be pulled: its registry refuses this cluster",
    ),
    (
        "Initializing",
        "Failed",
        'Failed to pull image "a:1": rpc error: code = Unknown desc = dial tcp: i/o timeout',
        "image-pull",
        "image 'a:1' cannot be pulled: dial tcp: i/o timeout (pod",
    ),
    (
        "Initializing",
        "BackOff",
        'Back-off pulling image "a:1"',
        "image-back-off",
        "image 'a:1' cannot be pulled",
    ),
    (
        "Initializing",
        "Failed",
        'Failed to pull image "a:1": toomanyrequests: You have reached your pull rate limit',
        "image-rate",
        "its registry limits how often",
    ),
    (
        "Initializing",
        "FailedMount",
        'MountVolume.SetUp failed for volume "v" : references non-existent secret key: token',
        "volume-key-missing",
        "has no key 'token' (pod",
    ),
    (
        "Failed",
        "Failed",
        f'{RUNC}chdir to cwd ("/wrk") set in config.json failed: permission denied: unknown',
        "working-dir",
        "the working directory '/wrk' cannot be entered: permission denied (pod train-0-0 on "
        "node-2); correct `working_dir`",
    ),
    (
        "Failed",
        "Failed",
        f'{RUNC}exec: "python3 train.py --lr 1": executable file not found in $PATH: unknown',
        "command-one-word",
        "'python3 train.py --lr 1' was taken as the name of one program",
    ),
    ("Failed", "Failed", "terminated: exit code 129", "exit-signal", "exit code 129: SIGHUP (pod"),
    (
        "Resuming",
        "Resumed",
        "Resumed by the user",
        "resuming",
        "it was resumed, and there are no pods of it yet; wait; if it stays so, Run:ai before 2.26",
    ),
    (
        "Pending",
        "FailedScheduling",
        "0/4 nodes are available: 1 Insufficient memory, 3 Insufficient cpu.",
        "no-free-memory",
        "ask for less with `compute.cpu_cores` and `compute.cpu_memory`",
    ),
    ("Pending", "FailedScheduling", "0/4 nodes are available.", "no-place", "no node can take it"),
    ("Initializing", "Failed", "Error: ImagePullBackOff", "image-waiting", "name, tag"),
    (
        "Initializing",
        "InspectFailed",
        'Failed to apply default image tag "A b": couldn\'t parse image name "A b": invalid '
        "reference format",
        "image-name",
        "is not one",
    ),
    (
        "Initializing",
        "Failed",
        "Error: couldn't find key token in Secret runai-team-a/wandb",
        "secret-key-missing",
        "'runai-team-a/wandb' has no key 'token'",
    ),
    (
        "Initializing",
        "FailedToRetrieveImagePullSecret",
        "Unable to retrieve some image pull secrets (ghcr); attempting to pull the image may not "
        "succeed.",
        "pull-secret-missing",
        "there is no pull secret 'ghcr' in the project's namespace",
    ),
    (
        "Initializing",
        "Failed",
        'Error: secret "wandb" not found',
        "secret-missing",
        "there is no secret 'wandb' in the project's namespace",
    ),
    (
        "Initializing",
        "FailedMount",
        'MountVolume.SetUp failed for volume "conf" : configmap "conf" not found',
        "secret-missing",
        "there is no configmap 'conf'",
    ),
    (
        "Pending",
        "FailedScheduling",
        '0/3 nodes are available: persistentvolumeclaim "data" not found.',
        "claim-missing",
        "there is no volume claim 'data'",
    ),
    (
        "Pending",
        "FailedScheduling",
        "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
        "claim-unbound",
        "no volume yet",
    ),
    (
        "Pending",
        "FailedScheduling",
        "0/4 nodes are available: 4 node(s) had volume node affinity conflict.",
        "volume-elsewhere",
        "a volume can be used on other nodes only",
    ),
    (
        "Initializing",
        "FailedAttachVolume",
        'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) b-0',
        "volume-in-use",
        "already used by pod(s) b-0",
    ),
    (
        "Initializing",
        "FailedMount",
        'MountVolume.SetUp failed for volume "nfs" : mount failed: exit status 32 Mounting '
        "arguments: -t nfs server:/a; mount.nfs: access denied by server",
        "mount-failed",
        "a volume cannot be mounted",
    ),
    (
        "Failed",
        "Failed",
        f'{RUNC}exec: "./startup.sh": permission denied: unknown',
        "not-executable",
        "'./startup.sh' is not executable (pod train-0-0 on node-2); chmod +x it in the image, "
        "or start it with `bash ./startup.sh`",
    ),
    (
        "Failed",
        "Failed",
        f'{RUNC}exec: "./start.sh": stat ./start.sh: no such file or directory: unknown',
        "command-missing",
        "there is no './start.sh' in the container",
    ),
    (
        "Failed",
        "Failed",
        f'{RUNC}exec: "torchrunn": executable file not found in $PATH: unknown',
        "command-missing",
        "there is no 'torchrunn' in the container",
    ),
    ("Failed", "Failed", f"{RUNC}exec /a.sh: exec format error", "wrong-machine", "architecture"),
    (
        "Failed",
        "OOMKilling",
        "Memory cgroup out of memory: Killed process 4711 (python)",
        "out-of-memory",
        "out of memory: the kernel killed it at its limit of main memory",
    ),
    (
        "Pending",
        "Evicted",
        "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.",
        "node-disk",
        "write to a mounted volume",
    ),
    (
        "Pending",
        "Evicted",
        "The node was low on resource: memory. Threshold quantity: 100Mi.",
        "node-memory",
        "`compute.cpu_memory`",
    ),
    ("Pending", "NodeNotReady", "Node is not ready", "node-lost", "its node was lost"),
    (
        "Failed",
        "Failed",
        "container exited with code 9",
        "exit-code",
        "the command ended with exit code 9",
    ),
    (
        "Failed",
        "DeadlineExceeded",
        "Job was active longer than specified deadline",
        "deadline",
        "longer than it may",
    ),
    (
        "Failed",
        "BackoffLimitExceeded",
        "Job has reached the specified backoff limit",
        "crashes",
        "the command failed, each time that it was started",
    ),
    (
        "Pending",
        "FailedCreate",
        'admission webhook "policy" denied the request: no hostPath',
        "denied",
        "the cluster refuses its pods",
    ),
    (
        "Pending",
        "Unschedulable",
        "QueueDoesNotExist: Queue 'nosuch' does not exist.",
        "queue-missing",
        "its queue does not exist: QueueDoesNotExist: Queue 'nosuch' does not exist (pod",
    ),
    (
        "Pending",
        "Inadmissible",
        "LocalQueue train-nlp doesn't exist",
        "queue-missing",
        "its queue does not exist: LocalQueue train-nlp doesn't exist",
    ),
    (
        "Pending",
        "Inadmissible",
        "ClusterQueue team-a is inactive",
        "queue-stopped",
        "its queue is stopped: ClusterQueue team-a is inactive",
    ),
    (
        "Pending",
        "QueueWithoutCpu",
        "queue pool allows no CPU",
        "queue-without-cpu",
        "it can never start: queue pool allows no CPU",
    ),
    ("Pending", "NotQueued", "", "not-queued", "is a WorkloadPriorityClass that exists"),
    (
        "Pending",
        "NotReady",
        "Job is not ready for scheduling. Waiting for 2 pods, currently 1 exist, 0 are gated",
        "pods-missing",
        "its pods start together, and not all of them exist: Job is not ready",
    ),
    (
        "Pending",
        "MoreGpusThanNode",
        "each pod asks for 3 GPUs; the largest node has 2",
        "more-than-node",
        "it can never start: each pod asks for 3 GPUs; the largest node has 2",
    ),
    (
        "Pending",
        "Unschedulable",
        "Scheduling conditions were not met for pod ns/p:\nMaxNodePoolResources: The pod ns/p "
        "requires GPU: 3, CPU: 0.1 (cores), memory: 0.067 (GB), pods: 1. Max GPU resources "
        "available in a single node in the default node-pool is topped at 2.\n",
        "larger-than-nodes",
        "no node is as large: The pod ns/p requires GPU: 3",
    ),
    (
        "Pending",
        "Pending",
        "couldn't assign flavors to pod set main: insufficient quota for nvidia.com/gpu in flavor "
        "default, previously considered podsets requests (0) + current podset request (5) > "
        "maximum capacity (2)",
        "more-than-queue",
        "it can never start: couldn't assign flavors",
    ),
    (
        "Pending",
        "Pending",
        "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu in "
        "flavor default, 1 more needed",
        "no-free-quota",
        "its queue has no quota left: couldn't assign flavors",
    ),
    (
        "Creating",
        "FailedCreate",
        'Error creating: pods "x-" is forbidden: no PriorityClass with name nosuch was found',
        "priority-missing",
        "there is no priority class 'nosuch' in the cluster",
    ),
    (
        "Pending",
        "MoreGpusThanCluster",
        "asks for 6 GPUs; the cluster has 4",
        "more-than-cluster",
        "it can never start: asks for 6 GPUs; the cluster has 4",
    ),
    (
        "Pending",
        "MoreGpusThanLimit",
        "asks for 3 GPUs; the project's limit is 2",
        "more-than-limit",
        "it can never start: asks for 3 GPUs; the project's limit is 2",
    ),
    (
        "Pending",
        "MoreGpusThanQuota",
        "asks for 3 GPUs; the project's quota is 2",
        "more-than-quota",
        "make it preemptible",
    ),
    (
        "Pending",
        "NonPreemptibleOverQuota",
        "over quota by 2",
        "over-quota",
        "non-preemptible, and over the project's quota: over quota by 2",
    ),
    ("Pending", "OverLimit", "limit is 2", "over-limit", "over the limit of its project"),
    (
        "Pending",
        "FailedScheduling",
        "0/4 nodes are available: 1 node(s) had untolerated taint "
        "{node-role.kubernetes.io/control-plane: }, 3 Insufficient nvidia.com/gpu.",
        "no-free-gpus",
        "not enough GPUs are free",
    ),
    (
        "Pending",
        "FailedScheduling",
        "0/4 nodes are available: 1 node(s) had untolerated taint {nvidia.com/gpu: present}, "
        "3 Insufficient nvidia.com/gpu.",
        "wrong-nodes",
        "`tolerations`",
    ),
    (
        "Pending",
        "FailedScheduling",
        "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.",
        "wrong-nodes",
        "`node_pools`",
    ),
    (
        "Pending",
        "Unschedulable",
        "Not enough free GPUs for 2 in the node pool default",
        "no-free-gpus",
        "not enough GPUs are free",
    ),
    ("Failed", "Failed", "killed by signal 10", "signal", "the command was ended by SIGUSR1"),
    *(
        ("Failed", "Failed", f"Container failed with exit code {number}", f"exit-{number}", meaning)
        for number, (meaning, _) in EXIT_CODES.items()
    ),
]

#: How an exit code is written, and the code of its reason.
WRITTEN = [
    ("terminated with exit code (137)", "exit-137"),
    ("Exited (137) 3 minutes ago", "exit-137"),
    ("exitcode  : -9 (pid: 77)", "exit-137"),
    ("exitCode: 137", "exit-137"),
    ("Error: exit status 134", "exit-134"),
    ("non-zero exit code: 1", "exit-code"),
    ("exit code -13", "exit-141"),
    ("terminated on signal 11 (core dumped)", "exit-139"),
    ("Signal:9", "exit-137"),
    ("exit code 1370", PLATFORM),
    ("stopped after signal 9", PLATFORM),
    ("exit 2 of 4 pods", PLATFORM),
    ("exited 2 of 4 pods", PLATFORM),
]


@pytest.mark.parametrize(("phase", "reason", "message", "code", "part"), SAID_BY_KUBERNETES)
def test_known_cause_has_its_sentence(
    phase: str, reason: str, message: str, code: str, part: str
) -> None:
    ((found, sentence),) = told(phase, event(reason, message))
    assert found == code
    assert part in sentence
    assert "; " in sentence, "what to do is missing"


def test_the_table_above_plays_every_cause() -> None:
    assert {row[3] for row in SAID_BY_KUBERNETES} == {cause.code for cause in CAUSES}
    assert len({cause.code for cause in CAUSES}) == len(CAUSES)


def test_pending_messages_conditions_and_pods_are_read_too() -> None:
    message = {"nodePool": "default", "phaseReason": "OverLimit", "userMessage": "limit 2, uses 2"}
    assert told("Pending", pendingSchedulingMessages=[message])[0][0] == "over-limit"
    condition = {"type": "Failed", "reason": "DeadlineExceeded", "message": "too long"}
    assert told("Failed", conditions=[condition])[0][0] == "deadline"
    killed = [{"name": POD, "nodeName": "node-1", "k8sPhase": "OOMKilled", "completedAt": NOON}]
    (reason,) = reasons(Evidence.gather("Failed", {}, [], killed, since=NOON))
    assert (reason.code, reason.where) == ("out-of-memory", "pod train-0-0 on node-1")


def test_what_explains_more_comes_first_and_one_of_a_kind_is_enough() -> None:
    missing = event("Failed", 'Failed to pull image "a:1": not found')
    again = event("BackOff", 'Back-off pulling image "a:1"', NOON + 60)
    secret = event("Failed", 'Error: secret "b" not found')
    codes = [code for code, _ in told("Initializing", again, secret, missing)]
    assert codes == ["image-missing", "secret-missing"]
    crashes = event("BackoffLimitExceeded", "Job has reached the specified backoff limit")
    killed = event("OOMKilling", "Memory cgroup out of memory: Killed process 1 (python)")
    assert [code for code, _ in told("Failed", crashes, killed)] == ["out-of-memory"]


def test_an_older_story_explains_nothing() -> None:
    old = event("Failed", 'Failed to pull image "a:1": not found', NOON - 60)
    assert told("Failed", old) == []
    # A queue explains no failure.
    assert told("Failed", phaseReason="OverLimit", phaseMessage="limit") == []


def test_unknown_warning_is_passed_on_in_the_platforms_words() -> None:
    odd = event("FluxCapacitor", "needs\n1.21 gigawatts\x1b[31m")
    ((code, sentence),) = told("Initializing", odd, event("Scheduled", "fine", kind="Normal"))
    assert code == PLATFORM
    assert sentence == (
        "the platform says: FluxCapacitor: needs 1.21 gigawatts\N{REPLACEMENT CHARACTER}[31m "
        "(pod train-0-0 on node-2)"
    )


@pytest.mark.parametrize(("written", "code"), WRITTEN)
def test_an_exit_code_is_recognized_as_it_is_written(written: str, code: str) -> None:
    assert [one for one, _ in told("Failed", event("Failed", written))] == [code]


@pytest.mark.skipif(sys.platform != "linux", reason="numbers of signals are those of Linux")
@pytest.mark.parametrize("number", range(1, 65))
def test_the_exit_code_of_each_signal_has_its_name(number: int) -> None:
    known = {one.value: one.name for one in signal.Signals if not one.name.startswith("SIGRT")}
    for code in (128 + number, -number):
        ((_, sentence),) = told("Failed", event("Failed", f"exit code {code}"))
        # 124 is what a command says that was ended by `timeout`; 9 and the like stand in EXIT_CODES.
        assert known.get(number, f"signal {number}") in sentence


def test_nothing_is_said_twice() -> None:
    ((_, sentence),) = told("Failed", event("Preempted", "Preempted by team-b"))
    assert sentence.startswith("the platform says: Preempted by team-b (pod")
    long = f'failed to pull and unpack image "a:1": {"x" * 300}'
    ((_, sentence),) = told("Failed", event("Failed", f'Failed to pull image "a:1": {long}'))
    assert sentence.count("pull") == 1
    assert "x" * 150 in sentence


@pytest.mark.parametrize(
    ("program", "code"), [("python3 train.py", "command-one-word"), ("./a b", "command-one-word")]
)
def test_the_embedded_platform_plays_a_command_of_one_word(program: str, code: str) -> None:
    reason, message = not_started(program, FileNotFoundError())
    assert [one for one, _ in told("Failed", event(reason, message))] == [code]


@pytest.mark.parametrize(
    "said",
    [
        "git clone https://ci:hunter2@git.example/a failed",
        f'{RUNC}exec: "python3 train.py --db-password hunter2": executable file not found in $PATH',
        f'{"x " * 480}exec: "t.py https://ci:hunter2hunter2hunter2@git.example/a {"y " * 999}',
    ],
)
def test_a_secret_in_a_message_is_not_shown_but_the_rest_is(said: str) -> None:
    evidence = Evidence.gather("Failed", {}, [event("Failed", said)], PODS, since=NOON)
    assert "hunter" not in str(evidence) + str(reasons(evidence))
    assert "***" in str(evidence)
    workload = Evidence.gather("Failed", {"phaseReason": "Failed", "phaseMessage": said})
    assert "hunter" not in str(workload)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
WORDS = st.sampled_from([row[2] for row in SAID_BY_KUBERNETES]) | st.text(max_size=3000)
EVENTS = st.lists(
    st.builds(event, st.text(max_size=300) | st.just("Failed"), WORDS, st.floats(0, 2e9)) | ANYTHING
)


@pytest.mark.slow
@given(st.sampled_from(sorted(PHASES)), ANYTHING, EVENTS | ANYTHING, ANYTHING)
def test_whatever_a_server_says_is_told_bounded_and_printable(
    phase: str, workload: Any, events: Any, pods: Any
) -> None:
    found = reasons(Evidence.gather(phase, workload, events, pods))
    assert len(found) <= MAX_REASONS
    for reason in found:
        assert reason.sentence.isprintable()
        assert len(reason.sentence) <= 800
    codes = [reason.code for reason in found]
    assert len(set(codes)) == len(codes)
