"""
Texts of others before they are shown or used: the one gate from a server to Airflow or a terminal.

A text or a phase is *shown*. Each character that does not print becomes U+FFFD, and its length is
bounded. A name or an id is *used*: it passes unchanged or not at all, because a name that was
altered is the name of something else.

Python decides what prints. Control characters (NUL, ESC) do not, nor do format characters
(bidirectional overrides, zero width), halves of surrogates, private and unassigned characters, and
separators other than the space. PostgreSQL refuses NUL in JSON and Airflow's encoder half a
surrogate; either ends the triggerer, with all waits on it. The others control terminals, or make a
text read as another one.

U+FFFD is Unicode's own sign for what cannot be shown. It is visible, while a space or nothing would
hide that a character was there and join what was apart; and its three bytes in UTF-8 fit into every
database.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_runai.errors import Unreadable

#: Characters of a text. Gateways answer with whole pages.
TEXT_LIMIT = 256
#: Characters of a phase; the longest that is known has 12.
PHASE_LIMIT = 64


def printable(text: str, limit: int) -> str:
    """Return ``text`` with U+FFFD for what does not print, at most ``limit`` characters long."""
    kept = text if len(text) <= limit else text[: limit - 1] + "…"
    if kept.isprintable():
        return kept
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in kept)


def cut(text: str, limit: int = TEXT_LIMIT) -> str:
    """Return ``text`` on one line, printable, at most ``limit`` characters long."""
    return printable(" ".join(text.split()), limit)


def exact(value: object, what: str, limit: int = TEXT_LIMIT) -> str:
    """
    Return a name or an id as it is; numbers count as texts, ``None`` as the empty one.

    :param what: its name in the error.
    :raises Unreadable: if it does not print, is too long, or is not a text.
    """
    text = str(value) if isinstance(value, (str, int)) else ""
    if (text or value in (None, "")) and len(text) <= limit and text.isprintable():
        return text
    raise Unreadable(
        f"{what}: {cut(repr(value), 80)}; allowed: at most {limit} characters, all of which print"
    )


def said(word: str, message: str) -> str:
    """Return ``word: message``, without the word where the message itself begins with it."""
    first_word = message.partition(" ")[0].rstrip(".,:;")
    if first_word.lower() == word.lower():
        return message
    return f"{word}: {message}" if message else word


def plural(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 start``, ``2 starts``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(head: str, entries: Sequence[str]) -> str:
    """Return what is said of one thing on one line, and of several on a line each."""
    return f"{head}: {entries[0]}" if len(entries) == 1 else "\n  - ".join([f"{head}:", *entries])
