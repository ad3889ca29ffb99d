"""
The Airflow connection of type ``kubernetes``, which KubernetesPodOperator uses, too.

The stock provider reads it, so whatever authentication works there works here: in a cluster, by a
kubeconfig's path or text, tokens, certificates, plug-ins. Its hook takes 0.7 s and 77 MB to import
and would read everything anew for each call, so it is asked once for what it has found out, and the
calls go their own way. Nothing of it is imported before that.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

from airflow.sdk.log import mask_secret

from airflow_runai.backends import plugin_loop
from airflow_runai.backends.access import ClusterAccess, read_certificates
from airflow_runai.backends.kubeconfig import problems
from airflow_runai.core.mask import clean
from airflow_runai.core.values import flag
from airflow_runai.errors import ConnectionSettingsError, InvalidArgument

CONN_TYPE = "kubernetes"
#: Seconds for a plug-in; one that asks somebody something would wait for ever.
PLUGIN_TIMEOUT = 60.0

#: Fields that say where the cluster and the credentials are; without any, the environment does.
_WAYS = ("in_cluster", "kube_config_path", "kube_config")

Extras = Mapping[str, Any]


def field(extras: Extras, name: str) -> Any:
    """Return a field of the connection's extra, also under the name that old forms gave it."""
    return extras.get(name) or extras.get(f"extra__kubernetes__{name}") or None


def access(conn_id: str, extras: Extras, timeout: float = PLUGIN_TIMEOUT) -> ClusterAccess:
    """
    Find out how to reach the cluster; blocks, and must not be called on an event loop.

    :param extras: the connection's extra.
    :param timeout: seconds for a plug-in of the kubeconfig.
    :raises ConnectionSettingsError: naming what is wrong with the connection, and no secret.
    """
    try:
        _check(extras)
        with _library_silent():
            found = plugin_loop.run(_configured(extras), timeout)
        return _of(*found, extras)
    except ConnectionSettingsError as error:
        raise ConnectionSettingsError(f"connection {conn_id!r}: {error}") from None
    # The libraries raise whatever they come across, down to AssertionError.
    except Exception as error:
        words = _explained(error, timeout)
        raise ConnectionSettingsError(f"connection {conn_id!r}: {words}") from error


def obtaining(conn_id: str, extras: Extras) -> Callable[[], ClusterAccess]:
    """Return what obtains access anew."""
    return lambda: access(conn_id, extras)


def access_on_loop(conn_id: str, extras: Extras) -> Coroutine[Any, Any, ClusterAccess]:
    """Find out how to reach the cluster, in a thread: others on the event loop go on."""
    return asyncio.to_thread(access, conn_id, extras)


def _check(extras: Extras) -> None:
    """Raise for what can be told before anything heavy is imported."""
    ways = [name for name in _WAYS if _is_set(extras, name)]
    if len(ways) > 1:
        raise ConnectionSettingsError(f"{', '.join(ways)}: allowed: one of them; clear the others")
    if ways == ["in_cluster"]:
        return
    place = ways[0] if ways else "KUBECONFIG"
    found = [f"{place}: {words}" for words in _kubeconfig_problems(extras, place)]
    if found:
        raise ConnectionSettingsError(str(InvalidArgument(found)))


def _is_set(extras: Extras, name: str) -> bool:
    return is_on(extras, name) if name == "in_cluster" else field(extras, name) is not None


def is_on(extras: Extras, name: str) -> bool:
    """Whether a field says yes; raises ``ConnectionSettingsError`` if it says neither."""
    try:
        return flag(str(field(extras, name) or False))
    except ValueError as error:
        raise ConnectionSettingsError(f"{name}: {error}") from None


