"""The backups of one guest: those that there are, and one more that can be made now."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from nicegui import ui

from services.actions import BackUp, Need
from services.proxmox import Backup, Storage
from ui import text
from ui.facts import long_words, section
from ui.fields import check_field, choice_field, text_field, typed
from ui.guest_parts import Details
from ui.guest_questions import Backups, Questions
from ui.lacking import Lacking
from ui.orders import Orders
from ui.part import Part
from ui.pending import Pending
from ui.theme import Tag
from ui.units import iso, number, since, size, utc

SHOWN, MOST_BACKUPS = 10, 100
_BUTTON = "pg-button pg-quiet pg-order"
LONGEST_NOTES = 1000
"""Proxmox takes 1,024 letters, and more signs than are typed may stand for one."""


class BackupsPart(Part[Backups | None]):
    """Newest first, the older ones behind a fold. Where its node can keep no backup there is no such part."""

    def __init__(self, ask: Questions, orders: Orders, after: Details) -> None:
        super().__init__(
            self._draw_backups,
            ask.backups,
            about=lambda: ask.about and ask.storages and (ask.about, ask.storages),
            of_node=lambda: ask.node,
            after=after,
        )
        self._orders = orders
        self._storages: tuple[Storage, ...] = ()
        self._shown: Backups | None = None
        self._ages: list[tuple[Tag, int]] = []
        self._lacking = Lacking()
        with self.head, ui.element("div").classes("pg-section-line"):
            self._count = section(text.BACKUPS)
            self._now = Tag("button", text.order(BackUp.name), {"type": "button"}, classes=_BUTTON)
            Pending(orders)
        with self:
            self._silent = Tag("p", "", {"role": "status"}, classes="pg-part-trouble")
            self._unseen = Tag("p", text.BACKUPS_UNSEEN, classes="pg-box")
            self._none = Tag("p", text.NO_BACKUPS, classes="pg-box")
            self._newest = Tag("ul", "", {"role": "list"}, classes="pg-rows pg-backups")
            with Tag("details", "", classes="pg-fold") as self._fold:
                self._summary = Tag("summary")
                self._older = Tag("ul", "", {"role": "list"}, classes="pg-rows pg-backups")
                self._more = Tag("p", "", classes="pg-hint pg-below")
        self._now.on("click", self._ask_and_back_up, args=[])
        for place in (self._silent, self._unseen, self._newest, self._fold):
            place.set_visibility(False)
        orders.on_news(self._mark)

    def show(self, storages: tuple[Storage, ...]) -> None:
        """Those where its node can keep backups."""
        self._storages = storages
        self._mark()

    def _draw_backups(self, backups: Backups | None) -> None:
        self._unseen.set_visibility(backups is None)
        self._none.set_visibility(backups == Backups())
        if backups != self._shown:
            self._shown = backups
            self._draw_anew(backups or Backups())
        for place, moment in self._ages:
            place.set_text(since(max(0, time.time() - moment)))

    def _draw_anew(self, backups: Backups) -> None:
        kept = len(backups.all)
        self._count.set_text(number(kept) if kept else "")
        self._silent.set_visibility(bool(backups.silent))
        self._silent.set_text(text.STORAGES_SILENT.format(storages=", ".join(backups.silent)))
        self._newest.set_visibility(kept > 0)
        self._fold.set_visibility(kept > SHOWN)
        self._summary.set_text(text.MORE.format(count=number(kept - SHOWN)))
        self._more.set_visibility(kept > MOST_BACKUPS)
        self._more.set_text(text.AND_MORE.format(count=number(kept - MOST_BACKUPS)))
        self._ages.clear()
        self._draw_rows(self._newest, backups.all[:SHOWN])
        self._draw_rows(self._older, backups.all[SHOWN:MOST_BACKUPS])

    def _draw_rows(self, room: Tag, backups: Sequence[Backup]) -> None:
        room.clear()
        with room:
            for one in backups:
                with Tag("li", "", classes="pg-row"), ui.element("div").classes("pg-row-main"):
                    self._draw_row(one)

    def _draw_row(self, one: Backup) -> None:
        with ui.element("div").classes("pg-row-title"):
            with Tag("h3"):
                if one.ctime is None:
                    Tag("bdi", one.volid)
                else:
                    moment = {"datetime": iso(one.ctime)}
                    Tag("time", text.UTC.format(moment=utc(one.ctime)), moment, classes="pg-exact")
            if one.protected:
                Tag("span", text.PROTECTED, classes="pg-tag")
        with Tag("p", "", classes="pg-row-facts"):
            if one.ctime is not None:
                self._ages.append((Tag("span"), one.ctime))
            if one.size is not None:
                Tag("span", size(one.size))
            with Tag("span"):
                Tag("bdi", one.volid.partition(":")[0])
        long_words(one.notes)

    def _mark(self) -> None:
        """Grey where the account may make none, whichever storage it is."""
        self._now.set_visibility(bool(self._storages) and not self._orders.busy)
        self._lacking.mark(self._now, self._need(), self._orders.rights.principal)

    def _need(self) -> Need | None:
        needs = [self._orders.lacking(BackUp(storage=one.storage)) for one in self._storages]
        return needs[0] if needs and None not in needs else None

    async def _ask_and_back_up(self) -> None:
        allowed = [one for one in self._storages if self._orders.lacking(BackUp(storage=one.storage)) is None]
        if allowed:
            latest = self._shown.all[0].volid.partition(":")[0] if self._shown and self._shown.all else ""
            form = BackUpForm(allowed, latest)
            await self._orders.ask_and_give(form.order(), form=form)


class BackUpForm:
    """Where a backup that is made now goes, and what is noted with it; at first where the `latest` one is."""

    def __init__(self, storages: Sequence[Storage], latest: str) -> None:
        self._options = {one.storage: _with_room(one) for one in storages}
        self._storage = latest if latest in self._options else next(iter(self._options))
        self._fields: _Fields | None = None

    def draw(self) -> None:
        """Only storages that may be written to are named."""
        self._fields = _Fields(
            storage=choice_field(text.STORAGE, self._options, self._storage),
            notes=text_field(text.NOTES, longest=LONGEST_NOTES),
            protected=check_field(text.PROTECT, text.PROTECT_HINT),
        )

    def check(self) -> bool:
        """Whatever a browser lets its person type."""
        return self._fields is not None and typed(self._fields.storage) in self._options

    def order(self) -> BackUp:
        """As filled in."""
        if self._fields is None:
            return BackUp(storage=self._storage)
        return BackUp(
            storage=typed(self._fields.storage),
            notes=typed(self._fields.notes)[:LONGEST_NOTES],
            protected=bool(self._fields.protected.value),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fields:
    storage: ui.radio
    notes: ui.input | ui.textarea
    protected: ui.checkbox


def _with_room(storage: Storage) -> str:
    if not storage.maxdisk or storage.disk is None:
        return storage.storage
    return text.STORAGE_ROOM.format(storage=storage.storage, room=size(max(0, storage.maxdisk - storage.disk)))
