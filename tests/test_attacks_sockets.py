"""Attacks on a tab's socket, each told in one test from beginning to end; the finer cases are in `test_sockets*.py`."""

import asyncio
import subprocess
import sys
import time

import pytest

from services.sessions.record import hash_id
from tests import harness
from tests.socket_client import (
    LAB,
    Poller,
    cookies_of,
    laboratory,
    load,
    query_of,
    refused,
    runs,
    tab,
    until,
)
from tests.stores import own_store  # noqa: F401 - the fixture `store`

pytestmark = pytest.mark.slow

PREFIX = "attacked:"
CLOSED_WITHIN, SILENT_AFTER = 2.0, 1.0
"""Seconds from a session's end until its sockets are closed, and until nothing passes them any more."""

PAGES = """
from ui.visit import current_session


def told(name, also):
    return ui.element("button").props(f"data-name={name}").on("click", lambda: (also(), ran(name)()))


@ui.page("/reach")
def reach():
    with ui.element("div") as hidden:
        button("of-hidden")
    hidden.set_visibility(False)
    with ui.dialog(value=True) as dialog:
        button("of-deleted")
    told("delete", dialog.delete)
    with ui.element("div") as admins:
        button("of-root")
    admins.set_visibility(current_session().principal == "root@pam")
    button("of-anybody")
"""


@pytest.fixture(scope="module")
def lab(store, sim):
    """The program, with a page that pushes ten times a second and one with buttons that are out of reach."""
    script = LAB.replace("\nfrom ui.__main__ import main", f"{PAGES}\n\nfrom ui.__main__ import main")
    with laboratory(script, REDIS_URL=store, STORE_PREFIX=PREFIX, **harness.for_proxmox(sim)) as up:
        yield up


def _sign_out(lab, store, sim, client):
    assert client.post("/logout", headers={"Origin": lab.url}).status_code == 303


def _end_by_command(lab, store, sim, client):
    settings = {"REDIS_URL": store, "STORE_PREFIX": PREFIX, "SESSION_SECRET": harness.SECRET}
    subprocess.run(
        [sys.executable, "-m", "ui", "sessions", "end", _hash(client)[:12]], check=True, timeout=30,
        env=harness.environment(**settings, **harness.for_proxmox(sim)), capture_output=True,
    )  # fmt: skip


def _fall_idle(lab, store, sim, client):
    with harness.admin(store) as admin:
        assert admin.pexpire(f"{PREFIX}session:{{{_hash(client)}}}", 2000)
    time.sleep(2.05)


def _hash(client):
    return hash_id(client.cookies["proxgate"].partition(".")[0])


WAYS = {"signed out": _sign_out, "ended by command": _end_by_command, "fallen idle": _fall_idle}


@pytest.fixture(params=WAYS)
def end(request, lab, store, sim):
    """Ends the session of a browser; to be awaited, and its value is when it was over, in monotonic and Unix time."""

    async def over(client):
        await asyncio.to_thread(WAYS[request.param], lab, store, sim, client)
        return time.monotonic(), time.time()

    return over


# Who may open a socket


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://localhost:{port}.evil.example"])
async def test_other_origins_are_refused_by_either_transport(lab, root, origin):
    """Neither a websocket nor a poll comes in from another origin, and no answer lets that origin read it."""
    named, page = origin and origin.format(port=lab.port), load(root)
    headers = await refused(lab, query_of(page.client_id), cookies_of(root), origin=named)
    async with Poller(lab, cookies_of(root), page.client_id) as poll:
        del poll.http.headers["Sec-Fetch-Site"]  # of a browser that sends none
        answer = await poll.get({"Origin": named} if named else None)
    assert (headers is not None, answer.status_code) == (True, 403)
    assert not [name for name in (*headers, *answer.headers) if name.startswith("access-control-")]


# What a session's end means for the sockets that are open


