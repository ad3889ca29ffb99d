"""
The two token endpoints: version 1 with JSON, version 2 as OAuth2 has it.

The only calls that need no token.
"""

from __future__ import annotations

from airflow_runai.emulator.control_plane import ControlPlane
from airflow_runai.emulator.replies import ApiCall, ApiError, ApiReply, JsonObject

_WRONG_CREDENTIALS = "the client id or the client secret is wrong"


def token_v1(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``POST /api/v1/token``; keys may have any case, as the vendor's own client needs."""
    if not isinstance(call.body, dict):
        raise ApiError(400, "request body must be a JSON object")
    body = {str(key).lower(): value for key, value in call.body.items()}
    grant = body.get("granttype")
    if grant == "app_token" and plane.settings.version < (3, 0):
        client_id = body.get("appid")
        secret = body.get("appsecret")
    elif grant == "client_credentials":
        client_id = body.get("clientid")
        secret = body.get("clientsecret")
    else:
        raise ApiError(400, f"grantType {grant!r} is not supported")
    if not plane.tokens.knows(client_id, secret):
        raise ApiError(401, "invalid client credentials", _WRONG_CREDENTIALS)
    return ApiReply(
        {
            "accessToken": plane.tokens.issue(),
            "expiresIn": int(plane.tokens.seconds),
        }
    )


def token_v2(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``POST /api/v2/token``, a form; from 2.24 on."""
    if plane.settings.version < (2, 24):
        raise ApiError(404, "not found")
    form: JsonObject = call.body if isinstance(call.body, dict) else {}
    grant = form.get("grant_type")
    if grant != "client_credentials":
        error = "unsupported_grant_type" if grant else "invalid_request"
        return _oauth_error(400, error, f"grant_type {grant!r}")
    if not plane.tokens.knows(form.get("client_id"), form.get("client_secret")):
        return _oauth_error(401, "invalid_client", _WRONG_CREDENTIALS)
    token = plane.tokens.issue()
    seconds = int(plane.tokens.seconds)
    return ApiReply(
        {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": seconds,
        }
    )


def _oauth_error(status: int, error: str, description: str) -> ApiReply:
    return ApiReply(
        {
            "error": error,
            "error_description": description,
        },
        status,
    )
