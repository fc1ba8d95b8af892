"""Questions that come up in the same moment, asked as one: most of what one costs is the client's own work for it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Together(Generic[Q, A]):
    """Gathers the questions of one turn of the event loop. None waits for a question that is under way already."""

    def __init__(self, ask: Callable[[Sequence[Q]], Awaitable[Sequence[A]]], most: int) -> None:
        """`ask` has an answer for each of at most so many questions, in their order, or raises for all of them."""
        self._ask = ask
        self._most = most
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def ask(self, question: Q) -> A:
        """The answer to this one; raises what `ask` raised."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[A] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._begin)
        self._waiting.append((question, answer))
        try:
            return await answer
        except Exception as exc:  # noqa: BLE001 - who asked along has the same: nobody's frames go on with it
            raise exc.with_traceback(None) from exc.__cause__

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), self._most):
            asked = waiting[start : start + self._most]
            # What is asked for one is told of in its name, in the log and in spans; for many, in nobody's.
            task = asyncio.create_task(self._answer(asked), context=Context() if len(waiting) > 1 else None)
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _answer(self, asked: Sequence[tuple[Q, asyncio.Future[A]]]) -> None:
        try:
            answers = await self._ask([question for question, _ in asked])
            for (_, future), answer in zip(asked, answers, strict=True):
                if not future.done():  # who does not wait any more is told nothing
                    future.set_result(answer)
        except Exception as exc:  # noqa: BLE001 - whatever it is, who asked is told
            for _, future in asked:
                if not future.done():
                    future.set_exception(exc)
        finally:
            for _, future in asked:
                future.cancel()  # nobody waits for ever for a question that was given up
