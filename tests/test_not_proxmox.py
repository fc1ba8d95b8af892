"""Something else in Proxmox's place, from outside: whatever it says and shows of itself opens and costs nothing."""

import asyncio
import contextlib
import datetime
import hashlib
import ssl
import time
import warnings
import zlib
from functools import cache
from pathlib import Path

import httpx
import pytest
import trustme

from tests import harness
from tests.conftest import forget_failures
from tests.harness import PAGE, sign_in
from tests.impostor import RESET, SILENCE, Impostor, Listener, context_of, http
from tests.socket_client import load, tab
from tests.test_http_login import DEADLINE, NOT_PROXMOX, UNREACHABLE, records

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
SIGN_IN_CAP, LIST_CAP, MARGIN = 1, 32, 20
"""MiB: the longest answers that are read, and what a process may grow by beyond them."""


@pytest.fixture(scope="module")
def impostor():
    """Something that is not Proxmox."""
    running = Impostor()
    yield running
    running.close()


@pytest.fixture(scope="module")
def fooled(impostor, valkey_url):
    """A program whose Proxmox is the impostor, its certificate pinned."""
    with _at(impostor, valkey_url, "fooled:", PROXMOX_FINGERPRINT=impostor.fingerprint) as up:
        yield up


def _at(impostor, valkey_url, prefix, **settings):
    settings |= {"REDIS_URL": valkey_url, "SESSION_SECRET": harness.SECRET, "STORE_PREFIX": prefix}
    return harness.proxgate(PROXMOX_HOST=f"127.0.0.1:{impostor.port}", **settings)


@pytest.fixture
def jar(fooled, impostor, valkey_url):
    """A browser at that program, with nothing counted and nothing heard yet."""
    forget_failures(valkey_url)
    impostor.forget()
    impostor.reply, impostor.replies = http(501), {}
    with fooled.client() as client:
        yield client


@pytest.fixture
def refused(jar, impostor, valkey_url):
    """Sign in at a Proxmox that replies so: the sentence, within the deadline, for one password and no session."""

    def attempt(reply):
        impostor.reply = reply
        before, began = records(valkey_url, "fooled:"), time.monotonic()
        answer = sign_in(jar)
        assert time.monotonic() - began < DEADLINE + 1
        assert answer.status_code == 502, answer.text
        assert "proxgate" not in jar.cookies
        assert sum(b"password=demo" in heard for heard in impostor.heard) == 1
        assert records(valkey_url, "fooled:") == before
        return answer.json()["error"]

    return attempt


LOGIN = b'{"data":{"username":"%s","ticket":"PVE:%s:00000000::x","CSRFPreventionToken":"0:x","cap":%s}}'


def login(name=b"root@pam", ticket=b"", cap=b"{}"):
    """The body of a sign-in that went well."""
    return LOGIN % (name, ticket or name, cap)


STRANGE = {
    "HTML": http(200, b"<html></html>", "Content-Type: text/html"),
    "empty": http(200),
    "other JSON": http(200, b"[]"),
    "no ticket": http(200, b'{"data":{}}'),
    "null": http(200, b'{"data":null}'),
    "deep JSON": http(200, b"[" * 10_000),
    "header in the ticket": http(200, login(ticket=b"root@pam\\r\\nX: y")),
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
}


@pytest.mark.parametrize("case", STRANGE)
def test_not_proxmox(refused, case):
    """What answers unlike Proxmox is told so; it sees the password once, and nothing is stored."""
    assert refused(STRANGE[case]) == (UNREACHABLE if case == "no HTTP" else NOT_PROXMOX)


