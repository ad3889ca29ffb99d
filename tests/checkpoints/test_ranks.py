"""What the trainings of many ranks leave behind: DeepSpeed, FSDP, Megatron, and the Trainer on top of them."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_runai.checkpoints import Report, RootProblem, Verdict, candidates, check, select
from tests.checkpoints.distributed_samples import GOOD
from tests.checkpoints.samples import GOLDEN, state_dict, tensor, text, torch_file, write, zip_file

TAG = "global_step4"
MODEL = "mp_rank_00_model_states.pt"
RANK_0, RANK_1 = (f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt" for rank in (0, 1))


def codes(report: Report) -> list[str]:
    return [finding.code for finding in report.findings if finding.code != "pickle-foreign"]


def copied(name: str, tmp_path: Path) -> Path:
    return shutil.copytree(GOLDEN / name, tmp_path / name)


def flip(path: Path) -> None:
    """Flip a bit in the last member's content."""
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\7\x08") - 1] ^= 1
    path.write_bytes(bytes(data))


# -- DeepSpeed
# ---------------------------------------------------------------------------------------------------------
def numbers(**values: int) -> bytes:
    """A file of plain numbers, as ``torch.save`` writes it."""
    root = (
        b"\x80\x02}("
        + b"".join(text(key) + b"K" + bytes([value]) for key, value in values.items())
        + b"u."
    )
    return zip_file([("a/data.pkl", root), ("a/byteorder", b"little"), ("a/version", b"3\n")])


def optimizer(step: int, stage: int = 1) -> bytes:
    """A rank's optimizer with one step count and one tensor."""
    state = (
        b"}"
        + text("state")
        + b"}K\x00}"
        + text("step")
        + b"K"
        + bytes([step])
        + b"ss"
        + text("param_groups")
        + b"]"
    )
    base = state.replace(b"}" + text("state"), b"}(" + text("state"), 1) + b"u"
    zero = (
        b"}("
        + text("zero_stage")
        + b"K"
        + bytes([stage])
        + text("base_optimizer_state")
        + base
        + b"u"
    )
    return torch_file(
        state_dict({"optimizer_state_dict": zero, "flat": tensor("0", 4, (4,), (1,))})
    )


