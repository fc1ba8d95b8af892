"""Proxmox's half of OpenID, simulated, against a provider of somebody else's and the simulator's own."""

import base64
import contextlib
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils

from services.proxmox.models import Realm
from services.simulator import Account, OpenIdRealm, Simulator
from services.simulator.household import REALMS
from services.simulator.jose import Jwk, b64, public_jwk, signed, verified
from services.simulator.openid import _check, _Claims
from services.simulator.provider import Provider

SPEED = 30.0
REFUSAL = 3.0 / SPEED
BACK = "https://proxgate.example/openid/return"
SSO = Realm(realm="sso", type="openid")
PEOPLE = (
    Account(userid="anna@sso", password=""),
    Account(userid="anna@example.org@sso", password=""),
    Account(userid="gone@sso", password="", enabled=False),
)
_CLAIMS = '{"sub": "%s", "email": "anna@example.org", "preferred_username": "anna"}'


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    """A provider by other hands, as a process of its own; its issuer."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", "true"]
    command += [word for name in ("anna", "gone") for word in ("--user-claims", _CLAIMS % name)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    issuer = f"http://127.0.0.1:{port}"
    try:
        _wait_for(issuer)
        yield issuer
    finally:
        process.terminate()
        process.wait(5)


def _wait_for(issuer: str) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{issuer}/jwks", trust_env=False)
            return
        time.sleep(0.05)
    raise AssertionError("no provider")


class Lab:
    """A simulator with the realm `sso`, a client at its first door, and the browser's way through the provider."""

    def __init__(self, sim: Simulator, client: httpx.AsyncClient, browse: Callable[..., Awaitable[dict[str, str]]]):
        self.sim = sim
        self.client = client
        self.browse = browse

    async def leave(self, realm: str = "sso", redirect: str = BACK) -> str:
        form = {"realm": realm, "redirect-url": redirect}
        answer = await self.client.post("/access/openid/auth-url", data=form)
        assert answer.status_code == 200, answer.reason_phrase
        return answer.json()["data"]

    async def come_back(self, returned: dict[str, str], redirect: str = BACK) -> httpx.Response:
        form = {"state": returned["state"], "code": returned["code"], "redirect-url": redirect}
        return await self.client.post("/access/openid/login", data=form)

    async def sign_in(self, person: str) -> httpx.Response:
        return await self.come_back(await self.browse(await self.leave(), person))


def parameters(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def browse_mock(url: str, person: str) -> dict[str, str]:
    """The form of the other provider takes any name."""
    async with httpx.AsyncClient(trust_env=False) as browser:
        answer = await browser.post(url, data={"sub": person})
    assert answer.headers["location"].startswith(f"{BACK}?")
    return parameters(answer.headers["location"])


async def press(url: str, button: str) -> httpx.Response:
    """Open our own provider's page and press a button on it."""
    async with httpx.AsyncClient(trust_env=False) as browser:
        page = await browser.get(url)
        fields = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text))
        fields = {name: value.replace("&quot;", '"').replace("&amp;", "&") for name, value in fields.items()}
        assert f'value="{button}"' in page.text
        return await browser.post(str(httpx.URL(url).join("/authorize")), data=fields | {"answer": button})


async def browse_own(url: str, person: str) -> dict[str, str]:
    location = (await press(url, f"as {person}")).headers["location"]
    assert location.startswith(f"{BACK}?")
    return parameters(location)


@contextlib.asynccontextmanager
async def lab(browse: Callable[..., Awaitable[dict[str, str]]], **options: Any) -> AsyncIterator[Lab]:
    async with Simulator(**{"speed": SPEED, **options}) as sim:
        base = f"https://{sim.address}/api2/json"
        async with httpx.AsyncClient(base_url=base, verify=False, trust_env=False, timeout=5) as client:
            yield Lab(sim, client, browse)


def at_mock(issuer: str, **settings: Any) -> contextlib.AbstractAsyncContextManager[Lab]:
    realm = OpenIdRealm(issuer=issuer, client_id="proxgate", client_secret="a:secret+", **settings)
    return lab(browse_mock, realms=[*REALMS, SSO], accounts=PEOPLE, openid={"sso": realm})


