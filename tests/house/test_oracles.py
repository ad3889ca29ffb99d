"""`make oracles`, with tiny wheels for the large ones: installed once, whole or not at all, and importable."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.oracles import CONSTRAINTS, OraclesError, provide, wanted
from tests.rig.cache import Cache

pytestmark = pytest.mark.slow  # each runs pip
TINY = "runai-tiny-oracle"


@pytest.fixture(autouse=True)
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "runai_tiny_oracle-1-py3-none-any.whl", "w") as wheel:
        about = "runai_tiny_oracle-1.dist-info"
        wheel.writestr("runai_tiny_oracle.py", "ANSWER = 42\n")
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {TINY}\nVersion: 1\n")
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    return folder


def test_every_oracle_is_pinned() -> None:
    pinned = re.findall(r"^([a-z0-9-]+)==", CONSTRAINTS.read_text(), re.MULTILINE)
    names = [re.split(r"[<>=]", requirement)[0] for requirement in wanted()]
    assert "torch" in names
    assert set(names) <= set(pinned)


def test_an_environment_imports_from_the_cache_and_the_next_one_installs_nothing(
    tmp_path: Path, site: Path, wheels: Path
) -> None:
    cache = Cache(tmp_path / "cache")
    folder = provide([TINY], cache, site)
    code = f"import site; site.addsitedir({str(site)!r}); import runai_tiny_oracle as it; print(it.ANSWER, it.__file__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["42", str(folder / "runai_tiny_oracle.py")]
    next(wheels.iterdir()).unlink()
    assert provide([TINY], cache, tmp_path) == folder
    assert (tmp_path / "runai-oracles.pth").read_text() == f"{folder}\n"


def test_what_is_broken_is_installed_anew(tmp_path: Path, site: Path) -> None:
    cache = Cache(tmp_path / "cache")
    module = provide([TINY], cache, site) / "runai_tiny_oracle.py"
    module.write_text("")
    provide([TINY], cache, site)
    assert module.read_text() == "ANSWER = 42\n"


def test_where_pip_fails_nothing_is_left(
    tmp_path: Path, site: Path, wheels: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    next(wheels.iterdir()).unlink()
    with pytest.raises(OraclesError, match=f"cannot install {TINY}"):
        provide([TINY], Cache(tmp_path / "cache"), site)
    assert "No matching distribution found for runai-tiny-oracle" in capfd.readouterr().err
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["lock"]
    assert list(site.iterdir()) == []
