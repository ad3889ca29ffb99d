"""
Secrets in a text: a password in an address, a token in a word, a value behind ``--password``.

Shapes decide, and names of options only together with a value that could be a secret: language
models have ``--pad-token`` and ``--max-tokens``, too. A value that is filled in later (``$TOKEN``,
``{{ … }}``) is not a secret yet. Nothing here returns a secret, only its place.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import pairwise

#: ``scheme://user:password@host``; the user may be missing, as in redis://:password@host.
#: The scheme is bounded: else a long word without one would be read again from each letter.
_ADDRESS = re.compile(r"[A-Za-z][\w+.-]{0,30}://([^\s/?#'\"@]*)@")
#: ``?access_token=…`` and the like, signed addresses included.
_PARAMETER = re.compile(
    r"[?&](?:(?:access|private|auth|api|job)_?token|token|api_?key|password|passwd|client_secret|sig|"
    r"x-amz-signature|x-goog-signature)=([^\s&#'\"]+)",
    re.IGNORECASE,
)
_REST = re.compile(r"://[^\s'\"]*")
#: What issuers of tokens begin them with, long enough not to be a word.
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(hf_[A-Za-z0-9]{12,}|gh[oprsu]_[A-Za-z0-9]{12,}|github_pat_\w{12,}|glpat-[\w-]{12,}|"
    r"(?:AKIA|ASIA)[A-Z0-9]{12,}|xox[abeoprs]-[A-Za-z0-9-]{10,}|sk-(?:proj-|ant-)?[A-Za-z0-9_-]{20,}|AIza[\w-]{30,}|"
    r"https://hooks\.slack\.com/(?:services|workflows|triggers)/[\w/-]{8,}|"
    r"https://(?:\w+\.)?discord(?:app)?\.com/api/webhooks/\d+/[\w-]{12,}|"
    r"npm_[A-Za-z0-9]{20,}|pypi-[\w-]{20,}|dop_v1_[a-f0-9]{20,}|nvapi-[\w-]{12,}|wandb_v1_\w{12,}|"
    r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*)"
)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_WHOLE_KEY = re.compile(
    _PRIVATE_KEY.pattern + r".*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL
)
_OPEN = re.compile(r"\$|\{\{|\{%|<|\*{3}|x{4}", re.IGNORECASE)
_WHOSE = (
    r"(?:(?:hf|hub|hugging_?face(?:_hub)?|access|auth|api|bearer|git|github|gh|gitlab|wandb|neptune|comet|mlflow|clearml|"
    r"kaggle|slack|bot|personal|personal_access|oauth|jwt|secret|login|user|refresh|id|session|service|ngc|nvidia|"
    r"openai|azure|aws|gcp|google|s3|minio|registry|docker|db|database|redis|mongo|mysql|postgres|pg|smtp|ssh|sudo|"
    r"root|admin|client|private|account|storage|encryption|signing|webhook|license|aws_secret|aws_session)_?)*"
)
#: Names of options and variables whose value is a secret: all of it, so that ``pad_token`` is none.
_NAME = re.compile(
    rf"{_WHOSE}(?:token|password|passwd|passphrase|pwd|secret|api_?key|access_?key|secret_?key|private_?key|"
    r"account_?key|encryption_?key|license_?key|secret_access_key|credentials?)"
)
#: What a name may hold whose value is not to be shown.
SENSITIVE = re.compile(
    r"secret|token|passw|passphrase|pass(?![a-z])|pwd|key|credential|auth", re.IGNORECASE
)
#: Longer ones are no names of options, and a regular expression could take its time over them.
_MAX_NAME_LENGTH = 60
_NO_VALUE = re.compile(r"[\d.]*|true|false|yes|no|none|null|on|off|auto|default", re.IGNORECASE)
_PLACE = re.compile(
    r"[./~]|.*\.(json|ya?ml|txt|pem|key|env|toml|cfg|ini)$|file:|[a-z0-9]+://", re.IGNORECASE
)
_NAMED = re.compile(r"-{0,2}([A-Za-z][\w.-]*)=(.+)", re.DOTALL)
_LOGIN = re.compile(r"[^\s:$]+:[^\s$]*[^\s$\d][^\s$]*")
#: Of curl, which takes USER:PASSWORD as one word.
_LOGIN_OPTIONS = ("-u", "--user", "--proxy-user")
_CURL_LOGIN = re.compile(
    r"(?<![\w-])(?:-u|--user|--proxy-user)[\s=]+[\\\"']*[^\s:\"'$]+:([^\s\"']+)"
)
_HEADER = re.compile(
    r"(?:authorization|x-api-key|private-token)\s*:\s*(?:bearer |basic |token )?\s*(\S+)",
    re.IGNORECASE,
)


def in_address(text: str) -> bool:
    """Whether an address in ``text`` carries a password, or a token as its user or in its query."""
    users = [found for found in _ADDRESS.findall(text) if not _OPEN.search(found)]
    with_password = any(found.partition(":")[2] or _TOKEN.search(found) for found in users)
    return with_password or any(
        not _OPEN.search(found)
        for rest in _REST.findall(text)
        for found in _PARAMETER.findall(rest)
    )


def in_value(text: str) -> bool:
    """Whether ``text`` carries a secret whatever its name: in an address, or by its shape."""
    return in_address(text) or bool(_TOKEN.search(text) or _PRIVATE_KEY.search(text))


def in_words(words: Sequence[str]) -> Iterator[str]:
    """Yield the option, or else the place, of each word of a command that gives away a secret."""
    is_curl = "curl" in words
    for index, (word, after) in enumerate(pairwise([*words, ""])):
        named = _NAMED.fullmatch(word)
        option = f"{word[: named.start(2) - 1]}=" if named else word
        if named and is_secret(named[1], named[2]):
            yield option
        elif word.startswith("--") and "=" not in word and is_secret(word, after):
            yield word
        elif _is_header(word):
            yield "a header"
        elif is_curl and word in _LOGIN_OPTIONS and _LOGIN.fullmatch(after):
            yield word
        elif inner := _inner(word):
            yield from inner
        elif in_value(word):
            yield option if named else f"word {index + 1}"


def _inner(word: str) -> list[str]:
    """Look into a word that is a command line itself, as in ``sh -c '…'``."""
    try:
        words = shlex.split(word) if " " in word else []
    except ValueError:
        return []
    return list(in_words(words)) if len(words) > 1 else []


def by_shape(text: str) -> Iterator[tuple[int, int]]:
    """Yield where secrets stand that show by themselves: tokens, keys, headers, queries, logins."""
    yield from (found.span() for found in _TOKEN.finditer(text))
    yield from (found.span() for found in _WHOLE_KEY.finditer(text))
    patterns = (_HEADER, _PARAMETER) if "curl" not in text else (_HEADER, _PARAMETER, _CURL_LOGIN)
    yield from (found.span(1) for pattern in patterns for found in pattern.finditer(text))


def masked(text: str) -> str:
    """Return a text for logs: as it is, or the reason why it is not shown."""
    try:
        places = list(in_words(shlex.split(text)))
    except ValueError:
        # A text with a broken quote may hold a secret all the same.
        places = ["it cannot be split into words"] if in_value(text) else []
    return f"*** (not shown, because of {', '.join(places)})" if places else text


def has_secret_name(name: str) -> bool:
    """Whether the value of an option or variable that is called ``name`` is a secret."""
    plain = name.lstrip("-").replace("-", "_").lower()
    # hydra's "wandb.api_key", and "trainer.hub_token": the last part decides.
    names = (plain.replace(".", "_"), plain.rpartition(".")[2])
    return len(plain) <= _MAX_NAME_LENGTH and any(map(_NAME.fullmatch, names))


def is_secret(name: str, value: str) -> bool:
    """Whether ``value`` is one, as its option or variable is called ``name``."""
    return has_secret_name(name) and not (
        value.startswith("-")
        or _OPEN.search(value)
        or _NO_VALUE.fullmatch(value)
        or _PLACE.match(value)
    )


def _is_header(word: str) -> bool:
    return bool(_HEADER.search(word)) and not _OPEN.search(word)


def digest(text: str, salt: str) -> str:
    """
    Return what stands for a text where others may read it.

    :param salt: makes digests of the same text differ between workloads.
    """
    content = f"{salt}\n{text}".encode(errors="surrogatepass")
    return f"sha256:{hashlib.sha256(content).hexdigest()[:16]}"
