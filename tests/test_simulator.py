"""The simulated Proxmox VE behaves as the real one was observed to, over real HTTPS."""

import asyncio
import hashlib
import inspect
import json
import re
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, unquote

import httpx
import pytest

from services.proxmox.models import Realm
from services.simulator import Account, Fault, Simulator
from services.simulator.factors import totp
from services.simulator.world import World

SPEED = 30.0
PASSWORD = "demo"
REFUSAL = 3.0 / SPEED
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
OPEN_REALM = Realm(realm="sso", type="openid")
PVE_REALM = Realm(realm="pve", type="pve")


def trust(sim: Simulator) -> ssl.SSLContext:
    """The first node's certificate alone, which the cluster's authority has signed."""
    context = ssl.create_default_context(cadata=sim.certificate_pem)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


@asynccontextmanager
async def simulated(**options: Any) -> AsyncIterator[tuple[Simulator, httpx.AsyncClient]]:
    async with (
        Simulator(**{"speed": SPEED, **options}) as sim,
        httpx.AsyncClient(
            base_url=f"https://{sim.address}/api2/json", verify=trust(sim), trust_env=False, timeout=5
        ) as client,
    ):
        yield sim, client


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Simulator, httpx.AsyncClient]]:
    async with simulated() as both:
        yield both


Pair = tuple[Simulator, httpx.AsyncClient]


async def login(client: httpx.AsyncClient, username: str, password: str = PASSWORD, **more: str) -> httpx.Response:
    return await client.post("/access/ticket", data={"username": username, "password": password, **more})


async def signed_in(client: httpx.AsyncClient, username: str = "root@pam", password: str = PASSWORD) -> dict[str, Any]:
    answer = await login(client, username, password)
    assert answer.status_code == 200, answer.reason_phrase
    return answer.json()["data"]


async def get(client: httpx.AsyncClient, path: str, ticket: str) -> httpx.Response:
    return await client.get(path, headers={"Cookie": f"PVEAuthCookie={ticket}"})


async def resources(client: httpx.AsyncClient, username: str, query: str = "") -> list[dict[str, Any]]:
    ticket = (await signed_in(client, username))["ticket"]
    return (await get(client, f"/cluster/resources{query}", ticket)).json()["data"]


def is_login_refusal(answer: httpx.Response) -> bool:
    return (
        answer.status_code == 401
        and answer.reason_phrase == "authentication failure"
        and answer.json() == {"data": None, "message": "authentication failure\n"}
        and answer.elapsed.total_seconds() >= REFUSAL
    )


async def exchange(sim: Simulator, sent: bytes, *, encrypted: bool = True) -> bytes:
    """Send raw bytes and read until the server closes."""
    context = trust(sim) if encrypted else None
    reader, writer = await asyncio.open_connection(sim.address.host, sim.address.port, ssl=context)
    writer.write(sent)
    received = await asyncio.wait_for(reader.read(), 8)
    writer.close()
    return received


# Ticket and CSRF token


async def test_ticket_has_the_form_of_a_real_one(pair: Pair) -> None:
    """A ticket is PVE:userid:8 upper-case hex digits of its time::344 characters of base64."""
    sim, client = pair
    ticket = (await signed_in(client, "alice@pve"))["ticket"]
    found = re.fullmatch(r"PVE:alice@pve:([0-9A-F]{8})::[A-Za-z0-9+/]{342}==", ticket)
    assert found
    assert abs(int(found[1], 16) - sim.now()) < 30


@pytest.mark.parametrize(("age", "status"), [(0, 200), (7_100, 200), (7_205, 401), (-290, 200), (-310, 401)])
async def test_ticket_lives_two_hours_and_tolerates_five_minutes_of_future(age: int, status: int) -> None:
    """A ticket holds from 300 s before until 7200 s after the time inside it."""
    async with simulated() as (sim, client):
        ticket = (await signed_in(client))["ticket"]
        sim.advance(age)
        assert (await get(client, "/version", ticket)).status_code == status


async def test_tickets_may_live_shorter() -> None:
    """With `ticket_seconds` a ticket holds that long by a clock that `speed` does not hurry."""
    async with simulated(speed=10_000.0, ticket_seconds=1_000) as (sim, client):
        ticket = (await signed_in(client))["ticket"]
        await asyncio.sleep(0.2)
        for age, status in ((0, 200), (900, 200), (120, 401)):
            sim.advance(age)
            assert (await get(client, "/version", ticket)).status_code == status


async def test_two_logins_of_one_second_give_the_same_ticket() -> None:
    """A ticket depends on user and second alone."""
    async with simulated(speed=1.0) as (sim, client):
        sim.advance(1 - time.time() % 1)
        first, second = await signed_in(client), await signed_in(client)
        sim.advance(1)
        third = await signed_in(client)
    assert first["ticket"] == second["ticket"] != third["ticket"]


