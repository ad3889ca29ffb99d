"""
The table of known causes: the platform's words, what they mean, and what to do.

The words are Kubernetes' (kubelet, scheduler, job controller, container runtime) and Run:ai's. They
are no interface: another version may say it differently. Then its own sentence is passed on.
"""

from __future__ import annotations

from airflow_runai.core.reasons.cause import Cause
from airflow_runai.core.reasons.exit_codes import (
    BEFORE_CODE,
    BEFORE_SIGNAL,
    EXIT_CODES,
    SIGNAL_CODE,
    pattern,
)
from airflow_runai.core.reasons.waiting_causes import WAITING_CAUSES

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
        "image-rate",
        "image",
        r"Failed to pull image \"?(?P<image>[^\s\"]+)\"?.*(?:toomanyrequests|rate limit)",
        "image '{image}' cannot be pulled: its registry limits how often",
        "wait, name a pull secret with `image_pull_secrets`, or use a registry of your own",
    ),
    Cause(
        "image-pull",
        "image",
        r"Failed to pull image \"?(?P<image>[^\s\"]+?)\"?: (?:.*(?P=image)\"?: )?"
        r"(?:rpc error: (?:code = \w+ desc = )?)?(?P<why>.+)",
        "image '{image}' cannot be pulled: {why}",
        "check that the cluster's nodes reach the registry",
    ),
    Cause(
        "image-back-off",
        "image",
        r"(?:Back-off pulling|Failed to pull) image \"?(?P<image>[^\s\"]+)\"?",
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
        "volume-key-missing",
        "secret",
        r"references non-existent (?:secret|config) key: (?P<key>\S+)",
        "a secret or config map that is mounted has no key '{key}'",
        "correct `storage` in the specification, or add the key",
    ),
    Cause(
        "pull-secret-missing",
        "secret",
        r"Unable to retrieve some image pull secrets \((?P<name>[^)]+)\)",
        "there is no pull secret '{name}' in the project's namespace",
        "correct `image_pull_secrets` in the specification, or have it made there",
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
        "volume-elsewhere",
        "claim",
        r"volume node affinity conflict|no available volume zone",
        "a volume can be used on other nodes only: {said}",
        "use a claim that all nodes can mount, or `node_pools` with the volume's nodes",
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
        "working-dir",
        "command",
        r"chdir to cwd \(\"(?P<folder>[^\"]*)\"\)(?: set in config\.json)? failed: (?P<why>[^:]+)",
        "the working directory '{folder}' cannot be entered: {why}",
        "correct `working_dir` in the specification, or its mount and rights",
    ),
    Cause(
        "command-one-word",
        "command",
        r"exec: \"(?P<line>[^\s\"]+ [^\"]+)\": "
        r"(?:.*no such file or directory|executable file not found)",
        "'{line}' was taken as the name of one program, because it was given as one word",
        "take the quotes around the whole line out of `command`, or start it with `bash -c`",
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
            pattern(number),
            f"the command ended with exit code {number}: {meaning}",
            advice,
        )
        for number, (meaning, advice) in EXIT_CODES.items()
    ),
    Cause(
        "exit-signal",
        "command",
        rf"{BEFORE_CODE}(?P<number>(?P<signal>{SIGNAL_CODE}))\b",
        "the command ended with exit code {number}: {signal}",
        "see the end of its log",
    ),
    Cause(
        "signal",
        "command",
        rf"{BEFORE_SIGNAL}(?P<signal>[1-9]|[1-5]\d|6[0-4])\b",
        "the command was ended by {signal}",
        "see the end of its log",
    ),
    Cause(
        "exit-code",
        "command",
        rf"{BEFORE_CODE}(?P<number>[1-9]\d{{0,2}})\b",
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
        "the command failed, each time that it was started; its exit code is not known",
        "see the end of its log",
    ),
    Cause(
        "priority-missing",
        "policy",
        r"no PriorityClass with name (?P<name>\S+) was found",
        "there is no priority class '{name}' in the cluster",
        "correct `priority` in the specification, or have the class made",
    ),
    Cause(
        "denied",
        "policy",
        r"admission webhook .* denied|is forbidden: exceeded quota|violates PodSecurity",
        "the cluster refuses its pods: {said}",
        "change the specification so that the policy allows it",
    ),
    *WAITING_CAUSES,
)
