"""The typed client: what may be asked of Proxmox VE with nobody signed in; `signed_in` leads to what an account asks.

    async with Proxmox(addresses, trust) as proxmox:
        ticket = await proxmox.sign_in("root@pam", password)
        resources = await proxmox.signed_in(ticket).resources()

Every call raises a ProxmoxError, and Unreachable once its deadline has passed.
"""

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Self
from urllib.parse import parse_qs, urlsplit

import httpx
from pydantic import SecretStr

from services.errors import (
    BadAnswer,
    InvalidCredentials,
    Outage,
    ProviderError,
    ProviderFailed,
    TicketRejected,
    Unreachable,
)
from services.proxmox import answers, credentials
from services.proxmox.funnel import Anchors, Funnel
from services.proxmox.line import Answer, Call, Trouble
from services.proxmox.models import (
    Address,
    ApiToken,
    Challenge,
    Credential,
    OpenIdTrip,
    Peer,
    Realm,
    Ticket,
)
from services.proxmox.signed_in import ProxmoxClient
from services.proxmox.trust import Trust
from services.proxmox.userid import check_tokenid, check_userid, split_userid

MIB = 1024 * 1024
_SMALL = 1 * MIB  # the longest answer
_LONGEST_STATE = 1024
_URL = re.compile(r"[!-~]+")
_TOKEN_SECRET = re.compile(r"[A-Za-z0-9._~-]{1,128}")  # Proxmox makes UUIDs; it cuts or decodes at other signs
_DOMAINS = Call(method="GET", path="/access/domains", cap=_SMALL)


