"""The simulated Proxmox VE asks for second factors, counts failures, signs and queues as the real one does."""

import asyncio
import base64
import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from services.proxmox.models import Realm
from services.simulator import Account, Fault, Grant, SecurityKey, Simulator
from services.simulator.factors import FAILURES, TOTP_FAILURES, totp, yubico
from services.simulator.greeting import greeting

SPEED = 30.0
REFUSAL = 3.0 / SPEED
SECRET = "PROXGATEPROXGATE"
KEYS = ("0000-1111-2222-3333", "4444-5555-6666-7777")
KEY_ID = "cccccctinker"
PVE = Realm(realm="pve", type="pve", default=True)
RP_ID = "door.example"
ORIGIN = "https://door.example:8443"
ADMIN = Grant("/", frozenset({"Sys.Audit", "VM.Audit"}))

Pair = tuple[Simulator, httpx.AsyncClient]
Data = dict[str, Any]


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


@dataclass(kw_only=True)
class Stick:
    """A security key in the browser of whoever signs in; each field can be told to lie."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    credential: bytes = b"the credential of Wanda"
    rp_id: str = RP_ID
    origin: str = ORIGIN
    kind: str = "webauthn.get"
    flags: int = 1
    counter: bytes = bytes(4)
    signed_challenge: str | None = None
    spoil: Callable[[Data], object] = lambda answer: answer

    @property
    def registered(self) -> SecurityKey:
        public = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return SecurityKey(credential_id=b"the credential of Wanda", public_key=public)

    def sign(self, challenge: str) -> str:
        client = json.dumps(
            {"type": self.kind, "challenge": self.signed_challenge or challenge, "origin": self.origin}
        ).encode()
        facts = sha256(self.rp_id.encode()).digest() + bytes([self.flags]) + self.counter
        signature = self.key.sign(facts + sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        answer: Data = {
            "id": b64(self.credential),
            "type": "public-key",
            "challenge": challenge,
            "rawId": b64(self.credential),
            "response": {
                "authenticatorData": b64(facts),
                "clientDataJSON": b64(client),
                "signature": b64(signature),
            },
        }
        self.spoil(answer)
        return f"webauthn:{json.dumps(answer)}"


STICK = Stick()
ACCOUNTS = (
    Account(userid="tom@pve", password="demo", totp_secret=SECRET, recovery=KEYS),
    Account(userid="rita@pve", password="demo", recovery=KEYS),
    Account(userid="yuri@pve", password="demo", yubico=KEY_ID),
    Account(userid="wanda@pve", password="demo", webauthn=STICK.registered, totp_secret=SECRET),
    Account(userid="olaf@pve", password="demo", u2f=True),
    Account(userid="anna@pve", password="demo", grants=(ADMIN,)),
)


@asynccontextmanager
async def reached(sim: Simulator, door: int = 0) -> AsyncIterator[httpx.AsyncClient]:
    trusted = ssl.create_default_context(cadata=sim.ca_pem)
    trusted.verify_flags &= ~ssl.VERIFY_X509_STRICT  # Proxmox makes its authority without keyUsage
    url = f"https://{sim.addresses[door]}/api2/json"
    async with httpx.AsyncClient(base_url=url, verify=trusted, trust_env=False, timeout=10) as client:
        yield client


@asynccontextmanager
async def simulated(**options: Any) -> AsyncIterator[Pair]:
    choices = {
        "speed": SPEED,
        "accounts": ACCOUNTS,
        "realms": [PVE],
        "webauthn_origin": ORIGIN,
        "webauthn_id": RP_ID,
        **options,
    }
    async with Simulator(**choices) as sim, reached(sim) as client:
        yield sim, client


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with simulated() as both:
        yield both


async def login(client: httpx.AsyncClient, who: str, password: str = "demo", **more: str) -> httpx.Response:
    return await client.post("/access/ticket", data={"username": f"{who}@pve", "password": password, **more})


async def first(client: httpx.AsyncClient, who: str) -> str:
    """The challenge that a right password gets."""
    data = (await login(client, who)).json()["data"]
    assert data["NeedTFA"] == 1
    assert "cap" not in data
    return data["ticket"]


async def second(client: httpx.AsyncClient, who: str, challenge: str, response: str) -> httpx.Response:
    return await login(client, who, response, **{"tfa-challenge": challenge})


async def tried(client: httpx.AsyncClient, who: str, response: str) -> bool:
    """Whether a response signs in, with a fresh challenge; a refusal is the one that all refusals are."""
    answer = await second(client, who, await first(client, who), response)
    if answer.status_code == 200:
        return "cap" in answer.json()["data"]
    assert is_refusal(answer)
    return False


def is_refusal(answer: httpx.Response) -> bool:
    return (
        (answer.status_code, answer.reason_phrase) == (401, "authentication failure")
        and answer.json() == {"data": None, "message": "authentication failure\n"}
        and answer.elapsed.total_seconds() >= REFUSAL
    )


def kinds(challenge: str) -> Data:
    found = re.match(r"PVE:!tfa!([^:]+):[0-9A-F]{8}::", challenge)
    assert found
    return json.loads(unquote(found[1]))


async def fail(client: httpx.AsyncClient, who: str, response: str, times: int) -> None:
    """Fail many times; the refusals wait side by side."""
    challenge = await first(client, who)
    answers = await asyncio.gather(*(second(client, who, challenge, response) for _ in range(times)))
    assert all(is_refusal(answer) for answer in answers)


def code(sim: Simulator, steps: int = 0) -> str:
    return f"totp:{totp(SECRET, sim.now() + 30 * steps)}"


# The challenge


async def test_challenge_names_the_kinds_and_leaves_out_the_rest(pair: Pair) -> None:
    """Only the kinds that an account has are in its challenge."""
    _, client = pair
    assert kinds(await first(client, "tom")) == {"totp": True, "recovery": [0, 1]}
    assert kinds(await first(client, "yuri")) == {"yubico": True}
    assert kinds(await first(client, "olaf")).keys() == {"u2f"}
    assert kinds(await first(client, "wanda")).keys() == {"totp", "webauthn"}


async def test_recovery_keys_may_run_out(pair: Pair) -> None:
    """When all keys are used up the challenge says `recovery: []`, and nobody gets in any more."""
    _, client = pair
    assert kinds(await first(client, "rita")) == {"recovery": [0, 1]}
    assert await tried(client, "rita", f"recovery:{KEYS[0]}")
    assert kinds(await first(client, "rita")) == {"recovery": [1]}
    assert await tried(client, "rita", f"recovery:{KEYS[1]}")
    assert kinds(await first(client, "rita")) == {"recovery": []}
    assert not await tried(client, "rita", f"recovery:{KEYS[1]}")


async def test_response_needs_its_kind_in_front(pair: Pair) -> None:
    """A right key without its prefix, or with the prefix of another kind, is refused."""
    _, client = pair
    for response in (KEYS[0], f"totp:{KEYS[0]}", f"yubico:{KEYS[0]}", f"webauthn:{KEYS[0]}", f"{KEYS[0]}:recovery", ""):
        assert not await tried(client, "rita", response)
    assert await tried(client, "rita", f"recovery:{KEYS[0]}")


async def test_factor_that_an_account_lacks_is_refused(pair: Pair) -> None:
    """No response of a kind that an account does not have signs it in."""
    sim, client = pair
    for response in (code(sim), f"totp:{totp('', sim.now())}", f"yubico:{yubico(KEY_ID)}", "recovery:"):
        assert not await tried(client, "olaf", response)


async def test_u2f_is_offered_and_never_answered(pair: Pair) -> None:
    """The challenge holds what a U2F key would sign, and every response is refused."""
    _, client = pair
    offer = kinds(await first(client, "olaf"))["u2f"]
    assert offer["challenge"].keys() == {"challenge", "appId", "version"}
    assert [key["version"] for key in offer["keys"]] == ["U2F_V2"]
    assert not await tried(client, "olaf", "u2f:{}")


# Yubico OTP


async def test_yubico_otp_signs_in_once(pair: Pair) -> None:
    """Each touch of the key gives another password, and each is taken once."""
    sim, client = pair
    otp = sim.yubico("yuri@pve")
    assert re.fullmatch(f"{KEY_ID}[cbdefghijklnrtuv]{{32}}", otp)
    assert await tried(client, "yuri", f"yubico:{otp}")
    assert not await tried(client, "yuri", f"yubico:{otp}")
    assert await tried(client, "yuri", f"yubico:{sim.yubico('yuri@pve')}")


@pytest.mark.parametrize(
    "otp",
    ["", KEY_ID, yubico("ccccccbunker"), yubico(KEY_ID)[:-1], yubico(KEY_ID)[:-1] + "a"],
    ids=["nothing", "the key alone", "another key", "too short", "no modhex"],
)
async def test_other_yubico_otp_is_refused(pair: Pair, otp: str) -> None:
    """A password of another key, of the wrong length or outside modhex is refused."""
    _, client = pair
    assert not await tried(client, "yuri", f"yubico:{otp}")


# WebAuthn


async def asked(client: httpx.AsyncClient) -> tuple[str, str]:
    """The challenge of the login, and the one in it for the security key."""
    challenge = await first(client, "wanda")
    return challenge, kinds(challenge)["webauthn"]["publicKey"]["challenge"]


async def test_webauthn_challenge_holds_the_browsers_options(pair: Pair) -> None:
    """The options name the relying party and the credential, in base64url without padding, and never repeat."""
    _, client = pair
    options = kinds(await first(client, "wanda"))["webauthn"]["publicKey"]
    challenge = options.pop("challenge")
    assert options == {
        "timeout": 60_000,
        "rpId": RP_ID,
        "allowCredentials": [{"type": "public-key", "id": b64(STICK.credential)}],
        "userVerification": "discouraged",
    }
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", challenge)
    assert (await asked(client))[1] != challenge


async def test_webauthn_signs_in_once(pair: Pair) -> None:
    """A signature over the challenge signs in, and its challenge is used up."""
    _, client = pair
    challenge, inner = await asked(client)
    answer = await second(client, "wanda", challenge, STICK.sign(inner))
    assert "cap" in answer.json()["data"]
    assert is_refusal(await second(client, "wanda", challenge, STICK.sign(inner)))
    challenge, inner = await asked(client)
    assert (await second(client, "wanda", challenge, STICK.sign(inner))).status_code == 200


async def test_webauthn_challenge_is_used_up_by_a_failure_too(pair: Pair) -> None:
    """After a wrong signature the same challenge is worth nothing."""
    _, client = pair
    challenge, inner = await asked(client)
    wrong = Stick(key=STICK.key, origin="https://door.example")
    assert is_refusal(await second(client, "wanda", challenge, wrong.sign(inner)))
    assert is_refusal(await second(client, "wanda", challenge, STICK.sign(inner)))


@pytest.mark.parametrize(("age", "status"), [(100, 200), (125, 401)])
async def test_webauthn_challenge_lives_two_minutes(age: int, status: int) -> None:
    """An answer that comes later than two minutes is refused."""
    async with simulated(speed=10.0) as (sim, client):
        challenge, inner = await asked(client)
        sim.advance(age)
        assert (await second(client, "wanda", challenge, STICK.sign(inner))).status_code == status


@pytest.mark.parametrize(
    "lie",
    [
        {"origin": "https://door.example"},
        {"origin": "https://door.example:8443/"},
        {"origin": "https://other.example:8443"},
        {"rp_id": "other.example"},
        {"kind": "webauthn.create"},
        {"flags": 4},
        {"counter": b""},
        {"credential": b"another"},
        {"key": ec.generate_private_key(ec.SECP256R1())},
        {"signed_challenge": b64(bytes(32))},
    ],
    ids=lambda lie: next(iter(lie)),
)
async def test_webauthn_is_verified_to_the_letter(pair: Pair, lie: Data) -> None:
    """Origin and port, relying party, type, presence, length, credential, signature and challenge must be right."""
    _, client = pair
    challenge, inner = await asked(client)
    stick = Stick(**{"key": STICK.key, **lie})
    assert is_refusal(await second(client, "wanda", challenge, stick.sign(inner)))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer: answer.pop("id"),
        lambda answer: answer.update(type="password"),
        lambda answer: answer.update(challenge=b64(bytes(32))),
        lambda answer: answer.update(rawId=answer["rawId"] + "="),
        lambda answer: answer.update(response=[]),
        lambda answer: answer["response"].update(clientDataJSON=b64(b"[]")),
        lambda answer: answer["response"].update(clientDataJSON=b64(b"\xff")),
        lambda answer: answer["response"].update(authenticatorData=b64(bytes(36))),
        lambda answer: answer["response"].update(signature="+/+/"),
        lambda answer: answer["response"].update(signature="A"),
    ],
)
async def test_malformed_assertion_is_a_refusal(pair: Pair, spoil: Callable[[Data], object]) -> None:
    """Whatever is missing, of the wrong shape or not base64url is refused like a wrong code."""
    _, client = pair
    challenge, inner = await asked(client)
    assert is_refusal(await second(client, "wanda", challenge, Stick(key=STICK.key, spoil=spoil).sign(inner)))


@pytest.mark.parametrize("given", ["", "{", "null", "[]", "{}", '"\ud800"', "[" * 5_000, '{"id": "\\ud800"}'])
async def test_garbage_for_an_assertion_is_a_refusal(pair: Pair, given: str) -> None:
    """What is no JSON object is refused and leaves the simulator well."""
    sim, client = pair
    body = (
        f"username=wanda%40pve&tfa-challenge={(await first(client, 'wanda')).replace('%', '%25').replace('+', '%2B')}"
    )
    body += "&password=webauthn:" + "".join(f"%{byte:02X}" for byte in given.encode("utf-8", "surrogatepass"))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert is_refusal(await client.post("/access/ticket", content=body, headers=form))
    assert await tried(client, "wanda", code(sim))


async def test_key_that_is_no_es256_key_is_a_refusal() -> None:
    """A registered key of another kind, or no key at all, signs nobody in."""
    other = ed25519.Ed25519PrivateKey.generate().public_key()
    der = other.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    for public in (der, b"no key"):
        key = SecurityKey(credential_id=STICK.credential, public_key=public)
        async with simulated(accounts=[Account(userid="wanda@pve", password="demo", webauthn=key)]) as (_, client):
            challenge, inner = await asked(client)
            assert is_refusal(await second(client, "wanda", challenge, STICK.sign(inner)))


async def test_webauthn_challenge_belongs_to_its_user() -> None:
    """A challenge made for one account completes no login of another with the same key."""
    accounts = [Account(userid=f"{name}@pve", password="demo", webauthn=STICK.registered) for name in ("wanda", "wolf")]
    async with simulated(accounts=accounts) as (_, client):
        _, inner = await asked(client)
        assert is_refusal(await second(client, "wolf", await first(client, "wolf"), STICK.sign(inner)))


@pytest.mark.parametrize("options", [{"webauthn_origin": ""}, {"webauthn_id": ""}])
async def test_webauthn_needs_configuration(options: Data) -> None:
    """Without an origin and an id no security key is asked for, though a second factor still is."""
    accounts = [Account(userid="wanda@pve", password="demo", webauthn=STICK.registered)]
    async with simulated(accounts=accounts, **options) as (_, client):
        assert kinds(await first(client, "wanda")) == {}


# Lock-outs


async def test_eight_wrong_codes_lock_the_authenticator(pair: Pair) -> None:
    """After eight failures right codes are refused, step one still challenges, and a recovery key unlocks."""
    sim, client = pair
    assert TOTP_FAILURES == 8
    for _ in range(2):
        await fail(client, "tom", "totp:000", 7)
        assert await tried(client, "tom", code(sim))
        sim.advance(60)
    await fail(client, "tom", "totp:000", 8)
    assert not await tried(client, "tom", code(sim))
    sim.advance(86_400)
    assert not await tried(client, "tom", code(sim))
    assert await tried(client, "tom", f"recovery:{KEYS[0]}")
    assert await tried(client, "tom", code(sim))


async def test_repeated_code_counts_as_a_failure(pair: Pair) -> None:
    """A code used before is a wrong code like any other."""
    sim, client = pair
    sent = code(sim)
    assert await tried(client, "tom", sent)
    await fail(client, "tom", sent, 8)
    assert not await tried(client, "tom", code(sim, 1))


async def test_administrator_unlocks(pair: Pair) -> None:
    """`unlock` lets a locked authenticator in again."""
    sim, client = pair
    await fail(client, "tom", "totp:000", 8)
    sim.unlock("tom@pve")
    assert await tried(client, "tom", code(sim))


async def test_other_factors_do_not_unlock_the_authenticator(pair: Pair) -> None:
    """A security key signs in past a locked authenticator and leaves it locked."""
    sim, client = pair
    await fail(client, "wanda", "totp:000", 8)
    challenge, inner = await asked(client)
    assert (await second(client, "wanda", challenge, STICK.sign(inner))).status_code == 200
    assert not await tried(client, "wanda", code(sim))


async def test_lock_is_for_one_account(pair: Pair) -> None:
    """Failures of one account lock nobody else."""
    sim, client = pair
    await fail(client, "tom", "totp:000", 8)
    assert await tried(client, "wanda", code(sim))


async def test_hundred_failures_lock_every_factor_for_an_hour(pair: Pair) -> None:
    """After a hundred failures of any kind nothing is taken for an hour, and then all is well again."""
    sim, client = pair
    assert FAILURES == 100
    for _ in range(2):
        await fail(client, "yuri", "yubico:wrong", 60)
        await fail(client, "yuri", "totp:000", 39)
        assert await tried(client, "yuri", f"yubico:{sim.yubico('yuri@pve')}")
    await fail(client, "yuri", "yubico:wrong", 100)
    assert not await tried(client, "yuri", f"yubico:{sim.yubico('yuri@pve')}")
    sim.advance(3_601)
    assert await tried(client, "yuri", f"yubico:{sim.yubico('yuri@pve')}")


async def test_administrator_ends_the_hour(pair: Pair) -> None:
    """`unlock` ends the lock of every factor too."""
    sim, client = pair
    await fail(client, "yuri", "yubico:wrong", 100)
    assert not await tried(client, "yuri", f"yubico:{sim.yubico('yuri@pve')}")
    sim.unlock("yuri@pve")
    assert not await tried(client, "yuri", "yubico:wrong")
    assert await tried(client, "yuri", f"yubico:{sim.yubico('yuri@pve')}")


# Several nodes


async def test_challenges_and_counters_live_on_one_node() -> None:
    """A security key's answer counts at the node that asked, and failures at one lock nothing at another."""
    async with simulated(nodes=2, doors=2) as (sim, client), reached(sim, 1) as other:
        challenge, inner = await asked(client)
        assert is_refusal(await second(other, "wanda", challenge, STICK.sign(inner)))
        assert (await second(client, "wanda", challenge, STICK.sign(inner))).status_code == 200
        await fail(client, "wanda", "totp:000", 8)
        assert not await tried(client, "wanda", code(sim))
        assert await tried(other, "wanda", code(sim))
        sim.unlock("wanda@pve")
        assert await tried(client, "wanda", code(sim))


