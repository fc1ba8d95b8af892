"""Several nodes of one cluster: when a call moves on to the next one, when it must not, and which is asked first."""

import asyncio
import contextlib
import hashlib
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any

import pytest
import trustme
from pydantic import SecretStr

from services.errors import (
    BadAnswer,
    ClockOff,
    Distrust,
    InvalidCredentials,
    NotTrusted,
    Outage,
    PrivilegeMissing,
    TicketRejected,
    Unreachable,
)
from services.proxmox import Address, Challenge, Proxmox, ProxmoxClient, Ticket, Trust
from services.proxmox.funnel import MOST_MEMBERS
from services.simulator import Fault, Simulator
from services.simulator.certificate import Identity, make_authority, make_leaf
from tests.test_proxmox_client import Reply, Server, forever, http, http_json, listening, say, say_and

pytestmark = pytest.mark.slow

SPEED = 60.0
DEMO = SecretStr("demo")
TICKET = Ticket(userid="root@pam", ticket=SecretStr("PVE:root@pam:1::s"), csrf_token=SecretStr("1:x"), issued=0.0)
NAME = "cluster.test"
HALF = {"NeedTFA": 1, "ticket": 'PVE:!tfa!{"totp"%3Atrue}:6B03F88F::s', "username": "bob@pve"}
WHOLE = {"ticket": "PVE:bob@pve:2::s", "CSRFPreventionToken": "2:c", "username": "bob@pve"}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """Three nodes with a door each."""
    async with Simulator(speed=SPEED, doors=3) as running:
        yield running


@pytest.fixture
async def proxmox(sim: Simulator) -> AsyncIterator[Proxmox]:
    """A client that knows all three."""
    async with Proxmox(sim.addresses, believing(sim)) as client:
        yield client


def believing(sim: Simulator) -> Trust:
    return Trust(fingerprints=tuple(sim.fingerprints.values()))


async def sign_in(proxmox: Proxmox, userid: str = "root@pam") -> Ticket:
    ticket = await proxmox.sign_in(userid, DEMO)
    assert isinstance(ticket, Ticket)
    return ticket


async def half_signed_in(proxmox: Proxmox) -> Challenge:
    challenge = await proxmox.sign_in("bob@pve", DEMO)
    assert isinstance(challenge, Challenge)
    return challenge


def code(sim: Simulator) -> SecretStr:
    return SecretStr(f"totp:{sim.totp('bob@pve')}")


def asked(sim: Simulator, path: str = "") -> list[int]:
    """Which doors were asked, in order, each by its number."""
    return [sim.addresses.index(one.door) for one in sim.requests if one.path.startswith(path)]


async def turn_of(proxmox: Proxmox, sim: Simulator) -> int:
    """Which door a call goes to."""
    await proxmox.realms()
    return asked(sim)[-1]


async def shut(sim: Simulator, door: int) -> None:
    await sim.close_door(sim.addresses[door])


async def reopen(sim: Simulator, door: int) -> None:
    await sim.open_door(sim.addresses[door])


# ------------------------------------------------------------------------------------------------ a server on the wire


@pytest.fixture(scope="module")
def tls() -> tuple[ssl.SSLContext, Trust]:
    """What a server needs to be trusted, and the trust that does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf = trustme.CA().issue_cert("127.0.0.1")
    leaf.configure_cert(context)
    der = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    return context, Trust(fingerprints=(hashlib.sha256(der).hexdigest(),))


@contextlib.contextmanager
def full() -> Iterator[Address]:
    """An address whose queue of connections is full and never emptied: one more gets no answer at all."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        port = listener.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield Address(host="127.0.0.1", port=port)


@contextlib.contextmanager
def mute(host: str = "127.0.0.1") -> Iterator[Address]:
    """An address that takes connections and never says a word of TLS."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield Address(host=host, port=listener.getsockname()[1])


@asynccontextmanager
async def plain() -> AsyncIterator[Address]:
    """An address that answers a TLS greeting with something else."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield Address(host="127.0.0.1", port=server.sockets[0].getsockname()[1])


