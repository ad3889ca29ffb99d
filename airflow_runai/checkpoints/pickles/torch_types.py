"""The number types of PyTorch: float layout, a key of ``FLOAT_LAYOUTS``, and size in bytes."""

from __future__ import annotations

#: Float layout and size of the numbers of a storage, by its class.
STORAGE_TYPES: dict[str, tuple[str, int]] = {
    "FloatStorage": ("f32", 4),
    "DoubleStorage": ("f64", 8),
    "HalfStorage": ("f16", 2),
    "BFloat16Storage": ("bf16", 2),
    "ComplexFloatStorage": ("f32", 8),
    "ComplexDoubleStorage": ("f64", 16),
    "LongStorage": ("i64", 8),
    "IntStorage": ("i32", 4),
    "QInt32Storage": ("i32", 4),
    "ShortStorage": ("i16", 2),
    **{
        f"{name}Storage": ("u8", 1)
        for name in ("Char", "Byte", "Bool", "QInt8", "QUInt8", "QUInt4x2", "QUInt2x4")
    },
    "UntypedStorage": ("bytes", 1),
}
#: The same of a tensor that says its type itself.
DTYPES: dict[str, tuple[str, int]] = {
    "float32": ("f32", 4),
    "float64": ("f64", 8),
    "float16": ("f16", 2),
    "bfloat16": ("bf16", 2),
    "complex64": ("f32", 8),
    "complex128": ("f64", 16),
    "complex32": ("f16", 4),
    "float8_e4m3fn": ("e4m3fn", 1),
    "float8_e5m2": ("e5m2", 1),
    "int64": ("i64", 8),
    "int32": ("i32", 4),
    "int16": ("i16", 2),
    "uint16": ("i16", 2),
    "uint32": ("i32", 4),
    "uint64": ("i64", 8),
}
#: Quantized numbers that share a byte.
PER_BYTE = {"QUInt4x2": 2, "QUInt2x4": 4}
