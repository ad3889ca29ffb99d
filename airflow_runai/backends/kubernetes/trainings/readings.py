"""
The reading of a training: what a mirror knows of it, judged, and what is to be asked and written.

Pure: whoever polls and whoever watches feeds a mirror, and takes the same readings from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_runai.core.kubernetes.case import Case
from airflow_runai.core.kubernetes.endings import FAILED, PREEMPTED, REMOVED
from airflow_runai.core.kubernetes.history import TrainingHistory, read_history, write_history
from airflow_runai.core.kubernetes.incarnations import PodIncarnation, incarnations, united
from airflow_runai.core.kubernetes.job_facts import HISTORY
from airflow_runai.core.kubernetes.mirror import Mirror
from airflow_runai.core.kubernetes.moments import moments
from airflow_runai.core.kubernetes.objects import at, number
from airflow_runai.core.kubernetes.phase import PhaseReading, how_it_ended, phase_of
from airflow_runai.core.kubernetes.verdict import TrainingVerdict, lacks_its_end, verdict
from airflow_runai.core.manifests.jobs import HEADROOM
from airflow_runai.core.timeline import Moment
from airflow_runai.core.workload import Workload

#: ``Workload.kind`` of a Job and of a JobSet.
KINDS = {"Job": "Training", "JobSet": "Distributed"}


@dataclass(frozen=True, slots=True)
class TrainingReading:
    """
    One reading of a training.

    :param lives: its incarnations, those that only its history remembers included.
    :param judged: what has become of it, and what should be asked before that is believed.
    :param failures: all that the author's budget has paid.
    :param doubt: why its completion is none.
    """

    case: Case
    history: TrainingHistory
    lives: tuple[PodIncarnation, ...]
    judged: TrainingVerdict
    present: PhaseReading
    failures: int
    doubt: str

    @property
    def last_straw(self) -> PodIncarnation | None:
        """The incarnation with which it should have ended, by its author's will, but goes on."""
        training = self.case.training
        if self.judged.final or training.presence.is_gone:
            return None
        is_spent = 0 <= training.budget < self.failures
        ends = {FAILED: is_spent, PREEMPTED: training.yields}
        return next((one for one in reversed(self.lives) if ends.get(one.ended)), None)

    @property
    def ends_suspended(self) -> bool:
        """Whether its last straw ends it only if it is suspended for good."""
        straw = self.last_straw
        if straw is None:
            return False
        # What a set allows cannot be changed; and whom Kueue evicts has not failed.
        return self.case.is_set or (straw.ended == PREEMPTED and bool(self.case.training.queue))

    @property
    def is_to_be_held(self) -> bool:
        """Whether Kueue would admit it again, although it should have ended."""
        queue = self.case.queue
        is_held = queue is not None and queue.now is not None and not queue.now.is_active
        may_be = bool(self.case.training.queue) and "Workload" not in self.case.unreadable
        return self.ends_suspended and may_be and not is_held

    @property
    def vanished(self) -> bool:
        """Whether an incarnation ended while nobody looked, and it is not known through whom."""
        seen = {pod.uid for pod in self.case.pods}
        return any(one.ended == REMOVED and one.uid not in seen for one in self.lives)

    @property
    def lacks_end(self) -> bool:
        """Whether it is complete, and nobody has seen its last pods end."""
        return lacks_its_end(self.case, self.lives)

    @property
    def moments(self) -> tuple[Moment, ...]:
        """Its timeline, oldest first; empty where its pods cannot be seen."""
        if "Pod" in self.case.unreadable:
            return ()
        return moments(self.case, self.lives, self.present)

    @property
    def is_amended(self) -> bool:
        """Whether the object holds all that :meth:`amendment` would write."""
        training = self.case.training
        text = training.history[1] if training.history else ""
        limit = training.limit[1] if training.limit else None
        is_suspended = training.now is not None and training.now.is_suspended
        return not self._amendment(text, limit, is_suspended) and not self.is_to_be_held

    def amendment(self, found: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """
        Return the merge patch that an object needs; ``None`` if it needs none.

        The history, so that clocks outlive those who watch; and how many failures Kubernetes
        allows, because it counts interruptions as failures, too, where nobody names them.

        :param found: as it is now: another wait may have written meanwhile.
        """
        text = at(found, "metadata", "annotations", HISTORY)
        limit, suspended = number(found, "spec", "backoffLimit"), at(found, "spec", "suspend")
        return self._amendment(text if isinstance(text, str) else "", limit, suspended is True)

    def _amendment(self, text: str, limit: int | None, is_suspended: bool) -> dict[str, Any] | None:
        training = self.case.training
        # A sensor waits for what others have made, too.
        is_ours = bool(training.fingerprint)
        if self.judged.final or training.presence.is_gone or not is_ours:
            return None
        patch: dict[str, Any] = {}
        known = read_history(text)
        noted = known.with_lives(one for one in self.lives if one.start or one.ended)
        # As text: what is too long for the annotation is cut there, and is no news.
        if noted != known and (written := write_history(noted)) != write_history(known):
            patch["metadata"] = {"annotations": {HISTORY: written}}
        if (wanted := self._limit(limit)) != limit:
            patch["spec"] = {"backoffLimit": wanted}
        if self.ends_suspended and not is_suspended:
            # Deleted, it would prove nothing.
            patch["spec"] = {**patch.get("spec", {}), "suspend": True}
        return patch or None

    def _limit(self, limit: int | None) -> int | None:
        """Return how many failures Kubernetes should allow; 0 ends a Job that has failed."""
        training = self.case.training
        if limit is None or training.now is None or training.budget < 0:
            return limit
        if self.last_straw:
            return 0
        left = training.budget - self.failures
        spare = limit - training.now.failed - left
        return limit if spare >= HEADROOM // 2 else training.now.failed + left + HEADROOM

    def workload(self, cluster: str) -> Workload:
        """
        Return the record that all platforms share.

        :param cluster: name of the cluster.
        """
        training, present = self.case.training, self.present
        return Workload(
            id=training.uid,
            name=training.name,
            phase=present.phase,
            project_id=training.namespace,
            cluster_id=cluster,
            kind=KINDS.get(training.kind, ""),
            message=present.message,
            created_at=training.made,
            phase_updated_at=present.since or None,
            deleted=training.presence.is_gone,
            fingerprint=training.fingerprint or None,
            try_number=training.made_by if training.made_by >= 0 else None,
            doubt=self.doubt,
            succeeds=present.succeeds and not self.doubt,
        )


def read_training(
    mirror: Mirror, uid: str, known: Iterable[PodIncarnation] = ()
) -> TrainingReading | None:
    """
    Return what a mirror knows of a training; ``None`` if it was never seen.

    :param known: incarnations of the reading before; when one was first missed is its end.
    """
    case = mirror.case(uid)
    if case is None:
        return None
    written = case.training.history
    history = read_history(written[1] if written else "")
    lives = _not_counted(history, incarnations(case, united(history.lives, known)))
    judged = verdict(case, lives, reached_end=True)
    strict = verdict(case, lives)
    doubt = strict.reason if case.training.success and strict.final == FAILED else ""
    reading = TrainingReading(
        case=case,
        history=history,
        lives=lives,
        judged=judged,
        present=phase_of(case, lives, judged),
        failures=history.failures + judged.failures,
        doubt=doubt,
    )
    return replace(reading, present=_present(reading))


def _not_counted(
    history: TrainingHistory, lives: Iterable[PodIncarnation]
) -> tuple[PodIncarnation, ...]:
    """Leave out the incarnations of which the history keeps numbers: they would count twice."""
    kept = {one.uid for one in history.lives}
    return tuple(one for one in lives if one.made > history.until or one.uid in kept)


def _present(reading: TrainingReading) -> PhaseReading:
    """Return the phase, with the incarnation that ended it."""
    present, last = reading.present, reading.last_straw
    if last:
        rule = "terminate_after_preemption" if last.ended == PREEMPTED else "backoff_limit"
        is_alive = any(not one.ended for one in reading.lives)
        now = reading.case.training.now
        # A Job makes another pod until it is over: a replacement would write beside it.
        is_still = reading.ends_suspended and now is not None and now.is_suspended
        phase = "Failed" if is_still and not is_alive else "Terminating"
        words = f"{how_it_ended(last)}; by its {rule}, this is the end"
        return PhaseReading(phase, words, last.end or present.since)
    ended = [one for one in reading.lives if one.ended in (FAILED, PREEMPTED)]
    if present.phase == "Failed" and ended:
        return present._replace(message=f"{how_it_ended(ended[-1])}; {present.message}")
    return present
