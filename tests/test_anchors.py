"""What was trusted at first use: shared through the store, sealed for its place, and codes that are good once."""

import asyncio
import logging
import re
import time

import pytest
import time_machine
from pydantic import SecretStr

from services.anchors import CODE_SECONDS, Anchors
from services.errors import CodeRefused, Distrust, Held, NotTrusted, StoreUnavailable
from services.keys import KeyRing
from services.proxmox import Anchor, Proxmox, Trust
from services.proxmox.trust import CLUSTER
from services.sealing import seal_bytes
from services.store.connection import Store
from tests import harness

ONE, OTHER = Anchor(fingerprint=":".join(["AB"] * 32)), Anchor(fingerprint=":".join(["CD"] * 32))
AUTHORITY = Anchor(fingerprint=ONE.fingerprint, ca_pem="-----BEGIN CERTIFICATE-----\n")
NEW_SECRET = "a newer secret of the tests that is long enough 0123"


@pytest.fixture
def anchors(store, keys):
    """The anchors of one replica."""
    return Anchors(store, keys)


@pytest.fixture
def raw(store):
    """The store as somebody with its password sees it."""

    def do(name, *arguments):
        return getattr(store.admin, name)(*arguments)

    return do


@pytest.fixture(scope="module")
def pve():
    """A simulated Proxmox of this module's own, whose certificate is exchanged."""
    with harness.simulator() as running:
        yield running


# Kept


async def test_replicas_share(anchors, store, keys):
    """What one replica is told to trust, another reads, the cluster's authority with its certificate."""
    await anchors.keep("pve:8006", ONE)
    await anchors.keep(CLUSTER, AUTHORITY)
    assert await Anchors(store, keys).read() == {"pve:8006": ONE, CLUSTER: AUTHORITY}


async def test_a_later_word_counts(anchors):
    """Of two anchors for one address the later is held to."""
    await anchors.keep("pve:8006", ONE)
    await anchors.keep("pve:8006", OTHER)
    assert await anchors.read() == {"pve:8006": OTHER}


async def test_forgotten(anchors):
    """What is forgotten is read no more, and forgetting tells whether there was anything."""
    await anchors.keep("pve:8006", ONE)
    assert await anchors.forget("pve:8006") is True
    assert await anchors.read() == {}
    assert await anchors.forget("pve:8006") is False


async def test_kept_for_good(anchors, store, raw):
    """Anchors do not run out."""
    await anchors.keep("pve:8006", ONE)
    assert await raw("ttl", store.key("trust")) == -1


# Sealed


@pytest.mark.parametrize(
    "planted", [b"", b"\x01", ONE.fingerprint.encode(), b'{"fingerprint":"%s"}' % ONE.fingerprint.encode()]
)
async def test_planted(anchors, store, raw, planted, caplog):
    """What somebody else wrote is left out, told in the log once, and hides nothing of ours."""
    await anchors.keep("pve:8006", ONE)
    await raw("hset", store.key("trust"), "evil\n:8006", planted)
    for _ in range(3):
        assert await anchors.read() == {"pve:8006": ONE}
    assert caplog.text.count("does not open") == 1


async def test_swapped(anchors, store, raw):
    """An entry that is put at another address is left out there."""
    await anchors.keep("pve:8006", ONE)
    value = await raw("hget", store.key("trust"), "pve:8006")
    for place in ("evil:8006", CLUSTER):
        await raw("hset", store.key("trust"), place, value)
    assert await anchors.read() == {"pve:8006": ONE}


async def test_from_another_prefix(anchors, store, keys, valkey_url, raw):
    """An entry of another installation with the same secret is left out."""
    await anchors.keep("pve:8006", ONE)
    value = await raw("hget", store.key("trust"), "pve:8006")
    beside = Store.open(SecretStr(valkey_url), store.key("beside:"))
    try:
        await beside.run(lambda client: client.hset(beside.key("trust"), "pve:8006", value))
        assert await Anchors(beside, keys).read() == {}
    finally:
        await beside.aclose()


async def test_foreign_key(anchors, store):
    """An entry that another secret sealed is left out."""
    await Anchors(store, KeyRing(SecretStr(NEW_SECRET))).keep("pve:8006", ONE)
    assert await anchors.read() == {}


