"""All guests: one table that is searched, filtered and sorted here, of which the browser holds the rows in view.

`/guests?q=node:pve1+stopped&sort=-cpu`. What goes to the browser goes to `assets/guests.js`, never through the grid's
options; what comes back is one event, `ask`, on an element that is never hidden.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from nicegui import __version__, ui
from nicegui.dependencies import esm_modules

from services.actions import Actions
from services.feed import Feed, Picture
from services.proxmox import Guest
from ui import text, words
from ui.bulk import MOST, Bulk
from ui.facts import empty
from ui.guest_addresses import AddressBook, Addresses
from ui.guest_rows import BIGGEST_FIRST, SORTED_BY, GuestRows, Sorting, rows_of, sorting_of
from ui.guest_search import KEYS, LONGEST, Search, understand
from ui.guest_window import BLOCK, MOST_BLOCKS, Sent, Window, read
from ui.lacking import draw_grant
from ui.lasting import lasting
from ui.layout import frame
from ui.sight import sight, watch
from ui.theme import Tag, icon
from ui.trouble import Trouble
from ui.units import guest_count, number
from ui.visit import current_session

MODULES = ["InfiniteRowModelModule", "ColumnApiModule", "RowApiModule", "CellApiModule", "ScrollApiModule",
           "EventApiModule", "RenderApiModule", "LocaleModule"]  # fmt: skip
"""The parts of AG Grid that the table needs."""

SKELETON_ROWS = 12
_OPENING = "data-opening"
_VALUE = "^value"
"""What the box holds at first: an attribute to Vue, which would write a property anew over what has been typed."""


def create(feed: Feed, actions: Actions) -> None:
    """Register the page."""

    book = AddressBook(feed)

    @ui.page("/guests")
    def guests(q: str = "", sort: str = "") -> None:
        _preload()
        with frame(text.GUESTS, "guests.js"):
            board = Board(book, actions, understand(q), sorting_of(sort))
        watch(feed, board.show)  # which shows the present picture at once, if there is one
        board.open()


class Board:
    """The page's contents; `show` draws a new picture over the old one."""

    def __init__(self, book: AddressBook, actions: Actions, search: Search, sorting: Sorting) -> None:
        self._client = ui.context.client
        self._addresses = Addresses(book, lambda known: self._call("know", known))
        lasting(self._addresses.begin)
        self._sight = sight()
        self._window = Window(search, sorting)
        self._rows: GuestRows | None = None
        self._trouble = Trouble()
        page = {"id": "guests", "data-words": json.dumps(_words()), "data-sort": str(sorting)}
        with Tag("div", "", page, classes="pg-list") as self._page:
            self._tools = Tools(search)
            bulk = Bulk(actions, self._known)
            with ui.element("div").classes("pg-grid-room") as self._room:
                _grid()
            self._no_match = _no_match()
            self._nothing = _nothing()
        self._page.on("ask", self._ask, js_handler="(event) => emit(event.detail)")
        self._page.on("act", bulk.act, js_handler="(event) => emit(event.detail)")
        self._page.on("all", self._select_all, js_handler="(event) => emit(event.detail)")
        self._sight.listeners.append(lambda hidden: None if hidden else self._send(self._window.refresh))
        self._no_match.set_visibility(False)
        self._nothing.set_visibility(False)

    def open(self) -> None:
        """Put the first rows into the page itself, if they are known while it is built."""
        if self._rows is not None:
            self._page.props[_OPENING] = _json(self._window.opening(self._rows).data())

    def show(self, picture: Picture) -> None:
        """Show what is new of this picture; keep, greyed, what could not be read anew."""
        self._trouble.show(picture)
        self._room.classes(**{"add" if picture.error else "remove": "pg-stale"})
        self._rows = rows_of(picture.resources.guests) if picture.taken else None
        for one in (self._tools, self._room):  # without a first picture there is nothing to search
            one.set_visibility(picture.taken > 0 or picture.error is None)
        self._send(self._window.refresh)

    def _known(self) -> Mapping[int, Guest]:
        """The guests as they were seen last."""
        return {guest.vmid: guest for guest in self._rows.guests} if self._rows else {}

    def _ask(self, event: Any) -> None:
        asked = read(event.args)
        if asked is None:
            return
        self._window.ask(asked)
        self._remember()
        self._send(self._window.answer)

    def _select_all(self, event: Any) -> None:
        """All that are found, whether in view or not; no more than anything is done with at once."""
        asked = read(event.args)
        if asked is not None and self._rows is not None:
            found = self._rows.order(understand(asked.search), sorting_of(asked.sort))
            self._call("selectThese", [guest.vmid for guest in found[:MOST]])

    def _remember(self) -> None:
        """The browser has it already; a page that is drawn anew needs it."""
        self._tools.remember(self._window.search)
        with self._page.props.suspend_updates():
            self._page.props["data-sort"] = str(self._window.sorting)
            self._page.props.pop(_OPENING, None)

    def _send(self, news: Callable[[GuestRows], Sent | None]) -> None:
        """What is new, to a tab that somebody looks at; a hidden one gets it when it is back in sight."""
        rows = self._rows
        if rows is None or self._sight.hidden:
            return
        sent = news(rows)
        if sent is not None:
            self._call("take", sent.data())
        if self._window.addresses:
            self._addresses.look(self._window.in_view(rows))
        self._show_emptiness(rows)

    def _call(self, name: str, data: object) -> None:
        """Call a function of `assets/guests.js`."""
        self._client.run_javascript(f"guests.{name}({_json(data)})")

    def _show_emptiness(self, rows: GuestRows) -> None:
        found, total = len(rows.order(self._window.search, self._window.sorting)), len(rows.guests)
        self._tools.show(self._window.search, found, total)
        self._tools.set_visibility(total > 0)
        self._room.set_visibility(found > 0)
        self._no_match.set_visibility(total > found == 0)
        self._nothing.set_visibility(total == 0)


