"""One poller per principal, for as long as somebody looks; and one answer for all that ask the same."""

from collections.abc import Callable, Hashable
from contextvars import copy_context
from functools import partial
from typing import TypeVar

from services.feed.desk import Desk
from services.feed.lender import Question, put
from services.feed.picture import Picture
from services.feed.poller import Look, Poller
from services.proxmox import Permissions, Proxmox
from services.sessions import Session, Sessions

T = TypeVar("T")

RIGHTS_SECONDS = 20
"""For so long it is not asked anew what an account may do: Proxmox has the last word anyway."""

Listener = Callable[[Picture], None]


class Feed:
    """Shows each account what it may see of the cluster."""

    def __init__(self, sessions: Sessions, proxmox: Proxmox) -> None:
        self._sessions = sessions
        self._proxmox = proxmox
        self._pollers: dict[str, Poller] = {}
        self._desk = Desk(sessions)

    def look(self, session: Session, listener: Listener) -> Look:
        """Tell `listener` every new picture, the present one at once, in the context (PEP 567) of this call."""
        principal = session.principal
        poller = self._pollers.get(principal)
        if poller is None:
            poller = Poller(self._sessions, self._proxmox, principal, gone=self._forget, back=self._desk.forgive)
            self._pollers[principal] = poller
        return poller.add(session, partial(copy_context().run, listener))

    async def ask(self, session: Session, key: Hashable, question: Question[T], fresh_for: float) -> T:
        """What one page wants besides, asked once for all tabs of the principal that want it:

            status = await feed.ask(session, ("status", node), lambda proxmox: proxmox.node_status(node), 5)

        `key` names the question; for `fresh_for` seconds its answer is given to whoever asks, without asking again.
        Raises SessionEnded, ProxmoxError and StoreError.
        """
        return await self._desk.ask(session, key, question, fresh_for)

    def picture(self, session: Session) -> Picture:
        """The latest for its principal, without a question; an empty one where nobody looks."""
        poller = self._pollers.get(session.principal)
        return poller.picture if poller else Picture()

    async def permissions(self, session: Session) -> Permissions:
        """What its principal may do, as it was a moment ago. Raises SessionEnded, ProxmoxError and StoreError."""
        return await self.ask(session, ("permissions",), lambda proxmox: proxmox.permissions(), RIGHTS_SECONDS)

    async def put(self, session: Session, question: Question[T]) -> T:
        """Ask for this session alone, and once: what changes something. Raises SessionEnded, ProxmoxError, StoreError.

        With a ticket that was refused but renewed meanwhile it is asked again: Proxmox has done nothing then.
        """
        return await put(self._sessions, session, question)

    def hurry(self, session: Session) -> None:
        """Something has changed: whoever looks sees it soon."""
        if poller := self._pollers.get(session.principal):
            poller.hurry()

    async def aclose(self) -> None:
        """Stop every poller, and every question under way."""
        for poller in self._pollers.values():
            poller.stop()
        self._pollers.clear()
        self._desk.close()

    def _forget(self, poller: Poller) -> None:
        if self._pollers.get(poller.principal) is poller:
            del self._pollers[poller.principal]
