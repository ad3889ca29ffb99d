"""What a wait cannot beat: a watch that does nothing but say when Jobs of a namespace are complete."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tests.rig.api import Api, Object, name_of


def main() -> None:
    """Say so, a JSON object a line, as a side does."""
    api = Api.from_kubeconfig(Path(sys.argv[1]))
    jobs = f"/apis/batch/v1/namespaces/{sys.argv[2]}/jobs"
    version = api.get(jobs, limit=1)["metadata"]["resourceVersion"]
    print(json.dumps({"start": 0}), flush=True)
    for event in api.watch(jobs, version):
        if _is_complete(event.object):
            print(json.dumps({"name": name_of(event.object), "at": time.time()}), flush=True)


def _is_complete(job: Object) -> bool:
    conditions = job.get("status", {}).get("conditions", ())
    return any(one["type"] == "Complete" for one in conditions)


if __name__ == "__main__":
    main()
