"""
Which names a checkpoint's pickle may mention.

*Allowed* names build plain data. *Dangerous* names are refused always. *Foreign* names belong to
the user or her libraries: resuming needs them, so they are reported, and refused only by a strict
policy. This reader imports none of them.

The rule is an allow-list where code is known to the world: every name of Python's standard library
that is not listed here is dangerous, and so is every function (lower-case name) of PyTorch, NumPy
and their like. Block-lists alone are known to leak (picklescan#66). Of a library that is not known
here a function that is called with arguments is refused, and an object that is made by its
constructor cannot be verified. What cannot be decided is a user's own module that itself is
malicious.
"""

from __future__ import annotations

import re
import sys
from typing import Literal

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.format_error import shown
from airflow_runai.checkpoints.pickles.mentions import Mentions, Use

__all__ = ["Trust", "note_globals", "trust"]

Trust = Literal["allowed", "foreign", "dangerous"]

_BUILTINS = {
    *(
        "bool",
        "bytearray",
        "bytes",
        "complex",
        "dict",
        "float",
        "frozenset",
        "int",
        "list",
        "object",
        "range",
        "set",
    ),
    *("slice", "str", "tuple", "Ellipsis", "NotImplemented"),
}
_DTYPES = {
    *(
        "float16",
        "float32",
        "float64",
        "bfloat16",
        "half",
        "float",
        "double",
        "complex32",
        "complex64",
        "complex128",
    ),
    *(
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "bool",
        "qint8",
        "quint8",
        "qint32",
    ),
    *(
        "float8_e4m3fn",
        "float8_e5m2",
        "float8_e4m3fnuz",
        "float8_e5m2fnuz",
        "float8_e8m0fnu",
        "quint4x2",
        "quint2x4",
    ),
    *("bits1x8", "bits2x4", "bits4x2", "bits8", "bits16", "float4_e2m1fn_x2"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in range(1, 8)),
}
_STORAGES = {
    f"{kind}Storage"
    for kind in (
        *("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool"),
        *(
            "ComplexFloat",
            "ComplexDouble",
            "QInt8",
            "QUInt8",
            "QInt32",
            "QUInt4x2",
            "QUInt2x4",
            "Untyped",
        ),
    )
}
_LAYOUTS = {
    *("strided", "sparse_coo", "per_tensor_affine", "per_channel_affine", "per_tensor_symmetric"),
    *("per_channel_affine_float_qparams", "per_channel_symmetric", "contiguous_format"),
    *("channels_last", "channels_last_3d", "preserve_format"),
}
_REBUILDERS = {
    *(
        "_rebuild_tensor",
        "_rebuild_tensor_v2",
        "_rebuild_tensor_v3",
        "_rebuild_parameter",
        "_rebuild_qtensor",
    ),
    *(
        "_rebuild_parameter_with_state",
        "_rebuild_sparse_tensor",
        "_rebuild_sparse_csr_tensor",
        "_rebuild_nested_tensor",
    ),
    *(
        "_rebuild_meta_tensor_no_storage",
        "_rebuild_wrapper_subclass",
        "_rebuild_device_tensor_from_numpy",
    ),
    "_rebuild_device_tensor_from_cpu_tensor",
}
_CHECKPOINT_METADATA = {
    *(
        "Metadata",
        "MetadataIndex",
        "TensorStorageMetadata",
        "BytesStorageMetadata",
        "ChunkStorageMetadata",
    ),
    *("TensorProperties", "_MEM_FORMAT_ENCODING", "StorageMeta"),
}
_ARRAYS = {"_reconstruct", "scalar", "_frombuffer"}
_NUMPY_TYPES = {
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *(
        "float16",
        "float32",
        "float64",
        "longdouble",
        "complex64",
        "complex128",
        "clongdouble",
        "bool",
        "bool_",
    ),
    *(
        "bytes_",
        "str_",
        "void",
        "object_",
        "datetime64",
        "timedelta64",
        "longlong",
        "ulonglong",
        "generic",
    ),
}
# What models and hyper-parameters name: functions of numbers, and none that takes a function.
_ACTIVATIONS = {
    *(
        "celu",
        "elu",
        "gelu",
        "glu",
        "hardsigmoid",
        "hardswish",
        "hardtanh",
        "leaky_relu",
        "log_softmax",
        "logsigmoid",
    ),
    *(
        "mish",
        "prelu",
        "relu",
        "relu6",
        "rrelu",
        "selu",
        "sigmoid",
        "silu",
        "softmax",
        "softmin",
        "softplus",
    ),
    *("softsign", "tanh", "tanhshrink"),
}
_LOSSES = {
    *(
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "cosine_similarity",
        "cross_entropy",
    ),
    *("huber_loss", "kl_div", "l1_loss", "mse_loss", "nll_loss", "smooth_l1_loss"),
}
_INITIALISERS = {
    *(
        "constant_",
        "eye_",
        "kaiming_normal_",
        "kaiming_uniform_",
        "normal_",
        "ones_",
        "orthogonal_",
        "trunc_normal_",
    ),
    *("uniform_", "xavier_normal_", "xavier_uniform_", "zeros_"),
}
_SPARSE_KINDS = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
_SPARSE = {f"{kind}_{form}" for kind in _SPARSE_KINDS for form in ("matrix", "array")}
_TYPING = {
    "Any",
    "Callable",
    "Dict",
    "List",
    "Mapping",
    "Optional",
    "Sequence",
    "Set",
    "Tuple",
    "Type",
    "Union",
}

