"""
Bearer tokens: signed, with an expiry, valid for this process only.

They look like the vendor's (three parts, an ``exp`` in the middle one) because the vendor's client
reads them. The key is new at every start, so that a restart tests what a client does when its token
is suddenly refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from typing import Any


class TokenIssuer:
    """
    Issues and checks tokens.

    :param client_id: the only client that may ask for a token.
    :param client_secret: its secret.
    :param seconds: validity of a token, in seconds of the real clock.
    """

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        seconds: float,
    ) -> None:
        self.client_id = client_id
        self.seconds = seconds
        self.issued = 0
        self._secret = client_secret
        self._key = secrets.token_bytes(32)

    def knows(self, client_id: object, client_secret: object) -> bool:
        """Whether these credentials are right."""
        # One comparison of both in constant time tells nobody which of them was wrong.
        received = f"{client_id}\0{client_secret}"
        right = f"{self.client_id}\0{self._secret}"
        return hmac.compare_digest(received.encode(), right.encode())

    def issue(self) -> str:
        """Make a new token."""
        # A number of its own, so that two tokens of one second differ.
        self.issued += 1
        now = time.time()
        claims = {
            "sub": self.client_id,
            "iat": int(now),
            "exp": now + self.seconds,
            "jti": self.issued,
        }
        content = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(claims)}"
        return f"{content}.{self._sign(content)}"

    def accepts(self, authorization: str | None) -> bool:
        """Whether an ``Authorization`` header carries a valid token."""
        scheme, _, token = (authorization or "").partition(" ")
        content, _, signature = token.rpartition(".")
        signed = hmac.compare_digest(signature.encode(), self._sign(content).encode())
        if scheme.lower() != "bearer" or not signed:
            return False
        # The two signs pad any length: a decoder ignores those it does not need.
        claims = json.loads(base64.urlsafe_b64decode(content.split(".")[1] + "=="))
        # The real clock: the client compares with its own.
        return float(claims["exp"]) > time.time()

    def revoke(self) -> None:
        """Make all tokens issued so far invalid."""
        self._key = secrets.token_bytes(32)

    def _sign(self, content: str) -> str:
        return _base64(hmac.new(self._key, content.encode(), hashlib.sha256).digest())


def _encode(part: dict[str, Any]) -> str:
    return _base64(json.dumps(part, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
