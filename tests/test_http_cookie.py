"""The session's cookie from outside: forged, planted, replayed, doubled; and the life it opens."""

import base64
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from itsdangerous import TimestampSigner
from pydantic import SecretStr

from services.auth.limiter import DEVICE_SECONDS
from services.certificate import self_signed
from services.keys import KeyRing
from services.sessions import CookieSigner, new_id
from tests import harness
from tests.harness import PAGE, SECRET, sign_in, until
from tests.test_http_requests import send, statuses
from ui.visit import cookie_values

OTHER_SECRET = "another secret of the tests; long enough 98765"
LONGEST = 43_200
JSON = {"Accept": "application/json"}
YEAR = 365 * 86400
BOBS_KEYS = ["c0de-7a51-3e88-b2f4", "90ab-4d1c-65f7-e332"]
"""Each is good once."""


def signer(secret=SECRET, purpose="session"):
    """What a server with this secret signs with."""
    return CookieSigner(KeyRing(SecretStr(secret)), purpose, LONGEST)


def visit(client, value, path="/", name="proxgate"):
    """A page asked for with a cookie of this value and no other."""
    headers = [(b"accept", b"text/html"), (b"cookie", name.encode() + b"=" + _bytes(value))]
    client.cookies.clear()
    return client.get(path, headers=headers)


def _bytes(value):
    return value if isinstance(value, bytes) else value.encode()


def is_anonymous(answer):
    """The answer that a stranger gets, whoever they said to be."""
    return (
        (answer.status_code, answer.headers.get("location"), answer.content) == (303, "/login?next=/", b"")
        and "set-cookie" not in answer.headers
    )  # fmt: skip


@pytest.fixture(scope="module")
def value(server):
    """The cookie's value of a session that no test of this file ends."""
    with server.client() as jar:
        assert sign_in(jar).status_code == 200
        return jar.cookies["proxgate"]


@pytest.fixture
def writes(valkey_url):
    """How many commands that write have reached the store since the test began."""
    store = harness.admin(valkey_url)
    names = ("set", "getex", "del", "hset", "hdel", "expire", "incr", "decr", "zadd")

    def count():
        stats = store.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in names)

    before = count()
    yield lambda: count() - before
    store.close()


# A: forged


def test_flipped_bits(client, value, writes):
    """With any one bit of it flipped a cookie is nobody's, and costs the store no write."""
    original = value.encode()
    for place in range(len(original)):
        for bit in range(8):
            flipped = bytearray(original)
            flipped[place] ^= 1 << bit
            if flipped[place] in b"\0\r\n\x0b\x0c" or (flipped[place:] in (b" ", b"\t")):
                continue  # no header can hold it, or none ends in it
            answer = visit(client, bytes(flipped))
            no_text = not chr(flipped[place]).isprintable() or flipped[place] > 126
            assert (no_text and answer.status_code == 400) or is_anonymous(answer), (place, bit)
    assert writes() == 0
    assert visit(client, value).status_code == 200


def _forged(value):
    id, given, signature = value.split(".")
    now = int(time.time())
    standard = base64.b64encode(base64.urlsafe_b64decode(signature + "=")).decode()
    return {
        "other key": signer(OTHER_SECRET).sign(id, now),
        "unsigned": id,
        "unsigned with its time": f"{id}.{given}",
        "empty signature": f"{id}.{given}.",
        "signature alone": signature,
        "too old": signer().sign(id, now - LONGEST - 61),
        "from the future": signer().sign(id, now + 120),
        "far future": signer().sign(id, 999_999_999_999),
        "negative time": signer().sign(id, -1),
        "other time": f"{id}.{int(given) + 1}.{signature}",
        "leading zero": f"{id}.0{given}.{signature}",
        "plus": f"{id}.+{given}.{signature}",
        "browser's cookie": signer(purpose="browser").sign(id, now),
        "device's cookie": signer(purpose="device").sign(id, now),
        "step's cookie": signer(purpose="step").sign(id, now),
        "no purpose": signer(purpose="").sign(id, now),
        "NiceGUI's cookie": TimestampSigner(SECRET).sign(base64.b64encode(json.dumps({"id": id}).encode())).decode(),
        "padded": value + "=",
        "doubly padded": value + "==",
        "standard base64": f"{id}.{given}.{standard}",
        "newline in base64": f"{id}.{given}.{signature[:20]}%0a{signature[20:]}",
        "space in base64": f"{id}.{given}.{signature[:20]} {signature[20:]}",
        "quoted": f'"{value}"',
        "percent": value.replace(".", "%2e"),
        "dot behind": value + ".",
        "dot before": "." + value,
        "part behind": value + ".x",
        "signed twice": signer().sign(id, now) + "." + signature,
        "upper case": value.upper(),
        "non-ASCII": value + "\u00e9",
        "full-width digits": f"{id}.{''.join(chr(ord(d) - 48 + 0xFF10) for d in given)}.{signature}",
        "empty": "",
        "dots": "..",
        "long": "a" * 4_000,
        "JSON": '{"id": 1}',
        "deleted": "deleted",
    }


