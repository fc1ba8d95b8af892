"""A part of a page that asks Proxmox a question of its own: what goes wrong with it stays in it.

with Part(draw, question) as part:
    ...
await part.refresh()
"""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

from nicegui import ui

from services.errors import Outage, PrivilegeMissing, ProxmoxError, SessionEnded, StoreError, Unreachable
from ui import text
from ui.theme import Tag

T = TypeVar("T")


class Part(Generic[T]):
    """Waits, shows what came, and keeps it, greyed, while there is nothing newer; left out unless `when` holds.

    What the account may not know from the start is left out; what it may know no longer is said to be so.
    """

    def __init__(
        self,
        draw: Callable[[T], None],
        question: Callable[[], Awaitable[T]],
        *,
        of_node: str = "",
        when: Callable[[], bool] = lambda: True,
    ) -> None:
        self._of_node = of_node
        self._when = when
        self._draw = draw
        self._question = question
        self._drawn = False
        self._turn = 0
        self.silent = False
        """Whether its last question got no answer."""

        with Tag("section", "", classes="pg-part") as self._all:
            self._trouble = Tag("p", "", {"role": "status"}, classes="pg-part-trouble")
            self._room = ui.element("div").classes("pg-part-room pg-waiting")
        self._trouble.set_visibility(False)

    def __enter__(self) -> Self:
        self._room.__enter__()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._room.__exit__()

    async def refresh(self) -> None:
        """Ask, and show what came of it; of two questions at once the later one counts."""
        if not self._when():
            return self.leave_out()
        self._turn = turn = self._turn + 1
        try:
            answer = await self._question()
        except SessionEnded:
            return None
        except (ProxmoxError, StoreError) as exc:
            if self._counts(turn):
                self._fail(exc)
        else:
            if self._counts(turn):
                self._show(answer)
        return None

    @property
    def known(self) -> bool:
        """Whether the account has been told."""
        return self._drawn

    def take(self, answer: T) -> None:
        """Show what came of itself."""
        self._turn += 1
        self._show(answer)

    def forget(self) -> None:
        """What is shown answers another question than the next."""
        self._drawn = False
        self._room.classes(add="pg-waiting")

    def set_stale(self, *, stale: bool) -> None:
        """Grey, or no more, what is shown."""
        self._room.classes(**{"add" if stale else "remove": "pg-stale"})

    def move(self, node: str) -> None:
        """Be about this node from now on."""
        self._of_node = node

    def leave_out(self) -> None:
        """Show nothing of it, until it is asked again."""
        self._turn += 1
        self._all.set_visibility(False)

    def _counts(self, turn: int) -> bool:
        return turn == self._turn and not self._all.is_deleted

    def _show(self, answer: T) -> None:
        self._drawn, self.silent = True, False
        self._all.set_visibility(True)
        self._say("")
        self._room.set_visibility(True)
        self._room.classes(remove="pg-waiting pg-stale")
        self._draw(answer)

    def _fail(self, error: ProxmoxError | StoreError) -> None:
        forbidden = isinstance(error, PrivilegeMissing)
        self.silent = not forbidden
        self._all.set_visibility(self._drawn or not forbidden)
        self._room.set_visibility(self._drawn and not forbidden)
        self._room.classes(add="pg-stale", remove="pg-waiting")
        self._say(self._sentence(error))

    def _say(self, words: str) -> None:
        self._trouble.set_text(words)
        self._trouble.set_visibility(bool(words))

    def _sentence(self, error: ProxmoxError | StoreError) -> str:
        """Proxmox may well answer where one of its nodes does not."""
        if not self._of_node or not isinstance(error, Unreachable):
            return text.sentence(error)
        form = text.NODE_FAILED if error.outage is Outage.FAILED else text.NODE_SILENT
        return form.format(node=self._of_node)