async def test_each_node_has_slots_of_its_own() -> None:
    """A node whose workers are all busy holds up nobody at another."""
    async with simulated(speed=3.0, nodes=2, doors=2, slots=1) as (sim, client), reached(sim, 1) as other:
        waiting = asyncio.create_task(login(client, "anna", "wrong"))
        await asyncio.sleep(0.1)
        assert (await login(other, "anna")).elapsed.total_seconds() < 0.5
        assert is_refusal(await waiting)


# Asking about privileges


@pytest.mark.parametrize(
    ("who", "password", "path", "privs", "right"),
    [
        ("anna", "demo", "/vms/100", "VM.Audit,Sys.Audit", True),
        ("anna", "demo", "/", "VM.Audit Sys.Audit", True),
        ("tom", "demo", "/", "Sys.Audit", False),
        ("anna", "demo", "/", "Sys.Audit,VM.PowerMgmt", False),
        ("anna", "demo", "vms", "VM.Audit", False),
        ("anna", "demo", "/", ",", False),
        ("anna", "wrong", "/", "Sys.Audit", False),
        ("nobody", "demo", "/", "Sys.Audit", False),
    ],
)
async def test_login_may_ask_about_privileges(
    pair: Pair, who: str, password: str, path: str, privs: str, right: bool
) -> None:
    """With `path` and `privs` a right password is told whether the account holds all of them, and gets no ticket."""
    _, client = pair
    answer = await login(client, who, password, path=path, privs=privs)
    if right:
        assert answer.json()["data"].keys() == {"username", "cap", "clustername"}
    else:
        assert is_refusal(answer)


