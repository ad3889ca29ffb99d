"""What a task reads and writes gets the names that OpenLineage gives it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.lineage import (
    Dataset,
    champion_of,
    checkpoint_of,
    image_of,
    read_by,
    stored_at,
)
from airflow_runai.core.spec import WorkloadSpec


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("python:3.12", Dataset("oci://docker.io", "python", "3.12")),
        ("org/train", Dataset("oci://docker.io", "org/train")),
        ("registry.example/a/train:7", Dataset("oci://registry.example", "a/train", "7")),
        ("localhost:5000/train:7", Dataset("oci://localhost:5000", "train", "7")),
        ("localhost/train", Dataset("oci://localhost", "train")),
        ("r.example/t:7@sha256:ab", Dataset("oci://r.example", "t", "sha256:ab")),
    ],
)
def test_image(reference: str, expected: Dataset) -> None:
    assert image_of(reference) == expected


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/mnt/runs/7", Dataset("file", "/mnt/runs/7")),
        ("file:///mnt/runs/7", Dataset("file", "/mnt/runs/7")),
        ("s3://bucket/runs/7/", Dataset("s3://bucket", "runs/7")),
        ("gs://bucket", Dataset("gs://bucket", "/")),
        ("s3://my_conn@bucket/runs", Dataset("s3://bucket", "runs")),
        ("s3://key:secret@bucket/runs", Dataset("s3://bucket", "runs")),
    ],
)
def test_place(uri: str, expected: Dataset) -> None:
    assert stored_at(uri) == expected


@given(st.text(min_size=1).filter(str.strip))
def test_whatever_is_stored_somewhere_has_a_name(uri: str) -> None:
    named = stored_at(uri)
    assert named.namespace
    assert named.name


@given(st.text(min_size=1))
def test_whatever_an_image_is_called_it_has_a_namespace(reference: str) -> None:
    assert image_of(reference).namespace.startswith("oci://")


def test_version_of_a_checkpoint_and_of_a_champion_is_its_digest() -> None:
    result = {"uri": "/mnt/c/step-7", "digest": "sha256:1", "bytes": 9, "step": 7}
    assert checkpoint_of(result) == Dataset("file", "/mnt/c/step-7", "sha256:1", 9)
    pointer = stored_at("/mnt/champion.json")
    assert champion_of(pointer, result) == Dataset("file", "/mnt/champion.json", "sha256:1")


def named(**spec: Any) -> set[Dataset]:
    found = read_by(WorkloadSpec.from_mapping({"image": "x", **spec}), "team-a")
    return set(found) - {image_of("x")}


@pytest.mark.parametrize(
    ("kind", "source", "expected"),
    [
        ("pvc", {"claim": "data", "path": "/d"}, Dataset("pvc://team-a", "data")),
        ("pvc", {"claim": "data", "path": "/d", "ephemeral": True}, None),
        (
            "nfs",
            {"server": "nfs.example", "path": "/x", "mount_path": "/d"},
            Dataset("nfs://nfs.example", "/x"),
        ),
        ("host_path", {"path": "/data", "mount_path": "/d"}, Dataset("file", "/data")),
        ("data_volume", {"id": "7", "mount_path": "/d"}, Dataset("data-volume://team-a", "7")),
        ("s3", {"bucket": "b", "path": "/d"}, Dataset("s3://b", "/")),
        ("empty_dir", {"path": "/d"}, None),
        ("secret", {"name": "s", "mount_path": "/d"}, None),
        ("config_map", {"name": "s", "mount_path": "/d"}, None),
    ],
)
def test_data_source(kind: str, source: dict[str, Any], expected: Dataset | None) -> None:
    assert named(storage={kind: [source]}) == ({expected} if expected else set())


@pytest.mark.parametrize(
    ("repository", "more", "expected"),
    [
        ("https://h.example/a/b.git", {}, Dataset("git://h.example", "a/b")),
        (
            "https://user:hunter2@h.example/a/b",
            {"branch": "dev"},
            Dataset("git://h.example", "a/b", "dev"),
        ),
        (
            "git@h.example:a/b.git",
            {"branch": "dev", "revision": "1f"},
            Dataset("git://h.example", "a/b", "1f"),
        ),
    ],
)
def test_repository_is_named_without_its_password(
    repository: str, more: dict[str, str], expected: Dataset
) -> None:
    assert named(storage={"git": [{"repository": repository, "path": "/c", **more}]}) == {expected}


def test_images_of_both_kinds_of_pods_are_read() -> None:
    pods = {"framework": "PyTorch", "workers": 2, "master": {"image": "y"}}
    assert named(distributed=pods) == {image_of("y")}