async def test_ticket_travels_percent_encoded_or_plain_but_not_with_spaces(pair: Pair) -> None:
    """The cookie is percent-decoded, and a plus sign that became a space is refused."""
    sim, client = pair
    ticket = (await signed_in(client))["ticket"]
    while "+" not in ticket:
        sim.advance(1)
        ticket = (await signed_in(client))["ticket"]
    assert (await get(client, "/version", quote(ticket, safe=""))).status_code == 200
    assert (await get(client, "/version", ticket)).status_code == 200
    assert (await get(client, "/version", ticket.replace("+", " "))).status_code == 401


async def test_valid_ticket_is_a_password_for_its_own_user(pair: Pair) -> None:
    """Renewal is a login with the ticket as password, and gives a fresh ticket."""
    sim, client = pair
    ticket = (await signed_in(client, "alice@pve"))["ticket"]
    sim.advance(7_000)
    renewed = await signed_in(client, "alice@pve", ticket)
    assert renewed["ticket"] != ticket
    assert is_login_refusal(await login(client, "kid@pve", ticket))


async def test_expired_ticket_is_no_password(pair: Pair) -> None:
    """Renewal with an expired ticket is refused like a wrong password."""
    sim, client = pair
    ticket = (await signed_in(client, "alice@pve"))["ticket"]
    sim.advance(7_205)
    assert is_login_refusal(await login(client, "alice@pve", ticket))


async def test_roots_ticket_logs_in_as_anyone(pair: Pair) -> None:
    """A root@pam ticket is a password for every account, second factor or not."""
    _, client = pair
    ticket = (await signed_in(client, "root@pam"))["ticket"]
    assert (await signed_in(client, "kid@pve", ticket))["username"] == "kid@pve"
    assert "cap" in await signed_in(client, "bob@pve", ticket)


async def test_csrf_token_is_required_beyond_get(pair: Pair) -> None:
    """A missing or foreign CSRF token is answered 401 with its own reason and an empty body, after the delay."""
    _, client = pair
    mine, other = await signed_in(client, "root@pam"), await signed_in(client, "alice@pve")
    cookie = {"Cookie": f"PVEAuthCookie={mine['ticket']}"}
    for headers in (cookie, cookie | {"CSRFPreventionToken": other["CSRFPreventionToken"]}):
        answer = await client.post("/nodes/pve1/qemu/100/status/stop", headers=headers)
        assert (answer.status_code, answer.content) == (401, b"")
        assert answer.reason_phrase == "Permission denied - invalid csrf token"
        assert answer.elapsed.total_seconds() >= REFUSAL


async def test_there_is_no_logout(pair: Pair) -> None:
    """DELETE /access/ticket is not implemented, and the ticket stays good."""
    _, client = pair
    data = await signed_in(client)
    headers = {"Cookie": f"PVEAuthCookie={data['ticket']}", "CSRFPreventionToken": data["CSRFPreventionToken"]}
    answer = await client.delete("/access/ticket", headers=headers)
    assert answer.status_code == 501
    assert answer.reason_phrase == "Method 'DELETE /access/ticket' not implemented"
    assert (await get(client, "/version", data["ticket"])).status_code == 200


async def test_disabled_user_is_out_at_the_next_request(pair: Pair) -> None:
    """Disabling an account ends its tickets and logins at once; enabling it brings them back."""
    sim, client = pair
    ticket = (await signed_in(client, "alice@pve"))["ticket"]
    sim.disable("alice@pve")
    answer = await get(client, "/version", ticket)
    assert (answer.status_code, answer.reason_phrase) == (401, "Authentication failed!")
    assert is_login_refusal(await login(client, "alice@pve", ticket))
    sim.enable("alice@pve")
    assert (await get(client, "/version", ticket)).status_code == 200


# POST /access/ticket


async def test_administrators_login_names_capabilities_and_cluster(pair: Pair) -> None:
    """A login answers ticket, CSRF token, username, seven rooms of capabilities, the cluster, and sets no cookie."""
    _, client = pair
    answer = await login(client, "root", realm="pam")
    data = answer.json()["data"]
    assert data.keys() == {"ticket", "CSRFPreventionToken", "username", "cap", "clustername"}
    assert data["username"] == "root@pam"
    assert data["cap"].keys() == {"vms", "access", "storage", "nodes", "sdn", "dc", "mapping"}
    assert data["cap"]["vms"]["VM.PowerMgmt"] == 1
    assert "set-cookie" not in answer.headers


async def test_plain_users_login_names_no_cluster(pair: Pair) -> None:
    """Without Sys.Audit on / the login answer keeps the cluster's name to itself."""
    _, client = pair
    data = await signed_in(client, "kid@pve")
    assert "clustername" not in data
    assert data["cap"]["vms"] == {"VM.Audit": 1}


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("alice@pve", "wrong"),
        ("alice@pve", ""),
        ("Alice@pve", "demo"),
        ("alice@PVE", "demo"),
        ("alice", "demo"),
        ("stranger@pve", "demo"),
        ("alice@nowhere", "demo"),
        ("old@pve", "demo"),
        ("lapsed@pve", "demo"),
        ("a b@pve", "demo"),
        ("alice@pve", "PVE:alice@pve:00000000::AAAA"),
    ],
)
async def test_every_refused_login_looks_the_same(pair: Pair, username: str, password: str) -> None:
    """Whatever the reason, a refusal is 401 authentication failure after three seconds, and the connection closes."""
    _, client = pair
    answer = await login(client, username, password)
    assert is_login_refusal(answer)
    assert "close" in answer.headers["connection"]


