"""Makes the icons of an installed Proxgate from `assets/icon.svg`: `python -m tests.icons`."""

import re
from pathlib import Path

from tests import browser

ASSETS = Path(__file__).parent.parent / "assets"
SAFE = 0.8
"""Of a maskable icon the system may cut away all but the middle four fifths (W3C, Web App Manifest)."""


def main() -> None:
    """Draw them in Chromium."""
    icon = (ASSETS / "icon.svg").read_text()
    whole = icon.replace(' rx="11"', "")
    for name, size, drawing in (
        ("icon-192", 192, icon),
        ("icon-512", 512, icon),
        ("icon-maskable", 512, shrunk(whole)),
        ("icon-apple", 180, whole),
    ):
        draw(name, size, drawing)


def shrunk(icon: str) -> str:
    """The gate smaller, on a ground that fills all."""
    ground, rest = re.fullmatch(r"(<svg[^>]*><rect[^>]*/>)(.*)</svg>\s*", icon, re.S).groups()
    return f'{ground}<g transform="translate(24 24) scale({SAFE}) translate(-24 -24)">{rest}</g></svg>'


def draw(name: str, size: int, drawing: str) -> None:
    """One of them, on nothing."""
    with browser.launched() as chromium:
        page = chromium.new_page(viewport={"width": size, "height": size})
        page.set_content(f"<style>body{{margin:0}} svg{{display:block;width:100vw;height:100vh}}</style>{drawing}")
        page.screenshot(path=ASSETS / f"{name}.png", omit_background=True)


if __name__ == "__main__":
    main()
