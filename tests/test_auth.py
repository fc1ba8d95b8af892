"""The sign-in, each way in: counted, asked, answered, and only then a session."""

import asyncio
import contextlib
import html
import json
import logging
import re
import time
from base64 import urlsafe_b64encode
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from services.audit import Audit
from services.auth import SignIn, Step, Visitor
from services.auth.limiter import PER_ACCOUNT, PER_ADDRESS, SLOTS, Limiter
from services.auth.pending import Pending
from services.auth.realms import RealmDirectory
from services.errors import (
    Hint,
    InvalidCredentials,
    Outage,
    ProviderError,
    ProviderFailed,
    ProxgateError,
    ProxmoxError,
    StepExpired,
    StoreUnavailable,
    TooManyAttempts,
    Unreachable,
)
from services.proxmox import Challenge, Factors, Peer, Proxmox, Ticket, Trust
from services.sessions import Limits, Session, Sessions, new_id
from services.simulator import Account, Fault, OpenIdRealm, SecurityKey, Simulator
from services.store.connection import Store

WORD = "demo"
LOGIN, OPENID_LOGIN = "/access/ticket", "/access/openid/login"
TOKEN, TOKEN_SECRET = "alice@pve!dashboard", "5f0c2a9e-7d41-4b8a-9c36-0e1d2f3a4b5c"
NARROW, NARROW_SECRET = "alice@pve!narrow", "b7e61d20-3c98-4f5e-8a17-6d5c4b3a2f1e"
RECOVERY = "1f0a-22c3-9d4e-07b1"
OTP = "cccccctinkerbdefghijklnrtuvcbdefghijklnrtuvc"
BACK = "https://gate.example/openid"
SPEED = 60.0  # Proxmox's three seconds are a twentieth of one, and a code of 30 seconds lasts half of one


def visitor(**more):
    """Who tries."""
    return Visitor(**{"address": "192.0.2.7", "agent": "Firefox", **more})


class House:
    """All that a sign-in stands on, on the real store and a Proxmox."""

    def __init__(self, store, keys, proxmox, limits=None):
        self.store = store
        self.proxmox = proxmox
        self.sessions = Sessions(store, keys, proxmox, limits or Limits())
        self.limiter = Limiter(store)
        self.pending = Pending(store, keys)
        self.realms = RealmDirectory(proxmox)
        self.audit = Audit(store, keys)
        self.sign_in = SignIn(proxmox, self.sessions, self.limiter, self.pending, self.realms, self.audit)

    async def password(self, username="alice", realm="pve", password=WORD, **more):
        outcome = await self.sign_in.by_password(username, realm, SecretStr(password), visitor(**more))
        return await self._welcomed(outcome, **more)

    async def code(self, step, kind, code, **more):
        return await self._welcomed(await self.sign_in.by_code(step.id, kind, SecretStr(code), visitor(**more)), **more)

    async def token(self, tokenid=TOKEN, secret=TOKEN_SECRET, **more):
        return await self._welcomed(await self.sign_in.by_token(tokenid, SecretStr(secret), visitor(**more)), **more)

    async def _welcomed(self, outcome, device="", **_):
        """As the ways in do it: the device of a session that began is known from then on."""
        if device and isinstance(outcome, Session):
            await self.sign_in.remember(outcome, device)
        return outcome

    async def leave(self, realm="sso", wanted="/overview", **more):
        return await self.sign_in.openid_start(realm, wanted, BACK, visitor(**more))

    async def come_back(self, state, code="", error="", **more):
        return await self.sign_in.openid_finish(state, SecretStr(code), error, visitor(**more))

    async def stored(self):
        """The keys in the store that are not the limiter's, without the test's own prefix."""
        prefix = self.store.key("").encode()
        names = [name.removeprefix(prefix).decode() for name in await self.store.admin.keys(prefix + b"*")]
        return [name for name in names if not name.startswith("limit:")]

    async def fail(self, times, account="", address="192.0.2.7", device=""):
        """Failures as Proxmox's refusals leave them."""
        for _ in range(times):
            with pytest.raises(InvalidCredentials):
                async with self.limiter.attempt(account, address, device):
                    raise InvalidCredentials

    def lose(self, *operations):
        """From now on the store is down for operations of these names."""
        run = type(self.store).run

        async def lost(operation, **how):
            if operation.__name__ in operations:
                raise StoreUnavailable
            return await run(self.store, operation, **how)

        self.store.run = lost


@pytest.fixture
async def pve():
    """A simulated Proxmox of the test's own, with two doors."""
    async with Simulator(speed=SPEED, doors=2) as running:
        yield running


@contextlib.asynccontextmanager
async def reached(pve, **options):
    """A client at every door of a simulated Proxmox."""
    async with Proxmox(pve.addresses, Trust(fingerprints=tuple(pve.fingerprints.values())), **options) as opened:
        yield opened


@pytest.fixture
async def house(store, keys, pve):
    async with reached(pve) as proxmox:
        yield House(store, keys, proxmox)


def asked(pve, path=LOGIN):
    """The requests that arrived at a path."""
    return [one for one in pve.requests if one.path == path]


def wrong(pve, userid="bob@pve"):
    """A code that the authenticator app does not show."""
    return f"{(int(pve.totp(userid)) + 1) % 1_000_000:06d}"


# A password


async def test_begins_a_session(house):
    """Who is accepted has a session, listed with where it came from."""
    session = await house.password()
    assert (await house.sessions.read(session.id)).principal == "alice@pve"
    (listed,) = await house.sessions.list("alice@pve")
    assert (listed.hash, listed.address, listed.agent) == (session.hash, "192.0.2.7", "Firefox")


