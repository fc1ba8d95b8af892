"""Audit: one line an event that nothing from outside can fake or flood, and each account's own last events."""

import json
import logging
import time

import pytest
from pydantic import SecretStr

from services import logs
from services.audit import KEPT_SECONDS, MOST_KEPT, Audit, Event, Kind
from services.auth.limiter import PER_ACCOUNT
from services.errors import StoreUnavailable
from services.keys import KeyRing
from services.logs import JsonFormatter, TextFormatter
from services.store.connection import Store
from tests import harness
from tests.harness import PAGE, sign_in, until
from tests.socket_client import Poller, cookies_of, load, query_of, refused

ALICE, BOB = "alice@pve", "bob@pve"
OLD, NEW = "the older secret of the tests long enough 01", "the newer secret of the tests long enough 02"
OWN = {Kind.SIGN_IN, Kind.SIGN_OUT, Kind.END, Kind.RENEWAL_FAILED}
FOREIGN = {"Origin": "https://evil.example"}


def event(kind=Kind.SIGN_IN, principal=ALICE, **more):
    return Event(**{"kind": kind, "principal": principal, "address": "192.0.2.7", "outcome": "ok", **more})


@pytest.fixture
def audit(store, keys):
    return Audit(store, keys)


async def names(store):
    """Every key of this test in the store, with the place of alice's events first."""
    return sorted(await store.admin.keys(store.key("*")))


async def others_of(store):
    """The key of the one account's events that others caused."""
    (key,) = await store.admin.keys(store.key("audit", "*:others"))
    return key


# ------------------------------------------------------------------------------------------------ kept for the account


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.ACTION])
async def test_kept(audit, kind):
    """Of an account that has signed in here, each kind of event comes back whole, newest first."""
    began = event(time=1.5)
    came = event(kind, session="0123456789ab", outcome="x", time=2.5)
    await audit.note(began)
    await audit.note(came)
    assert await audit.recent(ALICE) == (came, began)


async def test_time_is_now(audit):
    """An event without a time happened now."""
    await audit.note(event())
    (noted,) = await audit.recent(ALICE)
    assert abs(noted.time - time.time()) < 60


@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.SIGN_IN}))
async def test_unknown_names_leave_nothing(audit, store, kind):
    """Only a sign-in that succeeded begins a list: whatever else happens under a name leaves no key in the store."""
    await audit.note(event(kind, principal="nobody@pve"))
    await audit.note(event(kind, principal=""))
    assert await names(store) == []
    assert await audit.recent("nobody@pve") == ()


async def test_names_are_exact(audit):
    """Twins of a name are other accounts."""
    await audit.note(event())
    await audit.note(event(principal="Alice@pve"))
    assert len(await audit.recent(ALICE)) == 1


async def test_strangers_push_nothing_out(audit):
    """However often strangers fail, and however often a limit acts, the account's own events stay."""
    own = [event(kind, time=float(n)) for n, kind in enumerate([Kind.SIGN_IN, *sorted(OWN)])]
    for one in own:
        await audit.note(one)
    for kind in set(Kind) - OWN:
        for n in range(MOST_KEPT + 1):
            await audit.note(event(kind, time=1000.0 + n))
    kept = await audit.recent(ALICE, 10 * MOST_KEPT)
    assert [one for one in kept if one.kind in OWN] == own[::-1]


@pytest.mark.parametrize("kind", [Kind.SIGN_IN, Kind.FAILURE])
async def test_capped(audit, store, kind):
    """A list holds its newest fifty, and `most` cuts what is told."""
    await audit.note(event(time=0.0))
    for n in range(1, MOST_KEPT + 11):
        await audit.note(event(kind, time=float(n)))
    for key in await names(store):
        assert await store.admin.llen(key) <= MOST_KEPT
    kept = [one.time for one in await audit.recent(ALICE, 100) if one.time]
    assert kept == [float(n) for n in range(MOST_KEPT + 10, 10, -1)]
    assert len(await audit.recent(ALICE)) == MOST_KEPT
    assert [one.time for one in await audit.recent(ALICE, 2)] == kept[:2]


