"""The realms: asked for once however many cards are open; a failure is carried, believed for a while, and passes."""

import asyncio
import time

import pytest

from services.auth import realms as module
from services.auth.realms import FRESH_SECONDS, RETRY_SECONDS, RealmDirectory
from services.errors import BadAnswer, Unreachable
from services.proxmox import Proxmox, Realm, Trust

PAM = Realm(realm="pam", type="pam", comment="Linux PAM standard authentication")
PVE = Realm(realm="pve", type="pve", comment="Proxmox VE authentication server", default=True)


class Pve:
    """Stands in for Proxmox: lists realms, in trouble or late when told so."""

    def __init__(self):
        self.realms_now = (PVE, PAM)
        self.trouble = None
        self.asked = 0
        self.go = asyncio.Event()
        self.go.set()

    async def realms(self):
        self.asked += 1
        await self.go.wait()
        if self.trouble:
            raise self.trouble
        return self.realms_now


class Clock:
    """Stands in for the module's clock."""

    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def pve():
    return Pve()


@pytest.fixture
def directory(pve):
    return RealmDirectory(pve)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


async def test_reads_the_realms(directory):
    """The realms are those that Proxmox lists, without an error."""
    found = await directory.get()
    assert set(found.realms) == {PAM, PVE}
    assert found.error is None


async def test_sorted_by_label(directory, pve):
    """Realms stand in the order of what people read: the comment, or else the name, in any case."""
    b, a, c = (
        Realm(realm="z", type="ad", comment="beta"),
        Realm(realm="Alpha", type="ad"),
        Realm(realm="gamma", type="ad"),
    )
    pve.realms_now = (c, b, a)
    assert (await directory.get()).realms == (a, b, c)


async def test_one_question_however_many_ask(directory, pve):
    """A hundred cards opened at once are one question."""
    pve.go.clear()
    asks = [asyncio.create_task(directory.get()) for _ in range(100)]
    await asyncio.sleep(0.01)
    pve.go.set()
    answers = await asyncio.gather(*asks)
    assert pve.asked == 1
    assert all(answer == answers[0] for answer in answers)


async def test_card_that_is_closed(directory, pve):
    """A card that is closed while Proxmox is asked does not take the answer away from the others."""
    pve.go.clear()
    asks = [asyncio.create_task(directory.get()) for _ in range(3)]
    await asyncio.sleep(0.01)
    asks[0].cancel()
    await asyncio.sleep(0)
    pve.go.set()
    assert (await asks[1]).realms == (await asks[2]).realms != ()
    assert pve.asked == 1


async def test_fresh_realms_are_not_asked_for(directory, pve, clock):
    """Realms read a little while ago are not asked for, later they are."""
    await directory.get()
    clock.now += FRESH_SECONDS - 1
    await directory.get()
    assert pve.asked == 1
    clock.now += 2
    pve.realms_now = (PAM,)
    assert (await directory.get()).realms == (PAM,)
    assert pve.asked == 2


@pytest.mark.parametrize("trouble", [Unreachable(), BadAnswer()], ids=lambda one: type(one).__name__)
async def test_failure_is_carried(directory, pve, trouble):
    """A failure is carried, not raised, with no realms when there have never been any."""
    pve.trouble = trouble
    found = await directory.get()
    assert (found.realms, found.error) == ((), trouble)


async def test_stale_realms_are_kept(directory, pve, clock):
    """In trouble the realms last read stay, with the error."""
    before = await directory.get()
    clock.now += FRESH_SECONDS + 1
    pve.trouble = Unreachable()
    found = await directory.get()
    assert (found.realms, found.error) == (before.realms, pve.trouble)


async def test_failure_is_believed_for_a_while(directory, pve, clock):
    """A failure is believed for a few seconds, however many ask, and then tried again."""
    pve.trouble = Unreachable()
    for _ in range(20):
        await directory.get()
    clock.now += RETRY_SECONDS - 0.5
    await directory.get()
    assert pve.asked == 1
    clock.now += 1
    pve.trouble = None
    assert (await directory.get()).error is None
    assert pve.asked == 2


async def test_failure_is_one_question_too(directory, pve):
    """A hundred cards opened at once while Proxmox is down are one question."""
    pve.go.clear()
    pve.trouble = Unreachable()
    asks = [asyncio.create_task(directory.get()) for _ in range(100)]
    await asyncio.sleep(0.01)
    pve.go.set()
    assert all(answer.error is pve.trouble for answer in await asyncio.gather(*asks))
    assert pve.asked == 1


async def test_surprise_passes(directory, pve):
    """After a mistake of ours the next card asks anew."""
    pve.trouble = RuntimeError("a mistake of ours")
    with pytest.raises(RuntimeError):
        await directory.get()
    pve.trouble = None
    assert (await directory.get()).realms


async def test_lacks_what_proxmox_does_not_offer(directory):
    """A realm that Proxmox does not list is lacking, and one that it lists is not."""
    assert [await directory.lacks(realm) for realm in ("gone", "pve")] == [True, False]


async def test_lacking_is_unknown_in_trouble(directory, pve, clock):
    """While Proxmox does not answer no realm is said to be lacking, even if it was not among those last read."""
    await directory.get()
    clock.now += FRESH_SECONDS + 1
    pve.trouble = Unreachable()
    assert not await directory.lacks("gone")


async def test_lacking_is_unknown_while_proxmox_hangs(directory, pve):
    """Who asks whether a realm is lacking waits two seconds and no longer; the answer is there for the next one."""
    pve.go.clear()
    begun = time.monotonic()
    assert await asyncio.gather(directory.lacks("gone"), directory.is_other("pve")) == [False, False]
    assert 1.5 < time.monotonic() - begun < 3
    pve.go.set()
    assert await directory.lacks("gone")
    assert pve.asked == 1


async def test_forgetting_asks_anew(directory, pve, clock):
    """What was read, or failed, a moment ago is asked anew once it was forgotten."""
    pve.trouble = Unreachable()
    await directory.get()
    pve.trouble = None
    directory.forget()
    assert not await directory.lacks("pve")
    pve.realms_now = (PAM,)
    directory.forget()
    assert await directory.lacks("pve")
    assert pve.asked == 3


async def test_with_proxmox(sim):
    """With a Proxmox: its realms, the default one marked; and in trouble its failure."""
    async with Proxmox([sim.address], Trust(fingerprints=(sim.fingerprint,))) as proxmox:
        found = await RealmDirectory(proxmox).get()
        assert [realm.realm for realm in found.realms] == ["home", "pam", "pve"]
        assert [realm.realm for realm in found.realms if realm.default] == ["pve"]
        sim.fault.status = 596
        try:
            assert isinstance((await RealmDirectory(proxmox).get()).error, Unreachable)
        finally:
            sim.fault.status = None
