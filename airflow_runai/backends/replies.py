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
_HINTS = {
    401: "; check client id and client secret of the connection",
    403: "; the identity of the connection lacks a role or scope for this",
}


def accept(request: Request, reply: Reply) -> Any:
    """
    Return the body of a good reply.

    That is any 2xx: create is 200 or 202, delete 204 or 202; a body may be empty.

    :raises Unreachable: for 3xx, 5xx, and a 2xx or 404 that is not JSON: it comes from a gateway,
        whose "no such page" must not pass for "no such workload".
    :raises Refused: for other 4xx, with the server's message and, if it lists them, the fields that
        break its policy.
    """
    where = f"{request.method} {request.path}"
    # Go writes ``null`` for an empty body.
    alien = reply.body is None and reply.text.strip() not in ("", "null")
    if alien and (200 <= reply.status < 300 or reply.status == 404):
        raise Unreadable(f"{where}: {reply.status} {_not_json(reply)}", reply.status)
    if 200 <= reply.status < 300:
        return reply.body
    if reply.status == 429:
        raise Throttled(
            f"{where}: 429, asked to slow down", _seconds(reply.headers.get("retry-after"))
        )
    if reply.status in (408, 425) or not 400 <= reply.status < 500:
        raise Unreachable(f"{where}: {reply.status} {_message(reply)}{_moved(reply)}")
    detail = _message(reply)
    error = _REFUSALS.get(reply.status, Refused)
    hint = _HINTS.get(reply.status, "")
    raise error(f"{where}: {reply.status} {detail}{hint}", reply.status, detail)


def _message(reply: Reply) -> str:
    body = reply.body
    if not isinstance(body, Mapping):
        return _not_json(reply) if reply.text else "(empty answer)"
    texts = [body.get(key) for key in _MESSAGE_KEYS]
    listed = body.get("complianceIssues")
    issues = [i for i in listed if isinstance(i, Mapping)] if isinstance(listed, list) else []
    texts += [f"{issue.get('field')}: {issue.get('details')}" for issue in issues]
    # The author has to change each field that breaks a policy: leave room for several.
    limit = TEXT_LIMIT * (4 if issues else 1)
    return clean("; ".join(str(text) for text in texts if text), limit) or "(no message)"


def _not_json(reply: Reply) -> str:
    content_type = cut(reply.headers.get("content-type", "no content type").split(";")[0], 80)
    return (
        f"answered {content_type} where JSON is expected ({clean(reply.text, 80)!r}); "
        "is this the control plane's URL, or does a gateway or login page answer? "
        "check the connection's host"
    )


def _moved(reply: Reply) -> str:
    target = reply.headers.get("location")
    if not target:
        return ""
    return f"; it redirects to {cut(target, 80)}: use that address if it is the control plane"


def _seconds(value: str | None) -> float | None:
    # The other legal form, a date, is rare enough to fall back to our own pace.
    return float(value) if value and value.isdecimal() else None
