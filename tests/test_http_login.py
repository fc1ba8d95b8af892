"""The sign-in from outside: what is typed, what reaches Proxmox, our own limit, and every trouble Proxmox can be in."""

import ipaddress
import re
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.auth.limiter import DEVICE_SECONDS, PER_ACCOUNT, PER_ADDRESS
from services.simulator.accounts import Account
from services.simulator.household import ACCOUNTS
from services.simulator.simulator import Fault
from tests import harness
from tests.conftest import forget_failures
from tests.harness import PAGE, sign_in, until

JSON = {"Accept": "application/json"}
UNREACHABLE = "Unable to reach the Proxmox server"
NOT_PROXMOX = "The server at that address does not answer like Proxmox VE"
TOO_MANY = "Too many attempts. Try again in N seconds"
DEADLINE = 10.0
SLOTS = 8


@pytest.fixture
def asked(sim):
    """The sign-ins that Proxmox has been asked for since the test began, as it received them."""
    return _asked(sim)


def _asked(sim):
    seen = {id(one) for one in sim.requests}
    return lambda: [one for one in list(sim.requests) if one.path == "/access/ticket" and id(one) not in seen]


@pytest.fixture
def fault(sim):
    """Set what goes wrong at Proxmox; nothing does any more afterwards."""

    def set_fault(**what):
        sim.fault = Fault(**what)

    yield set_fault
    sim.fault = Fault()


def records(valkey_url, prefix="server:"):
    """The sessions in the store."""
    with harness.admin(valkey_url) as store:
        return {*store.keys(f"{prefix}session:*"), *store.keys(f"{prefix}index:*")}


# D: the name


@pytest.mark.parametrize(
    ("username", "realm"),
    [
        ("", "pam"), ("root", ""), ("", ""), ("x" * 61, "pam"), ("x" * 65, "pam"), ("ro ot", "pam"), (" root", "pam"),
        ("root ", "pam"), ("ro:ot", "pam"), ("ro/ot", "pam"), ("root!name", "pam"), ("root@pam!name", "pve"),
        ("root\t", "pam"), ("root\n", "pam"), ("root\0", "pam"), ("root\u2028", "pam"), ("root\u00a0", "pam"),
        ("root", "p am"), ("root", "pam@pve"), ("root", "1pam"), ("root", "pam/../pve"), ("root", "p" * 33),
        ("root", "p\u00e4m"),
        ("root\x7f", "pam"), ("root\u0085", "pam"),
    ],
    ids=repr,
)  # fmt: skip
def test_impossible_name(client, asked, username, realm):
    """A name that no account can have is refused in the usual words, and Proxmox is not asked."""
    answer = sign_in(client, username, realm)
    assert (answer.status_code, answer.json()) == (401, {"error": "Invalid credentials"})
    assert asked() == []


@pytest.mark.parametrize(
    ("username", "realm"),
    [("a@pam", "pve"), ("a@@", "pve"), ("a@", "pve"), ("@", "pve"), ("r\u00f6t", "pve"), ("ro\u0308t", "pve"),
     ("\ufb01sh", "pve"), ("ROOT", "pam"), ("a;b=c&d+e%41", "pve"), ("x" * 60, "pam"), ("\u202eroot", "pam")],
    ids=ascii,
)  # fmt: skip
def test_name_as_typed(client, asked, username, realm):
    """Proxmox gets the one identity that was typed, realm last, neither normalised nor folded."""
    sign_in(client, username, realm)
    (request,) = asked()
    assert request.parameters["username"] == f"{username}@{realm}"


@pytest.mark.parametrize("username", ["ann@pam", "ann@@", "ann@", "@"])
def test_one_identity(client, asked, username):
    """Whoever has `@` in their name, and wherever, is for us who they are for Proxmox: the realm stands last."""
    answer = sign_in(client, username, "pve")
    (request,) = asked()
    assert request.parameters["username"] == f"{username}@pve"
    assert answer.status_code == 200
    shown = set(re.findall(r"[\w@]+@(?:pam|pve)\b", client.get("/", headers=PAGE).text))
    assert shown == {f"{username}@pve"}


def test_shown_as_asked(client):
    """The page shows the identity that Proxmox signed in."""
    sign_in(client, "alice", "pve")
    page = client.get("/", headers=PAGE).text
    assert "alice@pve" in page
    assert "root@pam" not in page