@pytest.mark.parametrize("username", ["alice", "Alice", "zoë", "zoe\u0308", "o'neil", "a@b", "a+b", "a.b-c_d", "a;b&c"])
async def test_sent_exactly_as_typed(store, keys, username):
    """Username and password reach Proxmox exactly as typed, so that nobody else's fit."""
    password = " P\u00e4ss w\u006f\u0308rd%00+;&= "
    async with Simulator(speed=SPEED, accounts=[Account(userid=f"{username}@pve", password=password)]) as pve:
        async with reached(pve) as proxmox:
            session = await House(store, keys, proxmox).password(username, password=password)
            assert session.principal == f"{username}@pve"


@pytest.mark.parametrize(
    ("username", "realm"),
    [("", "pve"), ("alice", ""), ("alice", "pve/../x"), ("a\nb", "pve"), ("a b", "pve"), ("a!t", "pve"),
     ("a:b", "pve"), ("x" * 100, "pve"), ("alice", "pve\n"), ("alice", "é"),
     ("alice!dashboard", "pve"), ("alice@pve!dashboard", "pve"), ("alice", "pve!dashboard")],
)  # fmt: skip
async def test_no_userid(house, pve, username, realm):
    """What is no userid, a token's id included, is refused like a wrong password, and Proxmox never hears of it."""
    with pytest.raises(InvalidCredentials):
        await house.password(username, realm, TOKEN_SECRET)
    assert not pve.requests
    assert await house.stored() == []


@pytest.mark.parametrize(
    ("username", "realm", "password"),
    [("alice", "pve", "wrong"), ("alice", "pve", ""), ("alice", "pam", WORD), ("nobody-there", "pve", WORD),
     ("old", "pve", WORD), ("lapsed", "pve", WORD), ("bob", "pve", "wrong")],
)  # fmt: skip
async def test_refused_stores_nothing(house, username, realm, password):
    """Whom Proxmox refuses, for whatever reason, is told the same and leaves nothing in the store."""
    with pytest.raises(InvalidCredentials) as caught:
        await house.password(username, realm, password, browser=new_id(), device=new_id())
    assert caught.value.hint is None
    assert await house.stored() == []


async def test_outage_stores_nothing(house, pve):
    """An outage is told as one, and leaves nothing in the store."""
    pve.fault.status = 596
    with pytest.raises(Unreachable) as caught:
        await house.password(browser=new_id())
    assert caught.value.outage is Outage.DAEMON
    assert await house.stored() == []


async def test_ticket_is_no_password(house, pve):
    """A stolen ticket does not sign its owner in as a password."""
    session = await house.password("root", "pam")
    async with house.sessions.credentials(session) as client:
        ticket = client._credential.ticket.get_secret_value()
    before = len(pve.requests)
    with pytest.raises(InvalidCredentials):
        await house.password("root", "pam", ticket)
    assert len(pve.requests) == before


async def test_limited(house, pve):
    """Beyond the cap Proxmox is not asked any more, not even with the right password."""
    for _ in range(PER_ACCOUNT):
        with pytest.raises(InvalidCredentials):
            await house.password(password="wrong")
    with pytest.raises(TooManyAttempts):
        await house.password()
    assert len(asked(pve)) == PER_ACCOUNT


async def test_two_hundred_guesses(house, pve):
    """Of two hundred parallel guesses no more than the cap reach Proxmox."""
    for _ in range(4):
        guesses = (house.password(password=f"guess {n}") for n in range(50))
        await asyncio.gather(*guesses, return_exceptions=True)
    assert 1 <= len(asked(pve)) <= PER_ACCOUNT


async def test_outages_are_no_tries(house, pve):
    """However often Proxmox could not be reached, the right password is taken afterwards."""
    pve.fault.status = 595
    for _ in range(PER_ADDRESS + 1):
        with pytest.raises(Unreachable):
            await house.password()
    pve.fault.status = None
    assert isinstance(await house.password(), Session)


async def test_browser_keeps_one(house):
    """Two sign-ins at once from one browser leave one session."""
    browser = new_id()
    await asyncio.gather(*(house.password(browser=browser) for _ in range(2)))
    assert len(await house.sessions.list("alice@pve")) == 1


async def test_known_device_is_not_locked_out(house, pve):
    """Strangers' failures do not keep a device out that has signed in to the account before."""
    device = new_id()
    await house.password(device=device)
    await house.fail(PER_ACCOUNT, "alice@pve", "198.51.100.1")
    assert isinstance(await house.password(device=device), Session)
    before = len(pve.requests)
    for stranger in ({}, {"device": new_id()}):
        with pytest.raises(TooManyAttempts):
            await house.password(**stranger)
    assert len(pve.requests) == before


async def test_device_that_cannot_be_remembered(house, monkeypatch):
    """With the store lost right after the session began, the session stands all the same."""

    async def lost(*_):
        raise StoreUnavailable

    monkeypatch.setattr(house.limiter, "remember", lost)
    session = await house.password(device=new_id())
    assert await house.sessions.read(session.id)


async def test_store_down(keys, pve, tmp_path):
    """With the store down nobody signs in, by whatever way, and Proxmox is not asked."""
    down = Store.open(SecretStr(f"unix://{tmp_path}/none.sock"))
    async with reached(pve) as proxmox:
        house = House(down, keys, proxmox)
        for tried in (
            house.password(),
            house.code(Step(id=new_id()), "totp", "123456"),
            house.token(),
            house.leave(),
            house.come_back("state", "code", browser=new_id()),
        ):
            with pytest.raises(StoreUnavailable):
                await tried
    assert not pve.requests


async def test_store_lost_meanwhile(house):
    """With the store lost while Proxmox is asked there is no session, and no try is spent."""
    house.lose("write")
    for username in ("alice", "bob"):  # a session, and the step to a second factor
        for _ in range(PER_ACCOUNT + 1):
            with pytest.raises(StoreUnavailable):
                await house.password(username)
    del house.store.run
    assert isinstance(await house.password(), Session)
    assert isinstance(await house.password("bob"), Step)


