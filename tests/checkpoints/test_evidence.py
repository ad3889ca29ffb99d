"""What binds and what poisons is decided by evidence; what libraries do every day is not refused for its name."""

from __future__ import annotations

import json
import math
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.checkpoints import Policy, Report, Verdict, check, select
from airflow_runai.checkpoints.checking.findings import ACCEPTABLE, CODES
from airflow_runai.checkpoints.keeping.retention import Retention, RetentionProblem
from airflow_runai.errors import InvalidArgument
from airflow_runai.tasks.query_checks import check_accept
from tests.checkpoints.finding_codes import code_set
from tests.checkpoints.samples import GOLDEN, state_dict, tensor, text, torch_file, write, zip_file
from tests.checkpoints.test_directories import edit

VALID, INVALID, POISONED = Verdict.VALID, Verdict.INVALID, Verdict.POISONED
NAN, INF = math.nan, math.inf


def codes(report: Report) -> set[str]:
    return code_set(report, "safetensors-no-checksum", "pickle-foreign")


# -- steps
# -------------------------------------------------------------------------------------------------------------
def resumed(folder: Path, step: int, rates: dict[int, float], *, every: int = 1) -> Path:
    """A Trainer's checkpoint whose optimizer and scheduler count 4, with the learning rates that were logged."""
    made = shutil.copytree(GOLDEN / "checkpoint-4", folder / f"checkpoint-{step}")
    history = [{"step": at, "learning_rate": rate, "loss": 1.0} for at, rate in rates.items()]
    edit(
        made / "trainer_state.json",
        lambda s: s.update(global_step=step, log_history=history, logging_steps=every),
    )
    return made


def falling(first: int, last: int, begin: int = 0) -> dict[int, float]:
    """Rates of a linear schedule of 4 steps (that of the golden file, 0 at the end), counted from ``begin``."""
    return {step: 5e-5 * (1 - (step - begin - 1) / 4) for step in range(first, last + 1)}


def test_optimizer_and_scheduler_that_began_anew_may_lag_behind_the_trainer(tmp_path: Path) -> None:
    logged = {**{step: 5e-5 for step in range(1, 5)}, **falling(5, 8, begin=4)}
    assert codes(check(resumed(tmp_path, 8, logged))) == {"step-differs"}
    assert codes(check(resumed(tmp_path, 9, {}))) == {"step-differs"}


def test_but_not_where_the_log_shows_one_schedule_without_a_break(tmp_path: Path) -> None:
    logged = {**falling(1, 5), 6: 2e-5, 7: 3e-5, 8: 4e-5}
    assert codes(check(resumed(tmp_path, 8, logged))) == {"step-disagrees"}


def test_nor_where_the_log_does_not_reach_the_step(tmp_path: Path) -> None:
    assert codes(check(resumed(tmp_path, 8, falling(1, 4)))) == {"step-disagrees"}


def test_nor_where_only_one_of_them_lags(tmp_path: Path) -> None:
    folder = resumed(tmp_path, 8, {})
    write(
        folder / "scheduler.pt",
        without_tensors(state_dict({"last_epoch": b"K\x08", "_step_count": b"K\x09"})),
    )
    assert codes(check(folder)) == {"step-disagrees"}


@pytest.mark.parametrize(
    ("name", "verdict"), [("checkpoint_3", VALID), ("ckpt-3", VALID), ("step-3", INVALID)]
)
def test_a_distributed_checkpoint_may_be_called_after_its_epoch(
    tmp_path: Path, name: str, verdict: Verdict
) -> None:
    report = check(shutil.copytree(GOLDEN / "dcp-step-4", tmp_path / name))
    assert report.verdict is verdict, report.findings
    assert ("step-disagrees" in codes(report)) == (verdict is INVALID)


def skipping(folder: Path, step: int, skipped: int) -> Path:
    """The Trainer with DeepSpeed in half precision: the scheduler stood still while updates overflowed."""
    made = shutil.copytree(GOLDEN / "checkpoint-4", folder / f"checkpoint-{step}")
    (made / "optimizer.pt").unlink()
    history = [{"step": step, "learning_rate": 1e-5}]
    edit(made / "trainer_state.json", lambda s: s.update(global_step=step, log_history=history))
    model = state_dict({"global_steps": bytes([75, step]), "skipped_steps": bytes([75, skipped])})
    (made / f"global_step{step}").mkdir()
    write(made / f"global_step{step}/mp_rank_00_model_states.pt", without_tensors(model))
    return made


def without_tensors(pickle: bytes) -> bytes:
    return zip_file([("a/data.pkl", pickle), ("a/byteorder", b"little"), ("a/version", b"3\n")])


def test_deepspeed_says_how_many_steps_the_scheduler_was_left_out(tmp_path: Path) -> None:
    assert codes(check(skipping(tmp_path, 6, 2))) == set()
    assert codes(check(skipping(tmp_path, 5, 0))) <= {"step-differs", "step-disagrees"} != set()


