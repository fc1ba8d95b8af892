"""Questions that come up in one turn of the event loop: asked as one, and nobody's business but each one's own."""

import asyncio
from contextvars import ContextVar

import pytest

from services.store.together import Together

WHO = ContextVar("who", default="nobody")


async def asked_by(name, together):
    WHO.set(name)
    return await together.ask(name)


async def answers(together, *names):
    return await asyncio.gather(*(asked_by(name, together) for name in names), return_exceptions=True)


@pytest.mark.parametrize(("names", "said"), [(["ann"], "ann"), (["ann", "bob"], "nobody")])
async def test_in_whose_name(names, said):
    """What one alone asked is done in its name, as lines of the log tell it; what many asked, in nobody's."""
    heard = []

    async def ask(questions):
        heard.append(WHO.get())
        return [f"to {one}" for one in questions]

    assert await answers(Together(ask, 10), *names) == [f"to {one}" for one in names]
    assert heard == [said]


async def test_a_failure_takes_nobodys_frames_along():
    """All hear of it, and each hears its own way only."""

    async def ask(questions):
        raise OSError("down")

    together = Together(ask, 10)
    failures = await answers(together, *(str(number) for number in range(20)))
    assert all(isinstance(one, OSError) for one in failures)
    depth, frame = 0, failures[-1].__traceback__
    while frame:
        depth, frame = depth + 1, frame.tb_next
    assert depth <= 3