def resolve(monkeypatch: pytest.MonkeyPatch, *answers: list[str], slowly: float = 0.0) -> None:
    """Make NAME stand for these addresses, another of the lists at every look-up."""
    real, turns = socket.getaddrinfo, cycle(answers)

    def look_up(host: Any, port: Any, *more: Any, **named: Any) -> Any:
        if host not in (NAME, NAME.encode()):
            return real(host, port, *more, **named)
        time.sleep(slowly)  # in a thread, where a resolver blocks as well
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, int(port or 0))) for ip in next(turns)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


# -------------------------------------------------------------------------------------------------- before it was sent


async def test_a_refused_connection_moves_on(sim: Simulator, proxmox: Proxmox) -> None:
    """Where nobody listens even a sign-in goes to the next address, and arrives once."""
    await shut(sim, 0)
    await sign_in(proxmox)
    assert asked(sim) == [1]


@pytest.mark.parametrize("silence", [full, mute], ids=["no TCP", "no TLS"])
async def test_a_connection_that_does_not_come_about_moves_on(silence: Any, sim: Simulator) -> None:
    """Where TCP or TLS gets no answer, a sign-in goes to the next address after some three seconds."""
    with silence() as silent:
        async with Proxmox([silent, sim.address], believing(sim)) as proxmox:
            begun = time.monotonic()
            await sign_in(proxmox)
            assert time.monotonic() - begun < 3.9
            assert list(proxmox.troubles()) == [silent]
    assert asked(sim) == [0]


