"""What a scene is."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from tests.referee.stage import Stage

Scene: TypeAlias = Callable[[Stage], Coroutine[Any, Any, None]]
