"""Rules on what outlives a preemption: checkpoints and the working directory."""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_runai.core.jinja import OPENINGS, is_templated
from airflow_runai.core.lint.checkpoint_paths import CheckpointPlace
from airflow_runai.core.lint.facts import Facts, Unknown
from airflow_runai.core.lint.places import Kind, Mount
from airflow_runai.core.lint.rule import Hits, rule
from airflow_runai.core.lint.script_values import copies
from airflow_runai.core.texts import cut

_HINT = re.compile("checkpoint|ckpt|snapshot", re.IGNORECASE)
_OBJECT_STORE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def mount_of(facts: Facts, path: str | None) -> Mount | None:
    """Return the mount of a path; ``None`` if it is not known, or if it is an object store."""
    # A template beneath may bring more mounts, and the path may lie on one of those.
    if path is None or isinstance(facts.mounts, Unknown) or not facts.whole:
        return None
    if _OBJECT_STORE.match(path):
        return None
    home = facts.text("working_dir")
    if isinstance(home, str) and not path.startswith(("/", "$", *OPENINGS)):
        path = f"{home}/{path}"
    return facts.mounts.beneath(path)


def _firm_mounts(facts: Facts) -> Iterator[tuple[CheckpointPlace, Mount]]:
    """Return the places that are checkpoint paths by name, with their mounts."""
    if facts.subject.evaluates:
        return
    for place in facts.checkpoint_places:
        mount = mount_of(facts, place.path) if place.firm else None
        if mount is not None and not (place.in_script and _is_deliberate(facts, place, mount)):
            yield place, mount


def _is_deliberate(facts: Facts, place: CheckpointPlace, mount: Mount) -> bool:
    """Return whether a script may know that the place does not last, and saves elsewhere."""
    path = place.path or ""
    if facts.shell is not None:
        if copies(facts.shell, path):
            return True
        # A relative path depends on where the script has gone.
        moves = any(command.name in ("cd", "pushd") for command in facts.shell.commands)
        if moves and not path.startswith("/"):
            return True
    in_script = [other for other in facts.checkpoint_places if other.in_script and other.firm]
    others = [other for other in in_script if other is not place]
    return mount.kind is Kind.LOST and any(_may_keep(facts, other) for other in others)


def _sees_all(facts: Facts) -> bool:
    """Return whether no checkpoint path can be hidden: all that could name one is known."""
    parts = (facts.environment, facts.words, facts.part("distributed"), facts.text("working_dir"))
    if not facts.whole or any(isinstance(part, Unknown) for part in parts):
        return False
    if isinstance(facts.mounts, Unknown) or not facts.mounts.all_known:
        return False
    if any(mount.is_open for mount in facts.mounts.found):
        return False
    return not (_has_own_master(facts) or _has_hint(facts))


def _has_own_master(facts: Facts) -> bool:
    if not facts.known_part("distributed").get("master"):
        return False
    # The launcher of an MPI job has the command, and no GPU: that hides nothing.
    return not facts.master or not facts.master.keys() <= {"command", "args", "compute"}


def _has_hint(facts: Facts) -> bool:
    """Return whether a word or the script speaks of checkpoints, or is not known yet."""
    script = facts.subject.script.text if facts.subject.script else ""
    words = facts.known_words
    return any(is_templated(word) or _HINT.search(word) for word in words) or bool(
        _HINT.search(script)
    )


def _may_keep(facts: Facts, place: CheckpointPlace) -> bool:
    mount = mount_of(facts, place.path)
    return mount is None or mount.kind is not Kind.LOST


def _home(facts: Facts) -> Mount | None:
    home = facts.text("working_dir")
    return mount_of(facts, home) if isinstance(home, str) else None


def _has_none(facts: Facts) -> bool:
    if facts.preemptible is not True or facts.subject.evaluates or not _sees_all(facts):
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
    # The image's own working directory is a part of the container.
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
    if mount is None or not _has_none(facts):
        return
    if mount.kind in (Kind.KEPT, Kind.NODE) and mount.read_only is False:
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
    several = facts.known_part("distributed") or (isinstance(parallel, int) and parallel > 1)
    if not several or isinstance(facts.mounts, Unknown):
        return
    for mount in facts.mounts.found:
        # Kubernetes binds such a claim to one node, not to one pod.
        if mount.entry.get("access_mode") == "ReadWriteOnce":
            yield (
                f"{mount.where}.access_mode",
                "ReadWriteOnce: pods on a second node cannot mount it and wait for ever; take "
                "ReadWriteMany",
            )
