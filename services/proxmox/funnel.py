"""The one way to Proxmox VE: every request goes through `Funnel.ask`, which chooses whom to ask and when to move on.

A call moves on where no connection could be made; once it has left, only a read is asked again elsewhere. 401 and
403 are answers, but for a 401 by a clock that is off. Whoever fails is asked last from then on; whoever passed a
question on to a node that failed did not.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress

import httpx

from services.errors import NotTrusted, ProxmoxError, StoreError, Unreachable
from services.proxmox.line import Answer, Call, Failure, Line, Transports, Trouble, is_final, seconds_left
from services.proxmox.models import Address
from services.proxmox.trust import Anchor, Trust
from services.telemetry import measured
from services.telemetry.figures import PROXMOX
from services.telemetry.traces import first_part

PATIENCE = 4.0
"""Seconds that a read waits for its answer, at the least, before it is asked elsewhere: a refusal takes three."""

MOST_MEMBERS = 64
"""Members of clusters that are remembered at once, beyond the addresses that were set."""

Anchors = Callable[[], Awaitable[Mapping[str, Anchor]]]
"""What the administrator trusted at first use, by address; `services.proxmox.trust.CLUSTER` stands for all."""


class Funnel:
    """Sends each call to one address after the other until there is an answer."""

    def __init__(
        self,
        addresses: Sequence[Address],
        trust: Trust,
        *,
        deadline: float,
        anchors: Anchors | None,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self._trust = trust
        self._transports = Transports(trust, transport)
        self._transports.of(None)  # a wrong setting is told at once
        self._deadline = deadline
        self._anchors = anchors
        self._kept: Mapping[str, Anchor] = {}
        self._fresh = anchors is None
        self._lines = {address: self._line(address) for address in addresses}
        self._order = list(self._lines)
        self._members: dict[Address, Line] = {}
        self._refreshing = asyncio.Lock()
        self._latest: Line | None = None

    async def aclose(self) -> None:
        """Close every connection."""
        for line in self._every_line():
            await line.aclose()

    async def ask(self, call: Call, members: Iterable[Address] = ()) -> Answer:
        """The answer to a call, within one deadline for all of it, from connecting to the last byte.

        `members` are further addresses that may be asked. Raises a ProxmoxError. Nothing that changes anything is
        sent twice.
        """
        try:
            with measured(PROXMOX, f"Proxmox {first_part(call.path)}", method=call.method):
                return await self._ask_in_time(call, members)
        except ProxmoxError as exc:
            # Its traceback would show a body and headers to whatever prints the variables of each frame.
            raise exc.with_traceback(None) from exc.__cause__

    @property
    def port(self) -> int:
        """The port that members of the cluster are asked at: that of the first address."""
        return next(iter(self._lines)).port if self._lines else Address(host="").port

    @property
    def skew(self) -> float | None:
        """Seconds that our clock is ahead of the server's that was asked last; None before its first answer."""
        return self._latest.skew if self._latest else None

    def troubles(self, members: Iterable[Address] = ()) -> dict[Address, Trouble]:
        """Which addresses gave no answer when they were last asked, and why."""
        lines = {**self._lines, **{member: self._members[member] for member in members if member in self._members}}
        return {address: line.trouble for address, line in lines.items() if line.trouble}

    async def probe(self, call: Call) -> None:
        """Ask every address in trouble whether it is back, and those that were set and never asked."""
        lines = [line for line in self._every_line() if line.trouble]
        lines += [line for line in self._lines.values() if not line.trouble and line.skew is None]
        await asyncio.gather(*(self._probe(line, call) for line in lines))

    async def keep_members(self, wanted: Collection[Address]) -> None:
        """Forget the lines to members that nobody may ask any more."""
        for address in [address for address in self._members if address not in wanted]:
            await self._members.pop(address).aclose()

    async def refresh_trust(self) -> bool:
        """Read anew what the administrator trusted; whether there was news. What cannot be read stays as it was."""
        if self._anchors is None:
            return False
        async with self._refreshing:  # of two readings at once the later one counts
            with suppress(StoreError):
                self._kept, self._fresh = await self._anchors(), True
            lines = self._every_line()
            return any([await line.hold_to(self._trust.anchor(self._kept, line.address)) for line in lines])

    # below: one call

    async def _ask_in_time(self, call: Call, members: Iterable[Address]) -> Answer:
        distrusted: list[NotTrusted] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(self._deadline) as deadline:
                if not self._fresh:
                    await self.refresh_trust()
                return await self._ask_in_turn(call, self._turn(call, members), distrusted, deadline)
        raise distrusted[0] if distrusted else Unreachable(f"no answer within {self._deadline} s")

    async def _ask_in_turn(
        self, call: Call, lines: Sequence[Line], distrusted: list[NotTrusted], deadline: asyncio.Timeout
    ) -> Answer:
        told: ProxmoxError = Unreachable("no address")
        for tried, line in enumerate(lines, 1):
            outcome = await self._ask_at(line, call, deadline, others=len(lines) - tried)
            if isinstance(outcome, Answer):
                return outcome
            if is_final(call, outcome) or (outcome.sent and call.method != "GET"):
                raise outcome.error
            if line.address in self._lines:  # what is wrong with a member that nobody set explains nothing
                told = outcome.error
                distrusted += [told] if isinstance(told, NotTrusted) else []
        raise distrusted[0] if distrusted else told

    async def _ask_at(self, line: Line, call: Call, deadline: asyncio.Timeout, *, others: int) -> Answer | Failure:
        """The answer of one address, or why there is none: it is asked last from now on."""
        patience = None
        if others and call.method == "GET":
            patience = max(PATIENCE, seconds_left(deadline) / (others + 1))
        try:
            outcome = await self._trusting(line, call, deadline, patience)
        except asyncio.CancelledError:
            if line.trouble:
                self._put_last(line.address)
            raise
        if line.trouble:
            self._put_last(line.address)
        return outcome

    async def _trusting(
        self, line: Line, call: Call, deadline: asyncio.Timeout, patience: float | None
    ) -> Answer | Failure:
        """A certificate that is not trusted may have been accepted meanwhile: then it is asked once more."""
        self._latest, before = line, line.anchor
        outcome = await line.ask(call, deadline, patience)
        if isinstance(outcome, Failure) and isinstance(outcome.error, NotTrusted):
            await self.refresh_trust()
            if line.anchor != before:
                outcome = await line.ask(call, deadline, patience)
        line.tell_of_distrust()
        return outcome

    def _turn(self, call: Call, members: Iterable[Address]) -> list[Line]:
        """Whom to ask, in this order."""
        if call.peer:
            line = self._known(call.peer.address)
            return [line] if line else []
        others = [self._known(member) for member in members if member not in self._lines]
        lines = [*(self._lines[address] for address in self._order), *(line for line in others if line)]
        return sorted(lines, key=lambda line: line.trouble is not None)

    async def _probe(self, line: Line, call: Call) -> None:
        with suppress(TimeoutError, ProxmoxError):
            async with asyncio.timeout(self._deadline) as deadline:
                await self._trusting(line, call, deadline, PATIENCE)

    def _put_last(self, address: Address) -> None:
        self._order.sort(key=lambda other: other == address)

    def _line(self, address: Address) -> Line:
        return Line(address, self._trust.anchor(self._kept, address), self._transports)

    def _known(self, address: Address) -> Line | None:
        line = self._lines.get(address) or self._members.get(address)
        if line is None and len(self._members) < MOST_MEMBERS:
            line = self._members[address] = self._line(address)
        return line

    def _every_line(self) -> tuple[Line, ...]:
        return (*self._lines.values(), *self._members.values())
