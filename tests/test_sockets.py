"""What a tab's websocket may do, and how it ends with its session, asked of a running program frame by frame."""

import asyncio
import contextlib
import re
import subprocess
import sys
import time
import uuid

import pytest
import websockets

from services.simulator.simulator import Fault
from tests import harness
from tests.socket_client import (
    cookies_of,
    is_in,
    laboratory,
    load,
    query_of,
    refused,
    runs,
    signed_in,
    socket,
    tab,
    until,
)
from tests.stores import own_store  # noqa: F401 - the fixture `store`

ENDED_WITHIN = 2.0
"""Seconds within which the tabs of an ended session are on the login card."""

SILENT_AFTER = 1.0
"""Seconds after which nothing of the session passes any more."""


@pytest.fixture(scope="module")
def proxmox():
    """A Proxmox of this module's own, to be broken."""
    with harness.simulator() as running:
        yield running


@pytest.fixture(scope="module")
def lab(store, proxmox):
    """The program, with a page that pushes ten times a second."""
    with laboratory(REDIS_URL=store, STORE_PREFIX="lab:", **harness.for_proxmox(proxmox)) as up:
        yield up


@pytest.fixture(scope="module")
def hasty(store, proxmox):
    """The same, whose sessions fall idle after two seconds, and which logs all it can."""
    limits = {"SESSION_IDLE_SECONDS": "2", "SESSION_MAX_SECONDS": "60", "LOG_LEVEL": "debug"}
    with laboratory(REDIS_URL=store, STORE_PREFIX="hasty:", **limits, **harness.for_proxmox(proxmox)) as up:
        yield up


@pytest.fixture(scope="module")
def aging(store, proxmox):
    """The same, whose sessions live three seconds."""
    limits = {"SESSION_MAX_SECONDS": "3"}
    with laboratory(REDIS_URL=store, STORE_PREFIX="aging:", **limits, **harness.for_proxmox(proxmox)) as up:
        yield up


@pytest.fixture
def card(lab):
    """A browser on the login card."""
    with lab.client() as client:
        yield client


# Who is let in


async def test_own_page_is_let_in(lab, root):
    """The socket of a page of one's own, from that page's origin, is let in and fed."""
    async with tab(lab, root, load(root)) as up:
        await up.until(up.data)


@pytest.mark.parametrize(
    "origin",
    [None, "null", "http://evil.example", "https://localhost:{port}", "http://localhost", "http://127.0.0.1:{port}",
     "http://localhost:{port}.evil.example", "http://evil.localhost:{port}", "http://localhost:{port}/", ""],
)  # fmt: skip
async def test_other_origins_are_refused(lab, root, origin):
    """A socket whose Origin is missing or is not exactly the page's own is refused, without a CORS header."""
    named = origin and origin.format(port=lab.port)
    headers = await refused(lab, query_of(load(root).client_id), cookies_of(root), origin=named)
    assert headers is not None
    assert not [name for name in headers if name.startswith("access-control-")]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_other_sites_are_refused(lab, root, site):
    """A socket that the browser says comes from another site is refused, whatever its Origin."""
    more = {"headers": {"Sec-Fetch-Site": site}}
    assert await refused(lab, query_of(load(root).client_id), cookies_of(root), **more) is not None


async def test_no_cookie_is_refused(lab, root):
    """A socket that knows a tab's id and has no cookie is refused."""
    assert await refused(lab, query_of(load(root).client_id)) is not None


async def test_forged_cookie_is_refused(lab, root):
    """A socket with a session cookie that was altered is refused."""
    page = load(root)
    forged = "; ".join(f"{name}={value[:-1]}{'A' if value[-1] != 'A' else 'B'}" for name, value in root.cookies.items())
    assert await refused(lab, query_of(page.client_id), forged) is not None


async def test_other_persons_tab_is_refused(lab, root, kid):
    """A socket of one person to a tab of another person is refused."""
    assert await refused(lab, query_of(load(root).client_id), cookies_of(kid)) is not None


