"""What a person has chosen for this browser: language and theme. Kept in cookies that open nothing and are not signed.

A stranger may choose too, with the store down as well.
"""

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse
from starlette.types import Scope

from ui import text
from ui.addresses import LANGUAGE, THEME, page_address
from ui.forms import FormError, read_form
from ui.language import LANGUAGES, best_language
from ui.visit import Visit, cookie_values, headers, visit_of

SYSTEM = "system"
THEMES = ("light", "dark", SYSTEM)

_CHOICES = {LANGUAGE: ("language", tuple(LANGUAGES)), THEME: ("theme", THEMES)}
_YEAR = 365 * 86400
_SECURE = "__Host-"


def create(app: FastAPI) -> None:
    """Register what takes the choices. The guard has judged where they come from."""
    for path in _CHOICES:
        app.add_api_route(path, _choose, methods=["POST"])


def language_of(scope: Scope) -> str:
    """The language to speak: the chosen one, else what the browser accepts, else English."""
    return _chosen(scope, LANGUAGE) or best_language(",".join(headers(scope, b"accept-language")))


def theme_of(scope: Scope) -> str:
    """The theme to show: the chosen one, else the system's."""
    return _chosen(scope, THEME) or SYSTEM


async def _choose(request: Request) -> Response:
    """Keep the choice, and go back to the page that it was made on."""
    name, known = _CHOICES[request.url.path]
    try:
        form = await read_form(request)
    except FormError as exc:
        return PlainTextResponse(exc.sentence, exc.status)
    chosen = form.said(name)
    if chosen not in known:
        return PlainTextResponse(text.BAD_FORM, 400)
    visit = visit_of(request.scope)
    response = RedirectResponse(page_address(form.said("next") or _referrer(request, visit)), 303)
    cookie = f"{_SECURE if visit.https else ''}proxgate-{name}"
    response.set_cookie(cookie, chosen, max_age=_YEAR, secure=visit.https, httponly=True, samesite="lax")
    return response


def _referrer(request: Request, visit: Visit) -> str:
    """The page that the choice was made on, by the browser's word; empty where it keeps that to itself."""
    address = request.headers.get("referer", "")
    own = bool(visit.origin) and address.startswith(f"{visit.origin}/")
    return address.removeprefix(visit.origin) if own else ""


def _chosen(scope: Scope, choice: str) -> str:
    """What the cookie of a choice holds, empty when that is none that we have."""
    name, known = _CHOICES[choice]
    said = (*cookie_values(scope, f"proxgate-{name}"), *cookie_values(scope, f"{_SECURE}proxgate-{name}"))
    return next((value for value in reversed(said) if value in known), "")