async def test_refusal_takes_three_seconds_at_normal_speed() -> None:
    """At speed 1 the delay is the real three seconds."""
    async with simulated(speed=1.0) as (_, client):
        started = time.monotonic()
        await login(client, "alice@pve", "wrong")
    assert 2.9 <= time.monotonic() - started < 4


async def test_password_of_an_openid_realm_is_refused() -> None:
    """A realm of type openid takes no passwords."""
    accounts = [Account(userid="eve@sso", password="demo")]
    async with simulated(accounts=accounts, realms=[OPEN_REALM]) as (_, client):
        assert is_login_refusal(await login(client, "eve@sso"))


async def test_account_without_password_or_realm_cannot_sign_in() -> None:
    """An empty password is never right, and an account whose realm is gone is nobody."""
    accounts = [Account(userid="eve@pve", password=""), Account(userid="eve@gone", password="demo")]
    async with simulated(accounts=accounts, realms=[PVE_REALM]) as (_, client):
        assert is_login_refusal(await login(client, "eve@pve", ""))
        assert is_login_refusal(await login(client, "eve@gone"))


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"password": "demo"}, "username"),
        ({"username": "alice@pve"}, "password"),
        ({"username": "a" * 65, "password": "demo"}, "username"),
        ({"username": "alice", "password": "demo", "realm": "r" * 33}, "realm"),
        ({"username": "alice", "password": "demo", "realm": "9pve"}, "realm"),
        ({"username": "alice@pve", "password": ["demo", "demo"]}, "password"),
        ({"username": "alice@pve", "password": "demo", "remember": "1"}, "remember"),
    ],
)
async def test_malformed_parameters_are_named_at_once(pair: Pair, parameters: dict[str, Any], field: str) -> None:
    """A parameter that breaks the schema is answered 400 without delay, with an error for exactly that field."""
    _, client = pair
    for answer in (
        await client.post("/access/ticket", data=parameters),
        await client.post("/access/ticket", json=parameters),
    ):
        assert (answer.status_code, answer.reason_phrase) == (400, "Parameter verification failed.")
        assert list(answer.json()["errors"]) == [field]
        assert answer.elapsed.total_seconds() < REFUSAL


async def test_form_and_json_bodies_log_in(pair: Pair) -> None:
    """Parameters may come as a form or as JSON; a body that only claims to be JSON is a bad request."""
    _, client = pair
    right = {"username": "alice@pve", "password": "demo"}
    assert (await client.post("/access/ticket", data=right)).status_code == 200
    assert (await client.post("/access/ticket", json=right)).status_code == 200
    broken = await client.post("/access/ticket", content=b"[", headers={"Content-Type": "application/json"})
    assert broken.status_code == 400


async def test_semicolon_separates_form_parameters() -> None:
    """A password with a semicolon logs in only when it is percent-encoded."""
    accounts = [Account(userid="eve@pve", password="a;b")]
    async with simulated(accounts=accounts, realms=[PVE_REALM]) as (sim, client):
        assert (await login(client, "eve@pve", "a;b")).status_code == 200
        raw = await client.post("/access/ticket", content="username=eve@pve;password=a;b", headers=FORM)
        assert raw.status_code == 400
        assert sim.requests[-1].parameters == {"username": "eve@pve", "password": "a", "b": ""}


async def test_passwords_are_compared_byte_for_byte_up_to_a_nul() -> None:
    """A composed letter is not its decomposed twin, and what follows a NUL does not count."""
    accounts = [Account(userid="eve@pve", password="gr\u00fcn")]
    async with simulated(accounts=accounts, realms=[PVE_REALM]) as (_, client):
        assert (await login(client, "eve@pve", "gr\u00fcn")).status_code == 200
        assert (await login(client, "eve@pve", "gr\u00fcn\0rest")).status_code == 200
        assert is_login_refusal(await login(client, "eve@pve", "gru\u0308n"))


async def test_openid_style_user_name_may_hold_an_at_sign() -> None:
    """The realm begins after the last @."""
    accounts = [Account(userid="eve@example.org@pve", password="demo")]
    async with simulated(accounts=accounts, realms=[PVE_REALM]) as (_, client):
        assert (await signed_in(client, "eve@example.org@pve"))["username"] == "eve@example.org@pve"


async def test_body_limits(pair: Pair) -> None:
    """Chunked bodies and bodies over 512 KiB are 501, multipart is 506, and 512 KiB still pass."""
    _, client = pair

    async def chunks() -> AsyncIterator[bytes]:
        yield b"username=root"

    assert (await client.post("/access/ticket", content=chunks(), headers=FORM)).status_code == 501
    assert (await client.post("/access/ticket", files={"username": b"root"})).status_code == 506
    assert (await client.post("/access/ticket", content=b"x" * (512 * 1024 + 1), headers=FORM)).status_code == 501
    assert (await client.post("/access/ticket", content=b"x" * (512 * 1024), headers=FORM)).status_code == 400


# Second factor