# D: the password


PASSWORDS = [
    " x ", "a;b=c&d+e%00%41", "\U0001f600\U0001f468\u200d\U0001f469", "e\u0301", "\u00e9", "\ufb01", "x\ty",
    "x\r\ny", "x\0y",
    "%", "%%", "+", "&", "=", "\"'<>`", "\\", "p\u00e4\u00df", "\u2028", "\ufeffx", "a" * 4_000, "null", "{}", "-1",
]  # fmt: skip


@pytest.mark.parametrize("password", PASSWORDS, ids=lambda password: ascii(password)[:24])
def test_password_as_typed(client, asked, password):
    """A password reaches Proxmox byte for byte as it was typed."""
    sign_in(client, password=password)
    (request,) = asked()
    assert request.parameters["password"] == password


@pytest.mark.parametrize("password", ["", "PVE:root@pam:00000000::x", "x" * 70_000], ids=["none", "a ticket", "long"])
def test_password_that_is_none(client, asked, password):
    """A ticket in the place of the password is never passed on, nor is an empty or endless one a way in."""
    answer = sign_in(client, password=password)
    assert answer.status_code in {401, 413}
    assert "proxgate" not in client.cookies
    assert [one for one in asked() if one.parameters["password"].startswith("PVE:")] == []


# D: other fields


@pytest.mark.parametrize("name", ["otp", "tfa-challenge", "path", "privs", "new-format", "__proto__", "csrf", "ticket"])
def test_other_fields(client, asked, name):
    """Fields that the form does not have are dropped; Proxmox gets the two that it needs."""
    answer = sign_in(client, **{name: "1"})
    (request,) = asked()
    assert set(request.parameters) == {"username", "password"}
    assert answer.status_code == 200


def test_field_twice(client, asked):
    """Of a field sent twice the first counts, and Proxmox gets one."""
    body = "username=alice&realm=pve&password=demo&username=root&realm=pam"
    headers = {**JSON, "Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/login", content=body, headers=headers).status_code == 200
    (request,) = asked()
    assert request.parameters == {"username": "alice@pve", "password": "demo"}


def test_fields_in_the_address(client, asked):
    """An account and a password in the address are not taken."""
    answer = client.post("/login?username=root&realm=pam&password=demo", data={"next": "/"}, headers=JSON)
    assert answer.status_code == 401
    assert client.get("/login?username=root&realm=pam&password=demo", headers=PAGE).status_code == 200
    assert asked() == []


def test_semicolons_part_nothing(client, asked):
    """A semicolon is part of a value, here as in what Proxmox gets."""
    body = "username=root&realm=pam&password=a;otp=1"
    headers = {**JSON, "Content-Type": "application/x-www-form-urlencoded"}
    client.post("/login", content=body, headers=headers)
    (request,) = asked()
    assert request.parameters == {"username": "root@pam", "password": "a;otp=1"}


ITS_OWN = {"date", "set-cookie", "x-request-id"}
"""Headers that no two answers share."""


@pytest.mark.parametrize("username", ["nosuch", "old", "lapsed", "alice"])
def test_no_telling(client, username):
    """Nothing in a refusal tells whether the account exists, is disabled or has expired."""
    answer = sign_in(client, username, "pve", "wrong")
    headers = {k: v for k, v in answer.headers.items() if k not in ITS_OWN}
    assert (answer.status_code, answer.json()) == (401, {"error": "Invalid credentials"})
    same = sign_in(client, "somebody", "pve", "wrong")
    assert headers == {k: v for k, v in same.headers.items() if k not in ITS_OWN}


# D: our own limit


def test_limit_of_an_account(client, asked):
    """After ten failures the eleventh try of an account is refused without asking Proxmox, the right password too."""
    for _ in range(PER_ACCOUNT):
        assert sign_in(client, password="wrong").status_code == 401
    wrong, right = sign_in(client, password="wrong"), sign_in(client)
    assert len(asked()) == PER_ACCOUNT
    for answer in (wrong, right):
        assert answer.status_code == 429
        seconds = int(answer.headers["retry-after"])
        assert 0 < seconds <= 900
        assert answer.json() == {"error": f"Too many attempts. Try again in {seconds} seconds"}
    assert "proxgate" not in client.cookies
    assert sign_in(client, "alice", "pve").status_code == 200


