"""`proxgate trust`: an administrator looks at a fingerprint, and says that it is the right one."""

import ipaddress
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from getpass import getpass, getuser

from pydantic import SecretStr

from services.anchors import Anchors
from services.auth.codes import Kind, offered, response
from services.errors import CheckFailed, Distrust, ProxmoxError, SettingsError
from services.proxmox import Address, Anchor, ApiToken, Challenge, Credential, Proxmox, ProxmoxClient, Trust
from services.proxmox.certificate import fingerprint, is_in_date
from services.proxmox.trust import CLUSTER, pin
from services.settings import Settings, is_ip, parse_address
from services.vouching import VouchedBy, authority, distrust, look, vouched_by
from ui.check import trouble, untrusted
from ui.server import open_parts

logger = logging.getLogger(__name__)

_AUTHORITY_FILE = "pve-root-ca.pem"
_OF_ALL = {
    VouchedBy.SYSTEM: "by this system's authorities",
    VouchedBy.CA_FILE: "by the authority in PROXMOX_CA_FILE",
    VouchedBy.CLUSTER: "by the cluster's authority, trusted earlier",
}
_ASKED = {Kind.TOTP: "authenticator code", Kind.YUBICO: "Yubico one-time password", Kind.RECOVERY: "recovery key"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for on the command line; `server` as in PROXMOX_HOST, or "cluster" to forget its authority."""

    server: str = ""
    ca: bool = False
    yes: str = ""
    forget: bool = False
    listing: bool = False


async def trust(wish: Wish, settings: Settings, say: Callable[[str], None]) -> int:
    """Do it; 0 when it is done or was done before, 1 when it is not. Raises SettingsError."""
    try:
        if wish.listing or wish.forget:
            async with open_parts(settings, share=True) as parts:
                return await (_forget(wish, settings, parts.anchors, say) if wish.forget else _list(parts.anchors, say))
        return await _trust(wish, settings, say)
    except CheckFailed as exc:
        sys.stderr.write(f"proxgate: {exc}\n")
        return 1


async def _trust(wish: Wish, settings: Settings, say: Callable[[str], None]) -> int:
    _refuse_unused(settings)
    address = _address(wish.server, settings)
    async with open_parts(settings, share=True) as parts:
        verb = _Verb(address, settings, parts.anchors, await parts.anchors.read(), say, wish.yes)
        try:
            return await (verb.trust_authority() if wish.ca else verb.trust_certificate())
        except ProxmoxError as exc:
            raise CheckFailed(trouble(exc, address)) from exc


class _Verb:
    """One address, and what is trusted of it so far."""

    def __init__(
        self,
        address: Address,
        settings: Settings,
        anchors: Anchors,
        kept: dict[str, Anchor],
        say: Callable[[str], None],
        yes: str,
    ) -> None:
        self._address = address
        self._trust = settings.trust
        self._anchors = anchors
        self._kept = kept
        self._own = kept.get(str(address))
        self._say = say
        self._yes = _pin(yes) if yes else ""

    async def trust_certificate(self) -> int:
        """Trust the certificate that the server shows."""
        shown = await look(self._address)
        by = await self._vouched()
        if self._own is None and by:
            return self._nothing_to_do(by)
        if self._is_own(shown):
            self._say(f"This certificate of {self._address} is trusted already: {fingerprint(shown)}")
            return 0
        self._confirm(shown, by)
        if by:  # an anchor that is older than the certificate is all that stood against it
            await self._forget(str(self._address))
        else:
            await self._keep(str(self._address), Anchor(fingerprint=fingerprint(shown)))
        return 0

    async def trust_authority(self) -> int:
        """Trust the authority of the server's cluster, which signs the certificates of all its nodes."""
        shown = await look(self._address)
        by = await self._vouched()
        if by is VouchedBy.CLUSTER:
            self._say(f"The cluster's authority is trusted already: {self._kept[CLUSTER].fingerprint}")
            await self._forget_covered(self._kept[CLUSTER])
            return 0
        if by:
            return await self.trust_certificate()
        if not self._is_own(shown):
            self._confirm(shown, by)
        anchor = authority(await self._authority_pem(fingerprint(shown)), shown)
        if anchor is None:
            raise CheckFailed(
                f"the certificate of {self._address} is not signed by its cluster's authority, so that one would not "
                f"help; trust the certificate itself: proxgate trust {self._address}"
            )
        if reason := await distrust(self._address, self._trust, anchor):
            refusal = self._trust.refusal(self._address, fingerprint(shown), reason, anchor)
            raise CheckFailed(untrusted(refusal, shown))
        self._say(f"The authority of the cluster\n  {anchor.fingerprint}")
        await self._keep(CLUSTER, anchor)
        await self._forget_covered(anchor)
        return 0

    # below: the certificate

    async def _vouched(self) -> VouchedBy | None:
        """Who vouches for it besides an anchor of its own."""
        others = {place: anchor for place, anchor in self._kept.items() if place != str(self._address)}
        return await vouched_by(self._address, self._trust, others)

    def _is_own(self, shown: bytes) -> bool:
        return bool(self._own) and self._own == Anchor(fingerprint=fingerprint(shown)) and is_in_date(shown)

    def _nothing_to_do(self, by: VouchedBy) -> int:
        self._say(f"The certificate of {self._address} is trusted {_OF_ALL[by]}: there is nothing to do.")
        return 0

    def _confirm(self, shown: bytes, by: VouchedBy | None) -> None:
        """Raises CheckFailed unless it is in its dates and somebody says that it is the right one."""
        seen = fingerprint(shown)
        if not is_in_date(shown):
            refusal = self._trust.refusal(self._address, seen, Distrust.EXPIRED, None)
            raise CheckFailed(untrusted(refusal, shown))
        self._say(f"{self._address} shows the certificate\n  {seen}")
        if self._own:
            self._say(f"and not the one trusted so far\n  {self._own.fingerprint}")
        elif CLUSTER in self._kept:
            self._say(f"which is not of the authority trusted so far\n  {self._kept[CLUSTER].fingerprint}")
        if by:
            self._say(f"It is trusted {_OF_ALL[by]}: that is enough from now on, and the old one is forgotten.")
        self._say("Compare it with what Proxmox itself shows: node > System > Certificates, or pvenode cert info")
        self._ask_yes(seen)

    def _ask_yes(self, seen: str) -> None:
        if self._yes:
            if self._yes != seen:
                raise CheckFailed(f"this is not the certificate named by --yes, {self._yes}; nothing was trusted")
            return
        if not _is_terminal():
            raise CheckFailed(f"there is no terminal to ask at; if it is the right one: --yes {seen}")
        if _line("Trust this certificate? Type yes: ") != "yes":
            raise CheckFailed("nothing was trusted")

    # below: the cluster's authority

    async def _authority_pem(self, seen: str) -> str:
        """The authority, as a node tells somebody who is signed in over a line to this very certificate."""

        async def anchors() -> dict[str, Anchor]:
            return {str(self._address): Anchor(fingerprint=seen)}

        async with Proxmox([self._address], Trust(), anchors=anchors) as proxmox:
            client = proxmox.signed_in(await _sign_in(proxmox))
            nodes = [node.node for node in (await client.resources()).nodes if node.status == "online"]
            for node in (*nodes, "localhost"):  # where Proxmox shows no node, it still knows itself by this name
                if pem := await _authority_of(client, node):
                    return pem
        raise CheckFailed(f"{self._address} does not show its cluster's authority ({_AUTHORITY_FILE}) to this account")

    async def _forget_covered(self, anchor: Anchor) -> None:
        """What addresses were held to themselves would refuse renewed certificates that the authority vouches for."""
        for place in self._kept:
            if place == CLUSTER:
                continue
            refused = None
            with suppress(ProxmoxError):  # one that does not answer now will be a member like any other
                refused = await distrust(parse_address(place, 8006), self._trust, anchor)
            if refused:
                self._say(f"{place} shows a certificate of another origin, and stays trusted by itself.")
            else:
                await self._forget(place)

    # below: the store

    async def _keep(self, place: str, anchor: Anchor) -> None:
        await self._anchors.keep(place, anchor)
        logger.warning("%s trusted %s for %s", _who(), anchor.fingerprint, place)
        what = "the cluster's authority" if place == CLUSTER else f"this certificate of {place}"
        self._say(f"Trusted from now on: {what}.")

    async def _forget(self, place: str) -> None:
        await self._anchors.forget(place)
        logger.warning("%s forgot the certificate trusted for %s", _who(), place)
        self._say(f"No longer held to one certificate: {place}.")


async def _list(anchors: Anchors, say: Callable[[str], None]) -> int:
    kept = await anchors.read()
    say(f"{'ADDRESS':<28}{'KIND':<14}FINGERPRINT")
    for place, anchor in sorted(kept.items()):
        say(f"{place:<28}{'authority' if anchor.ca_pem else 'certificate':<14}{anchor.fingerprint}")
    return 0


async def _forget(wish: Wish, settings: Settings, anchors: Anchors, say: Callable[[str], None]) -> int:
    if not wish.server:
        raise SettingsError("HOST", "name what to forget, as proxgate trust --list does")
    place = CLUSTER if wish.server == CLUSTER else str(_parsed(wish.server, settings))
    if not await anchors.forget(place):
        raise CheckFailed(f"nothing is trusted for {place}; see proxgate trust --list")
    logger.warning("%s forgot what was trusted for %s", _who(), place)
    say(f"Forgotten: {place}. Running servers know within seconds.")
    return 0


# Addresses


def _refuse_unused(settings: Settings) -> None:
    if settings.proxmox_fingerprint:
        raise SettingsError("PROXMOX_FINGERPRINT", "decides alone what is trusted; change it, or unset it for this")
    if not settings.proxmox_verify_tls:
        raise SettingsError("PROXMOX_VERIFY_TLS", "is false, so every certificate is taken; unset it for this")


def _address(server: str, settings: Settings) -> Address:
    """The address meant; without a name the only one in PROXMOX_HOST."""
    if not server:
        if len(settings.addresses) != 1:
            raise SettingsError("HOST", "name one server, as in PROXMOX_HOST: proxgate trust HOST")
        return settings.addresses[0]
    address = _parsed(server, settings)
    if address in settings.addresses or not settings.addresses or is_ip(address.host):
        return address
    listed = ", ".join(map(str, settings.addresses))
    raise CheckFailed(f"{address} is not in PROXMOX_HOST ({listed}), so trusting it would change nothing")


def _parsed(server: str, settings: Settings) -> Address:
    """As it stands in PROXMOX_HOST, or as Proxmox spells a member's."""
    try:
        address = parse_address(server, settings.proxmox_port)
    except SettingsError as exc:
        raise SettingsError("HOST", exc.mend) from exc
    if address in settings.addresses or not is_ip(address.host):
        return address
    return Address(host=str(ipaddress.ip_address(address.host)), port=address.port)


def _pin(text: str) -> str:
    try:
        return pin(text)
    except SettingsError as exc:
        raise SettingsError("--yes", exc.mend) from exc


# Signing in


async def _sign_in(proxmox: Proxmox) -> Credential:
    name = _line("Username (user@realm, or user@realm!token): ").strip()
    secret = SecretStr(_line("Password or token secret: ", secret=True))
    if "!" in name:
        token = ApiToken(tokenid=name, secret=secret)
        await proxmox.check_token(token)
        return token
    ticket = await proxmox.sign_in(name, secret)
    return await _second_factor(proxmox, ticket) if isinstance(ticket, Challenge) else ticket


async def _second_factor(proxmox: Proxmox, challenge: Challenge) -> Credential:
    kinds = offered(challenge.factors, security_key=False)
    if not kinds:
        raise CheckFailed("the second factor of this account needs a browser; take another account, or an API token")
    code = SecretStr(_line(f"Second factor ({' or '.join(_ASKED[kind] for kind in kinds)}): ", secret=True))
    return await proxmox.verify(challenge, response(_kind(code, kinds), code))


def _kind(code: SecretStr, kinds: tuple[Kind, ...]) -> Kind:
    """Told by its length: six to eight digits, sixteen, or a Yubico key's thirty-two and more."""
    length = len(code.get_secret_value().replace("-", "").replace(" ", ""))
    guess = Kind.TOTP if length <= 8 else Kind.RECOVERY if length <= 16 else Kind.YUBICO
    return guess if guess in kinds else kinds[0]


async def _authority_of(client: ProxmoxClient, node: str) -> str:
    with suppress(ProxmoxError):  # it is asked of the next one
        for one in await client.certificates(node):
            if one.filename == _AUTHORITY_FILE:
                return one.pem
    return ""


# The terminal


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _line(prompt: str, *, secret: bool = False) -> str:
    """What is typed, or the next line where there is no terminal. Raises CheckFailed when nothing is."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # asyncio's would wait for us, and we for a key
    try:
        if _is_terminal():
            return getpass(prompt) if secret else input(prompt)
        line = sys.stdin.readline() if sys.stdin else ""
    except (KeyboardInterrupt, EOFError, UnicodeDecodeError):
        line = ""
    finally:
        signal.signal(signal.SIGINT, before)
    if not line:
        raise CheckFailed("nothing was typed, and nothing was trusted")
    return line.rstrip("\r\n")


def _who() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # a number without a name, as in a container
        return f"user {os.getuid()}"
