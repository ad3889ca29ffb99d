"""
What a task has read and written, named as OpenLineage names data.

A name is a namespace (where the data lies) and a name in it, so that what one task writes and
another reads is one node of the graph. The version of a checkpoint is its digest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.storage import Git, Storage

#: Where an image comes from that names no registry.
_DEFAULT_REGISTRY = "docker.io"
#: ``host:org/project``, as git reads it.
_SCP_ADDRESS = re.compile(r"(?:[^@/]+@)?(?P<host>[\w.-]+):(?P<path>(?!//).+)")


@dataclass(frozen=True)
class Dataset:
    """
    Something that is read or written.

    :param version: which state of it; ``None`` if nobody knows.
    :param size: in bytes.
    """

    namespace: str
    name: str
    version: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class Lineage:
    """
    What a task has read and written.

    :param workload_id: of the workload that did it, if there was one.
    :param platform: address of the control plane that knows this id.
    """

    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()
    workload_id: str = ""
    platform: str = ""


def stored_at(uri: str, version: str | None = None, size: int | None = None) -> Dataset:
    """Return the name of a file or directory, given as a worker's path or a URI; without a user."""
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme.lower() in ("file", "local"):
        return Dataset("file", rest or uri, version, size)
    place, _, name = rest.partition("/")
    bucket = place.rpartition("@")[2]
    return Dataset(f"{scheme}://{bucket}", name.rstrip("/") or "/", version, size)


def checkpoint_of(result: JsonMapping) -> Dataset:
    """Return the name of a checkpoint, given as the result of its selection or as a champion."""
    digest, size = result.get("digest"), result.get("bytes")
    return stored_at(
        str(result["uri"]), str(digest) if digest else None, size if type(size) is int else None
    )


def champion_of(pointer: Dataset, content: JsonMapping) -> Dataset:
    """Return the name of a champion pointer; its version is the digest of its checkpoint."""
    return Dataset(pointer.namespace, pointer.name, checkpoint_of(content).version)


def image_of(reference: str) -> Dataset:
    """Return the name of a container image; its version is its digest, or else its tag."""
    path, _, digest = reference.partition("@")
    head, slash, rest = path.partition("/")
    # As container tools tell a registry from the first part of a name.
    if slash and (head == "localhost" or "." in head or ":" in head):
        registry, path = head, rest
    else:
        registry = _DEFAULT_REGISTRY
    name, _, tag = path.partition(":")
    return Dataset(f"oci://{registry}", name, digest or tag or None)


def read_by(spec: WorkloadSpec, project: str) -> tuple[Dataset, ...]:
    """
    Return what a workload reads: its images and its data sources.

    Config maps, secrets and scratch space are none. Addresses lose their user and password.

    :param project: in which a claim or a data volume has its name.
    """
    master: Any = (spec.distributed.master if spec.distributed else None) or {}
    images = [spec.image, master.get("image")]
    found = [image_of(name) for name in images if isinstance(name, str)]
    return tuple(dict.fromkeys([*found, *_data_sources(spec.storage or Storage(), project)]))


def _data_sources(storage: Storage, project: str) -> Iterator[Dataset]:
    for claim in storage.pvc or ():
        if claim.claim and not claim.ephemeral:
            yield Dataset(f"pvc://{project}", claim.claim)
    for export in storage.nfs or ():
        yield Dataset(f"nfs://{export.server}", export.path or "/")
    for directory in storage.host_path or ():
        yield Dataset("file", directory.path or "/")
    for volume in storage.data_volume or ():
        yield Dataset(f"data-volume://{project}", volume.id or "")
    for bucket in storage.s3 or ():
        yield Dataset(f"s3://{bucket.bucket}", "/")
    yield from (_repository(one) for one in storage.git or () if one.repository)


def _repository(git: Git) -> Dataset:
    address = git.repository or ""
    if found := _SCP_ADDRESS.fullmatch(address):
        host, path = found["host"], found["path"]
    else:
        parts = urlsplit(address)
        host, path = parts.netloc.rpartition("@")[2], parts.path
    name = path.strip("/").removesuffix(".git")
    return Dataset(f"git://{host}", name, git.revision or git.branch)
