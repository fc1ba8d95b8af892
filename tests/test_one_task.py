"""One task with its log, the button that stops it, and the bell, as a tab gets them."""

import asyncio
import json

import httpx
import pytest

from services.proxmox import Task
from services.simulator.catalogue import vmid_of
from tests import harness
from tests.page_tab import QUICK
from tests.seen import Seen, looking
from tests.simulated import Visitor, visitor
from tests.socket_client import laboratory, load, signed_in, tab
from ui import text
from ui.bell import LATEST, MOST_SHOWN, latest
from ui.links import task_address
from ui.one_task import MOST_PAGES, PAGE, PERIOD_SECONDS
from ui.task_log import MOST_LINES

STRANGE = "UPID:pve1:00000001:00000001:65000000:qmstart:100:root@pam:"


@pytest.fixture(scope="module")
def pve():
    """A Proxmox of this module's own, whose tasks end when they are told to."""
    with harness.simulator() as running:
        running.settle()
        running.hold()
        yield running


@pytest.fixture(scope="module")
def lab(valkey_url, pve):
    """The program on it."""
    settings = {"STORE_PREFIX": "one-task:", **harness.for_proxmox(pve)}
    with laboratory(QUICK, REDIS_URL=valkey_url, **settings) as up:
        yield up


@pytest.fixture
async def root(pve):
    """The administrator at Proxmox's own door."""
    async with httpx.AsyncClient(
        base_url=f"https://{pve.address}/api2/json", verify=False, trust_env=False, timeout=10
    ) as client:
        yield await visitor(client)


@pytest.fixture
async def upid(pve, root: Visitor):
    """A backup that runs until the test's end, if nobody stops it."""
    guest = (await root.guests())[vmid_of("homeassistant")]
    began = await root.begin(f"/nodes/{guest['node']}/vzdump", vmid=guest["vmid"], storage="local", mode="snapshot")
    yield began
    pve.release()
    pve.hold()


def stops(pve, upid):
    return sum(count for (method, path), count in pve.changes.items() if method == "DELETE" and upid in path)


async def test_a_log_as_it_runs(lab, pve, upid):
    """A task's log is shown from its first line on, grows as the task runs, and is asked for no more at its end."""
    async with looking(lab, task_address(upid)) as seen:
        await seen.up.until(lambda: "INFO: starting new backup job" in seen.log(), 20)
        assert seen.says(text.TASK_RUNNING)
        assert "TASK OK" not in seen.log()
        pve.release()
        pve.hold()
        await seen.up.until(lambda: seen.log().endswith("TASK OK"), 20)
        await seen.up.until(lambda: seen.says(text.TASK_WELL), 20)
        assert seen.log().count("INFO: starting new backup job") == 1

        def asked():
            return sum(upid.split(":")[2] in one.path for one in tuple(pve.requests))

        await asyncio.sleep(PERIOD_SECONDS)  # for what was on its way
        before = asked()
        await asyncio.sleep(2 * PERIOD_SECONDS)
        assert asked() == before


@pytest.mark.parametrize("upid", ["UPID:pve1:x", "<script>", "UPID:../../access:00000001:1:1:x:1:a@b:", STRANGE])
async def test_no_such_task(lab, pve, upid):
    """What is no task's UPID is a sentence, and asked of nobody; so is one that Proxmox knows no more."""

    def asked():
        return sum("/tasks/" in one.path for one in tuple(pve.requests))

    before = asked()
    async with looking(lab, task_address(upid)) as seen:
        await seen.up.until(lambda: seen.says(text.TASK_UNKNOWN), 20)
    assert (asked() > before) == (upid == STRANGE)


async def test_a_task_is_stopped_once(lab, pve, upid):
    """It is confirmed, told to Proxmox once however often one presses, and the page follows it to its end."""
    async with looking(lab, task_address(upid)) as seen:
        await seen.up.until(seen.log, 20)
        await seen.press(text.TASK_STOP)
        await seen.press(text.TASK_STOP)
        await seen.up.until(lambda: seen.says(text.TASK_STOP_TITLE), 5)
        assert stops(pve, upid) == 0
        for _ in range(3):
            await seen.answer()
        await seen.up.until(lambda: "interrupted by signal" in seen.log(), 20)
        await seen.up.until(lambda: seen.says(text.TASK_FAILED), 20)
    assert stops(pve, upid) == 1


