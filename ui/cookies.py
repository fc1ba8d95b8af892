"""The cookies: the session's, and three that open nothing: a browser's, a device's, and that of a second step."""

import time

from starlette.types import Scope

from services.auth.limiter import DEVICE_SECONDS
from services.auth.pending import CHALLENGE_SECONDS
from services.keys import KeyRing
from services.sessions import CookieSigner, Opened, new_id
from ui.visit import Visit, cookie_values, visit_of

SESSION = "proxgate"
BROWSER = "proxgate-browser"
DEVICE = "proxgate-device"
STEP = "proxgate-step"

DAY_SECONDS = 86400
"""A cookie whose session has reached its longest age is still read for a day, to tell its owner so. A browser's is
signed anew after a day, and read for a day after any session it began: by it a browser comes back to its old pages.
"""


class Cookies:
    """Reads and writes them; over https their names begin with `__Host-`."""

    def __init__(self, keys: KeyRing, *, longest: int, demo: bool) -> None:
        self._suffix = "-demo" if demo else ""
        self._signers = {
            SESSION: CookieSigner(keys, "session", longest + DAY_SECONDS),
            BROWSER: CookieSigner(keys, "browser", longest + 2 * DAY_SECONDS),
            DEVICE: CookieSigner(keys, "device", DEVICE_SECONDS),
            STEP: CookieSigner(keys, "step", CHALLENGE_SECONDS),
        }

    def read(self, scope: Scope, kind: str) -> Opened | None:
        """What the cookie holds; None when it is absent, not of our making, too old, or there more than once."""
        found = cookie_values(scope, self._name(visit_of(scope), kind))
        return self._signers[kind].open(found[0]) if len(found) == 1 else None

    def each(self, scope: Scope, kind: str) -> list[Opened]:
        """What each such cookie holds that is of our making, in order: a neighbour can have others sent beside ours."""
        found = cookie_values(scope, self._name(visit_of(scope), kind))
        return [opened for value in found if (opened := self._signers[kind].open(value))]

    def has(self, scope: Scope, kind: str) -> bool:
        """Whether such a cookie came along, whatever it holds."""
        return bool(cookie_values(scope, self._name(visit_of(scope), kind)))

    def write(self, visit: Visit, kind: str, id: str, given: float | None = None) -> tuple[bytes, bytes]:
        """The Set-Cookie header. No Max-Age: how long a session lasts is the server's word.

        Only a device is remembered for longer than its browser is open.
        """
        more = f"; Max-Age={DEVICE_SECONDS}" if kind == DEVICE else ""
        return self._header(visit, kind, self._signers[kind].sign(id, given), more)

    def clear(self, visit: Visit, kind: str) -> tuple[bytes, bytes]:
        """The Set-Cookie header that takes the cookie away."""
        return self._header(visit, kind, "", "; Max-Age=0")

    def browser(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """The Set-Cookie header that gives a browser its pre-login id, or signs it anew; none where neither is due."""
        visit, opened = visit_of(scope), self.read(scope, BROWSER)
        if opened and not opened.stale and time.time() < opened.given + DAY_SECONDS:
            return []
        visit.browser = opened.id if opened else new_id()
        return [self.write(visit, BROWSER, visit.browser)]

    def _name(self, visit: Visit, kind: str) -> str:
        return f"{'__Host-' if visit.https else ''}{kind}{self._suffix}"

    def _header(self, visit: Visit, kind: str, value: str, more: str = "") -> tuple[bytes, bytes]:
        secure = "; Secure" if visit.https else ""
        name = self._name(visit, kind)
        return b"set-cookie", f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{more}".encode()
