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
