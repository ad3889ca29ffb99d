"""The extra of a connection says what its cluster calls things; what cannot be used is named."""

from __future__ import annotations

import pytest

from airflow_runai.core.manifests import ClusterTerms
from airflow_runai.errors import ConnectionSettingsError
from tests.core.manifests.requests import pods, workload


def test_the_extra_is_read_and_other_keys_in_it_are_left_alone() -> None:
    extra = {
        "kube_config_path": "/x",
        "priority_classes": {"high": "build"},
        "node_type_label": "example.com/gpu",
        "git_image": "registry.example/git:2",
        "service_account": "trainer",
    }
    terms = ClusterTerms.from_extra(extra)
    assert terms == ClusterTerms(
        {"high": "build"}, "example.com/gpu", "registry.example/git:2", "trainer"
    )
    (pod,) = pods(workload({"priority": "high", "node_type": "dgx"}, "plain", terms=terms))
    assert pod["spec"]["priorityClassName"] == "build"
    assert pod["spec"]["nodeSelector"] == {"example.com/gpu": "dgx"}
    assert ClusterTerms.from_extra({}) == ClusterTerms()


def test_everything_that_cannot_be_used_is_named() -> None:
    extra = {
        "priority_classes": {"high": "No Class"},
        "node_type_label": "a b",
        "git_image": "<image>",
        "service_account": 3,
    }
    with pytest.raises(ConnectionSettingsError) as caught:
        ClusterTerms.from_extra(extra)
    assert [
        line.strip(" -").partition(":")[0] for line in str(caught.value).splitlines()[1:]
    ] == list(extra)
