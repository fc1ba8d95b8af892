"""A page that waits, frozen, for the person whose session has expired: who else tries to get at it gets nothing."""

import asyncio
import contextlib
import json
import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from nicegui import Client

from services.errors import EndReason
from services.sessions import Session, new_id
from services.sessions.record import hash_id
from tests import harness
from tests.harness import PAGE, sign_in
from tests.socket_client import LAB, Page, Poller, Tab, cookies_of, laboratory, load, query_of, read_page, refused, tab
from tests.stores import own_store  # noqa: F401 - the fixture `store`
from ui import kept as kept_tabs
from ui import text
from ui.addresses import login_address
from ui.kept import KEPT_SECONDS, MOST, MOST_PER_SESSION, KeptTabs
from ui.tabs import Tabs
from ui.visit import Visit, put_visit, visit_of

pytestmark = pytest.mark.slow

CANARY = "canary-half-a-thought"
PREFIX = "kept:"
BRIEF_SECONDS = 3


@pytest.fixture(scope="module")
def lab(store, sim):
    """The program with a page that has a form."""
    with laboratory(REDIS_URL=store, STORE_PREFIX=PREFIX, **harness.for_proxmox(sim)) as up:
        yield up


@pytest.fixture(scope="module")
def brief(store, sim):
    """The same, where the quarter of an hour is three seconds."""
    brief = f"\nfrom ui import kept\n\nkept.KEPT_SECONDS = {BRIEF_SECONDS}\nfrom ui.__main__ import main"
    script = LAB.replace("\nfrom ui.__main__ import main", brief)
    with laboratory(script, REDIS_URL=store, STORE_PREFIX=PREFIX, **harness.for_proxmox(sim)) as up:
        yield up


@contextlib.contextmanager
def browser(lab, username="root", realm="pam"):
    """A browser that has come by the login card, as browsers do."""
    with lab.client() as client:
        client.get("/login", headers=PAGE)
        assert sign_in(client, username, realm).status_code == 200
        yield client


@dataclass
class Frozen:
    """A page with a canary typed into it, whose session has fallen idle, and what came from it until its socket
    was closed."""

    page: Page
    way_back: str
    seen: Tab

    @property
    def name(self) -> str:
        return self.way_back.partition("kept=")[2]


def typed(page, words):
    """The message with which the page's script tells what is typed into its field."""
    [(id, field)] = [(id, one) for id, one in page.elements.items() if one.get("props", {}).get("label") == "Note"]
    listener = field["events"][0]["listener_id"]
    return {"id": int(id), "client_id": page.client_id, "listener_id": listener, "args": [json.dumps(words)]}


def expire(store, client):
    """Let the session of a browser fall idle in a moment, but not before the watch has seen it come."""
    id = client.cookies["proxgate"].partition(".")[0]
    with harness.admin(store) as admin:
        assert admin.pexpire(f"{PREFIX}session:{{{hash_id(id)}}}", 1500)


async def freeze(lab, store, client, path="/form"):
    """Type into a page, and let its session fall idle."""
    page = load(client, path)
    async with tab(lab, client, page) as up:
        await up.emit("event", typed(page, CANARY))
        await up.until(lambda: len(up.data()) > 2)
        expire(store, client)
        await up.until(lambda: up.closed, 10)
        [(_, card)] = up.opened()
        query = parse_qs(urlsplit(card).query)
        assert query["ended"] == ["idle"]
        assert re.fullmatch(r"/form\?(x=1&)?kept=[A-Za-z0-9_-]{22}", query["next"][0]), card
        return Frozen(page, query["next"][0], up)


def card_for(way_back):
    """The card's address, as an ended session's tab is sent there."""
    return login_address(way_back, ended="idle")


def follow(client, address, method="GET"):
    """Where an address leads, however often it sends one on; no further than a browser would."""
    answer = client.request(method, address, headers=PAGE)
    for _ in range(3):
        if answer.status_code != 303:
            return answer
        assert urlsplit(answer.headers["location"]).netloc == ""
        answer = client.get(answer.headers["location"], headers=PAGE)
    raise AssertionError("it sends one round and round")


def shows(answer):
    """Whether an answer is the page as it was."""
    return CANARY in answer.text


def expect_it_is_still_there(client, frozen):
    """For its own person, in its own browser."""
    assert sign_in(client).status_code == 200
    answer = client.get(frozen.way_back, headers=PAGE)
    assert answer.status_code == 200
    assert shows(answer)
    assert answer.headers["cache-control"] == "no-store"
    assert read_page(answer.text).client_id == frozen.page.client_id


