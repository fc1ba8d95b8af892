"""The code's own rules: lint, format, types, and who may import whom."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["basedpyright", "ui", "services"],
        ["lint-imports", "--no-cache"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_the_code_keeps_its_rules(command):
    """Lint, format, strict types and the import contracts hold."""
    done = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_no_file_names_a_registry():
    """No file of the repository records a package registry's address, or the path it lies at."""
    kept = {".py", ".toml", ".md", ".txt", ".css", ".js", ".svg", ".cfg", ""}
    places = [ROOT / name for name in ("ui", "services", "assets", "tests", "bench", "deploy", ".ci")]
    files = [file for place in places for file in place.rglob("*") if file.is_file() and file.suffix in kept]
    files += [file for file in ROOT.glob("*") if file.is_file() and file.suffix in {".md", ".toml"}]
    assert len(files) > 50
    words = ["index" + "-url", "files.python" + "hosted", "pypi" + ".org", "registry" + ".npmjs", f"{ROOT}/"]
    assert [(file.name, word) for file in files for word in words if word in file.read_text()] == []


def test_every_dependency_is_bounded():
    """Each dependency has a lower and an upper bound, and NiceGUI is held to its minor version."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [need for extra in project["optional-dependencies"].values() for need in extra]
    needs = project["dependencies"] + [need for need in extras if not need.startswith("proxgate[")]
    assert [need for need in needs if ">=" not in need.split(";")[0] or "<" not in need.split(";")[0]] == []
    assert "nicegui>=3.18,<3.19" in needs