def named_by_lightning(own: str) -> bytes:
    callbacks = (
        b"}"
        + text("ModelCheckpoint{}")
        + b"}"
        + text("best_k_models")
        + b"}"
        + text(own)
        + b"G"
        + bytes(8)
    )
    entries = {
        "epoch": b"K\x01",
        "global_step": b"K\x08",
        "pytorch-lightning_version": text("2.6.6"),
        "state_dict": b"}" + text("weight") + tensor("0", 4, (2, 2), (2, 1)) + b"s",
        "callbacks": callbacks + b"sss",
        "optimizer_states": b"]}" + text("state") + b"}s" + b"a",
    }
    return torch_file(state_dict(entries))


def test_a_metric_called_step_in_lightnings_name_is_no_damage(tmp_path: Path) -> None:
    own = check(
        write(tmp_path / "epoch=1-step=1.ckpt", named_by_lightning("/runs/epoch=1-step=1.ckpt"))
    )
    assert (own.verdict, own.step, codes(own)) == (VALID, 8, {"step-differs"})
    other = check(
        write(tmp_path / "epoch=1-step=1.ckpt", named_by_lightning("/runs/epoch=0-step=4.ckpt"))
    )
    assert (other.verdict, codes(other)) == (INVALID, {"step-disagrees"})


# -- what a user accepts
# -----------------------------------------------------------------------------------------------
def test_a_policy_accepts_a_code_and_then_it_only_warns(tmp_path: Path) -> None:
    folder = shutil.copytree(GOLDEN / "dcp-step-4", tmp_path / "step-3")
    report = check(folder, policy=Policy(accept=frozenset({"step-disagrees"})))
    assert report.verdict is VALID
    assert ("step-disagrees", "warning") in [
        (finding.code, finding.severity) for finding in report.findings
    ]
    assert select(tmp_path).chosen is None
    assert select(tmp_path, accept={"step-disagrees"}).chosen is not None