async def test_other_sessions_tab_is_refused(lab, root):
    """A socket to a tab of the same person's session in another browser is refused."""
    with signed_in(lab) as other:
        assert await refused(lab, query_of(load(root).client_id), cookies_of(other)) is not None


async def test_prelogin_cookie_opens_no_protected_tab(lab, root, card):
    """A browser that has not signed in is refused the socket of a protected tab."""
    load(card, "/login")
    assert await refused(lab, query_of(load(root).client_id), cookies_of(card)) is not None


async def test_own_prelogin_cookie_opens_no_protected_tab(lab, card):
    """Not even the pre-login cookie of the same browser opens its protected tab without the session's cookie."""
    load(card, "/login")
    before = cookies_of(card)
    assert harness.sign_in(card).status_code == 200
    page = load(card)
    assert await refused(lab, query_of(page.client_id), before) is not None
    async with tab(lab, card, page):
        pass


@pytest.mark.parametrize("ids", [[], ["own", "own"], ["own", "other"], ["other", "own"], ["gone"], [""]])
async def test_socket_names_exactly_one_tab(lab, root, kid, ids):
    """A socket that names no tab, several, or one that is not there, joins none."""
    named = {"own": load(kid).client_id, "other": load(root).client_id, "gone": str(uuid.uuid4()), "": ""}
    query = query_of(None) + "".join(f"&client_id={named[id]}" for id in ids)
    assert await refused(lab, query, cookies_of(kid)) is not None


async def test_login_tab_needs_its_browser(lab, card):
    """The socket of a login card is let in with the pre-login cookie it was given, and with no other."""
    page = load(card, "/login")
    assert await refused(lab, query_of(page.client_id)) is not None
    with lab.client() as other:
        load(other, "/login")
        assert await refused(lab, query_of(page.client_id), cookies_of(other)) is not None
    async with tab(lab, card, page):
        pass


# What a socket that was let in may say


async def test_handshake_for_another_tab_is_refused(lab, root, kid):
    """The explicit handshake joins the socket's own tab and no other: nothing of the other arrives."""
    other, own = load(root), load(kid)
    cookies = cookies_of(kid)
    async with socket(lab, query_of(own.client_id, implicit_handshake="false"), cookies) as up:
        await up.until(lambda: is_in(up))
        ids = {"tab_id": str(uuid.uuid4()), "document_id": str(uuid.uuid4()), "next_message_id": 0}
        await up.emit("handshake", {"client_id": other.client_id, **ids}, ack=1)
        await up.until(lambda: up.acknowledged(1) is not None)
        assert up.acknowledged(1) is False
        assert not up.data()
        await up.emit("handshake", {"client_id": own.client_id, **ids}, ack=2)
        await up.until(lambda: up.acknowledged(2))
    async with tab(lab, root, other):
        pass


async def test_connect_event_joins_no_other_tab(lab, root, kid):
    """A hand-made `connect` event, which no honest client sends, joins no other tab."""
    other, own = load(root), load(kid)
    async with tab(lab, root, other, tab_id="known") as victim, tab(lab, kid, own) as up:
        query = query_of(other.client_id, tab_id="known")
        await up.emit("connect", {"QUERY_STRING": query}, ack=1)
        await up.emit("event", own.click("open"), ack=2)
        await up.until(lambda: up.acknowledged(2) is not None or up.closed or any("432[" in f for _, f in up.frames))
        seen = {event[1]["_id"] for _, event in victim.data()}
        await victim.until(lambda: len(victim.data()) > len(seen) + 5)
        mine = [event for _, event in up.data() if event[0] == "update"]
        assert len({event[1]["_id"] for event in mine}) == len(mine)  # one stream, its own


async def test_event_for_another_tab_is_not_run(lab, root, kid):
    """An event that names another tab runs neither there nor here, be it another session's or the same one's."""
    other, second, own = load(root), load(kid), load(kid)
    async with tab(lab, root, other), tab(lab, kid, second), tab(lab, kid, own) as up:
        before = len(runs(lab, "open"))
        await up.emit("event", other.click("open"), ack=1)
        await up.emit("event", second.click("open"), ack=2)
        await up.until(lambda: up.acknowledged(1) is False and up.acknowledged(2) is False)
        await up.emit("event", own.click("open"))
        await until(lambda: len(runs(lab, "open")) > before)
        assert len(runs(lab, "open")) == before + 1


