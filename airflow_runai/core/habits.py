"""
Words that people bring along from Docker, Kubernetes and other operators, and their places here.

A spelling aid such as :func:`nearest` does not find them: ``env`` is not near ``environment``.
"""

from __future__ import annotations

from collections.abc import Iterable

from airflow_runai.core.values import nearest

_PLACES = {
    "spec.image": "image docker_image container_image image_name",
    "spec.command": "command cmd cmds entrypoint",
    "spec.args": "args arguments",
    "spec.working_dir": "working_dir workdir work_dir cwd",
    "spec.environment": "environment env envs env_vars environment_variables",
    "spec.storage": "storage volume volumes volume_mounts mounts",
    "spec.storage.pvc": "pvc pvcs claim claims",
    "spec.storage.nfs": "nfs",
    "spec.compute.gpu_devices": "gpu_devices gpu gpus num_gpus n_gpus gpu_count gpu_request",
    "spec.compute.gpu_portion": "gpu_portion gpu_fraction",
    "spec.compute.gpu_memory": "gpu_memory gpu_mem",
    "spec.compute.cpu_cores": "cpu_cores cpu cpus cores",
    "spec.compute.cpu_memory": "cpu_memory memory mem ram",
    "spec.node_pools": "node_pools node_pool",
    "spec.labels": "labels",
    "spec.preemptibility": "preemptible preemptibility",
    "spec.termination_grace_period": "termination_grace_period grace grace_period",
    "spec.distributed.workers": "workers num_workers",
    "path": "mount_path mountpath",
    "mount_path": "path",
    "timeouts": "limit limits timeout_seconds clocks",
    "runai_conn_id": "conn_id connection connection_id",
    "workload_name": "name job_name",
}
_PLACE_OF = {word: place for place, words in _PLACES.items() for word in words.split()}


def place_of(word: str, valid: Iterable[str], path: str = "") -> str:
    """
    Say where an unknown argument or key belongs, else which valid name is near.

    :param valid: what is allowed where the word was found.
    :param path: that place: ``spec``, or empty for the arguments of an operator.
    """
    names = sorted(valid)
    place = _PLACE_OF.get(word.lower(), "")
    if place in names or (path and place.startswith("spec.") and place != path):
        return f"did you mean {place!r}?"
    if place.startswith("spec.") and "spec" in names:
        return f"belongs in the specification: {place!r}"
    return nearest(word, names)