# A second factor


async def test_second_factor(house, pve):
    """A right password and then the right code begin the session, and not before."""
    browser = new_id()
    step = await house.password("bob", browser=browser)
    assert isinstance(step, Step)
    assert [name.partition(":")[0] for name in await house.stored()] == ["challenge"]
    with pytest.raises(StepExpired):
        await house.code(step, "totp", pve.totp("bob@pve"), browser=new_id())
    session = await house.code(step, "totp", pve.totp("bob@pve"), agent="Chrome", browser=browser)
    assert (await house.sessions.read(session.id)).principal == "bob@pve"
    (listed,) = await house.sessions.list("bob@pve")
    assert (listed.hash, listed.agent) == (session.hash, "Chrome")


async def test_session_of_a_second_factor_may_ask(house, pve):
    """The session that a second factor began holds a whole ticket, not half of one."""
    session = await house.code(await house.password("bob"), "totp", pve.totp("bob@pve"))
    async with house.sessions.credentials(session) as client:
        assert (await client.resources()).nodes


async def test_wrong_code_then_the_right_one(house, pve):
    """After a wrong code the same step takes the right one."""
    step = await house.password("bob")
    with pytest.raises(InvalidCredentials):
        await house.code(step, "totp", wrong(pve))
    assert await house.sessions.list("bob@pve") == ()
    assert isinstance(await house.code(step, "totp", pve.totp("bob@pve")), Session)


async def test_recovery_code(house):
    """A recovery code is taken however it was typed, once."""
    assert isinstance(await house.code(await house.password("bob"), "recovery", RECOVERY.upper()), Session)
    step = await house.password("bob")
    assert (await house.sign_in.challenge(step.id, "")).factors.recovery == (1, 2, 3)
    with pytest.raises(InvalidCredentials):
        await house.code(step, "recovery", RECOVERY)


async def test_yubico_code(house, pve):
    """What a YubiKey types is taken."""
    step = await house.password("yuri")
    assert isinstance(await house.code(step, "yubico", f" {pve.yubico('yuri@pve').upper()}\n"), Session)


KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = KEY.public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)  # fmt: skip
WANDA = Account(userid="wanda@pve", password=WORD, webauthn=SecurityKey(credential_id=b"wand", public_key=PUBLIC))


def _b64(value):
    return urlsafe_b64encode(value).decode().rstrip("=")


