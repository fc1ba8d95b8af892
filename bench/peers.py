"""What others have, as servers of their own: bare Starlette, and Starlette with starsessions and its Redis store."""

import os
import sys

import uvicorn
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starsessions import SessionAutoloadMiddleware, SessionMiddleware
from starsessions.stores.redis import RedisStore

LIFETIME = 7200
"""Seconds, as long as a session of ours may be idle."""


def bare() -> Starlette:
    """Answers "ok"."""
    return Starlette(routes=[Route("/", _ok)])


def sessions() -> Starlette:
    """Answers "ok" to who has a session, whose time begins anew with each request; `/begin` gives one."""
    store = RedisStore(connection=Redis.from_url(os.environ["REDIS_URL"]))
    kept = Middleware(SessionMiddleware, store=store, lifetime=LIFETIME, rolling=True, cookie_https_only=False)
    routes = [Route("/", _who), Route("/begin", _begin)]
    return Starlette(routes=routes, middleware=[kept, Middleware(SessionAutoloadMiddleware)])


async def _ok(_: Request) -> Response:
    return PlainTextResponse("ok")


async def _who(request: Request) -> Response:
    return PlainTextResponse("ok") if request.session.get("principal") else PlainTextResponse("who?", 401)


async def _begin(request: Request) -> Response:
    """As much as a session of ours holds: a ticket, and its token against forged requests."""
    request.session.update(principal="user0@pve", ticket="PVE:" + 300 * "t", csrf_token=60 * "c", issued=0)
    return PlainTextResponse("ok")


if __name__ == "__main__":
    made = {"bare": bare, "sessions": sessions}[sys.argv[1]]()
    uvicorn.run(made, port=int(sys.argv[2]), log_level="warning", access_log=False)