@pytest.mark.parametrize("case", tuple(_forged(signer().sign(new_id()))))
def test_forged(client, value, writes, case):
    """What we did not sign just so, for this purpose and not too long ago, opens nothing and writes nothing."""
    forged = _forged(value)[case]
    answer = visit(client, forged)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login?next=/")
    assert answer.content == b""
    assert writes() == 0


def test_too_old_or_from_the_future(client, value, writes):
    """However well it is signed, a cookie that is older than any session, or not of its time yet, opens nothing."""
    id, now = value.partition(".")[0], int(time.time())
    times = (now - LONGEST - 61, now - 3 * LONGEST, 0, now + 120, now + LONGEST, 999_999_999_999)
    assert [visit(client, signer().sign(id, given)).status_code for given in times] == [303] * len(times)
    assert writes() == 0


def _respelled(value):
    """Other spellings of a cookie, all of which some decoder of base64 or of headers takes for the same."""
    id, given, signature = value.split(".")
    cut = f"{id}.{given}.{signature[:20]}"
    return [
        *(value + end for end in ("=", "==", "\u00e9", "%3D", "\\")),
        *(f"{cut}{within}{signature[20:]}" for within in (" ", "\t", "\u00e9", "!", "%0a", '"')),
        *(value[:-1] + last for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
        f'"{value}"', f'{id}.{given}."{signature}"', signature.join((f"{id}.{given}.", "=")),
        f"{id}.{given}.{base64.b64encode(base64.urlsafe_b64decode(signature + '=')).decode()}",
    ]  # fmt: skip


def test_no_second_spelling(server, client, value, writes):
    """Padding, white space, quotes, letters beyond ASCII, the spare bits of base64: none makes a second valid form."""
    others = [other for other in _respelled(value) if other != value]
    assert [other for other in others if not is_anonymous(visit(client, other))] == []
    head = f"GET / HTTP/1.1\r\nHost: localhost:{server.port}\r\nConnection: close\r\nAccept: text/html\r\n"
    answer, _ = send(server, f"{head}Cookie: proxgate={value}\0\r\n\r\n")
    assert statuses(answer) == [400]  # no header may hold it
    assert writes() == 0


def test_last_character(client, value):
    """The unused bits of the signature's last character give no second spelling of it."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    opened = [last for last in alphabet if visit(client, value[:-1] + last).status_code == 200]
    assert opened == [value[-1]]


def test_well_signed_but_unknown(client):
    """An id that was signed with the right key but never given to anybody opens nothing."""
    answer = visit(client, signer().sign(new_id()))
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login?next=/")


def test_other_names(client, value):
    """Over plain http only the plain name counts, and exactly that."""
    for name in (
        "__Host-proxgate",
        "Proxgate",
        "PROXGATE",
        "proxgate-demo",
        "proxgate-browser",
        "session",
        "xproxgate",
    ):
        assert visit(client, value, name=name).status_code == 303


def test_browser_cookie_opens_nothing(client):
    """The cookie of a browser that has not signed in is no session's cookie."""
    client.get("/login", headers=PAGE)
    assert visit(client, client.cookies["proxgate-browser"]).status_code == 303


# A: two at once


@pytest.mark.parametrize("between", [b"; proxgate=", b"\r\nCookie: proxgate="], ids=["one header", "two headers"])
@pytest.mark.parametrize("order", ["good first", "bad first", "both good", "the same twice"])
def test_two_cookies(server, client, value, between, order):
    """Two cookies of one name make nobody of whoever sends them, in any order: never a mix of two sessions."""
    sign_in(client, "alice", "pve")
    other, good = client.cookies["proxgate"].encode(), value.encode()
    first, second = {
        "good first": (good, b"nonsense"),
        "bad first": (b"nonsense", good),
        "both good": (good, other),
        "the same twice": (good, good),
    }[order]
    head = f"GET / HTTP/1.1\r\nHost: localhost:{server.port}\r\nConnection: close\r\nAccept: text/html\r\n".encode()
    answer, _ = send(server, head + b"Cookie: proxgate=" + first + between + second + b"\r\n\r\n")
    assert statuses(answer) == [303]


def test_among_others(client, value):
    """Other cookies around it, as a host name that is shared has them, do no harm."""
    client.cookies.clear()
    for jar in (f"a=b; proxgate={value}; c=d", f"proxgate={value};x", f'x="y; proxgate={value}', f";proxgate={value};"):
        assert client.get("/", headers={"Cookie": jar, **PAGE}).status_code == 200


def test_behind_many_of_a_neighbour(client, value):
    """A neighbour, another port of the host, cannot push ours out by many that are named like it."""
    client.cookies.clear()
    jar = "; ".join(f"{host}proxgate-{number}=x" for host in ("", "__Host-") for number in range(500))
    assert client.get("/", headers={"Cookie": f"{jar}; proxgate={value}", **PAGE}).status_code == 200


@pytest.mark.parametrize("jar", ["proxgate=x; proxgate={}", "proxgate={}; proxgate=x", "proxgate={0}; proxgate={0}"])
def test_signing_out_beside_a_neighbours(client, jar):
    """Nobody is anybody by two of our name; but whoever signs out so has their session ended."""
    sign_in(client, "alice", "pve")
    value = client.cookies["proxgate"]
    client.cookies.clear()
    assert client.post("/logout", headers={"Cookie": jar.format(value)}).status_code == 303
    assert visit(client, value).status_code == 303


# A: attributes


@pytest.fixture(scope="module")
def secure(valkey_url, sim, tmp_path_factory):
    """The program over https, on the same store."""
    files = tmp_path_factory.mktemp("tls")
    for name, pem in zip(("crt", "key"), self_signed(["localhost"]), strict=True):
        (files / name).write_text(pem)
    settings = {"TLS_CERT_FILE": str(files / "crt"), "TLS_KEY_FILE": str(files / "key"), "SESSION_SECRET": SECRET}
    with harness.proxgate(scheme="https", REDIS_URL=valkey_url, **settings, **harness.for_proxmox(sim)) as up:
        yield up


def _set_cookies(up):
    """Every Set-Cookie of every route that sets one."""
    with up.client(verify=False) as jar:
        answers = [jar.get("/login", headers=PAGE), sign_in(jar), jar.get("/", headers=PAGE)]
        answers += [jar.get("/login"), jar.post("/logout"), sign_in(jar, password="no")]
        answers += [visit(jar, signer().sign(new_id()))]
    with up.client(verify=False) as fresh:
        answers += [fresh.post("/login", json={}), sign_in(fresh, password="no"), sign_in(fresh, "bob", "pve")]
        answers += [fresh.post("/login/verify", data={"kind": "recovery", "code": BOBS_KEYS.pop()}, headers=JSON)]
        answers += [fresh.get("/login/openid?state=x&code=y"), fresh.post("/trust", data={"code": "x"})]
        answers += [fresh.post("/language", data={"language": "de"}), fresh.post("/theme", data={"theme": "dark"})]
    return [line for answer in answers for line in answer.headers.get_list("set-cookie")]


AGES = {"proxgate-device": DEVICE_SECONDS, "proxgate-language": YEAR, "proxgate-theme": YEAR}
"""How long a browser keeps what is no session; all else goes with the browser."""


@pytest.mark.parametrize(("scheme", "prefix"), [("http", ""), ("https", "__Host-")])
def test_attributes(request, client, scheme, prefix):
    """Every cookie of every route is HttpOnly, SameSite=Lax, for the whole host, and over https Secure and __Host-."""
    lines = _set_cookies(request.getfixturevalue({"http": "server", "https": "secure"}[scheme]))
    names = {"proxgate", "proxgate-browser", "proxgate-step", *AGES}
    assert {line.partition("=")[0] for line in lines} == {prefix + name for name in names}
    for line in lines:
        first, *attributes = line.lower().split("; ")
        name, _, held = first.partition("=")
        age = AGES.get(name.removeprefix(prefix.lower())) if held else 0
        expected = {"path=/", "httponly", "samesite=lax", *(["secure"] if prefix else [])}
        assert set(attributes) == expected | (set() if age is None else {f"max-age={age}"}), line


# A: keys


@pytest.fixture(scope="module")
def two_keys(valkey_url, sim):
    """A server on the same store whose secrets are a new one and, second, the old one."""
    settings = harness.for_proxmox(sim)
    secrets = f"{OTHER_SECRET},{SECRET}"
    with harness.proxgate(REDIS_URL=valkey_url, SESSION_SECRET=secrets, STORE_PREFIX="server:", **settings) as up:
        yield up


def test_old_key(two_keys, value):
    """A cookie that an older key of the list signed is good, and is signed again with the first for the same time."""
    with two_keys.client() as jar:
        answer = visit(jar, value)
        assert answer.status_code == 200
        again = re.search(r"proxgate=([^;]+); ", answer.headers["set-cookie"])[1]
        assert again != value
        assert again.split(".")[:2] == value.split(".")[:2]
        assert signer(OTHER_SECRET).open(again).id == value.partition(".")[0]
        following = visit(jar, again)
        assert following.status_code == 200
        assert "set-cookie" not in following.headers


def test_new_key_at_the_old_server(client, two_keys):
    """A server that does not have the key yet knows nothing of its cookies."""
    with two_keys.client() as jar:
        sign_in(jar)
        assert visit(client, jar.cookies["proxgate"]).status_code == 303


# B: fixation, replay


def test_planted(server, client):
    """A planted cookie, signed but of nobody, is replaced by the sign-in and opens nothing afterwards."""
    planted = signer().sign(new_id())
    client.cookies.set("proxgate", planted, domain="localhost.local")
    answer = client.post(
        "/login",
        data={"username": "root", "realm": "pam", "password": "demo"},
        headers={"Accept": "application/json", "Cookie": f"proxgate={planted}"},
    )
    given = re.search(r"proxgate=([^;]+);", str(answer.headers.get_list("set-cookie")))[1]
    assert given.partition(".")[0] != planted.partition(".")[0]
    with server.client() as attacker:
        assert visit(attacker, planted).status_code == 303
        assert visit(attacker, given).status_code == 200


def test_planted_session(server, client):
    """Who signs in over an attacker's live session gets a session of their own, and the planted one is over."""
    with server.client() as attacker:
        sign_in(attacker, "kid", "pve")
        planted = attacker.cookies["proxgate"]
        answer = client.post(
            "/login",
            data={"username": "root", "realm": "pam", "password": "demo"},
            headers={"Accept": "application/json", "Cookie": f"proxgate={planted}"},
        )
        assert answer.status_code == 200
        assert visit(attacker, planted).status_code == 303


def test_planted_browser_id(server, client):
    """An attacker who shares the pre-login cookie with a victim gains nothing but the end of a session."""
    with server.client() as attacker:
        attacker.get("/login", headers=PAGE)
        shared = attacker.cookies["proxgate-browser"]
        client.cookies.set("proxgate-browser", shared, domain="localhost.local", path="/")
        sign_in(client)
        assert attacker.get("/", headers=PAGE).status_code == 303


def test_again_in_one_browser(client):
    """A second sign-in in one browser gives a new id, and the server forgets the old one."""
    sign_in(client)
    old = client.cookies["proxgate"]
    sign_in(client)
    new = client.cookies["proxgate"]
    assert new.partition(".")[0] != old.partition(".")[0]
    assert visit(client, old).status_code == 303
    assert visit(client, new).status_code == 200


def test_failed_again(client):
    """A failed sign-in does not end the session that is there."""
    sign_in(client)
    assert sign_in(client, password="no").status_code == 401
    assert client.get("/", headers=PAGE).status_code == 200


def test_parallel_in_one_browser(server, client, valkey_url):
    """However many sign-ins one browser starts at once, one session of them lives."""
    client.get("/login", headers=PAGE)
    cookie = f"proxgate-browser={client.cookies['proxgate-browser']}"

    def go(_):
        with server.client(headers={"Cookie": cookie}) as jar:
            sign_in(jar)
            return dict(jar.cookies).get("proxgate")

    with ThreadPoolExecutor(6) as pool:
        values = [value for value in pool.map(go, range(6)) if value]
    assert len(set(values)) == len(values) == 6
    assert sum(visit(client, value).status_code == 200 for value in values) == 1


def test_sign_in_against_sign_out(server, client):
    """Sign-ins and sign-outs racing in one jar never show another account, and leave at most one session."""
    client.get("/login", headers=PAGE)
    jar_cookie = f"proxgate-browser={client.cookies['proxgate-browser']}"
    given = []

    def come(number):
        with server.client(headers={"Cookie": jar_cookie}) as jar:
            user, realm = ("root", "pam") if number % 2 else ("alice", "pve")
            if sign_in(jar, user, realm).status_code == 200:
                given.append((jar.cookies["proxgate"], f"{user}@{realm}"))

    def go(_):
        with server.client() as jar, suppress(IndexError):
            jar.post("/logout", headers={"Cookie": f"{jar_cookie}; proxgate={given[-1][0]}"})

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: (go if number % 3 == 2 else come)(number), range(60)))
    alive = [(visit(client, value), owner) for value, owner in given]
    alive = [(answer, owner) for answer, owner in alive if answer.status_code == 200]
    assert len(alive) <= 1
    assert all(owner in answer.text for answer, owner in alive)