async def test_its_own_person_gets_it_once(lab, store):
    """The same account in the same browser gets the page as it was, once, however many ask for it at once."""
    with browser(lab) as client:
        frozen = await freeze(lab, store, client)
        assert sign_in(client).status_code == 200
        cookies = {"Cookie": cookies_of(client)}

        def ask(_):
            return httpx.get(lab.url + frozen.way_back, headers={**PAGE, **cookies}, trust_env=False, timeout=20)

        with ThreadPoolExecutor(12) as pool:
            answers = list(await asyncio.to_thread(lambda: list(pool.map(ask, range(24)))))
        [own] = [answer for answer in answers if answer.status_code == 200]
        assert shows(own)
        assert {(one.status_code, one.headers.get("location")) for one in answers if one is not own} == {(303, "/form")}
        async with tab(lab, client, read_page(own.text)) as up:
            await up.until(up.data)
        assert not shows(follow(client, frozen.way_back))


async def test_nobody_without_a_session_gets_it(lab, store):
    """Neither without cookies nor with those that the browser had, the expired session's among them."""
    with browser(lab) as client:
        had = cookies_of(client)
        only = [cookies_of(client, only=name) for name in ("proxgate", "proxgate-browser")]
        frozen = await freeze(lab, store, client)
        for cookies in ("", had, *only):
            with lab.client(headers={"Cookie": cookies} if cookies else {}) as thief:
                for method in ("GET", "HEAD", "POST"):
                    answer = thief.request(method, frozen.way_back, headers=PAGE)
                    assert answer.status_code == (401 if method == "POST" else 303)
                    assert answer.headers.get("location", "/login").startswith("/login")
                    assert not shows(answer)
                    assert not shows(thief.get(card_for(frozen.way_back), headers=PAGE))
        expect_it_is_still_there(client, frozen)


@pytest.mark.parametrize(("username", "realm"), [("root", "pam"), ("kid", "pve")])
async def test_another_browser_does_not_get_it(lab, store, username, realm):
    """The name is of no use in another browser, whoever signs in there, and a look at it takes nothing away."""
    with browser(lab) as client, browser(lab, username, realm) as thief:
        frozen = await freeze(lab, store, client)
        assert not shows(follow(thief, frozen.way_back))
        expect_it_is_still_there(client, frozen)


async def test_another_account_makes_it_go(lab, store):
    """Another account in the same browser gets a page of its own, and the old one is gone for its person too."""
    with browser(lab) as client:
        frozen = await freeze(lab, store, client)
        assert sign_in(client, "kid", "pve").status_code == 200
        assert not shows(follow(client, frozen.way_back))
        assert sign_in(client).status_code == 200
        assert not shows(follow(client, frozen.way_back))


async def test_no_other_address_leads_to_it(lab, store):
    """One address leads to it, and no other spelling, name or method shows it, takes it away or goes in circles."""
    with browser(lab) as client:
        frozen = await freeze(lab, store, client, "/form?x=1")
        name, swapped = frozen.name, frozen.name.swapcase()
        assert sign_in(client).status_code == 200
        for address in (
            f"//form?x=1&kept={name}", f"/form?kept={name}", f"/form?x=2&kept={name}", f"/?x=1&kept={name}",
            f"/lab?x=1&kept={name}", f"/form/?x=1&kept={name}", f"/form?x=1&kept={name}&kept={name}",
            f"/form?x=1&kept={name}&kept=", f"/form?x=1&kept=a&kept={name}", f"/form?x=1&KEPT={name}",
            f"/form?x=1&kept={swapped}", f"/form?x=1&kept={name[:-1]}", f"/form?x=1&kept={name}%00",
            f"/form?x=1&%6bept={name}", f"/form?x=1&kept=%{ord(name[0]):02x}{name[1:]}", f"/form?x=1;kept={name}",
            f"/form?x=1&kept= {name}", f"/form?x=1&kept[]={name}", f"/logout?kept={name}", f"/login?x=1&kept={name}",
            f"/assets/icon.svg?kept={name}", f"/healthz?kept={name}", "/form?x=1&kept=", "/form?kept", "/form?%6bept=x",
            f"/form?x=1&kept={new_id()}", "/form?x=1&kept=" + "a" * 4000,
        ):  # fmt: skip
            assert not shows(follow(client, address)), address
        for path in (frozen.way_back, "/logout?kept=" + name):
            assert not shows(client.post(path, headers={**PAGE, "Origin": "http://evil.example"}))
        assert not shows(client.post(frozen.way_back, headers=PAGE))
        expect_it_is_still_there(client, frozen)


