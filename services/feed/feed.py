"""One poller per principal, for as long as somebody looks."""

from collections.abc import Callable
from contextvars import copy_context
from functools import partial

from services.feed.picture import Picture
from services.feed.poller import Look, Poller
from services.proxmox import Proxmox
from services.sessions import Session, Sessions

Listener = Callable[[Picture], None]


class Feed:
    """Shows each account what it may see of the cluster."""

    def __init__(self, sessions: Sessions, proxmox: Proxmox) -> None:
        self._sessions = sessions
        self._proxmox = proxmox
        self._pollers: dict[str, Poller] = {}

    def look(self, session: Session, listener: Listener) -> Look:
        """Tell `listener` every new picture, the present one at once, in the present context (PEP 567)."""
        look = Look(session, partial(copy_context().run, listener), self._leave)
        poller = self._pollers.get(session.principal)
        if poller is None:
            poller = self._pollers[session.principal] = Poller(self._sessions, self._proxmox, session.principal)
        poller.add(look)
        return look

    async def aclose(self) -> None:
        """Stop every poller."""
        for poller in self._pollers.values():
            poller.stop()
        self._pollers.clear()

    def _leave(self, look: Look) -> None:
        poller = self._pollers.get(look.session.principal)
        if poller is not None and poller.remove(look):
            poller.stop()
            del self._pollers[look.session.principal]
