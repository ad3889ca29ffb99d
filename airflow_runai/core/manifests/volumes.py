"""The ``storage`` part of a specification as volumes, mounts, claims and init containers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from airflow_runai.core.amounts import spelled
from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.manifests.sparse import sparse
from airflow_runai.core.storage import Git, HostPath, Pvc, Storage

HOME = "/home/training"
SHARED_MEMORY = "/dev/shm"
#: Reads its arguments from variables, so that nothing in them can become another command.
_CLONE = (
    'git clone ${BRANCH:+--branch "$BRANCH"} -- "$REPOSITORY" "$TARGET"; '
    'if [ -n "${REVISION:-}" ]; then git -C "$TARGET" checkout --detach "$REVISION"; fi'
)


@dataclass(frozen=True)
class MountedVolume:
    """
    A volume and its place in the main container.

    :param source: the volume without its name.
    :param mount: the mount without the volume's name.
    :param init_container: fills it before the training starts.
    """

    name: str
    source: JsonObject
    mount: JsonObject
    init_container: JsonObject = field(default_factory=dict)


def mounted_volumes(storage: Storage, base: str, git_image: str | None) -> Iterator[MountedVolume]:
    """
    Yield all data sources.

    :param base: begins the names of new claims that have none.
    """
    for i, pvc in enumerate(storage.pvc or ()):
        mount = sparse(mountPath=pvc.path, readOnly=pvc.read_only)
        yield MountedVolume(f"pvc-{i}", _claim_source(pvc, base, i), mount)
    for i, nfs in enumerate(storage.nfs or ()):
        source = sparse(server=nfs.server, path=nfs.path, readOnly=nfs.read_only)
        mount = sparse(mountPath=nfs.mount_path, readOnly=nfs.read_only)
        yield MountedVolume(f"nfs-{i}", {"nfs": source}, mount)
    for i, host in enumerate(storage.host_path or ()):
        yield MountedVolume(f"host-path-{i}", {"hostPath": {"path": host.path}}, _host_mount(host))
    for i, git in enumerate(storage.git or ()):
        name = f"git-{i}"
        clone = _clone(name, git, git_image)
        yield MountedVolume(name, {"emptyDir": {}}, {"mountPath": git.path}, clone)
    yield from _small_volumes(storage)


def _small_volumes(storage: Storage) -> Iterator[MountedVolume]:
    for i, config in enumerate(storage.config_map or ()):
        mount = sparse(mountPath=config.mount_path, subPath=config.sub_path)
        yield MountedVolume(f"config-map-{i}", {"configMap": {"name": config.name}}, mount)
    for i, secret in enumerate(storage.secret or ()):
        source = {"secret": {"secretName": secret.name}}
        yield MountedVolume(f"secret-{i}", source, {"mountPath": secret.mount_path})
    for i, empty in enumerate(storage.empty_dir or ()):
        limit = spelled(empty.size_limit) if empty.size_limit else None
        source = {"emptyDir": sparse(medium=empty.medium, sizeLimit=limit)}
        yield MountedVolume(f"empty-dir-{i}", source, {"mountPath": empty.path})


def shared_memory() -> MountedVolume:
    """Return a large ``/dev/shm``; the container's memory limit bounds it."""
    return MountedVolume("shm", {"emptyDir": {"medium": "Memory"}}, {"mountPath": SHARED_MEMORY})


def home() -> MountedVolume:
    """Return a temporary home directory."""
    return MountedVolume("home", {"emptyDir": {}}, {"mountPath": HOME})


def new_claims(storage: Storage, base: str) -> Iterator[tuple[str, JsonObject]]:
    """Yield name and ``spec`` of each claim that must exist before the pods do."""
    for i, pvc in enumerate(storage.pvc or ()):
        if is_new(pvc) and not pvc.ephemeral:
            yield _claim_name(pvc, base, i), _claim_spec(pvc)


def is_new(pvc: Pvc) -> bool:
    """Tell whether a claim is to be made: the author says so, or the other keys do."""
    if pvc.existing is not None:
        return not pvc.existing
    return any((pvc.size, pvc.storage_class, pvc.access_mode))


def _claim_name(pvc: Pvc, base: str, index: int) -> str:
    # Without the generation: checkpoints outlive it.
    return pvc.claim or f"{base}-{index}"


def _claim_source(pvc: Pvc, base: str, index: int) -> JsonObject:
    if pvc.ephemeral:
        return {"ephemeral": {"volumeClaimTemplate": {"spec": _claim_spec(pvc)}}}
    name = _claim_name(pvc, base, index)
    return {"persistentVolumeClaim": sparse(claimName=name, readOnly=pvc.read_only)}


def _claim_spec(pvc: Pvc) -> JsonObject:
    return sparse(
        accessModes=[pvc.access_mode or "ReadWriteMany"],
        storageClassName=pvc.storage_class,
        resources={"requests": {"storage": spelled(pvc.size or "")}},
    )


def _host_mount(host: HostPath) -> JsonObject:
    return sparse(
        mountPath=host.mount_path, readOnly=host.read_only, mountPropagation=host.mount_propagation
    )


def _clone(name: str, git: Git, image: str | None) -> JsonObject:
    variables = {
        "REPOSITORY": git.repository,
        "BRANCH": git.branch,
        "REVISION": git.revision,
        "TARGET": git.path,
    }
    return {
        "name": name,
        "image": image,
        "command": ["sh", "-euc", _CLONE],
        "env": [{"name": key, "value": value} for key, value in variables.items() if value],
        "volumeMounts": [{"name": name, "mountPath": git.path}],
    }
