"""
Check one checkpoint.

Nothing in it is imported, called or unpickled, and nothing is written. The listing is taken before
and after, because a checkpoint that changes while it is read is not bad but unfinished.
"""

from __future__ import annotations

from collections.abc import Callable

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.drift import advance, compare
from airflow_runai.checkpoints.checking.findings import Verdict
from airflow_runai.checkpoints.checking.format_error import shown
from airflow_runai.checkpoints.checking.ledger import Ledger
from airflow_runai.checkpoints.checking.read_cache import ByteCount, ReadCache
from airflow_runai.checkpoints.checking.recognition import examine
from airflow_runai.checkpoints.checking.report import Report
from airflow_runai.checkpoints.checking.request import CheckRequest, Policy
from airflow_runai.checkpoints.checking.step_claim import StepClaim
from airflow_runai.checkpoints.checking.steps import disagreements, reference_claim, step_in_name
from airflow_runai.checkpoints.choosing.listing_checks import list_and_note, note_changes
from airflow_runai.checkpoints.formats import FORMATS
from airflow_runai.checkpoints.formats.heads import foreign, head
from airflow_runai.checkpoints.storage.listing import Listing, Location
from airflow_runai.checkpoints.storage.progress import Progress


def check(
    path: Location,
    *,
    level: int = 3,
    policy: Policy | None = None,
    ledger: Ledger | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """
    Check one checkpoint, file or directory.

    :param path: a ``Path`` or ``ObjectStoragePath``.
    :param level: 0 listing, 1 structure (a few KB per file), 2 integrity (every byte once), 3
        content (in the same pass).
    :param policy: what the user decides about verdicts; lenient by default.
    :param ledger: of the training's last accepted checkpoint, to compare with; the report carries
        the new one.
    :param progress: called with the number of bytes read so far, after every chunk; a
        :class:`~airflow_runai.checkpoints.storage.progress.Progress` also learns the total.
    :return: the report, which holds everything that is wrong; nothing is raised for it.
    :raises ValueError: for a level that does not exist.
    """
    if type(level) is not int or level not in (0, 1, 2, 3):
        raise ValueError(
            f"level: {level!r} is not one of 0 (listing), 1 (structure), 2 (integrity), 3 (content)"
        )
    request = CheckRequest(level, policy or Policy(), ledger)
    context = CheckContext(request, FORMATS, cache=ReadCache(ByteCount(progress)))
    tree = list_and_note(path, context)
    if isinstance(progress, Progress):
        # Below level 2 a few KB of each file are read.
        progress.begin(tree.label, tree.size if level >= 2 else 0)
    form = None
    if not context.refused:
        form = _examine(tree, context)
        note_changes(path, tree, context)
    step = _note_steps(tree, context)
    return _report(path, tree, context, form, step)


def _examine(tree: Listing, context: CheckContext) -> str | None:
    try:
        form = examine(tree, context)
    except Exception as error:
        # A defect of ours must not look like a defect of the checkpoint, nor stop the walk over the
        # others.
        text = f"{type(error).__name__}: {error}; please report this"
        context.note("reader-defect", tree.label, text)
        return None
    if form is None and not context.refused:
        context.note("format-unknown", tree.label, _not_recognised(tree, context))
    return form


def _not_recognised(tree: Listing, context: CheckContext) -> str:
    first = head(tree, context)
    begins = f"begins with {shown(first[:8])}"
    what = foreign(first) or (begins if tree.single else "no file in it is of a known format")
    considered = ", ".join(form.name for form in FORMATS)
    advice = "a manifest of ours proves files of any format"
    return f"not recognised: {what}; considered were {considered}; {advice}"


def _note_steps(tree: Listing, context: CheckContext) -> int | None:
    """Compare what name and content say about the step, and return the step."""
    claims = _step_claims(tree, context)
    for code, message in disagreements(claims):
        context.note(code, tree.label, message)
    reference = reference_claim(claims)
    return None if reference is None else reference.step


def _step_claims(tree: Listing, context: CheckContext) -> list[StepClaim]:
    account = context.account
    steps, step = account.steps, step_in_name(tree.label)
    if step is None:
        return steps
    binding = _name_binds(tree, account.name_binds)
    claim = StepClaim(f"the name {tree.label!r}", step, "binding" if binding else "advisory")
    # The content of a file outranks its name; the name of a directory outranks its parts.
    return [*steps, claim] if tree.single else [claim, *steps]


def _name_binds(tree: Listing, format_says: bool | None) -> bool:
    """Return whether a name binds: it says that it counts steps, or its trainer is known to."""
    # What a part of a directory says of its own name is not about the directory.
    if format_says is not None and format_says is not tree.single:
        return format_says
    # checkpoint_3 may count epochs, and a directory 7 may be a version of TensorFlow Serving.
    words = ("step",) if tree.single else ("step", "iter")
    return any(word in tree.label.lower() for word in words)


def _report(
    path: Location, tree: Listing, context: CheckContext, form: str | None, step: int | None
) -> Report:
    account, before = context.account, context.request.ledger
    ledger = account.ledger(tree, step)
    if before is not None:
        ledger = advance(before, ledger)
        _note_drift(before, ledger, tree, context)
    return Report(
        path=str(path),
        verdict=context.verdict,
        format=form,
        step=step,
        level=context.level,
        bytes=tree.size,
        findings=tuple(account.findings),
        digest=account.digest(tree) if context.level >= 2 else None,
        tensors=account.tensors,
        mark=tree.mark,
        world_size=account.world_size,
        metrics=account.metrics,
        ledger=ledger,
    )


def _note_drift(before: Ledger, now: Ledger, tree: Listing, context: CheckContext) -> None:
    """Compare with the last accepted checkpoint, unless this one is refused already."""
    if context.refused:
        return
    intact = context.level < 2 or context.verdict is Verdict.VALID
    for finding in compare(before, now, intact=intact, written=context.account.manifest_verified):
        context.note(finding.code, finding.path or tree.label, finding.message)
