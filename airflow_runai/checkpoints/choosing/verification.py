"""
Look at one checkpoint and say what it is worth.

Nothing in it is imported, called or unpickled, and nothing is written. The listing is taken before
and after, because a checkpoint that changes while it is read is not bad but unfinished.
"""

from __future__ import annotations

from collections.abc import Callable

from airflow_runai.checkpoints.checking.examination import Examination, Policy, StepClaim, shown
from airflow_runai.checkpoints.checking.ledger import Ledger
from airflow_runai.checkpoints.checking.reader import unreadable
from airflow_runai.checkpoints.checking.report import Report
from airflow_runai.checkpoints.checking.steps import judge_steps, step_in_name
from airflow_runai.checkpoints.choosing.roots import checkpoints_in
from airflow_runai.checkpoints.formats import FORMATS
from airflow_runai.checkpoints.formats.heads import foreign, head
from airflow_runai.checkpoints.formats.parts import WEIGHTS
from airflow_runai.checkpoints.formats.published import MANIFEST
from airflow_runai.checkpoints.storage.checkpoint_files import list_checkpoint
from airflow_runai.checkpoints.storage.listing import Listing, Location, is_temporary
from airflow_runai.checkpoints.storage.progress import Progress

__all__ = ["check"]

_MARKERS = ("checkpoint-is-incomplete.txt",)
_UNFINISHED = ("tmp", "part", "incomplete")


