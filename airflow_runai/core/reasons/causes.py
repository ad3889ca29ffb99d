"""
The table of known causes: the platform's words, what they mean, and what to do.

The words are Kubernetes' (kubelet, scheduler, job controller, container runtime) and Run:ai's. They
are no interface: another version may say it differently. Then its own sentence is passed on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_runai.core.reasons.exit_codes import EXIT_CODES


@dataclass(frozen=True, slots=True)
class Cause:
    """
    One known cause.

    :param code: its name, for documentation and tests.
    :param kind: of several causes of a kind, the first in the table is told.
    :param words: how it shows in ``reason: sentence`` of a clue, a regular expression.
    :param what: what has happened; may hold the groups of ``words``, and ``{said}``.
    :param advice: what to do.
    :param ends_waiting: it means something only while the workload waits for resources.
    """

    code: str
    kind: str
    words: str
    what: str
    advice: str
    ends_waiting: bool = False

    def found_in(self, text: str) -> re.Match[str] | None:
        """Search a clue's text; compiled when first needed, because every DAG imports the table."""
        return re.search(self.words, text, re.IGNORECASE)


#: In a person's order: what keeps a workload from starting at all, then why it ended, then why it
#: queues.
CAUSES: tuple[Cause, ...] = (
    Cause(
        "image-name",
        "image",
        r"InvalidImageName|invalid reference format",
        "the image's name is not one: {said}",
        "correct `image` in the specification",
    ),
    Cause(
        "image-missing",
        "image",
        r"Failed to pull image \"?(?P<image>[^\s\"]+)\"?.*"
        r"(?:not ?found|manifest unknown|no such image)",
        "image '{image}' cannot be pulled: its registry has no such name or tag",
        "correct `image` in the specification, or push the image",
    ),
    Cause(
        "image-refused",
        "image",
        r"Failed to pull image \"?(?P<image>[^\s\"]+)\"?.*"
        r"(?:denied|unauthori[sz]ed|authentication required|forbidden|\b40[13]\b)",
        "image '{image}' cannot be pulled: its registry refuses this cluster",
        "correct the name, or name a pull secret with `image_pull_secrets`",
    ),
    Cause(
        "image-pull",
        "image",
        r"Failed to pull image \"?(?P<image>[^\s\"]+)\"?",
        "image '{image}' cannot be pulled: {said}",
        "check that the cluster's nodes reach the registry",
    ),
    Cause(
        "image-back-off",
        "image",
        r"Back-off pulling image \"?(?P<image>[^\s\"]+)\"?",
        "image '{image}' cannot be pulled",
        "check its name and tag, and the cluster's right to pull it",
    ),
    Cause(
        "image-waiting",
        "image",
        r"ErrImagePull|ImagePullBackOff|ErrImageNeverPull",
        "an image cannot be pulled: {said}",
        "check `image` in the specification: name, tag, and the cluster's right to pull it",
    ),
    Cause(
        "secret-key-missing",
        "secret",
        r"couldn't find key (?P<key>\S+) in (?:Secret|ConfigMap) (?P<name>[\w./-]+)",
        "'{name}' has no key '{key}'",
        "correct `environment` or `storage` in the specification, or add the key",
    ),
    Cause(
        "secret-missing",
        "secret",
        r"(?P<what>secret|configmap)s? \"(?P<name>[^\"]+)\" not found",
        "there is no {what} '{name}' in the project's namespace",
        "correct its name in the specification, or have it made there",
    ),
    Cause(
        "claim-missing",
        "claim",
        r"persistentvolumeclaim \"(?P<name>[^\"]+)\" not found",
        "there is no volume claim '{name}' in the project's namespace",
        "correct `storage.pvc` in the specification, or have the claim made there",
    ),
    Cause(
        "claim-unbound",
        "claim",
        r"unbound immediate PersistentVolumeClaims|ProvisioningFailed",
        "a volume claim has no volume yet: {said}",
        "check size and storage class in `storage.pvc`, or ask who runs the storage",
    ),
    Cause(
        "volume-in-use",
        "claim",
        r"Multi-Attach error",
        "a volume is still attached to another node: {said}",
        "wait until the pod there has gone, or use a claim that is ReadWriteMany",
    ),
    Cause(
        "mount-failed",
        "claim",
        r"FailedMount|FailedAttachVolume|MountVolume\.\w+ failed|Unable to attach or mount",
        "a volume cannot be mounted: {said}",
        "check server, path and rights in `storage`",
    ),
    Cause(
        "not-executable",
        "command",
        r"exec:? \"?(?P<file>[^\s\":]+)\"?: permission denied",
        "'{file}' is not executable",
        "chmod +x it in the image, or start it with `bash {file}`",
    ),
    Cause(
        "command-missing",
        "command",
        r"exec:? \"?(?P<file>[^\s\":]+)\"?: "
        r"(?:.*no such file or directory|executable file not found)",
        "there is no '{file}' in the container",
        "check `command`, `working_dir` and the mounts; the first line of a script counts, too",
    ),
    Cause(
        "wrong-machine",
        "command",
        r"exec format error",
        "the command was built for another kind of machine, or a script lacks its first line #!",
        "build the image for the nodes' architecture, or add the line",
    ),
    Cause(
        "out-of-memory",
        "command",
        r"OOM-?Kill|SystemOOM|out of memory: Kill|memory cgroup out of memory",
        "out of memory: the kernel killed it at its limit of main memory",
        "raise `compute.cpu_memory_limit`, or use less: fewer loader workers, smaller batches",
    ),
    Cause(
        "node-disk",
        "node",
        r"ephemeral.(?:local )?storage|EmptyDir volume \S+ exceeds|DiskPressure",
        "evicted, because it filled the node's own disk: {said}",
        "write to a mounted volume instead",
    ),
    Cause(
        "node-memory",
        "node",
        r"low on resource: memory|MemoryPressure",
        "evicted, because its node ran out of main memory: {said}",
        "ask for what it needs with `compute.cpu_memory`",
    ),
    Cause(
        "node-lost",
        "node",
        r"NodeNotReady|NodeLost|node is not ready|TaintManagerEviction",
        "its node was lost: {said}",
        "nothing if it starts elsewhere; else ask who runs the cluster",
    ),
    *(
        Cause(
            f"exit-{number}",
            "command",
            rf"\bexit(?:ed)?(?: with)?(?: ?(?:code|status))?[ :=]+{number}\b",
            f"the command ended with exit code {number}: {meaning}",
            advice,
        )
        for number, (meaning, advice) in EXIT_CODES.items()
    ),
    Cause(
        "exit-code",
        "command",
        r"\bexit(?:ed)?(?: with)? ?(?:code|status)[ :=]+(?P<number>[1-9]\d{0,2})\b",
        "the command ended with exit code {number}",
        "see the end of its log",
    ),
    Cause(
        "deadline",
        "command",
        r"DeadlineExceeded",
        "the platform ended it, because it was active longer than it may: {said}",
        "ask who runs the cluster for the limit",
    ),
    Cause(
        "crashes",
        "command",
        r"BackoffLimitExceeded|CrashLoopBackOff|Back-off restarting failed container",
        "the command failed, each time that it was started; Run:ai's API tells no exit code",
        "see the end of its log",
    ),
    Cause(
        "denied",
        "policy",
        r"admission webhook .* denied|is forbidden: exceeded quota|violates PodSecurity",
        "the cluster refuses its pods: {said}",
        "change the specification so that the policy allows it",
    ),
    Cause(
        "more-than-cluster",
        "gpus",
        r"MoreGpusThanCluster: (?P<figures>.+)",
        "it can never start: {figures}",
        "ask for fewer GPUs",
        ends_waiting=True,
    ),
    Cause(
        "more-than-limit",
        "gpus",
        r"MoreGpusThanLimit: (?P<figures>.+)",
        "it can never start: {figures}",
        "ask for fewer GPUs, or have the limit raised",
        ends_waiting=True,
    ),
    Cause(
        "more-than-quota",
        "gpus",
        r"MoreGpusThanQuota: (?P<figures>.+)",
        "non-preemptible, so it can never start: {figures}",
        "make it preemptible, ask for fewer GPUs, or have the quota raised",
        ends_waiting=True,
    ),
    Cause(
        "over-quota",
        "gpus",
        r"NonPreemptibleOverQuota",
        "non-preemptible, and over the project's quota: {said}",
        "make it preemptible, ask for fewer GPUs, or have the quota raised",
        ends_waiting=True,
    ),
    Cause(
        "over-limit",
        "gpus",
        r"OverLimit",
        "over the limit of its project: {said}",
        "ask for fewer GPUs, or wait until the project's other workloads have ended",
        ends_waiting=True,
    ),
    Cause(
        "wrong-nodes",
        "gpus",
        r"didn't match .*(?:affinity|selector)|untolerated taint",
        "no node that it may use can take it: {said}",
        "check `node_type`, `node_pools` and `tolerations` in the specification",
        ends_waiting=True,
    ),
    Cause(
        "no-free-gpus",
        "gpus",
        r"not enough (?:free )?(?:GPU|resources)|insufficient \S*gpu|GPUs? that are being "
        r"released|Unschedulable|FailedScheduling",
        "not enough GPUs are free: {said}",
        "wait, or ask for fewer",
        ends_waiting=True,
    ),
)
