"""The simulated Proxmox VE as a cluster: several nodes, their certificates, and what goes wrong at one of them."""

import asyncio
import errno
import socket
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from services.proxmox.certificate import certificate_shown, fingerprint, is_in_date
from services.proxmox.models import Address
from services.simulator import Fault, Simulator
from services.simulator.server import listen_together

SPEED = 60.0


@pytest.fixture
async def sim():
    """Three nodes with a door each."""
    async with Simulator(speed=SPEED, doors=3) as running:
        yield running


def at(address: Address, verify: ssl.SSLContext | bool = False) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"https://{address}/api2/json", verify=verify, trust_env=False, timeout=5)


def of_authority(sim: Simulator) -> ssl.SSLContext:
    """Not by `create_default_context`: its VERIFY_X509_STRICT, from Python 3.13 on, refuses Proxmox's authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=sim.ca_pem)
    return context


async def ticket(client: httpx.AsyncClient, username: str = "root@pam") -> dict[str, str]:
    """Signed in: the headers that prove it."""
    answer = await client.post("/access/ticket", data={"username": username, "password": "demo"})
    data = answer.json()["data"]
    return {"Cookie": f"PVEAuthCookie={data['ticket']}", "CSRFPreventionToken": data["CSRFPreventionToken"]}


async def read(address: Address, path: str, headers: dict[str, str]) -> httpx.Response:
    async with at(address) as client:
        return await client.get(path, headers=headers)


async def status(sim: Simulator, door: int) -> list[dict[str, Any]]:
    async with at(sim.addresses[door]) as client:
        return (await client.get("/cluster/status", headers=await ticket(client))).json()["data"]


async def shown(address: Address) -> str:
    return fingerprint(await certificate_shown(address, 2))


# Doors


async def test_doors_share_a_port_on_neighbouring_addresses(sim: Simulator) -> None:
    """Three doors are 127.0.0.1 to 127.0.0.3 on one port, and the first is the simulator's address."""
    assert [address.host for address in sim.addresses] == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    assert len({address.port for address in sim.addresses}) == 1
    assert sim.addresses[0] == sim.address


async def test_one_door_is_enough_for_three_nodes() -> None:
    """Unless asked for more there is one door, with all nodes behind it."""
    async with Simulator(speed=SPEED) as sim:
        assert sim.addresses == (sim.address,)
        assert len(await status(sim, 0)) == 4


@pytest.mark.parametrize("doors", [0, 4])
def test_there_are_no_doors_without_nodes(doors: int) -> None:
    """More doors than nodes, or none, are refused."""
    with pytest.raises(ValueError, match="doors"):
        Simulator(doors=doors, nodes=3)


def test_taken_port_is_said_with_its_addresses() -> None:
    """A port that is not free on every address is an OSError that names them, and leaves none of them taken."""
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"127\.0\.0\.1 and 127\.0\.0\.2, port {port}") as caught:
            listen_together(["127.0.0.1", "127.0.0.2"], port)
        socket.create_server(("127.0.0.1", port)).close()
    assert caught.value.errno == errno.EADDRINUSE


def test_address_that_is_not_here_is_said() -> None:
    """Where the machine has no such address, the error is an OSError that says which were asked for."""
    with pytest.raises(OSError, match=r"127\.0\.0\.1 and 192\.0\.2\.1"):
        listen_together(["127.0.0.1", "192.0.2.1"], 0)


async def test_ticket_of_one_node_is_good_at_every_other(sim: Simulator) -> None:
    """Tickets belong to the cluster."""
    async with at(sim.address) as client:
        headers = await ticket(client)
    assert [(await read(address, "/version", headers)).status_code for address in sim.addresses] == [200] * 3


async def test_nodes_show_one_world(sim: Simulator) -> None:
    """A guest switched off through one node is off at another."""
    async with at(sim.addresses[0]) as client:
        headers = await ticket(client)
        node = (await client.get("/cluster/resources?type=vm", headers=headers)).json()["data"][0]["node"]
        await client.post(f"/nodes/{node}/qemu/100/status/stop", headers=headers)
    sim.advance(5)
    rows = (await read(sim.addresses[2], "/cluster/resources?type=vm", headers)).json()["data"]
    assert rows[0]["status"] == "stopped"


