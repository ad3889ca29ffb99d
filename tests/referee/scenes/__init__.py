"""
The causes of all recorded scenarios: who does what when, by what he sees.

The client's own requests are those of its recording; here stand the moments for them, and all that
others do.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.referee.scenes import jobset, kai, kai_jobset, kai_troubles, kueue, plain
from tests.referee.scenes.scene import Scene

SCENES: Mapping[str, Scene] = {
    **kai.SCENES,
    **kai_troubles.SCENES,
    **kai_jobset.SCENES,
    **jobset.SCENES,
    **kueue.SCENES,
    **plain.SCENES,
}
