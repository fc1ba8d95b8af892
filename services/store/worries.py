"""What of a store's own settings may cost sessions, told to the administrator."""

import asyncio
import logging

from services.errors import StoreUnavailable
from services.store.connection import Store

logger = logging.getLogger(__name__)

_SAFE_POLICY = "noeviction"
_ASK_EVERY = 1.0


async def worries(store: Store) -> tuple[str, ...]:
    """A line for each, its mend included. Raises StoreUnavailable."""
    policies = await store.eviction_policies()
    unsafe = sorted(policies - {_SAFE_POLICY})
    found = [f"its eviction policy {policy} may drop sessions; set noeviction" for policy in unsafe]
    if store.exposed:
        found.append("whoever reaches it on the network may use it; give it a password, and REDIS_URL the same")
    return tuple(found)


async def tell_worries(store: Store) -> None:
    """Log them once, as soon as the store answers."""
    while True:
        try:
            for worry in await worries(store):
                logger.warning("the store: %s", worry)
        except StoreUnavailable:
            await asyncio.sleep(_ASK_EVERY)
        else:
            return