async def test_sign_out_ends_what_was_brought_back(lab, store):
    """Signed out after its return, the page is gone for good, for its own person too."""
    with browser(lab) as client:
        frozen = await freeze(lab, store, client)
        expect_it_is_still_there(client, frozen)
        async with tab(lab, client, frozen.page) as up:
            assert client.post("/logout").status_code == 303
            await up.until(lambda: up.closed)
            assert [path for _, path in up.opened()] == ["/login"]
        assert sign_in(client).status_code == 200
        assert not shows(follow(client, frozen.way_back))
        assert await refused(lab, query_of(frozen.page.client_id), cookies_of(client)) is not None


async def test_it_expires_again(lab, store):
    """A page that was brought back belongs to the new session: it freezes with it, and comes back once more."""
    with browser(lab) as client:
        frozen = await freeze(lab, store, client)
        expect_it_is_still_there(client, frozen)
        async with tab(lab, client, frozen.page) as up:
            expire(store, client)
            await up.until(lambda: up.closed, 10)
            [(_, card)] = up.opened()
        again = Frozen(frozen.page, parse_qs(urlsplit(card).query)["next"][0], up)
        assert again.name != frozen.name
        assert sign_in(client).status_code == 200
        assert not shows(follow(client, frozen.way_back))
        expect_it_is_still_there(client, again)


async def test_after_its_time_it_is_gone(brief, store):
    """When its time is over its own person gets a clean page, the card says so, and nothing of it is kept."""
    with browser(brief) as client:
        frozen = await freeze(brief, store, client)
        deadline = time.monotonic() + BRIEF_SECONDS + 10
        while text.NOT_KEPT not in await _told(brief, client, frozen.way_back):
            assert time.monotonic() < deadline
        assert sign_in(client).status_code == 200
        assert not shows(follow(client, frozen.way_back))


async def _told(lab, client, way_back):
    """What the card tells of a page that is kept, in this browser: all that it says over its socket at first."""
    page = load(client, card_for(way_back))
    async with tab(lab, client, page) as up:
        await up.until(lambda: any(text.KEPT in said or text.NOT_KEPT in said for _, said in up.frames))
        return "".join(said for _, said in up.frames)


async def test_the_card_tells_other_browsers_nothing(lab, store):
    """In any other browser the card says of a name that is good the same as of one that is made up."""
    with browser(lab) as client, lab.client() as other:
        frozen = await freeze(lab, store, client)
        assert text.KEPT in await _told(lab, client, frozen.way_back)
        made_up = f"/form?kept={'x' * 22}"
        told = [await _told(lab, other, address) for address in (frozen.way_back, made_up, "/lab?kept=x")]
        assert all(text.NOT_KEPT in one and text.KEPT not in one for one in told)
        bodies = [other.get(card_for(address), headers=PAGE).text for address in (frozen.way_back, made_up)]
        assert not any(CANARY in body or frozen.page.client_id in body for body in bodies)
        expect_it_is_still_there(client, frozen)


async def test_nothing_of_it_leaves_before_its_return(lab, store):
    """From the end on its socket carries nothing but the way to the card, and the card nothing of the page."""
    with browser(lab) as client:
        frozen = await freeze(lab, store, client)
        ended = frozen.seen.opened()[0][0]
        assert not frozen.seen.data(ended)
        async with tab(lab, client, load(client, card_for(frozen.way_back))) as up:
            await asyncio.sleep(1)
            assert not any(CANARY in said or frozen.page.client_id in said for _, said in up.frames)
        expect_it_is_still_there(client, frozen)


