"""What a page knows while it is built: the cluster as the account sees it, so that what is not there is a 404."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from services.feed import Feed, Picture
from ui.visit import current_session

PATIENCE = 1.5
"""Seconds; a page that takes longer is drawn without, and told later."""


@asynccontextmanager
async def first_picture(feed: Feed, patience: float = PATIENCE) -> AsyncGenerator[Picture]:
    """The present picture, or the first; an empty one where it does not come in time. The feed goes on meanwhile."""
    came: asyncio.Future[Picture] = asyncio.get_running_loop().create_future()

    def take(picture: Picture) -> None:
        if not came.done():
            came.set_result(picture)

    look = feed.look(current_session(), take)
    try:
        picture = Picture()
        with suppress(TimeoutError):
            picture = await asyncio.wait_for(came, patience)
        yield picture
    finally:
        look.stop()
