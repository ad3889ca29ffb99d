"""
The checks of a dry run, each by itself: a verdict and a sentence.

They run in order and may use what earlier ones found out; what is missing then is
:class:`NotAsked`, not an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_runai.backends import capacity, control_plane, organization
from airflow_runai.backends.organization import Cluster, Project
from airflow_runai.backends.submission import generations
from airflow_runai.cli.connections import hook_of
from airflow_runai.cli.names import Naming, naming
from airflow_runai.cli.target import Told
from airflow_runai.cli.templated_values import known_part
from airflow_runai.core.jinja import is_templated
from airflow_runai.core.phases import OVER
from airflow_runai.core.policies import breaches
from airflow_runai.core.quota import Quota, gpus_requested
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.submission import Create, Tries, plan
from airflow_runai.core.texts import cut
from airflow_runai.core.workload import Workload, fingerprint_in
from airflow_runai.errors import Refused
from airflow_runai.hooks.runai import RunaiHook

OK, PROBLEM, UNKNOWN = "ok", "problem", "unknown"
_OLDEST = (2, 18)
_DECIDE_GPUS = ("compute", "distributed", "parallelism", "raw")

Verdict = tuple[str, str]


class NotAsked(Exception):
    """Cannot be found out because something before it was not; the message says what."""


@dataclass
class DryRun:
    """
    What one dry run is about, and what it has found out so far.

    :param run_id: DAG run whose workload it is about, if known.
    :param later: keys that only rendering, or an instance of a mapped task, will tell.
    """

    told: Told
    conn_id: str
    wanted_project: str | None
    run_id: str | None
    map_index: int
    hook: RunaiHook | None = None
    clusters: Sequence[Cluster] | None = None
    found_project: Project | None = None
    record: Mapping[str, Any] | None = None
    spec: WorkloadSpec | None = None
    later: Sequence[str] = ()

    @property
    def reachable(self) -> RunaiHook:
        """The hook, once a token was had."""
        if self.hook is None or self.clusters is None:
            raise NotAsked("there is no conversation with the control plane")
        return self.hook

    @property
    def project(self) -> Project:
        """The project, once found."""
        if self.found_project is None:
            raise NotAsked("the project is not known")
        return self.found_project

    @property
    def checked_spec(self) -> WorkloadSpec:
        """The specification, once read."""
        if self.spec is None:
            raise NotAsked("the specification cannot be read")
        return self.spec


def connection(run: DryRun) -> Verdict:
    """Read the connection; its secret is not shown."""
    run.hook = hook_of(run.conn_id)
    settings = run.hook.settings
    trust = "certificates are verified" if settings.verify else "certificates are not verified"
    return OK, f"{run.conn_id}: {settings.url} as {settings.client_id}" + (
        f", {trust}" if settings.url.startswith("https") else ""
    )


def token(run: DryRun) -> Verdict:
    """Log in, by asking for the clusters."""
    if run.hook is None:
        raise NotAsked("there is no connection")
    try:
        run.clusters = run.hook.run(organization.list_clusters())
    except Refused as error:
        if error.status == 401:
            raise
        run.clusters = ()
    return OK, "client id and client secret are accepted"


def project(run: DryRun) -> Verdict:
    """Resolve the project by name."""
    hook, task = run.reachable, run.told.task
    named = run.wanted_project or run.told.project
    if named is None and task is not None and task.get("project") is not None:
        raise NotAsked("the task's project is known only when it runs; name one with --project")
    named = named or hook.settings.project
    if named is None:
        return (
            PROBLEM,
            "neither the task, its line nor the connection names one; name one with --project",
        )
    place = (task.get("cluster") if task else None) or hook.settings.cluster
    if place is not None and (not isinstance(place, str) or is_templated(place)):
        raise NotAsked("the task's cluster is known only when it runs")
    run.found_project = found = hook.run(organization.find_project(named, place))
    return (
        OK,
        f"{found.name} (id {found.id}{f', namespace {found.namespace}' if found.namespace else ''})",
    )


def cluster(run: DryRun) -> Verdict:
    """Tell whether the project's cluster is connected."""
    found = _cluster(run)
    if not found.state:
        return UNKNOWN, f"{found.name}: the server does not tell its state"
    return (OK if found.state == "Connected" else PROBLEM), f"{found.name}: {found.state}"


def version(run: DryRun) -> Verdict:
    """Tell the cluster's version; this provider was made for 2.18 and later."""
    text = _cluster(run).version
    numbers = tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())
    if len(numbers) < 2:
        return UNKNOWN, "the server does not tell it"
    return (
        (OK, text)
        if numbers >= _OLDEST
        else (UNKNOWN, f"{text}; this provider was made for 2.18 and later")
    )


def _cluster(run: DryRun) -> Cluster:
    _, wanted = run.reachable, run.project.cluster_id
    found = next((c for c in run.clusters or () if c.id == wanted), None)
    if found is None:
        raise NotAsked(f"cluster {wanted or '(not told)'} is not among those that can be seen")
    return found


def specification(run: DryRun) -> Verdict:
    """Check the specification, as far as it is known before rendering."""
    run.spec, run.later = known_part(run.told.spec, run.told.task.expanded if run.told.task else ())
    if run.later:
        return (
            UNKNOWN,
            f"right as far as can be seen; known only when the task runs: {', '.join(run.later)}",
        )
    return OK, f"{run.spec.kind}, {run.spec.preemptibility or 'preemptible'}"


