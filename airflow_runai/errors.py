"""
Everything that can go wrong, as one tree: ``except RunaiError`` catches all of it.

::

    RunaiError
    ├── InvalidArgument             an argument of a task, a command or a function is wrong
    │   └── SpecError               it would have been submitted; nothing was
    ├── ConnectionSettingsError     the Airflow connection itself is wrong (also a ValueError)
    ├── NotResolved                 a project, cluster or workload name has no or several hits
    ├── Unreachable                 no trustworthy answer: time-out, reset, 5xx, HTML from a gateway
    │   ├── Untrusted               the TLS certificate is not accepted
    │   ├── Throttled               429; ``retry_after`` seconds, if the server said so
    │   ├── Silent                  a stream has brought nothing for too long
    │   ├── KindMissing             the server knows no such kind of object, or not yet again
    │   ├── NotQueued               a queue does not know a training yet, so it cannot hold it back
    │   ├── Missing                 what was submitted is neither found nor listed as deleted
    │   │   └── NameTaken           a name is taken by what cannot be found
    │   └── Unreadable              an answer that is not JSON, or lacks required fields
    ├── Refused                     the control plane understood and said no (``status``)
    │   ├── Unauthorized            401: wrong client id or secret
    │   ├── Forbidden               403: the identity lacks a role or scope
    │   │   └── RightMissing        and that has lasted, so it is no server that has just started
    │   ├── QuotaExceeded           403: no room for another object of this kind now
    │   ├── NotFound                404
    │   ├── Expired                 410: the server no longer knows this version
    │   └── Conflict                409
    │       └── AlreadyExists       the name of what was to be created
    ├── RefusedAgain                the identity is refused on and on: it may have a new secret
    ├── ForeignWorkload             the name is taken by a workload with another specification
    ├── NoRoom                      a project had no room for a workload; nothing was submitted
    ├── WorkloadEnded               a wait ended badly; carries the outcome as a mapping
    ├── NoValidCheckpoint           no checkpoint was accepted
    │   └── CheckpointUnreadable    unreadable now, or still being written: trying again may help
    ├── MetricsError                metrics.json is missing, too large, not JSON or lacks a metric
    ├── GateFailed                  metrics were read and did not pass
    └── PromotionRefused            a champion stays: it has changed, or an older one would follow

Checkpoints, drill and command line add their own below ``RunaiError``. *Unreachable is never
failed*: a wait must survive it. Text that came from a server has passed ``core/texts.py`` before it
gets here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class RunaiError(Exception):
    """Base of every error that this package raises on purpose."""


class InvalidArgument(RunaiError, ValueError):
    """
    One or more arguments are wrong; all mistakes are listed at once.

    :param problems: sentences of the form ``place: value; allowed; what to do``.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(self._message())

    def _message(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        return "\n  - ".join([f"{len(self.problems)} problems:", *self.problems])


class SpecError(InvalidArgument):
    """The same for what would have been submitted: nothing was."""

    def _message(self) -> str:
        count = len(self.problems)
        head = f"{count} problem{'' if count == 1 else 's'}; nothing was submitted:"
        return "\n  - ".join([head, *self.problems])


class ConnectionSettingsError(RunaiError, ValueError):
    """The Airflow connection cannot be used as it is."""


class NotResolved(RunaiError, LookupError):
    """A name matches nothing, or more than one thing."""


class Unreachable(RunaiError):
    """
    No answer that can be trusted. It says nothing about the workload.

    :param status: HTTP status of the answer; 0 if none came.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Untrusted(Unreachable):
    """The server's TLS certificate was not accepted."""


class Throttled(Unreachable):
    """
    The server asked us to slow down (429).

    :param retry_after: seconds, if the server named them.
    """

    def __init__(self, message: str, retry_after: float | None = None, status: int = 429) -> None:
        super().__init__(message, status)
        self.retry_after = retry_after


class StillWriting(Throttled):
    """Pods of an earlier workload may still write what a new one would; they will end."""


class Silent(Unreachable):
    """A stream has brought nothing for longer than it may; the other side may be gone."""


class KindMissing(Unreachable):
    """
    The server knows no such kind of object.

    It says nothing about the object: also a server that has just started answers so.
    """


class NotQueued(Unreachable):
    """A queue does not know a training yet, so there is nothing by which it could be suspended."""


class Missing(Unreachable):
    """
    A workload that was submitted is neither found nor listed as deleted.

    It may still run.
    """


class NameTaken(Missing):
    """A create was refused because of its name, and no workload that is present has it."""


class Unreadable(Unreachable):
    """There was an answer, but not one that this call can have."""

    def __init__(self, message: str, status: int = 200) -> None:
        super().__init__(message, status)


class Refused(RunaiError):
    """
    The control plane understood the call and said no.

    :param status: HTTP status, 400–499.
    :param detail: the server's words, already cut.
    """

    def __init__(self, message: str, status: int = 400, detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail


class Unauthorized(Refused):
    """Client id or client secret are not accepted."""


class Forbidden(Refused):
    """The identity has no role or scope that allows this call."""


class RightMissing(Forbidden):
    """A right is missing for good, that is until somebody grants it."""


class QuotaExceeded(Refused):
    """A quota leaves no room for another object; it may, later."""


class NotFound(Refused):
    """Nothing has this id."""


class Expired(Refused):
    """The server has forgotten the version from which it was to go on."""


class Conflict(Refused):
    """The name or state is taken."""


class AlreadyExists(Conflict):
    """An object of this name exists."""


class RefusedAgain(RunaiError):
    """The platform goes on refusing the identity; the connection may be a new one."""


class ForeignWorkload(RunaiError):
    """A workload of our name exists, but it was made from another specification."""


class NoEffect(RunaiError):
    """The control plane has accepted a call, and nothing came of it."""


class NoRoom(RunaiError):
    """A project had no room for a workload until its timeout; nothing was submitted."""


class WorkloadEnded(RunaiError):
    """
    A wait ended in another way than success.

    :param outcome: the event mapping of :class:`airflow_runai.core.outcome.Outcome`.
    """

    def __init__(self, message: str, outcome: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.outcome = dict(outcome)


class NoValidCheckpoint(RunaiError):
    """No checkpoint could be accepted."""


class CheckpointUnreadable(NoValidCheckpoint):
    """No checkpoint could be accepted, but one could not be read now or is still being written."""


class MetricsError(RunaiError, ValueError):
    """The evaluation's metrics cannot be used."""


class GateFailed(RunaiError):
    """The metrics are readable and do not pass the declared gates."""


class PromotionRefused(RunaiError):
    """The champion stays: it has changed meanwhile, or an older checkpoint would replace it."""