async def test_nobody_stops_what_is_not_theirs(lab, pve, upid):
    """Without Sys.Modify the button of somebody else's task is grey with its reason, and pressed does nothing."""
    async with looking(lab, task_address(upid), "alice", "pve") as seen:

        def button():
            return seen.first(lambda one: one.get("text") == text.TASK_STOP and "pg-order" in one.get("class", ()))

        await seen.up.until(lambda: button()[1] and button()[1]["props"].get("aria-disabled") == "true", 20)
        await seen.up.until(lambda: any("Sys.Modify" in str(one.get("text")) for one in seen.elements().values()), 5)
        await seen.fire(*button())
        for id, one in seen.elements().items():  # that of the dialog which would confirm it among them
            if "pg-button" in one.get("class", ()) and one.get("events") and not one.get("text"):
                await seen.fire(id, one)
        await seen.up.until(seen.log, 20)
        assert not seen.says(text.TASK_STOP_TITLE)
    assert stops(pve, upid) == 0


async def test_the_bell_finds_a_task_after_signing_in_again(lab, pve, upid):
    """Who was signed out while their task ran finds it in the bell of whichever page, as it is now."""
    for path, state in (("/", "running"), ("/storage", "well")):
        async with looking(lab, path) as seen:

            def found(seen=seen):
                rows = json.loads(seen.prop("data-tasks", of="bell-data") or "[]")
                return [(one["state"], one["about"], one["href"]) for one in rows if one["key"] == upid]

            await seen.up.until(lambda found=found, state=state: [one for one in found() if one[0] == state], 20)
            assert found() == [(state, "homeassistant", task_address(upid))]
        pve.release()
        pve.hold()


async def test_the_bell_is_ones_own(lab, upid):
    """What others have begun is not in it; who has begun nothing is told so, and not that nobody knows."""
    async with looking(lab, "/storage", "alice", "pve") as seen:
        await seen.up.until(lambda: seen.prop("data-tasks", of="bell-data"), 20)
        assert json.loads(seen.prop("data-tasks", of="bell-data")) == []


def task(number, user="root@pam", **more):
    upid = f"UPID:pve1:0000A1B2:00C3D4E5:{number:08X}:qmstart:100:{user}:"
    ended = {"status": "OK", "endtime": number + 1} | more
    return Task(upid=upid, node="pve1", type="qmstart", user=user.partition("!")[0], starttime=number, **ended)


def test_the_latest_of_a_person():
    """Those that run come first, then the newest; a token's are its owner's too, and its owner's are not a token's."""
    running = task(1, status="", endtime=None)
    own, token, other = task(3), task(4, "root@pam!ci"), task(5, "alice@pve")
    assert latest([other, own, running, token], "root@pam") == [running, token, own]
    assert latest([other, own, running, token], "root@pam!ci") == [token]
    well, failed = [task(number) for number in range(9, 49)], task(8, status="got timeout")
    assert latest([failed, *well], "root@pam") == [*reversed(well[-LATEST:]), failed]
    assert len(latest([task(number, status="got timeout") for number in range(40)], "root@pam")) == MOST_SHOWN


LONG = f'''
"""Proxgate with a page of its own: logs as long as its buttons say."""

from nicegui import ui

from ui.task_log import Log


@ui.page("/lab")
def lab():
    log = Log()

    def take(count, mark=""):
        log.take(log.next, [f"line {{log.next + at}}{{mark}}" for at in range(count)])

    presses = {{
        "one": lambda: log.take(0, ["no content"]),
        "few": lambda: take(3),
        "again": lambda: take(1, " whole"),
        "nothing": lambda: log.take(log.next, []),
        "late": lambda: log.take(0, ["x"] * 5),
        "many": lambda: [take({PAGE}) for _ in range(3)],
    }}
    for name, press in presses.items():
        ui.element("button").props(f"data-name={{name}}").on("click", press, args=[])


from ui.__main__ import main

main()
'''


async def test_a_long_log_is_cut(valkey_url, pve):
    """The last line is taken anew, since it may have grown; of a long log the newest are shown, and that is said."""
    with laboratory(LONG, REDIS_URL=valkey_url, STORE_PREFIX="long:", **harness.for_proxmox(pve)) as lab:
        with signed_in(lab) as client:
            page = load(client)
            async with tab(lab, client, page) as up:
                seen = Seen(page, up)

                async def shown(name, log):
                    await up.emit("event", page.click(name))
                    await up.until(lambda: seen.log() == log, 5)

                await shown("one", "no content")
                await shown("few", "line 0\nline 1\nline 2")
                await shown("again", "line 0\nline 1\nline 2 whole")
                await shown("nothing", "line 0\nline 1\nline 2 whole")
                await shown("late", "line 0\nline 1\nline 2 whole")
                await up.emit("event", page.click("many"))
                await up.until(lambda: "line 2999" in str(up.frames), 5)
                await up.until(lambda: seen.says(text.TASK_LOG_CUT.format(count="2,000")), 5)
                ids = next(one for one in seen.elements().values() if "pg-log" in one.get("class", ()))["children"]
                chunks = seen.elements()[str(ids[0])]["children"]
                lines = [line for id in chunks for line in seen.elements()[str(id)]["text"].split("\n")]
    assert MOST_LINES - 100 < len(lines) <= MOST_LINES
    assert lines == [f"line {at}" for at in range(3000 - len(lines), 3000)]


