"""
Checkpoints of Lightning in one file: a file of ``torch.save``, old or new, with Lightning's keys.

Beyond PyTorch's formats it checks that the keys are complete, and that name, ``global_step``, the
optimizer's own count and the paths in callbacks agree. A checkpoint in several files (FSDP) is read
by :mod:`~airflow_runai.checkpoints.formats.fsdp`. A file that was repacked with compression passes
as one of PyTorch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.step_claim import StepClaim
from airflow_runai.checkpoints.checking.steps import step_in_name
from airflow_runai.checkpoints.formats.claims import is_step
from airflow_runai.checkpoints.formats.heads import head
from airflow_runai.checkpoints.formats.legacy_torch import is_legacy
from airflow_runai.checkpoints.formats.torch_file import examine_torch_file
from airflow_runai.checkpoints.pickles.values import walk
from airflow_runai.checkpoints.storage.listing import Listing

# The first keys of the dictionary (lightning 2.6, dump_checkpoint); the pickle lies at the
# beginning of both formats.
_MARK = b"pytorch-lightning_version"
_REQUIRED = ("epoch", "global_step", "state_dict")
# Until 1.5 the name counted from 0 and the content from 1.
_OLD = re.compile(r"0\.|1\.[0-5]\.")


def _detect(tree: Listing, context: CheckContext) -> bool:
    first = head(tree, context)
    return _MARK in first and (first.startswith(b"PK\3\4") or is_legacy(first))


def _examine(tree: Listing, context: CheckContext) -> None:
    keys = _Keys(tree.label, context)
    examine_torch_file(tree, context, keys.inspect)
    context.account.steps[:] = [keys.weighed(claim) for claim in context.account.steps]


@dataclass
class _Keys:
    """The content of Lightning's keys."""

    label: str
    context: CheckContext
    step: int = 0
    old: bool = False
    optimizers: int = 0

    def inspect(self, root: object) -> None:
        """Read the inert root."""
        if not isinstance(root, dict):
            raise FormatError(
                "lightning-keys", "is not the dictionary that Lightning writes; it was overwritten"
            )
        missing = [key for key in _REQUIRED if key not in root]
        step = root.get("global_step")
        if missing or not is_step(step):
            raise FormatError(
                "lightning-keys",
                f"global_step is {shown(step)} and {', '.join(missing) or 'nothing'} is missing; "
                f"Lightning writes {', '.join(_REQUIRED)} always",
            )
        self.step = step
        version = root.get("pytorch-lightning_version")
        self.old = isinstance(version, str) and _OLD.match(version) is not None
        self._inspect_optimizers(root.get("optimizer_states"))
        self._inspect_callbacks(root.get("callbacks"))

    def _inspect_optimizers(self, states: object) -> None:
        self.optimizers = len(states) if isinstance(states, list) else 0
        if not self.optimizers:
            self.context.note(
                "model-only",
                self.label,
                "no optimizer state (save_weights_only); resuming starts anew",
            )

    def _inspect_callbacks(self, callbacks: object) -> None:
        # Lightning gave it this name, so a metric called "step" in it is no damage. A file of
        # weights alone names none.
        if self.label in _own_names(callbacks) or not self.optimizers:
            self.context.account.name_binds = False
        for place in walk(callbacks):
            if isinstance(place.value, str) and place.name.endswith("_path"):
                self._check_path(place.name.rpartition(".")[2], place.value)

    def _check_path(self, name: str, path: str) -> None:
        later = step_in_name(_last_part(path))
        if later is not None and later > self.step:
            self.context.note(
                "step-differs",
                self.label,
                f"{name} is {shown(path)}, which is later than global_step {self.step}; "
                "parts of it may belong to another checkpoint",
            )

    def weighed(self, claim: StepClaim) -> StepClaim:
        """
        Weigh a claim.

        One optimizer cannot be ahead of ``global_step``, but may lag when steps were skipped or it
        was made anew. Of several, each counts its own steps, and ``global_step`` their sum.
        """
        if claim.place == f"global_step in {self.label}":
            return replace(claim, weight="advisory" if self.old else "binding")
        if claim.place != f"optimizer in {self.label}":
            return claim
        if claim.step > self.step:
            return replace(claim, weight="binding")
        if claim.step == self.step or self.optimizers != 1:
            return replace(claim, weight="hint")
        return replace(claim, weight="advisory")


def _own_names(callbacks: object) -> set[str]:
    """Return the names of the files that ModelCheckpoint has written, this one included."""
    names: set[str] = set()
    for place in walk(callbacks):
        # The keys of best_k_models are paths.
        texts = place.value if isinstance(place.value, dict) else [place.value]
        names.update(_last_part(text) for text in texts if isinstance(text, str))
    return names


def _last_part(path: str) -> str:
    # Written on Windows, read on Linux.
    return path.replace("\\", "/").rpartition("/")[2]


LIGHTNING = Format("lightning", _detect, _examine)
