"""Our own limit on sign-ins: no guess beyond the cap reaches Proxmox, and no outage costs anybody a try."""

import asyncio
import contextlib
import time
import unicodedata

import pytest
import time_machine
from pydantic import SecretStr

from services.auth.limiter import PER_ACCOUNT, PER_ADDRESS, SLOT_SECONDS, SLOTS, WINDOW, Limiter
from services.errors import (
    BadAnswer,
    InvalidCredentials,
    NotTrusted,
    SecondFactorRequired,
    StoreError,
    StoreUnavailable,
    TooManyAttempts,
    Unreachable,
)
from services.store.connection import Store

ALICE, HERE = "alice@pve", "192.0.2.7"


@pytest.fixture
def limiter(store):
    return Limiter(store)


async def guess(limiter, userid=ALICE, address=HERE, outcome=InvalidCredentials):
    """One try that ends so; whether it was let through."""
    reached = False
    try:
        async with limiter.attempt(userid, address):
            reached = True
            if outcome is not None:
                raise outcome  # noqa: TRY301  it ends the try as Proxmox does
    except TooManyAttempts:
        return False
    except Exception as exc:
        if outcome is None or not (exc is outcome or type(exc) is outcome):
            raise
    return reached


async def allowed(limiter, userid=ALICE, address=HERE, most=2 * PER_ADDRESS):
    """How many wrong guesses are let through from here on."""
    return sum([await guess(limiter, userid, address) for _ in range(most)])


async def counters(store):
    """How many tries each counter holds."""
    names = [
        name for kind in ("account", "address") for name in await store._client.keys(store.key("limit", kind, "*"))
    ]
    return {name: await store._client.zcard(name) for name in names}


async def test_cap_of_an_account(limiter):
    """An account may be guessed at so often and no more, from however many addresses."""
    reached = [await guess(limiter, address=f"192.0.2.{number}") for number in range(PER_ACCOUNT + 5)]
    assert reached == [True] * PER_ACCOUNT + [False] * 5


async def test_cap_of_an_address(limiter):
    """An address may guess so often and no more, at however many accounts."""
    reached = [await guess(limiter, f"user{number}@pve") for number in range(PER_ADDRESS + 5)]
    assert reached == [True] * PER_ADDRESS + [False] * 5


async def test_others_are_not_counted_along(limiter):
    """One account's failures at one address stop neither another account elsewhere."""
    await allowed(limiter)
    assert await guess(limiter, "bob@pve", "198.51.100.1", None)


async def test_two_hundred_at_once(limiter):
    """Of two hundred guesses at once no more than the cap reach Proxmox."""
    reached = under_way = 0

    async def one():
        nonlocal reached, under_way
        with contextlib.suppress(InvalidCredentials, TooManyAttempts):
            async with limiter.attempt(ALICE, HERE):
                reached += 1
                await asyncio.sleep(0.005)
                raise InvalidCredentials

    for _ in range(5):
        await asyncio.gather(*(one() for _ in range(200)))
        assert reached <= PER_ACCOUNT
    assert reached + await allowed(limiter) == PER_ACCOUNT


async def test_two_hundred_over_replicas(valkey_url, store):
    """Replicas share their counts: of two hundred guesses over two of them no more than the cap reach Proxmox."""
    beside = Store.open(SecretStr(valkey_url), store.key())
    replicas = [Limiter(store), Limiter(beside)]
    reached = 0
    for _ in range(10):
        reached += sum(await asyncio.gather(*(guess(one) for one in replicas * 10)))
    await beside.aclose()
    assert reached == PER_ACCOUNT


async def test_counts_outlive_a_restart(store):
    """A new limiter on the same store counts on."""
    assert await allowed(Limiter(store)) == PER_ACCOUNT
    assert await allowed(Limiter(store)) == 0


async def test_success_is_no_failure(limiter):
    """However often somebody signs in rightly, it costs no try."""
    for _ in range(2 * PER_ADDRESS):
        assert await guess(limiter, outcome=None)
    assert await allowed(limiter) == PER_ACCOUNT


async def test_success_forgives_nothing(limiter):
    """A right password does not wipe out the failures before it."""
    for _ in range(PER_ACCOUNT - 1):
        await guess(limiter)
    assert await guess(limiter, outcome=None)
    assert await allowed(limiter) == 1


