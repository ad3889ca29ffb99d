"""
The ``storage`` part of a specification: what is mounted where.

One small class per kind of data source.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_runai.core.fields import Parts, wire, write
from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.values import absolute_path, flag, one_of, quantity, text


@dataclass(frozen=True)
class Pvc:
    """A persistent volume claim."""

    claim: str | None = wire("claimName", text, "name of the claim")
    path: str | None = wire("path", absolute_path, "where it appears in the container")
    existing: bool | None = wire(
        "existingPvc", flag, "default true, without size and class; false lets Run:ai create it"
    )
    read_only: bool | None = wire("readOnly", flag, "mount read-only")
    ephemeral: bool | None = wire(
        "ephemeral", flag, "removed with the workload: no place for checkpoints"
    )
    size: str | None = wire("size", quantity, "of a new claim, e.g. 100G")
    storage_class: str | None = wire("storageClass", text, "of a new claim")
    access_mode: str | None = wire(
        "accessModes",
        one_of("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"),
        "of a new claim; default ReadWriteMany",
    )

    def to_wire(self) -> JsonObject:
        """Return the wire form; size, class and access mode of a new claim are nested there."""
        written = write(self)
        new = {
            key: written.pop(key)
            for key in ("size", "storageClass", "accessModes")
            if key in written
        }
        if new:
            mode = new.get("accessModes", "ReadWriteMany")
            # The server has a switch for each mode: readWriteOnce: true.
            written["claimInfo"] = {**new, "accessModes": {mode[0].lower() + mode[1:]: True}}
        # What the author says beats what the other keys suggest.
        return {"existingPvc": not new, **written}


@dataclass(frozen=True)
class Nfs:
    """An NFS export."""

    path: str | None = wire("path", absolute_path, "exported path on the server")
    mount_path: str | None = wire("mountPath", absolute_path, "where it appears in the container")
    server: str | None = wire("server", text, "NFS server")
    read_only: bool | None = wire("readOnly", flag, "mount read-only")


@dataclass(frozen=True)
class HostPath:
    """A directory of the node (usually itself a network mount)."""

    path: str | None = wire("path", absolute_path, "path on the node")
    mount_path: str | None = wire("mountPath", absolute_path, "where it appears in the container")
    read_only: bool | None = wire(
        "readOnly", flag, "always set it: descriptions of the default contradict each other"
    )
    mount_propagation: str | None = wire(
        "mountPropagation", one_of("None", "HostToContainer"), "as in Kubernetes"
    )


@dataclass(frozen=True)
class Git:
    """A repository, cloned at start."""

    repository: str | None = wire("repository", text, "URL")
    path: str | None = wire("path", absolute_path, "where it appears in the container")
    branch: str | None = wire("branch", text, "branch")
    revision: str | None = wire("revision", text, "commit or tag")
    secret: str | None = wire("secretRef", text, "name of the credential")


@dataclass(frozen=True)
class S3:
    """A bucket."""

    bucket: str | None = wire("bucket", text, "name of the bucket")
    path: str | None = wire("path", absolute_path, "where it appears in the container")
    url: str | None = wire("url", text, "endpoint")
    secret: str | None = wire("accessKeySecret", text, "name of the credential")


@dataclass(frozen=True)
class ConfigMap:
    """A config map as files."""

    name: str | None = wire("configMap", text, "name of the config map")
    mount_path: str | None = wire("mountPath", absolute_path, "where it appears in the container")
    sub_path: str | None = wire("subPath", text, "one entry only")


@dataclass(frozen=True)
class Secret:
    """A secret as files."""

    name: str | None = wire("secret", text, "name of the secret")
    mount_path: str | None = wire("mountPath", absolute_path, "where it appears in the container")


@dataclass(frozen=True)
class DataVolume:
    """A Run:ai data volume."""

    id: str | None = wire("id", text, "id of the data volume")
    mount_path: str | None = wire("mountPath", absolute_path, "where it appears in the container")


@dataclass(frozen=True)
class EmptyDir:
    """Scratch space of the node, empty after every interruption."""

    path: str | None = wire("path", absolute_path, "where it appears in the container")
    medium: str | None = wire("medium", text, "'Memory' for RAM")
    size_limit: str | None = wire("sizeLimit", quantity, "upper bound")


@dataclass(frozen=True)
class Storage:
    """All data sources of a workload."""

    pvc: tuple[Pvc, ...] | None = wire(
        "pvc", Parts(Pvc), "claims", lambda found: [p.to_wire() for p in found]
    )
    nfs: tuple[Nfs, ...] | None = wire("nfs", Parts(Nfs), "NFS exports")
    host_path: tuple[HostPath, ...] | None = wire(
        "hostPath", Parts(HostPath), "directories of the node"
    )
    git: tuple[Git, ...] | None = wire("git", Parts(Git), "repositories")
    s3: tuple[S3, ...] | None = wire("s3", Parts(S3), "buckets")
    config_map: tuple[ConfigMap, ...] | None = wire(
        "configMapVolume", Parts(ConfigMap), "config maps as files"
    )
    secret: tuple[Secret, ...] | None = wire("secretVolume", Parts(Secret), "secrets as files")
    data_volume: tuple[DataVolume, ...] | None = wire(
        "dataVolume", Parts(DataVolume), "Run:ai data volumes"
    )
    empty_dir: tuple[EmptyDir, ...] | None = wire(
        "emptyDirVolume", Parts(EmptyDir), "scratch space (2.22+)"
    )