def touched(challenge, origin="https://gate.example"):
    """What a browser says after Wanda has touched her security key."""
    asked = json.loads(challenge.factors.webauthn)["publicKey"]
    client = json.dumps({"type": "webauthn.get", "challenge": asked["challenge"], "origin": origin}).encode()
    facts = sha256(asked["rpId"].encode()).digest() + bytes([1]) + bytes(4)
    signature = KEY.sign(facts + sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
    signed = {"authenticatorData": _b64(facts), "clientDataJSON": _b64(client), "signature": _b64(signature)}
    id = _b64(b"wand")
    answer = {"id": id, "rawId": id, "type": "public-key", "challenge": asked["challenge"], "response": signed}
    return json.dumps(answer)


@pytest.fixture
async def wandas(store, keys):
    """A house at a Proxmox that takes security keys."""
    names = {"webauthn_origin": "https://gate.example", "webauthn_id": "gate.example"}
    async with Simulator(speed=SPEED, accounts=[WANDA], **names) as pve, reached(pve) as proxmox:
        yield House(store, keys, proxmox)


async def test_security_key(wandas):
    """What a security key says reaches Proxmox whole, and begins the session."""
    step = await wandas.password("wanda")
    challenge = await wandas.sign_in.challenge(step.id, "")
    assert isinstance(await wandas.code(step, "webauthn", touched(challenge)), Session)


async def test_security_key_of_another_origin(wandas):
    """A security key that Proxmox refuses comes with the hint at the origin in Proxmox's settings."""
    step = await wandas.password("wanda")
    challenge = await wandas.sign_in.challenge(step.id, "")
    with pytest.raises(InvalidCredentials) as caught:
        await wandas.code(step, "webauthn", touched(challenge, "https://other.example"))
    assert caught.value.hint is Hint.ORIGIN


@pytest.mark.parametrize(
    ("username", "factors"),
    [("bob", Factors(totp=True, recovery=(0, 1, 2, 3))), ("yuri", Factors(yubico=True)),
     ("carla", Factors(recovery=(0, 1))), ("olaf", Factors(u2f=True))],
)  # fmt: skip
async def test_step_tells_what_it_asks_for(house, pve, username, factors):
    """A step tells whose it is and which factors it asks for, even when none of them can be answered here."""
    challenge = await house.sign_in.challenge((await house.password(username)).id, "")
    assert (challenge.userid, challenge.factors) == (f"{username}@pve", factors)
    assert challenge.peer.address == pve.address


@pytest.mark.parametrize(
    ("username", "kind", "code"),
    [("bob", "yubico", OTP), ("yuri", "totp", "123456"), ("carla", "totp", "123456"), ("yuri", "recovery", RECOVERY),
     ("bob", "webauthn", "{}"), ("olaf", "u2f", "123456"), ("bob", "password", WORD), ("bob", "", "123456"),
     ("bob", "totp:1", "123456")],
)  # fmt: skip
async def test_kind_that_was_not_offered(house, pve, username, kind, code):
    """A kind that the step did not offer is refused like a wrong code, and Proxmox never hears of it."""
    step = await house.password(username)
    with pytest.raises(InvalidCredentials):
        await house.code(step, kind, code)
    assert len(asked(pve)) == 1


@pytest.mark.parametrize(
    ("kind", "code"), [("totp", ""), ("totp", "12345"), ("totp", "abcdef"), ("recovery", "123456"), ("totp", RECOVERY)]
)
async def test_malformed_code(house, pve, kind, code):
    """What can be no code is refused without asking Proxmox, costs no try, and leaves the step as it was."""
    step = await house.password("bob")
    for _ in range(PER_ACCOUNT + 1):
        with pytest.raises(InvalidCredentials):
            await house.code(step, kind, code)
    assert len(asked(pve)) == 1
    assert isinstance(await house.code(step, "totp", pve.totp("bob@pve")), Session)


async def test_step_is_gone_after_success(house, pve):
    """A step that was answered is over: it takes nothing more, and nothing of it stays in the store."""
    step = await house.password("bob")
    await house.code(step, "recovery", RECOVERY)
    before = len(pve.requests)
    with pytest.raises(StepExpired):
        await house.code(step, "totp", pve.totp("bob@pve"))
    with pytest.raises(StepExpired):
        await house.sign_in.challenge(step.id, "")
    assert len(pve.requests) == before
    assert not [name for name in await house.stored() if name.startswith("challenge")]


async def test_step_that_cannot_be_forgotten(house):
    """With the store lost right after the session began, the session stands: the step expires by itself."""
    step = await house.password("bob")
    house.lose("delete")
    assert isinstance(await house.code(step, "recovery", RECOVERY), Session)


async def test_step_of_nobody(house, pve):
    """A step that nobody began is over."""
    with pytest.raises(StepExpired):
        await house.code(Step(id=new_id()), "totp", "123456")
    assert not pve.requests


async def test_session_that_cannot_begin_keeps_the_step(house):
    """With the store lost while the session is to begin, there is none, and the step may be tried again."""
    step = await house.password("bob")
    house.lose("write")
    with pytest.raises(StoreUnavailable):
        await house.code(step, "recovery", RECOVERY)
    del house.store.run
    other = "5b6c-83d2-f1a0-4e97"
    assert isinstance(await house.code(step, "recovery", other), Session)


async def test_code_goes_to_the_same_node(house, pve):
    """The code goes to the node that asked for it, though another one answers first by now."""
    first, second = pve.addresses
    step = await house.password("bob")
    pve.faults[first] = Fault(path="/access/domains", status=595)
    await house.proxmox.realms()
    assert asked(pve, "/access/domains")[-1].door == second
    assert isinstance(await house.code(step, "totp", pve.totp("bob@pve")), Session)
    assert [one.door for one in asked(pve)] == [first, first]


async def test_node_that_is_gone(house, pve):
    """With the node of the step gone no other one is asked, and the step goes on once it is back."""
    first, _ = pve.addresses
    step = await house.password("bob")
    await pve.close_door(first)
    with pytest.raises(Unreachable):
        await house.code(step, "recovery", RECOVERY)
    assert len(asked(pve)) == 1
    await pve.open_door(first)
    assert isinstance(await house.code(step, "recovery", RECOVERY), Session)


class Renaming:
    """Stands in for a Proxmox whose directory ignores case and answers its own spelling, which the simulator lacks."""

    clock_skew = None

    def __init__(self, peer):
        self.peer = peer
        self.verified = []

    async def sign_in(self, userid, password):
        ticket = SecretStr('PVE:!tfa!{"totp"%3Atrue}:6B03F88F::x')
        factors = Factors(totp=True)
        return Challenge(userid=userid.lower(), ticket=ticket, factors=factors, peer=self.peer, issued=time.time())

    async def verify(self, challenge, response):
        self.verified.append((challenge.userid, response.get_secret_value()))
        secret = SecretStr("PVE:SECRET")
        return Ticket(userid=challenge.userid, ticket=secret, csrf_token=secret, issued=time.time())


async def test_account_that_proxmox_spells_otherwise(store, keys, pve):
    """The second step and the session go by the name as Proxmox spells it."""
    proxmox = Renaming(Peer(address=pve.address))
    house = House(store, keys, proxmox)
    step = await house.password("Maria", "home")
    assert (await house.sign_in.challenge(step.id, "")).userid == "maria@home"
    session = await house.code(step, "totp", "123 456")
    assert proxmox.verified == [("maria@home", "totp:123456")]
    assert session.principal == "maria@home"


async def test_wrong_codes_are_limited(house, pve):
    """Of any number of wrong codes no more than the cap reach Proxmox, and then not the right one either."""
    step = await house.password("bob")
    guesses = (house.code(step, "recovery", f"{n:016x}") for n in range(PER_ACCOUNT + 5))
    outcomes = await asyncio.gather(*guesses, return_exceptions=True)
    assert {type(one) for one in outcomes} <= {InvalidCredentials, TooManyAttempts}
    reached = sum(isinstance(one, InvalidCredentials) for one in outcomes)
    assert SLOTS <= reached <= PER_ACCOUNT
    await house.fail(PER_ACCOUNT - reached, "bob@pve")
    with pytest.raises(TooManyAttempts):
        await house.code(step, "recovery", RECOVERY)
    assert len(asked(pve)) == 1 + reached


async def test_right_passwords_do_not_count_against_codes(house):
    """Steps that are begun and left cost no try, and take none back."""
    await house.fail(PER_ACCOUNT - 1, "bob@pve")
    for _ in range(3):
        step = await house.password("bob")
    with pytest.raises(InvalidCredentials):
        await house.code(step, "recovery", "0" * 16)
    with pytest.raises(TooManyAttempts):
        await house.password("bob")


async def test_half_a_login_makes_no_device_known(house):
    """A device is known for an account once its session began, and not for the password alone."""
    device = new_id()
    step = await house.password("bob", device=device)
    await house.fail(PER_ACCOUNT, "bob@pve", "198.51.100.1")
    with pytest.raises(TooManyAttempts):
        await house.code(step, "recovery", RECOVERY, device=device)


async def test_device_is_known_after_the_second_factor(house):
    """A device that has passed the second factor is not locked out by strangers, at neither step."""
    device = new_id()
    await house.code(await house.password("bob"), "recovery", RECOVERY, device=device)
    await house.fail(PER_ACCOUNT, "bob@pve", "198.51.100.1")
    step = await house.password("bob", device=device)
    assert isinstance(await house.code(step, "recovery", "5b6c-83d2-f1a0-4e97", device=device), Session)


# An API token


async def test_token_begins_a_session(house):
    """The session of a token is the token's own, and shows what it may see, not what its owner may."""
    wide, narrow = await house.token(), await house.token(NARROW, NARROW_SECRET)
    assert (wide.principal, narrow.principal) == (TOKEN, NARROW)
    assert len(await house.sessions.list(NARROW)) == 1
    assert await house.sessions.list("alice@pve") == ()
    async with house.sessions.credentials(narrow) as client:
        assert len((await client.resources()).guests) == 1


@pytest.mark.parametrize(
    ("tokenid", "secret"),
    [(TOKEN, NARROW_SECRET), (TOKEN, "wrong"), (TOKEN, WORD), ("alice@pve!other", TOKEN_SECRET),
     ("bob@pve!dashboard", TOKEN_SECRET)],
)  # fmt: skip
async def test_token_refused(house, pve, tokenid, secret):
    """A token that Proxmox does not take begins nothing."""
    with pytest.raises(InvalidCredentials):
        await house.token(tokenid, secret, device=new_id())
    assert len(pve.requests) == 1
    assert await house.stored() == []


@pytest.mark.parametrize(
    ("tokenid", "secret"),
    [("%61lice@pve!dashboard", TOKEN_SECRET), (f"alice%40pve%21dashboard%3D{TOKEN_SECRET};@pam!x", "x"),
     ("alice@pve!dashboard", f"x@sso!tok={TOKEN_SECRET}"), ("alice=x@pve!dashboard", TOKEN_SECRET),
     (TOKEN, f"{TOKEN_SECRET};x"), (TOKEN, f"{TOKEN_SECRET}%20"), (TOKEN, "a" * 129), (TOKEN, ""), (TOKEN, "a\r\nb")],
)  # fmt: skip
async def test_token_that_proxmox_would_read_otherwise(house, pve, tokenid, secret):
    """An id or secret that Proxmox would cut, decode or part elsewhere is refused, and Proxmox never hears of it."""
    with pytest.raises(InvalidCredentials):
        await house.token(tokenid, secret)
    assert not pve.requests


async def test_token_of_a_disabled_account(house, pve):
    """With its owner disabled a token is worth nothing."""
    pve.disable("alice@pve")
    with pytest.raises(InvalidCredentials):
        await house.token()


@pytest.mark.parametrize(
    ("tokenid", "secret"),
    [("", TOKEN_SECRET), ("alice@pve", TOKEN_SECRET), ("alice!dashboard", TOKEN_SECRET), ("alice@pve!", TOKEN_SECRET),
     ("alice@pve!a b", TOKEN_SECRET), ("alice@pve!a!b", TOKEN_SECRET), (f"{TOKEN}={TOKEN_SECRET}", ""),
     ("!dashboard", TOKEN_SECRET), (f"{TOKEN}\n", TOKEN_SECRET), (TOKEN, f"{TOKEN_SECRET}\r\nX: y"), (TOKEN, "a b"),
     (TOKEN, "\u00e9"), (TOKEN, "\ud800")],
    ids=ascii,
)  # fmt: skip
async def test_no_token(house, pve, tokenid, secret):
    """What can be no token is refused like a wrong one, and Proxmox never hears of it."""
    with pytest.raises(InvalidCredentials):
        await house.token(tokenid, secret)
    assert not pve.requests
    assert await house.stored() == []


async def test_token_is_never_renewed(store, keys, pve):
    """A token's session asks with the token alone: no ticket, no CSRF token, nothing renewed, unlike a ticket's."""
    async with reached(pve) as proxmox:
        house = House(store, keys, proxmox, Limits(renew_ticket=0))
        for session, renewals in ((await house.token(), 0), (await house.password(), 1)):
            pve.requests.clear()
            async with house.sessions.credentials(session) as client:
                await client.resources()
            assert len(asked(pve)) == renewals
            sent = {"authorization", "cookie"} & set(pve.requests[-1].headers)
            assert sent == ({"cookie"} if renewals else {"authorization"})
            assert "csrfpreventiontoken" not in pve.requests[-1].headers


async def test_wrong_tokens_are_limited(house, pve):
    """Beyond the cap a token is not tried any more, not even the right one; its owner may still sign in."""
    for _ in range(PER_ACCOUNT):
        with pytest.raises(InvalidCredentials):
            await house.token(secret="wrong")
    with pytest.raises(TooManyAttempts):
        await house.token()
    assert len(pve.requests) == PER_ACCOUNT
    assert isinstance(await house.password(), Session)


async def test_token_in_an_outage(house, pve):
    """An outage while a token is tried is told as one, and costs no try."""
    pve.fault.status = 595
    for _ in range(PER_ACCOUNT + 1):
        with pytest.raises(Unreachable):
            await house.token()
    pve.fault.status = None
    assert isinstance(await house.token(), Session)


async def test_known_device_of_a_token(house):
    """Strangers' failures with a token do not keep a device out that has signed in with it before."""
    device = new_id()
    await house.token(device=device)
    await house.fail(PER_ACCOUNT, TOKEN, "198.51.100.1")
    assert isinstance(await house.token(device=device), Session)


# An OpenID provider


@pytest.fixture
async def sso():
    """A simulated Proxmox with a provider behind the realm `sso`, and a realm whose provider is gone."""
    dead = OpenIdRealm(issuer="http://127.0.0.1:9", client_id="x")
    async with Simulator(speed=SPEED, doors=2, provider=True, openid={"dead": dead}) as running:
        yield running


@pytest.fixture
async def abroad(store, keys, sso):
    """A house at that Proxmox."""
    async with reached(sso) as proxmox:
        yield House(store, keys, proxmox)


def parameters(url):
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def browse(url, button):
    """Press a button on the provider's page, as a browser does; what it sends back with."""
    async with httpx.AsyncClient(trust_env=False) as browser:
        page = (await browser.get(url)).text
        hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page)
        fields = {name: html.unescape(value) for name, value in hidden}
        answer = await browser.post(str(httpx.URL(url).join("/authorize")), data=fields | {"answer": button})
    assert answer.headers["location"].startswith(f"{BACK}?")
    return parameters(answer.headers["location"])


