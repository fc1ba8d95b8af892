"""What an administrator trusted at first use: it is asked for, it holds, it can change while everything runs."""

import asyncio
import logging
import ssl
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from pydantic import SecretStr

from services.errors import Distrust, Held, NotTrusted, ProxmoxError, StoreUnavailable, Unreachable
from services.proxmox import Address, Anchor, Proxmox, Ticket, Trust
from services.proxmox.trust import CLUSTER
from services.simulator import Fault, Simulator
from services.simulator.certificate import Identity, make_authority, make_leaf
from tests.test_proxmox_trust import Server, server_context, serving, shown

SPEED = 60.0
DEMO = SecretStr("demo")
TICKET = Ticket(userid="root@pam", ticket=SecretStr("PVE:root@pam:1::s"), csrf_token=SecretStr("1:x"), issued=0.0)
OTHER = ":".join(["AB"] * 32)


@dataclass
class Kept:
    """What the store keeps, and whether it can be read."""

    anchors: dict[str, Anchor] = field(default_factory=dict[str, Anchor])
    down: bool = False

    async def read(self) -> Mapping[str, Anchor]:
        if self.down:
            raise StoreUnavailable
        return dict(self.anchors)

    def leaf(self, address: Address, fingerprint: str) -> None:
        self.anchors[str(address)] = Anchor(fingerprint=fingerprint)

    def leaves(self, sim: Simulator) -> None:
        for address, fingerprint in sim.fingerprints.items():
            self.leaf(address, fingerprint)

    def cluster(self, sim: Simulator) -> None:
        self.anchors[CLUSTER] = Anchor(fingerprint=sim.ca_fingerprint, ca_pem=sim.ca_pem)


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """Three nodes with a door each."""
    async with Simulator(speed=SPEED, doors=3) as running:
        yield running


@pytest.fixture
async def proxmox(sim: Simulator, kept: Kept) -> AsyncIterator[Proxmox]:
    """A client that knows the first node, and what was kept."""
    async with asking([sim.address], kept) as client:
        yield client


def asking(addresses: list[Address], kept: Kept, trust: Trust | None = None, deadline: float = 10.0) -> Proxmox:
    return Proxmox(addresses, trust or Trust(), deadline=deadline, anchors=kept.read)


async def refused(proxmox: Proxmox) -> NotTrusted:
    with pytest.raises(NotTrusted) as error:
        await proxmox.realms()
    return error.value


async def drop_connections(sim: Simulator) -> None:
    """End what was connected before, so that the next call shakes hands again."""
    await sim.close_door(sim.address)
    await sim.open_door(sim.address)


# ------------------------------------------------------------------------------------------------------------ one leaf


async def test_nothing_kept_is_nothing_trusted(sim: Simulator, proxmox: Proxmox) -> None:
    """Before anybody vouched for a self-made certificate it is unknown, and the error shows its fingerprint."""
    error = await refused(proxmox)
    assert (error.reason, error.fingerprint, error.expected) == (Distrust.UNKNOWN, sim.fingerprint, ())
    assert error.address == str(sim.address)
    assert not sim.requests


@pytest.mark.parametrize("anchored", [False, True])
async def test_who_is_not_trusted_gets_no_byte(anchored: bool, kept: Kept) -> None:
    """Of a password, a ticket and a read nothing at all is sent before the certificate was believed."""
    async with serving(server_context(trustme.CA().issue_cert("127.0.0.1"))) as server:
        if anchored:
            kept.leaf(server.address, OTHER)
        async with asking([server.address], kept) as proxmox:
            for call in (proxmox.realms(), proxmox.sign_in("root@pam", DEMO), proxmox.renew(TICKET)):
                with pytest.raises(NotTrusted):
                    await call
    assert server.received == b""


async def test_a_kept_certificate_is_trusted(sim: Simulator, proxmox: Proxmox, kept: Kept) -> None:
    """The certificate that was kept for an address is believed there."""
    kept.leaf(sim.address, sim.fingerprint)
    await proxmox.sign_in("root@pam", DEMO)


async def test_a_kept_certificate_counts_at_its_address_only(sim: Simulator, kept: Kept) -> None:
    """What was kept for one address does not let another one show it, nor a certificate of its own."""
    kept.leaf(sim.addresses[1], sim.fingerprint)
    async with asking([*sim.addresses[:1]], kept) as first, asking([*sim.addresses[1:2]], kept) as second:
        assert (await refused(first)).reason is Distrust.UNKNOWN
        assert (await refused(second)).reason is Distrust.CHANGED
    assert not sim.requests


