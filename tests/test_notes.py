"""Notes in Markdown: formatted, and nothing that could run, fetch or lead astray."""

import re
from html.parser import HTMLParser

import pytest

from ui.notes import LONGEST, rendered

SAFE_TAGS = {"p", "a", "b", "strong", "em", "code", "pre", "ul", "ol", "li", "blockquote", "hr", "br", "s", "table",
             "thead", "tbody", "tr", "th", "td", "h3", "h4", "h5", "h6"}  # fmt: skip
SAFE_ATTRIBUTES = {"href", "target", "rel", "title", "class", "style", "start"}

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](http://evil.example/pixel.png)",
    "![](data:image/svg+xml;base64,PHN2Zz4=)",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](java\nscript:alert(1))",
    "[x](vbscript:x) [x](data:text/html,x) [x](file:///etc/passwd)",
    "[x](/logout) [x](//evil.example) [x](..)",
    '[x](http://a.example/"onmouseover="alert(1))',
    '[x](http://a.example "t\\"onmouseover=\\"alert(1)")',
    "<javascript:alert(1)>",
    '![x"onerror=alert(1)](http://a.example)',
    "[![x](http://evil.example/a.png)](javascript:alert(1))",
    "{{ constructor.constructor('alert(1)')() }}",
    "```<script>\n</code><script>alert(1)</script>\n```",
    "[r]: javascript:alert(1)\n\n[r] ![r]",
    "\u202e<b>\u0000</b>",
    "> " * 5000 + "x",
    "[" * 5000,
    "*" * 20_000,
    "![" * 3000 + "](" * 3000,
]


class Seen(HTMLParser):
    """The tags and attributes that a browser would find."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.addresses = set(), set(), []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value for name, value in attrs if name == "href"]


@pytest.mark.parametrize("note", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_notes_are_words(note):
    """Whatever somebody wrote: no tag, attribute or address gets through that we do not draw ourselves."""
    seen = Seen(rendered(note))
    assert seen.tags <= SAFE_TAGS
    assert seen.attributes <= SAFE_ATTRIBUTES
    assert [one for one in seen.addresses if not re.match(r"(https?://[^/]|mailto:)", one)] == []


def test_an_image_is_a_link():
    """An image is not fetched, but can be gone to, and says what it shows."""
    html = rendered("![a cat](https://cats.example/1.png)")
    assert html == (
        '<p><a href="https://cats.example/1.png" target="_blank" rel="noopener noreferrer nofollow">a cat</a></p>\n'
    )


def test_an_image_within_a_link_is_words():
    """A logo that leads to its project is one link, named by the logo; an image after it is a link of its own."""
    html = rendered("[![logo](https://a.example/l.png) home](https://b.example) ![cat](https://c.example)")
    assert Seen(html).addresses == ["https://b.example", "https://c.example"]
    assert re.sub("<[^>]*>", "", html) == "logo home cat\n"


def test_what_notes_are_written_with():
    """Headings stand below the page's own, and lists, tables, code and emphasis are what they are."""
    html = rendered("# One\n\n- *a*\n- `b`\n\n| x |\n|---|\n| 1 |\n\n~~no~~ **yes**")
    for part in ("<h3>One</h3>", "<li><em>a</em></li>", "<code>b</code>", "<td>1</td>", "<s>no</s>", "<strong>yes"):
        assert part in html


def test_a_note_without_end_is_cut():
    """No note holds the page up."""
    assert len(rendered("x " * LONGEST)) < LONGEST + 100
    assert LONGEST == 8 * 1024


def test_a_note_is_formatted_once():
    """Odd notes take their time: it is not taken again for each who looks."""
    note = '!["*' * 100
    assert rendered(note) is rendered(note)
