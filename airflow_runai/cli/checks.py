"""
The checks of a dry run: each returns a verdict and a sentence.

They run in order, and a later one may use what an earlier one found. Where that is missing, the
later one raises :class:`NotChecked`, which is not an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_runai.cli.connections import hook_for
from airflow_runai.cli.target import Target
from airflow_runai.cli.templated_values import known_part
from airflow_runai.core.jinja import is_templated
from airflow_runai.core.project import Cluster, Project
from airflow_runai.core.quota import (
    ProjectLimits,
    Quota,
    gpu_count,
    gpus_guaranteed,
    gpus_requested,
    over_cluster,
    over_limit,
    over_quota,
)
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.texts import cut
from airflow_runai.errors import Refused, RunaiError
from airflow_runai.hooks.runai import RunaiHook

OK, PROBLEM, UNKNOWN = "ok", "problem", "unknown"
_OLDEST_RUNAI, _OLDEST_KUBERNETES = (2, 18), (1, 31)
#: Keys of a specification that decide how many GPUs it asks for.
_GPU_KEYS = ("compute", "distributed", "parallelism", "raw")

CheckResult = tuple[str, str]


class NotChecked(RunaiError):
    """The result of an earlier check is missing; the message says which."""


@dataclass
class DryRun:
    """
    The subject of a dry run, and what its checks have found so far.

    :param project_name: given with ``--project``.
    :param run_id: DAG run whose workload is checked, if known.
    :param later: keys that are known only after rendering, or for one instance of a mapped task.
    """

    target: Target
    conn_id: str
    project_name: str | None
    run_id: str | None
    map_index: int
    hook: RunaiHook | None = None
    clusters: Sequence[Cluster] | None = None
    found_project: Project | None = None
    limits: ProjectLimits | None = None
    spec: WorkloadSpec | None = None
    later: Sequence[str] = ()

    @property
    def connected_hook(self) -> RunaiHook:
        """The hook, once the control plane has issued a token."""
        if self.hook is None or self.clusters is None:
            raise NotChecked("the platform has not answered")
        return self.hook

    @property
    def project(self) -> Project:
        """The project, once found."""
        if self.found_project is None:
            raise NotChecked("the project is not known")
        return self.found_project

    @property
    def checked_spec(self) -> WorkloadSpec:
        """The specification, once read."""
        if self.spec is None:
            raise NotChecked("the specification cannot be read")
        return self.spec


def connection(run: DryRun) -> CheckResult:
    """Read the connection; its secret is not shown."""
    run.hook = hook_for(run.conn_id)
    return OK, f"{run.conn_id}: {run.hook.settings.summary}"


def token(run: DryRun) -> CheckResult:
    """Log in, by asking for the clusters."""
    if run.hook is None:
        raise NotChecked("there is no connection")
    try:
        run.clusters = run.hook.run(run.hook.backend.clusters())
    except Refused as error:
        if error.status == 401:
            raise
        run.clusters = ()  # this identity may not list clusters, but its token is accepted
    return OK, "the credentials are accepted"


def project(run: DryRun) -> CheckResult:
    """Resolve the project by name."""
    hook, name = run.connected_hook, _project_name(run)
    if name is None:
        return (
            PROBLEM,
            "neither the task, its line nor the connection names one; name one with --project",
        )
    found = hook.run(hook.backend.find_project(name, _cluster_name(run)))
    run.found_project = found
    namespace = f", namespace {found.namespace}" if found.namespace else ""
    settings = hook.settings
    if (name, _cluster_name(run)) == (settings.project, settings.cluster):
        settings.check_ids(found)
    return OK, f"{found.name} (id {found.id}{namespace})"


def _project_name(run: DryRun) -> str | None:
    name = run.project_name or run.target.project
    if name is None and run.target.argument("project") is not None:
        raise NotChecked("the task's project is known only when it runs; name one with --project")
    return name or run.connected_hook.settings.project


def _cluster_name(run: DryRun) -> str | None:
    name = run.target.argument("cluster") or run.connected_hook.settings.cluster
    if name is None:
        return None
    if not isinstance(name, str) or is_templated(name):
        raise NotChecked("the task's cluster is known only when it runs")
    return name


def cluster(run: DryRun) -> CheckResult:
    """Check that the project's cluster is connected."""
    found = _cluster_of_project(run)
    if not found.state:
        return UNKNOWN, f"{found.name}: the server does not report its state"
    return (OK if found.state == "Connected" else PROBLEM), f"{found.name}: {found.state}"


def version(run: DryRun) -> CheckResult:
    """Compare the cluster's version with the oldest that this provider supports."""
    text = _cluster_of_project(run).version
    # Kubernetes writes v1.34.4, Run:ai 2.24.0.
    oldest = _OLDEST_KUBERNETES if text.startswith("v") else _OLDEST_RUNAI
    numbers = _numbers(text.removeprefix("v"))
    if len(numbers) < 2:
        return UNKNOWN, "the server does not report it"
    if numbers < oldest:
        return UNKNOWN, f"{text}; this provider was made for {oldest[0]}.{oldest[1]} and later"
    return OK, text


