"""Proxgate behind the nginx and the Caddy of `deploy/`, as they are shipped."""

import re
import subprocess

import pytest

from services.certificate import self_signed
from services.proxmox.userid import split_userid
from tests import harness
from tests.fronts import SHIPPED, front, lay_out
from tests.harness import PAGE, sign_in
from tests.programs import needed
from tests.socket_client import load, signed_in, tab

KINDS = ("nginx", "caddy")
PER_ADDRESS = 30


@pytest.fixture(scope="module")
def pve():
    """A Proxmox that refuses at once."""
    with harness.simulator(speed=300.0) as running:
        yield running


@pytest.fixture(scope="module", params=KINDS)
def up(request, valkey_url, pve):
    """Proxgate behind each."""
    settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": f"front-{request.param}:", **harness.for_proxmox(pve)}
    with front(request.param, **settings) as running:
        running.kind = request.param
        yield running


async def test_a_page_and_its_socket(up):
    """Who signs in through it gets a cookie for https alone, a page, and what its socket brings."""
    with signed_in(up) as client:
        [cookie] = [one for one in client.cookies.jar if one.name == "__Host-proxgate"]
        assert cookie.secure
        async with tab(up, client, load(client, "/")) as seen:
            await seen.until(seen.data, 10)
            assert not seen.closed


def test_no_banner_that_it_is_undeclared(up):
    """Proxgate knows that it is there, and so nothing is said on the pages of those who come through it."""
    with signed_in(up) as client:
        assert "TRUSTED_PROXIES" not in client.get("/", headers=PAGE).text


def test_the_persons_own_address_counts(up):
    """Failures count for the address that it saw, whatever the person forwards."""

    def fail(source, number):
        with up.client(source, headers={"X-Forwarded-For": f"198.51.100.{number}"}) as client:
            return sign_in(client, f"nobody{number}", "pve", "wrong").status_code

    assert {fail("127.0.0.2", number) for number in range(PER_ADDRESS)} == {401}
    assert fail("127.0.0.2", PER_ADDRESS) == 429
    assert fail("127.0.0.3", PER_ADDRESS + 1) == 401


@pytest.mark.parametrize(
    "forged",
    [
        {"X-Forwarded-Host": "evil.example"},
        {"X-Forwarded-Proto": "http"},
        {"Forwarded": "host=evil.example;proto=http"},
    ],
)
def test_what_a_person_forwards_is_thrown_away(up, forged):
    """A host and a scheme that somebody sends as if they were a proxy are not believed."""
    with up.client(headers=forged) as client:
        answer = sign_in(client, *split_userid("alice@pve"))
        assert answer.status_code == 200
        assert answer.headers["set-cookie"].startswith("__Host-proxgate")
        assert "evil.example" not in client.get("/login", headers=PAGE).text


def test_the_request_has_the_proxys_id(up):
    """The proxy names each request, and nobody else does."""
    with up.client(headers={"X-Request-ID": "of-somebody-else"}) as client:
        ids = [client.get("/healthz").headers["x-request-id"] for _ in range(2)]
    assert ids[0] != ids[1]
    assert all(re.fullmatch(r"[0-9a-f-]{32,36}", id) for id in ids)


def test_another_site_is_refused(up):
    """A form of another site signs nobody in or out."""
    with up.client(headers={"Origin": "https://evil.example"}) as client:
        assert sign_in(client).status_code == 403


def test_no_query_in_its_logs(up):
    """Neither the ids of tabs nor what a provider sent back stands there, not of a request that failed either.

    The last test with each, since it takes Proxgate away.
    """
    told = {"nginx": "GET /login/openid 502", "caddy": "connection refused"}[up.kind]
    with up.client() as client:
        client.get("/login/openid?code=SECRETCODE&state=s")
        up.behind.stop()
        assert client.get("/login/openid?code=SECRETCODE&state=s").status_code == 502
    harness.until(lambda: told in up.logged())
    assert "SECRETCODE" not in up.logged()
    assert "client_id" not in up.logged()


def test_nginx_has_nothing_to_complain_of(tmp_path):
    """It takes the shipped configuration without a warning."""
    for name, text in zip(("crt", "key"), self_signed(["localhost"]), strict=True):
        (tmp_path / f"proxgate.{name}").write_text(text)
    command = lay_out("nginx", tmp_path, harness.free_port(), 1)
    done = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


def test_caddy_has_nothing_to_complain_of():
    """It takes the shipped configuration as it is, without a warning."""
    command = [needed("caddy"), "adapt", "--adapter", "caddyfile", "--config", str(SHIPPED["caddy"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