class Tools:
    """Above the table: the search, what of it was not understood, how many guests it finds, sorting and columns."""

    def __init__(self, search: Search) -> None:
        self._said = search.words
        with ui.element("div").classes("pg-tools") as self._all:
            with ui.element("div").classes("pg-search"):
                icon("search", size=18)
                label = {"placeholder": text.SEARCH_GUESTS_BY, "aria-label": text.SEARCH_GUESTS, "autocomplete": "off"}
                more = {"spellcheck": "false", "autocapitalize": "off", "aria-describedby": "guests-hint"}
                box = {"id": "guests-search", "type": "search", _VALUE: search.words, "maxlength": LONGEST}
                self._box = Tag("input", "", {**box, **label, **more})
                _help()
            self._count = Tag("span", text.LOADING, classes="pg-count")
            _sorts()
            _columns_menu()
        self._hint = Tag("p", "", {"id": "guests-hint", "role": "status"}, classes="pg-hint pg-search-hint")
        self._told = Tag("p", "", {"role": "status"}, classes="pg-unseen")
        self._hint.set_text(_hint(search))

    def set_visibility(self, visible: bool) -> None:
        """There is nothing to search where there is nothing."""
        self._all.set_visibility(visible)

    def remember(self, search: Search) -> None:
        """Keep what was typed, for a page that is drawn anew."""
        with self._box.props.suspend_updates():
            self._box.props[_VALUE] = search.words

    def show(self, search: Search, found: int, total: int) -> None:
        """Say how many guests there are. It is read aloud for a new search alone, not whenever one starts or stops."""
        said = _count(search, found, total)
        self._count.set_text(said)
        self._hint.set_text(_hint(search))
        if search.words != self._said:
            self._said = search.words
            self._told.set_text(said)