async def test_question_about_privileges_takes_a_ticket_of_ones_own(pair: Pair) -> None:
    """The account's own ticket answers for its password."""
    _, client = pair
    ticket = (await login(client, "anna")).json()["data"]["ticket"]
    assert (await login(client, "anna", ticket, path="/", privs="Sys.Audit")).status_code == 200


async def test_path_and_privileges_come_together(pair: Pair) -> None:
    """One without the other, or one that is too long, is a parameter error."""
    _, client = pair
    for more, wrong in (({"path": "/"}, "privs"), ({"privs": "x"}, "path"), ({"path": "/" * 65, "privs": "x"}, "path")):
        answer = await login(client, "anna", **more)
        assert answer.status_code == 400
        assert list(answer.json()["errors"]) == [wrong]


# Realms


async def test_realm_shows_its_second_factor_where_set() -> None:
    """`tfa` is in a realm's row only where the realm has one."""
    async with simulated(realms=[PVE, Realm(realm="keys", type="pve", tfa="yubico")]) as (_, client):
        rows = {row["realm"]: row for row in (await client.get("/access/domains")).json()["data"]}
    assert rows["keys"] == {"realm": "keys", "type": "pve", "tfa": "yubico"}
    assert "tfa" not in rows["pve"]


# Worker slots


