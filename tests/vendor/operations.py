"""
The calls that are compared, and what the vendor's client has lost of their description.

The client knows paths, methods, parameters and types. It knows neither which status and which model
answers (only some models are named after their call), nor the bounds of a parameter. Both are here,
from the vendor's description of version 2.24.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import AwareDatetime, BaseModel
from runai import api, models

Answer = Any  # a model, or a type made of models


class Project(BaseModel):
    """A project, whose model in the client was overwritten by that of a report's project."""

    id: str
    name: str
    description: str
    clusterId: str  # the vendor's names
    parentId: str
    parent: models.DepartmentProjectParent | None = None
    enforceRunaiScheduler: bool
    status: models.ProjectStatus
    effective: models.ProjectEffective
    resources: list[models.Resources]
    totalResources: models.TotalResources
    createdAt: AwareDatetime
    updatedAt: AwareDatetime


class Projects(BaseModel):
    """A page of projects."""

    projects: list[Project]
    next: int | None = None


@dataclass(frozen=True)
class Operation:
    """
    One call.

    :param api: class of the client.
    :param name: its method.
    :param answer: of the good reply; by default the model that is named after the call.
    :param errors: refusals beside those that every call knows.
    """

    api: type[Any]
    name: str
    answer: Answer = None
    status: int = 200
    errors: tuple[int, ...] = ()

    @property
    def answers(self) -> Answer:
        """The type of the good reply."""
        return self.answer or getattr(models, f"{_camel(self.name)}200Response")


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


#: Statuses that may answer every call.
EVERYWHERE = (401, 403, 500, 503)
_ACCEPTED = {"answer": models.HttpResponse, "status": 202, "errors": (404,)}

OPERATIONS: tuple[Operation, ...] = (
    Operation(api.TokensApi, "grant_token", models.TokenResponse, errors=(400,)),
    Operation(api.ClustersApi, "get_clusters", list[models.DisplayedCluster], errors=(404,)),
    Operation(api.ProjectsApi, "get_projects", Projects, errors=(400,)),
    Operation(api.ProjectsApi, "get_project", Project, errors=(404,)),
    Operation(api.DepartmentsApi, "get_departments", errors=(400,)),
    Operation(api.NodePoolsApi, "get_nodepools", errors=(400,)),
    Operation(api.NodesApi, "get_node_telemetry", models.TelemetryResponse, errors=(400, 404)),
    Operation(api.WorkloadPropertiesApi, "list_workload_types", errors=(400,)),
    Operation(api.WorkloadPropertiesApi, "get_workload_priorities", errors=(400,)),
    Operation(api.PolicyApi, "get_training_policy_v2", models.TrainingPolicyV2, errors=(400, 404)),
    Operation(
        api.PolicyApi, "get_distributed_policy_v2", models.DistributedPolicyV2, errors=(400, 404)
    ),
    # No 400: every query that these describe must be answered.
    Operation(api.WorkloadsApi, "get_workloads"),
    Operation(api.WorkloadsApi, "count_workloads", models.CountResponse),
    Operation(api.WorkloadsApi, "get_workload", models.WorkloadDetailed, errors=(404,)),
    Operation(
        api.WorkloadsApi,
        "get_workload_metrics",
        models.MetricsCompositeResponse,
        errors=(207, 400, 404),
    ),
    Operation(api.EventsApi, "get_workload_history", errors=(404,)),
    Operation(api.EventsApi, "get_workload_events", errors=(404,)),
    Operation(api.PodsApi, "get_workload_pods", models.ListPods200Response, errors=(404,)),
    Operation(api.PodsApi, "list_pods", errors=(404,)),
    Operation(api.TrainingsApi, "create_training1", models.Training1, 202, (400,)),
    Operation(api.TrainingsApi, "get_training", models.Training1, errors=(404,)),
    Operation(api.TrainingsApi, "suspend_training", **_ACCEPTED),
    Operation(api.TrainingsApi, "resume_training", **_ACCEPTED),
    Operation(api.DistributedApi, "create_distributed", models.DistributedWorkload, 202, (400,)),
    Operation(api.DistributedApi, "get_distributed", models.DistributedWorkload, errors=(404,)),
    Operation(api.DistributedApi, "suspend_distributed", **_ACCEPTED),
    Operation(api.DistributedApi, "resume_distributed", **_ACCEPTED),
    # Last: after them there is less to ask for.
    Operation(api.TrainingsApi, "delete_training", **_ACCEPTED),
    Operation(api.DistributedApi, "delete_distributed", **_ACCEPTED),
    Operation(api.WorkloadsBatchApi, "batch_workloads", models.BatchResponse, errors=(400,)),
)

#: What a reply of another status looks like; ``Error`` where nothing is said.
ERRORS: dict[tuple[str, int], Answer] = {
    ("create_training1", 400): models.SubmissionErrorV2,
    ("create_distributed", 400): models.SubmissionErrorV2,
    ("get_workload_metrics", 207): models.MetricsCompositeResponse,
}

_UNITS = "name|clusterId|totalGpuQuota|gpuAllocated|createdAt" + "".join(
    f"|avg{what}{span}"
    for span in ("24h", "7d", "30d")
    for what in ("GpuAllocation", "GpuUtilization", "GpuMemoryUtilization")
)
_WORKLOADS = (
    "type|name|clusterId|projectId|projectName|departmentId|departmentName|createdAt|deletedAt|"
    "submittedBy|phase|completedAt|nodepool|distributedFramework|allocatedGPU|idleGpus|"
    "idleAllocatedGpus|phaseUpdatedAt|category|priority|totalPendingTimeSeconds|"
    "totalRunningTimeSeconds|priorityClassName|guaranteedRuntimeEndsAt|aiApplicationId|"
    "aiApplicationName"
)
#: The fields by which a list is filtered and sorted.
FIELDS: dict[str, str] = {
    "get_workloads": _WORKLOADS,
    "count_workloads": _WORKLOADS,
    "list_pods": (
        "clusterId|workloadId|revisionId|nodeName|currentNodepool|createdAt|completedAt|deletedAt"
    ),
    "get_projects": f"{_UNITS}|departmentId|parentId|parentName|phase",
    "get_departments": _UNITS,
    "get_nodepools": (
        "name|clusterId|phase|createdAt|updatedAt|networkTopologyName|swapEnabled|"
        "nodeLevelSchedulerEnabled|gpuNetworkAccelerationDetection|gpuNetworkAccelerationDetected|"
        "gpuNetworkAccelerationLabelKey"
    ),
    "list_workload_types": "name|group",
}

#: Bounds of parameters, whatever the call.
BOUNDS: dict[str, dict[str, Any]] = {
    "limit": {"minimum": 1, "maximum": 500},
    "offset": {"minimum": -(2**31), "maximum": 2**31 - 1},
    "numberOfSamples": {"minimum": 0, "maximum": 1000},
    "sortOrder": {"enum": ["asc", "desc"]},
    "scope": {"enum": ["tenant", "cluster", "department", "project"]},
    "groupBy": {"maxItems": 2, "items": {"enum": ["ClusterId", "Nodepool", "Node"]}},
}
