"""
Reads the configuration of a Keras model as plain JSON, to find what would run code.

Keras 3 builds objects from ``module`` and ``class_name``. A Lambda layer carries Python byte code;
a module of Python itself, or a function of Keras that loads or opens things, has been used to run
commands (CVE-2025-1550, CVE-2025-8747). A user's own classes are reported, as foreign names in a
pickle are. Nothing is imported.
"""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Iterator
from typing import Any

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.format_error import shown
from airflow_runai.checkpoints.containers.json_documents import Document, parse_object

_LAMBDA = ("Lambda", "__lambda__")
_PARTS = (
    "layers|models|optimizers|losses|metrics|initializers|regularizers|constraints|activations"
    "|dtype_policies|random"
)
_OWN = re.compile(rf"(?:tf_)?keras(?:\.src)?(?:\.(?:{_PARTS})(?:\.\w+)*)?")
_LIBRARIES = ("tensorflow", "torch", "jax", "numpy", "keras", "tf_keras")


def note_config(data: bytes, label: str, context: CheckContext) -> None:
    """
    Note what a configuration would build besides Keras's own classes.

    :raises FormatError: ``keras-layout`` when it is no JSON object.
    """
    foreign: set[str] = set()
    for item in _objects(parse_object(data, "keras-layout", "configuration")):
        code = _code_in(item)
        module = item.get("module")
        if code:
            context.note("keras-code", label, code)
        elif isinstance(module, str) and not _OWN.fullmatch(module):
            foreign.add(_name(item))
    if foreign:
        code = "keras-foreign-strict" if context.request.policy.strict else "keras-foreign"
        names = ", ".join(sorted(foreign)[:5])[:200]
        context.note(code, label, f"names what is not Keras's own: {names}; not imported")


def _code_in(item: Document) -> str:
    """Say what an object would run when it is loaded; empty if nothing is known."""
    if item.get("class_name") in _LAMBDA:
        return "a Lambda layer: loading the model runs code that it holds"
    module = item.get("module")
    if isinstance(module, str) and _is_dangerous(module, item):
        return f"{shown(_name(item))} ({shown(item.get('config'))}): loading would use it"
    return ""


def _name(item: Document) -> str:
    module, name = item.get("module"), item.get("class_name")
    return f"{module}.{name}" if module else str(name)


def _objects(root: Document) -> Iterator[Document]:
    # Not recursive: how deep a configuration is nested is up to the file.
    pending: list[Any] = [root]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield value
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def _is_dangerous(module: str, item: Document) -> bool:
    """Whether it is a function of a library, or anything of Python itself."""
    top = module.partition(".")[0]
    if top == "builtins":
        # Keras writes this module for a user's own plain function, too.
        names = (item.get("config"), item.get("class_name"))
        return any(isinstance(name, str) and hasattr(builtins, name) for name in names)
    if top in sys.stdlib_module_names:
        return True
    return top in _LIBRARIES and not _OWN.fullmatch(module) and item.get("class_name") == "function"