async def test_way_to_the_provider(abroad):
    """The way to the provider leads back to us."""
    url = await abroad.leave(browser=new_id())
    assert parameters(url)["redirect_uri"] == BACK
    assert parameters(url)["state"]


@pytest.mark.parametrize("person", ["anna", "anna@example.org"])
async def test_openid(abroad, person):
    """Who comes back from the provider has a session by the name that Proxmox gives, and goes where they wanted to."""
    browser = new_id()
    returned = await browse(await abroad.leave(wanted="/guests?x=1", browser=browser), f"as {person}")
    session, wanted = await abroad.come_back(**returned, browser=browser)
    assert session.principal == f"{person}@sso"
    assert wanted == "/guests?x=1"
    (listed,) = await abroad.sessions.list(f"{person}@sso")
    assert (listed.hash, listed.address) == (session.hash, "192.0.2.7")
    async with abroad.sessions.credentials(session) as client:
        assert (await client.resources()).guests


async def test_openid_in_another_browser(abroad, sso):
    """Nobody is signed in by somebody else's return: only the browser that left comes back, and still may."""
    browser = new_id()
    returned = await browse(await abroad.leave(browser=browser), "as anna")
    for other in (new_id(), ""):
        with pytest.raises(StepExpired):
            await abroad.come_back(**returned, browser=other)
    assert asked(sso, OPENID_LOGIN) == []
    assert await abroad.come_back(**returned, browser=browser)


