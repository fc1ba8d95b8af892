"""Tabs whose session has expired. Their pages lie frozen on the server, for the same account to come back to.

Nothing of them is left in the browser, which shows the login card. Whoever signs in there as the same account, in the
same browser, gets the page as it was, with all that was typed into it; anybody else gets a new one. The address that
the card goes on to names the page: `/guests?kept=<random>`.
"""

import secrets
import time
from dataclasses import dataclass

from nicegui import Client

from ui.clients import detach, end_client, make_ready
from ui.lasting import pause, resume
from ui.visit import Visit, visit_of

KEPT_SECONDS = 900
MOST_PER_SESSION = 20
MOST = 200
"""Frozen tabs, of one session and in all; more are forgotten at once."""

_NAME = "kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    client: Client
    address: str
    until: float


class KeptTabs:
    """The frozen tabs of this replica, each under a random name."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._names: dict[str, str] = {}
        """Of each frozen tab's client, by its id."""

    def freeze(self, client: Client, address: str) -> bool:
        """Keep a tab, which shows `address`, if there is room for it."""
        if len(self._kept) >= MOST or self._of_session(_owner(client)) >= MOST_PER_SESSION:
            return False
        pause(client)
        detach(client)
        client.created = float("inf")  # NiceGUI ends tabs that have been without a socket for too long
        name = self._names[client.id] = secrets.token_urlsafe(16)
        self._kept[name] = _Kept(client=client, address=address, until=time.monotonic() + KEPT_SECONDS)
        return True

    def __contains__(self, client: Client) -> bool:
        return client.id in self._names

    def way_back(self, client_id: str) -> str:
        """The address that leads back to a frozen tab; empty for a tab that is none."""
        name = self._names.get(client_id)
        if name is None:
            return ""
        address = self._kept[name].address
        return f"{address}{'&' if '?' in address else '?'}{_NAME}={name}"

    def awaits(self, address: str, visit: Visit) -> bool:
        """Whether that address leads to a tab that was frozen in this browser."""
        kept = self._find(address)
        return kept is not None and _same_browser(kept.client, visit)

    def thaw(self, address: str, visit: Visit) -> Client | None:
        """The tab that the address leads to, now of the visit's session; None unless it is this account's own.

        Another account in the same browser makes it go for good.
        """
        kept = self._find(address)
        if kept is None or visit.session is None or not _same_browser(kept.client, visit):
            return None
        if kept.address != without_name(address):
            return None
        self._forget(name_in(address))
        own = visit_of(kept.client.request.scope)
        if own.session is None or own.session.principal != visit.session.principal:
            end_client(kept.client)
            return None
        own.session, own.address = visit.session, visit.address
        kept.client.created = time.time()
        make_ready(kept.client)
        resume(kept.client, visit.session)
        return kept.client

    def forget_old(self) -> None:
        """Let go of those whose person has not come back in time."""
        for name, kept in list(self._kept.items()):
            if kept.until < time.monotonic():
                self._forget(name)
                end_client(kept.client)

    def _forget(self, name: str) -> None:
        del self._names[self._kept.pop(name).client.id]

    def _of_session(self, hash: str) -> int:
        return sum(_owner(one.client) == hash for one in self._kept.values())

    def _find(self, address: str) -> _Kept | None:
        """The tab that an address names, if its time is not over."""
        kept = self._kept.get(name_in(address))
        return kept if kept is not None and time.monotonic() <= kept.until else None


def name_in(address: str) -> str:
    """The name of a frozen tab in an address, as we wrote it there, else empty."""
    names = [part for part in address.partition("?")[2].split("&") if part.startswith(f"{_NAME}=")]
    return names[0].partition("=")[2] if len(names) == 1 else ""


def without_name(address: str) -> str:
    """The address of the page itself."""
    path, _, query = address.partition("?")
    rest = "&".join(part for part in query.split("&") if not part.startswith(f"{_NAME}="))
    return f"{path}?{rest}" if rest else path


def _owner(client: Client) -> str:
    session = visit_of(client.request.scope).session
    return session.hash if session else ""


def _same_browser(client: Client, visit: Visit) -> bool:
    own = visit_of(client.request.scope).browser
    return bool(own) and own == visit.browser
