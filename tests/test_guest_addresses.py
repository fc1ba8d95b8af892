"""The addresses of guests in view: asked few at a time, once a minute, and said as far as the account may know them."""

import asyncio
from types import SimpleNamespace

import pytest

from services.errors import EndReason, Outage, PrivilegeMissing, SessionEnded, StoreError, Unreachable
from services.proxmox import Guest, Interface, IpAddress
from ui import guest_addresses
from ui.guest_addresses import AT_ONCE, AddressBook, Addresses
from ui.words import UNKNOWN


class Session:
    """As much of one as is looked at."""

    def __init__(self, principal="root@pam"):
        self.principal = principal


class Feed:
    """Answers with what the guest's number is mapped to, once it is let."""

    def __init__(self, answers=None):
        self.answers = answers or {}
        self.asked = []
        self.under_way = self.most = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def ask(self, session, key, question, fresh_for):
        self.asked.append(key[-1])
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.under_way -= 1
        answer = self.answers.get(key[-1], interfaces(f"192.0.2.{key[-1]}"))
        if isinstance(answer, Exception):
            raise answer
        return answer


def interfaces(*addresses):
    found = tuple(IpAddress(ip=address) for address in addresses)
    return (Interface(name="lo", addresses=(IpAddress(ip="127.0.0.1"),)), Interface(name="eth0", addresses=found))


def guest(vmid, status="running"):
    return Guest(vmid=vmid, type="qemu", node="pve1", status=status)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(guest_addresses, "GATHER_SECONDS", 0.01)


def looking(feed, session=None):
    """A tab's addresses, and what it has been told."""
    told = []
    addresses = Addresses(AddressBook(feed), told.append)
    addresses.stop = addresses.begin(session or Session())
    return addresses, told


async def settled(addresses):
    while addresses._workers or addresses._telling:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (interfaces("192.0.2.7"), "192.0.2.7"),
        (interfaces("2001:db8::7", "192.0.2.7", "fe80::1"), "192.0.2.7, 2001:db8::7"),
        (interfaces(*(f"192.0.2.{n}" for n in range(1, 9))), "192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4…"),
        (interfaces(), UNKNOWN),
        (None, UNKNOWN),
        (PrivilegeMissing("/vms/7", "VM.GuestAgent.Audit"), ""),
        (Unreachable(outage=Outage.SILENT), UNKNOWN),
        (StoreError(), UNKNOWN),
    ],
)
async def test_what_a_guest_has_for_addresses(answer, words):
    """Those by which it can be reached, version 4 first; a dash for none known; nothing where it is forbidden."""
    addresses, told = looking(Feed({7: answer}))
    addresses.look([guest(7)])
    await settled(addresses)
    assert told == [{7: words}]


async def test_only_running_guests_are_asked():
    """A guest that is off has no address, and a template never has one."""
    feed = Feed()
    addresses, _ = looking(feed)
    addresses.look([guest(1), guest(2, "stopped"), guest(3, "paused")])
    await settled(addresses)
    assert feed.asked == [1]


async def test_few_are_asked_at_once_in_however_many_tabs():
    """All tabs of an account together ask no more than a few guests at a time; another account has its own turns."""
    feed = Feed()
    feed.gate.clear()
    book = AddressBook(feed)
    tabs = [Addresses(book, lambda _: None) for _ in range(3)]
    for number, tab in enumerate(tabs):
        tab.begin(Session())
        tab.look([guest(vmid) for vmid in range(100 * number + 1, 100 * number + 11)])
    await asyncio.sleep(0.01)
    assert feed.under_way == AT_ONCE
    other = Addresses(book, lambda _: None)
    other.begin(Session("kid@pve"))
    other.look([guest(999)])
    await asyncio.sleep(0.01)
    assert feed.asked[-1] == 999
    feed.gate.set()
    for tab in (*tabs, other):
        await settled(tab)
    assert len(feed.asked) == 31
    assert feed.most == AT_ONCE + 1


async def test_a_guest_is_asked_once_a_minute(monkeypatch):
    """While a guest stays in view it is asked again when a minute has passed, and not with each picture."""
    now = [1000.0]
    monkeypatch.setattr(guest_addresses, "time", SimpleNamespace(monotonic=lambda: now[0]))
    feed = Feed()
    addresses, _ = looking(feed)
    for seconds in (0, 4, 50, 5, 4):
        now[0] += seconds
        addresses.look([guest(1)])
        await settled(addresses)
    assert feed.asked == [1, 1]


async def test_who_has_gone_out_of_view_is_not_asked():
    """Of guests that somebody scrolls past, only those whose turn has come already are asked."""
    feed = Feed()
    feed.gate.clear()
    addresses, _ = looking(feed)
    addresses.look([guest(vmid) for vmid in range(1, 50)])
    await asyncio.sleep(0.01)
    addresses.look([guest(200)])
    feed.gate.set()
    await settled(addresses)
    assert feed.asked == [*range(1, AT_ONCE + 1), 200]


async def test_answers_that_come_together_are_told_together():
    """A view of guests that answer at once costs few messages."""
    addresses, told = looking(Feed())
    addresses.look([guest(vmid) for vmid in range(1, 21)])
    await settled(addresses)
    assert len(told) <= 2
    assert {vmid for news in told for vmid in news} == set(range(1, 21))


async def test_nothing_is_asked_before_the_beginning_and_after_the_end():
    """A tab whose session has ended, or is kept, asks nothing; come back, it asks anew even what it knew."""
    feed = Feed()
    addresses, told = looking(feed)
    addresses.look([guest(1)])
    await settled(addresses)
    feed.gate.clear()
    addresses.look([guest(1), guest(2)])
    await asyncio.sleep(0.01)
    addresses.stop()
    feed.gate.set()
    await settled(addresses)
    addresses.look([guest(3)])
    await settled(addresses)
    assert (feed.asked, len(told)) == ([1, 2], 1)
    addresses.begin(Session())
    addresses.look([guest(1)])
    await settled(addresses)
    assert feed.asked == [1, 2, 1]


async def test_a_session_that_ends_meanwhile_is_no_stumble():
    """When the session ends while guests are being asked, that is the end of it."""
    addresses, told = looking(Feed({1: SessionEnded(EndReason.IDLE)}))
    addresses.look([guest(1)])
    await settled(addresses)
    assert told == []
