"""The file by which another process takes hold of a cluster."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.rig import record
from tests.rig.building import Programs
from tests.rig.parts import Site
from tests.rig.record import Options


def test_nodes_that_come_and_go_at_once_leave_a_whole_record(tmp_path: Path) -> None:
    site = Site(tmp_path, Programs(tmp_path), tmp_path, {"etcd": 1})

    def come_and_go(node: int) -> None:
        for _ in range(50):
            site.ports[f"kubelet-{node}"] = node
            record.write(Options(), site)
            record.read(tmp_path)
            del site.ports[f"kubelet-{node}"]
            record.write(Options(), site)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(come_and_go, range(8)))
    assert record.read(tmp_path)[1].ports == {"etcd": 1}
