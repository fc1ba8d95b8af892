"""The poller: borrows the credentials of a live session, moves on when that one ends, and stops with the last look."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from contextvars import Context
from dataclasses import replace
from typing import Any, TypeVar

from services.errors import PrivilegeMissing, ProxmoxError, StoreError
from services.feed import pace
from services.feed.checkup import Checkup
from services.feed.lender import Lender, part
from services.feed.pace import Rest
from services.feed.picture import Health, Picture
from services.proxmox import Address, Proxmox, ProxmoxClient, Resources, Task
from services.sessions import Session, Sessions

logger = logging.getLogger(__name__)

A = TypeVar("A")
B = TypeVar("B")

PATIENCE = 2.0
"""Seconds that a picture waits for the tasks."""

TASKS_KEPT = 300.0
"""Seconds after which tasks that cannot be read anew are known no longer."""


class Look:
    """Somebody's look at the feed, from `Feed.look`."""

    def __init__(self, session: Session, tell: Callable[[Picture], None], poller: "Poller") -> None:
        self.session = session
        self.tell = tell
        self.hidden = False
        self._poller = poller

    def hide(self, hidden: bool) -> None:
        """Whether the tab is out of its person's sight: once all are, the feed slows down."""
        self.hidden = hidden
        self._poller.stir()

    def stop(self) -> None:
        """Be told nothing more. To stop twice is to stop once."""
        self._poller.remove(self)


