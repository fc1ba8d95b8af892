"""What an older release has left in the store, in cookies and on the disk: read by this one, or cleanly dropped.

`release_0_1_0.json` is what release 0.1.0 wrote, in base64; nobody may ever need to change it. A format that changes
gets a new version, a file of its own here, and what was written before is still read.
"""

import base64
import json
import logging
import time
from pathlib import Path

import pytest
import time_machine
from pydantic import SecretStr

from services.anchors import Anchors
from services.audit import Audit, Event, Kind
from services.auth.limiter import PER_ACCOUNT, Limiter
from services.auth.pending import Pending, _aes_key
from services.errors import CodeRefused, EndReason, InvalidCredentials, SessionEnded, StepExpired, TooManyAttempts
from services.keys import KeyRing, stored_secret
from services.proxmox import Address, Anchor, ApiToken, Challenge, Factors, Peer, Ticket
from services.sealing import VERSION, seal_bytes
from services.sessions import CookieSigner, Limits, ListedSession, Sessions
from services.sessions.record import _record_key, hash_id, unseal
from services.store.connection import Store
from tests import harness

OLD = json.loads((Path(__file__).parent / "release_0_1_0.json").read_text())
ID, TOKEN_SESSION, BROWSER = OLD["id"], OLD["token_session_id"], OLD["browser"]
PREFIX = "release:"
AT = 4_102_444_800.25
"""When everything in there was written: so far ahead that no session of it is ever too old."""

LIMITS = Limits(idle=600, longest=3600, renew_ticket=1800)
TICKET = Ticket(
    userid="alice@pve",
    ticket=SecretStr("PVE:alice@pve:F4865700::signature"),
    csrf_token=SecretStr("F4865700:csrf"),
    issued=AT + 60,
    capabilities={"vms": {"VM.Audit": 1}},
)
TOKEN = ApiToken(tokenid="alice@pve!ci", secret=SecretStr("11111111-2222-3333-4444-555555555555"))
PEER = Peer(address=Address(host="pve.example", port=8006), ip="192.0.2.1")
PLAIN = {"kind": "ticket", "created": AT, "principal": "alice@pve", "secret": "PVE:alice@pve:F4865700::signature"}


@pytest.fixture
def old_keys():
    """Of the secret that release 0.1.0 had."""
    return KeyRing(SecretStr(OLD["secret"]))


@pytest.fixture
async def old(valkey_url, store):
    """A store as release 0.1.0 left it; its `admin` may do everything."""
    opened = Store.open(SecretStr(valkey_url), PREFIX)
    opened.admin = store.admin
    for key, value in OLD["store"].items():
        await put(opened, key, value)
    yield opened
    await store.admin.delete(*await store.admin.keys(f"{PREFIX}*"))
    await opened.aclose()


async def put(store, key, value):
    """Lay a value there: a string, a list or a hash of base64."""
    key = f"{PREFIX}{key}"
    if isinstance(value, str):
        await store.admin.set(key, base64.b64decode(value), ex=3600)
    elif isinstance(value, list):
        await store.admin.rpush(key, *map(base64.b64decode, value))
    else:
        await store.admin.hset(key, mapping={field: base64.b64decode(one) for field, one in value.items()})


def sessions_of(store, keys):
    return Sessions(store, keys, None, LIMITS)  # no Proxmox is asked


def key_of(kind):
    """The one key of a kind in the store."""
    return next(f"{PREFIX}{key}" for key in OLD["store"] if key.startswith(kind))


def record_key(id=ID):
    return f"{PREFIX}session:{{{hash_id(id)}}}"


def sealed(keys, id=ID, version=VERSION, **changed):
    """A record as another release might write it; a value of None leaves the field out."""
    plain = {name: value for name, value in {**PLAIN, **changed}.items() if value is not None}
    value = seal_bytes(json.dumps(plain).encode(), keys.first, _record_key(keys.first, id), record_key(id))
    return bytes([version]) + value[1:]


# ----------------------------------------------------------------------------------------------------------- sessions


@pytest.mark.parametrize(("id", "credential"), [(ID, TICKET), (TOKEN_SESSION, TOKEN)], ids=["ticket", "token"])
async def test_a_session_is_read(old, old_keys, id, credential):
    """A session of release 0.1.0 opens by its id, with its birth and everything of its credential."""
    read = await sessions_of(old, old_keys).read(id)
    assert (read.principal, read.created) == (getattr(credential, "userid", "alice@pve!ci"), AT)
    stored = await old.admin.get(record_key(id))
    assert unseal(stored, old_keys, id, record_key(id)).credential == credential


async def test_a_list_is_read(old, old_keys):
    """The list of an account's sessions says of one from release 0.1.0 what it said there."""
    listed = await sessions_of(old, old_keys).list("alice@pve")
    assert listed == (
        ListedSession(hash=hash_id(ID), principal="alice@pve", started=AT, last_used=AT, address="192.0.2.7",
                      agent="Firefox/140"),
    )  # fmt: skip


