"""The list of what happened to one account lately."""

from nicegui import ui

from services.audit import Event, Kind
from ui import text
from ui.facts import section
from ui.theme import Tag, icon
from ui.units import iso, utc

_PICTURES = {Kind.SIGN_IN: "check", Kind.SECOND_FACTOR: "question", Kind.SIGN_OUT: "sign-out", Kind.END: "cross"}
"""Whatever else there is went wrong, and is marked."""


class Activity:
    """The events, newest first; `show` draws them anew when there are others."""

    def __init__(self) -> None:
        self._events: tuple[Event, ...] = ()
        section(text.ACTIVITY)
        self._nothing = Tag("p", text.NO_ACTIVITY, classes="pg-hint")
        self._list = Tag("ul", "", {"role": "list"}, classes="pg-rows pg-events")
        self._list.set_visibility(False)

    def show(self, events: tuple[Event, ...]) -> None:
        """Draw these events."""
        if events == self._events:
            return
        self._events = events
        self._nothing.set_visibility(not events)
        self._list.set_visibility(bool(events))
        self._list.clear()
        with self._list:
            for event in events:
                _row(event)


def _row(event: Event) -> None:
    picture = _PICTURES.get(event.kind, "warning")
    with Tag("li", "", classes=f"pg-event{' pg-failed' * (picture == 'warning')}"):
        icon(picture)
        Tag("span", text.event(event), classes="pg-event-words")
        with ui.element("div").classes("pg-event-facts"):
            Tag("span", event.address, classes="pg-event-address")
            words = text.UTC.format(moment=utc(event.time))
            Tag("time", words, {"datetime": iso(event.time)}, classes="pg-exact")
