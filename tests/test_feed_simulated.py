"""The feed with a whole Proxmox: what each account is told, and what happens when parts of it go wrong."""

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from services.errors import EndReason, Unreachable
from services.feed import Feed, checkup, pace
from services.feed.desk import REPENT
from services.proxmox import Proxmox, Trust
from services.sessions import Limits, Sessions
from services.simulator import Simulator
from services.simulator.accounts import Grant
from services.simulator.privileges import ADMINISTRATOR, AUDITOR
from services.simulator.simulator import Fault

pytestmark = pytest.mark.slow

PERIOD = 0.1


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Ten times a second what takes seconds else, and backups not much less often."""
    for name in ("QUICK", "IDLE"):
        monkeypatch.setattr(pace, name, PERIOD)
    monkeypatch.setattr(pace, "SLOWEST", 5 * PERIOD)
    monkeypatch.setattr(checkup, "PERIOD", 3 * PERIOD)
    monkeypatch.setattr(checkup, "BACKUPS_PERIOD", 6 * PERIOD)


class House:
    """A simulated Proxmox, the sessions of its accounts and the feed for them."""

    def __init__(self, sim, proxmox, sessions):
        self.sim = sim
        self.proxmox = proxmox
        self.sessions = sessions
        self.feed = Feed(sessions, proxmox)

    async def session(self, userid="root@pam"):
        ticket = await self.proxmox.sign_in(userid, SecretStr("demo"))
        return await self.sessions.create(ticket, address="", agent="")

    async def look(self, userid="root@pam"):
        """The pictures that somebody of this account is shown, from the first that tells of all."""
        pictures = []
        self.feed.look(await self.session(userid), pictures.append)
        await until(lambda: pictures and pictures[-1].taken)
        return pictures

    def asked(self, path=""):
        """What was asked of Proxmox."""
        return Counter(one.path for one in self.sim.requests if one.path.startswith(path))

    async def asked_within(self, seconds):
        """What is asked in the seconds to come."""
        self.sim.requests.clear()
        await asyncio.sleep(seconds)
        return self.asked()


@pytest.fixture
async def at_home(store, keys):
    """Opens houses."""

    @asynccontextmanager
    async def opened(deadline=10.0, **options):
        async with Simulator(**options) as sim:
            prints = tuple(sim.fingerprints.values())
            async with Proxmox(sim.addresses, Trust(fingerprints=prints), deadline=deadline) as proxmox:
                house = House(sim, proxmox, Sessions(store, keys, proxmox, Limits()))
                yield house
                await house.feed.aclose()

    return opened


async def until(condition, seconds=30.0):
    """Wait for a condition to hold."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        await asyncio.sleep(0.01)


async def health_of(house, userid):
    """The health that this account is told once all is known that it may know."""
    pictures = await house.look(userid)
    looks = house.asked()["/access/permissions"]  # with which each look at the health begins
    await until(lambda: house.asked()["/access/permissions"] >= looks + 3)
    return pictures[-1].health


async def test_the_administrator_is_told_all(at_home):
    """The administrator is told of quorum, failed tasks, and guests without a backup; no template is among these."""
    async with at_home() as house:
        pictures = await house.look()
        await until(lambda: pictures[-1].health.unprotected)
        resources, health = pictures[-1].resources, pictures[-1].health
    names = {guest.vmid: guest.name for guest in resources.guests}
    told = {names[one.vmid]: one for one in health.unprotected}
    assert health.quorate is True
    assert health.failed
    assert all(task.failed for task in health.failed)
    assert set(told) == {"windows11", "old-fileserver", "ubuntu-desktop", "frigate"}
    assert told["windows11"].interval is None
    assert told["frigate"].interval == 24 * 3600
    assert (time.time() - told["frigate"].latest) > 10 * 24 * 3600
    assert resources.storages


async def test_an_auditor_is_not_told_of_backups(at_home):
    """Who may audit everything is told of quorum and tasks; of backups, which Proxmox does not show it, nothing."""
    async with at_home() as house:
        health = await health_of(house, "alice@pve")
    assert (health.quorate, bool(health.failed), health.unprotected) == (True, True, None)


@pytest.mark.parametrize("userid", ["kid@pve", "vera@pve", "stan@pve", "nobody@pve"])
async def test_others_are_told_of_nothing(userid, at_home):
    """Who may see neither nodes nor the whole is told of no health, and the questions for it are not asked."""
    async with at_home() as house:
        health = await health_of(house, userid)
        assert house.asked("/nodes") + house.asked("/cluster/status") + house.asked("/cluster/backup") == {}
    assert (health.quorate, health.failed, health.unprotected) == (None, None, None)


