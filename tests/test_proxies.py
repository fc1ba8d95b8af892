"""Behind a reverse proxy, as people set them up: what stands in Host, and what the browser then calls its origin."""

import pytest

from tests import harness
from tests.harness import PAGE, sign_in

PUBLIC = "https://home.example:8443"


@pytest.fixture(scope="module")
def behind(valkey_url, sim):
    """The program, told that a proxy on this machine stands in front of it."""
    settings = {"REDIS_URL": valkey_url, "STORE_PREFIX": "proxy:", "SESSION_SECRET": harness.SECRET}
    told = {"PUBLIC_URL": PUBLIC, "TRUSTED_PROXIES": "127.0.0.1"}
    with harness.proxgate(**settings, **told, **harness.for_proxmox(sim)) as up:
        yield up


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "127.0.0.1:8080"},
        {"Host": "proxgate:8080"},
        {"Host": "home.example"},
        {"Host": "home.example:8443"},
        {"Host": "127.0.0.1:8080", "X-Forwarded-Host": "home.example:8443", "X-Forwarded-Proto": "https"},
        {"Host": "home.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"},
    ],
    ids=["bare proxy_pass", "container's name", "port dropped", "as typed", "all forwarded", "scheme forwarded"],
)
def test_a_person_signs_in_through_the_proxy(behind, headers):
    """Whatever the proxy makes of Host, the origin that people typed signs in, with the cookie that https has."""
    with behind.client(headers=headers) as jar:
        assert jar.get("/login", headers=PAGE).status_code == 200
        answer = sign_in(jar, headers={"Origin": PUBLIC, "Sec-Fetch-Site": "same-origin"})
        assert answer.status_code == 200, answer.text
        assert answer.headers["set-cookie"].startswith("__Host-proxgate=")
        cookie = answer.headers["set-cookie"].partition(";")[0]
        assert jar.get("/nowhere", headers={**PAGE, "Cookie": cookie}).status_code == 404


@pytest.mark.parametrize("origin", ["https://home.example", "http://home.example:8443", "https://evil.example", "null"])
def test_other_origins_stay_out(behind, origin):
    """Only the address that people type is ours: another port, scheme or host is another site."""
    with behind.client(headers={"Host": "home.example"}) as jar:
        assert sign_in(jar, headers={"Origin": origin}).status_code == 403


def test_a_forwarded_host_that_is_not_ours_is_refused(behind):
    """Even a trusted proxy does not make us answer for another name."""
    with behind.client(headers={"X-Forwarded-Host": "evil.example"}) as jar:
        assert jar.get("/login", headers=PAGE).status_code == 400


def test_an_address_with_something_behind_it_is_none(behind):
    """What a proxy forwards as an address is one, or counts for nothing: a zone may hold any words."""
    with behind.client(headers={"X-Forwarded-For": "fe80::1%canary event=sign-in"}) as jar:
        assert sign_in(jar, "nobody-behind", "pve", "wrong").status_code == 401
    harness.until(lambda: "nobody-behind" in behind.output())
    assert "canary" not in behind.output()
