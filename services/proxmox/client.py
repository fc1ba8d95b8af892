"""The typed client: what may be asked of Proxmox VE, with nobody signed in and with somebody.

    async with Proxmox(addresses, trust) as proxmox:
        ticket = await proxmox.sign_in("root@pam", password)
        resources = await proxmox.signed_in(ticket).resources()

Every call raises a ProxmoxError, and Unreachable once its deadline has passed.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Self

import httpx
from pydantic import SecretStr

from services.errors import InvalidCredentials, Unreachable
from services.proxmox import answers, credentials
from services.proxmox.certificate import certificate_shown, fingerprint
from services.proxmox.models import Address, Credential, Realm, Resources, Ticket
from services.proxmox.transport import Answer, Call, Funnel
from services.proxmox.trust import Trust
from services.proxmox.userid import check_userid, split_userid

MIB = 1024 * 1024
_SMALL, _LISTS = 1 * MIB, 32 * MIB  # caps; 10,000 guests are 3 to 4 MiB
_FINGERPRINT = 3.0  # seconds


class Proxmox:
    """Proxmox VE with nobody signed in. Owns the connections: use it with `async with`, or call `aclose()`.

    The first of `addresses` that a connection can be made to is asked, the one that answered last before the others.
    `deadline` is in seconds, for each call as a whole. Raises SettingsError for an address or a `trust` that is wrong.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        trust: Trust,
        *,
        deadline: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._funnel = Funnel(addresses, trust, deadline=deadline, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._funnel.aclose()

    async def realms(self) -> tuple[Realm, ...]:
        """The realms that accounts live in, unordered. Needs no login."""
        return answers.realms(await self._domains())

    async def sign_in(self, userid: str, password: SecretStr) -> Ticket:
        """Exchange an account's password for a ticket; a refusal takes Proxmox three seconds.

        Raises InvalidCredentials, and SecondFactorRequired when the password alone is no login. Refused here, and
        never sent: what is no userid, and a password that Proxmox would take for somebody's ticket.
        """
        check_userid(*split_userid(userid))
        if credentials.is_ticket(password):
            raise InvalidCredentials("a ticket is no password")
        return await self._ticket(userid, password, signing_in=True)

    async def renew(self, ticket: Ticket) -> Ticket:
        """A new ticket for one that is still good, with two hours of its own. Raises TicketRejected.

        Proxmox takes a valid ticket as its owner's password, and asks for no second factor then.
        """
        return await self._ticket(ticket.userid, ticket.ticket, signing_in=False)

    def signed_in(self, credential: Credential) -> "ProxmoxClient":
        """A client that asks as this account. Costs nothing and owns nothing."""
        return ProxmoxClient(self._funnel, credential)

    async def fingerprint(self, address: Address) -> str:
        """SHA-256 of the certificate that a server shows, for people to compare: nobody has verified it.

        Upper-case hex pairs with colons. Raises Unreachable, within 3 s.
        """
        with suppress(OSError):
            return fingerprint(await certificate_shown(address, _FINGERPRINT))
        raise Unreachable(f"{address} shows no certificate")

    async def clock_skew(self) -> float | None:
        """Seconds that our clock is ahead of Proxmox's, to about one; None where it does not tell the time."""
        answer = await self._domains()
        with suppress(ValueError, OverflowError):
            date = parsedate_to_datetime(answer.date)
            return time.time() - (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
        return None

    async def _domains(self) -> Answer:
        return await self._funnel.ask(Call(method="GET", path="/access/domains", cap=_SMALL))

    async def _ticket(self, userid: str, password: SecretStr, *, signing_in: bool) -> Ticket:
        issued = time.time()  # before the call, so that a ticket is never thought younger than it is
        call = Call(
            method="POST",
            path="/access/ticket",
            cap=_SMALL,
            form=credentials.sign_in_form(userid, password),  # in no variable, which a traceback might show
            signing_in=signing_in,
        )
        return answers.ticket(await self._funnel.ask(call), userid, issued)


class ProxmoxClient:
    """Proxmox VE as one account sees it. Every call raises TicketRejected once Proxmox refuses the credential."""

    def __init__(self, funnel: Funnel, credential: Credential) -> None:
        self._funnel = funnel
        self._credential = credential

    @property
    def principal(self) -> str:
        """Who asks: `user@realm`, or `user@realm!name` for a token."""
        return self._credential.principal

    async def resources(self) -> Resources:
        """The nodes and guests that this account may see."""
        return answers.resources(await self._ask("GET", "/cluster/resources", cap=_LISTS))

    async def version(self) -> str:
        """Proxmox VE's version, e.g. "9.2.11"."""
        return answers.version(await self._ask("GET", "/version", cap=_SMALL))

    async def _ask(self, method: str, path: str, *, cap: int) -> Answer:
        call = Call(method=method, path=path, cap=cap, headers=credentials.headers(self._credential, method))
        return await self._funnel.ask(call)