async def test_events_after_the_end_are_not_obeyed(lab, root, end):
    """A second after the end of its session no event of an open socket is obeyed, and a second later it is closed."""
    page = load(root)
    async with tab(lab, root, page) as up:
        await up.until(up.data)
        over, wall = await end(root)
        while time.monotonic() < over + CLOSED_WITHIN + 0.5:
            await up.emit("event", page.click("open"))
            await asyncio.sleep(0.05)
        assert not [at for at in runs(lab, "open") if at > wall + SILENT_AFTER]
        assert up.closed is not None
        assert up.closed < over + CLOSED_WITHIN


async def test_nothing_is_pushed_after_the_end(lab, root, end):
    """A second after its end, neither a timer nor anything else that pushes has a word for the session's tabs."""
    async with tab(lab, root, load(root)) as timed, tab(lab, root, load(root, "/")) as fed:
        for up in (timed, fed):
            await up.until(up.data)
        over, wall = await end(root)
        await asyncio.sleep(SILENT_AFTER + 2)
        assert not [event[0] for up in (timed, fed) for _, event in up.data(over + SILENT_AFTER)]
        assert not [at for at in runs(lab, "timer") if at > wall + SILENT_AFTER]


async def test_what_a_tab_was_sent_does_not_come_again_after_the_end(lab, root, end):
    """Once its session has ended, a socket that asks for all that a tab was sent from the beginning is refused."""
    page, cookies = load(root), cookies_of(root)
    async with tab(lab, root, page, tab_id="same") as up:
        await up.until(lambda: len(up.data()) > 3)
        await end(root)
        query = query_of(page.client_id, next_message_id=0, tab_id="same")
        assert await refused(lab, query, cookies) is not None


# What a tab may say


async def test_nobody_clicks_what_is_out_of_reach(lab, root, kid):
    """No event reaches a child of something hidden, a dialog that is gone, or what is there for somebody else."""
    page, own = load(root, "/reach"), load(kid, "/reach")
    async with tab(lab, root, page), tab(lab, kid, own) as up:
        for name in ("of-hidden", "delete", "of-deleted", "of-root"):
            await up.emit("event", own.click(name))
        await up.emit("event", page.click("of-root"))
        await up.emit("event", own.click("of-anybody"))
        await until(lambda: runs(lab, "of-anybody"))
        assert runs(lab, "delete")
        assert not [name for name in ("of-hidden", "of-deleted", "of-root") if runs(lab, name)]


async def test_nobody_speaks_for_another_tab(lab, root, kid):
    """Another tab's questions are not answered, its messages not taken as received, nor sent to it anew."""
    page, own = load(root), load(kid)
    async with tab(lab, root, page, tab_id="same") as victim, tab(lab, kid, own) as up:
        await victim.emit("event", page.click("ask"))
        await victim.until(lambda: _question(victim))
        answer = {"request_id": _question(victim), "result": "forged"}
        await up.emit("javascript_response", {"client_id": page.client_id, **answer}, ack=1)
        await up.emit("javascript_response", {"client_id": own.client_id, **answer}, ack=2)
        await up.emit("ack", {"client_id": page.client_id, "next_message_id": 10**9}, ack=3)
        joining = {"client_id": page.client_id, "tab_id": "same", "document_id": "x", "next_message_id": 1}
        await up.emit("handshake", joining, ack=4)
        await up.until(lambda: any(said.startswith("434[") for _, said in up.frames))
        await victim.emit("javascript_response", {"client_id": page.client_id, **answer, "result": "own"})
        await until(lambda: "answered " in lab.output())
        assert "answered forged" not in lab.output()
        seen = len(victim.data())
        await victim.until(lambda: len(victim.data()) > seen + 2)
        numbers = [event[1]["_id"] for _, event in victim.data()]
        assert numbers == sorted(set(numbers))
    page.message_id = 1
    async with tab(lab, root, page, tab_id="same") as again:
        await again.until(again.data)
        assert again.data()[0][1][1]["_id"] == 1


def _question(up):
    return next((event[1]["request_id"] for _, event in up.data() if event[0] == "run_javascript"), None)
