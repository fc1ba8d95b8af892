"""The guests without a recent backup, listed."""

from services.feed import Picture
from services.feed.picture import Unprotected
from ui import text
from ui.facts import section
from ui.guest_rows import rows_of
from ui.links import guest_address
from ui.theme import Tag
from ui.units import guest_count, iso, number, utc

SHOWN, MOST = 8, 100
"""Those at once, and those behind a fold too; of more the number alone is told."""


class UnprotectedList:
    """Draws nothing while every guest has one, or nobody may know."""

    def __init__(self) -> None:
        self._shown: tuple[int, tuple[tuple[Unprotected, str], ...]] = (0, ())
        with Tag("section", "", {"id": "backups"}) as self._all:
            self._count = section(text.NO_RECENT_BACKUP)
            self._rows = Tag("ul", "", classes="pg-rows")
            with Tag("details", "", classes="pg-fold") as self._fold:
                self._summary = Tag("summary")
                self._others = Tag("ul", "", classes="pg-rows")
                self._rest = Tag("p", "", classes="pg-hint")
        self._all.set_visibility(False)

    def show(self, picture: Picture) -> None:
        """Draw the list, if it has changed."""
        lacking = picture.health.unprotected or ()
        names = rows_of(picture.resources.guests).names
        shown = len(lacking), tuple((one, names.get(one.vmid, str(one.vmid))) for one in lacking[:MOST])
        if shown == self._shown:
            return
        self._shown = shown
        self._all.set_visibility(bool(lacking))
        self._count.set_text(guest_count(len(lacking)))
        _draw(self._rows, shown[1][:SHOWN])
        _draw(self._others, shown[1][SHOWN:])
        self._fold.set_visibility(len(lacking) > SHOWN)
        self._summary.set_text(text.MORE.format(count=number(len(lacking) - SHOWN)))
        self._rest.set_text(text.AND_MORE.format(count=number(len(lacking) - MOST)))
        self._rest.set_visibility(len(lacking) > MOST)


def _draw(room: Tag, lacking: tuple[tuple[Unprotected, str], ...]) -> None:
    room.clear()
    with room:
        for one, name in lacking:
            with Tag("li", "", classes="pg-row"):
                with Tag("a", "", {"href": guest_address(one.vmid)}, classes="pg-name"):
                    Tag("bdi", name)
                Tag("span", str(one.vmid), classes="pg-hint")
                _when(one)


def _when(one: Unprotected) -> None:
    if one.latest is None:
        Tag("span", text.NEVER_BACKED_UP, classes="pg-hint")
    else:
        Tag("time", text.UTC.format(moment=utc(one.latest)), {"datetime": iso(one.latest)}, classes="pg-exact")