async def test_used_codes_count_at_the_node_that_took_them(sim: Simulator) -> None:
    """A time-based code used at one node is refused there and still good at the next."""
    code = sim.totp("bob@pve")

    async def second_step(address: Address) -> int:
        async with at(address) as client:
            form = {"username": "bob@pve", "password": "demo"}
            half = (await client.post("/access/ticket", data=form)).json()["data"]["ticket"]
            form |= {"password": f"totp:{code}", "tfa-challenge": half}
            return (await client.post("/access/ticket", data=form)).status_code

    first, second = sim.addresses[:2]
    assert [await second_step(address) for address in (first, first, second)] == [200, 401, 200]


async def test_cluster_status_names_every_member(sim: Simulator) -> None:
    """A node's row has its number, address and whether it is there and the one asked."""
    cluster, *members = await status(sim, 1)
    assert (cluster["type"], cluster["nodes"], cluster["quorate"]) == ("cluster", 3, 1)
    assert members[1] == {
        "id": "node/pve2",
        "type": "node",
        "name": "pve2",
        "nodeid": 2,
        "ip": "127.0.0.2",
        "online": 1,
        "local": 1,
        "level": "",
    }
    assert [row["local"] for row in members] == [0, 1, 0]
    assert [row["ip"] for row in members] == [address.host for address in sim.addresses]


async def test_closed_door_refuses_and_opens_again(sim: Simulator) -> None:
    """A closed door refuses connections and ends those it had; opened again it is as before."""
    gone = sim.addresses[1]
    async with at(gone) as client:
        sim.fault = Fault(hang=True)
        waiting = asyncio.create_task(client.get("/access/domains"))
        while not sim.requests:
            await asyncio.sleep(0.01)
        await sim.close_door(gone)
        with pytest.raises(httpx.TransportError):
            await waiting
        with pytest.raises(httpx.ConnectError):
            await client.get("/access/domains")
        sim.fault = Fault()
        await sim.open_door(gone)
        assert (await client.get("/access/domains")).status_code == 200


async def test_closing_and_opening_twice_is_no_matter(sim: Simulator) -> None:
    """A closed door can be closed and an open one opened."""
    door = sim.addresses[2]
    await sim.open_door(door)
    await sim.close_door(door)
    await sim.close_door(door)
    await sim.open_door(door)
    assert (await read(door, "/access/domains", {})).status_code == 200


async def test_closed_node_is_offline_to_the_others(sim: Simulator) -> None:
    """The other nodes show a closed one as offline, and 595 for what only it could tell."""
    await sim.close_door(sim.addresses[2])
    assert [row["online"] for row in (await status(sim, 0))[1:]] == [1, 1, 0]
    async with at(sim.address) as client:
        answer = await client.get("/nodes/pve3/certificates/info", headers=await ticket(client))
    assert answer.status_code == 595


async def test_request_knows_its_door(sim: Simulator) -> None:
    """What arrived says at which door."""
    await read(sim.addresses[1], "/access/domains", {})
    assert [received.door for received in sim.requests] == [sim.addresses[1]]


async def test_unknown_node_cannot_be_looked_up(sim: Simulator) -> None:
    """A path of a node that does not exist is 500 with the words of the failed lookup; one that does, 501."""
    async with at(sim.address) as client:
        headers = await ticket(client)
        answer = await client.get("/nodes/pve9/certificates/info", headers=headers)
        known = await client.get("/nodes/pve1/nothing", headers=headers)
    why = "hostname lookup 'pve9' failed - failed to get address info for: pve9: Name or service not known"
    assert (answer.status_code, answer.reason_phrase) == (500, why)
    assert known.status_code == 501


# Certificates


