"""The realms that Proxmox offers, asked for once however many login cards are open."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass

from services.errors import ProxmoxError
from services.proxmox import Proxmox, Realm

FRESH_SECONDS = 30
PATIENCE = 2.0
"""Seconds that a refused sign-in waits to be told whether its realm is gone."""

RETRY_SECONDS = 4
"""A failure is believed for so long, so that strangers cannot make us ask a Proxmox in trouble without end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Realms:
    """The realms as last read, and the trouble if they could not be read."""

    realms: tuple[Realm, ...] = ()
    error: ProxmoxError | None = None


class RealmDirectory:
    """Reads the realms live, at most every few seconds."""

    def __init__(self, proxmox: Proxmox) -> None:
        self._proxmox = proxmox
        self._last = Realms()
        self._until = float("-inf")
        self._asking: asyncio.Task[Realms] | None = None

    async def get(self) -> Realms:
        """The realms, sorted by label; never raises a ProxmoxError but carries it."""
        if time.monotonic() < self._until:
            return self._last
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def lacks(self, realm: str) -> bool:
        """Whether Proxmox tells which realms it offers, and this one is not among them."""
        with suppress(TimeoutError):
            known = await asyncio.wait_for(self.get(), PATIENCE)
            return known.error is None and all(one.realm != realm for one in known.realms)
        return False

    async def is_other(self, realm: str) -> bool:
        """Whether Proxmox tells of this realm, and that it is not an OpenID one."""
        with suppress(TimeoutError):
            known = await asyncio.wait_for(self.get(), PATIENCE)
            return any(one.realm == realm and one.type != "openid" for one in known.realms)
        return False

    def forget(self) -> None:
        """Ask anew the next time: something has changed."""
        self._until = float("-inf")

    async def _ask(self) -> Realms:
        try:
            realms = await self._proxmox.realms()
            self._last = Realms(
                realms=tuple(sorted(realms, key=lambda realm: (realm.comment or realm.realm).casefold()))
            )
        except ProxmoxError as exc:
            self._last = Realms(realms=self._last.realms, error=exc)
        self._until = time.monotonic() + (FRESH_SECONDS if self._last.error is None else RETRY_SECONDS)
        return self._last