@pytest.mark.parametrize("name", ["hidden", "disabled", "under-hidden", "under-disabled"])
async def test_what_is_out_of_reach_is_not_run(lab, root, name):
    """An event to an element that is hidden or disabled, itself or by a parent, is not run."""
    page = load(root)
    async with tab(lab, root, page) as up:
        before = len(runs(lab, "shown-again"))
        await up.emit("event", page.click(name))
        await up.emit("event", page.click("shown-again"))
        await until(lambda: len(runs(lab, "shown-again")) == before + 1)
        assert not runs(lab, name)


async def test_forged_answer_to_a_script_is_ignored(lab, root, kid):
    """An answer to a script that the server asked another tab to run is taken from that tab alone."""
    page, own = load(root), load(kid)
    async with tab(lab, root, page) as asked, tab(lab, kid, own) as up:
        await asked.emit("event", page.click("ask"))
        await asked.until(lambda: _asked(asked))
        request = _asked(asked)
        await up.emit("javascript_response", {"client_id": page.client_id, "request_id": request, "result": "A"}, ack=1)
        await up.until(lambda: up.acknowledged(1) is False)
        await asked.emit("javascript_response", {"client_id": page.client_id, "request_id": request, "result": "good"})
        await until(lambda: "answered good" in lab.output())
        assert "answered A" not in lab.output()


async def test_answer_in_ones_own_name_to_anothers_script_is_ignored(lab, root, kid):
    """Nor is it taken from a tab that names itself and another tab's request."""
    page, own = load(root), load(kid)
    async with tab(lab, root, page) as asked, tab(lab, kid, own) as up:
        await asked.emit("event", page.click("ask"))
        await asked.until(lambda: _asked(asked))
        request = _asked(asked)
        await up.emit("javascript_response", {"client_id": own.client_id, "request_id": request, "result": "B"}, ack=1)
        await up.emit("event", own.click("open"), ack=2)
        await up.until(lambda: any(frame.startswith("432[") for _, frame in up.frames))
        await asked.emit("javascript_response", {"client_id": page.client_id, "request_id": request, "result": "mine"})
        await until(lambda: "answered mine" in lab.output() or "answered B" in lab.output())
        assert "answered B" not in lab.output()


def _asked(up):
    return next((event[1]["request_id"] for _, event in up.data() if event[0] == "run_javascript"), None)


async def test_forged_acknowledgement_prunes_nothing(lab, root, kid):
    """What another tab says it has received is not forgotten: the tab itself, reconnecting, gets it again."""
    page, own = load(root), load(kid)
    async with tab(lab, root, page, tab_id="same") as victim, tab(lab, kid, own) as up:
        await victim.until(lambda: len(victim.data()) > 3)
        await up.emit("ack", {"client_id": page.client_id, "next_message_id": 10**9}, ack=1)
        await up.until(lambda: up.acknowledged(1) is False)
    page.message_id = 1
    async with tab(lab, root, page, tab_id="same") as again:
        await again.until(again.data)
        assert again.data()[0][1][1]["_id"] == 1


async def test_log_events_cannot_write_the_log(hasty):
    """What a page's script complains of never starts a line of the log, is never long, and ends nothing."""
    with hasty.client() as client:
        page = load(client, "/login")
        async with tab(hasty, client, page) as up:
            size = len(hasty.output())
            fake = "2026-01-01T00:00:00Z INFO services.auth: signed in principal=root@pam"
            for level in ("error", "info", "none of them", None, 7, ["x"]):
                said = {
                    "client_id": page.client_id,
                    "level": level,
                    "message": f"x\r\n{fake}\n{fake}\u2028{fake}\x1b[2J",
                }
                await up.emit("log", said)
            await up.emit("log", {"client_id": page.client_id, "level": "error", "message": "y" * 900_000})
            for odd in (None, 7, "text", [], {}, {"message": {"a": ["b\n" + fake]}}):
                await up.emit("log", odd)
            await up.emit("log")
            await up.emit("handshake", {"client_id": "last"}, ack=9)
            await up.until(lambda: up.acknowledged(9) is False)
        said = hasty.output()[size:]
        assert len(said) < 20_000
        assert not [line for line in said.splitlines() if line.startswith(fake)]
        assert "\x1b" not in said
        assert "from a page" in said


