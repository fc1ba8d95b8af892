"""Two replicas behind the HAProxy that ships in `deploy/`: one killed costs its tabs a reconnect and nobody a login."""

import asyncio
import re
import subprocess
import time

import pytest
import trustme
from playwright.sync_api import expect

from tests import browser, harness
from tests.harness import PAGE, sign_in
from tests.programs import needed
from tests.replicas import COOKIE, NAMES, SHIPPED, adapted, site
from tests.socket_client import cookies_of, load, query_of, refused, signed_in, tab
from tests.test_store_down import OwnValkey

pytestmark = pytest.mark.slow

OTHER = {"a": "b", "b": "a"}
PER_ADDRESS = 30


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A Valkey of this module's own, to be taken away."""
    own = OwnValkey(tmp_path_factory.mktemp("valkey"))
    own.start()
    yield own
    own.kill()


@pytest.fixture(scope="module")
def pve():
    """A Proxmox that refuses at once."""
    with harness.simulator(speed=300.0) as running:
        yield running


@pytest.fixture(scope="module")
def both(store, pve):
    """Two replicas and their HAProxy."""
    with site(REDIS_URL=store.url, **harness.for_proxmox(pve)) as up:
        yield up


@pytest.fixture
def root(both):
    """A browser that has signed in, wherever HAProxy sent it."""
    both.until_ready()
    with signed_in(both) as client:
        yield client


def at(client, name):
    """The same browser's cookies, but sent to this replica."""
    kept = [pair for pair in cookies_of(client).split("; ") if not pair.startswith(COOKIE)]
    return "; ".join([*kept, f"{COOKIE}={name}"])


def test_haproxy_takes_the_shipped_configuration(tmp_path):
    """HAProxy finds nothing to complain of in it, and both its backends name the same replicas."""
    certificate = tmp_path / "proxgate.pem"
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
    file = tmp_path / "haproxy.cfg"
    file.write_text(adapted(certificate, harness.free_port(), {"a": 1, "b": 2}))
    said = subprocess.run([needed("haproxy"), "-c", "-f", file], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, ""), said.stderr
    servers = re.findall(r"^ +server (.*)$", SHIPPED.read_text(), re.M)
    assert servers[: len(NAMES)] == servers[len(NAMES) :]


def test_a_session_works_on_every_replica(both, root):
    """Whichever replica is asked, a session made on one of them opens a page that names its owner."""
    for name in NAMES:
        with both.client(headers={"Cookie": at(root, name), **PAGE}) as client:
            page = client.get("/nowhere")
            assert page.status_code == 404
            assert "root@pam" in page.text
            assert "set-cookie" not in page.headers  # so it was this one


def test_the_cookie_that_names_the_replica(both):
    """It is out of reach of scripts, other sites and plain http, and ends with the browser's own session."""
    with both.client() as client:
        cookie = client.get("/login", headers=PAGE).headers.get_list("set-cookie")
        [named] = [one for one in cookie if one.startswith(COOKIE)]
    value, *attributes = named.split("; ")
    assert value.partition("=")[2] in NAMES
    assert {one.lower() for one in attributes} == {"path=/", "httponly", "secure", "samesite=lax"}


async def test_a_page_and_its_socket_meet_at_one_replica(both):
    """Wherever a browser's page was built its socket goes too; at the other replica it would be told to load anew."""
    for _ in range(2):
        with signed_in(both) as client:
            page = load(client, "/")
            here = client.cookies[COOKIE]
            async with tab(both, client, page) as up:
                await up.until(up.data)
            query = query_of(page.client_id, next_message_id=page.message_id)
            assert await refused(both, query, at(client, OTHER[here])) is not None


def test_the_persons_own_address_counts(both):
    """Failures count for the address that HAProxy saw, over both replicas, whatever the person forwards."""

    def fail(source, number):
        forged = {"X-Forwarded-For": f"198.51.100.{number}", "Cookie": f"{COOKIE}={NAMES[number % 2]}"}
        with both.client(source, headers=forged) as client:
            return sign_in(client, f"nobody{number}", "pve", "wrong").status_code

    assert {fail("127.0.0.2", number) for number in range(PER_ADDRESS)} == {401}
    assert fail("127.0.0.2", PER_ADDRESS) == 429
    assert fail("127.0.0.2", PER_ADDRESS + 1) == 429
    assert fail("127.0.0.3", PER_ADDRESS + 2) == 401


