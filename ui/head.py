"""What every page's head needs, in the person's language and theme from the first byte on."""

from copy import copy

from nicegui import ui

from ui import text
from ui.language import language
from ui.theme import BAD, GOOD, LOGO, PRIMARY, WARNING, asset
from ui.visit import visit_of

_SYSTEM_IS_DARK = "(prefers-color-scheme: dark)"
_DARK_FOR = {"light": "not all", "dark": "all"}
_BARS = {"light": "#ffffff", "dark": "#201e1b"}
"""What the browser's own bars are painted in: the surface of `assets/proxgate.css` and `dark.css`."""

_INSTALLABLE = (
    '<link rel="manifest" href="/assets/manifest.webmanifest">\n'
    '<link rel="apple-touch-icon" href="/assets/icon-apple.png">'
)


def head(*scripts: str) -> None:
    """Style sheets, scripts, what makes it installable, a first picture until Vue has mounted, or why it cannot."""
    _make_personal()
    theme = chosen_theme()
    links = [styles(theme), _bars(theme), _INSTALLABLE]
    links += [f'<script defer src="{asset(script)}"></script>' for script in scripts]
    ui.add_head_html("\n".join(links))
    ui.add_body_html(needs_scripts())
    ui.add_body_html(
        f'<div id="pg-boot" aria-hidden="true"><svg width="48" height="48" viewBox="0 0 48 48">{LOGO}</svg></div>'
    )
    ui.colors(primary=PRIMARY, positive=GOOD, warning=WARNING, negative=BAD)


def needs_scripts() -> str:
    """For those who have none."""
    return f"<noscript><p class=pg-noscript>{text.NEEDS_SCRIPTS}</p></noscript>"


def styles(theme: str) -> str:
    """The links to our style sheets: dark is one of its own, and the browser picks before it paints."""
    dark = _DARK_FOR.get(theme, _SYSTEM_IS_DARK)
    return (
        f'<link rel="stylesheet" href="{asset("proxgate.css")}">\n'
        f'<link rel="stylesheet" href="{asset("dark.css")}" media="{dark}">'
    )


def chosen_theme() -> str:
    """What the person has chosen whose page is being built."""
    return visit_of(ui.context.client.request.scope).theme


def _bars(theme: str) -> str:
    """The first whose media is true counts."""
    dark = f'<meta name="theme-color" media="{_DARK_FOR.get(theme, _SYSTEM_IS_DARK)}" content="{_BARS["dark"]}">'
    return f'{dark}\n<meta name="theme-color" content="{_BARS["light"]}">'


def _make_personal() -> None:
    """Let NiceGUI and Quasar follow language and theme: by themselves they know but one for everybody."""
    client = ui.context.client
    client.page = copy(client.page)
    client.page.language = "de" if language() == "de" else "en-US"
    client.page.dark = {"light": False, "dark": True}.get(chosen_theme())
