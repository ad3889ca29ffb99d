"""
The formats that can be read, most specific first.

To add one, write a module here with ``detect`` and ``examine``, and add a line below. Bytes decide:
a format claims only what cannot be another's. If no format does, the name says what a damaged file
was ``meant`` to be.
"""

from __future__ import annotations

from airflow_runai.checkpoints.checking.context import Format
from airflow_runai.checkpoints.formats.dcp import DCP
from airflow_runai.checkpoints.formats.deepspeed import DEEPSPEED
from airflow_runai.checkpoints.formats.directory import DIRECTORY
from airflow_runai.checkpoints.formats.fsdp import FSDP
from airflow_runai.checkpoints.formats.gguf import GGUF
from airflow_runai.checkpoints.formats.hdf5 import HDF5
from airflow_runai.checkpoints.formats.keras import KERAS
from airflow_runai.checkpoints.formats.legacy_torch import LEGACY_TORCH
from airflow_runai.checkpoints.formats.lightning import LIGHTNING
from airflow_runai.checkpoints.formats.megatron import MEGATRON
from airflow_runai.checkpoints.formats.npz import NPZ
from airflow_runai.checkpoints.formats.onnx import ONNX
from airflow_runai.checkpoints.formats.orbax import ORBAX
from airflow_runai.checkpoints.formats.pickle_file import PICKLE_FILE
from airflow_runai.checkpoints.formats.published import PUBLISHED
from airflow_runai.checkpoints.formats.safetensors import SAFETENSORS
from airflow_runai.checkpoints.formats.saved_model import SAVED_MODEL
from airflow_runai.checkpoints.formats.sharded import SHARDED
from airflow_runai.checkpoints.formats.tensorflow import TENSORFLOW
from airflow_runai.checkpoints.formats.torch_zip import TORCH_ZIP
from airflow_runai.checkpoints.formats.trainer import TRAINER

__all__ = ["FORMATS", "WEIGHTS"]

FORMATS: tuple[Format, ...] = (
    PUBLISHED,
    SAVED_MODEL,
    TENSORFLOW,
    ORBAX,
    MEGATRON,
    DCP,
    TRAINER,
    FSDP,
    DEEPSPEED,
    SHARDED,
    ONNX,
    DIRECTORY,
    SAFETENSORS,
    KERAS,
    NPZ,
    HDF5,
    GGUF,
    LIGHTNING,
    LEGACY_TORCH,
    PICKLE_FILE,
    TORCH_ZIP,
)

#: Endings of files that hold weights or training state.
WEIGHTS = tuple(ending for form in FORMATS for ending in form.weights)