def policy(run: DryRun) -> Verdict:
    """Ask for the project's policy, and compare."""
    hook, place, spec = run.reachable, run.project, run.checked_spec
    found = hook.run(capacity.effective_policy(place, spec.kind))
    broken = breaches(found, spec.to_wire()["spec"])
    if broken and run.later:
        return UNKNOWN, f"as far as can be seen: {'; '.join(broken)}"
    if broken:
        return PROBLEM, "; ".join(broken)
    return OK, "nothing in it stands against this" if found.get("rules") else "no rules"


def time_limits(run: DryRun) -> Verdict:
    """Ask whether the project ends trainings by itself."""
    found: Any = _record(run).get("effective")
    rules = found.get("schedulingRules") if isinstance(found, Mapping) else None
    if not isinstance(rules, Mapping):
        return UNKNOWN, "the server does not tell"
    told = cut(
        ", ".join(
            f"{name}: {value}"
            for name, value in rules.items()
            if name.startswith("training") and value
        )
    )
    return (UNKNOWN, f"the project ends trainings by itself: {told}") if told else (OK, "none")


def quota(run: DryRun) -> Verdict:
    """Compare what is asked for with what the project may have."""
    have = Quota.from_wire(_record(run))
    asked = _gpus_known(run)
    if asked is None:
        return UNKNOWN, "asks for GPU memory; the share of a GPU depends on the node"
    if have.limit is not None and asked > have.limit:
        return PROBLEM, f"asks for {_gpus(asked)}; the project's limit is {have.limit:g}"
    if have.deserved is None:
        return OK, f"asks for {_gpus(asked)}; the project has no bounded quota"
    used = run.reachable.run(capacity.gpus_in_use(run.project))
    words = f"asks for {_gpus(asked)}; quota {have.deserved:g}, in use {used:g}"
    if asked + used <= have.deserved:
        return OK, words
    if run.checked_spec.preemptibility != "non-preemptible":
        return (
            OK,
            f"{words}: over quota, so it takes idle GPUs only and is the first to be preempted",
        )
    if asked <= have.deserved:
        return OK, f"{words}: non-preemptible, so it waits for quota"
    return PROBLEM, f"{words}: non-preemptible, so it never starts"


def free_gpus(run: DryRun) -> Verdict:
    """Ask how many GPUs are free now in the cluster."""
    hook, where = run.reachable, run.project.cluster_id
    asked = _gpus_known(run)
    total = hook.run(capacity.gpus_of_nodes(where, "TOTAL_GPUS"))
    free = hook.run(capacity.gpus_of_nodes(where, "FREE_GPUS"))
    if asked is not None and asked > total:
        return PROBLEM, f"asks for {_gpus(asked)}; the cluster has {total:g}"
    waits = " now: it would queue first" if asked is not None and asked > free else " now"
    return OK, f"{free:g} of {total:g} free{waits}"


def name(run: DryRun) -> Verdict:
    """Look for workloads of the name that it would get."""
    if run.told.task and run.told.task.mapped and run.run_id is not None and run.map_index < 0:
        raise NotAsked("the task is mapped; name one of its instances with --map-index")
    wanted = naming(run.told, run.run_id, run.map_index)
    if wanted.complete:
        return _would(run, wanted)
    found = run.reachable.run(control_plane.find(run.project, wanted.prefix))
    others = [f"{workload.name} ({workload.phase})" for workload in found]
    listed = (
        f"; there already, of other runs: {', '.join(others[:5])}{' …' if others[5:] else ''}"
        if others
        else ""
    )
    if run.told.task is None:
        given = "; --run-id says nothing without a task" if run.run_id is not None else ""
        return OK, f"{wanted.prefix}<hash of the run>-g1{listed}; only a task has runs{given}"
    return (
        OK,
        f"{wanted.prefix}<hash of the run>-g1{listed}; --run-id tells what becomes of one run",
    )


def _would(run: DryRun, wanted: Naming) -> Verdict:
    """Tell what a try would do; only the task itself knows what it has submitted."""
    found = run.reachable.run(generations(run.project, wanted.digest))
    alive = [workload for _, workload in found if workload.meaning not in OVER]
    if alive:
        return _beside(run, alive[-1])
    step = plan(found, Tries(1), None, wanted.on_clear)
    before = step.before if isinstance(step, Create) else None
    ended = f"; {before.name} has ended ({before.phase})" if before else ""
    return OK, f"{wanted.base}-g{step.generation} is free{ended}"


def _beside(run: DryRun, there: Workload) -> Verdict:
    if (
        there.fingerprint or fingerprint_in(run.reachable.run(control_plane.get_spec(there)))
    ) is None:
        return (
            PROBLEM,
            f"{there.name} exists ({there.phase}), but no task made it: the task would refuse it; delete it",
        )
    return (
        OK,
        f"{there.name} exists ({there.phase}): it would be adopted if this run submitted it and its specification is "
        "the same, else refused",
    )


def _gpus(count: float) -> str:
    return f"{count:g} GPU{'' if count == 1 else 's'}"


def _gpus_known(run: DryRun) -> float | None:
    if any(not key.startswith("spec.") or key.split(".")[1] in _DECIDE_GPUS for key in run.later):
        raise NotAsked("how many GPUs is known only when the task runs")
    return gpus_requested(run.checked_spec)


def _record(run: DryRun) -> Mapping[str, Any]:
    if run.record is None:
        run.record = run.reachable.run(capacity.project_record(run.project))
    return run.record
