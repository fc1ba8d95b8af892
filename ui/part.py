"""A part of a page that asks Proxmox a question of its own: what goes wrong with it stays in it.

with Part(draw, question) as part:
    ...
regularly(30, part.refresh)
"""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from nicegui import ui

from services.errors import Outage, PrivilegeMissing, ProxmoxError, SessionEnded, StoreError, Unreachable
from ui import text
from ui.failure import draw_own_words
from ui.theme import Tag

T = TypeVar("T")


class Part(Generic[T]):
    """Waits, shows what came, and keeps it, greyed, while there is nothing newer.

    `about` tells what the question is about just now. None is what nobody can tell: nothing is asked, and what is shown
    stays. Whatever else is not true is nothing to ask about, and the part is left out. An answer about something else
    than that is dropped. `of_node` is the node that has to answer. `after` is asked before: while that gets no answer,
    what has never been told is left out, since one sentence is enough.

    What the account may not know from the start is left out; what it may know no longer is said to be so.
    """

    def __init__(
        self,
        draw: Callable[[T], None],
        question: Callable[[], Awaitable[T]],
        *,
        about: Callable[[], object] = lambda: True,
        of_node: Callable[[], str] = lambda: "",
        after: "Part[Any] | None" = None,
    ) -> None:
        self._draw = draw
        self._question = question
        self._about = about
        self._of_node = of_node
        self._after = after
        self._fits = False  # what is drawn, to the next question
        self._turn = 0
        self._trouble_own_said = ""
        self.known = False
        """Whether the account has ever been told."""

        self.silent = False
        """Whether its last question got no answer."""

        self.forbidden = False
        """Whether the account may not know, by Proxmox's last word."""

        with Tag("section", "", classes="pg-part") as self._all:
            self.head = ui.element("div").classes("pg-part-head")
            """What stays though there is no answer."""

            with ui.element("div").classes("pg-part-trouble") as self._trouble:
                self._trouble_words = Tag("p", "", {"role": "status"})
                self._trouble_own = ui.element("div")
            self._room = ui.element("div").classes("pg-part-room pg-waiting")
        self._trouble.set_visibility(False)

    def __enter__(self) -> Self:
        self._room.__enter__()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._room.__exit__()

    async def refresh(self) -> None:
        """Ask, and show what came of it; of two questions at once the later one counts."""
        about = self._about()
        if about is None:
            return
        self._turn = turn = self._turn + 1
        if not about or (self._after and self._after.silent and not self.known):
            self._all.set_visibility(False)
            return
        try:
            answer = await self._question()
        except SessionEnded:
            return
        except (ProxmoxError, StoreError) as exc:
            if self._counts(turn, about):
                self._fail(exc)
        else:
            if self._counts(turn, about):
                self._show(answer)

    def take(self, answer: T) -> None:
        """Show what came of itself."""
        self._turn += 1
        self._show(answer)

    def forget(self) -> None:
        """What is shown, or on its way, answers another question than the next."""
        self._fits = False
        self._turn += 1
        self._room.classes(add="pg-waiting")

    def _counts(self, turn: int, about: object) -> bool:
        return turn == self._turn and about == self._about() and not self._all.is_deleted

    def _show(self, answer: T) -> None:
        self.known, self._fits, self.silent, self.forbidden = True, True, False, False
        self._all.set_visibility(True)
        self._say("")
        self._room.set_visibility(True)
        self._room.classes(remove="pg-waiting pg-stale")
        self._draw(answer)

    def _fail(self, error: ProxmoxError | StoreError) -> None:
        forbidden = self.forbidden = isinstance(error, PrivilegeMissing)
        self.silent = not forbidden
        self._all.set_visibility(self.known or not forbidden)
        self._room.set_visibility(self._fits and not forbidden)
        self._room.classes(add="pg-stale", remove="pg-waiting")
        self._say(self._sentence(error), error.words if isinstance(error, ProxmoxError) else "")

    def _say(self, words: str, own: str = "") -> None:
        """A sentence, and Proxmox's own words behind a fold."""
        self._trouble_words.set_text(words)
        self._trouble.set_visibility(bool(words))
        if own != self._trouble_own_said:
            self._trouble_own_said = own
            self._trouble_own.clear()
            with self._trouble_own:
                draw_own_words(own)

    def _sentence(self, error: ProxmoxError | StoreError) -> str:
        """Proxmox may well answer where one of its nodes does not."""
        node = self._of_node()
        if not node or not isinstance(error, Unreachable):
            return text.sentence(error)
        form = text.NODE_FAILED if error.outage is Outage.FAILED else text.NODE_SILENT
        return form.format(node=node)