async def concurrent(client: httpx.AsyncClient, sim: Simulator, wrong: int) -> float:
    """How long a right login takes that arrives behind so many wrong ones."""
    refused = [asyncio.create_task(login(client, "anna", "wrong")) for _ in range(wrong)]
    while sum(received.path == "/access/ticket" for received in sim.requests) < wrong:
        await asyncio.sleep(0.005)
    started = time.monotonic()
    assert (await login(client, "anna")).status_code == 200
    taken = time.monotonic() - started
    assert all(is_refusal(answer) for answer in await asyncio.gather(*refused))
    return taken


@pytest.mark.parametrize(("wrong", "queued"), [(2, False), (3, True)])
async def test_refusals_hold_the_worker_slots(wrong: int, queued: bool) -> None:
    """A right login passes while a slot is free, and waits for a refusal to end when none is."""
    async with simulated(speed=3.0, slots=3) as (sim, client):
        await login(client, "anna")  # the first handshake is the slowest
        sim.requests.clear()
        assert (await concurrent(client, sim, wrong) > 0.6) == queued


async def test_there_are_twelve_slots_by_default() -> None:
    """Three workers with four slots each answer twelve requests at a time."""
    async with simulated(speed=3.0) as (sim, client):
        started = time.monotonic()
        await asyncio.gather(*(login(client, "anna", "wrong") for _ in range(13)))
        assert 1.9 < time.monotonic() - started < 2.9
        assert len(sim.requests) == 13