@pytest.mark.parametrize("key", ["nothing", "record", "index", "cookie"])
async def test_key_of_another_purpose(anchors, store, keys, raw, key):
    """An entry that names the right secret is left out all the same, sealed under a key for something else."""
    aes_key = getattr(keys.first, key, bytes(32))
    plain = b'{"fingerprint":"%s"}' % ONE.fingerprint.encode()
    value = seal_bytes(plain, keys.first, aes_key, f"{store.key('trust')} pve:8006")
    await raw("hset", store.key("trust"), "pve:8006", value)
    assert await anchors.read() == {}


async def test_an_offer_is_no_anchor(anchors, store, raw):
    """The sealed offer behind a code cannot be planted as an anchor."""
    await anchors.offer("pve:8006", ONE.fingerprint)
    (key,) = [key async for key in _keys(store, "trust-code:*")]
    await raw("hset", store.key("trust"), "pve:8006", await raw("get", key))
    assert await anchors.read() == {}


async def test_anchors_outlive_a_change_of_secret(anchors, store, keys):
    """Read once while both secrets are set, an anchor is good after the old secret has gone."""
    await anchors.keep("pve:8006", ONE)
    both = KeyRing(SecretStr(f"{NEW_SECRET},{harness.SECRET}"))
    assert await Anchors(store, both).read() == {"pve:8006": ONE}
    assert await Anchors(store, KeyRing(SecretStr(NEW_SECRET))).read() == {"pve:8006": ONE}


async def test_store_down(keys):
    """With the store down nothing is read, and that is no empty answer."""
    store = Store.open(SecretStr(f"redis://127.0.0.1:{harness.free_port()}"))
    down = Anchors(store, keys)
    for call in (down.read(), down.redeem("0000-0000-0000-0000")):
        with pytest.raises(StoreUnavailable):
            await call
    await store.aclose()


# Codes


async def _keys(store, pattern):
    found = await store.admin.keys(store.key(pattern))
    for key in found:
        yield key


async def test_code(anchors):
    """A code is four groups of four, and trusts just the certificate and the address it was made for."""
    code = await anchors.offer("pve:8006", ONE.fingerprint)
    assert re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}", code)
    assert await anchors.redeem(code) == "pve:8006"
    assert await anchors.read() == {"pve:8006": ONE}


async def test_code_once(anchors, store, keys):
    """A code is good once, on all replicas together."""
    code = await anchors.offer("pve:8006", ONE.fingerprint)
    replicas = [Anchors(store, keys) for _ in range(8)]
    results = await asyncio.gather(*(one.redeem(code) for one in replicas), return_exceptions=True)
    assert sorted(map(str, results)) == [""] * 7 + ["pve:8006"]
    assert sum(isinstance(result, CodeRefused) for result in results) == 7


async def test_a_store_that_fails_keeps_the_code(anchors, raw):
    """A store that is full when a code is redeemed costs nobody the code: it trusts once there is room."""
    code = await anchors.offer("pve:8006", ONE.fingerprint)
    await raw("config_set", "maxmemory", "1")
    try:
        with pytest.raises(StoreUnavailable):
            await anchors.redeem(code)
    finally:
        await raw("config_set", "maxmemory", "0")
    assert await anchors.read() == {}
    assert await anchors.redeem(code) == "pve:8006"
    assert await anchors.read() == {"pve:8006": ONE}


@pytest.mark.parametrize(
    "typed",
    [
        str.lower,
        lambda code: code.replace("-", ""),
        lambda code: f"  {code.replace('-', ' ')}\n",
        lambda code: code.replace("0", "o").replace("1", "l"),
        lambda code: code.replace("0", "O").replace("1", "I"),
    ],
    ids=["lower", "bare", "spaces", "o and l", "O and I"],
)
async def test_code_as_typed(anchors, typed, monkeypatch):
    """Case, dashes, spaces and letters that look like digits do not matter."""
    letters = iter("01ABCDEF01GHJKMN")
    monkeypatch.setattr("services.anchors.secrets.choice", lambda _: next(letters))
    code = await anchors.offer("pve:8006", ONE.fingerprint)
    assert await anchors.redeem(typed(code)) == "pve:8006"


@pytest.mark.parametrize(
    "code", ["", "0000-0000-0000-000", "0" * 17, "U000-0000-0000-0000", "\u0660" * 16, "\x00", "0" * 16]
)
async def test_no_code(anchors, code):
    """What was never made, or can be no code, is refused."""
    await anchors.offer("pve:8006", ONE.fingerprint)
    with pytest.raises(CodeRefused):
        await anchors.redeem(code)


