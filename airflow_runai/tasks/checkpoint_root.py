"""Where a training saves, and what it is to reach: what a task knows of it before it looks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.paths import PathMap
from airflow_runai.core.saves import Saved
from airflow_runai.errors import InvalidArgument
from airflow_runai.tasks.locations import location

if TYPE_CHECKING:
    from airflow_runai.checkpoints.choosing.roots import Candidate


@dataclass(frozen=True)
class CheckpointRoot:
    """
    The root of a training's checkpoints.

    :param path: as the container calls it, or a URI.
    :param path_map: container prefixes to worker prefixes.
    :param storage_conn_id: Airflow connection for object storage.
    :param expected_steps: the step at which the training is complete; ``None`` if nobody says.
    """

    path: str
    path_map: PathMap | None = None
    storage_conn_id: str | None = None
    expected_steps: int | None = None

    @classmethod
    def of(cls, task: Any, spec: object) -> CheckpointRoot | None:
        """
        Return what a task says, or else what its environment names; ``None`` if neither does.

        :param task: an operator whose fields are rendered.
        :param spec: the specification that its workload is made from.
        :raises InvalidArgument: if ``expected_steps`` is no step, or would have no use.
        """
        expected = expected_steps(task.expected_steps)
        path = task.checkpoint_root or (None if task.evaluates else _named_in(spec))
        if path is not None:
            return cls(path, task.path_map, task.storage_conn_id, expected)
        needs = ["expected_steps"] if expected is not None else []
        needs += ["timeouts.progress"] if "progress" in (task.timeouts or {}) else []
        if needs:
            raise InvalidArgument(
                [
                    f"{name}: set, but where the checkpoints are is not known; give "
                    "checkpoint_root, or name one absolute path as CHECKPOINTS in the environment"
                    for name in needs
                ]
            )
        return None

    def to_json(self) -> JsonObject:
        """Return the constructor's arguments as plain JSON data."""
        return asdict(self)

    @property
    def key(self) -> tuple[object, ...]:
        """What tells places apart: the same path may be mounted elsewhere for another task."""
        return self.path, tuple(sorted((self.path_map or {}).items())), self.storage_conn_id

    def saves(self) -> tuple[Saved, ...] | None:
        """
        Return the checkpoints with a step in their name, by one listing; no file is opened.

        :return: newest step first; ``None`` if the root is not there yet.
        :raises RunaiError: if this machine cannot see the root.
        """
        listed = self._listed()
        return None if listed is None else _with_steps(listed)

    def published_saves(self) -> tuple[tuple[Saved, ...], frozenset[Saved]] | None:
        """
        Do the same, and tell those without a manifest apart, if some have one.

        :return: checkpoints, and what is none beside them.
        """
        # Imported here: reading checkpoints is not needed to parse a DAG.
        from airflow_runai.checkpoints.choosing.save_times import with_manifests

        listed = self._listed()
        if listed is None:
            return None
        published = _with_steps(with_manifests(listed))
        return published, frozenset(_with_steps(listed)) - set(published)

    def _listed(self) -> tuple[Candidate, ...] | None:
        from airflow_runai.checkpoints.choosing.roots import RootProblem, candidates

        place = location(self.path, self.path_map, self.storage_conn_id)
        try:
            return candidates(place)
        except RootProblem as problem:
            if problem.code == "root-empty":
                return ()
            if problem.code == "root-missing" and _may_come(place):
                return None
            raise

    def save_seconds(self) -> float | None:
        """
        Return how long the longest of the newest saves took; ``None`` if no manifest says.

        :raises RunaiError: if this machine cannot see the root.
        """
        from airflow_runai.checkpoints.choosing.save_times import longest_save

        return longest_save(location(self.path, self.path_map, self.storage_conn_id))


def _with_steps(listed: Iterable[Candidate]) -> tuple[Saved, ...]:
    return tuple(Saved(one.step, one.mtime) for one in listed if one.step is not None)


def _may_come(place: object) -> bool:
    """Whether a training may still make a root: not where a container's path is taken for ours."""
    if not isinstance(place, Path):
        return True
    return place.parent != Path(place.anchor) and place.parent.exists()


def expected_steps(value: object) -> int | None:
    """
    Read a number of steps, which a template may have rendered.

    :raises InvalidArgument: unless it is a whole number greater than 0, or nothing.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    if text in ("", "None"):
        return None
    if isinstance(value, bool) or not text.isdecimal() or not 0 < len(text) < 19 or not int(text):
        raise InvalidArgument(
            [f"expected_steps: {value!r}; allowed: a whole number greater than 0"]
        )
    return int(text)


def _named_in(spec: object) -> str | None:
    """Return the one place that the variables name; ``None`` if they name several, or none."""
    environment = spec.get("environment") if isinstance(spec, Mapping) else None
    if not isinstance(environment, Mapping):
        return None
    found = set(_places(environment))
    return found.pop() if len(found) == 1 else None


def _places(environment: Mapping[str, Any]) -> Iterator[str]:
    # Imported here: the linter is not needed to parse a DAG.
    from airflow_runai.core.lint.checkpoint_paths import of_variables

    for place in of_variables(environment):
        if place.firm and place.path and (place.path.startswith("/") or "://" in place.path):
            yield place.path
