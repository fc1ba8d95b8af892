"""The sign-in: counted, asked, answered, and only then a session."""

import asyncio
import contextlib
import logging
import time

import pytest
from pydantic import SecretStr

from services.auth import Attempt, SignIn
from services.auth.limiter import PER_ACCOUNT, Limiter
from services.errors import (
    InvalidCredentials,
    ProxmoxError,
    SecondFactorRequired,
    StoreUnavailable,
    TooManyAttempts,
    Unreachable,
)
from services.proxmox import Proxmox, Ticket, Trust
from services.sessions import Limits, Sessions, new_id
from services.store.connection import Store

PASSWORD = "SECRETPASSWORD"


def attempt(username="alice", realm="pve", password=PASSWORD, **more):
    """What somebody typed."""
    where = {"address": "192.0.2.7", "agent": "Firefox", **more}
    return Attempt(username=username, realm=realm, password=SecretStr(password), **where)


class Pve:
    """Stands in for Proxmox: notes what it is asked."""

    def __init__(self):
        self.asked = []
        self.trouble = None

    async def sign_in(self, userid, password):
        self.asked.append((userid, password.get_secret_value()))
        await asyncio.sleep(0)
        if self.trouble:
            raise self.trouble
        secret = SecretStr("PVE:SECRETTICKET")
        return Ticket(userid=userid, ticket=secret, csrf_token=secret, issued=time.time())


@pytest.fixture
def pve():
    return Pve()


@pytest.fixture
def sessions(store, keys, pve):
    return Sessions(store, keys, pve, Limits())


@pytest.fixture
def sign_in(store, sessions, pve):
    return SignIn(pve, sessions, Limiter(store)).sign_in


async def stored(store):
    """The keys in the store that are not the limiter's."""
    return [name for name in await store._client.keys(store.key("*")) if b":limit:" not in name]


async def test_begins_a_session(sign_in, sessions):
    """Who is accepted has a session, listed with where it came from."""
    session = await sign_in(attempt())
    assert (await sessions.read(session.id)).principal == "alice@pve"
    (listed,) = await sessions.list("alice@pve")
    assert (listed.hash, listed.address, listed.agent) == (session.hash, "192.0.2.7", "Firefox")


@pytest.mark.parametrize("username", ["alice", "Alice", "ALICE", "zoë", "zoe\u0308", "o'neil", "a@b", "a+b", "a.b-c_d"])
async def test_sent_exactly_as_typed(sign_in, pve, username):
    """Username and password reach Proxmox exactly as typed."""
    await sign_in(attempt(username, password=" P\u00e4ss wörd%00+ "))
    assert pve.asked == [(f"{username}@pve", " P\u00e4ss wörd%00+ ")]


@pytest.mark.parametrize(
    ("username", "realm"),
    [("", "pve"), ("alice", ""), ("alice", "pve/../x"), ("a\nb", "pve"), ("a b", "pve"), ("a!t", "pve"),
     ("a:b", "pve"), ("x" * 100, "pve"), ("alice", "pve\n"), ("alice", "é")],
)  # fmt: skip
async def test_no_userid(sign_in, pve, store, username, realm):
    """What is no userid is refused like a wrong password, and Proxmox never hears of it."""
    with pytest.raises(InvalidCredentials):
        await sign_in(attempt(username, realm))
    assert pve.asked == []
    assert await stored(store) == []


@pytest.mark.parametrize(
    "trouble", [InvalidCredentials(), SecondFactorRequired(), Unreachable()], ids=lambda one: type(one).__name__
)
async def test_refused_stores_nothing(sign_in, pve, store, trouble):
    """A sign-in that Proxmox does not accept leaves nothing in the store."""
    pve.trouble = trouble
    with pytest.raises(type(trouble)):
        await sign_in(attempt(browser=new_id()))
    assert await stored(store) == []


async def test_limited(sign_in, pve):
    """Beyond the cap Proxmox is not asked any more, not even with the right password."""
    pve.trouble = InvalidCredentials()
    for _ in range(PER_ACCOUNT):
        with pytest.raises(InvalidCredentials):
            await sign_in(attempt())
    pve.trouble = None
    with pytest.raises(TooManyAttempts):
        await sign_in(attempt())
    assert len(pve.asked) == PER_ACCOUNT


