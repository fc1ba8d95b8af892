"""Importing the program, without what libraries take along in case it is needed, and without looking for garbage."""

import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager

from pydantic import BaseModel

NEEDLESS = (
    "aiohttp",  # Engine.IO, for its client
    "valkey",  # Socket.IO, for servers that share a store; it comes with the embedded one
    "watchfiles",  # Uvicorn, to start anew when a file changes
    "httpx._main",  # httpx, for its command
    "opentelemetry.sdk.metrics",  # redis-py, for figures of its own
    "pydantic.v1",  # FastAPI, for models of another age
)
"""What is tried for and done without, as where it is not installed."""


@contextmanager
def lean_imports() -> Generator[None]:
    """Import the program meanwhile; what was needless can be imported afterwards. What is there by then stays for good.

    Each model is built when it is first used: FastAPI alone has 36 for a description of its routes that we do not give.
    Of some hundred thousand objects that a full collection would go through again and again hardly any is garbage.
    """
    left_out = [name for name in NEEDLESS if name not in sys.modules]
    for name in left_out:
        sys.modules[name] = None  # pyright: ignore[reportArgumentType] - which Python reads as "not there"
    gc.disable()
    BaseModel.model_config["defer_build"] = True
    try:
        yield
    finally:
        del BaseModel.model_config["defer_build"]
        gc.freeze()
        gc.enable()
        for name in left_out:
            del sys.modules[name]
