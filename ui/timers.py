"""NiceGUI's timers of pages: none runs unless its session was confirmed less than a second ago."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from nicegui.elements.timer import Timer

from services.sessions.watch import Watch
from ui.visit import visit_of

_LOOK_SECONDS = 0.1


def guard_timers(watch: Watch) -> None:
    """Let the timers of a tab wait while its session is not known to live; they go with the tab."""
    plain = cast(Any, Timer)._invoke_callback  # the name is private: the version is held
    original: Callable[[Timer], Awaitable[None]] = getattr(plain, "original", plain)  # tests compose more than once

    async def invoke(timer: Timer) -> None:
        visit = visit_of(timer.client.request.scope)
        while visit.session is not None and not watch.alive(visit.session.hash):  # noqa: ASYNC110 - it may be another
            await asyncio.sleep(_LOOK_SECONDS)  # session by then
        await original(timer)

    cast(Any, invoke).original = original
    cast(Any, Timer)._invoke_callback = invoke