async def half(client: httpx.AsyncClient, **more: str) -> dict[str, Any]:
    answer = await login(client, "bob@pve", **more)
    assert answer.status_code == 200
    return answer.json()["data"]


async def second(client: httpx.AsyncClient, challenge: str, response: str, who: str = "bob@pve") -> httpx.Response:
    return await login(client, who, response, **{"tfa-challenge": challenge})


async def test_right_password_with_a_second_factor_is_half_a_login(pair: Pair) -> None:
    """The first step answers 200 with NeedTFA, a challenge naming the kinds on offer, and no capabilities."""
    _, client = pair
    data = await half(client)
    assert data.keys() == {"NeedTFA", "ticket", "username", "CSRFPreventionToken"}
    assert data["NeedTFA"] == 1
    found = re.match(r"PVE:!tfa!([^:]+):[0-9A-F]{8}::", data["ticket"])
    assert found
    assert json.loads(unquote(found[1])) == {"totp": True, "recovery": [0, 1, 2, 3]}


async def test_half_a_ticket_opens_nothing(pair: Pair) -> None:
    """A challenge is no ticket and no password."""
    _, client = pair
    challenge = (await half(client))["ticket"]
    answer = await get(client, "/version", challenge)
    assert (answer.status_code, answer.content) == (401, b"")
    assert answer.reason_phrase == "permission denied - invalid PVE ticket"
    assert is_login_refusal(await login(client, "bob@pve", challenge))


async def test_totp_completes_the_login_once(pair: Pair) -> None:
    """The current code signs in, and the same code is refused the second time."""
    sim, client = pair
    challenge = (await half(client))["ticket"]
    code = sim.totp("bob@pve")
    assert "cap" in (await second(client, challenge, f"totp:{code}")).json()["data"]
    assert is_login_refusal(await second(client, challenge, f"totp:{code}"))


@pytest.mark.parametrize(("steps", "status"), [(-2, 401), (-1, 200), (1, 200), (2, 401)])
async def test_totp_accepts_one_step_either_side(steps: int, status: int) -> None:
    """A code of the neighbouring 30 seconds is right, one of two steps off is not."""
    async with simulated(speed=10.0) as (sim, client):
        sim.advance(30 - sim.now() % 30)
        challenge = (await half(client))["ticket"]
        secret = next(account.totp_secret for account in sim.accounts if account.userid == "bob@pve")
        answer = await second(client, challenge, f"totp:{totp(secret, sim.now() + 30 * steps)}")
        assert answer.status_code == status


def test_totp_follows_the_rfc() -> None:
    """The codes are those of RFC 6238, appendix B, cut to six digits."""
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    assert [totp(secret, at) for at in (59, 1111111109, 20000000000)] == ["287082", "081804", "353130"]


async def test_recovery_key_is_used_up(pair: Pair) -> None:
    """A recovery key signs in once, and the next challenge lists the keys that are left."""
    _, client = pair
    challenge = (await half(client))["ticket"]
    assert (await second(client, challenge, "recovery:5b6c-83d2-f1a0-4e97")).status_code == 200
    assert is_login_refusal(await second(client, challenge, "recovery:5b6c-83d2-f1a0-4e97"))
    assert '"recovery"%3A[0,2,3]' in (await half(client))["ticket"]


async def test_wrong_code_leaves_the_challenge_good(pair: Pair) -> None:
    """After a wrong code, or one without its kind in front, the same challenge can be tried again."""
    sim, client = pair
    challenge = (await half(client))["ticket"]
    assert is_login_refusal(await second(client, challenge, "totp:000"))
    assert is_login_refusal(await second(client, challenge, sim.totp("bob@pve")))
    assert (await second(client, challenge, f"totp:{sim.totp('bob@pve')}")).status_code == 200


async def test_challenge_belongs_to_its_user(pair: Pair) -> None:
    """Nobody completes a login with a challenge made for another, or with none that was signed here."""
    sim, client = pair
    data = await half(client)
    answer = f"totp:{sim.totp('bob@pve')}"
    assert is_login_refusal(await second(client, data["ticket"], answer, who="alice@pve"))
    assert is_login_refusal(await second(client, data["ticket"][:-4] + "AA==", answer))
    assert is_login_refusal(await second(client, (await signed_in(client))["ticket"], answer))


async def test_challenge_is_bound_even_among_those_with_a_factor() -> None:
    """A challenge of one account completes no login of another that has a second factor too."""
    accounts = [Account(userid=f"{name}@pve", password="demo", totp_secret="PROXGATE") for name in ("bob", "eve")]
    async with simulated(accounts=accounts, realms=[PVE_REALM]) as (sim, client):
        challenge = (await half(client))["ticket"]
        assert is_login_refusal(await second(client, challenge, f"totp:{sim.totp('eve@pve')}", who="eve@pve"))
        assert (await second(client, challenge, f"totp:{sim.totp('bob@pve')}")).status_code == 200


async def test_code_sent_along_with_the_password_is_wasted(pair: Pair) -> None:
    """A right `otp` in one call answers NeedTFA again and uses the code up."""
    sim, client = pair
    code = sim.totp("bob@pve")
    data = await half(client, otp=code)
    assert data["NeedTFA"] == 1
    assert is_login_refusal(await second(client, data["ticket"], f"totp:{code}"))


