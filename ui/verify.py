"""The second step's card: the kinds of second factor that the account has, one of them open."""

from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from nicegui import ui

from services.auth import SignIn
from services.auth.codes import Kind, offered
from services.errors import StepExpired
from services.proxmox import Challenge, Factors
from services.proxmox.challenge import relying_party
from services.settings import is_ip
from ui import text
from ui.addresses import STEP_CARD, login_address, safe_next
from ui.cards import card, field, form, link_button, submit
from ui.cookies import STEP, Cookies
from ui.still import still
from ui.theme import Tag
from ui.visit import visit_of

FEW_RECOVERY_CODES = 3


def create(sign_in: SignIn, cookies: Cookies) -> None:
    """Register the page."""

    @ui.page(STEP_CARD, reconnect_timeout=10)
    async def verify(request: Request) -> Response | None:
        wanted = safe_next(request.query_params.get("next"))
        step = cookies.read(request.scope, STEP)
        try:
            _card(request, await sign_in.challenge(step.id if step else "", visit_of(request.scope).browser), wanted)
        except StepExpired as exc:
            return RedirectResponse(login_address(wanted, error=text.code(exc)), 303)
        return still(ui.context.client)


def _card(request: Request, challenge: Challenge, wanted: str) -> None:
    factors = challenge.factors
    kinds = offered(factors, security_key=fits(relying_party(factors), visit_of(request.scope).origin))
    tagline = text.SECOND_STEP_OF.format(userid=challenge.userid)
    with card(text.SECOND_STEP, tagline, request, "verify.js", trouble="" if kinds else _why_none(factors)):
        for number, kind in enumerate(kinds):
            _form(kind, factors, wanted, hidden=number > 0)
        with Tag("div", "", {"role": "group", "aria-label": text.OTHER_FACTORS}, classes="pg-others"):
            for kind in kinds if len(kinds) > 1 else ():
                link_button(text.use_factor(kind), {"data-kind": kind})
            Tag("a", text.BACK_TO_SIGN_IN, {"href": login_address(wanted)}, classes="pg-link-button")


def _form(kind: Kind, factors: Factors, wanted: str, *, hidden: bool) -> None:
    with form(f"verify-{kind}", STEP_CARD, kind=kind, next=wanted) as made:
        if kind is Kind.WEBAUTHN:
            made.props["data-options"] = factors.webauthn
            Tag("input", "", {"type": "hidden", "name": "code"})
            Tag("p", text.factor_hint(kind), classes="pg-hint")
        else:
            with field("code", text.factor(kind), _FIELDS[kind], id=f"code-{kind}"):
                Tag("p", text.factor_hint(kind), classes="pg-hint")
        if kind is Kind.RECOVERY:
            Tag("p", _left(len(factors.recovery or ())), classes="pg-note")
        submit(text.VERIFY, id=f"submit-{kind}")
    made.props["data-kind"] = kind
    if hidden:
        made.props["hidden"] = True


def fits(relying_party: str, origin: str) -> bool:
    """Whether a browser lets a page of this origin use keys bound to that host name: its own, or one above it."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    if not relying_party or parts.scheme != "https" or is_ip(host):
        return False
    return host == relying_party or host.endswith(f".{relying_party}")


def _left(count: int) -> str:
    if count == 1:
        return text.RECOVERY_LAST
    return text.RECOVERY_LEFT.format(count=count) if count <= FEW_RECOVERY_CODES else ""


def _why_none(factors: Factors) -> str:
    """Why nothing can be answered here."""
    if factors.webauthn:
        return text.NO_FACTOR_KEY.format(host=relying_party(factors))
    if factors.u2f:
        return text.NO_FACTOR_U2F
    return text.NO_FACTOR_RECOVERY if factors.recovery is not None else text.NO_FACTOR


_CODE = {"autocomplete": "one-time-code", "autocapitalize": "none", "autocorrect": "off", "spellcheck": "false"}
_FIELDS = {
    Kind.TOTP: {**_CODE, "inputmode": "numeric", "pattern": "[0-9 ]*", "maxlength": "12"},
    Kind.YUBICO: {**_CODE, "autocomplete": "off", "maxlength": "64"},
    Kind.RECOVERY: {**_CODE, "autocomplete": "off", "maxlength": "40"},
}
