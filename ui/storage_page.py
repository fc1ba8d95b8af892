"""All storages: how full each is and will be, what lies on it, and where it is."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from nicegui import ui

from services.errors import PrivilegeMissing, ProxmoxError, SessionEnded, StoreError
from services.feed import Feed, Picture
from services.proxmox import Permissions, ProxmoxClient
from services.sessions import Session
from services.storages import Place, full_in, places
from ui import text
from ui.facts import empty
from ui.lacking import draw_grant
from ui.layout import frame
from ui.sight import regularly, watch
from ui.storage_table import MOST_SHOWN, Known, StorageTable, fullest_first
from ui.theme import Tag
from ui.trouble import Trouble
from ui.units import size
from ui.visit import current_session

LOOK_SECONDS = 60
CONTENT_SECONDS, PACE_SECONDS = 600, 3600
"""How fresh counts and paces are: to list what lies on a large storage takes Proxmox a while."""

AT_ONCE, MOST_ASKED = 4, 200

ALWAYS_SEEN = frozenset({"iso", "vztmpl", "import"})
"""Kinds that all see who may see the storage; which disks and backups one sees depends on the guest's rights too."""

T = TypeVar("T")


def create(feed: Feed) -> None:
    """Register the page."""

    @ui.page("/storage")
    def storage_page() -> None:
        with frame(text.STORAGES, "tables.js"):
            board = Board(Questions(feed))
        watch(feed, board.show)


class Questions:
    """What the page asks about storages."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def each(self, storages: Sequence[tuple[Place, Known]]) -> Sequence[Known]:
        """What is known of each now, a few asked at once. Raises SessionEnded."""
        session = current_session()  # which is not to be had in what runs beside the page
        return await asyncio.gather(*(self._learn(session, place, known) for place, known in storages))

    async def _learn(self, session: Session, place: Place, known: Known) -> Known:
        return Known(
            counts=await _unless_failed(self._counts(session, place), known.counts),
            full_in=await _unless_failed(self._full_in(session, place), known.full_in),
        )

    async def _counts(self, session: Session, place: Place) -> Mapping[str, int]:
        async def count(proxmox: ProxmoxClient) -> Mapping[str, int]:
            volumes = await proxmox.volumes(place.node, place.storage)
            return Counter(volume.content for volume in volumes)

        found = await self._ask(session, ("storage", place.node, place.storage, "content"), count, CONTENT_SECONDS)
        rights = await self._feed.permissions(session)
        return _seen(place, found, rights)

    async def _full_in(self, session: Session, place: Place) -> float | None:
        async def pace(proxmox: ProxmoxClient) -> float | None:
            return full_in(await proxmox.storage_curves(place.node, place.storage, "week"))

        return await self._ask(session, ("storage", place.node, place.storage, "pace"), pace, PACE_SECONDS)

    async def _ask(
        self,
        session: Session,
        key: tuple[str, ...],
        question: Callable[[ProxmoxClient], Awaitable[T]],
        fresh_for: float,
    ) -> T:
        async with self._gate:
            return await self._feed.ask(session, key, question, fresh_for)


class Board:
    """The page's contents; `show` draws a new picture over the old one."""

    def __init__(self, ask: Questions) -> None:
        self._ask = ask
        self._picture = Picture()
        self._places: tuple[Place, ...] = ()
        self._known: dict[tuple[str, str], Known] = {}
        self._trouble = Trouble()
        self._total = Tag("p", "", classes="pg-count pg-head")
        self._loading = Tag("div", text.LOADING, {"aria-busy": "true"}, classes="pg-empty pg-loading")
        self._nothing = empty(text.NO_STORAGE_TITLE, text.NO_STORAGE)
        with self._nothing:
            draw_grant(current_session().principal, "/storage", "Datastore.Audit")
        with ui.element("div").classes("pg-board") as self._room:
            self._table = StorageTable()
            self._more = Tag("p", "", classes="pg-hint pg-below")
        self._nothing.set_visibility(False)
        self._room.set_visibility(False)
        self._more.set_visibility(False)
        self._refresh_soon = regularly(LOOK_SECONDS, self._refresh)

    def show(self, picture: Picture) -> None:
        """Draw what is new; keep, greyed, what could not be read anew."""
        self._picture = picture
        self._trouble.show(picture)
        if picture.taken:
            self._take(fullest_first(places(picture.resources.storages)))
        self._loading.set_visibility(not picture.taken and picture.error is None)
        self._nothing.set_visibility(picture.taken > 0 and not self._places)
        self._room.set_visibility(bool(self._places))
        self._room.classes(**{"add" if picture.error else "remove": "pg-stale"})
        self._draw()

    def _draw(self) -> None:
        self._total.set_text(_total(self._places))
        self._total.set_visibility(bool(self._places))
        self._table.show([(place, self._known_of(place)) for place in self._places])
        hidden = len(self._places) - MOST_SHOWN
        self._more.set_text(text.STORAGES_MORE.format(count=hidden))
        self._more.set_visibility(hidden > 0)

    def _take(self, found: tuple[Place, ...]) -> None:
        """Others than before are asked about at once."""
        before, self._places = {_key(place) for place in self._places}, found
        if {_key(place) for place in found} - before:
            self._refresh_soon()

    def _known_of(self, place: Place) -> Known:
        return self._known.get(_key(place), Known())

    async def _refresh(self) -> None:
        """Ask about each, a few at once, and draw what is known so far; nothing while Proxmox does not answer."""
        asked = [place for place in self._places if place.available][:MOST_ASKED]
        for start in range(0, len(asked), 2 * AT_ONCE):
            some = asked[start : start + 2 * AT_ONCE]
            if self._picture.error:
                return
            try:
                found = await self._ask.each([(place, self._known_of(place)) for place in some])
            except SessionEnded:
                return
            if self._room.is_deleted:
                return
            self._known |= {_key(place): known for place, known in zip(some, found, strict=True)}
            self._draw()


async def _unless_failed(answer: Awaitable[T], known: T | None) -> T | None:
    """As known where nobody can tell just now; None where it may not be known any more."""
    try:
        return await answer
    except PrivilegeMissing:
        return None
    except (ProxmoxError, StoreError):
        return known


def _key(place: Place) -> tuple[str, str]:
    return place.storage, "" if place.shared else place.node


def _total(shown: Sequence[Place]) -> str:
    """Of all that are there, together."""
    sized = [place for place in shown if place.total]
    used, total = sum(place.used or 0 for place in sized), sum(place.total or 0 for place in sized)
    return text.STORAGES_TOTAL.format(used=size(used), total=size(total)) if total else ""


def _seen(place: Place, found: Mapping[str, int], rights: Permissions) -> Mapping[str, int]:
    """How many of each kind; none of a kind is said only where this account would see one."""
    everything = rights.allows(f"/storage/{place.storage}", "Datastore.Allocate")
    certain = place.content if everything else [kind for kind in place.content if kind in ALWAYS_SEEN]
    return {**dict.fromkeys(certain, 0), **found}