def test_limit_without_scripts(client):
    """Without scripts the card says that there were too many attempts."""
    for _ in range(PER_ACCOUNT):
        sign_in(client, password="wrong")
    answer = client.post("/login", data={"username": "root", "realm": "pam", "password": "demo"}, headers=PAGE)
    assert answer.status_code == 303
    assert "Too many attempts" in client.get(answer.headers["location"], headers=PAGE).text


@pytest.mark.parametrize(
    "twins",
    [("root", "ROOT", "Root", "rOOt"), ("r\u00f6t", "ro\u0308t", "R\u00d6T"), ("fish", "\ufb01sh", "\uff26ISH")],
    ids=ascii,
)
def test_limit_of_twins(client, asked, twins):
    """Twins by case or by normal form share one counter, and for Proxmox each is who was typed."""
    typed = [twins[number % len(twins)] for number in range(PER_ACCOUNT + 4)]
    for name in typed:
        sign_in(client, name, "pve", "wrong")
    assert [one.parameters["username"] for one in asked()] == [f"{name}@pve" for name in typed[:PER_ACCOUNT]]


def test_limit_of_an_address(client, asked):
    """Whoever sprays many accounts is stopped by the address, whatever X-Forwarded-For they write."""

    def spray(number):
        form = {"username": f"user{number}", "realm": "pve", "password": "wrong"}
        return client.post("/login", data=form, headers={**JSON, "X-Forwarded-For": f"198.51.100.{number}"}).status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(spray, range(PER_ADDRESS + 30)))
    assert len(asked()) == PER_ADDRESS
    assert set(statuses) == {401, 429}
    assert sign_in(client).status_code == 429


WAITED = 5
"""Tries that a quarter of an hour lets through besides, one after each wait."""


def _guess(client, guesses, reached, limit):
    """Wrong passwords for accounts of one realm, each said to come from an address; the limit of them reach Proxmox."""

    def guess(one):
        name, address = one
        return sign_in(client, name, "pve", "wrong", headers={"X-Forwarded-For": address})

    with ThreadPoolExecutor(4) as pool:
        for begin in range(0, len(guesses), 100):
            list(pool.map(guess, guesses[begin : begin + 100]))
            assert limit <= reached() <= limit + WAITED


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_limit_of_an_address_of_a_thousand_names(client, asked):
    """A thousand guesses that each claim another address count for the one that they come from."""
    guesses = [(f"user{number}", f"198.51.{number // 250}.{number % 250}") for number in range(1000)]
    _guess(client, guesses, lambda: len(asked()), PER_ADDRESS)
    assert sign_in(client).status_code == 429


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_brute_force(valkey_url, sim):
    """Guesses at one account from two hundred addresses, and from one at a thousand accounts, end at the limits.

    What is right is refused like what is wrong.
    """
    settings = {"REDIS_URL": valkey_url, "SESSION_SECRET": harness.SECRET, "TRUSTED_PROXIES": "127.0.0.1"}
    asked = _asked(sim)
    forget_failures(valkey_url)
    with harness.proxgate(**settings, **harness.for_proxmox(sim)) as up, up.client() as jar:
        one_account = [("alice", f"198.51.100.{number}") for number in range(200)]
        _guess(jar, one_account, lambda: len(asked()), PER_ACCOUNT)
        told = [sign_in(jar, "alice", "pve", password) for password in ("wrong", "demo")]
        before, one_address = len(asked()), [(f"user{number}", "203.0.113.5") for number in range(1000)]
        _guess(jar, one_address, lambda: len(asked()) - before, PER_ADDRESS)
        told.append(sign_in(jar, "kid", "pve", headers={"X-Forwarded-For": "203.0.113.5"}))
        assert {(one.status_code, re.sub(r"\d+", "N", one.json()["error"])) for one in told} == {(429, TOO_MANY)}


def test_limit_in_parallel(client, asked):
    """Of two hundred guesses at once no more than the limit reach Proxmox."""
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda number: sign_in(client, password=f"wrong {number}"), range(200)))
    assert len(asked()) <= PER_ACCOUNT


