"""The simulator: a world, its accounts and one door for each node asked for, opened and closed together."""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Self

from services.proxmox.models import Address, Realm
from services.simulator.absences import Absences
from services.simulator.accounts import Account, Directory
from services.simulator.answers import Answer, bare
from services.simulator.api import Api
from services.simulator.certificate import Identity
from services.simulator.clock import Clock
from services.simulator.cluster import Cluster, Node, replace_certificate
from services.simulator.connection import Cut, House
from services.simulator.door import Door
from services.simulator.factors import Factors, totp, yubico
from services.simulator.faults import Fault, Received
from services.simulator.household import ACCOUNTS, REALMS
from services.simulator.openid import OpenIdRealm
from services.simulator.provider import PROVIDED_ACCOUNTS, PROVIDED_REALM, Provider
from services.simulator.request import Request
from services.simulator.rights import Grant
from services.simulator.server import listen_together
from services.simulator.shared import Shared
from services.simulator.tickets import LIFETIME, Keys, Tickets
from services.simulator.world import World

_REASONS = {595: "Connection refused", 596: "Connection timed out", 599: "Too many redirections"}


class Simulator:
    """A simulated Proxmox VE on loopback, over HTTPS and, to send it away, plain HTTP on the same port.

    `speed` makes its clock run and its delays pass so many times as fast; `idle` is how many real seconds a connection
    may say nothing. The same `seed` tells the same story, counted from the start.

    `requests` are the last thousand that arrived; `changes` counts all that were no GET, by method and path.

    The first of the guests bear `names`, as far as these go, whatever stands in them.

    The first `doors` of the nodes listen, at 127.0.0.1, 127.0.0.2 and so on and all on the same port. An `identity`
    is that of an earlier simulator, whose certificates live on. `openid` has the settings of realms of that type, and
    adds those that `realms` has not; `provider` adds one more, `sso`, with an OpenID provider of our own behind it.

    `fault` goes wrong at every door; one in `faults` at its own, and comes first. `skew` is in seconds, and sets every
    node's clock wrong, by which it shows the Date and makes and judges tickets; one in `skews` that of its door more.

    Tickets live for `ticket_seconds`, which `speed` does not make shorter: clients judge them by the Date.

    `slots` are how many requests a node answers at a time, the three seconds of a refusal included; others wait. What
    a fault answers or swallows takes none. WebAuthn is offered where its origin (`https://host[:port]`) and its id, a
    host name, are given.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        speed: float = 1.0,
        host: str = "127.0.0.1",
        port: int = 0,
        accounts: Iterable[Account] = ACCOUNTS,
        realms: Iterable[Realm] = REALMS,
        guests: int = 36,
        names: Sequence[str] = (),
        nodes: int = 3,
        doors: int = 1,
        idle: float = 5.0,
        slots: int = 12,
        ticket_seconds: int = LIFETIME,
        webauthn_origin: str = "",
        webauthn_id: str = "",
        identity: Identity | None = None,
        openid: Mapping[str, OpenIdRealm] | None = None,
        provider: bool = False,
    ) -> None:
        if not 1 <= doors <= nodes:
            raise ValueError("as many doors as nodes at most, and at least one")
        self.accounts = (*accounts, *(PROVIDED_ACCOUNTS if provider else ()))
        self.fault = Fault()
        self.faults: dict[Address, Fault] = {}
        self.skew = 0.0
        self.skews: dict[Address, float] = {}
        self.requests: deque[Received] = deque(maxlen=1_000)
        self.changes: Counter[tuple[str, str]] = Counter()
        self._idle = idle
        self._clock = Clock(speed)
        self._openid = dict(openid or {})
        self._provider = Provider(now=self.now) if provider else None
        absences = Absences(self._clock.elapsed)
        self._world = World(seed, guests, nodes, began=self._clock.began, names=names, absences=absences)
        self._directory = Directory(self.accounts, self._realms(realms), self._world.pools)
        self._cluster = Cluster([*self._world.hosts], host, doors, identity, absences)
        self._keys = Keys()
        shared = Shared(
            directory=self._directory,
            world=self._world,
            cluster=self._cluster,
            clock=self._clock,
            openid=self._openid,
        )
        opening = self._cluster.nodes[:doors]
        self._factors = {
            node.name: Factors(webauthn_origin=webauthn_origin, webauthn_id=webauthn_id) for node in opening
        }
        self._workers = {node.name: asyncio.Semaphore(slots) for node in opening}
        self._tickets = {
            node.name: Tickets(self._keys, partial(self._time_at, node), ticket_seconds) for node in opening
        }
        self._doors = tuple(self._door_of(node, shared, port) for node in opening)
        self._stack = AsyncExitStack()

    @property
    def address(self) -> Address:
        """That of the first door."""
        return self.addresses[0]

    @property
    def addresses(self) -> tuple[Address, ...]:
        """One for each door, open or closed; the ports are known as soon as the simulator runs."""
        return tuple(door.address for door in self._doors)

    @property
    def certificate_pem(self) -> str:
        """The first door's certificate, to be trusted by clients with `ssl.VERIFY_X509_PARTIAL_CHAIN`."""
        return self._doors[0].node.certificate.pem

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the first door's certificate, upper-case hex pairs with colons."""
        return self._doors[0].node.certificate.fingerprint

    @property
    def fingerprints(self) -> dict[Address, str]:
        """That of every door."""
        return {door.address: door.node.certificate.fingerprint for door in self._doors}

    @property
    def ca_pem(self) -> str:
        """The certificate of the cluster's authority."""
        return self._cluster.authority.pem

    @property
    def ca_fingerprint(self) -> str:
        return self._cluster.authority.fingerprint

    @property
    def identity(self) -> Identity:
        """All certificates and keys, for the next simulator to live on with."""
        return self._cluster.identity

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            if self._provider:
                await stack.enter_async_context(self._provider)
                self._openid[PROVIDED_REALM.realm] = self._provider.settings
            hosts = [door.address.host for door in self._doors]
            for door, listener in zip(self._doors, listen_together(hosts, self.address.port), strict=True):
                door.address = Address(host=door.address.host, port=int(listener.getsockname()[1]))
                door.open(listener, self._house(door))
                stack.push_async_callback(door.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def close_door(self, address: Address) -> None:
        """Refuse connections there from now on, and end those there are. To the other nodes, this one is offline."""
        await self._door(address).close()

    async def open_door(self, address: Address) -> None:
        """Listen there again. Raises OSError."""
        door = self._door(address)
        if not door.is_open:
            door.open(listen_together([address.host], address.port)[0], self._house(door))

    def renew_certificate(self, address: Address | None = None) -> None:
        """A new certificate from the same authority, for new connections to one door, by default the first."""
        self._cluster.renew(self._door(address).node)

    def replace_certificate(
        self, address: Address | None = None, *, expired: bool = False, names: Iterable[str] | None = None
    ) -> None:
        """A self-signed certificate that nobody knows, for new connections to one door, by default the first."""
        replace_certificate(self._door(address).node, names, expired=expired)

    def now(self) -> float:
        """Simulated Unix time in seconds."""
        return self._clock.now()

    def advance(self, seconds: float) -> None:
        """Move the simulated clock, backwards when negative."""
        self._clock.advance(seconds)

    def disable(self, userid: str) -> None:
        """From the next request on, nothing of this account is taken any more."""
        self._directory.disable(userid)

    def enable(self, userid: str) -> None:
        self._directory.enable(userid)

    def grant(self, userid: str, grants: Iterable[Grant]) -> None:
        """From the next request on the account has these rights and no others."""
        self._directory.grant(userid, grants)

    async def take_offline(self, name: str) -> None:
        """The node is gone: its door is closed, and the others know nothing of what is on it."""
        node = self._node(name)
        for door in self._doors:
            if door.node is node:
                await door.close()
        node.online = False

    async def bring_back(self, name: str) -> None:
        """The node is there again, its door open if it has one. Raises OSError."""
        node = self._node(name)
        node.online = True
        for door in self._doors:
            if door.node is node:
                await self.open_door(door.address)

    def flap(self, share: float = 0.5) -> None:
        """From now on this share of the guests that run stop and start again every second; 0 ends it."""
        self._world.flap(share, self._clock.elapsed())

    def remove_guest(self, vmid: int) -> None:
        """From the next request on there is no such guest."""
        self._world.remove(vmid)
        self._directory.forget_rights()

    def move_guest(self, vmid: int, node: str) -> None:
        """From the next request on the guest is on that node."""
        self._world.move(vmid, node)

    def lock(self, vmid: int, lock: str = "backup") -> None:
        """From the next request on the guest is locked, as by something that broke off; "" takes the lock away."""
        self._world.locks.put(vmid, lock)

    def settle(self) -> None:
        """From now on guests start, stop and have their snapshots taken by nobody's hand but a person's."""
        self._world.settle()

    def hold(self) -> None:
        """Tasks that begin from now on run until they are released, or stopped; those that fail at once do that."""
        self._world.work.hold()

    def release(self) -> None:
        """End at once the tasks that were held, with all that follows; later ones run as long as always."""
        self._world.work.release(self._clock.elapsed())

    def totp(self, userid: str) -> str:
        """What the account's authenticator app shows now."""
        return totp(self._directory.accounts[userid].totp_secret, self.now())

    def yubico(self, userid: str) -> str:
        """What the account's Yubico key types at its next touch."""
        return yubico(self._directory.accounts[userid].yubico)

    def unlock(self, userid: str) -> None:
        """Forget the account's failures with its second factor, at every node, as an administrator may."""
        for factors in self._factors.values():
            factors.unlock(userid)

    def rotate_key(self) -> None:
        """Sign tickets with a new key; those of the key before stay valid, as when Proxmox rotates every 24 hours."""
        self._keys.rotate()

    def forget_keys(self) -> None:
        """Refuse every earlier ticket from now on."""
        self._keys.forget()

    def _realms(self, given: Iterable[Realm]) -> list[Realm]:
        """Those of the settings for OpenID, that of our own provider, and those given: the last of a name counts."""
        named = [Realm(realm=name, type="openid") for name in self._openid]
        return [*named, *([PROVIDED_REALM] if self._provider else []), *given]

    def _door_of(self, node: Node, shared: Shared, port: int) -> Door:
        api = Api(shared, node, self._tickets[node.name], self._factors[node.name])
        return Door(node, api, Address(host=node.ip, port=port))

    def _node(self, name: str) -> Node:
        return next(node for node in self._cluster.nodes if node.name == name)

    def _door(self, address: Address | None) -> Door:
        return next(door for door in self._doors if address in (None, door.address))

    def _house(self, door: Door) -> House:
        respond = partial(self._respond, door)
        now = partial(self._time_at, door.node)
        return House(respond=respond, now=now, idle=self._idle, origin=f"https://{door.address}")

    def _time_at(self, node: Node) -> float:
        """Unix seconds by a node's own clock."""
        own = sum(skew for address, skew in self.skews.items() if address.host == node.ip)
        return self._clock.shown() + self.skew + own

    async def _respond(self, door: Door, request: Request) -> Answer | None:
        self._note(door, request)
        fault = self._fault(door, request.path)
        await asyncio.sleep(fault.delay)
        if fault.reset:
            raise Cut
        if fault.hang:
            return None
        if fault.status is not None:
            return bare(fault.status, _REASONS.get(fault.status, "simulated fault"))
        async with self._workers[door.node.name]:
            answer = await door.api.answer(request)
            await self._clock.sleep(answer.delay)
        return answer

    def _fault(self, door: Door, path: str) -> Fault:
        set_by_hand = (self.faults.get(door.address), self.fault)
        return next((fault for fault in set_by_hand if fault and fault.strikes(path)), Fault())

    def _note(self, door: Door, request: Request) -> None:
        received = Received(
            door=door.address,
            method=request.method,
            path=request.path,
            headers=tuple(request.headers),
            parameters=request.parameters,
        )
        self.requests.append(received)
        if request.method != "GET":
            self.changes[request.method, request.path] += 1
