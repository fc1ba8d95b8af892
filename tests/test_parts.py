"""Parts of a page that fail alone, and work that rests while nobody looks."""

import asyncio
import re

import pytest

from tests import harness
from tests.socket_client import laboratory, load, signed_in, tab

LAB = '''
"""Proxgate with a page whose part is answered as its buttons say, and tells what is seen of it."""

import asyncio

from nicegui import ui

from services.errors import Outage, PrivilegeMissing, RequestRefused, Unreachable
from ui.part import Part
from ui.sight import regularly
from ui.theme import Tag

OUTCOMES = {
    "well": lambda: "fine",
    "forbidden": lambda: PrivilegeMissing("/nodes/pve1", "Sys.Audit"),
    "silent": lambda: Unreachable(outage=Outage.DAEMON),
    "failed": lambda: Unreachable(outage=Outage.FAILED),
    "refused": lambda: RequestRefused(400),
}


@ui.page("/lab")
def lab():
    outcome, slow = {"name": "", "about": "this"}, []

    async def question():
        name = outcome["name"]
        for wait in slow[:1]:
            slow.clear()
            await asyncio.sleep(wait)
        found = OUTCOMES[name]()
        if isinstance(found, Exception):
            raise found
        return f"{found} {name}"

    about = {"about": lambda: outcome["about"], "of_node": lambda: "pve1"}
    with Part(lambda words: shown.set_text(words), question, **about) as part:
        shown = Tag("p", "")
    with Part(print, question, after=part) as second:
        pass

    def tell():
        section, room, trouble = part._all, part._room, part._trouble
        seen = [shown.text if section.visible and room.visible else "-",
                part._trouble_words.text if section.visible and trouble.visible else "-",
                "grey" if "pg-stale" in room.classes and room.visible else "plain",
                "waits" if "pg-waiting" in room.classes and room.visible else "told"]
        print("seen", " | ".join(seen), flush=True)

    async def ask(name):
        outcome["name"] = name
        await part.refresh()
        tell()

    async def late():
        outcome["name"] = "well"
        slow.append(0.3)
        first = asyncio.create_task(part.refresh())
        await asyncio.sleep(0.05)
        outcome["name"] = "refused"
        await part.refresh()
        await first
        tell()

    async def turn_to(about):
        outcome["about"] = about
        await part.refresh()
        tell()

    async def turn_meanwhile(about):
        outcome["name"] = "well"
        slow.append(0.3)
        first = asyncio.create_task(part.refresh())
        await asyncio.sleep(0.05)
        outcome["about"] = about
        await first
        tell()

    async def forget():
        part.forget()
        tell()

    async def ask_second():
        await second.refresh()
        print("seen", second._all.visible, flush=True)

    for name in OUTCOMES:
        ui.element("button").props(f"data-name={name}").on("click", lambda name=name: ask(name))
    ui.element("button").props("data-name=late").on("click", late)
    for name, about in ({"leave": "", "return": "this", "wonder": None}).items():
        ui.element("button").props(f"data-name={name}").on("click", lambda about=about: turn_to(about))
    for name, about in ({"meanwhile-other": "that", "meanwhile-wonder": None}).items():
        ui.element("button").props(f"data-name={name}").on("click", lambda about=about: turn_meanwhile(about))
    ui.element("button").props("data-name=forget").on("click", forget)
    ui.element("button").props("data-name=second").on("click", ask_second)

    async def work():
        print("worked", flush=True)

    async def work_seldom():
        print("worked seldom", flush=True)

    regularly(0.2, work)
    soon = regularly(3600, work_seldom)
    ui.element("button").props("data-name=soon").on("click", lambda: (soon(), print("asked for it", flush=True)))


from ui.__main__ import main

main()
'''


@pytest.fixture(scope="module")
def lab(valkey_url, sim):
    with laboratory(LAB, REDIS_URL=valkey_url, STORE_PREFIX="parts:", **harness.for_proxmox(sim)) as up:
        yield up


FORBIDDEN = "Your account lacks a privilege for this: Sys.Audit on /nodes/pve1"