class Proxmox:
    """Proxmox VE with nobody signed in. Owns the connections: use it with `async with`, or call `aclose()`.

    The first of `addresses` that a connection can be made to is asked, the one that answered last before the others.
    `deadline` is in seconds, for each call as a whole. `anchors` reads what the administrator trusted at first use.
    Raises SettingsError for an address or a `trust` that is wrong.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        trust: Trust,
        *,
        deadline: float = 10.0,
        anchors: Anchors | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._funnel = Funnel(addresses, trust, deadline=deadline, anchors=anchors, transport=transport)
        self._members: dict[str, tuple[Address, ...]] = {}

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

    async def sign_in(self, userid: str, password: SecretStr) -> Ticket | Challenge:
        """Exchange an account's password for a ticket; a refusal takes Proxmox three seconds.

        A Challenge is no login: a second factor is due. Raises InvalidCredentials. Refused here, and never sent: what
        is no userid, and a password that Proxmox would take for somebody's ticket.
        """
        check_userid(*split_userid(userid))
        if credentials.is_ticket(password):
            raise InvalidCredentials("a ticket is no password")
        issued = time.time()  # before the call, so that a ticket is never thought younger than it is
        call = _signing("/access/ticket", credentials.sign_in_form(userid, password))
        return answers.ticket(await self._funnel.ask(call), userid, issued)

    async def verify(self, challenge: Challenge, response: SecretStr) -> Ticket:
        """Answer a challenge, at the server that gave it, with e.g. "totp:123456"; a refusal takes three seconds.

        Raises InvalidCredentials; the same challenge may then be answered again.
        """
        issued = time.time()
        form = credentials.second_factor_form
        call = _signing("/access/ticket", form(challenge.userid, challenge.ticket, response), challenge.peer)
        ticket = answers.ticket(await self._funnel.ask(call), challenge.userid, issued)
        if isinstance(ticket, Challenge):
            raise BadAnswer("a challenge for a challenge")
        return ticket

    async def check_token(self, token: ApiToken) -> None:
        """Whether Proxmox takes this API token. Raises InvalidCredentials."""
        check_tokenid(token.tokenid)
        if not _TOKEN_SECRET.fullmatch(token.secret.get_secret_value()):
            raise InvalidCredentials("no secret of a token")
        try:
            await self.signed_in(token).version()
        except TicketRejected as exc:
            raise InvalidCredentials("refused by Proxmox", by_proxmox=True) from exc

    async def openid_trip(self, realm: str, redirect_url: str) -> OpenIdTrip:
        """Where the browser goes to sign in at an OpenID realm's provider, which sends it back to `redirect_url`.

        Raises ProviderFailed when Proxmox could not start it, as with a provider that does not answer.
        """
        call = _signing("/access/openid/auth-url", credentials.openid_form(realm=realm, redirect_url=redirect_url))
        try:
            answer = await self._funnel.ask(call)
        except Unreachable as exc:
            if exc.outage is Outage.FAILED:  # Proxmox itself answers, and asked the provider in vain
                raise ProviderFailed(ProviderError.SILENT) from exc
            raise
        url = answers.url(answer)
        return OpenIdTrip(url=url, state=_state(url), redirect_url=redirect_url, peer=answer.peer)

    async def openid_sign_in(self, trip: OpenIdTrip, realm: str, code: SecretStr) -> Ticket:
        """Exchange what a provider sent back for a ticket, at the server where the trip began.

        Raises InvalidCredentials, where Proxmox does not say whether it was the provider or the account.
        """
        issued = time.time()
        form = credentials.openid_form
        call = _signing(
            "/access/openid/login",
            form(state=trip.state, code=code, redirect_url=trip.redirect_url),
            trip.peer,
        )
        return answers.openid_ticket(await self._funnel.ask(call), realm, issued)

    async def renew(self, ticket: Ticket) -> Ticket:
        """A new ticket for one that is still good, with two hours of its own. Raises TicketRejected and ClockOff.

        Proxmox takes a valid ticket as its owner's password, and asks for no second factor then.
        """
        issued = time.time()
        form = credentials.sign_in_form
        call = Call(
            method="POST",
            path="/access/ticket",
            cap=_SMALL,
            form=form(ticket.userid, ticket.ticket),
            ticket=ticket,
        )
        answer = await self._funnel.ask(call, self._members.get(ticket.userid, ()))
        renewed = answers.ticket(answer, ticket.userid, issued)
        if isinstance(renewed, Challenge):
            raise BadAnswer("a challenge for a ticket")
        return renewed

    def signed_in(self, credential: Credential) -> ProxmoxClient:
        """A client that asks as this account. Costs nothing and owns nothing."""
        return ProxmoxClient(self._funnel, credential, self._members)

    @property
    def clock_skew(self) -> float | None:
        """Seconds that our clock is ahead of Proxmox's, to about one, at the last answer; None before the first."""
        return self._funnel.skew

    async def probe(self) -> None:
        """Ask the addresses that gave no answer whether they are back; forget members that nobody asks any more."""
        await self._funnel.keep_members({address for known in self._members.values() for address in known})
        await self._funnel.probe(_DOMAINS)

    async def refresh_trust(self) -> None:
        """Read anew what the administrator trusted."""
        await self._funnel.refresh_trust()

    def troubles(self, principal: str = "") -> dict[Address, Trouble]:
        """Which addresses gave no answer last time, members of the cluster that this principal may see included."""
        return self._funnel.troubles(self._members.get(principal, ()))

    def forget_members(self, principal: str) -> None:
        """Nobody of this principal looks any more."""
        self._members.pop(principal, None)

    async def _domains(self) -> Answer:
        return await self._funnel.ask(_DOMAINS)


def _signing(path: str, form: bytes, peer: Peer | None = None) -> Call:
    """A call with a secret in its form: made here, so that no variable holds the form where a traceback shows it."""
    return Call(method="POST", path=path, cap=_SMALL, form=form, signing_in=True, peer=peer)


def _state(url: str) -> str:
    """The state in a provider's address, by which it is known when it comes back. Raises BadAnswer."""
    with suppress(ValueError):
        parts = urlsplit(url)
        states = parse_qs(parts.query).get("state", [])
        plain = _URL.fullmatch(url) and parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc
        if plain and len(states) == 1 and len(states[0]) <= _LONGEST_STATE:
            return states[0]
    raise BadAnswer("no address of a provider")
