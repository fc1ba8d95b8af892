"""What the account of a page may do, learned anew now and then."""

from collections.abc import Callable, Iterable
from contextlib import suppress

from services.actions import Actions, Need, missing
from services.errors import ProxmoxError, SessionEnded, StoreError
from services.proxmox import Permissions
from ui.sight import regularly
from ui.visit import current_session

SECONDS = 30


class Rights:
    """Calls `news` whenever they have been asked for. Until they are known nothing is lacking: Proxmox decides."""

    def __init__(self, actions: Actions, news: Callable[[], None]) -> None:
        self._actions = actions
        self._news = news
        self._permissions: Permissions | None = None
        self.principal = current_session().principal
        """Whose they are; a page that was kept comes back to nobody else."""

        regularly(SECONDS, self._learn)

    def lacking(self, needs: Iterable[Need]) -> Need | None:
        """The first of these that is not met."""
        return missing(self._permissions, needs) if self._permissions is not None else None

    async def _learn(self) -> None:
        with suppress(SessionEnded, ProxmoxError, StoreError):
            self._permissions = await self._actions.permissions(current_session())
        self._news()