# B: expiry


@pytest.fixture(scope="module")
def brief(valkey_url, sim):
    """A server whose sessions fall idle after two seconds and end after five."""
    settings = harness.for_proxmox(sim) | {"SESSION_IDLE_SECONDS": "2", "SESSION_MAX_SECONDS": "5"}
    with harness.proxgate(REDIS_URL=valkey_url, SESSION_SECRET=SECRET, STORE_PREFIX="brief:", **settings) as up:
        yield up


def test_idle(brief):
    """A session that was not used for so long is refused, and the card is told why."""
    with brief.client(headers=PAGE) as jar:
        sign_in(jar)
        kept = jar.cookies["proxgate"]
        time.sleep(1)
        assert visit(jar, kept, "/nope").status_code == 404  # used: the two seconds begin anew
        time.sleep(2.2)  # the server's clock is the subject: nothing to poll for without using the session
        answer = visit(jar, kept, "/guests")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/login?next=/guests&ended=idle"
        assert "proxgate=;" in answer.headers["set-cookie"]
        assert "Your session ended because it was not used for a while" in jar.get(answer.headers["location"]).text


@pytest.fixture(scope="module")
def aged(brief, valkey_url):
    """Two sessions used without a pause until they were refused, the second with its expiry in the store taken off.

    For each its cookie, the answer it then got and the seconds it lived.
    """
    with brief.client() as jar, harness.admin(valkey_url) as store:
        sign_in(jar)
        cookies = [jar.cookies["proxgate"]]
        jar.cookies.clear()
        before = set(store.keys("brief:session:*"))
        sign_in(jar)
        cookies.append(jar.cookies["proxgate"])
        (key,) = set(store.keys("brief:session:*")) - before
        started, lives = time.monotonic(), {}

        def both_refused():
            store.persist(key)
            for cookie in cookies:
                answer = visit(jar, cookie, "/nope")
                if answer.status_code == 303 and cookie not in lives:
                    lives[cookie] = (cookie, answer, time.monotonic() - started)
            return len(lives) == 2

        until(both_refused, seconds=9, every=0.2)
        return [lives[cookie] for cookie in cookies]


