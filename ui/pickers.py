"""The controls for language and theme: real forms of a few buttons, on strangers' cards and in the account menu."""

from ui import text
from ui.addresses import LANGUAGE, THEME
from ui.choices import THEMES
from ui.head import chosen_theme
from ui.language import LANGUAGES, language
from ui.theme import Tag, icon

_ICONS = {"light": "sun", "dark": "moon", "system": "desktop"}


def languages() -> None:
    """One button for each language, by its own name."""
    with _group(LANGUAGE, text.LANGUAGE):
        for one, name in LANGUAGES.items():
            with _button("language", one, chosen=one == language()) as button:
                Tag("span", name)
            button.props["lang"] = one


def themes() -> None:
    """Light, dark, or as the system has it."""
    names = {"light": text.THEME_LIGHT, "dark": text.THEME_DARK, "system": text.THEME_SYSTEM}
    with _group(THEME, text.THEME):
        for one in THEMES:
            with _button("theme", one, chosen=one == chosen_theme()) as button:
                icon(_ICONS[one], size=18)
                Tag("span", names[one])
            button.props["title"] = names[one]


def _group(action: str, label: str) -> Tag:
    with Tag("form", "", {"method": "post", "action": action}):
        return Tag("div", "", {"role": "group", "aria-label": label}, classes="pg-picker")


def _button(name: str, value: str, *, chosen: bool) -> Tag:
    return Tag("button", "", {"type": "submit", "name": name, "value": value, "aria-pressed": str(chosen).lower()})
