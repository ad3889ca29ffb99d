"""
A pytest plugin: lets the limits of pytest-timeout follow progress.

``timeout`` in ``pyproject.toml``, and the mark of this name, then limit how long a test may stand
still. On a busy machine a test takes as long as it takes.

The usual SIGALRM would not do: Airflow takes it for itself with each DAG file and each task that
has a time-out, and stops the timer after that.
"""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest
import pytest_timeout  # type: ignore[import-untyped]  # ships no types

from tests.support.patience import Patience

#: So often per limit.
LOOKS = 10
#: A signal that nobody else uses.
SIGNAL = signal.SIGRTMIN + 7


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: Any, settings: Any) -> bool | None:
    """Ask for progress again and again, so that a clean-up that hangs ends, too."""
    if settings.method != "signal":
        return None
    patience, is_over = Patience(settings.timeout), threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def remind() -> None:
        while not is_over.wait(settings.timeout / LOOKS):
            signal.pthread_kill(main, SIGNAL)

    def look(*_: object) -> None:
        if not is_over.is_set() and patience.is_over():
            pytest_timeout.timeout_sigalrm(item, settings)

    # It stays when the test is over: without it, a late reminder would end the process.
    signal.signal(SIGNAL, look)
    item.cancel_timeout = is_over.set
    threading.Thread(target=remind, name="time limit", daemon=True).start()
    return True
