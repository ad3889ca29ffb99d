"""
The environment and the command line of a container: fields, ConfigMaps, Secrets, and ``$(NAME)`` references.

Not there: ``resourceFieldRef``, and the variables of Services.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping

from tests.rig.api import Object

__all__ = ["CannotStart", "Reader", "decoded", "expanded", "variables"]

#: Reads an object that a pod names: plural kind and name; None if it is not there.
Reader = Callable[[str, str], Object | None]
_REFERENCE = re.compile(r"\$\$|\$\(([^()]*)\)")
_KEYED = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_KINDS = {"configMap": ("configmaps", "ConfigMap"), "secret": ("secrets", "Secret")}


class CannotStart(Exception):
    """
    Why a container waits.

    :param reason: of its waiting state.
    :param message: of its waiting state.
    :param event: reason of the Warning event; None for no event.
    :param words: message of the event, if it is another one.
    """

    def __init__(
        self, reason: str, message: str = "", event: str | None = "Failed", words: str = ""
    ) -> None:
        super().__init__(message)
        self.reason, self.message, self.event, self.words = reason, message, event, words or message


def variables(
    container: Object, pod: Object, own: Mapping[str, str], read: Reader
) -> dict[str, str]:
    """
    Evaluate ``envFrom`` and ``env``, in this order.

    :param own: addresses and names that the pod object does not have yet, by path
        (``status.podIP``).
    :raises CannotStart: if an object or a key is missing, or a field is not supported.
    """
    known: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        known |= _imported(source, read)
    for entry in container.get("env") or []:
        for value in _values(entry, pod, own, read, known):
            known[entry["name"]] = value
    return known


def expanded(text: str, known: Mapping[str, str]) -> str:
    """Replace ``$(NAME)``; an unknown one stays as it is, ``$$`` stands for ``$``."""

    def one(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else known.get(match[1], match[0])

    return _REFERENCE.sub(one, text)


def decoded(kind: str, found: Object) -> dict[str, bytes]:
    """Return the content of a ConfigMap or a Secret."""
    plain = (
        {}
        if kind == "secret"
        else {key: text.encode() for key, text in (found.get("data") or {}).items()}
    )
    coded = found.get("data" if kind == "secret" else "binaryData") or {}
    return plain | {key: base64.b64decode(text) for key, text in coded.items()}


def _imported(source: Object, read: Reader) -> dict[str, str]:
    for kind in _KINDS:
        reference = source.get(f"{kind}Ref")
        if reference and (content := _content(kind, reference, read)) is not None:
            return {
                source.get("prefix", "") + key: value.decode() for key, value in content.items()
            }
    return {}


def _values(
    entry: Object, pod: Object, own: Mapping[str, str], read: Reader, known: Mapping[str, str]
) -> Iterator[str]:
    source = entry.get("valueFrom")
    if source is None:
        yield expanded(entry.get("value", ""), known)
    elif "fieldRef" in source:
        yield _field(source["fieldRef"]["fieldPath"], pod, own)
    else:
        yield from _keyed(source, pod["metadata"]["namespace"], read)


def _keyed(source: Object, namespace: str, read: Reader) -> Iterator[str]:
    for kind, (_, title) in _KINDS.items():
        reference = source.get(f"{kind}KeyRef")
        if not reference:
            continue
        content, key = _content(kind, reference, read), reference["key"]
        if content is not None and key in content:
            yield content[key].decode()
        elif not reference.get("optional"):
            words = f"couldn't find key {key} in {title} {namespace}/{reference['name']}"
            raise CannotStart("CreateContainerConfigError", words)
        return
    raise CannotStart(
        "CreateContainerConfigError", f"the stand-in does not know valueFrom {sorted(source)}"
    )


def _content(kind: str, reference: Object, read: Reader) -> dict[str, bytes] | None:
    found = read(_KINDS[kind][0], reference["name"])
    if found is not None:
        return decoded(kind, found)
    if reference.get("optional"):
        return None
    raise CannotStart(
        "CreateContainerConfigError", f'{kind.lower()} "{reference["name"]}" not found'
    )


def _field(path: str, pod: Object, own: Mapping[str, str]) -> str:
    if match := _KEYED.fullmatch(path):
        return str((pod["metadata"].get(match[1]) or {}).get(match[2], ""))
    if path in own:
        return own[path]
    part, _, name = path.partition(".")
    if part in ("metadata", "spec") and isinstance(value := pod.get(part, {}).get(name, ""), str):
        return value
    raise CannotStart("CreateContainerConfigError", f"the stand-in does not know fieldPath {path}")