async def test_no_socket_reaches_it_before_its_return(lab, store):
    """Neither the new session's sockets, nor the old one's, nor the card's join it, by whatever they say."""
    with browser(lab) as client:
        old = cookies_of(client)
        frozen = await freeze(lab, store, client)
        mine = frozen.page.client_id
        card, before = load(client, card_for("/")), cookies_of(client)
        async with tab(lab, client, card) as stranger:
            await _says_everything(stranger, frozen.page)
        assert sign_in(client).status_code == 200
        new, own = cookies_of(client), load(client, "/form")
        for cookies in ("", old, before, new):
            for query in (
                query_of(mine),
                query_of(mine, next_message_id=frozen.page.message_id),
                query_of(mine, sid="x"),
            ):
                assert await refused(lab, query, cookies) is not None
        async with tab(lab, client, own) as up:
            await _says_everything(up, frozen.page)
            assert not any(CANARY in said for _, said in up.frames)
        async with Poller(lab, new, mine) as poll:
            assert (await poll.get()).status_code == 400
        expect_it_is_still_there(client, frozen)


async def _says_everything(up, page):
    """Each message that names another tab is answered False."""
    ids = {"tab_id": str(uuid.uuid4()), "document_id": str(uuid.uuid4()), "next_message_id": 0}
    for number, (event, data) in enumerate((
        ("handshake", {"client_id": page.client_id, **ids}),
        ("event", typed(page, "overwritten")),
        ("ack", {"client_id": page.client_id, "next_message_id": 10**9}),
        ("javascript_response", {"client_id": page.client_id, "request_id": "x", "result": 1}),
    ), 11):  # fmt: skip
        await up.emit(event, data, ack=number)
        await up.until(lambda number=number: up.acknowledged(number) is False)


async def test_an_old_poll_does_not_reach_it(lab, store):
    """The transport that a polling tab had is of no use while the page is frozen, with the new session either."""
    with browser(lab) as client:
        page = load(client, "/nowhere")  # which seldom has news, so that a poll is waiting at the end
        async with Poller(lab, cookies_of(client), page.client_id) as poll:
            assert await poll.open()
            expire(store, client)
            while (answer := await poll.get()).status_code == 200 and '42["open"' not in answer.text:
                pass
            assert "kept%3D" in answer.text
            way_back = parse_qs(urlsplit(json.loads(answer.text[2:])[1]["path"]).query)["next"][0]
            click = {"id": 0, "client_id": page.client_id, "listener_id": "x", "args": []}
            assert (await poll.get()).text == answer.text
            assert (await poll.emit("event", click)).status_code == 401
            assert sign_in(client).status_code == 200
            poll.http.headers["Cookie"] = cookies_of(client)
            assert (await poll.get()).status_code == 400
            assert (await poll.emit("event", click)).status_code == 400
            assert read_page(follow(client, way_back).text).client_id == page.client_id


async def test_no_history_comes_back_with_it(lab, store):
    """A socket that asks, after the return, for all that was ever sent to the page gets nothing of before."""
    with browser(lab) as client:
        frozen = await freeze(lab, store, client)
        before = max(event[1]["_id"] for _, event in frozen.seen.data())
        assert sign_in(client).status_code == 200
        page = read_page(client.get(frozen.way_back, headers=PAGE).text)
        assert page.message_id > before
        page.message_id = 0
        async with tab(lab, client, page) as up:
            await up.until(lambda: len(up.data()) > 3)
            assert min(event[1]["_id"] for _, event in up.data()) > before


async def test_so_many_of_a_session(lab, store):
    """Of a session's tabs so many are kept, and the rest forgotten: their pages go to the card without a way back."""
    with browser(lab) as client:
        pages = [load(client, "/form") for _ in range(MOST_PER_SESSION + 4)]
        async with contextlib.AsyncExitStack() as stack:
            tabs = [await stack.enter_async_context(tab(lab, client, page)) for page in pages]
            expire(store, client)
            for up in tabs:
                await up.until(lambda up=up: up.closed, 15)
        cards = [path for up in tabs for _, path in up.opened()]
        assert len(cards) == len(tabs)
        assert sum("kept%3D" in card for card in cards) == MOST_PER_SESSION
        assert len(set(cards)) == MOST_PER_SESSION + 1


# The register itself


class Stub:
    """A NiceGUI client, as far as the register knows one."""

    has_socket_connection = True

    def __init__(self, session, browser="b", address="/"):
        self.id = str(uuid.uuid4())
        self.request = SimpleNamespace(scope={}, url=SimpleNamespace(path=address, query=""))
        put_visit(self.request.scope, visit(session, browser))
        self.outbox = SimpleNamespace(messages=[], message_history=[])
        self._delete_tasks = {}
        self._socket_to_document_id, self._num_connections, self.tab_id = {}, {}, "t"
        self.deleted = False

    def delete(self):
        self.deleted = True
        Client.instances.pop(self.id, None)


