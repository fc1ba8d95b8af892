"""What may be done with one guest as it is: a button for each order, grey with its reason where a right is lacking."""

from functools import partial

from services.actions import Power, orders_for
from services.proxmox import PowerAction
from ui import text
from ui.lacking import Lacking
from ui.orders import Orders
from ui.pending import Pending
from ui.theme import Tag

ACTIONS: tuple[PowerAction, ...] = ("start", "resume", "shutdown", "reboot", "suspend", "stop")
DANGEROUS = {"stop"}
_FIRST = {"start", "resume"}


class OrderBar:
    """The buttons, or what the guest is busy with; that stands in each picture, so it is there after a reload too."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        with Tag("div", "", {"role": "group", "aria-label": text.ACTIONS}, classes="pg-orders") as self._all:
            self._lacking = Lacking()
            self._buttons = {action: self._button(action) for action in ACTIONS}
            Pending(orders, read_aloud=True)
        self._all.set_visibility(False)
        orders.on_news(self._draw)

    def _draw(self) -> None:
        """What makes sense in this state; of a guest that is gone nothing does."""
        guest, busy = self._orders.guest, self._orders.busy
        possible = {order.action for order in orders_for(guest)} if guest else set[PowerAction]()
        self._all.set_visibility(bool(possible) or busy)
        self._all.classes(**{"add" if self._orders.old else "remove": "pg-stale"})
        for action in ACTIONS:
            button = self._buttons[action]
            waits = busy and not (action == "stop" and self._orders.shuts_down)
            button.set_visibility(action in possible and not waits)
            self._lacking.mark(button, self._orders.lacking(Power(action)), self._orders.rights.principal)

    def _button(self, action: PowerAction) -> Tag:
        look = "pg-primary" if action in _FIRST else "pg-quiet"
        button = Tag("button", text.order(action), {"type": "button"}, classes=f"pg-button {look} pg-order")
        return button.on("click", partial(self._give, action), args=[])

    async def _give(self, action: PowerAction) -> None:
        order = Power(action, overrule=action == "stop" and self._orders.shuts_down)
        await self._orders.ask_and_give(order, danger=action in DANGEROUS)