SHARED = '''
"""Proxgate with a page of its own: a task of which another tab has asked just before."""

from nicegui import ui

from services.proxmox import Task, TaskLog
from ui.confirm import Confirm
from ui.one_task import PAGE, Panel


class Fresh:
    """A feed whose answers stay fresh."""

    status = ""

    def __init__(self):
        self.answers = {}

    async def ask(self, session, key, question, fresh_for):
        if key[0] == "task":
            return Task(upid=key[1], node="pve1", type="qmstart", user="root@pam", status=self.status)
        return self.answers.setdefault(key, TaskLog(lines=("one", "TASK OK") if self.status else ("one",), total=1))


class Huge(Fresh):
    """A log of very many lines, which grows."""

    total = 200_000

    meanwhile = 0

    async def ask(self, session, key, question, fresh_for):
        if key[0] == "task":
            return await super().ask(session, key, question, fresh_for)
        print(f"asked from {key[2]}", flush=True)
        self.total += self.meanwhile
        lines = tuple(f"line {at}" for at in range(key[2], min(key[2] + PAGE, self.total)))
        return TaskLog(lines=lines, total=self.total)


class Everything:
    """The rights of somebody who lacks none."""

    principal = "root@pam"

    def lacking(self, needs):
        return None


@ui.page("/lab")
def lab():
    feed = Fresh()
    panel = Panel("UPID", feed, None, Everything(), Confirm(), lambda: None)

    async def end():
        feed.status = "OK"
        await panel.refresh()

    for name, press in {"look": panel.refresh, "end": end}.items():
        ui.element("button").props(f"data-name={name}").on("click", press, args=[])


@ui.page("/huge")
def huge():
    feed = Huge()
    panel = Panel("UPID", feed, None, Everything(), Confirm(), lambda: None)

    async def grow():
        feed.total += 3
        await panel.refresh()

    async def flood():
        feed.total += 50_000
        await panel.refresh()

    async def hurry():
        feed.meanwhile = 7
        feed.total += 50_000
        await panel.refresh()

    for name, press in {"look": panel.refresh, "grow": grow, "flood": flood, "hurry": hurry}.items():
        ui.element("button").props(f"data-name={name}").on("click", press, args=[])


from ui.__main__ import main

main()
'''.replace('"UPID"', repr(STRANGE))


@pytest.fixture(scope="module")
def shared(valkey_url, pve):
    with laboratory(SHARED, REDIS_URL=valkey_url, STORE_PREFIX="shared:", **harness.for_proxmox(pve)) as lab:
        yield lab


async def test_the_last_lines_are_not_those_of_another_tab(shared):
    """What another tab was told of the log before the task's end is not taken for its end."""
    with signed_in(shared) as client:
        page = load(client)
        async with tab(shared, client, page) as up:
            seen = Seen(page, up)
            await up.emit("event", page.click("look"))
            await up.until(lambda: seen.log() == "one", 5)
            await up.emit("event", page.click("end"))
            await up.until(lambda: seen.log() == "one\nTASK OK", 5)


async def test_a_log_of_very_many_lines_is_not_read_from_its_first(shared):
    """What nobody would be shown is not asked for: neither at first, nor where it grows faster than one looks."""
    with signed_in(shared) as client:
        page = load(client, "/huge")
        async with tab(shared, client, page) as up:
            seen = Seen(page, up)
            for press, total in (("look", 200_000), ("grow", 200_003), ("flood", 250_003)):
                await up.emit("event", page.click(press))
                await up.until(lambda total=total: seen.log().endswith(f"line {total - 1}"), 5)
                lines = seen.log().split("\n")
                assert MOST_LINES - 100 <= len(lines) <= MOST_LINES
                assert lines == [f"line {at}" for at in range(total - len(lines), total)]
            assert seen.says(text.TASK_LOG_CUT.format(count="2,000"))
            await up.emit("event", page.click("hurry"))  # it grows between any two questions, too
            await up.until(lambda: "line 300" in seen.log(), 5)
    begins = [int(line.split()[-1]) for line in shared.output().splitlines() if line.startswith("asked from")]
    assert begins[:9] == [0, 198_000, 198_999, 199_998, 199_999, 200_002, 248_003, 249_002, 250_001]
    assert len(begins) <= 9 + MOST_PAGES