async def test_everything_ends(audit, store):
    """Each list has an end, ninety days after its latest event."""
    await audit.note(event())
    await audit.note(event(Kind.FAILURE))
    lists = await names(store)
    assert len(lists) == 2
    for key in lists:
        await store.admin.expire(key, 100)
    await audit.note(event(Kind.END))
    await audit.note(event(Kind.LIMITED))
    for key in lists:
        assert KEPT_SECONDS - 60 < await store.admin.ttl(key) <= KEPT_SECONDS


async def test_sealed(audit, store):
    """Neither the keys' names nor what lies there show who, from where, or what."""
    await audit.note(event(session="0123456789ab"))
    await audit.note(event(Kind.FAILURE))
    dump = b""
    for key in await names(store):
        dump += key + b"".join(await store.admin.lrange(key, 0, -1))
    assert len(dump) > 200
    assert not [word for word in (b"alice", b"192.0.2.7", b"sign-in", b"failure", b"0123456789ab") if word in dump]


async def test_copied_entries_are_left_out(audit, store):
    """An entry copied to another account's list, or to the other list of its own, is not shown there."""
    await audit.note(event())
    (alices,) = await names(store)
    await audit.note(event(principal=BOB))
    (bobs,) = set(await names(store)) - {alices}
    entry = await store.admin.lindex(alices, 0)
    await store.admin.rpush(bobs, entry)
    await store.admin.rpush(alices.replace(b":own", b":others"), entry)
    assert [one.principal for one in await audit.recent(BOB)] == [BOB]
    assert len(await audit.recent(ALICE)) == 1


async def test_entries_are_shown_once(audit, store):
    """An entry that lies there twice, as when the store's answer was lost, is one event."""
    await audit.note(event())
    (key,) = await names(store)
    await store.admin.rpush(key, await store.admin.lindex(key, 0))
    assert len(await audit.recent(ALICE)) == 1


async def test_unreadable_entries_are_left_out(audit, store):
    """What was tampered with, or is none of ours, takes nothing else with it."""
    await audit.note(event())
    (key,) = await names(store)
    whole = await store.admin.lindex(key, 0)
    await store.admin.rpush(key, b"", b"nonsense", whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]))
    assert len(await audit.recent(ALICE)) == 1


async def test_a_key_of_another_type(audit, store):
    """A list that is none keeps nobody out, and the other one is shown."""
    await audit.note(event())
    (own,) = await names(store)
    await store.admin.set(own.replace(b":own", b":others"), b"x")
    await audit.note(event(Kind.FAILURE))
    assert [one.kind for one in await audit.recent(ALICE)] == [Kind.SIGN_IN]


async def test_key_rotation(store):
    """Under a new secret the old entries are read until the old one is gone, and then left out."""
    old, both, new = (Audit(store, KeyRing(SecretStr(secret))) for secret in (OLD, f"{NEW},{OLD}", NEW))
    await old.note(event(time=1.0))
    await both.note(event(time=2.0))
    assert [one.time for one in await both.recent(ALICE)] == [2.0, 1.0]
    assert [one.time for one in await new.recent(ALICE)] == [2.0]


async def test_without_a_store(keys, tmp_path, caplog):
    """With the store down an event is logged and keeps nobody; who asks for events is told."""
    down = Audit(Store.open(SecretStr(f"unix://{tmp_path}/none.sock")), keys)
    with caplog.at_level(logging.INFO, "services.audit"):
        await down.note(event())
    assert len(caplog.records) == 1
    with pytest.raises(StoreUnavailable):
        await down.recent(ALICE)


async def test_known_and_unknown_names_cost_one_question(audit, store):
    """An event is one round trip whether or not the account has ever signed in here, so no time tells."""
    trips, run = 0, store.run

    async def counting(operation, **_):
        nonlocal trips
        trips += 1
        return await run(operation)

    await audit.note(event())
    store.run = counting
    for principal, count in ((ALICE, 1), ("nobody@pve", 2)):
        await audit.note(event(Kind.FAILURE, principal=principal))
        assert trips == count


# ------------------------------------------------------------------------------------------------------------ the log

