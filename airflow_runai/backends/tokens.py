"""
The bearer token of one connection: obtained, renewed early, and once more after a 401.

Two endpoints exist. The newer one (2.24 on) is tried first; an older server answers 404 or 405
there and gets the older call, with the older grant as the last resort. The call that worked is
tried first from then on. The others are kept: a gateway that answers 404 for a minute must not
leave us with a call that the server no longer knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from airflow_runai.backends.redaction import Redaction
from airflow_runai.backends.replies import accept
from airflow_runai.backends.throttle import LIST
from airflow_runai.core.flow import Flow, Lock, Reply, Request, now, through
from airflow_runai.core.texts import cut
from airflow_runai.errors import Refused, Unauthorized, Unreachable, Unreadable

T = TypeVar("T")

#: Share of a token's life after which it is renewed.
RENEW_AT = 0.8
#: Assumed life, seconds, where the server names none.
DEFAULT_LIFE = 300.0
#: Characters; servers bound the headers in which a token travels.
MAX_TOKEN_LENGTH = 16_384
#: A life beyond a year (also "infinite", or no number at all) is ignored.
MAX_TOKEN_LIFE = 366 * 86400.0


class Tokens:
    """
    Adds the bearer token to the requests of a flow.

    :param on_token: called with each new token, so that logs can mask it.
    """

    def __init__(
        self, client_id: str, client_secret: str, on_token: Callable[[str], object] | None = None
    ) -> None:
        self._requests = _grants(client_id, client_secret)
        self._secret = client_secret
        self._renewal = Lock()
        self._on_token = on_token or (lambda token: None)
        self._token: str | None = None
        self._made_for_cluster = ""
        self._renew_at = 0.0
        self._redacts: tuple[str, Redaction] | None = None

    def authorized(self, flow: Flow[T]) -> Flow[T]:
        """Return the flow with a token on each of its requests."""
        return through(flow, self.send)

    def send(self, request: Request) -> Flow[Reply]:
        """
        Send one request with a token, and once more with a new one after a 401.

        A cluster that trusts another control plane refuses each token: for the clusters' sake
        there is at most one new token in the life of a token.
        """
        token = yield from self._current()
        reply = yield from self._send_with(token, request)
        if reply.status != 401 or (request.is_elsewhere and token == self._made_for_cluster):
            return reply
        if self._token == token:  # no other flow has renewed it meanwhile
            self._token = None
        token = yield from self._current()
        if request.is_elsewhere:
            self._made_for_cluster = token
        return (yield from self._send_with(token, request))

    def _send_with(self, token: str, request: Request) -> Flow[Reply]:
        authorized = request.with_header("Authorization", f"Bearer {token}")
        return (yield from self._exchange(authorized, token))

    def _exchange(self, request: Request, token: str = "") -> Flow[Reply]:
        """Send it; take the secrets out of an error, and out of what the server says about one."""
        try:
            reply = yield request
        except Unreachable as error:
            self._redaction(token).error(error)
            raise
        is_good = 200 <= reply.status < 300 and reply.body is not None
        return reply if is_good else self._redaction(token).reply(reply)

    def _redaction(self, token: str = "") -> Redaction:
        if self._redacts is None or self._redacts[0] != token:
            self._redacts = (token, Redaction(self._secret, token))
        return self._redacts[1]

    def _current(self) -> Flow[str]:
        return (yield from self._renewal.hold(self._fresh()))  # a hundred waits need one token

    def _fresh(self) -> Flow[str]:
        moment = yield from now()
        if self._token is None or moment >= self._renew_at:
            body = yield from self._obtain()
            self._token = self._text(body, "access_token", "accessToken")
            self._renew_at = moment + RENEW_AT * _life(body)
            self._on_token(self._token)
        return self._token

    def _obtain(self) -> Flow[Mapping[str, Any]]:
        for request in self._requests:
            reply = yield from self._exchange(request)
            if not _is_unknown_here(request, reply):
                break
        if reply.status in (404, 405):
            raise Unreadable(
                f"{request.path}: {reply.status}; is this the control plane's URL? "
                "check the connection's host",
                reply.status,
            )
        if reply.status in (400, 401):
            raise Unauthorized(_refusal(request, reply), reply.status)
        body = accept(request, reply)
        if not isinstance(body, Mapping):
            raise Unreadable(f"{request.path}: answered {type(body).__name__} instead of a token")
        self._requests = (request, *(other for other in self._requests if other is not request))
        return body

    def _text(self, body: Mapping[str, Any], *keys: str) -> str:
        for key in keys:
            if isinstance(body.get(key), str) and body[key]:
                return _header(body[key])
        names = self._redaction().text(", ".join(sorted(map(str, body))[:8])[:1000])
        raise Unreadable(
            f"the token answer has none of {', '.join(keys)}; its keys are {cut(names)}"
        )


def _grants(client_id: str, client_secret: str) -> tuple[Request, ...]:
    own = {"clientID": client_id, "clientSecret": client_secret}
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": client_secret,
    }
    app = {"grantType": "app_token", "AppId": client_id, "AppSecret": client_secret}
    return (
        Request("POST", "/api/v2/token", form=form, rank=LIST),
        Request(
            "POST",
            "/api/v1/token",
            json={"grantType": "client_credentials", **own},
            rank=LIST,
        ),
        Request("POST", "/api/v1/token", json=app, rank=LIST),
    )


def _is_unknown_here(request: Request, reply: Reply) -> bool:
    return reply.status in (404, 405) or (request.json is not None and reply.status == 400)


def _refusal(request: Request, reply: Reply) -> str:
    try:
        accept(request, reply)
    except Refused as error:
        return (
            f"the control plane refuses client id and client secret ({error.detail}); "
            "check the connection"
        )
    raise AssertionError("only called for 4xx")  # pragma: no cover


def _header(token: str) -> str:
    """Refuse what no header can carry; the token itself is a secret, so it is not shown."""
    if not (token.isascii() and token.isprintable() and len(token) <= MAX_TOKEN_LENGTH):
        raise Unreadable(
            f"the token is not made of at most {MAX_TOKEN_LENGTH} printable ASCII characters"
        )
    return token


def _life(body: Mapping[str, Any]) -> float:
    for key in ("expires_in", "expiresIn"):
        seconds = body.get(key)
        if isinstance(seconds, (int, float)) and 0 <= seconds < MAX_TOKEN_LIFE:
            return float(seconds)
    return DEFAULT_LIFE
