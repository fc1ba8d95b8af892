"""The sign-in: from what somebody typed, or brought back from a provider, to a session.

    password ─▶ Proxmox ─▶ ticket ───────────────────────────▶ session
                   └─▶ challenge, kept five minutes ─▶ code ─▶ ticket ─▶ session
    API token ─▶ Proxmox ─▶ session
    realm ─▶ Proxmox ─▶ trip, kept ten minutes ─▶ provider ─▶ code ─▶ ticket ─▶ session

Our own limits stand in front of every question to Proxmox.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from pydantic import SecretStr

from services.audit import Audit, Event, Kind
from services.auth import codes
from services.auth.limiter import Limiter
from services.auth.pending import Pending, Trip
from services.auth.realms import RealmDirectory
from services.errors import (
    Hint,
    InvalidCredentials,
    ProviderError,
    ProviderFailed,
    ProxgateError,
    StoreError,
    TooManyAttempts,
)
from services.proxmox import ApiToken, Challenge, Credential, Proxmox
from services.proxmox.clock import SKEW_SECONDS
from services.proxmox.userid import check_realm, check_tokenid, check_userid
from services.sessions import Session, Sessions, new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who tries, as far as that can be known before.

    `browser` and `device` are opaque ids from signed cookies; a device that was never signed in from has none.
    """

    address: str
    agent: str
    browser: str = field(default="", repr=False)
    device: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A second factor is due: the id by which the next step finds this sign-in. It opens nothing."""

    id: str = field(repr=False)


class SignIn:
    """Asks Proxmox and begins the session. Every method raises a ProxmoxError, TooManyAttempts or StoreUnavailable."""

    def __init__(
        self,
        proxmox: Proxmox,
        sessions: Sessions,
        limiter: Limiter,
        pending: Pending,
        realms: RealmDirectory,
        audit: Audit,
    ) -> None:
        self._proxmox = proxmox
        self._sessions = sessions
        self._limiter = limiter
        self._pending = pending
        self._realms = realms
        self._audit = audit

    async def by_password(self, username: str, realm: str, password: SecretStr, visitor: Visitor) -> Session | Step:
        """A session for an account and password, or the step to a second factor."""
        userid = check_userid(username, realm)
        async with self._told(userid, visitor, "password", realm=realm):
            async with self._limiter.attempt(userid, visitor.address, visitor.device):
                signed = await self._proxmox.sign_in(userid, password)
            if not isinstance(signed, Challenge):
                return await self._begin(signed, visitor, "password")
            step = Step(id=new_id())
            await self._pending.keep_challenge(step.id, visitor.browser, signed)
        await self._note(Kind.SECOND_FACTOR, userid, visitor, "password", "due")
        return step

    async def challenge(self, step: str, browser: str) -> Challenge:
        """What the step with this id asks for, in the browser that began it. Raises StepExpired."""
        return await self._pending.challenge(step, browser)

    async def by_code(self, step: str, kind: str, code: SecretStr, visitor: Visitor) -> Session:
        """A session for a second factor; after a refusal the step may be tried again. Raises StepExpired too."""
        challenge = await self._pending.challenge(step, visitor.browser)
        hint = Hint.ORIGIN if kind == codes.Kind.WEBAUTHN else None
        async with self._told(challenge.userid, visitor, "code", hint=hint, refused=Kind.SECOND_FACTOR):
            if kind not in codes.offered(challenge.factors, security_key=True):
                raise InvalidCredentials("a kind that was not offered")
            response = codes.response(kind, code)
            async with self._limiter.attempt(challenge.userid, visitor.address, visitor.device):
                ticket = await self._proxmox.verify(challenge, response)
            session = await self._begin(ticket, visitor, kind)
        with suppress(StoreError):  # it expires by itself
            await self._pending.forget_challenge(step, visitor.browser)
        return session

    async def by_token(self, tokenid: str, secret: SecretStr, visitor: Visitor) -> Session:
        """A session for an API token; the token, not its owner, is who signed in."""
        token = ApiToken(tokenid=check_tokenid(tokenid), secret=secret)
        async with self._told(tokenid, visitor, "token"):
            async with self._limiter.attempt(tokenid, visitor.address, visitor.device):
                await self._proxmox.check_token(token)
            return await self._begin(token, visitor, "token")

    async def openid_start(self, realm: str, wanted: str, redirect_url: str, visitor: Visitor) -> str:
        """The provider's address for a realm, to which the visitor's browser goes; it alone can come back from there.

        Raises ProviderFailed too.
        """
        check_realm(realm)
        async with self._told(f"@{realm}", visitor, "openid", realm=realm):
            async with self._limiter.errand(visitor.address, realm) as name:
                if await self._realms.is_other(realm):
                    raise InvalidCredentials("not an OpenID realm")
                trip = await self._proxmox.openid_trip(realm, redirect_url)
            await self._pending.keep_trip(visitor.browser, Trip(realm=realm, wanted=wanted, openid=trip, name=name))
        return trip.url

    async def openid_finish(self, state: str, code: SecretStr, error: str, visitor: Visitor) -> tuple[Session, str]:
        """The session for who comes back from a provider, and where they wanted to go.

        `error` is the provider's own word (RFC 6749, 4.1.2.1). Raises StepExpired and ProviderFailed too.
        """
        if error and not state:  # some providers that say no forget to whom
            raise _refused_by_provider(error)
        trip = await self._pending.trip(state, visitor.browser, take=False)
        async with self._told(f"@{trip.realm}", visitor, "openid", hint=Hint.OPENID):
            # Taken only here: who has to wait before it has not used the trip up.
            async with self._limiter.attempt("", visitor.address, visitor.device):
                trip = await self._pending.trip(state, visitor.browser, take=True)
                await self._limiter.arrived(trip.realm, trip.name)
                if error:
                    raise _refused_by_provider(error)
                ticket = await self._proxmox.openid_sign_in(trip.openid, trip.realm, code)
            return await self._begin(ticket, visitor, "openid"), trip.wanted

    async def remember(self, session: Session, device: str) -> None:
        """From now on strangers who fail do not keep this account from this device, an opaque id."""
        with suppress(StoreError):  # nobody is kept out by that
            await self._limiter.remember(session.principal, device)

    async def _begin(self, credential: Credential, visitor: Visitor, way: str) -> Session:
        session = await self._sessions.create(
            credential, address=visitor.address, agent=visitor.agent, browser=visitor.browser
        )
        await self._note(Kind.SIGN_IN, session.principal, visitor, way, "ok", session.fingerprint)
        return session

    @asynccontextmanager
    async def _told(
        self,
        account: str,
        visitor: Visitor,
        way: str,
        *,
        realm: str = "",
        hint: Hint | None = None,
        refused: str = InvalidCredentials.__name__,
    ) -> AsyncGenerator[None]:
        """Note a failure, and give a refusal the hint that is true of the server, whoever tries.

        `way` is by what somebody signs in, and `refused` what an event calls refused credentials.
        """
        try:
            yield
        except ProxgateError as exc:
            if isinstance(exc, TooManyAttempts):
                await self._note(Kind.LIMITED, account, visitor, way, str(exc.retry_after))
            else:
                outcome = refused if isinstance(exc, InvalidCredentials) else type(exc).__name__
                await self._note(Kind.FAILURE, account, visitor, way, outcome)
            if isinstance(exc, InvalidCredentials) and exc.by_proxmox:
                raise InvalidCredentials(hint=await self._hint(realm) or hint, by_proxmox=True) from exc
            if isinstance(exc, ProviderFailed) and realm and await self._realms.lacks(realm):
                raise ProviderFailed(ProviderError.GONE) from exc
            raise

    async def _note(
        self, kind: Kind, principal: str, visitor: Visitor, way: str, outcome: str, session: str = ""
    ) -> None:
        await self._audit.note(Event(
            kind=kind, principal=principal, address=visitor.address, session=session, about=way, outcome=outcome,
        ))  # fmt: skip

    async def _hint(self, realm: str) -> Hint | None:
        skew = self._proxmox.clock_skew
        if skew is not None and abs(skew) > SKEW_SECONDS:
            return Hint.CLOCK
        return Hint.REALM if realm and await self._realms.lacks(realm) else None


def _refused_by_provider(error: str) -> ProviderFailed:
    return ProviderFailed(ProviderError.DENIED if error == "access_denied" else ProviderError.FAILED)
