"""
The messages of a SavedModel's graph, walked to their ends: what TensorFlow could not parse is not whole.

Nothing is built. Each message is a line of the table: the number of a field with ``>`` and the
message in it, ``s`` for a text (which has to be UTF-8), ``v``, ``f`` or ``d`` for packed numbers of
no, four or eight bytes. Made from the descriptors of TensorFlow 2.20 (saved_model.proto and what it
imports); fields that are not in it are stepped over.
"""

from __future__ import annotations

import re
from functools import lru_cache

from airflow_runai.checkpoints.containers.bounded_reader import BoundedReader, Field

# Of larger graphs the rest is left alone.
_FIELD_LIMIT = 1_000_000
_DEPTH_LIMIT = 100
_TEXT_LIMIT = 16 * 1024 * 1024
_WIDTHS = {"f": 4, "d": 8}

_MESSAGES = """
SavedModel: 2>MetaGraphDef
MetaGraphDef: 1>MetaGraphDef_MetaInfoDef 2>GraphDef 3>SaverDef 4>MetaGraphDef_CollectionDefEntry
    5>MetaGraphDef_SignatureDefEntry 6>AssetFileDef 7>SavedObjectGraph
MetaGraphDef_MetaInfoDef: 1s 2>OpList 3>Any 4s 5s 6s 8>MetaInfoDef_FunctionAliasesEntry
GraphDef: 1>NodeDef 4>VersionDef 2>FunctionDefLibrary 5>GraphDebugInfo
SaverDef: 1s 2s 3s
MetaGraphDef_CollectionDefEntry: 1s 2>CollectionDef
MetaGraphDef_SignatureDefEntry: 1s 2>SignatureDef
AssetFileDef: 1>TensorInfo 2s
SavedObjectGraph: 1>SavedObject 2>SavedObjectGraph_ConcreteFunctionsEntry
OpList: 1>OpDef
Any: 1s
MetaInfoDef_FunctionAliasesEntry: 1s 2s
NodeDef: 1s 2s 3s 4s 5>NodeDef_AttrEntry 6>NodeDef_ExperimentalDebugInfo 7>FullTypeDef
VersionDef: 3v
FunctionDefLibrary: 1>FunctionDef 2>GradientDef 3>RegisteredGradient
GraphDebugInfo: 4>GraphDebugInfo_FramesByIdEntry 6>GraphDebugInfo_TracesByIdEntry 2>GraphDebugInfo_TracesEntry
    5>GraphDebugInfo_NameToTraceIdEntry
CollectionDef: 1>CollectionDef_NodeList 2>CollectionDef_BytesList 3>CollectionDef_Int64List
    4>CollectionDef_FloatList 5>CollectionDef_AnyList
SignatureDef: 1>SignatureDef_InputsEntry 2>SignatureDef_OutputsEntry 3s 4>SignatureDef_DefaultsEntry
TensorInfo: 1s 4>TensorInfo_CooSparse 5>TensorInfo_CompositeTensor 3>TensorShapeProto
SavedObject: 1>TrackableObject_ObjectReference 15>TrackableObject_ObjectReference
    3>TrackableObject_SlotVariableReference 4>SavedUserObject 5>SavedAsset 6>SavedFunction 7>SavedVariable
    8>SavedBareConcreteFunction 9>SavedConstant 10>SavedResource 12>CapturedTensor
    11>SavedObject_SaveableObjectsEntry 13s 14>Any 16s
SavedObjectGraph_ConcreteFunctionsEntry: 1s 2>SavedConcreteFunction
OpDef: 1s 2>OpDef_ArgDef 3>OpDef_ArgDef 20s 4>OpDef_AttrDef 8>OpDeprecation 5s 6s
NodeDef_AttrEntry: 1s 2>AttrValue
NodeDef_ExperimentalDebugInfo: 1s 2s
FullTypeDef: 2>FullTypeDef 3s
FunctionDef: 1>OpDef 5>FunctionDef_AttrEntry 7>FunctionDef_ArgAttrEntry 8>FunctionDef_ResourceArgUniqueIdEntry
    3>NodeDef 4>FunctionDef_RetEntry 6>FunctionDef_ControlRetEntry
GradientDef: 1s 2s
RegisteredGradient: 1s 2s
GraphDebugInfo_FramesByIdEntry: 2>GraphDebugInfo_FileLineCol
GraphDebugInfo_TracesByIdEntry: 2>GraphDebugInfo_StackTrace
GraphDebugInfo_TracesEntry: 2>GraphDebugInfo_StackTrace
CollectionDef_NodeList: 1s
CollectionDef_Int64List: 1v
CollectionDef_FloatList: 1f
CollectionDef_AnyList: 1>Any
SignatureDef_InputsEntry: 1s 2>TensorInfo
SignatureDef_OutputsEntry: 1s 2>TensorInfo
SignatureDef_DefaultsEntry: 1s 2>TensorProto
TensorInfo_CooSparse: 1s 2s 3s
TensorInfo_CompositeTensor: 1>TypeSpecProto 2>TensorInfo
TensorShapeProto: 2>TensorShapeProto_Dim
TrackableObject_ObjectReference: 2s
TrackableObject_SlotVariableReference: 2s
SavedUserObject: 1s 2>VersionDef 3s
SavedFunction: 1s 2>FunctionSpec
SavedVariable: 2>TensorShapeProto 6s 7s 8>SavedVariable
SavedBareConcreteFunction: 1s 2s 4>FunctionSpec
SavedConstant: 1s
SavedResource: 1s
CapturedTensor: 1s 2s
SavedObject_SaveableObjectsEntry: 1s 2>SaveableObject
SavedConcreteFunction: 2v 3>StructuredValue 4>StructuredValue
OpDef_ArgDef: 1s 2s 4s 5s 6s 7>ResourceHandleProto_DtypeAndShape 17>FullTypeDef
OpDef_AttrDef: 1s 2s 3>AttrValue 4s 7>AttrValue
OpDeprecation: 2s
AttrValue: 7>TensorShapeProto 8>TensorProto 1>AttrValue_ListValue 10>NameAttrList 9s
FunctionDef_AttrEntry: 1s 2>AttrValue
FunctionDef_ArgAttrEntry: 2>FunctionDef_ArgAttrs
FunctionDef_RetEntry: 1s 2s
FunctionDef_ControlRetEntry: 1s 2s
GraphDebugInfo_StackTrace: 1>GraphDebugInfo_FileLineCol 2d
TensorProto: 2>TensorShapeProto 13v 5f 6d 7v 9f 10v 11v 12d 14>ResourceHandleProto 15>VariantTensorDataProto 16v 17v
TypeSpecProto: 2>StructuredValue 3s
TensorShapeProto_Dim: 2s
FunctionSpec: 1>StructuredValue 5>StructuredValue
StructuredValue: 1>NoneValue 13s 31>TensorShapeProto 33>TensorSpecProto 34>TypeSpecProto 35>BoundedTensorSpecProto
    51>ListValue 52>TupleValue 53>DictValue 54>NamedTupleValue 55>TensorProto 56>TensorProto
ResourceHandleProto_DtypeAndShape: 2>TensorShapeProto
AttrValue_ListValue: 3v 4f 5v 6v 7>TensorShapeProto 8>TensorProto 9>NameAttrList
NameAttrList: 1s 2>NameAttrList_AttrEntry
FunctionDef_ArgAttrs: 1>ArgAttrs_AttrEntry
ResourceHandleProto: 1s 2s 3s 5s 6>ResourceHandleProto_DtypeAndShape
VariantTensorDataProto: 1s 3>TensorProto
TensorSpecProto: 1s 2>TensorShapeProto
BoundedTensorSpecProto: 1s 2>TensorShapeProto 4>TensorProto 5>TensorProto
ListValue: 1>StructuredValue
TupleValue: 1>StructuredValue
DictValue: 1>DictValue_FieldsEntry
NamedTupleValue: 1s 2>PairValue
NameAttrList_AttrEntry: 1s 2>AttrValue
ArgAttrs_AttrEntry: 1s 2>AttrValue
DictValue_FieldsEntry: 1s 2>StructuredValue
PairValue: 1s 2>StructuredValue
"""


