"""The page of all guests as its script speaks with the server: what it asks, and what it is told to take."""

import itertools
import json
from dataclasses import dataclass, field

from tests.socket_client import Page, Tab, load

TAKE = "guests.take("
_numbers = itertools.count(1)


@dataclass
class GuestTab:
    """A tab at `/guests`, its socket open. `rows` are the guests by their places, as the browser would have them."""

    page: Page
    tab: Tab
    number: int = 0
    count: int | None = None
    rows: dict[int, list] = field(default_factory=dict)
    read: int = 0

    async def ask(self, *, new: bool = True, blocks=(0,), first=0, last=15, search="", sort="vmid", **more) -> None:
        """Ask as the script does, by default a new question."""
        if new or not self.number:
            self.number = next(_numbers)
            self.rows.clear()
            self.count = None
        asked = {
            "number": self.number,
            "search": search,
            "sort": sort,
            "blocks": list(blocks),
            "first": first,
            "last": last,
        }
        await self.send({**asked, **more})

    async def send(self, asked: object) -> None:
        """Send this as a question."""
        id, listener = ask_listener(self.page)
        args = [json.dumps(asked)]
        await self.tab.emit(
            "event", {"id": id, "client_id": self.page.client_id, "listener_id": listener, "args": args}
        )

    def take(self) -> list[dict]:
        """Read what has come since the last time; what it was."""
        came, self.read = taken(self.tab)[self.read :], len(taken(self.tab))
        for sent in came:
            if sent["number"] == self.number:
                self._put(sent)
        return came

    def _put(self, sent: dict) -> None:
        self.count = sent["count"]
        for start, block in sent["blocks"]:
            self.rows.update(enumerate(block, start))
        self.rows.update((at, row) for at, row in sent["rows"])

    async def answered(self) -> list[dict]:
        """Wait for the answer to the last question; what came."""
        came: list[dict] = []
        await self.tab.until(lambda: came.extend(self.take()) or self.count is not None, 30)
        return came


def ask_listener(page: Page) -> tuple[int, str]:
    """The element that hears the script's questions, and its listener."""
    for id, element in page.elements.items():
        if element.get("props", {}).get("id") == "guests":
            return int(id), next(event["listener_id"] for event in element["events"] if event["type"] == "ask")
    raise KeyError("guests")


def taken(tab: Tab) -> list[dict]:
    """All that the script was told to take."""
    codes = (event[1].get("code", "") for _, event in tab.events() if event[0] == "run_javascript")
    return [json.loads(code[len(TAKE) : -1]) for code in codes if code.startswith(TAKE)]


def open_page(client, path: str = "/guests") -> Page:
    """Load the page of all guests."""
    return load(client, path)
