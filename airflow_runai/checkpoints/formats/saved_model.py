"""
A SavedModel of TensorFlow: ``saved_model.pb``, ``variables/``, ``assets/``, ``fingerprint.pb``.

The variables are a TensorFlow checkpoint and proven by its CRC32Cs. The graph is a protobuf message
without a checksum, and the hashes in ``fingerprint.pb`` are of parts that cannot be cut out without
TensorFlow, so the whole is "unverifiable" unless a manifest proves it.
"""

from __future__ import annotations

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.format_error import FormatError
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.containers.bounded_reader import BoundedReader
from airflow_runai.checkpoints.containers.saved_model_messages import walk_graph
from airflow_runai.checkpoints.formats.parts import examine_parts
from airflow_runai.checkpoints.formats.tensorflow import examine_bundle
from airflow_runai.checkpoints.storage.listing import Listing

_CODE = "saved-model"
_MODEL = "saved_model.pb"
_TEXT = "saved_model.pbtxt"
_VARIABLES = "variables/variables"
# SavedModel.meta_graphs, MetaGraphDef.object_graph_def, SavedObjectGraph.nodes,
# SavedObject.variable (saved_model.proto, meta_graph.proto, saved_object_graph.proto; TensorFlow
# 2.21).
_PATH_TO_VARIABLE = (2, 7, 1, 7)
_VARIABLE = 3
_FIELD_LIMIT = 1_000_000


def _detect(tree: Listing, context: CheckContext) -> bool:
    names = (_MODEL, _TEXT, f"{_VARIABLES}.index")
    return not tree.single and any(name in tree.files for name in names)


def _examine(tree: Listing, context: CheckContext) -> None:
    done = {_MODEL}
    if any(name.startswith(f"{_VARIABLES}.") for name in tree.files):
        done |= examine_bundle(tree, context, _VARIABLES)
    if context.level >= 1:
        with context.noting(_MODEL):
            _check_model(tree, context, has_variables=len(done) > 1)
    examine_parts(tree, context, done)


def _check_model(tree: Listing, context: CheckContext, *, has_variables: bool) -> None:
    if not tree.has_top_level(_MODEL):
        if not tree.has_top_level(_TEXT):
            raise FormatError(
                "file-missing", "is missing; the variables beside it are not the model"
            )
        raise FormatError(
            "not-examined", "saved_model.pbtxt, the text form, is not read; save the binary form"
        )
    with Source(tree.narrowed_to(_MODEL), context) as source:
        if not source.size:
            raise FormatError(_CODE, "0 bytes; its writer died before the content reached the disk")
        needs_variables = _holds_variables(BoundedReader.on(source, _CODE))
        walk_graph(BoundedReader.on(source, _CODE))
        # A model of constants alone has none.
        if needs_variables and not has_variables:
            raise FormatError(
                _CODE, f"has variables, but {_VARIABLES}.index and its data are missing"
            )
        if context.level >= 2:
            source.scan([])
    context.note_unproven(
        "saved-model-no-checksum",
        _MODEL,
        "a SavedModel's graph holds no checksum and there is no manifest",
    )


def _holds_variables(window: BoundedReader) -> bool:
    """Walk to the variables, level by level; the rest of the graph is skipped."""
    count = 0
    reached = set()
    pending = [(0, 0, window.size)]
    while pending:
        depth, begin, end = pending.pop()
        for field in window.fields(begin, end):
            count += 1
            if count > _FIELD_LIMIT:
                raise FormatError(
                    "too-large", f"more than {_FIELD_LIMIT} fields; the rest was not examined"
                )
            if field.number == _PATH_TO_VARIABLE[depth]:
                reached.add(depth)
                if depth < _VARIABLE:
                    pending.append((depth + 1, field.begin, field.end))
    # Even an empty model has one graph.
    if 0 not in reached:
        raise window.damage("no graph in it; it was cut or overwritten")
    return _VARIABLE in reached


SAVED_MODEL = Format("saved-model", _detect, _examine)