async def test_code_bound(anchors, store, raw):
    """An offer that is put behind another code is refused."""
    mine = await anchors.offer("pve:8006", ONE.fingerprint)
    (key,) = [key async for key in _keys(store, "trust-code:*")]
    other = await anchors.offer("evil:8006", OTHER.fingerprint)
    (evil,) = [found async for found in _keys(store, "trust-code:*") if found != key]
    await raw("set", key, await raw("get", evil))
    with pytest.raises(CodeRefused):
        await anchors.redeem(mine)
    assert await anchors.redeem(other) == "evil:8006"


async def test_code_a_day(anchors, store, raw):
    """A code is good for a day, also where the store is made to keep it."""
    code = await anchors.offer("pve:8006", ONE.fingerprint)
    (key,) = [key async for key in _keys(store, "trust-code:*")]
    assert CODE_SECONDS - 5 < await raw("ttl", key) <= CODE_SECONDS == 86_400
    await raw("persist", key)
    with time_machine.travel(time.time() + CODE_SECONDS + 1), pytest.raises(CodeRefused):
        await anchors.redeem(code)


async def test_code_is_not_in_the_store(anchors, store, raw):
    """Neither the code nor what it stands for can be read in the store."""
    code = await anchors.offer("pve:8006", ONE.fingerprint)
    (key,) = [key async for key in _keys(store, "trust-code:*")]
    lying = key + await raw("get", key)
    assert not [word for word in (code, code.replace("-", ""), "pve:8006", "AB:AB") if word.encode() in lying]


# Held to


async def test_a_new_anchor_counts_at_once(anchors, pve):
    """A client that refused a certificate takes it as soon as it is trusted, and without being told."""
    async with Proxmox([pve.address], Trust(), anchors=anchors.read) as proxmox:
        with pytest.raises(NotTrusted) as refused:
            await proxmox.realms()
        assert (refused.value.reason, refused.value.fingerprint) == (Distrust.UNKNOWN, pve.fingerprint)
        await anchors.keep(str(pve.address), Anchor(fingerprint=pve.fingerprint))
        assert await proxmox.realms()


async def test_a_changed_certificate(anchors, pve, caplog):
    """A certificate that changes stops every call, with both fingerprints in the log, until it too is trusted."""
    before = pve.fingerprint
    await anchors.keep(str(pve.address), Anchor(fingerprint=before))
    async with Proxmox([pve.address], Trust(), anchors=anchors.read) as proxmox:
        await proxmox.realms()
    pve.replace_certificate()
    received = len(pve.requests)
    async with Proxmox([pve.address], Trust(), anchors=anchors.read) as proxmox:
        with caplog.at_level(logging.ERROR), pytest.raises(NotTrusted) as refused:
            await proxmox.sign_in("root@pam", SecretStr("demo"))
        assert refused.value.reason is Distrust.CHANGED
        assert len(pve.requests) == received
        assert before in caplog.text
        assert pve.fingerprint in caplog.text
        await anchors.keep(str(pve.address), Anchor(fingerprint=pve.fingerprint))
        await proxmox.sign_in("root@pam", SecretStr("demo"))


async def test_a_code_is_for_the_first_use(anchors):
    """A code that was printed before something was trusted there replaces nothing."""
    code = await anchors.offer("pve:8006", "AA:BB")
    await anchors.keep("pve:8006", Anchor(fingerprint="CC:DD"))
    with pytest.raises(CodeRefused):
        await anchors.redeem(code)
    assert (await anchors.read())["pve:8006"].fingerprint == "CC:DD"


async def test_the_authority_covers_renewed_certificates(anchors, pve):
    """Under the cluster's authority a renewed certificate is taken as it comes, and a stranger's is not."""
    pve.renew_certificate()
    await anchors.keep(CLUSTER, Anchor(fingerprint=pve.ca_fingerprint, ca_pem=pve.ca_pem))
    for _ in range(2):
        async with Proxmox([pve.address], Trust(), anchors=anchors.read) as proxmox:
            await proxmox.realms()
        pve.renew_certificate()
    pve.replace_certificate()
    async with Proxmox([pve.address], Trust(), anchors=anchors.read) as proxmox:
        with pytest.raises(NotTrusted) as refused:
            await proxmox.realms()
    assert (refused.value.held, refused.value.expected) == (Held.AUTHORITY, (pve.ca_fingerprint,))
