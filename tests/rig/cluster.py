"""
A real Kubernetes control plane as one object: etcd, API server, controllers, schedulers, JobSet and Kueue.

What cannot run here has a stand-in: the kubelet, and KAI. Everything listens on loopback only.
Images are never pulled: a container's command is a process of this machine, so a cluster is as
trustworthy as what you run in it.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from tests.rig import credentials, furnishing, janitor, objects, ports, record, users
from tests.rig.api import Api
from tests.rig.building import Programs, programs
from tests.rig.certificates import Authority
from tests.rig.parts import USES, Part, Site, kai_directory
from tests.rig.processes import NODE, Processes, kill, sweep
from tests.rig.record import Options
from tests.rig.starting import PortTaken, Starter
from tests.rig.waiting import RigError, until

__all__ = ["Cluster", "Options", "RigError"]

#: With watches open the API server needs a minute to end by SIGTERM; with etcd outside of it,
#: SIGKILL does no harm.
IMPATIENCE = 1.5
TRIES = 3


class Cluster:
    """
    One cluster, from :meth:`start` (or ``with``) to :meth:`close`.

    :param folder: where its state lies; None makes a temporary one. It is removed at the end.
    :param built: its programs; None takes what ``make rig`` built.
    :param choose: chooses a port for each use.
    """

    def __init__(
        self,
        options: Options | None = None,
        *,
        folder: Path | None = None,
        built: Programs | None = None,
        choose: Callable[[Sequence[str]], dict[str, int]] = ports.choose,
    ) -> None:
        self.options = options or Options()
        self._wanted_folder, self._built, self._choose = folder, built, choose
        self._janitor: subprocess.Popen[bytes] | None = None
        self._open: dict[str, Api] = {}
        self._site: Site | None = None

    # -- life
    # ---------------------------------------------------------------------------------------------

    def __enter__(self) -> Cluster:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> Cluster:
        """
        Start everything and wait until it works.

        :raises RigError: if a part does not; then nothing is left.
        """
        for left in reversed(range(TRIES)):
            try:
                with self._or_nothing():
                    self._start()
                return self
            except PortTaken:
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """End every process of the cluster, KAI by SIGTERM and all others at once, and remove its folder."""
        for api in self._open.values():
            api.close()
        self._open.clear()
        if self._site is not None:
            # A folder of one's own may have more to end than processes.
            self.processes.stop("kai", IMPATIENCE)
            sweep(self.folder)
            self.processes.forget()
            self._site = None
        self.detach()

    def detach(self) -> None:
        """Let the cluster outlive this process; :meth:`attach` finds it again."""
        if self._janitor is not None:
            self._janitor.kill()
            self._janitor.wait()
            self._janitor = None

    @classmethod
    def attach(cls, folder: Path) -> Cluster:
        """
        Take hold of a cluster that another process started and detached.

        :raises RigError: if there is none.
        """
        options, site = record.read(folder.resolve())
        cluster = cls(options, folder=site.folder)
        cluster._settle(site)
        return cluster

    @property
    def site(self) -> Site:
        """Its folder, programs and ports."""
        if self._site is None:
            raise RigError("the cluster is not started: use `with Cluster() as cluster`")
        return self._site

    @property
    def folder(self) -> Path:
        """Where its state lies: ``logs/``, ``kubeconfigs/``, ``nodes/``, …"""
        return self.site.folder

    # -- who talks to it
    # ----------------------------------------------------------------------------------

    @property
    def api(self) -> Api:
        """The API as administrator."""
        return self.user("admin")

    def user(self, name: str) -> Api:
        """Return the API as one of :data:`users.USERS`."""
        if name not in self._open:
            self._open[name] = Api.from_kubeconfig(self.kubeconfig(name))
        return self._open[name]

    def kubeconfig(self, user: str = "admin") -> Path:
        """Return a user's kubeconfig."""
        return self.site.kubeconfig(user)

    # -- what is in it
    # ------------------------------------------------------------------------------------

    def add_namespace(self, name: str) -> None:
        """Make a namespace in which the users have their rights, usable at once."""
        objects.add_namespace(self.api, name)
        users.permit(self.api, name)
        jobs = f"/apis/batch/v1/namespaces/{name}/jobs"
        until(lambda: self.user("airflow").get(jobs), f"the rights of airflow in namespace {name}")

    def add_node(self, name: str, gpus: int = 2) -> None:
        """Make a node and start its kubelet; one that was lost comes back."""
        use = f"kubelet-{name}"
        if use not in self.site.ports:
            self.site.ports.update(self._choose([use]))
            record.write(self.options, self.site)
        objects.add_node(self.api, name, self.site.ports[use], gpus)
        self.start_part(use)

    def lose_node(self, name: str) -> None:
        """
        Let a machine die: its kubelet and all that runs on it end at once.

        Its Node object stays.
        """
        self.stop_part(f"kubelet-{name}", grace=0)
        kill(self.folder / "nodes" / name, NODE)

    def remove_node(self, name: str) -> None:
        """Take a node out of the cluster: its kubelet, what runs on it, and its object."""
        self.lose_node(name)
        shutil.rmtree(self.folder / "nodes" / name, ignore_errors=True)
        self.api.remove(f"/api/v1/nodes/{name}")
        del self.site.ports[f"kubelet-{name}"]
        record.write(self.options, self.site)

    def add_queue(
        self,
        name: str,
        quota: float = 1,
        limit: float = -1,
        weight: float = 1,
        parent: str | None = "parent",
    ) -> None:
        """Make or change a queue of KAI; see :func:`objects.add_queue`."""
        objects.add_queue(self.api, name, quota, limit, weight, parent)

    # -- its parts
    # ----------------------------------------------------------------------------------------

    @property
    def parts(self) -> dict[str, Callable[[], Part]]:
        """Name of each part of this cluster to what builds it, in the order of their start."""
        site = self.site
        nodes = [
            use.removeprefix("kubelet-") for use in list(site.ports) if use.startswith("kubelet-")
        ]
        condition = self.options.eviction_condition
        optional = {
            "kai": lambda: site.kai(condition),
            "jobset": site.jobset,
            "kueue": site.kueue,
        }
        return {
            "etcd": site.etcd,
            "kube-apiserver": site.kube_apiserver,
            "kube-controller-manager": site.kube_controller_manager,
            "kube-scheduler": site.kube_scheduler,
            **{f"kubelet-{node}": _kubelet(site, node) for node in nodes},
            **{name: optional[name] for name in self.options.extensions},
        }

    def start_part(self, name: str) -> None:
        """
        Start a part that does not run.

        :raises RigError: if it ends or falls silent, with its last words.
        """
        self.starter.start(self._known(name)())

    def stop_part(self, name: str, grace: float = IMPATIENCE) -> None:
        """End a part: SIGTERM, and SIGKILL after the grace in seconds; 0 kills at once."""
        self._known(name)
        self.processes.stop(name, grace)

    def restart(self, name: str) -> None:
        """End a part and start it again, with the same ports and state."""
        self.stop_part(name)
        self.start_part(name)

    def set_eviction_condition(self, on: bool) -> None:
        """Restart KAI with or without the condition on the pods that it evicts."""
        self.options = replace(self.options, eviction_condition=on)
        record.write(self.options, self.site)
        self.restart("kai")

    def _known(self, name: str) -> Callable[[], Part]:
        if name not in self.parts:
            raise RigError(f"{name!r} is no part of this cluster; it has {', '.join(self.parts)}")
        return self.parts[name]

    # -- start
    # --------------------------------------------------------------------------------------------

    @contextmanager
    def _or_nothing(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        kai_home = kai_directory()
        built = self._built or _built()
        folder = (self._wanted_folder or Path(tempfile.mkdtemp(prefix="runai-rig-"))).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        self._settle(Site(folder, built, kai_home, self._choose([*USES, "kubelet-node-0"])))
        self._janitor = janitor.station(folder)
        record.write(self.options, self.site)
        webhooks = credentials.write(self.site)
        self.start_part("etcd")
        self.start_part("kube-apiserver")
        self._fill(webhooks)

    def _begin(self, name: str) -> Callable[[], None]:
        return self.starter.begin(self.parts[name]())

    def _settle(self, site: Site) -> None:
        self._site = site
        self.processes = Processes(site.folder)
        self.starter = Starter(self.processes)

    def _fill(self, webhooks: Authority) -> None:
        families = self.options.extensions
        kinds = furnishing.apply_kinds(self.api, self.site, families, webhooks)
        objects.prepare(self.api)
        users.permit_in_cluster(self.api)
        objects.add_node(self.api, "node-0", self.site.ports["kubelet-node-0"], self.options.gpus)
        begun = [self._begin(name) for name in ("kube-scheduler", "kubelet-node-0")]
        furnishing.await_kinds(self.api, kinds)
        # The garbage collector and the quotas look for new kinds at their start, and then every 30
        # s only.
        begun += [self._begin(name) for name in ("kube-controller-manager", *families)]
        for team in furnishing.TEAMS:
            self.add_namespace(team)
        if "kai" in families:
            furnishing.make_kai_queues(self.api)
        for wait in begun:
            wait()
        furnishing.open_webhooks(self.api, self.site, families, webhooks.pem)
        if "kueue" in families:
            furnishing.make_kueue_queues(self.api)


def _kubelet(site: Site, node: str) -> Callable[[], Part]:
    return lambda: site.kubelet(node)


def _built() -> Programs:
    found = programs()
    if found is None:
        raise RigError(
            "the rig is not built: run `make rig` (needs Go; 15 minutes and 6.5 GB, once)"
        )
    return found
