"""Everything that is neither a page nor a way in: the way out, the health checks, the files."""

from contextlib import suppress
from importlib.resources import files
from mimetypes import guess_type

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse
from starlette.background import BackgroundTask

from services.errors import EndReason, SessionEnded, StoreError
from services.sessions import Sessions
from services.sessions.watch import Watch
from ui import text
from ui.answers import STORE_RETRY, store_down_page
from ui.cookies import SESSION, STEP, Cookies
from ui.theme import asset
from ui.visit import visit_of

FOR_EVER = "public, max-age=31536000, immutable"
FOR_NOW = "public, max-age=300"
"""Pages name our files with a digest of their contents; without it they may change with the next release."""


def create(app: FastAPI, sessions: Sessions, watch: Watch, cookies: Cookies) -> None:
    """Register the routes. The guard has judged origin and session before any of them runs."""

    @app.post("/logout")
    async def logout(request: Request) -> Response:
        visit = visit_of(request.scope)
        try:
            for opened in cookies.each(request.scope, SESSION):
                with suppress(SessionEnded):
                    session = await sessions.read(opened.id, touch=False)
                    await sessions.end(session, EndReason.SIGNED_OUT, visit.address)
        except StoreError:
            return HTMLResponse(store_down_page(visit.theme), 503, headers=dict(STORE_RETRY))
        response = RedirectResponse("/login", 303, background=BackgroundTask(watch.check))
        response.raw_headers.append(cookies.clear(visit, SESSION))
        if cookies.has(request.scope, STEP):
            response.raw_headers.append(cookies.clear(visit, STEP))
        return response

    @app.api_route("/healthz", methods=["GET", "HEAD"])
    async def healthz() -> Response:
        return JSONResponse({"status": "ok"})

    @app.api_route("/readyz", methods=["GET", "HEAD"])
    async def readyz() -> Response:
        try:
            await sessions.ping()
        except StoreError:
            return JSONResponse({"status": "store"}, 503)
        return JSONResponse({"status": "ok"})

    @app.api_route("/assets/{name}", methods=["GET", "HEAD"])
    async def file(name: str, v: str = "") -> Response:
        return _file(name, v)

    @app.api_route("/favicon.ico", methods=["GET", "HEAD"])
    async def favicon() -> Response:
        return _file("icon.svg")


def _file(name: str, digest: str = "") -> Response:
    """To be kept for ever under its own digest alone: in an upgrade another replica may have a newer one."""
    file = files("assets") / name
    kind = guess_type(name)[0]
    if kind is None or name.startswith((".", "_")) or not file.is_file():
        return PlainTextResponse(text.NOTHING_HERE, 404)
    cache = FOR_EVER if digest and asset(name).endswith(f"?v={digest}") else FOR_NOW
    return Response(file.read_bytes(), media_type=kind, headers={"cache-control": cache})