async def test_otp_for_an_account_without_a_factor_is_refused(pair: Pair) -> None:
    """Any `otp` fails the login of an account that has no second factor."""
    _, client = pair
    assert is_login_refusal(await login(client, "alice@pve", otp="123456"))


async def test_renewal_asks_for_no_second_factor(pair: Pair) -> None:
    """A full ticket of an account with a second factor renews without it."""
    sim, client = pair
    challenge = (await half(client))["ticket"]
    full = (await second(client, challenge, f"totp:{sim.totp('bob@pve')}")).json()["data"]
    assert "cap" in await signed_in(client, "bob@pve", full["ticket"])


# Realms


async def test_realms_need_no_login(pair: Pair) -> None:
    """Anyone may list the realms; what is not set is absent."""
    _, client = pair
    rows = (await client.get("/access/domains")).json()["data"]
    assert {row["realm"]: row for row in rows} == {
        "pam": {"realm": "pam", "type": "pam", "comment": "Linux PAM standard authentication"},
        "pve": {"realm": "pve", "type": "pve", "comment": "Proxmox VE authentication server", "default": 1},
        "home": {"realm": "home", "type": "ldap", "comment": "Home directory"},
    }


async def test_realms_come_in_no_order(pair: Pair) -> None:
    """Two lists of the same realms may be ordered differently."""
    _, client = pair
    orders = {tuple(row["realm"] for row in (await client.get("/access/domains")).json()["data"]) for _ in range(40)}
    assert len(orders) > 1


# Every other call


async def test_without_a_ticket_the_answer_is_bare(pair: Pair) -> None:
    """No ticket is 401 with an empty body, no Content-Type, after three seconds, also where nothing is."""
    _, client = pair
    for path in ("/version", "/no/such/path"):
        answer = await client.get(path)
        assert (answer.status_code, answer.reason_phrase, answer.content) == (401, "No ticket", b"")
        assert "content-type" not in answer.headers
        assert answer.elapsed.total_seconds() >= REFUSAL


@pytest.mark.parametrize("ticket", ["garbage", "PVE:root@pam:6B03F88F::QUJD", "PVE:%0d%0a:6B03F88F::\u00e9"])
async def test_garbage_is_no_ticket(pair: Pair, ticket: str) -> None:
    """A ticket that was not signed here is refused with an empty body."""
    _, client = pair
    answer = await client.get("/version", headers={"Cookie": f"PVEAuthCookie={ticket}".encode()})
    assert (answer.status_code, answer.content) == (401, b"")
    assert answer.reason_phrase == "permission denied - invalid PVE ticket"


async def test_missing_privilege_is_named_at_once(pair: Pair) -> None:
    """403 names path and privilege in its reason, without delay."""
    _, client = pair
    data = await signed_in(client, "kid@pve")
    headers = {"Cookie": f"PVEAuthCookie={data['ticket']}", "CSRFPreventionToken": data["CSRFPreventionToken"]}
    answer = await client.post("/nodes/pve1/qemu/100/status/stop", headers=headers)
    assert (answer.status_code, answer.reason_phrase) == (403, "Permission check failed (/vms/100, VM.PowerMgmt)")
    assert answer.elapsed.total_seconds() < REFUSAL
    answer = await get(client, "/cluster/status", data["ticket"])
    assert (answer.status_code, answer.reason_phrase) == (403, "Permission check failed (/, Sys.Audit)")


async def test_unknown_path_is_not_implemented(pair: Pair) -> None:
    """An unknown path is 501 and quotes itself on one line."""
    _, client = pair
    ticket = (await signed_in(client))["ticket"]
    answer = await get(client, "/no/such%0d%0apath", ticket)
    assert (answer.status_code, answer.reason_phrase) == (501, "Method 'GET /no/such??path' not implemented")


async def test_nothing_answers_outside_the_api(pair: Pair) -> None:
    """A path without /api2/json in front is not the API's."""
    sim, client = pair
    assert (await client.get(f"https://{sim.address}/access/domains")).status_code == 404


async def test_long_json_is_gzipped_for_who_accepts_it(pair: Pair) -> None:
    """An administrator's login answer is compressed, a plain user's is not, nor is anything unasked."""
    _, client = pair
    assert (await login(client, "root@pam")).headers["content-encoding"] == "gzip"
    assert "content-encoding" not in (await login(client, "kid@pve")).headers
    client.headers["accept-encoding"] = "identity"
    assert "content-encoding" not in (await login(client, "root@pam")).headers


async def test_refusal_carries_two_connection_headers(pair: Pair) -> None:
    """An answer that closes says both close and Keep-Alive, as the real one does."""
    sim, _ = pair
    received = await exchange(sim, b"GET /api2/json/version HTTP/1.1\r\nHost: x\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 401 No ticket\r\n")
    assert received.count(b"Connection: ") == 2


