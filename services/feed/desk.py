"""One answer for all of a principal that ask the same: asked once, and kept while it is fresh."""

import asyncio
import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from services.errors import SessionEnded
from services.feed.lender import Question, put
from services.sessions import Session, Sessions

T = TypeVar("T")

REPENT = 3.0
"""Seconds in which a question that failed is not asked again: a hundred tabs would make a storm of it."""

_Key = tuple[str, Hashable]


@dataclass(slots=True)
class _Answer:
    """An answer, or the question on its way. `fresh_until` is by `time.monotonic()`."""

    task: "asyncio.Task[Any]"
    session: Session
    fresh_until: float = field(default=float("inf"))
    forgiven: bool = False
    """Whether it was asked before Proxmox was back: a failure then tells nothing of now."""

    @property
    def fresh(self) -> bool:
        return time.monotonic() < self.fresh_until

    @property
    def failed(self) -> bool:
        return self.task.done() and (self.task.cancelled() or self.task.exception() is not None)


class Desk:
    """Takes questions."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._answers: dict[_Key, _Answer] = {}

    async def ask(self, session: Session, key: Hashable, question: Question[T], fresh_for: float) -> T:
        """As `Feed.ask`."""
        place = (session.principal, key)
        while True:
            answer = self._answers.get(place)
            if answer is None or not answer.fresh:
                answer = self._answers[place] = self._begin(place, session, question, fresh_for)
            try:
                return cast(T, await asyncio.shield(answer.task))
            except SessionEnded as exc:
                if answer.session == session:
                    raise exc.with_traceback(None) from exc.__cause__

    def forgive(self, principal: str) -> None:
        """Whoever was away is back: what failed, or fails yet of what is under way, may be asked again at once."""
        for place, answer in tuple(self._answers.items()):
            if place[0] == principal:
                answer.forgiven = True
                if answer.failed:
                    del self._answers[place]

    def close(self) -> None:
        """Ask nothing more, and keep nothing."""
        for answer in self._answers.values():
            answer.task.cancel()
        self._answers.clear()

    def _begin(self, place: _Key, session: Session, question: Question[T], fresh_for: float) -> _Answer:
        answer = _Answer(asyncio.create_task(put(self._sessions, session, question)), session)
        answer.task.add_done_callback(lambda _: self._keep(place, answer, fresh_for))
        return answer

    def _keep(self, place: _Key, answer: _Answer, fresh_for: float) -> None:
        """For so long as it is fresh, and not a moment longer: some are large."""
        trouble = None if answer.task.cancelled() else answer.task.exception()
        seconds = min(fresh_for, REPENT) if answer.failed else fresh_for
        if answer.task.cancelled() or isinstance(trouble, SessionEnded) or (trouble and answer.forgiven):
            seconds = 0
        answer.fresh_until = time.monotonic() + seconds
        asyncio.get_running_loop().call_later(seconds, self._drop, place, answer)

    def _drop(self, place: _Key, answer: _Answer) -> None:
        if self._answers.get(place) is answer:
            del self._answers[place]