HOSTILE = [
    "a@pve address=10.0.0.1",
    'a@pve" outcome="ok',
    "a@pve' outcome='ok",
    "a@pve\nevent=sign-in principal=root@pam",
    "a@pve\u2028event=sign-in",
    "\x1b[2Ja@pve",
    "a=b@pve",
    "\\",
    "\ud800@pve",
]


class Lines(logging.Handler):
    """The lines of the log, kept from pytest's own: its report cannot carry half a surrogate pair."""

    def __init__(self, formatter):
        super().__init__()
        self.setFormatter(formatter)
        self.lines = []

    def emit(self, record):
        self.lines.append(self.format(record))


async def line_of(audit, formatter, one):
    """The one line that an event writes."""
    logger, handler = logging.getLogger("services.audit"), Lines(formatter)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        await audit.note(one)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
    (line,) = handler.lines
    return line


@pytest.mark.parametrize("kind", Kind)
async def test_json_line(audit, kind):
    """A line of JSON has the event's fields beside time, level and message, whatever is in them."""
    for words in (ALICE, *HOSTILE):
        one = event(kind, principal=words, session="0123456789ab", outcome=words)
        line = json.loads(await line_of(audit, JsonFormatter(), one))
        told = {name: line[name] for name in ("event", "principal", "address", "session", "outcome")}
        assert told == {
            "event": kind.value, "principal": words, "address": "192.0.2.7", "session": "0123456789ab",
            "outcome": words,
        }  # fmt: skip
        assert line["time"].endswith("+00:00")
        assert line["level"] in {"info", "warning"}
        assert line["message"].startswith(f"event={kind} principal=")


@pytest.mark.parametrize("kind", Kind)
async def test_text_line(audit, kind):
    """A line of text names kind, principal, address, session and outcome, and leaves out what is not known."""
    whole = await line_of(audit, TextFormatter(), event(kind, session="0123456789ab"))
    assert whole.endswith(
        f" services.audit: event={kind} principal={ALICE} address=192.0.2.7 session=0123456789ab outcome=ok"
    )
    assert (await line_of(audit, TextFormatter(), Event(kind=kind, principal=""))).endswith(f": event={kind}")


@pytest.mark.parametrize("words", HOSTILE, ids=ascii)
async def test_text_line_cannot_be_faked(audit, words):
    """What came from outside stays inside quotes: no line more, and no field more than an event has."""
    line = await line_of(audit, TextFormatter(), event(Kind.FAILURE, principal=words, outcome=words))
    assert line.isprintable()
    head, _, rest = line.partition(" principal=")
    assert head.endswith(" services.audit: event=failure")
    quoted, _, rest = rest.partition(" address=192.0.2.7 outcome=")
    assert quoted == rest
    assert quoted[0] == quoted[-1] == '"'
    assert '"' not in quoted[1:-1].replace("\\\\", "").replace('\\"', "")


async def test_refusals_cannot_fill_the_log(audit, caplog, monkeypatch):
    """Strangers' refusals are told thirty times a minute, and do not take their place from those of sessions."""
    with caplog.at_level(logging.INFO, "services.audit"):
        for _ in range(100):
            await audit.note(event(Kind.REFUSAL, principal=""))
        assert len(caplog.records) == 30
        await audit.note(event(Kind.REFUSAL))
        assert len(caplog.records) == 31
        monkeypatch.setattr(logs, "_MINUTE", 0)
        await audit.note(event(Kind.REFUSAL, principal=""))
        assert len(caplog.records) == 32


async def test_each_sort_of_refusal_has_its_room(audit, caplog):
    """However many forged cookies there are, what another site's page sends is told all the same."""
    with caplog.at_level(logging.INFO, "services.audit"):
        for outcome in ("forged-cookie", "other-site"):
            for _ in range(40):
                await audit.note(event(Kind.REFUSAL, principal="", outcome=outcome))
    assert len(caplog.records) == 60


async def test_nothing_else_is_left_out(audit, caplog):
    """Every other event is logged, however many there are."""
    with caplog.at_level(logging.INFO, "services.audit"):
        for _ in range(40):
            await audit.note(event(Kind.FAILURE, principal=""))
    assert len(caplog.records) == 40


# -------------------------------------------------------------------------------------------------- the whole program

PREFIX = "audited:"
SECRET = harness.SECRET


