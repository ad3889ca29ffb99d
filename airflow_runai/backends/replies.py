"""
What a reply means: its body, or which error.

One place for status codes and error bodies of all versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_runai.core.flow import Reply, Request
from airflow_runai.core.mask import clean
from airflow_runai.core.texts import TEXT_LIMIT, cut
from airflow_runai.errors import (
    Conflict,
    Forbidden,
    NotFound,
    Refused,
    Throttled,
    Unauthorized,
    Unreachable,
    Unreadable,
)

_REFUSALS: dict[int, type[Refused]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
}
_MESSAGE_KEYS = ("message", "details", "error", "error_description")
_LACKS_ROLE = "; the identity of the connection lacks a role or scope for this"
_HINTS = {401: "; check client id and client secret of the connection", 403: _LACKS_ROLE}
#: A cluster has no part in the connection's client id and host.
_CLUSTER_HINTS = {
    401: "; it does not accept this control plane's token: check the connection's cluster_url",
    403: _LACKS_ROLE,
}


def accept(request: Request, reply: Reply) -> Any:
    """
    Return the body of a good reply.

    That is any 2xx: create is 200 or 202, delete 204 or 202; a body may be empty.

    :raises Unreachable: for 3xx, 5xx, and a 2xx or 404 that is not JSON: it comes from a gateway,
        whose "no such page" must not pass for "no such workload". A cluster's 404 is plain text.
    :raises Refused: for other 4xx, with the server's message and, if it lists them, the fields that
        break its policy.
    """
    where = f"{request.method} {request.path}"
    # Go writes ``null`` for an empty body.
    alien = reply.body is None and reply.text.strip() not in ("", "null")
    is_gateways = alien and not _is_clusters(request, reply)
    if (alien and 200 <= reply.status < 300) or (is_gateways and reply.status == 404):
        raise Unreadable(f"{where}: {reply.status} {_not_json(request, reply)}", reply.status)
    if 200 <= reply.status < 300:
        return reply.body
    if reply.status == 429:
        raise Throttled(
            f"{where}: 429, asked to slow down", _seconds(reply.headers.get("retry-after"))
        )
    if reply.status in (408, 425) or not 400 <= reply.status < 500:
        said = f"{_message(request, reply)}{_moved(request, reply)}"
        raise Unreachable(f"{where}: {reply.status} {said}", reply.status)
    detail = _message(request, reply)
    error = _REFUSALS.get(reply.status, Refused)
    hint = (_CLUSTER_HINTS if request.is_elsewhere else _HINTS).get(reply.status, "")
    raise error(f"{where}: {reply.status} {detail}{hint}", reply.status, detail)


def _message(request: Request, reply: Reply) -> str:
    body = reply.body
    if not isinstance(body, Mapping):
        return _not_json(request, reply) if reply.text else "(empty answer)"
    texts = [body.get(key) for key in _MESSAGE_KEYS]
    listed = body.get("complianceIssues")
    issues = [i for i in listed if isinstance(i, Mapping)] if isinstance(listed, list) else []
    texts += [f"{issue.get('field')}: {issue.get('details')}" for issue in issues]
    # The author has to change each field that breaks a policy: leave room for several.
    limit = TEXT_LIMIT * (4 if issues else 1)
    return clean("; ".join(str(text) for text in texts if text), limit) or "(no message)"


def _is_clusters(request: Request, reply: Reply) -> bool:
    """Whether a cluster's own API has answered, in plain text, and not a gateway with a page."""
    return request.is_elsewhere and "html" not in reply.headers.get("content-type", "")


def _not_json(request: Request, reply: Reply) -> str:
    if _is_clusters(request, reply):
        return cut(reply.text)
    content_type = cut(reply.headers.get("content-type", "no content type").split(";")[0], 80)
    if request.is_elsewhere:
        return (
            f"answered {content_type} ({cut(reply.text, 80)!r}); a gateway or login page answers "
            "instead of the cluster: check the connection's cluster_url"
        )
    return (
        f"answered {content_type} where JSON is expected ({clean(reply.text, 80)!r}); "
        "is this the control plane's URL, or does a gateway or login page answer? "
        "check the connection's host"
    )


def _moved(request: Request, reply: Reply) -> str:
    target = reply.headers.get("location")
    if not target:
        return ""
    use = "use that address if it is the control plane"
    if request.is_elsewhere:
        use = "if the cluster is there, name that address as the connection's cluster_url"
    return f"; it redirects to {cut(target, 80)}: {use}"


def _seconds(value: str | None) -> float | None:
    # The other legal form, a date, is rare enough to fall back to our own pace.
    return float(value) if value and value.isdecimal() else None
