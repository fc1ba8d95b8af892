"""Sign-ins under way: sealed in the store, for minutes, each opened by its own id alone, a trip only once."""

import asyncio
import time

import pytest
from pydantic import SecretStr

from services.auth.pending import Pending, Trip, _aes_key
from services.errors import StepExpired, StoreUnavailable
from services.keys import KeyRing
from services.proxmox import Address, Challenge, Factors, OpenIdTrip, Peer
from services.sessions import new_id
from services.store.connection import Store

OLD, NEW = "the older secret of the tests long enough 01", "the newer secret of the tests long enough 02"
PEER = Peer(address=Address(host="pve2.example", port=8007), ip="192.0.2.2")
HALF = 'PVE:!tfa!{"totp"%3Atrue,"recovery"%3A[1]}:6B03F88F::SECRETSIGNATURE'
CHALLENGE = Challenge(
    userid="bob@pve",
    ticket=SecretStr(HALF),
    factors=Factors(totp=True, recovery=(1,)),
    peer=PEER,
    issued=1_800_000_000.5,
)
STATE = '{"csrf_token":"SECRETSTATE","realm":"sso"}'

BROWSER = "b" * 43


def trip(state=STATE):
    openid = OpenIdTrip(
        url="https://provider.example/?SECRET", state=state, redirect_url="https://gate.example/openid", peer=PEER
    )
    return Trip(realm="sso", wanted="/overview", openid=openid)


@pytest.fixture
def pending(store, keys):
    return Pending(store, keys)


async def only_key(store):
    """The one key in the store."""
    (key,) = await store.admin.keys(store.key("*"))
    return key


# A challenge


async def test_challenge_comes_back(pending):
    """A challenge comes back whole: whose it is, what it offers, which server gave it and when."""
    id = new_id()
    await pending.keep_challenge(id, BROWSER, CHALLENGE)
    assert await pending.challenge(id, BROWSER) == CHALLENGE


async def test_challenge_may_be_read_again(pending):
    """A challenge may be read more than once, since a code may be mistyped."""
    id = new_id()
    await pending.keep_challenge(id, BROWSER, CHALLENGE)
    assert [await pending.challenge(id, BROWSER) for _ in range(3)] == [CHALLENGE] * 3


async def test_forgotten_challenge(pending, store):
    """A challenge that is forgotten is gone from the store, and to forget it again is nothing."""
    id = new_id()
    await pending.keep_challenge(id, BROWSER, CHALLENGE)
    await pending.forget_challenge(id, BROWSER)
    with pytest.raises(StepExpired):
        await pending.challenge(id, BROWSER)
    assert await store.admin.keys(store.key("*")) == []
    await pending.forget_challenge(id, BROWSER)


async def test_forgetting_one_challenge_keeps_the_others(pending):
    """To forget one challenge leaves the others where they are."""
    one, other = new_id(), new_id()
    await pending.keep_challenge(one, BROWSER, CHALLENGE)
    await pending.keep_challenge(other, BROWSER, CHALLENGE)
    await pending.forget_challenge(one, BROWSER)
    assert await pending.challenge(other, BROWSER) == CHALLENGE


# A trip


async def test_trip_comes_back(pending):
    """A trip comes back with all that its end needs; the way there is not kept."""
    browser = new_id()
    await pending.keep_trip(browser, trip())
    back = await pending.trip(STATE, browser, take=True)
    assert (back.realm, back.wanted) == ("sso", "/overview")
    assert (back.openid.state, back.openid.redirect_url, back.openid.peer) == (
        STATE,
        "https://gate.example/openid",
        PEER,
    )
    assert back.openid.url == ""


async def test_trip_ends_once(pending, store):
    """A trip that was taken is gone."""
    browser = new_id()
    await pending.keep_trip(browser, trip())
    await pending.trip(STATE, browser, take=True)
    assert await store.admin.keys(store.key("*")) == []
    with pytest.raises(StepExpired):
        await pending.trip(STATE, browser, take=True)