def _kubeconfig_problems(extras: Extras, place: str) -> list[str]:
    import yaml  # a DAG that is parsed reads no kubeconfig

    config = field(extras, "kube_config") if place == "kube_config" else _file(extras)
    if isinstance(config, Path):
        if not config.is_file():
            remedy = "set kube_config_path, kube_config or in_cluster in the connection"
            return [f"{str(config)!r} is no file on this machine; {remedy}"]
        config = config.read_text(encoding="utf-8", errors="replace")
    if isinstance(config, str):
        try:
            config = yaml.safe_load(config)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f" in line {mark.line + 1}" if mark else ""
            return [f"is not YAML{line}; allowed: a kubeconfig in YAML or JSON"]
    return list(problems(config, field(extras, "cluster_context")))


def _file(extras: Extras) -> Path:
    """Return the kubeconfig's file: the connection's, or that of the environment."""
    path = field(extras, "kube_config_path") or os.environ.get("KUBECONFIG", "~/.kube/config")
    return Path(path).expanduser()


def _of(configuration: Any, authorization: str, extras: Extras) -> ClusterAccess:
    pair = (configuration.cert_file, configuration.key_file)
    certificate = pair if all(pair) else None
    return ClusterAccess(
        host=configuration.host,
        authorization=_header(authorization),
        ca=read_certificates(configuration.ssl_ca_cert),
        certificate=certificate,
        fingerprint=_valid_fingerprint(certificate[0]) if certificate else "",
        verify=configuration.verify_ssl and not is_on(extras, "disable_verify_ssl"),
        server_name=configuration.tls_server_name,
        proxy=configuration.proxy,
    )


@contextmanager
def _library_silent() -> Iterator[None]:
    """Keep out of logs what a plug-in wrote, which may be a token; the error says it, masked."""
    library = logging.getLogger("kubernetes_asyncio.config.kube_config")

    def drop(record: logging.LogRecord) -> bool:
        return False

    library.addFilter(drop)
    try:
        yield
    finally:
        library.removeFilter(drop)


async def _configured(extras: Extras) -> tuple[Any, str]:
    """Return what the stock hook has read, and the value of the header."""
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook

    hook = AsyncKubernetesHook(connection_extras=dict(extras))
    async with hook.get_conn() as connection:
        configuration = connection.configuration
        settings = await configuration.auth_settings()
    return configuration, settings.get("BearerToken", {}).get("value") or ""


def _header(value: str) -> str:
    """Return a header without the end of the file that it was read from; hide it in logs."""
    value = value.strip()
    if not (value.isascii() and value.isprintable()):
        raise ConnectionSettingsError(
            "token of the kubeconfig: has characters that no header can carry; check the token or "
            "its file"
        )
    if value:
        mask_secret(value.partition(" ")[2] or value)
    return value


def _valid_fingerprint(file: str) -> str:
    """Return what tells the content of a client certificate apart; raise if it has expired."""
    from cryptography import x509

    content = Path(file).read_bytes()
    end = x509.load_pem_x509_certificate(content).not_valid_after_utc
    if end < datetime.now(timezone.utc):
        raise ConnectionSettingsError(
            f"client certificate of the kubeconfig: has expired on {end:%Y-%m-%d %H:%M} UTC; "
            "issue a new one"
        )
    return sha256(content).hexdigest()


def _explained(error: Exception, timeout: float) -> str:
    if isinstance(error, asyncio.TimeoutError | TimeoutError):
        return (
            f"exec plug-in of the kubeconfig: has not answered within {timeout:g} s; it must work "
            "without a terminal and without questions, on every worker and triggerer"
        )
    words = clean(str(error)) or type(error).__name__
    if words.startswith("exec: "):
        return (
            f"exec plug-in of the kubeconfig: {words.removeprefix('exec: ')}; run it by hand as "
            "Airflow's user, on a worker and a triggerer, without a terminal"
        )
    if isinstance(error, FileNotFoundError | PermissionError) and error.filename:
        return (
            f"kubeconfig: cannot use {clean(str(error.filename))!r} ({error.strerror}); it must be "
            "there on every worker and triggerer, readable or executable by Airflow's user"
        )
    if words.startswith("Service "):
        return (
            f"in_cluster: {words.rstrip('.')}; it works only in a pod with a service account; set "
            "kube_config_path or kube_config elsewhere"
        )
    return f"kubeconfig: {words}"
