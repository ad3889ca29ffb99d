"""
An OpenAPI document of the calls that the emulator serves, derived from the vendor's typed client.

Each method of the client is called with a stand-in for its connection, which keeps what would have
been sent: path, method, names of the query. The types come from the method's signature, bodies and
answers from the client's models. Not in it: the token call of version 2, of which the client sends
nothing.

``python -m tests.vendor.description`` prints the document.
"""

from __future__ import annotations

import copy
import inspect
import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import TypeAdapter
from runai import models

from tests.vendor.operations import BOUNDS, ERRORS, EVERYWHERE, FIELDS, OPERATIONS, Operation

Schema = dict[str, Any]
_REFERENCE = "#/components/schemas/{model}"
_NAME = "^[a-z][a-z0-9-]{0,30}[a-z0-9]$"
#: What makes a request for a workload one that can succeed.
_DEMANDS: dict[str, Schema] = {
    "TrainingCreationRequest": {
        "name": {"type": "string", "pattern": _NAME},
        "spec": {"$ref": _REFERENCE.format(model="TrainingSpecSpec")},
    },
    "DistributedCreationRequest": {
        "name": {"type": "string", "pattern": _NAME},
        "spec": {"$ref": _REFERENCE.format(model="DistributedSpecSpec")},
    },
    "TrainingSpecSpec": {"image": {"type": "string", "minLength": 1}},
    "DistributedSpecSpec": {
        "image": {"type": "string", "minLength": 1},
        "distributedFramework": {"enum": ["MPI", "PyTorch", "TF", "XGBoost", "JAX"]},
    },
}


@dataclass
class Sent:
    """A connection that keeps the call instead of sending it."""

    path: str = ""
    method: str = ""
    query: list[tuple[str, str]] = field(default_factory=list)
    body: str | None = None

    def call_api(
        self,
        resource_path: str,
        method: str,
        query_params: Sequence[tuple[str, str]] = (),
        body: str | None = None,
    ) -> None:
        """Keep what the client's method asks for."""
        self.path, self.method, self.body = resource_path, method, body
        self.query = list(query_params)


def sent(operation: Operation) -> Sent:
    """Call a method of the client; each argument is the name of its parameter in braces."""
    connection = Sent()
    method = getattr(operation.api(connection), operation.name)
    method(**{name: f"{{{_wire(name)}}}" for name in inspect.signature(method).parameters})
    return connection


def _wire(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def document(values: Mapping[str, Sequence[str]] | None = None) -> Schema:
    """
    Return the document.

    :param values: by name of a parameter or a body's field, the values that it may have; any by
        default.
    """
    return _Document(values or {}).whole()


class _Document:
    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        self._values = values
        self._schemas, components = _translated()
        self._components = copy.deepcopy(components)

    def whole(self) -> Schema:
        self._demand()
        paths: dict[str, Schema] = {}
        for operation in OPERATIONS:
            call = sent(operation)
            paths.setdefault(call.path, {})[call.method.lower()] = self._call(operation, call)
        return {
            "openapi": "3.1.0",
            "info": {"title": "Run:ai, as its client knows it", "version": "2.24"},
            "paths": paths,
            "components": {"schemas": self._components},
        }

    def _demand(self) -> None:
        for name, demands in _DEMANDS.items():
            component = self._components[name]
            component["properties"] |= demands
            component["required"] = sorted({*component.get("required", ()), *demands})
            for key in self._values.keys() & component["properties"].keys():
                component["properties"][key] = {"enum": list(self._values[key])}

    def _call(self, operation: Operation, call: Sent) -> Schema:
        parameters = _parameters(operation)
        described: Schema = {
            "operationId": operation.name,
            "parameters": [
                *(self._path_parameter(name) for name in _in_path(call.path)),
                *(self._query_parameter(operation, parameters, *pair) for pair in call.query),
            ],
            "responses": self._responses(operation),
        }
        if call.body:
            content = {"application/json": {"schema": self._schemas[f"{operation.name} body"]}}
            described["requestBody"] = {"required": True, "content": content}
        return described

    def _path_parameter(self, name: str) -> Schema:
        schema = {"enum": list(self._values[name])} if name in self._values else {"type": "string"}
        return {"name": name, "in": "path", "required": True, "schema": schema}

    def _query_parameter(
        self,
        operation: Operation,
        parameters: Mapping[str, inspect.Parameter],
        name: str,
        argument: str,
    ) -> Schema:
        schema = self._schemas[f"{operation.name} {name}"] | BOUNDS.get(name, {})
        fields = FIELDS.get(operation.name)
        if name == "sortBy" and fields:
            schema = {"enum": fields.split("|")}
        if name == "filterBy" and fields:
            # No comma: it would begin the next filter.
            pattern = rf"^({fields})(==|!=|<=|>=|=@|!@|=\^|=\$)[^,]+$"
            schema = {"type": "array", "items": {"type": "string", "pattern": pattern}}
        if name in self._values:
            schema = {"enum": list(self._values[name])}
        required = parameters[argument.strip("{}")].default is inspect.Parameter.empty
        described = {"name": name, "in": "query", "required": required, "schema": schema}
        return described | ({"explode": False} if schema.get("type") == "array" else {})

    def _responses(self, operation: Operation) -> Schema:
        statuses = {
            operation.status: f"{operation.name} {operation.status}",
            **{status: f"{operation.name} {status}" for status in operation.errors},
            **{status: "error" for status in EVERYWHERE},
        }
        return {
            str(status): {
                "description": key,
                "content": {"application/json": {"schema": self._schemas[key]}},
            }
            for status, key in statuses.items()
        }


@cache
def _translated() -> tuple[dict[str, Schema], dict[str, Schema]]:
    """Return the schemas of all types, and the components that they name."""
    types_of_calls: dict[str, Any] = {}
    for operation in OPERATIONS:
        types_of_calls |= _types_of(operation)
    adapters = [(key, "validation", TypeAdapter(kind)) for key, kind in types_of_calls.items()]
    named, rest = TypeAdapter.json_schemas(adapters, ref_template=_REFERENCE)  # type: ignore[arg-type]  # a list of literals
    return {key: schema for (key, _), schema in named.items()}, rest["$defs"]


def _types_of(operation: Operation) -> dict[str, Any]:
    """Return the types that describe a call: of its query, its body and its answers."""
    call, name = sent(operation), operation.name
    parameters = _parameters(operation)
    found = {
        f"{name} {wire}": _without_none(parameters[argument.strip("{}")].annotation)
        for wire, argument in call.query
    }
    if call.body:
        found[f"{name} body"] = _without_none(parameters[call.body.strip("{}")].annotation)
    found[f"{name} {operation.status}"] = operation.answers
    for status in operation.errors:
        found[f"{name} {status}"] = ERRORS.get((name, status), models.Error)
    return found | {"error": models.Error}


def _parameters(operation: Operation) -> dict[str, inspect.Parameter]:
    signature = inspect.signature(getattr(operation.api, operation.name))
    return {_wire(name): parameter for name, parameter in signature.parameters.items()}


def _without_none(kind: Any) -> Any:
    if get_origin(kind) not in (typing.Union, types.UnionType):
        return kind
    (rest,) = (one for one in get_args(kind) if one is not type(None))
    return rest


def _in_path(path: str) -> list[str]:
    return [part.strip("{}") for part in path.split("/") if part.startswith("{")]


if __name__ == "__main__":
    print(json.dumps(document(), indent=1))
