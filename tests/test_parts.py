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
    outcome, slow = {"name": "", "holds": True}, []

    async def question():
        name = outcome["name"]
        for wait in slow[:1]:
            slow.clear()
            await asyncio.sleep(wait)
        found = OUTCOMES[name]()
        if isinstance(found, Exception):
            raise found
        return f"{found} {name}"

    with Part(lambda words: shown.set_text(words), question, of_node="pve1", when=lambda: outcome["holds"]) as part:
        shown = Tag("p", "")

    def tell():
        section, room, trouble = part._all, part._room, part._trouble
        seen = [shown.text if section.visible and room.visible else "-",
                trouble.text if section.visible and trouble.visible else "-",
                "grey" if "pg-stale" in room.classes and room.visible else "plain"]
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

    async def leave():
        outcome["holds"] = not outcome["holds"]
        await part.refresh()
        tell()

    for name in OUTCOMES:
        ui.element("button").props(f"data-name={name}").on("click", lambda name=name: ask(name))
    ui.element("button").props("data-name=late").on("click", late)
    ui.element("button").props("data-name=leave").on("click", leave)

    async def work():
        print("worked", flush=True)

    regularly(0.2, work)


from ui.__main__ import main

main()
'''


@pytest.fixture(scope="module")
def lab(valkey_url, sim):
    with laboratory(LAB, REDIS_URL=valkey_url, STORE_PREFIX="parts:", **harness.for_proxmox(sim)) as up:
        yield up


def seen(lab):
    """What was seen of the part after each button: its content, its sentence, and whether it is grey."""
    return re.findall(r"^seen (.*)$", lab.output(), re.M)


@pytest.mark.parametrize(
    ("outcomes", "last"),
    [
        (["well"], "fine well | - | plain"),
        (["forbidden"], "- | - | plain"),
        (["well", "forbidden"], "- | Your account lacks a privilege for this: Sys.Audit on /nodes/pve1 | plain"),
        (["well", "forbidden", "well"], "fine well | - | plain"),
        (["silent"], "- | pve1 does not answer. | plain"),
        (["failed"], "- | pve1 could not answer. | plain"),
        (["well", "silent"], "fine well | pve1 does not answer. | grey"),
        (["well", "refused"], "fine well | Proxmox refused the request (400) | grey"),
        (["well", "silent", "well"], "fine well | - | plain"),
        (["well", "late"], "fine well | Proxmox refused the request (400) | grey"),
        (["well", "leave"], "- | - | plain"),
        (["well", "leave", "leave"], "fine well | - | plain"),
    ],
    ids=" ".join,
)
async def test_a_part_shows_what_came_of_its_question(lab, outcomes, last):
    """A part is left out where its account may not know; later its trouble is a sentence, and what was there greys."""
    with signed_in(lab) as client:
        page = load(client)
        async with tab(lab, client, page) as up:
            for outcome in outcomes:
                before = len(seen(lab))
                await up.emit("event", page.click(outcome))
                await up.until(lambda: len(seen(lab)) > before)  # noqa: B023
    assert seen(lab)[-1] == last


async def test_work_rests_while_nobody_looks(lab):
    """What a page does regularly stops while its tab is hidden, and goes on once it is seen."""

    def worked():
        return lab.output().count("worked\n")

    with signed_in(lab) as client:
        page = load(client)
        id = next(id for id, element in page.elements.items() if element.get("props", {}).get("id") == "pg-sight")
        listener = page.elements[id]["events"][0]["listener_id"]
        message = {"id": int(id), "client_id": page.client_id, "listener_id": listener}
        async with tab(lab, client, page) as up:
            first = worked()
            await up.until(lambda: worked() >= first + 2)
            await up.emit("event", {**message, "args": ['"hidden"']})
            await asyncio.sleep(0.5)
            rests = worked()
            await asyncio.sleep(1)
            assert worked() == rests
            await up.emit("event", {**message, "args": ['"seen"']})
            await up.until(lambda: worked() > rests)