def test_limit_over_a_restart(valkey_url, sim):
    """The counters outlive a server that is killed amid two hundred guesses at once, and not one more gets through."""
    settings = {"REDIS_URL": valkey_url, "SESSION_SECRET": harness.SECRET, "STORE_PREFIX": "killed:"}
    settings |= harness.for_proxmox(sim)
    asked = _asked(sim)
    forget_failures(valkey_url)
    with harness.proxgate(**settings) as up, up.client() as jar, ThreadPoolExecutor(20) as pool:
        for number in range(200):
            pool.submit(sign_in, jar, password=f"wrong {number}")
        until(lambda: len(asked()) >= PER_ACCOUNT, 20)
        up.process.kill()
        up.process.wait(5)
    with harness.proxgate(**settings) as up, up.client() as jar, ThreadPoolExecutor(20) as pool:
        assert set(pool.map(lambda _: sign_in(jar).status_code, range(20))) == {429}
    assert len(asked()) == PER_ACCOUNT


def test_right_password_is_no_failure(client):
    """Sign-ins that succeed count for nothing, however many."""
    for _ in range(PER_ACCOUNT + 2):
        assert sign_in(client).status_code == 200


def test_outage_is_no_failure(client, fault):
    """While Proxmox is out of order nobody uses up a try."""
    fault(path="/access/ticket", status=595)
    for _ in range(PER_ACCOUNT + 2):
        assert sign_in(client, password="wrong").status_code == 502
    fault()
    assert sign_in(client).status_code == 200


def test_limit_that_expires_meanwhile(client, fault, valkey_url):
    """A try that is given back after its window has ended leaves no credit for the next window."""
    fault(path="/access/ticket", status=595, delay=0.6)
    with ThreadPoolExecutor(4) as pool, harness.admin(valkey_url) as store:
        tries = [pool.submit(sign_in, client) for _ in range(4)]
        counters = until(lambda: store.keys("server:limit:account:*"))
        until(lambda: _tries(store, counters[0]) == 4)
        store.delete(*store.keys("server:limit:a*"))  # as at the end of the window
        assert {one.result().status_code for one in tries} == {502}
        assert all(_tries(store, key) >= 0 for key in store.keys("server:limit:a*"))


def _tries(store, key):
    """What a counter says, be it a number or a set."""
    return store.zcard(key) if store.type(key) == b"zset" else int(store.get(key) or 0)


def test_counters_end(client, valkey_url):
    """Each counter in the store has an end, and its name tells no account."""
    sign_in(client, password="wrong")
    with harness.admin(valkey_url) as store:
        counters = store.keys("server:limit:a*")
        assert len(counters) == 2
        assert all(0 < store.ttl(key) <= 910 for key in counters)
        assert not [key for key in counters if b"root" in key or b"127.0.0.1" in key]


# E: Proxmox in trouble


@pytest.mark.parametrize("status", [500, 502, 503, 504, 595, 596, 597, 598, 599, 999])
def test_broken_proxmox(client, fault, valkey_url, status):
    """Any 5xx, those of Proxmox's own proxy among them, is told as unreachable, and nothing is stored."""
    before = records(valkey_url)
    fault(path="/access/ticket", status=status)
    answer = sign_in(client)
    assert answer.status_code == 502
    assert answer.json()["error"] in ({UNREACHABLE} if status < 600 else {UNREACHABLE, NOT_PROXMOX})
    assert "proxgate" not in client.cookies
    assert records(valkey_url) == before


def test_silent_proxmox(client, fault, valkey_url):
    """A Proxmox that never answers is given up within ten seconds, while everything else goes on; nothing is stored."""
    before = records(valkey_url)
    fault(path="/access/ticket", hang=True)
    started = time.monotonic()
    with ThreadPoolExecutor(SLOTS) as pool:
        waiting = [pool.submit(sign_in, client) for _ in range(SLOTS)]
        slowest = 0.0
        while not all(one.done() for one in waiting):
            assert time.monotonic() - started < DEADLINE + 1, "still waiting for a Proxmox that is silent"
            asked = time.monotonic()
            assert client.get("/healthz").status_code == 200
            slowest = max(slowest, time.monotonic() - asked)
            time.sleep(0.05)
        answers = [one.result() for one in waiting]
    assert {(answer.status_code, answer.json()["error"]) for answer in answers} == {(502, UNREACHABLE)}
    assert slowest < 1
    assert records(valkey_url) == before
    fault()
    assert sign_in(client).status_code == 200  # the slots are free again


