"""
A fresh environment with the wheel, and a look at it as Airflow's user has it.

``python -m tests.packaging.fresh_install WHEEL --dependencies lowest`` needs only `packaging`; it is
what the hosted CI runs on every Python.
"""

from __future__ import annotations

import argparse
import email
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from packaging.requirements import Requirement

NAME = "airflow-provider-runai"
AIRFLOW = "apache-airflow=="
LINE = "runai submit train1 -i image -p team-a -g 1 -- python train.py"


def floors(wheel: Path) -> list[str]:
    """Return the lowest version that each requirement of a wheel allows, as constraints for pip."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(name))
    required = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    return [
        f"{requirement.name}=={specifier.version}"
        for requirement in required
        if requirement.marker is None
        for specifier in requirement.specifier
        if specifier.operator == ">="
    ]


#: The constraints of a fresh environment, by the name of its dependencies.
DEPENDENCIES: dict[str, Callable[[Path], list[str]]] = {
    "lowest": floors,
    "lowest-airflow": lambda wheel: [one for one in floors(wheel) if one.startswith(AIRFLOW)],
    "newest": lambda wheel: [],
}


class Environment:
    """
    A Python of its own in ``folder``, with the wheel in it.

    :param dependencies: a key of :data:`DEPENDENCIES`.
    :param extras: of the wheel, such as ``[optuna]``.
    """

    def __init__(self, folder: Path, wheel: Path, dependencies: str, extras: str = "") -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        self._constraints = folder / "constraints.txt"
        self._constraints.write_text("\n".join(DEPENDENCIES[dependencies](wheel)))
        self.install(f"{wheel}{extras}")

    def install(self, *requirements: str) -> None:
        """Install more, beside what is there, and check that all fits together."""
        pip = ("-m", "pip", "--disable-pip-version-check", "--quiet")
        self.run(*pip, "install", "--constraint", str(self._constraints), *requirements)
        self.run(*pip, "check")

    def run(self, *words: str, cwd: Path | None = None) -> str:
        """Run its Python; return what was printed, also if it failed."""
        variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW", "PYTHON", "VIRTUAL_ENV"))
        }
        variables |= {
            "AIRFLOW_HOME": str(self.folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
        }
        command = [str(self.python), *words]
        done = subprocess.run(
            command, cwd=cwd or self.folder, env=variables, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{words}: {done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return done.stdout

    def airflow(self, *words: str) -> str:
        return self.run("-m", "airflow", *words)


def look_around(environment: Environment) -> None:
    """
    Let Airflow find provider, plugin, connection type and command line.

    :raises AssertionError: naming what it does not find.
    """
    found = json.loads(environment.airflow("providers", "list", "--output", "json"))
    assert NAME in {row["package_name"] for row in found}
    assert "Run:ai" in environment.airflow("providers", "get", NAME, "--full", "--output", "json")
    assert "RunaiHook" in environment.airflow("providers", "hooks", "--output", "json")
    assert "airflow_runai.plugin" in environment.airflow("plugins", "--output", "json")
    assert "team-a" in environment.airflow("runai", "translate", LINE)
    assert "select" in environment.run("-m", "airflow_runai.checkpoints", "--help")
    assert "--project" in environment.run("-m", "airflow_runai.emulator", "--help")


def main() -> None:
    """Install the wheel that the command line names, and look around."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--dependencies", choices=[*DEPENDENCIES], default="newest")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheel = given.wheel.resolve()
        look_around(Environment(Path(folder), wheel, given.dependencies))
    print(f"{wheel.name} with the {given.dependencies} dependencies: Airflow finds all of it")


if __name__ == "__main__":
    main()