OUTAGES = [
    Unreachable(),
    BadAnswer(),
    NotTrusted("a", "", "unknown"),
    SecondFactorRequired(),
    RuntimeError("a mistake of ours"),
    asyncio.CancelledError(),
]


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda one: type(one).__name__)
async def test_outage_gives_the_try_back(limiter, store, outage):
    """A try that ended otherwise than by Proxmox's no is given back, to the account and to the address."""
    for _ in range(3):
        with contextlib.suppress(BaseException):
            async with limiter.attempt(ALICE, HERE):
                raise outage
    assert not any((await counters(store)).values())
    assert await allowed(limiter) == PER_ACCOUNT


async def test_refusal_of_ours_is_no_failure(limiter, store):
    """To be refused by us neither counts nor prolongs the wait."""
    now = time.time()
    with time_machine.travel(now, tick=False):
        assert await allowed(limiter) == PER_ACCOUNT
    before = await counters(store)
    with time_machine.travel(now + WINDOW - 1, tick=False):
        assert await allowed(limiter) == 0
        assert await counters(store) == before
    with time_machine.travel(now + WINDOW + 1, tick=False):
        assert await allowed(limiter) == PER_ACCOUNT


async def test_failure_counts_for_its_window(limiter):
    """Each failure counts for its window from its own time: never more than the cap in any window."""
    now = time.time()
    with time_machine.travel(now, tick=False):
        await guess(limiter)
    with time_machine.travel(now + WINDOW - 10, tick=False):
        assert await allowed(limiter) == PER_ACCOUNT - 1
    with time_machine.travel(now + WINDOW + 1, tick=False):
        assert await allowed(limiter) == 1


async def test_every_counter_ends(limiter, store):
    """Nothing that is counted lies in the store much longer than it counts."""
    await guess(limiter)
    await guess(limiter, outcome=None)
    for name in await store._client.keys(store.key("*")):
        assert 0 < await store._client.ttl(name) <= 2 * WINDOW


async def test_wait_is_told(limiter):
    """Who is refused is told how long to wait, at least a second; after that long there is a try again."""
    now = time.time()
    with time_machine.travel(now, tick=False):
        await allowed(limiter)
    for later in (1, WINDOW / 2, WINDOW - 0.5):
        with time_machine.travel(now + later, tick=False):
            with pytest.raises(TooManyAttempts) as caught:
                async with limiter.attempt(ALICE, HERE):
                    raise AssertionError("let through")
            assert 1 <= caught.value.retry_after <= WINDOW - later + 1
    with time_machine.travel(now + later + caught.value.retry_after + 0.01, tick=False):
        assert await guess(limiter)


async def test_tries_given_back_late_add_nothing(limiter, store):
    """Tries given back after their window has passed do not add to the next one's."""
    now, go = time.time(), asyncio.Event()

    async def slow():
        async with limiter.attempt(ALICE, HERE):
            await go.wait()

    with time_machine.travel(now, tick=False):
        under_way = [asyncio.create_task(slow()) for _ in range(SLOTS)]
        async with asyncio.timeout(5):
            while await store._client.zcard(store.key("limit", "slots")) < SLOTS:
                await asyncio.sleep(0.01)
    with time_machine.travel(now + WINDOW + 1, tick=False):
        reached = await allowed(limiter, most=PER_ACCOUNT // 2)
        go.set()
        await asyncio.gather(*under_way)
        assert reached + await allowed(limiter) == PER_ACCOUNT


async def test_guesses_refused_while_the_window_passes_add_nothing(limiter, store):
    """Guesses that we refuse just as the window ends do not add to the next one's."""
    await allowed(limiter)
    refused = asyncio.gather(*(guess(limiter) for _ in range(50)))
    for _ in range(20):
        await asyncio.sleep(0)
    await store._client.delete(*await counters(store))
    await refused
    assert await allowed(limiter) <= PER_ACCOUNT


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("alice@pve", "ALICE@pve"),
        ("alice@pve", "alice@PVE"),
        ("straße@ad", "STRASSE@ad"),
        ("zoë@pve", unicodedata.normalize("NFD", "zoë@pve")),
        ("ZOË@pve", unicodedata.normalize("NFD", "zoë@pve")),
        ("\uff41lice@pve", "alice@pve"),
        ("ﬁona@ad", "FIONA@ad"),
        ("σίσυφος@ad", "ΣΊΣΥΦΟΣ@ad"),
        ("\u0390@ad", unicodedata.normalize("NFC", "\u0390@ad".upper())),
        ("\u01f0@ad", "\u01f0@ad".upper()),
        ("\u1e9e@ad", "ss@ad"),
    ],
)
async def test_twins_share_a_counter(limiter, store, one, other):
    """Names that differ only in case or in Unicode form share one counter."""
    await guess(limiter, one, "192.0.2.1")
    await guess(limiter, other, "192.0.2.2")
    assert sorted((await counters(store)).values()) == [1, 1, 2]


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("2001:DB8::1", "2001:db8:0:0::2", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("unix:", "unix:", True),
        ("", "192.0.2.2", False),
    ],
)
async def test_neighbours(limiter, store, one, other, shared):
    """IPv6 counts by the /64, IPv4 by the address, whichever way it is spelt; what is no address counts as it is."""
    await guess(limiter, "a@pve", one)
    await guess(limiter, "b@pve", other)
    assert sorted((await counters(store)).values()) == ([1, 1, 2] if shared else [1, 1, 1, 1])


