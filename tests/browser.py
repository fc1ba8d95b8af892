"""A real Chromium for the tests, and what they watch in it."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

ARGUMENTS = [
    "--no-sandbox",  # as root, as in CI, Chromium's own does not start
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


def chromium() -> str:
    """The machine's own Chromium; without one the test is skipped, but never in CI."""
    found = [shutil.which(name) for name in _NAMES] + [place for place in _PLACES if Path(place).exists()]
    program = next((program for program in found if program), None)
    if program is None and os.environ.get("CI") == "true":
        pytest.fail("no Chromium on this machine, and in CI no browser test may be skipped")
    if program is None:
        pytest.skip("no Chromium or Chrome on this machine")
    return program


@contextlib.contextmanager
def launched(*more: str) -> Iterator[Browser]:
    """A headless browser, with these arguments more."""
    program = chromium()
    expect.set_options(timeout=20_000)  # two browsers on a small machine are slow at times, and only failures wait
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*ARGUMENTS, *more])
        yield browser
        browser.close()


NOTED = ("Failed to load resource: ", "WebSocket connection to ", "Framing ", "Refused to frame ")
"""What the browser itself notes of an answer that is no success; everything else is a mistake of ours."""


class Watched:
    """A page, with all that it said, asked for and sent."""

    def __init__(self, context: BrowserContext):
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.addresses: list[str] = []
        self.frames: list[str] = []
        self.page.on("console", lambda said: said.type == "error" and self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.addresses.append(request.url))
        self.page.on("websocket", self._watch)

    def mistakes(self) -> list[str]:
        """Complaints of the browser that are about us."""
        return [words for words in self.complaints if not words.startswith(NOTED)]

    def _watch(self, socket):
        self.addresses.append(socket.url)
        socket.on("framesent", lambda frame: self.frames.append(str(frame)))
        socket.on("framereceived", lambda frame: self.frames.append(str(frame)))


def card(page: Page, path: str = "/") -> Page:
    """Open an address, and wait for the login card with its realms."""
    page.goto(path)
    expect(page.get_by_label("Realm").locator("option")).not_to_have_count(0)
    return page


def serious(page: Page) -> list[tuple[str, str, list[str]]]:
    """What axe finds serious or worse, by light and in the dark. It may load nothing: Quasar draws a bar for that."""
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found += Axe().run(page, options={"preload": False}).response["violations"]
    page.emulate_media(color_scheme="light")
    return [
        (one["id"], one["impact"], [node["html"][:160] for node in one["nodes"][:3]])
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]


def fill_card(page: Page, username: str = "root", realm: str = "pam", password: str = "demo") -> None:
    """Type into the login card."""
    page.get_by_label("Username").fill(username)
    page.get_by_label("Realm").select_option(realm)
    page.get_by_label("Password", exact=True).fill(password)


def sign_in(page: Page, **typed: str) -> None:
    """Go through the login card to the overview."""
    fill_card(page, **typed)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Overview").wait_for()


def see_guest(page: Page, name: str) -> None:
    """Go to the list of guests, and see this one."""
    page.goto("/guests")
    expect(page.get_by_role("gridcell", name=name)).to_be_visible()
