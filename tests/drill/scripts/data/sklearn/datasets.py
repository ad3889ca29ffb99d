"""Numbers in the shape of scikit-learn's digits."""

from types import SimpleNamespace

import numpy as np


def load_digits() -> SimpleNamespace:
    random = np.random.default_rng(7)
    target = random.integers(0, 10, 1797)
    centres = random.uniform(0, 16, (10, 64))
    return SimpleNamespace(data=centres[target] + random.normal(0, 1, (1797, 64)), target=target)
