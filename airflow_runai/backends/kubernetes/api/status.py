"""
What a reply of a Kubernetes API server means: its body, or which error.

Errors come as ``Status`` objects. Two of them say less than they seem to: a 403 may be a missing
right, a full quota, a namespace that goes, a token that was not sent, or, for a second after a
server's start, nothing at all; and a 404 is about an object only if it names that object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from airflow_runai.core.flow import Reply, Request
from airflow_runai.core.mask import clean
from airflow_runai.core.texts import cut, listed, plural
from airflow_runai.errors import (
    AlreadyExists,
    Conflict,
    Expired,
    Forbidden,
    KindMissing,
    NotFound,
    NotResolved,
    QuotaExceeded,
    Refused,
    RunaiError,
    Throttled,
    Unauthorized,
    Unreachable,
    Unreadable,
)

#: Characters of a message, and causes, that are shown: a message may repeat a whole pod template.
_MESSAGE, _CAUSES = 500, 12
_QUOTA = "exceeded quota:"
_ANONYMOUS = "system:anonymous"
#: What a server of Go says to an address that it does not know.
_NO_PAGE = "404 page not found"
_LACKING = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) (?:path "(?P<path>[^"]*)"|'
    r'resource "(?P<resource>[^"]*)" '
    r'in API group "(?P<group>[^"]*)"(?: in the namespace "(?P<namespace>[^"]*)")?)'
)
_TYPO = re.compile(r'(unknown|duplicate) field "([^"]+)"')


def accept(request: Request, reply: Reply) -> Any:
    """
    Return the body of a good reply; empty bodies are ``None``.

    :raises Unreachable: for 3xx, 5xx, 429 (``Throttled``, as is all that names a pause), what is
        not the API server's answer, and a kind that it does not know (``KindMissing``).
    :raises NotFound: for a 404 that names the object that was asked for; nothing else proves that
        it is gone.
    :raises NotResolved: for a 404 that names something else: the namespace of a create.
    :raises Refused: for other 4xx, with the server's words and all that is wrong with an object.
    """
    where = f"{request.method} {request.path}"
    if 200 <= reply.status < 300:
        if reply.body is None and reply.text.strip():
            raise Unreadable(f"{where}: {reply.status} {_alien(reply)}", reply.status)
        return reply.body
    raise refusal(where, request, reply)


def refusal(where: str, request: Request, reply: Reply) -> RunaiError:
    """Return what is wrong, for a reply that is not good."""
    status = reply.body if _is_status(reply.body) else {}
    detail = _words(status) if status else _alien(reply)
    text = f"{where}: {reply.status} {detail}"
    pause = _pause(reply, status)
    if reply.status == 429 or (reply.status >= 500 and pause is not None):
        return Throttled(f"{where}: {reply.status}, asked to slow down", pause, reply.status)
    if not 400 <= reply.status < 500 or reply.status in (408, 425):
        return Unreachable(f"{text}{_moved(reply)}", reply.status)
    if reply.status == 404:
        return _not_found(text, request, reply, status, detail)
    if not status:
        return Unreadable(text, reply.status)
    if reply.status == 403:
        return _forbidden(where, status, detail)
    if reply.status == 401:
        return Unauthorized(f"{text}; {_EXPIRED}", 401, detail)
    kind = _REFUSALS.get(reply.status, Refused)
    if reply.status == 409 and status.get("reason") == "AlreadyExists":
        kind = AlreadyExists
    return kind(text, reply.status, detail)


_REFUSALS: dict[int, type[Refused]] = {409: Conflict, 410: Expired}
_EXPIRED = (
    "the cluster does not accept the connection's credentials: its token or client certificate "
    "may have expired, or belong to another cluster"
)
_NO_TOKEN = (
    "no credentials arrived: check that the connection's kubeconfig names a user with a token, an "
    "exec plug-in or a client certificate, and that no proxy on the way drops them"
)


def lacks_right(error: Forbidden) -> bool:
    """Whether a right is missing, and it was no policy or webhook that refused an object."""
    return _LACKING.search(error.detail) is not None


def error_in_stream(status: Any, where: str) -> RunaiError:
    """Return what an ``ERROR`` line of a watch means; 410 comes so, within a good reply."""
    found = status if _is_status(status) else {}
    code = found.get("code")
    request = Request("GET", where)
    reply = Reply(code if isinstance(code, int) and code >= 400 else 500, 0.0, found)
    return refusal(f"GET {where} (watch)", request, reply)


def _forbidden(where: str, status: Mapping[str, Any], detail: str) -> RunaiError:
    if _QUOTA in str(status.get("message")):
        return QuotaExceeded(f"{where}: 403 {detail}", 403, detail)
    if any(cause.get("reason") == "NamespaceTerminating" for cause in _causes(status)):
        return NotResolved(f"{where}: {detail}; use another namespace, or wait and make it again")
    lacking = _LACKING.search(str(status.get("message")))
    if lacking and lacking["user"] == _ANONYMOUS:
        return Unauthorized(f"{where}: 403 {detail}; {_NO_TOKEN}", 403, detail)
    hint = f"; {_grant(lacking)}" if lacking else ""
    return Forbidden(f"{where}: 403 {detail}{hint}", 403, detail)


def _grant(lacking: re.Match[str]) -> str:
    """Say which right to give."""
    whom, verb = cut(lacking["user"], 120), cut(lacking["verb"], 40)
    what = cut(lacking["path"] or f"{lacking['resource']}.{lacking['group']}".rstrip("."), 120)
    if not lacking["namespace"]:
        return f"let {whom} {verb} {what} in the cluster (a ClusterRole and its ClusterRoleBinding)"
    place = f"namespace {cut(lacking['namespace'], 80)}"
    return f"let {whom} {verb} {what} in {place} (a Role and its RoleBinding)"


def _not_found(
    text: str, request: Request, reply: Reply, status: Mapping[str, Any], detail: str
) -> RunaiError:
    details = status.get("details")
    found = details if isinstance(details, Mapping) else {}
    name = found.get("name")
    if name and (found.get("kind"), name) == _asked_for(request):
        return NotFound(text, 404, detail)
    if name and found.get("kind") == "namespaces":
        return NotResolved(f"{text}; make the namespace, or name another one in the connection")
    if name:
        return NotResolved(text)
    if status or reply.text.strip() == _NO_PAGE:
        return KindMissing(f"{text}; the cluster does not serve this kind, or not yet", 404)
    return Unreadable(text, 404)


def _asked_for(request: Request) -> tuple[str, str]:
    """Return resource and name of the object that the request is about; of no object for a POST."""
    parts = [unquote(part) for part in request.path.split("/")]
    if request.method == "POST":
        return "", ""
    within = parts.index("namespaces") + 2 if "namespaces" in parts else len(parts)
    # A part of an object, such as its log, comes after its name.
    resource, name = [*parts[within:], "", ""][:2] if within < len(parts) else parts[-2:]
    return resource, name


def _words(status: Mapping[str, Any]) -> str:
    """Return the server's message; all that is wrong with an object on a line each."""
    message = str(status.get("message") or status.get("reason") or "(no message)")
    causes = [
        clean(f"{cause.get('field')}: {cause.get('message')}", _MESSAGE)
        for cause in _causes(status)
        if cause.get("field")
    ]
    typos = [cut(f"{path}: {word} field") for word, path in _TYPO.findall(message[:20_000])]
    found = (typos or causes) if status.get("code") in (400, 422) else []
    if not found:
        return clean(message, _MESSAGE)
    shown = found[:_CAUSES]
    if len(found) > _CAUSES:
        shown.append(f"and {plural(len(found) - _CAUSES, 'more problem')}")
    return listed("the cluster refuses the object", shown)


def _causes(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, Mapping) else None
    yield from (c for c in (causes if isinstance(causes, list) else ()) if isinstance(c, Mapping))


def _pause(reply: Reply, status: Mapping[str, Any]) -> float | None:
    details = status.get("details")
    asked = details.get("retryAfterSeconds") if isinstance(details, Mapping) else None
    if isinstance(asked, int) and 0 < asked < 86_400:
        return float(asked)
    value = reply.headers.get("retry-after", "")
    return float(value) if value.isdecimal() and len(value) < 6 else None


def _is_status(body: object) -> bool:
    return isinstance(body, Mapping) and body.get("kind") == "Status"


def _alien(reply: Reply) -> str:
    content_type = cut(reply.headers.get("content-type", "no content type").split(";")[0], 80)
    said = clean(reply.text, 80)
    return (
        f"answered {content_type} ({said!r}) where the Kubernetes API is expected; does a gateway "
        "or login page answer? check `server` in the connection's kubeconfig"
    )


def _moved(reply: Reply) -> str:
    target = reply.headers.get("location")
    return f"; it redirects to {cut(target, 80)}, which is not followed" if target else ""
