"""
A history as plain data: what the task is, how the platform behaves, what people do, what goes wrong, and where.

It can be printed, compared, and shrunk: leaving out an entry leaves a history that can be played.
Moments are not absolute. An act follows a :class:`Cue` ("3 s after the task became deferred for the
first time"), a trouble befalls a step of a process ("the second process dies at its fourth step"),
because there the dangerous seconds are.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """How the DAG author wrote the task."""

    retries: int = 0
    retry_delay: float = 60.0
    deferrable: bool = True
    on_kill: str = "stop"
    on_clear: str = "restart"
    when_suspended: str = "wait"
    backoff_limit: int | None = None
    timeouts: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Platform:
    """
    How the control plane behaves while nothing goes wrong.

    :param list_lag: seconds by which its lists are late.
    :param read_lag: seconds for which a new workload answers 404.
    :param grace: seconds that pods take to go down.
    :param history: ``full``, ``newest`` (one record only), ``none`` (404) or ``forbidden`` (403).
    :param early_goodbye: it says "deleted" while the pods still go down.
    :param tells_variables: its lists hold the variables of workloads.
    :param tells_when: its readings say since when the phase holds.
    :param clock_off: seconds by which its own clock is wrong.
    """

    list_lag: float = 0.0
    read_lag: float = 0.0
    grace: float = 5.0
    history: str = "full"
    early_goodbye: bool = False
    tells_variables: bool = True
    tells_when: bool = True
    clock_off: float = 0.0


@dataclass(frozen=True)
class Cluster:
    """
    A Kubernetes cluster, which takes the place of the control plane.

    :param is_mute: KAI loses the events of its evictions.
    :param names_evictions: KAI sets a condition on the pods that it evicts.
    :param forbidden: (verb, plural) that nobody of ours may, as one word each.
    """

    is_mute: bool = False
    names_evictions: bool = False
    forbidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Life:
    """
    What becomes of a workload if nobody interferes.

    :param stretches: (seconds queued, seconds running), one for each incarnation; all but the last
        are preempted.
    :param odd_phase: a phase that nobody knows, in the middle of its first run.
    :param words: what the platform says to a preemption, and the container at its end.
    :param leaves_with_0: told to leave for the first time, it ends with exit code 0.
    :param crashes: so often its last run ends with a failure of its own; on a cluster only, where
        it begins anew then.
    """

    stretches: tuple[tuple[float, float], ...] = ((5.0, 300.0),)
    end: str = "Completed"
    odd_phase: str = ""
    words: str = "Preempted: another project wants its share"
    leaves_with_0: bool = False
    crashes: int = 0


@dataclass(frozen=True)
class Cue:
    """``seconds`` after ``event`` has happened for the ``nth`` time."""

    event: str = "begin"
    nth: int = 1
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s after {self.event!r} ({self.nth})"


@dataclass(frozen=True)
class Act:
    """
    Somebody or something acts.

    :param seconds: how long it lasts, or how much it is, where that has a meaning.
    """

    cue: Cue
    what: str
    seconds: float = 0.0
    detail: str = ""


@dataclass(frozen=True)
class Trouble:
    """Something goes wrong with the ``step``-th step of the ``process``-th process."""

    process: int
    step: int
    kind: str


@dataclass(frozen=True)
class Machinery:
    """Airflow's pace: seconds from one thing to the next, and by how much clocks are wrong."""

    worker_skew: float = 0.0
    triggerer_skew: float = 0.0
    slot_wait: float = 1.0
    pick_up: float = 1.0
    kill_delay: float = 2.0
    death_noticed: float = 10.0
    heartbeat: float = 2.0


@dataclass(frozen=True)
class History:
    """
    All that happens, but for what our code does.

    :param neighbours: how many other tasks of the run wait beside it; the first is a sensor.
    :param cluster: played on Kubernetes; ``None`` for Run:ai.
    """

    task: Task = Task()
    platform: Platform = Platform()
    machinery: Machinery = Machinery()
    lives: tuple[Life, ...] = (Life(),)
    acts: tuple[Act, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    neighbours: int = 0
    cluster: Cluster | None = None
    chance: int = 0