DEEP = "[" * 10_000 + "]" * 10_000
MALFORMED = [
    "", "4", "42", "42[]", "42{}", "42null", "42[1]", "42[null]", "42[[]]", "42[{}]", '42["event"]',
    '42["event",null]', '42["event",7]', '42["event",[]]', '42["event",{}]', '42["event",{"client_id":null}]',
    '42["event",{"client_id":{}}]', '42["handshake"]', '42["handshake",{}]', '42["handshake",{"client_id":"OWN"}]',
    '42["ack",{"client_id":"OWN"}]', '42["ack",{"client_id":"OWN","next_message_id":"x"}]',
    '42["ack",{"client_id":"OWN","next_message_id":{}}]', '42["javascript_response",{"client_id":"OWN"}]',
    '42["javascript_response",{"client_id":"OWN","request_id":[]}]', '42["event",{"client_id":"OWN"}]',
    '42["event",{"client_id":"OWN","id":"6","listener_id":"x","args":[]}]',
    '42["event",{"client_id":"OWN","id":6,"listener_id":7,"args":[]}]',
    '42["event",{"client_id":"OWN","id":6,"listener_id":"none","args":[]}]',
    '42["event",{"client_id":"OWN","id":6,"listener_id":"none","args":"text"}]',
    '42["event",{"client_id":"OWN","id":6,"listener_id":"none","args":[{"a":1}]}]',
    '42["event",{"client_id":"OWN","id":6,"listener_id":"none","args":["{not json"]}]',
    '42["event",{"client_id":"OWN","id":999999,"listener_id":"none","args":[]}]',
    '42["event",{"client_id":"OWN","id":1e400,"listener_id":"none","args":[]}]', '42["disconnect"]x',
    '42["connect",7]', '42["connect",{}]', '42["connect"]', '42["nobody",{}]', "43", "431[1]", "44", "45",
    '451-["event",{"_placeholder":true,"num":0}]', '450-["event"]', "46", "47", "48", "49", "4x", "9", "x", "bAAAA",
    "6", "2x", f'42["event",{DEEP}]', f"42{DEEP}", '42["event",' + '{"a":' * 10_000 + "1" + "}" * 10_000 + "]",
    "4" + "2" * 5000, "42/nobody,[1]", "40/nobody,", "42" + "9" * 400 + "[]",
]  # fmt: skip


async def test_malformed_frames_leave_the_program_alive(lab, root):
    """No frame of a wrong shape ends the program, stops another tab, or is answered with a stack trace."""
    page, victim = load(root), load(root)
    async with tab(lab, root, victim) as other:
        for frame in MALFORMED:
            async with tab(lab, root, page, tab_id="same", document_id=str(uuid.uuid4())) as up:
                await up.send(frame.replace("OWN", page.client_id))
                await up.emit("handshake", {"client_id": "last"}, ack=9)
                await up.until(
                    lambda up=up, frame=frame: up.closed or up.acknowledged(9) is False or frame[:2] in {"45", "46"}
                )  # waiting for the rest
                assert not [
                    said for _, said in up.frames if "Traceback" in said or ("Error" in said and said[:2] != "44")
                ]
        seen = len(other.data())
        await other.until(lambda: len(other.data()) > seen + 2)
        before = len(runs(lab, "open"))
        await other.emit("event", victim.click("open"))
        await until(lambda: len(runs(lab, "open")) == before + 1)
    assert lab.process.poll() is None