def _numbers(version: str) -> tuple[int, ...]:
    # Such as 2.24.0, or a text that is no version at all.
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())


def _cluster_of_project(run: DryRun) -> Cluster:
    # Asked for first, because a failed connection is a better reason than an unknown project.
    _, cluster_id = run.connected_hook, run.project.cluster_id
    for candidate in run.clusters or ():
        if candidate.id == cluster_id:
            return candidate
    raise NotChecked(f"cluster {cluster_id or '(unknown)'} is not among the visible ones")


def specification(run: DryRun) -> CheckResult:
    """Check the specification, as far as it is known before rendering."""
    run.spec, run.later = known_part(run.target.spec, run.target.expanded)
    if run.later:
        keys = ", ".join(run.later)
        return UNKNOWN, f"valid so far; known only when the task runs: {keys}"
    return _preemptibility(run, run.spec)


def _preemptibility(run: DryRun, spec: WorkloadSpec) -> CheckResult:
    asked = spec.preemptibility or "preemptible"
    if asked == "semi-preemptible" and (version := _version_of_cluster(run)) < (3, 0):
        found = ".".join(map(str, version))
        return PROBLEM, f"{spec.kind}, {asked}: from Run:ai 3.0 on, and this cluster has {found}"
    return OK, f"{spec.kind}, {asked}"


def _version_of_cluster(run: DryRun) -> tuple[int, ...]:
    """Return the version as numbers; a late one where it is not known."""
    try:
        numbers = _numbers(_cluster_of_project(run).version)
    except NotChecked:
        numbers = ()
    return numbers if len(numbers) == 2 else (3, 0)


def time_limits(run: DryRun) -> CheckResult:
    """Check whether the project ends trainings by itself."""
    limits = _limits(run).time_limits
    if limits is None:
        return UNKNOWN, "the server does not report them"
    if not limits:
        return OK, "none"
    words = cut(", ".join(f"{name}: {limit}" for name, limit in limits.items()))
    return UNKNOWN, f"the project ends trainings by itself: {words}"


def quota(run: DryRun) -> CheckResult:
    """Compare the GPUs of the specification with the limit and the quota of the project."""
    allowed = _limits(run).quota
    gpus = _requested_gpus(run)
    if gpus is None:
        return UNKNOWN, "asks for GPU memory; the share of a GPU depends on the node"
    if too_many := over_limit(gpus, allowed):
        return PROBLEM, too_many
    request = f"asks for {gpu_count(gpus)}"
    if allowed.deserved is None:
        return OK, f"{request}; the project has no bounded quota"
    hook = run.connected_hook
    used = hook.run(hook.backend.gpus_in_use(run.project))
    summary = f"{request}; quota {allowed.deserved:g}, in use {used:g}"
    if gpus + used <= allowed.deserved:
        return OK, summary
    return _over_quota(run.checked_spec, summary, allowed)


def _over_quota(spec: WorkloadSpec, summary: str, allowed: Quota) -> CheckResult:
    guaranteed = gpus_guaranteed(spec)
    if not guaranteed:
        effect = "over quota, so it takes idle GPUs only and is the first to be preempted"
        return OK, f"{summary}: {effect}"
    if over_quota(guaranteed, allowed):
        return PROBLEM, f"{summary}: {spec.preemptibility}, so it never starts"
    return OK, f"{summary}: {spec.preemptibility}, so it waits for quota"


def free_gpus(run: DryRun) -> CheckResult:
    """Compare the GPUs of the specification with those that are free in the cluster now."""
    hook, cluster_id = run.connected_hook, run.project.cluster_id
    # Of a request for GPU memory it is not known how many GPUs it takes: at least it fits.
    gpus = _requested_gpus(run) or 0
    total, free = hook.run(hook.backend.gpus_of_nodes(cluster_id))
    if too_many := over_cluster(gpus, total):
        return PROBLEM, too_many
    # Others may take them before, so this is a hint and no promise.
    effect = ": it would queue first" if gpus > free else ""
    return OK, f"{free:g} of {total:g} free now{effect}"


def _requested_gpus(run: DryRun) -> float | None:
    """Return the GPUs of the specification; ``None`` if it asks for GPU memory."""
    for key in run.later:
        # A key without a dot is all of the specification.
        if not key.startswith("spec.") or key.split(".")[1] in _GPU_KEYS:
            raise NotChecked("how many GPUs is known only when the task runs")
    return gpus_requested(run.checked_spec)


def _limits(run: DryRun) -> ProjectLimits:
    if run.limits is None:
        hook = run.connected_hook
        run.limits = hook.run(hook.backend.limits(run.project))
    return run.limits
