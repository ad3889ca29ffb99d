"""
The name of a workload, which is its identity.

``<slug>-<hash>-g<generation>``: all tries of one mapped task instance of one DAG run share the
hash, so a submission can be repeated without remembering anything. The slug is for people and may
change from try to try: it identifies nothing. The name is a DNS-1035 label of at most 40
characters.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from airflow_runai.errors import SpecError

MAX_NAME_LENGTH = 40
#: Room for a hyphen, ten hexadecimal digits, "-g" and four digits of generation.
MAX_SLUG_LENGTH = MAX_NAME_LENGTH - 1 - 10 - 2 - 4

_ENDING = re.compile(r"-([0-9a-f]{10})-g[1-9][0-9]{0,3}\Z")
_LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")


@dataclass(frozen=True)
class TaskIdentity:
    """
    Which mapped task instance of which DAG run, in which Airflow.

    :param instance: name of the Airflow installation, so that two of them can share a project.
    :param map_index: -1 for a task that is not mapped.
    """

    instance: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    def digest(self) -> str:
        """Return ten hexadecimal digits that stand for the identity."""
        # Lengths are part of the text, so that no two identities share one.
        parts = (self.instance, self.dag_id, self.run_id, self.task_id, str(self.map_index))
        text = "".join(f"{len(part)}:{part}" for part in parts)
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:10]


def base_name(identity: TaskIdentity, slug: str | None = None) -> str:
    """
    Return the name without its generation.

    :param slug: the readable part; by default made of the task id.
    :raises SpecError: if ``slug`` is given and cannot be part of a DNS label.
    """
    readable = check_slug(slug) if slug is not None else _slug(identity.task_id)
    return f"{readable}-{identity.digest()}"


def check_slug(slug: str) -> str:
    """Return ``slug`` if it can begin a DNS-1035 label, else raise :class:`SpecError`."""
    if not _LABEL.fullmatch(slug) or len(slug) > MAX_SLUG_LENGTH:
        raise SpecError(
            [
                f"workload_name: {slug!r} cannot become a DNS label; allowed: lower-case letters, "
                "digits and hyphens, a letter first, no hyphen last, "
                f"at most {MAX_SLUG_LENGTH} characters"
            ]
        )
    return slug


def _slug(task_id: str) -> str:
    plain = re.sub(r"[^a-z0-9]+", "-", task_id.lower()).strip("-")
    # A DNS-1035 label begins with a letter; a task id need not.
    plain = plain if plain[:1].isalpha() else f"t-{plain}"
    return plain[:MAX_SLUG_LENGTH].strip("-")


def generation_name(base: str, generation: int) -> str:
    """Return the full name; ``generation`` counts from 1."""
    return f"{base}-g{generation}"


def parts_of(name: str) -> tuple[str, int]:
    """Return the parts of a name that :func:`generation_name` made; raises ``ValueError``."""
    match = re.fullmatch(r"(.+)-g([1-9][0-9]{0,3})", name)
    if match is None:
        raise ValueError(f"{name!r} does not end with a generation, such as '-g1'")
    return match[1], int(match[2])


def ending(digest: str) -> str:
    """Return the part that the names of all generations share, whatever their slug."""
    return f"-{digest}-g"


def digest_in(name: str) -> str | None:
    """Return the digest in the name of a workload; ``None`` in names of another form."""
    match = _ENDING.search(name)
    return match.group(1) if match else None


def generation_of(digest: str, name: str) -> int | None:
    """Return the generation in ``name``; ``None`` if it does not belong to ``digest``."""
    match = re.fullmatch(
        # Without re.ASCII, \d also matches the digits of other scripts.
        r"[a-z][a-z0-9-]*" + re.escape(ending(digest)) + r"([1-9]\d{0,3})",
        name,
        re.ASCII,
    )
    return int(match.group(1)) if match else None