def test_longest_age(aged, brief):
    """A session so old is refused however busy it is, and the card says that it reached its longest age."""
    kept, answer, lived = aged[0]
    assert 4 <= lived <= 7
    with brief.client() as jar:
        assert visit(jar, kept).status_code == 303
        assert answer.headers["location"] == "/login?next=/nope&ended=age"
        assert "longest age" in jar.get(answer.headers["location"], headers=PAGE).text


def test_no_end_in_the_store(aged):
    """With its expiry taken off in the store a session still ends at its longest age."""
    assert 4 <= aged[1][2] <= 7


# B: ended elsewhere


def test_disabled_at_proxmox(server, client, sim):
    """When Proxmox no longer takes the account the session ends with it, and the card says so."""
    try:
        sign_in(client, "maria", "home")
        assert client.get("/", headers=PAGE).status_code == 200
        sim.disable("maria@home")

        answers = []
        with suppress(AssertionError):  # the last answer tells
            until(lambda: answers.append(client.get("/", headers=PAGE)) or answers[-1].is_redirect, 15, 0.3)
        answer = answers[-1]
        assert answer.status_code == 303
        assert answer.headers["location"] == "/login?next=/&ended=rejected"
        assert "Proxmox no longer accepts this sign-in" in client.get(answer.headers["location"], headers=PAGE).text
    finally:
        sim.enable("maria@home")


