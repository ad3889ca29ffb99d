"""
Creating, changing and deleting objects, so that none is made twice and no stranger is hit.

A create is sent once and never repeated blindly: an answer may be lost. A change and a deletion
name the uid that they are meant for, so repeating them is harmless.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from airflow_runai.backends.kubernetes.api.objects import meta, slim
from airflow_runai.backends.kubernetes.api.refusals import confirmed
from airflow_runai.backends.kubernetes.api.status import accept
from airflow_runai.backends.throttle import ENDED
from airflow_runai.core.flow import Flow, Reply, Request
from airflow_runai.core.texts import cut
from airflow_runai.errors import Conflict, NotFound, Unreadable

#: Who we are, in ``managedFields``.
MANAGER = "airflow-runai"
_MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
#: So often an object is read again because somebody else has changed it.
_TRIES = 8
_WARNING = re.compile(r'\b299 \S+ "((?:[^"\\]|\\.)*)"')

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Created:
    """
    What was created, or would have been.

    :param warnings: what the server thinks of it, such as a name that makes a bad host name.
    """

    object: Object
    warnings: tuple[str, ...] = ()


def create(collection: str, manifest: Object, *, dry_run: bool = False) -> Flow[Created]:
    """
    Create an object once; a field that the cluster does not know is an error.

    Not by apply: that would hide that the name is taken, on which adoption lives.

    :param dry_run: ask the cluster's admission, and store nothing.
    :raises AlreadyExists: if its name is taken; look whose it is.
    :raises Unreachable: the answer is lost; the object may exist, so look for it.
    :raises QuotaExceeded: see there; nothing was created.
    """
    return confirmed(lambda: _create(collection, manifest, dry_run))


def _create(collection: str, manifest: Object, dry_run: bool) -> Flow[Created]:
    rehearsal = [("dryRun", "All")] if dry_run else []
    params = [("fieldManager", MANAGER), ("fieldValidation", "Strict"), *rehearsal]
    request = Request("POST", collection, params, json=manifest, rank=ENDED)
    reply = yield request
    return Created(_object(request, reply), _warnings(reply))


def read(path: str, uid: str | None = None, rank: int = ENDED) -> Flow[Object]:
    """
    Return an object.

    :param uid: of the one that is meant.
    :raises NotFound: if it does not exist, or if its name belongs to another one now.
    """
    request = Request("GET", path, rank=rank)
    found = _object(request, (yield request))
    if uid is not None and meta(found, "uid") != uid:
        raise NotFound(f"GET {path}: another object has this name now", 404)
    return found


def change(path: str, uid: str, decide: Callable[[Object], Object | None]) -> Flow[Object]:
    """
    Read an object, decide how to change it, and change it if nobody else has meanwhile; or again.

    :param decide: returns a merge patch for the object as it is now; ``None`` to leave it so.
    :return: the object as it is then.
    :raises NotFound: if the object with this uid does not exist.
    :raises Conflict: if others change it all the time.
    """
    for attempt in range(_TRIES):
        found = yield from confirmed(partial(read, path, uid))
        patch = decide(found)
        if patch is None:
            return found
        try:
            return (yield from confirmed(partial(_patch, path, found, patch)))
        except Conflict:
            if attempt + 1 == _TRIES:
                raise
    raise AssertionError("the last attempt returns or raises")  # pragma: no cover


def _patch(path: str, found: Object, patch: Object) -> Flow[Object]:
    version = {"resourceVersion": meta(found, "resourceVersion")}
    body = {**patch, "metadata": {**patch.get("metadata", {}), **version}}
    params = [("fieldManager", MANAGER), ("fieldValidation", "Strict")]
    request = Request("PATCH", path, params, json=body, headers=_MERGE_PATCH, rank=ENDED)
    return _object(request, (yield request))


def delete(path: str, uid: str) -> Flow[bool]:
    """
    Delete an object and all that it owns; it goes last, so its end says that nothing writes.

    :return: whether there was one with this uid. It is being deleted then, not yet gone.
    """
    return confirmed(lambda: _delete(path, uid))


def _delete(path: str, uid: str) -> Flow[bool]:
    # Without a policy the server would let go of a Job's pods, and they would run on alone.
    options = {"propagationPolicy": "Foreground", "preconditions": {"uid": uid}}
    request = Request("DELETE", path, json=options, rank=ENDED)
    try:
        accept(request, (yield request))
    except NotFound:
        return False
    except Conflict as error:
        if "UID in the precondition" not in error.detail:
            raise
        return False
    return True


def _object(request: Request, reply: Reply) -> Object:
    found = accept(request, reply)
    if not isinstance(found, dict) or not meta(found, "uid"):
        raise Unreadable(f"{request.method} {request.path}: answered with no object")
    return slim(found)


def _warnings(reply: Reply) -> tuple[str, ...]:
    said = _WARNING.findall(reply.headers.get("warning", "")[:4096])
    return tuple(cut(text.replace('\\"', '"')) for text in said)