async def test_two_hundred_guesses(sign_in, pve):
    """Of two hundred parallel guesses no more than the cap reach Proxmox."""
    pve.trouble = InvalidCredentials()
    for _ in range(4):
        await asyncio.gather(*(sign_in(attempt(password=f"guess {n}")) for n in range(50)), return_exceptions=True)
    assert 1 <= len(pve.asked) <= PER_ACCOUNT


async def test_outages_are_no_tries(sign_in, pve):
    """However often Proxmox could not be reached, the right password is taken afterwards."""
    pve.trouble = Unreachable()
    for _ in range(2 * PER_ACCOUNT):
        with pytest.raises(Unreachable):
            await sign_in(attempt())
    pve.trouble = None
    assert await sign_in(attempt())


async def test_browser_keeps_one(sign_in, sessions):
    """Two sign-ins at once from one browser leave one session."""
    browser = new_id()
    await asyncio.gather(*(sign_in(attempt(browser=browser)) for _ in range(2)))
    assert len(await sessions.list("alice@pve")) == 1


async def test_store_down(keys, pve, tmp_path):
    """With the store down nobody signs in and Proxmox is not asked."""
    down = Store.open(SecretStr(f"unix://{tmp_path}/none.sock"))
    with pytest.raises(StoreUnavailable):
        await SignIn(pve, Sessions(down, keys, pve, Limits()), Limiter(down)).sign_in(attempt())
    assert pve.asked == []


async def test_store_lost_meanwhile(sign_in, sessions, pve, store):
    """With the store lost while Proxmox is asked there is no session, and no try is spent."""
    run = store.run

    async def lost(operation):
        if operation.__name__ == "write":
            raise StoreUnavailable
        return await run(operation)

    store.run = lost
    for _ in range(PER_ACCOUNT + 1):
        with pytest.raises(StoreUnavailable):
            await sign_in(attempt())
    del store.run
    assert await sign_in(attempt())


@pytest.mark.parametrize("trouble", [None, InvalidCredentials(), Unreachable()], ids=["accepted", "refused", "outage"])
async def test_log_names_who_and_not_what(sign_in, pve, caplog, trouble):
    """The log names account and address of each sign-in, and never the password, the ticket or the id."""
    pve.trouble = trouble
    browser, session = new_id(), None
    with caplog.at_level(logging.DEBUG, "services"), contextlib.suppress(ProxmoxError):
        session = await sign_in(attempt(browser=browser))
    assert "alice@pve" in caplog.text
    assert "192.0.2.7" in caplog.text
    for word in ("SECRET", browser, *([session.id, session.hash] if session else [])):
        assert word not in caplog.text


async def test_attempt_shows_no_secret():
    """What somebody typed shows neither the password nor the browser's id when printed."""
    browser = new_id()
    assert PASSWORD not in repr(attempt(browser=browser))
    assert browser not in repr(attempt(browser=browser))


async def test_with_proxmox(store, keys, sim):
    """With a Proxmox: the right password opens a session; a wrong one, a disabled account and a due factor do not."""
    async with Proxmox([sim.address], Trust(fingerprints=(sim.fingerprint,))) as proxmox:
        sessions = Sessions(store, keys, proxmox, Limits())
        sign_in = SignIn(proxmox, sessions, Limiter(store)).sign_in
        session = await sign_in(attempt("root", "pam", "demo"))
        assert session.principal == "root@pam"
        for who, wrong in (
            (attempt("root", "pam", "wrong"), InvalidCredentials),
            (attempt("old", "pve", "demo"), InvalidCredentials),
            (attempt("bob", "pve", "demo"), SecondFactorRequired),
        ):
            with pytest.raises(wrong):
                await sign_in(who)
        async with sessions.credentials(session) as client:
            ticket = client._credential.ticket
        with pytest.raises(InvalidCredentials):
            await sign_in(attempt("root", "pam", ticket.get_secret_value()))
