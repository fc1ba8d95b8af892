"""What a guest is busy with, in words: instead of the buttons that wait for it."""

from ui import text
from ui.links import task_address
from ui.orders import Orders
from ui.theme import Tag


class Pending:
    """Draws nothing while nothing is going on. Of several on a page one is `read_aloud`."""

    def __init__(self, orders: Orders, *, read_aloud: bool = False) -> None:
        self._orders = orders
        with Tag("p", "", {"role": "status"} if read_aloud else None, classes="pg-pending") as self._all:
            Tag("span", "", {"aria-hidden": "true"}, classes="pg-spinner")
            self._words = Tag("span", "")
            self._log = Tag("a", text.SHOW_LOG, {"href": ""}, classes="pg-name pg-target")
        self._all.set_visibility(False)
        orders.on_news(self._draw)

    def _draw(self) -> None:
        task = self._orders.task
        self._all.set_visibility(self._orders.busy)
        self._words.set_text(self._going_on())
        self._log.set_visibility(task is not None)
        if task is not None:
            self._log.lead(task_address(task.upid))

    def _going_on(self) -> str:
        if self._orders.task is not None:
            return text.GOES_ON.format(task=text.task(self._orders.task))
        return text.SENT.format(order=text.order(self._orders.sent.name)) if self._orders.sent else ""
