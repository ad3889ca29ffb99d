"""
The API that each cluster serves itself: it has the logs, which the control plane has not.

Its address is the cluster's ``domain``, or ``cluster_url`` of the connection. It takes the control
plane's token. The vendor documents the paths; the names of the query are not public, so they are
those of the flags of the vendor's command line, all in :data:`_QUERY`. A server that ignores one is
survived, because what comes is cut here; one that refuses them is asked once more without those
that only cut.
"""

from __future__ import annotations

from urllib.parse import quote

from airflow_runai.backends.control_plane import get_spec
from airflow_runai.backends.organization import list_clusters, project_of
from airflow_runai.backends.replies import accept
from airflow_runai.backends.settings import Settings
from airflow_runai.core.flow import Flow, Reply, Request
from airflow_runai.core.log_lines import clean_lines
from airflow_runai.core.log_reader import LogQuery, LogText
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotFound, NotResolved, Refused, Unreadable

#: Our name, and the server's.
_QUERY = {
    "pod": "pod",
    "container": "container",
    "previous": "previous",
    "tail": "tail",
    "since": "since",
}
_CUTTING = ("tail", "since")
#: Bytes of a log's end that are kept of one look.
MAX_BYTES = 512 * 1024
#: Types of content that cannot be shown as lines.
_NO_LOGS = {"html": "a page", "zip": "an archive", "x-tar": "an archive"}
#: In place of the end of a line that is longer.
_TOO_LONG = b"(one line of more than %d bytes)" % MAX_BYTES


class Clusters:
    """Where the clusters' own API is; asks the control plane once for each cluster and project."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._addresses: dict[str, str] = {}
        self._projects: dict[str, str] = {}

    def address(self, cluster_id: str) -> Flow[str]:
        """
        Return the address of a cluster's API, without a slash at the end.

        :raises NotResolved: if the control plane names none, or one to which no token may go.
        """
        if cluster_id not in self._addresses:
            url = self.settings.cluster_url or (yield from self._domain(cluster_id))
            self._addresses[cluster_id] = url.rstrip("/").removesuffix("/cluster-api")
        return f"{self._addresses[cluster_id]}/cluster-api"

    def _domain(self, cluster_id: str) -> Flow[str]:
        clusters = yield from list_clusters()
        domain = next((one.domain for one in clusters if one.id == cluster_id), "")
        url = domain if "://" in domain or not domain else f"https://{domain}"
        if not self.settings.may_send_token_to(url):
            raise NotResolved(
                f"cluster {cluster_id!r}: its domain is {domain!r}; needed: an address with "
                "https://; set cluster_url in the connection"
            )
        return url

    def project(self, project_id: str) -> Flow[str]:
        """Return the name of a project."""
        if project_id not in self._projects:
            self._projects[project_id] = (yield from project_of(project_id)).name
        return self._projects[project_id]


def status(clusters: Clusters, cluster_id: str) -> Flow[None]:
    """
    Ask a cluster whether its API is there.

    :raises Unreachable: also for an answer that does not say ``OK``.
    """
    address = yield from clusters.address(cluster_id)
    request = Request("GET", f"{address}/status", decode=_decoded)
    if "OK" not in str(accept(request, (yield request))):
        raise Unreadable(f"GET {request.path}: does not answer OK")


def log_address(clusters: Clusters, workload: Workload) -> Flow[str]:
    """
    Return the address of a workload's log.

    :raises NotResolved: if the control plane does not say where the cluster or the project is.
    """
    try:
        address = yield from clusters.address(workload.cluster_id)
        project = yield from clusters.project(workload.project_id)
    except NotFound as error:
        # Not the 404 of a log, which is gone with its pod.
        raise NotResolved(f"where the log is, the control plane does not say ({error})") from error
    kind = yield from _kind(workload)
    names = f"{quote(project, safe='')}/workloads/{kind}/{quote(workload.name, safe='')}"
    return f"{address}/api/v1/{names}/logs/download"


def _kind(workload: Workload) -> Flow[str]:
    """Return type and framework as the path names them."""
    if workload.path != "distributed":
        return "training/runai"
    framework = (yield from get_spec(workload)).get("distributedFramework") or "PyTorch"
    return f"distributed/{quote(str(framework).lower(), safe='')}"


def download(address: str, query: LogQuery) -> Flow[LogText]:
    """
    Return the end of a log, or all of it.

    :param address: from :func:`log_address`.
    :raises NotFound: if there is no such log, because its pod is gone.
    """
    params = _params(query)
    try:
        text = yield from _download(address, params)
    except Refused as error:
        fewer = [pair for pair in params if pair[0] not in map(_QUERY.get, _CUTTING)]
        if error.status not in (400, 422) or fewer == params:
            raise
        text = yield from _download(address, fewer)
    if query.tail is None:
        return LogText(text.lines, text.is_whole and query.since is None)
    is_whole = text.is_whole and query.since is None and len(text.lines) < query.tail
    return LogText(text.lines[-query.tail :] if query.tail else (), is_whole)


def _params(query: LogQuery) -> list[tuple[str, str]]:
    """Return the query; nothing that is not asked for is in it."""
    asked = {
        "pod": query.pod,
        "container": query.container,
        "previous": "true" if query.previous else None,
        "tail": None if query.tail is None else str(query.tail),
        "since": None if query.since is None else f"{query.since}s",
    }
    return [(_QUERY[name], value) for name, value in asked.items() if value is not None]


def _download(address: str, params: list[tuple[str, str]]) -> Flow[LogText]:
    headers = {"Accept": "text/plain, */*"}
    request = Request("GET", address, params, headers=headers, decode=_read, keep=MAX_BYTES)
    reply: Reply = yield request
    kind = reply.headers.get("content-type", "")
    if reply.status == 200 and (found := next((one for one in _NO_LOGS if one in kind), "")):
        raise Unreadable(
            f"GET {address}: answers with {_NO_LOGS[found]} instead of a log; check the "
            "connection's cluster_url",
            reply.status,
        )
    text: LogText | None = accept(request, reply)
    return text or LogText((), is_whole=True)


def _read(content: bytes | bytearray) -> LogText:
    is_whole = len(content) < MAX_BYTES
    return LogText(tuple(clean_lines(_decoded(content if is_whole else _end(content)))), is_whole)


def _end(content: bytes | bytearray) -> bytes | bytearray:
    """
    Return what follows the middle of a line, in which the content begins.

    That is the next line or, of a progress bar that fills it all, its next state. What is left of a
    line may begin with a part of a secret, so it is not shown.
    """
    after = content.partition(b"\n")[2]
    return after if after.strip() else content.partition(b"\r")[2] or _TOO_LONG


def _decoded(content: bytes | bytearray) -> str:
    return content.decode("utf-8", "replace")
