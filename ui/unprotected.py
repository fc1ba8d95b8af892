"""The guests without a recent backup, listed."""

from nicegui import ui

from services.feed import Picture
from services.feed.picture import Unprotected as Lacking
from ui import text
from ui.theme import Tag
from ui.units import iso, utc

SHOWN = 8
"""The others stand behind a fold."""


class Unprotected:
    """Draws nothing while every guest has one, or nobody may know."""

    def __init__(self) -> None:
        self._shown: tuple[tuple[Lacking, str], ...] = ()
        self._room = Tag("section", "", {"id": "backups", "aria-labelledby": "backups-title"})
        self._room.set_visibility(False)

    def show(self, picture: Picture) -> None:
        """Draw the list, if it has changed."""
        names = {guest.vmid: guest.name for guest in picture.resources.guests}
        lacking = tuple((one, names.get(one.vmid, "")) for one in picture.health.unprotected or ())
        if lacking == self._shown:
            return
        self._shown = lacking
        self._room.set_visibility(bool(lacking))
        self._room.clear()
        with self._room:
            with ui.element("div").classes("pg-section"):
                Tag("h2", text.NO_RECENT_BACKUP, {"id": "backups-title"})
                Tag("span", text.GUEST_COUNT.format(count=len(lacking)), classes="pg-count")
            _rows(lacking[:SHOWN])
            if lacking[SHOWN:]:
                with Tag("details", "", classes="pg-fold"):
                    Tag("summary", text.MORE.format(count=len(lacking) - SHOWN))
                    _rows(lacking[SHOWN:])


def _rows(lacking: tuple[tuple[Lacking, str], ...]) -> None:
    with Tag("ul", "", classes="pg-rows"):
        for one, name in lacking:
            with Tag("li", "", classes="pg-row"):
                with Tag("a", "", {"href": f"/guests/{one.vmid}"}, classes="pg-name"):
                    Tag("bdi", name or str(one.vmid))
                Tag("span", str(one.vmid), classes="pg-hint")
                with Tag("span", "", classes="pg-row-end"):
                    _when(one)


def _when(one: Lacking) -> None:
    if one.latest is None:
        Tag("span", text.NEVER_BACKED_UP, classes="pg-hint")
    else:
        Tag("time", text.UTC.format(moment=utc(one.latest)), {"datetime": iso(one.latest)}, classes="pg-exact")
