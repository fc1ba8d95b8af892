"""The simulator: a world, its accounts and a server, opened and closed together."""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from services.proxmox.models import Address, Realm
from services.simulator.accounts import Account, Directory
from services.simulator.answers import Answer, bare
from services.simulator.api import Api
from services.simulator.certificate import make_identity
from services.simulator.clock import Clock
from services.simulator.connection import House
from services.simulator.factors import totp
from services.simulator.household import ACCOUNTS, REALMS
from services.simulator.request import Parameters, Request
from services.simulator.server import Server, listen
from services.simulator.world import World

_REASONS = {595: "Connection refused", 596: "Connection timed out", 599: "Too many redirections"}


@dataclass(slots=True, kw_only=True)
class Fault:
    """What goes wrong on purpose, for every path that starts with `path` (below `/api2/json`).

    `hang` accepts requests and never answers; `status` answers all of them with it; `delay` is in real seconds.
    """

    path: str = ""
    hang: bool = False
    status: int | None = None
    delay: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request that arrived. Its parameters hold passwords, so they are never printed."""

    method: str
    path: str
    headers: tuple[str, ...]
    parameters: Parameters = field(repr=False)


class Simulator:
    """A simulated Proxmox VE on loopback, over HTTPS and, to send it away, plain HTTP on the same port.

    `speed` makes its clock run and its delays pass so many times as fast; `idle` is how many real seconds a connection
    may say nothing. The same `seed` tells the same story, counted from the start.
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
        nodes: int = 3,
        idle: float = 5.0,
    ) -> None:
        self.accounts = tuple(accounts)
        self.fault = Fault()
        self.requests: deque[Received] = deque(maxlen=1_000)
        self.address = Address(host=host, port=port)
        self._identity = make_identity()
        self._clock = Clock(speed)
        self._directory = Directory(self.accounts, realms)
        self._api = Api(self._directory, World(seed, guests, nodes), self._clock)
        self._idle = idle
        self._server: Server | None = None

    @property
    def certificate_pem(self) -> str:
        """The server's certificate, to be trusted by clients."""
        return self._identity.pem

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, upper-case hex pairs with colons."""
        return self._identity.fingerprint

    async def __aenter__(self) -> Self:
        listener = listen(self.address.host, self.address.port)
        self.address = Address(host=self.address.host, port=int(listener.getsockname()[1]))
        house = House(respond=self._respond, now=self.now, idle=self._idle, origin=f"https://{self.address}")
        self._server = Server(listener, self._identity.context, house)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            await self._server.close()

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

    def totp(self, userid: str) -> str:
        """What the account's authenticator app shows now."""
        return totp(self._directory.accounts[userid].totp_secret, self.now())

    async def _respond(self, request: Request) -> Answer | None:
        self._note(request)
        fault = self.fault
        if request.path.startswith(fault.path):
            await asyncio.sleep(fault.delay)
            if fault.hang:
                return None
            if fault.status is not None:
                return bare(fault.status, _REASONS.get(fault.status, "simulated fault"))
        answer = self._api.answer(request)
        await self._clock.sleep(answer.delay)
        return answer

    def _note(self, request: Request) -> None:
        received = Received(
            method=request.method,
            path=request.path,
            headers=tuple(request.headers),
            parameters=request.parameters,
        )
        self.requests.append(received)