_ALLOWED: dict[str, set[str]] = {
    "builtins": _BUILTINS,
    "__builtin__": _BUILTINS | {"unicode", "long", "xrange"},
    "collections": {"OrderedDict", "Counter", "defaultdict", "deque"},
    "_codecs": {"encode"},
    "copyreg": {"_reconstructor"},
    "copy_reg": {"_reconstructor"},
    "argparse": {"Namespace"},
    "types": {"GenericAlias", "NoneType", "SimpleNamespace"},
    "typing": _TYPING,
    # Keeps a function and arguments, and calls nothing; the function has to be named, too, and is
    # judged by its name.
    "functools": {"partial"},
    "itertools": {"count"},
    "_io": {"BytesIO"},
    "random": {"Random"},
    "re": {"_compile"},
    "signal": {"Signals"},
    "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "fractions": {"Fraction"},
    "uuid": {"UUID", "SafeUUID"},
    "pathlib": {"Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"},
    "pathlib._local": {
        "Path",
        "PosixPath",
        "PurePath",
        "PurePosixPath",
        "PureWindowsPath",
        "WindowsPath",
    },
    "torch": _DTYPES | _STORAGES | _LAYOUTS | {"Size", "device", "Tensor"},
    "torch._utils": _REBUILDERS,
    "torch._tensor": {"_rebuild_from_type_v2", "Tensor"},
    "torch.nn.parameter": {"Parameter", "Buffer"},
    "torch.nn.functional": _ACTIVATIONS | _LOSSES,
    "torch.nn.init": _INITIALISERS,
    "torch._C": {f"_VariableFunctionsClass.{name}" for name in _ACTIVATIONS}
    | {"_VariableFunctionsClass"},
    "torch._C._nn": _ACTIVATIONS,
    "torch.nested._internal.nested_tensor": {"_rebuild_njt", "NestedTensor"},
    "torch._dynamo.decorators": {"_DimRange"},
    "torch.storage": {"UntypedStorage", "TypedStorage"},
    "torch.serialization": {"_get_layout"},
    "torch.distributed.checkpoint.metadata": _CHECKPOINT_METADATA,
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
    "torch.distributed._shard.sharded_tensor.metadata": {"TensorProperties", "MEM_FORMAT_ENCODING"},
    "deepspeed.utils.tensor_fragment": {"fragment_address"},
    "numpy": {"ndarray", "dtype"} | _NUMPY_TYPES,
    "numpy.random.bit_generator": {"__pyx_unpickle_SeedSequence", "SeedSequence"},
    "numpy.random._pickle": {"__randomstate_ctor", "__bit_generator_ctor", "__generator_ctor"},
    "numpy.core.multiarray": _ARRAYS,
    "numpy._core.multiarray": _ARRAYS,
    "numpy.core.numeric": _ARRAYS,
    "numpy._core.numeric": _ARRAYS,
    "array": {"array", "_array_reconstructor"},
    "operator": {"itemgetter"},
    "zoneinfo": {"ZoneInfo", "ZoneInfo._unpickle"},
    "logging": {"getLogger"},
    "numpy.ma": {"MaskedArray"},
    "numpy.ma.core": {"_mareconstruct", "MaskedArray"},
    "sklearn.neighbors._kd_tree": {"newObj"},
    "sklearn.neighbors._ball_tree": {"newObj"},
    "sklearn.metrics._dist_metrics": {"newObj"},
    "tensordict._reductions": {"_make_td"},
    **{f"scipy.sparse.{stem}{kind}": _SPARSE for kind in _SPARSE_KINDS for stem in ("_", "")},
    # Builds nothing by itself; the bytes behind it are no pickle, and the file is said to be
    # joblib's and not read.
    "joblib.numpy_pickle": {"NumpyArrayWrapper"},
    "jax._src.array": {"_reconstruct_array"},
    "pandas._libs.arrays": {"__pyx_unpickle_NDArrayBacked"},
    "pandas._libs.internals": {"_unpickle_block"},
    "pandas._libs.tslibs.nattype": {"_nat_unpickle"},
    "pandas._libs.tslibs.timedeltas": {"_timedelta_unpickle"},
    "pandas._libs.tslibs.timestamps": {"_unpickle_timestamp"},
    "pandas.core.indexes.base": {"_new_Index"},
    "pandas.core.indexes.datetimes": {"_new_DatetimeIndex"},
}
_ALLOWED["numpy.dtypes"] = {
    f"{kind}DType" for kind in ("Float16", "Float32", "Float64", "Int32", "Int64", "UInt32")
}