async def test_malformed_frames_do_not_flood_the_log(lab, root):
    """A hundred frames that cannot be read are not answered with a stack trace each in the server's log."""
    page = load(root)
    async with tab(lab, root, page) as up:
        size = len(lab.output())
        for _ in range(100):
            await up.send(f"42{DEEP[:1000]}")
        await up.emit("handshake", {"client_id": "last"}, ack=9)
        await up.until(lambda: up.closed or up.acknowledged(9) is False)
    assert len(lab.output()) - size < 40_000


# How a tab ends with its session


async def _open_tabs(stack, server, client, count=2):
    """That many tabs of `/lab`, each being fed."""
    pages = [load(client) for _ in range(count)]
    tabs = [await stack.enter_async_context(tab(server, client, page)) for page in pages]
    for up in tabs:
        await up.until(up.data)
    return list(zip(pages, tabs, strict=True))


async def _assert_ended(server, tabs, began, reason, within=ENDED_WITHIN):
    """Each tab is sent to the login card and its socket closed in time; meanwhile nothing ran, nothing arrived."""
    clicks = asyncio.gather(*(_click_on(up, page) for page, up in tabs))
    ended_at = time.time() - (time.monotonic() - began)
    with contextlib.suppress(AssertionError):  # it is told below
        for _, up in tabs:
            await up.until(lambda up=up: up.closed, max(0.1, began + within + 0.5 - time.monotonic()))
    clicks.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await clicks
    for _, up in tabs:
        assert up.closed, "its socket is open, and it is not on the card"
        assert up.closed - began <= within
        assert len(up.opened()) == 1
        at, path = up.opened()[0]
        assert at - began <= within
        _assert_way(path, reason)
        slack = within - ENDED_WITHIN
        assert not up.data(began + slack + SILENT_AFTER)
        assert not up.data(at)
    over = ended_at + within - ENDED_WITHIN + SILENT_AFTER
    assert not [at for name in ("open", "timer") for at in runs(server, name) if at > over]


def _assert_way(path, reason):
    """To the card, which says why; after an expiry it knows the way back to the page that is kept."""
    kept = r"%3Fkept%3D[A-Za-z0-9_-]{22}" if reason in {"idle", "age"} else ""
    assert re.fullmatch("/login" if reason is None else rf"/login\?next=/lab{kept}&ended={reason}", path), path


async def _click_on(up, page):
    while not up.closed:
        await up.emit("event", page.click("open"))
        await asyncio.sleep(0.03)


async def test_signing_out_in_one_tab_ends_the_others(lab, root, kid):
    """Signed out in one tab, the session's others run and show nothing more and go to the card; others stay."""
    async with contextlib.AsyncExitStack() as stack:
        tabs = await _open_tabs(stack, lab, root)
        [(_, stranger)] = await _open_tabs(stack, lab, kid, 1)
        answer = await asyncio.to_thread(root.post, "/logout", headers={"Origin": lab.url})
        assert answer.status_code == 303
        await _assert_ended(lab, tabs, time.monotonic(), None)
        seen = len(stranger.data())
        await stranger.until(lambda: len(stranger.data()) > seen + 2)
        assert not stranger.closed


async def test_command_ends_a_session(lab, root, store, proxmox):
    """`proxgate sessions end` takes the session's tabs to the login card, which says that it was ended."""
    async with contextlib.AsyncExitStack() as stack:
        tabs = await _open_tabs(stack, lab, root)
        with harness.admin(store) as client:
            [ours] = _sessions_of(client, lab)[-1:]
        await asyncio.to_thread(_command, store, proxmox, "sessions", "end", ours[:12])
        await _assert_ended(lab, tabs, time.monotonic(), "ended", ENDED_WITHIN)


def _sessions_of(client, server):
    """The sessions that the server's log names and the store still holds, oldest first."""
    logged = [word.removeprefix("session=") for word in server.output().split() if word.startswith("session=")]
    live = [key.decode().rpartition(":")[2].strip("{}") for key in client.keys("lab:session:*")]
    return [hash for name in dict.fromkeys(logged) for hash in live if hash.startswith(name)]


