"""
The embedded Run:ai's own web page: one static file without data, which needs no log-in.

The page reads and does everything with a bearer token that its user gets by logging in, like any
other client: the emulator runs commands, and a cookie would lend that power to every website open
in the same browser. For the same reason no site may frame it, and only the script and style in the
file run (by their hashes).
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

#: Paths that show the page; the second is where Airflow's link to a workload leads.
PATHS = (
    "/",
    "/workloads",
    "/workloads/{name}",
)
_FILE = Path(__file__).with_name("page.html")


async def page(request: Request) -> Response:
    """``GET /``, ``/workloads?search=TEXT`` and ``/workloads/NAME``; the page reads its address."""
    # Read once: the page is the same for everyone, and holds no data.
    content, policy = _loaded()
    headers = {
        "Content-Security-Policy": policy,
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return Response(
        content,
        media_type="text/html",
        headers=headers,
    )


@cache
def _loaded() -> tuple[str, str]:
    content = _FILE.read_text(encoding="utf-8")
    policy = (
        "default-src 'none'",
        f"script-src {_hashes(content, 'script')}",
        f"style-src {_hashes(content, 'style')}",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return content, "; ".join(policy)


def _hashes(content: str, tag: str) -> str:
    elements = re.findall(f"<{tag}>(.*?)</{tag}>", content, re.DOTALL)
    digests = [hashlib.sha256(text.encode()).digest() for text in elements]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