async def test_each_door_shows_its_own_certificate(sim: Simulator) -> None:
    """The fingerprints are those of the certificates on the wire, and all differ."""
    assert {address: await shown(address) for address in sim.addresses} == sim.fingerprints
    assert len(set(sim.fingerprints.values())) == 3
    assert sim.fingerprint == sim.fingerprints[sim.address]


async def test_authority_is_enough_to_trust_every_door(sim: Simulator) -> None:
    """With the cluster's authority trusted, each door verifies by its own address."""
    for address in sim.addresses:
        async with at(address, of_authority(sim)) as client:
            assert (await client.get("/access/domains")).status_code == 200


async def test_certificate_is_good_for_its_own_node_only(sim: Simulator) -> None:
    """A certificate names its node, localhost and its addresses, and no other node."""
    der = await certificate_shown(sim.addresses[1], 2)
    names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert [str(name.value) for name in names.value] == ["pve2", "localhost", "127.0.0.2", "::1"]


async def test_only_the_leaf_is_sent(sim: Simulator) -> None:
    """The authority is not sent along in the handshake."""
    _, writer = await asyncio.open_connection(sim.address.host, sim.address.port, ssl=of_authority(sim))
    chain = writer.get_extra_info("ssl_object")._sslobj.get_unverified_chain()
    writer.close()
    assert len(chain) == 1