def test_what_a_person_forwards_is_thrown_away(both):
    """A host and a scheme that somebody sends as if they were a proxy are not believed."""
    with both.client(headers={"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}) as client:
        answer = sign_in(client)
        assert answer.status_code == 200
        assert answer.headers["set-cookie"].startswith("__Host-proxgate")


def test_the_request_has_haproxys_id(both):
    """HAProxy names each request, in its own log too, and nobody else does."""
    with both.client(headers={"X-Request-ID": "of-somebody-else"}) as client:
        id = client.get("/healthz").headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f-]{36}", id)
    harness.until(lambda: id in both.output())


async def test_a_session_ended_on_one_replica_ends_on_the_other(both, root):
    """Signing out at one replica takes the session's tab at the other to the login card, and nothing more is shown."""
    page = load(root, "/")
    async with tab(both, root, page) as up:
        await up.until(up.data)
        elsewhere = {"Cookie": at(root, OTHER[root.cookies[COOKIE]]), "Origin": both.url}
        with both.client(headers=elsewhere) as client:
            assert client.post("/logout").headers["location"] == "/login"
        await up.until(lambda: up.closed, 10)
        [(sent, address)] = up.opened()
        assert address == "/login"
        assert not up.data(sent)


def test_a_store_that_is_down_is_told_by_proxgate(both, root, store):
    """With no replica ready people still read Proxgate's own page; the session is there again with the store."""
    with store.dead():
        both.until_ready(ready=False)
        answer = root.get("/", headers=PAGE)
        assert answer.status_code == 503
        assert "Session store unreachable" in answer.text
    harness.until(lambda: root.get("/nowhere", headers=PAGE).status_code == 404, 20)


async def test_open_tabs_outlast_a_store_that_is_down(both, root, store):
    """HAProxy cuts no tab while no replica is ready: each goes on where it was when the store is back."""
    async with tab(both, root, load(root, "/")) as up:
        await up.until(up.data)
        with store.silent():
            await asyncio.to_thread(both.until_ready, ready=False)
            back = time.monotonic()
        await up.until(lambda: up.data(back), 20)
        assert not up.closed
        assert not up.opened()


def test_a_replica_without_the_store_is_left_out(both, root):
    """One that alone cannot reach the store gets nobody, those neither who were there before."""
    try:
        both.stop("b")
        both.start("b", REDIS_URL="unix:///nowhere")
        harness.until(lambda: not both.serves("b"), 20)
        for _ in range(4):
            with both.client(headers={"Cookie": at(root, "b"), **PAGE}) as client:
                assert client.get("/nowhere").status_code == 404
    finally:
        both.stop("b")
        both.start("b")
        both.until_all_serve()


@pytest.mark.browser
def test_a_killed_replica_costs_its_tabs_a_reconnect(both):
    """kill -9 of the replica that a tab hangs on: it shows the same page again by itself, and nobody has to log in."""
    with browser.launched() as chromium:
        context = chromium.new_context(base_url=both.url, ignore_https_errors=True)
        context.set_default_timeout(20_000)
        watched = browser.Watched(context)
        page = browser.card(watched.page)
        browser.sign_in(page)
        expect(page.get_by_role("article")).to_have_count(3)
        page.wait_for_load_state("networkidle")  # a script that is cut off on its way is an error of the browser's
        asked = len(watched.addresses)
        here = _cookie(context)
        both.kill(here)
        harness.until(lambda: page.wait_for_timeout(50) or _cookie(context) == OTHER[here], 20)
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        expect(page.get_by_role("article")).to_have_count(3)
        expect(page.locator("#popup")).to_be_hidden()
        assert page.url == f"{both.url}/"
        assert not [address for address in watched.addresses[asked:] if "/login" in address.partition("?")[0]]
        assert watched.mistakes() == []
        context.close()
    both.start(here)
    both.until_all_serve()


def _cookie(context):
    return next(one["value"] for one in context.cookies() if one["name"] == COOKIE)


def test_haproxy_logs_no_query(both):
    """Neither the ids of tabs nor what a provider sent back stands in HAProxy's log."""
    with both.client() as client:
        client.get("/login/openid?code=SECRETCODE&state=s")
    harness.until(lambda: "/login/openid" in both.output())
    assert "SECRETCODE" not in both.output()
    assert "client_id" not in both.output()
