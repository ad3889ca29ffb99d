"""Labels and annotations: which are ours, and what may be one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping

from airflow_runai.core.texts import cut

PREFIX = "airflow-runai/"
#: Selects everything that this provider has made.
MANAGED_BY = {"app.kubernetes.io/managed-by": "airflow-runai"}
IDENTITY_LABEL, GENERATION_LABEL = f"{PREFIX}identity", f"{PREFIX}generation"
SPECIFICATION_ANNOTATION = f"{PREFIX}specification"
FINGERPRINT_ANNOTATION = f"{PREFIX}fingerprint"
#: Failures that the author allows; what the object itself allows is more.
BUDGET_ANNOTATION = f"{PREFIX}backoff-limit"

#: Of one label value, and of the name in a key.
MAX_LENGTH = 63
#: Bytes of all annotations of an object; the rest is for ours and the schedulers'.
MAX_ANNOTATIONS = 128 * 1024
_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
SUBDOMAIN = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
)
#: Kubernetes, JobSet and this provider write these; the last three are old names of the first.
_RESERVED = (PREFIX, "batch.kubernetes.io/", "jobset.sigs.k8s.io/", "app.kubernetes.io/managed-by")
_OLD_NAMES = ("job-name", "controller-uid")


def origin_labels(
    dag_id: str, task_id: str, run_id: str, try_number: int, map_index: int = -1
) -> dict[str, str]:
    """
    Return the labels that say which try of which task made an object.

    They are for people: :func:`label_value` may shorten a value. The exact ones are variables of
    the container. Their names differ from those of other operators on purpose: whatever cleans up
    after these must not find ours.

    :param map_index: -1 for a task that is not mapped.
    """
    texts = {"dag": dag_id, "task": task_id, "run": run_id, "try": str(try_number)}
    if map_index >= 0:
        texts["map-index"] = str(map_index)
    return {f"{PREFIX}{name}": label_value(text) for name, text in texts.items()}


def label_value(text: str) -> str:
    """Return a text as a label's value: itself, or what is readable of it with a digest."""
    if is_label_value(text):
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[: MAX_LENGTH - 9].strip("-_.")
    return f"{plain}-{digest}" if plain else digest


def is_label_value(text: str) -> bool:
    """Tell whether a label may have this value."""
    return _VALUE.fullmatch(text) is not None


def label_problems(labels: Mapping[str, str], ours: Mapping[str, str]) -> Iterator[str]:
    """
    Yield what is wrong with an author's labels.

    :param ours: labels that the manifest has anyway.
    """
    yield from _key_problems(labels, ours)
    for key, value in labels.items():
        if not is_label_value(value):
            yield (
                f".{key}: {cut(repr(value), 80)}; allowed: at most {MAX_LENGTH} letters, digits, "
                "'-', '_' and '.', letters or digits at both ends; longer texts fit in annotations"
            )


def annotation_problems(annotations: Mapping[str, str], ours: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with an author's annotations; see :func:`label_problems`."""
    yield from _key_problems(annotations, ours)
    size = sum(len(part.encode()) for pair in annotations.items() for part in pair)
    if size > MAX_ANNOTATIONS:
        yield f": {size} bytes in all; allowed: {MAX_ANNOTATIONS}; put it into a config map"


def _key_problems(named: Mapping[str, str], ours: Mapping[str, str]) -> Iterator[str]:
    for key in named:
        if key.startswith(_RESERVED) or key in _OLD_NAMES or key in ours:
            yield f".{key}: written by the provider or by Kubernetes; take another name"
        elif not is_label_key(key):
            yield (
                f".{cut(key, 80)}: no name of a label or annotation; allowed: at most "
                f"{MAX_LENGTH} letters, digits, '-', '_' and '.', with or without a domain and '/'"
            )


def is_label_key(key: str) -> bool:
    """Tell whether a label, an annotation or a taint may have this name."""
    domain, slash, name = key.rpartition("/")
    return bool(_NAME.fullmatch(name)) and (not slash or bool(SUBDOMAIN.fullmatch(domain)))
