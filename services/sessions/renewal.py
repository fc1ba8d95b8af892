"""The renewal of a ticket: once, however many requests, tabs and replicas ask at the same moment; all get the new one.

In one process they wait for one task, which no caller's hanging up cuts short; between replicas for a lock in the
store. A renewal that fails is not asked for again for a while, and nobody waits for it: the old ticket is still good.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from services.audit import Audit, Event, Kind
from services.errors import EndReason, ProxmoxError, SessionEnded, StoreError, TicketRejected
from services.proxmox import Credential, Proxmox, Ticket
from services.sessions.limits import Limits
from services.sessions.records import Found, Records
from services.sessions.session import Session
from services.telemetry import figures

LOCK_MS = 15_000
"""Milliseconds after which the lock of a process that died is free again; longer than any renewal takes."""

WAIT_SECONDS = 2.0
"""For so long another replica's renewal is waited for; then the old ticket goes on."""

_POLL_SECONDS = 0.05

Read = Callable[[Session], Awaitable[Found]]
"""Reads a session's record as it is now. Raises SessionEnded."""


class Renewals:
    """Renews the tickets of sessions. `read` and `end` are the sessions' own."""

    def __init__(
        self,
        records: Records,
        proxmox: Proxmox,
        limits: Limits,
        audit: Audit,
        read: Read,
        end: Callable[[Session, EndReason], Awaitable[None]],
    ) -> None:
        self._records = records
        self._proxmox = proxmox
        self._limits = limits
        self._audit = audit
        self._read = read
        self._end = end
        self._under_way: dict[str, asyncio.Task[Found]] = {}
        self._paused: dict[str, float] = {}

    def due(self, found: Found) -> bool:
        """Whether the ticket, if it is one, has reached the age at which it is renewed."""
        credential = found.record.credential
        return isinstance(credential, Ticket) and found.now - credential.issued >= self._limits.renew_ticket

    async def renewed(self, session: Session, found: Found) -> Found:
        """The session's record once its ticket was renewed, or as it was `found` where that could not be.

        Raises SessionEnded when Proxmox refuses the ticket; any other trouble leaves the old one in use.
        """
        if time.monotonic() < self._paused.get(session.hash, 0):
            return found
        task = self._under_way.get(session.hash)
        if task is None:
            task = self._under_way[session.hash] = asyncio.create_task(self._try(session))
            task.add_done_callback(lambda done: self._forget(session.hash, done))
        return await asyncio.shield(task)

    def _forget(self, hash: str, done: asyncio.Task[Found]) -> None:
        self._under_way.pop(hash, None)
        if not done.cancelled():
            done.exception()  # was told to whoever waited, if anybody still did

    async def _try(self, session: Session) -> Found:
        """A store that takes no writes, as when it is full, ends nothing either: for a while nobody asks it again."""
        try:
            return await self._renew_or_wait(session)
        except StoreError as exc:
            now = time.monotonic()
            self._paused = {hash: until for hash, until in self._paused.items() if until > now}
            self._paused[session.hash] = now + LOCK_MS / 1000
            await self._tell(session, exc)
            with suppress(StoreError):
                await self._records.unlock(session.hash)
            return await self._read(session)

    async def _renew_or_wait(self, session: Session) -> Found:
        if not await self._records.lock(session.hash, LOCK_MS):
            await self._wait(session.hash)
            return await self._read(session)
        found = await self._read(session)  # again: somebody may have renewed it before we had the lock
        credential = found.record.credential
        if not isinstance(credential, Ticket) or not self.due(found):
            await self._records.unlock(session.hash)
            return found
        return await self._renew(session, found, credential)

    async def _renew(self, session: Session, found: Found, old: Ticket) -> Found:
        try:
            new = await self._proxmox.renew(by_our_clock(old, found.now))
        except TicketRejected as exc:
            figures.RENEWALS.labels(type(exc).__name__).inc()
            await self._end(session, EndReason.REJECTED)
            raise SessionEnded(EndReason.REJECTED) from exc
        except ProxmoxError as exc:
            await self._tell(session, exc)
            await self._records.pause(session.hash, LOCK_MS)
            return found
        record = replace(found.record, credential=by_stores_clock(new, await self._records.now(session.id)))
        figures.RENEWALS.labels(figures.OK).inc()
        if await self._records.rewrite(session.id, record):
            await self._records.unlock(session.hash)
        return await self._read(session)

    async def _wait(self, hash: str) -> None:
        """Until whoever has the lock is done, but not for long."""
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until and await self._records.under_way(hash):  # noqa: ASYNC110 - it is no task here
            await asyncio.sleep(_POLL_SECONDS)

    async def _tell(self, session: Session, error: ProxmoxError | StoreError) -> None:
        await self._audit.note(Event(
            kind=Kind.RENEWAL_FAILED, principal=session.principal, session=session.fingerprint,
            outcome=type(error).__name__,
        ))  # fmt: skip


C = TypeVar("C", bound=Credential)


def by_stores_clock(credential: C, now: float) -> C:
    """A credential that Proxmox gave just now, its age told by the store's clock, which shows `now`."""
    return _aged(credential, now - max(0.0, time.time() - _issued(credential)))


def by_our_clock(credential: C, now: float) -> C:
    """A credential from the store, whose clock shows `now`, its age told by our own: what is sent to Proxmox."""
    return _aged(credential, time.time() - (now - _issued(credential)))


def _issued(credential: Credential) -> float:
    return credential.issued if isinstance(credential, Ticket) else 0


def _aged(credential: C, issued: float) -> C:
    return replace(credential, issued=issued) if isinstance(credential, Ticket) else credential
