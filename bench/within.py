"""The program with three short answers right behind its guard, for measurements only: what stands before them is ours.

One is for whoever is signed in; two are for anybody: a bare question to the store, and how much there is in memory.
"""

import gc
import json
import os
import sys
from pathlib import Path

from nicegui import Client
from redis.asyncio import Redis
from starlette.types import ASGIApp, Receive, Scope, Send

from ui import server
from ui.answers import answer
from ui.application import Application, Parts, compose
from ui.cli import run
from ui.guard import Guard

GUARDED, BARE, STATE = "/ok", "/assets/bare", "/assets/state"
BARE_KEY, BARE_SECONDS = "bench:bare", 7200


class Inside:
    """Answers those three, and hands on everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._store = Redis.from_url(os.environ["BARE_STORE"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope.get("path"):
            case "/ok":
                await answer(send, 200, "ok")
            case "/assets/bare":
                value = await self._store.getex(BARE_KEY, ex=BARE_SECONDS)
                await answer(send, 200 if value else 500, "ok")
            case "/assets/state":
                await answer(send, 200, json.dumps(_state()))
            case _:
                await self.app(scope, receive, send)


def _state() -> dict[str, float]:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    megabytes = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return {"MB": megabytes, "objects": len(gc.get_objects()), "clients": len(Client.instances)}


def _composed(parts: Parts) -> Application:
    application = compose(parts)
    layer = application.served
    while not isinstance(layer, Guard):
        layer = getattr(layer, "app")  # noqa: B009 - each of ours has one
    layer.app = Inside(layer.app)
    return application


if __name__ == "__main__":
    server.compose = _composed
    sys.exit(run(sys.argv[1:]))
