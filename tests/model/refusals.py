"""What the server says when it does not do what it was asked: ``Status`` objects in its own words."""

from __future__ import annotations

from typing import Any

from tests.model.resources import Resource


class Refusal(Exception):
    """A request is answered with a failure."""

    def __init__(self, code: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "details": details,
            "code": code,
        }


def not_found(resource: Resource, name: str) -> Refusal:
    message = f'{resource.full_name} "{name}" not found'
    return Refusal(404, "NotFound", message, **_of(resource, name))


def already_exists(resource: Resource, name: str) -> Refusal:
    message = f'{resource.full_name} "{name}" already exists'
    return Refusal(409, "AlreadyExists", message, **_of(resource, name))


def modified(resource: Resource, name: str) -> Refusal:
    message = (
        f'Operation cannot be fulfilled on {resource.full_name} "{name}": the object has been '
        "modified; please apply your changes to the latest version and try again"
    )
    return Refusal(409, "Conflict", message, **_of(resource, name))


def other_uid(resource: Resource, name: str, wanted: str, found: str) -> Refusal:
    message = (
        f'Operation cannot be fulfilled on {resource.kind}.{resource.group} "{name}": the UID in '
        f"the precondition ({wanted}) does not match the UID in record ({found}). The object might "
        "have been deleted and then recreated"
    )
    return Refusal(409, "Conflict", message, **_of(resource, name))


def invalid(resource: Resource, name: str, field: str, problem: str) -> Refusal:
    message = f'{resource.kind}.{resource.group} "{name}" is invalid: {field}: {problem}'
    cause = {"reason": "FieldValueInvalid", "message": problem, "field": field}
    return Refusal(422, "Invalid", message, **_of(resource, name), causes=[cause])


def bad_request(message: str) -> Refusal:
    return Refusal(400, "BadRequest", message)


def no_right(user: str, verb: str, resource: Resource, namespace: str) -> Refusal:
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    message = (
        f'{resource.full_name} is forbidden: User "{user}" cannot {verb} resource '
        f'"{resource.plural}" in API group "{resource.group}" {where}'
    )
    return Refusal(403, "Forbidden", message, group=resource.group, kind=resource.plural)


def no_right_to_path(user: str, verb: str, path: str) -> Refusal:
    return Refusal(403, "Forbidden", f'forbidden: User "{user}" cannot {verb} path "{path}"')


def over_quota(resource: Resource, name: str, used: int) -> Refusal:
    counted = f"count/{resource.full_name}"
    message = (
        f'{resource.full_name} "{name}" is forbidden: exceeded quota: objects, requested: '
        f"{counted}=1, used: {counted}={used}, limited: {counted}={used}"
    )
    return Refusal(403, "Forbidden", message, **_of(resource, name))


def terminating(resource: Resource, name: str, namespace: str) -> Refusal:
    message = (
        f'{resource.full_name} "{name}" is forbidden: unable to create new content in namespace '
        f"{namespace} because it is being terminated"
    )
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    return Refusal(403, "Forbidden", message, **_of(resource, name), causes=[cause])


def expired(version: int, oldest: int) -> Refusal:
    return Refusal(410, "Expired", f"too old resource version: {version} ({oldest})")


def unauthorized() -> Refusal:
    return Refusal(401, "Unauthorized", "Unauthorized")


def _of(resource: Resource, name: str) -> dict[str, Any]:
    return {"name": name, "group": resource.group, "kind": resource.plural}
