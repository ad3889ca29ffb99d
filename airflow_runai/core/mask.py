"""
Takes secrets out of texts: out of a log, and out of what the platform says.

Where an author is warned (``core/secrets.py``), a false alarm costs patience. Here it costs a word,
and a miss costs the secret: so what could be one is hidden. Only what would make a text unreadable
stays: small numbers, common words, paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

from airflow_runai.core.secrets import SENSITIVE, by_shape, has_secret_name, in_value
from airflow_runai.core.texts import TEXT_LIMIT, cut

STARS = "***"
#: Characters that are searched: of a text of the platform, which is not shown beyond, and of a
#: variable that may be a whole file.
_SEARCHED = 4096
#: A value shorter than this is not searched for in a log: it is part of many words.
_MIN_LENGTH = 4
#: The same for names that only may be a secret's, such as TEAM_KEY.
_MIN_DOUBTFUL = 8
_SURE = re.compile(r"(?:passw(?:or)?d|passphrase|pwd|(?:^|_)(?:pass|secret|credentials?))_?\d*$")
_DOUBTFUL = re.compile(
    r"secret|token(?!i)|passw|passphrase|(?:^|_)pass(?:_|$)|pwd|key(?!word|board)|credential|auth(?!or)"
)
#: A shell's own variables: places, not passwords.
_FOLDERS = ("pwd", "oldpwd")
#: In lower case. A password that is such a word protects nothing, and without it a log is ruined.
_COMMON_WORDS = (
    "true false yes none null auto default enabled disabled required optional never always unset "
    "admin root user guest test tests testing password passwd secret token changeme example dummy "
    "train training eval data model loss step steps epoch main node info warning error debug "
    "postgres mysql redis mongo minio runai airflow"
)
_COMMON = frozenset(_COMMON_WORDS.split())
_REFERENCE = re.compile(
    r"\$[A-Z_][A-Z0-9_]*|\$\{[^}]*\}|\$\([^)]*\)|\{\{.*\}\}|<[^<>]*>|\[[A-Z]+\]|\*+|[xX]{3,}",
    re.DOTALL,
)
_NUMBER = re.compile(r"[\d.,:e+-]*")
_SMALL_NUMBER = re.compile(r"[\d.]{1,5}")
_URL = re.compile(r"[A-Za-z][\w+.-]*://")
_FILE = re.compile(r"[\w./~-]+\.(?:json|ya?ml|txt|pem|key|crt|cer|p12|pfx|jks|env|toml|cfg|ini)")
_WORD_OF_PATH = re.compile(r"[A-Z]?[a-z]{1,16}|[A-Z]{1,8}|v?\d{1,4}|[a-z]{1,16}\d{1,3}")

#: What every secret comes with. Most of what the platform says has none of it, and there is much.
_SUSPICIOUS = re.compile(r"[=\"'@?&]|://|-[A-Za-z-]|[\w-]{12}")
#: The end of the text counts as the end of a password, because whoever wrote it may have cut it.
_ADDRESS = re.compile(
    r"://[^\s/?#'\"@:]*:(?P<hidden>[^\s/?#'\"]+(?=@)|(?!\d{1,5}(?:…|\.{3})?$)[^\s/?#'\"@]+$)"
)
_NAME = re.compile(
    r"(?<![\w.$?&-])(?P<dashes>-{0,2})(?P<name>[A-Za-z][\w.-]{0,59})(?P<quote>\\*[\"'])?"
    r"(?P<mark>\s*[=:]\s*|[\s,]+)"
)
_VALUE = re.compile(
    r"(?P<quote>\\*[\"'])(?P<quoted>.*?)(?:(?P=quote)|$)|(?P<bare>(?!--?[A-Za-z])[^\s\"']+)",
    re.DOTALL,
)


def values(variables: Iterable[tuple[str, Any]]) -> tuple[str, ...]:
    """Return what to mask in the log of a workload that was given these variables, by lines."""
    found = (
        text
        for name, value in variables
        if isinstance(value, str)
        for text in _of_variable(name, value)
    )
    # A key has many lines, and a log is read by lines; shorter ones are no secrets.
    lines = [line.strip() for text in found for line in text.splitlines()]
    return tuple(dict.fromkeys(line for line in lines if _can_be_hidden(line)))


def clean(text: str, limit: int = TEXT_LIMIT) -> str:
    """Return what the platform says: on one line, printable, bounded, without secrets."""
    # Secrets first: half an address does not show that it is one.
    return cut(hidden(cut(text, _SEARCHED)), limit)


def hidden(text: str) -> str:
    """Return a text with stars in place of each secret that its surroundings give away."""
    if not _SUSPICIOUS.search(text):
        return text
    kept, at = [], 0
    for begin, end in sorted(_places(text)):
        if begin >= at:
            kept += [text[at:begin], STARS]
        at = max(at, end)
    return "".join([*kept, text[at:]])


def _of_variable(name: str, value: str) -> Iterator[str]:
    """Yield the value if it is a secret, and those within it: a password in an address."""
    if in_value(value) or _is_secret(name, value):
        yield value
    for begin, end in _places(value[:_SEARCHED]):
        yield value[begin:end]
        yield unquote(value[begin:end])


def _is_secret(name: str, value: str) -> bool:
    if _plain(name) in _FOLDERS or _is_reference_or_path(value):
        return False
    if _is_sure(name):
        return not _SMALL_NUMBER.fullmatch(value)
    is_plain = _NUMBER.fullmatch(value) or _URL.match(value) or len(value) < _MIN_DOUBTFUL
    return bool(_DOUBTFUL.search(_plain(name))) and not is_plain


def _is_sure(name: str) -> bool:
    return has_secret_name(name) or bool(_SURE.search(_plain(name)))


def _plain(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[.-]+", "_", name[:100]).lower()


def _can_be_hidden(line: str) -> bool:
    is_harmless = line.lower() in _COMMON or any(
        kind.fullmatch(line) for kind in (_SMALL_NUMBER, _REFERENCE)
    )
    return len(line) >= _MIN_LENGTH and not is_harmless


def _is_reference_or_path(value: str) -> bool:
    if _REFERENCE.fullmatch(value) or _FILE.fullmatch(value):
        return True
    # A key in base64 may begin with a slash, too, but it is not made of words.
    start = re.match(r"(?:~\w*|\.{1,2})?/", value)
    parts = [part for part in re.split(r"[/._-]+", value[start.end() :]) if part] if start else []
    return value.count("/") > 1 and all(map(_WORD_OF_PATH.fullmatch, parts)) and bool(parts)


def _places(text: str) -> Iterator[tuple[int, int]]:
    """Yield where secrets stand in a text."""
    yield from (found.span("hidden") for found in _ADDRESS.finditer(text))
    yield from by_shape(text)
    for head in _NAME.finditer(text):
        # The name first: to read what follows each word would take long over a long text.
        found = _VALUE.match(text, head.end()) if _announces(head) else None
        part = "quoted" if found and found["quoted"] else "bare"
        if found and _is_given_away(head["name"], found[part] or ""):
            yield found.span(part)


def _announces(head: re.Match[str]) -> bool:
    """Tell whether a name with its mark can mean that a secret follows."""
    name, mark = head["name"], head["mark"].strip(" \t\n,")
    # In "token: expired" of a sentence nothing is given; in JSON the name is quoted.
    is_given = mark == "=" or (bool(head["quote"]) if mark else bool(head["dashes"]))
    is_given = is_given and bool(SENSITIVE.search(name))
    return is_given and (bool(head["dashes"]) or _is_sure(name))


def _is_given_away(name: str, value: str) -> bool:
    if _SMALL_NUMBER.fullmatch(value):
        return _is_sure(name)
    return value != "" and value.lower() not in _COMMON and _is_secret(name, value)
