"""
Takes secrets out of a server's answer, however they are written there.

A server that refuses a login may repeat the request: as it was sent, escaped for a form, a URL,
JSON or a page, some of that twice, or in base64. So it is not the text that is compared but what it
means: each escape is read as the character that it stands for, and where these make up a secret,
stars take their place. A text that was cut may end in the middle of a secret; its beginning goes,
too.

It is for errors only. Good replies are data that was asked for, and large.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html import unescape
from typing import Any
from urllib.parse import quote, unquote

from airflow_runai.core.flow import Reply
from airflow_runai.core.texts import cut
from airflow_runai.errors import Unreachable

STARS = "***"
#: A shorter beginning of a secret gives nothing away, and ends many other texts.
_MIN_PREFIX = 4
#: Letters of base64 that no text has by chance. Six bytes keep so many, wherever they begin.
_MIN_CODED = 7
#: No one reads more of an error. Characters of one text and of all, and levels of a body.
_MAX_TEXT, _MAX_TOTAL, _MAX_DEPTH = 4096, 65_536, 8
_ESCAPES = r"(?:%(?:25)*[0-9a-fA-F]{2})+|(?:\\+u[0-9a-fA-F]{4})+|&(?:amp;)*#?\w{1,8};|\\+"
_PIECE = re.compile(_ESCAPES + "|.", re.DOTALL)
# Most texts hold no secret and hardly an escape.
_RUN = re.compile(_ESCAPES + r"|[^%\\&]+|.", re.DOTALL)


class Redaction:
    """Knows secrets by what they mean; an empty one is none."""

    def __init__(self, *secrets: str) -> None:
        self._forms = {form for secret in secrets for form in _forms(secret) if form}

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        said = _meant(text)
        places = list(self._places(said))
        return _without(text, places, len(said)) if places else text

    def reply(self, reply: Reply) -> Reply:
        """Return a reply without secrets; of its body only what an error can show."""
        headers = {name: self.text(value[:_MAX_TEXT]) for name, value in reply.headers.items()}
        return replace(
            reply,
            body=self._value(reply.body, [_MAX_TOTAL]),
            text=self.text(reply.text),
            headers=headers,
        )

    def error(self, error: Unreachable) -> None:
        """Take secrets out of an error; what caused it goes with them."""
        words = str(error)
        if self.text(words) != words:
            error.args = (self.text(words),)
            error.__cause__, error.__suppress_context__ = None, True

    def _value(self, value: Any, left: list[int], depth: int = 0) -> Any:
        left[0] -= 1
        if isinstance(value, str):
            shown = value[: min(_MAX_TEXT, max(left[0], 0))]
            left[0] -= len(shown)
            return self.text(shown)
        if not isinstance(value, Mapping | list):
            return value
        if depth == _MAX_DEPTH:
            return None
        if isinstance(value, list):
            return [self._value(entry, left, depth + 1) for entry in value if left[0] > 0]
        pairs = (
            (self._value(str(key), left), entry) for key, entry in value.items() if left[0] > 0
        )
        return {key: self._value(entry, left, depth + 1) for key, entry in pairs}

    def _places(self, said: str) -> Iterator[tuple[int, int]]:
        whole = said.rstrip("…")
        for form in self._forms:
            at = said.find(form)
            while at >= 0:
                yield at, at + len(form)
                at = said.find(form, at + len(form))
            at = whole.find(form[:_MIN_PREFIX], max(len(whole) - len(form), 0))
            while at >= 0 and not form.startswith(whole[at:]):
                at = whole.find(form[:_MIN_PREFIX], at + 1)
            if at >= 0:
                yield at, len(whole)


def _without(text: str, places: list[tuple[int, int]], length: int) -> str:
    """Write stars in place of what means some parts of what the text means."""
    hidden = bytearray(length)
    for begin, end in places:
        hidden[begin:end] = b"\1" * (end - begin)
    kept, at = [""], 0
    for raw in _PIECE.findall(text):
        meaning = _meaning(raw)
        # What means nothing, a backslash, goes with the secret that it is in.
        part = hidden[at : at + len(meaning)] if meaning else hidden[max(at - 1, 0) : at + 1]
        if not (any(part) if meaning else part == b"\1\1"):
            kept.append(raw)
        elif kept[-1] != STARS:
            kept.append(STARS)
        at += len(meaning)
    return "".join(kept)


def _forms(secret: str) -> Iterator[str]:
    """Yield what a text that holds the secret may mean; in base64 the secret has three forms."""
    for text in (secret, cut(secret, len(secret) + 1)):
        yield _meant(text)
        yield _plain(text)
    for text in (secret, quote(secret, safe=""), quote(secret, safe=" ").replace(" ", "+")):
        data = text.encode("utf-8", "surrogatepass")
        for ahead in range(3):
            coded = b64encode(bytes(ahead) + data).decode()
            sure = coded[-(-ahead * 4 // 3) : (ahead + len(data)) * 4 // 3]
            if len(sure) >= _MIN_CODED:
                yield _plain(sure)
                yield sure.replace("+", "-").replace("/", "_")


def _meant(text: str) -> str:
    return "".join(map(_meaning, _RUN.findall(text)))


def _meaning(raw: str) -> str:
    if raw[0] == "%":
        return _plain(unquote(re.sub("%(?:25)+(?=[0-9a-fA-F]{2})", "%", raw)))
    if raw[0] == "\\":
        units = bytes.fromhex("".join(re.findall("u(.{4})", raw)))
        return _plain(units.decode("utf-16-be", "replace"))
    if raw[0] == "&":
        return _plain(unescape(re.sub("&(?:amp;)+(?=.)", "&", raw)))
    return _plain(raw)


def _plain(text: str) -> str:
    """Treat a plus like a space, as forms do, and drop backslashes, which may escape."""
    return text.replace("\\", "").replace("+", " ")
