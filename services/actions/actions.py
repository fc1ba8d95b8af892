"""The one room: rights, then the order, once, with the session's credentials; the task that it began, the audit event.

    upid = await actions.do(session, Power("start"), guest, address)
    task = await actions.followed(session, upid, wanted=lambda: not page.is_deleted)

One order of a principal about one guest is on its way at a time, on whichever tab or replica: a second one meanwhile is
UnderWay. It may be sent again only where Proxmox has certainly done nothing with it: to the node that the guest has
moved to, or with a ticket that was renewed while it was on its way.
"""

import asyncio
import hashlib
import re
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from redis.asyncio import Redis

from services.actions.orders import Order, needs_to_stop
from services.actions.rights import Need, missing
from services.audit import Audit, Event, Kind
from services.errors import (
    Outage,
    PrivilegeMissing,
    ProxmoxError,
    StoreError,
    UnderWay,
    Unreachable,
)
from services.feed import Feed
from services.proxmox import Guest, Permissions, ProxmoxClient, Task
from services.sessions import Session
from services.store.connection import Store

ON_ITS_WAY_MS = 60_000
"""Milliseconds after which an order counts as answered, though the process that sent it died."""

FOLLOW_SECONDS = 1.0
"""Between two looks at the latest picture, which tells of most tasks."""

LOST_SECONDS = 6.0
"""After so long without a word in the pictures a task is asked about, and no more often than that."""

_GONE = re.compile(r"Configuration file '[^']*' does not exist|unable to find configuration file for")
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class Actions:
    """Gives orders."""

    def __init__(self, feed: Feed, store: Store, audit: Audit) -> None:
        self._feed = feed
        self._store = store
        self._audit = audit

    async def permissions(self, session: Session) -> Permissions:
        """What this account may do, as it was a moment ago. Raises SessionEnded, ProxmoxError and StoreError."""
        return await self._feed.permissions(session)

    async def do(self, session: Session, order: Order, guest: Guest, address: str = "") -> str:
        """Give this order; the UPID of the task that carries it out. `address` is the person's, for the log.

        Raises PrivilegeMissing, UnderWay, and what `permissions` raises. Nothing was begun then, but nobody knows after
        a BadAnswer, and after an Unreachable with `sent` that is no 500.
        """
        about = f"{order.name} {guest.type}/{guest.vmid} on {guest.node}"
        async with self._noted(session, about, address) as noted:
            _require(missing(await self.permissions(session), order.needs(guest)))
            async with self._alone(session, guest):
                sending = self._feed.put(session, lambda proxmox: _send(proxmox, order, guest))
                noted.outcome = await _in_time(sending)
        self._feed.hurry(session)
        return noted.outcome

    async def stop_task(self, session: Session, upid: str, address: str = "") -> None:
        """Have a task end. Raises PrivilegeMissing, SessionEnded, ProxmoxError and StoreError."""
        async with self._noted(session, f"stop-task {upid}", address) as noted:
            if needs := needs_to_stop(upid, session.principal):
                _require(missing(await self.permissions(session), needs))
            await self._feed.put(session, lambda proxmox: proxmox.stop_task(upid))
            noted.outcome = "ok"
        self._feed.hurry(session)

    async def followed(self, session: Session, upid: str, wanted: Callable[[], bool]) -> Task | None:
        """The task, once it has ended; None once that is not `wanted` any more. An outage is waited through.

        Raises SessionEnded, and PrivilegeMissing for a task that one may not look at.
        """
        silent_since = time.monotonic()
        while wanted():
            task = next((one for one in self._feed.picture(session).tasks or () if one.upid == upid), None)
            if task is not None:
                silent_since = time.monotonic()
            elif time.monotonic() > silent_since + LOST_SECONDS:
                silent_since = time.monotonic()
                task = await self._look_at(session, upid)
            if task is not None and not task.running:
                self._feed.hurry(session)
                return task
            await asyncio.sleep(FOLLOW_SECONDS)
        return None

    async def _look_at(self, session: Session, upid: str) -> Task | None:
        try:
            return await self._feed.ask(
                session, ("task", upid), lambda proxmox: proxmox.task_status(upid), FOLLOW_SECONDS
            )
        except PrivilegeMissing:
            raise
        except (ProxmoxError, StoreError):
            return None

    @asynccontextmanager
    async def _alone(self, session: Session, guest: Guest) -> AsyncGenerator[None]:
        """No other order of this principal about this guest meanwhile. Raises UnderWay and StoreUnavailable."""
        whose = hashlib.sha256(session.principal.encode("utf-8", "surrogatepass")).hexdigest()
        key, mark = self._store.key("order", whose, str(guest.vmid)), secrets.token_hex(8)

        async def take(client: Redis) -> bool:
            return bool(await client.set(key, mark, nx=True, px=ON_ITS_WAY_MS))

        async def release(client: Redis) -> None:
            await client.eval(_RELEASE, 1, key, mark)

        if not await self._store.run(take):
            raise UnderWay
        try:
            yield
        finally:
            with suppress(StoreError):  # it ends by itself
                await asyncio.shield(asyncio.ensure_future(self._store.run(release)))

    @asynccontextmanager
    async def _noted(self, session: Session, about: str, address: str) -> AsyncGenerator["_Noted"]:
        """Log it, whatever becomes of it."""
        noted = _Noted()
        try:
            yield noted
        except BaseException as exc:
            refused = isinstance(exc, Unreachable) and exc.outage is Outage.FAILED
            noted.outcome = "refused" if refused else type(exc).__name__
            raise
        finally:
            await self._audit.note(Event(
                kind=Kind.ACTION, principal=session.principal, session=session.fingerprint, address=address,
                about=about, outcome=noted.outcome,
            ))  # fmt: skip


@dataclass(slots=True)
class _Noted:
    """What became of something."""

    outcome: str = "unknown"


def _require(lacking: Need | None) -> None:
    """Raises PrivilegeMissing."""
    if lacking is not None:
        raise PrivilegeMissing(lacking.path, lacking.privileges[0])


async def _in_time(sending: Awaitable[str]) -> str:
    """Never longer than the mark in the store stands. Raises Unreachable, too."""
    try:
        async with asyncio.timeout(ON_ITS_WAY_MS / 1000 - 5):
            return await sending
    except TimeoutError:
        raise Unreachable("no answer in time") from None


async def _send(proxmox: ProxmoxClient, order: Order, guest: Guest) -> str:
    """Once; and once more to the node that the guest has moved to, where the first knew nothing of it any more."""
    try:
        return await order.send(proxmox, guest)
    except Unreachable as exc:
        if exc.outage is not Outage.FAILED or not _GONE.search(exc.words):
            raise
        moved = None
        with suppress(ProxmoxError):  # which says nothing of the order
            moved = _moved((await proxmox.resources()).guests, guest)
        if moved is None:
            raise
    return await order.send(proxmox, moved)


def _moved(guests: Iterable[Guest], before: Guest) -> Guest | None:
    """The guest, at another node than before; None where it is nowhere else."""
    same = (one for one in guests if (one.vmid, one.type, one.name) == (before.vmid, before.type, before.name))
    return next((one for one in same if one.node != before.node), None)
