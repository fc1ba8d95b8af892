"""What we know of a request, from its first byte on: written by the edge and the guard, read by routes and pages."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from nicegui import ui
from starlette.types import Scope

from services.sessions import Opened, Session
from ui.language import ENGLISH

_KEY = "proxgate.visit"
_HEADERS = "proxgate.headers"
_OURS = frozenset(
    f"{host}proxgate{kind}{demo}"
    for host in ("", "__Host-")
    for kind in ("", "-browser", "-device", "-step", "-language", "-theme")
    for demo in ("", "-demo")
)
"""Names of cookies that are kept. Whoever has a neighbouring port or host name can have any other sent before them."""

_MOST = 20
"""Values that are kept of each: two of one name are none already."""


@dataclass(slots=True, kw_only=True)
class Visit:
    """One request or socket. `origin` is our own, as the browser spells it: scheme, host and port."""

    address: str
    https: bool
    origin: str
    language: str = ENGLISH
    """What its person reads: by our cookie, else by what the browser accepts."""

    theme: str = "system"
    """What it is shown in: "light", "dark", or "system" for what the browser prefers."""

    undeclared_proxy: bool = False
    """Whether it came through a proxy, by its own word, that TRUSTED_PROXIES does not name."""

    session: Session | None = None
    opened: Opened | None = field(default=None, repr=False)
    """What the session's cookie held, whether or not that session lives."""

    browser: str = field(default="", repr=False)
    """The opaque id in the browser's pre-login cookie. It opens nothing."""


def visit_of(scope: Scope) -> Visit:
    """The visit that the edge wrote into this scope."""
    return scope[_KEY]


def current_session() -> Session:
    """The session of the tab that is being built, or whose event or timer runs; the guard let nobody else through."""
    session = visit_of(ui.context.client.request.scope).session
    if session is None:
        raise RuntimeError("a protected page without a session")
    return session


def address_of_person() -> str:
    """Where the person of the tab that is being built, or whose event runs, came from: for the log."""
    return visit_of(ui.context.client.request.scope).address


def put_visit(scope: Scope, visit: Visit) -> None:
    """Write the visit into a scope, where everything further in finds it."""
    scope[_KEY] = visit


class _Headers:
    """A request's headers, read once: their values by their names, and the cookies' by theirs."""

    __slots__ = ("cookies", "sent", "values")

    def __init__(self, sent: Sequence[tuple[bytes, bytes]]) -> None:
        self.sent = sent
        self.values: dict[bytes, list[str]] = {}
        for name, value in sent:
            self.values.setdefault(name, []).append(value.decode("latin-1"))
        self.cookies: dict[str, list[str]] = {}
        for value in self.values.get(b"cookie", ()):
            for pair in value.split(";"):
                name, eq, held = pair.strip(" \t").partition("=")
                if eq and name in _OURS and len(kept := self.cookies.setdefault(name, [])) < _MOST:
                    kept.append(held)


def header(scope: Scope, name: bytes) -> str | None:
    """The one value of a header, None when it is absent or stands there more than once."""
    values = headers(scope, name)
    return values[0] if len(values) == 1 else None


def headers(scope: Scope, name: bytes) -> Sequence[str]:
    """Every value of a header, in order."""
    return _read(scope).values.get(name, ())


def header_names(scope: Scope) -> Collection[bytes]:
    """Of each header the name, once."""
    return _read(scope).values.keys()


def cookie_values(scope: Scope, name: str) -> Sequence[str]:
    """Every value that came along for a cookie, in order."""
    return _read(scope).cookies.get(name, ())


def _read(scope: Scope) -> _Headers:
    known: _Headers | None = scope.get(_HEADERS)
    if known is None or known.sent is not scope["headers"]:
        known = scope[_HEADERS] = _Headers(scope["headers"])
    return known
