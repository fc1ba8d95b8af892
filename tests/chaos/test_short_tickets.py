"""Tickets that live for seconds under tabs that stay open for a minute: nobody is ever refused."""

import asyncio
import contextlib

import pytest

from services.simulator import Simulator
from services.simulator.catalogue import vmid_of
from tests import harness
from tests.page_tab import QUICK, path, person, sent
from tests.socket_client import cookies_of, laboratory, load, query_of, signed_in, socket, until

TICKET = 4
"""Seconds for which a ticket lives."""

LONG = 60
"""Seconds for which the form stays open."""


class Telling(Simulator):
    """Notes how it answered."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.told = []

    async def _respond(self, door, request):
        answer = await super()._respond(door, request)
        self.told.append((request.method, request.path, getattr(answer, "status", None)))
        return answer


@pytest.fixture
def proxmox():
    with harness.InThread(Telling(ticket_seconds=TICKET)) as running:
        yield running


@pytest.mark.timeout(120)
async def test_a_form_open_for_longer_than_many_tickets(proxmox, valkey_url):
    """With tickets of four seconds a form and a live page stay open for sixty, on two replicas: no 401 is ever seen."""
    settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "short:", "TICKET_RENEW_SECONDS": "1"}
    settings |= harness.for_proxmox(proxmox)
    async with contextlib.AsyncExitStack() as stack:
        replicas = [stack.enter_context(laboratory(**settings)) for _ in range(2)]
        client = stack.enter_context(signed_in(replicas[0]))
        tabs = []
        for replica in replicas:
            for path in ("/form", "/"):
                with replica.client(cookies=client.cookies) as browser:
                    page = load(browser, path)
                    query = query_of(page.client_id, next_message_id=page.message_id)
                    tabs.append(await stack.enter_async_context(socket(replica, query, cookies_of(client))))
        await asyncio.sleep(LONG)
        for tab in tabs:
            assert not tab.closed
            assert not tab.opened()
            seen = len(tab.data())
            await until(lambda tab=tab, seen=seen: len(tab.data()) > seen, 10)
    renewals = [one for one in proxmox.told if one[:2] == ("POST", "/access/ticket")][1:]
    assert {status for _, _, status in proxmox.told} == {200}
    assert LONG / TICKET <= len(renewals) <= LONG + 20  # one a second at the most, however many tabs and replicas ask


async def test_an_order_that_outlives_its_ticket(valkey_url):
    """Asked with one ticket, confirmed with another, followed with a third: it is sent once, no 401 is seen."""
    settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "order:", "TICKET_RENEW_SECONDS": "1"}
    with harness.InThread(Telling(ticket_seconds=TICKET, speed=30.0)) as pve:
        with laboratory(QUICK, **settings, **harness.for_proxmox(pve)) as lab, signed_in(lab) as client:
            async with person(lab, client, path("windows11")) as hand:
                await hand.until_sees("Stop")
                await hand.press("Stop")
                await hand.until_sees("Stop windows11 at once?")
                await asyncio.sleep(2 * TICKET)
                pve.hold()
                await hand.answer()
                await hand.until_sees("VM stop is going on…")
                await asyncio.sleep(2 * TICKET)
                pve.release()
                await hand.until_sees("windows11 has been stopped.")
    assert {status for _, _, status in pve.told} == {200}
    assert sent(pve, f"/{vmid_of('windows11')}/status/stop") == 1
