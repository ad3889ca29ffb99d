"""An endpoint's input and output: a call, a reply, or an error in the vendor's shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class ApiCall:
    """
    One request, read and authorised.

    :param address: at which the caller has reached the emulator, with scheme.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    address: str = ""

    def number(self, name: str) -> int | None:
        """
        Read a whole number from the query; None if it is absent.

        :raises ApiError: it is not a number.
        """
        text = self.query.get(name, "")
        # Also refuses signs and blanks, which int() would accept.
        if text and not text.isdecimal():
            raise ApiError(400, f"{name}: {text!r} is not a number")
        return int(text) if text else None


@dataclass(frozen=True)
class ApiReply:
    """One answer; a payload of None is an empty body, one of bytes plain text."""

    payload: Any = None
    status: int = 200


class ApiError(Exception):
    """
    The call fails with this status.

    :param extras: further fields of the error body, such as ``complianceIssues``.
    """

    def __init__(self, status: int, message: str, details: str = "", **extras: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {
            "code": status,
            "message": message,
            "details": details or message,
            **extras,
        }
