"""A stranger's card as plain HTML: it can be read, typed into and sent before any script of NiceGUI's is there.

NiceGUI's own page lies in it asleep, as a `<template>`. `form.js` wakes it where something is to be told later; Vue
draws the same card once more then, in the place of this one.
"""

from html import escape
from typing import cast

from nicegui import Client, ui
from nicegui.elements.mixins.text_element import TextElement
from nicegui.favicon import get_favicon_url
from starlette.responses import HTMLResponse

from ui.head import needs_scripts

_NOT_DRAWN = {"nicegui-colors", "nicegui-timer"}
_VOID = {"input"}


def still(client: Client) -> HTMLResponse | None:
    """The answer with this client's page, which is all built. None where the page has been sent without its end."""
    if client._response_built:  # pyright: ignore[reportPrivateUsage]
        return None
    page = client.build_response(client.request).body
    whole = bytes(page).decode()
    for ours in (client.head_html, client.body_html):  # stand in this page already
        whole = whole.replace(ours, "", 1)
    awake = any(isinstance(one, ui.timer) and one.active for one in client.elements.values())
    return HTMLResponse(_PAGE.format(
        language=client.page.resolve_language(),
        title=escape(client.resolve_title()),
        favicon=get_favicon_url(client.page, ""),
        head=client.head_html,
        needs_scripts=needs_scripts(),
        card=_html(client.content),
        awake=" data-awake" if awake else "",
        whole=whole,
    ))  # fmt: skip


def _html(element: ui.element) -> str:
    tag, props = element.tag, cast(dict[str, object], dict(element.props))
    if tag in _NOT_DRAWN:
        return ""
    inner = escape(element.text) if isinstance(element, TextElement) else ""
    if isinstance(element, ui.html):  # an icon of ours, and nothing else
        tag, inner = str(props.pop("tag")), str(props.pop("innerHTML"))
        if props.pop("sanitize"):
            raise TypeError("what is not ours has no place on a card")
    inner += "".join(map(_html, element.default_slot.children))
    opening = f"<{tag}{_attributes({'class': ' '.join(element.classes) or None, **props})}>"
    return opening if tag in _VOID else f"{opening}{inner}</{tag}>"


def _attributes(values: dict[str, object]) -> str:
    """As Vue writes them: True has no value, False and None are left out."""
    told = [(name, value) for name, value in values.items() if value is not False and value is not None]
    return "".join(f" {name}" if value is True else f' {name}="{escape(str(value))}"' for name, value in told)


_PAGE = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta id="nicegui-color-scheme" name="color-scheme" content="normal">
<link href="{favicon}" rel="shortcut icon">
{head}
</head>
<body>
{needs_scripts}
<div id="pg-still">{card}</div>
<template id="pg-page"{awake}>{whole}</template>
</body>
</html>
"""
