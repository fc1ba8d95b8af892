"""The start imports what it needs, when it needs it."""

import subprocess
import sys

from ui.lean import NEEDLESS


def run(code):
    """Run a program in a Python of its own; what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_wrong_setting_is_told_without_http_and_pages():
    """The command reads its settings before it loads what talks to anybody."""
    loaded = run("import sys, ui.cli; print(*sys.modules)")
    assert {"pydantic", "services.settings"} <= set(loaded)
    assert not {"httpx", "redis", "nicegui", "uvicorn", "cryptography"} & set(loaded)


def test_nothing_needless_is_loaded():
    """What libraries would take along is not there once the server is imported, and can be imported afterwards."""
    code = "import gc, sys\nfrom ui.lean import lean_imports\nwith lean_imports(): import ui.server\n"
    loaded = run(code + "print(*sys.modules)")
    assert {"engineio", "socketio", "httpx", "redis"} <= set(loaded)
    assert not {"services.simulator", *NEEDLESS} & set(loaded)
    assert run(code + "import aiohttp, valkey, opentelemetry.sdk.metrics\nprint(gc.isenabled())") == ["True"]


def test_libraries_still_take_it_along():
    """Each of these names is one that the program would load: who no longer does goes from the list."""
    loaded = run("import sys, ui.server; print(*sys.modules)")
    assert {name for name in NEEDLESS if name != "httpx._main"} <= set(loaded)


def test_a_start_builds_no_model_of_proxmox():
    """What reads Proxmox's answers is built at the first answer; nothing else is put off once the server is there."""
    code = """
import sys
from pydantic import BaseModel, TypeAdapter
from ui.lean import lean_imports
with lean_imports(): import ui.server
found = [each for name, module in sys.modules.items() if name.startswith("services.") for each in vars(module).values()]
built = [each.pydantic_complete for each in found if isinstance(each, TypeAdapter)]
class Later(BaseModel): pass
print(len(built) > 20, any(built), Later.__pydantic_complete__)
"""
    assert run(code) == ["True", "False", "True"]