async def test_faults_take_no_slot() -> None:
    """What the proxy answers or swallows keeps no worker busy."""
    async with simulated(slots=1) as (sim, client):
        for fault in (Fault(hang=True, path="/cluster"), Fault(delay=2.0, status=595, path="/cluster")):
            sim.fault = fault
            waiting = asyncio.create_task(client.get("/cluster/resources", timeout=0.5))
            await asyncio.sleep(0.1)
            assert (await login(client, "anna")).status_code == 200
            with pytest.raises(httpx.ReadTimeout):
                await waiting


async def test_slot_of_a_client_that_left_becomes_free() -> None:
    """A client that gives up during its refusal keeps its slot no longer than the refusal takes."""
    async with simulated(speed=3.0, slots=1) as (_, client):
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/access/ticket", data={"username": "anna@pve", "password": "wrong"}, timeout=0.3)
        assert (await login(client, "anna")).status_code == 200


# Signing keys


async def version(client: httpx.AsyncClient, ticket: str) -> int:
    return (await client.get("/version", headers={"Cookie": f"PVEAuthCookie={ticket}"})).status_code


async def test_tickets_of_the_key_before_stay_valid(pair: Pair) -> None:
    """A rotated key signs new tickets, and tickets, challenges and CSRF tokens of the one before still count."""
    sim, client = pair
    data, challenge = (await login(client, "anna")).json()["data"], await first(client, "tom")
    sim.rotate_key()
    assert await version(client, data["ticket"]) == 200
    headers = {"Cookie": f"PVEAuthCookie={data['ticket']}", "CSRFPreventionToken": data["CSRFPreventionToken"]}
    assert (await client.delete("/access/ticket", headers=headers)).status_code == 501
    assert (await second(client, "tom", challenge, code(sim))).status_code == 200
    renewed = (await login(client, "anna", data["ticket"])).json()["data"]["ticket"]
    sim.rotate_key()
    assert await version(client, data["ticket"]) == 401
    assert await version(client, renewed) == 200