BROKEN = {
    "reset before a word": (RESET,),
    "reset in the head": (b"HTTP/1.1 200 OK\r\nContent-", RESET),
    "reset in the body": (http(200, b'{"data":', length=1_000), RESET),
    "closed before a word": b"",
    "closed in the head": b"HTTP/1.1 200 OK\r\nContent-",
    "closed in the body": http(200, b'{"data":', length=1_000),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_off(refused, fooled, case):
    """A connection that breaks at whatever point is an outage like any other, and begins no session."""
    assert refused(BROKEN[case]) == UNREACHABLE
    assert "Traceback" not in fooled.output()


@pytest.mark.parametrize("status", ["595", "596", "597", "598", "599", "999", "000", "a flood of 1xx", "a slow 1xx"])
def test_odd_status(refused, fooled, status):
    """Every status that Proxmox's proxy has for an outage, and those that nobody has, are an outage and no more."""
    floods = {"a flood of 1xx": _informed, "a slow 1xx": (b"HTTP/1.1 103 Early Hints\r\n\r\n", SILENCE)}
    assert refused(floods.get(status) or http(status)) == UNREACHABLE
    assert fooled.process.poll() is None
    assert "Traceback" not in fooled.output()


def _informed():
    while True:
        yield b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1_000


# Redirects


@pytest.fixture
def elsewhere():
    """A place that nobody shall connect to."""
    running = Listener()
    yield running
    running.close()


@pytest.mark.parametrize("to", ["https", "http", "itself"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects(jar, impostor, elsewhere, status, to):
    """A redirect leads nowhere: nobody connects to its target, and only who was asked first has seen the password."""
    path = "/api2/json/access/ticket"
    location = path if to == "itself" else f"{to}://127.0.0.1:{elsewhere.port}{path}"
    impostor.reply = http(status, b"", f"Location: {location}")
    answer = sign_in(jar)
    assert sum(path.encode() in heard for heard in impostor.heard) == 1  # others may ask for other things
    assert elsewhere.connections == 0
    assert (answer.status_code, answer.json()["error"]) == (502, NOT_PROXMOX)


# Memory


@pytest.fixture
def grown(fooled):
    """MiB by which the process has at any moment been larger than when the test began to measure."""
    place = Path(f"/proc/{fooled.process.pid}")

    def resident(what):
        return int((place / "status").read_text().partition(f"{what}:")[2].split()[0]) / 1024

    def begin():
        before = resident("VmRSS")
        (place / "clear_refs").write_text("5")  # the peak begins anew
        return lambda: resident("VmHWM") - before

    return begin


def _endless():
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + b'{"data": "'
    for _ in range(4_096):  # a quarter of a GiB: nobody shall come so far
        yield b"a" * 65_536


ENDLESS = {"without a length": _endless, "with one": lambda: (http(200, b"", length=1 << 30), *_endless())}


@pytest.mark.parametrize("case", ENDLESS)
def test_endless_sign_in(refused, jar, impostor, grown, case):
    """Of an endless answer to a sign-in no more is read than its cap."""
    impostor.reply = http(200, b"{}")
    sign_in(jar)
    impostor.forget()
    peak = grown()
    assert refused(ENDLESS[case]) == NOT_PROXMOX
    assert peak() < SIGN_IN_CAP + MARGIN


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate"])
def test_bombs(refused, jar, impostor, grown, encoding):
    """A small answer that would inflate to a quarter of a GiB is not inflated beyond the cap, or not at all."""
    packed = bomb()
    impostor.reply = http(200, b"{}")
    sign_in(jar)
    impostor.forget()
    peak = grown()
    assert refused(http(200, packed, f"Content-Encoding: {encoding}")) == NOT_PROXMOX
    assert peak() < SIGN_IN_CAP + MARGIN


@cache
def bomb():
    """A quarter of a GiB, as gzip."""
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(256)) + packer.flush()


@pytest.mark.parametrize("case", ["endless", "a bomb"])
async def test_endless_list(fooled, jar, impostor, grown, case):
    """Nor of an endless or inflated list: its page says that this is not Proxmox."""
    impostor.replies = {"/access/ticket": http(200, login()), "/cluster/resources": http(200, b'{"data":[]}')}
    assert sign_in(jar).status_code == 200
    # What the case before left behind is over.
    await asyncio.to_thread(harness.until, lambda: NOT_PROXMOX not in jar.get("/", headers=PAGE).text, 30, 1)
    endless = http(200, bomb(), "Content-Encoding: gzip") if case == "a bomb" else _endless
    async with tab(fooled, jar, load(jar, "/")) as up:
        await up.until(up.data)
        peak = grown()
        impostor.replies["/cluster/resources"] = endless
        most = LIST_CAP + MARGIN
        await up.until(lambda: peak() > most or any(one in str(up.data()) for one in (NOT_PROXMOX, UNREACHABLE)), 60)
        assert peak() < most
        assert NOT_PROXMOX in str(up.data())


# Certificates


@pytest.fixture(scope="module")
def authority():
    """An authority of the house."""
    return trustme.CA()


@pytest.fixture(scope="module")
def by_authority(authority, valkey_url, tmp_path_factory):
    """A server that shows what a test wants it to, before a program that trusts the authority alone."""
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(file)
    with _showing(valkey_url, "authority:", PROXMOX_CA_FILE=str(file)) as pair:
        yield pair


@pytest.fixture(scope="module")
def pinned(authority):
    """The one certificate that the next program trusts."""
    return authority.issue_cert("127.0.0.1")


@pytest.fixture(scope="module")
def by_fingerprint(pinned, valkey_url):
    """The same before one that trusts a certificate alone."""
    shown = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pinned.cert_chain_pems[0].bytes().decode())).hexdigest()
    with _showing(valkey_url, "fingerprint:", PROXMOX_FINGERPRINT=shown) as pair:
        yield pair


