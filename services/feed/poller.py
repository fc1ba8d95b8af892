"""The poller: borrows the credentials of a live session, moves on when that one ends, and stops with the last look."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

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
from services.feed.picture import Picture
from services.proxmox import Address, Proxmox, ProxmoxClient
from services.sessions import Session, Sessions

logger = logging.getLogger(__name__)

PERIOD = 4.0
"""Seconds between two questions."""

SLOWEST = 8.0
"""Seconds between two questions while Proxmox does not answer, at the most."""

MEMBERS_PERIOD = 60.0
"""Seconds between two looks at who the cluster's members are."""


class Look:
    """Somebody's look at the feed, from `Feed.look`."""

    def __init__(self, session: Session, tell: Callable[[Picture], None], leave: "Callable[[Look], None]") -> None:
        self.session = session
        self.tell = tell
        self.hidden = False
        self._leave = leave

    def hide(self, hidden: bool) -> None:
        """Whether the tab is out of its person's sight: once all are, the feed slows down."""
        self.hidden = hidden

    def stop(self) -> None:
        """Be told nothing more. To stop twice is to stop once."""
        self._leave(self)


class Poller:
    """Asks for one principal, from the first look until it is stopped."""

    def __init__(self, sessions: Sessions, proxmox: Proxmox, principal: str) -> None:
        self._sessions = sessions
        self._proxmox = proxmox
        self._principal = principal
        self._members_due = 0.0
        self._looks: dict[Look, None] = {}
        self._picture = Picture()
        self._task = asyncio.create_task(self._run())

    def add(self, look: Look) -> None:
        """Show it the present picture, if there is one, and every new one."""
        self._looks[look] = None
        if self._picture.taken or self._picture.error:
            self._tell(look)

    def remove(self, look: Look) -> bool:
        """Show it nothing more; whether it was the last."""
        return self._looks.pop(look, look) is None and not self._looks

    def stop(self) -> None:
        """Ask nothing more."""
        self._task.cancel()
        self._proxmox.forget_members(self._principal)

    async def _run(self) -> None:
        await asyncio.sleep(0)  # the first look is added right after
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
        for session in dict.fromkeys(look.session for look in self._looks):
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
        for look in tuple(self._looks):
            self._tell(look)

    def _tell(self, look: Look) -> None:
        try:
            look.tell(self._picture)
        except Exception:  # one tab that fails must not keep the picture from the others
            logger.exception("a listener failed")


def _pause(failures: int) -> float:
    """Longer with every failure, and never in step with other pollers."""
    return min(PERIOD * 1.5**failures, SLOWEST) * random.uniform(0.85, 1)  # noqa: S311 - no secret
