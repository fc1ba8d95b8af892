"""What keeps the sessions in use on this replica well: tickets renewed before they die, and word of ends elsewhere."""

import asyncio
import logging
from contextlib import suppress

from services.errors import ProxmoxError, SessionEnded, StoreError
from services.sessions.sessions import ENDED_CHANNEL, Sessions
from services.sessions.watch import Watch
from services.store.connection import Store

logger = logging.getLogger(__name__)

LONGEST_PERIOD = 60.0
"""Seconds between two looks at the tickets of open tabs, at the most."""

_RECONNECT_SECONDS = 1.0


async def keep_fresh(sessions: Sessions, watch: Watch) -> None:
    """Renew, for ever, the tickets of open tabs when they are due: a form may stay open for longer than a ticket.

    That is no use of the session: its idle limit stays where it is.
    """
    period = min(LONGEST_PERIOD, sessions.limits.renew_ticket / 2)
    while True:
        await asyncio.sleep(period)
        for session in watch.sessions():
            try:
                with suppress(SessionEnded, StoreError, ProxmoxError):  # the watch, or the next use, tells
                    await sessions.keep_fresh(session)
            except Exception:  # the others' tickets grow old too
                logger.exception("a ticket could not be kept fresh")


async def listen(sessions: Sessions, watch: Watch, store: Store) -> None:
    """Hear, for ever, of ends on other replicas. Without it everything ends just as surely, a little later."""
    while True:
        try:
            async for message in store.listen(ENDED_CHANNEL):
                watch.heard(*sessions.heard_of_end(message))
        except StoreError:
            pass
        except Exception:
            logger.exception("hearing of ends stumbled")
        await asyncio.sleep(_RECONNECT_SECONDS)