def check(
    path: Location,
    *,
    level: int = 3,
    policy: Policy | None = None,
    ledger: Ledger | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """
    Look at one checkpoint, file or directory.

    :param path: a ``Path`` or ``ObjectStoragePath``.
    :param level: 0 listing, 1 structure (a few KB per file), 2 integrity (every byte once), 3
        content (in the same pass).
    :param policy: what the user decides about verdicts; lenient by default.
    :param ledger: of the training's last accepted checkpoint, to compare with; the report carries
        the new one.
    :param progress: told the number of bytes read so far, after every chunk; a
        :class:`~airflow_runai.checkpoints.storage.progress.Progress` also learns the total.
    :return: the report; whatever is wrong with the checkpoint is in it, nothing is raised for it.
    :raises ValueError: for a level that does not exist.
    """
    if type(level) is not int or level not in (0, 1, 2, 3):
        raise ValueError(
            f"level: {level!r} is not one of 0 (listing), 1 (structure), 2 (integrity), 3 (content)"
        )
    seen = Examination(level, policy or Policy(), FORMATS, progress, before=ledger)
    tree = _listed(path, seen)
    form = None
    held = [] if seen.refused else checkpoints_in(tree)
    if held:
        names = ", ".join(held[:3]) + (", …" if len(held) > 3 else "")
        text = f"a root with {len(held)} checkpoints ({names}); use select to choose one, or check one of them"
        seen.note("is-root", tree.label, text)
    if isinstance(progress, Progress):
        progress.begin(
            tree.label, sum(entry.size for entry in tree.files.values()) if level >= 2 else 0
        )
    if not seen.refused:
        form = _examine(tree, seen)
        _note_changes(path, tree, seen)
    step = judge_steps(_claims(tree, seen), seen, tree.label)
    if ledger is not None:
        seen.hold_against(ledger, tree, step)
    return seen.report(str(path), tree, form, step)


def _listed(path: Location, seen: Examination) -> Listing:
    """Level 0."""
    try:
        tree = list_checkpoint(
            path, seen.policy.entry_limit, lambda name, error: _note_error(seen, name, error)
        )
    except Exception as error:
        _note_error(seen, path.name, error)
        return Listing(path, path.name)
    if is_temporary(path.name):
        seen.note(
            "temporary-name",
            tree.label,
            "the name says that it is still being written; look again later",
        )
    for marker in _MARKERS:
        if tree.beside(marker):
            seen.note(
                "incomplete-marker",
                marker,
                "present while the trainer is writing; look again later",
            )
    if tree.truncated:
        limit = seen.policy.entry_limit
        seen.note(
            "too-many-entries",
            tree.label,
            f"more than {limit} entries (or 16 levels); it was not examined",
        )
    _note_unusual(tree, seen)
    return tree


def _note_unusual(tree: Listing, seen: Examination) -> None:
    for name, entry in tree.others.items():
        if entry.kind == "special":
            seen.note(
                "special-file",
                name,
                "a fifo, socket or device; regular files are allowed; it was not opened",
            )
        elif entry.kind == "link":
            code = "link" if tree.beside(MANIFEST) else "not-examined"
            seen.note(
                code, name, "a link to a directory; copy the directory instead; it was not followed"
            )
    if not tree.single and not tree.files and not seen.refused:
        seen.note(
            "empty-directory",
            tree.label,
            "an empty directory; the trainer was probably killed before it wrote",
        )
    for name, entry in tree.files.items():
        final, _, ending = name.rpartition(".")
        if ending in _UNFINISHED and final.endswith(WEIGHTS) and final not in tree.files:
            seen.note("incomplete-marker", name, f"{final} is not there yet; look again later")
        if entry.size == 0 and (
            tree.single
            or name.endswith((*WEIGHTS, ".pkl", ".pickle", ".json", ".index", ".metadata"))
        ):
            seen.note(
                "empty-file",
                name,
                "0 bytes; the trainer or its node died before the content reached the disk",
            )


def _note_error(seen: Examination, name: str, error: Exception) -> None:
    if isinstance(error, FileNotFoundError):
        seen.note(
            "missing",
            name,
            "does not exist (or is a link to nothing); check the path and its mount",
        )
    elif isinstance(error, RuntimeError) or getattr(error, "errno", None) == 40:
        seen.note("link-loop", name, "a link that leads back to itself")
    else:
        seen.note("unreadable", name, unreadable(error))


def _examine(tree: Listing, seen: Examination) -> str | None:
    try:
        form = seen.examine(tree)
    except Exception as error:
        # A defect of ours must not look like a defect of the checkpoint, nor stop the walk over the
        # others.
        seen.note(
            "reader-defect", tree.label, f"{type(error).__name__}: {error}; please report this"
        )
        return None
    if form is None and not seen.refused:
        seen.note("format-unknown", tree.label, _not_recognised(tree, seen))
    return form


def _not_recognised(tree: Listing, seen: Examination) -> str:
    first = head(tree, seen)
    what = foreign(first) or (
        f"begins with {shown(first[:8])}" if tree.single else "no file in it is of a known format"
    )
    considered = ", ".join(form.name for form in FORMATS)
    return f"not recognised: {what}; considered were {considered}; a manifest of ours proves files of any format"


def _note_changes(path: Location, before: Listing, seen: Examination) -> None:
    errors: list[tuple[str, Exception]] = []
    try:
        after = list_checkpoint(path, seen.policy.entry_limit, lambda *error: errors.append(error))
    except Exception as error:
        after = Listing(path, before.label)
        errors.append((before.label, error))
    for name, met in errors:
        if not isinstance(met, FileNotFoundError):
            # The storage does not answer any more; that is no sign of a writer.
            _note_error(seen, name, met)
            return
    if after.fingerprint != before.fingerprint:
        seen.note(
            "changing", before.label, "sizes or times changed while it was read; look again later"
        )


def _claims(tree: Listing, seen: Examination) -> list[StepClaim]:
    """All claims about the step; a name binds only if it says that it counts steps, or its trainer is known to."""
    step = step_in_name(tree.label)
    if step is None:
        return seen.steps
    # checkpoint_3 may count epochs, and a directory that is called 7 may be a version of TensorFlow
    # Serving.
    counts = ("step",) if tree.single else ("step", "iter")
    binding = any(word in tree.label.lower() for word in counts)
    if (
        seen.name_binds is not tree.single
    ):  # what a part of a directory says of its own name is not about this one
        binding = binding if seen.name_binds is None else seen.name_binds
    claim = StepClaim(f"the name {tree.label!r}", step, "binding" if binding else "advisory")
    return [*seen.steps, claim] if tree.single else [claim, *seen.steps]