@contextlib.contextmanager
def _showing(valkey_url, prefix, **settings):
    showing = Impostor()
    showing.own, showing.reply = showing.context, http(200, login())
    with contextlib.closing(showing), _at(showing, valkey_url, prefix, **settings) as up:
        yield showing, up


def _context(leaf, limit=lambda _: None):
    context = context_of(leaf.private_key_and_cert_chain_pem.bytes().decode())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        limit(context)
    return context


def _tls_1_0(context):
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1


def _no_encryption(context):
    context.set_ciphers("eNULL:@SECLEVEL=0")
    context.maximum_version = ssl.TLSVersion.TLSv1_2


def _old(authority):
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    return authority.issue_cert("127.0.0.1", not_before=now - 9 * day, not_after=now - day)


BY_AUTHORITY = {
    "expired": lambda authority: _context(_old(authority)),
    "for another host": lambda authority: _context(authority.issue_cert("127.0.0.2")),
    "by another authority": lambda _: _context(trustme.CA().issue_cert("127.0.0.1")),
    "TLS 1.0": lambda authority: _context(authority.issue_cert("127.0.0.1"), _tls_1_0),
    "no encryption": lambda authority: _context(authority.issue_cert("127.0.0.1"), _no_encryption),
}
OUTDATED = ("TLS 1.0", "no encryption")


@pytest.mark.parametrize("case", BY_AUTHORITY)
def test_certificates(by_authority, authority, case):
    """A server that nobody vouches for, or that offers no TLS worth the name, gets no byte of a request."""
    by_authority[0].context = BY_AUTHORITY[case](authority)
    _refused_twice(*by_authority, is_told=case not in OUTDATED)


@pytest.mark.parametrize("case", ["self-signed", "by a good authority", *OUTDATED])
def test_fingerprints(by_fingerprint, pinned, authority, case):
    """Nor does one whose certificate is not the pinned one, whoever signed it, or is, over old TLS."""
    showing, _ = by_fingerprint
    limits = {"TLS 1.0": _tls_1_0, "no encryption": _no_encryption}
    leaf = pinned if case in OUTDATED else authority.issue_cert("127.0.0.1")
    showing.context = showing.own if case == "self-signed" else _context(leaf, limits.get(case, lambda _: None))
    _refused_twice(*by_fingerprint, is_told=case not in OUTDATED)


def test_trusted(by_authority, by_fingerprint, pinned):
    """The same servers with a good certificate get the password: what is refused above is not refused for all."""
    for showing, up in (by_authority, by_fingerprint):
        showing.context = _context(pinned)
        with up.client() as jar:
            assert sign_in(jar).status_code == 200


def _refused_twice(showing, up, *, is_told):
    """A sign-in, and another, since the first could have left something behind; the fingerprint `is_told`, or not."""
    assert _lax_client_connects(showing), "nobody can connect there at all, so nothing is shown"
    showing.forget()
    for _ in range(2):
        with up.client() as jar:
            answer = sign_in(jar)
            assert (answer.status_code, showing.bytes) == (502, 0)
            assert "proxgate" not in jar.cookies
            sentence = answer.json()["error"]
            assert _shown(showing) in sentence if is_told else sentence == UNREACHABLE