async def test_openid_return_counts_once(abroad, sso):
    """A return is good once, however many times it comes at the same moment."""
    browser = new_id()
    returned = await browse(await abroad.leave(browser=browser), "as anna")
    returns = [abroad.come_back(**returned, browser=browser) for _ in range(5)]
    outcomes = await asyncio.gather(*returns, return_exceptions=True)
    assert sum(isinstance(one, StepExpired) for one in outcomes) == 4
    with pytest.raises(StepExpired):
        await abroad.come_back(**returned, browser=browser)
    assert len(asked(sso, OPENID_LOGIN)) == 1


async def test_openid_return_of_nobody(abroad, sso):
    """A state that never went out is a step that is over."""
    with pytest.raises(StepExpired):
        await abroad.come_back("state", "code", browser=new_id())
    assert not sso.requests


@pytest.mark.parametrize(
    ("word", "reason"),
    [("access_denied", ProviderError.DENIED), ("server_error", ProviderError.FAILED),
     ("temporarily_unavailable", ProviderError.FAILED), ("<script>", ProviderError.FAILED),
     ("ACCESS_DENIED", ProviderError.FAILED)],
)  # fmt: skip
async def test_providers_own_error(abroad, sso, word, reason):
    """The provider's own error is told as its own, Proxmox is not asked, and the trip is over."""
    browser = new_id()
    state = parameters(await abroad.leave(browser=browser))["state"]
    with pytest.raises(ProviderFailed) as caught:
        await abroad.come_back(state, error=word, browser=browser)
    assert caught.value.reason is reason
    assert asked(sso, OPENID_LOGIN) == []
    with pytest.raises(StepExpired):
        await abroad.come_back(state, "code", browser=browser)


async def test_refusing_at_the_provider(abroad):
    """Who refuses at the provider comes back with its word for that."""
    browser = new_id()
    returned = await browse(await abroad.leave(browser=browser), "refuse")
    with pytest.raises(ProviderFailed) as caught:
        await abroad.come_back(**returned, browser=browser)
    assert caught.value.reason is ProviderError.DENIED


async def test_error_without_a_trip(abroad):
    """A provider's error that no trip of this browser brought is a step that is over: anybody can write one."""
    with pytest.raises(StepExpired):
        await abroad.come_back("state", error="access_denied", browser=new_id())


async def test_error_that_names_no_trip(abroad, sso):
    """A provider that says no and forgets to whom is told as one that did, and the trip is still good."""
    browser = new_id()
    returned = await browse(await abroad.leave(browser=browser), "as anna")
    for word, reason in (("access_denied", ProviderError.DENIED), ("server_error", ProviderError.FAILED)):
        with pytest.raises(ProviderFailed) as caught:
            await abroad.come_back("", error=word, browser=browser)
        assert caught.value.reason is reason
    assert asked(sso, OPENID_LOGIN) == []
    assert await abroad.come_back(**returned, browser=browser)


async def test_account_that_proxmox_lacks(abroad, sso):
    """An account that the provider names and Proxmox does not take is refused with the hint that says so."""
    browser = new_id()
    returned = await browse(await abroad.leave(browser=browser), "as anna")
    sso.disable("anna@sso")
    with pytest.raises(InvalidCredentials) as caught:
        await abroad.come_back(**returned, browser=browser)
    assert caught.value.hint is Hint.OPENID
    assert await abroad.stored() == []