async def test_a_browser_is_known(old, old_keys):
    """Who signs in anew in a browser of release 0.1.0 leaves the session that it had there."""
    sessions = sessions_of(old, old_keys)
    await sessions.create(TICKET, address="", agent="", browser=BROWSER)
    with pytest.raises(SessionEnded) as caught:
        await sessions.read(ID)
    assert caught.value.reason is EndReason.SIGNED_OUT


@pytest.mark.parametrize("reason", ["signed-out", "ended", "age", "idle", "rejected"])
async def test_an_end_is_known(old, old_keys, reason):
    """A session that release 0.1.0 ended is over here, for the same reason."""
    await old.admin.set(f"{PREFIX}ended:{{{hash_id(ID)}}}", f"{reason} 0123456789abcdef")
    with pytest.raises(SessionEnded) as caught:
        await sessions_of(old, old_keys).read(ID)
    assert caught.value.reason.value == reason


async def test_the_running_program_knows_them(old, valkey_url, sim):
    """A browser that signed in before the upgrade has its page after it, and finds its session in the list."""
    settings = {"SESSION_SECRET": OLD["secret"], "STORE_PREFIX": PREFIX, "REDIS_URL": valkey_url}
    with harness.proxgate(**settings, **harness.for_proxmox(sim)) as up, up.client() as client:
        signer = CookieSigner(KeyRing(SecretStr(OLD["secret"])), "session", 3600)
        client.cookies.set("proxgate", signer.sign(ID), domain="localhost.local")
        answer = client.get("/sessions", headers=harness.PAGE)
        assert answer.status_code == 200
        assert "alice@pve" in answer.text


# --------------------------------------------------------------------------------------- other releases' own sessions


@pytest.mark.parametrize("changed", [{"added_later": {"a": 1}}, {}], ids=["more than we know", "the least"])
async def test_fields_come_and_go(old, old_keys, changed, caplog):
    """A record with a field that we do not know, or without one that came later, is read without a word."""
    await old.admin.set(record_key(), sealed(old_keys, issued=AT, **changed), ex=3600)
    assert (await sessions_of(old, old_keys).read(ID)).principal == "alice@pve"
    assert not caplog.records


@pytest.mark.parametrize("made", [{"version": 0}, {"version": 2}, {"principal": None}, {"kind": "passkey"}])
async def test_what_cannot_be_read_is_dropped(old, old_keys, made, caplog):
    """A record of another version, or without what it needs, is nobody's session: dropped, and told once."""
    sessions = sessions_of(old, old_keys)
    await old.admin.set(record_key(), sealed(old_keys, **made), ex=3600)
    for _ in range(3):
        with pytest.raises(SessionEnded):
            await sessions.read(ID)
    assert not await old.admin.exists(record_key())
    assert [one.levelno for one in caplog.records] == [logging.ERROR]


async def test_lists_with_more_than_we_know(old, old_keys, caplog):
    """An entry of a list, or an event, of a newer release is shown without what we do not know of it."""
    index, audit = key_of("index:ad80"), key_of("audit:{ad80")
    place = f"{index} {hash_id(ID)}"
    entry = {"principal": "alice@pve", "started": AT, "address": "192.0.2.9", "agent": "", "country": "NZ"}
    event = {"kind": "failure", "principal": "alice@pve", "address": "192.0.2.9", "country": "NZ", "time": AT}
    key = old_keys.first
    await old.admin.hset(index, hash_id(ID), seal_bytes(json.dumps(entry).encode(), key, key.index, place))
    await old.admin.lpush(audit, seal_bytes(json.dumps(event).encode(), key, key.index, audit))
    assert [one.address for one in await sessions_of(old, old_keys).list("alice@pve")] == ["192.0.2.9"]
    recent = await Audit(old, old_keys).recent("alice@pve")
    assert Event(kind=Kind.FAILURE, principal="alice@pve", address="192.0.2.9", time=AT) in recent
    assert not caplog.records


# ------------------------------------------------------------------------------------------- what else the store holds


async def test_events_are_read(old, old_keys):
    """An account's events of release 0.1.0 are told as they were."""
    failed = Event(
        kind=Kind.FAILURE, principal="alice@pve", address="192.0.2.9", outcome="InvalidCredentials", time=AT + 5
    )
    signed_in = Event(
        kind=Kind.SIGN_IN, principal="alice@pve", address="192.0.2.7", session=hash_id(ID)[:12], outcome="ok", time=AT
    )
    assert await Audit(old, old_keys).recent("alice@pve") == (failed, signed_in)


async def test_events_of_another_version_are_left_out(old, old_keys):
    """An event that cannot be read is left out, and the others are told."""
    own = f"{PREFIX}audit:{{{hash_id('alice@pve')}}}:own"
    value = base64.b64decode(OLD["store"][own.removeprefix(PREFIX)][0])
    await old.admin.lpush(own, bytes([2]) + value[1:], b"", b"x")
    assert len(await Audit(old, old_keys).recent("alice@pve")) == 2