async def test_fifty_looks_are_one_question(at_home):
    """Fifty tabs of ten sessions of one account make one question for each refresh."""
    async with at_home() as house:
        sessions = [await house.session() for _ in range(10)]
        shown = [[] for _ in range(50)]
        for number, pictures in enumerate(shown):
            house.feed.look(sessions[number % 10], pictures.append)
        await until(lambda: all(len({one.taken for one in pictures}) >= 5 for pictures in shown))
        refreshes = len({one.taken for one in shown[0]})
        asked = house.asked()
    assert asked["/cluster/resources"] <= refreshes + 1
    assert asked["/cluster/tasks"] <= refreshes + 1


async def test_fifty_tabs_with_one_chart(at_home):
    """Fifty tabs that want one chart are one question; with Proxmox down they make no storm."""
    async with at_home() as house:
        mine = await house.session()

        def ask(node):
            return house.feed.ask(mine, ("curves", node), lambda proxmox: proxmox.node_curves(node, "hour"), 60)

        curves = await asyncio.gather(*(ask("pve1") for _ in range(50)))
        assert len({id(one) for one in curves}) == 1
        assert any(curves[0].curve("cpu"))
        house.sim.fault = Fault(path="/nodes", status=503)
        for _ in range(3):
            told = await asyncio.gather(*(ask("pve2") for _ in range(50)), return_exceptions=True)
            assert {type(one) for one in told} == {Unreachable}
        assert house.asked("/nodes/pve2/rrddata")["/nodes/pve2/rrddata"] == 1
        assert REPENT >= 1


@pytest.mark.parametrize(
    "fault", [{"status": 595}, {"reset": True}, {"hang": True}, {"status": 500}], ids=lambda one: next(iter(one))
)
async def test_proxmox_down(fault, at_home):
    """When Proxmox fails the last picture stays with its health, and asks ever more slowly; it comes back by itself."""
    async with at_home(deadline=2) as house:
        pictures = await house.look()
        await until(lambda: pictures[-1].health.unprotected)
        before = pictures[-1]
        house.sim.fault = Fault(**fault)
        await until(lambda: pictures[-1].error)
        assert isinstance(pictures[-1].error, Unreachable)
        begun, asked = time.monotonic(), await house.asked_within(20 * PERIOD)
        for _ in range(8):  # what was under way when it failed ends first
            if {*asked} == {"/cluster/resources"}:
                break
            begun, asked = time.monotonic(), await house.asked_within(20 * PERIOD)
        seconds = time.monotonic() - begun
        assert {*asked} == {"/cluster/resources"}
        assert sum(asked.values()) <= seconds / (0.85 * pace.SLOWEST) + 3
        assert pictures[-1].health == before.health
        assert pictures[-1].resources.guests
        house.sim.fault = Fault()
        await until(lambda: pictures[-1].error is None)
        assert pictures[-1].taken > before.taken


async def test_proxmox_slow(at_home):
    """When Proxmox takes its time pictures come as fast as it answers, one question after the other."""
    async with at_home() as house:
        house.sim.fault = Fault(path="/cluster/resources", delay=0.5)
        pictures = await house.look()
        begun, first = time.monotonic(), len({one.taken for one in pictures})
        await until(lambda: len({one.taken for one in pictures}) >= first + 3)
        assert time.monotonic() - begun > 1.4  # three times as long as one answer takes
        assert all(one.error is None for one in pictures)


async def test_slow_backups_hold_nothing_up(at_home):
    """A storage that takes its time holds up neither the pictures nor what else is known."""
    async with at_home() as house:
        house.sim.fault = Fault(path="/nodes/", delay=60)
        pictures = await house.look()
        seen = len({one.taken for one in pictures})
        await until(lambda: len({one.taken for one in pictures}) >= seen + 5)
        assert pictures[-1].health.failed is None


@pytest.mark.parametrize("fault", [{"status": 595}, {"status": 500}, {"reset": True}], ids=lambda one: next(iter(one)))
async def test_one_node_fails(fault, at_home):
    """A node that does not answer leaves its tasks out; no other's are lost, and no address is thought unreachable."""
    async with at_home(doors=2) as house:
        house.sim.fault = Fault(path="/nodes/pve2", **fault)
        pictures = await house.look()
        await until(lambda: pictures[-1].health.failed is not None)
        assert {task.node for task in pictures[-1].health.failed} <= {"pve1", "pve3"}
        assert all((one.error, one.unreached) == (None, {}) for one in pictures)