class Poller:
    """Asks for one principal, from the first look until the last one stops; then it tells `gone`.

    `back` is told its principal when Proxmox answers again, before whoever looks is.
    """

    def __init__(
        self,
        sessions: Sessions,
        proxmox: Proxmox,
        principal: str,
        gone: "Callable[[Poller], None]",
        back: Callable[[str], None],
    ) -> None:
        self._proxmox = proxmox
        self.principal = principal
        self._gone = gone
        self._back = back
        self._looks: dict[Look, None] = {}
        self._picture = Picture()
        self._failures = 0
        self._hurried = False
        self._tasks_read = 0.0  # by `time.monotonic()`
        self._lender = Lender(sessions, lambda: [look.session for look in self._looks])
        self._rest, self._rest_of_checkup = Rest(), Rest()
        self._well = asyncio.Event()
        self._checkup = Checkup(self._lender, forget_members=self._forget_members)
        # Not in the name of whose request began it: it works for all of the account's tabs, for hours.
        self._tasks = [asyncio.create_task(work, context=Context()) for work in (self._run(), self._run_checkup())]

    @property
    def picture(self) -> Picture:
        """The latest."""
        return self._picture

    def add(self, session: Session, listener: Callable[[Picture], None]) -> Look:
        """Show it the present picture, if there is one, and every new one."""
        look = Look(session, listener, self)
        self._looks[look] = None
        if self._picture.taken or self._picture.error:
            self._tell(look)
        self.stir()
        return look

    def remove(self, look: Look) -> None:
        """Show it nothing more."""
        if self._looks.pop(look, look) is None and not self._looks:
            self.stop()
            self._gone(self)

    def stir(self) -> None:
        """Somebody came, or looks this way again: perhaps it is time for the next question."""
        self._rest.stir()
        self._rest_of_checkup.stir()

    def hurry(self) -> None:
        """Something has changed: ask again soon."""
        self._hurried = True
        self._rest.stir()

    def stop(self) -> None:
        """Ask nothing more."""
        for task in self._tasks:
            task.cancel()
        self._forget_members()

    # below: the pictures

    async def _run(self) -> None:
        await asyncio.sleep(0)  # the first look is added right after
        while True:
            await _surely(self._refresh())
            await _pause(self._rest, self._period)

    async def _refresh(self) -> None:
        self._hurried = False
        picture = await self._look()
        if picture is not None:
            if self._failures and not picture.error:
                self._back(self.principal)
            self._failures = self._failures + 1 if picture.error else 0
            self._show(picture)

    async def _look(self) -> Picture | None:
        """A new picture, the old one where there is trouble; None when no session is left."""
        try:
            return await self._lender.ask(self._see)
        except (ProxmoxError, StoreError) as exc:
            return replace(self._picture, error=exc, unreached=self._unreached())

    async def _see(self, proxmox: ProxmoxClient) -> Picture:
        if self._failures:  # one question is enough to see whether it answers again
            resources, tasks = await proxmox.resources(), self._picture.tasks
        else:
            resources, tasks = await _both(proxmox.resources(), self._latest_tasks(proxmox))
        return Picture(
            resources=resources,
            tasks=tasks,
            taken=time.time(),
            health=self._picture.health,
            unreached=self._unreached(),
        )

    async def _latest_tasks(self, proxmox: ProxmoxClient) -> tuple[Task, ...] | None:
        """As known, for a while, where they cannot be had soon: no picture waits long. None where they may not be had.

        Raises TicketRejected.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                return await part(self._read_tasks(proxmox), self._known_tasks())
        return self._known_tasks()

    async def _read_tasks(self, proxmox: ProxmoxClient) -> tuple[Task, ...] | None:
        with suppress(PrivilegeMissing):
            tasks = await proxmox.tasks()
            self._tasks_read = time.monotonic()
            return tasks
        return None

    def _known_tasks(self) -> tuple[Task, ...] | None:
        return self._picture.tasks if time.monotonic() - self._tasks_read < TASKS_KEPT else None

    def _period(self) -> float:
        usual = pace.period(hidden=self._hidden, busy=self._picture.busy, failures=self._failures)
        return min(usual, pace.SOON) if self._hurried and not self._failures else usual

    @property
    def _hidden(self) -> bool:
        return all(look.hidden for look in self._looks)

    def _unreached(self) -> Mapping[Address, ProxmoxError]:
        return self._proxmox.troubles(self.principal)

    # below: the health

    async def _run_checkup(self) -> None:
        while True:
            await self._well.wait()  # in trouble there is nothing to learn
            await _surely(self._learn(self._checkup.look))
            if self._checkup.backups_due:
                await _surely(self._learn(self._checkup.look_at_backups))
            await _pause(self._rest_of_checkup, lambda: Checkup.period(hidden=self._hidden))

    async def _learn(self, look: Callable[[Resources], Awaitable[Health | None]]) -> None:
        with suppress(ProxmoxError, StoreError):  # the pictures tell of that
            health = await look(self._picture.resources)
            if health is not None and health != self._picture.health:
                self._show(replace(self._picture, health=health))

    def _forget_members(self) -> None:
        self._proxmox.forget_members(self.principal)

    # below: who is told

    def _show(self, picture: Picture) -> None:
        self._picture = picture
        if picture.error:
            self._well.clear()
        else:
            self._well.set()
        for look in tuple(self._looks):
            self._tell(look)

    def _tell(self, look: Look) -> None:
        try:
            look.tell(self._picture)
        except Exception:  # one tab that fails must not keep the picture from the others
            logger.exception("a listener failed")


async def _both(first: Awaitable[A], second: Awaitable[B]) -> tuple[A, B]:
    """Both answers. The first error ends the other question, too, before the credentials are given back."""
    tasks = asyncio.ensure_future(first), asyncio.ensure_future(second)
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _surely(work: Coroutine[Any, Any, None]) -> None:
    """A mistake of ours in one question must not end the pictures for good."""
    try:
        await work
    except Exception:
        logger.exception("the poller stumbled")


async def _pause(rest: Rest, seconds: Callable[[], float]) -> None:
    """A mistake of ours in reckoning how long must not end the pictures either, nor make a storm of them."""
    try:
        await rest.wait(seconds)
    except Exception:
        logger.exception("the poller stumbled")
        await asyncio.sleep(pace.HIDDEN)