def test_trouble_without_scripts(client, fault):
    """Without scripts the card says that Proxmox cannot be reached."""
    fault(path="/access/ticket", status=595)
    answer = client.post("/login", data={"username": "root", "realm": "pam", "password": "demo"}, headers=PAGE)
    assert answer.status_code == 303
    fault()
    assert UNREACHABLE in client.get(answer.headers["location"], headers=PAGE).text


def test_in_flight(client, fault, asked):
    """Of many sign-ins at once no more than the slots wait at Proxmox; the rest is told to try again."""
    fault(path="/access/ticket", delay=1.5)
    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(lambda _: sign_in(client, "alice", "pve"), range(25)))
    assert {answer.status_code for answer in answers} == {200, 429}
    assert len(asked()) <= SLOTS
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 429)


def test_second_factor_is_no_login(client, valkey_url):
    """An account whose second factor is due is not signed in by its password: it is sent to the second step."""
    before = records(valkey_url)
    answer = sign_in(client, "bob", "pve", next="/guests")
    assert (answer.status_code, answer.json()) == (200, {"next": "/login/verify?next=/guests"})
    assert "proxgate" not in client.cookies
    assert records(valkey_url) == before
    assert client.get("/", headers=PAGE).status_code == 303


# The store down


class Leash:
    """A name for the store's socket that can be taken away, and every connection with it."""

    def __init__(self, url, directory):
        login, _, self.real = url.removeprefix("unix://").rpartition("@")
        self.name = Path(directory, "store.sock")
        self.url = f"unix://{login}@{self.name}"
        self.join()

    def join(self):
        self.name.symlink_to(self.real)

    def cut(self):
        self.name.unlink()
        with harness.admin(f"unix://{self.real}") as store:
            store.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


@pytest.fixture(scope="module")
def leashed(sim):
    """A server whose store can be cut off, and the leash."""
    with harness.valkey() as url, tempfile.TemporaryDirectory(prefix="pg-") as directory:
        leash = Leash(url, directory)
        settings = harness.for_proxmox(sim)
        with harness.proxgate(REDIS_URL=leash.url, SESSION_SECRET=harness.SECRET, **settings) as up:
            yield up, leash


@pytest.fixture
def cut(leashed):
    """The server with its store cut off, a cookie of a session in it, and the leash."""
    up, leash = leashed
    with up.client() as jar:
        assert sign_in(jar).status_code == 200
        leash.cut()
        yield up, jar, leash
        if not leash.name.is_symlink():
            leash.join()
        until(lambda: jar.get("/readyz").status_code == 200, seconds=5)


def test_store_down_sign_in(cut, sim):
    """With the store down a sign-in is 503 with a sentence, and Proxmox is not asked."""
    up, _, _ = cut
    asked = _asked(sim)
    with up.client() as jar:
        for password in ("demo", "wrong"):
            answer = sign_in(jar, password=password)
            assert answer.status_code == 503
            assert answer.json()["error"]
        plain = jar.post("/login", data={"username": "root", "realm": "pam", "password": "demo"}, headers=PAGE)
        assert plain.status_code == 503
    assert asked() == []


@pytest.mark.parametrize("path", ["/", "/login", "/nope"])
def test_store_down_page(cut, path):
    """With the store down every page is a 503 that says so and retries by itself; the cookie is kept."""
    _, jar, _ = cut
    answer = jar.get(path, headers=PAGE)
    assert answer.status_code == 503
    assert 'http-equiv="refresh"' in answer.text
    assert 'role="alert"' in answer.text
    assert "session store" in answer.text
    assert "set-cookie" not in answer.headers


def test_store_down_card_of_a_stranger(cut):
    """A stranger gets that page for the login card as well."""
    up, _, _ = cut
    with up.client() as jar:
        answer = jar.get("/login", headers=PAGE)
        assert answer.status_code == 503
        assert 'http-equiv="refresh"' in answer.text


def test_store_down_health(cut, sim):
    """With the store down the process is well but not ready, for a reason of one word that names no Proxmox."""
    _, jar, _ = cut
    assert jar.get("/healthz").status_code == 200
    ready = jar.get("/readyz")
    assert ready.status_code == 503
    assert len(ready.text) < 40
    assert str(sim.address.port) not in ready.text