def test_authority_is_that_of_a_real_cluster() -> None:
    """The authority has Proxmox's names, is one, and lasts ten years."""
    sim = Simulator()
    root = x509.load_pem_x509_certificate(sim.ca_pem.encode())
    assert root.subject == root.issuer
    assert [part.value for part in root.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [
        "Proxmox Virtual Environment"
    ]
    assert [part.value for part in root.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == [
        "PVE Cluster Manager CA"
    ]
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert (root.not_valid_after_utc - root.not_valid_before_utc).days == 3_650


async def test_renewed_certificate_is_another_of_the_same_authority(sim: Simulator) -> None:
    """Renewal changes the fingerprint of one door for new connections, and whoever trusts the authority goes on."""
    old = sim.fingerprints
    second = sim.addresses[1]
    sim.renew_certificate(second)
    assert await shown(second) == sim.fingerprints[second] != old[second]
    assert sim.fingerprint == old[sim.address]
    async with at(second, of_authority(sim)) as client:
        assert (await client.get("/access/domains")).status_code == 200


async def test_renewal_leaves_open_connections_alone(sim: Simulator) -> None:
    """A connection of before goes on with the certificate it was opened with."""
    async with at(sim.address, of_authority(sim)) as client:
        await client.get("/access/domains")
        sim.replace_certificate()
        assert (await client.get("/access/domains")).status_code == 200
    assert await shown(sim.address) == sim.fingerprint


async def test_replaced_certificate_is_nobodys(sim: Simulator) -> None:
    """A replaced certificate is signed by itself, and is refused by who trusts the authority."""
    sim.replace_certificate()
    async with at(sim.address, of_authority(sim)) as client:
        with pytest.raises(httpx.ConnectError, match="self-signed"):
            await client.get("/access/domains")


async def test_replaced_certificate_can_be_expired_or_misnamed(sim: Simulator) -> None:
    """Date and names of a replaced certificate are ours to choose."""
    sim.replace_certificate(expired=True)
    assert not is_in_date(await certificate_shown(sim.address, 2))
    sim.replace_certificate(names=["elsewhere.example"])
    der = await certificate_shown(sim.address, 2)
    assert is_in_date(der)
    names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == ["elsewhere.example"]


def test_identity_lives_on_in_the_next_simulator() -> None:
    """A simulator with the identity of another has its certificates, as far as they go; without, all are new."""
    old = Simulator(nodes=2, doors=2)
    old.renew_certificate()
    new = Simulator(nodes=3, doors=3, identity=old.identity)
    assert new.ca_pem == old.ca_pem
    assert new.fingerprint == old.fingerprint
    assert new.identity.leaves[:2] == old.identity.leaves
    assert Simulator().ca_fingerprint != old.ca_fingerprint
    assert "PRIVATE KEY" not in repr(old.identity)


async def test_certificates_are_shown_to_any_signed_in_caller(sim: Simulator) -> None:
    """An account without rights reads, at any node, the authority and the certificate of any node."""
    async with at(sim.address) as client:
        headers = await ticket(client, "nobody@pve")
        for address, name in zip(sim.addresses, ("pve1", "pve2", "pve3"), strict=True):
            answer = await client.get(f"/nodes/{name}/certificates/info", headers=headers)
            root, leaf = answer.json()["data"]
            assert (root["filename"], root["fingerprint"], root["pem"]) == (
                "pve-root-ca.pem",
                sim.ca_fingerprint,
                sim.ca_pem,
            )
            assert (leaf["filename"], leaf["fingerprint"]) == ("pve-ssl.pem", sim.fingerprints[address])
            assert leaf["issuer"] == root["subject"] == "/CN=Proxmox Virtual Environment/O=PVE Cluster Manager CA"
            assert leaf["subject"] == f"/OU=PVE Cluster Node/O=Proxmox Virtual Environment/CN={name}"
            assert (root["san"], leaf["san"]) == ([], [name, "localhost", address.host, "::1"])
            assert leaf["notbefore"] < leaf["notafter"] < root["notafter"]
            assert (leaf["public-key-type"], leaf["public-key-bits"]) == ("id-ecPublicKey", 256)


async def test_certificates_are_shown_to_nobody_else(sim: Simulator) -> None:
    """Without a ticket there are none."""
    assert (await read(sim.address, "/nodes/pve1/certificates/info", {})).status_code == 401


# Faults


async def test_reset_ends_the_connection_abruptly(sim: Simulator) -> None:
    """A reset comes after the request was read, without an answer, and with a TCP reset."""
    sim.fault = Fault(reset=True, path="/access")
    reader, writer = await asyncio.open_connection(
        sim.address.host, sim.address.port, ssl=of_authority(sim), server_hostname="localhost"
    )
    writer.write(b"GET /api2/json/access/domains HTTP/1.1\r\nHost: x\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    assert [received.path for received in sim.requests] == ["/access/domains"]


async def test_fault_at_one_door_leaves_the_others_alone(sim: Simulator) -> None:
    """A fault of a door strikes there only, and before the one for all."""
    first, second, third = sim.addresses
    sim.fault = Fault(status=599)
    sim.faults = {first: Fault(status=596), second: Fault(status=595, path="/cluster"), third: Fault()}
    seen = [(await read(address, "/access/domains", {})).status_code for address in sim.addresses]
    assert seen == [596, 599, 599]


async def test_skew_sets_every_clock_wrong(sim: Simulator) -> None:
    """Nodes that are wrong together show that time, make their tickets in it and take each other's."""
    sim.skew = -7_000.0
    async with at(sim.address) as client:
        answer = await client.post("/access/ticket", data={"username": "root@pam", "password": "demo"})
        headers = await ticket(client)
    told = parsedate_to_datetime(answer.headers["date"]).timestamp()
    stamp = int(answer.json()["data"]["ticket"].split(":")[2], 16)
    assert abs(told - stamp) < 60
    assert abs(told + 7_000 - time.time()) < 60
    assert (await read(sim.addresses[1], "/version", headers)).status_code == 200


@pytest.mark.parametrize(("skew", "status"), [(-290, 200), (-310, 401), (7_100, 200), (7_205, 401)])
async def test_a_node_judges_tickets_by_its_own_clock(skew: int, status: int, sim: Simulator) -> None:
    """A ticket holds at a node from 300 s before until 7200 s after its time by that node's clock, as it shows it."""
    async with at(sim.address) as client:
        headers = await ticket(client)
    sim.skews[sim.addresses[1]] = skew
    answer = await read(sim.addresses[1], "/version", headers)
    assert answer.status_code == status
    assert abs(parsedate_to_datetime(answer.headers["date"]).timestamp() - skew - time.time()) < 60
    assert (await read(sim.address, "/version", headers)).status_code == 200
