"""What an account may see of the cluster, polled once per principal however many tabs and sessions look at it.

The poller borrows the credentials of one live session, moves on when that one ends, and stops with the last tab.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial

from services.errors import (
    BadAnswer,
    ClockOff,
    PrivilegeMissing,
    ProxmoxError,
    RequestRefused,
    SessionEnded,
    StoreError,
    Unreachable,
)
from services.proxmox import Address, Proxmox, ProxmoxClient, Resources
from services.sessions import Session, Sessions

logger = logging.getLogger(__name__)

PERIOD = 4.0
"""Seconds between two questions."""

SLOWEST = 8.0
"""Seconds between two questions while Proxmox does not answer, at the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The cluster as last seen. `taken` is Unix seconds, 0 before the first; `error` why there is no newer one.

    `unreached` are the addresses that gave no answer last time, and why; others may have answered in their place.
    """

    resources: Resources = field(default_factory=Resources)
    taken: float = 0
    error: ProxmoxError | StoreError | None = None
    unreached: Mapping[Address, ProxmoxError] = field(default_factory=dict[Address, ProxmoxError])


MEMBERS_PERIOD = 60.0
"""Seconds between two looks at who the cluster's members are."""

Listener = Callable[[Picture], None]


class Inventory:
    """One poller per principal, for as long as somebody looks."""

    def __init__(self, sessions: Sessions, proxmox: Proxmox) -> None:
        self._sessions = sessions
        self._proxmox = proxmox
        self._pollers: dict[str, _Poller] = {}

    def look(self, session: Session, listener: Listener) -> Callable[[], None]:
        """Tell `listener` every new picture, the present one at once; call the returned function to stop.

        It is told in the context of this call, whoever's context the poller began in.
        """
        listener = partial(copy_context().run, listener)
        poller = self._pollers.get(session.principal)
        if poller is None:
            poller = self._pollers[session.principal] = _Poller(self._sessions, self._proxmox, session.principal)
        lookers = poller.add(session, listener)

        def stop() -> None:
            if lookers.pop(listener, None) is not None and not lookers:
                poller.stop()
                self._pollers.pop(session.principal, None)

        return stop

    async def aclose(self) -> None:
        """Stop every poller."""
        for poller in self._pollers.values():
            poller.stop()
        self._pollers.clear()


class _Poller:
    def __init__(self, sessions: Sessions, proxmox: Proxmox, principal: str) -> None:
        self._sessions = sessions
        self._proxmox = proxmox
        self._principal = principal
        self._members_due = 0.0
        self._lookers: dict[Listener, Session] = {}
        self._picture = Picture()
        self._task = asyncio.create_task(self._run())

    def add(self, session: Session, listener: Listener) -> dict[Listener, Session]:
        self._lookers[listener] = session
        if self._picture.taken or self._picture.error:
            self._tell(listener)
        return self._lookers

    def stop(self) -> None:
        self._task.cancel()
        self._proxmox.forget_members(self._principal)

    async def _run(self) -> None:
        await asyncio.sleep(0)  # the first looker is added right after
        failures = 0
        while True:
            try:
                picture = await self._look()
            except Exception:  # a mistake of ours in one question must not end the pictures for good
                logger.exception("the poller stumbled")
                picture = None
            if picture is not None:
                failures = failures + 1 if picture.error else 0
                self._show(picture)
            await asyncio.sleep(_pause(failures))

    async def _look(self) -> Picture | None:
        """A new picture by the first session that is still alive; None when none is."""
        for session in dict.fromkeys(self._lookers.values()):
            try:
                async with self._sessions.credentials(session) as proxmox:
                    resources = await proxmox.resources()
                    await self._learn_members(proxmox)
                    return Picture(resources=resources, taken=time.time(), unreached=self._unreached())
            except SessionEnded:
                continue
            except (ProxmoxError, StoreError) as exc:
                return replace(self._picture, error=exc, unreached=self._unreached())
        return None

    async def _learn_members(self, proxmox: ProxmoxClient) -> None:
        """Now and then, the cluster's other nodes, for the day on which the configured ones are down."""
        if time.monotonic() < self._members_due:
            return
        self._members_due = time.monotonic() + MEMBERS_PERIOD
        try:
            with suppress(Unreachable, BadAnswer, RequestRefused, ClockOff):
                await proxmox.members()
        except PrivilegeMissing:
            self._proxmox.forget_members(self._principal)

    def _unreached(self) -> Mapping[Address, ProxmoxError]:
        return self._proxmox.troubles(self._principal)

    def _show(self, picture: Picture) -> None:
        self._picture = picture
        for listener in tuple(self._lookers):
            self._tell(listener)

    def _tell(self, listener: Listener) -> None:
        try:
            listener(self._picture)
        except Exception:  # one tab that fails must not keep the picture from the others
            logger.exception("a looker failed")


def _pause(failures: int) -> float:
    """Longer with every failure, and never in step with other pollers."""
    return min(PERIOD * 1.5**failures, SLOWEST) * random.uniform(0.85, 1)  # noqa: S311 - no secret