async def test_trip_ends_once_however_many_take_it(pending):
    """Of many who take a trip at the same moment one alone has it."""
    browser = new_id()
    await pending.keep_trip(browser, trip())
    takes = await asyncio.gather(*(pending.trip(STATE, browser, take=True) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(one, Trip) for one in takes) == 1
    assert sum(isinstance(one, StepExpired) for one in takes) == 19


async def test_trip_of_another_browser(pending):
    """No other browser ends a trip, nor takes it away by trying."""
    browser = new_id()
    await pending.keep_trip(browser, trip())
    for other in (new_id(), "", browser[:-1], browser + "x"):
        with pytest.raises(StepExpired):
            await pending.trip(STATE, other, take=True)
    assert await pending.trip(STATE, browser, take=True)


@pytest.mark.parametrize("state", ["", "x", STATE + " ", STATE.upper(), STATE[:-1]])
async def test_trip_with_another_state(pending, state):
    """Another state than the one that went out finds nothing."""
    browser = new_id()
    await pending.keep_trip(browser, trip())
    with pytest.raises(StepExpired):
        await pending.trip(state, browser, take=True)


async def test_trips_of_one_browser(pending):
    """A browser may be on several trips at once, each with a state of its own."""
    browser = new_id()
    for state in ("one", "two"):
        await pending.keep_trip(browser, trip(state))
    assert (await pending.trip("two", browser, take=True)).openid.state == "two"
    assert (await pending.trip("one", browser, take=True)).openid.state == "one"


# In the store


async def kept(pending, kind):
    """Keep one of a kind; how it is read again."""
    if kind == "challenge":
        id = new_id()
        await pending.keep_challenge(id, BROWSER, CHALLENGE)
        return lambda by=pending: by.challenge(id, BROWSER)
    browser = new_id()
    await pending.keep_trip(browser, trip())
    return lambda by=pending: by.trip(STATE, browser, take=True)


@pytest.mark.parametrize(("kind", "seconds"), [("challenge", 300), ("trip", 600)])
async def test_lifetime(pending, store, kind, seconds):
    """A challenge lies in the store for five minutes, a trip for ten, and to read a challenge makes it no younger."""
    read = await kept(pending, kind)
    key = await only_key(store)
    assert seconds - 5 < await store.admin.ttl(key) <= seconds
    if kind == "challenge":
        await store.admin.expire(key, 100)
        await read()
        assert await store.admin.ttl(key) <= 100


@pytest.mark.parametrize("kind", ["challenge", "trip"])
async def test_expired(pending, store, kind):
    """What has run out in the store is a step that took too long."""
    read = await kept(pending, kind)
    await store.admin.pexpire(await only_key(store), 1)
    await asyncio.sleep(0.01)
    with pytest.raises(StepExpired):
        await read()


async def test_nothing_in_clear(pending, store):
    """Neither key nor value in the store shows an id, a state, a name or a secret."""
    id, browser = new_id(), new_id()
    await pending.keep_challenge(id, BROWSER, CHALLENGE)
    await pending.keep_trip(browser, trip())
    keys = await store.admin.keys(store.key("*"))
    assert len(keys) == 2
    for key in keys:
        seen = key + await store.admin.get(key)
        for word in (id, browser, "SECRET", "tfa", "bob", "sso", "csrf", "192.0.2.2", "example", "overview"):
            assert word.encode() not in seen


async def test_challenge_of_another_browser(pending):
    """In another browser, or in none, the id of a challenge finds nothing; in its own it still does."""
    id = new_id()
    await pending.keep_challenge(id, BROWSER, CHALLENGE)
    for browser in ("c" * 43, ""):
        with pytest.raises(StepExpired):
            await pending.challenge(id, browser)
    assert await pending.challenge(id, BROWSER) == CHALLENGE


async def test_wrong_id(pending):
    """Another id finds no challenge."""
    await pending.keep_challenge(new_id(), BROWSER, CHALLENGE)
    for id in (new_id(), "", "x", "../x", "*", "\x00"):
        with pytest.raises(StepExpired):
            await pending.challenge(id, BROWSER)


async def test_copied_to_another_key(pending, store):
    """A challenge that somebody copies to another id's key opens nothing there."""
    mine, theirs = new_id(), new_id()
    await pending.keep_challenge(mine, BROWSER, CHALLENGE)
    place = await only_key(store)
    await pending.keep_challenge(theirs, BROWSER, CHALLENGE)
    (other,) = [key for key in await store.admin.keys(store.key("*")) if key != place]
    await store.admin.copy(place, other, replace=True)
    with pytest.raises(StepExpired):
        await pending.challenge(theirs, BROWSER)
    assert await pending.challenge(mine, BROWSER) == CHALLENGE


async def test_one_kind_is_not_the_other(pending, store):
    """A challenge does not pass for a trip, nor a trip for a challenge, even under the same id."""
    await pending.keep_challenge(STATE, BROWSER, CHALLENGE)
    with pytest.raises(StepExpired):
        await pending.trip(STATE, BROWSER, take=True)
    await pending.keep_trip(BROWSER, trip())
    id = f"{STATE} {BROWSER}"
    await store.admin.copy(pending._key("trip", id), pending._key("challenge", id), replace=True)
    with pytest.raises(StepExpired):
        await pending.challenge(STATE, BROWSER)


def test_key_is_made_of_secret_id_and_kind():
    """The key that seals follows from the server's secret, the id and the kind together: none of them alone opens."""
    one, other = KeyRing(SecretStr(OLD)).first, KeyRing(SecretStr(NEW)).first
    made = [_aes_key(key, kind, id) for key in (one, other) for kind in ("challenge", "trip") for id in ("a", "b")]
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("kind", ["challenge", "trip"])
async def test_another_servers_secret(pending, store, kind):
    """What was sealed with a secret that this server does not know opens nothing."""
    read = await kept(pending, kind)
    with pytest.raises(StepExpired):
        await read(Pending(store, KeyRing(SecretStr(NEW))))


@pytest.mark.parametrize("kind", ["challenge", "trip"])
async def test_change_of_the_secret(store, kind):
    """A step that began before the secret was changed goes on, as long as the older one is still known."""
    read = await kept(Pending(store, KeyRing(SecretStr(OLD))), kind)
    assert await read(Pending(store, KeyRing(SecretStr(f"{NEW},{OLD}"))))


@pytest.mark.parametrize("kind", ["challenge", "trip"])
async def test_sealed_with_the_first_secret(store, kind):
    """A step is sealed with the newest secret."""
    read = await kept(Pending(store, KeyRing(SecretStr(f"{NEW},{OLD}"))), kind)
    assert await read(Pending(store, KeyRing(SecretStr(NEW))))


@pytest.mark.parametrize("kind", ["challenge", "trip"])
@pytest.mark.parametrize("spoil", ["empty", "text", "cut", "bit", "version", "zeros"])
async def test_garbage(pending, store, kind, spoil):
    """What lies in the store and is not what we wrote there is a step that took too long, and no crash."""
    read = await kept(pending, kind)
    key = await only_key(store)
    value = await store.admin.get(key)
    spoilt = {
        "empty": b"",
        "text": b'{"userid":"root@pam"}',
        "cut": value[:-1],
        "bit": value[:-1] + bytes([value[-1] ^ 1]),
        "version": b"\x02" + value[1:],
        "zeros": bytes(len(value)),
    }[spoil]
    await store.admin.set(key, spoilt)
    with pytest.raises(StepExpired):
        await read()


@pytest.mark.parametrize("kind", ["challenge", "trip"])
async def test_key_of_another_type(pending, store, kind):
    """A list where a step should lie is a step that took too long."""
    read = await kept(pending, kind)
    key = await only_key(store)
    await store.admin.delete(key)
    await store.admin.rpush(key, b"x")
    with pytest.raises(StepExpired):
        await read()


async def test_sealed_but_of_another_shape(pending, store, monkeypatch):
    """What is sealed well and has another shape, as from another version, is a step that took too long; no secret
    of it stands in the error."""
    id = new_id()
    monkeypatch.setattr("services.auth.pending._StoredChallenge.model_dump_json", lambda _: '{"ticket":"SECRET"}')
    await pending.keep_challenge(id, BROWSER, CHALLENGE)
    with pytest.raises(StepExpired) as caught:
        await pending.challenge(id, BROWSER)
    assert "SECRET" not in f"{caught.value!r}{caught.value.__cause__!r}"
    assert caught.value.__suppress_context__


async def test_store_down(keys, tmp_path):
    """With the store down each of them says so, and never that a step took too long."""
    down = Pending(Store.open(SecretStr(f"unix://{tmp_path}/none.sock")), keys)
    started = time.monotonic()
    for asked in (
        down.keep_challenge(new_id(), BROWSER, CHALLENGE),
        down.challenge(new_id(), BROWSER),
        down.forget_challenge(new_id(), BROWSER),
        down.keep_trip(new_id(), trip()),
        down.trip(STATE, new_id(), take=True),
    ):
        with pytest.raises(StoreUnavailable):
            await asked
    assert time.monotonic() - started < 3


def test_trip_shows_no_secret():
    """A trip shows neither its state nor the way to the provider when printed."""
    assert "SECRET" not in repr(trip())
