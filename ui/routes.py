"""Everything that is no page: the form's posts, the health checks, the files."""

from importlib.resources import files
from mimetypes import guess_type

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse
from pydantic import SecretStr
from starlette.background import BackgroundTask

from services.auth import Attempt, SignIn
from services.errors import (
    EndReason,
    ProxgateError,
    StoreError,
    TooManyAttempts,
)
from services.sessions import Session, Sessions
from services.sessions.watch import Watch
from ui import text
from ui.addresses import login_address, safe_next
from ui.answers import STORE_RETRY, store_down_page
from ui.cookies import SESSION, Cookies
from ui.forms import FormError, read_form
from ui.visit import visit_of

FOR_EVER = "public, max-age=31536000, immutable"
FOR_NOW = "public, max-age=300"
"""Pages name our files with a digest of their contents; without it they may change with the next release."""


def create(app: FastAPI, sign_in: SignIn, sessions: Sessions, watch: Watch, cookies: Cookies) -> None:
    """Register the routes. The guard has judged origin and session before any of them runs."""

    @app.post("/login")
    async def login(request: Request) -> Response:
        wants_json = "application/json" in request.headers.get("accept", "")
        try:
            form = await read_form(request)
        except FormError as exc:
            return _refusal(wants_json, exc.status, exc.sentence)
        wanted = safe_next(form.get("next"))
        try:
            session = await sign_in.sign_in(_attempt(request, form))
        except ProxgateError as exc:
            return _not_signed_in(exc, wants_json=wants_json, wanted=wanted)
        await _end_presented(sessions, request)
        response = JSONResponse({"next": wanted}) if wants_json else RedirectResponse(wanted, 303)
        name, value = cookies.write(visit_of(request.scope), SESSION, session.id, session.created)
        response.raw_headers.append((name, value))
        return response

    @app.post("/logout")
    async def logout(request: Request) -> Response:
        visit = visit_of(request.scope)
        if visit.session is not None:
            await sessions.end(visit.session, EndReason.SIGNED_OUT)
        response = RedirectResponse("/login", 303, background=BackgroundTask(watch.check))
        response.raw_headers.append(cookies.clear(visit, SESSION))
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
    async def asset(name: str, v: str = "") -> Response:
        return _file(name, FOR_EVER if v else FOR_NOW)

    @app.api_route("/favicon.ico", methods=["GET", "HEAD"])
    async def favicon() -> Response:
        return _file("icon.svg", FOR_NOW)


def _attempt(request: Request, form: dict[str, str]) -> Attempt:
    visit = visit_of(request.scope)
    return Attempt(
        username=form.get("username", ""),
        realm=form.get("realm", ""),
        password=SecretStr(form.get("password", "")),
        address=visit.address,
        agent=request.headers.get("user-agent", ""),
        browser=visit.browser,
    )


async def _end_presented(sessions: Sessions, request: Request) -> None:
    """A new id at every sign-in; the one that came along is dead from here on."""
    presented: Session | None = visit_of(request.scope).session
    if presented is not None:
        await sessions.end(presented, EndReason.SIGNED_OUT)


def _not_signed_in(error: ProxgateError, *, wants_json: bool, wanted: str) -> Response:
    wait = {"retry-after": str(error.retry_after)} if isinstance(error, TooManyAttempts) else {}
    if wants_json:
        return JSONResponse({"error": text.sentence(error)}, text.status(error), headers=wait)
    if isinstance(error, StoreError):
        return HTMLResponse(store_down_page(), 503, headers=dict(STORE_RETRY))
    notes = {"error": text.code(error), "wait": wait.get("retry-after", "")}
    return RedirectResponse(login_address(wanted, **notes), 303, headers=wait)


def _refusal(wants_json: bool, status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status) if wants_json else PlainTextResponse(sentence, status)


def _file(name: str, cache: str) -> Response:
    file = files("assets") / name
    kind = guess_type(name)[0]
    if kind is None or name.startswith((".", "_")) or not file.is_file():
        return PlainTextResponse(text.NOTHING_HERE, 404)
    return Response(file.read_bytes(), media_type=kind, headers={"cache-control": cache})
