"""What an endpoint gets and gives: a call, a reply, or a refusal in the vendor's error shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ApiCall:
    """One request, read and authorised."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True)
class ApiReply:
    """One answer; a payload of None is an empty body."""

    payload: Any = None
    status: int = 200


class ApiError(Exception):
    """
    The call is refused.

    :param extras: further fields of the error body, such as ``complianceIssues``.
    """

    def __init__(self, status: int, message: str, details: str = "", **extras: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": status, "message": message, "details": details or message, **extras}