async def test_a_kept_certificate_vouches_for_any_name(kept: Kept) -> None:
    """A certificate that was kept needs no name in it, since it is compared itself."""
    leaf = trustme.CA().issue_cert("elsewhere.example")
    async with serving(server_context(leaf)) as server, asking([server.address], kept) as proxmox:
        kept.leaf(server.address, shown(leaf))
        assert await proxmox.realms()


async def test_a_certificate_that_changed_stops_every_call(
    sim: Simulator, kept: Kept, proxmox: Proxmox, caplog: pytest.LogCaptureFixture
) -> None:
    """Once a kept certificate was replaced no call goes out, and error and log, once, have both fingerprints."""
    kept.leaf(sim.address, sim.fingerprint)
    before, ticket = sim.fingerprint, await proxmox.sign_in("root@pam", DEMO)
    assert isinstance(ticket, Ticket)
    sim.replace_certificate()
    await drop_connections(sim)
    sim.requests.clear()
    client = proxmox.signed_in(ticket)
    with caplog.at_level(logging.INFO, "services"):
        for call in (proxmox.realms, client.resources, client.members, lambda: proxmox.renew(ticket), proxmox.realms):
            with pytest.raises(NotTrusted) as error:
                await call()
            found = error.value
            assert (found.reason, found.fingerprint, found.expected) == (
                Distrust.CHANGED, sim.fingerprint, (before,))  # fmt: skip
        with pytest.raises(NotTrusted):
            await proxmox.sign_in("root@pam", DEMO)
    told = [record for record in caplog.records if before in record.message and sim.fingerprint in record.message]
    assert [record.levelno for record in told] == [logging.ERROR]
    assert isinstance(proxmox.troubles()[sim.address], NotTrusted)
    assert not sim.requests


async def test_an_accepted_certificate_counts_at_once(sim: Simulator, proxmox: Proxmox, kept: Kept) -> None:
    """As soon as the new certificate was kept, the very next call goes out, a sign-in too."""
    kept.leaf(sim.address, OTHER)
    await refused(proxmox)
    kept.leaf(sim.address, sim.fingerprint)
    await proxmox.sign_in("root@pam", DEMO)
    assert proxmox.troubles() == {}


async def test_the_first_certificate_accepted_counts_at_once(sim: Simulator, proxmox: Proxmox, kept: Kept) -> None:
    """The same holds where nothing at all had been kept before."""
    await refused(proxmox)
    kept.leaf(sim.address, sim.fingerprint)
    await proxmox.realms()


async def test_a_probe_takes_an_accepted_certificate(sim: Simulator, proxmox: Proxmox, kept: Kept) -> None:
    """A probe finds that a certificate was accepted meanwhile."""
    await refused(proxmox)
    kept.leaf(sim.address, sim.fingerprint)
    await proxmox.probe()
    assert proxmox.troubles() == {}


@pytest.mark.parametrize("change", ["withdrawn", "another"])
async def test_what_is_trusted_no_more_ends_at_once(change: str, sim: Simulator, proxmox: Proxmox, kept: Kept) -> None:
    """After `refresh_trust` the next call is refused, though a connection was still open."""
    kept.leaf(sim.address, sim.fingerprint)
    await proxmox.realms()
    await proxmox.refresh_trust()
    await proxmox.realms()
    if change == "withdrawn":
        kept.anchors.clear()
    else:
        kept.leaf(sim.address, OTHER)
    await proxmox.refresh_trust()
    await refused(proxmox)
    assert len(sim.requests) == 2


async def test_trust_that_ends_meanwhile_sends_nothing_twice(sim: Simulator, kept: Kept) -> None:
    """A sign-in on its way when trust is withdrawn ends as an outage, and goes to no other node."""
    kept.leaves(sim)
    sim.faults[sim.address] = Fault(hang=True)
    async with asking([*sim.addresses], kept) as proxmox:
        call = asyncio.create_task(proxmox.sign_in("root@pam", DEMO))
        while not sim.requests:
            await asyncio.sleep(0.02)
        del kept.anchors[str(sim.address)]
        await proxmox.refresh_trust()
        with pytest.raises(Unreachable):
            await asyncio.wait_for(call, 3)
    assert [one.door for one in sim.requests] == [sim.address]


