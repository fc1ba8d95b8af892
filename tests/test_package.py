"""What `pip install .` gives: the packages, their assets and the command."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.harness import environment

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the tree."""
    place = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", place, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    return next(place.glob("*.whl"))


def test_the_wheel_holds_the_product_and_no_more(wheel):
    """Three packages with their assets, neither tests nor pictures."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"ui", "services", "assets"}
    assert {f"ui/locale/de/LC_MESSAGES/proxgate.{kind}" for kind in ("po", "mo")} <= set(names)
    assert {"assets/proxgate.css", "assets/login.js", "assets/page.js", "assets/icon.svg"} <= set(names)
    assert {"assets/manifest.webmanifest", "assets/icon-192.png", "assets/dark.css", "assets/palette.js"} <= set(names)
    assert not [name for name in names if name.startswith("assets/pictures")]


def test_the_wheel_runs_by_itself(wheel, tmp_path):
    """Unpacked into an empty directory the program runs without the tree it was built from."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "import ui.theme; print(ui.theme.__file__); print(ui.theme.asset('login.js'))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(PYTHONPATH=str(tmp_path)),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert str(tmp_path) in done.stdout
    assert "/assets/login.js?v=" in done.stdout