def test_store_back(cut):
    """The same session is back when the store is, within five seconds and without a new start."""
    _, jar, leash = cut
    assert jar.get("/", headers=PAGE).status_code == 503
    leash.join()
    until(lambda: jar.get("/nope", headers=PAGE).status_code == 404, seconds=5, every=0.1)


def test_store_down_sign_out(cut):
    """With the store down a sign-out does not pretend to have worked."""
    _, jar, _ = cut
    answer = jar.post("/logout", headers=PAGE)
    assert answer.status_code == 503
    assert "set-cookie" not in answer.headers


# Behind a proxy


@pytest.fixture(scope="module")
def proxied(valkey_url, sim):
    """A server that believes a proxy on this machine, and the address that people type."""
    settings = harness.for_proxmox(sim) | {"TRUSTED_PROXIES": "127.0.0.1", "PUBLIC_URL": "https://gate.example"}
    with harness.proxgate(
        REDIS_URL=valkey_url, SESSION_SECRET=harness.SECRET, STORE_PREFIX="proxied:", **settings
    ) as up:
        yield up


def forwarded(address="198.51.100.1", **more):
    """What a proxy says."""
    return {
        "X-Forwarded-For": address,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "gate.example",
        **JSON,
        **more,
    }


def _post(jar, headers, password="demo", username="root"):
    form = {"username": username, "realm": "pam", "password": password}
    return jar.post("/login", data=form, headers=headers)


def test_behind_a_proxy(proxied, valkey_url):
    """Behind a trusted proxy the cookie is that of https, and our own origin the public one."""
    forget_failures(valkey_url)
    with proxied.client() as jar:
        answer = _post(jar, forwarded(Origin="https://gate.example"))
        assert answer.status_code == 200
        for line in answer.headers.get_list("set-cookie"):
            name, *attributes = line.split("; ")
            assert name.startswith("__Host-proxgate")
            age = {f"Max-Age={DEVICE_SECONDS}"} if "-device=" in name else set()
            assert set(attributes) == {"Path=/", "HttpOnly", "SameSite=Lax", "Secure"} | age
        assert "strict-transport-security" not in answer.headers
        for origin in ("http://gate.example", "https://gate.example:444", "https://evil.example", proxied.url):
            assert _post(jar, forwarded(Origin=origin)).status_code == 403


def test_behind_a_proxy_other_host(proxied):
    """Another host name in the proxy's mouth is not ours."""
    with proxied.client() as jar:
        headers = forwarded() | {"X-Forwarded-Host": "evil.example"}
        assert jar.get("/login", headers=headers).status_code == 400


def test_limit_behind_a_proxy(proxied, valkey_url, sim):
    """Each client behind the proxy has its own limit, and what they write themselves in front counts for nothing."""
    forget_failures(valkey_url)
    asked = _asked(sim)
    with proxied.client() as jar, ThreadPoolExecutor(4) as pool:
        chain = "{}, 198.51.100.9"
        tries = [forwarded(chain.format(ipaddress.ip_address(number))) for number in range(PER_ADDRESS + 10)]
        list(pool.map(lambda pair: _post(jar, pair[1], "wrong", f"u{pair[0]}"), enumerate(tries)))
        assert len(asked()) == PER_ADDRESS
        assert _post(jar, forwarded("198.51.100.9")).status_code == 429
        assert _post(jar, forwarded("198.51.100.10")).status_code == 200


# A house with awkward accounts


def test_awkward_accounts(valkey_url):
    """Accounts with odd but possible names and passwords sign in, and their pages show the name."""
    odd = {"a@b@pve": " x;y=z&w+%00 ", "r\u00f6t@pve": "e\u0301\U0001f600"}
    accounts = (*ACCOUNTS, *(Account(userid=userid, password=password) for userid, password in odd.items()))
    with (
        harness.simulator(accounts=accounts) as house,
        harness.proxgate(
            REDIS_URL=valkey_url, SESSION_SECRET=harness.SECRET, STORE_PREFIX="odd:", **harness.for_proxmox(house)
        ) as up,
    ):
        for userid, password in odd.items():
            with up.client() as jar:
                username, _, realm = userid.rpartition("@")
                assert sign_in(jar, username, realm, password).status_code == 200
                page = jar.get("/", headers=PAGE)
                assert page.status_code == 200
                assert userid in page.text or ascii(userid)[1:-1] in page.text