@pytest.fixture(params=["mock", "own"])
async def either(request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    """The same with either provider."""
    if request.param == "own":
        async with lab(browse_own, provider=True) as ours:
            yield ours
    else:
        async with at_mock(request.getfixturevalue("mock")) as theirs:
            yield theirs


@pytest.fixture
async def own() -> AsyncIterator[Lab]:
    async with lab(browse_own, provider=True) as ours:
        yield ours


def is_refused(answer: httpx.Response) -> bool:
    return (
        (answer.status_code, answer.reason_phrase) == (401, "authentication failure")
        and answer.json() == {"data": None, "message": "authentication failure\n"}
        and answer.elapsed.total_seconds() >= REFUSAL
    )


# Both calls


async def test_way_to_the_provider_carries_all_that_openid_asks_for(either: Lab) -> None:
    """The URL has state, nonce, PKCE and our redirect-url; the state is JSON with the realm in it."""
    sent = parameters(await either.leave())
    assert (sent["response_type"], sent["client_id"], sent["redirect_uri"]) == ("code", "proxgate", BACK)
    assert (sent["scope"], sent["code_challenge_method"]) == ("openid email profile", "S256")
    assert len(sent["code_challenge"]) == 43
    assert len(sent["nonce"]) > 20
    assert json.loads(sent["state"])["realm"] == "sso"
    assert parameters(await either.leave())["state"] != sent["state"]


async def test_code_of_the_provider_is_a_login(either: Lab) -> None:
    """The answer is that of any login, without a second factor, and its ticket is good."""
    answer = await either.sign_in("anna")
    data = answer.json()["data"]
    assert {"ticket", "CSRFPreventionToken", "username", "cap"} <= data.keys()
    assert data["username"] == "anna@sso"
    headers = {"Cookie": f"PVEAuthCookie={data['ticket']}"}
    assert (await either.client.get("/version", headers=headers)).status_code == 200


async def test_state_is_good_once(either: Lab) -> None:
    """The second login with a state is refused, also when the first one failed."""
    returned = await either.browse(await either.leave(), "anna")
    assert is_refused(await either.come_back(returned | {"code": "wrong"}))
    assert is_refused(await either.come_back(returned))


async def test_code_belongs_to_its_login(either: Lab) -> None:
    """A code that somebody else's login got is refused, by PKCE at the provider or by its nonce."""
    first, second = [await either.browse(await either.leave(), "anna") for _ in range(2)]
    assert is_refused(await either.come_back(first | {"code": second["code"]}))


async def test_other_redirect_url_is_refused(either: Lab) -> None:
    """The provider gives nothing for a redirect-url that it was not asked with."""
    returned = await either.browse(await either.leave(), "anna")
    assert is_refused(await either.come_back(returned, "https://elsewhere.example/"))


async def test_state_of_nobody_is_refused(own: Lab) -> None:
    """A state that was never made is refused."""
    assert is_refused(await own.come_back({"state": "{}", "code": "x"}))


@pytest.mark.parametrize(("age", "status"), [(500, 200), (601, 401)])
async def test_state_is_good_for_ten_minutes(age: int, status: int) -> None:
    """After ten minutes at the provider it is too late."""
    async with lab(browse_own, provider=True, speed=SPEED) as own:
        returned = await own.browse(await own.leave(), "anna")
        own.sim.advance(age)
        assert (await own.come_back(returned)).status_code == status


async def test_state_lives_on_one_node() -> None:
    """Another node knows nothing of the login, and the one that began it still does."""
    async with lab(browse_own, provider=True, doors=2) as own:
        returned = await own.browse(await own.leave(), "anna")
        form = {"state": returned["state"], "code": returned["code"], "redirect-url": BACK}
        elsewhere = f"https://{own.sim.addresses[1]}/api2/json/access/openid/login"
        assert is_refused(await own.client.post(elsewhere, data=form))
        assert (await own.come_back(returned)).status_code == 200


async def test_disabled_account_is_refused(mock: str) -> None:
    """A disabled account is refused like everybody else."""
    async with at_mock(mock) as theirs:
        assert is_refused(await theirs.sign_in("gone"))


@pytest.mark.parametrize(
    ("claim", "userid"),
    [("sub", "anna@sso"), ("preferred_username", "anna@sso"), ("email", "anna@example.org@sso")],
)
async def test_claim_of_the_realms_choice_is_the_name(mock: str, claim: str, userid: str) -> None:
    """The userid is the claim's value and the realm, also when the value has an @ in it."""
    async with at_mock(mock, username_claim=claim) as theirs:
        assert (await theirs.sign_in("anna")).json()["data"]["username"] == userid


async def test_missing_claim_is_refused(mock: str) -> None:
    """Without the claim that makes the name there is no login."""
    async with at_mock(mock, username_claim="preferred_username") as theirs:
        assert is_refused(await theirs.sign_in("somebody"))


async def test_unknown_person_needs_autocreate(mock: str) -> None:
    """Who has no account is refused, unless the realm makes them one, which has no rights."""
    async with at_mock(mock) as theirs:
        assert is_refused(await theirs.sign_in("stranger"))
    async with at_mock(mock, autocreate=True) as theirs:
        data = (await theirs.sign_in("stranger")).json()["data"]
        assert data["username"] == "stranger@sso"
        assert not any(data["cap"].values())
        theirs.sim.disable("stranger@sso")
        assert is_refused(await theirs.sign_in("stranger"))


@pytest.mark.parametrize("name", ["a b", "a:b", "a/b", "a" * 61])
async def test_name_that_is_none_is_refused(mock: str, name: str) -> None:
    """A claim that makes no userid gets no account, autocreate or not."""
    async with at_mock(mock, autocreate=True) as theirs:
        assert is_refused(await theirs.sign_in(name))


@pytest.mark.parametrize(
    ("call", "given", "field"),
    [
        ("auth-url", {"realm": "sso"}, "redirect-url"),
        ("auth-url", {"redirect-url": BACK}, "realm"),
        ("auth-url", {"realm": "sso", "redirect-url": "https://x.example/" + "a" * 240}, "redirect-url"),
        ("auth-url", {"realm": "9", "redirect-url": BACK}, "realm"),
        ("auth-url", {"realm": "sso", "redirect-url": BACK, "more": "1"}, "more"),
        ("login", {"state": "s", "redirect-url": BACK}, "code"),
        ("login", {"state": "s" * 1_025, "code": "c", "redirect-url": BACK}, "state"),
        ("login", {"state": "s", "code": "c" * 4_097, "redirect-url": BACK}, "code"),
        ("login", {"state": "s", "code": ["c", "d"], "redirect-url": BACK}, "code"),
    ],
)
async def test_malformed_parameters_are_named(own: Lab, call: str, given: dict[str, Any], field: str) -> None:
    """What breaks the schema is 400 at once, with an error for that field."""
    answer = await own.client.post(f"/access/openid/{call}", data=given)
    assert (answer.status_code, answer.reason_phrase) == (400, "Parameter verification failed.")
    assert list(answer.json()["errors"]) == [field]
    assert answer.elapsed.total_seconds() < REFUSAL


@pytest.mark.parametrize(
    ("realm", "redirect", "reason"),
    [
        ("pve", BACK, "wrong realm type (pve != openid)"),
        ("nowhere", BACK, "authentication domain 'nowhere' does not exist"),
        ("sso", "no-url", "relative URL without a base"),
    ],
)
async def test_auth_url_needs_an_openid_realm_and_a_url(own: Lab, realm: str, redirect: str, reason: str) -> None:
    """A realm of another type, none at all, or no URL to come back to is 500, with the reason."""
    answer = await own.client.post("/access/openid/auth-url", data={"realm": realm, "redirect-url": redirect})
    assert (answer.status_code, answer.reason_phrase) == (500, reason)


async def test_provider_that_is_away_is_said_at_the_start() -> None:
    """Where discovery fails, or finds another issuer, auth-url is 500 with a message."""
    async with Provider(now=time.time) as provider:
        issuers = ["http://127.0.0.1:9", f"{provider.issuer}/"]
        for issuer in issuers:
            async with at_mock(issuer) as theirs:
                form = {"realm": "sso", "redirect-url": BACK}
                answer = await theirs.client.post("/access/openid/auth-url", data=form)
                assert answer.status_code == 500
                assert answer.reason_phrase.startswith("openid discovery failed")


async def test_too_many_on_their_way_stop_the_realm_for_a_while(own: Lab) -> None:
    """With over a hundred logins on their way, as Proxmox counts, no other begins until they are ten minutes old."""
    form = {"realm": "sso", "redirect-url": BACK}
    seen = [(await own.client.post("/access/openid/auth-url", data=form)).status_code for _ in range(102)]
    assert (seen[100], seen[101]) == (200, 500)
    own.sim.advance(601)
    assert await own.leave()


def test_realm_hides_its_secret() -> None:
    """The repr of a realm's settings shows no client secret."""
    assert "hidden" not in repr(OpenIdRealm(issuer="http://x", client_id="y", client_secret="hidden"))


# The token


RSA = rsa.generate_private_key(65_537, 2_048)
OTHER = rsa.generate_private_key(65_537, 2_048)


def test_token_is_taken_from_the_right_key_only() -> None:
    """A token holds with its provider's key, and not with another, another's name or a changed word."""
    token = signed({"sub": "anna"}, RSA, "one")
    assert json.loads(verified(token, [public_jwk(OTHER, "two"), public_jwk(RSA, "one")])) == {"sub": "anna"}
    head, _, signature = token.split(".")
    changed = f"{head}.{b64(b'{}')}.{signature}"
    for wrong, keys in (
        (token, [public_jwk(OTHER, "one")]),
        (token, [public_jwk(RSA, "two")]),
        (changed, [public_jwk(RSA, "one")]),
        (token, []),
        ("nonsense", [public_jwk(RSA, "one")]),
    ):
        with pytest.raises(ValueError):
            verified(wrong, keys)


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES256", "RS512"])
def test_token_does_not_choose_its_algorithm(algorithm: str) -> None:
    """A token that names another algorithm than its key's is refused, signature or not."""
    head = b64(json.dumps({"alg": algorithm, "kid": "one"}).encode())
    _, claims, signature = signed({"sub": "anna"}, RSA, "one").split(".")
    for end in (signature, ""):
        with pytest.raises(ValueError):
            verified(f"{head}.{claims}.{end}", [public_jwk(RSA, "one")])


def test_token_of_an_elliptic_key_is_taken() -> None:
    """ES256 is checked too, with both numbers side by side."""
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    x, y = (b64(number.to_bytes(32)) for number in (numbers.x, numbers.y))
    stem = f"{b64(json.dumps({'alg': 'ES256'}).encode())}.{b64(b'{}')}"
    r, s = utils.decode_dss_signature(key.sign(stem.encode(), ec.ECDSA(hashes.SHA256())))
    signature = b64(r.to_bytes(32) + s.to_bytes(32))
    assert verified(f"{stem}.{signature}", [Jwk(kty="EC", crv="P-256", x=x, y=y)]) == b"{}"


@pytest.mark.parametrize(
    "wrong",
    [{"iss": "http://other"}, {"aud": "other"}, {"aud": ["other"]}, {"exp": 99.0}, {"nonce": "other"}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_token_is_for_this_login(wrong: dict[str, Any]) -> None:
    """Another issuer, another audience, a past end or another nonce make a well-signed token worthless."""
    settings = OpenIdRealm(issuer="http://sso", client_id="proxgate")
    right = {"iss": "http://sso", "aud": ["proxgate"], "exp": 101.0, "nonce": "n", "sub": "anna"}
    _check(_Claims.model_validate(right), settings, "n", 100.0)
    with pytest.raises(ValueError, match="not a token for this login"):
        _check(_Claims.model_validate(right | wrong), settings, "n", 100.0)


# The simulator's own provider


async def test_provider_comes_with_a_realm_and_its_people(own: Lab) -> None:
    """With the provider switched on there is one realm more, and each of its people can sign in."""
    rows = (await own.client.get("/access/domains")).json()["data"]
    assert {"realm": "sso", "type": "openid", "comment": "Simulated single sign-on"} in rows
    assert len(rows) == len(REALMS) + 1
    for person in ("anna", "anna@example.org"):
        data = (await own.sign_in(person)).json()["data"]
        assert data["username"] == f"{person}@sso"
        assert any(data["cap"].values())


async def test_realm_with_settings_is_listed() -> None:
    """Settings are enough to have a realm, and the list shows none of them."""
    realm = OpenIdRealm(issuer="http://127.0.0.1:9", client_id="proxgate")
    async with lab(browse_own, openid={"elsewhere": realm}) as theirs:
        rows = (await theirs.client.get("/access/domains")).json()["data"]
    assert {"realm": "elsewhere", "type": "openid"} in rows


async def test_there_is_no_provider_unless_asked_for() -> None:
    """By default there is neither realm nor account of it."""
    sim = Simulator()
    assert not [account for account in sim.accounts if account.realm == "sso"]


async def test_refusing_sends_the_browser_back_with_an_error(own: Lab) -> None:
    """Who refuses returns with access_denied, the state, and no code."""
    url = await own.leave()
    returned = parameters((await press(url, "refuse")).headers["location"])
    assert returned == {"error": "access_denied", "state": parameters(url)["state"]}


async def test_redirect_url_keeps_its_own_query(own: Lab) -> None:
    """What the redirect-url has for a query stays beside code and state."""
    url = await own.leave(redirect=f"{BACK}?tab=1&x=a%26b")
    returned = parameters((await press(url, "as anna")).headers["location"])
    assert returned.keys() == {"tab", "x", "code", "state"}
    assert (returned["tab"], returned["x"]) == ("1", "a&b")
    assert (await own.come_back(returned, f"{BACK}?tab=1&x=a%26b")).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"redirect_uri": None},
        {"redirect_uri": "javascript:alert(1)"},
        {"client_id": "other"},
        {"response_type": "token"},
        {"code_challenge_method": "plain"},
        {"code_challenge": None},
    ],
    ids=lambda change: "-".join(map(str, *change.items())),
)
async def test_unsound_request_goes_nowhere(own: Lab, change: dict[str, str | None]) -> None:
    """A request that is not one of Proxmox's is answered with a page that leads nowhere."""
    url = httpx.URL(await own.leave())
    changed = {name: value for name, value in (dict(url.params) | change).items() if value is not None}
    async with httpx.AsyncClient(trust_env=False) as browser:
        for method, more in (("GET", {}), ("POST", {"answer": "as anna"})):
            answer = await browser.request(method, url.copy_with(query=None), params=changed | more)
            assert answer.status_code == 400
            assert "location" not in answer.headers


