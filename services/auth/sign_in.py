"""The sign-in: from an account and a password to a session."""

import logging
from dataclasses import dataclass, field

from pydantic import SecretStr

from services.auth.limiter import Limiter
from services.errors import ProxgateError
from services.proxmox import Proxmox
from services.proxmox.userid import check_userid
from services.sessions import Session, Sessions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What somebody typed, exactly as typed, and where it came from."""

    username: str
    realm: str
    password: SecretStr
    address: str
    agent: str
    browser: str = field(default="", repr=False)
    """An opaque id of the browser, if it has one."""


class SignIn:
    """Asks Proxmox and begins the session."""

    def __init__(self, proxmox: Proxmox, sessions: Sessions, limiter: Limiter) -> None:
        self._proxmox = proxmox
        self._sessions = sessions
        self._limiter = limiter

    async def sign_in(self, attempt: Attempt) -> Session:
        """A new session for an account that Proxmox accepts.

        Raises a ProxmoxError, TooManyAttempts or StoreUnavailable; nothing is stored then.
        """
        userid = check_userid(attempt.username, attempt.realm)
        try:
            async with self._limiter.attempt(userid, attempt.address):
                ticket = await self._proxmox.sign_in(userid, attempt.password)
            session = await self._sessions.create(
                ticket, address=attempt.address, agent=attempt.agent, browser=attempt.browser
            )
        except ProxgateError as exc:
            logger.warning("sign-in refused userid=%s address=%s: %s", userid, attempt.address, type(exc).__name__)
            raise
        logger.info("signed in principal=%s address=%s session=%s", session.principal, attempt.address,
                    session.fingerprint)  # fmt: skip
        return session
