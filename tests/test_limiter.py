"""Our own limit on sign-ins: no guess beyond the cap reaches Proxmox, and no outage costs anybody a try."""

import asyncio
import contextlib
import itertools
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from pydantic import SecretStr

from services.auth import limiter as module
from services.auth.limiter import (
    DEVICE_SECONDS,
    FIRST_WAIT,
    LONGEST_WAIT,
    MOST_INSIDE,
    PER_ACCOUNT,
    PER_ADDRESS,
    PER_REALM,
    SLOT_RETRY,
    SLOT_SECONDS,
    SLOTS,
    SPARE,
    TRIP_SECONDS,
    WINDOW,
    Limiter,
)
from services.errors import (
    BadAnswer,
    CodeRefused,
    InvalidCredentials,
    NotTrusted,
    Outage,
    StoreCorrupt,
    StoreUnavailable,
    TooManyAttempts,
    Unreachable,
)
from services.store.connection import Store
from tests.session_kit import count_trips

ALICE, HERE = "alice@pve", "192.0.2.7"
DEVICE, OTHER = "d" * 43, "o" * 43


@pytest.fixture
def limiter(store):
    return Limiter(store)


async def guess(limiter, userid=ALICE, address=HERE, outcome=InvalidCredentials, device=""):
    """One try that ends so; whether it was let through."""
    reached = False
    try:
        async with limiter.attempt(userid, address, device):
            reached = True
            if outcome is not None:
                raise outcome  # noqa: TRY301  it ends the try as Proxmox does
    except TooManyAttempts:
        return False
    except Exception as exc:
        if outcome is None or not (exc is outcome or type(exc) is outcome):
            raise
    return reached


async def allowed(limiter, userid=ALICE, address=HERE, most=2 * PER_ADDRESS, device=""):
    """How many wrong guesses are let through from here on."""
    return sum([await guess(limiter, userid, address, device=device) for _ in range(most)])


async def refused(limiter, userid=ALICE, address=HERE, device=""):
    """The seconds to wait that somebody is told who must not be let through."""
    with pytest.raises(TooManyAttempts) as caught:
        async with limiter.attempt(userid, address, device):
            raise AssertionError("let through")
    return caught.value.retry_after


def nearly(wait):
    """So many seconds, some of which a busy machine has let pass."""
    return range(wait - 4, wait + 1)


async def counters(store, *kinds):
    """How many tries each counter holds."""
    names = [
        name
        for kind in kinds or ("account", "address", "device", "errand")
        for name in await store.admin.keys(store.key("limit", f"{kind}*"))
    ]
    return {name: await store.admin.zcard(name) for name in names}


async def later(store, seconds):
    """Let so much time pass: everything counted happened so much longer ago."""
    for name in await store.admin.keys(store.key("limit", "*")):
        for member in await store.admin.zrange(name, 0, -1):
            await store.admin.zincrby(name, -seconds, member)


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
    assert await allowed(limiter) == PER_ACCOUNT
    before = await counters(store)
    await later(store, FIRST_WAIT - 10)
    assert await allowed(limiter) == 0
    assert await counters(store) == before
    await later(store, 10)
    assert await guess(limiter)


async def test_failure_counts_for_its_window(limiter, store):
    """Each failure counts for a window from its own time."""
    await guess(limiter)
    await later(store, WINDOW - 10)
    assert await allowed(limiter) == PER_ACCOUNT - 1
    await later(store, 11)
    assert await allowed(limiter) == 1


async def test_every_counter_ends(limiter, store):
    """Nothing that is counted lies in the store much longer than it counts."""
    await limiter.remember(ALICE, DEVICE)
    await guess(limiter)
    await guess(limiter, device=DEVICE)
    async with limiter.errand(HERE, "sso"), limiter.attempt(ALICE, HERE):
        lives = {name: await store.admin.ttl(name) for name in await store.admin.keys(store.key("*"))}
    counted = {"account": WINDOW, "address": WINDOW, "device": WINDOW, "errand": WINDOW, "trips": TRIP_SECONDS}
    counted |= {"known": DEVICE_SECONDS, "slots": SLOT_SECONDS}
    found = {kind for kind in counted for name in lives if f":limit:{kind}" in name.decode()}
    assert (found, len(lives)) == (set(counted), len(counted))
    for name, life in lives.items():
        (seconds,) = [seconds for kind, seconds in counted.items() if f":limit:{kind}" in name.decode()]
        assert seconds - 5 < life <= seconds + 1


