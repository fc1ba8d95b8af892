"""Any page as its tab gets it: what is to be seen there now, and what its person presses and types."""

import contextlib
import json
from dataclasses import dataclass

from services.simulator.catalogue import vmid_of
from tests.socket_client import Page, Tab, load, tab

QUICK = '''
"""Proxgate that looks often."""

from services.feed import pace

pace.QUICK = pace.IDLE = pace.SLOWEST = 0.2

from ui.__main__ import main

main()
'''


@contextlib.asynccontextmanager
async def looking(lab, client, path):
    """A tab at a page."""
    page = load(client, path)
    async with tab(lab, client, page) as up:
        yield page, up


@contextlib.asynccontextmanager
async def person(lab, client, path):
    """The same in somebody's hand."""
    async with looking(lab, client, path) as (page, up):
        yield Hand(page, up)


def elements_of(page: Page, up: Tab) -> dict[str, dict]:
    """The page's elements as they are now."""
    elements = dict(page.elements)
    for _, event in up.events():
        if event[0] == "update":
            for id, one in event[1].items():
                elements[id] = one
    return {id: one for id, one in elements.items() if isinstance(one, dict)}  # None is one that is gone


def visible(page: Page, up: Tab) -> dict[str, set[str]]:
    """The texts of the page that are to be seen now, each with the classes that it stands under."""
    elements = elements_of(page, up)
    found = {}

    def walk(id, above):
        one = elements.get(str(id))
        if one is None or "hidden" in one.get("class", ()) or one.get("props", {}).get("model-value") is False:
            return
        classes = above | set(one.get("class", ()))
        if one.get("text"):
            found[one["text"]] = classes
        for slot in (one, *one.get("slots", {}).values()):
            for child in slot.get("children", slot.get("ids", ())):
                walk(child, classes)

    walk(0, set())
    return found


def sent(pve, *parts):
    """How many requests have come that change something, and whose path has all these parts."""
    return sum(
        request.method != "GET" and all(part in request.path for part in parts) for request in tuple(pve.requests)
    )


def path(name):
    """The page of a guest of the demo."""
    return f"/guests/{vmid_of(name)}"


def asked(pve, *parts):
    """How many questions have come whose path has all these parts."""
    return sum(all(part in request.path for part in parts) for request in tuple(pve.requests))


@dataclass
class Hand:
    """What a person does in a tab. Elements are named by their text or their label."""

    page: Page
    up: Tab

    def sees(self, *words: str) -> bool:
        """Whether texts with all these in them are to be seen."""
        seen = visible(self.page, self.up)
        return all(any(one in text for text in seen) for one in words)

    def seen(self) -> dict[str, set[str]]:
        return visible(self.page, self.up)

    def sees_button(self, name: str) -> bool:
        """Whether a button of the guest's bar is to be seen."""
        return "pg-order" in self.seen().get(name, ())

    async def until_sees(self, *words: str, seconds: float = 20) -> None:
        await self.up.until(lambda: self.sees(*words), seconds)

    async def until_gone(self, words: str, seconds: float = 20) -> None:
        await self.up.until(lambda: not self.sees(words), seconds)

    def find(self, tag: str, name: str) -> tuple[str, dict]:
        """The last one drawn."""
        found = [
            (id, one)
            for id, one in elements_of(self.page, self.up).items()
            if one.get("tag") == tag and name in (one.get("text"), one.get("props", {}).get("aria-label"))
        ]
        assert found, f"no {tag} {name}"
        return found[-1]

    def grey(self, name: str) -> bool:
        """Whether a button says why it may not be pressed."""
        return "popovertarget" in self.find("button", name)[1]["props"]

    async def press(self, name: str) -> None:
        """A button, whether it is to be seen or not."""
        await self.fire(*self.find("button", name))

    async def answer(self, *, yes: bool = True) -> None:
        """The dialog."""
        if not yes:
            return await self.press("Cancel")
        elements = elements_of(self.page, self.up)
        forms = [(id, one) for id, one in elements.items() if one.get("tag") == "form" and one.get("events")]
        return await self.fire(*forms[-1])

    async def type(self, label: str, value: object) -> None:
        """Into the field below this label, or the box beside it."""
        elements = elements_of(self.page, self.up)
        labels = [one for one in elements.values() if one.get("text") == label and "for" in one.get("props", {})]
        name = labels[-1]["props"]["for"] if labels else label
        fields = [
            (id, one)
            for id, one in elements.items()
            if name in (one.get("props", {}).get("for"), one.get("text")) and one.get("events")
        ]
        assert fields, f"no field {label}"
        await self.fire(*fields[-1], value)

    def errors(self) -> list[str]:
        """What stands beside fields."""
        return [
            one["props"]["error-message"]
            for one in elements_of(self.page, self.up).values()
            if one.get("props", {}).get("error")
        ]

    async def fire(self, id: str, one: dict, *args: object) -> None:
        """An event of an element that may be gone."""
        listener = one["events"][0]["listener_id"]
        about = {"id": int(id), "client_id": self.page.client_id, "listener_id": listener}
        await self.up.emit("event", {**about, "args": [json.dumps(arg) for arg in args]})