async def test_provider_that_is_gone(abroad):
    """A provider that Proxmox cannot reach is told as such, and nothing is kept."""
    with pytest.raises(ProviderFailed) as caught:
        await abroad.leave("dead", browser=new_id())
    assert caught.value.reason is ProviderError.SILENT
    assert await abroad.stored() == []


async def test_provider_whose_realm_has_vanished(abroad, sso):
    """A realm that Proxmox does not offer any more is told as such, and not as a provider that is silent."""
    await abroad.leave(browser=new_id())
    vanish(sso, "sso")
    abroad.realms.forget()  # as after half a minute
    with pytest.raises(ProviderFailed) as caught:
        await abroad.leave(browser=new_id())
    assert caught.value.reason is ProviderError.GONE


def vanish(pve, realm):
    """Take a realm away, as an administrator may at any time."""
    del pve._directory.realms[realm]


@pytest.mark.parametrize("realm", ["pve", "nowhere", "", "x/../y", "x" * 40])
async def test_realm_without_a_provider(abroad, realm):
    """No trip begins for a realm that has no provider."""
    with pytest.raises(ProxmoxError):
        await abroad.leave(realm, browser=new_id())
    assert await abroad.stored() == []


async def test_openid_in_an_outage(abroad, sso):
    """Proxmox's own outage is no provider's."""
    sso.fault.status = 595
    with pytest.raises(Unreachable):
        await abroad.leave(browser=new_id())


async def test_trips_are_limited(abroad, sso):
    """An address begins so many trips and no more, whatever comes of them; Proxmox keeps but a hundred."""
    for _ in range(PER_ADDRESS - 1):
        async with abroad.limiter.errand("192.0.2.7", "sso"):
            pass
    await abroad.leave(browser=new_id())
    before = len(sso.requests)
    with pytest.raises(TooManyAttempts):
        await abroad.leave(browser=new_id())
    assert len(sso.requests) == before
    assert await abroad.leave(browser=new_id(), address="198.51.100.1")


async def test_returns_are_limited(abroad, sso):
    """A return that Proxmox refuses counts for the address, and beyond the cap none is asked about."""
    browsers, states = [new_id(), new_id()], []
    for browser in browsers:
        states.append(parameters(await abroad.leave(browser=browser))["state"])
    await abroad.fail(PER_ADDRESS - 1)
    with pytest.raises(InvalidCredentials):
        await abroad.come_back(states[0], "wrong", browser=browsers[0])
    with pytest.raises(TooManyAttempts):
        await abroad.come_back(states[1], "wrong", browser=browsers[1])
    assert len(asked(sso, OPENID_LOGIN)) == 1


async def test_return_that_has_to_wait_is_not_used_up(abroad, sso):
    """A return that our own limit refused may come again, and then signs in."""
    browser = new_id()
    returned = await browse(await abroad.leave(browser=browser), "as anna")
    await abroad.fail(PER_ADDRESS)
    for _ in range(2):
        with pytest.raises(TooManyAttempts):
            await abroad.come_back(**returned, browser=browser)
    assert asked(sso, OPENID_LOGIN) == []
    session, wanted = await abroad.come_back(**returned, browser=browser, address="198.51.100.1")
    assert (session.principal, wanted) == ("anna@sso", "/overview")


async def test_providers_errors_cost_no_try(abroad):
    """Who is refused at the provider has spent none of the address's tries."""
    await abroad.fail(PER_ADDRESS - 1)
    for _ in range(2):
        browser = new_id()
        state = parameters(await abroad.leave(browser=browser))["state"]
        with pytest.raises(ProviderFailed):
            await abroad.come_back(state, error="access_denied", browser=browser)
    assert isinstance(await abroad.password(), Session)


async def test_return_goes_to_the_same_node(abroad, sso):
    """The return goes to the node where the trip began, though another one answers first by now."""
    first, _ = sso.addresses
    browser = new_id()
    returned = await browse(await abroad.leave(browser=browser), "as anna")
    sso.faults[first] = Fault(path="/access/domains", status=595)
    await abroad.proxmox.realms()
    assert await abroad.come_back(**returned, browser=browser)
    assert [one.door for one in asked(sso, OPENID_LOGIN)] == [first]


# Hints


@pytest.mark.parametrize(
    ("skew", "hint"), [(0, None), (100, None), (-200, None), (500, Hint.CLOCK), (-400, Hint.CLOCK)]
)
async def test_clock_hint(house, pve, skew, hint):
    """A refusal comes with the hint at the clocks when they differ by more than five minutes, and only then."""
    pve.skew = skew
    with pytest.raises(InvalidCredentials) as caught:
        await house.password(password="wrong")
    assert caught.value.hint is hint


async def test_clock_hint_at_the_second_step(house, pve):
    """A refused code, too, comes with the hint at the clocks."""
    pve.skew = 500
    step = await house.password("bob")
    with pytest.raises(InvalidCredentials) as caught:
        await house.code(step, "totp", wrong(pve))
    assert caught.value.hint is Hint.CLOCK


async def test_realm_hint(house):
    """A realm that Proxmox does not offer any more comes with the hint that says so, and no other does."""
    hints = []
    for realm in ("gone", "pve"):
        with pytest.raises(InvalidCredentials) as caught:
            await house.password("nobody-there", realm)
        hints.append(caught.value.hint)
    assert hints == [Hint.REALM, None]