async def test_trust_is_read(old, old_keys):
    """What was trusted under release 0.1.0 still is: certificates, and the cluster's authority."""
    assert await Anchors(old, old_keys).read() == {
        "pve.example:8006": Anchor(fingerprint="AB:" * 31 + "AB"),
        "cluster": Anchor(fingerprint="CD:" * 31 + "CD", ca_pem="-----BEGIN CERTIFICATE-----\n"),
    }


async def test_trust_of_another_version_is_none(old, old_keys, caplog):
    """An anchor that cannot be read is not trusted, and that is told once."""
    anchors, trust = Anchors(old, old_keys), f"{PREFIX}trust"
    value = await old.admin.hget(trust, "cluster")
    await old.admin.hset(trust, "cluster", bytes([2]) + value[1:])
    for _ in range(3):
        assert set(await anchors.read()) == {"pve.example:8006"}
    assert len(caplog.records) == 1


async def test_a_code_is_taken(old, old_keys):
    """A code that release 0.1.0 printed is good, once."""
    anchors = Anchors(old, old_keys)
    assert await anchors.redeem(OLD["code"]) == "pve2.example:8006"
    assert (await anchors.read())["pve2.example:8006"] == Anchor(fingerprint="EF:" * 31 + "EF")
    with pytest.raises(CodeRefused):
        await anchors.redeem(OLD["code"])


async def test_half_a_login_goes_on(old, old_keys):
    """Who was between password and code during an upgrade enters the code after it."""
    found = await Pending(old, old_keys).challenge(ID, BROWSER)
    ticket = SecretStr('PVE:!tfa!{"totp"%3Atrue}:x')
    assert found == Challenge(userid="bob@pve", ticket=ticket, factors=Factors(totp=True), peer=PEER, issued=AT)


async def test_a_trip_goes_on(old, old_keys):
    """Who was at the provider during an upgrade comes back to it."""
    trip = await Pending(old, old_keys).trip("the-state", BROWSER, take=True)
    assert (trip.realm, trip.wanted, trip.name) == ("sso", "/guests", "0123456789abcdef")
    assert (trip.openid.redirect_url, trip.openid.peer) == ("https://proxgate.example/login/openid", PEER)


@pytest.mark.parametrize("plain", [b'{"realm":"sso"}', b"[]", None], ids=["too little", "no object", "version 2"])
async def test_steps_that_cannot_be_read(old, old_keys, plain):
    """A step of a sign-in that cannot be read is one that ran out: its person begins anew."""
    key, first = key_of("trip:"), old_keys.first
    value = bytes([2]) + (await old.admin.get(key))[1:]
    if plain is not None:
        value = seal_bytes(plain, first, _aes_key(first, "trip", f"the-state {BROWSER}"), key)
    await old.admin.set(key, value)
    with pytest.raises(StepExpired):
        await Pending(old, old_keys).trip("the-state", BROWSER, take=False)


async def test_failures_and_devices_count_on(old):
    """Failures that release 0.1.0 counted keep a stranger waiting, and the devices that it knew come in."""
    limiter, account = Limiter(old), hash_id("alice@pve")
    now = time.time()
    members = {f"{number:016x}": now for number in range(PER_ACCOUNT)}
    await old.admin.zadd(f"{PREFIX}limit:account:{account}", members)
    await old.admin.zadd(f"{PREFIX}limit:known:{account}", {hash_id(BROWSER): now})
    with pytest.raises(TooManyAttempts):
        async with limiter.attempt("alice@pve", "192.0.2.7"):
            raise InvalidCredentials
    async with limiter.attempt("alice@pve", "192.0.2.7", BROWSER):
        pass


# ------------------------------------------------------------------------------------------------------ in the browser


@pytest.mark.parametrize("purpose", ["session", "browser", "device", "step"])
def test_cookies_are_the_same(old_keys, purpose):
    """Every cookie that release 0.1.0 signed opens, and the same id and time give the same cookie again."""
    signer, given = CookieSigner(old_keys, purpose, 3600), 1_700_000_000
    assert signer.sign(ID, given) == OLD["cookies"][purpose]
    with time_machine.travel(given + 10):
        opened = signer.open(OLD["cookies"][purpose])
        assert (opened.id, opened.given, opened.stale) == (ID, given, False)


# --------------------------------------------------------------------------------------------------------- on the disk


def test_the_secret_in_the_data_directory_is_the_same(tmp_path, old_keys):
    """A secret that release 0.1.0 kept in the data directory gives the same keys."""
    file = tmp_path / "session-secret"
    file.write_text(f"{OLD['secret']}\n")
    file.chmod(0o600)
    assert KeyRing(stored_secret(tmp_path)).first == old_keys.first
    assert old_keys.first.id.hex() == "d016f06b174cf229"