def saved(folder: Path, ranks: int = 2, step: int = 4, stage: int = 1) -> Path:
    folder.mkdir(parents=True)
    facts = {"global_steps": step, "skipped_steps": 0, "dp_world_size": ranks, "mp_world_size": 1}
    write(folder / MODEL, numbers(**facts))
    for rank in range(ranks):
        write(folder / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt", optimizer(step, stage))
    return folder


@pytest.mark.parametrize("place", ["", TAG])
def test_the_directory_and_one_save_in_it_are_both_read(place: str) -> None:
    report = check(GOLDEN / "deepspeed" / place)
    found = (report.format, report.verdict, report.step, report.world_size, codes(report))
    assert found == ("deepspeed", Verdict.VALID, 4, 2, [])
    assert report.digest is not None


def test_the_sample_itself_is_good(tmp_path: Path) -> None:
    report = check(saved(tmp_path / TAG))
    assert (report.verdict, report.step, report.world_size, codes(report)) == (
        Verdict.VALID,
        4,
        2,
        [],
    )


DEEPSPEED: dict[str, tuple[Callable[[Path], object], str, Verdict]] = {
    "a rank is missing": (lambda d: (d / RANK_0).unlink(), "rank-missing", Verdict.INVALID),
    "the last rank is missing": (lambda d: (d / RANK_1).unlink(), "rank-missing", Verdict.INVALID),
    "a rank of a larger run": (
        lambda d: shutil.copy(d / RANK_1, d / RANK_1.replace("rank_1", "rank_2")),
        "rank-left-over",
        Verdict.VALID,
    ),
    "the model is missing": (lambda d: (d / MODEL).unlink(), "file-missing", Verdict.INVALID),
    "a rank is empty": (lambda d: write(d / RANK_1, b""), "empty-file", Verdict.INVALID),
    "a rank is cut": (
        lambda d: write(d / RANK_1, (d / RANK_1).read_bytes()[:-9]),
        "zip-structure",
        Verdict.INVALID,
    ),
    "a rank is stale": (
        lambda d: write(d / RANK_1, optimizer(3)),
        "ranks-disagree",
        Verdict.INVALID,
    ),
    "another ZeRO stage": (
        lambda d: write(d / RANK_1, optimizer(4, 2)),
        "ranks-disagree",
        Verdict.INVALID,
    ),
    "all optimizers are ahead": (
        lambda d: [write(d / name, optimizer(5)) for name in (RANK_0, RANK_1)],
        "step-disagrees",
        Verdict.INVALID,
    ),
    "all optimizers lag": (
        lambda d: [write(d / name, optimizer(3)) for name in (RANK_0, RANK_1)],
        "step-differs",
        Verdict.VALID,
    ),
    "the model is of another step": (
        lambda d: write(d / MODEL, numbers(global_steps=5, dp_world_size=2)),
        "step-disagrees",
        Verdict.INVALID,
    ),
    "a second model of another step": (
        lambda d: write(d / MODEL.replace("00", "01"), numbers(global_steps=5, dp_world_size=2)),
        "ranks-disagree",
        Verdict.INVALID,
    ),
    "a hostile rank": (
        lambda d: write(
            d / RANK_1, torch_file(b"\x80\x02cos\nsystem\n" + text("true") + b"\x85R.")
        ),
        "pickle-dangerous",
        Verdict.UNSAFE,
    ),
}


@pytest.mark.parametrize("name", DEEPSPEED)
def test_ranks_that_do_not_belong_together_are_told(tmp_path: Path, name: str) -> None:
    damage, code, verdict = DEEPSPEED[name]
    folder = saved(tmp_path / TAG)
    damage(folder)
    report = check(folder)
    assert code in codes(report)
    assert report.verdict is verdict


def test_skipped_updates_explain_an_optimizer_that_lags(tmp_path: Path) -> None:
    folder = saved(tmp_path / TAG, step=3)
    write(folder / MODEL, numbers(global_steps=4, skipped_steps=1, dp_world_size=2))
    assert codes(check(folder)) == []


def test_a_flipped_bit_in_any_rank_is_seen(tmp_path: Path) -> None:
    for name in (MODEL, RANK_0, RANK_1):
        folder = copied("deepspeed", tmp_path / name)
        flip(folder / TAG / name)
        report = check(folder, level=2)
        assert [(it.code, it.path) for it in report.findings if it.severity == "error"] == [
            ("zip-crc", f"{TAG}/{name}")
        ]


def test_a_third_stage_has_a_model_file_for_each_rank(tmp_path: Path) -> None:
    folder = tmp_path / TAG
    folder.mkdir()
    for rank in range(3):
        write(
            folder / f"zero_pp_rank_{rank}_mp_rank_00_model_states.pt",
            numbers(global_steps=4, dp_world_size=3),
        )
        write(folder / f"bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt", optimizer(4, 3))
    assert codes(check(folder)) == []
    (folder / "zero_pp_rank_1_mp_rank_00_model_states.pt").unlink()
    assert codes(check(folder, level=0)) == ["rank-missing"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", 1), (b"global_step9", 1), (b"\xff\xfe", 1), (b" global_step4\n", 0)],
)
def test_a_pointer_to_nothing_falls_back_to_the_newest(
    tmp_path: Path, content: bytes, expected: int
) -> None:
    for step in (2, 4):
        saved(tmp_path / "run" / f"global_step{step}", step=step)
    report = check(write(tmp_path / "run" / "latest", content).parent)
    assert (codes(report), report.verdict, report.step) == (
        ["pointer-broken"] * expected,
        Verdict.VALID,
        4,
    )


def test_latest_that_names_an_older_save_is_followed_as_the_loader_does(tmp_path: Path) -> None:
    for step in (2, 4):
        saved(tmp_path / "run" / f"global_step{step}", step=step)
    (tmp_path / "run" / "global_step4" / RANK_1).unlink()
    report = check(write(tmp_path / "run" / "latest", b"global_step2").parent)
    assert (codes(report), report.step) == ([], 2)
    assert report.digest is not None


def test_select_scans_the_saves_and_does_not_trust_the_pointer(tmp_path: Path) -> None:
    for step in (2, 4):
        saved(tmp_path / f"global_step{step}", step=step)
    (tmp_path / "global_step4" / RANK_1).unlink()
    write(tmp_path / "latest", b"global_step4")
    selection = select(tmp_path)
    assert selection.chosen is not None
    assert (selection.chosen.step, [report.step for report in selection.rejected]) == (2, [4])


def test_saves_of_any_name_are_one_candidate_through_the_pointer(tmp_path: Path) -> None:
    saved(tmp_path / "run" / "best")
    write(tmp_path / "run" / "latest", b"best")
    assert [found.path.name for found in candidates(tmp_path / "run")] == ["run"]
    chosen = select(tmp_path / "run").chosen
    assert chosen is not None
    assert (chosen.format, chosen.step) == ("deepspeed", 4)


def test_a_pointer_alone_is_no_candidate(tmp_path: Path) -> None:
    write(tmp_path / "latest", b"global_step4")
    with pytest.raises(RootProblem):
        candidates(tmp_path)


# -- Megatron
# ----------------------------------------------------------------------------------------------------------
ITERATION = "iter_0000004"


@pytest.mark.parametrize("place", ["", ITERATION])
def test_an_iteration_and_the_directory_above_are_both_read(place: str) -> None:
    report = check(GOLDEN / "megatron" / place)
    found = (report.format, report.verdict, report.step, report.tensors, codes(report))
    assert found == ("megatron", Verdict.VALID, 4, 4, [])


MEGATRON: dict[str, tuple[Callable[[Path], object], str, Verdict]] = {
    "not finished": (lambda d: (d / "metadata.json").unlink(), "file-missing", Verdict.INVALID),
    "no common state": (lambda d: (d / "common.pt").unlink(), "file-missing", Verdict.INVALID),
    "no index": (lambda d: (d / ".metadata").unlink(), "file-missing", Verdict.INVALID),
    "no data": (lambda d: (d / "__0_0.distcp").unlink(), "shard-missing", Verdict.INVALID),
    "a flipped bit": (lambda d: flip(d / "__0_0.distcp"), "zip-crc", Verdict.INVALID),
    "a flipped bit in the common state": (
        lambda d: flip(d / "common.pt"),
        "zip-crc",
        Verdict.INVALID,
    ),
    "of another iteration": (
        lambda d: write(d / "common.pt", numbers(iteration=5)),
        "step-disagrees",
        Verdict.INVALID,
    ),
    "cut description": (
        lambda d: write(d / "metadata.json", b'{"sharded'),
        "json-malformed",
        Verdict.INVALID,
    ),
    "another backend": (
        lambda d: write(d / "metadata.json", json.dumps({"sharded_backend": "zarr"}).encode()),
        "not-examined",
        Verdict.INVALID,
    ),
}


@pytest.mark.parametrize("name", MEGATRON)
def test_a_damaged_iteration_is_told(tmp_path: Path, name: str) -> None:
    damage, code, verdict = MEGATRON[name]
    folder = copied("megatron", tmp_path)
    damage(folder / ITERATION)
    report = check(folder)
    assert code in codes(report)
    assert report.verdict is verdict


def test_megatrons_pointer_may_be_empty_or_name_a_release(tmp_path: Path) -> None:
    folder = copied("megatron", tmp_path)
    write(folder / "latest_checkpointed_iteration.txt", b"")
    assert codes(check(folder)) == ["pointer-broken"]
    (folder / ITERATION).rename(folder / "release")
    write(folder / "latest_checkpointed_iteration.txt", b"release")
    report = check(folder)
    assert (report.format, report.verdict, codes(report)) == ("megatron", Verdict.VALID, [])
    assert [found.path for found in candidates(folder)] == [folder]


# -- FSDP
# --------------------------------------------------------------------------------------------------------------
def test_lightnings_directory_is_a_distributed_checkpoint_with_the_rest_beside_it(
    tmp_path: Path,
) -> None:
    folder = GOOD.write(tmp_path / "epoch=0-step=4.ckpt")
    write(folder / "meta.pt", numbers(epoch=0, global_step=4))
    report = check(folder)
    assert (report.format, report.verdict, report.step, codes(report)) == (
        "fsdp",
        Verdict.VALID,
        4,
        [],
    )
    write(folder / "meta.pt", numbers(epoch=0, global_step=5))
    assert "step-disagrees" in codes(check(folder))


def test_lightnings_keys_are_split_between_the_files(tmp_path: Path) -> None:
    folder = GOOD.write(tmp_path / "epoch=0-step=4.ckpt")
    mark = {"pytorch-lightning_version": text("2.6.6"), "epoch": b"K\x00", "global_step": b"K\x04"}
    content = b"\x80\x02}(" + b"".join(text(key) + value for key, value in mark.items()) + b"u."
    write(
        folder / "meta.pt",
        zip_file([("a/data.pkl", content), ("a/byteorder", b"little"), ("a/version", b"3\n")]),
    )
    assert (check(folder).format, codes(check(folder))) == ("fsdp", [])


def test_a_root_of_several_saves_is_not_one_checkpoint(tmp_path: Path) -> None:
    for step in (4, 8):
        GOOD.write(tmp_path / "run" / f"step-{step}")
    assert check(tmp_path / "run").verdict is Verdict.INVALID
    assert [found.step for found in candidates(tmp_path / "run")] == [8, 4]


def test_one_file_for_each_rank_must_be_complete(tmp_path: Path) -> None:
    for rank in range(4):
        write(tmp_path / f"model_world_size_4_rank_{rank}.pt", torch_file())
        write(tmp_path / f"pytorch_model_fsdp_rank{rank}.bin", torch_file())
    assert (check(tmp_path).format, codes(check(tmp_path))) == ("fsdp", [])
    (tmp_path / "model_world_size_4_rank_3.pt").unlink()
    (tmp_path / "pytorch_model_fsdp_rank1.bin").unlink()
    report = check(tmp_path)
    assert sorted((it.code, it.path) for it in report.findings) == [
        ("rank-missing", "model_world_size_4"),
        ("rank-missing", "pytorch_model_fsdp"),
    ]


def trainers(folder: Path, parts: Callable[[Path], object]) -> Path:
    """The Trainer's checkpoint with its own model and optimizer replaced by somebody else's."""
    shutil.copytree(GOLDEN / "checkpoint-4", folder)
    (folder / "model.safetensors").unlink()
    (folder / "optimizer.pt").unlink()
    parts(folder)
    return folder


def test_a_trainers_checkpoint_may_keep_model_and_optimizer_in_fsdps_folders(
    tmp_path: Path,
) -> None:
    def parts(folder: Path) -> None:
        for name in ("pytorch_model_fsdp_0", "optimizer_0"):
            GOOD.write(folder / name)

    folder = trainers(tmp_path / "checkpoint-4", parts)
    report = check(folder)
    assert (report.format, report.step) == ("huggingface-trainer", 4)
    assert codes(report) == ["pickle-no-checksum"] or codes(report) == []
    (folder / "optimizer_0" / ".metadata").unlink()
    assert [(it.code, it.path) for it in check(folder).findings if it.severity == "error"] == [
        ("file-missing", "optimizer_0/.metadata")
    ]


def test_a_trainers_checkpoint_may_keep_all_of_it_with_deepspeed(tmp_path: Path) -> None:
    def parts(folder: Path) -> None:
        saved(folder / TAG)
        write(folder / "latest", TAG.encode())

    folder = trainers(tmp_path / "checkpoint-4", parts)
    report = check(folder)
    assert (report.format, report.step, report.verdict) == ("huggingface-trainer", 4, Verdict.VALID)
    assert [found.path for found in candidates(folder)] == [folder]
    (folder / TAG / RANK_1).unlink()
    assert "rank-missing" in codes(check(folder))


def test_full_files_of_accelerate_are_looked_at_as_files_of_torch(tmp_path: Path) -> None:
    for name in ("pytorch_model_fsdp.bin", "optimizer.bin"):
        write(tmp_path / name, torch_file())
    report = check(tmp_path)
    assert (report.format, report.verdict, report.tensors) == ("fsdp", Verdict.VALID, 2)


# -- none takes another's
# --------------------------------------------------------------------------------------------
OTHERS = {
    "checkpoint-4": "huggingface-trainer",
    "sharded": "sharded",
    "state.pt": "torch-zip",
    "legacy.pt": "torch-legacy",
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_formats_keep_their_names(name: str) -> None:
    assert check(GOLDEN / name).format == OTHERS[name]


def test_a_plain_pickle_beside_weights_is_no_distributed_checkpoint(tmp_path: Path) -> None:
    write(tmp_path / "model.pt", torch_file())
    write(tmp_path / "vocabulary.metadata", pickle.dumps([1]))
    assert check(tmp_path).format == "directory"