def test_forgotten_by_the_store(client, valkey_url):
    """A session whose record somebody deletes in the store is over with the next request."""
    from services.sessions.record import hash_id

    sign_in(client)
    with harness.admin(valkey_url) as store:
        assert store.delete(f"server:session:{{{hash_id(client.cookies['proxgate'].partition('.')[0])}}}") == 1
    assert client.get("/", headers=PAGE).status_code == 303


def place_of(jar):
    """Where the record of a browser's session lies."""
    from services.sessions.record import hash_id

    return f"server:session:{{{hash_id(jar.cookies['proxgate'].partition('.')[0])}}}"


def test_record_of_another_type(client, server, valkey_url):
    """A key of another type in a record's place opens nothing, is dropped, and the log tells of it."""
    sign_in(client)
    key, told = place_of(client), server.output().count("unreadable session dropped")
    with harness.admin(valkey_url) as store:
        store.delete(key)
        store.lpush(key, "x")
        assert client.get("/", headers=PAGE).status_code == 303
        assert not store.exists(key)
    assert server.output().count("unreadable session dropped") == told + 1


@pytest.mark.parametrize("case", ["empty", "garbage", "cut short", "another's"])
def test_wrong_record(client, server, valkey_url, case):
    """A record that is not what we wrote at this place opens nothing, and is dropped."""
    sign_in(client, "alice", "pve")
    with harness.admin(valkey_url) as store, server.client() as other:
        sign_in(other)
        key, good, others = place_of(client), store.get(place_of(client)), store.get(place_of(other))
        bad = {"empty": b"", "garbage": b"x" * 500, "cut short": good[:-1], "another's": others}[case]
        store.set(key, bad, keepttl=True)
        assert client.get("/", headers=PAGE).status_code == 303
        assert not store.exists(key)


@pytest.mark.parametrize("pair", ["a{}=x", "proxgate{}=x", "proxgate=x"], ids=["others'", "of our names", "one name"])
def test_many_cookies_are_not_kept(pair):
    """Whatever a stranger sends as cookies takes no more memory than its header."""
    scope = {"headers": [(b"cookie", "; ".join(pair.format(n) for n in range(5_000)).encode())]}
    cookie_values(scope, "proxgate")
    kept = scope["proxgate.headers"].cookies
    assert sum(len(values) for values in kept.values()) <= 20