async def test_connection_serves_a_hundred_requests(pair: Pair) -> None:
    """The hundredth answer on a connection is its last."""
    sim, _ = pair
    received = await exchange(sim, b"GET /api2/json/access/domains HTTP/1.1\r\nHost: x\r\n\r\n" * 105)
    assert received.count(b"HTTP/1.1 200 OK") == 100
    assert received.count(b"Connection: close") == 1


async def test_idle_connection_is_closed() -> None:
    """A connection that says nothing is closed after the idle time, before and after a request."""
    async with simulated(idle=0.2) as (sim, _):
        started = time.monotonic()
        assert await exchange(sim, b"") == b""
        assert (await exchange(sim, b"GET /api2/json/access/domains HTTP/1.1\r\nHost: x\r\n\r\n")).endswith(b"]}")
        assert 0.4 <= time.monotonic() - started < 2


def test_idle_time_is_five_seconds_by_default() -> None:
    """Without a word of ours an idle connection has five real seconds."""
    assert inspect.signature(Simulator).parameters["idle"].default == 5.0


async def test_date_header_shows_the_simulated_clock(pair: Pair) -> None:
    """The Date header tells of the skew."""
    sim, client = pair
    sim.advance(86_400)
    shown = parsedate_to_datetime((await client.get("/access/domains")).headers["date"]).timestamp()
    assert abs(shown - time.time() - 86_400) < 120


async def test_plain_http_is_sent_to_https(pair: Pair) -> None:
    """On the same port a plain GET gets 301 and a plain POST 308, to the same path over https."""
    sim, _ = pair
    for method, status in ((b"GET", b"301"), (b"POST", b"308")):
        sent = method + b" /api2/json/version?a=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        received = await exchange(sim, sent, encrypted=False)
        assert received.startswith(b"HTTP/1.1 " + status)
        assert f"Location: https://{sim.address}/api2/json/version?a=1".encode() in received
    assert not sim.requests


# API tokens


async def token_get(sim: Simulator, client: httpx.AsyncClient, name: str, path: str) -> httpx.Response:
    token = next(t for account in sim.accounts for t in account.tokens if t.name == name)
    return await client.get(path, headers={"Authorization": f"PVEAPIToken=alice@pve!{name}={token.secret}"})


async def test_api_token_reads_as_its_owner(pair: Pair) -> None:
    """A token without separated privileges sees what its owner sees."""
    sim, client = pair
    rows = (await token_get(sim, client, "dashboard", "/cluster/resources?type=vm")).json()["data"]
    assert len(rows) == 36


async def test_separated_token_has_fewer_rights(pair: Pair) -> None:
    """With privilege separation a token sees only what both it and its owner may."""
    sim, client = pair
    rows = (await token_get(sim, client, "narrow", "/cluster/resources?type=vm")).json()["data"]
    assert [row["name"] for row in rows] == ["homeassistant"]


async def test_api_token_needs_no_csrf_token(pair: Pair) -> None:
    """A token's POST is judged by its rights alone."""
    _, client = pair
    headers = {"Authorization": "PVEAPIToken=alice@pve!dashboard=5f0c2a9e-7d41-4b8a-9c36-0e1d2f3a4b5c"}
    assert (await client.post("/nodes/pve1/qemu/100/status/stop", headers=headers)).status_code == 403


async def test_wrong_or_orphaned_api_token_is_refused(pair: Pair) -> None:
    """A wrong secret, and any token of a disabled account, is 401 with an empty body."""
    sim, client = pair
    wrong = {"Authorization": "PVEAPIToken=alice@pve!dashboard=00000000-0000-0000-0000-000000000000"}
    answer = await client.get("/version", headers=wrong)
    assert (answer.status_code, answer.reason_phrase, answer.content) == (401, "Authentication failed!", b"")
    sim.disable("alice@pve")
    assert (await token_get(sim, client, "dashboard", "/version")).status_code == 401


async def test_api_token_cannot_ask_for_tickets(pair: Pair) -> None:
    """POST /access/ticket with a token is 403, even with a right password."""
    _, client = pair
    client.headers["Authorization"] = "PVEAPIToken=alice@pve!dashboard=5f0c2a9e-7d41-4b8a-9c36-0e1d2f3a4b5c"
    assert (await login(client, "alice@pve")).status_code == 403


# What the accounts see, and how the world moves


async def test_administrator_sees_the_whole_homelab(pair: Pair) -> None:
    """root@pam sees three nodes, 36 guests of both kinds in every state, storages and zones, with Proxmox's fields."""
    _, client = pair
    rows = await resources(client, "root@pam")
    guests = [row for row in rows if row["type"] in ("qemu", "lxc")]
    assert [row["node"] for row in rows if row["type"] == "node"] == ["pve1", "pve2", "pve3"]
    assert len(guests) == 36
    assert {row["status"] for row in guests} == {"running", "stopped", "paused"}
    assert sum(row["status"] == "running" for row in guests) > 24
    assert [row["name"] for row in guests if row["template"]] == ["debian-13-template"]
    assert {row["type"] for row in rows} == {"pool", "node", "qemu", "lxc", "storage", "network"}
    first = next(row for row in guests if row["name"] == "homeassistant")
    assert first["id"] == "qemu/100"
    assert first["tags"] == "home;prod"
    assert {"cpu", "maxcpu", "mem", "maxmem", "disk", "maxdisk", "uptime", "netin", "netout"} <= first.keys()


