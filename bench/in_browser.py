"""What a person sees: the login card as it comes for the first time, and the way from "Sign in" to the dashboard.

In a real Chromium, side by side with a stock NiceGUI server that has the same elements under plain `ui.run`. The card
comes to a new context, which has nothing of either yet; the dashboard to a browser that was there before.
"""

import statistics
import sys
from dataclasses import dataclass, field

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page

from bench.stock import stock
from bench.table import NOTHING, Row, give, in_turns
from tests import browser, harness
from tests.harness import Running
from tests.socket_client import read_page, signed_in

COLD_ROUNDS, WARM_ROUNDS = 11, 15
LOGIN, OVERVIEW = "/login", "/"
QUIET_MS = 1000
"""After a page has loaded, for what it asks for later."""

_CARD = "document.querySelector('#password')?.checkVisibility() && document.querySelector('#realm')?.options.length"
_SENDS = f"{_CARD} && typeof card === 'object'"  # the script that keeps the form in place is listening, too
_BOARD = "window.socket?.connected && document.querySelector('.pg-board')?.checkVisibility()"
_WATCH = """(() => {
  const look = () => {
    if (%s) window.usable = performance.timeOrigin + performance.now();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})()"""
_FIRST_PAINT = "performance.getEntriesByType('paint').find((one) => one.name === 'first-paint').startTime"
_SIGN_IN = "document.querySelector('#submit').click()"
_GO = "location.assign('/')"
_DO = "() => { const began = performance.timeOrigin + performance.now(); %s; return began; }"


@dataclass
class FirstVisits:
    """Of one server's card: milliseconds and bytes, one figure a visit."""

    chromium: Browser
    site: Running
    usable_when: str
    bytes: list[float] = field(default_factory=list)
    requests: list[float] = field(default_factory=list)
    paint: list[float] = field(default_factory=list)
    usable: list[float] = field(default_factory=list)

    def visit(self) -> float:
        """Once, in a browser that has never been there; milliseconds until the card is usable."""
        with self.chromium.new_context() as context:
            page = _watched(context, self.usable_when)
            bytes, requests = _counted(context.new_cdp_session(page))
            page.goto(f"{self.site.url}{LOGIN}")
            self.usable.append(_usable_at(page) - page.evaluate("performance.timeOrigin"))
            self.paint.append(page.evaluate(_FIRST_PAINT))
            page.wait_for_load_state("load")
            page.wait_for_timeout(QUIET_MS)
            self.bytes.append(sum(bytes))
            self.requests.append(len(requests))
        return self.usable[-1]


def measure() -> list[Row]:
    """Both parts, with a Proxmox that lets people in at once."""
    with harness.valkey() as store, harness.simulator() as proxmox, browser.launched() as chromium:
        settings = {"REDIS_URL": store, "SESSION_SECRET": harness.SECRET, **harness.for_proxmox(proxmox)}
        with harness.proxgate(**settings) as ours, stock({LOGIN: _card(ours), OVERVIEW: _overview(ours)}) as theirs:
            return [*_cold(chromium, ours, theirs), _warm(chromium, ours, theirs)]


def _card(site: Running) -> str:
    with site.client() as stranger:
        return stranger.get(LOGIN, headers=harness.PAGE).raise_for_status().text


def _overview(site: Running) -> str:
    """The page with all that it shows in the end; nobody looks at the cluster afterwards."""
    with signed_in(site) as client:

        def drawn() -> str:
            page = client.get(OVERVIEW, headers=harness.PAGE).raise_for_status().text
            return page if any(one["tag"] == "article" for one in read_page(page).elements.values()) else ""

        page = harness.until(drawn, every=0.5)
        client.post("/logout", headers=harness.PAGE)
        return page


def _cold(chromium: Browser, site: Running, bare: Running) -> list[Row]:
    ours, theirs = FirstVisits(chromium, site, _SENDS), FirstVisits(chromium, bare, _CARD)
    in_turns(1, FirstVisits(chromium, site, _SENDS).visit, FirstVisits(chromium, bare, _CARD).visit)  # warms up both
    in_turns(COLD_ROUNDS, ours.visit, theirs.visit)
    asked = [statistics.median(side.requests) for side in (ours, theirs)]
    against = "NiceGUI's default page of the same elements"
    note = f"{asked[0]:.0f} requests against {asked[1]:.0f}"
    print(f"login page, cold: {note}")

    def row(figure: str, most: float, unit: str, name: str) -> Row:
        one, other = (statistics.median(getattr(side, figure)) for side in (ours, theirs))
        by = 1000 if unit == "kB" else 1
        what = f"login page, cold: {name}"
        return Row(what=what, against=against, ours=one / by, theirs=other / by, unit=unit, at_most=most, note=note)

    weight = row("bytes", 0.55, "kB", "bytes")
    return [
        weight,
        Row(what=weight.what, against=NOTHING, ours=weight.ours, unit="kB", at_most=300, note=note),
        row("paint", 0.3, "ms", "first paint"),
        row("usable", 0.75, "ms", "usable"),
    ]


def _warm(chromium: Browser, site: Running, bare: Running) -> Row:
    with chromium.new_context() as context, chromium.new_context() as other:
        page, bare_page = _watched(context, f"({_SENDS}) || ({_BOARD})"), _watched(other, f"({_CARD}) || ({_BOARD})")

        def sign_in() -> float:
            """Signed out at the end, so that nobody looks at the cluster when the next one comes."""
            page.goto(f"{site.url}{LOGIN}")
            _usable_at(page)
            browser.fill_card(page)
            took = _to_board(page, _SIGN_IN)
            page.get_by_role("button", name="Sign out").click()
            page.wait_for_url(f"{site.url}{LOGIN}")
            return took

        def load() -> float:
            bare_page.goto(f"{bare.url}{LOGIN}")
            _usable_at(bare_page)
            return _to_board(bare_page, _GO)

        in_turns(2, sign_in, load)
        ours, theirs = in_turns(WARM_ROUNDS, sign_in, load)
    against = "the same elements on a bare NiceGUI page, its warm load"
    return Row(what="click to dashboard", against=against, ours=ours, theirs=theirs, unit="ms", at_most=1.2)


def _watched(context: BrowserContext, usable_when: str) -> Page:
    """A page that notes when it is usable."""
    context.add_init_script(_WATCH % usable_when)
    return context.new_page()


def _usable_at(page: Page) -> float:
    """Unix milliseconds."""
    return page.wait_for_function("window.usable").json_value()


def _to_board(page: Page, how: str) -> float:
    """Milliseconds from there to a dashboard that shows every node, and whose socket is connected."""
    began = page.evaluate(_DO % how)
    page.wait_for_url(lambda address: LOGIN not in address)
    return _usable_at(page) - began


def _counted(session: CDPSession) -> tuple[list[float], list[str]]:
    """The bytes of each answer as it came over the wire, head and body, and the addresses that were asked for."""
    bytes: list[float] = []
    asked: list[str] = []
    session.on("Network.loadingFinished", lambda told: bytes.append(told["encodedDataLength"]))
    session.on("Network.requestWillBeSent", lambda told: asked.append(told["request"]["url"]))
    session.send("Network.enable")
    return bytes, asked


if __name__ == "__main__":
    sys.exit(give(measure, __doc__))
