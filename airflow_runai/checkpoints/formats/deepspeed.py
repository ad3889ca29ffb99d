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
from airflow_runai.checkpoints.checking.steps import step_in_name
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
    tags = _tags(tree)
    chosen = "" if "" in tags else follow(tree, context, _POINTER, {tag: tag for tag in tags})
    step = step_in_name(chosen)
    if step is not None:
        context.account.steps.append(StepClaim(f"the name {chosen!r}", step))
    folder = f"{chosen}/" if chosen else ""
    save = _Save(
        context,
        folder,
        [name[len(folder) :] for name in sorted(tree.files) if name.startswith(folder)],
    )
    save.check_ranks()
    states = [folder + name for name in save.files if _STATE.fullmatch(name)]
    side_by_side(
        tree,
        context,
        states,
        lambda part, name: examine_part(tree, part, name, partial(save.take, name)),
    )
    save.compare()
    return states


@dataclass
class _Save:
    """One save of all ranks."""

    context: CheckContext
    folder: str
    files: list[str]
    facts: dict[str, dict[str, int]] = field(default_factory=dict)
    """Numbers by name, of each file."""

    def ranks(self, kind: str) -> dict[int, set[int]]:
        """Data-parallel ranks by model-parallel rank."""
        found: dict[int, set[int]] = {}
        for match in filter(None, map(_ZERO.fullmatch, self.files)):
            if match[3] == kind:
                found.setdefault(int(match[2]), set()).add(int(match[1]))
        return found

    def check_ranks(self) -> None:
        """Check by the names alone, at level 0, that no rank is missing."""
        models = {int(match[1]) for match in map(_MODEL.fullmatch, self.files) if match}
        sharded = self.ranks("model")
        optimizers = self.ranks("optim")
        layered = any(name.startswith("layer_") for name in self.files)
        if not models and not sharded and not layered:
            text = "no model states; the save was not finished"
            self.context.note("file-missing", self.folder or ".", text)
        present = models or set(sharded) or set(optimizers)
        self._require("model-parallel", present, len(models | set(optimizers)))
        for by_model_rank in (sharded, optimizers):
            count = max(map(len, by_model_rank.values()), default=0)
            for mp, ranks in by_model_rank.items():
                self._require(f"data-parallel (model-parallel rank {mp})", ranks, count)

    def _require(self, what: str, ranks: set[int], count: int) -> None:
        missing = set(range(count)) - ranks
        if missing:
            text = f"{what} ranks {sorted(missing)[:10]} are missing, {len(ranks)} are there"
            self.context.note(
                "rank-missing", self.folder or ".", f"{text}; a rank had not saved yet"
            )

    def take(self, name: str, root: object) -> None:
        """Keep the numbers that one file's pickle holds."""
        if not isinstance(root, dict):
            return
        facts = {key: value for key in _COUNTS if type(value := root.get(key)) is int}
        zero = root.get("optimizer_state_dict")
        if isinstance(zero, dict) and type(zero.get("zero_stage")) is int:
            facts["zero_stage"] = zero["zero_stage"]
        self.facts[name] = facts

    def compare(self) -> None:
        """Compare what all files say, from level 1 on."""
        for key in ("global_steps", "dp_world_size", "mp_world_size", "zero_stage"):
            values = self._values(key)
            for name, value in values.items():
                first = next(iter(values))
                if value != values[first]:
                    text = f"says {key} {value}, {first} says {values[first]}"
                    problem = "they belong to different saves"
                    self.context.note("ranks-disagree", name, f"{text}; {problem}")
        size, parallel = self._first("dp_world_size"), self._first("mp_world_size")
        if size is not None and self.context.account.world_size is None:
            self.context.account.world_size = size * (parallel or 1)
        self._check_world_size(size)
        skipped = self._first("skipped_steps") or 0
        self.context.account.skipped_steps = skipped
        self._judge_steps(self._first("global_steps"), skipped)

    def _values(self, key: str) -> dict[str, int]:
        return {
            name: self.facts[name][key] for name in sorted(self.facts) if key in self.facts[name]
        }

    def _first(self, key: str) -> int | None:
        return next(iter(self._values(key).values()), None)

    def _check_world_size(self, size: int | None) -> None:
        if size is None or size > 1_000_000:
            return
        for mp, ranks in self.ranks("optim").items():
            if ranks == set(range(len(ranks))):
                self._require(f"data-parallel (model-parallel rank {mp})", ranks, size)
            if len(ranks) > size:
                text = f"files of {len(ranks)} data-parallel ranks, dp_world_size is {size}"
                problem = "the loader ignores the rest"
                self.context.note("rank-left-over", self.folder or ".", f"{text}; {problem}")

    def _judge_steps(self, step: int | None, skipped: int) -> None:
        """Compare the optimizers with each other and with the step less skipped updates."""
        mine = f"optimizer in {self.folder}"
        claims = [claim for claim in self.context.account.steps if claim.place.startswith(mine)]
        for claim in claims:
            if claim.step != claims[0].step:
                text = (
                    f"{claim.place} is at step {claim.step}, {claims[0].place} at {claims[0].step}"
                )
                self.context.note(
                    "ranks-disagree",
                    self.folder or ".",
                    f"{text}; one of them belongs to another save",
                )
        if step is not None:
            self.context.account.steps.append(
                StepClaim(f"global_steps in {self.folder or 'the model states'}", step)
            )
            self.context.account.steps[:] = [
                _weighed(claim, step, skipped) if claim in claims else claim
                for claim in self.context.account.steps
            ]


def _weighed(claim: StepClaim, step: int, skipped: int) -> StepClaim:
    if claim.step + skipped == step:
        return replace(claim, weight="hint")
    return replace(claim, weight="binding", at_most=True)


def _detect(tree: Listing, context: CheckContext) -> bool:
    return holds_deepspeed(tree)


def _examine(tree: Listing, context: CheckContext) -> None:
    examine_parts(tree, context, known=examine_deepspeed(tree, context))


DEEPSPEED = Format("deepspeed", _detect, _examine)