# Refused whatever the name: they run code, or load it, by design.
_DANGEROUS_ROOTS = {
    *(
        "IPython",
        "_pytest",
        "cffi",
        "cloudpickle",
        "dill",
        "distutils",
        "fabric",
        "fsspec",
        "httpx",
        "invoke",
        "joblib",
    ),
    *(
        "nose",
        "nt",
        "numba",
        "paramiko",
        "pip",
        "pkg_resources",
        "pytest",
        "requests",
        "setuptools",
        "sh",
        "torchelastic",
    ),
    *(
        "__builtin__",
        "copy_reg",
        "commands",
        "exceptions",
        "imp",
        "popen2",
        "asyncore",
        "smtpd",
        "telnetlib",
        "lib2to3",
    ),
}
_DANGEROUS_PACKAGES = {
    *(
        "torch._C",
        "torch._dynamo",
        "torch._inductor",
        "torch._export",
        "torch._ops",
        "torch.fx",
        "torch.hub",
        "torch.jit",
    ),
    *(
        "torch.multiprocessing",
        "torch.onnx",
        "torch.ops",
        "torch.package",
        "torch.serialization",
        "torch.testing",
    ),
    *(
        "torch.utils.cpp_extension",
        "torch.utils._triton",
        "torch.distributed.elastic",
        "torch.distributed.launcher",
        "torch.distributed.rpc",
        "torch.classes",
    ),
    *(
        "numpy.f2py",
        "numpy.testing",
        "numpy.distutils",
        "numpy.ctypeslib",
        "numpy.lib",
        "numpy.core",
        "numpy._core",
    ),
}
_KNOWN_LIBRARIES = {
    *(
        "torch",
        "numpy",
        "pandas",
        "scipy",
        "sklearn",
        "torchvision",
        "torchaudio",
        "safetensors",
        "accelerate",
    ),
    *(
        "transformers",
        "lightning",
        "lightning_fabric",
        "pytorch_lightning",
        "deepspeed",
        "jax",
        "tensorflow",
        "keras",
    ),
}
#: Libraries of trainings whose classes may be called, too; functions of theirs are not known.
_COMPANIONS = {
    "diffusers",
    "mmengine",
    "omegaconf",
    "peft",
    "tensordict",
    "torchao",
    "torchmetrics",
}
# What is called so in one library runs commands in all; a part of a module's name that another
# library has taken over.
_DANGEROUS_NAMES = {
    *(
        "Popen",
        "popen",
        "system",
        "spawn",
        "spawnlp",
        "exec",
        "eval",
        "execfile",
        "check_output",
        "check_call",
    ),
    *(
        "getoutput",
        "cmdexec",
        "unsafe_load",
        "full_load",
        "loads",
        "parse_expr",
        "sympify",
        "import_module",
    ),
    *(
        "__import__",
        "compile",
        "run_module",
        "run_path",
        "resolve_name",
        "execv",
        "fork",
        "load_module",
    ),
}
_DANGEROUS_PARTS = {
    *(
        "subprocess",
        "os",
        "posix",
        "nt",
        "sys",
        "builtins",
        "cloudpickle",
        "dill",
        "pickle",
        "importlib",
        "runpy",
    ),
    *("ctypes", "pty", "shutil", "socket", "commands", "pexpect"),
}
# Functions by which Cython and others restore their own objects.
_REBUILDS = re.compile(
    r"(?:.*\.)?_{0,2}(?:pyx_unpickle|rebuild|reconstruct|unpickle|restore)_?\w*$"
)


