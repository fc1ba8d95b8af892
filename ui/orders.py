"""Orders of one page about one guest: confirmed, sent once, followed to the end, and told what came of them."""

from collections.abc import Callable
from typing import Protocol

from nicegui import ui

from services.actions import Actions, Need, Order, Power
from services.errors import ProxgateError, SessionEnded
from services.feed import Picture
from services.proxmox import Guest, Task
from ui import text
from ui.confirm import Confirm, Fields
from ui.failure import Failure
from ui.rights import Rights
from ui.toast import Toast
from ui.visit import address_of_person, current_session

_CONSOLES = {"vncproxy", "vncshell", "spiceproxy", "spiceshell", "termproxy"}
"""Tasks that do nothing to a guest, for as long as somebody looks at it."""

_SHUTDOWNS = {"qmshutdown", "vzshutdown", "qmreboot", "vzreboot"}


class Form(Fields, Protocol):
    """Fields that make an order."""

    def order(self) -> Order:
        """What has been filled in."""
        ...


class Orders:
    """Those about the guest that a page shows; drawn where the page's dialog and failures belong."""

    def __init__(self, actions: Actions) -> None:
        self._actions = actions
        self.rights = Rights(actions, self._tell)
        self._listeners: list[Callable[[], None]] = []
        self.guest: Guest | None = None
        """As it is in the last picture; None where it is not."""

        self.task: Task | None = None
        """What Proxmox is known to do with it just now, whoever began it."""

        self.old = False
        """Whether nothing newer is known just now."""

        self.sent: Order | None = None
        """What was sent from here and has not ended yet."""

        with ui.element("div") as self._place:
            self._confirm = Confirm()
            self._failure = Failure()
            self._toast = Toast()

    @property
    def busy(self) -> bool:
        """Whether something is done with the guest: until that has ended no other order is given from here."""
        return self.task is not None or self.sent is not None

    @property
    def shuts_down(self) -> bool:
        """Whether it is being shut down, which may take minutes, or for ever: to stop it need not wait for that."""
        sent = self.sent is None or self.sent in (Power("shutdown"), Power("reboot"))
        return self.busy and sent and (self.task is None or self.task.type in _SHUTDOWNS)

    def _waits(self, order: Order) -> bool:
        """Whether it has to, until what goes on has ended."""
        return self.busy and not (self.shuts_down and isinstance(order, Power) and order.overrule)

    def on_news(self, listener: Callable[[], None]) -> None:
        """Call it whenever a picture came, rights are known anew, an order is sent, or one has ended."""
        self._listeners.append(listener)

    def show(self, guest: Guest | None, picture: Picture) -> None:
        """The guest is now as this picture has it."""
        self.guest = guest
        running = (task for task in picture.tasks or () if guest and task.running and task.id == str(guest.vmid))
        self.task = next((task for task in running if task.type not in _CONSOLES), None)
        self.old = picture.error is not None
        self._tell()

    def lacking(self, order: Order) -> Need | None:
        """What this account lacks for it, as far as that is known."""
        return self.rights.lacking(order.needs(self.guest)) if self.guest is not None else None

    async def ask_and_give(
        self, order: Order, *, danger: bool = False, form: Form | None = None, about: str = ""
    ) -> None:
        """Have it confirmed; then give it, or what `form` makes of it, and follow it to the end.

        `about` is what of the guest it is about, as a snapshot's name.
        """
        guest = self.guest
        if guest is None or self._waits(order) or self.lacking(order) is not None:
            return
        called = guest.name or str(guest.vmid)
        title, what = text.order_title(order.name, about or called, called), text.order_what(order.name)
        with self._place:  # the button that was pressed may be gone before there is an answer
            if not await self._confirm.ask(title, what, text.order(order.name), danger=danger, fields=form):
                return
            if _is_another(self.guest, guest):
                self._failure.show(text.order_failed(order.name, called), text.GUEST_CHANGED)
                return
            await self.give(form.order() if form else order)

    async def give(self, order: Order) -> None:
        """Give it, and follow it to the end."""
        guest = self.guest
        if guest is None or self._waits(order):
            return
        self._failure.clear()
        self._toast.clear()
        self.sent = order
        self._tell()
        try:
            await self._send(order, guest)
        finally:
            if self.sent is order:
                self.sent = None
            self._tell()

    async def _send(self, order: Order, guest: Guest) -> None:
        called = guest.name or str(guest.vmid)
        session = current_session()
        try:
            upid = await self._actions.do(session, order, guest, address_of_person())
        except SessionEnded:  # the page says so by itself
            return
        except ProxgateError as exc:
            if not self._place.is_deleted:
                self._failure.show_error(text.order_refused(order.name, called, exc), exc, session.principal)
            return
        try:
            task = await self._actions.followed(session, upid, lambda: not self._place.is_deleted)
        except SessionEnded:
            return
        except ProxgateError:
            task = None
        if not self._place.is_deleted:
            self._say_how_it_ended(order.name, called, task)

    def _say_how_it_ended(self, name: str, called: str, task: Task | None) -> None:
        if task is None:
            self._toast.say(text.order_begun(name, called))
        elif task.failed:
            self._failure.show_task(text.order_failed(name, called), task)
        else:
            self._toast.say(text.order_done(name, called))

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def _is_another(now: Guest | None, asked_about: Guest) -> bool:
    """Whether the number is another guest's by now, or nobody's."""
    return now is None or (now.type, now.name) != (asked_about.type, asked_about.name)
