"""
Checkpoints of DeepSpeed: a folder for each save with the files of all ranks, named by ``latest``.

Rank 0 writes ``latest`` before the other ranks are known to be done (DeepSpeed 0.19.8), and a
loader takes a rank's file of any age, so the set of ranks, the world size, the steps and the ZeRO
stage must agree. Read are the directory with ``latest``, and one of its folders alone. The ranks of
experts and pipeline layers are not counted; their files are only checked one by one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import partial

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.step_claim import StepClaim
from airflow_runai.checkpoints.formats.claims import claim
from airflow_runai.checkpoints.formats.parts import examine_parts, side_by_side
from airflow_runai.checkpoints.formats.pointer import follow
from airflow_runai.checkpoints.formats.torch_file import examine_part
from airflow_runai.checkpoints.storage.listing import Listing

_POINTER = "latest"
# Of ranks, or of pipeline layers; a user's own script may write model_states.pt too.
_STATE = re.compile(r"(?:([^/]+)/)?(?:[^/]*rank_\d|layer_)[^/]*(?:model|optim)_states\.pt")
_MODEL = re.compile(r"mp_rank_(\d{1,6})_model_states\.pt")
# Older versions left out the underscore in front of "optim".
_ZERO = re.compile(
    r"(?:bf16_|fp16_)?zero_pp_rank_(\d{1,6})_mp_rank_(\d{1,6})_?(optim|model)_states\.pt"
)
_COUNTS = ("global_steps", "skipped_steps", "dp_world_size", "mp_world_size")
_COMPARED = ("global_steps", "dp_world_size", "mp_world_size", "zero_stage")
_WORLD_LIMIT = 1_000_000
# Data-parallel ranks by model-parallel rank.
_Ranks = dict[int, set[int]]


def _tags(tree: Listing) -> set[str]:
    """Folders with states; ``""`` when they lie at the top."""
    return {match[1] or "" for match in map(_STATE.fullmatch, tree.files) if match}


def holds_deepspeed(tree: Listing) -> bool:
    """Whether there are files of DeepSpeed."""
    return not tree.single and bool(_tags(tree))


def examine_deepspeed(tree: Listing, context: CheckContext) -> list[str]:
    """
    Check one save; of several, the one that ``latest`` names.

    :return: files that are checked completely.
    """
    folder = _folder(tree, context)
    names = [name for name in sorted(tree.files) if name.startswith(folder)]
    save = _Save(context, folder, [name[len(folder) :] for name in names])
    save.check_ranks()

    def examine_state(part: CheckContext, name: str) -> None:
        examine_part(tree, part, name, partial(save.take, name))

    states = [folder + name for name in save.files if _STATE.fullmatch(name)]
    side_by_side(tree, context, states, examine_state)
    save.compare()
    return states


def _folder(tree: Listing, context: CheckContext) -> str:
    """Choose a folder, with ``/`` behind it; nothing if the states lie at the top."""
    tags = _tags(tree)
    if "" in tags:
        return ""
    return follow(tree, context, _POINTER, {tag: tag for tag in tags}) + "/"


@dataclass
class _Save:
    """One save of all ranks."""

    context: CheckContext
    folder: str
    files: list[str]
    facts: dict[str, dict[str, int]] = field(default_factory=dict)
    """Numbers by name, of each file."""

    def _note(self, code: str, text: str) -> None:
        self.context.note(code, self.folder or ".", text)

    def ranks(self, kind: str) -> _Ranks:
        """Data-parallel ranks by model-parallel rank."""
        ranks: _Ranks = {}
        for match in filter(None, map(_ZERO.fullmatch, self.files)):
            if match[3] == kind:
                ranks.setdefault(int(match[2]), set()).add(int(match[1]))
        return ranks

    def check_ranks(self) -> None:
        """Check by the names alone, at level 0, that no rank is missing."""
        models = {int(match[1]) for match in map(_MODEL.fullmatch, self.files) if match}
        # ZeRO stage 3 shards the model, too.
        sharded = self.ranks("model")
        optimizers = self.ranks("optim")
        layered = any(name.startswith("layer_") for name in self.files)
        if not models and not sharded and not layered:
            self._note("file-missing", "no model states; the save was not finished")
        present = models or set(sharded) or set(optimizers)
        self._require("model-parallel", present, len(models | set(optimizers)))
        self._require_as_many(sharded)
        self._require_as_many(optimizers)

    def _require_as_many(self, by_model_rank: _Ranks) -> None:
        """Check that every model-parallel rank has as many data-parallel ones."""
        count = max(map(len, by_model_rank.values()), default=0)
        for mp, ranks in by_model_rank.items():
            self._require(f"data-parallel (model-parallel rank {mp})", ranks, count)

    def _require(self, what: str, ranks: set[int], count: int) -> None:
        missing = sorted(set(range(count)) - ranks)
        if missing:
            self._note(
                "rank-missing",
                f"{what} ranks {missing[:10]} are missing, {len(ranks)} are there; "
                "a rank had not saved yet",
            )

    def take(self, name: str, root: object) -> None:
        """Keep the numbers that one file's pickle holds."""
        if not isinstance(root, dict):
            return
        # True would be an int, too.
        facts = {key: root[key] for key in _COUNTS if type(root.get(key)) is int}
        optimizer = root.get("optimizer_state_dict")
        stage = optimizer.get("zero_stage") if isinstance(optimizer, dict) else None
        if type(stage) is int:
            facts["zero_stage"] = stage
        self.facts[name] = facts

    def compare(self) -> None:
        """Compare what all files say, from level 1 on."""
        for key in _COMPARED:
            self._compare_values(key)
        account = self.context.account
        size = self._first("dp_world_size")
        parallel = self._first("mp_world_size") or 1
        if size is not None and account.world_size is None:
            account.world_size = size * parallel
        # A number as large as the files lie would take long to count up to.
        if size is not None and size <= _WORLD_LIMIT:
            self._check_world_size(size)
        account.skipped_steps = self._first("skipped_steps") or 0
        self._compare_optimizers()
        step = self._first("global_steps")
        if step is not None:
            self._weigh_optimizers(step)

    def _compare_values(self, key: str) -> None:
        values = self._values(key)
        first = next(iter(values), "")
        for name, value in values.items():
            if value != values[first]:
                self.context.note(
                    "ranks-disagree",
                    name,
                    f"says {key} {value}, {first} says {values[first]}; "
                    "they belong to different saves",
                )

    def _values(self, key: str) -> dict[str, int]:
        # Sorted, because the files were read in any order.
        facts = sorted(self.facts.items())
        return {name: numbers[key] for name, numbers in facts if key in numbers}

    def _first(self, key: str) -> int | None:
        return next(iter(self._values(key).values()), None)

    def _check_world_size(self, size: int) -> None:
        for mp, ranks in self.ranks("optim").items():
            # What is missing in between was noted by its name already.
            if ranks == set(range(len(ranks))):
                self._require(f"data-parallel (model-parallel rank {mp})", ranks, size)
            if len(ranks) > size:
                self._note(
                    "rank-left-over",
                    f"files of {len(ranks)} data-parallel ranks, dp_world_size is {size}; "
                    "the loader ignores the rest",
                )

    @property
    def _optimizers(self) -> list[StepClaim]:
        claims = self.context.account.steps
        return [claim for claim in claims if claim.place.startswith(f"optimizer in {self.folder}")]

    def _compare_optimizers(self) -> None:
        optimizers = self._optimizers
        for other in optimizers:
            first = optimizers[0]
            if other.step != first.step:
                self._note(
                    "ranks-disagree",
                    f"{other.place} is at step {other.step}, {first.place} at {first.step}; "
                    "one of them belongs to another save",
                )

    def _weigh_optimizers(self, step: int) -> None:
        """Compare the optimizers with the step less skipped updates."""
        account = self.context.account
        optimizers = self._optimizers
        claim(self.context, f"global_steps in {self.folder or 'the model states'}", step)
        for at, entered in enumerate(account.steps):
            if entered in optimizers:
                account.steps[at] = _weighed(entered, step, account.skipped_steps)


def _weighed(claim: StepClaim, step: int, skipped: int) -> StepClaim:
    # Fewer updates than that may be of an optimizer that was made anew; more cannot be.
    if claim.step + skipped == step:
        return replace(claim, weight="hint")
    return replace(claim, weight="binding", at_most=True)


def _examine(tree: Listing, context: CheckContext) -> None:
    examine_parts(tree, context, known=examine_deepspeed(tree, context))


DEEPSPEED = Format("deepspeed", lambda tree, context: holds_deepspeed(tree), _examine)