def trust(module: str, name: str) -> Trust:
    """
    Say how far a global of a pickle can be trusted.

    :param module: dotted module name, as written in the pickle.
    :param name: name inside the module; protocol 4 allows dots in it.
    """
    if name in _ALLOWED.get(module, ()):
        return "allowed"
    root = module.partition(".")[0]
    if _is_standard(root) or root in _DANGEROUS_ROOTS or _inside_dangerous_package(module):
        return "dangerous"
    if any(_is_standard(part) or part.startswith("__") for part in name.split(".")):
        return "dangerous"
    if root in _KNOWN_LIBRARIES and ("." in name or not _is_class(name)):
        return "dangerous"
    if name.rpartition(".")[2] in _DANGEROUS_NAMES or not _DANGEROUS_PARTS.isdisjoint(
        module.split(".")[1:]
    ):
        return "dangerous"
    return "foreign"


def note_globals(met: Mentions, path: str, context: CheckContext) -> None:
    """Record what the globals that a pickle mentions, and what it does with them, mean for the checkpoint."""
    for module, name, use in met:
        level, full = trust(module, name), shown(f"{module}.{name}")
        if level == "dangerous":
            context.note(
                "pickle-dangerous", path, f"loading it would use {full}, which can run commands"
            )
        elif level == "foreign" and context.request.policy.strict:
            context.note(
                "pickle-foreign-strict",
                path,
                f"names {full}, whose own code runs when it is loaded",
            )
        elif level == "foreign":
            _note_foreign(module, name, full, use, path, context)


def _note_foreign(
    module: str, name: str, full: str, use: Use, path: str, context: CheckContext
) -> None:
    """Of a library that is not known: a function is called, an object made by its constructor, or only named."""
    known = module.partition(".")[0] in _KNOWN_LIBRARIES | _COMPANIONS
    if use == "named" or (known and _is_class(name)):
        context.note(
            "pickle-foreign",
            path,
            f"names {full}, whose own code runs when it is loaded; it was not imported",
        )
    elif use == "called" and not _is_class(name) and not _REBUILDS.match(name):
        text = f"loading it would call {full}, of which nothing is known here, with arguments of the file's choice"
        context.note("pickle-foreign-call", path, f"{text}; save plain tensors and numbers instead")
    else:
        text = f"loading it would make an object by {full}, of which nothing is known here"
        context.note(
            "pickle-foreign-made", path, f"{text}; whether that is harmless cannot be said"
        )


def _is_class(name: str) -> bool:
    return name.rpartition(".")[2].lstrip("_")[:1].isupper()


def _is_standard(name: str) -> bool:
    return name in sys.stdlib_module_names


def _inside_dangerous_package(module: str) -> bool:
    parts = module.split(".")
    return any(".".join(parts[:end]) in _DANGEROUS_PACKAGES for end in range(2, len(parts) + 1))