@pytest.fixture(scope="module")
def up(valkey_url, sim):
    """A program that logs in JSON."""
    settings = harness.for_proxmox(sim) | {"STORE_PREFIX": PREFIX, "LOG_FORMAT": "json", "LOG_LEVEL": "debug"}
    with harness.proxgate(REDIS_URL=valkey_url, SESSION_SECRET=SECRET, **settings) as running:
        yield running


@pytest.fixture
def jar(up, valkey_url):
    with harness.admin(valkey_url) as admin:
        if keys := admin.keys(f"{PREFIX}*"):
            admin.delete(*keys)
    with up.client() as client:
        yield client


def events(up):
    """The events among all that the program has logged."""
    lines = [json.loads(line) for line in up.output().splitlines() if line.startswith("{")]
    return [line for line in lines if "event" in line]


class Noting:
    """The events between its beginning and its end."""

    def __init__(self, up):
        self._up = up
        self.before = len(events(up))

    def one(self, kind, principal, outcome):
        """There was one, this one, from here; its session's fingerprint."""
        (found,) = until(lambda: events(self._up)[self.before :])
        assert (found["event"], found["principal"], found["outcome"]) == (kind, principal, outcome)
        assert found["address"] in {"127.0.0.1", "::1"}
        assert found["logger"] == "services.audit"
        self.about = found["about"]
        return found["session"]


def test_sign_in_is_one_event(up, jar):
    """A sign-in is one event, with the short fingerprint of its session."""
    noting = Noting(up)
    assert sign_in(jar).status_code == 200
    session = noting.one("sign-in", "root@pam", "ok")
    assert len(session) == 12
    assert session not in jar.cookies["proxgate"]


def test_wrong_password_is_one_event(up, jar):
    """A refused password is one event with the account as typed."""
    noting = Noting(up)
    assert sign_in(jar, password="SECRETWORD").status_code == 401
    assert noting.one("failure", "root@pam", "InvalidCredentials") == ""


def test_outage_is_one_event(up, jar, sim):
    """A sign-in that fails because Proxmox is down is one event with what went wrong."""
    noting = Noting(up)
    sim.fault.status = 595
    try:
        assert sign_in(jar).status_code == 502
    finally:
        sim.fault.status = None
    noting.one("failure", "root@pam", "Unreachable")


def test_second_factor_is_one_event_a_step(up, jar, sim):
    """A second factor that is due is one event, and so is a wrong code, and the sign-in at the end."""
    noting = Noting(up)
    assert sign_in(jar, "bob", "pve").status_code == 200
    noting.one("second-factor", BOB, "due")
    noting = Noting(up)
    wrong = f"{(int(sim.totp(BOB)) + 1) % 1_000_000:06d}"
    assert jar.post("/login/verify", data={"kind": "totp", "code": wrong}, headers=JSON).status_code == 401
    noting.one("failure", BOB, "second-factor")
    noting = Noting(up)
    assert jar.post("/login/verify", data={"kind": "totp", "code": sim.totp(BOB)}, headers=JSON).status_code == 200
    assert noting.one("sign-in", BOB, "ok")


JSON = {"Accept": "application/json"}


def test_limit_is_one_event(up, jar):
    """A try that our own limit refuses is one event with the seconds to wait."""
    for _ in range(PER_ACCOUNT):
        sign_in(jar, "carol", "pve", "wrong")
    noting = Noting(up)
    wait = sign_in(jar, "carol", "pve", "wrong").headers["retry-after"]
    noting.one("limited", "carol@pve", wait)


@pytest.mark.parametrize("path", ["/login", "/logout"])
def test_a_post_from_another_site_is_one_event(up, jar, path):
    """A form posted from another site is one event, with nobody's name where no session came along."""
    noting = Noting(up)
    assert jar.post(path, data={"username": "root"}, headers=FOREIGN).status_code == 403
    noting.one("refusal", "", "other-site")


