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
from services.errors import EndReason, ProxgateError, StepExpired, StoreError, TooManyAttempts
from services.sessions import Session, Sessions, new_id
from ui import text
from ui.addresses import OPENID, STEP_CARD, TOKEN, TRUST, login_address, safe_next
from ui.answers import STORE_RETRY, store_down_page
from ui.cookies import DEVICE, SESSION, STEP, Cookies
from ui.forms import FormError, read_form
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
    public: str


Form = dict[str, str]


def create(app: FastAPI, ways: WaysIn) -> None:
    """Register the routes. The guard has judged where a post comes from before any of them runs."""

    @app.post("/login")
    async def login(request: Request) -> Response:
        async def enter(form: Form, visitor: Visitor) -> Response:
            password = SecretStr(form.get("password", ""))
            username, realm = form.get("username", ""), form.get("realm", "")
            outcome = await ways.sign_in.by_password(username, realm, password, visitor)
            return await _welcome(ways, request, visitor, outcome, _wanted(form))

        return await _answered(ways, request, enter)

    @app.post(TOKEN)
    async def token(request: Request) -> Response:
        async def enter(form: Form, visitor: Visitor) -> Response:
            session = await ways.sign_in.by_token(form.get("tokenid", ""), SecretStr(form.get("secret", "")), visitor)
            return await _welcome(ways, request, visitor, session, _wanted(form))

        return await _answered(ways, request, enter)

    @app.post(STEP_CARD)
    async def verify(request: Request) -> Response:
        async def enter(form: Form, visitor: Visitor) -> Response:
            step = ways.cookies.read(request.scope, STEP)
            if step is None:
                raise StepExpired
            code = SecretStr(form.get("code", ""))
            session = await ways.sign_in.by_code(step.id, form.get("kind", ""), code, visitor)
            response = await _welcome(ways, request, visitor, session, _wanted(form))
            response.raw_headers.append(ways.cookies.clear(visit_of(request.scope), STEP))
            return response

        return await _answered(ways, request, enter)

    @app.post(OPENID)
    async def openid_start(request: Request) -> Response:
        async def start(form: Form, visitor: Visitor) -> Response:
            back = f"{ways.public or visit_of(request.scope).origin}{OPENID}"
            return _go(request, await ways.sign_in.openid_start(form.get("realm", ""), _wanted(form), back, visitor))

        return await _answered(ways, request, start)

    @app.get(OPENID)
    async def openid_finish(request: Request) -> Response:
        async def finish(told: Form, visitor: Visitor) -> Response:
            state, code = told.get("state", ""), told.get("code", "")
            if len(state) > _LONGEST_STATE or len(code) > _LONGEST_CODE:
                raise StepExpired
            code, error = SecretStr(code), told.get("error", "")
            session, wanted = await ways.sign_in.openid_finish(state, code, error, visitor)
            return await _welcome(ways, request, visitor, session, wanted)

        return await _answered(ways, request, finish, told=dict(request.query_params))

    @app.post(TRUST)
    async def trust(request: Request) -> Response:
        async def redeem(form: Form, visitor: Visitor) -> Response:
            async with ways.limiter.attempt("", visitor.address):
                await ways.anchors.redeem(form.get("code", ""))
            return _go(request, "/login")

        return await _answered(ways, request, redeem)


async def _answered(
    ways: WaysIn, request: Request, act: Callable[[Form, Visitor], Awaitable[Response]], told: Form | None = None
) -> Response:
    """What comes of an act, or what went wrong, in the form that was asked for. `told` stands for a posted form."""
    try:
        form = await read_form(request) if told is None else told
    except FormError as exc:
        if _wants_json(request):
            return JSONResponse({"error": exc.sentence}, exc.status)
        return PlainTextResponse(exc.sentence, exc.status)
    try:
        return await act(form, _visitor(ways, request))
    except ProxgateError as exc:
        if isinstance(exc, StepExpired) and told is not None and visit_of(request.scope).session is not None:
            return _go(request, _wanted({}))  # came back a second time, as by the Back button
        return _refused(request, exc, _wanted(form))


def _visitor(ways: WaysIn, request: Request) -> Visitor:
    visit = visit_of(request.scope)
    device = ways.cookies.read(request.scope, DEVICE)
    return Visitor(
        address=visit.address,
        agent=request.headers.get("user-agent", ""),
        browser=visit.browser,
        device=device.id if device else "",
    )


async def _welcome(ways: WaysIn, request: Request, visitor: Visitor, outcome: Session | Step, wanted: str) -> Response:
    """On to where they wanted to go, or to the second step first."""
    visit = visit_of(request.scope)
    if isinstance(outcome, Step):
        response = _go(request, login_address(wanted, page=STEP_CARD))
        response.raw_headers.append(ways.cookies.write(visit, STEP, outcome.id))
        return response
    if visit.session is not None:  # a new id at every sign-in; the one that came along is dead from here on
        await ways.sessions.end(visit.session, EndReason.SIGNED_OUT)
    device = visitor.device or new_id()
    await ways.sign_in.remember(outcome, device)
    response = _go(request, wanted)
    response.raw_headers.append(ways.cookies.write(visit, SESSION, outcome.id, outcome.created))
    response.raw_headers.append(ways.cookies.write(visit, DEVICE, device))
    return response


def _go(request: Request, wanted: str) -> Response:
    return JSONResponse({"next": wanted}) if _wants_json(request) else RedirectResponse(wanted, 303)


def _refused(request: Request, error: ProxgateError, wanted: str) -> Response:
    wait = {"retry-after": str(error.retry_after)} if isinstance(error, TooManyAttempts) else {}
    if _wants_json(request):
        more = {"detail": text.detail(error)} if text.detail(error) else {}
        return JSONResponse({"error": text.sentence(error), **more}, text.status(error), headers=wait)
    if isinstance(error, StoreError):
        return HTMLResponse(store_down_page(), 503, headers=dict(STORE_RETRY))
    notes = {"error": text.code(error), "wait": wait.get("retry-after", "")}
    return RedirectResponse(login_address(wanted, **notes), 303, headers=wait)


def _wanted(form: Form) -> str:
    return safe_next(form.get("next"))


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")