async def test_trust_that_ends_meanwhile_ends_waiting_calls(sim: Simulator, proxmox: Proxmox, kept: Kept) -> None:
    """A call that still waits for a free connection when trust is withdrawn is not sent any more."""
    kept.leaf(sim.address, sim.fingerprint)
    sim.fault = Fault(hang=True)
    calls = [asyncio.create_task(proxmox.signed_in(TICKET).version()) for _ in range(32)]
    while len(sim.requests) < 32:
        await asyncio.sleep(0.02)
    waiting = asyncio.create_task(proxmox.realms())
    await asyncio.sleep(0.1)
    sim.fault = Fault()
    kept.anchors.clear()
    await proxmox.refresh_trust()
    outcomes = await asyncio.wait_for(asyncio.gather(waiting, *calls, return_exceptions=True), 5)
    assert all(isinstance(outcome, ProxmoxError) for outcome in outcomes)
    assert len(sim.requests) == 32


# --------------------------------------------------------------------------------------------------- the cluster's own


async def test_the_clusters_authority_vouches_for_every_node(sim: Simulator, kept: Kept) -> None:
    """With the cluster's authority kept, each of its nodes is believed."""
    kept.cluster(sim)
    for address in sim.addresses:
        async with asking([address], kept) as proxmox:
            await proxmox.realms()


async def test_a_renewed_certificate_needs_nobody(sim: Simulator, proxmox: Proxmox, kept: Kept) -> None:
    """A new certificate from the cluster's authority is believed as the one before it was."""
    kept.cluster(sim)
    await proxmox.realms()
    sim.renew_certificate()
    await drop_connections(sim)
    await proxmox.realms()
    assert proxmox.troubles() == {}


async def test_a_new_node_needs_nobody(kept: Kept) -> None:
    """A node that joined after the authority was kept is believed, and takes over as a member."""
    async with Simulator(speed=SPEED, nodes=1) as before:
        kept.cluster(before)
    async with Simulator(speed=SPEED, doors=2, nodes=2, identity=before.identity) as sim:
        async with asking([sim.address], kept) as proxmox:
            ticket = await proxmox.sign_in("root@pam", DEMO)
            assert isinstance(ticket, Ticket)
            client = proxmox.signed_in(ticket)
            await client.members()
            await sim.close_door(sim.address)
            await client.version()
        assert sim.requests[-1].door == sim.addresses[1]


async def test_a_stranger_is_not_of_the_cluster(sim: Simulator, proxmox: Proxmox, kept: Kept) -> None:
    """A self-signed certificate at a node's address has changed: both it and the authority are named."""
    kept.cluster(sim)
    sim.replace_certificate()
    error = await refused(proxmox)
    assert (error.reason, error.fingerprint, error.expected) == (
        Distrust.CHANGED, sim.fingerprint, (sim.ca_fingerprint,))  # fmt: skip
    assert (error.held, error.by_setting) == (Held.AUTHORITY, False)
    assert not sim.requests


async def test_another_cluster_is_not_ours(sim: Simulator, proxmox: Proxmox, kept: Kept) -> None:
    """The authority of another cluster vouches for nothing here, although all are named alike."""
    other = make_authority()
    kept.anchors[CLUSTER] = Anchor(fingerprint=other.fingerprint, ca_pem=other.pem)
    assert (await refused(proxmox)).reason is Distrust.CHANGED


async def test_the_clusters_authority_vouches_for_names(kept: Kept) -> None:
    """One node's certificate is not good at another one's address."""
    authority = make_authority()
    identity = Identity(authority=authority, leaves=(make_leaf(authority, "pve9", "127.0.0.9"),))
    async with Simulator(speed=SPEED, identity=identity) as sim, asking([sim.address], kept) as proxmox:
        kept.cluster(sim)
        error = await refused(proxmox)
        assert (error.reason, error.fingerprint) == (Distrust.WRONG_NAME, sim.fingerprint)
        assert not sim.requests


async def test_an_address_of_its_own_outweighs_the_cluster(sim: Simulator, proxmox: Proxmox, kept: Kept) -> None:
    """An address whose certificate was kept is held to that one, whatever the authority signs."""
    kept.leaf(sim.address, sim.fingerprint)
    kept.cluster(sim)
    await proxmox.realms()
    sim.renew_certificate()
    await drop_connections(sim)
    assert (await refused(proxmox)).reason is Distrust.CHANGED