async def test_wait_is_told(limiter, store):
    """Who is refused is told the rest of the wait, in whole seconds and at least one; after it there is a try."""
    await allowed(limiter)
    assert await refused(limiter) in nearly(FIRST_WAIT)
    await later(store, FIRST_WAIT - 10)
    assert 7 <= await refused(limiter) <= 10
    await later(store, 5.5)
    assert 1 <= await refused(limiter) <= 5
    await later(store, 4.5)
    assert await guess(limiter)


async def test_waits_grow(limiter, store):
    """Each failure beyond the limit doubles the wait, up to five minutes."""
    await allowed(limiter)
    waits = []
    for _ in range(5):
        waits.append(await refused(limiter))
        await later(store, waits[-1] - 5)
        assert 1 <= await refused(limiter) <= 5
        await later(store, 5)
        assert await allowed(limiter) == 1
    due = [30, 60, 120, 240, LONGEST_WAIT]
    assert all(told in nearly(wait) for told, wait in zip(waits, due, strict=True))


async def test_waits_of_an_address_grow(limiter, store):
    """An address that has reached its limit waits longer each time, whatever accounts it tries."""
    for number in range(PER_ADDRESS):
        await guess(limiter, f"user{number}@pve")
    waits = []
    for number in range(3):
        waits.append(await refused(limiter, f"other{number}@pve"))
        await later(store, waits[-1])
        assert await guess(limiter, f"other{number}@pve")
    assert all(told in nearly(wait) for told, wait in zip(waits, [30, 60, 120], strict=True))


async def test_waits_shrink_again(limiter, store):
    """Failures older than the window are forgotten, and with them the longer waits."""
    await guess(limiter)
    await later(store, WINDOW - 100)
    assert await allowed(limiter) == PER_ACCOUNT - 1
    await later(store, FIRST_WAIT)
    assert await allowed(limiter) == 1
    assert await refused(limiter) in nearly(2 * FIRST_WAIT)
    await later(store, 2 * FIRST_WAIT)
    assert await allowed(limiter) == 1
    assert await refused(limiter) in nearly(4 * FIRST_WAIT)
    await later(store, 15)
    assert await refused(limiter) in nearly(2 * FIRST_WAIT - 15)


async def test_most_in_any_window(limiter, store):
    """Whoever tries again at every moment that is allowed gets no more than five tries beyond the limit in a window."""
    now, reached = 0, []
    while now < 3 * WINDOW:
        if await guess(limiter):
            reached.append(now)
        else:
            wait = await refused(limiter)
            await later(store, wait)
            now += wait
    assert max(sum(start <= at < start + WINDOW for at in reached) for start in reached) == PER_ACCOUNT + 5


async def test_one_try_after_the_wait(limiter, store):
    """Of many guesses at once after the wait a single one is let through."""
    await allowed(limiter)
    await later(store, FIRST_WAIT)
    assert sum(await asyncio.gather(*(guess(limiter) for _ in range(50)))) == 1


async def test_success_after_the_wait(limiter, store):
    """A right password after the wait takes back its time too: the next try need not wait, nor waits longer."""
    await allowed(limiter)
    await later(store, FIRST_WAIT)
    assert await guess(limiter, outcome=None)
    assert await allowed(limiter) == 1
    assert await refused(limiter) in nearly(2 * FIRST_WAIT)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_time_is_the_stores(limiter, hours):
    """A replica whose clock is wrong counts as all others do."""
    await allowed(limiter)
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=hours)):
        assert await refused(limiter) in nearly(FIRST_WAIT)


async def test_clock_set_back(limiter, store):
    """Failures that seem to come from the future count as of now: no wait is longer than its rule says."""
    await allowed(limiter)
    await later(store, -3600)
    assert await refused(limiter) in nearly(FIRST_WAIT)
    await later(store, FIRST_WAIT)
    assert await allowed(limiter) == 1


