"""Proxgate as an app on a phone: the manifest, its icons, the colour of the browser's bars."""

import re
import struct
from pathlib import Path

import pytest

from tests import browser
from tests.harness import PAGE

ASSETS = Path(__file__).parents[1] / "assets"


@pytest.fixture
def manifest(client):
    """The manifest that the login card names, as a stranger gets it."""
    address = re.search(r'<link rel="manifest" href="([^"]*)">', client.get("/login", headers=PAGE).text)[1]
    answer = client.get(address)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/manifest+json")
    return answer.json()


def test_the_manifest_opens_the_overview_by_itself(manifest):
    """An installed Proxgate is a window of its own that begins at the overview and keeps to this site."""
    assert (manifest["start_url"], manifest["scope"], manifest["display"]) == ("/", "/", "standalone")


def test_every_icon_is_there_and_as_large_as_told(client, manifest):
    """Strangers get each icon of the manifest, in the size that the manifest tells; one of them may be cut round."""
    for icon in manifest["icons"]:
        answer = client.get(icon["src"])
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, icon["type"])
        if icon["type"] == "image/png":
            assert icon["sizes"] == "{}x{}".format(*struct.unpack(">II", answer.content[16:24]))
    assert {icon["sizes"] for icon in manifest["icons"]} >= {"192x192", "512x512"}
    assert [icon["sizes"] for icon in manifest["icons"] if icon.get("purpose") == "maskable"] == ["512x512"]


@pytest.mark.parametrize(
    ("theme", "media"), [("dark", "all"), ("light", "not all"), ("", "(prefers-color-scheme: dark)")]
)
def test_the_browsers_bars_are_painted_in_the_theme(client, theme, media):
    """The bars around the page have the colour of its header, by the chosen theme."""
    page = client.get("/login", headers={**PAGE, "Cookie": f"proxgate-theme={theme}"}).text
    told = re.findall(r'<meta name="theme-color"(?: media="([^"]*)")? content="([^"]*)">', page)
    surface = [
        re.search(r"--pg-surface: (#\w+);", (ASSETS / name).read_text())[1] for name in ("dark.css", "proxgate.css")
    ]
    assert told == [(media, surface[0]), ("", surface[1])]


@pytest.mark.browser
def test_a_browser_offers_to_install_it(server):
    """A stranger's browser finds nothing that keeps Proxgate from being installed."""
    with browser.launched() as chromium:
        context = chromium.new_context(base_url=server.url)
        watched = browser.Watched(context)
        browser.card(watched.page, "/login")
        devtools = context.new_cdp_session(watched.page)
        assert devtools.send("Page.getAppManifest")["errors"] == []
        found = [one["errorId"] for one in devtools.send("Page.getInstallabilityErrors")["installabilityErrors"]]
        assert [one for one in found if one != "in-incognito"] == []
        assert watched.mistakes() == []
        context.close()