def test_a_post_from_another_site_names_its_session(up, jar, valkey_url):
    """With a session's cookie the event names it, and does not keep the session from falling idle."""
    noting = Noting(up)
    sign_in(jar)
    session = noting.one("sign-in", "root@pam", "ok")
    with harness.admin(valkey_url) as admin:
        (key,) = admin.keys(f"{PREFIX}session:*")
        admin.expire(key, 500)
        noting = Noting(up)
        assert jar.post("/logout", headers=FOREIGN).status_code == 403
        assert noting.one("refusal", "root@pam", "other-site") == session
        assert 0 < admin.ttl(key) <= 500
    assert jar.get("/", headers=PAGE).status_code == 200


async def test_a_socket_from_another_origin_is_one_event(up, jar):
    """A socket or poll that a page of another origin opens is one event each, with the session it came with."""
    sign_in(jar)
    page = load(jar, "/")
    noting = Noting(up)
    await refused(up, query_of(page.client_id), cookies_of(jar), origin="https://evil.example")
    session = noting.one("refusal", "root@pam", "other-origin")
    noting = Noting(up)
    poller = Poller(up, cookies_of(jar), page.client_id)
    async with poller.http as http:
        answer = await http.get(poller.path, params=poller.query, headers=FOREIGN)
    assert answer.status_code == 403
    assert noting.one("refusal", "root@pam", "other-origin") == session


def test_the_way_in_is_told(up, jar, sim):
    """An event of a sign-in says by what: a password, the kind of code, a token; a failure too."""
    noting = Noting(up)
    sign_in(jar)
    noting.one("sign-in", "root@pam", "ok")
    assert noting.about == "password"
    noting = Noting(up)
    sign_in(jar, "bob", "pve")
    noting.one("second-factor", BOB, "due")
    noting = Noting(up)
    assert jar.post("/login/verify", data={"kind": "totp", "code": sim.totp(BOB)}, headers=JSON).status_code == 200
    until(lambda: events(up)[noting.before :])
    assert [one["about"] for one in events(up)[noting.before :] if one["event"] == "sign-in"] == ["totp"]
    noting = Noting(up)
    assert jar.post("/login/token", data={"tokenid": "a@pve!b1", "secret": "x"}, headers=JSON).status_code == 401
    noting.one("failure", "a@pve!b1", "InvalidCredentials")
    assert noting.about == "token"


@pytest.mark.parametrize("cookie", ["proxgate={}A", "proxgate=x", "proxgate={0}; proxgate={0}"])
def test_a_forged_cookie_is_one_event(up, jar, cookie):
    """A session's cookie that we did not sign just so, or that is there twice, is one event, with nobody's name."""
    sign_in(jar)
    line = cookie.format(jar.cookies["proxgate"])
    with up.client(headers={"Cookie": line}) as other:
        noting = Noting(up)
        assert other.get("/", headers=PAGE).status_code == 303
        noting.one("refusal", "", "forged-cookie")


async def test_anothers_tab_is_one_event(up, jar):
    """A socket, a poll or a place for files of somebody else's tab is one event, of the session that asked."""
    sign_in(jar, "alice", "pve")
    page = load(jar, "/")
    with up.client() as other:
        noting = Noting(up)
        sign_in(other)
        session = noting.one("sign-in", "root@pam", "ok")
        noting = Noting(up)
        await refused(up, query_of(page.client_id), cookies_of(other))
        assert noting.one("refusal", "root@pam", "not-its-tab") == session
        noting = Noting(up)
        poller = Poller(up, cookies_of(other), page.client_id)
        async with poller.http as http:
            own = {"Sec-Fetch-Site": "same-origin"}
            assert (await http.get(poller.path, params=poller.query, headers=own)).status_code == 400
        assert noting.one("refusal", "root@pam", "not-its-tab") == session
        noting = Noting(up)
        assert other.get(f"/_nicegui/client/{page.client_id}/upload/1", headers=PAGE).status_code == 404
        assert noting.one("refusal", "root@pam", "not-its-tab") == session


def test_no_secret_in_any_line(up, jar):
    """No line holds a password, a code, a cookie's id or a whole hash of one."""
    sign_in(jar, password="SECRETWORD")
    sign_in(jar)
    jar.post("/logout", headers=FOREIGN)
    output = up.output()
    for secret in ("SECRETWORD", jar.cookies["proxgate"].partition(".")[0], "PVE:", SECRET):
        assert secret not in output