async def test_tries_given_back_late_add_nothing(limiter, store):
    """Tries given back after their window has passed do not add to the next one's."""
    go, inside = asyncio.Event(), set()
    under_way = [asyncio.create_task(hold(limiter, number, go, inside, ALICE)) for number in range(SLOTS)]
    await until_inside(inside)
    await later(store, WINDOW + 1)
    reached = await allowed(limiter, most=PER_ACCOUNT // 2)
    go.set()
    await asyncio.gather(*under_way)
    assert reached + await allowed(limiter) == PER_ACCOUNT


async def test_repeated_question_counts_once(limiter, store):
    """A question that the store's client repeats, as its answer was lost, counts once."""
    run = store.run

    async def twice(operation, **_):
        await run(operation)
        return await run(operation)

    store.run = twice
    assert await allowed(limiter) == PER_ACCOUNT


@pytest.mark.parametrize(("one_server", "step"), [(True, 1), (True, 2), (False, 1), (False, 2), (False, 3), (False, 4)])
@pytest.mark.parametrize("cut", [StoreUnavailable, asyncio.CancelledError])
async def test_cut_off_on_the_way_in(limiter, store, one_server, step, cut):
    """Who is cancelled, or loses the store, at whichever question is not let through and leaves nothing counted."""
    store.one_server = one_server
    await limiter.remember(ALICE, DEVICE)
    run, steps = store.run, itertools.count(1)

    async def cut_off(operation, **_):
        answer = await run(operation)
        if next(steps) == step:
            raise cut
        return answer

    store.run = cut_off
    with pytest.raises(cut):
        async with limiter.attempt(ALICE, HERE, DEVICE):
            raise AssertionError("let through")
    del store.run
    assert await counters(store, "account", "address", "device", "slots") == {}


@pytest.mark.parametrize("one_server", [True, False])
async def test_who_is_stopped_counts_no_further(limiter, store, one_server):
    """Who is stopped at a counter is counted in it no more, and in none behind it, not even for a moment."""
    store.one_server = one_server
    for _ in range(PER_ACCOUNT):
        await guess(limiter)
    before, run = await counters(store, "account", "address", "slots"), store.run
    seen = []

    async def looked_at(operation, **_):
        try:
            return await run(operation)
        finally:
            seen.append(await counters(store, "account", "slots"))

    store.run = looked_at
    await refused(limiter)
    del store.run
    assert [list(counted.values()) for counted in seen] == [[PER_ACCOUNT]] * len(seen)
    assert await counters(store, "account", "address", "slots") == before


async def test_stopped_at_the_address(limiter, store):
    """An address that is stopped touches no account's counter, whose owner would wait with it."""
    store.one_server = False
    for number in range(PER_ADDRESS):
        await guess(limiter, f"user{number}@pve")
    asked = scripts(store)
    await refused(limiter)
    assert [key.rpartition(":")[0] for key in asked] == [store.key("limit", "address")]


async def test_a_script_for_each_key(limiter, store):
    """In a cluster no script touches two keys, which may lie on two servers."""
    store.one_server = False
    asked = scripts(store)
    await guess(limiter)
    assert [key.split(":")[2] for key in asked] == ["address", "account", "slots"]


async def test_where_several_servers_pass_for_one(limiter, store, monkeypatch):
    """A store that takes no script over keys of several slots is asked for one after the other, and counts as any."""
    refusal = "redis.error_reply('CROSSSLOT Keys in request do not hash to one slot')"
    monkeypatch.setattr(module, "_ENTER", f"if #KEYS > 1 then return {refusal} end" + module._ENTER)
    assert await allowed(limiter) == PER_ACCOUNT
    asked = scripts(store)
    assert await guess(limiter, "bob@pve")
    assert [key.split(":")[2] for key in asked] == ["address", "account", "slots"]


async def test_one_question_on_one_server(limiter, store):
    """On one server a try asks twice, or thrice from a device that may be known: the counters, and to leave them."""
    assert await count_trips(store, lambda: guess(limiter)) == 2
    assert await count_trips(store, lambda: guess(limiter, device=DEVICE)) == 3


def scripts(store):
    """The key of each script that runs from here on; of one with more keys the test fails."""
    run, asked = store._client.eval, []

    async def listed(script, number, *values):
        assert number == 1
        asked.append(values[0])
        return await run(script, number, *values)

    store._client.eval = listed
    return asked


async def test_guesses_refused_while_the_window_passes_add_nothing(limiter, store):
    """Guesses that we refuse just as the window ends do not add to the next one's."""
    await allowed(limiter)
    waiting = asyncio.gather(*(guess(limiter) for _ in range(50)))
    for _ in range(20):
        await asyncio.sleep(0)
    await store.admin.delete(*await counters(store))
    await waiting
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


async def test_realms_count_apart(limiter, store):
    """One name in two realms is two accounts, each with a counter of its own."""
    await guess(limiter, "alice@pve", "192.0.2.1")
    await guess(limiter, "alice@pam", "192.0.2.1")
    assert sorted((await counters(store)).values()) == [1, 1, 2]
    assert list((await counters(store, "address")).values()) == [2]


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
    """No account, no address and no device can be read in the store."""
    await limiter.remember(ALICE, DEVICE)
    await guess(limiter)
    await guess(limiter, device=DEVICE)
    async with limiter.errand(HERE, "sso"):
        pass
    names = await store.admin.keys(store.key("*"))
    held = b"".join(names + [one for name in names for one in await store.admin.zrange(name, 0, -1)])
    assert len(names) == 6
    for secret in (ALICE, HERE, DEVICE):
        assert secret.encode() not in held


# ------------------------------------------------------------------------------------------------------------- devices


async def test_strangers_do_not_lock_out_the_owner(limiter):
    """Strangers' failures do not stop a device that has signed in to the account before."""
    await limiter.remember(ALICE, DEVICE)
    assert await allowed(limiter) == PER_ACCOUNT
    assert await guess(limiter, device=DEVICE)
    assert await guess(limiter, address="198.51.100.1", device=DEVICE, outcome=None)


async def test_cap_of_a_known_device(limiter, store):
    """A device that is known may guess as often as all strangers together, and then waits as they do."""
    await limiter.remember(ALICE, DEVICE)
    assert await allowed(limiter, device=DEVICE) == PER_ACCOUNT
    assert await refused(limiter, device=DEVICE) in nearly(FIRST_WAIT)
    assert await allowed(limiter, address="198.51.100.1") == PER_ACCOUNT
    await later(store, FIRST_WAIT)
    assert await allowed(limiter, device=DEVICE) == 1


async def test_known_devices_count_apart(limiter):
    """Of two known devices neither is stopped by the other's failures."""
    await limiter.remember(ALICE, DEVICE)
    await limiter.remember(ALICE, OTHER)
    await allowed(limiter, device=DEVICE)
    assert await guess(limiter, device=OTHER)


async def test_known_for_two_accounts(limiter):
    """A known device's failures at one account do not stop it at another that knows it."""
    await limiter.remember(ALICE, DEVICE)
    await limiter.remember("bob@pve", DEVICE)
    await allowed(limiter, device=DEVICE)
    assert await guess(limiter, "bob@pve", device=DEVICE)


async def test_unknown_devices_are_strangers(limiter):
    """Devices that have not signed in to the account share one counter, however many they are."""
    await limiter.remember(ALICE, OTHER)
    assert sum([await guess(limiter, device=f"{number:043}") for number in range(PER_ADDRESS)]) == PER_ACCOUNT


async def test_known_for_another_account(limiter):
    """To have signed in to one account makes a device no less a stranger to another."""
    await limiter.remember("mallory@pve", DEVICE)
    await allowed(limiter)
    assert not await guess(limiter, device=DEVICE)


async def test_no_device_is_never_known(limiter):
    """Who sends no device is a stranger, even if that was remembered by mistake."""
    await limiter.remember(ALICE, "")
    await guess(limiter, device="")
    assert await allowed(limiter, device=DEVICE) == PER_ACCOUNT - 1


async def test_known_by_any_spelling(limiter):
    """A device is known for an account however its owner writes it, and counts on for all spellings together."""
    await limiter.remember(ALICE, DEVICE)
    assert await guess(limiter, "Alice@PVE", device=DEVICE)
    await allowed(limiter)
    assert await allowed(limiter, "ALICE@pve", "198.51.100.1", device=DEVICE) == PER_ACCOUNT - 1


async def test_address_stops_known_devices_too(limiter):
    """The limit of an address holds for everybody."""
    await limiter.remember(ALICE, DEVICE)
    for number in range(PER_ADDRESS):
        await guess(limiter, f"user{number}@pve")
    assert not await guess(limiter, device=DEVICE)


async def test_device_is_forgotten(limiter, store):
    """A device is a stranger again when its latest sign-in is longer ago than it is known for."""
    await limiter.remember(ALICE, DEVICE)
    await limiter.remember(ALICE, OTHER)
    await later(store, DEVICE_SECONDS - 10)
    await limiter.remember(ALICE, OTHER)
    await allowed(limiter)
    assert await guess(limiter, device=DEVICE)
    await later(store, 15)
    assert not await guess(limiter, device=DEVICE)
    assert await guess(limiter, device=OTHER)


async def test_devices_of_an_account_are_bounded(limiter, store):
    """However often somebody signs in without cookies, the store holds so many devices and no more: the latest."""
    for number in range(SPARE + 5):
        await limiter.remember(ALICE, f"{number:043}")
    assert list((await counters(store, "known")).values()) == [SPARE]
    await allowed(limiter)
    assert not await guess(limiter, device=f"{4:043}")
    assert await guess(limiter, device=f"{5:043}")


# -------------------------------------------------------------------------------------------------------------- OpenID


async def start(limiter, address=HERE, outcome=None, realm="sso"):
    """One start of an OpenID trip that ends so; whether it was let through."""
    reached = False
    with contextlib.suppress(TooManyAttempts, Unreachable):
        async with limiter.errand(address, realm):
            reached = True
            if outcome is not None:
                raise outcome
    return reached


async def test_account_not_known(limiter, store):
    """Who returns from a provider counts on the address alone, and so do all who do."""
    assert await allowed(limiter, "") == PER_ADDRESS
    assert list((await counters(store)).values()) == [PER_ADDRESS]


@pytest.mark.parametrize("outcome", [None, Unreachable])
async def test_cap_of_errands(limiter, store, outcome):
    """An address may start so many trips and no more, however they end, and then waits as for failures."""
    assert sum([await start(limiter, outcome=outcome) for _ in range(PER_ADDRESS + 5)]) == PER_ADDRESS
    assert await start(limiter, "198.51.100.1")
    await later(store, FIRST_WAIT)
    assert sum([await start(limiter) for _ in range(5)]) == 1


async def test_cap_of_a_realm(limiter):
    """A realm is never asked for so many trips that Proxmox, which takes a hundred, would take no more."""
    started = [await start(limiter, f"192.0.2.{number}") for number in range(PER_REALM + 5)]
    assert sum(started) == PER_REALM
    assert await start(limiter, realm="other")


async def test_errands_count_apart(limiter):
    """Starts are no failures, and failures no starts."""
    for _ in range(PER_ADDRESS):
        await start(limiter)
    assert await allowed(limiter, "") == PER_ADDRESS
    assert await start(limiter, "198.51.100.1")
    await allowed(limiter, "", "198.51.100.2")
    assert await start(limiter, "198.51.100.2")


async def test_errand_takes_a_slot(limiter, store):
    """A start holds a slot while it is under way, and one that finds none free is not counted."""
    async with limiter.errand(HERE, "sso"):
        assert await counters(store, "slots") == {store.key("limit", "slots").encode(): 1}
    assert await counters(store, "slots") == {}
    go, inside = asyncio.Event(), set()
    under_way = [asyncio.create_task(hold(limiter, number, go, inside)) for number in range(SLOTS)]
    await until_inside(inside)
    assert not await start(limiter)
    go.set()
    await asyncio.gather(*under_way)
    assert sum((await counters(store, "errand")).values()) == 1


# --------------------------------------------------------------------------------------------------------------- slots


async def hold(limiter, number, go, inside, userid=None):
    """Be under way at Proxmox until told to go."""
    async with limiter.attempt(userid or f"user{number}@pve", f"198.51.100.{number}"):
        inside.add(number)
        await go.wait()


async def until_inside(inside):
    """Wait until every slot is taken."""
    async with asyncio.timeout(5):
        while len(inside) < SLOTS:
            await asyncio.sleep(0.01)


async def test_slots(limiter, store):
    """Only so many sign-ins are under way at once; one more is asked to wait, and free again when one is done."""
    go, inside = asyncio.Event(), set()
    under_way = [asyncio.create_task(hold(limiter, number, go, inside)) for number in range(SLOTS)]
    await until_inside(inside)
    assert await refused(limiter) == SLOT_RETRY
    go.set()
    await asyncio.gather(*under_way)
    assert await guess(limiter, outcome=None)
    assert await store.admin.zcard(store.key("limit", "slots")) == 0


async def test_no_slot_costs_no_try(limiter, store):
    """Who finds no slot free has lost no try."""
    go, inside = asyncio.Event(), set()
    under_way = [asyncio.create_task(hold(limiter, number, go, inside)) for number in range(SLOTS)]
    await until_inside(inside)
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
    assert await store.admin.zcard(store.key("limit", "slots")) == 0


async def test_slot_of_the_dead_is_free(limiter, store):
    """The slot of a process that died is taken until its lease ends, and then free."""
    go, inside = asyncio.Event(), set()
    under_way = [asyncio.create_task(hold(limiter, number, go, inside)) for number in range(SLOTS)]
    await until_inside(inside)
    await later(store, SLOT_SECONDS - 1)
    assert not await guess(limiter, outcome=None)
    await later(store, 1)
    assert await guess(limiter, outcome=None)
    go.set()
    await asyncio.gather(*under_way)


# -------------------------------------------------------------------------------------------------------------- trials


async def tried(limiter, address=HERE, outcome=CodeRefused):
    """One guess at a code that ends so; whether it was let through."""
    try:
        async with limiter.trial(address):
            if outcome is not None:
                raise outcome  # noqa: TRY301  it ends the trial as the code's own check does
    except TooManyAttempts:
        return False
    except Exception as exc:
        if outcome is None or type(exc) is not outcome:
            raise
    return True


async def test_cap_of_refused_codes(limiter, store):
    """An address may send so many wrong codes and no more; they count with its failed sign-ins, and on no account."""
    await guess(limiter)
    reached = [await tried(limiter) for _ in range(PER_ADDRESS + 4)]
    assert reached == [True] * (PER_ADDRESS - 1) + [False] * 5
    assert not await guess(limiter, "bob@pve")
    assert sorted((await counters(store)).values()) == [1, PER_ADDRESS]
    assert await tried(limiter, "198.51.100.1")


@pytest.mark.parametrize("outcome", [None, StoreUnavailable, InvalidCredentials])
async def test_codes_not_refused_cost_no_try(limiter, store, outcome):
    """A right code, and one that nobody could judge, cost the address nothing."""
    for _ in range(3):
        assert await tried(limiter, outcome=outcome)
    assert not any((await counters(store)).values())


async def test_codes_take_no_slot(limiter, store):
    """A code is judged by us, so neither does it take one of the slots nor need one to be free."""
    async with limiter.trial(HERE):
        assert await counters(store, "slots") == {}
    go, inside = asyncio.Event(), set()
    under_way = [asyncio.create_task(hold(limiter, number, go, inside)) for number in range(SLOTS)]
    await until_inside(inside)
    assert await tried(limiter)
    go.set()
    await asyncio.gather(*under_way)


# ------------------------------------------------------------------------------------------------------------ the door


@contextlib.contextmanager
def slow(store):
    """From now on the store answers nobody until told to go; what it was asked."""
    run, go, asked = store.run, asyncio.Event(), []

    async def wait(operation, **_):
        asked.append(operation)
        await go.wait()
        return await run(operation)

    store.run = wait
    try:
        yield go, asked
    finally:
        go.set()
        del store.run


@pytest.mark.parametrize(
    ("most", "place"), [(MOST_INSIDE, "198.51.100.{}"), (SLOTS, "198.51.100.1"), (SLOTS, "2001:db8::{}")]
)
@pytest.mark.parametrize("way", ["attempt", "errand"])
async def test_burst_is_refused_at_the_door(limiter, store, way, most, place):
    """Only so many are looked at at once, of one network half of them; the others cost the store not a word."""
    ask = guess if way == "attempt" else start
    with slow(store) as (go, asked):
        inside = [asyncio.create_task(ask(limiter, address=place.format(n), outcome=None)) for n in range(most)]
        await asyncio.sleep(0)
        assert len(asked) == most
        outside = [asyncio.create_task(refused(limiter, address=place.format(n))) for n in range(most, most + 3)]
        await asyncio.sleep(0)
        assert len(asked) == most
        assert await asyncio.gather(*outside) == [SLOT_RETRY] * 3
        go.set()
        await asyncio.gather(*inside)
    assert await guess(limiter, address=place.format(0), outcome=None)


async def test_one_network_leaves_room_for_others(limiter, store):
    """While one network has all the room that it may, others are still looked at."""
    with slow(store) as (go, asked):
        inside = [asyncio.create_task(guess(limiter, outcome=None)) for _ in range(SLOTS)]
        other = asyncio.create_task(guess(limiter, address="198.51.100.1", outcome=None))
        await asyncio.sleep(0)
        assert len(asked) == SLOTS + 1
        go.set()
        await asyncio.gather(*inside, other)


# ---------------------------------------------------------------------------------------------------------- store down


async def test_store_down_lets_nobody_through(tmp_path):
    """With the store down nobody is let through to Proxmox, and nobody is told to have tried too often."""
    limiter = Limiter(Store.open(SecretStr(f"unix://{tmp_path}/none.sock")))
    with pytest.raises(StoreUnavailable):
        async with limiter.attempt(ALICE, HERE):
            raise AssertionError("let through")


async def test_store_lost_under_way(limiter, store):
    """A store lost while Proxmox is asked does not hide Proxmox's answer."""

    async def lost(operation, **_):
        raise StoreUnavailable

    async def ask():
        async with limiter.attempt(ALICE, HERE):
            store.run = lost
            raise Unreachable

    with pytest.raises(Unreachable):
        await ask()
    del store.run


POISONED = ["account", "address", "device", "known", "slots"]


@pytest.mark.parametrize("kind", POISONED)
async def test_poisoned_counter_lets_nobody_through(limiter, store, kind):
    """A counter of a wrong type lets no guess through, and the tries at the others are taken back."""
    await limiter.remember(ALICE, DEVICE)
    device = "" if kind == "account" else DEVICE
    async with limiter.attempt(ALICE, HERE, device):
        (name,) = await store.admin.keys(store.key("limit", f"{kind}*"))
    await store.admin.set(name, "many", ex=60)
    with pytest.raises(StoreCorrupt):
        async with limiter.attempt(ALICE, HERE, device):
            raise AssertionError("let through")
    assert await store.admin.delete(name)
    assert await counters(store, "account", "address", "device", "slots") == {}


async def test_poisoned_errands(limiter, store):
    """A counter of a wrong type lets no trip start."""
    await start(limiter)
    (name,) = await counters(store)
    await store.admin.set(name, "many", ex=60)
    with pytest.raises(StoreCorrupt):
        async with limiter.errand(HERE, "sso"):
            raise AssertionError("let through")


async def test_one_network_leaves_room(limiter, store):
    """However many tries one network has under way, others are still looked at."""
    go, inside = asyncio.Event(), set()

    async def flood(number):
        with contextlib.suppress(TooManyAttempts):
            async with limiter.attempt("", f"2001:db8::{number}"):
                inside.add(number)
                await go.wait()

    store.run, run = slowly(store.run), store.run
    flooding = [asyncio.create_task(flood(number)) for number in range(3 * SLOTS)]
    await asyncio.sleep(0)
    try:
        async with limiter.trial(HERE):
            pass
        assert limiter._inside.total() == SLOTS
        with pytest.raises(TooManyAttempts):
            await limiter.attempt("", "2001:db8::ffff").__aenter__()
        door = limiter._door(HERE)
        with door:
            assert limiter._inside.total() == SLOTS + 1
    finally:
        go.set()
        store.run = run
        await asyncio.gather(*flooding)
    assert limiter._inside.total() == 0


def slowly(run):
    async def slow(operation, **_):
        await asyncio.sleep(0.05)
        return await run(operation)

    return slow


async def test_silence_is_forgiven_so_often(limiter):
    """Questions that Proxmox did not answer in time may be wrong guesses: beyond the cap they count as failures."""
    silent = Unreachable("no answer in time", Outage.SILENT)
    reached = [await guess(limiter, outcome=silent) for _ in range(2 * PER_ACCOUNT + 1)]
    assert reached == [True] * 2 * PER_ACCOUNT + [False]


@pytest.mark.parametrize("outage", [Unreachable("", Outage.REFUSED), Unreachable("", Outage.SILENT, sent=False)])
async def test_other_outages_cost_nothing(limiter, outage):
    """However often no connection could be made, nobody has to wait."""
    for _ in range(3 * PER_ACCOUNT):
        assert await guess(limiter, outcome=outage)


async def test_silence_at_one_return_is_nobody_elses(limiter):
    """Who comes back from a provider to a silent Proxmox is forgiven by address, and uses up no one else's part."""
    silent = Unreachable("", Outage.SILENT)
    for number in range(3 * PER_ACCOUNT):
        assert await guess(limiter, "", f"192.0.2.{number}", silent)
    addresses = [name for name in await counters(limiter._store) if b":address:" in name]
    assert addresses == []


async def test_trips_that_ended_are_not_under_way(limiter):
    """Only trips under way count towards what Proxmox takes of a realm."""
    for number in range(PER_REALM + 5):
        async with limiter.errand(f"192.0.2.{number}", "sso") as name:
            pass
        await limiter.arrived("sso", name)
