"""
A pytest plugin: lets the limits of pytest-timeout follow progress.

``timeout`` in ``pyproject.toml``, and the mark of this name, then limit how long a test may stand
still. On a busy machine a test takes as long as it takes.
"""

from __future__ import annotations

import signal
from typing import Any

import pytest
import pytest_timeout  # type: ignore[import-untyped]  # ships no types

from tests.support.patience import Patience

#: So often per limit.
LOOKS = 10


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: Any, settings: Any) -> bool | None:
    """Ask for progress at each alarm; the alarm comes again, so that a clean-up that hangs ends, too."""
    if settings.method != "signal":
        return None
    patience = Patience(settings.timeout)

    def alarm(*_: object) -> None:
        if patience.is_over():
            pytest_timeout.timeout_sigalrm(item, settings)

    def cancel() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    item.cancel_timeout = cancel
    signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, settings.timeout / LOOKS, settings.timeout / LOOKS)
    return True
