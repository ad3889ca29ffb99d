"""
What operators tell OpenLineage when they end.

OpenLineage's provider asks the operator itself, in a process of its own that must not talk to
Airflow. So an operator notes what it has read and written while it works, after a deferral too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.lineage import Dataset, Lineage, champion_of, checkpoint_of, stored_at
from airflow_runai.core.paths import PathMap
from airflow_runai.tasks.locations import location

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage


class LineageSource:
    """Base of operators that have something to tell; only OpenLineage's provider calls it."""

    _lineage = Lineage()

    def note_lineage(self, inputs: Iterable[Dataset] = (), outputs: Iterable[Dataset] = ()) -> None:
        """Note what the task has read and written by itself, without a workload."""
        self._lineage = Lineage(tuple(inputs), tuple(outputs))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return what the task has read and written."""
        return _operator_lineage(self, self._lineage)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return what the task has read and written before it failed."""
        return _operator_lineage(self, self._lineage)


def note_champion(task: Any, content: JsonMapping) -> None:
    """
    Note that a task has made a checkpoint the champion.

    :param task: an operator with a ``champion``, a ``path_map`` and a ``storage_conn_id``.
    :param content: of the pointer.
    """
    pointer = located(task.champion, task.path_map, task.storage_conn_id)
    task.note_lineage((checkpoint_of(content),), (champion_of(pointer, content),))


def located(path: str, path_map: PathMap | None, storage_conn_id: str | None) -> Dataset:
    """
    Return the name of what lies at a container path or a URI.

    :raises InvalidArgument: if it is neither.
    """
    return stored_at(str(location(path, path_map, storage_conn_id)))


def _operator_lineage(task: Any, lineage: Lineage) -> OperatorLineage[Any, Any]:
    # Imported here: few sites have it, and it is heavy.
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.facet_v2 import external_query_run

    facets = {}
    if lineage.workload_id:
        facets["externalQuery"] = external_query_run.ExternalQueryRunFacet(
            externalQueryId=lineage.workload_id, source=lineage.platform
        )
    # OpenLineage itself looks at inlets and outlets only if the operator names no data.
    return OperatorLineage(
        inputs=[*map(_input, lineage.inputs), *_declared(task.inlets)],
        outputs=[*map(_output, lineage.outputs), *_declared(task.outlets)],
        run_facets=facets,
    )


def _input(dataset: Dataset) -> Any:
    from openlineage.client.event_v2 import InputDataset

    return InputDataset(dataset.namespace, dataset.name, facets=_facets(dataset))


def _output(dataset: Dataset) -> Any:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    made: dict[str, Any] = {}
    if (size := dataset.size) is not None:
        made["outputStatistics"] = statistics.OutputStatisticsOutputDatasetFacet(size=size)
    return OutputDataset(
        dataset.namespace, dataset.name, facets=_facets(dataset), outputFacets=made
    )


def _facets(dataset: Dataset) -> dict[str, Any]:
    from openlineage.client.facet_v2 import dataset_version_dataset

    if dataset.version is None:
        return {}
    return {"version": dataset_version_dataset.DatasetVersionDatasetFacet(dataset.version)}


def _declared(assets: Iterable[Any]) -> list[Any]:
    """Return the author's assets, as far as OpenLineage has names for them."""
    from airflow.providers.openlineage.extractors.manager import ExtractorManager

    named = (ExtractorManager.convert_to_ol_dataset(asset) for asset in assets)
    return [dataset for dataset in named if dataset is not None]