def _command(store, proxmox, *words):
    settings = {"REDIS_URL": store, "STORE_PREFIX": "lab:", "SESSION_SECRET": harness.SECRET}
    subprocess.run(
        [sys.executable, "-m", "ui", *words], check=True, timeout=20, capture_output=True,
        env=harness.environment(**settings, **harness.for_proxmox(proxmox)),
    )  # fmt: skip


async def test_deleting_the_record_by_hand_ends_the_session(lab, root, store):
    """An administrator's DEL in the store takes the session's tabs to the login card, which says that it was ended."""
    async with contextlib.AsyncExitStack() as stack:
        tabs = await _open_tabs(stack, lab, root)
        with harness.admin(store) as client:
            [ours] = _sessions_of(client, lab)[-1:]
            assert client.delete(f"lab:session:{{{ours}}}") == 1
        await _assert_ended(lab, tabs, time.monotonic(), "ended")


async def test_emptying_the_store_ends_every_session(lab, root, kid, store):
    """FLUSHALL in the store takes every tab to the login card, and no request passes from then on."""
    async with contextlib.AsyncExitStack() as stack:
        tabs = [*await _open_tabs(stack, lab, root), *await _open_tabs(stack, lab, kid)]
        with harness.admin(store) as client:
            client.flushall()
        began = time.monotonic()
        assert root.get("/", headers=harness.PAGE).status_code == 303
        await _assert_ended(lab, tabs, began, "ended")


async def test_idle_session_ends_under_its_open_tabs(hasty):
    """A session that nobody uses ends, though its open tabs are fed all the while, and the card says why."""
    with signed_in(hasty) as client:
        async with contextlib.AsyncExitStack() as stack:
            tabs = await _open_tabs(stack, hasty, client)
            loaded = time.monotonic()
            for _, up in tabs:
                await up.until(lambda up=up: up.closed, 5)
                assert up.closed - loaded <= 2 + ENDED_WITHIN
                [(_, path)] = up.opened()
                _assert_way(path, "idle")
                assert not up.data(loaded + 2 + SILENT_AFTER)
            ended = time.time()
            await asyncio.sleep(1)
            assert not [at for at in runs(hasty, "timer") if at > ended]


async def test_clicks_keep_a_session_from_falling_idle(hasty):
    """Someone who works in an open page is there: what they click moves the idle limit."""
    with signed_in(hasty) as client:
        page = load(client)
        async with tab(hasty, client, page) as up:
            working_until = time.monotonic() + 3
            while time.monotonic() < working_until:
                await up.emit("event", page.click("open"))
                await asyncio.sleep(0.05)
                assert not up.closed


async def test_session_ends_at_its_longest_age(aging):
    """A session of the longest age ends, however busy it is, and the card says why."""
    with signed_in(aging) as client:
        signed = time.monotonic()
        async with contextlib.AsyncExitStack() as stack:
            tabs = await _open_tabs(stack, aging, client)
            await _assert_ended(aging, tabs, signed, "age", 3 + ENDED_WITHIN)


async def test_reconnecting_after_the_end_brings_nothing_back(lab, root):
    """Once the session has ended, a socket that asks for the tab's history from its first message is refused."""
    page = load(root)
    cookies = cookies_of(root)
    async with tab(lab, root, page, tab_id="same") as up:
        await up.until(up.data)
        root.post("/logout", headers={"Origin": lab.url})
        for query in (query_of(page.client_id, next_message_id=0, tab_id="same"), query_of(page.client_id)):
            assert await refused(lab, query, cookies) is not None
        await up.until(lambda: up.closed)
    assert await refused(lab, query_of(page.client_id, next_message_id=0, tab_id="same"), cookies) is not None


async def test_tab_of_an_ended_session_does_not_pass_to_the_next(lab, root):
    """Signed in anew in the same browser, the tabs of the session before stay closed."""
    page = load(root)
    async with tab(lab, root, page) as up:
        assert harness.sign_in(root).status_code == 200
        await up.until(lambda: up.closed, ENDED_WITHIN)
    assert await refused(lab, query_of(page.client_id), cookies_of(root)) is not None