async def test_tcp_and_tls_share_their_three_seconds(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow TCP connection leaves TLS only what remains of the three seconds."""
    resolve(monkeypatch, ["127.0.0.1"], slowly=2.0)
    with mute(NAME) as silent:
        async with Proxmox([silent, sim.address], believing(sim)) as proxmox:
            begun = time.monotonic()
            await sign_in(proxmox)
            assert time.monotonic() - begun < 4.2
    assert asked(sim) == [0]


async def test_waiting_for_a_free_connection_is_no_outage(sim: Simulator, proxmox: Proxmox) -> None:
    """A call that waits longer than three seconds, because all connections are in use, still goes where it should."""
    sim.faults[sim.address] = Fault(path="/version", delay=3.6)
    client = proxmox.signed_in(await sign_in(proxmox))
    busy = [asyncio.create_task(client.version()) for _ in range(32)]  # as many as there are connections
    while len(asked(sim, "/version")) < 32:
        await asyncio.sleep(0.05)
    assert await proxmox.realms()
    assert asked(sim, "/access/domains") == [0]
    await asyncio.gather(*busy)
    assert proxmox.troubles() == {}


# --------------------------------------------------------------------------------------------------- after it was sent

FAULTS = {"a reset": Fault(reset=True), "500": Fault(status=500), "595": Fault(status=595), "596": Fault(status=596)}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_read_is_repeated_elsewhere(fault: Fault, sim: Simulator, proxmox: Proxmox) -> None:
    """A read that breaks, or finds no daemon behind the proxy, is asked of the next node."""
    client = proxmox.signed_in(await sign_in(proxmox))
    sim.faults[sim.address] = fault
    assert (await client.resources()).guests
    assert asked(sim, "/cluster/resources") == [0, 1]


ODD = {
    **{str(status): say(http(b"", status=f"{status} Odd")) for status in (597, 598, 599, 999)},
    "000": say(b"HTTP/1.1 000 None\r\n\r\n"),
    "a switch of protocols": say(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
    "a body cut short": say_and("close", b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"data"'),
}


@pytest.mark.parametrize("reply", ODD.values(), ids=ODD)
async def test_a_read_outlives_an_odd_answer(reply: Reply, tls: tuple[ssl.SSLContext, Trust]) -> None:
    """Neither a status beyond all habits nor half an answer keeps a read from the next node."""
    async with (
        listening(Server([reply]), tls[0]) as odd,
        listening(Server([say(http_json([]))]), tls[0]) as good,
        Proxmox([odd.address, good.address], tls[1]) as proxmox,
    ):
        assert await proxmox.realms() == ()
        assert list(proxmox.troubles()) == [odd.address]
    assert (len(odd.requests), len(good.requests)) == (1, 1)


NO_PROXMOX = {
    "a redirect": say(http(b"", "Location: https://127.0.0.1/", status="301 Moved Permanently")),
    "a page": say(http(b"<!doctype html><title>Router</title>", "Content-Type: text/html")),
    "no page": say(http(b"<title>404</title>", "Content-Type: text/html", status="404 Not Found")),
    "another JSON": say(http(b'{"status":"ok"}', "Content-Type: application/json")),
}


@pytest.mark.parametrize("reply", NO_PROXMOX.values(), ids=NO_PROXMOX)
async def test_a_read_passes_over_what_is_no_proxmox(reply: Reply, tls: tuple[ssl.SSLContext, Trust]) -> None:
    """An address that answers like something else is named with that reason, and asked last from then on."""
    async with (
        listening(Server([reply]), tls[0]) as other,
        listening(Server([say(http_json([]))]), tls[0]) as good,
        Proxmox([other.address, good.address], tls[1]) as proxmox,
    ):
        for _ in range(2):
            assert await proxmox.realms() == ()
        assert {address: type(why) for address, why in proxmox.troubles().items()} == {other.address: BadAnswer}
    assert (len(other.requests), len(good.requests)) == (1, 2)


@pytest.mark.parametrize("reply", NO_PROXMOX.values(), ids=NO_PROXMOX)
async def test_with_no_proxmox_among_them_that_is_the_reason(reply: Reply, tls: tuple[ssl.SSLContext, Trust]) -> None:
    """Where everybody who answers answers like something else, that is told, and no outage."""
    async with (
        listening(Server([reply]), tls[0]) as one,
        listening(Server([reply]), tls[0]) as other,
        Proxmox([one.address, other.address], tls[1]) as proxmox,
    ):
        with pytest.raises(BadAnswer):
            await proxmox.realms()
        assert set(proxmox.troubles()) == {one.address, other.address}
    assert (len(one.requests), len(other.requests)) == (1, 1)


@pytest.mark.parametrize("reply", NO_PROXMOX.values(), ids=NO_PROXMOX)
async def test_a_sign_in_that_something_else_has_read_is_not_sent_again(
    reply: Reply, tls: tuple[ssl.SSLContext, Trust]
) -> None:
    """A password that went to what is no Proxmox goes no further; the next one goes to another address first."""
    async with (
        listening(Server([reply]), tls[0]) as other,
        listening(Server([say(http_json({**WHOLE, "username": "root@pam"}))]), tls[0]) as good,
        Proxmox([other.address, good.address], tls[1]) as proxmox,
    ):
        with pytest.raises(BadAnswer):
            await sign_in(proxmox)
        assert (len(other.requests), len(good.requests)) == (1, 0)
        await sign_in(proxmox)
    assert (len(other.requests), len(good.requests)) == (1, 1)


SILENT = {
    "no word": say_and("hang"),
    "half a head": say_and("hang", b"HTTP/1.1 200 OK\r\nContent-"),
    "a flood of 1xx": forever(b"HTTP/1.1 100 Continue\r\n\r\n" * 10),
}


async def test_a_read_does_not_wait_for_a_silent_node(tls: tuple[ssl.SSLContext, Trust]) -> None:
    """A node that was asked and says nothing of use is left for the next one after four to five seconds."""

    async def read(reply: Reply) -> tuple[int, int, list[Unreachable]]:
        async with (
            listening(Server([reply]), tls[0]) as silent,
            listening(Server([say(http_json([]))]), tls[0]) as good,
            Proxmox([silent.address, good.address], tls[1]) as proxmox,
        ):
            assert await proxmox.realms() == ()
            return len(silent.requests), len(good.requests), list(proxmox.troubles().values())

    begun = time.monotonic()
    outcomes = await asyncio.gather(*map(read, SILENT.values()))
    assert time.monotonic() - begun < 9
    assert [(first, second, [why.outage for why in whys]) for first, second, whys in outcomes] == [
        (1, 1, [Outage.SILENT])
    ] * len(SILENT)


@pytest.mark.parametrize("call", ["sign in", "renew"])
@pytest.mark.parametrize("fault", [*FAULTS.values(), Fault(hang=True)], ids=[*FAULTS, "a hang"])
async def test_a_sign_in_is_sent_once(fault: Fault, call: str, sim: Simulator) -> None:
    """A password or a ticket that may have arrived at one node is not sent to another."""
    async with Proxmox(sim.addresses, believing(sim), deadline=0.8) as proxmox:
        ticket = await sign_in(proxmox)
        sim.requests.clear()
        sim.faults[sim.address] = fault
        with pytest.raises(Unreachable):
            await (proxmox.renew(ticket) if call == "renew" else sign_in(proxmox))
    assert asked(sim) == [0]


async def test_a_refusal_is_no_outage() -> None:
    """A refusal that takes three seconds is believed, asked of nobody else, and leaves the node the first."""
    async with Simulator(nodes=6, doors=6) as sim, Proxmox(sim.addresses, believing(sim)) as proxmox:
        begun = time.monotonic()
        password, ticket = await asyncio.gather(
            proxmox.sign_in("root@pam", SecretStr("wrong")), proxmox.signed_in(TICKET).version(), return_exceptions=True
        )
        assert time.monotonic() - begun > 2.5
        assert (type(password), type(ticket)) == (InvalidCredentials, TicketRejected)
        assert (asked(sim), proxmox.troubles()) == ([0, 0], {})
        assert await turn_of(proxmox, sim) == 0


async def test_a_missing_privilege_is_missing_everywhere(sim: Simulator, proxmox: Proxmox) -> None:
    """403 is an answer: nobody else is asked, and the node stays the first."""
    client = proxmox.signed_in(await sign_in(proxmox, "kid@pve"))
    with pytest.raises(PrivilegeMissing, match=r"Sys\.Audit on /"):
        await client.members()
    assert (asked(sim, "/cluster/status"), proxmox.troubles()) == ([0], {})
    assert await turn_of(proxmox, sim) == 0


# ------------------------------------------------------------------------------------------------------ in which turn


async def test_who_answered_is_asked_first(sim: Simulator, proxmox: Proxmox) -> None:
    """The node that stood in stays the first, also when the one before it is back and known to be."""
    await shut(sim, 0)
    assert await turn_of(proxmox, sim) == 1
    await reopen(sim, 0)
    await proxmox.probe()
    assert proxmox.troubles() == {}
    assert await turn_of(proxmox, sim) == 1


async def test_who_failed_is_asked_last(sim: Simulator, proxmox: Proxmox) -> None:
    """A node that failed is asked after all others, though it would answer again."""
    await shut(sim, 0)
    assert await turn_of(proxmox, sim) == 1
    await reopen(sim, 0)
    await shut(sim, 1)
    assert await turn_of(proxmox, sim) == 2
    await shut(sim, 2)
    assert await turn_of(proxmox, sim) == 0


async def test_a_node_that_hung_until_the_deadline_is_asked_last(sim: Simulator) -> None:
    """A sign-in that ran into the deadline is lost, and the next one goes to another node."""
    async with Proxmox(sim.addresses, believing(sim), deadline=0.8) as proxmox:
        sim.faults[sim.address] = Fault(hang=True)
        with pytest.raises(Unreachable):
            await sign_in(proxmox)
        await sign_in(proxmox)
        assert asked(sim) == [0, 1]
        assert proxmox.troubles()[sim.address].outage is Outage.SILENT


async def test_a_caller_who_goes_away_blames_nobody(sim: Simulator, proxmox: Proxmox) -> None:
    """A call that is cancelled says nothing of the node it was waiting for."""
    sim.faults[sim.address] = Fault(hang=True)
    call = asyncio.create_task(proxmox.realms())
    while not sim.requests:
        await asyncio.sleep(0.02)
    call.cancel()
    await asyncio.wait([call])
    sim.faults.clear()
    assert proxmox.troubles() == {}
    assert await turn_of(proxmox, sim) == 0


OUTAGES = {
    Outage.REFUSED: None,
    Outage.BROKEN: Fault(reset=True),
    Outage.DAEMON: Fault(status=595),
    Outage.FAILED: Fault(status=500),
}


@pytest.mark.parametrize(("outage", "fault"), OUTAGES.items())
async def test_troubles_name_the_node_and_its_outage(
    outage: Outage, fault: Fault | None, sim: Simulator, proxmox: Proxmox
) -> None:
    """The node that gave no answer is in trouble with the reason, the one that stood in is not."""
    if fault:
        sim.faults[sim.address] = fault
    else:
        await shut(sim, 0)
    await proxmox.realms()
    troubles = proxmox.troubles()
    assert {address: trouble.outage for address, trouble in troubles.items()} == {sim.address: outage}
    assert troubles[sim.address].status == ((fault and fault.status) or 0)


async def test_troubles_name_a_node_that_greets_nobody(sim: Simulator) -> None:
    """A node that takes connections and then hangs is silent: that is no service of another kind."""
    with mute() as silent:
        async with Proxmox([silent, sim.address], believing(sim), deadline=1.5) as proxmox:
            await proxmox.realms()
            assert proxmox.troubles()[silent].outage is Outage.SILENT


async def test_troubles_name_what_is_no_proxmox(sim: Simulator) -> None:
    """A name that nobody knows, and a port that speaks no TLS, are told apart."""
    nobody = Address(host="nobody.invalid")
    async with plain() as other, Proxmox([nobody, other, sim.address], believing(sim)) as proxmox:
        await proxmox.realms()
        outages = {address: why.outage for address, why in proxmox.troubles().items()}
    assert outages == {nobody: Outage.NAME, other: Outage.NO_TLS}


async def test_a_probe_tells_who_is_back(sim: Simulator, proxmox: Proxmox) -> None:
    """A probe takes the trouble off a node that is back, leaves it on one that is not, and sends no credential."""
    client = proxmox.signed_in(await sign_in(proxmox))
    await shut(sim, 0)
    await client.version()
    await shut(sim, 1)
    await client.version()
    await proxmox.probe()
    assert set(proxmox.troubles()) == set(sim.addresses[:2])
    sim.requests.clear()
    await reopen(sim, 0)
    await proxmox.probe()
    assert set(proxmox.troubles()) == {sim.addresses[1]}
    assert asked(sim) == [0]
    assert {"cookie", "authorization"}.isdisjoint(sim.requests[0].headers)


async def test_all_nodes_down_is_an_outage_and_heals(sim: Simulator, proxmox: Proxmox) -> None:
    """With every node closed a call is Unreachable at once, and the first that is back answers the next one."""
    for door in range(3):
        await shut(sim, door)
    begun = time.monotonic()
    with pytest.raises(Unreachable):
        await proxmox.realms()
    assert time.monotonic() - begun < 2
    assert set(proxmox.troubles()) == set(sim.addresses)
    await reopen(sim, 2)
    assert await turn_of(proxmox, sim) == 2


# ----------------------------------------------------------------------------------------------- a clock that is off


@pytest.mark.parametrize("skew", [-400, 7_300])
async def test_a_read_passes_over_a_clock_that_is_off(skew: int, sim: Simulator, proxmox: Proxmox) -> None:
    """A node by whose clock the ticket is out of its time is named with that reason, and asked last from then on."""
    client = proxmox.signed_in(await sign_in(proxmox))
    sim.skews[sim.address] = skew
    for _ in range(2):
        assert await client.version()
    assert asked(sim, "/version") == [0, 1, 1]
    assert {address: type(why) for address, why in proxmox.troubles().items()} == {sim.address: ClockOff}


async def test_a_renewal_refused_for_the_clock_goes_elsewhere_the_next_time(sim: Simulator, proxmox: Proxmox) -> None:
    """A renewal at a node whose clock is off is no rejection, and the next one is asked of another node."""
    ticket = await sign_in(proxmox)
    sim.skews[sim.address] = -400
    with pytest.raises(ClockOff):
        await proxmox.renew(ticket)
    assert await proxmox.renew(ticket)
    assert asked(sim, "/access/ticket") == [0, 0, 1]


async def test_the_clock_of_who_refused_counts(sim: Simulator, proxmox: Proxmox) -> None:
    """After a node whose clock is off, a refusal by one whose clock is right is a rejection."""
    client = proxmox.signed_in(await sign_in(proxmox))
    sim.skews[sim.address] = -400
    sim.forget_keys()
    with pytest.raises(TicketRejected):
        await client.version()
    assert asked(sim, "/version") == [0, 1]


# ------------------------------------------------------------------------------------------------- the second factor


async def test_a_second_factor_goes_back_to_its_node(sim: Simulator, proxmox: Proxmox) -> None:
    """A challenge is answered at the node that gave it, though another one is preferred by then."""
    challenge = await half_signed_in(proxmox)
    sim.fault = Fault(path="/access/domains", status=500)
    sim.faults[sim.addresses[1]] = Fault(path="/access/domains", delay=0.01)
    assert await turn_of(proxmox, sim) == 1
    assert (await proxmox.verify(challenge, code(sim))).userid == "bob@pve"
    assert asked(sim, "/access/ticket") == [0, 0]


async def test_a_second_factor_dies_with_its_node(sim: Simulator, proxmox: Proxmox) -> None:
    """Where the node that gave the challenge is down, no other one sees the code."""
    challenge = await half_signed_in(proxmox)
    await shut(sim, 0)
    with pytest.raises(Unreachable):
        await proxmox.verify(challenge, code(sim))
    assert asked(sim) == [0]
    await reopen(sim, 0)
    assert (await proxmox.verify(challenge, code(sim))).userid == "bob@pve"


async def test_a_second_factor_goes_back_to_its_port(tls: tuple[ssl.SSLContext, Trust]) -> None:
    """Of two nodes behind one address, as forwarded ports are, the one that gave the challenge gets the code."""
    first = Server([say(http_json(HALF, "Connection: close")), say_and("reset"), say(http_json(WHOLE))])
    async with (
        listening(first, tls[0]),
        listening(Server([say(http_json([]))]), tls[0]) as second,
        Proxmox([first.address, second.address], tls[1]) as proxmox,
    ):
        challenge = await half_signed_in(proxmox)
        await proxmox.realms()
        await proxmox.verify(challenge, SecretStr("totp:123456"))
    assert (len(first.requests), len(second.requests)) == (3, 1)


@asynccontextmanager
async def behind_one_name(tmp_path: Any) -> AsyncIterator[tuple[Simulator, Proxmox]]:
    """Two nodes behind NAME, with certificates for that name and for none of their addresses."""
    authority = make_authority()
    leaves = tuple(make_leaf(authority, NAME, "192.0.2.1") for _ in range(2))
    async with Simulator(speed=SPEED, doors=2, identity=Identity(authority=authority, leaves=leaves)) as sim:
        path = tmp_path / "ca.pem"
        path.write_text(authority.pem)
        async with Proxmox([Address(host=NAME, port=sim.address.port)], Trust(ca_file=path)) as proxmox:
            yield sim, proxmox


async def drop_connections(sim: Simulator) -> None:
    for door in range(len(sim.addresses)):
        await shut(sim, door)
        await reopen(sim, door)


async def test_a_second_factor_goes_back_to_its_address_on_the_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Behind a name of several nodes the code goes to the one that gave the challenge, and is verified by the name."""
    resolve(monkeypatch, ["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.2"])
    async with behind_one_name(tmp_path) as (sim, proxmox):
        challenge = await half_signed_in(proxmox)
        await drop_connections(sim)  # a new one, by the name, would go to the other node
        assert (await proxmox.verify(challenge, code(sim))).userid == "bob@pve"
        assert asked(sim) == [1, 1]
        await drop_connections(sim)
        assert await turn_of(proxmox, sim) == 0


async def test_a_second_factor_is_asked_of_the_same_host(
    monkeypatch: pytest.MonkeyPatch, tls: tuple[ssl.SSLContext, Trust]
) -> None:
    """Both steps name the same host to Proxmox, which may bind a security key to it."""
    resolve(monkeypatch, ["127.0.0.1"])
    async with listening(Server([say(http_json(HALF)), say(http_json(WHOLE))]), tls[0]) as server:
        async with Proxmox([Address(host=NAME, port=server.port)], tls[1]) as proxmox:
            await proxmox.verify(await half_signed_in(proxmox), SecretStr("totp:123456"))
    for request in server.requests:
        assert [line for line in request.lower().split(b"\r\n") if line.startswith(b"host:")] == [
            f"host: {NAME}:{server.port}".encode()
        ]


async def test_a_second_factor_goes_to_no_other_node_of_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Where the one node behind a name is down, the other that the name stands for does not see the code."""
    resolve(monkeypatch, ["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.2"])
    async with behind_one_name(tmp_path) as (sim, proxmox):
        challenge = await half_signed_in(proxmox)
        await shut(sim, 1)
        with pytest.raises(Unreachable):
            await proxmox.verify(challenge, code(sim))
        assert asked(sim) == [1]


async def test_a_second_factor_is_held_to_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """A certificate for the address on the network, and not for the name, does not get the code."""
    resolve(monkeypatch, ["127.0.0.1"])
    async with behind_one_name(tmp_path) as (sim, proxmox):
        challenge = await half_signed_in(proxmox)
        sim.renew_certificate()  # for 127.0.0.1 and localhost
        await drop_connections(sim)
        with pytest.raises(NotTrusted) as error:
            await proxmox.verify(challenge, code(sim))
        assert error.value.reason is Distrust.WRONG_NAME
        assert asked(sim) == [0]


# ----------------------------------------------------------------------------------------------------------- members


@asynccontextmanager
async def knowing_one(sim: Simulator) -> AsyncIterator[tuple[Proxmox, ProxmoxClient, ProxmoxClient]]:
    """A client that was told of the first node only, and two people signed in there."""
    async with Proxmox([sim.address], believing(sim)) as proxmox:
        root, alice = await sign_in(proxmox), await sign_in(proxmox, "alice@pve")
        yield proxmox, proxmox.signed_in(root), proxmox.signed_in(alice)


async def test_members_stand_in_for_who_learnt_of_them(sim: Simulator) -> None:
    """Who has seen the cluster's members goes on reading with the configured node down; who has not does not."""
    async with knowing_one(sim) as (proxmox, root, alice):
        assert [member.ip for member in await root.members()] == [address.host for address in sim.addresses]
        await shut(sim, 0)
        assert (await root.resources()).guests
        assert asked(sim, "/cluster/resources") == [1]
        with pytest.raises(Unreachable):
            await alice.resources()
        with pytest.raises(Unreachable):
            await proxmox.realms()
    assert asked(sim, "/cluster/resources") == [1]


async def test_members_are_in_trouble_for_who_learnt_of_them(sim: Simulator) -> None:
    """A member that gave no answer is named to who may see it, and to nobody else."""
    async with knowing_one(sim) as (proxmox, root, alice):
        await root.members()
        await shut(sim, 0)
        await shut(sim, 1)
        await root.resources()
        assert set(proxmox.troubles(root.principal)) == {*sim.addresses[:2]}
        assert set(proxmox.troubles(alice.principal)) == set(proxmox.troubles()) == {sim.address}
        await reopen(sim, 1)
        await proxmox.probe()
        assert set(proxmox.troubles(root.principal)) == {sim.address}


async def test_a_member_stays_before_a_node_in_trouble(sim: Simulator) -> None:
    """Until it is known to be back, a configured node that failed is asked after the members."""
    async with knowing_one(sim) as (proxmox, root, _):
        await root.members()
        await shut(sim, 0)
        await root.version()
        await reopen(sim, 0)
        await root.version()
        await proxmox.probe()
        await root.version()
    assert asked(sim, "/version") == [1, 1, 0]


async def test_members_that_are_not_trusted_explain_nothing(sim: Simulator) -> None:
    """With the configured node down its own outage is told, and its members' certificates only to who may see them."""
    async with Proxmox([sim.address], Trust(fingerprints=(sim.fingerprint,))) as proxmox:
        root = proxmox.signed_in(await sign_in(proxmox))
        await root.members()
        await shut(sim, 0)
        for _ in range(2):  # the configured node is asked first, and then, when all are in trouble, again
            with pytest.raises(Unreachable) as error:
                await root.resources()
            assert error.value.outage is Outage.REFUSED
        kinds = {address: type(why) for address, why in proxmox.troubles(root.principal).items()}
        assert kinds == dict(zip(sim.addresses, (Unreachable, NotTrusted, NotTrusted), strict=True))
        assert set(proxmox.troubles()) == {sim.address}
    assert asked(sim, "/cluster/resources") == []


async def test_a_member_renews_the_ticket_of_who_learnt_of_it(sim: Simulator) -> None:
    """With the configured node down a ticket is renewed by a member, for who has seen the members and nobody else."""
    async with Proxmox([sim.address], believing(sim)) as proxmox:
        root, alice = await sign_in(proxmox), await sign_in(proxmox, "alice@pve")
        await proxmox.signed_in(root).members()
        await shut(sim, 0)
        sim.requests.clear()
        renewed = await proxmox.renew(root)
        with pytest.raises(Unreachable):
            await proxmox.renew(alice)
        assert asked(sim) == [1]
        assert await proxmox.signed_in(renewed).version()


async def test_members_can_be_forgotten(sim: Simulator) -> None:
    """Members that were forgotten are asked no more."""
    async with knowing_one(sim) as (proxmox, root, _):
        await root.members()
        proxmox.forget_members(root.principal)
        await shut(sim, 0)
        with pytest.raises(Unreachable):
            await root.resources()


async def test_who_may_not_see_the_cluster_learns_nothing(sim: Simulator) -> None:
    """Without Sys.Audit the members are a PrivilegeMissing, and none is asked afterwards."""
    async with knowing_one(sim) as (proxmox, *_):
        kid = proxmox.signed_in(await sign_in(proxmox, "kid@pve"))
        with pytest.raises(PrivilegeMissing):
            await kid.members()
        await shut(sim, 0)
        with pytest.raises(Unreachable):
            await kid.resources()


def status_rows(*ips: object) -> Reply:
    rows = [
        {"type": "cluster", "name": "c"},
        *({"type": "node", "name": f"n{i}", "ip": ip} for i, ip in enumerate(ips)),
    ]
    return say(http_json(rows, "Connection: close"))


NONSENSE = ["", " ", "pve2", "evil.example/x", "127.0.0.300", "0.0.0.0", "::", 7, None, [], "127.0.0.1:1", "a" * 5000]
SCOPED = pytest.param("fe80::1%eth0")


@pytest.mark.parametrize("ip", [*NONSENSE, SCOPED], ids=lambda ip: json.dumps(ip)[:20])
async def test_a_member_without_a_usable_address_is_passed_over(ip: object, tls: tuple[ssl.SSLContext, Trust]) -> None:
    """What is no address of a node is never asked, and does no harm to the account's other calls."""
    version = say(http_json({"version": "9"}, "Connection: close"))
    async with (
        listening(Server([status_rows(ip), version]), tls[0]) as server,
        Proxmox([server.address], tls[1]) as proxmox,
    ):
        client = proxmox.signed_in(TICKET)
        assert len(await client.members()) == 1
        assert await client.version() == "9"
        server.replies = [say_and("reset")]
        with pytest.raises(Unreachable):
            await client.version()
        assert list(proxmox.troubles(client.principal)) == [server.address]


async def test_a_cluster_cannot_name_endless_members(tls: tuple[ssl.SSLContext, Trust]) -> None:
    """However many members a cluster names, and for however many people, only so many are remembered."""
    replies = [status_rows(*(f"127.9.{i}.{n}" for n in range(1, 101))) for i in range(2)]
    async with listening(Server(replies), tls[0]) as server, Proxmox([server.address], tls[1]) as proxmox:
        people = [proxmox.signed_in(TICKET), proxmox.signed_in(_somebody_else())]
        for client in people:
            await client.members()
        server.replies = [say_and("reset")]
        for client in people:
            with pytest.raises(Unreachable):
                await client.version()
        troubles = set().union(*(proxmox.troubles(client.principal) for client in people))
    assert len(troubles - {server.address}) == MOST_MEMBERS


def _somebody_else() -> Ticket:
    return Ticket(userid="b@pve", ticket=SecretStr("PVE:b@pve:1::s"), csrf_token=SecretStr("1:x"), issued=0.0)


@pytest.mark.parametrize(("reply", "sent"), [(None, False), (say_and("hang"), True)], ids=["no handshake", "no answer"])
async def test_an_outage_tells_whether_the_password_left(
    reply: Reply | None, sent: bool, tls: tuple[ssl.SSLContext, Trust]
) -> None:
    """What certainly never left is told from what Proxmox may have judged."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        async with listening(Server([reply] if reply else []), tls[0]) as server:
            address = server.address if reply else Address(host="127.0.0.1", port=int(mute.getsockname()[1]))
            async with Proxmox([address], tls[1], deadline=1.0) as proxmox:
                with pytest.raises(Unreachable) as caught:
                    await proxmox.sign_in("root@pam", SecretStr("x"))
    assert caught.value.sent is sent
