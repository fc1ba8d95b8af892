"""Notes that somebody wrote in Markdown, drawn safely: no HTML of theirs, and nothing is fetched from elsewhere."""

from collections.abc import MutableMapping, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nicegui import ui

from ui.theme import Tag

if TYPE_CHECKING:  # else by need, at the first note: 60 modules
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token
    from markdown_it.utils import OptionsDict

LONGEST = 8 * 1024
"""Letters of a note that are read: Proxmox keeps no more, and odd ones of that length take a good part of a second."""

MOST_KEPT = 256
"""Notes that are kept as HTML, so that an odd one takes its time once."""

_Environment = MutableMapping[str, Any]
_SCHEMES = {"http", "https", "mailto"}
_LEADS_AWAY = {"target": "_blank", "rel": "noopener noreferrer nofollow"}


class Notes:
    """One note; drawn anew only when it has changed."""

    def __init__(self) -> None:
        self._shown = ""
        self._place = Tag("div", "", classes="pg-notes")
        self._place.set_visibility(False)

    def show(self, markdown: str) -> None:
        """Draw it; without any there is nothing."""
        self._place.set_visibility(bool(markdown.strip()))
        if markdown == self._shown:
            return
        self._shown = markdown
        self._place.clear()
        with self._place:
            ui.html(rendered(markdown), sanitize=False)


def rendered(markdown: str) -> str:
    """Markdown as HTML of ours alone: tags are words, images are links, and links lead to the web or nowhere."""
    return _rendered(markdown[:LONGEST])


@lru_cache(maxsize=MOST_KEPT)
def _rendered(markdown: str) -> str:
    return _markdown().render(markdown)


@cache
def _markdown() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    made = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable(["table", "strikethrough"])
    made.validateLink = _leads_to_the_web
    made.add_render_rule("link_open", _link)
    made.add_render_rule("link_close", _link)
    made.add_render_rule("image", _image)
    made.add_render_rule("heading_open", _heading)
    made.add_render_rule("heading_close", _heading)
    return made


def _leads_to_the_web(url: str) -> bool:
    try:
        return urlsplit(url.strip()).scheme.lower() in _SCHEMES
    except ValueError:
        return False


def _link(
    renderer: "RendererHTML", tokens: "Sequence[Token]", index: int, options: "OptionsDict", env: _Environment
) -> str:
    token = tokens[index]
    env["in a link"] = token.nesting == 1
    if token.nesting == 1:
        token.attrs.update(_LEADS_AWAY)
    return renderer.renderToken(tokens, index, options, env)


def _image(
    renderer: "RendererHTML", tokens: "Sequence[Token]", index: int, options: "OptionsDict", env: _Environment
) -> str:
    """To fetch it would tell whoever has it that, when and from where somebody looks at this guest.

    Within a link it is its words alone: a browser knows no link in a link.
    """
    from markdown_it.token import Token

    address = str(tokens[index].attrs.get("src", ""))
    words = renderer.renderInlineAsText(tokens[index].children, options, env) or address
    shown = renderer.text([Token("text", "", 0, content=words)], 0, options, env)
    if env.get("in a link"):
        return shown
    opening = Token("link_open", "a", 1, attrs={"href": address, **_LEADS_AWAY})
    return renderer.renderToken([opening], 0, options, env) + shown + "</a>"


def _heading(
    renderer: "RendererHTML", tokens: "Sequence[Token]", index: int, options: "OptionsDict", env: _Environment
) -> str:
    """Below the page's own two kinds of headings."""
    token = tokens[index]
    token.tag = f"h{min(int(token.tag[1:]) + 2, 6)}" if token.tag in {"h1", "h2", "h3", "h4"} else token.tag
    return renderer.renderToken(tokens, index, options, env)