async def test_no_node_is_overfull(pair: Pair) -> None:
    """Every share lies between nothing and all there is."""
    _, client = pair
    for row in await resources(client, "root@pam"):
        assert 0 <= row.get("cpu", 0) < 1
        assert 0 <= row.get("mem", 0) <= row.get("maxmem", 0)
        assert 0 <= row.get("disk", 0) <= row.get("maxdisk", 0)


@pytest.mark.parametrize(("kind", "types"), [("vm", {"qemu", "lxc"}), ("node", {"node"}), ("storage", {"storage"})])
async def test_resources_can_be_asked_by_type(pair: Pair, kind: str, types: set[str]) -> None:
    """`type` keeps rows of one kind."""
    _, client = pair
    assert {row["type"] for row in await resources(client, "alice@pve", f"?type={kind}")} == types


async def test_kid_sees_two_guests_and_no_figures_of_nodes(pair: Pair) -> None:
    """VM.Audit on two guests shows these, and nodes only by name and state."""
    _, client = pair
    rows = await resources(client, "kid@pve")
    assert {row["name"] for row in rows if "vmid" in row} == {"jellyfin", "minecraft"}
    assert all(row.keys() == {"id", "type", "node", "status", "level"} for row in rows if "vmid" not in row)


async def test_nobody_sees_the_names_of_nodes(pair: Pair) -> None:
    """An account without privileges signs in and gets the nodes by name and state, as everybody does."""
    _, client = pair
    rows = await resources(client, "nobody@pve")
    assert [row["node"] for row in rows] == ["pve1", "pve2", "pve3"]
    assert not any("maxcpu" in row for row in rows)


async def test_permissions_list_the_callers_own(pair: Pair) -> None:
    """/access/permissions maps each path to the caller's privileges there."""
    _, client = pair
    ticket = (await signed_in(client, "kid@pve"))["ticket"]
    rights = (await get(client, "/access/permissions", ticket)).json()["data"]
    assert rights == {"/vms/102": {"VM.Audit": 1}, "/vms/109": {"VM.Audit": 1}}


async def test_cluster_and_nodes_can_be_read(pair: Pair) -> None:
    """/version, /nodes and /cluster/status answer an auditor."""
    _, client = pair
    ticket = (await signed_in(client, "alice@pve"))["ticket"]
    assert (await get(client, "/version", ticket)).json()["data"]["release"] == "9.2"
    assert len((await get(client, "/nodes", ticket)).json()["data"]) == 3
    status = (await get(client, "/cluster/status", ticket)).json()["data"]
    assert [row["type"] for row in status] == ["cluster", "node", "node", "node"]


async def test_figures_differ_at_every_poll() -> None:
    """CPU, memory and network of every running guest differ between two polls a second apart."""
    async with simulated(speed=1.0) as (sim, client):
        before = {row["vmid"]: row for row in await resources(client, "root@pam", "?type=vm")}
        sim.advance(1)
        after = {row["vmid"]: row for row in await resources(client, "root@pam", "?type=vm")}
    running = [vmid for vmid, row in after.items() if row["status"] == "running" == before[vmid]["status"]]
    assert running
    for vmid in running:
        assert all(before[vmid][name] != after[vmid][name] for name in ("cpu", "mem", "netin", "netout"))
        assert before[vmid]["netin"] < after[vmid]["netin"]
        assert abs(before[vmid]["cpu"] - after[vmid]["cpu"]) < 0.1


def states(world: World, at: float) -> dict[Any, Any]:
    return {row["vmid"]: row["status"] for row in world.guests(at)}


def test_a_tenth_of_the_guests_change_state_every_minute() -> None:
    """Each minute about one guest in ten starts or stops, and over a day most still run."""
    world = World(3, 100, 3)
    for minute in range(1, 1_440):
        before, after = states(world, minute * 60 - 1.0), states(world, minute * 60.0)
        assert 5 <= sum(before[vmid] != after[vmid] for vmid in before) <= 15
    assert sum(status == "running" for status in after.values()) > 60


def test_same_seed_tells_the_same_story() -> None:
    """Two worlds of one seed agree on every row at every time, two of different seeds do not."""
    assert World(7, 36, 3).nodes(4_000.0) == World(7, 36, 3).nodes(4_000.0)
    assert World(7, 36, 3).guests(4_000.0) == World(7, 36, 3).guests(4_000.0)
    assert World(7, 36, 3).guests(4_000.0) != World(8, 36, 3).guests(4_000.0)


async def test_guests_can_be_started_and_stopped() -> None:
    """Starting and stopping answers a UPID, and shows when its task has ended."""
    async with simulated(speed=1.0, guests=1, nodes=1) as (sim, client):
        data = await signed_in(client)
        headers = {"Cookie": f"PVEAuthCookie={data['ticket']}", "CSRFPreventionToken": data["CSRFPreventionToken"]}
        for action, status in (("stop", "stopped"), ("start", "running")):
            answer = await client.post(f"/nodes/pve1/qemu/100/status/{action}", headers=headers)
            assert re.fullmatch(rf"UPID:pve1(:[0-9A-F]{{8}}){{3}}:qm{action}:100:root@pam:", answer.json()["data"])
            assert [row["status"] for row in await resources(client, "root@pam", "?type=vm")] != [status]
            sim.advance(5)
            assert [row["status"] for row in await resources(client, "root@pam", "?type=vm")] == [status]


