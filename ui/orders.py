"""Orders of one page about one guest: confirmed, sent once, followed to the end, and told what came of them."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

from services.actions import Actions, Need, Order, missing
from services.errors import ProxgateError, ProxmoxError, SessionEnded, StoreError
from services.proxmox import Guest, Permissions
from ui import text
from ui.confirm import Confirm
from ui.failure import Failure
from ui.sight import regularly
from ui.toast import Toast
from ui.visit import address_of_person, current_session

RIGHTS_SECONDS = 30
"""How often a page asks what its account may do."""


class Orders:
    """Those about the guest that `guest` names just now; drawn where the page's dialog and failures belong."""

    def __init__(self, actions: Actions, guest: Callable[[], Guest | None]) -> None:
        self._actions = actions
        self._guest = guest
        self._permissions: Permissions | None = None
        self._listeners: list[Callable[[], None]] = []
        self._confirm = Confirm()
        self._failure = Failure()
        self._toast = Toast()
        self.principal = current_session().principal
        """Who acts."""

        self.sent: Order | None = None
        """What was sent from here and has not ended yet."""

        regularly(RIGHTS_SECONDS, self._learn)

    def on_news(self, listener: Callable[[], None]) -> None:
        """Call it whenever rights are known anew, an order is sent, or one has ended."""
        self._listeners.append(listener)

    def lacking(self, order: Order) -> Need | None:
        """What this account lacks for it; nothing while that is not known, since Proxmox has the last word."""
        guest = self._guest()
        if self._permissions is None or guest is None:
            return None
        return missing(self._permissions, order.needs(guest))

    async def ask_and_give(
        self,
        order: Callable[[], Order],
        *,
        danger: bool = False,
        fields: Callable[[], None] | None = None,
        about: str = "",
        then: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Have it confirmed; then give what `order` makes of the dialog's fields, and call `then` when it has ended.

        `about` is what of the guest it is about, as a snapshot's name.
        """
        guest = self._guest()
        if guest is None or self.sent is not None or self.lacking(order()) is not None:
            return
        name, called = order().name, about or guest.name or str(guest.vmid)
        title, what = text.order_title(name, called), text.order_what(name)
        if await self._confirm.ask(title, what, text.order(name), danger=danger, fields=fields):
            await self.give(order())
            if then is not None:
                await then()

    async def give(self, order: Order) -> None:
        """Give it, and follow it to the end."""
        guest = self._guest()
        if guest is None or self.sent is not None:
            return
        self._failure.clear()
        self._toast.clear()
        self.sent = order
        self._tell()
        try:
            await self._follow(order, guest)
        finally:
            self.sent = None
            self._tell()

    async def _follow(self, order: Order, guest: Guest) -> None:
        called = guest.name or str(guest.vmid)
        session = current_session()
        try:
            upid = await self._actions.do(session, order, guest, address_of_person())
            task = await self._actions.followed(session, upid)
        except SessionEnded:  # the page says so by itself
            return
        except ProxgateError as exc:
            self._failure.show_error(text.order_failed(order.name, called), exc, session.principal)
        else:
            if task.failed:
                self._failure.show_task(text.order_failed(order.name, called), task)
            else:
                self._toast.say(text.order_done(order.name, called))

    async def _learn(self) -> None:
        with suppress(SessionEnded, ProxmoxError, StoreError):
            self._permissions = await self._actions.permissions(current_session())
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()
