"""Long polling, the transport of those whose websockets are blocked, and its upgrade: the same walls."""

import asyncio
import contextlib
import json
import time

import pytest
import websockets

from tests import harness
from tests.socket_client import (
    SOCKET_PATH,
    Poller,
    cookies_of,
    laboratory,
    load,
    query_of,
    runs,
    socket,
    tab,
    until,
)


@pytest.fixture(scope="module")
def lab(valkey_url, sim):
    """The program, with a page that pushes ten times a second."""
    with laboratory(REDIS_URL=valkey_url, STORE_PREFIX="polling:", **harness.for_proxmox(sim)) as up:
        yield up


def poller(lab, client, page, **more):
    """The poller of a page in its own browser."""
    return Poller(lab, cookies_of(client), page.client_id, **more)


def no_cors(answer):
    """Whether an answer lets no other origin read it."""
    return not [name for name in answer.headers if name.startswith("access-control-")]


async def fed(poll, seconds=3.0):
    """Poll until something of the page comes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if '42["update"' in (answer := await poll.get()).text:
            return answer
    raise AssertionError("nothing came")


async def test_own_page_is_let_in(lab, root):
    """A page of one's own that polls is let in, fed, and heard."""
    page = load(root)
    async with poller(lab, root, page) as poll:
        assert await poll.open()
        assert no_cors(await fed(poll))
        before = len(runs(lab, "open"))
        assert (await poll.emit("event", page.click("open"))).text == "OK"
        await until(lambda: len(runs(lab, "open")) == before + 1)


async def test_clicks_between_two_polls_are_heard(lab, root):
    """An event posted while no poll is waiting is run all the same, however often."""
    page = load(root)
    async with poller(lab, root, page) as poll:
        assert await poll.open()
        before = len(runs(lab, "open"))
        for _ in range(30):
            await poll.emit("event", page.click("open"))
        await until(lambda: len(runs(lab, "open")) == before + 30)


async def test_upgrade_to_a_websocket_works(lab, root):
    """A page that began by polling goes on over a websocket, and is still taken to the login card at the end."""
    page = load(root)
    async with poller(lab, root, page) as poll:
        assert await poll.open()
        cookies = cookies_of(root)
        async with socket(lab, query_of(page.client_id, sid=poll.sid), cookies, greet="2probe") as up:
            await up.until(lambda: any(text == "3probe" for _, text in up.frames))
            await up.send("5")
            await up.until(up.data)
            root.post("/logout", headers={"Origin": lab.url})
            ended = time.monotonic()
            await up.until(lambda: up.closed, 2)
            assert [path for _, path in up.opened()] == ["/login"]
            assert not up.data(ended + 1)


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "https://localhost:{port}", "http://localhost"])
@pytest.mark.parametrize("method", ["get", "post"])
async def test_other_origins_are_refused(lab, root, origin, method):
    """A poll or post from another origin is refused with 403 and without a CORS header."""
    page = load(root)
    async with poller(lab, root, page) as poll:
        assert await poll.open()
        headers = {"Origin": origin.format(port=lab.port)}
        answer = await (poll.get(headers) if method == "get" else poll.post("3", headers))
        assert answer.status_code == 403
        assert no_cors(answer)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", None])
async def test_other_sites_are_refused(lab, root, site):
    """A poll without an Origin that the browser does not call same-origin is refused with 403."""
    page = load(root)
    async with poller(lab, root, page) as poll:
        if site is None:
            del poll.http.headers["Sec-Fetch-Site"]
        answer = await poll.get({"Sec-Fetch-Site": site} if site else None)
        assert answer.status_code == 403
        assert no_cors(answer)


async def test_preflight_of_another_origin_is_refused(lab, root):
    """A preflight request gets no leave to send anything."""
    async with poller(lab, root, load(root)) as poll:
        asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
        answer = await poll.http.options(poll.address(), headers=asked)
        assert answer.status_code >= 400
        assert no_cors(answer)


async def test_no_session_is_refused(lab, root):
    """A poll without a session's cookie, with none at all or with a login card's, is answered 401."""
    page = load(root)
    with lab.client() as card:
        own = load(card, "/login")
        for cookies in ("", cookies_of(card)):
            for client_id in (page.client_id, own.client_id):
                async with Poller(lab, cookies, client_id) as poll:
                    assert (await poll.get()).status_code == 401
                    assert (await poll.post("40", sid="x")).status_code == 401


async def test_other_persons_tab_is_refused(lab, root, kid):
    """A poll to another person's tab, to no tab or to two is answered 400."""
    page, own = load(root), load(kid)
    for client_id in (page.client_id, None, "", [own.client_id, page.client_id]):
        async with Poller(lab, cookies_of(kid), None) as poll:
            named = client_id if isinstance(client_id, list) else [client_id]
            query = "".join(f"&client_id={id}" for id in named if id is not None)
            assert (await poll.http.get(poll.address() + query)).status_code == 400


async def test_swapped_transport_is_refused(lab, root, kid):
    """The id of another tab's transport opens nothing, with one's own tab's id or with the other's."""
    page, own = load(root), load(kid)
    async with poller(lab, root, page) as victim, poller(lab, kid, own) as poll:
        assert await victim.open()
        assert await poll.open()
        for client_id in (own.client_id, page.client_id):
            for answer in (
                await poll.get(sid=victim.sid, client_id=client_id),
                await poll.post("41", sid=victim.sid, client_id=client_id),
            ):
                assert answer.status_code == 400
        await fed(victim)
        await fed(poll)