def _grid() -> None:
    options: dict[str, Any] = {
        "rowModelType": "infinite",
        "cacheBlockSize": BLOCK,
        "maxBlocksInCache": MOST_BLOCKS,  # as many as are kept fresh here
        "maxConcurrentDatasourceRequests": 100,
        "infiniteInitialRowCount": SKELETON_ROWS,
        "rowBuffer": 4,
        "blockLoadDebounceMillis": 40,
        "localeText": {"ariaSortableColumn": text.PRESS_TO_SORT},
        ":columnDefs": "guests.columns()",
        ":rowHeight": "guests.rowHeight()",
        ":headerHeight": "guests.headerHeight()",
        ":onGridReady": "(event) => guests.ready(event.api)",
    }
    ui.aggrid(options, modules=MODULES, auto_size_columns=False).classes("pg-grid")


def _preload() -> None:
    """Let the browser fetch AG Grid with the page, and not only when a script of the page's turns out to need it."""
    key = next(key for key, module in esm_modules.items() if module.name == "nicegui-aggrid")
    ui.add_head_html(f'<link rel="modulepreload" href="/_nicegui/{__version__}/esm/{key}/index.js">')


def _json(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _words() -> dict[str, Any]:
    """What the script says, in the person's language."""
    return {
        "guests": text.GUESTS,
        "guest": text.GUEST,
        "columns": {name: text.guest_column(name) for name in words.GUEST_COLUMNS},
        "states": {state: text.state(state) for state in words.STATES},
        "locks": text.LOCKED,
        "memory": text.MEMORY_IN_SHORT,
        "select": text.SELECT,
    }


def _sorts() -> None:
    """On a phone there are no headers to be pressed."""
    with Tag("select", "", {"id": "guests-sort", "aria-label": text.SORT_BY}, classes="pg-sort"):
        for column in SORTED_BY:
            first = "-" if column in BIGGEST_FIRST else ""
            Tag("option", text.SORTED_BY.format(column=text.guest_column(column)), {"value": f"{first}{column}"})


def _columns_menu() -> None:
    with Tag("details", "", {"id": "guests-columns"}, classes="pg-menu-box"):
        with Tag("summary", "", classes="pg-button pg-quiet"):
            icon("columns")
            Tag("span", text.COLUMNS)
        with Tag("fieldset", "", classes="pg-menu-card"):
            Tag("legend", text.COLUMNS)
            for name in tuple(words.GUEST_COLUMNS)[1:]:  # the name is always there
                with Tag("label", "", classes="pg-check"):
                    Tag("input", "", {"type": "checkbox", "data-column": name})
                    Tag("span", text.guest_column(name))
            Tag("button", text.COLUMNS_FITTING, {"type": "button", "data-columns": "fit"}, classes="pg-link-button")


def _help() -> None:
    """What can be asked for, behind a button in the search box."""
    with Tag("details", "", classes="pg-menu-box pg-search-help"):
        with Tag("summary", "", {"aria-label": text.SEARCH_HELP}, classes="pg-icon-button"):
            icon("question")
        with ui.element("div").classes("pg-menu-card"), Tag("dl"):
            for example, meaning in text.search_examples():
                Tag("dt", example)
                Tag("dd", meaning)


def _no_match() -> ui.element:
    with Tag("div", "", classes="pg-empty") as room:
        Tag("h2", text.NO_MATCH)
        Tag("button", text.CLEAR_SEARCH, {"type": "button", "data-clear": ""}, classes="pg-button pg-quiet")
    return room


def _nothing() -> ui.element:
    with (room := empty(text.NO_GUESTS_TITLE, text.NO_GUESTS)):
        draw_grant(current_session().principal, "/vms", "VM.Audit")
    return room


def _count(search: Search, found: int, total: int) -> str:
    if search.tests:
        return text.GUESTS_FOUND.format(found=number(found), count=number(total))
    return guest_count(total)


def _hint(search: Search) -> str:
    if not search.unknown:
        return ""
    terms = text.LIST_COMMA.join(f"\u2068{term}\u2069" for term in search.unknown)
    return text.NOT_UNDERSTOOD.format(terms=terms, keys=" ".join(f"{key}:" for key in KEYS))
