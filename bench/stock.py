"""A stock NiceGUI server: pages of ours, rebuilt element by element under plain `ui.run` with its defaults.

Our style sheets and scripts are not there, nor is anything that a page does later: listeners hear, and do nothing.
"""

import contextlib
import json
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from bench.surroundings import serving
from tests.harness import Running
from tests.socket_client import read_page


class _Dialog(ui.dialog):
    """Without the hidden element that watches over it: that stands in the page already."""

    def __init__(self) -> None:
        super(ui.dialog, self).__init__(value=False, on_value_change=None)


_OWN: dict[str, Callable[[], ui.element]] = {
    "nicegui-colors": ui.colors,
    "nicegui-dialog": _Dialog,
    "nicegui-header": ui.header,
    "nicegui-html": lambda: ui.html("", sanitize=False),
    "nicegui-timer": lambda: ui.timer(3600, lambda: None),
}
"""NiceGUI's own elements, which bring a script and listeners along; every other is made by its tag."""


@contextlib.contextmanager
def stock(pages: Mapping[str, str]) -> Generator[Running]:
    """The server as its own process; `pages` has, by path, the HTML of the page of ours that stands there."""
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as directory:
        given = Path(directory) / "pages.json"
        given.write_text(json.dumps({path: read_page(html).elements for path, html in pages.items()}))
        with serving("bench.stock", str(given), directory=directory, path=next(iter(pages))) as running:
            yield running


def _serve(pages: Mapping[str, dict[str, dict[str, Any]]], port: int) -> None:
    for path, elements in pages.items():
        ui.page(path)(lambda elements=elements: _build(elements))
    ui.run(port=port, reload=False, show=False)


def _build(elements: dict[str, dict[str, Any]]) -> None:
    """What stands in a page's content, and beside it in its layout; the frame itself NiceGUI has made."""
    client = ui.context.client
    page = client.page_container.default_slot.children[0]
    frame = {str(element.id): element for element in (client.layout, client.page_container, page, client.content)}

    def fill(id: str, place: ui.element) -> None:
        order: list[ui.element] = []
        for child in map(str, elements[id].get("children", ())):
            with client.content if elements[child]["tag"] == "nicegui-header" else place:  # which finds its place
                made = frame.get(child) or _make(elements[child])
            order.append(made)
            fill(child, made)
        place.default_slot.children.sort(key=order.index)

    fill("0", client.layout)
    for id, element in frame.items():
        _dress(element, elements[id])


def _make(given: dict[str, Any]) -> ui.element:
    tag = given["tag"]
    if tag in _OWN:
        made = _OWN[tag]()
    else:
        made = TextElement(tag=tag, text=given["text"]) if "text" in given else ui.element(tag)
        for event in given.get("events", ()):
            _listen(made, event)
    _dress(made, given)
    return made


def _dress(made: ui.element, given: dict[str, Any]) -> None:
    made.classes(replace=" ".join(given.get("class", ())))
    made.props.update(given.get("props", {}))
    made.style.update(given.get("style", {}))


def _listen(made: ui.element, event: dict[str, Any]) -> None:
    name = ".".join([event["type"], *event["specials"], *event["modifiers"], *event["keys"]])
    how = {name: event[name] for name in ("throttle", "leading_events", "trailing_events")}
    how |= {"js_handler": event["js_handler"]} if event["js_handler"] else {}
    made.on(name, _nothing, event["args"], **how)


def _nothing() -> None: ...


def plain(html: str) -> list[dict[str, Any]]:
    """A page's elements in the order in which they stand, without what each view makes anew: to compare two pages."""
    elements: dict[str, dict[str, Any]] = read_page(html).elements
    found: list[dict[str, Any]] = []

    def look(id: str) -> None:
        children = elements[id].get("children", ())
        events = [{**event, "listener_id": ""} for event in elements[id].get("events", ())]
        found.append({**elements[id], "children": len(children), "events": events})
        for child in children:
            look(str(child))

    look("0")
    return found


if __name__ == "__main__":
    _serve(json.loads(Path(sys.argv[1]).read_text()), int(sys.argv[2]))
