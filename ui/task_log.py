"""The log of a task: the newest of its lines, as text, as they come. `assets/log.js` keeps its end in sight."""

from collections.abc import Sequence

from nicegui import ui

from ui import text
from ui.theme import Tag
from ui.units import number

MOST_LINES, LONGEST_LINE = 2000, 2000
_CHUNK = 100  # lines of one element: what is added does not send anew what stands there


class Log:
    """Not read aloud line by line: people go to it when they want to."""

    def __init__(self) -> None:
        self._chunks: list[tuple[Tag, list[str]]] = []
        self._count = 0
        Tag("h3", text.TASK_LOG, {"id": "task-log"})
        self._cut = Tag("p", text.TASK_LOG_CUT.format(count=number(MOST_LINES)), classes="pg-hint")
        label = {"role": "region", "aria-labelledby": "task-log", "tabindex": "0"}
        with Tag("div", "", label, classes="pg-log"):
            self._room = ui.element("div")
        self._cut.set_visibility(False)

    @property
    def next(self) -> int:
        """From which line on it is asked for: the last that came may have been written to since, or not be one at all.

        Proxmox says "no content" in the place of a first line.
        """
        return self._count - 1 if self._chunks else self._count

    def skip(self, read: int, total: int) -> bool:
        """Of so many lines only the newest are shown: go on from there, if that is beyond those `read` so far."""
        first = total - MOST_LINES
        if first <= read or self._room.is_deleted:
            return False
        self._chunks, self._count = [], first
        self._room.clear()
        self._cut.set_visibility(True)
        return True

    def take(self, start: int, lines: Sequence[str]) -> None:
        """Put these in the place of what stands from `start` on, which is at most the last line."""
        if not lines or self._room.is_deleted or start not in {self._count, self.next}:
            return
        if start < self._count:
            self._chunks[-1][1].pop()
        self._count = start + len(lines)
        left = [line[:LONGEST_LINE] for line in lines]
        while left:
            left = self._fill(left)
        while len(self._chunks) > MOST_LINES // _CHUNK:
            self._chunks.pop(0)[0].delete()
            self._cut.set_visibility(True)

    def _fill(self, lines: list[str]) -> list[str]:
        """Fill the last chunk; what does not fit into it."""
        if not self._chunks or len(self._chunks[-1][1]) >= _CHUNK:
            with self._room:
                self._chunks.append((Tag("div", "", classes="pg-log-lines"), []))
        place, held = self._chunks[-1]
        held += lines[: (room := _CHUNK - len(held))]
        place.set_text("\n".join(held))
        return lines[room:]
