from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_runai.checkpoints import Verdict, check
from tests.checkpoints.finding_codes import code_set
from tests.checkpoints.samples import GOLDEN, torch_file, write
from tests.checkpoints.test_reading import Faulty

EXPECTED = {
    "state.pt": ("torch-zip", Verdict.VALID, 4, set()),
    "types.pt": ("torch-zip", Verdict.VALID, None, set()),
    "deflated.pt": ("torch-zip", Verdict.VALID, 4, set()),
    "epoch=0-step=4.ckpt": ("lightning", Verdict.VALID, 4, {"score-non-finite"}),
    "mask.pt": ("torch-zip", Verdict.VALID, None, {"mask-infinite"}),
    "nan.pt": ("torch-zip", Verdict.POISONED, None, {"non-finite"}),
    "unsummed.pt": ("torch-zip", Verdict.UNVERIFIABLE, 4, {"zip-no-checksums"}),
    "legacy.pt": ("torch-legacy", Verdict.UNVERIFIABLE, 4, {"legacy-no-checksum"}),
    "model.safetensors": ("safetensors", Verdict.UNVERIFIABLE, 4, {"safetensors-no-checksum"}),
    "sharded": ("sharded", Verdict.UNVERIFIABLE, None, {"safetensors-no-checksum"}),
    "checkpoint-4": (
        "huggingface-trainer",
        Verdict.UNVERIFIABLE,
        4,
        {"safetensors-no-checksum", "pickle-foreign"},
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_real_libraries_wrote_gets_its_verdict(name: str) -> None:
    report = check(GOLDEN / name)
    found = (
        report.format,
        report.verdict,
        report.step,
        code_set(report),
    )
    assert found == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_shallower_look_never_finds_more(name: str) -> None:
    deep = {finding.code for finding in check(GOLDEN / name).findings}
    for level in (0, 1, 2):
        report = check(GOLDEN / name, level=level)
        assert code_set(report) <= deep
        assert (report.digest is not None) == (level >= 2 and report.verdict is not Verdict.INVALID)


def test_looking_imports_neither_numpy_nor_airflow_before_content_is_tested() -> None:
    program = (
        "import sys; from pathlib import Path; from airflow_runai.checkpoints import check\n"
        "check(Path(sys.argv[1]), level=2)\n"
        "print([name for name in ('numpy', 'airflow', 'torch', 'pickle') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(GOLDEN / "state.pt")], capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_equal_content_has_an_equal_digest_and_other_content_another(tmp_path: Path) -> None:
    copy = shutil.copytree(GOLDEN / "checkpoint-4", tmp_path / "copy-of-checkpoint-4")
    assert check(copy).digest == check(GOLDEN / "checkpoint-4").digest
    write(copy / "config.json", b"{}")
    assert check(copy).digest != check(GOLDEN / "checkpoint-4").digest


def test_every_cut_is_refused() -> None:
    data = (GOLDEN / "state.pt").read_bytes()
    signatures = (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\7\x08")
    boundaries = {at for at in range(len(data)) if data[at : at + 4] in signatures}
    chance = random.Random(7)
    for size in (
        boundaries | {0, 1, len(data) - 1} | {chance.randrange(len(data)) for _ in range(200)}
    ):
        assert check(Faulty("cut.pt", data[:size])).verdict is Verdict.INVALID, size


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a small one, every bit", "one by torch.save, every byte"])
def test_every_flipped_bit_is_refused_or_in_a_byte_that_no_loader_uses(name: str) -> None:
    small = "every bit" in name
    data = torch_file() if small else (GOLDEN / "mask.pt").read_bytes()
    ignored = _unused_bytes(data)
    assert len(ignored) < len(data) / 3
    chance = random.Random(11)
    for at in range(len(data)):
        for bit in range(8) if small else [chance.randrange(8)]:
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            report = check(Faulty("flipped.pt", bytes(damaged)))
            assert not any(finding.code == "reader-defect" for finding in report.findings), at
            assert report.accepted() == (at in ignored), (at, bit, report.findings)


def _unused_bytes(data: bytes) -> set[int]:
    """Versions, padding in local extra fields, attributes: the list in the archive module's documentation."""
    unused: set[int] = set()
    for at in range(len(data)):
        match data[at : at + 4]:
            case b"PK\3\4":
                name, extra = (
                    int.from_bytes(data[at + 26 : at + 28], "little"),
                    int.from_bytes(data[at + 28 : at + 30], "little"),
                )
                unused |= {at + 4, at + 5, *range(at + 30 + name, at + 30 + name + extra)}
            case b"PK\1\2":
                unused |= {*range(at + 4, at + 8), *range(at + 36, at + 42)}
            case b"PK\6\6":
                unused |= set(range(at + 12, at + 16))
    return unused


@pytest.mark.parametrize(
    "name", ["state.pt", "types.pt", "deflated.pt", "epoch=0-step=4.ckpt", "mask.pt", "unsummed.pt"]
)
def test_torch_counts_the_same_tensors_and_loads_what_is_accepted(name: str) -> None:
    torch = pytest.importorskip("torch")
    loaded = torch.load(GOLDEN / name, weights_only=False)
    pending, count = [loaded], 0
    while pending:
        value = pending.pop()
        count += isinstance(value, torch.Tensor)
        pending.extend(
            value.values()
            if isinstance(value, dict)
            else value
            if isinstance(value, list | tuple)
            else ()
        )
    # Sparse and meta tensors are not views of a storage.
    assert count <= check(GOLDEN / name).tensors + 2


def test_the_libraries_that_made_the_files_are_recorded() -> None:
    made_by = dict(line.split() for line in (GOLDEN / "VERSIONS").read_text().splitlines())
    assert {"torch", "safetensors", "transformers", "lightning"} <= set(made_by)
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*")) < 400_000