@pytest.mark.slow
def test_the_command_line_accepts_it_too(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "dcp-step-4", tmp_path / "step-3")
    command = [
        sys.executable,
        "-m",
        "airflow_runai.checkpoints",
        "select",
        str(tmp_path),
        "--accept",
        "step-disagrees",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (0, "valid")
    assert (
        subprocess.run(
            [*command, "--accept", "zip-crc"], capture_output=True, check=False
        ).returncode
        == 2
    )


def test_what_is_damaged_or_dangerous_cannot_be_accepted() -> None:
    forbidden = {code for code in CODES if CODES[code].verdict is Verdict.UNSAFE} | {
        "zip-crc",
        "file-missing",
    }
    assert not forbidden & ACCEPTABLE
    for code in ("zip-crc", "pickle-dangerous", "nonsense"):
        with pytest.raises(ValueError, match="allowed: dtype-drift"):
            Policy(accept=frozenset({code}))
        with pytest.raises(RetentionProblem, match="allowed: dtype-drift"):
            Retention(accept=(code,))
        with pytest.raises(InvalidArgument, match="allowed: any of dtype-drift"):
            check_accept({code})
    with pytest.raises(InvalidArgument, match="allowed"):
        check_accept("step-disagrees")


# -- poison
# ------------------------------------------------------------------------------------------------------------
def nested(path: str, value: bytes) -> bytes:
    """A dictionary in a dictionary, for each slash of the path."""
    first, _, rest = path.partition("/")
    return b"}" + text(first) + (nested(rest, value) if rest else value) + b"s"


def holding(path: str, numbers: Sequence[float]) -> bytes:
    value = tensor("0", len(numbers), (len(numbers),), (1,))
    return torch_file(
        b"\x80\x02" + nested(path, value) + b".", struct.pack(f"<{len(numbers)}f", *numbers)
    )


GOOD: dict[str, tuple[str, list[float]]] = {
    "a history of epochs without validation": ("history", [1.0, NAN]),
    "histories in a container": ("losses/validation", [1.0, NAN]),
    "the lowest so far": ("val_min", [INF, 1.0]),
    "a constant feature": ("model/normalizer.std", [1.0, NAN]),
    "bounds of an action": ("model/policy.low", [-INF, 1.0]),
    "bounds without an end": ("model/policy.action_high", [INF, 1.0]),
    "alibi": ("state_dict/attn.alibi_bias", [0.5, -INF]),
    "a bias of logits": ("state_dict/final_logits_bias", [0.0, -INF]),
    "a second moment that overflowed": ("optimizer/state/exp_avg_sq", [1.0, INF]),
    "a best score in a callback": ("callbacks/best_weight_score", [INF, 1.0]),
    "an amax history": ("model/fc.amax_history", [NAN, 1.0]),
}
BAD: dict[str, tuple[str, list[float]]] = {
    "a mask token": ("model/embeddings.mask_token", [NAN, NAN]),
    "an embedding of scores": ("model/score_embedding", [NAN, NAN]),
    "the head of a classifier": ("score.weight", [NAN, 1.0]),
    "a bias": ("model/fc.bias", [1.0, NAN]),
    "a bias that diverged": ("model/fc.bias", [1.0, -INF]),
    "a weight that overflowed": ("model/fc.weight", [1.0, INF]),
    "a mask of NaN": ("model/attention_mask", [NAN, 1.0]),
    "bounds of NaN": ("model/policy.low", [NAN, 1.0]),
    "a running mean": ("model/bn.running_mean", [NAN, 1.0]),
    "a first moment": ("optimizer/state/exp_avg", [1.0, INF]),
    "a second moment of NaN": ("optimizer/state/exp_avg_sq", [1.0, NAN]),
    "an optimizer's history": ("optimizer/state/loss", [NAN, 1.0]),
    "a mask token of -inf": ("model/mask_token", [1.0, -INF]),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_libraries_write_does_not_poison(tmp_path: Path, name: str) -> None:
    report = check(write(tmp_path / "x.pt", holding(*GOOD[name])))
    assert report.verdict is VALID, report.findings
    assert [finding.severity for finding in report.findings] == ["warning"]


@pytest.mark.parametrize("name", BAD)
def test_no_name_excuses_what_is_trained(tmp_path: Path, name: str) -> None:
    report = check(write(tmp_path / "x.pt", holding(*BAD[name])))
    assert (report.verdict, codes(report)) == (POISONED, {"non-finite"})


def viewed(numbers: Sequence[float], **views: tuple[Sequence[int], Sequence[int], int]) -> bytes:
    entries = {name: tensor("0", len(numbers), *view) for name, view in views.items()}
    return torch_file(state_dict(entries), struct.pack(f"<{len(numbers)}f", *numbers))


GRID = [NAN] * 12
VIEWS: dict[
    str, tuple[dict[int, float], dict[str, tuple[Sequence[int], Sequence[int], int]], Verdict]
] = {
    "two slices": (
        {0: 1, 1: 1, 10: 1, 11: 1},
        {"a": ((2,), (1,), 0), "b": ((2,), (1,), 10)},
        VALID,
    ),
    "a column": ({1: 1, 5: 1, 9: 1}, {"a": ((3,), (4,), 1)}, VALID),
    "a column with a NaN": ({1: 1, 9: 1}, {"a": ((3,), (4,), 1)}, POISONED),
    "a block": ({1: 1, 2: 1, 5: 1, 6: 1}, {"a": ((2, 2), (4, 1), 1)}, VALID),
    "a block, transposed": ({1: 1, 2: 1, 5: 1, 6: 1}, {"a": ((2, 2), (1, 4), 1)}, VALID),
    "a block with a NaN": ({1: 1, 2: 1, 5: 1}, {"a": ((2, 2), (4, 1), 1)}, POISONED),
    "one that is repeated": ({3: 1}, {"a": ((5,), (0,), 3)}, VALID),
    "a block and a column of it": (
        {1: 1, 2: 1, 5: 1, 6: 1},
        {"a": ((2, 2), (4, 1), 1), "b": ((2,), (4,), 2)},
        VALID,
    ),
    "windows that overlap": ({0: 1, 1: 1, 2: 1, 3: 1}, {"a": ((3, 2), (1, 1), 0)}, VALID),
    "windows that overlap, with a NaN": ({0: 1, 1: 1, 3: 1}, {"a": ((3, 2), (1, 1), 0)}, POISONED),
}


@pytest.mark.parametrize("name", VIEWS)
def test_exactly_the_elements_of_each_view_are_looked_at(tmp_path: Path, name: str) -> None:
    set_, views, verdict = VIEWS[name]
    numbers = [float(set_.get(place, NAN)) for place in range(len(GRID))]
    report = check(write(tmp_path / "x.pt", viewed(numbers, **views)))
    assert report.verdict is verdict, report.findings


def test_a_view_is_named_and_no_other(tmp_path: Path) -> None:
    numbers = [1.0, 1.0, NAN, 1.0]
    report = check(write(tmp_path / "x.pt", viewed(numbers, a=((2,), (1,), 0), b=((2,), (1,), 2))))
    assert [finding.message.split()[1] for finding in report.findings] == ["'b'"]
    flags = {name: entry.non_finite for (_, name), entry in report.ledger.tensors.items()}
    assert flags == {"a": False, "b": True}


@pytest.mark.slow
def test_torch_agrees_about_every_view(tmp_path: Path) -> None:
    torch: Any = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(3)

    def draw(below: int) -> int:
        return int(torch.randint(below, (1,), generator=generator))

    for _ in range(150):
        base = torch.where(torch.rand(24, 7, generator=generator) < 0.05, NAN, 1.0)
        view = base[draw(20) :: 1 + draw(4), draw(6) :: 1 + draw(3)]
        view = view.t() if draw(2) else view
        torch.save({"view": view, "other": base[:1, :1].clone().fill_(1.0)}, tmp_path / "x.pt")
        expected = VALID if bool(torch.isfinite(view).all()) else POISONED
        assert check(tmp_path / "x.pt").verdict is expected