async def test_a_node_goes(at_home):
    """A node that goes is offline in the next pictures, and what has failed there has failed all the same."""
    async with at_home() as house:
        pictures = await house.look()
        await until(lambda: pictures[-1].health.failed)
        nodes = {task.node for task in pictures[-1].health.failed}
        gone = next(iter(nodes - {"pve1"}))
        await house.sim.take_offline(gone)

        def status():
            return {node.node: node.status for node in pictures[-1].resources.nodes}[gone]

        await until(lambda: status() == "offline")
        await asyncio.sleep(5 * checkup.PERIOD)
        assert {task.node for task in pictures[-1].health.failed} == nodes
        assert pictures[-1].error is None
        await house.sim.bring_back(gone)
        await until(lambda: status() == "online")
        assert {task.node for task in pictures[-1].health.failed} == nodes


async def test_rights_that_go_and_come(at_home):
    """Rights taken while one looks take away what they let one see, and no more; given back they bring it back."""
    async with at_home() as house:
        pictures = await house.look("alice@pve")
        await until(lambda: pictures[-1].health.failed)
        house.sim.grant("alice@pve", [Grant("/vms", AUDITOR)])
        await until(lambda: (pictures[-1].health.quorate, pictures[-1].health.failed) == (None, None))
        assert pictures[-1].resources.guests
        assert pictures[-1].error is None
        house.sim.grant("alice@pve", [Grant("/", ADMINISTRATOR)])
        await until(lambda: pictures[-1].health.failed and pictures[-1].health.unprotected)


@pytest.mark.parametrize("path", ["/cluster/status", "/cluster/tasks", "/cluster/backup", "/access/permissions"])
async def test_refused_in_the_middle(path, at_home):
    """A 403 to one of the questions ends nothing: pictures keep coming, without what it was about."""
    async with at_home() as house:
        house.sim.fault = Fault(path=path, status=403)
        pictures = await house.look()
        seen = len({one.taken for one in pictures})
        await until(lambda: len({one.taken for one in pictures}) >= seen + 10)
        assert all(one.error is None for one in pictures)
        assert pictures[-1].resources.guests
        house.sim.fault = Fault()
        await until(lambda: pictures[-1].health.quorate and pictures[-1].health.unprotected)


async def test_another_session_takes_over(at_home):
    """When the session ends by which all was asked another takes over, for pictures and health, without trouble."""
    async with at_home() as house:
        one, other, pictures = await house.session(), await house.session(), []
        house.feed.look(one, [].append)
        house.feed.look(other, pictures.append)
        await until(lambda: pictures and pictures[-1].health.unprotected)
        await house.sessions.end(one, EndReason.ENDED)
        house.sim.requests.clear()
        await until(lambda: house.asked()["/cluster/resources"] > 3 and house.asked()["/cluster/backup"] > 1)
        assert all(picture.error is None for picture in pictures)


async def test_a_ticket_that_is_refused(at_home):
    """When Proxmox refuses every ticket the sessions end, and nothing more is asked."""
    async with at_home() as house:
        mine, pictures = await house.session(), []
        house.feed.look(mine, pictures.append)
        await until(lambda: pictures)
        house.sim.forget_keys()

        async def ended():
            return (await house.sessions.confirm([mine]))[mine.hash].reason is EndReason.REJECTED

        deadline = time.monotonic() + 30
        while not await ended():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        await asyncio.sleep(3 * PERIOD)
        house.sim.requests.clear()
        await asyncio.sleep(5 * PERIOD)
        assert house.asked() == {}


async def test_nobody_there(at_home):
    """With nobody there nothing is asked, and what is under way ends."""
    async with at_home() as house:
        house.sim.fault = Fault(path="/nodes/", delay=60)
        pictures = []
        look = house.feed.look(await house.session(), pictures.append)
        await until(lambda: house.asked("/nodes/"))
        look.stop()
        await until(lambda: not [task for task in asyncio.all_tasks() if "Poller" in repr(task.get_coro())])
        house.sim.requests.clear()
        await asyncio.sleep(5 * PERIOD)
        assert house.asked() == {}
        assert not [task for task in asyncio.all_tasks() if "Checkup" in repr(task) or "_each" in repr(task)]