@pytest.mark.parametrize("realm", ["pve", "gone"])
async def test_no_hint_where_proxmox_was_not_asked(house, pve, realm):
    """What was refused here comes without any hint, and Proxmox is not even asked for its realms."""
    pve.skew = 500
    await house.proxmox.realms()
    pve.requests.clear()
    with pytest.raises(InvalidCredentials) as caught:
        await house.password("alice", realm, "PVE:alice@pve:0::x")
    assert caught.value.hint is None
    with pytest.raises(InvalidCredentials) as caught:
        await house.code(await house.password("bob"), "totp", "no code")
    assert caught.value.hint is None
    assert {one.path for one in pve.requests} == {LOGIN}
    assert len(asked(pve)) == 1


@pytest.mark.parametrize("skew", [0, 500])
async def test_hints_tell_nothing_of_accounts(house, pve, skew):
    """The hint is the same whether there is such an account, a disabled one or none."""
    pve.skew = skew
    await house.realms.get()
    hints = set()
    for username in ("alice", "bob", "old", "nobody-there"):
        with pytest.raises(InvalidCredentials) as caught:
            await house.password(username, password="wrong")
        hints.add((caught.value.hint, str(caught.value)))
    assert len(hints) == 1


# The log, and what else may be printed


class Said:
    """What a log may not hold, and what it must."""

    def __init__(self, log, *secrets):
        self.log = log
        self.secrets = secrets

    def names(self, account):
        assert account in self.log
        assert "192.0.2.7" in self.log
        for secret in (*self.secrets, "PVE:", "tfa"):
            assert secret not in self.log


@contextlib.contextmanager
def noting(caplog):
    with caplog.at_level(logging.DEBUG, "services"), contextlib.suppress(ProxgateError):
        yield


@pytest.mark.parametrize("outcome", ["accepted", "refused", "outage", "limited"])
async def test_log_of_a_password(house, pve, caplog, outcome):
    """The log names account and address of each password, and never the password, the ticket or an id."""
    password, browser, device, ids = WORD, new_id(), new_id(), []
    if outcome == "refused":
        password = "SECRETPASSWORD"
    if outcome == "outage":
        pve.fault.status = 595
    if outcome == "limited":
        await house.fail(PER_ACCOUNT, "alice@pve")
    with noting(caplog):
        session = await house.password(password=password, browser=browser, device=device)
        ids = [session.id, session.hash]
    assert bool(ids) is (outcome == "accepted")
    Said(caplog.text, password, browser, device, *ids).names("alice@pve")


@pytest.mark.parametrize("right", [True, False])
async def test_log_of_a_second_factor(house, pve, caplog, right):
    """The log names the account at both steps, and never the code, the challenge or the step's id."""
    code = RECOVERY if right else "0bad-c0de-0bad-c0de"
    with noting(caplog):
        step = await house.password("bob")
        assert "bob@pve" in caplog.text
        before = len(caplog.text)
        await house.code(step, "recovery", code)
    assert "bob@pve" in caplog.text[before:]
    bare = code.replace("-", "")
    Said(caplog.text, code, bare, WORD, step.id, sha256(step.id.encode()).hexdigest()).names("bob@pve")
    assert ("event=failure" in caplog.text) is not right


@pytest.mark.parametrize("secret", [TOKEN_SECRET, "SECRETTOKEN"])
async def test_log_of_a_token(house, caplog, secret):
    """The log names the token, and never its secret."""
    with noting(caplog):
        await house.token(secret=secret)
    Said(caplog.text, secret).names(TOKEN)


@pytest.mark.parametrize("tokenid", [f"{TOKEN}={TOKEN_SECRET}", TOKEN_SECRET])
async def test_log_of_a_misplaced_secret(house, caplog, tokenid):
    """A secret that was typed where the token's id belongs does not come to the log."""
    with noting(caplog):
        await house.token(tokenid, "")
    assert TOKEN_SECRET not in caplog.text


@pytest.mark.parametrize("outcome", ["accepted", "refused", "denied"])
async def test_log_of_a_trip(abroad, caplog, outcome):
    """The log names the realm, then the account, and never state, code, the provider's address or the browser."""
    browser = new_id()
    url = await abroad.leave(browser=browser)
    returned = await browse(url, "refuse" if outcome == "denied" else "as anna")
    if outcome == "refused":
        returned["code"] = "SECRETCODE"
    with noting(caplog):
        await abroad.come_back(**returned, browser=browser)
    token = json.loads(returned["state"])["csrf_token"]
    secrets = [url, token, browser, *([returned["code"]] if "code" in returned else [])]
    Said(caplog.text, *secrets).names("anna@sso" if outcome == "accepted" else "@sso")


async def test_log_of_a_trip_that_cannot_begin(abroad, caplog):
    """The log names the realm whose provider is gone."""
    with noting(caplog):
        await abroad.leave("dead", browser=new_id())
    Said(caplog.text).names("@dead")


async def test_errors_hold_no_secret(house, pve):
    """No refusal shows what was typed."""
    for tried in (
        house.password(password="SECRETPASSWORD"),
        house.token(secret="SECRETTOKEN"),
        house.code(await house.password("bob"), "recovery", "5ec5-e75e-c5e7-5ec5"),
        house.code(await house.password("yuri"), "totp", "SECRETCODE"),
    ):
        with pytest.raises(InvalidCredentials) as caught:
            await tried
        error, chain = caught.value, ""
        while error:
            chain += f"{error!r}{error}"
            error = error.__cause__ or error.__context__
        assert "SECRET" not in chain
        assert "5ec5" not in chain


def test_nothing_shows_an_id():
    """Neither a visitor nor a step shows its ids when printed."""
    ids = [new_id(), new_id(), new_id()]
    printed = f"{visitor(browser=ids[0], device=ids[1])!r} {Step(id=ids[2])!r}"
    assert "192.0.2.7" in printed
    assert not any(id in printed for id in ids)