async def test_forgotten_keys_end_every_ticket(pair: Pair) -> None:
    """After `forget_keys` every earlier ticket and challenge is refused, and new ones are good."""
    sim, client = pair
    old, challenge = (await login(client, "anna")).json()["data"]["ticket"], await first(client, "tom")
    sim.forget_keys()
    assert await version(client, old) == 401
    assert is_refusal(await login(client, "anna", old))
    assert is_refusal(await second(client, "tom", challenge, code(sim)))
    assert await version(client, (await login(client, "anna")).json()["data"]["ticket"]) == 200


# Accounts


def test_account_names_its_factors_and_hides_their_secrets() -> None:
    """`factors` are Proxmox's words for what an account has, and no repr shows what opens it."""
    account = Account(
        userid="eve@pve", password="word", totp_secret=SECRET, recovery=KEYS, yubico=KEY_ID, u2f=True,
        webauthn=STICK.registered,
    )  # fmt: skip
    assert account.factors == ("totp", "recovery", "u2f", "webauthn", "yubico")
    assert not any(secret in repr(account) for secret in ("word", SECRET, KEYS[0], KEY_ID))


@pytest.mark.parametrize(("who", "names"), [("yuri", {"yubico"}), ("olaf", {"u2f"}), ("carla", {"recovery"})])
async def test_demo_has_an_account_for_each_kind(who: str, names: set[str]) -> None:
    """The demo's own accounts offer each kind of second factor, but WebAuthn."""
    async with Simulator(speed=SPEED) as sim, reached(sim) as client:
        assert kinds(await first(client, who)).keys() == names


async def test_printed_yubico_passwords_sign_in() -> None:
    """The passwords printed for the demo's Yubico account are good."""
    async with Simulator(speed=SPEED) as sim, reached(sim) as client:
        passwords = re.findall(r"Yubico one-time password (\w+)", greeting(sim))
        assert len(passwords) == 2
        for password in passwords:
            assert await tried(client, "yuri", f"yubico:{password}")