async def test_an_authority_withdrawn_is_trusted_no_more(sim: Simulator, kept: Kept) -> None:
    """With the cluster's authority withdrawn every node is refused, members included."""
    kept.cluster(sim)
    async with asking([sim.address], kept) as proxmox:
        ticket = await proxmox.sign_in("root@pam", DEMO)
        assert isinstance(ticket, Ticket)
        client = proxmox.signed_in(ticket)
        await client.members()
        await sim.close_door(sim.address)
        await client.version()
        await sim.open_door(sim.address)
        kept.anchors.clear()
        await proxmox.refresh_trust()
        sim.requests.clear()
        with pytest.raises(NotTrusted):
            await client.version()
    assert not sim.requests


async def test_one_changed_node_does_not_stop_the_cluster(
    sim: Simulator, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    """Where one node's certificate changed, another answers, and the log and `troubles` tell."""
    kept.cluster(sim)
    sim.replace_certificate()
    async with asking([*sim.addresses], kept) as proxmox:
        await proxmox.realms()
        await proxmox.realms()
        assert {address: type(why) for address, why in proxmox.troubles().items()} == {sim.address: NotTrusted}
    assert [one.door for one in sim.requests] == [sim.addresses[1]] * 2
    assert caplog.text.count(sim.fingerprint) == 1


MANGLED = Anchor(fingerprint=OTHER, ca_pem="-----BEGIN CERTIFICATE-----\nx")


async def test_a_mangled_authority_trusts_nobody(sim: Simulator, proxmox: Proxmox, kept: Kept) -> None:
    """An authority that cannot be read opens nothing and breaks nothing, and a good one counts afterwards."""
    kept.anchors[CLUSTER] = MANGLED
    for _ in range(2):
        with pytest.raises(ProxmoxError):
            await proxmox.realms()
    kept.cluster(sim)
    await proxmox.realms()


async def test_a_mangled_authority_ends_the_trust_before(sim: Simulator, proxmox: Proxmox, kept: Kept) -> None:
    """Where a good anchor gives way to one that cannot be read, what the former trusted is trusted no more."""
    kept.leaf(sim.address, sim.fingerprint)
    await proxmox.realms()
    kept.anchors = {CLUSTER: MANGLED}
    with suppress(ssl.SSLError):
        await proxmox.refresh_trust()
    with pytest.raises(ProxmoxError):
        await proxmox.realms()


async def test_an_older_reading_does_not_win(sim: Simulator, kept: Kept) -> None:
    """Of two readings that overlap the later one counts, though the earlier one came in last."""
    kept.leaf(sim.address, sim.fingerprint)
    late = asyncio.Event()

    async def read() -> Mapping[str, Anchor]:
        found = await kept.read()
        if found:
            await late.wait()
        return found

    async with Proxmox([sim.address], Trust(), anchors=read) as proxmox:
        earlier = asyncio.create_task(proxmox.refresh_trust())
        await asyncio.sleep(0)
        kept.anchors.clear()
        later = asyncio.create_task(proxmox.refresh_trust())
        await asyncio.sleep(0.05)
        late.set()
        await asyncio.gather(earlier, later)
        await refused(proxmox)


# ------------------------------------------------------------------------------------------- settings, and a store down


@pytest.mark.parametrize("trusted", [False, True])
async def test_a_pinned_fingerprint_leaves_no_say_to_anchors(trusted: bool, sim: Simulator, kept: Kept) -> None:
    """With PROXMOX_FINGERPRINT set an anchor neither opens nor closes anything, and the error says what decided."""
    kept.leaf(sim.address, OTHER if trusted else sim.fingerprint)
    kept.cluster(sim)
    pin = sim.fingerprint if trusted else OTHER
    async with asking([sim.address], kept, Trust(fingerprints=(pin,))) as proxmox:
        if trusted:
            await proxmox.realms()
        else:
            error = await refused(proxmox)
            assert (error.reason, error.expected) == (Distrust.CHANGED, (pin,))
            assert (error.held, error.by_setting) == (Held.CERTIFICATE, True)
    assert len(sim.requests) == trusted


async def test_no_verification_leaves_no_say_to_anchors(sim: Simulator, kept: Kept) -> None:
    """Where the settings believe everybody, an anchor refuses nobody."""
    kept.leaf(sim.address, OTHER)
    async with asking([sim.address], kept, Trust(verify=False)) as proxmox:
        await proxmox.realms()


async def test_a_store_that_is_down_trusts_nobody(sim: Simulator, proxmox: Proxmox, kept: Kept) -> None:
    """What cannot be read is not trusted; it counts as soon as it can be read."""
    kept.leaf(sim.address, sim.fingerprint)
    kept.down = True
    for _ in range(2):
        assert (await refused(proxmox)).reason is Distrust.UNKNOWN
    assert not sim.requests
    kept.down = False
    await proxmox.realms()


async def test_a_store_that_goes_down_changes_nothing(sim: Simulator, proxmox: Proxmox, kept: Kept) -> None:
    """What was read before goes on to hold while the store is down, for good and for bad certificates."""
    kept.leaf(sim.address, sim.fingerprint)
    await proxmox.realms()
    kept.down = True
    await proxmox.refresh_trust()
    await drop_connections(sim)
    await proxmox.realms()
    sim.replace_certificate()
    await drop_connections(sim)
    assert (await refused(proxmox)).reason is Distrust.CHANGED


async def test_a_store_that_hangs_ends_with_the_deadline(sim: Simulator) -> None:
    """A store that never answers is an outage within the call's own deadline, and nothing is sent."""

    async def never() -> Mapping[str, Anchor]:
        return await asyncio.Event().wait() or {}

    async with Proxmox([sim.address], Trust(), deadline=0.5, anchors=never) as proxmox:
        with pytest.raises(Unreachable):
            await asyncio.wait_for(proxmox.realms(), 3)
    assert not sim.requests


# -------------------------------------------------------------------------------------------------------- attacks (E11)

NOW = datetime.now(UTC)


@pytest.mark.parametrize("how", ["leaf", "authority"])
async def test_what_has_expired_is_not_trusted(how: str, kept: Kept) -> None:
    """An expired certificate is refused as such, whether it or its authority was kept, and no other was expected."""
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1", not_before=NOW - timedelta(9), not_after=NOW - timedelta(1))
    async with serving(server_context(leaf)) as server, asking([server.address], kept) as proxmox:
        _keep(kept, how, server.address, leaf, authority)
        error = await refused(proxmox)
        assert (error.reason, error.fingerprint, error.expected) == (Distrust.EXPIRED, shown(leaf), ())
        assert error.held is (Held.CERTIFICATE if how == "leaf" else Held.AUTHORITY)
    assert server.received == b""


OLD: dict[str, Callable[[ssl.SSLContext], None]] = {
    "TLS 1.0": lambda context: _only(context, ssl.TLSVersion.TLSv1, "ALL:@SECLEVEL=0"),
    "TLS 1.1": lambda context: _only(context, ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
    "a cipher that is none": lambda context: _only(context, ssl.TLSVersion.TLSv1_2, "eNULL:@SECLEVEL=0"),
}


@pytest.mark.parametrize("how", ["leaf", "authority"])
@pytest.mark.parametrize("weaken", OLD.values(), ids=OLD)
async def test_old_tls_is_refused(weaken: Callable[[ssl.SSLContext], None], how: str, kept: Kept) -> None:
    """A server that has nothing but broken TLS to offer gets no request, though its certificate was kept."""
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    context = server_context(leaf)
    async with _weakly(context, weaken) as server, asking([server.address], kept) as proxmox:
        _keep(kept, how, server.address, leaf, authority)
        if not await _speaks(server.address, weaken):
            pytest.skip("this OpenSSL cannot do it at all")
        handshakes = server.handshakes
        with pytest.raises(Unreachable):
            await proxmox.realms()
    assert (server.handshakes, server.received) == (handshakes, b"")


def _keep(kept: Kept, how: str, address: Address, leaf: trustme.LeafCert, authority: trustme.CA) -> None:
    if how == "leaf":
        kept.leaf(address, shown(leaf))
    else:
        kept.anchors[CLUSTER] = Anchor(fingerprint=OTHER, ca_pem=authority.cert_pem.bytes().decode())


@asynccontextmanager
async def _weakly(context: ssl.SSLContext, weaken: Callable[[ssl.SSLContext], None]) -> AsyncIterator[Server]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        weaken(context)
        async with serving(context) as server:
            yield server


def _only(context: ssl.SSLContext, version: ssl.TLSVersion, ciphers: str) -> None:
    context.set_ciphers(ciphers)
    context.minimum_version = context.maximum_version = version


async def _speaks(address: Address, weaken: Callable[[ssl.SSLContext], None]) -> bool:
    """The control: a client that allows it does connect."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    weaken(context)
    try:
        _, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
    except OSError:
        return False
    writer.transport.abort()
    return True
