"""Makes the README's pictures from the running demo: `python -m tests.pictures`."""

from pathlib import Path

from playwright.sync_api import Page

from services.simulator.catalogue import vmid_of
from tests import browser, harness

PICTURES = Path(__file__).parent.parent / "assets" / "pictures"
DESKTOP, PHONE = {"width": 1180, "height": 760}, {"width": 390, "height": 760}
SETTLED_MS = 1500
"""After the page's parts are there, for its charts to be drawn."""

SHOTS = (
    ("overview", "/", "light", DESKTOP),
    ("guests", "/guests", "light", DESKTOP),
    ("guest", "/guests/102", "light", DESKTOP),
    ("node", "/nodes/pve2", "dark", DESKTOP),
    ("storage", "/storage", "light", DESKTOP),
    ("tasks", "/tasks", "light", DESKTOP),
    ("sessions", "/sessions", "light", DESKTOP),
    ("overview-dark", "/", "dark", DESKTOP),
    ("phone", "/", "light", PHONE),
    ("phone-guests", "/guests", "dark", PHONE),
)


def main() -> None:
    """Look at one page after the other, each in a browser of its own."""
    PICTURES.mkdir(exist_ok=True)
    with harness.proxgate("--demo") as site, browser.launched() as chromium:
        for name, path, scheme, size in SHOTS:
            context = chromium.new_context(base_url=site.url, color_scheme=scheme, viewport=size)
            page = browser.card(context.new_page(), path)
            if name == "overview":
                page.wait_for_timeout(SETTLED_MS)
                page.screenshot(path=PICTURES / "login.png")
            browser.fill_card(page)
            page.get_by_role("button", name="Sign in").click()
            settle(page)
            page.screenshot(path=PICTURES / f"{name}.png")
            context.close()
        for name, act in (("palette", palette), ("selected", selected), ("task", task)):
            context = chromium.new_context(base_url=site.url, color_scheme="light", viewport=DESKTOP)
            page = browser.card(context.new_page())
            browser.sign_in(page)
            settle(page)
            act(page)
            page.screenshot(path=PICTURES / f"{name}.png")
            context.close()


def palette(page: Page) -> None:
    """The command palette, over the overview."""
    page.keyboard.press("Control+k")
    page.get_by_role("combobox").fill("home")
    page.get_by_role("option").first.wait_for()


def selected(page: Page) -> None:
    """Several guests, with what can be done with them."""
    page.goto("/guests")
    settle(page)
    for name in ("pihole", "jellyfin", "truenas"):
        page.get_by_role("row").filter(has_text=name).get_by_role("checkbox").click()
    page.locator("#guests-selected").get_by_role("button", name="Shut down").wait_for()


def task(page: Page) -> None:
    """A backup that was made just now, with its log."""
    page.goto(f"/guests/{vmid_of('nextcloud')}")
    settle(page)
    page.get_by_role("button", name="Back up now").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Back up now").click()
    page.get_by_role("link", name="Show its log").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Stop task").wait_for()
    page.wait_for_timeout(2 * SETTLED_MS)


def settle(page: Page) -> None:
    """Wait for what a page draws last."""
    page.get_by_role("button", name="Sign out").wait_for()
    waiting = "document.querySelectorAll('[aria-busy=true], .pg-waiting, .pg-skeleton')"
    page.wait_for_function(f"[...{waiting}].every((one) => !one.checkVisibility())")
    page.wait_for_timeout(SETTLED_MS)


if __name__ == "__main__":
    main()