async def test_account_disabled_at_proxmox_ends_its_sessions(lab, proxmox):
    """An account disabled at Proxmox while its overview is open loses its session at the next poll."""
    with signed_in(lab, "maria", "home") as client:
        page = load(client, "/")
        async with tab(lab, client, page) as up:
            await up.until(up.data)
            proxmox.disable("maria@home")
            try:
                await up.until(lambda: up.closed, 4 + ENDED_WITHIN)
            finally:
                proxmox.enable("maria@home")
            assert [path for _, path in up.opened()] == ["/login?next=/&ended=rejected"]
            assert not up.data(up.opened()[0][0])


async def test_refused_tickets_end_every_session(lab, proxmox):
    """When Proxmox refuses every ticket, every session ends at its next call, and each card says so once."""
    async with contextlib.AsyncExitStack() as stack:
        accounts = [("root", "pam"), ("root", "pam"), ("alice", "pve")]
        browsers = [stack.enter_context(signed_in(lab, *account)) for account in accounts]
        tabs = [await stack.enter_async_context(tab(lab, client, load(client, "/"))) for client in browsers]
        for up in tabs:
            await up.until(up.data)
        proxmox.fault = Fault(path="/cluster/resources", status=401)
        try:
            for up in tabs:
                await up.until(lambda up=up: up.closed, 4 + ENDED_WITHIN)
        finally:
            proxmox.fault = Fault()
        for up, client in zip(tabs, browsers, strict=True):
            assert [path for _, path in up.opened()] == ["/login?next=/&ended=rejected"]
            assert client.get("/", headers=harness.PAGE).headers["location"] == "/login?next=/&ended=rejected"


async def test_many_clicks_at_the_end_do_not_lose_the_way_to_the_card(lab, root):
    """Tabs that are sending as fast as they can when the session ends are taken to the login card all the same."""

    async def hammer(up, page):
        while not up.closed:
            for _ in range(50):
                await up.emit("event", page.click("shown-again"))
            await asyncio.sleep(0)

    async with contextlib.AsyncExitStack() as stack:
        tabs = await _open_tabs(stack, lab, root, 6)
        hammers = [asyncio.create_task(hammer(up, page)) for page, up in tabs]
        await asyncio.to_thread(root.post, "/logout", headers={"Origin": lab.url})
        for _, up in tabs:
            await up.until(lambda up=up: up.closed, 4)
        await asyncio.gather(*hammers)
        assert [len(up.opened()) for _, up in tabs] == [1] * 6


# How many sockets a stranger may hold


@pytest.fixture(scope="module", autouse=True)
def idlers(lab):
    """Two sockets with a pre-login cookie alone, opened before all tests, that answer pings and join no tab."""
    with lab.client() as client, contextlib.ExitStack() as stack:
        load(client, "/login")
        query = query_of(str(uuid.uuid4()), implicit_handshake="false")
        opened = []
        for greet in ("40", None):
            with contextlib.suppress(websockets.InvalidStatus):  # refused at once is as good
                opened.append(
                    stack.enter_context(harness.InThread(socket(lab, query, cookies_of(client), greet=greet)))
                )
        yield opened


async def test_strangers_sockets_that_join_nothing_are_closed(idlers):
    """A socket with only a pre-login cookie that joins no tab is closed within ten seconds, though it answers pings."""
    for up in idlers:
        began = await up.until(lambda up=up: up.frames and up.frames[0][0])
        await up.until(lambda up=up: up.closed, began + 10 - time.monotonic())


async def test_strangers_sockets_are_counted(lab, card):
    """Three hundred sockets of one address on one pre-login cookie are not all let in."""
    page = load(card, "/login")
    query = query_of(page.client_id, implicit_handshake="false")
    let_in = 0
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(300):
            try:
                up = await stack.enter_async_context(socket(lab, query, cookies_of(card)))
                await up.until(lambda up=up: is_in(up) or up.closed, 5)
            except websockets.InvalidStatus:
                break
            let_in += is_in(up)
    assert let_in < 300
