"""The one room: rights, then the order, once, with the session's credentials; the task that it began, the audit event.

    upid = await actions.do(session, Power("start"), guest, address)
    task = await actions.followed(session, upid)

One order of a principal about one guest is on its way at a time, on whichever tab or replica: a second one meanwhile is
UnderWay. It may be sent again only where Proxmox has certainly done nothing with it: to the node that the guest has
moved to, or with a ticket that was renewed while it was on its way.
"""

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress

from redis.asyncio import Redis

from services.actions.orders import Order, needs_to_stop
from services.actions.rights import Need, missing
from services.audit import Audit, Event, Kind
from services.errors import (
    Outage,
    PrivilegeMissing,
    ProxgateError,
    ProxmoxError,
    StoreError,
    UnderWay,
    Unreachable,
)
from services.feed import Feed
from services.proxmox import Guest, Permissions, ProxmoxClient, Task
from services.sessions import Session
from services.store.connection import Store

RIGHTS_SECONDS = 30
"""For so long it is not asked anew what an account may do: Proxmox has the last word anyway."""

ON_ITS_WAY_MS = 20_000
"""Milliseconds after which an order counts as answered, though the process that sent it died."""

FOLLOW_SECONDS, PATIENCE = 1.0, 10
"""Seconds between two looks at a task, and how many in a row may fail."""

_GONE = re.compile(r"Configuration file '.*' does not exist|does not exist")
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class Actions:
    """Gives orders."""

    def __init__(self, feed: Feed, store: Store, audit: Audit) -> None:
        self._feed = feed
        self._store = store
        self._audit = audit

    async def permissions(self, session: Session) -> Permissions:
        """What this account may do, as it was a moment ago. Raises SessionEnded, ProxmoxError and StoreError."""
        return await self._feed.ask(session, "permissions", lambda proxmox: proxmox.permissions(), RIGHTS_SECONDS)

    async def do(self, session: Session, order: Order, guest: Guest, address: str = "") -> str:
        """Give this order; the UPID of the task that carries it out. `address` is the person's, for the log.

        Raises PrivilegeMissing, UnderWay, and what `permissions` raises; then nothing was begun, but for Unreachable
        with `sent`, where nobody knows.
        """
        try:
            upid = await self._do(session, order, guest)
        except ProxgateError as exc:
            await self._note(session, order, guest, address, type(exc).__name__)
            raise
        await self._note(session, order, guest, address, upid)
        self._feed.hurry(session)
        return upid

    async def stop_task(self, session: Session, upid: str, address: str = "") -> None:
        """Have a task end. Raises PrivilegeMissing, SessionEnded, ProxmoxError and StoreError."""
        outcome = "ok"
        try:
            if needs := needs_to_stop(upid, session.principal):
                _require(missing(await self.permissions(session), needs))
            await self._feed.put(session, lambda proxmox: proxmox.stop_task(upid))
        except ProxgateError as exc:
            outcome = type(exc).__name__
            raise
        finally:
            await self._tell(session, f"stop-task {upid}", address, outcome)
        self._feed.hurry(session)

    async def followed(self, session: Session, upid: str) -> Task:
        """The task, once it has ended. Raises SessionEnded, and ProxmoxError and StoreError once many looks failed.

        For a task that one may not look at it raises PrivilegeMissing at once.
        """
        failures = 0
        while True:
            try:
                task = await self._feed.ask(
                    session, ("task", upid), lambda proxmox: proxmox.task_status(upid), FOLLOW_SECONDS / 2
                )
            except PrivilegeMissing:
                raise
            except (ProxmoxError, StoreError):
                failures += 1
                if failures > PATIENCE:
                    raise
            else:
                failures = 0
                if not task.running:
                    self._feed.hurry(session)
                    return task
            await asyncio.sleep(FOLLOW_SECONDS)

    async def _do(self, session: Session, order: Order, guest: Guest) -> str:
        _require(missing(await self.permissions(session), order.needs(guest)))
        async with self._alone(session, guest):
            return await self._feed.put(session, lambda proxmox: _send(proxmox, order, guest))

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

    async def _note(self, session: Session, order: Order, guest: Guest, address: str, outcome: str) -> None:
        await self._tell(session, f"{order.name} {guest.type}/{guest.vmid} on {guest.node}", address, outcome)

    async def _tell(self, session: Session, about: str, address: str, outcome: str) -> None:
        await self._audit.note(
            Event(
                kind=Kind.ACTION,
                principal=session.principal,
                session=session.fingerprint,
                address=address,
                about=about,
                outcome=outcome,
            )
        )


def _require(lacking: Need | None) -> None:
    if lacking is not None:
        raise PrivilegeMissing(lacking.path, lacking.privileges[0])


async def _send(proxmox: ProxmoxClient, order: Order, guest: Guest) -> str:
    """Once; and once more to the node that the guest has moved to, where the first knew nothing of it any more."""
    try:
        return await order.send(proxmox, guest)
    except Unreachable as exc:
        if exc.outage is not Outage.FAILED or not _GONE.search(exc.words):
            raise
        moved = _moved((await proxmox.resources()).guests, guest)
        if moved is None:
            raise
    return await order.send(proxmox, moved)


def _moved(guests: Iterable[Guest], before: Guest) -> Guest | None:
    """The guest, at another node than before; None where it is nowhere else."""
    return next((one for one in guests if one.vmid == before.vmid and one.node != before.node), None)
