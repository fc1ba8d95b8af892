"""What may be done with one guest as it is: a button for each order, grey with its reason where a right is lacking."""

from functools import partial

from services.actions import Power, orders_for
from services.feed import Picture
from services.proxmox import Guest, PowerAction, Task
from ui import text
from ui.lacking import Lacking
from ui.links import task_address
from ui.orders import Orders
from ui.theme import Tag

ACTIONS: tuple[PowerAction, ...] = ("start", "resume", "shutdown", "reboot", "suspend", "stop")
DANGEROUS = {"stop"}
_FIRST = {"start", "resume"}


class OrderBar:
    """The buttons, or what the guest is busy with; that stands in each picture, so it is there after a reload too."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._guest: Guest | None = None
        self._task: Task | None = None
        with Tag("div", "", {"role": "group", "aria-label": text.ACTIONS}, classes="pg-orders") as self._all:
            self._lacking = Lacking()
            self._buttons = {action: self._button(action) for action in ACTIONS}
            with Tag("p", "", {"role": "status"}, classes="pg-pending") as self._pending:
                Tag("span", "", {"aria-hidden": "true"}, classes="pg-spinner")
                self._words = Tag("span", "")
                self._log = Tag("a", text.SHOW_LOG, {"href": ""}, classes="pg-name pg-target")
        self._all.set_visibility(False)
        orders.on_news(self._draw)

    def show(self, guest: Guest | None, picture: Picture) -> None:
        """Draw what makes sense in this state, and what is going on; nothing about a guest that is gone."""
        self._guest = guest
        running = (task for task in picture.tasks or () if task.running and guest and task.id == str(guest.vmid))
        self._task = next(running, None)
        self._draw()

    def _draw(self) -> None:
        guest, sent = self._guest, self._orders.sent
        possible = {order.action for order in orders_for(guest)} if guest else set[PowerAction]()
        busy = self._task is not None or sent is not None
        self._all.set_visibility(bool(possible) or busy)
        for action in ACTIONS:
            button = self._buttons[action]
            button.set_visibility(action in possible and not busy)
            self._lacking.mark(button, self._orders.lacking(Power(action)), self._orders.principal)
        self._pending.set_visibility(busy)
        self._words.set_text(self._going_on())
        self._log.set_visibility(self._task is not None)
        if self._task is not None and self._log.props["href"] != task_address(self._task.upid):
            self._log.props["href"] = task_address(self._task.upid)
            self._log.update()

    def _going_on(self) -> str:
        if self._task is not None:
            return text.GOES_ON.format(task=text.task(self._task))
        return text.SENT.format(order=text.order(self._orders.sent.name)) if self._orders.sent else ""

    def _button(self, action: PowerAction) -> Tag:
        look = "pg-primary" if action in _FIRST else "pg-quiet"
        button = Tag("button", text.order(action), {"type": "button"}, classes=f"pg-button {look} pg-order")
        give = partial(self._orders.ask_and_give, lambda: Power(action), danger=action in DANGEROUS)
        return button.on("click", give, args=[])