def visit(session, browser="b"):
    return Visit(address="192.0.2.1", https=False, origin="http://localhost", session=session, browser=browser)


def session(principal="root@pam"):
    return Session(id=new_id(), principal=principal, created=0.0, deadline=0.0)


def named(register, client):
    return register.way_back(client.id).partition("kept=")[2]


@pytest.fixture
def clock(monkeypatch):
    """The register's clock."""
    now = SimpleNamespace(at=1000.0)
    monkeypatch.setattr(kept_tabs, "time", SimpleNamespace(monotonic=lambda: now.at, time=time.time))
    return now


def test_so_many_in_all():
    """However many sessions expire, so many tabs are kept in all, and each that goes makes room for one."""
    register = KeptTabs()
    clients = [Stub(session()) for _ in range(MOST + 50)]
    assert [register.freeze(client, "/") for client in clients] == [True] * MOST + [False] * 50
    assert sum(client in register for client in clients) == MOST
    assert register.thaw(f"/?kept={named(register, clients[0])}", visit(session())) is clients[0]
    assert register.freeze(clients[-1], "/")
    assert not register.freeze(clients[-2], "/")


def test_a_thousand_at_once(monkeypatch):
    """A thousand sessions that run out at the same moment hold the program up for less than a second, with no hash made
    anew for any of them, and all of their tabs are kept or ended."""
    tabs, clients = Tabs(), [Stub(session(), address="/form") for _ in range(1000)]
    hashes = [visit_of(client.request.scope).session.hash for client in clients]
    assert not Client.instances
    Client.instances.update({client.id: client for client in clients})
    try:
        monkeypatch.delattr("services.sessions.session.hash_id")
        began = time.process_time()
        for hash in hashes:
            tabs.close_session(hash, EndReason.IDLE)
        assert time.process_time() - began < 1
        assert sum(client in tabs.kept for client in clients) == MOST
        assert sum(client.deleted for client in clients) == len(clients) - MOST
    finally:
        Client.instances.clear()


def test_a_quarter_of_an_hour(clock):
    """A tab is kept for its time and not longer, whether or not anybody has tidied up; then it is ended."""
    register, early, late, unasked = KeptTabs(), Stub(session()), Stub(session()), Stub(session())
    for client in (early, late, unasked):
        assert register.freeze(client, "/")
    addresses = {client.id: f"/?kept={named(register, client)}" for client in (early, late)}
    clock.at += KEPT_SECONDS - 1
    register.forget_old()
    assert register.awaits(addresses[early.id], visit(None))
    assert register.thaw(addresses[early.id], visit(session())) is early
    clock.at += 2
    assert not register.awaits(addresses[late.id], visit(None))
    assert register.thaw(addresses[late.id], visit(session())) is None
    register.forget_old()
    assert (late.deleted, unasked.deleted, early.deleted) == (True, True, False)
    assert late not in register


def test_a_browser_without_a_name_gets_nothing():
    """Two visits without a pre-login cookie are not the same browser."""
    register, client = KeptTabs(), Stub(session(), browser="")
    register.freeze(client, "/")
    address = f"/?kept={named(register, client)}"
    assert not register.awaits(address, visit(None, browser=""))
    assert register.thaw(address, visit(session(), browser="")) is None


@pytest.mark.parametrize("principal", ["root@pam!token", "root@pve", "Root@pam", "root@pam ", "kid@pve"])
def test_another_principal_gets_nothing(principal):
    """An account's twin, or its own token, is another principal."""
    register, client = KeptTabs(), Stub(session())
    register.freeze(client, "/")
    assert register.thaw(f"/?kept={named(register, client)}", visit(session(principal))) is None
    assert client.deleted


async def test_a_page_between_two_polls_is_kept(lab, store):
    """A page whose session expires while no poll is waiting is told the way back by its next poll, nobody else is."""
    with browser(lab) as client, browser(lab) as other:
        page = load(client, "/nowhere")
        async with Poller(lab, cookies_of(client), page.client_id) as poll:
            assert await poll.open()
            expire(store, client)
            await asyncio.sleep(2)
            async with Poller(lab, cookies_of(other), page.client_id) as stranger:
                assert (await stranger.get()).status_code == 400
                expire(store, other)
                await asyncio.sleep(2)
                assert (await stranger.get()).status_code == 401
            answer = await poll.get()
            assert "kept%3D" in answer.text, (answer.status_code, answer.text)
