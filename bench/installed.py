"""Programs as their users have them: an environment with what `pip install` brings and no more, and its processes.

The environment of the measurements holds every peer and every tool, and some libraries import whatever they find.
"""

import compileall
import contextlib
import http.client
import shutil
import subprocess
import tempfile
import time
import venv
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

from tests import harness
from tests.harness import Running

ROOT = Path(__file__).parent.parent
OURS = ("ui", "services", "assets")
BARE = """
import sys

from nicegui import ui

ui.label("hello")
ui.run(port=int(sys.argv[1]), show=False, reload=False)
"""
"""The bare NiceGUI program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is started. `arguments` follow the interpreter, with PORT in the place of the port."""

    python: Path
    arguments: Sequence[str]
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    ready: Mapping[str, str]
    """Paths that are asked in this order until they answer 200, and a piece of what they answer."""


@contextlib.contextmanager
def started(program: Program) -> Generator[tuple[Running, float]]:
    """The process, and the seconds from its spawn until the last of its pages was read."""
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as directory:
        port, log = harness.free_port(), Path(directory) / "log"
        arguments = [str(port) if word == "PORT" else word for word in program.arguments]
        settings = {"PROXGATE_DATA_DIR": f"{directory}/data", **program.settings}
        with log.open("w") as out:
            began = time.perf_counter()
            process = subprocess.Popen(
                [str(program.python), *arguments],
                cwd=directory, env=harness.environment(**settings), stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        running = Running(process, port, log)
        try:
            for path, piece in program.ready.items():
                _read(running, path, piece)
            yield running, time.perf_counter() - began
        finally:
            running.stop()


def _read(running: Running, path: str, piece: str) -> None:
    deadline = time.monotonic() + harness.START_SECONDS
    while True:
        if running.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{path} is not there: {running.output()}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("localhost", running.port, timeout=15)
            with contextlib.closing(connection):
                connection.request("GET", path, headers=harness.PAGE)
                answer = connection.getresponse()
                body = answer.read().decode()
            if answer.status == 200:
                if piece not in body:
                    raise RuntimeError(f"{path} answers something else: {body[:300]}")
                return
        time.sleep(0.002)


def bare(python: Path, directory: Path) -> Program:
    """The program of three lines, written into this directory."""
    script = directory / "hello.py"
    script.write_text(BARE)
    return Program(python=python, arguments=[str(script), "PORT"], ready={"/": "hello"})


def proxgate(python: Path, **settings: str) -> Program:
    """Ours, until its store answers and the page is there that people meet first."""
    ready = {"/readyz": "", "/login": "current-password"}
    return Program(python=python, arguments=["-m", "ui", "--port", "PORT"], settings=settings, ready=ready)


def installed(name: str, directory: Path) -> Path:
    """Make an environment with this distribution, of the same versions as here and compiled as pip does; its Python."""
    venv.create(directory, symlinks=True)
    packages = next(directory.glob("lib/python*/site-packages"))
    for found in _closure(name):
        for file in found.files or ():
            if ".." not in file.parts and file.suffix != ".pth":
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    shutil.copy2(file.locate(), packages / file)
    if name == "proxgate":  # which is here as it is worked on
        for part in OURS:
            shutil.copytree(ROOT / part, packages / part, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(packages, quiet=1)
    return directory / "bin" / "python"


def _closure(name: str) -> list[Distribution]:
    """A distribution and all that it needs here, each once."""
    found: dict[str, Distribution] = {}
    waiting, seen = [Requirement(name)], set[str]()
    while waiting:
        wanted = waiting.pop()
        if str(wanted) in seen:
            continue
        seen.add(str(wanted))
        found[wanted.name.lower()] = here = distribution(wanted.name)
        for need in map(Requirement, here.requires or ()):
            extras = wanted.extras or {""}
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(need)
    return list(found.values())
