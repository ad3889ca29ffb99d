"""Rules on what outlives a preemption: where checkpoints and working directory lie, and if a save fits the grace."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from airflow_runai.core.jinja import OPENINGS, is_templated
from airflow_runai.core.lint.checkpoint_paths import Place
from airflow_runai.core.lint.facts import Facts, Unknown
from airflow_runai.core.lint.places import Kind, Mount
from airflow_runai.core.lint.rule import Hits, rule
from airflow_runai.core.lint.script_values import copies
from airflow_runai.core.texts import cut

#: What Kubernetes and Run:ai give where nobody asks for more; seconds.
DEFAULT_GRACE = 30
_HINT = re.compile("checkpoint|ckpt|snapshot", re.IGNORECASE)
_OBJECT_STORE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def mount_of(facts: Facts, path: str | None) -> Mount | None:
    """Return what a path lies on; ``None`` if that cannot be known, or if it is an object store."""
    if path is None or isinstance(facts.mounts, Unknown) or _OBJECT_STORE.match(path):
        return None
    if not path.startswith(("/", "$", *OPENINGS)):
        home = facts.text("working_dir")
        path = f"{home}/{path}" if isinstance(home, str) else path
    if facts.whole:
        return facts.mounts.beneath(path)
    # A template beneath may bring more mounts; what this one holds can only lie deeper, on another
    # one.
    return None


def _firm_mounts(facts: Facts) -> Iterator[tuple[Place, Mount]]:
    if not facts.subject.evaluates:
        for place in facts.checkpoint_places:
            mount = mount_of(facts, place.path) if place.firm else None
            if mount is not None and not (place.in_script and _is_passing(facts, place, mount)):
                yield place, mount


def _is_passing(facts: Facts, place: Place, mount: Mount) -> bool:
    """Whether a script may know what it does: it names a place that stays, too, or changed its folder before."""
    others = [
        other
        for other in facts.checkpoint_places
        if other.in_script and other.firm and other is not place
    ]
    kept = mount.kind is Kind.LOST and any(_may_keep(facts, other) for other in others)
    moved = facts.shell is not None and any(
        command.name in ("cd", "pushd") for command in facts.shell.commands
    )
    copied = facts.shell is not None and copies(facts.shell, place.path or "")
    return kept or copied or (moved and not (place.path or "").startswith("/"))


def _all_seen(facts: Facts) -> bool:
    """
    Whether every place where a checkpoint path could be named was seen, and none may be hidden.
    """
    parts = (facts.environment, facts.words, facts.part("distributed"), facts.text("working_dir"))
    if not facts.whole or any(isinstance(part, Unknown) for part in parts):
        return False
    if (
        isinstance(facts.mounts, Unknown)
        or not facts.mounts.all_known
        or any(m.is_open for m in facts.mounts.found)
    ):
        return False
    distributed = facts.part("distributed")
    master = distributed.get("master") if isinstance(distributed, Mapping) else None
    # The launcher of an MPI job has the command, and no GPU: nothing is hidden in that.
    own_master = bool(master) and (
        not facts.master or not facts.master.keys() <= {"command", "args", "compute"}
    )
    script = facts.subject.script.text if facts.subject.script else ""
    words = [] if isinstance(facts.words, Unknown) else facts.words
    hidden = any(is_templated(word) or _HINT.search(word) for word in words) or _HINT.search(script)
    return not own_master and not hidden


def _may_keep(facts: Facts, place: Place) -> bool:
    mount = mount_of(facts, place.path)
    return mount is None or mount.kind is not Kind.LOST


def _home(facts: Facts) -> Mount | None:
    home = facts.text("working_dir")
    return mount_of(facts, home) if isinstance(home, str) else None


def _has_none(facts: Facts) -> bool:
    if facts.preemptible is not True or facts.subject.evaluates or not _all_seen(facts):
        return False
    return not any(place.firm or _may_keep(facts, place) for place in facts.checkpoint_places)


@rule(
    "no-checkpoint-path",
    "warning",
    "it can be preempted, and nothing says where checkpoints go, nor could they lie in the working "
    "directory",
)
def no_checkpoint_path(facts: Facts) -> Hits:
    """Neither a name nor a working directory that outlives the node."""
    mount = _home(facts)
    lost = mount is not None and (mount.kind is Kind.LOST or mount.read_only)
    if _has_none(facts) and (lost or facts.text("working_dir") is None):
        yield (
            "spec",
            "preemptible, but no variable, argument or mount names a place for checkpoints: each "
            "preemption starts the training from the beginning. Save to a persistent mount, and "
            "name it, e.g. CHECKPOINTS=/shared/ckpt",
        )


@rule(
    "checkpoint-path-implied",
    "info",
    "nothing names a place for checkpoints; only the working directory could hold them",
)
def checkpoint_path_implied(facts: Facts) -> Hits:
    """The quick start of Run:ai does so; it works as long as the code knows."""
    mount = _home(facts)
    if (
        _has_none(facts)
        and mount is not None
        and mount.kind in (Kind.KEPT, Kind.NODE)
        and mount.read_only is False
    ):
        yield (
            "spec.working_dir",
            f"only the working directory ({facts.text('working_dir')}) outlives a preemption; see "
            "that the code saves there, and better name the place in a variable or argument, so "
            "that others can find it",
        )


@rule(
    "checkpoint-path-not-persistent",
    "error",
    "checkpoints go to the container's own disk, which is empty after a preemption",
)
def checkpoint_path_not_persistent(facts: Facts) -> Hits:
    """No mount holds it."""
    for place, mount in _firm_mounts(facts):
        if mount.kind is Kind.LOST and not mount.source:
            yield (
                place.where,
                f"{cut(str(place.path), 80)} lies on no mount, so it is empty after a preemption; "
                "mount a claim or NFS there, or move it onto one",
            )


@rule(
    "checkpoint-path-scratch",
    "error",
    "checkpoints go to a mount that is emptied or fetched anew at each start",
)
def checkpoint_path_scratch(facts: Facts) -> Hits:
    """Scratch space, a claim that goes with the workload, a clone."""
    for place, mount in _firm_mounts(facts):
        if mount.kind is Kind.LOST and mount.source:
            yield (
                place.where,
                f"{cut(str(place.path), 80)} lies on {mount.words} ({mount.where}), which does not "
                "outlive a preemption; take a claim or NFS",
            )


@rule("checkpoint-path-read-only", "error", "checkpoints go to a mount that is mounted read-only")
def checkpoint_path_read_only(facts: Facts) -> Hits:
    """The first save fails, often after hours."""
    for place, mount in _firm_mounts(facts):
        if mount.read_only and mount.kind is not Kind.LOST:
            yield (
                place.where,
                f"{cut(str(place.path), 80)} lies on {mount.words} ({mount.where}), which is "
                "read-only; the first save fails",
            )


@rule(
    "checkpoint-path-on-node",
    "info",
    "checkpoints go to a directory of the node; it must be the same network mount on every node",
)
def checkpoint_path_on_node(facts: Facts) -> Hits:
    """``-v /nfs/john:/mydir`` is such a mount, and usually a good one."""
    for place, mount in _firm_mounts(facts):
        if mount.kind is Kind.NODE and mount.read_only is False:
            yield (
                place.where,
                f"{cut(str(place.path), 80)} lies on {mount.entry.get('path')} of the node; after "
                "a preemption it may be another node: see that this is the same network mount "
                "everywhere",
            )


@rule(
    "working-dir-not-persistent",
    "info",
    "the working directory is on no mount that outlives a preemption",
)
def working_dir_not_persistent(facts: Facts) -> Hits:
    """Common, if the code is part of the image; then nothing may be written there."""
    mount = _home(facts)
    if mount is not None and mount.kind is Kind.LOST and not facts.subject.evaluates:
        yield (
            "spec.working_dir",
            f"{cut(str(facts.text('working_dir')), 80)} lies on {mount.words}: what the code "
            "writes under a relative name is gone after a preemption; write to absolute paths on a "
            "persistent mount",
        )


@rule(
    "claim-for-one-node",
    "warning",
    "a new claim that only one node can mount, and several pods",
)
def claim_for_one_node(facts: Facts) -> Hits:
    """Pods on other nodes hang in ContainerCreating."""
    parallel = facts.number("parallelism")
    several = bool(facts.part("distributed")) or (isinstance(parallel, int) and parallel > 1)
    if (
        isinstance(facts.mounts, Unknown)
        or isinstance(facts.part("distributed"), Unknown)
        or not several
    ):
        return
    for mount in facts.mounts.found:
        if mount.entry.get("access_mode") == "ReadWriteOnce":
            yield (
                f"{mount.where}.access_mode",
                "ReadWriteOnce: pods on a second node cannot mount it and wait for ever; take "
                "ReadWriteMany",
            )


def _grace(facts: Facts) -> int | None:
    found = facts.number("termination_grace_period")
    if isinstance(found, Unknown):
        return None
    return DEFAULT_GRACE if found is None else found


def needed_grace(save_seconds: float) -> float:
    """Return what a save should be given: half as much again, as storage has bad days, and 5 s to end the step."""
    return save_seconds * 1.5 + 5


@rule("grace-too-short", "error", "a save takes longer than the time between SIGTERM and SIGKILL")
def grace_too_short(facts: Facts) -> Hits:
    """Measured, or no time at all."""
    grace, took = _grace(facts), facts.subject.save_seconds
    if grace is None or grace > (took or 0.0):
        return
    found = f"the longest save took {took:.1f} s" if took else "SIGKILL follows at once"
    yield (
        "spec.termination_grace_period",
        f"{grace} s of grace, but {found}: a preemption loses what was done since the last "
        f"checkpoint; set at least {needed_grace(took or DEFAULT_GRACE / 2):.0f}",
    )


@rule("grace-tight", "warning", "a save fits the grace period only on a good day")
def grace_tight(facts: Facts) -> Hits:
    """Measured, with a margin of half the time and 5 s."""
    grace, took = _grace(facts), facts.subject.save_seconds
    if grace is not None and took and took < grace < needed_grace(took):
        yield (
            "spec.termination_grace_period",
            f"{grace} s of grace, and the longest save took {took:.1f} s; set at least "
            f"{needed_grace(took):.0f}",
        )


@rule("grace-default", "info", "nobody set the grace period, nor measured how long a save takes")
def grace_default(facts: Facts) -> Hits:
    """30 s are enough for small models only."""
    unsaid = facts.number("termination_grace_period") is None and facts.subject.save_seconds is None
    if unsaid and facts.preemptible is True and not facts.subject.evaluates:
        yield (
            "spec.termination_grace_period",
            f"not set: {DEFAULT_GRACE} s from SIGTERM to SIGKILL; measure a save (save_seconds in "
            "the manifest) and set it",
        )


@rule("grace-told-wrong", "warning", "the training is told another grace period than it gets")
def grace_told_wrong(facts: Facts) -> Hits:
    """``PreemptionGuard`` reads it from there."""
    grace = _grace(facts)
    for name in ("TERMINATION_GRACE_PERIOD_SECONDS", "RUNAI_GRACE_SECONDS"):
        variables = facts.environment
        told = variables.get(name) if variables and not isinstance(variables, Unknown) else None
        if (
            grace is not None
            and re.fullmatch(r"\d+(\.\d*)?", str(told))
            and float(str(told)) > grace
        ):
            yield (
                f"spec.environment.{name}",
                f"{told} s are promised, but SIGKILL comes after {grace} s; set "
                "termination_grace_period to the same",
            )
