"""
The embedded Run:ai's own web page: one static file, open to everybody, in which there is nothing to see.

All it shows and does, it asks for with a bearer token that its reader gets by logging in, like
every other client: the emulator runs commands, and a cookie would lend that power to every website
open in the same browser. For the same reason nobody may frame it, and the only script and style
that run are the ones in the file (by their hashes).
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
PATHS = ("/", "/workloads", "/workloads/{name}")
_FILE = Path(__file__).with_name("page.html")


async def page(request: Request) -> Response:
    """``GET /``, ``/workloads?search=TEXT`` and ``/workloads/NAME``; the page itself reads its address."""
    content, policy = _loaded()
    headers = {
        "Content-Security-Policy": policy,
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return Response(content, media_type="text/html", headers=headers)


@cache
def _loaded() -> tuple[str, str]:
    content = _FILE.read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src {_hashes(content, 'script')}; style-src {_hashes(content, 'style')}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return content, policy


def _hashes(content: str, tag: str) -> str:
    found = re.findall(f"<{tag}>(.*?)</{tag}>", content, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in found]
    return " ".join(f"'sha256-{digest}'" for digest in digests)