def walk_graph(window: BoundedReader) -> None:
    """
    Walk the whole of ``saved_model.pb``.

    :raises FormatError: the window's code, when a message, a text or a list of numbers does not end
        where it should.
    """
    messages, count = _messages(), 0
    pending = [("SavedModel", 0, window.size, 0)]
    while pending:
        kind, begin, end, depth = pending.pop()
        for field in window.fields(begin, end):
            count += 1
            if count > _FIELD_LIMIT or depth > _DEPTH_LIMIT:
                return
            what = messages.get(kind, {}).get(field.number, "")
            if what[1:] and field.end > field.begin:
                pending.append((what[1:], field.begin, field.end, depth + 1))
            elif what and field.end > field.begin:
                _check(window, field, what)


def _check(window: BoundedReader, field: Field, what: str) -> None:
    if what == "s" and field.size <= _TEXT_LIMIT:
        try:
            window.bytes(field.begin, field.size).decode("utf-8")
        except UnicodeDecodeError:
            raise window.damage(
                f"a text at {field.begin} is not UTF-8; it was overwritten"
            ) from None
    elif what in _WIDTHS and field.size % _WIDTHS[what]:
        raise window.damage(
            f"a list of numbers at {field.begin} has {field.size} bytes; it was cut or overwritten"
        )
    elif what == "v":
        at = field.begin
        while at < field.end:
            _, at = window.varint(at)
        if at != field.end:
            raise window.damage(
                f"a list of numbers at {field.begin} does not end at {field.end}; it was cut"
            )


@lru_cache(maxsize=1)
def _messages() -> dict[str, dict[int, str]]:
    """By message and number of the field: ``>`` and a message, or what else it holds."""
    found: dict[str, dict[int, str]] = {}
    for line in re.sub(r"\n +", " ", _MESSAGES).split("\n"):
        name, _, fields = line.partition(": ")
        parts = re.findall(r"(\d+)(>\w+|[svfd])", fields)
        found[name] = {int(number): what for number, what in parts}
    return found
