"""The ways in: what the cards post, what a provider sends back, and the one shape of every answer to them.

Asked for JSON, as by the cards' scripts, an answer says where to go on or what went wrong; else it is a redirect.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse
from pydantic import SecretStr

from services.anchors import Anchors
from services.auth import SignIn, Step, Visitor
from services.auth.limiter import Limiter
from services.auth.realms import RealmDirectory
from services.errors import EndReason, ProxgateError, StepExpired, StoreError, TooManyAttempts
from services.sessions import Session, Sessions, new_id
from ui import text
from ui.addresses import LOGIN, OPENID, STEP_CARD, TOKEN, TRUST, login_address, safe_next
from ui.answers import STORE_RETRY, store_down_page
from ui.cookies import DEVICE, SESSION, STEP, Cookies
from ui.forms import Form, FormError, read_form
from ui.visit import visit_of

_LONGEST_STATE, _LONGEST_CODE = 1024, 4096  # Proxmox's own limits


@dataclass(frozen=True, slots=True, kw_only=True)
class WaysIn:
    """What the routes stand on. `public` is PUBLIC_URL as an origin, empty where none is set."""

    sign_in: SignIn
    sessions: Sessions
    cookies: Cookies
    limiter: Limiter
    anchors: Anchors
    directory: RealmDirectory
    public: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """One try: who, with what, and to where."""

    request: Request
    visitor: Visitor
    form: Form

    @property
    def wanted(self) -> str:
        return safe_next(self.said("next"))

    def said(self, name: str) -> str:
        return self.form.said(name)

    def secret(self, name: str) -> SecretStr:
        return SecretStr(self.said(name))


Way = Callable[[WaysIn, Coming], Awaitable[Response]]


def create(app: FastAPI, ways: WaysIn) -> None:
    """Register the routes. The guard has judged where a post comes from before any of them runs."""
    posts = {LOGIN: _by_password, STEP_CARD: _by_code, TOKEN: _by_token, OPENID: _to_provider, TRUST: _trust}
    for path, way in posts.items():
        app.add_api_route(path, _route(ways, way, read_form), methods=["POST"])
    app.add_api_route(OPENID, _route(ways, _from_provider, _read_query), methods=["GET"])


async def _by_password(ways: WaysIn, coming: Coming) -> Response:
    password = coming.secret("password")
    outcome = await ways.sign_in.by_password(coming.said("username"), coming.said("realm"), password, coming.visitor)
    return await _welcome(ways, coming, outcome, coming.wanted)


async def _by_code(ways: WaysIn, coming: Coming) -> Response:
    step = ways.cookies.read(coming.request.scope, STEP)
    if step is None:
        raise StepExpired
    session = await ways.sign_in.by_code(step.id, coming.said("kind"), coming.secret("code"), coming.visitor)
    return await _welcome(ways, coming, session, coming.wanted)


async def _by_token(ways: WaysIn, coming: Coming) -> Response:
    session = await ways.sign_in.by_token(coming.said("tokenid"), coming.secret("secret"), coming.visitor)
    return await _welcome(ways, coming, session, coming.wanted)


async def _to_provider(ways: WaysIn, coming: Coming) -> Response:
    back = f"{ways.public or visit_of(coming.request.scope).origin}{OPENID}"
    return _go(coming, await ways.sign_in.openid_start(coming.said("realm"), coming.wanted, back, coming.visitor))


async def _from_provider(ways: WaysIn, coming: Coming) -> Response:
    state, code = coming.said("state"), coming.said("code")
    if len(state) > _LONGEST_STATE or len(code) > _LONGEST_CODE:
        raise StepExpired
    session, wanted = await ways.sign_in.openid_finish(state, SecretStr(code), coming.said("error"), coming.visitor)
    return await _welcome(ways, coming, session, wanted)


async def _trust(ways: WaysIn, coming: Coming) -> Response:
    async with ways.limiter.trial(coming.visitor.address):
        await ways.anchors.redeem(coming.said("code"))
    ways.directory.forget()
    return _go(coming, login_address(note="trusted"))


async def _read_query(request: Request) -> Form:
    return Form(fields=dict(request.query_params))


def _route(
    ways: WaysIn, way: Way, read: Callable[[Request], Awaitable[Form]]
) -> Callable[[Request], Awaitable[Response]]:
    """The route of a way: what comes of it, or what went wrong, in the form that was asked for."""

    async def route(request: Request) -> Response:
        try:
            form = await read(request)
        except FormError as exc:
            if _wants_json(request):
                return JSONResponse({"error": exc.sentence}, exc.status)
            return PlainTextResponse(exc.sentence, exc.status)
        coming = Coming(request=request, visitor=_visitor(ways, request), form=form)
        try:
            return await way(ways, coming)
        except ProxgateError as exc:
            return _refused(coming, exc)

    return route


def _visitor(ways: WaysIn, request: Request) -> Visitor:
    visit = visit_of(request.scope)
    device = ways.cookies.read(request.scope, DEVICE)
    return Visitor(
        address=visit.address,
        agent=request.headers.get("user-agent", ""),
        browser=visit.browser,
        device=device.id if device else "",
    )


async def _welcome(ways: WaysIn, coming: Coming, outcome: Session | Step, wanted: str) -> Response:
    """On to where they wanted to go, or to the second step first."""
    visit = visit_of(coming.request.scope)
    if isinstance(outcome, Step):
        response = _go(coming, login_address(wanted, page=STEP_CARD))
        response.raw_headers.append(ways.cookies.write(visit, STEP, outcome.id))
        return response
    if visit.session is not None:  # a new id at every sign-in; the one that came along is dead from here on
        await ways.sessions.end(visit.session, EndReason.SIGNED_OUT, visit.address)
    device = coming.visitor.device or new_id()
    await ways.sign_in.remember(outcome, device)
    response = _go(coming, wanted)
    response.raw_headers.append(ways.cookies.write(visit, SESSION, outcome.id, outcome.created))
    response.raw_headers.append(ways.cookies.write(visit, DEVICE, device))
    if ways.cookies.has(coming.request.scope, STEP):
        response.raw_headers.append(ways.cookies.clear(visit, STEP))
    return response


def _go(coming: Coming, wanted: str) -> Response:
    return JSONResponse({"next": wanted}) if _wants_json(coming.request) else RedirectResponse(wanted, 303)


def _refused(coming: Coming, error: ProxgateError) -> Response:
    wait = {"retry-after": str(error.retry_after)} if isinstance(error, TooManyAttempts) else {}
    if _wants_json(coming.request):
        more = {"detail": text.detail(error)} if text.detail(error) else {}
        return JSONResponse({"error": text.sentence(error), **more}, text.status(error), headers=wait)
    if isinstance(error, StoreError):
        return HTMLResponse(store_down_page(visit_of(coming.request.scope).theme), 503, headers=dict(STORE_RETRY))
    notes = {"error": text.code(error), "wait": wait.get("retry-after", "")}
    return RedirectResponse(login_address(coming.wanted, **notes), 303, headers=wait)


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")
