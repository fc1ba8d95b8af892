"""The register of open tabs: NiceGUI's clients, each with the visit that built it.

Nothing is kept twice: a client remembers its request, the request its visit, the visit its session.
"""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from nicegui import Client

from services.auth.limiter import network
from services.errors import EndReason
from services.sessions import Session
from ui.addresses import wanted_address
from ui.clients import end_client, is_ending, spare
from ui.kept import KeptTabs
from ui.visit import Visit, visit_of

logger = logging.getLogger(__name__)

CARD_SECONDS, PAGE_SECONDS = 8, 30
"""A login card, or a page, whose socket has not come by then is forgotten; the card's form works without."""

TABS_PER_SESSION = 200
TABS_PER_ACCOUNT = 400
WAITING_PER_SESSION = 40
WAITING_PER_ADDRESS = 40
WAITING_IN_ALL = 200
"""Tabs of a session, and of an account; those whose sockets have not come yet; and such login cards, of an address and
in all."""

LOGIN_PER_ADDRESS = 200
LOGIN_IN_ALL = 1000
"""Login cards altogether."""


class Tabs:
    """Who has which tab open on this replica."""

    def __init__(self) -> None:
        self.kept = KeptTabs()
        self._being_built: list[Visit] = []
        self._of_account: dict[str, set[str]] = defaultdict(set)
        self._known: set[str] = set()

    def visit(self, client_id: str) -> Visit | None:
        """The visit that built the tab, None for a tab that is not there (any more)."""
        client = Client.instances.get(client_id)
        return None if client is None else visit_of(client.request.scope)

    def address(self, client_id: str) -> str:
        """The page the tab shows, as an address to come back to; empty for a tab that is not there."""
        client = Client.instances.get(client_id)
        return "" if client is None else wanted_address(client.request.url.path, client.request.url.query.encode())

    def of_session(self, hash: str) -> list[Client]:
        """The open tabs of a session, by the hash of its id."""
        return [
            client
            for client, visit in self._all()
            if visit.session and visit.session.hash == hash and client not in self.kept
        ]

    def count(self) -> dict[str, int]:
        """How many have a socket, by what they show: "page" or "card"."""
        kinds = Counter("page" if visit.session else "card" for client, visit in self._all() if not _waits(client))
        return {"page": kinds["page"], "card": kinds["card"]}

    def way_back(self, client_id: str, address: str) -> str:
        """Where a tab that showed `address` goes after a new sign-in: to its old page, if that is kept."""
        return self.kept.way_back(client_id) or address

    def close_session(self, hash: str, reason: EndReason) -> None:
        """Forget the tabs of a session that has ended, or freeze them for its person's return if it has expired."""
        for client in self.of_session(hash):
            logger.debug("tab closed session=%s reason=%s", hash[:12], reason)
            expired = reason in {EndReason.IDLE, EndReason.AGE} and client.has_socket_connection
            if not (expired and self.kept.freeze(client, self.address(client.id))):
                end_client(client)

    @contextmanager
    def building(self, visit: Visit) -> Generator[bool]:
        """Around building one page; yields whether there is room for it."""
        room = self._has_room_for_page(visit.session) if visit.session else self._has_room_for_card(visit)
        if not room:
            yield False
            return
        self._being_built.append(visit)
        try:
            yield True
        finally:
            self._being_built[:] = [one for one in self._being_built if one is not visit]

    def _has_room_for_page(self, session: Session) -> bool:
        tabs = [(client, visit) for client, visit in self._account(session.principal) if client not in self.kept]
        own = [(client, visit) for client, visit in tabs if _owner(visit) == session.hash]
        waiting = [visit for client, visit in own if _waits(client)]
        built = [one for one in self._being_built if _owner(one) == session.hash and all(one is not x for x in waiting)]
        return (
            len(waiting) + len(built) < WAITING_PER_SESSION
            and len(own) < TABS_PER_SESSION
            and len(tabs) < TABS_PER_ACCOUNT
        )

    def _account(self, principal: str) -> list[tuple[Client, Visit]]:
        """The tabs of an account, without a look at everybody else's: a page would take longer the more are open."""
        for id, client in reversed(Client.instances.items()):  # the new ones are at the end
            if id in self._known:
                break
            self._known.add(id)
            if session := visit_of(client.request.scope).session:
                self._of_account[session.principal].add(id)
        found = [(client, visit_of(client.request.scope)) for client in self._those_open(principal)]
        return [(client, visit) for client, visit in found if visit.session]

    def _those_open(self, principal: str) -> list[Client]:
        ids = self._of_account.get(principal, set())
        return [client for id in tuple(ids) if (client := Client.instances.get(id))]

    def _forget_closed(self) -> None:
        self._known.intersection_update(Client.instances)
        for principal, ids in tuple(self._of_account.items()):
            ids.intersection_update(Client.instances)
            if not ids:
                del self._of_account[principal]

    def _has_room_for_card(self, visit: Visit) -> bool:
        place, waiting = _owner(visit), [_owner(one) for one in self._waiting() if one.session is None]
        cards = [_owner(one) for _, one in self._all() if one.session is None]
        return (
            len(waiting) < WAITING_IN_ALL
            and waiting.count(place) < WAITING_PER_ADDRESS
            and len(cards) < LOGIN_IN_ALL
            and cards.count(place) < LOGIN_PER_ADDRESS
        )

    def _waiting(self) -> list[Visit]:
        """Who waits for a socket: tabs that are built, and those being built, which may be among them already."""
        built = [visit for client, visit in self._all() if _waits(client) and client not in self.kept]
        return [one for one in built if not any(one is other for other in self._being_built)] + self._being_built

    def forget_unconnected(self) -> None:
        """Drop tabs whose socket never came; NiceGUI drops those that have lost theirs."""
        now = time.time()
        self.kept.forget_old()
        self._forget_closed()
        for client, visit in list(self._all()):
            if client in self.kept:
                spare(client)
                continue
            patience = PAGE_SECONDS if visit.session else CARD_SECONDS
            if _waits(client) and not is_ending(client) and client.created < now - patience:
                end_client(client)

    def _all(self) -> Iterator[tuple[Client, Visit]]:
        return ((client, visit_of(client.request.scope)) for client in tuple(Client.instances.values()))


def _owner(visit: Visit) -> str:
    """Whom a tab is counted for: its session, else the network that it came from."""
    return visit.session.hash if visit.session else network(visit.address)


def _waits(client: Client) -> bool:
    return not client.has_socket_connection