async def test_size_of_the_world_is_ours_to_choose() -> None:
    """`guests` and `nodes` set how many there are, far beyond the catalogue."""
    async with simulated(guests=2_000, nodes=5) as (_, client):
        rows = await resources(client, "root@pam")
    assert sum("vmid" in row for row in rows) == 2_000
    assert sum(row["type"] == "node" for row in rows) == 5


# Faults, what arrived, and the certificate


async def test_fault_status_answers_everything(pair: Pair) -> None:
    """A status set by hand is every answer, at once, until it is taken back."""
    sim, client = pair
    sim.fault.status = 595
    answer = await login(client, "root@pam")
    assert (answer.status_code, answer.reason_phrase, answer.content) == (595, "Connection refused", b"")
    sim.fault = Fault()
    assert (await login(client, "root@pam")).status_code == 200


async def test_fault_hang_never_answers(pair: Pair) -> None:
    """Hanging takes the request and gives no answer; a fault can be held to some paths."""
    sim, client = pair
    sim.fault = Fault(hang=True, path="/cluster")
    ticket = (await signed_in(client))["ticket"]
    with pytest.raises(httpx.ReadTimeout):
        await client.get("/cluster/resources", headers={"Cookie": f"PVEAuthCookie={ticket}"}, timeout=0.3)
    assert sim.requests[-1].path == "/cluster/resources"


async def test_fault_delay_is_in_real_seconds(pair: Pair) -> None:
    """A delay set by hand is not divided by the speed."""
    sim, client = pair
    sim.fault.delay = 0.3
    assert (await client.get("/access/domains")).elapsed.total_seconds() >= 0.3


async def test_requests_are_kept_for_tests_and_never_printed(pair: Pair) -> None:
    """The last requests can be looked at, with parameters that no repr shows."""
    sim, client = pair
    await login(client, "root@pam", "a secret")
    received = sim.requests[-1]
    assert (received.method, received.path) == ("POST", "/access/ticket")
    assert received.parameters == {"username": "root@pam", "password": "a secret"}
    assert "content-length" in received.headers
    assert "a secret" not in repr(sim.requests)
    assert sim.requests.maxlen == 1_000


def test_account_hides_its_secrets() -> None:
    """The repr of an account shows neither password nor the secrets of its second factor."""
    account = Account(userid="eve@pve", password="pass-word", totp_secret="SEED", recovery=("dead-beef",))
    assert account.factors == ("totp", "recovery")
    assert not any(secret in repr(account) for secret in ("pass-word", "SEED", "dead-beef"))


async def test_certificate_names_loopback_and_matches_its_fingerprint(pair: Pair) -> None:
    """The certificate verifies strictly for 127.0.0.1 and localhost, is the one fingerprinted, and is made anew."""
    sim, _ = pair
    context = trust(sim)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in ("127.0.0.1", "localhost"):
        _, writer = await asyncio.open_connection(sim.address.host, sim.address.port, ssl=context, server_hostname=name)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
    assert hashlib.sha256(der).hexdigest().upper() == sim.fingerprint.replace(":", "")
    assert re.fullmatch(r"([0-9A-F]{2}:){31}[0-9A-F]{2}", sim.fingerprint)
    assert Simulator().fingerprint != sim.fingerprint


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_tls_is_refused(pair: Pair) -> None:
    """TLS 1.1 gets no handshake, and the next client is served."""
    sim, client = pair
    context = trust(sim)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # else our own side refuses first
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(sim.address.host, sim.address.port, ssl=context)
    assert (await client.get("/access/domains")).status_code == 200


async def test_port_is_free_again_afterwards() -> None:
    """Leaving the block closes the port and every connection, a hanging one too."""
    async with simulated() as (sim, client):
        sim.fault.hang = True
        waiting = asyncio.create_task(client.get("/access/domains"))
        await asyncio.sleep(0.1)
        port = sim.address.port
        started = time.monotonic()
        await sim.__aexit__()
        assert time.monotonic() - started < 2
        with pytest.raises(httpx.HTTPError):
            await waiting
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)


async def test_stands_alone_until_it_is_told_to_stop() -> None:
    """`python -m services.simulator` prints address, fingerprint and accounts, and ends cleanly on SIGTERM."""
    command = (sys.executable, "-m", "services.simulator", "--port", "0", "--seed", "2", "--speed", "9")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    head = (await process.stdout.readline()).decode() + (await process.stdout.readline()).decode()
    process.terminate()
    rest = (await process.stdout.read()).decode()
    assert re.match(r"https://127\.0\.0\.1:\d+\nSHA-256 ([0-9A-F]{2}:){31}", head)
    assert "kid@pve" in rest
    assert await process.wait() == 0
