"""What of a store's own settings may cost sessions, told to the administrator."""

import asyncio
import logging

from services.errors import StoreUnavailable
from services.store.connection import Store

logger = logging.getLogger(__name__)

_SAFE_POLICY = "noeviction"
_ASK_EVERY = 1.0

_OUTAGES = {
    "AuthenticationError": "refuses the user or the password",
    "WRONGPASS": "refuses the user or the password",
    "NOAUTH": "wants a password",
    "NoPermissionError": "does not let its user do all that is needed",
    "NOPERM": "does not let its user do all that is needed",
    "TimeoutError": "does not answer in time",
    "ConnectionError": "cannot be connected to",
    "MasterNotFoundError": "is not known to the Sentinels, or they do not answer",
    "ReadOnlyError": "takes no writes",
}


async def worries(store: Store) -> tuple[str, ...]:
    """A line for each, its mend included. Raises StoreUnavailable."""
    policies = await store.eviction_policies()
    unsafe = sorted(policies - {_SAFE_POLICY})
    found = [f"its eviction policy {policy} may drop sessions; set noeviction" for policy in unsafe]
    if store.exposed:
        found.append("whoever reaches it on the network may use it; give it a password, and REDIS_URL the same")
    return tuple(found)


def outage(error: StoreUnavailable) -> str:
    """What keeps the store from serving, as far as its client knows, and what to look at."""
    return f"it {_OUTAGES.get(str(error), f'does not serve ({error})')}; look at REDIS_URL"


async def keep_telling(store: Store) -> None:
    """Log its worries, and then, for ever, each outage and its end."""
    await tell_worries(store)
    await tell_outages(store)


async def tell_worries(store: Store) -> None:
    """Log them once, as soon as the store answers; and once that it does not."""
    told = False
    while True:
        try:
            for worry in await worries(store):
                logger.warning("the store: %s", worry)
        except StoreUnavailable as exc:
            if not told:
                logger.error("the store: %s; nobody can sign in until then", outage(exc))  # noqa: TRY400
            told = True
            await asyncio.sleep(_ASK_EVERY)
        else:
            return


async def tell_outages(store: Store) -> None:
    """Log, for ever, that the store has stopped serving, and that it is back."""
    down = False
    while True:
        try:
            await store.ping()
        except StoreUnavailable as exc:
            if not down:
                logger.error("the store: %s", outage(exc))  # noqa: TRY400
            down = True
        else:
            if down:
                logger.warning("the store is back")
            down = False
        await asyncio.sleep(_ASK_EVERY)
