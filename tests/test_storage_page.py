"""What the page of storages keeps of what it asked, and when it stops asking."""

import pytest

from services.errors import EndReason, PrivilegeMissing, SessionEnded, StoreUnavailable, Unreachable
from services.proxmox import Permissions
from services.storages import Place
from ui import storage_page
from ui.storage_page import Questions
from ui.storage_table import Known

PLACE = Place(
    storage="nas", nodes=("pve1",), node="pve1", shared=False, available=True, plugintype="nfs", content=("iso",),
    used=1, total=2,
)  # fmt: skip
BEFORE = Known(counts={"iso": 3}, full_in=5.0)


class Desk:
    """Answers as it is told to, by the last word of the question."""

    def __init__(self, **answers):
        self.answers = {"content": {"iso": 4}, "pace": None, "permissions": Permissions(), **answers}

    async def ask(self, session, key, question, fresh_for):
        answer = self.answers[key[-1]]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def permissions(self, session):
        return await self.ask(session, ("permissions",), None, 0)


@pytest.fixture(autouse=True)
def visit(monkeypatch):
    """Somebody is there."""
    monkeypatch.setattr(storage_page, "current_session", lambda: None)


@pytest.mark.parametrize(
    ("answers", "known"),
    [
        ({}, Known(counts={"iso": 4}, full_in=None)),
        ({"content": Unreachable()}, Known(counts={"iso": 3}, full_in=None)),
        ({"permissions": Unreachable()}, Known(counts={"iso": 3}, full_in=None)),
        ({"pace": StoreUnavailable()}, Known(counts={"iso": 4}, full_in=5.0)),
        ({"content": PrivilegeMissing("/storage/nas", "Datastore.Audit")}, Known(counts=None, full_in=None)),
    ],
    ids=["all", "no content", "no rights", "no pace", "forbidden"],
)
async def test_a_question_that_fails_takes_nothing_away(answers, known):
    """What was known stays where it cannot be told just now, and goes where the account may know it no longer."""
    assert await Questions(Desk(**answers)).each([(PLACE, BEFORE)]) == [known]


async def test_the_end_of_the_session_ends_the_round():
    """A session that is over is not asked with for the rest of the storages."""
    with pytest.raises(SessionEnded):
        await Questions(Desk(pace=SessionEnded(EndReason.ENDED))).each([(PLACE, BEFORE)])
