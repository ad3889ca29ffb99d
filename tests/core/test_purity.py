from __future__ import annotations

import subprocess
import sys

_PROBE = """
import importlib, pkgutil, sys

class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("airflow", "httpx", "numpy", "starlette", "uvicorn", "yaml"):
            raise ImportError(f"{name} must not be imported here")

sys.meta_path.insert(0, Wall())
import airflow_runai.core, airflow_runai.errors
names = [m.name for m in pkgutil.walk_packages(airflow_runai.core.__path__, "airflow_runai.core.")]
for name in names:
    importlib.import_module(name)
print(len(names), "asyncio" in sys.modules)
"""


def test_the_core_imports_neither_airflow_nor_anything_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    count, asyncio_loaded = done.stdout.split()
    assert int(count) >= 60
    assert asyncio_loaded == "False"
