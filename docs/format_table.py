"""The worth of a verdict for each checkpoint format; :func:`formats` refuses if one is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from airflow_runai.checkpoints.formats import FORMATS

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]

_HEAD = (
    "format",
    "recognized by",
    "proof of the bytes",
    "verdict, and what it does not mean",
    "sign of a torn write",
    "added by our manifest",
)
_NOTHING = "nothing"
_EVERY_BYTE = "every byte"


class Row(NamedTuple):
    """The description of one format."""

    known_by: str
    proof: str
    verdict: str
    torn: str
    manifest: str


ROWS: dict[str, Row] = {
    "published": Row(
        "`step-N/` with `manifest.json`, from [the training side](#the-training-side)",
        "size and CRC32 of every file, whatever its format; CRC32 of the manifest itself",
        "`valid`: all files exist and are those that were published; not that the model is good",
        "a temporary name; the manifest is missing",
        "(it is our manifest)",
    ),
    "saved-model": Row(
        "`saved_model.pb`, `variables/`",
        "variables: CRC32C of each tensor; the graph: nothing",
        "`unverifiable`: variables are proven, the graph's messages end where they should",
        "an empty or cut `saved_model.pb`, variables without `variables.index`",
        "the graph, assets",
    ),
    "tensorflow": Row(
        "`PREFIX.index` (a LevelDB table) and `PREFIX.data-i-of-n`; named after its index",
        "CRC32C of each block of the index and of each tensor, strings included",
        "`valid`: every byte of every tensor, `unverifiable` only with variants; "
        "not that your model still fits it",
        "data without an index (it is written last); a `_temp` directory; "
        "`checkpoint` names a missing file",
        "the text file `checkpoint`",
    ),
    "orbax": Row(
        "`_CHECKPOINT_METADATA`, `manifest.ocdbt`; directories named `12`",
        "CRC32C of manifests, tree nodes and indices of shards; values: nothing",
        "`unverifiable`: it was committed, every piece of every array exists and unpacks to its "
        "size; not that its numbers are those that were written",
        "`*.orbax-checkpoint-tmp*`, no commit time, an empty directory",
        "every value",
    ),
    "megatron": Row(
        "`iter_N/` with `metadata.json` and a distributed checkpoint; "
        "the directory above by its tracker file",
        "as `torch-dcp`",
        "`valid`: every piece, and the steps agree; not that optimizer and model are from one run",
        "`metadata.json` is missing (written when all ranks are done)",
        "`metadata.json`, and files of another step",
    ),
    "torch-dcp": Row(
        "`.metadata` and `*.distcp`",
        "every piece is a small zip with CRC32s; `.metadata`: nothing, but each piece must be "
        "in its place",
        "`valid`: every piece; only optimizer steps or a ledger reveal a file of another step",
        "no `.metadata`; an old one over new data (the pieces do not fit)",
        "`.metadata`; that all files are from one save",
    ),
    "huggingface-trainer": Row(
        "`trainer_state.json`; or `checkpoint-N/` with `training_args.bin`, `rng_state*.pth`, "
        "or `scheduler.pt` and a model",
        "`.pt`, `.pth` and `.bin` by their CRC32s; a safetensors model, the default: nothing",
        "mostly `unverifiable`: complete, from one step; the model's bytes are not proven",
        "`trainer_state.json` is missing (written last); `checkpoint-is-incomplete.txt`",
        "the model, JSON files",
    ),
    "fsdp": Row(
        "folders and files of Lightning's and accelerate's FSDP",
        "as the files of all ranks: `torch-dcp` or `torch-zip`",
        "`valid`: every rank's bytes, ranks dense, steps agree",
        "a rank or `.metadata` is missing",
        "that no rank's file is from another save",
    ),
    "deepspeed": Row(
        "`latest` and `global_stepN/`, or the folder alone",
        "CRC32s of every rank's file",
        "`valid`: ranks dense, world size, steps and ZeRO stage agree; "
        "a stale file of the same step is not noticed",
        "`latest` is empty or names a missing folder; a rank is missing",
        "that no rank's file is from another save",
    ),
    "sharded": Row(
        "`*.index.json`",
        "as the shards' own format",
        "`unverifiable` with safetensors, else `valid`: all shards exist and match the index",
        "a shard is missing, or index and shards disagree",
        "the index, safetensors shards",
    ),
    "onnx": Row(
        "the messages of a model",
        _NOTHING,
        "`unverifiable`: messages end where they should, every tensor has the bytes of its shape",
        "cut messages; a data file that is missing or short",
        _EVERY_BYTE,
    ),
    "directory": Row(
        "any file of a known format, and no known trainer",
        "each file by its own format",
        "`valid`: these files are whole; not that no file is missing. "
        "`unverifiable` with a binary file of unknown format",
        "as the files' own formats",
        "that nothing is missing",
    ),
    "keras": Row(
        "a zip of configuration, metadata and weights",
        "CRC32 of each member",
        "`valid`: every byte; `unsafe` with a Lambda layer. "
        "Your own classes are named (`keras-foreign`), not judged",
        "no end of the zip",
        "nothing: all bytes are proven already",
    ),
    "npz": Row(
        "a zip of `.npy` members",
        "CRC32 of each member",
        "`valid`: every byte of every array; arrays of objects are pickles, so `unsafe`",
        "no end of the zip",
        "nothing: all bytes are proven already",
    ),
    "hdf5": Row(
        "the HDF5 signature",
        'datasets with `fletcher32=True` in a file with `libver="latest"`; otherwise, '
        "or without h5py: nothing",
        "mostly `unverifiable`: right length, every dataset can be read; bits may have flipped",
        "its length differs from the one stored in it; not closed",
        _EVERY_BYTE,
    ),
    "gguf": Row(
        "its magic bytes",
        _NOTHING,
        "`unverifiable`: header and table agree with the length of the file",
        "shorter than its table says",
        _EVERY_BYTE,
    ),
    "lightning": Row(
        "a file of `torch.save` with Lightning's keys",
        "as `torch-zip`, or `torch-legacy`",
        "`valid`: every byte, and all step counters agree; not that its best score is its own",
        "as `torch-zip`; a `last.ckpt` that links to nothing",
        "that all files of a save exist",
    ),
    "torch-legacy": Row(
        "five pickles and raw storages (before PyTorch 1.6)",
        _NOTHING,
        "`unverifiable`: every size to the byte",
        "shorter or longer than its storages",
        _EVERY_BYTE,
    ),
    "pickle": Row(
        "pickle instructions from the first byte on",
        _NOTHING,
        "`unverifiable`: it names nothing dangerous; what foreign classes do is not known",
        "no end of the pickle",
        _EVERY_BYTE,
    ),
    "torch-zip": Row(
        "a zip that contains `NAME/data.pkl`, even without its first bytes",
        "CRC32 of each member, which PyTorch writes but does not check",
        "`valid`: every byte; `unverifiable` if saved with `compute_crc32=False`",
        "no end of the zip; CRC32s from another save",
        "files without CRC32s, completeness",
    ),
    "safetensors": Row(
        "a length that fits into the file, followed by a brace",
        _NOTHING,
        "`unverifiable`: the header fits the file to the byte",
        "a different length; or a tail of zeros (a warning)",
        _EVERY_BYTE,
    ),
}


def formats(table: Table) -> str:
    """Return every format, in the order in which they are tried."""
    names = [form.name for form in FORMATS]
    stale = set(names) ^ set(ROWS)
    if stale:
        raise SystemExit(
            f"docs/format_table.py: differs from FORMATS in checkpoints/formats: {stale}"
        )
    return table(_HEAD, [(f"`{name}`", *ROWS[name]) for name in names])
