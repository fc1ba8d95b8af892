"""The addresses of the guests in view. Each guest has to be asked itself: few at a time, and once a minute.

Only Proxmox knows a container's, only its agent a virtual machine's. What nobody can tell is a dash; what this account
may not know is left out.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from weakref import WeakValueDictionary

from services.errors import PrivilegeMissing, ProxmoxError, SessionEnded, StoreError
from services.feed import Feed
from services.proxmox import Guest
from services.proxmox.network import reachable
from services.sessions import Session
from ui import text

AT_ONCE = 4
"""Guests that are asked at once for one account, in however many tabs."""

FRESH_SECONDS = 60.0
GATHER_SECONDS = 0.15
"""Answers that come close together are told together."""

MOST_SHOWN = 4


class AddressBook:
    """What all tabs share: whose turn it is to ask."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def ask(self, session: Session, guest: Guest) -> str:
        """What to show as a guest's addresses. Raises SessionEnded."""
        async with self._turn(session.principal):
            try:
                found = await self._feed.ask(
                    session,
                    ("interfaces", guest.node, guest.type, guest.vmid),
                    lambda proxmox: proxmox.interfaces(guest.node, guest.type, guest.vmid),
                    FRESH_SECONDS,
                )
            except PrivilegeMissing:
                return ""
            except SessionEnded:
                raise
            except (ProxmoxError, StoreError):
                return text.UNKNOWN
        return _words(reachable(found or ()))

    def _turn(self, principal: str) -> asyncio.Semaphore:
        return self._turns.setdefault(principal, asyncio.Semaphore(AT_ONCE))


class Addresses:
    """One tab's: tells what it learns, by the guests' numbers."""

    def __init__(self, book: AddressBook, tell: Callable[[Mapping[int, str]], None]) -> None:
        self._book = book
        self._tell = tell
        self._session: Session | None = None
        self._due: dict[int, Guest] = {}
        self._asked: dict[int, float] = {}
        self._news: dict[int, str] = {}
        self._telling: asyncio.TimerHandle | None = None
        self._workers: set[asyncio.Task[None]] = set()

    def begin(self, session: Session) -> Callable[[], None]:
        """Ask from now on, for this session; call what it returns to stop."""
        self._session = session
        self._asked.clear()
        return self._stop

    def look(self, guests: Sequence[Guest]) -> None:
        """These are in view, and nobody cares for the others any more."""
        if self._session is None:
            return
        running = {guest.vmid: guest for guest in guests if guest.status == "running"}
        old = time.monotonic() - FRESH_SECONDS
        self._asked = {vmid: at for vmid, at in self._asked.items() if at > old and vmid in running}
        self._due = {vmid: guest for vmid, guest in running.items() if vmid not in self._asked}
        for _ in range(min(AT_ONCE, len(self._due)) - len(self._workers)):
            worker = asyncio.create_task(self._work(self._session))
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def _work(self, session: Session) -> None:
        while self._due:
            vmid, guest = next(iter(self._due.items()))
            del self._due[vmid]
            self._asked[vmid] = time.monotonic()
            try:
                words = await self._book.ask(session, guest)
            except SessionEnded:
                return
            self._note(vmid, words)

    def _note(self, vmid: int, words: str) -> None:
        self._news[vmid] = words
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._tell_news)

    def _tell_news(self) -> None:
        self._telling = None
        news, self._news = self._news, {}
        self._tell(news)

    def _stop(self) -> None:
        self._session = None
        self._due.clear()
        self._news.clear()
        for worker in self._workers:
            worker.cancel()
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None


def _words(addresses: Sequence[str]) -> str:
    """The first of them, those of version 4 before the others."""
    ordered = sorted(addresses, key=lambda address: ":" in address)
    more = "…" if len(ordered) > MOST_SHOWN else ""
    return ", ".join(ordered[:MOST_SHOWN]) + more or text.UNKNOWN