def sight(page, how):
    """The message with which a tab tells that it is hidden, or seen again."""
    id = next(id for id, element in page.elements.items() if element.get("props", {}).get("id") == "pg-sight")
    listener = page.elements[id]["events"][0]["listener_id"]
    return {"id": int(id), "client_id": page.client_id, "listener_id": listener, "args": [f'"{how}"']}


def seen(lab):
    """What was seen of the part after each button: its content, its sentence, and whether it is grey."""
    return re.findall(r"^seen (.*)$", lab.output(), re.M)


@pytest.mark.parametrize(
    ("outcomes", "last"),
    [
        (["well"], "fine well | - | plain | told"),
        (["forbidden"], "- | - | plain | told"),
        (["well", "forbidden"], f"- | {FORBIDDEN} | plain | told"),
        (["well", "forbidden", "well"], "fine well | - | plain | told"),
        (["silent"], "- | pve1 does not answer. | plain | told"),
        (["failed"], "- | pve1 could not answer. | plain | told"),
        (["well", "silent"], "fine well | pve1 does not answer. | grey | told"),
        (["well", "refused"], "fine well | Proxmox refused the request (400) | grey | told"),
        (["well", "silent", "well"], "fine well | - | plain | told"),
        (["well", "late"], "fine well | Proxmox refused the request (400) | grey | told"),
        (["well", "leave"], "- | - | plain | told"),
        (["well", "leave", "return"], "fine well | - | plain | told"),
        (["wonder"], " | - | plain | waits"),
        (["well", "silent", "wonder"], "fine well | pve1 does not answer. | grey | told"),
        (["silent", "meanwhile-other"], "- | pve1 does not answer. | plain | told"),
        (["silent", "meanwhile-wonder"], "- | pve1 does not answer. | plain | told"),
        (["well", "forget"], "fine well | - | plain | waits"),
        (["well", "forget", "well"], "fine well | - | plain | told"),
        (["well", "forget", "silent"], "- | pve1 does not answer. | plain | told"),
        (["well", "forget", "forbidden"], f"- | {FORBIDDEN} | plain | told"),
        (["silent", "second"], "False"),
        (["silent", "well", "second", "silent", "second"], "True"),
    ],
    ids=" ".join,
)
async def test_a_part_shows_what_came_of_its_question(lab, outcomes, last):
    """A part is left out where its account may not know; later its trouble is a sentence, and what was there greys.

    It stays as it is while nobody can tell what to ask; what answers another question, or one about something else,
    is not shown for this one; and a part that is asked after another that is silent says nothing of its own.
    """
    with signed_in(lab) as client:
        page = load(client)
        async with tab(lab, client, page) as up:
            for outcome in outcomes:
                before = len(seen(lab))
                await up.emit("event", page.click(outcome))
                await up.until(lambda: len(seen(lab)) > before)  # noqa: B023
    assert seen(lab)[-1] == last


async def test_work_that_is_due_is_done_at_once(lab):
    """What a page does seldom is done at once when it has become due, and in a tab that is hidden once that is seen."""

    def worked():
        return lab.output().count("worked seldom\n")

    with signed_in(lab) as client:
        page, first = load(client), worked()
        async with tab(lab, client, page) as up:
            await up.until(lambda: worked() == first + 1)
            await up.emit("event", page.click("soon"))
            await up.until(lambda: worked() == first + 2)
            await up.emit("event", sight(page, "hidden"))
            asked = lab.output().count("asked for it")
            await up.emit("event", page.click("soon"))
            await up.until(lambda: lab.output().count("asked for it") > asked)
            await asyncio.sleep(1.2)
            assert worked() == first + 2
            await up.emit("event", sight(page, "seen"))
            await up.until(lambda: worked() == first + 3)


async def test_work_rests_while_nobody_looks(lab):
    """What a page does regularly stops while its tab is hidden, and goes on once it is seen."""

    def worked():
        return lab.output().count("worked\n")

    with signed_in(lab) as client:
        page = load(client)
        async with tab(lab, client, page) as up:
            first = worked()
            await up.until(lambda: worked() >= first + 2)
            await up.emit("event", sight(page, "hidden"))
            await asyncio.sleep(0.5)
            rests = worked()
            await asyncio.sleep(1)
            assert worked() == rests
            await up.emit("event", sight(page, "seen"))
            await up.until(lambda: worked() > rests)