async def test_page_escapes_what_it_prints(own: Lab) -> None:
    """Nothing of a request becomes markup of the page."""
    url = httpx.URL(await own.leave()).copy_merge_params({"state": '"><script>alert(1)</script>'})
    async with httpx.AsyncClient(trust_env=False) as browser:
        page = (await browser.get(url)).text
    assert "<script" not in page
    assert "&quot;&gt;&lt;script&gt;" in page


async def test_code_and_client_are_checked_by_the_provider() -> None:
    """A code is good once, and for who knows the client's secret."""
    async with Provider(now=time.time) as provider, httpx.AsyncClient(trust_env=False) as client:
        settings = provider.settings
        for secret, status in (("wrong", 401), (settings.client_secret, 400)):
            auth = httpx.BasicAuth(settings.client_id, secret)
            answer = await client.post(f"{provider.issuer}/token", data={"code": "none"}, auth=auth)
            assert answer.status_code == status
        assert settings.client_secret not in repr(settings)
        assert replace(settings, autocreate=True).autocreate


async def test_provider_publishes_no_private_key() -> None:
    """The keys on show are public ones."""
    async with Provider(now=time.time) as provider, httpx.AsyncClient(trust_env=False) as client:
        (key,) = (await client.get(f"{provider.issuer}/jwks")).json()["keys"]
    assert key.keys() == {"kty", "kid", "alg", "n", "e"}
    assert base64.urlsafe_b64decode(key["e"] + "==") == b"\x01\x00\x01"
