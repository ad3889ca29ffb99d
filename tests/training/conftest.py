"""The libraries of the trainings, imported once."""

from __future__ import annotations

import pytest

from tests.support.forks import imported_first


@pytest.fixture(scope="session")
def libraries() -> None:
    """Let forks have PyTorch, Transformers and Lightning, as far as they are installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        imported_first(
            f"tests.training.{library}_program" for library in ("torch", "huggingface", "lightning")
        )