async def test_counters_name_nobody(limiter, store):
    """No account and no address can be read in the store."""
    await guess(limiter)
    held = b"".join(await store._client.keys(store.key("*")))
    assert b"alice" not in held
    assert HERE.encode() not in held


# --------------------------------------------------------------------------------------------------------------- slots


async def hold(limiter, number, go, inside):
    """Be under way at Proxmox until told to go."""
    async with limiter.attempt(f"user{number}@pve", f"198.51.100.{number}"):
        inside.add(number)
        await go.wait()


async def test_slots(limiter, store):
    """Only so many sign-ins are under way at once; one more is asked to wait, and free again when one is done."""
    go, inside = asyncio.Event(), set()
    under_way = [asyncio.create_task(hold(limiter, number, go, inside)) for number in range(SLOTS)]
    async with asyncio.timeout(5):
        while len(inside) < SLOTS:
            await asyncio.sleep(0.01)
    with pytest.raises(TooManyAttempts) as caught:
        async with limiter.attempt(ALICE, HERE):
            raise AssertionError("let through")
    assert 1 <= caught.value.retry_after <= 10
    go.set()
    await asyncio.gather(*under_way)
    assert await guess(limiter, outcome=None)
    assert await store._client.zcard(store.key("limit", "slots")) == 0


async def test_no_slot_costs_no_try(limiter, store):
    """Who finds no slot free has lost no try."""
    go, inside = asyncio.Event(), set()
    under_way = [asyncio.create_task(hold(limiter, number, go, inside)) for number in range(SLOTS)]
    async with asyncio.timeout(5):
        while len(inside) < SLOTS:
            await asyncio.sleep(0.01)
    for _ in range(PER_ACCOUNT + 5):
        assert not await guess(limiter)
    go.set()
    await asyncio.gather(*under_way)
    assert await allowed(limiter) == PER_ACCOUNT


async def test_slot_is_given_back(limiter, store):
    """A slot is free again however its sign-in ended."""
    for outcome in (None, InvalidCredentials, Unreachable, asyncio.CancelledError):
        with contextlib.suppress(BaseException):
            async with limiter.attempt(f"x{outcome}@pve", HERE):
                if outcome:
                    raise outcome
    assert await store._client.zcard(store.key("limit", "slots")) == 0


async def test_slot_of_the_dead_is_free(limiter, store):
    """The slot of a process that died is free after its lease, and the leases themselves end."""
    key = store.key("limit", "slots")
    seconds, micros = await store._client.time()
    old = seconds + micros / 1e6 - SLOT_SECONDS - 1
    await store._client.zadd(key, {f"dead{number}": old for number in range(SLOTS)})
    assert await guess(limiter, outcome=None)
    assert await store._client.ttl(key) != -1


# ---------------------------------------------------------------------------------------------------------- store down


async def test_store_down_lets_nobody_through(tmp_path):
    """With the store down nobody is let through to Proxmox, and nobody is told to have tried too often."""
    limiter = Limiter(Store.open(SecretStr(f"unix://{tmp_path}/none.sock")))
    with pytest.raises(StoreUnavailable):
        async with limiter.attempt(ALICE, HERE):
            raise AssertionError("let through")


async def test_store_lost_under_way(limiter, store):
    """A store lost while Proxmox is asked does not hide Proxmox's answer."""

    async def lost(operation):
        raise StoreUnavailable

    async def ask():
        async with limiter.attempt(ALICE, HERE):
            store.run = lost
            raise Unreachable

    with pytest.raises(Unreachable):
        await ask()
    del store.run


async def test_poisoned_counter_lets_nobody_through(limiter, store):
    """A counter of a wrong type lets no guess through."""
    await guess(limiter)
    for name in await counters(store):
        await store._client.set(name, "many", ex=60)
    with pytest.raises(StoreError):
        async with limiter.attempt(ALICE, HERE):
            raise AssertionError("let through")
