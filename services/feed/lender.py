"""Whose credentials a principal's questions are asked with: any of its sessions that is alive and looks."""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import TypeVar

from services.errors import ProxmoxError, SessionEnded, TicketRejected
from services.proxmox import ProxmoxClient
from services.sessions import Session, Sessions

T = TypeVar("T")
U = TypeVar("U")

Question = Callable[[ProxmoxClient], Awaitable[T]]


class Lender:
    """Asks with the first session that lives, of those that `present` names at that moment."""

    def __init__(self, sessions: Sessions, present: Callable[[], Iterable[Session]]) -> None:
        self._sessions = sessions
        self._present = present

    async def ask(self, question: Question[T]) -> T | None:
        """The answer; None with no session left. Raises ProxmoxError and StoreError."""
        for session in dict.fromkeys(self._present()):
            try:
                return await put(self._sessions, session, question)
            except SessionEnded:
                continue
        return None


async def put(sessions: Sessions, session: Session, question: Question[T]) -> T:
    """The answer, asked with this session's credentials. Raises SessionEnded, ProxmoxError and StoreError.

    A ticket that is refused ends the session, unless it was renewed while the question was on its way: then the
    question is asked once more, with the new one.
    """
    with suppress(TicketRejected):
        async with sessions.credentials(session) as proxmox:
            return await question(proxmox)
    async with sessions.credentials(session) as proxmox:
        return await question(proxmox)


async def part(answer: Awaitable[T], otherwise: U) -> T | U:
    """An answer without which the rest is of use all the same. Raises only TicketRejected, which ends a session."""
    try:
        return await answer
    except TicketRejected:
        raise
    except ProxmoxError:
        return otherwise