async def test_swapped_transport_between_ones_own_tabs_is_refused(lab, root):
    """Two tabs of one session do not share a transport either."""
    first, second = load(root), load(root)
    async with poller(lab, root, first) as one, poller(lab, root, second) as two:
        assert await one.open()
        assert (await two.get(sid=one.sid)).status_code == 400


@pytest.mark.parametrize("tab_named", ["own", "gone"])
async def test_websocket_takes_over_no_other_tabs_transport(lab, root, kid, tab_named):
    """A websocket cannot take over the transport of somebody else's poller by naming its id."""
    page, own = load(root), load(kid)
    async with poller(lab, root, page) as victim:
        assert await victim.open()
        client_id = own.client_id if tab_named == "own" else "00000000-0000-4000-8000-000000000000"
        await _assert_no_takeover(lab, query_of(client_id, sid=victim.sid), cookies_of(kid))


async def test_strangers_websocket_takes_over_no_transport(lab, root):
    """Nor can that of somebody who has not signed in."""
    page = load(root)
    with lab.client() as card:
        own = load(card, "/login")
        async with poller(lab, root, page) as victim:
            assert await victim.open()
            await _assert_no_takeover(lab, query_of(own.client_id, sid=victim.sid), cookies_of(card))


async def _assert_no_takeover(lab, query, cookies):
    with contextlib.suppress(websockets.InvalidStatus):
        async with socket(lab, query, cookies, greet="2probe") as up:
            await up.until(lambda: up.closed or up.frames)
            await up.send("5")
            await up.until(lambda: up.closed or up.data(), 2)
            assert not up.data(), "it is fed with another tab's frames"


@pytest.mark.parametrize("path", [SOCKET_PATH[:-1], "/_nicegui_ws//socket.io/", "/_nicegui_ws/./socket.io/"])
@pytest.mark.parametrize("whose", ["other", "own"])
async def test_other_spellings_of_the_address_lead_nowhere(lab, root, kid, path, whose):
    """No other spelling of the sockets' address goes round what guards them: no tab is fed by it."""
    page = load(root)
    async with tab(lab, root, page, tab_id="known"):
        client, cookies = (page, cookies_of(kid)) if whose == "other" else (load(root), cookies_of(root))
        async with Poller(lab, cookies, client.client_id, path=path) as poll:
            del poll.http.headers["Sec-Fetch-Site"]
            poll.query["tab_id"] = "known"
            answer = await poll.get()
            assert not answer.text.startswith("0{"), "a transport was opened"
            assert answer.status_code in {400, 401, 403, 404}


@pytest.mark.parametrize(
    "change", [{"EIO": 3}, {"EIO": None}, {"EIO": "x"}, {"transport": "flashsocket"}, {"sid": "no"}]
)
async def test_odd_queries_are_refused(lab, root, change):
    """Another protocol version, an unknown transport or an unknown transport id is answered 400."""
    async with poller(lab, root, load(root)) as poll:
        assert (await poll.get(**change)).status_code == 400


async def test_post_without_a_transport_is_refused(lab, root):
    """A post that names no transport or is too long is refused; one that cannot be read is at least answered."""
    page = load(root)
    async with poller(lab, root, page) as poll:
        assert (await poll.post("40")).status_code == 400
    for body in ("x" * 1_100_000, "\x1e".join(["2"] * 100)):
        async with poller(lab, root, load(root)) as poll:
            assert await poll.open()
            polls = asyncio.create_task(_poll_on(poll))
            try:
                answer = await asyncio.wait_for(poll.post(body), 3)
                assert answer.status_code in ({413} if len(body) > 1_000_000 else {200, 400})
            finally:
                polls.cancel()


async def _poll_on(poll):
    """Poll as a browser does, without a pause."""
    while (await poll.get()).status_code == 200:
        pass


async def test_poll_ends_with_its_session(lab, root):
    """A waiting poll is answered with the way to the login card when the session ends, and the next one with 401."""
    page = load(root, "/nowhere")  # a page that pushes next to nothing, so that the poll waits
    async with poller(lab, root, page) as poll:
        assert await poll.open()
        waiting = asyncio.create_task(poll.get())
        while (await asyncio.wait({waiting}, timeout=1))[0]:  # a ping, or a first picture
            waiting = asyncio.create_task(poll.get())
        await asyncio.to_thread(root.post, "/logout", headers={"Origin": lab.url})
        ended = time.monotonic()
        answer = await asyncio.wait_for(waiting, 2)
        while answer.text in {"2", "6"}:  # a ping was on its way
            answer = await asyncio.wait_for(poll.get(), 2)
        assert time.monotonic() - ended < 2
        last = answer.text.split("\x1e")[-1]
        assert json.loads(last.removeprefix("42")) == ["open", {"path": "/login", "new_tab": False}], answer.text
        assert (await poll.get()).status_code == 401
        assert (await poll.emit("event", {"client_id": page.client_id})).status_code == 401


async def test_nothing_passes_a_poll_after_the_end(lab, root):
    """A page that pushes all the while polls nothing of it, and runs nothing, once signed out."""
    page = load(root)
    async with poller(lab, root, page) as poll:
        assert await poll.open()
        await fed(poll)
        root.post("/logout", headers={"Origin": lab.url})
        ended, at = time.monotonic(), time.time()
        while time.monotonic() < ended + 2:
            answer = await poll.get()
            posted = await poll.emit("event", page.click("open"))
            assert answer.status_code == 401 or "42[" not in answer.text.replace('42["open"', ""), answer.text
            if answer.status_code == 401 and posted.status_code == 401:
                break
        assert answer.status_code == 401
        assert not [ran for ran in runs(lab, "open") if ran > at + 1]
