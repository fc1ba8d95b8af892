"""What others have, as servers of their own: bare Starlette, and Starlette with starsessions and its Redis store; and
the least that an encrypted session costs whoever keeps one.
"""

import os
import secrets
import sys

import uvicorn
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from itsdangerous import BadSignature, Signer
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
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


def least() -> ASGIApp:
    """The same as `sessions`, and no more than it takes: one signature, one question to the store that is the touch,
    too, one decryption. No framework, no routes, no headers, and nothing that a product would need.
    """
    store, signer, cipher = Redis.from_url(os.environ["REDIS_URL"]), Signer(secrets.token_hex()), AESGCM(bytes(32))
    nonce, held = bytes(12), b"PVE:" + 400 * b"t"

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - nobody sends a body
        status, extra = 200, []
        if scope["path"] == "/begin":
            id = secrets.token_urlsafe(32)
            await store.set(id, cipher.encrypt(nonce, held, id.encode()), ex=LIFETIME)
            extra = [(b"set-cookie", b"session=" + signer.sign(id))]
        else:
            cookie = dict(scope["headers"]).get(b"cookie", b"")
            try:
                id = signer.unsign(cookie.removeprefix(b"session="))
                value = await store.getex(id, ex=LIFETIME)
            except BadSignature:
                value = None
            status = 200 if value and cipher.decrypt(nonce, value, id) == held else 401
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"2"), *extra]})
        await send({"type": "http.response.body", "body": b"ok"})

    return answered


async def _ok(_: Request) -> Response:
    return PlainTextResponse("ok")


async def _who(request: Request) -> Response:
    return PlainTextResponse("ok") if request.session.get("principal") else PlainTextResponse("who?", 401)


async def _begin(request: Request) -> Response:
    """As much as a session of ours holds: a ticket, and its token against forged requests."""
    request.session.update(principal="user0@pve", ticket="PVE:" + 300 * "t", csrf_token=60 * "c", issued=0)
    return PlainTextResponse("ok")


if __name__ == "__main__":
    made = {"bare": bare, "sessions": sessions, "least": least}[sys.argv[1]]()
    uvicorn.run(made, port=int(sys.argv[2]), log_level="warning", access_log=False, lifespan="off")
