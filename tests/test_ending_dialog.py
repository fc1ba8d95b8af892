"""The dialog before a session's end, asked by forged events: its buttons do what they say, once they are to be seen."""

import asyncio

import pytest

from services.sessions.record import hash_id
from tests import harness
from tests.socket_client import laboratory, load, signed_in, tab
from tests.stores import own_store  # noqa: F401 - the fixture `store`
from ui import text, words

PREFIX = "dialog:"


@pytest.fixture(scope="module")
def lab(store, sim):
    """The program, whose sessions have long to go."""
    with laboratory(REDIS_URL=store, STORE_PREFIX=PREFIX, **harness.for_proxmox(sim)) as up:
        yield up


def buttons(page):
    """The messages with which the page's script tells clicks on the dialog's buttons: "later", and the other one."""
    later = next(int(id) for id, one in page.elements.items() if one.get("text") == text.LATER)
    yes = next(int(id) for id, one in page.elements.items() if "data-autofocus" in one.get("props", {}))
    return [
        {"id": id, "client_id": page.client_id, "listener_id": page.elements[str(id)]["events"][0]["listener_id"],
         "args": []}
        for id in (later, yes)
    ]  # fmt: skip


def left(store, client):
    """Seconds that the session has until it falls idle."""
    id = client.cookies["proxgate"].partition(".")[0]
    with harness.admin(store) as admin:
        return admin.pttl(f"{PREFIX}session:{{{hash_id(id)}}}") / 1000


def shorten(store, client, seconds):
    """Let the session fall idle in so many seconds."""
    id = client.cookies["proxgate"].partition(".")[0]
    with harness.admin(store) as admin:
        assert admin.expire(f"{PREFIX}session:{{{hash_id(id)}}}", seconds)


async def test_before_it_is_shown_its_buttons_do_nothing(lab, store, root):
    """Clicked before there is anything to ask, neither button ends, prolongs or shows anything, in any tab."""
    page, other = load(root, "/form"), load(root, "/form")
    async with tab(lab, root, page) as up, tab(lab, root, other) as witness:
        for click in buttons(page) * 5:
            await up.emit("event", click)
        for click in buttons(other):  # not this tab's to send
            await up.emit("event", click, ack=7)
        await up.until(lambda: up.acknowledged(7) is False)
        await asyncio.sleep(1.5)
        assert not up.closed
        assert not witness.closed
        assert "event=end" not in lab.output()
        assert not any(text.ending(reason)[0] in said for reason in words.ENDING for _, said in up.frames)


async def test_another_tab_answers_nothing(lab, store):
    """With the dialog open, another person's tab that clicks its buttons, and a stranger's card, prolong nothing."""
    with signed_in(lab) as client, signed_in(lab, "kid", "pve") as kid, lab.client() as stranger:
        page, own, card = load(client, "/form"), load(kid, "/form"), load(stranger, "/login")
        async with tab(lab, client, page) as up, tab(lab, kid, own) as other, tab(lab, stranger, card) as third:
            shorten(store, client, 100)
            await up.until(lambda: any("Are you still there?" in said for _, said in up.frames), 10)
            for number, click in enumerate(buttons(page), 1):
                await other.emit("event", click, ack=number)
                await third.emit("event", click, ack=number)
                await other.until(lambda number=number: other.acknowledged(number) is False)
                await third.until(lambda number=number: third.acknowledged(number) is False)
            later, yes = buttons(page)
            await up.emit("event", later, ack=5)  # it is hidden: at the idle end there is no "later"
            await up.until(lambda: up.acknowledged(5) is False)
            assert left(store, client) <= 100
            await up.emit("event", yes)
            await up.until(lambda: left(store, client) > 200)