def _lax_client_connects(showing):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        lax = _lax()
        lax.minimum_version = ssl.TLSVersion.TLSv1
        lax.set_ciphers("ALL:eNULL:@SECLEVEL=0")
    with httpx.Client(verify=lax, trust_env=False) as client:
        return client.get(f"https://127.0.0.1:{showing.port}/").status_code == 200


def _lax():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _shown(showing):
    pem = ssl.get_server_certificate(("127.0.0.1", showing.port))
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest().hex(":").upper()


# What a sign-in that went well may hold

TOO_MUCH = {
    "a ticket of 64 KiB": login(ticket=b"root@pam:" + b"a" * 65_536),
    "rights of 10 MiB": login(cap=b'{"vms":{"%s":1}}' % (b"a" * 10 * MIB)),
    "somebody else": login(b"admin@pam"),
    "the same name in another realm": login(b"root@pve"),
}


@pytest.mark.parametrize("case", TOO_MUCH)
def test_too_good_a_sign_in(refused, case):
    """An endless ticket or list of rights, and somebody else's name, are refused however well the sign-in went."""
    assert refused(http(200, TOO_MUCH[case])) == NOT_PROXMOX


def test_proxmoxs_spelling_is_shown(jar, impostor):
    """Where a realm knows an account by another spelling, that one is shown, and is whose session it is."""
    impostor.reply = http(200, login(b"ROOT@pam"))
    assert sign_in(jar).status_code == 200
    page = jar.get("/nope", headers=PAGE).text
    assert "ROOT@pam" in page
    assert "root@pam" not in page


async def test_cookies(fooled, jar, impostor):
    """A cookie that Proxmox sets with one's answers comes back with nobody's requests, and reaches no browser."""
    cookies = [f"Set-Cookie: {name}=canary; Path=/; Secure" for name in ("PVEAuthCookie", "proxgate", "other")]
    impostor.reply = http(200, b'{"data":[]}', *cookies)
    impostor.replies = {"/access/ticket": http(200, login(), *cookies)}
    assert sign_in(jar).status_code == 200
    async with tab(fooled, jar, load(jar, "/")) as up:
        await up.until(lambda: any(b"/cluster/resources" in heard for heard in impostor.heard), 10)
    impostor.replies = {"/access/ticket": http(200, login(b"kid@pve"))}
    with fooled.client() as kid:
        assert sign_in(kid, "kid", "pve").status_code == 200
        assert "canary" not in str([*jar.cookies.items(), *kid.cookies.items()])
    assert len(impostor.heard) > 2
    assert [heard for heard in impostor.heard if b"canary" in heard] == []


def test_not_trusted(valkey_url):
    """Who needs no scripts is told of a certificate that nobody vouched for, its fingerprint and the mend."""
    with _showing(valkey_url, "untrusting:", PROXMOX_FINGERPRINT=":".join(["AB"] * 32)) as (showing, up):
        with up.client() as jar:
            plain = jar.post("/login", data={"username": "root", "realm": "pam", "password": "demo"}, headers=PAGE)
            card = jar.get(plain.headers["location"], headers=PAGE).text
        for word in ("not trusted", showing.fingerprint, "PROXMOX_FINGERPRINT", "PROXMOX_CA_FILE"):
            assert word in card
        assert showing.bytes == 0


def test_nobody_there(valkey_url):
    """Where nobody listens the sentence is that Proxmox cannot be reached."""
    settings = {"PROXMOX_HOST": f"127.0.0.1:{harness.free_port()}", "PROXMOX_FINGERPRINT": ":".join(["AB"] * 32)}
    with (
        harness.proxgate(REDIS_URL=valkey_url, SESSION_SECRET=harness.SECRET, STORE_PREFIX="lone:", **settings) as up,
        up.client() as jar,
    ):
        answer = sign_in(jar)
        assert (answer.status_code, answer.json()["error"]) == (502, UNREACHABLE)
        assert jar.get("/login", headers=PAGE).status_code == 200
        assert jar.get("/readyz").status_code == 200
